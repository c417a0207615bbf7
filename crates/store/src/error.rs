//! What can go wrong with the database, in words for the person who must act on it. No type of the SQL library leaves the crate.

use std::path::PathBuf;

use domain::ProposalId;

/// Something that was there already: the caller decides what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// A proposal of this id.
    Proposal,
    /// This commit was observed before in this repository.
    Observed,
    /// This agent used the idempotency key before.
    IdempotencyKey,
    /// An agent of this name.
    Agent,
    /// Some other unique value.
    Other,
}

/// Why the store could not do it. Cloned to everybody whose work shared a failed commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Unique already.
    #[error("stored already: {0:?}")]
    Duplicate(Duplicate),
    /// The row is not what the caller decided on.
    #[error("{id} was changed meanwhile (decided on version {expected}): read it again inside the same write and decide again")]
    Conflict {
        /// Which proposal.
        id: ProposalId,
        /// The version that the caller decided on.
        expected: u64,
    },
    /// No such row.
    #[error("{what} {id} does not exist")]
    Missing {
        /// The kind of row.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// A stored value that this version of the program cannot read.
    #[error("cannot read {what} {id} from the database: {why}; was it written by another version?")]
    Undecodable {
        /// The kind of value.
        what: &'static str,
        /// Which one.
        id: String,
        /// The parser's words.
        why: String,
    },
    /// Another process held the write lock for too long.
    #[error("the database is busy: another process holds its write lock ({why}); nothing was stored, try again")]
    Busy {
        /// SQLite's words.
        why: String,
    },
    /// No space.
    #[error("the disk is full ({why}): nothing was stored; free space and try again, no restart is needed")]
    DiskFull {
        /// SQLite's words.
        why: String,
    },
    /// Damaged.
    #[error("the database file is damaged ({why}): stop the service and restore the latest backup")]
    Corrupt {
        /// SQLite's words.
        why: String,
    },
    /// Against a rule of the schema: only the statement failed.
    #[error("a rule of the database was broken ({why}): nothing was stored; this is a bug")]
    Constraint {
        /// SQLite's words.
        why: String,
    },
    /// Any other failure of the database.
    #[error("the database refused: {why}")]
    Database {
        /// SQLite's words.
        why: String,
    },
    /// The transaction that this work shared could not be committed.
    #[error("nothing was stored: the transaction failed ({why})")]
    NotCommitted {
        /// The first cause.
        why: String,
    },
    /// The work itself panicked; it alone was rolled back.
    #[error("nothing was stored: the work panicked ({message}); this is a bug, its neighbours were not harmed")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The work held the writer for too long; it alone was rolled back.
    #[error("nothing was stored: the work held the writer for more than {seconds} s")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another `serve` has it.
    #[error("{path} is locked by {holder}: only one `serve` may run on a database; stop the other one first")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// `process 4711`, or that it is unknown.
        holder: String,
    },
    /// Cannot be opened.
    #[error("cannot open the database {path}: {why}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Written by a newer program.
    #[error(
        "the database {path} has schema version {found}, this program knows up to {known}: start the newer program, or restore a backup from before the upgrade"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A backup could not be written.
    #[error("cannot write the backup {path}: {why}")]
    Backup {
        /// The backup file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
