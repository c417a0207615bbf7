//! What a change is made of, computed without touching the world: typed YAML edits that keep comments and layout ([`yaml`]), named and
//! parameterised changes that the service renders itself ([`runbook`]), facts about a change set that a card shows ([`facts`]), what a
//! change does in the words of an operator ([`summary`]), and what must not reach git at all ([`guard`]).
//!
//! Everything here is a pure function of its arguments: file contents and parameters come in, new contents or an error go out.

pub mod facts;
mod grants;
pub mod guard;
pub mod runbook;
pub mod summary;
pub mod yaml;

pub use facts::{LineCounts, Remark, RemarkKind, count_lines, inspect};
pub use grants::{NewGrant, with_grant};
pub use runbook::{Description, Problem, RenderError, Rendered, Rollback, RunLimits, Runbook, Verification};
pub use summary::{Summary, checklist, summarize, summarize_with};
