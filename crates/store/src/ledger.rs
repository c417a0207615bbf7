//! The trust ledger's rows: trials, promotions, demotions, holds, shadows. What they mean is decided by `domain::ledger`.

use domain::ledger::{Demotion, Environment, Grant, Hold, LedgerKey, Shadow, Source, Target, Trial, TrialResult};
use domain::{CommitId, PersonRef, ProposalId, RepositoryName, RunbookName, Sha256Hash, Timestamp, UserId};
use sqlx::SqliteConnection;

use crate::model::{LedgerRecord, OpenOffer, StandardRun};
use crate::{StoreError, Tx, sql};

impl Tx {
    /// Stores a trial, or its new result. The key, target and times of a stored one stay as they are.
    pub async fn put_trial(&mut self, trial: &Trial) -> Result<(), StoreError> {
        let (committed, reported, verified) = match &trial.source {
            Source::Proposed => (None, None, None),
            Source::Observed {
                committed_at,
                reported_at,
                verified,
            } => (Some(sql::micros(*committed_at)), Some(sql::micros(*reported_at)), Some(*verified)),
        };
        self.execute(
            sqlx::query(
                "insert into trials (proposal, runbook, hash, repository, class, target, tier, committed_at, reported_at, verified, parameters,
                    started_at, closes_at, result, settled_at, reverted_at)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 on conflict (proposal) do update set result = excluded.result, settled_at = excluded.settled_at, reverted_at = excluded.reverted_at",
            )
            .bind(trial.proposal.to_string())
            .bind(trial.key.runbook.as_str())
            .bind(trial.key.hash.to_string())
            .bind(trial.key.environment.repository.as_str())
            .bind(trial.key.environment.class.as_str())
            .bind(sql::encode("target", &trial.target)?)
            .bind(trial.tier.as_str())
            .bind(committed)
            .bind(reported)
            .bind(verified)
            .bind(sql::encode("parameters", &trial.parameters)?)
            .bind(sql::micros(trial.started_at))
            .bind(sql::micros(trial.closes_at))
            .bind(trial.result.as_str())
            .bind(trial.settled_at.map(sql::micros))
            .bind(trial.reverted_at.map(sql::micros)),
        )
        .await?;
        Ok(())
    }

    /// Puts a hold; one that stands already on this runbook and path stays as it is. Answers whether it is new.
    pub async fn put_hold(&mut self, hold: &Hold) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sqlx::query("insert into holds (runbook, repository, path, since, proposal) values (?, ?, ?, ?, ?) on conflict do nothing")
                    .bind(hold.runbook.as_str())
                    .bind(hold.repository.as_str())
                    .bind(hold.path.as_str())
                    .bind(sql::micros(hold.since))
                    .bind(hold.proposal.map(|id| id.to_string())),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Lifts all holds that stand on this runbook in this repository; answers how many.
    pub async fn lift_holds(
        &mut self,
        runbook: &RunbookName,
        repository: &RepositoryName,
        by: UserId,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.execute(
            sqlx::query("update holds set lifted_at = ?, lifted_by = ? where runbook = ? and repository = ? and lifted_at is null")
                .bind(sql::micros(at))
                .bind(by.0)
                .bind(runbook.as_str())
                .bind(repository.as_str()),
        )
        .await
    }

    /// Writes a demotion down. Doing it twice does no harm: what counts is the newest.
    pub async fn put_demotion(&mut self, key: &LedgerKey, demotion: &Demotion) -> Result<(), StoreError> {
        self.execute(
            sqlx::query(
                "insert into demotions (runbook, hash, repository, class, at, tier, cause, proposal, by_id, by_name, lifted_at)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(key.runbook.as_str())
            .bind(key.hash.to_string())
            .bind(key.environment.repository.as_str())
            .bind(key.environment.class.as_str())
            .bind(sql::micros(demotion.at))
            .bind(demotion.to.as_str())
            .bind(demotion.cause.as_str())
            .bind(demotion.proposal.map(|id| id.to_string()))
            .bind(demotion.by.as_ref().map(|by| by.id.0))
            .bind(demotion.by.as_ref().map(|by| by.name.clone()))
            .bind(demotion.lifted_at.map(sql::micros)),
        )
        .await?;
        Ok(())
    }

    /// A human lifts the demotions of a record to `manual`; answers how many stood.
    pub async fn lift_demotions(&mut self, key: &LedgerKey, by: UserId, at: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            sqlx::query(
                "update demotions set lifted_at = ?, lifted_by = ?
                 where hash = ? and repository = ? and class = ? and tier = 'manual' and lifted_at is null",
            )
            .bind(sql::micros(at))
            .bind(by.0)
            .bind(key.hash.to_string())
            .bind(key.environment.repository.as_str())
            .bind(key.environment.class.as_str()),
        )
        .await
    }

    /// Stores an offer of a promotion and answers its number; `proposal` is the change to the policy that would make it true.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when an offer is open for this record.
    pub async fn put_offer(
        &mut self,
        key: &LedgerKey,
        proposal: Option<ProposalId>,
        offered_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.returned_id(
            "offer",
            sqlx::query(
                "insert into grants (runbook, hash, repository, class, proposal, offered_at, expires_at) values (?, ?, ?, ?, ?, ?, ?)
                 returning id",
            )
            .bind(key.runbook.as_str())
            .bind(key.hash.to_string())
            .bind(key.environment.repository.as_str())
            .bind(key.environment.class.as_str())
            .bind(proposal.map(|id| id.to_string()))
            .bind(sql::micros(offered_at))
            .bind(sql::micros(expires_at)),
        )
        .await
    }

    /// Notes that the policy holds a promotion of this record that ends then. When that is what an open offer would have come to, the offer
    /// is taken with it; otherwise somebody gave it by hand. Seen before, it stays as it was. Answers whether it is new.
    pub async fn sight_grant(&mut self, key: &LedgerKey, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let until = sql::micros(until);
        let taken = self
            .execute(
                sqlx::query(
                    "update grants set granted_at = ?, given = 0
                     where hash = ? and repository = ? and class = ? and granted_at is null and declined_at is null and expires_at = ?",
                )
                .bind(sql::micros(now))
                .bind(key.hash.to_string())
                .bind(key.environment.repository.as_str())
                .bind(key.environment.class.as_str())
                .bind(until),
            )
            .await?;
        if taken > 0 {
            return Ok(true);
        }
        let rows = self
            .execute(
                sqlx::query(
                    "insert into grants (runbook, hash, repository, class, offered_at, granted_at, expires_at, given)
                     select ?1, ?2, ?3, ?4, ?5, ?5, ?6, 1 where not exists (
                         select 1 from grants where hash = ?2 and repository = ?3 and class = ?4 and expires_at = ?6 and granted_at is not null)",
                )
                .bind(key.runbook.as_str())
                .bind(key.hash.to_string())
                .bind(key.environment.repository.as_str())
                .bind(key.environment.class.as_str())
                .bind(sql::micros(now))
                .bind(until),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Notes a run that goes out without asking anybody: what its runbook's limits count.
    pub async fn put_standard_run(
        &mut self,
        proposal: ProposalId,
        runbook: &RunbookName,
        repository: &RepositoryName,
        target: &Target,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            sqlx::query(
                "insert into standard_runs (proposal, runbook, repository, target, at) values (?, ?, ?, ?, ?) on conflict do nothing",
            )
            .bind(proposal.to_string())
            .bind(runbook.as_str())
            .bind(repository.as_str())
            .bind(sql::encode("target", target)?)
            .bind(sql::micros(at)),
        )
        .await?;
        Ok(())
    }

    /// The open offer of this record was turned down, or ended unanswered; answers whether there was one.
    pub async fn decline_offer(&mut self, key: &LedgerKey, at: Timestamp) -> Result<bool, StoreError> {
        self.close_offer("update grants set declined_at = ? where hash = ? and repository = ? and class = ? and granted_at is null and declined_at is null", key, at)
            .await
    }

    async fn close_offer(&mut self, statement: &'static str, key: &LedgerKey, at: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sqlx::query(statement)
                    .bind(sql::micros(at))
                    .bind(key.hash.to_string())
                    .bind(key.environment.repository.as_str())
                    .bind(key.environment.class.as_str()),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Keeps a note for a chat's digest; `thread` 0 is none. Twice does no harm.
    pub async fn put_digest(&mut self, chat: i64, thread: i64, proposal: ProposalId, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("insert into digests (chat, thread, proposal, at) values (?, ?, ?, ?) on conflict do nothing")
                .bind(chat)
                .bind(thread)
                .bind(proposal.to_string())
                .bind(sql::micros(at)),
        )
        .await?;
        Ok(())
    }

    /// Takes a note out of a chat's digest: it was told.
    pub async fn clear_digest(&mut self, chat: i64, thread: i64, proposal: ProposalId) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("delete from digests where chat = ? and thread = ? and proposal = ?")
                .bind(chat)
                .bind(thread)
                .bind(proposal.to_string()),
        )
        .await?;
        Ok(())
    }

    /// Notes whether a run that asks people would have run by itself. The first word stays.
    pub async fn put_shadow(&mut self, key: &LedgerKey, proposal: ProposalId, alone: bool) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("insert into shadows (proposal, hash, repository, class, alone) values (?, ?, ?, ?, ?) on conflict do nothing")
                .bind(proposal.to_string())
                .bind(key.hash.to_string())
                .bind(key.environment.repository.as_str())
                .bind(key.environment.class.as_str())
                .bind(alone),
        )
        .await?;
        Ok(())
    }
}

pub(crate) const DIGEST: &str = "select proposal from digests where chat = ? and thread = ? order by proposal";

/// The notes that wait for this chat's digest, oldest first: their ids sort by time.
pub(crate) async fn digest(connection: &mut SqliteConnection, chat: i64, thread: i64) -> Result<Vec<ProposalId>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(DIGEST)
        .bind(chat)
        .bind(thread)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.iter().map(|id| sql::id(id)).collect()
}

/// Binds a key as every question does: hash, repository, class.
macro_rules! keyed {
    ($query:expr, $key:expr) => {
        $query
            .bind($key.hash.to_string())
            .bind($key.environment.repository.as_str())
            .bind($key.environment.class.as_str())
    };
}

pub(crate) const TRIAL: &str = "select * from trials where proposal = ?";

pub(crate) async fn trial(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Option<Trial>, StoreError> {
    let row: Option<TrialColumns> = sqlx::query_as(TRIAL)
        .bind(proposal.to_string())
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    row.map(TrialColumns::decode).transpose()
}

/// The newest 200, and the newest 50 that went wrong: a record counts 50, and what is asked for every run must not grow with history. Repeats on one
/// target within a day count once, so that a runbook that runs very often shows fewer than it has; it never hides a failure that way.
pub(crate) const TRIALS: &str = "
select * from (select * from trials where hash = ?1 and repository = ?2 and class = ?3 and started_at >= ?4 order by started_at desc limit 200)
union
select * from (select * from trials indexed by trials_wrong where hash = ?1 and repository = ?2 and class = ?3 and started_at >= ?4
    and (result not in ('open', 'succeeded') or reverted_at is not null) order by started_at desc limit 50)
order by started_at";

pub(crate) async fn trials(connection: &mut SqliteConnection, key: &LedgerKey, since: Timestamp) -> Result<Vec<Trial>, StoreError> {
    let rows: Vec<TrialColumns> = keyed!(sqlx::query_as(TRIALS), key)
        .bind(sql::micros(since))
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(TrialColumns::decode).collect()
}

pub(crate) const OPEN_TRIALS: &str = "select * from trials where result = 'open' order by closes_at";

pub(crate) async fn open_trials(connection: &mut SqliteConnection) -> Result<Vec<Trial>, StoreError> {
    let rows: Vec<TrialColumns> = sqlx::query_as(OPEN_TRIALS).fetch_all(connection).await.map_err(sql::failed)?;
    rows.into_iter().map(TrialColumns::decode).collect()
}

pub(crate) const IN_WINDOW: &str = "select trials.proposal, proposals.commit_id
 from trials indexed by trials_in_window cross join proposals on proposals.id = trials.proposal
 where trials.repository = ? and trials.closes_at > ? and trials.reverted_at is null and proposals.commit_id is not null
 order by trials.started_at desc limit 200";

pub(crate) async fn runs_in_window(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    now: Timestamp,
) -> Result<Vec<(ProposalId, CommitId)>, StoreError> {
    runs(connection, IN_WINDOW, repository, now).await
}

pub(crate) const RUNS_SINCE: &str = "select id, commit_id from proposals indexed by proposals_decided
 where repository = ? and decided_at >= ? and origin in ('runbook', 'observed') and commit_id is not null order by decided_at desc limit 200";

pub(crate) async fn runs_since(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    since: Timestamp,
) -> Result<Vec<(ProposalId, CommitId)>, StoreError> {
    runs(connection, RUNS_SINCE, repository, since).await
}

/// The runs that one of these questions finds, with their commits.
async fn runs(
    connection: &mut SqliteConnection,
    question: &'static str,
    repository: &RepositoryName,
    at: Timestamp,
) -> Result<Vec<(ProposalId, CommitId)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(question)
        .bind(repository.as_str())
        .bind(sql::micros(at))
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter()
        .map(|(id, commit)| Ok((sql::id(&id)?, parsed("commit id", &commit)?)))
        .collect()
}

pub(crate) const STANDARD_RUNS: &str =
    "select at, target = ?1, proposals.outcome is null from standard_runs cross join proposals on proposals.id = standard_runs.proposal
 where standard_runs.runbook = ?2 and standard_runs.repository = ?3 and standard_runs.at >= ?4 order by at";

pub(crate) async fn standard_runs(
    connection: &mut SqliteConnection,
    runbook: &RunbookName,
    repository: &RepositoryName,
    target: &Target,
    since: Timestamp,
) -> Result<Vec<StandardRun>, StoreError> {
    let rows: Vec<(i64, bool, bool)> = sqlx::query_as(STANDARD_RUNS)
        .bind(sql::encode("target", target)?)
        .bind(runbook.as_str())
        .bind(repository.as_str())
        .bind(sql::micros(since))
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let decode = |(at, same_target, under_way): (i64, bool, bool)| {
        Ok(StandardRun {
            at: sql::time(at)?,
            same_target,
            under_way,
        })
    };
    rows.into_iter().map(decode).collect()
}

pub(crate) const KEYS: &str =
    "select distinct hash, repository, class from trials where runbook = ? and repository = ? and started_at >= ? order by hash, class";

pub(crate) async fn ledger_keys(
    connection: &mut SqliteConnection,
    runbook: &RunbookName,
    repository: &RepositoryName,
    since: Timestamp,
) -> Result<Vec<LedgerKey>, StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(KEYS)
        .bind(runbook.as_str())
        .bind(repository.as_str())
        .bind(sql::micros(since))
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let decode = |(hash, repository, class): (String, String, String)| key(runbook.as_str(), &hash, &repository, &class);
    rows.into_iter().map(decode).collect()
}

pub(crate) const HOLDS: &str =
    "select runbook, repository, path, since, proposal from holds where runbook = ? and repository = ? and lifted_at is null order by path";

type HoldColumns = (String, String, String, i64, Option<String>);

pub(crate) async fn holds(
    connection: &mut SqliteConnection,
    runbook: &RunbookName,
    repository: &RepositoryName,
) -> Result<Vec<Hold>, StoreError> {
    let rows: Vec<HoldColumns> = sqlx::query_as(HOLDS)
        .bind(runbook.as_str())
        .bind(repository.as_str())
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let decode = |(runbook, repository, path, since, proposal): HoldColumns| {
        Ok(Hold {
            runbook: parsed("runbook", &runbook)?,
            repository: parsed("repository", &repository)?,
            path: path.parse().map_err(|error| sql::undecodable("path of hold", &path, error))?,
            since: sql::time(since)?,
            proposal: proposal.as_deref().map(sql::id).transpose()?,
        })
    };
    rows.into_iter().map(decode).collect()
}

pub(crate) const DEMOTIONS: &str = "select at, tier, cause, proposal, by_id, by_name, lifted_at from demotions
 where hash = ? and repository = ? and class = ? order by at";

type DemotionColumns = (i64, String, String, Option<String>, Option<i64>, Option<String>, Option<i64>);

pub(crate) async fn demotions(connection: &mut SqliteConnection, key: &LedgerKey) -> Result<Vec<Demotion>, StoreError> {
    let rows: Vec<DemotionColumns> = keyed!(sqlx::query_as(DEMOTIONS), key)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let decode = |(at, tier, cause, proposal, by_id, by_name, lifted_at): DemotionColumns| {
        Ok(Demotion {
            at: sql::time(at)?,
            to: parsed("tier", &tier)?,
            cause: parsed("cause of demotion", &cause)?,
            proposal: proposal.as_deref().map(sql::id).transpose()?,
            by: by_id.zip(by_name).map(|(id, name)| PersonRef { id: UserId(id), name }),
            lifted_at: lifted_at.map(sql::time).transpose()?,
        })
    };
    rows.into_iter().map(decode).collect()
}

pub(crate) const GRANTS: &str = "select offered_at, granted_at, expires_at, given from grants
 where hash = ? and repository = ? and class = ? and granted_at is not null order by offered_at";

pub(crate) async fn grants(connection: &mut SqliteConnection, key: &LedgerKey) -> Result<Vec<Grant>, StoreError> {
    let rows: Vec<(i64, i64, i64, bool)> = keyed!(sqlx::query_as(GRANTS), key)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let decode = |(offered_at, granted_at, expires_at, given): (i64, i64, i64, bool)| {
        Ok(Grant {
            offered_at: sql::time(offered_at)?,
            granted_at: sql::time(granted_at)?,
            expires_at: sql::time(expires_at)?,
            given,
        })
    };
    rows.into_iter().map(decode).collect()
}

pub(crate) const OFFER: &str = "select id, proposal, offered_at, expires_at from grants
 where hash = ? and repository = ? and class = ? and granted_at is null and declined_at is null";

pub(crate) async fn open_offer(connection: &mut SqliteConnection, key: &LedgerKey) -> Result<Option<OpenOffer>, StoreError> {
    let row: Option<(i64, Option<String>, i64, i64)> = keyed!(sqlx::query_as(OFFER), key)
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    row.map(|(id, proposal, offered_at, expires_at)| {
        Ok(OpenOffer {
            id: sql::count(id),
            proposal: proposal.as_deref().map(sql::id).transpose()?,
            offered_at: sql::time(offered_at)?,
            expires_at: sql::time(expires_at)?,
        })
    })
    .transpose()
}

pub(crate) const OFFER_STANDS: &str = "select exists (select 1 from grants where id = ? and granted_at is null and declined_at is null)";

pub(crate) async fn offer_stands(connection: &mut SqliteConnection, offer: u64) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar(OFFER_STANDS).bind(sql::big(offer)).fetch_one(connection).await;
    found.map_err(sql::failed)
}

pub(crate) const DECLINED: &str = "select max(declined_at) from grants where hash = ? and repository = ? and class = ?";

async fn declined_at(connection: &mut SqliteConnection, key: &LedgerKey) -> Result<Option<Timestamp>, StoreError> {
    let found: Option<i64> = keyed!(sqlx::query_scalar(DECLINED), key)
        .fetch_one(connection)
        .await
        .map_err(sql::failed)?;
    found.map(sql::time).transpose()
}

pub(crate) const SHADOW: &str =
    "select count(*), ifnull(sum(shadows.alone), 0), ifnull(sum(shadows.alone and proposals.decision = 'approved'), 0)
 from shadows cross join proposals on proposals.id = shadows.proposal
 where shadows.hash = ? and shadows.repository = ? and shadows.class = ? and proposals.decision in ('approved', 'rejected')";

pub(crate) async fn shadow(connection: &mut SqliteConnection, key: &LedgerKey) -> Result<Shadow, StoreError> {
    let (runs, alone, agreed): (i64, i64, i64) = keyed!(sqlx::query_as(SHADOW), key)
        .fetch_one(connection)
        .await
        .map_err(sql::failed)?;
    Ok(Shadow {
        runs: sql::count(runs),
        alone: sql::count(alone),
        agreed: sql::count(agreed),
    })
}

pub(crate) async fn ledger_record(
    connection: &mut SqliteConnection,
    key: &LedgerKey,
    since: Timestamp,
) -> Result<LedgerRecord, StoreError> {
    Ok(LedgerRecord {
        trials: trials(&mut *connection, key, since).await?,
        grants: grants(&mut *connection, key).await?,
        demotions: demotions(&mut *connection, key).await?,
        holds: holds(&mut *connection, &key.runbook, &key.environment.repository).await?,
        declined_at: declined_at(&mut *connection, key).await?,
    })
}

/// The columns as they come.
#[derive(sqlx::FromRow)]
struct TrialColumns {
    proposal: String,
    runbook: String,
    hash: String,
    repository: String,
    class: String,
    target: String,
    tier: String,
    committed_at: Option<i64>,
    reported_at: Option<i64>,
    verified: Option<bool>,
    parameters: String,
    started_at: i64,
    closes_at: i64,
    result: String,
    settled_at: Option<i64>,
    reverted_at: Option<i64>,
}

impl TrialColumns {
    fn decode(self) -> Result<Trial, StoreError> {
        let source = match (self.committed_at, self.reported_at) {
            (Some(committed_at), Some(reported_at)) => Source::Observed {
                committed_at: sql::time(committed_at)?,
                reported_at: sql::time(reported_at)?,
                verified: self.verified.unwrap_or(false),
            },
            _ => Source::Proposed,
        };
        Ok(Trial {
            proposal: sql::id(&self.proposal)?,
            key: key(&self.runbook, &self.hash, &self.repository, &self.class)?,
            target: sql::decode("target of trial", &self.proposal, &self.target)?,
            tier: parsed("tier", &self.tier)?,
            source,
            parameters: sql::decode("parameters of trial", &self.proposal, &self.parameters)?,
            started_at: sql::time(self.started_at)?,
            closes_at: sql::time(self.closes_at)?,
            result: parsed::<TrialResult>("result of trial", &self.result)?,
            settled_at: self.settled_at.map(sql::time).transpose()?,
            reverted_at: self.reverted_at.map(sql::time).transpose()?,
        })
    }
}

fn key(runbook: &str, hash: &str, repository: &str, class: &str) -> Result<LedgerKey, StoreError> {
    let hash: Sha256Hash = sql::hash(hash)?;
    Ok(LedgerKey {
        runbook: parsed("runbook", runbook)?,
        hash,
        environment: Environment {
            repository: parsed("repository", repository)?,
            class: parsed("target class", class)?,
        },
    })
}

fn parsed<T: std::str::FromStr<Err = domain::InvalidId>>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| sql::undecodable(what, text, error))
}
