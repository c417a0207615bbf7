//! What people wrote: where an application's manifests come from, how it syncs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::time;

/// Identity of an application.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Object name.
    pub name: String,
    /// Object namespace.
    pub namespace: String,
    /// Changes when the object is deleted and made anew.
    pub uid: Option<String>,
    /// Grows with every write of the object.
    pub resource_version: Option<String>,
    /// Set while the object is being deleted.
    #[serde(deserialize_with = "time")]
    pub deletion_timestamp: Option<DateTime<Utc>>,
    /// Annotations; we read `argocd.argoproj.io/manifest-generate-paths` and `…/refresh`.
    pub annotations: BTreeMap<String, String>,
    /// Who generated it.
    pub owner_references: Vec<Owner>,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Kind, for example `ApplicationSet`.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
}

/// What the application tracks and how it syncs.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Project.
    pub project: String,
    /// The single source; unused when `sources` is not empty.
    pub source: Option<Source>,
    /// Several sources.
    pub sources: Vec<Source>,
    /// Dry source and hydrated branch.
    pub source_hydrator: Option<SourceHydrator>,
    /// Sync policy.
    pub sync_policy: Option<SyncPolicy>,
}

impl Spec {
    /// The sources in order: `sources`, else the one `source`.
    pub fn all_sources(&self) -> Vec<&Source> {
        listed(self.source.as_ref(), &self.sources)
    }
}

/// `sources` when there are any, else the one `source`.
pub(crate) fn listed<'a>(source: Option<&'a Source>, sources: &'a [Source]) -> Vec<&'a Source> {
    if sources.is_empty() {
        source.into_iter().collect()
    } else {
        sources.iter().collect()
    }
}

/// Where manifests come from.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    /// git, Helm or OCI repository.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// Directory within the repository; absent means its root.
    pub path: Option<String>,
    /// Branch, tag, commit, semver range; absent means `HEAD`.
    pub target_revision: Option<String>,
    /// Set for a chart of a Helm repository.
    pub chart: Option<String>,
    /// Name under which other sources refer to this one as `$name/…`.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Plain-directory options; present only on plain-directory sources.
    pub directory: Option<Directory>,
    /// Helm options.
    pub helm: Option<Helm>,
    /// Present on sources explicitly rendered by kustomize. The content is of no interest here.
    pub kustomize: Option<Value>,
    /// Present on sources rendered by a plugin. The content is of no interest here.
    pub plugin: Option<Value>,
}

/// Options of a plain-directory source.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Directory {
    /// Whether files in subdirectories count.
    pub recurse: bool,
    /// Only files that match this glob.
    pub include: Option<String>,
    /// No files that match this glob.
    pub exclude: Option<String>,
}

/// Helm options that name files.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Helm {
    /// Value files: relative to the path, `/x` from the repository root, `$ref/x` from a referenced source.
    pub value_files: Vec<String>,
    /// Parameters read from files, resolved alike.
    pub file_parameters: Vec<FileParameter>,
}

/// One Helm parameter whose value is a file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct FileParameter {
    /// The file.
    pub path: String,
}

/// Source hydrator: people commit to the dry source, Argo CD renders it to another branch and syncs that.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SourceHydrator {
    /// Where people commit.
    pub dry_source: Source,
    /// What is synced.
    pub sync_source: SyncSource,
}

/// The hydrated side of a source hydrator.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncSource {
    /// Another repository for the hydrated manifests; absent means the dry one.
    #[serde(rename = "repoURL")]
    pub repo_url: Option<String>,
    /// Branch with the hydrated manifests.
    pub target_branch: String,
    /// Directory of the hydrated manifests.
    pub path: Option<String>,
}

/// Sync policy.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct SyncPolicy {
    /// Present when automated sync is configured (it may still be disabled by `enabled: false`).
    pub automated: Option<Automated>,
}

/// Automated sync.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Automated {
    /// Whether resources that left git are deleted.
    pub prune: bool,
    /// Whether drift is undone.
    pub self_heal: bool,
    /// Whether a sync may delete everything.
    pub allow_empty: bool,
    /// `false` switches automated sync off; absent means on.
    pub enabled: Option<bool>,
}
