//! Changes carried over to a branch that moved, and taken back: per path, on buffers, without looking for renames.
//!
//! An edit that follows a rename would touch a path that the approver never saw, so a renamed file is a conflict.

use std::collections::BTreeMap;

use domain::{ChangeSet, CommitId, FileChange, FileVersion, NewFile, RepoPath, is_text};
use git2::{MergeFileInput, MergeFileOptions, ObjectType, Oid, Repository};

use crate::resolve::case_twins;
use crate::tree::{self, Found, Paths};
use crate::{GitError, Inverse, Rebase, history};

/// A commit that touches more files than this is not taken back by a proposal.
const INVERSE_FILES_MAX: usize = 1_000;
/// Commits named when a revert does not apply.
const BETWEEN_MAX: usize = 20;

/// What becomes of one path.
enum Step {
    /// Nobody else touched it: the change stands as it is.
    Stands,
    /// It is already as wanted.
    Done,
    /// Both changed it, and this is both.
    Merged(NewFile),
    Conflict,
}

/// [`Repository::rebase`](crate::Repository::rebase).
pub(crate) fn rebase(repo: &Repository, base: CommitId, tip: CommitId, change: &ChangeSet) -> Result<Rebase, GitError> {
    let tip_commit = tree::require(repo, tip)?;
    if base == tip {
        return Ok(Rebase::Untouched);
    }
    let tip_tree = Paths::of(repo, &tip_commit);
    let mut outcome = Outcome::default();
    for (path, file) in change.iter() {
        outcome.add(repo, &tip_tree, path, file.old, file.new.as_ref())?;
    }
    outcome.refuse_twins(&tip_tree)?;
    Ok(if !outcome.conflicts.is_empty() {
        Rebase::Conflict { paths: outcome.conflicts }
    } else if outcome.files.is_empty() {
        Rebase::AlreadyThere
    } else if outcome.untouched == change.len() {
        Rebase::Untouched
    } else {
        Rebase::Merged(ChangeSet::new(outcome.files))
    })
}

/// [`Repository::inverse`](crate::Repository::inverse): a merge of the tip with the commit's parent, seen from the commit.
pub(crate) fn inverse(repo: &Repository, commit: CommitId, tip: CommitId) -> Result<Inverse, GitError> {
    let undone = tree::require(repo, commit)?;
    let tip_tree = Paths::of(repo, &tree::require(repo, tip)?);
    let parent = undone.parents().next().map(|parent| parent.tree_id());
    // Seen backwards: what the commit made is old, what stood before is new.
    let differences = tree::differences(repo, Some(undone.tree_id()), parent, INVERSE_FILES_MAX + 1)?;
    if differences.len() > INVERSE_FILES_MAX {
        return Ok(Inverse::Unsupported {
            why: format!("it touches more than {INVERSE_FILES_MAX} files"),
        });
    }
    let change = match tree::as_change(repo, &differences)? {
        Ok(change) => change,
        Err(path) => {
            return Ok(Inverse::Unsupported {
                why: format!("it touches {path:?}, which no proposal may"),
            });
        }
    };
    let mut outcome = Outcome::default();
    for (path, file) in change.iter() {
        outcome.add(repo, &tip_tree, path, file.old, file.new.as_ref())?;
    }
    outcome.refuse_twins(&tip_tree)?;
    if !outcome.conflicts.is_empty() {
        let between = history::last_touching(repo, commit, tip, &outcome.conflicts, BETWEEN_MAX)?;
        return Ok(Inverse::Conflict {
            paths: outcome.conflicts,
            between,
        });
    }
    Ok(if outcome.files.is_empty() {
        Inverse::NothingLeft
    } else {
        Inverse::Change(ChangeSet::new(outcome.files))
    })
}

#[derive(Default)]
struct Outcome {
    /// Against the tip.
    files: BTreeMap<RepoPath, FileChange>,
    conflicts: Vec<RepoPath>,
    /// How many of `files` are as they were proposed, old side included.
    untouched: usize,
}

impl Outcome {
    fn add(
        &mut self,
        repo: &Repository,
        tip: &Paths<'_>,
        path: &RepoPath,
        base: Option<FileVersion>,
        wanted: Option<&NewFile>,
    ) -> Result<(), GitError> {
        let (here, depth) = tip.walk(path)?;
        let complete = depth == path.parts().count();
        // A file, symlink or submodule stands where a directory is needed.
        let blocked = !complete && here.is_some_and(|found| !found.is_tree());
        let ours = here.filter(|_| complete);
        let step = if blocked && wanted.is_some() {
            Step::Conflict
        } else {
            three_way(repo, base, ours, wanted)?
        };
        let old = ours.and_then(Found::file);
        let new = match step {
            Step::Conflict => {
                self.conflicts.push(path.clone());
                return Ok(());
            }
            Step::Done => return Ok(()),
            Step::Stands => {
                self.untouched += 1;
                wanted.cloned()
            }
            Step::Merged(new) => Some(new),
        };
        self.files.insert(path.clone(), FileChange { old, new });
        Ok(())
    }

    /// A name that differs by letter case only from one that the branch has by now.
    fn refuse_twins(&mut self, tip: &Paths<'_>) -> Result<(), GitError> {
        let twins = case_twins(tip, &self.files)?;
        self.conflicts.extend(twins.into_iter().map(|(path, _)| path));
        self.conflicts.sort();
        self.conflicts.dedup();
        Ok(())
    }
}

/// The merge of one path: `base` is what both sides started from, `ours` stands on the branch, `wanted` is the change.
fn three_way(repo: &Repository, base: Option<FileVersion>, ours: Option<Found>, wanted: Option<&NewFile>) -> Result<Step, GitError> {
    let wanted_blob = wanted.map(|file| Oid::hash_object(ObjectType::Blob, &file.bytes)).transpose()?;
    let same_as_wanted = match (ours, wanted, wanted_blob) {
        (None, None, _) => true,
        (Some(ours), Some(file), Some(blob)) => ours.mode == file.mode.bits() && ours.id == blob,
        _ => false,
    };
    if same_as_wanted {
        return Ok(Step::Done);
    }
    let same_as_base = match (ours, base) {
        (None, None) => true,
        (Some(ours), base) => base.is_some() && ours.file() == base,
        _ => false,
    };
    if same_as_base {
        return Ok(Step::Stands);
    }
    let (Some(base), Some(found), Some(wanted)) = (base, ours, wanted) else {
        return Ok(Step::Conflict);
    };
    let Some(ours) = found.file() else { return Ok(Step::Conflict) };
    // There are two modes: if ours moved away from the base, both that moved are the same.
    let mode = if ours.mode == base.mode { wanted.mode } else { ours.mode };
    let bytes = if ours.blob == base.blob {
        wanted.bytes.clone()
    } else if wanted_blob == Some(tree::oid(base.blob)) || wanted_blob == Some(found.id) {
        tree::bytes(repo, found.id)?
    } else {
        match merged_text(repo, base, &tree::bytes(repo, found.id)?, &wanted.bytes)? {
            Some(bytes) => bytes,
            None => return Ok(Step::Conflict),
        }
    };
    let as_ours = mode == ours.mode && Oid::hash_object(ObjectType::Blob, &bytes)? == found.id;
    Ok(if as_ours {
        Step::Done
    } else {
        Step::Merged(NewFile { mode, bytes })
    })
}

/// `None`: the contents conflict, are not text, or the common ancestor is no longer known.
fn merged_text(repo: &Repository, base: FileVersion, ours: &[u8], theirs: &[u8]) -> Result<Option<Vec<u8>>, GitError> {
    // After a forced push and a fresh clone the old content may be gone from everywhere.
    let Some(ancestor) = tree::blob(repo, tree::oid(base.blob))? else {
        return Ok(None);
    };
    if ![ancestor.as_slice(), ours, theirs].into_iter().all(is_text) {
        return Ok(None);
    }
    let (mut base_input, mut our_input, mut their_input) = (MergeFileInput::new(), MergeFileInput::new(), MergeFileInput::new());
    base_input.content(&ancestor);
    our_input.content(ours);
    their_input.content(theirs);
    let result = git2::merge_file(&base_input, &our_input, &their_input, Some(&mut MergeFileOptions::new()))?;
    Ok(result.is_automergeable().then(|| result.content().to_vec()))
}
