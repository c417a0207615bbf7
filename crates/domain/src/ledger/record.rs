//! What the ledger knows about one runbook in one environment, besides its trials: promotions, demotions, holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DemotionCause, Trial};
use crate::{PersonRef, ProposalId, RepoPath, RepositoryName, RunbookName, Sha256Hash, TargetClass, Tier, Timestamp};

/// Whose record it is. Another hash or another environment is another record, and it starts at zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The runbook's name.
    pub runbook: RunbookName,
    /// SHA-256 of the runbook's file: an edit makes another runbook.
    pub hash: Sha256Hash,
    /// Where it ran.
    pub environment: Environment,
}

/// Where trust is earned: what holds for a test cluster says nothing about production.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Environment {
    /// The configured repository.
    pub repository: RepositoryName,
    /// The kind of target inside it.
    pub class: TargetClass,
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.repository, self.class)
    }
}

/// A promotion that is in force: written in the policy by a human, with an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The moment of the record that the human looked at. Whatever went wrong from then on takes the grant away, even before it landed.
    pub offered_at: Timestamp,
    /// When it landed on the branch.
    pub granted_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// A human wrote it without an offer: trust that was given, not earned. Until the record holds as many successes as an offer needs, the
    /// runbook's schema says which parameters are within.
    pub given: bool,
}

/// A tier that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demotion {
    /// When. Promotions offered up to then are void, and an offer counts only trials that started later.
    pub at: Timestamp,
    /// To which tier: `prompted`, or `manual` until a human lifts it.
    pub to: Tier,
    /// Why.
    pub cause: DemotionCause,
    /// The run that caused it.
    pub proposal: Option<ProposalId>,
    /// The human who did it.
    pub by: Option<PersonRef>,
    /// When a human lifted it. Matters for `manual` only: from `prompted` the way up is a new offer.
    pub lifted_at: Option<Timestamp>,
}

/// After a revert: this runbook does not run on this path until a human lifts the hold. It outlives edits of the runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The runbook, whatever its hash.
    pub runbook: RunbookName,
    /// The repository that the path is in.
    pub repository: RepositoryName,
    /// The path.
    pub path: RepoPath,
    /// Since when.
    pub since: Timestamp,
    /// The run that was reverted.
    pub proposal: Option<ProposalId>,
}

/// Everything that [`super::standing`] looks at, besides the time and the constants.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The highest tier that the runbook's file allows.
    pub ceiling: Tier,
    /// JSON Schema of the parameters, as the runbook enforces it.
    pub schema: &'a Value,
    /// The trials of this key, in any order; older ones than the window do no harm.
    pub trials: &'a [Trial],
    /// The promotion of this key that the policy holds.
    pub grant: Option<&'a Grant>,
    /// The demotions of this key, in any order.
    pub demotions: &'a [Demotion],
    /// The holds on this runbook in this repository that stand.
    pub holds: &'a [Hold],
    /// When a human last turned an offer down.
    pub declined_at: Option<Timestamp>,
}
