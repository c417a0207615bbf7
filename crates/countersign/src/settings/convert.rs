//! From what was written to what cannot be wrong. All problems are collected, so that one run tells them all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::RepositoryName;
use engine::Destination;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::layers::{DEFAULT, Layers, Merged};
use super::raw::{
    RawArgocd, RawCredentials, RawDestination, RawGit, RawGithub, RawMode, RawRepository, RawServer, RawSettings, RawSync, RawTelegram,
    RawWebhook,
};
use super::{
    ArgocdSettings, GithubSettings, Limits, LogSettings, NamedFile, PolicySettings, Problem, RepositorySettings, ServerSettings, Settings,
    TelegramSettings, WebhookSettings,
};
use crate::secrets::Secret;

/// Longest undo hold: people look at the card, and a longer one would be a second time-out to understand.
const HOLD_SECONDS_MAX: u32 = 30;
/// The route that Telegram's updates come in by.
pub(super) const WEBHOOK_ROUTE: &str = "/telegram/webhook";

pub(super) fn convert(raw: RawSettings, merged: &Merged, layers: &Layers) -> Result<Settings, Vec<Problem>> {
    let folder = layers.file.as_ref().map(|file| file.folder.clone()).unwrap_or_default();
    let mut checker = Checker {
        merged,
        folder,
        problems: Vec::new(),
        files: Vec::new(),
    };
    let settings = checker.settings(raw);
    match settings {
        Some(settings) if checker.problems.is_empty() => Ok(Settings {
            files: checker.files,
            ..settings
        }),
        _ => Err(checker.problems),
    }
}

struct Checker<'a> {
    merged: &'a Merged,
    folder: PathBuf,
    problems: Vec<Problem>,
    files: Vec<NamedFile>,
}

impl Checker<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(key, self.merged.layer(key), message, remedy));
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A file that must be readable before the service can run.
    fn file(&mut self, key: &str, path: &Path) -> PathBuf {
        let path = self.path(path);
        self.files.push(NamedFile {
            key: key.to_owned(),
            layer: self.merged.layer(key),
            path: path.clone(),
        });
        path
    }

    /// A secret by value or by file; `None` when neither is given, or after a problem was noted.
    fn secret(&mut self, key: &str, value: Option<SecretString>, file: Option<PathBuf>) -> Option<Secret> {
        let file_key = format!("{key}_file");
        match (value, file) {
            (Some(_), Some(_)) => {
                let here = self.merged.layer(key);
                let message = format!("{key} ({here}) is given too: it is not clear which one counts");
                self.problem(&file_key, message, "keep the value or the file, not both");
                None
            }
            (Some(value), None) if value.expose_secret().trim().is_empty() => {
                self.problem(key, "it is empty", "write the secret, or take the key out");
                None
            }
            (Some(value), None) => Some(Secret::value(key, value)),
            (None, Some(file)) => Some(Secret::file(file_key.clone(), self.file(&file_key, &file))),
            (None, None) => None,
        }
    }

    fn needed(&mut self, key: &str, value: Option<SecretString>, file: Option<PathBuf>) -> Option<Secret> {
        if value.is_none() && file.is_none() {
            self.problem(
                key,
                "it is missing",
                format!("add {key}, or {key}_file with the path of a file that holds it"),
            );
        }
        self.secret(key, value, file)
    }

    fn url(&mut self, key: &str, text: &str) -> Option<Url> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        match url {
            // Not quoted: what is wrong with it may be a password in it.
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                self.problem(key, "it must not hold a user or a password", "configure the secret by its own key");
                None
            }
            Some(url) => Some(url),
            None => {
                self.problem(
                    key,
                    "it is not an http or https address",
                    "write for example https://host.example.com",
                );
                None
            }
        }
    }

    fn settings(&mut self, raw: RawSettings) -> Option<Settings> {
        let server = self.server(raw.server);
        let telegram = self.telegram(raw.telegram);
        self.limits(&raw.limits);
        self.log(&raw.log);
        let (author, cache) = self.author(&raw.git);
        let signing_key = raw
            .git
            .signing_key_file
            .as_ref()
            .map(|path| self.file("git.signing_key_file", path));
        let argocd = self.argocd(raw.argocd);
        let git = Git {
            author: author.clone(),
            cache,
            signing_key: signing_key.clone(),
        };
        let repositories = self.repositories(raw.repositories, &git, &argocd, telegram.is_some());
        Some(Settings {
            server: server?,
            database: self.path(&raw.database.path),
            policy: PolicySettings {
                file: self.path(&raw.policy.file),
                runbooks: raw.policy.runbooks.map(|folder| self.path(&folder)),
            },
            telegram,
            limits: raw.limits,
            log: raw.log,
            signing_key,
            author,
            repositories,
            argocd,
            files: Vec::new(),
        })
    }

    fn server(&mut self, raw: RawServer) -> Option<ServerSettings> {
        let mut address = |key: &str, text: &str| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                self.problem(
                    key,
                    format!("{text:?} is not an address and a port"),
                    "write for example \"127.0.0.1:8080\" or \"[::]:8080\"",
                );
            }
            parsed
        };
        let bind: Option<std::net::SocketAddr> = address("server.bind", &raw.bind);
        let metrics_bind = address("server.metrics_bind", &raw.metrics_bind);
        if bind.is_some_and(|bind| bind.port() != 0) && bind == metrics_bind {
            self.problem(
                "server.metrics_bind",
                "it is the address of server.bind",
                "give the metrics a port of their own",
            );
        }
        let tls = raw.tls.map(|tls| api::TlsFiles {
            certificate: self.file("server.tls.cert_file", &tls.cert_file),
            key: self.file("server.tls.key_file", &tls.key_file),
        });
        Some(ServerSettings {
            bind: bind?,
            metrics_bind: metrics_bind?,
            tls,
        })
    }

    fn telegram(&mut self, raw: RawTelegram) -> Option<TelegramSettings> {
        // The defaults alone do not mean that Telegram is wanted.
        if self.merged.layer("telegram") == DEFAULT {
            return None;
        }
        let token = self.needed("telegram.token", raw.token, raw.token_file);
        let api_url = self.url("telegram.api_url", &raw.api_url);
        let time_zone = raw.time_zone.parse();
        if time_zone.is_err() {
            let message = format!("{:?} is not a time zone", raw.time_zone);
            self.problem("telegram.time_zone", message, "write a name such as \"UTC\" or \"Europe/Vienna\"");
        }
        if raw.hold_seconds > HOLD_SECONDS_MAX {
            let message = format!("{} s is more than {HOLD_SECONDS_MAX} s", raw.hold_seconds);
            self.problem("telegram.hold_seconds", message, format!("write 0 (no hold) to {HOLD_SECONDS_MAX}"));
        }
        let webhook = match (raw.mode, raw.webhook) {
            (RawMode::Poll, None) => None,
            (RawMode::Poll, Some(_)) => {
                self.problem(
                    "telegram.webhook",
                    "it is configured, but telegram.mode is \"poll\"",
                    "write mode = \"webhook\", or take it out",
                );
                None
            }
            (RawMode::Webhook, None) => {
                self.problem(
                    "telegram.webhook",
                    "it is missing, but telegram.mode is \"webhook\"",
                    "add url and secret_file under [telegram.webhook]",
                );
                None
            }
            (RawMode::Webhook, Some(webhook)) => self.webhook(webhook),
        };
        Some(TelegramSettings {
            token: token?,
            api_url: api_url?,
            webhook,
            time_zone: time_zone.ok()?,
            hold_seconds: raw.hold_seconds,
        })
    }

    fn webhook(&mut self, raw: RawWebhook) -> Option<WebhookSettings> {
        let secret = self.needed("telegram.webhook.secret", raw.secret, raw.secret_file);
        let url = self.url("telegram.webhook.url", &raw.url)?;
        if !url.path().ends_with(WEBHOOK_ROUTE) {
            let message = format!("its path does not end in {WEBHOOK_ROUTE}, the route that takes updates");
            self.problem(
                "telegram.webhook.url",
                message,
                format!("write for example https://countersign.example.com{WEBHOOK_ROUTE}"),
            );
        }
        Some(WebhookSettings { url, secret: secret? })
    }

    fn limits(&mut self, limits: &Limits) {
        let at_least_one = [
            ("files_per_proposal", limits.files_per_proposal as u64),
            ("bytes_per_file", limits.bytes_per_file as u64),
            ("bytes_per_body", limits.bytes_per_body as u64),
            ("open_proposals_per_agent", limits.open_proposals_per_agent),
            ("proposals_per_hour_per_agent", limits.proposals_per_hour_per_agent),
            ("body_seconds", limits.body_seconds),
            ("connections", limits.connections as u64),
            ("header_seconds", limits.header_seconds),
            ("idle_seconds", limits.idle_seconds),
            ("lease_seconds", limits.lease_seconds),
            ("attempts", u64::from(limits.attempts)),
            ("observation_age_hours", limits.observation_age_hours),
            ("landing_poll_seconds", limits.landing_poll_seconds),
            ("pull_poll_seconds", limits.pull_poll_seconds),
            ("approvals_per_push", limits.approvals_per_push as u64),
            ("replayed_decisions", limits.replayed_decisions.into()),
            ("messages_per_chat_minute", u64::from(limits.messages_per_chat_minute)),
            ("messages_per_chat_second", u64::from(limits.messages_per_chat_second)),
            ("messages_burst", u64::from(limits.messages_burst)),
            ("messages_per_second", u64::from(limits.messages_per_second)),
            ("contents_days", u64::from(limits.contents_days)),
            ("secrets_seconds", limits.secrets_seconds),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                self.problem(
                    &format!("limits.{name}"),
                    "0 would stop everything",
                    "write 1 or more, or take the key out for the default",
                );
            }
        }
        for (name, value, most) in [
            ("wait_seconds", limits.wait_seconds, 60),
            ("drain_seconds", limits.drain_seconds, 4),
        ] {
            if value > most {
                self.problem(
                    &format!("limits.{name}"),
                    format!("{value} is more than {most}"),
                    format!("write at most {most}"),
                );
            }
        }
    }

    fn log(&mut self, log: &LogSettings) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log.filter) {
            self.problem(
                "log.filter",
                format!("it is not a filter: {error}"),
                "write for example \"info\" or \"info,engine=debug\"",
            );
        }
    }

    fn author(&mut self, git: &RawGit) -> (gitworker::Identity, PathBuf) {
        for (key, text) in [("git.author_name", &git.author_name), ("git.author_email", &git.author_email)] {
            if text.trim().is_empty() || text.contains(['<', '>', '\n', '\0']) {
                self.problem(
                    key,
                    "it is empty or holds < > or a line break",
                    "write a plain name and a plain mail address",
                );
            }
        }
        let author = gitworker::Identity {
            name: git.author_name.clone(),
            email: git.author_email.clone(),
        };
        (author, self.path(&git.cache_dir))
    }

    fn argocd(&mut self, raw: Vec<RawArgocd>) -> Vec<ArgocdSettings> {
        let mut seen = BTreeMap::new();
        let mut instances = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let key = |name: &str| format!("argocd[{index}].{name}");
            if raw.name.trim().is_empty() {
                self.problem(&key("name"), "it is empty", "give the instance a name");
            }
            if let Some(first) = seen.insert(raw.name.clone(), index) {
                self.problem(
                    &key("name"),
                    format!("{:?} is the name of argocd[{first}] already", raw.name),
                    "give each instance a name of its own",
                );
            }
            for (name, value) in [("deadline_seconds", raw.deadline_seconds), ("relist_seconds", raw.relist_seconds)] {
                if value == 0 {
                    self.problem(
                        &key(name),
                        "it is 0",
                        "write 1 or more seconds, or take the key out for the default",
                    );
                }
            }
            let url = self.url(&key("url"), &raw.url);
            let token = self.needed(&key("token"), raw.token, raw.token_file);
            let ca_file = raw.ca_file.map(|path| self.file(&key("ca_file"), &path));
            let (Some(url), Some(token)) = (url, token) else { continue };
            instances.push(ArgocdSettings {
                name: raw.name,
                url,
                token,
                ca_file,
                insecure_skip_verify: raw.insecure_skip_verify,
                projects: raw.projects,
                sync_on_request: raw.sync == RawSync::OnRequest,
                deadline: Duration::from_secs(raw.deadline_seconds),
                relist_every: Duration::from_secs(raw.relist_seconds),
            });
        }
        // An instance with a problem still exists: repositories that name it are not at fault.
        if instances.len() < seen.len() { Vec::new() } else { instances }
    }

    fn repositories(&mut self, raw: Vec<RawRepository>, git: &Git, argocd: &[ArgocdSettings], telegram: bool) -> Vec<RepositorySettings> {
        let sound = self.problems.is_empty();
        let mut repositories: Vec<RepositorySettings> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = format!("repositories[{index}]");
            if let Some(name) = raw
                .argocd
                .as_ref()
                .filter(|name| sound && !argocd.iter().any(|instance| instance.name == **name))
            {
                let known: Vec<_> = argocd.iter().map(|instance| instance.name.as_str()).collect();
                let remedy = match known.as_slice() {
                    [] => "add [[argocd]] with that name, or take the key out".to_owned(),
                    known => format!("use one of {}, or add [[argocd]] with that name", known.join(", ")),
                };
                self.problem(
                    &format!("{at}.argocd"),
                    format!("there is no Argo CD instance named {name:?}"),
                    remedy,
                );
            }
            if telegram && raw.approvals.is_empty() {
                self.problem(
                    &format!("{at}.approvals"),
                    "no chat is named, so that nobody could be asked",
                    "add approvals = [{ chat = … }]; /whoami tells a chat's id",
                );
            }
            if sound && !telegram && !(raw.approvals.is_empty() && raw.notifications.is_empty()) {
                self.problem(
                    &format!("{at}.approvals"),
                    "chats are named, but Telegram is not configured",
                    "add token_file under [telegram]",
                );
            }
            let Some(repository) = self.repository(&at, raw, git) else {
                continue;
            };
            self.overlaps(&at, &repository, &repositories);
            repositories.push(repository);
        }
        repositories
    }

    fn overlaps(&mut self, at: &str, repository: &RepositorySettings, others: &[RepositorySettings]) {
        for other in others {
            if other.name == repository.name {
                self.problem(
                    &format!("{at}.name"),
                    format!("{} is the name of another repository", other.name),
                    "give each one a name of its own",
                );
            } else if other.git.url == repository.git.url && other.git.branch == repository.git.branch {
                let message = format!("{} has the same url and branch: two owners of one branch", other.name);
                self.problem(&format!("{at}.url"), message, "configure each branch once");
            }
            let (one, two) = (&repository.git.mirror, &other.git.mirror);
            if one.starts_with(two) || two.starts_with(one) {
                let message = format!("{} overlaps the mirror of {}, {}", one.display(), other.name, two.display());
                self.problem(&format!("{at}.mirror"), message, "give each repository a mirror folder of its own");
            }
        }
    }

    fn repository(&mut self, at: &str, raw: RawRepository, git: &Git) -> Option<RepositorySettings> {
        let key = |name: &str| format!("{at}.{name}");
        let name = raw
            .name
            .parse::<RepositoryName>()
            .map_err(|error| self.problem(&key("name"), error.to_string(), "rename it"))
            .ok();
        let url = raw.url.parse::<gitworker::RemoteUrl>();
        if let Err(error) = &url {
            self.problem(
                &key("url"),
                error.to_string(),
                "put user names, passwords and tokens under credentials",
            );
        }
        let branch_odd = raw.branch.is_empty()
            || raw.branch.starts_with("refs/")
            || raw.branch.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
            || raw.branch.contains("..");
        if branch_odd {
            self.problem(
                &key("branch"),
                format!("{:?} is not a branch", raw.branch),
                "write its short name, such as \"main\"",
            );
        }
        let ssh = url.as_ref().is_ok_and(|url| url.to_string().starts_with("ssh://"));
        let credentials = self.credentials(&key("credentials"), raw.credentials.unwrap_or_default(), ssh);
        let approvals = self.destinations(&key("approvals"), &raw.approvals);
        let notifications = self.destinations(&key("notifications"), &raw.notifications);
        if let Some(text) = &raw.commit_url
            && !(text.contains("{commit}") && (text.starts_with("https://") || text.starts_with("http://")))
        {
            self.problem(
                &key("commit_url"),
                "it is not an address with {commit} in it",
                "write for example https://git.example.com/team/homelab/commit/{commit}",
            );
        }
        let policy = self.place_of_policy(&key("policy"), raw.policy.as_deref());
        let github = raw.github.map(|github| self.github(&key("github"), github));
        let extra_ca = raw.extra_ca_file.map(|path| self.file(&key("extra_ca_file"), &path));
        let name = name?;
        let mirror = raw
            .mirror
            .map_or_else(|| git.cache.join(format!("{name}.git")), |path| self.path(&path));
        Some(RepositorySettings {
            git: gitworker::RepositoryOptions {
                name: name.clone(),
                url: url.ok()?,
                branch: raw.branch,
                mirror,
                credentials: credentials?,
                author: git.author.clone(),
                signing_key: git.signing_key.clone(),
                deadlines: gitworker::Deadlines::default(),
                push_with_git_cli: raw.push_with_git_cli,
                extra_ca,
            },
            name,
            default_branch: raw.default_branch,
            approvals,
            notifications,
            argocd: raw.argocd,
            url_aliases: raw.url_aliases,
            commit_url: raw.commit_url,
            policy,
            github: match github {
                None => None,
                Some(github) => Some(github?),
            },
            machine_identities: raw.machine_identities,
        })
    }

    /// A path in the repository that means itself as a pattern, too: it is reserved.
    fn place_of_policy(&mut self, key: &str, text: Option<&str>) -> Option<domain::RepoPath> {
        let text = text?;
        let remedy = "write a plain path relative to the repository's root, such as \".countersign/policy.toml\"";
        if text.contains(['*', '?', '[', ']', '{', '}', '!']) {
            self.problem(key, format!("{text:?} holds characters of a path pattern"), remedy);
            return None;
        }
        text.parse()
            .map_err(|error: domain::PathRefusal| self.problem(key, error.to_string(), remedy))
            .ok()
    }

    fn credentials(&mut self, at: &str, raw: RawCredentials, ssh: bool) -> Option<gitworker::Credentials> {
        let key = |name: &str| format!("{at}.{name}");
        let basic = raw.username.is_some() || raw.password.is_some() || raw.password_file.is_some();
        let bearer = raw.token.is_some() || raw.token_file.is_some();
        let by_key = raw.ssh_key_file.is_some() || raw.known_hosts_file.is_some();
        match (basic, bearer, by_key) {
            (false, false, false) if ssh => {
                self.problem(
                    &key("ssh_key_file"),
                    "it is missing: the url is an ssh one",
                    "add ssh_key_file and known_hosts_file",
                );
                None
            }
            (false, false, false) => Some(gitworker::Credentials::None),
            (false, false, true) if !ssh => {
                self.problem(
                    &key("ssh_key_file"),
                    "it is given, but the url is not an ssh one",
                    "write an ssh url, or use username and password_file",
                );
                None
            }
            (true, false, false) | (false, true, false) if ssh => {
                self.problem(
                    at,
                    "a password or token is given, but the url is an ssh one",
                    "use ssh_key_file and known_hosts_file",
                );
                None
            }
            (true, false, false) => {
                if raw.username.as_deref().is_none_or(|name| name.is_empty() || name.contains(':')) {
                    self.problem(
                        &key("username"),
                        "it is missing, empty or holds a colon",
                        "add it; for a GitHub token it is \"x-access-token\"",
                    );
                }
                let password = self.needed(&key("password"), raw.password, raw.password_file)?;
                Some(gitworker::Credentials::Basic {
                    username: raw.username?,
                    password: password.for_git(),
                })
            }
            (false, true, false) => {
                let token = self.secret(&key("token"), raw.token, raw.token_file)?;
                Some(gitworker::Credentials::Bearer(token.for_git()))
            }
            (false, false, true) => {
                let (Some(key_file), Some(known_hosts)) = (raw.ssh_key_file, raw.known_hosts_file) else {
                    self.problem(
                        at,
                        "ssh_key_file and known_hosts_file belong together",
                        "add the missing one; `ssh-keyscan HOST` shows the keys to check and pin",
                    );
                    return None;
                };
                let key_file = self.file(&key("ssh_key_file"), &key_file);
                Some(gitworker::Credentials::Ssh {
                    key_file,
                    known_hosts_file: self.file(&key("known_hosts_file"), &known_hosts),
                })
            }
            _ => {
                self.problem(
                    at,
                    "more than one kind of credentials is given",
                    "keep username and password, or token, or ssh_key_file and known_hosts_file",
                );
                None
            }
        }
    }

    fn destinations(&mut self, at: &str, raw: &[RawDestination]) -> Vec<Destination> {
        let mut destinations = Vec::new();
        for (index, place) in raw.iter().enumerate() {
            if place.chat == 0 {
                self.problem(
                    &format!("{at}[{index}].chat"),
                    "0 is no chat",
                    "write the chat's numeric id; /whoami in the chat tells it",
                );
            }
            match place.topic {
                Some(1) => self.problem(
                    &format!("{at}[{index}].topic"),
                    "1 is the General topic, which Telegram addresses by no topic at all",
                    "take the key out",
                ),
                Some(topic) if topic <= 0 => self.problem(
                    &format!("{at}[{index}].topic"),
                    format!("{topic} is no topic"),
                    "write the topic's positive id, or take the key out",
                ),
                _ => {}
            }
            destinations.push(Destination {
                chat: telegram::ChatId(place.chat),
                thread: place.topic.map(telegram::ThreadId),
            });
        }
        destinations
    }

    fn github(&mut self, at: &str, raw: RawGithub) -> Option<GithubSettings> {
        let key = |name: &str| format!("{at}.{name}");
        for (name, text) in [("owner", &raw.owner), ("repo", &raw.repo)] {
            if text.is_empty() || text.contains('/') {
                self.problem(
                    &key(name),
                    format!("{text:?} is no GitHub name"),
                    "give owner and repository apart, without a URL",
                );
            }
        }
        let url = self.url(&key("api_url"), &raw.api_url);
        let token = self.needed(&key("token"), raw.token, raw.token_file)?;
        url?;
        Some(GithubSettings {
            api_url: raw.api_url,
            owner: raw.owner,
            repo: raw.repo,
            token,
        })
    }
}

/// What all repositories share.
struct Git {
    author: gitworker::Identity,
    cache: PathBuf,
    signing_key: Option<PathBuf>,
}
