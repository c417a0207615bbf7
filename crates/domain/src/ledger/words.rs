//! The ledger's closed sets. Database and API use exactly these words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::states::closed_set;
use crate::{InvalidId, Landed, Outcome};

closed_set! {
    /// How a trial ended.
    TrialResult("trial result") {
        /// Not known yet. Once the window has closed this reads as `unknown`.
        Open = "open",
        /// Synced and healthy at its commit, and stable. Counts once the window has closed without a revert.
        Succeeded = "succeeded",
        /// Applied, but an application was unhealthy.
        Degraded = "degraded",
        /// Argo CD could not apply or render it.
        SyncFailed = "sync_failed",
        /// Somebody rolled the application back.
        RolledBack = "rolled_back",
        /// The commit vanished from the branch.
        Lost = "lost",
        /// A later commit undid it within its window.
        Reverted = "reverted",
        /// Healthy at first, but not for as long as the runbook asks.
        Unstable = "unstable",
        /// A human said that it did harm.
        Marked = "marked",
        /// Nobody can say how it ended: no final answer in time, or nothing tracks the files. Counts as a failure.
        Unknown = "unknown",
    }
}

closed_set! {
    /// Why a runbook lost its tier.
    DemotionCause("cause of a demotion") {
        /// A run failed.
        Failure = "failure",
        /// A run was undone, within its window or later.
        Revert = "revert",
        /// Nobody can say how a run ended.
        Unknown = "unknown",
        /// The second failure among the last runs.
        SecondFailure = "second_failure",
        /// A human took the tier away.
        Human = "human",
    }
}

impl TrialResult {
    /// What a proposal's end says about its runbook. `None` when the run is no trial: nothing reached the branch, or what reached it is not
    /// what the runbook rendered.
    pub const fn of(outcome: Outcome, landed: Option<Landed>) -> Option<Self> {
        if matches!(landed, Some(Landed::WithEdits)) {
            return None;
        }
        match outcome {
            Outcome::Synced => Some(Self::Succeeded),
            Outcome::Degraded => Some(Self::Degraded),
            Outcome::SyncFailed => Some(Self::SyncFailed),
            Outcome::RolledBack => Some(Self::RolledBack),
            Outcome::Lost => Some(Self::Lost),
            // On the branch, but nobody saw it healthy.
            Outcome::Pushed | Outcome::TimedOut => Some(Self::Unknown),
            Outcome::Conflicted
            | Outcome::PushRefused
            | Outcome::Diverged
            | Outcome::Rejected
            | Outcome::Expired
            | Outcome::Withdrawn
            | Outcome::Refused
            | Outcome::Dismissed => None,
        }
    }

    /// Whether it counts against the runbook.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Open | Self::Succeeded => false,
            Self::Degraded
            | Self::SyncFailed
            | Self::RolledBack
            | Self::Lost
            | Self::Reverted
            | Self::Unstable
            | Self::Marked
            | Self::Unknown => true,
        }
    }

    /// How bad it is, for choosing among repeats: a failure that was seen is worse than one that is only presumed.
    pub(super) const fn severity(self) -> u8 {
        match self {
            Self::Open | Self::Succeeded => 0,
            Self::Unknown => 1,
            Self::Degraded | Self::SyncFailed | Self::RolledBack | Self::Lost | Self::Reverted | Self::Unstable | Self::Marked => 2,
        }
    }

    /// The demotion that it causes.
    pub(super) const fn cause(self) -> DemotionCause {
        match self {
            Self::Reverted | Self::RolledBack => DemotionCause::Revert,
            Self::Unknown | Self::Open => DemotionCause::Unknown,
            Self::Succeeded | Self::Degraded | Self::SyncFailed | Self::Lost | Self::Unstable | Self::Marked => DemotionCause::Failure,
        }
    }

    /// For a sentence: "a run ..." as people say it.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Open => "has not ended yet",
            Self::Succeeded => "succeeded",
            Self::Degraded => "left an application unhealthy",
            Self::SyncFailed => "could not be synced",
            Self::RolledBack => "was rolled back",
            Self::Lost => "vanished from the branch",
            Self::Reverted => "was reverted",
            Self::Unstable => "did not stay healthy",
            Self::Marked => "was marked as harmful",
            Self::Unknown => "ended unknown",
        }
    }
}
