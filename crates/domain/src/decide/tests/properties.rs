//! The invariants over random histories: taps by anybody, an agent that does what it likes, a remote and a cluster in any mood, policies
//! that change, and time. The judge shares no rule with the code that it judges, and the controls at the end show that it can see.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::*;
use crate::{
    Attempt, Decision, Delivery, Effect, Event, Landed, Origin, Outcome, Policy, Proposal, Refusal, ReviewVerdict, Revision,
    RevisionAuthor, Scheduled, Sha256Hash, Tier, Timestamp, Transition, UserId, decide, open,
};

type Decide = fn(&Proposal, Event, &Policy, Timestamp) -> Result<Transition, Refusal>;

/// One thing that happens in a history. Numbers are taken modulo whatever there is.
#[derive(Debug, Clone)]
enum Move {
    Tap {
        who: &'static str,
        verdict: ReviewVerdict,
        stale: bool,
        hold: u32,
    },
    Reason(&'static str),
    Cancel(&'static str),
    Retry(&'static str),
    Withdraw,
    Revise {
        requested: Option<Tier>,
        skip: u32,
        same_content: bool,
    },
    Service(u8),
    /// What an untroubled world would do next.
    Onward,
    Settle(usize),
    Wait(i64),
    Policy(Sketch),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let names = || prop::sample::select(vec!["alice", "bob", "carol", "dave", "mallory"]);
    let tiers = || prop::sample::select(Tier::ALL);
    let verdict = prop_oneof![24 => Just(ReviewVerdict::Approve), 1 => Just(ReviewVerdict::Reject)];
    let one = prop_oneof![
        40 => (names(), verdict, prop::bool::weighted(0.1), prop::sample::select(vec![0, 0, 30])).prop_map(|(who, verdict, stale, hold)| Move::Tap { who, verdict, stale, hold }),
        2 => names().prop_map(Move::Reason),
        1 => names().prop_map(Move::Cancel),
        6 => names().prop_map(Move::Retry),
        2 => Just(Move::Withdraw),
        12 => (prop::option::of(tiers()), prop::sample::select(vec![0, 1, 1, 1, 2]), any::<bool>()).prop_map(|(requested, skip, same_content)| Move::Revise { requested, skip, same_content }),
        24 => any::<u8>().prop_map(Move::Service),
        40 => Just(Move::Onward),
        2 => any::<usize>().prop_map(Move::Settle),
        14 => prop_oneof![2 => Just(31), 6 => Just(1300), 1 => Just(4000)].prop_map(Move::Wait),
        12 => sketches().prop_map(Move::Policy),
    ];
    prop::collection::vec(one, 1..40)
}

fn sketches() -> impl Strategy<Value = Sketch> {
    let group = || prop::sample::subsequence(vec!["alice", "bob", "carol", "dave"], 1..=4);
    let tier = prop_oneof![1 => Just(Tier::Manual), 4 => Just(Tier::Prompted), 2 => Just(Tier::Standard)];
    (group(), group(), any::<bool>(), tier, 1..4usize, any::<bool>()).prop_map(
        |(operators, platform, second, tier, quorum, allow_owner)| Sketch {
            operators,
            platform,
            asks: if second { "platform" } else { "operators" },
            tier,
            quorum,
            allow_owner,
        },
    )
}

fn begin() -> impl Strategy<Value = (Origin, Sketch)> {
    let origin = prop_oneof![
        4 => Just(Origin::Change),
        3 => Just(Origin::Runbook(call())),
        1 => Just(Origin::Observed(call())),
        1 => Just(Origin::Revert { of: other(), commit: commit(5) }),
    ];
    (origin, sketches())
}

/// A proposal with what surrounds it, and what the judge remembers.
struct History {
    decide: Decide,
    proposal: Proposal,
    sketch: Sketch,
    now: Timestamp,
    /// What is owed: one of each effect, at the earliest time, as the store keeps it.
    outbox: BTreeMap<Effect, Timestamp>,
    /// Who said yes to which content since the last time that votes had to be given anew.
    yes: BTreeSet<(UserId, Sha256Hash)>,
    built: u8,
    stopped: bool,
    ended: Option<(Outcome, Timestamp)>,
}

impl History {
    fn new(decide: Decide, origin: Origin, sketch: Sketch) -> Self {
        let opened = open(fresh(origin, &sketch.policy()), start());
        let mut history = Self {
            decide,
            proposal: opened.next,
            sketch,
            now: start(),
            outbox: BTreeMap::new(),
            yes: BTreeSet::new(),
            built: 0,
            stopped: false,
            ended: None,
        };
        history.owe(opened.effects);
        history
    }

    fn owe(&mut self, effects: Vec<Scheduled>) {
        for Scheduled { effect, due } in effects {
            let waiting = self.outbox.entry(effect).or_insert(due);
            *waiting = due.min(*waiting);
        }
    }

    fn play(&mut self, what: Move) -> Result<(), String> {
        match what {
            Move::Wait(seconds) => {
                self.now += TimeDelta::seconds(seconds);
                self.ring()
            }
            Move::Policy(sketch) => {
                self.sketch = sketch;
                Ok(())
            }
            other => match self.event(other) {
                Some(event) => self.happen(event),
                None => Ok(()),
            },
        }
    }

    /// Timers that are due run, each once; whatever still needs them must have set them again.
    fn ring(&mut self) -> Result<(), String> {
        if self.outbox.get(&Effect::Expire).is_some_and(|due| *due <= self.now) {
            self.outbox.remove(&Effect::Expire);
            self.happen(Event::Expire)?;
        }
        Ok(())
    }

    fn event(&mut self, what: Move) -> Option<Event> {
        let proposal = &self.proposal;
        Some(match what {
            Move::Tap { who, verdict, stale, hold } => {
                let mut event = review(who, verdict, proposal, hold);
                if let (
                    true,
                    Event::Review {
                        revision, digest: shown, ..
                    },
                ) = (stale, &mut event)
                {
                    *revision -= 1;
                    *shown = digest(*revision);
                }
                event
            }
            Move::Reason(who) => Event::Reason {
                by: person(who),
                text: "so".to_owned(),
            },
            Move::Cancel(who) => Event::Cancel { by: person(who) },
            Move::Retry(who) => Event::Retry { by: person(who) },
            Move::Withdraw => Event::Withdraw { reason: None },
            Move::Revise {
                requested,
                skip,
                same_content,
            } => {
                let mut next = self.content(skip, requested);
                next.author = RevisionAuthor::Agent;
                if same_content {
                    next.digest = proposal.revision.digest;
                }
                Event::Revise { revision: Box::new(next) }
            }
            Move::Settle(n) => settled(Outcome::ALL[n % Outcome::ALL.len()]),
            Move::Service(n) => self.service(n),
            Move::Onward => return self.onward(),
            Move::Wait(_) | Move::Policy(_) => return None,
        })
    }

    fn content(&self, skip: u32, requested: Option<Tier>) -> Revision {
        let number = self.proposal.revision.number + skip;
        // Content that names the runbook, whatever the proposal came from: the policy may call it standard.
        revision(number, &Origin::Runbook(call()), &self.sketch.policy(), requested, self.now)
    }

    /// Anything that the service may feed back, fitting or not.
    fn service(&mut self, n: u8) -> Event {
        let next = Box::new(self.content(1, None));
        match n % 40 {
            0 | 1 => Event::Reshow { revision: next },
            2 | 3 => Event::Rerender { revision: next },
            4 => Event::Conflict { paths: Vec::new() },
            5 => Event::AlreadyThere { commit: commit(99) },
            6 => Event::AlreadyThere {
                commit: commit(self.built),
            },
            7 => Event::Expire,
            8 => Event::Refuse { why: "no".to_owned() },
            9 | 20..=25 => self.build(),
            10 => Event::CommitBuilt {
                commit: commit(90),
                parent: commit(0),
                digest: digest(77),
            },
            11 => Event::PushConfirmed {
                commit: commit(self.built),
            },
            12 => Event::PushConfirmed { commit: commit(98) },
            13 | 14 | 26..=30 => Event::PushMissed,
            15 | 31 | 32 => Event::PushRefused { message: "no".to_owned() },
            16 | 33 | 34 => Event::Prepared { pull: None },
            17 => arrived(97),
            18 => Event::Diverged {
                commit: commit(96),
                by: "dave".to_owned(),
            },
            _ => Event::Recovered,
        }
    }

    fn build(&mut self) -> Event {
        self.built += 1;
        built(&self.proposal, self.built)
    }

    fn onward(&mut self) -> Option<Event> {
        match self.proposal.delivery {
            Delivery::None if self.proposal.tier() == Tier::Manual => Some(Event::Prepared { pull: None }),
            Delivery::None => {
                let silent = PEOPLE
                    .iter()
                    .find(|(_, id)| self.proposal.approvals().all(|review| review.by.id.0 != *id))?;
                Some(review(silent.0, ReviewVerdict::Approve, &self.proposal, 0))
            }
            Delivery::Queued => Some(self.build()),
            Delivery::Committing => Some(Event::PushConfirmed {
                commit: commit(self.built),
            }),
            Delivery::PushBlocked => Some(Event::Retry { by: person("alice") }),
            Delivery::AwaitingCommit => Some(Event::Arrived {
                commit: commit(95),
                landed: Landed::WithEdits,
                by: "dave".to_owned(),
                alarm: Some("a machine".to_owned()),
            }),
            Delivery::Pushed => Some(Event::Observed {
                applications: vec![application("syncing")],
            }),
            Delivery::Syncing => Some(settled(Outcome::Synced)),
            Delivery::Ended => Some(Event::Reverted { by: other() }),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        let before = self.proposal.clone();
        let Ok(transition) = (self.decide)(&before, event.clone(), &self.sketch.policy(), self.now) else {
            return Ok(());
        };
        self.remember(&before, &event, &transition.next);
        self.judge(&before, &event, &transition).map_err(|what| {
            format!(
                "{what}\n  on {event:?}\n  under {:?}\n  {}/{} -> {}/{}",
                self.sketch, before.decision, before.delivery, transition.next.decision, transition.next.delivery
            )
        })?;
        if transition.next.delivery != Delivery::Committing && from_the_branch(&event) {
            // The branch's owner is done with its effect; what the state still needs must be owed anew.
            self.outbox.remove(&Effect::Deliver);
        }
        self.proposal = transition.next;
        self.owe(transition.effects);
        self.nothing_waits_for_nobody().map_err(|what| format!("{what}\n  after {event:?}"))
    }

    /// The judge's own count of votes, kept from the events alone.
    fn remember(&mut self, before: &Proposal, event: &Event, next: &Proposal) {
        if let Event::Review {
            by,
            verdict: ReviewVerdict::Approve,
            digest,
            ..
        } = event
        {
            self.yes.insert((by.id, *digest));
        }
        if next.revision.number != before.revision.number || next.tier() != before.tier() {
            self.yes.clear();
        }
    }

    fn judge(&mut self, before: &Proposal, event: &Event, transition: &Transition) -> Result<(), String> {
        let next = &transition.next;
        let decided = |proposal: &Proposal| matches!(proposal.decision, Decision::Approved | Decision::NotRequired);
        let newly = |delivery| next.delivery == delivery && before.delivery != delivery;
        let holds = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };

        // Who may decide.
        if decided(next) && !decided(before) {
            let by_people = matches!(
                event,
                Event::Review {
                    verdict: ReviewVerdict::Approve,
                    ..
                }
            );
            let landed = matches!(event, Event::Arrived { .. }) && before.tier() == Tier::Manual;
            holds(by_people || landed, "something else than an approval or a human's commit decided")?;
            holds(by_people || next.decision == Decision::Approved, "nobody was asked")?;
            if by_people {
                self.enough(next, next.revision.digest)?;
                holds(self.now < before.expires_at, "approved after the deadline")?;
            }
        }
        if matches!(event, Event::Withdraw { .. } | Event::Revise { .. }) {
            holds(!decided(next) && next.delivery != Delivery::Queued, "an agent's event decided")?;
        }
        if matches!(
            event,
            Event::Review {
                verdict: ReviewVerdict::Reject,
                ..
            }
        ) {
            holds(next.outcome == Some(Outcome::Rejected), "a reject did not end it")?;
        }
        holds(
            transition.seals == (decided(next) && !decided(before)),
            "seals must mark exactly the step that decides",
        )?;

        // What may be committed.
        if newly(Delivery::Committing) {
            let Event::CommitBuilt { commit, digest, .. } = event else {
                return Err("a commit out of nothing".to_owned());
            };
            holds(!self.stopped, "committed after a stop")?;
            holds(*digest == before.revision.digest, "the built content is not the one that was shown")?;
            holds(before.hold_until.is_none_or(|until| until <= self.now), "committed while held")?;
            holds(
                next.attempts.last().map(|attempt| attempt.commit) == Some(*commit),
                "the commit's id is not stored before its push",
            )?;
            match before.decision {
                Decision::Approved => self.enough(before, *digest)?,
                Decision::NotRequired => holds(self.trusted(before), "standard without a rule that trusts it")?,
                undecided => return Err(format!("committed while {undecided}")),
            }
        }
        if newly(Delivery::Pushed) {
            let sent = before.attempts.iter().any(|attempt| Some(attempt.commit) == next.commit);
            let landed = before.tier() == Tier::Manual && before.delivery == Delivery::AwaitingCommit;
            holds(sent || landed, "pushed, but not by us and not prepared for a human")?;
            holds(!self.stopped, "pushed after a stop")?;
        }
        let votes_are_known = next.approvals().all(|review| self.yes.contains(&(review.by.id, review.digest)));
        holds(votes_are_known, "a void review counts")?;

        // What stays.
        if matches!(
            next.decision,
            Decision::Rejected | Decision::Expired | Decision::Withdrawn | Decision::Refused | Decision::Dismissed
        ) {
            self.stopped = true;
            holds(next.delivery == Delivery::Ended, "stopped, but not ended")?;
        } else {
            holds(!self.stopped, "a stop was taken back")?;
        }
        let end = next.outcome.zip(next.ended_at);
        holds(self.ended.is_none() || self.ended == end, "an end was changed")?;
        self.ended = end;
        holds(
            (next.delivery == Delivery::Ended) == next.outcome.is_some(),
            "ended without outcome, or the reverse",
        )?;
        holds(next.attempts.starts_with(&before.attempts), "an attempt was forgotten")?;
        holds(next.revision.number >= before.revision.number, "an older revision came back")?;
        holds(next.expires_at >= before.expires_at, "people's time got shorter")?;
        let seen = |proposal: &Proposal| {
            let mut copy = proposal.clone();
            copy.version = 0;
            copy
        };
        let raised = u64::from(seen(before) != seen(next));
        holds(
            next.version == before.version + raised,
            "the version does not tell whether something changed",
        )
    }

    /// Enough people, asked by what was promised and by what is in force now, said yes to this content.
    fn enough(&self, proposal: &Proposal, digest: Sha256Hash) -> Result<(), String> {
        let route = &proposal.revision.route;
        let mut asked: Vec<_> = route
            .requirements
            .iter()
            .map(|asked| (asked.group.as_str(), asked.quorum as usize, asked.allow_owner))
            .collect();
        if self.sketch.tier == Tier::Manual || proposal.tier() != Tier::Prompted || asked.is_empty() {
            return Err("nobody's approval can be enough here".to_owned());
        }
        if !self.trusted(proposal) {
            let quorum = if proposal.revision.facts.revert { 1 } else { self.quorum() };
            asked.push((self.sketch.asks, quorum, self.sketch.allow_owner));
        }
        for (group, quorum, allow_owner) in asked {
            let members = if group == "operators" {
                &self.sketch.operators
            } else {
                &self.sketch.platform
            };
            let count = members
                .iter()
                .filter(|name| (allow_owner || **name != "bob") && self.yes.contains(&(person(name).id, digest)))
                .count();
            if count < quorum {
                return Err(format!("{count} of {quorum} of {group} is not enough"));
            }
        }
        Ok(())
    }

    fn quorum(&self) -> usize {
        let members = if self.sketch.asks == "operators" {
            &self.sketch.operators
        } else {
            &self.sketch.platform
        };
        self.sketch.quorum.clamp(1, members.len())
    }

    /// The policy in force lets this content go without asking.
    fn trusted(&self, proposal: &Proposal) -> bool {
        let facts = &proposal.revision.facts;
        let asked_for_less = matches!(facts.requested, Some(Tier::Manual | Tier::Prompted));
        self.sketch.tier == Tier::Standard && facts.runbook.is_some() && !facts.revert && !asked_for_less
    }

    /// Every state that is not the end has something owed that can move it, or a button that people see.
    fn nothing_waits_for_nobody(&self) -> Result<(), String> {
        let owed = |effect: Effect| self.outbox.contains_key(&effect);
        let moves = match self.proposal.delivery {
            Delivery::None => self.proposal.decision == Decision::Pending && self.proposal.tier() != Tier::Standard && owed(Effect::Expire),
            Delivery::AwaitingCommit => owed(Effect::Expire) && owed(Effect::WatchLanding),
            Delivery::Queued | Delivery::Committing => owed(Effect::Deliver),
            Delivery::Pushed | Delivery::Syncing => owed(Effect::Observe),
            Delivery::PushBlocked | Delivery::Ended => true,
        };
        if moves {
            Ok(())
        } else {
            Err(format!(
                "{} {}/{} waits for nobody; owed: {:?}",
                self.proposal.tier(),
                self.proposal.decision,
                self.proposal.delivery,
                self.outbox
            ))
        }
    }
}

/// What the branch's owner reports while it executes its effect.
fn from_the_branch(event: &Event) -> bool {
    match event {
        Event::Reshow { .. }
        | Event::Rerender { .. }
        | Event::Conflict { .. }
        | Event::AlreadyThere { .. }
        | Event::Refuse { .. }
        | Event::CommitBuilt { .. }
        | Event::PushConfirmed { .. }
        | Event::PushMissed
        | Event::PushRefused { .. } => true,
        Event::Review { .. }
        | Event::Reason { .. }
        | Event::Cancel { .. }
        | Event::Retry { .. }
        | Event::Withdraw { .. }
        | Event::Revise { .. }
        | Event::Expire
        | Event::Prepared { .. }
        | Event::Arrived { .. }
        | Event::Diverged { .. }
        | Event::Observed { .. }
        | Event::Settled { .. }
        | Event::Recovered
        | Event::Reverted { .. } => false,
    }
}

/// Plays random histories from a fixed seed; the first broken promise, and how often each delivery was reached.
fn histories(decide: Decide, max_shrink_iters: u32) -> Result<BTreeMap<Delivery, usize>, String> {
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: CASES,
            failure_persistence: None,
            max_shrink_iters,
            ..Config::default()
        },
        TestRunner::deterministic().new_rng(),
    );
    let reached = std::cell::RefCell::new(BTreeMap::new());
    runner
        .run(&(begin(), moves()), |((origin, sketch), moves)| {
            let mut history = History::new(decide, origin, sketch);
            for what in moves {
                history.play(what).map_err(TestCaseError::fail)?;
                *reached.borrow_mut().entry(history.proposal.delivery).or_default() += 1;
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(reached.into_inner())
}

const CASES: u32 = 2_500;

#[test]
fn every_history_keeps_every_promise() {
    let reached = histories(decide, 2_000).unwrap_or_else(|broken| panic!("{broken}"));
    for delivery in Delivery::ALL {
        let often = reached.get(delivery).copied().unwrap_or_default();
        assert!(
            often > 100,
            "the histories hardly reach {delivery} ({often} times): they prove nothing about it"
        );
    }
}

/// A broken copy of one rule, and what the judge must say about it (one of).
fn broken() -> Vec<(&'static str, Decide, &'static str)> {
    vec![
        (
            "reviews of the old revision count for the new one",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                let next = &mut step.next;
                for review in &mut next.reviews {
                    review.revision = next.revision.number;
                    review.digest = next.revision.digest;
                }
                Ok(step)
            },
            "void review",
        ),
        (
            "the policy is not asked again before the push",
            |proposal, event, policy, now| match &event {
                Event::CommitBuilt { commit, parent, digest }
                    if proposal.delivery == Delivery::Queued && *digest == proposal.revision.digest && proposal.hold_until.is_none() =>
                {
                    let mut next = proposal.clone();
                    next.version += 1;
                    next.delivery = Delivery::Committing;
                    next.attempts.push(Attempt {
                        commit: *commit,
                        parent: *parent,
                        at: now,
                    });
                    Ok(step(next))
                }
                _ => decide(proposal, event, policy, now),
            },
            "enough|without a rule that trusts it",
        ),
        (
            "what was built is not compared with what was approved",
            |proposal, mut event, policy, now| {
                if let Event::CommitBuilt { digest, .. } = &mut event {
                    *digest = proposal.revision.digest;
                }
                decide(proposal, event, policy, now)
            },
            "not the one that was shown",
        ),
        (
            "silence approves",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                if step.next.decision == Decision::Expired && proposal.decision == Decision::Pending {
                    step.next.decision = Decision::Approved;
                    step.seals = true;
                }
                Ok(step)
            },
            "something else than an approval",
        ),
        (
            "a timer that rings early is forgotten",
            |proposal, event, policy, now| {
                let expires = matches!(event, Event::Expire);
                let mut step = decide(proposal, event, policy, now)?;
                if expires {
                    step.effects.clear();
                }
                Ok(step)
            },
            "waits for nobody",
        ),
        (
            "a reject is only written down",
            |proposal, event, policy, now| {
                let rejects = matches!(
                    event,
                    Event::Review {
                        verdict: ReviewVerdict::Reject,
                        ..
                    }
                );
                let step = decide(proposal, event, policy, now)?;
                if rejects {
                    let mut next = proposal.clone();
                    next.version += 1;
                    next.reviews = step.next.reviews;
                    return Ok(self::step(next));
                }
                Ok(step)
            },
            "reject did not end",
        ),
        (
            "a recovery rewrites the outcome",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                if step.next.recovered_at.is_some() {
                    step.next.outcome = Some(Outcome::Synced);
                }
                Ok(step)
            },
            "an end was changed",
        ),
        (
            "an approval does not raise the version",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                if step.seals {
                    step.next.version = proposal.version;
                }
                Ok(step)
            },
            "version",
        ),
        (
            "the decision's audit row is not marked",
            |proposal, event, policy, now| decide(proposal, event, policy, now).map(|step| Transition { seals: false, ..step }),
            "seals",
        ),
        (
            "a withdrawn change stays in the queue",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                if step.next.decision == Decision::Withdrawn && proposal.delivery == Delivery::Queued {
                    step.next.delivery = Delivery::Queued;
                    step.next.outcome = None;
                    step.next.ended_at = None;
                }
                Ok(step)
            },
            "agent's event decided",
        ),
        (
            "a revision that calls a runbook goes past the people",
            |proposal, event, policy, now| {
                let standard = matches!(&event, Event::Revise { revision } if revision.route.tier == Tier::Standard);
                let mut step = decide(proposal, event, policy, now)?;
                if standard {
                    step.next.decision = Decision::NotRequired;
                    step.next.delivery = Delivery::Queued;
                    step.seals = true;
                }
                Ok(step)
            },
            "something else than an approval",
        ),
        (
            "a missed push is forgotten",
            |proposal, event, policy, now| {
                let mut step = decide(proposal, event, policy, now)?;
                if proposal.delivery == Delivery::Committing && step.next.delivery == Delivery::Queued {
                    step.next.attempts.clear();
                }
                Ok(step)
            },
            "attempt was forgotten",
        ),
        (
            "any commit that names the proposal is taken for ours",
            |proposal, event, policy, now| match event {
                Event::PushConfirmed { commit } if proposal.delivery == Delivery::Committing => {
                    let mut next = proposal.clone();
                    next.version += 1;
                    next.delivery = Delivery::Pushed;
                    next.commit = Some(commit);
                    let mut step = step(next);
                    step.effects.push(Scheduled {
                        effect: Effect::Observe,
                        due: now,
                    });
                    Ok(step)
                }
                other => decide(proposal, other, policy, now),
            },
            "not by us",
        ),
        (
            "the time to cancel is not waited for",
            |proposal, event, policy, now| {
                let mut hasty = proposal.clone();
                hasty.hold_until = None;
                decide(&hasty, event, policy, now)
            },
            "while held",
        ),
    ]
}

fn step(next: Proposal) -> Transition {
    Transition {
        next,
        effects: Vec::new(),
        summary: String::new(),
        seals: false,
    }
}

#[test]
fn the_judge_sees_every_broken_rule() {
    for (what, broken, verdict) in broken() {
        let said = histories(broken, 0).expect_err(what);
        assert!(
            verdict.split('|').any(|verdict| said.contains(verdict)),
            "{what}: the judge said\n{said}"
        );
    }
}
