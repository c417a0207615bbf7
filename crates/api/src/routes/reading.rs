//! Reading: one proposal (at once, or when something happened), many, and the diff.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, ETAG, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use domain::{Decision, Delivery, Outcome, Proposal, ProposalId, RepositoryName};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Answered, Told, acceptable, document_told, json, text};
use crate::conditional::{Known, Wait, if_none_match, wait};
use crate::document::{ProposalDocument, ProposalsDocument, words};
use crate::extract::{Asked, Caller, Named};
use crate::face::Face;
use crate::problem::{ProblemDocument, Refusal};
use crate::server::Draining;
use engine::{Agent, Listing, Problem, Until};

/// Proposals on a page at most.
const PAGE_MAX: u32 = 100;

/// How to read a proposal.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Reading {
    /// Seconds to wait for something to happen, at most 60. `Prefer: wait=N` does the same.
    wait: Option<u64>,
    /// What to wait for; `change` when absent.
    #[param(inline)]
    until: Option<UntilWord>,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UntilWord {
    /// Any visible change since the version in `If-None-Match`.
    Change,
    /// The decision.
    Decision,
    /// The outcome.
    Outcome,
}

/// Read a proposal
///
/// With `wait`, answers as soon as it has happened; at the end of the wait 304 if `If-None-Match` still names the current version, else
/// the document as it is.
#[utoipa::path(get, path = "/v1/proposals/{id}", tag = "proposals",
    params(("id" = String, Path, description = "The proposal"), Reading,
        ("Prefer" = Option<String>, Header, description = "`wait=N`"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the version that the caller has")),
    responses(
        (status = 200, description = "The proposal", body = ProposalDocument,
            headers(("ETag" = String, description = "The version"), ("Preference-Applied" = String, description = "`wait=N`, after a wait"))),
        (status = 304, description = "The caller has the current version"),
        (status = "4XX", description = "Refused", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn read(
    State(face): State<Face>,
    Caller(agent): Caller,
    Named(id): Named,
    Asked(query): Asked<Reading>,
    draining: Option<Extension<Draining>>,
    headers: HeaderMap,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let known = if_none_match(&headers)?;
    let wait = wait(query.wait, &headers, face.limits.wait_seconds);
    let until = query.until.map_or(Until::Change, Until::from);
    let unseen = match (&known, until) {
        (Some(known), Until::Change) if wait.is_some() => tells_news(&face, &agent, id, known).await?,
        _ => None,
    };
    let proposal = match (unseen, wait) {
        (Some(unseen), _) => Ok(unseen),
        (None, Some(wait)) => waited(&face, &agent, id, known.as_ref().and_then(Known::newest), until, wait, draining).await,
        (None, None) => face.engine.proposal(&agent, id).await,
    };
    current(&face, &proposal?, known.as_ref(), wait).await
}

/// The proposal, if it tells something else by now of the version that the caller has: what a change waits for makes no new version.
async fn tells_news(face: &Face, agent: &Agent, id: ProposalId, known: &Known) -> Result<Option<Proposal>, Problem> {
    let proposal = face.engine.proposal(agent, id).await?;
    let told = Told::of(&face.engine, &proposal, Some(face.engine.overlaps(id).await?));
    let news = known.newest() == Some(proposal.version) && !known.has(&told.tag);
    Ok(news.then_some(proposal))
}

/// Waits, unless the service is being stopped: then the caller gets what there is.
async fn waited(
    face: &Face,
    agent: &Agent,
    id: ProposalId,
    since: Option<u64>,
    until: Until,
    wait: Wait,
    draining: Option<Extension<Draining>>,
) -> Result<Proposal, Problem> {
    let stopped = async {
        match draining {
            Some(Extension(draining)) => draining.begun().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        proposal = face.engine.wait(agent, id, since, until, Duration::from_secs(wait.seconds)) => proposal,
        () = stopped => face.engine.proposal(agent, id).await,
    }
}

/// 304 when the caller has exactly this, else the document.
async fn current(face: &Face, proposal: &Proposal, known: Option<&Known>, wait: Option<Wait>) -> Answered {
    let told = Told::of(&face.engine, proposal, Some(face.engine.overlaps(proposal.id).await?));
    let mut response = if known.is_some_and(|known| known.has(&told.tag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(ETAG, told.tag.value());
        response
    } else {
        document_told(face, StatusCode::OK, proposal, told).await?
    };
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(wait) = wait {
        response.headers_mut().insert("preference-applied", wait.applied());
    }
    Ok(response)
}

impl From<UntilWord> for Until {
    fn from(word: UntilWord) -> Self {
        match word {
            UntilWord::Change => Self::Change,
            UntilWord::Decision => Self::Decision,
            UntilWord::Outcome => Self::Outcome,
        }
    }
}

/// Which proposals to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Only of this repository.
    #[param(value_type = Option<String>)]
    repository: Option<RepositoryName>,
    /// Only with this decision.
    #[param(schema_with = words::decision)]
    decision: Option<Decision>,
    /// Only at this delivery.
    #[param(schema_with = words::delivery)]
    delivery: Option<Delivery>,
    /// Only with this outcome.
    #[param(schema_with = words::outcome)]
    outcome: Option<Outcome>,
    /// `true`: only without an outcome.
    #[serde(default)]
    open: bool,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Page size, 1 to 100; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List the caller's proposals, newest first
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", params(Page),
    responses(
        (status = 200, description = "A page", body = ProposalsDocument, headers(("Link" = String, description = "`rel=\"next\"`, unless it is the last page"))),
        (status = "4XX", description = "Refused", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn list(
    State(face): State<Face>,
    Caller(agent): Caller,
    Asked(page): Asked<Page>,
    uri: axum::http::Uri,
    headers: HeaderMap,
) -> Answered {
    acceptable(&headers, "application/json")?;
    let limit = page.limit.unwrap_or(face.limits.page);
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("limit={limit} is not between 1 and {PAGE_MAX}");
        return Err(Refusal(Problem::new(
            400,
            "invalid_query",
            detail,
            "leave it out, or choose a number in between",
        )));
    }
    let listing = Listing {
        repository: page.repository,
        decision: page.decision,
        delivery: page.delivery,
        outcome: page.outcome,
        open: page.open,
        cursor: page.cursor,
        limit,
    };
    let (proposals, next_cursor) = face.engine.list(&agent, listing).await?;
    let link = next_cursor
        .as_deref()
        .and_then(|cursor| next_link(uri.query().unwrap_or_default(), cursor));
    let listed = |proposal: &Proposal| {
        let mut document = ProposalDocument::from(proposal);
        document.note = face.engine.told_note(proposal).or(document.note);
        document
    };
    let proposals = proposals.iter().map(listed).collect();
    let mut response = json(StatusCode::OK, &ProposalsDocument { proposals, next_cursor });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// The same query with another cursor (RFC 8288). A cursor is opaque but made of letters, digits, `-`, `_` and `.`; any other
/// is left to the body.
fn next_link(query: &str, cursor: &str) -> Option<HeaderValue> {
    if !cursor.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return None;
    }
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let next: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    HeaderValue::from_str(&format!("</v1/proposals?{}>; rel=\"next\"", next.join("&"))).ok()
}

/// Which revision's diff.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffOf {
    /// The revision's number; the current one when absent.
    revision: Option<u32>,
}

/// Read the unified diff of a proposal
#[utoipa::path(get, path = "/v1/proposals/{id}/diff", tag = "proposals",
    params(("id" = String, Path, description = "The proposal"), DiffOf),
    responses(
        (status = 200, description = "The diff", body = String, content_type = "text/x-diff"),
        (status = "4XX", description = "Refused; 410 when the contents were pruned", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn diff(
    State(face): State<Face>,
    Caller(agent): Caller,
    Named(id): Named,
    Asked(query): Asked<DiffOf>,
    headers: HeaderMap,
) -> Answered {
    acceptable(&headers, "text/x-diff").or_else(|_| acceptable(&headers, "text/plain"))?;
    let diff = face.engine.diff(&agent, id, query.revision).await?;
    Ok(text(StatusCode::OK, "text/x-diff; charset=utf-8", diff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        assert_eq!(
            next_link("open=true&cursor=old&limit=2", "new-1").unwrap(),
            "</v1/proposals?open=true&limit=2&cursor=new-1>; rel=\"next\""
        );
        assert_eq!(next_link("", "new").unwrap(), "</v1/proposals?cursor=new>; rel=\"next\"");
        assert_eq!(next_link("", "a>b"), None);
    }
}
