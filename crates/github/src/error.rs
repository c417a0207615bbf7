//! What can go wrong at GitHub, sorted by what a caller does about it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use http::HeaderMap;

/// How long a refusal for too many requests lasts when GitHub does not say: its own advice is a minute.
const RETRY_DEFAULT: Duration = Duration::from_secs(60);

/// Longest text of a foreign answer that is quoted, in characters.
const QUOTE_MAX: usize = 500;

/// A call to GitHub that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token is unknown, expired or revoked. Needs a human.
    #[error("GitHub does not accept the token (401): {message}; create a new one and replace it in the configuration")]
    Unauthorized {
        /// GitHub's words.
        message: String,
    },
    /// The token lacks a right. Needs a human.
    #[error("GitHub refuses the call (403): {message}; the token needs {right}")]
    Forbidden {
        /// The missing right, as GitHub names it where it does.
        right: String,
        /// GitHub's words.
        message: String,
    },
    /// The repository or pull request does not exist, or the token may not see it: GitHub does not tell these apart.
    #[error("GitHub does not know {what} (404); check owner, name and number, and that the token may see the repository")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Too many requests.
    #[error("GitHub refuses further requests until {retry_at}: rate limit")]
    RateLimited {
        /// Earliest time of the next attempt.
        retry_at: DateTime<Utc>,
    },
    /// No answer, half an answer, or an answer that blames the server. Whether the call was carried out is unknown.
    #[error("GitHub cannot be reached or failed by itself: {detail}; it will be tried again")]
    Unavailable {
        /// What happened.
        detail: String,
    },
    /// Refused for what was asked; the same request will be refused again.
    #[error("GitHub rejects the request ({status}): {message}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// GitHub's words, the list of reasons included.
        message: String,
    },
}

impl Error {
    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::RateLimited { .. } | Error::Unavailable { .. })
    }

    /// The same without a secret that the answer may have quoted.
    pub(crate) fn without(self, secret: &str) -> Self {
        let blot = |text: String| if secret.is_empty() { text } else { text.replace(secret, "***") };
        match self {
            Error::Unauthorized { message } => Error::Unauthorized { message: blot(message) },
            Error::Forbidden { right, message } => Error::Forbidden {
                right: blot(right),
                message: blot(message),
            },
            Error::Unavailable { detail } => Error::Unavailable { detail: blot(detail) },
            Error::Rejected { status, message } => Error::Rejected {
                status,
                message: blot(message),
            },
            Error::NotFound { .. } | Error::RateLimited { .. } => self,
        }
    }
}

/// Sorts what octocrab reports. `what` names the thing asked for, `right` the right that the call needs.
pub(crate) fn sorted(error: octocrab::Error, what: &str, right: &str) -> Error {
    let octocrab::Error::GitHub { source, .. } = error else {
        return Error::Unavailable {
            detail: quoted(&chain(&error)),
        };
    };
    let status = source.status_code.as_u16();
    let headers = source.headers.unwrap_or_default();
    let message = quoted(&source.message);
    match status {
        401 => Error::Unauthorized { message },
        403 | 429 => match retry_at(&headers, &message, status) {
            Some(retry_at) => Error::RateLimited { retry_at },
            None => Error::Forbidden {
                right: missing_right(&headers, right),
                message,
            },
        },
        404 => Error::NotFound { what: what.to_owned() },
        408 | 500..=599 => Error::Unavailable {
            detail: format!("status {status}: {message}"),
        },
        _ => Error::Rejected {
            status,
            message: with_reasons(message, source.errors.as_deref().unwrap_or_default()),
        },
    }
}

/// `None` when the refusal is about rights, not about numbers.
fn retry_at(headers: &HeaderMap, message: &str, status: u16) -> Option<DateTime<Utc>> {
    let number = |name: &str| text(headers, name).and_then(|value| value.parse::<u64>().ok());
    if let Some(seconds) = number("retry-after") {
        return Some(server_time(headers) + Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").and_then(|seconds| DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0));
        return Some(reset.unwrap_or_else(|| server_time(headers) + RETRY_DEFAULT));
    }
    // A secondary limit may come without any header at all.
    let limited = status == 429 || message.to_lowercase().contains("rate limit");
    limited.then(|| server_time(headers) + RETRY_DEFAULT)
}

/// A relative wait counts from when the server spoke; its own clock is as good as ours.
fn server_time(headers: &HeaderMap) -> DateTime<Utc> {
    let stated = text(headers, "date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    stated.map_or_else(|| SystemTime::now().into(), |date| date.with_timezone(&Utc))
}

fn missing_right(headers: &HeaderMap, right: &str) -> String {
    if text(headers, "x-github-sso").is_some() {
        return "to be authorised for the organisation's single sign-on".to_owned();
    }
    // The first names the permissions of a fine-grained token or an app, the second the scopes of a classic token.
    let named = ["x-accepted-github-permissions", "x-accepted-oauth-scopes"];
    let stated = named.iter().find_map(|name| text(headers, name).filter(|value| !value.is_empty()));
    format!("the right {}", stated.unwrap_or(right))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn with_reasons(message: String, errors: &[serde_json::Value]) -> String {
    let reason = |error: &serde_json::Value| {
        let field = |name: &str| error[name].as_str().map(str::to_owned);
        field("message")
            .or_else(|| Some(format!("{} is {}", field("field")?, field("code")?)))
            .or_else(|| error.as_str().map(str::to_owned))
    };
    let reasons: Vec<String> = errors.iter().filter_map(reason).collect();
    match reasons.is_empty() {
        true => message,
        false => quoted(&format!("{message}: {}", reasons.join("; "))),
    }
}

/// An error with its causes; octocrab's own text often ends before the useful part.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = next.source();
    }
    words
}

fn quoted(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(QUOTE_MAX).collect()
}
