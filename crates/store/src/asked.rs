//! What agents asked of people: the cards of the last hour, which the quotas count, and what was refused because of them.

use domain::{AgentName, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, answers, sql};

/// What is counted: an hour. Older rows are removed.
const KEPT: chrono::Duration = chrono::Duration::hours(1);

/// The cards that an agent wanted to send and that the quota refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedCards {
    /// When each was refused, oldest first; only those of the last hour.
    pub refused: Vec<Timestamp>,
    /// Until when it is refused.
    pub until: Option<Timestamp>,
    /// The messages that tell of it: chat and message.
    pub messages: Vec<(i64, i64)>,
}

/// As stored: times are microseconds, as everywhere.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    refused: Vec<i64>,
    until: Option<i64>,
    messages: Vec<(i64, i64)>,
}

fn key(agent: &AgentName) -> String {
    format!("refused_cards:{agent}")
}

macro_rules! count_asked {
    () => {
        "insert into asked (agent, chat, at) select ?1, card.value, ?2 from json_each(?3) card
         where (select count(*) from (select 1 from asked indexed by asked_by_agent where agent = ?1 and at > ?4 limit ?5)) < ?5
         and not exists (select 1 from json_each(?3) one where
             (select count(*) from (select 1 from asked indexed by asked_by_chat where chat = one.value and at > ?4 limit ?6)) >= ?6)
         returning chat"
    };
}

#[cfg(test)]
pub(crate) const COUNT_ASKED: &str = count_asked!();

impl Tx {
    /// Counts one card of an agent in each of these chats, unless the agent or one of the chats had as many in the hour before as it may;
    /// answers whether it was counted.
    pub async fn put_asked(
        &mut self,
        agent: &AgentName,
        chats: &[i64],
        at: Timestamp,
        of_agent: u64,
        in_chat: u64,
    ) -> Result<bool, StoreError> {
        if chats.is_empty() {
            return Ok(true);
        }
        // One round trip for all of it: this stands between an agent and its answer.
        let counted = self
            .returned(
                sqlx::query(concat!(count_asked!(), "; delete from asked where at < ?4"))
                    .bind(agent.as_str())
                    .bind(sql::micros(at))
                    .bind(sql::encode("chats", &chats)?)
                    .bind(sql::micros(at - KEPT))
                    .bind(sql::big(of_agent))
                    .bind(sql::big(in_chat)),
            )
            .await?;
        Ok(!counted.is_empty())
    }

    /// Replaces what is kept about an agent's refused cards.
    pub async fn put_refused_cards(&mut self, agent: &AgentName, cards: &RefusedCards) -> Result<(), StoreError> {
        let stored = Stored {
            refused: cards.refused.iter().map(|&at| sql::micros(at)).collect(),
            until: cards.until.map(sql::micros),
            messages: cards.messages.clone(),
        };
        self.set_meta(&key(agent), &sql::encode("refused cards", &stored)?).await
    }
}

pub(crate) const ASKED_BY_AGENT: &str =
    "select at from asked indexed by asked_by_agent where agent = ? and at > ? order by at desc limit 1 offset ?";

/// When the card was sent that must be an hour old before an agent may send another one; `None` when it has fewer than `limit`.
pub(crate) async fn asked_by_agent(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    since: Timestamp,
    limit: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(ASKED_BY_AGENT)
        .bind(agent.as_str())
        .bind(sql::micros(since))
        .bind(sql::big(limit.saturating_sub(1)))
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    found.map(sql::time).transpose()
}

pub(crate) const ASKED_IN_CHAT: &str =
    "select at from asked indexed by asked_by_chat where chat = ? and at > ? order by at desc limit 1 offset ?";

/// The same for a chat.
pub(crate) async fn asked_in_chat(
    connection: &mut SqliteConnection,
    chat: i64,
    since: Timestamp,
    limit: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(ASKED_IN_CHAT)
        .bind(chat)
        .bind(sql::micros(since))
        .bind(sql::big(limit.saturating_sub(1)))
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    found.map(sql::time).transpose()
}

pub(crate) async fn refused_cards(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    now: Timestamp,
) -> Result<RefusedCards, StoreError> {
    let key = key(agent);
    let stored: Stored = match answers::meta(connection, &key).await? {
        Some(json) => sql::decode("refused cards", &key, &json)?,
        None => Stored::default(),
    };
    let since = sql::micros(now - KEPT);
    let refused: Vec<_> = stored.refused.into_iter().filter(|&at| at >= since).collect();
    // An hour without a refusal: the next one is told anew.
    let messages = if refused.is_empty() { Vec::new() } else { stored.messages };
    Ok(RefusedCards {
        refused: refused.into_iter().map(sql::time).collect::<Result<_, _>>()?,
        until: stored.until.map(sql::time).transpose()?,
        messages,
    })
}
