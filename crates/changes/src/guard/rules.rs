//! All rule ids with what they do unless configured otherwise. The ids are part of the interface: cards, answers and configuration name them.

use domain::Tier;

use super::Effect;

/// One rule of the guard rails that is not a secret pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Stable id.
    pub id: &'static str,
    /// What it does when nothing else is configured.
    pub effect: Effect,
    /// What it looks for.
    pub about: &'static str,
}

/// The id prefix of secret patterns: the built-in ones and those of the operator's file.
pub const SECRET_PREFIX: &str = "secret.";

/// The rule that speaks where the work for a change ends. What was not looked at always asks people, so it can neither be weakened nor
/// switched off.
pub(super) const BUDGET: &str = "guard.budget";

const MANUAL: Effect = Effect::Raise(Tier::Manual);

const fn rule(id: &'static str, effect: Effect, about: &'static str) -> Rule {
    Rule { id, effect, about }
}

/// Every rule except the secret patterns, which are `secret.` and the id in their file.
pub const RULES: &[Rule] = &[
    rule("file.kubeconfig", Effect::Refuse, "a kubeconfig, by its name or its content"),
    rule("file.talosconfig", Effect::Refuse, "a talosconfig, by its name or its content"),
    rule(
        "file.terraform-state",
        Effect::Refuse,
        "Terraform or OpenTofu state, by its name or its content",
    ),
    rule(
        "file.terraform-plan",
        Effect::Refuse,
        "a saved plan, or a plan as JSON: both hold sensitive values in clear",
    ),
    rule("file.generated", Effect::Refuse, "a file below a directory `generated/`"),
    rule("file.key-store", Effect::Refuse, "a key store or private key, by its name"),
    rule(
        "file.ci",
        MANUAL,
        "a CI workflow: whoever changes it runs commands with the pipeline's rights",
    ),
    rule("file.codeowners", MANUAL, "CODEOWNERS: it decides who must review"),
    rule(
        "kind.argocd",
        MANUAL,
        "an Argo CD Application, ApplicationSet or AppProject is added, changed or removed",
    ),
    rule(
        "kind.rbac",
        MANUAL,
        "a Role, ClusterRole, RoleBinding or ClusterRoleBinding is added, changed or removed",
    ),
    rule("kind.crd", MANUAL, "a CustomResourceDefinition is added, changed or removed"),
    rule("kind.namespace", MANUAL, "a Namespace is added, changed or removed"),
    rule(
        "kind.admission",
        MANUAL,
        "an admission webhook or admission policy is added, changed or removed",
    ),
    rule(
        "infisical.removed",
        MANUAL,
        "an InfisicalStaticSecret or InfisicalSecret is removed: its Secret may go with it",
    ),
    rule(
        "infisical.owner",
        MANUAL,
        "creationPolicy becomes Owner: the Secret is deleted together with the resource",
    ),
    rule("structure.secret", Effect::Refuse, "a Secret with literal data or stringData"),
    rule(
        "structure.env",
        Effect::Refuse,
        "a `name`/`value` pair (environment variable, Helm parameter) with a secret-like name and a literal; such a variable in an env file, a shell script, or `ENV` and `ARG` of a Dockerfile",
    ),
    rule(
        "structure.args",
        Effect::Refuse,
        "a command line option with a secret-like name and a literal",
    ),
    rule(
        "structure.configmap",
        Effect::Refuse,
        "a ConfigMap entry with a secret-like key and a literal",
    ),
    rule(
        "structure.values",
        Effect::Refuse,
        "a Helm value or other setting with a secret-like key and a literal",
    ),
    rule("structure.generator", Effect::Refuse, "a kustomize secretGenerator with literals"),
    rule(
        "structure.talos",
        Effect::Refuse,
        "a secret of a Talos machine configuration, or the output of `talosctl gen secrets`",
    ),
    rule(
        "structure.terraform",
        Effect::Refuse,
        "a literal under a secret-like key in a .tf or .tfvars file, provider blocks included",
    ),
    rule("text.binary", MANUAL, "content that is not text: a card cannot show it"),
    rule("text.deceptive", MANUAL, "characters that hide or reorder text"),
    rule("text.control", MANUAL, "control characters, or a carriage return that ends no line"),
    rule("text.blank", Effect::Remark, "blanks that are no plain space"),
    rule("text.long-line", Effect::Remark, "a line of more than 500 characters"),
    rule(
        "text.mixed-script",
        MANUAL,
        "Latin letters mixed with letters of another script that look the same",
    ),
    rule(
        "text.look-alike",
        MANUAL,
        "a word only of letters of another script that cannot be told from Latin ones",
    ),
    rule(
        "text.hidden-tail",
        MANUAL,
        "text behind a long run of blanks, out of sight on a card",
    ),
    rule(
        "yaml.invalid",
        Effect::Refuse,
        "a YAML or JSON manifest that cannot be read: the sync would fail",
    ),
    rule(
        "yaml.template",
        Effect::Remark,
        "a template: what stands in it was looked at, what it renders to was not",
    ),
    rule(
        "yaml.budget",
        MANUAL,
        "a file too large, too deep or too tangled to be looked through",
    ),
    rule(
        "yaml.duplicate-key",
        MANUAL,
        "a key written twice in one mapping: readers differ in which one counts",
    ),
    rule(
        "manifest.schema",
        Effect::Refuse,
        "a manifest that the Kubernetes API would not accept",
    ),
    rule(
        "manifest.incomplete",
        Effect::Remark,
        "a manifest that lacks required fields, in a place where patches stand",
    ),
    rule(
        "manifest.nameless",
        Effect::Remark,
        "a Kubernetes manifest without metadata.name: applying it fails",
    ),
    rule(
        "manifest.unknown-kind",
        Effect::Remark,
        "a kind without a known schema: it was not validated",
    ),
    rule("rego.deny", Effect::Refuse, "a policy's `deny` or `violation`"),
    rule("rego.warn", Effect::Remark, "a policy's `warn`"),
    rule(
        "rego.error",
        MANUAL,
        "a policy that could not be evaluated: too slow, broken, or a result that is none",
    ),
    rule(
        "guard.broken-rule",
        MANUAL,
        "a secret pattern that could not be compiled, or not be used on this file to its end: what it would find is unknown",
    ),
    rule(
        BUDGET,
        MANUAL,
        "too much to check: the change uses up the work that all its checks together may be, and the rest was not looked at",
    ),
];

/// What a rule does by default. Ids that are not in the table are secret patterns.
pub(super) fn default_effect(id: &str) -> Effect {
    RULES.iter().find(|rule| rule.id == id).map_or(Effect::Refuse, |rule| rule.effect)
}
