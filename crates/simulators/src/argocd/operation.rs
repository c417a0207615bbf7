//! Runs sync operations: applies manifests to the cluster, retries, fails, hangs, as the script says; then lets the
//! health follow.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    controller::{Diff, revision_fields, revisions_of, with},
    manifests::{self, Rendered, ResourceKey},
    model::{ApplicationSpec, Behaviour},
    world::{App, World, now},
};

/// Entries that `status.history` keeps (`revisionHistoryLimit`).
const HISTORY: usize = 10;

/// Runs the operations of one application, one after the other.
pub(crate) async fn operation_loop(world: Arc<World>, name: String) {
    let Some(wake) = world.read(&name, |app| Arc::clone(&app.operation_wake)) else {
        return;
    };
    loop {
        wake.notified().await;
        while let Some(operation) = world.read(&name, |app| app.object.get("operation").cloned()).flatten() {
            let Some(run) = Run::begin(&world, &name, operation) else { return };
            run.carry_out().await;
        }
        if world.read(&name, |_| ()).is_none() {
            return;
        }
    }
}

/// The operation that automated sync writes.
pub(crate) fn automatic(spec: &ApplicationSpec, revisions: &[String]) -> Value {
    let mut sync = revisions_of(spec, revisions);
    if spec.automated.is_some_and(|automated| automated.prune) {
        sync.insert("prune".into(), json!(true));
    }
    json!({"sync": sync, "initiatedBy": {"automated": true}, "retry": {"limit": 5}})
}

/// One entry of `syncResult.resources`.
pub(crate) fn result(key: &ResourceKey, status: &str, what: &str) -> Value {
    let message = match (status, key.group.as_str()) {
        ("Pruned", _) => "pruned".to_owned(),
        ("PruneSkipped", _) => "ignored (requires pruning)".to_owned(),
        ("SyncFailed", _) => what.to_owned(),
        (_, "") => format!("{}/{} {what}", key.kind.to_lowercase(), key.name),
        (_, group) => format!("{}.{group}/{} {what}", key.kind.to_lowercase(), key.name),
    };
    let phase = if status == "SyncFailed" { "Failed" } else { "Running" };
    with(
        key.document(),
        json!({"status": status, "message": message, "hookPhase": phase, "syncPhase": "Sync"}),
    )
}

/// Appends to `status.history`, which only whole, real, successful syncs enter.
pub(crate) fn add_history(app: &mut App, revisions: &[String], operation: &Value, started: &str) {
    let mut history = app.object["status"]["history"].as_array().cloned().unwrap_or_default();
    let id = history.last().and_then(|last| last["id"].as_u64()).map_or(0, |id| id + 1);
    let mut entry = revision_fields(&app.spec, revisions);
    entry.insert("id".into(), json!(id));
    entry.insert("deployStartedAt".into(), json!(started));
    entry.insert("deployedAt".into(), json!(now()));
    entry.insert("initiatedBy".into(), operation["initiatedBy"].clone());
    history.push(Value::Object(entry));
    let surplus = history.len().saturating_sub(HISTORY);
    app.object["status"]["history"] = json!(history.split_off(surplus));
}

/// One operation under way.
struct Run<'a> {
    world: &'a Arc<World>,
    name: &'a str,
    operation: Value,
    spec: ApplicationSpec,
    revisions: Vec<String>,
    started: String,
    retries: u64,
}

/// The operation was told to stop, or its application is gone.
struct Stopped;

/// How an operation ended.
struct Ending {
    phase: &'static str,
    message: String,
    sync_result: Option<Value>,
}

impl<'a> Run<'a> {
    /// Marks the operation Running. `None` when the application is gone.
    fn begin(world: &'a Arc<World>, name: &'a str, operation: Value) -> Option<Run<'a>> {
        let spec = world.read(name, |app| app.spec.clone())?;
        let revisions = revisions_of_operation(world, &spec, &operation);
        let started = now();
        let run = Run {
            world,
            name,
            operation,
            spec,
            revisions,
            started,
            retries: 0,
        };
        run.show("Running", "", None, false)?;
        Some(run)
    }

    async fn carry_out(mut self) {
        let ending = match self.steps().await {
            Ok(ending) => ending,
            Err(Stopped) => Ending {
                phase: "Failed",
                message: "Operation terminated".to_owned(),
                sync_result: Some(self.sync_result(Vec::new())),
            },
        };
        self.finish(ending);
    }

    fn behaviour(&self) -> Behaviour {
        // A rollback goes back to what is known to work.
        let rollback = self.operation["info"][0]["name"] == "rollback";
        let scripted = self
            .world
            .read(self.name, |app| app.behaviour_for(&self.revisions))
            .unwrap_or_default();
        if rollback { Behaviour::Succeed } else { scripted }
    }

    async fn steps(&mut self) -> Result<Ending, Stopped> {
        self.pause().await?;
        let rendered = manifests::render(&self.world.options.repositories, &self.spec, &self.revisions);
        let rendered = match rendered {
            Ok(rendered) if self.behaviour() != Behaviour::SyncErrors => rendered,
            Ok(_) => return Ok(early_error("one or more synchronization tasks are not valid")),
            Err(error) => return Ok(early_error(&error)),
        };
        if let Behaviour::Retry { failures } = self.behaviour() {
            for _ in 0..failures {
                self.fail_and_wait(&rendered).await?;
            }
        }
        while self.behaviour() == Behaviour::Hang {
            self.wait_for_health_message(&rendered);
            self.pause_until_woken().await?;
        }
        if self.behaviour() == Behaviour::SyncFails {
            let results = self.refused(&rendered);
            let message = format!("one or more objects failed to apply, reason: {REFUSAL}");
            return Ok(Ending {
                phase: "Failed",
                message,
                sync_result: Some(self.sync_result(results)),
            });
        }
        self.wait_for_health_message(&rendered);
        self.pause().await?;
        let results = self.apply(&rendered);
        Ok(Ending {
            phase: "Succeeded",
            message: "successfully synced (all tasks run)".to_owned(),
            sync_result: Some(self.sync_result(results)),
        })
    }

    /// Between two attempts the phase stays Running although `finishedAt` is set.
    async fn fail_and_wait(&mut self, rendered: &Rendered) -> Result<(), Stopped> {
        self.retries += 1;
        let message = format!(
            "one or more objects failed to apply, reason: {REFUSAL}. Retrying attempt #{} at 3:04PM.",
            self.retries
        );
        let result = self.sync_result(self.refused(rendered));
        self.show("Running", &message, Some(result), true);
        self.pause().await?;
        self.show("Running", "", None, false);
        self.pause().await
    }

    fn refused(&self, rendered: &Rendered) -> Vec<Value> {
        let changed = self
            .world
            .read(self.name, |app| Diff::of(app, rendered).changed)
            .unwrap_or_default();
        let refused = changed.first().or_else(|| rendered.resources.keys().next());
        let failed = refused.map(|key| result(key, "SyncFailed", REFUSAL));
        let rest = rendered.resources.keys().filter(|key| Some(*key) != refused);
        failed
            .into_iter()
            .chain(rest.map(|key| result(key, "Synced", "unchanged")))
            .collect()
    }

    fn wait_for_health_message(&self, rendered: &Rendered) {
        let Some(first) = rendered.resources.keys().next() else { return };
        let more = match rendered.resources.len() {
            1 => String::new(),
            count => format!(" and {} more resources", count - 1),
        };
        let message = format!("waiting for healthy state of {}{more}", first.words());
        self.show("Running", &message, None, false);
    }

    /// Changes the cluster, unless it is a dry run, and returns the results per resource.
    fn apply(&self, rendered: &Rendered) -> Vec<Value> {
        let sync = &self.operation["sync"];
        let behaviour = self.behaviour();
        let prune = sync["prune"] == json!(true) && behaviour != Behaviour::PruneSkipped;
        let dry_run = sync["dryRun"] == json!(true);
        let only = sync["resources"].as_array().cloned().unwrap_or_default();
        let chosen = |key: &ResourceKey| {
            let same = |one: &Value| one["kind"] == json!(key.kind) && one["name"] == json!(key.name);
            only.is_empty() || only.iter().any(same)
        };
        let applied = self.world.update(self.name, |app| {
            let diff = Diff::of(app, rendered);
            let mut results = Vec::new();
            for key in rendered.resources.keys().filter(|key| chosen(key)) {
                let what = match (diff.changed.contains(key), app.live.contains_key(key)) {
                    (true, true) => "configured",
                    (true, false) => "created",
                    (false, _) => "unchanged",
                };
                results.push(result(key, "Synced", what));
            }
            for key in diff.to_prune.iter().filter(|key| chosen(key)) {
                results.push(result(key, if prune { "Pruned" } else { "PruneSkipped" }, ""));
            }
            if !dry_run {
                let fresh = rendered.resources.iter().filter(|(key, _)| chosen(key));
                app.live.extend(fresh.map(|(key, digest)| (key.clone(), *digest)));
                if prune {
                    app.live.retain(|key, _| rendered.resources.contains_key(key) || !chosen(key));
                }
                if let (Behaviour::Drifts, Some(digest)) = (behaviour, app.live.values_mut().next()) {
                    *digest = [0xd1; 32];
                }
            }
            (results, !diff.changed.is_empty() && !dry_run)
        });
        let (results, changed) = applied.unwrap_or_default();
        if changed {
            follow_health(self.world, self.name, behaviour);
        }
        results
    }

    fn sync_result(&self, resources: Vec<Value>) -> Value {
        let mut fields = revision_fields(&self.spec, &self.revisions);
        if !resources.is_empty() {
            fields.insert("resources".into(), json!(resources));
        }
        Value::Object(fields)
    }

    /// Writes the operation's state. `None` when the application is gone.
    fn show(&self, phase: &str, message: &str, sync_result: Option<Value>, finished: bool) -> Option<()> {
        let mut state = json!({"operation": self.operation, "phase": phase, "startedAt": self.started});
        if !message.is_empty() {
            state["message"] = json!(message);
        }
        if self.retries > 0 {
            state["retryCount"] = json!(self.retries);
        }
        if finished {
            state["finishedAt"] = json!(now());
        }
        state["syncResult"] = sync_result.unwrap_or_else(|| self.sync_result(Vec::new()));
        self.world.update(self.name, |app| {
            // A wish to terminate must not be overwritten.
            if app.text("/status/operationState/phase") != "Terminating" {
                app.object["status"]["operationState"] = state;
            }
        })
    }

    fn finish(self, ending: Ending) {
        let succeeded = ending.phase == "Succeeded";
        let sync = &self.operation["sync"];
        let partial = sync["resources"].as_array().is_some_and(|resources| !resources.is_empty());
        let dry_run = sync["dryRun"] == json!(true);
        if succeeded && !partial && !dry_run {
            self.world
                .update(self.name, |app| add_history(app, &self.revisions, &self.operation, &self.started));
        }
        let mut state = json!({
            "operation": self.operation, "phase": ending.phase, "message": ending.message,
            "startedAt": self.started, "finishedAt": now(),
        });
        if let Some(result) = ending.sync_result {
            state["syncResult"] = result;
        }
        if self.retries > 0 {
            state["retryCount"] = json!(self.retries);
        }
        self.world.update(self.name, |app| {
            app.object["status"]["operationState"] = state;
            if let Some(object) = app.object.as_object_mut() {
                object.remove("operation");
            }
            if !dry_run {
                app.attempted = Some((self.revisions, (!succeeded).then_some(ending.message)));
            }
            // The controller compares again after every operation.
            app.refresh_wake.notify_one();
        });
    }

    /// One step of time; ends early when the operation is terminated.
    async fn pause(&self) -> Result<(), Stopped> {
        let until = tokio::time::Instant::now() + self.world.options.step;
        while tokio::time::timeout_at(until, self.woken()).await.is_ok() {
            self.check()?;
        }
        self.check()
    }

    async fn pause_until_woken(&self) -> Result<(), Stopped> {
        self.woken().await;
        self.check()
    }

    async fn woken(&self) {
        if let Some(wake) = self.world.read(self.name, |app| Arc::clone(&app.operation_wake)) {
            wake.notified().await;
        }
    }

    fn check(&self) -> Result<(), Stopped> {
        let phase = self
            .world
            .read(self.name, |app| app.text("/status/operationState/phase").to_owned());
        match phase.as_deref() {
            None | Some("Terminating") => Err(Stopped),
            Some(_) => Ok(()),
        }
    }
}

/// Why the cluster refuses a resource.
const REFUSAL: &str = "admission webhook \"policy.example.com\" denied the request: replicas above the limit";

fn early_error(message: &str) -> Ending {
    Ending {
        phase: "Error",
        message: message.to_owned(),
        sync_result: None,
    }
}

fn revisions_of_operation(world: &World, spec: &ApplicationSpec, operation: &Value) -> Vec<String> {
    let bindings = &world.options.repositories;
    let named = |index: usize| -> Option<&str> {
        match spec.multi_source() {
            true => operation["sync"]["revisions"][index].as_str(),
            false => operation["sync"]["revision"].as_str(),
        }
    };
    spec.sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let wanted = named(index).filter(|wanted| !wanted.is_empty()).unwrap_or(&source.target_revision);
            manifests::resolve_one(bindings, source, wanted).unwrap_or_else(|_| wanted.to_owned())
        })
        .collect()
}

/// Lets the health move on by itself after something was applied; a later apply takes over.
fn follow_health(world: &Arc<World>, name: &str, behaviour: Behaviour) {
    let stuck = "Deployment exceeded its progress deadline";
    let plan: Vec<(&'static str, &'static str)> = match behaviour {
        Behaviour::StaleHealthy => vec![("Healthy", ""), ("Progressing", ""), ("Healthy", "")],
        Behaviour::Degraded => vec![("Progressing", ""), ("Degraded", stuck)],
        Behaviour::Progressing => vec![("Progressing", "")],
        Behaviour::Suspended => vec![("Progressing", ""), ("Suspended", "Rollout is paused")],
        Behaviour::Succeed
        | Behaviour::NoDiff
        | Behaviour::SyncFails
        | Behaviour::SyncErrors
        | Behaviour::Retry { .. }
        | Behaviour::ComparisonError
        | Behaviour::PruneSkipped
        | Behaviour::Hang
        | Behaviour::NeverSyncs
        | Behaviour::BlockedByWindow
        | Behaviour::AutoSyncOff
        | Behaviour::Drifts => vec![("Progressing", ""), ("Healthy", "")],
    };
    let Some(turn) = world.update(name, |app| {
        app.health_turn += 1;
        let (status, message) = plan[0];
        app.set_health(status, message);
        app.health_turn
    }) else {
        return;
    };
    let (task_world, name) = (Arc::clone(world), name.to_owned());
    world.spawn(async move {
        for (status, message) in plan.into_iter().skip(1) {
            // Longer than the comparison that follows the operation, so that the first state is seen by somebody.
            tokio::time::sleep(task_world.options.step.max(Duration::from_millis(1)) * 2).await;
            task_world.update(&name, |app| {
                if app.health_turn == turn {
                    app.set_health(status, message);
                    // A change in the cluster: only the health is written, git is not looked at.
                    app.object["status"]["health"] = app.health.document();
                }
            });
        }
    });
}
