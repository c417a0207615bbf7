//! What the faces (HTTP, Telegram, command line) ask the engine for. Raw values: the engine parses them, so that every face gives the same answers.

use std::sync::Arc;

use domain::{AgentName, Proposal, RepositoryName, RunbookName, Sha256Hash, Tier};
use serde_json::Value;

use crate::{Checked, Found};

/// Which version of a proposal a call is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// Whatever is there.
    Any,
    /// One of these; none of them when the caller names something that no version is called.
    OneOf(Vec<u64>),
}

impl Meant {
    /// Whether it is meant for this version.
    pub fn is(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl From<u64> for Meant {
    fn from(version: u64) -> Self {
        Self::OneOf(vec![version])
    }
}

/// An authenticated agent with what it may touch.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// Repositories it may propose to; empty = all.
    pub repositories: Vec<RepositoryName>,
    /// Path globs it may touch; empty = all.
    pub paths: Vec<String>,
    /// Runbooks it may call; empty = all.
    pub runbooks: Vec<RunbookName>,
    /// When its token ends.
    pub expires_at: Option<domain::Timestamp>,
}

/// A change that an agent asks for.
#[derive(Debug, Clone)]
pub struct ProposalRequest {
    /// The configured repository's name.
    pub repository: String,
    /// `head`, or a commit id of 40 hexadecimal digits.
    pub base: String,
    /// The headline, 1 to 200 characters.
    pub title: String,
    /// Why, up to 4,000 characters.
    pub reason: String,
    /// The change itself.
    pub content: Content,
    /// A stricter tier than the policy's.
    pub tier: Option<Tier>,
    /// The agent's own reference, up to 200 characters.
    pub correlation: Option<String>,
    /// Seconds to decide; never longer than the rule's.
    pub ttl_seconds: Option<u32>,
}

/// The three ways to say what shall change.
#[derive(Debug, Clone)]
pub enum Content {
    /// Full contents, file by file.
    Files(Vec<FileRequest>),
    /// One unified diff.
    Diff(String),
    /// A call of a runbook, rendered by the service.
    Runbook {
        /// The runbook's name.
        name: String,
        /// Its parameters, a JSON object.
        parameters: Value,
    },
}

/// One file of [`Content::Files`].
#[derive(Debug, Clone)]
pub struct FileRequest {
    /// The path as the agent wrote it.
    pub path: String,
    /// What shall become of it.
    pub edit: FileEdit,
}

/// What an agent asks for one file.
#[derive(Debug, Clone)]
pub enum FileEdit {
    /// New full content.
    Write {
        /// The content.
        bytes: Vec<u8>,
        /// The executable bit; unchanged (or off for a new file) when absent.
        executable: Option<bool>,
    },
    /// The executable bit alone, of a file that exists at the base.
    SetExecutable(bool),
    /// The file shall be gone.
    Delete,
}

/// A commit that an agent pushed by itself.
#[derive(Debug, Clone)]
pub struct ObservationRequest {
    /// The configured repository's name.
    pub repository: String,
    /// The commit id.
    pub commit: String,
    /// The runbook that it followed.
    pub runbook: String,
    /// The runbook's parameters.
    pub parameters: Value,
}

/// The creating call's key, and how its answer is written down in the same transaction as the proposal.
#[derive(Clone)]
pub struct Idempotency {
    /// The `Idempotency-Key`, 1 to 255 characters.
    pub key: String,
    /// Names the request: method, route and body.
    pub fingerprint: Sha256Hash,
    /// Renders the answer to be replayed.
    pub render: Arc<Render>,
}

/// Makes an answer from a proposal and what the checks said of it.
pub type Render = dyn Fn(&Proposal, Option<&Checked>) -> Answer + Send + Sync;

/// An answer as it will be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The `Location` header.
    pub location: Option<String>,
}

/// What a creating call came to.
#[derive(Debug, Clone)]
pub enum Created {
    /// A new proposal (or revision).
    New(Box<Proposal>),
    /// The same agent, digest and base while pending: the existing one.
    Existing(Box<Proposal>),
    /// The key was seen before with the same request.
    Replayed(Answer),
}

/// What a dry run says. Nothing was stored, nothing was sent.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The commit that it was resolved against.
    pub base: domain::CommitId,
    /// What would be shown.
    pub digest: Sha256Hash,
    /// What the policy decided.
    pub route: domain::Route,
    /// Whom it would ask, and who could approve.
    pub approvers: Vec<Approvers>,
    /// For a change of the repository's policy: what it would have meant for past decisions, in sentences.
    pub replay: Vec<String>,
    /// What the checks say. A finding that refuses would refuse the proposal. The summary names the touched applications; `None` there when
    /// Argo CD is unreachable or not configured: unknown.
    pub checked: Checked,
    /// Secrets in title, reason and correlation id: each would refuse the proposal.
    pub words: Vec<Found>,
    /// What would hold it back now, once it is approved: stops and freezes, a sentence each.
    pub waits: Vec<String>,
    /// Per file: path, `added|modified|deleted`, added and removed lines.
    pub files: Vec<FileSummary>,
}

/// What a runbook would make, and what would happen to it.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The proposal's title.
    pub title: String,
    /// The proposal's reason.
    pub reason: String,
    /// The change as a unified diff.
    pub diff: String,
    /// Tier, rule, approvers, checks.
    pub evaluation: Evaluation,
}

/// A group that would be asked.
#[derive(Debug, Clone)]
pub struct Approvers {
    /// The group, with what may be approved instead.
    pub group: String,
    /// How many of them must approve.
    pub quorum: u32,
    /// The display names of those whose approval counts here.
    pub approved_by: Vec<String>,
    /// The display names of those who could still approve, here or in what may be approved instead.
    pub people: Vec<String>,
    /// What may be approved instead: ways, each complete when all of its groups are.
    pub instead: Vec<Vec<Approvers>>,
}

impl Approvers {
    /// The groups of a standing, with people by their names.
    pub(crate) fn named(places: Vec<domain::Place>, policy: &domain::Policy) -> Vec<Self> {
        let names = |ids: &[domain::UserId]| -> Vec<String> {
            let people = ids.iter().filter_map(|id| policy.person(*id));
            people.map(|person| person.name.clone()).collect()
        };
        let seat = |seat: &domain::Seat| Self {
            approved_by: names(&seat.have),
            people: names(&seat.eligible),
            group: seat.label.clone(),
            quorum: seat.quorum,
            instead: Vec::new(),
        };
        let place = |place: domain::Place| Self {
            approved_by: names(&place.have),
            people: names(&place.eligible),
            instead: place.instead.iter().map(|way| way.iter().map(seat).collect()).collect(),
            group: place.label,
            quorum: place.quorum,
        };
        places.into_iter().map(place).collect()
    }
}

/// One changed file in numbers.
#[derive(Debug, Clone)]
pub struct FileSummary {
    /// The path.
    pub path: String,
    /// `added`, `modified` or `deleted`.
    pub kind: domain::ChangeKind,
    /// Added lines; 0 for binary content.
    pub added: usize,
    /// Removed lines; 0 for binary content.
    pub removed: usize,
    /// The new executable bit; `None` for a deleted file.
    pub executable: Option<bool>,
}

/// How long a waiting read waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Any visible change.
    Change,
    /// A decision.
    Decision,
    /// The outcome.
    Outcome,
}

/// What `GET /v1/me` tells.
#[derive(Debug, Clone)]
pub struct Me {
    /// The agent.
    pub agent: Agent,
    /// Open proposals and how many may be.
    pub open: (u64, u64),
    /// Proposals of the last hour and how many may be.
    pub hour: (u64, u64),
    /// The stops that may hold this agent's changes back.
    pub stops: Vec<domain::Stop>,
}

/// Which proposals to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only of this repository.
    pub repository: Option<RepositoryName>,
    /// Only with this decision.
    pub decision: Option<domain::Decision>,
    /// Only at this delivery.
    pub delivery: Option<domain::Delivery>,
    /// Only with this outcome.
    pub outcome: Option<domain::Outcome>,
    /// Only without an outcome.
    pub open: bool,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Page size, 1 to 100.
    pub limit: u32,
}

/// One Argo CD instance, for `/readyz`.
#[derive(Debug, Clone)]
pub struct ArgocdHealth {
    /// Its configured name.
    pub name: String,
    /// When it last answered; `None` when never.
    pub seen: Option<domain::Timestamp>,
    /// What is wrong, in words that anybody may read.
    pub problem: Option<String>,
}

/// A runbook that an agent may call.
#[derive(Debug, Clone)]
pub struct ListedRunbook {
    /// What it is.
    pub description: changes::Description,
    /// The repository that carries it itself, and the only one in which it runs; `None` for one of the service's own, which runs in all.
    pub repository: Option<RepositoryName>,
    /// Where it stands in the repositories that the agent may use.
    pub standings: Vec<crate::RunbookStanding>,
}

/// What `/readyz` looks at.
#[derive(Debug, Clone)]
pub struct Health {
    /// A transaction could be written.
    pub database: Result<(), String>,
    /// Per repository: it can be used, or of which kind the reason is why not (no address, no remote's words).
    pub repositories: Vec<(RepositoryName, Result<(), String>)>,
    /// What an operator must look at in a repository that can be used, in words that anybody may read: its remote does not answer, its branch was
    /// rewritten.
    pub repository_troubles: Vec<(RepositoryName, String)>,
    /// The repositories whose own policy is not valid at the tip: the last valid one routes.
    pub invalid_policies: Vec<RepositoryName>,
    /// The repositories of whose own runbooks one is not valid at the tip: it is not run.
    pub invalid_runbooks: Vec<RepositoryName>,
    /// Whether one of the service's own files is not valid on disk: what was in force stays in force.
    pub broken_files: bool,
    /// Deliveries whose push a human must look at.
    pub blocked_deliveries: usize,
    /// Deliveries that failed more than once and are tried again, or whose push the remote has not answered for long.
    pub delayed_deliveries: usize,
    /// When Telegram last did what we asked, or sent something; `None` when never, or not configured.
    pub telegram_seen: Option<domain::Timestamp>,
    /// What is wrong with Telegram, in words that anybody may read.
    pub telegram_problem: Option<String>,
    /// Whether Telegram is configured.
    pub telegram: bool,
    /// Per Argo CD instance: when it last answered, and what is wrong with it.
    pub argocd: Vec<ArgocdHealth>,
}
