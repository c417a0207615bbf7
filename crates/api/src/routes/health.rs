//! For the operator's probes. Open to everybody, so: no version, no causes, no cost that a caller could multiply.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::document::HealthDocument;
use crate::face::Face;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct AliveDocument {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "It does", body = AliveDocument)))]
pub async fn alive() -> Response {
    json(StatusCode::OK, &AliveDocument { status: "ok" })
}

/// Whether the service can do its work
///
/// Database writable and repositories usable; and when Telegram and Argo CD last answered.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "It can", body = HealthDocument),
        (status = 503, description = "It cannot; `not_ready` says what is missing", body = HealthDocument),
    ))]
pub async fn ready(State(face): State<Face>) -> Response {
    let health = face.health().await;
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, &health)
}
