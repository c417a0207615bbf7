//! After the push: what Argo CD shows, the outcome, and what happens to it later.

use super::{Decided, Step, at};
use crate::{ApplicationState, ByHand, CommitId, Delivery, Effect, Origin, Outcome, Proposal, ProposalId, Transition};

impl Step<'_> {
    pub(super) fn observed(&self, applications: Vec<ApplicationState>, trouble: Option<&str>) -> Decided {
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
        let note = with_trouble(self.proposal.note.as_deref(), trouble);
        let visible = self.proposal.delivery != Delivery::Syncing
            || note != self.proposal.note
            || visibly_differ(&self.proposal.applications, &applications);
        let mut next = if visible { self.next() } else { self.proposal.clone() };
        next.delivery = Delivery::Syncing;
        next.applications = applications;
        next.note = note;
        let mut effects = Vec::new();
        if visible {
            at(&mut effects, self.now, [Effect::EditCards]);
        }
        if next.awaits_manual_sync() && !self.proposal.awaits_manual_sync() {
            at(&mut effects, self.now, [Effect::Notify]);
        }
        let states = next.applications.iter().map(|app| format!("{} {}", app.name, app.state));
        let states: Vec<_> = states.chain(trouble.map(|trouble| format!("{TROUBLE}{trouble}"))).collect();
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
        let mut step = self.end(next, self.proposal.decision, outcome, None, format!("ended: {outcome}"));
        step.next.note = note.or_else(|| with_trouble(self.proposal.note.as_deref(), None));
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
        // What stood there is over: only all of them together make a recovery.
        for app in next.applications.iter_mut().filter(|app| app.state != "synced") {
            app.state = "synced".to_owned();
            app.headline = "Synced and healthy after all".to_owned();
        }
        Ok(self.to(next, [Effect::EditCards, Effect::Notify], "recovered".to_owned()))
    }

    pub(super) fn reverted(&self, by: ProposalId) -> Decided {
        if self.proposal.commit.is_none() || self.proposal.reverted_by.is_some() {
            return Err(self.illegal("reverted"));
        }
        let mut next = self.next();
        next.reverted_by = Some(by);
        Ok(self.undone(next, format!("reverted by {by}")))
    }

    pub(super) fn restored(&self, by: ProposalId) -> Decided {
        if self.proposal.reverted_by != Some(by) {
            return Err(self.illegal("restored"));
        }
        let mut next = self.next();
        next.reverted_by = None;
        Ok(self.undone(next, format!("on the branch again: revert {by} was reverted")))
    }

    pub(super) fn taken_back(&self, commit: CommitId, author: String, restored: bool) -> Decided {
        // Words are followed by deeds perhaps, deeds by nothing until they are undone themselves. One commit tells once.
        let told = self.proposal.by_hand.as_ref().is_some_and(|known| match known.put_back {
            Some(_) => known.commit == commit,
            None => known.restored || !restored,
        });
        if self.proposal.commit.is_none() || self.proposal.reverted_by.is_some() || told {
            return Err(self.illegal("taken_back"));
        }
        let summary = if restored {
            format!("reverted by hand in commit {} by {author}", commit.short())
        } else {
            format!("commit {} by {author} says that it reverts this", commit.short())
        };
        let mut next = self.next();
        next.by_hand = Some(ByHand {
            commit,
            author,
            restored,
            put_back: None,
        });
        Ok(self.undone(next, summary))
    }

    pub(super) fn put_back(&self, commit: CommitId) -> Decided {
        let Some(known) = self.proposal.by_hand.as_ref().filter(|known| known.stands()) else {
            return Err(self.illegal("put_back"));
        };
        let summary = format!("on the branch again: commit {} took {} back", commit.short(), known.commit.short());
        let mut next = self.next();
        next.by_hand = Some(ByHand {
            put_back: Some(commit),
            ..known.clone()
        });
        Ok(self.undone(next, summary))
    }

    /// What a revert undid follows: while the revert itself is undone, that is there again.
    fn undone(&self, next: Proposal, summary: String) -> Transition {
        let follows = matches!(next.origin, Origin::Revert { .. });
        let mut step = self.to(next, [Effect::EditCards], summary);
        if follows {
            at(&mut step.effects, self.now, [Effect::MarkReverted]);
        }
        step
    }
}

/// How a note begins, or goes on, that says why Argo CD cannot be asked.
const TROUBLE: &str = "Argo CD cannot be asked: ";

/// The note with the present trouble instead of an earlier one. What else it says stays.
fn with_trouble(note: Option<&str>, trouble: Option<&str>) -> Option<String> {
    let lasting = note.map(|note| note.split(TROUBLE).next().unwrap_or_default().trim_end_matches("; "));
    let lasting = lasting.filter(|note| !note.is_empty()).map(str::to_owned);
    let present = trouble.map(|trouble| format!("{TROUBLE}{trouble}"));
    let parts: Vec<String> = lasting.into_iter().chain(present).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn visibly_differ(before: &[ApplicationState], after: &[ApplicationState]) -> bool {
    before.len() != after.len()
        || before
            .iter()
            .zip(after)
            .any(|(a, b)| (&a.name, &a.state, &a.headline) != (&b.name, &b.state, &b.headline))
}
