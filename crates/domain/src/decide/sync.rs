//! After the push: what Argo CD shows, the outcome, and what happens to it later.

use super::{Decided, Step, at};
use crate::{ApplicationState, Delivery, Effect, Outcome, ProposalId, Transition};

impl Step<'_> {
    pub(super) fn observed(&self, applications: Vec<ApplicationState>) -> Decided {
        match self.proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Ended => {
                return Err(self.illegal("observed"));
            }
        }
        let visible = self.proposal.delivery != Delivery::Syncing || visibly_differ(&self.proposal.applications, &applications);
        let mut next = if visible { self.next() } else { self.proposal.clone() };
        next.delivery = Delivery::Syncing;
        next.applications = applications;
        let mut effects = Vec::new();
        if visible {
            at(&mut effects, self.now, [Effect::EditCards]);
        }
        let states: Vec<_> = next.applications.iter().map(|app| format!("{} {}", app.name, app.state)).collect();
        Ok(Transition {
            summary: states.join(", "),
            next,
            effects,
            seals: false,
        })
    }

    pub(super) fn settled(&self, outcome: Outcome, applications: Vec<ApplicationState>, note: Option<String>) -> Decided {
        match self.proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Ended => {
                return Err(self.illegal("settled"));
            }
        }
        match outcome {
            Outcome::Synced
            | Outcome::Pushed
            | Outcome::Degraded
            | Outcome::SyncFailed
            | Outcome::TimedOut
            | Outcome::RolledBack
            | Outcome::Lost => {}
            // The words of ends before the push: what is on the branch cannot come to them.
            Outcome::Conflicted
            | Outcome::PushRefused
            | Outcome::Diverged
            | Outcome::Rejected
            | Outcome::Expired
            | Outcome::Withdrawn
            | Outcome::Refused
            | Outcome::Dismissed => return Err(self.illegal("settled")),
        }
        let mut next = self.next();
        next.applications = applications;
        if note.is_some() {
            next.note = note;
        }
        let mut step = self.end(next, self.proposal.decision, outcome, None, format!("ended: {outcome}"));
        if outcome.is_failure() {
            at(&mut step.effects, self.now, [Effect::Notify]);
        }
        Ok(step)
    }

    pub(super) fn recovered(&self) -> Decided {
        let failed = self.proposal.outcome.is_some_and(Outcome::is_failure) && self.proposal.commit.is_some();
        if !failed || self.proposal.recovered_at.is_some() {
            return Err(self.illegal("recovered"));
        }
        let mut next = self.next();
        next.recovered_at = Some(self.now);
        Ok(self.to(next, [Effect::EditCards, Effect::Notify], "recovered".to_owned()))
    }

    pub(super) fn reverted(&self, by: ProposalId) -> Decided {
        if self.proposal.commit.is_none() || self.proposal.reverted_by.is_some() {
            return Err(self.illegal("reverted"));
        }
        let mut next = self.next();
        next.reverted_by = Some(by);
        Ok(self.to(next, [Effect::EditCards], format!("reverted by {by}")))
    }
}

fn visibly_differ(before: &[ApplicationState], after: &[ApplicationState]) -> bool {
    before.len() != after.len()
        || before
            .iter()
            .zip(after)
            .any(|(a, b)| (&a.name, &a.state, &a.headline) != (&b.name, &b.state, &b.headline))
}
