//! Settings: three layers (embedded defaults, a file, the environment) read strictly, checked for sense, and turned into types that cannot
//! be wrong. Every problem names the key, the layer its value came from, and what to do.

mod convert;
mod guard;
mod layers;
mod raw;
mod strict;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use domain::RepositoryName;
use engine::Destination;
use reqwest::Url;
use serde::Deserialize;

pub use layers::{ConfigFile, Layers};

use crate::secrets::Secret;

/// The lowest layer.
pub(crate) const DEFAULT_TOML: &str = include_str!("../../../config/default.toml");

/// Everything that `serve` is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sockets.
    pub server: ServerSettings,
    /// The database file.
    pub database: PathBuf,
    /// Policy and runbooks.
    pub policy: PolicySettings,
    /// What the operator adds to the guard rails.
    pub guard: engine::GuardFiles,
    /// Telegram; without it prompted changes wait and nobody is told.
    pub telegram: Option<TelegramSettings>,
    /// Named limits.
    pub limits: Limits,
    /// What is logged and how.
    pub log: LogSettings,
    /// An ed25519 key that commits are signed with.
    pub signing_key: Option<PathBuf>,
    /// Author and committer of every commit.
    pub author: gitworker::Identity,
    /// The repositories agents may propose to.
    pub repositories: Vec<RepositorySettings>,
    /// Argo CD instances.
    pub argocd: Vec<ArgocdSettings>,
    /// Every file that must be readable, with the key that names it.
    files: Vec<NamedFile>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where agents call.
    pub bind: SocketAddr,
    /// Where Prometheus reads.
    pub metrics_bind: SocketAddr,
    /// Certificate files; plain HTTP without.
    pub tls: Option<api::TlsFiles>,
}

/// `[policy]`
#[derive(Debug, Clone)]
pub struct PolicySettings {
    /// The policy file.
    pub file: PathBuf,
    /// The folder of runbooks.
    pub runbooks: Option<PathBuf>,
    /// The service's half of the seeds of people's code generators; without it no rule can ask for codes.
    pub code_key: Option<Secret>,
}

impl PolicySettings {
    /// The key behind people's codes, as it is now.
    ///
    /// # Errors
    /// Why it cannot be used, with the remedy.
    pub(crate) fn code_key(secret: &Secret) -> Result<domain::code::CodeKey, String> {
        use secrecy::ExposeSecret as _;
        let text = secret.read().map_err(|error| error.to_string())?;
        domain::code::CodeKey::new(text.expose_secret()).map_err(|error| format!("{}: {error}", secret.key()))
    }

    /// The same, read whenever it is asked for.
    pub(crate) fn code_source(&self) -> Option<engine::CodeSource> {
        let secret = self.code_key.clone()?;
        Some(engine::CodeSource::new(move || Self::code_key(&secret)))
    }
}

/// `[telegram]`
#[derive(Debug, Clone)]
pub struct TelegramSettings {
    /// The bot's token.
    pub token: Secret,
    /// The Bot API server.
    pub api_url: Url,
    /// Webhook mode; long polling without.
    pub webhook: Option<WebhookSettings>,
    /// The time zone of every time on a card.
    pub time_zone: Tz,
    /// Seconds between quorum and push in which Cancel needs no haste.
    pub hold_seconds: u32,
}

/// `[telegram.webhook]`
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The public address that ends in `/telegram/webhook`.
    pub url: Url,
    /// What Telegram sends with each update.
    pub secret: Secret,
}

/// `[[repositories]]`
#[derive(Debug, Clone)]
pub struct RepositorySettings {
    /// What agents call it.
    pub name: RepositoryName,
    /// How git reaches it.
    pub git: gitworker::RepositoryOptions,
    /// Whether the branch is the remote's default.
    pub default_branch: bool,
    /// Where approvals are asked.
    pub approvals: Vec<Destination>,
    /// Where people are told.
    pub notifications: Vec<Destination>,
    /// Its Argo CD instance.
    pub argocd: Option<String>,
    /// Other URLs under which Argo CD knows it.
    pub url_aliases: Vec<String>,
    /// Where a commit can be looked at; holds `{commit}`.
    pub commit_url: Option<String>,
    /// Where the policy stands that it carries itself.
    pub policy: Option<domain::RepoPath>,
    /// The folder of the runbooks that it carries itself; `None` when they are not read.
    pub runbooks: Option<domain::RepoPath>,
    /// Pull requests for the manual tier.
    pub github: Option<GithubSettings>,
    /// Mail addresses of agents and of the service.
    pub machine_identities: Vec<String>,
    /// Paths whose commits must be explained; all that the policy covers when empty.
    pub guarded_paths: Vec<domain::PathGlob>,
    /// Whether an unexplained commit rings in the chats.
    pub alarm_unexplained: bool,
}

/// `[repositories.github]`
#[derive(Debug, Clone)]
pub struct GithubSettings {
    /// The REST API's address.
    pub api_url: String,
    /// The owner's login.
    pub owner: String,
    /// The repository's name.
    pub repo: String,
    /// A token that may write pull requests.
    pub token: Secret,
}

/// `[[argocd]]`
#[derive(Debug, Clone)]
pub struct ArgocdSettings {
    /// What repositories call it.
    pub name: String,
    /// Its address, with a path prefix if it has one.
    pub url: Url,
    /// A token of an account or project role.
    pub token: Secret,
    /// Certificates trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// Only these projects; all that the token may see when empty.
    pub projects: Vec<String>,
    /// Whether approvers get a Sync button.
    pub sync_on_request: bool,
    /// How long a commit may take to be synced and healthy.
    pub deadline: Duration,
    /// Pause between two lists while somebody waits.
    pub relist_every: Duration,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// Which lines, in the syntax of `tracing` filters: `info,engine=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[limits]`: the named limits, each with its why.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Files of one proposal: more is not one change.
    pub files_per_proposal: usize,
    /// Bytes of one file: cards and databases are not for artefacts.
    pub bytes_per_file: usize,
    /// Bytes of a request body: a change set of ordinary size with base64 overhead, never a whole repository.
    pub bytes_per_body: usize,
    /// Open proposals of one agent: people's attention is the scarce thing.
    pub open_proposals_per_agent: u64,
    /// Proposals of one agent in an hour.
    pub proposals_per_hour_per_agent: u64,
    /// Cards by which one agent asks people in an hour: more than one a minute is not read.
    pub cards_per_hour_per_agent: u64,
    /// Cards by which agents ask people in one chat in an hour.
    pub cards_per_hour_per_chat: u64,
    /// An approval this soon after its card is asked again; 0: never.
    pub hasty_tap_milliseconds: u64,
    /// Approvals that are all quicker than this bring back the second step; 0: never.
    pub steady_tap_milliseconds: u64,
    /// The longest wait of one read, in seconds: below every common proxy's idle limit.
    pub wait_seconds: u64,
    /// How long a body may take to arrive: a slow sender must not hold a task for ever.
    pub body_seconds: u64,
    /// Connections at once.
    pub connections: usize,
    /// How long a connection may take until its first request's head is complete.
    pub header_seconds: u64,
    /// How long a connection may stay without a request.
    pub idle_seconds: u64,
    /// How long requests may go on after the stop signal; stopping takes less than five seconds in all.
    pub drain_seconds: u64,
    /// Oldest tip that `head` may mean without asking the remote.
    pub tip_age_seconds: u64,
    /// How long an effect may run before another worker may take it.
    pub lease_seconds: u64,
    /// Attempts of an effect before it is parked with an alarm.
    pub attempts: u32,
    /// Oldest commit that may be reported as an observation.
    pub observation_age_hours: u64,
    /// How often a branch is looked at for a manual change.
    pub landing_poll_seconds: u64,
    /// How often GitHub is asked for a pull request.
    pub pull_poll_seconds: u64,
    /// A push that takes longer is told on cards and to agents while it goes on.
    pub slow_push_seconds: u64,
    /// Approvals in one push.
    pub approvals_per_push: usize,
    /// Past decisions that a new policy of a repository is replayed over.
    pub replayed_decisions: u32,
    /// Telegram: messages and edits a minute in one chat.
    pub messages_per_chat_minute: u32,
    /// Telegram: messages and edits a second in one chat, once a burst is used up.
    pub messages_per_chat_second: u32,
    /// Telegram: messages that may go at once in one chat.
    pub messages_burst: u32,
    /// Telegram: messages and edits a second in all chats together.
    pub messages_per_second: u32,
    /// Days for which the contents of ended proposals are kept; digests, audit and outcomes stay for ever.
    pub contents_days: u32,
    /// How often secret files are looked at for a new content.
    pub secrets_seconds: u64,
    /// How long the start waits for a remote that is away, when there is no mirror yet.
    pub start_seconds: u64,
}

/// A file that must be readable.
#[derive(Debug, Clone)]
struct NamedFile {
    key: String,
    layer: String,
    path: PathBuf,
}

impl NamedFile {
    fn problem(&self) -> Option<Problem> {
        let (what, remedy) = match std::fs::read(&self.path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => {
                let missing = match self.key.rsplit('.').next() {
                    Some("known_hosts_file") => {
                        "write the host's public keys into it: ssh-keyscan shows them, the host's operator confirms them"
                    }
                    Some("extra_ca_file" | "ca_file" | "certificate_file") => "write the certificate into it, in PEM",
                    _ => "write the secret into it",
                };
                ("is empty".to_owned(), missing)
            }
            Ok(_) => return None,
            Err(error) => (
                format!("cannot be read: {error}"),
                "check the path, its permissions and the service's user",
            ),
        };
        Some(Problem::new(
            &self.key,
            &self.layer,
            format!("the file {} {what}", self.path.display()),
            remedy,
        ))
    }
}

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `telegram.token`.
    pub key: String,
    /// The layer its value came from: `default`, `file NAME`, `environment`.
    pub layer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, layer: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            layer: layer.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}\n  remedy: {}", self.key, self.layer, self.message, self.remedy)
    }
}

impl Settings {
    /// Reads the file at `path`, if any, under the process's environment.
    ///
    /// # Errors
    /// Every problem found.
    pub fn load(path: Option<&Path>) -> Result<Self, Vec<Problem>> {
        Self::from_layers(&Layers::of(path)?)
    }

    /// Reads layers that were collected before.
    ///
    /// # Errors
    /// Every problem found: unknown keys, other kinds of values, and what makes no sense. A missing key of a list's entry ends the search.
    pub fn from_layers(layers: &Layers) -> Result<Self, Vec<Problem>> {
        let merged = layers::Merged::new(layers)?;
        let layers::Read { raw, mut problems } = merged.read();
        let Some(raw) = raw else { return Err(problems) };
        match convert::convert(raw, &merged, layers) {
            Ok(settings) if problems.is_empty() => Ok(settings),
            Ok(_) => Err(problems),
            Err(senseless) => {
                // A default stands where something could not be read: what is said about that, or only because of it, is no further problem.
                let follows = |problem: &Problem, read: &Problem| {
                    let (key, unread) = (problem.key.as_str(), read.key.as_str());
                    key.starts_with(unread) || unread.starts_with(key) || (unread == "telegram.mode" && key == "telegram.webhook")
                };
                let known = problems.len();
                for problem in senseless {
                    if !problems[..known].iter().any(|read| follows(&problem, read)) {
                        problems.push(problem);
                    }
                }
                Err(problems)
            }
        }
    }

    /// Policy, runbooks and guard rails from the files that the settings name.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn book(&self) -> Result<engine::Book, Vec<engine::FileProblem>> {
        self.book_guarded(&self.guard)
    }

    /// The same with the built-in guard rails alone: for what asks only for policy and runbooks.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn rules(&self) -> Result<engine::Book, Vec<engine::FileProblem>> {
        self.book_guarded(&engine::GuardFiles::default())
    }

    fn book_guarded(&self, guard: &engine::GuardFiles) -> Result<engine::Book, Vec<engine::FileProblem>> {
        let readers = self.repositories.iter().filter(|repository| repository.runbooks.is_some());
        let readers = readers.map(|repository| repository.name.clone()).collect();
        let book = engine::Book::load_for(&self.policy.file, self.policy.runbooks.as_deref(), guard, &readers)?;
        let folders = self
            .repositories
            .iter()
            .filter_map(|repository| Some((repository.name.clone(), repository.runbooks.clone()?)));
        Ok(book.shelved(folders))
    }

    /// Tries to read every file that the settings name. Apart from [`Settings::load`], because a check of the shipped example must
    /// not ask for its secrets.
    pub fn check_files(&self) -> Vec<Problem> {
        self.files.iter().filter_map(NamedFile::problem).collect()
    }
}

impl Limits {
    /// As the engine takes them.
    pub fn engine(&self) -> engine::Limits {
        engine::Limits {
            files: self.files_per_proposal,
            file_bytes: self.bytes_per_file,
            open_per_agent: self.open_proposals_per_agent,
            hourly_per_agent: self.proposals_per_hour_per_agent,
            hourly_cards_per_agent: self.cards_per_hour_per_agent,
            hourly_cards_per_chat: self.cards_per_hour_per_chat,
            hasty_tap: Duration::from_millis(self.hasty_tap_milliseconds),
            steady_tap: Duration::from_millis(self.steady_tap_milliseconds),
            tip_age: Duration::from_secs(self.tip_age_seconds),
            lease: Duration::from_secs(self.lease_seconds),
            attempts: self.attempts,
            observation_age: Duration::from_secs(self.observation_age_hours * 3600),
            landing_poll: Duration::from_secs(self.landing_poll_seconds),
            pull_poll: Duration::from_secs(self.pull_poll_seconds),
            slow_push: Duration::from_secs(self.slow_push_seconds),
            batch: self.approvals_per_push,
            replayed: self.replayed_decisions,
            ..engine::Limits::default()
        }
    }

    /// As the HTTP face takes them.
    pub fn api(&self) -> api::ApiLimits {
        api::ApiLimits {
            body_bytes: self.bytes_per_body,
            body_timeout: Duration::from_secs(self.body_seconds),
            files: self.files_per_proposal.saturating_mul(5),
            wait_seconds: self.wait_seconds,
            ..api::ApiLimits::default()
        }
    }

    /// As the delivery queue takes them.
    pub fn telegram(&self) -> telegram::Limits {
        telegram::Limits {
            per_chat_minute: self.messages_per_chat_minute,
            per_chat_second: self.messages_per_chat_second,
            burst: self.messages_burst,
            overall_second: self.messages_per_second,
            ..telegram::Limits::default()
        }
    }
}
