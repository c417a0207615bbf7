//! New content under an open proposal: sent by the agent, merged or rendered anew by the service.

use super::{Decided, Step, at, timers};
use crate::{Decision, Delivery, Effect, Revision, RevisionAuthor, Tier, Transition};

impl Step<'_> {
    pub(super) fn revise(&self, revision: Revision) -> Decided {
        self.must_be_pending()?;
        Ok(self.replaced(revision, "the agent sent a new revision"))
    }

    pub(super) fn reshow(&self, revision: Revision) -> Decided {
        self.must_be_stoppable("reshow")?;
        Ok(self.replaced(revision, "a touched file changed on the branch: merged, to be looked at again"))
    }

    pub(super) fn rerender(&self, revision: Revision) -> Decided {
        if self.proposal.decision != Decision::NotRequired || self.proposal.delivery != Delivery::Queued {
            return Err(self.illegal("rerender"));
        }
        if revision.route.tier != Tier::Standard {
            return Ok(self.replaced(revision, "rendered anew, and the policy in force asks people"));
        }
        let mut next = self.next();
        next.revision = revision;
        Ok(self.to(next, [Effect::Deliver], "rendered anew: a file moved meanwhile".to_owned()))
    }

    /// A new revision under a pending (or not yet pushed) proposal: reviews void, old buttons dead, a new card.
    fn replaced(&self, revision: Revision, why: &str) -> Transition {
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
        timers(&next, &mut effects);
        Transition {
            next,
            effects,
            summary: format!("revision {number}: {why}"),
            seals: false,
        }
    }
}
