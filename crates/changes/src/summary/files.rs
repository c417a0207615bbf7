//! Files of a change: what each is, which reader it goes to, and what is said when none can read it.

use std::collections::BTreeMap;

use domain::{ChangeSet, FileChange, FileMode, RepoPath, is_text};

use super::objects::{self, Document, flatten, is_object};
use super::pair::Pair;
use super::report::Report;
use super::rules::{
    CONFIG_REMOVED, DOCUMENTATION, FIELD, FILE, NO_EFFECT, OBJECT_ADDED, OLD_UNKNOWN, OPAQUE_FILE, PIPELINE, RESOURCE_UNLISTED, Rule,
    SCRIPT, TEMPLATE, UNREADABLE,
};
use super::value::{Unread, Value, parse};
use super::words::{count, word};
use super::{fields, kustomize, terraform};
use crate::facts::count_lines_within;

/// Work per byte of a file whose lines are compared, and per pair of lines that differ.
const COMPARED_BYTE: usize = 4;
const COMPARED_PAIR: usize = 10;

/// Everything that is gathered over all files before it can be explained.
#[derive(Default)]
struct Gathered {
    old: Vec<Document>,
    new: Vec<Document>,
    terraform: terraform::Files,
}

/// Reads every file of a change into the report.
pub(super) fn read(changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>, report: &mut Report) {
    let mut gathered = Gathered::default();
    for (path, change) in changes.iter() {
        let before = old.get(path).map(Vec::as_slice);
        if change.old.is_some() && before.is_none() {
            scope_of(report, path).say(&OLD_UNKNOWN, "the old content is not at hand");
            continue;
        }
        let sides = Sides {
            old: change.old.and(before),
            new: change.new.as_ref().map(|new| new.bytes.as_slice()),
        };
        one(path, change, sides, &mut gathered, report);
    }
    objects::explain(gathered.old, gathered.new, report);
    gathered.terraform.explain(report);
    for (path, change) in changes.iter() {
        if !report.knows(path) {
            let text = if change.new.is_none() {
                "removed; what stood in it is elsewhere"
            } else {
                "only layout, order or comments change"
            };
            let mut scope = scope_of(report, path);
            let verb = format!("tidy {}", scope.label);
            scope.say_as(&NO_EFFECT, text, verb);
        }
    }
}

/// Both contents of a file; `None` where it is not there.
#[derive(Clone, Copy)]
struct Sides<'b> {
    old: Option<&'b [u8]>,
    new: Option<&'b [u8]>,
}

impl<'b> Sides<'b> {
    fn texts(self) -> Option<(&'b str, &'b str)> {
        let text = |side: Option<&'b [u8]>| match side {
            None => Some(""),
            Some(bytes) if is_text(bytes) => std::str::from_utf8(bytes).ok(),
            Some(_) => None,
        };
        Some((text(self.old)?, text(self.new)?))
    }
}

fn one(path: &RepoPath, change: &FileChange, sides: Sides<'_>, gathered: &mut Gathered, report: &mut Report) {
    let executable = change.new.as_ref().is_some_and(|new| new.mode == FileMode::Executable);
    let was_executable = change.old.is_some_and(|old| old.mode == FileMode::Executable);
    if executable && !was_executable {
        scope_of(report, path).say(&SCRIPT, "can be executed");
    } else if was_executable && !executable && change.new.is_some() {
        scope_of(report, path).say(&FILE, "can no longer be executed");
    }
    let Some((old, new)) = sides.texts() else {
        let text = format!("not text, {} → {}", size(sides.old), size(sides.new));
        scope_of(report, path).say(&OPAQUE_FILE, text);
        return;
    };
    match Subject::of(path, old, new) {
        Subject::Yaml => {
            // What Helm would render is also read as it stands: braces in a comment must not hide a manifest.
            let template = in_chart(path.as_str()) && (has_template(old) || has_template(new));
            let read = yaml(path, old, new, gathered, report);
            match (read, template) {
                (Ok(()), false) => {}
                (Ok(()) | Err(_), true) => lines(&TEMPLATE, "", path, sides, report),
                (Err(unread), false) => lines(&UNREADABLE, &format!("{}; ", unread.words()), path, sides, report),
            }
        }
        Subject::Terraform => gathered.terraform.add(path, old, new, &mut report.budget),
        Subject::Lines(rule) => lines(rule, "", path, sides, report),
    }
}

fn size(side: Option<&[u8]>) -> String {
    side.map_or_else(|| "nothing".to_owned(), |bytes| count(bytes.len(), "byte"))
}

/// What a file is, by its name and place.
enum Subject {
    Yaml,
    Terraform,
    /// Counted by lines, under a rule.
    Lines(&'static Rule),
}

impl Subject {
    fn of(path: &RepoPath, old: &str, new: &str) -> Self {
        let (text, name) = (path.as_str(), path.file_name());
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        if is_pipeline(text, name) {
            return Self::Lines(&PIPELINE);
        }
        match extension.as_str() {
            "tpl" | "gotmpl" => Self::Lines(&TEMPLATE),
            "yaml" | "yml" | "json" => Self::Yaml,
            "tf" | "tfvars" | "hcl" | "tofu" => Self::Terraform,
            "md" | "adoc" | "rst" | "txt" | "png" | "svg" | "jpg" => Self::Lines(&DOCUMENTATION),
            "sh" | "bash" | "py" | "rb" | "pl" | "js" | "ts" | "ps1" => Self::Lines(&SCRIPT),
            _ if matches!(name, "Makefile" | "Justfile" | "justfile" | "Dockerfile" | "Taskfile") => Self::Lines(&SCRIPT),
            _ if new.starts_with("#!") || old.starts_with("#!") => Self::Lines(&SCRIPT),
            _ if matches!(name, "LICENSE" | "README" | "CHANGELOG") => Self::Lines(&DOCUMENTATION),
            _ => Self::Lines(&FILE),
        }
    }
}

/// What decides what runs in CI, who reviews, and how git treats files.
fn is_pipeline(path: &str, name: &str) -> bool {
    [".github/", ".gitlab/", ".forgejo/", ".gitea/", ".circleci/", ".argo-ci/"]
        .iter()
        .any(|dir| path.starts_with(dir))
        || matches!(
            name,
            ".gitlab-ci.yml" | "CODEOWNERS" | ".gitattributes" | ".gitmodules" | "Jenkinsfile" | ".drone.yml" | ".pre-commit-config.yaml"
        )
}

fn in_chart(path: &str) -> bool {
    path.contains("/templates/") || path.starts_with("templates/")
}

fn has_template(text: &str) -> bool {
    text.contains("{{")
}

/// Reads a YAML file: its objects are gathered, the rest is explained at once.
fn yaml(path: &RepoPath, old: &str, new: &str, gathered: &mut Gathered, report: &mut Report) -> Result<(), Unread> {
    let before = parse(old, &mut report.budget)?;
    let after = parse(new, &mut report.budget)?;
    if before == after {
        return Ok(());
    }
    let (old_objects, old_plain) = sort(before, path);
    let (new_objects, new_plain) = sort(after, path);
    gather(path, old_objects, &mut gathered.old);
    gather(path, new_objects, &mut gathered.new);
    plain(path, old_plain, new_plain, report);
    Ok(())
}

fn gather(path: &RepoPath, objects: Vec<Value>, into: &mut Vec<Document>) {
    into.extend(objects.into_iter().map(|value| Document { path: path.clone(), value }));
}

/// Objects, and everything else: values, kustomizations, other YAML.
fn sort(documents: Vec<Value>, path: &RepoPath) -> (Vec<Value>, Vec<Value>) {
    documents
        .into_iter()
        .flat_map(flatten)
        .partition(|value| is_object(value) && !is_kustomization(path, value))
}

fn is_kustomization(path: &RepoPath, value: &Value) -> bool {
    let kind = matches!(value.text_at("kind"), Some("Kustomization" | "Component"));
    let group = value
        .text_at("apiVersion")
        .is_some_and(|version| version.starts_with("kustomize.config.k8s.io/"));
    (kind && group) || (is_kustomization_file(path) && value.get("kind").is_absent())
}

fn is_kustomization_file(path: &RepoPath) -> bool {
    matches!(path.file_name(), "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// Documents that are no objects, paired by their place in the file.
fn plain(path: &RepoPath, old: Vec<Value>, new: Vec<Value>, report: &mut Report) {
    let many = old.len().max(new.len());
    let (mut old, mut new) = (old.into_iter(), new.into_iter());
    for nth in 0..many {
        let pair = Pair::new(old.next().unwrap_or_default(), new.next().unwrap_or_default());
        if !pair.changed() {
            continue;
        }
        let kustomization = is_kustomization(path, &pair.new) || is_kustomization(path, &pair.old);
        let which = if nth == 0 {
            String::new()
        } else {
            format!(" (document {})", nth + 1)
        };
        let (label, name) = match kustomization {
            true => (format!("kustomization {}{which}", directory(path)), subject_name(path)),
            false => (format!("{}{which}", short(path)), subject_name(path)),
        };
        document(path, label, name, kustomization, pair, report);
    }
}

fn document(path: &RepoPath, label: String, name: String, kustomization: bool, mut pair: Pair, report: &mut Report) {
    let (is_new, is_gone) = (pair.old.is_absent(), pair.new.is_absent());
    let mut scope = report.scope(path, label, name, is_new);
    let label = scope.label.clone();
    if is_gone {
        let rule = if kustomization { &RESOURCE_UNLISTED } else { &CONFIG_REMOVED };
        scope.say_as(rule, "removed", format!("remove {label}"));
        return;
    }
    if is_new {
        scope.note_as(if kustomization { &OBJECT_ADDED } else { &FILE }, "added", format!("add {label}"));
    }
    if kustomization {
        for field in ["apiVersion", "kind", "metadata"] {
            pair.take(field);
        }
        kustomize::explain(&mut scope, &mut pair);
    }
    match (&pair.old, &pair.new) {
        (Value::Scalar { .. }, _) | (_, Value::Scalar { .. }) if !kustomization => scope.say(&FIELD, "the whole content changes"),
        _ => fields::explain(&mut scope, "", pair),
    }
}

/// Says by how many lines a file changes.
fn lines(rule: &'static Rule, why: &str, path: &RepoPath, sides: Sides<'_>, report: &mut Report) {
    let (old, new) = (sides.old.unwrap_or_default(), sides.new.unwrap_or_default());
    let budget = &mut report.budget;
    let counted = if !budget.spend((old.len() + new.len()) * COMPARED_BYTE) {
        format!("{} → {}", size(sides.old), size(sides.new))
    } else {
        let counts = count_lines_within(old, new, |pairs| budget.spend(pairs * COMPARED_PAIR));
        if counts.added == 0 && counts.removed == 0 && sides.old.is_some() && sides.new.is_some() {
            return;
        }
        format!("+{} −{} lines", counts.added, counts.removed)
    };
    let (what, verb) = match (sides.old, sides.new) {
        (None, _) => ("added, ", "add"),
        (_, None) => ("removed, ", "remove"),
        _ => ("", "edit"),
    };
    let mut scope = scope_of(report, path);
    let verb = format!("{verb} {}", scope.label);
    scope.say_as(rule, format!("{why}{what}{counted}"), verb);
}

fn scope_of<'r>(report: &'r mut Report, path: &RepoPath) -> super::report::Scope<'r> {
    report.scope(path, short(path), subject_name(path), false)
}

/// The last two parts of a path, which is what fits on a card.
pub(super) fn short(path: &RepoPath) -> String {
    let mut parts: Vec<&str> = path.parts().rev().take(2).collect();
    parts.reverse();
    word(&parts.join("/"))
}

/// The last two parts of a file's directory.
pub(super) fn directory(path: &RepoPath) -> String {
    let mut parts: Vec<&str> = path.parts().rev().skip(1).take(2).collect();
    parts.reverse();
    if parts.is_empty() {
        "at the root".to_owned()
    } else {
        word(&parts.join("/"))
    }
}

/// What a values file is about: the directory it stands in.
fn subject_name(path: &RepoPath) -> String {
    word(path.parts().rev().nth(1).unwrap_or_else(|| path.file_name()))
}
