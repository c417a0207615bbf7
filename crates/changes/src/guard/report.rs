//! What the guard rails say: findings, checks, and the effect that a finding has. Nothing here can hold a value that was found.

use std::fmt;
use std::str::FromStr;

use domain::{RepoPath, Tier};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SECRET_PREFIX;

/// What a finding means for the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The change is not accepted.
    Refuse,
    /// The change needs at least this tier.
    Raise(Tier),
    /// People are told, nothing else.
    Remark,
}

impl Effect {
    /// The words of the configuration and of answers: `refuse`, `manual`, `prompted`, `remark`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Raise(Tier::Manual) => "manual",
            Self::Raise(Tier::Prompted) => "prompted",
            Self::Raise(Tier::Standard) | Self::Remark => "remark",
        }
    }

    /// Worst first.
    pub(super) const fn severity(self) -> u8 {
        match self {
            Self::Refuse => 0,
            Self::Raise(Tier::Manual) => 1,
            Self::Raise(Tier::Prompted) => 2,
            Self::Raise(Tier::Standard) | Self::Remark => 3,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Effect {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "manual" => Ok(Self::Raise(Tier::Manual)),
            "prompted" => Ok(Self::Raise(Tier::Prompted)),
            "remark" => Ok(Self::Remark),
            other => Err(format!(
                "{other:?} is no effect; use \"refuse\", \"manual\", \"prompted\" or \"remark\""
            )),
        }
    }
}

impl Serialize for Effect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Effect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Something that a guard rail found. It says where, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's stable id, see `docs/guard-rails.md`.
    pub rule: String,
    /// The file.
    pub path: RepoPath,
    /// The line, counted from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// What it means for the change.
    pub effect: Effect,
    /// What is wrong. Names of keys and kinds, never the value found.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It ran and nothing refuses the change or raises its tier.
    Passed,
    /// It ran and found something, or could not be carried out to its end.
    Failed,
    /// There was nothing for it, or it is not configured.
    Skipped,
}

/// One of the checks that a card names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `files`, `secrets`, `text`, `yaml`, `kubernetes` or `rego`.
    pub name: String,
    /// What a card calls it, such as `schemas 1.37`.
    pub label: String,
    /// How it went.
    pub result: CheckResult,
    /// In a few words.
    pub words: String,
}

/// Everything that the guard rails say about one change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Worst first, then by path and line.
    pub findings: Vec<Finding>,
    /// In the order in which a card shows them.
    pub checks: Vec<Check>,
}

impl Report {
    /// The findings that refuse the change.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.effect == Effect::Refuse)
    }

    /// The same findings as remarks only: what is told of a change that nothing may hold up. The checks keep their results.
    #[must_use]
    pub fn told_only(mut self) -> Self {
        self.findings.iter_mut().for_each(|finding| finding.effect = Effect::Remark);
        self
    }

    /// How many secrets were found, those that stood in the base already included.
    pub fn secrets(&self) -> usize {
        let secret = |finding: &&Finding| finding.rule.starts_with(SECRET_PREFIX) || finding.rule.starts_with("structure.");
        self.findings.iter().filter(secret).count()
    }

    /// The strictest tier that a finding asks for.
    pub fn tier(&self) -> Option<Tier> {
        let raised = |finding: &Finding| match finding.effect {
            Effect::Raise(tier) => Some(tier),
            Effect::Refuse | Effect::Remark => None,
        };
        self.findings
            .iter()
            .filter_map(raised)
            .min_by_key(|tier| Effect::Raise(*tier).severity())
    }
}
