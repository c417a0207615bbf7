//! A git service as a child process: `ssh` for a remote host, the service itself for a local path.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::CommitId;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::{Begin, garbled, pushed, ssh, within};
use crate::cli::{self, Group};
use crate::options::Address;
use crate::protocol::{self, Garbled, Report, Update};
use crate::{GitError, RepositoryOptions, sanitize};

/// At most this much of what a child says on its error output is kept.
const SAID_MAX: u64 = 16 * 1024;
/// A socket's name has at most 107 bytes, and ssh appends 17 of its own while connecting.
const SOCKET_NAME_MAX: usize = 90;

pub(crate) struct Pipe {
    options: RepositoryOptions,
    /// Where ssh keeps the socket of its warm connection: a directory of our own, short enough for a socket's name.
    control: Option<Control>,
}

/// A running service.
struct Service {
    group: Group,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Pipe {
    pub(crate) fn new(options: &RepositoryOptions) -> Result<Self, GitError> {
        let control = match &options.url.0 {
            Address::Ssh { .. } => Control::new()?,
            _ => None,
        };
        Ok(Self {
            options: options.clone(),
            control,
        })
    }

    pub(crate) fn control(&self) -> Option<&Path> {
        self.control.as_ref().map(|control| control.socket.as_path())
    }

    pub(crate) async fn tip(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        within(&self.options, "asking for the tip", self.options.deadlines.request, async {
            let mut service = self.start("git-upload-pack")?;
            let answer = service.ask_tip(reference).await;
            self.finish(service, answer).await
        })
        .await
    }

    pub(crate) async fn send(&self, update: &Update) -> Result<Report, GitError> {
        pushed(&self.options, async |begin| {
            let mut service = self.start("git-receive-pack")?;
            let answer = service.push(update, &begin).await;
            self.finish(service, answer).await
        })
        .await
    }

    pub(crate) async fn can_push(&self) -> Result<(), GitError> {
        within(
            &self.options,
            "asking for the right to push",
            self.options.deadlines.request,
            async {
                let mut service = self.start("git-receive-pack")?;
                let answer = protocol::read_advert(&mut service.stdout, "").await;
                self.finish(service, answer).await?;
                match &self.options.url.0 {
                    // git tells nothing about a read-only directory before the push itself.
                    Address::Local(path) => writable(path).map_err(|error| self.denied(error.to_string())),
                    _ => Ok(()),
                }
            },
        )
        .await
    }

    fn start(&self, service: &str) -> Result<Service, GitError> {
        let program = match &self.options.url.0 {
            Address::Local(_) => "git",
            _ => "ssh",
        };
        let mut command = match &self.options.url.0 {
            Address::Local(path) => {
                // `git-receive-pack` is a name for `git receive-pack` that need not be on the search path.
                let mut command = cli::command(program, &self.options.url.0);
                command.arg(service.trim_start_matches("git-")).arg(path);
                command
            }
            _ => {
                let mut command = cli::command(program, &self.options.url.0);
                command.args(ssh::service(&self.options, self.control(), service)?);
                command
            }
        };
        if service == "git-upload-pack" {
            command.env("GIT_PROTOCOL", "version=2");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let unusable = |detail: String| GitError::Unreachable {
            remote: self.remote(),
            detail,
        };
        let mut group = Group::spawn(&mut command).map_err(|error| GitError::Program {
            program,
            why: error.to_string(),
        })?;
        match (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Service {
                group,
                stdin,
                stdout: BufReader::new(stdout),
                stderr,
            }),
            _ => Err(unusable("its program has no pipes".to_owned())),
        }
    }

    /// Ends the child. When the answer was cut short, what the child said explains it better.
    async fn finish<T>(&self, service: Service, answer: Result<T, Garbled>) -> Result<T, GitError> {
        let Service {
            mut group,
            stdin,
            stdout,
            mut stderr,
        } = service;
        drop((stdin, stdout));
        let what = match answer {
            Ok(done) => {
                // With a warm connection ssh's background part holds the error output open: only the child is waited for.
                let _ = group.child.wait().await;
                return Ok(done);
            }
            Err(what) => what,
        };
        let mut said = Vec::new();
        let listen = async {
            let _ = (&mut stderr).take(SAID_MAX).read_to_end(&mut said).await;
        };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), listen).await;
        let status = group.child.wait().await.ok().and_then(|status| status.code());
        Err(self.explain(what, status, &said))
    }

    fn explain(&self, what: Garbled, status: Option<i32>, said: &[u8]) -> GitError {
        let text = sanitize::text(said, &self.secrets());
        let refused = [
            "Permission denied",
            "insufficient permission",
            "unable to write",
            "dubious ownership",
        ];
        match what {
            Garbled::Broken(_) if text.contains("Host key verification failed") => GitError::HostKey { remote: self.remote() },
            Garbled::Broken(_) if refused.iter().any(|word| text.contains(word)) => self.denied(text),
            Garbled::Broken(_) if text.contains("does not appear to be a git repository") || text.contains("not a git repository") => {
                GitError::Protocol {
                    remote: self.remote(),
                    detail: text,
                }
            }
            Garbled::Broken(detail) if text.is_empty() => {
                let status = status.map(|code| format!(", exit {code}")).unwrap_or_default();
                GitError::Unreachable {
                    remote: self.remote(),
                    detail: format!("it broke off ({detail}{status})"),
                }
            }
            Garbled::Broken(_) => GitError::Unreachable {
                remote: self.remote(),
                detail: text,
            },
            other => garbled(&self.options, other),
        }
    }

    fn denied(&self, detail: String) -> GitError {
        GitError::Denied {
            remote: self.remote(),
            detail,
        }
    }

    fn secrets(&self) -> Vec<SecretString> {
        self.options.credentials.secrets()
    }

    fn remote(&self) -> String {
        self.options.url.to_string()
    }
}

impl Service {
    async fn ask_tip(&mut self, reference: &str) -> Result<Option<CommitId>, Garbled> {
        let advert = protocol::read_advert(&mut self.stdout, reference).await?;
        if !advert.version2 {
            // Nothing is wanted: a flush ends the conversation.
            let _ = self.stdin.write_all(b"0000").await;
            return Ok(advert.reference);
        }
        let mut request = protocol::ls_refs(reference);
        // A second flush ends a protocol 2 conversation.
        request.extend_from_slice(b"0000");
        self.stdin
            .write_all(&request)
            .await
            .map_err(|error| Garbled::Broken(error.to_string()))?;
        protocol::read_ls_refs(&mut self.stdout, reference).await
    }

    async fn push(&mut self, update: &Update, begin: &Begin) -> Result<Report, Garbled> {
        protocol::read_advert(&mut self.stdout, &update.reference).await?;
        begin.now();
        // The remote may answer, or go away, before it has read everything: reading and writing go on side by side.
        let command = update.command();
        let send = async {
            let _ = self.stdin.write_all(&command).await;
            let _ = self.stdin.write_all(&update.pack).await;
            let _ = self.stdin.flush().await;
        };
        let (report, ()) = tokio::join!(protocol::read_report(&mut self.stdout, &update.reference), send);
        report
    }
}

/// Whether something can be created below a bare repository's objects.
fn writable(path: &Path) -> std::io::Result<()> {
    let objects = [path.join("objects"), path.join(".git/objects")]
        .into_iter()
        .find(|dir| dir.is_dir());
    let Some(objects) = objects else { return Ok(()) };
    let probe = objects.join(format!("countersign-probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

/// The socket of ssh's warm connection, in a directory that only this user can enter. Hangs up when dropped.
struct Control {
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Control {
    /// `None` where the directory for temporary files has too long a name for a socket: then every step connects anew.
    fn new() -> Result<Option<Self>, GitError> {
        let made = tempfile::Builder::new().prefix("csgn-").tempdir();
        let directory = made.map_err(|error| GitError::Config(format!("ssh needs a temporary directory: {error}; set TMPDIR")))?;
        let socket = directory.path().join("s");
        if socket.as_os_str().len() > SOCKET_NAME_MAX {
            tracing::warn!(directory = %directory.path().display(), "too long a name for a socket: ssh connects anew for every step");
            return Ok(None);
        }
        Ok(Some(Self {
            socket,
            _directory: directory,
        }))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if self.socket.exists() {
            ssh::hang_up(&self.socket);
        }
    }
}
