//! The pure core of Countersign: proposals, policy and [`decide()`]. No tokio, no sqlx, no clock, no randomness: time, ids and limits are arguments.

mod change;
pub mod code;
mod decide;
mod effect;
mod event;
mod gate;
mod hidden;
mod ids;
pub mod ledger;
mod path;
mod policy;
mod proposal;
mod refusal;
mod states;
mod stops;
mod words;

pub use change::{ChangeKind, ChangeSet, FileChange, FileMode, FileVersion, NewFile, is_text};
pub use decide::{REASON_SECONDS, REMINDER_PERCENT, Transition, decide, open, progress};
pub use effect::{Effect, Scheduled};
pub use event::Event;
pub use gate::{Hold, Orders, look_again, may_send, said, said_in};
pub use hidden::{Hidden, hidden, is_blank, is_deceptive, is_selector, quoted, revealed, styles_emoji};
pub use ids::{
    AgentName, BlobId, CommitId, GroupName, InvalidId, ObjectId, ProposalId, RepositoryName, RunbookName, Sha256Hash, TargetClass,
    Timestamp, UserId,
};
pub use path::{DEPTH_MAX, PART_BYTES_MAX, PATH_BYTES_MAX, PathRefusal, RepoPath};
pub use policy::{
    Ahead, Asked, Eligibility, Escalation, Facts, Freeze, Grant, Part, PathGlob, Person, Place, Policy, Problem, Raise, Reminder,
    Requirement, Route, Rule, Seat, Shift, Standing, TTL_SECONDS_DEFAULT, Trust, Waiting, replay,
};
pub use proposal::{
    ApplicationState, Attempt, ByHand, Ending, Origin, PersonRef, Proposal, PullRequest, Review, ReviewVerdict, Revision, RevisionAuthor,
    RunbookCall,
};
pub use refusal::Refusal;
pub use states::{Decision, Delivery, Landed, Outcome, Risk, SecondFactor, Tier};
pub use stops::{Lock, Order, OrderId, RESUME_PEOPLE, RESUME_SECONDS, ResumeVote, Resumption, Scope, Stop, StopRequest, Subject};
pub use words::{counted, span};
