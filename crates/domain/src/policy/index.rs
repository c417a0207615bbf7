//! Which rule covers a path, without asking one rule after the other.
//!
//! Nearly every pattern names some directory or file in full. Each is filed under the one of its names that the fewest patterns have, so a
//! path meets only the patterns that are filed under its own names. What names nothing in full (`**`, `*.tf`) is one automaton.

use std::collections::BTreeMap;

use globset::{Candidate, GlobSet, GlobSetBuilder};

use super::{PathGlob, Rule};
use crate::RepoPath;

/// All patterns of all rules, compiled once.
#[derive(Debug, Clone)]
pub(super) struct RuleIndex {
    /// In the order of the rules.
    patterns: Vec<Pattern>,
    by_name: BTreeMap<String, Vec<usize>>,
    others: GlobSet,
    /// The pattern of each of them.
    of_others: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Pattern {
    rule: usize,
    glob: PathGlob,
    /// How every path begins that it matches.
    begin: usize,
    /// How every path ends that it matches.
    end: usize,
}

impl RuleIndex {
    /// Compiles the patterns of the rules.
    ///
    /// # Errors
    /// The patterns are valid one by one, but too large together.
    pub(super) fn new(rules: &[Rule]) -> Result<Self, globset::Error> {
        let all = rules
            .iter()
            .enumerate()
            .flat_map(|(rule, of)| of.paths.iter().map(move |glob| (rule, glob)));
        let patterns: Vec<Pattern> = all.map(|(rule, glob)| Pattern::new(rule, glob)).collect();
        let mut common: BTreeMap<&str, usize> = BTreeMap::new();
        for name in patterns.iter().flat_map(|pattern| names(pattern.glob.as_str())) {
            *common.entry(name).or_default() += 1;
        }
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let (mut others, mut of_others) = (GlobSetBuilder::new(), Vec::new());
        for (number, pattern) in patterns.iter().enumerate() {
            match names(pattern.glob.as_str()).min_by_key(|name| common.get(name)) {
                Some(rarest) => by_name.entry(rarest.to_owned()).or_default().push(number),
                None => {
                    others.add(pattern.glob.glob.clone());
                    of_others.push(number);
                }
            }
        }
        Ok(Self {
            by_name,
            others: others.build()?,
            of_others,
            patterns,
        })
    }

    /// How many patterns name nothing in full: they are compiled into one automaton before any path is asked about.
    pub(super) fn nameless(rules: &[Rule]) -> usize {
        let all = rules.iter().flat_map(|rule| &rule.paths);
        all.filter(|glob| names(glob.as_str()).next().is_none()).count()
    }

    /// The first rule that covers a path, of those that are meant.
    pub(super) fn first(&self, path: &RepoPath, meant: impl Fn(usize) -> bool) -> Option<usize> {
        let path = path.as_str();
        let candidate = Candidate::new(path);
        let mut best: Option<usize> = None;
        for numbers in path.split('/').filter_map(|name| self.by_name.get(name)) {
            let patterns = numbers.iter().map(|number| &self.patterns[*number]);
            let earlier = patterns.take_while(|pattern| best.is_none_or(|best| pattern.rule < best));
            let mut matching = earlier.filter(|pattern| meant(pattern.rule) && pattern.matches(path, &candidate));
            best = matching.next().map(|pattern| pattern.rule).or(best);
        }
        let mut matched = Vec::new();
        self.others.matches_candidate_into(&candidate, &mut matched);
        let others = matched.into_iter().map(|number| self.patterns[self.of_others[number]].rule);
        others.filter(|rule| meant(*rule)).chain(best).min()
    }
}

impl Pattern {
    fn new(rule: usize, glob: &PathGlob) -> Self {
        let text = glob.as_str();
        let begin = text.find(['*', '?', '[', '{']).unwrap_or(text.len());
        let end = text.rfind(['*', '?', ']', '}']).map_or(0, |last| last + 1);
        // `**/` may stand for nothing, with its slash.
        let slash = usize::from(text[end..].starts_with('/'));
        Self {
            rule,
            glob: glob.clone(),
            begin,
            end: end + slash,
        }
    }

    /// Cheap comparisons first: most patterns fail by them.
    fn matches(&self, path: &str, candidate: &Candidate<'_>) -> bool {
        let text = self.glob.as_str();
        path.starts_with(&text[..self.begin]) && path.ends_with(&text[self.end..]) && self.glob.compiled().is_match_candidate(candidate)
    }
}

/// The names of directories and files that every path has which a pattern matches. Behind a class or a choice nothing is certain: both may
/// hold a slash.
fn names(pattern: &str) -> impl Iterator<Item = &str> {
    let plain = pattern.split('/').take_while(|name| !name.contains(['[', '{']));
    plain.filter(|name| !name.is_empty() && !name.contains(['*', '?']))
}
