//! A Telegram Bot API server for tests and the demo: real HTTP, one bot, as many chats and people as wanted.
//!
//! It answers as `api.telegram.org` does — the same refusals in the same words, after the published server's source — and gives a test
//! the other side of the phone: what is on the screen, a finger for the buttons, a keyboard, and a hand on the network cable.
//!
//! Known differences: Markdown is refused, no rate limits unless [`TelegramSim::limit_rate`] sets them, a repeated short poll is not slowed down,
//! 409 comes at once, and webhooks to addresses of this machine may use plain HTTP on any port (as with a local Bot API server).

mod drive;
mod faults;
mod html;
mod json;
mod keyboard;
mod methods;
mod model;
mod refusal;
mod request;
mod server;
mod specification;
mod state;
mod updates;
mod webhook;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use html::{Entity, EntityKind};
pub use model::{
    ANONYMOUS_ADMIN, Access, Button, ButtonAction, CHANNEL_BOT, Call, Chat, ChatKind, Document, Fault, Message, TELEGRAM_SERVICE, Tap,
    TapOutcome, Tapper, User,
};
pub use state::{DELETE_LIFE, State, TAP_LIFE, UPDATE_LIFE};

use specification::Specification;

/// What a simulator is started with.
#[derive(Clone)]
pub struct TelegramOptions {
    /// The bot's token, `<number>:<secret>`; the number becomes the bot's user id.
    pub token: String,
    /// The bot's name after the `@`.
    pub bot_username: String,
    /// Address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
}

impl Default for TelegramOptions {
    fn default() -> Self {
        Self {
            token: "7000000001:simulated-token".to_owned(),
            bot_username: "countersign_bot".to_owned(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

impl std::fmt::Debug for TelegramOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            token: _,
            bot_username,
            bind,
        } = self;
        formatter
            .debug_struct("TelegramOptions")
            .field("bot_username", bot_username)
            .field("bind", bind)
            .finish_non_exhaustive()
    }
}

/// A running Bot API server. Clones are handles to the same one; it stops when the last is dropped, or by [`TelegramSim::stop`].
#[derive(Clone)]
pub struct TelegramSim {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
}

/// Without the token.
impl std::fmt::Debug for TelegramSim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TelegramSim")
            .field("address", &self.running.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TelegramSim {
    /// Starts listening. Fails when the address cannot be bound.
    pub async fn start(options: TelegramOptions) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(options.token, options.bot_username)),
            revision: watch::Sender::new(0),
            specification: Specification::from_environment(),
        });
        let stop = CancellationToken::new();
        let service = server::router(shared.clone()).into_make_service_with_connect_info::<wire::Cut>();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                served = axum::serve(wire::Wires::new(listener, stopped.clone()), service) => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the Telegram simulator stopped serving");
                    }
                }
            }
        });
        tokio::spawn(webhook::deliver(shared.clone(), stop.clone()));
        Ok(Self {
            running: Arc::new(Running { shared, address, stop }),
        })
    }

    /// Base address for the bot's client, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Stops listening; open connections end with their current request.
    pub fn stop(&self) {
        self.running.stop.cancel();
    }

    fn shared(&self) -> &Shared {
        &self.running.shared
    }
}

/// What the server's tasks and the handles share.
struct Shared {
    state: Mutex<State>,
    /// Rises with every change, to wake whoever waits.
    revision: watch::Sender<u64>,
    specification: Option<Arc<Specification>>,
}

impl Shared {
    /// A panic while the lock was held leaves plain data behind, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes every waiter.
    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = self.quietly(change);
        self.revision.send_modify(|revision| *revision += 1);
        result
    }

    /// Changes the state without waking anybody.
    fn quietly<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let newest = state.updates.newest();
        let result = change(&mut state);
        if let Some(specification) = &self.specification {
            let wrong: Vec<String> = state
                .updates
                .newer_than(newest)
                .flat_map(|update| specification.update(update))
                .collect();
            state.violations.extend(wrong);
        }
        result
    }

    /// Waits until `look` finds something; `None` when the time is up. Looks again at every change.
    async fn until<T>(&self, at_most: Option<Duration>, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        let mut revision = self.revision.subscribe();
        let watch = async {
            loop {
                revision.mark_unchanged();
                if let Some(found) = self.read(&look) {
                    return found;
                }
                if revision.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match at_most {
            None => Some(watch.await),
            Some(time) => match tokio::time::timeout(time, watch).await {
                Ok(found) => Some(found),
                Err(_) => self.read(&look),
            },
        }
    }
}
