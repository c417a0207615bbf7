//! Reads what git wants: resolves revisions and turns the files under a source into comparable resources.
//!
//! Far simpler than the real repo-server (no Helm, no Kustomize), but it reads the real repository, looks only below
//! `source.path`, and ignores what would not change a manifest (comments, blank lines).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use git2::{ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::model::{ApplicationSpec, RepoBinding, SourceSpec};

/// What names a resource in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ResourceKey {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl ResourceKey {
    /// The fields that name a resource, as they stand in every list of resources.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({"version": self.version, "kind": self.kind, "name": self.name});
        if !self.group.is_empty() {
            document["group"] = json!(self.group);
        }
        if !self.namespace.is_empty() {
            document["namespace"] = json!(self.namespace);
        }
        document
    }

    /// `apps/Deployment/web`, as the controller's messages have it.
    pub(crate) fn words(&self) -> String {
        match self.group.as_str() {
            "" => format!("/{}/{}", self.kind, self.name),
            group => format!("{group}/{}/{}", self.kind, self.name),
        }
    }
}

/// The resources that a set of revisions renders to, each with a digest of its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub resources: BTreeMap<ResourceKey, [u8; 32]>,
    pub images: BTreeSet<String>,
}

/// Full hex commit ids (chart versions for charts) of the application's sources, as git has them now.
pub(crate) fn resolve(bindings: &[RepoBinding], spec: &ApplicationSpec) -> Result<Vec<String>, String> {
    spec.sources
        .iter()
        .map(|source| resolve_one(bindings, source, &source.target_revision))
        .collect()
}

/// As [`resolve`] for one source and any revision.
pub(crate) fn resolve_one(bindings: &[RepoBinding], source: &SourceSpec, revision: &str) -> Result<String, String> {
    if source.chart.is_some() {
        return Ok(revision.to_owned());
    }
    let repository = open(bindings, &source.repo_url)?;
    commit_of(&repository, revision).map(|commit| commit.to_string())
}

/// Renders every source at its revision.
pub(crate) fn render(bindings: &[RepoBinding], spec: &ApplicationSpec, revisions: &[String]) -> Result<Rendered, String> {
    let mut rendered = Rendered::default();
    for (index, (source, revision)) in spec.sources.iter().zip(revisions).enumerate() {
        let outcome = match &source.chart {
            Some(chart) => render_chart(bindings, spec, revisions, source, chart, &mut rendered),
            None if source.path.is_empty() && source.reference.is_some() => Ok(()),
            None => render_folder(bindings, spec, source, revision, &mut rendered),
        };
        outcome.map_err(|error| {
            let number = index + 1;
            let count = spec.sources.len();
            format!("Failed to load target state: failed to generate manifest for source {number} of {count}: rpc error: code = Unknown desc = {error}")
        })?;
    }
    Ok(rendered)
}

/// The repository behind a `repoURL`, whichever way its `.git` and capitals are written.
pub(crate) fn binding<'a>(bindings: &'a [RepoBinding], url: &str) -> Option<&'a RepoBinding> {
    bindings.iter().find(|binding| same_url(&binding.url, url))
}

fn same_url(left: &str, right: &str) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(".git").to_lowercase();
    plain(left) == plain(right)
}

fn open(bindings: &[RepoBinding], url: &str) -> Result<Repository, String> {
    let binding = binding(bindings, url)
        .ok_or_else(|| format!("rpc error: code = Unknown desc = failed to list refs: repository not found: {url}"))?;
    Repository::open_bare(&binding.path)
        .map_err(|_| format!("rpc error: code = Unknown desc = failed to list refs: repository not found: {url}"))
}

fn commit_of(repository: &Repository, revision: &str) -> Result<Oid, String> {
    let unknown = || format!("rpc error: code = Unknown desc = unable to resolve '{revision}' to a commit SHA");
    if revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let id = Oid::from_str(revision).map_err(|_| unknown())?;
        return repository.find_commit(id).map(|commit| commit.id()).map_err(|_| unknown());
    }
    let candidates = match revision {
        "" | "HEAD" => vec!["HEAD".to_owned()],
        name if name.starts_with("refs/") => vec![name.to_owned()],
        name => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
    };
    candidates
        .iter()
        .find_map(|name| repository.find_reference(name).and_then(|found| found.peel_to_commit()).ok())
        .map(|commit| commit.id())
        .ok_or_else(unknown)
}

/// Every file below the source's folder that counts, with its path relative to it.
fn files(repository: &Repository, source: &SourceSpec, revision: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let text = |error: git2::Error| error.message().to_owned();
    let commit = repository.find_commit(commit_of(repository, revision)?).map_err(text)?;
    let root = commit.tree().map_err(text)?;
    let folder = match source.path.trim_matches('/') {
        "" | "." => root,
        path => root
            .get_path(Path::new(path))
            .and_then(|entry| repository.find_tree(entry.id()))
            .map_err(|_| format!("{path}: app path does not exist"))?,
    };
    let tool = ["kustomization.yaml", "Chart.yaml"]
        .iter()
        .any(|name| folder.get_name(name).is_some());
    let deep = source.recurse || tool;
    let mut files = Vec::new();
    folder
        .walk(TreeWalkMode::PreOrder, |parent, entry| {
            let Ok(name) = entry.name() else { return TreeWalkResult::Skip };
            match entry.kind() {
                Some(ObjectType::Tree) if !deep => return TreeWalkResult::Skip,
                Some(ObjectType::Blob) => {
                    if let Ok(blob) = repository.find_blob(entry.id()) {
                        files.push((format!("{parent}{name}"), blob.content().to_vec()));
                    }
                }
                _ => {}
            }
            TreeWalkResult::Ok
        })
        .map_err(text)?;
    Ok(files)
}

fn render_folder(
    bindings: &[RepoBinding],
    spec: &ApplicationSpec,
    source: &SourceSpec,
    revision: &str,
    rendered: &mut Rendered,
) -> Result<(), String> {
    let repository = open(bindings, &source.repo_url)?;
    for (path, contents) in files(&repository, source, revision)? {
        let manifest = [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending));
        if !manifest {
            continue;
        }
        let contents = String::from_utf8_lossy(&contents).into_owned();
        for document in contents.split("\n---") {
            add_document(spec, &path, document, rendered);
        }
    }
    Ok(())
}

fn add_document(spec: &ApplicationSpec, path: &str, document: &str, rendered: &mut Rendered) {
    let lines: Vec<&str> = document
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .collect();
    let lines = lines.strip_prefix(&["---"][..]).unwrap_or(&lines);
    if lines.is_empty() {
        return;
    }
    rendered.images.extend(lines.iter().filter_map(|line| image(line)));
    let key = key_of(spec, path, lines);
    let mut hasher = Sha256::new();
    // Files that a tool would merge into one resource land on one key: their digests are chained.
    if let Some(before) = rendered.resources.get(&key) {
        hasher.update(before);
    }
    for line in lines {
        hasher.update(line.trim_end().as_bytes());
        hasher.update(b"\n");
    }
    rendered.resources.insert(key, hasher.finalize().into());
}

fn image(line: &str) -> Option<String> {
    let value = line.trim_start().trim_start_matches("- ").strip_prefix("image:")?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// Identity from the document's own words; a file that states no kind counts for the application's Deployment.
fn key_of(spec: &ApplicationSpec, path: &str, lines: &[&str]) -> ResourceKey {
    let top = |field: &str| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .map(unquoted)
    };
    let metadata = |field: &str| {
        let start = lines.iter().position(|line| line.trim_end() == "metadata:")?;
        let block = lines[start + 1..].iter().take_while(|line| line.starts_with(' '));
        block
            .clone()
            .find_map(|line| line.strip_prefix("  ")?.strip_prefix(field)?.strip_prefix(':'))
            .map(unquoted)
    };
    let tool = ["kustomization.yaml", "Chart.yaml"].iter().any(|name| path.ends_with(name));
    let Some(kind) = top("kind").filter(|_| !tool) else {
        return ResourceKey {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: spec.name.clone(),
            name: spec.name.clone(),
        };
    };
    let api_version = top("apiVersion").unwrap_or_else(|| "v1".to_owned());
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let stem = Path::new(path)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let cluster_wide = matches!(
        kind.as_str(),
        "Namespace" | "ClusterRole" | "ClusterRoleBinding" | "CustomResourceDefinition"
    );
    let namespace = match cluster_wide {
        true => String::new(),
        false => metadata("namespace").unwrap_or_else(|| spec.name.clone()),
    };
    ResourceKey {
        group: group.to_owned(),
        version: version.to_owned(),
        kind,
        namespace,
        name: metadata("name").unwrap_or(stem),
    }
}

fn unquoted(value: &str) -> String {
    value
        .split(" #")
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches(['"', '\''])
        .to_owned()
}

/// A chart is one Deployment whose contents are its version and the value files that it names in git sources.
fn render_chart(
    bindings: &[RepoBinding],
    spec: &ApplicationSpec,
    revisions: &[String],
    source: &SourceSpec,
    chart: &str,
    rendered: &mut Rendered,
) -> Result<(), String> {
    let mut hasher = Sha256::new();
    hasher.update(source.target_revision.as_bytes());
    for file in &source.value_files {
        let Some((name, path)) = file.strip_prefix('$').and_then(|file| file.split_once('/')) else {
            continue;
        };
        let referenced = spec
            .sources
            .iter()
            .zip(revisions)
            .find(|(other, _)| other.reference.as_deref() == Some(name));
        let (other, revision) = referenced.ok_or_else(|| format!("source referenced '{name}' does not exist"))?;
        let repository = open(bindings, &other.repo_url)?;
        let blob = repository
            .find_commit(commit_of(&repository, revision)?)
            .and_then(|commit| commit.tree())
            .and_then(|tree| tree.get_path(Path::new(path)))
            .and_then(|entry| repository.find_blob(entry.id()))
            .map_err(|_| format!("open {path}: no such file or directory"))?;
        hasher.update(blob.content());
    }
    let key = ResourceKey {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: spec.name.clone(),
        name: chart.to_owned(),
    };
    rendered.resources.insert(key, hasher.finalize().into());
    Ok(())
}
