//! Adding keys to mappings and items to lists, in the style and indentation of what is there.

use super::error::{EditError, EditErrorKind, Result};
use super::layout::{after_colon, block_scalar_end, column, content_end, dash_before, eol, indent_step, line_end, line_start};
use super::plan::{Change, Place, Plan, Splices, What, layout_error, looks_like_json, mapping, written};
use super::scalar::{self, Scalar, Written};
use super::tree::{Kind, Node, Style};

/// Adds keys that are missing below a mapping, or below a null that becomes one.
pub(super) fn insert(text: &str, root: &Node, at: &[usize], keys: &[String], value: &Scalar) -> Result<Plan> {
    let place = Place::of(root, at);
    let node = place.node;
    let first_key = match &node.kind {
        Kind::Mapping { entries, .. } => entries.first().map(|(key, _)| key),
        _ => None,
    };
    let json = looks_like_json(first_key.or(place.key()));
    let new = written(value, if json { Style::Double } else { Style::Plain }, node.line)?;
    let entry = Entry { keys, value: &new, json };
    let candidates = entry_candidates(text, root, &place, &entry);
    if candidates.is_empty() {
        return Err(layout_error(node, "the mapping is written in an unusual layout"));
    }
    let key_node = |key: &String| Node::expected_scalar(key.clone(), !json && scalar::is_safe_plain(key));
    let (first, rest) = keys.split_first().ok_or_else(|| layout_error(node, "no key was given"))?;
    let leaf = Node::expected_scalar(new.text.clone(), new.plain);
    let nest = |value, key| Node::expected(mapping(vec![(key_node(key), value)]));
    Ok(Plan {
        line: node.line,
        change: Change {
            at: at.to_vec(),
            what: What::AddEntry(key_node(first), rest.iter().rev().fold(leaf, nest)),
        },
        candidates,
    })
}

/// The entry to add: nested keys with a value below the last one.
struct Entry<'e> {
    keys: &'e [String],
    value: &'e Written,
    /// Keys in double quotes.
    json: bool,
}

impl Entry<'_> {
    /// In block style, one line per key; the first line without indentation.
    fn block(&self, indent: usize, step: usize, eol: &str) -> String {
        let mut out = String::new();
        for (depth, key) in self.keys.iter().enumerate() {
            if depth > 0 {
                out.push_str(eol);
                out.push_str(&" ".repeat(indent + depth * step));
            }
            out.push_str(&scalar::write_text(key, Style::Plain).yaml);
            out.push(':');
        }
        format!("{out} {}", self.value.yaml)
    }

    /// In flow style.
    fn flow(&self) -> String {
        let style = if self.json { Style::Double } else { Style::Plain };
        let mut out = String::new();
        for (depth, key) in self.keys.iter().enumerate() {
            out.push_str(if depth > 0 { "{" } else { "" });
            out.push_str(&scalar::write_text(key, style).yaml);
            out.push_str(": ");
        }
        format!("{out}{}{}", self.value.yaml, "}".repeat(self.keys.len().saturating_sub(1)))
    }
}

/// The places where an entry can go, best first.
fn entry_candidates(text: &str, root: &Node, place: &Place<'_>, entry: &Entry<'_>) -> Vec<Splices> {
    let node = place.node;
    let step = indent_step(root);
    match &node.kind {
        Kind::Mapping { entries, bracketed: true } => {
            let (at, comma) = match entries.last() {
                Some((key, value)) => (flow_end(text, key, value), ", "),
                None => (node.end.saturating_sub(1), ""),
            };
            vec![vec![(at..at, format!("{comma}{}", entry.flow()))]]
        }
        Kind::Mapping { entries, bracketed: false } => match entries.first() {
            Some((key, _)) if !node.in_flow => {
                let indent = column(text, key.start);
                below(text, node, indent, |eol| entry.block(indent, step, eol))
            }
            Some(_) | None => Vec::new(),
        },
        _ if node.is_absent() => {
            let block = place.key().filter(|key| !key.in_flow).map(|key| {
                let indent = column(text, key.start) + step;
                first_line_below(text, key, indent, |eol| entry.block(indent, step, eol))
            });
            let inline = place
                .behind_indicator(text)
                .map(|at| vec![(at..at, format!(" {{{}}}", entry.flow()))]);
            block.into_iter().chain(inline).collect()
        }
        _ => vec![vec![(node.start..node.end, format!("{{{}}}", entry.flow()))]],
    }
}

/// Where the last entry of a flow mapping ends.
fn flow_end(text: &str, key: &Node, value: &Node) -> usize {
    if value.is_absent() {
        return after_colon(text, key).unwrap_or(key.end);
    }
    value.end
}

/// New lines below a key without a value.
fn first_line_below(text: &str, key: &Node, indent: usize, lines: impl Fn(&str) -> String) -> Splices {
    let end = line_end(text, key.end);
    let eol = eol(text, end);
    vec![(end..end, format!("{eol}{}{}", " ".repeat(indent), lines(eol)))]
}

/// New lines below the last line of a block collection; with a block scalar at its end, also behind that scalar's blank lines.
fn below(text: &str, node: &Node, indent: usize, lines: impl Fn(&str) -> String) -> Vec<Splices> {
    let end = line_end(text, content_end(text, node));
    let eol = eol(text, end);
    let entry = format!("{}{}", " ".repeat(indent), lines(eol));
    let mut candidates = vec![vec![(end..end, format!("{eol}{entry}"))]];
    if let Some(end) = block_scalar_end(node)
        && end == line_start(text, end)
    {
        candidates.push(vec![(end..end, format!("{entry}{eol}"))]);
    }
    candidates
}

/// Adds an item at the end of a list.
pub(super) fn append(text: &str, root: &Node, at: &[usize], value: &Scalar) -> Result<Plan> {
    let place = Place::of(root, at);
    let node = place.node;
    if !node.is_null() && !matches!(node.kind, Kind::Sequence { .. }) {
        let message = format!("the place holds {}, not a list", node.noun());
        return Err(EditError::new(EditErrorKind::WrongKind, message, "correct the path").at(node.line));
    }
    let new = written(value, item_style(&place), node.line)?;
    let candidates = item_candidates(text, root, &place, &new.yaml);
    if candidates.is_empty() {
        return Err(layout_error(node, "the list is written in an unusual layout"));
    }
    Ok(Plan {
        line: node.line,
        change: Change {
            at: at.to_vec(),
            what: What::AddItem(Node::expected_scalar(new.text, new.plain)),
        },
        candidates,
    })
}

/// Double quotes where the last item of a flow list has them, and in JSON.
fn item_style(place: &Place<'_>) -> Style {
    let last = match &place.node.kind {
        Kind::Sequence { items, bracketed: true } => items.last(),
        _ => None,
    };
    match last.map(|item| &item.kind) {
        Some(Kind::Scalar { style: Style::Double, .. }) => Style::Double,
        _ if looks_like_json(place.key()) => Style::Double,
        _ => Style::Plain,
    }
}

fn item_candidates(text: &str, root: &Node, place: &Place<'_>, new: &str) -> Vec<Splices> {
    let node = place.node;
    match &node.kind {
        Kind::Sequence { items, bracketed: true } => {
            let (end, comma) = items.last().map_or((node.end.saturating_sub(1), ""), |item| (item.end, ", "));
            vec![vec![(end..end, format!("{comma}{new}"))]]
        }
        Kind::Sequence { items, bracketed: false } => match items.iter().find_map(|item| dash_before(text, item)) {
            Some(dash) if !node.in_flow => below(text, node, column(text, dash), |_| format!("- {new}")),
            Some(_) | None => Vec::new(),
        },
        _ if node.is_absent() => match place.key().filter(|key| !key.in_flow) {
            Some(key) => {
                let indent = column(text, key.start) + indent_step(root);
                vec![first_line_below(text, key, indent, |_| format!("- {new}"))]
            }
            None => Vec::new(),
        },
        _ => vec![vec![(node.start..node.end, format!("[{new}]"))]],
    }
}
