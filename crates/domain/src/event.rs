//! Everything that can happen to a proposal, as one closed list.

use crate::{
    ApplicationState, CommitId, Landed, Orders, Outcome, PersonRef, ProposalId, PullRequest, RepoPath, ReviewVerdict, Revision, Sha256Hash,
};

/// Something that happened: an HTTP call, a tap, a result of git, an observation of Argo CD, a deadline.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A person approved or rejected what a card showed.
    Review {
        /// Who.
        by: PersonRef,
        /// Yes or no.
        verdict: ReviewVerdict,
        /// The revision of the card.
        revision: u32,
        /// The digest of the card.
        digest: Sha256Hash,
        /// Seconds between the quorum and the push in which people may still cancel.
        hold_seconds: u32,
        /// Whether they confirmed it with a code of their own generator, just now.
        verified: bool,
    },
    /// The person who rejected says why.
    Reason {
        /// Who.
        by: PersonRef,
        /// Their words.
        text: String,
    },
    /// An approver stops it: before a decision, before the push, or when the remote refused.
    Cancel {
        /// Who.
        by: PersonRef,
    },
    /// An approver asks to try a refused push again.
    Retry {
        /// Who.
        by: PersonRef,
    },
    /// The agent takes it back.
    Withdraw {
        /// Why, in the agent's words.
        reason: Option<String>,
    },
    /// The agent sends another version.
    Revise {
        /// The new revision, routed.
        revision: Box<Revision>,
        /// Its headline.
        title: String,
        /// Why, in the agent's words.
        reason: String,
        /// The agent's own reference; `None` keeps the one before.
        correlation: Option<String>,
    },
    /// The service merged after a touched file changed on the branch: the new content must be looked at again.
    Reshow {
        /// The new revision, routed.
        revision: Box<Revision>,
    },
    /// A standard run was rendered anew because a file moved.
    Rerender {
        /// The new revision, routed.
        revision: Box<Revision>,
    },
    /// The branch changed the same lines.
    Conflict {
        /// Where.
        paths: Vec<RepoPath>,
    },
    /// The branch already holds all that was proposed.
    AlreadyThere {
        /// The commit where it was seen.
        commit: CommitId,
    },
    /// The time to decide is over.
    Expire,
    /// The policy in force, or the service, forbids it.
    Refuse {
        /// Why.
        why: String,
    },
    /// A commit was built; asks for leave to push it.
    CommitBuilt {
        /// Its id.
        commit: CommitId,
        /// Its parent.
        parent: CommitId,
        /// The digest of what was really built.
        digest: Sha256Hash,
        /// What people ordered about sending it.
        orders: Orders,
    },
    /// Somebody took their own rights away: what they approved does not count any more.
    Locked {
        /// Who.
        by: PersonRef,
    },
    /// The remote's ref was read back and contains the commit.
    PushConfirmed {
        /// The commit.
        commit: CommitId,
    },
    /// The branch moved first: build again.
    PushMissed,
    /// The remote refused, or the branch is not what it was: a human must look.
    PushRefused {
        /// What the remote said.
        message: String,
    },
    /// Manual tier: the pull request or patch is ready.
    Prepared {
        /// The pull request, where the host has them.
        pull: Option<PullRequest>,
    },
    /// Manual tier: a human's commit brought it.
    Arrived {
        /// The commit.
        commit: CommitId,
        /// As proposed, or with edits.
        landed: Landed,
        /// Who committed, as git says.
        by: String,
        /// Set when the committer is an agent or the service itself.
        alarm: Option<String>,
    },
    /// Manual tier: the pull request was closed without a merge, or is open again.
    PullSeen {
        /// Whether it is closed.
        closed: bool,
    },
    /// Manual tier: somebody committed it, and the branch holds the files as before again.
    Undone {
        /// The commit that brought it.
        commit: CommitId,
        /// Who committed it, as git says.
        by: String,
        /// The last commit that touched the files.
        undone: CommitId,
        /// Who committed that one.
        undone_by: String,
    },
    /// Manual tier: the touched files changed otherwise.
    Diverged {
        /// The commit.
        commit: CommitId,
        /// Who committed, as git says.
        by: String,
    },
    /// What Argo CD shows now.
    Observed {
        /// All touched applications.
        applications: Vec<ApplicationState>,
        /// Why Argo CD cannot be asked which applications these are; `None` as soon as it can.
        trouble: Option<String>,
    },
    /// The verdict over all touched applications, or that there are none.
    Settled {
        /// The end.
        outcome: Outcome,
        /// All touched applications.
        applications: Vec<ApplicationState>,
        /// A sentence for people.
        note: Option<String>,
    },
    /// A failed end came right later.
    Recovered,
    /// A revert of this change was delivered.
    Reverted {
        /// The revert.
        by: ProposalId,
    },
    /// The revert of this change was undone itself: what it did is on the branch again.
    Restored {
        /// The revert that is no longer in force.
        by: ProposalId,
    },
    /// A commit that somebody made with git takes this change back.
    TakenBack {
        /// The commit.
        commit: CommitId,
        /// Who wrote it: untrusted text.
        author: String,
        /// Whether the files are as before the change; otherwise only the commit's message says so.
        restored: bool,
    },
    /// A commit that somebody made with git takes that commit back: the change is on the branch again.
    PutBack {
        /// The later commit.
        commit: CommitId,
    },
}

impl Event {
    /// The event's word in the audit log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Review {
                verdict: ReviewVerdict::Approve,
                ..
            } => "approve",
            Self::Review {
                verdict: ReviewVerdict::Reject,
                ..
            } => "reject",
            Self::Reason { .. } => "reason",
            Self::Cancel { .. } => "cancel",
            Self::Retry { .. } => "retry",
            Self::Withdraw { .. } => "withdraw",
            Self::Revise { .. } => "revise",
            Self::Reshow { .. } => "reshow",
            Self::Rerender { .. } => "rerender",
            Self::Conflict { .. } => "conflict",
            Self::AlreadyThere { .. } => "already_there",
            Self::Expire => "expire",
            Self::Refuse { .. } => "refuse",
            Self::CommitBuilt { .. } => "commit_built",
            Self::Locked { .. } => "locked",
            Self::PushConfirmed { .. } => "push_confirmed",
            Self::PushMissed => "push_missed",
            Self::PushRefused { .. } => "push_refused",
            Self::Prepared { .. } => "prepared",
            Self::Arrived { .. } => "arrived",
            Self::PullSeen { closed: true } => "pull_closed",
            Self::PullSeen { closed: false } => "pull_reopened",
            Self::Undone { .. } => "undone",
            Self::Diverged { .. } => "diverged",
            Self::Observed { .. } => "observed",
            Self::Settled { .. } => "settled",
            Self::Recovered => "recovered",
            Self::Reverted { .. } => "reverted",
            Self::Restored { .. } => "restored",
            Self::TakenBack { .. } => "taken_back",
            Self::PutBack { .. } => "put_back",
        }
    }

    /// The person behind it, if one is.
    pub const fn person(&self) -> Option<&PersonRef> {
        match self {
            Self::Review { by, .. } | Self::Reason { by, .. } | Self::Cancel { by } | Self::Retry { by } | Self::Locked { by } => Some(by),
            Self::Withdraw { .. }
            | Self::Revise { .. }
            | Self::Reshow { .. }
            | Self::Rerender { .. }
            | Self::Conflict { .. }
            | Self::AlreadyThere { .. }
            | Self::Expire
            | Self::Refuse { .. }
            | Self::CommitBuilt { .. }
            | Self::PushConfirmed { .. }
            | Self::PushMissed
            | Self::PushRefused { .. }
            | Self::Prepared { .. }
            | Self::Arrived { .. }
            | Self::PullSeen { .. }
            | Self::Undone { .. }
            | Self::Diverged { .. }
            | Self::Observed { .. }
            | Self::Settled { .. }
            | Self::Recovered
            | Self::Reverted { .. }
            | Self::Restored { .. }
            | Self::TakenBack { .. }
            | Self::PutBack { .. } => None,
        }
    }
}
