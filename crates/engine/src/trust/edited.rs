//! A run whose runbook's file was edited, or taken away, since it was rendered. What is stored is what is committed, whatever the runbook would
//! render now: the approval of what people see stands, and everybody who looks at the run is told.

use std::collections::BTreeMap;

use domain::{Delivery, Effect, Origin, Proposal, RunbookCall, RunbookName, Sha256Hash, Tier};
use store::StoreError;

use crate::{Engine, RepositorySetup};

/// Which runbooks a repository's runs may name, as of a look.
pub(crate) type Shown = BTreeMap<RunbookName, Sha256Hash>;

/// Why such a run does not go out by itself: what the ledger says of it, stored with it at its approval and before its push.
pub(super) fn why_asked(name: &RunbookName) -> String {
    format!("prompted: runbook {name} was edited, or taken away, since this run was rendered")
}

impl Engine {
    /// What whoever looks at a run must know of its runbook, as long as what it shows is what the runbook once rendered.
    pub(crate) fn edited_words(&self, proposal: &Proposal) -> Option<String> {
        let Origin::Runbook(call) = &proposal.origin else { return None };
        let facts = &proposal.revision.facts;
        facts.runbook.as_ref()?;
        let name = &call.runbook;
        if proposal.commit.is_some() {
            // What was known just before the push; later edits of the file are no concern of it.
            let known = facts.trust.as_ref().is_some_and(|trust| trust.why == why_asked(name));
            return (known && proposal.tier() == Tier::Prompted)
                .then(|| format!("runbook {name} was changed after this was rendered: what people approved is what was committed"));
        }
        if proposal.is_over() {
            return None;
        }
        let what = self.edit_of(proposal, call)?;
        let then = match proposal.tier() {
            Tier::Standard => "people are asked before it is sent",
            Tier::Prompted => "what you see is what will be committed",
            Tier::Manual => "what you see is what you are asked to commit",
        };
        Some(format!("runbook {name} {what} after this was rendered: {then}"))
    }

    /// What became of the runbook of a call; `None` while it is the one that is in force, or nobody knows yet.
    fn edit_of(&self, proposal: &Proposal, call: &RunbookCall) -> Option<&'static str> {
        let book = self.book();
        match book.runbook(&proposal.repository, &call.runbook) {
            Some(runbook) if runbook.content_hash() == call.hash => None,
            Some(_) => Some("was changed"),
            None if book.shelf(&proposal.repository).is_some_and(|shelf| shelf.commit.is_none()) => None,
            None => Some("was taken away, or is not valid any more,"),
        }
    }

    /// Lets the cards of runs that wait say that their runbook is another one than at the last look. The first look tells it of all.
    pub(crate) async fn tell_edits(&self, setup: &RepositorySetup, last: &mut Shown) -> Result<(), StoreError> {
        let book = self.book();
        let theirs = book.repository_runbooks().filter(|(name, _)| **name == setup.name);
        let all = book.runbooks.values().chain(theirs.map(|(_, runbook)| runbook));
        let now: Shown = all.map(|runbook| (runbook.name().clone(), runbook.content_hash())).collect();
        if now == *last {
            return Ok(());
        }
        let waiting = [Delivery::None, Delivery::Queued, Delivery::AwaitingCommit];
        let mut concerned = self.store().read().in_delivery(&waiting).await?;
        concerned.retain(|proposal| match &proposal.origin {
            Origin::Runbook(call) => proposal.repository == setup.name && now.get(&call.runbook) != last.get(&call.runbook),
            Origin::Change | Origin::Observed(_) | Origin::Revert { .. } => false,
        });
        if !concerned.is_empty() {
            let due = self.now();
            self.store()
                .write(move |tx| {
                    Box::pin(async move {
                        for proposal in &concerned {
                            tx.schedule(Some(proposal.id), &Effect::EditCards, due).await?;
                        }
                        Ok::<_, StoreError>(())
                    })
                })
                .await?;
        }
        *last = now;
        Ok(())
    }
}
