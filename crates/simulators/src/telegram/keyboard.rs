//! `reply_markup`: what the server accepts as an inline keyboard, and its words for what it does not.

use serde_json::Value;

use super::model::{Button, ButtonAction, ChatKind};
use super::refusal::Refusal;
use super::request::Params;

/// Most bytes of callback data.
const DATA_LIMIT: usize = 64;
/// Most characters of a text to copy.
const COPY_LIMIT: usize = 256;
/// Most buttons of a keyboard.
const BUTTON_LIMIT: usize = 100;

/// What a bot hung below a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Markup {
    pub(super) keyboard: Vec<Vec<Button>>,
    pub(super) force_reply: Option<String>,
}

/// Parses the argument; checks that need no knowledge of the chat, in the server's order.
pub(super) fn parse(params: &Params) -> Result<Markup, Refusal> {
    let value = match params.document("reply_markup") {
        Ok(None) => return Ok(Markup::default()),
        Ok(Some(Value::Object(fields))) => fields,
        Ok(Some(_)) => return Err(Refusal::bad("Object expected as reply markup")),
        Err(_) => return Err(Refusal::bad("Can't parse reply keyboard markup JSON object")),
    };
    let mut keyboard = Vec::new();
    if let Some(rows) = value.get("inline_keyboard") {
        let not_rows = || Refusal::bad("Field \"inline_keyboard\" of the InlineKeyboardMarkup must be an Array of Arrays");
        for row in rows.as_array().ok_or_else(not_rows)? {
            let buttons: Result<Vec<Button>, Refusal> = row.as_array().ok_or_else(not_rows)?.iter().map(button).collect();
            keyboard.push(buttons?);
        }
        keyboard.retain(|row| !row.is_empty());
    }
    let force_reply = value.get("force_reply").and_then(Value::as_bool).unwrap_or(false);
    let placeholder = value.get("input_field_placeholder").and_then(Value::as_str).unwrap_or_default();
    Ok(Markup {
        force_reply: (force_reply && keyboard.is_empty()).then(|| placeholder.to_owned()),
        keyboard,
    })
}

fn button(value: &Value) -> Result<Button, Refusal> {
    let unparsed = |why: &str| Refusal::bad(format!("Can't parse inline keyboard button: {why}"));
    let fields = value
        .as_object()
        .ok_or_else(|| unparsed("InlineKeyboardButton must be an Object"))?;
    let text = fields
        .get("text")
        .and_then(Value::as_str)
        .ok_or_else(|| unparsed("Can't find field \"text\""))?;
    let filled = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let style = filled("style");
    if style
        .as_deref()
        .is_some_and(|style| !["danger", "success", "primary", "default"].contains(&style))
    {
        return Err(unparsed("invalid button style specified"));
    }
    let action = if let Some(url) = filled("url") {
        ButtonAction::Url(url)
    } else if let Some(data) = filled("callback_data") {
        ButtonAction::Callback(data)
    } else if let Some(copied) = fields.get("copy_text") {
        let copied = copied
            .get("text")
            .and_then(Value::as_str)
            .ok_or_else(|| unparsed("Can't find field \"text\""))?;
        ButtonAction::CopyText(copied.to_owned())
    } else {
        let known = [
            "callback_game",
            "pay",
            "switch_inline_query",
            "switch_inline_query_chosen_chat",
            "switch_inline_query_current_chat",
            "login_url",
            "web_app",
        ];
        let other = known.iter().find(|name| fields.contains_key(**name));
        ButtonAction::Other(
            other
                .ok_or_else(|| unparsed("Text buttons are unallowed in the inline keyboard"))?
                .to_string(),
        )
    };
    Ok(Button {
        text: text.to_owned(),
        action,
        style,
    })
}

/// The checks that Telegram's own servers make once the chat is known.
pub(super) fn check(markup: &Markup, chat: ChatKind) -> Result<(), Refusal> {
    if markup.keyboard.iter().flatten().count() > BUTTON_LIMIT {
        return Err(Refusal::bad("reply markup is too long"));
    }
    for button in markup.keyboard.iter().flatten() {
        if button.text.trim().is_empty() {
            return Err(Refusal::bad("BUTTON_TEXT_INVALID"));
        }
        match &button.action {
            ButtonAction::Callback(data) if data.len() > DATA_LIMIT => return Err(Refusal::bad("BUTTON_DATA_INVALID")),
            ButtonAction::CopyText(text) if text.is_empty() || text.encode_utf16().count() > COPY_LIMIT => {
                return Err(Refusal::bad("BUTTON_COPY_TEXT_INVALID"));
            }
            ButtonAction::Url(url) => check_url(url)?,
            ButtonAction::Other(kind) if kind == "web_app" && chat != ChatKind::Private => {
                return Err(Refusal::bad("BUTTON_TYPE_INVALID"));
            }
            ButtonAction::Callback(_) | ButtonAction::CopyText(_) | ButtonAction::Other(_) => {}
        }
    }
    Ok(())
}

/// Telegram takes no host without a dot, so `localhost` is refused.
fn check_url(address: &str) -> Result<(), Refusal> {
    let refused = || Refusal::bad(format!("Inline keyboard button URL '{address}' is invalid: Wrong HTTP URL"));
    let with_scheme = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let parsed = url::Url::parse(&with_scheme).map_err(|_| refused())?;
    match parsed.scheme() {
        "http" | "https" if parsed.host_str().is_some_and(|host| host.contains('.') || host.contains(':')) => Ok(()),
        "tg" | "ton" => Ok(()),
        _ => Err(refused()),
    }
}
