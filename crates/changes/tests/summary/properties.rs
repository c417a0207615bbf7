//! Whatever stands in the files: an answer, worst first, without secrets, at a bounded cost.

use changes::summary::{LINES_MAX, summarize};
use domain::Risk;
use proptest::prelude::*;

use crate::cases::{change, check_shape, of};

const PATHS: [&str; 8] = [
    "kubernetes/web/deployment.yaml",
    "kubernetes/web/kustomization.yaml",
    "charts/web/values.yaml",
    "charts/web/templates/web.yaml",
    "infrastructure/main.tf",
    "infrastructure/prod.tfvars",
    "data.json",
    "scripts/run.sh",
];

/// Pieces that manifests and Terraform are made of, and what breaks readers.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "apiVersion: apps/v1\n",
        "kind: Deployment\n",
        "kind: List\n",
        "items:\n",
        "metadata:\n",
        "  name: web\n",
        "spec:\n",
        "  replicas: 3\n",
        "  template:\n",
        "    spec:\n",
        "      containers:\n",
        "      - name: a\n",
        "        image: nginx:1\n",
        "- ",
        "a: &a\n",
        "b: *a\n",
        "<<: *a\n",
        "---\n",
        "{",
        "}",
        "[",
        "]",
        ":",
        " ",
        "\n",
        "\t",
        "|\n",
        "\"",
        "'",
        "resource \"a\" \"b\" {\n",
        "  x = [\n",
        "}\n",
        "<<EOT\n",
        "EOT\n",
        "${",
        "/*",
        "#",
        "$patch: delete\n",
        "patches:\n",
        "- patch: |-\n",
        "    - op: replace\n",
        "      path: /a/0\n",
        "\u{202e}",
        "\u{0}",
        "é",
        "{{ x }}",
        "kind: ClusterRole\n",
        "rules:\n",
        "- verbs: ['*']\n",
        "data:\n",
        "kind: Kustomization\n",
        "images:\n",
        "null\n",
        "~",
        "0x1",
        "1e999",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn side() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Some),
        6 => pieces().prop_map(|text| Some(text.into_bytes())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_summary(sides in prop::collection::vec((side(), side()), 1..PATHS.len())) {
        let files: Vec<_> = PATHS
            .iter()
            .zip(&sides)
            .filter(|(_, (old, new))| old.is_some() || new.is_some())
            .map(|(path, (old, new))| (*path, old.as_deref(), new.as_deref()))
            .collect();
        let (changes, old) = change(&files);
        let summary = summarize(&changes, &old, None);
        check_shape(&summary);
        prop_assert_eq!(&summary, &summarize(&changes, &old, None));
        prop_assert_eq!(summary.lines.is_empty(), files.is_empty());
    }

    #[test]
    fn a_secret_is_never_said(
        old in "[a-z]{4}[0-9]{3}[A-Z]{2}",
        new in "[a-z]{4}[0-9]{3}[A-Z]{3}",
        key in prop::sample::select(vec!["password", "DB_PASSWORD", "apiToken", "client-secret", "AUTH_KEY", "dbPass", "credentials"]),
        shape in 0..SHAPES.len(),
    ) {
        let (path, template) = SHAPES[shape];
        let text = |value: &str| template.replace("KEY", key).replace("VALUE", value);
        for (before, after) in [(Some(text(&old)), Some(text(&new))), (None, Some(text(&new))), (Some(text(&old)), None)] {
            let summary = of(&[(path, before.as_deref(), after.as_deref())]);
            let said = format!("{summary:?}");
            prop_assert!(!said.contains(&old) && !said.contains(&new), "{said}");
        }
    }
}

/// Where secrets stand in real files.
const SHAPES: [(&str, &str); 17] = [
    (
        "charts/a/values.yaml",
        "extraArgs: [--a, --KEY, VALUE, --KEY=VALUE]\nscript: |\n  export KEY=VALUE\n",
    ),
    (
        "kubernetes/a/kustomization.yaml",
        "resources: [\"https://u:VALUE@git.example.com/x\"]\n",
    ),
    (
        "kubernetes/a/sa.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {example.com/gateway: KEY=VALUE, b: \"KEY: VALUE\"}}\n",
    ),
    (
        "kubernetes/a/thing.yaml",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec:\n  list: [--KEY, VALUE]\n  probe: {httpHeaders: [{name: Authorization, value: VALUE}]}\n",
    ),
    (
        "infrastructure/main.tf",
        "locals {\n  env = { KEY = \"VALUE\" }\n  more = {\n    KEY = \"VALUE\"\n  }\n  text = <<EOT\nKEY=VALUE\nEOT\n}\n",
    ),
    (
        "kubernetes/a/sealed.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a}\nspec: {encryptedData: {x: VALUE}, template: {data: {KEY: VALUE}}}\n",
    ),
    (
        "kubernetes/a/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  KEY: VALUE\n",
    ),
    (
        "kubernetes/a/config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: VALUE\n  y: |\n    KEY=VALUE\n",
    ),
    (
        "kubernetes/a/deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {}\n  template:\n    spec:\n      containers:\n      - name: a\n        image: a:1\n        env:\n        - {name: KEY, value: VALUE}\n        args: [--KEY=VALUE, --KEY, VALUE, 'run KEY=VALUE']\n",
    ),
    ("charts/a/values.yaml", "a:\n  KEY: VALUE\nKEY: {user: VALUE, other: [VALUE]}\n"),
    (
        "charts/a/values.yaml",
        "env:\n- name: KEY\n  value: VALUE\n- variable: KEY\n  content: VALUE\n",
    ),
    ("charts/a/values.yaml", "url: https://user:VALUE@example.com/\n"),
    (
        "kubernetes/a/thing.yaml",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: {KEY: VALUE, list: [{KEY: VALUE}]}\n",
    ),
    (
        "kubernetes/a/kustomization.yaml",
        "patches:\n- target: {kind: Deployment, name: a}\n  patch: |-\n    - op: add\n      path: /spec/KEY\n      value: VALUE\nsecretGenerator:\n- name: a\n  literals: [KEY=VALUE]\n",
    ),
    (
        "infrastructure/main.tf",
        "resource \"a\" \"b\" {\n  KEY = \"VALUE\"\n  url = \"https://u:VALUE@example.com\"\n  c {\n    KEY = \"VALUE\"\n  }\n}\n",
    ),
    ("infrastructure/prod.tfvars", "KEY = \"VALUE\"\n"),
    (
        "kubernetes/a/application.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec:\n  source:\n    repoURL: https://u:VALUE@example.com/x\n    helm:\n      values: |\n        KEY: VALUE\n      parameters:\n      - {name: KEY, value: VALUE}\n",
    ),
];

/// A change that nobody could have reviewed is cut, and nothing of its worst is lost.
#[test]
fn a_flood_of_lines_keeps_the_worst() {
    let mut new = String::new();
    for nth in 0..3_000 {
        new.push_str(&format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{nth}}}\ndata: {{a: b}}\n"
        ));
    }
    let old = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let summary = of(&[("kubernetes/z.yaml", Some(old), Some(&new))]);
    assert_eq!(summary.risk, Risk::Critical);
    assert_eq!(summary.lines[0].text, "Namespace shop: removed");
    assert_eq!(summary.lines.len(), LINES_MAX);
    assert!(summary.more > 2_900, "{}", summary.more);
    check_shape(&summary);
}

/// As kubectl reads them.
#[test]
fn items_of_a_typed_list_are_of_its_kind() {
    let list = "apiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {name: shop}\n- {kind: Secret, metadata: {name: web}}\n";
    let summary = of(&[("kubernetes/a.yaml", None, Some(list))]);
    let objects: Vec<_> = summary
        .objects
        .iter()
        .map(|object| format!("{} {}", object.kind, object.name))
        .collect();
    assert_eq!(objects, ["Namespace shop", "Secret web"]);
}

/// None of these can make the service work for long; each has its answer, and says that it was not understood.
#[test]
fn hostile_files_cost_little_and_are_said_to_be_unread() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for nth in 1..12 {
        bomb.push_str(&format!("a{nth}: &a{nth} [{}]\n", format!("*a{}, ", nth - 1).repeat(10)));
    }
    let files = [
        ("kubernetes/bomb.yaml", bomb),
        ("kubernetes/deep.yaml", "[".repeat(100_000)),
        ("kubernetes/nested.yaml", "a: {".repeat(50_000)),
        ("kubernetes/large.yaml", "a: b\n".repeat(400_000)),
        ("kubernetes/items.yaml", "- a\n".repeat(200_000)),
        ("kubernetes/repeated.yaml", "a: 1\n".repeat(1_000)),
        ("infrastructure/deep.tf", "a {\n".repeat(100_000)),
    ];
    for (path, text) in files {
        let summary = of(&[(path, Some("x: 1\n"), Some(&text))]);
        assert_eq!(summary.risk, Risk::High, "{path}: {summary:#?}");
        assert_eq!(summary.lines[0].rule, "unreadable", "{path}: {summary:#?}");
    }
}

/// Readable, but made so that comparing everything with everything would take minutes.
#[test]
fn large_readable_files_are_compared_in_one_go() {
    let documents = |name: &str| {
        let one = format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n");
        one.repeat(1_300)
    };
    let rules = |verb: &str| {
        let mut text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\nrules:\n".to_owned();
        for nth in 0..1_200 {
            text.push_str(&format!("- {{apiGroups: [''], resources: [r{nth}], verbs: [{verb}]}}\n"));
        }
        text
    };
    let peers = |from: u32| {
        let mut text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  ingress:\n".to_owned();
        for nth in from..from + 1_600 {
            text.push_str(&format!("  - from: [{{podSelector: {{matchLabels: {{a: b{nth}}}}}}}]\n"));
        }
        text
    };
    let blocks = |size: u32| {
        format!(
            "resource \"a\" \"b\" {{\n{}}}\n",
            format!("  disk {{\n    size = {size}\n  }}\n").repeat(10_000)
        )
    };
    for (path, old, new) in [
        ("kubernetes/a.yaml", documents("a"), documents("a").replace("a: b", "a: c")),
        ("kubernetes/b.yaml", documents("a"), documents("b")),
        ("kubernetes/role.yaml", rules("get"), rules("list")),
        ("kubernetes/policy.yaml", peers(0), peers(1_600)),
        ("infrastructure/a.tf", blocks(1), blocks(2)),
    ] {
        let summary = of(&[(path, Some(&old), Some(&new))]);
        assert_ne!(summary.lines[0].rule, "unreadable", "{path}");
        check_shape(&summary);
    }
}
