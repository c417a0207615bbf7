//! The demo's page: the simulated Telegram chats as on a phone, the git log of the remote, and the applications, live in a plain browser.
//!
//! Everything comes from this one server, nothing from the network. The browser builds what it shows from data and never from mark-up, so
//! whatever an agent writes stays text.

mod chat;
mod git_log;
mod live;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telegram::{TapOutcome, TelegramSim};

/// How long a tap on the page shows that it waits.
const TAP_DEADLINE: Duration = Duration::from_secs(15);

/// One line of the applications panel, in Argo CD's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationRow {
    /// Name of the application.
    pub name: String,
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub sync: String,
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    pub health: String,
    /// The commit it compares with, shortened.
    pub revision: String,
    /// Message of the running or last operation; empty without one.
    pub operation: String,
}

/// What a person's authenticator app would show: nobody needs a real one for a demonstration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodeRow {
    /// Whose.
    pub user: i64,
    /// Six digits.
    pub code: String,
}

/// What a page shows and where it listens.
#[derive(Clone)]
pub struct PageOptions {
    /// Address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The chats.
    pub telegram: TelegramSim,
    /// The bare repository whose log is shown.
    pub git_remote: PathBuf,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// Reads the applications; called about twice a second.
    pub applications: Arc<dyn Fn() -> Vec<ApplicationRow> + Send + Sync>,
    /// The codes of this moment, of whoever has a generator; called about twice a second.
    pub codes: Arc<dyn Fn() -> Vec<CodeRow> + Send + Sync>,
    /// Who can be chosen as the person that taps and writes.
    pub users: Vec<i64>,
    /// One line at the top.
    pub headline: String,
}

/// A running page; it stops when dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Page {
    /// Starts serving. Fails when the address cannot be bound.
    pub async fn start(options: PageOptions) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let options = Arc::new(options);
        let live = live::watch(options.clone(), stop.clone());
        let router = router(Shared { options, live });
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                served = axum::serve(listener, router) => {
                    if let Err(error) = served {
                        tracing::error!(%error, "the demo page stopped serving");
                    }
                }
            }
        });
        Ok(Self { address, stop })
    }

    /// Address to open in a browser.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

#[derive(Clone)]
struct Shared {
    options: Arc<PageOptions>,
    live: live::Live,
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", include_str!("assets/index.html"))))
        .route(
            "/style.css",
            get(|| asset("text/css; charset=utf-8", include_str!("assets/style.css"))),
        )
        .route(
            "/script.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("assets/script.js"))),
        )
        .route("/events", get(events))
        .route("/commit/{id}", get(commit))
        .route("/document/{chat}/{message}", get(document))
        .route("/tap", post(tap))
        .route("/say", post(say))
        .layer(middleware::from_fn(guard))
        .with_state(shared)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Refuses other names than this machine's (a foreign page must not reach us by DNS tricks) and tells the browser to run nothing but our script.
async fn guard(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    if name != "localhost" && name.parse::<std::net::IpAddr>().is_err() {
        return (
            StatusCode::FORBIDDEN,
            "Open this page by its address, for example http://127.0.0.1.",
        )
            .into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn events(State(shared): State<Shared>) -> Response {
    shared.live.stream().into_response()
}

async fn commit(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let read = tokio::task::spawn_blocking(move || git_log::diff(&shared.options.git_remote, &id)).await;
    match read {
        Ok(Ok(diff)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], diff).into_response(),
        Ok(Err(_)) | Err(_) => (StatusCode::NOT_FOUND, "There is no such commit any more.").into_response(),
    }
}

async fn document(State(shared): State<Shared>, Path((chat, message)): Path<(i64, i64)>) -> Response {
    let found = shared
        .options
        .telegram
        .message(chat, message)
        .filter(|message| !message.deleted)
        .and_then(|message| message.document);
    match found {
        Some(document) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], document.bytes).into_response(),
        None => (StatusCode::NOT_FOUND, "This document is gone.").into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TapRequest {
    user: i64,
    chat: i64,
    message: i64,
    row: usize,
    column: usize,
}

async fn tap(State(shared): State<Shared>, Json(tap): Json<TapRequest>) -> Json<Value> {
    let telegram = &shared.options.telegram;
    let outcome = telegram
        .tap_at(tap.user, tap.chat, tap.message, (tap.row, tap.column), TAP_DEADLINE)
        .await;
    Json(match outcome {
        TapOutcome::Answered { text, alert, url } => json!({ "text": text, "alert": alert, "url": url }),
        TapOutcome::Unanswered => json!({ "text": "The bot has not answered yet.", "late": true }),
        TapOutcome::Opened(url) => json!({ "url": url }),
        TapOutcome::Copied(text) => json!({ "copied": text }),
        TapOutcome::Missing(_) => json!({ "text": "This button is gone." }),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SayRequest {
    user: i64,
    chat: i64,
    text: String,
    reply_to: Option<i64>,
}

async fn say(State(shared): State<Shared>, Json(said): Json<SayRequest>) -> Response {
    let text = said.text.trim();
    let known = shared.options.users.contains(&said.user) && shared.options.telegram.chats().iter().any(|chat| chat.id == said.chat);
    if text.is_empty() || text.chars().count() > 4096 || !known {
        return (
            StatusCode::BAD_REQUEST,
            "A message needs 1 to 4096 characters, a known person and a known chat.",
        )
            .into_response();
    }
    let id = shared.options.telegram.send_text(said.user, said.chat, text, said.reply_to);
    Json(json!({ "message": id })).into_response()
}
