//! The policy in force, asked again at every review and just before the push: a stricter one stops, a looser one changes nothing.

use std::collections::BTreeSet;

use super::{Step, at, timers};
use crate::{Decision, Delivery, Effect, Eligibility, Facts, Requirement, Route, SecondFactor, Tier, Transition};

impl Step<'_> {
    pub(super) fn current_route(&self) -> Route {
        let facts = &self.proposal.revision.facts;
        let mut route = match (&facts.agent, self.proposal.asking_agent()) {
            // Older versions did not store who asked.
            (None, Some(agent)) => {
                let facts = Facts {
                    agent: Some(agent.clone()),
                    ..facts.clone()
                };
                self.policy.route(&self.proposal.repository, &facts)
            }
            (Some(_), _) | (None, None) => self.policy.route(&self.proposal.repository, facts),
        };
        // People are asked since they were asked, whatever became of the policy.
        route.waiting.asked_at = self.proposal.revision.route.waiting.asked_at;
        route
    }

    /// Why a run must not go out at the moment, whatever was decided.
    pub(super) fn held(&self) -> Option<&str> {
        self.proposal.revision.facts.trust.as_ref()?.held.as_deref()
    }

    /// The policy got stricter: approvals of the looser one void, and the change goes the stricter way.
    pub(super) fn rerouted(&self, route: Route) -> Transition {
        let mut next = self.next();
        let changed = if route.policy == self.proposal.revision.route.policy {
            "asked again"
        } else {
            "the policy changed"
        };
        let summary = format!("{changed}: now {} ({})", route.tier, route.why);
        let (tier, voided) = (route.tier, route.tier != self.proposal.tier());
        next.note = Some(summary.clone());
        next.revision.route = route;
        next.decision = Decision::Pending;
        next.decided_at = None;
        next.audit_head = None;
        next.hold_until = None;
        next.delivery = Delivery::None;
        // The digest stays, so the votes must go: all of them when the tier changes, for they were given under another rule;
        // otherwise those of people who are no longer asked, so that they can vote again should they be asked again.
        let number = next.revision.number;
        let asking = self.proposal.asking_agent();
        next.reviews.retain(|review| {
            let counts = !voided && self.policy.eligibility(&next.revision.route, asking, review.by.id, self.now) == Eligibility::Eligible;
            review.revision != number || counts
        });
        next.expires_at = next
            .expires_at
            .max(self.now + chrono::Duration::seconds(i64::from(next.revision.route.ttl_seconds)));
        let mut effects = Vec::new();
        let card = if tier == Tier::Manual { Effect::Prepare } else { Effect::SendCard };
        at(&mut effects, self.now, [Effect::EditCards, card]);
        timers(&mut next, self.now, &mut effects);
        Transition {
            next,
            effects,
            summary,
            seals: false,
        }
    }

    /// The policy now in force, just before the push: a stricter one stops, a looser one changes nothing.
    pub(super) fn recheck(&self) -> Option<Transition> {
        let old = &self.proposal.revision.route;
        let route = stricter(old, &self.current_route());
        match self.proposal.decision {
            Decision::NotRequired if route.tier == Tier::Standard => None,
            Decision::Approved
                if route.tier == Tier::Prompted
                    && self.policy.satisfied(
                        &route,
                        self.proposal.asking_agent(),
                        &self.proposal.approvers_under(&route),
                        self.now,
                    ) =>
            {
                None
            }
            Decision::NotRequired
            | Decision::Approved
            | Decision::Pending
            | Decision::Rejected
            | Decision::Expired
            | Decision::Withdrawn
            | Decision::Refused
            | Decision::Dismissed => Some(self.rerouted(route)),
        }
    }
}

/// The stricter of the stored and the current route: what was promised to people holds, what the policy adds holds too.
pub(super) fn stricter(stored: &Route, current: &Route) -> Route {
    // Under the same policy only what the trust ledger says can have changed.
    if current.tier > stored.tier || (current.policy == stored.policy && current.tier == stored.tier) {
        return stored.clone();
    }
    if current.tier < stored.tier {
        return current.clone();
    }
    // Both hold, each by itself; what the other one implies need not be said twice.
    let both = stored.requirements.iter().chain(&current.requirements);
    let mut merged: Vec<Requirement> = Vec::new();
    for requirement in both {
        if !merged.iter().any(|known| known.covers(requirement)) {
            merged.retain(|known| !requirement.covers(known));
            merged.push(requirement.clone());
        }
    }
    let second_factors: BTreeSet<SecondFactor> = stored.second_factors.union(&current.second_factors).copied().collect();
    if merged == stored.requirements && second_factors == stored.second_factors {
        return stored.clone();
    }
    Route {
        requirements: merged,
        second_factors,
        policy: current.policy,
        why: current.why.clone(),
        ..stored.clone()
    }
}
