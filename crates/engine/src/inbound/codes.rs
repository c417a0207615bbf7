//! Codes: what an approval takes beside a tap where the policy marks the paths. A tap opens a request of one person on one card; their code
//! completes exactly that approval. Requests live in memory for two minutes: after a restart a tap asks again, and no code is lost by it.
//!
//! A right code is used up in the transaction that looked at it, whatever it completes: who reads along in the chat has nothing left to repeat.

use chrono_tz::Tz;
use domain::code::{CodeKey, Generator, Typed};
use domain::{Event, PersonRef, Proposal, ProposalId, ReviewVerdict, Sha256Hash, Timestamp, UserId};
use serde_json::json;
use store::{Actor, Audit, Card as StoredCard, Decided, StoreError, Tx};
use telegram::{ChatId, CodeStep, Command, MessageId, Text, ThreadId};

use super::{Dead, Toast, Word, cut};
use crate::act::Acted;
use crate::{Book, Engine};

/// How long an approval waits for its code.
const AWAITED_SECONDS: i64 = 120;

const FORMS: &str = "Write /code and the six digits that your app shows, such as /code 123456; or reply to the card with them.";
const NO_KEY: &str = "No codes can be checked: ask an operator to look at policy.code_key_file.";

/// An approval that waits for a code.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedCode {
    proposal: ProposalId,
    revision: u32,
    digest: Sha256Hash,
    who: String,
    /// From the card to the tap.
    looked: chrono::Duration,
    until: Timestamp,
}

/// A code as it came in.
struct Sent {
    update: i64,
    person: PersonRef,
    code: String,
    chat: ChatId,
    thread: Option<ThreadId>,
    message: MessageId,
}

/// Which approval a code is meant for.
enum Meant {
    One(i64, AwaitedCode),
    None,
    Several,
}

/// What a code came to.
enum Came {
    /// Right, and this is what became of the approval.
    Decided(ProposalId, Acted, Option<i64>),
    /// Right, and for nothing.
    Spent,
    /// Not right.
    Not(Typed),
    /// They have no generator.
    NotEnrolled,
}

impl Engine {
    /// A tap alone is not enough: what the person is told, and what waits for them from now on.
    pub(super) async fn ask_code(&self, card: &StoredCard, person: PersonRef, looked: chrono::Duration) -> Result<Toast, Dead> {
        let Some(generator) = self.store().read().generator(person.id).await? else {
            return Ok(Toast::alert(cut(&not_enrolled(&person.name), 190)));
        };
        if let Some(until) = generator.locked(self.now()) {
            return Ok(Toast::alert(locked(until, self.zone())));
        }
        if self.code_key().is_none() {
            return Ok(Toast::alert(NO_KEY));
        }
        let (until, id) = (self.now() + chrono::Duration::seconds(AWAITED_SECONDS), card.proposal);
        let awaited = AwaitedCode {
            proposal: id,
            revision: card.revision,
            digest: card.digest,
            who: person.name,
            looked,
            until,
        };
        self.awaited().insert((person.id, card.id), awaited);
        self.owe_step(id).await?;
        Ok(Toast::alert(format!(
            "Now send the code of your generator, within 2 minutes: /code 123456, or a reply to the card. It approves {}, digest {}.",
            id.short(),
            card.digest.short()
        )))
    }

    /// Whose approvals of this card wait for a code now.
    pub(crate) fn codes_awaited(&self, card: i64, proposal: &Proposal) -> Option<CodeStep> {
        let awaited = self.awaited();
        let here = awaited
            .iter()
            .filter(|((_, on), one)| *on == card && one.revision == proposal.revision.number);
        let here: Vec<_> = here.map(|(_, one)| one).collect();
        let until = here.iter().map(|one| one.until).max()?;
        Some(CodeStep {
            who: here.into_iter().map(|one| one.who.clone()).collect(),
            until,
        })
    }

    /// `/code 123456`, with the proposal's id behind it where several wait.
    pub(super) async fn code_commanded(&self, command: &Command, person: PersonRef) -> Result<(), StoreError> {
        let (code, named) = read(&command.args);
        let meant = match (named, command.reply_to) {
            (Some(id), _) => self.meant(person.id, |_, one| {
                one.proposal.short().eq_ignore_ascii_case(id) || one.proposal.to_string() == id
            }),
            (None, Some(reply)) => {
                let card = self.store().read().cards_by_message(command.chat.0, reply.0).await?;
                self.meant(person.id, |on, _| card.as_ref().is_none_or(|card| card.id == on))
            }
            (None, None) => self.meant(person.id, |_, _| true),
        };
        let sent = Sent {
            update: command.update_id,
            person,
            code: code.unwrap_or_default(),
            chat: command.chat,
            thread: command.thread,
            message: command.message_id,
        };
        if sent.code.is_empty() {
            if self.consume(sent.update).await? {
                self.answer_code(&sent, FORMS);
            }
            return Ok(());
        }
        self.code_sent(sent, meant).await
    }

    /// Six digits as a reply to a card.
    pub(super) async fn code_replied(&self, text: &Text, code: String, card: &StoredCard, person: PersonRef) -> Result<(), StoreError> {
        let meant = self.meant(person.id, |on, _| on == card.id);
        let sent = Sent {
            update: text.update_id,
            person,
            code,
            chat: text.chat,
            thread: text.thread,
            message: text.message_id,
        };
        self.code_sent(sent, meant).await
    }

    /// Looks at a code once: the consumed update, the used step, the counted miss, and the approval are one transaction.
    async fn code_sent(&self, sent: Sent, meant: Meant) -> Result<(), StoreError> {
        if let Some(locked) = self.locked_words(&sent.person) {
            if self.consume(sent.update).await? {
                self.answer_code(&sent, &locked);
            }
            return Ok(());
        }
        let Some(key) = self.code_key() else {
            if self.consume(sent.update).await? {
                self.answer_code(&sent, NO_KEY);
            }
            return Ok(());
        };
        let (book, now, update) = (self.book(), self.now(), sent.update);
        let (person, code) = (sent.person.clone(), sent.code.clone());
        let word = match &meant {
            Meant::One(_, one) => Some(self.word(one, &sent)),
            Meant::None | Meant::Several => None,
        };
        let came = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    if !tx.consume_update(update, now).await? {
                        return Ok::<_, StoreError>(None);
                    }
                    judged(tx, &book, &key, (person, code), word, now).await.map(Some)
                })
            })
            .await?;
        let Some(came) = came else { return Ok(()) };
        self.crash("code:recorded");
        self.tidy(&sent);
        let said = match came {
            Came::Decided(id, acted, claimed) => {
                if let Meant::One(card, _) = &meant {
                    self.awaited().remove(&(sent.person.id, *card));
                }
                self.follow_word(&acted, claimed);
                self.owe_edit(id).await?;
                format!("{}: {}", id.short(), self.toast_words(id, acted).await?)
            }
            Came::Spent => spent(&meant).to_owned(),
            Came::Not(typed) => not_right(typed, &sent.person.name, self.zone()),
            Came::NotEnrolled => not_enrolled(&sent.person.name),
        };
        self.answer_code(&sent, &said);
        Ok(())
    }

    fn word(&self, awaited: &AwaitedCode, sent: &Sent) -> Word {
        let decided = Decided {
            approved: true,
            looked: awaited.looked,
        };
        Word {
            id: awaited.proposal,
            event: Event::Review {
                by: sent.person.clone(),
                verdict: ReviewVerdict::Approve,
                revision: awaited.revision,
                digest: awaited.digest,
                hold_seconds: self.telegram().map_or(0, |telegram| telegram.hold_seconds),
                verified: true,
            },
            actor: Actor::Person(sent.person.clone()),
            details: json!({ "update": sent.update, "chat": sent.chat.0, "message": sent.message.0 }),
            decided: Some((sent.person.id, decided)),
            lease_until: self.lease_of_owner(),
            now: self.now(),
        }
    }

    async fn toast_words(&self, id: ProposalId, acted: Acted) -> Result<String, StoreError> {
        Ok(match acted {
            Acted::Done(_, summary) => summary,
            Acted::Refused(refusal) => self.refused_words(id, &refusal).await?,
            Acted::Stale(_) | Acted::Missing => "the proposal is not known".to_owned(),
        })
    }

    /// The approvals of a person that wait, of those that fit.
    fn meant(&self, person: UserId, fits: impl Fn(i64, &AwaitedCode) -> bool) -> Meant {
        let awaited = self.awaited();
        let mine = awaited.range((person, i64::MIN)..=(person, i64::MAX));
        let mut mine = mine.filter(|((_, card), one)| fits(*card, one));
        match (mine.next(), mine.next()) {
            (None, _) => Meant::None,
            (Some(((_, card), one)), None) => Meant::One(*card, one.clone()),
            (Some(_), Some(_)) => Meant::Several,
        }
    }

    /// What waits now; what is over is forgotten.
    fn awaited(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(UserId, i64), AwaitedCode>> {
        let now = self.now();
        let mut awaited = self.0.awaiting_codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        awaited.retain(|_, one| one.until > now);
        awaited
    }

    fn code_key(&self) -> Option<CodeKey> {
        let source = self.0.codes.as_ref()?;
        source.key().map_err(|why| tracing::error!("no code can be checked: {why}")).ok()
    }

    /// A used code is of no use to anybody: taking it away is tidiness, where the bot may.
    fn tidy(&self, sent: &Sent) {
        let Some(telegram) = self.telegram() else { return };
        let (client, chat, message) = (telegram.queue.client().clone(), sent.chat, sent.message);
        tokio::spawn(async move {
            if let Err(error) = client.delete_message(chat, message).await {
                tracing::debug!(%error, "the message with a code stays");
            }
        });
    }

    fn answer_code(&self, sent: &Sent, words: &str) {
        let Some(telegram) = self.telegram() else { return };
        let (queue, chat, thread, reply) = (telegram.queue.clone(), sent.chat, sent.thread, sent.message);
        let message = telegram::message(words);
        tokio::spawn(async move {
            if let Err(error) = queue.send(chat, thread, message, false, Some(reply)).await {
                tracing::warn!(%error, "a code could not be answered");
            }
        });
    }
}

/// Within the transaction: what the code is, and what it completes.
async fn judged(
    tx: &mut Tx,
    book: &Book,
    key: &CodeKey,
    (person, code): (PersonRef, String),
    word: Option<Word>,
    now: Timestamp,
) -> Result<Came, StoreError> {
    let about = word.as_ref().map(|word| word.id);
    let refused = |summary: &str| Audit {
        proposal: about,
        actor: Actor::Person(person.clone()),
        event: "refused_code".to_owned(),
        summary: summary.to_owned(),
        details: json!({}),
        at: now,
    };
    let Some(generator) = tx.generator(person.id).await? else {
        tx.audit(refused("a code of somebody who has no generator")).await?;
        return Ok(Came::NotEnrolled);
    };
    let (next, typed): (Generator, Typed) = generator.judge(key, &code, now);
    if next != generator {
        tx.put_generator(&next).await?;
    }
    match (typed, word) {
        (Typed::Right, Some(word)) => {
            let id = word.id;
            let (acted, claimed) = word.spoken(tx, book).await?;
            Ok(Came::Decided(id, acted, claimed))
        }
        (Typed::Right, None) => {
            tx.audit(refused("a right code, and no single approval that waits for one: it is used up"))
                .await?;
            Ok(Came::Spent)
        }
        (typed @ (Typed::Wrong { .. } | Typed::Over { .. } | Typed::Repeated | Typed::Locked { .. } | Typed::OtherKey), _) => {
            tx.audit(refused(named(typed))).await?;
            Ok(Came::Not(typed))
        }
    }
}

/// For the audit log, which never holds a code.
const fn named(typed: Typed) -> &'static str {
    match typed {
        Typed::Right => "a right code",
        Typed::Wrong { .. } => "a wrong code",
        Typed::Over { .. } => "a code whose time is over",
        Typed::Repeated => "a code that was used already",
        Typed::Locked { .. } => "a code while too many were wrong: not looked at, or the last of these",
        Typed::OtherKey => "a code of a generator that another key made",
    }
}

fn not_right(typed: Typed, name: &str, zone: Tz) -> String {
    let tries = |left: u32| domain::counted(left as usize, "try is left", "tries are left");
    match typed {
        Typed::Right => String::new(),
        Typed::Wrong { left } => format!("That code is wrong: {}. Nothing was approved.", tries(left)),
        Typed::Over { left } => format!(
            "The time of that code is over: send the one that your app shows now, {}. Nothing was approved.",
            tries(left)
        ),
        // A clock that was ahead for a while leaves later codes behind.
        Typed::Repeated => format!(
            "That code, or a later one, was used already: each counts once. Wait for the next one and send that. If that does not help, a clock was \
             wrong: ask an operator to run countersign totp revoke {name}, then countersign totp enroll {name}."
        ),
        Typed::Locked { until } => format!("{} Nothing was approved.", locked(until, zone)),
        Typed::OtherKey => format!(
            "The service's key for codes is another one than when you were enrolled: ask an operator to run countersign totp revoke {name}, \
             then countersign totp enroll {name}."
        ),
    }
}

fn not_enrolled(name: &str) -> String {
    format!("This takes a code, and you have no code generator enrolled: ask an operator to run countersign totp enroll {name}.")
}

fn locked(until: Timestamp, zone: Tz) -> String {
    format!(
        "Too many wrong codes: none of yours is looked at until {}.",
        until.with_timezone(&zone).format("%H:%M %Z")
    )
}

const fn spent(meant: &Meant) -> &'static str {
    match meant {
        Meant::Several => {
            "Several of your approvals wait for a code, and that one is used up. Reply to the card that you mean with the next one, or write \
             /code 123456 and its id."
        }
        Meant::One(..) | Meant::None => {
            "Nothing of yours waits for a code here, and that one is used up. Tap Approve on the card, then send the next one."
        }
    }
}

/// Six digits, which apps show with a gap in the middle.
pub(super) fn digits(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
    let code = words.concat();
    let whole = matches!(lengths.as_slice(), [6] | [3, 3]);
    (whole && code.bytes().all(|byte| byte.is_ascii_digit())).then_some(code)
}

/// The code, and the id behind it.
fn read(args: &[String]) -> (Option<String>, Option<&str>) {
    for words in [1, 2] {
        if let Some(code) = args.get(..words).and_then(|words| digits(&words.join(" "))) {
            return (Some(code), args.get(words).map(String::as_str));
        }
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_for_a_code() {
        let read = |text: &str| {
            let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let (code, id) = super::read(&args);
            (code, id.map(str::to_owned))
        };
        let some = |code: &str, id: Option<&str>| (Some(code.to_owned()), id.map(str::to_owned));
        assert_eq!(read("123456"), some("123456", None));
        assert_eq!(read("123 456"), some("123456", None));
        assert_eq!(read("123456 7k2m01"), some("123456", Some("7k2m01")));
        assert_eq!(read("123 456 7k2m01"), some("123456", Some("7k2m01")));
        for nothing in ["", "12345", "1234567", "12 3456", "abcdef", "１２３４５６"] {
            assert_eq!(read(nothing), (None, None), "{nothing}");
        }
        assert_eq!(digits("too big"), None);
        assert_eq!(digits(" 000 123\n"), Some("000123".to_owned()));
    }
}
