//! What handlers take from a request: the caller, a bounded JSON body, the query. Every refusal is a problem.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use domain::{ProposalId, Sha256Hash};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::face::Face;
use crate::problem::Refusal;
use crate::{conditional, idempotency, json};
use engine::{Agent, Meant, Problem};

/// The authenticated agent.
pub struct Caller(pub Agent);

impl FromRequestParts<Face> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Face) -> Result<Self, Refusal> {
        let agent = parts.extensions.get::<Agent>().cloned();
        // A route outside the authenticating layer would be a mistake of ours: it must fail closed.
        agent
            .map(Caller)
            .ok_or_else(|| Refusal(Problem::internal("find out who is calling")))
    }
}

/// The proposal that the address names. An id that cannot be one is as absent as one that is not ours.
pub struct Named(pub ProposalId);

impl FromRequestParts<Face> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Refusal> {
        let text = Path::<String>::from_request_parts(parts, face).await.map(|Path(text)| text);
        let id = text.ok().and_then(|text| text.parse().ok());
        id.map(Named).ok_or_else(|| Refusal(Problem::not_found("proposal")))
    }
}

/// The versions that `If-Match` names: what is meant is known before the body is judged.
pub struct Matched(pub Meant);

impl FromRequestParts<Face> for Matched {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Face) -> Result<Self, Refusal> {
        conditional::if_match(&parts.headers).map(Matched).map_err(Refusal)
    }
}

/// The query, with unknown parameters refused by its type.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Face> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Refusal> {
        Query::<T>::from_request_parts(parts, face)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|rejection| {
                let (detail, hint) = unusable_query(&rejection.body_text());
                Refusal(Problem::new(400, "invalid_query", detail, hint))
            })
    }
}

/// What the query's reader says, with the parameter's name and in words that say what would be right.
fn unusable_query(text: &str) -> (String, &'static str) {
    const LISTED: &str = "/openapi.json lists the parameters of each call";
    let why = text.split_once("query string: ").map_or(text, |(_, why)| why);
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let (name, why) = why.split_once(": ").filter(|(name, _)| is_name(name)).unwrap_or(("", why));
    if let Some(rest) = why.strip_prefix("unknown field ") {
        return (format!("the query has no parameter {rest}"), LISTED);
    }
    if let Some(name) = why.strip_prefix("duplicate field ") {
        return (format!("{name} stands in the query twice"), "give each parameter once");
    }
    if name.is_empty() {
        return (format!("the query cannot be used: {why}"), LISTED);
    }
    if why.starts_with("invalid digit") || why.starts_with("number too") || why.starts_with("cannot parse integer") {
        let detail = format!("`{name}` in the query is no number that can be used: whole, not negative, and not too large");
        return (detail, "write it in plain digits, or leave it out");
    }
    if why.contains("`true` or `false`") {
        return (
            format!("`{name}` in the query is neither true nor false"),
            "write true or false, or leave it out",
        );
    }
    let why = why.replace("unknown variant", "unknown word");
    (
        format!("`{name}` in the query cannot be used: {why}"),
        "correct it, or leave it out",
    )
}

/// A JSON body with the name of the request it came in.
pub struct Sent<T> {
    /// Method, path and body as one hash.
    pub fingerprint: Sha256Hash,
    /// The body.
    pub body: T,
    /// The body's share of the memory for bodies, held while the request is worked on.
    _room: OwnedSemaphorePermit,
}

impl<T: DeserializeOwned> FromRequest<Face> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, face: &Face) -> Result<Self, Refusal> {
        sent(request, face, Absent::Refused).await.map_err(Refusal)
    }
}

/// Like [`Sent`], but an empty body is an empty object.
pub struct MaybeSent<T>(pub Sent<T>);

impl<T: DeserializeOwned> FromRequest<Face> for MaybeSent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, face: &Face) -> Result<Self, Refusal> {
        sent(request, face, Absent::EmptyObject).await.map(Self).map_err(Refusal)
    }
}

/// What an empty body means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Refused,
    EmptyObject,
}

async fn sent<T: DeserializeOwned>(request: Request, face: &Face, absent: Absent) -> Result<Sent<T>, Problem> {
    let (parts, body) = request.into_parts();
    let limits = &face.limits;
    if absent == Absent::Refused {
        json_by_type(&parts.headers)?;
    }
    let size = acceptable_size(&parts.headers, limits.body_bytes)?;
    let Some(room) = face.room_for(size).await else {
        let detail = "the service is working on too many bodies";
        return Err(Problem::new(503, "busy", detail, "send the same request again in a moment").retry(5));
    };
    let bytes = bounded(&parts.headers, body, limits.body_bytes, limits.body_timeout).await?;
    let bytes: &[u8] = match (absent, bytes.is_empty()) {
        (Absent::EmptyObject, true) => b"{}",
        (Absent::EmptyObject, false) => {
            json_by_type(&parts.headers)?;
            &bytes
        }
        (Absent::Refused, _) => &bytes,
    };
    let value: Value = json::parse(bytes, limits.json_values)?;
    let fingerprint = idempotency::fingerprint(&parts.method, parts.uri.path(), &value);
    Ok(Sent {
        fingerprint,
        body: json::typed(value)?,
        _room: room,
    })
}

/// Reads a body of at most `limit` bytes within `deadline`. A length that is announced too large is refused before a byte is read.
///
/// # Errors
/// 413, 408, 415 for a compressed body, 400 for one that breaks off.
pub async fn bounded(headers: &HeaderMap, body: Body, limit: usize, deadline: Duration) -> Result<Bytes, Problem> {
    acceptable_size(headers, limit)?;
    match tokio::time::timeout(deadline, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(limit)),
        Ok(Err(_)) => Err(Problem::new(400, "body_broken", "the body broke off", "send the whole body").retry(1)),
        Err(_) => {
            let detail = format!("the body did not arrive within {} seconds", deadline.as_secs());
            Err(Problem::new(408, "body_timeout", detail, "send the body at once").retry(1))
        }
    }
}

/// How large the body will be by its headers, the limit when they do not say; 413 or 415 when it is not worth reading.
fn acceptable_size(headers: &HeaderMap, limit: usize) -> Result<usize, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let detail = "compressed bodies are not read";
        return Err(Problem::new(
            415,
            "unsupported_encoding",
            detail,
            "send the body without Content-Encoding",
        ));
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced.map(usize::try_from) {
        None => Ok(limit),
        Some(Ok(bytes)) if bytes <= limit => Ok(bytes),
        Some(_) => Err(too_large(limit)),
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes");
    Problem::new(413, "body_too_large", detail, "split the change into smaller proposals")
}

/// 415 unless the body says that it is JSON in UTF-8.
fn json_by_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"),
        _ => true,
    });
    if json && utf8 {
        return Ok(());
    }
    let detail = "the body is not announced as JSON in UTF-8";
    Err(Problem::new(
        415,
        "unsupported_media_type",
        detail,
        "send `Content-Type: application/json`",
    ))
}

/// 406 when `Accept` rules out what the answer would be.
///
/// # Errors
/// 406, naming the type.
pub fn acceptable(headers: &HeaderMap, kind: &'static str) -> Result<(), Problem> {
    let family = kind.split('/').next().unwrap_or_default();
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| {
            !range
                .split(';')
                .skip(1)
                .any(|parameter| matches!(parameter.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .peekable();
    let fits = |range: String| range == "*/*" || range == kind || range.strip_suffix("/*") == Some(family);
    if !headers.contains_key(ACCEPT) || ranges.any(fits) {
        return Ok(());
    }
    let detail = format!("the answer would be {kind}, which the Accept header rules out");
    Err(Problem::new(406, "not_acceptable", detail, "leave out Accept, or name that type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: Option<&str>) -> HeaderMap {
        value
            .into_iter()
            .map(|value| (axum::http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_json_in_utf_8_is_read() {
        for (value, good) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=\"UTF-8\""), true),
            (Some("application/json; charset=utf-16"), false),
            (Some("application/jsonp"), false),
            (Some("text/plain"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(
                json_by_type(&headers("content-type", value)).map_err(|p| p.status),
                if good { Ok(()) } else { Err(415) },
                "{value:?}"
            );
        }
    }

    #[test]
    fn accept_is_heeded() {
        for (value, good) in [
            (None, true),
            (Some("*/*"), true),
            (Some("text/html, application/*;q=0.2"), true),
            (Some("application/json"), true),
            (Some("text/html"), false),
            (Some("application/json;q=0"), false),
            (Some("application/xml"), false),
            (Some(""), false),
        ] {
            assert_eq!(acceptable(&headers("accept", value), "application/json").is_ok(), good, "{value:?}");
        }
    }

    #[tokio::test]
    async fn bodies_are_bounded_in_size_and_time() {
        let second = Duration::from_secs(30);
        let none = HeaderMap::new();
        assert_eq!(bounded(&none, Body::from("12345"), 5, second).await.unwrap().len(), 5);
        assert_eq!(bounded(&none, Body::from("123456"), 5, second).await.unwrap_err().status, 413);
        assert_eq!(
            bounded(&headers("content-length", Some("99999999999999999999")), Body::from("1"), 5, second)
                .await
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            bounded(&headers("content-length", Some("6")), Body::from("1"), 5, second)
                .await
                .unwrap_err()
                .code,
            "body_too_large"
        );
        assert_eq!(
            bounded(&headers("content-encoding", Some("gzip")), Body::from("1"), 5, second)
                .await
                .unwrap_err()
                .code,
            "unsupported_encoding"
        );
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(bounded(&none, never, 5, Duration::from_millis(1)).await.unwrap_err().status, 408);
        let broken = Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(bounded(&none, broken, 5, second).await.unwrap_err().status, 400);
    }
}
