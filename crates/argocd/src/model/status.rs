//! What the controller found: comparison, health, resources, hydration.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{HistoryEntry, OperationState, Source, time};

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
