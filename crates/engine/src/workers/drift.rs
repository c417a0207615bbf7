//! Drift from the one way in: commits on guarded paths that no proposal and no observation explains. Only what is new on the branch is
//! looked at, from where the last look ended.

use std::time::Duration;

use domain::{CommitId, Delivery, Effect, PathGlob, ProposalId, RepositoryName, Tier};
use gitworker::NewCommit;
use serde_json::json;
use store::{Actor, Audit, StoreError, Unexplained};
use tokio_util::sync::CancellationToken;

use super::messages::addressed;
use crate::{Engine, RepositorySetup};

/// How long a commit may wait for whoever explains it: agents report within ten minutes of their push.
pub(super) const EXPLAIN_SECONDS: i64 = 600;
/// Guarded paths kept of one commit.
const PATHS_MAX: usize = 50;
/// Longest subject and author kept, in characters.
const WORDS_MAX: usize = 120;
/// Commits on one list.
const LIST_MAX: u32 = 20;

/// What is known about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Explained {
    Yes,
    /// It names a change that people were asked to commit, whose landing is not settled.
    Perhaps,
    No,
}

impl Engine {
    /// Looks at a branch's new commits for as long as the service runs.
    pub(super) async fn watch_history(self, name: RepositoryName, cancel: CancellationToken) {
        let Some(setup) = self.repository(&name) else { return };
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(self.limits().landing_poll) => {}
            }
            if let Err(why) = self.look_for_reverts(setup, Some(self.limits().landing_poll)).await {
                tracing::warn!(repository = %setup.name, %why, "the branch could not be looked at for reverts; tried again");
            }
            // Without an alarm nobody waits: what other work has fetched is looked at, and `/unexplained` asks by itself.
            let age = setup.alarm_unexplained.then(|| self.limits().landing_poll);
            if let Err(why) = self.look_at_history(setup, age).await {
                tracing::warn!(repository = %setup.name, %why, "the branch's new commits could not be looked at; tried again");
            }
            if let Err(error) = self.settle_unexplained(setup).await {
                tracing::error!(repository = %setup.name, %error, "unexplained commits could not be settled; tried again");
            }
        }
    }

    /// Looks at what came to the branch since the last look; asks the remote when what is known is older than `age`.
    async fn look_at_history(&self, setup: &RepositorySetup, age: Option<Duration>) -> Result<(), String> {
        let tip = match age {
            Some(age) => Some(setup.git.refresh(age).await.map_err(|error| error.to_string())?.commit),
            None => setup.git.cached_tip().map(|tip| tip.commit),
        };
        let Some(tip) = tip else { return Ok(()) };
        let key = format!("explained_to:{}", setup.name);
        let known = self.store().read().meta(&key).await.map_err(|error| error.to_string())?;
        let from = known.and_then(|text| text.parse::<CommitId>().ok());
        if from == Some(tip) {
            return Ok(());
        }
        let found = match from {
            // The first look: what was there before has nothing to explain.
            None => Vec::new(),
            Some(from) => match setup.git.commits_since(from, tip).await {
                Ok(commits) => self.unexplained_of(setup, commits).await.map_err(|error| error.to_string())?,
                Err(gitworker::GitError::UnknownCommit { .. }) => {
                    tracing::warn!(repository = %setup.name, "the branch was rewritten: its commits are looked at from its new tip on");
                    Vec::new()
                }
                Err(error) => return Err(error.to_string()),
            },
        };
        let repository = setup.name.clone();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for commit in &found {
                        tx.put_unexplained(&repository, commit).await?;
                    }
                    tx.set_meta(&key, &tip.to_string()).await
                })
            })
            .await
            .map_err(|error| error.to_string())
    }

    async fn unexplained_of(&self, setup: &RepositorySetup, commits: Vec<NewCommit>) -> Result<Vec<Unexplained>, StoreError> {
        let (now, cut) = (self.now(), |text: &str| text.chars().take(WORDS_MAX).collect::<String>());
        let mut found = Vec::new();
        // Oldest first, so that the list's order is the branch's.
        for commit in commits.into_iter().rev() {
            let mut paths: Vec<String> = commit.paths.into_iter().filter(|path| self.is_guarded(setup, path)).collect();
            paths.truncate(PATHS_MAX);
            let candidate = Unexplained {
                row: 0,
                commit: commit.id,
                brought_by: commit.brought_by,
                author: cut(&commit.author),
                subject: cut(&commit.summary),
                paths,
                named: commit.named,
                committed_at: commit.time,
                found_at: now,
            };
            if !candidate.paths.is_empty() && self.how_explained(setup, &candidate).await? != Explained::Yes {
                found.push(candidate);
            }
        }
        Ok(found)
    }

    /// Whether changes of a path must have come through the service. A path that is none of ours to name is guarded.
    fn is_guarded(&self, setup: &RepositorySetup, path: &str) -> bool {
        let Ok(path) = path.parse() else { return true };
        if !setup.guarded_paths.is_empty() {
            return setup.guarded_paths.iter().any(|glob: &PathGlob| glob.matches(&path));
        }
        let policy = &self.book().policy;
        policy.is_reserved(&path) || policy.rule_for(&setup.name, &path).is_some()
    }

    async fn how_explained(&self, setup: &RepositorySetup, found: &Unexplained) -> Result<Explained, StoreError> {
        let read = self.store().read();
        let within = |proposal: &domain::Proposal| {
            let touched = &proposal.revision.facts.paths;
            found.paths.iter().all(|path| touched.iter().any(|known| known.as_str() == path))
        };
        // A person's merge of a prepared change brings its commits along. What people committed explains no more than the files it was
        // asked for: a name in a message is quickly written.
        for commit in [found.commit, found.brought_by] {
            let Some(id) = read.by_commit(&setup.name, commit).await? else {
                continue;
            };
            let by_us = |proposal: &domain::Proposal| commit == found.commit && proposal.tier() != Tier::Manual;
            if read
                .proposal(id)
                .await?
                .is_some_and(|proposal| by_us(&proposal) || within(&proposal))
            {
                return Ok(Explained::Yes);
            }
        }
        for id in found.named.iter().filter_map(|name| name.parse::<ProposalId>().ok()) {
            let Some(proposal) = read.proposal(id).await?.filter(|proposal| proposal.repository == setup.name) else {
                continue;
            };
            if proposal.attempts.iter().any(|attempt| attempt.commit == found.commit) {
                return Ok(Explained::Yes);
            }
            if proposal.tier() == Tier::Manual && proposal.delivery == Delivery::AwaitingCommit && within(&proposal) {
                return Ok(Explained::Perhaps);
            }
        }
        Ok(Explained::No)
    }

    /// What nobody has explained in time is told once, where that is wanted.
    async fn settle_unexplained(&self, setup: &RepositorySetup) -> Result<(), StoreError> {
        let now = self.now();
        let due = now - chrono::Duration::seconds(EXPLAIN_SECONDS);
        for found in self.store().read().unsettled(&setup.name, due).await? {
            match self.how_explained(setup, &found).await? {
                Explained::Perhaps => {}
                Explained::Yes => {
                    self.store()
                        .write(move |tx| Box::pin(async move { tx.drop_unexplained(found.row).await }))
                        .await?;
                }
                Explained::No => {
                    let (repository, alarms) = (setup.name.clone(), setup.alarm_unexplained);
                    let text = format!(
                        "commit {} by {} changes {} and no proposal explains it: {}. /unexplained lists all",
                        found.commit.short(),
                        found.author,
                        few(&found.paths),
                        found.subject
                    );
                    self.store()
                        .write(move |tx| {
                            Box::pin(async move {
                                if !tx.settle_unexplained(found.row).await? || !alarms {
                                    return Ok::<_, StoreError>(());
                                }
                                tx.audit(Audit {
                                    proposal: None,
                                    actor: Actor::Service,
                                    event: "alarm".to_owned(),
                                    summary: text.clone(),
                                    details: json!({ "repository": repository, "commit": found.commit }),
                                    at: now,
                                })
                                .await?;
                                let text = addressed(&repository, &text);
                                tx.schedule(None, &Effect::Alarm { text }, now).await
                            })
                        })
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// The answer to `/unexplained`.
    pub(crate) async fn list_unexplained(&self) -> Result<String, StoreError> {
        let mut said = String::new();
        for setup in self.repositories() {
            if let Err(why) = self.look_at_history(setup, Some(self.limits().tip_age)).await {
                said.push_str(&format!("{}: the branch cannot be looked at now ({why}).\n", setup.name));
            }
            for found in self.store().read().unexplained(&setup.name, LIST_MAX).await? {
                match self.how_explained(setup, &found).await? {
                    Explained::No => said.push_str(&format!(
                        "{} {} · {} · {}\n{}\n{}\n\n",
                        setup.name,
                        found.commit.short(),
                        self.moment(found.committed_at),
                        found.author,
                        found.subject,
                        few(&found.paths)
                    )),
                    Explained::Perhaps => {}
                    Explained::Yes => {
                        self.store()
                            .write(move |tx| Box::pin(async move { tx.drop_unexplained(found.row).await }))
                            .await?;
                    }
                }
            }
        }
        Ok(if said.is_empty() {
            "Every new commit on a guarded path is explained.".to_owned()
        } else {
            format!(
                "Commits on guarded paths that no proposal and no report explains:\n\n{}",
                said.trim_end()
            )
        })
    }
}

/// The first paths, and how many more.
fn few(paths: &[String]) -> String {
    let named: Vec<&str> = paths.iter().take(3).map(String::as_str).collect();
    match paths.len().saturating_sub(3) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
