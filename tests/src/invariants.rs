//! The promises I1 to I9, checked against database and remote after every test and every injected fault.
//!
//! Each is checked as it must hold at any instant, also between two steps of a service that still runs: what is not done yet must be owed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use domain::ledger::TrialResult;
use domain::{ChangeSet, Decision, Delivery, Origin, Outcome, PersonRef, Proposal, ProposalId, Stop, Subject, Tier, UserId};
use simulators::git::{BareRepo, CommitInfo};
use store::{Actor, AuditReport, CardState, ListFilter, Reader, Store};

/// Checks I1 to I9 for everything that the database and the branch hold.
///
/// # Errors
/// The first broken promise, beginning with its name.
pub async fn check(store: &Store, repo: &BareRepo) -> Result<()> {
    let (proposals, _) = store.read().list(&ListFilter::default(), None, 1000).await?;
    let commits = commits_by_proposal(repo);
    for proposal in &proposals {
        let own: &[CommitInfo] = commits.get(&proposal.id.to_string()).map_or(&[], Vec::as_slice);
        let contents = store.read().contents(proposal.id, proposal.revision.number).await?;
        acknowledged(proposal, contents.as_ref())?;
        committed_once(proposal, own)?;
        if let (Some(commit), true) = (own.first(), by_service(proposal)) {
            approved(proposal, commit)?;
            if let Some(contents) = &contents {
                as_approved(proposal, commit, contents, repo)?;
            }
        }
        stopped(proposal, own)?;
        goes_on(&store.read(), proposal).await?;
        told(&store.read(), proposal).await?;
        decided_by_people(&store.read(), proposal).await?;
        evidence(&store.read(), proposal).await?;
        still_contained(proposal, repo)?;
    }
    nothing_stopped_was_sent(store, &proposals).await?;
    match store.verify_audit().await? {
        AuditReport::Intact { .. } => Ok(()),
        AuditReport::Broken { row, why } => anyhow::bail!("I7: audit row {row:?}: {why}"),
    }
}

/// No leave to push was given for what a stop covered: from its audit row to that of its end.
async fn nothing_stopped_was_sent(store: &Store, proposals: &[Proposal]) -> Result<()> {
    let mut standing: BTreeMap<u64, Stop> = BTreeMap::new();
    for row in store.read().audit_after(0, 100_000).await? {
        let entry = row.entry;
        match (entry.event.as_str(), entry.details["stop"].as_u64()) {
            ("stop", Some(id)) => {
                let stop = Stop {
                    id,
                    scope: serde_json::from_value(entry.details["scope"].clone())?,
                    by: PersonRef {
                        id: UserId(0),
                        name: String::new(),
                    },
                    at: entry.at,
                    reason: String::new(),
                    votes: Vec::new(),
                };
                standing.insert(id, stop);
            }
            ("resume", Some(id)) if entry.details["over"] == true => _ = standing.remove(&id),
            // The row of one that was held back says what it waits for.
            ("commit_built", _) if entry.summary.starts_with("commit ") => {
                let proposal = proposals.iter().find(|proposal| Some(proposal.id) == entry.proposal);
                let subject = proposal.map(Subject::from);
                let over = standing
                    .values()
                    .find(|stop| subject.as_ref().is_some_and(|subject| stop.covers(subject)));
                ensure!(
                    over.is_none(),
                    "I4: row {} lets {:?} be pushed while {over:?} stands",
                    row.row,
                    entry.proposal
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Not while a human is asked to commit: whoever names the proposal meanwhile, on other files, has said so and done nothing else.
fn by_service(proposal: &Proposal) -> bool {
    proposal.committed_by.is_none() && proposal.delivery != Delivery::AwaitingCommit && !matches!(proposal.origin, Origin::Observed(_))
}

fn acknowledged(proposal: &Proposal, contents: Option<&ChangeSet>) -> Result<()> {
    let same = contents.is_none_or(|contents| contents.digest(&proposal.repository, &proposal.branch) == proposal.revision.digest);
    ensure!(same, "I1: {} is not what was acknowledged", proposal.id);
    Ok(())
}

fn committed_once(proposal: &Proposal, own: &[CommitInfo]) -> Result<()> {
    ensure!(own.len() <= 1, "I2: {} has {} commits", proposal.id, own.len());
    let delivered = matches!(proposal.delivery, Delivery::Pushed | Delivery::Syncing)
        || (proposal.delivery == Delivery::Ended && proposal.commit.is_some() && proposal.outcome != Some(Outcome::Lost));
    if delivered && by_service(proposal) {
        ensure!(own.len() == 1, "I2: {} is {} without a commit", proposal.id, proposal.delivery);
    }
    Ok(())
}

/// Enough people, each once, all of this digest; or the policy's row for `standard`.
fn approved(proposal: &Proposal, commit: &CommitInfo) -> Result<()> {
    let id = proposal.id;
    let digest = format!("Digest: {}", proposal.revision.digest);
    ensure!(
        commit.message.lines().any(|line| line == digest),
        "I3: the commit of {id} does not name the digest that was decided"
    );
    if proposal.tier() == Tier::Standard {
        ensure!(
            proposal.decision == Decision::NotRequired,
            "I3: {id} is standard and {}",
            proposal.decision
        );
        return Ok(());
    }
    let people: BTreeSet<_> = proposal.approvers().into_iter().collect();
    let enough = proposal
        .revision
        .route
        .requirements
        .iter()
        .map(|asked| asked.people_min())
        .max()
        .unwrap_or(1);
    ensure!(
        people.len() >= enough as usize,
        "I3: {id} was committed with {} approvals of its digest where {enough} were needed",
        people.len()
    );
    Ok(())
}

/// The commit holds what was approved, and touches nothing else.
fn as_approved(proposal: &Proposal, commit: &CommitInfo, contents: &ChangeSet, repo: &BareRepo) -> Result<()> {
    let id = proposal.id;
    for (path, change) in contents.iter() {
        let there = repo.read_at(&commit.id, path.as_str());
        ensure!(
            there.as_deref() == change.new.as_ref().map(|new| new.bytes.as_slice()),
            "I3: {path} in the commit of {id} is not what was approved"
        );
    }
    let diff = repo.diff(&commit.id).with_context(|| format!("the diff of {}", commit.id))?;
    let touched = diff.lines().filter(|line| line.starts_with("diff --git ")).count();
    ensure!(
        touched == contents.len(),
        "I3: the commit of {id} touches {touched} files, {} were approved",
        contents.len()
    );
    Ok(())
}

fn stopped(proposal: &Proposal, own: &[CommitInfo]) -> Result<()> {
    let stopped = matches!(
        proposal.decision,
        Decision::Rejected | Decision::Expired | Decision::Withdrawn | Decision::Dismissed
    );
    if stopped && by_service(proposal) && proposal.outcome != Some(Outcome::PushRefused) {
        ensure!(own.is_empty(), "I4: {} is {} and has a commit", proposal.id, proposal.decision);
    }
    Ok(())
}

/// Without an outcome there is a next step: something owed, or a question that a person sees.
async fn goes_on(read: &Reader, proposal: &Proposal) -> Result<()> {
    if proposal.outcome.is_some() || proposal.delivery == Delivery::PushBlocked {
        return Ok(());
    }
    let owed = read.effects_waiting(proposal.id).await?;
    let next = owed
        .iter()
        .any(|owed| matches!(owed.key.as_str(), "expire" | "deliver" | "prepare" | "watch_landing" | "observe"));
    ensure!(
        next || moved_on(read, proposal).await?,
        "I5: {} is {} and {}, and nothing is owed that would bring it to an end: {:?}",
        proposal.id,
        proposal.decision,
        proposal.delivery,
        owed.iter().map(|owed| owed.key.as_str()).collect::<Vec<_>>()
    );
    Ok(())
}

/// Whoever has a card sees the end, or the edit that shows it is owed.
async fn told(read: &Reader, proposal: &Proposal) -> Result<()> {
    if proposal.outcome.is_none() {
        return Ok(());
    }
    // What is owed first: between the two reads an edit may be done.
    let owed = read.effects_waiting(proposal.id).await?;
    let cards = read.cards(proposal.id).await?;
    let Some(card) = cards.iter().rev().find(|card| card.state == CardState::Shown) else {
        return Ok(());
    };
    ensure!(
        card.shown_version >= proposal.version || owed.iter().any(|owed| owed.key == "edit_cards") || moved_on(read, proposal).await?,
        "I6: the card of {} shows version {} of {} and nobody owes the rest",
        proposal.id,
        card.shown_version,
        proposal.version
    );
    Ok(())
}

/// No approval, reject, cancel or retry by anybody but a person.
async fn decided_by_people(read: &Reader, proposal: &Proposal) -> Result<()> {
    for row in read.audit_of(proposal.id).await? {
        let decides = matches!(row.entry.event.as_str(), "approve" | "reject" | "cancel" | "retry");
        ensure!(
            !decides || matches!(row.entry.actor, Actor::Person(_)),
            "I9: audit row {} of {}: {} by {:?}",
            row.row,
            proposal.id,
            row.entry.event,
            row.entry.actor
        );
    }
    Ok(())
}

/// A run on the branch is evidence from the same moment on, and its end is in the record as soon as it is told.
async fn evidence(read: &Reader, proposal: &Proposal) -> Result<()> {
    let run = matches!(proposal.origin, Origin::Runbook(_) | Origin::Observed(_)) && proposal.revision.facts.runbook.is_some();
    if !run || proposal.commit.is_none() || proposal.landed == Some(domain::Landed::WithEdits) {
        return Ok(());
    }
    let id = proposal.id;
    let trial = read.trial(id).await?;
    // Where no Argo CD tells how a run ends, runs are no evidence.
    let trust = proposal.revision.facts.trust.as_ref();
    if trust.is_some_and(|trust| trust.why.contains("has no Argo CD")) {
        ensure!(trial.is_none(), "the ledger: nobody sees how run {id} ends, and it has a trial");
        return Ok(());
    }
    let trial = trial.with_context(|| format!("the ledger: run {id} is on the branch without a trial"))?;
    if let Some(expected) = proposal.outcome.and_then(|outcome| TrialResult::of(outcome, proposal.landed)) {
        let agrees = !expected.is_failure() || trial.result.is_failure();
        ensure!(agrees, "the ledger: run {id} ended as {expected} and its trial is {}", trial.result);
    }
    ensure!(
        (proposal.reverted_by.is_none() && proposal.by_hand.is_none()) || trial.reverted_at.is_some(),
        "the ledger: run {id} was reverted and its trial does not say so"
    );
    Ok(())
}

/// What was called delivered is on the branch still, unless it is said to be lost.
fn still_contained(proposal: &Proposal, repo: &BareRepo) -> Result<()> {
    let (Some(commit), Some(tip)) = (proposal.commit, repo.tip()) else {
        return Ok(());
    };
    let delivered = proposal.outcome == Some(Outcome::Synced) || proposal.outcome == Some(Outcome::Pushed);
    ensure!(
        !delivered || repo.contains(&tip, &commit.to_string()),
        "I8: {} was delivered as {commit}, which is no longer on the branch",
        proposal.id
    );
    Ok(())
}

/// Whether the proposal is no longer as it was read: then its checks belong to another state.
async fn moved_on(read: &Reader, proposal: &Proposal) -> Result<bool> {
    let now = read.proposal(proposal.id).await?;
    Ok(now.is_none_or(|now| now.version != proposal.version))
}

fn commits_by_proposal(repo: &BareRepo) -> BTreeMap<String, Vec<CommitInfo>> {
    let mut commits: BTreeMap<String, Vec<CommitInfo>> = BTreeMap::new();
    for commit in repo.log(10_000) {
        let named: Vec<String> = commit
            .message
            .lines()
            .filter_map(|line| line.strip_prefix("Proposal-Id: "))
            .map(|id| id.trim().to_owned())
            .collect();
        for id in named {
            commits.entry(id).or_default().push(commit.clone());
        }
    }
    commits
}

/// Whether a branch still contains a commit of somebody else.
pub fn still_there(repo: &BareRepo, commit: &str) -> bool {
    repo.tip().is_some_and(|tip| repo.contains(&tip, commit))
}

/// The ids of the proposals that have a commit on the branch.
pub fn committed(repo: &BareRepo) -> Vec<ProposalId> {
    commits_by_proposal(repo).keys().filter_map(|id| id.parse().ok()).collect()
}
