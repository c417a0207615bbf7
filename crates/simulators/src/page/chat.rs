//! The chats as data for the browser: texts and formatting, never mark-up.

use serde_json::{Value, json};

use super::PageOptions;
use crate::telegram::{ButtonAction, Chat, ChatKind, EntityKind, Message, TelegramSim, User};

/// Everything the phone shows.
pub(super) fn snapshot(options: &PageOptions) -> Value {
    let telegram = &options.telegram;
    let known = telegram.users();
    let bot = telegram.bot();
    let people: Vec<Value> = options
        .users
        .iter()
        .filter_map(|id| known.iter().find(|user| user.id == *id))
        .map(person)
        .collect();
    let chats: Vec<Value> = telegram.chats().iter().map(|chat| self::chat(telegram, chat, &known)).collect();
    let commands: Vec<Value> = telegram
        .commands()
        .into_iter()
        .map(|(command, description)| json!({ "command": command, "description": description }))
        .collect();
    json!({ "headline": options.headline, "bot": person(&bot), "people": people, "chats": chats, "commands": commands })
}

fn person(user: &User) -> Value {
    json!({ "id": user.id, "name": user.name, "username": user.username })
}

fn chat(telegram: &TelegramSim, chat: &Chat, known: &[User]) -> Value {
    let messages = telegram.messages(chat.id);
    let shown: Vec<Value> = messages
        .iter()
        .filter(|message| !message.deleted)
        .map(|message| self::message(message, &messages, known))
        .collect();
    json!({
        "id": chat.id,
        "title": chat.title,
        "kind": chat.kind.as_str(),
        "private": chat.kind == ChatKind::Private,
        "forum": !chat.topics.is_empty(),
        "messages": shown,
    })
}

fn author(message: &Message, known: &[User]) -> String {
    match (message.sender_chat, message.from) {
        (Some(_), Some(_)) => "Anonymous admin".to_owned(),
        (_, Some(id)) => known
            .iter()
            .find(|user| user.id == id)
            .map_or_else(|| format!("User {id}"), |user| user.name.clone()),
        (_, None) => String::new(),
    }
}

fn message(message: &Message, all: &[Message], known: &[User]) -> Value {
    let reply = message
        .reply_to
        .and_then(|id| all.iter().find(|original| original.id == id && !original.deleted));
    json!({
        "id": message.id,
        "from": message.from,
        "author": author(message, known),
        "thread": message.thread,
        "text": message.text,
        "entities": entities(message),
        "keyboard": keyboard(message),
        "document": message.document.as_ref().map(|document| json!({ "name": document.file_name, "size": document.bytes.len(), "photo": document.photo })),
        "reply": reply.map(|original| json!({ "id": original.id, "author": author(original, known), "text": first_line(original) })),
        "edited": message.edited_at,
        "date": message.date,
        "silent": message.silent,
        "pinned": message.pinned,
        "reaction": message.reaction,
        "service": message.service,
        "forwarded": message.forwarded,
        "asks": message.force_reply,
    })
}

fn first_line(message: &Message) -> String {
    let line = message.text.lines().next().unwrap_or_default();
    let document = message.document.as_ref().map(|document| document.file_name.as_str());
    if line.is_empty() {
        document.unwrap_or_default().to_owned()
    } else {
        line.chars().take(80).collect()
    }
}

fn entities(message: &Message) -> Vec<Value> {
    message
        .entities
        .iter()
        .map(|entity| {
            let detail = match &entity.kind {
                EntityKind::Pre(language) => language.clone(),
                EntityKind::TextLink(url) => Some(url.clone()),
                _ => None,
            };
            json!({ "type": entity.kind.as_str(), "offset": entity.offset, "length": entity.length, "detail": detail })
        })
        .collect()
}

fn keyboard(message: &Message) -> Vec<Vec<Value>> {
    let button = |button: &crate::telegram::Button| {
        let kind = match &button.action {
            ButtonAction::Callback(_) => "callback",
            ButtonAction::Url(_) => "url",
            ButtonAction::CopyText(_) => "copy",
            ButtonAction::Other(_) => "other",
        };
        json!({ "text": button.text, "kind": kind, "style": button.style })
    };
    message.keyboard.iter().map(|row| row.iter().map(button).collect()).collect()
}
