//! The audit log: a hash chain.

use domain::{ProposalId, Sha256Hash};
use sqlx::SqliteConnection;

use crate::model::{Audit, AuditRow};
use crate::{StoreError, Tx};

impl Tx {
    /// Appends one row; answers its hash.
    pub async fn audit(&mut self, entry: Audit) -> Result<Sha256Hash, StoreError> {
        let _ = entry;
        todo!()
    }
}

pub(crate) async fn audit_of(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<AuditRow>, StoreError> {
    let _ = (connection, proposal);
    todo!()
}
pub(crate) async fn audit_after(connection: &mut SqliteConnection, row: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let _ = (connection, row, limit);
    todo!()
}
