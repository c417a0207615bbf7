//! One run of a runbook as evidence.

use std::collections::BTreeSet;
use std::fmt;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Hold, LedgerKey, TrialResult, TrustConstants};
use crate::{ProposalId, RepoPath, RepositoryName, RunbookName, Tier, Timestamp};

/// A run whose change reached the branch. What never reached it (rejected, expired, withdrawn, nothing to change) is no trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The run.
    pub proposal: ProposalId,
    /// Whose record it belongs to.
    pub key: LedgerKey,
    /// What it was about.
    pub target: Target,
    /// The tier that it ran at.
    pub tier: Tier,
    /// How it came about.
    pub source: Source,
    /// Its parameters with the schema's defaults filled in.
    pub parameters: Value,
    /// When its commit was on the branch.
    pub started_at: Timestamp,
    /// Until when it may turn into a failure: only then does it count as a success.
    pub closes_at: Timestamp,
    /// How it ended.
    pub result: TrialResult,
    /// When that became known.
    pub settled_at: Option<Timestamp>,
    /// When it was undone, within its window or later.
    pub reverted_at: Option<Timestamp>,
}

/// What one run acts on: the paths that it changed. Two runs with the same paths are repeats of each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(BTreeSet<RepoPath>);

impl Target {
    /// The target of a run that changes these paths.
    pub fn of(paths: impl IntoIterator<Item = RepoPath>) -> Self {
        Self(paths.into_iter().collect())
    }

    /// The paths, in byte order.
    pub fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        self.0.iter()
    }

    /// What stops a runbook on these paths after a run on them was reverted.
    pub fn holds(&self, runbook: &RunbookName, repository: &RepositoryName, run: ProposalId, since: Timestamp) -> Vec<Hold> {
        let hold = |path: &RepoPath| Hold {
            runbook: runbook.clone(),
            repository: repository.clone(),
            path: path.clone(),
            since,
            proposal: Some(run),
        };
        self.paths().map(hold).collect()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, path) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{path}")?;
        }
        Ok(())
    }
}

/// How a run came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An agent called the runbook; the service rendered it, or prepared it for a human.
    Proposed,
    /// An agent pushed by itself and reported the commit.
    Observed {
        /// The commit's own time, as its author's clock had it.
        committed_at: Timestamp,
        /// When the report came.
        reported_at: Timestamp,
        /// Whether the commit is, byte for byte, what the runbook renders.
        verified: bool,
    },
}

/// How much a run's result weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// For and against.
    Full,
    /// Against only: reported late. If late reports of failures did not count, being late would hide them.
    AgainstOnly,
    /// Not at all: it was not a run of this runbook.
    None,
}

impl Source {
    pub(super) fn weight(&self, constants: &TrustConstants) -> Weight {
        match self {
            Self::Proposed => Weight::Full,
            Self::Observed { verified: false, .. } => Weight::None,
            Self::Observed {
                committed_at,
                reported_at,
                verified: true,
            } => {
                let took = *reported_at - *committed_at;
                // A commit from the future shows a wrong clock, and then nobody knows how late the report was.
                let in_time = took >= -constants.clock_skew && took <= constants.report_within;
                if in_time { Weight::Full } else { Weight::AgainstOnly }
            }
        }
    }
}

impl Trial {
    /// When the window of a run closes: when a revert no longer counts and the verification, however slow, is over.
    pub fn closes_at(started_at: Timestamp, healthy_within: Duration, stable_for: Duration, constants: &TrustConstants) -> Timestamp {
        started_at + constants.revert_window.max(healthy_within + stable_for)
    }

    /// Takes a result in. The first one stays, with one exception: a success becomes a failure when one shows before the window closes.
    /// Answers whether anything changed.
    pub fn settle(&mut self, result: TrialResult, at: Timestamp) -> bool {
        let taken = match self.result {
            TrialResult::Open => result != TrialResult::Open,
            TrialResult::Succeeded => result.is_failure() && at <= self.closes_at,
            TrialResult::Degraded
            | TrialResult::SyncFailed
            | TrialResult::RolledBack
            | TrialResult::Lost
            | TrialResult::Reverted
            | TrialResult::Unstable
            | TrialResult::Marked
            | TrialResult::Unknown => false,
        };
        if taken {
            self.result = result;
            self.settled_at = Some(at);
        }
        taken
    }

    /// Takes in that it was undone. Within its window it failed; later it stays a success, but the runbook is demoted all the same.
    /// Either way the runbook is held on these paths until a human lifts the holds, which are returned.
    pub fn revert(&mut self, at: Timestamp) -> Vec<Hold> {
        self.settle(TrialResult::Reverted, at);
        self.reverted_at.get_or_insert(at);
        self.target
            .holds(&self.key.runbook, &self.key.environment.repository, self.proposal, at)
    }

    /// What the run is worth at `now`: a failure at once, a success only when the window has closed, and an open run whose window has
    /// closed is unknown.
    pub fn result_at(&self, now: Timestamp) -> TrialResult {
        match self.result {
            TrialResult::Open if now >= self.closes_at => TrialResult::Unknown,
            TrialResult::Succeeded if now < self.closes_at => TrialResult::Open,
            other => other,
        }
    }

    /// When the failure became known, if there is one at `now`.
    pub(super) fn failed_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.result_at(now).is_failure().then(|| self.settled_at.unwrap_or(self.closes_at))
    }
}
