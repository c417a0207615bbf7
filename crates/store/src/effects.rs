//! The outbox: effects owed to the world, claimed by lease.
//!
//! A row waits, runs (it has a lease) or is parked. Of the same effect at most one row waits per proposal; while one runs, one more may
//! wait beside it and is not handed out before the running one is finished or its lease has ended. Times are arguments throughout.

use domain::{Effect, ProposalId, Scheduled, Timestamp};
use sqlx::{Row as _, SqliteConnection};

use crate::model::{Actor, Audit, Claimed, Owed};
use crate::tx::Statement;
use crate::{StoreError, Tx, sql};

type ClaimedColumns = (i64, Option<String>, String, String, i64, i64);
type OwedColumns = (i64, Option<String>, String, String, i64, i64, Option<i64>, bool, Option<String>);

impl Tx {
    /// Owes an effect. Where the same effect waits already, it stays one and the earlier time counts.
    pub async fn schedule(&mut self, proposal: Option<ProposalId>, effect: &Effect, due: Timestamp) -> Result<(), StoreError> {
        let owed = [Scheduled {
            effect: effect.clone(),
            due,
        }];
        self.execute(
            sqlx::query(
                "insert into outbox (proposal, key, effect, due) select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?) where true
                 on conflict do update set due = min(due, excluded.due), attempts = 0, error = null",
            )
            .bind(proposal.map(|id| id.to_string()))
            .bind(rows(&owed)?),
        )
        .await?;
        self.rings = true;
        Ok(())
    }

    /// Leases up to `limit` due effects of these kinds ([`Effect::key`]) until `lease_until`; also those whose lease has ended. Never one
    /// whose like (same proposal and key) is running. Rows that cannot be decoded are parked, with an audit row and an alarm.
    pub async fn claim(&mut self, now: Timestamp, lease_until: Timestamp, limit: u32, kinds: &[&str]) -> Result<Vec<Claimed>, StoreError> {
        let claimed = sqlx::query_as(CLAIM)
            .bind(sql::micros(now))
            .bind(sql::micros(lease_until))
            .bind(limit)
            .bind(sql::encode("effect keys", &kinds)?)
            .fetch_all(self.connection()?)
            .await
            .map_err(sql::failed);
        let mut claimed: Vec<ClaimedColumns> = self.noted(claimed)?;
        self.wrote |= !claimed.is_empty();
        claimed.sort_by_key(|row| (row.5, row.0));
        let mut good = Vec::with_capacity(claimed.len());
        for (effect_id, proposal, key, effect, attempts, due) in claimed {
            match decoded(effect_id, proposal.as_deref(), &effect, attempts, due) {
                Ok(row) => good.push(row),
                Err(error) => self.park_unreadable(effect_id, proposal.as_deref(), &key, &error, now).await?,
            }
        }
        Ok(good)
    }

    /// Leases the waiting `effect` of one proposal until `lease_until`, when it is due and none of its kind is running; answers its id. For the job that has
    /// just made it due: its owner gets it without another transaction.
    pub async fn claim_own(
        &mut self,
        proposal: ProposalId,
        effect: &Effect,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query(CLAIM_OWN)
            .bind(sql::micros(lease_until))
            .bind(proposal.to_string())
            .bind(effect.key())
            .bind(sql::encode("effect", effect)?)
            .bind(sql::micros(now));
        let rows = self.returned(query).await?;
        rows.first().map(|row| row.try_get(0).map_err(sql::failed)).transpose()
    }

    async fn park_unreadable(
        &mut self,
        effect_id: i64,
        proposal: Option<&str>,
        key: &str,
        error: &StoreError,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let text = format!("effect {effect_id} ({key}) is parked: {error}");
        tracing::error!(effect_id, key, proposal, %error, "an effect cannot be read and is parked");
        self.park(effect_id, &error.to_string()).await?;
        let proposal = proposal.and_then(|id| id.parse().ok());
        self.audit(Audit {
            proposal,
            actor: Actor::Service,
            event: "effect_parked".to_owned(),
            summary: text.clone(),
            details: serde_json::json!({ "effect_id": effect_id, "key": key }),
            at: now,
        })
        .await?;
        self.schedule(proposal, &Effect::Alarm { text }, now).await
    }

    /// Done: the row is removed. Does nothing when it is gone already.
    pub async fn finish(&mut self, effect_id: i64) -> Result<(), StoreError> {
        self.ended(sqlx::query(FINISH).bind(effect_id).bind(effect_id)).await
    }

    /// Again later; without an `error` its attempts are counted anew. When its like was scheduled meanwhile, that one remains, at the earlier of
    /// both times.
    pub async fn postpone(&mut self, effect_id: i64, due: Timestamp, error: Option<&str>) -> Result<(), StoreError> {
        let due = sql::micros(due);
        let merged = self.execute(sqlx::query(MERGE).bind(due).bind(effect_id).bind(effect_id)).await?;
        if merged > 0 {
            self.execute(sqlx::query("delete from outbox where effect_id = ?").bind(effect_id))
                .await?;
        } else {
            self.execute(
                sqlx::query(
                    "update outbox set leased_until = null, due = ?1, error = ?2, attempts = iif(?2 is null, 0, attempts)
                     where effect_id = ?3 and parked = 0",
                )
                .bind(due)
                .bind(error)
                .bind(effect_id),
            )
            .await?;
        }
        self.rings = true;
        Ok(())
    }

    /// Again later, because it failed: its like that was scheduled meanwhile would fail as well, and waits as long.
    pub async fn hold_off(&mut self, effect_id: i64, due: Timestamp, error: &str) -> Result<(), StoreError> {
        let put_off = sqlx::query(PUT_OFF)
            .bind(sql::micros(due))
            .bind(error)
            .bind(effect_id)
            .bind(effect_id);
        self.execute(put_off).await?;
        self.postpone(effect_id, due, Some(error)).await
    }

    /// Not again without a human.
    pub async fn park(&mut self, effect_id: i64, error: &str) -> Result<(), StoreError> {
        self.ended(sqlx::query(PARK).bind(effect_id).bind(error).bind(effect_id)).await
    }

    /// A human says: try a parked effect again. When its like waits already, that one is enough.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when no such effect is parked.
    pub async fn unpark(&mut self, effect_id: i64, due: Timestamp) -> Result<(), StoreError> {
        let merged = self
            .execute(
                sqlx::query(
                    "delete from outbox where effect_id = ? and parked = 1 and exists (select 1 from outbox other
                     where other.leased_until is null and other.parked = 0 and ifnull(other.proposal, '') = ifnull(outbox.proposal, '')
                     and other.key = outbox.key and other.effect = outbox.effect)",
                )
                .bind(effect_id),
            )
            .await?;
        let freed = if merged > 0 {
            merged
        } else {
            self.execute(
                sqlx::query("update outbox set parked = 0, attempts = 0, due = ? where effect_id = ? and parked = 1")
                    .bind(sql::micros(due))
                    .bind(effect_id),
            )
            .await?
        };
        self.rings = true;
        if freed == 0 {
            return Err(StoreError::Missing {
                what: "parked effect",
                id: effect_id.to_string(),
            });
        }
        Ok(())
    }

    /// Ends an effect by statements of which the first tells whether another one can start now.
    async fn ended(&mut self, statement: Statement<'_>) -> Result<(), StoreError> {
        for row in self.returned(statement).await? {
            self.rings |= row.try_get::<bool, _>(0).map_err(sql::failed)?;
        }
        Ok(())
    }
}

/// Candidates are the due waiting rows and the running ones whose lease has ended. Of those with the same proposal and key only one is
/// taken: the running one before a waiting one, else the one that is due first.
pub(crate) const CLAIM: &str = "
update outbox set leased_until = ?2, attempts = attempts + 1 where effect_id in (
    select effect_id from (
        select effect_id, due from outbox waiting
        where leased_until is null and parked = 0 and key in (select value from json_each(?4)) and due <= ?1
        and not exists (select 1 from outbox running
            where running.leased_until is not null and running.parked = 0
            and ifnull(running.proposal, '') = ifnull(waiting.proposal, '') and running.key = waiting.key)
        and not exists (select 1 from outbox earlier indexed by outbox_waiting
            where earlier.leased_until is null and earlier.parked = 0
            and ifnull(earlier.proposal, '') = ifnull(waiting.proposal, '') and earlier.key = waiting.key
            and (earlier.due, earlier.effect_id) < (waiting.due, waiting.effect_id))
        union all
        select effect_id, due from outbox ended
        where leased_until is not null and parked = 0 and leased_until <= ?1 and key in (select value from json_each(?4))
    ) order by due, effect_id limit ?3)
returning effect_id, proposal, key, effect, attempts, due";

pub(crate) const CLAIM_OWN: &str = "
update outbox set leased_until = ?1, attempts = attempts + 1
where ifnull(proposal, '') = ?2 and key = ?3 and effect = ?4 and due <= ?5 and leased_until is null and parked = 0
and not exists (select 1 from outbox running where running.leased_until is not null and running.parked = 0
    and ifnull(running.proposal, '') = ?2 and running.key = ?3)
returning effect_id";

/// Asked in the round trip that ends the effect.
macro_rules! like_waits {
    ($then:literal) => {
        concat!(
            "select exists (select 1 from outbox mine join outbox other on ifnull(other.proposal, '') = ifnull(mine.proposal, '')
             and other.key = mine.key and other.leased_until is null and other.parked = 0
             where mine.effect_id = ? and other.effect_id <> mine.effect_id)",
            $then
        )
    };
}

#[cfg(test)]
pub(crate) const LIKE_WAITS: &str = like_waits!("");
pub(crate) const FINISH: &str = like_waits!("; delete from outbox where effect_id = ?");
pub(crate) const PARK: &str = like_waits!("; update outbox set parked = 1, leased_until = null, error = ? where effect_id = ?");

macro_rules! like_of {
    ($set:literal) => {
        concat!(
            "update outbox set ",
            $set,
            " where leased_until is null and parked = 0 and effect_id <> ?
             and (ifnull(proposal, ''), key, effect) = (select ifnull(proposal, ''), key, effect from outbox where effect_id = ?)"
        )
    };
}

pub(crate) const MERGE: &str = like_of!("due = min(due, ?)");
pub(crate) const PUT_OFF: &str = like_of!("due = max(due, ?), error = ?");

/// What must be bound for `json_each` in the inserts of this table: key, effect and due of each.
pub(crate) fn rows(owed: &[Scheduled]) -> Result<String, StoreError> {
    let rows: Vec<(&str, String, i64)> = owed
        .iter()
        .map(|scheduled| {
            let effect = sql::encode("effect", &scheduled.effect)?;
            Ok((scheduled.effect.key(), effect, sql::micros(scheduled.due)))
        })
        .collect::<Result<_, StoreError>>()?;
    sql::encode("effects", &rows)
}

fn decoded(effect_id: i64, proposal: Option<&str>, effect: &str, attempts: i64, due: i64) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        effect_id,
        proposal: proposal.map(sql::id).transpose()?,
        effect: sql::decode("effect", &effect_id.to_string(), effect)?,
        attempts: sql::small("attempts", attempts)?,
        due: sql::time(due)?,
    })
}

pub(crate) const WAITING: &str = "
select effect_id, proposal, key, effect, due, attempts, leased_until, parked, error from outbox
where leased_until is null and parked = 0 and ifnull(proposal, '') = ?1
union all select effect_id, proposal, key, effect, due, attempts, leased_until, parked, error from outbox
where leased_until is not null and parked = 0 and ifnull(proposal, '') = ?1
union all select effect_id, proposal, key, effect, due, attempts, leased_until, parked, error from outbox
where parked = 1 and ifnull(proposal, '') = ?1
order by effect_id";

pub(crate) async fn effects_waiting(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Owed>, StoreError> {
    let rows: Vec<OwedColumns> = sqlx::query_as(WAITING)
        .bind(proposal.to_string())
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(owed).collect()
}

pub(crate) async fn parked(connection: &mut SqliteConnection) -> Result<Vec<Owed>, StoreError> {
    let rows: Vec<OwedColumns> = sqlx::query_as(
        "select effect_id, proposal, key, effect, due, attempts, leased_until, parked, error from outbox where parked = 1 order by effect_id",
    )
    .fetch_all(connection)
    .await
    .map_err(sql::failed)?;
    rows.into_iter().map(owed).collect()
}

pub(crate) async fn next_due(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, StoreError> {
    let (waiting, leased): (Option<i64>, Option<i64>) = sqlx::query_as(NEXT_DUE).fetch_one(connection).await.map_err(sql::failed)?;
    [waiting, leased].into_iter().flatten().min().map(sql::time).transpose()
}

/// The first waiting row whose like is not running (at most as many rows are passed over as there are running ones), and the first end of a lease.
pub(crate) const NEXT_DUE: &str = "
select (select due from outbox waiting where leased_until is null and parked = 0
        and not exists (select 1 from outbox running
            where running.leased_until is not null and running.parked = 0
            and ifnull(running.proposal, '') = ifnull(waiting.proposal, '') and running.key = waiting.key)
        order by due limit 1),
       (select min(leased_until) from outbox where leased_until is not null and parked = 0)";

fn owed((effect_id, proposal, key, effect, due, attempts, leased_until, parked, error): OwedColumns) -> Result<Owed, StoreError> {
    Ok(Owed {
        effect_id,
        proposal: proposal.as_deref().map(sql::id).transpose()?,
        key,
        effect,
        due: sql::time(due)?,
        attempts: sql::small("attempts", attempts)?,
        leased_until: leased_until.map(sql::time).transpose()?,
        parked,
        error,
    })
}
