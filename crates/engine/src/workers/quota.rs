//! One message about an agent that asked too often, edited in place.

use domain::{AgentName, RepositoryName};
use store::StoreError;
use telegram::{ChatId, MessageId, SendError};

use super::effects::Ran;
use crate::{Engine, TelegramSetup};

impl Engine {
    /// Tells the chats of a repository how often an agent was refused by now.
    pub(super) async fn tell_quota(&self, agent: &AgentName, repository: &RepositoryName) -> Ran {
        let (Some(telegram), Some(setup)) = (self.telegram(), self.repository(repository)) else {
            return Ran::Done;
        };
        let places: Vec<_> = setup
            .approvals
            .iter()
            .map(|place| (self.moved_to(place.chat), place.thread))
            .collect();
        for (chat, thread) in places {
            let cards = match self.store().read().refused_cards(agent, self.now()).await {
                Ok(cards) => cards,
                Err(error) => return Ran::Failed(error.to_string()),
            };
            if cards.refused.is_empty() {
                return Ran::Done;
            }
            let known = cards
                .messages
                .iter()
                .find(|(known, _)| *known == chat.0)
                .map(|(_, message)| MessageId(*message));
            let edited = match known {
                Some(message) => self.edit_quota(telegram, agent, chat, message).await,
                None => Err(SendError::Gone { reason: String::new() }),
            };
            let failed = match edited {
                Ok(()) => continue,
                Err(SendError::Gone { .. }) => {
                    let rendered = telegram::message(&self.quota_words(telegram, agent, &cards));
                    match telegram.queue.send(chat, thread, rendered, false, None).await {
                        Ok(sent) => {
                            if let Err(error) = self.remember_quota(agent, chat, sent.message_id).await {
                                return Ran::Failed(error.to_string());
                            }
                            continue;
                        }
                        // Possibly there; the next refusal tells it anyhow.
                        Err(SendError::Ambiguous { .. }) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            return match failed {
                SendError::RetryAfter(wait) => {
                    Ran::Again(self.now() + chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::minutes(1)))
                }
                other => Ran::Failed(other.to_string()),
            };
        }
        Ran::Done
    }

    async fn edit_quota(&self, telegram: &TelegramSetup, agent: &AgentName, chat: ChatId, message: MessageId) -> Result<(), SendError> {
        let (engine, agent) = (self.clone(), agent.clone());
        telegram
            .queue
            .edit(chat, message, move || {
                let (engine, agent) = (engine.clone(), agent.clone());
                async move {
                    let cards = engine.store().read().refused_cards(&agent, engine.now()).await.ok()?;
                    Some(telegram::message(&engine.quota_words(engine.telegram()?, &agent, &cards)))
                }
            })
            .await
    }

    async fn remember_quota(&self, agent: &AgentName, chat: ChatId, message: MessageId) -> Result<(), StoreError> {
        let (agent, now) = (agent.clone(), self.now());
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let mut cards = tx.refused_cards(&agent, now).await?;
                    cards.messages.retain(|(known, _)| *known != chat.0);
                    cards.messages.push((chat.0, message.0));
                    tx.put_refused_cards(&agent, &cards).await
                })
            })
            .await
    }

    fn quota_words(&self, telegram: &TelegramSetup, agent: &AgentName, cards: &store::RefusedCards) -> String {
        let times = domain::counted(cards.refused.len(), "more time", "more times");
        let until = cards
            .until
            .map(|until| format!("; refused until {}", until.with_timezone(&telegram.zone).format("%H:%M")));
        format!("🔕 {agent} wanted to ask {times} in the last hour{}.", until.unwrap_or_default())
    }
}
