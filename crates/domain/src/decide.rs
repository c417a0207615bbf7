//! The one transition function. Synchronous, total, no clock, no I/O: deciding is pure, executing makes no choices.
//!
//! Each file below holds the steps of one subject; what they share stands here.

use chrono::TimeDelta;

use crate::{Decision, Delivery, Effect, Ending, Event, Origin, Outcome, Policy, Proposal, Refusal, Scheduled, Tier, Timestamp};

mod delivery;
mod endings;
mod manual;
mod people;
mod revisions;
mod routing;
mod sync;

pub use people::progress;

/// Seconds for which a reason may be added to a reject: long enough to type one on a phone, short enough to leave the card clean.
pub const REASON_SECONDS: i64 = 120;
/// The share of the time to decide after which people are reminded once, in percent.
pub const REMINDER_PERCENT: i32 = 75;

/// The result of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The proposal afterwards; its version is raised when people or agents can see a difference.
    pub next: Proposal,
    /// What is owed now.
    pub effects: Vec<Scheduled>,
    /// A short sentence for the audit row and the tap's answer.
    pub summary: String,
    /// This is the step that decided: its audit row becomes the proposal's `audit_head`.
    pub seals: bool,
}

/// Opens a proposal: the effects that a new one owes. `proposal` comes routed, pending, without reviews.
pub fn open(mut proposal: Proposal, now: Timestamp) -> Transition {
    let mut effects = Vec::new();
    let summary = match (&proposal.origin, proposal.tier()) {
        (Origin::Observed(_), _) => {
            proposal.decision = Decision::NotRequired;
            proposal.decided_at = Some(now);
            proposal.delivery = Delivery::Pushed;
            proposal.pushed_at = Some(now);
            at(&mut effects, now, [Effect::SendCard, Effect::Observe]);
            "observed: the agent pushed by itself".to_owned()
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Standard) => {
            proposal.decision = Decision::NotRequired;
            proposal.decided_at = Some(now);
            proposal.delivery = Delivery::Queued;
            at(&mut effects, now, [Effect::Deliver]);
            format!("standard: {}", proposal.revision.route.why)
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Prompted) => {
            at(&mut effects, now, [Effect::SendCard]);
            timers(&mut proposal, now, &mut effects);
            format!("prompted: {}", proposal.revision.route.why)
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Manual) => {
            at(&mut effects, now, [Effect::Prepare]);
            timers(&mut proposal, now, &mut effects);
            format!("manual: {}", proposal.revision.route.why)
        }
    };
    let seals = proposal.decision == Decision::NotRequired;
    Transition {
        next: proposal,
        effects,
        summary,
        seals,
    }
}

/// What an event does to a proposal under the policy in force.
///
/// # Errors
/// A typed [`Refusal`] when the event does not fit the state or the person; nothing changes then.
pub fn decide(proposal: &Proposal, event: Event, policy: &Policy, now: Timestamp) -> Result<Transition, Refusal> {
    let step = Step { proposal, policy, now };
    match event {
        Event::Review {
            by,
            verdict,
            revision,
            digest,
            hold_seconds,
            verified,
        } => step.review(by, verdict, (revision, digest), hold_seconds, verified),
        Event::Reason { by, text } => step.reason(&by, text),
        Event::Cancel { by } => step.cancel(by),
        Event::Retry { by } => step.retry(&by),
        Event::Withdraw { reason } => step.withdraw(reason),
        Event::Revise {
            revision,
            title,
            reason,
            correlation,
        } => step.revise(*revision, title, reason, correlation),
        Event::Reshow { revision } => step.reshow(*revision),
        Event::Rerender { revision } => step.rerender(*revision),
        Event::Conflict { paths } => step.conflict(&paths),
        Event::AlreadyThere { commit } => step.already_there(commit),
        Event::Expire => step.expire(),
        Event::Refuse { why } => step.refuse(why),
        Event::CommitBuilt {
            commit,
            parent,
            digest,
            orders,
        } => step.commit_built(commit, parent, digest, &orders),
        Event::Locked { by } => step.locked(&by),
        Event::PushConfirmed { commit } => step.push_confirmed(commit),
        Event::PushMissed => step.push_missed(),
        Event::PushRefused { message } => step.push_refused(message),
        Event::Prepared { pull } => step.prepared(pull),
        Event::Arrived { commit, landed, by, alarm } => step.arrived(commit, landed, by, alarm),
        Event::PullSeen { closed } => step.pull_seen(closed),
        Event::Undone {
            commit,
            by,
            undone,
            undone_by,
        } => step.came_to_nothing((commit, &by), (undone, &undone_by)),
        Event::Diverged { commit, by } => step.diverged(commit, &by),
        Event::Observed { applications, trouble } => step.observed(applications, trouble.as_deref()),
        Event::Settled {
            outcome,
            applications,
            note,
        } => step.settled(outcome, applications, note),
        Event::Recovered => step.recovered(),
        Event::Reverted { by } => step.reverted(by),
        Event::Restored { by } => step.restored(by),
        Event::TakenBack { commit, author, restored } => step.taken_back(commit, author, restored),
        Event::PutBack { commit } => step.put_back(commit),
    }
}

struct Step<'a> {
    proposal: &'a Proposal,
    policy: &'a Policy,
    now: Timestamp,
}

type Decided = Result<Transition, Refusal>;

impl Step<'_> {
    fn next(&self) -> Proposal {
        let mut next = self.proposal.clone();
        next.version += 1;
        next
    }

    fn to<const N: usize>(&self, next: Proposal, owed: [Effect; N], summary: String) -> Transition {
        let mut effects = Vec::new();
        at(&mut effects, self.now, owed);
        Transition {
            next,
            effects,
            summary,
            seals: false,
        }
    }

    /// The end. What was said about an earlier state (a blocked push, a merge to be looked at) says nothing about it: an end that has a
    /// reason gives it afterwards.
    fn end(&self, mut next: Proposal, decision: Decision, outcome: Outcome, ending: Option<Ending>, summary: String) -> Transition {
        if next.decided_at.is_none() {
            next.decided_at = Some(self.now);
        }
        next.decision = decision;
        next.delivery = Delivery::Ended;
        next.outcome = Some(outcome);
        next.ended_at = Some(self.now);
        next.hold_until = None;
        next.note = None;
        if ending.is_some() {
            next.ended_by = ending;
        }
        self.to(next, [Effect::EditCards], summary)
    }

    fn must_be_pending(&self) -> Result<(), Refusal> {
        if self.proposal.decision == Decision::Pending && self.proposal.outcome.is_none() {
            Ok(())
        } else {
            Err(Refusal::NotPending {
                decision: self.proposal.decision,
            })
        }
    }

    /// The time to decide is over as soon as it has come, even when the timer is late: silence never approves.
    fn must_be_in_time(&self) -> Result<(), Refusal> {
        if self.now < self.proposal.expires_at {
            Ok(())
        } else {
            Err(Refusal::NotPending {
                decision: Decision::Expired,
            })
        }
    }

    fn must_not_be_over(&self) -> Result<(), Refusal> {
        if self.proposal.outcome.is_none() {
            Ok(())
        } else {
            Err(Refusal::NotPending {
                decision: self.proposal.decision,
            })
        }
    }

    /// What an agent sends is the agent's: it can neither change nor stop what a person asked for in its name, such as a revert.
    fn must_be_the_agents(&self) -> Result<(), Refusal> {
        match &self.proposal.requested_by {
            None => Ok(()),
            Some(_) => Err(Refusal::AskedByPerson),
        }
    }

    /// Nothing was sent to the remote yet.
    fn must_be_stoppable(&self, event: &'static str) -> Result<(), Refusal> {
        self.must_not_be_over()?;
        match self.proposal.delivery {
            Delivery::None | Delivery::Queued | Delivery::AwaitingCommit | Delivery::PushBlocked => Ok(()),
            Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => Err(self.illegal(event)),
        }
    }

    const fn illegal(&self, event: &'static str) -> Refusal {
        Refusal::Illegal {
            event,
            decision: self.proposal.decision,
            delivery: self.proposal.delivery,
        }
    }
}

fn at<const N: usize>(effects: &mut Vec<Scheduled>, due: Timestamp, owed: [Effect; N]) {
    effects.extend(owed.into_iter().map(|effect| Scheduled { effect, due }));
}

/// Reminder and second group count from now: a change that comes back to people late in its life must not remind them at once.
fn timers(proposal: &mut Proposal, now: Timestamp, effects: &mut Vec<Scheduled>) {
    let waits = proposal.expires_at - now;
    let route = &mut proposal.revision.route;
    if route.tier == Tier::Prompted {
        route.waiting.asked_at = Some(now);
        let asked = route.waiting.reminder_seconds.map(|seconds| TimeDelta::seconds(i64::from(seconds)));
        let reminder = asked.filter(|after| *after < waits).unwrap_or(waits * REMINDER_PERCENT / 100);
        effects.push(Scheduled {
            effect: Effect::Remind,
            due: now + reminder,
        });
        // Nobody is called for a change that is over by then.
        effects.extend(route.escalates_at().filter(|due| *due < proposal.expires_at).map(|due| Scheduled {
            effect: Effect::Escalate,
            due,
        }));
    }
    effects.push(Scheduled {
        effect: Effect::Expire,
        due: proposal.expires_at,
    });
}

#[cfg(test)]
pub(crate) mod tests;
