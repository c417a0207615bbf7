//! Schemas beside the bundled ones.

use changes::guard::{BUNDLED_VERSION, CheckResult, GuardOptions, Guards};

use crate::{guards, inspect, short};

const CRD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1}
              port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

#[test]
fn a_custom_resource_is_validated_when_its_definition_is_handed_in() {
    let options = GuardOptions {
        custom_resources: vec![("crds/things.yaml".to_owned(), CRD.to_owned())],
        ..GuardOptions::default()
    };
    let guards = Guards::new(&options).expect("guards");
    let thing = |spec: &str| {
        let text = format!("apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: x, labels: {{a: b}}}}\nspec:\n{spec}");
        short(&inspect(&guards, "a.yaml", None, Some(text.as_bytes())))
    };
    assert!(thing("  size: 2\n  port: http\n  free: {any: [thing]}\n").is_empty());
    assert_eq!(thing("  port: 80\n  size: 0\n"), ["manifest.schema:6:refuse"]);
    assert_eq!(thing("  sise: 2\n"), ["manifest.schema:5:refuse"]);
}

#[test]
fn a_schema_by_file_name_and_a_file_without_one() {
    let schema = r#"{"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}"#;
    let named = |name: &str, text: &str| {
        Guards::new(&GuardOptions {
            custom_resources: vec![(name.to_owned(), text.to_owned())],
            ..GuardOptions::default()
        })
    };
    let guards = named("schemas/example.com/thing_v1.json", schema).expect("guards");
    let text = b"apiVersion: example.com/v1\nkind: Thing\nspec: {size: many}\nmetadata: {name: x}\n";
    assert_eq!(short(&inspect(&guards, "a.yaml", None, Some(text))), ["manifest.schema:3:refuse"]);
    for (text, line) in [("a: [", 2), ("just: data\n", 1)] {
        let problems = named("crds/x.yaml", text).map(|_| ()).expect_err("no schema");
        assert!(
            problems[0].to_string().starts_with(&format!("crds/x.yaml:{line}: ")),
            "{problems:?}"
        );
    }
}

#[test]
fn another_version_of_kubernetes_can_be_chosen() {
    let definitions = r##"{"definitions": {"v1.Pod": {"type": "object", "properties": {"apiVersion": {}, "kind": {}, "metadata": {}, "spec": {"$ref": "#/definitions/Spec"}},
        "additionalProperties": false, "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}]},
        "Spec": {"type": "object", "required": ["containers"]}}}"##;
    let with = |text: &str| {
        Guards::new(&GuardOptions {
            kubernetes: Some(("1.20".to_owned(), text.to_owned())),
            ..GuardOptions::default()
        })
    };
    let guards = with(definitions).expect("guards");
    let report = inspect(
        &guards,
        "a.yaml",
        None,
        Some(b"apiVersion: v1\nkind: Pod\nspec: {}\nmetadata: {name: x}\n"),
    );
    assert_eq!(short(&report), ["manifest.schema:3:refuse"]);
    assert!(report.findings[0].hint.ends_with("Kubernetes 1.20"), "{report:?}");
    for broken in ["{", "{}"] {
        assert!(with(broken).is_err(), "{broken}");
    }
}

#[test]
fn the_checks_say_what_was_done() {
    let text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n---\napiVersion: example.com/v1\nkind: Thing\n";
    let report = inspect(&guards(), "a.yaml", None, Some(text));
    let words: Vec<_> = report
        .checks
        .iter()
        .map(|check| (check.name.as_str(), check.result, check.words.as_str()))
        .collect();
    let kubernetes = format!("1 manifest valid for Kubernetes {BUNDLED_VERSION}, 1 of unknown kinds not validated, 1 remark");
    use CheckResult::{Passed, Skipped};
    let expected = [
        ("files", Passed, "1 file"),
        ("secrets", Passed, "none found"),
        ("text", Passed, "nothing hidden"),
        ("yaml", Passed, "1 file"),
        ("kubernetes", Passed, &kubernetes),
        ("rego", Skipped, "no policies configured"),
    ];
    assert_eq!(words, expected);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["findings"][0]["effect"], "remark");
    assert_eq!(json["checks"][5]["result"], "skipped");
}

#[test]
fn definitions_that_define_nothing_are_problems_with_their_place() {
    let problem = |text: &str| {
        let options = GuardOptions {
            custom_resources: vec![("crds/things.yaml".to_owned(), text.to_owned())],
            ..GuardOptions::default()
        };
        let problems = Guards::new(&options).map(|_| ()).expect_err("no schema");
        format!("{}:{} {}", problems[0].file, problems[0].line, problems[0].message)
    };
    let head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n";
    let nothing = "crds/things.yaml:1 this CustomResourceDefinition has no spec.group, no spec.names.kind, or no version with a schema.openAPIV3Schema";
    assert_eq!(problem(head), nothing);
    let bare = format!("{head}spec:\n  group: example.com\n  names: {{kind: Thing}}\n  versions: [{{name: v1}}]\n");
    assert_eq!(problem(&bare), nothing);
    let second = format!("{CRD}---\n{head}");
    assert!(
        problem(&second).starts_with("crds/things.yaml:24 this CustomResourceDefinition"),
        "{}",
        problem(&second)
    );
    let odd = CRD.replace("type: integer, minimum", "type: whole, minimum");
    assert_eq!(
        problem(&odd),
        "crds/things.yaml:20 its schema is none at \"/properties/spec/properties/size/type\""
    );
}

#[test]
fn a_manifest_without_a_name_is_remarked() {
    let found = |at: &str, text: &str| short(&inspect(&guards(), at, None, Some(text.as_bytes())));
    let map = "apiVersion: v1\nkind: ConfigMap\n";
    assert_eq!(found("a.yaml", map), ["manifest.nameless:1:remark"]);
    assert_eq!(
        found("a.yaml", &format!("{map}metadata: {{name: \"\"}}\n")),
        ["manifest.nameless:1:remark"]
    );
    for text in ["metadata: {name: x}\n", "metadata: {generateName: x-}\n"] {
        assert_eq!(found("a.yaml", &format!("{map}{text}")), [""; 0]);
    }
    assert_eq!(found("overlays/prod/a.yaml", map), [""; 0], "a patch");
    let review = "apiVersion: authentication.k8s.io/v1\nkind: SelfSubjectReview\n";
    assert_eq!(found("a.yaml", review), [""; 0]);
}
