//! The layer around everything: gives each request an id, turns panics and refusals into problems, measures, and logs one line.
//!
//! It never looks at request headers, so no token can reach a log line through it.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{AgentName, ProposalId};
use uuid::Uuid;

use crate::problem::{Refusal, render};
use engine::Problem;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers, measures, renders and logs.
pub async fn outermost(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = Uuid::new_v4();
    let method = method_label(request.method());
    let path: String = request.uri().path().chars().take(200).collect();
    let route = matched.map_or_else(|| "unmatched".to_owned(), |matched| matched.as_str().to_owned());

    let mut response = next.run(request).await;
    let code = response.extensions().get::<Refusal>().map_or("", |Refusal(problem)| problem.code);
    let agent = response
        .extensions()
        .get::<AgentName>()
        .map(ToString::to_string)
        .unwrap_or_default();
    let status = response.status().as_u16();
    // A path is visible ASCII, as the parser of requests leaves it.
    let proposal = path
        .split('/')
        .find_map(|part| part.parse::<ProposalId>().ok())
        .map(|id| id.to_string());
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(request = %id, method, path, proposal, status, code, agent, elapsed_ms, "answered");

    render(&mut response, id);
    let headers = response.headers_mut();
    // A UUID in hexadecimal is always a valid header value.
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    metrics::counter!("http_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string()).increment(1);
    metrics::histogram!("http_request_duration_seconds", "route" => route).record(started.elapsed().as_secs_f64());
    response
}

/// What a panicking handler answers. The payload may hold anything, so only the log sees it.
pub fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    Refusal(Problem::internal("answer")).into_response()
}

/// Methods are the caller's words; a metric must not have a series per invented one.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_next_request_is_served() {
        async fn boom() -> &'static str {
            panic!("with a secret")
        }
        let router = Router::new()
            .route("/boom", get(boom))
            .route("/", get(|| async { "fine" }))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn(outermost));
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            (status, String::from_utf8(bytes.to_vec()).unwrap())
        };
        let (status, text) = ask("/boom").await;
        assert!(
            status == 500 && text.contains("\"code\":\"internal\"") && !text.contains("secret"),
            "{text}"
        );
        assert_eq!(ask("/").await, (200, "fine".to_owned()));
    }
}
