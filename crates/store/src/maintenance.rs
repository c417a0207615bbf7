//! Care of the file: backup, verification of the audit log, retention, the readiness probe.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use domain::{Sha256Hash, Timestamp};
use sqlx::{Connection as _, SqliteConnection};

use crate::{AuditReport, Pruned, Store, StoreError, Tx, audit, open, sql};

/// Rows of the audit log that are read at a time.
const STRETCH: u32 = 1000;
/// Rows that one step of retention removes: others write in between.
const STEP: u32 = 200;
/// How long idempotency answers are promised, and longer than Telegram offers an update again.
const DAY: chrono::Duration = chrono::Duration::hours(24);

impl Store {
    /// Writes a consistent copy to `to` while the service runs (`VACUUM INTO`). The name appears only when the copy is complete, checked
    /// and on disk; restoring is copying it back while the service is stopped.
    ///
    /// # Errors
    /// [`StoreError::Backup`] when the file exists already or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let failed = |why: String| StoreError::Backup { path: to.to_owned(), why };
        if to.exists() {
            return Err(failed("it exists already; name a new file".to_owned()));
        }
        let partial = PathBuf::from(format!("{}.partial", to.display()));
        let Some(name) = partial.to_str() else {
            return Err(failed("its name must be UTF-8".to_owned()));
        };
        private_empty(&partial).map_err(|error| failed(error.to_string()))?;
        let copied = self.copy(name).await;
        let kept = copied.and_then(|()| keep(&partial, to).map_err(|error| failed(error.to_string())));
        if kept.is_err() {
            // The copy is worth nothing; a file that stays behind is replaced by the next attempt.
            let _ = std::fs::remove_file(&partial);
        }
        kept.map_err(|error| match error {
            StoreError::Database { why } | StoreError::DiskFull { why } => failed(why),
            other => other,
        })
    }

    /// A connection of its own: a long copy must hold up neither the writer nor the readers.
    async fn copy(&self, to: &str) -> Result<(), StoreError> {
        let mut source = open::connect(&self.path).await?;
        let copied = sqlx::query("vacuum into ?")
            .bind(to)
            .execute(&mut source)
            .await
            .map_err(sql::failed);
        let closed = source.close().await.map_err(sql::failed);
        copied?;
        closed?;
        let mut copy = open::reader(Path::new(to)).await?;
        let whole = open::whole(&mut copy).await;
        let closed = copy.close().await.map_err(sql::failed);
        whole.and(closed)
    }

    /// Recomputes the whole audit chain in one snapshot and names the first bad row.
    pub async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(sql::failed)?;
        let mut snapshot = connection.begin().await.map_err(sql::failed)?;
        let report = verify(&mut snapshot).await?;
        snapshot.rollback().await.map_err(sql::failed)?;
        Ok(report)
    }

    /// Removes the contents of proposals that ended before `contents_before`, and the idempotency answers and update ids older than a day.
    /// Digests, audit rows and outcomes stay for ever. Works in small steps, so that others write in between.
    pub async fn prune(&self, contents_before: Timestamp, now: Timestamp) -> Result<Pruned, StoreError> {
        let day_ago = sql::micros(now - DAY);
        Ok(Pruned {
            contents: self.step_by_step(PRUNE_CONTENTS, sql::micros(contents_before)).await?,
            answers: self.step_by_step(PRUNE_ANSWERS, day_ago).await?,
            updates: self.step_by_step(PRUNE_UPDATES, day_ago).await?,
        })
    }

    async fn step_by_step(&self, statement: &'static str, before: i64) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let removed: u64 = self
                .write(move |tx: &mut Tx| Box::pin(async move { tx.execute(sqlx::query(statement).bind(before).bind(STEP)).await }))
                .await?;
            total += removed;
            if removed < u64::from(STEP) {
                return Ok(total);
            }
        }
    }

    /// Proves by a durable commit that the database can be written, and that no damage was found since the start.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] after the check beside the start found damage, else what the write met.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        if let Some(why) = self.damage.get() {
            return Err(StoreError::Corrupt { why: why.clone() });
        }
        let probe =
            sqlx::query("insert into meta (key, value) values ('probe', '1') on conflict do update set value = cast(value + 1 as text)");
        self.write(move |tx: &mut Tx| Box::pin(async move { tx.execute(probe).await.map(|_| ()) }))
            .await
    }

    /// Reads the whole file for damage; takes seconds on a large one, and holds nobody up.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] says where.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.readers.acquire().await.map_err(sql::failed)?;
        open::whole(&mut connection).await
    }
}

// The contents table holds only what is within retention: walking it costs no history.
const PRUNE_CONTENTS: &str = "delete from contents where rowid in (select contents.rowid from contents cross join proposals
 on proposals.id = contents.proposal where proposals.ended_at < ? limit ?)";
const PRUNE_ANSWERS: &str = "delete from answers where rowid in (select rowid from answers where at < ? limit ?)";
const PRUNE_UPDATES: &str = "delete from updates where update_id in (select update_id from updates where at < ? limit ?)";

async fn verify(connection: &mut SqliteConnection) -> Result<AuditReport, StoreError> {
    let mut named = named_rows(connection).await?;
    let (mut rows, mut head) = (0, Sha256Hash([0; 32]));
    loop {
        let stretch = audit::columns_after(connection, rows, STRETCH).await?;
        let last = stretch.len() < usize::try_from(STRETCH).unwrap_or(usize::MAX);
        for columns in stretch {
            let row = rows + 1;
            if sql::count(columns.0) != row {
                return Ok(broken(row, format!("it is missing: the next row is {}", columns.0)));
            }
            let hash = audit::hash(head, &columns);
            if hash.to_string() != columns.9 {
                return Ok(broken(
                    row,
                    "its content or its place is not what was written: the hash differs".to_owned(),
                ));
            }
            named.remove(&columns.9);
            (rows, head) = (row, hash);
        }
        if last {
            break;
        }
    }
    let (count, hash): (i64, String) = sqlx::query_as("select rows, hash from audit_head")
        .fetch_one(&mut *connection)
        .await
        .map_err(sql::failed)?;
    if sql::count(count) > rows {
        return Ok(broken(
            rows + 1,
            format!("it is missing: {count} rows were written, the log ends after {rows}"),
        ));
    }
    if sql::count(count) < rows || hash != head.to_string() {
        return Ok(broken(rows, format!("the stored end of the log (row {count}) is not this row")));
    }
    if let Some(hash) = named.iter().next() {
        let why = format!("a proposal was decided by the row with hash {hash}, which is not in the log");
        return Ok(at_odds(why));
    }
    if let Some(id) = unsealed(connection).await? {
        let why = format!("proposal {id} is approved, and no row of the log says by whom");
        return Ok(at_odds(why));
    }
    if let Some(id) = vanished(connection).await? {
        let why = format!("the log tells of proposal {id}, which is not in the database");
        return Ok(at_odds(why));
    }
    Ok(AuditReport::Intact { rows, head })
}

/// An approval that names no row of the log: nobody but whoever edited the file has given it.
async fn unsealed(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar(
        "select id from proposals where (decision = 'approved' or document ->> '$.decision' = 'approved')
         and document ->> '$.audit_head' is null limit 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(sql::failed)
}

/// A proposal that the log tells of and that is no longer stored: proposals are never deleted.
async fn vanished(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar(
        "select audit.proposal from audit left join proposals on proposals.id = audit.proposal
         where audit.proposal is not null and proposals.id is null limit 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(sql::failed)
}

/// The rows that decided proposals, as the proposals tell: witnesses outside of the log.
async fn named_rows(connection: &mut SqliteConnection) -> Result<HashSet<String>, StoreError> {
    let named: Vec<String> =
        sqlx::query_scalar("select document ->> '$.audit_head' from proposals where document ->> '$.audit_head' is not null")
            .fetch_all(connection)
            .await
            .map_err(sql::failed)?;
    Ok(named.into_iter().collect())
}

const fn broken(row: u64, why: String) -> AuditReport {
    AuditReport::Broken { row: Some(row), why }
}

/// Each row is what was written, and the proposals tell something else than the log.
const fn at_odds(why: String) -> AuditReport {
    AuditReport::Broken { row: None, why }
}

/// An empty file for its owner only; SQLite fills it.
fn private_empty(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

/// On disk first, then its name, then the name on disk: after a power cut there is a whole backup or none.
fn keep(partial: &Path, to: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(partial)?;
    file.sync_all()?;
    std::fs::rename(partial, to)?;
    open::durable(&file, to)
}
