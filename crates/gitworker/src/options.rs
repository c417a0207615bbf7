//! How a repository is reached: parsed at the edge, so that nothing else looks at URLs or secrets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::RepositoryName;
use secrecy::{ExposeSecret as _, SecretString};

use crate::GitError;

/// Everything about one repository and branch.
#[derive(Debug, Clone)]
pub struct RepositoryOptions {
    /// The configured name; part of every digest.
    pub name: RepositoryName,
    /// The remote.
    pub url: RemoteUrl,
    /// The branch without `refs/heads/`.
    pub branch: String,
    /// Where the bare mirror lies. A cache: it may be deleted at any time.
    pub mirror: PathBuf,
    /// How to log in.
    pub credentials: Credentials,
    /// Author and committer of every commit.
    pub author: Identity,
    /// An unencrypted OpenSSH ed25519 private key; commits are signed with it when present.
    pub signing_key: Option<PathBuf>,
    /// How long each network step may take.
    pub deadlines: Deadlines,
    /// Push with `git push --force-with-lease=<ref>:<expected>` (a compare-and-swap) instead of the own client.
    pub push_with_git_cli: bool,
    /// A PEM file with a further certificate authority for https.
    pub extra_ca: Option<PathBuf>,
}

impl RepositoryOptions {
    /// The full ref name of the branch.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}

/// Name and address that commits carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// Upper bounds of the network steps, each from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Opening a connection. Default 10 s.
    pub connect: Duration,
    /// A question with a small answer: the tip, the right to push. Default 30 s.
    pub request: Duration,
    /// A push, with the server's hooks. Default 120 s.
    pub push: Duration,
    /// Fetching what is new on the branch. Default 120 s.
    pub fetch: Duration,
    /// The first clone. Default 1,800 s.
    pub clone: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            push: Duration::from_secs(120),
            fetch: Duration::from_secs(120),
            clone: Duration::from_secs(1800),
        }
    }
}

/// How to log in at the remote. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Not at all.
    None,
    /// HTTP Basic; for most hosts the password is a token.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: SecretSource,
    },
    /// HTTP Bearer.
    Bearer(SecretSource),
    /// ssh with a key and pinned host keys; nothing else of the user's ssh set-up is used to log in.
    Ssh {
        /// The private key file.
        key_file: PathBuf,
        /// The host keys that are trusted. An unknown host is refused.
        known_hosts_file: PathBuf,
    },
}

/// Where a secret comes from. Files are read at each use, so a rotated secret is used at once; while a file cannot be read, or is empty, the
/// secret last read from it stays in use. Clones share what was read.
#[derive(Clone)]
pub enum SecretSource {
    /// The secret itself.
    Value(SecretString),
    /// The first line of a file.
    File(SecretFile),
}

/// A file whose first line is a secret.
#[derive(Clone)]
pub struct SecretFile {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    secret: Option<SecretString>,
    /// That the file cannot be used is told once.
    told: bool,
}

impl SecretSource {
    /// A secret in a file. Nothing is read yet.
    pub fn file(path: PathBuf) -> Self {
        Self::File(SecretFile {
            path,
            known: Arc::default(),
        })
    }

    pub(crate) fn read(&self) -> Result<SecretString, GitError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(file) => file.read(),
        }
    }
}

impl SecretFile {
    fn read(&self) -> Result<SecretString, GitError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let why = match std::fs::read_to_string(&self.path) {
            Ok(text) => match text.lines().next().unwrap_or_default().trim() {
                "" => "is empty".to_owned(),
                line => {
                    let secret = SecretString::from(line);
                    *known = Known {
                        secret: Some(secret.clone()),
                        told: false,
                    };
                    return Ok(secret);
                }
            },
            Err(error) => format!("cannot be read: {error}"),
        };
        let problem = format!(
            "the secret file {} {why}; check the path, its permissions and its content",
            self.path.display()
        );
        let Some(secret) = known.secret.clone() else {
            return Err(GitError::Config(problem));
        };
        if !std::mem::replace(&mut known.told, true) {
            tracing::error!("the secret on disk cannot be used, the old one stays in use: {problem}");
        }
        Ok(secret)
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(…)"),
            Self::File(file) => write!(f, "File({})", file.path.display()),
        }
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.path.display())
    }
}

impl Credentials {
    /// The `Authorization` header's value, where the credentials are of that kind.
    pub(crate) fn authorization(&self) -> Result<Option<SecretString>, GitError> {
        use base64::Engine as _;
        Ok(match self {
            Self::None | Self::Ssh { .. } => None,
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.read()?.expose_secret());
                Some(SecretString::from(format!(
                    "Basic {}",
                    base64::engine::general_purpose::STANDARD.encode(pair)
                )))
            }
            Self::Bearer(token) => Some(SecretString::from(format!("Bearer {}", token.read()?.expose_secret()))),
        })
    }

    /// Every text that must never be shown. Unreadable sources have nothing to hide.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        let mut secrets = Vec::new();
        if let Self::Basic { password: source, .. } | Self::Bearer(source) = self {
            secrets.extend(source.read().ok());
        }
        if let Ok(Some(header)) = self.authorization() {
            let bare = header.expose_secret().split(' ').nth(1).unwrap_or_default().to_owned();
            secrets.push(SecretString::from(bare));
        }
        secrets
    }
}

/// A remote's address: `https://…`, `http://…`, `ssh://…`, `user@host:path`, `file:///…` or an absolute path.
/// Never holds credentials: a URL with a password is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl(pub(crate) Address);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Http(url::Url),
    Ssh {
        user: Option<String>,
        host: String,
        port: Option<u16>,
        path: String,
    },
    Local(PathBuf),
}

impl FromStr for RemoteUrl {
    type Err = GitError;
    fn from_str(text: &str) -> Result<Self, GitError> {
        parse(text).map(Self).map_err(|problem| {
            GitError::Config(format!(
                "the repository's url {problem}; use https://host/path, ssh://git@host/path, git@host:path or an absolute path"
            ))
        })
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Http(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Address::Ssh { user, host, port, path } => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let slash = if path.starts_with('/') { "" } else { "/" };
                write!(f, "ssh://{user}{host}{port}{slash}{path}")
            }
            Address::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The problem is told without repeating the text: it may hold a password.
fn parse(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("is empty or holds a control character");
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let url = url::Url::parse(text).map_err(|_| "is not a valid URL")?;
        if url.password().is_some() {
            return Err("must not hold a password: configure credentials apart from it");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not hold ? or #");
        }
        return match scheme {
            "http" | "https" if !url.username().is_empty() => Err("must not hold a user name: configure credentials apart from it"),
            "http" | "https" => Ok(Address::Http(url)),
            "file" => url.to_file_path().map(Address::Local).map_err(|()| "is not a local file path"),
            "ssh" => {
                let host = url.host_str().ok_or("has no host")?.to_owned();
                let user = (!url.username().is_empty()).then(|| url.username().to_owned());
                let path = url.path();
                // As git does it: `/~user/repo` is relative to that user's home.
                let path = path.strip_prefix('/').filter(|rest| rest.starts_with('~')).unwrap_or(path);
                ssh(user, host, url.port(), path.to_owned())
            }
            _ => Err("has a scheme that is not supported"),
        };
    }
    if text.starts_with('/') {
        return Ok(Address::Local(PathBuf::from(text)));
    }
    // Relative to what? The service's folder is not the configuration's.
    if text.starts_with("./") || text.starts_with("../") {
        return Err("is a relative path");
    }
    let helper = |(name, _): (&str, &str)| name.chars().all(|c| c.is_ascii_alphanumeric());
    if text.split_once("::").is_some_and(helper) {
        return Err("names a program that git would run");
    }
    let (login, path) = text
        .split_once(':')
        .filter(|(login, _)| !login.contains('/'))
        .ok_or("is neither a URL nor an absolute path")?;
    let (user, host) = match login.split_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, login),
    };
    ssh(user, host.to_owned(), None, path.to_owned())
}

/// Refuses what `ssh` or the remote's shell could take for an option.
fn ssh(user: Option<String>, host: String, port: Option<u16>, path: String) -> Result<Address, &'static str> {
    let plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
    if !plain(&host) || !user.as_deref().is_none_or(plain) {
        return Err("has an ssh user or host that is empty or odd");
    }
    // `transport::address` names a remote helper, which could run anything.
    if path.trim_matches('/').is_empty() || path.starts_with(['-', ':']) {
        return Err("has an ssh path that is empty or starts with - or :");
    }
    Ok(Address::Ssh { user, host, port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_apart_and_shown_without_surprises() {
        for (text, shown) in [
            ("https://git.example/team/repo.git", "https://git.example/team/repo.git"),
            ("http://127.0.0.1:3000/r/", "http://127.0.0.1:3000/r"),
            ("ssh://git@git.example:2222/team/repo", "ssh://git@git.example:2222/team/repo"),
            ("git@git.example:team/repo.git", "ssh://git@git.example/team/repo.git"),
            ("file:///srv/repo.git", "/srv/repo.git"),
            ("/srv/repo.git", "/srv/repo.git"),
        ] {
            assert_eq!(text.parse::<RemoteUrl>().map(|url| url.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn urls_with_secrets_or_options_in_them_are_refused_without_being_repeated() {
        for bad in [
            "https://user:canary@git.example/r",
            "https://canary@git.example/r",
            "https://git.example/r?token=canary",
            "ssh://git:canary@git.example/r",
            "ssh://-oProxyCommand=canary/r",
            "-oProxyCommand=canary:r",
            "git@host:-canary",
            "ext::canary",
            "ftp://git.example/canary",
            "canary",
            "./canary",
            "../canary",
            "",
        ] {
            let error = bad.parse::<RemoteUrl>().expect_err(bad).to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (bad, why) in [
            ("./remote.git", "is a relative path"),
            ("remote.git", "is neither a URL nor an absolute path"),
            ("ext::sh -c true", "names a program that git would run"),
            ("git://git.example/r", "has a scheme that is not supported"),
        ] {
            let error = bad.parse::<RemoteUrl>().expect_err(bad).to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!("git@[2001:db8::1]:team/repo.git".parse::<RemoteUrl>().is_ok());
    }

    #[test]
    fn no_secret_is_shown() {
        let credentials = Credentials::Basic {
            username: "bot".into(),
            password: SecretSource::Value("canary".into()),
        };
        assert!(!format!("{credentials:?}").contains("canary"));
        assert_eq!(credentials.secrets().len(), 2);
    }
}
