//! What is left of a body when its request is refused. Many clients write the whole body before they read a word of the answer: closing on
//! them would cut them off and take the answer with it. So a bounded rest is read and thrown away first.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use crate::face::Face;

/// How long the rest may take to arrive. Who is slower than that may find the connection closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many times the largest body is thrown away at most.
const TIMES: usize = 4;

/// Throws away what is left of a refused request's body. For callers with a token alone: of nobody else a byte is read.
pub async fn leftover(State(face): State<Face>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // Such a client sends nothing before it is asked to: as long as nobody looked for the body, nothing is under way.
    let waits = parts.headers.contains_key(EXPECT);
    let most = face.limits.body_bytes.saturating_mul(TIMES);
    // Nothing is gained by reading some of what is too much anyway.
    let endless = usize::try_from(body.size_hint().lower()).is_ok_and(|announced| announced > most);
    if endless || body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let lent = Lent::new(body);
    let response = next.run(Request::from_parts(parts, Body::new(lent.clone()))).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    // Who did not send its body in time has had its time.
    if refused && response.status() != StatusCode::REQUEST_TIMEOUT {
        let (body, asked) = lent.back();
        if asked || !waits {
            // Whatever comes of it, the answer is the same.
            let _ = tokio::time::timeout(PATIENCE.min(face.limits.body_timeout), discard(body, most)).await;
        }
    }
    response
}

async fn discard(mut body: Body, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// A body that can be had back.
#[derive(Clone)]
struct Lent(Arc<Mutex<Owner>>);

struct Owner {
    body: Body,
    asked: bool,
}

impl Lent {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Owner { body, asked: false })))
    }

    /// The body with what is left, and whether anybody has looked for it.
    fn back(&self) -> (Body, bool) {
        // A body is valid whatever happened to the thread that read it.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut state.body), state.asked)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        Pin::new(&mut state.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
