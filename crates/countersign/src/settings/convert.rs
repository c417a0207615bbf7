//! From what was written to what cannot be wrong. All problems are collected, so that one run tells them all.

mod argocd;
mod repositories;
mod telegram;

use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use self::repositories::Git;
use super::layers::{Layers, Merged};
use super::raw::{RawGit, RawServer, RawSettings};
use super::{Limits, LogSettings, NamedFile, PolicySettings, Problem, ServerSettings, Settings};
use crate::secrets::Secret;

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

pub(super) struct Checker<'a> {
    merged: &'a Merged,
    folder: PathBuf,
    problems: Vec<Problem>,
    files: Vec<NamedFile>,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(key, self.merged.layer(key), message, remedy));
    }

    pub(super) fn path(&self, path: &Path) -> PathBuf {
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
        let guard = self.guard(raw.guard);
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
                code_key: self.secret("policy.code_key", raw.policy.code_key, raw.policy.code_key_file),
            },
            guard,
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

    fn limits(&mut self, limits: &Limits) {
        let at_least_one = [
            ("files_per_proposal", limits.files_per_proposal as u64),
            ("bytes_per_file", limits.bytes_per_file as u64),
            ("bytes_per_body", limits.bytes_per_body as u64),
            ("open_proposals_per_agent", limits.open_proposals_per_agent),
            ("proposals_per_hour_per_agent", limits.proposals_per_hour_per_agent),
            ("cards_per_hour_per_agent", limits.cards_per_hour_per_agent),
            ("cards_per_hour_per_chat", limits.cards_per_hour_per_chat),
            ("body_seconds", limits.body_seconds),
            ("connections", limits.connections as u64),
            ("header_seconds", limits.header_seconds),
            ("idle_seconds", limits.idle_seconds),
            ("lease_seconds", limits.lease_seconds),
            ("attempts", u64::from(limits.attempts)),
            ("observation_age_hours", limits.observation_age_hours),
            ("landing_poll_seconds", limits.landing_poll_seconds),
            ("pull_poll_seconds", limits.pull_poll_seconds),
            ("slow_push_seconds", limits.slow_push_seconds),
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
}
