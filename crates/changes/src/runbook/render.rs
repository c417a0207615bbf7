//! A run: parameters and file contents in, new contents out.

use std::collections::BTreeMap;

use domain::RepoPath;
use serde_json::Value;

use super::template::{Template, as_text};
use super::{
    Action, REASON_CHARS_MAX, RenderError, RenderErrorKind, Rendered, Runbook, RunbookEdit, SelectorTemplate, TITLE_CHARS_MAX, ValueChange,
    ValueTemplate,
};
use crate::yaml::{self, Edit, EditError, EditErrorKind, Limits, Path, Scalar, Selector, tree};

type Files = BTreeMap<RepoPath, Option<Vec<u8>>>;

pub(super) fn files_needed(runbook: &Runbook, parameters: &Value) -> Result<Vec<RepoPath>, RenderError> {
    let parameters = runbook.parameters.check(parameters)?;
    let mut paths = Vec::new();
    for edit in &runbook.edits {
        paths.push(file_path(runbook, &edit.file, &parameters)?);
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

pub(super) fn render(runbook: &Runbook, parameters: &Value, files: &Files) -> Result<Rendered, RenderError> {
    let parameters = runbook.parameters.check(parameters)?;
    let title = line_of_text(&runbook.title, &parameters)?;
    let reason = runbook.reason.as_ref().map(|reason| reason_text(reason, &parameters)).transpose()?;
    let mut now: Files = BTreeMap::new();
    for edit in &runbook.edits {
        let path = file_path(runbook, &edit.file, &parameters)?;
        let before = match now.get(&path) {
            Some(edited) => edited.clone(),
            None => given(files, &path)?,
        };
        let after = edited(edit, &path, before, &parameters)?;
        now.insert(path, after);
    }
    now.retain(|path, bytes| files.get(path) != Some(bytes));
    Ok(Rendered { title, reason, files: now })
}

pub(super) fn words(runbook: &Runbook, parameters: &Value) -> Result<(String, String), RenderError> {
    let parameters = runbook.parameters.check(parameters)?;
    let reason = runbook.reason.as_ref().map(|reason| reason_text(reason, &parameters)).transpose()?;
    Ok((line_of_text(&runbook.title, &parameters)?, reason.unwrap_or_default()))
}

pub(super) fn applications(runbook: &Runbook, parameters: &Value) -> Result<Option<Vec<String>>, RenderError> {
    let Some(templates) = &runbook.safety.verification.applications else {
        return Ok(None);
    };
    let parameters = runbook.parameters.check(parameters)?;
    templates
        .iter()
        .map(|template| text(template, &parameters))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn given(files: &Files, path: &RepoPath) -> Result<Option<Vec<u8>>, RenderError> {
    files.get(path).cloned().ok_or_else(|| {
        let message = format!("the content of {path} was not handed in");
        error(RenderErrorKind::Target, "", message, "ask for the files that the run needs first")
    })
}

fn edited(edit: &RunbookEdit, path: &RepoPath, before: Option<Vec<u8>>, parameters: &Value) -> Result<Option<Vec<u8>>, RenderError> {
    let pointer = || first_pointer([&edit.file]);
    let absent = || {
        let message = format!("the repository has no file {path}");
        error(
            RenderErrorKind::Target,
            &pointer(),
            message,
            "name something that exists, or add the file first",
        )
    };
    match &edit.action {
        Action::Write(text) => match not_yaml(path.as_str(), text) {
            Some(why) => {
                let hint = "give another file name, or correct the runbook";
                // The name's end makes it YAML, and what was fixed of it was seen when the runbook was read.
                let last = edit.file.parameters().last().map(|name| format!("/{name}")).unwrap_or_default();
                Err(error(RenderErrorKind::Path, &last, format!("{path}: {why}"), hint))
            }
            None => Ok(Some(text.clone().into_bytes())),
        },
        Action::Delete => before.map(|_| None).ok_or_else(absent),
        Action::Value {
            document,
            path: place,
            change,
        } => {
            let before = before.ok_or_else(absent)?;
            let before = String::from_utf8(before).map_err(|_| {
                let message = format!("{path} is not UTF-8 text");
                error(RenderErrorKind::Target, &pointer(), message, "save the file as UTF-8")
            })?;
            let selector = selector(document, parameters)?;
            let (yaml_edit, value_pointer) = yaml_edit(place, change, parameters)?;
            let after = yaml::apply(&before, &selector, &yaml_edit, &Limits::default()).map_err(|why| {
                let place_pointer = || place_pointer(edit, document, place);
                target_error(
                    path,
                    &why,
                    if why.kind == EditErrorKind::BadValue {
                        value_pointer.clone()
                    } else {
                        place_pointer()
                    },
                )
            })?;
            Ok(Some(after.into_bytes()))
        }
    }
}

/// What makes a text to write unreadable for the readers of a file of this name. One with actions of a template is no YAML before it is
/// rendered.
pub(super) fn not_yaml(file: &str, text: &str) -> Option<String> {
    let yaml = [".yaml", ".yml", ".json"].iter().any(|end| file.ends_with(end)) && !text.contains("{{");
    let why = yaml.then(|| tree::parse(text, &Limits::default()).err()).flatten()?;
    if why.kind != EditErrorKind::Syntax {
        return None;
    }
    let place = why.line.map_or_else(String::new, |line| format!("line {line} of "));
    Some(format!("{place}the text to write: {}", why.message.replace("the file", "it")))
}

fn target_error(path: &RepoPath, why: &EditError, pointer: String) -> RenderError {
    let line = why.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let kind = match why.kind {
        EditErrorKind::BadValue => RenderErrorKind::Parameters,
        _ => RenderErrorKind::Target,
    };
    error(kind, &pointer, format!("{path}{line}: {}", why.message), &why.remedy)
}

/// The parameter that most likely led to the wrong place: of the document's name, the path in it, or the file.
fn place_pointer(edit: &RunbookEdit, document: &SelectorTemplate, place: &Path) -> String {
    let mut steps = Vec::new();
    // Each text of the path was parsed when the runbook was read.
    let _ = place.map_texts(|text| {
        let template = Template::parse(text)?;
        steps.push(template);
        Ok::<_, String>(String::new())
    });
    let selector = [&document.name, &document.kind, &document.namespace].into_iter().flatten();
    first_pointer(steps.iter().chain(selector).chain([&edit.file]))
}

fn first_pointer<'t>(templates: impl IntoIterator<Item = &'t Template>) -> String {
    let name = templates.into_iter().flat_map(Template::parameters).next().map(str::to_owned);
    name.map(|name| format!("/{name}")).unwrap_or_default()
}

fn selector(document: &SelectorTemplate, parameters: &Value) -> Result<Selector, RenderError> {
    let part = |template: &Option<Template>| template.as_ref().map(|template| text(template, parameters)).transpose();
    Ok(Selector {
        kind: part(&document.kind)?,
        name: part(&document.name)?,
        namespace: part(&document.namespace)?,
    })
}

fn yaml_edit(place: &Path, change: &ValueChange, parameters: &Value) -> Result<(Edit, String), RenderError> {
    let path = place.map_texts(|step| {
        let template = Template::parse(step).map_err(|why| error(RenderErrorKind::Parameters, "", why, "correct the runbook"))?;
        text(&template, parameters)
    })?;
    let value = |template: &ValueTemplate| match template {
        ValueTemplate::Fixed(value) => Ok((value.clone(), String::new())),
        ValueTemplate::Text(template) => Ok((scalar(template, parameters)?, first_pointer([template]))),
    };
    Ok(match change {
        ValueChange::Set(template) => value(template).map(|(value, at)| (Edit::Set { path, value }, at))?,
        ValueChange::Put(template) => value(template).map(|(value, at)| (Edit::Put { path, value }, at))?,
        ValueChange::Insert(template) => value(template).map(|(value, at)| (Edit::Insert { path, value }, at))?,
        ValueChange::Append(template) => value(template).map(|(value, at)| (Edit::Append { path, value }, at))?,
        ValueChange::Remove => (Edit::Remove { path }, String::new()),
        ValueChange::SetImageTag(template) => {
            let tag = text(template, parameters)?;
            (Edit::SetImageTag { path, tag }, first_pointer([template]))
        }
    })
}

/// A lone parameter keeps its type; with text around it, it becomes part of a string.
fn scalar(template: &Template, parameters: &Value) -> Result<Scalar, RenderError> {
    let Some(name) = template.whole() else {
        return text(template, parameters).map(Scalar::Text);
    };
    let value = parameters.get(name).ok_or_else(|| unusable(name, parameters))?;
    Scalar::try_from(value).map_err(|why| {
        error(
            RenderErrorKind::Parameters,
            &format!("/{name}"),
            why.to_string(),
            "correct the parameter",
        )
    })
}

fn text(template: &Template, parameters: &Value) -> Result<String, RenderError> {
    template.text(parameters).map_err(|name| unusable(&name, parameters))
}

fn unusable(name: &str, parameters: &Value) -> RenderError {
    let (message, hint) = match parameters.get(name) {
        None => (format!("the parameter {name:?} is needed here and was not given"), "give it"),
        Some(_) => (
            format!("the parameter {name:?} stands inside a text and must be a string, a number or a boolean"),
            "give another value",
        ),
    };
    error(RenderErrorKind::Parameters, &format!("/{name}"), message, hint)
}

/// A title: one line, nothing in it that shows as something else.
fn line_of_text(template: &Template, parameters: &Value) -> Result<String, RenderError> {
    let title = text(template, parameters)?;
    let refuse = |message: String| {
        Err(error(
            RenderErrorKind::Parameters,
            &first_pointer([template]),
            message,
            "give a simpler value",
        ))
    };
    if title.chars().any(|c| c.is_control() || domain::is_deceptive(c)) {
        return refuse("the title would contain a control, bidirectional or zero-width character".to_owned());
    }
    if title.chars().count() > TITLE_CHARS_MAX {
        return refuse(format!("the title would be longer than {TITLE_CHARS_MAX} characters"));
    }
    Ok(title)
}

/// A reason may have several lines; whoever shows it makes odd characters visible, as in an agent's own words.
fn reason_text(template: &Template, parameters: &Value) -> Result<String, RenderError> {
    let reason = text(template, parameters)?;
    if reason.chars().count() > REASON_CHARS_MAX {
        let message = format!("the reason would be longer than {REASON_CHARS_MAX} characters");
        return Err(error(
            RenderErrorKind::Parameters,
            &first_pointer([template]),
            message,
            "give a shorter value",
        ));
    }
    Ok(reason)
}

/// A path in which every parameter is part of exactly one name.
fn file_path(runbook: &Runbook, template: &Template, parameters: &Value) -> Result<RepoPath, RenderError> {
    for name in template.parameters() {
        let value = as_text(parameters.get(name)).ok_or_else(|| unusable(name, parameters))?;
        if let Some(rule) = broken_piece_rule(&value) {
            let message = format!("the parameter {name:?} is used in a path and {rule}");
            return Err(error(
                RenderErrorKind::Path,
                &format!("/{name}"),
                message,
                "give a single directory or file name",
            ));
        }
    }
    let pointer = first_pointer([template]);
    let path: RepoPath = text(template, parameters)?.parse().map_err(|refusal: domain::PathRefusal| {
        error(
            RenderErrorKind::Path,
            &pointer,
            refusal.to_string(),
            "give an ordinary directory or file name",
        )
    })?;
    if runbook.allowed_paths.iter().any(|glob| glob.matches(&path)) {
        return Ok(path);
    }
    let allowed: Vec<&str> = runbook.allowed_paths.iter().map(domain::PathGlob::as_str).collect();
    let message = format!("{path} is outside the runbook's allowed paths ({})", allowed.join(", "));
    Err(error(RenderErrorKind::Path, &pointer, message, "name something inside them"))
}

fn broken_piece_rule(piece: &str) -> Option<&'static str> {
    if piece.is_empty() {
        Some("is empty")
    } else if piece.contains(['/', '\\']) {
        Some("contains a slash")
    } else if piece.contains("..") || piece == "." {
        Some("contains two dots in a row, or is a dot")
    } else {
        None
    }
}

fn error(kind: RenderErrorKind, pointer: &str, message: impl Into<String>, hint: &str) -> RenderError {
    RenderError {
        pointer: pointer.to_owned(),
        message: message.into(),
        hint: hint.to_owned(),
        kind,
    }
}
