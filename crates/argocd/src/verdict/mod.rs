//! Is my commit deployed, and well? The pure table.
//!
//! [`judge`] looks at one application for one pushed commit and says where it stands. It has no clock, no network and no
//! hidden state: what must outlive one evaluation is in [`Tracking`], which goes in and comes out. Answers rest on ancestry,
//! so nothing that happened before the push can make a change succeed, and an application that is already one commit
//! further counts as deployed. A time-out is never called a failure.
//!
//! - `inputs`, `outcome`, `words`: what goes in, what comes out, and how it is said
//! - `rows`: the table, first match wins
//! - `health`: the health gate behind the rows that mean "applied"
//! - `facts`, `signs`: revisions and ancestry, and what else the rows look for

mod facts;
mod health;
mod inputs;
mod outcome;
#[cfg(test)]
mod properties;
mod rows;
mod signs;
#[cfg(test)]
mod tests;
mod words;

use chrono::{DateTime, Utc};

pub use facts::{Ancestry, Contains};
pub use inputs::{Baseline, Change, CompareError, Evidence, Latch, Patience, Presence, RefreshFact, Sighted, Tracking};
pub use outcome::{Arrival, Ending, GoneReason, Note, Stage, Verdict};
pub use rows::{judge, moved_by};

use crate::model::{Application, Operation};

/// The answer of [`judge`].
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Store this.
    pub tracking: Tracking,
    /// Show this.
    pub verdict: Verdict,
    /// Do this (see [`crate::watch::Watch::fulfil`]); may be empty.
    pub wants: Vec<Want>,
}

/// What a judgement needs in order to get further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A refresh asked at or after this time. One that somebody else asked for will do.
    Refresh {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// A direct `GET` made at or after this time.
    Details {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// An answer about sync windows given at or after this time.
    SyncWindows {
        /// Earliest useful time of asking.
        not_before: DateTime<Utc>,
    },
    /// The mirror does not know these commits: fetch, then judge again.
    FetchCommits {
        /// Full commit ids.
        revisions: Vec<String>,
    },
    /// Judge again at this time even if nothing happens.
    WakeAt(DateTime<Utc>),
}

/// What all applications of a change come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combined {
    /// Position of the verdict that speaks for all: while any waits, the one most in need of attention; at the end, the worst.
    pub speaks: usize,
    /// Set when every verdict is final: the worst ending.
    pub ending: Option<Ending>,
}

/// Combines the verdicts of all touched applications: done when all are final, and then the worst wins. `None` for none.
pub fn combine(verdicts: &[Verdict]) -> Option<Combined> {
    let waiting = |verdict: &Verdict| !verdict.is_final();
    let done = !verdicts.iter().any(waiting);
    // A failure is worth showing while others still wait; a success is not.
    let rank = |verdict: &Verdict| match verdict.ending() {
        Some(Ending::Synced) => 0,
        None => 1 + words::urgency(verdict),
        Some(ending) => 10 + ending as u8,
    };
    let speaks = (0..verdicts.len()).rev().max_by_key(|index| rank(&verdicts[*index]))?;
    let ending = if done {
        verdicts.iter().filter_map(Verdict::ending).max()
    } else {
        None
    };
    Some(Combined { speaks, ending })
}

/// Name of the `infos` entry by which our own operations are recognised.
pub const OPERATION_INFO: &str = "countersign/proposal";

/// The proposal whose Sync button started the current or last operation, if one did.
pub fn operation_proposal(app: &Application) -> Option<&str> {
    let requested = app.operation.iter();
    let run = app.status.operation_state.iter().map(|state| &state.operation);
    let mut infos = requested.chain(run).flat_map(|operation: &Operation| &operation.info);
    infos.find(|info| info.name == OPERATION_INFO).map(|info| info.value.as_str())
}
