//! The pure core of Countersign: proposals, policy and [`decide()`]. No tokio, no sqlx, no clock, no randomness: time, ids and limits are arguments.

mod change;
mod decide;
mod effect;
mod event;
mod hidden;
mod ids;
pub mod ledger;
mod path;
mod policy;
mod proposal;
mod refusal;
mod states;
mod words;

pub use change::{ChangeKind, ChangeSet, FileChange, FileMode, FileVersion, NewFile, is_text};
pub use decide::{REASON_SECONDS, REMINDER_PERCENT, Transition, decide, open, progress};
pub use effect::{Effect, Scheduled};
pub use event::Event;
pub use hidden::{Hidden, hidden, is_deceptive, is_selector, styles_emoji};
pub use ids::{
    AgentName, BlobId, CommitId, GroupName, InvalidId, ObjectId, ProposalId, RepositoryName, RunbookName, Sha256Hash, TargetClass,
    Timestamp, UserId,
};
pub use path::{DEPTH_MAX, PART_BYTES_MAX, PATH_BYTES_MAX, PathRefusal, RepoPath};
pub use policy::{Eligibility, Facts, PathGlob, Person, Policy, Problem, Requirement, Route, Rule, TTL_SECONDS_DEFAULT};
pub use proposal::{
    ApplicationState, Attempt, Ending, Origin, PersonRef, Proposal, PullRequest, Review, ReviewVerdict, Revision, RevisionAuthor,
    RunbookCall,
};
pub use refusal::Refusal;
pub use states::{Decision, Delivery, Landed, Outcome, Tier};
pub use words::{counted, span};
