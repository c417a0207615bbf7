//! The store, on real files: what callers see after commits, failures, restarts and tampering.

mod audit;
mod effects;
mod files;
mod ledger;
mod queries;
mod samples;
mod support;
mod writer;
