//! How a turn of a delivery ends: done, tried again, put off; and what those learn of it who look at its cards meanwhile.

use std::sync::PoisonError;
use std::time::Duration;

use domain::ProposalId;

use super::{ALONE_MAX, Memory, Ready};
use crate::Engine;
use crate::workers::effects::{Held, backoff};

impl Engine {
    pub(super) async fn done(&self, held: Held, memory: &mut Memory) {
        memory.failures.remove(&held.proposal);
        self.delays(held.proposal, None);
        memory.files.remove(&held.proposal);
        memory.waits.remove(&held.proposal);
        if memory.alone.len() > ALONE_MAX {
            memory.alone.clear();
        }
        if let Err(error) = self.finish(held.effect_id).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery's end could not be recorded; it is looked at again");
        }
    }

    pub(super) async fn failed(&self, held: Held, memory: &mut Memory, why: String) {
        let failures = memory.failures.entry(held.proposal).or_default();
        *failures += 1;
        let wait = backoff(*failures).min(chrono::Duration::minutes(1));
        tracing::warn!(proposal = %held.proposal, %why, "a delivery is tried again in {} s", wait.num_seconds());
        // A hiccup is nobody's business; what lasts is.
        if *failures > 1 {
            self.tell_delay(held.proposal, &format!("tried again soon: {why}")).await;
        }
        // A missed push owes another delivery at once: that one would fail as well.
        if let Err(error) = self.hold_off(held.effect_id, self.now() + wait, why).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery could not be postponed; its lease will end");
        }
    }

    /// Lets cards and documents say why a delivery is not done yet.
    pub(super) async fn tell_delay(&self, id: ProposalId, why: &str) {
        if self.delays(id, Some(why))
            && let Err(error) = self.owe_edit(id).await
        {
            tracing::error!(proposal = %id, %error, "the cards do not tell why the delivery is not done yet");
        }
    }

    /// Keeps the reason why a delivery is not done yet, for those who look at it. Whether it is news.
    fn delays(&self, id: ProposalId, why: Option<&str>) -> bool {
        let mut delayed = self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            None => delayed.remove(&id).is_some(),
            Some(why) => delayed.insert(id, why.to_owned()).as_deref() != Some(why),
        }
    }

    /// How many deliveries are not done yet for a reason that is told: tried again, or with a remote that does not answer.
    pub(crate) fn delayed_count(&self) -> usize {
        self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Why a delivery that is under way is not done yet, as of its last try.
    pub(crate) fn delayed(&self, id: ProposalId) -> Option<String> {
        let delayed = self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.get(&id).cloned()
    }

    pub(super) async fn all_failed(&self, ready: Vec<Ready>, memory: &mut Memory, why: String) {
        for one in ready {
            self.failed(one.held, memory, why.clone()).await;
        }
    }

    pub(super) async fn all_later(&self, ready: Vec<Ready>, wait: Duration) {
        for one in ready {
            self.later(one.held, wait, None).await;
        }
    }

    pub(super) async fn later(&self, held: Held, wait: Duration, why: Option<String>) {
        let due = self.now() + chrono::Duration::from_std(wait).unwrap_or_default();
        if let Err(error) = self.postpone(held.effect_id, due, why).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery could not be postponed; its lease will end");
        }
    }
}
