//! The end-to-end harness: the real engine over real git, a real SQLite file and the simulators over HTTP.
//!
//! A [`Lab`] is a small homelab: one repository, one chat, one Argo CD. It drives the service as agents and people do, and asserts what
//! they see. [`Lab::invariants`] holds every state against the promises the service makes.

pub mod invariants;
pub mod lab;
pub mod record;
pub mod service;

pub use lab::{Lab, LabOptions};
