//! One job's view of the writer's transaction. Reads see the job's own writes and those of the jobs before it.

use std::collections::HashMap;

use domain::{Proposal, ProposalId, Sha256Hash};
use sqlx::SqliteConnection;

use crate::model::Changed;
use crate::{StoreError, proposals};

/// The writer's transaction as one job sees it. When the job fails, all its writes are undone, and only its own.
pub struct Tx {
    pub(crate) connection: SqliteConnection,
    /// The end of the audit log as of this job's writes.
    pub(crate) head: Head,
    /// Set by failures after which SQLite may have left the transaction: nothing more is done in it.
    pub(crate) broken: Option<StoreError>,
    /// Set when this job broke a rule of the schema: it fails, whatever it answers.
    pub(crate) failed: Option<StoreError>,
    /// The versions that this job has read or written: what it decides on.
    pub(crate) versions: HashMap<ProposalId, u64>,
    /// What to tell after the commit.
    pub(crate) changed: Vec<Changed>,
    /// Whether workers should look for due effects after the commit.
    pub(crate) rings: bool,
    /// Whether anything is there to commit.
    pub(crate) wrote: bool,
}

/// The end of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub rows: u64,
    pub hash: Sha256Hash,
}

/// Where a job began: what a failed one goes back to.
pub(crate) struct Mark {
    head: Head,
    changed: usize,
    rings: bool,
    wrote: bool,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

impl Tx {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self {
            connection,
            head: Head {
                rows: 0,
                hash: Sha256Hash([0; 32]),
            },
            broken: None,
            failed: None,
            versions: HashMap::new(),
            changed: Vec::new(),
            rings: false,
            wrote: false,
        }
    }

    /// A proposal by id. Reading it here is what `apply` checks against.
    pub async fn proposal(&mut self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        let answer = proposals::proposal(self.connection()?, id).await;
        let found = self.noted(answer)?;
        if let Some(proposal) = &found {
            self.versions.insert(id, proposal.version);
        }
        Ok(found)
    }

    /// At the start of a transaction.
    pub(crate) fn restart(&mut self, head: Head) {
        self.head = head;
        self.changed.clear();
        self.rings = false;
        self.wrote = false;
    }

    /// At the start of a job.
    pub(crate) fn mark(&mut self) -> Mark {
        self.versions.clear();
        self.failed = None;
        Mark {
            head: self.head,
            changed: self.changed.len(),
            rings: self.rings,
            wrote: self.wrote,
        }
    }

    /// After a failed job, beside rolling back to its savepoint.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.head = mark.head;
        self.changed.truncate(mark.changed);
        self.rings = mark.rings;
        self.wrote = mark.wrote;
    }

    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match self.broken.as_ref().or(self.failed.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(&mut self.connection),
        }
    }

    /// Remembers a failure after which the transaction may be gone, so that a job which ignores it cannot write outside of one.
    pub(crate) fn noted<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Err(
                error @ (StoreError::Busy { .. } | StoreError::DiskFull { .. } | StoreError::Corrupt { .. } | StoreError::Database { .. }),
            ) => self.broken = Some(error.clone()),
            Err(error @ StoreError::Constraint { .. }) => self.failed = Some(error.clone()),
            Ok(_) | Err(_) => {}
        }
        answer
    }

    /// Runs a statement (or several) that writes; answers how many rows it touched.
    pub(crate) async fn execute(&mut self, query: Statement<'_>) -> Result<u64, StoreError> {
        let answer = query.execute(self.connection()?).await.map_err(crate::sql::failed);
        let rows = self.noted(answer)?.rows_affected();
        self.wrote |= rows > 0;
        Ok(rows)
    }

    /// Runs statements that write and of which the first returns rows. No rows: nothing is to be kept.
    pub(crate) async fn returned(&mut self, query: Statement<'_>) -> Result<Vec<sqlx::sqlite::SqliteRow>, StoreError> {
        let answer = query.fetch_all(self.connection()?).await.map_err(crate::sql::failed);
        let rows = self.noted(answer)?;
        self.wrote |= !rows.is_empty();
        Ok(rows)
    }
}

/// A statement with its arguments.
pub(crate) type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;
