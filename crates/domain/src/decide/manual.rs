//! The manual tier: prepared by the service, committed by a human.

use super::{Decided, Step, at};
use crate::{CommitId, Decision, Delivery, Effect, Landed, Origin, Outcome, PullRequest, Refusal, Tier, Transition};

impl Step<'_> {
    pub(super) fn prepared(&self, pull: Option<PullRequest>) -> Decided {
        self.must_be_pending()?;
        if self.proposal.tier() != Tier::Manual || self.proposal.delivery != Delivery::None {
            return Err(self.illegal("prepared"));
        }
        let mut next = self.next();
        next.delivery = Delivery::AwaitingCommit;
        next.pull = pull;
        Ok(self.to(
            next,
            [Effect::SendCard, Effect::WatchLanding],
            "prepared for a human to commit".to_owned(),
        ))
    }

    pub(super) fn arrived(&self, commit: CommitId, landed: Landed, by: String, alarm: Option<String>) -> Decided {
        self.must_await_commit("arrived")?;
        let mut next = self.next();
        next.decision = Decision::Approved;
        next.decided_at = Some(self.now);
        next.delivery = Delivery::Pushed;
        next.commit = Some(commit);
        next.pushed_at = Some(self.now);
        next.landed = Some(landed);
        next.note.clone_from(&alarm);
        let summary = format!("{} landed {} by {by}", commit.short(), landed.as_str().replace('_', " "));
        next.committed_by = Some(by);
        let mut effects = Vec::new();
        at(&mut effects, self.now, [Effect::EditCards, Effect::Observe]);
        if let Some(text) = alarm {
            at(&mut effects, self.now, [Effect::Alarm { text }]);
        }
        if matches!(next.origin, Origin::Revert { .. }) {
            at(&mut effects, self.now, [Effect::MarkReverted]);
        }
        Ok(Transition {
            next,
            effects,
            summary,
            seals: true,
        })
    }

    /// A look at the branch counts only for what is prepared: a revision that came meanwhile was never compared with it.
    fn must_await_commit(&self, event: &'static str) -> Result<(), Refusal> {
        self.must_be_pending()?;
        match self.proposal.delivery {
            Delivery::AwaitingCommit => Ok(()),
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::Pushed
            | Delivery::Syncing
            | Delivery::Ended => Err(self.illegal(event)),
        }
    }

    pub(super) fn diverged(&self, commit: CommitId, by: &str) -> Decided {
        self.must_await_commit("diverged")?;
        let mut next = self.next();
        next.committed_by = Some(by.to_owned());
        let mut step = self.end(
            next,
            Decision::Dismissed,
            Outcome::Diverged,
            None,
            format!("diverged at {}", commit.short()),
        );
        step.next.note = Some(format!("{by} changed the same files otherwise in {}", commit.short()));
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }
}
