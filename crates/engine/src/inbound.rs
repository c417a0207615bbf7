//! Telegram's side of the use cases: taps, commands, replies. Every check fails closed, in one fixed order, and every refusal says why and leaves an audit row.

use domain::{Effect, Event, PersonRef, Proposal, ProposalId, Refusal, ReviewVerdict, UserId};
use serde_json::json;
use store::{Actor, Audit, Card as StoredCard, CardState, Decided, StoreError};
use telegram::{Action, ChatId, Inbound, MessageId, Sender, Tap, Text};
use tokio_util::sync::CancellationToken;

use crate::act::{Act, Acted};
use crate::cards::CHIPS;
use crate::trust as ledger;
use crate::workers::Held;
use crate::{Engine, Problem, TelegramSetup};

mod codes;
mod commands;
mod looking;
mod orders;
mod posts;
mod steps;
mod trust;

pub(crate) use codes::AwaitedCode;
pub use looking::Habits;
pub(crate) use steps::OpenStep;

/// How long a card without an answer from Telegram may still be arriving.
const SENDING_SECONDS: i64 = 60;

/// What a tap is answered with.
struct Toast {
    text: String,
    alert: bool,
}

impl Toast {
    fn say(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            alert: false,
        }
    }

    fn alert(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            alert: true,
        }
    }
}

/// What a person says about a proposal, on its way into the transaction that decides.
struct Word {
    id: ProposalId,
    event: Event,
    actor: Actor,
    details: serde_json::Value,
    decided: Option<(UserId, Decided)>,
    lease_until: Option<domain::Timestamp>,
    now: domain::Timestamp,
}

impl Word {
    /// Decides: state, audit row and what is owed. Answers also the delivery that was claimed for the branch's owner.
    async fn spoken(mut self, tx: &mut store::Tx, book: &crate::Book) -> Result<(Acted, Option<i64>), StoreError> {
        let (id, now) = (self.id, self.now);
        let Some(mut proposal) = tx.proposal(id).await? else {
            return Ok((Acted::Missing, None));
        };
        let policy = crate::act::under_orders(tx, id, &mut self.event, book).await?;
        let name = self.event.name();
        let mut audit = Audit {
            proposal: Some(id),
            actor: self.actor,
            event: name.to_owned(),
            summary: String::new(),
            details: self.details,
            at: now,
        };
        ledger::ask_again(tx, book, &mut proposal, &self.event, now).await?;
        let retries = match &self.event {
            Event::Retry { by } => Some(by.clone()),
            _ => None,
        };
        match domain::decide(&proposal, self.event, &policy, now) {
            Ok(transition) => {
                audit.summary.clone_from(&transition.summary);
                if let Some(by) = &retries {
                    crate::continuity::retried(tx, &proposal, by, audit.actor.clone(), now).await?;
                }
                let next = tx.apply(&transition, audit).await?;
                ledger::follow(tx, book, Some(&proposal), &next, None, now).await?;
                if let Some((person, decided)) = &self.decided {
                    tx.put_decided(id, *person, decided, now).await?;
                }
                let delivers = transition
                    .effects
                    .iter()
                    .any(|owed| owed.effect == Effect::Deliver && owed.due <= now);
                let claimed = match self.lease_until.filter(|_| delivers) {
                    Some(until) => tx.claim_own(id, &Effect::Deliver, now, until).await?,
                    None => None,
                };
                Ok((Acted::Done(Box::new(next), transition.summary), claimed))
            }
            Err(refusal) => {
                let asks = refusal == Refusal::NeedsCode;
                audit.event = if asks { "code_asked".to_owned() } else { format!("refused_{name}") };
                audit.summary = refusal.to_string();
                tx.audit(audit).await?;
                Ok((Acted::Refused(refusal), None))
            }
        }
    }
}

/// Why a tap goes nowhere.
enum Dead {
    /// Seen before: nothing to say twice.
    Seen,
    /// Refused, with the reason for the person.
    Refused(String),
    /// The database refused: not consumed, Telegram delivers it again.
    Store(StoreError),
}

impl From<StoreError> for Dead {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Engine {
    pub(crate) async fn poll_telegram(&self, client: telegram::Client, cancel: CancellationToken) {
        let engine = self.clone();
        telegram::poll(&client, telegram::PollOptions::default(), cancel, move |inbound| {
            let engine = engine.clone();
            async move { engine.handle(inbound).await }
        })
        .await;
    }

    /// One update that Telegram pushed to the webhook route.
    ///
    /// # Errors
    /// When it could not be stored: answer with an error, so that Telegram sends it again.
    pub async fn telegram_update(&self, body: &[u8]) -> Result<(), Problem> {
        let Some(webhook) = self.telegram().and_then(|telegram| telegram.webhook.as_ref()) else {
            return Err(Problem::not_found("route"));
        };
        Ok(self.handle(webhook.parse(body)).await?)
    }

    /// Whether a request to the webhook route carries our secret. False when webhook mode is off.
    pub fn telegram_webhook_accepts(&self, header: Option<&[u8]>) -> bool {
        self.telegram()
            .and_then(|telegram| telegram.webhook.as_ref())
            .is_some_and(|webhook| webhook.verify(header))
    }

    /// Whether webhook mode is on.
    pub fn telegram_webhook_enabled(&self) -> bool {
        self.telegram().is_some_and(|telegram| telegram.webhook.is_some())
    }

    /// One update. Ok only when it was dealt with for good.
    pub(crate) async fn handle(&self, inbound: Inbound) -> Result<(), StoreError> {
        self.saw_telegram();
        match inbound {
            Inbound::Tap(tap) => self.tap(tap).await,
            Inbound::Command(command) => self.command(command).await,
            Inbound::Text(text) => self.reply(text).await,
            Inbound::Migrated { update_id, from, to } => {
                if self.consume(update_id).await? {
                    self.migrate(from, to).await?;
                }
                Ok(())
            }
            Inbound::Membership(change) => {
                if self.consume(change.update_id).await? && change.me && !change.present {
                    let summary = format!("the bot can no longer write to chat {} ({})", change.chat, change.status);
                    tracing::error!("{summary}");
                    self.record(None, Actor::Service, "chat_lost", summary).await?;
                }
                Ok(())
            }
            Inbound::Ignored { .. } => Ok(()),
        }
    }

    async fn consume(&self, update_id: i64) -> Result<bool, StoreError> {
        let now = self.now();
        self.store()
            .write(move |tx| Box::pin(async move { tx.consume_update(update_id, now).await }))
            .await
    }

    async fn tap(&self, tap: Tap) -> Result<(), StoreError> {
        let Some(telegram) = self.telegram() else { return Ok(()) };
        let toast = match self.judged_tap(telegram, &tap).await {
            Ok(toast) => toast,
            Err(Dead::Seen) => return Ok(()),
            Err(Dead::Refused(why)) => {
                if !self.refuse_tap(&tap, &why).await? {
                    return Ok(());
                }
                Toast::alert(why)
            }
            Err(Dead::Store(error)) => return Err(error),
        };
        self.crash("tap:recorded");
        // The decision stands whether or not this answer arrives: the card tells it too.
        let (queue, id) = (telegram.queue.clone(), tap.callback_id);
        tokio::spawn(async move { queue.answer(&id, &toast.text, toast.alert).await });
        Ok(())
    }

    /// Audits a refused tap; false when this update was dealt with before.
    async fn refuse_tap(&self, tap: &Tap, why: &str) -> Result<bool, StoreError> {
        let actor = self.actor(&tap.from);
        let audit = Audit {
            proposal: None,
            actor,
            event: "refused_tap".to_owned(),
            summary: why.to_owned(),
            details: json!({ "update": tap.update_id, "chat": tap.chat.map(|c| c.0), "message": tap.message_id.map(|m| m.0) }),
            at: self.now(),
        };
        let (update, now) = (tap.update_id, self.now());
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let first = tx.consume_update(update, now).await?;
                    if first {
                        tx.audit(audit).await?;
                    }
                    Ok::<_, StoreError>(first)
                })
            })
            .await
    }

    async fn judged_tap(&self, telegram: &TelegramSetup, tap: &Tap) -> Result<Toast, Dead> {
        let refuse = |why: &str| Dead::Refused(why.to_owned());
        let (Some(chat), Some(message), false) = (tap.chat, tap.message_id, tap.inline) else {
            return Err(refuse("this button does not belong to a message of a configured chat"));
        };
        if !self.is_configured(chat) {
            return Err(refuse("this chat is not configured for approvals"));
        }
        let (action, nonce) = telegram::decode(&tap.data).map_err(|_| refuse("this button is not one of ours"))?;
        let Some(card) = self.store().read().card_by_nonce(&nonce.to_string()).await? else {
            return self.judged_post(telegram, tap, action, &nonce.to_string(), (chat, message)).await;
        };
        let card = self.adopted(card, chat, message).await?;
        let proposal = self
            .store()
            .read()
            .proposal(card.proposal)
            .await?
            .ok_or_else(|| refuse("the proposal is not known"))?;
        if card.revision != proposal.revision.number || matches!(card.state, CardState::Superseded | CardState::Gone) {
            return Err(Dead::Refused(format!(
                "this card is out of date: revision {} is current",
                proposal.revision.number
            )));
        }
        let person = self.tapping(tap)?;
        // Whoever looks only, or goes back, decides nothing. A Reject is refused as well: a lost phone must not end everybody's work.
        if !matches!(action, Action::FullDiff | Action::Back)
            && let Some(locked) = self.locked_words(&person)
        {
            return Err(Dead::Refused(cut(&locked, 190)));
        }
        self.act_on_tap(telegram, tap, action, &card, &proposal, person).await
    }

    /// Who taps: somebody of the policy, under their own account.
    fn tapping(&self, tap: &Tap) -> Result<PersonRef, Dead> {
        let refuse = |why: &str| Dead::Refused(why.to_owned());
        if !tap.from.is_person() {
            return Err(refuse("only a person can decide, under their own account"));
        }
        self.person(&tap.from)
            .ok_or_else(|| refuse("you are not among the people of this policy; /whoami tells your id"))
    }

    /// The card's message must be this one. After a lost answer the message's id is unknown: then this one is adopted, if the chat is right
    /// and no later card is there or may be arriving now.
    async fn adopted(&self, card: StoredCard, chat: ChatId, message: MessageId) -> Result<StoredCard, Dead> {
        let foreign = || Dead::Refused("this button was moved from another message".to_owned());
        if card.chat != chat.0 {
            return Err(foreign());
        }
        match card.message {
            Some(known) if known == message.0 => Ok(card),
            Some(_) => Err(foreign()),
            None => {
                // A message that is another card's is not this one's, whatever a modified app sends along.
                let known = self.store().read().cards_by_message(chat.0, message.0).await?;
                if known.is_some_and(|other| other.id != card.id && other.state != CardState::Gone) {
                    return Err(foreign());
                }
                let mut later = self.store().read().cards(card.proposal).await?;
                later.retain(|other| other.chat == card.chat && other.id > card.id && other.state != CardState::Gone);
                if later.iter().any(|other| other.message.is_some()) {
                    return Err(Dead::Refused("a newer card of this proposal is below".to_owned()));
                }
                let unsettled = self.now() - chrono::Duration::seconds(SENDING_SECONDS);
                if later.iter().any(|other| other.sent_at > unsettled) {
                    let words = "a newer card of this proposal is being sent: use that one, or tap here again in a minute";
                    return Err(Dead::Refused(words.to_owned()));
                }
                let (id, message) = (card.id, message.0);
                self.store()
                    .write(move |tx| Box::pin(async move { tx.confirm_card(id, message, None).await }))
                    .await?;
                Ok(StoredCard {
                    message: Some(message),
                    state: CardState::Shown,
                    ..card
                })
            }
        }
    }

    async fn act_on_tap(
        &self,
        telegram: &TelegramSetup,
        tap: &Tap,
        action: Action,
        card: &StoredCard,
        proposal: &Proposal,
        person: PersonRef,
    ) -> Result<Toast, Dead> {
        match action {
            Action::Approve => self.approve_or_ask(telegram, tap, card, proposal, person).await,
            Action::Confirm => self.confirm(telegram, tap, card, proposal, person).await,
            Action::SendAnyway => self.ask_to_pass(tap, card, proposal, person).await,
            Action::Back => self.step_back(tap, card, &person).await,
            Action::Reject => {
                self.close_step(card.id, person.id);
                self.review(tap, card, person, ReviewVerdict::Reject, 0).await
            }
            Action::FullDiff => {
                self.consume_once(tap).await?;
                self.send_diff(telegram, card, proposal).await?;
                Ok(Toast::say("the diff is below the card"))
            }
            Action::Cancel | Action::Dismiss => self.tapped_event(tap, card.proposal, Event::Cancel { by: person }, None).await,
            Action::Retry => self.retry_or_ask(tap, card, proposal, person).await,
            Action::Chip(index) => {
                let text = CHIPS.get(usize::from(index)).copied().unwrap_or("other").to_owned();
                self.tapped_event(tap, card.proposal, Event::Reason { by: person, text }, None)
                    .await
            }
            Action::Revert => self.tapped_revert(tap, proposal, person).await,
            Action::Demote => self.tapped_demote(tap, proposal, person).await,
            Action::Sync(index) => self.tapped_sync(telegram, tap, card, proposal, (usize::from(index), person)).await,
            Action::CopySha | Action::CopyCommands => Err(Dead::Refused("this button only copies".to_owned())),
            Action::DiffOf(_) | Action::RevertOf(_) | Action::DemoteOf(_) | Action::Resume | Action::Unlock => {
                Err(Dead::Refused("this button is of another message".to_owned()))
            }
        }
    }

    async fn review(&self, tap: &Tap, card: &StoredCard, by: PersonRef, verdict: ReviewVerdict, hold_seconds: u32) -> Result<Toast, Dead> {
        let decided = Decided {
            approved: verdict == ReviewVerdict::Approve,
            looked: self.looked(card),
        };
        let (person, event) = (
            by.clone(),
            Event::Review {
                by,
                verdict,
                revision: card.revision,
                digest: card.digest,
                hold_seconds,
                verified: false,
            },
        );
        let looked = decided.looked;
        match self.tapped(tap, card.proposal, event, Some((person.id, decided))).await? {
            Acted::Refused(Refusal::NeedsCode) => self.ask_code(card, person, looked).await,
            acted => self.toast(card.proposal, acted).await,
        }
    }

    async fn tapped_event(&self, tap: &Tap, id: ProposalId, event: Event, decided: Option<(UserId, Decided)>) -> Result<Toast, Dead> {
        let acted = self.tapped(tap, id, event, decided).await?;
        self.toast(id, acted).await
    }

    /// Decides on a tap: the consumed update id, the decision, its audit row and what it owes are one transaction.
    async fn tapped(&self, tap: &Tap, id: ProposalId, event: Event, decided: Option<(UserId, Decided)>) -> Result<Acted, Dead> {
        let update = tap.update_id;
        let retries = matches!(event, Event::Retry { .. });
        let word = Word {
            id,
            event,
            actor: self.actor(&tap.from),
            details: json!({ "update": update, "chat": tap.chat.map(|c| c.0), "message": tap.message_id.map(|m| m.0) }),
            decided,
            lease_until: self.lease_of_owner(),
            now: self.now(),
        };
        let book = self.book();
        let answer = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    if !tx.consume_update(update, word.now).await? {
                        return Ok::<_, StoreError>(None);
                    }
                    word.spoken(tx, &book).await.map(Some)
                })
            })
            .await?;
        let (acted, claimed) = answer.ok_or(Dead::Seen)?;
        if let (true, Acted::Done(proposal, _)) = (retries, &acted) {
            self.ask_again_of(&proposal.repository);
        }
        self.follow_word(&acted, claimed);
        Ok(acted)
    }

    /// Only what somebody takes at once is claimed with the decision.
    fn lease_of_owner(&self) -> Option<domain::Timestamp> {
        self.has_owners().then(|| self.lease_until(self.now()))
    }

    /// What follows a person's word once it is committed.
    fn follow_word(&self, acted: &Acted, claimed: Option<i64>) {
        let Acted::Done(proposal, summary) = acted else { return };
        if let Some(effect_id) = claimed {
            let held = Held {
                effect_id,
                proposal: proposal.id,
            };
            self.hand_over(&proposal.repository, held);
        }
        tracing::info!(proposal = %proposal.id, "{summary}");
        self.0.hub.ring(proposal.id);
        self.0.wake.notify_waiters();
    }

    async fn toast(&self, id: ProposalId, acted: Acted) -> Result<Toast, Dead> {
        Ok(match acted {
            Acted::Done(_, summary) => Toast::say(summary),
            Acted::Refused(refusal) => Toast::alert(cut(&self.refused_words(id, &refusal).await?, 190)),
            Acted::Stale(_) | Acted::Missing => Toast::alert("the proposal is not known"),
        })
    }

    /// Why nothing happened: where it is over, what became of it, instead of the state's bare word.
    async fn refused_words(&self, id: ProposalId, refusal: &Refusal) -> Result<String, StoreError> {
        let Refusal::TooLate { delivery } = refusal else {
            return Ok(refusal.to_string());
        };
        let (Some(telegram), Some(proposal)) = (self.telegram(), self.store().read().proposal(id).await?) else {
            return Ok(refusal.to_string());
        };
        let undo = if proposal.is_delivered() { "; it can be reverted" } else { "" };
        if *delivery != domain::Delivery::Ended {
            return Ok(format!("{refusal}{undo}"));
        }
        let card = self.card(&proposal, None).await?;
        let at = proposal.ended_at.or(proposal.decided_at);
        let fate = telegram::fate(&card, at, &self.options(telegram, None));
        Ok(format!("too late: {fate}{undo}"))
    }

    async fn tapped_revert(&self, tap: &Tap, proposal: &Proposal, person: PersonRef) -> Result<Toast, Dead> {
        if !self.book().policy.may_handle(proposal, person.id, self.now()) {
            return Err(Dead::Refused(Refusal::NotEligible.to_string()));
        }
        self.consume_once(tap).await?;
        Ok(match self.revert_by_person(proposal.id, person).await {
            Ok(crate::Created::New(revert)) => Toast::say(format!("revert {} is prepared: see its card", revert.id.short())),
            Ok(crate::Created::Existing(revert)) => Toast::say(format!("revert {} waits already", revert.id.short())),
            Ok(crate::Created::Replayed(_)) => Toast::say("done already"),
            Err(problem) => Toast::alert(cut(&short_ids(&problem.detail), 190)),
        })
    }

    async fn tapped_sync(
        &self,
        telegram: &TelegramSetup,
        tap: &Tap,
        card: &StoredCard,
        proposal: &Proposal,
        (index, person): (usize, PersonRef),
    ) -> Result<Toast, Dead> {
        if !self.book().policy.may_handle(proposal, person.id, self.now()) {
            return Err(Dead::Refused(Refusal::NotEligible.to_string()));
        }
        let instance = self.repository(&proposal.repository).and_then(|setup| self.instance_of(setup));
        let (Some(instance), Some(app)) = (
            instance.filter(|instance| instance.sync_on_request),
            proposal.applications.get(index),
        ) else {
            return Err(Dead::Refused("syncing from here is not allowed".to_owned()));
        };
        if let Some(stop) = self.stops_over(proposal).first() {
            let said = format!(
                "nothing is synced from here while stop {} stands: {}; /resume {} ends it",
                stop.id,
                stop.why(),
                stop.id
            );
            return Err(Dead::Refused(cut(&said, 190)));
        }
        self.consume_once(tap).await?;
        let result = self.request_sync(instance, app, proposal.id).await;
        let commit = proposal.commit.map(|commit| format!(" at {}", commit.short())).unwrap_or_default();
        let said = match &result {
            Ok(()) => format!("{} asked Argo CD to sync {}{commit}", person.name, app.name),
            Err(why) => format!("{} asked to sync {}: {why}", person.name, app.name),
        };
        self.record(Some(proposal.id), Actor::Person(person), "sync_requested", said.clone())
            .await?;
        if result.is_ok() {
            return Ok(Toast::say(said));
        }
        // An alert is short and soon gone, and what is to be done stands at the end.
        Self::post_below(telegram, &said, (card.chat, card.thread, card.message));
        Ok(Toast::alert(cut(&said, 190)))
    }

    /// Says something below the message that it is about: chat, topic, message.
    fn post_below(telegram: &TelegramSetup, text: &str, (chat, thread, message): (i64, Option<i64>, Option<i64>)) {
        let (queue, rendered) = (telegram.queue.clone(), telegram::message(text));
        // Best effort, outside the answer's time: the audit log has the same words.
        tokio::spawn(async move {
            let (thread, reply) = (thread.map(telegram::ThreadId), message.map(MessageId));
            if let Err(error) = queue.send(ChatId(chat), thread, rendered, false, reply).await {
                tracing::warn!(%error, "an answer could not be sent");
            }
        });
    }

    async fn send_diff(&self, telegram: &TelegramSetup, card: &StoredCard, proposal: &Proposal) -> Result<(), Dead> {
        let shown = self.card(proposal, Some(card)).await?;
        self.post_diff(telegram, &shown, (card.chat, card.thread, card.message));
        Ok(())
    }

    /// Sends a diff below the message that it was asked for at: chat, topic, message.
    fn post_diff(&self, telegram: &TelegramSetup, shown: &telegram::Card, (chat, thread, message): (i64, Option<i64>, Option<i64>)) {
        let document = telegram::full_diff(shown);
        let (queue, chat, thread) = (telegram.queue.clone(), ChatId(chat), thread.map(telegram::ThreadId));
        let reply = message.map(MessageId);
        // Best effort, outside the answer's time: a second tap sends it again.
        tokio::spawn(async move {
            if let Err(error) = queue.send_document(chat, thread, document, false, reply).await {
                tracing::warn!(%error, "a diff could not be sent");
            }
        });
    }

    /// A reply to a card: a code for an approval, or the reason of whoever rejected it.
    async fn reply(&self, text: Text) -> Result<(), StoreError> {
        let (Some(from), Some(reply_to)) = (&text.from, text.reply_to) else {
            return Ok(());
        };
        if !self.is_configured(text.chat) {
            return Ok(());
        }
        let Some(card) = self.store().read().cards_by_message(text.chat.0, reply_to.0).await? else {
            return Ok(());
        };
        let Some(person) = self.person(from) else { return Ok(()) };
        // Never a reason, which agents would read.
        if let Some(code) = codes::digits(&text.text) {
            return self.code_replied(&text, code, &card, person).await;
        }
        if !self.consume(text.update_id).await? {
            return Ok(());
        }
        let event = Event::Reason {
            by: person.clone(),
            text: cut(&text.text, 1000),
        };
        let act = Act {
            actor: Actor::Person(person),
            audit_refusal: false,
            ..Act::service(card.proposal, event)
        };
        if let Acted::Done(proposal, _) = self.act(act).await? {
            tracing::info!(proposal = %proposal.id, "a reason was given");
        }
        Ok(())
    }

    async fn consume_once(&self, tap: &Tap) -> Result<(), Dead> {
        if self.consume(tap.update_id).await? {
            Ok(())
        } else {
            Err(Dead::Seen)
        }
    }

    pub(crate) async fn owe_edit(&self, id: ProposalId) -> Result<(), StoreError> {
        let now = self.now();
        self.store()
            .write(move |tx| Box::pin(async move { tx.schedule(Some(id), &domain::Effect::EditCards, now).await }))
            .await
    }

    /// Whether a chat is one of ours.
    fn is_configured(&self, chat: ChatId) -> bool {
        self.repositories()
            .flat_map(|setup| setup.approvals.iter().chain(&setup.notifications))
            .any(|place| place.chat == chat || self.moved_to(place.chat) == chat)
    }

    fn person(&self, sender: &Sender) -> Option<PersonRef> {
        self.book().policy.person(sender.id).map(|person| PersonRef {
            id: person.id,
            name: person.name.clone(),
        })
    }

    fn actor(&self, sender: &Sender) -> Actor {
        self.person(sender).map_or_else(
            || Actor::Stranger {
                id: sender.id.0,
                name: cut(&sender.name, 80),
            },
            Actor::Person,
        )
    }
}

/// Agents are told whole ids; in a chat the digits that cards show are enough.
fn short_ids(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("prp_") {
        let (before, from) = rest.split_at(at);
        let length = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
        let (word, after) = from.split_at(length);
        said.push_str(before);
        said.push_str(&word.parse().map_or_else(|_| word.to_owned(), |id: ProposalId| id.short()));
        rest = after;
    }
    said + rest
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
