//! The rules by which a change is weighed: every line of a summary comes from one of them, and the worst one is the risk of the change.
//! `docs/risk.md` is this list; a test keeps the two equal.

use domain::Risk;
use serde::{Deserialize, Serialize};

/// How much a fact matters to the person who decides; worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data or access to everything may be lost.
    Critical,
    /// Something may stop, be exposed or get more rights.
    High,
    /// Behaviour changes in a way that should be looked at.
    Medium,
    /// An ordinary change.
    Low,
    /// Nothing that runs changes.
    Info,
}

impl Severity {
    /// The risk of a change whose worst line weighs this.
    pub const fn risk(self) -> Risk {
        match self {
            Self::Critical => Risk::Critical,
            Self::High => Risk::High,
            Self::Medium => Risk::Medium,
            Self::Low | Self::Info => Risk::Low,
        }
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable; cards, logs and documentation name it.
    pub id: &'static str,
    /// What a line of this rule weighs.
    pub severity: Severity,
    /// What it means, for documentation and cards.
    pub words: &'static str,
}

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $words:literal;)*) => {
        $(pub(super) static $name: Rule = Rule { id: $id, severity: Severity::$severity, words: $words };)*
        /// All rules, worst first; among equals, what should be read first.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    NAMESPACE_REMOVED = "namespace-removed", Critical, "a namespace goes, and everything in it";
    CRD_REMOVED = "crd-removed", Critical, "a resource definition goes, and every object of that kind";
    VOLUME_REMOVED = "volume-removed", Critical, "a volume or a claim goes, perhaps with its data";
    STORAGE_CLASS_REMOVED = "storage-class-removed", Critical, "a storage class goes";
    APPLICATION_CASCADES = "application-cascades", Critical, "an Argo CD application goes and takes all its objects with it";
    CLUSTER_ADMIN = "cluster-admin", Critical, "full rights on the cluster are granted";
    TERRAFORM_DATA_REMOVED = "terraform-data-removed", Critical, "a Terraform resource that holds machines or data is destroyed";

    DELETE_PATCH = "delete-patch", High, "a patch deletes an object or a list";
    PROTECTION_REMOVED = "protection-removed", High, "a protection against deletion, or a backup, is taken away";
    WORKLOAD_REMOVED = "workload-removed", High, "a workload goes";
    SCALED_TO_ZERO = "scaled-to-zero", High, "nothing of the workload runs any more";
    TRAFFIC_REMOVED = "traffic-removed", High, "a service, a route or a host name goes";
    SECRET_REMOVED = "secret-removed", High, "a secret, or what brings it into the cluster, goes";
    NETWORK_POLICY_REMOVED = "network-policy-removed", High, "a network policy goes: what it closed is open";
    NETWORK_POLICY_OPEN = "network-policy-open", High, "a network policy lets everybody in or out";
    APPLICATION_REMOVED = "application-removed", High, "an Argo CD application or project goes";
    APPLICATION_SOURCE = "application-source", High, "an Argo CD application takes its manifests from elsewhere";
    APPLICATION_DESTINATION = "application-destination", High, "an Argo CD application goes to another cluster, namespace or project";
    APPLICATION_PRUNE = "application-prune", High, "Argo CD may now delete what is no longer in git";
    PROJECT_WIDENED = "project-widened", High, "an Argo CD project allows more sources, destinations or kinds";
    RBAC_WIDENED = "rbac-widened", High, "a role allows more";
    RBAC_SUBJECTS = "rbac-subjects", High, "more people or accounts get a role";
    ROLE_REPLACED = "role-replaced", High, "a binding grants another role";
    ADMISSION = "admission", High, "what the cluster admits or how it extends its API changes";
    SECRET_LITERAL = "secret-literal", High, "a literal value stands under a name that names a secret";
    PRIVILEGED = "privileged", High, "a container may do everything on its node";
    HOST_ACCESS = "host-access", High, "a pod uses the network, processes or files of its node";
    RUNS_AS_ROOT = "runs-as-root", High, "a container may run as root where it did not";
    CAPABILITIES = "capabilities", High, "a container gets more kernel capabilities";
    POD_SECURITY = "pod-security", High, "a namespace admits less restricted pods";
    IMAGE_SOURCE = "image-source", High, "an image comes from another registry or repository";
    IMAGE_DOWNGRADE = "image-downgrade", High, "an image goes back to an older version";
    IMAGE_UNPINNED = "image-unpinned", High, "an image has no tag or `latest`: what runs is not decided here";
    EXPOSED = "exposed", High, "a service is reachable from outside the cluster";
    TLS_REMOVED = "tls-removed", High, "traffic is no longer encrypted";
    VOLUME_SHRUNK = "volume-shrunk", High, "a claim or a volume asks for less space than it has";
    STORAGE_CHANGED = "storage-changed", High, "storage class, access or volume of a claim changes: it has to be made anew";
    RECLAIM_DELETE = "reclaim-delete", High, "a released volume is deleted with its data";
    IDENTITY_CHANGED = "identity-changed", High, "names, labels or selectors change: objects are made anew under another identity";
    RESOURCE_UNLISTED = "resource-unlisted", High, "a kustomization no longer includes something: Argo CD may delete it";
    TERRAFORM_REMOVED = "terraform-removed", High, "a Terraform resource or module is destroyed";
    TERRAFORM_BACKEND = "terraform-backend", High, "Terraform keeps its state elsewhere, talks to another provider or takes a module from elsewhere";
    RESERVED = "reserved", High, "the policy, a runbook or this service's own deployment changes: what agents may do";
    PIPELINE = "pipeline", High, "what runs in CI, or who must review, changes";
    UNREADABLE = "unreadable", High, "a manifest could not be understood: read the diff";

    OLD_UNKNOWN = "old-unknown", Medium, "the old content was not at hand, so what changes is not known";
    OBJECT_REMOVED = "object-removed", Medium, "an object goes";
    SCALED_DOWN = "scaled-down", Medium, "fewer replicas";
    SCALED_UP_MUCH = "scaled-up-much", Medium, "more than twice the replicas";
    IMAGE_MAJOR = "image-major", Medium, "an image gets a new major version";
    IMAGE_CHANGED = "image-changed", Medium, "an image changes and the versions cannot be compared";
    COMMAND = "command", Medium, "what a container runs changes";
    CONTAINER_ADDED = "container-added", Medium, "a pod gets another container";
    CONTAINER_REMOVED = "container-removed", Medium, "a pod loses a container";
    PROBE_REMOVED = "probe-removed", Medium, "nobody asks a container any more whether it works";
    LIMIT_LOWERED = "limit-lowered", Medium, "a container may use less";
    LIMIT_REMOVED = "limit-removed", Medium, "a container may use as much as it likes";
    ESCALATION = "escalation", Medium, "a container is less confined";
    SERVICE_ACCOUNT = "service-account", Medium, "a pod acts under another identity, or gets its token";
    SECRET_REFERENCE = "secret-reference", Medium, "a secret is read from another place";
    SECRET_CHANGED = "secret-changed", Medium, "the contents of a secret change";
    DISRUPTION = "disruption", Medium, "more pods may be down at once";
    SCHEDULE = "schedule", Medium, "when a job runs changes";
    SUSPENDED = "suspended", Medium, "something is suspended or resumed";
    JOB_CHANGED = "job-changed", Medium, "a job's template changes: it runs again, or is refused";
    RBAC_CHANGED = "rbac-changed", Medium, "what somebody may do changes";
    NETWORK_POLICY = "network-policy", Medium, "what may talk to what changes";
    HOST_NAME = "host-name", Medium, "a host name is added";
    TRAFFIC = "traffic", Medium, "ports, routes or targets of traffic change";
    STORAGE_MOUNT = "storage-mount", Medium, "what a pod mounts changes";
    CONFIG_REMOVED = "config-removed", Medium, "a key of a configuration goes";
    SWITCHED = "switched", Medium, "something is switched on or off";
    REVISION = "revision", Medium, "another revision or chart version is delivered";
    SYNC_POLICY = "sync-policy", Medium, "how Argo CD delivers changes";
    MOVED_ELSEWHERE = "moved-elsewhere", Medium, "an object moves to another directory, perhaps to another application";
    PATCH = "patch", Medium, "a patch is added, removed or changed";
    CRD_CHANGED = "crd-changed", Medium, "the definition of a kind changes";
    TERRAFORM_CHANGED = "terraform-changed", Medium, "a Terraform block changes";
    TERRAFORM_ADDED = "terraform-added", Medium, "a Terraform resource or module is created";
    TEMPLATE = "template", Medium, "a template changes; what it renders to is not known here";
    SCRIPT = "script", Medium, "a script or an executable changes";
    OPAQUE_FILE = "opaque-file", Medium, "a file is not text";
    MANY_OBJECTS = "many-objects", Medium, "more than 20 objects or Terraform blocks change at once";
    MANY_NAMESPACES = "many-namespaces", Medium, "more than 3 namespaces are touched";
    MANY_APPLICATIONS = "many-applications", Medium, "more than 3 Argo CD applications are touched";
    SYSTEM_NAMESPACE = "system-namespace", Medium, "a namespace is touched that the cluster or its delivery depends on";

    RESTARTED = "restarted", Low, "pods are replaced without another change of what they run";
    SCALED_UP = "scaled-up", Low, "more replicas";
    IMAGE_UPDATED = "image-updated", Low, "an image gets a newer version";
    IMAGE_PINNED = "image-pinned", Low, "an image is pinned by digest";
    RESOURCES = "resources", Low, "requests change or limits rise";
    ENVIRONMENT = "environment", Low, "environment variables change";
    CONFIG = "config", Low, "keys of a configuration are added or change";
    VOLUME_GROWN = "volume-grown", Low, "a claim asks for more space";
    RESTRICTED = "restricted", Low, "something gets fewer rights";
    RESOURCE_LISTED = "resource-listed", Low, "a kustomization includes something more";
    OBJECT_ADDED = "object-added", Low, "an object is added";
    OBJECT_MOVED = "object-moved", Low, "an object moves to another file";
    API_VERSION = "api-version", Low, "an object is written for another API version";
    FIELD = "field", Low, "another field changes";
    FILE = "file", Low, "a file changes";

    LABELS = "labels", Info, "labels or annotations change";
    DOCUMENTATION = "documentation", Info, "only text for people changes";
    NO_EFFECT = "no-effect", Info, "only layout, order of keys or comments change";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_without_repeats() {
        assert!(RULES.is_sorted_by_key(|rule| rule.severity));
        let ids: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
    }
}
