//! What agents and people can ask for, one file each.

mod admit;
mod agents;
mod asking;
mod evaluate;
mod observe;
mod propose;
mod read;
pub(crate) mod revert;
mod revise;
mod unexplained;

pub(crate) use propose::{RunNotes, remember};
