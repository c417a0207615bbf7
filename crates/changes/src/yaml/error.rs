//! Why an edit was refused: what is wrong, on which line, and what to do.

use std::fmt;

/// The reasons that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditErrorKind {
    /// The file is not YAML (or not UTF-8, or uses lone carriage returns as line ends).
    Syntax,
    /// The file exceeds one of the [`Limits`](super::Limits).
    TooLarge,
    /// No document of the file matches the selector.
    NoDocument,
    /// Several documents of the file match the selector.
    AmbiguousDocument,
    /// The path leads nowhere in the document.
    Missing,
    /// The path matches more than one place, or a key on it is written twice.
    Ambiguous,
    /// The key that should be inserted is there already.
    Exists,
    /// What stands at the path is of another kind than the edit needs.
    WrongKind,
    /// The place is shared through an anchor, an alias or a merge key, so an edit would change more than was asked for.
    Shared,
    /// The value cannot be written, such as a number that YAML does not know or an invalid image tag.
    BadValue,
    /// The layout around the place is one that cannot be edited without touching something else.
    Layout,
}

/// A refused edit. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditError {
    /// What kind of refusal it is.
    pub kind: EditErrorKind,
    /// The line of the file it is about, counted from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong. No contents of the file but names of keys, documents and anchors.
    pub message: String,
    /// What to do next.
    pub remedy: String,
}

impl EditError {
    pub(super) fn new(kind: EditErrorKind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            line: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) const fn at(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for EditError {}

pub(super) type Result<T> = std::result::Result<T, EditError>;
