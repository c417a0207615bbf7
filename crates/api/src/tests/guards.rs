//! What the guard rails refuse, raise and remark, as an agent sees it; and that a value that was found is nowhere afterwards.

use serde_json::{Value, json};

use super::fixture::{Api, JSON, Seen, TOKEN, api_with};
use crate::ApiLimits;

const APP: &str = "kubernetes/applications/web";
/// Not a word of any rule, message or test but this one.
const VALUE: &str = "quite-some-9182-passphrase";

async fn api() -> Api {
    api_with(ApiLimits::default()).await
}

fn body(files: &[(&str, &str)]) -> String {
    let changes: Vec<Value> = files
        .iter()
        .map(|(path, content)| json!({"path": path, "content": content}))
        .collect();
    json!({"repository": "homelab", "title": "A change", "reason": "needed", "changes": changes}).to_string()
}

impl Api {
    async fn ask(&self, key: &str, files: &[(&str, &str)]) -> Seen {
        let line = format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: {key}");
        self.send(&line, body(files)).await
    }

    async fn evaluate(&self, files: &[(&str, &str)]) -> Seen {
        self.send(&format!("POST /v1/proposals:evaluate\n{TOKEN}\n{JSON}"), body(files))
            .await
    }
}

fn secret() -> (String, String) {
    let text = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: web\n  namespace: web\nstringData:\n  password: {VALUE}\n");
    (format!("{APP}/secret.yaml"), text)
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test]
async fn a_secret_is_refused_with_the_way_to_do_it_and_its_value_is_nowhere() {
    let api = api().await;
    let (path, text) = secret();
    let seen = api
        .ask("k1", &[(&format!("{APP}/values.yaml"), "replicas: 3\n"), (&path, &text)])
        .await;
    assert_eq!(seen.problem(), "422 guard_refused");
    let document = seen.json();
    assert_eq!(document["pointer"], "/changes/1/content");
    let finding = &document["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["path"], &finding["line"]),
        (&json!("structure.secret"), &json!(path), &json!(7))
    );
    assert_eq!(finding["effect"], "refuse");
    for hint in [&document["hint"], &finding["hint"]] {
        assert!(hint.as_str().unwrap().contains("InfisicalStaticSecret"), "{document}");
    }
    assert!(crate::tests::validator("ProblemDocument").is_valid(&document), "{document}");

    let rows = api.engine.store().read().audit_after(0, 10).await.unwrap();
    let row = &rows.last().unwrap().entry;
    assert_eq!(row.event, "guard_refused");
    assert_eq!(
        row.details["findings"][0],
        json!({"rule": "structure.secret", "path": path, "line": 7})
    );
    let listed = api.get("/v1/proposals", "").await.json();
    assert_eq!(listed["proposals"], json!([]), "nothing is stored");
    let me = api.get("/v1/me", "").await.text;
    assert!(!seen.text.contains(VALUE) && !me.contains(VALUE));
    let kept = api.kept();
    assert!(has(&kept, "guard_refused"), "the audit row is among the bytes");
    assert!(!has(&kept, VALUE), "the value is in a file of the service");
}

#[tokio::test]
async fn evaluate_tells_the_same_and_keeps_nothing() {
    let api = api().await;
    let (path, text) = secret();
    let seen = api.evaluate(&[(&path, &text)]).await;
    let document = seen.json();
    assert_eq!((seen.status, &document["accepted"]), (200, &json!(false)), "{document}");
    assert_eq!(document["findings"][0]["rule"], "structure.secret");
    assert!(crate::tests::validator("EvaluationDocument").is_valid(&document), "{document}");
    let checks: Vec<_> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (&check["name"], &check["result"]))
        .collect();
    assert!(checks.contains(&(&json!("secrets"), &json!("failed"))), "{document}");
    assert!(
        document["checklist"]
            .as_array()
            .unwrap()
            .iter()
            .any(|fact| fact["name"] == "no_secret" && fact["holds"] == "no")
    );
    // No Argo CD is configured for this repository.
    let tool = document["checklist"]
        .as_array()
        .unwrap()
        .iter()
        .find(|fact| fact["name"] == "right_tool");
    assert_eq!(tool.unwrap()["holds"], "unknown", "{document}");
    assert!(!seen.text.contains(VALUE));
    assert!(api.audit().await.is_empty());
    assert!(!has(&api.kept(), VALUE));
}

#[tokio::test]
async fn refused_changes_count_against_the_hour() {
    let api = api().await;
    let (path, text) = secret();
    let before = api.get("/v1/me", "").await.json();
    api.ask("k1", &[(&path, &text)]).await;
    api.ask("k2", &[(&path, &text)]).await;
    let after = api.get("/v1/me", "").await.json();
    assert_ne!(before, after, "two refusals are used up");
}

#[tokio::test]
async fn a_proposal_tells_what_checked_it_at_once_when_repeated_and_when_read() {
    let api = api().await;
    let path = format!("{APP}/reader.yaml");
    let text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: reader\n  namespace: web\nrules: []\n";
    let seen = api.ask("k1", &[(&path, text)]).await;
    let document = seen.json();
    assert_eq!((seen.status, &document["tier"]), (201, &json!("manual")), "{document}");
    assert_eq!(
        document["why"],
        "kind.rbac: Role \"reader\" in namespace \"web\" is added: a human commits"
    );
    assert_eq!(document["findings"][0]["effect"], "manual");
    assert_eq!(document["summary"]["objects"][0]["kind"], "Role");
    assert!(crate::tests::validator("ProposalDocument").is_valid(&document), "{document}");
    assert_eq!(api.ask("k1", &[(&path, text)]).await.text, seen.text, "the stored answer");
    assert_eq!(api.ask("k2", &[(&path, text)]).await.text, seen.text, "the same proposal again");
    let mut read = api.get(&format!("/v1/proposals/{}", seen.id()), "").await.json();
    assert_eq!(read["overlaps"].take(), json!([]));
    assert_eq!(read, document);
    let listed = api.get("/v1/proposals", "").await.json();
    assert_eq!(listed["proposals"][0]["checks"], Value::Null);
}

#[tokio::test]
async fn files_that_never_belong_in_git_are_refused_by_rule() {
    let api = api().await;
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: admin\n  user:\n    token: quite-some-9182-passphrase\n";
    for (path, text, rule) in [
        (format!("{APP}/access.yaml"), kubeconfig, "file.kubeconfig"),
        (format!("{APP}/kubeconfig"), "x\n", "file.kubeconfig"),
        (format!("{APP}/talosconfig"), "context: home\n", "file.talosconfig"),
        (format!("{APP}/terraform.tfstate"), "{\"version\": 4}\n", "file.terraform-state"),
        (format!("{APP}/generated/web.yaml"), "a: 1\n", "file.generated"),
    ] {
        let seen = api.ask(rule, &[(&path, text)]).await;
        assert_eq!(seen.problem(), "422 guard_refused", "{path}");
        let findings = seen.json()["findings"].clone();
        assert!(
            findings.as_array().unwrap().iter().any(|finding| finding["rule"] == rule),
            "{path}: {findings}"
        );
        assert!(!seen.text.contains(VALUE), "{path}");
    }
}

#[tokio::test]
async fn manifests_are_validated_and_helm_is_left_alone() {
    let api = api().await;
    let wrong = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: eighty\n";
    let seen = api.ask("schema", &[(&format!("{APP}/service.yaml"), wrong)]).await;
    assert_eq!(seen.json()["findings"][0]["rule"], "manifest.schema", "{}", seen.text);
    let fine = [
        (
            "Helm values",
            format!("{APP}/values.yaml"),
            "kind: ClusterIP\nservice:\n  port: eighty\n".to_owned(),
            "yaml",
        ),
        (
            "a Helm template",
            "kubernetes/applications/web/chart/templates/service.yaml".to_owned(),
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}\nspec:\n{{- if .Values.on }}\n  ports: []\n{{- end }}\n"
                .to_owned(),
            "yaml.template",
        ),
        (
            "an unknown kind",
            format!("{APP}/thing.yaml"),
            "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: x\n".to_owned(),
            "manifest.unknown-kind",
        ),
    ];
    for (what, path, text, rule) in fine {
        let document = api.evaluate(&[(&path, &text)]).await.json();
        assert_eq!(document["accepted"], true, "{what}: {document}");
        assert_eq!(document["tier"], "prompted", "{what}: {document}");
        let findings = document["findings"].as_array().unwrap();
        assert!(
            rule == "yaml"
                || findings
                    .iter()
                    .any(|finding| finding["rule"] == rule && finding["effect"] == "remark"),
            "{what}: {document}"
        );
    }
}

#[tokio::test]
async fn sensitive_files_and_kinds_are_raised_with_their_reason() {
    let api = api().await;
    let kind = |api: &str, kind: &str| format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: x\nspec: {{}}\n");
    for (path, text, rule) in [
        (
            format!("{APP}/app.yaml"),
            kind("argoproj.io/v1alpha1", "Application"),
            "kind.argocd",
        ),
        (
            format!("{APP}/project.yaml"),
            kind("argoproj.io/v1alpha1", "AppProject"),
            "kind.argocd",
        ),
        (format!("{APP}/ns.yaml"), kind("v1", "Namespace"), "kind.namespace"),
        (format!("{APP}/hidden.yaml"), "a: b\u{202e}c\n".to_owned(), "text.deceptive"),
        (format!("{APP}/far.yaml"), format!("a: b{}c\n", " ".repeat(200)), "text.hidden-tail"),
    ] {
        let document = api.evaluate(&[(&path, &text)]).await.json();
        assert_eq!(document["tier"], "manual", "{path}: {document}");
        let found: Vec<_> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["rule"] == rule)
            .collect();
        assert_eq!(found.len(), 1, "{path}: {document}");
        assert!(document["why"].as_str().unwrap().len() > 10, "{document}");
    }
}

#[tokio::test]
async fn a_secret_in_a_requests_own_words_is_refused_and_foretold() {
    let api = api().await;
    let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
    let file = json!([{"path": format!("{APP}/values.yaml"), "content": "replicas: 3\n"}]);
    for name in ["title", "reason", "correlation_id"] {
        let mut body = json!({"repository": "homelab", "title": "A change", "reason": "needed", "changes": file});
        body[name] = json!(token);
        let seen = api
            .send(
                &format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: {name}"),
                body.to_string(),
            )
            .await;
        let (document, place) = (seen.json(), json!(format!("/{name}")));
        assert_eq!((seen.problem().as_str(), &document["pointer"]), ("422 guard_refused", &place));
        let finding = &document["findings"][0];
        assert_eq!(
            (&finding["rule"], &finding["pointer"], &finding["path"], &finding["effect"]),
            (&json!("secret.github-token"), &place, &Value::Null, &json!("refuse")),
            "{document}"
        );
        assert!(crate::tests::validator("ProblemDocument").is_valid(&document), "{document}");
        let row = api.audit().await.pop().unwrap();
        assert!(row.contains(&format!("secret.github-token in /{name}")), "{row}");

        let line = format!("POST /v1/proposals:evaluate\n{TOKEN}\n{JSON}");
        let foretold = api.send(&line, body.to_string()).await;
        let evaluation = foretold.json();
        assert_eq!(
            (foretold.status, &evaluation["accepted"], &evaluation["findings"]),
            (200, &json!(false), &document["findings"]),
            "{evaluation}"
        );
        assert!(crate::tests::validator("EvaluationDocument").is_valid(&evaluation), "{evaluation}");
        assert!(!seen.text.contains(&token) && !foretold.text.contains(&token));
    }
    assert!(!has(&api.kept(), &token));
}

#[tokio::test]
async fn a_secret_in_the_reason_of_a_withdrawal_is_refused_and_kept_nowhere() {
    let api = api().await;
    let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
    let made = api.ask("k1", &[(&format!("{APP}/values.yaml"), "replicas: 3\n")]).await;
    let withdraw = async |reason: &str| {
        let line = format!("POST /v1/proposals/{}/withdraw\n{TOKEN}\n{JSON}", made.id());
        api.send(&line, json!({"reason": reason}).to_string()).await
    };
    let seen = withdraw(&token).await;
    assert_eq!(
        (seen.problem().as_str(), &seen.json()["findings"][0]["pointer"]),
        ("422 guard_refused", &json!("/reason"))
    );
    assert!(!seen.text.contains(&token) && !has(&api.kept(), &token));
    assert_eq!(withdraw(&"x".repeat(1_001)).await.problem(), "422 invalid_reason");
    assert_eq!(withdraw("no longer needed").await.status, 200);
}
