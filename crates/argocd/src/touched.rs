//! Which applications does a change touch?
//!
//! Pure: applications and changed paths in, answers out. Without the paths annotation Argo CD refreshes every application on
//! the branch; this is stricter, so that nobody waits for an application that the change cannot alter. What a source reads
//! outside its own path cannot always be known (kustomize bases, plugins): such applications are "maybe".

use globset::GlobBuilder;
use serde::{Deserialize, Serialize};

use crate::model::{AppRef, Application, Directory, Source};
use crate::repo::{Relation, Target};

/// Annotation with which an owner says what its manifests are made from.
pub const MANIFEST_PATHS: &str = "argocd.argoproj.io/manifest-generate-paths";

/// An application that follows the repository, and how a change concerns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The application.
    pub app: AppRef,
    /// How it is concerned.
    pub class: Class,
    /// Why, for people: the path that decided.
    pub because: String,
}

/// How a change concerns an application. Applications that are not concerned at all are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A changed file is one of its inputs: wait for it.
    Touched,
    /// Same repository and branch, and it may read files outside its path: refresh once, report only if it moves
    /// (see [`crate::verdict::moved_by`]).
    Maybe,
    /// A changed file would be its input, but it is fixed to a tag or commit: the change does not reach it.
    Pinned,
}

/// Classifies the applications that `changed` (paths within the repository, `/` between the parts) concerns, by name.
pub fn touched<'a>(applications: impl IntoIterator<Item = &'a Application>, target: &Target, changed: &[String]) -> Vec<Touched> {
    let mut found: Vec<Touched> = applications.into_iter().filter_map(|app| classify(app, target, changed)).collect();
    found.sort_by(|a, b| (a.class, &a.app).cmp(&(b.class, &b.app)));
    found
}

/// Whether [`touched`] says of both views of one application the same, whatever the change: all that it reads is equal.
pub(crate) fn same_origin(one: &Application, other: &Application) -> bool {
    one.spec.all_sources() == other.spec.all_sources()
        && one.spec.source_hydrator == other.spec.source_hydrator
        && one.spec.project == other.spec.project
        && one.metadata.annotations.get(MANIFEST_PATHS) == other.metadata.annotations.get(MANIFEST_PATHS)
        && one.status.source_type == other.status.source_type
        && one.status.source_types == other.status.source_types
}

fn classify(app: &Application, target: &Target, changed: &[String]) -> Option<Touched> {
    let sources = effective_sources(app);
    let mut best: Option<(Class, String)> = None;
    for (position, source) in sources.iter().enumerate() {
        let answer = match target.relation(source) {
            Relation::Tracks => reach(app, source, position, &sources, changed),
            Relation::Pinned => match reach(app, source, position, &sources, changed) {
                Some((Class::Touched, _)) => Some((Class::Pinned, source.target_revision.clone().unwrap_or_default())),
                _ => None,
            },
            Relation::OtherBranch | Relation::OtherRepository => None,
        };
        if let Some(answer) = answer
            && best.as_ref().is_none_or(|(class, _)| answer.0 < *class)
        {
            best = Some(answer);
        }
    }
    best.map(|(class, because)| Touched {
        app: app.app_ref(),
        class,
        because,
    })
}

/// The sources that commits can reach: the spec's, and for a hydrated application the dry source and the hydrated branch.
fn effective_sources(app: &Application) -> Vec<Source> {
    let Some(hydrator) = &app.spec.source_hydrator else {
        return app.spec.all_sources().into_iter().cloned().collect();
    };
    let dry = hydrator.dry_source.clone();
    let wet = Source {
        repo_url: hydrator.sync_source.repo_url.clone().unwrap_or_else(|| dry.repo_url.clone()),
        path: hydrator.sync_source.path.clone(),
        target_revision: Some(hydrator.sync_source.target_branch.clone()),
        ..Source::default()
    };
    vec![dry, wet]
}

/// How far the changed files reach into one source.
fn reach(app: &Application, source: &Source, position: usize, all: &[Source], changed: &[String]) -> Option<(Class, String)> {
    let touched = |path: &String| Some((Class::Touched, path.clone()));
    let files = value_files(source, position, all);
    if let Some(path) = changed.iter().find(|path| files.iter().any(|file| glob(file, path, true))) {
        return touched(path);
    }
    if let Some(annotation) = app.metadata.annotations.get(MANIFEST_PATHS) {
        let wanted = annotated(annotation, source);
        return changed
            .iter()
            .find(|path| wanted.iter().any(|item| covers(item, path)))
            .and_then(touched);
    }
    if is_reference_only(source) {
        return None;
    }
    let base = clean(source.path.as_deref().unwrap_or(""));
    let rule = directory_rule(app, source, position);
    match changed
        .iter()
        .find(|path| below(&base, path).is_some_and(|rest| rule.renders(rest)))
    {
        Some(path) => touched(path),
        None if rule.reads_only_itself() => None,
        None => Some((Class::Maybe, "it may read files outside its path".to_owned())),
    }
}

/// A source that is only named by others (`$ref/…`) and renders nothing itself.
fn is_reference_only(source: &Source) -> bool {
    source.reference.is_some() && source.path.is_none()
}

/// Items of the annotation as paths from the repository's root.
fn annotated(annotation: &str, source: &Source) -> Vec<String> {
    let base = source.path.as_deref().unwrap_or("");
    let items = annotation.split(';').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| if item.starts_with('/') { clean(item) } else { join(base, item) })
        .collect()
}

/// Equal, below, or matched by a glob whose `*` does not cross `/`.
fn covers(item: &str, path: &str) -> bool {
    below(item, path).is_some() || glob(item, path, true)
}

/// Value files (and parameter files) that `source` holds for itself or for a sibling that refers to it.
fn value_files(source: &Source, position: usize, all: &[Source]) -> Vec<String> {
    let mut files = Vec::new();
    for (index, user) in all.iter().enumerate() {
        let Some(helm) = &user.helm else { continue };
        let named = helm
            .value_files
            .iter()
            .chain(helm.file_parameters.iter().map(|parameter| &parameter.path));
        for file in named {
            if let Some(rest) = file.strip_prefix('$') {
                let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
                if source.reference.as_deref() == Some(name) {
                    files.push(clean(rest));
                }
            } else if index == position && !file.contains("://") {
                let base = user.path.as_deref().unwrap_or("");
                files.push(if file.starts_with('/') { clean(file) } else { join(base, file) });
            }
        }
    }
    files
}

/// Which files below the path a source renders.
enum Rule<'a> {
    /// Plain directory: only manifests, filtered.
    Plain(Option<&'a Directory>),
    /// Helm, kustomize, a plugin, or not known: everything below.
    Everything,
}

fn directory_rule<'a>(app: &'a Application, source: &'a Source, position: usize) -> Rule<'a> {
    if source.directory.is_some() {
        return Rule::Plain(source.directory.as_ref());
    }
    let explicit = source.helm.is_some() || source.kustomize.is_some() || source.plugin.is_some();
    let detected = app.status.source_types.get(position).or(app.status.source_type.as_ref());
    if !explicit && detected.is_some_and(|kind| kind == "Directory") {
        Rule::Plain(None)
    } else {
        Rule::Everything
    }
}

impl Rule<'_> {
    /// Whether the file at `rest` (relative to the path) is an input.
    fn renders(&self, rest: &str) -> bool {
        let Rule::Plain(directory) = self else { return true };
        let name = rest.rsplit('/').next().unwrap_or(rest);
        // These turn the directory into another kind of source.
        if matches!(rest, "Chart.yaml" | "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
            return true;
        }
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        // A jsonnet file may import any library beside it.
        if matches!(extension, "libsonnet") {
            return true;
        }
        if !matches!(extension, "yaml" | "yml" | "json" | "jsonnet") {
            return false;
        }
        let recurse = directory.is_some_and(|directory| directory.recurse);
        let include = directory.and_then(|directory| directory.include.as_deref());
        let exclude = directory.and_then(|directory| directory.exclude.as_deref());
        (recurse || !rest.contains('/'))
            && include.is_none_or(|pattern| glob(pattern, rest, false))
            && exclude.is_none_or(|pattern| !glob(pattern, rest, false))
    }

    fn reads_only_itself(&self) -> bool {
        matches!(self, Rule::Plain(_))
    }
}

/// Glob match; `literal_separator` says that `*` does not cross `/` (Go's `filepath.Match`) or does (Argo CD's include and
/// exclude). A pattern that is no glob matches itself only.
fn glob(pattern: &str, path: &str, literal_separator: bool) -> bool {
    pattern == path
        || GlobBuilder::new(pattern)
            .literal_separator(literal_separator)
            .build()
            .is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

/// What remains of `path` below the directory `base` (the empty base is the root; a file is below itself).
fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    if base.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(base)? {
        "" => Some(path.rsplit('/').next().unwrap_or(path)),
        rest => rest.strip_prefix('/'),
    }
}

fn join(base: &str, relative: &str) -> String {
    clean(&format!("{base}/{relative}"))
}

/// Resolves `.`, `..` and doubled slashes; the result has no slash at either end and never leaves the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::View;
    use serde_json::{Value, json};

    const REPO: &str = "https://git.example.com/org/home";

    fn app(spec: Value) -> Application {
        let mut document = json!({"metadata": {"name": "web", "namespace": "argocd"}, "spec": spec});
        document["spec"]["project"] = "default".into();
        if let Some(annotation) = document["spec"]["paths"].as_str().map(str::to_owned) {
            document["metadata"]["annotations"] = json!({ (MANIFEST_PATHS): annotation });
        }
        if let Some(kind) = document["spec"]["type"].as_str().map(str::to_owned) {
            document["status"] = json!({ "sourceType": kind });
        }
        Application::parse(document, View::Full).expect("a test application")
    }

    /// The class of one application for one changed path, as a word.
    fn class(spec: Value, path: &str) -> &'static str {
        let target = Target::new([REPO, "https://mirror.example.com/home"], "main", true);
        match touched([&app(spec)], &target, &[path.to_owned()]).first().map(|found| found.class) {
            Some(Class::Touched) => "touched",
            Some(Class::Maybe) => "maybe",
            Some(Class::Pinned) => "pinned",
            None => "none",
        }
    }

    #[test]
    fn a_single_source() {
        let source = |more: Value| {
            let mut source = json!({"repoURL": REPO, "path": "apps/web", "targetRevision": "main"});
            for (key, value) in more.as_object().expect("an object") {
                source[key] = value.clone();
            }
            json!({ "source": source })
        };
        for (more, path, expected) in [
            (json!({}), "apps/web/deployment.yaml", "touched"),
            (json!({}), "apps/web/deep/x.yaml", "touched"),
            (json!({}), "apps/website/x.yaml", "maybe"),
            (json!({"path": ""}), "anything", "touched"),
            (json!({"path": "."}), "anything", "touched"),
            (json!({"path": "./apps/web/"}), "apps/web/x", "touched"),
            (json!({"repoURL": "git@git.example.com:org/home.git"}), "apps/web/x.yaml", "touched"),
            (json!({"repoURL": "https://mirror.example.com/home"}), "apps/web/x.yaml", "touched"),
            (json!({"repoURL": "https://git.example.com/org/other"}), "apps/web/x.yaml", "none"),
            (json!({"targetRevision": ""}), "apps/web/x.yaml", "touched"),
            (json!({"targetRevision": "develop"}), "apps/web/x.yaml", "none"),
            (json!({"targetRevision": "v1.0.0"}), "apps/web/x.yaml", "pinned"),
            (json!({"targetRevision": "v1.0.0"}), "other/x.yaml", "none"),
            (json!({"targetRevision": "a".repeat(40)}), "apps/web/x.yaml", "pinned"),
            (json!({"chart": "web"}), "apps/web/x.yaml", "none"),
            (
                json!({"helm": {"valueFiles": ["../env/prod.yaml"]}}),
                "apps/env/prod.yaml",
                "touched",
            ),
            (json!({"helm": {"valueFiles": ["/env/prod.yaml"]}}), "env/prod.yaml", "touched"),
            (json!({"helm": {"valueFiles": ["/env/prod.yaml"]}}), "env/dev.yaml", "maybe"),
            (
                json!({"helm": {"fileParameters": [{"path": "../key.pem"}]}}),
                "apps/key.pem",
                "touched",
            ),
        ] {
            assert_eq!(class(source(more.clone()), path), expected, "{more} {path}");
        }
    }

    #[test]
    fn plain_directories_render_only_manifests() {
        for (directory, path, expected) in [
            (json!({}), "apps/web/x.yaml", "touched"),
            (json!({}), "apps/web/deep/x.yaml", "none"),
            (json!({"recurse": true}), "apps/web/deep/x.yaml", "touched"),
            (json!({}), "apps/web/README.md", "none"),
            (json!({}), "apps/web/kustomization.yaml", "touched"),
            (json!({"include": "*.yml"}), "apps/web/x.yaml", "none"),
            (json!({"include": "{x,y}.yaml"}), "apps/web/y.yaml", "touched"),
            (json!({"exclude": "x*"}), "apps/web/x.yaml", "none"),
            (json!({"recurse": true, "exclude": "deep/*"}), "apps/web/deep/a/b.yaml", "none"),
            (json!({}), "elsewhere.yaml", "none"),
        ] {
            let source = json!({"repoURL": REPO, "path": "apps/web", "directory": directory});
            assert_eq!(class(json!({ "source": source }), path), expected, "{directory} {path}");
        }
        let detected = json!({"type": "Directory", "source": {"repoURL": REPO, "path": "apps/web"}});
        assert_eq!(class(detected.clone(), "apps/web/deep/x.yaml"), "none");
        assert_eq!(class(detected, "apps/web/x.yaml"), "touched");
    }

    #[test]
    fn the_paths_annotation_decides_alone() {
        for (annotation, path, expected) in [
            (".", "apps/web/x.yaml", "touched"),
            (".;/shared", "shared/base/x.yaml", "touched"),
            ("../common", "apps/common/x.yaml", "touched"),
            ("/env/*.yaml", "env/prod.yaml", "touched"),
            ("/env/*.yaml", "env/deep/prod.yaml", "none"),
            ("/env/prod.yaml", "apps/web/x.yaml", "none"),
            (" . ; ; /x ", "x", "touched"),
        ] {
            let spec = json!({"paths": annotation, "source": {"repoURL": REPO, "path": "apps/web"}});
            assert_eq!(class(spec, path), expected, "{annotation} {path}");
        }
    }

    #[test]
    fn several_sources_and_references() {
        let spec = json!({"sources": [
            {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.2.3",
             "helm": {"valueFiles": ["$values/env/web.yaml", "$other/x.yaml"]}},
            {"repoURL": REPO, "targetRevision": "main", "ref": "values"},
            {"repoURL": REPO, "targetRevision": "main", "path": "extra", "directory": {"recurse": true}},
        ]});
        assert_eq!(class(spec.clone(), "env/web.yaml"), "touched");
        assert_eq!(class(spec.clone(), "env/other.yaml"), "none");
        assert_eq!(class(spec.clone(), "x.yaml"), "none");
        assert_eq!(class(spec, "extra/deep/x.yaml"), "touched");
    }

    #[test]
    fn hydrated_applications_follow_the_dry_source() {
        let spec = json!({"sourceHydrator": {
            "drySource": {"repoURL": REPO, "targetRevision": "main", "path": "dry/web", "directory": {"recurse": true}},
            "syncSource": {"targetBranch": "env/prod", "path": "web"}}});
        assert_eq!(class(spec.clone(), "dry/web/x.yaml"), "touched");
        assert_eq!(class(spec, "web/x.yaml"), "none");
    }

    #[test]
    fn the_worst_known_class_of_all_sources_wins_and_the_answer_is_sorted() {
        let target = Target::new([REPO], "main", true);
        let mut first = app(json!({"source": {"repoURL": REPO, "path": "a"}}));
        first.metadata.name = "zeta".into();
        let second = app(json!({"source": {"repoURL": REPO, "path": "b"}}));
        let found = touched([&second, &first], &target, &["a/x".into()]);
        let lines: Vec<_> = found
            .iter()
            .map(|t| format!("{} {:?}: {}", t.app.name, t.class, t.because))
            .collect();
        assert_eq!(lines, ["zeta Touched: a/x", "web Maybe: it may read files outside its path"]);
    }
}
