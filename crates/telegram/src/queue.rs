//! The delivery queue. Telegram limits messages per chat and overall, and answers 429 with a waiting time for one chat; a single bot-wide
//! throttle would then stand still for everybody. Here every chat has a lane of its own: edits of cards go before new messages, edits of
//! one message are merged into the newest, and answers to taps do not pass through here at all.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::calls::Target;
use crate::lane::{Job, Lane};
use crate::pace::Pace;
use crate::{ChatId, Client, CommandScope, Document, MessageId, Rendered, SendError, ThreadId};

/// How fast we may talk. Telegram publishes no exact numbers; these are the ones its FAQ names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Messages and edits per minute in one group.
    pub per_chat_minute: u32,
    /// Messages and edits per second in one chat.
    pub per_chat_second: u32,
    /// How many may go at once in one chat before the seconds count.
    pub burst: u32,
    /// Messages and edits per second overall.
    pub overall_second: u32,
    /// The longest wait asked for by a 429 that the queue sits out itself; longer ones are returned to the caller.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_chat_minute: 20,
            per_chat_second: 1,
            burst: 3,
            overall_second: 30,
            wait_max: Duration::from_secs(30),
        }
    }
}

/// A new message that Telegram confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// The text.
    pub message_id: MessageId,
    /// The document below it, where there was one and it arrived.
    pub document_message_id: Option<MessageId>,
    /// Why the document did not arrive. The text stands all the same: do not send it again.
    pub document_error: Option<SendError>,
}

pub(crate) type Fresh = Pin<Box<dyn Future<Output = Option<Rendered>> + Send>>;
pub(crate) type Render = Box<dyn Fn() -> Fresh + Send + Sync>;

/// The queue. Cheap to clone; its lanes end with the last clone.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    limits: Limits,
    overall: Arc<Pace>,
    lanes: Arc<Lanes>,
}

struct Lanes {
    by_chat: Mutex<HashMap<ChatId, Lane>>,
    stop: CancellationToken,
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Queue {
    /// An empty queue. Lanes are started as chats come up, on the runtime of the caller.
    pub fn new(client: Client, limits: Limits) -> Self {
        let overall = Arc::new(Pace::new(&[(limits.overall_second, limits.overall_second, Duration::from_secs(1))]));
        let lanes = Lanes {
            by_chat: Mutex::default(),
            stop: CancellationToken::new(),
        };
        Self {
            client,
            limits,
            overall,
            lanes: Arc::new(lanes),
        }
    }

    /// Sends a new message and, below it, its document.
    ///
    /// [`SendError::Ambiguous`] means that the message may be there: do not repeat it blindly. A call that is dropped while it waits in
    /// line is never sent.
    pub async fn send(
        &self,
        chat: ChatId,
        thread: Option<ThreadId>,
        message: Rendered,
        notify: bool,
        reply_to: Option<MessageId>,
    ) -> Result<SentMessage, SendError> {
        let (done, result) = oneshot::channel();
        let to = Target {
            chat,
            thread,
            notify,
            reply_to,
        };
        self.lane(chat).push(Job::Send {
            to,
            message: Box::new(message),
            done,
        });
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Sends a file alone.
    pub async fn send_document(
        &self,
        chat: ChatId,
        thread: Option<ThreadId>,
        document: Document,
        notify: bool,
        reply_to: Option<MessageId>,
    ) -> Result<MessageId, SendError> {
        let (done, result) = oneshot::channel();
        let to = Target {
            chat,
            thread,
            notify,
            reply_to,
        };
        self.lane(chat).push(Job::Document { to, document, done });
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Replaces a message by what `render` returns at the moment of sending. While an edit of the same message waits, a newer one takes
    /// its place and both callers get the newer one's result: only one is ever in flight, and the newest content wins. `render` is asked
    /// again when Telegram made us wait. `None`: there is nothing to show any more, which is success.
    pub async fn edit<F, Fut>(&self, chat: ChatId, message_id: MessageId, render: F) -> Result<(), SendError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Rendered>> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let render: Render = Box::new(move || Box::pin(render()));
        self.lane(chat).push_edit(message_id, render, done);
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Answers a tap: at once, past every lane, best effort. A failure is only logged: the card tells the result anyway.
    pub async fn answer(&self, callback_id: &str, text: &str, alert: bool) {
        if let Err(error) = self.client.answer(callback_id, text, alert).await {
            tracing::debug!(%error, "the answer to a tap did not arrive");
        }
    }

    /// Sets the menu of commands.
    pub async fn set_commands(&self, commands: &[(&str, &str)], scope: CommandScope) -> Result<(), SendError> {
        self.client.set_commands(commands, scope).await
    }

    /// The client behind the queue.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn lane(&self, chat: ChatId) -> Lane {
        let mut lanes = self.lanes.by_chat.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .entry(chat)
            .or_insert_with(|| {
                Lane::start(
                    self.client.clone(),
                    chat,
                    &self.limits,
                    Arc::clone(&self.overall),
                    self.lanes.stop.clone(),
                )
            })
            .clone()
    }
}

fn stopped() -> SendError {
    SendError::Unreachable {
        reason: "the delivery queue has stopped".into(),
    }
}
