//! SQLite through sqlx: the only SQL of the house. Speaks domain types; no sqlx type leaves the crate.
//!
//! [`Store`] is the handle. Everything that writes is a job for its one writer ([`Store::write`]); a job gets a [`Tx`], which reads and
//! writes inside the writer's current transaction. [`Store::read`] gives a [`Reader`] with the same questions outside of it.

mod agents;
mod answers;
mod asked;
mod audit;
mod cards;
mod decisions;
mod effects;
mod error;
mod generators;
mod ledger;
mod lock;
mod maintenance;
mod model;
mod open;
mod overlaps;
#[cfg(test)]
mod plans;
mod policies;
mod posts;
mod proposals;
mod reads;
mod recover;
mod reports;
mod sql;
mod stops;
mod store;
mod tx;
mod unexplained;
mod writer;

pub use asked::RefusedCards;
pub use decisions::Decided;
pub use error::{Duplicate, StoreError};
pub use lock::ServeLock;
pub use model::{
    Actor, Agent, Audit, AuditReport, AuditRow, Card, CardKind, CardState, Changed, Claimed, Cursor, LedgerRecord, ListFilter, NewCard,
    NewPost, OpenOffer, Ordered, Override, Owed, Post, Pruned, Scopes, StandardRun, Standing, StoredAnswer, Told,
};
pub use overlaps::Overlap;
pub use policies::RepositoryPolicy;
pub use proposals::NewAnswer;
pub use reads::Reader;
pub use reports::RefusedReports;
pub use store::{BoxFuture, DueBell, Store, StoreOptions};
pub use tx::Tx;
pub use unexplained::Unexplained;
