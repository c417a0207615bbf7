//! Everything from the outside, in one binary.

mod tiers;
