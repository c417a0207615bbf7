//! Starting a sync for a person who asked for it.
//!
//! The order carries the proposal's id as an `infos` entry, by which the operation is recognised afterwards as ours.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Call, Client, Error};
use crate::model::{AppRef, Application};
use crate::repo::Target;
use crate::verdict::{OPERATION_INFO, Verdict};

/// A sync to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOrder {
    /// The application.
    pub app: AppRef,
    /// Identifier that comes back in the operation's `infos`.
    pub proposal: String,
    /// Which revision.
    revision: Revision,
    /// Whether resources that left git are deleted: as the application's own policy says, since Argo CD does not inherit it.
    pub prune: bool,
}

/// Which revision to name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Revision {
    /// None: what the application follows. The only choice while automated sync is on.
    Followed,
    /// Exactly the approved commit.
    Exactly(String),
    /// The approved commit at these positions (from 1) of several sources.
    AtPositions(Vec<usize>, String),
}

/// Why a sync cannot be started for somebody now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSync {
    /// It is under way, done, or nothing that a sync would help.
    #[error("the application does not wait for a sync")]
    NotWaiting,
    /// An operation is running.
    #[error("the application is busy with another operation; try again when it has finished")]
    Busy,
    /// It is being deleted.
    #[error("the application is being deleted")]
    Deleting,
}

impl SyncOrder {
    /// The order for a person's Sync button, if pressing it helps: the verdict waits for a manual sync (or the automated one
    /// has stalled) and the application is free.
    ///
    /// # Errors
    /// Why it would not help.
    pub fn prepare(app: &Application, verdict: &Verdict, target: &Target, commit: &str, proposal: &str) -> Result<Self, CannotSync> {
        if !verdict.wants_manual_sync() {
            return Err(CannotSync::NotWaiting);
        }
        if app.metadata.deletion_timestamp.is_some() {
            return Err(CannotSync::Deleting);
        }
        if app.operating() {
            return Err(CannotSync::Busy);
        }
        let automated = app.automated();
        let revision = if automated.is_some() || app.spec.source_hydrator.is_some() {
            Revision::Followed
        } else if app.spec.sources.is_empty() {
            Revision::Exactly(commit.to_owned())
        } else {
            let tracked = app.spec.sources.iter().enumerate().filter(|(_, source)| target.tracks(source));
            Revision::AtPositions(tracked.map(|(position, _)| position + 1).collect(), commit.to_owned())
        };
        let prune = automated.is_some_and(|automated| automated.prune);
        Ok(Self {
            app: app.app_ref(),
            proposal: proposal.to_owned(),
            revision,
            prune,
        })
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "appNamespace": self.app.namespace,
            "project": self.app.project,
            "prune": self.prune,
            "infos": [{"name": OPERATION_INFO, "value": self.proposal}],
        });
        match &self.revision {
            Revision::Followed => {}
            Revision::Exactly(commit) => body["revision"] = commit.as_str().into(),
            Revision::AtPositions(positions, commit) => {
                body["sourcePositions"] = positions.iter().copied().collect();
                body["revisions"] = positions.iter().map(|_| commit.as_str()).collect();
            }
        }
        body
    }
}

impl Client {
    /// Starts a sync and returns the application with the operation in it.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::WindowClosed`], [`Error::AutoSyncMismatch`], [`Error::Forbidden`] and the others. After
    /// [`Error::Unavailable`] the sync may have started: look at the application before asking again.
    pub async fn sync(&self, order: &SyncOrder) -> Result<Application, Error> {
        let what = format!("sync of {}", order.app.key());
        let url = self.address(["api", "v1", "applications", order.app.name.as_str(), "sync"]);
        let call = Call {
            method: Method::POST,
            body: Some(order.body()),
            ..self.get_call(&what, url)
        };
        let answer = self.json(call).await?;
        super::calls::parse(&what, answer)
    }
}
