//! Changes that somebody takes back with git, without asking the service: runs are recognised on the branch by what a new commit does to the
//! files, and whatever went through the service by git's own words in a message. Only commits that are new since the last look are read.
//!
//! Words are quickly written: they are enough to take trust away, and nothing here gives any. That a change is undone, or there again, is
//! said of it only where the files show it.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{CommitId, Event, Origin, ProposalId, RepositoryName, Tier, Timestamp};
use gitworker::{Ancestry, GitError, Inverse, Undoing, Undone};

use super::drift::EXPLAIN_SECONDS;
use crate::trust::{Known, known};
use crate::{Engine, RepositorySetup};

/// How long the remote is asked for what may follow on a revert by hand, and after the decision of a run that has no window, since nobody sees
/// how it ends.
const LOOKED_AFTER: chrono::Duration = chrono::Duration::days(2);
/// Longest author told, in characters.
const AUTHOR_MAX: usize = 60;

/// Up to where each branch was looked at.
#[derive(Default)]
pub(crate) struct Looks(tokio::sync::Mutex<BTreeMap<RepositoryName, Look>>);

#[derive(Default)]
struct Look {
    /// The tip of the last look after which nothing waited.
    to: Option<CommitId>,
    /// Commits of machines that look like a revert, since when.
    waiting: BTreeMap<CommitId, Timestamp>,
}

impl Engine {
    /// Looks at what came to the branch since the last look. With an `age` the remote is asked when what is known is older and there are runs
    /// that could be taken back.
    ///
    /// # Errors
    /// When git or the database cannot be read: nothing is passed over, the next look begins at the same place.
    pub(super) async fn look_for_reverts(&self, setup: &RepositorySetup, age: Option<Duration>) -> Result<(), String> {
        let mut looks = self.0.looks.0.lock().await;
        let look = looks.entry(setup.name.clone()).or_default();
        let (read, key) = (self.store().read(), format!("undone_to:{}", setup.name));
        let mut runs = None;
        let mut tip = setup.git.cached_tip().map(|tip| tip.commit);
        if let Some(age) = age {
            let open = self.runs_looked_after(setup).await?;
            let lately = |known: &Known| self.now() - known.at < LOOKED_AFTER;
            if !open.is_empty() || self.known_by_hand(setup).await?.iter().any(lately) {
                tip = Some(setup.git.refresh(age).await.map_err(text)?.commit);
            }
            runs = Some(open);
        }
        let Some(tip) = tip else { return Ok(()) };
        if look.to.is_none() {
            let known = read.meta(&key).await.map_err(text)?;
            // The first look of all: what was there before it was nobody's to take back.
            look.to = Some(known.and_then(|text| text.parse().ok()).unwrap_or(tip));
        }
        let from = look.to.unwrap_or(tip);
        if from != tip {
            let mut runs = match runs {
                Some(runs) => runs,
                None => self.runs_looked_after(setup).await?,
            };
            // What was put back can be taken back again.
            let again = self.known_by_hand(setup).await?.into_iter().filter(|known| known.put_back);
            runs.extend(again.map(|known| (known.proposal, known.of)));
            let commits = runs.iter().map(|(_, commit)| *commit).collect();
            match setup.git.undoings(from, tip, commits).await {
                Ok(found) => {
                    self.take_in(setup, look, &runs, found).await?;
                    self.undo_again(setup, from, tip).await?;
                }
                Err(GitError::UnknownCommit(_)) => {
                    tracing::warn!(repository = %setup.name, "the branch was rewritten: it is looked at for reverts from its new tip on");
                }
                Err(error) => return Err(error.to_string()),
            }
            if look.waiting.is_empty() {
                look.to = Some(tip);
            }
        }
        // Written beside the polls only: a push must not wait for it, and looking twice does no harm.
        if age.is_some()
            && let Some(to) = look.to
            && read.meta(&key).await.map_err(text)? != Some(to.to_string())
        {
            let write = self
                .store()
                .write(move |tx| Box::pin(async move { tx.set_meta(&key, &to.to_string()).await }));
            write.await.map_err(text)?;
        }
        Ok(())
    }

    async fn take_in(
        &self,
        setup: &RepositorySetup,
        look: &mut Look,
        runs: &[(ProposalId, CommitId)],
        found: Vec<Undoing>,
    ) -> Result<(), String> {
        let now = self.now();
        let mut waiting = BTreeMap::new();
        for undoing in found {
            let Some(id) = self.run_of(setup, runs, &undoing.of).await? else {
                continue;
            };
            let Some(proposal) = self.store().read().proposal(id).await.map_err(text)? else {
                continue;
            };
            if self.decided_here(setup, undoing.by).await? {
                continue;
            }
            let restored = matches!(undoing.of, Undone::Restored(_));
            let since = look.waiting.get(&undoing.by).copied().unwrap_or(now);
            // An agent may push a run that puts back what another one changed, and report it afterwards.
            if restored && of_machine(setup, &undoing.committer) && now - since < chrono::Duration::seconds(EXPLAIN_SECONDS) {
                waiting.insert(undoing.by, since);
                continue;
            }
            let shown = match proposal.commit {
                Some(commit) if !restored => matches!(setup.git.inverse(commit, undoing.by).await, Ok(Inverse::NothingLeft)),
                Some(_) | None => restored,
            };
            // Of what is no evidence words alone say nothing.
            if !shown && !matches!(proposal.origin, Origin::Runbook(_) | Origin::Observed(_)) {
                continue;
            }
            let event = Event::TakenBack {
                commit: undoing.by,
                author: undoing.author.chars().filter(|c| !c.is_control()).take(AUTHOR_MAX).collect(),
                restored: shown,
            };
            self.happen(id, event).await.map_err(text)?;
        }
        look.waiting = waiting;
        Ok(())
    }

    /// Reverts by hand that somebody took back by hand: what they had undone is there again.
    async fn undo_again(&self, setup: &RepositorySetup, from: CommitId, tip: CommitId) -> Result<(), String> {
        let standing: Vec<Known> = self.known_by_hand(setup).await?;
        let standing: Vec<Known> = standing.into_iter().filter(|known| !known.put_back).collect();
        let commits: Vec<CommitId> = standing.iter().map(|known| known.by).collect();
        let before = setup.git.contained(commits, from).await.map_err(text)?;
        for (known, place) in standing.iter().zip(before) {
            // Nothing that came before it took it back.
            let after = if place == Ancestry::Yes { from } else { known.by };
            let found = match setup.git.undoings(after, tip, vec![known.by]).await {
                Ok(found) => found,
                Err(GitError::UnknownCommit(_)) => continue,
                Err(error) => return Err(error.to_string()),
            };
            for undoing in found {
                let shown = undoing.of == Undone::Restored(known.by) && !of_machine(setup, &undoing.committer);
                if shown && !self.decided_here(setup, undoing.by).await? {
                    let event = Event::PutBack { commit: undoing.by };
                    self.happen(known.proposal, event).await.map_err(text)?;
                }
            }
        }
        Ok(())
    }

    async fn known_by_hand(&self, setup: &RepositorySetup) -> Result<Vec<Known>, String> {
        let written = self.store().read().meta(&Known::key(&setup.name)).await.map_err(text)?;
        Ok(known(written.as_deref()))
    }

    /// The runs that a commit may take back without naming them, newest first.
    async fn runs_looked_after(&self, setup: &RepositorySetup) -> Result<Vec<(ProposalId, CommitId)>, String> {
        let (read, now) = (self.store().read(), self.now());
        let runs = if self.book().watches(&setup.name) {
            read.runs_in_window(&setup.name, now).await
        } else {
            read.runs_since(&setup.name, now - LOOKED_AFTER).await
        };
        runs.map_err(text)
    }

    /// The run that is taken back, if it is one of this repository.
    async fn run_of(&self, setup: &RepositorySetup, runs: &[(ProposalId, CommitId)], of: &Undone) -> Result<Option<ProposalId>, String> {
        let within = |wanted: &dyn Fn(&CommitId) -> bool| runs.iter().find(|(_, commit)| wanted(commit)).map(|(id, _)| *id);
        match of {
            Undone::Restored(commit) => Ok(within(&|known| known == commit)),
            Undone::Named(text) => match text.parse::<CommitId>() {
                // Whatever its age: a late revert takes trust away, too.
                Ok(commit) => self.store().read().by_commit(&setup.name, commit).await.map_err(self::text),
                Err(_) => Ok(within(&|known| known.to_string().starts_with(text.as_str()))),
            },
        }
    }

    /// Whether a commit went through the service, by a decision of its own: another run, a change that people approved, a report, or a revert,
    /// which is taken in where it is delivered. What a human committed for a manual change is their doing.
    async fn decided_here(&self, setup: &RepositorySetup, commit: CommitId) -> Result<bool, String> {
        let read = self.store().read();
        let Some(id) = read.by_commit(&setup.name, commit).await.map_err(text)? else {
            return Ok(false);
        };
        let proposal = read.proposal(id).await.map_err(text)?;
        Ok(proposal.is_some_and(|proposal| proposal.tier() != Tier::Manual || matches!(proposal.origin, Origin::Revert { .. })))
    }
}

/// The service's own commits, until it knows that they arrived, and those of agents.
fn of_machine(setup: &RepositorySetup, committer: &str) -> bool {
    let own = std::iter::once(&setup.git.options().author.email);
    own.chain(&setup.machine_identities)
        .any(|known| known.eq_ignore_ascii_case(committer))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
