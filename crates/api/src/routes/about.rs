//! What the caller may do: its scopes and quotas, and the runbooks.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::{Answered, acceptable, json};
use crate::body::RenderBody;
use crate::document::{MeDocument, RenderingDocument, RunbooksDocument};
use crate::extract::{Caller, Sent};
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
    let listed = face.engine.runbooks(&agent).await?;
    Ok(json(StatusCode::OK, &RunbooksDocument::from(listed)))
}

/// Render a runbook without running it
///
/// The change that a run would make, with the tier and the approvers that it would get. Stores nothing, sends nothing. To run it, send it as
/// `runbook` of a proposal.
#[utoipa::path(post, path = "/v1/runbooks/{name}/render", tag = "about", request_body = RenderBody,
    params(("name" = String, Path, description = "The runbook")),
    responses(
        (status = 200, description = "What a run would make", body = RenderingDocument),
        (status = "4XX", description = "Refused, as the run would be", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn render(
    State(face): State<Face>,
    Caller(agent): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    sent: Sent<RenderBody>,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let rendering = face.engine.render_runbook(&agent, sent.body.into_request(name)).await?;
    Ok(json(StatusCode::OK, &RenderingDocument::from(rendering)))
}
