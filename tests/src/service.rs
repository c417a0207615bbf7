//! Puts a service together over the lab's world: in the test's process, or in one that is killed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use domain::Policy;
use domain::code::CodeKey;
use engine::{ArgocdSetup, Book, Destination, Engine, EngineOptions, RepositorySetup, TelegramSetup};
use secrecy::SecretString;
use simulators::telegram::TelegramOptions;
use store::{Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use crate::LabOptions;
use crate::lab::CHAT;

/// The key behind the lab's code generators.
pub const CODE_KEY: &str = "the lab's key, of at least 32 characters";

/// The service's token on the simulated GitHub.
pub const GITHUB_TOKEN: &str = "github-token-of-the-lab";

/// Where everything is that a service needs.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Holds database and mirror.
    pub folder: PathBuf,
    /// The repository's URL.
    pub git: String,
    /// Base URL of the Bot API.
    pub telegram: String,
    /// Base URL of Argo CD.
    pub argocd: String,
    /// Its token.
    pub argocd_token: String,
    /// A second repository that an Argo CD of its own follows: its URL, and that one's base URL.
    pub annex: Option<(String, String)>,
    /// Base URL of GitHub's API, where the repository is on GitHub.
    pub github: Option<String>,
}

impl Addresses {
    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.folder.join("countersign.db")
    }

    /// The mirror's folder.
    pub fn mirror(&self) -> PathBuf {
        self.folder.join("mirror")
    }
}

/// Quick verdicts: the real waiting times are for real clusters.
pub fn quick() -> argocd::verdict::Patience {
    argocd::verdict::Patience {
        healthy_ms: 150,
        degraded_ms: 300,
        error_apart_ms: 200,
        stalled_ms: 1000,
        refresh_ms: 2000,
        refresh_pauses_ms: vec![200, 500, 1000],
        windows_ms: 500,
        fetch_ms: 200,
        ..argocd::verdict::Patience::default()
    }
}

/// The engine over a world. Nothing runs before it is started.
pub async fn build(world: &Addresses, options: &LabOptions, cancel: &CancellationToken) -> Result<Engine> {
    let store = Store::open(&world.database(), StoreOptions { readers: 4 }).await?;
    let policy = Policy::parse(&options.policy).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbook = changes::Runbook::parse(&options.runbook, "scale.toml").map_err(|problems| anyhow!("{problems:?}"))?;
    let repository = mirrored("homelab", &world.git, world.mirror(), options).await?;
    let client = telegram::Client::new(telegram::ClientOptions {
        token: SecretString::from(TelegramOptions::default().token),
        api_url: world.telegram.parse()?,
        timeout: Duration::from_secs(20),
        upload_timeout: Duration::from_secs(20),
    })?;
    let limits = telegram::Limits {
        per_chat_minute: 100_000,
        per_chat_second: 1000,
        burst: 1000,
        overall_second: 1000,
        ..Default::default()
    };
    let place = |(chat, topic): (i64, Option<i64>)| Destination {
        chat: telegram::ChatId(chat),
        thread: topic.map(telegram::ThreadId),
        when: options.when,
    };
    let github = match &world.github {
        None => None,
        Some(url) => Some(github::GitHub::new(github::GitHubOptions {
            base_url: url.clone(),
            owner: "example".to_owned(),
            repo: "homelab".to_owned(),
            token: SecretString::from(GITHUB_TOKEN),
            timeout: Duration::from_secs(20),
        })?),
    };
    let mut repositories = vec![RepositorySetup {
        name: "homelab".parse()?,
        git: repository,
        approvals: vec![place((CHAT, options.topic))],
        notifications: options.notifications.iter().copied().map(place).collect(),
        default_branch: true,
        argocd: options.argocd.then(|| "cluster".to_owned()),
        url_aliases: Vec::new(),
        github,
        commit_url: Some("https://git.example.com/homelab/commit/{commit}".to_owned()),
        machine_identities: vec!["agent@example.com".to_owned()],
        policy: options.repository_policy.as_deref().map(str::parse).transpose()?,
        runbooks: options.repository_runbooks.as_deref().map(str::parse).transpose()?,
        guarded_paths: Vec::new(),
        alarm_unexplained: options.alarm_unexplained,
    }];
    let mut instances = Vec::new();
    if options.argocd {
        instances.push(instance("cluster", &world.argocd, world, options, cancel)?);
    }
    if let Some((git, argocd)) = &world.annex {
        repositories.push(RepositorySetup {
            name: "annex".parse()?,
            git: mirrored("annex", git, world.folder.join("annex-mirror"), options).await?,
            approvals: vec![place((CHAT, None))],
            notifications: Vec::new(),
            default_branch: true,
            argocd: Some("annex-cluster".to_owned()),
            url_aliases: Vec::new(),
            github: None,
            commit_url: None,
            machine_identities: Vec::new(),
            policy: None,
            runbooks: options.repository_runbooks.as_deref().map(str::parse).transpose()?,
            guarded_paths: Vec::new(),
            alarm_unexplained: false,
        });
        instances.push(instance("annex-cluster", argocd, world, options, cancel)?);
    }
    Ok(Engine::new(EngineOptions {
        store,
        repositories,
        telegram: options.telegram.then(|| TelegramSetup {
            queue: telegram::Queue::new(client, limits),
            zone: options.zone,
            webhook: None,
            hold_seconds: options.hold_seconds,
        }),
        argocd: instances,
        book: Book::new(policy, vec![runbook]),
        limits: options.limits.clone(),
        codes: options
            .codes
            .then(|| engine::CodeSource::new(|| CodeKey::new(CODE_KEY).map_err(|error| error.to_string()))),
        clock: options.clock.clone(),
        crash: options.crash.clone(),
    }))
}

async fn mirrored(name: &str, url: &str, mirror: PathBuf, options: &LabOptions) -> Result<gitworker::Repository> {
    Ok(gitworker::Repository::open(gitworker::RepositoryOptions {
        name: name.parse()?,
        url: url.parse()?,
        branch: "main".to_owned(),
        mirror,
        credentials: gitworker::Credentials::None,
        author: gitworker::Identity {
            name: "Countersign".into(),
            email: "countersign@example.com".into(),
        },
        signing_key: None,
        deadlines: options.git_deadlines,
        push_with_git_cli: false,
        extra_ca: None,
    })
    .await?)
}

fn instance(name: &str, url: &str, world: &Addresses, options: &LabOptions, cancel: &CancellationToken) -> Result<ArgocdSetup> {
    let token = SecretString::from(world.argocd_token.clone());
    let client = argocd::client::Client::new(argocd::client::ClientOptions::new(url.parse()?, token))?;
    let watching = argocd::watch::WatchOptions {
        relist_every: Duration::from_secs(2),
        backoff_min: Duration::from_millis(100),
        settle: Duration::from_millis(100),
        ask_gap: Duration::from_millis(100),
        ..Default::default()
    };
    Ok(ArgocdSetup {
        name: name.to_owned(),
        watch: argocd::watch::Watch::start(client.clone(), watching, cancel.clone()),
        client,
        sync_on_request: options.sync_on_request,
        deadline: options.argocd_deadline,
        patience: quick(),
    })
}
