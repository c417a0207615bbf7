//! Keeping the stream open, and listing while somebody is interested.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::sse::{Frame, Frames};
use super::state::State;
use super::{Listed, Shared, lock};
use crate::client::Error;
use crate::model::{AppKey, AppRef, Application, View};

/// A connection that lived this long was a good one: the next failure starts with the shortest pause again.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// How a connection ended.
enum End {
    /// It was open and broke; nothing to tell anybody.
    Broken,
    /// It never worked, or Argo CD said why.
    Failed(Error),
}

/// Connects for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let options = &shared.options;
    let mut pause = options.backoff_min;
    for number in 1.. {
        // Listening begins before the attempt, so that nothing said meanwhile is missed.
        let interested = shared.interested.notified();
        let token_changed = shared.client.token_changed();
        tokio::pin!(interested, token_changed);
        interested.as_mut().enable();
        token_changed.as_mut().enable();
        let began = Instant::now();
        let end = tokio::select! {
            () = shared.cancel.cancelled() => return,
            end = connection(&shared, number) => end,
        };
        shared.connection.store(0, Ordering::Release);
        if began.elapsed() >= GOOD_AFTER {
            pause = options.backoff_min;
        }
        let busy = shared.anybody_interested();
        let waited = match &end {
            End::Broken if busy => jittered(pause),
            End::Broken => options.idle_pause.max(pause),
            End::Failed(error) => {
                tracing::warn!(%error, "the Argo CD event stream failed");
                shared.failed(error);
                jittered(pause)
            }
        };
        let longest = match &end {
            End::Failed(error) => shared.longest_pause(error),
            End::Broken => options.backoff_max,
        };
        pause = (pause * 2).min(longest);
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = tokio::time::sleep(waited) => {}
            () = token_changed => {}
            // Idle until now; everybody else waits for the pause to end, however many are interested.
            () = interested, if matches!(end, End::Broken) && !busy => {}
        }
    }
}

/// One connection, from opening to its end.
async fn connection(shared: &Arc<Shared>, number: u64) -> End {
    let silence = shared.options.read_timeout;
    // With no application to show, even the headers come only with the first keep-alive.
    let response = match timeout(silence, shared.client.stream(&shared.options.projects)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return End::Failed(error),
        Err(_) => return End::Failed(unavailable("no answer in time")),
    };
    shared.seen();
    let settled = tokio::time::sleep(shared.options.settle);
    tokio::pin!(settled);
    let mut connected = false;
    let mut frames = Frames::default();
    let mut chunks = response.bytes_stream();
    loop {
        let chunk = tokio::select! {
            () = &mut settled, if !connected => {
                connected = true;
                shared.connection.store(number, Ordering::Release);
                shared.relist_soon.notify_one();
                continue;
            }
            chunk = timeout(silence, chunks.next()) => chunk,
        };
        let Ok(Some(Ok(chunk))) = chunk else { return End::Broken };
        let Ok(frames) = frames.push(&chunk) else {
            return End::Failed(unavailable("it sends no event stream; check the address"));
        };
        for frame in frames {
            match frame {
                Frame::KeepAlive => shared.seen(),
                Frame::Data(data) => {
                    if let Err(error) = event(shared, &data) {
                        return End::Failed(error);
                    }
                }
            }
        }
    }
}

/// Takes over one event.
fn event(shared: &Shared, data: &str) -> Result<(), Error> {
    let Ok(mut message) = serde_json::from_str::<Value>(data) else {
        tracing::warn!("an event of Argo CD is not JSON; the next list will make up for it");
        return Ok(());
    };
    if let Some(error) = message.get("error") {
        let status = error["http_code"].as_u64().and_then(|code| StatusCode::from_u16(code as u16).ok());
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        return Err(Error::from_answer("the event stream", status, &error.to_string()));
    }
    let deleted = message["result"]["type"] == "DELETED";
    match Application::parse(message["result"]["application"].take(), View::Stream) {
        Ok(app) => shared.update(|state| take(state, app, deleted)),
        Err(error) => tracing::warn!(%error, "an event of Argo CD cannot be read"),
    }
    shared.seen();
    Ok(())
}

fn take(state: &mut State, app: Application, deleted: bool) -> Vec<AppKey> {
    let key = app.key();
    let changed = if deleted {
        is_current(state, &app) && state.remove(&key)
    } else {
        state.apply(app, Instant::now())
    };
    if changed { vec![key] } else { Vec::new() }
}

/// Whether a deletion is about the object that is known, not about its predecessor of the same name.
fn is_current(state: &State, deleted: &Application) -> bool {
    let known = state.application(&deleted.key()).and_then(|app| app.metadata.uid.as_ref());
    match (known, &deleted.metadata.uid) {
        (Some(known), Some(deleted)) => known == deleted,
        _ => true,
    }
}

/// Lists now and then, while somebody is interested: after each connecting, and then in even pauses.
pub(super) async fn relist_while_interested(shared: Arc<Shared>) {
    let every = shared.options.relist_every;
    loop {
        let token_changed = shared.client.token_changed();
        tokio::pin!(token_changed);
        token_changed.as_mut().enable();
        let wait = {
            let mut listed = shared.listed.lock().await;
            let missed = shared.connection.load(Ordering::Acquire) != 0 && !shared.is_live(&listed);
            let due = if missed {
                Duration::ZERO
            } else {
                listed.at.map_or(Duration::ZERO, |at| every.saturating_sub(at.elapsed()))
            };
            let blocked = listed
                .blocked
                .as_ref()
                .map_or(Duration::ZERO, |(until, _)| until.saturating_duration_since(Instant::now()));
            if !shared.anybody_interested() {
                None
            } else if due.max(blocked) > Duration::ZERO {
                Some(due.max(blocked))
            } else {
                tokio::select! {
                    () = shared.cancel.cancelled() => return,
                    // A failure blocks the next one for a while.
                    _ = shared.relist(&mut listed) => Some(Duration::ZERO),
                }
            }
        };
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = sleep_or_never(wait) => {}
            () = shared.relist_soon.notified() => {}
            () = token_changed => shared.listed.lock().await.blocked = None,
        }
    }
}

async fn sleep_or_never(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// One list, merged into the state.
    pub(super) async fn relist(self: &Arc<Self>, listed: &mut Listed) -> Result<(), Error> {
        if let Some((until, error)) = &listed.blocked
            && *until > Instant::now()
        {
            return Err(error.clone());
        }
        let sent = Instant::now();
        let connection = self.connection.load(Ordering::Acquire);
        let list = match self.client.list(&self.options.projects).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(%error, "the Argo CD applications cannot be listed");
                self.failed(&error);
                self.update(|state| {
                    state.unlisted = error.trouble();
                    Vec::new()
                });
                let pause = self.options.backoff_min * 2u32.pow(listed.failures.min(16));
                let pause = pause.min(self.longest_pause(&error));
                listed.failures += 1;
                listed.blocked = Some((Instant::now() + jittered(pause), error.clone()));
                return Err(error);
            }
        };
        listed.blocked = None;
        listed.failures = 0;
        if list.unreadable > 0 {
            tracing::warn!(applications = list.unreadable, "some Argo CD applications cannot be read");
        }
        listed.at = Some(sent);
        listed.connection = connection;
        let mut ask = Vec::new();
        self.update(|state| {
            let now = Instant::now();
            state.unlisted = None;
            let mut merged = state.merge(list, sent, now);
            for app in merged.differing.drain(..) {
                if self.interested_in(&app.key()) {
                    // A direct look has a version; the list item has none.
                    ask.push(app.app_ref());
                } else {
                    merged.changed.push(app.key());
                    state.replace_by_listed(app, now);
                }
            }
            for key in merged.absent {
                match state.application(&key).filter(|_| self.interested_in(&key)) {
                    // A lagging list, a right taken away, or a deletion: a direct look tells.
                    Some(app) => ask.push(app.app_ref()),
                    None => {
                        state.forget(&key);
                        merged.changed.push(key);
                    }
                }
            }
            // What nobody asks about any more need not be remembered.
            state.gone.retain(|key| self.interested_in(key));
            merged.changed
        });
        self.seen();
        if !ask.is_empty() {
            tokio::spawn(self.clone().look_unless_told(ask, Instant::now()));
        }
        Ok(())
    }

    /// The pause that failures of this kind grow to.
    fn longest_pause(&self, error: &Error) -> Duration {
        if error.needs_a_person() {
            self.options.refused_pause
        } else {
            self.options.backoff_max
        }
    }

    /// Looks directly at applications that a list showed differently, unless the stream says the same a moment later: an answer and an event
    /// often only overtake each other.
    async fn look_unless_told(self: Arc<Self>, apps: Vec<AppRef>, listed: Instant) {
        tokio::select! {
            () = self.cancel.cancelled() => return,
            () = tokio::time::sleep(self.options.settle) => {}
        }
        let state = lock(&self.state).clone();
        for app in apps {
            if !state.is_newer_than(&app.key(), listed) {
                self.look(&app, super::clock());
            }
        }
    }
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable {
        what: "the event stream".to_owned(),
        reason: reason.to_owned(),
        retryable: true,
    }
}

/// Between half of a pause and all of it, so that several watchers do not come back together.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    pause / 2 + pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
