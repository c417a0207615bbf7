//! The edits and how one is carried out: parse, find, plan, splice, parse again, compare.

use std::fmt;

use super::error::{EditError, EditErrorKind, Result};
use super::locate::{self, Found};
use super::plan::{self, Plan};
use super::scalar;
use super::tree::{self, Node};
use super::{Path, Scalar, Step};
use super::{add, remove, replace};

/// One change of one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Replaces the value at a path that exists.
    Set {
        /// Where.
        path: Path,
        /// The new value.
        value: Scalar,
    },
    /// Replaces the value at a path, or adds the key (and the mappings above it) where it does not exist.
    Put {
        /// Where.
        path: Path,
        /// The new value.
        value: Scalar,
    },
    /// Adds a key (and the mappings above it) that must not exist yet.
    Insert {
        /// Where.
        path: Path,
        /// The new value.
        value: Scalar,
    },
    /// Removes a key with all that is below it, or a list item.
    Remove {
        /// Where.
        path: Path,
    },
    /// Adds a value at the end of a list.
    Append {
        /// Where the list is.
        path: Path,
        /// The new item.
        value: Scalar,
    },
    /// Replaces the tag of a container image reference and keeps its name.
    SetImageTag {
        /// Where the reference is.
        path: Path,
        /// The new tag.
        tag: String,
    },
}

impl Edit {
    /// Where it edits.
    pub const fn path(&self) -> &Path {
        match self {
            Self::Set { path, .. }
            | Self::Put { path, .. }
            | Self::Insert { path, .. }
            | Self::Remove { path }
            | Self::Append { path, .. }
            | Self::SetImageTag { path, .. } => path,
        }
    }
}

/// Which document of a file. What is not named is not compared; a file with one document needs no selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// `kind`
    pub kind: Option<String>,
    /// `metadata.name`
    pub name: Option<String>,
    /// `metadata.namespace`
    pub namespace: Option<String>,
}

impl Selector {
    pub(super) fn matches(&self, root: &Node) -> bool {
        let metadata = |key: &str| root.value_of("metadata").and_then(|node| node.value_of(key)).and_then(Node::text);
        let agrees = |wanted: &Option<String>, there: Option<&str>| wanted.as_deref().is_none_or(|wanted| there == Some(wanted));
        !root.is_null()
            && agrees(&self.kind, root.value_of("kind").and_then(Node::text))
            && agrees(&self.name, metadata("name"))
            && agrees(&self.namespace, metadata("namespace"))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_deref().unwrap_or("document"))?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {name:?}"))?;
        self.namespace
            .as_ref()
            .map_or(Ok(()), |namespace| write!(f, " in namespace {namespace:?}"))
    }
}

/// What a file may cost. A manifest is far below; hostile input is answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Values in the file: keys, scalars, lists, mappings, aliases.
    pub nodes: usize,
    /// Levels of nesting.
    pub depth: usize,
}

impl Default for Limits {
    /// 1 MiB (what etcd stores at most is 1.5 MiB), 50,000 values, 64 levels.
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            nodes: 50_000,
            depth: 64,
        }
    }
}

/// The text with one edit done, or an error and nothing done. Every byte that the edit does not need stays as it is.
///
/// # Errors
/// See [`EditErrorKind`]; the message names line and remedy.
pub fn apply(text: &str, document: &Selector, edit: &Edit, limits: &Limits) -> Result<String> {
    let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
    let documents = tree::parse(body, limits)?;
    let which = locate::document(&documents, document)?;
    let plan = plan_for(body, &documents[which], edit)?;
    let mut expected = documents;
    let line = plan.line;
    plan.change.make(&mut expected[which]);
    for candidate in &plan.candidates {
        let result = plan::splice(body, candidate);
        // The result may be as large as the limit and the new value together.
        let room = Limits {
            bytes: result.len(),
            nodes: limits.nodes.saturating_add(64),
            depth: limits.depth.saturating_add(50),
        };
        if tree::parse(&result, &room).is_ok_and(|documents| tree::same_data(&documents, &expected)) {
            return Ok(format!("{mark}{result}"));
        }
    }
    let message = format!(
        "the layout around `{}` does not allow this edit without changing something else",
        edit.path()
    );
    Err(EditError::new(EditErrorKind::Layout, message, "make this change by hand").at(line))
}

/// The value at a path with the type that YAML 1.2 gives it; `None` when it is absent or no single value.
///
/// # Errors
/// As [`apply`], for a file that cannot be read and a path that is ambiguous or shared.
pub fn get(text: &str, document: &Selector, path: &Path, limits: &Limits) -> Result<Option<Scalar>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = tree::parse(body, limits)?;
    let root = &documents[locate::document(&documents, document)?];
    match locate::locate(root, path)? {
        Found::At(at) => Ok(at_path(root, &at).and_then(scalar::read)),
        Found::Missing { .. } => Ok(None),
    }
}

fn at_path<'n>(root: &'n Node, at: &[usize]) -> Option<&'n Node> {
    at.iter().try_fold(root, |node, &index| node.child(index))
}

fn plan_for(text: &str, root: &Node, edit: &Edit) -> Result<Plan> {
    let found = locate::locate(root, edit.path())?;
    match (edit, found) {
        (Edit::Set { value, .. } | Edit::Put { value, .. }, Found::At(at)) => replace::set(text, root, &at, value),
        (Edit::SetImageTag { tag, .. }, Found::At(at)) => replace::set_image_tag(text, root, &at, tag),
        (Edit::Remove { .. }, Found::At(at)) => remove::remove(text, root, &at),
        (Edit::Append { value, .. }, Found::At(at)) => add::append(text, root, &at, value),
        (Edit::Put { value, .. } | Edit::Insert { value, .. }, Found::Missing { parent, keys }) => {
            add::insert(text, root, &parent, &keys, value)
        }
        (Edit::Insert { path, .. }, Found::At(at)) => {
            let message = format!("`{path}` is in the file already");
            let line = at_path(root, &at).map_or(root.line, |node| node.line);
            Err(EditError::new(EditErrorKind::Exists, message, "set it instead of inserting it").at(line))
        }
        (
            Edit::Set { path, .. } | Edit::Remove { path } | Edit::Append { path, .. } | Edit::SetImageTag { path, .. },
            Found::Missing { parent, keys },
        ) => {
            let known = path.steps().len() - keys.len();
            let here = Path::new(path.steps()[..known].to_vec()).map_or_else(|| "the document".to_owned(), |path| format!("`{path}`"));
            let rest: Vec<Step> = path.steps()[known..].to_vec();
            Err(locate::not_there(&rest, at_path(root, &parent).unwrap_or(root), &here))
        }
    }
}
