//! Configuration and secrets: keys by name, never a value.

use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    ADMISSION, CONFIG, CONFIG_REMOVED, CRD_CHANGED, POD_SECURITY, RESTRICTED, SECRET_CHANGED, SECRET_LITERAL, SECRET_REFERENCE,
};
use super::value::Value;
use super::words::{list, literal, value as shown, word};

/// ConfigMap.
pub(super) fn config_map(scope: &mut Scope<'_>, object: &mut Pair) {
    let mut keys = Keys::default();
    for field in ["data", "binaryData"] {
        keys.compare(object.take(field));
    }
    if !scope.is_new {
        keys.say(scope, &CONFIG, &CONFIG, &CONFIG_REMOVED);
    }
}

/// Secret, written out in git.
pub(super) fn secret(scope: &mut Scope<'_>, object: &mut Pair) {
    let mut keys = Keys::default();
    for field in ["data", "stringData"] {
        keys.compare(object.take(field));
    }
    // Encrypted by SOPS: what is written is not the value.
    let encrypted = !object.take("sops").new.is_absent();
    if encrypted && scope.is_new {
        return;
    }
    if encrypted || (keys.added.is_empty() && keys.changed.is_empty()) {
        keys.say(scope, &SECRET_CHANGED, &SECRET_CHANGED, &SECRET_CHANGED);
    } else {
        keys.say(scope, &SECRET_LITERAL, &SECRET_LITERAL, &SECRET_CHANGED);
    }
}

/// SealedSecret and what else carries encrypted values.
pub(super) fn sealed(scope: &mut Scope<'_>, object: &mut Pair) {
    let mut keys = Keys::default();
    keys.compare(object.take("spec.encryptedData"));
    if !scope.is_new {
        keys.say(scope, &SECRET_CHANGED, &SECRET_CHANGED, &SECRET_CHANGED);
    }
}

/// InfisicalSecret, ExternalSecret and the like: where a secret is read from.
pub(super) fn reference(scope: &mut Scope<'_>, object: &mut Pair) {
    const PLACES: [&str; 12] = [
        "authentication.universalAuth.secretsScope.secretsPath",
        "authentication.universalAuth.secretsScope.envSlug",
        "authentication.universalAuth.secretsScope.projectSlug",
        "authentication.serviceToken.secretsScope.secretsPath",
        "authentication.serviceToken.secretsScope.envSlug",
        "authentication.kubernetesAuth.secretsScope.secretsPath",
        "authentication.kubernetesAuth.secretsScope.envSlug",
        "managedSecretReference.secretName",
        "managedSecretReference.secretNamespace",
        "hostAPI",
        "secretStoreRef.name",
        "target.name",
    ];
    for place in PLACES {
        let at = object.take(&format!("spec.{place}"));
        if !scope.is_new && at.changed() {
            let name = place.rsplit('.').next().unwrap_or(place);
            let show = |value: &Value| value.text().map_or_else(|| "none".to_owned(), literal);
            let said = if place.contains("managedSecretReference") {
                "managed secret"
            } else {
                name
            };
            scope.say(&SECRET_REFERENCE, format!("{said} {} → {}", show(&at.old), show(&at.new)));
        }
    }
    for field in ["spec.data", "spec.dataFrom"] {
        if object.take(field).changed() && !scope.is_new {
            scope.say(&SECRET_REFERENCE, "reads other keys");
        }
    }
}

#[derive(Default)]
struct Keys {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Keys {
    fn compare(&mut self, data: Pair) {
        for (key, value) in data.entries() {
            match (value.old.is_absent(), value.new.is_absent()) {
                _ if !value.changed() => {}
                (true, _) => self.added.push(key),
                (_, true) => self.removed.push(key),
                _ => self.changed.push(key),
            }
        }
    }

    fn say(self, scope: &mut Scope<'_>, added: &'static super::Rule, changed: &'static super::Rule, removed: &'static super::Rule) {
        for (keys, rule, what) in [
            (self.added, added, "added"),
            (self.changed, changed, "changed"),
            (self.removed, removed, "removed"),
        ] {
            if !keys.is_empty() {
                let noun = if keys.len() == 1 { "key" } else { "keys" };
                scope.say(rule, format!("{noun} {} {what}", list(keys)));
            }
        }
    }
}

/// Namespace: what pods it admits.
pub(super) fn namespace(scope: &mut Scope<'_>, object: &mut Pair) {
    const PREFIX: &str = "pod-security.kubernetes.io/";
    let mut labels = object.take("metadata.labels");
    for mode in ["enforce", "audit", "warn"] {
        let level = labels.take_key(&format!("{PREFIX}{mode}"));
        if !level.changed() {
            continue;
        }
        let strictness = |value: &Value| match value.text() {
            Some("restricted") => 2,
            Some("baseline") => 1,
            _ => 0,
        };
        let widened = strictness(&level.new) < strictness(&level.old) || (scope.is_new && level.new.text() == Some("privileged"));
        let rule = if widened && mode == "enforce" { &POD_SECURITY } else { &RESTRICTED };
        scope.say(
            rule,
            format!(
                "pod security {mode} {} → {}",
                shown("level", &level.old),
                shown("level", &level.new)
            ),
        );
    }
    object.put_back("metadata.labels", labels);
}

/// CustomResourceDefinition: versions by name, schemas as a whole.
pub(super) fn definition(scope: &mut Scope<'_>, object: &mut Pair) {
    let versions = object.take("spec.versions");
    if scope.is_new {
        return;
    }
    for (name, mut version) in versions.keyed("name") {
        let name = word(&name);
        match (version.old.is_absent(), version.new.is_absent()) {
            (true, _) => scope.say(&CRD_CHANGED, format!("version {name} added")),
            (_, true) => scope.say(
                &super::rules::CRD_REMOVED,
                format!("version {name} removed: objects of it cannot be read"),
            ),
            _ => {
                let served = version.take("served");
                if served.old.is_true() && !served.new.is_true() {
                    scope.say(&super::rules::CRD_REMOVED, format!("version {name} is no longer served"));
                }
                if version.changed() {
                    scope.say(&CRD_CHANGED, format!("version {name}: schema or columns change"));
                }
            }
        }
    }
    for field in ["spec.scope", "spec.group", "spec.names"] {
        if object.take(field).changed() {
            scope.say(
                &super::rules::CRD_REMOVED,
                format!("{} changes: the definition has to be made anew", field.trim_start_matches("spec.")),
            );
        }
    }
}

/// Admission webhooks and policies, aggregated APIs.
pub(super) fn admission(scope: &mut Scope<'_>, _object: &mut Pair) {
    scope.say(&ADMISSION, "decides what the cluster admits, or extends its API");
}
