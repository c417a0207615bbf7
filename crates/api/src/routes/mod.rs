//! The routes, one file per subject. Each handler is: take the request apart, ask the engine, render the answer.

mod about;
mod health;
mod proposals;
mod reading;
mod steps;
mod webhook;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{AgentName, Proposal, Sha256Hash};
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::conditional::EntityTag;
use crate::document::{ProposalDocument, RequirementDocument, address};
use crate::face::Face;
use crate::idempotency::{EXISTING, IDEMPOTENT_REPLAYED, Pass, key};
use crate::problem::Refusal;
use engine::{Answer, Checked, Created, Engine, Idempotency};

/// What every handler returns.
pub type Answered = Result<Response, Refusal>;

/// The routes for agents; the caller wraps them in authentication.
pub fn agents() -> OpenApiRouter<Face> {
    OpenApiRouter::new()
        .routes(routes!(proposals::create, reading::list))
        .routes(routes!(proposals::evaluate))
        .routes(routes!(reading::read))
        .routes(routes!(reading::diff))
        .routes(routes!(steps::revise))
        .routes(routes!(steps::withdraw))
        .routes(routes!(steps::revert))
        .routes(routes!(proposals::observe))
        .routes(routes!(about::runbooks))
        .routes(routes!(about::render))
        .routes(routes!(about::me))
}

/// The routes that need no agent's token.
pub fn open() -> OpenApiRouter<Face> {
    OpenApiRouter::new().routes(routes!(health::alive)).routes(routes!(health::ready))
}

/// Telegram's own door, which is no part of the description for agents.
pub fn telegram() -> Router<Face> {
    Router::new().route("/telegram/webhook", axum::routing::post(webhook::update))
}

/// The key of a creating call, claimed for as long as the pass lives.
fn claim(face: &Face, agent: &AgentName, headers: &HeaderMap, fingerprint: Sha256Hash) -> Result<(Idempotency, Pass), Refusal> {
    let key = key(headers)?;
    let pass = face.in_flight.enter(agent, &key)?;
    let engine = face.engine.clone();
    let render = Arc::new(move |proposal: &Proposal, checked: Option<&Checked>| {
        let told = Told::of(&engine, proposal, None);
        Answer {
            status: StatusCode::CREATED.as_u16(),
            etag: Some(told.tag.text()),
            body: json_text(&told.document(proposal, checked)),
            location: Some(address(proposal.id)),
        }
    });
    Ok((Idempotency { key, fingerprint, render }, pass))
}

/// 201 for what is new, 200 for what was there already, and the stored answer for a repeated key.
async fn created(face: &Face, created: &Created) -> Answered {
    Ok(match created {
        Created::New(proposal) => document(face, StatusCode::CREATED, proposal).await?,
        Created::Existing(proposal) => {
            let mut response = marked(document(face, StatusCode::OK, proposal).await?, EXISTING);
            locate(response.headers_mut(), proposal.id);
            response
        }
        Created::Replayed(answer) => {
            let response = marked(replayed(answer), IDEMPOTENT_REPLAYED);
            // A creating call is answered with 200 only where it created nothing.
            match answer.status {
                200 => marked(response, EXISTING),
                _ => response,
            }
        }
    })
}

fn marked(mut response: Response, header: &'static str) -> Response {
    response.headers_mut().insert(header, HeaderValue::from_static("true"));
    response
}

/// A stored answer as it was first given.
fn replayed(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = text(status, "application/json", answer.body.clone());
    for (name, stored) in [(ETAG, &answer.etag), (LOCATION, &answer.location)] {
        if let Some(value) = stored.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What is told of a proposal beside what is stored, as of now, and the tag of both.
struct Told {
    note: Option<String>,
    overlaps: Option<Vec<domain::ProposalId>>,
    nearest: Option<Vec<RequirementDocument>>,
    tag: EntityTag,
}

impl Told {
    fn of(engine: &Engine, proposal: &Proposal, overlaps: Option<Vec<domain::ProposalId>>) -> Self {
        let note = engine.told_note(proposal);
        let others: Vec<_> = overlaps.iter().flatten().map(domain::ProposalId::to_string).collect();
        let nearest: Option<Vec<_>> = engine
            .nearest(proposal)
            .map(|groups| groups.into_iter().map(RequirementDocument::from).collect());
        let choice = nearest.as_ref().map(json_text).unwrap_or_default();
        let tag = EntityTag::beside(proposal.version, &[note.as_deref().unwrap_or_default(), &others.join(" "), &choice]);
        Self {
            note,
            overlaps,
            nearest,
            tag,
        }
    }

    fn document(self, proposal: &Proposal, checked: Option<&Checked>) -> ProposalDocument {
        let mut document = ProposalDocument::with(proposal, checked);
        document.note = self.note.or(document.note);
        document.overlaps = self.overlaps;
        document.progress.nearest = self.nearest;
        document
    }
}

/// A proposal's document with its address and tag.
async fn document(face: &Face, status: StatusCode, proposal: &Proposal) -> Answered {
    document_told(face, status, proposal, Told::of(&face.engine, proposal, None)).await
}

/// The same, with what is told of it now.
async fn document_told(face: &Face, status: StatusCode, proposal: &Proposal, told: Told) -> Answered {
    let checked = face.engine.checked(proposal).await.map_err(engine::Problem::from)?;
    let tag = told.tag.value();
    let mut response = json(status, &told.document(proposal, checked.as_ref()));
    response.headers_mut().insert(ETAG, tag);
    if status == StatusCode::CREATED {
        locate(response.headers_mut(), proposal.id);
    }
    Ok(response)
}

fn locate(headers: &mut HeaderMap, id: domain::ProposalId) {
    // An address is letters, digits, `/` and `_`: always a valid header value.
    if let Ok(value) = HeaderValue::from_str(&address(id)) {
        headers.insert(LOCATION, value);
    }
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    text(status, "application/json", json_text(value))
}

/// Documents are structs with string keys, which always serialise.
fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a document could not be written");
        "{}".to_owned()
    })
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Refuses early what the caller could not read anyway.
fn acceptable(headers: &HeaderMap, kind: &'static str) -> Result<(), Refusal> {
    Ok(crate::extract::acceptable(headers, kind)?)
}
