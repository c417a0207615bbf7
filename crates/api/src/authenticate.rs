//! The bearer token, checked before anything else of a request is looked at and before a byte of its body is read.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::face::Face;
use crate::problem::Refusal;
use engine::{Agent, Problem};

/// Longest token that is looked up; ours are far shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// Lets a request through with its [`Agent`] in the extensions, or answers 401. Writes the audit rows of what is refused: a wrong token,
/// and later on whatever is wrong with a writing call.
pub async fn authenticate(State(face): State<Face>, mut request: Request, next: Next) -> Response {
    let writes = !request.method().is_safe() && !request.uri().path().ends_with(":evaluate");
    let what = format!(
        "{} {}",
        request.method(),
        request.uri().path().chars().take(200).collect::<String>()
    );
    let agent = match agent(&face, request.headers()).await {
        Ok(agent) => agent,
        Err(problem) => {
            if problem.status == 401 {
                face.audit(None, "token", &format!("{what}: {}", problem.detail)).await;
            }
            return Refusal(problem).into_response();
        }
    };
    let name = agent.name.clone();
    request.extensions_mut().insert(agent);
    let mut response = next.run(request).await;
    if let (true, Some(Refusal(problem))) = (writes, response.extensions().get::<Refusal>())
        && deserves_a_row(problem)
    {
        let detail = format!("{what}: {}", face.engine.recorded(problem));
        face.audit(Some(&name), "request", &detail).await;
    }
    response.extensions_mut().insert(name);
    response
}

/// Every call that asked for something it must not have. Not a conflict with the present state, nor what the guard rails refuse (the use cases
/// write their own rows for both), nor a failure of ours.
fn deserves_a_row(problem: &Problem) -> bool {
    (400..500).contains(&problem.status) && !matches!(problem.status, 409 | 412) && problem.code != "guard_refused"
}

async fn agent(face: &Face, headers: &HeaderMap) -> Result<Agent, Problem> {
    face.engine.authenticate(token(headers)?).await
}

/// The token of the one `Authorization: Bearer` header.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let refused = |detail: &'static str| {
        Problem::new(
            401,
            "unauthenticated",
            detail,
            "send one header `Authorization: Bearer TOKEN` with the token that `countersign agent add` printed",
        )
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| refused("the request has no Authorization header"))?;
    if values.next().is_some() {
        return Err(refused("the request has more than one Authorization header"));
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| refused("the Authorization header is not `Bearer` and a token"))?;
    let token = token.trim_matches(' ');
    let plausible = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_graphic());
    if !scheme.eq_ignore_ascii_case("bearer") || !plausible {
        return Err(refused("the Authorization header is not `Bearer` and a token"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_plausible_bearer_token_is_looked_up() {
        let long = format!("Bearer {}", "t".repeat(513));
        for (values, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer   abc "], Some("abc")),
            (&["Bearer nothing"], Some("nothing")),
            (&[], None),
            (&[""], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic YTpi"], None),
            (&["abc"], None),
            (&["Bearer a b"], None),
            (&["Bearer abc", "Bearer abc"], None),
            (&["Bearer abc", "Basic YTpi"], None),
            (&[&long], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(token(&headers).ok(), expected, "{values:?}");
        }
    }
}
