//! What people can type.

use domain::{Decision, Delivery, Event, Proposal, ProposalId, Refusal, UserId};
use store::{Actor, ListFilter, StoreError};
use telegram::{Command, MessageId, Rendered};

use super::{cut, short_ids};
use crate::act::{Act, Acted};
use crate::{Engine, TelegramSetup};

/// Proposals on one list.
const LIST_MAX: usize = 20;
/// Proposals read at once for a list.
const PAGE: u32 = 50;
/// Proposals named when a short id fits several.
const NAMESAKES_MAX: usize = 5;
/// A stranger's `/whoami` is answered once in this time.
const STRANGER_SECONDS: i64 = 30;
/// Strangers remembered for that; more are simply not answered.
const STRANGERS_MAX: usize = 1000;

/// What is answered; an anonymous administrator gets a hint for these only, as other bots of a group have commands, too.
const KNOWN: [&str; 21] = [
    "start",
    "help",
    "whoami",
    "pending",
    "history",
    "show",
    "cancel",
    "revert",
    "stop",
    "stops",
    "resume",
    "override",
    "lockme",
    "unlock",
    "runbooks",
    "trust",
    "lift",
    "demote",
    "notnow",
    "unexplained",
    "code",
];

const HELP: &str = "An agent proposes, you decide, git carries it, Argo CD proves it.\n\n\
/pending: what waits for somebody\n\
/show ID: one proposal with its card\n\
/history: what is under way or ended, the newest first\n\
/cancel ID: stop one before its push\n\
/revert ID: take a delivered one back\n\
/runbooks: which runbooks run by themselves\n\
/trust NAME: one runbook's record\n\
/lift NAME: let a runbook run again after a revert or too many failures\n\
/demote NAME: take standard away from a runbook\n\
/notnow NAME: turn the offer of a promotion down\n\
/stop: nothing is sent any more; or /stop agent NAME, path GLOB, runbook NAME, tier TIER, and why\n\
/stops: what is stopped, and who is locked\n\
/resume N: ends a stop, when two people ask for it\n\
/override ID: let one pass a freeze, where you may\n\
/lockme: take your own rights away at once\n\
/unlock NAME: give them back, when two others ask for it\n\
/unexplained: commits that came another way\n\
/code 123456: the code that an approval of yours waits for\n\
/whoami: your numeric id and groups\n\n\
Reply to a card you rejected within two minutes to tell the agent why.";

/// The two lists: every proposal stands on exactly one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// Somebody must do something.
    Waiting,
    /// Everything else: under way, or ended.
    Others,
}

impl Engine {
    /// Whether a human must decide, commit, unblock or resume.
    fn waits(&self, proposal: &Proposal) -> bool {
        let stopped = || proposal.delivery == Delivery::Queued && !self.stops_over(proposal).is_empty();
        !proposal.is_over() && (proposal.decision == Decision::Pending || proposal.delivery == Delivery::PushBlocked || stopped())
    }

    pub(super) async fn command(&self, command: Command) -> Result<(), StoreError> {
        let Some(telegram) = self.telegram() else { return Ok(()) };
        let configured = self.is_configured(command.chat);
        // Consumed where the code is judged.
        if command.name == "code"
            && let Some(person) = command.from.as_ref().and_then(|from| self.person(from))
            && (configured || command.private)
        {
            return self.code_commanded(&command, person).await;
        }
        if !self.consume(command.update_id).await? {
            return Ok(());
        }
        let Some(from) = command.from.clone() else {
            if configured && (command.addressed || KNOWN.contains(&command.name.as_str())) {
                self.say(
                    telegram,
                    &command,
                    telegram::message("Write under your own account: an anonymous administrator cannot be told apart."),
                );
            }
            return Ok(());
        };
        let person = self.person(&from).filter(|_| configured || command.private);
        if person.is_none() {
            return self.stranger(telegram, &command, &from).await;
        }
        let answer = match command.name.as_str() {
            "start" | "help" => telegram::message(HELP),
            "whoami" => {
                // How somebody decides is theirs to know: never in a group.
                let habits = if command.private {
                    self.habits(from.id).await?
                } else {
                    String::new()
                };
                telegram::message(&format!("{}{habits}{}", self.whoami(from.id), place(&command)))
            }
            "pending" => self.listing(telegram, Listed::Waiting).await?,
            "history" => self.listing(telegram, Listed::Others).await?,
            "unexplained" => telegram::message(&self.list_unexplained().await?),
            "runbooks" => self.runbooks_listed().await?,
            "trust" => match self.trust_shown(telegram, &command).await? {
                Some(words) => words,
                None => return Ok(()),
            },
            "lift" | "notnow" | "demote" => self.judged_runbook(&command, self.person(&from)).await?,
            "stop" | "stops" | "resume" | "lockme" | "unlock" => telegram::message(&self.ordered_by(&command, &from).await?),
            "show" | "cancel" | "revert" | "override" => match self.named(&command).await? {
                Ok(proposal) => self.about(telegram, &command, proposal, from).await?,
                Err(why) => telegram::message(&why),
            },
            // Perhaps another bot's command: silence is less noise in a group.
            _ if !command.private && !command.addressed => return Ok(()),
            _ => telegram::message("That is no command here. /help lists them."),
        };
        self.say(telegram, &command, answer);
        Ok(())
    }

    /// Somebody who is not in the policy, or not where we answer: `/whoami`, now and then, and nothing else. That they tried to stop or
    /// revert something in a chat of ours is written down.
    async fn stranger(&self, telegram: &TelegramSetup, command: &Command, from: &telegram::Sender) -> Result<(), StoreError> {
        if command.name == "whoami" && !from.is_bot && self.stranger_may_ask(from.id) {
            let known = if self.person(from).is_some() {
                ""
            } else {
                " You are not in the policy."
            };
            let words = format!("Your id is {}.{known}{}", from.id.0, place(command));
            self.say(telegram, command, telegram::message(&words));
        }
        let orders = ["cancel", "revert", "stop", "resume", "override", "lockme", "unlock", "code"];
        if orders.contains(&command.name.as_str()) && self.is_configured(command.chat) {
            let event = format!("refused_{}", command.name);
            self.record(None, self.actor(from), &event, "not among the people of this policy".to_owned())
                .await?;
        }
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
        if command.name == "override" {
            return Ok(telegram::message(&self.pass_commanded(&proposal, &from).await?));
        }
        let policy = self.book().policy.clone();
        let Some(person) = self
            .person(&from)
            .filter(|person| policy.may_handle(&proposal, person.id, self.now()))
        else {
            let groups: Vec<_> = policy.handlers(&proposal).into_iter().map(ToString::to_string).collect();
            let words = format!("Only approvers can do that: {}. /whoami tells your groups.", groups.join(", "));
            let locked = self.person(&from).and_then(|person| self.locked_words(&person));
            let words = locked.unwrap_or(words);
            self.record(
                Some(proposal.id),
                self.actor(&from),
                &format!("refused_{}", command.name),
                Refusal::NotEligible.to_string(),
            )
            .await?;
            return Ok(telegram::message(&words));
        };
        if command.name == "revert" {
            return Ok(match self.revert_by_person(proposal.id, person).await {
                Ok(crate::Created::New(revert) | crate::Created::Existing(revert)) => {
                    telegram::message(&format!("Revert {} is prepared: see its card.", revert.id.short()))
                }
                Ok(crate::Created::Replayed(_)) => telegram::message("Done already."),
                Err(problem) => telegram::message(&short_ids(&problem.detail)),
            });
        }
        let act = Act {
            actor: Actor::Person(person.clone()),
            audit_refusal: true,
            ..Act::service(proposal.id, Event::Cancel { by: person })
        };
        Ok(match self.act(act).await? {
            Acted::Done(_, summary) => telegram::message(&summary),
            Acted::Refused(refusal) => {
                let words = self.refused_words(proposal.id, &refusal).await?;
                telegram::message(&format!("{} is not cancelled: {words}.", proposal.id.short()))
            }
            Acted::Stale(_) | Acted::Missing => telegram::message("There is no such proposal."),
        })
    }

    async fn listing(&self, telegram: &TelegramSetup, which: Listed) -> Result<Rendered, StoreError> {
        let filter = ListFilter {
            open_only: which == Listed::Waiting,
            ..ListFilter::default()
        };
        let (mut cards, mut more, mut cursor) = (Vec::new(), false, None);
        'pages: loop {
            let (proposals, next) = self.store().read().list(&filter, cursor, PAGE).await?;
            for proposal in proposals
                .iter()
                .filter(|proposal| self.waits(proposal) == (which == Listed::Waiting))
            {
                if cards.len() == LIST_MAX {
                    more = true;
                    break 'pages;
                }
                cards.push(self.card(proposal, None).await?);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let stops = match self.ordered().stops.len() {
            0 => String::new(),
            standing => format!(" ({}: /stops)", domain::counted(standing, "stop stands", "stops stand")),
        };
        let newest = if more { format!(", the newest {LIST_MAX}") } else { String::new() };
        Ok(match (which, cards.is_empty()) {
            (Listed::Waiting, true) => telegram::message(&format!("Nothing waits for anybody.{stops}")),
            (Listed::Others, true) => telegram::message("Nothing is under way, and nothing has ended yet."),
            (Listed::Waiting, false) => telegram::list(
                &format!("Waiting for somebody{newest}{stops}"),
                &cards,
                &self.options(telegram, None),
            ),
            (Listed::Others, false) => telegram::list(&format!("Under way or ended{newest}"), &cards, &self.options(telegram, None)),
        })
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
                [id] => read
                    .proposal(id)
                    .await?
                    .ok_or_else(|| format!("There is no proposal {}.", id.short())),
                [] => Err(format!("There is no proposal {}.", cut(text, 40))),
                _ => Err(self.namesakes(text, &found).await?),
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

    /// Several proposals end with these digits: says which, by whole id.
    async fn namesakes(&self, text: &str, found: &[ProposalId]) -> Result<String, StoreError> {
        let mut said = format!("{} names {} proposals. Give the whole id:", cut(text, 40), found.len());
        for id in found.iter().take(NAMESAKES_MAX) {
            if let Some(proposal) = self.store().read().proposal(*id).await? {
                said.push_str(&format!(
                    "\n{id} ({}, {}, agent {})",
                    proposal.tier(),
                    proposal.decision,
                    proposal.agent
                ));
            }
        }
        Ok(said)
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
        let ordered = self.ordered();
        if let Some(lock) = ordered.locks.iter().find(|lock| lock.person.id == id) {
            text.push_str(&format!(
                "\nYou locked yourself on {}: nothing that you approve counts. /unlock {} by two others gives you your rights back.",
                self.moment(lock.at),
                person.name
            ));
        }
        for (group, whose, until) in policy.stands_in(id, self.now()) {
            text.push_str(&format!("\nYou stand in for {whose} in {group} until {}.", self.moment(until)));
        }
        if !owns.is_empty() {
            text.push_str(&format!("\nYou own {}: others approve for it.", owns.join(", ")));
        }
        text
    }

    fn stranger_may_ask(&self, id: UserId) -> bool {
        let now = self.now();
        let mut strangers = self.0.strangers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
