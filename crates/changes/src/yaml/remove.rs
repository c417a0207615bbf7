//! Removing keys and list items with the lines they stand on.

use std::collections::HashSet;
use std::ops::Range;

use super::error::{EditError, EditErrorKind, Result};
use super::layout::{after_colon, block_scalar_end, content_end, dash_before, line_end, line_start, next_line, starts_its_line};
use super::plan::{Change, Place, Plan, Splices, What, layout_error};
use super::tree::{Kind, Node};

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
