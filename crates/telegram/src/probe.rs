//! `check --online`: can the bot speak in this chat and topic? Nothing is posted.

use serde_json::{Value, json};

use crate::{Bot, ChatId, Client, SendError, ThreadId};

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Who the bot is.
    pub bot: Bot,
    /// The chat's title, or the person's name.
    pub title: String,
    /// `private`, `group`, `supergroup` or `channel`.
    pub kind: String,
    /// What is wrong, each with its remedy; empty: everything is as it should be.
    pub problems: Vec<String>,
}

/// Asks for the bot, the chat, the bot's rights there, and the topic. Errors are those of a chat or token that does not work at all.
pub async fn probe(client: &Client, chat: ChatId, thread: Option<ThreadId>) -> Result<Probe, SendError> {
    let bot = client.get_me().await?;
    let here: Value = client.call_json("getChat", &json!({ "chat_id": chat.0 }), client.timeout()).await?;
    let kind = here["type"].as_str().unwrap_or_default().to_owned();
    let title = here["title"]
        .as_str()
        .or_else(|| here["first_name"].as_str())
        .unwrap_or_default()
        .to_owned();
    let mut problems = Vec::new();
    if bot.reads_everything {
        problems
            .push("privacy mode is off: the bot reads every message of its groups; turn it on with @BotFather (/setprivacy)".to_owned());
    }
    if kind == "channel" {
        problems.push("it is a channel: every subscriber sees the cards and may tap; use a group".to_owned());
    }
    if kind != "private" {
        let body = json!({ "chat_id": chat.0, "user_id": bot.id });
        let member: Value = client.call_json("getChatMember", &body, client.timeout()).await?;
        problems.extend(missing_rights(&member, &here));
    }
    problems.extend(topic_problem(client, chat, thread, here["is_forum"] == true).await?);
    Ok(Probe {
        bot,
        title,
        kind,
        problems,
    })
}

fn missing_rights(member: &Value, chat: &Value) -> Option<String> {
    let may = |right: &str| chat["permissions"][right].as_bool().unwrap_or(true);
    match member["status"].as_str().unwrap_or_default() {
        "left" | "kicked" => Some("the bot is not a member of this chat: add it".to_owned()),
        "restricted" if member["can_send_messages"] == false => {
            Some("the bot is restricted and may not write here: lift the restriction".to_owned())
        }
        "restricted" if member["can_send_documents"] == false => {
            Some("the bot may not send files here: long diffs will be missing".to_owned())
        }
        "member" if !may("can_send_messages") => Some("members may not write in this chat: make the bot an administrator".to_owned()),
        "member" if !may("can_send_documents") => {
            Some("members may not send files here: long diffs will be missing; make the bot an administrator".to_owned())
        }
        _ => None,
    }
}

/// Asks for a reply to a message that cannot exist: the server looks at the topic first, then refuses, so nothing is ever posted.
async fn topic_problem(client: &Client, chat: ChatId, thread: Option<ThreadId>, forum: bool) -> Result<Option<String>, SendError> {
    let Some(thread) = thread.filter(|thread| thread.0 > 1) else {
        return Ok(None);
    };
    if !forum && !chat.is_private() {
        return Ok(Some(format!(
            "topic {thread} is configured, but the chat has no topics: turn topics on, or remove the topic"
        )));
    }
    let reply = json!({ "message_id": i32::MAX, "allow_sending_without_reply": false });
    let body =
        json!({ "chat_id": chat.0, "message_thread_id": thread.0, "text": "?", "disable_notification": true, "reply_parameters": reply });
    match client.call_json::<Value>("sendMessage", &body, client.timeout()).await {
        Err(SendError::ThreadGone { reason }) => Ok(Some(format!("topic {thread} cannot be used ({reason}): correct the topic id"))),
        Err(SendError::Other(reason)) if reason.to_lowercase().contains("message to be replied not found") => Ok(None),
        other => other.map(|_| None),
    }
}
