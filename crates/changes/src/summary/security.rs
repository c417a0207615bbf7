//! What a pod may do beyond its container: privileges, the node, identities, secrets.

use super::fields;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    CAPABILITIES, ESCALATION, HOST_ACCESS, PRIVILEGED, RESTRICTED, RUNS_AS_ROOT, SECRET_REFERENCE, SERVICE_ACCOUNT, STORAGE_MOUNT,
};
use super::value::Value;
use super::words::{list, word};

/// A pod's own security settings; takes out what is explained.
pub(super) fn pod(scope: &mut Scope<'_>, pod: &mut Pair) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        let switch = pod.take(field);
        match (switch.old.is_true(), switch.new.is_true()) {
            (false, true) => scope.say(&HOST_ACCESS, format!("{field} on")),
            (true, false) => scope.say(&RESTRICTED, format!("{field} off")),
            _ => {}
        }
    }
    context(scope, "pod ", pod.take("securityContext"));
    service_account(scope, pod);
    pull_secrets(scope, &pod.take("imagePullSecrets"));
    volumes(scope, pod.take("volumes"));
}

/// A `securityContext` of a pod or a container.
pub(super) fn context(scope: &mut Scope<'_>, place: &str, mut context: Pair) {
    if !context.changed() {
        return;
    }
    switch(scope, &PRIVILEGED, place, "privileged", &context.take("privileged"), true);
    switch(
        scope,
        &ESCALATION,
        place,
        "allowPrivilegeEscalation",
        &context.take("allowPrivilegeEscalation"),
        true,
    );
    switch(
        scope,
        &ESCALATION,
        place,
        "readOnlyRootFilesystem",
        &context.take("readOnlyRootFilesystem"),
        false,
    );
    root(scope, place, &mut context);
    let mut capability = context.take("capabilities");
    capabilities(scope, place, &capability.take("add"));
    drops(scope, place, &capability.take("drop"));
    profile(scope, place, "seccomp", &context.take("seccompProfile"));
    profile(scope, place, "AppArmor", &context.take("appArmorProfile"));
    if !scope.is_new {
        fields::explain(scope, &format!("{place}securityContext"), context);
    }
}

/// A switch that widens when it becomes `dangerous`. Its absence is the less confined side only for switches that confine.
fn switch(scope: &mut Scope<'_>, rule: &'static super::Rule, place: &str, name: &str, pair: &Pair, dangerous: bool) {
    let widens = |value: &Value| if dangerous { value.is_true() } else { !value.is_true() };
    let (was, is) = (widens(&pair.old), widens(&pair.new));
    if is && !was && !(scope.is_new && pair.new.is_absent()) {
        scope.say(rule, format!("{place}{name} {}", if dangerous { "on" } else { "off" }));
    } else if was && !is && !scope.is_new {
        scope.say(&RESTRICTED, format!("{place}{name} {}", if dangerous { "off" } else { "on" }));
    } else if dangerous && pair.old.is_false() && pair.new.is_absent() {
        scope.say(rule, format!("{place}{name} is no longer forbidden"));
    }
}

fn root(scope: &mut Scope<'_>, place: &str, context: &mut Pair) {
    let non_root = context.take("runAsNonRoot");
    if non_root.old.is_true() && !non_root.new.is_true() {
        scope.say(&RUNS_AS_ROOT, format!("{place}runAsNonRoot off"));
    } else if non_root.new.is_true() && !non_root.old.is_true() && !scope.is_new {
        scope.say(&RESTRICTED, format!("{place}runAsNonRoot on"));
    }
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        let user = context.take(field);
        if !user.changed() {
            continue;
        }
        let show = |value: &Value| value.text().map_or_else(|| "unset".to_owned(), word);
        if user.new.number() == Some(0) && field != "fsGroup" {
            scope.say(&RUNS_AS_ROOT, format!("{place}{field} {} → 0", show(&user.old)));
        } else if !scope.is_new {
            scope.say(&ESCALATION, format!("{place}{field} {} → {}", show(&user.old), show(&user.new)));
        }
    }
}

/// A changed list of added capabilities.
pub(super) fn capabilities(scope: &mut Scope<'_>, place: &str, pair: &Pair) {
    let (added, removed) = pair.list_changes();
    if !added.is_empty() {
        scope.say(&CAPABILITIES, format!("{place}capabilities + {}", list(added)));
    }
    if !removed.is_empty() {
        scope.say(&RESTRICTED, format!("{place}capabilities − {}", list(removed)));
    }
}

fn drops(scope: &mut Scope<'_>, place: &str, pair: &Pair) {
    let (added, removed) = pair.list_changes();
    if !removed.is_empty() {
        scope.say(&CAPABILITIES, format!("{place}no longer drops {}", list(removed)));
    }
    if !added.is_empty() && !scope.is_new {
        scope.say(&RESTRICTED, format!("{place}drops {}", list(added)));
    }
}

fn profile(scope: &mut Scope<'_>, place: &str, name: &str, pair: &Pair) {
    let kind = |value: &Value| value.text_at("type").map(word);
    let (old, new) = (kind(&pair.old), kind(&pair.new));
    if !pair.changed() {
        return;
    }
    let rule = if new.as_deref() == Some("Unconfined") || (new.is_none() && old.as_deref() != Some("Unconfined")) {
        &ESCALATION
    } else {
        &RESTRICTED
    };
    if scope.is_new && rule == &RESTRICTED {
        return;
    }
    let show = |kind: Option<String>| kind.unwrap_or_else(|| "unset".to_owned());
    scope.say(rule, format!("{place}{name} profile {} → {}", show(old), show(new)));
}

fn service_account(scope: &mut Scope<'_>, pod: &mut Pair) {
    let (name, older) = (pod.take("serviceAccountName"), pod.take("serviceAccount"));
    let token = pod.take("automountServiceAccountToken");
    if scope.is_new {
        return;
    }
    let show = |a: &Value, b: &Value| a.text().or_else(|| b.text()).map_or_else(|| "default".to_owned(), word);
    let (old, new) = (show(&name.old, &older.old), show(&name.new, &older.new));
    if old != new {
        scope.say(&SERVICE_ACCOUNT, format!("runs as ServiceAccount {old} → {new}"));
    }
    match (token.old.is_false(), token.new.is_false()) {
        (true, false) => scope.say(&SERVICE_ACCOUNT, "gets the token of its ServiceAccount"),
        (false, true) => scope.say(&RESTRICTED, "no longer gets the token of its ServiceAccount"),
        _ => {}
    }
}

fn pull_secrets(scope: &mut Scope<'_>, secrets: &Pair) {
    if !scope.is_new && secrets.changed() {
        let names = |value: &Value| list(value.items().iter().filter_map(|item| item.text_at("name")));
        scope.say(
            &SECRET_REFERENCE,
            format!(
                "pulls images with Secret {} → {}",
                or_none(names(&secrets.old)),
                or_none(names(&secrets.new))
            ),
        );
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn volumes(scope: &mut Scope<'_>, volumes: Pair) {
    for (name, volume) in volumes.keyed("name") {
        if !volume.changed() {
            continue;
        }
        let host = volume.new.text_at("hostPath.path");
        if let Some(path) = host.filter(|path| volume.old.text_at("hostPath.path") != Some(*path)) {
            scope.say(&HOST_ACCESS, format!("volume {} is {} of the node", word(&name), word(path)));
        } else if !scope.is_new {
            let secret = !volume.old.get("secret").is_absent() || !volume.new.get("secret").is_absent();
            let rule = if secret { &SECRET_REFERENCE } else { &STORAGE_MOUNT };
            scope.say(
                rule,
                format!("volume {}: {} → {}", word(&name), source(&volume.old), source(&volume.new)),
            );
        }
    }
}

/// What a volume is made of.
fn source(volume: &Value) -> String {
    let named = |kind: &str, path: &str| volume.text_at(path).map(|name| format!("{kind} {}", word(name)));
    named("Secret", "secret.secretName")
        .or_else(|| named("ConfigMap", "configMap.name"))
        .or_else(|| named("claim", "persistentVolumeClaim.claimName"))
        .or_else(|| named("node path", "hostPath.path"))
        .or_else(|| volume.keys().find(|key| *key != "name").map(word))
        .unwrap_or_else(|| "none".to_owned())
}
