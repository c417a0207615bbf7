//! What people do: approve, reject, give a reason, cancel, retry.

use super::routing::stricter;
use super::{Decided, REASON_SECONDS, Step, at};
use crate::{
    Decision, Delivery, Effect, Eligibility, Ending, Outcome, PersonRef, Place, Policy, Proposal, Refusal, Review, ReviewVerdict, Route,
    Scheduled, Sha256Hash, Tier, Timestamp, Transition,
};

impl Step<'_> {
    /// A person's word about what a card showed: its revision and digest.
    pub(super) fn review(
        &self,
        by: PersonRef,
        verdict: ReviewVerdict,
        (revision, digest): (u32, Sha256Hash),
        hold_seconds: u32,
        verified: bool,
    ) -> Decided {
        self.must_be_pending()?;
        if revision != self.proposal.revision.number || digest != self.proposal.revision.digest {
            return Err(Refusal::Outdated {
                current: self.proposal.revision.number,
            });
        }
        let route = stricter(&self.proposal.revision.route, &self.current_route());
        match verdict {
            ReviewVerdict::Approve => self.approve(by, route, hold_seconds, verified),
            ReviewVerdict::Reject => self.reject(by, &route),
        }
    }

    fn approve(&self, by: PersonRef, route: Route, hold_seconds: u32, verified: bool) -> Decided {
        self.must_be_in_time()?;
        match (self.proposal.tier(), route.tier) {
            (Tier::Prompted, Tier::Prompted) => {}
            (Tier::Prompted, Tier::Manual) => return Ok(self.rerouted(route)),
            // The stricter of two is never looser than the first.
            (tier @ (Tier::Manual | Tier::Standard), _) | (tier @ Tier::Prompted, Tier::Standard) => {
                return Err(Refusal::WrongTier { tier });
            }
        }
        self.must_be_asked([&route], &by)?;
        if let Some(why) = self.held() {
            return Err(Refusal::Held { why: why.to_owned() });
        }
        let counts = self.proposal.approvers_under(&route).contains(&by.id);
        if route.asks_code() && !verified && !counts {
            return Err(Refusal::NeedsCode);
        }
        let mut next = self.next();
        next.revision.route = route;
        if counts {
            // A policy edit can make the approvals of others count again, with nobody left to tap: then a second tap completes them.
            let complete = self
                .policy
                .satisfied(&next.revision.route, next.asking_agent(), &next.approvers(), self.now);
            return if complete {
                Ok(self.count(next, &by, hold_seconds))
            } else {
                Err(Refusal::AlreadyVoted)
            };
        }
        // An approval of before the policy asked for codes gives way to the one with a code.
        let (number, digest) = (next.revision.number, next.revision.digest);
        next.reviews
            .retain(|review| review.by.id != by.id || review.revision != number || review.digest != digest);
        next.reviews.push(self.said(ReviewVerdict::Approve, &by, verified));
        Ok(self.count(next, &by, hold_seconds))
    }

    /// One no ends it, whatever became of the policy or the time since the card was shown.
    fn reject(&self, by: PersonRef, route: &Route) -> Decided {
        match self.proposal.tier() {
            Tier::Prompted => {}
            tier @ (Tier::Manual | Tier::Standard) => return Err(Refusal::WrongTier { tier }),
        }
        self.must_be_asked([&self.proposal.revision.route, route], &by)?;
        let mut next = self.next();
        next.reviews.push(self.said(ReviewVerdict::Reject, &by, false));
        let until = self.now + chrono::Duration::seconds(REASON_SECONDS);
        let summary = format!("rejected by {}", by.name);
        let ending = Ending {
            by: Some(by),
            reason: None,
            reason_until: Some(until),
        };
        let mut step = self.end(next, Decision::Rejected, Outcome::Rejected, Some(ending), summary);
        step.effects.push(Scheduled {
            effect: Effect::CloseReason,
            due: until,
        });
        Ok(step)
    }

    fn said(&self, verdict: ReviewVerdict, by: &PersonRef, verified: bool) -> Review {
        Review {
            by: by.clone(),
            verdict,
            revision: self.proposal.revision.number,
            digest: self.proposal.revision.digest,
            at: self.now,
            verified,
        }
    }

    fn has_said(&self, verdict: ReviewVerdict, by: &PersonRef) -> bool {
        self.proposal
            .current_reviews()
            .any(|review| review.by.id == by.id && review.verdict == verdict)
    }

    /// At least one of the routes asks this person; otherwise why not.
    fn must_be_asked<const N: usize>(&self, routes: [&Route; N], by: &PersonRef) -> Result<(), Refusal> {
        let mut answer = Err(Refusal::NotEligible);
        for route in routes {
            match self.policy.eligibility(route, self.proposal.asking_agent(), by.id, self.now) {
                Eligibility::Eligible => return Ok(()),
                Eligibility::OwnsAgent => answer = Err(Refusal::OwnsAgent),
                Eligibility::NotInGroup => {}
            }
        }
        answer
    }

    fn count(&self, mut next: Proposal, by: &PersonRef, hold_seconds: u32) -> Transition {
        let mut effects = Vec::new();
        let complete = self
            .policy
            .satisfied(&next.revision.route, next.asking_agent(), &next.approvers(), self.now);
        let summary = if complete {
            next.decision = Decision::Approved;
            next.decided_at = Some(self.now);
            next.delivery = Delivery::Queued;
            // Why people had to look (again) is settled by their approval.
            next.note = None;
            let due = self.now + chrono::Duration::seconds(i64::from(hold_seconds));
            next.hold_until = (hold_seconds > 0).then_some(due);
            effects.push(Scheduled {
                effect: Effect::Deliver,
                due,
            });
            format!("approved by {}: complete", signed(&next, by))
        } else {
            let filled = |proposal: &Proposal| {
                places_of(self.policy, proposal, self.now)
                    .iter()
                    .map(|place| place.have.len())
                    .sum::<usize>()
            };
            let more = match filled(&next) > filled(self.proposal) {
                true => "",
                // Their group is complete, or somebody stood in for them already.
                false => "; it fills no place that was open",
            };
            format!(
                "approved by {}: {}{more}",
                signed(&next, by),
                progress(self.policy, &next, self.now)
            )
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
        match &ending.by {
            Some(person) if person.id == by.id => {}
            Some(person) => return Err(Refusal::ReasonOfAnother { by: person.name.clone() }),
            None => return Err(Refusal::WindowClosed),
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
        if !self.policy.may_handle(self.proposal, by.id, self.now) {
            return Err(Refusal::NotEligible);
        }
        // The words of the button: what waits for a human's commit is put aside, anything else is cancelled.
        let done = match self.proposal.tier() {
            Tier::Manual => "put aside",
            Tier::Prompted | Tier::Standard => "cancelled",
        };
        let summary = format!("{done} by {}", by.name);
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
            Delivery::PushBlocked => {
                let mut step = self.end(self.next(), self.proposal.decision, Outcome::PushRefused, ending, summary);
                // Why nothing could be pushed is why it ended so.
                step.next.note.clone_from(&self.proposal.note);
                Ok(step)
            }
            delivery @ (Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended) => {
                Err(Refusal::TooLate { delivery })
            }
        }
    }

    /// What somebody approved who took their own rights away goes, before it can complete anything.
    pub(super) fn locked(&self, by: &PersonRef) -> Decided {
        let waits = self.proposal.decision == Decision::Pending || self.proposal.delivery == Delivery::Queued;
        if !waits || self.proposal.is_over() || !self.has_said(ReviewVerdict::Approve, by) {
            return Err(self.illegal("locked"));
        }
        let number = self.proposal.revision.number;
        let mut less = self.next();
        less.reviews.retain(|review| review.by.id != by.id || review.revision != number);
        let summary = format!("{} gave up all rights: their approval does not count any more", by.name);
        let enough = self
            .policy
            .satisfied(&less.revision.route, less.asking_agent(), &less.approvers(), self.now);
        if self.proposal.decision != Decision::Approved || enough {
            return Ok(self.to(less, [Effect::EditCards], summary));
        }
        let mut step = self.rerouted(stricter(&self.proposal.revision.route, &self.current_route()));
        step.next
            .reviews
            .retain(|review| review.by.id != by.id || review.revision != number);
        step.next.note = Some(summary.clone());
        step.summary = summary;
        Ok(step)
    }

    pub(super) fn retry(&self, by: &PersonRef) -> Decided {
        if !self.policy.may_handle(self.proposal, by.id, self.now) {
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

/// A name, and whether a code stands behind their approval.
fn signed(proposal: &Proposal, by: &PersonRef) -> String {
    let verified = proposal.approvals().any(|review| review.by.id == by.id && review.verified);
    format!("{}{}", by.name, if verified { " with a code" } else { "" })
}

/// "1 of 2 from operators" for every group that is asked, in the way that is nearest to being complete.
pub fn progress(policy: &Policy, proposal: &Proposal, now: Timestamp) -> String {
    let part = |place: &Place| format!("{} of {} from {}", place.have.len(), place.quorum, place.label);
    let places = places_of(policy, proposal, now);
    places.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn places_of(policy: &Policy, proposal: &Proposal, now: Timestamp) -> Vec<Place> {
    policy
        .standing(&proposal.revision.route, proposal.asking_agent(), &proposal.approvers(), now)
        .places
}
