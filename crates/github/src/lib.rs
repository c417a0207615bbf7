//! GitHub pull requests for the manual tier: opened, described, watched and closed, never merged.
//!
//! A human merges; this crate has no code path that does, and needs no right to. [`GitHub`] is one repository on
//! github.com or on an Enterprise server, reached through octocrab. Every call has a total deadline and answers with an
//! [`Error`] that says what to do next; none retries by itself, because the caller's outbox does.

mod client;
mod error;
mod wire;

pub use client::{BODY_CHARS_MAX, GitHub, GitHubOptions, InvalidOptions, TITLE_CHARS_MAX};
pub use error::Error;

use chrono::{DateTime, Utc};

/// A pull request as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Number within the repository.
    pub number: u64,
    /// Address for people.
    pub html_url: String,
    /// Where it stands.
    pub state: PullState,
    /// Full hex id of the commit that the head branch names; after the end, the last one it named.
    pub head_sha: String,
}

/// Where a pull request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullState {
    /// Waiting for a human.
    Open,
    /// Merged by a human.
    Merged {
        /// Full hex id of the commit that the merge left on the base branch: the merge commit, the squashed commit, or
        /// the last rebased one. `None` where GitHub does not name it.
        merge_commit: Option<String>,
        /// Login of the human; `None` for a deleted account.
        merged_by: Option<String>,
        /// When.
        merged_at: DateTime<Utc>,
    },
    /// Closed without a merge.
    Closed,
}

/// A pull request to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPull {
    /// Branch with the change, already pushed to the same repository.
    pub head: String,
    /// Branch that the change is for.
    pub base: String,
    /// At most [`TITLE_CHARS_MAX`] characters.
    pub title: String,
    /// Markdown, at most [`BODY_CHARS_MAX`] characters.
    pub body: String,
}

/// What a poll found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing has changed since the ETag; the poll cost nothing of the rate limit.
    NotModified,
    /// The pull request as it is now.
    Changed {
        /// The pull request.
        pull: Pull,
        /// To be sent with the next poll; `None` where the server sends none.
        etag: Option<String>,
    },
}
