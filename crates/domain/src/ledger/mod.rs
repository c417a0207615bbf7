//! The trust ledger: what a runbook has proven by its own runs, and what it may therefore do by itself.
//!
//! A record belongs to one [`LedgerKey`]: a runbook's name and content hash in one environment. Its [`Trial`]s are counted ([`Counts`]), a
//! lower bound of the success rate follows ([`lower_bound`]), and [`standing`] says which tier trust allows now, whether a promotion may be
//! offered, what an offer still lacks, and which demotion is due. [`Standing::rule`] is about one run: its parameters, its paths.
//!
//! Promotion is offered and a human takes it; demotion follows from the record by itself. The numbers and their reasons are in
//! [`TrustConstants`] and `docs/trust.md`.

mod bound;
mod constants;
mod counting;
mod ranges;
mod record;
mod shadow;
mod standing;
mod trial;
mod words;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use bound::{lower_bound, share_words};
pub use constants::TrustConstants;
pub use counting::{Counts, Square, squares};
pub use ranges::Ranges;
pub use record::{Demotion, Environment, Grant, Hold, LedgerKey, Record};
pub use shadow::Shadow;
pub use standing::{DemotionDue, Offer, Ruling, Standing, standing};
pub use trial::{Source, Target, Trial};
pub use words::{DemotionCause, TrialResult};
