//! The one watch on an Argo CD instance, shared by all changes in flight.
//!
//! One event stream, and while somebody is interested one list now and then (a stream loses events without a word). What
//! single applications need (a refresh, a direct look, their sync windows) is asked once for all who want it. So the number
//! of requests depends on applications and time, never on the number of changes.
//!
//! - `stream`: connection, events, back-off
//! - `asks`: the questions about single applications
//! - [`state`]: what is known, and how news is merged

mod asks;
mod sse;
pub mod state;
mod stream;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use state::{Entry, State};

use crate::client::{Client, Error};
use crate::model::AppKey;

/// How a watch behaves.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Only applications of these projects; all that the token may see when empty.
    pub projects: Vec<String>,
    /// Pause between two lists while somebody is interested. Nobody interested: no lists at all.
    pub relist_every: Duration,
    /// Silence after which the stream counts as broken; Argo CD sends something every 15 s.
    pub read_timeout: Duration,
    /// First pause before connecting again; doubled at each failure.
    pub backoff_min: Duration,
    /// Longest such pause.
    pub backoff_max: Duration,
    /// Longest pause after Argo CD refused the token or a right: only a person can mend that. A new token ends it at once.
    pub refused_pause: Duration,
    /// Pause before connecting again while nobody is interested.
    pub idle_pause: Duration,
    /// Pause between the opening of the stream and the list that closes the gap between its snapshot and its events.
    pub settle: Duration,
    /// Least time between two questions of one kind about one application.
    pub ask_gap: Duration,
    /// Questions about single applications under way at once; as many refreshes besides.
    pub parallel: usize,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            relist_every: Duration::from_secs(90),
            read_timeout: Duration::from_secs(45),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            refused_pause: Duration::from_secs(300),
            idle_pause: Duration::from_secs(300),
            settle: Duration::from_secs(1),
            ask_gap: Duration::from_secs(3),
            parallel: 8,
        }
    }
}

/// The watch. Cheap to clone; it ends with its cancellation token.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("client", &self.shared.client).finish_non_exhaustive()
    }
}

struct Shared {
    client: Client,
    options: WatchOptions,
    cancel: CancellationToken,
    state: Mutex<Arc<State>>,
    changes: broadcast::Sender<AppKey>,
    /// How many are interested, by application and in all.
    interest: Mutex<Interests>,
    /// Somebody has become interested.
    interested: Notify,
    /// A list is wanted soon.
    relist_soon: Notify,
    /// Number of the open connection whose snapshot is complete; 0 for none.
    connection: AtomicU64,
    /// A list is under way for [`Watch::fresh_soon`].
    listing_soon: AtomicBool,
    /// The last list; held while one is under way, so that there is one at a time.
    listed: tokio::sync::Mutex<Listed>,
    asks: Mutex<HashMap<AppKey, asks::Ledger>>,
    slots: Arc<Semaphore>,
    /// A refresh may hang: it must not keep direct looks waiting.
    refresh_slots: Arc<Semaphore>,
}

#[derive(Default)]
struct Interests {
    apps: HashMap<AppKey, usize>,
    total: usize,
}

/// The last list.
#[derive(Default)]
struct Listed {
    /// When it was asked for.
    at: Option<Instant>,
    /// The connection that was open then; 0 for none.
    connection: u64,
    /// Not to be asked again before then, and why.
    blocked: Option<(Instant, Error)>,
    /// Failures in a row: each doubles the pause.
    failures: u32,
}

/// The applications cannot be listed now.
#[derive(Debug, Clone)]
pub struct Blocked {
    /// Why.
    pub error: Error,
    /// When it is tried again at the earliest.
    pub retry_in: Duration,
}

impl Watch {
    /// Starts watching: connects in the background and goes on until `cancel`. Must be called within a tokio runtime.
    pub fn start(client: Client, options: WatchOptions, cancel: CancellationToken) -> Self {
        let shared = Arc::new(Shared {
            client,
            cancel,
            state: Mutex::default(),
            changes: broadcast::Sender::new(1024),
            interest: Mutex::default(),
            interested: Notify::new(),
            relist_soon: Notify::new(),
            connection: AtomicU64::new(0),
            listing_soon: AtomicBool::new(false),
            listed: tokio::sync::Mutex::default(),
            asks: Mutex::default(),
            slots: Arc::new(Semaphore::new(options.parallel.max(1))),
            refresh_slots: Arc::new(Semaphore::new(options.parallel.max(1))),
            options,
        });
        tokio::spawn(stream::run(shared.clone()));
        tokio::spawn(stream::relist_while_interested(shared.clone()));
        Self { shared }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<State> {
        lock(&self.shared.state).clone()
    }

    /// What is known, after making sure that it is all there is: at once when the stream has been open since the last list
    /// or that list is younger than `max_age`, else after one list, shared by all who wait.
    ///
    /// # Errors
    /// Why Argo CD cannot be asked.
    pub async fn fresh(&self, max_age: Duration) -> Result<Arc<State>, Error> {
        let mut listed = self.shared.listed.lock().await;
        let young = listed.at.is_some_and(|at| at.elapsed() <= max_age);
        if !(self.shared.is_live(&listed) || young) {
            self.shared.relist(&mut listed).await?;
        }
        drop(listed);
        Ok(self.snapshot())
    }

    /// As [`Watch::fresh`], without waiting: `None` while a list is under way, of whose end everybody is told ([`Changed::All`]).
    ///
    /// # Errors
    /// Why Argo CD could not be asked, until it is time to try again.
    pub fn fresh_soon(&self, max_age: Duration) -> Result<Option<Arc<State>>, Blocked> {
        if let Ok(listed) = self.shared.listed.try_lock() {
            if self.shared.is_live(&listed) || listed.at.is_some_and(|at| at.elapsed() <= max_age) {
                return Ok(Some(self.snapshot()));
            }
            if let Some((until, error)) = &listed.blocked
                && *until > Instant::now()
            {
                return Err(Blocked {
                    error: error.clone(),
                    retry_in: until.saturating_duration_since(Instant::now()),
                });
            }
        }
        if !self.shared.listing_soon.swap(true, Ordering::AcqRel) {
            let watch = self.clone();
            tokio::spawn(async move {
                let cancel = watch.shared.cancel.clone();
                // Its end is told either way; who asks again learns how it went.
                let _ = cancel.run_until_cancelled(watch.fresh(max_age)).await;
                watch.shared.listing_soon.store(false, Ordering::Release);
                watch.shared.tell(everything());
            });
        }
        Ok(None)
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> Changes {
        Changes {
            receiver: self.shared.changes.subscribe(),
        }
    }

    /// Says that somebody waits for these applications; lists are made only while such a guard lives.
    pub fn interest(&self, apps: impl IntoIterator<Item = AppKey>) -> Interest {
        let apps: Vec<AppKey> = apps.into_iter().collect();
        {
            let mut interest = lock(&self.shared.interest);
            interest.total += 1;
            for app in &apps {
                *interest.apps.entry(app.clone()).or_default() += 1;
            }
        }
        self.shared.interested.notify_waiters();
        self.shared.relist_soon.notify_one();
        Interest {
            shared: self.shared.clone(),
            apps,
        }
    }

    /// The client the watch works with.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }
}

/// Somebody waits for applications; ends when dropped.
#[must_use = "interest ends when the guard is dropped"]
pub struct Interest {
    shared: Arc<Shared>,
    apps: Vec<AppKey>,
}

impl std::fmt::Debug for Interest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interest").field("apps", &self.apps).finish_non_exhaustive()
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut interest = lock(&self.shared.interest);
        interest.total -= 1;
        for app in &self.apps {
            if let Some(count) = interest.apps.get_mut(app) {
                *count -= 1;
                if *count == 0 {
                    interest.apps.remove(app);
                }
            }
        }
    }
}

/// A subscription to changes.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<AppKey>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// One application, or what was asked about it.
    App(AppKey),
    /// Perhaps everything: Argo CD became (un)reachable, or more changed than was read in time.
    All,
}

impl Changes {
    /// Waits for the next change; `None` when the watch is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Changed> {
        match self.receiver.recv().await {
            Ok(key) if key == everything() => Some(Changed::All),
            Ok(key) => Some(Changed::App(key)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Changed::All),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// No application has an empty name.
fn everything() -> AppKey {
    AppKey::new("", "")
}

impl Shared {
    /// Changes the state, and tells about `changed` applications afterwards.
    fn update(&self, change: impl FnOnce(&mut State) -> Vec<AppKey>) {
        let changed = change(Arc::make_mut(&mut lock(&self.state)));
        for key in changed {
            self.tell(key);
        }
    }

    fn tell(&self, key: AppKey) {
        // An error means that nobody listens.
        let _ = self.changes.send(key);
    }

    /// Argo CD said something.
    fn seen(&self) {
        let now = clock();
        self.update(|state| {
            let news = !state.reachable;
            state.last_seen = Some(now);
            state.reachable = true;
            state.error = None;
            state.trouble = None;
            if news { vec![everything()] } else { Vec::new() }
        });
    }

    /// Something failed. Argo CD counts as unreachable when it refuses us, or when nothing has worked for a while: where a
    /// proxy allows no streams, or while a server restarts, direct answers and lists carry on.
    fn failed(&self, error: &Error) {
        let now = clock();
        let grace = TimeDelta::from_std(self.options.read_timeout).unwrap_or(TimeDelta::MAX);
        self.update(|state| {
            let lately = state.last_seen.is_some_and(|seen| now - seen < grace);
            let reachable = state.reachable && lately && !matches!(error, Error::Unauthorized { .. });
            let told = Some(error.to_string());
            let news = state.reachable != reachable || state.error != told;
            state.reachable = reachable;
            state.error = told;
            state.trouble = error.trouble();
            if news { vec![everything()] } else { Vec::new() }
        });
    }

    /// Whether the stream has been open since the last list.
    fn is_live(&self, listed: &Listed) -> bool {
        let open = self.connection.load(Ordering::Acquire);
        open != 0 && listed.connection == open
    }

    fn anybody_interested(&self) -> bool {
        lock(&self.interest).total > 0
    }

    fn interested_in(&self, key: &AppKey) -> bool {
        lock(&self.interest).apps.contains_key(key)
    }
}

/// Our clock.
fn clock() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// A poisoned lock guards data that every writer leaves whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
