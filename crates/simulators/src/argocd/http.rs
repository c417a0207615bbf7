//! The REST face: routes, authentication, rights, and the exact refusals of the real API server.

use std::sync::Arc;

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::broadcast::error::RecvError;

use super::{
    calls,
    model::Endpoint,
    stream, webhook,
    world::{StreamEvent, World},
};
use crate::git::{Fault, serving::with_fault};

/// Largest request body in bytes; webhooks of real hosts stay below it.
const BODY_LIMIT: usize = 50 * 1024 * 1024;

/// A refusal: gRPC code and words. The HTTP status follows from the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: u32,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
        }
    }

    /// HTTP status that grpc-gateway makes of the code.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            3 | 9 | 11 => StatusCode::BAD_REQUEST,
            16 => StatusCode::UNAUTHORIZED,
            7 => StatusCode::FORBIDDEN,
            5 => StatusCode::NOT_FOUND,
            6 | 10 => StatusCode::CONFLICT,
            8 => StatusCode::TOO_MANY_REQUESTS,
            12 => StatusCode::NOT_IMPLEMENTED,
            14 => StatusCode::SERVICE_UNAVAILABLE,
            4 => StatusCode::GATEWAY_TIMEOUT,
            1 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The refusal that would be answered with this HTTP status.
    pub(crate) fn of_status(status: u16) -> Refusal {
        match status {
            400 => Refusal::new(3, "invalid argument"),
            401 => Refusal::new(16, "no session information"),
            403 => Refusal::new(7, "permission denied"),
            404 => Refusal::new(5, "not found"),
            409 => Refusal::new(
                10,
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            429 => Refusal::new(8, "too many requests"),
            503 => Refusal::new(14, "upstream connect error or disconnect/reset before headers"),
            504 => Refusal::new(4, "context deadline exceeded"),
            _ => Refusal::new(13, "internal error"),
        }
    }

    fn document(&self) -> Value {
        json!({"error": self.message, "code": self.code, "message": self.message})
    }
}

/// A request, taken apart.
pub(crate) struct Call {
    pub method: Method,
    pub path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub endpoint: Endpoint,
    /// What stands in the path's variable places, percent-decoded.
    pub names: Vec<String>,
}

/// The query, in order, with repeated names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub Vec<(String, String)>);

impl Query {
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All values under any of these names; empty ones do not count.
    pub(crate) fn all(&self, names: &[&str]) -> Vec<&str> {
        let wanted = self
            .0
            .iter()
            .filter(|(key, value)| names.contains(&key.as_str()) && !value.is_empty());
        wanted.map(|(_, value)| value.as_str()).collect()
    }

    /// Both the present and the older name for projects.
    pub(crate) fn projects(&self) -> Vec<&str> {
        self.all(&["projects", "project"])
    }
}

/// Serves one request.
pub(crate) async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let call = call_of(&world, parts);
    let fault = world.ledger.arrive(call.endpoint);
    if call.endpoint == Endpoint::Stream {
        return stream::open(world, &call, fault).await;
    }
    let stated = match fault {
        Some(Fault::Status(status)) => StatusCode::from_u16(status).ok(),
        _ => None,
    };
    let refuse = |status| {
        let mut response = refused(&Refusal::of_status(status));
        // Statuses that no gRPC code maps to come from the proxy in front.
        *response.status_mut() = stated.unwrap_or(response.status());
        response
    };
    with_fault(fault, refuse, async {
        match to_bytes(body, BODY_LIMIT).await {
            Ok(body) => served(&world, &call, body).await,
            Err(_) => refused(&Refusal::new(8, "request body too large")),
        }
    })
    .await
}

async fn served(world: &Arc<World>, call: &Call, body: Bytes) -> Response {
    if call.endpoint == Endpoint::Webhook {
        return webhook::receive(world, &call.headers, &body);
    }
    let json = call
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    if call.method != Method::GET && !json {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Invalid content type\n").into_response();
    }
    let parsed = match body.is_empty() {
        true => Value::Null,
        false => match serde_json::from_slice(&body) {
            Ok(parsed) => parsed,
            Err(error) => return refused(&Refusal::new(3, error.to_string())),
        },
    };
    if let Some(spec) = &world.api {
        let sent = (!parsed.is_null()).then_some(&parsed);
        spec.check_request(call.method.as_str(), &call.path, &call.query.0, sent);
    }
    let outcome = dispatch(world, call, &parsed).await;
    let (status, document) = match &outcome {
        Ok(document) => (StatusCode::OK, document.clone()),
        Err(refusal) => (refusal.status(), refusal.document()),
    };
    // The values of some narrowed lists are of another type than the description has them.
    if let (Some(spec), "", true) = (&world.api, call.query.get("fields"), call.endpoint != Endpoint::Other) {
        spec.check_answer(call.method.as_str(), &call.path, status.as_u16(), &document);
    }
    answered(status, &document)
}

async fn dispatch(world: &Arc<World>, call: &Call, body: &Value) -> Result<Value, Refusal> {
    let session = authenticated(world, &call.headers);
    match call.endpoint {
        Endpoint::Version => return Ok(calls::version(session.is_ok())),
        Endpoint::UserInfo => return Ok(calls::user_info(session.is_ok())),
        _ => session?,
    }
    let name = call.names.first().map_or("", String::as_str);
    match call.endpoint {
        Endpoint::CanI => Ok(calls::can_i(world, &call.names)),
        Endpoint::List => Ok(calls::list(world, &call.query)),
        Endpoint::Get => calls::get(world, name, &call.query),
        Endpoint::Refresh => refresh(world, name, &call.query).await,
        Endpoint::Sync => calls::sync(world, name, &call.query, body),
        Endpoint::Terminate => calls::terminate(world, name, &call.query),
        Endpoint::Rollback => calls::rollback(world, name, &call.query, body),
        Endpoint::SyncWindows => calls::sync_windows(world, name, &call.query),
        Endpoint::ResourceTree => calls::resource_tree(world, name, &call.query),
        Endpoint::ManagedResources => calls::managed_resources(world, name, &call.query),
        Endpoint::RevisionMetadata => {
            let revision = call.names.get(1).map_or("", String::as_str);
            calls::revision_metadata(world, name, revision, &call.query)
        }
        Endpoint::Version | Endpoint::UserInfo | Endpoint::Stream | Endpoint::Webhook | Endpoint::Other => {
            Err(Refusal::new(5, "Not Found"))
        }
    }
}

/// Sets the annotation and blocks until the controller has dropped it again, however long that takes.
async fn refresh(world: &Arc<World>, name: &str, query: &Query) -> Result<Value, Refusal> {
    calls::get(world, name, query)?;
    let kind = if query.get("refresh") == "hard" { "hard" } else { "normal" };
    let (_, mut events) = world.informed_and_following();
    let requested = world.update(name, |app| app.request_refresh(kind));
    requested.ok_or_else(|| calls::not_found(name))?;
    let asked_at = world.read(name, |app| resource_version(&app.object)).unwrap_or_default();
    loop {
        match events.recv().await {
            Ok(StreamEvent::Application("DELETED", gone)) if gone["metadata"]["name"] == json!(name) => {
                return Err(calls::not_found(name));
            }
            Ok(StreamEvent::Application(_, application)) if application["metadata"]["name"] == json!(name) => {
                let waiting = application["metadata"]["annotations"].get(super::world::REFRESH).is_some();
                if !waiting && resource_version(&application) >= asked_at {
                    return Ok(calls::with_resource_health(&application));
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err(Refusal::new(2, "application refresh deadline exceeded")),
        }
    }
}

pub(crate) fn resource_version(application: &Value) -> u64 {
    application["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// A session needs a token in the shape of a JWT, as bearer or as cookie; anything else is no session at all.
pub(crate) fn authenticated(world: &World, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &header::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let bearer = text(header::AUTHORIZATION).strip_prefix("Bearer ");
    let cookie = text(header::COOKIE)
        .split("; ")
        .find_map(|cookie| cookie.strip_prefix("argocd.token="));
    let token = bearer.into_iter().chain(cookie).find(|token| token.split('.').count() == 3);
    match token {
        None => Err(Refusal::new(16, "no session information")),
        Some(token) if bool::from(token.as_bytes().ct_eq(world.options.token.as_bytes())) => Ok(()),
        Some(_) => Err(Refusal::new(
            16,
            "invalid session: token signature is invalid: signature is invalid",
        )),
    }
}

fn refused(refusal: &Refusal) -> Response {
    answered(refusal.status(), &refusal.document())
}

fn answered(status: StatusCode, document: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

fn call_of(world: &World, parts: axum::http::request::Parts) -> Call {
    let path = parts.uri.path();
    let path = path
        .strip_prefix(world.options.root_path.trim_end_matches('/'))
        .unwrap_or(path)
        .to_owned();
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let query = Query(query);
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let get = parts.method == Method::GET;
    let refresh = query.0.iter().any(|(key, _)| key == "refresh");
    let (endpoint, names): (Endpoint, Vec<&str>) = match segments.as_slice() {
        ["api", "version"] if get => (Endpoint::Version, vec![]),
        ["api", "webhook"] if parts.method == Method::POST => (Endpoint::Webhook, vec![]),
        ["api", "v1", rest @ ..] => match rest {
            ["session", "userinfo"] if get => (Endpoint::UserInfo, vec![]),
            ["account", "can-i", names @ ..] if get && names.len() >= 2 => (Endpoint::CanI, names.to_vec()),
            ["stream", "applications"] if get => (Endpoint::Stream, vec![]),
            ["applications"] if get => (Endpoint::List, vec![]),
            ["applications", name] if get && refresh => (Endpoint::Refresh, vec![*name]),
            ["applications", name] if get => (Endpoint::Get, vec![*name]),
            ["applications", name, "sync"] if parts.method == Method::POST => (Endpoint::Sync, vec![*name]),
            ["applications", name, "rollback"] if parts.method == Method::POST => (Endpoint::Rollback, vec![*name]),
            ["applications", name, "operation"] if parts.method == Method::DELETE => (Endpoint::Terminate, vec![*name]),
            ["applications", name, "syncwindows"] if get => (Endpoint::SyncWindows, vec![*name]),
            ["applications", name, "resource-tree"] if get => (Endpoint::ResourceTree, vec![*name]),
            ["applications", name, "managed-resources"] if get => (Endpoint::ManagedResources, vec![*name]),
            ["applications", name, "revisions", revision, "metadata"] if get => (Endpoint::RevisionMetadata, vec![*name, *revision]),
            _ => (Endpoint::Other, vec![]),
        },
        _ => (Endpoint::Other, vec![]),
    };
    let names = names.into_iter().map(percent_decoded).collect();
    Call {
        method: parts.method,
        path,
        query,
        headers: parts.headers,
        endpoint,
        names,
    }
}

fn percent_decoded(segment: &str) -> String {
    // In a path a plus sign is a plus sign.
    let form = segment.replace('+', "%2B");
    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map_or_else(String::new, |(text, _)| text.into_owned())
}
