//! The whole world of one simulated bot: one struct behind one lock, so that a test reads a consistent moment.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::faults::Faults;
use super::json;
use super::model::{Access, Call, Chat, ChatKind, Message, TapOutcome, User};
use super::refusal::Refusal;
use super::updates::{Updates, Webhook};

/// How long a tap waits for the bot to fetch it, and how long it can be answered (`Client.cpp`: 150).
pub const TAP_LIFE: Duration = Duration::from_secs(150);
/// How long every other update waits.
pub const UPDATE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a bot can delete its messages.
pub const DELETE_LIFE: Duration = Duration::from_secs(48 * 60 * 60);

/// A chat with what changed since it was added.
#[derive(Clone, Debug)]
pub(super) struct ChatState {
    pub(super) chat: Chat,
    pub(super) access: Access,
    pub(super) closed_topics: Vec<i64>,
    pub(super) upgraded_to: Option<i64>,
    /// When it was added, relative to the others.
    pub(super) place: usize,
    /// Membership other than "member", by user.
    pub(super) members: BTreeMap<i64, String>,
}

/// A callback query and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) tapped_at_ms: i64,
    pub(super) answer: Option<TapOutcome>,
}

/// Everything the simulator knows, as seen by [`super::TelegramSim::wait_for`].
pub struct State {
    pub(super) token: String,
    pub(super) bot: User,
    pub(super) privacy_mode: bool,
    skew: Duration,
    pub(super) chats: BTreeMap<i64, ChatState>,
    pub(super) users: BTreeMap<i64, User>,
    messages: BTreeMap<i64, Vec<Message>>,
    pub(super) queries: BTreeMap<String, Query>,
    next_query: u64,
    pub(super) updates: Updates,
    pub(super) webhook: Webhook,
    pub(super) commands: BTreeMap<String, Value>,
    pub(super) faults: Faults,
    pub(super) calls: Vec<Call>,
    pub(super) violations: Vec<String>,
}

/// Counts only: the token and the webhook's secret stay out.
impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("State")
            .field("chats", &self.chats.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(token: String, bot_username: String) -> Self {
        let id = token.split(':').next().and_then(|id| id.parse().ok()).unwrap_or(7_000_000_001);
        let bot = User {
            id,
            name: bot_username.clone(),
            username: Some(bot_username),
            is_bot: true,
        };
        Self {
            token,
            users: BTreeMap::from([(id, bot.clone())]),
            bot,
            privacy_mode: true,
            skew: Duration::ZERO,
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            queries: BTreeMap::new(),
            next_query: 4_400_000_000_000_001,
            updates: Updates::default(),
            webhook: Webhook::default(),
            commands: BTreeMap::new(),
            faults: Faults::default(),
            calls: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Milliseconds since 1970 on the simulator's clock: the real one plus every [`super::TelegramSim::advance`].
    pub fn now_ms(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from((real + self.skew).as_millis()).unwrap_or(i64::MAX)
    }

    /// The same in whole seconds, as in messages.
    pub(super) fn now(&self) -> i64 {
        self.now_ms() / 1000
    }

    pub(super) fn skip(&mut self, by: Duration) {
        self.skew += by;
    }

    /// All messages of a chat in order, deleted ones included.
    pub fn messages(&self, chat: i64) -> &[Message] {
        self.messages.get(&chat).map_or(&[], Vec::as_slice)
    }

    /// One message.
    pub fn message(&self, chat: i64, id: i64) -> Option<&Message> {
        self.messages(chat).iter().find(|message| message.id == id)
    }

    pub(super) fn message_mut(&mut self, chat: i64, id: i64) -> Option<&mut Message> {
        self.messages.get_mut(&chat)?.iter_mut().find(|message| message.id == id)
    }

    /// Every request so far; with a name only those of that method (any case).
    pub fn calls<'a>(&'a self, method: Option<&'a str>) -> impl Iterator<Item = &'a Call> {
        self.calls
            .iter()
            .filter(move |call| method.is_none_or(|name| call.method.eq_ignore_ascii_case(name)))
    }

    /// Updates the bot has not confirmed yet (expired ones not counted).
    pub fn pending_updates(&self) -> usize {
        self.updates.pending(self.now_ms()).count()
    }

    /// Whether a `getUpdates` waits right now.
    pub fn is_polled(&self) -> bool {
        self.updates.poll.is_some()
    }

    /// The answer to a callback query, if it was given.
    pub fn answer(&self, callback_id: &str) -> Option<&TapOutcome> {
        self.queries.get(callback_id)?.answer.as_ref()
    }

    pub(super) fn chat(&self, id: i64) -> Result<&ChatState, Refusal> {
        self.chats.get(&id).ok_or_else(|| Refusal::bad("chat not found"))
    }

    /// The next number in a chat. Private chats and basic groups share one sequence, as on the real server.
    pub(super) fn next_message_id(&self, chat: i64) -> i64 {
        let shared = |kind: ChatKind| matches!(kind, ChatKind::Private | ChatKind::Group);
        let kind = self.chats.get(&chat).map_or(ChatKind::Private, |state| state.chat.kind);
        let last = |messages: &Vec<Message>| messages.last().map_or(0, |message| message.id);
        let highest = if shared(kind) {
            let in_sequence = |id: &i64| self.chats.get(id).is_some_and(|state| shared(state.chat.kind));
            self.messages
                .iter()
                .filter(|(id, _)| in_sequence(id))
                .map(|(_, messages)| last(messages))
                .max()
        } else {
            self.messages.get(&chat).map(last)
        };
        highest.unwrap_or(0) + 1
    }

    /// Stores a message and returns its number.
    pub(super) fn store(&mut self, mut message: Message) -> i64 {
        message.id = self.next_message_id(message.chat);
        let id = message.id;
        self.messages.entry(message.chat).or_default().push(message);
        id
    }

    /// An empty message in a chat, for the caller to fill in and [`State::store`].
    pub(super) fn blank_message(&self, chat: i64, from: Option<i64>) -> Message {
        Message {
            id: 0,
            chat,
            thread: None,
            from,
            sender_chat: None,
            html: String::new(),
            text: String::new(),
            entities: Vec::new(),
            lost_formatting: Vec::new(),
            keyboard: Vec::new(),
            force_reply: None,
            document: None,
            silent: false,
            protected: false,
            no_preview: false,
            edits: 0,
            reply_to: None,
            deleted: false,
            pinned: false,
            forwarded: false,
            reaction: None,
            service: None,
            date: self.now(),
            edited_at: None,
        }
    }

    /// Registers a callback query and queues its update. `body` is the query without `id`.
    pub(super) fn queue_query(&mut self, mut body: Value, tapper: i64) -> String {
        let id = self.next_query.to_string();
        self.next_query += 1;
        body["id"] = json!(id);
        let now = self.now_ms();
        self.queries.insert(
            id.clone(),
            Query {
                tapped_at_ms: now,
                answer: None,
            },
        );
        self.updates.push("callback_query", body, now, TAP_LIFE, tapper);
        id
    }

    /// Queues the update for a message that somebody wrote.
    pub(super) fn queue_message(&mut self, chat: i64, id: i64) -> Option<i64> {
        let message = self.message(chat, id)?;
        let body = json::message(self, message, true);
        let kind = if self.chats.get(&chat)?.chat.kind == ChatKind::Channel {
            "channel_post"
        } else {
            "message"
        };
        Some(self.updates.push(kind, body, self.now_ms(), UPDATE_LIFE, chat)).flatten()
    }
}
