//! The commit that a proposal becomes.

use domain::{ChangeSet, Origin, Proposal};
use gitworker::CommitSpec;

use crate::Engine;

impl Engine {
    /// The commit: the agent's words first, our trailers last.
    pub(in crate::workers) fn spec(&self, proposal: &Proposal, change: ChangeSet) -> CommitSpec {
        let time = proposal.decided_at.unwrap_or(proposal.created_at);
        CommitSpec {
            change,
            message: message(proposal),
            time,
        }
    }
}

/// `git log` alone can rebuild who decided what. The agent's reason is quoted line by line, so that it cannot pass for a trailer.
fn message(proposal: &Proposal) -> String {
    let visible = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() || domain::is_deceptive(c) { ' ' } else { c })
            .collect()
    };
    let mut message = format!("{}\n", visible(&proposal.title));
    if !proposal.reason.is_empty() {
        message.push('\n');
        for line in proposal.reason.lines() {
            message.push_str(format!("> {}", visible(line)).trim_end());
            message.push('\n');
        }
    }
    message.push('\n');
    let mut trailer = |key: &str, value: &str| message.push_str(&format!("{key}: {value}\n"));
    trailer("Proposal-Id", &proposal.id.to_string());
    match &proposal.requested_by {
        Some(person) => trailer("Proposed-by", &visible(&person.name)),
        None => trailer("Proposed-by", proposal.agent.as_str()),
    }
    for review in proposal.approvals() {
        trailer("Approved-by", &visible(&review.by.name));
    }
    if let Origin::Runbook(call) = &proposal.origin {
        trailer("Runbook", &format!("{}@{}", call.runbook, call.hash.short()));
    }
    if let Origin::Revert { of, commit } = &proposal.origin {
        trailer("Reverts", &format!("{of} {commit}"));
    }
    trailer("Tier", proposal.tier().as_str());
    trailer("Digest", &proposal.revision.digest.to_string());
    trailer("Policy", &proposal.revision.route.policy.to_string());
    if let Some(head) = &proposal.audit_head {
        trailer("Audit-Head", head);
    }
    message
}
