//! The unary calls: what each one answers, and when it refuses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    fields::Fields,
    http::{Query, Refusal, resource_version},
    manifests,
    model::{ApplicationSpec, Behaviour},
    world::{World, now},
};

/// Whom the simulator's token belongs to: a role of the project, as an operator would set it up.
pub(crate) const SUBJECT: &str = "proj:default:countersign";

pub(crate) fn version(authenticated: bool) -> Value {
    match authenticated {
        false => json!({"Version": "v3.6.0+simulator"}),
        true => json!({
            "Version": "v3.6.0+simulator", "BuildDate": "2026-08-22T00:00:00Z", "GitTreeState": "clean",
            "GoVersion": "go1.25.0", "Compiler": "gc", "Platform": "linux/amd64",
        }),
    }
}

/// Always 200; only `loggedIn` tells a good token from a bad one.
pub(crate) fn user_info(authenticated: bool) -> Value {
    match authenticated {
        false => json!({}),
        true => json!({"loggedIn": true, "username": SUBJECT, "iss": "argocd"}),
    }
}

pub(crate) fn can_i(world: &World, names: &[String]) -> Value {
    let (action, object) = (names.get(1).map_or("", String::as_str), names.get(2).map_or("", String::as_str));
    let rights = &world.options.rights;
    let applications = names.first().is_some_and(|resource| resource == "applications");
    let allowed = match action {
        "get" => true,
        "sync" => rights.sync,
        _ => false,
    };
    let yes = applications && allowed && (object == "*" || rights.sees(object));
    json!({"value": if yes { "yes" } else { "no" }})
}

/// By name; `limit` and the like are ignored, and no resource carries its health.
pub(crate) fn list(world: &World, query: &Query) -> Value {
    let (applications, newest) = world.informed();
    let fields = Fields::parse(query.get("fields"));
    let repo = query.get("repo");
    let items: Vec<Value> = applications
        .iter()
        .filter(|application| matches(world, query, application))
        .filter(|application| repo.is_empty() || first_repo(application) == repo)
        .map(|application| match &fields {
            Some(fields) => fields.list_item(application),
            None => (**application).clone(),
        })
        .collect();
    json!({"metadata": {"resourceVersion": newest.to_string()}, "items": items})
}

/// The filters that list and stream share.
pub(crate) fn matches(world: &World, query: &Query, application: &Value) -> bool {
    let project = application["spec"]["project"].as_str().unwrap_or_default();
    let (projects, namespace, name) = (query.projects(), query.get("appNamespace"), query.get("name"));
    world.options.rights.sees(project)
        && (projects.is_empty() || projects.contains(&project))
        && (namespace.is_empty() || application["metadata"]["namespace"] == json!(namespace))
        && (name.is_empty() || application["metadata"]["name"] == json!(name))
        && selected(query.get("selector"), &application["metadata"]["labels"])
}

fn selected(selector: &str, labels: &Value) -> bool {
    selector.split(',').map(str::trim).filter(|term| !term.is_empty()).all(|term| {
        let label = |key: &str| labels[key.trim()].as_str().map(str::to_owned);
        match (term.split_once("!="), term.split_once('=')) {
            (Some((key, value)), _) => label(key).as_deref() != Some(value.trim()),
            (None, Some((key, value))) => label(key.trim_end_matches('=')).as_deref() == Some(value.trim_start_matches('=').trim()),
            (None, None) => label(term).is_some(),
        }
    })
}

fn first_repo(application: &Value) -> &str {
    let spec = &application["spec"];
    spec["source"]["repoURL"]
        .as_str()
        .or_else(|| spec["sources"][0]["repoURL"].as_str())
        .unwrap_or_default()
}

/// The stored object, fresh, with the health of each resource.
pub(crate) fn get(world: &World, name: &str, query: &Query) -> Result<Value, Refusal> {
    let application = world.read(name, |app| app.object.clone());
    let namespace = query.get("appNamespace");
    let application = application.filter(|application| namespace.is_empty() || application["metadata"]["namespace"] == json!(namespace));
    let project = application
        .as_ref()
        .and_then(|found| found["spec"]["project"].as_str())
        .unwrap_or_default();
    let rights = &world.options.rights;
    match (application.as_ref(), query.projects().as_slice()) {
        // Without a project, absent and forbidden must look the same.
        (None, []) => Err(Refusal::new(7, "permission denied")),
        (Some(_), []) if !rights.sees(project) => Err(Refusal::new(7, "permission denied")),
        (_, projects) if projects.iter().any(|project| !rights.sees(project)) => Err(Refusal::new(7, "permission denied")),
        (None, _) => Err(not_found(name)),
        (Some(_), projects) if !projects.is_empty() && !projects.contains(&project) => Err(not_found(name)),
        (Some(found), _) => Ok(with_resource_health(found)),
    }
}

pub(crate) fn not_found(name: &str) -> Refusal {
    Refusal::new(5, format!("applications.argoproj.io \"{name}\" not found"))
}

/// What a direct GET adds to the stored object.
pub(crate) fn with_resource_health(application: &Value) -> Value {
    let mut application = application.clone();
    let health = application["status"]["health"].clone();
    if let Some(resources) = application["status"]["resources"].as_array_mut() {
        let workloads = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"];
        for resource in resources
            .iter_mut()
            .filter(|one| workloads.iter().any(|kind| one["kind"] == json!(kind)))
        {
            resource["health"] = health.clone();
        }
    }
    application
}

/// Starts an operation, or says exactly why not.
pub(crate) fn sync(world: &Arc<World>, name: &str, query: &Query, body: &Value) -> Result<Value, Refusal> {
    let application = allowed_to_change(world, name, query, body, "sync")?;
    let (spec, behaviour) = world
        .read(name, |app| (app.spec.clone(), app.present_behaviour()))
        .ok_or_else(|| not_found(name))?;
    if application["metadata"].get("deletionTimestamp").is_some() {
        return Err(Refusal::new(9, "application is deleting"));
    }
    if behaviour == Behaviour::BlockedByWindow {
        return Err(Refusal::new(7, "cannot sync: blocked by sync window"));
    }
    let target = spec.sources.first().map_or("", |source| source.target_revision.as_str());
    let revision = body["revision"].as_str().unwrap_or_default();
    let dry_run = body["dryRun"] == json!(true);
    if spec.automated.is_some() && !revision.is_empty() && revision != target && !dry_run {
        return Err(Refusal::new(
            9,
            format!("Cannot sync to {revision}: auto-sync currently set to {target}"),
        ));
    }
    let operation = operation_of(world, &spec, body)?;
    start(world, name, operation)
}

fn operation_of(world: &World, spec: &ApplicationSpec, body: &Value) -> Result<Value, Refusal> {
    let bindings = &world.options.repositories;
    let mut revisions = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        let position = body["sourcePositions"].as_array().and_then(|positions| {
            // int64 travels as text in this API; plain numbers are taken as well.
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
            positions.iter().position(|position| number(position) == Some(index as u64 + 1))
        });
        let asked = match position {
            Some(position) => body["revisions"][position].as_str(),
            None if spec.multi_source() => None,
            None => body["revision"].as_str(),
        };
        let wanted = asked.filter(|asked| !asked.is_empty()).unwrap_or(&source.target_revision);
        let resolved = manifests::resolve_one(bindings, source, wanted).map_err(|error| Refusal::new(9, error))?;
        revisions.push(resolved);
    }
    let mut sync = super::controller::revisions_of(spec, &revisions);
    for (from, to) in [
        ("prune", "prune"),
        ("dryRun", "dryRun"),
        ("resources", "resources"),
        ("strategy", "syncStrategy"),
    ] {
        match &body[from] {
            Value::Null | Value::Bool(false) => {}
            Value::Array(items) if items.is_empty() => {}
            value => {
                sync.insert(to.to_owned(), value.clone());
            }
        }
    }
    if let Some(items) = body["syncOptions"]["items"].as_array() {
        sync.insert("syncOptions".to_owned(), json!(items));
    }
    let mut operation = json!({"sync": sync, "initiatedBy": {"username": SUBJECT}});
    if let Some(infos) = body["infos"].as_array() {
        operation["info"] = json!(infos);
    }
    if body["retryStrategy"].is_object() {
        operation["retry"] = body["retryStrategy"].clone();
    }
    Ok(operation)
}

/// Rights first, then the stored object.
fn allowed_to_change(world: &World, name: &str, query: &Query, body: &Value, action: &str) -> Result<Value, Refusal> {
    // Changing calls carry project and namespace in the body.
    let mut query = query.clone();
    for key in ["project", "appNamespace"] {
        if let Some(value) = body[key].as_str() {
            query.0.push((key.to_owned(), value.to_owned()));
        }
    }
    let application = get(world, name, &query)?;
    if !world.options.rights.sync {
        let project = application["spec"]["project"].as_str().unwrap_or_default();
        let issued = now();
        return Err(Refusal::new(
            7,
            format!("permission denied: applications, {action}, {project}/{name}, sub: {SUBJECT}, iat: {issued}"),
        ));
    }
    Ok(application)
}

fn start(world: &Arc<World>, name: &str, operation: Value) -> Result<Value, Refusal> {
    let started = world.update(name, |app| {
        if app.in_operation() {
            return Err(Refusal::new(9, "another operation is already in progress"));
        }
        app.set_operation(operation);
        Ok(())
    });
    started.ok_or_else(|| not_found(name))??;
    world.read(name, |app| app.object.clone()).ok_or_else(|| not_found(name))
}

pub(crate) fn terminate(world: &Arc<World>, name: &str, query: &Query) -> Result<Value, Refusal> {
    allowed_to_change(world, name, query, &Value::Null, "sync")?;
    let outcome = world.update(name, |app| {
        if !app.in_operation() || app.text("/status/operationState/phase").is_empty() {
            return Err(Refusal::new(3, "Unable to terminate operation. No operation is in progress"));
        }
        app.object["status"]["operationState"]["phase"] = json!("Terminating");
        app.operation_wake.notify_one();
        Ok(json!({}))
    });
    outcome.unwrap_or_else(|| Err(not_found(name)))
}

pub(crate) fn rollback(world: &Arc<World>, name: &str, query: &Query, body: &Value) -> Result<Value, Refusal> {
    allowed_to_change(world, name, query, body, "sync")?;
    let automated = world
        .read(name, |app| app.spec.automated.is_some())
        .ok_or_else(|| not_found(name))?;
    if automated {
        return Err(Refusal::new(9, "rollback cannot be initiated when auto-sync is enabled"));
    }
    let id = body["id"].as_u64().or_else(|| body["id"].as_str()?.parse().ok()).unwrap_or(0);
    roll_back_to(world, name, id)
}

/// An operation with the revision of an earlier history entry.
pub(crate) fn roll_back_to(world: &Arc<World>, name: &str, id: u64) -> Result<Value, Refusal> {
    let entry = world.read(name, |app| {
        let history = app.object["status"]["history"].as_array().cloned().unwrap_or_default();
        history.into_iter().find(|entry| entry["id"] == json!(id))
    });
    let entry = entry
        .flatten()
        .ok_or_else(|| Refusal::new(3, format!("application {name} does not have deployment with id {id}")))?;
    let mut sync = json!({"prune": true});
    for key in ["revision", "revisions", "source", "sources"] {
        if let Some(value) = entry.get(key) {
            sync[key] = value.clone();
        }
    }
    let info = json!([{"name": "rollback", "value": id.to_string()}]);
    start(
        world,
        name,
        json!({"sync": sync, "initiatedBy": {"username": "alice"}, "info": info}),
    )
}

/// `canSync` speaks of manual syncs.
pub(crate) fn sync_windows(world: &World, name: &str, query: &Query) -> Result<Value, Refusal> {
    get(world, name, query)?;
    let blocked = world.read(name, |app| app.present_behaviour()) == Some(Behaviour::BlockedByWindow);
    let window = json!([{"kind": "deny", "schedule": "0 22 * * *", "duration": "8h"}]);
    Ok(match blocked {
        true => json!({"activeWindows": window, "assignedWindows": window}),
        false => json!({"canSync": true}),
    })
}

pub(crate) fn resource_tree(world: &World, name: &str, query: &Query) -> Result<Value, Refusal> {
    get(world, name, query)?;
    let nodes = world.read(name, |app| {
        let nodes = app.live.keys().map(|key| {
            let mut node = key.document();
            let workload = ["Deployment", "StatefulSet", "DaemonSet"].contains(&key.kind.as_str());
            if workload {
                let mut health = json!({"status": app.health.status});
                if !app.health.message.is_empty() {
                    health["message"] = json!(app.health.message);
                }
                node["health"] = health;
            }
            node
        });
        nodes.collect::<Vec<Value>>()
    });
    Ok(json!({"nodes": nodes.unwrap_or_default()}))
}

pub(crate) fn managed_resources(world: &World, name: &str, query: &Query) -> Result<Value, Refusal> {
    get(world, name, query)?;
    let items = world.read(name, |app| {
        let resources = app.object["status"]["resources"].as_array().cloned().unwrap_or_default();
        let item = |resource: &Value| {
            let state = json!({"kind": resource["kind"], "metadata": {"name": resource["name"]}}).to_string();
            let live = if resource["status"] == "OutOfSync" {
                "null".to_owned()
            } else {
                state.clone()
            };
            json!({
                "group": resource["group"].as_str().unwrap_or_default(), "kind": resource["kind"],
                "namespace": resource["namespace"].as_str().unwrap_or_default(), "name": resource["name"],
                "liveState": live, "targetState": state, "normalizedLiveState": live, "predictedLiveState": state,
            })
        };
        resources.iter().map(item).collect::<Vec<Value>>()
    });
    Ok(json!({"items": items.unwrap_or_default()}))
}

pub(crate) fn revision_metadata(world: &World, name: &str, revision: &str, query: &Query) -> Result<Value, Refusal> {
    get(world, name, query)?;
    let index: usize = query.get("sourceIndex").parse().unwrap_or(0);
    let spec = world.read(name, |app| app.spec.clone()).ok_or_else(|| not_found(name))?;
    let source = spec.sources.get(index).ok_or_else(|| Refusal::new(3, "source index not found"))?;
    let found = manifests::binding(&world.options.repositories, &source.repo_url).and_then(|binding| {
        let repository = git2::Repository::open_bare(&binding.path).ok()?;
        let commit = repository.find_commit(git2::Oid::from_str(revision).ok()?).ok()?;
        let date = chrono::DateTime::from_timestamp(commit.time().seconds(), 0)?;
        Some(json!({
            "author": commit.author().to_string(),
            "date": date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "message": String::from_utf8_lossy(commit.message_bytes()),
        }))
    });
    found.ok_or_else(|| Refusal::new(2, format!("unable to resolve '{revision}' to a commit SHA")))
}

/// Whether an event is new to a stream that was opened at this resource version.
pub(crate) fn newer(application: &Value, resource_version_asked: &str) -> bool {
    resource_version_asked
        .parse::<u64>()
        .is_ok_and(|asked| resource_version(application) >= asked)
        || resource_version_asked.is_empty()
}
