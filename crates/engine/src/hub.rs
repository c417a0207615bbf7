//! Waiting reads: one task hears of every change and wakes only those who wait for that proposal. No database polling per waiter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ProposalId;
use tokio::sync::Notify;

/// Who waits for which proposal.
#[derive(Default)]
pub(crate) struct Hub {
    waiters: Mutex<HashMap<ProposalId, (Arc<Notify>, usize)>>,
}

/// A place in the waiting room; leaves it when dropped.
pub(crate) struct Seat<'a> {
    hub: &'a Hub,
    id: ProposalId,
    bell: Arc<Notify>,
}

impl Hub {
    /// Takes a seat. Take it before reading, so that no change falls between.
    pub(crate) fn sit(&self, id: ProposalId) -> Seat<'_> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = waiters.entry(id).or_insert_with(|| (Arc::new(Notify::new()), 0));
        entry.1 += 1;
        Seat {
            hub: self,
            id,
            bell: entry.0.clone(),
        }
    }

    /// Wakes those who wait for one proposal.
    pub(crate) fn ring(&self, id: ProposalId) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bell, _)) = waiters.get(&id) {
            bell.notify_waiters();
        }
    }

    /// Wakes everybody: something was missed, so all look again.
    pub(crate) fn ring_all(&self) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.values().for_each(|(bell, _)| bell.notify_waiters());
    }
}

impl Seat<'_> {
    /// Resolves at the next change. Create it before reading the row.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut waiters = self.hub.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = waiters.get_mut(&self.id) {
            entry.1 -= 1;
            if entry.1 == 0 {
                waiters.remove(&self.id);
            }
        }
    }
}
