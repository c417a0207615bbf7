//! The calls, one method each.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use reqwest::Response;

use super::{Call, Client, Error};
use crate::model::{AppRef, Application, Health, HealthStatus, View, label};
use crate::windows::SyncWindows;

/// The fields that a list can be narrowed to. Argo CD knows a fixed set and drops other names silently: sync results,
/// conditions, history and resource versions are not in it.
const LIST_FIELDS: &str = "metadata.resourceVersion,items.metadata.name,items.metadata.namespace,items.metadata.annotations,\
items.metadata.deletionTimestamp,items.spec.project,items.spec.source,items.spec.sources,items.spec.sourceHydrator,\
items.spec.syncPolicy,items.operation.sync,items.status.sync.status,items.status.sync.revision,items.status.health,\
items.status.operationState.phase,items.status.operationState.startedAt,items.status.operationState.finishedAt";

/// The stream can be narrowed to any field: all that a verdict needs, without the list of resources.
const STREAM_FIELDS: [&str; 18] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.annotations",
    "metadata.deletionTimestamp",
    "metadata.ownerReferences",
    "spec",
    "operation",
    "status.sync",
    "status.health",
    "status.operationState",
    "status.conditions",
    "status.history",
    "status.reconciledAt",
    "status.sourceType",
    "status.sourceTypes",
    "status.sourceHydrator",
];

/// A list of applications.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The applications, in list view.
    pub applications: Vec<Application>,
    /// How far the server's own view reached: what it showed is not older than any event up to this version.
    pub version: Option<u64>,
    /// Items that could not be read.
    pub unreadable: usize,
}

/// Answer to a refresh.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// Argo CD has compared; the application as it was then. It may still be from before the push: a refresh that arrives
    /// during a comparison is lost.
    Answered(Box<Application>),
    /// No answer in time; the refresh stays requested.
    Requested,
}

impl Client {
    /// All applications that the token may see, slim; only those of `projects` unless that is empty.
    ///
    /// # Errors
    /// See [`Error`]. An item that cannot be read is counted, not an error.
    pub async fn list(&self, projects: &[String]) -> Result<Listing, Error> {
        let mut url = self.address(["api", "v1", "applications"]);
        url.query_pairs_mut()
            .append_pair("fields", LIST_FIELDS)
            .extend_pairs(projects.iter().map(|p| ("projects", p)));
        let mut answer = self.json(self.get_call("the list of applications", url)).await?;
        let version = answer["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|version| version.parse().ok());
        let items = match answer["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let count = items.len();
        let applications: Vec<_> = items
            .into_iter()
            .filter_map(|item| Application::parse(item, View::List).ok())
            .collect();
        Ok(Listing {
            unreadable: count - applications.len(),
            applications,
            version,
        })
    }

    /// One application, straight from the cluster.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it does not exist in that project, [`Error::Forbidden`] when it may not be seen.
    pub async fn get(&self, app: &AppRef) -> Result<Application, Error> {
        let what = format!("application {}", app.key());
        let answer = self.json(self.get_call(&what, self.application(app, &[]))).await?;
        parse(&what, answer)
    }

    /// Asks Argo CD to compare now and waits for it for a short time. Needs no more than the right to see the application.
    ///
    /// # Errors
    /// See [`Error`]; a time-out is none.
    pub async fn refresh(&self, app: &AppRef) -> Result<Refreshed, Error> {
        let what = format!("refresh of {}", app.key());
        let mut url = self.application(app, &[]);
        url.query_pairs_mut().append_pair("refresh", "normal");
        let call = Call {
            limit: None,
            ..self.get_call(&what, url)
        };
        let answer = match tokio::time::timeout(self.refresh_timeout, self.json(call)).await {
            Ok(answer) => answer,
            Err(_) => return Ok(Refreshed::Requested),
        };
        match answer {
            Ok(answer) => Ok(Refreshed::Answered(Box::new(parse(&what, answer)?))),
            // The server or a proxy gave up waiting; the annotation that asks for the refresh is there.
            Err(Error::Unavailable { reason, .. }) if reason.contains("deadline exceeded") || reason.contains("HTTP 504") => {
                Ok(Refreshed::Requested)
            }
            Err(error) => Err(error),
        }
    }

    /// Stops the running operation. `false` when none was running.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn terminate(&self, app: &AppRef) -> Result<bool, Error> {
        let what = format!("termination of the operation of {}", app.key());
        let call = Call {
            method: Method::DELETE,
            ..self.get_call(&what, self.application(app, &["operation"]))
        };
        match self.send(call).await {
            Ok(_) => Ok(true),
            Err(Error::Invalid { reason, .. }) if reason.contains("No operation is in progress") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sync windows of an application.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sync_windows(&self, app: &AppRef) -> Result<SyncWindows, Error> {
        let what = format!("sync windows of {}", app.key());
        let answer = self.json(self.get_call(&what, self.application(app, &["syncwindows"]))).await?;
        serde_json::from_value(answer).map_err(|_| Error::Invalid {
            what,
            reason: "the answer has another shape".to_owned(),
        })
    }

    /// Whether the token may do `action` (`get`, `sync`, `override`) on applications `project/app`; `*` matches any.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn can_i(&self, action: &str, project: &str, app: &str) -> Result<bool, Error> {
        let path = ["api", "v1", "account", "can-i", "applications", action, project]
            .into_iter()
            .chain(app.split('/'));
        let answer = self.json(self.get_call("the token's rights", self.address(path))).await?;
        Ok(answer["value"] == "yes")
    }

    /// The name the token belongs to.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for a bad token: Argo CD answers 200 to it, without `loggedIn`.
    pub async fn userinfo(&self) -> Result<String, Error> {
        let url = self.address(["api", "v1", "session", "userinfo"]);
        let answer = self.json(self.get_call("the token's user", url)).await?;
        match answer["loggedIn"] {
            Value::Bool(true) => Ok(answer["username"].as_str().unwrap_or_default().to_owned()),
            _ => Err(Error::Unauthorized {
                message: "it is not logged in with it".to_owned(),
            }),
        }
    }

    /// Argo CD's version, for example `v3.5.1+abc`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self) -> Result<String, Error> {
        let answer = self.json(self.get_call("the version", self.address(["api", "version"]))).await?;
        let version = answer["Version"].as_str().map(str::to_owned);
        version.ok_or_else(|| Error::Invalid {
            what: "the version".to_owned(),
            reason: "this is not Argo CD".to_owned(),
        })
    }

    /// What is wrong with the resources of an application, for people: `Kind namespace/name: message`, pods last.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn troubles(&self, app: &AppRef) -> Result<Vec<String>, Error> {
        let what = format!("resource tree of {}", app.key());
        let answer = self.json(self.get_call(&what, self.application(app, &["resource-tree"]))).await?;
        let nodes: Vec<Node> = match answer.get("nodes") {
            Some(Value::Array(nodes)) => nodes.iter().filter_map(|node| Node::deserialize(node).ok()).collect(),
            _ => Vec::new(),
        };
        let mut sick: Vec<&Node> = nodes.iter().filter(|node| node.is_sick()).collect();
        sick.sort_by_key(|node| (node.kind == "Pod", &node.kind, &node.name));
        Ok(sick.into_iter().map(Node::sentence).collect())
    }

    /// Opens the event stream. The body is read by [`crate::watch`]; headers may come only with the first keep-alive.
    pub(crate) async fn stream(&self, projects: &[String]) -> Result<Response, Error> {
        let mut url = self.address(["api", "v1", "stream", "applications"]);
        let fields = STREAM_FIELDS.map(|field| format!("result.application.{field}")).join(",");
        let fields = format!("result.type,{fields}");
        url.query_pairs_mut()
            .append_pair("fields", &fields)
            .extend_pairs(projects.iter().map(|p| ("projects", p)));
        let call = Call {
            accept: "text/event-stream",
            limit: None,
            ..self.get_call("the event stream", url)
        };
        self.send(call).await
    }

    pub(super) fn get_call<'a>(&self, what: &'a str, url: Url) -> Call<'a> {
        Call {
            what,
            method: Method::GET,
            url,
            accept: "application/json",
            body: None,
            limit: Some(self.timeout),
        }
    }

    /// The address of an application or of something below it, with namespace and project.
    pub(super) fn application(&self, app: &AppRef, below: &[&str]) -> Url {
        let path = ["api", "v1", "applications", app.name.as_str()]
            .into_iter()
            .chain(below.iter().copied());
        let mut url = self.address(path);
        url.query_pairs_mut()
            .append_pair("appNamespace", &app.namespace)
            .append_pair("project", &app.project);
        url
    }
}

pub(super) fn parse(what: &str, answer: Value) -> Result<Application, Error> {
    Application::parse(answer, View::Full).map_err(|error| Error::Invalid {
        what: what.to_owned(),
        reason: error.to_string(),
    })
}

/// One node of a resource tree.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Node {
    kind: String,
    namespace: String,
    name: String,
    health: Option<HealthStatus>,
}

impl Node {
    fn is_sick(&self) -> bool {
        self.health
            .as_ref()
            .is_some_and(|health| matches!(health.status, Some(Health::Degraded | Health::Missing)))
    }

    fn sentence(&self) -> String {
        let message = self.health.as_ref().and_then(|health| health.message.clone()).unwrap_or_default();
        format!("{}: {message}", label(&self.kind, &self.namespace, &self.name))
    }
}
