//! The service running: start, readiness, signals, the lock, secrets that rotate, and logs without secrets.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use countersign::{Hooks, Layers, LogFormat, LogSettings, Service, Settings};

use crate::world::{BOT_TOKEN, GIT_PASSWORD, PATIENCE, World, eventually, program};

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
async fn a_remote_that_is_away_at_the_first_start_is_told_and_does_not_matter_later() {
    let world = World::start().await;
    let config = std::fs::read_to_string(world.config()).unwrap();
    let away = config.lines().map(|line| {
        if line.starts_with("url = ") && line.contains("homelab") {
            "url = \"http://127.0.0.1:9/homelab.git\""
        } else {
            line
        }
    });
    world.write("config.toml", &away.collect::<Vec<_>>().join("\n"));
    let error = Service::start(settings(&world), Hooks::default())
        .await
        .expect_err("nobody is there");
    let told = format!("{error:#}");
    assert!(
        told.starts_with("repository homelab: http://127.0.0.1:9/homelab.git cannot be reached"),
        "{told}"
    );

    world.write("config.toml", &config);
    Service::start(settings(&world), Hooks::default()).await.unwrap().stop().await;
    drop(world.telegram.clone());
    world.telegram.stop();
    let service = Service::start(settings(&world), Hooks::default())
        .await
        .expect("with a mirror, and Telegram away");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_files_are_read_again_when_they_change() {
    let world = World::start().await;
    world.write("telegram-token", "7000000001:old-one");
    let service = Service::start(settings(&world), Hooks::default()).await.unwrap();
    assert!(world.telegram.calls(Some("getUpdates")).iter().all(|call| call.status != Some(200)));
    world.write("telegram-token", &format!("{BOT_TOKEN}\n"));
    eventually("polling with the new token", async || {
        (!world.telegram.calls(Some("getUpdates")).is_empty()).then_some(())
    })
    .await;
    service.stop().await;
}

/// `serve` as a process of its own.
struct Serving {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    /// The service manager's ear.
    manager: UnixDatagram,
}

impl Serving {
    fn start(world: &World) -> Self {
        let socket = world.path("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = program(world.folder.path())
            .env("NOTIFY_SOCKET", socket)
            .args(["serve", "--config"])
            .arg(world.config())
            .env("COUNTERSIGN__LOG__FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, manager }
    }

    /// Reads log lines up to one that holds `text`.
    fn until(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the process ended before {text:?}");
            if line.contains(text) {
                return line;
            }
        }
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
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reload_the_policy_and_end_the_service() {
    let world = World::start().await;
    let policy = include_str!("../../../../config/policy.toml");
    let ended = tokio::task::block_in_place(|| {
        let mut serving = Serving::start(&world);
        let line = serving.until("countersign is running");
        assert!(line.starts_with('{') && line.contains("\"level\":\"INFO\""), "{line}");
        assert_eq!(serving.heard(), "READY=1");
        world.write("policy.toml", &format!("{policy}\n# another one\n"));
        serving.signal("-HUP");
        serving.until("policy and runbooks were read anew");
        world.write("policy.toml", "version = 2");
        serving.signal("-HUP");
        serving.until("the last valid one stays in force");
        let begin = Instant::now();
        serving.signal("-TERM");
        assert_eq!(serving.heard(), "STOPPING=1");
        let status = serving.child.wait().unwrap();
        let mut rest = String::new();
        serving.lines.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("countersign has stopped"), "{rest}");
        (status.code(), begin.elapsed())
    });
    assert_eq!(ended.0, Some(0));
    assert!(ended.1.as_secs() < 5, "{:?}", ended.1);
}

/// Log lines in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_of_any_layer_is_in_the_logs() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = LogSettings {
        format: LogFormat::Text,
        filter: "trace".to_owned(),
    };
    // A runtime on this thread alone, so that every line of this service, and of no other test's, is caught.
    let guard = tracing::subscriber::set_default(countersign::subscriber(&log, move || writer.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (token, environment_secret, argocd_token) = runtime.block_on(async {
        let world = World::start().await;
        let webhook_secret = "canary-webhook-from-the-environment";
        let layers = Layers {
            environment: vec![
                ("COUNTERSIGN__TELEGRAM__MODE".into(), "webhook".into()),
                ("COUNTERSIGN__TELEGRAM__WEBHOOK__URL".into(), "https://countersign.example.com/telegram/webhook".into()),
                ("COUNTERSIGN__TELEGRAM__WEBHOOK__SECRET".into(), webhook_secret.into()),
            ],
            ..Layers::of(Some(&world.config())).unwrap()
        };
        let settings = Settings::from_layers(&layers).unwrap_or_else(|problems| panic!("{problems:?}"));
        let service = Service::start(settings, Hooks::default()).await.unwrap();
        let token = world.run(&["agent", "add", "ops-agent"]).await.out.trim().to_owned();
        let me = reqwest::Client::new().get(format!("http://{}/v1/me", service.api_addr())).bearer_auth(&token).send().await.unwrap();
        assert_eq!(me.status().as_u16(), 200);
        let wrong = reqwest::Client::new().get(format!("http://{}/v1/me", service.api_addr())).bearer_auth("cs_canary-wrong").send().await.unwrap();
        assert_eq!(wrong.status().as_u16(), 401);
        eventually("the webhook", async || (!world.telegram.calls(Some("setWebhook")).is_empty()).then_some(())).await;
        eventually("Argo CD", async || (world.argocd.requests().values().sum::<usize>() > 0).then_some(())).await;
        // A failure of each, too: their errors are what leaks most easily.
        world.write("git-password", "canary-git-password-wrong");
        world.write("telegram-token", "canary no token at all");
        world.telegram.stop();
        let body = serde_json::json!({"repository": "homelab", "base": "head", "title": "t", "reason": "r", "changes": [{"path": "a", "content": "b"}]});
        let _ = reqwest::Client::new()
            .post(format!("http://{}/v1/proposals", service.api_addr()))
            .bearer_auth(&token)
            .header("idempotency-key", "k")
            .json(&body)
            .send()
            .await;
        eventually("the refused secret", async || {
            let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
            text.contains("the secret on disk cannot be used").then_some(())
        })
        .await;
        let argocd_token = world.argocd.token().to_owned();
        service.stop().await;
        for file in ["countersign.db", "countersign.db-wal"] {
            let stored = String::from_utf8_lossy(&std::fs::read(world.path(file)).unwrap_or_default()).into_owned();
            assert!(!stored.contains("canary") && !stored.contains(&token) && !stored.contains(&argocd_token), "{file}");
        }
        (token, webhook_secret, argocd_token)
    });
    drop(guard);
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(
        text.contains("countersign is running") && text.contains("DEBUG"),
        "the control: these are all the service's lines"
    );
    for secret in [
        BOT_TOKEN,
        "canary-telegram",
        GIT_PASSWORD,
        environment_secret,
        &token,
        &token[3..],
        &argocd_token,
        "canary",
    ] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is in the logs");
    }
}
