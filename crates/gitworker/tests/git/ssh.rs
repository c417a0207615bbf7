//! Over ssh, with a real server on a high port of this machine. Skipped with a word where no server is installed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gitworker::{Credentials, GitError, PushOutcome, Repository};

use crate::support::*;

/// A running server for the user who runs the tests. Ends with the value.
struct Sshd {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

fn keygen(file: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(file)
        .status();
    assert!(made.expect("ssh-keygen is installed").success());
}

impl Sshd {
    /// `None` where no server is installed or it does not start for this user.
    fn start(dir: &Path) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no sshd is installed");
            return None;
        };
        let dir = dir.join("ssh");
        std::fs::create_dir(&dir).expect("a directory");
        for key in ["host", "user", "stranger"] {
            keygen(&dir.join(key));
        }
        std::fs::copy(dir.join("user.pub"), dir.join("authorized")).expect("a file");
        // Needed by the server when it runs as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let show = |name: &str| dir.join(name).display().to_string();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nLogLevel ERROR\n",
            show("host"),
            show("authorized"),
        );
        std::fs::write(dir.join("config"), settings).expect("a file");
        let log = std::fs::File::create(dir.join("log")).expect("a file");
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(dir.join("config"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut server = Self {
            child: child.expect("sshd starts"),
            port,
            dir,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait().ok().flatten().is_some();
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(server.dir.join("log")).unwrap_or_default();
                eprintln!("skipped: sshd does not start here: {log}");
                return None;
            }
            std::thread::yield_now();
        }
        server.trust("known_hosts", "host");
        Some(server)
    }

    /// A file that trusts the server under the key of this name.
    fn trust(&self, file: &str, key: &str) {
        let public = std::fs::read_to_string(self.dir.join(format!("{key}.pub"))).expect("a public key");
        std::fs::write(self.dir.join(file), format!("[127.0.0.1]:{} {public}", self.port)).expect("a file");
    }

    fn options(&self, remote: &Remote, key: &str, known_hosts: &str) -> gitworker::RepositoryOptions {
        let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id runs").stdout).expect("a name");
        let url = format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, remote.path().display());
        let mut options = remote.options_at(&url);
        options.credentials = Credentials::Ssh {
            key_file: self.dir.join(key),
            known_hosts_file: self.dir.join(known_hosts),
        };
        options
    }
}

#[tokio::test]
async fn a_change_travels_over_ssh_on_one_warm_connection() {
    let remote = Remote::with(&[("README.md", "hello\n")]);
    let Some(server) = Sshd::start(remote.dir.path()) else { return };
    let repository = Repository::open(server.options(&remote, "user", "known_hosts"))
        .await
        .expect("a repository");
    assert_eq!(repository.can_push().await, Ok(()));
    let (built, outcome) = deliver(&repository, vec![write("README.md", "over ssh\n")], "over ssh").await;
    assert_eq!(outcome, PushOutcome::Confirmed);
    assert_eq!(remote.head(), built.tip());
    let theirs = remote.commit(&[("other", "x\n")], "theirs");
    assert_eq!(repository.refresh(Duration::ZERO).await.map(|tip| tip.commit), Ok(theirs));
    remote.hook("pre-receive", "echo not today >&2; exit 1");
    let (_, outcome) = deliver(&repository, vec![write("README.md", "x\n")], "x").await;
    assert!(
        matches!(&outcome, PushOutcome::Refused { message } if message.contains("not today")),
        "{outcome:?}"
    );
    remote.fsck();
    let (base, change) = change(&repository, vec![write("README.md", "y\n")]).await;
    let built = repository.build(base, &[spec(&change, "y")]).await.expect("a commit");
    // The server takes no new connections any more, yet the warm one still carries a question.
    let mut server = server;
    server.child.kill().expect("a running server");
    server.child.wait().expect("its end");
    assert_eq!(repository.tip().await, Ok(Some(remote.head())));
    drop(repository);
    let repository = Repository::open(server.options(&remote, "user", "known_hosts"))
        .await
        .expect("a mirror");
    assert!(repository.tip().await.is_err());
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::NotSent { why } if why.contains("refused")),
        "without a connection nothing was sent: {outcome:?}"
    );
}

#[tokio::test]
async fn strangers_and_unknown_hosts_are_refused() {
    let remote = Remote::with(&[("README.md", "hello\n")]);
    let Some(server) = Sshd::start(remote.dir.path()) else { return };
    server.trust("wrong_hosts", "stranger");
    std::fs::write(server.dir.join("no_hosts"), "").expect("a file");
    let error = Repository::open(server.options(&remote, "stranger", "known_hosts"))
        .await
        .expect_err("no way in");
    assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
    // No credentials were offered there: that is another matter, and no banner of ssh's is passed on.
    for hosts in ["wrong_hosts", "no_hosts"] {
        let error = Repository::open(server.options(&remote, "user", hosts))
            .await
            .expect_err("no way in");
        assert!(matches!(error, GitError::HostKey { .. }), "{hosts}: {error:?}");
        assert!(!error.to_string().contains("@@"), "{error}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_said_to_be_missing() {
    let remote = Remote::with(&[("README.md", "hello\n")]);
    let Some(server) = Sshd::start(remote.dir.path()) else { return };
    std::fs::rename(remote.path(), remote.dir.path().join("away.git")).expect("a remote");
    let error = Repository::open(server.options(&remote, "user", "known_hosts"))
        .await
        .expect_err("nothing there");
    assert!(
        matches!(&error, GitError::Protocol { detail, .. } if detail.contains("does not appear")),
        "{error:?}"
    );
    drop(server);
}
