//! Messages that are no proposal's card and change later: stored before they are sent, remembered by their message, edited in place.

use std::collections::BTreeSet;

use domain::{ProposalId, RepositoryName};
use store::{NewPost, Post, StoreError, Told};
use telegram::{ChatId, MessageId, Nonce, Rendered, SendError, ThreadId};

use super::effects::Ran;
use crate::{Engine, TelegramSetup};

impl Engine {
    /// Stores a message with buttons, sends it, and remembers which one it became. An unclear answer counts as sent: a tap tells which.
    pub(super) async fn send_post(
        &self,
        telegram: &TelegramSetup,
        (chat, thread): (ChatId, Option<ThreadId>),
        (told, runs): (Option<Told>, Vec<ProposalId>),
        nonce: Nonce,
        rendered: Rendered,
        rings: bool,
    ) -> Result<(), Ran> {
        let failed = |error: StoreError| Ran::Failed(error.to_string());
        let post = NewPost {
            told,
            runs,
            chat: chat.0,
            thread: thread.map(|thread| thread.0),
            nonce: nonce.to_string(),
            sent_at: self.now(),
        };
        let stored = self.store().write(move |tx| Box::pin(async move { tx.put_post(&post).await }));
        let id = stored.await.map_err(failed)?;
        match telegram.queue.send(chat, thread, rendered, rings, None).await {
            Ok(sent) => {
                let message = sent.message_id.0;
                let confirmed = self
                    .store()
                    .write(move |tx| Box::pin(async move { tx.confirm_post(id, message).await }));
                confirmed.await.map_err(failed)
            }
            Err(SendError::Ambiguous { .. }) => Ok(()),
            Err(error) => Err(Ran::Failed(error.to_string())),
        }
    }

    /// Edits a message to what is true when the edit is sent. One that is gone, or in a chat that cannot be reached any more, is left alone.
    pub(super) async fn edit_post<F, Fut>(&self, telegram: &TelegramSetup, post: &Post, render: F) -> Result<(), Ran>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Rendered>> + Send + 'static,
    {
        let Some(message) = post.message else { return Ok(()) };
        match telegram.queue.edit(ChatId(post.chat), MessageId(message), render).await {
            Ok(()) | Err(SendError::Gone { .. } | SendError::ChatDead { .. }) => Ok(()),
            Err(error) => Err(Ran::Failed(error.to_string())),
        }
    }

    /// Shows an offer of a promotion in the chats of its repository, each once, as long as it is open.
    pub(super) async fn tell_offer(&self, offer: u64, repository: &RepositoryName, [text, lines, after]: [&str; 3]) -> Ran {
        let (Some(telegram), Some(setup)) = (self.telegram(), self.repository(repository)) else {
            return Ran::Done;
        };
        let read = self.store().read();
        let (stands, posts) = match (read.offer_stands(offer).await, read.posts_of(Told::Offer(offer)).await) {
            (Ok(stands), Ok(posts)) => (stands, posts),
            (Err(error), _) | (_, Err(error)) => return Ran::Failed(error.to_string()),
        };
        let mut told: BTreeSet<_> = posts
            .iter()
            .filter(|post| post.message.is_some())
            .map(|post| (post.chat, post.thread))
            .collect();
        for place in self.told_to(setup) {
            if !stands || !told.insert((place.chat.0, place.thread.map(|thread| thread.0))) {
                continue;
            }
            let (nonce, rendered) = (Nonce::from_bytes(self.random()), telegram::offer(text, lines, after));
            let sent = self.send_post(
                telegram,
                (place.chat, place.thread),
                (Some(Told::Offer(offer)), Vec::new()),
                nonce,
                rendered,
                true,
            );
            if let Err(ran) = sent.await {
                return ran;
            }
        }
        Ran::Done
    }

    /// What told of an offer says what became of it.
    pub(super) async fn close_offer(&self, offer: u64, text: &str) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let posts = match self.store().read().posts_of(Told::Offer(offer)).await {
            Ok(posts) => posts,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        for post in posts {
            let text = text.to_owned();
            let render = move || {
                let message = telegram::message(&text);
                async move { Some(message) }
            };
            if let Err(ran) = self.edit_post(telegram, &post, render).await {
                return ran;
            }
        }
        Ran::Done
    }
}
