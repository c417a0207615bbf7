//! The service's own files: policy, runbooks and what the guard rails read. They are read again as they change. A broken one changes nothing, and
//! people hear of it once: what they wrote is not in force, and the next start would refuse it.

use std::sync::{Mutex, PoisonError};

use domain::{Effect, Sha256Hash};
use serde_json::json;
use store::{Actor, Audit, StoreError};

use crate::policies::some_of;
use crate::{Engine, FileProblem};

/// Under which key it is stored what people were told.
const TOLD: &str = "own_files_told";

/// What is known of the files.
#[derive(Default)]
pub(crate) struct OwnFiles {
    /// Which trouble people know of; `None`: not read from the database yet. One look at a time.
    told: tokio::sync::Mutex<Option<String>>,
    trouble: Mutex<Vec<FileProblem>>,
}

impl Engine {
    /// Reads policy, runbooks and the guard rails' files again. People are told once when they can no longer be used, and once when they can
    /// again. Answers whether something else is in force now.
    ///
    /// # Errors
    /// Every problem found; what was in force stays in force.
    pub async fn follow_files(&self) -> Result<bool, Vec<FileProblem>> {
        let mut told = self.0.own_files.told.lock().await;
        let engine = self.clone();
        let read = match tokio::task::spawn_blocking(move || engine.reload_book()).await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the service's own files could not be read");
                return Ok(false);
            }
        };
        let trouble = read.as_ref().err().cloned().unwrap_or_default();
        if let Err(error) = self.tell_files(&mut told, &trouble).await {
            tracing::error!(%error, "what is wrong with the service's own files could not be stored; it is told later");
        }
        *self.0.own_files.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        read
    }

    /// Whether one of the files on disk is not valid, as of the last look.
    pub(crate) fn has_broken_files(&self) -> bool {
        !self.0.own_files.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn tell_files(&self, told: &mut Option<String>, trouble: &[FileProblem]) -> Result<(), StoreError> {
        let known = match told.take() {
            Some(known) => known,
            None => self.store().read().meta(TOLD).await?.unwrap_or_default(),
        };
        let all = trouble.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let next = match trouble.is_empty() {
            true => String::new(),
            false => Sha256Hash::of(all.as_bytes()).to_string(),
        };
        if next == known {
            *told = Some(known);
            return Ok(());
        }
        let now = self.now();
        let (event, text, effect) = if trouble.is_empty() {
            let text = "the service's own files (policy, runbooks, guard rails) are valid again and in force".to_owned();
            tracing::info!("{text}");
            ("files_valid", text.clone(), Effect::Tell { text })
        } else {
            tracing::error!(
                "the policy, a runbook or a file of the guard rails on disk is not valid; the last valid ones stay in force: {all}"
            );
            let text = format!(
                "a file of the service's own is not valid: {}. What was in force stays in force; the service would not start again before it is \
                 mended",
                some_of(trouble)
            );
            ("files_invalid", text.clone(), Effect::Alarm { text })
        };
        let put = next.clone();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_meta(TOLD, &put).await?;
                    tx.audit(Audit {
                        proposal: None,
                        actor: Actor::Service,
                        event: event.to_owned(),
                        summary: text,
                        details: json!({}),
                        at: now,
                    })
                    .await?;
                    tx.schedule(None, &effect, now).await
                })
            })
            .await?;
        *told = Some(next);
        self.0.wake.notify_waiters();
        Ok(())
    }
}
