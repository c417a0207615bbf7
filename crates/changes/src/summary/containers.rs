//! Containers of a pod: image, what runs, environment, resources, probes, ports.

use super::fields;
use super::images;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    COMMAND, CONTAINER_ADDED, CONTAINER_REMOVED, ENVIRONMENT, HOST_ACCESS, IMAGE_CHANGED, PROBE_REMOVED, RESOURCES, SECRET_LITERAL,
    SECRET_REFERENCE, STORAGE_MOUNT, TRAFFIC,
};
use super::security;
use super::value::Value;
use super::words::{HIDDEN, count, literal, looks_secret, names_secret, word};

/// Explains the containers of a pod specification; takes them out.
pub(super) fn explain(scope: &mut Scope<'_>, pod: &mut Pair) {
    for (field, noun) in [
        ("containers", "container"),
        ("initContainers", "init container"),
        ("ephemeralContainers", "ephemeral container"),
    ] {
        let containers = pod.take(field).keyed("name");
        let alone = containers.len() == 1 && field == "containers";
        for (name, container) in containers {
            let place = if alone {
                String::new()
            } else {
                format!("{noun} {}: ", word(&name))
            };
            one(scope, &place, noun, &name, container);
        }
    }
}

fn one(scope: &mut Scope<'_>, place: &str, noun: &str, name: &str, mut container: Pair) {
    if container.new.is_absent() {
        scope.say(&CONTAINER_REMOVED, format!("{noun} {} removed", word(name)));
        return;
    }
    let added = container.old.is_absent();
    if added && !scope.is_new {
        let image = container.new.text_at("image").map_or_else(|| "no image".to_owned(), images::short);
        scope.say(&CONTAINER_ADDED, format!("{noun} {} added ({image})", word(name)));
    }
    image(scope, place, &container.take("image"));
    security::context(scope, place, container.take("securityContext"));
    resources(scope, place, container.take("resources"));
    environment(scope, place, &mut container, added);
    ports(scope, place, container.take("ports"), added);
    if added {
        return;
    }
    command(scope, place, &mut container);
    probes(scope, place, &mut container);
    mounts(scope, place, container.take("volumeMounts"));
    container.take("name");
    fields::explain(scope, place.trim_end_matches([':', ' ']), container);
}

fn image(scope: &mut Scope<'_>, place: &str, image: &Pair) {
    match (image.old.text(), image.new.text()) {
        (Some(old), Some(new)) => images::say(scope, place, old, new),
        (None, Some(new)) => images::say_new(scope, place, new),
        (Some(old), None) => scope.say(&IMAGE_CHANGED, format!("{place}image {} is no longer named here", word(old))),
        _ => {}
    }
}

fn resources(scope: &mut Scope<'_>, place: &str, mut resources: Pair) {
    for part in ["limits", "requests"] {
        for (name, amount) in resources.take(part).entries() {
            if scope.is_new || !amount.changed() {
                continue;
            }
            let rule = if part == "limits" {
                fields::limit(&amount.old, &amount.new)
            } else {
                &RESOURCES
            };
            let show = |value: &Value| value.text().map_or_else(|| "none".to_owned(), word);
            let what = format!("{part}.{}", word(&name));
            scope.say(rule, format!("{place}{what} {} → {}", show(&amount.old), show(&amount.new)));
        }
    }
    if !scope.is_new {
        fields::explain(scope, &format!("{place}resources"), resources);
    }
}

fn environment(scope: &mut Scope<'_>, place: &str, container: &mut Pair, added: bool) {
    for (name, variable) in container.take("env").keyed("name") {
        if variable.changed() {
            env_variable(scope, place, &name, &variable, added);
        }
    }
    for (source, from) in container.take("envFrom").keyed("") {
        if added || !from.changed() {
            continue;
        }
        let show = |value: &Value| {
            let reference = |kind: &str, field: &str| value.at(field).text_at("name").map(|name| format!("{kind} {}", word(name)));
            reference("Secret", "secretRef")
                .or_else(|| reference("ConfigMap", "configMapRef"))
                .unwrap_or_else(|| "nothing".to_owned())
        };
        let secret = !from.old.get("secretRef").is_absent() || !from.new.get("secretRef").is_absent();
        let rule = if secret { &SECRET_REFERENCE } else { &ENVIRONMENT };
        scope.say(
            rule,
            format!("{place}envFrom[{}] {} → {}", word(&source), show(&from.old), show(&from.new)),
        );
    }
}

fn env_variable(scope: &mut Scope<'_>, place: &str, name: &str, variable: &Pair, added: bool) {
    let shown = word(name);
    let value = variable.new.get("value");
    if fields::is_secret_literal(name, value) && variable.old.get("value") != value {
        scope.say(&SECRET_LITERAL, format!("{place}env {shown} is a literal value {HIDDEN}"));
        return;
    }
    if added {
        return;
    }
    let is_secret = |side: &Value| !side.at("valueFrom.secretKeyRef").is_absent();
    let rule = if is_secret(&variable.old) || is_secret(&variable.new) {
        &SECRET_REFERENCE
    } else {
        &ENVIRONMENT
    };
    let (old, new) = (env_source(name, &variable.old), env_source(name, &variable.new));
    scope.say(
        rule,
        match (variable.old.is_absent(), variable.new.is_absent()) {
            (true, _) => format!("{place}env {shown} added: {new}"),
            (_, true) => format!("{place}env {shown} removed"),
            _ if old == new => format!("{place}env {shown} changed {HIDDEN}"),
            _ => format!("{place}env {shown}: {old} → {new}"),
        },
    );
}

/// Where a variable's value comes from; a literal is shown unless it could be a secret.
fn env_source(name: &str, variable: &Value) -> String {
    if let Some(secret) = variable.text_at("valueFrom.secretKeyRef.name") {
        let key = variable.text_at("valueFrom.secretKeyRef.key").unwrap_or_default();
        return format!("from Secret {} key {}", word(secret), word(key));
    }
    if let Some(map) = variable.text_at("valueFrom.configMapKeyRef.name") {
        let key = variable.text_at("valueFrom.configMapKeyRef.key").unwrap_or_default();
        return format!("from ConfigMap {} key {}", word(map), word(key));
    }
    match variable.text_at("value") {
        Some(_) if names_secret(name) => HIDDEN.to_owned(),
        Some(text) => literal(text),
        None if variable.get("valueFrom").is_absent() => "empty".to_owned(),
        None => "from a field of the pod".to_owned(),
    }
}

fn ports(scope: &mut Scope<'_>, place: &str, ports: Pair, added: bool) {
    for (name, port) in ports.keyed("name") {
        if !port.changed() {
            continue;
        }
        if let Some(host) = port
            .new
            .text_at("hostPort")
            .filter(|host| port.old.text_at("hostPort") != Some(*host))
        {
            scope.say(&HOST_ACCESS, format!("{place}port {} of the node is used", word(host)));
        } else if !added {
            let show = |side: &Value| side.text_at("containerPort").map_or_else(|| "none".to_owned(), word);
            scope.say(
                &TRAFFIC,
                format!("{place}port {} {} → {}", word(&name), show(&port.old), show(&port.new)),
            );
        }
    }
}

fn command(scope: &mut Scope<'_>, place: &str, container: &mut Pair) {
    for field in ["command", "args"] {
        let words = container.take(field);
        if words.changed() {
            scope.say(&COMMAND, format!("{place}{field} {}", argument_changes(&words)));
        }
    }
}

/// `+ --v=2; − --v=1` of a list of texts, read as arguments. Scripts are counted, and what could be a secret is not shown.
pub(super) fn argument_changes(words: &Pair) -> String {
    let (old, new) = (arguments(&words.old), arguments(&words.new));
    let only = |these: &[String], those: &[String]| {
        const SHOWN: usize = 4;
        let differing: Vec<&String> = these.iter().filter(|word| !those.contains(word)).collect();
        let mut shown = differing.iter().take(SHOWN).map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
        if differing.len() > SHOWN {
            shown.push_str(&format!(" and {} more", differing.len() - SHOWN));
        }
        shown
    };
    let (added, removed) = (only(&new, &old), only(&old, &new));
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => "changed (order, or what is not shown)".to_owned(),
        (false, true) => format!("+ {added}"),
        (true, false) => format!("− {removed}"),
        (false, false) => format!("+ {added}; − {removed}"),
    }
}

/// Arguments as they may be shown; the one after `--password` is hidden too.
fn arguments(list: &Value) -> Vec<String> {
    const ARGUMENTS_MAX: usize = 1_000;
    let mut hide_next = false;
    let show = |text: &&str| {
        let hidden = std::mem::replace(&mut hide_next, text.starts_with('-') && !text.contains('=') && names_secret(text));
        if hidden {
            HIDDEN.to_owned()
        } else if text.contains('\n') {
            format!("(a script of {})", count(text.lines().count(), "line"))
        } else if let Some((flag, _)) = text
            .split_once('=')
            .filter(|(flag, value)| names_secret(flag) || looks_secret(value))
        {
            format!("{}={HIDDEN}", word(flag))
        } else {
            literal(text)
        }
    };
    list.texts().iter().take(ARGUMENTS_MAX).map(show).collect()
}

fn probes(scope: &mut Scope<'_>, place: &str, container: &mut Pair) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.take(field);
        if !probe.old.is_absent() && probe.new.is_absent() {
            scope.say(&PROBE_REMOVED, format!("{place}{field} removed"));
        } else {
            fields::explain(scope, &format!("{place}{field}"), probe);
        }
    }
}

fn mounts(scope: &mut Scope<'_>, place: &str, mounts: Pair) {
    for (path, mount) in mounts.keyed("mountPath") {
        let from = |side: &Value| side.text_at("name").map(word).unwrap_or_default();
        match (mount.old.is_absent(), mount.new.is_absent()) {
            _ if !mount.changed() => {}
            (true, _) => scope.say(&STORAGE_MOUNT, format!("{place}mounts {} at {}", from(&mount.new), word(&path))),
            (_, true) => scope.say(
                &STORAGE_MOUNT,
                format!("{place}no longer mounts {} at {}", from(&mount.old), word(&path)),
            ),
            _ => scope.say(&STORAGE_MOUNT, format!("{place}mount at {} changes", word(&path))),
        }
    }
}
