//! The numbers of the ledger, each with its reason. `docs/trust.md` explains them to people and states what they achieve.

use chrono::Duration;

/// What the ledger asks for. The defaults are what the documentation and its simulation speak of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrustConstants {
    /// How sure the lower bound is: 0.05 means that a true rate below the bound is at most that likely, given the runs seen and no other knowledge.
    pub tail: f64,
    /// The bound that an offer needs.
    pub bound_min: f64,
    /// Counted trials that an offer needs; after a demotion, counted trials since.
    pub trials_min: usize,
    /// Different days (UTC) on which they must have started: a good afternoon is one experience, not fourteen.
    pub days_min: usize,
    /// Different targets that they must have been about.
    pub targets_min: usize,
    /// None of the last so many may have failed, and the second failure among so many means `manual`.
    pub recent: usize,
    /// Counted trials that the record holds at most.
    pub window_trials: usize,
    /// How old a counted trial may be.
    pub window_age: Duration,
    /// How long a run may still be undone before it counts as a success.
    pub revert_window: Duration,
    /// Runs on one target that start within this time of the first of them count once.
    pub repeat: Duration,
    /// How soon an agent must report a commit that it pushed by itself.
    pub report_within: Duration,
    /// How far ahead of ours another machine's clock may be.
    pub clock_skew: Duration,
    /// How long a promotion lasts.
    pub grant: Duration,
    /// How long an offer that was turned down is not repeated.
    pub offer_again: Duration,
}

impl Default for TrustConstants {
    fn default() -> Self {
        Self {
            tail: 0.05,
            bound_min: 0.80,
            trials_min: 14,
            days_min: 5,
            targets_min: 2,
            recent: 10,
            window_trials: 50,
            window_age: Duration::days(180),
            revert_window: Duration::hours(24),
            repeat: Duration::hours(24),
            report_within: Duration::minutes(10),
            clock_skew: Duration::minutes(1),
            grant: Duration::days(90),
            offer_again: Duration::days(30),
        }
    }
}
