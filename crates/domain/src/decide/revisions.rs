//! New content under an open proposal: sent by the agent, merged or rendered anew by the service.

use super::{Decided, Step, at, timers};
use crate::{Decision, Delivery, Effect, Origin, Refusal, Revision, RevisionAuthor, Tier, Transition};

impl Step<'_> {
    pub(super) fn revise(&self, revision: Revision, title: String, reason: String, correlation: Option<String>) -> Decided {
        self.must_be_pending()?;
        self.must_be_the_agents()?;
        self.must_be_in_time()?;
        let origin = match &self.proposal.origin {
            // The content comes from the agent now; that a runbook rendered it would be a false word on card and commit.
            Origin::Change | Origin::Runbook(_) => Origin::Change,
            // Other content is no longer the inverse of anything.
            Origin::Observed(_) | Origin::Revert { .. } => return Err(self.illegal("revise")),
        };
        let mut step = self.replaced(revision, "the agent sent a new revision")?;
        step.next.origin = origin;
        // Old words above new content would mislead whoever decides.
        step.next.title = title;
        step.next.reason = reason;
        step.next.correlation = correlation.or(step.next.correlation);
        Ok(step)
    }

    pub(super) fn reshow(&self, revision: Revision) -> Decided {
        self.must_be_stoppable("reshow")?;
        let why = match revision.facts.runbook {
            Some(_) => "a touched file changed on the branch: rendered anew, to be looked at again",
            None => "a touched file changed on the branch: merged, to be looked at again",
        };
        self.replaced(revision, why)
    }

    pub(super) fn rerender(&self, revision: Revision) -> Decided {
        if self.proposal.decision != Decision::NotRequired || self.proposal.delivery != Delivery::Queued {
            return Err(self.illegal("rerender"));
        }
        if revision.route.tier != Tier::Standard {
            return self.replaced(revision, "rendered anew, and the policy in force asks people");
        }
        self.must_follow(&revision)?;
        let mut next = self.next();
        next.revision = revision;
        Ok(self.to(next, [Effect::Deliver], "rendered anew: a file moved meanwhile".to_owned()))
    }

    /// A new revision under a pending (or not yet pushed) proposal: reviews void, old buttons dead, a new card.
    fn replaced(&self, mut revision: Revision, why: &str) -> Decided {
        self.must_follow(&revision)?;
        if revision.route.tier == Tier::Standard {
            // People were asked already; new content does not go past them.
            revision.facts.requested = Some(Tier::Prompted);
            revision.route = self.policy.route(&self.proposal.repository, &revision.facts);
        }
        let mut next = self.next();
        let number = revision.number;
        next.revision = revision;
        next.decision = Decision::Pending;
        next.decided_at = None;
        next.audit_head = None;
        next.hold_until = None;
        next.delivery = Delivery::None;
        next.pull = None;
        next.note = (next.revision.author == RevisionAuthor::Countersign).then(|| why.to_owned());
        // An approval that had fallen already must not expire at once: people get the time of the rule again.
        next.expires_at = next
            .expires_at
            .max(self.now + chrono::Duration::seconds(i64::from(next.revision.route.ttl_seconds)));
        let mut effects = Vec::new();
        let card = if next.tier() == Tier::Manual {
            Effect::Prepare
        } else {
            Effect::SendCard
        };
        at(&mut effects, self.now, [Effect::EditCards, card]);
        timers(&mut next, self.now, &mut effects);
        Ok(Transition {
            next,
            effects,
            summary: format!("revision {number}: {why}"),
            seals: false,
        })
    }

    /// Numbers only rise: content that was made for an older revision never replaces a newer one, and void reviews stay void.
    fn must_follow(&self, revision: &Revision) -> Result<(), Refusal> {
        let current = self.proposal.revision.number;
        if current.checked_add(1) == Some(revision.number) {
            Ok(())
        } else {
            Err(Refusal::Outdated { current })
        }
    }
}
