//! What a caller says to the simulator and hears from it: applications, behaviours, endpoints, rows.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Map, Value, json};

/// Which bare repository stands behind a `repoURL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoBinding {
    /// URL as Applications name it; `.git` and a trailing slash make no difference.
    pub url: String,
    /// Folder of the bare repository.
    pub path: PathBuf,
}

/// One source of an Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSpec {
    /// `repoURL`.
    pub repo_url: String,
    /// `path`; empty for a chart and for a source that is only referenced.
    pub path: String,
    /// `targetRevision`: branch, tag, commit, `HEAD`, or the version of a chart.
    pub target_revision: String,
    /// `chart`, for a Helm repository: its revision is the chart's version, never a commit.
    pub chart: Option<String>,
    /// `ref`, the name under which other sources' value files point here.
    pub reference: Option<String>,
    /// `directory.recurse`.
    pub recurse: bool,
    /// `helm.valueFiles`, relative to the path or `$ref/…`.
    pub value_files: Vec<String>,
}

impl SourceSpec {
    /// A folder of a git repository on branch `main`.
    pub fn folder(repo_url: &str, path: &str) -> SourceSpec {
        SourceSpec {
            repo_url: repo_url.to_owned(),
            path: path.to_owned(),
            target_revision: "main".to_owned(),
            ..SourceSpec::default()
        }
    }

    pub(crate) fn document(&self) -> Value {
        let mut source = Map::new();
        source.insert("repoURL".into(), json!(self.repo_url));
        source.insert("targetRevision".into(), json!(self.target_revision));
        if !self.path.is_empty() {
            source.insert("path".into(), json!(self.path));
        }
        if let Some(chart) = &self.chart {
            source.insert("chart".into(), json!(chart));
        }
        if let Some(reference) = &self.reference {
            source.insert("ref".into(), json!(reference));
        }
        if self.recurse {
            source.insert("directory".into(), json!({"recurse": true}));
        }
        if !self.value_files.is_empty() {
            source.insert("helm".into(), json!({"valueFiles": self.value_files}));
        }
        Value::Object(source)
    }
}

/// `syncPolicy.automated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Deletes resources that are no longer in git.
    pub prune: bool,
    /// Puts back what somebody changed in the cluster.
    pub self_heal: bool,
    /// Allows a sync that would delete everything.
    pub allow_empty: bool,
}

/// An Application to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// `metadata.name`, unique within the simulator.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `spec.project`.
    pub project: String,
    /// One source makes `spec.source`, several make `spec.sources`.
    pub sources: Vec<SourceSpec>,
    /// `spec.syncPolicy.automated`; `None` means that a person syncs.
    pub automated: Option<Automated>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

impl ApplicationSpec {
    /// Application of project `default` over one folder on `main`, synced automatically with pruning.
    pub fn new(name: &str, repo_url: &str, path: &str) -> ApplicationSpec {
        ApplicationSpec {
            name: name.to_owned(),
            namespace: "argocd".to_owned(),
            project: "default".to_owned(),
            sources: vec![SourceSpec::folder(repo_url, path)],
            automated: Some(Automated {
                prune: true,
                ..Automated::default()
            }),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Annotates which paths the application's manifests are made of, as operators do in monorepos.
    pub fn generate_paths(mut self, paths: &str) -> ApplicationSpec {
        self.annotations.insert(GENERATE_PATHS.to_owned(), paths.to_owned());
        self
    }

    /// The same application without automated sync.
    pub fn manual(self) -> ApplicationSpec {
        ApplicationSpec { automated: None, ..self }
    }

    pub(crate) fn multi_source(&self) -> bool {
        self.sources.len() > 1
    }

    pub(crate) fn document(&self) -> Value {
        let mut spec = json!({
            "project": self.project,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": self.name},
        });
        for (key, value) in self.source_fields() {
            spec[key] = value;
        }
        if let Some(automated) = self.automated {
            let mut policy = Map::new();
            for (key, set) in [
                ("prune", automated.prune),
                ("selfHeal", automated.self_heal),
                ("allowEmpty", automated.allow_empty),
            ] {
                if set {
                    policy.insert(key.into(), json!(true));
                }
            }
            spec["syncPolicy"] = json!({"automated": policy});
        }
        spec
    }

    /// `source` or `sources`, as they stand in the spec, in `comparedTo`, in operations and in the history.
    pub(crate) fn source_fields(&self) -> Map<String, Value> {
        let documents: Vec<Value> = self.sources.iter().map(SourceSpec::document).collect();
        let mut fields = Map::new();
        match <[Value; 1]>::try_from(documents) {
            Ok([only]) => fields.insert("source".into(), only),
            Err(many) => fields.insert("sources".into(), Value::Array(many)),
        };
        fields
    }
}

/// Annotation that limits which changes concern an application.
pub(crate) const GENERATE_PATHS: &str = "argocd.argoproj.io/manifest-generate-paths";

/// How the controller and the cluster treat an application's next revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Compared, synced, Progressing, Healthy.
    #[default]
    Succeed,
    /// As `Succeed`, but the health is stale at first: Healthy, then Progressing, then Healthy.
    StaleHealthy,
    /// The commit renders the same manifests: no operation runs, only `sync.revision` moves.
    NoDiff,
    /// Synced, then Degraded for good.
    Degraded,
    /// Synced, then Progressing for good.
    Progressing,
    /// Synced, then Suspended (a paused rollout).
    Suspended,
    /// The operation ends Failed: the cluster refuses a resource.
    SyncFails,
    /// The operation ends Error before it began: no `syncResult`.
    SyncErrors,
    /// The operation fails this many times, Running with `finishedAt` set in between, and then succeeds.
    Retry {
        /// Failed attempts before the one that succeeds.
        failures: u32,
    },
    /// The manifests cannot be rendered: sync Unknown, condition ComparisonError, and the branch's name as revision.
    ComparisonError,
    /// Removed files stay in the cluster: the operation succeeds with PruneSkipped, the application stays OutOfSync.
    PruneSkipped,
    /// The operation runs and never ends, until terminated or until the behaviour changes.
    Hang,
    /// OutOfSync with automated sync on, and yet no operation starts. A requested sync works.
    NeverSyncs,
    /// A sync window forbids every sync, automatic or manual; only `/syncwindows` says so.
    BlockedByWindow,
    /// Automated sync is switched off in the spec. A requested sync works.
    AutoSyncOff,
    /// The operation succeeds and yet one resource differs, as with a mutating webhook.
    Drifts,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `GET /api/version`
    Version,
    /// `GET /api/v1/session/userinfo`
    UserInfo,
    /// `GET /api/v1/account/can-i/…`
    CanI,
    /// `GET /api/v1/applications`
    List,
    /// `GET /api/v1/applications/{name}` without `refresh`
    Get,
    /// `GET /api/v1/applications/{name}?refresh=…`
    Refresh,
    /// `POST /api/v1/applications/{name}/sync`
    Sync,
    /// `DELETE /api/v1/applications/{name}/operation`
    Terminate,
    /// `POST /api/v1/applications/{name}/rollback`
    Rollback,
    /// `GET /api/v1/applications/{name}/syncwindows`
    SyncWindows,
    /// `GET /api/v1/applications/{name}/resource-tree`
    ResourceTree,
    /// `GET /api/v1/applications/{name}/managed-resources`
    ManagedResources,
    /// `GET /api/v1/applications/{name}/revisions/{revision}/metadata`
    RevisionMetadata,
    /// `GET /api/v1/stream/applications`
    Stream,
    /// `POST /api/webhook`
    Webhook,
    /// Anything else.
    Other,
}

/// One application as a list on a screen would show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRow {
    /// `metadata.name`
    pub name: String,
    /// `spec.project`
    pub project: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `status.sync.status`; empty before the first comparison.
    pub sync: String,
    /// `status.health.status`; empty before the first comparison.
    pub health: String,
    /// `status.sync.revision`, or the first of `revisions`.
    pub revision: String,
    /// `status.operationState.phase`; empty when nothing ever ran or an operation is about to start.
    pub phase: String,
    /// The most telling message: of the health, a condition, or the operation.
    pub message: String,
}

impl AppRow {
    pub(crate) fn of(application: &Value) -> AppRow {
        let text = |pointer: &str| application.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let first = |pointers: &[&str]| {
            pointers
                .iter()
                .map(|pointer| text(pointer))
                .find(|found| !found.is_empty())
                .unwrap_or_default()
        };
        AppRow {
            name: text("/metadata/name"),
            project: text("/spec/project"),
            namespace: text("/metadata/namespace"),
            sync: text("/status/sync/status"),
            health: text("/status/health/status"),
            revision: first(&["/status/sync/revision", "/status/sync/revisions/0"]),
            phase: text("/status/operationState/phase"),
            message: first(&[
                "/status/health/message",
                "/status/conditions/0/message",
                "/status/operationState/message",
            ]),
        }
    }
}
