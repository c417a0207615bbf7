//! A change that somebody took back with git, beside the service: of a run that is evidence like any other revert.

use domain::ledger::Target;
use domain::{CommitId, Effect, Proposal, ProposalId, RepositoryName, RunbookCall, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{StoreError, Tx};

use crate::workers::addressed;

/// Reverts by hand that are remembered per repository: one that is older is no longer watched for being taken back itself.
const KNOWN_MAX: usize = 200;

/// A revert by hand, as it is looked for on the branch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    /// What was reverted.
    pub proposal: ProposalId,
    /// Its commit.
    pub of: CommitId,
    /// The commit that reverted it.
    pub by: CommitId,
    /// Whether a later commit took that back.
    pub put_back: bool,
    /// When the service learned of the last of it.
    pub at: Timestamp,
}

/// The reverts by hand of a repository as they were written down, oldest first.
pub(crate) fn known(written: Option<&str>) -> Vec<Known> {
    // What cannot be read was written by another version: then only what comes from now on is known.
    written.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

impl Known {
    /// Where they are written down.
    pub fn key(repository: &RepositoryName) -> String {
        format!("by_hand:{repository}")
    }
}

/// Whether a commit takes this change back that did not before.
pub(super) fn newly(before: Option<&Proposal>, next: &Proposal) -> bool {
    let taken = |proposal: &Proposal| proposal.by_hand.as_ref().is_some_and(|back| back.put_back.is_none());
    taken(next) && before.is_some_and(|before| !taken(before))
}

/// Writes down what a revert by hand must be watched for.
pub(super) async fn remember(tx: &mut Tx, before: Option<&Proposal>, next: &Proposal, now: Timestamp) -> Result<(), StoreError> {
    let changed = before.is_some_and(|before| before.by_hand != next.by_hand);
    let (true, Some(back), Some(of)) = (changed, &next.by_hand, next.commit) else {
        return Ok(());
    };
    let key = Known::key(&next.repository);
    let mut all = known(tx.meta(&key).await?.as_deref());
    all.retain(|known| known.proposal != next.id);
    if back.restored {
        all.push(Known {
            proposal: next.id,
            of,
            by: back.commit,
            put_back: back.put_back.is_some(),
            at: now,
        });
    }
    all.drain(..all.len().saturating_sub(KNOWN_MAX));
    tx.set_meta(&key, &json!(all).to_string()).await
}

/// Says with sound that a run was taken back by hand, and what follows.
pub(super) async fn tell(
    tx: &mut Tx,
    before: Option<&Proposal>,
    next: &Proposal,
    call: &RunbookCall,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(back) = next.by_hand.as_ref().filter(|_| newly(before, next)) else {
        return Ok(());
    };
    let how = if back.restored {
        "its files are as before it"
    } else {
        "the message says so"
    };
    let text = format!(
        "commit {} by {} takes run {} of runbook {} back ({how}). {} does not run on {} until a human lifts it: /lift {}",
        back.commit.short(),
        back.author,
        next.id.short(),
        call.runbook,
        call.runbook,
        Target::of(next.revision.facts.paths.iter().cloned()),
        call.runbook
    );
    tracing::warn!(proposal = %next.id, "{text}");
    let alarm = addressed(&next.repository, &text);
    tx.schedule(None, &Effect::Alarm { text: alarm }, now).await
}
