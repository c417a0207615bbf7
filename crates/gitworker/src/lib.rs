//! Git without a work tree: mirror, commits built in memory, exact packs, path-wise rebase, ancestry.
