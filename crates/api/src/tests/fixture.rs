//! A real engine over a real git repository and a database file. Its workers do not run, so nothing happens by itself.

use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use domain::Sha256Hash;
use engine::{Book, Clock, CrashPoints, Engine, EngineOptions, RepositorySetup, TelegramSetup};
use gitworker::{Credentials, Deadlines, Identity, Repository, RepositoryOptions};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::{Scopes, Store, StoreOptions};
use tower::ServiceExt;

use crate::ApiLimits;

pub const TOKEN: &str = "authorization: Bearer alice-token";
pub const JSON: &str = "content-type: application/json";
pub const SECRET: &str = "canary-secret";

/// The application over an engine of its own.
pub struct Api {
    pub engine: Engine,
    pub router: axum::Router,
    folder: tempfile::TempDir,
}

/// An answer as the caller sees it.
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// Small limits, so that small requests reach them.
pub fn limits() -> ApiLimits {
    ApiLimits {
        body_bytes: 2_000,
        webhook_bytes: 100,
        json_values: 300,
        ..ApiLimits::default()
    }
}

/// Two agents, one repository, webhook mode.
pub async fn api_with(limits: ApiLimits) -> Api {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("countersign.db"), StoreOptions::default())
        .await
        .unwrap();
    for (name, token, expires_at) in [
        ("alice-bot", "alice-token", None),
        ("bob-bot", "bob-token", None),
        ("log-bot", "canary-agent-token", None),
        ("narrow-bot", "narrow-token", None),
        ("gone-bot", "revoked-token", None),
        ("old-bot", "expired-token", Some("2020-01-01T00:00:00Z".parse().unwrap())),
    ] {
        let name = name.parse().unwrap();
        let scopes = Scopes {
            paths: if token == "narrow-token" {
                vec!["docs/**".to_owned()]
            } else {
                Vec::new()
            },
            ..Scopes::default()
        };
        store
            .write(move |tx| {
                Box::pin(async move {
                    let now = "2026-03-01T12:00:00Z".parse().unwrap();
                    tx.put_agent(&name, Sha256Hash::of(token.as_bytes()), &scopes, expires_at, now)
                        .await?;
                    if token == "revoked-token" {
                        tx.revoke_agent(&name, now).await?;
                    }
                    Ok::<_, store::StoreError>(())
                })
            })
            .await
            .unwrap();
    }
    let engine = Engine::new(EngineOptions {
        repositories: vec![repository(folder.path()).await],
        telegram: Some(telegram()),
        argocd: Vec::new(),
        book: Book::load(&shipped("policy.toml"), Some(&shipped("runbooks"))).unwrap(),
        limits: engine::Limits::default(),
        codes: None,
        clock: Clock::system(),
        crash: CrashPoints::default(),
        store,
    });
    Api {
        router: crate::router(engine.clone(), limits),
        engine,
        folder,
    }
}

pub async fn api() -> Api {
    api_with(limits()).await
}

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}

async fn repository(folder: &Path) -> RepositorySetup {
    let remote = simulators::git::BareRepo::create(folder.join("remote.git")).unwrap();
    remote
        .seed(&[
            ("kubernetes/applications/web/values.yaml", "replicas: 1\n", false),
            ("Docs/README.md", "hello\n", false),
        ])
        .unwrap();
    let options = RepositoryOptions {
        name: "homelab".parse().unwrap(),
        url: remote.path.to_str().unwrap().parse().unwrap(),
        branch: "main".to_owned(),
        mirror: folder.join("mirror.git"),
        credentials: Credentials::None,
        author: Identity {
            name: "Countersign".to_owned(),
            email: "countersign@example.org".to_owned(),
        },
        signing_key: None,
        deadlines: Deadlines::default(),
        push_with_git_cli: false,
        extra_ca: None,
    };
    RepositorySetup {
        name: options.name.clone(),
        git: Repository::open(options).await.unwrap(),
        approvals: Vec::new(),
        notifications: Vec::new(),
        default_branch: true,
        argocd: None,
        url_aliases: Vec::new(),
        github: None,
        commit_url: None,
        machine_identities: Vec::new(),
        policy: None,
        runbooks: None,
        guarded_paths: Vec::new(),
        alarm_unexplained: false,
    }
}

/// Telegram that is never called: nothing sends while no worker runs.
fn telegram() -> TelegramSetup {
    let client = telegram::Client::new(telegram::ClientOptions {
        token: "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        api_url: "http://127.0.0.1:9".parse().unwrap(),
        timeout: std::time::Duration::from_secs(1),
        upload_timeout: std::time::Duration::from_secs(1),
    });
    TelegramSetup {
        queue: telegram::Queue::new(client.unwrap(), telegram::Limits::default()),
        zone: "UTC".parse().unwrap(),
        webhook: telegram::Webhook::new(SECRET.into(), "countersign_bot"),
        hold_seconds: 0,
    }
}

/// A change of one file to so many replicas, as a body.
pub fn change(replicas: u32) -> String {
    let file = json!({"path": "kubernetes/applications/web/values.yaml", "content": format!("replicas: {replicas}\n")});
    json!({"repository": "homelab", "title": "Scale web", "reason": "latency", "changes": [file]}).to_string()
}

impl Api {
    /// `line` is `METHOD path`, then one header per line.
    pub async fn send(&self, line: &str, body: impl Into<Body>) -> Seen {
        let mut lines = line.lines().map(str::trim).filter(|line| !line.is_empty());
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for header in lines {
            let (name, value) = header.split_once(':').unwrap();
            request = request.header(name, value.trim());
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Seen {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Proposes so many replicas.
    pub async fn propose(&self, key: &str, replicas: u32) -> Seen {
        self.send(
            &format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: {key}"),
            change(replicas),
        )
        .await
    }

    pub async fn get(&self, path: &str, headers: &str) -> Seen {
        self.send(&format!("GET {path}\n{TOKEN}\n{headers}"), "").await
    }

    /// Every byte that the service keeps: database, log of changes, mirror.
    pub fn kept(&self) -> Vec<u8> {
        fn collect(folder: &Path, bytes: &mut Vec<u8>) {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    collect(&entry, bytes);
                } else {
                    bytes.extend(std::fs::read(entry).unwrap());
                }
            }
        }
        let mut bytes = Vec::new();
        collect(self.folder.path(), &mut bytes);
        bytes
    }

    /// The audit rows as `event by whom: summary`.
    pub async fn audit(&self) -> Vec<String> {
        let rows = self.engine.store().read().audit_after(0, 1_000).await.unwrap();
        rows.iter()
            .map(|row| {
                let actor = match &row.entry.actor {
                    store::Actor::Agent(name) => name.as_str(),
                    _ => "-",
                };
                format!("{} by {actor}: {}", row.entry.event, row.entry.summary)
            })
            .collect()
    }
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn id(&self) -> String {
        self.json()["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {}", self.text))
            .to_owned()
    }

    /// Status and code, after a look at what every problem must have.
    pub fn problem(&self) -> String {
        let document = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{document}");
        assert_eq!(document["status"], self.status);
        assert_eq!(
            document["type"],
            format!("urn:countersign:problem:{}", document["code"].as_str().unwrap())
        );
        assert_eq!(document["instance"], format!("urn:uuid:{}", self.header("x-request-id")));
        format!("{} {}", self.status, document["code"].as_str().unwrap())
    }
}
