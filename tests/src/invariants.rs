//! The promises, checked against database and remote after every test.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use domain::{Decision, Delivery, Outcome, ProposalId};
use simulators::git::BareRepo;
use store::{AuditReport, ListFilter, Store};

/// Checks I1 to I4, I7 and I8 for everything that the database and the branch hold.
pub async fn check(store: &Store, repo: &BareRepo) -> Result<()> {
    let (proposals, _) = store.read().list(&ListFilter::default(), None, 1000).await?;
    let log = repo.log(10_000);
    let mut commits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for commit in &log {
        for line in commit.message.lines() {
            if let Some(id) = line.strip_prefix("Proposal-Id: ") {
                commits.entry(id.trim().to_owned()).or_default().push(commit.id.clone());
            }
        }
    }
    for proposal in &proposals {
        let id = proposal.id;
        let own: &[String] = commits.get(&id.to_string()).map_or(&[], Vec::as_slice);
        let contents = store.read().contents(id, proposal.revision.number).await?;
        if let Some(contents) = contents {
            ensure!(
                contents.digest(&proposal.repository, &proposal.branch) == proposal.revision.digest,
                "I1: {id} is not what was acknowledged"
            );
        }
        ensure!(own.len() <= 1, "I2: {id} has {} commits", own.len());
        let delivered = matches!(proposal.delivery, Delivery::Pushed | Delivery::Syncing)
            || (proposal.delivery == Delivery::Ended && proposal.commit.is_some() && proposal.outcome != Some(Outcome::Lost));
        let by_service = proposal.committed_by.is_none() && !matches!(proposal.origin, domain::Origin::Observed(_));
        if delivered && by_service {
            ensure!(own.len() == 1, "I2: {id} is {} without a commit", proposal.delivery);
        }
        if !own.is_empty() && by_service {
            let approved = proposal.approvals().count() > 0 || proposal.decision == Decision::NotRequired;
            ensure!(approved, "I3: {id} was committed without a review of its digest");
        }
        let stopped = matches!(
            proposal.decision,
            Decision::Rejected | Decision::Expired | Decision::Withdrawn | Decision::Dismissed
        );
        if stopped && by_service && proposal.outcome != Some(Outcome::PushRefused) {
            ensure!(own.is_empty(), "I4: {id} is {} and has a commit", proposal.decision);
        }
    }
    match store.verify_audit().await? {
        AuditReport::Intact { .. } => {}
        AuditReport::Broken { row, why } => anyhow::bail!("I7: audit row {row}: {why}"),
    }
    Ok(())
}

/// Whether a branch still contains a commit of somebody else.
pub fn still_there(repo: &BareRepo, commit: &str) -> bool {
    repo.tip().is_some_and(|tip| repo.contains(&tip, commit))
}

/// The ids of the proposals that have a commit on the branch.
pub fn committed(repo: &BareRepo) -> Vec<ProposalId> {
    repo.log(10_000)
        .iter()
        .filter_map(|commit| {
            commit
                .message
                .lines()
                .find_map(|line| line.strip_prefix("Proposal-Id: ")?.trim().parse().ok())
        })
        .collect()
}
