//! The world around the service: a git host, a chat, a cluster. And the service itself, started from a configuration file like any other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, RepoBinding};
use simulators::git::{BareRepo, GitOptions, GitRemote};
use simulators::page::{ApplicationRow, CodeRow, Page, PageOptions};
use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim, User};

use super::apps::{Apps, CODE_KEY};
use super::{past, seed};
use crate::service::{Hooks, Service};
use crate::settings::{ConfigFile, Layers, Settings};
use crate::shipped::Shipped;

/// The policy's file, below the demo's folder.
const POLICY: &str = "config/policy.toml";
/// The operations chat.
pub(super) const CHAT: i64 = -1_001_000_000_001;
/// The first operator of the shipped policy; the one who owns the demo's agent is left out of the page.
pub(super) const BOB: i64 = 1002;
/// The second.
pub(super) const CAROL: i64 = 1003;
/// One of the platform's group, so that two others can give somebody their rights back.
const DAVE: i64 = 1004;
/// Somebody in the chat who is not in the policy.
pub(super) const STRANGER: i64 = 4242;

/// Everything that runs.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub repo: BareRepo,
    pub telegram: TelegramSim,
    pub argocd: Arc<ArgocdSim>,
    pub service: Service,
    pub token: String,
    /// What stands in for people's authenticator apps.
    pub apps: Arc<Apps>,
    _git: GitRemote,
}

impl World {
    /// Starts it; `step` is how long the cluster takes for one step.
    pub(super) async fn start(step: Duration) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-demo-").tempdir()?;
        let root = folder.path().join("remotes");
        let git = GitRemote::start(GitOptions {
            root,
            bind: ([127, 0, 0, 1], 0).into(),
            credentials: None,
        })
        .await?;
        let repo = git.create("homelab").context("the git remote cannot be made; is git installed?")?;
        repo.seed(&seed::files())?;
        let url = git.url("homelab");
        let telegram = chat().await?;
        let argocd = cluster(&url, &repo.path, step).await?;
        let config = configure(folder.path(), &url, &telegram, &argocd)?;
        let settings = Settings::from_layers(&Layers {
            file: Some(config),
            environment: Vec::new(),
        })
        .map_err(|problems| anyhow!("{problems:?}"))?;
        let token = agent_token(&settings.database).await?;
        made_up_past(&settings).await?;
        let apps = Arc::new(Apps::enrolled(&settings, CODE_KEY).await?);
        // A demonstration's cluster is quick, so belief may be too.
        let patience = argocd::verdict::Patience::hurried(10);
        let service = Service::start(
            settings,
            Hooks {
                patience,
                ..Hooks::default()
            },
        )
        .await?;
        Ok(Self {
            folder,
            repo,
            telegram,
            argocd: Arc::new(argocd),
            service,
            token,
            apps,
            _git: git,
        })
    }

    /// Somebody edits the policy's file.
    pub(super) fn add_to_policy(&self, lines: &str) -> std::io::Result<()> {
        let file = self.folder.path().join(POLICY);
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{text}\n{lines}\n"))
    }

    /// The page with chat, git log and applications side by side.
    pub(super) async fn page(&self, bind: std::net::SocketAddr) -> std::io::Result<Page> {
        let argocd = self.argocd.clone();
        let rows = move || {
            let row = |app: simulators::argocd::AppRow| ApplicationRow {
                name: app.name,
                sync: app.sync,
                health: app.health,
                revision: app.revision.chars().take(7).collect(),
                operation: app.message,
            };
            argocd.applications().into_iter().map(row).collect()
        };
        let apps = self.apps.clone();
        let codes = move || {
            let row = |user| {
                Some(CodeRow {
                    user,
                    code: apps.code(user)?,
                })
            };
            apps.people().filter_map(row).collect()
        };
        Page::start(PageOptions {
            bind,
            telegram: self.telegram.clone(),
            git_remote: self.repo.path.clone(),
            branch: self.repo.branch.clone(),
            applications: Arc::new(rows),
            codes: Arc::new(codes),
            users: vec![BOB, CAROL, DAVE, STRANGER],
            headline: "Countersign: an agent proposes, you decide".to_owned(),
        })
        .await
    }
}

async fn chat() -> Result<TelegramSim> {
    let telegram = TelegramSim::start(TelegramOptions::default()).await?;
    telegram.add_chat(Chat {
        id: CHAT,
        kind: ChatKind::Supergroup,
        title: "Operations".into(),
        topics: Vec::new(),
    });
    for (id, name) in [(BOB, "Bob"), (CAROL, "Carol"), (DAVE, "Dave"), (STRANGER, "A stranger")] {
        telegram.add_user(User {
            id,
            name: name.into(),
            username: None,
            is_bot: false,
        });
        telegram.set_member(CHAT, id, "member");
    }
    Ok(telegram)
}

async fn cluster(url: &str, path: &Path, step: Duration) -> Result<ArgocdSim> {
    let applications = ["shop", "blog", "cache"]
        .map(|name| ApplicationSpec::new(name, url, &format!("kubernetes/applications/{name}")))
        .into_iter()
        .chain([ApplicationSpec::new("ingress", url, "kubernetes/platform/ingress")]);
    Ok(ArgocdSim::start(ArgocdOptions {
        repositories: vec![RepoBinding {
            url: url.to_owned(),
            path: path.to_owned(),
        }],
        applications: applications.collect(),
        step,
        ..ArgocdOptions::default()
    })
    .await?)
}

/// Takes a runbook's grant out of a policy file, to its last line.
fn without_grant(file: &Path, runbook: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let parts = text.split("[[grants]]");
    let kept = parts.filter(|part| !part.trim_start().starts_with(&format!("runbook = \"{runbook}\"")));
    std::fs::write(file, kept.collect::<Vec<_>>().join("[[grants]]"))
}

/// A configuration file as an operator would write it, with the shipped policy and runbooks beside it.
fn configure(folder: &Path, url: &str, telegram: &TelegramSim, argocd: &ArgocdSim) -> Result<ConfigFile> {
    Shipped::unpack_to(folder)?;
    without_grant(&folder.join(POLICY), "restart")?;
    let policy = folder.join(POLICY);
    let shipped = std::fs::read_to_string(&policy)?;
    std::fs::write(&policy, shipped + seed::FREEZE + seed::CODES)?;
    let text = format!(
        "[server]\nbind = \"127.0.0.1:0\"\nmetrics_bind = \"127.0.0.1:0\"\n\
         [database]\npath = \"countersign.db\"\n\
         [policy]\nfile = \"config/policy.toml\"\nrunbooks = \"config/runbooks\"\ncode_key = \"{CODE_KEY}\"\n\
         [git]\ncache_dir = \"mirrors\"\n\
         [telegram]\ntoken = \"{}\"\napi_url = \"{}\"\n\
         [limits]\nhasty_tap_milliseconds = 0\nsteady_tap_milliseconds = 0\nlanding_poll_seconds = 1\nmessages_per_chat_minute = 600\nmessages_per_chat_second = 20\nmessages_burst = 60\n\
         [[repositories]]\nname = \"homelab\"\nurl = \"{url}\"\nbranch = \"main\"\napprovals = [{{ chat = {CHAT} }}]\nargocd = \"main\"\n\
         [[argocd]]\nname = \"main\"\nurl = \"{}\"\ntoken = \"{}\"\nsync = \"on_request\"\nrelist_seconds = 5\n",
        TelegramOptions::default().token,
        telegram.url(),
        argocd.url(),
        argocd.token(),
    );
    let path: PathBuf = folder.join("countersign.toml");
    std::fs::write(&path, &text)?;
    Ok(ConfigFile {
        shown: path.display().to_string(),
        folder: folder.to_owned(),
        text,
    })
}

/// The runbook `restart` has a record and no grant yet, so that an offer is due.
async fn made_up_past(settings: &Settings) -> Result<()> {
    let book =
        engine::Book::load(&settings.policy.file, settings.policy.runbooks.as_deref()).map_err(|problems| anyhow!("{problems:?}"))?;
    let restart: domain::RunbookName = "restart".parse()?;
    let hash = book
        .runbooks
        .get(&restart)
        .context("the shipped runbook restart is missing")?
        .content_hash();
    let store = store::Store::open(&settings.database, store::StoreOptions::default()).await?;
    let now = std::time::SystemTime::now().into();
    past::write(&store, &book.policy, restart.as_str(), hash, now).await?;
    store.close().await;
    Ok(())
}

async fn agent_token(database: &Path) -> Result<String> {
    let store = store::Store::open(database, store::StoreOptions::default()).await?;
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    let token = format!("cs_{}", hex::encode(bytes));
    let hash = domain::Sha256Hash::of(token.as_bytes());
    let name: domain::AgentName = "demo-agent".parse()?;
    let now = std::time::SystemTime::now().into();
    store
        .write(move |tx| Box::pin(async move { tx.put_agent(&name, hash, &store::Scopes::default(), None, now).await.map(|_| ()) }))
        .await?;
    store.close().await;
    Ok(token)
}
