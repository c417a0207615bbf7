//! Broken copies of single rules: the judge must see each of them, or its silence about the real ones would mean nothing.

use super::history::Decide;
use super::properties::histories;
use crate::{Attempt, Decision, Delivery, Effect, Event, Outcome, Proposal, ReviewVerdict, Scheduled, Tier, Transition, decide};

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
                Event::CommitBuilt {
                    commit, parent, digest, ..
                } if proposal.delivery == Delivery::Queued && *digest == proposal.revision.digest && proposal.hold_until.is_none() => {
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
            "every approval passes for one with a code",
            |proposal, mut event, policy, now| {
                if let Event::Review { verified, .. } = &mut event {
                    *verified = true;
                }
                decide(proposal, event, policy, now)
            },
            "is not enough",
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
                let standard = matches!(&event, Event::Revise { revision, .. } if revision.route.tier == Tier::Standard);
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
