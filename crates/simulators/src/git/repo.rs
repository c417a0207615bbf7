//! A bare repository on disk, and what other people do to it: seed it, push on top, force-push, delete, look inside.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use git2::{FileMode, Oid, Repository, RepositoryInitOptions, Signature, Time, Tree, build::TreeUpdateBuilder};

/// The branch that a new repository's `HEAD` names.
pub const DEFAULT_BRANCH: &str = "main";

/// One bare repository and the branch that the helpers work on.
///
/// Every helper opens the repository anew and works on it directly, without hooks, as somebody with a shell on the
/// git host could; what goes over HTTP is served by git itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareRepo {
    /// Folder of the bare repository; as a plain path it is also a usable remote.
    pub path: PathBuf,
    /// Address under which the git server has it; for a repository without server the path.
    pub url: String,
    /// Branch that the helpers read and write.
    pub branch: String,
}

/// One file's change in a commit of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces a file.
    Write {
        /// Path from the root of the repository.
        path: String,
        /// Whole new contents.
        contents: Vec<u8>,
        /// Mode 100755 instead of 100644.
        executable: bool,
    },
    /// Deletes a file.
    Delete {
        /// Path from the root of the repository.
        path: String,
    },
}

impl Change {
    /// Creates or replaces an ordinary file.
    pub fn write(path: &str, contents: impl AsRef<[u8]>) -> Change {
        Change::Write {
            path: path.to_owned(),
            contents: contents.as_ref().to_vec(),
            executable: false,
        }
    }

    /// Creates or replaces an executable file.
    pub fn executable(path: &str, contents: impl AsRef<[u8]>) -> Change {
        Change::Write {
            path: path.to_owned(),
            contents: contents.as_ref().to_vec(),
            executable: true,
        }
    }

    /// Deletes a file.
    pub fn delete(path: &str) -> Change {
        Change::Delete { path: path.to_owned() }
    }
}

/// A commit as `git log` would tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Full hex id.
    pub id: String,
    /// Full hex ids of the parents, first parent first.
    pub parents: Vec<String>,
    /// `Name <email>` of the author.
    pub author: String,
    /// `Name <email>` of the committer.
    pub committer: String,
    /// The whole message, trailers included.
    pub message: String,
    /// Commit time, seconds since 1970.
    pub time: i64,
}

/// What a path is in the tip's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Git mode, for example `0o100644`.
    pub mode: u32,
    /// Hex id of the blob (or of the tree, for a folder).
    pub id: String,
}

impl BareRepo {
    /// Creates a bare repository at `path` (missing parents included), without any server.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<BareRepo> {
        let path = path.into();
        let url = path.display().to_string();
        BareRepo::create_at(path, url)
    }

    pub(crate) fn create_at(path: PathBuf, url: String) -> io::Result<BareRepo> {
        let mut options = RepositoryInitOptions::new();
        options.bare(true).mkpath(true).no_reinit(true).initial_head(DEFAULT_BRANCH);
        let repository = Repository::init_opts(&path, &options).map_err(failed)?;
        let mut config = repository.config().map_err(failed)?;
        // As the big hosts have it: pushes over HTTP, partial clones, any reachable id; and no surprise repacking.
        for (key, value) in [
            ("http.receivepack", true),
            ("uploadpack.allowFilter", true),
            ("uploadpack.allowAnySHA1InWant", true),
            ("receive.autogc", false),
        ] {
            config.set_bool(key, value).map_err(failed)?;
        }
        config.set_i32("gc.auto", 0).map_err(failed)?;
        Ok(BareRepo {
            path,
            url,
            branch: DEFAULT_BRANCH.to_owned(),
        })
    }

    /// The same repository with the helpers working on another branch.
    pub fn on(&self, branch: &str) -> BareRepo {
        BareRepo {
            branch: branch.to_owned(),
            ..self.clone()
        }
    }

    /// First commit of the branch: `(path, contents, executable)` each. Returns its full hex id.
    ///
    /// Goes through `git fast-import`, so that a hundred thousand files are a matter of seconds. Fails if the branch
    /// already exists.
    pub fn seed<P: AsRef<str>, C: AsRef<[u8]>>(&self, files: &[(P, C, bool)]) -> io::Result<String> {
        if self.tip().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("branch {} exists already", self.branch),
            ));
        }
        let mut import = Command::new("git")
            .args([
                "-c",
                "core.compression=1",
                "fast-import",
                "--quiet",
                "--date-format=now",
                "--depth=0",
            ])
            .env("GIT_DIR", &self.path)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = import
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("git fast-import has no stdin"))?;
        let written = self.write_import(BufWriter::new(pipe), files);
        let status = import.wait()?;
        written?;
        match (status.success(), self.tip()) {
            (true, Some(tip)) => Ok(tip),
            _ => Err(io::Error::other("git fast-import refused the files; are the paths plain?")),
        }
    }

    fn write_import<P: AsRef<str>, C: AsRef<[u8]>>(&self, mut pipe: impl Write, files: &[(P, C, bool)]) -> io::Result<()> {
        write!(
            pipe,
            "commit {}\ncommitter seed <seed@example.com> now\ndata 20\nSeed the repository\n",
            self.reference()
        )?;
        for (path, contents, executable) in files {
            let (path, contents) = (path.as_ref(), contents.as_ref());
            let mode = if *executable { "100755" } else { "100644" };
            write!(pipe, "M {mode} inline {}\ndata {}\n", import_path(path), contents.len())?;
            pipe.write_all(contents)?;
            pipe.write_all(b"\n")?;
        }
        pipe.flush()
    }

    /// A foreign push: one commit on top of the tip. `author` is `Name <email>` or a bare name. Returns its full hex id.
    pub fn commit_on_top(&self, changes: &[Change], message: &str, author: &str) -> io::Result<String> {
        let repository = self.open()?;
        let tip = self.tip_oid(&repository)?;
        let parent = repository.find_commit(tip).map_err(failed)?;
        let tree = changed_tree(&repository, &parent.tree().map_err(failed)?, changes)?;
        let commit = write_commit(&repository, &signature(author)?, message, tree, &[tip])?;
        repository
            .reference_matching(&self.reference(), commit, true, tip, "push")
            .map_err(failed)?;
        Ok(commit.to_string())
    }

    /// A commit of the given tree state that no branch names: on top of `parent`, for pull requests and rewrites.
    pub fn loose_commit(&self, parent: &str, changes: &[Change], message: &str, author: &str) -> io::Result<String> {
        let repository = self.open()?;
        let parent = repository.find_commit(oid(parent)?).map_err(failed)?;
        let tree = changed_tree(&repository, &parent.tree().map_err(failed)?, changes)?;
        let commit = write_commit(&repository, &signature(author)?, message, tree, &[parent.id()])?;
        Ok(commit.to_string())
    }

    /// Points the branch at any commit in the repository, forwards, backwards or aside; creates it where missing.
    pub fn force_push(&self, commit: &str) -> io::Result<()> {
        let repository = self.open()?;
        repository
            .reference(&self.reference(), oid(commit)?, true, "forced update")
            .map_err(failed)?;
        Ok(())
    }

    /// Deletes the branch.
    pub fn delete_branch(&self) -> io::Result<()> {
        let repository = self.open()?;
        repository
            .find_reference(&self.reference())
            .and_then(|mut branch| branch.delete())
            .map_err(failed)
    }

    /// Full hex id of the branch's tip; `None` when there is no such branch.
    pub fn tip(&self) -> Option<String> {
        let repository = self.open().ok()?;
        self.tip_oid(&repository).ok().map(|tip| tip.to_string())
    }

    /// The newest `count` commits reachable from the tip, newest first; empty when there is no such branch.
    pub fn log(&self, count: usize) -> Vec<CommitInfo> {
        self.try_log(count).unwrap_or_default()
    }

    /// All branches, by name.
    pub fn branches(&self) -> Vec<String> {
        let names = |repository: &Repository| -> Result<Vec<String>, git2::Error> {
            let mut names = Vec::new();
            for reference in repository.references_glob("refs/heads/*")? {
                names.push(reference?.shorthand()?.to_owned());
            }
            names.sort();
            Ok(names)
        };
        self.open().ok().and_then(|repository| names(&repository).ok()).unwrap_or_default()
    }

    /// Contents of a file at the tip; `None` when it is not there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.read_at(&self.tip()?, path)
    }

    /// Contents of a file at a commit; `None` when it is not there.
    pub fn read_at(&self, commit: &str, path: &str) -> Option<Vec<u8>> {
        let repository = self.open().ok()?;
        let tree = repository.find_commit(oid(commit).ok()?).ok()?.tree().ok()?;
        let entry = tree.get_path(Path::new(path)).ok()?;
        let blob = repository.find_blob(entry.id()).ok()?;
        Some(blob.content().to_vec())
    }

    /// Mode and id of a path at the tip; `None` when it is not there.
    pub fn tree_entry(&self, path: &str) -> Option<TreeEntry> {
        let repository = self.open().ok()?;
        let tip = self.tip_oid(&repository).ok()?;
        let tree = repository.find_commit(tip).ok()?.tree().ok()?;
        let entry = tree.get_path(Path::new(path)).ok()?;
        Some(TreeEntry {
            mode: entry.filemode().cast_unsigned(),
            id: entry.id().to_string(),
        })
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors; false for unknown commits.
    pub fn contains(&self, descendant: &str, ancestor: &str) -> bool {
        let known = || -> io::Result<bool> {
            let (descendant, ancestor) = (oid(descendant)?, oid(ancestor)?);
            let repository = self.open()?;
            Ok(descendant == ancestor || repository.graph_descendant_of(descendant, ancestor).map_err(failed)?)
        };
        known().unwrap_or(false)
    }

    /// Unified diff of a commit against its first parent, as `git show` prints it.
    pub fn diff(&self, commit: &str) -> io::Result<String> {
        let repository = self.open()?;
        let commit = repository.find_commit(oid(commit)?).map_err(failed)?;
        let old = commit.parent(0).and_then(|parent| parent.tree()).ok();
        let new = commit.tree().map_err(failed)?;
        let diff = repository.diff_tree_to_tree(old.as_ref(), Some(&new), None).map_err(failed)?;
        let mut text = String::new();
        diff.print(git2::DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin());
            }
            text.push_str(&String::from_utf8_lossy(line.content()));
            true
        })
        .map_err(failed)?;
        Ok(text)
    }

    /// Installs an executable hook (`pre-receive`, `update`, `post-receive`); `script` is the whole file, `#!` line
    /// included. What it prints reaches the pusher, as with any git host.
    pub fn install_hook(&self, name: &str, script: &str) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.path.join("hooks");
        fs::create_dir_all(&folder)?;
        // Written aside and renamed, so that a push at the same moment never runs half a script.
        let (draft, hook) = (folder.join(format!("{name}.draft")), folder.join(name));
        fs::write(&draft, script)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
        fs::rename(draft, hook)
    }

    /// Removes a hook; nothing happens when there is none.
    pub fn remove_hook(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join("hooks").join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn open(&self) -> io::Result<Repository> {
        Repository::open_bare(&self.path).map_err(failed)
    }

    pub(crate) fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn tip_oid(&self, repository: &Repository) -> io::Result<Oid> {
        repository.refname_to_id(&self.reference()).map_err(failed)
    }

    fn try_log(&self, count: usize) -> io::Result<Vec<CommitInfo>> {
        let repository = self.open()?;
        let mut walk = repository.revwalk().map_err(failed)?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL).map_err(failed)?;
        walk.push(self.tip_oid(&repository)?).map_err(failed)?;
        walk.take(count)
            .map(|id| {
                let commit = id.and_then(|id| repository.find_commit(id)).map_err(failed)?;
                Ok(CommitInfo {
                    id: commit.id().to_string(),
                    parents: commit.parent_ids().map(|id| id.to_string()).collect(),
                    author: commit.author().to_string(),
                    committer: commit.committer().to_string(),
                    message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
                    time: commit.time().seconds(),
                })
            })
            .collect()
    }
}

/// A path in the words of fast-import, which needs quotes only where a line would be misread.
fn import_path(path: &str) -> String {
    if !path.starts_with('"') && !path.contains('\n') {
        return path.to_owned();
    }
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// `Name <email>` or a bare name, at the present time.
pub(crate) fn signature(author: &str) -> io::Result<Signature<'static>> {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed());
    let (name, email) = match author.split_once('<') {
        Some((name, email)) => (name.trim().to_owned(), email.trim_end_matches('>').trim().to_owned()),
        None => (
            author.to_owned(),
            format!("{}@example.com", author.replace(' ', ".").to_lowercase()),
        ),
    };
    Signature::new(&name, &email, &Time::new(seconds, 0)).map_err(failed)
}

pub(crate) fn write_commit(repository: &Repository, author: &Signature<'_>, message: &str, tree: Oid, parents: &[Oid]) -> io::Result<Oid> {
    let tree = repository.find_tree(tree).map_err(failed)?;
    let parents: Vec<_> = parents
        .iter()
        .map(|id| repository.find_commit(*id))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let parents: Vec<_> = parents.iter().collect();
    repository.commit(None, author, author, message, &tree, &parents).map_err(failed)
}

pub(crate) fn oid(hex: &str) -> io::Result<Oid> {
    Oid::from_str(hex).map_err(failed)
}

pub(crate) fn failed(error: git2::Error) -> io::Error {
    io::Error::other(error)
}

fn changed_tree(repository: &Repository, base: &Tree<'_>, changes: &[Change]) -> io::Result<Oid> {
    let mut update = TreeUpdateBuilder::new();
    for change in changes {
        match change {
            Change::Write {
                path,
                contents,
                executable,
            } => {
                let blob = repository.blob(contents).map_err(failed)?;
                let mode = if *executable { FileMode::BlobExecutable } else { FileMode::Blob };
                update.upsert(path.as_str(), blob, mode);
            }
            Change::Delete { path } => {
                update.remove(path.as_str());
            }
        }
    }
    update.create_updated(repository, base).map_err(failed)
}
