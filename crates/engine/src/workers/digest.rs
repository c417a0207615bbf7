//! Notes of standard runs that a chat wants to hear of together: kept when they fall due, told as one message at the chat's time.

use domain::{Decision, Effect, Proposal};
use store::StoreError;
use telegram::{ChatId, SendError, ThreadId};

use super::effects::Ran;
use crate::{Destination, Engine, TelegramSetup};

/// Runs in one message: as many as a phone shows without much scrolling. More come in a further one.
const RUNS_MAX: usize = 20;

impl Engine {
    /// Keeps the note of a run that asked nobody, where a chat wants it later; true when it is kept. What has failed is told at once.
    pub(super) async fn kept_for_later(
        &self,
        telegram: &TelegramSetup,
        proposal: &Proposal,
        place: Destination,
    ) -> Result<bool, StoreError> {
        let fails = proposal.outcome.is_some_and(domain::Outcome::is_failure);
        if proposal.decision != Decision::NotRequired || fails {
            return Ok(false);
        }
        let now = self.now();
        let Some(due) = place.when.later(now, telegram.zone) else {
            return Ok(false);
        };
        let (id, chat, thread) = (proposal.id, place.chat.0, place.thread.map_or(0, |thread| thread.0));
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.put_digest(chat, thread, id, now).await?;
                    tx.schedule(None, &Effect::Digest { chat, thread }, due).await
                })
            })
            .await?;
        Ok(true)
    }

    /// Tells a chat what waited for its digest, newest last. A crash after sending may tell it twice.
    pub(super) async fn post_digest(&self, chat: i64, thread: i64) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        loop {
            let waiting = match self.store().read().digest(chat, thread).await {
                Ok(waiting) => waiting,
                Err(error) => return Ran::Failed(error.to_string()),
            };
            if waiting.is_empty() {
                return Ran::Done;
            }
            let told: Vec<_> = waiting.iter().take(RUNS_MAX).copied().collect();
            let mut cards = Vec::new();
            for id in &told {
                let card = match self.store().read().proposal(*id).await {
                    Ok(Some(proposal)) => self.card(&proposal, None).await,
                    Ok(None) => continue,
                    Err(error) => Err(error),
                };
                match card {
                    Ok(card) => cards.push(card),
                    Err(error) => return Ran::Failed(error.to_string()),
                }
            }
            let runs = domain::counted(waiting.len(), "run that asked nobody", "runs that asked nobody");
            let title = format!("{runs}. /show ID has the diff, /revert ID takes one back, /demote NAME takes standard away");
            let rendered = telegram::list(&title, &cards, &self.options(telegram, None));
            let to = (thread != 0).then_some(ThreadId(thread));
            match telegram.queue.send(self.moved_to(ChatId(chat)), to, rendered, false, None).await {
                Ok(_) | Err(SendError::Ambiguous { .. }) => {}
                Err(error) => return Ran::Failed(error.to_string()),
            }
            let cleared = self.store().write(move |tx| {
                Box::pin(async move {
                    for id in told {
                        tx.clear_digest(chat, thread, id).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            });
            if let Err(error) = cleared.await {
                return Ran::Failed(error.to_string());
            }
        }
    }
}
