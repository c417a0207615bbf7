//! What is written down of a commit in flight: what people can see of its applications, its outcome, a late recovery.

use argocd::verdict::{Ending, Verdict};
use domain::{ApplicationState, Delivery, Event, Outcome, Timestamp};

use super::{Flight, Follow, RECOVERY_SECONDS};
use crate::Engine;

/// Pause before something that could not be stored is looked at again.
pub(super) const UNSTORED_SECONDS: i64 = 15;

impl Engine {
    /// Writes down what people can see; nothing when nothing changed.
    pub(super) async fn tell(&self, flight: &mut Flight) -> bool {
        if flight.failed {
            return true;
        }
        let applications = states(&flight.follows);
        if flight.proposal.delivery == Delivery::Syncing && !worth_storing(&flight.proposal.applications, &applications) {
            return true;
        }
        self.observed(flight, applications, None).await
    }

    pub(super) async fn observed(&self, flight: &mut Flight, applications: Vec<ApplicationState>, trouble: Option<String>) -> bool {
        match self.happen(flight.proposal.id, Event::Observed { applications, trouble }).await {
            Ok(Some(proposal)) => {
                flight.proposal = proposal;
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(proposal = %flight.proposal.id, %error, "what Argo CD shows could not be stored; looked at again");
                flight.wake = self.now() + chrono::Duration::seconds(UNSTORED_SECONDS);
                true
            }
        }
    }

    pub(super) async fn settle(&self, flight: &mut Flight, outcome: Outcome, note: Option<String>) -> bool {
        let applications = states(&flight.follows);
        metrics::counter!("countersign_outcomes_total", "outcome" => outcome.as_str()).increment(1);
        match self
            .happen(
                flight.proposal.id,
                Event::Settled {
                    outcome,
                    applications,
                    note,
                },
            )
            .await
        {
            Ok(Some(proposal)) => {
                flight.proposal = proposal;
                flight.failed = outcome.is_failure() && !flight.follows.is_empty();
                self.begin_to_stay(flight) || flight.failed
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(proposal = %flight.proposal.id, %error, "an outcome could not be stored; looked at again");
                flight.wake = self.now() + chrono::Duration::seconds(UNSTORED_SECONDS);
                true
            }
        }
    }

    /// After a failed end: did it come right?
    pub(super) async fn maybe_recovered(&self, flight: &mut Flight, outcome: Outcome, now: Timestamp) -> bool {
        if outcome == Outcome::Synced {
            if let Err(error) = self.happen(flight.proposal.id, Event::Recovered).await {
                tracing::error!(proposal = %flight.proposal.id, %error, "a recovery could not be stored; looked at again");
                return true;
            }
            return false;
        }
        flight
            .proposal
            .ended_at
            .is_none_or(|at| (now - at).num_seconds() < RECOVERY_SECONDS)
    }
}

fn states(follows: &[Follow]) -> Vec<ApplicationState> {
    follows
        .iter()
        .map(|follow| ApplicationState {
            name: follow.app.name.clone(),
            namespace: follow.app.namespace.clone(),
            project: follow.app.project.clone(),
            state: word(&follow.verdict).to_owned(),
            headline: follow.verdict.headline(),
            tracking: serde_json::to_value(&follow.memory).unwrap_or_default(),
        })
        .collect()
}

/// What people see, or what must not be forgotten: that the commit arrived.
fn worth_storing(before: &[ApplicationState], after: &[ApplicationState]) -> bool {
    let latched = |app: &ApplicationState| !app.tracking["tracking"]["latch"].is_null();
    before.len() != after.len()
        || before
            .iter()
            .zip(after)
            .any(|(a, b)| a.state != b.state || a.headline != b.headline || latched(a) != latched(b))
}

pub(super) const fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Synced => Outcome::Synced,
        Ending::NotTracked => Outcome::Pushed,
        Ending::TimedOut => Outcome::TimedOut,
        Ending::Degraded => Outcome::Degraded,
        Ending::RolledBack => Outcome::RolledBack,
        Ending::Gone | Ending::SyncFailed => Outcome::SyncFailed,
    }
}

/// The application's state in one word for API and card.
const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unobserved { .. } => "unknown",
        Verdict::CheckingAbsence | Verdict::AwaitingDeletion { .. } | Verdict::NotSeenYet { .. } | Verdict::Hydrating => "waiting",
        Verdict::Syncing { .. } | Verdict::AboutToSync { .. } => "syncing",
        Verdict::WaitingOlderOperation { .. } => "waiting",
        Verdict::ComparisonFailing { .. } => "waiting",
        Verdict::BlockedByWindow { .. } | Verdict::BlockedWouldWipe { .. } => "blocked",
        Verdict::Stalled { .. } => "needs_sync",
        Verdict::AwaitingManualSync { .. } => "needs_sync",
        Verdict::QueuedByApplicationSet { .. } => "waiting",
        Verdict::Settling { .. } => "settling",
        Verdict::Synced { .. } => "synced",
        Verdict::Degraded { .. } => "degraded",
        Verdict::SyncFailed { .. } => "sync_failed",
        Verdict::RolledBack { .. } => "rolled_back",
        Verdict::Gone { .. } => "gone",
        Verdict::NotTracked { .. } => "not_tracked",
        Verdict::TimedOut { .. } => "timed_out",
    }
}
