//! The watch stream: a snapshot where the rules say so, live events after it, keepalives, and the ways it breaks.

use std::{collections::HashMap, convert::Infallible, io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use super::{
    calls,
    fields::Fields,
    http::{Call, Query, Refusal, authenticated},
    world::{StreamEvent, World},
};
use crate::git::{Fault, serving::flushed_before_breaking};

/// Pieces of the body under way; a reader that is slower than this makes events pile up, and then get lost, in the
/// broadcast buffer, as in the real server.
const PIECES: usize = 16;

type Piece = io::Result<Bytes>;

/// Opens the stream. As in the real server, not even the headers are sent before there is something to say.
pub(crate) async fn open(world: Arc<World>, call: &Call, fault: Option<Fault>) -> Response {
    let refusal = match fault {
        Some(Fault::Status(status)) => Some((status, Refusal::of_status(status))),
        Some(Fault::ReadOnly) => Some((403, Refusal::of_status(403))),
        Some(Fault::Hang) => match std::future::pending::<Infallible>().await {},
        Some(Fault::LoseAnswer | Fault::Truncate) | None => None,
    };
    let sse = call.headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/event-stream");
    let refusal = refusal.or_else(|| {
        authenticated(&world, &call.headers)
            .err()
            .map(|refusal| (refusal.status().as_u16(), refusal))
    });
    if let Some((status, refusal)) = refusal {
        let body = framed(sse, &error_chunk(status, &refusal));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return response(status, sse, Body::from(body));
    }
    if let Some(spec) = &world.api {
        spec.check_request("GET", &call.path, &call.query.0, None);
    }
    let (sender, mut pieces) = mpsc::channel::<Piece>(PIECES);
    let writer = Writer {
        sse,
        fields: Fields::parse(call.query.get("fields")),
        query: call.query.clone(),
        last: HashMap::new(),
        sender,
        break_after_first: matches!(fault, Some(Fault::LoseAnswer | Fault::Truncate)),
    };
    let (task_world, alive) = (Arc::clone(&world), world.alive.clone());
    tokio::spawn(async move { alive.run_until_cancelled(writer.run(task_world)).await });
    let first = pieces.recv().await;
    let rest = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let body = futures_util::StreamExt::chain(stream::iter(first), rest);
    response(StatusCode::OK, sse, Body::from_stream(flushed_before_breaking(body)))
}

/// One open stream.
struct Writer {
    sse: bool,
    fields: Option<Fields>,
    query: Query,
    /// Last message per application, for leaving out repetitions.
    last: HashMap<String, Value>,
    sender: mpsc::Sender<Piece>,
    break_after_first: bool,
}

/// The reader is gone or the stream was told to end.
struct Ended;

impl Writer {
    async fn run(mut self, world: Arc<World>) {
        // The end is the end, whatever the reason: the body closes when the sender is dropped.
        let _ = self.tell(&world).await;
    }

    async fn tell(&mut self, world: &World) -> Result<(), Ended> {
        let (applications, mut events) = world.informed_and_following();
        let version = self.query.get("resourceVersion").to_owned();
        if version.is_empty() || !self.query.get("name").is_empty() {
            for application in applications {
                self.event(world, "ADDED", &application).await?;
            }
        }
        loop {
            let event = tokio::time::timeout(world.options.keepalive, events.recv());
            match event.await {
                Err(_) if self.sse => self.send(Ok(Bytes::from_static(b":\n"))).await?,
                Err(_) => self.still_there()?,
                Ok(Ok(StreamEvent::Application(kind, application))) => {
                    if calls::newer(&application, &version) {
                        self.event(world, kind, &application).await?;
                    }
                }
                // Too slow: what was missed is missed, and nobody says so.
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Ok(StreamEvent::Drop)) => {
                    let _ = self.send(Err(io::Error::from(io::ErrorKind::ConnectionReset))).await;
                    return Err(Ended);
                }
                Ok(Ok(StreamEvent::Error(status))) => {
                    let chunk = error_chunk(status, &Refusal::of_status(status));
                    self.send(Ok(framed(self.sse, &chunk))).await?;
                    return Err(Ended);
                }
                Ok(Ok(StreamEvent::End) | Err(broadcast::error::RecvError::Closed)) => return Err(Ended),
            }
        }
    }

    async fn event(&mut self, world: &World, kind: &str, application: &Value) -> Result<(), Ended> {
        if !calls::matches(world, &self.query, application) {
            return Ok(());
        }
        let whole = json!({"result": {"type": kind, "application": application}});
        if let (Some(api), None) = (&world.api, &self.fields) {
            api.check_answer("GET", "/api/v1/stream/applications", 200, &whole);
        }
        let message = match &self.fields {
            Some(fields) => fields.filter(&whole),
            None => whole,
        };
        let name = application["metadata"]["name"].as_str().unwrap_or_default();
        let twice = world.duplicate_events();
        if self.last.get(name) == Some(&message) && !twice {
            return Ok(());
        }
        let piece = framed(self.sse, &message);
        self.last.insert(name.to_owned(), message);
        if twice {
            self.send(Ok(piece.clone())).await?;
        }
        self.send(Ok(piece)).await?;
        if self.break_after_first {
            let _ = self.send(Err(io::Error::from(io::ErrorKind::ConnectionReset))).await;
            return Err(Ended);
        }
        Ok(())
    }

    async fn send(&self, piece: Piece) -> Result<(), Ended> {
        self.sender.send(piece).await.map_err(|_| Ended)
    }

    fn still_there(&self) -> Result<(), Ended> {
        if self.sender.is_closed() { Err(Ended) } else { Ok(()) }
    }
}

fn framed(sse: bool, message: &Value) -> Bytes {
    match sse {
        true => Bytes::from(format!("data: {message} \n\n\n")),
        false => Bytes::from(format!("{message}\n")),
    }
}

fn error_chunk(status: u16, refusal: &Refusal) -> Value {
    let words = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    json!({"error": {
        "grpc_code": refusal.code, "http_code": status, "message": refusal.message, "http_status": words,
    }})
}

fn response(status: StatusCode, sse: bool, body: Body) -> Response {
    let kind = if sse { "text/event-stream" } else { "application/json" };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
