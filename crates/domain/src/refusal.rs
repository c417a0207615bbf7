//! Why an event changes nothing: typed, so that callers can branch, and worded for people.

use crate::{Decision, Delivery, Sha256Hash, Tier};

/// Why an event changes nothing. For people and agents alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A decision has fallen.
    #[error("already {decision}: nothing to decide any more")]
    NotPending {
        /// The decision.
        decision: Decision,
    },
    /// The push command was sent; it cannot be stopped.
    #[error("too late: the change is {delivery}")]
    TooLate {
        /// Where it is.
        delivery: Delivery,
    },
    /// The card showed something else than what is current.
    #[error("this card is out of date: revision {current} is current")]
    Outdated {
        /// The current revision.
        current: u32,
    },
    /// One person, one vote.
    #[error("you have approved this already")]
    AlreadyVoted,
    /// Not in a group that is asked.
    #[error("you are not among the approvers of this change")]
    NotEligible,
    /// Owns the agent.
    #[error("you own the agent that asks, or stand in for its owner: somebody else must approve")]
    OwnsAgent,
    /// The paths are marked: a tap alone is not enough.
    #[error("this approval takes a code of your own generator")]
    NeedsCode,
    /// An agent may not touch what a person asked for.
    #[error("a person asked for this change: only people can stop it")]
    AskedByPerson,
    /// A runbook that must not run on these paths at the moment.
    #[error("{why}")]
    Held {
        /// Why, and what ends it.
        why: String,
    },
    /// The tier has no such button.
    #[error("a {tier} change is not approved here")]
    WrongTier {
        /// The tier.
        tier: Tier,
    },
    /// A reason belongs to whoever ended it.
    #[error("{by} ended it, so {by} is asked for the reason")]
    ReasonOfAnother {
        /// Who ended it.
        by: String,
    },
    /// The time for it is over.
    #[error("the time to add a reason is over")]
    WindowClosed,
    /// The event makes no sense in this state.
    #[error("{event} does not fit: the proposal is {decision}/{delivery}")]
    Illegal {
        /// The event's word.
        event: &'static str,
        /// The decision.
        decision: Decision,
        /// The delivery.
        delivery: Delivery,
    },
    /// What was built is not what was approved.
    #[error("the built commit has digest {built}, approved was {approved}: stopped")]
    DigestMismatch {
        /// Of the built tree.
        built: Sha256Hash,
        /// Of the approval.
        approved: Sha256Hash,
    },
}
