//! What an agent may do with its proposal: revise it, take it back, ask for its inverse. Deciding is not among it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::{Answered, acceptable, claim, created, document};
use crate::body::{ReasonBody, RevisionBody};
use crate::document::ProposalDocument;
use crate::extract::{Caller, Matched, MaybeSent, Named, Sent};
use crate::face::{Face, detached};
use crate::problem::ProblemDocument;

/// Send another revision
///
/// Only while pending. Reviews of the revision before no longer count and its buttons are dead.
#[utoipa::path(post, path = "/v1/proposals/{id}/revisions", tag = "proposals", request_body = RevisionBody,
    params(("id" = String, Path, description = "The proposal"),
        ("If-Match" = String, Header, description = "The `ETag` of the version that was seen"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 characters, new for each new request; kept for 24 hours")),
    responses(
        (status = 201, description = "The proposal with its new revision", body = ProposalDocument,
            headers(("ETag" = String, description = "The new version"), ("Location" = String, description = "Its address"))),
        (status = 200, description = "The revision is what the proposal holds already: nothing changed, people keep their card", body = ProposalDocument,
            headers(("Countersign-Existing" = String, description = "`true`"))),
        (status = 412, description = "It has changed since; `ETag` is the current version", body = ProblemDocument, content_type = "application/problem+json",
            headers(("ETag" = String, description = "The current version"))),
        (status = 428, description = "If-Match is missing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "4XX", description = "Refused: 409 when no longer pending", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn revise(
    State(face): State<Face>,
    Caller(agent): Caller,
    Named(id): Named,
    Matched(meant): Matched,
    headers: HeaderMap,
    sent: Sent<RevisionBody>,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let (key, pass) = claim(&face, &agent.name, &headers, sent.fingerprint)?;
    let request = sent.body.into_request(&face.limits)?;
    let engine = face.engine.clone();
    let answer = detached(async move {
        let _pass = pass;
        engine.revise(&agent, id, meant, request, Some(key)).await
    });
    created(&face, &answer.await?).await
}

/// Take a proposal back
///
/// Possible until the push command is sent; afterwards 409 with the state.
#[utoipa::path(post, path = "/v1/proposals/{id}/withdraw", tag = "proposals", request_body = Option<ReasonBody>,
    params(("id" = String, Path, description = "The proposal")),
    responses(
        (status = 200, description = "The proposal", body = ProposalDocument, headers(("ETag" = String, description = "The version"))),
        (status = "4XX", description = "Refused: 409 when it is too late", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn withdraw(
    State(face): State<Face>,
    Caller(agent): Caller,
    Named(id): Named,
    headers: HeaderMap,
    MaybeSent(sent): MaybeSent<ReasonBody>,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let engine = face.engine.clone();
    let answer = detached(async move { engine.withdraw(&agent, id, sent.body.reason).await });
    document(&face, StatusCode::OK, &answer.await?).await
}

/// Ask for the inverse of a delivered change
///
/// A proposal of its own, routed by the policy.
#[utoipa::path(post, path = "/v1/proposals/{id}/revert", tag = "proposals", request_body = Option<ReasonBody>,
    params(("id" = String, Path, description = "The delivered proposal"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 characters, new for each new request; kept for 24 hours")),
    responses(
        (status = 201, description = "The new proposal", body = ProposalDocument,
            headers(("ETag" = String, description = "The version: `\"v1\"`"), ("Location" = String, description = "Its address"))),
        (status = 200, description = "The proposal that was there already", body = ProposalDocument,
            headers(("Countersign-Existing" = String, description = "`true`"), ("Location" = String, description = "Its address"))),
        (status = "4XX", description = "Refused: 409 when it is not delivered or no longer applies", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn revert(
    State(face): State<Face>,
    Caller(agent): Caller,
    Named(id): Named,
    headers: HeaderMap,
    MaybeSent(sent): MaybeSent<ReasonBody>,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let (key, pass) = claim(&face, &agent.name, &headers, sent.fingerprint)?;
    let engine = face.engine.clone();
    let answer = detached(async move {
        let _pass = pass;
        engine.revert(&agent, id, sent.body.reason, Some(key)).await
    });
    created(&face, &answer.await?).await
}
