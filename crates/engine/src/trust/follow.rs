//! What becomes of a run, as evidence: written in the transaction that changes the proposal, so that no end is ever missing from the record.

use domain::ledger::{Demotion, Hold, LedgerKey, Source, Target, Trial, TrialResult, TrustConstants};
use domain::{Effect, Origin, Outcome, Proposal, ProposalId, RunbookCall, Timestamp};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use super::by_hand::{self, remember, tell};
use super::offers::{answered, void_offer};
use super::{key_of, parameters, since, standing};
use crate::{Book, Engine};

/// What is known of a commit that an agent pushed by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    /// The commit's own time.
    pub committed_at: Timestamp,
}

/// Takes in what an event did to a run: it reached the branch, it ended, it was undone. Nothing for other proposals.
pub(crate) async fn follow(
    tx: &mut Tx,
    book: &Book,
    before: Option<&Proposal>,
    next: &Proposal,
    observed: Option<Observed>,
    now: Timestamp,
) -> Result<(), StoreError> {
    answered(tx, before, next, now).await?;
    remember(tx, before, next, now).await?;
    let (Origin::Runbook(call) | Origin::Observed(call)) = &next.origin else {
        return Ok(());
    };
    if next.commit.is_some() && before.is_none_or(|before| before.commit.is_none()) {
        begin(tx, book, next, call, observed, now).await?;
    }
    let Some(mut trial) = known(tx, before, next).await? else {
        if undone(before, next) && !book.watches(&next.repository) {
            let target = Target::of(next.revision.facts.paths.iter().cloned());
            hold(tx, &target.holds(&call.runbook, &next.repository, next.id, now), now).await?;
            tell(tx, before, next, call, now).await?;
        }
        return Ok(());
    };
    let was = trial.clone();
    let mut holds = Vec::new();
    if let (Some(outcome), true) = (next.outcome, before.is_some_and(|before| before.outcome.is_none()))
        && let Some(result) = result(book, call, next, outcome)
    {
        trial.settle(result, now);
    }
    if undone(before, next) {
        holds = trial.revert(now);
    }
    hold(tx, &holds, now).await?;
    tell(tx, before, next, call, now).await?;
    if trial == was {
        return Ok(());
    }
    tx.put_trial(&trial).await?;
    demote(tx, book, &trial.key, now).await?;
    void_offer(tx, book, &trial.key, now).await
}

/// The trial of a run, read only when something may have happened to it.
async fn known(tx: &mut Tx, before: Option<&Proposal>, next: &Proposal) -> Result<Option<Trial>, StoreError> {
    let ended = next.outcome.is_some() && before.is_some_and(|before| before.outcome.is_none());
    if ended || undone(before, next) {
        tx.trial(next.id).await
    } else {
        Ok(None)
    }
}

fn undone(before: Option<&Proposal>, next: &Proposal) -> bool {
    next.reverted_by.is_some() && before.is_some_and(|before| before.reverted_by.is_none()) || by_hand::newly(before, next)
}

/// Stops a runbook on the paths of a run that was reverted.
pub(super) async fn hold(tx: &mut Tx, holds: &[Hold], now: Timestamp) -> Result<(), StoreError> {
    for hold in holds {
        if tx.put_hold(hold).await? {
            let summary = format!("runbook {} does not run on {} until a human lifts it", hold.runbook, hold.path);
            audit(tx, hold.proposal, "runbook_held", summary, json!({ "path": hold.path }), now).await?;
        }
    }
    Ok(())
}

/// The run's change is on the branch: a trial, unless a human edited it on the way, or nobody can see how it ends: that says nothing about the runbook.
async fn begin(
    tx: &mut Tx,
    book: &Book,
    next: &Proposal,
    call: &RunbookCall,
    observed: Option<Observed>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if next.landed == Some(domain::Landed::WithEdits) || next.revision.facts.runbook.is_none() || !book.watches(&next.repository) {
        return Ok(());
    }
    let paths = &next.revision.facts.paths;
    let runbook = book.runbook(&next.repository, &call.runbook);
    let verification = runbook.map(|runbook| runbook.verification().clone()).unwrap_or_default();
    let (healthy_within, stable_for) = (
        seconds(verification.healthy_within_seconds),
        seconds(verification.stable_for_seconds),
    );
    let started_at = next.pushed_at.unwrap_or(now);
    let source = match (&next.origin, observed) {
        (Origin::Observed(_), Some(Observed { committed_at })) => Source::Observed {
            committed_at,
            reported_at: next.created_at,
            // Only what equals the rendering, byte for byte, is taken in.
            verified: true,
        },
        (Origin::Observed(_), None) | (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, _) => Source::Proposed,
    };
    let trial = Trial {
        proposal: next.id,
        key: key_of(book, &next.repository, call, paths),
        target: Target::of(paths.iter().cloned()),
        tier: next.tier(),
        source,
        parameters: parameters(book, &next.repository, call),
        started_at,
        closes_at: Trial::closes_at(started_at, healthy_within, stable_for, &TrustConstants::default()),
        result: TrialResult::Open,
        settled_at: None,
        reverted_at: None,
    };
    tx.put_trial(&trial).await?;
    tx.schedule(Some(next.id), &Effect::WeighTrust, trial.closes_at).await
}

/// What an end says about the runbook; `None` while a success must still hold for a while.
fn result(book: &Book, call: &RunbookCall, next: &Proposal, outcome: Outcome) -> Option<TrialResult> {
    let result = TrialResult::of(outcome, next.landed)?;
    if result != TrialResult::Succeeded {
        return Some(result);
    }
    let Some(runbook) = book.runbook(&next.repository, &call.runbook) else {
        return Some(result);
    };
    let verification = runbook.verification();
    let took = next.ended_at.zip(next.pushed_at).map(|(ended, pushed)| ended - pushed);
    if took.is_some_and(|took| took > seconds(verification.healthy_within_seconds)) {
        return Some(TrialResult::Unknown);
    }
    // An application that the runbook vouches for must have been seen in order.
    let vouched = runbook.verified_applications(&call.parameters).ok().flatten().unwrap_or_default();
    let seen = |name: &String| next.applications.iter().any(|app| app.name == *name && app.state == "synced");
    if !vouched.iter().all(seen) {
        return Some(TrialResult::Unknown);
    }
    (verification.stable_for_seconds == 0).then_some(result)
}

fn seconds(seconds: u32) -> chrono::Duration {
    chrono::Duration::seconds(i64::from(seconds))
}

/// Until when a run that went well must stay so; `None` when that is known already, or nobody asks.
pub(crate) fn stability(book: &Book, proposal: &Proposal) -> Option<Timestamp> {
    let (Origin::Runbook(call) | Origin::Observed(call)) = &proposal.origin else {
        return None;
    };
    let stable_for = seconds(book.runbook(&proposal.repository, &call.runbook)?.verification().stable_for_seconds);
    let synced = proposal.outcome == Some(Outcome::Synced) && stable_for > chrono::Duration::zero();
    proposal.ended_at.filter(|_| synced).map(|at| at + stable_for)
}

/// Writes down every demotion that the record shows, at once: audited, and told with sound.
pub(super) async fn demote(tx: &mut Tx, book: &Book, key: &LedgerKey, now: Timestamp) -> Result<(), StoreError> {
    // The first may be followed by the one to `manual`; a third cannot come.
    for _ in 0..3 {
        let record = tx.ledger_record(key, since(now)).await?;
        let Some(due) = standing(book, key, &record, now).and_then(|standing| standing.due) else {
            return Ok(());
        };
        let demotion = Demotion {
            at: due.at,
            to: due.to,
            cause: due.cause,
            proposal: Some(due.proposal),
            by: None,
            lifted_at: None,
        };
        tx.put_demotion(key, &demotion).await?;
        let trial = record.trials.iter().find(|trial| trial.proposal == due.proposal);
        let held = trial.is_some_and(|trial| trial.reverted_at.is_some());
        let phrase = trial.map_or("failed", |trial| {
            if trial.reverted_at.is_some() {
                TrialResult::Reverted
            } else {
                trial.result_at(now)
            }
            .phrase()
        });
        let lift = match due.to {
            domain::Tier::Manual => format!("; /lift {} when it may ask again", key.runbook),
            domain::Tier::Prompted | domain::Tier::Standard if held => {
                format!("; it is on hold on the files of that run until /lift {}", key.runbook)
            }
            domain::Tier::Prompted | domain::Tier::Standard => String::new(),
        };
        let text = format!(
            "Runbook {} in {} is {} from now on ({}): run {} {phrase}. See /trust {}{lift}",
            key.runbook,
            key.environment,
            due.to,
            due.cause.as_str().replace('_', " "),
            due.proposal.short(),
            key.runbook
        );
        let details = json!({ "runbook": key.runbook, "hash": key.hash, "environment": key.environment.to_string(), "tier": due.to, "cause": due.cause });
        audit(tx, Some(due.proposal), "runbook_demoted", text.clone(), details, now).await?;
        tx.schedule(Some(due.proposal), &Effect::Alarm { text }, now).await?;
    }
    Ok(())
}

pub(super) async fn audit(
    tx: &mut Tx,
    proposal: Option<ProposalId>,
    event: &str,
    summary: String,
    details: serde_json::Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.audit(Audit {
        proposal,
        actor: Actor::Service,
        event: event.to_owned(),
        summary,
        details,
        at: now,
    })
    .await
    .map(|_| ())
}

impl Engine {
    /// Whether the trial of a run has no result yet.
    pub(crate) async fn is_tried(&self, id: ProposalId) -> bool {
        matches!(self.store().read().trial(id).await, Ok(Some(trial)) if trial.result == TrialResult::Open)
    }

    /// A run that went well stayed so, or did not.
    pub(crate) async fn tried(&self, id: ProposalId, result: TrialResult) -> Result<(), StoreError> {
        let (book, now) = (self.book(), self.now());
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut trial) = tx.trial(id).await? else {
                        return Ok::<_, StoreError>(());
                    };
                    if !trial.settle(result, now) {
                        return Ok(());
                    }
                    tx.put_trial(&trial).await?;
                    let summary = format!("the run {}", result.phrase());
                    audit(tx, Some(id), "trial_settled", summary, json!({ "result": result }), now).await?;
                    demote(tx, &book, &trial.key, now).await?;
                    void_offer(tx, &book, &trial.key, now).await
                })
            })
            .await
    }
}
