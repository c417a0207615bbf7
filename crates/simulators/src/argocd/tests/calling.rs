//! The REST calls: what they answer and how they refuse.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{Behaviour, Endpoint, Fault, calls},
    LONG, lab, lab_with, told,
};

#[tokio::test]
async fn refusals_are_the_real_ones() {
    let lab = lab_with(|options| options.rights.projects = Some(vec!["default".to_owned()])).await;
    lab.sim.set_behaviour("web", Behaviour::BlockedByWindow);
    let token = lab.sim.token().to_owned();
    let other = "eyJh.eyJz.c2ln";
    let sync = "/api/v1/applications/api/sync";
    for (method, path, token, kind, body, status, code, words) in [
        ("GET", "/api/v1/applications", "", "", "", 401, 16, "no session information"),
        ("GET", "/api/v1/applications", "plain", "", "", 401, 16, "no session information"),
        ("GET", "/api/v1/applications", other, "", "", 401, 16, "invalid session"),
        ("GET", "/api/v1/applications/none", &token, "", "", 403, 7, "permission denied"),
        (
            "GET",
            "/api/v1/applications/none?project=default",
            &token,
            "",
            "",
            404,
            5,
            "\"none\" not found",
        ),
        (
            "GET",
            "/api/v1/applications/api?project=secret",
            &token,
            "",
            "",
            403,
            7,
            "permission denied",
        ),
        (
            "POST",
            sync,
            &token,
            "application/json",
            r#"{"revision":"other"}"#,
            400,
            9,
            "Cannot sync to other: auto-sync currently set to main",
        ),
        ("POST", sync, &token, "application/json", "{", 400, 3, "EOF"),
        (
            "POST",
            "/api/v1/applications/web/sync",
            &token,
            "application/json",
            "{}",
            403,
            7,
            "cannot sync: blocked by sync window",
        ),
        (
            "POST",
            "/api/v1/applications/api/rollback",
            &token,
            "application/json",
            r#"{"id":0}"#,
            400,
            9,
            "auto-sync is enabled",
        ),
        (
            "DELETE",
            "/api/v1/applications/api/operation",
            &token,
            "application/json",
            "",
            400,
            3,
            "No operation is in progress",
        ),
        ("GET", "/api/v1/nowhere", &token, "", "", 404, 5, "Not Found"),
    ] {
        let mut request = lab
            .http
            .request(method.parse().unwrap(), format!("{}{path}", lab.sim.url()))
            .body(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let (got, answer) = told(request.send().await.unwrap()).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{method} {path} {answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(words) && answer["error"] == answer["message"],
            "{answer}"
        );
    }
    let wrong_type = lab
        .request(Method::POST, sync)
        .header("content-type", "application/json; charset=utf-8")
        .body("{}");
    let answer = wrong_type.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().trim()),
        (415, "Invalid content type")
    );
}

#[tokio::test]
async fn the_preflight_calls_tell_what_a_token_may() {
    let lab = lab_with(|options| options.rights.sync = false).await;
    assert!(lab.get("/api/version").await["GoVersion"].is_string());
    let info = "/api/v1/session/userinfo";
    assert_eq!(lab.get(info).await["loggedIn"], true);
    let stranger = lab
        .http
        .get(format!("{}{info}", lab.sim.url()))
        .bearer_auth("x")
        .send()
        .await
        .unwrap();
    assert_eq!(told(stranger).await, (200, json!({})));
    for (action, value) in [("get", "yes"), ("sync", "no"), ("override", "no")] {
        let path = format!("/api/v1/account/can-i/applications/{action}/default/web");
        assert_eq!(lab.get(&path).await, json!({"value": value}), "{action}");
    }
    let (status, answer) = lab.post("/api/v1/applications/web/sync", json!({})).await;
    assert!(
        status == 403
            && answer["message"]
                .as_str()
                .unwrap()
                .starts_with("permission denied: applications, sync, default/web")
    );
    lab.violations();
}

#[tokio::test]
async fn the_list_is_narrowed_by_query() {
    let lab = lab().await;
    let names = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|app| app["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected) in [
        ("", vec!["api", "web"]),
        ("?projects=default&name=web", vec!["web"]),
        ("?projects=other", vec![]),
    ] {
        assert_eq!(names(&lab.get(&format!("/api/v1/applications{query}")).await), expected, "{query}");
    }
    let slim = lab
        .get("/api/v1/applications?fields=items.metadata.name,items.status.sync.status")
        .await;
    assert_eq!(
        slim["items"][1],
        json!({"metadata": {"name": "web"}, "status": {"sync": {"status": "Synced"}}})
    );
    assert!(slim["metadata"]["resourceVersion"].is_string());
    lab.violations();
}

#[tokio::test]
async fn the_list_may_lag_behind_a_direct_get() {
    let lab = lab_with(|options| options.list_lag = Duration::from_secs(3600)).await;
    lab.sim.set_health("web", "Degraded", "web is down");
    let listed = lab.get("/api/v1/applications?name=web").await;
    assert_eq!(listed["items"][0]["status"]["health"]["status"], "Healthy");
    let got = lab.get("/api/v1/applications/web?project=default").await;
    assert_eq!(got["status"]["health"]["status"], "Degraded");
}

#[tokio::test]
async fn a_requested_sync_carries_its_infos_and_can_be_terminated() {
    let lab = lab().await;
    lab.sim.set_behaviour("web", Behaviour::AutoSyncOff);
    let commit = lab.scale_web(2);
    lab.refresh("web").await;
    lab.sim.set_behaviour_at("web", &commit, Behaviour::Hang);
    let body = json!({"revision": commit, "prune": true, "infos": [{"name": "change", "value": "prp_1"}], "project": "default"});
    let (status, app) = lab.post("/api/v1/applications/web/sync", body.clone()).await;
    assert_eq!(status, 200, "{app}");
    assert!(app["operation"]["sync"]["revision"] == json!(commit) && app["status"].get("operationState").is_none());
    let app = lab.settles("OutOfSync", "Healthy", "Running").await;
    assert_eq!(app["status"]["operationState"]["operation"]["info"], body["infos"]);
    let (status, busy) = lab.post("/api/v1/applications/web/sync", body).await;
    assert_eq!(
        (status, busy["message"].as_str()),
        (400, Some("another operation is already in progress"))
    );
    let stop = lab
        .request(Method::DELETE, "/api/v1/applications/web/operation")
        .header("content-type", "application/json");
    assert_eq!(told(stop.send().await.unwrap()).await, (200, json!({})));
    let app = lab.settles("OutOfSync", "Healthy", "Failed").await;
    assert_eq!(app["status"]["operationState"]["message"], "Operation terminated");
    lab.violations();
}

#[tokio::test]
async fn a_signed_push_event_refreshes_what_it_touches() {
    use hmac::Mac;
    let lab = lab_with(|options| {
        options.webhook_secret = Some("s3cret".to_owned());
        for application in &mut options.applications {
            *application = application.clone().generate_paths(".");
        }
    })
    .await;
    let (before, commit) = (lab.repo.tip().unwrap(), lab.scale_web(2));
    let event = json!({
        "ref": "refs/heads/main", "before": before, "after": commit,
        "repository": {"html_url": "https://git.example.com/team/gitops", "default_branch": "main"},
        "commits": [{"added": [], "modified": ["apps/web/deployment.yaml"], "removed": []}],
    });
    let body = event.to_string();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    for (signature, status) in [("sha256=00", 400), ("", 400), (signature.as_str(), 200)] {
        let request = lab.http.post(format!("{}/api/webhook", lab.sim.url())).body(body.clone());
        let request = request.header("content-type", "application/json").header("x-github-event", "push");
        let answer = request.header("x-hub-signature-256", signature).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    lab.sim
        .wait_for(LONG, |rows| rows[1].revision == commit && rows[1].sync == "Synced")
        .await
        .unwrap();
    assert_eq!(lab.sim.applications()[0].revision, before, "api is not touched");
}

#[tokio::test]
async fn faults_and_details() {
    let lab = lab().await;
    lab.sim.fail_next(Endpoint::Get, Fault::Status(503), 1);
    let answer = lab.request(Method::GET, "/api/v1/applications/web").send().await.unwrap();
    assert_eq!(told(answer).await.0, 503);
    lab.sim.fail_next(Endpoint::Sync, Fault::LoseAnswer, 1);
    let lost = lab
        .request(Method::POST, "/api/v1/applications/web/sync")
        .json(&json!({}))
        .send()
        .await;
    assert!(lost.is_err());
    lab.sim.wait_for(LONG, |rows| rows[1].phase == "Succeeded").await.unwrap();
    assert_eq!(
        lab.sim.app("web")["status"]["operationState"]["operation"]["initiatedBy"]["username"],
        calls::SUBJECT
    );
    let tip = lab.repo.tip().unwrap();
    let project = "?project=default";
    assert_eq!(
        lab.get(&format!("/api/v1/applications/web/revisions/{tip}/metadata{project}"))
            .await["message"],
        "Seed the repository\n"
    );
    lab.sim.set_health("web", "Degraded", "web is down");
    let tree = lab.get(&format!("/api/v1/applications/web/resource-tree{project}")).await;
    assert!(
        tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|node| node["health"]["message"] == "web is down")
    );
    assert_eq!(
        lab.get(&format!("/api/v1/applications/web/managed-resources{project}")).await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        lab.get(&format!("/api/v1/applications/web/syncwindows{project}")).await,
        json!({"canSync": true})
    );
    lab.violations();
    assert!(!format!("{:?} {:?}", lab.sim, lab.sim.world.options).contains(lab.sim.token()));
}
