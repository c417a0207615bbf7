//! What we read of an Argo CD Application, and nothing else of it.
//!
//! An Application is 10 to 40 KB of JSON, most of which no verdict needs. Parsing it into these types is the slim view:
//! unknown fields are dropped, absent and `null` and empty values read as absent, so that a never-reconciled application
//! (whose status is empty) is an ordinary value and not an error. Field names and meanings: Argo CD
//! `pkg/apis/application/v1alpha1/types.go`.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Names one application within one Argo CD instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppKey {
    /// Kubernetes namespace the Application object lives in (usually `argocd`).
    pub namespace: String,
    /// Name of the Application object.
    pub name: String,
}

impl AppKey {
    /// Builds a key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An application together with its project: what a request about it must name, because without the project Argo CD answers
/// "permission denied" for an application that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppRef {
    /// Namespace of the Application object.
    pub namespace: String,
    /// Name of the Application object.
    pub name: String,
    /// The Argo CD project it belongs to.
    pub project: String,
}

impl AppRef {
    /// The key without the project.
    pub fn key(&self) -> AppKey {
        AppKey::new(&self.namespace, &self.name)
    }
}

/// A document that is not an Application.
#[derive(Debug, thiserror::Error)]
#[error("not an Argo CD Application ({reason}); check that the address is Argo CD's API and that its version is supported")]
pub struct ModelError {
    /// What the parser met. Never contains field values.
    pub reason: String,
}

/// How much of an application a view carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum View {
    /// From a list with Argo CD's fixed field set: no sync result, conditions, history, reconcile time or resource version.
    #[default]
    List,
    /// From the event stream: all that a verdict needs except the list of resources.
    Stream,
    /// From a single `GET`: everything.
    Full,
}

/// One Argo CD Application, slim.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Application {
    /// Identity.
    pub metadata: Metadata,
    /// What it should track.
    pub spec: Spec,
    /// Present only while an operation is asked for or in flight.
    pub operation: Option<Operation>,
    /// What the controller last found; empty before the first reconcile.
    pub status: Status,
    /// How much of the object this value carries; set by whoever fetched it.
    #[serde(skip)]
    pub view: View,
}

impl Application {
    /// Parses the JSON of one Application.
    ///
    /// # Errors
    /// When it is not an object, has no name, or a field we read has another type than Argo CD gives it.
    pub fn parse(mut json: Value, view: View) -> Result<Self, ModelError> {
        prune(&mut json);
        let mut app: Self = serde_json::from_value(json).map_err(|error| ModelError { reason: shape_of(&error) })?;
        if app.metadata.name.is_empty() {
            return Err(ModelError {
                reason: "metadata.name is missing".to_owned(),
            });
        }
        app.view = view;
        Ok(app)
    }

    /// Its key.
    pub fn key(&self) -> AppKey {
        AppKey::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// Its key with the project.
    pub fn app_ref(&self) -> AppRef {
        AppRef {
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
            project: self.spec.project.clone(),
        }
    }

    /// Numeric resource version; `None` in a list view.
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.as_deref().and_then(|version| version.parse().ok())
    }

    /// The phase of the last or current operation.
    pub fn phase(&self) -> Option<Phase> {
        self.status.operation_state.as_ref().map(|state| state.phase)
    }

    /// Whether an operation is asked for or running. Judged by the phase, never by `finishedAt`: between two attempts of a
    /// retried operation Argo CD leaves the phase at `Running` with `finishedAt` set.
    pub fn operating(&self) -> bool {
        self.operation.is_some() || matches!(self.phase(), Some(Phase::Running | Phase::Terminating))
    }

    /// Whether the controller has looked at it since the last operation ended: health from before says nothing about what that applied.
    /// Argo CD's times are whole seconds.
    pub fn looked_since_operation(&self) -> bool {
        let finished = self.status.operation_state.as_ref().and_then(|state| state.finished_at);
        finished.is_none_or(|finished| self.status.reconciled_at.is_some_and(|looked| looked >= finished))
    }

    /// The automated sync policy, when it is on.
    pub fn automated(&self) -> Option<&Automated> {
        let automated = self.spec.sync_policy.as_ref()?.automated.as_ref()?;
        (automated.enabled != Some(false)).then_some(automated)
    }

    /// Name of the ApplicationSet that starts its syncs, step by step (`RollingSync`). Most ApplicationSets only generate applications; this
    /// one is known by the operation it started last, since the application itself does not say how its ApplicationSet goes about it.
    pub fn rolled_by(&self) -> Option<&str> {
        let run = self.status.operation_state.as_ref().map(|state| &state.operation);
        let rolls = |operation: &Operation| operation.initiated_by.username.as_deref() == Some("applicationset-controller");
        if !self.operation.iter().chain(run).any(rolls) {
            return None;
        }
        let owners = &self.metadata.owner_references;
        owners
            .iter()
            .find(|owner| owner.kind == "ApplicationSet")
            .map(|owner| owner.name.as_str())
    }
}

/// Removes `null` and empty strings from objects (not from arrays, whose positions mean something): Go writes a zero value
/// now as absence, now as `""`, now as `null`.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, child| !child.is_null() && child.as_str() != Some(""));
            map.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// serde's message without the offending value: a wrong document may hold secrets (helm parameters).
fn shape_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find(", expected"), text.starts_with("invalid type")) {
        (Some(at), true) => format!("a field has the wrong type{}", &text[at..]),
        _ => "a field has an unexpected shape".to_owned(),
    }
}

/// A time as Argo CD writes it (RFC 3339, whole seconds). A time that cannot be read is absent: it must not hide the rest.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Option::<Value>::deserialize(from)?;
    let parsed = value
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Ok(parsed.map(|time| time.with_timezone(&Utc)))
}

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

/// A sync operation as asked for.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Operation {
    /// What to sync.
    pub sync: SyncOperation,
    /// Who started it.
    #[serde(rename = "initiatedBy")]
    pub initiated_by: Initiator,
    /// Free name-value pairs; ours carry the proposal id.
    pub info: Vec<Info>,
}

/// Who started an operation.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Initiator {
    /// User, for a manual one.
    pub username: Option<String>,
    /// True for the controller's own.
    pub automated: bool,
}

/// A name-value pair of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// The sync part of an operation.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncOperation {
    /// Revision asked for; may be a name or absent.
    pub revision: Option<String>,
    /// Revisions of a multi-source application, by position.
    pub revisions: Vec<String>,
    /// Source overridden by this operation (a rollback).
    pub source: Option<Source>,
    /// Sources overridden by this operation.
    pub sources: Vec<Source>,
    /// Nothing is applied.
    pub dry_run: bool,
    /// Not empty for a partial sync.
    pub resources: Vec<Value>,
}

/// What the controller last found.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Last comparison.
    pub sync: SyncStatus,
    /// Health.
    pub health: HealthStatus,
    /// Last or current operation.
    pub operation_state: Option<OperationState>,
    /// Successful full syncs, oldest first, trimmed.
    pub history: Vec<HistoryEntry>,
    /// Errors and warnings.
    pub conditions: Vec<Condition>,
    /// Resources; `None` when this view does not carry them.
    pub resources: Option<Vec<Resource>>,
    /// When the last full comparison began.
    #[serde(deserialize_with = "time")]
    pub reconciled_at: Option<DateTime<Utc>>,
    /// `Directory`, `Kustomize`, `Helm` or `Plugin`.
    pub source_type: Option<String>,
    /// The same by source position.
    pub source_types: Vec<String>,
    /// Hydration.
    pub source_hydrator: HydratorStatus,
}

/// Result of the last comparison.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncStatus {
    /// Absent before the first comparison.
    pub status: Option<SyncCode>,
    /// The revision last **compared with**, not the deployed one. May be an unresolved name after a failure.
    pub revision: Option<String>,
    /// The same by source position.
    pub revisions: Vec<String>,
    /// The sources that were compared; the spec may have changed since.
    pub compared_to: ComparedTo,
}

/// Sources of a comparison.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ComparedTo {
    /// Single source.
    pub source: Option<Source>,
    /// Several sources.
    pub sources: Vec<Source>,
}

/// Sync status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncCode {
    /// Live equals git.
    Synced,
    /// Live differs from git.
    OutOfSync,
    /// The comparison failed (or a word we do not know).
    #[serde(other)]
    Unknown,
}

/// Health of an application.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthStatus {
    /// Absent before the first reconcile.
    pub status: Option<Health>,
    /// Reason (newer versions only).
    pub message: Option<String>,
    /// When the status last changed.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<DateTime<Utc>>,
}

/// Health code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Running as asked.
    Healthy,
    /// Paused on purpose.
    Suspended,
    /// On its way.
    Progressing,
    /// Nothing of it is live.
    Missing,
    /// Broken.
    Degraded,
    /// Health could not be told (or a word we do not know).
    #[serde(other)]
    Unknown,
}

/// Phase of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Phase {
    /// In flight, retries included.
    Running,
    /// Being stopped.
    Terminating,
    /// Completed well.
    Succeeded,
    /// Completed badly: the apply failed.
    Failed,
    /// Completed badly: it never came to the apply.
    Error,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The last or current operation.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OperationState {
    /// Copy of the operation.
    pub operation: Operation,
    /// Phase; complete only when `Succeeded`, `Failed` or `Error`.
    pub phase: Phase,
    /// What it waits for, or why it failed.
    pub message: Option<String>,
    /// Start.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<DateTime<Utc>>,
    /// End; also set between two attempts of a running one.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Attempts after the first.
    pub retry_count: u32,
    /// What was applied; absent when it failed early.
    pub sync_result: Option<SyncResult>,
}

/// What an operation applied.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct SyncResult {
    /// Applied revision.
    pub revision: Option<String>,
    /// Applied revisions by source position.
    pub revisions: Vec<String>,
    /// Applied source.
    pub source: Option<Source>,
    /// Applied sources.
    pub sources: Vec<Source>,
    /// Result by resource.
    pub resources: Vec<ResourceResult>,
}

/// Result of one resource in a sync.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceResult {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `Synced`, `SyncFailed`, `Pruned` or `PruneSkipped`.
    pub status: String,
    /// Why.
    pub message: String,
    /// Phase of a hook: `Failed` or `Error` when it went wrong.
    pub hook_phase: String,
    /// `PreSync`, `Sync`, `PostSync`… for hooks.
    pub hook_type: String,
}

/// One successful sync.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Growing number.
    pub id: i64,
    /// Deployed revision.
    pub revision: Option<String>,
    /// Deployed revisions by source position.
    pub revisions: Vec<String>,
    /// Deployed source.
    pub source: Option<Source>,
    /// Deployed sources.
    pub sources: Vec<Source>,
    /// When it was deployed.
    #[serde(deserialize_with = "time")]
    pub deployed_at: Option<DateTime<Utc>>,
}

/// An error or warning of the controller.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// `ComparisonError`, `InvalidSpecError`, `SyncError`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Text.
    pub message: String,
}

/// One resource of an application.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Sync status; absent for hooks.
    pub status: Option<SyncCode>,
    /// Health, when known.
    pub health: Option<HealthStatus>,
    /// Live but no longer in git.
    pub requires_pruning: bool,
    /// A hook is never compared.
    pub hook: bool,
}

impl Resource {
    /// `Kind namespace/name`, as people read it.
    pub fn label(&self) -> String {
        label(&self.kind, &self.namespace, &self.name)
    }
}

/// `Kind namespace/name`, without the namespace when there is none.
pub(crate) fn label(kind: &str, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

/// Hydration status.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HydratorStatus {
    /// The hydration that runs or ran last.
    pub current_operation: Option<Hydration>,
    /// The last one that succeeded.
    pub last_successful_operation: Option<Hydration>,
}

/// One hydration.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Hydration {
    /// `Hydrating`, `Hydrated` or `Failed`.
    pub phase: String,
    /// Commit people made.
    #[serde(rename = "drySHA")]
    pub dry_sha: Option<String>,
    /// Commit Argo CD made of it.
    #[serde(rename = "hydratedSHA")]
    pub hydrated_sha: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
}

/// Whether text is a full commit id: 40 lower-case hex digits.
pub fn is_commit_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Any JSON, a few levels deep, over the words that Applications use.
    fn any_json() -> impl Strategy<Value = Value> {
        let words = &["", "Synced", "Running", "main", "argocd", "2026-01-01T00:00:00Z", "2026-13-01"][..];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::sample::select(words).prop_map(Value::from),
        ];
        let keys = &[
            "metadata",
            "name",
            "spec",
            "source",
            "sources",
            "status",
            "sync",
            "status",
            "revision",
            "revisions",
            "health",
            "history",
            "operationState",
            "phase",
            "syncResult",
            "resources",
            "conditions",
            "type",
            "startedAt",
            "operation",
            "repoURL",
        ][..];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(prop::sample::select(keys), inner, 0..6)
                    .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        /// Wrong types anywhere are an error or an application, never a panic, and an error quotes nothing.
        #[test]
        fn no_json_is_too_strange(spec in any_json(), status in any_json(), whole in any_json()) {
            let _ = Application::parse(whole, View::Full);
            let document = json!({"metadata": {"name": "canary"}, "spec": spec, "status": status});
            if let Err(error) = Application::parse(document, View::Full) {
                prop_assert!(!error.to_string().contains("canary"));
            }
        }
    }

    #[test]
    fn absent_null_and_empty_read_alike() {
        let parse = |status: Value| Application::parse(json!({"metadata": {"name": "web"}, "status": status}), View::Full);
        let nothing = parse(Value::Null).expect("an application");
        for status in [
            json!({}),
            json!({"sync": null}),
            json!({"sync": {"status": "", "revision": ""}, "history": null, "reconciledAt": "soon"}),
        ] {
            assert_eq!(parse(status).expect("an application"), nothing);
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_quoted() {
        let document = json!({"metadata": {"name": "web"}, "spec": {"source": "token=canary"}});
        let error = Application::parse(document, View::Full)
            .expect_err("a source is an object")
            .to_string();
        assert!(error.contains("wrong type") && !error.contains("canary"), "{error}");
        assert!(Application::parse(json!({"metadata": {}}), View::Full).is_err());
    }

    #[test]
    fn only_full_lower_case_hex_is_a_commit() {
        let full = "0123456789abcdef0123456789abcdef01234567";
        assert!(is_commit_id(full));
        for text in ["", "main", &full[1..], &full.to_uppercase(), &format!("{full}0")] {
            assert!(!is_commit_id(text), "{text}");
        }
    }
}
