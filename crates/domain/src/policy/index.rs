//! Which rule covers a path: all patterns of all rules as one automaton, compiled once, instead of one after the other.

use globset::{Candidate, GlobSet, GlobSetBuilder};

use super::Rule;
use crate::RepoPath;

/// All patterns of all rules, in order.
#[derive(Debug, Clone)]
pub(super) struct RuleIndex {
    patterns: GlobSet,
    /// The rule of each pattern.
    rules: Vec<usize>,
}

impl RuleIndex {
    /// Compiles the patterns of the rules.
    ///
    /// # Errors
    /// The patterns are valid one by one, but too large together.
    pub(super) fn new(rules: &[Rule]) -> Result<Self, globset::Error> {
        let mut patterns = GlobSetBuilder::new();
        let mut owners = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            for glob in &rule.paths {
                patterns.add(glob.matcher.glob().clone());
                owners.push(number);
            }
        }
        Ok(Self {
            patterns: patterns.build()?,
            rules: owners,
        })
    }

    /// The first rule that covers a path, of those that are meant.
    pub(super) fn first(&self, path: &RepoPath, meant: impl Fn(usize) -> bool) -> Option<usize> {
        let mut matched = Vec::new();
        self.patterns.matches_candidate_into(&Candidate::new(path.as_str()), &mut matched);
        matched.into_iter().map(|pattern| self.rules[pattern]).filter(|rule| meant(*rule)).min()
    }
}
