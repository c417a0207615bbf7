//! Operations: as asked for, under way, and what became of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Source, time};

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
