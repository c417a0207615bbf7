//! The pure core of Countersign: proposals, policy and [`decide()`]. No tokio, no sqlx, no clock, no randomness: time, ids and limits are arguments.

mod change;
mod ids;
mod path;
mod states;

pub use change::{ChangeKind, ChangeSet, FileChange, FileMode, FileVersion, NewFile, is_text};
pub use ids::{
    AgentName, BlobId, CommitId, GroupName, InvalidId, ObjectId, ProposalId, RepositoryName, RunbookName, Sha256Hash, Timestamp, UserId,
};
pub use path::{DEPTH_MAX, PART_BYTES_MAX, PATH_BYTES_MAX, PathRefusal, RepoPath, is_deceptive};
pub use states::{Decision, Delivery, Landed, Outcome, Tier};
