//! Replacing a single value where it stands.

use super::error::{EditError, EditErrorKind, Result};
use super::image;
use super::layout::{after_colon, content_end, line_end};
use super::plan::{Change, Place, Plan, Splices, What, layout_error, looks_like_json, written};
use super::scalar::{Scalar, Written};
use super::tree::{Kind, Node, Style};

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
