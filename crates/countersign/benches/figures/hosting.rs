//! A git host over HTTP with repositories of 1,000 and of 100,000 files, and clients of it: our worker and the git command line.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{ChangeSet, CommitId};
use gitworker::{CommitSpec, Edit, Repository, RepositoryOptions, RequestedChange};
use simulators::git::{BareRepo, GitOptions, GitRemote};
use tempfile::TempDir;

/// How many files a repository holds. Along `team-00/app-00` both have directories of the same width, so that a commit there writes trees of
/// the same size: what differs is the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// 1,000.
    Small,
    /// 100,000.
    Big,
}

/// Teams, applications of a team, files of an application.
const WIDTHS: (usize, usize, usize) = (50, 40, 50);

impl Size {
    fn files(self) -> Vec<(usize, usize, usize)> {
        let (teams, apps, parts) = WIDTHS;
        let product = |teams: usize, apps: std::ops::Range<usize>, parts: usize| {
            (0..teams).flat_map(move |team| apps.clone().flat_map(move |app| (0..parts).map(move |part| (team, app, part))))
        };
        match self {
            Self::Big => product(teams, 0..apps, parts).collect(),
            Self::Small => {
                let touched = product(1, 0..1, parts);
                let beside = product(1, 1..apps, 12);
                let above = product(teams, 0..1, 10).filter(|(team, _, _)| *team > 0);
                touched.chain(beside).chain(above).take(1000).collect()
            }
        }
    }
}

/// Where a file stands.
fn place(team: usize, app: usize, part: usize) -> String {
    format!("team-{team:02}/app-{app:02}/part-{part:02}.yaml")
}

/// One of the fifty files that are there in both sizes, side by side.
pub(crate) fn shared_path(part: usize) -> String {
    place(0, 0, part % WIDTHS.2)
}

/// A small manifest that holds one value.
pub(crate) fn manifest(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: \"{value}\"\n")
}

/// The host and a folder for everybody's clones; gone with the value.
pub(crate) struct Hosting {
    folder: TempDir,
    /// The server.
    pub git: GitRemote,
}

impl Hosting {
    /// An empty host.
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-figures-").tempdir()?;
        let git = GitRemote::start(GitOptions {
            root: folder.path().join("remotes"),
            bind: ([127, 0, 0, 1], 0).into(),
            credentials: None,
        })
        .await?;
        Ok(Self { folder, git })
    }

    /// A new repository of this size.
    pub(crate) fn seeded(&self, name: &str, size: Size) -> Result<BareRepo> {
        let repo = self.git.create(name)?;
        let files = size.files().into_iter().map(|(team, app, part)| {
            let path = place(team, app, part);
            let content = manifest(&format!("part-{team}-{app}-{part}"), "0");
            (path, content)
        });
        import(&repo, files)?;
        Ok(repo)
    }

    /// The same repository once more, for somebody who must not be disturbed by the others' commits.
    pub(crate) fn copied(&self, from: &BareRepo, name: &str) -> Result<BareRepo> {
        let path = from.path.with_file_name(format!("{name}.git"));
        let copied = Command::new("cp").arg("-r").arg(&from.path).arg(&path).status()?;
        ensure!(copied.success(), "the repository could not be copied");
        Ok(BareRepo {
            path,
            url: self.git.url(name),
            branch: from.branch.clone(),
        })
    }

    /// A folder of somebody's own; not made yet.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Our worker on a repository, its mirror cloned.
    pub(crate) async fn open(&self, repo: &BareRepo, mirror: &str) -> Result<Repository> {
        Ok(Repository::open(self.options(&repo.url, mirror)?).await?)
    }

    /// How our worker is set up.
    pub(crate) fn options(&self, url: &str, mirror: &str) -> Result<RepositoryOptions> {
        Ok(RepositoryOptions {
            name: "homelab".parse()?,
            url: url.parse()?,
            branch: "main".to_owned(),
            mirror: self.place(mirror),
            credentials: gitworker::Credentials::None,
            author: gitworker::Identity {
                name: "Countersign".to_owned(),
                email: "countersign@example.com".to_owned(),
            },
            signing_key: None,
            deadlines: gitworker::Deadlines::default(),
            push_with_git_cli: false,
            extra_ca: None,
        })
    }
}

/// Streamed, so that a hundred thousand files never stand in this process's memory, which is measured too.
fn import(repo: &BareRepo, files: impl Iterator<Item = (String, String)>) -> Result<()> {
    let mut git = Command::new("git")
        .args([
            "-c",
            "core.compression=1",
            "fast-import",
            "--quiet",
            "--date-format=now",
            "--depth=0",
        ])
        .env("GIT_DIR", &repo.path)
        .stdin(Stdio::piped())
        .spawn()
        .context("git fast-import cannot be run; is git installed?")?;
    let mut pipe = BufWriter::new(git.stdin.take().context("git fast-import has no stdin")?);
    write!(
        pipe,
        "commit refs/heads/{}\ncommitter seed <seed@example.com> now\ndata 5\nSeed\n\n",
        repo.branch
    )?;
    for (path, content) in files {
        write!(pipe, "M 100644 inline {path}\ndata {}\n{content}\n", content.len())?;
    }
    pipe.flush()?;
    drop(pipe);
    ensure!(git.wait()?.success(), "git fast-import refused the files");
    Ok(())
}

/// Runs git in a folder, apart from the machine's own configuration and without upkeep in the background.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=alice",
            "-c",
            "user.email=alice@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The branch's tip as the worker knows it; asked at the remote when it is not known yet.
pub(crate) async fn tip(repository: &Repository) -> Result<CommitId> {
    match repository.cached_tip() {
        Some(tip) => Ok(tip.commit),
        None => Ok(repository.refresh(Duration::ZERO).await?.commit),
    }
}

/// A change of one shared file, resolved against the tip, as the intake leaves it.
pub(crate) async fn change(repository: &Repository, part: usize, value: &str) -> Result<ChangeSet> {
    let wish = RequestedChange {
        path: shared_path(part).parse()?,
        edit: Edit::Write {
            bytes: manifest("changed", value).into_bytes(),
            exec: None,
        },
    };
    Ok(repository.resolve(tip(repository).await?, vec![wish]).await?)
}

/// A commit to be built.
pub(crate) fn commit(change: ChangeSet, subject: &str) -> Result<CommitSpec> {
    let time = domain::Timestamp::from_timestamp(1_800_000_000, 0).context("a time")?;
    Ok(CommitSpec {
        change,
        message: format!("{subject}\n\nProposal-Id: prp_019000000000700080000000000000ab\nTier: prompted\n"),
        time,
    })
}

/// Builds the commits on the tip and pushes them; the push must be confirmed by the remote's own ref.
pub(crate) async fn deliver(repository: &Repository, commits: &[CommitSpec]) -> Result<()> {
    let tip = tip(repository).await?;
    let built = repository.build(tip, commits).await?;
    let outcome = repository.push(&built, tip).await;
    ensure!(
        outcome == gitworker::PushOutcome::Confirmed,
        "a push was not confirmed: {outcome:?}"
    );
    Ok(())
}
