//! Sync windows: may Argo CD sync by itself now?
//!
//! A window that blocks an automated sync is only logged by the controller, so an application that ought to sync and does
//! not must be asked. The answer's `canSync` is for a manual sync; the automated one is derived here, by Argo CD's own rules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer of `GET …/syncwindows`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncWindows {
    /// Windows in force now.
    #[serde(deserialize_with = "null_is_empty")]
    pub active_windows: Vec<SyncWindow>,
    /// All windows that concern the application.
    #[serde(deserialize_with = "null_is_empty")]
    pub assigned_windows: Vec<SyncWindow>,
    /// Whether a person may sync now.
    pub can_sync: bool,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncWindow {
    /// `allow` or `deny`.
    pub kind: String,
    /// Cron expression of its start.
    pub schedule: String,
    /// Length, for example `1h`.
    pub duration: String,
    /// Whether a manual sync is allowed all the same.
    pub manual_sync: bool,
}

impl SyncWindows {
    /// The window that keeps Argo CD from syncing by itself now: an active denial, or an allowance that is not active while
    /// no other one is.
    pub fn blocks_automatic(&self) -> Option<&SyncWindow> {
        if let Some(denial) = self.active_windows.iter().find(|window| window.kind == "deny") {
            return Some(denial);
        }
        if self.active_windows.iter().any(|window| window.kind == "allow") {
            return None;
        }
        self.assigned_windows.iter().find(|window| window.kind == "allow")
    }
}

impl std::fmt::Display for SyncWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} window {} for {}", self.kind, self.schedule, self.duration)
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<SyncWindow>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(Vec::new()),
        value => serde_json::from_value(value).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn automated_syncs_follow_argo_cds_rules() {
        let allow = json!({"kind": "allow", "schedule": "0 22 * * *", "duration": "1h", "manualSync": true});
        let deny = json!({"kind": "deny", "schedule": "0 9 * * *", "duration": "8h"});
        for (active, assigned, blocked) in [
            (json!(null), json!(null), false),
            (json!([]), json!([deny]), false),
            (json!([deny]), json!([deny]), true),
            (json!([allow]), json!([allow]), false),
            (json!([allow, deny]), json!([allow, deny]), true),
            (json!([]), json!([allow]), true),
        ] {
            let answer = json!({"activeWindows": active, "assignedWindows": assigned, "canSync": true});
            let windows: SyncWindows = serde_json::from_value(answer.clone()).expect("an answer");
            assert_eq!(windows.blocks_automatic().is_some(), blocked, "{answer}");
        }
    }
}
