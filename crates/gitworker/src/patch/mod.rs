//! A unified diff, applied exactly: what was shown is what is applied. No offsets, no fuzz, no guessing; the result is full contents.
//!
//! [`parse`] reads the text, [`apply`] fits it to a base. Refused are: text around the patch, symlinks and submodules,
//! binary patches, a new file over an existing one, one file twice, and a rename that the diff does not declare. A missing
//! `diff --git` line is fine: that is what people and models write.

mod hunks;
mod parse;

use std::collections::BTreeMap;

use domain::{CommitId, FileMode, RepoPath};
use git2::Repository;

pub(crate) use parse::parse;

use crate::{DiffError, Edit, Entry, RequestedChange, tree};

/// What a diff does to one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FilePatch {
    /// Where it starts in the diff, from 1.
    line: usize,
    action: Action,
    /// Whether it was and shall be executable, where the diff changes that.
    modes: Option<(bool, bool)>,
    hunks: Vec<Hunk>,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Create { path: RepoPath, exec: Option<bool> },
    Modify { path: RepoPath },
    Delete { path: RepoPath },
    Rename { from: RepoPath, to: RepoPath },
    Copy { from: RepoPath, to: RepoPath },
}

#[derive(Debug, PartialEq, Eq)]
struct Hunk {
    /// Where its `@@` line stands in the diff, from 1.
    line: usize,
    old_start: usize,
    old_count: usize,
    lines: Vec<Line>,
}

/// One line of a hunk, with its line ending where it has one.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Context,
    Removed,
    Added,
}

fn refused(line: usize, path: Option<&RepoPath>, problem: impl Into<String>) -> DiffError {
    DiffError::Refused {
        line,
        path: path.map(ToString::to_string),
        problem: problem.into(),
    }
}

impl Action {
    /// The file whose content the hunks are about.
    fn source(&self) -> &RepoPath {
        match self {
            Self::Create { path, .. } | Self::Modify { path } | Self::Delete { path } => path,
            Self::Rename { from, .. } | Self::Copy { from, .. } => from,
        }
    }

    /// The files that are written or deleted.
    fn touched(&self) -> Vec<&RepoPath> {
        match self {
            Self::Create { path, .. } | Self::Modify { path } | Self::Delete { path } => vec![path],
            Self::Rename { from, to } => vec![from, to],
            Self::Copy { to, .. } => vec![to],
        }
    }
}

/// Every file that a unified diff names, old and new names and the sources of copies: what must be allowed before a base is looked at.
///
/// # Errors
/// [`DiffError::Refused`] for a diff that cannot be read.
pub fn diff_paths(diff: &str) -> Result<Vec<RepoPath>, DiffError> {
    Ok(named(&parse(diff)?))
}

fn named(files: &[FilePatch]) -> Vec<RepoPath> {
    let mut paths = Vec::new();
    for file in files {
        paths.extend(file.action.touched().into_iter().chain([file.action.source()]).cloned());
    }
    paths
}

/// [`Repository::apply_diff`](crate::Repository::apply_diff).
pub(crate) fn apply(repo: &Repository, base: CommitId, files: &[FilePatch]) -> Result<Vec<RequestedChange>, DiffError> {
    once_each(files)?;
    let entries = tree::read(repo, base, &named(files))?;
    let mut changes = Vec::new();
    for file in files {
        apply_one(file, base, &entries, &mut changes)?;
    }
    Ok(changes)
}

fn once_each(files: &[FilePatch]) -> Result<(), DiffError> {
    let mut seen = BTreeMap::new();
    for file in files {
        for path in file.action.touched() {
            if let Some(first) = seen.insert(path, file.line) {
                return Err(refused(
                    file.line,
                    Some(path),
                    format!("line {first} already changes this file; put all its hunks together"),
                ));
            }
        }
    }
    Ok(())
}

fn apply_one(
    file: &FilePatch,
    base: CommitId,
    entries: &BTreeMap<RepoPath, Entry>,
    changes: &mut Vec<RequestedChange>,
) -> Result<(), DiffError> {
    let write = |path: &RepoPath, bytes: Vec<u8>, exec: Option<bool>| RequestedChange {
        path: path.clone(),
        edit: Edit::Write { bytes, exec },
    };
    let delete = |path: &RepoPath| RequestedChange {
        path: path.clone(),
        edit: Edit::Delete,
    };
    match &file.action {
        Action::Create { path, exec } => {
            absent(file, path, entries)?;
            changes.push(write(path, hunks::apply(file, &[], base)?, *exec));
        }
        Action::Modify { path } => {
            let (bytes, mode) = present(file, path, entries)?;
            let exec = exec_after(file, path, mode)?;
            // A mode alone changes a file whose lines nobody reads, too.
            let after = match file.hunks.as_slice() {
                [] => bytes.to_vec(),
                _ => hunks::apply(file, bytes, base)?,
            };
            changes.push(write(path, after, exec));
        }
        Action::Delete { path } => {
            let (bytes, _) = present(file, path, entries)?;
            if !hunks::apply(file, bytes, base)?.is_empty() {
                return Err(refused(
                    file.line,
                    Some(path),
                    "it says that the file is deleted, but does not remove all its lines",
                ));
            }
            changes.push(delete(path));
        }
        Action::Rename { from, to } | Action::Copy { from, to } => {
            let (bytes, mode) = present(file, from, entries)?;
            absent(file, to, entries)?;
            let exec = exec_after(file, from, mode)?.or(Some(mode == FileMode::Executable));
            changes.push(write(to, hunks::apply(file, bytes, base)?, exec));
            if matches!(file.action, Action::Rename { .. }) {
                changes.push(delete(from));
            }
        }
    }
    Ok(())
}

/// The executable bit that the diff gives a file, if it changes it. The old one must be that of the base, as every old line.
fn exec_after(file: &FilePatch, path: &RepoPath, mode: FileMode) -> Result<Option<bool>, DiffError> {
    match file.modes {
        None => Ok(None),
        Some((old, new)) if old == (mode == FileMode::Executable) => Ok(Some(new)),
        Some(_) => {
            let base = if mode == FileMode::Executable { "100755" } else { "100644" };
            let problem = format!("its old mode is not that of the base, {base}: make the diff anew against that commit");
            Err(refused(file.line, Some(path), problem))
        }
    }
}

fn present<'e>(file: &FilePatch, path: &RepoPath, entries: &'e BTreeMap<RepoPath, Entry>) -> Result<(&'e [u8], FileMode), DiffError> {
    match entries.get(path) {
        Some(Entry::File { bytes, version, .. }) => Ok((bytes, version.mode)),
        Some(Entry::Other { .. }) => Err(refused(file.line, Some(path), "it is not a regular file in the base")),
        Some(Entry::Absent) | None => Err(refused(
            file.line,
            Some(path),
            "it does not exist in the base; a new file starts with --- /dev/null",
        )),
    }
}

fn absent(file: &FilePatch, path: &RepoPath, entries: &BTreeMap<RepoPath, Entry>) -> Result<(), DiffError> {
    match entries.get(path) {
        Some(Entry::Absent) | None => Ok(()),
        Some(_) => Err(refused(
            file.line,
            Some(path),
            "it is to be created, but exists in the base already",
        )),
    }
}
