//! The simulator's memory: applications as stored objects, their resource versions, and who is told of changes.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{
    ArgocdOptions,
    http::resource_version,
    manifests::ResourceKey,
    model::{ApplicationSpec, Automated, Behaviour, Endpoint},
    openapi::{ApiSpec, Strictness},
};
use crate::git::serving::Ledger;

/// Messages that a slow reader of the stream may fall behind before some are dropped without a word, as in Argo CD.
const STREAM_BUFFER: usize = 1000;

/// Annotation by which a refresh is requested; the controller drops it when it is done.
pub(crate) const REFRESH: &str = "argocd.argoproj.io/refresh";

/// What a stream is told.
#[derive(Clone, Debug)]
pub(crate) enum StreamEvent {
    /// `ADDED`, `MODIFIED` or `DELETED`, and the application at that moment.
    Application(&'static str, Arc<Value>),
    /// The connection is cut.
    Drop,
    /// The body ends properly.
    End,
    /// An error chunk with this HTTP status, then the end.
    Error(u16),
}

/// Everything shared between the HTTP side and the controller.
pub(crate) struct World {
    pub options: ArgocdOptions,
    /// The published description of the API, where the environment names it.
    pub api: Option<ApiSpec>,
    pub ledger: Ledger<Endpoint>,
    pub events: broadcast::Sender<StreamEvent>,
    pub changed: watch::Sender<u64>,
    /// Cancelled when the simulator is dropped; ends every task.
    pub alive: CancellationToken,
    inner: Mutex<Inner>,
}

struct Inner {
    apps: BTreeMap<String, App>,
    /// What list and stream know; behind `apps` by the configured lag.
    informer: BTreeMap<String, Arc<Value>>,
    resource_version: u64,
    duplicate_events: bool,
}

/// One application: the stored object, the cluster behind it, and what the script says about it.
pub(crate) struct App {
    pub spec: ApplicationSpec,
    /// What the spec says about automation, while a behaviour has it switched off.
    pub automated_by_spec: Option<Automated>,
    /// The Kubernetes object, as the API shows it.
    pub object: Value,
    /// What runs in the cluster.
    pub live: BTreeMap<ResourceKey, [u8; 32]>,
    pub health: Health,
    /// Rises with every new plan for the health, so that an older plan stops.
    pub health_turn: u64,
    pub behaviour: Behaviour,
    pub behaviour_at: HashMap<String, Behaviour>,
    /// The last sync attempt: its revisions and, when it failed, why.
    pub attempted: Option<(Vec<String>, Option<String>)>,
    /// This many refresh requests are dropped without a comparison.
    pub lost_refreshes: usize,
    /// Rises with every request; a comparison drops the annotation only when it began after the newest one.
    pub refresh_requests: u64,
    pub failing_since: Option<Instant>,
    pub refresh_wake: Arc<Notify>,
    pub operation_wake: Arc<Notify>,
    /// Cancelled when the application is deleted.
    pub alive: CancellationToken,
}

/// Health of an application's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub status: &'static str,
    pub message: String,
    pub since: String,
}

impl Health {
    pub(crate) fn new(status: &'static str, message: &str) -> Health {
        Health {
            status,
            message: message.to_owned(),
            since: now(),
        }
    }

    pub(crate) fn document(&self) -> Value {
        let mut document = json!({"status": self.status, "lastTransitionTime": self.since});
        if !self.message.is_empty() {
            document["message"] = json!(self.message);
        }
        document
    }
}

impl App {
    pub(crate) fn behaviour_for(&self, revisions: &[String]) -> Behaviour {
        revisions
            .iter()
            .find_map(|revision| self.behaviour_at.get(revision))
            .copied()
            .unwrap_or(self.behaviour)
    }

    /// How the revision fares that was compared last.
    pub(crate) fn present_behaviour(&self) -> Behaviour {
        let sync = &self.object["status"]["sync"];
        let several = sync["revisions"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![sync["revision"].clone()]);
        let revisions: Vec<String> = several.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect();
        self.behaviour_for(&revisions)
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn in_operation(&self) -> bool {
        self.object.get("operation").is_some()
    }

    /// Requests a refresh the way the API and the webhook do it: by annotation.
    pub(crate) fn request_refresh(&mut self, kind: &str) {
        self.refresh_requests += 1;
        self.object["metadata"]["annotations"][REFRESH] = json!(kind);
        self.refresh_wake.notify_one();
    }

    /// Writes a new operation, and clears the state of the last one in the same write.
    pub(crate) fn set_operation(&mut self, operation: Value) {
        self.object["operation"] = operation;
        if let Some(status) = self.object["status"].as_object_mut() {
            status.remove("operationState");
        }
        self.operation_wake.notify_one();
    }

    pub(crate) fn set_health(&mut self, status: &'static str, message: &str) {
        if (self.health.status, self.health.message.as_str()) != (status, message) {
            self.health = Health::new(status, message);
        }
    }
}

impl World {
    pub(crate) fn new(options: ArgocdOptions) -> World {
        let api = ApiSpec::from_environment("argocd-swagger.json", Strictness::UnknownFields);
        World {
            options,
            api,
            ledger: Ledger::new(),
            events: broadcast::channel(STREAM_BUFFER).0,
            changed: watch::channel(0).0,
            alive: CancellationToken::new(),
            inner: Mutex::new(Inner {
                apps: BTreeMap::new(),
                informer: BTreeMap::new(),
                resource_version: 1000,
                duplicate_events: false,
            }),
        }
    }

    /// Runs a task until it ends or the simulator does.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        tokio::spawn(async move { alive.run_until_cancelled(task).await });
    }

    /// Adds an application whose object is complete but for its resource version.
    pub(crate) fn insert(self: &Arc<Self>, mut app: App) {
        let mut inner = self.lock();
        inner.stamp(&mut app);
        let object = Arc::new(app.object.clone());
        inner.apps.insert(app.spec.name.clone(), app);
        self.publish(&mut inner, "ADDED", object);
    }

    /// Removes an application at once; its last object goes to the streams as DELETED.
    pub(crate) fn remove(self: &Arc<Self>, name: &str) {
        let mut inner = self.lock();
        let Some(mut app) = inner.apps.remove(name) else { return };
        app.alive.cancel();
        inner.stamp(&mut app);
        self.publish(&mut inner, "DELETED", Arc::new(app.object));
    }

    /// Changes an application. A change of its object raises the resource version and is told to everybody; a change
    /// that leaves the object as it was is told to nobody, as with a Kubernetes patch.
    pub(crate) fn update<R>(self: &Arc<Self>, name: &str, change: impl FnOnce(&mut App) -> R) -> Option<R> {
        let mut inner = self.lock();
        let mut app = inner.apps.remove(name)?;
        let before = app.object.clone();
        let answer = change(&mut app);
        if app.object != before {
            inner.stamp(&mut app);
            let object = Arc::new(app.object.clone());
            inner.apps.insert(name.to_owned(), app);
            self.publish(&mut inner, "MODIFIED", object);
        } else {
            inner.apps.insert(name.to_owned(), app);
        }
        Some(answer)
    }

    pub(crate) fn read<R>(&self, name: &str, look: impl FnOnce(&App) -> R) -> Option<R> {
        self.lock().apps.get(name).map(look)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().apps.keys().cloned().collect()
    }

    /// The applications as list and stream know them, by name, with the newest resource version known.
    pub(crate) fn informed(&self) -> (Vec<Arc<Value>>, u64) {
        let inner = self.lock();
        (inner.informer.values().cloned().collect(), inner.resource_version)
    }

    /// As [`World::informed`], and a subscription that misses nothing after it.
    pub(crate) fn informed_and_following(&self) -> (Vec<Arc<Value>>, broadcast::Receiver<StreamEvent>) {
        let inner = self.lock();
        (inner.informer.values().cloned().collect(), self.events.subscribe())
    }

    pub(crate) fn set_duplicate_events(&self, duplicate: bool) {
        self.lock().duplicate_events = duplicate;
    }

    pub(crate) fn duplicate_events(&self) -> bool {
        self.lock().duplicate_events
    }

    fn publish(self: &Arc<Self>, inner: &mut Inner, kind: &'static str, object: Arc<Value>) {
        self.changed.send_modify(|count| *count += 1);
        if self.options.list_lag.is_zero() || kind == "ADDED" {
            return self.inform(inner, kind, object);
        }
        let world = Arc::clone(self);
        self.spawn(async move {
            tokio::time::sleep(world.options.list_lag).await;
            let mut inner = world.lock();
            world.inform(&mut inner, kind, object);
        });
    }

    fn inform(&self, inner: &mut Inner, kind: &'static str, object: Arc<Value>) {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        // Delayed news may overtake each other; the older one is none any more.
        if inner
            .informer
            .get(&name)
            .is_some_and(|known| resource_version(known) > resource_version(&object))
        {
            return;
        }
        match kind {
            "DELETED" => inner.informer.remove(&name),
            _ => inner.informer.insert(name, Arc::clone(&object)),
        };
        // Nobody listening is the usual case.
        let _ = self.events.send(StreamEvent::Application(kind, object));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Next resource version. Versions are shared by everything in a cluster, so they rise with gaps.
    fn stamp(&mut self, app: &mut App) {
        self.resource_version += 1 + (self.resource_version * 7 + 3) % 5;
        app.object["metadata"]["resourceVersion"] = json!(self.resource_version.to_string());
        let generation = app.object["metadata"]["generation"].as_u64().unwrap_or(0);
        app.object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// The present, in whole seconds, as Kubernetes writes it.
pub(crate) fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A fresh object id in the shape of a UUID.
pub(crate) fn fresh_uid(name: &str) -> String {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let hash = hex::encode(Sha256::digest(format!("{name} {nanos}")));
    format!(
        "{}-{}-4{}-a{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[13..16],
        &hash[17..20],
        &hash[20..32]
    )
}
