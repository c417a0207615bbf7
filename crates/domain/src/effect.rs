//! What a transition owes to the world, stored together with the state that owes it.

use serde::{Deserialize, Serialize};

use crate::{AgentName, OrderId, RepositoryName, Timestamp};

/// One side effect owed to the world. Stored with the state that owes it, executed outside any transaction, safe to run twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Post the current revision's card or note.
    SendCard,
    /// Bring every card up to the current row. Carries no text: it renders what is true when it runs.
    EditCards,
    /// Tell people of the current row's failure or expiry with sound, of its recovery without.
    Notify,
    /// Remind the approvers once, if still pending.
    Remind,
    /// Tell a second group that it may help from now on, if still pending.
    Escalate,
    /// End it, if still pending.
    Expire,
    /// Let the branch's owner commit and push it.
    Deliver,
    /// Manual tier: open the pull request or write the patch.
    Prepare,
    /// Manual tier: see whether it landed.
    WatchLanding,
    /// Look at Argo CD until the end.
    Observe,
    /// Take what has a time limit off the card: the reason chips, an open second step.
    CloseReason,
    /// Raise an alarm in the chats; the text is the audit row's.
    Alarm {
        /// What happened.
        text: String,
    },
    /// Tell people something that asks for no tap; the text is the audit row's.
    Tell {
        /// What to say.
        text: String,
    },
    /// Tell a chat of the standard runs that waited for its digest.
    Digest {
        /// The chat.
        chat: i64,
        /// The topic in it; 0 for none.
        thread: i64,
    },
    /// Tell something in every chat, with sound: what people stopped is over.
    Announce {
        /// What.
        text: String,
    },
    /// Tell every chat of a stop or lock, with a button that ends it; bring what tells of it already up to what stands now.
    TellOrder {
        /// Which.
        order: OrderId,
    },
    /// Show people the lines that accept an offer of a promotion, as long as it is open.
    TellOffer {
        /// Its number.
        offer: u64,
        /// Where: its chats are told.
        repository: RepositoryName,
        /// What is offered, and where the lines belong.
        text: String,
        /// The lines, as they are to be pasted.
        lines: String,
        /// How to turn it down.
        after: String,
    },
    /// An offer is over: the messages that tell of it say how from now on.
    CloseOffer {
        /// Its number.
        offer: u64,
        /// What became of it.
        text: String,
    },
    /// Tell people, in one message that is edited, how often an agent was refused because it had asked too much.
    Quota {
        /// Who asked too much.
        agent: AgentName,
        /// Where: its chats are told.
        repository: RepositoryName,
    },
    /// Tell what a revert undid, and its cards, whether the revert is in force.
    MarkReverted,
    /// The window of a run has closed: see what its runbook's record says now.
    WeighTrust,
}

impl Effect {
    /// The effect's word. Of equal effects at most one waits per proposal, at the earliest of the times that were asked for: whoever
    /// needs a later time looks at the row again when it rings.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::SendCard => "send_card",
            Self::EditCards => "edit_cards",
            Self::Notify => "notify",
            Self::Remind => "remind",
            Self::Escalate => "escalate",
            Self::Expire => "expire",
            Self::Deliver => "deliver",
            Self::Prepare => "prepare",
            Self::WatchLanding => "watch_landing",
            Self::Observe => "observe",
            Self::CloseReason => "close_reason",
            Self::Alarm { .. } => "alarm",
            Self::Tell { .. } => "tell",
            Self::Digest { .. } => "digest",
            Self::Announce { .. } => "announce",
            Self::TellOrder { .. } => "tell_order",
            Self::TellOffer { .. } => "tell_offer",
            Self::CloseOffer { .. } => "close_offer",
            Self::Quota { .. } => "quota",
            Self::MarkReverted => "mark_reverted",
            Self::WeighTrust => "weigh_trust",
        }
    }
}

/// An effect and when it is due. Timers are effects with a later time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// What to do.
    pub effect: Effect,
    /// When.
    pub due: Timestamp,
}
