//! The outbox: effects owed to the world, claimed by lease.

use domain::{Effect, ProposalId, Timestamp};
use sqlx::SqliteConnection;

use crate::model::{Claimed, Owed};
use crate::{StoreError, Tx};

impl Tx {
    /// Owes an effect. Where the same effect waits already, it stays one and the earlier time counts.
    pub async fn schedule(&mut self, proposal: Option<ProposalId>, effect: &Effect, due: Timestamp) -> Result<(), StoreError> {
        let _ = (proposal, effect, due);
        todo!()
    }
    /// Leases up to `limit` due effects of these kinds ([`Effect::key`]) until `lease_until`; also those whose lease has ended. Never one
    /// whose like (same proposal and key) is running. Rows that cannot be decoded are parked, with an audit row and an alarm.
    pub async fn claim(&mut self, now: Timestamp, lease_until: Timestamp, limit: u32, kinds: &[&str]) -> Result<Vec<Claimed>, StoreError> {
        let _ = (now, lease_until, limit, kinds);
        todo!()
    }
    /// Done: the row is removed. Does nothing when it is gone already.
    pub async fn finish(&mut self, effect_id: i64) -> Result<(), StoreError> {
        let _ = effect_id;
        todo!()
    }
    /// Again later. When its like was scheduled meanwhile, that one remains, at the earlier of both times.
    pub async fn postpone(&mut self, effect_id: i64, due: Timestamp, error: Option<&str>) -> Result<(), StoreError> {
        let _ = (effect_id, due, error);
        todo!()
    }
    /// Not again without a human.
    pub async fn park(&mut self, effect_id: i64, error: &str) -> Result<(), StoreError> {
        let _ = (effect_id, error);
        todo!()
    }
    /// A human says: try a parked effect again.
    pub async fn unpark(&mut self, effect_id: i64, due: Timestamp) -> Result<(), StoreError> {
        let _ = (effect_id, due);
        todo!()
    }
}

pub(crate) async fn effects_waiting(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Owed>, StoreError> {
    let _ = (connection, proposal);
    todo!()
}
pub(crate) async fn parked(connection: &mut SqliteConnection) -> Result<Vec<Owed>, StoreError> {
    let _ = connection;
    todo!()
}
pub(crate) async fn next_due(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, StoreError> {
    let _ = connection;
    todo!()
}
