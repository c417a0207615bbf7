//! The closed sets. API, database and cards use exactly these words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidId;

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident ($what:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every member, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that API, database and cards use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(InvalidId {
                        what: $what,
                        given: other.chars().take(80).collect(),
                        expected: concat!("one of:", $(" ", $word),+),
                    }),
                }
            }
        }
    };
}
pub(crate) use closed_set;

closed_set! {
    /// Autonomy level, strictest first: `Manual < Prompted < Standard` in `Ord`, so the strictest of several is their minimum.
    Tier("tier") {
        /// The service prepares, a human commits.
        Manual = "manual",
        /// Humans approve on a card, the service commits.
        Prompted = "prompted",
        /// A proven runbook: committed at once, humans are told afterwards.
        Standard = "standard",
    }
}

closed_set! {
    /// What an approval takes beside a tap, on paths that are marked so.
    SecondFactor("second factor") {
        /// Each approver confirms with a code of their own generator.
        Totp = "totp",
        /// One eligible person more than is asked otherwise.
        Person = "person",
    }
}

closed_set! {
    /// How dangerous a change is, by rules of the service: `Low < Medium < High < Critical` in `Ord`.
    Risk("risk") {
        /// Nothing that stands out.
        Low = "low",
        /// Worth a second look.
        Medium = "medium",
        /// Can interrupt a service or widen what somebody may do.
        High = "high",
        /// Can lose data or open the cluster.
        Critical = "critical",
    }
}

closed_set! {
    /// What humans, or the policy, decided.
    Decision("decision") {
        /// Waiting for reviews, or for a human's commit.
        Pending = "pending",
        /// The quorum is complete.
        Approved = "approved",
        /// The policy asks nobody: a standard run, or an observed commit.
        NotRequired = "not_required",
        /// An eligible person said no.
        Rejected = "rejected",
        /// Nobody decided in time.
        Expired = "expired",
        /// The agent took it back.
        Withdrawn = "withdrawn",
        /// The service will not do it: the policy in force forbids it.
        Refused = "refused",
        /// A human put it aside: cancelled after approval, or a prepared manual change nobody wants.
        Dismissed = "dismissed",
    }
}

closed_set! {
    /// Where the change is on its way into git and the cluster.
    Delivery("delivery") {
        /// Nothing is under way.
        None = "none",
        /// Decided, waiting for the branch's owner.
        Queued = "queued",
        /// A commit exists and its push is under way.
        Committing = "committing",
        /// The remote refused; needs a human: Retry or Cancel.
        PushBlocked = "push_blocked",
        /// Manual tier: prepared, a human commits.
        AwaitingCommit = "awaiting_commit",
        /// The remote's ref was read back and contains the commit.
        Pushed = "pushed",
        /// Argo CD is being watched for that commit.
        Syncing = "syncing",
        /// Nothing more happens.
        Ended = "ended",
    }
}

closed_set! {
    /// The end of a proposal: set once, never changed.
    Outcome("outcome") {
        /// Every touched application is synced and healthy at this commit.
        Synced = "synced",
        /// On the branch; no application tracks the files, or no Argo CD is configured.
        Pushed = "pushed",
        /// Applied, but an application is unhealthy.
        Degraded = "degraded",
        /// Argo CD could not apply or render it.
        SyncFailed = "sync_failed",
        /// Argo CD gave no final answer in time. Not a failure: unknown.
        TimedOut = "timed_out",
        /// Somebody rolled the application back.
        RolledBack = "rolled_back",
        /// The commit vanished from the branch.
        Lost = "lost",
        /// The branch changed the same lines.
        Conflicted = "conflicted",
        /// The remote refused and a human gave up.
        PushRefused = "push_refused",
        /// Manual tier: the touched files changed otherwise.
        Diverged = "diverged",
        /// See [`Decision::Rejected`].
        Rejected = "rejected",
        /// See [`Decision::Expired`].
        Expired = "expired",
        /// See [`Decision::Withdrawn`].
        Withdrawn = "withdrawn",
        /// See [`Decision::Refused`].
        Refused = "refused",
        /// See [`Decision::Dismissed`].
        Dismissed = "dismissed",
    }
}

impl Outcome {
    /// Whether humans should be disturbed by it.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Degraded
            | Self::SyncFailed
            | Self::TimedOut
            | Self::RolledBack
            | Self::Lost
            | Self::Conflicted
            | Self::PushRefused
            | Self::Diverged => true,
            Self::Synced | Self::Pushed | Self::Rejected | Self::Expired | Self::Withdrawn | Self::Refused | Self::Dismissed => false,
        }
    }
}

closed_set! {
    /// How a manual change arrived on the branch.
    Landed("landed") {
        /// All proposed blobs and modes are on the branch.
        AsProposed = "as_proposed",
        /// The human changed something on the way.
        WithEdits = "with_edits",
    }
}
