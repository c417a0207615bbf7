//! A run that somebody took back with git, beside the service: evidence like any other revert.

use domain::{CommitId, Effect, ProposalId};
use serde_json::json;
use store::StoreError;

use super::follow::{audit, demote, hold};
use super::offers::void_offer;
use crate::Engine;
use crate::workers::addressed;

/// A commit that takes a run back.
#[derive(Debug, Clone)]
pub(crate) struct TakenBack {
    /// The commit.
    pub by: CommitId,
    /// Who wrote it: untrusted text, cut to a line's length.
    pub author: String,
    /// How it is known.
    pub how: &'static str,
}

impl Engine {
    /// Takes in that a run was taken back: its trial, the holds, what is taken away, and the message, in one transaction. Nothing happens for
    /// a run that was taken back before, or for what is no run.
    pub(crate) async fn taken_back(&self, id: ProposalId, back: TakenBack) -> Result<(), StoreError> {
        let (book, now) = (self.book(), self.now());
        let told = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut trial) = tx.trial(id).await?.filter(|trial| trial.reverted_at.is_none()) else {
                        return Ok::<_, StoreError>(None);
                    };
                    let holds = trial.revert(now);
                    tx.put_trial(&trial).await?;
                    let (key, paths) = (&trial.key, trial.target.to_string());
                    let text = format!(
                        "commit {} by {} takes run {} of runbook {} back ({}). {} does not run on {paths} until a human lifts it: /lift {}",
                        back.by.short(),
                        back.author,
                        id.short(),
                        key.runbook,
                        back.how,
                        key.runbook,
                        key.runbook
                    );
                    let details = json!({ "commit": back.by, "runbook": key.runbook, "hash": key.hash });
                    audit(tx, Some(id), "run_taken_back", text.clone(), details, now).await?;
                    hold(tx, &holds, now).await?;
                    let alarm = addressed(&key.environment.repository, &text);
                    tx.schedule(None, &Effect::Alarm { text: alarm }, now).await?;
                    demote(tx, &book, key, now).await?;
                    void_offer(tx, &book, key, now).await?;
                    Ok(Some(text))
                })
            })
            .await?;
        if let Some(text) = told {
            tracing::warn!(proposal = %id, "{text}");
            self.0.hub.ring(id);
            self.0.wake.notify_waiters();
        }
        Ok(())
    }
}
