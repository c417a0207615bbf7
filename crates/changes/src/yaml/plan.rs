//! What an edit is made of: the characters to splice in, and the data that must come out.

use std::ops::Range;

use super::error::{EditError, EditErrorKind, Result};
use super::layout::{after_colon, dash_before};
use super::scalar::{self, Scalar, Written};
use super::tree::{Kind, Node, Style};

/// Replacements in one text, ordered and apart from each other.
pub(super) type Splices = Vec<(Range<usize>, String)>;

/// How an edit could be made: the first candidate that yields the expected data is taken.
pub(super) struct Plan {
    pub line: usize,
    pub change: Change,
    pub candidates: Vec<Splices>,
}

/// What happens to the data.
pub(super) struct Change {
    pub at: Vec<usize>,
    pub what: What,
}

pub(super) enum What {
    Become(Kind),
    AddEntry(Node, Node),
    AddItem(Node),
    RemoveChild(usize),
}

impl Change {
    /// Makes the change in a tree.
    pub fn make(self, root: &mut Node) {
        let mut node = root;
        for &index in &self.at {
            match node.child_mut(index) {
                Some(child) => node = child,
                // The positions come from a walk of this very tree.
                None => return,
            }
        }
        match (self.what, &mut node.kind) {
            (What::Become(kind), _) => node.kind = kind,
            (What::AddEntry(key, value), Kind::Mapping { entries, .. }) => entries.push((key, value)),
            (What::AddItem(value), Kind::Sequence { items, .. }) => items.push(value),
            (What::RemoveChild(index), Kind::Mapping { entries, .. }) => drop(entries.remove(index)),
            (What::RemoveChild(index), Kind::Sequence { items, .. }) => drop(items.remove(index)),
            (What::AddEntry(key, value), kind) => *kind = mapping(vec![(key, value)]),
            (What::AddItem(value), kind) => {
                *kind = Kind::Sequence {
                    items: vec![value],
                    bracketed: false,
                };
            }
            (What::RemoveChild(_), Kind::Scalar { .. } | Kind::Alias(_)) => {}
        }
    }
}

pub(super) const fn mapping(entries: Vec<(Node, Node)>) -> Kind {
    Kind::Mapping { entries, bracketed: false }
}

/// The text with its replacements made.
pub(super) fn splice(text: &str, splices: &Splices) -> String {
    let added: usize = splices.iter().map(|(_, new)| new.len()).sum();
    let mut out = String::with_capacity(text.len() + added);
    let mut from = 0;
    for (range, new) in splices {
        out.push_str(&text[from..range.start.max(from)]);
        out.push_str(new);
        from = range.end.max(from);
    }
    out.push_str(&text[from..]);
    out
}

/// A node with what is around it.
pub(super) struct Place<'n> {
    pub node: &'n Node,
    /// The mapping or list it stands in, with its position there.
    pub parent: Option<(&'n Node, usize)>,
}

impl<'n> Place<'n> {
    /// Follows child positions from the root.
    pub fn of(root: &'n Node, at: &[usize]) -> Self {
        let mut place = Self { node: root, parent: None };
        for &index in at {
            if let Some(child) = place.node.child(index) {
                place.parent = Some((place.node, index));
                place.node = child;
            }
        }
        place
    }

    /// The key in front of it.
    pub fn key(&self) -> Option<&'n Node> {
        match self.parent.map(|(parent, index)| (&parent.kind, index)) {
            Some((Kind::Mapping { entries, .. }, index)) => entries.get(index).map(|(key, _)| key),
            _ => None,
        }
    }

    /// Where a value can be put that is not there: behind the colon or the dash.
    pub fn behind_indicator(&self, text: &str) -> Option<usize> {
        match self.key() {
            Some(key) => after_colon(text, key),
            None => self.parent.and_then(|_| dash_before(text, self.node)).map(|dash| dash + 1),
        }
    }
}

pub(super) fn layout_error(node: &Node, message: &str) -> EditError {
    EditError::new(EditErrorKind::Layout, message, "make this change by hand").at(node.line)
}

pub(super) fn written(value: &Scalar, wish: Style, line: usize) -> Result<Written> {
    scalar::write(value, wish).map_err(|why| EditError::new(EditErrorKind::BadValue, why, "give another value").at(line))
}

/// In JSON (which is YAML) strings and keys need double quotes.
pub(super) fn looks_like_json(key: Option<&Node>) -> bool {
    key.is_some_and(|key| key.in_flow && matches!(key.kind, Kind::Scalar { style: Style::Double, .. }))
}
