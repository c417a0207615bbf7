//! Webhook delivery: one POST per update, order kept within a queue, 2xx alone confirms, everything else is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Shared;
use super::updates::{Queued, Webhook};

/// How long the receiver may take (the real server: 60 s).
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs until the simulator stops.
pub(super) async fn deliver(shared: Arc<Shared>, stop: CancellationToken) {
    let client = reqwest::Client::builder()
        .timeout(READ_TIMEOUT)
        .no_proxy()
        .build()
        .unwrap_or_default();
    let mut revision = shared.revision.subscribe();
    loop {
        revision.mark_unchanged();
        let (webhook, due, wait) = shared.quietly(|state| {
            let now = state.now_ms();
            if state.webhook.url.is_empty() {
                return (state.webhook.clone(), Vec::new(), None);
            }
            let room = state.webhook.max_connections.saturating_sub(state.updates.in_flight());
            let due = state.updates.due(now, room);
            let wait = state.updates.next_due().map(|at| at - now).filter(|wait| *wait > 0);
            (state.webhook.clone(), due, wait)
        });
        for queued in due {
            tokio::spawn(post(shared.clone(), client.clone(), webhook.clone(), queued));
        }
        let pause = async {
            match wait {
                Some(wait) => tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = revision.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

async fn post(shared: Arc<Shared>, client: reqwest::Client, webhook: Webhook, queued: Queued) {
    let mut request = client.post(&webhook.url).json(&queued.body);
    if let Some(secret) = &webhook.secret {
        request = request.header("X-Telegram-Bot-Api-Secret-Token", secret);
    }
    let outcome = match request.send().await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => {
            let retry_after = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .unwrap_or(0);
            Err((format!("Wrong response from the webhook: {}", response.status()), retry_after))
        }
        Err(error) if error.is_timeout() => Err(("Read timeout expired".to_owned(), 0)),
        Err(_) => Err(("Webhook connection closed".to_owned(), 0)),
    };
    shared.write(|state| {
        let now = state.now_ms();
        match outcome {
            Ok(()) => state.updates.delivered(queued.id),
            Err((words, retry_after)) => {
                state.updates.failed(queued.id, now, retry_after);
                if state.webhook.generation == webhook.generation {
                    state.webhook.last_error = Some((now / 1000, words));
                }
            }
        }
    });
}
