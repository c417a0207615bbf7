//! Notes of standard runs that a chat wants to hear of together: kept when they fall due, told as one message at the chat's time, with the
//! buttons of each run's own note.

use domain::{Decision, Effect, Proposal, ProposalId};
use store::{Post, StoreError};
use telegram::{ChatId, DIGEST_RUNS_MAX, Nonce, ThreadId};

use super::effects::Ran;
use crate::{Destination, Engine, TelegramSetup};

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
            let (mut cards, mut gone) = (Vec::new(), Vec::new());
            for id in waiting.iter().take(DIGEST_RUNS_MAX) {
                match self.run_card(*id).await {
                    Ok(Some(card)) => cards.push((*id, card)),
                    Ok(None) => gone.push(*id),
                    Err(error) => return Ran::Failed(error.to_string()),
                }
            }
            let nonce = Nonce::from_bytes(self.random());
            let options = self.options(telegram, Some(nonce));
            let shown = |count: usize| cards.iter().take(count).map(|(_, card)| card.clone()).collect::<Vec<_>>();
            let (_, fits) = telegram::digest(&shown(cards.len()), 0, &options);
            let later = waiting.len().saturating_sub(gone.len() + fits);
            let (rendered, _) = telegram::digest(&shown(fits), later, &options);
            let told: Vec<_> = cards.iter().take(fits).map(|(id, _)| *id).collect();
            if !told.is_empty()
                && let Err(ran) = self.send_digest(telegram, (chat, thread), told.clone(), nonce, rendered).await
            {
                return ran;
            }
            let told: Vec<_> = told.into_iter().chain(gone).collect();
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

    async fn run_card(&self, id: ProposalId) -> Result<Option<telegram::Card>, StoreError> {
        match self.store().read().proposal(id).await? {
            Some(proposal) => self.card(&proposal, None).await.map(Some),
            None => Ok(None),
        }
    }

    async fn send_digest(
        &self,
        telegram: &TelegramSetup,
        (chat, thread): (i64, i64),
        runs: Vec<ProposalId>,
        nonce: Nonce,
        rendered: telegram::Rendered,
    ) -> Result<(), Ran> {
        let place = (self.moved_to(ChatId(chat)), (thread != 0).then_some(ThreadId(thread)));
        self.send_post(telegram, place, (None, runs), nonce, rendered, false).await
    }

    /// Brings the digests that tell of a run up to what is true now, so that no button promises what is done already.
    pub(super) async fn edit_digests(&self, run: ProposalId) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let posts = match self.store().read().digests_with(run).await {
            Ok(posts) => posts,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        for post in posts {
            let (engine, known) = (self.clone(), post.clone());
            let render = move || {
                let (engine, post) = (engine.clone(), known.clone());
                async move { engine.digest_now(&post).await.ok().flatten() }
            };
            if let Err(ran) = self.edit_post(telegram, &post, render).await {
                return ran;
            }
        }
        Ran::Done
    }

    async fn digest_now(&self, post: &Post) -> Result<Option<telegram::Rendered>, StoreError> {
        let Some(telegram) = self.telegram() else { return Ok(None) };
        let mut cards = Vec::new();
        for run in &post.runs {
            // The buttons are numbered: none may be left out.
            let Some(card) = self.run_card(*run).await? else { return Ok(None) };
            cards.push(card);
        }
        Ok(Some(
            telegram::digest(&cards, 0, &self.options(telegram, post.nonce.parse().ok())).0,
        ))
    }
}
