//! What a change of the policy would have meant: past changes, routed by the old and by the new one.

use std::collections::BTreeMap;

use super::{Facts, Policy, Route, Trust};
use crate::{RepositoryName, RunbookName, Sha256Hash, Tier};

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
/// have been asked; nothing for changes that would have gone the same way. Past runs are looked at with what each policy grants their runbook as it is
/// now: `current` is the hash of its file.
pub fn replay(
    old: &Policy,
    new: &Policy,
    current: impl Fn(&RunbookName) -> Option<Sha256Hash>,
    decided: impl IntoIterator<Item = (RepositoryName, Facts)>,
) -> Vec<Shift> {
    let mut found: BTreeMap<(u8, Tier, Tier, String), usize> = BTreeMap::new();
    for (repository, facts) in decided {
        let regranted = regranted(old, new, &current, &repository, &facts);
        let before = old.route(&repository, &facts);
        let after = new.route(&repository, regranted.as_ref().unwrap_or(&facts));
        let (rank, how) = match after.tier.cmp(&before.tier) {
            std::cmp::Ordering::Greater if regranted.is_some() => (0, "by themselves".to_owned()),
            std::cmp::Ordering::Greater => (0, String::new()),
            std::cmp::Ordering::Less => (1, String::new()),
            std::cmp::Ordering::Equal if before.requirements == after.requirements && before.asks_code() == after.asks_code() => continue,
            std::cmp::Ordering::Equal => (2, asked(&before, &after)),
        };
        *found.entry((rank, before.tier, after.tier, how)).or_default() += 1;
    }
    let shift = |((_, from, to, how), count): ((u8, Tier, Tier, String), usize)| {
        let changes = if count == 1 { "change" } else { "changes" };
        let words = if to == Tier::Standard && !how.is_empty() {
            let runs = if count == 1 { "run" } else { "runs" };
            format!("{count} past {runs} would have gone {how}, without asking anybody")
        } else if from == to {
            format!("{count} past {changes} would have asked {how}")
        } else {
            format!("{count} past {changes} would have gone from {from} to {to}")
        };
        Shift { from, to, count, words }
    };
    found.into_iter().map(shift).collect()
}

/// The facts of a run whose runbook only one of the policies grants, as its trust would have been under the new one. What failed too often or is on
/// hold stays so, whoever grants it.
fn regranted(
    old: &Policy,
    new: &Policy,
    current: &impl Fn(&RunbookName) -> Option<Sha256Hash>,
    repository: &RepositoryName,
    facts: &Facts,
) -> Option<Facts> {
    let (runbook, trust) = (facts.runbook.as_ref()?, facts.trust.as_ref()?);
    let hash = current(runbook)?;
    let grants = |policy: &Policy| {
        let environment = policy.environment(repository, &facts.paths);
        let mut grants = policy.for_repository(repository).grants().iter();
        grants.any(|grant| grant.key.runbook == *runbook && grant.key.hash == hash && grant.key.environment == environment)
    };
    let becomes = match (grants(old), grants(new)) {
        (false, true) if trust.tier == Tier::Prompted && trust.held.is_none() => Trust::standard("the new policy grants it"),
        (true, false) if trust.tier == Tier::Standard => Trust {
            tier: Tier::Prompted,
            why: "the new policy does not grant it".to_owned(),
            held: None,
        },
        _ => return None,
    };
    Some(Facts {
        trust: Some(becomes),
        ..facts.clone()
    })
}

fn asked(before: &Route, after: &Route) -> String {
    format!("{} instead of {}", after.needs(), before.needs())
}
