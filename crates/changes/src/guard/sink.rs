//! Where the parts of the guard rails put what they find in one file.

use std::collections::BTreeMap;

use domain::RepoPath;

use super::lines::Added;
use super::rules::{SECRET_PREFIX, default_effect};
use super::work::Work;
use super::{Effect, Finding};

/// What one rule may report for one file; the last finding says how many more there are.
const FINDINGS_PER_RULE: usize = 20;

/// Findings of one rule that are counted at least.
const COUNTED_PER_RULE: usize = 200;

/// Bytes of the longest value that a message could quote.
const QUOTED_MAX: usize = 2_048;

const GENERIC: &str = "secret.generic-assignment";
const VALUES: &str = "structure.values";
const GUESSES: &[&str] = &[GENERIC, VALUES];

/// The findings of one file.
pub(super) struct Sink<'a> {
    path: &'a RepoPath,
    added: &'a Added,
    effects: &'a BTreeMap<String, Effect>,
    off: &'a BTreeMap<String, String>,
    /// What looking at this file may cost.
    pub work: &'a Work,
    findings: Vec<Finding>,
    seen: BTreeMap<String, usize>,
    /// Values that were found: no message may quote them. Never leaves this struct.
    values: Vec<String>,
    /// Lines of documents that hold encrypted values or references: what looks random there is meant to.
    encrypted: Vec<(usize, usize)>,
    /// Where everything stands that is found now, for a text that is decoded: its lines are none of the file's.
    behind: Option<(usize, usize)>,
}

impl<'a> Sink<'a> {
    pub fn new(
        path: &'a RepoPath,
        added: &'a Added,
        effects: &'a BTreeMap<String, Effect>,
        off: &'a BTreeMap<String, String>,
        work: &'a Work,
    ) -> Self {
        Self {
            path,
            added,
            effects,
            off,
            work,
            findings: Vec::new(),
            seen: BTreeMap::new(),
            values: Vec::new(),
            encrypted: Vec::new(),
            behind: None,
        }
    }

    /// From here on everything is found in a text that stands encoded at these lines; `None` ends that.
    pub fn behind(&mut self, lines: Option<(usize, usize)>) {
        self.behind = lines;
    }

    /// The configured effect of a rule.
    pub fn effect(&self, rule: &str) -> Effect {
        effect_of(self.effects, rule)
    }

    /// A finding with the effect of its rule.
    pub fn put(&mut self, rule: &str, line: Option<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let effect = self.effect(rule);
        self.push(rule, line, effect, message.into(), hint.into());
    }

    /// A finding that stood in the base already is a remark.
    pub fn put_unless_standing(&mut self, rule: &str, lines: (usize, usize), message: impl Into<String>, hint: impl Into<String>) {
        let (first, last) = self.behind.unwrap_or(lines);
        if self.added.any(first, last) {
            return self.put(rule, Some(first), message, hint);
        }
        let message = format!("{}; it stands in the repository already", message.into());
        self.push(rule, Some(first), Effect::Remark, message, hint.into());
    }

    /// A remark, whatever the rule's effect is.
    pub fn remark(&mut self, rule: &str, line: Option<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.push(rule, line, Effect::Remark, message.into(), hint.into());
    }

    /// Lines in which no guess counts.
    pub fn expect_random(&mut self, first: usize, last: usize) {
        self.encrypted.push(self.behind.unwrap_or((first, last)));
    }

    /// So many findings of a rule that another one would only be counted: time to stop looking for words.
    pub fn is_full(&self, rule: &str) -> bool {
        self.seen
            .iter()
            .any(|(key, seen)| *seen > COUNTED_PER_RULE && key.split(' ').next() == Some(rule))
    }

    /// Remembers a found value, so that no message quotes it. Messages are short: what is longer stands in none of them.
    pub fn hide(&mut self, value: &str) {
        let value = value.trim();
        if (4..=QUOTED_MAX).contains(&value.len())
            && self.values.len() < 1_000
            && !self.values.iter().rev().take(20).any(|one| one == value)
        {
            self.values.push(value.to_owned());
        }
    }

    fn push(&mut self, rule: &str, line: Option<usize>, effect: Effect, message: String, hint: String) {
        if self.off.contains_key(rule) {
            return;
        }
        let (line, message) = match self.behind {
            Some((first, _)) => (Some(first), format!("{message}, behind an encoding")),
            None => (line, message),
        };
        let one_per_line = rule.starts_with(SECRET_PREFIX) || rule.starts_with("structure.");
        let same = |other: &Finding| other.rule == rule && other.line == line && (one_per_line || other.message == message);
        if self.findings.iter().any(same) {
            return;
        }
        let seen = self.seen.entry(format!("{rule} {}", effect.as_str())).or_default();
        *seen += 1;
        if *seen <= FINDINGS_PER_RULE {
            let rule = rule.to_owned();
            self.findings.push(Finding {
                rule,
                path: self.path.clone(),
                line,
                effect,
                message,
                hint,
            });
            return;
        }
        let more = *seen - FINDINGS_PER_RULE;
        if let Some(last) = self
            .findings
            .iter_mut()
            .rev()
            .find(|other| other.rule == rule && other.effect == effect)
        {
            let plain = last.message.split(" (and ").next().unwrap_or_default().to_owned();
            last.message = format!("{plain} (and {more} or more like it)");
        }
    }

    /// The findings without doubles, and without any value in their words.
    pub fn finish(mut self) -> Vec<Finding> {
        self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        self.values.dedup();
        for finding in &mut self.findings {
            for value in &self.values {
                if finding.message.contains(value.as_str()) {
                    finding.message = finding.message.replace(value.as_str(), "(not shown)");
                }
                if finding.hint.contains(value.as_str()) {
                    finding.hint = finding.hint.replace(value.as_str(), "(not shown)");
                }
            }
        }
        // One place, one finding: the surer rule names it.
        let sure = |line: Option<usize>, prefixes: &[&str]| {
            let named = |rule: &str| !GUESSES.contains(&rule) && prefixes.iter().any(|prefix| rule.starts_with(prefix));
            line.is_some() && self.findings.iter().any(|other| other.line == line && named(&other.rule))
        };
        let keep = |finding: &Finding| match finding.rule.as_str() {
            GENERIC
                if self
                    .encrypted
                    .iter()
                    .any(|(first, last)| finding.line.is_some_and(|line| (*first..=*last).contains(&line))) =>
            {
                false
            }
            GENERIC => {
                !sure(finding.line, &[SECRET_PREFIX, "structure.", "file."])
                    && !self.findings.iter().any(|other| other.rule == VALUES && other.line == finding.line)
            }
            VALUES => !sure(finding.line, &["structure.", "file."]),
            _ => true,
        };
        let kept: Vec<bool> = self.findings.iter().map(keep).collect();
        let mut kept = kept.into_iter();
        self.findings.retain(|_| kept.next().unwrap_or(true));
        self.findings
    }
}

/// The configured effect of a rule, or its default.
pub(super) fn effect_of(effects: &BTreeMap<String, Effect>, rule: &str) -> Effect {
    effects.get(rule).copied().unwrap_or_else(|| default_effect(rule))
}
