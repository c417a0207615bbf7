//! What comes out of a judgement: one variant per row of the table.

use serde::{Deserialize, Serialize};

use crate::model::Health;

/// Where a change stands with one application. `headline()` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Argo CD cannot be asked.
    Unobserved {
        /// Why.
        reason: String,
    },
    /// It has left the list; a direct question is on its way.
    CheckingAbsence,
    /// The change deletes the application, and it is still there.
    AwaitingDeletion {
        /// Deletion has begun.
        begun: bool,
    },
    /// Argo CD has not compared with the commit yet.
    NotSeenYet {
        /// The revision it last compared with, when it is a commit.
        compared: Option<String>,
        /// Refreshes asked so far.
        refreshes: u32,
    },
    /// The dry commit is being rendered to the hydrated branch.
    Hydrating,
    /// An operation that contains the commit is running.
    Syncing {
        /// Its revision.
        revision: String,
        /// What it waits for, in Argo CD's words.
        message: String,
        /// Attempts after the first.
        retries: u32,
        /// Somebody is stopping it.
        terminating: bool,
    },
    /// An operation without the commit is running; the commit must wait for it.
    WaitingOlderOperation {
        /// Its revision, when it is a commit.
        revision: Option<String>,
        /// What it waits for, in Argo CD's words.
        message: String,
        /// It retries, or has run for long: a person may want to terminate it.
        blocking: bool,
        /// Somebody is stopping it.
        terminating: bool,
    },
    /// Rendering or comparing fails, not yet for sure.
    ComparisonFailing {
        /// Argo CD's words.
        message: String,
    },
    /// Out of sync at the commit; the automated sync is about to start.
    AboutToSync {
        /// The revision compared with.
        revision: String,
    },
    /// A sync window keeps the automated sync from starting.
    BlockedByWindow {
        /// The window.
        window: String,
    },
    /// The sync would delete everything, which automated sync refuses without `allowEmpty`.
    BlockedWouldWipe {
        /// Resources it would delete.
        resources: usize,
    },
    /// Out of sync at the commit, automated sync is on, nothing blocks it, and nothing happens.
    Stalled {
        /// The revision compared with.
        revision: String,
    },
    /// Automated sync is off: a person must sync.
    AwaitingManualSync {
        /// The revision compared with.
        revision: String,
    },
    /// Its ApplicationSet starts the sync when its turn comes.
    QueuedByApplicationSet {
        /// Name of the ApplicationSet.
        application_set: String,
    },
    /// The commit is there; health is not settled yet.
    Settling {
        /// The revision that carries the commit.
        revision: String,
        /// Present health; `None` while the controller has not looked since the sync.
        health: Option<Health>,
        /// Health message or the running operation.
        message: String,
    },

    /// The commit is deployed and healthy.
    Synced {
        /// The revision that carries the commit.
        revision: String,
        /// How it arrived.
        how: Arrival,
        /// `revision` is a later commit: deployed as part of it.
        part_of_later: bool,
        /// An earlier verdict was a failure.
        recovered: bool,
        /// What people should know.
        notes: Vec<Note>,
    },
    /// The commit is deployed and the application is broken.
    Degraded {
        /// The revision that carries the commit.
        revision: String,
        /// Health message.
        message: String,
        /// It broke only after this later revision came.
        after_later: Option<String>,
    },
    /// The commit could not be rendered, compared or applied.
    SyncFailed {
        /// At which step.
        stage: Stage,
        /// The failed revision, when known.
        revision: Option<String>,
        /// Argo CD's words.
        message: String,
        /// What failed: `Kind namespace/name: message`.
        resources: Vec<String>,
    },
    /// The commit was deployed, then an older revision was.
    RolledBack {
        /// The older revision, when it is a commit.
        to: Option<String>,
    },
    /// The application was deleted, or deleted and made anew.
    Gone {
        /// What was seen.
        reason: GoneReason,
    },
    /// The application no longer follows our branch.
    NotTracked {
        /// Which sources it follows now.
        now: String,
    },
    /// The deadline passed; not a failure.
    TimedOut {
        /// Where it stood.
        waiting: Box<Verdict>,
    },
}

/// The step at which a sync failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Rendering the hydrated branch.
    Hydrate,
    /// Rendering or comparing the manifests.
    Compare,
    /// Applying them.
    Apply,
}

/// How an application went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// It is no longer there.
    Deleted,
    /// Its deletion has begun.
    Deleting,
    /// Another object has its name.
    Recreated,
}

/// Something people should know about a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// These left git and are still live.
    NeedsPrune {
        /// `Kind namespace/name`.
        resources: Vec<String>,
    },
    /// These differ from git though they were applied.
    Drift {
        /// `Kind namespace/name`; empty when not known.
        resources: Vec<String>,
    },
    /// A later commit is already waiting to be synced.
    LaterCommitPending {
        /// That commit.
        revision: String,
    },
    /// It was degraded before, and the change did not alter that.
    AlreadyDegraded {
        /// Health message.
        message: String,
    },
    /// It is suspended, which was accepted.
    Paused,
}

/// Where a verdict stands, for callers that only route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Deployed and healthy.
    Synced,
    /// It no longer follows our branch.
    NotTracked,
    /// Not known in time.
    TimedOut,
    /// Deployed and broken.
    Degraded,
    /// Deployed, then taken back.
    RolledBack,
    /// The application went away.
    Gone,
    /// Never applied.
    SyncFailed,
}

impl Verdict {
    /// How it ended; `None` while it waits.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Self::Synced { .. } => Some(Ending::Synced),
            Self::Degraded { .. } => Some(Ending::Degraded),
            Self::SyncFailed { .. } => Some(Ending::SyncFailed),
            Self::RolledBack { .. } => Some(Ending::RolledBack),
            Self::Gone { .. } => Some(Ending::Gone),
            Self::NotTracked { .. } => Some(Ending::NotTracked),
            Self::TimedOut { .. } => Some(Ending::TimedOut),
            Self::Unobserved { .. }
            | Self::CheckingAbsence
            | Self::AwaitingDeletion { .. }
            | Self::NotSeenYet { .. }
            | Self::Hydrating
            | Self::Syncing { .. }
            | Self::WaitingOlderOperation { .. }
            | Self::ComparisonFailing { .. }
            | Self::AboutToSync { .. }
            | Self::BlockedByWindow { .. }
            | Self::BlockedWouldWipe { .. }
            | Self::Stalled { .. }
            | Self::AwaitingManualSync { .. }
            | Self::QueuedByApplicationSet { .. }
            | Self::Settling { .. } => None,
        }
    }

    /// Whether it is final. A final failure may still turn into `Synced { recovered: true }`.
    pub fn is_final(&self) -> bool {
        self.ending().is_some()
    }

    /// Whether a sync started by a person would help: the precondition of a Sync button.
    pub fn wants_manual_sync(&self) -> bool {
        matches!(self, Self::AwaitingManualSync { .. } | Self::Stalled { .. })
    }

    /// Whether terminating the running operation would help.
    pub fn wants_terminate(&self) -> bool {
        matches!(
            self,
            Self::WaitingOlderOperation {
                blocking: true,
                terminating: false,
                ..
            }
        )
    }
}

/// How a commit arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// An operation applied it.
    Applied,
    /// It renders to what was already live.
    NothingToApply,
    /// The application is gone, as the change asked.
    Deleted,
}
