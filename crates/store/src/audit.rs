//! The audit log: a hash chain that shows every row which was changed, removed or put elsewhere.
//!
//! `hash(n)` = SHA-256 over `countersign-audit-v1\0`, the 32 bytes of `hash(n-1)` (zeros before row 1), the row number (u64 big endian), the
//! time (i64 big endian, microseconds since 1970), then, each length-prefixed (u32 big endian): proposal id (empty when none), the actor's
//! kind, id and name, event, summary, and the details exactly as stored. `Audit-Head` in a commit is such a hash: an outside witness.
//! `audit_head` keeps count and last hash, so that a tail that was cut off is seen; so do the proposals that name a row.

use domain::{PersonRef, ProposalId, Sha256Hash, UserId};
use sha2::{Digest as _, Sha256};
use sqlx::SqliteConnection;

use crate::model::{Actor, Audit, AuditRow};
use crate::tx::{Head, Statement};
use crate::{StoreError, Tx, sql};

/// A row as its columns: seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash.
pub(crate) type Columns = (i64, Option<String>, i64, String, String, String, String, String, String, String);

/// An entry at its place in the chain, ready to be stored.
pub(crate) struct Linked {
    columns: Columns,
    pub head: Head,
}

impl Tx {
    /// Appends one row; answers its hash.
    pub async fn audit(&mut self, entry: Audit) -> Result<Sha256Hash, StoreError> {
        let linked = self.link(entry)?;
        let head = linked.head;
        self.execute(linked.bind(sqlx::query(
            "insert into audit (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )))
        .await?;
        self.head = head;
        Ok(head.hash)
    }

    /// The entry as the next row. The caller stores it and then moves `head` on.
    pub(crate) fn link(&self, entry: Audit) -> Result<Linked, StoreError> {
        let (actor, actor_id, actor_name) = match entry.actor {
            Actor::Agent(name) => ("agent", String::new(), name.to_string()),
            Actor::Person(person) => ("person", person.id.0.to_string(), person.name),
            Actor::Service => ("service", String::new(), String::new()),
            Actor::Stranger { id, name } => ("stranger", id.to_string(), name),
        };
        let rows = self.head.rows + 1;
        let mut columns = (
            sql::big(rows),
            entry.proposal.map(|id| id.to_string()),
            sql::micros(entry.at),
            actor.to_owned(),
            actor_id,
            actor_name,
            entry.event,
            entry.summary,
            sql::encode("audit details", &entry.details)?,
            String::new(),
        );
        let hash = hash(self.head.hash, &columns);
        columns.9 = hash.to_string();
        Ok(Linked {
            columns,
            head: Head { rows, hash },
        })
    }
}

impl Linked {
    /// Binds the ten columns in their order.
    pub fn bind(self, query: Statement<'_>) -> Statement<'_> {
        let (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash) = self.columns;
        let query = query.bind(seq).bind(proposal).bind(at).bind(actor).bind(actor_id);
        query.bind(actor_name).bind(event).bind(summary).bind(details).bind(hash)
    }
}

/// What the hash of a row must be, given the hash before it.
pub(crate) fn hash(previous: Sha256Hash, columns: &Columns) -> Sha256Hash {
    let (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, _) = columns;
    let mut hash = Sha256::new();
    hash.update(b"countersign-audit-v1\0");
    hash.update(previous.0);
    hash.update(seq.to_be_bytes());
    hash.update(at.to_be_bytes());
    for field in [
        proposal.as_deref().unwrap_or_default(),
        actor,
        actor_id,
        actor_name,
        event,
        summary,
        details,
    ] {
        hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(field.as_bytes());
    }
    Sha256Hash(hash.finalize().into())
}

pub(crate) const OF_PROPOSAL: &str =
    "select seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash from audit where proposal = ? order by seq";

pub(crate) async fn audit_of(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<AuditRow>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(OF_PROPOSAL)
        .bind(proposal.to_string())
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(row).collect()
}

pub(crate) async fn audit_after(connection: &mut SqliteConnection, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    columns_after(connection, after, limit).await?.into_iter().map(row).collect()
}

/// A stretch of the log as stored.
pub(crate) async fn columns_after(connection: &mut SqliteConnection, after: u64, limit: u32) -> Result<Vec<Columns>, StoreError> {
    sqlx::query_as(
        "select seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash from audit where seq > ? order by seq limit ?",
    )
    .bind(sql::big(after))
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(sql::failed)
}

fn row((seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash): Columns) -> Result<AuditRow, StoreError> {
    let place = seq.to_string();
    let number = || {
        actor_id
            .parse()
            .map_err(|error| sql::undecodable("audit actor of row", &place, error))
    };
    let actor = match actor.as_str() {
        "agent" => Actor::Agent(
            actor_name
                .parse()
                .map_err(|error| sql::undecodable("audit actor of row", &place, error))?,
        ),
        "person" => Actor::Person(PersonRef {
            id: UserId(number()?),
            name: actor_name,
        }),
        "service" => Actor::Service,
        "stranger" => Actor::Stranger {
            id: number()?,
            name: actor_name,
        },
        other => return Err(sql::undecodable("audit actor of row", &place, other)),
    };
    Ok(AuditRow {
        row: sql::count(seq),
        entry: Audit {
            proposal: proposal.as_deref().map(sql::id).transpose()?,
            actor,
            event,
            summary,
            details: sql::decode("audit details of row", &place, &details)?,
            at: sql::time(at)?,
        },
        hash: sql::hash(&hash)?,
    })
}
