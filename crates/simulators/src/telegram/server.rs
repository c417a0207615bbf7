//! The HTTP side: `/bot<token>/<method>`, faults, the long poll, the log, and the check against the specification.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State as AxumState};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::methods::{self, GET_UPDATES, Reply};
use super::model::{Call, Fault};
use super::refusal::Refusal;
use super::request::Params;
use super::wire::Cut;

/// Largest body: an upload and its fields.
const BODY_LIMIT: usize = 60 * 1024 * 1024;
/// Longest long poll.
const POLL_LIMIT: i64 = 50;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(AxumState(shared): AxumState<Arc<Shared>>, ConnectInfo(cut): ConnectInfo<Cut>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let method = match addressed(&shared, parts.uri.path()) {
        Ok(method) => method,
        Err(refusal) => return refuse(&refusal),
    };
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return refuse(&Refusal::new(413, "Request Entity Too Large"));
    };
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let params = match Params::read(parts.uri.query(), content_type, body).await {
        Ok(params) => params,
        Err(description) => return refuse(&Refusal::new(400, description)),
    };
    let canonical = methods::canonical(&method);
    let number = log(&shared, canonical.unwrap_or(&method), &params);
    let reply = answer(&shared, canonical, &params, &cut).await;
    finish(&shared, number, canonical, reply)
}

/// The method a path names, if the token is right.
fn addressed(shared: &Shared, path: &str) -> Result<String, Refusal> {
    let (token, method) = path
        .strip_prefix("/bot")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| Refusal::new(404, "Not Found"))?;
    let token = token.replace("%3A", ":").replace("%3a", ":");
    if !token.contains(':') || method.is_empty() {
        return Err(Refusal::new(404, "Not Found"));
    }
    if shared.read(|state| state.token != token) {
        return Err(Refusal::new(401, "Unauthorized"));
    }
    Ok(method.trim_matches('/').to_owned())
}

fn log(shared: &Shared, method: &str, params: &Params) -> u64 {
    shared.write(|state| {
        if let Some(specification) = &shared.specification {
            state.violations.extend(specification.request(method, params));
        }
        let number = state.calls.len() as u64;
        state.calls.push(Call {
            number,
            method: method.to_owned(),
            params: params.raw.clone(),
            status: None,
            error: None,
            at_ms: state.now_ms(),
        });
        number
    })
}

/// What goes back over the wire.
enum Sent {
    Reply(Reply),
    Raw(StatusCode, &'static str),
    Nothing,
}

async fn answer(shared: &Arc<Shared>, method: Option<&'static str>, params: &Params, cut: &Cut) -> Sent {
    let Some(method) = method else {
        return Sent::Reply(Err(Refusal::new(404, "Not Found: method not found")));
    };
    let fault = shared.write(|state| {
        let (now, chat) = (state.now_ms(), params.text("chat_id"));
        let planned = state.faults.take(method, chat);
        planned.or_else(|| {
            state
                .faults
                .over_limit(method, chat, now)
                .map(|retry_after| Fault::TooManyRequests { retry_after })
        })
    });
    match fault {
        None => {}
        Some(Fault::TooManyRequests { retry_after }) => return Sent::Reply(Err(Refusal::too_many(retry_after))),
        Some(Fault::Status(code)) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Sent::Reply(Err(Refusal::new(
                status.as_u16(),
                status.canonical_reason().unwrap_or("Internal Server Error"),
            )));
        }
        Some(Fault::Error { code, description }) => return Sent::Reply(Err(Refusal::new(code, description))),
        Some(Fault::Garbage) => return Sent::Raw(StatusCode::OK, "<html><body>Bad gateway</body></html>"),
        Some(Fault::Refuse) => {
            cut.now();
            return Sent::Nothing;
        }
        Some(Fault::LoseAnswer) => {
            let _done = execute(shared, method, params).await;
            cut.now();
            return Sent::Nothing;
        }
        Some(Fault::Hang(time)) => hang(shared, time).await,
    }
    Sent::Reply(execute(shared, method, params).await)
}

async fn hang(shared: &Shared, time: Option<Duration>) {
    let before = shared.read(|state| state.faults.releases);
    let released = shared.until(time, |state| (state.faults.releases != before).then_some(()));
    released.await;
}

async fn execute(shared: &Arc<Shared>, method: &str, params: &Params) -> Reply {
    if method == GET_UPDATES {
        return get_updates(shared, params).await;
    }
    shared.write(|state| methods::execute(state, method, params))
}

/// `getUpdates`: confirms by offset, then waits. A newer waiting poll, or a webhook, ends an older one with 409.
async fn get_updates(shared: &Arc<Shared>, params: &Params) -> Reply {
    let limit = match params.integer("limit") {
        0 => 100,
        limit => usize::try_from(limit.clamp(1, 100)).unwrap_or(100),
    };
    let timeout = params.integer("timeout").clamp(0, POLL_LIMIT);
    let first = shared.write(|state| {
        if !state.webhook.url.is_empty() {
            return Err(Refusal::conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            ));
        }
        methods::update_allowed(state, params);
        state.updates.confirm(params.integer("offset"));
        let now = state.now_ms();
        let batch = state.updates.take(now, limit);
        if !batch.is_empty() || timeout == 0 {
            return Ok((batch, 0));
        }
        state.updates.polls += 1;
        state.updates.ended_by_webhook = false;
        state.updates.poll = Some(state.updates.polls);
        Ok((batch, state.updates.polls))
    })?;
    let (batch, poll) = first;
    if poll == 0 {
        return Ok(json!(batch));
    }
    let _leave = Leave { shared, poll };
    let deadline = Instant::now() + Duration::from_secs(timeout.unsigned_abs());
    loop {
        let woken = shared.until(Some(deadline.saturating_duration_since(Instant::now())), |state| {
            let ready = state.updates.poll != Some(poll) || (!state.updates.held && state.pending_updates() > 0);
            ready.then_some(())
        });
        let in_time = woken.await.is_some();
        let batch = shared.write(|state| {
            if state.updates.poll != Some(poll) {
                let by = if state.updates.ended_by_webhook {
                    "terminated by setWebhook request"
                } else {
                    "terminated by other getUpdates request; make sure that only one bot instance is running"
                };
                return Err(Refusal::conflict(by));
            }
            let now = state.now_ms();
            Ok(state.updates.take(now, limit))
        })?;
        if !batch.is_empty() || !in_time {
            return Ok(json!(batch));
        }
    }
}

/// Marks the poll as over, also when the client hangs up.
struct Leave<'a> {
    shared: &'a Shared,
    poll: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.shared.write(|state| {
            if state.updates.poll == Some(self.poll) {
                state.updates.poll = None;
            }
        });
    }
}

fn finish(shared: &Shared, number: u64, method: Option<&str>, sent: Sent) -> Response {
    let (status, body, retry_after) = match sent {
        Sent::Nothing => return response(StatusCode::OK, String::new(), None),
        Sent::Raw(status, body) => (status, body.to_owned(), None),
        Sent::Reply(Ok(result)) => {
            check_answer(shared, method, &result);
            (StatusCode::OK, json!({ "ok": true, "result": result }).to_string(), None)
        }
        Sent::Reply(Err(refusal)) => {
            shared.write(|state| {
                if let Some(call) = usize::try_from(number).ok().and_then(|place| state.calls.get_mut(place)) {
                    call.error = Some(refusal.description.clone());
                }
            });
            let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::BAD_REQUEST);
            (status, refusal.body().to_string(), refusal.retry_after)
        }
    };
    shared.write(|state| {
        if let Some(call) = usize::try_from(number).ok().and_then(|place| state.calls.get_mut(place)) {
            call.status = Some(status.as_u16());
        }
    });
    response(status, body, retry_after)
}

fn check_answer(shared: &Shared, method: Option<&str>, result: &Value) {
    if let (Some(specification), Some(method)) = (&shared.specification, method) {
        let found = specification.answer(method, result);
        if !found.is_empty() {
            shared.write(|state| state.violations.extend(found));
        }
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::BAD_REQUEST);
    response(status, refusal.body().to_string(), refusal.retry_after)
}

fn response(status: StatusCode, body: String, retry_after: Option<u32>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    response
}
