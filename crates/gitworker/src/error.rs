//! What can go wrong, in the cases that callers tell apart. No message carries a credential.

use std::path::PathBuf;

use domain::{CommitId, RepoPath};

/// A step on the mirror or towards the remote failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The commit is not in the mirror; after a refresh it is not on the branch either.
    #[error("commit {0} is unknown in this repository; refresh, or name a commit of the configured branch")]
    UnknownCommit(CommitId),
    /// The remote has no such branch.
    #[error("{remote} has no branch {branch:?}; create it or correct the configured branch")]
    BranchMissing {
        /// The remote, without credentials.
        remote: String,
        /// The configured branch.
        branch: String,
    },
    /// There is no mirror yet: it is being made for the first time.
    #[error("{remote} is being cloned for the first time and cannot be used before that is done; this is tried again")]
    Cloning {
        /// The remote, without credentials.
        remote: String,
    },
    /// The remote could not be reached or broke off; worth trying again.
    #[error("{remote} cannot be reached: {detail}; this is tried again")]
    Unreachable {
        /// The remote, without credentials.
        remote: String,
        /// What happened.
        detail: String,
    },
    /// No connection came about for a push: the remote has heard nothing of it. Worth trying again.
    #[error("{remote} cannot be reached: {detail}; nothing was sent, and this is tried again")]
    NotSent {
        /// The remote, without credentials.
        remote: String,
        /// What happened.
        detail: String,
    },
    /// A step met its deadline; worth trying again.
    #[error("{step} with {remote} took longer than {seconds} s; this is tried again")]
    Deadline {
        /// The remote, without credentials.
        remote: String,
        /// The step that was cut off.
        step: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// The remote refused the credentials, or they lack a right.
    #[error("{remote} refuses access: {detail}; check the credentials and their rights")]
    Denied {
        /// The remote, without credentials.
        remote: String,
        /// The remote's answer.
        detail: String,
    },
    /// The host does not show a pinned key: no credentials were offered.
    #[error(
        "{remote} shows a host key that is not among the trusted ones; make sure that it is the right host, then correct known_hosts_file"
    )]
    HostKey {
        /// The remote, without credentials.
        remote: String,
    },
    /// The remote answered something that is not the git protocol, or more than it may.
    #[error("{remote} gave an unexpected answer: {detail}; check that the URL names a git repository")]
    Protocol {
        /// The remote, without credentials.
        remote: String,
        /// What was unexpected.
        detail: String,
    },
    /// The remote uses SHA-256 object ids.
    #[error("{remote} uses SHA-256 object ids, which are not supported; use a SHA-1 repository")]
    Sha256Remote {
        /// The remote, without credentials.
        remote: String,
    },
    /// The configuration is wrong: an URL, a key, a secret file.
    #[error("{0}")]
    Config(String),
    /// The mirror is damaged or cannot be used. It is cloned anew by itself; the error is seen when that failed too.
    #[error("the mirror {} cannot be used: {detail}; it is a cache and may be deleted", path.display())]
    Mirror {
        /// Where the mirror lies.
        path: PathBuf,
        /// What libgit2 or git said.
        detail: String,
    },
    /// The `git` program failed in a way that is none of the above.
    #[error("git {step} failed: {detail}")]
    Command {
        /// The subcommand.
        step: &'static str,
        /// The last lines it wrote.
        detail: String,
    },
    /// A program that this one needs cannot be started.
    #[error("{program} cannot be started: {why}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the operating system said.
        why: String,
    },
    /// A defect in this program: a blocking task ended without a result.
    #[error("a git task ended without a result: {0}")]
    Internal(String),
}

impl GitError {
    /// Whether the same call may succeed later without anybody changing something.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Cloning { .. }
                | Self::Unreachable { .. }
                | Self::NotSent { .. }
                | Self::Deadline { .. }
                | Self::Mirror { .. }
                | Self::Command { .. }
                | Self::Program { .. }
        )
    }
}

/// What a libgit2 call said. Callers handle the expected "not found" themselves, so what arrives here is a fault of the mirror,
/// whose path is filled in where the step ran.
impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> Self {
        Self::Mirror {
            path: PathBuf::new(),
            detail: error.message().to_owned(),
        }
    }
}

/// An error that may stem from a damaged mirror: such a call is repeated once the mirror is whole again.
pub(crate) trait MirrorFault: From<GitError> + Send + 'static {
    /// The mirror's fault that this is: its path, to be filled in, and what was said.
    fn mirror_fault(&mut self) -> Option<(&mut PathBuf, &str)>;
}

impl MirrorFault for GitError {
    fn mirror_fault(&mut self) -> Option<(&mut PathBuf, &str)> {
        match self {
            Self::Mirror { path, detail } => Some((path, detail)),
            _ => None,
        }
    }
}

/// One requested change that cannot be resolved against the base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("change {index}: {path}: {problem}")]
pub struct Refusal {
    /// Position in the request, from 0.
    pub index: usize,
    /// The path it names.
    pub path: RepoPath,
    /// What is wrong and what to do instead.
    pub problem: String,
    /// What stands there already, file or directory, when the name is all but the same: not everybody may learn of it.
    pub twin: Option<String>,
}

/// A request could not be resolved to a change set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The request breaks a rule; every offending change is listed, in request order.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// The base could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A diff could not be applied exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// The diff breaks a rule or does not fit the base.
    #[error("diff line {line}{}: {problem}", path.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
    Refused {
        /// Line of the diff, from 1.
        line: usize,
        /// The file it is about, where that is known.
        path: Option<String>,
        /// What is wrong and what to do instead.
        problem: String,
    },
    /// It names a path that can never be proposed.
    #[error("diff line {line}: {problem}")]
    Path {
        /// Line of the diff, from 1.
        line: usize,
        /// What is wrong with the path.
        problem: String,
    },
    /// The base could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Commits could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The old side of a change does not stand in the parent's tree: rebase first.
    #[error("commit {index}: {path} is not what the change was made against; rebase it onto the tip")]
    Stale {
        /// Which of the commits, from 0.
        index: usize,
        /// The first path that differs.
        path: RepoPath,
    },
    /// The change touches nothing.
    #[error("commit {index} would change nothing")]
    Empty {
        /// Which of the commits, from 0.
        index: usize,
    },
    /// The commit cannot be written: a message with NUL, a signing key that cannot be used.
    #[error("commit {index} cannot be written: {problem}")]
    Unwritable {
        /// Which of the commits, from 0.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The mirror or the parent could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

macro_rules! mirror_fault {
    ($t:ident) => {
        impl MirrorFault for $t {
            fn mirror_fault(&mut self) -> Option<(&mut PathBuf, &str)> {
                match self {
                    Self::Git(error) => error.mirror_fault(),
                    _ => None,
                }
            }
        }

        impl From<git2::Error> for $t {
            fn from(error: git2::Error) -> Self {
                Self::Git(error.into())
            }
        }
    };
}
mirror_fault!(ResolveError);
mirror_fault!(DiffError);
mirror_fault!(BuildError);
