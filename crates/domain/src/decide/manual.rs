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
            // A note that was sent while a stop held the pull request back gets its link.
            [Effect::EditCards, Effect::SendCard, Effect::WatchLanding],
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

    /// It waits on: a human may commit it in another way.
    pub(super) fn pull_seen(&self, closed: bool) -> Decided {
        self.must_await_commit("pull_seen")?;
        let mut next = self.next();
        let Some(pull) = next.pull.as_mut().filter(|pull| pull.closed != closed) else {
            return Err(self.illegal("pull_seen"));
        };
        pull.closed = closed;
        let note = format!(
            "pull request #{} was closed without a merge: reopen it, commit the change by hand, or put it aside; the agent can withdraw it",
            pull.number
        );
        if closed {
            let summary = format!("pull request #{} was closed without a merge", pull.number);
            next.note = Some(note);
            return Ok(self.to(next, [Effect::EditCards, Effect::Notify], summary));
        }
        let summary = format!("pull request #{} is open again", pull.number);
        if next.note.as_ref() == Some(&note) {
            next.note = None;
        }
        Ok(self.to(next, [Effect::EditCards], summary))
    }

    /// What the branch no longer holds has not landed: it waits on, and people are told once.
    pub(super) fn came_to_nothing(&self, (commit, by): (CommitId, &str), (undone, undone_by): (CommitId, &str)) -> Decided {
        self.must_await_commit("undone")?;
        let note = format!(
            "{by} committed it with {}, and with {} by {undone_by} the files are as before again: commit it anew, or put it aside",
            commit.short(),
            undone.short()
        );
        let mut next = self.next();
        if next.note.as_ref() == Some(&note) {
            return Err(self.illegal("undone"));
        }
        next.note = Some(note);
        let summary = format!("{} brought it, {} took it back", commit.short(), undone.short());
        Ok(self.to(next, [Effect::EditCards, Effect::Notify], summary))
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
