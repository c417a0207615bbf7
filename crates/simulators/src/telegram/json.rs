//! The Bot API's JSON for users, chats, messages and keyboards.

use serde_json::{Value, json};

use super::html::{Entity, EntityKind};
use super::model::{ANONYMOUS_ADMIN, Button, ButtonAction, CHANNEL_BOT, Chat, ChatKind, Message, User};
use super::state::State;

/// A `User`.
pub(super) fn user(user: &User) -> Value {
    let mut value = json!({ "id": user.id, "is_bot": user.is_bot, "first_name": user.name });
    if let Some(username) = &user.username {
        value["username"] = json!(username);
    }
    value
}

/// The `User` with this id; well-known senders and strangers get the names Telegram or we give them.
pub(super) fn sender(state: &State, id: i64) -> Value {
    let made_up = |name: &str, username: Option<&str>, is_bot| User {
        id,
        name: name.to_owned(),
        username: username.map(str::to_owned),
        is_bot,
    };
    match (state.users.get(&id), id) {
        (Some(known), _) => user(known),
        (None, ANONYMOUS_ADMIN) => user(&made_up("Group", Some("GroupAnonymousBot"), true)),
        (None, CHANNEL_BOT) => user(&made_up("Channel", Some("Channel_Bot"), true)),
        (None, _) => user(&made_up(&format!("User {id}"), None, false)),
    }
}

/// A `Chat`.
pub(super) fn chat(state: &State, chat: &Chat) -> Value {
    let mut value = json!({ "id": chat.id, "type": chat.kind.as_str() });
    if chat.kind == ChatKind::Private {
        value["first_name"] = json!(chat.title);
        if let Some(username) = state.users.get(&chat.id).and_then(|user| user.username.as_deref()) {
            value["username"] = json!(username);
        }
    } else {
        value["title"] = json!(chat.title);
    }
    if !chat.topics.is_empty() {
        value["is_forum"] = json!(true);
    }
    value
}

/// The `Chat` with this id.
pub(super) fn chat_by_id(state: &State, id: i64) -> Value {
    match state.chats.get(&id) {
        Some(known) => chat(state, &known.chat),
        None => json!({ "id": id, "type": if id > 0 { "private" } else { "supergroup" }, "title": "", "first_name": "" }),
    }
}

/// A list of `MessageEntity`.
pub(super) fn entities(entities: &[Entity]) -> Value {
    entities
        .iter()
        .map(|entity| {
            let mut value = json!({ "type": entity.kind.as_str(), "offset": entity.offset, "length": entity.length });
            match &entity.kind {
                EntityKind::Pre(Some(language)) => value["language"] = json!(language),
                EntityKind::TextLink(url) => value["url"] = json!(url),
                EntityKind::TextMention(id) => value["user"] = json!({ "id": id, "is_bot": false, "first_name": "" }),
                EntityKind::CustomEmoji(id) => value["custom_emoji_id"] = json!(id),
                _ => {}
            }
            value
        })
        .collect()
}

/// An `InlineKeyboardMarkup`.
pub(super) fn keyboard(rows: &[Vec<Button>]) -> Value {
    let button = |button: &Button| {
        let mut value = match &button.action {
            ButtonAction::Callback(data) => json!({ "callback_data": data }),
            ButtonAction::Url(url) => json!({ "url": url }),
            ButtonAction::CopyText(text) => json!({ "copy_text": { "text": text } }),
            ButtonAction::Other(_) => json!({}),
        };
        value["text"] = json!(button.text);
        if let Some(style) = &button.style {
            value["style"] = json!(style);
        }
        value
    };
    let rows: Vec<Vec<Value>> = rows.iter().map(|row| row.iter().map(button).collect()).collect();
    json!({ "inline_keyboard": rows })
}

/// A `Message`; with `replied` the message it answers is included (one level, as the server does).
pub(super) fn message(state: &State, message: &Message, replied: bool) -> Value {
    let mut value = json!({
        "message_id": message.id,
        "date": message.date,
        "chat": chat_by_id(state, message.chat),
    });
    if let Some(from) = message.from {
        value["from"] = sender(state, from);
    }
    if let Some(sender_chat) = message.sender_chat {
        value["sender_chat"] = chat_by_id(state, sender_chat);
    }
    if let Some(thread) = message.thread {
        value["message_thread_id"] = json!(thread);
        value["is_topic_message"] = json!(true);
    }
    if let Some(date) = message.edited_at {
        value["edit_date"] = json!(date);
    }
    if message.protected {
        value["has_protected_content"] = json!(true);
    }
    if message.forwarded {
        value["forward_origin"] = json!({ "type": "user", "date": message.date, "sender_user": user(&state.bot) });
    }
    content(message, &mut value);
    if !message.keyboard.is_empty() {
        value["reply_markup"] = keyboard(&message.keyboard);
    }
    if let (true, Some(original)) = (replied, message.reply_to.and_then(|id| state.message(message.chat, id))) {
        value["reply_to_message"] = self::message(state, original, false);
    }
    value
}

fn content(message: &Message, value: &mut Value) {
    let (text, marks) = if message.document.is_some() {
        ("caption", "caption_entities")
    } else {
        ("text", "entities")
    };
    if message.service.is_none() && (!message.text.is_empty() || message.document.is_none()) {
        value[text] = json!(message.text);
        if !message.entities.is_empty() {
            value[marks] = entities(&message.entities);
        } else if message.text.starts_with('/') {
            let length = message.text.split_whitespace().next().unwrap_or_default().encode_utf16().count();
            value[marks] = json!([{ "type": "bot_command", "offset": 0, "length": length }]);
        }
    }
    let Some(document) = &message.document else { return };
    let id = format!("file-{}-{}", message.chat, message.id);
    if document.photo {
        let size = json!({ "file_id": id, "file_unique_id": id, "width": 640, "height": 480, "file_size": document.bytes.len() });
        value["photo"] = json!([size]);
    } else {
        value["document"] = json!({
            "file_id": id,
            "file_unique_id": id,
            "file_name": document.file_name,
            "mime_type": document.mime,
            "file_size": document.bytes.len(),
        });
    }
}
