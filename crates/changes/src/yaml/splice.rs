//! Where exactly the characters of an edit go, and what the data must be afterwards.

use std::collections::HashSet;
use std::ops::Range;

use super::error::{EditError, EditErrorKind, Result};
use super::image;
use super::layout::{
    after_colon, block_scalar_end, column, content_end, dash_before, eol, indent_step, line_end, line_start, next_line, starts_its_line,
};
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
    at: Vec<usize>,
    what: What,
}

enum What {
    Become(Kind),
    AddEntry(String, Node),
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
            (What::AddEntry(key, value), Kind::Mapping { entries, .. }) => entries.push((expected_key(&key), value)),
            (What::AddItem(value), Kind::Sequence { items, .. }) => items.push(value),
            (What::RemoveChild(index), Kind::Mapping { entries, .. }) => drop(entries.remove(index)),
            (What::RemoveChild(index), Kind::Sequence { items, .. }) => drop(items.remove(index)),
            (What::AddEntry(key, value), kind) => *kind = mapping(vec![(expected_key(&key), value)]),
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

const fn mapping(entries: Vec<(Node, Node)>) -> Kind {
    Kind::Mapping { entries, bracketed: false }
}

/// Keys that are added are compared by text and by whether they are quoted, as all scalars are.
fn expected_key(key: &str) -> Node {
    Node::expected_scalar(key.to_owned(), scalar::is_safe_plain(key))
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
struct Place<'n> {
    node: &'n Node,
    /// The mapping or list it stands in, with its position there.
    parent: Option<(&'n Node, usize)>,
}

impl<'n> Place<'n> {
    fn of(root: &'n Node, at: &[usize]) -> Self {
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
    fn key(&self) -> Option<&'n Node> {
        match self.parent.map(|(parent, index)| (&parent.kind, index)) {
            Some((Kind::Mapping { entries, .. }, index)) => entries.get(index).map(|(key, _)| key),
            _ => None,
        }
    }

    /// Where a value can be put that is not there: behind the colon or the dash.
    fn behind_indicator(&self, text: &str) -> Option<usize> {
        match self.key() {
            Some(key) => after_colon(text, key),
            None => self.parent.and_then(|_| dash_before(text, self.node)).map(|dash| dash + 1),
        }
    }
}

fn layout_error(node: &Node, message: &str) -> EditError {
    EditError::new(EditErrorKind::Layout, message, "make this change by hand").at(node.line)
}

fn written(value: &Scalar, wish: Style, line: usize) -> Result<Written> {
    scalar::write(value, wish).map_err(|why| EditError::new(EditErrorKind::BadValue, why, "give another value").at(line))
}

/// In JSON (which is YAML) strings and keys need double quotes.
fn looks_like_json(key: Option<&Node>) -> bool {
    key.is_some_and(|key| key.in_flow && matches!(key.kind, Kind::Scalar { style: Style::Double, .. }))
}

/// Replaces a single value.
pub(super) fn set(text: &str, root: &Node, at: &[usize], value: &Scalar) -> Result<Plan> {
    let place = Place::of(root, at);
    let node = place.node;
    if node.tag.is_some() {
        return Err(layout_error(
            node,
            "the value carries a tag (!…), which would change the meaning of the new value",
        ));
    }
    let style = match &node.kind {
        Kind::Scalar { style, .. } => *style,
        Kind::Alias(_) => Style::Plain,
        Kind::Sequence { .. } | Kind::Mapping { .. } => {
            let message = format!("the place holds {}, and only a single value can be replaced", node.noun());
            return Err(EditError::new(EditErrorKind::WrongKind, message, "go one step further down, or remove it first").at(node.line));
        }
    };
    let wish = if looks_like_json(place.key()) { Style::Double } else { style };
    let new = written(value, wish, node.line)?;
    let candidate = if style == Style::Block {
        replace_block_scalar(text, &place, &new)
    } else if node.start == node.end {
        place.behind_indicator(text).map(|at| vec![(at..at, format!(" {}", new.yaml))])
    } else {
        behind_anchor(text, node).map(|from| vec![(from..node.end, new.yaml.clone())])
    };
    let candidate = candidate.ok_or_else(|| layout_error(node, "the value is written in an unusual layout"))?;
    Ok(Plan {
        line: node.line,
        change: Change {
            at: at.to_vec(),
            what: What::Become(Node::expected_scalar(new.text, new.plain).kind),
        },
        candidates: vec![candidate],
    })
}

/// Where the characters of a value begin, its (unused) anchor left alone.
fn behind_anchor(text: &str, node: &Node) -> Option<usize> {
    if node.anchor == 0 {
        return Some(node.start);
    }
    let source = &text[node.start..node.end];
    let rest = source.trim_start_matches(|c: char| !c.is_whitespace()).trim_start();
    (source.starts_with('&') && !rest.is_empty()).then(|| node.end - rest.len())
}

/// `key: |  # comment` and its lines become `key: value  # comment`; blank lines behind stay.
fn replace_block_scalar(text: &str, place: &Place<'_>, new: &Written) -> Option<Splices> {
    let from = match place.key() {
        Some(key) => after_colon(text, key)?,
        None => return None,
    };
    let header = &text[from..line_end(text, from)];
    let blanks = header.len() - header.trim_start().len();
    let indicator = header.trim_start();
    if !indicator.starts_with(['|', '>']) {
        return None;
    }
    let width = indicator.find([' ', '\t']).unwrap_or(indicator.len());
    let start = from + blanks;
    let header_end = line_end(text, from);
    let lines_end = content_end(text, place.node).max(header_end);
    Some(vec![
        (start..start + width, new.yaml.clone()),
        (header_end..lines_end, String::new()),
    ])
}

/// Replaces the tag of an image reference.
pub(super) fn set_image_tag(text: &str, root: &Node, at: &[usize], tag: &str) -> Result<Plan> {
    let node = Place::of(root, at).node;
    let Some(old) = node.text().filter(|_| !node.is_null()) else {
        let message = format!(
            "the place holds {}, not an image reference",
            if node.is_null() { "nothing" } else { node.noun() }
        );
        return Err(EditError::new(EditErrorKind::WrongKind, message, "correct the path").at(node.line));
    };
    let new = image::with_tag(old, tag).map_err(|why| {
        let remedy = match why {
            image::ImageTagError::BadTag => "give a tag such as 1.27.3",
            image::ImageTagError::NotAnImage => "correct the path",
            image::ImageTagError::PinnedByDigest => "set the whole reference, digest included",
        };
        EditError::new(EditErrorKind::BadValue, why.to_string(), remedy).at(node.line)
    })?;
    set(text, root, at, &Scalar::Text(new))
}

/// The lines of nested keys with a value at the end, in block style; the first line without indentation.
fn block_entry(keys: &[String], value: &Written, indent: usize, step: usize, eol: &str) -> String {
    let mut out = String::new();
    for (depth, key) in keys.iter().enumerate() {
        if depth > 0 {
            out.push_str(eol);
            out.push_str(&" ".repeat(indent + depth * step));
        }
        out.push_str(&scalar::write_text(key, Style::Plain).yaml);
        out.push(':');
    }
    format!("{out} {}", value.yaml)
}

/// The same in flow style.
fn flow_entry(keys: &[String], value: &Written, json: bool) -> String {
    let style = if json { Style::Double } else { Style::Plain };
    let mut out = String::new();
    for (depth, key) in keys.iter().enumerate() {
        out.push_str(if depth > 0 { "{" } else { "" });
        out.push_str(&scalar::write_text(key, style).yaml);
        out.push_str(": ");
    }
    format!("{out}{}{}", value.yaml, "}".repeat(keys.len().saturating_sub(1)))
}

/// Adds keys that are missing below a mapping, or below a null that becomes one.
pub(super) fn insert(text: &str, root: &Node, at: &[usize], keys: &[String], value: &Scalar) -> Result<Plan> {
    let place = Place::of(root, at);
    let node = place.node;
    let (first_key, bracketed) = match &node.kind {
        Kind::Mapping { entries, bracketed } => (entries.first().map(|(key, _)| key), *bracketed),
        _ => (None, false),
    };
    let json = looks_like_json(first_key);
    let new = written(value, if json { Style::Double } else { Style::Plain }, node.line)?;
    let step = indent_step(root);
    let flow = || flow_entry(keys, &new, json);
    let candidates = if bracketed {
        let inside = node.end.saturating_sub(1);
        match &node.kind {
            Kind::Mapping { entries, .. } => match entries.last() {
                Some((key, value)) => flow_end(text, key, value).map(|end| vec![vec![(end..end, format!(", {}", flow()))]]),
                None => Some(vec![vec![(inside..inside, flow())]]),
            },
            _ => None,
        }
    } else if first_key.is_some() {
        let indent = column(text, node.start.max(first_key.map_or(0, |key| key.start)));
        let lines = |eol: &str| block_entry(keys, &new, indent, step, eol);
        (!node.in_flow).then(|| below(text, node, indent, lines))
    } else if node.is_absent() {
        let block = place.key().filter(|key| !key.in_flow).map(|key| {
            let indent = column(text, key.start) + step;
            let end = line_end(text, key.end);
            let eol = eol(text, end);
            vec![(
                end..end,
                format!("{eol}{}{}", " ".repeat(indent), block_entry(keys, &new, indent, step, eol)),
            )]
        });
        let inline = place.behind_indicator(text).map(|at| vec![(at..at, format!(" {{{}}}", flow()))]);
        Some(block.into_iter().chain(inline).collect())
    } else {
        Some(vec![vec![(node.start..node.end, format!("{{{}}}", flow()))]])
    };
    let candidates = candidates.ok_or_else(|| layout_error(node, "the mapping is written in an unusual layout"))?;
    let leaf = Node::expected_scalar(new.text.clone(), new.plain);
    let (first, rest) = keys.split_first().ok_or_else(|| layout_error(node, "no key was given"))?;
    let nested = rest
        .iter()
        .rev()
        .fold(leaf, |value, key| Node::expected(mapping(vec![(quoted_key(key, json), value)])));
    let what = if json {
        // The same entry, but its keys are expected in quotes.
        match &node.kind {
            Kind::Mapping { entries, bracketed } => {
                let mut entries = entries.clone();
                entries.push((quoted_key(first, true), nested));
                What::Become(Kind::Mapping {
                    entries,
                    bracketed: *bracketed,
                })
            }
            _ => What::AddEntry(first.clone(), nested),
        }
    } else {
        What::AddEntry(first.clone(), nested)
    };
    Ok(Plan {
        line: node.line,
        change: Change { at: at.to_vec(), what },
        candidates,
    })
}

fn quoted_key(key: &str, json: bool) -> Node {
    Node::expected_scalar(key.to_owned(), !json && scalar::is_safe_plain(key))
}

/// Where the last entry of a flow mapping ends.
fn flow_end(text: &str, key: &Node, value: &Node) -> Option<usize> {
    if value.is_absent() {
        return Some(after_colon(text, key).unwrap_or(key.end));
    }
    Some(value.end)
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
    let odd = || layout_error(node, "the list is written in an unusual layout");
    let (wish, candidates): (Style, Option<Box<dyn Fn(&str) -> Vec<Splices>>>) = match &node.kind {
        Kind::Sequence { items, bracketed: true } => {
            let style = |item: &Node| match item.kind {
                Kind::Scalar { style: Style::Double, .. } => Style::Double,
                _ => Style::Plain,
            };
            let (end, comma) = items.last().map_or((node.end.saturating_sub(1), ""), |item| (item.end, ", "));
            let make = move |new: &str| vec![vec![(end..end, format!("{comma}{new}"))]];
            (items.last().map_or(Style::Plain, style), Some(Box::new(make)))
        }
        Kind::Sequence { items, bracketed: false } => {
            let dash = items.iter().find_map(|item| dash_before(text, item)).ok_or_else(odd)?;
            let indent = column(text, dash);
            let make = move |new: &str| below(text, node, indent, |_| format!("- {new}"));
            (Style::Plain, (!node.in_flow).then_some(Box::new(make) as _))
        }
        _ if node.is_absent() => {
            let key = place.key().filter(|key| !key.in_flow).ok_or_else(odd)?;
            let indent = column(text, key.start) + indent_step(root);
            let end = line_end(text, key.end);
            let eol = eol(text, end);
            let make = move |new: &str| vec![vec![(end..end, format!("{eol}{}- {new}", " ".repeat(indent)))]];
            (Style::Plain, Some(Box::new(make)))
        }
        _ if node.is_null() => {
            let make = move |new: &str| vec![vec![(node.start..node.end, format!("[{new}]"))]];
            (Style::Plain, Some(Box::new(make)))
        }
        Kind::Scalar { .. } | Kind::Alias(_) | Kind::Mapping { .. } => {
            let message = format!("the place holds {}, not a list", node.noun());
            return Err(EditError::new(EditErrorKind::WrongKind, message, "correct the path").at(node.line));
        }
    };
    let new = written(value, wish, node.line)?;
    let candidates = candidates.ok_or_else(odd)?(&new.yaml);
    Ok(Plan {
        line: node.line,
        change: Change {
            at: at.to_vec(),
            what: What::AddItem(Node::expected_scalar(new.text, new.plain)),
        },
        candidates,
    })
}

/// Removes an entry or an item.
pub(super) fn remove(text: &str, root: &Node, at: &[usize]) -> Result<Plan> {
    let place = Place::of(root, at);
    let node = place.node;
    let Some((parent, index)) = place.parent else {
        return Err(layout_error(node, "a whole document cannot be removed"));
    };
    refuse_needed_anchors(root, node)?;
    let candidates = match &parent.kind {
        Kind::Mapping { entries, bracketed } => {
            let spans: Vec<Range<usize>> = entries.iter().map(|(key, value)| entry_span(text, key, value)).collect();
            remove_span(text, root, at, &spans, *bracketed, "{}")
        }
        Kind::Sequence { items, bracketed } => {
            let start = |item: &Node| if *bracketed { Some(item.start) } else { dash_before(text, item) };
            let spans: Option<Vec<_>> = items
                .iter()
                .map(|item| start(item).map(|from| from..content_end(text, item)))
                .collect();
            spans.map_or_else(Vec::new, |spans| remove_span(text, root, at, &spans, *bracketed, "[]"))
        }
        Kind::Scalar { .. } | Kind::Alias(_) => Vec::new(),
    };
    Ok(Plan {
        line: node.line,
        change: Change {
            at: at[..at.len() - 1].to_vec(),
            what: What::RemoveChild(index),
        },
        candidates,
    })
}

/// Refuses when an alias elsewhere needs an anchor of what is to be removed.
fn refuse_needed_anchors(root: &Node, node: &Node) -> Result<()> {
    let mut anchors = HashSet::new();
    let mut within: HashSet<*const Node> = HashSet::new();
    node.walk(&mut |below| {
        anchors.insert(below.anchor);
        within.insert(std::ptr::from_ref(below));
    });
    let mut needed = None;
    root.walk(&mut |other| {
        if let Kind::Alias(anchor) = other.kind
            && anchors.contains(&anchor)
            && !within.contains(&std::ptr::from_ref(other))
        {
            needed = needed.or(Some(other.line));
        }
    });
    needed.map_or(Ok(()), |line| {
        let message = format!("what would be removed carries an anchor that is used on line {line}");
        Err(EditError::new(EditErrorKind::Shared, message, "write out the places that use the alias first").at(node.line))
    })
}

fn entry_span(text: &str, key: &Node, value: &Node) -> Range<usize> {
    let behind = if value.is_absent() {
        after_colon(text, key).unwrap_or(key.end)
    } else {
        key.end
    };
    key.start..content_end(text, value).max(behind)
}

/// The ways to take one span out of its neighbours. The result is checked by the caller, so a way that does not fit does no harm.
fn remove_span(text: &str, root: &Node, at: &[usize], spans: &[Range<usize>], bracketed: bool, empty: &str) -> Vec<Splices> {
    let (Some(&index), Some(parent_at)) = (at.last(), at.len().checked_sub(1).map(|n| &at[..n])) else {
        return Vec::new();
    };
    let Some(own) = spans.get(index) else { return Vec::new() };
    let quiet = |range: &Range<usize>| !text[range.clone()].contains('#');
    if bracketed {
        let range = match (index.checked_sub(1).and_then(|before| spans.get(before)), spans.get(index + 1)) {
            (_, Some(next)) => own.start..next.start,
            (Some(before), None) => before.end..own.end,
            (None, None) => own.clone(),
        };
        let gap = if spans.len() == 1 {
            own.end..own.end
        } else {
            range.start.min(own.start)..own.start
        };
        let behind = own.end..range.end.max(own.end);
        return if quiet(&gap) && quiet(&behind) {
            vec![vec![(range, String::new())]]
        } else {
            Vec::new()
        };
    }
    let lines = whole_lines(text, own);
    if spans.len() == 1 {
        let parent = Place::of(root, parent_at);
        let Some(behind) = parent.behind_indicator(text) else {
            return Vec::new();
        };
        return if starts_its_line(text, own.start) && behind <= lines.start {
            vec![vec![(behind..behind, format!(" {empty}")), (lines, String::new())]]
        } else {
            vec![vec![(own.clone(), empty.to_owned())]]
        };
    }
    if starts_its_line(text, own.start) {
        let with_blanks = Place::of(root, at).node;
        let further = block_scalar_end(with_blanks)
            .filter(|&end| end > lines.end)
            .map(|end| vec![(lines.start..end, String::new())]);
        return std::iter::once(vec![(lines, String::new())]).chain(further).collect();
    }
    // `- name: web` loses `name`: the next key moves up behind the dash.
    match spans.get(index + 1) {
        Some(next) if quiet(&(own.end..next.start)) => vec![vec![(own.start..next.start, String::new())]],
        _ => Vec::new(),
    }
}

/// The lines of a span with one line end: the one behind, or the one before when the file ends without.
fn whole_lines(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = line_start(text, span.start);
    let end = next_line(text, span.end);
    if end == text.len() && !text.ends_with('\n') && start > 0 {
        return line_end(text, start - 1)..end;
    }
    start..end
}
