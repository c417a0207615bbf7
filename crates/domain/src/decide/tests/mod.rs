//! What the transition function promises: a table of every step, properties over random histories, and the cases that were once wrong.

mod cases;
mod controls;
mod history;
mod judge;
mod properties;
mod table;
pub(crate) mod world;
