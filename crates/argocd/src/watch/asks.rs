//! Questions about single applications, asked once for all who want an answer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Shared, Watch, clock, lock};
use crate::client::{Error, Refreshed};
use crate::model::{AppKey, AppRef};
use crate::verdict::{RefreshFact, Want};

/// What has been asked about one application.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    refresh: Asked,
    details: Asked,
    windows: Asked,
}

/// One kind of question.
#[derive(Debug, Default)]
struct Asked {
    /// When the last one that was answered (or a refresh that was asked) was asked, by our clock.
    answered_for: Option<DateTime<Utc>>,
    /// When the last one was asked, for the pause between two.
    last: Option<Instant>,
    /// One is under way.
    under_way: bool,
    /// Failures in a row: each doubles the pause.
    failures: u32,
}

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refresh,
    Details,
    Windows,
}

impl Ledger {
    fn of(&mut self, kind: Kind) -> &mut Asked {
        match kind {
            Kind::Refresh => &mut self.refresh,
            Kind::Details => &mut self.details,
            Kind::Windows => &mut self.windows,
        }
    }
}

impl Watch {
    /// Does what judgements want about an application: refreshes it, looks at it directly, asks for its sync windows. Answers
    /// go into the state, and subscribers are told. Equal wishes of many changes are one request; one that an answer already
    /// fulfils is none. Fetching commits and waking up are left to the caller.
    pub fn fulfil(&self, app: &AppRef, wants: &[Want]) {
        for want in wants {
            match want {
                Want::Refresh { not_before } => self.shared.ask(Kind::Refresh, app, *not_before),
                Want::Details { not_before } => self.shared.ask(Kind::Details, app, *not_before),
                Want::SyncWindows { not_before } => self.shared.ask(Kind::Windows, app, *not_before),
                Want::FetchCommits { .. } | Want::WakeAt(_) => {}
            }
        }
    }

    /// Asks for a refresh unless one was asked at or after `not_before`: after a push, for every application that may be
    /// concerned.
    pub fn refresh(&self, app: &AppRef, not_before: DateTime<Utc>) {
        self.fulfil(app, &[Want::Refresh { not_before }]);
    }
}

impl Shared {
    /// A direct look that is not older than `not_before`.
    pub(super) fn look(self: &Arc<Self>, app: &AppRef, not_before: DateTime<Utc>) {
        self.ask(Kind::Details, app, not_before);
    }

    fn ask(self: &Arc<Self>, kind: Kind, app: &AppRef, not_before: DateTime<Utc>) {
        let mut asks = lock(&self.asks);
        let asked = asks.entry(app.key()).or_default().of(kind);
        if asked.under_way || asked.answered_for.is_some_and(|at| at >= not_before) {
            return;
        }
        asked.under_way = true;
        let gap = self.options.ask_gap * 2u32.pow(asked.failures.min(4));
        let wait = asked.last.map_or(Duration::ZERO, |last| gap.saturating_sub(last.elapsed()));
        drop(asks);
        let (shared, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = shared.cancel.cancelled() => {}
                () = shared.ask_now(kind, &app, wait) => {}
            }
        });
    }

    async fn ask_now(self: &Arc<Self>, kind: Kind, app: &AppRef, wait: Duration) {
        tokio::time::sleep(wait).await;
        let slots = if kind == Kind::Refresh { &self.refresh_slots } else { &self.slots };
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        // It may have moved to another project since: under the old one it would not be found.
        let known = lock(&self.state).application(&app.key()).map(crate::model::Application::app_ref);
        let app = known.as_ref().unwrap_or(app);
        let asked_at = clock();
        let result = match kind {
            Kind::Refresh => self.refresh_now(app, asked_at).await,
            Kind::Details => self.look_now(app, asked_at).await,
            Kind::Windows => self.windows_now(app, asked_at).await,
        };
        drop(slot);
        let key = app.key();
        {
            let mut asks = lock(&self.asks);
            let asked = asks.entry(key.clone()).or_default().of(kind);
            asked.under_way = false;
            asked.last = Some(Instant::now());
            match &result {
                Ok(()) => (asked.answered_for, asked.failures) = (Some(asked_at), 0),
                Err(_) => asked.failures += 1,
            }
        }
        match result {
            Ok(()) => self.seen(),
            Err(error) => self.refused(app, &error),
        }
        self.tell(key);
    }

    async fn refresh_now(&self, app: &AppRef, asked_at: DateTime<Utc>) -> Result<(), Error> {
        let key = app.key();
        let note = |answered_at| {
            self.update(|state| {
                if let Some(entry) = state.entry(&key) {
                    entry.refresh = Some(RefreshFact { asked_at, answered_at });
                }
                Vec::new()
            });
        };
        // Noted at once: an event that the refresh causes may come before its answer.
        note(None);
        if let Refreshed::Answered(answer) = self.client.refresh(app).await? {
            self.confirmed(*answer, asked_at);
            note(Some(clock()));
        }
        Ok(())
    }

    async fn look_now(&self, app: &AppRef, asked_at: DateTime<Utc>) -> Result<(), Error> {
        let answer = self.client.get(app).await?;
        self.confirmed(answer, asked_at);
        Ok(())
    }

    async fn windows_now(&self, app: &AppRef, asked_at: DateTime<Utc>) -> Result<(), Error> {
        let windows = Arc::new(self.client.sync_windows(app).await?);
        self.update(|state| {
            if let Some(entry) = state.entry(&app.key()) {
                entry.windows = Some((windows, asked_at));
            }
            Vec::new()
        });
        Ok(())
    }

    /// A direct answer: it confirms what is known even where it is not newer.
    fn confirmed(&self, app: crate::model::Application, asked_at: DateTime<Utc>) {
        let key = app.key();
        self.update(|state| {
            state.apply(app, Instant::now());
            if let Some(entry) = state.entry(&key) {
                entry.confirmed_at = Some(asked_at);
            }
            Vec::new()
        });
    }

    /// What a failed question says about the application, or about Argo CD.
    fn refused(&self, app: &AppRef, error: &Error) {
        let key: AppKey = app.key();
        tracing::debug!(application = %key, %error, "a question to Argo CD failed");
        match error {
            Error::NotFound { .. } => self.update(|state| {
                state.remove(&key);
                Vec::new()
            }),
            Error::Unauthorized { .. } => self.failed(error),
            Error::Forbidden { .. } => self.update(|state| {
                if let Some(entry) = state.entry(&key) {
                    entry.trouble = Some(error.to_string());
                }
                Vec::new()
            }),
            // The next judgement asks again, not before the pause between two questions is over.
            Error::Unavailable { .. }
            | Error::Busy
            | Error::WindowClosed { .. }
            | Error::AutoSyncMismatch { .. }
            | Error::Invalid { .. } => {}
        }
    }
}
