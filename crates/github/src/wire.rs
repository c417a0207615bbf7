//! The few fields of GitHub's answers that are read.
//!
//! Own types instead of octocrab's models: those demand fields that Enterprise servers of other ages leave out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Pull, PullState};

/// A pull request, from a list or alone.
#[derive(Debug, Deserialize)]
pub(crate) struct WirePull {
    pub number: u64,
    pub html_url: String,
    pub state: String,
    pub head: WireHead,
    #[serde(default)]
    pub merged_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub merge_commit_sha: Option<String>,
    #[serde(default)]
    pub merged_by: Option<WireUser>,
}

/// The side with the change.
#[derive(Debug, Deserialize)]
pub(crate) struct WireHead {
    #[serde(rename = "ref")]
    pub branch: String,
    pub sha: String,
    /// Absent when the fork was deleted.
    #[serde(default)]
    pub repo: Option<WireRepo>,
}

/// A repository.
#[derive(Debug, Deserialize)]
pub(crate) struct WireRepo {
    pub full_name: String,
}

/// A user.
#[derive(Debug, Deserialize)]
pub(crate) struct WireUser {
    pub login: String,
}

/// Body of `POST …/pulls`.
#[derive(Debug, Serialize)]
pub(crate) struct Create<'a> {
    pub title: &'a str,
    pub head: &'a str,
    pub base: &'a str,
    pub body: &'a str,
    pub maintainer_can_modify: bool,
}

/// Body of `PATCH …/pulls/{number}`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Update<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
}

/// Body of `POST …/issues/{number}/comments`.
#[derive(Debug, Serialize)]
pub(crate) struct Comment<'a> {
    pub body: &'a str,
}

/// Query of `GET …/pulls`.
#[derive(Debug, Serialize)]
pub(crate) struct List<'a> {
    pub head: &'a str,
    pub state: &'a str,
    pub per_page: u8,
}

impl From<WirePull> for Pull {
    fn from(wire: WirePull) -> Pull {
        // An open pull request has a merge commit too, of a trial merge: only `merged_at` says that it happened.
        let state = match (wire.merged_at, wire.state.as_str()) {
            (Some(merged_at), _) => PullState::Merged {
                merge_commit: wire.merge_commit_sha,
                merged_by: wire.merged_by.map(|user| user.login),
                merged_at,
            },
            (None, "open") => PullState::Open,
            (None, _) => PullState::Closed,
        };
        Pull {
            number: wire.number,
            html_url: wire.html_url,
            state,
            head_sha: wire.head.sha,
        }
    }
}
