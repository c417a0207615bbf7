//! The simulator is asked over HTTP, as a client would, and told about commits only through git.

use futures_util::StreamExt;
use reqwest::{Client, Method, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::git::{BareRepo, Change};

const URL: &str = "https://git.example.com/team/gitops.git";
/// Generous, for slow and busy machines.
const LONG: Duration = Duration::from_secs(60);

struct Lab {
    _folder: TempDir,
    repo: BareRepo,
    sim: ArgocdSim,
    http: Client,
}

async fn lab() -> Lab {
    lab_with(|_| {}).await
}

/// Two applications over one repository; git is polled once an hour only, so that tests decide when it is looked at.
async fn lab_with(adjust: impl FnOnce(&mut ArgocdOptions)) -> Lab {
    let folder = TempDir::new().unwrap();
    let repo = BareRepo::create(folder.path().join("gitops.git")).unwrap();
    repo.seed(&[
        ("apps/web/deployment.yaml", deployment("web", 1), false),
        (
            "apps/web/service.yaml",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n".to_owned(),
            false,
        ),
        ("apps/api/deployment.yaml", deployment("api", 1), false),
    ])
    .unwrap();
    let mut options = ArgocdOptions {
        repositories: vec![RepoBinding {
            url: URL.to_owned(),
            path: repo.path.clone(),
        }],
        applications: vec![
            ApplicationSpec::new("web", URL, "apps/web"),
            ApplicationSpec::new("api", URL, "apps/api"),
        ],
        poll_interval: Duration::from_secs(3600),
        step: Duration::from_millis(20),
        ..ArgocdOptions::default()
    };
    adjust(&mut options);
    let sim = ArgocdSim::start(options).await.unwrap();
    Lab {
        _folder: folder,
        repo,
        sim,
        http: Client::new(),
    }
}

fn deployment(name: &str, replicas: u32) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  image: {name}:1\n")
}

impl Lab {
    /// A commit that changes what `web` deploys.
    fn scale_web(&self, replicas: u32) -> String {
        let change = Change::write("apps/web/deployment.yaml", deployment("web", replicas));
        self.repo.commit_on_top(&[change], "Scale web", "alice").unwrap()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.sim.url()))
            .bearer_auth(self.sim.token());
        request.timeout(LONG)
    }

    async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        told(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    async fn refresh(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/applications/{name}?refresh=normal&project=default"))
            .await
    }

    /// Waits until `web` has this sync status, health and phase.
    async fn settles(&self, sync: &str, health: &str, phase: &str) -> Value {
        let done = |rows: &[AppRow]| {
            rows.iter()
                .any(|row| row.name == "web" && (&*row.sync, &*row.health, &*row.phase) == (sync, health, phase))
        };
        self.sim.wait_for(LONG, done).await.unwrap();
        self.sim.app("web")
    }

    async fn stream(&self, query: &str) -> Events {
        let request = self.http.get(format!("{}/api/v1/stream/applications{query}", self.sim.url()));
        let request = request.bearer_auth(self.sim.token()).header("accept", "text/event-stream");
        Events {
            response: timeout(LONG, request.send()).await.unwrap().unwrap(),
            text: String::new(),
        }
    }

    fn violations(&self) {
        assert_eq!(self.sim.spec_violations(), Vec::<String>::new());
    }
}

async fn told(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

/// An open stream, read line by line.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// The next line that is not empty; `None` at a proper end, `Err` when the connection broke.
    async fn line(&mut self) -> Result<Option<String>, reqwest::Error> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
                self.text = rest;
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            match timeout(LONG, self.response.chunk()).await.expect("the stream says something")? {
                Some(chunk) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                None => return Ok(None),
            }
        }
    }

    async fn event(&mut self) -> Value {
        let line = self.line().await.unwrap().expect("one more event");
        serde_json::from_str(line.strip_prefix("data: ").unwrap_or(&line)).unwrap()
    }
}

#[tokio::test]
async fn a_commit_is_compared_synced_and_healthy() {
    let lab = lab().await;
    let mut events = lab.stream("?name=web").await;
    assert_eq!(events.event().await["result"]["type"], "ADDED");
    let commit = lab.scale_web(2);
    let refreshed = lab.refresh("web").await;
    // Compared with the new commit, and the operation is already written.
    assert_eq!(refreshed["status"]["sync"]["revision"], json!(commit));
    assert_eq!(refreshed["status"]["sync"]["status"], "OutOfSync");
    assert_eq!(refreshed["operation"]["sync"]["revision"], json!(commit));
    lab.settles("Synced", "Healthy", "Succeeded").await;
    let app = lab.get("/api/v1/applications/web?project=default").await;
    assert_eq!(app["status"]["operationState"]["syncResult"]["revision"], json!(commit));
    assert_eq!(app["status"]["history"][1]["revision"], json!(commit));
    assert_eq!(app["status"]["summary"]["images"], json!(["web:1"]));
    assert!(app.get("operation").is_none());
    // The stream told the whole way, with rising versions and whole seconds.
    let (mut seen, mut versions) = (Vec::new(), Vec::new());
    while seen.last().is_none_or(|last| last != "Synced/Healthy/Succeeded") || seen.len() < 4 {
        let event = events.event().await;
        let row = AppRow::of(&event["result"]["application"]);
        versions.push(http::resource_version(&event["result"]["application"]));
        let state = format!("{}/{}/{}", row.sync, row.health, row.phase);
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    assert!(
        versions.is_sorted() && seen.iter().any(|state| state == "OutOfSync/Healthy/Running"),
        "{seen:?}"
    );
    assert!(seen.iter().any(|state| state == "Synced/Progressing/Succeeded"), "{seen:?}");
    assert!(!app["status"]["reconciledAt"].as_str().unwrap().contains('.'));
    lab.violations();
}

#[tokio::test]
async fn only_files_below_the_path_count() {
    let lab = lab().await;
    let commit = lab.scale_web(3);
    let app = lab.refresh("api").await;
    assert_eq!(
        (&app["status"]["sync"]["revision"], &app["status"]["sync"]["status"]),
        (&json!(commit), &json!("Synced"))
    );
    assert!(app.get("operation").is_none());
    let comment = format!("# note\n{}", deployment("api", 1));
    lab.repo
        .commit_on_top(&[Change::write("apps/api/deployment.yaml", comment)], "Comment", "alice")
        .unwrap();
    assert_eq!(
        lab.refresh("api").await["status"]["sync"]["status"],
        "Synced",
        "a comment changes no manifest"
    );
}

#[tokio::test]
async fn behaviours_end_as_named() {
    for (behaviour, end) in [
        (Behaviour::StaleHealthy, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::NoDiff, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::Degraded, ("Synced", "Degraded", "Succeeded")),
        (Behaviour::Progressing, ("Synced", "Progressing", "Succeeded")),
        (Behaviour::Suspended, ("Synced", "Suspended", "Succeeded")),
        (Behaviour::SyncFails, ("OutOfSync", "Healthy", "Failed")),
        (Behaviour::SyncErrors, ("OutOfSync", "Healthy", "Error")),
        (Behaviour::Retry { failures: 2 }, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::ComparisonError, ("Unknown", "Healthy", "Succeeded")),
        (Behaviour::Hang, ("OutOfSync", "Healthy", "Running")),
        (Behaviour::NeverSyncs, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::BlockedByWindow, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::AutoSyncOff, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::Drifts, ("OutOfSync", "Healthy", "Succeeded")),
    ] {
        let lab = lab().await;
        lab.sim.set_behaviour("web", behaviour);
        let commit = lab.scale_web(2);
        lab.refresh("web").await;
        let app = lab.settles(end.0, end.1, end.2).await;
        let (state, revision) = (&app["status"]["operationState"], json!(commit));
        match behaviour {
            Behaviour::NoDiff | Behaviour::NeverSyncs | Behaviour::BlockedByWindow | Behaviour::AutoSyncOff => {
                assert_ne!(state["syncResult"]["revision"], revision, "{behaviour:?}: no operation ran");
                assert_eq!(app["status"]["sync"]["revision"], revision, "{behaviour:?}");
            }
            Behaviour::ComparisonError => {
                assert_eq!(app["status"]["sync"]["revision"], "main");
                assert_eq!(app["status"]["conditions"][0]["type"], "ComparisonError");
            }
            Behaviour::SyncErrors => {
                assert!(state.get("syncResult").is_none());
                assert_eq!(state["operation"]["sync"]["revision"], revision);
            }
            Behaviour::SyncFails => {
                assert_eq!(state["syncResult"]["resources"][0]["status"], "SyncFailed");
                lab.sim
                    .wait_for(LONG, |rows| rows[1].message.contains("Failed last sync attempt"))
                    .await
                    .unwrap();
            }
            Behaviour::Retry { failures } => assert_eq!(state["retryCount"], json!(failures)),
            _ => assert_eq!(state["syncResult"]["revision"], revision, "{behaviour:?}"),
        }
        let path = "/api/v1/applications/web?project=default";
        assert_eq!(lab.get(path).await["metadata"]["name"], "web", "{behaviour:?}");
        lab.violations();
    }
}

#[tokio::test]
async fn a_retry_is_running_and_yet_has_a_finishing_time() {
    let lab = lab_with(|options| options.step = Duration::from_millis(100)).await;
    lab.sim.set_behaviour("web", Behaviour::Retry { failures: 1 });
    lab.scale_web(2);
    let mut events = lab.stream("?name=web&fields=result.application.status.operationState").await;
    lab.refresh("web").await;
    loop {
        let state = events.event().await["result"]["application"]["status"]["operationState"].clone();
        if state["retryCount"] == 1 && state.get("finishedAt").is_some() {
            assert_eq!(state["phase"], "Running");
            assert!(state["message"].as_str().unwrap().contains("Retrying attempt #1"), "{state}");
            return;
        }
    }
}

#[tokio::test]
async fn removed_files_are_pruned_or_skipped() {
    for (behaviour, status, sync) in [
        (Behaviour::Succeed, "Pruned", "Synced"),
        (Behaviour::PruneSkipped, "PruneSkipped", "OutOfSync"),
    ] {
        let lab = lab().await;
        lab.sim.set_behaviour("web", behaviour);
        let changes = [
            Change::delete("apps/web/service.yaml"),
            Change::write("apps/web/deployment.yaml", deployment("web", 2)),
        ];
        let commit = lab.repo.commit_on_top(&changes, "Drop the service", "alice").unwrap();
        lab.refresh("web").await;
        lab.sim
            .wait_for(LONG, |rows| {
                rows[1].sync == sync && rows[1].health == "Healthy" && rows[1].phase == "Succeeded"
            })
            .await
            .unwrap();
        let app = lab.settles(sync, "Healthy", "Succeeded").await;
        let result = &app["status"]["operationState"]["syncResult"];
        assert_eq!(result["revision"], json!(commit));
        let service = result["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["kind"] == "Service")
            .unwrap();
        assert_eq!(service["status"], status);
        let leftover = app["status"]["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["requiresPruning"] == true);
        assert_eq!(leftover, sync == "OutOfSync");
        lab.violations();
    }
}

#[tokio::test]
async fn a_lost_refresh_answers_with_what_was_known_before() {
    let lab = lab().await;
    let before = lab.repo.tip().unwrap();
    lab.sim.lose_refreshes("web", 1);
    let commit = lab.scale_web(2);
    let first = lab.refresh("web").await;
    assert_eq!(first["status"]["sync"]["revision"], json!(before));
    assert!(first["metadata"]["annotations"].get("argocd.argoproj.io/refresh").is_none());
    assert_eq!(lab.refresh("web").await["status"]["sync"]["revision"], json!(commit));
}

#[tokio::test]
async fn git_is_polled_without_being_asked() {
    let lab = lab_with(|options| options.poll_interval = Duration::from_millis(50)).await;
    let commit = lab.scale_web(2);
    lab.sim
        .wait_for(LONG, |rows| rows[1].revision == commit && rows[1].sync == "Synced")
        .await
        .unwrap();
    assert!(lab.sim.requests().is_empty());
}

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
async fn self_heal_rollback_and_deletion() {
    let lab = lab().await;
    lab.sim.edit_spec("api", |spec| {
        spec.automated = Some(Automated {
            self_heal: true,
            ..Automated::default()
        })
    });
    lab.sim.drift_app("api");
    let healed = |rows: &[AppRow]| {
        let partial = lab.sim.app("api")["status"]["operationState"]["operation"]["sync"]["resources"].is_array();
        partial && rows[0].phase == "Succeeded" && rows[0].sync == "Synced"
    };
    lab.sim.wait_for(LONG, healed).await.unwrap();
    let history = lab.sim.app("api")["status"]["history"].as_array().unwrap().len();
    assert_eq!(history, 1, "healing is no deployment");

    let first = lab.repo.tip().unwrap();
    let second = lab.scale_web(2);
    lab.refresh("web").await;
    lab.settles("Synced", "Healthy", "Succeeded").await;
    lab.sim.rollback_app("web").unwrap();
    lab.sim
        .wait_for(LONG, |rows| rows[1].sync == "OutOfSync" && rows[1].phase == "Succeeded")
        .await
        .unwrap();
    let status = lab.sim.app("web")["status"].clone();
    assert_eq!(status["operationState"]["syncResult"]["revision"], json!(first));
    assert_eq!(status["sync"]["revision"], json!(second));

    let mut events = lab.stream("?name=web&fields=result.type").await;
    assert_eq!(events.event().await["result"]["type"], "ADDED");
    lab.sim.delete_app("web");
    while events.event().await["result"]["type"] != "DELETED" {}
    assert_eq!(lab.sim.app("web"), Value::Null);

    lab.violations();
}

#[tokio::test]
async fn the_stream_keeps_alive_breaks_and_repeats() {
    let lab = lab_with(|options| options.keepalive = Duration::from_millis(50)).await;
    // An unknown application: nothing to say but the keepalive.
    let mut events = lab.stream("?name=none").await;
    assert_eq!(events.line().await.unwrap().unwrap(), ":");
    // With a resource version there is no snapshot.
    let mut events = lab.stream("?resourceVersion=99999999").await;
    assert_eq!(events.line().await.unwrap().unwrap(), ":");

    let mut events = lab.stream("?fields=result.type,result.application.metadata.name").await;
    let expected = json!({"result": {"type": "ADDED", "application": {"metadata": {"name": "api"}}}});
    assert_eq!(events.event().await, expected);
    events.event().await;
    lab.sim.drop_streams();
    let broken = loop {
        match events.line().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(broken.is_err(), "a cut, not an end");

    let mut events = lab.stream("?name=web").await;
    events.event().await;
    lab.sim.end_streams();
    while let Some(line) = events.line().await.unwrap() {
        assert_eq!(line, ":");
    }

    lab.sim.fail_next(Endpoint::Stream, Fault::Status(401), 1);
    let mut events = lab.stream("").await;
    assert_eq!(events.response.status(), 401);
    assert_eq!(events.event().await["error"]["http_code"], 401);

    lab.sim.set_duplicate_events(true);
    let mut events = lab.stream("?name=web").await;
    assert_eq!(events.event().await, events.event().await);
    assert_eq!(lab.sim.count(Endpoint::Stream), 6);
}

#[tokio::test]
async fn without_sse_the_stream_is_lines_of_json() {
    let lab = lab().await;
    let request = lab.request(Method::GET, "/api/v1/stream/applications?name=web");
    let mut body = request.send().await.unwrap().bytes_stream();
    let first = timeout(LONG, body.next()).await.unwrap().unwrap().unwrap();
    let event: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(event["result"]["application"]["metadata"]["name"], "web");
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
async fn several_sources_have_several_revisions() {
    let lab = lab_with(|options| {
        let values = SourceSpec {
            reference: Some("values".to_owned()),
            ..SourceSpec::folder(URL, "")
        };
        let chart = SourceSpec {
            chart: Some("redis".to_owned()),
            target_revision: "1.2.3".to_owned(),
            repo_url: "https://charts.example.com".to_owned(),
            value_files: vec!["$values/apps/web/deployment.yaml".to_owned()],
            ..SourceSpec::default()
        };
        let spec = ApplicationSpec {
            sources: vec![chart, values],
            ..ApplicationSpec::new("web", URL, "")
        };
        options.applications = vec![ApplicationSpec::new("api", URL, "apps/api"), spec];
    })
    .await;
    let commit = lab.scale_web(2);
    let app = lab.refresh("web").await;
    assert_eq!(app["status"]["sync"]["revisions"], json!(["1.2.3", commit]));
    assert_eq!(app["operation"]["sync"]["revisions"], json!(["1.2.3", commit]));
    let app = lab.settles("Synced", "Healthy", "Succeeded").await;
    assert_eq!(app["status"]["operationState"]["syncResult"]["revisions"], json!(["1.2.3", commit]));
    assert_eq!(app["status"]["sync"]["comparedTo"]["sources"][0]["chart"], "redis");
    lab.violations();
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
async fn a_hanging_operation_blocks_newer_commits_until_it_ends() {
    let lab = lab().await;
    let first = lab.scale_web(2);
    lab.sim.set_behaviour_at("web", &first, Behaviour::Hang);
    lab.refresh("web").await;
    lab.settles("OutOfSync", "Healthy", "Running").await;
    let second = lab.scale_web(3);
    let app = lab.refresh("web").await;
    // Compared with the newer commit, while the operation keeps to the older one.
    assert_eq!(
        (&app["status"]["sync"]["revision"], &app["operation"]["sync"]["revision"]),
        (&json!(second), &json!(first))
    );
    lab.sim.set_behaviour_at("web", &first, Behaviour::Succeed);
    let newest = |rows: &[AppRow]| rows[1].sync == "Synced" && rows[1].health == "Healthy";
    lab.sim.wait_for(LONG, newest).await.unwrap();
    let app = lab.sim.app("web");
    assert_eq!(app["status"]["operationState"]["syncResult"]["revision"], json!(second));
    assert_eq!(app["status"]["history"].as_array().unwrap().len(), 3);
    lab.violations();
}

#[tokio::test]
async fn health_is_stale_at_first_where_scripted() {
    let lab = lab_with(|options| options.step = Duration::from_millis(100)).await;
    lab.sim.set_behaviour("web", Behaviour::StaleHealthy);
    let mut events = lab.stream("?name=web").await;
    lab.scale_web(2);
    lab.refresh("web").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let row = AppRow::of(&events.event().await["result"]["application"]);
        if (row.sync.as_str(), row.phase.as_str()) == ("Synced", "Succeeded")
            && row.revision == lab.repo.tip().unwrap()
            && seen.last() != Some(&row.health)
        {
            seen.push(row.health);
        }
    }
    assert_eq!(seen, ["Healthy", "Progressing", "Healthy"]);
}

#[tokio::test]
async fn a_new_application_and_a_missing_branch() {
    let lab = lab().await;
    lab.sim.add_app(ApplicationSpec::new("late", URL, "apps/api"));
    let created = |rows: &[AppRow]| {
        rows.iter()
            .any(|row| row.name == "late" && row.health == "Healthy" && row.sync == "Synced")
    };
    lab.sim.wait_for(LONG, created).await.unwrap();
    lab.repo.delete_branch().unwrap();
    let app = lab.refresh("late").await;
    assert_eq!(
        (&app["status"]["sync"]["status"], &app["status"]["sync"]["revision"]),
        (&json!("Unknown"), &json!("main"))
    );
    assert!(
        app["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains("unable to resolve 'main'")
    );
    lab.sim.edit_object("late", |object| {
        object["status"]["sourceHydrator"] = json!({"lastSuccessfulOperation": {"drySHA": "a", "hydratedSHA": "b"}})
    });
    assert_eq!(
        lab.get("/api/v1/applications/late?project=default").await["status"]["sourceHydrator"]["lastSuccessfulOperation"]["drySHA"],
        "a"
    );
    lab.violations();
}
