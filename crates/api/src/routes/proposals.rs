//! Asking for a change: proposals, dry runs, and reports of commits that are there already.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{Answered, acceptable, claim, created, json};
use crate::body::{ObservationBody, ProposalBody};
use crate::document::{EvaluationDocument, ProposalDocument};
use crate::extract::{Caller, Sent};
use crate::face::{Face, detached};
use crate::problem::ProblemDocument;

/// Propose a change
///
/// Resolved to full contents at once: what is stored is what gets committed. The policy decides the tier. The same agent, content and
/// base while a proposal is pending give that proposal again, with 200 and as it is: title and reason of the second request are not taken.
#[utoipa::path(post, path = "/v1/proposals", tag = "proposals", request_body = ProposalBody,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 characters, new for each new request; kept for 24 hours")),
    responses(
        (status = 201, description = "The new proposal", body = ProposalDocument,
            headers(("ETag" = String, description = "The version: `\"v1\"`"), ("Location" = String, description = "Its address"))),
        (status = 200, description = "The proposal that was there already", body = ProposalDocument,
            headers(("Countersign-Existing" = String, description = "`true`"), ("Location" = String, description = "Its address"))),
        (status = "4XX", description = "Refused: 409 `stale_base`, 422 for a base, path or content that cannot be, 422 `guard_refused` with findings, 429 over a quota", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn create(State(face): State<Face>, Caller(agent): Caller, headers: HeaderMap, sent: Sent<ProposalBody>) -> Answered {
    acceptable(&headers, "application/json")?;
    let (key, pass) = claim(&face, &agent.name, &headers, sent.fingerprint)?;
    let request = sent.body.into_request(&face.limits)?;
    let engine = face.engine.clone();
    let answer = detached(async move {
        let _pass = pass;
        engine.propose(&agent, request, Some(key)).await
    });
    created(&face, &answer.await?).await
}

/// Try a change without asking for it
///
/// Tier, rule, approvers, checks and touched applications. Stores nothing, sends nothing.
#[utoipa::path(post, path = "/v1/proposals:evaluate", tag = "proposals", request_body = ProposalBody,
    responses(
        (status = 200, description = "What would happen", body = EvaluationDocument),
        (status = "4XX", description = "Refused, as the proposal would be", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn evaluate(State(face): State<Face>, Caller(agent): Caller, headers: HeaderMap, sent: Sent<ProposalBody>) -> Answered {
    acceptable(&headers, "application/json")?;
    let request = sent.body.into_request(&face.limits)?;
    let evaluation = face.engine.evaluate(&agent, request).await?;
    Ok(json(StatusCode::OK, &EvaluationDocument::from(evaluation)))
}

/// Report a commit that was pushed already
///
/// Notify-only: the commit must be on the branch, young, and equal what the runbook renders. Then its sync is followed.
#[utoipa::path(post, path = "/v1/observations", tag = "observations", request_body = ObservationBody,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 characters, new for each new request; kept for 24 hours")),
    responses(
        (status = 201, description = "The new document", body = ProposalDocument,
            headers(("ETag" = String, description = "The version: `\"v1\"`"), ("Location" = String, description = "Its address"))),
        (status = 200, description = "The document that was there already", body = ProposalDocument,
            headers(("Countersign-Existing" = String, description = "`true`"), ("Location" = String, description = "Its address"))),
        (status = "4XX", description = "Refused: the commit is not what it is said to be", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn observe(State(face): State<Face>, Caller(agent): Caller, headers: HeaderMap, sent: Sent<ObservationBody>) -> Answered {
    acceptable(&headers, "application/json")?;
    let (key, pass) = claim(&face, &agent.name, &headers, sent.fingerprint)?;
    let request = sent.body.into();
    let engine = face.engine.clone();
    let answer = detached(async move {
        let _pass = pass;
        engine.observe(&agent, request, Some(key)).await
    });
    created(&face, &answer.await?).await
}
