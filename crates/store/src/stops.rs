//! What people ordered about sending: stops, freezes that a proposal may pass, people without rights. What they mean is decided by the
//! domain; the writer reads them in the transaction that decides.

use std::collections::BTreeSet;

use domain::{Lock, Order, OrderId, Orders, PersonRef, ProposalId, ResumeVote, Scope, Stop, Timestamp, UserId};
use sqlx::SqliteConnection;

use crate::model::{Ordered, Override};
use crate::{StoreError, Tx, sql};

type StopColumns = (i64, String, i64, String, i64, String, String);
type LockColumns = (i64, i64, String, i64, String);
type OverrideColumns = (String, String, i64, String, i64);

impl Tx {
    /// Stores a stop; answers it with its number.
    pub async fn put_stop(&mut self, scope: Scope, by: PersonRef, at: Timestamp, reason: String) -> Result<Stop, StoreError> {
        let query = sqlx::query("insert into stops (scope, by_id, by_name, at, reason) values (?, ?, ?, ?, ?) returning id")
            .bind(sql::encode("scope", &scope)?)
            .bind(by.id.0)
            .bind(by.name.clone())
            .bind(sql::micros(at))
            .bind(reason.clone());
        let id = self.returned_id("stop", query).await?;
        Ok(Stop {
            id,
            scope,
            by,
            at,
            reason,
            votes: Vec::new(),
        })
    }

    /// Keeps the votes of a stop, and ends it where a time is given.
    pub async fn set_stop(&mut self, stop: &Stop, ended_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update stops set votes = ?, ended_at = ? where id = ? and ended_at is null")
                .bind(sql::encode("votes", &stop.votes)?)
                .bind(ended_at.map(sql::micros))
                .bind(sql::big(stop.id)),
        )
        .await?;
        Ok(())
    }

    /// Lets a proposal pass a freeze; answers whether that is new.
    pub async fn put_override(&mut self, proposal: ProposalId, pass: &Override) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sqlx::query("insert into overrides (proposal, freeze, by_id, by_name, at) values (?, ?, ?, ?, ?) on conflict do nothing")
                    .bind(proposal.to_string())
                    .bind(pass.freeze.clone())
                    .bind(pass.by.id.0)
                    .bind(pass.by.name.clone())
                    .bind(sql::micros(pass.at)),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Takes somebody's rights away; one lock of each person stands at most. Answers whether that is new.
    pub async fn put_lock(&mut self, person: &PersonRef, at: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sqlx::query("insert into locks (person, name, at) values (?, ?, ?) on conflict do nothing")
                    .bind(person.id.0)
                    .bind(person.name.clone())
                    .bind(sql::micros(at)),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Keeps the votes of a lock, and lifts it where a time is given.
    pub async fn set_lock(&mut self, lock: &Lock, restored_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update locks set votes = ?, restored_at = ? where id = ? and restored_at is null")
                .bind(sql::encode("votes", &lock.votes)?)
                .bind(restored_at.map(sql::micros))
                .bind(sql::big(lock.id)),
        )
        .await?;
        Ok(())
    }

    /// The id that an insert answered.
    pub(crate) async fn returned_id(&mut self, what: &'static str, query: crate::tx::Statement<'_>) -> Result<u64, StoreError> {
        use sqlx::Row as _;
        let rows = self.returned(query).await?;
        let id = rows.first().map(|row| row.try_get::<i64, _>(0).map_err(sql::failed)).transpose()?;
        id.map(sql::count).ok_or_else(|| StoreError::Missing {
            what,
            id: "just stored".to_owned(),
        })
    }
}

pub(crate) async fn standing_stops(connection: &mut SqliteConnection) -> Result<Vec<Stop>, StoreError> {
    let rows: Vec<StopColumns> = sqlx::query_as(STOPS).fetch_all(connection).await.map_err(sql::failed)?;
    rows.into_iter().map(stop).collect()
}

pub(crate) async fn standing_locks(connection: &mut SqliteConnection) -> Result<Vec<Lock>, StoreError> {
    let rows: Vec<LockColumns> = sqlx::query_as(LOCKS).fetch_all(connection).await.map_err(sql::failed)?;
    rows.into_iter().map(lock).collect()
}

pub(crate) async fn order(connection: &mut SqliteConnection, order: OrderId) -> Result<Option<(Order, Option<Timestamp>)>, StoreError> {
    let (order, ended_at) = match order {
        OrderId::Stop(id) => {
            let found: Option<StopColumns> = one(connection, STOP, id).await?;
            let Some(columns) = found else { return Ok(None) };
            (Order::Stop(stop(columns)?), one(connection, STOP_ENDED, id).await?)
        }
        OrderId::Lock(id) => {
            let found: Option<LockColumns> = one(connection, LOCK, id).await?;
            let Some(columns) = found else { return Ok(None) };
            (Order::Lock(lock(columns)?), one(connection, LOCK_ENDED, id).await?)
        }
    };
    let ended_at: Option<(i64,)> = ended_at;
    Ok(Some((order, ended_at.map(|(at,)| sql::time(at)).transpose()?)))
}

async fn one<T>(connection: &mut SqliteConnection, statement: &'static str, id: u64) -> Result<Option<T>, StoreError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    let row = sqlx::query_as(statement).bind(sql::big(id)).fetch_optional(connection).await;
    row.map_err(sql::failed)
}

fn stop((id, scope, by_id, by_name, at, reason, votes): StopColumns) -> Result<Stop, StoreError> {
    let name = id.to_string();
    Ok(Stop {
        id: sql::count(id),
        scope: sql::decode("scope of stop", &name, &scope)?,
        by: PersonRef {
            id: UserId(by_id),
            name: by_name,
        },
        at: sql::time(at)?,
        reason,
        votes: sql::decode::<Vec<ResumeVote>>("votes of stop", &name, &votes)?,
    })
}

fn lock((id, person, name, at, votes): LockColumns) -> Result<Lock, StoreError> {
    Ok(Lock {
        id: sql::count(id),
        person: PersonRef { id: UserId(person), name },
        at: sql::time(at)?,
        votes: sql::decode::<Vec<ResumeVote>>("votes of lock", &id.to_string(), &votes)?,
    })
}

pub(crate) async fn overrides(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Override>, StoreError> {
    let rows: Vec<OverrideColumns> = sqlx::query_as(OVERRIDES)
        .bind(proposal.to_string())
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(|row| Ok(passed(row)?.1)).collect()
}

pub(crate) async fn ordered(connection: &mut SqliteConnection) -> Result<Ordered, StoreError> {
    let rows: Vec<OverrideColumns> = sqlx::query_as(OPEN_OVERRIDES)
        .fetch_all(&mut *connection)
        .await
        .map_err(sql::failed)?;
    let mut ordered = Ordered {
        stops: standing_stops(connection).await?,
        locks: standing_locks(connection).await?,
        ..Ordered::default()
    };
    for row in rows {
        let (proposal, pass) = passed(row)?;
        ordered.overrides.entry(proposal).or_default().push(pass);
    }
    Ok(ordered)
}

/// What decides about one proposal, in one question: asked for every tap and every commit.
pub(crate) async fn orders(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<(Orders, BTreeSet<UserId>), StoreError> {
    let (standing, locked, overridden): (bool, String, String) = sqlx::query_as(ORDERS)
        .bind(proposal.to_string())
        .fetch_one(&mut *connection)
        .await
        .map_err(sql::failed)?;
    let name = proposal.to_string();
    let stops = if standing { standing_stops(connection).await? } else { Vec::new() };
    let orders = Orders {
        stops,
        overridden: sql::decode("overrides of", &name, &overridden)?,
    };
    Ok((orders, sql::decode("locks", &name, &locked)?))
}

fn passed((proposal, freeze, by_id, by_name, at): OverrideColumns) -> Result<(ProposalId, Override), StoreError> {
    let pass = Override {
        freeze,
        by: PersonRef {
            id: UserId(by_id),
            name: by_name,
        },
        at: sql::time(at)?,
    };
    Ok((sql::id(&proposal)?, pass))
}

pub(crate) const STOPS: &str = "select id, scope, by_id, by_name, at, reason, votes from stops where ended_at is null order by id";
pub(crate) const LOCKS: &str = "select id, person, name, at, votes from locks where restored_at is null order by person";
pub(crate) const STOP: &str = "select id, scope, by_id, by_name, at, reason, votes from stops where id = ?";
pub(crate) const STOP_ENDED: &str = "select ended_at from stops where id = ? and ended_at is not null";
pub(crate) const LOCK: &str = "select id, person, name, at, votes from locks where id = ?";
pub(crate) const LOCK_ENDED: &str = "select restored_at from locks where id = ? and restored_at is not null";
pub(crate) const OVERRIDES: &str = "select proposal, freeze, by_id, by_name, at from overrides where proposal = ? order by freeze";
pub(crate) const OPEN_OVERRIDES: &str = "select overrides.proposal, overrides.freeze, overrides.by_id, overrides.by_name, overrides.at
     from proposals cross join overrides on overrides.proposal = proposals.id where proposals.outcome is null order by proposals.created_at, proposals.id";
pub(crate) const ORDERS: &str = "select exists (select 1 from stops where ended_at is null),
    (select json_group_array(person) from locks where restored_at is null),
    (select json_group_array(freeze) from overrides where proposal = ?)";
