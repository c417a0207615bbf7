//! The configuration as it is written: every key that exists, unknown ones refused, nothing checked for sense yet.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::{Limits, LogSettings};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSettings {
    pub server: RawServer,
    pub database: RawDatabase,
    pub policy: RawPolicy,
    pub guard: RawGuard,
    pub telegram: RawTelegram,
    pub limits: Limits,
    pub log: LogSettings,
    pub git: RawGit,
    #[serde(default)]
    pub repositories: Vec<RawRepository>,
    #[serde(default)]
    pub argocd: Vec<RawArgocd>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub bind: String,
    pub metrics_bind: String,
    pub tls: Option<RawTls>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDatabase {
    pub path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub file: PathBuf,
    pub runbooks: Option<PathBuf>,
    pub code_key: Option<SecretString>,
    pub code_key_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuard {
    pub secret_rules: Option<PathBuf>,
    pub custom_resources: Option<PathBuf>,
    pub kubernetes: Option<RawKubernetes>,
    pub policies: Option<PathBuf>,
    pub policy_packages: Vec<String>,
    pub policy_milliseconds: u64,
    #[serde(default)]
    pub rules: Vec<RawGuardRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKubernetes {
    pub version: String,
    pub definitions: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuardRule {
    pub id: String,
    pub effect: String,
    pub reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelegram {
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    pub api_url: String,
    pub mode: RawMode,
    pub webhook: Option<RawWebhook>,
    pub time_zone: String,
    pub hold_seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMode {
    Poll,
    Webhook,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    pub url: String,
    pub secret: Option<SecretString>,
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGit {
    pub cache_dir: PathBuf,
    pub author_name: String,
    pub author_email: String,
    pub signing_key_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRepository {
    pub name: String,
    pub url: String,
    pub branch: String,
    #[serde(default = "yes")]
    pub default_branch: bool,
    pub credentials: Option<RawCredentials>,
    #[serde(default)]
    pub approvals: Vec<RawDestination>,
    #[serde(default)]
    pub notifications: Vec<RawDestination>,
    pub argocd: Option<String>,
    #[serde(default)]
    pub url_aliases: Vec<String>,
    pub commit_url: Option<String>,
    pub policy: Option<String>,
    pub runbooks: Option<RawFolder>,
    pub github: Option<RawGithub>,
    #[serde(default)]
    pub machine_identities: Vec<String>,
    #[serde(default)]
    pub guarded_paths: Vec<String>,
    #[serde(default)]
    pub alarm_unexplained: bool,
    #[serde(default)]
    pub push_with_git_cli: bool,
    pub extra_ca_file: Option<PathBuf>,
    pub mirror: Option<PathBuf>,
}

/// Whether a folder of the repository is read, and which one.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true, false, or the path of a folder of the repository is expected")]
pub(super) enum RawFolder {
    Usual(bool),
    Named(String),
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredentials {
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    pub ssh_key_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDestination {
    pub chat: i64,
    pub topic: Option<i64>,
    pub digest: Option<String>,
    pub quiet: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGithub {
    #[serde(default = "github_com")]
    pub api_url: String,
    pub owner: String,
    pub repo: String,
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
}

fn github_com() -> String {
    "https://api.github.com".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawArgocd {
    pub name: String,
    pub url: String,
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub insecure_skip_verify: bool,
    #[serde(default)]
    pub projects: Vec<String>,
    #[serde(default)]
    pub sync: RawSync,
    #[serde(default = "deadline")]
    pub deadline_seconds: u64,
    #[serde(default = "relist")]
    pub relist_seconds: u64,
}

/// Thirty minutes: slow roll-outs with hooks end within it.
const fn deadline() -> u64 {
    1800
}

const fn relist() -> u64 {
    90
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawSync {
    #[default]
    Never,
    OnRequest,
}
