//! From a selector and a path to a place in the tree, with an error for every way that this can fail.

use std::collections::HashSet;

use super::error::{EditError, EditErrorKind, Result};
use super::tree::{Kind, Node};
use super::{Path, Selector, Step};

/// Where a path leads: child positions from the root.
pub(super) enum Found {
    /// To a value.
    At(Vec<usize>),
    /// To a mapping (or a null that may become one) that lacks these keys, outermost first.
    Missing { parent: Vec<usize>, keys: Vec<String> },
}

/// The one document that a selector means.
pub(super) fn document(documents: &[Node], selector: &Selector) -> Result<usize> {
    let matching: Vec<usize> = (0..documents.len()).filter(|&i| selector.matches(&documents[i])).collect();
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => {
            let message = format!("the file has no {selector}; it has {}", listing(documents));
            Err(EditError::new(
                EditErrorKind::NoDocument,
                message,
                "name a document that is in the file",
            ))
        }
        [_, second, ..] => {
            let message = format!("the file has {} documents that match {selector}", matching.len());
            let remedy = "name kind, name and namespace so that one is left";
            Err(EditError::new(EditErrorKind::AmbiguousDocument, message, remedy).at(documents[*second].line))
        }
    }
}

/// What a person would call the documents, a few of them.
fn listing(documents: &[Node]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = documents
        .iter()
        .filter(|root| !root.is_null())
        .map(|root| {
            let text = |node: Option<&Node>| node.and_then(Node::text).unwrap_or("?").chars().take(80).collect::<String>();
            let name = root.value_of("metadata").and_then(|metadata| metadata.value_of("name"));
            format!("{} {:?}", text(root.value_of("kind")), text(name))
        })
        .collect();
    match names.len() {
        0 => "no documents".to_owned(),
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}

/// Follows a path.
pub(super) fn locate(root: &Node, path: &Path) -> Result<Found> {
    let used = used_anchors(root);
    let mut node = root;
    let mut at = Vec::new();
    let steps = path.steps();
    for (depth, step) in steps.iter().enumerate() {
        let here = shown(&steps[..depth]);
        refuse_shared(node, &used, &here)?;
        if node.is_null() {
            return missing(at, &steps[depth..], node, &here);
        }
        let index = match step {
            Step::Key(name) => match key_index(node, name, &here)? {
                Some(index) => index,
                None => return missing(at, &steps[depth..], node, &here),
            },
            Step::Index(index) => position(node, *index, &here)?,
            Step::Item { key, value } => item(node, key, value, &here)?,
        };
        at.push(index);
        node = node.child(index).ok_or_else(|| wrong_kind(node, "a mapping or a list", &here))?;
    }
    if node.anchor != 0 {
        refuse_shared(node, &used, &shown(steps))?;
    }
    Ok(Found::At(at))
}

/// The anchors that some alias refers to.
fn used_anchors(root: &Node) -> HashSet<usize> {
    let mut used = HashSet::new();
    root.walk(&mut |node| {
        if let Kind::Alias(anchor) = node.kind {
            used.insert(anchor);
        }
    });
    used
}

/// The path so far, in words.
fn shown(steps: &[Step]) -> String {
    Path::new(steps.to_vec()).map_or_else(|| "the document".to_owned(), |path| format!("`{path}`"))
}

fn refuse_shared(node: &Node, used: &HashSet<usize>, here: &str) -> Result<()> {
    let (message, remedy) = if matches!(node.kind, Kind::Alias(_)) {
        let message = format!("{here} is an alias, so what lies below it is written elsewhere and used there too");
        (message, "change the anchored value by hand, or write this one out in full")
    } else if used.contains(&node.anchor) {
        let message = format!("{here} carries an anchor that aliases use, so an edit would change those places too");
        (message, "change it by hand, or write out the places that use the alias")
    } else {
        return Ok(());
    };
    Err(EditError::new(EditErrorKind::Shared, message, remedy).at(node.line))
}

fn key_index(node: &Node, name: &str, here: &str) -> Result<Option<usize>> {
    let Kind::Mapping { entries, .. } = &node.kind else {
        return Err(wrong_kind(node, "a mapping", here));
    };
    let mut matching = (0..entries.len()).filter(|&i| entries[i].0.text() == Some(name));
    match (matching.next(), matching.next()) {
        (found, None) => Ok(found),
        (_, Some(second)) => {
            let message = format!("{here} has the key `{name}` more than once");
            Err(EditError::new(EditErrorKind::Ambiguous, message, "remove the duplicate by hand").at(entries[second].0.line))
        }
    }
}

fn position(node: &Node, index: usize, here: &str) -> Result<usize> {
    let Kind::Sequence { items, .. } = &node.kind else {
        return Err(wrong_kind(node, "a list", here));
    };
    if index < items.len() {
        return Ok(index);
    }
    let message = format!("{here} has {} items, so there is none at position {index}", items.len());
    Err(EditError::new(EditErrorKind::Missing, message, "positions count from 0").at(node.line))
}

fn item(node: &Node, key: &str, value: &str, here: &str) -> Result<usize> {
    let Kind::Sequence { items, .. } = &node.kind else {
        return Err(wrong_kind(node, "a list", here));
    };
    let mut matching = (0..items.len()).filter(|&i| items[i].value_of(key).and_then(Node::text) == Some(value));
    match (matching.next(), matching.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(second)) => {
            let message = format!("{here} has more than one item with {key}={value}");
            Err(EditError::new(EditErrorKind::Ambiguous, message, "use another key, or a position").at(items[second].line))
        }
        (None, _) => {
            let message = format!("{here} has no item with {key}={value}");
            Err(EditError::new(EditErrorKind::Missing, message, "name an item that is in the list").at(node.line))
        }
    }
}

/// A key that is not there: fine for inserting, as long as nothing else supplies it.
fn missing(parent: Vec<usize>, rest: &[Step], node: &Node, here: &str) -> Result<Found> {
    if let Kind::Mapping { entries, .. } = &node.kind
        && let Some((merge, _)) = entries.iter().find(|(key, _)| key.text() == Some("<<"))
    {
        let message = format!("{here} takes keys from elsewhere with a merge key (<<)");
        let remedy = "write the key here by hand once; then it can be edited";
        return Err(EditError::new(EditErrorKind::Shared, message, remedy).at(merge.line));
    }
    let keys: Option<Vec<String>> = rest
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(_) | Step::Item { .. } => None,
        })
        .collect();
    match keys {
        Some(keys) => Ok(Found::Missing { parent, keys }),
        None => Err(not_there(rest, node, here)),
    }
}

/// The error for a path whose next key is not in the file.
pub(super) fn not_there(rest: &[Step], node: &Node, here: &str) -> EditError {
    let what = match rest.first() {
        Some(Step::Key(key)) => format!("{here} has no key `{key}`"),
        Some(Step::Index(_) | Step::Item { .. }) | None => format!("{here} is empty"),
    };
    EditError::new(EditErrorKind::Missing, what, "correct the path, or add the key to the file first").at(node.line)
}

fn wrong_kind(node: &Node, wanted: &str, here: &str) -> EditError {
    let message = format!("{here} is {}, not {wanted}", node.noun());
    EditError::new(EditErrorKind::WrongKind, message, "correct the path").at(node.line)
}
