//! How often these rules are wrong, by playing them: runbooks of a known true rate run once a day, and after every single run somebody looks
//! whether a promotion is offered (looking often is what makes a fixed bound optimistic). The result stands in `docs/trust.md`.

use super::tests::{at, good, schema, with};
use super::{Grant, Record, TrialResult, TrustConstants, standing};
use crate::Tier;

/// Runbooks played per true rate.
const RUNBOOKS: u32 = 1000;
/// Runs of each, one a day.
const RUNS: i64 = 200;
const SEED: u64 = 2026;

/// splitmix64: a generator of eight lines, so that the numbers stay the same on every machine and with every library.
struct Random(u64);

impl Random {
    /// From 0 (included) to 1 (excluded).
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What became of one runbook.
struct Life {
    /// After how many runs a promotion was first offered.
    offered: Option<i64>,
    /// Runs at `standard` from that first promotion to its end, at the latest where the play ends.
    alone: u32,
}

fn live(rate: f64, random: &mut Random, constants: &TrustConstants) -> Life {
    let schema = schema();
    let mut trials = Vec::new();
    let mut grant: Option<Grant> = None;
    let mut life = Life { offered: None, alone: 0 };
    for day in 0..RUNS {
        let run = good(day.unsigned_abs(), ["a", "b", "c"][(day % 3).unsigned_abs() as usize], at(day * 24));
        let result = if random.share() < rate {
            TrialResult::Succeeded
        } else {
            TrialResult::Degraded
        };
        trials.push(with(result, run));
        life.alone += u32::from(grant.is_some());
        // An offer needs ten good runs in a row (a property of its own says so): looking is spared when it must be in vain.
        if grant.is_none()
            && !trials
                .iter()
                .rev()
                .take(constants.recent)
                .all(|run| run.result == TrialResult::Succeeded)
        {
            continue;
        }
        let now = at(day * 24 + 24);
        let record = Record {
            ceiling: Tier::Standard,
            schema: &schema,
            // One run a day and no repeats: what is older than the record's length cannot count.
            trials: &trials[trials.len().saturating_sub(constants.window_trials)..],
            grant: grant.as_ref(),
            demotions: &[],
            holds: &[],
            declined_at: None,
        };
        let standing = standing(&record, now, constants);
        if let Some(offer) = standing.offer.filter(|_| grant.is_none()) {
            life.offered = Some(day + 1);
            grant = Some(Grant {
                offered_at: offer.offered_at,
                granted_at: offer.offered_at,
                expires_at: offer.expires_at,
                given: false,
            });
        } else if grant.is_some() && standing.tier != Tier::Standard {
            break;
        }
    }
    life
}

/// The rows of the documented table.
fn table() -> String {
    let constants = TrustConstants::default();
    let mut random = Random(SEED);
    let mut rows = String::new();
    for rate in [0.7, 0.8, 0.9] {
        let lives: Vec<Life> = (0..RUNBOOKS).map(|_| live(rate, &mut random, &constants)).collect();
        let within = |runs: i64| {
            lives
                .iter()
                .filter(|life| life.offered.is_some_and(|offered| offered <= runs))
                .count()
        };
        let per_cent = |count: usize| count as f64 * 100.0 / f64::from(RUNBOOKS);
        let promoted = within(RUNS).max(1) as f64;
        let alone = f64::from(lives.iter().map(|life| life.alone).sum::<u32>()) / promoted;
        rows += &format!(
            "| {rate} | {:.1} % | {:.1} % | {:.1} % | {alone:.1} |\n",
            per_cent(within(14)),
            per_cent(within(50)),
            per_cent(within(RUNS))
        );
    }
    rows
}

#[test]
fn the_documentation_states_what_the_rules_achieve() {
    let rows = table();
    let documented = include_str!("../../../../docs/trust.md");
    assert!(
        documented.contains(&rows),
        "docs/trust.md must state (seed {SEED}, {RUNBOOKS} runbooks, {RUNS} runs each):\n{rows}"
    );
}

/// The constants that the documentation explains are the ones in force.
#[test]
fn the_documentation_names_the_constants() {
    let c = TrustConstants::default();
    let documented = include_str!("../../../../docs/trust.md");
    for row in [
        format!("| certainty of the bound | {} % |", (1.0 - c.tail) * 100.0),
        format!("| bound for an offer | {} % |", c.bound_min * 100.0),
        format!("| trials for an offer | {} |", c.trials_min),
        format!("| different days | {} |", c.days_min),
        format!("| different targets | {} |", c.targets_min),
        format!("| last runs without a failure | {} |", c.recent),
        format!(
            "| length of the record | {} trials, {} days |",
            c.window_trials,
            c.window_age.num_days()
        ),
        format!("| observation window | {} h |", c.revert_window.num_hours()),
        format!("| repeats on one target | {} h |", c.repeat.num_hours()),
        format!("| report of a pushed commit | {} min |", c.report_within.num_minutes()),
        format!("| clocks may differ | {} min |", c.clock_skew.num_minutes()),
        format!("| end of a promotion | {} days |", c.grant.num_days()),
        format!("| offer after a no | {} days |", c.offer_again.num_days()),
    ] {
        assert!(documented.contains(&row), "docs/trust.md lacks: {row}");
    }
}
