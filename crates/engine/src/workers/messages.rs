//! What Telegram is owed: cards, edits, notices, alarms.

use domain::{Decision, Delivery, Proposal, ProposalId, RepositoryName, Tier};
use store::{Card as StoredCard, CardKind, CardState, NewCard, StoreError};
use telegram::{ChatId, MessageId, Nonce, Notice, RenderOptions, SendError};

use super::effects::Ran;
use crate::{Destination, Engine, RepositorySetup, TelegramSetup};

/// How long a card whose answer was lost may be tapped before it is sent again.
const AMBIGUOUS_SECONDS: i64 = 20;
/// Copies of one card in one chat at most, when Telegram keeps losing answers.
const AMBIGUOUS_MAX: u32 = 3;

/// Commands in the bot's menu.
const MENU: [(&str, &str); 20] = [
    ("pending", "what waits for somebody"),
    ("show", "one proposal: /show ID"),
    ("history", "what is under way or ended"),
    ("cancel", "stop one before its push: /cancel ID"),
    ("revert", "take a delivered one back: /revert ID"),
    ("stop", "send nothing any more: /stop, or /stop agent NAME"),
    ("stops", "what is stopped, and who is locked"),
    ("resume", "end a stop, by two people: /resume N"),
    ("override", "let one pass a freeze: /override ID"),
    ("lockme", "take your own rights away at once"),
    ("unlock", "give them back, by two others: /unlock NAME"),
    ("runbooks", "which runbooks run by themselves"),
    ("trust", "one runbook's record: /trust NAME"),
    ("lift", "let a runbook run again: /lift NAME"),
    ("demote", "take standard away: /demote NAME"),
    ("notnow", "turn a promotion down: /notnow NAME"),
    ("unexplained", "commits that came another way"),
    ("code", "the code that your approval waits for: /code 123456"),
    ("whoami", "your numeric id and roles"),
    ("help", "how this works"),
];

/// Between a repository's name and the text that is for its chats. No name and no text that people read holds it.
const ADDRESS_END: char = '\u{1f}';

/// The text of an effect without a proposal that is for the chats of one repository, instead of all.
pub(crate) fn addressed(repository: &RepositoryName, text: &str) -> String {
    format!("{repository}{ADDRESS_END}{text}")
}

/// The repository's name before a text, and the text.
fn address(text: &str) -> Option<(&str, &str)> {
    text.split_once(ADDRESS_END)
}

impl Engine {
    /// Posts the current revision's card or note to its chats; each chat once.
    pub(super) async fn send_cards(&self, id: ProposalId) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let Ok(Some(proposal)) = self.store().read().proposal(id).await else {
            return Ran::Failed("the proposal cannot be read".to_owned());
        };
        let Some(setup) = self.repository(&proposal.repository) else {
            return Ran::Done;
        };
        let kind = if proposal.tier() == Tier::Prompted {
            CardKind::Approval
        } else {
            CardKind::Note
        };
        for place in self.places(setup, kind, &proposal) {
            let known = match self.store().read().cards(id).await {
                Ok(cards) => cards,
                Err(error) => return Ran::Failed(error.to_string()),
            };
            let here = |card: &&StoredCard| card.chat == place.chat.0 && card.revision == proposal.revision.number && card.kind == kind;
            if known.iter().filter(here).any(|card| card.state == CardState::Shown) {
                continue;
            }
            match self.kept_for_later(telegram, &proposal, place).await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(error) => return Ran::Failed(error.to_string()),
            }
            let attempt = u32::try_from(known.iter().filter(here).count())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            match self.send_card(telegram, &proposal, place, kind, attempt).await {
                Ok(()) => {}
                Err(ran) => return ran,
            }
        }
        Ran::Done
    }

    async fn send_card(
        &self,
        telegram: &TelegramSetup,
        proposal: &Proposal,
        place: Destination,
        kind: CardKind,
        attempt: u32,
    ) -> Result<(), Ran> {
        let failed = |error: StoreError| Ran::Failed(error.to_string());
        let nonce = Nonce::from_bytes(self.random());
        let new = NewCard {
            proposal: proposal.id,
            revision: proposal.revision.number,
            digest: proposal.revision.digest,
            chat: place.chat.0,
            thread: place.thread.map(|thread| thread.0),
            nonce: nonce.to_string(),
            attempt,
            kind,
            shown_version: proposal.version,
            sent_at: self.now(),
        };
        let stored = self
            .store()
            .write(move |tx| Box::pin(async move { tx.put_card(&new).await }))
            .await
            .map_err(failed)?;
        let card = self.card(proposal, Some(&stored)).await.map_err(failed)?;
        let rendered = telegram::render(&card, &self.options(telegram, Some(nonce)));
        // A card that asks rings; what only tells afterwards does not.
        let rings = kind == CardKind::Approval || proposal.tier() == Tier::Manual;
        self.crash("card:stored");
        let sent = telegram.queue.send(place.chat, place.thread, rendered, rings, None).await;
        self.crash("card:sent");
        match sent {
            Ok(message) => {
                self.saw_telegram();
                let (card_id, document, now) = (stored.id, message.document_message_id.map(|id| id.0), self.now());
                self.store()
                    .write(move |tx| {
                        Box::pin(async move {
                            tx.confirm_card(card_id, message.message_id.0, document).await?;
                            tx.set_shown_at(card_id, now).await
                        })
                    })
                    .await
                    .map_err(failed)?;
                if proposal.revision.number > 1 {
                    self.link_older(telegram, &stored).await;
                }
                // The row may have changed while the card was on its way.
                match self.store().read().proposal(proposal.id).await {
                    Ok(Some(now)) if now.version != proposal.version => match self.edit_cards(proposal.id).await {
                        Ran::Failed(why) => Err(Ran::Failed(why)),
                        Ran::Done | Ran::Again(_) | Ran::HandedOn => Ok(()),
                    },
                    _ => Ok(()),
                }
            }
            Err(error) => Err(self.unsent(&stored, error).await),
        }
    }

    /// The card before this one leads to it. Best effort: without the link it still says that it is superseded.
    async fn link_older(&self, telegram: &TelegramSetup, new: &StoredCard) {
        let Ok(cards) = self.store().read().cards(new.proposal).await else {
            return;
        };
        let older = cards
            .iter()
            .rev()
            .find(|card| card.chat == new.chat && card.revision < new.revision && card.message.is_some() && card.state != CardState::Gone);
        if let Some(older) = older {
            let _ = self.edit_card(telegram, older).await;
        }
    }

    /// What to do about a card that was not sent, or perhaps was.
    async fn unsent(&self, card: &StoredCard, error: SendError) -> Ran {
        tracing::warn!(proposal = %card.proposal, chat = card.chat, %error, "a card did not arrive for sure");
        match error {
            SendError::RetryAfter(wait) => {
                Ran::Again(self.now() + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::minutes(1)))
            }
            SendError::Migrated(to) => match self.migrate(ChatId(card.chat), to).await {
                Ok(()) => Ran::Again(self.now()),
                Err(error) => Ran::Failed(error.to_string()),
            },
            SendError::ChatDead { .. } | SendError::ThreadGone { .. } => {
                let (id, state) = (card.id, CardState::Gone);
                if let Err(error) = self
                    .store()
                    .write(move |tx| Box::pin(async move { tx.set_card_state(id, state).await }))
                    .await
                {
                    return Ran::Failed(error.to_string());
                }
                Ran::Failed(error.to_string())
            }
            // The message may be there. Its nonce is known, so a tap on it is recognised and adopts it; only if nobody taps, another try follows.
            SendError::Ambiguous { .. } if card.message.is_none() => {
                if card.attempt >= AMBIGUOUS_MAX {
                    tracing::error!(proposal = %card.proposal, chat = card.chat, "no clear answer from Telegram after several tries: see /pending");
                    return Ran::Done;
                }
                Ran::Again(self.now() + chrono::Duration::seconds(AMBIGUOUS_SECONDS))
            }
            other => Ran::Failed(other.to_string()),
        }
    }

    /// Brings every card of a proposal, and every digest that tells of it, up to its row.
    pub(super) async fn edit_cards(&self, id: ProposalId) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let cards = match self.store().read().cards(id).await {
            Ok(cards) => cards,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let mut ran = Ran::Done;
        for card in cards.into_iter().filter(|card| matches!(card.state, CardState::Shown)) {
            if let Err(later) = self.edit_card(telegram, &card).await {
                ran = later;
            }
        }
        match ran {
            Ran::Done => self.edit_digests(id).await,
            later => later,
        }
    }

    /// Edits one card to what is true at the moment of sending.
    async fn edit_card(&self, telegram: &TelegramSetup, card: &StoredCard) -> Result<(), Ran> {
        let Some(message) = card.message else { return Ok(()) };
        let (engine, stored) = (self.clone(), card.clone());
        let shown = std::sync::Arc::new(std::sync::Mutex::new(None));
        let seen = shown.clone();
        let result = telegram
            .queue
            .edit(ChatId(card.chat), MessageId(message), move || {
                let (engine, stored, seen) = (engine.clone(), stored.clone(), seen.clone());
                async move {
                    let proposal = engine.store().read().proposal(stored.proposal).await.ok().flatten()?;
                    let card = engine.card(&proposal, Some(&stored)).await.ok()?;
                    let telegram = engine.telegram()?;
                    *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((proposal.version, proposal.revision.number));
                    Some(telegram::render(&card, &engine.options(telegram, stored.nonce.parse().ok())))
                }
            })
            .await;
        let (card_id, revision, proposal) = (card.id, card.revision, card.proposal);
        match result {
            Ok(()) => {
                self.saw_telegram();
                let shown = *shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let Some((version, current)) = shown else { return Ok(()) };
                let old = revision < current;
                // Somebody who looks at it sees something new from now on.
                let (anew, now) = (version > card.shown_version, self.now());
                self.store()
                    .write(move |tx| {
                        Box::pin(async move {
                            tx.set_shown(card_id, version).await?;
                            if anew {
                                tx.set_shown_at(card_id, now).await?;
                            }
                            if old {
                                tx.set_card_state(card_id, CardState::Superseded).await?;
                            }
                            Ok::<_, StoreError>(())
                        })
                    })
                    .await
                    .map_err(|error| Ran::Failed(error.to_string()))
            }
            Err(SendError::Gone { reason }) => {
                tracing::info!(%proposal, %reason, "a card was deleted; a new one is posted if somebody must still decide");
                let now = self.now();
                self.store()
                    .write(move |tx| {
                        Box::pin(async move {
                            tx.set_card_state(card_id, CardState::Gone).await?;
                            let live = tx
                                .proposal(proposal)
                                .await?
                                .is_some_and(|row| !row.is_over() && row.revision.number == revision);
                            if live {
                                tx.schedule(Some(proposal), &domain::Effect::SendCard, now).await?;
                            }
                            Ok::<_, StoreError>(())
                        })
                    })
                    .await
                    .map_err(|error| Ran::Failed(error.to_string()))
            }
            Err(error) => Err(self.unsent(card, error).await),
        }
    }

    /// Takes what has a time limit off the cards, and comes again for what closes later.
    pub(super) async fn close_windows(&self, id: ProposalId) -> Ran {
        match self.edit_cards(id).await {
            Ran::Done => {}
            other @ (Ran::Again(_) | Ran::Failed(_) | Ran::HandedOn) => return other,
        }
        let read = self.store().read();
        let (proposal, cards) = match (read.proposal(id).await, read.cards(id).await) {
            (Ok(proposal), Ok(cards)) => (proposal, cards),
            (Err(error), _) | (_, Err(error)) => return Ran::Failed(error.to_string()),
        };
        let reason = proposal
            .and_then(|proposal| proposal.ended_by)
            .and_then(|ending| ending.reason_until);
        let steps = cards.iter().flat_map(|card| self.open_steps(card.id)).map(|step| step.until);
        let now = self.now();
        match steps.chain(reason).filter(|until| *until > now).min() {
            Some(next) => Ran::Again(next),
            None => Ran::Done,
        }
    }

    /// One message beside the card: failure, expiry, a refused push and a manual change that came to nothing ring, a recovery does not.
    pub(super) async fn notify(&self, id: ProposalId) -> Ran {
        let Ok(Some(proposal)) = self.store().read().proposal(id).await else {
            return Ran::Failed("the proposal cannot be read".to_owned());
        };
        let notice = if proposal.recovered_at.is_some() {
            Notice::Recovered
        } else if proposal.decision == Decision::Expired {
            Notice::Expired
        } else if proposal.delivery == Delivery::PushBlocked || proposal.outcome.is_some() {
            Notice::Failure
        } else if proposal.awaits_manual_sync() {
            Notice::NeedsSync
        } else if proposal.delivery == Delivery::AwaitingCommit && proposal.note.is_some() {
            Notice::Waits
        } else {
            return Ran::Done;
        };
        self.post_notice(&proposal, notice).await
    }

    /// Reminds the approvers once.
    pub(super) async fn remind(&self, id: ProposalId) -> Ran {
        self.call(id, Notice::Reminder).await
    }

    async fn call(&self, id: ProposalId, notice: Notice) -> Ran {
        match self.store().read().proposal(id).await {
            Ok(Some(proposal)) if proposal.decision == Decision::Pending && !proposal.is_over() => {
                self.post_notice(&proposal, notice).await
            }
            Ok(_) => Ran::Done,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    /// Calls the second group: the cards name it from now on, and people hear that it is waited for.
    pub(super) async fn escalate(&self, id: ProposalId) -> Ran {
        match self.edit_cards(id).await {
            Ran::Done => self.call(id, Notice::Escalated).await,
            other => other,
        }
    }

    async fn post_notice(&self, proposal: &Proposal, notice: Notice) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let Some(setup) = self.repository(&proposal.repository) else {
            return Ran::Done;
        };
        let card = match self.card(proposal, None).await {
            Ok(card) => card,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let cards = self.store().read().cards(proposal.id).await.unwrap_or_default();
        let kind = if proposal.tier() == Tier::Prompted {
            CardKind::Approval
        } else {
            CardKind::Note
        };
        for place in self.places(setup, kind, proposal) {
            let reply = cards
                .iter()
                .rev()
                .find(|card| card.chat == place.chat.0 && card.state == CardState::Shown);
            let reply = reply.and_then(|card| card.message).map(MessageId);
            let rendered = telegram::notice(notice, &card, &self.options(telegram, None));
            match telegram.queue.send(place.chat, place.thread, rendered, notice.rings(), reply).await {
                Ok(_) => self.saw_telegram(),
                // Possibly there: a second bell would be worse than none, and the card says it too.
                Err(SendError::Ambiguous { reason }) => tracing::warn!(proposal = %proposal.id, %reason, "a notice may not have arrived"),
                Err(SendError::RetryAfter(wait)) => {
                    return Ran::Again(self.now() + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::minutes(1)));
                }
                Err(error) => return Ran::Failed(error.to_string()),
            }
        }
        Ran::Done
    }

    /// Something that nobody approved, or that does not fit: told with sound.
    pub(super) async fn post_alarm(&self, id: Option<ProposalId>, text: &str) -> Ran {
        metrics::counter!("countersign_alarms_total").increment(1);
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let (repository, text) = match (id, address(text)) {
            (None, Some((repository, text))) => (repository.parse().ok(), text),
            (Some(id), _) => match self.store().read().proposal(id).await {
                Ok(proposal) => (proposal.map(|proposal| proposal.repository), text),
                Err(error) => return Ran::Failed(error.to_string()),
            },
            (None, None) => (None, text),
        };
        let setups = self
            .repositories()
            .filter(|setup| repository.as_ref().is_none_or(|only| *only == setup.name));
        let mut told = std::collections::BTreeSet::new();
        for place in setups.flat_map(|setup| self.present(told_places(setup))) {
            if !told.insert((place.chat, place.thread)) {
                continue;
            }
            // A chat may hear of several repositories.
            let rendered = telegram::alarm(repository.as_ref(), id, text);
            match telegram.queue.send(place.chat, place.thread, rendered, true, None).await {
                Ok(_) | Err(SendError::Ambiguous { .. }) => {}
                Err(error) => return Ran::Failed(error.to_string()),
            }
        }
        Ran::Done
    }

    /// Something that asks for no tap, with sound: behind a repository's name, to that repository's chats.
    pub(super) async fn post_told(&self, text: &str) -> Ran {
        let Some(telegram) = self.telegram() else { return Ran::Done };
        let (repository, text) = address(text).map_or((None, text), |(repository, text)| (Some(repository), text));
        let setups = self
            .repositories()
            .filter(|setup| repository.is_none_or(|only| only == setup.name.as_str()));
        let mut told = std::collections::BTreeSet::new();
        for place in setups.flat_map(|setup| self.present(told_places(setup))) {
            if !told.insert((place.chat, place.thread)) {
                continue;
            }
            match telegram
                .queue
                .send(place.chat, place.thread, telegram::message(text), true, None)
                .await
            {
                Ok(_) | Err(SendError::Ambiguous { .. }) => {}
                Err(error) => return Ran::Failed(error.to_string()),
            }
        }
        Ran::Done
    }

    /// After a restart every open card is brought up to date, so that nobody trusts a dead button.
    pub(super) async fn refresh_open_cards(&self) -> Result<(), StoreError> {
        if self.telegram().is_none() {
            return Ok(());
        }
        let open = self.store().read().open_cards().await?;
        let now = self.now();
        let proposals: std::collections::BTreeSet<ProposalId> = open.into_iter().map(|card| card.proposal).collect();
        if proposals.is_empty() {
            return Ok(());
        }
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for id in proposals {
                        tx.schedule(Some(id), &domain::Effect::EditCards, now).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// A group became a supergroup: its open cards are posted again, since their messages do not exist there.
    pub(crate) async fn migrate(&self, from: ChatId, to: ChatId) -> Result<(), StoreError> {
        tracing::warn!(%from, %to, "the group became a supergroup: put the new chat id into the configuration");
        // Their messages stayed behind: no edit reaches them, and no tap on them counts.
        let left: Vec<i64> = self
            .store()
            .read()
            .open_cards()
            .await?
            .iter()
            .filter(|card| card.chat == from.0)
            .map(|card| card.id)
            .collect();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for card in left {
                        tx.set_card_state(card, CardState::Gone).await?;
                    }
                    tx.migrate_chat(from.0, to.0).await?;
                    tx.set_meta(&moved_key(from), &to.to_string()).await
                })
            })
            .await?;
        self.0
            .moved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(from, to);
        // The old messages do not exist in the new chat: open cards are posted there.
        let now = self.now();
        let open: Vec<ProposalId> = self
            .store()
            .read()
            .list(&open_only(), None, 1000)
            .await?
            .0
            .iter()
            .map(|proposal| proposal.id)
            .collect();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for id in open {
                        tx.schedule(Some(id), &domain::Effect::SendCard, now).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// Where a configured chat is now.
    pub(crate) fn moved_to(&self, chat: ChatId) -> ChatId {
        self.0
            .moved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(&chat)
            .copied()
            .unwrap_or(chat)
    }

    /// Reads which configured chats have moved, at start.
    pub(super) async fn remember_moves(&self) -> Result<(), StoreError> {
        let chats: std::collections::BTreeSet<ChatId> = self
            .repositories()
            .flat_map(|setup| setup.approvals.iter().chain(&setup.notifications))
            .map(|place| place.chat)
            .collect();
        for chat in chats {
            if let Some(to) = self.store().read().meta(&moved_key(chat)).await?.and_then(|text| text.parse().ok()) {
                self.0
                    .moved
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .insert(chat, ChatId(to));
            }
        }
        Ok(())
    }

    fn present(&self, places: &[Destination]) -> Vec<Destination> {
        places
            .iter()
            .map(|place| Destination {
                chat: self.moved_to(place.chat),
                thread: place.thread,
                when: place.when,
            })
            .collect()
    }

    /// The chats that hear what asks for no tap.
    pub(super) fn told_to(&self, setup: &RepositorySetup) -> Vec<Destination> {
        self.present(told_places(setup))
    }

    /// Every chat of every repository.
    pub(super) fn all_places(&self) -> Vec<Destination> {
        let places = self.repositories().flat_map(|setup| [&setup.approvals, &setup.notifications]);
        places.flat_map(|places| self.present(places)).collect()
    }

    /// Where a card of this kind belongs: what must be acted on to the approval chats, what only tells to the notification chats.
    fn places(&self, setup: &RepositorySetup, kind: CardKind, proposal: &Proposal) -> Vec<Destination> {
        match kind {
            CardKind::Approval => self.present(&setup.approvals),
            CardKind::Note if proposal.tier() == Tier::Manual => self.present(&setup.approvals),
            CardKind::Note => self.present(told_places(setup)),
        }
    }

    pub(super) async fn greet_telegram(self) {
        let Some(telegram) = self.telegram() else { return };
        for scope in [telegram::CommandScope::Everyone] {
            if let Err(error) = telegram.queue.set_commands(&MENU, scope).await {
                tracing::warn!(%error, "the command menu could not be set");
            }
        }
    }

    pub(crate) fn options(&self, telegram: &TelegramSetup, nonce: Option<Nonce>) -> RenderOptions {
        RenderOptions {
            time_zone: telegram.zone,
            now: self.now(),
            nonce,
        }
    }

    pub(crate) fn saw_telegram(&self) {
        *self.0.telegram_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(self.now());
    }
}

fn told_places(setup: &RepositorySetup) -> &[Destination] {
    if setup.notifications.is_empty() {
        &setup.approvals
    } else {
        &setup.notifications
    }
}

fn moved_key(chat: ChatId) -> String {
    format!("chat_moved:{chat}")
}

fn open_only() -> store::ListFilter {
    store::ListFilter {
        open_only: true,
        ..store::ListFilter::default()
    }
}
