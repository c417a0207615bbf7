//! YAML as data to compare: aliases and merge keys expanded within a budget, keys in order, quoting forgotten where it means nothing.

use std::collections::{BTreeMap, HashMap};

use crate::yaml::Limits;
use crate::yaml::tree::{self, Kind, Node, Style};

/// Nesting after aliases are expanded; code that walks a value may recurse this deep.
const DEPTH_MAX: usize = 96;
/// Text bytes that cost as much as one value.
const BYTES_PER_UNIT: usize = 64;

/// What reading and explaining a whole change may cost, old and new together, counted in work as the guard rails count theirs: a unit is about
/// a nanosecond of one slow core. What exceeds it is summarised by lines.
#[derive(Debug)]
pub(super) struct Budget(usize);

/// Some 300 KB of manifests, which is more than the guard rails look through.
const CHANGE: usize = 28_000_000;
/// Work per byte, line and mark that is parsed, and per value, until it is explained.
const BYTE: usize = 8;
const LINE: usize = 40;
const MARK: usize = 60;
const VALUE: usize = 900;

impl Default for Budget {
    fn default() -> Self {
        Self(CHANGE)
    }
}

impl Budget {
    /// Counts work that is about to be done, and says whether it may be.
    pub fn spend(&mut self, units: usize) -> bool {
        let left = self.0.checked_sub(units);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// A piece of YAML.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Value {
    /// Not there, or null.
    #[default]
    Absent,
    /// `typed`: written plain, and read as a number or a boolean.
    Scalar {
        text: String,
        typed: bool,
    },
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Value {
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> &Self {
        match self {
            Self::Map(entries) => entries.get(key).unwrap_or(&Self::Absent),
            _ => &Self::Absent,
        }
    }

    /// The value at dotted keys.
    pub fn at(&self, path: &str) -> &Self {
        path.split('.').fold(self, |value, key| value.get(key))
    }

    /// The text at dotted keys.
    pub fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).text()
    }

    /// Takes the value of a key out of a map; a map that is emptied so is gone.
    pub fn take(&mut self, key: &str) -> Self {
        let Self::Map(entries) = self else { return Self::Absent };
        let taken = entries.remove(key);
        if taken.is_some() && entries.is_empty() {
            *self = Self::Absent;
        }
        taken.unwrap_or_default()
    }

    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        };
        entries.into_iter().flat_map(|entries| entries.keys().map(String::as_str))
    }

    /// Whether some YAML reader takes it for true; Kubernetes reads YAML 1.1, where `yes` and `on` are.
    pub fn is_true(&self) -> bool {
        self.text()
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "y"))
    }

    /// Whether some YAML reader takes it for false.
    pub fn is_false(&self) -> bool {
        self.text()
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "n"))
    }

    /// A whole number.
    pub fn number(&self) -> Option<i64> {
        self.text()?.parse().ok()
    }

    /// The texts of a list of scalars; a single scalar counts as a list of one.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Scalar { text, .. } => vec![text],
            Self::List(items) => items.iter().filter_map(Self::text).collect(),
            Self::Absent | Self::Map(_) => Vec::new(),
        }
    }
}

/// Why a file is not understood. Never holds contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Not valid YAML; the line, where one is known.
    Syntax(Option<usize>),
    /// Beyond the budget.
    TooLarge,
    /// A key is written twice in one mapping: readers differ in which one counts.
    Repeated(usize),
    /// A key that is no single value.
    OddKey(usize),
}

impl Unread {
    pub fn words(self) -> String {
        match self {
            Self::Syntax(Some(line)) => format!("not valid YAML at line {line}"),
            Self::Syntax(None) => "not valid YAML".to_owned(),
            Self::TooLarge => "too large or too deep to explain".to_owned(),
            Self::Repeated(line) => format!("a key is written twice at line {line}"),
            Self::OddKey(line) => format!("a key is no single value at line {line}"),
        }
    }
}

/// The documents of a YAML (or JSON) file; empty documents are left out.
pub(super) fn parse(text: &str, budget: &mut Budget) -> Result<Vec<Value>, Unread> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let marks = tree::marks(text);
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    if !budget.spend(text.len() * BYTE + lines * LINE + marks * MARK) {
        return Err(Unread::TooLarge);
    }
    let limits = Limits {
        // Every second node may be a key, which is charged with its value.
        nodes: Limits::default().nodes.min(budget.0 / VALUE * 2),
        ..Limits::default()
    };
    let nodes = tree::parse(text, &limits).map_err(|error| {
        // It was read as far as that, at most to its end.
        budget.spend((marks + lines).min(limits.nodes) * VALUE / 2);
        match error.kind {
            crate::yaml::EditErrorKind::TooLarge => Unread::TooLarge,
            _ => Unread::Syntax(error.line),
        }
    })?;
    let mut documents = Vec::new();
    for node in &nodes {
        // Anchors end with their document.
        let mut reader = Reader {
            budget,
            anchors: HashMap::new(),
        };
        let (value, _) = reader.read(node, 0)?;
        if !value.is_absent() {
            documents.push(value);
        }
    }
    Ok(documents)
}

struct Reader<'b> {
    budget: &'b mut Budget,
    /// Values and their heights.
    anchors: HashMap<usize, (Value, usize)>,
}

impl Reader<'_> {
    /// The value of a node and its height.
    fn read(&mut self, node: &Node, depth: usize) -> Result<(Value, usize), Unread> {
        if depth > DEPTH_MAX {
            return Err(Unread::TooLarge);
        }
        let (value, height) = match &node.kind {
            Kind::Scalar { text, style } => (self.scalar(node, text, *style)?, 0),
            Kind::Alias(anchor) => self.alias(*anchor, node.line, depth)?,
            Kind::Sequence { items, .. } => {
                self.charge(1)?;
                let mut values = Vec::new();
                let mut height = 0;
                for item in items {
                    let (value, below) = self.read(item, depth + 1)?;
                    height = height.max(below + 1);
                    values.push(value);
                }
                (Value::List(values), height)
            }
            Kind::Mapping { entries, .. } => self.mapping(entries, depth)?,
        };
        if node.anchor != 0 {
            let copy = self.copy(&value)?;
            self.anchors.insert(node.anchor, (copy, height));
        }
        Ok((value, height))
    }

    fn scalar(&mut self, node: &Node, text: &str, style: Style) -> Result<Value, Unread> {
        self.charge(1 + text.len() / BYTES_PER_UNIT)?;
        if style == Style::Plain && node.tag.is_none() && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Ok(Value::Absent);
        }
        Ok(Value::Scalar {
            text: text.to_owned(),
            typed: style == Style::Plain && node.tag.is_none() && reads_typed(text),
        })
    }

    fn alias(&mut self, anchor: usize, line: usize, depth: usize) -> Result<(Value, usize), Unread> {
        // Taken out and put back, so that it can be copied while the budget is charged.
        let (value, height) = self.anchors.remove(&anchor).ok_or(Unread::Syntax(Some(line)))?;
        if depth + height > DEPTH_MAX {
            return Err(Unread::TooLarge);
        }
        let copy = self.copy(&value)?;
        self.anchors.insert(anchor, (value, height));
        Ok((copy, height))
    }

    fn mapping(&mut self, entries: &[(Node, Node)], depth: usize) -> Result<(Value, usize), Unread> {
        self.charge(1)?;
        let mut map = BTreeMap::new();
        let mut merged = Vec::new();
        let mut height = 0;
        for (key, node) in entries {
            let name = match &key.kind {
                Kind::Scalar { text, .. } => text.clone(),
                _ => return Err(Unread::OddKey(key.line)),
            };
            let (value, below) = self.read(node, depth + 1)?;
            height = height.max(below + 1);
            self.charge(name.len() / BYTES_PER_UNIT)?;
            if name == "<<" {
                merged.push(value);
            } else if map.insert(name, value).is_some() {
                return Err(Unread::Repeated(key.line));
            }
        }
        for value in merged {
            merge(&mut map, value);
        }
        Ok((Value::Map(map), height))
    }

    fn copy(&mut self, value: &Value) -> Result<Value, Unread> {
        self.charge(cost(value))?;
        Ok(value.clone())
    }

    fn charge(&mut self, units: usize) -> Result<(), Unread> {
        self.budget.spend(units * VALUE).then_some(()).ok_or(Unread::TooLarge)
    }
}

/// `<<`: what is not there yet comes from the merged mapping or mappings, the first one winning.
fn merge(map: &mut BTreeMap<String, Value>, value: Value) {
    match value {
        Value::Map(entries) => entries.into_iter().for_each(|(key, value)| {
            map.entry(key).or_insert(value);
        }),
        Value::List(items) => items.into_iter().for_each(|item| merge(map, item)),
        Value::Absent | Value::Scalar { .. } => {}
    }
}

fn cost(value: &Value) -> usize {
    match value {
        Value::Absent => 1,
        Value::Scalar { text, .. } => 1 + text.len() / BYTES_PER_UNIT,
        Value::List(items) => 1 + items.iter().map(cost).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|(key, value)| key.len() / BYTES_PER_UNIT + cost(value))
                .sum::<usize>()
        }
    }
}

fn reads_typed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    matches!(lower.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n")
        || (lower.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            && (lower.parse::<f64>().is_ok() || lower.starts_with("0x") || lower.starts_with("0o")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Value, Unread> {
        parse(text, &mut Budget::default()).map(|mut documents| documents.remove(0))
    }

    #[test]
    fn aliases_and_merge_keys_hide_nothing() {
        let value = one("base: &b {privileged: true, x: 1}\nc:\n  <<: *b\n  x: 2\nd: *b\n").expect("reads");
        assert!(value.at("c.privileged").is_true() && value.at("d.privileged").is_true());
        assert_eq!(value.text_at("c.x"), Some("2"));
    }

    #[test]
    fn quoting_counts_only_where_it_changes_the_type() {
        assert_eq!(one("a: 'x'"), one("a: x"));
        assert_eq!(one("a: \"8Gi\""), one("a: 8Gi"));
        assert_ne!(one("a: '8'"), one("a: 8"));
        assert_eq!(one("{b: 1, a: 2}"), one("a: 2\nb: 1"));
    }

    #[test]
    fn what_cannot_be_trusted_is_not_read() {
        assert_eq!(one("a: 1\na: 2"), Err(Unread::Repeated(2)));
        assert_eq!(one("? [a]\n: 1"), Err(Unread::OddKey(1)));
        assert!(matches!(one("a: ["), Err(Unread::Syntax(_))));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        assert_eq!(one(&bomb), Err(Unread::TooLarge));
        // Every level is shallow, but the expanded value would be thousands deep.
        let mut deep = "a0: &a0 x\n".to_owned();
        for n in 1..200 {
            deep.push_str(&format!("a{n}: &a{n} {}*a{}{}\n", "[".repeat(40), n - 1, "]".repeat(40)));
        }
        assert_eq!(one(&deep), Err(Unread::TooLarge));
    }
}
