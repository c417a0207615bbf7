//! What people can type.

use std::collections::BTreeMap;
use std::sync::Mutex;

use domain::{Event, Proposal, ProposalId, Timestamp, UserId};
use store::{Actor, ListFilter, StoreError};
use telegram::{Command, MessageId, Rendered};

use super::cut;
use crate::act::{Act, Acted};
use crate::{Engine, TelegramSetup};

/// Proposals on one list.
const LIST_MAX: u32 = 20;
/// A stranger's `/whoami` is answered once in this time.
const STRANGER_SECONDS: i64 = 30;
/// Strangers remembered for that; more are simply not answered.
const STRANGERS_MAX: usize = 1000;

static STRANGERS: Mutex<BTreeMap<UserId, Timestamp>> = Mutex::new(BTreeMap::new());

const HELP: &str = "An agent proposes, you decide, git carries it, Argo CD proves it.\n\n\
/pending: what waits for a decision\n\
/show ID: one proposal with its card\n\
/history: what was decided lately\n\
/cancel ID: stop one before its push\n\
/revert ID: take a delivered one back\n\
/whoami: your numeric id and groups\n\n\
Reply to a card you rejected within two minutes to tell the agent why.";

impl Engine {
    pub(super) async fn command(&self, command: Command) -> Result<(), StoreError> {
        let Some(telegram) = self.telegram() else { return Ok(()) };
        if !self.consume(command.update_id).await? {
            return Ok(());
        }
        let Some(from) = command.from.clone() else {
            if self.is_configured(command.chat) {
                self.say(
                    telegram,
                    &command,
                    telegram::message("Write under your own account: an anonymous administrator cannot be told apart."),
                );
            }
            return Ok(());
        };
        let known = self.person(&from);
        let answered = self.is_configured(command.chat) || (command.private && known.is_some());
        if !answered {
            if command.name == "whoami" && !from.is_bot && self.stranger_may_ask(from.id) {
                self.say(
                    telegram,
                    &command,
                    telegram::message(&format!("Your id is {}. You are not in the policy.{}", from.id.0, place(&command))),
                );
            }
            return Ok(());
        }
        let answer = match command.name.as_str() {
            "start" | "help" => telegram::message(HELP),
            "whoami" => telegram::message(&format!("{}{}", self.whoami(from.id), place(&command))),
            "pending" => self.listing(telegram, "Waiting for a decision", true).await?,
            "history" => self.listing(telegram, "Lately", false).await?,
            "show" | "cancel" | "revert" => match self.named(&command).await? {
                Ok(proposal) => self.about(telegram, &command, proposal, from).await?,
                Err(why) => telegram::message(&why),
            },
            // Some other bot's command, or a typing error: silence is less noise in a group.
            _ if !command.private => return Ok(()),
            _ => telegram::message("That is no command here. /help lists them."),
        };
        self.say(telegram, &command, answer);
        Ok(())
    }

    async fn about(
        &self,
        telegram: &TelegramSetup,
        command: &Command,
        proposal: Proposal,
        from: telegram::Sender,
    ) -> Result<Rendered, StoreError> {
        if command.name == "show" {
            let card = self.card(&proposal, None).await?;
            return Ok(telegram::render(&card, &self.options(telegram, None)));
        }
        let Some(person) = self.person(&from).filter(|person| self.book().policy.is_approver(person.id)) else {
            self.record(
                Some(proposal.id),
                self.actor(&from),
                &format!("refused_{}", command.name),
                "not among the approvers".to_owned(),
            )
            .await?;
            return Ok(telegram::message("Only approvers can do that. /whoami tells your groups."));
        };
        if command.name == "revert" {
            return Ok(match self.revert_by_person(proposal.id, person).await {
                Ok(crate::Created::New(revert) | crate::Created::Existing(revert)) => {
                    telegram::message(&format!("Revert {} is prepared: {}.", revert.id.short(), revert.tier()))
                }
                Ok(crate::Created::Replayed(_)) => telegram::message("Done already."),
                Err(problem) => telegram::message(&problem.detail),
            });
        }
        let act = Act {
            actor: Actor::Person(person.clone()),
            audit_refusal: true,
            ..Act::service(proposal.id, Event::Cancel { by: person })
        };
        Ok(match self.act(act).await? {
            Acted::Done(_, summary) => telegram::message(&summary),
            Acted::Refused(refusal) => telegram::message(&refusal.to_string()),
            Acted::Stale(_) | Acted::Missing => telegram::message("There is no such proposal."),
        })
    }

    async fn listing(&self, telegram: &TelegramSetup, heading: &str, open: bool) -> Result<Rendered, StoreError> {
        let filter = ListFilter {
            open_only: open,
            ..ListFilter::default()
        };
        let (proposals, _) = self.store().read().list(&filter, None, LIST_MAX).await?;
        let mut cards = Vec::new();
        for proposal in &proposals {
            cards.push(self.card(proposal, None).await?);
        }
        Ok(telegram::list(heading, &cards, &self.options(telegram, None)))
    }

    /// The proposal a command names: a full id, the last digits shown on cards, or the card that it replies to.
    async fn named(&self, command: &Command) -> Result<Result<Proposal, String>, StoreError> {
        let read = self.store().read();
        if let Some(text) = command.args.first() {
            let found = match text.parse::<ProposalId>() {
                Ok(id) => vec![id],
                Err(_) => read.by_short(text).await?,
            };
            return Ok(match found[..] {
                [id] => read.proposal(id).await?.ok_or_else(|| format!("There is no proposal {id}.")),
                [] => Err(format!("There is no proposal {}.", cut(text, 40))),
                _ => Err(format!("{} names several proposals: give the whole id.", cut(text, 40))),
            });
        }
        if let Some(reply) = command.reply_to
            && let Some(card) = read.cards_by_message(command.chat.0, reply.0).await?
        {
            return Ok(read
                .proposal(card.proposal)
                .await?
                .ok_or_else(|| "That proposal is gone.".to_owned()));
        }
        Ok(Err(format!("Which one? Reply to its card, or write /{} and its id.", command.name)))
    }

    fn whoami(&self, id: UserId) -> String {
        let policy = self.book().policy.clone();
        let Some(person) = policy.person(id) else {
            return format!("Your id is {}. You are not in the policy.", id.0);
        };
        let owns: Vec<_> = person.owns.iter().map(|agent| agent.as_str()).collect();
        let groups: Vec<_> = policy.groups_of(id).into_iter().map(|group| group.to_string()).collect();
        let mut text = format!(
            "You are {} (id {}).\nGroups: {}.",
            person.name,
            id.0,
            if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
        );
        if !owns.is_empty() {
            text.push_str(&format!("\nYou own {}: others approve for it.", owns.join(", ")));
        }
        text
    }

    fn stranger_may_ask(&self, id: UserId) -> bool {
        let now = self.now();
        let mut strangers = STRANGERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        strangers.retain(|_, asked| (now - *asked).num_seconds() < STRANGER_SECONDS);
        strangers.len() < STRANGERS_MAX && strangers.insert(id, now).is_none()
    }

    /// Answers a command, best effort: the person sees whether it came, and asks again.
    fn say(&self, telegram: &TelegramSetup, command: &Command, rendered: Rendered) {
        let (queue, chat, thread, reply) = (
            telegram.queue.clone(),
            command.chat,
            command.thread,
            MessageId(command.message_id.0),
        );
        tokio::spawn(async move {
            if let Err(error) = queue.send(chat, thread, rendered, false, Some(reply)).await {
                tracing::warn!(%error, "a command could not be answered");
            }
        });
    }
}

/// Where a command was written, for the configuration; nothing in a private chat.
fn place(command: &Command) -> String {
    if command.private {
        return String::new();
    }
    let topic = command.thread.map(|thread| format!(", topic {thread}")).unwrap_or_default();
    format!("\nThis chat is {}{topic}.", command.chat)
}
