//! A small homelab around one engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use domain::{Proposal, ProposalId};
use engine::{Agent, Clock, Content, CrashPoints, Created, Engine, FileEdit, FileRequest, Limits, ProposalRequest, Running};
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, RepoBinding};
use simulators::git::{BareRepo, GitOptions, GitRemote};
use simulators::github::{GitHubOptions, GitHubSim, HostedRepo};
use simulators::telegram::{Chat, ChatKind, Message, Tap, TapOutcome, TelegramOptions, TelegramSim, User};
use tokio_util::sync::CancellationToken;

use crate::service::{self, Addresses, GITHUB_TOKEN};

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

[[grants]]
runbook = "scale"
repository = "homelab"
hash = "e303389dce71672b5a957e82a69507bc7d683b3245cf7a8713c64ab0aeeebddd"
until = 2099-12-31
"#;

/// The shipped runbook `scale`, which the lab's policy grants.
pub const RUNBOOK: &str = include_str!("../../config/runbooks/scale.toml");

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: web\nspec:\n  # scaled by agents\n  replicas: 2\n  template:\n    spec:\n      containers:\n        - name: web\n          image: registry.example.com/web:1.0.0\n";

/// What differs from the ordinary lab.
#[derive(Clone)]
pub struct LabOptions {
    /// The policy's text.
    pub policy: String,
    /// Where the repository's own policy stands in it, if it carries one.
    pub repository_policy: Option<String>,
    /// The folder of the runbooks that the repositories carry themselves, if the service reads them.
    pub repository_runbooks: Option<String>,
    /// The text of its one runbook, `scale`.
    pub runbook: String,
    /// Whether an Argo CD is configured.
    pub argocd: bool,
    /// Whether there is a second repository, `annex`, with an Argo CD of its own.
    pub annex: bool,
    /// Whether a Telegram is configured.
    pub telegram: bool,
    /// Whether commits that nothing explains ring.
    pub alarm_unexplained: bool,
    /// Topic of the chat where approvals are asked.
    pub topic: Option<i64>,
    /// Another chat for what only tells, and its topic.
    pub notifications: Option<(i64, Option<i64>)>,
    /// The time zone of the people in the chats.
    pub zone: chrono_tz::Tz,
    /// When notes of standard runs are told.
    pub when: engine::When,
    /// Seconds between quorum and push.
    pub hold_seconds: u32,
    /// Limits.
    pub limits: Limits,
    /// Crash points.
    pub crash: CrashPoints,
    /// Whether there is a key behind codes.
    pub codes: bool,
    /// Whether the repository is on GitHub.
    pub github: bool,
    /// How long a commit may take to be synced and healthy.
    pub argocd_deadline: Duration,
    /// Whether people may ask for a sync.
    pub sync_on_request: bool,
    /// Deadlines of git's network steps.
    pub git_deadlines: gitworker::Deadlines,
    /// The service's clock; [`Lab::advance`] moves the lab's own.
    pub clock: Clock,
}

impl Default for LabOptions {
    fn default() -> Self {
        let limits = Limits {
            landing_poll: Duration::from_millis(200),
            pull_poll: Duration::from_millis(200),
            tip_age: Duration::ZERO,
            hasty_tap: Duration::ZERO,
            steady_tap: Duration::ZERO,
            hourly_cards_per_agent: 100_000,
            hourly_cards_per_chat: 100_000,
            ..Limits::default()
        };
        Self {
            policy: POLICY.to_owned(),
            repository_policy: None,
            repository_runbooks: None,
            runbook: RUNBOOK.to_owned(),
            argocd: true,
            annex: false,
            telegram: true,
            alarm_unexplained: false,
            topic: None,
            notifications: None,
            zone: chrono_tz::Tz::UTC,
            when: engine::When::default(),
            hold_seconds: 0,
            limits,
            crash: CrashPoints::default(),
            codes: true,
            github: false,
            argocd_deadline: Duration::from_secs(60),
            sync_on_request: true,
            git_deadlines: gitworker::Deadlines::default(),
            clock: Clock::system(),
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
    /// The second repository and its Argo CD.
    pub annex: Option<(BareRepo, ArgocdSim)>,
    /// GitHub, over the same repository.
    pub github: GitHubSim,
    hands: Arc<Hands>,
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
    pub async fn with(mut options: LabOptions) -> Result<Self> {
        install_once();
        let hands = Arc::new(Hands::default());
        options.clock = clock(hands.clone());
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
                b"replicaCount: 1\ntheme:\n  colour: blue\n",
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
        let github = GitHubSim::start(GitHubOptions {
            users: vec![simulators::github::User::new("countersign", GITHUB_TOKEN)],
            repositories: vec![HostedRepo::new("example", "homelab", &repo)],
            ..GitHubOptions::default()
        })
        .await?;
        let annex = if options.annex { Some(annex(&git).await?) } else { None };
        let cancel = CancellationToken::new();
        let addresses = Addresses {
            annex: annex_addresses(annex.as_ref()),
            ..addresses(&dir, &options, &git, &telegram, &argocd, &github)
        };
        let engine = service::build(&addresses, &options, &cancel).await?;
        let running = engine.start(options.telegram, cancel.clone()).await?;
        Ok(Self {
            dir,
            options,
            git,
            repo,
            telegram,
            argocd,
            annex,
            github,
            hands,
            engine,
            running: Some(running),
            cancel,
        })
    }

    /// Stops the service and starts it again on the same file: what was in flight must go on.
    pub async fn restart(&mut self) -> Result<()> {
        self.halt().await;
        self.cancel = CancellationToken::new();
        self.engine = service::build(&self.addresses(), &self.options, &self.cancel).await?;
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

    /// Puts the service out of this process: what remains here reads the database of one that runs elsewhere.
    pub async fn leave(&mut self) -> Result<()> {
        self.halt().await;
        let reader = LabOptions {
            argocd: false,
            telegram: false,
            ..self.options.clone()
        };
        self.cancel = CancellationToken::new();
        self.engine = service::build(&self.addresses(), &reader, &self.cancel).await?;
        Ok(())
    }

    /// Changes the options of the next start.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut LabOptions)) {
        change(&mut self.options);
    }

    /// The folder of database and mirror.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Where the service finds everything: also for a service in another process.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            annex: annex_addresses(self.annex.as_ref()),
            ..addresses(&self.dir, &self.options, &self.git, &self.telegram, &self.argocd, &self.github)
        }
    }

    /// Lets the service's clock jump forward; it looks at its timers within a few seconds.
    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.hands.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Lets the service's clock jump back, as a wrong clock does when it is set right.
    pub fn rewind(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.hands.ahead.fetch_sub(seconds, Ordering::SeqCst);
    }

    /// Stops the service's clock: nothing that is due later happens before [`Lab::thaw`].
    pub fn freeze(&self) {
        self.hands.stopped_at.store(chrono::Utc::now().timestamp_micros(), Ordering::SeqCst);
    }

    /// Lets the clock run on.
    pub fn thaw(&self) {
        self.hands.stopped_at.store(0, Ordering::SeqCst);
    }

    /// Proposes files as `ops-bot`.
    pub async fn propose(&self, title: &str, files: &[(&str, Option<&str>)]) -> Result<ProposalId> {
        self.propose_as("ops-bot", title, files).await
    }

    /// Proposes files as some agent.
    pub async fn propose_as(&self, agent: &str, title: &str, files: &[(&str, Option<&str>)]) -> Result<ProposalId> {
        self.request(agent, request(title, self::files(files))).await
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
        // With its mark before it: the cards of others may name it, too.
        let short = format!(" · {}", id.short());
        let found = self
            .telegram
            .wait_for(PATIENCE, |state| {
                state
                    .messages(CHAT)
                    .iter()
                    .rev()
                    .find(|message| !message.deleted && message.text.contains(&short) && message.keyboard_text().contains(button))
                    .cloned()
            })
            .await;
        found.ok_or_else(|| anyhow!("no card of {short} with {button}: {:#?}", self.texts()))
    }

    /// A card of a proposal as soon as it says something.
    pub async fn card_saying(&self, id: ProposalId, words: &str) -> Result<Message> {
        let short = id.short();
        let found = self
            .telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter().rev();
                messages
                    .find(|message| !message.deleted && message.text.contains(&short) && message.text.contains(words))
                    .cloned()
            })
            .await;
        found.ok_or_else(|| anyhow!("no card of {short} says {words:?}: {:#?}", self.texts()))
    }

    /// Somebody presses a button on the newest card that has it.
    pub async fn tap(&self, user: i64, id: ProposalId, button: &str) -> Result<TapOutcome> {
        let card = self.card(id, button).await?;
        let label = card
            .buttons()
            .map(|b| b.text.clone())
            .find(|text| text.contains(button))
            .context("no such button")?;
        Ok(self.telegram.tap_within(user, CHAT, card.id, &label, PATIENCE).await)
    }

    /// A query that carries the data of a real button of the newest card that has it, to be bent as a test likes.
    pub async fn forged(&self, user: i64, id: ProposalId, button: &str) -> Result<Tap> {
        let card = self.card(id, button).await?;
        let label = card.buttons().find(|b| b.text.contains(button)).context("no such button")?;
        let simulators::telegram::ButtonAction::Callback(data) = &label.action else {
            return Err(anyhow!("{button} sends no query"));
        };
        Ok(Tap::new(user, CHAT, card.id, data))
    }

    /// Sends a query and waits for what the person sees.
    pub async fn send(&self, tap: Tap) -> TapOutcome {
        self.telegram.tap_data_within(tap, PATIENCE).await
    }

    /// The first message of a chat, after message `after`, that holds all the words.
    pub async fn said(&self, chat: i64, after: i64, words: &[&str]) -> Result<Message> {
        let found = self
            .telegram
            .wait_for(PATIENCE, |state| {
                state
                    .messages(chat)
                    .iter()
                    .find(|message| message.id > after && !message.deleted && words.iter().all(|word| message.text.contains(word)))
                    .cloned()
            })
            .await;
        found.ok_or_else(|| anyhow!("nobody said {words:?}: {:#?}", self.texts()))
    }

    /// Somebody writes a command in the chat and reads the answer that holds these words.
    pub async fn command(&self, user: i64, chat: i64, text: &str, words: &[&str]) -> Result<Message> {
        let written = self.telegram.send_text(user, chat, text, None);
        self.said(chat, written, words).await
    }

    /// The audit rows of a proposal: event and summary.
    pub async fn audit(&self, id: ProposalId) -> Result<Vec<(String, String)>> {
        let rows = self.engine.store().read().audit_of(id).await?;
        Ok(rows.into_iter().map(|row| (row.entry.event, row.entry.summary)).collect())
    }

    /// Every audit row: event and summary.
    pub async fn whole_audit(&self) -> Result<Vec<(String, String)>> {
        let rows = self.engine.store().read().audit_after(0, 100_000).await?;
        Ok(rows.into_iter().map(|row| (row.entry.event, row.entry.summary)).collect())
    }

    /// Every visible text of the chat, for failure messages.
    pub fn texts(&self) -> Vec<String> {
        self.telegram
            .messages(CHAT)
            .into_iter()
            .map(|message| format!("{}\n[{}]", message.text, message.keyboard_text()))
            .collect()
    }

    /// Checks the service's promises, and that everything said to and by the simulated services is what their published API data allows (where
    /// `COUNTERSIGN_API_SPECS` names those).
    pub async fn invariants(&self) -> Result<()> {
        for (who, violations) in [
            ("Telegram", self.telegram.spec_violations()),
            ("Argo CD", self.argocd.spec_violations()),
            ("GitHub", self.github.spec_violations()),
        ] {
            anyhow::ensure!(violations.is_empty(), "{who}'s published API does not allow: {violations:#?}");
        }
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

/// Full contents, file by file; `None` deletes.
pub fn files(files: &[(&str, Option<&str>)]) -> Content {
    let file = |(path, text): &(&str, Option<&str>)| FileRequest {
        path: (*path).to_owned(),
        edit: text.map_or(FileEdit::Delete, |text| FileEdit::Write {
            bytes: text.as_bytes().to_vec(),
            executable: None,
        }),
    };
    Content::Files(files.iter().map(file).collect())
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

fn addresses(
    dir: &tempfile::TempDir,
    options: &LabOptions,
    git: &GitRemote,
    telegram: &TelegramSim,
    argocd: &ArgocdSim,
    github: &GitHubSim,
) -> Addresses {
    Addresses {
        folder: dir.path().to_owned(),
        git: git.url("homelab"),
        telegram: telegram.url(),
        argocd: argocd.url(),
        argocd_token: argocd.token().to_owned(),
        annex: None,
        github: options.github.then(|| github.url()),
    }
}

fn annex_addresses(annex: Option<&(BareRepo, ArgocdSim)>) -> Option<(String, String)> {
    annex.map(|(repo, argocd)| (repo.url.clone(), argocd.url()))
}

/// A repository with the same paths as the first one, and an Argo CD with an application of the same name.
async fn annex(git: &GitRemote) -> Result<(BareRepo, ArgocdSim)> {
    let repo = git.create("annex")?;
    repo.seed(&[("kubernetes/applications/blog/values.yaml", "replicaCount: 1\n", false)])?;
    let argocd = ArgocdSim::start(ArgocdOptions {
        repositories: vec![RepoBinding {
            url: repo.url.clone(),
            path: repo.path.clone(),
        }],
        applications: vec![ApplicationSpec::new("blog", &repo.url, "kubernetes/applications/blog")],
        ..ArgocdOptions::default()
    })
    .await?;
    Ok((repo, argocd))
}

/// The hands of the service's clock.
#[derive(Default)]
struct Hands {
    /// Seconds ahead of the system's clock.
    ahead: AtomicI64,
    /// Microseconds since 1970 at which it was stopped; 0 while it runs.
    stopped_at: AtomicI64,
}

fn clock(hands: Arc<Hands>) -> Clock {
    Clock::new(move || {
        let stopped = chrono::DateTime::from_timestamp_micros(hands.stopped_at.load(Ordering::SeqCst));
        let now = stopped.filter(|at| at.timestamp_micros() != 0).unwrap_or_else(chrono::Utc::now);
        now + chrono::Duration::seconds(hands.ahead.load(Ordering::SeqCst))
    })
}

/// Once per process: a TLS provider, and logs where `TEST_LOG` is set.
pub fn install_once() {
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
