//! What changed by path: for Helm values, for kinds that nobody here knows, for patches, and for the rest of an object after its readers
//! took what they explain. Keys with a meaning that is the same everywhere (`replicas`, `privileged`, `tag`, …) are weighed as such.

use std::cmp::Ordering;

use super::pair::Pair;
use super::report::Scope;
use super::rules::{
    CAPABILITIES, COMMAND, ESCALATION, EXPOSED, FIELD, HOST_ACCESS, HOST_NAME, IMAGE_CHANGED, IMAGE_UNPINNED, LIMIT_LOWERED, LIMIT_REMOVED,
    NETWORK_POLICY_REMOVED, PRIVILEGED, PROBE_REMOVED, PROTECTION_REMOVED, RESOURCES, REVISION, RUNS_AS_ROOT, Rule, SCALED_DOWN,
    SCALED_TO_ZERO, SCALED_UP, SCALED_UP_MUCH, SCHEDULE, SECRET_LITERAL, SERVICE_ACCOUNT, STORAGE_CHANGED, SUSPENDED, SWITCHED,
    TLS_REMOVED, TRAFFIC, TRAFFIC_REMOVED, VOLUME_GROWN, VOLUME_REMOVED, VOLUME_SHRUNK,
};
use super::value::Value;
use super::words::{HIDDEN, count, list, names_secret, value as shown, word};
use super::{containers, images, quantity};

/// Ordinary fields that are listed one by one for one subject.
const FIELDS_MAX: usize = 8;
/// Values below one new or removed key that are listed one by one.
const SUBTREE_MAX: usize = 3;

/// A place where the sides differ and at least one of them is no map.
struct Leaf {
    /// `a.b[web].c`, cleaned.
    path: String,
    /// The last key, as it stands in the file.
    key: String,
    pair: Pair,
    /// A value next to a name that names a secret.
    hidden: bool,
}

/// Explains every difference. `prefix` is the path of the pair, empty for a whole document.
pub(super) fn explain(scope: &mut Scope<'_>, prefix: &str, pair: Pair) {
    let mut leaves = Vec::new();
    walk(scope, prefix, "", pair, false, &mut leaves);
    let ordinary: Vec<&Leaf> = leaves.iter().filter(|leaf| !is_weighed(scope, leaf)).collect();
    for leaf in ordinary.iter().take(FIELDS_MAX) {
        scope.say(&FIELD, words(leaf));
    }
    if ordinary.len() > FIELDS_MAX {
        scope.say(&FIELD, format!("and {}", count(ordinary.len() - FIELDS_MAX, "more field")));
    }
}

fn walk(scope: &mut Scope<'_>, path: &str, key: &str, mut pair: Pair, hidden: bool, leaves: &mut Vec<Leaf>) {
    if !pair.changed() {
        return;
    }
    let nested = |value: &Value| matches!(value, Value::Map(_)) || value.items().iter().any(|item| !matches!(item, Value::Scalar { .. }));
    let (old_nested, new_nested) = (nested(&pair.old), nested(&pair.new));
    let plain = |value: &Value, nested: bool| nested || value.is_absent();
    if !(old_nested || new_nested) || !plain(&pair.old, old_nested) || !plain(&pair.new, new_nested) {
        leaves.push(Leaf {
            path: path.to_owned(),
            key: key.to_owned(),
            pair,
            hidden,
        });
        return;
    }
    if key == "capabilities" {
        super::security::capabilities(scope, &at(path), &pair.take("add"));
    }
    take_image(scope, path, &mut pair);
    if !pair.changed() {
        return;
    }
    let whole = pair.old.is_absent() || pair.new.is_absent();
    let before = leaves.len();
    let (was_there, is_there) = (!pair.old.is_absent(), !pair.new.is_absent());
    let is_list = matches!(pair.old, Value::List(_)) || matches!(pair.new, Value::List(_));
    let children = if is_list { pair.keyed_by_any() } else { pair.entries() };
    let empty = children.is_empty();
    let secret_name = |side: fn(&Pair) -> &Value| children.iter().any(|(_, child)| side(child).text().is_some_and(names_secret));
    let hidden = hidden || (!is_list && (secret_name(|child| &child.old) || secret_name(|child| &child.new)));
    for (name, child) in children {
        let below = match (path, is_list) {
            (_, true) => format!("{path}[{}]", word(&name)),
            ("", false) => word(&name),
            (_, false) => format!("{path}.{}", word(&name)),
        };
        // The items of a list are about what the list is about.
        let below_key = if is_list { key } else { name.as_str() };
        walk(scope, &below, below_key, child, hidden, leaves);
    }
    if whole && !path.is_empty() && (empty || leaves.len() > before + SUBTREE_MAX) {
        fold(scope, path, key, was_there, is_there, leaves, before);
    }
}

/// One line for a whole key that came or went, after what is weighed below it was said.
fn fold(scope: &mut Scope<'_>, path: &str, key: &str, was_there: bool, is_there: bool, leaves: &mut Vec<Leaf>, from: usize) {
    let below: Vec<Leaf> = leaves.drain(from..).collect();
    let rest = below.iter().filter(|leaf| !is_weighed(scope, leaf)).count();
    if rest == 0 && !below.is_empty() {
        return;
    }
    let whole = |there: bool| {
        if there {
            Value::List(vec![Value::Absent; rest])
        } else {
            Value::Absent
        }
    };
    leaves.push(Leaf {
        path: path.to_owned(),
        key: key.to_owned(),
        pair: Pair::new(whole(was_there), whole(is_there)),
        hidden: false,
    });
}

/// `image: {registry, repository, tag, digest}` of Helm values, as one reference.
fn take_image(scope: &mut Scope<'_>, path: &str, pair: &mut Pair) {
    let is_image =
        |value: &Value| value.get("repository").text().is_some() && !(value.get("tag").is_absent() && value.get("digest").is_absent());
    if !is_image(&pair.old) && !is_image(&pair.new) {
        return;
    }
    let registry = pair.take("registry");
    let repository = pair.take("repository");
    let tag = pair.take("tag");
    let digest = pair.take("digest");
    let reference = |side: fn(&Pair) -> &Value| {
        let mut reference = String::new();
        let part = |pair: &Pair| side(pair).text().filter(|text| !text.is_empty()).map(str::to_owned);
        reference.extend(part(&registry).map(|registry| format!("{registry}/")));
        reference.push_str(&part(&repository)?);
        reference.extend(part(&tag).map(|tag| format!(":{tag}")));
        reference.extend(part(&digest).map(|digest| format!("@{digest}")));
        Some(reference)
    };
    match (reference(|pair| &pair.old), reference(|pair| &pair.new)) {
        (Some(old), Some(new)) => images::say(scope, &at(path), &old, &new),
        (None, Some(new)) => {
            scope.say(&IMAGE_CHANGED, format!("{}image {} added", at(path), word(&new)));
            images::say_new(scope, &at(path), &new);
        }
        (Some(old), None) => scope.say(&IMAGE_CHANGED, format!("{}image {} removed", at(path), word(&old))),
        (None, None) => {}
    }
}

/// `path: `, or nothing for the root.
fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// `a.b: 1 → 2`, `a.b added: 1`, `a.b removed`.
fn words(leaf: &Leaf) -> String {
    let Leaf { path, pair, .. } = leaf;
    let show = |value: &Value| {
        if leaf.hidden { HIDDEN.to_owned() } else { shown(path, value) }
    };
    let path = if path.is_empty() { "content" } else { path };
    if let (Value::List(_), Value::List(_)) = (&pair.old, &pair.new) {
        return list_words(leaf);
    }
    match (pair.old.is_absent(), pair.new.is_absent()) {
        (true, _) => format!("{path} added: {}", show(&pair.new)),
        (_, true) => format!("{path} removed (was {})", show(&pair.old)),
        _ if show(&pair.old) == HIDDEN || show(&pair.new) == HIDDEN => format!("{path} changed {HIDDEN}"),
        _ => format!("{path}: {} → {}", show(&pair.old), show(&pair.new)),
    }
}

fn list_words(leaf: &Leaf) -> String {
    let Leaf { path, pair, .. } = leaf;
    if leaf.hidden || names_secret(path) {
        return format!("{path} changed {HIDDEN}");
    }
    format!("{path}: {}", containers::argument_changes(pair))
}

/// Says what a leaf means where its key has a meaning of its own; whether it did.
fn is_weighed(scope: &mut Scope<'_>, leaf: &Leaf) -> bool {
    let (old, new) = (&leaf.pair.old, &leaf.pair.new);
    let place = parent(&leaf.path);
    match (leaf.key.as_str(), old.text(), new.text()) {
        ("replicas" | "replicaCount" | "minReplicas" | "maxReplicas" | "instances", from, Some(_)) => {
            replicas(scope, &leaf.path, from, new)
        }
        ("image" | "imageName", Some(from), Some(to)) => {
            images::say(scope, &place, from, to);
            true
        }
        ("tag" | "imageTag" | "newTag", Some(from), Some(to)) => tag(scope, leaf, from, to),
        ("tag" | "imageTag", Some(_), None) => weighed(scope, &IMAGE_UNPINNED, leaf),
        _ => rule_of(leaf).is_some_and(|rule| weighed(scope, rule, leaf)),
    }
}

fn weighed(scope: &mut Scope<'_>, rule: &'static Rule, leaf: &Leaf) -> bool {
    scope.say(rule, words(leaf));
    true
}

fn tag(scope: &mut Scope<'_>, leaf: &Leaf, from: &str, to: &str) -> bool {
    let rule = if to == "latest" || to.is_empty() {
        &IMAGE_UNPINNED
    } else {
        images::versions(from, to)
    };
    let verb = format!("update {} to {}", scope.name, word(to));
    scope.say_as(rule, words(leaf), verb);
    true
}

/// The part of a path before its last key, as a place.
fn parent(path: &str) -> String {
    path.rsplit_once('.').map_or_else(String::new, |(parent, _)| format!("{parent}: "))
}

/// Says how a number of replicas changes. `path` names it; `from` is `None` where nobody here knows what it was.
pub(super) fn replicas(scope: &mut Scope<'_>, path: &str, from: Option<&str>, to: &Value) -> bool {
    let (old, Some(new)) = (from.and_then(|from| from.parse::<i64>().ok()), to.number()) else {
        return false;
    };
    let bound = path.contains("min") || path.contains("max");
    let rule = match old {
        _ if scope.is_new || old == Some(new) => return true,
        _ if new == 0 && !path.contains("min") => &SCALED_TO_ZERO,
        Some(old) if old > new => &SCALED_DOWN,
        Some(old) if new > old.saturating_mul(2) => &SCALED_UP_MUCH,
        _ => &SCALED_UP,
    };
    let verb = if bound {
        format!("scale {} within other bounds", scope.name)
    } else {
        format!("scale {} to {new}", scope.name)
    };
    let text = old.map_or_else(|| format!("{path} set to {new}"), |old| format!("{path} {old} → {new}"));
    scope.say_as(rule, text, verb);
    true
}

/// Keys that mean the same wherever they stand.
fn rule_of(leaf: &Leaf) -> Option<&'static Rule> {
    let (old, new) = (&leaf.pair.old, &leaf.pair.new);
    let gone = new.is_absent();
    Some(match leaf.key.as_str() {
        "privileged" if new.is_true() => &PRIVILEGED,
        "hostNetwork" | "hostPID" | "hostIPC" if new.is_true() => &HOST_ACCESS,
        "shareProcessNamespace" | "hostProcess" if new.is_true() => &HOST_ACCESS,
        "procMount" if new.text() == Some("Unmasked") => &ESCALATION,
        "externalName" | "loadBalancerIP" => &TRAFFIC,
        "hostPath" | "hostPort" if !gone => &HOST_ACCESS,
        "path" if leaf.path.contains(".hostPath.") && !gone => &HOST_ACCESS,
        "runAsUser" | "runAsGroup" if new.number() == Some(0) => &RUNS_AS_ROOT,
        "runAsNonRoot" if !new.is_true() => &RUNS_AS_ROOT,
        "allowPrivilegeEscalation" if !new.is_false() => &ESCALATION,
        "readOnlyRootFilesystem" if !new.is_true() => &ESCALATION,
        "automountServiceAccountToken" if !new.is_false() => &SERVICE_ACCOUNT,
        "serviceAccountName" | "serviceAccount" => &SERVICE_ACCOUNT,
        "add" if leaf.path.contains("apabilities") && !gone => &CAPABILITIES,
        "livenessProbe" | "readinessProbe" | "startupProbe" if gone => &PROBE_REMOVED,
        "backup" | "backups" if gone => &PROTECTION_REMOVED,
        "tls" | "tlsSecretName" if gone => &TLS_REMOVED,
        "enabled" if leaf.path.to_ascii_lowercase().contains("tls") && !new.is_true() => &TLS_REMOVED,
        "enabled" | "create" if old.is_true() && !new.is_true() => switched_off(&leaf.path).unwrap_or(&SWITCHED),
        "enabled" | "create" | "disabled" | "install" if !old.is_absent() || leaf.path.contains('.') => &SWITCHED,
        "suspend" | "suspended" | "paused" => &SUSPENDED,
        "schedule" => &SCHEDULE,
        "command" | "args" | "entrypoint" | "extraArgs" => &COMMAND,
        "type" if matches!(new.text(), Some("LoadBalancer" | "NodePort")) => &EXPOSED,
        "host" | "hosts" | "hostname" | "hostnames" | "domain" if !gone => &HOST_NAME,
        "targetRevision" | "chartVersion" => &REVISION,
        "storageClass" | "storageClassName" | "accessMode" | "accessModes" | "existingClaim" if !old.is_absent() => &STORAGE_CHANGED,
        "size" | "storage" => size(old, new)?,
        "cpu" | "memory" | "ephemeral-storage" if leaf.path.contains("limits.") => limit(old, new),
        "cpu" | "memory" | "ephemeral-storage" if leaf.path.contains("requests.") => &RESOURCES,
        key if is_secret_literal(key, new) => &SECRET_LITERAL,
        _ => return None,
    })
}

/// What goes with a part of a chart that is switched off, where that is more than the part.
fn switched_off(path: &str) -> Option<&'static Rule> {
    let part = path.rsplit('.').nth(1)?.to_ascii_lowercase();
    Some(match part.as_str() {
        "persistence" | "persistentvolume" | "persistentvolumeclaim" | "pvc" => &VOLUME_REMOVED,
        "networkpolicy" | "networkpolicies" => &NETWORK_POLICY_REMOVED,
        "backup" | "backups" => &PROTECTION_REMOVED,
        "ingress" | "httproute" | "route" => &TRAFFIC_REMOVED,
        _ => return None,
    })
}

fn size(old: &Value, new: &Value) -> Option<&'static Rule> {
    match quantity::compare(old.text()?, new.text()?)? {
        Ordering::Less => Some(&VOLUME_SHRUNK),
        Ordering::Greater => Some(&VOLUME_GROWN),
        Ordering::Equal => None,
    }
}

/// The rule for a changed limit.
pub(super) fn limit(old: &Value, new: &Value) -> &'static Rule {
    match (old.text(), new.text()) {
        (Some(_), None) => &LIMIT_REMOVED,
        (Some(old), Some(new)) if quantity::compare(old, new) == Some(Ordering::Less) => &LIMIT_LOWERED,
        // What had no limit now has one.
        (None, Some(_)) => &LIMIT_LOWERED,
        _ => &RESOURCES,
    }
}

/// Whether a literal stands where a secret does, as the guard rails judge it. What SOPS has encrypted is theirs to look at.
pub(super) fn is_secret_literal(key: &str, value: &Value) -> bool {
    // A switch is no secret, whatever it is called.
    let Value::Scalar { text, typed } = value else { return false };
    !value.is_true() && !value.is_false() && crate::guard::is_literal_secret(key, text, *typed)
}

/// Names of both sides' lists of texts, as `+ a; − b`.
pub(super) fn list_change(pair: &Pair) -> Option<String> {
    let (added, removed) = pair.list_changes();
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("+ {}", list(added))),
        (true, false) => Some(format!("− {}", list(removed))),
        (false, false) => Some(format!("+ {}; − {}", list(added), list(removed))),
    }
}
