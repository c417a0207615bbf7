//! Agents and the hashes of their tokens. A token itself is never stored.

use domain::{AgentName, Sha256Hash, Timestamp};
use sqlx::SqliteConnection;
use subtle::ConstantTimeEq as _;

use crate::model::{Agent, Scopes};
use crate::{Duplicate, StoreError, Tx, sql};

/// Digits of the hash that find the row: an index compares them in varying time, so they are too few to be of use to a guesser.
const PREFIX: usize = 8;

const ADD: &str = "insert into agents (name, token_prefix, token_hash, scopes, created_at, expires_at) values (?, ?, ?, ?, ?, ?)
    on conflict (name) do update set token_prefix = excluded.token_prefix, token_hash = excluded.token_hash, scopes = excluded.scopes,
        expires_at = excluded.expires_at, revoked_at = null";

type Columns = (String, String, String, i64, Option<i64>, Option<i64>, Option<i64>);

impl Tx {
    /// Adds an agent with the hash of its token. A revoked agent's name may be given out again: with the scopes given now, and still
    /// created when it was created first.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the name belongs to an agent that is not revoked.
    pub async fn put_agent(
        &mut self,
        name: &AgentName,
        token: Sha256Hash,
        scopes: &Scopes,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<Agent, StoreError> {
        let hash = token.to_string();
        if self.agent(name).await?.is_some_and(|agent| agent.revoked_at.is_none()) {
            return Err(StoreError::Duplicate(Duplicate::Agent));
        }
        self.execute(
            sqlx::query(ADD)
                .bind(name.as_str())
                .bind(&hash[..PREFIX])
                .bind(&hash)
                .bind(sql::encode("scopes", scopes)?)
                .bind(sql::micros(at))
                .bind(expires_at.map(sql::micros)),
        )
        .await?;
        self.existing(name).await
    }

    /// Replaces an agent's token: the old one is dead at once. A revoked agent stays revoked.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such agent.
    pub async fn rotate_agent(&mut self, name: &AgentName, token: Sha256Hash, expires_at: Option<Timestamp>) -> Result<Agent, StoreError> {
        let hash = token.to_string();
        self.execute(
            sqlx::query("update agents set token_prefix = ?, token_hash = ?, expires_at = ? where name = ?")
                .bind(&hash[..PREFIX])
                .bind(&hash)
                .bind(expires_at.map(sql::micros))
                .bind(name.as_str()),
        )
        .await?;
        self.existing(name).await
    }

    /// Revokes an agent's token. The first revocation's time stays.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such agent.
    pub async fn revoke_agent(&mut self, name: &AgentName, at: Timestamp) -> Result<Agent, StoreError> {
        self.execute(
            sqlx::query("update agents set revoked_at = ifnull(revoked_at, ?) where name = ?")
                .bind(sql::micros(at))
                .bind(name.as_str()),
        )
        .await?;
        self.existing(name).await
    }

    /// Notes that an agent called. Meant to be called once in a while, not for every request: each is a write. Nobody is told of an agent that is gone.
    pub async fn touch(&mut self, name: &AgentName, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update agents set last_used_at = ? where name = ?")
                .bind(sql::micros(at))
                .bind(name.as_str()),
        )
        .await?;
        Ok(())
    }

    async fn existing(&mut self, name: &AgentName) -> Result<Agent, StoreError> {
        self.agent(name).await?.ok_or_else(|| StoreError::Missing {
            what: "agent",
            id: name.to_string(),
        })
    }
}

pub(crate) async fn agents(connection: &mut SqliteConnection) -> Result<Vec<Agent>, StoreError> {
    let rows: Vec<Columns> =
        sqlx::query_as("select name, token_hash, scopes, created_at, expires_at, revoked_at, last_used_at from agents order by name")
            .fetch_all(connection)
            .await
            .map_err(sql::failed)?;
    rows.into_iter().map(decode).collect()
}

pub(crate) async fn agent(connection: &mut SqliteConnection, name: &AgentName) -> Result<Option<Agent>, StoreError> {
    let row: Option<Columns> =
        sqlx::query_as("select name, token_hash, scopes, created_at, expires_at, revoked_at, last_used_at from agents where name = ?")
            .bind(name.as_str())
            .fetch_optional(connection)
            .await
            .map_err(sql::failed)?;
    row.map(decode).transpose()
}

pub(crate) const BY_TOKEN: &str =
    "select name, token_hash, scopes, created_at, expires_at, revoked_at, last_used_at from agents where token_prefix = ?";

pub(crate) async fn agent_by_token(connection: &mut SqliteConnection, hash: Sha256Hash) -> Result<Option<Agent>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(BY_TOKEN)
        .bind(&hash.to_string()[..PREFIX])
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let same = |row: &Columns| sql::hash(&row.1).is_ok_and(|stored| bool::from(stored.0.ct_eq(&hash.0)));
    rows.into_iter().find(same).map(decode).transpose()
}

fn decode((name, _, scopes, created_at, expires_at, revoked_at, last_used_at): Columns) -> Result<Agent, StoreError> {
    Ok(Agent {
        scopes: sql::decode("scopes of agent", &name, &scopes)?,
        name: name.parse().map_err(|error| sql::undecodable("agent", &name, error))?,
        created_at: sql::time(created_at)?,
        expires_at: expires_at.map(sql::time).transpose()?,
        revoked_at: revoked_at.map(sql::time).transpose()?,
        last_used_at: last_used_at.map(sql::time).transpose()?,
    })
}
