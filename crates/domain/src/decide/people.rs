//! What people do: approve, reject, give a reason, cancel, retry.

use super::routing::stricter;
use super::{Decided, REASON_SECONDS, Step, at};
use crate::{
    Decision, Delivery, Effect, Eligibility, Ending, Outcome, PersonRef, Policy, Proposal, Refusal, Review, ReviewVerdict, Scheduled,
    Sha256Hash, Tier, Transition,
};

impl Step<'_> {
    pub(super) fn review(&self, by: PersonRef, verdict: ReviewVerdict, revision: u32, digest: Sha256Hash, hold_seconds: u32) -> Decided {
        self.must_be_pending()?;
        if revision != self.proposal.revision.number || digest != self.proposal.revision.digest {
            return Err(Refusal::Outdated {
                current: self.proposal.revision.number,
            });
        }
        let route = stricter(&self.proposal.revision.route, &self.current_route());
        if route.tier != Tier::Prompted {
            return if self.proposal.tier() == Tier::Prompted {
                Ok(self.rerouted(route))
            } else {
                Err(Refusal::WrongTier {
                    tier: self.proposal.tier(),
                })
            };
        }
        match self.policy.eligibility(&route, self.proposal.asking_agent(), by.id) {
            Eligibility::Eligible => {}
            Eligibility::NotInGroup => return Err(Refusal::NotEligible),
            Eligibility::OwnsAgent => return Err(Refusal::OwnsAgent),
        }
        if self
            .proposal
            .current_reviews()
            .any(|review| review.by.id == by.id && review.verdict == verdict)
        {
            return Err(Refusal::AlreadyVoted);
        }
        let mut next = self.next();
        next.revision.route = route;
        next.reviews.push(Review {
            by: by.clone(),
            verdict,
            revision,
            digest,
            at: self.now,
        });
        match verdict {
            ReviewVerdict::Reject => {
                let until = self.now + chrono::Duration::seconds(REASON_SECONDS);
                let ending = Ending {
                    by: Some(by.clone()),
                    reason: None,
                    reason_until: Some(until),
                };
                let mut step = self.end(
                    next,
                    Decision::Rejected,
                    Outcome::Rejected,
                    Some(ending),
                    format!("rejected by {}", by.name),
                );
                step.effects.push(Scheduled {
                    effect: Effect::CloseReason,
                    due: until,
                });
                Ok(step)
            }
            ReviewVerdict::Approve => Ok(self.count(next, &by, hold_seconds)),
        }
    }

    fn count(&self, mut next: Proposal, by: &PersonRef, hold_seconds: u32) -> Transition {
        let mut effects = Vec::new();
        let complete = self.policy.satisfied(&next.revision.route, next.asking_agent(), &next.approvers());
        let summary = if complete {
            next.decision = Decision::Approved;
            next.decided_at = Some(self.now);
            next.delivery = Delivery::Queued;
            let due = self.now + chrono::Duration::seconds(i64::from(hold_seconds));
            next.hold_until = (hold_seconds > 0).then_some(due);
            effects.push(Scheduled {
                effect: Effect::Deliver,
                due,
            });
            format!("approved by {}: complete", by.name)
        } else {
            format!("approved by {}: {}", by.name, progress(self.policy, &next))
        };
        at(&mut effects, self.now, [Effect::EditCards]);
        Transition {
            next,
            effects,
            summary,
            seals: complete,
        }
    }

    pub(super) fn reason(&self, by: &PersonRef, text: String) -> Decided {
        let Some(ending) = &self.proposal.ended_by else {
            return Err(self.illegal("reason"));
        };
        if ending.by.as_ref().map(|person| person.id) != Some(by.id) {
            return Err(Refusal::NotEligible);
        }
        if ending.reason_until.is_none_or(|until| until < self.now) {
            return Err(Refusal::WindowClosed);
        }
        let mut next = self.next();
        if let Some(ending) = &mut next.ended_by {
            ending.reason = Some(text);
        }
        Ok(self.to(next, [Effect::EditCards], format!("{} gave a reason", by.name)))
    }

    pub(super) fn cancel(&self, by: PersonRef) -> Decided {
        if !self.policy.is_approver(by.id) {
            return Err(Refusal::NotEligible);
        }
        let summary = format!("cancelled by {}", by.name);
        let ending = Some(Ending {
            by: Some(by),
            reason: None,
            reason_until: None,
        });
        match self.proposal.delivery {
            Delivery::None | Delivery::AwaitingCommit | Delivery::Queued => {
                self.must_not_be_over()?;
                Ok(self.end(self.next(), Decision::Dismissed, Outcome::Dismissed, ending, summary))
            }
            Delivery::PushBlocked => Ok(self.end(self.next(), self.proposal.decision, Outcome::PushRefused, ending, summary)),
            delivery @ (Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended) => {
                Err(Refusal::TooLate { delivery })
            }
        }
    }

    pub(super) fn retry(&self, by: &PersonRef) -> Decided {
        if !self.policy.is_approver(by.id) {
            return Err(Refusal::NotEligible);
        }
        if self.proposal.delivery != Delivery::PushBlocked {
            return Err(self.illegal("retry"));
        }
        let mut next = self.next();
        next.delivery = Delivery::Queued;
        next.note = None;
        Ok(self.to(
            next,
            [Effect::Deliver, Effect::EditCards],
            format!("{} asks to push again", by.name),
        ))
    }
}

/// "1 of 2 of operators" for every group that is asked.
pub fn progress(policy: &Policy, proposal: &Proposal) -> String {
    let approvers = proposal.approvers();
    let parts: Vec<_> = proposal
        .revision
        .route
        .requirements
        .iter()
        .map(|requirement| {
            let have = policy.counted(requirement, proposal.asking_agent(), &approvers);
            format!("{have} of {} from {}", requirement.quorum, requirement.group)
        })
        .collect();
    parts.join(", ")
}
