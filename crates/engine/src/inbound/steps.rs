//! The second step before something grave. Each person has one of their own: nobody confirms on another's behalf, and nobody's open step
//! ties anybody else's hands. It lives in memory for two minutes; after that, or after a restart, a tap on Yes asks again.

use domain::{Decision, Delivery, Effect, Eligibility, Event, PersonRef, Proposal, Refusal, ReviewVerdict, Risk, Timestamp, UserId};
use store::{Card as StoredCard, CardKind, StoreError};
use telegram::{Action, Tap};

use super::looking::Quick;
use super::{Dead, Toast, cut};
use crate::cards::worst_line;
use crate::{Engine, TelegramSetup};

/// How long a second step stays open.
const STEP_SECONDS: i64 = 120;
/// Longest worst line in the answer to a tap, in characters: Telegram shows 200 in all.
const WORST_MAX: usize = 80;

/// A second step that somebody opened on a card.
#[derive(Debug, Clone)]
pub(crate) struct OpenStep {
    /// What they are asked about.
    pub action: Action,
    /// Their display name.
    pub who: String,
    /// When it was asked.
    pub opened: Timestamp,
    /// When it closes by itself.
    pub until: Timestamp,
}

impl Engine {
    /// One tap approves what is fully visible, deletes nothing and is no high risk; anything else takes a second step. Going back to what was
    /// there is one tap, however it looks from here: an older image is what a revert is for.
    pub(super) async fn approve_or_ask(
        &self,
        telegram: &TelegramSetup,
        tap: &Tap,
        card: &StoredCard,
        proposal: &Proposal,
        person: PersonRef,
    ) -> Result<Toast, Dead> {
        let shown = self.card(proposal, Some(card)).await?;
        let complete = self.shows_all(&shown);
        let high = shown.explained.as_ref().is_some_and(|explained| explained.risk >= Risk::High);
        let grave = high && !proposal.revision.facts.revert;
        let deletes = proposal.revision.facts.deletes;
        let quick = self.too_quick(card, person.id).await?;
        let voted = proposal
            .current_reviews()
            .any(|review| review.by.id == person.id && review.verdict == ReviewVerdict::Approve);
        // What is decided already, by this person too, is refused with the decision, whatever it deletes.
        if (quick.is_none() && complete && !grave && !deletes) || voted || proposal.decision != Decision::Pending {
            return self.review(tap, card, person, ReviewVerdict::Approve, telegram.hold_seconds).await;
        }
        if card.kind != CardKind::Approval {
            return Err(Dead::Refused("this is not a card to approve".to_owned()));
        }
        let policy = self.book().policy.clone();
        match policy.eligibility(&proposal.revision.route, proposal.asking_agent(), person.id, self.now()) {
            Eligibility::Eligible => {}
            Eligibility::NotInGroup => return Err(Dead::Refused(Refusal::NotEligible.to_string())),
            Eligibility::OwnsAgent => return Err(Dead::Refused(Refusal::OwnsAgent.to_string())),
        }
        self.consume_once(tap).await?;
        self.open_own(card.id, person.clone(), Action::Approve);
        self.owe_step(card.proposal).await?;
        if quick == Some(Quick::Habit) {
            self.send_diff(telegram, card, proposal).await?;
            self.remark(telegram, &person).await?;
        }
        let why = match (deletes, grave, quick) {
            // What is worst, and what exactly is approved, stand in the question itself.
            (_, true, _) => {
                let digest = shown.digest.map(|digest| digest.short()).unwrap_or_default();
                format!("High risk: {} · digest {digest}. ", cut(&worst_line(&shown, complete), WORST_MAX))
            }
            (true, false, _) => "Something is deleted. ".to_owned(),
            (false, false, Some(Quick::Tap)) => "That was quicker than reading. ".to_owned(),
            (false, false, Some(Quick::Habit)) => {
                return Ok(Toast::alert(
                    "Your last approvals were quicker than reading: the diff is below the card. Open it, then tap Yes.",
                ));
            }
            (false, false, None) => String::new(),
        };
        let look = if complete {
            "Look again, then tap Yes."
        } else {
            "Not everything fits on the card: read the document below it, then tap Yes."
        };
        Ok(Toast::alert(format!("{why}{look}")))
    }

    /// A retry is one tap, unless it takes a rewritten branch as it is: that is for every change, and asked again.
    pub(super) async fn retry_or_ask(&self, tap: &Tap, card: &StoredCard, proposal: &Proposal, person: PersonRef) -> Result<Toast, Dead> {
        let takes = match proposal.delivery {
            Delivery::PushBlocked => self.retry_takes(proposal).await?,
            _ => None,
        };
        let Some(takes) = takes else {
            return self.tapped_event(tap, card.proposal, Event::Retry { by: person }, None).await;
        };
        if !self.book().policy.may_handle(proposal, person.id, self.now()) {
            return Err(Dead::Refused(Refusal::NotEligible.to_string()));
        }
        self.consume_once(tap).await?;
        self.open_own(card.id, person, Action::Retry);
        self.owe_step(card.proposal).await?;
        Ok(Toast::alert(cut(
            &format!("This {takes}. Look at its history first; if you mean it, tap Yes."),
            190,
        )))
    }

    /// Yes: counts for whoever has a step of their own; anybody else is asked first.
    pub(super) async fn confirm(
        &self,
        telegram: &TelegramSetup,
        tap: &Tap,
        card: &StoredCard,
        proposal: &Proposal,
        person: PersonRef,
    ) -> Result<Toast, Dead> {
        let opened = self.steps().get(&(card.id, person.id)).map(|step| step.opened);
        // A question of the future is one of a clock that was turned back since.
        let hasty = opened.is_some_and(|at| (self.now() - at).to_std().is_ok_and(|since| since < self.limits().hasty_tap));
        if hasty {
            // The button came under a finger that was on its way already.
            self.consume_once(tap).await?;
            return Ok(Toast::alert("Read the question first, then tap Yes."));
        }
        let step = self.taken_step(card.id, person.id);
        if proposal.delivery == Delivery::PushBlocked {
            return match step.filter(|step| step.action == Action::Retry) {
                Some(_) => self.tapped_event(tap, card.proposal, Event::Retry { by: person }, None).await,
                None => self.retry_or_ask(tap, card, proposal, person).await,
            };
        }
        if proposal.delivery == Delivery::Queued {
            return match step.filter(|step| step.action == Action::SendAnyway) {
                Some(_) => self.pass_tapped(tap, card, person).await,
                None => self.ask_to_pass(tap, card, proposal, person).await,
            };
        }
        // A step about something else is no answer to this question.
        if step.is_none_or(|step| step.action != Action::Approve) {
            return self.approve_or_ask(telegram, tap, card, proposal, person).await;
        }
        let toast = self.review(tap, card, person, ReviewVerdict::Approve, telegram.hold_seconds).await;
        self.owe_edit(card.proposal).await?;
        toast
    }

    /// Back: closes one's own step.
    pub(super) async fn step_back(&self, tap: &Tap, card: &StoredCard, person: &PersonRef) -> Result<Toast, Dead> {
        if !self.close_step(card.id, person.id) {
            let others: Vec<_> = self.open_steps(card.id).into_iter().map(|step| step.who).collect();
            return Err(Dead::Refused(if others.is_empty() {
                "no second step is open any more".to_owned()
            } else {
                format!("this is the second step of {}: you have none to go back from", others.join(", "))
            }));
        }
        self.consume_once(tap).await?;
        self.owe_edit(card.proposal).await?;
        Ok(Toast::say("nothing was decided"))
    }

    /// The steps that are open on a card now.
    pub(crate) fn open_steps(&self, card: i64) -> Vec<OpenStep> {
        let (now, steps) = (self.now(), self.steps());
        let here = steps.range((card, UserId(i64::MIN))..=(card, UserId(i64::MAX)));
        here.map(|(_, step)| step.clone()).filter(|step| step.until > now).collect()
    }

    /// Closes a person's step; false when none was open.
    pub(super) fn close_step(&self, card: i64, person: UserId) -> bool {
        self.taken_step(card, person).is_some()
    }

    /// Closes a person's step and answers it, if it was open.
    fn taken_step(&self, card: i64, person: UserId) -> Option<OpenStep> {
        let now = self.now();
        self.steps().remove(&(card, person)).filter(|step| step.until > now)
    }

    pub(super) fn open_own(&self, card: i64, person: PersonRef, action: Action) {
        let now = self.now();
        let step = OpenStep {
            action,
            who: person.name,
            opened: now,
            until: now + chrono::Duration::seconds(STEP_SECONDS),
        };
        let mut steps = self.steps();
        steps.retain(|_, step| step.until > now);
        steps.insert((card, person.id), step);
    }

    /// The card shows the step at once, and drops it when its time is over.
    pub(super) async fn owe_step(&self, id: domain::ProposalId) -> Result<(), StoreError> {
        let now = self.now();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.schedule(Some(id), &Effect::EditCards, now).await?;
                    let over = now + chrono::Duration::seconds(STEP_SECONDS);
                    tx.schedule(Some(id), &Effect::CloseReason, over).await
                })
            })
            .await
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(i64, UserId), OpenStep>> {
        self.0.confirming.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
