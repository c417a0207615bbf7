//! The one way in which anything happens to a proposal: load, decide, write, in one transaction.

use std::sync::Arc;

use domain::{ChangeSet, Event, Policy, Proposal, ProposalId, Refusal, decide};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use crate::{Book, Checked, Engine, trust};

/// Why an event changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    Missing(ProposalId),
    /// It does not fit the state or the person.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event with what belongs into the same transaction.
pub(crate) struct Act {
    pub id: ProposalId,
    pub actor: Actor,
    pub event: Event,
    /// The contents of a new revision.
    pub contents: Option<ChangeSet>,
    /// What the checks said of them.
    pub checked: Option<Checked>,
    /// Further facts for the audit row.
    pub details: serde_json::Value,
    /// Refused attempts of people and agents leave an audit row; the service's own do not.
    pub audit_refusal: bool,
    /// The version that the caller saw; another one is refused.
    pub expected_version: Option<u64>,
    /// The creating call's key, whose answer is kept in the same transaction.
    pub answer: Option<(crate::Agent, crate::Idempotency)>,
}

impl Act {
    pub(crate) fn service(id: ProposalId, event: Event) -> Self {
        Self {
            id,
            actor: Actor::Service,
            event,
            contents: None,
            checked: None,
            details: json!({}),
            audit_refusal: false,
            expected_version: None,
            answer: None,
        }
    }
}

/// What an act came to.
pub(crate) enum Acted {
    /// Done; the proposal afterwards and the sentence for people.
    Done(Box<Proposal>, String),
    /// Refused, and audited where asked.
    Refused(Refusal),
    /// The version is another one; the current.
    Stale(u64),
    /// No such proposal.
    Missing,
}

impl Engine {
    /// Runs one act in the writer.
    pub(crate) async fn act(&self, mut act: Act) -> Result<Acted, StoreError> {
        let (book, now) = (self.book(), self.now());
        let acted = self
            .0
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let Some(mut proposal) = tx.proposal(act.id).await? else {
                        return Ok::<_, StoreError>(Acted::Missing);
                    };
                    if act.expected_version.is_some_and(|expected| expected != proposal.version) {
                        return Ok(Acted::Stale(proposal.version));
                    }
                    let policy = under_orders(tx, act.id, &mut act.event, &book).await?;
                    let mut audit = Audit {
                        proposal: Some(act.id),
                        actor: act.actor,
                        event: act.event.name().to_owned(),
                        summary: String::new(),
                        details: act.details,
                        at: now,
                    };
                    trust::ask_again(tx, &book, &mut proposal, &act.event, now).await?;
                    match decide(&proposal, act.event, &policy, now) {
                        Ok(transition) => {
                            audit.summary.clone_from(&transition.summary);
                            if let Some(contents) = &act.contents {
                                let checks = act.checked.as_ref().and_then(Checked::json);
                                tx.insert_contents(act.id, transition.next.revision.number, contents, checks.as_deref())
                                    .await?;
                            }
                            let next = tx.apply(&transition, audit).await?;
                            trust::follow(tx, &book, Some(&proposal), &next, None, now).await?;
                            if let Some((agent, key)) = &act.answer {
                                crate::usecases::remember(tx, agent, Some(key), &next, now).await?;
                            }
                            Ok(Acted::Done(Box::new(next), transition.summary))
                        }
                        Err(refusal) => {
                            if act.audit_refusal {
                                audit.event = format!("refused_{}", audit.event);
                                audit.summary = refusal.to_string();
                                tx.audit(audit).await?;
                            }
                            Ok(Acted::Refused(refusal))
                        }
                    }
                })
            })
            .await?;
        if let Acted::Done(proposal, _) = &acted {
            self.0.hub.ring(proposal.id);
            self.0.wake.notify_waiters();
        }
        Ok(acted)
    }

    /// Whether a delivery may be sent now, under the policy in force and the orders as of the last look.
    ///
    /// # Errors
    /// Everything that holds it back.
    pub(crate) fn may_send(&self, proposal: &Proposal) -> Result<(), Vec<domain::Hold>> {
        let orders = self.orders_of(proposal.id);
        domain::may_send(&self.book().policy, &orders.stops, proposal, &orders.overridden, self.now())
    }

    /// Runs a service event whose refusal is ordinary: the world moved on meanwhile.
    pub(crate) async fn happen(&self, id: ProposalId, event: Event) -> Result<Option<Proposal>, StoreError> {
        self.ordinary(Act::service(id, event)).await
    }

    /// The same, decided on this version: when the row has moved on meanwhile, nothing happens and the answer is `None`.
    pub(crate) async fn happen_to(&self, proposal: &Proposal, event: Event) -> Result<Option<Proposal>, StoreError> {
        let act = Act {
            expected_version: Some(proposal.version),
            ..Act::service(proposal.id, event)
        };
        self.ordinary(act).await
    }

    async fn ordinary(&self, act: Act) -> Result<Option<Proposal>, StoreError> {
        let (id, name) = (act.id, act.event.name());
        match self.act(act).await? {
            Acted::Done(proposal, summary) => {
                tracing::info!(proposal = %id, event = name, "{summary}");
                Ok(Some(*proposal))
            }
            Acted::Refused(refusal) => {
                tracing::debug!(proposal = %id, event = name, %refusal, "an event came too late");
                Ok(None)
            }
            Acted::Stale(_) | Acted::Missing => Ok(None),
        }
    }

    /// An audit row of its own: something a person, an agent or the world tried.
    pub(crate) async fn record(&self, proposal: Option<ProposalId>, actor: Actor, event: &str, summary: String) -> Result<(), StoreError> {
        let audit = Audit {
            proposal,
            actor,
            event: event.to_owned(),
            summary,
            details: json!({}),
            at: self.now(),
        };
        self.0
            .store
            .write(move |tx| Box::pin(async move { tx.audit(audit).await.map(|_| ()) }))
            .await
    }
}

/// Reads, within the transaction that decides, what people ordered: an order that was committed before is always known. Answers the policy
/// while those have no rights who gave them up. Only what people do, and the leave to push, depend on it.
pub(crate) async fn under_orders(tx: &mut Tx, id: ProposalId, event: &mut Event, book: &Book) -> Result<Arc<Policy>, StoreError> {
    if event.person().is_none() && !matches!(event, Event::CommitBuilt { .. }) {
        return Ok(book.policy.clone());
    }
    let (read, locked) = tx.orders(id).await?;
    if let Event::CommitBuilt { orders, .. } = event {
        *orders = read;
    }
    Ok(book.under(&locked))
}
