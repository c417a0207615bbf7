//! Is my commit deployed, and well? The pure table.
//!
//! [`judge`] looks at one application for one pushed commit and says where it stands. It has no clock, no network and no
//! hidden state: what must outlive one evaluation is in [`Tracking`], which goes in and comes out. Answers rest on ancestry,
//! so nothing that happened before the push can make a change succeed, and an application that is already one commit
//! further counts as deployed. A time-out is never called a failure.
//!
//! - [`mod@judge`]: the rows, first match wins
//! - [`health`]: the health gate behind the rows that mean "applied"
//! - `facts`: revisions and ancestry

mod facts;
pub mod health;
pub mod judge;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod words;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use facts::{Ancestry, Contains};
pub use judge::{judge, moved_by};

use crate::model::{Application, Health, Operation};
use crate::repo::Target;
use crate::windows::SyncWindows;

/// What was pushed, and what was known before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The commit, 40 lower-case hex digits.
    pub commit: String,
    /// When the push was confirmed. Refreshes asked before count for nothing.
    pub pushed_at: DateTime<Utc>,
    /// Repository and branch it was pushed to.
    pub target: Target,
    /// The application before the push; `None` reads as unknown.
    pub baseline: Option<Baseline>,
    /// The change removes the application itself: it is done when the application is gone.
    pub deletes_app: bool,
    /// When to stop waiting; `None` waits for ever.
    pub deadline: Option<DateTime<Utc>>,
    /// Whether a suspended application (a paused rollout) counts as arrived.
    pub accept_suspended: bool,
    /// How long things must hold; the default is right except for tests and demonstrations.
    #[serde(default)]
    pub patience: Patience,
}

/// How long things must hold before they are believed. All in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patience {
    /// Good health: a controller may call a rollout healthy before it has looked at it.
    pub healthy_ms: u32,
    /// Bad health: a rollout may pass through it.
    pub degraded_ms: u32,
    /// Two sightings of a comparison error must lie this far apart.
    pub error_apart_ms: u32,
    /// An automated sync that has not started by then needs an explanation.
    pub stalled_ms: u32,
    /// An older operation that runs for longer is called blocking.
    pub blocking_ms: u32,
    /// How long an unanswered refresh is given before another one is asked.
    pub refresh_ms: u32,
    /// Pauses between refreshes while Argo CD does not see the commit: it loses one that arrives while it is comparing.
    /// The last pause repeats.
    pub refresh_pauses_ms: Vec<u32>,
    /// How often sync windows are asked again while they block.
    pub windows_ms: u32,
    /// How often the mirror is asked to fetch revisions that it does not know.
    pub fetch_ms: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            healthy_ms: 10_000,
            degraded_ms: 30_000,
            error_apart_ms: 10_000,
            stalled_ms: 30_000,
            blocking_ms: 300_000,
            refresh_ms: 30_000,
            refresh_pauses_ms: vec![5_000, 15_000, 30_000, 60_000, 120_000],
            windows_ms: 60_000,
            fetch_ms: 15_000,
        }
    }
}

impl Patience {
    /// Everything `factor` times faster.
    pub fn hurried(factor: u32) -> Self {
        let mut patience = Self::default();
        let Self {
            healthy_ms,
            degraded_ms,
            error_apart_ms,
            stalled_ms,
            blocking_ms,
            refresh_ms,
            refresh_pauses_ms,
            windows_ms,
            fetch_ms,
        } = &mut patience;
        let single = [
            healthy_ms,
            degraded_ms,
            error_apart_ms,
            stalled_ms,
            blocking_ms,
            refresh_ms,
            windows_ms,
            fetch_ms,
        ];
        for limit in single.into_iter().chain(refresh_pauses_ms) {
            *limit = (*limit / factor.max(1)).max(1);
        }
        patience
    }
}

/// An application as it was before the push.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// Object identity.
    pub uid: Option<String>,
    /// Health then.
    pub health: Option<Health>,
    /// When that health began, by Argo CD's clock.
    pub health_since: Option<DateTime<Utc>>,
    /// Start of the operation then current, by Argo CD's clock.
    pub operation_started_at: Option<DateTime<Utc>>,
}

impl Baseline {
    /// Takes the baseline of an application.
    pub fn of(app: &Application) -> Self {
        Self {
            uid: app.metadata.uid.clone(),
            health: app.status.health.status,
            health_since: app.status.health.last_transition_time,
            operation_started_at: app.status.operation_state.as_ref().and_then(|state| state.started_at),
        }
    }
}

/// What is known of the application at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The application, or why there is none.
    pub presence: Presence<'a>,
    /// When this view of the application came, by our clock; `None` counts as now. It makes equal what many changes of one
    /// application ask for.
    pub seen_at: Option<DateTime<Utc>>,
    /// When `presence` was last confirmed by a direct `GET`, by our clock.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The latest refresh asked of this application, by anybody.
    pub refresh: Option<RefreshFact>,
    /// The latest answer about sync windows, and when it was given.
    pub windows: Option<(&'a SyncWindows, DateTime<Utc>)>,
}

impl<'a> Evidence<'a> {
    /// Evidence that is nothing but a view of the application.
    pub fn of(app: &'a Application) -> Self {
        Self {
            presence: Presence::Here(app),
            seen_at: None,
            confirmed_at: None,
            refresh: None,
            windows: None,
        }
    }
}

/// Whether there is an application to judge.
#[derive(Debug, Clone, Copy)]
pub enum Presence<'a> {
    /// It is there.
    Here(&'a Application),
    /// A list no longer shows it, which a right taken away looks like, too: a direct `GET` must tell.
    Missing,
    /// Argo CD said that it was deleted, or answered 404 to a `GET` with its project.
    Gone,
    /// Argo CD cannot be asked; the text says why.
    Unreachable(&'a str),
}

/// One refresh of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshFact {
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// When the answer came; `None` while it is awaited or when it timed out (the refresh stays requested then).
    pub answered_at: Option<DateTime<Utc>>,
}

/// What must outlive one evaluation. Store it per (proposal, application); start with the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tracking {
    /// Set once the commit was seen applied; never cleared.
    pub latch: Option<Latch>,
    /// Since when it has been healthy without a break.
    pub healthy_since: Option<DateTime<Utc>>,
    /// Since when it has been degraded without a break.
    pub degraded_since: Option<DateTime<Utc>>,
    /// Sightings of an error to render or compare.
    pub compare_error: Option<CompareError>,
    /// Refreshes asked since the push.
    pub refreshes: u32,
    /// When the last of them was asked.
    pub last_refresh: Option<DateTime<Utc>>,
    /// Since when an operation without our commit has been in the way.
    pub blocked_since: Option<DateTime<Utc>>,
    /// Since when it has been out of sync at our commit without an operation.
    pub stalled_since: Option<DateTime<Utc>>,
    /// Revisions the mirror did not know, and when that was last said.
    pub unknown_since: Option<DateTime<Utc>>,
    /// The first hydrated commit that carries ours.
    pub hydrated: Option<String>,
    /// The final verdict, once there is one.
    pub settled: Option<Verdict>,
}

/// Proof that the commit was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// The revision that proved it: the commit or a descendant.
    pub revision: String,
    /// How it was proved.
    pub how: Arrival,
    /// When we saw it.
    pub seen_at: DateTime<Utc>,
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

/// Sightings of an error to render or compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareError {
    /// First sighting.
    pub first: DateTime<Utc>,
    /// Separate sightings so far.
    pub sightings: u32,
    /// The refresh that the last sighting answers.
    pub asked_at: DateTime<Utc>,
}

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

/// The answer of [`judge`].
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Store this.
    pub tracking: Tracking,
    /// Show this.
    pub verdict: Verdict,
    /// Do this (see [`crate::watch::Watch::fulfil`]); may be empty.
    pub wants: Vec<Want>,
}

/// What a judgement needs in order to get further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A refresh asked at or after this time. One that somebody else asked for will do.
    Refresh {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// A direct `GET` made at or after this time.
    Details {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// An answer about sync windows given at or after this time.
    SyncWindows {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// The mirror does not know these commits: fetch, then judge again.
    FetchCommits {
        /// Full commit ids.
        revisions: Vec<String>,
    },
    /// Judge again at this time even if nothing happens.
    WakeAt(DateTime<Utc>),
}

/// What all applications of a change come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combined {
    /// Position of the verdict that speaks for all: while any waits, the one most in need of attention; at the end, the worst.
    pub speaks: usize,
    /// Set when every verdict is final: the worst ending.
    pub ending: Option<Ending>,
}

/// Combines the verdicts of all touched applications: done when all are final, and then the worst wins. `None` for none.
pub fn combine(verdicts: &[Verdict]) -> Option<Combined> {
    let waiting = |verdict: &Verdict| !verdict.is_final();
    let done = !verdicts.iter().any(waiting);
    // A failure is worth showing while others still wait; a success is not.
    let rank = |verdict: &Verdict| match verdict.ending() {
        Some(Ending::Synced) => 0,
        None => 1 + words::urgency(verdict),
        Some(ending) => 10 + ending as u8,
    };
    let speaks = (0..verdicts.len()).rev().max_by_key(|index| rank(&verdicts[*index]))?;
    let ending = if done {
        verdicts.iter().filter_map(Verdict::ending).max()
    } else {
        None
    };
    Some(Combined { speaks, ending })
}

/// Name of the `infos` entry by which our own operations are recognised.
pub const OPERATION_INFO: &str = "countersign/proposal";

/// The proposal whose Sync button started the current or last operation, if one did.
pub fn operation_proposal(app: &Application) -> Option<&str> {
    let requested = app.operation.iter();
    let run = app.status.operation_state.iter().map(|state| &state.operation);
    let mut infos = requested.chain(run).flat_map(|operation: &Operation| &operation.info);
    infos.find(|info| info.name == OPERATION_INFO).map(|info| info.value.as_str())
}
