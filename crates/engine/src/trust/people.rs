//! What people do about trust: take a tier away, lift what stops a runbook, turn an offer down. Who may is decided by the policy.

use domain::ledger::{Demotion, DemotionCause, LedgerKey};
use domain::{Origin, PersonRef, Proposal, ProposalId, RepositoryName, RunbookName, Tier};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use super::offers::end_offer;
use super::{key_of, promoted, since};
use crate::Engine;

impl Engine {
    /// A person takes `standard` away from the runbook of a run; the sentence for them.
    pub(crate) async fn demote_by_person(&self, proposal: &Proposal, by: PersonRef) -> Result<String, StoreError> {
        let (Origin::Runbook(call) | Origin::Observed(call)) = &proposal.origin else {
            return Ok("this change is no run of a runbook".to_owned());
        };
        let key = key_of(&self.book(), &proposal.repository, call, &proposal.revision.facts.paths);
        self.demote_record(key, Some(proposal.id), by).await
    }

    /// A person takes `standard` away from a runbook wherever it runs; the sentence for them.
    pub(crate) async fn demote_everywhere(&self, runbook: &RunbookName, by: &PersonRef) -> Result<String, StoreError> {
        let mut said = Vec::new();
        for one in self.standings(runbook).await? {
            said.push(self.demote_record(one.key, None, by.clone()).await?);
        }
        Ok(said.join("; "))
    }

    async fn demote_record(&self, key: LedgerKey, id: Option<ProposalId>, by: PersonRef) -> Result<String, StoreError> {
        let (now, book) = (self.now(), self.book());
        let said = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let record = tx.ledger_record(&key, since(now)).await?;
                    if !promoted(&book, &key, &record, now) {
                        let offer = match tx.open_offer(&key).await? {
                            Some(_) => format!("; /notnow {} turns the offer of a promotion down", key.runbook),
                            None => String::new(),
                        };
                        return Ok::<_, StoreError>(format!(
                            "runbook {} in {} asks people already: there is no standard to take away{offer}",
                            key.runbook, key.environment
                        ));
                    }
                    let said = format!(
                        "runbook {} in {} asks people from now on: {} took standard away",
                        key.runbook, key.environment, by.name
                    );
                    let demotion = Demotion {
                        at: now,
                        to: Tier::Prompted,
                        cause: DemotionCause::Human,
                        proposal: id,
                        by: Some(by.clone()),
                        lifted_at: None,
                    };
                    tx.put_demotion(&key, &demotion).await?;
                    end_offer(tx, &book, &key, &format!("{} took standard away", by.name), now).await?;
                    let details = json!({ "runbook": key.runbook, "hash": key.hash, "environment": key.environment.to_string() });
                    tell(tx, id, &by, "runbook_demoted", said.clone(), details, now).await?;
                    Ok(said)
                })
            })
            .await?;
        self.0.wake.notify_waiters();
        Ok(said)
    }

    /// A person lifts every hold of a runbook, and a `manual` that its failures or somebody put; the sentence for them.
    pub(crate) async fn lift(&self, runbook: &RunbookName, by: PersonRef) -> Result<String, StoreError> {
        let now = self.now();
        let repositories: Vec<RepositoryName> = self.repositories().map(|setup| setup.name.clone()).collect();
        let name = runbook.clone();
        let (holds, manuals) = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let (mut holds, mut manuals) = (0, 0);
                    for repository in &repositories {
                        holds += tx.lift_holds(&name, repository, by.id, now).await?;
                        for key in tx.ledger_keys(&name, repository, since(now)).await? {
                            manuals += tx.lift_demotions(&key, by.id, now).await?;
                        }
                    }
                    if holds + manuals > 0 {
                        let summary = format!("{} lifted {holds} holds and {manuals} manual demotions of runbook {name}", by.name);
                        tell(tx, None, &by, "runbook_lifted", summary, json!({ "runbook": name }), now).await?;
                    }
                    Ok::<_, StoreError>((holds, manuals))
                })
            })
            .await?;
        self.0.wake.notify_waiters();
        Ok(match (holds, manuals) {
            (0, 0) => format!("Nothing stops runbook {runbook}: there is no hold and no manual to lift."),
            (holds, 0) => format!("{} of runbook {runbook} lifted.", domain::counted(count(holds), "hold", "holds")),
            (0, _) => format!("Runbook {runbook} may ask people again; the way up is a new offer."),
            (holds, _) => format!(
                "{} of runbook {runbook} lifted, and it may ask people again; the way up is a new offer.",
                domain::counted(count(holds), "hold", "holds")
            ),
        })
    }

    /// A person turns an open offer down; the sentence for them.
    pub(crate) async fn turn_down(&self, runbook: &RunbookName, by: PersonRef) -> Result<String, StoreError> {
        let (now, book) = (self.now(), self.book());
        let keys: Vec<LedgerKey> = self.standings(runbook).await?.into_iter().map(|one| one.key).collect();
        let name = runbook.clone();
        let declined = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let mut declined = false;
                    for key in &keys {
                        if end_offer(tx, &book, key, &format!("{} turned it down", by.name), now).await? {
                            declined = true;
                            let summary = format!("{} turned the promotion of runbook {name} in {} down", by.name, key.environment);
                            let details = json!({ "runbook": key.runbook, "hash": key.hash, "environment": key.environment.to_string() });
                            tell(tx, None, &by, "promotion_declined", summary, details, now).await?;
                        }
                    }
                    Ok::<_, StoreError>(declined)
                })
            })
            .await?;
        Ok(if declined {
            format!("Runbook {runbook} goes on asking people; the next offer comes after 30 days at the earliest.")
        } else {
            format!("No promotion of runbook {runbook} is offered at the moment.")
        })
    }
}

async fn tell(
    tx: &mut Tx,
    proposal: Option<ProposalId>,
    by: &PersonRef,
    event: &str,
    summary: String,
    details: serde_json::Value,
    now: domain::Timestamp,
) -> Result<(), StoreError> {
    tx.audit(Audit {
        proposal,
        actor: Actor::Person(by.clone()),
        event: event.to_owned(),
        summary,
        details,
        at: now,
    })
    .await
    .map(|_| ())
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
