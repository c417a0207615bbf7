//! What a dry run tells.

use domain::{ChangeKind, CommitId, SecondFactor, Sha256Hash, Tier};
use serde::Serialize;
use utoipa::ToSchema;

use super::checked::{CheckDocument, CheckedParts, FactDocument, FindingDocument, SummaryDocument};
use super::progress::RequirementDocument;
use super::words;
use engine::Evaluation;

/// What would happen to a change. Nothing was stored, nothing was sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvaluationDocument {
    /// The commit that it was resolved against.
    #[schema(schema_with = words::object_id)]
    pub base: CommitId,
    /// What people would be shown.
    #[schema(schema_with = words::sha256)]
    pub digest: Sha256Hash,
    /// The tier that the policy gives.
    #[schema(schema_with = words::tier)]
    pub tier: Tier,
    /// The rule that decided; null when none matched or a safeguard decided.
    pub rule: Option<String>,
    /// Why this tier, in one sentence.
    pub why: String,
    /// The hash of the policy that decided.
    #[schema(schema_with = words::sha256)]
    pub policy: Sha256Hash,
    /// Seconds that people would have to decide.
    pub ttl_seconds: u32,
    /// Whose approvals would be asked, in words such as `1 of sre, and 1 of owners or 2 of leads`; empty when nobody is.
    pub needs: String,
    /// What approvals would take beside a tap: `totp`, `person`.
    #[schema(value_type = Vec<String>)]
    pub second_factors: Vec<SecondFactor>,
    /// Each group that would be asked; where there is a choice, one way of it with the others in `instead`.
    pub approvers: Vec<RequirementDocument>,
    /// For a change of the repository's policy: what it would have meant for past decisions, in sentences.
    pub policy_replay: Vec<String>,
    /// Whether the guard rails let it in: false when a finding refuses it.
    pub accepted: bool,
    /// How the checks went.
    pub checks: Vec<CheckDocument>,
    /// What they found, worst first.
    pub findings: Vec<FindingDocument>,
    /// What the change does, as the service reads it.
    pub summary: SummaryDocument,
    /// The operator's checklist, answered.
    pub checklist: Vec<FactDocument>,
    /// What would hold it back now, once it is approved: stops and freezes, a sentence each; empty when nothing does.
    pub waits: Vec<String>,
    /// The touched applications, or `unknown` while Argo CD cannot tell.
    pub applications: Applications,
    /// The changed files in numbers.
    pub files: Vec<FileDocument>,
}

/// The touched applications.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Applications {
    /// Their names.
    Known(Vec<String>),
    /// Argo CD is unreachable or not configured.
    Unknown(Unknown),
}

/// The one word for not knowing.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Argo CD is unreachable or not configured.
    Unknown,
}

/// One changed file in numbers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileDocument {
    /// The path.
    pub path: String,
    /// What happens to it.
    #[schema(schema_with = words::change_kind)]
    pub kind: ChangeKind,
    /// Added lines; 0 for binary content.
    pub added: usize,
    /// Removed lines; 0 for binary content.
    pub removed: usize,
    /// The executable bit afterwards; null for a deleted file.
    pub executable: Option<bool>,
}

impl From<Evaluation> for EvaluationDocument {
    fn from(evaluation: Evaluation) -> Self {
        let route = evaluation.route;
        let needs = route.needs();
        let parts = CheckedParts::from(&evaluation.checked);
        let words = evaluation.words.iter().map(FindingDocument::from);
        Self {
            base: evaluation.base,
            digest: evaluation.digest,
            tier: route.tier,
            why: route.why,
            policy: route.policy,
            ttl_seconds: route.ttl_seconds,
            needs,
            second_factors: route.second_factors.into_iter().collect(),
            approvers: evaluation.approvers.into_iter().map(RequirementDocument::from).collect(),
            rule: route.rule,
            policy_replay: evaluation.replay,
            accepted: evaluation.words.is_empty() && evaluation.checked.refusals().next().is_none(),
            checks: parts.checks,
            findings: words.chain(parts.findings).collect(),
            checklist: parts.checklist,
            waits: evaluation.waits,
            applications: parts
                .summary
                .applications
                .clone()
                .map_or(Applications::Unknown(Unknown::Unknown), Applications::Known),
            summary: parts.summary,
            files: evaluation.files.into_iter().map(FileDocument::from).collect(),
        }
    }
}

impl From<engine::FileSummary> for FileDocument {
    fn from(file: engine::FileSummary) -> Self {
        Self {
            path: file.path,
            kind: file.kind,
            added: file.added,
            removed: file.removed,
            executable: file.executable,
        }
    }
}
