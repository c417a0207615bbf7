//! What the service tells about itself: the caller's rights, the runbooks, readiness. Never a version.

use domain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::words;
use engine::{ArgocdHealth, Health, Me};

/// Who the token belongs to, what it may do, and what is left of the quotas.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MeDocument {
    /// The agent.
    pub agent: String,
    /// What it may touch.
    pub scopes: ScopesDocument,
    /// When the token ends; null when it does not.
    #[schema(schema_with = words::moment_or_null)]
    pub expires_at: Option<Timestamp>,
    /// What is left.
    pub quotas: QuotasDocument,
    /// Stops that people put and that may hold this agent's changes back: proposals are taken in all the same, and wait.
    pub stops: Vec<StopDocument>,
}

/// A stop that stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StopDocument {
    /// What it covers: `all`, `agent NAME`, `path GLOB`, `runbook NAME` or `tier TIER`.
    #[schema(example = "path kubernetes/**")]
    pub scope: String,
    /// The display name of who put it.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// Since when.
    #[schema(schema_with = words::moment)]
    pub since: Timestamp,
}

/// What an agent may touch. An empty list means no restriction.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScopesDocument {
    /// Repositories that it may propose to.
    pub repositories: Vec<String>,
    /// Path patterns that it may touch; `*` does not cross `/`.
    pub paths: Vec<String>,
    /// Runbooks that it may call.
    pub runbooks: Vec<String>,
}

/// The quotas of an agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuotasDocument {
    /// Proposals without an outcome.
    pub open: QuotaDocument,
    /// Proposals of the last hour.
    pub hour: QuotaDocument,
}

/// One quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaDocument {
    /// How many may be.
    pub limit: u64,
    /// How many are.
    pub used: u64,
    /// How many more may be.
    pub left: u64,
}

/// Whether the service can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthDocument {
    /// Whether everything that this answer depends on works.
    pub ready: bool,
    /// What does not; empty when ready.
    pub not_ready: Vec<String>,
    /// What an operator must mend although the service is ready.
    pub warnings: Vec<String>,
    /// Telegram; null when it is not configured.
    pub telegram: Option<InstanceDocument>,
    /// The configured Argo CD instances.
    pub argocd: Vec<InstanceDocument>,
}

/// A remote service and when it last answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstanceDocument {
    /// Its configured name.
    pub name: String,
    /// When it last answered; null when never since the start.
    #[schema(schema_with = words::moment_or_null)]
    pub seen_at: Option<Timestamp>,
    /// Seconds since then.
    pub seen_seconds_ago: Option<u64>,
    /// What is wrong with it, if that is known: the token, a right that its role lacks, no answer.
    pub problem: Option<String>,
}

impl From<Me> for MeDocument {
    fn from(me: Me) -> Self {
        Self {
            agent: me.agent.name.to_string(),
            scopes: ScopesDocument {
                repositories: me.agent.repositories.iter().map(ToString::to_string).collect(),
                paths: me.agent.paths,
                runbooks: me.agent.runbooks.iter().map(ToString::to_string).collect(),
            },
            expires_at: me.agent.expires_at,
            quotas: QuotasDocument {
                open: me.open.into(),
                hour: me.hour.into(),
            },
            stops: me.stops.into_iter().map(StopDocument::from).collect(),
        }
    }
}

impl From<domain::Stop> for StopDocument {
    fn from(stop: domain::Stop) -> Self {
        Self {
            scope: stop.scope.to_string(),
            by: stop.by.name,
            reason: stop.reason,
            since: stop.at,
        }
    }
}

impl From<(u64, u64)> for QuotaDocument {
    fn from((used, limit): (u64, u64)) -> Self {
        Self {
            limit,
            used,
            left: limit.saturating_sub(used),
        }
    }
}

impl HealthDocument {
    /// Says what works. Telegram and Argo CD are told, yet do not make the service unready: intake does not need them, and a restart
    /// would not bring them back. A repository is told with the kind of its trouble; other causes are for the log: this answer is read without
    /// a token.
    pub fn new(health: &Health, now: Timestamp) -> Self {
        let mut not_ready = Vec::new();
        if let Err(error) = &health.database {
            tracing::warn!(%error, "not ready: the database is not writable");
            not_ready.push("database".to_owned());
        }
        for (repository, usable) in &health.repositories {
            if let Err(why) = usable {
                not_ready.push(format!("repository {repository}: {why}"));
            }
        }
        let troubles = health.repository_troubles.iter();
        let troubles = troubles.map(|(repository, trouble)| format!("repository {repository}: {trouble}"));
        let policy = |name| format!("repository {name}: the policy on its branch is not valid, so nothing is standard");
        let runbooks = |name| format!("repository {name}: a runbook on its branch is not valid, so it is not run");
        let own_files =
            || "a file of the service's own (policy, runbooks, guard rails) is not valid: what was in force stays in force".to_owned();
        let delayed = || {
            let deliveries = domain::counted(health.delayed_deliveries, "delivery is", "deliveries are");
            format!("{deliveries} tried again, or not answered by the remote: the cards and the log say why")
        };
        let blocked = || {
            let pushes = domain::counted(health.blocked_deliveries, "push is", "pushes are");
            format!("{pushes} blocked: the cards say why, and somebody must retry or cancel")
        };
        let argocd = |one: &ArgocdHealth| Some(format!("Argo CD {}: {}", one.name, one.problem.as_ref()?));
        let instance = |name: &str, seen: Option<Timestamp>, problem: Option<&str>| InstanceDocument {
            name: name.to_owned(),
            seen_at: seen,
            seen_seconds_ago: seen.map(|seen| u64::try_from((now - seen).num_seconds()).unwrap_or(0)),
            problem: problem.map(str::to_owned),
        };
        Self {
            ready: not_ready.is_empty(),
            not_ready,
            warnings: (troubles.chain(health.invalid_policies.iter().map(policy)))
                .chain(health.invalid_runbooks.iter().map(runbooks))
                .chain(health.broken_files.then(own_files))
                .chain((health.blocked_deliveries > 0).then(blocked))
                .chain((health.delayed_deliveries > 0).then(delayed))
                .chain(health.argocd.iter().filter_map(argocd))
                .collect(),
            telegram: health
                .telegram
                .then(|| instance("telegram", health.telegram_seen, health.telegram_problem.as_deref())),
            argocd: health
                .argocd
                .iter()
                .map(|one| instance(&one.name, one.seen, one.problem.as_deref()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unheard(problem: Option<&str>) -> engine::ArgocdHealth {
        engine::ArgocdHealth {
            name: "main".to_owned(),
            seen: None,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn readiness_names_what_fails_and_of_a_repository_the_kind_of_trouble() {
        let now: Timestamp = "2026-03-01T12:00:30Z".parse().unwrap();
        let health = Health {
            database: Err("disk full at /var/lib/secret".to_owned()),
            repositories: vec![
                ("homelab".parse().unwrap(), Ok(())),
                ("other".parse().unwrap(), Err("its remote has no branch \"main\"".to_owned())),
            ],
            repository_troubles: vec![("homelab".parse().expect("a name"), "its remote cannot be reached".to_owned())],
            invalid_policies: vec!["homelab".parse().expect("a name")],
            invalid_runbooks: Vec::new(),
            broken_files: true,
            blocked_deliveries: 2,
            delayed_deliveries: 1,
            telegram_seen: Some("2026-03-01T12:00:00Z".parse().unwrap()),
            telegram_problem: Some("the bot token is not accepted".to_owned()),
            telegram: true,
            argocd: vec![unheard(Some("the token is not accepted"))],
        };
        insta::assert_json_snapshot!(HealthDocument::new(&health, now), @r#"
        {
          "ready": false,
          "not_ready": [
            "database",
            "repository other: its remote has no branch \"main\""
          ],
          "warnings": [
            "repository homelab: its remote cannot be reached",
            "repository homelab: the policy on its branch is not valid, so nothing is standard",
            "a file of the service's own (policy, runbooks, guard rails) is not valid: what was in force stays in force",
            "2 pushes are blocked: the cards say why, and somebody must retry or cancel",
            "1 delivery is tried again, or not answered by the remote: the cards and the log say why",
            "Argo CD main: the token is not accepted"
          ],
          "telegram": {
            "name": "telegram",
            "seen_at": "2026-03-01T12:00:00Z",
            "seen_seconds_ago": 30,
            "problem": "the bot token is not accepted"
          },
          "argocd": [
            {
              "name": "main",
              "seen_at": null,
              "seen_seconds_ago": null,
              "problem": "the token is not accepted"
            }
          ]
        }
        "#);
    }

    #[test]
    fn silent_neighbours_do_not_make_the_service_unready() {
        let health = Health {
            database: Ok(()),
            repositories: Vec::new(),
            repository_troubles: Vec::new(),
            invalid_policies: Vec::new(),
            invalid_runbooks: Vec::new(),
            broken_files: false,
            blocked_deliveries: 0,
            delayed_deliveries: 0,
            telegram_seen: None,
            telegram_problem: None,
            telegram: false,
            argocd: vec![unheard(Some("the token is not accepted"))],
        };
        let document = HealthDocument::new(&health, Timestamp::UNIX_EPOCH);
        assert!(document.ready && document.telegram.is_none());
        assert_eq!(document.warnings, ["Argo CD main: the token is not accepted"]);
    }

    #[test]
    fn a_quota_never_goes_below_zero() {
        assert_eq!(
            QuotaDocument::from((3, 10)),
            QuotaDocument {
                limit: 10,
                used: 3,
                left: 7
            }
        );
        assert_eq!(QuotaDocument::from((12, 10)).left, 0);
    }
}
