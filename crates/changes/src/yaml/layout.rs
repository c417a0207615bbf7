//! Questions about the text around a place: lines, indentation, line ends.

use super::tree::{Kind, Node, Style};

/// Where the line of `at` begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line of `at` ends, before its line end.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    if end > at && text[..end].ends_with('\r') { end - 1 } else { end }
}

/// Where the line after `at` begins, or the end of the text.
pub(super) fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The line end in use around `at`: that of its line, else the first of the file, else a newline.
pub(super) fn eol(text: &str, at: usize) -> &'static str {
    let first = |from: usize| text[from..].find('\n').map(|newline| text[..from + newline].ends_with('\r'));
    match first(at).or_else(|| first(0)) {
        Some(true) => "\r\n",
        Some(false) | None => "\n",
    }
}

/// The width of `line_start..at` in characters: the column that a following line needs to stand below `at`.
pub(super) fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}

/// Whether only blanks stand before `at` on its line.
pub(super) fn starts_its_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].bytes().all(|b| b == b' ')
}

/// Just behind the colon that follows a key, if it stands on the key's line.
pub(super) fn after_colon(text: &str, key: &Node) -> Option<usize> {
    let rest = &text[key.end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest[blanks..].starts_with(':').then_some(key.end + blanks + 1)
}

/// Where the dash of a list item stands, if nothing but white space is between them.
pub(super) fn dash_before(text: &str, item: &Node) -> Option<usize> {
    let before = text[..item.start].trim_end_matches([' ', '\t', '\r', '\n']);
    before.ends_with('-').then(|| before.len() - 1)
}

/// Where the last character that belongs to a node stands, blank lines behind a block scalar not counted.
pub(super) fn content_end(text: &str, node: &Node) -> usize {
    match &node.kind {
        Kind::Mapping { entries, bracketed: false } if !entries.is_empty() => entries
            .last()
            .map_or(node.end, |(key, value)| content_end(text, value).max(key.end)),
        Kind::Sequence { items, bracketed: false } if !items.is_empty() => items.last().map_or(node.end, |item| content_end(text, item)),
        Kind::Scalar { style: Style::Block, .. } => text[..node.end].trim_end_matches([' ', '\t', '\r', '\n']).len(),
        _ => node.end,
    }
}

/// Whether the last thing in a node is a block scalar, and where the parser saw it end (blank lines included).
pub(super) fn block_scalar_end(node: &Node) -> Option<usize> {
    match &node.kind {
        Kind::Mapping { entries, bracketed: false } => entries.last().and_then(|(_, value)| block_scalar_end(value)),
        Kind::Sequence { items, bracketed: false } => items.last().and_then(block_scalar_end),
        Kind::Scalar { style: Style::Block, .. } => Some(node.end),
        _ => None,
    }
}

/// By how much this document indents a mapping below a mapping; 2 where it shows none.
pub(super) fn indent_step(root: &Node) -> usize {
    let mut step = None;
    root.walk(&mut |node| {
        let Kind::Mapping { entries, bracketed: false } = &node.kind else {
            return;
        };
        for (key, value) in entries {
            let below = matches!(&value.kind, Kind::Mapping { entries, bracketed: false } if !entries.is_empty()) && !value.in_flow;
            if step.is_none() && below && value.column > key.column {
                step = Some(value.column - key.column);
            }
        }
    });
    step.unwrap_or(2)
}
