//! Forms in which secrets come beside plain manifests: typed lists, encoded files, files under any name, patches, scripts, and what only looks
//! like a reference. Each with ordinary content that passes.

use crate::cases::{Case, case};

/// All cases of this file.
pub fn forms() -> Vec<Case> {
    typed_lists()
}

fn typed_lists() -> Vec<Case> {
    let list = |kind: &str, items: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{}}\nitems:\n{items}");
    let rbac = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBindingList\nmetadata: {}\nitems:\n- metadata: {name: a}\n  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: b}\n";
    let item = "- metadata: {name: x}\n  stringData:\n    a: hunter2\n";
    vec![
        case("SecretList", "a.yaml", list("SecretList", item), &["structure.secret:7:refuse"]).hides("hunter2"),
        case("SecretList as JSON", "a.json", "{\"apiVersion\": \"v1\", \"kind\": \"SecretList\", \"metadata\": {}, \"items\": [{\"metadata\": {\"name\": \"x\"},\n\"data\": {\"a\": \"aHVudGVyMg==\"}}]}", &["structure.secret:2:refuse"]).hides("aHVudGVyMg"),
        case("SecretList with an empty kind", "a.yaml", list("SecretList", &item.replace("- metadata", "- kind: \"\"\n  metadata")), &["structure.secret:8:refuse"]).hides("hunter2"),
        case("SecretList in a List", "a.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: SecretList\n  metadata: {{}}\n  items:\n  {}", item.replace('\n', "\n  ").trim_end()), &["structure.secret:10:refuse"]).hides("hunter2"),
        case("SecretList without values", "a.yaml", list("SecretList", "- metadata: {name: x}\n  stringData: {a: \"\"}\n"), &[]),
        case("ConfigMapList", "a.yaml", list("ConfigMapList", "- metadata: {name: x}\n  data:\n    DB_PASSWORD: hunter2\n    LEVEL: info\n"), &["structure.configmap:7:refuse"]).hides("hunter2"),
        case("ConfigMapList without secrets", "a.yaml", list("ConfigMapList", "- metadata: {name: x}\n  data: {LEVEL: info}\n"), &[]),
        case("ClusterRoleBindingList", "a.yaml", rbac, &["kind.rbac:5:manual"]),
        case("ClusterRoleBindingList that stays", "a.yaml", format!("{rbac}# a comment\n"), &[]).over(rbac),
        case("ClusterRoleBindingList removed", "a.yaml", rbac, &["kind.rbac:0:manual"]).removed(),
        case("NamespaceList", "a.yaml", list("NamespaceList", "- metadata: {name: shop}\n- metadata: {name: web}\n"), &["kind.namespace:5:manual", "kind.namespace:6:manual"]),
        case("ApplicationList", "a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationList\nitems:\n- metadata: {name: x}\n", &["kind.argocd:4:manual", "manifest.unknown-kind:4:remark"]),
        case("an item keeps its own kind", "a.yaml", list("SecretList", "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n  data: {a: b}\n"), &[]),
        case("a list of settings", "values.yaml", "kind: AllowList\nitems:\n- data: {a: b}\n", &[]),
    ]
}
