//! Drift from the one way in: commits on guarded paths that no proposal and no observation explains. Only what is new on the branch is
//! looked at, from where the last look ended.

use std::time::Duration;

use domain::{CommitId, Delivery, Effect, PathGlob, ProposalId, RepositoryName, Tier};
use gitworker::{NewCommit, Since};
use serde_json::json;
use store::{Actor, Audit, StoreError, Unexplained};
use tokio_util::sync::CancellationToken;

use super::messages::addressed;
use crate::{Engine, RepositorySetup};

/// How long a commit may wait for whoever explains it: agents report within ten minutes of their push.
pub(super) const EXPLAIN_SECONDS: i64 = 600;
/// Longest subject and author kept, and longest path told, in characters.
const WORDS_MAX: usize = 120;
/// Paths told of one commit.
const PATHS_TOLD: usize = 3;
/// Longest list, in UTF-16 units: what stands below it must fit into the same message.
const LIST_UNITS_MAX: usize = 3_000;

/// What is known about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Explained {
    Yes,
    /// It names a change that people were asked to commit, whose landing is not settled.
    Perhaps,
    No,
}

/// Under which key it is stored up to where a branch was looked at: its tip, or the heads of all that was.
fn reached_key(repository: &RepositoryName) -> String {
    format!("explained_to:{repository}")
}

impl Engine {
    /// Looks at a branch's new commits for as long as the service runs.
    pub(super) async fn watch_history(self, name: RepositoryName, cancel: CancellationToken) {
        let Some(setup) = self.repository(&name) else { return };
        let mut left = 0;
        loop {
            // What is left of a long distance waits for nothing.
            let wait = if left > 0 { Duration::ZERO } else { self.limits().landing_poll };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            if let Err(why) = self.look_for_reverts(setup, Some(self.limits().landing_poll)).await {
                tracing::warn!(repository = %setup.name, %why, "the branch could not be looked at for reverts; tried again");
            }
            // Without an alarm nobody waits: what other work has fetched is looked at, and `/unexplained` asks by itself.
            let age = setup.alarm_unexplained.then(|| self.limits().landing_poll);
            left = self.look_at_history(setup, age).await.unwrap_or_else(|why| {
                tracing::warn!(repository = %setup.name, %why, "the branch's new commits could not be looked at; tried again");
                0
            });
            if let Err(error) = self.settle_unexplained(setup).await {
                tracing::error!(repository = %setup.name, %error, "unexplained commits could not be settled; tried again");
            }
        }
    }

    /// Looks at what came to the branch since the last look, as far as one look goes; asks the remote when what is known is older than `age`.
    /// Answers how many commits are left for the next one.
    async fn look_at_history(&self, setup: &RepositorySetup, age: Option<Duration>) -> Result<usize, String> {
        let tip = match age {
            Some(age) => Some(setup.git.refresh(age).await.map_err(text)?.commit),
            None => setup.git.cached_tip().map(|tip| tip.commit),
        };
        let Some(tip) = tip else { return Ok(0) };
        let known = self.store().read().meta(&reached_key(&setup.name)).await.map_err(text)?;
        let from: Vec<CommitId> = known
            .iter()
            .flat_map(|ids| ids.split(' '))
            .filter_map(|id| id.parse().ok())
            .collect();
        if from == [tip] {
            return Ok(0);
        }
        let to_the_tip = Since {
            commits: Vec::new(),
            reached: vec![tip],
            left: 0,
        };
        let since = if from.is_empty() {
            // The first look: what was there before has nothing to explain.
            to_the_tip
        } else {
            match setup.git.commits_since(from, tip, self.limits().commits_per_look).await {
                Ok(since) => since,
                Err(gitworker::GitError::UnknownCommit { .. }) => {
                    tracing::warn!(repository = %setup.name, "the branch was rewritten: its commits are looked at from its new tip on");
                    to_the_tip
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        let found = self.unexplained_of(setup, since.commits).await.map_err(text)?;
        let reached = since.reached.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (repository, left) = (setup.name.clone(), since.left);
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for commit in &found {
                        tx.put_unexplained(&repository, commit).await?;
                    }
                    tx.set_unlooked(&repository, left).await?;
                    tx.set_meta(&reached_key(&repository), &reached).await
                })
            })
            .await
            .map_err(text)?;
        Ok(left)
    }

    async fn unexplained_of(&self, setup: &RepositorySetup, commits: Vec<NewCommit>) -> Result<Vec<Unexplained>, StoreError> {
        let now = self.now();
        let mut found = Vec::new();
        for commit in commits {
            let paths: Vec<String> = commit.paths.into_iter().filter(|path| self.is_guarded(setup, path)).collect();
            let candidate = Unexplained {
                row: 0,
                commit: commit.id,
                brought_by: commit.brought_by,
                author: cut(&commit.author),
                subject: cut(&commit.summary),
                paths,
                paths_cut: commit.paths_cut,
                named: commit.named,
                committed_at: commit.time,
                found_at: now,
            };
            // What was not looked at may be guarded.
            let guarded = candidate.paths_cut || !candidate.paths.is_empty();
            if guarded && self.how_explained(setup, &candidate).await? != Explained::Yes {
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
            !found.paths_cut && found.paths.iter().all(|path| touched.iter().any(|known| known.as_str() == path))
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
                        changed(&found),
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

    /// The answer to `/unexplained`. Whatever it leaves out, it says so and where that is found.
    pub(crate) async fn list_unexplained(&self) -> Result<String, StoreError> {
        let (mut said, mut below) = (String::new(), String::new());
        for setup in self.repositories() {
            let name = &setup.name;
            match self.look_at_history(setup, Some(self.limits().tip_age)).await {
                Ok(0) => {}
                Ok(left) => below.push_str(&format!(
                    "{name}: {left} newer commits are not looked at yet; the service goes on, ask again.\n"
                )),
                Err(why) => below.push_str(&format!("{name}: the branch cannot be looked at now ({why}).\n")),
            }
            let (mut before, mut room) = (None, self.limits().unexplained_listed);
            let older = loop {
                let found = self.next_unexplained(setup, &mut before).await?;
                let Some(entry) = found.map(|found| entry(setup, &found, &self.moment(found.committed_at))) else {
                    break false;
                };
                if room == 0 || units(&said) + units(&entry) > LIST_UNITS_MAX {
                    break true;
                }
                room -= 1;
                said.push_str(&entry);
            };
            if older {
                below.push_str(&format!("{name}: older ones are left out; `countersign unexplained` lists all.\n"));
            }
        }
        let head = match (said.is_empty(), below.is_empty()) {
            (true, true) => return Ok("Every new commit on a guarded path is explained.".to_owned()),
            (true, false) => "Every new commit on a guarded path that was looked at is explained, but:",
            (false, _) => "Commits on guarded paths that no proposal and no report explains:",
        };
        let parts = [head, said.trim_end(), below.trim_end()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(parts.join("\n\n"))
    }

    /// The next older commit that is still unexplained; what was explained meanwhile is forgotten on the way.
    async fn next_unexplained(&self, setup: &RepositorySetup, before: &mut Option<i64>) -> Result<Option<Unexplained>, StoreError> {
        loop {
            let found = self.store().read().unexplained(&setup.name, *before, 1).await?.pop();
            let Some(found) = found else { return Ok(None) };
            *before = Some(found.row);
            match self.how_explained(setup, &found).await? {
                Explained::No => return Ok(Some(found)),
                Explained::Perhaps => {}
                Explained::Yes => {
                    self.store()
                        .write(move |tx| Box::pin(async move { tx.drop_unexplained(found.row).await }))
                        .await?;
                }
            }
        }
    }
}

/// A commit on the list.
fn entry(setup: &RepositorySetup, found: &Unexplained, at: &str) -> String {
    format!(
        "{} {} · {} · {}\n{}\n{}\n\n",
        setup.name,
        found.commit.short(),
        at,
        found.author,
        found.subject,
        changed(found)
    )
}

/// What a commit changes, as far as that is known: the first paths, and how many more.
fn changed(found: &Unexplained) -> String {
    let named: Vec<String> = found.paths.iter().take(PATHS_TOLD).map(|path| cut(path)).collect();
    let more = found.paths.len().saturating_sub(PATHS_TOLD);
    let all = format!("git show --stat {} names all", found.commit.short());
    match (named.join(", "), more, found.paths_cut) {
        (named, 0, false) => named,
        (named, more, false) => format!("{named} and {more} more"),
        (named, _, true) if named.is_empty() => format!("more paths than are looked at ({all})"),
        (named, more, true) => format!("{named} and at least {} more ({all})", more + 1),
    }
}

/// Foreign words, as far as they are kept.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
