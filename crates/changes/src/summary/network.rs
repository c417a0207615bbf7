//! Traffic: services, routes and their host names, encryption, network policies.

use std::collections::BTreeSet;

use super::fields;
use super::pair::Pair;
use super::report::Scope;
use super::rules::{EXPOSED, HOST_NAME, NETWORK_POLICY, NETWORK_POLICY_OPEN, RESTRICTED, TLS_REMOVED, TRAFFIC, TRAFFIC_REMOVED};
use super::value::Value;
use super::words::{count, list, value as shown, word};

/// Service.
pub(super) fn service(scope: &mut Scope<'_>, object: &mut Pair) {
    let kind = object.take("spec.type");
    let external = |value: &Value| matches!(value.text(), Some("LoadBalancer" | "NodePort"));
    if external(&kind.new) && kind.old != kind.new {
        let old = kind.old.text().map_or_else(|| "ClusterIP".to_owned(), word);
        let text = if scope.is_new {
            format!("type {}", shown("type", &kind.new))
        } else {
            format!("type {old} → {}", shown("type", &kind.new))
        };
        scope.say(&EXPOSED, text);
    } else if kind.changed() && !scope.is_new {
        scope.say(
            &TRAFFIC,
            format!("type {} → {}", shown("type", &kind.old), shown("type", &kind.new)),
        );
    }
    let addresses = object.take("spec.externalIPs");
    if let (added, _) = addresses.list_changes()
        && !added.is_empty()
    {
        scope.say(&EXPOSED, format!("external addresses + {}", list(added)));
    }
    if scope.is_new {
        return;
    }
    for (_, port) in object.take("spec.ports").keyed("name") {
        if port.changed() {
            scope.say(&TRAFFIC, format!("port {} → {}", port_words(&port.old), port_words(&port.new)));
        }
    }
    let selector = object.take("spec.selector");
    if selector.changed() {
        scope.say(
            &TRAFFIC,
            format!("sends traffic to {} instead of {}", labels(&selector.new), labels(&selector.old)),
        );
    }
    let ranges = object.take("spec.loadBalancerSourceRanges");
    if let Some(change) = fields::list_change(&ranges) {
        let rule = if ranges.new.is_absent() { &EXPOSED } else { &TRAFFIC };
        scope.say(rule, format!("allowed sources {change}"));
    }
}

fn port_words(port: &Value) -> String {
    if port.is_absent() {
        return "none".to_owned();
    }
    let part = |field: &str| port.text_at(field).map(word);
    let target = part("targetPort").map(|target| format!(" to {target}")).unwrap_or_default();
    let node = part("nodePort").map(|node| format!(" on node port {node}")).unwrap_or_default();
    format!("{}{target}{node}", part("port").unwrap_or_default())
}

fn labels(selector: &Value) -> String {
    let pairs = selector
        .keys()
        .map(|key| format!("{key}={}", selector.get(key).text().unwrap_or_default()));
    let shown = list(pairs);
    if shown.is_empty() { "nothing".to_owned() } else { shown }
}

/// Ingress.
pub(super) fn ingress(scope: &mut Scope<'_>, object: &mut Pair) {
    let (rules, tls) = (object.take("spec.rules"), object.take("spec.tls"));
    let hosts = |value: &Value| -> BTreeSet<String> {
        value
            .items()
            .iter()
            .map(|rule| rule.text_at("host").unwrap_or("*").to_owned())
            .collect()
    };
    host_names(scope, &hosts(&rules.old), &hosts(&rules.new));
    let secured = |value: &Value| -> BTreeSet<String> {
        value
            .items()
            .iter()
            .flat_map(|entry| entry.get("hosts").texts())
            .map(str::to_owned)
            .collect()
    };
    let lost: Vec<String> = secured(&tls.old).difference(&secured(&tls.new)).cloned().collect();
    if !tls.old.is_absent() && tls.new.is_absent() {
        scope.say(&TLS_REMOVED, "TLS removed");
    } else if !lost.is_empty() && lost.iter().any(|host| hosts(&rules.new).contains(host)) {
        scope.say(&TLS_REMOVED, format!("TLS removed for {}", list(lost)));
    } else if tls.changed() && !scope.is_new {
        scope.say(&TRAFFIC, "TLS settings change");
    }
    if scope.is_new && tls.new.is_absent() && !rules.new.is_absent() {
        scope.note_as(&TRAFFIC, "serves without TLS", format!("add {}", scope.label));
    }
    if !scope.is_new {
        targets(scope, &rules);
    }
}

/// Where paths lead, for hosts of both sides.
fn targets(scope: &mut Scope<'_>, rules: &Pair) {
    let leads = |value: &Value| -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for rule in value.items() {
            for path in rule.at("http.paths").items() {
                let service = path.at("backend.service");
                let port = service
                    .text_at("port.number")
                    .or_else(|| service.text_at("port.name"))
                    .unwrap_or_default();
                let host = rule.text_at("host").unwrap_or("*");
                let to = service.text_at("name").unwrap_or("something else");
                all.insert(format!("{host}{} to {to}:{port}", path.text_at("path").unwrap_or_default()));
            }
        }
        all
    };
    differences(scope, &leads(&rules.old), &leads(&rules.new));
}

fn differences(scope: &mut Scope<'_>, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    let added: Vec<&String> = new.difference(old).collect();
    let removed: Vec<&String> = old.difference(new).collect();
    if !added.is_empty() {
        scope.say(&TRAFFIC, format!("way added: {}", list(added)));
    }
    if !removed.is_empty() {
        scope.say(&TRAFFIC, format!("way removed: {}", list(removed)));
    }
}

fn host_names(scope: &mut Scope<'_>, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    let added: Vec<&String> = new.difference(old).collect();
    let removed: Vec<&String> = old.difference(new).collect();
    if !added.is_empty() {
        scope.say(&HOST_NAME, format!("host {}", list(added)));
    }
    if !removed.is_empty() {
        scope.say(&TRAFFIC_REMOVED, format!("host {} removed", list(removed)));
    }
}

/// HTTPRoute, GRPCRoute, TLSRoute of the Gateway API.
pub(super) fn route(scope: &mut Scope<'_>, object: &mut Pair) {
    let names = object.take("spec.hostnames");
    let set = |value: &Value| -> BTreeSet<String> { value.texts().into_iter().map(str::to_owned).collect() };
    host_names(scope, &set(&names.old), &set(&names.new));
    let rules = object.take("spec.rules");
    if scope.is_new {
        return;
    }
    let leads = |value: &Value| -> BTreeSet<String> {
        let backends = value.items().iter().flat_map(|rule| rule.get("backendRefs").items());
        backends
            .map(|to| {
                let weight = to.text_at("weight").map(|weight| format!(" weight {weight}")).unwrap_or_default();
                format!(
                    "to {}:{}{weight}",
                    to.text_at("name").unwrap_or_default(),
                    to.text_at("port").unwrap_or_default()
                )
            })
            .collect()
    };
    let (old, new) = (leads(&rules.old), leads(&rules.new));
    if old != new {
        differences(scope, &old, &new);
    } else if rules.changed() {
        scope.say(&TRAFFIC, "matches or filters change");
    }
}

/// Gateway: its listeners.
pub(super) fn gateway(scope: &mut Scope<'_>, object: &mut Pair) {
    for (name, listener) in object.take("spec.listeners").keyed("name") {
        let show = |value: &Value| {
            let part = |field: &str| value.text_at(field).map(word).unwrap_or_default();
            let host = value.text_at("hostname").map_or_else(|| "any host".to_owned(), word);
            if value.is_absent() {
                "none".to_owned()
            } else {
                format!("{} {} {host}", part("protocol"), part("port"))
            }
        };
        if !listener.changed() {
            continue;
        }
        let encrypted = |value: &Value| !value.get("tls").is_absent() || matches!(value.text_at("protocol"), Some("HTTPS" | "TLS"));
        let rule = match (listener.old.is_absent(), listener.new.is_absent()) {
            (_, true) => &TRAFFIC_REMOVED,
            (true, _) => &HOST_NAME,
            _ if encrypted(&listener.old) && !encrypted(&listener.new) => &TLS_REMOVED,
            _ => &TRAFFIC,
        };
        scope.say(
            rule,
            format!("listener {} {} → {}", word(&name), show(&listener.old), show(&listener.new)),
        );
    }
}

/// NetworkPolicy.
pub(super) fn policy(scope: &mut Scope<'_>, object: &mut Pair) {
    let pods = object.take("spec.podSelector");
    if pods.changed() && !scope.is_new {
        let all = matches!(&pods.new, Value::Map(labels) if labels.is_empty());
        let rule = if all { &RESTRICTED } else { &NETWORK_POLICY_OPEN };
        scope.say(rule, "no longer applies to the same pods");
    }
    let (was, is) = (restricts(&object.old), restricts(&object.new));
    object.take("spec.policyTypes");
    for (nth, field, peers, direction) in [(0, "ingress", "from", "in"), (1, "egress", "to", "out")] {
        let rules = object.take(&format!("spec.{field}"));
        match (was[nth], is[nth]) {
            (true, false) => scope.say(&NETWORK_POLICY_OPEN, format!("no longer restricts what goes {direction}")),
            (false, true) => {
                scope.say(&RESTRICTED, format!("restricts what goes {direction}"));
                one_direction(scope, &Pair::new(Value::Absent, rules.new), peers, direction);
            }
            (true, true) if rules.changed() => one_direction(scope, &rules, peers, direction),
            _ => {}
        }
    }
}

/// Whether a policy restricts ingress and egress. Without `policyTypes` it is ingress, and egress if there are rules for it.
fn restricts(policy: &Value) -> [bool; 2] {
    let types = policy.at("spec.policyTypes");
    if policy.is_absent() {
        return [false, false];
    }
    if types.is_absent() {
        return [true, !policy.at("spec.egress").is_absent()];
    }
    ["Ingress", "Egress"].map(|name| types.texts().contains(&name))
}

fn one_direction(scope: &mut Scope<'_>, rules: &Pair, peers: &str, direction: &str) {
    let open = |value: &Value| value.items().iter().any(|rule| is_open(rule, peers));
    if open(&rules.new) && !open(&rules.old) {
        scope.say(&NETWORK_POLICY_OPEN, format!("lets everybody {direction}"));
        return;
    }
    if scope.is_new {
        return;
    }
    let (added, removed) = (missing(&rules.new, &rules.old), missing(&rules.old, &rules.new));
    if added > 0 {
        scope.say(
            &NETWORK_POLICY,
            format!("{} that lets traffic {direction}", count(added, "new rule")),
        );
    }
    if removed > 0 {
        scope.say(
            &RESTRICTED,
            format!("{} fewer that let traffic {direction}", count(removed, "rule")),
        );
    }
}

/// How many items of one list the other lacks.
fn missing(these: &Value, those: &Value) -> usize {
    const COMPARED_MAX: usize = 500;
    these
        .items()
        .iter()
        .take(COMPARED_MAX)
        .filter(|item| !those.items().iter().take(COMPARED_MAX).any(|other| other == *item))
        .count()
}

/// Whether a rule names no peer, or all of them.
fn is_open(rule: &Value, peers: &str) -> bool {
    let everyone = |peer: &Value| {
        matches!(peer.text_at("ipBlock.cidr"), Some("0.0.0.0/0" | "::/0")) && peer.at("ipBlock.except").is_absent()
            || matches!(peer.get("namespaceSelector"), Value::Map(labels) if labels.is_empty()) && peer.get("podSelector").is_absent()
    };
    // A rule that only names ports lets everybody use them.
    rule.get(peers).items().is_empty() || rule.get(peers).items().iter().any(everyone)
}
