//! What the transition function promises: a table of every step, properties over random histories, and the cases that were once wrong.

mod cases;
mod properties;
mod table;
mod world;
