//! Telegram's updates as typed events. The parsing is ours and tolerant: it reads the few fields we act on, so that a new field or a
//! new kind of update never costs an update, and one that cannot be read is [`Inbound::Ignored`] with its id: it never blocks the rest.

use domain::UserId;
use serde_json::Value;

use crate::{ChatId, MessageId, ThreadId};

/// The kinds of updates we ask Telegram for.
pub const ALLOWED_UPDATES: [&str; 4] = ["message", "callback_query", "my_chat_member", "chat_member"];

/// Ids behind which Telegram hides people: the anonymous administrator, the channel bot, and Telegram's own service account.
pub const MASKS: [UserId; 3] = [UserId(1_087_968_824), UserId(136_817_688), UserId(777_000)];

/// One thing that happened on Telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// Somebody pressed a button.
    Tap(Tap),
    /// Somebody typed a command for this bot.
    Command(Command),
    /// Somebody wrote something else that we may see: a reply to us, or a private message.
    Text(Text),
    /// The bot, or a person, joined or left a chat, or got other rights.
    Membership(Membership),
    /// A group became a supergroup with a new id.
    Migrated {
        /// The update's id.
        update_id: i64,
        /// The old chat.
        from: ChatId,
        /// The new one.
        to: ChatId,
    },
    /// Nothing we act on.
    Ignored {
        /// The update's id.
        update_id: i64,
        /// Why, for the log.
        why: &'static str,
    },
}

/// A person (or bot) as Telegram vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The numeric id: the only thing that identifies a person.
    pub id: UserId,
    /// Whether it is a bot.
    pub is_bot: bool,
    /// First and last name as the person set them. Not trustworthy, only for people's eyes.
    pub name: String,
}

impl Sender {
    /// Whether a decision may be attributed to it: not a bot, and none of [`MASKS`].
    pub fn is_person(&self) -> bool {
        !self.is_bot && self.id.0 > 0 && !MASKS.contains(&self.id)
    }
}

/// A pressed button. The data is untrusted: any app can send any data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The update's id: unique, for consuming it once.
    pub update_id: i64,
    /// What [`crate::Queue::answer`] needs.
    pub callback_id: String,
    /// The chat of the card; none for inline messages and when Telegram sent no message.
    pub chat: Option<ChatId>,
    /// The card's message; none as above.
    pub message_id: Option<MessageId>,
    /// Whether the message was sent through inline mode: it can live anywhere, so such taps are refused.
    pub inline: bool,
    /// Who pressed: always the real account, also of anonymous administrators.
    pub from: Sender,
    /// See [`crate::decode`].
    pub data: String,
    /// False when Telegram no longer has the message's content (deleted or too old): chat and message id still hold.
    pub message_known: bool,
}

/// `/name args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The update's id.
    pub update_id: i64,
    /// Where.
    pub chat: ChatId,
    /// Whether that is a private chat.
    pub private: bool,
    /// In which topic.
    pub thread: Option<ThreadId>,
    /// The message with the command, for replying to it.
    pub message_id: MessageId,
    /// Who; none for an anonymous administrator or a channel: nobody to attribute anything to.
    pub from: Option<Sender>,
    /// Without slash and bot name, in lower case.
    pub name: String,
    /// Whether it names this bot: `/name@bot`.
    pub addressed: bool,
    /// What follows, split at white space.
    pub args: Vec<String>,
    /// The message it replies to.
    pub reply_to: Option<MessageId>,
}

/// Any other text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The update's id.
    pub update_id: i64,
    /// Where.
    pub chat: ChatId,
    /// Whether that is a private chat.
    pub private: bool,
    /// In which topic.
    pub thread: Option<ThreadId>,
    /// The message itself.
    pub message_id: MessageId,
    /// Who; none for an anonymous administrator or a channel.
    pub from: Option<Sender>,
    /// The message it replies to.
    pub reply_to: Option<MessageId>,
    /// What was written.
    pub text: String,
}

/// A change of membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The update's id.
    pub update_id: i64,
    /// Where.
    pub chat: ChatId,
    /// Whose.
    pub who: Sender,
    /// Whether it is this bot itself.
    pub me: bool,
    /// Whether they can see the chat now (in a private chat: false means that the person blocked the bot).
    pub present: bool,
    /// Telegram's word: `member`, `administrator`, `creator`, `restricted`, `left` or `kicked`.
    pub status: String,
}

impl Inbound {
    /// The update's id.
    pub const fn update_id(&self) -> i64 {
        match self {
            Self::Tap(Tap { update_id, .. })
            | Self::Command(Command { update_id, .. })
            | Self::Text(Text { update_id, .. })
            | Self::Membership(Membership { update_id, .. })
            | Self::Migrated { update_id, .. }
            | Self::Ignored { update_id, .. } => *update_id,
        }
    }

    /// Reads one update. `bot_name` is the bot's username without `@`: commands for other bots are ignored.
    ///
    /// An update without a readable id gets the id 0.
    pub fn parse(update: &Value, bot_name: &str) -> Self {
        let update_id = update["update_id"].as_i64().unwrap_or(0);
        let parsed = if let Some(query) = object(&update["callback_query"]) {
            tap(update_id, query)
        } else if let Some(message) = object(&update["message"]) {
            message_event(update_id, message, bot_name)
        } else if let Some(change) = object(&update["my_chat_member"]) {
            membership(update_id, change, true)
        } else if let Some(change) = object(&update["chat_member"]) {
            membership(update_id, change, false)
        } else {
            Err("a kind of update that is not used here")
        };
        parsed.unwrap_or_else(|why| Self::Ignored { update_id, why })
    }

    /// What must stay in order: the person's id, else the chat's.
    pub(crate) fn lane(&self) -> i64 {
        let sender = |from: &Option<Sender>, chat: ChatId| from.as_ref().map_or(chat.0, |from| from.id.0);
        match self {
            Self::Tap(tap) => tap.from.id.0,
            Self::Command(command) => sender(&command.from, command.chat),
            Self::Text(text) => sender(&text.from, text.chat),
            Self::Membership(change) => change.chat.0,
            Self::Migrated { from, .. } => from.0,
            Self::Ignored { .. } => 0,
        }
    }
}

type Parsed = Result<Inbound, &'static str>;

fn object(value: &Value) -> Option<&Value> {
    value.is_object().then_some(value)
}

fn sender(user: &Value) -> Option<Sender> {
    let name = [&user["first_name"], &user["last_name"]]
        .iter()
        .filter_map(|part| part.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    Some(Sender {
        id: UserId(user["id"].as_i64()?),
        // A missing flag is read as "bot": fail closed.
        is_bot: user["is_bot"].as_bool().unwrap_or(true),
        name,
    })
}

fn tap(update_id: i64, query: &Value) -> Parsed {
    let message = object(&query["message"]);
    Ok(Inbound::Tap(Tap {
        update_id,
        callback_id: query["id"].as_str().ok_or("a tap without id")?.to_owned(),
        chat: message.and_then(|m| m["chat"]["id"].as_i64()).map(ChatId),
        message_id: message.and_then(|m| m["message_id"].as_i64()).map(MessageId),
        inline: query["inline_message_id"].is_string(),
        from: sender(&query["from"]).ok_or("a tap without sender")?,
        data: query["data"].as_str().unwrap_or_default().to_owned(),
        // An inaccessible message has the date 0.
        message_known: message.is_some_and(|m| m["date"].as_i64().is_some_and(|date| date > 0)),
    }))
}

fn message_event(update_id: i64, message: &Value, bot_name: &str) -> Parsed {
    let chat = ChatId(message["chat"]["id"].as_i64().ok_or("a message without chat")?);
    if let Some(to) = message["migrate_to_chat_id"].as_i64() {
        return Ok(Inbound::Migrated {
            update_id,
            from: chat,
            to: ChatId(to),
        });
    }
    if let Some(from) = message["migrate_from_chat_id"].as_i64() {
        return Ok(Inbound::Migrated {
            update_id,
            from: ChatId(from),
            to: chat,
        });
    }
    let message_id = MessageId(message["message_id"].as_i64().ok_or("a message without id")?);
    let private = message["chat"]["type"] == "private";
    let in_topic = message["is_topic_message"].as_bool().unwrap_or(false);
    let thread = message["message_thread_id"].as_i64().filter(|_| in_topic).map(ThreadId);
    // `sender_chat` is set for anonymous administrators and channels: the account behind it is not known.
    let anonymous = !message["sender_chat"].is_null();
    let from = sender(&message["from"]).filter(|from| !anonymous && !MASKS.contains(&from.id));
    // In a topic every message formally replies to the topic's first one.
    let reply_to = message["reply_to_message"]["message_id"]
        .as_i64()
        .filter(|id| !in_topic || thread != Some(ThreadId(*id)))
        .map(MessageId);
    let forwarded = !message["forward_origin"].is_null() || !message["via_bot"].is_null();
    let text = message["text"].as_str().ok_or("a message without text")?;

    if let Some(rest) = text.strip_prefix('/').filter(|_| !forwarded) {
        let mut words = rest.split_whitespace();
        let word = words.next().unwrap_or_default();
        let (name, addressee) = word.split_once('@').map_or((word, None), |(name, bot)| (name, Some(bot)));
        if addressee.is_some_and(|bot| !bot.eq_ignore_ascii_case(bot_name)) {
            return Err("a command for another bot");
        }
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Ok(Inbound::Command(Command {
                update_id,
                chat,
                private,
                thread,
                message_id,
                from,
                name: name.to_ascii_lowercase(),
                addressed: addressee.is_some(),
                args: words.map(str::to_owned).collect(),
                reply_to,
            }));
        }
    }
    if forwarded {
        return Err("a forwarded message: not the sender's own words");
    }
    Ok(Inbound::Text(Text {
        update_id,
        chat,
        private,
        thread,
        message_id,
        from,
        reply_to,
        text: text.to_owned(),
    }))
}

fn membership(update_id: i64, change: &Value, me: bool) -> Parsed {
    let member = &change["new_chat_member"];
    let status = member["status"].as_str().ok_or("a membership without status")?;
    Ok(Inbound::Membership(Membership {
        update_id,
        chat: ChatId(change["chat"]["id"].as_i64().ok_or("a membership without chat")?),
        who: sender(&member["user"]).ok_or("a membership without user")?,
        me,
        present: match status {
            "left" | "kicked" => false,
            "restricted" => member["is_member"].as_bool().unwrap_or(false),
            _ => true,
        },
        status: status.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: i64 = 501;

    fn parse(update: Value) -> Inbound {
        Inbound::parse(&update, "countersign_bot")
    }

    fn alice() -> Value {
        json!({ "id": ALICE, "is_bot": false, "first_name": "Alice", "last_name": "A" })
    }

    /// A message in a group, with some fields set otherwise.
    fn message(fields: Value) -> Inbound {
        let mut message =
            json!({ "message_id": 9, "date": 1, "chat": { "id": -100, "type": "supergroup" }, "from": alice(), "text": "hi" });
        for (name, value) in fields.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        parse(json!({ "update_id": 7, "message": message }))
    }

    fn tap(fields: Value) -> Inbound {
        let mut query = json!({
            "id": "q", "from": alice(), "chat_instance": "1", "data": "v1:x",
            "message": { "message_id": 4, "date": 1, "chat": { "id": -100, "type": "supergroup" } },
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            query[name] = value.clone();
        }
        parse(json!({ "update_id": 7, "callback_query": query }))
    }

    #[test]
    fn commands_are_read_whatever_their_form() {
        for (text, expected) in [
            ("/pending", Some(("pending", vec![]))),
            ("/Show@Countersign_Bot  prp_1\nx", Some(("show", vec!["prp_1", "x"]))),
            ("/show@other_bot prp_1", None),
            ("/", None),
            ("/a-b", None),
            ("pending", None),
        ] {
            let found = match message(json!({ "text": text })) {
                Inbound::Command(command) => Some((command.name, command.args)),
                _ => None,
            };
            let found = found
                .as_ref()
                .map(|(name, args)| (name.as_str(), args.iter().map(String::as_str).collect()));
            assert_eq!(found, expected, "{text}");
        }
        let addressed = |text| matches!(message(json!({ "text": text })), Inbound::Command(command) if command.addressed);
        assert!(addressed("/show@countersign_bot") && !addressed("/show"));
    }

    #[test]
    fn words_count_only_for_the_person_who_wrote_them() {
        let from = |inbound| match inbound {
            Inbound::Command(command) => Some(command.from.map(|from| from.id.0)),
            Inbound::Text(text) => Some(text.from.map(|from| from.id.0)),
            _ => None,
        };
        for (fields, expected) in [
            (json!({}), Some(Some(ALICE))),
            (json!({ "text": "/cancel" }), Some(Some(ALICE))),
            (
                json!({ "from": { "id": 1_087_968_824, "is_bot": true, "first_name": "Group" }, "sender_chat": { "id": -100 } }),
                Some(None),
            ),
            (
                json!({ "from": { "id": 1_087_968_824, "is_bot": true, "first_name": "Group" } }),
                Some(None),
            ),
            (json!({ "sender_chat": { "id": -200 } }), Some(None)),
            (json!({ "from": null }), Some(None)),
            (json!({ "forward_origin": { "type": "user" } }), None),
            (json!({ "text": "/cancel", "forward_origin": { "type": "user" } }), None),
            (json!({ "via_bot": { "id": 1 } }), None),
            (json!({ "text": null }), None),
        ] {
            assert_eq!(from(message(fields.clone())), expected, "{fields}");
        }
    }

    #[test]
    fn replies_and_topics_are_told_apart() {
        let read = |fields| match message(fields) {
            Inbound::Text(text) => (text.thread.map(|id| id.0), text.reply_to.map(|id| id.0)),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(json!({ "reply_to_message": { "message_id": 4 } })), (None, Some(4)));
        let topic = json!({ "message_thread_id": 3, "is_topic_message": true, "reply_to_message": { "message_id": 3 } });
        assert_eq!(
            read(topic),
            (Some(3), None),
            "every message of a topic formally replies to its first"
        );
        let reply = json!({ "message_thread_id": 3, "is_topic_message": true, "reply_to_message": { "message_id": 5 } });
        assert_eq!(read(reply), (Some(3), Some(5)));
        assert_eq!(
            read(json!({ "message_thread_id": 3 })),
            (None, None),
            "a thread of replies is no topic"
        );
    }

    #[test]
    fn taps_keep_what_the_checks_need() {
        let Inbound::Tap(good) = tap(json!({})) else { panic!("a tap") };
        assert_eq!(
            (good.chat, good.message_id, good.inline, good.message_known),
            (Some(ChatId(-100)), Some(MessageId(4)), false, true)
        );
        assert!(good.from.is_person());
        let Inbound::Tap(inline) = tap(json!({ "message": null, "inline_message_id": "i" })) else {
            panic!("a tap")
        };
        assert_eq!((inline.chat, inline.inline), (None, true));
        let gone = json!({ "message": { "message_id": 4, "date": 0, "chat": { "id": -100 } } });
        let Inbound::Tap(gone) = tap(gone) else { panic!("a tap") };
        assert_eq!((gone.message_id, gone.message_known), (Some(MessageId(4)), false));
        for stranger in [
            json!({ "id": 5, "is_bot": true }),
            json!({ "id": 5 }),
            json!({ "id": 777_000, "is_bot": false }),
            json!({ "id": -5, "is_bot": false }),
        ] {
            let Inbound::Tap(tap) = tap(json!({ "from": stranger })) else {
                panic!("a tap")
            };
            assert!(!tap.from.is_person(), "{stranger}");
        }
        assert!(matches!(tap(json!({ "from": null })), Inbound::Ignored { update_id: 7, .. }));
    }

    #[test]
    fn chats_and_members_change() {
        let expected = Inbound::Migrated {
            update_id: 7,
            from: ChatId(-100),
            to: ChatId(-1001),
        };
        assert_eq!(message(json!({ "migrate_to_chat_id": -1001, "text": null })), expected);
        let new_side = json!({ "chat": { "id": -1001 }, "migrate_from_chat_id": -100, "text": null });
        assert_eq!(message(new_side), expected);
        let change = |status: &str| {
            let member = json!({ "user": alice(), "status": status });
            match parse(json!({ "update_id": 7, "my_chat_member": { "chat": { "id": 501 }, "new_chat_member": member } })) {
                Inbound::Membership(change) => (change.me, change.present),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            [change("member"), change("kicked"), change("restricted")],
            [(true, true), (true, false), (true, false)]
        );
    }

    #[test]
    fn whatever_cannot_be_read_is_ignored_with_its_id() {
        for odd in [
            json!({}),
            json!([]),
            json!({ "message": 5 }),
            json!({ "message": {} }),
            json!({ "callback_query": { "id": 4 } }),
            json!({ "new_kind": {} }),
        ] {
            let mut update = odd.clone();
            if update.is_object() {
                update["update_id"] = json!(7);
            }
            let id = if update.is_object() { 7 } else { 0 };
            assert!(
                matches!(parse(update), Inbound::Ignored { update_id, .. } if update_id == id),
                "{odd}"
            );
        }
    }
}
