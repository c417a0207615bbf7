//! After a good end of a runbook's run: does it stay so for as long as the runbook asks? Only then was it a success of its runbook.

use argocd::touched::Class;
use argocd::verdict::{Ending, Verdict, combine};
use domain::Timestamp;
use domain::ledger::TrialResult;

use super::Flight;
use super::telling::UNSTORED_SECONDS;
use crate::Engine;
use crate::trust::stability;

impl Engine {
    /// Goes on watching a run that has just ended well; false when nobody asks how long it stays.
    pub(super) fn begin_to_stay(&self, flight: &mut Flight) -> bool {
        flight.stable_until = stability(&self.book(), &flight.proposal);
        if let Some(until) = flight.stable_until {
            flight.wake = flight.wake.min(until);
        }
        flight.stable_until.is_some()
    }

    /// One look. Only what is seen to have broken is held against the runbook; what nobody can say by the end of the run's window is unknown by
    /// itself.
    pub(super) async fn stays(&self, flight: &mut Flight, until: Timestamp, now: Timestamp) -> bool {
        let counted: Vec<Verdict> = flight
            .follows
            .iter()
            .filter(|follow| follow.memory.class == Class::Touched)
            .map(|follow| follow.verdict.clone())
            .collect();
        let result = match combine(&counted).and_then(|combined| combined.ending) {
            Some(Ending::Degraded | Ending::SyncFailed | Ending::Gone) => TrialResult::Unstable,
            Some(Ending::RolledBack) => TrialResult::RolledBack,
            Some(Ending::Synced) if now >= until => TrialResult::Succeeded,
            Some(Ending::Synced | Ending::TimedOut | Ending::NotTracked) | None => {
                if now < until {
                    flight.wake = flight.wake.min(until);
                    return true;
                }
                return self.is_tried(flight.proposal.id).await;
            }
        };
        match self.tried(flight.proposal.id, result).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(proposal = %flight.proposal.id, %error, "how a run held could not be stored; looked at again");
                flight.wake = now + chrono::Duration::seconds(UNSTORED_SECONDS);
                true
            }
        }
    }
}
