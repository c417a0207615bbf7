//! Sending, editing, deleting and answering, with the checks in the server's own order: content first, then the chat, then the rest.

use serde_json::{Value, json};

use super::{Need, Reply, chat, message_id};
use crate::telegram::html::{self, Formatted, utf16_len};
use crate::telegram::json;
use crate::telegram::keyboard::{self, Markup};
use crate::telegram::model::{ChatKind, Document, TapOutcome};
use crate::telegram::refusal::Refusal;
use crate::telegram::request::Params;
use crate::telegram::state::{DELETE_LIFE, State, TAP_LIFE};

/// Most UTF-16 units of a text after parsing.
const TEXT_LIMIT: usize = 4096;
/// Most UTF-16 units of a caption after parsing.
const CAPTION_LIMIT: usize = 1024;
/// Most characters of an answer to a tap.
const ANSWER_LIMIT: usize = 200;
/// Most bytes of an upload.
const UPLOAD_LIMIT: usize = 50 * 1024 * 1024;

/// Text and formatting of an argument.
fn formatted(params: &Params, name: &str) -> Result<Formatted, Refusal> {
    let text = params.text(name);
    if text.len() > 1 << 15 {
        return Err(Refusal::bad("Text is too long"));
    }
    match params.text("parse_mode").to_ascii_lowercase().as_str() {
        "html" => html::parse(text).map_err(|error| Refusal::bad(format!("Can't parse entities: {error}"))),
        "" | "none" => Ok(html::plain(text)),
        "markdown" | "markdownv2" => Err(Refusal::bad("Markdown is not simulated: send HTML or no parse_mode")),
        _ => Err(Refusal::bad("Unsupported parse_mode")),
    }
}

fn message_text(params: &Params) -> Result<Formatted, Refusal> {
    if params.text("text").is_empty() {
        return Err(Refusal::bad("Message text is empty"));
    }
    let text = formatted(params, "text")?;
    if text.text.is_empty() {
        return Err(Refusal::bad("Text must be non-empty"));
    }
    Ok(text)
}

fn caption(params: &Params) -> Result<Formatted, Refusal> {
    let caption = formatted(params, "caption")?;
    if utf16_len(&caption.text) > CAPTION_LIMIT {
        return Err(Refusal::bad("Message caption is too long"));
    }
    Ok(caption)
}

/// The message that is answered, and whether to send anyway when it is gone.
fn reply_parameters(params: &Params) -> Result<Option<(i64, bool)>, Refusal> {
    let (id, anyway) = match params.document("reply_parameters") {
        Ok(Some(Value::Object(fields))) if fields.is_empty() => return Ok(None),
        Ok(Some(Value::Object(fields))) => {
            let id = fields
                .get("message_id")
                .and_then(|id| id.as_i64().or_else(|| id.as_str()?.parse().ok()));
            let anyway = fields.get("allow_sending_without_reply").and_then(Value::as_bool).unwrap_or(false);
            (id.ok_or_else(|| Refusal::bad("Can't find field \"message_id\""))?, anyway)
        }
        Ok(Some(_)) => return Err(Refusal::bad("Object expected as reply parameters")),
        Ok(None) => (params.integer("reply_to_message_id"), params.flag("allow_sending_without_reply")),
        Err(_) => return Err(Refusal::bad("Can't parse reply parameters JSON object")),
    };
    Ok((id > 0).then_some((id, anyway)))
}

/// The forum topic a message goes to. General is never addressed by its number.
fn topic(state: &State, params: &Params) -> Result<Option<i64>, Refusal> {
    let known = chat(state, params, Need::Write)?;
    let thread = params.integer("message_thread_id");
    let forum = !known.chat.topics.is_empty();
    let can_be_forum = forum || known.chat.kind == crate::telegram::model::ChatKind::Private;
    if thread == 0 || !can_be_forum {
        return Ok(None);
    }
    if thread == 1 || !known.chat.topics.contains(&thread) {
        return Err(Refusal::bad("Message thread not found"));
    }
    Ok(Some(thread))
}

fn link_preview_off(params: &Params) -> bool {
    let options = params.document("link_preview_options").ok().flatten();
    options.and_then(|options| options.get("is_disabled")?.as_bool()).unwrap_or(false) || params.flag("disable_web_page_preview")
}

fn send(state: &mut State, params: &Params, field: &str, text: Formatted, document: Option<Document>) -> Reply {
    let reply = reply_parameters(params)?;
    let markup = keyboard::parse(params)?;
    let mut thread = topic(state, params)?;
    let known = chat(state, params, Need::Write)?;
    let mut reply_to = None;
    if let Some((id, anyway)) = reply {
        match state.message(known.chat.id, id).filter(|message| !message.deleted) {
            Some(original) => {
                reply_to = Some(id);
                thread = thread.or(original.thread);
            }
            None if anyway => {}
            None => return Err(Refusal::bad("message to be replied not found")),
        }
    }
    if thread.is_some_and(|topic| known.closed_topics.contains(&topic)) {
        return Err(Refusal::bad("TOPIC_CLOSED"));
    }
    keyboard::check(&markup, known.chat.kind)?;
    let from = (known.chat.kind != crate::telegram::model::ChatKind::Channel).then_some(state.bot.id);
    let mut message = state.blank_message(known.chat.id, from);
    message.sender_chat = from.is_none().then_some(known.chat.id);
    message.thread = thread;
    message.html = params.text(field).to_owned();
    message.text = text.text;
    message.entities = text.entities;
    message.lost_formatting = text.lost;
    message.keyboard = markup.keyboard;
    message.force_reply = markup.force_reply;
    message.document = document;
    message.silent = params.flag("disable_notification");
    message.protected = params.flag("protect_content");
    message.no_preview = link_preview_off(params);
    message.reply_to = reply_to;
    let chat = message.chat;
    let id = state.store(message);
    rendered(state, chat, id)
}

fn rendered(state: &State, chat: i64, id: i64) -> Reply {
    let message = state.message(chat, id).ok_or_else(|| Refusal::bad("message not found"))?;
    Ok(json::message(state, message, true))
}

pub(super) fn send_message(state: &mut State, params: &Params) -> Reply {
    let text = message_text(params)?;
    let too_long = utf16_len(&text.text) > TEXT_LIMIT;
    chat(state, params, Need::Write)?;
    if too_long {
        return Err(Refusal::bad("message is too long"));
    }
    send(state, params, "text", text, None)
}

fn send_file(state: &mut State, params: &Params, field: &str, photo: bool) -> Reply {
    let text = caption(params)?;
    let Some(upload) = params.file(field) else {
        let missing = format!("there is no {field} in the request");
        return Err(Refusal::bad(if params.text(field).is_empty() {
            &missing
        } else {
            "wrong file identifier/HTTP URL specified"
        }));
    };
    if upload.bytes.is_empty() {
        return Err(Refusal::bad("file must be non-empty"));
    }
    if upload.bytes.len() > UPLOAD_LIMIT {
        return Err(Refusal::new(413, "Request Entity Too Large"));
    }
    let document = Document {
        file_name: upload.file_name.clone(),
        mime: upload.mime.clone(),
        bytes: upload.bytes.clone(),
        caption: text.text.clone(),
        photo,
    };
    send(state, params, "caption", text, Some(document))
}

pub(super) fn send_document(state: &mut State, params: &Params) -> Reply {
    send_file(state, params, "document", false)
}

pub(super) fn send_photo(state: &mut State, params: &Params) -> Reply {
    send_file(state, params, "photo", true)
}

/// What an edit replaces.
enum Edit {
    Text(Formatted),
    Caption(Formatted),
    Markup,
}

fn edit(state: &mut State, params: &Params, field: &str, change: Edit) -> Reply {
    let markup = keyboard::parse(params)?;
    if params.text("chat_id").is_empty() && params.integer("message_id") == 0 {
        let inline = params.text("inline_message_id");
        return Err(Refusal::bad(if inline.is_empty() {
            "Message identifier is not specified"
        } else {
            "MESSAGE_ID_INVALID"
        }));
    }
    let (chat, id) = message_id(state, params, Need::Edit, "message to edit")?;
    let kind = state.chat(chat)?.chat.kind;
    let now = state.now();
    let bot = state.bot.id;
    let html = params.text(field).to_owned();
    let preview = link_preview_off(params);
    let Some(message) = state.message_mut(chat, id) else {
        return Err(Refusal::bad("message to edit not found"));
    };
    let own = message.from == Some(bot) || (message.from.is_none() && message.sender_chat == Some(chat));
    if !own || message.forwarded || message.service.is_some() {
        return Err(Refusal::bad("message can't be edited"));
    }
    let text = match change {
        Edit::Text(_) if message.document.is_some() => return Err(Refusal::bad("there is no text in the message to edit")),
        Edit::Caption(_) if message.document.is_none() => return Err(Refusal::bad("there is no caption in the message to edit")),
        Edit::Text(text) | Edit::Caption(text) => Some(text),
        Edit::Markup => None,
    };
    keyboard::check(&markup, kind)?;
    let same_text = text
        .as_ref()
        .is_none_or(|text| text.text == message.text && text.entities == message.entities);
    if same_text
        && (Markup {
            force_reply: None,
            ..markup.clone()
        })
        .keyboard
            == message.keyboard
    {
        return Err(Refusal::bad(
            "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
        ));
    }
    if let Some(text) = text {
        if let Some(document) = &mut message.document {
            document.caption.clone_from(&text.text);
        }
        message.html = html;
        message.text = text.text;
        message.entities = text.entities;
        message.lost_formatting = text.lost;
        message.no_preview = preview;
    }
    message.keyboard = markup.keyboard;
    message.edits += 1;
    message.edited_at = Some(now);
    rendered(state, chat, id)
}

pub(super) fn edit_text(state: &mut State, params: &Params) -> Reply {
    let text = message_text(params)?;
    if utf16_len(&text.text) > TEXT_LIMIT {
        message_id(state, params, Need::Edit, "message to edit")?;
        return Err(Refusal::bad("MESSAGE_TOO_LONG"));
    }
    edit(state, params, "text", Edit::Text(text))
}

pub(super) fn edit_caption(state: &mut State, params: &Params) -> Reply {
    let caption = caption(params)?;
    edit(state, params, "caption", Edit::Caption(caption))
}

pub(super) fn edit_markup(state: &mut State, params: &Params) -> Reply {
    edit(state, params, "", Edit::Markup)
}

pub(super) fn delete_message(state: &mut State, params: &Params) -> Reply {
    if params.text("chat_id").is_empty() {
        return Err(Refusal::bad("Chat identifier is not specified"));
    }
    if params.integer("message_id") == 0 {
        return Err(Refusal::bad("Message identifier is not specified"));
    }
    let (chat, id) = message_id(state, params, Need::Write, "message to delete")?;
    let oldest = state.now() - i64::try_from(DELETE_LIFE.as_secs()).unwrap_or(i64::MAX);
    let bot = state.bot.id;
    // Its own always; those of others in private chats, and where it is an administrator (with the right to delete).
    let any = state.chats.get(&chat).is_some_and(|known| {
        let standing = known.members.get(&bot).map(String::as_str);
        known.chat.kind == ChatKind::Private || matches!(standing, Some("administrator" | "creator"))
    });
    let Some(message) = state.message_mut(chat, id) else {
        return Err(Refusal::bad("message to delete not found"));
    };
    if message.date < oldest || (!any && message.from.is_some_and(|from| from != bot)) {
        return Err(Refusal::bad("message can't be deleted for everyone"));
    }
    message.deleted = true;
    Ok(json!(true))
}

pub(super) fn pin(state: &mut State, params: &Params, pinned: bool) -> Reply {
    let what = if pinned { "message to pin" } else { "message to unpin" };
    let (chat, id) = message_id(state, params, Need::Write, what)?;
    if let Some(message) = state.message_mut(chat, id) {
        message.pinned = pinned;
    }
    Ok(json!(true))
}

pub(super) fn set_reaction(state: &mut State, params: &Params) -> Reply {
    let (chat, id) = message_id(state, params, Need::Write, "message to react")?;
    let reactions = params
        .document("reaction")
        .map_err(|_| Refusal::bad("can't parse reaction types JSON object"))?;
    let list = reactions.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if list.len() > 1 {
        return Err(Refusal::bad("REACTIONS_TOO_MANY"));
    }
    let emoji = list.first().and_then(|reaction| reaction.get("emoji")?.as_str()).map(str::to_owned);
    if let Some(message) = state.message_mut(chat, id) {
        message.reaction = emoji;
    }
    Ok(json!(true))
}

pub(super) fn answer_query(state: &mut State, params: &Params) -> Reply {
    let too_old = || Refusal::bad("query is too old and response timeout expired or query ID is invalid");
    let now = state.now_ms();
    let text = params.text("text");
    let query = state.queries.get_mut(params.text("callback_query_id")).ok_or_else(too_old)?;
    let age = now - query.tapped_at_ms;
    if query.answer.is_some() || age > i64::try_from(TAP_LIFE.as_millis()).unwrap_or(i64::MAX) {
        return Err(too_old());
    }
    if text.chars().count() > ANSWER_LIMIT {
        return Err(Refusal::bad("MESSAGE_TOO_LONG"));
    }
    let address = params.text("url");
    let ours = address.starts_with("t.me/") || address.starts_with("https://t.me/") || address.starts_with("tg://");
    if !address.is_empty() && !ours {
        return Err(Refusal::bad("URL_INVALID"));
    }
    query.answer = Some(TapOutcome::Answered {
        text: (!text.is_empty()).then(|| text.to_owned()),
        alert: params.flag("show_alert"),
        url: (!address.is_empty()).then(|| address.to_owned()),
    });
    Ok(json!(true))
}
