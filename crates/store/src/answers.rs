//! What makes a second time boring: idempotency answers, consumed update ids, and small values that outlive restarts.

use domain::{AgentName, Timestamp};
use sqlx::SqliteConnection;

use crate::model::StoredAnswer;
use crate::{StoreError, Tx};

impl Tx {
    /// Stores the answer to a creating call in the same transaction as what it created.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the agent used the key before.
    pub async fn put_answer(&mut self, agent: &AgentName, key: &str, answer: &StoredAnswer, at: Timestamp) -> Result<(), StoreError> {
        let _ = (agent, key, answer, at);
        todo!()
    }
    /// Notes a Telegram update; `true` the first time.
    pub async fn consume_update(&mut self, update_id: i64, at: Timestamp) -> Result<bool, StoreError> {
        let _ = (update_id, at);
        todo!()
    }
    /// Sets a value that must outlive restarts.
    pub async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        let _ = (key, value);
        todo!()
    }
}

pub(crate) async fn idempotent(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    key: &str,
) -> Result<Option<StoredAnswer>, StoreError> {
    let _ = (connection, agent, key);
    todo!()
}
pub(crate) async fn meta(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>, StoreError> {
    let _ = (connection, key);
    todo!()
}
