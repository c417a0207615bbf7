//! The wire to Telegram: teloxide's typed payloads over an HTTP client of our own.
//!
//! Why not teloxide's `Bot::send`: it sleeps ten seconds on every 5xx, reads the whole answer into its own types (an unknown field type
//! would turn a delivered message into an error), knows the server's texts only in part, and keeps the token in a `Debug` type. Here the
//! token lives in one secret and in the address of a request, and errors are built without addresses.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teloxide::requests::Payload;

use crate::SendError;
use crate::error::classify;

/// How to reach Telegram.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The bot's token.
    pub token: SecretString,
    /// `https://api.telegram.org`, or a server of one's own; a path prefix is kept.
    pub api_url: Url,
    /// For a whole call; long polls add their own waiting time.
    pub timeout: Duration,
    /// For sending a document.
    pub upload_timeout: Duration,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot have a path.
    #[error("`telegram.api_url` must be an http or https address such as https://api.telegram.org")]
    ApiUrl,
    /// The token has not the shape of one. It is not repeated here.
    #[error("the Telegram bot token must look like 123456789:AAbb… (digits, a colon, letters and digits, as @BotFather shows it)")]
    Token,
    /// The TLS or HTTP set-up failed.
    #[error("the HTTP client for Telegram cannot be set up: {0}")]
    Http(reqwest::Error),
}

/// A client. Cheap to clone; clones share the token, so that a rotated one reaches all.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    api_url: Url,
    upload_timeout: Duration,
    timeout: Duration,
    token: RwLock<SecretString>,
    standing: RwLock<Standing>,
}

/// How the bot stands with Telegram, for `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// When Telegram last took a call of ours seriously: did it, or said what is wrong with that one call.
    pub well: Option<Instant>,
    /// What the newest calls ran into instead.
    pub trouble: Option<Trouble>,
}

/// What is wrong between the bot and Telegram as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The token is unknown, wrong or revoked.
    Token,
    /// Calls are answered with 403: the bot is blocked, or was removed from its chats.
    Refused,
    /// No answer, or none that can be read.
    Silent,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "the bot token is not accepted",
            Self::Refused => "the bot is refused: it is blocked, or was removed from its chats",
            Self::Silent => "no answer",
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.shared.api_url)
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions {
            token,
            api_url,
            timeout,
            upload_timeout,
        } = options;
        if api_url.cannot_be_a_base() || !matches!(api_url.scheme(), "http" | "https") {
            return Err(ClientError::ApiUrl);
        }
        check_token(&token)?;
        // No redirects: a redirect would carry the token in the address to somebody else.
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5).min(timeout))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ClientError::Http(e.without_url()))?;
        let shared = Shared {
            http,
            api_url,
            upload_timeout,
            timeout,
            token: RwLock::new(token),
            standing: RwLock::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Uses another token from now on (the secret's file changed).
    pub fn replace_token(&self, token: SecretString) -> Result<(), ClientError> {
        check_token(&token)?;
        *self.shared.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = token;
        Ok(())
    }

    /// How the newest calls went. A refusal of the bot itself is no sign of life.
    pub fn standing(&self) -> Standing {
        *self.shared.standing.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self, trouble: Option<Trouble>) {
        let mut standing = self.shared.standing.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if trouble.is_none() {
            standing.well = Some(Instant::now());
        }
        standing.trouble = trouble;
    }

    /// Sends a typed payload of teloxide and reads only what the caller needs of the answer.
    pub(crate) async fn call<P, T>(&self, payload: &P) -> Result<T, SendError>
    where
        P: Payload + Serialize,
        T: DeserializeOwned,
    {
        let body = serde_json::to_value(payload).map_err(|e| SendError::Other(format!("the request cannot be written as JSON: {e}")))?;
        self.call_json(P::NAME, &body, self.shared.timeout).await
    }

    /// Sends a call as JSON. `wait` is the deadline for the whole call.
    pub(crate) async fn call_json<T: DeserializeOwned>(&self, method: &str, body: &Value, wait: Duration) -> Result<T, SendError> {
        let request = self.shared.http.post(self.address(method)).json(body).timeout(wait);
        self.finish(request).await
    }

    /// Sends a call as a form with a file.
    pub(crate) async fn upload<T: DeserializeOwned>(&self, method: &str, form: reqwest::multipart::Form) -> Result<T, SendError> {
        let request = self
            .shared
            .http
            .post(self.address(method))
            .multipart(form)
            .timeout(self.shared.upload_timeout);
        self.finish(request).await
    }

    /// The ordinary deadline of a call.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    fn address(&self, method: &str) -> Url {
        let mut url = self.shared.api_url.clone();
        let token = self.shared.token.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(mut segments) = url.path_segments_mut() {
            // teloxide names methods in CamelCase; the documented spelling starts in lower case.
            let method: String = method
                .chars()
                .enumerate()
                .map(|(i, c)| if i == 0 { c.to_ascii_lowercase() } else { c })
                .collect();
            segments.pop_if_empty().push(&format!("bot{}", token.expose_secret())).push(&method);
        }
        url
    }

    async fn finish<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, SendError> {
        let done = self.answered(request).await;
        self.note(match &done {
            Ok(_) => None,
            Err((_, code)) => trouble(*code),
        });
        let result = done.map_err(|(error, _)| error)?;
        serde_json::from_value(result).map_err(|e| SendError::Ambiguous {
            reason: self.without_token(&format!("the answer has an unexpected shape: {e}")),
        })
    }

    /// The `result` of an answer that says `ok`; otherwise the error and the server's code, where there was one.
    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<Value, (SendError, Option<i64>)> {
        let lost = |error| (wire_error(error), None);
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let body = response.bytes().await.map_err(lost)?;
        let answer: Answer = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            // Something between us and Telegram answered, or the answer is cut.
            Err(_) if status.is_client_error() => {
                let code = i64::from(status.as_u16());
                let error = classify(code, status.canonical_reason().unwrap_or("refused"), None, None);
                return Err((error, Some(code)));
            }
            Err(_) => {
                let reason = format!("HTTP status {} without a readable answer", status.as_u16());
                return Err((SendError::Ambiguous { reason }, None));
            }
        };
        if answer.ok {
            return Ok(answer.result);
        }
        let parameters = answer.parameters.unwrap_or_default();
        let code = answer.error_code.unwrap_or(i64::from(status.as_u16()));
        let said = self.without_token(&answer.description);
        let error = classify(code, &said, parameters.retry_after, parameters.migrate_to_chat_id);
        Err((error, Some(code)))
    }

    /// What a server said, without our token: some gateways put the request's path into what they answer.
    fn without_token(&self, text: &str) -> String {
        let token = self.shared.token.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let token = token.expose_secret();
        let text = text.replace(token, "***");
        match token.split_once(':') {
            // Shorter ones are no real tokens, and would blot out ordinary words.
            Some((_, key)) if key.len() >= KEY_MIN => text.replace(key, "***"),
            _ => text,
        }
    }
}

/// Shortest secret part of a token that is looked for by itself; real ones have 35 characters.
const KEY_MIN: usize = 8;

/// What a refused or lost call says about the bot as a whole. Other codes are about the one call.
const fn trouble(code: Option<i64>) -> Option<Trouble> {
    match code {
        Some(401 | 404) => Some(Trouble::Token),
        Some(403) => Some(Trouble::Refused),
        None | Some(500..) => Some(Trouble::Silent),
        Some(_) => None,
    }
}

fn check_token(token: &SecretString) -> Result<(), ClientError> {
    let good = token.expose_secret().split_once(':').is_some_and(|(id, key)| {
        !id.is_empty()
            && id.bytes().all(|b| b.is_ascii_digit())
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    if good { Ok(()) } else { Err(ClientError::Token) }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error_code: Option<i64>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    retry_after: Option<u64>,
    #[serde(default)]
    migrate_to_chat_id: Option<i64>,
}

/// A failure on the wire: surely not sent, or unclear. The address (with the token) is dropped before anything is formatted.
fn wire_error(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    let unsent = error.is_connect() || error.is_builder();
    let mut reason = if error.is_timeout() {
        "timed out".to_owned()
    } else {
        error.to_string()
    };
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    if unsent {
        SendError::Unreachable { reason }
    } else {
        SendError::Ambiguous { reason }
    }
}
