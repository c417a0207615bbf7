//! An agent proposes: resolved outside the writer, then stored whole in one transaction with everything it owes.

use std::pin::pin;

use domain::ledger::LedgerKey;
use domain::{ChangeSet, Decision, Delivery, Origin, PersonRef, Proposal, Revision, RevisionAuthor, Timestamp, open};
use futures_util::future::{Either, select};
use serde_json::json;
use store::{Actor, Audit, Duplicate, NewAnswer, Standing, StoreError, StoredAnswer, Tx};

use super::asking;
use crate::intake::Resolved;
use crate::{Agent, Answer, Checked, Created, Engine, Idempotency, Problem, ProposalRequest, trust};

/// A proposal about to be stored.
pub(crate) struct Opening {
    pub proposal: Proposal,
    pub contents: ChangeSet,
    pub checked: Checked,
    pub actor: Actor,
    pub details: serde_json::Value,
    pub run: RunNotes,
}

/// What the trust ledger takes in with a new run; nothing for other changes.
#[derive(Default)]
pub(crate) struct RunNotes {
    /// Whose record it is, and whether it would have run by itself.
    pub shadow: Option<(LedgerKey, bool)>,
    /// The commit that an agent pushed by itself.
    pub observed: Option<trust::Observed>,
}

impl Engine {
    /// Stores a proposal and what it owes.
    ///
    /// # Errors
    /// Typed problems for everything an agent can get wrong; nothing is stored then.
    pub async fn propose(&self, agent: &Agent, request: ProposalRequest, key: Option<Idempotency>) -> Result<Created, Problem> {
        let resolved = match self.replay_or_resolve(agent, &request, key.as_ref()).await? {
            Either::Left(replay) => return Ok(replay),
            Either::Right(resolved) => resolved,
        };
        self.admit(agent, &resolved, &request).await?;
        let now = self.now();
        let proposal = self.new_proposal(agent, None, &resolved, request.correlation, request.ttl_seconds, now);
        let opening = Opening {
            proposal,
            contents: resolved.change,
            checked: resolved.checked,
            actor: Actor::Agent(agent.name.clone()),
            details: json!({ "base": resolved.base }),
            run: RunNotes {
                shadow: resolved.shadow,
                observed: None,
            },
        };
        self.open(agent, opening, key).await
    }

    /// Side by side; an earlier answer outweighs whatever the request looks like by now, and does not wait for the repository.
    async fn replay_or_resolve(
        &self,
        agent: &Agent,
        request: &ProposalRequest,
        key: Option<&Idempotency>,
    ) -> Result<Either<Created, Resolved>, Problem> {
        let replaying = pin!(self.replay(agent, key));
        let resolving = pin!(self.resolve(agent, request));
        let (replay, resolved) = match select(replaying, resolving).await {
            Either::Left((replay, resolving)) => (replay?, Err(resolving)),
            Either::Right((resolved, replaying)) => (replaying.await?, Ok(resolved)),
        };
        match (replay, resolved) {
            (Some(replay), _) => Ok(Either::Left(replay)),
            (None, Ok(resolved)) => resolved.map(Either::Right),
            (None, Err(resolving)) => resolving.await.map(Either::Right),
        }
    }

    /// The row of a new proposal.
    pub(crate) fn new_proposal(
        &self,
        agent: &Agent,
        requested_by: Option<PersonRef>,
        resolved: &Resolved,
        correlation: Option<String>,
        ttl_seconds: Option<u32>,
        now: Timestamp,
    ) -> Proposal {
        let ttl = ttl_seconds.map_or(resolved.route.ttl_seconds, |asked| asked.min(resolved.route.ttl_seconds));
        Proposal {
            id: self.fresh_id(now),
            version: 1,
            repository: resolved.repository.clone(),
            branch: resolved.branch.clone(),
            agent: agent.name.clone(),
            requested_by,
            correlation,
            origin: resolved.origin.clone(),
            title: resolved.title.clone(),
            reason: resolved.reason.clone(),
            created_at: now,
            expires_at: now + chrono::Duration::seconds(i64::from(ttl)),
            revision: Revision {
                number: 1,
                author: RevisionAuthor::Agent,
                base: resolved.base,
                digest: resolved.digest,
                facts: resolved.facts.clone(),
                route: resolved.route.clone(),
                created_at: now,
                replay: resolved.replay.clone(),
            },
            reviews: Vec::new(),
            decision: Decision::Pending,
            decided_at: None,
            audit_head: None,
            ended_by: None,
            hold_until: None,
            delivery: Delivery::None,
            attempts: Vec::new(),
            commit: None,
            pushed_at: None,
            committed_by: None,
            landed: None,
            pull: None,
            applications: Vec::new(),
            outcome: None,
            ended_at: None,
            note: None,
            reverted_by: None,
            by_hand: None,
            recovered_at: None,
        }
    }

    /// Stores an opening: quotas, duplicates, the proposal, its effects and the idempotent answer in one transaction.
    pub(crate) async fn open(&self, agent: &Agent, opening: Opening, key: Option<Idempotency>) -> Result<Created, Problem> {
        let (limits, book, now) = (self.limits().clone(), self.book(), self.now());
        self.crash("intake:before");
        let (asking, given) = (agent.clone(), key.clone());
        let repository = opening.proposal.repository.clone();
        let chats = self.asked_chats(&repository);
        let stored = self
            .store()
            .write(move |tx| {
                let (agent, key) = (asking, given);
                Box::pin(async move {
                    let Opening {
                        proposal,
                        contents,
                        checked,
                        actor,
                        details,
                        run,
                    } = opening;
                    if let Some(known) = reported(tx, &proposal).await? {
                        if known.agent != agent.name {
                            return Err(Unstored::Refused(explained_by_another()));
                        }
                        remember_existing(tx, &agent, key.as_ref(), &known, now).await?;
                        return Ok(Created::Existing(Box::new(known)));
                    }
                    let hour_ago = now - chrono::Duration::hours(1);
                    let standing = tx
                        .standing(&agent.name, hour_ago, proposal.revision.digest, proposal.revision.base)
                        .await?;
                    if let Some(id) = standing.pending
                        && let Some(existing) = tx.proposal(id).await?
                    {
                        remember_existing(tx, &agent, key.as_ref(), &existing, now).await?;
                        return Ok::<_, Unstored>(Created::Existing(Box::new(existing)));
                    }
                    // A person's revert is not the agent's doing: its quota does not stop it.
                    if proposal.requested_by.is_none() {
                        check_quota(&standing, &limits).map_err(Unstored::Refused)?;
                    }
                    if let Some(limited) = trust::limited(&book, &proposal)
                        && let Some(problem) = trust::check_limits(tx, &limited, now).await?
                    {
                        return Err(Unstored::Refused(problem));
                    }
                    if asking::asks(&proposal) {
                        let counted = asking::count(tx, &agent.name, &chats, &limits, now).await?;
                        counted.map_err(Unstored::TooManyCards)?;
                    }
                    let event = match &proposal.origin {
                        Origin::Change => "proposed",
                        Origin::Runbook(_) => "runbook_called",
                        Origin::Observed(_) => "observation_reported",
                        Origin::Revert { .. } => "revert_proposed",
                    };
                    let transition = open(proposal, now);
                    let audit = Audit {
                        proposal: Some(transition.next.id),
                        actor,
                        event: event.to_owned(),
                        summary: transition.summary.clone(),
                        details,
                        at: now,
                    };
                    let render = key.as_ref().map(|key| |stored: &Proposal| answer_of(key, stored, Some(&checked)));
                    let answer = key.as_ref().zip(render.as_ref()).map(|(key, render)| NewAnswer {
                        agent: &agent.name,
                        key: &key.key,
                        render,
                        at: now,
                    });
                    let stored = tx
                        .insert_answered(&transition, &contents, checked.json().as_deref(), audit, answer)
                        .await?;
                    trust::noted(tx, &book, &stored, run, now).await?;
                    Ok(Created::New(Box::new(stored)))
                })
            })
            .await;
        let created = match stored {
            Ok(created) => created,
            Err(Unstored::Refused(problem)) => return Err(problem),
            Err(Unstored::TooManyCards(until)) => return Err(self.too_many_cards(&agent.name, &repository, until).await),
            // Another call with the same key was stored between our look and our write: its answer is the answer.
            Err(Unstored::Store(error @ StoreError::Duplicate(Duplicate::IdempotencyKey))) => {
                return self.replay(agent, key.as_ref()).await?.ok_or_else(|| error.into());
            }
            Err(Unstored::Store(error)) => return Err(error.into()),
        };
        self.crash("intake:after");
        if let Created::New(proposal) = &created {
            tracing::info!(proposal = %proposal.id, agent = %proposal.agent, tier = %proposal.tier(), "{}: {}", proposal.tier(), proposal.revision.route.why);
            metrics::counter!("countersign_proposals_total", "tier" => proposal.tier().as_str()).increment(1);
            self.0.wake.notify_waiters();
        }
        Ok(created)
    }

    /// The stored answer of an earlier call with the same key.
    pub(crate) async fn replay(&self, agent: &Agent, key: Option<&Idempotency>) -> Result<Option<Created>, Problem> {
        let Some(key) = key else { return Ok(None) };
        let stored = self.store().read().idempotent(&agent.name, &key.key).await?;
        stored.map(|answer| matching(key, answer)).transpose()
    }
}

/// Why nothing was stored.
enum Unstored {
    Refused(Problem),
    /// Until when.
    TooManyCards(Timestamp),
    Store(StoreError),
}

impl From<StoreError> for Unstored {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The proposal of a commit that was reported a moment earlier: two reports that raced meet here.
async fn reported(tx: &mut Tx, proposal: &Proposal) -> Result<Option<Proposal>, StoreError> {
    let (Origin::Observed(_), Some(commit)) = (&proposal.origin, proposal.commit) else {
        return Ok(None);
    };
    match tx.observed(&proposal.repository, commit).await? {
        Some(id) => tx.proposal(id).await,
        None => Ok(None),
    }
}

fn explained_by_another() -> Problem {
    Problem::new(
        409,
        "already_explained",
        "another agent has just reported this commit",
        "there is nothing to report",
    )
    .at("/commit")
}

/// Writes the answer down for a replay.
pub(crate) async fn remember(
    tx: &mut Tx,
    agent: &Agent,
    key: Option<&Idempotency>,
    proposal: &Proposal,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    let checked = known(tx, proposal).await?;
    tx.put_answer(&agent.name, &key.key, &answer_of(key, proposal, checked.as_ref()), now)
        .await
}

/// The same for a call that made nothing: the proposal that was there already.
pub(super) async fn remember_existing(
    tx: &mut Tx,
    agent: &Agent,
    key: Option<&Idempotency>,
    proposal: &Proposal,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    let checked = known(tx, proposal).await?;
    let answer = StoredAnswer {
        status: 200,
        ..answer_of(key, proposal, checked.as_ref())
    };
    tx.put_answer(&agent.name, &key.key, &answer, now).await
}

/// What the checks said of a stored proposal's current revision.
async fn known(tx: &mut Tx, proposal: &Proposal) -> Result<Option<Checked>, StoreError> {
    let stored = tx.checks(proposal.id, proposal.revision.number).await?;
    let mut checked = stored.as_deref().and_then(Checked::read);
    if let Some(checked) = &mut checked {
        checked.routed(&proposal.branch, &proposal.revision.route);
    }
    Ok(checked)
}

fn answer_of(key: &Idempotency, proposal: &Proposal, checked: Option<&Checked>) -> StoredAnswer {
    let Answer {
        status,
        body,
        etag,
        location,
    } = (key.render)(proposal, checked);
    StoredAnswer {
        body_hash: key.fingerprint,
        status,
        body,
        etag,
        location,
    }
}

fn matching(key: &Idempotency, answer: StoredAnswer) -> Result<Created, Problem> {
    if answer.body_hash == key.fingerprint {
        return Ok(Created::Replayed(Answer {
            status: answer.status,
            body: answer.body,
            etag: answer.etag,
            location: answer.location,
        }));
    }
    Err(Problem::new(
        422,
        "idempotency_key_reused",
        "this Idempotency-Key was used with another request",
        "use a fresh key for each request, the same key only for a retry of the same one",
    ))
}

fn check_quota(standing: &Standing, limits: &crate::Limits) -> Result<(), Problem> {
    if standing.open >= limits.open_per_agent {
        let detail = format!(
            "{} proposals of this agent are open; {} may be",
            standing.open, limits.open_per_agent
        );
        return Err(Problem::new(
            429,
            "too_many_open",
            detail,
            "wait for decisions, or withdraw what is no longer needed",
        )
        .retry(60));
    }
    check_hour(standing.created, limits.hourly_per_agent)
}

/// `used` counts proposals, those that the guard rails refused, and refused reports: both cost the service work and may cost people attention.
pub(super) fn check_hour(used: u64, limit: u64) -> Result<(), Problem> {
    if used >= limit {
        let detail = format!("{used} proposals, refused ones and refused reports included, in the last hour; {limit} are allowed");
        return Err(Problem::new(429, "too_many_proposals", detail, "slow down").retry(300));
    }
    Ok(())
}
