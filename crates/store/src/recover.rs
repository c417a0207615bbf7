//! Taking over from a process that is gone.

use crate::{StoreError, Tx};

impl Tx {
    /// Ends every lease, so that what an earlier process held is claimed again at once. Only for the one that holds the lock file
    /// ([`crate::Store::lock`]): then whoever leased is gone.
    pub async fn release_leases(&mut self) -> Result<(), StoreError> {
        self.execute(sqlx::query(
            "update outbox set leased_until = 0 where leased_until is not null and parked = 0",
        ))
        .await?;
        self.rings = true;
        Ok(())
    }
}
