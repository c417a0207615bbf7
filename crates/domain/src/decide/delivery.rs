//! From the decision to the branch: commits that were built, pushed, missed or refused.

use super::{Decided, Step, at};
use crate::gate::{look_again, may_send, said};
use crate::{Attempt, CommitId, Decision, Delivery, Effect, Orders, Origin, Refusal, Scheduled, Sha256Hash, Transition};

impl Step<'_> {
    pub(super) fn commit_built(&self, commit: CommitId, parent: CommitId, digest: Sha256Hash, orders: &Orders) -> Decided {
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
        if let Err(holds) = may_send(self.policy, &orders.stops, self.proposal, &orders.overridden, self.now) {
            // The approvals are kept; it is looked at again when the time may have come.
            let mut step = self.to(self.proposal.clone(), [], said(&holds));
            step.effects.push(Scheduled {
                effect: Effect::Deliver,
                due: look_again(&holds, self.now),
            });
            return Ok(step);
        }
        if let Some(why) = self.held() {
            let mut step = self.to(self.proposal.clone(), [], format!("waits: {why}"));
            step.effects.push(Scheduled {
                effect: Effect::Deliver,
                due: look_again(&[], self.now),
            });
            return Ok(step);
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
        match self.proposal.delivery {
            Delivery::Committing | Delivery::PushBlocked | Delivery::Queued if self.was_sent(commit) => {}
            // Somebody rewrote the branch, or borrowed our trailer: nobody approved exactly that commit, so a human looks.
            Delivery::Committing => {
                return self.push_refused(format!(
                    "commit {} on the branch names this proposal, but was not made by Countersign: look before you retry",
                    commit.short()
                ));
            }
            Delivery::None
            | Delivery::Queued
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
        let mut effects = self.tell();
        at(&mut effects, self.now, [Effect::Observe]);
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
        Ok(self.to(next, [Effect::Deliver], "the branch does not have it: built again".to_owned()))
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
        let mut effects = self.tell();
        at(&mut effects, self.now, [Effect::Notify]);
        Ok(Transition {
            next,
            effects,
            summary: format!("push blocked: {message}"),
            seals: false,
        })
    }

    /// Whether a commit is one of ours: stored before its push.
    pub(super) fn was_sent(&self, commit: CommitId) -> bool {
        self.proposal.attempts.iter().any(|attempt| attempt.commit == commit)
    }

    /// A standard run has no card before its first push: its note is posted then, and edited when there is one already.
    fn tell(&self) -> Vec<Scheduled> {
        let mut effects = Vec::new();
        if self.proposal.decision == Decision::NotRequired {
            at(&mut effects, self.now, [Effect::SendCard]);
        }
        if self.proposal.decision != Decision::NotRequired || self.proposal.attempts.len() > 1 {
            at(&mut effects, self.now, [Effect::EditCards]);
        }
        effects
    }
}
