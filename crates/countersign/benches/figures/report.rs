//! What is asked for, and the one line per comparison.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The figures that were asked for, and those that were told.
pub(crate) struct Report {
    wanted: Vec<String>,
    told: Mutex<BTreeSet<&'static str>>,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// Which of the runs speaks for all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Speaks {
    /// Ratios: half of the pairs were better.
    Median,
    /// Times that stand alone: what the work takes when nothing disturbs it.
    Least,
    /// Sizes: the worst that was seen.
    Most,
}

impl Report {
    /// Reads the command line. Cargo adds `--bench`; whatever starts with a dash is not a name.
    pub(crate) fn from_arguments() -> Self {
        Self {
            wanted: std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect(),
            told: Mutex::default(),
        }
    }

    /// Whether a figure was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part.as_str()))
    }

    /// Measures figures that share a world; those it could not tell are named with the reason.
    pub(crate) async fn attempt(&self, names: &[&'static str], measured: impl Future<Output = anyhow::Result<()>>) {
        if !names.iter().any(|name| self.wants(name)) {
            return;
        }
        let ended = if cfg!(debug_assertions) {
            Err(anyhow::anyhow!(
                "this is not a release build; run it with `cargo bench --bench figures`"
            ))
        } else {
            measured.await
        };
        let Err(why) = ended else { return };
        for name in names.iter().filter(|name| self.wants(name)) {
            if !self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
                println!("figure {name} skipped: {}", format!("{why:#}").replace('\n', " "));
            }
        }
    }

    /// Says beside a figure what its sides were in absolute numbers: on standard error, for whoever wants to know where the time goes.
    pub(crate) fn note(&self, name: &str, text: &str) {
        if self.wants(name) {
            eprintln!("note {name}: {text}");
        }
    }

    /// Prints a figure, if it was asked for.
    pub(crate) fn tell(&self, name: &'static str, goal: Goal, speaks: Speaks, runs: &[f64]) {
        if !self.wants(name) {
            return;
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            println!("figure {name} skipped: it was never measured");
            return;
        };
        let value = match speaks {
            Speaks::Median => median(&sorted),
            Speaks::Least => *least,
            Speaks::Most => *most,
        };
        let goal = match goal {
            Goal::AtMost(bound) => format!("<={bound}"),
            Goal::AtLeast(bound) => format!(">={bound}"),
        };
        println!(
            "figure {name} value={value:.3} goal={goal} min={least:.3} max={most:.3} runs={}",
            sorted.len()
        );
    }
}

/// The middle of a list; of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}
