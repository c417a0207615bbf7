//! Every "no" of the HTTP face looks the same: RFC 9457 `application/problem+json` with a stable code, whether it can help to try
//! again, and what to do next.
//!
//! Handlers return a [`Refusal`]; it travels as an extension of an empty response to the outermost layer, the one place that renders
//! it, because only that place knows the request's id.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::conditional::EntityTag;
use crate::document::FindingDocument;
use engine::Problem;

/// The media type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub struct Refusal(pub Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// The body of every refusal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// A stable URI of the kind of problem: `urn:countersign:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:countersign:problem:stale_base")]
    pub kind: String,
    /// The kind of problem in words.
    #[schema(example = "Stale base")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// This occurrence: the request's id, as in the `X-Request-Id` header and in the service's log.
    #[schema(example = "urn:uuid:3f0c7f0e-6f57-4d09-8a7e-0d6a6a0f5f10")]
    pub instance: String,
    /// A stable word for programs.
    #[schema(example = "stale_base")]
    pub code: String,
    /// Where in the request body: a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/changes/0/path")]
    pub pointer: Option<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// What to do next.
    pub hint: String,
    /// With `guard_refused` and `observation_refused`: what the guard rails refuse. Never a value that was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingDocument>,
}

impl ProblemDocument {
    /// The body for a problem that happened to one request.
    pub fn new(problem: &Problem, request_id: Uuid) -> Self {
        Self {
            kind: format!("urn:countersign:problem:{}", problem.code),
            title: title(problem.code),
            status: problem.status,
            detail: problem.detail.clone(),
            instance: request_id.urn().to_string(),
            code: problem.code.to_owned(),
            pointer: problem.pointer.as_deref().map(str::to_owned),
            retryable: problem.retryable,
            hint: problem.hint.to_string(),
            findings: problem.findings.iter().map(FindingDocument::from).collect(),
        }
    }
}

/// Gives a refused response its body and headers. Responses that a library refused by status alone get an ordinary problem too;
/// everything else passes through.
pub fn render(response: &mut axum::response::Response, request_id: Uuid) {
    let refusal = response.extensions_mut().remove::<Refusal>();
    let problem = match refusal {
        Some(Refusal(problem)) => problem,
        None if is_bare(response) => bare(response.status()),
        None => return,
    };
    let document = ProblemDocument::new(&problem, request_id);
    // A struct of strings, numbers and booleans always serialises; an empty object would still be a valid problem.
    let body = serde_json::to_vec(&document).unwrap_or_else(|_| b"{}".to_vec());
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(version) = problem.version {
        headers.insert(ETAG, EntityTag::of(version).value());
    }
    if problem.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"countersign\""));
    }
    *response.body_mut() = Body::from(body);
}

/// `stale_base` becomes `Stale base`: the same code always has the same title.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A status from the router or an extractor; `/readyz` answers 503 with a document of its own.
fn is_bare(response: &axum::response::Response) -> bool {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    refused && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json")
}

/// What to say when a library refused with nothing but a status.
fn bare(status: StatusCode) -> Problem {
    let number = status.as_u16();
    match number {
        404 => Problem::new(
            404,
            "not_found",
            "there is nothing at this address",
            "the addresses are listed at /openapi.json and /docs",
        ),
        405 => Problem::new(
            405,
            "method_not_allowed",
            "this address does not know that method",
            "use one of the methods in the Allow header",
        ),
        status if status < 500 => Problem::new(
            status,
            "bad_request",
            "the request could not be read",
            "compare the request with /openapi.json",
        ),
        _ => Problem::internal("answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(mut response: axum::response::Response) -> String {
        render(&mut response, Uuid::nil());
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        let mut lines: Vec<String> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        format!(
            "{}\n{}\n{}",
            parts.status,
            lines.join("\n"),
            String::from_utf8(body.to_vec()).unwrap()
        )
    }

    #[tokio::test]
    async fn a_problem_has_one_shape() {
        let problem = Problem {
            version: Some(7),
            ..Problem::new(412, "version_changed", "it is at version 7", "read it again")
                .at("/a~1b")
                .retry(3)
        };
        insta::assert_snapshot!(shown(Refusal(problem).into_response()).await, @r#"
        412 Precondition Failed
        content-type: application/problem+json
        etag: "v7"
        retry-after: 3
        {"type":"urn:countersign:problem:version_changed","title":"Version changed","status":412,"detail":"it is at version 7","instance":"urn:uuid:00000000-0000-0000-0000-000000000000","code":"version_changed","pointer":"/a~1b","retryable":true,"hint":"read it again"}
        "#);
    }

    #[tokio::test]
    async fn bare_statuses_become_problems_and_other_answers_pass() {
        for (status, code) in [
            (401, "bad_request"),
            (404, "not_found"),
            (405, "method_not_allowed"),
            (415, "bad_request"),
            (500, "internal"),
            (503, "internal"),
        ] {
            let response = Response::builder()
                .status(status)
                .header("allow", "GET")
                .body(Body::from("plain"))
                .unwrap();
            let shown = shown(response).await;
            assert!(shown.contains(&format!("\"code\":\"{code}\"")), "{shown}");
            assert!(shown.contains("allow: GET"), "{shown}");
        }
        assert_eq!(shown(Response::new(Body::from("fine"))).await, "200 OK\n\nfine");
    }
}
