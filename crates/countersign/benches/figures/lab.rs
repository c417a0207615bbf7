//! A running service with its configuration file, policy and agents, as an operator would set it up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use countersign::{ConfigFile, Hooks, Layers, Service, Settings};
use serde_json::{Value, json};
use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim, User};
use tempfile::TempDir;

use crate::timing::PATIENCE;

/// The chat where approvals are asked.
pub(crate) const CHAT: i64 = -1_001_000_000_001;
/// The operator who approves.
pub(crate) const BOB: i64 = 1002;

/// Everything asks the operator, except the runbook `bump`.
const POLICY: &str = r#"
version = 1
[people.bob]
telegram_id = 1002
[groups]
operators = ["bob"]
[[rules]]
name = "proven"
paths = ["kubernetes/applications/*/*.yaml"]
tier = "standard"
runbook = "bump"
approvers = "operators"
[[rules]]
name = "everything"
paths = ["**"]
tier = "prompted"
approvers = "operators"
"#;

const RUNBOOK: &str = r#"
name = "bump"
description = "Sets the value of one part of an application."
title = "Set {part} of {app} to {value}"
allowed_paths = ["kubernetes/applications/*/*.yaml"]
ceiling = "standard"
rollback = "revert"
[parameters]
required = ["app", "part", "value"]
[parameters.properties.app]
type = "string"
pattern = "^[a-z0-9-]+$"
[parameters.properties.part]
type = "string"
pattern = "^[a-z0-9-]+$"
[parameters.properties.value]
type = "string"
pattern = "^[a-z0-9-]+$"
[[edits]]
file = "kubernetes/applications/{app}/{part}.yaml"
document = { kind = "ConfigMap", name = "{part}" }
path = "data.value"
set = "{value}"
"#;

/// What a service is connected to.
pub(crate) struct Connections<'a> {
    /// The repository's URL.
    pub git: &'a str,
    /// Telegram, if there is one.
    pub telegram: Option<&'a TelegramSim>,
    /// URL and token of Argo CD, if there is one.
    pub argocd: Option<(String, &'a str)>,
    /// Ports of the API and of the metrics; 0 for any.
    pub ports: (u16, u16),
}

/// Writes configuration, policy and runbook into a folder. Limits that guard people's attention are lifted: here nobody reads.
pub(crate) fn configure(folder: &Path, to: &Connections<'_>) -> Result<ConfigFile> {
    std::fs::create_dir_all(folder.join("runbooks"))?;
    let hash = domain::Sha256Hash::of(RUNBOOK.as_bytes());
    let grant = format!("[[grants]]\nrunbook = \"bump\"\nrepository = \"homelab\"\nhash = \"{hash}\"\nuntil = 2099-12-31\n");
    std::fs::write(folder.join("policy.toml"), format!("{POLICY}{grant}"))?;
    std::fs::write(folder.join("runbooks/bump.toml"), RUNBOOK)?;
    let (api, metrics) = to.ports;
    let mut text = format!(
        "[server]\nbind = \"127.0.0.1:{api}\"\nmetrics_bind = \"127.0.0.1:{metrics}\"\n\
         [database]\npath = \"countersign.db\"\n\
         [policy]\nfile = \"policy.toml\"\nrunbooks = \"runbooks\"\n\
         [git]\ncache_dir = \"mirrors\"\n\
         [limits]\nopen_proposals_per_agent = 1000000\nproposals_per_hour_per_agent = 1000000\ncards_per_hour_per_agent = 1000000\ncards_per_hour_per_chat = 1000000\nhasty_tap_milliseconds = 0\nsteady_tap_milliseconds = 0\napprovals_per_push = 5000\n\
         messages_per_chat_minute = 100000\nmessages_per_chat_second = 1000\nmessages_burst = 1000\nmessages_per_second = 1000\n"
    );
    if let Some(telegram) = to.telegram {
        text += &format!(
            "[telegram]\ntoken = \"{}\"\napi_url = \"{}\"\n",
            TelegramOptions::default().token,
            telegram.url()
        );
    }
    text += &format!("[[repositories]]\nname = \"homelab\"\nurl = \"{}\"\nbranch = \"main\"\n", to.git);
    if to.telegram.is_some() {
        text += &format!("approvals = [{{ chat = {CHAT} }}]\n");
    }
    if let Some((url, token)) = &to.argocd {
        text += &format!("argocd = \"main\"\n[[argocd]]\nname = \"main\"\nurl = \"{url}\"\ntoken = \"{token}\"\n");
    }
    let path = folder.join("countersign.toml");
    std::fs::write(&path, &text)?;
    Ok(ConfigFile {
        shown: path.display().to_string(),
        folder: folder.to_owned(),
        text,
    })
}

/// A chat with the operator in it.
pub(crate) async fn chat() -> Result<TelegramSim> {
    let telegram = TelegramSim::start(TelegramOptions::default()).await?;
    telegram.add_chat(Chat {
        id: CHAT,
        kind: ChatKind::Supergroup,
        title: "Operations".to_owned(),
        topics: Vec::new(),
    });
    telegram.add_user(User {
        id: BOB,
        name: "Bob".to_owned(),
        username: None,
        is_bot: false,
    });
    telegram.set_member(CHAT, BOB, "member");
    Ok(telegram)
}

/// A service in this process.
pub(crate) struct Lab {
    folder: TempDir,
    /// The service.
    pub service: Service,
    /// Its agents.
    pub agents: Vec<Agent>,
}

impl Lab {
    /// Starts it with so many agents.
    pub(crate) async fn start(to: &Connections<'_>, agents: usize, hooks: Hooks) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-figures-").tempdir()?;
        let file = configure(folder.path(), to)?;
        let settings = Settings::from_layers(&Layers {
            file: Some(file),
            environment: Vec::new(),
        })
        .map_err(|problems| anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        let tokens = tokens(&settings.database, agents).await?;
        let service = Service::start(settings, hooks).await?;
        let base = format!("http://{}/v1/proposals", service.api_addr());
        let agents = tokens
            .into_iter()
            .map(|(name, token)| Agent::new(name, token, &base))
            .collect::<Result<_>>()?;
        Ok(Self { folder, service, agents })
    }

    /// The database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("countersign.db")
    }

    /// How many durable commits there were since the start.
    pub(crate) fn commits(&self) -> u64 {
        self.service.engine().store().commits()
    }

    /// Waits until the workers have nothing to write any more: what they do later must not disturb the other side of a pair.
    pub(crate) async fn quiet(&self) -> Result<()> {
        const STILL: Duration = Duration::from_millis(30);
        let began = Instant::now();
        let (mut seen, mut since) = (self.commits(), Instant::now());
        while since.elapsed() < STILL {
            ensure!(began.elapsed() < PATIENCE, "the service never came to rest");
            tokio::time::sleep(Duration::from_millis(3)).await;
            if self.commits() != seen {
                (seen, since) = (self.commits(), Instant::now());
            }
        }
        Ok(())
    }
}

/// Agents with their tokens, made before the service starts, as `countersign agent add` does.
async fn tokens(database: &Path, count: usize) -> Result<Vec<(String, String)>> {
    let store = store::Store::open(database, store::StoreOptions::default()).await?;
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
        let (text, token) = (format!("agent-{number}"), format!("cs_{}", hex::encode(bytes)));
        let (name, hash): (domain::AgentName, _) = (text.parse()?, domain::Sha256Hash::of(token.as_bytes()));
        let now = std::time::SystemTime::now().into();
        store
            .write(move |tx| Box::pin(async move { tx.put_agent(&name, hash, &store::Scopes::default(), None, now).await.map(|_| ()) }))
            .await?;
        made.push((text, token));
    }
    store.close().await;
    Ok(made)
}

/// An agent over plain HTTP, with a connection of its own.
pub(crate) struct Agent {
    /// Its name.
    pub name: String,
    token: String,
    url: String,
    http: reqwest::Client,
}

impl Agent {
    fn new(name: String, token: String, url: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self {
            name,
            token,
            url: url.to_owned(),
            http,
        })
    }

    /// Proposes one file's new content; answers the proposal's id.
    pub(crate) async fn propose(&self, key: &str, path: &str, content: &str) -> Result<String> {
        let changes = [json!({ "path": path, "content": content })];
        self.create(
            key,
            &json!({ "repository": "homelab", "base": "head", "title": "Change one value", "reason": key, "changes": changes }),
        )
        .await
    }

    /// Calls the runbook; answers the proposal's id.
    pub(crate) async fn bump(&self, key: &str, app: &str, part: &str, value: &str) -> Result<String> {
        let call = json!({ "name": "bump", "parameters": { "app": app, "part": part, "value": value } });
        self.create(
            key,
            &json!({ "repository": "homelab", "base": "head", "reason": key, "runbook": call }),
        )
        .await
    }

    /// Tries a change without asking for it; answers the status.
    pub(crate) async fn evaluate(&self, body: &Value) -> Result<u16> {
        let request = self.http.post(format!("{}:evaluate", self.url)).bearer_auth(&self.token);
        let response = request.json(body).send().await?;
        let status = response.status().as_u16();
        response.bytes().await?;
        Ok(status)
    }

    async fn create(&self, key: &str, body: &Value) -> Result<String> {
        let request = self.http.post(&self.url).bearer_auth(&self.token).header("Idempotency-Key", key);
        let response = request.json(body).send().await?;
        let status = response.status();
        let document: Value = response.json().await?;
        ensure!(status.as_u16() == 201, "a proposal was answered with {status}: {document}");
        Ok(document["id"].as_str().context("a proposal without id")?.to_owned())
    }

    /// Waits for a proposal's outcome.
    pub(crate) async fn outcome(&self, id: &str) -> Result<String> {
        for _ in 0..4 {
            let url = format!("{}/{id}?wait=30&until=outcome", self.url);
            let document: Value = self
                .http
                .get(url)
                .bearer_auth(&self.token)
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            if let Some(outcome) = document["outcome"].as_str() {
                return Ok(outcome.to_owned());
            }
        }
        Err(anyhow!("{id} never came to an outcome"))
    }
}

/// What people call a proposal: the last six digits.
pub(crate) fn short(id: &str) -> String {
    id[id.len().saturating_sub(6)..].to_uppercase()
}
