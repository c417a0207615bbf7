//! One-answer tables: what is sent, and what an answer becomes.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{any, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::model::{AppRef, Application, View};
use crate::repo::Target;
use crate::verdict::Verdict;

const TOKEN: &str = "header.canary-secret.signature";

fn client(server: &MockServer) -> Client {
    let url = Url::parse(&format!("{}/argo", server.uri())).expect("an address");
    let mut options = ClientOptions::new(url, SecretString::from(TOKEN));
    options.refresh_timeout = Duration::from_millis(200);
    Client::new(options).expect("a client")
}

fn web() -> AppRef {
    AppRef {
        namespace: "argocd".into(),
        name: "web".into(),
        project: "home".into(),
    }
}

fn document() -> Value {
    json!({"metadata": {"name": "web", "namespace": "argocd"}, "spec": {"project": "home"}})
}

async fn answering(status: u16, body: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

fn order(spec: Value) -> SyncOrder {
    let mut json = document();
    json["spec"] = spec;
    let app = Application::parse(json, View::Full).expect("an application");
    let target = Target::new(["https://h.example/r"], "main", true);
    let waiting = Verdict::AwaitingManualSync { revision: "c".repeat(40) };
    SyncOrder::prepare(&app, &waiting, &target, &"c".repeat(40), "prp_1").expect("an order")
}

#[tokio::test]
async fn an_application_is_asked_for_with_prefix_project_and_token() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/argo/api/v1/applications/web"))
        .and(query_param("appNamespace", "argocd"))
        .and(query_param("project", "home"))
        .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(document()))
        .expect(1)
        .mount(&server)
        .await;
    let app = client(&server).get(&web()).await.expect("the application");
    assert_eq!((app.key().to_string().as_str(), app.view), ("argocd/web", View::Full));
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let unary = |code: u8, message: &str| json!({"error": message, "code": code, "message": message});
    for (status, body, expected) in [
        (
            401,
            unary(16, "no session information"),
            "Argo CD does not accept the token (no session information); create a new one for the account or project role and configure it",
        ),
        (
            403,
            unary(7, "permission denied"),
            "Argo CD refuses sync of argocd/web (permission denied); the token's role lacks the right `applications, sync` on it: add it to the project's role",
        ),
        (404, unary(5, "not found"), "Argo CD does not know sync of argocd/web"),
        (
            400,
            unary(9, "another operation is already in progress"),
            "the application is busy with another operation; try again when it has finished",
        ),
        (
            400,
            unary(9, "Cannot sync to abc: auto-sync currently set to main"),
            "automated sync is on, so no revision may be named (Cannot sync to abc: auto-sync currently set to main); sync without one",
        ),
        (
            403,
            unary(7, "cannot sync: blocked by sync window"),
            "a sync window forbids the sync now (cannot sync: blocked by sync window); wait for the window or change it in the project",
        ),
        (
            503,
            unary(14, "try later"),
            "Argo CD is not available for sync of argocd/web (HTTP 503 Service Unavailable: try later)",
        ),
        (
            307,
            json!({}),
            "sync of argocd/web failed (HTTP 307 Temporary Redirect: it redirects; configure the https address it leads to); check the address, its path prefix and the Argo CD version",
        ),
        (
            415,
            json!("x"),
            "sync of argocd/web failed (HTTP 415 Unsupported Media Type: Unsupported Media Type); check the address, its path prefix and the Argo CD version",
        ),
        (
            400,
            unary(3, &format!("bad {TOKEN}")),
            "sync of argocd/web failed (HTTP 400 Bad Request: bad [token]); check the address, its path prefix and the Argo CD version",
        ),
        (
            200,
            json!("<html>"),
            "sync of argocd/web failed (not an Argo CD Application (a field has the wrong type, expected struct Application); check that the address is Argo CD's API and that its version is supported); check the address, its path prefix and the Argo CD version",
        ),
    ] {
        let server = answering(status, body).await;
        let error = client(&server).sync(&order(json!({}))).await.expect_err("an error");
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?} {:?}", client(&server)).contains("canary"), "no secret anywhere");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_keeps_the_address_quiet() {
    let url = Url::parse("http://127.0.0.1:1/argo").expect("an address");
    let client = Client::new(ClientOptions::new(url, SecretString::from(TOKEN))).expect("a client");
    let error = client.get(&web()).await.expect_err("nobody listens on port 1");
    assert!(matches!(error, Error::Unavailable { retryable: true, .. }), "{error}");
}

#[tokio::test]
async fn every_call_but_get_has_the_content_type() {
    let server = MockServer::start().await;
    Mock::given(header("content-type", "application/json"))
        .respond_with(ResponseTemplate::new(200).set_body_json(document()))
        .mount(&server)
        .await;
    let client = client(&server);
    client.sync(&order(json!({}))).await.expect("the sync is taken");
    assert!(client.terminate(&web()).await.expect("the termination is taken"));
    assert!(client.get(&web()).await.is_err(), "a GET has none");
}

#[tokio::test]
async fn the_sync_names_a_revision_only_where_it_may() {
    let commit = "c".repeat(40);
    let source = json!({"repoURL": "https://h.example/r", "targetRevision": "main"});
    let sources = json!([{"repoURL": "https://charts.example", "chart": "x"}, source]);
    for (spec, revision, positions, prune) in [
        (json!({"source": source}), json!(commit), Value::Null, false),
        (
            json!({"source": source, "syncPolicy": {"automated": {"prune": true}}}),
            Value::Null,
            Value::Null,
            true,
        ),
        (
            json!({"source": source, "syncPolicy": {"automated": {"enabled": false, "prune": true}}}),
            json!(commit),
            Value::Null,
            false,
        ),
        (json!({"sources": sources}), Value::Null, json!([2]), false),
        (json!({"sourceHydrator": {"drySource": source}}), Value::Null, Value::Null, false),
    ] {
        let server = answering(200, document()).await;
        client(&server).sync(&order(spec.clone())).await.expect("the sync is taken");
        let requests = server.received_requests().await.expect("requests are recorded");
        let body: Value = requests[0].body_json().expect("a body");
        assert_eq!(
            (&body["revision"], &body["sourcePositions"], &body["prune"]),
            (&revision, &positions, &json!(prune)),
            "{spec}"
        );
        assert_eq!(body["infos"], json!([{"name": "countersign/proposal", "value": "prp_1"}]));
    }
}

#[test]
fn a_sync_is_prepared_only_where_it_helps() {
    let target = Target::new(["https://h.example/r"], "main", true);
    let app = |more: Value| {
        let mut json = document();
        json.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        Application::parse(json, View::Full).expect("an application")
    };
    let waiting = Verdict::Stalled { revision: "c".repeat(40) };
    let prepare = |app: &Application, verdict: &Verdict| SyncOrder::prepare(app, verdict, &target, &"c".repeat(40), "prp_1");
    assert!(prepare(&app(json!({})), &waiting).is_ok());
    assert_eq!(prepare(&app(json!({})), &Verdict::Hydrating), Err(CannotSync::NotWaiting));
    assert_eq!(prepare(&app(json!({"operation": {"sync": {}}})), &waiting), Err(CannotSync::Busy));
    let deleting = json!({"metadata": {"name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(prepare(&app(deleting), &waiting), Err(CannotSync::Deleting));
}

#[tokio::test]
async fn a_refresh_that_is_not_answered_is_requested() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(document())
        .set_delay(Duration::from_secs(60));
    Mock::given(query_param("refresh", "normal"))
        .respond_with(slow)
        .mount(&server)
        .await;
    assert!(matches!(client(&server).refresh(&web()).await, Ok(Refreshed::Requested)));

    let gave_up = json!({"code": 2, "message": "application refresh deadline exceeded"});
    let server = answering(500, gave_up).await;
    assert!(matches!(client(&server).refresh(&web()).await, Ok(Refreshed::Requested)));
    let server = answering(200, document()).await;
    assert!(matches!(client(&server).refresh(&web()).await, Ok(Refreshed::Answered(_))));
    let server = answering(404, json!({"code": 5, "message": "gone"})).await;
    assert!(matches!(client(&server).refresh(&web()).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_bad_token_is_found_though_userinfo_answers_200() {
    let server = answering(200, json!({})).await;
    assert!(matches!(client(&server).userinfo().await, Err(Error::Unauthorized { .. })));
    let server = answering(200, json!({"loggedIn": true, "username": "proj:home:countersign"})).await;
    assert_eq!(client(&server).userinfo().await.as_deref(), Ok("proj:home:countersign"));
}

#[tokio::test]
async fn small_calls_read_their_answers() {
    let server = answering(200, json!({"Version": "v3.5.1+abc", "value": "yes"})).await;
    assert_eq!(client(&server).version().await.as_deref(), Ok("v3.5.1+abc"));
    assert_eq!(client(&server).can_i("get", "home", "*").await, Ok(true));
    let paths: Vec<_> = server
        .received_requests()
        .await
        .expect("requests")
        .iter()
        .map(|r| r.url.path().to_owned())
        .collect();
    assert_eq!(paths, ["/argo/api/version", "/argo/api/v1/account/can-i/applications/get/home/*"]);

    let server = answering(200, json!({"activeWindows": null, "canSync": true})).await;
    assert!(
        client(&server)
            .sync_windows(&web())
            .await
            .expect("an answer")
            .blocks_automatic()
            .is_none()
    );
    let server = answering(
        400,
        json!({"code": 3, "message": "Unable to terminate operation. No operation is in progress"}),
    )
    .await;
    assert_eq!(client(&server).terminate(&web()).await, Ok(false));

    let sick = |kind: &str, status: &str| json!({"kind": kind, "namespace": "web", "name": "web", "health": {"status": status, "message": "no image"}});
    let server = answering(
        200,
        json!({"nodes": [sick("Pod", "Degraded"), sick("Service", "Healthy"), sick("Deployment", "Degraded"), 7]}),
    )
    .await;
    let troubles = client(&server).troubles(&web()).await.expect("an answer");
    assert_eq!(troubles, ["Deployment web/web: no image", "Pod web/web: no image"]);
}

#[tokio::test]
async fn a_list_survives_items_it_cannot_read() {
    let list = json!({"metadata": {"resourceVersion": "41"}, "items": [document(), {"metadata": {"name": 7}}, "x"]});
    let server = answering(200, list).await;
    let listing = client(&server).list(&["home".into()]).await.expect("a list");
    assert_eq!((listing.applications.len(), listing.unreadable, listing.version), (1, 2, Some(41)));
    let requests = server.received_requests().await.expect("requests");
    assert!(
        requests[0]
            .url
            .query_pairs()
            .any(|(name, value)| name == "projects" && value == "home")
    );
    for nothing in [json!({"items": null}), json!({})] {
        let server = answering(200, nothing).await;
        assert!(client(&server).list(&[]).await.expect("a list").applications.is_empty());
    }
}

#[test]
fn unusable_options_are_refused_without_showing_secrets() {
    let refused = |address: &str, pem: Option<&str>| {
        let mut options = ClientOptions::new(Url::parse(address).expect("an address"), SecretString::from(TOKEN));
        options.extra_ca = pem.map(|pem| pem.as_bytes().to_vec());
        assert!(!format!("{options:?}").contains("canary"));
        Client::new(options).expect_err("it is refused").to_string()
    };
    assert_eq!(
        refused("ftp://argo.example", None),
        "the Argo CD address ftp://argo.example/ must begin with http:// or https:// and have no user, query or fragment"
    );
    assert_eq!(
        refused("https://me:canary@argo.example", None),
        "the Argo CD address https://argo.example/ must begin with http:// or https:// and have no user, query or fragment"
    );
    assert_eq!(
        refused("https://argo.example", Some("no pem")),
        "the extra CA certificates for Argo CD are not PEM certificates (no certificate in it)"
    );
}
