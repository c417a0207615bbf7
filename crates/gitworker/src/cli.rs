//! The `git` program, for what it does best: cloning and fetching (and pushing, where that is configured).
//!
//! Secrets travel in the environment, never in arguments. A child and everything it started is killed when its deadline passes or
//! when nobody waits for it any more.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::options::Address;
use crate::{Credentials, GitError, RepositoryOptions, sanitize, transport::ssh};

/// At most this much of what a child complains about is kept.
const SAID_MAX: u64 = 64 * 1024;

/// Runs `git` in the mirror and returns what it printed. `control` is the socket of a warm ssh connection, if there is one.
pub(crate) async fn git(
    options: &RepositoryOptions,
    control: Option<&Path>,
    mirror: &Path,
    step: &'static str,
    deadline: Duration,
    args: &[&str],
) -> Result<Vec<u8>, GitError> {
    let mut command = command("git", &options.url.0);
    command.arg("--git-dir").arg(mirror).args(args);
    configure(&mut command, options, control)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |detail: String| GitError::Command { step, detail };
    let mut child = Group::spawn(&mut command).map_err(|error| GitError::Program {
        program: "git",
        why: error.to_string(),
    })?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let work = async {
        let (stdout, stderr) = (child.child.stdout.take(), child.child.stderr.take());
        tokio::try_join!(drain(stdout, &mut out, u64::MAX), drain(stderr, &mut err, SAID_MAX))?;
        child.child.wait().await
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(status)) if status.success() => Ok(out),
        Ok(Ok(status)) => {
            let said = sanitize::text(&err, &options.credentials.secrets());
            Err(explain(options, step, if said.is_empty() { status.to_string() } else { said }))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(GitError::Deadline {
            remote: options.url.to_string(),
            step,
            seconds: deadline.as_secs(),
        }),
    }
}

/// Reads to the end, keeping only the beginning: a child must never block on a full pipe.
async fn drain(from: Option<impl tokio::io::AsyncRead + Unpin>, kept: &mut Vec<u8>, limit: u64) -> std::io::Result<()> {
    if let Some(mut from) = from {
        (&mut from).take(limit).read_to_end(kept).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// git's words, sorted for the reader of the error. Nothing is decided by them: an unknown wording is a plain failure.
fn explain(options: &RepositoryOptions, step: &'static str, detail: String) -> GitError {
    let remote = options.url.to_string();
    let says = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    if says(&["Host key verification failed"]) {
        GitError::HostKey { remote }
    } else if says(&[
        "Authentication failed",
        "could not read Username",
        "error: 401",
        "error: 403",
        "Permission denied",
    ]) {
        GitError::Denied { remote, detail }
    } else if says(&[
        "Could not resolve",
        "Failed to connect",
        "Couldn't connect",
        "Connection refused",
        "Connection reset",
        "timed out",
        "unexpectedly",
        "RPC failed",
        "early EOF",
    ]) {
        GitError::Unreachable { remote, detail }
    } else {
        GitError::Command { step, detail }
    }
}

/// A command with a clean environment as far as git is concerned. For a local path the user's own git configuration stays in force:
/// it alone can say that a directory of another owner is trusted.
pub(crate) fn command(program: &str, address: &Address) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    if !matches!(address, Address::Local(_)) {
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    }
    command.process_group(0).kill_on_drop(true);
    command
}

/// Settings and credentials, all through the environment.
fn configure(command: &mut Command, options: &RepositoryOptions, control: Option<&Path>) -> Result<(), GitError> {
    let mut settings: Vec<(&str, OsString)> = vec![
        ("safe.directory", "*".into()),
        ("core.hooksPath", "/dev/null".into()),
        ("credential.helper", "".into()),
        ("protocol.allow", "never".into()),
        ("protocol.version", "2".into()),
    ];
    match &options.url.0 {
        Address::Http(url) => {
            settings.push((
                if url.scheme() == "https" {
                    "protocol.https.allow"
                } else {
                    "protocol.http.allow"
                },
                "always".into(),
            ));
            settings.push(("http.followRedirects", "false".into()));
            if let Some(header) = options.credentials.authorization()? {
                settings.push(("http.extraHeader", format!("Authorization: {}", header.expose_secret()).into()));
            }
            if let Some(ca) = &options.extra_ca {
                settings.push(("http.sslCAInfo", ca.into()));
            }
        }
        Address::Ssh { .. } => {
            settings.push(("protocol.ssh.allow", "always".into()));
            settings.push(("ssh.variant", "ssh".into()));
            if let Credentials::Ssh { .. } = &options.credentials {
                command.env("GIT_SSH_COMMAND", ssh::shell_command(options, control));
            }
        }
        Address::Local(_) => settings.push(("protocol.file.allow", "always".into())),
    }
    command
        .env("GIT_ASKPASS", "true")
        .env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        command
            .env(format!("GIT_CONFIG_KEY_{index}"), key)
            .env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    Ok(())
}

/// A child with its own process group, killed as a whole when dropped: git's helpers outlive git otherwise.
pub(crate) struct Group {
    pub(crate) child: Child,
    id: Option<rustix::process::Pid>,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command.spawn()?;
        let id = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, id })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only while the child is not reaped: afterwards the number may belong to somebody else.
        if let (Some(id), true) = (self.id, self.child.id().is_some()) {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deadlines, Identity, SecretSource};

    #[test]
    fn secrets_travel_in_the_environment_only() {
        let options = RepositoryOptions {
            name: "homelab".parse().expect("a name"),
            url: "https://git.example/r".parse().expect("a URL"),
            branch: "main".into(),
            mirror: "/nowhere".into(),
            credentials: Credentials::Bearer(SecretSource::Value("canary".into())),
            author: Identity {
                name: "countersign".into(),
                email: "countersign@example.com".into(),
            },
            signing_key: None,
            deadlines: Deadlines::default(),
            push_with_git_cli: false,
            extra_ca: None,
        };
        let mut command = command("git", &options.url.0);
        configure(&mut command, &options, None).expect("settings");
        let command = command.as_std();
        assert!(command.get_args().all(|argument| !argument.to_string_lossy().contains("canary")));
        let carried = command
            .get_envs()
            .filter(|(_, value)| value.is_some_and(|value| value.to_string_lossy().contains("canary")))
            .count();
        assert_eq!(carried, 1);
        assert!(!format!("{options:?}").contains("canary"));
    }
}
