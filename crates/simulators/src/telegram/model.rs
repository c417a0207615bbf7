//! What the simulated Telegram knows: chats, people, messages, and the log of calls. Plain data that a test reads.

use std::collections::BTreeMap;

use serde_json::Value;

use super::html::Entity;

/// `from.id` of a message written by an anonymous group administrator ("GroupAnonymousBot").
pub const ANONYMOUS_ADMIN: i64 = 1_087_968_824;
/// `from.id` of a message that a channel writes in a group ("Channel_Bot").
pub const CHANNEL_BOT: i64 = 136_817_688;
/// The sender of Telegram's own service notifications.
pub const TELEGRAM_SERVICE: i64 = 777_000;

/// The four kinds of chat that the Bot API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChatKind {
    /// One person and the bot; the chat id is the person's user id.
    Private,
    /// A basic group: becomes a supergroup with another id when it is upgraded.
    Group,
    /// A supergroup; a forum when it has topics.
    Supergroup,
    /// A channel: messages have no `from`.
    Channel,
}

impl ChatKind {
    /// The word the Bot API uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ChatKind::Private => "private",
            ChatKind::Group => "group",
            ChatKind::Supergroup => "supergroup",
            ChatKind::Channel => "channel",
        }
    }
}

/// A chat the bot may be in. With `topics` a supergroup is a forum; topic ids are above 1 (1 is "General", which is never addressed by number).
#[derive(Clone, Debug)]
pub struct Chat {
    /// Chat id: positive for private chats, negative for the others.
    pub id: i64,
    /// What kind of chat.
    pub kind: ChatKind,
    /// Title of a group or channel; for a private chat the person's name.
    pub title: String,
    /// Forum topics that exist.
    pub topics: Vec<i64>,
}

/// Somebody who can write and tap.
#[derive(Clone, Debug)]
pub struct User {
    /// Numeric id, the only thing that identifies a person.
    pub id: i64,
    /// First name as shown.
    pub name: String,
    /// Name after the `@`, if the person has one.
    pub username: Option<String>,
    /// Whether this account is a bot.
    pub is_bot: bool,
}

/// Whether the bot may write to a chat, and with which words Telegram refuses if not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything is allowed.
    Open,
    /// 403: the person blocked the bot.
    Blocked,
    /// 403: the person deleted the account.
    Deactivated,
    /// 403: the person never pressed Start.
    NeverStarted,
    /// 403: the bot was thrown out of the group or channel.
    Kicked,
    /// 403: the bot left, or was never in.
    NotMember,
    /// 400: the bot may read but not write.
    NoRights,
}

/// One button of an inline keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// The label.
    pub text: String,
    /// What a press does.
    pub action: ButtonAction,
    /// `danger`, `success` or `primary`, if the bot gave a colour.
    pub style: Option<String>,
}

/// What a press on a button does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ButtonAction {
    /// Sends a callback query with this data to the bot.
    Callback(String),
    /// Opens this address.
    Url(String),
    /// Copies this text to the clipboard.
    CopyText(String),
    /// Anything else the Bot API knows (web apps, games, inline mode); the name of the field.
    Other(String),
}

/// A file sent by the bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The name the bot gave it.
    pub file_name: String,
    /// The media type of the upload.
    pub mime: String,
    /// The bytes as received.
    pub bytes: Vec<u8>,
    /// Plain text of the caption (the same as [`Message::text`]); empty without one.
    pub caption: String,
    /// Sent by `sendPhoto` and shown as a picture.
    pub photo: bool,
}

/// One message in its current state.
#[derive(Clone, Debug)]
pub struct Message {
    /// Number, unique within its chat only.
    pub id: i64,
    /// Chat it stands in.
    pub chat: i64,
    /// Forum topic; `None` is General or no forum.
    pub thread: Option<i64>,
    /// Who wrote it (the bot's id for the bot's own); `None` in channels.
    pub from: Option<i64>,
    /// The chat on whose behalf it was written (anonymous administrators, channels).
    pub sender_chat: Option<i64>,
    /// The text or caption exactly as the bot sent it, mark-up included.
    pub html: String,
    /// The text (or, with a document, the caption) after entity parsing.
    pub text: String,
    /// Formatting of `text`; offsets in UTF-16 units.
    pub entities: Vec<Entity>,
    /// Formatting that Telegram silently threw away (nesting in `pre`/`code`, quotes in quotes); a well-made card has none.
    pub lost_formatting: Vec<String>,
    /// Rows of the inline keyboard; empty without one.
    pub keyboard: Vec<Vec<Button>>,
    /// The `force_reply` mark-up, if the bot asked for a reply: the placeholder shown in the input field.
    pub force_reply: Option<String>,
    /// The attached file.
    pub document: Option<Document>,
    /// Sent without a sound.
    pub silent: bool,
    /// Sent with `protect_content`.
    pub protected: bool,
    /// Link previews were switched off.
    pub no_preview: bool,
    /// How many edits changed it.
    pub edits: u32,
    /// Message of the same chat that it answers.
    pub reply_to: Option<i64>,
    /// Gone: no longer shown, no longer editable.
    pub deleted: bool,
    /// Pinned in its chat.
    pub pinned: bool,
    /// A forwarded copy of another message (never carries callback buttons).
    pub forwarded: bool,
    /// The bot's reaction.
    pub reaction: Option<String>,
    /// Text of a service message ("group upgraded…"); such messages have no author's text.
    pub service: Option<String>,
    /// Unix seconds on the simulator's clock.
    pub date: i64,
    /// Unix seconds of the last edit.
    pub edited_at: Option<i64>,
}

impl Message {
    /// Every button, row by row.
    pub fn buttons(&self) -> impl Iterator<Item = &Button> {
        self.keyboard.iter().flatten()
    }

    /// The button with exactly this label.
    pub fn button(&self, text: &str) -> Option<&Button> {
        self.buttons().find(|button| button.text == text)
    }

    /// The labels, row by row, as a person reads them: `"Approve | Reject / Full diff"`.
    pub fn keyboard_text(&self) -> String {
        let rows: Vec<String> = self
            .keyboard
            .iter()
            .map(|row| row.iter().map(|button| button.text.as_str()).collect::<Vec<_>>().join(" | "))
            .collect();
        rows.join(" / ")
    }
}

/// One request the bot made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Rises by one per request.
    pub number: u64,
    /// Method in the Bot API's own spelling, whatever the bot's was (`sendMessage`).
    pub method: String,
    /// The parameters as sent; uploads appear as `{"file_name": …, "bytes": length}`.
    pub params: BTreeMap<String, Value>,
    /// HTTP status of the answer; `None` while unanswered, and for ever when the answer was cut off or the client left.
    pub status: Option<u16>,
    /// `description` of a refusal.
    pub error: Option<String>,
    /// Milliseconds on the simulator's clock when it arrived.
    pub at_ms: i64,
}

impl Call {
    /// One parameter as text: strings as they are, everything else as JSON; empty when absent.
    pub fn param(&self, name: &str) -> String {
        match self.params.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// What the person who tapped sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapOutcome {
    /// The bot answered the query.
    Answered {
        /// Text of the toast or alert; `None` when the spinner just stops.
        text: Option<String>,
        /// Shown as an alert that must be closed.
        alert: bool,
        /// Address the app opens.
        url: Option<String>,
    },
    /// No answer within the deadline: the spinner turns until the app gives up.
    Unanswered,
    /// A button that opens an address; the bot hears nothing.
    Opened(String),
    /// A button that copies text; the bot hears nothing.
    Copied(String),
    /// There is no such message or button to press; what could have been pressed.
    Missing(String),
}

impl TapOutcome {
    /// Text of the toast or alert, empty without one.
    pub fn text(&self) -> &str {
        match self {
            TapOutcome::Answered { text, .. } => text.as_deref().unwrap_or_default(),
            TapOutcome::Unanswered | TapOutcome::Opened(_) | TapOutcome::Copied(_) | TapOutcome::Missing(_) => "",
        }
    }
}

/// Whoever a callback query claims to come from.
#[derive(Clone, Debug)]
pub enum Tapper {
    /// A known person (or bot) by id.
    User(i64),
    /// An id nobody added before; a name is made up for it.
    Stranger(i64),
}

/// A press on a button as the bot sees it, for the cases a real phone cannot produce by itself.
///
/// Start from [`Tap::new`] and change what shall be wrong.
#[derive(Clone, Debug)]
pub struct Tap {
    /// `from` of the query.
    pub from: Tapper,
    /// Chat of the message.
    pub chat: i64,
    /// Message id; need not exist (then it is sent as an inaccessible message).
    pub message_id: i64,
    /// The callback data; need not belong to any button.
    pub data: Option<String>,
    /// Set: the query has `inline_message_id` and no `message`.
    pub inline_message_id: Option<String>,
    /// The message is sent as `InaccessibleMessage` (date 0), as for deleted ones.
    pub inaccessible: bool,
    /// The message is a forwarded copy: a new message id in `chat`, with a `forward_origin`.
    pub forwarded: bool,
}

impl Tap {
    /// A press by `user` on a message, carrying `data`.
    pub fn new(user: i64, chat: i64, message_id: i64, data: &str) -> Self {
        Self {
            from: Tapper::User(user),
            chat,
            message_id,
            data: Some(data.to_owned()),
            inline_message_id: None,
            inaccessible: false,
            forwarded: false,
        }
    }
}

/// What goes wrong with a call; see [`super::TelegramSim::fail_next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `parameters.retry_after` in seconds.
    TooManyRequests {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// This HTTP status with Telegram's error body; nothing is done.
    Status(u16),
    /// The request is taken and nothing happens for this long (real time), or until [`super::TelegramSim::release`];
    /// then it goes on as usual. A client that gives up meanwhile gets nothing done.
    Hang(Option<std::time::Duration>),
    /// The call is carried out and the connection is cut before the answer.
    LoseAnswer,
    /// The connection is cut before anything is done.
    Refuse,
    /// A Bot API error with these words.
    Error {
        /// `error_code` and HTTP status.
        code: u16,
        /// `description`.
        description: String,
    },
    /// 200 with a body that is no Bot API answer; nothing is done.
    Garbage,
}
