//! The runbooks that an agent may call, where they stand, and what a run would make.

use domain::{Sha256Hash, Tier, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::evaluation::EvaluationDocument;
use super::words;
use engine::{ListedRunbook, Rendering, RunbookStanding};

/// The runbooks that the agent may call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbooksDocument {
    /// By name.
    pub runbooks: Vec<RunbookDocument>,
}

/// One runbook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookDocument {
    /// What a call names.
    pub name: String,
    /// The repository that carries it itself, and the only one in which it can be called; null for one that can be called in all.
    pub repository: Option<String>,
    /// What it does, in words.
    pub description: String,
    /// JSON Schema (2020-12) of the parameters, as enforced.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Where it may change files.
    pub allowed_paths: Vec<String>,
    /// SHA-256 of its file: another hash is another runbook.
    #[schema(schema_with = words::sha256)]
    pub hash: Sha256Hash,
    /// The highest tier that trust may give it.
    #[schema(schema_with = words::tier)]
    pub ceiling: Tier,
    /// What trust says of it now, per environment.
    pub standings: Vec<StandingDocument>,
}

/// Where a runbook stands in one environment. A rule of the policy may be stricter; a single run may be, by its parameters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StandingDocument {
    /// The repository.
    pub repository: String,
    /// The kind of target inside it.
    pub class: String,
    /// The highest tier that it gets now.
    #[schema(schema_with = words::tier)]
    pub tier: Tier,
    /// Why, in one sentence.
    pub why: String,
    /// The record, such as `19 of 20, at least 79 %`.
    pub record: String,
    /// When its promotion ends; null while it has none.
    #[schema(schema_with = words::moment_or_null)]
    pub standard_until: Option<Timestamp>,
    /// What a promotion lacks; empty while it is standard, or offered.
    pub missing: Vec<String>,
    /// Paths on which it does not run until a human lifts the hold.
    pub held_paths: Vec<String>,
}

/// What a run would make, and what would happen to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RenderingDocument {
    /// The proposal's title.
    pub title: String,
    /// The proposal's reason.
    pub reason: String,
    /// The change as a unified diff.
    pub diff: String,
    /// Tier, rule, approvers and checks.
    pub evaluation: EvaluationDocument,
}

impl From<Vec<ListedRunbook>> for RunbooksDocument {
    fn from(listed: Vec<ListedRunbook>) -> Self {
        let document = |ListedRunbook {
                            description: described,
                            repository,
                            standings,
                        }: ListedRunbook| RunbookDocument {
            name: described.name.to_string(),
            repository: repository.map(|name| name.to_string()),
            description: described.description,
            parameters: described.parameters,
            allowed_paths: described.allowed_paths,
            hash: described.hash,
            ceiling: described.ceiling,
            standings: standings.into_iter().map(StandingDocument::from).collect(),
        };
        Self {
            runbooks: listed.into_iter().map(document).collect(),
        }
    }
}

impl From<RunbookStanding> for StandingDocument {
    fn from(one: RunbookStanding) -> Self {
        let RunbookStanding { key, standing, .. } = one;
        Self {
            repository: key.environment.repository.to_string(),
            class: key.environment.class.to_string(),
            tier: standing.tier,
            why: standing.why,
            record: standing.words,
            standard_until: standing.standard_until,
            missing: standing.missing,
            held_paths: standing.holds.into_iter().map(|hold| hold.path.to_string()).collect(),
        }
    }
}

impl From<Rendering> for RenderingDocument {
    fn from(rendering: Rendering) -> Self {
        Self {
            title: rendering.title,
            reason: rendering.reason,
            diff: rendering.diff,
            evaluation: rendering.evaluation.into(),
        }
    }
}
