//! What a change does, in the words of an operator and worst first. Computed by the service from the contents alone, so that a person need
//! not believe what an agent says about its own change.
//!
//! Both sides of every file are read (`value`, within a budget), objects are found on both sides by identity (`objects`), and one
//! reader per subject explains what it knows (`containers`, `rbac`, `network`, …). A reader takes out what it has explained; what is
//! left is explained by path (`fields`), so that nothing is passed over in silence. What cannot be read is said to be unread.
//!
//! Every line comes from a rule ([`RULES`]) that decides how much it matters; the worst one is the risk of the change.

mod argocd;
mod checklist;
mod config;
mod containers;
mod fields;
mod files;
mod images;
mod kustomize;
mod metadata;
mod network;
mod objects;
mod pair;
mod quantity;
mod rbac;
mod report;
mod rules;
mod security;
mod storage;
mod terraform;
mod value;
mod words;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use domain::{ChangeSet, RepoPath, Risk};
use serde::{Deserialize, Serialize};

pub use checklist::{Approval, Fact, Holds, Question, answer_again, checklist};
pub use report::{LINE_TEXT_CHARS_MAX, LINES_MAX, OBJECTS_MAX};
pub use rules::{RULES, Rule, Severity};

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What it does in a few words, such as `scale web to 5`; the worst of it, and how many other subjects it touches.
    pub verb: String,
    /// That of the worst line.
    pub risk: Risk,
    /// The rules of severity medium and above that spoke, worst first.
    pub reasons: Vec<RiskReason>,
    /// Worst first; at most [`LINES_MAX`].
    pub lines: Vec<Line>,
    /// Lines that were left out.
    pub more: usize,
    /// Namespaces that the touched objects name. An object may also get its namespace from elsewhere.
    pub namespaces: BTreeSet<String>,
    /// Argo CD applications that the change touches; `None` when nobody knows.
    pub applications: Option<Vec<String>>,
    /// Kubernetes objects that the change touches, at most [`OBJECTS_MAX`], in the order of files.
    pub objects: Vec<ObjectRef>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// That of its rule.
    pub severity: Severity,
    /// The id of the [`Rule`] that it comes from.
    pub rule: String,
    /// One line of plain text, at most [`LINE_TEXT_CHARS_MAX`] characters. It holds foreign words, cleaned of control and deceptive
    /// characters; escape it for where it is shown.
    pub text: String,
    /// The file.
    pub path: RepoPath,
}

/// Why the risk is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskReason {
    /// The id of the [`Rule`].
    pub rule: String,
    /// That of the rule.
    pub severity: Severity,
    /// The words of the rule.
    pub words: String,
    /// How often it spoke.
    pub times: usize,
}

/// A Kubernetes object. All names are foreign, cleaned of control and deceptive characters and shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Such as `Deployment`.
    pub kind: String,
    /// As written in the manifest.
    pub namespace: Option<String>,
    /// As written in the manifest.
    pub name: String,
    /// What happens to it.
    pub action: Action,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// It is there on both sides.
    Changed,
    /// It stands in another file, and may have changed too.
    Moved,
}

/// Summarises a change.
///
/// `old` holds the old contents of the files that the change modifies or deletes; where one is missing, a line says so. `applications`
/// are the names of the Argo CD applications that the change touches, `None` when nobody knows.
///
/// Pure and total: the same arguments give the same summary, any bytes give one, and hostile input costs no more than a fixed amount of
/// work, since reading has a budget over the whole change.
pub fn summarize(changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>, applications: Option<&[String]>) -> Summary {
    summarize_with(changes, old, applications, |_| false)
}

/// The same, where some paths are reserved: what stands there decides what agents may do, and the summary says so.
pub fn summarize_with(
    changes: &ChangeSet,
    old: &BTreeMap<RepoPath, Vec<u8>>,
    applications: Option<&[String]>,
    reserved: impl Fn(&RepoPath) -> bool,
) -> Summary {
    let mut report = report::Report::default();
    files::read(changes, old, &mut report);
    for path in changes.paths().filter(|path| reserved(path)) {
        let label = files::short(path);
        let verb = format!("change {label}");
        let mut scope = report.scope(path, label.clone(), label, false);
        scope.note_as(&rules::RESERVED, "decides what agents may do", verb);
    }
    report.finish(changes.paths().next(), applications)
}
