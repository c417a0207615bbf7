//! Whether a repository can be used yet, and if not, why: no mirror was made so far, or the remote has no such branch.
//!
//! Both mend themselves. A repository is handed out before it can be used, so that a remote that is away holds up nobody but those who ask
//! for this repository, and they are told the reason.

use tokio::sync::watch;

use crate::mirror::branch_tip;
use crate::repository::{Repository, blocking};
use crate::transport::Transport;
use crate::{GitError, RepositoryOptions};

/// The reason why a repository cannot be used, if there is one. Seen by all clones.
pub(crate) struct Trouble(watch::Sender<Option<GitError>>);

impl Trouble {
    pub(crate) fn new(why: GitError) -> Self {
        Self(watch::Sender::new(Some(why)))
    }

    /// What stands in the way now.
    pub(crate) fn now(&self) -> Option<GitError> {
        self.0.borrow().clone()
    }

    /// `None`: it can be used.
    pub(crate) fn set(&self, why: Option<GitError>) {
        self.0.send_if_modified(|known| {
            let differs = *known != why;
            *known = why;
            differs
        });
    }
}

impl Repository {
    /// The repository before anything was looked at, on disk or elsewhere: call [`open_mirror`](Self::open_mirror) until it succeeds. Every
    /// other call says until then why it cannot be answered.
    ///
    /// # Errors
    /// [`GitError::Config`] for unusable options.
    pub async fn prepare(options: RepositoryOptions) -> Result<Self, GitError> {
        if let Some(key) = options.signing_key.clone() {
            blocking(move || crate::build::signing_key(&key).map(drop)).await?;
        }
        let transport = Transport::new(&options)?;
        Ok(Self::of(options, transport))
    }

    /// What stands in the way of using the repository, as far as is known without asking anybody: its mirror was never made, or the remote had
    /// no such branch when it was last asked. `None` also while the remote is away and there is a mirror.
    pub fn trouble(&self) -> Option<GitError> {
        self.inner.trouble.now()
    }

    /// Whether no mirror was ever made: nothing of the repository can be read yet.
    pub fn has_no_mirror(&self) -> bool {
        self.has_mirror().is_err()
    }

    /// Waits until there is [`trouble`](Self::trouble).
    pub async fn troubled(&self) {
        let mut trouble = self.inner.trouble.0.subscribe();
        // The sender lives as long as `self`.
        let _ = trouble.wait_for(Option::is_some).await;
    }

    /// [`GitError`] while no mirror was ever made: nothing can be read, and nobody but the opener clones.
    pub(crate) fn has_mirror(&self) -> Result<(), GitError> {
        match self.trouble() {
            Some(why) if !matches!(why, GitError::BranchMissing { .. }) => Err(why),
            Some(_) | None => Ok(()),
        }
    }

    /// The remote has no such branch.
    pub(crate) fn branch_missing(&self) -> GitError {
        let options = &self.inner.options;
        let why = GitError::BranchMissing {
            remote: options.url.to_string(),
            branch: options.branch.clone(),
        };
        self.inner.trouble.set(Some(why.clone()));
        why
    }

    /// What is left in the way once there is a mirror: it holds no branch, so the remote has none, or had none.
    pub(crate) async fn settle(&self) -> Result<(), GitError> {
        let inner = self.inner.clone();
        let reference = inner.options.reference();
        let tip = blocking(move || inner.mirror.with(false, &|repo| branch_tip(repo, &reference))).await?;
        if tip.is_some() {
            self.inner.trouble.set(None);
        } else {
            self.branch_missing();
        }
        Ok(())
    }
}
