//! Promotion is offered, never taken: when a record shows enough, people are shown the evidence and the change of the policy that accepts it.
//!
//! Where the repository carries its own policy the offer is a proposal of that change, made by the service: approving it commits it. Where the
//! policy is a local file, people are shown the lines to add.

use std::time::Duration;

use changes::NewGrant;
use domain::ledger::{LedgerKey, Offer};
use domain::{Effect, Event, Origin, Proposal, RepoPath, Timestamp, decide, open};
use gitworker::{Edit, Entry, RequestedChange};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use super::follow::audit;
use super::{since, standing};
use crate::checked::Manner;
use crate::intake::Resolved;
use crate::workers::Ran;
use crate::{Agent, Book, Checked, Engine, PolicyHome, RepositorySetup};

/// In whose name the service proposes. No agent can have it.
pub const SERVICE: &str = "countersign";

impl Engine {
    /// Offers a promotion once, when the record shows enough; takes an offer back that it no longer carries.
    pub(super) async fn offer(&self, key: &LedgerKey) -> Ran {
        match self.offered(key).await {
            Ok(ran) => ran,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    async fn offered(&self, key: &LedgerKey) -> Result<Ran, StoreError> {
        let (book, now, read) = (self.book(), self.now(), self.store().read());
        let record = read.ledger_record(key, since(now)).await?;
        let due = standing(&book, key, &record, now).and_then(|standing| standing.offer);
        let known = read.open_offer(key).await?.is_some();
        let Some(offer) = due.filter(|_| !known) else {
            let key = key.clone();
            self.store()
                .write(move |tx| Box::pin(async move { void_offer(tx, &book, &key, now).await }))
                .await?;
            return Ok(Ran::Done);
        };
        let Some(setup) = self.repository(&key.environment.repository) else {
            return Ok(Ran::Done);
        };
        let grant = NewGrant {
            key: key.clone(),
            until: offer.expires_at.date_naive(),
            evidence: offer.evidence.clone(),
        };
        let home = book.home(&setup.name);
        if let Some(PolicyHome::Repository(path)) = &home {
            match self.promotion(setup, &book, path, &grant, now).await {
                Ok(opening) => return self.propose_promotion(opening, grant, offer).await,
                Err(Unwritten::Later(why)) => return Ok(Ran::Failed(why)),
                Err(Unwritten::ByHand(why)) => tracing::warn!(repository = %setup.name, %why, "a promotion must be written by hand"),
            }
        }
        let file = match home {
            Some(PolicyHome::Local(file)) => file.display().to_string(),
            Some(PolicyHome::Repository(path)) => path.to_string(),
            None => "the policy".to_owned(),
        };
        let grants = book.policy.for_repository(&setup.name).grants();
        let same = |known: &&domain::Grant| known.key.runbook == key.runbook && known.key.environment == key.environment;
        self.tell_promotion(&file, grants.iter().any(|known| same(&known)), grant, offer)
            .await?;
        Ok(Ran::Done)
    }

    /// The change of the repository's policy that accepts an offer.
    async fn promotion(
        &self,
        setup: &RepositorySetup,
        book: &Book,
        path: &RepoPath,
        grant: &NewGrant,
        now: Timestamp,
    ) -> Result<(Proposal, domain::ChangeSet, Checked), Unwritten> {
        let later = |error: gitworker::GitError| Unwritten::Later(error.to_string());
        let tip = setup.git.refresh(Duration::ZERO).await.map_err(later)?.commit;
        let entry = setup.git.read(tip, std::slice::from_ref(path)).await.map_err(later)?.remove(path);
        let Some(Entry::File { bytes, .. }) = entry else {
            return Err(Unwritten::ByHand(format!("{path} is no file of the branch")));
        };
        let text = String::from_utf8(bytes).map_err(|_| Unwritten::ByHand(format!("{path} is not UTF-8 text")))?;
        let edited = changes::with_grant(&text, grant).map_err(Unwritten::ByHand)?;
        book.with_text(&setup.name, path.as_str(), &edited).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Unwritten::ByHand(format!("the policy with the grant would not be valid: {first}"))
        })?;
        let requested = RequestedChange {
            path: path.clone(),
            edit: Edit::Write {
                bytes: edited.into_bytes(),
                exec: None,
            },
        };
        let change = setup
            .git
            .resolve(tip, vec![requested])
            .await
            .map_err(|error| Unwritten::Later(error.to_string()))?;
        let looked = self.look(setup, tip, &change, Manner::Offered).await;
        let (mut facts, mut checked) = looked.map_err(|problem| Unwritten::Later(problem.detail))?;
        facts.promotion = Some(grant.key.clone());
        let route = book.policy.route(&setup.name, &facts);
        checked.routed(setup.branch(), &route);
        let resolved = Resolved {
            repository: setup.name.clone(),
            branch: setup.branch().to_owned(),
            base: tip,
            digest: change.digest(&setup.name, setup.branch()),
            route,
            facts,
            checked,
            replay: self.foreseen(setup, &change).await,
            change,
            origin: Origin::Change,
            shadow: None,
            title: format!(
                "Let runbook {} run by itself in {} until {}",
                grant.key.runbook, grant.key.environment, grant.until
            ),
            reason: format!("Its record: {}. Whatever goes wrong from now on takes it back.", grant.evidence),
        };
        let name = SERVICE
            .parse()
            .map_err(|_| Unwritten::ByHand("the service has no name".to_owned()))?;
        let agent = Agent {
            name,
            repositories: Vec::new(),
            paths: Vec::new(),
            runbooks: Vec::new(),
            expires_at: None,
        };
        let proposal = self.new_proposal(&agent, None, &resolved, None, None, now);
        Ok((proposal, resolved.change, resolved.checked))
    }

    async fn propose_promotion(
        &self,
        (proposal, contents, checked): (Proposal, domain::ChangeSet, Checked),
        grant: NewGrant,
        offer: Offer,
    ) -> Result<Ran, StoreError> {
        let now = self.now();
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    if tx.open_offer(&grant.key).await?.is_some() {
                        return Ok::<_, StoreError>(());
                    }
                    let transition = open(proposal, now);
                    let audit = offered_audit(&grant, &offer, now);
                    let stored = tx
                        .insert_answered(&transition, &contents, checked.json().as_deref(), audit, None)
                        .await?;
                    tx.put_offer(&grant.key, Some(stored.id), offer.offered_at, grant.expires_at())
                        .await
                        .map(drop)
                })
            })
            .await?;
        self.crash("offer:stored");
        self.0.wake.notify_waiters();
        Ok(Ran::Done)
    }

    /// `earlier`: whether the file grants the runbook something there already, which two entries for one record would make invalid.
    async fn tell_promotion(&self, file: &str, earlier: bool, grant: NewGrant, offer: Offer) -> Result<(), StoreError> {
        let now = self.now();
        let runbook = &grant.key.runbook;
        let how = if earlier {
            format!("To accept, put this in place of its [[grants]] entry in {file}:")
        } else {
            format!("To accept, add this at the end of {file}:")
        };
        let text = format!(
            "Runbook {runbook} may run by itself in {}: {}.\n{how}",
            grant.key.environment, grant.evidence
        );
        let after = format!("To turn it down: /notnow {runbook}. Whatever goes wrong meanwhile takes the offer back.");
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    if tx.open_offer(&grant.key).await?.is_some() {
                        return Ok::<_, StoreError>(());
                    }
                    let number = tx.put_offer(&grant.key, None, offer.offered_at, grant.expires_at()).await?;
                    tx.audit(offered_audit(&grant, &offer, now)).await?;
                    let effect = Effect::TellOffer {
                        offer: number,
                        repository: grant.key.environment.repository.clone(),
                        text,
                        lines: grant.lines(),
                        after,
                    };
                    tx.schedule(None, &effect, now).await
                })
            })
            .await?;
        self.crash("offer:stored");
        self.0.wake.notify_waiters();
        Ok(())
    }
}

/// Why the service does not write a grant by itself.
enum Unwritten {
    /// The repository cannot be read now.
    Later(String),
    /// A human must: why.
    ByHand(String),
}

fn offered_audit(grant: &NewGrant, offer: &Offer, now: Timestamp) -> Audit {
    Audit {
        proposal: None,
        actor: Actor::Service,
        event: "promotion_offered".to_owned(),
        summary: format!(
            "runbook {} may run by itself in {}: {}",
            grant.key.runbook, grant.key.environment, offer.evidence
        ),
        details: json!({ "runbook": grant.key.runbook, "hash": grant.key.hash, "environment": grant.key.environment.to_string(), "until": grant.until }),
        at: now,
    }
}

/// Ends the open offer of a record without a grant, and the proposal that would accept it; what tells of it says why. Answers whether there was
/// one.
pub(super) async fn end_offer(tx: &mut Tx, book: &Book, key: &LedgerKey, why: &str, now: Timestamp) -> Result<bool, StoreError> {
    let Some(open) = tx.open_offer(key).await? else { return Ok(false) };
    tx.decline_offer(key, now).await?;
    let text = format!(
        "🔚 No longer offered: runbook {} by itself in {}.\n{why}.",
        key.runbook, key.environment
    );
    let effect = Effect::CloseOffer { offer: open.id, text };
    tx.schedule(None, &effect, now).await?;
    let Some(id) = open.proposal else { return Ok(true) };
    let Some(proposal) = tx.proposal(id).await? else { return Ok(true) };
    // Refused where it was sent a moment ago: then the grant lands, and the record judges it.
    if let Ok(transition) = decide(&proposal, Event::Refuse { why: why.to_owned() }, &book.policy, now) {
        let audit = Audit {
            proposal: Some(id),
            actor: Actor::Service,
            event: "refuse".to_owned(),
            summary: transition.summary.clone(),
            details: json!({}),
            at: now,
        };
        tx.apply(&transition, audit).await?;
    }
    Ok(true)
}

/// The policy grants a record something from now on: an open offer of it is over, and what tells of it says so.
pub(super) async fn taken(tx: &mut Tx, key: &LedgerKey, offer: u64, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    // Somebody chose another last day: theirs holds, and nothing is open any more.
    if tx.open_offer(key).await?.is_some_and(|open| open.id == offer) {
        tx.decline_offer(key, now).await?;
    }
    let last = until - chrono::Duration::nanoseconds(1);
    let text = format!(
        "✅ Accepted: runbook {} runs by itself in {} to the end of {}.\n/demote {} takes it back.",
        key.runbook,
        key.environment,
        last.format("%Y-%m-%d"),
        key.runbook
    );
    tx.schedule(None, &Effect::CloseOffer { offer, text }, now).await
}

/// Takes an open offer back when the record no longer carries it, and ends its proposal.
pub(super) async fn void_offer(tx: &mut Tx, book: &Book, key: &LedgerKey, now: Timestamp) -> Result<(), StoreError> {
    let Some(known) = tx.open_offer(key).await? else { return Ok(()) };
    // Somebody may have accepted it a moment ago.
    if let Some(written) = book.policy.grant(key) {
        super::sight(tx, key, written.until, now).await?;
        if tx.open_offer(key).await?.is_none() {
            return Ok(());
        }
    }
    let record = tx.ledger_record(key, since(now)).await?;
    if standing(book, key, &record, now).is_some_and(|standing| standing.offer.is_some()) {
        return Ok(());
    }
    let why = format!("the record of runbook {} no longer shows enough", key.runbook);
    end_offer(tx, book, key, &format!("Taken back: {why}"), now).await?;
    audit(
        tx,
        known.proposal,
        "promotion_void",
        why.clone(),
        json!({ "runbook": key.runbook, "hash": key.hash }),
        now,
    )
    .await
}

/// An offer's proposal ended without a commit: that is a no.
pub(super) async fn answered(tx: &mut Tx, before: Option<&Proposal>, next: &Proposal, now: Timestamp) -> Result<(), StoreError> {
    let Some(key) = &next.revision.facts.promotion else { return Ok(()) };
    let ended = next.outcome.is_some() && before.is_some_and(|before| before.outcome.is_none());
    if ended && next.commit.is_none() && tx.open_offer(key).await?.is_some_and(|open| open.proposal == Some(next.id)) {
        tx.decline_offer(key, now).await?;
    }
    Ok(())
}
