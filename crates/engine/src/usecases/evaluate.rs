//! The dry run: what would happen, without storing or sending anything.

use crate::intake::Resolved;
use crate::{Agent, Approvers, Engine, Evaluation, FileSummary, Problem, ProposalRequest, RepositorySetup};

impl Engine {
    /// Tier, rule, approvers, checks and touched applications of a change that is not proposed.
    ///
    /// # Errors
    /// The same problems as [`Engine::propose`].
    pub async fn evaluate(&self, agent: &Agent, request: ProposalRequest) -> Result<Evaluation, Problem> {
        let resolved = self.resolve(agent, &request).await?;
        let setup = self.named_repository(agent, &request.repository)?;
        self.evaluated(agent, setup, resolved, &request).await
    }

    /// What would happen to a resolved change.
    pub(crate) async fn evaluated(
        &self,
        agent: &Agent,
        setup: &RepositorySetup,
        resolved: Resolved,
        request: &ProposalRequest,
    ) -> Result<Evaluation, Problem> {
        let words = self.found_in_words(&resolved, request);
        let policy = self.book().policy.clone();
        let standing = policy.standing(&resolved.route, Some(&agent.name), &[], self.now());
        let approvers = Approvers::named(standing.places, &policy);
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
        let facts = &resolved.facts;
        let subject = domain::Subject {
            agent: &agent.name,
            paths: &facts.paths,
            runbook: facts.runbook.as_ref(),
            tier: resolved.route.tier,
        };
        let stops = self.ordered();
        let stops = stops.stops.iter().filter(|stop| stop.covers(&subject)).map(domain::Stop::why);
        let freezes = policy.freezes(&setup.name, &facts.paths, self.now());
        let waits = stops.chain(freezes.iter().map(domain::Freeze::why)).collect();
        Ok(Evaluation {
            waits,
            base: resolved.base,
            digest: resolved.digest,
            route: resolved.route,
            approvers,
            replay: resolved.replay,
            words,
            checked: resolved.checked,
            files,
        })
    }
}
