//! What can go wrong when we talk to Telegram, told apart by what the caller does next. The server's texts are the only reliable
//! source: client libraries know some of them in another spelling ("query ID" and "query id"), and new ones appear all the time.

use std::time::Duration;

use crate::ChatId;

/// Why a call did not do what it should. No variant ever carries the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many calls: wait that long, for this chat only.
    #[error("Telegram asks to wait {} s before the next message to this chat", .0.as_secs())]
    RetryAfter(Duration),
    /// The group became a supergroup: use the new chat, and post open cards again (old message ids do not exist there).
    #[error("the group became a supergroup: its chat id is now {0}; update the configuration")]
    Migrated(ChatId),
    /// The message to edit is gone or can no longer be edited: post a new card.
    #[error("the message to edit does not exist any more ({reason}): post a new one")]
    Gone {
        /// The server's words.
        reason: String,
    },
    /// Nobody can be reached there: blocked, kicked, deactivated, never started, or not found. Tell somebody elsewhere.
    #[error("the chat cannot be reached ({reason}): add the bot to it, or let the person start it, or correct the chat id")]
    ChatDead {
        /// The server's words.
        reason: String,
    },
    /// The topic was deleted or closed: send to the chat without it, or correct the configuration.
    #[error("the topic does not exist or is closed ({reason}): correct the topic id, or reopen the topic")]
    ThreadGone {
        /// The server's words.
        reason: String,
    },
    /// Telegram could not parse our markup: send the plain text.
    #[error("Telegram did not accept the markup ({reason})")]
    BadMarkup {
        /// The server's words.
        reason: String,
    },
    /// The text or caption is longer than allowed.
    #[error("the message is too long for Telegram")]
    TooLong,
    /// The tap is too old to be answered. Harmless: the card tells the result.
    #[error("the tap is too old to be answered")]
    TapExpired,
    /// No answer, or a broken one, after the request was sent: the message may be there. Never repeat a new message blindly.
    #[error("no clear answer from Telegram ({reason}): the message may or may not have arrived")]
    Ambiguous {
        /// What happened on the wire.
        reason: String,
    },
    /// The request was surely not sent: repeat it later.
    #[error("Telegram cannot be reached ({reason}); check the network and `telegram.api_url`")]
    Unreachable {
        /// What happened on the wire.
        reason: String,
    },
    /// The token is wrong or revoked.
    #[error("Telegram does not know this bot token: check the token, or issue a new one with @BotFather")]
    Unauthorized,
    /// Another process polls with this token, or a webhook is set while we poll.
    #[error("somebody else receives this bot's updates ({reason}): run one `serve` per token, and one way of receiving")]
    Conflict {
        /// The server's words.
        reason: String,
    },
    /// Anything else the server refused, in its words.
    #[error("Telegram refused the call: {0}")]
    Other(String),
}

/// Reads the server's refusal. `code` is `error_code` (or the HTTP status), `description` the server's text.
///
/// Texts as the published Bot API server (tdlib/telegram-bot-api, Client.cpp) writes them; compared by lower-cased parts.
pub(crate) fn classify(code: i64, description: &str, retry_after: Option<u64>, migrate_to: Option<i64>) -> SendError {
    if let Some(chat) = migrate_to {
        return SendError::Migrated(ChatId(chat));
    }
    if code == 429 || retry_after.is_some() {
        return SendError::RetryAfter(Duration::from_secs(retry_after.unwrap_or(30).max(1)));
    }
    let reason = description.chars().take(300).collect::<String>();
    let text = description.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if code >= 500 {
        return SendError::Ambiguous { reason };
    }
    if code == 401 || text == "not found" {
        return SendError::Unauthorized;
    }
    if code == 409 || text.starts_with("conflict:") {
        return SendError::Conflict { reason };
    }
    if has(&["query is too old", "query id is invalid"]) {
        return SendError::TapExpired;
    }
    if has(&[
        "thread not found",
        "topic_closed",
        "topic_deleted",
        "topic closed",
        "topic_id_invalid",
    ]) {
        return SendError::ThreadGone { reason };
    }
    if has(&[
        "message to edit not found",
        "message can't be edited",
        "message_id_invalid",
        "message identifier is not specified",
    ]) {
        return SendError::Gone { reason };
    }
    if has(&["can't parse entities", "unsupported start tag", "can't find end tag"]) {
        return SendError::BadMarkup { reason };
    }
    if has(&[
        "message is too long",
        "message caption is too long",
        "message_too_long",
        "media_caption_too_long",
    ]) {
        return SendError::TooLong;
    }
    let lost = [
        "chat not found",
        "group chat was upgraded",
        "chat_write_forbidden",
        "not enough rights to send",
        "have no rights to send",
        "peer_id_invalid",
        "user is deactivated",
    ];
    if code == 403 || text.starts_with("forbidden:") || has(&lost) {
        return SendError::ChatDead { reason };
    }
    SendError::Other(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_texts_lead_to_the_right_next_step() {
        let dead = "ChatDead";
        for (code, text, expected) in [
            (
                400,
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
                "TapExpired",
            ),
            (400, "Bad Request: message to edit not found", "Gone"),
            (400, "Bad Request: message can't be edited", "Gone"),
            (400, "Bad Request: MESSAGE_ID_INVALID", "Gone"),
            (400, "Bad Request: message thread not found", "ThreadGone"),
            (400, "Bad Request: TOPIC_CLOSED", "ThreadGone"),
            (400, "Bad Request: TOPIC_DELETED", "ThreadGone"),
            (
                400,
                "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0",
                "BadMarkup",
            ),
            (400, "Bad Request: message is too long", "TooLong"),
            (400, "Bad Request: message caption is too long", "TooLong"),
            (400, "Bad Request: chat not found", dead),
            (400, "Bad Request: not enough rights to send text messages to the chat", dead),
            (403, "Forbidden: bot was blocked by the user", dead),
            (403, "Forbidden: user is deactivated", dead),
            (403, "Forbidden: bot was kicked from the supergroup chat", dead),
            (403, "Forbidden: bot was kicked from the group chat", dead),
            (403, "Forbidden: bot is not a member of the supergroup chat", dead),
            (403, "Forbidden: bot can't initiate conversation with a user", dead),
            (
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                "Conflict",
            ),
            (
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
                "Conflict",
            ),
            (401, "Unauthorized", "Unauthorized"),
            (404, "Not Found", "Unauthorized"),
            (500, "Internal Server Error", "Ambiguous"),
            (400, "Bad Request: BUTTON_DATA_INVALID", "Other"),
        ] {
            let name = format!("{:?}", classify(code, text, None, None));
            assert!(name.starts_with(expected), "{text}: {name}");
        }
    }

    #[test]
    fn parameters_win_over_texts() {
        assert_eq!(
            classify(429, "Too Many Requests: retry after 7", Some(7), None),
            SendError::RetryAfter(Duration::from_secs(7))
        );
        assert_eq!(
            classify(400, "Bad Request: group chat was upgraded to a supergroup chat", None, Some(-1001)),
            SendError::Migrated(ChatId(-1001))
        );
    }
}
