//! The REST client: one struct, one method per call that we make, errors that a caller can branch on.
//!
//! Facts that shape it: every call but `GET` must say `Content-Type: application/json`, even without a body; an application
//! is always asked for with its project, since without it "no such application" and "no right" look the same; `refresh`
//! may never return, so that it has its own short time limit, after which it counts as requested.

mod calls;
mod error;
mod sync;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Notify;
use url::Url;

pub use calls::{Listing, Refreshed};
pub use error::{Error, Trouble};
pub use sync::{CannotSync, SyncOrder};

/// Most bytes of an answer that are read; a list of several thousand slim applications stays far below.
const LARGEST_ANSWER: usize = 256 << 20;

/// What a client is built from.
pub struct ClientOptions {
    /// Address of the Argo CD server, with its path prefix if it has one (`--rootpath`): `https://argocd.example.com/argo`.
    pub base_url: Url,
    /// API token of an account or of a project role.
    pub token: SecretString,
    /// Certificates (PEM) that are trusted in addition to the public ones.
    pub extra_ca: Option<Vec<u8>>,
    /// Accept any certificate. Only for a first try.
    pub insecure_skip_verify: bool,
    /// Limit of one ordinary call.
    pub timeout: Duration,
    /// Limit of one refresh, after which it counts as requested.
    pub refresh_timeout: Duration,
}

impl ClientOptions {
    /// Options with the usual limits: 30 s a call, 30 s a refresh, no extra certificates.
    pub fn new(base_url: Url, token: SecretString) -> Self {
        let limit = Duration::from_secs(30);
        Self {
            base_url,
            token,
            extra_ca: None,
            insecure_skip_verify: false,
            timeout: limit,
            refresh_timeout: limit,
        }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("base_url", &bare(&self.base_url))
            .finish_non_exhaustive()
    }
}

/// Options that make no client.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The address is no http or https address.
    #[error("the Argo CD address {address} must begin with http:// or https:// and have no user, query or fragment")]
    Address {
        /// The address without credentials.
        address: String,
    },
    /// The extra certificates cannot be read.
    #[error("the extra CA certificates for Argo CD are not PEM certificates ({reason})")]
    Certificates {
        /// Why.
        reason: String,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client for Argo CD cannot be built ({reason})")]
    Http {
        /// Why.
        reason: String,
    },
}

/// A client of one Argo CD instance. Cheap to clone; clones share connections and token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Arc<RwLock<SecretString>>,
    token_changed: Arc<Notify>,
    timeout: Duration,
    refresh_timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client. No request is made.
    ///
    /// # Errors
    /// When the address or the certificates are unusable.
    pub fn new(options: ClientOptions) -> Result<Self, OptionsError> {
        let mut base = options.base_url;
        let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none() && base.fragment().is_none();
        if !matches!(base.scheme(), "http" | "https") || !plain || base.cannot_be_a_base() {
            return Err(OptionsError::Address { address: bare(&base) });
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // A redirect is an error to be told: following it could carry the token elsewhere.
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // A dead connection must not be taken for a quiet one.
            .tcp_keepalive(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .danger_accept_invalid_certs(options.insecure_skip_verify);
        let unreadable = |error: reqwest::Error| OptionsError::Certificates {
            reason: error.without_url().to_string(),
        };
        if let Some(pem) = &options.extra_ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(unreadable)?;
            if certificates.is_empty() {
                return Err(OptionsError::Certificates {
                    reason: "no certificate in it".to_owned(),
                });
            }
            http = certificates.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = http.build().map_err(|error| OptionsError::Http {
            reason: error.without_url().to_string(),
        })?;
        Ok(Self {
            http,
            base,
            token: Arc::new(RwLock::new(options.token)),
            token_changed: Arc::new(Notify::new()),
            timeout: options.timeout,
            refresh_timeout: options.refresh_timeout,
        })
    }

    /// Replaces the token, in all clones. A watch that had stopped because of the old one tries again at once.
    pub fn set_token(&self, token: SecretString) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        self.token_changed.notify_waiters();
    }

    /// Resolves when [`Client::set_token`] is called.
    pub(crate) fn token_changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.token_changed.notified()
    }

    /// The address of a path below the base, each part encoded.
    fn address<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Sends one request and returns the answer if it is a success.
    async fn send(&self, call: Call<'_>) -> Result<Response, Error> {
        let what = call.what;
        let mut request = self
            .http
            .request(call.method.clone(), call.url)
            .header(AUTHORIZATION, self.bearer(what)?);
        request = request.header(ACCEPT, call.accept);
        if call.method != Method::GET {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(body) = call.body {
            request = request.body(body.to_string());
        }
        if let Some(limit) = call.limit {
            request = request.timeout(limit);
        }
        let answer = request.send().await.map_err(|error| self.transport(what, error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = self.read(what, answer, 64 << 10).await.unwrap_or_default();
        Err(Error::from_answer(what, status, &self.scrub(&String::from_utf8_lossy(&body))))
    }

    /// Sends one request and parses the answer as JSON.
    async fn json(&self, call: Call<'_>) -> Result<Value, Error> {
        let what = call.what;
        let answer = self.send(call).await?;
        let body = self.read(what, answer, LARGEST_ANSWER).await?;
        let invalid = |_| Error::Invalid {
            what: what.to_owned(),
            reason: "the answer is not JSON".to_owned(),
        };
        serde_json::from_slice(&body).map_err(invalid)
    }

    /// Reads at most `largest` bytes of an answer.
    async fn read(&self, what: &str, answer: Response, largest: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.transport(what, error))?;
            if body.len() + chunk.len() > largest {
                return Err(Error::Invalid {
                    what: what.to_owned(),
                    reason: format!("the answer is larger than {largest} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn bearer(&self, what: &str) -> Result<HeaderValue, Error> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let text = format!("Bearer {}", token.expose_secret().trim());
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Unauthorized {
            message: format!("for {what}: it contains characters no token has"),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// An answer may quote what it was sent.
    fn scrub(&self, text: &str) -> String {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let secret = token.expose_secret().trim();
        if secret.is_empty() {
            text.to_owned()
        } else {
            text.replace(secret, "[token]")
        }
    }

    fn transport(&self, what: &str, error: reqwest::Error) -> Error {
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            deepest(&error.without_url())
        };
        Error::Unavailable {
            what: what.to_owned(),
            reason: self.scrub(&reason),
            retryable: true,
        }
    }
}

/// One request.
struct Call<'a> {
    /// For errors: what the call is about.
    what: &'a str,
    method: Method,
    url: Url,
    accept: &'static str,
    body: Option<Value>,
    /// Limit of the whole exchange; `None` for the stream.
    limit: Option<Duration>,
}

/// An address without user, password, query and fragment.
fn bare(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
}

/// The innermost cause: reqwest's own sentence says only "error sending request".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
