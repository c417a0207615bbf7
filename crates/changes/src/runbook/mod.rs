//! Runbooks: named, parameterised changes that the service itself renders, so that a person can trust the shape of a change before
//! its first run.
//!
//! A runbook is a TOML file of `config/runbooks/`; its format is described in the `format` module and shown by the shipped ones. It is
//! read once ([`Runbook::parse`]); each run says which files it needs ([`Runbook::files_needed`]) and renders the change from their
//! contents ([`Runbook::render`]). Parameters are checked against the runbook's JSON Schema and enter files as typed values, paths as
//! parts of one directory or file name, titles as text; nowhere can they become structure.

mod format;
mod parameters;
mod reach;
mod render;
mod safety;
mod schema;
mod template;

use std::collections::BTreeMap;
use std::fmt;

use domain::{PathGlob, RepoPath, RunbookName, Sha256Hash, Tier};
use serde::Serialize;

use crate::yaml::{self, Path};
use parameters::Parameters;
use safety::Safety;
use template::Template;

pub use safety::{Rollback, RunLimits, Verification};

/// Largest runbook file in bytes: with the text of a file that it writes, more than enough.
pub const BYTES_MAX: usize = 1 << 20;
/// Most edits in one runbook: more than one person reviews at a sitting.
pub const EDITS_MAX: usize = 100;
/// Longest rendered title in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// Longest rendered reason in characters.
pub const REASON_CHARS_MAX: usize = 4000;

/// A runbook that passed every check that needs no parameters.
#[derive(Debug, Clone)]
pub struct Runbook {
    name: RunbookName,
    description: String,
    title: Template,
    reason: Option<Template>,
    parameters: Parameters,
    edits: Vec<RunbookEdit>,
    allowed_paths: Vec<PathGlob>,
    safety: Safety,
    hash: Sha256Hash,
}

/// Something wrong in a runbook's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the caller named it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            remedy,
        } = self;
        write!(f, "{file}:{line}:{column}: {message}; {remedy}")
    }
}

/// A run's change.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The proposal's title.
    pub title: String,
    /// The proposal's reason where the caller gives none, when the runbook has a template for it.
    pub reason: Option<String>,
    /// New bytes per file, or `None` to delete it. Only files that differ from what was handed in; empty when nothing would change.
    pub files: BTreeMap<RepoPath, Option<Vec<u8>>>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, bytes)| (path, bytes.as_ref().map(Vec::len)))
            .collect();
        write!(f, "Rendered({:?}, {files:?})", self.title)
    }
}

/// Why a run cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {hint}")]
pub struct RenderError {
    /// JSON pointer to the parameter at fault, within the parameters' object; empty for the object itself or when no parameter is.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Which branch a caller may take.
    pub kind: RenderErrorKind,
}

/// The reasons that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderErrorKind {
    /// The parameters do not fit the schema, or a value does not fit where the runbook puts it: the agent can correct the call.
    Parameters,
    /// A path is refused or outside the runbook's allowed paths.
    Path,
    /// The files in the repository are not as the runbook needs them.
    Target,
}

/// A runbook as agents see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// What a call names.
    pub name: RunbookName,
    /// What it does, in words.
    pub description: String,
    /// JSON Schema (2020-12) of the parameters, as enforced.
    pub parameters: serde_json::Value,
    /// Where it may change files.
    pub allowed_paths: Vec<String>,
    /// SHA-256 of the file: another hash is another runbook.
    pub hash: Sha256Hash,
    /// The highest tier that trust may give it.
    pub ceiling: Tier,
}

#[derive(Debug, Clone)]
struct RunbookEdit {
    file: Template,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    /// Writes the whole file with a fixed text.
    Write(String),
    /// Deletes the file.
    Delete,
    /// Edits one value.
    Value {
        document: SelectorTemplate,
        path: Path,
        change: ValueChange,
    },
}

#[derive(Debug, Clone, Default)]
struct SelectorTemplate {
    kind: Option<Template>,
    name: Option<Template>,
    namespace: Option<Template>,
}

#[derive(Debug, Clone)]
enum ValueChange {
    Set(ValueTemplate),
    Put(ValueTemplate),
    Insert(ValueTemplate),
    Append(ValueTemplate),
    Remove,
    SetImageTag(Template),
}

#[derive(Debug, Clone)]
enum ValueTemplate {
    Fixed(yaml::Scalar),
    Text(Template),
}

impl Runbook {
    /// Reads a runbook's file. `file_name` is what problems name, and its stem must be the runbook's name.
    ///
    /// # Errors
    /// Every problem that can be found without parameters, with its place and remedy.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Vec<Problem>> {
        format::parse(text, file_name)
    }

    /// The name that calls use.
    pub const fn name(&self) -> &RunbookName {
        &self.name
    }

    /// The runbook as agents see it.
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.parameters.schema().clone(),
            allowed_paths: self.allowed_paths.iter().map(|glob| glob.as_str().to_owned()).collect(),
            hash: self.hash,
            ceiling: self.safety.ceiling,
        }
    }

    /// Whether a parameter of that name is declared.
    pub fn declares(&self, parameter: &str) -> bool {
        self.parameters.declares(parameter)
    }

    /// SHA-256 of the file's bytes: what a policy may pin and what trust is counted for.
    pub const fn content_hash(&self) -> Sha256Hash {
        self.hash
    }

    /// Where it may change files.
    pub fn allowed_paths(&self) -> &[PathGlob] {
        &self.allowed_paths
    }

    /// JSON Schema of the parameters, as enforced: what a record's ranges are read with.
    pub const fn schema(&self) -> &serde_json::Value {
        self.parameters.schema()
    }

    /// The highest tier that trust may give it. `prompted` unless the file says otherwise: what its author did not offer is not promoted.
    pub const fn ceiling(&self) -> Tier {
        self.safety.ceiling
    }

    /// When a run counts as a success.
    pub const fn verification(&self) -> &Verification {
        &self.safety.verification
    }

    /// How often it may run without asking anybody.
    pub const fn limits(&self) -> RunLimits {
        self.safety.limits
    }

    /// How a run is undone, when the file says so.
    pub const fn rollback(&self) -> Option<Rollback> {
        self.safety.rollback
    }

    /// Parameters with the schema's defaults filled in, checked: what a trial keeps.
    ///
    /// # Errors
    /// When they do not fit the schema.
    pub fn complete(&self, parameters: &serde_json::Value) -> Result<serde_json::Value, RenderError> {
        self.parameters.check(parameters)
    }

    /// The Argo CD Applications that must be synced and healthy after this run; `None` for all that the change touches.
    ///
    /// # Errors
    /// When the parameters do not fit the schema, or one that a name needs was not given.
    pub fn verified_applications(&self, parameters: &serde_json::Value) -> Result<Option<Vec<String>>, RenderError> {
        render::applications(self, parameters)
    }

    /// The title and the reason of a run, as [`Runbook::render`] words them; an empty reason where the runbook has none.
    ///
    /// # Errors
    /// When a parameter is refused.
    pub fn words(&self, parameters: &serde_json::Value) -> Result<(String, String), RenderError> {
        render::words(self, parameters)
    }

    /// The files whose contents [`Runbook::render`] needs, in the order of their paths.
    ///
    /// # Errors
    /// When the parameters do not fit the schema, or a path that they make is refused.
    pub fn files_needed(&self, parameters: &serde_json::Value) -> Result<Vec<RepoPath>, RenderError> {
        render::files_needed(self, parameters)
    }

    /// Renders a run. `files` holds every path of [`Runbook::files_needed`] with its bytes, or `None` where there is no such file.
    ///
    /// # Errors
    /// As [`Runbook::files_needed`], and when a file lacks what the runbook edits.
    pub fn render(&self, parameters: &serde_json::Value, files: &BTreeMap<RepoPath, Option<Vec<u8>>>) -> Result<Rendered, RenderError> {
        render::render(self, parameters, files)
    }
}
