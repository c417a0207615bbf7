//! How a remote is asked and told: over HTTP, or over the pipes of a child (`ssh`, or `git receive-pack` itself for a local path).

mod http;
mod pipe;
pub(crate) mod ssh;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::CommitId;

use crate::options::Address;
use crate::protocol::{Garbled, Report, Update};
use crate::{GitError, RepositoryOptions, sanitize};

pub(crate) enum Transport {
    Http(http::Http),
    Pipe(pipe::Pipe),
}

impl Transport {
    pub(crate) fn new(options: &RepositoryOptions) -> Result<Self, GitError> {
        Ok(match &options.url.0 {
            Address::Http(url) => Self::Http(http::Http::new(options, url)?),
            Address::Ssh { .. } | Address::Local(_) => Self::Pipe(pipe::Pipe::new(options)?),
        })
    }

    /// The socket of the warm ssh connection.
    pub(crate) fn control(&self) -> Option<&std::path::Path> {
        match self {
            Self::Http(_) => None,
            Self::Pipe(pipe) => pipe.control(),
        }
    }

    /// Where a ref is; `None` when it does not exist.
    pub(crate) async fn tip(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        match self {
            Self::Http(http) => http.tip(reference).await,
            Self::Pipe(pipe) => pipe.tip(reference).await,
        }
    }

    /// Sends one update. Any error leaves open whether the remote executed it, except those that refuse it ([`GitError::Denied`]) and [`GitError::NotSent`].
    pub(crate) async fn send(&self, update: &Update) -> Result<Report, GitError> {
        match self {
            Self::Http(http) => http.send(update).await,
            Self::Pipe(pipe) => pipe.send(update).await,
        }
    }

    /// Asks for the advertisement that precedes a push.
    pub(crate) async fn can_push(&self) -> Result<(), GitError> {
        match self {
            Self::Http(http) => http.can_push().await,
            Self::Pipe(pipe) => pipe.can_push().await,
        }
    }
}

/// Cuts a step off at its deadline.
async fn within<T>(
    options: &RepositoryOptions,
    step: &'static str,
    deadline: Duration,
    work: impl Future<Output = Result<T, GitError>>,
) -> Result<T, GitError> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(GitError::Deadline {
            remote: options.url.to_string(),
            step,
            seconds: deadline.as_secs(),
        }),
    }
}

/// A push within its deadline. `begin` is told when the first byte of the command may leave: whatever breaks off before says for sure that the
/// remote has heard nothing of it.
async fn pushed<T, W>(options: &RepositoryOptions, work: impl FnOnce(Begin) -> W) -> Result<T, GitError>
where
    W: Future<Output = Result<T, GitError>>,
{
    let begin = Begin::default();
    let done = within(options, "pushing", options.deadlines.push, work(begin.clone())).await;
    done.map_err(|error| {
        if begin.0.load(Ordering::Relaxed) {
            error
        } else {
            not_sent(&options.url.to_string(), error)
        }
    })
}

/// Whether a push has begun.
#[derive(Clone, Default)]
struct Begin(Arc<AtomicBool>);

impl Begin {
    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What it means that a step before the push did not come about. What refuses for good stays what it is.
pub(crate) fn not_sent(remote: &str, error: GitError) -> GitError {
    match error {
        GitError::Unreachable { remote, detail } | GitError::Protocol { remote, detail } => GitError::NotSent { remote, detail },
        GitError::Deadline { remote, seconds, .. } => GitError::NotSent {
            remote,
            detail: format!("it has not answered within {seconds} s"),
        },
        error @ GitError::Program { .. } => GitError::NotSent {
            remote: remote.to_owned(),
            detail: error.to_string(),
        },
        other => other,
    }
}

/// A garbled answer as an error about this remote.
fn garbled(options: &RepositoryOptions, what: Garbled) -> GitError {
    let remote = options.url.to_string();
    match what {
        Garbled::Broken(detail) => GitError::Unreachable {
            remote,
            detail: format!("the connection broke off ({detail})"),
        },
        Garbled::Wrong(detail) => GitError::Protocol { remote, detail },
        Garbled::Said(raw) => GitError::Protocol {
            remote,
            detail: sanitize::text(&raw, &options.credentials.secrets()),
        },
        Garbled::Sha256 => GitError::Sha256Remote { remote },
    }
}
