//! Every promise, over random histories from a fixed seed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::history::{Decide, History, begin, moves};
use crate::{Delivery, decide};

/// Plays random histories from a fixed seed; the first broken promise, and how often each delivery was reached.
pub fn histories(decide: Decide, max_shrink_iters: u32) -> Result<BTreeMap<Delivery, usize>, String> {
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: CASES,
            failure_persistence: None,
            max_shrink_iters,
            ..Config::default()
        },
        TestRunner::deterministic().new_rng(),
    );
    let reached = std::cell::RefCell::new(BTreeMap::new());
    runner
        .run(&(begin(), moves()), |((origin, sketch), moves)| {
            let mut history = History::new(decide, origin, sketch);
            for what in moves {
                history.play(what).map_err(TestCaseError::fail)?;
                *reached.borrow_mut().entry(history.proposal.delivery).or_default() += 1;
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(reached.into_inner())
}

const CASES: u32 = 2_500;

#[test]
fn every_history_keeps_every_promise() {
    let reached = histories(decide, 2_000).unwrap_or_else(|broken| panic!("{broken}"));
    for delivery in Delivery::ALL {
        let often = reached.get(delivery).copied().unwrap_or_default();
        assert!(
            often > 100,
            "the histories hardly reach {delivery} ({often} times): they prove nothing about it"
        );
    }
}
