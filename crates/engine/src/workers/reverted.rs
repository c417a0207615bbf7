//! Runs that somebody takes back with git, without asking the service: recognised on the branch by what a new commit does to the files, or by
//! git's own words in its message. Only commits that are new since the last look are read.
//!
//! Words are quickly written: they are enough to take trust away, and nothing here gives any.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{CommitId, Origin, ProposalId, RepositoryName, Tier, Timestamp};
use gitworker::{GitError, Undoing, Undone};

use super::drift::EXPLAIN_SECONDS;
use crate::trust::TakenBack;
use crate::{Engine, RepositorySetup};

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
            let open = read.runs_in_window(&setup.name, self.now()).await.map_err(text)?;
            if !open.is_empty() {
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
            let runs = match runs {
                Some(runs) => runs,
                None => read.runs_in_window(&setup.name, self.now()).await.map_err(text)?,
            };
            let commits = runs.iter().map(|(_, commit)| *commit).collect();
            match setup.git.undoings(from, tip, commits).await {
                Ok(found) => self.take_in(setup, look, &runs, found).await?,
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
            let author: String = undoing.author.chars().filter(|c| !c.is_control()).take(AUTHOR_MAX).collect();
            let how = if restored {
                "its files are as before it"
            } else {
                "the message says so"
            };
            let back = TakenBack {
                by: undoing.by,
                author,
                how,
            };
            self.taken_back(id, back).await.map_err(text)?;
        }
        look.waiting = waiting;
        Ok(())
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
