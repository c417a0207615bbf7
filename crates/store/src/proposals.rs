//! Proposals, their revisions and contents.

use domain::{AgentName, ChangeSet, CommitId, Delivery, Proposal, ProposalId, RepositoryName, Revision, Sha256Hash, Timestamp, Transition};
use sqlx::SqliteConnection;

use crate::model::{Audit, Cursor, ListFilter};
use crate::{StoreError, Tx};

impl Tx {
    /// Stores a new proposal with its contents, its audit row and its effects. When the transition seals, the audit row's hash becomes `audit_head`.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] with [`crate::Duplicate::Observed`] when this commit was observed before.
    pub async fn insert(&mut self, transition: &Transition, contents: &ChangeSet, audit: Audit) -> Result<Proposal, StoreError> {
        let _ = (transition, contents, audit);
        todo!()
    }

    /// Stores what an event did to a proposal: audit row, state, effects. When the transition seals, the audit row's hash becomes `audit_head`. Answers the proposal as stored.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the stored version is not the one this job has read (or, unread, not `next.version - 1`).
    pub async fn apply(&mut self, transition: &Transition, audit: Audit) -> Result<Proposal, StoreError> {
        let _ = (transition, audit);
        todo!()
    }

    /// Stores the contents of a further revision; before or after the `apply` that makes it current.
    pub async fn insert_contents(&mut self, id: ProposalId, revision: u32, contents: &ChangeSet) -> Result<(), StoreError> {
        let _ = (id, revision, contents);
        todo!()
    }
}

pub(crate) async fn proposal(connection: &mut SqliteConnection, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
    let _ = (connection, id);
    todo!()
}
pub(crate) async fn contents(connection: &mut SqliteConnection, id: ProposalId, revision: u32) -> Result<Option<ChangeSet>, StoreError> {
    let _ = (connection, id, revision);
    todo!()
}
pub(crate) async fn revisions(connection: &mut SqliteConnection, id: ProposalId) -> Result<Vec<Revision>, StoreError> {
    let _ = (connection, id);
    todo!()
}
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    filter: &ListFilter,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<(Vec<Proposal>, Option<Cursor>), StoreError> {
    let _ = (connection, filter, cursor, limit);
    todo!()
}
pub(crate) async fn pending_by_digest(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    digest: Sha256Hash,
    base: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    let _ = (connection, agent, digest, base);
    todo!()
}
pub(crate) async fn observed(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    commit: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    let _ = (connection, repository, commit);
    todo!()
}
pub(crate) async fn by_commit(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    commit: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    let _ = (connection, repository, commit);
    todo!()
}
pub(crate) async fn pending_prefix(connection: &mut SqliteConnection, text: &str) -> Result<Vec<ProposalId>, StoreError> {
    let _ = (connection, text);
    todo!()
}
pub(crate) async fn by_short(connection: &mut SqliteConnection, text: &str) -> Result<Vec<ProposalId>, StoreError> {
    let _ = (connection, text);
    todo!()
}
pub(crate) async fn deliverable(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    branch: &str,
) -> Result<Vec<ProposalId>, StoreError> {
    let _ = (connection, repository, branch);
    todo!()
}
pub(crate) async fn in_delivery(connection: &mut SqliteConnection, states: &[Delivery]) -> Result<Vec<Proposal>, StoreError> {
    let _ = (connection, states);
    todo!()
}
pub(crate) async fn count_open(connection: &mut SqliteConnection, agent: &AgentName) -> Result<u64, StoreError> {
    let _ = (connection, agent);
    todo!()
}
pub(crate) async fn count_created_since(connection: &mut SqliteConnection, agent: &AgentName, since: Timestamp) -> Result<u64, StoreError> {
    let _ = (connection, agent, since);
    todo!()
}
