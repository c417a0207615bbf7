//! Who is doing something: the deadline of each connection, and which one makes room when all places are taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    open: HashMap<u64, Watch>,
}

impl Connections {
    /// Adds a connection until the returned value is dropped.
    pub fn register(&self) -> Activity {
        let watch = Watch(Arc::new(Shared {
            state: Mutex::new(State {
                under_way: 0,
                served: false,
                since: Instant::now(),
            }),
            changed: Notify::new(),
            evicted: CancellationToken::new(),
        }));
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.next += 1;
        let number = registry.next;
        registry.open.insert(number, watch.clone());
        Activity {
            watch,
            number,
            connections: self.clone(),
        }
    }

    /// Closes the connection that has had no request under way for the longest time, if there is one: silent sockets never keep
    /// working clients out.
    pub fn evict_longest_idle(&self) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = registry
            .open
            .iter()
            .filter_map(|(number, watch)| Some((watch.idle_since()?, *number)))
            .min();
        if let Some((_, number)) = idle
            && let Some(watch) = registry.open.remove(&number)
        {
            watch.0.evicted.cancel();
        }
    }
}

/// One connection's entry.
#[derive(Debug)]
pub struct Activity {
    watch: Watch,
    number: u64,
    connections: Connections,
}

impl Activity {
    /// What the connection's deadline is read from.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// A request is under way until the returned value is dropped.
    pub fn begin(&self) -> UnderWay {
        self.watch.update(|state| state.under_way += 1);
        UnderWay(self.watch.clone())
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.connections
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .remove(&self.number);
    }
}

/// A request under way.
#[derive(Debug)]
pub struct UnderWay(Watch);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.under_way -= 1;
            state.served = true;
            state.since = Instant::now();
        });
    }
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    evicted: CancellationToken,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    served: bool,
    since: Instant,
}

impl Watch {
    /// Ends when no request has been under way for too long (`first` before the first one, `between` afterwards), or when the place is
    /// needed.
    pub async fn idle(&self, first: Duration, between: Duration) {
        tokio::select! {
            () = self.0.evicted.cancelled() => {}
            () = self.expired(first, between) => {}
        }
    }

    async fn expired(&self, first: Duration, between: Duration) {
        loop {
            let deadline = {
                let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.under_way == 0).then(|| state.since + if state.served { between } else { first })
            };
            // A change between the look above and the wait below leaves a permit in `changed`: nothing is missed.
            match deadline {
                None => self.0.changed.notified().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, self.0.changed.notified()).await {
                    Ok(()) => {}
                    Err(_) => return,
                },
            }
        }
    }

    /// Whether a request has reached the router, be it answered or not.
    pub fn was_asked(&self) -> bool {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.served || state.under_way > 0
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.under_way == 0).then_some(state.since)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_one();
    }
}
