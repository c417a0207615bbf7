//! The application controller: compares git with the cluster, and starts operations where sync is automatic.
//!
//! One loop per application compares (on request, on a timer, after an operation); [`super::operation`] runs what was
//! started. The order within one comparison is the real one: compare, start the operation, persist the status, drop the
//! refresh annotation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::{
    manifests::{self, Rendered, ResourceKey},
    model::{ApplicationSpec, Behaviour},
    world::{App, REFRESH, World, fresh_uid, now},
};

/// How long a comparison that nobody asked for hides an error of the repository.
const ERROR_GRACE: Duration = Duration::from_secs(180);

/// Compares one application for as long as it exists.
pub(crate) async fn refresh_loop(world: Arc<World>, name: String) {
    let Some(wake) = world.read(&name, |app| Arc::clone(&app.refresh_wake)) else {
        return;
    };
    loop {
        // A timeout is the timer's turn, anything else a request; the annotation tells them apart below.
        let _ = tokio::time::timeout(world.options.poll_interval, wake.notified()).await;
        let Some((requested, lost)) = world.update(&name, |app| {
            let requested = !app.text("/metadata/annotations/argocd.argoproj.io~1refresh").is_empty();
            let lost = requested && app.lost_refreshes > 0;
            if lost {
                app.lost_refreshes -= 1;
            }
            (requested, lost)
        }) else {
            return;
        };
        if lost {
            // The request met a comparison that was already under way: its annotation goes, and nothing is looked at.
            tokio::time::sleep(world.options.step / 2).await;
            world.update(&name, drop_annotation);
            continue;
        }
        let since = world.read(&name, |app| app.refresh_requests).unwrap_or_default();
        tokio::time::sleep(world.options.step / 2).await;
        reconcile(&world, &name, requested, since);
    }
}

/// The object of a new application that the controller has not seen yet.
pub(crate) fn new_app(world: &World, spec: ApplicationSpec) -> App {
    let object = json!({
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "uid": fresh_uid(&spec.name),
            "creationTimestamp": now(),
            "labels": spec.labels,
            "annotations": spec.annotations,
        },
        "spec": spec.document(),
        "status": {},
    });
    App {
        automated_by_spec: spec.automated,
        spec,
        object,
        live: Default::default(),
        health: super::world::Health::new("Missing", ""),
        health_turn: 0,
        behaviour: Behaviour::Succeed,
        behaviour_at: Default::default(),
        attempted: None,
        lost_refreshes: 0,
        refresh_requests: 0,
        failing_since: None,
        refresh_wake: Default::default(),
        operation_wake: Default::default(),
        alive: world.alive.child_token(),
    }
}

/// Puts the application where it would be long after a successful sync: for a cluster that was there before us.
pub(crate) fn settle(world: &World, app: &mut App) {
    let bindings = &world.options.repositories;
    let Ok(revisions) = manifests::resolve(bindings, &app.spec) else {
        return;
    };
    let Ok(rendered) = manifests::render(bindings, &app.spec, &revisions) else {
        return;
    };
    app.live = rendered.resources.clone();
    app.set_health("Healthy", "");
    let operation = super::operation::automatic(&app.spec, &revisions);
    let results: Vec<Value> = rendered
        .resources
        .keys()
        .map(|key| super::operation::result(key, "Synced", "unchanged"))
        .collect();
    let mut sync_result = revision_fields(&app.spec, &revisions);
    sync_result.insert("resources".into(), json!(results));
    app.object["status"]["operationState"] = json!({
        "operation": operation, "phase": "Succeeded", "message": "successfully synced (all tasks run)",
        "startedAt": now(), "finishedAt": now(), "syncResult": sync_result,
    });
    super::operation::add_history(app, &revisions, &operation, &now());
    app.attempted = Some((revisions.clone(), None));
    persist(app, &Comparison { revisions, rendered }, true);
}

struct Comparison {
    revisions: Vec<String>,
    rendered: Rendered,
}

fn compare(world: &World, spec: &ApplicationSpec) -> Result<Comparison, String> {
    let bindings = &world.options.repositories;
    let revisions = manifests::resolve(bindings, spec)?;
    let rendered = manifests::render(bindings, spec, &revisions)?;
    Ok(Comparison { revisions, rendered })
}

/// One comparison. `since` is the number of refresh requests at its beginning.
fn reconcile(world: &Arc<World>, name: &str, requested: bool, since: u64) {
    let Some(spec) = world.read(name, |app| app.spec.clone()) else {
        return;
    };
    let outcome = compare(world, &spec).and_then(|comparison| {
        let behaviour = world.read(name, |app| app.behaviour_for(&comparison.revisions));
        match behaviour {
            Some(Behaviour::ComparisonError) => {
                Err("Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = Manifest generation error (cached): error converting YAML to JSON".to_owned())
            }
            _ => Ok(comparison),
        }
    });
    match outcome {
        Ok(comparison) => {
            world.update(name, |app| {
                app.failing_since = None;
                if app.behaviour_for(&comparison.revisions) == Behaviour::NoDiff {
                    app.live = comparison.rendered.resources.clone();
                }
                auto_sync(app, &comparison);
            });
            world.update(name, |app| {
                persist(app, &comparison, true);
                finish_refresh(app, since);
            });
        }
        Err(error) => {
            world.update(name, |app| {
                let failing_since = *app.failing_since.get_or_insert_with(Instant::now);
                if requested || failing_since.elapsed() > ERROR_GRACE {
                    persist_error(app, &error);
                }
                finish_refresh(app, since);
            });
        }
    }
}

/// Drops the annotation in the same write as the status, unless a newer request came in the meantime.
fn finish_refresh(app: &mut App, since: u64) {
    match app.refresh_requests == since {
        true => drop_annotation(app),
        false => app.refresh_wake.notify_one(),
    }
}

fn drop_annotation(app: &mut App) {
    if let Some(annotations) = app.object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(REFRESH);
    }
}

/// Starts an operation where everything that Argo CD asks for is given.
fn auto_sync(app: &mut App, comparison: &Comparison) {
    let Some(automated) = app.spec.automated else { return };
    let behaviour = app.behaviour_for(&comparison.revisions);
    let diff = Diff::of(app, &comparison.rendered);
    let held = matches!(
        behaviour,
        Behaviour::NeverSyncs | Behaviour::BlockedByWindow | Behaviour::AutoSyncOff
    );
    let deleting = !app.text("/metadata/deletionTimestamp").is_empty();
    let only_unwanted_prunes = diff.changed.is_empty() && !automated.prune;
    let would_wipe = comparison.rendered.resources.is_empty() && !app.live.is_empty() && !automated.allow_empty;
    if diff.is_empty() || held || deleting || app.in_operation() || only_unwanted_prunes || would_wipe {
        return;
    }
    let mut operation = super::operation::automatic(&app.spec, &comparison.revisions);
    let attempted = app
        .attempted
        .as_ref()
        .is_some_and(|(revisions, _)| *revisions == comparison.revisions);
    if attempted {
        let failed = app.attempted.as_ref().is_some_and(|(_, error)| error.is_some());
        if !automated.self_heal || failed || behaviour == Behaviour::Drifts {
            return;
        }
        // Self-heal applies only what somebody changed, and never enters the history.
        let resources: Vec<Value> = diff
            .changed
            .iter()
            .map(|key| json!({"group": key.group, "kind": key.kind, "name": key.name, "namespace": key.namespace}))
            .collect();
        operation["sync"]["resources"] = json!(resources);
        operation["sync"]["autoHealAttemptsCount"] = json!(1);
    }
    app.set_operation(operation);
}

/// What differs between git and the cluster.
pub(crate) struct Diff {
    pub changed: Vec<ResourceKey>,
    pub to_prune: Vec<ResourceKey>,
}

impl Diff {
    pub(crate) fn of(app: &App, rendered: &Rendered) -> Diff {
        let changed = rendered.resources.iter().filter(|(key, digest)| app.live.get(key) != Some(digest));
        let to_prune = app.live.keys().filter(|key| !rendered.resources.contains_key(key));
        Diff {
            changed: changed.map(|(key, _)| key.clone()).collect(),
            to_prune: to_prune.cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.to_prune.is_empty()
    }
}

/// Writes the status that follows from a comparison. `looked_at_git` is false for a mere change in the cluster.
fn persist(app: &mut App, comparison: &Comparison, looked_at_git: bool) {
    let diff = Diff::of(app, &comparison.rendered);
    if app.live.is_empty() && !comparison.rendered.resources.is_empty() {
        app.set_health("Missing", "");
    }
    let mut sync = compared_to(&app.spec);
    sync.extend(revisions_of(&app.spec, &comparison.revisions));
    sync.insert("status".into(), json!(if diff.is_empty() { "Synced" } else { "OutOfSync" }));
    let mut resources: Vec<Value> = Vec::new();
    for key in comparison.rendered.resources.keys() {
        let state = if diff.changed.contains(key) { "OutOfSync" } else { "Synced" };
        resources.push(with(key.document(), json!({"status": state})));
    }
    for key in &diff.to_prune {
        resources.push(with(key.document(), json!({"status": "OutOfSync", "requiresPruning": true})));
    }
    let conditions = conditions(app, &diff, comparison);
    let health = app.health.document();
    let status = &mut app.object["status"];
    status["sync"] = Value::Object(sync);
    status["resources"] = json!(resources);
    status["health"] = health;
    status["sourceType"] = json!("Directory");
    status["summary"] = json!({"images": comparison.rendered.images});
    status["controllerNamespace"] = json!("argocd");
    if looked_at_git {
        status["reconciledAt"] = json!(now());
    }
    set_conditions(status, conditions);
}

fn conditions(app: &App, diff: &Diff, comparison: &Comparison) -> Vec<Value> {
    let revision = comparison.revisions.join(",");
    let message = match (&app.spec.automated, &app.attempted) {
        (Some(_), Some((revisions, Some(error)))) if *revisions == comparison.revisions && !diff.is_empty() => {
            format!("Failed last sync attempt to [{revision}]: {error}")
        }
        (Some(automated), _) if comparison.rendered.resources.is_empty() && !app.live.is_empty() && !automated.allow_empty => {
            format!("Skipping sync attempt to [{revision}]: auto-sync will wipe out all resources")
        }
        _ => return Vec::new(),
    };
    vec![json!({"type": "SyncError", "message": message, "lastTransitionTime": now()})]
}

/// The status after git could not be read or rendered: the revision is the unresolved name.
fn persist_error(app: &mut App, error: &str) {
    let names: Vec<String> = app.spec.sources.iter().map(|source| source.target_revision.clone()).collect();
    let mut sync = compared_to(&app.spec);
    sync.extend(revisions_of(&app.spec, &names));
    sync.insert("status".into(), json!("Unknown"));
    let health = app.health.document();
    let status = &mut app.object["status"];
    status["sync"] = Value::Object(sync);
    status["health"] = health;
    status["reconciledAt"] = json!(now());
    set_conditions(
        status,
        vec![json!({"type": "ComparisonError", "message": error, "lastTransitionTime": now()})],
    );
}

/// Conditions keep their time while their words stay the same; none at all means no field.
fn set_conditions(status: &mut Value, new: Vec<Value>) {
    let old = status["conditions"].as_array().cloned().unwrap_or_default();
    let same = |left: &Value, right: &Value| left["type"] == right["type"] && left["message"] == right["message"];
    let merged: Vec<Value> = new
        .into_iter()
        .map(|one| old.iter().find(|other| same(&one, other)).cloned().unwrap_or(one))
        .collect();
    if let Some(status) = status.as_object_mut() {
        match merged.is_empty() {
            true => status.remove("conditions"),
            false => status.insert("conditions".into(), json!(merged)),
        };
    }
}

fn compared_to(spec: &ApplicationSpec) -> Map<String, Value> {
    let mut compared = spec.source_fields();
    compared.insert("destination".into(), spec.document()["destination"].clone());
    Map::from_iter([("comparedTo".to_owned(), Value::Object(compared))])
}

/// `revision` for one source, `revisions` for several.
pub(crate) fn revisions_of(spec: &ApplicationSpec, revisions: &[String]) -> Map<String, Value> {
    match spec.multi_source() {
        true => Map::from_iter([("revisions".to_owned(), json!(revisions))]),
        false => Map::from_iter([("revision".to_owned(), json!(revisions.first()))]),
    }
}

/// Revision or revisions together with the source or sources that they belong to.
pub(crate) fn revision_fields(spec: &ApplicationSpec, revisions: &[String]) -> Map<String, Value> {
    let mut fields = revisions_of(spec, revisions);
    fields.extend(spec.source_fields());
    fields
}

pub(crate) fn with(mut document: Value, more: Value) -> Value {
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}
