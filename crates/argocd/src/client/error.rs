//! What can go wrong in a call, sorted by what the caller can do about it.

use reqwest::StatusCode;
use serde::Deserialize;

/// A failed call. No variant carries the token, an address with credentials, or a request body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token is missing, malformed, expired or revoked.
    #[error("Argo CD does not accept the token ({message}); create a new one for the account or project role and configure it")]
    Unauthorized {
        /// Argo CD's words.
        message: String,
    },
    /// The token's role lacks a right, or (for an application asked for without its project) there is no such application.
    #[error("Argo CD refuses {what} ({message}); the token's role lacks the right `{right}` on it: add it to the project's role")]
    Forbidden {
        /// The call.
        what: String,
        /// The right that the call needs, as a policy line names it.
        right: &'static str,
        /// Argo CD's words.
        message: String,
    },
    /// There is no such application in that project.
    #[error("Argo CD does not know {what}")]
    NotFound {
        /// The call.
        what: String,
    },
    /// Another operation is in progress.
    #[error("the application is busy with another operation; try again when it has finished")]
    Busy,
    /// A sync window forbids it.
    #[error("a sync window forbids the sync now ({message}); wait for the window or change it in the project")]
    WindowClosed {
        /// Argo CD's words.
        message: String,
    },
    /// A revision was named, but automated sync is on and follows another one.
    #[error("automated sync is on, so no revision may be named ({message}); sync without one")]
    AutoSyncMismatch {
        /// Argo CD's words.
        message: String,
    },
    /// No answer, or one that says "not now".
    #[error("Argo CD is not available for {what} ({reason})")]
    Unavailable {
        /// The call.
        what: String,
        /// Why.
        reason: String,
        /// Whether the same call may succeed later without anybody doing anything.
        retryable: bool,
    },
    /// The request or the answer makes no sense.
    #[error("{what} failed ({reason}); check the address, its path prefix and the Argo CD version")]
    Invalid {
        /// The call.
        what: String,
        /// Why.
        reason: String,
    },
}

/// What kind of trouble there is with an Argo CD, in words that anybody may read: no addresses, nobody's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It does not accept the token.
    Token,
    /// The token's role lacks this right.
    Right(&'static str),
    /// It does not answer, or says that it cannot now.
    Away,
    /// It answers what no Argo CD answers.
    Strange,
    /// It shows no application at all, which it does to a token without any right.
    Empty,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token => f.write_str("the token is not accepted"),
            Self::Right(right) => write!(f, "the token's role lacks the right `{right}`"),
            Self::Away => f.write_str("it does not answer"),
            Self::Strange => f.write_str("its answers make no sense: check the address"),
            Self::Empty => f.write_str("it shows this token no application: check that its role has the right `applications, get`"),
        }
    }
}

/// The right that a call needs.
fn right_for(what: &str) -> &'static str {
    let changes = what.starts_with("sync of ") || what.starts_with("termination of ");
    if changes { "applications, sync" } else { "applications, get" }
}

impl Error {
    /// What kind of trouble it is with Argo CD as a whole; `None` when it is about one application or one request only.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Unauthorized { .. } => Some(Trouble::Token),
            Self::Forbidden { right, .. } => Some(Trouble::Right(right)),
            Self::Unavailable { .. } => Some(Trouble::Away),
            Self::Invalid { .. } | Self::NotFound { .. } => Some(Trouble::Strange),
            Self::Busy | Self::WindowClosed { .. } | Self::AutoSyncMismatch { .. } => None,
        }
    }

    /// Whether a person must act (a token, a right) before any call can succeed.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::Forbidden { .. })
    }

    /// The error for an HTTP status and the body that came with it.
    pub(crate) fn from_answer(what: &str, status: StatusCode, body: &str) -> Self {
        let message = message_of(body).unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned());
        let what = what.to_owned();
        match status.as_u16() {
            401 => Self::Unauthorized { message },
            403 if message.contains("sync window") => Self::WindowClosed { message },
            403 => Self::Forbidden {
                right: right_for(&what),
                what,
                message,
            },
            404 => Self::NotFound { what },
            409 => Self::Busy,
            400 if message.contains("another operation is already in progress") => Self::Busy,
            400 if message.contains("auto-sync currently set to") => Self::AutoSyncMismatch { message },
            300..=399 => Self::Invalid {
                what,
                reason: format!("HTTP {status}: it redirects; configure the https address it leads to"),
            },
            408 | 429 | 500 | 502..=599 => Self::Unavailable {
                what,
                reason: format!("HTTP {status}: {message}"),
                retryable: true,
            },
            501 => Self::Unavailable {
                what,
                reason: message,
                retryable: false,
            },
            _ => Self::Invalid {
                what,
                reason: format!("HTTP {status}: {message}"),
            },
        }
    }
}

/// The `message` of an error body, one line, cut; `None` for a body that is none (a proxy's page).
fn message_of(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        message: Option<String>,
        error: Option<String>,
    }
    let body: Body = serde_json::from_str(body).ok()?;
    let text = body.message.or(body.error)?;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(line.chars().take(500).collect())
}
