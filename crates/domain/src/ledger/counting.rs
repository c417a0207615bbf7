//! Which trials count, and what they add up to.
//!
//! A run counts when its window has closed with an answer, or when it has failed. Repeats on one target count once: beginning with the
//! oldest run, all runs on the same target that start within a day of it form one group, and of the group the *worst* run counts (a seen
//! failure before an unknown end before a success; among equals the earliest). Of what remains, the newest 50 of the last 180 days count.

use std::collections::{BTreeMap, BTreeSet};

use super::trial::Weight;
use super::{Trial, TrialResult, TrustConstants};
use crate::Timestamp;

/// What a record adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Counted trials that succeeded.
    pub succeeded: usize,
    /// Counted trials that failed, unknown ends among them.
    pub failed: usize,
    /// Of the failed ones, those of which nobody knows how they ended.
    pub unknown: usize,
    /// Different days (UTC) on which counted trials started.
    pub days: usize,
    /// Different targets of counted trials.
    pub targets: usize,
    /// Counted trials since the last failed one.
    pub clean: usize,
    /// Runs whose window has not closed.
    pub open: usize,
    /// Runs that do not count because they repeat another one on the same target.
    pub repeats: usize,
    /// Successful runs that do not count because they were reported late or not verified.
    pub late: usize,
}

impl Counts {
    /// Counted trials.
    pub const fn trials(&self) -> usize {
        self.succeeded + self.failed
    }
}

/// One counted trial in a picture of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Square {
    /// It succeeded.
    Good,
    /// It failed.
    Bad,
    /// Nobody knows.
    Unknown,
}

/// The counted trials, oldest first: what a picture of the record shows.
pub fn squares(trials: &[Trial], now: Timestamp, constants: &TrustConstants) -> Vec<Square> {
    let counted = Counted::of(trials, now, constants);
    let square = |run: &(&Trial, TrialResult)| match run.1.severity() {
        0 => Square::Good,
        1 => Square::Unknown,
        _ => Square::Bad,
    };
    counted.runs.iter().map(square).collect()
}

/// The counted trials with their results, oldest first, and what was left out.
pub(super) struct Counted<'t> {
    pub runs: Vec<(&'t Trial, TrialResult)>,
    open: usize,
    repeats: usize,
    late: usize,
}

impl<'t> Counted<'t> {
    pub fn of(trials: &'t [Trial], now: Timestamp, constants: &TrustConstants) -> Self {
        let mut counted = Self {
            runs: Vec::new(),
            open: 0,
            repeats: 0,
            late: 0,
        };
        let mut weighed = counted.weighed(trials, now, constants);
        weighed.sort_by_key(|(trial, _)| (trial.started_at, trial.proposal));
        let all = weighed.len();
        counted.runs = without_repeats(weighed, constants);
        counted.repeats = all - counted.runs.len();
        counted.runs.retain(|(trial, _)| trial.started_at >= now - constants.window_age);
        let surplus = counted.runs.len().saturating_sub(constants.window_trials);
        counted.runs.drain(..surplus);
        counted
    }

    /// The runs that have an answer which may count.
    fn weighed(&mut self, trials: &'t [Trial], now: Timestamp, constants: &TrustConstants) -> Vec<(&'t Trial, TrialResult)> {
        let mut weighed = Vec::new();
        for trial in trials {
            let result = trial.result_at(now);
            match (trial.source.weight(constants), result) {
                (Weight::None, _) => {}
                (_, TrialResult::Open) => self.open += 1,
                (Weight::AgainstOnly, TrialResult::Succeeded) => self.late += 1,
                (Weight::Full | Weight::AgainstOnly, _) => weighed.push((trial, result)),
            }
        }
        weighed
    }

    /// Counts those that started after a moment; all when there is none.
    pub fn counts(&self, after: Option<Timestamp>) -> Counts {
        let mut counts = Counts {
            open: self.open,
            repeats: self.repeats,
            late: self.late,
            ..Counts::default()
        };
        let (mut days, mut targets) = (BTreeSet::new(), BTreeSet::new());
        for (trial, result) in &self.runs {
            if after.is_some_and(|after| trial.started_at <= after) {
                continue;
            }
            days.insert(trial.started_at.date_naive());
            targets.insert(&trial.target);
            if result.is_failure() {
                counts.failed += 1;
                counts.unknown += usize::from(*result == TrialResult::Unknown);
                counts.clean = 0;
            } else {
                counts.succeeded += 1;
                counts.clean += 1;
            }
        }
        counts.days = days.len();
        counts.targets = targets.len();
        counts
    }

    /// The failures among the last `recent` counted trials, oldest first.
    pub fn recent_failures(&self, recent: usize) -> Vec<&'t Trial> {
        let skipped = self.runs.len().saturating_sub(recent);
        let last = self.runs.iter().skip(skipped);
        last.filter(|(_, result)| result.is_failure()).map(|(trial, _)| *trial).collect()
    }
}

/// Of each group of repeats the worst; `sorted` by start.
fn without_repeats<'t>(sorted: Vec<(&'t Trial, TrialResult)>, constants: &TrustConstants) -> Vec<(&'t Trial, TrialResult)> {
    // Per target: when its present group began, and which place in `kept` speaks for the group.
    let mut groups: BTreeMap<&super::Target, (Timestamp, usize)> = BTreeMap::new();
    let mut kept: Vec<(&Trial, TrialResult)> = Vec::new();
    for (trial, result) in sorted {
        match groups.get(&trial.target) {
            Some((began, place)) if trial.started_at < *began + constants.repeat => {
                if result.severity() > kept[*place].1.severity() {
                    kept[*place] = (trial, result);
                }
            }
            _ => {
                groups.insert(&trial.target, (trial.started_at, kept.len()));
                kept.push((trial, result));
            }
        }
    }
    kept.sort_by_key(|(trial, _)| (trial.started_at, trial.proposal));
    kept
}
