//! What every handler shares: the engine, the limits, and the few things that are kept in memory.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use domain::AgentName;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::document::HealthDocument;
use crate::idempotency::InFlight;
use crate::limits::ApiLimits;
use crate::problem::Refusal;
use crate::refused::RefusedLog;
use engine::{Engine, Problem};

/// The state of the router.
#[derive(Clone)]
pub struct Face {
    /// The use cases.
    pub engine: Engine,
    /// The named limits.
    pub limits: Arc<ApiLimits>,
    /// Idempotency keys that are being worked on.
    pub in_flight: InFlight,
    /// Room for bodies, in kibibytes.
    room: Arc<Semaphore>,
    refused: Arc<RefusedLog>,
    health: Arc<Mutex<Option<(Instant, HealthDocument)>>>,
}

impl Face {
    /// A face of an engine.
    pub fn new(engine: Engine, limits: ApiLimits) -> Self {
        // Room for at least one body of the largest size, or that one would wait for ever.
        let room = kibibytes(limits.bodies_bytes.max(limits.body_bytes));
        Self {
            engine,
            room: Arc::new(Semaphore::new(room as usize)),
            limits: Arc::new(limits),
            in_flight: InFlight::default(),
            refused: Arc::default(),
            health: Arc::default(),
        }
    }

    /// Waits until there is room for a body of so many bytes; the room is given back when the returned value is dropped.
    pub async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room).acquire_many_owned(kibibytes(bytes));
        tokio::time::timeout(self.limits.body_timeout, room).await.ok()?.ok()
    }

    /// Writes an audit row for something that this face refused, as far as the caller's allowance goes.
    pub async fn audit(&self, agent: Option<&AgentName>, what: &str, detail: &str) {
        if let Some(detail) = self.refused.row(agent, detail, Instant::now()) {
            self.engine.audit_refused(agent, what, &detail).await;
        }
    }

    /// The state of health, looked up at most once per reuse time however many ask.
    pub async fn health(&self) -> HealthDocument {
        let mut last = self.health.lock().await;
        if let Some((at, document)) = &*last
            && at.elapsed() < self.limits.health_reuse
        {
            return document.clone();
        }
        let document = HealthDocument::new(&self.engine.health().await, self.engine.now());
        *last = Some((Instant::now(), document.clone()));
        document
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Runs a writing use case to its end even when the caller hangs up half-way: a dropped connection must not cut a change in two.
///
/// # Errors
/// What the use case refused; 500 when it panicked.
pub async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T, Problem>> + Send + 'static) -> Result<T, Refusal> {
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(Refusal),
        Err(error) => {
            tracing::error!(%error, "a use case did not end");
            Err(Refusal(Problem::internal("finish this call")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_use_case_is_a_problem() {
        let Refusal(problem) = detached::<()>(async { panic!("a bug") }).await.unwrap_err();
        assert_eq!((problem.status, problem.code), (500, "internal"));
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_does_not_stop_its_change() {
        let (go, gone) = tokio::sync::oneshot::channel();
        let (done, ended) = tokio::sync::oneshot::channel();
        let mut call = Box::pin(detached(async move {
            let _ = gone.await;
            let _ = done.send("ended");
            Ok(())
        }));
        assert!(futures_util::poll!(call.as_mut()).is_pending());
        drop(call);
        go.send(()).unwrap();
        assert_eq!(ended.await, Ok("ended"));
    }
}
