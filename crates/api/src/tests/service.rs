//! What the service tells about itself: probes, description, metrics, log.

use super::fixture::{JSON, SECRET, TOKEN, api, change};

const ID: &str = "prp_00000000000000000000000000000001";

#[tokio::test]
async fn probes_are_open_and_tell_no_version() {
    let api = api().await;
    for path in ["/healthz", "/readyz"] {
        let seen = api.send(&format!("GET {path}"), "").await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        assert!(!seen.text.contains(env!("CARGO_PKG_VERSION")), "{}", seen.text);
        assert_eq!(seen.header("server"), "");
    }
}

#[tokio::test]
async fn the_description_covers_every_route() {
    let api = api().await;
    let seen = api.send("GET /openapi.json", "").await;
    let description = seen.json();
    assert!(
        description["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        description["openapi"]
    );
    assert_eq!(description["info"]["version"], "1");
    let mut routes: Vec<String> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    insta::assert_snapshot!(routes.join("\n"), @r"
    GET /healthz
    GET /readyz
    GET /v1/me
    POST /v1/observations
    GET /v1/proposals
    POST /v1/proposals
    GET /v1/proposals/{id}
    GET /v1/proposals/{id}/diff
    POST /v1/proposals/{id}/revert
    POST /v1/proposals/{id}/revisions
    POST /v1/proposals/{id}/withdraw
    POST /v1/proposals:evaluate
    GET /v1/runbooks
    POST /v1/runbooks/{name}/render
    ");
    for route in &routes {
        let open = route.ends_with("/healthz") || route.ends_with("/readyz");
        let seen = api.send(&route.replace("{id}", ID), "").await;
        assert_eq!(seen.status, if open { 200 } else { 401 }, "{route}");
    }
    // Every reference inside the description leads somewhere.
    for pointer in seen.text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn the_answers_are_as_described() {
    let api = api().await;
    let proposal = api.propose("k", 5).await;
    let evaluate = format!("POST /v1/proposals:evaluate\n{}\n{}", TOKEN, JSON);
    for (component, seen) in [
        ("ProposalDocument", proposal),
        ("ProposalsDocument", api.get("/v1/proposals", "").await),
        ("EvaluationDocument", api.send(&evaluate, change(6)).await),
        ("MeDocument", api.get("/v1/me", "").await),
        ("RunbooksDocument", api.get("/v1/runbooks", "").await),
        ("HealthDocument", api.send("GET /readyz", "").await),
        ("AliveDocument", api.send("GET /healthz", "").await),
        ("ProblemDocument", api.send("GET /v1/me", "").await),
    ] {
        let validator = super::validator(component);
        let document = seen.json();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{component}: {errors:#?}\n{document}");
        assert!(
            !validator.is_valid(&serde_json::json!({})),
            "a control: {component} demands something"
        );
    }
}

#[tokio::test]
async fn the_docs_are_served_without_foreign_addresses() {
    let api = api().await;
    assert_eq!(api.send("GET /docs", "").await.header("location"), "/docs/");
    let page = api.send("GET /docs/", "").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui") && !page.text.contains("https://"), "{}", page.text);
    let start = api.send("GET /docs/swagger-initializer.js", "").await;
    assert!(
        start.text.contains("\"validatorUrl\": \"none\"") && start.text.contains("/openapi.json"),
        "{}",
        start.text
    );
}

#[test]
fn metrics_are_by_route_template() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let api = api().await;
            api.get(&format!("/v1/proposals/{ID}"), "").await;
            api.get("/v1/proposals/prp_1", "").await;
            api.send("INVENTED /somewhere", "").await;
        });
    });
    let text = recorder.handle().render();
    for line in [
        r#"http_requests_total{route="/v1/proposals/{id}",method="GET",status="404"} 2"#,
        r#"http_requests_total{route="unmatched",method="other",status="404"} 1"#,
        r#"http_request_duration_seconds_count{route="/v1/proposals/{id}"} 2"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_and_no_secret_reaches_the_log() {
    // For the whole process: a subscriber of one thread would miss what other tests made the library remember about it.
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let api = api().await;
    let token = "authorization: Bearer canary-agent-token";
    let proposed = api
        .send(
            &format!("POST /v1/proposals\n{token}\n{JSON}\nidempotency-key: canary-key"),
            change(5),
        )
        .await;
    assert_eq!(proposed.status, 201);
    api.send("GET /v1/me\nauthorization: Bearer canary-token", "").await;
    api.send("GET /v1/me?access_token=canary-query", "").await;
    api.send(
        "POST /telegram/webhook\nx-telegram-bot-api-secret-token: canary-guess",
        "canary-update",
    )
    .await;
    api.send(&format!("POST /telegram/webhook\nx-telegram-bot-api-secret-token: {SECRET}"), "{}")
        .await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("answered") && text.contains("/telegram/webhook"), "{text}");
    let leaked: Vec<&str> = text.lines().filter(|line| line.contains("canary")).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
}
