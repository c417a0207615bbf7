//! Agents and the hashes of their tokens. A token itself is never stored.

use domain::{AgentName, Sha256Hash, Timestamp};
use sqlx::SqliteConnection;

use crate::model::{Agent, Scopes};
use crate::{StoreError, Tx};

impl Tx {
    /// Adds an agent with the hash of its token.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the name is taken.
    pub async fn put_agent(
        &mut self,
        name: &AgentName,
        token: Sha256Hash,
        scopes: &Scopes,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Agent, StoreError> {
        let _ = (name, token, scopes, expires_at, at);
        todo!()
    }
    /// Replaces an agent's token: the old one is dead at once, a revoked agent lives again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such agent.
    pub async fn rotate_agent(&mut self, name: &AgentName, token: Sha256Hash, expires_at: Option<Timestamp>) -> Result<Agent, StoreError> {
        let _ = (name, token, expires_at);
        todo!()
    }
    /// Revokes an agent's token. The first revocation's time stays.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such agent.
    pub async fn revoke_agent(&mut self, name: &AgentName, at: Timestamp) -> Result<Agent, StoreError> {
        let _ = (name, at);
        todo!()
    }
    /// Notes that an agent called.
    pub async fn touch(&mut self, name: &AgentName, at: Timestamp) -> Result<(), StoreError> {
        let _ = (name, at);
        todo!()
    }
}

pub(crate) async fn agents(connection: &mut SqliteConnection) -> Result<Vec<Agent>, StoreError> {
    let _ = connection;
    todo!()
}
pub(crate) async fn agent(connection: &mut SqliteConnection, name: &AgentName) -> Result<Option<Agent>, StoreError> {
    let _ = (connection, name);
    todo!()
}
pub(crate) async fn agent_by_token(connection: &mut SqliteConnection, hash: Sha256Hash) -> Result<Option<Agent>, StoreError> {
    let _ = (connection, hash);
    todo!()
}
