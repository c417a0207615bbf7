//! The service running: start, readiness, signals, the lock, secrets that rotate, and logs without secrets.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use countersign::{Hooks, Service, Settings};
use simulators::git::{GitOptions, GitRemote};

use crate::world::{BOT_TOKEN, CHAT, GIT_PASSWORD, PATIENCE, World, eventually, program};

fn settings(world: &World) -> Settings {
    Settings::load(Some(&world.config())).unwrap_or_else(|problems| panic!("{problems:?}"))
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_is_ready_and_stops_within_five_seconds() {
    let world = World::start().await;
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    assert_eq!(get(service.api_addr(), "/healthz").await.0, 200);
    eventually("readiness", async || {
        (get(service.api_addr(), "/readyz").await.0 == 200).then_some(())
    })
    .await;
    let (status, text) = get(service.metrics_addr(), "/metrics").await;
    assert_eq!(status, 200, "{text}");
    eventually("polling", async || {
        (!world.telegram.calls(Some("getUpdates")).is_empty()).then_some(())
    })
    .await;

    let token = world.run(&["agent", "add", "beside"]).await.out;
    let me = reqwest::Client::new()
        .get(format!("http://{}/v1/me", service.api_addr()))
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap();
    assert_eq!(
        me.status().as_u16(),
        200,
        "an agent added beside the running service may call at once"
    );

    let begin = Instant::now();
    let api = service.api_addr();
    service.stop().await;
    assert!(begin.elapsed().as_secs() < 5, "stopping took {:?}", begin.elapsed());
    assert!(
        reqwest::get(format!("http://{api}/healthz")).await.is_err(),
        "nobody listens any more"
    );
    let list = world.run(&["agent", "list"]).await.out;
    let listed: serde_json::Value = serde_json::from_str(list.trim()).unwrap();
    assert!(listed["last_used_at"].is_string(), "the agent called: {list}");
    // The lock is given back: the same database can be served again.
    Service::start(settings(&world), Hooks::default()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_one_database_is_refused() {
    let world = World::start().await;
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    let second = world.run(&["serve"]).await;
    assert_eq!((second.code, second.out.as_str()), (Some(1), ""));
    let expected = format!(
        "countersign.db.lock is locked by process {}: only one `serve` may run on a database; stop the other one first",
        std::process::id()
    );
    assert!(second.err.contains(&expected), "{}", second.err);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serve_on_a_used_port_touches_nothing() {
    let world = World::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.configure("bind = ", &format!("bind = \"{address}\""));
    let refused = world.run(&["serve"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    let expected = format!("server.bind: cannot listen on {address}");
    assert!(refused.err.contains(&expected), "{}", refused.err);
    assert!(!world.path("countersign.db").exists() && !world.path("mirrors").exists());
    assert_eq!(
        (world.git.requests(), world.telegram.calls(None).len()),
        (Vec::new(), 0),
        "nobody was asked"
    );
}

/// Proposes a file; status and document of the answer.
async fn propose(service: &Service, token: &str, key: &str) -> (u16, serde_json::Value) {
    let body = serde_json::json!({"repository": "homelab", "base": "head", "title": "t", "reason": "r", "changes": [{"path": "a", "content": "b"}]});
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/proposals", service.api_addr()))
        .bearer_auth(token)
        .header("idempotency-key", key)
        .json(&body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The example that agents' authors copy, as it stands in the README, with nothing but Python's standard library.
#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_python_example_runs() {
    let readme = include_str!("../../../../README.md");
    let example = readme
        .split_once("```python\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .unwrap()
        .0;
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let world = World::start().await;
    world
        .repo
        .on("main")
        .commit_on_top(
            &[simulators::git::Change::write(
                "kubernetes/applications/web/values.yaml",
                "replicas: 2\n",
            )],
            "seed",
            "Olivia",
        )
        .unwrap();
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    let url = format!("http://{}", service.api_addr());
    let token = world.run(&["agent", "add", "ops-agent"]).await.out.trim().to_owned();
    let running = std::process::Command::new("python3")
        .args(["-c", example])
        .env("COUNTERSIGN_URL", &url)
        .env("COUNTERSIGN_TOKEN", &token)
        .env_remove("http_proxy")
        .env_remove("HTTP_PROXY")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = reqwest::Client::new();
    let path = eventually("the proposal", async || {
        let page = client.get(format!("{url}/v1/proposals")).bearer_auth(&token).send().await.unwrap();
        let page: serde_json::Value = page.json().await.unwrap();
        page["proposals"][0]["links"]["self"].as_str().map(str::to_owned)
    })
    .await;
    let withdrawn = client
        .post(format!("{url}{path}/withdraw"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(withdrawn.status().as_u16(), 200);
    let said = tokio::task::spawn_blocking(move || running.wait_with_output().unwrap())
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        text(&said.stdout).starts_with("withdrawn None "),
        "{} {}",
        text(&said.stdout),
        text(&said.stderr)
    );
    service.stop().await;
}

/// What `/readyz` says is missing; `None` when it is ready.
async fn missing(service: &Service) -> Option<String> {
    let (status, text) = get(service.api_addr(), "/readyz").await;
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["ready"], status == 200, "{text}");
    (status != 200).then(|| document["not_ready"].to_string())
}

async fn until_ready(service: &Service) {
    eventually("readiness", async || missing(service).await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_away_at_the_first_start_is_told_and_used_once_it_is_there() {
    let world = World::start().await;
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    world.configure("url = ", &format!("url = \"http://{free}/homelab.git\""));
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    let token = world.run(&["agent", "add", "one"]).await.out.trim().to_owned();
    assert_eq!(
        missing(&service).await.as_deref(),
        Some(r#"["repository homelab: its remote cannot be reached"]"#)
    );
    let (status, problem) = propose(&service, &token, "k").await;
    assert_eq!((status, &problem["code"]), (503, &"repository_unavailable".into()));
    assert_eq!(problem["retryable"], true);
    assert_eq!(
        problem["detail"],
        "repository homelab is not usable yet: its remote cannot be reached"
    );

    let late = GitRemote::start(GitOptions {
        root: world.path("late"),
        bind: free,
        credentials: Some(("bot".to_owned(), GIT_PASSWORD.to_owned())),
    })
    .await
    .unwrap();
    late.create("homelab").unwrap().seed(&[("README.md", "hello\n", false)]).unwrap();
    until_ready(&service).await;
    assert_eq!(propose(&service, &token, "k").await.0, 201, "the same call succeeds");
    service.stop().await;

    // With a mirror neither the remote nor Telegram is needed.
    drop(late);
    world.telegram.stop();
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    until_ready(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_does_not_exist_is_named_and_used_once_it_does() {
    let world = World::start().await;
    world.configure("branch = ", "branch = \"production\"");
    let check = world.run(&["check", "--online"]).await;
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check
            .err
            .contains("problem: git homelab: the remote has no branch \"production\"\n  remedy: create the branch, or correct `branch`"),
        "{}",
        check.err
    );
    // A mirror of another branch must not pass for one of this.
    for _ in 0..2 {
        let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
        let told = eventually("the missing branch", async || missing(&service).await).await;
        assert_eq!(told, r#"["repository homelab: its remote has no branch \"production\""]"#);
        service.stop().await;
    }
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    let token = world.run(&["agent", "add", "one"]).await.out.trim().to_owned();
    let (status, problem) = propose(&service, &token, "k").await;
    assert_eq!((status, &problem["code"]), (503, &"branch_missing".into()));
    assert_eq!(problem["retryable"], false);
    assert_eq!(problem["detail"], "the remote of repository homelab has no branch \"production\"");

    world.repo.on("production").seed(&[("README.md", "hello\n", false)]).unwrap();
    until_ready(&service).await;
    assert_eq!(propose(&service, &token, "k").await.0, 201);

    // Deleted while the service runs: told as soon as anybody asks.
    world.repo.on("production").delete_branch().unwrap();
    eventually("the missing branch", async || {
        propose(&service, &token, "again").await;
        missing(&service).await
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_files_are_read_again_when_they_change() {
    let world = World::start().await;
    world.write("telegram-token", "7000000001:old-one");
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    assert!(world.telegram.calls(Some("getUpdates")).iter().all(|call| call.status != Some(200)));
    let telegram = async |problem: Option<&str>| {
        let document: serde_json::Value = serde_json::from_str(&get(service.api_addr(), "/readyz").await.1).unwrap();
        (document["telegram"]["problem"].as_str() == problem).then(|| document["telegram"]["seen_at"].is_string())
    };
    let refused = async || telegram(Some("the bot token is not accepted")).await;
    assert!(!eventually("the trouble", refused).await, "a refusal is no sign of life");
    world.write("telegram-token", &format!("{BOT_TOKEN}\n"));
    eventually("polling with the new token", async || {
        (!world.telegram.calls(Some("getUpdates")).is_empty()).then_some(())
    })
    .await;
    assert!(eventually("no trouble", async || telegram(None).await).await, "it was seen");
    service.stop().await;
}

/// `serve` as a process of its own, whose log lines are collected.
struct Serving {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// The service manager's ear.
    manager: UnixDatagram,
}

impl Serving {
    fn start(world: &World, environment: &[(&str, &str)]) -> Self {
        let socket = world.path("notify");
        let _ = std::fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = program(world.folder.path())
            .args(["serve", "--config"])
            .arg(world.config())
            .env("NOTIFY_SOCKET", socket)
            .env("COUNTERSIGN__LOG__FORMAT", "json")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let shared = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *shared.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            child,
            log,
            reader: Some(reader),
            manager,
        }
    }

    /// The first log line that holds `text`.
    async fn line(&self, text: &str) -> String {
        let find = async || self.log.lock().unwrap().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(text, find).await
    }

    /// Where agents call.
    async fn api(&self) -> String {
        let line: serde_json::Value = serde_json::from_str(&self.line("countersign is running").await).unwrap();
        format!("http://{}", line["api"].as_str().unwrap())
    }

    /// What the service manager hears next.
    fn heard(&self) -> String {
        let mut word = [0; 64];
        let length = self.manager.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..length]).trim().to_owned()
    }

    fn signal(&self, name: &str) {
        let done = std::process::Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Ends it; answers the exit code, how long it took, and the whole log.
    fn stop(mut self) -> (Option<i32>, Duration, String) {
        let begin = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        let took = begin.elapsed();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status.code(), took, log)
    }
}

/// A failing test must leave no process behind.
impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reload_the_policy_and_end_the_service() {
    let world = World::start().await;
    let policy = include_str!("../../../../config/policy.toml");
    let serving = Serving::start(&world, &[]);
    let line = serving.line("countersign is running").await;
    assert!(line.starts_with('{') && line.contains("\"level\":\"INFO\""), "{line}");
    assert_eq!(serving.heard(), "READY=1");
    world.write("policy.toml", &format!("{policy}\n# another one\n"));
    serving.signal("-HUP");
    serving.line("policy and runbooks were read anew").await;
    world.write("policy.toml", "version = 2");
    serving.signal("-HUP");
    serving.line("the last valid one stays in force").await;
    serving.signal("-TERM");
    assert_eq!(serving.heard(), "STOPPING=1");
    let (code, took, log) = serving.stop();
    assert!(log.contains("countersign has stopped"), "{log}");
    assert!(
        log.contains("cloning the mirror") && !log.contains("cannot be used"),
        "a first clone is nothing to worry about: {log}"
    );
    assert_eq!(code, Some(0));
    assert!(took.as_secs() < 5, "{took:?}");
}

/// Each secret is used well first and then with a failure, because errors are what leaks most easily.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_any_layer_is_in_logs_answers_or_database() {
    let world = World::start().await;
    let trace = ("COUNTERSIGN__LOG__FILTER", "trace");
    let webhook = [
        trace,
        ("COUNTERSIGN__TELEGRAM__MODE", "webhook"),
        (
            "COUNTERSIGN__TELEGRAM__WEBHOOK__URL",
            "https://countersign.example.com/telegram/webhook",
        ),
        ("COUNTERSIGN__TELEGRAM__WEBHOOK__SECRET", "canary-webhook"),
    ];
    let serving = Serving::start(&world, &webhook);
    eventually("the webhook", async || (!world.telegram.webhook_url().is_empty()).then_some(())).await;
    serving.api().await;
    let mut seen = serving.stop().2;

    // No tip of before the change may answer for git.
    let serving = Serving::start(&world, &[trace, ("COUNTERSIGN__LIMITS__TIP_AGE_SECONDS", "0")]);
    let api = serving.api().await;
    let token = world.run(&["agent", "add", "ops-agent"]).await.out.trim().to_owned();
    let client = reqwest::Client::new();
    for (token, expected) in [(token.as_str(), 200), ("cs_canary-wrong", 401)] {
        let answer = client.get(format!("{api}/v1/me")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
        seen += &answer.text().await.unwrap();
    }
    let polled = async || (!world.telegram.calls(Some("getUpdates")).is_empty()).then_some(());
    eventually("polling", polled).await;
    eventually("Argo CD", async || {
        (world.argocd.requests().values().sum::<usize>() > 0).then_some(())
    })
    .await;

    world.write("git-password", "canary-git-password-wrong");
    world.write("argocd-token", "a.canary-argocd.c");
    serving.line("the secret has changed and is in use").await;
    world.argocd.end_streams();
    world.write("telegram-token", "7000000001:canary-wrong");
    world.telegram.send_text(1002, CHAT, "hello", None);
    serving.line("cannot fetch updates").await;
    world.write("telegram-token", "canary no token at all");
    serving.line("the secret on disk cannot be used").await;
    let body = serde_json::json!({"repository": "homelab", "base": "head", "title": "t", "reason": "r", "changes": [{"path": "a", "content": "b"}]});
    let refused = client
        .post(format!("{api}/v1/proposals"))
        .bearer_auth(&token)
        .header("idempotency-key", "k")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status().as_u16(), 503, "git refuses the password");
    seen += &refused.text().await.unwrap();
    seen += &serving.stop().2;
    for file in ["countersign.db", "countersign.db-wal"] {
        seen += &String::from_utf8_lossy(&std::fs::read(world.path(file)).unwrap_or_default());
    }

    for control in ["countersign is running", "cannot fetch updates", "refuses access", "ops-agent"] {
        assert!(seen.contains(control), "the control {control:?} must be seen");
    }
    for secret in ["canary", &token[3..], world.argocd.token()] {
        let line = seen.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is seen");
    }
}
