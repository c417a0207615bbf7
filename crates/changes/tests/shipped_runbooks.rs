//! The runbooks of `config/runbooks` and of the documentation, run on a manifest as one finds them in repositories.

use std::collections::BTreeMap;

use changes::{RenderError, Rendered, Runbook};
use domain::RepoPath;
use serde_json::{Value, json};

const PATH: &str = "kubernetes/applications/ollama/deployment.yaml";

const MANIFEST: &str = r#"# Model server for the lab.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ollama
  namespace: ai-platform
  labels: {app: ollama, tier: "backend"}
spec:
  replicas: 1   # one GPU per pod
  selector:
    matchLabels:
      app: ollama

  template:
    metadata:
      labels:
        app: ollama
    spec:
      containers:
        - name: ollama
          image: registry.example:5000/ai/ollama:0.5.1  # keep in step with the models
          args: ["serve", '--verbose']
          resources:
            limits:
              memory: 24Gi
        - name: metrics
          image: 'prom/exporter:v1.2.0'
      # the node with the GPU
      nodeSelector:
        gpu: "true"
---
apiVersion: v1
kind: Service
metadata:
  name: ollama
spec:
  ports:
    - port: 11434
"#;

fn shipped(name: &str) -> Runbook {
    let file = format!("{}/../../config/runbooks/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).expect("the shipped runbook is there");
    Runbook::parse(&text, &file).expect("the shipped runbook is valid")
}

fn run(name: &str, parameters: &Value) -> Result<Rendered, RenderError> {
    let runbook = shipped(name);
    let files: BTreeMap<RepoPath, Option<Vec<u8>>> = runbook
        .files_needed(parameters)?
        .into_iter()
        .map(|path| {
            let bytes = (path.as_str() == PATH).then(|| MANIFEST.as_bytes().to_vec());
            (path, bytes)
        })
        .collect();
    runbook.render(parameters, &files)
}

/// The one rendered file must be the manifest with `from` replaced by `to`, and nothing else.
fn changes(name: &str, parameters: &Value, title: &str, from: &str, to: &str) {
    let rendered = run(name, parameters).expect(name);
    assert_eq!(rendered.title, title);
    assert_eq!(MANIFEST.matches(from).count(), 1, "{from} is not unique");
    let bytes = rendered.files.values().next().and_then(Option::as_ref).expect("a file is written");
    assert_eq!(std::str::from_utf8(bytes), Ok(MANIFEST.replace(from, to).as_str()));
    assert_eq!(rendered.files.keys().map(RepoPath::as_str).collect::<Vec<_>>(), [PATH]);
}

#[test]
fn scale_sets_the_replicas_and_nothing_else() {
    let call = json!({"app": "ollama", "replicas": 3});
    changes("scale", &call, "Scale ollama to 3 replicas", "replicas: 1 ", "replicas: 3 ");
}

#[test]
fn set_image_tag_keeps_name_quotes_and_comment() {
    let call = json!({"app": "ollama", "container": "ollama", "tag": "0.6.0"});
    changes(
        "set-image-tag",
        &call,
        "Set ollama image tag to 0.6.0",
        "ai/ollama:0.5.1 ",
        "ai/ollama:0.6.0 ",
    );
    let call = json!({"app": "ollama", "container": "metrics", "tag": "v1.3.0-rc.1"});
    changes(
        "set-image-tag",
        &call,
        "Set ollama image tag to v1.3.0-rc.1",
        "'prom/exporter:v1.2.0'",
        "'prom/exporter:v1.3.0-rc.1'",
    );
}

#[test]
fn restart_adds_the_annotation_as_a_string() {
    let from = "      labels:\n        app: ollama\n    spec:\n";
    let to = "      labels:\n        app: ollama\n      annotations:\n        kubectl.kubernetes.io/restartedAt: \"2026-01-31T12:00:00Z\"\n    spec:\n";
    let call = json!({"app": "ollama", "restarted_at": "2026-01-31T12:00:00Z"});
    changes("restart", &call, "Restart ollama", from, to);
}

#[test]
fn a_run_that_changes_nothing_has_no_files() {
    let rendered = run("scale", &json!({"app": "ollama", "replicas": 1})).expect("it renders");
    assert!(rendered.files.is_empty());
}

#[test]
fn bad_calls_name_the_parameter() {
    for (name, call, pointer, message) in [
        (
            "scale",
            json!({"app": "ollama", "replicas": 0}),
            "/replicas",
            "less than the minimum",
        ),
        (
            "scale",
            json!({"app": "ollama", "replicas": 21}),
            "/replicas",
            "greater than the maximum",
        ),
        ("scale", json!({"app": "ollama", "replicas": "3"}), "/replicas", "not of type"),
        ("scale", json!({"app": "ollama", "replicas": 2.5}), "/replicas", "not of type"),
        ("scale", json!({"app": "ollama"}), "", "\"replicas\" is a required property"),
        ("scale", json!({"app": "ollama", "replicas": 2, "force": true}), "", "force"),
        ("scale", json!({"app": "../../etc", "replicas": 2}), "/app", "does not match"),
        ("scale", json!({"app": "a/b", "replicas": 2}), "/app", "does not match"),
        ("scale", json!({"app": "", "replicas": 2}), "/app", "does not match"),
        (
            "scale",
            json!({"app": "other", "replicas": 2}),
            "/app",
            "no file kubernetes/applications/other/deployment.yaml",
        ),
        ("scale", json!([]), "", "not of type"),
        (
            "set-image-tag",
            json!({"app": "ollama", "container": "web", "tag": "1.0"}),
            "/container",
            "no item with name=web",
        ),
        (
            "set-image-tag",
            json!({"app": "ollama", "container": "ollama", "tag": "latest"}),
            "/tag",
            "does not match",
        ),
        (
            "set-image-tag",
            json!({"app": "ollama", "container": "ollama", "tag": "1\nkind: Secret"}),
            "/tag",
            "does not match",
        ),
        (
            "restart",
            json!({"app": "ollama", "restarted_at": "2026-02-30T12:00:00Z"}),
            "/restarted_at",
            "is not a \"date-time\"",
        ),
        (
            "restart",
            json!({"app": "ollama", "restarted_at": "now"}),
            "/restarted_at",
            "does not match",
        ),
    ] {
        let error = run(name, &call).expect_err(&call.to_string());
        assert_eq!(error.pointer, pointer, "{call}: {error}");
        assert!(error.message.contains(message), "{call}: {error}");
        assert!(!error.hint.is_empty(), "{call}");
    }
}

#[test]
fn descriptions_tell_agents_what_to_send() {
    let runbook = shipped("scale");
    let described = serde_json::to_value(runbook.describe()).expect("it serialises");
    assert_eq!(described["name"], "scale");
    assert_eq!(described["allowed_paths"], json!(["kubernetes/applications/*/deployment.yaml"]));
    assert_eq!(described["parameters"]["required"], json!(["app", "replicas"]));
    assert_eq!(described["parameters"]["additionalProperties"], json!(false));
    assert_eq!(described["hash"], runbook.content_hash().to_string());
    assert_eq!(described["hash"].as_str().map(str::len), Some(64));
}

/// The blocks of a kind of the page about runbooks, in order.
fn documented(kind: &str) -> Vec<&'static str> {
    let page = include_str!("../../../docs/runbooks.md");
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n')).collect()
}

/// What the page shows must be what is read, and its calls must be what can be called.
#[test]
fn the_examples_of_the_documentation() {
    let [whole, more] = documented("toml")[..] else {
        panic!("another number of examples: say here how they are read");
    };
    let (keys, tables) = more.split_once("\n[verify]").expect("keys before the first table");
    let allowed = whole.find("allowed_paths").expect("keys before the first table");
    let verified = format!("{}{keys}\n{}\n[verify]{tables}", &whole[..allowed], &whole[allowed..]);
    let calls: Vec<Value> = documented("json")
        .into_iter()
        .map(|block| {
            let body = block.trim_start_matches("POST /v1/observations\n");
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
        })
        .collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    for text in [whole, verified.as_str()] {
        let runbook = Runbook::parse(text, "scale.toml").unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        for call in &calls {
            let call = if call["runbook"].is_object() { &call["runbook"] } else { call };
            let (name, parameters) = (call["name"].as_str().or(call["runbook"].as_str()), &call["parameters"]);
            assert_eq!(name, Some("scale"), "{call}");
            let file: RepoPath = "kubernetes/applications/shop/deployment.yaml".parse().expect("a path");
            let manifest = MANIFEST.replace("name: ollama\n  namespace", "name: shop\n  namespace");
            let files = BTreeMap::from([(file.clone(), Some(manifest.clone().into_bytes()))]);
            let rendered = runbook.render(parameters, &files).unwrap_or_else(|error| panic!("{error}: {call}"));
            assert_eq!(rendered.title, "Scale shop to 3 replicas");
            let expected = manifest.replace("replicas: 1 ", "replicas: 3 ").into_bytes();
            assert_eq!(rendered.files, BTreeMap::from([(file, Some(expected))]));
        }
    }
    // The command line's example is the shipped runbook, called with the parameters that it takes.
    let shell = documented("sh").join("\n");
    let line = shell
        .lines()
        .find(|line| line.contains("runbook render"))
        .expect("how to render one");
    let parameters = line.split('\'').nth(1).expect("parameters in quotes");
    let parameters: Value = serde_json::from_str(parameters).expect("parameters are JSON");
    assert!(shipped("scale").files_needed(&parameters).is_ok(), "{line}");
}
