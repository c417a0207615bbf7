//! The workers: one claims what is due, one owns each branch, one watches Argo CD, one reads Telegram. Start-up, recovery and normal
//! running are the same path: claim what is due.

mod branch;
mod deliver;
mod digest;
mod drift;
mod effects;
mod landing;
mod messages;
mod posts;
mod prepare;
mod quota;
mod reverted;
mod standing;
mod sync;
mod usable;
mod used;

use std::time::Duration;

use store::Changed;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Engine;

pub(crate) use effects::{Held, Owners, Ran};
pub(crate) use messages::addressed;
pub(crate) use reverted::Looks;
pub(crate) use sync::{Baselines, touched};
pub(crate) use used::Used;

/// How often the files of policy, runbooks and guard rails are looked at.
const BOOK_EVERY: Duration = Duration::from_secs(10);

/// The running workers. Stop them with [`Running::stop`].
pub struct Running {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Running {
    /// Lets what is under way finish, up to a deadline. What is cut off is claimed again at the next start.
    pub async fn stop(self, deadline: Duration) {
        self.cancel.cancel();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_err() {
            tracing::warn!("some work was cut off; it is claimed again at the next start");
        }
    }
}

impl Engine {
    /// Starts the workers. `poll` reads Telegram by long polling; otherwise its updates come through the webhook route.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn start(&self, poll: bool, cancel: CancellationToken) -> Result<Running, store::StoreError> {
        let tracker = TaskTracker::new();
        // This process holds the lock file, so whatever is leased was leased by one that is gone.
        self.store().write(|tx| Box::pin(async move { tx.release_leases().await })).await?;
        self.recall_policies().await?;
        // Before anything is sent or shown.
        self.follow_orders().await?;
        let (observed, to_observe) = mpsc::unbounded_channel();
        let mut owners = std::collections::BTreeMap::new();
        for setup in self.repositories() {
            let (sender, receiver) = mpsc::unbounded_channel();
            owners.insert(setup.name.clone(), sender);
            tracker.spawn(self.clone().watch_history(setup.name.clone(), cancel.clone()));
            tracker.spawn(self.clone().keep_usable(setup.name.clone(), cancel.clone()));
            tracker.spawn(self.clone().own_branch(setup.name.clone(), receiver, cancel.clone()));
        }
        // A second start of one engine keeps the first owners; nobody does that.
        let _ = self.0.owners.set(owners.clone());
        tracker.spawn(self.clone().observe_all(to_observe, cancel.clone()));
        tracker.spawn(
            self.clone()
                .claim_all(effects::Lanes { owners, observed }, tracker.clone(), cancel.clone()),
        );
        tracker.spawn(self.clone().hear_changes(cancel.clone()));
        tracker.spawn(self.clone().follow_book(cancel.clone()));
        tracker.spawn(self.clone().write_used(cancel.clone()));
        if let Some(setup) = self.telegram() {
            tracker.spawn(self.clone().greet_telegram());
            if poll {
                let engine = self.clone();
                let client = setup.queue.client().clone();
                let cancel = cancel.clone();
                tracker.spawn(async move { engine.poll_telegram(client, cancel).await });
            }
        }
        self.sight_grants().await?;
        self.remember_moves().await?;
        self.refresh_open_cards().await?;
        Ok(Running { tracker, cancel })
    }

    async fn hear_changes(self, cancel: CancellationToken) {
        let mut changes = self.store().changes();
        loop {
            let heard = tokio::select! {
                () = cancel.cancelled() => return,
                heard = changes.recv() => heard,
            };
            match heard {
                Ok(Changed::Proposal { id, .. }) => self.0.hub.ring(id),
                Ok(Changed::Unknown) | Err(RecvError::Lagged(_)) => {
                    self.0.hub.ring_all();
                    self.0.wake.notify_waiters();
                    if let Err(error) = self.follow_orders().await {
                        tracing::error!(%error, "stops and locks could not be read; what decides about a push is read again there");
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn follow_book(self, cancel: CancellationToken) {
        let mut sighted = Vec::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(BOOK_EVERY) => {}
            }
            // What is wrong with them is told where it is found.
            if let Ok(true) = self.follow_files().await {
                tracing::info!(policy = %self.book().policy.hash().short(), "policy, runbooks and guard rails were read anew");
            }
            self.tell_policies().await;
            let granted = self.granted(&self.book());
            if granted != sighted {
                match self.sight_grants().await {
                    Ok(()) => sighted = granted,
                    Err(error) => tracing::error!(%error, "what the policy grants could not be noted; it is with the next run"),
                }
            }
        }
    }
}
