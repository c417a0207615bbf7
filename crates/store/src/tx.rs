//! One job's view of the writer's transaction. Reads see the job's own writes and those of the jobs before it.

use std::collections::HashMap;

use domain::{Proposal, ProposalId, Sha256Hash};
use sqlx::SqliteConnection;

use crate::model::Changed;
use crate::{StoreError, proposals};

/// The writer's transaction as one job sees it. When the job fails, all its writes are undone, and only its own.
pub struct Tx {
    pub(crate) connection: SqliteConnection,
    /// The end of the audit log, read once per transaction: other processes write too.
    pub(crate) head: Option<Head>,
    /// Set by failures after which SQLite may have left the transaction: nothing more is done in it.
    pub(crate) broken: Option<StoreError>,
    /// The versions that this job has read or written: what it decides on.
    pub(crate) versions: HashMap<ProposalId, u64>,
    pub(crate) changed: Vec<Changed>,
    pub(crate) rings: bool,
    pub(crate) wrote: bool,
}

/// The end of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub rows: u64,
    pub hash: Sha256Hash,
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
            head: None,
            broken: None,
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

    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match &self.broken {
            Some(error) => Err(error.clone()),
            None => Ok(&mut self.connection),
        }
    }

    /// Remembers a failure after which the transaction may be gone, so that a job which ignores it cannot write outside of one.
    pub(crate) fn noted<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(
            error @ (StoreError::Busy { .. } | StoreError::DiskFull { .. } | StoreError::Corrupt { .. } | StoreError::Database { .. }),
        ) = &answer
        {
            self.broken = Some(error.clone());
        }
        answer
    }
}
