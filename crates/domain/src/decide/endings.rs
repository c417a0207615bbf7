//! Ends without a delivery: withdrawn, expired, refused, conflicted, on the branch already.

use super::{Decided, Step, at};
use crate::{CommitId, Decision, Delivery, Effect, Ending, Outcome, Refusal, RepoPath, Scheduled};

impl Step<'_> {
    pub(super) fn withdraw(&self, reason: Option<String>) -> Decided {
        self.must_be_the_agents()?;
        self.must_not_be_over()?;
        match self.proposal.delivery {
            Delivery::None | Delivery::AwaitingCommit | Delivery::Queued | Delivery::PushBlocked => {
                let ending = Ending {
                    by: None,
                    reason,
                    reason_until: None,
                };
                Ok(self.end(
                    self.next(),
                    Decision::Withdrawn,
                    Outcome::Withdrawn,
                    Some(ending),
                    "withdrawn by the agent".to_owned(),
                ))
            }
            delivery @ (Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended) => {
                Err(Refusal::TooLate { delivery })
            }
        }
    }

    pub(super) fn conflict(&self, paths: &[RepoPath]) -> Decided {
        self.must_be_stoppable("conflict")?;
        let list: Vec<_> = paths.iter().take(5).map(RepoPath::as_str).collect();
        let decision = match self.proposal.decision {
            // Nobody decided: what has ended must not look as if it waited.
            Decision::Pending => Decision::Refused,
            decided @ (Decision::Approved
            | Decision::NotRequired
            | Decision::Rejected
            | Decision::Expired
            | Decision::Withdrawn
            | Decision::Refused
            | Decision::Dismissed) => decided,
        };
        let mut step = self.end(
            self.next(),
            decision,
            Outcome::Conflicted,
            None,
            format!("conflicted: {}", list.join(", ")),
        );
        step.next.note = Some(format!("the branch changed the same lines: {}", list.join(", ")));
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    pub(super) fn already_there(&self, commit: CommitId) -> Decided {
        self.must_be_stoppable("already_there")?;
        if self.was_sent(commit) {
            // It is there because we brought it: the answer to our push was lost.
            return self.push_confirmed(commit);
        }
        let summary = "already on the branch".to_owned();
        let mut step = self.end(self.next(), Decision::Dismissed, Outcome::Dismissed, None, summary);
        step.next.note = Some(format!("the branch already holds all of it (seen at {})", commit.short()));
        Ok(step)
    }

    pub(super) fn expire(&self) -> Decided {
        self.must_be_pending()?;
        if self.now < self.proposal.expires_at {
            // The time was extended after this timer was set. It is set again: without it nothing would ever end the waiting.
            let mut step = self.to(self.proposal.clone(), [], "the time to decide was extended".to_owned());
            step.effects.push(Scheduled {
                effect: Effect::Expire,
                due: self.proposal.expires_at,
            });
            return Ok(step);
        }
        let mut step = self.end(
            self.next(),
            Decision::Expired,
            Outcome::Expired,
            None,
            "nobody decided in time".to_owned(),
        );
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    pub(super) fn refuse(&self, why: String) -> Decided {
        self.must_be_stoppable("refuse")?;
        let mut step = self.end(self.next(), Decision::Refused, Outcome::Refused, None, format!("refused: {why}"));
        step.next.note = Some(why);
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }
}
