//! Random histories: taps by anybody, an agent that does what it likes, a remote and a cluster in any mood, policies that change, and time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::world::*;
use crate::{
    Delivery, Effect, Event, Landed, Orders, Origin, Outcome, Policy, Proposal, Refusal, ReviewVerdict, Revision, RevisionAuthor,
    Scheduled, SecondFactor, Sha256Hash, Tier, Timestamp, Transition, UserId, open,
};

pub type Decide = fn(&Proposal, Event, &Policy, Timestamp) -> Result<Transition, Refusal>;

/// One thing that happens in a history. Numbers are taken modulo whatever there is.
#[derive(Debug, Clone)]
pub enum Move {
    Tap {
        who: &'static str,
        verdict: ReviewVerdict,
        stale: bool,
        hold: u32,
        code: bool,
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

pub fn moves() -> impl Strategy<Value = Vec<Move>> {
    let names = || prop::sample::select(vec!["alice", "bob", "carol", "dave", "mallory"]);
    let tiers = || prop::sample::select(Tier::ALL);
    let verdict = prop_oneof![24 => Just(ReviewVerdict::Approve), 1 => Just(ReviewVerdict::Reject)];
    let one = prop_oneof![
        40 => (names(), verdict, prop::bool::weighted(0.1), prop::sample::select(vec![0, 0, 30]), prop::bool::weighted(0.7)).prop_map(|(who, verdict, stale, hold, code)| Move::Tap { who, verdict, stale, hold, code }),
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

pub fn sketches() -> impl Strategy<Value = Sketch> {
    let group = || prop::sample::subsequence(vec!["alice", "bob", "carol", "dave"], 1..=4);
    let tier = prop_oneof![1 => Just(Tier::Manual), 4 => Just(Tier::Prompted), 2 => Just(Tier::Standard)];
    let factors = prop_oneof![
        6 => Just(Vec::new()),
        2 => Just(vec![SecondFactor::Totp]),
        1 => Just(vec![SecondFactor::Person]),
        1 => Just(SecondFactor::ALL.to_vec()),
    ];
    (group(), group(), any::<bool>(), tier, 1..4usize, any::<bool>(), factors).prop_map(
        |(operators, platform, second, tier, quorum, allow_owner, factors)| Sketch {
            operators,
            platform,
            asks: if second { "platform" } else { "operators" },
            tier,
            quorum,
            allow_owner,
            factors,
        },
    )
}

pub fn begin() -> impl Strategy<Value = (Origin, Sketch)> {
    let origin = prop_oneof![
        4 => Just(Origin::Change),
        3 => Just(Origin::Runbook(call())),
        1 => Just(Origin::Observed(call())),
        1 => Just(Origin::Revert { of: other(), commit: commit(5) }),
    ];
    (origin, sketches())
}

/// A proposal with what surrounds it, and what the judge remembers.
pub struct History {
    pub decide: Decide,
    pub proposal: Proposal,
    pub sketch: Sketch,
    pub now: Timestamp,
    /// What is owed: one of each effect, at the earliest time, as the store keeps it.
    pub outbox: BTreeMap<Effect, Timestamp>,
    /// Who said yes to which content since the last time that votes had to be given anew.
    pub yes: BTreeSet<(UserId, Sha256Hash)>,
    /// Those of them who gave a code.
    pub codes: BTreeSet<(UserId, Sha256Hash)>,
    pub built: u8,
    pub stopped: bool,
    pub ended: Option<(Outcome, Timestamp)>,
}

impl History {
    pub fn new(decide: Decide, origin: Origin, sketch: Sketch) -> Self {
        let opened = open(fresh(origin, &sketch.policy()), start());
        let mut history = Self {
            decide,
            proposal: opened.next,
            sketch,
            now: start(),
            outbox: BTreeMap::new(),
            yes: BTreeSet::new(),
            codes: BTreeSet::new(),
            built: 0,
            stopped: false,
            ended: None,
        };
        history.owe(opened.effects);
        history
    }

    pub fn owe(&mut self, effects: Vec<Scheduled>) {
        for Scheduled { effect, due } in effects {
            let waiting = self.outbox.entry(effect).or_insert(due);
            *waiting = due.min(*waiting);
        }
    }

    pub fn play(&mut self, what: Move) -> Result<(), String> {
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
    pub fn ring(&mut self) -> Result<(), String> {
        if self.outbox.get(&Effect::Expire).is_some_and(|due| *due <= self.now) {
            self.outbox.remove(&Effect::Expire);
            self.happen(Event::Expire)?;
        }
        Ok(())
    }

    pub fn event(&mut self, what: Move) -> Option<Event> {
        let proposal = &self.proposal;
        Some(match what {
            Move::Tap {
                who,
                verdict,
                stale,
                hold,
                code,
            } => {
                let mut event = review(who, verdict, proposal, hold);
                if let Event::Review { verified, .. } = &mut event {
                    *verified = code;
                }
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
                revised(proposal, Box::new(next))
            }
            Move::Settle(n) => settled(Outcome::ALL[n % Outcome::ALL.len()]),
            Move::Service(n) => self.service(n),
            Move::Onward => return self.onward(),
            Move::Wait(_) | Move::Policy(_) => return None,
        })
    }

    pub fn content(&self, skip: u32, requested: Option<Tier>) -> Revision {
        let number = self.proposal.revision.number + skip;
        // Content that names the runbook, whatever the proposal came from: the policy may call it standard.
        revision(number, &Origin::Runbook(call()), &self.sketch.policy(), requested, self.now)
    }

    /// Anything that the service may feed back, fitting or not.
    pub fn service(&mut self, n: u8) -> Event {
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
                orders: Orders::default(),
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

    pub fn build(&mut self) -> Event {
        self.built += 1;
        built(&self.proposal, self.built)
    }

    pub fn onward(&mut self) -> Option<Event> {
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
                trouble: None,
            }),
            Delivery::Syncing => Some(settled(Outcome::Synced)),
            Delivery::Ended => Some(Event::Reverted { by: other() }),
        }
    }

    pub fn happen(&mut self, event: Event) -> Result<(), String> {
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
        | Event::Locked { .. }
        | Event::Withdraw { .. }
        | Event::Revise { .. }
        | Event::Expire
        | Event::Prepared { .. }
        | Event::Arrived { .. }
        | Event::PullSeen { .. }
        | Event::Undone { .. }
        | Event::Diverged { .. }
        | Event::Observed { .. }
        | Event::Settled { .. }
        | Event::Recovered
        | Event::Reverted { .. }
        | Event::Restored { .. }
        | Event::TakenBack { .. }
        | Event::PutBack { .. } => false,
    }
}
