//! Kustomizations: what they include, which images they set, what they patch and rename.

use super::fields;
use super::images;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    CONFIG, DELETE_PATCH, FIELD, IDENTITY_CHANGED, IMAGE_CHANGED, IMAGE_SOURCE, IMAGE_UNPINNED, PATCH, RESOURCE_LISTED, RESOURCE_UNLISTED,
};
use super::value::{Value, parse};
use super::words::{list, value as shown, word};

/// Explains a kustomization, as far as it is not by path.
pub(super) fn explain(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["resources", "bases", "components", "crds", "generators", "transformers"] {
        let (added, removed) = object.take(field).list_changes();
        if !removed.is_empty() {
            scope.say(&RESOURCE_UNLISTED, format!("{field} − {}", list(removed)));
        }
        if !added.is_empty() && !scope.is_new {
            scope.say(&RESOURCE_LISTED, format!("{field} + {}", list(added)));
        }
    }
    for (name, image) in object.take("images").keyed("name") {
        image_entry(scope, &name, &image);
    }
    for (name, replicas) in object.take("replicas").keyed("name") {
        let count = Pair::new(replicas.old.get("count").clone(), replicas.new.get("count").clone());
        if count.changed() && !fields::replicas(scope, &format!("replicas of {}", word(&name)), count.old.text(), &count.new) {
            scope.say(&FIELD, format!("replicas of {} left to the manifest", word(&name)));
        }
    }
    for side in [&object.old, &object.new] {
        if let Some(namespace) = side.text_at("namespace") {
            scope.report.namespace(namespace);
        }
    }
    identity(scope, object);
    for field in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
        patches(scope, object.take(field));
    }
    for field in ["configMapGenerator", "secretGenerator"] {
        for (name, generator) in object.take(field).keyed("name") {
            if generator.changed() && !scope.is_new {
                scope.say(
                    &CONFIG,
                    format!("{field} {} changes: everything that uses it restarts", word(&name)),
                );
            }
        }
    }
}

/// `images:` entries set name, tag and digest over what manifests say.
fn image_entry(scope: &mut Scope<'_>, name: &str, entry: &Pair) {
    if !entry.changed() || scope.is_new && entry.old.is_absent() && entry.new.get("newName").is_absent() {
        return;
    }
    let reference = |value: &Value| {
        let mut reference = value.text_at("newName").unwrap_or(name).to_owned();
        reference.extend(value.text_at("newTag").map(|tag| format!(":{tag}")));
        reference.extend(value.text_at("digest").map(|digest| format!("@{digest}")));
        reference
    };
    match (entry.old.is_absent(), entry.new.is_absent()) {
        (true, _) => {
            let renamed = !entry.new.get("newName").is_absent();
            let rule = if renamed { &IMAGE_SOURCE } else { &IMAGE_CHANGED };
            scope.say(rule, format!("image {} is set to {}", word(name), word(&reference(&entry.new))));
            if entry.new.text_at("newTag") == Some("latest") {
                scope.say(&IMAGE_UNPINNED, format!("image {} is set to latest", word(name)));
            }
        }
        (_, true) => scope.say(
            &IMAGE_CHANGED,
            format!("image {} is no longer set (was {})", word(name), word(&reference(&entry.old))),
        ),
        _ => images::say(scope, "", &reference(&entry.old), &reference(&entry.new)),
    }
}

/// What renames everything below.
fn identity(scope: &mut Scope<'_>, object: &mut Pair) {
    for field in ["namespace", "namePrefix", "nameSuffix", "commonLabels"] {
        let value = object.take(field);
        if value.changed() && !scope.is_new {
            scope.say(
                &IDENTITY_CHANGED,
                format!("{field} {} → {}", shown(field, &value.old), shown(field, &value.new)),
            );
        }
    }
}

/// Patches by their target; what an inline one does, as far as it can be read.
fn patches(scope: &mut Scope<'_>, patches: Pair) {
    const PATCHES_MAX: usize = 100;
    let unique = |these: &Value, those: &Value| -> Vec<Value> {
        these
            .items()
            .iter()
            .take(PATCHES_MAX)
            .filter(|item| !those.items().contains(item))
            .cloned()
            .collect()
    };
    let (added, removed) = (unique(&patches.new, &patches.old), unique(&patches.old, &patches.new));
    for patch in &added {
        let before = removed
            .iter()
            .find(|old| target(old) == target(patch) && !old.get("patch").is_absent());
        let what = if before.is_some() { "changed" } else { "added" };
        scope.say(&PATCH, format!("patch of {} {what}", target(patch)));
        // What the patch does is said of what it patches.
        let (label, name) = (scope.label.clone(), scope.name.clone());
        scope.label = format!("{label}, patch of {}", target(patch));
        scope.name = patch.text_at("target.name").map_or_else(|| name.clone(), word);
        inline(scope, patch, before);
        (scope.label, scope.name) = (label, name);
    }
    for patch in removed.iter().filter(|old| !added.iter().any(|new| target(new) == target(old))) {
        scope.say(&PATCH, format!("patch of {} removed", target(patch)));
    }
}

/// `Deployment web`, or the file that holds the patch.
fn target(patch: &Value) -> String {
    let part = |field: &str| patch.at("target").text_at(field).map(word);
    let named = [part("kind"), part("name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let file = patch
        .text()
        .or_else(|| patch.text_at("path"))
        .filter(|text| !text.contains('\n'))
        .map(word);
    match (named.is_empty(), file) {
        (false, _) => named,
        (true, Some(file)) => file,
        (true, None) => "what it names".to_owned(),
    }
}

/// Reads the text of an inline patch: JSON patch operations, or a part of an object.
fn inline(scope: &mut Scope<'_>, patch: &Value, before: Option<&Value>) {
    let text = |value: &Value| {
        value
            .text_at("patch")
            .or_else(|| value.text().filter(|text| text.contains('\n')))
            .map(str::to_owned)
    };
    let Some(new) = text(patch) else { return };
    let mut read = |text: &str| {
        parse(text, &mut scope.report.budget).ok().map(|mut documents| {
            if documents.is_empty() {
                Value::Absent
            } else {
                documents.swap_remove(0)
            }
        })
    };
    let Some(new) = read(&new) else {
        scope.say(&super::rules::UNREADABLE, "could not be read");
        return;
    };
    let old = before.and_then(text).and_then(|text| read(&text)).unwrap_or_default();
    if let Value::List(operations) = &new {
        for operation in operations.iter().filter(|operation| !old.items().contains(operation)).take(50) {
            json_operation(scope, operation);
        }
    } else {
        let mut pair = Pair::new(old, new);
        deletes(scope, &pair.new);
        for field in ["apiVersion", "kind", "metadata.name"] {
            pair.take(field);
        }
        fields::explain(scope, "", pair);
    }
}

/// `op: replace, path: /spec/replicas, value: 5`, explained as the field that it sets.
fn json_operation(scope: &mut Scope<'_>, operation: &Value) {
    let path = operation.text_at("path").unwrap_or_default();
    let verb = operation.text_at("op").unwrap_or_default();
    if verb == "remove" {
        scope.say(&DELETE_PATCH, format!("removes {}", word(path)));
        return;
    }
    let mut steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty() && *step != "-").take(20).collect();
    while steps.len() > 1 && steps.last().is_some_and(|step| step.bytes().all(|b| b.is_ascii_digit())) {
        steps.pop();
    }
    let value = steps.iter().rev().fold(operation.get("value").clone(), |value, step| {
        Value::Map(std::collections::BTreeMap::from([(
            step.replace("~1", "/").replace("~0", "~"),
            value,
        )]))
    });
    fields::explain(scope, "", Pair::new(Value::Absent, value));
}

/// `$patch: delete` anywhere in a strategic merge patch.
pub(super) fn deletes(scope: &mut Scope<'_>, patch: &Value) {
    if has_delete(patch) {
        scope.say(&DELETE_PATCH, "a patch deletes what it names ($patch: delete)");
    }
}

fn has_delete(value: &Value) -> bool {
    match value {
        Value::Map(entries) => {
            entries
                .get("$patch")
                .and_then(Value::text)
                .is_some_and(|what| matches!(what, "delete" | "replace"))
                || entries.values().any(has_delete)
        }
        Value::List(items) => items.iter().any(has_delete),
        Value::Absent | Value::Scalar { .. } => false,
    }
}
