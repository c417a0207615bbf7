//! The documents that agents see. Made from a [`Proposal`] and what the checks said of its revision, and nothing else, so that a stored
//! answer and a fresh one say the same.
//!
//! People appear by display name only: there is no field that could carry a numeric id.

use domain::{
    AgentName, CommitId, Decision, Delivery, Landed, Outcome, Proposal, ProposalId, RepositoryName, ReviewVerdict, RevisionAuthor,
    Sha256Hash, Tier, Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

mod checked;
mod evaluation;
mod progress;
mod runbooks;
mod service;
pub mod words;

use checked::CheckedParts;
pub use checked::{CheckDocument, FactDocument, FindingDocument, SummaryDocument};
pub use evaluation::EvaluationDocument;
pub use progress::{ProgressDocument, RequirementDocument};
pub use runbooks::{RenderingDocument, RunbooksDocument};
pub use service::{HealthDocument, MeDocument};

/// A proposal as agents see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProposalDocument {
    /// Its name: `prp_` and 32 hexadecimal digits.
    #[schema(value_type = String, example = "prp_019ab3c2f0e17c3e9d2b6a5f4e3d2c1b")]
    pub id: ProposalId,
    /// Raised by every visible change; the `ETag` is `"v"` and this number.
    pub version: u64,
    /// The configured repository.
    #[schema(value_type = String)]
    pub repository: RepositoryName,
    /// The branch that the change is for.
    pub branch: String,
    /// The agent that it belongs to.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// The display name of the person who asked for it, when it was not the agent.
    pub requested_by: Option<String>,
    /// The agent's own reference.
    pub correlation_id: Option<String>,
    /// How it came about.
    pub origin: OriginDocument,
    /// The headline.
    pub title: String,
    /// The reason.
    pub reason: String,
    /// The number of the current revision, from 1.
    pub revision: u32,
    /// Who wrote the current revision: `countersign` after the branch moved under it.
    #[schema(schema_with = words::revision_author)]
    pub revision_author: RevisionAuthor,
    /// The commit that the old side was read from.
    #[schema(schema_with = words::object_id)]
    pub base: CommitId,
    /// Names exactly what people are shown.
    #[schema(schema_with = words::sha256)]
    pub digest: Sha256Hash,
    /// The touched paths.
    pub paths: Vec<String>,
    /// The tier in force.
    #[schema(schema_with = words::tier)]
    pub tier: Tier,
    /// The rule that decided the tier; null when none matched or a safeguard decided.
    pub rule: Option<String>,
    /// Why this tier, in one sentence.
    pub why: String,
    /// The hash of the policy that decided.
    #[schema(schema_with = words::sha256)]
    pub policy: Sha256Hash,
    /// For a change of the repository's policy: what it would have meant for past decisions, in sentences.
    pub policy_replay: Vec<String>,
    /// How the checks of the current revision went; null in lists, and once its contents are past their retention.
    pub checks: Option<Vec<CheckDocument>>,
    /// What they found, worst first; null where `checks` is.
    pub findings: Option<Vec<FindingDocument>>,
    /// What the change does, as the service reads it; null where `checks` is.
    pub summary: Option<SummaryDocument>,
    /// The operator's checklist, answered; null where `checks` is.
    pub checklist: Option<Vec<FactDocument>>,
    /// What was decided.
    #[schema(schema_with = words::decision)]
    pub decision: Decision,
    /// Where the change is on its way.
    #[schema(schema_with = words::delivery)]
    pub delivery: Delivery,
    /// The end, once.
    #[schema(schema_with = words::outcome_or_null)]
    pub outcome: Option<Outcome>,
    /// A sentence about the present state: why it is blocked, failed, or waits.
    pub note: Option<String>,
    /// Other proposals on their way that touch a file of this one, as of now: whichever lands first, the others are compared with it and
    /// shown again. Null unless this one proposal is read; it makes another `ETag` but no new version.
    #[schema(value_type = Option<Vec<String>>)]
    pub overlaps: Option<Vec<ProposalId>>,
    /// Whose approvals are asked, and how many of the current content are there.
    pub progress: ProgressDocument,
    /// Every review ever given, in order.
    pub reviews: Vec<ReviewDocument>,
    /// Who ended it, and why, when a person or the agent did.
    pub ending: Option<EndingDocument>,
    /// The commit on the branch.
    #[schema(schema_with = words::object_id_or_null)]
    pub commit: Option<CommitId>,
    /// Manual tier: who committed, as git says.
    pub committed_by: Option<String>,
    /// Manual tier: how it arrived.
    #[schema(schema_with = words::landed_or_null)]
    pub landed: Option<Landed>,
    /// Manual tier: the pull request that was opened.
    pub pull_request: Option<PullRequestDocument>,
    /// The applications that the change touches, with their state.
    pub applications: Vec<ApplicationDocument>,
    /// The proposal whose delivery undid this one.
    #[schema(value_type = Option<String>)]
    pub reverted_by: Option<ProposalId>,
    /// The commit, made with git beside the service, that took it back; null while none did.
    pub reverted_by_hand: Option<ByHandDocument>,
    /// When it was acknowledged.
    #[schema(schema_with = words::moment)]
    pub created_at: Timestamp,
    /// When a pending proposal ends by itself.
    #[schema(schema_with = words::moment)]
    pub expires_at: Timestamp,
    /// When it was decided.
    #[schema(schema_with = words::moment_or_null)]
    pub decided_at: Option<Timestamp>,
    /// Until then people may still cancel without haste before the push.
    #[schema(schema_with = words::moment_or_null)]
    pub hold_until: Option<Timestamp>,
    /// When the commit was confirmed on the branch.
    #[schema(schema_with = words::moment_or_null)]
    pub pushed_at: Option<Timestamp>,
    /// When it ended.
    #[schema(schema_with = words::moment_or_null)]
    pub ended_at: Option<Timestamp>,
    /// When a failed outcome came right later.
    #[schema(schema_with = words::moment_or_null)]
    pub recovered_at: Option<Timestamp>,
    /// Where to go from here.
    pub links: LinksDocument,
}

/// How a proposal came about.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OriginDocument {
    /// Full contents or a diff from an agent.
    Change,
    /// A runbook call that the service rendered.
    Runbook(RunbookCallDocument),
    /// A commit that an agent pushed by itself and reported.
    Observed(RunbookCallDocument),
    /// The inverse of a delivered change.
    Revert {
        /// The proposal to undo.
        #[schema(value_type = String)]
        of: ProposalId,
        /// Its commit.
        #[schema(schema_with = words::object_id)]
        commit: CommitId,
    },
}

/// A runbook with its parameters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookCallDocument {
    /// Its name.
    pub runbook: String,
    /// SHA-256 of the runbook's file.
    #[schema(schema_with = words::sha256)]
    pub hash: Sha256Hash,
    /// The parameters.
    #[schema(value_type = Object)]
    pub parameters: Value,
}

/// One human's approve or reject.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReviewDocument {
    /// The display name.
    pub by: String,
    /// What they said.
    #[schema(schema_with = words::verdict)]
    pub verdict: ReviewVerdict,
    /// Of which revision.
    pub revision: u32,
    /// Whether it is of the current content.
    pub current: bool,
    /// When.
    #[schema(schema_with = words::moment)]
    pub at: Timestamp,
    /// Whether it was confirmed with a code of this person's own generator.
    pub verified: bool,
}

/// Who ended a proposal, and the reason they gave.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EndingDocument {
    /// The display name; null for the agent or the service.
    pub by: Option<String>,
    /// Their words, to learn from.
    pub reason: Option<String>,
    /// Until when a reason may still be added.
    #[schema(schema_with = words::moment_or_null)]
    pub reason_until: Option<Timestamp>,
}

/// A pull request that the service opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PullRequestDocument {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Its head branch.
    pub branch: String,
}

/// One touched application as last observed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApplicationDocument {
    /// The Application's name.
    pub name: String,
    /// The namespace that the Application resource lives in.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// One word, such as `waiting`, `syncing`, `synced`, `degraded`.
    pub state: String,
    /// A sentence for people.
    pub headline: String,
}

/// Where to go from a proposal. A link to an action is there when the action is possible in the present state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LinksDocument {
    /// The proposal itself.
    #[serde(rename = "self")]
    pub itself: String,
    /// Its unified diff.
    pub diff: String,
    /// POST a new revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revisions: Option<String>,
    /// POST to take it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdraw: Option<String>,
    /// POST to ask for its inverse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<String>,
    /// The proposal that undid it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<String>,
    /// The proposal that it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<String>,
}

/// A revert that somebody made with git.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ByHandDocument {
    /// The commit.
    #[schema(schema_with = words::object_id)]
    pub commit: CommitId,
    /// Who wrote it, as git says.
    pub author: String,
    /// Whether its files are as before the change; otherwise only the commit's message says that it reverts it, and the change is there still.
    pub restored: bool,
    /// A later commit, made by hand too, that took that one back: the change is on the branch again.
    #[schema(schema_with = words::object_id_or_null)]
    pub put_back: Option<CommitId>,
}

/// A page of proposals, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProposalsDocument {
    /// The proposals.
    pub proposals: Vec<ProposalDocument>,
    /// Send it as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// The address of a proposal.
pub fn address(id: ProposalId) -> String {
    format!("/v1/proposals/{id}")
}

impl ProposalDocument {
    /// With what the checks said of the current revision.
    pub fn with(proposal: &Proposal, checked: Option<&engine::Checked>) -> Self {
        let mut document = Self::from(proposal);
        if let Some(parts) = checked.map(CheckedParts::from) {
            document.checks = Some(parts.checks);
            document.findings = Some(parts.findings);
            document.summary = Some(parts.summary);
            document.checklist = Some(parts.checklist);
        }
        document
    }
}

/// As lists show it: without what the checks said.
impl From<&Proposal> for ProposalDocument {
    fn from(proposal: &Proposal) -> Self {
        let Proposal { revision, .. } = proposal;
        let route = &revision.route;
        Self {
            id: proposal.id,
            version: proposal.version,
            repository: proposal.repository.clone(),
            branch: proposal.branch.clone(),
            agent: proposal.agent.clone(),
            requested_by: proposal.requested_by.as_ref().map(|person| person.name.clone()),
            correlation_id: proposal.correlation.clone(),
            origin: (&proposal.origin).into(),
            title: proposal.title.clone(),
            reason: proposal.reason.clone(),
            revision: revision.number,
            revision_author: revision.author,
            base: revision.base,
            digest: revision.digest,
            paths: revision.facts.paths.iter().map(|path| path.as_str().to_owned()).collect(),
            tier: route.tier,
            rule: route.rule.clone(),
            why: route.why.clone(),
            policy: route.policy,
            policy_replay: revision.replay.clone(),
            checks: None,
            findings: None,
            summary: None,
            checklist: None,
            decision: proposal.decision,
            delivery: proposal.delivery,
            outcome: proposal.outcome,
            note: proposal.note.clone(),
            overlaps: None,
            progress: proposal.into(),
            reviews: reviews(proposal),
            ending: proposal.ended_by.as_ref().map(|ending| EndingDocument {
                by: ending.by.as_ref().map(|person| person.name.clone()),
                reason: ending.reason.clone(),
                reason_until: ending.reason_until,
            }),
            commit: proposal.commit,
            committed_by: proposal.committed_by.clone(),
            landed: proposal.landed,
            pull_request: proposal.pull.as_ref().map(|pull| PullRequestDocument {
                number: pull.number,
                url: pull.url.clone(),
                branch: pull.branch.clone(),
            }),
            applications: applications(proposal),
            reverted_by: proposal.reverted_by,
            reverted_by_hand: proposal.by_hand.as_ref().map(|back| ByHandDocument {
                commit: back.commit,
                author: back.author.clone(),
                restored: back.restored,
                put_back: back.put_back,
            }),
            created_at: proposal.created_at,
            expires_at: proposal.expires_at,
            decided_at: proposal.decided_at,
            hold_until: proposal.hold_until,
            pushed_at: proposal.pushed_at,
            ended_at: proposal.ended_at,
            recovered_at: proposal.recovered_at,
            links: links(proposal),
        }
    }
}

impl From<&domain::Origin> for OriginDocument {
    fn from(origin: &domain::Origin) -> Self {
        let call = |call: &domain::RunbookCall| RunbookCallDocument {
            runbook: call.runbook.to_string(),
            hash: call.hash,
            parameters: call.parameters.clone(),
        };
        match origin {
            domain::Origin::Change => Self::Change,
            domain::Origin::Runbook(runbook) => Self::Runbook(call(runbook)),
            domain::Origin::Observed(runbook) => Self::Observed(call(runbook)),
            domain::Origin::Revert { of, commit } => Self::Revert { of: *of, commit: *commit },
        }
    }
}

fn reviews(proposal: &Proposal) -> Vec<ReviewDocument> {
    let revision = &proposal.revision;
    proposal
        .reviews
        .iter()
        .map(|review| ReviewDocument {
            by: review.by.name.clone(),
            verdict: review.verdict,
            revision: review.revision,
            current: review.revision == revision.number && review.digest == revision.digest,
            at: review.at,
            verified: review.verified,
        })
        .collect()
}

fn applications(proposal: &Proposal) -> Vec<ApplicationDocument> {
    proposal
        .applications
        .iter()
        .map(|application| ApplicationDocument {
            name: application.name.clone(),
            namespace: application.namespace.clone(),
            project: application.project.clone(),
            state: application.state.clone(),
            headline: application.headline.clone(),
        })
        .collect()
}

fn links(proposal: &Proposal) -> LinksDocument {
    let itself = address(proposal.id);
    let action = |possible: bool, name: &str| possible.then(|| format!("{itself}/{name}"));
    let before_push = match proposal.delivery {
        Delivery::None | Delivery::Queued | Delivery::PushBlocked | Delivery::AwaitingCommit => !proposal.is_over(),
        Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => false,
    };
    // What a person asked for is theirs to stop, and a revert is exactly the inverse: neither is the agent's to rewrite.
    let own = proposal.requested_by.is_none();
    let revert = matches!(proposal.origin, domain::Origin::Revert { .. });
    LinksDocument {
        diff: format!("{itself}/diff"),
        revisions: action(proposal.decision == Decision::Pending && own && !revert, "revisions"),
        withdraw: action(before_push && own, "withdraw"),
        revert: action(proposal.is_delivered(), "revert"),
        reverted_by: proposal.reverted_by.map(address),
        reverts: match &proposal.origin {
            domain::Origin::Revert { of, .. } => Some(address(*of)),
            domain::Origin::Change | domain::Origin::Runbook(_) | domain::Origin::Observed(_) => None,
        },
        itself,
    }
}

#[cfg(test)]
mod tests;
