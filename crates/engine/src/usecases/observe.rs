//! Notify-only: an agent pushed by itself and reports the commit. It must be exactly what its runbook renders; anything else is an alarm.

use std::time::Duration;

use domain::{CommitId, Effect, Origin, RepositoryName, RunbookCall, Tier};
use gitworker::Known;
use serde_json::json;
use store::{Actor, Audit};

use super::propose::Opening;
use crate::intake::{Resolved, facts_of, render, unavailable};
use crate::{Agent, Created, Engine, Idempotency, ObservationRequest, Problem, RepositorySetup};

impl Engine {
    /// Verifies a reported commit and follows it from then on.
    ///
    /// # Errors
    /// 422 when the commit is not what the runbook renders: then an alarm is raised in the chats too. 409 when it is explained already.
    pub async fn observe(&self, agent: &Agent, request: ObservationRequest, key: Option<Idempotency>) -> Result<Created, Problem> {
        if let Some(replay) = self.replay(agent, key.as_ref()).await? {
            return Ok(replay);
        }
        let setup = self.named_repository(agent, &request.repository)?;
        let commit: CommitId = request.commit.parse().map_err(|_| {
            Problem::new(
                422,
                "invalid_commit",
                "commit is not a full commit id",
                "send 40 lower-case hexadecimal digits",
            )
            .at("/commit")
        })?;
        let read = self.store().read();
        let explained = match read.observed(&setup.name, commit).await? {
            Some(id) => Some(id),
            None => read.by_commit(&setup.name, commit).await?,
        };
        if let Some(id) = explained {
            let known = read.proposal(id).await?.filter(|proposal| proposal.agent == agent.name);
            if let Some(proposal) = known.filter(|proposal| matches!(proposal.origin, Origin::Observed(_))) {
                return Ok(Created::Existing(Box::new(proposal)));
            }
            let why = "it belongs to another proposal".to_owned();
            return Err(self
                .unexplained(setup, agent, commit, &request.runbook, why, (409, "already_explained"))
                .await);
        }
        let runbook = match self.named_runbook(agent, &request.runbook) {
            Ok(runbook) => runbook,
            Err(problem) => {
                return Err(self
                    .unexplained(setup, agent, commit, &request.runbook, problem.detail, (422, problem.code))
                    .await
                    .at("/runbook"));
            }
        };
        match self.verify(setup, agent, commit, &runbook, &request).await {
            Ok(resolved) => {
                let now = self.now();
                let mut proposal = self.new_proposal(agent, None, &resolved, None, None, now);
                proposal.commit = Some(commit);
                let opening = Opening {
                    proposal,
                    contents: resolved.change,
                    actor: Actor::Agent(agent.name.clone()),
                    details: json!({ "commit": commit }),
                };
                self.open(agent, opening, key).await
            }
            Err(Unverified::Ask(problem)) => Err(problem),
            Err(Unverified::Alarm(why)) => Err(self
                .unexplained(setup, agent, commit, &request.runbook, why, (422, "observation_refused"))
                .await),
        }
    }

    /// Raises the alarm about a commit that no runbook explains; the answer for the agent.
    async fn unexplained(
        &self,
        setup: &RepositorySetup,
        agent: &Agent,
        commit: CommitId,
        runbook: &str,
        why: String,
        (status, code): (u16, &'static str),
    ) -> Problem {
        let runbook: String = runbook.chars().take(80).collect();
        let text = format!("{} reported commit {} as a run of {runbook}, but {why}", agent.name, commit.short());
        let told = self.alarm(setup.name.clone(), Actor::Agent(agent.name.clone()), text.clone()).await;
        match told {
            Ok(()) => Problem::new(
                status,
                code,
                text,
                "people have been told; push nothing by yourself that the runbook does not render",
            )
            .at("/commit"),
            Err(problem) => problem,
        }
    }

    async fn verify(
        &self,
        setup: &RepositorySetup,
        agent: &Agent,
        commit: CommitId,
        runbook: &changes::Runbook,
        request: &ObservationRequest,
    ) -> Result<Resolved, Unverified> {
        let ask = |error: &gitworker::GitError| Unverified::Ask(unavailable(setup, error));
        setup.git.refresh(Duration::ZERO).await.map_err(|error| ask(&error))?;
        if setup.git.known_commit(commit).await.map_err(|error| ask(&error))? != Known::OnBranch {
            return Err(Unverified::Alarm(format!("it is not on branch {}", setup.branch())));
        }
        let info = setup.git.describe_commit(commit).await.map_err(|error| ask(&error))?;
        let [parent] = info.parents[..] else {
            return Err(Unverified::Alarm(format!("it has {} parents, not one", info.parents.len())));
        };
        let age = self.now() - info.committer.time;
        if age > chrono::Duration::from_std(self.limits().observation_age).unwrap_or(chrono::Duration::hours(24)) {
            let hours = self.limits().observation_age.as_secs() / 3600;
            return Err(Unverified::Alarm(format!("it is older than {hours} hours")));
        }
        let Some(change) = info.change else {
            return Err(Unverified::Alarm("it touches something that no runbook may".to_owned()));
        };
        let (requested, title) = render(setup, runbook, &request.parameters, parent).await.map_err(|problem| {
            if problem.status == 503 {
                Unverified::Ask(problem)
            } else {
                Unverified::Alarm(format!("the runbook does not render: {}", problem.detail))
            }
        })?;
        let expected = setup.git.resolve(parent, requested).await.map_err(|error| match error {
            gitworker::ResolveError::Git(error) => ask(&error),
            gitworker::ResolveError::Refused(_) => Unverified::Alarm(format!("the runbook does not apply: {error}")),
        })?;
        let branch = setup.branch();
        if expected.digest(&setup.name, branch) != change.digest(&setup.name, branch) {
            return Err(Unverified::Alarm("it is not what the runbook renders".to_owned()));
        }
        let mut facts = facts_of(&change);
        facts.runbook = Some(runbook.name().clone());
        facts.agent = Some(agent.name.clone());
        let route = self.book().policy.route(&setup.name, &facts);
        if route.tier != Tier::Standard {
            return Err(Unverified::Alarm(format!("these paths are {}: {}", route.tier, route.why)));
        }
        let call = RunbookCall {
            runbook: runbook.name().clone(),
            hash: runbook.content_hash(),
            parameters: request.parameters.clone(),
        };
        Ok(Resolved {
            repository: setup.name.clone(),
            branch: branch.to_owned(),
            base: parent,
            digest: change.digest(&setup.name, branch),
            change,
            facts,
            route,
            origin: Origin::Observed(call),
            title,
            reason: format!("pushed by the agent as {}", commit.short()),
        })
    }

    /// An alarm that belongs to no proposal: audited, and told in the repository's chats.
    pub(crate) async fn alarm(&self, repository: RepositoryName, actor: Actor, text: String) -> Result<(), Problem> {
        let now = self.now();
        tracing::error!(%repository, "{text}");
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let details = json!({ "repository": repository });
                    tx.audit(Audit {
                        proposal: None,
                        actor,
                        event: "alarm".to_owned(),
                        summary: text.clone(),
                        details,
                        at: now,
                    })
                    .await?;
                    let text = format!("{repository}\u{1f}{text}");
                    tx.schedule(None, &Effect::Alarm { text }, now).await?;
                    Ok::<_, Problem>(())
                })
            })
            .await
    }
}

/// Why an observation is not taken.
enum Unverified {
    /// Nobody is at fault: ask again.
    Ask(Problem),
    /// Somebody pushed what they should not have.
    Alarm(String),
}
