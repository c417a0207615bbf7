//! What a moved branch means for those who wait: pending changes whose files changed are shown anew, and a commit that vanished is reported.

use std::time::Duration;

use domain::{CommitId, Decision, Delivery, Event, Outcome, Proposal, Tier};
use gitworker::{Known, Rebase};
use store::{ListFilter, StoreError};

use crate::continuity::Ground;
use crate::trust::Shown;
use crate::{Engine, RepositorySetup};

/// Pending proposals looked at in one round; more wait for the next.
const PENDING_MAX: u32 = 500;
/// A branch that nobody depends on is looked at each time that this many looks were due: a rewrite is news also when nothing is under way.
const IDLE_TICKS: u32 = 9;

/// The last look at a branch.
#[derive(Default)]
pub(super) struct LastLook {
    at: Option<tokio::time::Instant>,
    /// The tip that all who depended on it were compared with.
    tip: Option<CommitId>,
    /// The runbooks that its runs may name.
    runbooks: Shown,
}

impl Engine {
    /// Looks at the branch if somebody depends on it, and now and then for those who will.
    pub(super) async fn look_at_branch(&self, setup: &RepositorySetup, last: &mut LastLook) {
        self.look_at_policy(setup).await;
        if let Err(error) = self.tell_edits(setup, &mut last.runbooks).await {
            tracing::error!(repository = %setup.name, %error, "the runs of runbooks that were edited cannot be told; looked at again");
        }
        let (pending, flying) = match self.dependents(setup).await {
            Ok(dependents) => dependents,
            Err(error) => {
                tracing::error!(%error, "the pending proposals cannot be read");
                return;
            }
        };
        let due = last.at.is_none_or(|at| at.elapsed() >= self.limits().landing_poll * IDLE_TICKS);
        if pending.is_empty() && flying.is_empty() && !due {
            return;
        }
        last.at = Some(tokio::time::Instant::now());
        if let Err(error) = setup.git.refresh(Duration::from_secs(1)).await {
            tracing::warn!(repository = %setup.name, %error, "the branch could not be looked at");
            return;
        }
        let tip = match self.ground(setup, false).await {
            Ok(Ground::At(tip)) => Some(tip),
            // What waits for people is not measured by history that nobody has looked at.
            Ok(Ground::Blocked(_)) => None,
            Err(why) => {
                tracing::warn!(repository = %setup.name, %why, "the branch could not be looked at");
                return;
            }
        };
        if tip.is_some() && last.tip == tip {
            return;
        }
        for proposal in &flying {
            self.check_not_lost(setup, proposal).await;
        }
        let Some(tip) = tip else { return };
        let mut all = true;
        for proposal in &pending {
            if let Err(why) = self.check_still_fits(setup, proposal, tip).await {
                tracing::warn!(proposal = %proposal.id, %why, "a pending change could not be compared with the branch; looked at again");
                all = false;
            }
        }
        if all {
            last.tip = Some(tip);
        }
    }

    /// Everybody depends on the policy and the runbooks that the repository carries itself, also while nothing is under way.
    async fn look_at_policy(&self, setup: &RepositorySetup) {
        if !setup.carries_rules() {
            return;
        }
        let followed = match setup.git.refresh(Duration::from_secs(1)).await {
            Ok(_) => self.follow_policy(setup).await,
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::warn!(repository = %setup.name, %error, "the repository's policy could not be looked at");
        }
    }

    async fn dependents(&self, setup: &RepositorySetup) -> Result<(Vec<Proposal>, Vec<Proposal>), StoreError> {
        let filter = ListFilter {
            repository: Some(setup.name.clone()),
            decision: Some(Decision::Pending),
            open_only: true,
            ..ListFilter::default()
        };
        let read = self.store().read();
        let (mut pending, _) = read.list(&filter, None, PENDING_MAX).await?;
        pending.retain(|proposal| proposal.tier() == Tier::Prompted && proposal.delivery == Delivery::None);
        let mut flying = read.in_delivery(&[Delivery::Pushed, Delivery::Syncing]).await?;
        flying.retain(|proposal| proposal.repository == setup.name);
        Ok((pending, flying))
    }

    async fn check_still_fits(&self, setup: &RepositorySetup, proposal: &Proposal, tip: CommitId) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let contents = self
            .store()
            .read()
            .contents(proposal.id, proposal.revision.number)
            .await
            .map_err(|error| text(&error))?;
        let Some(change) = contents else { return Ok(()) };
        let rebased = setup.git.rebase(proposal.revision.base, tip, &change).await;
        let ends = match rebased.map_err(|error| text(&error))? {
            Rebase::Untouched => None,
            Rebase::AlreadyThere => Some(Event::AlreadyThere { commit: tip }),
            Rebase::Conflict { paths } => self.moved(setup, proposal, Err(paths), tip).await?,
            Rebase::Merged(merged) => self.moved(setup, proposal, Ok(merged), tip).await?,
        };
        if let Some(event) = ends {
            let told = self.happen_to(proposal, event).await.map_err(|error| text(&error))?;
            told.ok_or("it changed meanwhile")?;
        }
        Ok(())
    }

    /// What is said of a commit that a force push took away; `None` while it is on the branch as it was last seen, or nobody can tell.
    pub(super) async fn lost_words(&self, setup: &RepositorySetup, commit: CommitId) -> Option<String> {
        matches!(setup.git.known_commit(commit).await, Ok(Known::OffBranch)).then(|| {
            format!(
                "branch {} no longer contains {}: somebody force-pushed it",
                setup.branch(),
                commit.short()
            )
        })
    }

    /// A force push took the commit away: nobody waits for it any longer.
    async fn check_not_lost(&self, setup: &RepositorySetup, proposal: &Proposal) {
        let Some(commit) = proposal.commit else { return };
        let Some(note) = self.lost_words(setup, commit).await else { return };
        let event = Event::Settled {
            outcome: Outcome::Lost,
            applications: proposal.applications.clone(),
            note: Some(note),
        };
        if let Err(error) = self.happen(proposal.id, event).await {
            tracing::error!(proposal = %proposal.id, %error, "a lost commit could not be recorded; looked at again");
        }
    }
}
