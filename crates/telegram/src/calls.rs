//! The handful of Bot API methods we use, one function each: typed in, typed out, nothing decided.

use serde::Deserialize;
use serde_json::{Value, json};
use teloxide::payloads::{
    AnswerCallbackQuery, AnswerCallbackQuerySetters as _, DeleteWebhook, EditMessageText, EditMessageTextSetters as _, GetMe, SendMessage,
    SendMessageSetters as _,
};
use teloxide::types as tg;

use crate::card::{Button, Press, Style};
use crate::text::cut_units;
use crate::{ALLOWED_UPDATES, ChatId, Client, Document, MessageId, SendError, ThreadId};

/// Longest answer to a tap, in characters.
pub(crate) const ANSWER_MAX: usize = 200;

/// Who this bot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// Its numeric id.
    pub id: i64,
    /// Its username without `@`.
    pub username: String,
    /// Whether privacy mode is off. It should be on.
    pub reads_everything: bool,
}

/// Who sees a menu of commands. Menus are for the eye: they authorise nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandScope {
    /// Everybody.
    Everyone,
    /// Everybody in private chats.
    PrivateChats,
    /// Everybody in this chat.
    Chat(ChatId),
}

/// Where and how a new message goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub chat: ChatId,
    pub thread: Option<ThreadId>,
    pub notify: bool,
    pub reply_to: Option<MessageId>,
}

#[derive(Deserialize)]
pub(crate) struct Sent {
    message_id: i64,
}

impl Client {
    /// Who this bot is.
    pub async fn get_me(&self) -> Result<Bot, SendError> {
        let me: Value = self.call(&GetMe::new()).await?;
        Ok(Bot {
            id: me["id"].as_i64().unwrap_or(0),
            username: me["username"].as_str().unwrap_or_default().to_owned(),
            reads_everything: me["can_read_all_group_messages"].as_bool().unwrap_or(false),
        })
    }

    /// Answers a tap with a toast, or with an alert that must be closed; cut to 200 characters. Never throttled. Do it within two seconds,
    /// whatever else happens, and do not let its failure stop anything.
    pub async fn answer(&self, callback_id: &str, text: &str, alert: bool) -> Result<(), SendError> {
        let id = tg::CallbackQueryId(callback_id.to_owned());
        let payload = AnswerCallbackQuery::new(id).text(cut_units(text, ANSWER_MAX)).show_alert(alert);
        self.call::<_, Value>(&payload).await.map(drop)
    }

    /// Sets the menu of commands: (name, description) pairs.
    pub async fn set_commands(&self, commands: &[(&str, &str)], scope: CommandScope) -> Result<(), SendError> {
        let list: Vec<Value> = commands
            .iter()
            .map(|(name, what)| json!({ "command": name, "description": what }))
            .collect();
        let scope = match scope {
            CommandScope::Everyone => json!({ "type": "default" }),
            CommandScope::PrivateChats => json!({ "type": "all_private_chats" }),
            CommandScope::Chat(chat) => json!({ "type": "chat", "chat_id": chat.0 }),
        };
        let body = json!({ "commands": list, "scope": scope });
        self.call_json::<Value>("setMyCommands", &body, self.timeout()).await.map(drop)
    }

    /// Has Telegram push updates to `url` with this secret in the header. The secret is fixed by the configuration, so that every replica knows it.
    pub async fn set_webhook(&self, url: &reqwest::Url, secret: &secrecy::SecretString) -> Result<(), SendError> {
        use secrecy::ExposeSecret as _;
        let body = json!({
            "url": url.as_str(), "secret_token": secret.expose_secret(), "allowed_updates": ALLOWED_UPDATES, "drop_pending_updates": false,
        });
        self.call_json::<Value>("setWebhook", &body, self.timeout()).await.map(drop)
    }

    /// Ends webhook mode. Never drops waiting updates.
    pub async fn delete_webhook(&self) -> Result<(), SendError> {
        self.call::<_, Value>(&DeleteWebhook::new()).await.map(drop)
    }

    /// The address updates are pushed to; empty while none is set. Another address than ours means that somebody else has the token.
    pub async fn webhook_url(&self) -> Result<String, SendError> {
        let info: Value = self.call_json("getWebhookInfo", &json!({}), self.timeout()).await?;
        Ok(info["url"].as_str().unwrap_or_default().to_owned())
    }

    /// Deletes a message of somebody else, where the bot may: in private chats, and in groups where it is an administrator with that right.
    pub async fn delete_message(&self, chat: ChatId, message: MessageId) -> Result<(), SendError> {
        let body = json!({ "chat_id": chat.0, "message_id": message.0 });
        self.call_json::<Value>("deleteMessage", &body, self.timeout()).await.map(drop)
    }

    /// Updates from `offset` on; holds the call open for `wait` seconds when there are none.
    pub(crate) async fn get_updates(&self, offset: Option<i64>, wait: u64) -> Result<Vec<Value>, SendError> {
        let mut body = json!({ "limit": 100, "timeout": wait, "allowed_updates": ALLOWED_UPDATES });
        if let Some(offset) = offset {
            body["offset"] = json!(offset);
        }
        self.call_json("getUpdates", &body, self.timeout() + std::time::Duration::from_secs(wait))
            .await
    }

    /// Sends a text: as HTML, or as it is.
    pub(crate) async fn send_text(&self, to: Target, text: &str, html: bool, keyboard: &[Vec<Button>]) -> Result<MessageId, SendError> {
        let mut payload = SendMessage::new(tg::ChatId(to.chat.0), text)
            .link_preview_options(no_preview())
            .disable_notification(!to.notify);
        if html {
            payload = payload.parse_mode(tg::ParseMode::Html);
        }
        let mut body = body_of(&payload)?;
        address(&mut body, to);
        markup(&mut body, keyboard);
        let sent: Sent = self.call_json("sendMessage", &body, self.timeout()).await?;
        Ok(MessageId(sent.message_id))
    }

    /// Replaces a message's text and buttons. "Not modified" is success.
    pub(crate) async fn edit_text(
        &self,
        chat: ChatId,
        message: MessageId,
        text: &str,
        html: bool,
        keyboard: &[Vec<Button>],
    ) -> Result<(), SendError> {
        let id = i32::try_from(message.0).map_err(|_| SendError::Gone {
            reason: "no such message id".into(),
        })?;
        let mut payload = EditMessageText::new(tg::ChatId(chat.0), tg::MessageId(id), text).link_preview_options(no_preview());
        if html {
            payload = payload.parse_mode(tg::ParseMode::Html);
        }
        let mut body = body_of(&payload)?;
        markup(&mut body, keyboard);
        match self.call_json::<Value>("editMessageText", &body, self.timeout()).await {
            Err(SendError::Other(reason)) if reason.to_lowercase().contains("message is not modified") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends a file, or a picture that the app shows at once.
    pub(crate) async fn send_document(&self, to: Target, document: &Document) -> Result<MessageId, SendError> {
        use reqwest::multipart::{Form, Part};
        let (method, field, mime) = if document.picture {
            ("sendPhoto", "photo", "image/png")
        } else {
            ("sendDocument", "document", "text/plain; charset=utf-8")
        };
        let part = Part::bytes(document.bytes.clone())
            .file_name(document.file_name.clone())
            .mime_str(mime)
            .map_err(|e| SendError::Other(e.to_string()))?;
        let mut form = Form::new()
            .text("chat_id", to.chat.to_string())
            .text("caption", document.caption.clone())
            .text("disable_notification", (!to.notify).to_string())
            .part(field, part);
        if !document.picture {
            form = form.text("disable_content_type_detection", "true");
        }
        if let Some(thread) = real_thread(to.thread) {
            form = form.text("message_thread_id", thread.to_string());
        }
        if let Some(reply) = to.reply_to {
            form = form.text("reply_parameters", reply_to(reply).to_string());
        }
        let sent: Sent = self.upload(method, form).await?;
        Ok(MessageId(sent.message_id))
    }
}

/// Previews would have Telegram fetch addresses out of hostile text, and push the buttons out of sight.
fn no_preview() -> tg::LinkPreviewOptions {
    tg::LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

fn body_of(payload: &impl serde::Serialize) -> Result<Value, SendError> {
    serde_json::to_value(payload).map_err(|e| SendError::Other(format!("the request cannot be written as JSON: {e}")))
}

/// The General topic is addressed by leaving the topic out: the server does not know a topic 1.
fn real_thread(thread: Option<ThreadId>) -> Option<ThreadId> {
    thread.filter(|thread| thread.0 > 1)
}

fn reply_to(message: MessageId) -> Value {
    json!({ "message_id": message.0, "allow_sending_without_reply": true })
}

fn address(body: &mut Value, to: Target) {
    if let Some(thread) = real_thread(to.thread) {
        body["message_thread_id"] = json!(thread.0);
    }
    if let Some(message) = to.reply_to {
        body["reply_parameters"] = reply_to(message);
    }
}

/// Buttons are written here, not through teloxide's types: those know no colours.
fn markup(body: &mut Value, keyboard: &[Vec<Button>]) {
    if keyboard.is_empty() {
        return;
    }
    let rows: Vec<Vec<Value>> = keyboard.iter().map(|row| row.iter().map(button).collect()).collect();
    body["reply_markup"] = json!({ "inline_keyboard": rows });
}

fn button(button: &Button) -> Value {
    let mut value = match &button.press {
        Press::Data(data) => json!({ "text": button.label, "callback_data": data }),
        Press::Url(url) => json!({ "text": button.label, "url": url }),
        Press::Copy(text) => json!({ "text": button.label, "copy_text": { "text": text } }),
    };
    match button.style {
        Style::Plain => {}
        Style::Success => value["style"] = json!("success"),
        Style::Danger => value["style"] = json!("danger"),
    }
    value
}
