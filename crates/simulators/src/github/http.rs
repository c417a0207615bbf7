//! The REST face: routes, authentication, rate limits, conditional requests, and GitHub's own error shapes.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Endpoint, Host, Limit, User, calls, pulls::Shelf};
use crate::git::{Fault, serving::with_fault};

/// Largest request body in bytes; far above the longest body of a pull request.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Where every error points to.
const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// An answer before it is put on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: Value) -> Reply {
        Reply {
            status,
            body,
            headers: Vec::new(),
        }
    }

    pub(crate) fn error(status: u16, message: &str) -> Reply {
        let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
        Reply::new(status, body)
    }

    /// 422 with its list of reasons.
    pub(crate) fn invalid(errors: Value) -> Reply {
        let mut reply = Reply::error(422, "Validation Failed");
        reply.body["errors"] = errors;
        reply
    }

    /// 403 of a token that lacks a right; the header names the right.
    pub(crate) fn lacks(permission: &str) -> Reply {
        let mut reply = Reply::error(403, "Resource not accessible by personal access token");
        reply.headers.push(("x-accepted-github-permissions", permission.to_owned()));
        reply
    }
}

/// A request that has passed authentication.
pub(crate) struct Call<'a> {
    pub user: &'a User,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

/// Serves one request.
pub(crate) async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let prefix = host.options.root_path.trim_end_matches('/');
    let path = parts.uri.path().strip_prefix(prefix).unwrap_or(parts.uri.path()).to_owned();
    let route = Route::of(&parts.method, &path);
    let fault = host.ledger.arrive(route.endpoint);
    let refuse = |status| match status {
        403 => sent(&host, &parts.headers, false, Reply::lacks("pull_requests=write")),
        _ => {
            let words = StatusCode::from_u16(status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("Error");
            sent(&host, &parts.headers, false, Reply::error(status, words))
        }
    };
    let writing = parts.method != Method::GET;
    let fault = fault.filter(|fault| *fault != Fault::ReadOnly || writing);
    with_fault(fault, refuse, async {
        let query = parts.uri.query().unwrap_or_default();
        match to_bytes(body, BODY_LIMIT).await {
            Ok(body) => {
                let reply = host
                    .limit(route.endpoint)
                    .unwrap_or_else(|| serve(&host, &parts.method, &path, &route, query, &parts.headers, body));
                sent(&host, &parts.headers, parts.method == Method::GET, reply)
            }
            Err(_) => sent(&host, &parts.headers, false, Reply::error(413, "Payload Too Large")),
        }
    })
    .await
}

fn serve(host: &Host, method: &Method, path: &str, route: &Route<'_>, query: &str, headers: &HeaderMap, body: Bytes) -> Reply {
    if !headers.contains_key(header::USER_AGENT) {
        return Reply::error(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    let user = match authenticated(host, headers) {
        Ok(user) => user,
        Err(reply) => return reply,
    };
    let body = match body.is_empty() {
        true => Value::Null,
        false => match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => return Reply::error(400, "Problems parsing JSON"),
        },
    };
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let described = !matches!(
        route.endpoint,
        Endpoint::Other | Endpoint::User | Endpoint::Branch | Endpoint::ListComments
    );
    if let (Some(api), true) = (&host.api, described) {
        api.check_request(method.as_str(), path, &pairs, (!body.is_null()).then_some(&body));
    }
    let call = Call {
        user,
        query: pairs.into_iter().collect(),
        body,
    };
    let reply = dispatch(host, route, &call);
    if let (Some(api), true) = (&host.api, described && reply.status != 204) {
        api.check_answer(method.as_str(), path, reply.status, &reply.body);
    }
    reply
}

fn dispatch(host: &Host, route: &Route<'_>, call: &Call<'_>) -> Reply {
    match route.endpoint {
        Endpoint::User => return Reply::new(200, super::documents::user(&host.bases(), &call.user.login)),
        Endpoint::RateLimit => return calls::rate_limit(host),
        _ => {}
    }
    let mut shelves = host.shelves();
    let Some(shelf) = shelves.iter_mut().find(|shelf| named(shelf, route)) else {
        return Reply::error(404, "Not Found");
    };
    shelf.follow_git();
    match (route.endpoint, route.number) {
        (Endpoint::Repository, _) => Reply::new(200, super::documents::repository(&host.bases(), &shelf.repo, true)),
        (Endpoint::Branch, _) => calls::branch(host, shelf, &route.tail),
        (Endpoint::ListPulls, _) => calls::list(host, shelf, call),
        (Endpoint::CreatePull, _) => calls::create(host, shelf, call),
        (Endpoint::GetPull, Some(number)) => calls::get(host, shelf, number),
        (Endpoint::UpdatePull, Some(number)) => calls::update(host, shelf, number, call),
        (Endpoint::Merge, Some(number)) => calls::merge(host, shelf, number, call),
        (Endpoint::IsMerged, Some(number)) => calls::is_merged(shelf, number),
        (Endpoint::CreateComment, Some(number)) => calls::create_comment(host, shelf, number, call),
        (Endpoint::ListComments, Some(number)) => calls::list_comments(host, shelf, number),
        _ => Reply::error(404, "Not Found"),
    }
}

/// Owner and name know no capitals.
fn named(shelf: &Shelf, route: &Route<'_>) -> bool {
    shelf.repo.owner.eq_ignore_ascii_case(route.owner) && shelf.repo.name.eq_ignore_ascii_case(route.repo)
}

fn authenticated<'a>(host: &'a Host, headers: &HeaderMap) -> Result<&'a User, Reply> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = given.and_then(|given| given.split_once(' ')) else {
        return Err(Reply::error(401, "Requires authentication"));
    };
    let known = ["bearer", "token"].contains(&scheme.to_lowercase().as_str());
    let user = host
        .options
        .users
        .iter()
        .find(|user| bool::from(user.token.as_bytes().ct_eq(token.as_bytes())));
    user.filter(|_| known).ok_or_else(|| Reply::error(401, "Bad credentials"))
}

/// Adds what every answer carries, and turns an unchanged document into 304, which costs nothing of the limit.
fn sent(host: &Host, asked: &HeaderMap, conditional: bool, reply: Reply) -> Response {
    let text = reply.body.to_string();
    let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(&text)));
    let unchanged = conditional
        && reply.status == 200
        && asked
            .get(header::IF_NONE_MATCH)
            .is_some_and(|known| known.to_str().is_ok_and(|known| weak(known) == weak(&tag)));
    let status = match (unchanged, reply.status) {
        (true, _) => StatusCode::NOT_MODIFIED,
        (false, status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let empty = unchanged || status == StatusCode::NO_CONTENT;
    let mut response = Response::new(if empty { Body::empty() } else { Body::from(text) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if conditional && reply.status == 200 {
        put(headers, "etag", &tag);
    }
    for (name, value) in host.limit_headers(!unchanged) {
        put(headers, name, &value);
    }
    for (name, value) in reply.headers {
        put(headers, name, &value);
    }
    response
}

fn weak(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

impl Limit {
    /// The refusal as GitHub words it.
    pub(crate) fn reply(self, reset: u64) -> Reply {
        match self {
            Limit::Primary { .. } => {
                let mut reply = Reply::error(403, "API rate limit exceeded for user ID 1.");
                reply.headers.push(("x-ratelimit-remaining", "0".to_owned()));
                reply.headers.push(("x-ratelimit-reset", reset.to_string()));
                reply
            }
            Limit::Secondary { retry_after } => {
                let words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
                let mut reply = Reply::error(403, words);
                reply.headers.push(("retry-after", retry_after.as_secs().to_string()));
                reply
            }
            Limit::TooMany { retry_after } => {
                let mut reply = Reply::error(429, "Too Many Requests");
                reply.headers.push(("retry-after", retry_after.as_secs().to_string()));
                reply
            }
        }
    }
}

/// What a request asks for.
struct Route<'a> {
    endpoint: Endpoint,
    owner: &'a str,
    repo: &'a str,
    number: Option<u64>,
    /// A branch's name; it may hold slashes.
    tail: String,
}

impl<'a> Route<'a> {
    fn of(method: &Method, path: &'a str) -> Route<'a> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let plain = |endpoint| Route {
            endpoint,
            owner: "",
            repo: "",
            number: None,
            tail: String::new(),
        };
        let (owner, repo, rest) = match segments.as_slice() {
            ["user"] if method == Method::GET => return plain(Endpoint::User),
            ["rate_limit"] if method == Method::GET => return plain(Endpoint::RateLimit),
            ["repos", owner, repo, rest @ ..] => (*owner, *repo, rest),
            _ => return plain(Endpoint::Other),
        };
        let endpoint = match (method.as_str(), rest) {
            ("GET", []) => Endpoint::Repository,
            ("GET", ["branches", _, ..]) => Endpoint::Branch,
            ("GET", ["pulls"]) => Endpoint::ListPulls,
            ("POST", ["pulls"]) => Endpoint::CreatePull,
            ("GET", ["pulls", _]) => Endpoint::GetPull,
            ("PATCH", ["pulls", _]) => Endpoint::UpdatePull,
            ("PUT", ["pulls", _, "merge"]) => Endpoint::Merge,
            ("GET", ["pulls", _, "merge"]) => Endpoint::IsMerged,
            ("POST", ["issues", _, "comments"]) => Endpoint::CreateComment,
            ("GET", ["issues", _, "comments"]) => Endpoint::ListComments,
            _ => Endpoint::Other,
        };
        let number = rest.get(1).and_then(|number| number.parse().ok());
        let tail = rest.get(1..).unwrap_or_default().join("/").replace("%2F", "/").replace("%2f", "/");
        Route {
            endpoint,
            owner,
            repo,
            number,
            tail,
        }
    }
}
