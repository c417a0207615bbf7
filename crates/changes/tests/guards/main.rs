//! The guard rails from outside: what they find, what they let pass, and that they always answer.

mod cases;
mod forms;
mod hostile;
mod policies;
mod rules;
mod schemas;
#[path = "../slow_inputs/mod.rs"]
mod slow_inputs;
mod table;
mod templates;

use std::collections::BTreeMap;

use changes::guard::{GuardOptions, Guards, Report};
use domain::{ChangeSet, FileChange, FileMode, FileVersion, NewFile, RepoPath};

fn path(text: &str) -> RepoPath {
    text.parse().expect("a path")
}

/// A change of one file.
fn change(at: &str, old: Option<&str>, new: Option<&[u8]>) -> (ChangeSet, BTreeMap<RepoPath, Vec<u8>>) {
    let mode = FileMode::Regular;
    let blob = "286c5f5776916d7d7d5849988ca9d83e722cf9c2".parse().expect("a blob id");
    let file = FileChange {
        old: old.map(|_| FileVersion { mode, blob }),
        new: new.map(|bytes| NewFile {
            mode,
            bytes: bytes.to_vec(),
        }),
    };
    let contents = old.map(|old| (path(at), old.as_bytes().to_vec())).into_iter().collect();
    (ChangeSet::new(BTreeMap::from([(path(at), file)])), contents)
}

fn inspect(guards: &Guards, at: &str, old: Option<&str>, new: Option<&[u8]>) -> Report {
    let (changes, contents) = change(at, old, new);
    guards.inspect(&changes, &contents)
}

fn guards() -> Guards {
    Guards::new(&GuardOptions::default()).expect("the built-in rules")
}

/// Rule, line and effect of each finding, in the report's order.
fn short(report: &Report) -> Vec<String> {
    let one = |finding: &changes::guard::Finding| format!("{}:{}:{}", finding.rule, finding.line.unwrap_or(0), finding.effect);
    report.findings.iter().map(one).collect()
}

fn never_shown(report: &Report, value: &str, name: &str) {
    let outputs = [format!("{report:?}"), serde_json::to_string(report).expect("JSON")];
    for output in outputs {
        assert!(!output.contains(value), "{name}: the value is shown in {output}");
    }
}
