//! A proposal as one value: what an agent asked for, what people said, and where it stands.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AgentName, CommitId, Decision, Delivery, Facts, Landed, Outcome, ProposalId, RepositoryName, Route, RunbookName, Sha256Hash, Tier,
    Timestamp, UserId,
};

/// One change set an agent (or, for a revert, a person) asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its name.
    pub id: ProposalId,
    /// Raised by every visible change: the `ETag` of the document.
    pub version: u64,
    /// The configured repository.
    pub repository: RepositoryName,
    /// The branch the change is for.
    pub branch: String,
    /// The agent it belongs to: who may read it.
    pub agent: AgentName,
    /// The person who asked for it, when it was not the agent: a revert from a card.
    pub requested_by: Option<PersonRef>,
    /// The agent's own reference, echoed back.
    pub correlation: Option<String>,
    /// How it came about.
    pub origin: Origin,
    /// The agent's headline. Hostile text.
    pub title: String,
    /// The agent's reason. Hostile text.
    pub reason: String,
    /// When it was acknowledged.
    pub created_at: Timestamp,
    /// When a pending proposal ends by itself.
    pub expires_at: Timestamp,
    /// The current revision.
    pub revision: Revision,
    /// Every review ever given, in order; only those of the current revision and digest count.
    pub reviews: Vec<Review>,
    /// What was decided.
    pub decision: Decision,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// The hash of the audit row that decided, frozen: the commit's `Audit-Head`.
    pub audit_head: Option<String>,
    /// Who ended it and why, when a person or the agent did.
    pub ended_by: Option<Ending>,
    /// An eligible person may still cancel without haste until then.
    pub hold_until: Option<Timestamp>,
    /// Where it is on its way.
    pub delivery: Delivery,
    /// Every commit that was ever sent for it, in order, stored before its push.
    pub attempts: Vec<Attempt>,
    /// The commit on the branch.
    pub commit: Option<CommitId>,
    /// When the commit was confirmed on the branch.
    pub pushed_at: Option<Timestamp>,
    /// Manual tier: who committed, as git says.
    pub committed_by: Option<String>,
    /// Manual tier: how it arrived.
    pub landed: Option<Landed>,
    /// Manual tier: the pull request that was opened.
    pub pull: Option<PullRequest>,
    /// The applications that this change touches, with their state.
    pub applications: Vec<ApplicationState>,
    /// The end, once.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// A sentence for people about the present state: why it is blocked, failed, or waits.
    pub note: Option<String>,
    /// The delivered revert that undid this one; absent again while that revert is itself reverted.
    pub reverted_by: Option<ProposalId>,
    /// The commit that took it back, or says so, when somebody made it with git beside the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
    /// A failed outcome came right later.
    pub recovered_at: Option<Timestamp>,
}

/// A commit, made with git beside the service, that takes a delivered change back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The commit.
    pub commit: CommitId,
    /// Who wrote it, as git says: untrusted text.
    pub author: String,
    /// Whether the files are as before the change; without it only the commit's message says that it reverts it.
    pub restored: bool,
    /// A later commit, made by hand as well, that took the first one back: the change is on the branch again.
    pub put_back: Option<CommitId>,
}

impl ByHand {
    /// Whether the change is undone at present.
    pub const fn stands(&self) -> bool {
        self.restored && self.put_back.is_none()
    }
}

/// Somebody by id and display name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRef {
    /// The numeric id; never told to agents.
    pub id: UserId,
    /// The display name.
    pub name: String,
}

/// How a proposal came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Full contents or a diff from an agent.
    Change,
    /// A runbook call that the service rendered.
    Runbook(RunbookCall),
    /// A commit that an agent pushed by itself and reported.
    Observed(RunbookCall),
    /// The inverse of a delivered change.
    Revert {
        /// The proposal to undo.
        of: ProposalId,
        /// Its commit.
        commit: CommitId,
    },
}

/// A runbook with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunbookCall {
    /// Its name.
    pub runbook: RunbookName,
    /// SHA-256 of the runbook's file: an edit makes another runbook.
    pub hash: Sha256Hash,
    /// The parameters, checked against its schema.
    pub parameters: Value,
}

/// One version of a proposal's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// From 1.
    pub number: u32,
    /// Who wrote it.
    pub author: RevisionAuthor,
    /// The commit that the old side was read from.
    pub base: CommitId,
    /// Names exactly what was shown.
    pub digest: Sha256Hash,
    /// What the policy looks at.
    pub facts: Facts,
    /// What the policy decided.
    pub route: Route,
    /// When it was made.
    pub created_at: Timestamp,
    /// For a change of the repository's policy: what it would have meant for past changes, in sentences. Absent in what older versions stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay: Vec<String>,
}

/// Who wrote a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionAuthor {
    /// The agent.
    Agent,
    /// The service, after the branch moved under it.
    Countersign,
}

/// One human's approve or reject, bound to a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who.
    pub by: PersonRef,
    /// What they said.
    pub verdict: ReviewVerdict,
    /// Of which revision.
    pub revision: u32,
    /// Of exactly which content.
    pub digest: Sha256Hash,
    /// When.
    pub at: Timestamp,
    /// Whether it was confirmed with a code of this person's own generator. Absent in what older versions stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
}

/// Approve or reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewVerdict {
    /// Yes.
    Approve,
    /// No; one is final.
    Reject,
}

/// Who ended a proposal, and the reason they gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The person; `None` for the agent or the service.
    pub by: Option<PersonRef>,
    /// Their words, for the agent to learn from.
    pub reason: Option<String>,
    /// Until when a reason may still be added.
    pub reason_until: Option<Timestamp>,
}

/// A commit that was built for the proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id, deterministic.
    pub commit: CommitId,
    /// Its parent.
    pub parent: CommitId,
    /// When it was stored, before the push.
    pub at: Timestamp,
}

/// A pull request that the service opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Its head branch.
    pub branch: String,
    /// Somebody closed it without a merge, and has not reopened it. Absent in what older versions stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// One touched application as last observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationState {
    /// The Application's name.
    pub name: String,
    /// The namespace that the Application resource lives in.
    pub namespace: String,
    /// Its project.
    pub project: String,
    /// One word: `waiting`, `syncing`, `applied`, `synced`, `degraded`, `sync_failed`, `needs_sync`, …
    pub state: String,
    /// A sentence for people.
    pub headline: String,
    /// What the watcher must remember between two looks; opaque here.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub tracking: Value,
}

impl ApplicationState {
    /// Whether it comes no further before a person syncs it.
    pub fn needs_sync(&self) -> bool {
        self.state == "needs_sync"
    }
}

impl Proposal {
    /// The tier in force.
    pub const fn tier(&self) -> Tier {
        self.revision.route.tier
    }

    /// Who asked, for the rule that nobody approves for an agent that they own: nobody when a person asked.
    pub fn asking_agent(&self) -> Option<&AgentName> {
        self.requested_by.is_none().then_some(&self.agent)
    }

    /// The approvals that count: of this revision and exactly this content, one per person, and with a code where the route asks for one.
    pub fn approvals(&self) -> impl Iterator<Item = &Review> {
        self.approvals_under(&self.revision.route)
    }

    /// Those that would count under another route.
    pub fn approvals_under(&self, route: &Route) -> impl Iterator<Item = &Review> {
        let code = route.asks_code();
        self.current_reviews()
            .filter(move |review| review.verdict == ReviewVerdict::Approve && (review.verified || !code))
    }

    /// Reviews of the current revision and digest.
    pub fn current_reviews(&self) -> impl Iterator<Item = &Review> {
        self.reviews
            .iter()
            .filter(|review| review.revision == self.revision.number && review.digest == self.revision.digest)
    }

    /// The ids of those whose approvals count.
    pub fn approvers(&self) -> Vec<UserId> {
        self.approvers_under(&self.revision.route)
    }

    /// The ids of those whose approvals would count under another route.
    pub fn approvers_under(&self, route: &Route) -> Vec<UserId> {
        self.approvals_under(route).map(|review| review.by.id).collect()
    }

    /// Whether the end has come.
    pub const fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether one of its applications comes no further before a person syncs it.
    pub fn awaits_manual_sync(&self) -> bool {
        self.outcome.is_none() && self.applications.iter().any(ApplicationState::needs_sync)
    }

    /// Whether a revert makes sense: it is on the branch and nothing has undone it.
    pub const fn is_delivered(&self) -> bool {
        let by_hand = match &self.by_hand {
            Some(back) => back.stands(),
            None => false,
        };
        self.commit.is_some() && self.reverted_by.is_none() && !by_hand
    }

    /// The head branch of a manual proposal's pull request. A later revision has a branch of its own: nothing is ever pushed over.
    pub fn head_branch(&self) -> String {
        self.head_branch_of(self.revision.number)
    }

    /// The head branch of one revision.
    pub fn head_branch_of(&self, revision: u32) -> String {
        match revision {
            0 | 1 => format!("countersign/{}", self.id),
            later => format!("countersign/{}-r{later}", self.id),
        }
    }
}
