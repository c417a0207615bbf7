//! How long people looked before they decided.

use chrono::Duration;
use domain::{ProposalId, Timestamp, UserId};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, sql};

/// Decisions read of one person at most.
const READ_MAX: u32 = 5000;

/// One decision of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whether they approved.
    pub approved: bool,
    /// From the card in its form to the decision.
    pub looked: Duration,
}

impl Tx {
    /// Stores a decision.
    pub async fn put_decided(&mut self, proposal: ProposalId, person: UserId, decided: &Decided, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("insert into decisions (proposal, person, at, approved, looked) values (?, ?, ?, ?, ?)")
                .bind(proposal.to_string())
                .bind(person.0)
                .bind(sql::micros(at))
                .bind(decided.approved)
                .bind(decided.looked.num_microseconds().unwrap_or(i64::MAX)),
        )
        .await?;
        Ok(())
    }
}

pub(crate) const DECIDED: &str =
    "select approved, looked from decisions indexed by decisions_by_person where person = ? and at >= ? order by at desc limit ?";

pub(crate) async fn decided(connection: &mut SqliteConnection, person: UserId, since: Timestamp) -> Result<Vec<Decided>, StoreError> {
    let rows: Vec<(bool, i64)> = sqlx::query_as(DECIDED)
        .bind(person.0)
        .bind(sql::micros(since))
        .bind(READ_MAX)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    Ok(rows
        .into_iter()
        .map(|(approved, looked)| Decided {
            approved,
            looked: Duration::microseconds(looked),
        })
        .collect())
}
