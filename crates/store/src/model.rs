//! What the tables hold, as types of their own where the domain has none: audit entries, agents, cards, answers, claimed effects.

use std::fmt;
use std::str::FromStr;

use domain::ledger::{Demotion, Grant, Hold, Record, Trial};
use domain::{
    AgentName, Decision, Delivery, Effect, InvalidId, Outcome, PersonRef, ProposalId, RepositoryName, RunbookName, Sha256Hash, Timestamp,
};
use serde::{Deserialize, Serialize};

/// What a subscriber hears after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// This proposal has this version now.
    Proposal {
        /// Which.
        id: ProposalId,
        /// Its version after the commit.
        version: u64,
    },
    /// Another process wrote: anything may have changed, read again what you wait for. Treat a lagging receiver the same way.
    Unknown,
}

/// Who did what an audit row tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An agent, by its token.
    Agent(AgentName),
    /// Somebody the policy knows.
    Person(PersonRef),
    /// The service itself: deadlines, git, Argo CD.
    Service,
    /// Somebody the policy does not know.
    Stranger {
        /// The numeric id.
        id: i64,
        /// The display name they gave themselves. Hostile text.
        name: String,
    },
}

/// One entry for the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The proposal it is about; `None` for attempts that made none.
    pub proposal: Option<ProposalId>,
    /// Who.
    pub actor: Actor,
    /// One word, such as [`domain::Event::name`].
    pub event: String,
    /// A sentence for people.
    pub summary: String,
    /// Facts for machines. No secrets.
    pub details: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// One entry of the audit log as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// From 1, without gaps.
    pub row: u64,
    /// What was said.
    pub entry: Audit,
    /// The hash of this row, which covers all rows before it.
    pub hash: Sha256Hash,
}

/// A freeze that a proposal was let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The freeze's name.
    pub freeze: String,
    /// Who let it pass.
    pub by: PersonRef,
    /// When.
    pub at: Timestamp,
}

/// Everything that people ordered about sending and that stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ordered {
    /// The stops.
    pub stops: Vec<domain::Stop>,
    /// People without rights.
    pub locks: Vec<domain::Lock>,
    /// The freezes that proposals without an outcome may pass.
    pub overrides: std::collections::BTreeMap<ProposalId, Vec<Override>>,
}

/// What `verify_audit` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditReport {
    /// Every row follows from the one before.
    Intact {
        /// How many rows.
        rows: u64,
        /// The hash of the last row; all zero when there is none.
        head: Sha256Hash,
    },
    /// Something is not what was written.
    Broken {
        /// The number of the first such row; `None` when every row is, and the proposals tell something else.
        row: Option<u64>,
        /// What is wrong.
        why: String,
    },
}

/// What the intake must know about an agent before it stores a proposal, asked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its proposals without an outcome.
    pub open: u64,
    /// Its proposals made, and its reports refused, since the asked moment: what counts against its hour.
    pub created: u64,
    /// Its pending proposal with exactly the asked content and base.
    pub pending: Option<ProposalId>,
}

/// What a proposal list is narrowed to; the default is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this agent's.
    pub agent: Option<AgentName>,
    /// Only in this repository.
    pub repository: Option<RepositoryName>,
    /// Only with this decision.
    pub decision: Option<Decision>,
    /// Only with this delivery.
    pub delivery: Option<Delivery>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only those without an outcome.
    pub open_only: bool,
    /// Only those created at or after this moment.
    pub since: Option<Timestamp>,
}

/// Where the next page of a list begins. Textual form for the API: opaque to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) created_at: i64,
    pub(crate) id: ProposalId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.created_at, self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parsed = text.split_once('.').and_then(|(at, id)| {
            let created_at = i64::from_str_radix(at, 16).ok()?;
            Some(Self {
                created_at,
                id: id.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| InvalidId {
            what: "cursor",
            given: text.chars().take(80).collect(),
            expected: "the `next` value of an earlier page",
        })
    }
}

/// The stored answer to a creating call: replayed when the agent sends the same key again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// SHA-256 of the request that was answered.
    pub body_hash: Sha256Hash,
    /// HTTP status.
    pub status: u16,
    /// The body that was sent.
    pub body: String,
    /// The `ETag` header that was sent.
    pub etag: Option<String>,
    /// The `Location` header that was sent.
    pub location: Option<String>,
}

/// What an agent may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// The repositories it may propose for.
    pub repositories: Vec<RepositoryName>,
    /// Path globs; empty means every path.
    pub paths: Vec<String>,
    /// The runbooks it may call.
    pub runbooks: Vec<RunbookName>,
}

/// An agent that may call the API. Its token is not among the fields: only a hash is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// What it may touch.
    pub scopes: Scopes,
    /// When its token was made.
    pub created_at: Timestamp,
    /// When its token ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it last called, as far as it was noted.
    pub last_used_at: Option<Timestamp>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            /// The word in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            pub(crate) fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// What a card is for.
    CardKind {
        /// With buttons that decide.
        Approval = "approval",
        /// Tells; may carry Revert or Retry.
        Note = "note",
    }
}

words! {
    /// Where a card is.
    CardState {
        /// Stored before it is sent: a lost answer is recognised by its nonce.
        Sending = "sending",
        /// Telegram confirmed the message.
        Shown = "shown",
        /// A newer revision has its own card; these buttons are dead.
        Superseded = "superseded",
        /// The message was deleted, or the chat is closed to us.
        Gone = "gone",
    }
}

/// A card to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCard {
    /// The proposal it shows.
    pub proposal: ProposalId,
    /// The revision it shows.
    pub revision: u32,
    /// The digest it shows.
    pub digest: Sha256Hash,
    /// The chat it goes to.
    pub chat: i64,
    /// The topic it goes to.
    pub thread: Option<i64>,
    /// What its buttons carry: 22 characters of base64url, 128 random bits.
    pub nonce: String,
    /// Which try to send it, from 1.
    pub attempt: u32,
    /// What it is for.
    pub kind: CardKind,
    /// The proposal's version that it was rendered from.
    pub shown_version: u64,
    /// When it was stored, just before sending.
    pub sent_at: Timestamp,
}

/// A card that was sent, or is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its row.
    pub id: i64,
    /// The proposal it shows.
    pub proposal: ProposalId,
    /// The revision it shows.
    pub revision: u32,
    /// The digest it shows.
    pub digest: Sha256Hash,
    /// The chat it is in.
    pub chat: i64,
    /// The topic it is in.
    pub thread: Option<i64>,
    /// Telegram's message id, once confirmed or adopted.
    pub message: Option<i64>,
    /// The message id of the document sent with it.
    pub document: Option<i64>,
    /// What its buttons carry.
    pub nonce: String,
    /// Which try to send it.
    pub attempt: u32,
    /// What it is for.
    pub kind: CardKind,
    /// Where it is.
    pub state: CardState,
    /// The proposal's version that it shows.
    pub shown_version: u64,
    /// When it was stored, just before sending.
    pub sent_at: Timestamp,
    /// Since when it has its present form; not known of cards that older versions sent.
    pub shown_at: Option<Timestamp>,
}

/// What a message tells of that is no proposal's card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A stop, by its number.
    Stop(u64),
    /// A lock, by its number.
    Lock(u64),
    /// The offer of a promotion, by its number.
    Offer(u64),
}

impl From<domain::OrderId> for Told {
    fn from(order: domain::OrderId) -> Self {
        match order {
            domain::OrderId::Stop(id) => Self::Stop(id),
            domain::OrderId::Lock(id) => Self::Lock(id),
        }
    }
}

/// A message with buttons that is no proposal's card, to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPost {
    /// What it tells of; none for a digest.
    pub told: Option<Told>,
    /// The runs of a digest, in the order of its buttons.
    pub runs: Vec<ProposalId>,
    /// The chat it goes to.
    pub chat: i64,
    /// The topic it goes to.
    pub thread: Option<i64>,
    /// What its buttons carry: 22 characters of base64url, 128 random bits.
    pub nonce: String,
    /// When it was stored, just before sending.
    pub sent_at: Timestamp,
}

/// A message with buttons that is no proposal's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its row.
    pub id: i64,
    /// What it tells of; none for a digest.
    pub told: Option<Told>,
    /// The runs of a digest, in the order of its buttons.
    pub runs: Vec<ProposalId>,
    /// The chat it is in.
    pub chat: i64,
    /// The topic it is in.
    pub thread: Option<i64>,
    /// Telegram's message id, once confirmed or adopted.
    pub message: Option<i64>,
    /// What its buttons carry.
    pub nonce: String,
}

/// An effect that a worker holds until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its row: what `finish`, `postpone` and `park` take.
    pub effect_id: i64,
    /// The proposal it is owed for.
    pub proposal: Option<ProposalId>,
    /// What to do.
    pub effect: Effect,
    /// Which attempt this is, from 1.
    pub attempts: u32,
    /// When it was due.
    pub due: Timestamp,
}

/// An effect in the outbox, for people and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its row.
    pub effect_id: i64,
    /// The proposal it is owed for.
    pub proposal: Option<ProposalId>,
    /// [`Effect::key`], also of an effect that cannot be decoded.
    pub key: String,
    /// The effect as stored.
    pub effect: String,
    /// When it is due.
    pub due: Timestamp,
    /// How often it was claimed.
    pub attempts: u32,
    /// Until when a worker holds it.
    pub leased_until: Option<Timestamp>,
    /// Whether it waits for a human: nobody claims it any more.
    pub parked: bool,
    /// What went wrong last.
    pub error: Option<String>,
}

/// What `prune` removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Contents of revisions of ended proposals.
    pub contents: u64,
    /// Idempotency answers.
    pub answers: u64,
    /// Telegram update ids.
    pub updates: u64,
}

/// One runbook's record in one environment: what [`domain::ledger::standing`] looks at, besides the runbook's own file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerRecord {
    /// The trials that started at or after the asked moment, oldest first.
    pub trials: Vec<Trial>,
    /// Every promotion that was ever in force, oldest first. The policy says which of them is.
    pub grants: Vec<Grant>,
    /// All demotions, oldest first.
    pub demotions: Vec<Demotion>,
    /// The holds that stand on this runbook in this repository.
    pub holds: Vec<Hold>,
    /// When an offer was last turned down.
    pub declined_at: Option<Timestamp>,
}

impl LedgerRecord {
    /// Together with what the runbook's file says (its ceiling and the schema of its parameters) and the promotion that the policy holds.
    pub const fn with<'a>(&'a self, ceiling: domain::Tier, schema: &'a serde_json::Value, grant: Option<&'a Grant>) -> Record<'a> {
        Record {
            ceiling,
            schema,
            trials: self.trials.as_slice(),
            grant,
            demotions: self.demotions.as_slice(),
            holds: self.holds.as_slice(),
            declined_at: self.declined_at,
        }
    }
}

/// A run that went out without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardRun {
    /// When it was called.
    pub at: Timestamp,
    /// Whether it changes the asked paths.
    pub same_target: bool,
    /// Whether it has no outcome yet.
    pub under_way: bool,
}

/// An offer of a promotion that nobody has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOffer {
    /// Its number.
    pub id: u64,
    /// The change to the policy that would make it true.
    pub proposal: Option<ProposalId>,
    /// When it was made.
    pub offered_at: Timestamp,
    /// When the promotion would end.
    pub expires_at: Timestamp,
}
