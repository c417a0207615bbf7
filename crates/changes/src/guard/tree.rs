//! YAML (and JSON) as a tree with lines, read within budgets: whatever the text is, the answer comes at once.
//!
//! Other than the tree for edits this one needs no offsets, so it is lenient about layout and strict about cost. Aliases stay aliases until
//! somebody asks for a value, and then every copy counts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Number, Value};

use super::work::Work;
use crate::yaml::tree::{MARKS_PER_VALUE, marks};

/// Bytes of a file that is parsed. etcd stores at most 1.5 MiB per object.
pub(super) const BYTES_MAX: usize = 3 << 19;
/// Values in a file: keys, scalars, lists, mappings, aliases.
pub(super) const NODES_MAX: usize = 60_000;
/// Levels of nesting; schemas in CustomResourceDefinitions reach about 40.
pub(super) const DEPTH_MAX: usize = 64;
const TOO_MANY: &str = "it holds more than 60,000 values";
const TOO_DEEP: &str = "it is nested deeper than 64 levels";
/// Values of a file once its aliases are expanded: without aliases never more than [`NODES_MAX`], however many documents there are.
pub(super) const EXPANDED_MAX: usize = NODES_MAX;

/// Work per text, byte, mark and value that are read, and per value that is expanded.
const TEXT: usize = 1_500;
const EXPANDED: usize = 60;
const BYTE: usize = 8;
const MARK: usize = 60;
const NODE: usize = 450;
const MISSED: &str = "what its YAML or JSON says";
/// The reason when the work for the change is used up.
pub(super) const TOO_MUCH: &str = "it is too much to be looked through";

/// One value.
#[derive(Clone)]
pub(super) struct Node {
    /// First and last line, counted from 1.
    pub line: usize,
    pub end_line: usize,
    pub kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Scalar { text: String, style: Style, tagged_string: bool },
    Alias(usize),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// A read text.
pub(super) struct Tree {
    pub documents: Vec<Node>,
    anchors: HashMap<usize, Node>,
    /// Lines of keys that stand in their mapping already.
    pub duplicates: Vec<usize>,
}

/// Why a text could not be read.
pub(super) enum Unreadable {
    /// No YAML: line, column (both from 1) and reason.
    Syntax { line: usize, column: usize, why: String },
    /// Beyond a budget, which is said in words.
    Budget { line: usize, why: &'static str },
}

/// Why a document is not expanded: its values are too many, or the work for the change is used up, which `work` then knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    Values,
    Work,
}

/// Reads a text. Where the work ends, that is a budget like the others, and `work` knows what is missed.
pub(super) fn parse(text: &str, work: &Work) -> Result<Tree, Unreadable> {
    parse_with(text, work, |scalar| scalar)
}

/// The same, with each scalar's text as `read` makes it.
pub(super) fn parse_with(text: &str, work: &Work, read: impl Fn(Cow<'_, str>) -> Cow<'_, str>) -> Result<Tree, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > BYTES_MAX {
        return Err(Unreadable::Budget {
            line: 1,
            why: "it is larger than 1.5 MiB",
        });
    }
    let marks = marks(text);
    if marks > NODES_MAX * MARKS_PER_VALUE {
        return Err(Unreadable::Budget { line: 1, why: TOO_MANY });
    }
    if !work.spend_on(MISSED, TEXT + text.len() * BYTE + marks * MARK) {
        return Err(Unreadable::Budget { line: 1, why: TOO_MUCH });
    }
    let mut builder = Builder {
        work,
        read,
        nodes: 0,
        open: Vec::new(),
        tree: Tree {
            documents: Vec::new(),
            anchors: HashMap::new(),
            duplicates: Vec::new(),
        },
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.tree)
}

fn syntax(error: &ScanError) -> Unreadable {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    // The parser's own limit on nesting, which it reaches when it looks ahead.
    if error.info().contains("recursion limit") {
        return Unreadable::Budget { line, why: TOO_DEEP };
    }
    Unreadable::Syntax {
        line,
        column,
        why: error.info().to_owned(),
    }
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Node>,
}

struct Builder<'w, R> {
    work: &'w Work,
    read: R,
    nodes: usize,
    open: Vec<Open>,
    tree: Tree,
}

impl<R: Fn(Cow<'_, str>) -> Cow<'_, str>> Builder<'_, R> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let line = span.start.line();
        // What ends where the next line begins ends on the line before.
        let end_line = span.end.line().saturating_sub(usize::from(span.end.col() == 0)).max(line);
        let node = |kind| Node {
            line,
            end_line: line,
            kind,
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, line)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                // A block begins with its text, without its leading blank lines; or at its anchor or tag, one line above.
                let above = anchor != 0 || tag.is_some();
                let line = match style {
                    Style::Block if above => line + 1,
                    Style::Block => line.saturating_sub(text.chars().take_while(|c| *c == '\n').count()).max(1),
                    Style::Plain | Style::Single | Style::Double => line,
                };
                let tagged_string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let kind = Kind::Scalar {
                    text: (self.read)(text).into_owned(),
                    style,
                    tagged_string,
                };
                let end_line = end_line.max(line);
                self.close(Node { line, end_line, kind }, anchor)
            }
            Event::Alias(id) => {
                self.count(1, line)?;
                self.close(node(Kind::Alias(id)), 0)
            }
            // A collection ends with what it holds.
            Event::SequenceStart(anchor, _) => self.start(node(Kind::Sequence(Vec::new())), anchor),
            Event::MappingStart(anchor, _) => self.start(node(Kind::Mapping(Vec::new())), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { node, anchor, .. }) => {
                    if let Kind::Mapping(entries) = &node.kind {
                        self.tree.duplicates.extend(duplicates(entries));
                    }
                    self.close(node, anchor)
                }
                None => Err(Unreadable::Syntax {
                    line,
                    column: 1,
                    why: "an end without a beginning".to_owned(),
                }),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), Unreadable> {
        self.nodes += more;
        if self.nodes > NODES_MAX {
            return Err(Unreadable::Budget { line, why: TOO_MANY });
        }
        if !self.work.spend_on(MISSED, more.saturating_mul(NODE)) {
            return Err(Unreadable::Budget { line, why: TOO_MUCH });
        }
        Ok(())
    }

    fn start(&mut self, node: Node, anchor: usize) -> Result<(), Unreadable> {
        self.count(1, node.line)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(Unreadable::Budget {
                line: node.line,
                why: TOO_DEEP,
            });
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Unreadable> {
        if anchor != 0 {
            self.count(node.size(), node.line)?;
            self.tree.anchors.insert(anchor, node.clone());
        }
        let Some(Open { node: parent, key, .. }) = self.open.last_mut() else {
            self.tree.documents.push(node);
            return Ok(());
        };
        parent.end_line = parent.end_line.max(node.end_line);
        match (&mut parent.kind, key.take()) {
            (Kind::Mapping(entries), Some(key)) => entries.push((key, node)),
            (Kind::Mapping(_), None) => *key = Some(node),
            (Kind::Sequence(items), _) => items.push(node),
            (Kind::Scalar { .. } | Kind::Alias(_), _) => {}
        }
        Ok(())
    }
}

fn duplicates(entries: &[(Node, Node)]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let keys = entries.iter().filter_map(|(key, _)| key.text().map(|text| (key.line, text)));
    keys.filter(|(_, text)| *text != "<<" && !seen.insert(*text))
        .map(|(line, _)| line)
        .collect()
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A key's value; the last one where it stands twice, as most readers do.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = |(name, _): &&(Self, Self)| name.text() == Some(key);
        self.entries().iter().rev().find(found).map(|(_, value)| value)
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Whether it is null, or a key with nothing behind it.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain, tagged_string: false }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// How many keys or items it has of its own.
    pub fn width(&self) -> usize {
        self.entries().len() + self.items().len()
    }

    /// How many values it holds, itself included.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar { .. } | Kind::Alias(_) => 1,
            Kind::Sequence(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Kind::Mapping(entries) => 1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
        }
    }
}

impl Tree {
    /// The node itself, or what an alias stands for.
    pub fn resolve<'n>(&'n self, node: &'n Node) -> &'n Node {
        match &node.kind {
            Kind::Alias(id) => self.anchors.get(id).unwrap_or(node),
            Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => node,
        }
    }

    /// A key's value behind aliases.
    pub fn get<'n>(&'n self, node: &'n Node, key: &str) -> Option<&'n Node> {
        self.resolve(node).get(key).map(|value| self.resolve(value))
    }

    /// The text at a path of keys.
    pub fn text_at<'n>(&'n self, node: &'n Node, keys: &[&str]) -> Option<&'n str> {
        keys.iter().try_fold(self.resolve(node), |node, key| self.get(node, key))?.text()
    }

    /// The line of the place a JSON pointer leads to, or of the last part of it that exists.
    pub fn line_at<'n>(&'n self, node: &'n Node, pointer: &str) -> usize {
        let mut node = node;
        let mut line = node.line;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let here = self.resolve(node);
            let next = match &here.kind {
                Kind::Mapping(entries) => {
                    let entry = entries.iter().rev().find(|(key, _)| key.text() == Some(&part));
                    line = entry.map_or(line, |(key, _)| key.line);
                    entry.map(|(_, value)| value)
                }
                Kind::Sequence(items) => {
                    let item = part.parse().ok().and_then(|nth: usize| items.get(nth));
                    line = item.map_or(line, |item| item.line);
                    item
                }
                Kind::Scalar { .. } | Kind::Alias(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        line
    }

    /// The value that the Kubernetes API would see: aliases expanded, merge keys merged, `yes` and `on` as booleans, entries without a value
    /// left out. `left` is what the file may still have ([`EXPANDED_MAX`] at first); `None` when the expanded value is beyond it.
    pub fn to_json(&self, node: &Node, left: &mut usize) -> Option<Value> {
        self.value(node, left, 0)
    }

    /// The same, charged to the work: what an alias stands for is copied each time.
    pub fn to_json_within(&self, node: &Node, left: &mut usize, work: &Work) -> Result<Value, Beyond> {
        let may = (*left).min(work.left() / EXPANDED);
        let mut rest = may;
        let value = self.to_json(node, &mut rest);
        work.add((may - rest) * EXPANDED);
        let beyond = if may < *left { Beyond::Work } else { Beyond::Values };
        *left -= may - rest;
        if value.is_none() && beyond == Beyond::Work {
            work.miss(MISSED);
        }
        value.ok_or(beyond)
    }

    fn value(&self, node: &Node, left: &mut usize, depth: usize) -> Option<Value> {
        *left = left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        match &self.resolve(node).kind {
            Kind::Scalar {
                text,
                style: Style::Plain,
                tagged_string: false,
            } => Some(plain(text)),
            Kind::Scalar { text, .. } => {
                // A long text behind many aliases is as large as many values.
                *left = left.checked_sub(text.len() / 64)?;
                Some(Value::String(text.clone()))
            }
            Kind::Alias(_) => Some(Value::Null),
            Kind::Sequence(items) => items
                .iter()
                .map(|item| self.value(item, left, depth + 1))
                .collect::<Option<_>>()
                .map(Value::Array),
            Kind::Mapping(entries) => {
                let mut map = Map::new();
                let mut merged = Map::new();
                for (key, value) in entries {
                    let key = self.resolve(key).text().unwrap_or("?");
                    let value = self.value(value, left, depth + 1)?;
                    match value {
                        Value::Null => {}
                        Value::Object(more) if key == "<<" => merged.extend(more),
                        Value::Array(many) if key == "<<" => {
                            many.into_iter()
                                .rev()
                                .filter_map(|one| match one {
                                    Value::Object(map) => Some(map),
                                    _ => None,
                                })
                                .for_each(|map| merged.extend(map));
                        }
                        value => drop(map.insert(key.to_owned(), value)),
                    }
                }
                merged.extend(map);
                Some(Value::Object(merged))
            }
        }
    }
}

/// What a plain scalar means to the readers that Kubernetes tools use.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::String(text.to_owned());
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let radix = |digits: &str, radix| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok();
    let number = match digits.as_bytes() {
        [b'0', b'x', ..] => radix(&digits[2..], 16),
        [b'0', b'o', ..] => radix(&digits[2..], 8),
        [b'0', b'b', ..] => radix(&digits[2..], 2),
        [b'0', _, ..] if digits.bytes().all(|b| b.is_ascii_digit()) => radix(digits, 8),
        _ => text.parse().ok(),
    };
    if let Some(number) = number {
        return Value::Number(number.into());
    }
    let float_like = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && digits.bytes().any(|b| b.is_ascii_digit());
    let float = if float_like {
        text.parse().ok().and_then(Number::from_f64)
    } else {
        None
    };
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last line of what stands under `a`.
    fn lines(text: &str) -> (usize, usize) {
        let Ok(tree) = parse(text, &Work::alone()) else { panic!("{text}") };
        let value = tree.documents[0].get("a").expect("a");
        (value.line, value.end_line)
    }

    #[test]
    fn lines_are_those_of_the_content() {
        assert_eq!(lines("a: 1\nb: 1\n"), (1, 1));
        assert_eq!(lines("a: |\n  x\n  y\nb: 1\n"), (2, 3));
        assert_eq!(lines("a: |\n\n\n  x\n  y\nb: 1\n"), (2, 5));
        assert_eq!(lines("a: &x |\n  x\nb: 1\n"), (2, 2));
        assert_eq!(lines("a: \"x\n  y\n  z\"\n"), (1, 3));
        assert_eq!(lines("a:\n  b: 1\n  c: 2\nd: 3\n"), (2, 3));
    }

    #[test]
    fn scalars_mean_what_kubernetes_tools_read() {
        let Ok(tree) = parse(
            "[yes, 'yes', 0644, 0x10, 1e3, 1.5, 1.2.3, ~, !!str 5, -5, 2024-01-01]",
            &Work::alone(),
        ) else {
            panic!()
        };
        let expected = serde_json::json!([true, "yes", 420, 16, 1000.0, 1.5, "1.2.3", null, "5", -5, "2024-01-01"]);
        assert_eq!(tree.to_json(&tree.documents[0], &mut EXPANDED_MAX.clone()), Some(expected));
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded_within_a_budget() {
        let Ok(tree) = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", &Work::alone()) else {
            panic!()
        };
        assert_eq!(
            tree.to_json(&tree.documents[0], &mut EXPANDED_MAX.clone()),
            Some(serde_json::json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}))
        );
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let before = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", ")));
        }
        let Ok(tree) = parse(&bomb, &Work::alone()) else { panic!() };
        assert_eq!(tree.to_json(&tree.documents[0], &mut EXPANDED_MAX.clone()), None);
    }
}
