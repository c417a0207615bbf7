//! Who is calling: bearer tokens of agents.

use domain::{AgentName, RepositoryName, Sha256Hash};
use store::Actor;

use crate::{Agent, Engine, Evaluation, ListedRunbook, Me, Place, Problem, ProposalRequest, Rendering};

impl Engine {
    /// The agent behind a bearer token.
    ///
    /// # Errors
    /// 401 for a token that is unknown, expired or revoked; the three read the same from outside.
    pub async fn authenticate(&self, token: &str) -> Result<Agent, Problem> {
        let refused = || {
            Problem::new(
                401,
                "unauthenticated",
                "the bearer token is not valid",
                "the operator makes one with `countersign agent add`",
            )
        };
        // 256 bits in hexadecimal with a short prefix; anything else cannot be one of ours and costs no look-up.
        if token.len() > 128 || token.is_empty() {
            return Err(refused());
        }
        let found = self
            .store()
            .read()
            .agent_by_token(Sha256Hash::of(token.as_bytes()))
            .await?
            .ok_or_else(refused)?;
        if found.revoked_at.is_some() || found.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(refused());
        }
        self.0.used.note(&found.name, self.now());
        Ok(Agent {
            name: found.name,
            repositories: found.scopes.repositories,
            paths: found.scopes.paths,
            runbooks: found.scopes.runbooks,
            expires_at: found.expires_at,
        })
    }

    /// What an audit row may say of a refusal: no value, and no key that the caller made up.
    pub fn recorded(&self, problem: &Problem) -> String {
        let book = self.book();
        let theirs = book.repository_runbooks().map(|(_, runbook)| runbook);
        let runbooks: Vec<_> = book.runbooks.values().chain(theirs).collect();
        problem.recorded(|word| runbooks.iter().any(|runbook| runbook.declares(word)))
    }

    /// An audit row for an attempt that the faces refused by themselves.
    pub async fn audit_refused(&self, agent: Option<&AgentName>, what: &str, detail: &str) {
        let actor = agent.map_or(Actor::Service, |name| Actor::Agent(name.clone()));
        if let Err(error) = self
            .record(None, actor, &format!("refused_{what}"), detail.chars().take(500).collect())
            .await
        {
            tracing::error!(%error, "a refused attempt could not be audited");
        }
    }

    /// What an agent may do, and how much of it is left.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn me(&self, agent: &Agent) -> Result<Me, Problem> {
        let read = self.store().read();
        let open = read.count_open(&agent.name).await?;
        let hour = read
            .count_created_since(&agent.name, self.now() - chrono::Duration::hours(1))
            .await?;
        Ok(Me {
            agent: agent.clone(),
            open: (open, self.limits().open_per_agent),
            hour: (hour, self.limits().hourly_per_agent),
            stops: self
                .ordered()
                .stops
                .iter()
                .filter(|stop| !matches!(&stop.scope, domain::Scope::Agent(name) if *name != agent.name))
                .cloned()
                .collect(),
        })
    }

    /// The runbooks an agent may call, each with where it stands in the repositories that the agent may use.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn runbooks(&self, agent: &Agent) -> Result<Vec<ListedRunbook>, Problem> {
        let book = self.book();
        let own = book.runbooks.values().map(|runbook| (None, runbook));
        let theirs = book.repository_runbooks().map(|(repository, runbook)| (Some(repository), runbook));
        let may_use = |repository: &RepositoryName| agent.repositories.is_empty() || agent.repositories.contains(repository);
        let mut listed = Vec::new();
        for (repository, runbook) in own.chain(theirs) {
            let callable = agent.runbooks.is_empty() || agent.runbooks.contains(runbook.name());
            if !callable || !repository.is_none_or(may_use) {
                continue;
            }
            let mut standings = self.standings(runbook.name()).await?;
            let here = |place: &RepositoryName| may_use(place) && repository.is_none_or(|only| only == place);
            standings.retain(|one| here(&one.key.environment.repository));
            listed.push(ListedRunbook {
                description: runbook.describe(),
                repository: repository.cloned(),
                standings,
            });
        }
        listed.sort_by(|a, b| (&a.description.name, &a.repository).cmp(&(&b.description.name, &b.repository)));
        Ok(listed)
    }

    /// A dry run of a runbook: the change that it would make, and what would happen to it. Stores nothing, sends nothing.
    ///
    /// # Errors
    /// The same problems as [`Engine::propose`].
    pub async fn render_runbook(&self, agent: &Agent, request: ProposalRequest) -> Result<Rendering, Problem> {
        let resolved = self.resolve(agent, &request).await.map_err(of_rendering)?;
        let setup = self.named_repository(agent, &request.repository)?;
        let diff = setup.git.unified_diff(&resolved.change).await;
        let diff = diff.map_err(|error| crate::intake::unavailable(setup, &error))?.text;
        let (title, reason) = (resolved.title.clone(), resolved.reason.clone());
        Ok(Rendering {
            title,
            reason,
            diff,
            evaluation: self.evaluated(agent, setup, resolved, &request).await.map(placed_in_rendering)?,
        })
    }
}

/// A rendering is asked with the parameters beside the base, and with the name in the address: there is no `runbook` to point into.
fn of_rendering(mut problem: Problem) -> Problem {
    problem.pointer = problem.pointer.as_deref().and_then(in_rendering).map(String::into_boxed_str);
    problem
}

fn placed_in_rendering(mut evaluation: Evaluation) -> Evaluation {
    for found in &mut evaluation.words {
        if let Place::Words(pointer) = &mut found.place
            && let Some(there) = in_rendering(pointer)
        {
            *pointer = there;
        }
    }
    evaluation
}

/// The place in a rendering's body of what stands at a place in a proposal's body; `None` for what is not in that body at all.
fn in_rendering(pointer: &str) -> Option<String> {
    match pointer.strip_prefix("/runbook") {
        Some("/name") => None,
        Some("") => Some("/parameters".to_owned()),
        Some(inside) => Some(inside.to_owned()),
        None => Some(pointer.to_owned()),
    }
}
