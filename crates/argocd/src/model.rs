//! What we read of an Argo CD Application, and nothing else of it.
//!
//! An Application is 10 to 40 KB of JSON, most of which no verdict needs. Parsing it into these types is the slim view:
//! unknown fields are dropped, absent and `null` and empty values read as absent, so that a never-reconciled application
//! (whose status is empty) is an ordinary value and not an error. Field names and meanings: Argo CD
//! `pkg/apis/application/v1alpha1/types.go`.

mod operation;
mod spec;
mod status;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use operation::*;
pub use spec::*;
pub use status::*;

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

/// Whether text is a full commit id: 40 lower-case hex digits.
pub fn is_commit_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
