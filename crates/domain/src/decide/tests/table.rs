//! Every reachable state × every event, as one readable table. States are found by walking from `open`; events come from a chain that
//! the compiler keeps complete: a new state or a new event shows up in the snapshot by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;

use super::world::*;
use crate::{
    Decision, Delivery, Event, Origin, Outcome, Policy, Proposal, Refusal, ReviewVerdict, Scheduled, Tier, Timestamp, Transition, decide,
    open,
};

/// One more event after each: a new kind of event does not compile until it has its place here.
fn following(event: Option<&Event>, proposal: &Proposal, policy: &Policy) -> Option<Event> {
    let number = proposal.revision.number + 1;
    let new = |requested| Box::new(revision(number, &proposal.origin, policy, requested, start()));
    let Some(event) = event else {
        return Some(review("alice", ReviewVerdict::Approve, proposal, 0));
    };
    match event {
        Event::Review {
            verdict: ReviewVerdict::Approve,
            ..
        } => Some(review("alice", ReviewVerdict::Reject, proposal, 0)),
        Event::Review {
            verdict: ReviewVerdict::Reject,
            ..
        } => Some(Event::Reason {
            by: person("alice"),
            text: "not today".to_owned(),
        }),
        Event::Reason { .. } => Some(Event::Cancel { by: person("alice") }),
        Event::Cancel { .. } => Some(Event::Retry { by: person("alice") }),
        Event::Retry { .. } => Some(Event::Locked { by: person("alice") }),
        Event::Locked { .. } => Some(Event::Withdraw { reason: None }),
        Event::Withdraw { .. } => Some(revised(proposal, new(None))),
        Event::Revise { .. } => Some(Event::Reshow { revision: new(None) }),
        Event::Reshow { .. } => Some(Event::Rerender { revision: new(None) }),
        Event::Rerender { .. } => Some(Event::Conflict {
            paths: vec![PATH.parse().expect("a path")],
        }),
        Event::Conflict { .. } => Some(Event::AlreadyThere { commit: commit(9) }),
        Event::AlreadyThere { .. } => Some(Event::Expire),
        Event::Expire => Some(Event::Refuse { why: "no".to_owned() }),
        Event::Refuse { .. } => Some(built(proposal, 1)),
        Event::CommitBuilt { .. } => Some(Event::PushConfirmed { commit: commit(1) }),
        Event::PushConfirmed { .. } => Some(Event::PushMissed),
        Event::PushMissed => Some(Event::PushRefused { message: "no".to_owned() }),
        Event::PushRefused { .. } => Some(Event::Prepared { pull: Some(pull()) }),
        Event::Prepared { .. } => Some(arrived(8)),
        Event::Arrived { .. } => Some(Event::PullSeen { closed: true }),
        Event::PullSeen { closed: true } => Some(Event::PullSeen { closed: false }),
        Event::PullSeen { closed: false } => Some(Event::Undone {
            commit: commit(8),
            by: "dave".to_owned(),
            undone: commit(9),
            undone_by: "erin".to_owned(),
        }),
        Event::Undone { .. } => Some(Event::Diverged {
            commit: commit(8),
            by: "dave".to_owned(),
        }),
        Event::Diverged { .. } => Some(Event::Observed {
            applications: vec![application("syncing")],
            trouble: None,
        }),
        Event::Observed { .. } => Some(settled(Outcome::Synced)),
        Event::Settled { .. } => Some(Event::Recovered),
        Event::Recovered => Some(Event::Reverted { by: other() }),
        Event::Reverted { .. } => Some(Event::Restored { by: other() }),
        Event::Restored { .. } => Some(Event::TakenBack {
            commit: commit(96),
            author: "dave".to_owned(),
            restored: true,
        }),
        Event::TakenBack { .. } => Some(Event::PutBack { commit: commit(97) }),
        Event::PutBack { .. } => None,
    }
}

/// An event with its circumstances.
struct Try {
    label: &'static str,
    event: Event,
    policy: Rc<Policy>,
    now: Timestamp,
}

/// All events of the chain, and the same ones in circumstances that matter.
fn tries(proposal: &Proposal, sketch: &Sketch) -> Vec<Try> {
    let (policy, now) = (sketch.policy(), later(60));
    let mut tries = Vec::new();
    let mut last = None;
    while let Some(event) = following(last.as_ref(), proposal, &policy) {
        last = Some(event.clone());
        tries.push(Try {
            label: "",
            event,
            policy: policy.clone(),
            now,
        });
    }
    let mut add = |label, event, sketch: Sketch, now| {
        tries.push(Try {
            label,
            event,
            policy: sketch.policy(),
            now,
        });
    };
    let approve = |name| review(name, ReviewVerdict::Approve, proposal, 0);
    let reject = |name| review(name, ReviewVerdict::Reject, proposal, 0);
    let base = || sketch.clone();
    let manual = || Sketch::of(Tier::Manual);
    let more = || Sketch {
        asks: "platform",
        quorum: 1,
        ..Sketch::of(Tier::Prompted)
    };
    add("by another", approve("carol"), base(), now);
    add(
        "by another, with 30 s to cancel",
        review("carol", ReviewVerdict::Approve, proposal, 30),
        base(),
        now,
    );
    add("by the agent's owner", approve("bob"), base(), now);
    add("by another group", approve("dave"), base(), now);
    add("by a stranger", approve("mallory"), base(), now);
    add("after the deadline", approve("carol"), base(), proposal.expires_at);
    add("the policy now says manual", approve("carol"), manual(), now);
    add("the policy now asks another group too", approve("carol"), more(), now);
    let mut outdated = approve("carol");
    if let Event::Review { revision, .. } = &mut outdated {
        *revision += 1;
    }
    add("of another revision", outdated, base(), now);
    let mut forged = approve("carol");
    if let Event::Review { digest: shown, .. } = &mut forged {
        *shown = digest(999);
    }
    add("of other content", forged, base(), now);
    add("by the agent's owner", reject("bob"), base(), now);
    add("by a stranger", reject("mallory"), base(), now);
    add("the policy now says manual", reject("carol"), manual(), now);
    add("after the deadline", reject("carol"), base(), proposal.expires_at);
    let reason = |name| Event::Reason {
        by: person(name),
        text: "later".to_owned(),
    };
    add("by another", reason("carol"), base(), now);
    add("too late", reason("alice"), base(), later(60 + 121));
    add("by a stranger", Event::Cancel { by: person("mallory") }, base(), now);
    add("by another group", Event::Cancel { by: person("dave") }, base(), now);
    add("by a stranger", Event::Retry { by: person("mallory") }, base(), now);
    let policy = sketch.policy();
    let new = |number, requested| Box::new(revision(number, &proposal.origin, &policy, requested, now));
    let number = proposal.revision.number;
    let revise = |revision| revised(proposal, revision);
    add("of an older number", revise(new(number, None)), base(), now);
    add(
        "the agent asks for manual",
        revise(new(number + 1, Some(Tier::Manual))),
        base(),
        now,
    );
    add("after the deadline", revise(new(number + 1, None)), base(), proposal.expires_at);
    let prompted = Box::new(revision(
        number + 1,
        &proposal.origin,
        &Sketch::of(Tier::Prompted).policy(),
        None,
        now,
    ));
    add("no longer standard", Event::Rerender { revision: prompted }, base(), now);
    add("by our own commit", Event::AlreadyThere { commit: commit(1) }, base(), now);
    add("due", Event::Expire, base(), proposal.expires_at);
    let mut changed = built(proposal, 1);
    if let Event::CommitBuilt { digest: built, .. } = &mut changed {
        *built = digest(999);
    }
    add("of other content", changed, base(), now);
    add("the policy now says manual", built(proposal, 1), manual(), now);
    add("the policy now asks another group too", built(proposal, 1), more(), now);
    let fewer = Sketch {
        operators: vec!["alice", "bob"],
        ..base()
    };
    add("an approver was removed", built(proposal, 1), fewer, now);
    add("a commit that is not ours", Event::PushConfirmed { commit: commit(9) }, base(), now);
    add("degraded", settled(Outcome::Degraded), base(), now);
    add("a word of another end", settled(Outcome::Rejected), base(), now);
    add(
        "the same again",
        Event::Observed {
            applications: proposal.applications.clone(),
            trouble: None,
        },
        base(),
        now,
    );
    tries
}

fn origins() -> [(&'static str, Origin); 4] {
    let revert = Origin::Revert {
        of: other(),
        commit: commit(5),
    };
    // A new origin does not compile until it stands in the list above.
    match revert {
        Origin::Change | Origin::Runbook(_) | Origin::Observed(_) | Origin::Revert { .. } => [
            ("change", Origin::Change),
            ("runbook", Origin::Runbook(call())),
            ("observed", Origin::Observed(call())),
            ("revert", revert),
        ],
    }
}

fn state(proposal: &Proposal) -> String {
    let outcome = proposal.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
    format!("{}/{}{outcome}", proposal.decision, proposal.delivery)
}

/// States that behave alike by construction have one key; the first proposal found for it stands for all.
fn key(origin: &str, proposal: &Proposal) -> (String, String) {
    let mut place = format!("{} {origin}", proposal.tier());
    let votes = proposal.approvals().count();
    if votes > 0 && proposal.decision == Decision::Pending && proposal.outcome.is_none() {
        let _ = write!(place, ", {votes} approved");
    }
    if proposal.hold_until.is_some() {
        place.push_str(", held");
    }
    if proposal.ended_by.as_ref().is_some_and(|ending| ending.reason_until.is_some()) {
        place.push_str(", by a person");
    }
    if !proposal.attempts.is_empty() && proposal.delivery == Delivery::Queued {
        place.push_str(", was sent");
    }
    if proposal.recovered_at.is_some() {
        place.push_str(", recovered");
    }
    if proposal.reverted_by.is_some() {
        place.push_str(", reverted");
    }
    (state(proposal), place)
}

fn effects(effects: &[Scheduled], now: Timestamp) -> String {
    let words: Vec<_> = effects
        .iter()
        .map(|owed| match (owed.due - now).num_seconds() {
            0 => owed.effect.key().to_owned(),
            seconds => format!("{}+{seconds}s", owed.effect.key()),
        })
        .collect();
    words.join(" ")
}

fn outcome(before: &Proposal, transition: &Transition, now: Timestamp) -> String {
    let next = &transition.next;
    let mut text = if state(next) == state(before) {
        "=".to_owned()
    } else {
        state(next)
    };
    if next.tier() != before.tier() {
        let _ = write!(text, " now {}", next.tier());
    }
    if next.revision.number != before.revision.number {
        let _ = write!(text, " r{}", next.revision.number - before.revision.number + 1);
    }
    if next.version == before.version {
        text.push_str(" (unseen)");
    }
    if transition.seals {
        text.push_str(" SEALS");
    }
    format!("{text:<44} {}", effects(&transition.effects, now)).trim_end().to_owned()
}

/// One state's lines: what each event does, then the refusals by their reason. Circumstances that change nothing are left out.
fn body(proposal: &Proposal, sketch: &Sketch, found: &mut VecDeque<Proposal>) -> String {
    let mut lines = String::new();
    let mut plain = BTreeMap::<&'static str, String>::new();
    let mut refused = BTreeMap::<String, Vec<String>>::new();
    for Try { label, event, policy, now } in tries(proposal, sketch) {
        let word = event.name();
        let result = decide(proposal, event, &policy, now);
        let text = match &result {
            Ok(transition) => outcome(proposal, transition, now),
            Err(refusal) => reason(refusal),
        };
        if plain.get(word) == Some(&text) {
            continue;
        }
        let name = if label.is_empty() {
            plain.insert(word, text.clone());
            word.to_owned()
        } else {
            format!("{word}, {label}")
        };
        match result {
            Ok(transition) => {
                let _ = writeln!(lines, "  {name:<52} -> {text}");
                found.push_back(transition.next);
            }
            Err(_) => refused.entry(text).or_default().push(name),
        }
    }
    for (reason, names) in refused {
        let _ = writeln!(lines, "  refused ({reason}): {}", names.join("; "));
    }
    lines
}

fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Illegal { .. } => "does not fit".to_owned(),
        Refusal::DigestMismatch { .. } => "not what was approved".to_owned(),
        Refusal::NotPending {
            decision: Decision::Expired,
        } => "expired".to_owned(),
        Refusal::NotPending { .. } => "decided already".to_owned(),
        Refusal::TooLate { .. } => "too late".to_owned(),
        Refusal::Outdated { .. } => "out of date".to_owned(),
        Refusal::AlreadyVoted => "voted already".to_owned(),
        Refusal::Held { .. } => "held".to_owned(),
        Refusal::NeedsCode => "takes a code".to_owned(),
        Refusal::NotEligible => "not asked".to_owned(),
        Refusal::OwnsAgent => "owns the agent".to_owned(),
        Refusal::AskedByPerson => "a person asked for it".to_owned(),
        Refusal::WrongTier { .. } => "not in this tier".to_owned(),
        Refusal::ReasonOfAnother { .. } => "another is asked".to_owned(),
        Refusal::WindowClosed => "reason no longer taken".to_owned(),
    }
}

/// Longest walk from `open`: further ones find no new state.
const REVISIONS_MAX: u32 = 3;

#[test]
fn transitions() {
    // Body by state; states with the same body stand together.
    let mut bodies = BTreeMap::<(String, String), String>::new();
    let mut seen = BTreeSet::<(Decision, Delivery)>::new();
    for (word, origin) in origins() {
        for tier in Tier::ALL {
            let sketch = Sketch::of(*tier);
            let policy = sketch.policy();
            let opened = open(fresh(origin.clone(), &policy), start());
            let head = ("(open)".to_owned(), format!("{} {word}", opened.next.tier()));
            let text = format!("  {:<52} -> {}\n", "open", outcome_of_open(&opened));
            bodies.entry(head).or_insert(text);
            let mut queue = VecDeque::from([opened.next]);
            while let Some(proposal) = queue.pop_front() {
                let key = key(word, &proposal);
                if bodies.contains_key(&key) || proposal.revision.number > REVISIONS_MAX {
                    continue;
                }
                seen.insert((proposal.decision, proposal.delivery));
                let text = body(&proposal, &sketch, &mut queue);
                bodies.insert(key, text);
            }
        }
    }
    let mut groups = BTreeMap::<&str, BTreeMap<&str, Vec<&str>>>::new();
    for ((state, place), text) in &bodies {
        groups.entry(text).or_default().entry(state).or_default().push(place);
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(text, states)| (states, text)).collect();
    groups.sort();
    let mut table = String::from(
        "What every event does in every reachable state. States that behave alike stand together.\n\
         `->` next decision/delivery [outcome] (`=`: the same), then the effects owed (+n s: due later).\n\
         `r2`: a new revision. `(unseen)`: the version stays. `SEALS`: this audit row is the decision's.\n\
         An event in special circumstances stands there only where they make a difference.\n",
    );
    for (states, text) in groups {
        table.push('\n');
        for (state, places) in states {
            let _ = writeln!(table, "{state}  [{}]", places.join("; "));
        }
        table.push_str(text);
    }
    let never: Vec<_> = Decision::ALL
        .iter()
        .map(|decision| {
            let missing = Delivery::ALL.iter().filter(|delivery| !seen.contains(&(*decision, **delivery)));
            format!(
                "{decision}: {}",
                missing.map(|delivery| delivery.as_str()).collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    let _ = write!(table, "\nnever reached:\n  {}\n", never.join("\n  "));
    insta::assert_snapshot!(table);
}

fn outcome_of_open(opened: &Transition) -> String {
    let seals = if opened.seals { " SEALS" } else { "" };
    format!(
        "{:<44} {}",
        format!("{}{seals}", state(&opened.next)),
        effects(&opened.effects, start())
    )
}
