//! Workloads: how many, how they are replaced, when they run, and the pod they run.

use super::containers;
use super::fields;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{DISRUPTION, IDENTITY_CHANGED, JOB_CHANGED, RESTARTED, SCHEDULE, STORAGE_CHANGED, SUSPENDED};
use super::security;
use super::words::{list, value as shown, word};

/// Deployment, StatefulSet, DaemonSet, ReplicaSet and what is shaped like them.
pub(super) fn workload(scope: &mut Scope<'_>, object: &mut Pair) {
    let replicas = object.take("spec.replicas");
    if !scope.is_new && replicas.changed() {
        if replicas.new.is_absent() {
            scope.say(
                &super::rules::FIELD,
                format!("replicas {} → left to others", replicas.old.text().map(word).unwrap_or_default()),
            );
        } else {
            fields::replicas(scope, "replicas", Some(replicas.old.text().unwrap_or("1")), &replicas.new);
        }
    }
    if !scope.is_new {
        if object.take("spec.selector").changed() {
            scope.say(&IDENTITY_CHANGED, "selector changes: the object has to be deleted and made anew");
        }
        if object.take("spec.volumeClaimTemplates").changed() {
            scope.say(
                &STORAGE_CHANGED,
                "volumeClaimTemplates change: the object has to be deleted and made anew",
            );
        }
    }
    pod_template(scope, object, "spec.template");
}

/// A Job; `template` of a CronJob too.
pub(super) fn job(scope: &mut Scope<'_>, object: &mut Pair) {
    let template = Pair::new(object.old.at("spec.template").clone(), object.new.at("spec.template").clone());
    if !scope.is_new && template.changed() {
        scope.say(&JOB_CHANGED, "the pod template of a job changes, which is fixed once it was made");
    }
    suspend(scope, object);
    pod_template(scope, object, "spec.template");
}

/// CronJob and the like.
pub(super) fn cron_job(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["spec.schedule", "spec.timeZone"] {
        let when = object.take(field);
        if !scope.is_new && when.changed() {
            let name = field.trim_start_matches("spec.");
            scope.say(&SCHEDULE, format!("{name} {} → {}", shown(name, &when.old), shown(name, &when.new)));
        }
    }
    suspend(scope, object);
    pod_template(scope, object, "spec.jobTemplate.spec.template");
}

/// A Pod by itself.
pub(super) fn pod(scope: &mut Scope<'_>, object: &mut Pair) {
    let mut spec = object.take("spec");
    pod_spec(scope, &mut spec);
    object.put_back("spec", spec);
}

fn suspend(scope: &mut Scope<'_>, object: &mut Pair) {
    let switch = object.take("spec.suspend");
    match (switch.old.is_true(), switch.new.is_true()) {
        (false, true) => scope.say_as(&SUSPENDED, "suspended", format!("suspend {}", scope.name.clone())),
        (true, false) => scope.say_as(&SUSPENDED, "resumed", format!("resume {}", scope.name.clone())),
        _ => {}
    }
}

fn pod_template(scope: &mut Scope<'_>, object: &mut Pair, path: &str) {
    restart(scope, &object.take(&format!("{path}.metadata.annotations")));
    let mut spec = object.take(&format!("{path}.spec"));
    pod_spec(scope, &mut spec);
    object.put_back(&format!("{path}.spec"), spec);
}

/// Annotations of a pod template: any change replaces the pods, and one of them exists for that alone.
fn restart(scope: &mut Scope<'_>, annotations: &Pair) {
    if scope.is_new || !annotations.changed() {
        return;
    }
    let verb = format!("restart {}", scope.name);
    let (mut keys, mut restarted) = (Vec::new(), false);
    for (key, value) in annotations.clone().entries() {
        if value.changed() {
            restarted |= key.ends_with("restartedAt");
            keys.push(key);
        }
    }
    let why = if restarted {
        "restarts: asked for by annotation".to_owned()
    } else {
        format!("restarts: annotations of its pods change ({})", list(keys))
    };
    scope.say_as(&RESTARTED, why, verb);
}

fn pod_spec(scope: &mut Scope<'_>, spec: &mut Pair) {
    if spec.changed() {
        containers::explain(scope, spec);
        security::pod(scope, spec);
    }
}

/// HorizontalPodAutoscaler.
pub(super) fn autoscaler(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["minReplicas", "maxReplicas"] {
        let bound = object.take(&format!("spec.{field}"));
        if !scope.is_new && bound.changed() {
            fields::replicas(scope, field, bound.old.text(), &bound.new);
        }
    }
}

/// PodDisruptionBudget.
pub(super) fn disruption(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["minAvailable", "maxUnavailable"] {
        let bound = object.take(&format!("spec.{field}"));
        if !scope.is_new && bound.changed() {
            scope.say(
                &DISRUPTION,
                format!("{field} {} → {}", shown(field, &bound.old), shown(field, &bound.new)),
            );
        }
    }
}
