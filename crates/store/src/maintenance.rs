//! Care of the file: backup, verification of the audit log, retention, the readiness probe.

use std::path::Path;

use domain::Timestamp;

use crate::{AuditReport, Pruned, Store, StoreError};

impl Store {
    /// Writes a consistent copy to `to` while the service runs (`VACUUM INTO`). The name appears only when the copy is complete and checked; restoring is copying it back.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let _ = to;
        todo!()
    }

    /// Recomputes the whole audit chain in one snapshot and names the first bad row.
    pub async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        todo!()
    }

    /// Removes the contents of proposals that ended before `contents_before`, and what is older than a day of idempotency answers and update ids.
    /// Digests, audit rows and outcomes stay for ever. Works in small steps, so that others write in between.
    pub async fn prune(&self, contents_before: Timestamp, now: Timestamp) -> Result<Pruned, StoreError> {
        let _ = (contents_before, now);
        todo!()
    }

    /// Proves by a durable commit that the database can be written.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Reads the whole file for damage; takes seconds on a large one.
    pub async fn check(&self) -> Result<(), StoreError> {
        todo!()
    }
}
