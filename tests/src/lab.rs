//! A small homelab around one engine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use domain::{Policy, Proposal, ProposalId};
use engine::{
    Agent, ArgocdSetup, Book, Clock, Content, CrashPoints, Created, Destination, Engine, EngineOptions, FileRequest, Limits,
    ProposalRequest, RepositorySetup, Running, TelegramSetup,
};
use secrecy::SecretString;
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, RepoBinding};
use simulators::git::{BareRepo, GitOptions, GitRemote};
use simulators::telegram::{Chat, ChatKind, Message, TapOutcome, TelegramOptions, TelegramSim, User};
use store::{Store, StoreOptions};
use tokio_util::sync::CancellationToken;

/// The chat where approvals are asked.
pub const CHAT: i64 = -1_001_000_000_001;
/// An operator.
pub const ALICE: i64 = 1001;
/// An operator who owns `owned-bot`.
pub const BOB: i64 = 1002;
/// In the network group only.
pub const CAROL: i64 = 1003;
/// In the chat, but not in the policy.
pub const MALLORY: i64 = 6666;
/// Longest wait for anything, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The policy of the lab.
pub const POLICY: &str = r#"
version = 1
reserved = [".countersign/**"]

[people.alice]
telegram_id = 1001
[people.bob]
telegram_id = 1002
owns = ["owned-bot"]
[people.carol]
telegram_id = 1003

[groups]
operators = ["alice", "bob"]
network = ["carol"]

[[rules]]
name = "scaling"
paths = ["kubernetes/applications/*/deployment.yaml"]
tier = "standard"
runbook = "scale"
approvers = "operators"

[[rules]]
name = "critical"
paths = ["kubernetes/critical/**"]
tier = "prompted"
approvers = "operators"
quorum = 2

[[rules]]
name = "workloads"
paths = ["kubernetes/**"]
tier = "prompted"
approvers = "operators"

[[rules]]
name = "terraform"
paths = ["infrastructure/terraform/**"]
tier = "manual"
"#;

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: web\nspec:\n  # scaled by agents\n  replicas: 2\n  template:\n    spec:\n      containers:\n        - name: web\n          image: registry.example.com/web:1.0.0\n";

/// What differs from the ordinary lab.
#[derive(Clone)]
pub struct LabOptions {
    /// The policy's text.
    pub policy: String,
    /// Whether an Argo CD is configured.
    pub argocd: bool,
    /// Whether a Telegram is configured.
    pub telegram: bool,
    /// Seconds between quorum and push.
    pub hold_seconds: u32,
    /// Limits.
    pub limits: Limits,
    /// Crash points.
    pub crash: CrashPoints,
}

impl Default for LabOptions {
    fn default() -> Self {
        let limits = Limits {
            landing_poll: Duration::from_millis(200),
            pull_poll: Duration::from_millis(200),
            tip_age: Duration::ZERO,
            ..Limits::default()
        };
        Self {
            policy: POLICY.to_owned(),
            argocd: true,
            telegram: true,
            hold_seconds: 0,
            limits,
            crash: CrashPoints::default(),
        }
    }
}

/// A running service and its world.
pub struct Lab {
    dir: tempfile::TempDir,
    options: LabOptions,
    /// The git host.
    pub git: GitRemote,
    /// The one repository.
    pub repo: BareRepo,
    /// Telegram.
    pub telegram: TelegramSim,
    /// Argo CD.
    pub argocd: ArgocdSim,
    /// The engine.
    pub engine: Engine,
    running: Option<Running>,
    cancel: CancellationToken,
}

impl Lab {
    /// The ordinary lab.
    pub async fn start() -> Result<Self> {
        Self::with(LabOptions::default()).await
    }

    /// A lab that differs.
    pub async fn with(options: LabOptions) -> Result<Self> {
        install_once();
        let dir = tempfile::tempdir()?;
        let git = GitRemote::start(GitOptions {
            root: dir.path().join("remotes"),
            bind: ([127, 0, 0, 1], 0).into(),
            credentials: None,
        })
        .await?;
        let repo = git.create("homelab")?;
        repo.seed(&[
            ("README.md", "homelab\n".as_bytes(), false),
            ("kubernetes/applications/web/deployment.yaml", DEPLOYMENT.as_bytes(), false),
            (
                "kubernetes/applications/web/service.yaml",
                b"kind: Service\nmetadata:\n  name: web\n",
                false,
            ),
            (
                "kubernetes/applications/blog/values.yaml",
                b"replicaCount: 1\nimage:\n  tag: 2.1.0\n",
                false,
            ),
            ("kubernetes/critical/db.yaml", b"kind: StatefulSet\nspec:\n  replicas: 1\n", false),
            (
                "infrastructure/terraform/main.tf",
                b"variable \"nodes\" {\n  default = 3\n}\n",
                false,
            ),
        ])?;
        let telegram = TelegramSim::start(TelegramOptions::default()).await?;
        telegram.add_chat(Chat {
            id: CHAT,
            kind: ChatKind::Supergroup,
            title: "Operations".into(),
            topics: Vec::new(),
        });
        for (id, name) in [(ALICE, "Alice"), (BOB, "Bob"), (CAROL, "Carol"), (MALLORY, "Mallory")] {
            telegram.add_user(User {
                id,
                name: name.into(),
                username: None,
                is_bot: false,
            });
            telegram.set_member(CHAT, id, "member");
        }
        let argocd = ArgocdSim::start(ArgocdOptions {
            repositories: vec![RepoBinding {
                url: git.url("homelab"),
                path: repo.path.clone(),
            }],
            applications: vec![
                ApplicationSpec::new("web", &git.url("homelab"), "kubernetes/applications/web"),
                ApplicationSpec::new("blog", &git.url("homelab"), "kubernetes/applications/blog"),
                ApplicationSpec::new("critical", &git.url("homelab"), "kubernetes/critical"),
            ],
            ..ArgocdOptions::default()
        })
        .await?;
        let cancel = CancellationToken::new();
        let engine = build(dir.path().to_owned(), &options, &git, &telegram, &argocd, &cancel).await?;
        let running = engine.start(options.telegram, cancel.clone()).await?;
        Ok(Self {
            dir,
            options,
            git,
            repo,
            telegram,
            argocd,
            engine,
            running: Some(running),
            cancel,
        })
    }

    /// Stops the service and starts it again on the same file: what was in flight must go on.
    pub async fn restart(&mut self) -> Result<()> {
        self.halt().await;
        self.cancel = CancellationToken::new();
        self.engine = build(
            self.dir.path().to_owned(),
            &self.options,
            &self.git,
            &self.telegram,
            &self.argocd,
            &self.cancel,
        )
        .await?;
        self.running = Some(self.engine.start(self.options.telegram, self.cancel.clone()).await?);
        Ok(())
    }

    /// Stops the service; the world goes on.
    pub async fn halt(&mut self) {
        self.cancel.cancel();
        if let Some(running) = self.running.take() {
            running.stop(Duration::from_secs(5)).await;
        }
        self.engine.store().close().await;
    }

    /// Changes the options of the next start.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut LabOptions)) {
        change(&mut self.options);
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("countersign.db")
    }

    /// Proposes files as `ops-bot`.
    pub async fn propose(&self, title: &str, files: &[(&str, Option<&str>)]) -> Result<ProposalId> {
        self.propose_as("ops-bot", title, files).await
    }

    /// Proposes files as some agent.
    pub async fn propose_as(&self, agent: &str, title: &str, files: &[(&str, Option<&str>)]) -> Result<ProposalId> {
        let content = Content::Files(
            files
                .iter()
                .map(|(path, text)| FileRequest {
                    path: (*path).to_owned(),
                    bytes: text.map(|text| text.as_bytes().to_vec()),
                    executable: None,
                })
                .collect(),
        );
        self.request(agent, request(title, content)).await
    }

    /// Calls a runbook as `ops-bot`.
    pub async fn run(&self, runbook: &str, parameters: serde_json::Value) -> Result<ProposalId> {
        self.request(
            "ops-bot",
            request(
                "",
                Content::Runbook {
                    name: runbook.to_owned(),
                    parameters,
                },
            ),
        )
        .await
    }

    /// Proposes anything.
    pub async fn request(&self, agent: &str, request: ProposalRequest) -> Result<ProposalId> {
        match self.engine.propose(&agent_named(agent), request, None).await {
            Ok(Created::New(proposal) | Created::Existing(proposal)) => Ok(proposal.id),
            Ok(Created::Replayed(answer)) => Err(anyhow!("replayed: {}", answer.body)),
            Err(problem) => Err(anyhow!("{problem}")),
        }
    }

    /// The row.
    pub async fn proposal(&self, id: ProposalId) -> Result<Proposal> {
        self.engine.store().read().proposal(id).await?.context("no such proposal")
    }

    /// The row as soon as it is as wished; the error says what it was instead.
    pub async fn until(&self, id: ProposalId, what: &str, wished: impl Fn(&Proposal) -> bool) -> Result<Proposal> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let proposal = self.proposal(id).await?;
            if wished(&proposal) {
                return Ok(proposal);
            }
            if tokio::time::Instant::now() > deadline {
                let owed = self.engine.store().read().effects_waiting(id).await?;
                return Err(anyhow!("never {what}: {proposal:#?}\nowed: {owed:#?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The row as soon as it has an outcome.
    pub async fn ended(&self, id: ProposalId) -> Result<Proposal> {
        self.until(id, "ended", |proposal| proposal.outcome.is_some()).await
    }

    /// The newest card of a proposal that has a button of this name.
    pub async fn card(&self, id: ProposalId, button: &str) -> Result<Message> {
        let short = id.short();
        let found = self
            .telegram
            .wait_for(PATIENCE, |state| {
                state
                    .messages(CHAT)
                    .into_iter()
                    .rev()
                    .find(|message| message.text.contains(&short) && message.keyboard_text().contains(button))
                    .cloned()
            })
            .await;
        found.ok_or_else(|| anyhow!("no card of {short} with {button}: {:#?}", self.texts()))
    }

    /// Somebody presses a button on the newest card that has it.
    pub async fn tap(&self, user: i64, id: ProposalId, button: &str) -> Result<TapOutcome> {
        let card = self.card(id, button).await?;
        let label = card
            .buttons()
            .into_iter()
            .map(|b| b.text.clone())
            .find(|text| text.contains(button))
            .context("no such button")?;
        Ok(self.telegram.tap_within(user, CHAT, card.id, &label, PATIENCE).await)
    }

    /// Every visible text of the chat, for failure messages.
    pub fn texts(&self) -> Vec<String> {
        self.telegram
            .messages(CHAT)
            .into_iter()
            .map(|message| format!("{}\n[{}]", message.text, message.keyboard_text()))
            .collect()
    }

    /// Checks the service's promises.
    pub async fn invariants(&self) -> Result<()> {
        crate::invariants::check(self.engine.store(), &self.repo).await
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// An agent without limits.
pub fn agent_named(name: &str) -> Agent {
    Agent {
        name: name.parse().expect("a valid agent name"),
        repositories: Vec::new(),
        paths: Vec::new(),
        runbooks: Vec::new(),
        expires_at: None,
    }
}

/// An ordinary request.
pub fn request(title: &str, content: Content) -> ProposalRequest {
    ProposalRequest {
        repository: "homelab".to_owned(),
        base: "head".to_owned(),
        title: title.to_owned(),
        reason: "because the graph says so".to_owned(),
        content,
        tier: None,
        correlation: None,
        ttl_seconds: None,
    }
}

fn install_once() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // A second installation is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if std::env::var_os("TEST_LOG").is_some() {
            let _ = tracing_subscriber::fmt()
                .with_env_filter("debug,hyper=info,sqlx=warn,h2=info")
                .with_test_writer()
                .try_init();
        }
    });
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

async fn build(
    dir: PathBuf,
    options: &LabOptions,
    git: &GitRemote,
    telegram: &TelegramSim,
    argocd: &ArgocdSim,
    cancel: &CancellationToken,
) -> Result<Engine> {
    let store = Store::open(&dir.join("countersign.db"), StoreOptions { readers: 4 }).await?;
    let policy = Policy::parse(&options.policy).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbook = include_str!("../../config/runbooks/scale.toml");
    let runbook = changes::Runbook::parse(runbook, "scale.toml").map_err(|problems| anyhow!("{problems:?}"))?;
    let repository = gitworker::Repository::open(gitworker::RepositoryOptions {
        name: "homelab".parse()?,
        url: git.url("homelab").parse()?,
        branch: "main".to_owned(),
        mirror: dir.join("mirror"),
        credentials: gitworker::Credentials::None,
        author: gitworker::Identity {
            name: "Countersign".into(),
            email: "countersign@example.com".into(),
        },
        signing_key: None,
        deadlines: gitworker::Deadlines::default(),
        push_with_git_cli: false,
        extra_ca: None,
    })
    .await?;
    let client = telegram::Client::new(telegram::ClientOptions {
        token: SecretString::from(TelegramOptions::default().token),
        api_url: telegram.url().parse()?,
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
    let place = Destination {
        chat: telegram::ChatId(CHAT),
        thread: None,
    };
    let argocd_client = argocd::client::Client::new(argocd::client::ClientOptions::new(
        argocd.url().parse()?,
        SecretString::from(argocd.token().to_owned()),
    ))?;
    let watch_options = argocd::watch::WatchOptions {
        relist_every: Duration::from_secs(2),
        backoff_min: Duration::from_millis(100),
        settle: Duration::from_millis(100),
        ask_gap: Duration::from_millis(100),
        ..Default::default()
    };
    Ok(Engine::new(EngineOptions {
        store,
        repositories: vec![RepositorySetup {
            name: "homelab".parse()?,
            git: repository,
            approvals: vec![place],
            notifications: Vec::new(),
            default_branch: true,
            argocd: options.argocd.then(|| "cluster".to_owned()),
            url_aliases: Vec::new(),
            github: None,
            commit_url: None,
            machine_identities: vec!["agent@example.com".to_owned()],
        }],
        telegram: options.telegram.then(|| TelegramSetup {
            queue: telegram::Queue::new(client, limits),
            zone: chrono_tz::Tz::UTC,
            webhook: None,
            hold_seconds: options.hold_seconds,
        }),
        argocd: if options.argocd {
            vec![ArgocdSetup {
                name: "cluster".to_owned(),
                watch: argocd::watch::Watch::start(argocd_client.clone(), watch_options, cancel.clone()),
                client: argocd_client,
                sync_on_request: true,
                deadline: Duration::from_secs(60),
                patience: quick(),
            }]
        } else {
            Vec::new()
        },
        book: Book::new(policy, vec![runbook]),
        limits: options.limits.clone(),
        clock: Clock::system(),
        crash: options.crash.clone(),
    }))
}
