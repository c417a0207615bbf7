//! Card quotas: people's attention is the scarcest thing there is. Above the quota an agent is refused with the time when it may ask
//! again, and people read one message about it that is edited in place, however often the agent tries.

use domain::{AgentName, Effect, Origin, Proposal, RepositoryName, Tier, Timestamp};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use crate::{Engine, Limits, Problem};

/// Refusals of one agent in an hour that get an audit row of their own; further ones are only counted.
const AUDITED_PER_HOUR: usize = 100;
/// Refusals of one agent that are counted in an hour.
const COUNTED_PER_HOUR: usize = 10_000;
/// Seconds between two edits of the message that tells of refusals.
const TOLD_EVERY_SECONDS: i64 = 10;

/// Whether an agent's proposal makes people's phones ring.
pub(super) fn asks(proposal: &Proposal) -> bool {
    let own = proposal.requested_by.is_none() && !matches!(proposal.origin, Origin::Observed(_));
    own && matches!(proposal.tier(), Tier::Prompted | Tier::Manual)
}

/// Counts the cards of a proposal; until when it is refused where there were too many.
pub(super) async fn count(
    tx: &mut Tx,
    agent: &AgentName,
    chats: &[i64],
    limits: &Limits,
    now: Timestamp,
) -> Result<Result<(), Timestamp>, StoreError> {
    let (of_agent, in_chat) = (limits.hourly_cards_per_agent, limits.hourly_cards_per_chat);
    if tx.put_asked(agent, chats, now, of_agent, in_chat).await? {
        return Ok(Ok(()));
    }
    let hour = chrono::Duration::hours(1);
    let mut until = tx.asked_by_agent(agent, now - hour, of_agent).await?;
    for chat in chats {
        until = until.max(tx.asked_in_chat(*chat, now - hour, in_chat).await?);
    }
    Ok(Err(until.unwrap_or(now) + hour))
}

impl Engine {
    /// The chats that a proposal's card goes to.
    pub(super) fn asked_chats(&self, repository: &RepositoryName) -> Vec<i64> {
        let setup = self.repository(repository).filter(|_| self.telegram().is_some());
        let places = setup.map(|setup| setup.approvals.as_slice()).unwrap_or_default();
        places.iter().map(|place| self.moved_to(place.chat).0).collect()
    }

    /// Counts a card of its own, such as a revision's.
    ///
    /// # Errors
    /// 429 above the quota.
    pub(super) async fn count_card(&self, agent: &AgentName, repository: &RepositoryName) -> Result<(), Problem> {
        let (limits, now, chats, asking) = (self.limits().clone(), self.now(), self.asked_chats(repository), agent.clone());
        let counted = self
            .store()
            .write(move |tx| Box::pin(async move { count(tx, &asking, &chats, &limits, now).await }))
            .await?;
        match counted {
            Ok(()) => Ok(()),
            Err(until) => Err(self.too_many_cards(agent, repository, until).await),
        }
    }

    /// Writes down that an agent was refused, and owes people the one message about it. The agent's answer.
    pub(super) async fn too_many_cards(&self, agent: &AgentName, repository: &RepositoryName, until: Timestamp) -> Problem {
        let now = self.now();
        let (asking, place) = (agent.clone(), repository.clone());
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let mut cards = tx.refused_cards(&asking, now).await?;
                    if cards.refused.len() < COUNTED_PER_HOUR {
                        cards.refused.push(now);
                    }
                    cards.until = Some(until);
                    tx.put_refused_cards(&asking, &cards).await?;
                    if cards.refused.len() <= AUDITED_PER_HOUR {
                        tx.audit(Audit {
                            proposal: None,
                            actor: Actor::Agent(asking.clone()),
                            event: "refused_card".to_owned(),
                            summary: format!("{asking} has used up its cards of this hour, or the chat's"),
                            details: json!({ "repository": place, "until": until }),
                            at: now,
                        })
                        .await?;
                    }
                    let pause = if cards.messages.is_empty() { 0 } else { TOLD_EVERY_SECONDS };
                    let effect = Effect::Quota {
                        agent: asking,
                        repository: place,
                    };
                    tx.schedule(None, &effect, now + chrono::Duration::seconds(pause)).await
                })
            })
            .await;
        if let Err(error) = written {
            return error.into();
        }
        let seconds = u32::try_from((until - now).num_seconds().max(0) + 1).unwrap_or(3600);
        let detail = format!(
            "people are asked {} times an hour by one agent and {} times in one chat at most; the next card may follow at {}",
            self.limits().hourly_cards_per_agent,
            self.limits().hourly_cards_per_chat,
            until.format("%H:%M:%S UTC")
        );
        let hint = "put what belongs together into one proposal, and wait as long as Retry-After says";
        Problem::new(429, "too_many_cards", detail, hint).retry(seconds)
    }
}
