//! When each agent last called: noted in memory at every call, written once in a while, all in one transaction. No call waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::{AgentName, Timestamp};
use store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// Between two writes. What a crash loses is at most this much of "last used".
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Calls since the last write: per agent the latest.
#[derive(Default)]
pub(crate) struct Used(Mutex<BTreeMap<AgentName, Timestamp>>);

impl Used {
    /// An agent called.
    pub(crate) fn note(&self, agent: &AgentName, at: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.get_mut(agent) {
            Some(last) => *last = at,
            None => drop(noted.insert(agent.clone(), at)),
        }
    }

    fn take(&self) -> BTreeMap<AgentName, Timestamp> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine {
    /// Writes what was noted, every minute and at the end.
    pub(super) async fn write_used(self, cancel: CancellationToken) {
        loop {
            let last = tokio::select! {
                () = cancel.cancelled() => true,
                () = tokio::time::sleep(WRITE_EVERY) => false,
            };
            let noted = self.0.used.take();
            if !noted.is_empty()
                && let Err(error) = self.store_used(noted).await
            {
                tracing::warn!(%error, "when agents last called could not be written");
            }
            if last {
                return;
            }
        }
    }

    async fn store_used(&self, noted: BTreeMap<AgentName, Timestamp>) -> Result<(), StoreError> {
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for (agent, at) in noted {
                        tx.touch(&agent, at).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
