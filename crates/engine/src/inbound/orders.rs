//! Orders from the chat: `/stop`, `/stops`, `/resume` and its button, `/override` and its button, `/lockme`, `/unlock` and its button.

use domain::{Delivery, Freeze, Order, OrderId, PersonRef, Proposal, StopRequest};
use store::{Card as StoredCard, StoreError};
use telegram::{Action, Command, Sender, Tap};

use super::{Dead, Toast, cut};
use crate::Engine;
use crate::orders::{self, Ended, Orderer, Passed, Stopped, names};

/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 300;

const STOP_FORMS: &str = "Write /stop alone to stop everything, or one of:\n\
/stop all WHY\n\
/stop agent NAME WHY\n\
/stop path GLOB WHY\n\
/stop runbook NAME WHY\n\
/stop tier manual|prompted|standard WHY\n\
WHY may be left out. /stop because WHY stops everything, too.";

const NOT_ENTITLED_TO_RESUME: &str = "Only members of a group that approves changes can ask for the end of a stop.";
const NOT_ENTITLED_TO_UNLOCK: &str = "Only others, members of a group that approves changes, can give somebody their rights back.";

impl Engine {
    /// One order of somebody of the policy; the answer for the chat it was given in.
    pub(super) async fn ordered_by(&self, command: &Command, from: &Sender) -> Result<String, StoreError> {
        let Some(person) = self.person(from) else {
            return Ok("You are not in the policy.".to_owned());
        };
        let by = Orderer::person(person);
        let said = match command.name.as_str() {
            "stop" => self.stop_commanded(by, &command.args.join(" ")).await?,
            "resume" => self.resume_commanded(by, &command.args).await?,
            "lockme" => self.lock_commanded(by, &command.args).await?,
            "unlock" => self.unlock_commanded(by, &command.args.join(" ")).await?,
            _ => self.standing_words(),
        };
        Ok(said)
    }

    async fn stop_commanded(&self, by: Orderer, text: &str) -> Result<String, StoreError> {
        let mut request: StopRequest = match text.parse() {
            Ok(request) => request,
            Err(error) => return Ok(format!("Nothing is stopped: {error}.\n{STOP_FORMS}")),
        };
        if let Some(why) = orders::unknown(self.store(), Some(&self.book()), &request.scope).await? {
            return Ok(format!("Nothing is stopped: {why}. /stop alone stops everything."));
        }
        request.reason = cut(&request.reason, REASON_MAX);
        let stopped = orders::stop(self.store(), by, request, self.now()).await?;
        self.follow_orders().await?;
        Ok(match stopped {
            Stopped::New(stop) => {
                tracing::warn!(stop = stop.id, "{}", stop.why());
                format!(
                    "Stop {} stands: {}. /resume {} by two people ends it.",
                    stop.id, stop.scope, stop.id
                )
            }
            Stopped::Standing(stop) => format!("Stopped already: {} (stop {}).", stop.why(), stop.id),
        })
    }

    async fn resume_commanded(&self, by: Orderer, args: &[String]) -> Result<String, StoreError> {
        let number = match args.first().map(|word| word.trim_start_matches('#').parse::<u64>()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => return Ok(format!("Write /resume and a stop's number.\n{}", self.standing_words())),
        };
        let locked = self.locked_words(&by.person);
        let ended = orders::resume(self.store(), by, number, self.book().whole(), self.now()).await?;
        self.follow_orders().await?;
        Ok(match ended {
            Ended::Which(_) => format!("Which one? Write /resume and its number.\n{}", self.standing_words()),
            Ended::Nothing => format!("No such stop stands.\n{}", self.standing_words()),
            Ended::NotEntitled => locked.unwrap_or_else(|| NOT_ENTITLED_TO_RESUME.to_owned()),
            Ended::Over(order) => over_words(&order),
            Ended::Missing(order, missing) => missing_words(&order, missing),
        })
    }

    async fn lock_commanded(&self, by: Orderer, args: &[String]) -> Result<String, StoreError> {
        if !args.is_empty() {
            return Ok("Nobody is locked. /lockme takes your own rights away and nobody else's: write it alone.".to_owned());
        }
        let (name, own) = (by.person.name.clone(), by.person.id);
        let new = orders::lock(self.store(), by.person, self.book().whole(), self.now()).await?;
        self.follow_orders().await?;
        self.0.hub.ring_all();
        // With the locks that stand, so that who is named can really help.
        let policy = self.book().policy.clone();
        let lock = self.ordered().locks.iter().find(|lock| lock.person.id == own).cloned();
        let few = lock.and_then(|lock| orders::few_words(&domain::Order::Lock(lock), &policy));
        let ends = few.unwrap_or_else(|| format!("/unlock {name} by two others ends it."));
        Ok(if new {
            format!("You are locked: nothing that you approved and that is not sent yet counts any more. {ends} You can still /stop.")
        } else {
            format!("You are locked already. {ends}")
        })
    }

    async fn unlock_commanded(&self, by: Orderer, name: &str) -> Result<String, StoreError> {
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        // Who asks for themselves is told that others must.
        let own = name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&by.person.name));
        let locked = self.locked_words(&by.person).filter(|_| !own);
        let ended = orders::unlock(self.store(), by, name, self.book().whole(), self.now()).await?;
        self.follow_orders().await?;
        Ok(match ended {
            Ended::Which(_) => format!("Who? Write /unlock and a name.\n{}", self.standing_words()),
            Ended::Nothing => format!("Nobody of that name is locked.\n{}", self.standing_words()),
            Ended::NotEntitled => locked.unwrap_or_else(|| NOT_ENTITLED_TO_UNLOCK.to_owned()),
            Ended::Over(order) => over_words(&order),
            Ended::Missing(order, missing) => missing_words(&order, missing),
        })
    }

    /// The button of the message that tells of a stop or a lock: the same wish as the command's.
    pub(super) async fn end_tapped(&self, tap: &Tap, order: OrderId, person: PersonRef) -> Result<Toast, Dead> {
        let own = self
            .ordered()
            .locks
            .iter()
            .any(|lock| OrderId::Lock(lock.id) == order && lock.person.id == person.id);
        let locked = self.locked_words(&person).filter(|_| !own);
        let (by, policy, now) = (Orderer::person(person), self.book().whole(), self.now());
        let ended = orders::tapped(self.store(), tap.update_id, by, order, policy, now).await?;
        let ended = ended.ok_or(Dead::Seen)?;
        self.follow_orders().await?;
        Ok(match ended {
            Ended::Over(order) => Toast::say(cut(&over_words(&order), 190)),
            Ended::Missing(order, missing) => Toast::say(cut(&missing_words(&order, missing), 190)),
            Ended::Nothing | Ended::Which(_) => Toast::alert("That is over already."),
            Ended::NotEntitled => Toast::alert(match (locked, order) {
                (Some(locked), _) => cut(&locked, 190),
                (None, OrderId::Stop(_)) => NOT_ENTITLED_TO_RESUME.to_owned(),
                (None, OrderId::Lock(_)) => NOT_ENTITLED_TO_UNLOCK.to_owned(),
            }),
        })
    }

    /// Why nothing that somebody decides counts: they took their own rights away.
    pub(super) fn locked_words(&self, person: &PersonRef) -> Option<String> {
        let ordered = self.ordered();
        let lock = ordered.locks.iter().find(|lock| lock.person.id == person.id)?;
        Some(format!(
            "you locked yourself on {}, so nothing that you decide counts; two others give you your rights back: /unlock {}. You can still /stop",
            self.moment(lock.at),
            person.name
        ))
    }

    /// What `/stops` tells.
    fn standing_words(&self) -> String {
        let ordered = self.ordered();
        let stops = ordered.stops.iter().map(|stop| {
            let asked: Vec<_> = stop.votes.iter().map(|vote| vote.by.name.as_str()).collect();
            let asked = if asked.is_empty() {
                String::new()
            } else {
                format!("; its end was asked for by {}", asked.join(", "))
            };
            let at = self.moment(stop.at);
            format!("Stop {} since {at}: {}{asked} (/resume {})", stop.id, stop.why(), stop.id)
        });
        let locks = ordered.locks.iter().map(|lock| {
            let at = self.moment(lock.at);
            format!("{0} is locked since {at} (/unlock {0})", lock.person.name)
        });
        let lines: Vec<String> = stops.chain(locks).collect();
        if lines.is_empty() {
            "Nothing is stopped, and nobody is locked.".to_owned()
        } else {
            lines.join("\n")
        }
    }

    /// The button on a frozen card: names the freeze and asks again.
    pub(super) async fn ask_to_pass(
        &self,
        tap: &Tap,
        card: &StoredCard,
        proposal: &Proposal,
        person: domain::PersonRef,
    ) -> Result<Toast, Dead> {
        let freezes = self.freezes_of(proposal);
        if proposal.delivery != Delivery::Queued || freezes.is_empty() {
            return Err(Dead::Refused("no freeze that can be overridden holds it now".to_owned()));
        }
        let (policy, now) = (self.book().policy.clone(), self.now());
        let (own, others): (Vec<Freeze>, Vec<Freeze>) = freezes.into_iter().partition(|freeze| policy.may_override(freeze, person.id, now));
        if own.is_empty() {
            return Err(Dead::Refused(not_entitled(&others)));
        }
        self.consume_once(tap).await?;
        self.open_own(card.id, person, Action::SendAnyway);
        self.owe_step(card.proposal).await?;
        Ok(Toast::alert(cut(
            &format!("This would pass {} for this one change. If you mean it, tap Yes.", names(&own)),
            190,
        )))
    }

    /// The second tap.
    pub(super) async fn pass_tapped(&self, tap: &Tap, card: &StoredCard, person: domain::PersonRef) -> Result<Toast, Dead> {
        let (policy, now) = (self.book().whole(), self.now());
        let passed = orders::pass(self.store(), Some(tap.update_id), card.proposal, person, policy, now).await?;
        let passed = passed.ok_or(Dead::Seen)?;
        self.follow_orders().await?;
        self.owe_edit(card.proposal).await?;
        let words = cut(&pass_words(&passed), 190);
        Ok(match passed {
            Passed::Done(..) => Toast::say(words),
            Passed::NotFrozen | Passed::NotEntitled(_) | Passed::NotWaiting => Toast::alert(words),
        })
    }

    /// `/override ID`.
    pub(super) async fn pass_commanded(&self, proposal: &Proposal, from: &Sender) -> Result<String, StoreError> {
        let Some(person) = self.person(from) else {
            return Ok("You are not in the policy.".to_owned());
        };
        let locked = self.locked_words(&person);
        let passed = orders::pass(self.store(), None, proposal.id, person, self.book().whole(), self.now()).await?;
        self.follow_orders().await?;
        let words = |passed: Passed| match (&passed, locked) {
            (Passed::NotEntitled(_), Some(locked)) => locked,
            _ => pass_words(&passed),
        };
        Ok(passed.map_or_else(String::new, |passed| format!("{}: {}.", proposal.id.short(), words(passed))))
    }
}

fn over_words(order: &Order) -> String {
    match order {
        Order::Stop(stop) => format!("Stop {} ({}) is over: what waited for it goes now.", stop.id, stop.scope),
        Order::Lock(lock) => format!(
            "{} has all rights again; what was approved before has to be approved again.",
            lock.person.name
        ),
    }
}

fn missing_words(order: &Order, missing: usize) -> String {
    format!(
        "Noted. {missing} more must write {} or tap the button within the hour to end {}.",
        order.command(),
        order.named()
    )
}

fn pass_words(passed: &Passed) -> String {
    match passed {
        Passed::Done(passed, rest) if rest.is_empty() => format!("it may pass {}", names(passed)),
        Passed::Done(passed, rest) => format!("it may pass {}, and still waits for {}", names(passed), names(rest)),
        Passed::NotFrozen => "no freeze holds it now".to_owned(),
        Passed::NotEntitled(freezes) => not_entitled(freezes),
        Passed::NotWaiting => "it is not waiting to be sent".to_owned(),
    }
}

fn not_entitled(freezes: &[Freeze]) -> String {
    let closed: Vec<Freeze> = freezes.iter().filter(|freeze| freeze.override_group.is_none()).cloned().collect();
    if !closed.is_empty() {
        return format!("nobody may let it pass {}", names(&closed));
    }
    let mut groups: Vec<_> = freezes
        .iter()
        .filter_map(|freeze| freeze.override_group.as_ref())
        .map(ToString::to_string)
        .collect();
    groups.dedup();
    format!("only {} may let it pass {}", groups.join(", "), names(freezes))
}
