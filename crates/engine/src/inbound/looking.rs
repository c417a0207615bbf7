//! How people look before they approve: who taps faster than anybody reads is asked again, and everybody can read how they decide.

use domain::{PersonRef, Timestamp, UserId};
use store::{Card as StoredCard, Decided, StoreError};
use telegram::ChatId;

use crate::{Engine, TelegramSetup};

/// Approvals in a row, all of them too quick, that bring back "open the diff first".
const QUICK_IN_A_ROW: usize = 5;
/// Days of decisions that count.
const DAYS: i64 = 90;
/// Hours between two private remarks to one person.
const REMARK_HOURS: i64 = 24;

/// Why a tap is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quick {
    /// Within a moment of the card: nobody has read it.
    Tap,
    /// One more of many quick ones.
    Habit,
}

/// How a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habits {
    /// Decisions in the last 90 days.
    pub decisions: usize,
    /// How many of them approved.
    pub approved: usize,
    /// From the card to the decision: half of them took longer.
    pub median: chrono::Duration,
}

impl Habits {
    /// Of these decisions; `None` when there are none.
    pub fn of(decided: &[Decided]) -> Option<Self> {
        let mut looked: Vec<_> = decided.iter().map(|one| one.looked).collect();
        looked.sort();
        Some(Self {
            decisions: decided.len(),
            approved: decided.iter().filter(|one| one.approved).count(),
            median: *looked.get(looked.len() / 2)?,
        })
    }

    /// From when on decisions count.
    pub fn since(now: Timestamp) -> Timestamp {
        now - chrono::Duration::days(DAYS)
    }

    fn words(&self) -> String {
        format!(
            "Last {DAYS} days: {}, {} % approved, median {} s from card to decision. Only you and the operators see this.",
            domain::counted(self.decisions, "decision", "decisions"),
            self.approved * 100 / self.decisions.max(1),
            self.median.num_seconds()
        )
    }
}

impl Engine {
    /// How long somebody has been able to look at a card in its present form.
    pub(super) fn looked(&self, card: &StoredCard) -> chrono::Duration {
        (self.now() - card.shown_at.unwrap_or(card.sent_at)).max(chrono::Duration::zero())
    }

    /// Whether an approval is quicker than anybody reads. A slow one ends a row of quick ones.
    pub(super) async fn too_quick(&self, card: &StoredCard, person: UserId) -> Result<Option<Quick>, StoreError> {
        let (looked, limits) = (self.looked(card).to_std().unwrap_or_default(), self.limits());
        if looked < limits.hasty_tap {
            return Ok(Some(Quick::Tap));
        }
        if looked >= limits.steady_tap {
            return Ok(None);
        }
        let decided = self.store().read().decided(person, Habits::since(self.now())).await?;
        let mut last = decided.iter().filter(|one| one.approved).take(QUICK_IN_A_ROW);
        let quick = last
            .by_ref()
            .filter(|one| one.looked.to_std().unwrap_or_default() < limits.steady_tap)
            .count();
        Ok((quick == QUICK_IN_A_ROW).then_some(Quick::Habit))
    }

    /// A word in private, once a day: who has no private chat with the bot has read it in the answer to the tap.
    pub(super) async fn remark(&self, telegram: &TelegramSetup, person: &PersonRef) -> Result<(), StoreError> {
        let (now, key) = (self.now(), format!("remarked:{}", person.id.0));
        let due = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let last = tx.meta(&key).await?.and_then(|text| text.parse::<i64>().ok());
                    let day = chrono::Duration::hours(REMARK_HOURS).num_microseconds().unwrap_or(i64::MAX);
                    let due = last.is_none_or(|last| now.timestamp_micros() - last >= day);
                    if due {
                        tx.set_meta(&key, &now.timestamp_micros().to_string()).await?;
                    }
                    Ok::<_, StoreError>(due)
                })
            })
            .await?;
        if due {
            let words = format!(
                "Your last {QUICK_IN_A_ROW} approvals took less than {} seconds each, from the card to the tap. That is quicker than reading, so \
                 quick approvals take a second step for now: open the diff first. An approval that takes its time ends this. Nobody else \
                 in the chat is told.",
                self.limits().steady_tap.as_secs()
            );
            let (queue, chat) = (telegram.queue.clone(), ChatId(person.id.0));
            tokio::spawn(async move {
                if let Err(error) = queue.send(chat, None, telegram::message(&words), false, None).await {
                    tracing::info!(%error, "a private remark was not delivered");
                }
            });
        }
        Ok(())
    }

    /// How somebody decides, in words for their own eyes.
    pub(super) async fn habits(&self, person: UserId) -> Result<String, StoreError> {
        let decided = self.store().read().decided(person, Habits::since(self.now())).await?;
        Ok(Habits::of(&decided)
            .map(|habits| format!("\n{}", habits.words()))
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_what_half_of_them_took() {
        let one = |approved, seconds| Decided {
            approved,
            looked: chrono::Duration::seconds(seconds),
        };
        assert_eq!(Habits::of(&[]), None);
        let habits = Habits::of(&[one(true, 100), one(false, 1), one(true, 7)]).expect("habits");
        assert_eq!((habits.decisions, habits.approved, habits.median.num_seconds()), (3, 2, 7));
        assert!(habits.words().starts_with("Last 90 days: 3 decisions, 66 % approved, median 7 s"));
    }
}
