//! Everything from the outside, in one binary.

mod argocd;
mod attention;
mod branch;
mod commands;
mod crashes;
mod drift;
mod manual;
mod observations;
mod replaced;
mod steps;
mod taps;
mod telegram;
mod tiers;
