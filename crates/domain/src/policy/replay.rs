//! What a change of the policy would have meant: past changes, routed by the old and by the new one.

use std::collections::BTreeMap;

use super::{Facts, Policy, Route};
use crate::{RepositoryName, Tier};

/// Past changes that the new policy would have routed otherwise, in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// The tier under the old policy.
    pub from: Tier,
    /// The tier under the new one.
    pub to: Tier,
    /// How many changes.
    pub count: usize,
    /// In words: "3 past changes would have gone from prompted to standard".
    pub words: String,
}

/// Routes past changes by both policies. Shifts to a looser tier first, then those to a stricter one, then those where other people would
/// have been asked; nothing for changes that would have gone the same way.
pub fn replay(old: &Policy, new: &Policy, decided: impl IntoIterator<Item = (RepositoryName, Facts)>) -> Vec<Shift> {
    let mut found: BTreeMap<(u8, Tier, Tier, String), usize> = BTreeMap::new();
    for (repository, facts) in decided {
        let (before, after) = (old.route(&repository, &facts), new.route(&repository, &facts));
        let (rank, how) = match after.tier.cmp(&before.tier) {
            std::cmp::Ordering::Greater => (0, String::new()),
            std::cmp::Ordering::Less => (1, String::new()),
            std::cmp::Ordering::Equal if before.requirements == after.requirements && before.asks_code() == after.asks_code() => continue,
            std::cmp::Ordering::Equal => (2, asked(&before, &after)),
        };
        *found.entry((rank, before.tier, after.tier, how)).or_default() += 1;
    }
    let shift = |((_, from, to, how), count): ((u8, Tier, Tier, String), usize)| {
        let changes = if count == 1 { "change" } else { "changes" };
        let words = if from == to {
            format!("{count} past {changes} would have asked {how}")
        } else {
            format!("{count} past {changes} would have gone from {from} to {to}")
        };
        Shift { from, to, count, words }
    };
    found.into_iter().map(shift).collect()
}

fn asked(before: &Route, after: &Route) -> String {
    format!("{} instead of {}", after.needs(), before.needs())
}
