//! A change as text that people read and `git apply` takes: git headers, three lines of context, nothing cut. Contents that are no text are
//! named by size and hash where people read, and stand there whole where git reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::{ChangeSet, FileChange, RepoPath, Sha256Hash, is_text};
use git2::{DiffOptions, ObjectType, Oid, Patch, Repository};

use crate::repository::blocking;
use crate::{Built, FileStats, GitError, UnifiedDiff, cli, tree};

/// How the part of a diff begins that carries contents whole.
const BINARY_PATCH: &str = "GIT binary patch\n";

/// How contents are shown that are no text.
#[derive(Clone, Copy)]
enum Binaries {
    /// By size and SHA-256, for people.
    Named,
    /// As a `GIT binary patch`, for `git apply`.
    Whole,
}

/// [`Repository::unified_diff`](crate::Repository::unified_diff).
pub(crate) fn unified(repo: &Repository, change: &ChangeSet) -> Result<UnifiedDiff, GitError> {
    let old = old_contents(repo, change)?;
    Ok(plain_diff(change, |path| old.get(path).map(Vec::as_slice)))
}

/// [`Repository::patch`](crate::Repository::patch).
pub(crate) fn patch(repo: &Repository, change: &ChangeSet) -> Result<String, GitError> {
    let old = old_contents(repo, change)?;
    let mut text = String::new();
    for (path, file) in change.iter() {
        let before = old.get(path).map(Vec::as_slice);
        if let (Some(version), None) = (file.old, before) {
            return Err(GitError::Internal(format!(
                "blob {} of {path} is not in the mirror, so no patch can be made",
                version.blob
            )));
        }
        one_file(&mut text, path, file, before, Binaries::Whole);
    }
    Ok(text)
}

fn old_contents(repo: &Repository, change: &ChangeSet) -> Result<BTreeMap<RepoPath, Vec<u8>>, GitError> {
    let mut old = BTreeMap::new();
    for (path, file) in change.iter() {
        if let Some(version) = file.old
            && let Some(bytes) = tree::blob(repo, tree::oid(version.blob))?
        {
            old.insert(path.clone(), bytes);
        }
    }
    Ok(old)
}

/// [`Repository::format_patch`](crate::Repository::format_patch).
pub(crate) async fn format_patch(repository: &crate::Repository, built: &Built) -> Result<String, GitError> {
    let (inner, pack) = (repository.inner.clone(), built.pack.clone());
    blocking(move || inner.mirror.absorb(&pack)).await?;
    let options = repository.options();
    let range = format!("{}..{}", built.parent, built.tip());
    let args = [
        "format-patch",
        "--stdout",
        "--binary",
        "--no-renames",
        "--no-signature",
        "--zero-commit",
        &range,
    ];
    let patch = cli::git(
        options,
        None,
        repository.inner.mirror.path(),
        "format-patch",
        options.deadlines.fetch,
        &args,
    )
    .await?;
    Ok(String::from_utf8_lossy(&patch).into_owned())
}

/// The diff of a change, with its old contents looked up by path. An old content that cannot be had is said in its place.
pub fn plain_diff<'a>(change: &ChangeSet, old: impl Fn(&RepoPath) -> Option<&'a [u8]>) -> UnifiedDiff {
    let mut diff = UnifiedDiff {
        text: String::new(),
        files: Vec::with_capacity(change.len()),
    };
    for (path, file) in change.iter() {
        let stats = one_file(&mut diff.text, path, file, old(path), Binaries::Named);
        diff.files.push(stats);
    }
    diff
}

fn one_file(text: &mut String, path: &RepoPath, file: &FileChange, before: Option<&[u8]>, binaries: Binaries) -> FileStats {
    let mut stats = FileStats {
        path: path.clone(),
        added: 0,
        removed: 0,
        binary: false,
    };
    let after = file.new.as_ref().map(|new| new.bytes.as_slice());
    stats.binary = ![before, after].into_iter().flatten().all(is_text);
    // git takes a binary patch only where both ids stand in full.
    let digits = if stats.binary && matches!(binaries, Binaries::Whole) {
        40
    } else {
        7
    };
    headers(text, path, file, digits);
    if file.old.is_some() && before.is_none() {
        text.push_str("(the old content is not available)\n");
    } else if stats.binary {
        match binaries {
            Binaries::Named => _ = writeln!(text, "Binary file {path}: {} -> {}", summary(before), summary(after)),
            Binaries::Whole => text.push_str(&binary(before.unwrap_or_default(), after.unwrap_or_default())),
        }
    } else if let Some((hunks, added, removed)) = hunks(before.unwrap_or_default(), after.unwrap_or_default()) {
        // git ends a name that holds a blank with a tab, so that tools find its end.
        let tab = if path.as_str().contains(' ') { "\t" } else { "" };
        let name = |side: &str, there: bool| {
            if there {
                format!("{side}/{path}{tab}")
            } else {
                "/dev/null".to_owned()
            }
        };
        let _ = write!(
            text,
            "--- {}\n+++ {}\n{hunks}",
            name("a", file.old.is_some()),
            name("b", file.new.is_some())
        );
        (stats.added, stats.removed) = (added, removed);
    }
    stats
}

fn headers(text: &mut String, path: &RepoPath, file: &FileChange, digits: usize) {
    let _ = writeln!(text, "diff --git a/{path} b/{path}");
    let (old_mode, new_mode) = (file.old.map(|old| old.mode), file.new.as_ref().map(|new| new.mode));
    match (old_mode, new_mode) {
        (None, Some(mode)) => writeln!(text, "new file mode {:06o}", mode.bits()),
        (Some(mode), None) => writeln!(text, "deleted file mode {:06o}", mode.bits()),
        (Some(old), Some(new)) if old != new => writeln!(text, "old mode {:06o}\nnew mode {:06o}", old.bits(), new.bits()),
        _ => Ok(()),
    }
    .unwrap_or_default();
    let zero = "0".repeat(40);
    let before = file.old.map_or_else(|| zero.clone(), |old| old.blob.to_string());
    let after = file
        .new
        .as_ref()
        .and_then(|new| Oid::hash_object(ObjectType::Blob, &new.bytes).ok());
    let after = after.map_or(zero, |id| id.to_string());
    if before != after {
        let mode = old_mode
            .filter(|_| old_mode == new_mode)
            .map(|mode| format!(" {:06o}", mode.bits()))
            .unwrap_or_default();
        let _ = writeln!(text, "index {}..{}{mode}", &before[..digits], &after[..digits]);
    }
}

fn summary(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(
        || "nothing".to_owned(),
        |bytes| format!("{} bytes, SHA-256 {}", bytes.len(), Sha256Hash::of(bytes)),
    )
}

/// Both directions as a `GIT binary patch`; nothing when both sides are the same.
fn binary(before: &[u8], after: &[u8]) -> String {
    let mut options = DiffOptions::new();
    options.force_binary(true).show_binary(true);
    let whole = Patch::from_buffers(before, None, after, None, Some(&mut options)).and_then(|mut patch| patch.to_buf());
    let whole = whole.ok().and_then(|whole| std::str::from_utf8(&whole).map(str::to_owned).ok());
    let start = whole.as_deref().and_then(|whole| whole.find(BINARY_PATCH));
    match (whole, start) {
        (Some(whole), Some(start)) => whole[start..].to_owned(),
        _ => String::new(),
    }
}

/// The hunks with their counts of added and removed lines; `None` when the texts are equal.
fn hunks(before: &[u8], after: &[u8]) -> Option<(String, usize, usize)> {
    let mut options = DiffOptions::new();
    options.force_text(true).context_lines(3);
    let mut patch = Patch::from_buffers(before, None, after, None, Some(&mut options)).ok()?;
    let (_, added, removed) = patch.line_stats().ok()?;
    let whole = patch.to_buf().ok()?;
    let whole = std::str::from_utf8(&whole).ok()?;
    let start = if whole.starts_with("@@ ") { 0 } else { whole.find("\n@@ ")? + 1 };
    Some((whole[start..].to_owned(), added, removed))
}
