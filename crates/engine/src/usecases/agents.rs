//! Who is calling: bearer tokens of agents.

use domain::{AgentName, Sha256Hash};
use store::Actor;

use crate::{Agent, Engine, Me, Problem};

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

    /// The runbooks an agent may call, as data: name, description, parameters, allowed paths, hash.
    pub fn runbooks(&self, agent: &Agent) -> Vec<serde_json::Value> {
        self.book()
            .runbooks
            .iter()
            .filter(|(name, _)| agent.runbooks.is_empty() || agent.runbooks.contains(name))
            .filter_map(|(_, runbook)| serde_json::to_value(runbook.describe()).ok())
            .collect()
    }
}
