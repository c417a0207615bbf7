//! An agent sends another version, or takes its proposal back.

use domain::{Decision, Event, Origin, Proposal, ProposalId, Revision, RevisionAuthor};
use serde_json::json;
use store::Actor;

use super::propose::remember_existing;
use crate::act::{Act, Acted};
use crate::{Agent, Created, Engine, Idempotency, Meant, Problem, ProposalRequest};

/// Characters of a reason for taking something back: it stands below the card.
const ENDING_CHARACTERS: usize = 1_000;

impl Engine {
    /// Replaces a pending proposal's content. `meant` names the version that the agent saw.
    ///
    /// # Errors
    /// 412 when the proposal changed meanwhile, 409 when it is decided.
    pub async fn revise(
        &self,
        agent: &Agent,
        id: ProposalId,
        meant: impl Into<Meant>,
        mut request: ProposalRequest,
        key: Option<Idempotency>,
    ) -> Result<Created, Problem> {
        if let Some(replay) = self.replay(agent, key.as_ref()).await? {
            return Ok(replay);
        }
        let current = self.proposal(agent, id).await?;
        let version = current.version;
        if !meant.into().is(version) {
            return Err(stale(version));
        }
        if current.decision != Decision::Pending {
            return Err(decided(&current));
        }
        if matches!(current.origin, Origin::Revert { .. }) {
            return Err(Problem::new(
                409,
                "not_pending",
                "a revert cannot be revised: it is the exact inverse of what was delivered",
                "withdraw it and ask for the revert anew, or propose an ordinary change",
            ));
        }
        if request.repository.is_empty() {
            request.repository = current.repository.to_string();
        }
        if request.repository != current.repository.as_str() {
            return Err(
                Problem::new(422, "other_repository", "a revision stays in its repository", "make a new proposal").at("/repository"),
            );
        }
        if request.title.trim().is_empty() {
            request.title.clone_from(&current.title);
        }
        let resolved = self.resolve(agent, &request).await?;
        let same_words = resolved.title == current.title && resolved.reason == current.reason;
        let same_wish = resolved.facts.requested == current.revision.facts.requested;
        let may_revise = current.requested_by.is_none() && matches!(current.origin, Origin::Change | Origin::Runbook(_));
        if may_revise && resolved.digest == current.revision.digest && same_words && same_wish {
            // Exactly what people are looking at: another card, and void reviews, would help nobody.
            return self.unrevised(agent, id, version, key).await;
        }
        self.admit(agent, &resolved, &request).await?;
        // Another revision is another card.
        let asks = current.requested_by.is_none() && resolved.route.tier != domain::Tier::Standard;
        if asks && may_revise {
            self.count_card(&agent.name, &current.repository).await?;
        }
        let revision = Revision {
            number: current.revision.number + 1,
            author: RevisionAuthor::Agent,
            base: resolved.base,
            digest: resolved.digest,
            facts: resolved.facts,
            route: resolved.route,
            created_at: self.now(),
            replay: resolved.replay,
        };
        let act = Act {
            id,
            actor: Actor::Agent(agent.name.clone()),
            event: Event::Revise {
                revision: Box::new(revision),
                title: resolved.title,
                reason: resolved.reason,
                correlation: request.correlation,
            },
            contents: Some(resolved.change),
            checked: Some(resolved.checked),
            details: json!({ "base": resolved.base, "digest": resolved.digest }),
            audit_refusal: true,
            expected_version: Some(version),
            answer: key.map(|key| (agent.clone(), key)),
        };
        match self.act(act).await? {
            Acted::Done(proposal, _) => Ok(Created::New(proposal)),
            Acted::Refused(refusal) => Err(Problem::new(409, "not_pending", refusal.to_string(), "make a new proposal")),
            Acted::Stale(version) => Err(stale(version)),
            Acted::Missing => Err(Problem::not_found("proposal")),
        }
    }

    /// The answer to a revision that holds what is there: the proposal as it is, remembered for the key.
    async fn unrevised(&self, agent: &Agent, id: ProposalId, version: u64, key: Option<Idempotency>) -> Result<Created, Problem> {
        let (agent, now) = (agent.clone(), self.now());
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let current = tx.proposal(id).await?.ok_or_else(|| Problem::not_found("proposal"))?;
                    if current.version != version {
                        return Err(stale(current.version));
                    }
                    remember_existing(tx, &agent, key.as_ref(), &current, now).await?;
                    Ok(Created::Existing(Box::new(current)))
                })
            })
            .await
    }

    /// Takes a proposal back, until its push was sent.
    ///
    /// # Errors
    /// 409 with the state when it has ended already, or when its push was sent.
    pub async fn withdraw(&self, agent: &Agent, id: ProposalId, reason: Option<String>) -> Result<Proposal, Problem> {
        let current = self.proposal(agent, id).await?;
        self.admit_reason(agent, &current.repository, reason.as_deref(), ENDING_CHARACTERS)
            .await?;
        let act = Act {
            actor: Actor::Agent(agent.name.clone()),
            audit_refusal: true,
            ..Act::service(id, Event::Withdraw { reason })
        };
        match self.act(act).await? {
            Acted::Done(proposal, _) => Ok(*proposal),
            Acted::Refused(refusal @ domain::Refusal::AskedByPerson) => Err(Problem::new(
                409,
                "asked_by_person",
                refusal.to_string(),
                "a person asked for it, so a person stops it: /cancel",
            )),
            Acted::Refused(domain::Refusal::NotPending { .. }) => Err(ended(&self.proposal(agent, id).await?)),
            Acted::Refused(refusal) => Err(Problem::new(
                409,
                "too_late",
                refusal.to_string(),
                "read the proposal; a delivered change can be reverted",
            )),
            Acted::Stale(version) => Err(stale(version)),
            Acted::Missing => Err(Problem::not_found("proposal")),
        }
    }
}

fn stale(version: u64) -> Problem {
    let mut problem = Problem::new(
        412,
        "version_changed",
        "the proposal is at another version than the one that is named",
        "read it again, then decide again; If-Match takes the ETag as it came, with its quotes and without W/",
    );
    problem.version = Some(version);
    problem
}

fn decided(proposal: &Proposal) -> Problem {
    if proposal.outcome.is_some() {
        return ended(proposal);
    }
    let detail = format!("the proposal is {}/{}", proposal.decision, proposal.delivery);
    Problem::new(409, "not_pending", detail, "only a pending proposal can be revised; make a new one")
}

fn ended(proposal: &Proposal) -> Problem {
    let outcome = proposal
        .outcome
        .map_or_else(|| proposal.decision.to_string(), |outcome| outcome.to_string());
    let hint = if proposal.commit.is_some() {
        "what it delivered can be reverted"
    } else {
        "nothing to do; if the change is still wanted, make a new proposal"
    };
    Problem::new(409, "not_pending", format!("the proposal has ended already: {outcome}"), hint)
}
