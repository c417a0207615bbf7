//! Git without a work tree: mirror, commits built in memory, exact packs, path-wise rebase, ancestry.
//!
//! The cost of every operation follows what a change touches, never the size of the repository: the mirror is bare and
//! disposable, trees are edited along the changed paths only, new objects live in memory and travel in a pack of exactly
//! those objects, and a push is one compare-and-swap of one ref. What a remote says in words is shown to people and never
//! decides anything: after a doubtful answer the remote's ref is read and object ids decide.
//!
//! [`Repository`] is the only door. Its methods are safe to call again after any crash.

mod build;
mod cli;
mod diff;
mod error;
mod folder;
mod history;
mod merge;
mod mirror;
mod options;
mod patch;
mod protocol;
mod push;
mod repository;
mod resolve;
mod reverts;
mod sanitize;
mod since;
mod transport;
mod tree;
mod types;
mod usable;

pub use build::check_signing_key;
pub use diff::plain_diff;
pub use error::{BuildError, DiffError, GitError, Refusal, ResolveError};
pub use folder::{Folder, FolderFile, FolderQuery};
pub use options::{Credentials, Deadlines, Identity, RemoteUrl, RepositoryOptions, SecretFile, SecretSource};
pub use patch::diff_paths;
pub use repository::Repository;
pub use reverts::{Undoing, Undone};
pub use types::{
    Ancestry, Built, BuiltCommit, CommitInfo, CommitSpec, Edit, Entry, FileStats, Inverse, Known, Located, Manual, NewCommit, Person,
    PushOutcome, Rebase, RequestedChange, Since, Standing, Tip, Touch, UnifiedDiff,
};
