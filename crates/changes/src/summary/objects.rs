//! Kubernetes objects of a change: found on both sides by identity, wherever they stand, and handed to the reader of their kind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::RepoPath;

use super::pair::Pair;
use super::report::{Report, Scope};
use super::rules::{
    ADMISSION, API_VERSION, APPLICATION_CASCADES, APPLICATION_REMOVED, CRD_REMOVED, MOVED_ELSEWHERE, NAMESPACE_REMOVED,
    NETWORK_POLICY_REMOVED, OBJECT_ADDED, OBJECT_MOVED, OBJECT_REMOVED, PATCH, Rule, SECRET_REMOVED, STORAGE_CLASS_REMOVED,
    TRAFFIC_REMOVED, VOLUME_REMOVED, WORKLOAD_REMOVED,
};
use super::value::Value;
use super::words::{clean, count, literal, word};
use super::{Action, ObjectRef};
use super::{argocd, config, fields, images, kustomize, metadata, network, rbac, storage, workloads};

/// An object as it stands in a file.
pub(super) struct Document {
    pub path: RepoPath,
    pub value: Value,
}

/// What makes two manifests the same object; the version of its API is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Key {
    fn of(value: &Value) -> Self {
        let text = |path: &str| value.text_at(path).unwrap_or_default().to_owned();
        let version = text("apiVersion");
        let name = if value.at("metadata.name").is_absent() {
            text("metadata.generateName")
        } else {
            text("metadata.name")
        };
        Self {
            group: version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
            kind: text("kind"),
            namespace: text("metadata.namespace"),
            name,
        }
    }
}

/// Whether a document is an object: it says which API it belongs to and what kind it is.
pub(super) fn is_object(value: &Value) -> bool {
    value.text_at("apiVersion").is_some() && value.text_at("kind").is_some()
}

/// The objects of a document: itself, or those of a `List`.
pub(super) fn flatten(value: Value) -> Vec<Value> {
    let is_list = value.text_at("kind").is_some_and(|kind| kind.ends_with("List")) && matches!(value.get("items"), Value::List(_));
    match value {
        Value::Map(mut entries) if is_list => match entries.remove("items") {
            Some(Value::List(mut items)) => {
                items.iter_mut().for_each(|item| inherit(item, &entries));
                items.into_iter().filter(is_object).collect()
            }
            _ => Vec::new(),
        },
        value => vec![value],
    }
}

/// An item of a typed list (`SecretList`) that says no kind is of the list's, as kubectl reads it.
fn inherit(item: &mut Value, list: &BTreeMap<String, Value>) {
    let text = |key: &str| list.get(key).and_then(Value::text).unwrap_or_default();
    let kind = text("kind").strip_suffix("List").unwrap_or_default();
    let Value::Map(fields) = item else { return };
    for (key, text) in [("apiVersion", text("apiVersion")), ("kind", kind)] {
        if !kind.is_empty() && !text.is_empty() {
            fields.entry(key.to_owned()).or_insert_with(|| Value::Scalar {
                text: text.to_owned(),
                typed: false,
            });
        }
    }
}

/// Pairs the objects of both sides and explains each.
pub(super) fn explain(old: Vec<Document>, new: Vec<Document>, report: &mut Report) {
    let labels = Labels::of(old.iter().chain(&new));
    let mut here: BTreeMap<(Key, RepoPath), VecDeque<Value>> = BTreeMap::new();
    for document in old {
        here.entry((Key::of(&document.value), document.path))
            .or_default()
            .push_back(document.value);
    }
    // First what stands in the same file, so that a base and its overlay are not taken for each other; then what stands elsewhere.
    let mut homeless = Vec::new();
    for document in new {
        let key = (Key::of(&document.value), document.path);
        match here.get_mut(&key).and_then(VecDeque::pop_front) {
            Some(value) => both(&labels, &key.0, &key.1, &key.1, Pair::new(value, document.value), report),
            None => homeless.push((key, document.value)),
        }
    }
    let mut elsewhere: BTreeMap<Key, VecDeque<(RepoPath, Value)>> = BTreeMap::new();
    for ((key, path), values) in here {
        elsewhere
            .entry(key)
            .or_default()
            .extend(values.into_iter().map(|value| (path.clone(), value)));
    }
    for ((key, path), value) in homeless {
        match elsewhere.get_mut(&key).and_then(VecDeque::pop_front) {
            Some((from, old)) => both(&labels, &key, &from, &path, Pair::new(old, value), report),
            None => added(&labels, &key, &path, value, report),
        }
    }
    for (key, values) in elsewhere {
        for (path, value) in values {
            removed(&labels, &key, &path, &value, report);
        }
    }
}

/// How objects are called: `Deployment web`, with its namespace where the change has another of that kind and name.
struct Labels(BTreeSet<(String, String)>);

impl Labels {
    fn of<'d>(documents: impl Iterator<Item = &'d Document>) -> Self {
        let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut ambiguous = BTreeSet::new();
        for document in documents {
            let key = Key::of(&document.value);
            let name = (key.kind, key.name);
            if seen.get(&name).is_some_and(|namespace| *namespace != key.namespace) {
                ambiguous.insert(name.clone());
            }
            seen.insert(name, key.namespace);
        }
        Self(ambiguous)
    }

    fn label(&self, key: &Key) -> String {
        let named = self.0.contains(&(key.kind.clone(), key.name.clone())) && !key.namespace.is_empty();
        let namespace = if named {
            format!("{}/", word(&key.namespace))
        } else {
            String::new()
        };
        format!("{} {namespace}{}", word(&key.kind), word(&key.name))
    }
}

fn name_object(key: &Key, action: Action, report: &mut Report) {
    let namespace = match key.kind.as_str() {
        "Namespace" => Some(clean(&key.name, 63)),
        _ => (!key.namespace.is_empty()).then(|| clean(&key.namespace, 63)),
    };
    // Argo CD's own objects live beside it; what they deliver goes elsewhere.
    let delivery = key.group == "argoproj.io" && matches!(key.kind.as_str(), "Application" | "ApplicationSet" | "AppProject");
    if let Some(namespace) = namespace.as_ref().filter(|_| !delivery) {
        report.namespace(namespace);
    }
    report.object(ObjectRef {
        kind: clean(&key.kind, 63),
        namespace: namespace.filter(|_| key.kind != "Namespace"),
        name: clean(&key.name, 253),
        action,
    });
}

fn both(labels: &Labels, key: &Key, from: &RepoPath, to: &RepoPath, mut object: Pair, report: &mut Report) {
    let moved = from != to;
    if !moved && !object.changed() {
        return;
    }
    name_object(key, if moved { Action::Moved } else { Action::Changed }, report);
    let mut scope = report.scope(to, labels.label(key), word(&key.name), false);
    if moved {
        let rule = if from.parent() == to.parent() {
            &OBJECT_MOVED
        } else {
            &MOVED_ELSEWHERE
        };
        let verb = format!("move {}", scope.label);
        scope.say_as(rule, format!("moved here from {}", word(from.as_str())), verb);
        scope.report.mark(from);
    }
    if !object.changed() {
        return;
    }
    let version = object.take("apiVersion");
    if version.changed() {
        let show = |value: &Value| value.text().map(word).unwrap_or_default();
        scope.say(&API_VERSION, format!("apiVersion {} → {}", show(&version.old), show(&version.new)));
    }
    if is_partial(&object.old) || is_partial(&object.new) {
        partial(&mut scope, object);
    } else {
        read(&mut scope, key, object);
    }
}

fn added(labels: &Labels, key: &Key, path: &RepoPath, value: Value, report: &mut Report) {
    name_object(key, Action::Added, report);
    let is_patch = is_partial(&value);
    let mut scope = report.scope(path, labels.label(key), word(&key.name), !is_patch);
    let verb = format!("add {}", scope.label);
    if is_patch {
        scope.say_as(&PATCH, "patch added", verb);
        partial(&mut scope, Pair::new(Value::Absent, value));
        return;
    }
    let place = if key.namespace.is_empty() {
        String::new()
    } else {
        format!(" to namespace {}", word(&key.namespace))
    };
    scope.note_as(&OBJECT_ADDED, format!("added{place}{}", details(&value)), verb);
    read(&mut scope, key, Pair::new(Value::Absent, value));
}

/// ` (nginx:1.27, 2 replicas)` of a workload.
fn details(value: &Value) -> String {
    let images = pod_spec(value).map(|pod| pod.get("containers").items()).unwrap_or_default();
    let mut parts: Vec<String> = images
        .iter()
        .take(3)
        .filter_map(|container| container.text_at("image"))
        .map(images::short)
        .collect();
    if let Some(replicas) = value.at("spec.replicas").number() {
        parts.push(count(usize::try_from(replicas).unwrap_or_default(), "replica"));
    }
    if value
        .text_at("apiVersion")
        .is_some_and(|version| version.starts_with("argoproj.io/"))
    {
        let source = |field: &str| value.text_at(&format!("spec.source.{field}"));
        parts.extend(
            source("path")
                .or_else(|| source("chart"))
                .map(|path| format!("from {}", literal(path))),
        );
        parts.extend(
            value
                .text_at("spec.destination.namespace")
                .map(|namespace| format!("into namespace {}", word(namespace))),
        );
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

fn pod_spec(value: &Value) -> Option<&Value> {
    ["spec.jobTemplate.spec.template.spec", "spec.template.spec", "spec"]
        .iter()
        .map(|path| value.at(path))
        .find(|spec| !spec.get("containers").is_absent())
}

/// A workload without selector and image is no manifest: it is a patch over one, and everything in it counts.
fn is_partial(value: &Value) -> bool {
    let is_workload = matches!(value.text_at("kind"), Some("Deployment" | "StatefulSet" | "DaemonSet"));
    let has_image = pod_spec(value).is_some_and(|pod| {
        pod.get("containers")
            .items()
            .iter()
            .any(|container| container.text_at("image").is_some())
    });
    is_workload && value.at("spec.selector").is_absent() && !has_image
}

fn partial(scope: &mut Scope<'_>, mut object: Pair) {
    if object.new != object.old {
        kustomize::deletes(scope, &object.new);
    }
    for field in ["apiVersion", "kind", "metadata.name", "metadata.namespace"] {
        object.take(field);
    }
    object.take_key("$patch");
    metadata::explain(scope, &mut object);
    fields::explain(scope, "", object);
}

fn removed(labels: &Labels, key: &Key, path: &RepoPath, value: &Value, report: &mut Report) {
    name_object(key, Action::Removed, report);
    let mut scope = report.scope(path, labels.label(key), word(&key.name), false);
    let verb = format!("remove {}", scope.label);
    if is_partial(value) {
        scope.say_as(&PATCH, "patch removed", verb);
        return;
    }
    let rule = removal(key, value);
    let place = if key.namespace.is_empty() {
        String::new()
    } else {
        format!(" from namespace {}", word(&key.namespace))
    };
    let note = if rule == &APPLICATION_CASCADES {
        ", and with it everything it deployed"
    } else {
        ""
    };
    scope.say_as(rule, format!("removed{place}{note}"), verb);
}

fn removal(key: &Key, value: &Value) -> &'static Rule {
    match key.kind.as_str() {
        "Namespace" => &NAMESPACE_REMOVED,
        "CustomResourceDefinition" => &CRD_REMOVED,
        "PersistentVolumeClaim" | "PersistentVolume" => &VOLUME_REMOVED,
        "StorageClass" => &STORAGE_CLASS_REMOVED,
        "Application" | "ApplicationSet" if key.group == "argoproj.io" && argocd::cascades(value) => &APPLICATION_CASCADES,
        "Application" | "ApplicationSet" | "AppProject" if key.group == "argoproj.io" => &APPLICATION_REMOVED,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "CronJob" | "Rollout" | "Pod" | "HelmRelease" | "HelmChart" => {
            &WORKLOAD_REMOVED
        }
        "Service" | "Ingress" | "Gateway" | "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "IngressRoute" | "IPAddressPool" => {
            &TRAFFIC_REMOVED
        }
        "NetworkPolicy" | "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy" => &NETWORK_POLICY_REMOVED,
        "Secret" | "SealedSecret" | "ExternalSecret" | "SecretStore" | "ClusterSecretStore" => &SECRET_REMOVED,
        kind if kind.starts_with("Infisical") => &SECRET_REMOVED,
        kind if is_admission(kind) => &ADMISSION,
        _ => &OBJECT_REMOVED,
    }
}

fn is_admission(kind: &str) -> bool {
    kind.contains("WebhookConfiguration") || kind.contains("AdmissionPolicy") || kind == "APIService"
}

/// Hands an object to the reader of its kind; what that leaves is explained by path.
fn read(scope: &mut Scope<'_>, key: &Key, mut object: Pair) {
    for field in ["apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.generateName"] {
        object.take(field);
    }
    let reader: fn(&mut Scope<'_>, &mut Pair) = match (key.group.as_str(), key.kind.as_str()) {
        (_, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Rollout") => workloads::workload,
        ("batch", "Job") => workloads::job,
        ("batch", "CronJob") => workloads::cron_job,
        ("", "Pod") => workloads::pod,
        (_, "HorizontalPodAutoscaler") => workloads::autoscaler,
        (_, "PodDisruptionBudget") => workloads::disruption,
        ("", "PersistentVolumeClaim") => storage::claim,
        ("", "PersistentVolume") => storage::volume,
        (_, "StorageClass") => storage::class,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => rbac::role,
        ("rbac.authorization.k8s.io", "RoleBinding") => |scope, object| rbac::binding(scope, object, false),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => |scope, object| rbac::binding(scope, object, true),
        ("", "Service") => network::service,
        (_, "Ingress") => network::ingress,
        (_, "Gateway") => network::gateway,
        (_, "HTTPRoute" | "GRPCRoute" | "TLSRoute") => network::route,
        ("networking.k8s.io", "NetworkPolicy") => network::policy,
        ("", "ConfigMap") => config::config_map,
        ("", "Secret") => config::secret,
        ("", "Namespace") => config::namespace,
        (_, "SealedSecret") => config::sealed,
        (_, "ExternalSecret") => config::reference,
        (_, "CustomResourceDefinition") => config::definition,
        ("argoproj.io", "Application") => |scope, object| argocd::application(scope, object, "spec"),
        ("argoproj.io", "ApplicationSet") => |scope, object| argocd::application(scope, object, "spec.template.spec"),
        ("argoproj.io", "AppProject") => argocd::project,
        (_, kind) if kind.starts_with("Infisical") => config::reference,
        (_, kind) if is_admission(kind) => config::admission,
        _ => |_, _| {},
    };
    reader(scope, &mut object);
    metadata::explain(scope, &mut object);
    fields::explain(scope, "", object);
}
