//! The Bot API's errors: code, words, and the two parameters a client must obey.

use serde_json::{Value, json};

/// An answer with `"ok": false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) retry_after: Option<u32>,
    pub(super) migrate_to: Option<i64>,
}

impl Refusal {
    pub(super) fn new(code: u16, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            retry_after: None,
            migrate_to: None,
        }
    }

    /// 400. As the server does it, the first letter is lowered unless the second is a capital or an underscore (`BUTTON_DATA_INVALID` stays).
    pub(super) fn bad(text: impl AsRef<str>) -> Self {
        Self::new(400, format!("Bad Request: {}", lower_first(text.as_ref())))
    }

    /// 403.
    pub(super) fn forbidden(text: &str) -> Self {
        Self::new(403, format!("Forbidden: {text}"))
    }

    /// 409.
    pub(super) fn conflict(text: &str) -> Self {
        Self::new(409, format!("Conflict: {text}"))
    }

    /// 429.
    pub(super) fn too_many(retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(429, format!("Too Many Requests: retry after {retry_after}"))
        }
    }

    /// 400 with the id of the supergroup that a group became.
    pub(super) fn migrated(to: i64) -> Self {
        Self {
            migrate_to: Some(to),
            ..Self::bad("group chat was upgraded to a supergroup chat")
        }
    }

    /// The body as sent.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "ok": false, "error_code": self.code, "description": self.description });
        if let Some(seconds) = self.retry_after {
            body["parameters"]["retry_after"] = json!(seconds);
        }
        if let Some(chat) = self.migrate_to {
            body["parameters"]["migrate_to_chat_id"] = json!(chat);
        }
        body
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    match characters.clone().next() {
        Some(second) if second == '_' || second.is_ascii_uppercase() => text.to_owned(),
        _ => format!("{}{}", first.to_ascii_lowercase(), characters.as_str()),
    }
}
