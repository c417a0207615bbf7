//! From the decision to the branch: commits that were built, pushed, missed or refused.

use super::{Decided, Step, at};
use crate::{Attempt, CommitId, Decision, Delivery, Effect, Origin, Refusal, Sha256Hash, Transition};

impl Step<'_> {
    pub(super) fn commit_built(&self, commit: CommitId, parent: CommitId, digest: Sha256Hash) -> Decided {
        if self.proposal.delivery != Delivery::Queued {
            return Err(self.illegal("commit_built"));
        }
        if digest != self.proposal.revision.digest {
            return Err(Refusal::DigestMismatch {
                built: digest,
                approved: self.proposal.revision.digest,
            });
        }
        if let Some(stopped) = self.recheck() {
            return Ok(stopped);
        }
        let mut next = self.next();
        next.delivery = Delivery::Committing;
        next.hold_until = None;
        next.attempts.push(Attempt {
            commit,
            parent,
            at: self.now,
        });
        Ok(self.to(next, [Effect::EditCards], format!("commit {} built", commit.short())))
    }

    pub(super) fn push_confirmed(&self, commit: CommitId) -> Decided {
        let sent = self.proposal.attempts.iter().any(|attempt| attempt.commit == commit);
        match self.proposal.delivery {
            Delivery::Committing | Delivery::PushBlocked | Delivery::Queued if sent => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Pushed
            | Delivery::Syncing
            | Delivery::Ended => return Err(self.illegal("push_confirmed")),
        }
        let mut next = self.next();
        next.delivery = Delivery::Pushed;
        next.commit = Some(commit);
        next.pushed_at = Some(self.now);
        next.note = None;
        let mut effects = Vec::new();
        // A standard run has no card yet: its note is posted now, afterwards it is edited.
        let card = if self.proposal.decision == Decision::NotRequired {
            Effect::SendCard
        } else {
            Effect::EditCards
        };
        at(&mut effects, self.now, [card, Effect::Observe]);
        if matches!(next.origin, Origin::Revert { .. }) {
            at(&mut effects, self.now, [Effect::MarkReverted]);
        }
        Ok(Transition {
            next,
            effects,
            summary: format!("{} is on the branch", commit.short()),
            seals: false,
        })
    }

    pub(super) fn push_missed(&self) -> Decided {
        if self.proposal.delivery != Delivery::Committing {
            return Err(self.illegal("push_missed"));
        }
        let mut next = self.next();
        next.delivery = Delivery::Queued;
        Ok(self.to(next, [Effect::Deliver], "the branch moved first: built again".to_owned()))
    }

    pub(super) fn push_refused(&self, message: String) -> Decided {
        match self.proposal.delivery {
            Delivery::Committing | Delivery::Queued => {}
            Delivery::None | Delivery::PushBlocked | Delivery::AwaitingCommit | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => {
                return Err(self.illegal("push_refused"));
            }
        }
        let mut next = self.next();
        next.delivery = Delivery::PushBlocked;
        next.note = Some(message.clone());
        let card = if self.proposal.decision == Decision::NotRequired {
            Effect::SendCard
        } else {
            Effect::EditCards
        };
        Ok(self.to(next, [card, Effect::Notify], format!("the push was refused: {message}")))
    }
}
