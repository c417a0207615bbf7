//! The window of a run has closed: the record may say something else now, for better or worse.

use domain::ProposalId;
use domain::ledger::TrialResult;
use serde_json::json;
use store::StoreError;

use super::follow::{audit, demote};
use crate::Engine;
use crate::workers::Ran;

impl Engine {
    /// Settles an open trial as unknown, writes down what follows from the record, and offers a promotion where one is due.
    pub(crate) async fn weigh_trust(&self, id: ProposalId) -> Ran {
        let (book, now) = (self.book(), self.now());
        let weighed = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut trial) = tx.trial(id).await? else {
                        return Ok::<_, StoreError>(None);
                    };
                    if now < trial.closes_at {
                        return Ok(Some((trial.closes_at, None)));
                    }
                    if trial.result == TrialResult::Open && trial.settle(TrialResult::Unknown, trial.closes_at) {
                        tx.put_trial(&trial).await?;
                        let summary = "nobody can say how the run ended: its window has closed".to_owned();
                        audit(
                            tx,
                            Some(id),
                            "trial_settled",
                            summary,
                            json!({ "result": TrialResult::Unknown }),
                            now,
                        )
                        .await?;
                    }
                    demote(tx, &book, &trial.key, now).await?;
                    Ok(Some((trial.closes_at, Some(trial.key))))
                })
            })
            .await;
        self.crash("weigh:settled");
        match weighed {
            Ok(None) => Ran::Done,
            // Only a clock that was set back leads here.
            Ok(Some((closes_at, None))) => Ran::Again(closes_at),
            Ok(Some((_, Some(key)))) => self.offer(&key).await,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }
}
