//! Everything from the outside, in one binary.

mod argocd;
mod branch;
mod crashes;
mod manual;
mod observations;
mod policies;
mod taps;
mod telegram;
mod tiers;
