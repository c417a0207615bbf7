//! What the demo's repository holds at first, and the policy that stands over it.

/// A Deployment of one container.
fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: {name}\nspec:\n  # raised by the scale runbook\n  replicas: {replicas}\n  \
         selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      containers:\n        - name: {name}\n          \
         image: {image}\n          resources:\n            requests:\n              cpu: 100m\n              memory: 128Mi\n"
    )
}

/// The contents of the blog's values, before and after the demo's first proposal.
pub(super) const BLOG_BEFORE: &str = "# The blog, by its chart\nreplicaCount: 1\nimage:\n  repository: registry.example.com/blog\n  tag: \"2.1.0\"\nresources:\n  requests:\n    memory: 128Mi\n";
pub(super) const BLOG_AFTER: &str = "# The blog, by its chart\nreplicaCount: 2\nimage:\n  repository: registry.example.com/blog\n  tag: \"2.2.0\"\nresources:\n  requests:\n    memory: 256Mi\n";
/// Where they stand.
pub(super) const BLOG: &str = "kubernetes/applications/blog/values.yaml";

/// A Terraform file, before and after.
pub(super) const NODES_BEFORE: &str =
    "variable \"worker_count\" {\n  description = \"Workers of the cluster\"\n  type        = number\n  default     = 3\n}\n";
pub(super) const NODES_AFTER: &str =
    "variable \"worker_count\" {\n  description = \"Workers of the cluster\"\n  type        = number\n  default     = 4\n}\n";
/// Where it stands.
pub(super) const NODES: &str = "infrastructure/terraform/cluster/variables.tf";

/// A manifest that one proposal deletes.
pub(super) const CACHE: &str = "kubernetes/applications/cache/poddisruptionbudget.yaml";

/// What the freeze of [`FREEZE`] is about.
pub(super) const SHOP_SERVICE: &str = "kubernetes/applications/shop/service.yaml";

/// What is added to the shipped policy: a freeze that holds all day, every day, so that the demo need not wait for one.
pub(super) const FREEZE: &str = "\n[[freezes]]\nname = \"sale\"\npaths = [\"kubernetes/applications/shop/service.yaml\"]\nstart = 2020-01-01\n\
    duration = \"1d\"\nrrule = \"FREQ=DAILY\"\noverride = \"platform\"\n";

/// Where approvals take a code, by [`CODES`].
pub(super) const CACHE_SETTINGS: &str = "kubernetes/applications/cache/configmap.yaml";
pub(super) const CACHE_SETTINGS_AFTER: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cache\n  namespace: cache\ndata:\n  maxmemory: 512mb\n";

/// What is added to the shipped policy, too: an approval there takes a code of one's own authenticator app.
pub(super) const CODES: &str = "\n[[floors]]\npaths = [\"kubernetes/applications/cache/configmap.yaml\"]\nsecond_factor = \"totp\"\n";

/// All files.
pub(super) fn files() -> Vec<(&'static str, String, bool)> {
    vec![
        (
            "README.md",
            "# Homelab\n\nEverything that runs here is defined in this repository.\n".to_owned(),
            false,
        ),
        (
            "kubernetes/applications/shop/deployment.yaml",
            deployment("shop", 2, "registry.example.com/shop:1.4.2"),
            false,
        ),
        (
            SHOP_SERVICE,
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  namespace: shop\nspec:\n  ports:\n    - port: 80\n".to_owned(),
            false,
        ),
        (BLOG, BLOG_BEFORE.to_owned(), false),
        (
            "kubernetes/applications/cache/deployment.yaml",
            deployment("cache", 1, "registry.example.com/cache:7.2"),
            false,
        ),
        (
            CACHE,
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: cache\n  namespace: cache\nspec:\n  minAvailable: 1\n"
                .to_owned(),
            false,
        ),
        (
            "kubernetes/platform/ingress/values.yaml",
            "controller:\n  replicaCount: 2\n".to_owned(),
            false,
        ),
        (NODES, NODES_BEFORE.to_owned(), false),
        (
            "infrastructure/terraform/cluster/main.tf",
            "module \"workers\" {\n  source = \"./workers\"\n  count  = var.worker_count\n}\n".to_owned(),
            false,
        ),
        (
            "infrastructure/talos/patches/all.yaml",
            "machine:\n  network:\n    nameservers:\n      - 192.0.2.53\n".to_owned(),
            false,
        ),
    ]
}
