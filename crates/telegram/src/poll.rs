//! Long polling. The offset sent to Telegram is the acknowledgement, so it moves past an update only after the handler returned Ok for
//! it: after a crash Telegram delivers again what was not finished. Updates of one person stay in order; different people do not wait
//! for each other; an update that keeps failing holds back its own person only.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::{Client, Inbound, SendError};

/// How to poll.
#[derive(Debug, Clone)]
pub struct PollOptions {
    /// The first update wanted; none: whatever Telegram still keeps.
    pub start_offset: Option<i64>,
    /// How long Telegram holds an empty call open; at most 50 s.
    pub timeout: Duration,
    /// The longest pause after errors.
    pub backoff_max: Duration,
    /// The pause before an update whose handler failed is tried again; doubles up to 30 s.
    pub retry_first: Duration,
    /// How long running handlers may go on after a stop.
    pub drain: Duration,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self {
            start_offset: None,
            timeout: Duration::from_secs(25),
            backoff_max: Duration::from_secs(64),
            retry_first: Duration::from_millis(250),
            drain: Duration::from_secs(2),
        }
    }
}

/// An update is given up after this many failures, if Telegram's window of 100 updates is full of handled ones behind it: only then does
/// it keep everybody else out.
const FAILURES_MAX: u32 = 10;
/// How many updates Telegram returns at most: with that many unacknowledged it shows nothing newer.
const WINDOW: usize = 100;
/// While something is unfinished Telegram answers at once with the same updates: look for new ones this often only.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The longest pause between two tries of one update.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Polls until `cancel`, calling `handler` for each update that is not [`Inbound::Ignored`]. Returns after running handlers ended (at
/// most `drain`) and what they finished was acknowledged.
///
/// The handler must be boring the second time: after a crash, or when an acknowledgement is lost, an update comes again. Errors and
/// panics of the handler are logged and tried again with a growing pause.
pub async fn poll<H, F, E>(client: &Client, options: PollOptions, cancel: CancellationToken, handler: H)
where
    H: Fn(Inbound) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Display,
{
    let mut flight = Flight {
        handler: &handler,
        retry_first: options.retry_first,
        window: Window::new(options.start_offset),
        running: FuturesUnordered::new(),
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = receive(client, &options, &mut flight) => {}
    }
    // Nothing new is started; what runs may end, and what has ended is acknowledged.
    let drained = async { while flight.next().await.is_some() {} };
    let _ = tokio::time::timeout(options.drain, drained).await;
    if let Some(offset) = flight.window.offset() {
        let _ = tokio::time::timeout(Duration::from_secs(1), client.get_updates(Some(offset), 0)).await;
    }
}

async fn receive<'a, H, F, E>(client: &Client, options: &PollOptions, flight: &mut Flight<'a, H>)
where
    H: Fn(Inbound) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send + 'a,
    E: Display + 'a,
{
    let mut bot_name = None;
    let mut errors = 0;
    loop {
        let idle = flight.window.is_empty();
        let (offset, wait) = (flight.window.offset(), if idle { options.timeout.as_secs().min(50) } else { 0 });
        let name = bot_name.clone();
        let ask = async {
            if !idle {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let name = match name {
                Some(name) => name,
                None => client.get_me().await?.username,
            };
            Ok::<_, SendError>((client.get_updates(offset, wait).await?, name))
        };
        match flight.alongside(ask, !idle).await {
            None => {} // everything is handled: acknowledge and listen again
            Some(Ok((updates, name))) => {
                errors = 0;
                flight.window.take(updates.iter().map(|update| Inbound::parse(update, &name)));
                flight.launch();
                bot_name = Some(name);
            }
            Some(Err(error)) => {
                let pause = backoff(&error, errors, options.backoff_max);
                errors += 1;
                tracing::warn!(%error, seconds = pause.as_secs_f64(), "cannot fetch updates from Telegram; trying again");
                flight.alongside(tokio::time::sleep(pause), false).await;
            }
        }
    }
}

/// 1 s, 2 s, 4 s … A conflict waits longer at once: two pollers that hurry only take turns in stealing updates.
fn backoff(error: &SendError, errors: u32, max: Duration) -> Duration {
    let pause = match error {
        SendError::RetryAfter(wait) => *wait,
        SendError::Conflict { .. } => Duration::from_secs(4 << errors.min(4)),
        _ => Duration::from_secs(1 << errors.min(6)),
    };
    pause.min(max)
}

type Attempt<'a> = Pin<Box<dyn Future<Output = (i64, bool)> + Send + 'a>>;

/// The handlers under way and what they work on.
struct Flight<'a, H> {
    handler: &'a H,
    retry_first: Duration,
    window: Window,
    running: FuturesUnordered<Attempt<'a>>,
}

impl<'a, H, F, E> Flight<'a, H>
where
    H: Fn(Inbound) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send + 'a,
    E: Display + 'a,
{
    /// Runs `work` while handlers make progress. None when `until_done` is set and the last handler ended first.
    async fn alongside<T>(&mut self, work: impl Future<Output = T>, until_done: bool) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(()) = self.next() => {
                    self.launch();
                    if until_done && self.window.is_empty() {
                        return None;
                    }
                }
                out = &mut work => return Some(out),
            }
        }
    }

    /// Starts everything that may start.
    fn launch(&mut self) {
        while let Some((inbound, failures)) = self.window.start() {
            let pause = match failures {
                0 => Duration::ZERO,
                n => self.retry_first.saturating_mul(1 << (n - 1).min(16)).min(RETRY_MAX),
            };
            self.running.push(Box::pin(attempt(self.handler, inbound, pause)));
        }
    }

    /// Waits for one handler to end; none when none runs.
    async fn next(&mut self) -> Option<()> {
        let (update_id, ok) = self.running.next().await?;
        self.window.settle(update_id, ok);
        Some(())
    }
}

async fn attempt<H, F, E>(handler: &H, inbound: Inbound, pause: Duration) -> (i64, bool)
where
    H: Fn(Inbound) -> F + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Display,
{
    let update_id = inbound.update_id();
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let ok = match AssertUnwindSafe(async { handler(inbound).await }).catch_unwind().await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(update_id, %error, "an update could not be handled; it will be tried again");
            false
        }
        Err(_) => {
            tracing::error!(update_id, "the handler of an update panicked; it will be tried again");
            false
        }
    };
    (update_id, ok)
}

/// The updates between the acknowledged ones and the newest: pure bookkeeping.
struct Window {
    /// What to ask for when nothing is pending.
    next: Option<i64>,
    pending: BTreeSet<i64>,
    /// Handled, but behind a pending one: Telegram returns them again.
    done: BTreeSet<i64>,
    lanes: HashMap<i64, VecDeque<Inbound>>,
    lane_of: HashMap<i64, i64>,
    ready: VecDeque<i64>,
    failures: HashMap<i64, u32>,
}

impl Window {
    fn new(start: Option<i64>) -> Self {
        Self {
            next: start,
            pending: BTreeSet::new(),
            done: BTreeSet::new(),
            lanes: HashMap::new(),
            lane_of: HashMap::new(),
            ready: VecDeque::new(),
            failures: HashMap::new(),
        }
    }

    /// Everything below it is acknowledged by the next call.
    fn offset(&self) -> Option<i64> {
        self.pending.first().copied().or(self.next)
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds what Telegram returned. Ids are compared within one answer only: after a quiet week they start anywhere.
    fn take(&mut self, updates: impl Iterator<Item = Inbound>) {
        let mut newest = None;
        for inbound in updates {
            let id = inbound.update_id();
            newest = newest.max(Some(id));
            if self.pending.contains(&id) || self.done.contains(&id) {
                continue;
            }
            if let Inbound::Ignored { why, .. } = inbound {
                tracing::debug!(update_id = id, why, "an update is ignored");
                self.done.insert(id);
                continue;
            }
            let lane = inbound.lane();
            let line = self.lanes.entry(lane).or_default();
            if line.is_empty() {
                self.ready.push_back(lane);
            }
            line.push_back(inbound);
            self.lane_of.insert(id, lane);
            self.pending.insert(id);
        }
        if let Some(newest) = newest {
            self.next = Some(newest + 1);
        }
        self.forget();
    }

    /// The next update that may be handled, with the number of its failures so far.
    fn start(&mut self) -> Option<(Inbound, u32)> {
        let lane = self.ready.pop_front()?;
        let inbound = self.lanes.get(&lane)?.front()?.clone();
        let failures = self.failures.get(&inbound.update_id()).copied().unwrap_or(0);
        Some((inbound, failures))
    }

    fn settle(&mut self, id: i64, ok: bool) {
        let Some(lane) = self.lane_of.get(&id).copied() else { return };
        if ok || self.give_up(id) {
            self.pending.remove(&id);
            self.done.insert(id);
            self.failures.remove(&id);
            self.lane_of.remove(&id);
            let line = self.lanes.entry(lane).or_default();
            line.pop_front();
            if line.is_empty() {
                self.lanes.remove(&lane);
            } else {
                self.ready.push_back(lane);
            }
            self.forget();
        } else {
            *self.failures.entry(id).or_default() += 1;
            self.ready.push_back(lane);
        }
    }

    /// Whether a failing update must go because it shuts everybody else out: Telegram's window is full, and most of it is handled, so
    /// that the fault lies with this update and not with, say, the database.
    fn give_up(&self, id: i64) -> bool {
        let full = self.pending.len() + self.done.len() >= WINDOW && self.done.len() >= WINDOW / 2;
        let give_up = full && self.failures.get(&id).is_some_and(|failures| *failures >= FAILURES_MAX);
        if give_up {
            tracing::error!(
                update_id = id,
                "an update failed {FAILURES_MAX} times and holds back all others; it is given up"
            );
        }
        give_up
    }

    /// Forgets handled updates that the offset has passed.
    fn forget(&mut self) {
        match self.pending.first() {
            Some(first) => self.done = self.done.split_off(first),
            None => self.done.clear(),
        }
    }
}
