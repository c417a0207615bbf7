//! Kubernetes documents of a file: what they are, and which sensitive kinds a change touches.

use std::collections::BTreeMap;

use domain::RepoPath;
use serde_json::Value;

use super::sink::Sink;
use super::structure::quoted;
use super::tree::{self, Beyond, Node, Tree};
use super::work::Work;

/// Groups, their kinds, and the rule for them. Whatever the group of admission has counts.
const SENSITIVE: &[(&str, &[&str], &str)] = &[
    ("argoproj.io", &["Application", "ApplicationSet", "AppProject"], "kind.argocd"),
    (
        "rbac.authorization.k8s.io",
        &["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"],
        "kind.rbac",
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"], "kind.crd"),
    ("", &["Namespace"], "kind.namespace"),
    (
        "admissionregistration.k8s.io",
        &[
            "ValidatingWebhookConfiguration",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ],
        ADMISSION,
    ),
];
const ADMISSION: &str = "kind.admission";
const A_PERSON_LOOKS: &str = "a person looks at this; keep it out of other changes";

/// One document with apiVersion and kind; a list's items count one by one.
pub(super) struct Manifest<'t> {
    pub node: &'t Node,
    pub api_version: String,
    pub kind: String,
    pub json: Value,
}

impl Manifest<'_> {
    /// How many values it holds, those behind aliases included.
    pub fn size(&self) -> usize {
        fn count(value: &Value) -> usize {
            match value {
                Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
                Value::Object(fields) => 1 + fields.len() + fields.values().map(count).sum::<usize>(),
                _ => 1,
            }
        }
        count(&self.json)
    }

    /// Whether nothing names it. Requests such as a TokenReview need no name.
    pub fn is_nameless(&self) -> bool {
        let named = ["/metadata/name", "/metadata/generateName"].into_iter().any(|place| {
            let name = self.json.pointer(place);
            name.is_some_and(|name| name.as_str().is_none_or(|name| !name.is_empty()))
        });
        !named && !self.kind.ends_with("Review")
    }

    /// What makes it the same object before and after.
    pub fn identity(&self) -> [String; 4] {
        let text = |key: &str| self.json.pointer(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = self.api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        [group, self.kind.clone(), text("/metadata/namespace"), text("/metadata/name")]
    }
}

/// A file's documents.
#[derive(Default)]
pub(super) struct Documents<'t> {
    pub manifests: Vec<Manifest<'t>>,
    /// All documents as values, manifests or not, with their lines.
    pub values: Vec<(usize, Value)>,
    /// Documents that expand to too much.
    pub over_budget: Vec<usize>,
}

impl Documents<'_> {
    /// Keeps what stands in these documents of the file.
    pub fn only(&mut self, kept: impl Fn(&Node) -> bool, tree: &Tree) {
        let spans: Vec<(usize, usize)> = tree
            .documents
            .iter()
            .filter(|document| kept(document))
            .map(|document| (document.line, document.end_line))
            .collect();
        let within = |line: usize| spans.iter().any(|(first, last)| (*first..=*last).contains(&line));
        self.manifests.retain(|manifest| within(manifest.node.line));
        self.values.retain(|(line, _)| within(*line));
    }
}

/// Expands the documents of a file.
pub(super) fn documents<'t>(tree: &'t Tree, work: &Work) -> Documents<'t> {
    let mut all = Documents::default();
    let mut left = tree::EXPANDED_MAX;
    for document in &tree.documents {
        if document.is_null() {
            continue;
        }
        let value = match tree.to_json_within(document, &mut left, work) {
            Ok(value) => value,
            Err(Beyond::Values) => {
                all.over_budget.push(document.line);
                continue;
            }
            Err(Beyond::Work) => break,
        };
        collect(tree, document, &value, ["", ""], &mut all, 0);
        all.values.push((document.line, value));
    }
    all
}

/// `inherited`: apiVersion and kind that an item has from its list where it says none, as kubectl reads `SecretList` and its like.
fn collect<'t>(tree: &'t Tree, node: &'t Node, value: &Value, inherited: [&str; 2], all: &mut Documents<'t>, depth: usize) {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let api_version = text("apiVersion").unwrap_or(inherited[0]);
    let kind = text("kind").unwrap_or(inherited[1]);
    if api_version.is_empty() || kind.is_empty() || depth > 3 {
        return;
    }
    if let Some(of) = kind.strip_suffix("List")
        && let (Some(nodes), Some(Value::Array(values))) = (tree.get(node, "items"), value.get("items"))
    {
        for (node, value) in nodes.items().iter().zip(values) {
            let inherited = if of.is_empty() { ["", ""] } else { [api_version, of] };
            collect(tree, tree.resolve(node), value, inherited, all, depth + 1);
        }
        return;
    }
    let mut json = value.clone();
    if let Value::Object(fields) = &mut json {
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    let manifest = Manifest {
        node,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        json,
    };
    all.manifests.push(manifest);
}

/// Sensitive kinds that are added, changed or removed.
pub(super) fn sensitive(path: &RepoPath, old: &[Manifest<'_>], new: &[Manifest<'_>], sink: &mut Sink<'_>) {
    let by_identity = |all: &[Manifest<'_>]| -> BTreeMap<[String; 4], (usize, Value)> {
        all.iter()
            .map(|manifest| (manifest.identity(), (manifest.node.line, manifest.json.clone())))
            .collect()
    };
    let (before, after) = (by_identity(old), by_identity(new));
    for (identity, (line, value)) in &after {
        let previous = before.get(identity).map(|(_, value)| value);
        if previous == Some(value) {
            continue;
        }
        let what = if previous.is_some() { "changed" } else { "added" };
        touched(identity, Some(*line), what, sink);
        if identity[1].starts_with("Infisical") && owned(value) && previous.is_some_and(|previous| !owned(previous)) {
            let message = format!("{} becomes owner of its Secret", words(identity));
            sink.put(
                "infisical.owner",
                Some(*line),
                message,
                "with Owner the Secret is deleted together with the resource; a person decides that",
            );
        }
    }
    for identity in before.keys().filter(|identity| !after.contains_key(*identity)) {
        touched(identity, None, "removed", sink);
        if matches!(
            identity[1].as_str(),
            "InfisicalStaticSecret" | "InfisicalSecret" | "InfisicalDynamicSecret"
        ) {
            let message = format!("{} is removed from {}", words(identity), path.file_name());
            sink.put(
                "infisical.removed",
                None,
                message,
                "its Secret may be deleted with it; a person decides that",
            );
        }
    }
}

/// The same for a template that is no YAML: a changed one that names such a kind, as it did or does now.
pub(super) fn sensitive_lines(old: Option<&str>, new: &str, sink: &mut Sink<'_>) {
    let mut told = Vec::new();
    for (now, text) in [(true, new), (false, old.unwrap_or_default())] {
        for (nth, line) in text.lines().enumerate() {
            let Some((kind, rule)) = line.strip_prefix("kind:").and_then(sensitive_kind) else {
                continue;
            };
            if told.contains(&kind) {
                continue;
            }
            told.push(kind);
            let message = format!("a template of {kind} is changed, which is no YAML before it is rendered");
            sink.put(rule, now.then_some(nth + 1), message, A_PERSON_LOOKS);
        }
    }
}

/// The kind that a line names, where such a kind is only one group's.
fn sensitive_kind(written: &str) -> Option<(&'static str, &'static str)> {
    let written = written.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let mut kinds = SENSITIVE
        .iter()
        .flat_map(|(_, kinds, rule)| kinds.iter().map(move |kind| (*kind, *rule)));
    kinds.find(|(kind, _)| *kind == written)
}

fn touched(identity: &[String; 4], line: Option<usize>, what: &str, sink: &mut Sink<'_>) {
    let [group, kind, ..] = identity;
    let of = SENSITIVE
        .iter()
        .find(|(of, kinds, rule)| of == group && (*rule == ADMISSION || kinds.contains(&kind.as_str())));
    let Some((_, _, rule)) = of else { return };
    sink.put(rule, line, format!("{} is {what}", words(identity)), A_PERSON_LOOKS);
}

fn words(identity: &[String; 4]) -> String {
    let [_, kind, namespace, name] = identity;
    let place = if namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {}", quoted(namespace))
    };
    format!("{kind} {}{place}", quoted(name))
}

fn owned(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| (key == "creationPolicy" && value == "Owner") || owned(value)),
        Value::Array(items) => items.iter().any(owned),
        _ => false,
    }
}
