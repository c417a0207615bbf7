//! What goes into a judgement: the change, the evidence, and what was kept from the judgement before.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Arrival, Verdict};
use crate::model::{Application, Health};
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
    /// Since when its present state has been seen; `None` counts as since now.
    pub sighted: Option<Sighted>,
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
            sighted: None,
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

/// Since when what an application shows has been seen without a break, by our clock. It is noted once per application, not by each change:
/// however many changes are judged, and whenever, all of them wait for the same moments, so that one look serves them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighted {
    /// The present comparison: sync status and revisions.
    pub compared: DateTime<Utc>,
    /// The present operation, in its present phase: the one asked for, running, or last.
    pub operated: DateTime<Utc>,
    /// The present health. A new operation, or the first look after one, starts anew: health from before says nothing.
    pub health: DateTime<Utc>,
}

impl Sighted {
    /// An application seen for the first time.
    pub fn first(now: DateTime<Utc>) -> Self {
        Self {
            compared: now,
            operated: now,
            health: now,
        }
    }

    /// A further view of the same application.
    #[must_use]
    pub fn again(self, before: &Application, after: &Application, now: DateTime<Utc>) -> Self {
        let compared = |app: &Application| {
            let sync = &app.status.sync;
            (sync.status, sync.revision.clone(), sync.revisions.clone())
        };
        let operated = |app: &Application| {
            let started = app.status.operation_state.as_ref().and_then(|state| state.started_at);
            (app.operation.is_some(), app.phase(), started)
        };
        let health = |app: &Application| (app.status.health.status, app.looked_since_operation());
        let since = |same: bool, since: DateTime<Utc>| if same { since } else { now };
        let same_operation = operated(before) == operated(after);
        Self {
            compared: since(compared(before) == compared(after), self.compared),
            operated: since(same_operation, self.operated),
            health: since(same_operation && health(before) == health(after), self.health),
        }
    }
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
    /// Sightings of an error to render or compare.
    pub compare_error: Option<CompareError>,
    /// Refreshes asked since the push.
    pub refreshes: u32,
    /// When the last of them was asked.
    pub last_refresh: Option<DateTime<Utc>>,
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
    /// When it was seen first, for whichever change.
    pub seen_at: DateTime<Utc>,
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
