//! The remote's history as data: newest first, trailers apart from the text, the diff on demand.

use std::path::Path;

use git2::{DiffFormat, DiffOptions, Oid, Repository, Sort};
use serde_json::{Value, json};

/// Most commits shown.
const COMMITS: usize = 200;
/// Most bytes of a diff shown.
const DIFF_LIMIT: usize = 400_000;

/// The commit a branch points to; `None` when repository or branch is missing.
pub(super) fn tip(remote: &Path, branch: &str) -> Option<Oid> {
    Repository::open(remote).ok()?.refname_to_id(&format!("refs/heads/{branch}")).ok()
}

/// The log from a commit.
pub(super) fn log(remote: &Path, tip: Oid) -> Result<Vec<Value>, git2::Error> {
    let repository = Repository::open(remote)?;
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
    walk.push(tip)?;
    walk.take(COMMITS).map(|id| Ok(commit(&repository.find_commit(id?)?))).collect()
}

fn commit(commit: &git2::Commit<'_>) -> Value {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let trailers: Vec<(String, String)> = git2::message_trailers_strs(&message)
        .map(|found| found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        .unwrap_or_default();
    let (subject, rest) = message.split_once('\n').unwrap_or((&message, ""));
    let is_trailer = |line: &str| trailers.iter().any(|(name, value)| line == format!("{name}: {value}"));
    let body: Vec<&str> = rest.lines().filter(|line| !is_trailer(line)).collect();
    json!({
        "id": commit.id().to_string(),
        "short": commit.id().to_string()[..7].to_owned(),
        "subject": subject,
        "body": body.join("\n").trim(),
        "trailers": trailers,
        "author": String::from_utf8_lossy(commit.author().name_bytes()),
        "date": commit.time().seconds(),
        "parents": commit.parent_count(),
    })
}

/// The unified diff of a commit against its first parent, cut at a limit.
pub(super) fn diff(remote: &Path, id: &str) -> Result<String, git2::Error> {
    let repository = Repository::open(remote)?;
    let commit = repository.find_commit(Oid::from_str(id)?)?;
    let before = commit.parents().next().map(|parent| parent.tree()).transpose()?;
    let diff = repository.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), Some(DiffOptions::new().context_lines(3)))?;
    let mut text = String::new();
    let printed = diff.print(DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            text.push(line.origin());
        }
        text.push_str(&String::from_utf8_lossy(line.content()));
        text.len() < DIFF_LIMIT
    });
    match printed {
        Ok(()) => Ok(text),
        Err(error) if error.code() == git2::ErrorCode::User => Ok(text + "\n… (cut here)\n"),
        Err(error) => Err(error),
    }
}
