//! The health gate: the commit is there; is the application well?
//!
//! Health lags behind a sync (a controller may call a rollout healthy before it has looked at it), so good health must hold
//! for ten seconds over one more observation, and bad health for thirty (see [`super::Patience`]).

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Found, Operated, Question};
use super::rows::Case;
use super::{Arrival, Latch, Note, Verdict};
use crate::model::{Application, Health, SyncCode};

/// How long the list of differing resources is waited for.
const NOTES_PATIENCE: TimeDelta = TimeDelta::seconds(60);

/// Judges health once the latch is set.
pub(super) fn gate(case: &mut Case<'_>, app: &Application, question: &Question<'_>, op: Option<&Operated>, compared: &Found) -> Verdict {
    let Some(latch) = case.tracking.latch.clone() else {
        return Verdict::NotSeenYet {
            compared: compared.revision.clone(),
            refreshes: case.tracking.refreshes,
        };
    };
    let view = Gate {
        app,
        question,
        op,
        compared,
        latch,
    };
    if op.is_some_and(|op| op.in_flight) {
        return view.settling("another sync is running");
    }
    if !app.looked_since_operation() {
        case.look_again(view.latch.seen_at);
        return Verdict::Settling {
            revision: view.latch.revision,
            health: None,
            message: String::new(),
        };
    }
    let message = app.status.health.message.clone().unwrap_or_default();
    if let Some(verdict) = view.unchanged(case, &message) {
        return verdict;
    }
    match app.status.health.status {
        Some(Health::Healthy) => view.healthy(case, None),
        Some(Health::Suspended) if case.change.accept_suspended => view.healthy(case, Some(Note::Paused)),
        Some(Health::Degraded) => view.degraded(case, message),
        Some(Health::Progressing | Health::Missing | Health::Suspended) => view.settling(&message),
        Some(Health::Unknown) | None => {
            case.look_again(view.latch.seen_at);
            view.settling(&message)
        }
    }
}

struct Gate<'a> {
    app: &'a Application,
    question: &'a Question<'a>,
    op: Option<&'a Operated>,
    compared: &'a Found,
    latch: Latch,
}

impl Gate<'_> {
    /// What the change did not alter is not waited for: health as it was before, when nothing was applied; and an
    /// application that was degraded before and has not changed since.
    fn unchanged(&self, case: &mut Case<'_>, message: &str) -> Option<Verdict> {
        let baseline = case.change.baseline.as_ref()?;
        let health = self.app.status.health.status?;
        let since = self.app.status.health.last_transition_time;
        let started = self.op.and_then(|op| op.started_at);
        if baseline.health != Some(health) {
            return None;
        }
        let same_since = baseline.health_since == since;
        let idle = self.latch.how == Arrival::NothingToApply && baseline.operation_started_at == started;
        let degraded = || Note::AlreadyDegraded {
            message: message.to_owned(),
        };
        match health {
            Health::Degraded => {
                let untouched = same_since || matches!((since, started), (Some(since), Some(started)) if since <= started);
                untouched.then(|| self.synced(case, Some(degraded())))?
            }
            Health::Healthy if idle && same_since => self.synced(case, None),
            Health::Suspended if idle && same_since => self.synced(case, Some(Note::Paused)),
            _ => None,
        }
    }

    fn healthy(&self, case: &mut Case<'_>, note: Option<Note>) -> Verdict {
        if !case.held(self.since(case) + case.limit(|patience| patience.healthy_ms)) {
            return self.settling("");
        }
        self.synced(case, note).unwrap_or_else(|| self.settling(""))
    }

    fn degraded(&self, case: &mut Case<'_>, message: String) -> Verdict {
        if !case.held(self.since(case) + case.limit(|patience| patience.degraded_ms)) {
            return self.settling(&message);
        }
        let later = self.op.filter(|op| op.succeeded() && op.found.yes()).map(|op| op.found.short());
        let after_later = later.filter(|later| *later != self.latch.revision);
        Verdict::Degraded {
            revision: self.latch.revision.clone(),
            message,
            after_later,
        }
    }

    /// Since when the present health counts: seen without a break since the commit was there.
    fn since(&self, case: &Case<'_>) -> DateTime<Utc> {
        case.sighted().health.max(self.latch.seen_at)
    }

    fn settling(&self, message: &str) -> Verdict {
        Verdict::Settling {
            revision: self.latch.revision.clone(),
            health: self.app.status.health.status,
            message: message.to_owned(),
        }
    }

    /// The success with its notes; `None` while the resources that the notes name are not known yet.
    fn synced(&self, case: &mut Case<'_>, note: Option<Note>) -> Option<Verdict> {
        let difference = match self.app.status.sync.status {
            Some(SyncCode::OutOfSync) => Some(self.difference(case)?),
            Some(SyncCode::Synced | SyncCode::Unknown) | None => None,
        };
        Some(Verdict::Synced {
            revision: self.latch.revision.clone(),
            how: self.latch.how,
            part_of_later: self.latch.revision != self.question.commit,
            recovered: false,
            notes: note.into_iter().chain(difference).collect(),
        })
    }

    /// Why it is out of sync although the commit was applied.
    fn difference(&self, case: &mut Case<'_>) -> Option<Note> {
        let deployed = self.op.filter(|op| op.found.yes()).map_or(&self.latch.revision, |op| {
            op.found.revision.as_ref().unwrap_or(&self.latch.revision)
        });
        let Some(resources) = case.resources(self.app, case.now) else {
            let given_up = case.now >= self.latch.seen_at + NOTES_PATIENCE;
            return given_up.then(|| Note::Drift { resources: Vec::new() });
        };
        let different: Vec<_> = resources
            .iter()
            .filter(|r| !r.hook && r.status == Some(SyncCode::OutOfSync))
            .collect();
        let labels = different.iter().map(|resource| resource.label()).collect();
        if !different.is_empty() && different.iter().all(|resource| resource.requires_pruning) {
            return Some(Note::NeedsPrune { resources: labels });
        }
        match &self.compared.revision {
            Some(later) if self.compared.yes() && later != deployed => Some(Note::LaterCommitPending { revision: later.clone() }),
            _ => Some(Note::Drift { resources: labels }),
        }
    }
}

impl Case<'_> {
    /// Whether a state has held until `due`, and was observed once more after that.
    fn held(&mut self, due: DateTime<Utc>) -> bool {
        if self.now < due {
            self.wake(due);
            return false;
        }
        let confirmed = self.evidence.confirmed_at.is_some_and(|at| at >= due);
        if !confirmed {
            self.wants.push(super::Want::Details { not_before: due });
        }
        confirmed
    }

    /// Asks the controller to look at the application again.
    fn look_again(&mut self, since: DateTime<Utc>) {
        let due = self
            .tracking
            .last_refresh
            .map_or(since, |last| since.max(last + self.limit(|patience| patience.refresh_ms)));
        self.want_refresh(due);
    }
}
