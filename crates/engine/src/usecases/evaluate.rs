//! The dry run: what would happen, without storing or sending anything.

use domain::ChangeSet;

use crate::intake::Resolved;
use crate::{Agent, Approvers, Check, Engine, Evaluation, FileSummary, Problem, ProposalRequest, RepositorySetup};

impl Engine {
    /// Tier, rule, approvers, checks and touched applications of a change that is not proposed.
    ///
    /// # Errors
    /// The same problems as [`Engine::propose`].
    pub async fn evaluate(&self, agent: &Agent, request: ProposalRequest) -> Result<Evaluation, Problem> {
        let resolved = self.resolve(agent, &request).await?;
        let setup = self.named_repository(agent, &request.repository)?;
        self.evaluated(agent, setup, resolved).await
    }

    /// What would happen to a resolved change.
    pub(crate) async fn evaluated(&self, agent: &Agent, setup: &RepositorySetup, resolved: Resolved) -> Result<Evaluation, Problem> {
        let policy = self.book().policy.clone();
        let standing = policy.standing(&resolved.route, Some(&agent.name), &[], self.now());
        let approvers = standing.places.into_iter().map(|place| {
            let people = place.eligible.iter().filter_map(|id| policy.person(*id));
            Approvers {
                group: place.label,
                quorum: place.quorum,
                people: people.map(|person| person.name.clone()).collect(),
            }
        });
        let approvers = approvers.collect();
        let diff = setup
            .git
            .unified_diff(&resolved.change)
            .await
            .map_err(|error| crate::intake::unavailable(setup, &error))?;
        let files = diff
            .files
            .iter()
            .filter_map(|file| {
                let change = resolved.change.get(&file.path)?;
                Some(FileSummary {
                    path: file.path.to_string(),
                    kind: change.kind(),
                    executable: change.new.as_ref().map(|new| new.mode == domain::FileMode::Executable),
                    added: file.added,
                    removed: file.removed,
                })
            })
            .collect();
        let mut checks = checks(&resolved.change);
        checks.extend(resolved.replay.iter().map(|said| Check {
            name: "policy_replay".to_owned(),
            result: "remark",
            message: said.clone(),
            path: setup.policy.as_ref().map(ToString::to_string),
        }));
        let applications = self.touched_names(setup, &resolved.change);
        Ok(Evaluation {
            base: resolved.base,
            digest: resolved.digest,
            route: resolved.route,
            approvers,
            checks,
            applications,
            files,
        })
    }

    fn touched_names(&self, setup: &crate::RepositorySetup, change: &ChangeSet) -> Option<Vec<String>> {
        let instance = self.instance_of(setup)?;
        let state = instance.watch.snapshot();
        state.reachable.then(|| {
            crate::workers::touched(setup, &state, change.paths())
                .into_iter()
                .map(|app| app.name)
                .collect()
        })
    }
}

/// What the service's own checks noticed.
pub(crate) fn checks(change: &ChangeSet) -> Vec<Check> {
    let remarks = changes::inspect(change);
    if remarks.is_empty() {
        let message = "plain text, no hidden characters".to_owned();
        return vec![Check {
            name: "content".to_owned(),
            result: "ok",
            message,
            path: None,
        }];
    }
    remarks
        .into_iter()
        .map(|remark| Check {
            name: serde_json::to_value(remark.kind)
                .ok()
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_default(),
            result: "remark",
            message: remark.message,
            path: Some(remark.path.to_string()),
        })
        .collect()
}
