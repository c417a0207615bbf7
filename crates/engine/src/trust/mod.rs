//! What the trust ledger says about runs of runbooks: asked at intake, at every tap and just before the push, and fed with what became of them.
//!
//! The arithmetic is `domain::ledger`; here it meets the policy (which holds the promotions), the runbooks' files and the database.

mod by_hand;
mod edited;
mod follow;
mod limits;
mod offers;
mod people;
mod standings;
mod weigh;

use changes::Runbook;
use domain::ledger::{Grant, LedgerKey, Ruling, Standing, Target, TrustConstants};
use domain::{Decision, Event, Origin, Proposal, ProposalId, RepoPath, RepositoryName, RunbookCall, Tier, Timestamp, Trust};
use serde_json::Value;
use store::{LedgerRecord, ListFilter, StoreError, Tx};

use crate::usecases::RunNotes;
use crate::{Book, Engine, Problem};

pub(crate) use by_hand::{Known, known};
pub(crate) use edited::Shown;
pub(crate) use follow::{Observed, follow, stability};
pub(crate) use limits::{check_limits, limited};
pub use offers::SERVICE;
pub use standings::RunbookStanding;

/// Pending proposals that are looked through for a revert.
const PENDING_MAX: u32 = 500;

/// What is said about one run, and what a shadow notes of it.
pub(crate) struct Asked {
    /// Whose record was asked.
    pub key: LedgerKey,
    /// For the route.
    pub trust: Trust,
    /// Whether it would run by itself if its runbook were promoted.
    pub alone: bool,
}

/// From when on trials are read: the record's age, and a day more for repeats that began earlier.
pub(crate) fn since(now: Timestamp) -> Timestamp {
    let constants = TrustConstants::default();
    now - constants.window_age - constants.repeat
}

/// The promotion of a record that the policy holds, with the moment at which the service first saw it; one that was never seen counts from now.
fn grant(book: &Book, key: &LedgerKey, record: &LedgerRecord, now: Timestamp) -> Option<Grant> {
    let written = book.policy.grant(key)?;
    let seen = record.grants.iter().rev().find(|grant| grant.expires_at == written.until);
    Some(seen.copied().unwrap_or(Grant {
        offered_at: now,
        granted_at: now,
        expires_at: written.until,
        given: true,
    }))
}

/// Whether there is a promotion that somebody could take away: one that has not ended, and that no demotion has ended.
fn promoted(book: &Book, key: &LedgerKey, record: &LedgerRecord, now: Timestamp) -> bool {
    let ended = |grant: &Grant| record.demotions.iter().any(|demotion| demotion.at >= grant.offered_at);
    grant(book, key, record, now).is_some_and(|grant| now < grant.expires_at && !ended(&grant))
}

/// Where a record stands. `None` when its runbook is not in force any more, or was edited.
pub(crate) fn standing(book: &Book, key: &LedgerKey, record: &LedgerRecord, now: Timestamp) -> Option<Standing> {
    Some(standing_of(current(book, key)?, book, key, record, now))
}

/// Where the record of this runbook stands.
fn standing_of(runbook: &Runbook, book: &Book, key: &LedgerKey, record: &LedgerRecord, now: Timestamp) -> Standing {
    let grant = grant(book, key, record, now);
    let record = record.with(runbook.ceiling(), runbook.schema(), grant.as_ref());
    let standing = domain::ledger::standing(&record, now, &TrustConstants::default());
    let repository = &key.environment.repository;
    if book.watches(repository) {
        standing
    } else {
        standing.unseen(&format!("repository {repository} has no Argo CD that tells how a run ends"))
    }
}

/// The runbook of a record, as long as its file is the one that the record is about.
fn current<'b>(book: &'b Book, key: &LedgerKey) -> Option<&'b Runbook> {
    let runbook = book.runbook(&key.environment.repository, &key.runbook)?;
    (runbook.content_hash() == key.hash).then_some(runbook.as_ref())
}

/// Whose record a run belongs to.
pub(crate) fn key_of(book: &Book, repository: &RepositoryName, call: &RunbookCall, paths: &[RepoPath]) -> LedgerKey {
    LedgerKey {
        runbook: call.runbook.clone(),
        hash: call.hash,
        environment: book.policy.environment(repository, paths),
    }
}

/// A run's parameters as its trial keeps them: with the schema's defaults.
pub(crate) fn parameters(book: &Book, repository: &RepositoryName, call: &RunbookCall) -> Value {
    let runbook = book
        .runbook(repository, &call.runbook)
        .filter(|runbook| runbook.content_hash() == call.hash);
    let complete = runbook.and_then(|runbook| runbook.complete(&call.parameters).ok());
    complete.unwrap_or_else(|| call.parameters.clone())
}

/// What a record says about one run of the runbook in force; of `then`, where the run is known to be one of that.
fn ask(
    book: &Book,
    key: LedgerKey,
    record: &LedgerRecord,
    (call, then): (&RunbookCall, Option<&Runbook>),
    paths: &[RepoPath],
    now: Timestamp,
) -> Asked {
    let target = Target::of(paths.iter().cloned());
    let runbook = then
        .filter(|runbook| runbook.content_hash() == key.hash)
        .or_else(|| current(book, &key));
    let Some(runbook) = runbook else {
        let why = edited::why_asked(&key.runbook);
        let held = record.holds.iter().find(|hold| paths.contains(&hold.path));
        return Asked {
            key,
            trust: Trust {
                tier: domain::Tier::Prompted,
                why,
                held: held.map(|hold| format!("{} is on hold for {}; a human must lift the hold first", hold.runbook, hold.path)),
            },
            alone: false,
        };
    };
    let complete = runbook.complete(&call.parameters).unwrap_or_else(|_| call.parameters.clone());
    let (trust, alone) = match standing_of(runbook, book, &key, record, now).rule(&complete, &target) {
        Ruling::Held { why, .. } => (
            Trust {
                tier: domain::Tier::Prompted,
                why: why.clone(),
                held: Some(why),
            },
            false,
        ),
        Ruling::Runs { tier, why, alone } => (Trust { tier, why, held: None }, alone),
    };
    Asked { key, trust, alone }
}

impl Engine {
    /// What trust says about a run that is not stored yet.
    ///
    /// # Errors
    /// 409 while a hold stands on one of its paths.
    pub(crate) async fn trusted(&self, repository: &RepositoryName, call: &RunbookCall, paths: &[RepoPath]) -> Result<Asked, Problem> {
        let mut asked = self.trusted_then(repository, call, None, paths).await?;
        // Whoever wants something undone must not lose the race against the next run.
        if asked.trust.tier == Tier::Standard
            && let Some(revert) = self.revert_waiting(repository, paths).await?
        {
            asked.trust.tier = Tier::Prompted;
            asked.trust.why = format!("prompted: revert {} of the same files waits for people", revert.short());
        }
        Ok(asked)
    }

    /// A revert that people still decide about, and that touches one of these paths.
    async fn revert_waiting(&self, repository: &RepositoryName, paths: &[RepoPath]) -> Result<Option<ProposalId>, Problem> {
        let filter = ListFilter {
            repository: Some(repository.clone()),
            decision: Some(Decision::Pending),
            open_only: true,
            ..ListFilter::default()
        };
        let (pending, _) = self.store().read().list(&filter, None, PENDING_MAX).await?;
        let touches = |proposal: &Proposal| proposal.revision.facts.paths.iter().any(|path| paths.contains(path));
        let revert = pending
            .into_iter()
            .find(|proposal| matches!(proposal.origin, Origin::Revert { .. }) && touches(proposal));
        Ok(revert.map(|proposal| proposal.id))
    }

    /// The same for a run of a runbook as it was `then`, which need not be the one in force.
    pub(crate) async fn trusted_then(
        &self,
        repository: &RepositoryName,
        call: &RunbookCall,
        then: Option<&Runbook>,
        paths: &[RepoPath],
    ) -> Result<Asked, Problem> {
        let (book, now) = (self.book(), self.now());
        let key = key_of(&book, repository, call, paths);
        let record = self.store().read().ledger_record(&key, since(now)).await?;
        let asked = ask(&book, key, &record, (call, then), paths, now);
        match &asked.trust.held {
            None => Ok(asked),
            Some(why) => {
                let hint = format!(
                    "ask an approver to look and to send /lift {}; other paths are not held",
                    call.runbook
                );
                Err(Problem::new(409, "runbook_held", why.clone(), hint).at("/runbook"))
            }
        }
    }

    /// Why a run must not go out at the moment, whatever was decided; nothing while that cannot be read: it is asked again with the commit.
    pub(crate) async fn holding(&self, proposal: &Proposal) -> Option<String> {
        let Origin::Runbook(call) = &proposal.origin else { return None };
        let holds = self.store().read().holds(&call.runbook, &proposal.repository).await.ok()?;
        let hold = holds.into_iter().find(|hold| proposal.revision.facts.paths.contains(&hold.path))?;
        Some(format!("{} is on hold for {} (/lift {})", hold.runbook, hold.path, hold.runbook))
    }

    /// What is granted in the repositories that are configured, each by the policy that its changes are judged by.
    pub(crate) fn granted(&self, book: &Book) -> Vec<(LedgerKey, Timestamp)> {
        let of = |name: &RepositoryName| {
            let grants = book.policy.for_repository(name).grants().iter();
            grants
                .filter(|grant| grant.key.environment.repository == *name)
                .map(|grant| (grant.key.clone(), grant.until))
                .collect::<Vec<_>>()
        };
        self.repositories().flat_map(|setup| of(&setup.name)).collect()
    }

    /// Notes what the policy in force grants. Seen grants stay as they are.
    pub(crate) async fn sight_grants(&self) -> Result<(), StoreError> {
        let (book, now) = (self.book(), self.now());
        let granted = self.granted(&book);
        if granted.is_empty() {
            return Ok(());
        }
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    for (key, until) in &granted {
                        sight(tx, key, *until, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Notes a grant at its first sight, with an audit row.
async fn sight(tx: &mut Tx, key: &LedgerKey, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    let open = tx.open_offer(key).await?;
    if !tx.sight_grant(key, until, now).await? {
        return Ok(());
    }
    if let Some(open) = open {
        offers::taken(tx, key, open.id, until, now).await?;
    }
    let summary = format!(
        "the policy lets runbook {} ({}) run by itself in {} until {}",
        key.runbook,
        key.hash.short(),
        key.environment,
        until.format("%Y-%m-%d")
    );
    tx.audit(store::Audit {
        proposal: None,
        actor: store::Actor::Service,
        event: "grant_seen".to_owned(),
        summary,
        details: serde_json::json!({ "runbook": key.runbook, "hash": key.hash, "environment": key.environment.to_string() }),
        at: now,
    })
    .await?;
    Ok(())
}

/// Takes in a new run: whether it asked nobody, what it would have done by itself, and that it is on the branch when an agent pushed it.
pub(crate) async fn noted(tx: &mut Tx, book: &Book, stored: &Proposal, run: RunNotes, now: Timestamp) -> Result<(), StoreError> {
    let (Origin::Runbook(call) | Origin::Observed(call)) = &stored.origin else {
        return Ok(());
    };
    if stored.tier() == domain::Tier::Standard {
        let target = Target::of(stored.revision.facts.paths.iter().cloned());
        tx.put_standard_run(stored.id, &call.runbook, &stored.repository, &target, now)
            .await?;
    } else if let Some((key, alone)) = &run.shadow {
        tx.put_shadow(key, stored.id, *alone).await?;
    }
    follow(tx, book, None, stored, run.observed, now).await
}

/// Asks anew about a run before a step that its route decides: what was true at intake need not be true now.
pub(crate) async fn ask_again(tx: &mut Tx, book: &Book, proposal: &mut Proposal, event: &Event, now: Timestamp) -> Result<(), StoreError> {
    let decides = matches!(event, Event::Review { .. } | Event::CommitBuilt { .. });
    let Origin::Runbook(call) = &proposal.origin else { return Ok(()) };
    if !decides || proposal.revision.facts.runbook.is_none() {
        return Ok(());
    }
    let paths = &proposal.revision.facts.paths;
    let key = key_of(book, &proposal.repository, call, paths);
    if let Some(written) = book.policy.grant(&key) {
        sight(tx, &key, written.until, now).await?;
    }
    let record = tx.ledger_record(&key, since(now)).await?;
    proposal.revision.facts.trust = Some(ask(book, key, &record, (call, None), paths, now).trust);
    Ok(())
}
