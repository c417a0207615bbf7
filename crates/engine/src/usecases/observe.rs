//! Notify-only: an agent pushed by itself and reports the commit. It must be exactly what its runbook renders; any other commit is an
//! alarm. A request that is wrong in itself says nothing about the branch and is refused like any other.

use std::sync::Arc;
use std::time::Duration;

use changes::Runbook;
use domain::{CommitId, Origin, Proposal, RunbookCall, Tier, Timestamp};
use gitworker::Known;
use serde_json::{Value, json};
use store::Actor;

use super::propose::{Opening, RunNotes, check_hour};
use crate::checked::Manner;
use crate::intake::{Resolved, callable, check_scope, render, unavailable, unknown_runbook};
use crate::shelves::AsOf;
use crate::trust::Observed;
use crate::{Agent, Created, Engine, Found, Idempotency, ObservationRequest, Problem, RepositorySetup};

/// How far the clock of whoever commits may be ahead of the service's.
const SKEW_MINUTES: i64 = 5;

impl Engine {
    /// Verifies a reported commit and follows it from then on.
    ///
    /// # Errors
    /// What is wrong with the request alone is an ordinary refusal. What is wrong with the commit is 422 (409 when another agent's proposal
    /// explains it): then an alarm is raised in the chats too, and it counts against the agent's quota.
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
        let explained = self.explained(setup, commit).await?;
        if let Some(proposal) = explained.as_ref().filter(|proposal| proposal.agent == agent.name) {
            return already_yours(proposal, commit, &request);
        }
        let runbook = match self.called(setup, agent, commit, &request).await {
            Err(Unverified::Ask(problem)) => return Err(problem),
            called => called,
        };
        let hour_ago = self.now() - chrono::Duration::hours(1);
        let used = self.store().read().count_created_since(&agent.name, hour_ago).await?;
        check_hour(used, self.limits().hourly_per_agent)?;
        if explained.is_some() {
            let why = "it belongs to another proposal".to_owned();
            return Err(self
                .unexplained(setup, agent, commit, &request.runbook, why, (409, "already_explained"))
                .await);
        }
        let verified = match runbook {
            Ok(runbook) => self.verify(setup, agent, commit, &runbook, &request).await,
            Err(unverified) => Err(unverified),
        };
        match verified {
            Ok((resolved, committed_at)) => {
                let now = self.now();
                let mut proposal = self.new_proposal(agent, None, &resolved, None, None, now);
                proposal.commit = Some(commit);
                let opening = Opening {
                    proposal,
                    contents: resolved.change,
                    checked: resolved.checked,
                    actor: Actor::Agent(agent.name.clone()),
                    details: json!({ "commit": commit }),
                    run: RunNotes {
                        shadow: None,
                        observed: Some(Observed { committed_at }),
                    },
                };
                self.open(agent, opening, key).await
            }
            Err(Unverified::Ask(problem)) => Err(problem),
            Err(Unverified::Refused(findings)) => {
                let places: Vec<_> = findings.iter().take(3).map(Found::at).collect();
                let why = format!("the guard rails refuse what it brought to the branch: {}", places.join(", "));
                let mut problem = self
                    .unexplained(setup, agent, commit, &request.runbook, why, (422, "observation_refused"))
                    .await;
                problem.findings = findings.into();
                Err(problem)
            }
            Err(Unverified::Alarm(why)) => Err(self
                .unexplained(setup, agent, commit, &request.runbook, why, (422, "observation_refused"))
                .await),
        }
    }

    /// The proposal that this commit belongs to already.
    async fn explained(&self, setup: &RepositorySetup, commit: CommitId) -> Result<Option<Proposal>, Problem> {
        let read = self.store().read();
        let known = match read.observed(&setup.name, commit).await? {
            Some(id) => Some(id),
            None => read.by_commit(&setup.name, commit).await?,
        };
        match known {
            Some(id) => Ok(read.proposal(id).await?),
            None => Ok(None),
        }
    }

    /// The runbook that a report names, if the agent may call it with these parameters: judged before anybody looks at the commit, so
    /// that a slip of the caller is no more than that.
    async fn called(
        &self,
        setup: &RepositorySetup,
        agent: &Agent,
        commit: CommitId,
        request: &ObservationRequest,
    ) -> Result<Arc<Runbook>, Unverified> {
        let runbook = self.named_then(setup, agent, commit, &request.runbook).await?;
        let paths = runbook.files_needed(&request.parameters).map_err(|error| {
            let pointer = format!("/parameters{}", error.pointer);
            Unverified::Ask(Problem::new(422, "runbook_refused", error.message, error.hint).at(pointer))
        })?;
        check_scope(agent, paths.iter()).map_err(|problem| Unverified::Ask(problem.at("/parameters")))?;
        Ok(runbook)
    }

    /// A runbook by name. One that the repository carries itself is meant as it stood before the commit: an edit since then changes nothing
    /// about what was run.
    async fn named_then(&self, setup: &RepositorySetup, agent: &Agent, commit: CommitId, named: &str) -> Result<Arc<Runbook>, Unverified> {
        let unknown = || Unverified::Ask(unknown_runbook(setup, named).at("/runbook"));
        let away = |error: gitworker::GitError| Unverified::Ask(unavailable(setup, &error));
        let name = callable(agent, named).ok_or_else(unknown)?;
        let own = self.book().runbooks.get(&name).cloned();
        if own.is_some() || setup.runbooks.is_none() {
            return own.ok_or_else(unknown);
        }
        if setup.git.known_commit(commit).await.map_err(away)? != Known::OnBranch {
            setup.git.refresh(Duration::ZERO).await.map_err(away)?;
        }
        self.follow_policy(setup).await.map_err(away)?;
        let now = self.book().runbook(&setup.name, &name).cloned();
        match (self.runbook_before(setup, commit, &name).await.map_err(away)?, now) {
            (AsOf::Runbook(then), _) => Ok(then),
            // What is wrong with the commit is told by whoever verifies it.
            (AsOf::Unsettled, Some(now)) => Ok(now),
            (AsOf::None(why), Some(_)) => Err(Unverified::Alarm(why)),
            (AsOf::Unsettled | AsOf::None(_), None) => Err(unknown()),
        }
    }

    async fn verify(
        &self,
        setup: &RepositorySetup,
        agent: &Agent,
        commit: CommitId,
        runbook: &Runbook,
        request: &ObservationRequest,
    ) -> Result<(Resolved, Timestamp), Unverified> {
        let ask = |error: &gitworker::GitError| Unverified::Ask(unavailable(setup, error));
        setup.git.refresh(Duration::ZERO).await.map_err(|error| ask(&error))?;
        self.follow_policy(setup).await.map_err(|error| ask(&error))?;
        if setup.git.known_commit(commit).await.map_err(|error| ask(&error))? != Known::OnBranch {
            return Err(Unverified::Alarm(format!("it is not on branch {}", setup.branch())));
        }
        let info = setup.git.describe_commit(commit).await.map_err(|error| ask(&error))?;
        let [parent] = info.parents[..] else {
            return Err(Unverified::Alarm(format!("it has {} parents, not one", info.parents.len())));
        };
        let age = self.now() - info.committer.time;
        if age < -chrono::Duration::minutes(SKEW_MINUTES) {
            let minutes = (-age).num_minutes();
            return Err(Unverified::Alarm(format!(
                "its committer date lies {minutes} minutes in the future: set the clock of whoever committed it, and commit anew"
            )));
        }
        if age > chrono::Duration::from_std(self.limits().observation_age).unwrap_or(chrono::Duration::hours(24)) {
            let hours = self.limits().observation_age.as_secs() / 3600;
            return Err(Unverified::Alarm(format!("it is older than {hours} hours")));
        }
        let Some(change) = info.change else {
            return Err(Unverified::Alarm("it touches something that no runbook may".to_owned()));
        };
        let (requested, words) = render(setup, runbook, &request.parameters, parent).await.map_err(|problem| {
            if problem.status == 503 {
                Unverified::Ask(problem)
            } else {
                Unverified::Alarm(format!("the runbook does not render: {}", self.recorded(&problem)))
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
        let looked = self.look(setup, parent, &change, Manner::Strict).await;
        let (mut facts, mut checked) = looked.map_err(Unverified::Ask)?;
        let title = self.found_in("title", &words.title, "/parameters");
        let findings: Vec<_> = title.into_iter().chain(checked.refusals().cloned().map(Found::from)).collect();
        if !findings.is_empty() {
            return Err(Unverified::Refused(findings));
        }
        facts.runbook = Some(runbook.name().clone());
        facts.agent = Some(agent.name.clone());
        let call = RunbookCall {
            runbook: runbook.name().clone(),
            hash: runbook.content_hash(),
            parameters: request.parameters.clone(),
        };
        let asked = self.trusted_then(&setup.name, &call, Some(runbook), &facts.paths).await;
        let asked = asked.map_err(|problem| {
            if problem.retryable {
                Unverified::Ask(problem)
            } else {
                Unverified::Alarm(problem.detail)
            }
        })?;
        facts.trust = Some(asked.trust);
        let route = self.book().policy.route(&setup.name, &facts);
        if route.tier != Tier::Standard {
            return Err(Unverified::Alarm(format!("these paths are {}: {}", route.tier, route.why)));
        }
        checked.routed(branch, &route);
        let resolved = Resolved {
            repository: setup.name.clone(),
            branch: branch.to_owned(),
            base: parent,
            digest: change.digest(&setup.name, branch),
            change,
            facts,
            checked,
            route,
            replay: Vec::new(),
            origin: Origin::Observed(call),
            shadow: None,
            title: words.title,
            reason: format!("pushed by the agent as {}", commit.short()),
        };
        Ok((resolved, info.committer.time))
    }
}

/// The agent reports again, or reports what the service pushed for it. A repeat says the same; another runbook or other parameters would be
/// another explanation of a commit that has one.
fn already_yours(proposal: &Proposal, commit: CommitId, request: &ObservationRequest) -> Result<Created, Problem> {
    let explained = |detail: String, hint: &str| Err(Problem::new(409, "already_explained", detail, hint).at("/commit"));
    match &proposal.origin {
        Origin::Observed(call) if call.runbook.as_str() == request.runbook && same(&call.parameters, &request.parameters) => {
            Ok(Created::Existing(Box::new(proposal.clone())))
        }
        Origin::Observed(call) => explained(
            format!(
                "commit {} is explained already by your proposal {}, as a run of {}{}",
                commit.short(),
                proposal.id,
                call.runbook,
                if call.runbook.as_str() == request.runbook {
                    " with other parameters"
                } else {
                    ""
                }
            ),
            "a commit has one explanation: read that proposal; repeat a report with the same runbook and parameters",
        ),
        Origin::Change | Origin::Runbook(_) | Origin::Revert { .. } => explained(
            format!("commit {} is what your proposal {} became", commit.short(), proposal.id),
            "there is nothing to report: read that proposal",
        ),
    }
}

/// Whether two JSON values mean the same: numbers by value, as a schema reads them, so that 4 and 4.0 are one.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// Why an observation is not taken.
enum Unverified {
    /// Nobody is at fault: ask again.
    Ask(Problem),
    /// Somebody pushed what they should not have.
    Alarm(String),
    /// What was pushed holds what the guard rails refuse, such as a secret: it is on the branch, so people must hear of it.
    Refused(Vec<Found>),
}
