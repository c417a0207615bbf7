//! New commits of a branch that take earlier ones back, however somebody made them: by what they do to the files, or by what they say.
//!
//! The cost follows the new commits and the files of the earlier ones; nothing else of the history is walked.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CommitId, Timestamp};
use git2::{Commit, Oid};

use crate::history::{between, lossy, time};
use crate::tree::{self, Found};
use crate::{GitError, Repository};

/// Paths of one commit that are compared; a larger one is recognised by its words alone.
const PATHS_MAX: usize = 1_000;
/// How git begins the line with which `git revert` names what it takes back.
const WORDS: &str = "This reverts commit ";
/// Commits named by one message that are looked at.
const NAMED_MAX: usize = 20;
/// Fewest digits of a commit id that are believed to name one.
const DIGITS_MIN: usize = 7;

/// A new commit that takes an earlier one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undoing {
    /// The new commit.
    pub by: CommitId,
    /// What it takes back.
    pub of: Undone,
    /// The author's name: untrusted text.
    pub author: String,
    /// The committer's mail address: untrusted text.
    pub committer: String,
    /// When it was committed, as it says.
    pub time: Timestamp,
}

/// How a commit shows that it takes another one back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// It puts every file of that commit back to what it was before.
    Restored(CommitId),
    /// Its message says so, with this id or the beginning of one.
    Named(String),
}

impl Repository {
    /// What the commits in `from..to` take back, oldest first: whatever their messages name, and those of `candidates`, newest first, whose
    /// files they put back, coming after them. Of several candidates on the same files a commit takes the newest back. At most 5,000 commits are looked at.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`] for `from` and `to`, such as after the branch was rewritten. A candidate that is gone is passed over.
    pub async fn undoings(&self, from: CommitId, to: CommitId, candidates: Vec<CommitId>) -> Result<Vec<Undoing>, GitError> {
        self.run(move |repo| undoings(repo, from, to, &candidates)).await
    }
}

/// What stood at the paths of an earlier commit before it.
struct Before {
    commit: CommitId,
    paths: BTreeMap<Vec<u8>, Option<Found>>,
}

fn undoings(repo: &git2::Repository, from: CommitId, to: CommitId, candidates: &[CommitId]) -> Result<Vec<Undoing>, GitError> {
    let walk = between(repo, from, to)?;
    let mut before = Vec::new();
    for candidate in candidates {
        before.extend(before_of(repo, *candidate)?);
    }
    let mut found = Vec::new();
    for id in walk {
        let commit = repo.find_commit(id?)?;
        let by = tree::commit_id(commit.id())?;
        let mut undone: Vec<Undone> = named(&lossy(commit.message_bytes())).into_iter().map(Undone::Named).collect();
        undone.extend(restored(repo, &commit, by, &before)?.into_iter().map(Undone::Restored));
        found.extend(undone.into_iter().map(|of| Undoing {
            by,
            of,
            author: lossy(commit.author().name_bytes()),
            committer: lossy(commit.committer().email_bytes()),
            time: time(commit.time()),
        }));
    }
    found.reverse();
    Ok(found)
}

fn before_of(repo: &git2::Repository, id: CommitId) -> Result<Option<Before>, GitError> {
    let Some(commit) = tree::commit(repo, id)? else { return Ok(None) };
    let parent = commit.parents().next().map(|parent| parent.tree_id());
    let differences = tree::differences(repo, parent, Some(commit.tree_id()), PATHS_MAX + 1)?;
    let few = (1..=PATHS_MAX).contains(&differences.len());
    let paths = differences.into_iter().map(|difference| (difference.path, difference.old));
    Ok(few.then(|| Before {
        commit: id,
        paths: paths.collect(),
    }))
}

/// The earlier commits whose files all are, with this commit, as they were before, one of them by its doing. A merge does only what it does
/// against every one of its parents: the commits that it brings are looked at by themselves.
fn restored(repo: &git2::Repository, commit: &Commit<'_>, id: CommitId, before: &[Before]) -> Result<Vec<CommitId>, GitError> {
    if before.is_empty() {
        return Ok(Vec::new());
    }
    let mut changed: Option<BTreeSet<Vec<u8>>> = None;
    for parent in commit.parents() {
        let differences = tree::differences(repo, Some(parent.tree_id()), Some(commit.tree_id()), PATHS_MAX)?;
        let paths: BTreeSet<Vec<u8>> = differences.into_iter().map(|difference| difference.path).collect();
        changed = Some(match changed {
            None => paths,
            Some(known) => known.intersection(&paths).cloned().collect(),
        });
    }
    let changed = changed.unwrap_or_default();
    let (mut found, mut claimed) = (Vec::new(), BTreeSet::new());
    for earlier in before.iter().filter(|earlier| earlier.commit != id) {
        let touched = earlier.paths.keys().any(|path| changed.contains(path));
        let newest = earlier.paths.keys().any(|path| !claimed.contains(path));
        // The last question is the dear one, and seldom asked: what came before a run, or beside it, has the files as they were, too.
        if touched && newest && is_as_before(repo, commit.tree_id(), earlier)? && comes_after(repo, commit.id(), earlier.commit)? {
            claimed.extend(earlier.paths.keys());
            found.push(earlier.commit);
        }
    }
    Ok(found)
}

fn comes_after(repo: &git2::Repository, commit: Oid, earlier: CommitId) -> Result<bool, GitError> {
    Ok(repo.graph_descendant_of(commit, tree::oid(earlier))?)
}

fn is_as_before(repo: &git2::Repository, root: Oid, earlier: &Before) -> Result<bool, GitError> {
    for (path, old) in &earlier.paths {
        if at(repo, root, path)? != *old {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What stands at a path of any bytes.
fn at(repo: &git2::Repository, root: Oid, path: &[u8]) -> Result<Option<Found>, GitError> {
    let mut directory = repo.find_tree(root)?;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let Some(found) = directory.get_name_bytes(part).map(|entry| tree::found_in(&entry)) else {
            return Ok(None);
        };
        if parts.peek().is_none() {
            return Ok(Some(found));
        }
        if !found.is_tree() {
            return Ok(None);
        }
        directory = repo.find_tree(found.id)?;
    }
    Ok(None)
}

/// The commits that a message says it reverts.
fn named(message: &str) -> Vec<String> {
    let ids = message.split(WORDS).skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_hexdigit() || c.is_ascii_uppercase())
            .unwrap_or(rest.len());
        &rest[..end]
    });
    let ids = ids.filter(|id| (DIGITS_MIN..=40).contains(&id.len()));
    ids.take(NAMED_MAX).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_what_it_reverts() {
        let id = "a".repeat(40);
        assert_eq!(
            named(&format!("Revert \"x\"\n\nThis reverts commit {id}.\n")),
            std::slice::from_ref(&id)
        );
        assert_eq!(
            named(&format!("This reverts commit {id}, reversing\nchanges made to {id}.")),
            std::slice::from_ref(&id)
        );
        assert_eq!(named("This reverts commit 1234567 (x, 2026-01-01)."), ["1234567"]);
        for nothing in ["", "This reverts commit 123456.", "This reverts commit x", "Reverts 1234567"] {
            assert!(named(nothing).is_empty(), "{nothing}");
        }
        assert!(named(&format!("This reverts commit {id}0.")).is_empty(), "too long for an id");
    }
}
