//! What the caller may do: its scopes and quotas, and the runbooks.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{Answered, acceptable, json};
use crate::document::{MeDocument, RunbooksDocument};
use crate::extract::Caller;
use crate::face::Face;
use crate::problem::ProblemDocument;

/// Who am I, what may I do, what is left of my quotas
#[utoipa::path(get, path = "/v1/me", tag = "about",
    responses(
        (status = 200, description = "The caller", body = MeDocument),
        (status = "4XX", description = "Refused", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn me(State(face): State<Face>, Caller(agent): Caller, headers: HeaderMap) -> Answered {
    acceptable(&headers, "application/json")?;
    let me = face.engine.me(&agent).await?;
    Ok(json(StatusCode::OK, &MeDocument::from(me)))
}

/// List the runbooks that the caller may call
#[utoipa::path(get, path = "/v1/runbooks", tag = "about",
    responses(
        (status = 200, description = "The runbooks", body = RunbooksDocument),
        (status = "4XX", description = "Refused", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn runbooks(State(face): State<Face>, Caller(agent): Caller, headers: HeaderMap) -> Answered {
    acceptable(&headers, "application/json")?;
    Ok(json(
        StatusCode::OK,
        &RunbooksDocument {
            runbooks: face.engine.runbooks(&agent),
        },
    ))
}
