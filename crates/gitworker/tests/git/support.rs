//! A real remote repository in a temporary directory, a person who works in a clone of it, and the worker on a mirror of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::DateTime;
use domain::{ChangeSet, CommitId, RepoPath, RepositoryName};
use simulators::git::{GitOptions, GitRemote};

use gitworker::{Built, CommitSpec, Credentials, Deadlines, Edit, Identity, PushOutcome, Repository, RepositoryOptions, RequestedChange};

/// A bare remote with one branch `main`.
pub struct Remote {
    pub dir: tempfile::TempDir,
}

/// Runs git and returns what it printed; panics with its words when it fails.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = git_output(dir, args);
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("git prints UTF-8").trim_end().to_owned()
}

pub fn git_output(dir: &Path, args: &[&str]) -> std::process::Output {
    Command::new("git")
        .current_dir(dir)
        .args([
            "-c",
            "user.name=alice",
            "-c",
            "user.email=alice@example.com",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed")
}

impl Remote {
    /// A remote whose first commit holds these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let remote = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        std::fs::create_dir(remote.work()).expect("a work tree");
        git(remote.dir.path(), &["init", "-q", "--bare", "remote.git"]);
        git(&remote.path(), &["config", "http.receivepack", "true"]);
        git(&remote.work(), &["init", "-q"]);
        git(&remote.work(), &["remote", "add", "origin", "../remote.git"]);
        remote.commit(files, "seed");
        remote
    }

    /// The bare repository.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    /// The person's work tree.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Where the worker keeps its mirror.
    pub fn mirror(&self) -> PathBuf {
        self.dir.path().join("mirror.git")
    }

    /// The person commits these files on top of the remote's branch and pushes. An empty content deletes the file.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> CommitId {
        if git_output(&self.work(), &["fetch", "-q", "origin", "main"]).status.success() {
            git(&self.work(), &["reset", "-q", "--hard", "FETCH_HEAD"]);
        }
        for (path, content) in files {
            let file = self.work().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            if content.is_empty() {
                std::fs::remove_file(file).expect("an existing file");
            } else {
                std::fs::write(file, content).expect("a file");
            }
        }
        self.push_all(message)
    }

    /// The person commits whatever stands in the work tree and pushes.
    pub fn push_all(&self, message: &str) -> CommitId {
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "--allow-empty", "-m", message]);
        git(&self.work(), &["push", "-q", "origin", "HEAD:refs/heads/main"]);
        self.head()
    }

    pub fn head(&self) -> CommitId {
        git(&self.path(), &["rev-parse", "main"]).parse().expect("a commit id")
    }

    pub fn show(&self, what: &str) -> String {
        git(&self.path(), &["show", what])
    }

    /// A server-side hook.
    pub fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.path().join("hooks").join(name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("a hook");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("an executable hook");
    }

    pub fn options(&self) -> RepositoryOptions {
        self.options_at(self.path().to_str().expect("a UTF-8 path"))
    }

    /// Serves the remote over HTTP, to everybody or with a log-in.
    pub async fn serve(&self, login: Option<(&str, &str)>) -> GitRemote {
        let options = GitOptions {
            root: self.dir.path().to_owned(),
            bind: ([127, 0, 0, 1], 0).into(),
            credentials: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
        };
        GitRemote::start(options).await.expect("a server")
    }

    pub fn options_over(&self, server: &GitRemote) -> RepositoryOptions {
        self.options_at(&server.url("remote"))
    }

    pub fn options_at(&self, url: &str) -> RepositoryOptions {
        RepositoryOptions {
            name: name(),
            url: url.parse().expect("a URL"),
            branch: "main".into(),
            mirror: self.mirror(),
            credentials: Credentials::None,
            author: Identity {
                name: "countersign".into(),
                email: "countersign@example.com".into(),
            },
            signing_key: None,
            deadlines: Deadlines::default(),
            push_with_git_cli: false,
            extra_ca: None,
        }
    }

    pub async fn open(&self) -> Repository {
        Repository::open(self.options()).await.expect("a repository")
    }

    /// The remote and its history are as git wants them.
    pub fn fsck(&self) {
        git(&self.path(), &["fsck", "--strict", "--no-dangling"]);
    }
}

pub fn name() -> RepositoryName {
    "homelab".parse().expect("a name")
}

pub fn path(text: &str) -> RepoPath {
    text.parse().expect("a path")
}

pub fn write(at: &str, content: &str) -> RequestedChange {
    RequestedChange {
        path: path(at),
        edit: Edit::Write {
            bytes: content.into(),
            exec: None,
        },
    }
}

pub fn delete(at: &str) -> RequestedChange {
    RequestedChange {
        path: path(at),
        edit: Edit::Delete,
    }
}

/// A change against the newest commit.
pub async fn change(repository: &Repository, wishes: Vec<RequestedChange>) -> (CommitId, ChangeSet) {
    let base = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    (base, repository.resolve(base, wishes).await.expect("a change"))
}

pub fn spec(change: &ChangeSet, message: &str) -> CommitSpec {
    CommitSpec {
        change: change.clone(),
        message: message.into(),
        time: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
    }
}

/// Resolves, builds and pushes on the newest tip.
pub async fn deliver(repository: &Repository, wishes: Vec<RequestedChange>, message: &str) -> (Built, PushOutcome) {
    let (base, change) = change(repository, wishes).await;
    let built = repository.build(base, &[spec(&change, message)]).await.expect("a commit");
    let outcome = repository.push(&built, base).await;
    (built, outcome)
}
