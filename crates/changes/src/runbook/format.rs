//! The file format of runbooks, and its checks.
//!
//! ```toml
//! name = "scale"                      # the file's name without .toml
//! description = "What it does, for agents and people."
//! title = "Scale {app} to {replicas}" # the proposal's title; `reason` likewise, optional
//! allowed_paths = ["kubernetes/applications/*/deployment.yaml"]
//!
//! [parameters]                        # JSON Schema 2020-12 of an object; what it does not name is refused
//! required = ["app", "replicas"]
//! properties.app = { type = "string", pattern = "^[a-z0-9-]{1,63}$" }
//! properties.replicas = { type = "integer", minimum = 1, maximum = 20 }
//!
//! [[edits]]                           # in order; later ones see what earlier ones did
//! file = "kubernetes/applications/{app}/deployment.yaml"
//! document = { kind = "Deployment", name = "{app}" } # optional in a file with one document; also `namespace`
//! path = "spec.replicas"
//! set = "{replicas}"                  # a lone parameter keeps its type, with text around it the value is a string
//! ```
//!
//! Instead of `set` (the value must exist): `put` (set, or add the key), `insert` (add a key that must not exist), `append` (to a list),
//! `remove = true`, `set_image_tag`; or, without `document` and `path`, `write` (the whole file, a fixed text) or `delete = true`.
//!
//! Optional: `ceiling`, `rollback`, `[verify]` and `[limits]`, described in the `safety` module.

use std::ops::Range;

use domain::{PathGlob, RepoPath, RunbookName, Sha256Hash};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::parameters::Parameters;
use super::reach::reaches;
use super::render;
use super::safety::{self, FileLimits, FileVerify};
use super::schema::Refusal;
use super::template::Template;
use super::{Action, BYTES_MAX, EDITS_MAX, Problem, Runbook, RunbookEdit, SelectorTemplate, ValueChange, ValueTemplate};
use crate::yaml::{Path, Scalar};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    description: Spanned<String>,
    title: Spanned<String>,
    reason: Option<Spanned<String>>,
    allowed_paths: Spanned<Vec<Spanned<String>>>,
    ceiling: Option<Spanned<String>>,
    rollback: Option<Spanned<String>>,
    verify: Option<FileVerify>,
    limits: Option<FileLimits>,
    parameters: Spanned<toml::Table>,
    edits: Spanned<Vec<Spanned<FileEdit>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEdit {
    file: Spanned<String>,
    document: Option<FileSelector>,
    path: Option<Spanned<String>>,
    set: Option<Spanned<toml::Value>>,
    put: Option<Spanned<toml::Value>>,
    insert: Option<Spanned<toml::Value>>,
    append: Option<Spanned<toml::Value>>,
    remove: Option<Spanned<bool>>,
    set_image_tag: Option<Spanned<String>>,
    write: Option<Spanned<String>>,
    delete: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSelector {
    kind: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    namespace: Option<Spanned<String>>,
}

pub(super) fn parse(text: &str, file_name: &str) -> Result<Runbook, Vec<Problem>> {
    let mut checker = Checker {
        text,
        file_name,
        problems: Vec::new(),
        parameters: None,
    };
    if text.len() > BYTES_MAX {
        let message = format!("the runbook has {} bytes, and {BYTES_MAX} are the most", text.len());
        checker.add(&(0..0), message, "split it into smaller runbooks");
        return Err(checker.problems);
    }
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            checker.add(
                &span,
                error.message().trim(),
                "correct it; the keys of a runbook are listed in the documentation, others are refused",
            );
            return Err(checker.problems);
        }
    };
    match checker.runbook(&file) {
        Some(runbook) if checker.problems.is_empty() => Ok(runbook),
        _ => Err(checker.problems),
    }
}

pub(super) struct Checker<'a> {
    text: &'a str,
    file_name: &'a str,
    problems: Vec<Problem>,
    parameters: Option<Parameters>,
}

impl Checker<'_> {
    pub(super) fn add(&mut self, span: &Range<usize>, message: impl Into<String>, remedy: &str) {
        let mut at = span.start.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.problems.push(Problem {
            file: self.file_name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            remedy: remedy.to_owned(),
        });
    }

    fn runbook(&mut self, file: &File) -> Option<Runbook> {
        let name = self.name(&file.name);
        if file.description.get_ref().trim().is_empty() {
            self.add(&file.description.span(), "the description is empty", "say what the runbook does");
        }
        self.parameters = self.schema(&file.parameters);
        let title = self.template(&file.title);
        let reason = file.reason.as_ref().map(|reason| self.template(reason));
        let allowed_paths = self.globs(&file.allowed_paths);
        // Where a pattern cannot be read, which is told, nobody knows what is outside of them.
        let whole = allowed_paths.len() == file.allowed_paths.get_ref().len();
        let edits = self.edits(&file.edits, if whole { &allowed_paths } else { &[] });
        let (verify, limits) = (file.verify.as_ref(), file.limits.as_ref());
        let safety = safety::check(self, file.ceiling.as_ref(), file.rollback.as_ref(), verify, limits);
        Some(Runbook {
            name: name?,
            description: file.description.get_ref().clone(),
            title: title?,
            reason: reason.flatten(),
            parameters: self.parameters.clone()?,
            edits,
            allowed_paths,
            safety,
            hash: Sha256Hash::of(self.text.as_bytes()),
        })
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<RunbookName> {
        let base = self.file_name.rsplit(['/', '\\']).next().unwrap_or(self.file_name);
        let stem = base.strip_suffix(".toml").unwrap_or(base).to_owned();
        if *name.get_ref() != stem {
            let message = format!("the runbook is named {:?} but its file is named {base:?}", name.get_ref());
            self.add(
                &name.span(),
                message,
                "give both the same name, so that no two runbooks can share one",
            );
        }
        name.get_ref()
            .parse()
            .map_err(|error: domain::InvalidId| self.add(&name.span(), error.to_string(), "rename the runbook"))
            .ok()
    }

    fn schema(&mut self, table: &Spanned<toml::Table>) -> Option<Parameters> {
        let json = serde_json::to_value(table.get_ref()).map_err(|error| Refusal::new("", error.to_string(), "correct the JSON Schema"));
        json.and_then(Parameters::compile)
            .map_err(|refusal| {
                let span = self.place_of(&refusal.pointer).unwrap_or_else(|| table.span());
                self.add(&span, refusal.message, refusal.remedy);
            })
            .ok()
    }

    /// Where the file writes what a pointer into the parameters names, or what is around it when that has no place of its own.
    fn place_of(&self, pointer: &str) -> Option<Range<usize>> {
        let file = DeTable::parse(self.text).ok()?.into_inner();
        let mut at = file.get("parameters")?;
        let mut span = None;
        for key in pointer.split('/').skip(1) {
            let next = match at.get_ref() {
                DeValue::Table(table) => table.get(key.replace("~1", "/").replace("~0", "~").as_str()),
                DeValue::Array(array) => key.parse::<usize>().ok().and_then(|index| array.get(index)),
                _ => None,
            };
            let Some(next) = next else { break };
            at = next;
            span = Some(at.span());
        }
        span
    }

    pub(super) fn template(&mut self, text: &Spanned<String>) -> Option<Template> {
        self.template_at(text.get_ref(), &text.span())
    }

    fn template_at(&mut self, text: &str, span: &Range<usize>) -> Option<Template> {
        let template = Template::parse(text)
            .map_err(|why| self.add(span, why, "write {name} for a parameter, {{ and }} for braces"))
            .ok()?;
        if let Some(schema) = self.parameters.clone() {
            for name in template.parameters().filter(|name| !schema.declares(name)) {
                let message = format!("{{{name}}} is not among the properties of the parameters' schema");
                self.add(span, message, "declare the parameter, or correct its name");
            }
        }
        Some(template)
    }

    fn globs(&mut self, globs: &Spanned<Vec<Spanned<String>>>) -> Vec<PathGlob> {
        if globs.get_ref().is_empty() {
            self.add(&globs.span(), "no path is allowed", "list the paths that the runbook may change");
        }
        let mut compiled = Vec::new();
        for glob in globs.get_ref() {
            match PathGlob::new(glob.get_ref()) {
                Ok(glob) => compiled.push(glob),
                Err(why) => self.add(&glob.span(), why, "correct the pattern"),
            }
        }
        compiled
    }

    fn edits(&mut self, edits: &Spanned<Vec<Spanned<FileEdit>>>, allowed: &[PathGlob]) -> Vec<RunbookEdit> {
        let count = edits.get_ref().len();
        if count == 0 || count > EDITS_MAX {
            self.add(&edits.span(), format!("the runbook has {count} edits"), "write 1 to 100 of them");
        }
        edits.get_ref().iter().filter_map(|edit| self.edit(edit, allowed)).collect()
    }

    fn edit(&mut self, spanned: &Spanned<FileEdit>, allowed: &[PathGlob]) -> Option<RunbookEdit> {
        let edit = spanned.get_ref();
        let file = self.template(&edit.file);
        match &file {
            Some(file) if file.parameters().next().is_none() => self.fixed_path(&edit.file, file, allowed),
            Some(file) if !allowed.is_empty() && !reaches(file.parts(), allowed) => self.add(
                &edit.file.span(),
                format!(
                    "{} is outside the runbook's own allowed paths, whatever its parameters are",
                    edit.file.get_ref()
                ),
                "add it to allowed_paths, with * in place of each parameter, or correct the path",
            ),
            Some(_) | None => {}
        }
        let action = self.action(edit, &spanned.span());
        Some(RunbookEdit {
            file: file?,
            action: action?,
        })
    }

    /// A path without parameters can be checked now.
    fn fixed_path(&mut self, written: &Spanned<String>, file: &Template, allowed: &[PathGlob]) {
        let text = file.text(&serde_json::Value::Null).unwrap_or_default();
        match text.parse::<RepoPath>() {
            Err(refusal) => self.add(&written.span(), refusal.to_string(), "correct the path"),
            Ok(path) if !allowed.is_empty() && !allowed.iter().any(|glob| glob.matches(&path)) => {
                let message = format!("{path} is outside the runbook's own allowed paths");
                self.add(&written.span(), message, "add it to allowed_paths, or correct the path");
            }
            Ok(_) => {}
        }
    }

    fn action(&mut self, edit: &FileEdit, span: &Range<usize>) -> Option<Action> {
        const REMEDY: &str = "give exactly one of set, put, insert, append, remove, set_image_tag, write, delete";
        let mut whole = Vec::new();
        let mut changes = Vec::new();
        if let Some(text) = &edit.write {
            self.written(edit.file.get_ref(), text);
            whole.push(Action::Write(text.get_ref().clone()));
        }
        if self.flag(edit.delete.as_ref()) {
            whole.push(Action::Delete);
        }
        type Wrap = fn(ValueTemplate) -> ValueChange;
        let values: [(&Option<Spanned<toml::Value>>, Wrap); 4] = [
            (&edit.set, ValueChange::Set),
            (&edit.put, ValueChange::Put),
            (&edit.insert, ValueChange::Insert),
            (&edit.append, ValueChange::Append),
        ];
        for (value, wrap) in values {
            if let Some(value) = value {
                changes.push(wrap(self.value(value)?));
            }
        }
        if self.flag(edit.remove.as_ref()) {
            changes.push(ValueChange::Remove);
        }
        if let Some(tag) = &edit.set_image_tag {
            changes.push(ValueChange::SetImageTag(self.template(tag)?));
        }
        match (whole.len(), changes.len()) {
            (1, 0) if edit.path.is_none() && edit.document.is_none() => whole.pop(),
            (1, 0) => {
                self.add(span, "write and delete are about the whole file", "leave out path and document");
                None
            }
            (0, 1) => self.value_action(edit, changes.pop()?, span),
            (wholes, changes) => {
                self.add(span, format!("the edit says {} things to do", wholes + changes), REMEDY);
                None
            }
        }
    }

    /// A text that is no YAML though the name says so, as far as the name can be known without parameters.
    fn written(&mut self, file: &str, text: &Spanned<String>) {
        if let Some(message) = render::not_yaml(file, text.get_ref()) {
            self.add(&text.span(), message, "correct it: the run would be refused");
        }
    }

    fn flag(&mut self, flag: Option<&Spanned<bool>>) -> bool {
        if let Some(flag) = flag
            && !flag.get_ref()
        {
            self.add(&flag.span(), "false says nothing here", "write true, or leave the key out");
        }
        flag.is_some_and(|flag| *flag.get_ref())
    }

    fn value_action(&mut self, edit: &FileEdit, change: ValueChange, span: &Range<usize>) -> Option<Action> {
        let Some(path) = &edit.path else {
            self.add(
                span,
                "the edit has no path",
                "say which value it is about, such as path = \"spec.replicas\"",
            );
            return None;
        };
        let parsed: Path = path
            .get_ref()
            .parse()
            .map_err(|error: crate::yaml::PathError| self.add(&path.span(), error.to_string(), "correct the path"))
            .ok()?;
        parsed
            .map_texts(|text| self.template_at(text, &path.span()).map(|_| String::new()).ok_or(()))
            .ok()?;
        let mut selector = SelectorTemplate::default();
        if let Some(document) = &edit.document {
            selector.kind = document.kind.as_ref().and_then(|kind| self.template(kind));
            selector.name = document.name.as_ref().and_then(|name| self.template(name));
            selector.namespace = document.namespace.as_ref().and_then(|namespace| self.template(namespace));
        }
        Some(Action::Value {
            document: selector,
            path: parsed,
            change,
        })
    }

    fn value(&mut self, value: &Spanned<toml::Value>) -> Option<ValueTemplate> {
        match value.get_ref() {
            toml::Value::String(text) => self.template_at(text, &value.span()).map(ValueTemplate::Text),
            toml::Value::Integer(number) => Some(ValueTemplate::Fixed(Scalar::Integer(*number))),
            toml::Value::Float(number) => Some(ValueTemplate::Fixed(Scalar::Float(*number))),
            toml::Value::Boolean(flag) => Some(ValueTemplate::Fixed(Scalar::Bool(*flag))),
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                self.add(
                    &value.span(),
                    "only single values can be written",
                    "give a string, a number, or true or false",
                );
                None
            }
        }
    }
}
