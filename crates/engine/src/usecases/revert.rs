//! Undoing a delivered change: the inverse is a proposal of its own, routed by the policy, delivered and proven like any other.

use domain::{CommitId, Origin, PersonRef, Proposal, ProposalId};
use gitworker::Inverse;
use serde_json::json;
use std::time::Duration;
use store::Actor;

use super::propose::{Opening, RunNotes};
use crate::checked::Manner;
use crate::intake::{REASON_CHARACTERS, Resolved, unavailable};
use crate::{Agent, Created, Engine, Idempotency, Problem};

/// How the title of a revert begins.
pub(crate) const REVERT_PREFIX: &str = "Revert: ";

/// The reason of a revert that came without one.
pub(crate) fn revert_reason(of: ProposalId, commit: CommitId) -> String {
    format!("takes back {} ({of})", commit.short())
}

impl Engine {
    /// Proposes the inverse of an agent's own delivered proposal.
    ///
    /// # Errors
    /// 409 when it was not delivered, is reverted already, or no longer applies (with the commits in between).
    pub async fn revert(
        &self,
        agent: &Agent,
        id: ProposalId,
        reason: Option<String>,
        key: Option<Idempotency>,
    ) -> Result<Created, Problem> {
        if let Some(replay) = self.replay(agent, key.as_ref()).await? {
            return Ok(replay);
        }
        let delivered = self.proposal(agent, id).await?;
        self.admit_reason(agent, &delivered.repository, reason.as_deref(), REASON_CHARACTERS)
            .await?;
        self.revert_of(&delivered, agent, None, reason, key).await
    }

    /// The same, asked by a person from a card or command.
    pub(crate) async fn revert_by_person(&self, id: ProposalId, by: PersonRef) -> Result<Created, Problem> {
        let delivered = self
            .store()
            .read()
            .proposal(id)
            .await?
            .ok_or_else(|| Problem::not_found("proposal"))?;
        let agent = Agent {
            name: delivered.agent.clone(),
            repositories: Vec::new(),
            paths: Vec::new(),
            runbooks: Vec::new(),
            expires_at: None,
        };
        self.revert_of(&delivered, &agent, Some(by), None, None).await
    }

    async fn revert_of(
        &self,
        delivered: &Proposal,
        agent: &Agent,
        by: Option<PersonRef>,
        reason: Option<String>,
        key: Option<Idempotency>,
    ) -> Result<Created, Problem> {
        let Some(commit) = delivered.commit else {
            let state = delivered.outcome.map_or_else(
                || format!("{}/{}", delivered.decision, delivered.delivery),
                |outcome| format!("ended: {outcome}"),
            );
            let hint = match delivered.outcome {
                Some(_) => "nothing to do",
                None => "withdraw it instead",
            };
            let detail = format!("the proposal ({state}) has no commit on the branch: nothing to revert");
            return Err(Problem::new(409, "not_delivered", detail, hint));
        };
        if let Some(other) = delivered.reverted_by {
            return Err(Problem::new(
                409,
                "already_reverted",
                format!("{other} reverted it"),
                "nothing to do",
            ));
        }
        if let Some(back) = delivered.by_hand.as_ref().filter(|back| back.stands()) {
            let detail = format!("commit {} reverted it by hand", back.commit);
            return Err(Problem::new(409, "already_reverted", detail, "nothing to do"));
        }
        let setup = self
            .repository(&delivered.repository)
            .ok_or_else(|| Problem::not_found("repository"))?;
        let tip = setup
            .git
            .refresh(Duration::ZERO)
            .await
            .map_err(|error| unavailable(setup, &error))?
            .commit;
        self.follow_policy(setup).await.map_err(|error| unavailable(setup, &error))?;
        let change = match setup.git.inverse(commit, tip).await.map_err(|error| unavailable(setup, &error))? {
            Inverse::Change(change) => change,
            Inverse::NothingLeft => {
                return Err(Problem::new(
                    409,
                    "nothing_to_revert",
                    "what the commit did is no longer on the branch",
                    "nothing to do",
                ));
            }
            Inverse::Conflict { paths, between } => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                let commits: Vec<_> = between
                    .iter()
                    .map(|touch| format!("{} {} ({})", touch.id.short(), touch.summary, touch.author))
                    .collect();
                let detail = format!(
                    "the revert no longer applies to {}; changed since by: {}",
                    paths.join(", "),
                    commits.join("; ")
                );
                return Err(Problem::new(409, "revert_conflicts", detail, "propose the wanted content instead"));
            }
            Inverse::Unsupported { why } => {
                let detail = format!("the commit cannot be reverted from here: {why}");
                return Err(Problem::new(409, "revert_unsupported", detail, "a human reverts it with git"));
            }
        };
        let now = self.now();
        // What the restored content held already must not hold up whoever undoes a change: everything found is told, nothing refuses.
        let (mut facts, mut checked) = self.look(setup, tip, &change, Manner::Told).await?;
        facts.revert = true;
        facts.agent = by.is_none().then(|| agent.name.clone());
        let route = self.book().policy.route(&setup.name, &facts);
        checked.routed(setup.branch(), &route);
        let resolved = Resolved {
            repository: setup.name.clone(),
            branch: setup.branch().to_owned(),
            base: tip,
            digest: change.digest(&setup.name, setup.branch()),
            route,
            facts,
            replay: self.foreseen(setup, &change).await,
            checked,
            change,
            origin: Origin::Revert { of: delivered.id, commit },
            shadow: None,
            title: format!("{REVERT_PREFIX}{}", delivered.title).chars().take(200).collect(),
            reason: reason.unwrap_or_else(|| revert_reason(delivered.id, commit)),
        };
        let actor = by.clone().map_or_else(|| Actor::Agent(agent.name.clone()), Actor::Person);
        let proposal = self.new_proposal(agent, by, &resolved, delivered.correlation.clone(), None, now);
        let opening = Opening {
            proposal,
            contents: resolved.change,
            checked: resolved.checked,
            actor,
            details: json!({ "reverts": delivered.id }),
            run: RunNotes::default(),
        };
        self.open(agent, opening, key).await
    }
}
