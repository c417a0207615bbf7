//! Taps on messages that are no proposal's card: what tells of a stop or a lock, and digests of runs that asked nobody. Checked as taps on
//! cards are, in the same order; what a button does is what the command, or the run's own note, does.

use domain::{OrderId, Proposal};
use store::{Post, StoreError, Told};
use telegram::{Action, ChatId, MessageId, Tap};

use super::{Dead, Toast};
use crate::{Engine, TelegramSetup};

impl Engine {
    pub(super) async fn judged_post(
        &self,
        telegram: &TelegramSetup,
        tap: &Tap,
        action: Action,
        nonce: &str,
        (chat, message): (ChatId, MessageId),
    ) -> Result<Toast, Dead> {
        let refuse = |why: &str| Dead::Refused(why.to_owned());
        let post = self.store().read().post_by_nonce(nonce).await?;
        let post = post.ok_or_else(|| refuse("this button is not known"))?;
        // Before its message is believed: only people of the policy may tell which one it is.
        let person = self.tapping(tap)?;
        let post = self.adopted_post(post, chat, message).await?;
        match (action, post.told) {
            (Action::Resume, Some(Told::Stop(id))) => self.end_tapped(tap, OrderId::Stop(id), person).await,
            (Action::Unlock, Some(Told::Lock(id))) => self.end_tapped(tap, OrderId::Lock(id), person).await,
            (Action::DiffOf(index), None) => {
                let run = self.run_told(&post, index).await?;
                self.consume_once(tap).await?;
                let shown = self.card(&run, None).await?;
                self.post_diff(telegram, &shown, (post.chat, post.thread, post.message));
                Ok(Toast::say("the diff is below the digest"))
            }
            (Action::RevertOf(index), None) => self.tapped_revert(tap, &self.run_told(&post, index).await?, person).await,
            (Action::DemoteOf(index), None) => self.tapped_demote(tap, &self.run_told(&post, index).await?, person).await,
            _ => Err(refuse("this button is of another message")),
        }
    }

    /// The run that a button of a digest names.
    async fn run_told(&self, post: &Post, index: u8) -> Result<Proposal, Dead> {
        let unknown = || Dead::Refused("this digest tells of no such run".to_owned());
        let id = post.runs.get(usize::from(index)).copied().ok_or_else(unknown)?;
        self.store().read().proposal(id).await?.ok_or_else(unknown)
    }

    /// The message must be this one; after a lost answer its id is unknown, and the tap tells it.
    async fn adopted_post(&self, post: Post, chat: ChatId, message: MessageId) -> Result<Post, Dead> {
        let foreign = || Dead::Refused("this button was moved from another message".to_owned());
        match post.message {
            _ if post.chat != chat.0 => Err(foreign()),
            Some(known) if known == message.0 => Ok(post),
            Some(_) => Err(foreign()),
            None => {
                // A card's message is no digest's, whatever a modified app sends along.
                if self.store().read().cards_by_message(chat.0, message.0).await?.is_some() {
                    return Err(foreign());
                }
                let (id, message) = (post.id, message.0);
                let stored = self
                    .store()
                    .write(move |tx| Box::pin(async move { tx.confirm_post(id, message).await }));
                stored.await.map_err(|error: StoreError| Dead::Store(error))?;
                Ok(Post {
                    message: Some(message),
                    ..post
                })
            }
        }
    }
}
