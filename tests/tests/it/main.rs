//! Everything from the outside, in one binary.

mod argocd;
mod attention;
mod branch;
mod by_hand;
mod clocks;
mod codes;
mod commands;
mod crashes;
mod drift;
mod guards;
mod manual;
mod observations;
mod policies;
mod posts;
mod replaced;
mod rewritten;
mod runbooks;
mod scope;
mod steps;
mod stops;
mod taps;
mod telegram;
mod tiers;
mod trust;
