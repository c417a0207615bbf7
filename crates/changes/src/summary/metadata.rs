//! Labels and annotations, and the few among them that protect an object or steer its delivery.

use super::pair::Pair;
use super::report::Scope;
use super::rules::{FIELD, LABELS, PROTECTION_REMOVED, SERVICE_ACCOUNT, SYNC_POLICY, TRAFFIC};
use super::value::Value;
use super::words::{list, value as shown, word};

/// Explains an object's labels, annotations and finalizers; takes them out, with what only a cluster writes.
pub(super) fn explain(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["managedFields", "creationTimestamp", "resourceVersion", "uid", "generation"] {
        object.take(&format!("metadata.{field}"));
    }
    object.take("status");
    let mut ordinary = Vec::new();
    for (key, value) in object.take("metadata.annotations").entries() {
        if value.changed() && !is_steering(scope, &key, &value) {
            ordinary.push(key);
        }
    }
    say(scope, "annotation", &ordinary);
    let labels = object.take("metadata.labels").entries();
    let labels: Vec<String> = labels
        .into_iter()
        .filter(|(_, value)| value.changed())
        .map(|(key, _)| key)
        .collect();
    say(scope, "label", &labels);
    let finalizers = object.take("metadata.finalizers");
    if let Some(change) = super::fields::list_change(&finalizers) {
        scope.say(&FIELD, format!("finalizers {change}"));
    }
}

fn say(scope: &mut Scope<'_>, noun: &str, keys: &[String]) {
    if !keys.is_empty() {
        let (plural, verb) = if keys.len() == 1 { ("", "changes") } else { ("s", "change") };
        scope.say(&LABELS, format!("{noun}{plural} {} {verb}", list(keys)));
    }
}

/// Says what an annotation does, if it does something; whether it did.
fn is_steering(scope: &mut Scope<'_>, key: &str, value: &Pair) -> bool {
    let protects = |side: &Value| {
        side.text().is_some_and(|text| {
            text.contains("Prune=false") || text.contains("Delete=false") || (key == "helm.sh/resource-policy" && text == "keep")
        })
    };
    let sides = || format!("{} {} → {}", word(key), shown(key, &value.old), shown(key, &value.new));
    if protects(&value.old) && !protects(&value.new) {
        scope.say(&PROTECTION_REMOVED, sides());
    } else if key.starts_with("argocd.argoproj.io/") || key.starts_with("helm.sh/") {
        scope.say(&SYNC_POLICY, sides());
    } else if ["role-arn", "iam.", "workload-identity", "workload.identity"]
        .iter()
        .any(|word| key.contains(word))
    {
        scope.say(&SERVICE_ACCOUNT, sides());
    } else if ["ingress", "external-dns", "load-balancer", "metallb", "gateway"]
        .iter()
        .any(|word| key.contains(word))
    {
        scope.say(&TRAFFIC, sides());
    } else {
        return false;
    }
    true
}
