//! What becomes of a change whose files moved before it was sent: merged and shown anew, or rendered anew.

use domain::{ChangeSet, CommitId, Delivery, Event, Origin, Proposal, RepoPath, Revision, RevisionAuthor, RunbookName, Tier};
use gitworker::ResolveError;

use super::{Ready, text};
use crate::act::{Act, Acted};
use crate::checked::{Checked, Manner};
use crate::intake::render;
use crate::workers::effects::Held;
use crate::{Engine, RepositorySetup};

impl Engine {
    /// A touched file changed under what people decide about. A run is rendered anew: that is what was asked for, and what its record is about.
    /// Anything else is merged, and people look again. What ends it is handed back.
    pub(in crate::workers) async fn moved(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        merged: Result<ChangeSet, Vec<RepoPath>>,
        tip: CommitId,
    ) -> Result<Option<Event>, String> {
        let change = match (self.rendered_at(setup, proposal, tip).await?, merged) {
            (Some(rendered), _) if rendered.is_empty() => return Ok(Some(Event::AlreadyThere { commit: tip })),
            (Some(rendered), _) => (rendered, proposal.revision.facts.runbook.clone()),
            (None, Ok(merged)) => (merged, None),
            (None, Err(paths)) => return Ok(Some(Event::Conflict { paths })),
        };
        self.reshow(setup, proposal, change, tip).await?;
        Ok(None)
    }

    /// What a run renders on the branch as it is now. `None` for other changes, and where its runbook was edited or does not render there.
    async fn rendered_at(&self, setup: &RepositorySetup, proposal: &Proposal, tip: CommitId) -> Result<Option<ChangeSet>, String> {
        let (Origin::Runbook(call), Some(_)) = (&proposal.origin, &proposal.revision.facts.runbook) else {
            return Ok(None);
        };
        self.follow_policy(setup).await.map_err(text)?;
        let runbook = self.book().runbook(&setup.name, &call.runbook).cloned();
        let Some(runbook) = runbook.filter(|runbook| runbook.content_hash() == call.hash) else {
            return Ok(None);
        };
        let requested = match render(setup, &runbook, &call.parameters, tip).await {
            Ok((requested, _)) => requested,
            Err(problem) if problem.retryable => return Err(problem.detail),
            Err(_) => return Ok(None),
        };
        match setup.git.resolve(tip, requested).await {
            Ok(change) => Ok(Some(change)),
            Err(ResolveError::Git(error)) => Err(text(error)),
            Err(ResolveError::Refused(_)) => Ok(None),
        }
    }

    async fn reshow(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        (change, runbook): (ChangeSet, Option<RunbookName>),
        tip: CommitId,
    ) -> Result<(), String> {
        let how = if runbook.is_some() {
            "rendered anew"
        } else {
            "merged with the branch"
        };
        let (revision, checked) = self.next_revision(setup, proposal, &change, tip, runbook).await?;
        if let Some(why) = refused(&checked, how) {
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(());
        }
        let act = Act {
            contents: Some(change),
            checked: Some(checked),
            details: serde_json::json!({ "tip": tip, "digest": revision.digest }),
            ..Act::service(
                proposal.id,
                Event::Reshow {
                    revision: Box::new(revision),
                },
            )
        };
        match self.act(act).await.map_err(text)? {
            Acted::Done(_, summary) => tracing::info!(proposal = %proposal.id, "{summary}"),
            Acted::Refused(_) | Acted::Stale(_) | Acted::Missing => {}
        }
        Ok(())
    }

    /// A standard run whose file moved is rendered anew, never merged.
    pub(super) async fn rerender(
        &self,
        setup: &RepositorySetup,
        held: Held,
        proposal: &Proposal,
        tip: CommitId,
    ) -> Result<Option<Ready>, String> {
        let Origin::Runbook(call) = &proposal.origin else { return Ok(None) };
        // Nothing is rendered by what the repository has replaced meanwhile.
        self.follow_policy(setup).await.map_err(text)?;
        let runbook = self.book().runbook(&setup.name, &call.runbook).cloned();
        let Some(runbook) = runbook.filter(|runbook| runbook.content_hash() == call.hash) else {
            let why = format!("runbook {} was edited since the call", call.runbook);
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(None);
        };
        let requested = match render(setup, &runbook, &call.parameters, tip).await {
            Ok((requested, _)) => requested,
            Err(problem) if problem.retryable => return Err(problem.detail),
            Err(problem) => {
                self.happen(proposal.id, Event::Refuse { why: problem.detail })
                    .await
                    .map_err(text)?;
                return Ok(None);
            }
        };
        let change = setup.git.resolve(tip, requested).await.map_err(text)?;
        if change.is_empty() {
            self.happen(proposal.id, Event::AlreadyThere { commit: tip }).await.map_err(text)?;
            return Ok(None);
        }
        let runbook = proposal.revision.facts.runbook.clone();
        let (revision, checked) = self.next_revision(setup, proposal, &change, tip, runbook).await?;
        if let Some(why) = refused(&checked, "rendered anew") {
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(None);
        }
        let act = Act {
            contents: Some(change.clone()),
            checked: Some(checked),
            ..Act::service(
                proposal.id,
                Event::Rerender {
                    revision: Box::new(revision),
                },
            )
        };
        match self.act(act).await.map_err(text)? {
            Acted::Done(next, _) if next.delivery == Delivery::Queued => Ok(Some(Ready {
                held,
                proposal: *next,
                change,
            })),
            Acted::Done(..) | Acted::Refused(_) | Acted::Stale(_) | Acted::Missing => Ok(None),
        }
    }

    async fn next_revision(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        change: &ChangeSet,
        base: CommitId,
        runbook: Option<RunbookName>,
    ) -> Result<(Revision, Checked), String> {
        let old = &proposal.revision.facts;
        let manner = if old.revert { Manner::Told } else { Manner::Strict };
        let looked = self.look(setup, base, change, manner).await;
        let (mut facts, mut checked) = looked.map_err(|problem| problem.detail)?;
        if let (Some(_), Origin::Runbook(call)) = (&runbook, &proposal.origin) {
            // What is on hold is asked about again before the push; without an answer people are asked.
            facts.trust = self.trusted(&setup.name, call, &facts.paths).await.ok().map(|asked| asked.trust);
            if let Some(trust) = facts.trust.as_mut().filter(|trust| trust.tier == Tier::Standard)
                && proposal.tier() != Tier::Standard
            {
                // New content does not go past those who were asked already.
                trust.tier = Tier::Prompted;
                trust.why = "prompted: people were asked when it came in".to_owned();
            }
        }
        facts.runbook = runbook;
        facts.promotion.clone_from(&old.promotion);
        facts.requested = old.requested;
        facts.agent = proposal.asking_agent().cloned();
        facts.revert = old.revert;
        let route = self.book().policy.route(&setup.name, &facts);
        checked.routed(setup.branch(), &route);
        let revision = Revision {
            number: proposal.revision.number + 1,
            author: RevisionAuthor::Countersign,
            base,
            digest: change.digest(&setup.name, setup.branch()),
            route,
            facts,
            created_at: self.now(),
            replay: self.foreseen(setup, change).await,
        };
        Ok((revision, checked))
    }
}

/// Why content that the service made by itself must not go on, if the guard rails refuse it.
fn refused(checked: &Checked, how: &str) -> Option<String> {
    let first = checked.refusals().next()?;
    Some(format!(
        "{how}, the guard rails refuse it: {}: {}",
        crate::Found::from(first.clone()).at(),
        first.message
    ))
}
