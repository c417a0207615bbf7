//! What makes a second time boring: idempotency answers, consumed update ids, and small values that outlive restarts.

use domain::{AgentName, Timestamp};
use sqlx::SqliteConnection;

use crate::model::StoredAnswer;
use crate::tx::Statement;
use crate::{StoreError, Tx, sql};

impl Tx {
    /// Stores the answer to a creating call in the same transaction as what it created.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the agent used the key before.
    pub async fn put_answer(&mut self, agent: &AgentName, key: &str, answer: &StoredAnswer, at: Timestamp) -> Result<(), StoreError> {
        let query =
            sqlx::query("insert into answers (agent, key, body_hash, status, body, etag, location, at) values (?, ?, ?, ?, ?, ?, ?, ?)");
        self.execute(bind(query, agent, key, answer, at)).await?;
        Ok(())
    }

    /// Notes a Telegram update; `true` the first time.
    pub async fn consume_update(&mut self, update_id: i64, at: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sqlx::query("insert into updates (update_id, at) values (?, ?) on conflict do nothing")
                    .bind(update_id)
                    .bind(sql::micros(at)),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Sets a value that must outlive restarts.
    pub async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("insert into meta (key, value) values (?, ?) on conflict do update set value = excluded.value where value <> excluded.value")
                .bind(key)
                .bind(value),
        )
        .await?;
        Ok(())
    }
}

/// The values of one row of `answers`.
pub(crate) fn bind<'q>(query: Statement<'q>, agent: &'q AgentName, key: &'q str, answer: &'q StoredAnswer, at: Timestamp) -> Statement<'q> {
    query
        .bind(agent.as_str())
        .bind(key)
        .bind(answer.body_hash.to_string())
        .bind(answer.status)
        .bind(&answer.body)
        .bind(&answer.etag)
        .bind(&answer.location)
        .bind(sql::micros(at))
}

pub(crate) const IDEMPOTENT: &str = "select body_hash, status, body, etag, location from answers where agent = ? and key = ?";

pub(crate) async fn idempotent(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    key: &str,
) -> Result<Option<StoredAnswer>, StoreError> {
    type Columns = (String, i64, String, Option<String>, Option<String>);
    let found: Option<Columns> = sqlx::query_as(IDEMPOTENT)
        .bind(agent.as_str())
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    found
        .map(|(body_hash, status, body, etag, location)| {
            Ok(StoredAnswer {
                body_hash: sql::hash(&body_hash)?,
                status: sql::small("status of an answer", status)?,
                body,
                etag,
                location,
            })
        })
        .transpose()
}

pub(crate) async fn meta(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>, StoreError> {
    let found = sqlx::query_scalar("select value from meta where key = ?")
        .bind(key)
        .fetch_optional(connection)
        .await;
    found.map_err(sql::failed)
}
