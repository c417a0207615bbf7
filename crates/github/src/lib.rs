//! GitHub pull requests for the manual tier. No code path that merges.
