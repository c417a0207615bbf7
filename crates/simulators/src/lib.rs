//! Telegram, Argo CD, GitHub and a smart-HTTP git remote as real servers, faithful to the real ones.

pub mod argocd;
pub mod git;
pub mod github;
pub mod page;
mod published;
pub mod telegram;
