//! What goes in and comes out of [`Repository`](crate::Repository): plain data.

use std::sync::Arc;

use domain::{ChangeSet, CommitId, FileVersion, RepoPath, Sha256Hash, Timestamp};

/// The branch's newest commit, and when the remote was last asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The commit. It is in the mirror.
    pub commit: CommitId,
    /// When the remote said so.
    pub at: Timestamp,
}

/// Whether one commit is reachable from another. A commit is its own ancestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// One of the two is not in the mirror.
    Unknown,
}

/// What the mirror knows of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is on the branch.
    OnBranch,
    /// It exists, but the branch does not contain it.
    OffBranch,
    /// It is not in the mirror.
    Unknown,
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nothing, or something below a name that is not a directory.
    Absent,
    /// A regular file.
    File {
        /// Mode and blob.
        version: FileVersion,
        /// Its content.
        bytes: Vec<u8>,
        /// Its size in bytes.
        size: u64,
    },
    /// A directory (`040000`), symlink (`120000`), submodule (`160000`) or an odd mode: nothing a proposal may touch.
    Other {
        /// git's number for the mode.
        mode: u32,
    },
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::File { version, size, .. } => write!(f, "File({:?} {} {size} bytes)", version.mode, version.blob),
            Self::Other { mode } => write!(f, "Other({mode:06o})"),
        }
    }
}

/// One wish of an agent, not yet looked at against a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedChange {
    /// Where.
    pub path: RepoPath,
    /// What.
    pub edit: Edit,
}

/// What shall happen to a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit {
    /// The file shall have this content.
    Write {
        /// The full content.
        bytes: Vec<u8>,
        /// The executable bit; `None` keeps that of an existing file, and gives a new file none.
        exec: Option<bool>,
    },
    /// The file shall be gone. It must exist.
    Delete,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write { bytes, exec } => write!(f, "Write({} bytes, exec {exec:?})", bytes.len()),
            Self::Delete => f.write_str("Delete"),
        }
    }
}

/// A commit that touched given paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The commit.
    pub id: CommitId,
    /// Its author's name, as written by the author: untrusted text.
    pub author: String,
    /// Its first line: untrusted text.
    pub summary: String,
    /// When it was committed.
    pub time: Timestamp,
}

/// A commit that came to the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// The commit.
    pub id: CommitId,
    /// The branch's own commit that brought it: itself, or a merge.
    pub brought_by: CommitId,
    /// Its author's name: untrusted text.
    pub author: String,
    /// Its first line: untrusted text.
    pub summary: String,
    /// When it was committed, as it says.
    pub time: Timestamp,
    /// The paths it changes against all of its parents; at most 1,000.
    pub paths: Vec<String>,
    /// There are more than those.
    pub paths_cut: bool,
    /// The proposals that its message names.
    pub named: Vec<String>,
}

/// What came to a branch, as far as one step goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The commits that change something of their own, parents first.
    pub commits: Vec<NewCommit>,
    /// From where the next step goes on: the end, or the heads of all that was looked at.
    pub reached: Vec<CommitId>,
    /// How many commits are left for the next step.
    pub left: usize,
}

/// What became of a change when the branch moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebase {
    /// No touched path changed: the same change, digest and approval stand on the tip.
    Untouched,
    /// Touched files changed and merged cleanly; the result is a change against the tip, to be approved anew.
    Merged(ChangeSet),
    /// The branch already has everything that was proposed.
    AlreadyThere,
    /// These paths do not merge.
    Conflict {
        /// In byte order.
        paths: Vec<RepoPath>,
    },
}

/// The change that takes a commit back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inverse {
    /// Against the tip.
    Change(ChangeSet),
    /// What the commit did is no longer on the branch.
    NothingLeft,
    /// The commit cannot be taken back on its own.
    Conflict {
        /// The paths that do not merge, in byte order.
        paths: Vec<RepoPath>,
        /// The commits after it that touched them, newest first, at most 20.
        between: Vec<Touch>,
    },
    /// The commit touches something that a proposal may not (a symlink, a submodule, a reserved name), or too much.
    Unsupported {
        /// What it touches.
        why: String,
    },
}

/// One commit to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSpec {
    /// What it changes, against its parent.
    pub change: ChangeSet,
    /// The full message. A final newline is added when it is missing.
    pub message: String,
    /// Author and committer time; whole seconds are used, in UTC.
    pub time: Timestamp,
}

/// Commits that exist in memory and in the pack, not yet anywhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Built {
    /// What the first commit stands on.
    pub parent: CommitId,
    /// The commits, each the parent of the next. Never empty.
    pub commits: Vec<BuiltCommit>,
    /// A pack of exactly the new objects.
    pub pack: Arc<[u8]>,
}

impl Built {
    /// The last commit: what the branch shall point to.
    pub fn tip(&self) -> CommitId {
        self.commits.last().map_or(self.parent, |commit| commit.id)
    }
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Built({} + {:?}, pack of {} bytes)", self.parent, self.commits, self.pack.len())
    }
}

/// One built commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltCommit {
    /// Its id. The same inputs give the same id.
    pub id: CommitId,
    /// Its only parent.
    pub parent: CommitId,
    /// The digest of what its tree really changes, recomputed from the trees: compare it with the approved one.
    pub digest: Sha256Hash,
}

/// What became of a push. Decided by object ids alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The remote's ref was read back and contains the commits.
    Confirmed,
    /// The remote's ref is no longer the expected one and does not contain the commits.
    Moved {
        /// Where it is now; `None` when the branch is gone.
        tip: Option<CommitId>,
    },
    /// The remote's ref is still the expected one and the remote said no.
    Refused {
        /// What the remote or its hook said: untrusted text, made printable and cut.
        message: String,
    },
    /// The remote was not reached: it has heard nothing of it.
    NotSent {
        /// Why.
        why: String,
    },
    /// Nobody can tell yet: the command may still be executed. Pushing the same commits again is safe; so is `locate`.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Where a delivery's commit was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// This candidate is on the branch.
    Landed(CommitId),
    /// Another commit on the branch carries the proposal's trailer.
    LandedAs(CommitId),
    /// Neither is on the branch.
    NotLanded {
        /// The branch's tip that was searched.
        tip: CommitId,
    },
}

/// What became of a change that a human commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manual {
    /// Nothing yet.
    NotYet,
    /// The branch holds all proposed blobs and modes; this commit brought the last of them.
    AsProposed(Box<CommitInfo>),
    /// This commit touched the files and has the proposal's trailer, or brought all of it; the branch holds other blobs or modes.
    WithEdits(Box<CommitInfo>),
    /// The same, but the branch holds the files as they were before the change.
    Undone {
        /// The commit that brought it, or had its trailer.
        brought: Box<CommitInfo>,
        /// The last commit that touched the files.
        undone: Box<CommitInfo>,
    },
    /// The touched files changed otherwise, by this commit.
    Diverged(Box<CommitInfo>),
}

/// How a change compares with the tree of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Every path is as the change wants it.
    AsProposed,
    /// Every path is as it was before the change.
    AsBefore,
    /// Neither.
    Otherwise {
        /// The paths that are not as the change wants them.
        paths: Vec<RepoPath>,
    },
}

/// Who, as git records it: untrusted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// When.
    pub time: Timestamp,
}

/// A commit, as far as people and checks need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub id: CommitId,
    /// Its parents; the first is what its changes are measured against.
    pub parents: Vec<CommitId>,
    /// Its author.
    pub author: Person,
    /// Its committer.
    pub committer: Person,
    /// The whole message: untrusted text.
    pub message: String,
    /// `Key: value` lines of the message's last paragraph, in order.
    pub trailers: Vec<(String, String)>,
    /// The paths that differ from the first parent, in byte order, at most 1,000; not UTF-8 is shown with replacement characters.
    pub paths: Vec<String>,
    /// Whether there were more paths than `paths` holds.
    pub paths_cut: bool,
    /// The same as a change set; `None` when it is cut or touches something that a proposal may not.
    pub change: Option<ChangeSet>,
}

/// A change as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedDiff {
    /// The whole diff with git headers. Binary files appear as size and SHA-256.
    pub text: String,
    /// Per file, in byte order of the paths.
    pub files: Vec<FileStats>,
}

impl UnifiedDiff {
    /// Added lines of all files.
    pub fn added(&self) -> usize {
        self.files.iter().map(|file| file.added).sum()
    }

    /// Removed lines of all files.
    pub fn removed(&self) -> usize {
        self.files.iter().map(|file| file.removed).sum()
    }
}

/// Line counts of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStats {
    /// The file.
    pub path: RepoPath,
    /// Lines added.
    pub added: usize,
    /// Lines removed.
    pub removed: usize,
    /// Whether either side is not text: then both counts are 0.
    pub binary: bool,
}
