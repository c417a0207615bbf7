//! `/runbooks`, `/trust`, `/lift`, `/demote`, `/notnow` and the Demote button.

use chrono_tz::Tz;
use domain::ledger::{LedgerKey, TrustConstants};
use domain::{PersonRef, Proposal, Refusal, RunbookName};
use store::StoreError;
use telegram::{Command, Document, MessageId, Rendered, Square, Tap};

use super::{Dead, Toast, cut};
use crate::{Engine, RunbookStanding, TelegramSetup};

/// Longest caption of a picture that Telegram takes.
const CAPTION_MAX: usize = 1000;

impl Engine {
    /// Every runbook with the tier that trust allows it now.
    pub(super) async fn runbooks_listed(&self) -> Result<Rendered, StoreError> {
        let names: Vec<RunbookName> = self.book().runbook_names().into_iter().cloned().collect();
        let mut lines = Vec::new();
        for name in &names {
            for one in self.standings(name).await? {
                let mark = if one.needs_a_human() { "⛔ " } else { "" };
                lines.push(format!("{mark}{name} in {}: {}", one.key.environment, one.words()));
            }
        }
        if lines.is_empty() {
            return Ok(telegram::message("There are no runbooks."));
        }
        lines.push("\n/trust NAME shows a record.".to_owned());
        Ok(telegram::message(&lines.join("\n")))
    }

    /// One runbook's record in words; its picture is sent beside it. `None` while nothing is to be said beside the picture.
    pub(super) async fn trust_shown(&self, telegram: &TelegramSetup, command: &Command) -> Result<Option<Rendered>, StoreError> {
        let name = match self.runbook_named(command) {
            Ok(name) => name,
            Err(why) => return Ok(Some(telegram::message(&why))),
        };
        let standings = self.standings(&name).await?;
        let mut unsent = Vec::new();
        for one in &standings {
            let words = record_words(one, self.zone());
            let squares: Vec<Square> = one.squares.iter().map(|square| shown(*square)).collect();
            match telegram::picture(&squares, one.standing.bound, TrustConstants::default().bound_min) {
                Ok(bytes) if words.chars().count() <= CAPTION_MAX => {
                    let explained = format!("{words}\n{}", legend(&squares));
                    let caption = if explained.chars().count() <= CAPTION_MAX {
                        explained
                    } else {
                        words
                    };
                    self.send_picture(telegram, command, &name, bytes, caption.trim_end().to_owned());
                }
                Ok(_) => unsent.push(words),
                Err(error) => {
                    tracing::warn!(%error, "a record is shown without its picture");
                    unsent.push(words);
                }
            }
        }
        Ok((!unsent.is_empty()).then(|| telegram::message(&unsent.join("\n\n"))))
    }

    fn send_picture(&self, telegram: &TelegramSetup, command: &Command, name: &RunbookName, bytes: Vec<u8>, caption: String) {
        let picture = Document {
            file_name: format!("{name}.png"),
            bytes,
            caption: caption.clone(),
            picture: true,
        };
        let (queue, chat, thread) = (telegram.queue.clone(), command.chat, command.thread);
        let reply = Some(MessageId(command.message_id.0));
        tokio::spawn(async move {
            let Err(error) = queue.send_document(chat, thread, picture, false, reply).await else {
                return;
            };
            // A chat may forbid pictures: the words are what counts.
            tracing::warn!(%error, "a picture could not be sent; its words are");
            if let Err(error) = queue.send(chat, thread, telegram::message(&caption), false, reply).await {
                tracing::warn!(%error, "a command could not be answered");
            }
        });
    }

    /// `/lift NAME`, `/demote NAME` and `/notnow NAME`: for the approvers of the rules that name the runbook.
    pub(super) async fn judged_runbook(&self, command: &Command, person: Option<PersonRef>) -> Result<Rendered, StoreError> {
        let name = match self.runbook_named(command) {
            Ok(name) => name,
            Err(why) => return Ok(telegram::message(&why)),
        };
        let policy = self.book().policy.clone();
        let locked = person.as_ref().and_then(|person| self.locked_words(person));
        let Some(person) = person.filter(|person| policy.may_judge(&name, person.id, self.now())) else {
            let groups: Vec<_> = policy.runbook_groups(&name).into_iter().map(ToString::to_string).collect();
            let who = command.from.as_ref().map(|from| self.actor(from)).unwrap_or(store::Actor::Service);
            let what = format!("refused_{}", command.name);
            self.record(None, who, &what, Refusal::NotEligible.to_string()).await?;
            let words = format!(
                "Only approvers of {name} can do that: {}. /whoami tells your groups.",
                groups.join(", ")
            );
            return Ok(telegram::message(&locked.unwrap_or(words)));
        };
        let said = match command.name.as_str() {
            "lift" => self.lift(&name, person).await?,
            "demote" => self.demote_everywhere(&name, &person).await?,
            _ => self.turn_down(&name, person).await?,
        };
        Ok(telegram::message(&said))
    }

    pub(super) async fn tapped_demote(&self, tap: &Tap, proposal: &Proposal, person: PersonRef) -> Result<Toast, Dead> {
        let (domain::Origin::Runbook(call) | domain::Origin::Observed(call)) = &proposal.origin else {
            return Err(Dead::Refused("this change is no run of a runbook".to_owned()));
        };
        let policy = self.book().policy.clone();
        if !policy.may_handle(proposal, person.id, self.now()) && !policy.may_judge(&call.runbook, person.id, self.now()) {
            return Err(Dead::Refused(Refusal::NotEligible.to_string()));
        }
        self.consume_once(tap).await?;
        let said = self.demote_by_person(proposal, person).await?;
        self.owe_edit(proposal.id).await?;
        Ok(Toast::alert(cut(&said, 190)))
    }

    fn runbook_named(&self, command: &Command) -> Result<RunbookName, String> {
        let book = self.book();
        let names = book.runbook_names();
        let known: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let Some(text) = command.args.first() else {
            return Err(format!("Which one? Write /{} and one of: {}.", command.name, known.join(", ")));
        };
        let found = names.iter().find(|name| name.as_str() == text);
        found.map(|name| (*name).clone()).ok_or_else(|| {
            let text = cut(text, 40);
            format!("There is no runbook {text}. There are: {}.", known.join(", "))
        })
    }
}

/// A record in words, for a caption.
fn record_words(one: &RunbookStanding, zone: Tz) -> String {
    let RunbookStanding { key, standing, shadow, .. } = one;
    let LedgerKey {
        runbook,
        hash,
        environment,
    } = key;
    let counts = standing.counts;
    let mut lines = vec![
        format!("{runbook} ({}) in {environment}", hash.short()),
        format!("{}: {}", standing.words, standing.why),
        format!(
            "{}, {}, {} open",
            domain::counted(counts.days, "day", "days"),
            domain::counted(counts.targets, "target", "targets"),
            counts.open
        ),
    ];
    lines.extend(shadow.words());
    if standing.offer.is_some() {
        lines.push("A promotion is offered.".to_owned());
    } else if !standing.missing.is_empty() {
        lines.push(format!("An offer lacks: {}.", standing.missing.join("; ")));
    }
    for hold in &standing.holds {
        lines.push(format!(
            "On hold: {} since {} (/lift {runbook})",
            hold.path,
            hold.since.with_timezone(&zone).format("%Y-%m-%d")
        ));
    }
    lines.join("\n")
}

/// What the picture of a record shows.
fn legend(squares: &[Square]) -> String {
    if squares.is_empty() {
        return String::new();
    }
    format!(
        "Picture: a square for each run, oldest first (full: went well, with a hole: failed, a frame: nobody knows); the bar is the lower bound, \
         its mark {:.0} %.",
        TrustConstants::default().bound_min * 100.0
    )
}

const fn shown(square: domain::ledger::Square) -> Square {
    match square {
        domain::ledger::Square::Good => Square::Good,
        domain::ledger::Square::Bad => Square::Bad,
        domain::ledger::Square::Unknown => Square::Unknown,
    }
}
