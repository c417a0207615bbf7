//! What the wiring hands to the engine: rooms already opened, numbers already checked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::code::CodeKey;
use domain::{RepositoryName, Timestamp};

/// Everything an [`Engine`](crate::Engine) is built from.
pub struct EngineOptions {
    /// The database.
    pub store: store::Store,
    /// The repositories agents may propose to.
    pub repositories: Vec<RepositorySetup>,
    /// Telegram; without it prompted changes wait and nobody is told.
    pub telegram: Option<TelegramSetup>,
    /// Argo CD instances.
    pub argocd: Vec<ArgocdSetup>,
    /// Policy and runbooks in force.
    pub book: crate::Book,
    /// Named limits.
    pub limits: Limits,
    /// Where `now` comes from.
    pub clock: Clock,
    /// The key behind people's codes; without it none can be checked, and marked paths cannot be approved.
    pub codes: Option<CodeSource>,
    /// Where tests stop the process.
    pub crash: CrashPoints,
}

/// One configured repository and branch.
pub struct RepositorySetup {
    /// Its name.
    pub name: RepositoryName,
    /// The git worker's handle; knows URL and branch.
    pub git: gitworker::Repository,
    /// Where approvals are asked.
    pub approvals: Vec<Destination>,
    /// Where people are told; the approval chats when empty.
    pub notifications: Vec<Destination>,
    /// Whether the branch is the remote's default: applications that follow `HEAD` follow it then.
    pub default_branch: bool,
    /// The name of its Argo CD instance, if it has one.
    pub argocd: Option<String>,
    /// Other URLs under which Argo CD knows the repository.
    pub url_aliases: Vec<String>,
    /// GitHub, for pull requests of the manual tier.
    pub github: Option<github::GitHub>,
    /// `https://host/owner/repo/commit/{commit}`: where a commit can be looked at.
    pub commit_url: Option<String>,
    /// Where its own policy stands in it, if it carries one. No character of it may mean something in a path pattern.
    pub policy: Option<domain::RepoPath>,
    /// The folder of the runbooks that it carries itself, if the service reads them. No character of it may mean something in a path pattern.
    pub runbooks: Option<domain::RepoPath>,
    /// Identities (mail addresses) that belong to agents or to the service: their commits on manual paths raise an alarm.
    pub machine_identities: Vec<String>,
    /// Paths whose commits must be explained; every path that a rule of the policy covers, or that is reserved, when empty.
    pub guarded_paths: Vec<domain::PathGlob>,
    /// Whether a commit on such a path that nothing explains rings in the chats.
    pub alarm_unexplained: bool,
}

impl RepositorySetup {
    /// The branch, without `refs/heads/`.
    pub fn branch(&self) -> &str {
        &self.git.options().branch
    }

    /// Whether the service reads rules or runbooks from its branch.
    pub(crate) const fn carries_rules(&self) -> bool {
        self.policy.is_some() || self.runbooks.is_some()
    }
}

/// A chat, and a topic in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The chat.
    pub chat: telegram::ChatId,
    /// The topic.
    pub thread: Option<telegram::ThreadId>,
    /// When notes of standard runs are told there.
    pub when: crate::When,
}

/// Telegram as the engine uses it.
pub struct TelegramSetup {
    /// The delivery queue over the client.
    pub queue: telegram::Queue,
    /// The time zone of every time on a card.
    pub zone: chrono_tz::Tz,
    /// Webhook mode's secret and reader; `None` with long polling.
    pub webhook: Option<telegram::Webhook>,
    /// Seconds between the quorum and the push in which Cancel needs no haste.
    pub hold_seconds: u32,
}

/// One Argo CD instance.
pub struct ArgocdSetup {
    /// The configured name.
    pub name: String,
    /// The client.
    pub client: argocd::client::Client,
    /// The one watch.
    pub watch: argocd::watch::Watch,
    /// Whether approvers get a Sync button.
    pub sync_on_request: bool,
    /// How long a commit may take to be synced and healthy.
    pub deadline: Duration,
    /// How long things must hold; the default is right except for tests and demonstrations.
    pub patience: argocd::verdict::Patience,
}

/// Named limits, each with its why.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files of one proposal: more is not one change.
    pub files: usize,
    /// Bytes of one file: cards and databases are not for artefacts.
    pub file_bytes: usize,
    /// Open proposals of one agent: people's attention is the scarce thing.
    pub open_per_agent: u64,
    /// Proposals of one agent in an hour.
    pub hourly_per_agent: u64,
    /// Cards by which one agent asks people in an hour, counted in every chat: more than one a minute is not read.
    pub hourly_cards_per_agent: u64,
    /// Cards by which agents ask people in one chat in an hour.
    pub hourly_cards_per_chat: u64,
    /// An approval this soon after the card is asked again: nobody has read it. Zero: never.
    pub hasty_tap: Duration,
    /// Approvals that are all quicker than this bring back the second step. Zero: never.
    pub steady_tap: Duration,
    /// Oldest tip that `head` may mean without asking the remote.
    pub tip_age: Duration,
    /// How long an effect may run before another worker may take it.
    pub lease: Duration,
    /// Attempts of an effect before it is parked with an alarm.
    pub attempts: u32,
    /// Oldest commit that may be reported as an observation.
    pub observation_age: Duration,
    /// How often a branch is looked at for a manual change.
    pub landing_poll: Duration,
    /// How often GitHub is asked for a pull request (answered from its cache by `ETag` while nothing changed).
    pub pull_poll: Duration,
    /// A push that takes longer is told on cards and to agents while it goes on.
    pub slow_push: Duration,
    /// Approvals in one push.
    pub batch: usize,
    /// New commits of a branch that one look reads for `/unexplained`; the next look goes on from there.
    pub commits_per_look: usize,
    /// Commits of one repository that `/unexplained` names: a message is not a report.
    pub unexplained_listed: u32,
    /// Past decisions that a new policy of a repository is replayed over: enough to see a pattern, and read in a moment.
    pub replayed: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 200,
            file_bytes: 1024 * 1024,
            open_per_agent: 50,
            hourly_per_agent: 200,
            hourly_cards_per_agent: 60,
            hourly_cards_per_chat: 120,
            hasty_tap: Duration::from_secs(1),
            steady_tap: Duration::from_secs(3),
            tip_age: Duration::from_secs(30),
            lease: Duration::from_secs(300),
            attempts: 20,
            observation_age: Duration::from_secs(24 * 3600),
            landing_poll: Duration::from_secs(20),
            pull_poll: Duration::from_secs(20),
            slow_push: Duration::from_secs(30),
            batch: 64,
            commits_per_look: 5_000,
            unexplained_listed: 20,
            replayed: 200,
        }
    }
}

/// Where the key behind people's codes comes from: read anew each time, so that its file may be exchanged.
#[derive(Clone)]
pub struct CodeSource(Arc<dyn Fn() -> Result<CodeKey, String> + Send + Sync>);

impl CodeSource {
    /// Any way to read it; the error says what is wrong with the file, for the log.
    pub fn new(read: impl Fn() -> Result<CodeKey, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The key now.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn key(&self) -> Result<CodeKey, String> {
        (self.0)()
    }
}

impl fmt::Debug for CodeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeSource")
    }
}

/// Where `now` comes from: the system's clock, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Any source of time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock.
    pub fn system() -> Self {
        Self::new(|| std::time::SystemTime::now().into())
    }

    /// The time, in whole microseconds: what the database keeps.
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Named places between two steps, where a test may end the process. Does nothing in the service.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Hook>);

/// Called with the name of a place.
type Hook = Arc<dyn Fn(&str) + Send + Sync>;

impl CrashPoints {
    /// Calls `hook` with the name of every place that is passed.
    pub fn new(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Passes a place.
    pub fn pass(&self, name: &str) {
        if let Some(hook) = &self.0 {
            hook(name);
        }
    }
}

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashPoints")
    }
}
