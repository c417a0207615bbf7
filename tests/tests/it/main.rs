//! Everything from the outside, in one binary.

mod argocd;
mod branch;
mod taps;
mod tiers;
