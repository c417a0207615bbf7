//! Argo CD's own objects: where manifests come from, where they go, and what Argo CD may do by itself.

use super::fields;
use super::images;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    APPLICATION_DESTINATION, APPLICATION_PRUNE, APPLICATION_SOURCE, PROJECT_WIDENED, RESTRICTED, REVISION, SYNC_POLICY, UNREADABLE,
};
use super::value::{Value, parse};
use super::words::{HIDDEN, list, looks_secret, word};

/// The finalizer by which deleting an application deletes its objects.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";

/// Whether deleting this application deletes what it deployed.
pub(super) fn cascades(application: &Value) -> bool {
    application
        .at("metadata.finalizers")
        .texts()
        .iter()
        .any(|finalizer| finalizer.starts_with(CASCADE))
}

/// Application; the template of an ApplicationSet.
pub(super) fn application(scope: &mut Scope<'_>, object: &mut Pair, spec: &str) {
    if object.take("spec.generators").changed() && !scope.is_new {
        scope.say(
            &APPLICATION_DESTINATION,
            "generators change: applications come, go or are aimed elsewhere",
        );
    }
    source(scope, "", object.take(&format!("{spec}.source")));
    for (nth, one) in object.take(&format!("{spec}.sources")).keyed("").into_iter() {
        source(scope, &format!("source {}: ", word(&nth)), one);
    }
    for side in [&object.old, &object.new] {
        if let Some(namespace) = side.text_at(&format!("{spec}.destination.namespace")) {
            scope.report.namespace(namespace);
        }
    }
    if !scope.is_new {
        destination(scope, object, spec);
    }
    sync_policy(scope, object.take(&format!("{spec}.syncPolicy")));
    let ignored = object.take(&format!("{spec}.ignoreDifferences"));
    if ignored.changed() && !scope.is_new {
        scope.say(&SYNC_POLICY, "which differences are ignored changes");
    }
    finalizers(scope, object);
}

fn source(scope: &mut Scope<'_>, place: &str, mut source: Pair) {
    if scope.is_new || !source.changed() {
        return;
    }
    for field in ["repoURL", "path", "chart", "directory.include", "directory.exclude"] {
        let from = source.take(field);
        if from.changed() {
            scope.say(
                &APPLICATION_SOURCE,
                format!("{place}{field} {} → {}", show(&from.old), show(&from.new)),
            );
        }
    }
    let revision = source.take("targetRevision");
    if revision.changed() {
        let older = match (revision.old.text(), revision.new.text()) {
            (Some(old), Some(new)) => images::versions(old, new).id == super::rules::IMAGE_DOWNGRADE.id,
            _ => false,
        };
        let note = if older { " (older)" } else { "" };
        let verb = format!("deliver {} at {}", scope.name, show(&revision.new));
        scope.say_as(
            &REVISION,
            format!("{place}targetRevision {} → {}{note}", show(&revision.old), show(&revision.new)),
            verb,
        );
    }
    let text = source.take("helm.values");
    if text.changed() {
        helm_values(scope, place, &text);
    }
    fields::explain(scope, &format!("{place}source"), source);
}

/// Helm values as a text inside the manifest.
fn helm_values(scope: &mut Scope<'_>, place: &str, text: &Pair) {
    let mut read = |value: &Value| match value.text() {
        None => Some(Value::Absent),
        Some(text) => parse(text, &mut scope.report.budget).ok().map(|mut documents| {
            if documents.is_empty() {
                Value::Absent
            } else {
                documents.swap_remove(0)
            }
        }),
    };
    match (read(&text.old), read(&text.new)) {
        (Some(old), Some(new)) => fields::explain(scope, &format!("{place}values"), Pair::new(old, new)),
        _ => scope.say(&UNREADABLE, format!("{place}Helm values could not be read")),
    }
}

fn destination(scope: &mut Scope<'_>, object: &mut Pair, spec: &str) {
    for field in ["destination.server", "destination.name", "destination.namespace", "project"] {
        let to = object.take(&format!("{spec}.{field}"));
        if to.changed() {
            scope.say(&APPLICATION_DESTINATION, format!("{field} {} → {}", show(&to.old), show(&to.new)));
        }
    }
}

fn sync_policy(scope: &mut Scope<'_>, mut policy: Pair) {
    let (was_auto, is_auto) = (!policy.old.get("automated").is_absent(), !policy.new.get("automated").is_absent());
    let prune = policy.take("automated.prune");
    // A new application has nothing yet that it could delete.
    if prune.new.is_true() && !prune.old.is_true() && !scope.is_new {
        scope.say(&APPLICATION_PRUNE, "prune on");
    } else if prune.old.is_true() && !prune.new.is_true() {
        scope.say(&SYNC_POLICY, "prune off");
    }
    if scope.is_new {
        return;
    }
    let heal = policy.take("automated.selfHeal");
    if heal.old.is_true() != heal.new.is_true() {
        scope.say(&SYNC_POLICY, format!("selfHeal {}", if heal.new.is_true() { "on" } else { "off" }));
    }
    if was_auto != is_auto {
        scope.say(&SYNC_POLICY, format!("automatic sync {}", if is_auto { "on" } else { "off" }));
    }
    policy.take("automated");
    let options = policy.take("syncOptions");
    if let Some(change) = fields::list_change(&options) {
        scope.say(&SYNC_POLICY, format!("sync options {change}"));
    }
    fields::explain(scope, "syncPolicy", policy);
}

fn finalizers(scope: &mut Scope<'_>, object: &mut Pair) {
    let finalizers = object.take("metadata.finalizers");
    if let Some(change) = fields::list_change(&finalizers).filter(|_| !scope.is_new) {
        scope.say(
            &SYNC_POLICY,
            format!("finalizers {change} (whether deletion takes the objects with it)"),
        );
    }
}

/// AppProject.
pub(super) fn project(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["sourceRepos", "sourceNamespaces"] {
        let (added, removed) = object.take(&format!("spec.{field}")).list_changes();
        allow(scope, field, added, removed);
    }
    for field in ["destinations", "clusterResourceWhitelist", "namespaceResourceWhitelist"] {
        let pair = object.take(&format!("spec.{field}"));
        let items = |value: &Value| value.items().iter().map(item_words).collect::<Vec<_>>();
        let (old, new) = (items(&pair.old), items(&pair.new));
        let only = |these: &[String], those: &[String]| these.iter().filter(|item| !those.contains(item)).take(100).cloned().collect();
        allow(scope, field, only(&new, &old), only(&old, &new));
    }
    for field in [
        "clusterResourceBlacklist",
        "namespaceResourceBlacklist",
        "syncWindows",
        "signatureKeys",
    ] {
        let pair = object.take(&format!("spec.{field}"));
        if pair.changed() && !pair.old.is_absent() {
            scope.say(&PROJECT_WIDENED, format!("{field} changes"));
        } else if pair.changed() && !scope.is_new {
            scope.say(&RESTRICTED, format!("{field} added"));
        }
    }
}

fn allow(scope: &mut Scope<'_>, field: &str, added: Vec<String>, removed: Vec<String>) {
    if !added.is_empty() && (!scope.is_new || added.iter().any(|item| item.contains('*'))) {
        scope.say(&PROJECT_WIDENED, format!("{field} + {}", list(added)));
    }
    if !removed.is_empty() {
        scope.say(&RESTRICTED, format!("{field} − {}", list(removed)));
    }
}

/// `server/namespace` or `group/kind` of a list item.
fn item_words(item: &Value) -> String {
    ["server", "name", "namespace", "group", "kind"]
        .iter()
        .filter_map(|field| item.text_at(field))
        .collect::<Vec<_>>()
        .join("/")
}

/// A repository, path or revision; hidden when it carries a password. A commit id is no secret, though it looks like one.
fn show(value: &Value) -> String {
    match value.text() {
        Some(text) if text.contains(['@', '?']) && looks_secret(text) => HIDDEN.to_owned(),
        Some(text) => word(text),
        None => "none".to_owned(),
    }
}
