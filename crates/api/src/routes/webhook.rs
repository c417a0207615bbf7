//! Telegram's updates in webhook mode. The answer is 200 only after the update was taken in durably: until then Telegram sends it again.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use engine::Problem;

use super::Answered;
use crate::extract::bounded;
use crate::face::Face;
use crate::problem::Refusal;

const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Takes one update. 404 unless webhook mode is configured; 403 without the secret, before the body is read.
pub async fn update(State(face): State<Face>, request: Request) -> Answered {
    if !face.engine.telegram_webhook_enabled() {
        let detail = "webhook mode is not configured";
        return Err(Refusal(Problem::new(404, "not_found", detail, "configure it, or use long polling")));
    }
    if !face.engine.telegram_webhook_accepts(secret(request.headers())) {
        face.audit(None, "webhook", "wrong or missing webhook secret").await;
        let detail = "the webhook secret is wrong or missing";
        return Err(Refusal(Problem::new(403, "forbidden", detail, "only Telegram calls this address")));
    }
    let (parts, body) = request.into_parts();
    let body = bounded(&parts.headers, body, face.limits.webhook_bytes, face.limits.body_timeout).await?;
    face.engine.telegram_update(&body).await?;
    Ok(StatusCode::OK.into_response())
}

/// The one secret of the request; two are none.
fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(SECRET_HEADER).iter();
    match (given.next(), given.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}
