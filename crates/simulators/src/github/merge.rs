//! Really merges a pull request in the bare repository, in the three ways that GitHub knows.

use std::io;

use git2::{Oid, Repository, Signature, Sort};

use super::pulls::{HostedRepo, Pull};
use crate::git::repo::{failed, oid, signature};

/// The way in which a pull request is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeMethod {
    /// A merge commit with two parents.
    Merge,
    /// One new commit with all changes.
    Squash,
    /// Every commit anew on top of the base.
    Rebase,
}

impl MergeMethod {
    pub(crate) fn of(word: &str) -> Option<MergeMethod> {
        match word {
            "" | "merge" => Some(MergeMethod::Merge),
            "squash" => Some(MergeMethod::Squash),
            "rebase" => Some(MergeMethod::Rebase),
            _ => None,
        }
    }
}

/// Why a merge did not happen.
#[derive(Debug)]
pub(crate) enum NotMerged {
    /// The changes contradict each other.
    Conflict,
    /// The base moved at the same moment.
    BaseMoved,
    /// Git failed.
    Git(io::Error),
}

impl From<io::Error> for NotMerged {
    fn from(error: io::Error) -> NotMerged {
        NotMerged::Git(error)
    }
}

impl From<git2::Error> for NotMerged {
    fn from(error: git2::Error) -> NotMerged {
        NotMerged::Git(failed(error))
    }
}

/// Merges and moves the base branch. Returns the commit that the base names afterwards.
pub(crate) fn merge(
    repo: &HostedRepo,
    pull: &Pull,
    method: MergeMethod,
    by: &str,
    title: Option<&str>,
    message: Option<&str>,
) -> Result<String, NotMerged> {
    let base_branch = repo.branch(&pull.base);
    let repository = base_branch.open()?;
    let base = repository.refname_to_id(&base_branch.reference())?;
    let head = oid(&pull.head_sha)?;
    let human = signature(&format!("{by} <{by}@users.noreply.github.com>"))?;
    let words = Words { title, message };
    let merged = match method {
        MergeMethod::Merge => merge_commit(&repository, repo, pull, base, head, &human, &words)?,
        MergeMethod::Squash => squash(&repository, pull, base, head, &words)?,
        MergeMethod::Rebase => rebase(&repository, base, head, &human)?,
    };
    repository
        .reference_matching(&base_branch.reference(), merged, true, base, "merge")
        .map_err(|_| NotMerged::BaseMoved)?;
    Ok(merged.to_string())
}

/// Whether the head merges into the base without a conflict; `None` when git cannot say.
pub(crate) fn mergeable(repo: &HostedRepo, pull: &Pull) -> Option<bool> {
    let base_branch = repo.branch(&pull.base);
    let repository = base_branch.open().ok()?;
    let base = repository.refname_to_id(&base_branch.reference()).ok()?;
    match merged_tree(&repository, base, oid(&pull.head_sha).ok()?) {
        Ok(_) => Some(true),
        Err(NotMerged::Conflict) => Some(false),
        Err(_) => None,
    }
}

/// Commits that the head has and the base has not, oldest first.
pub(crate) fn commits(repository: &Repository, base: Oid, head: Oid) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    walk.push(head)?;
    walk.hide(base)?;
    walk.collect()
}

/// Title and message that the one who merges wants instead of the usual ones.
struct Words<'a> {
    title: Option<&'a str>,
    message: Option<&'a str>,
}

impl Words<'_> {
    fn or(&self, title: String, message: &str) -> String {
        let title = self.title.unwrap_or(&title);
        match self.message.unwrap_or(message) {
            "" => title.to_owned(),
            message => format!("{title}\n\n{message}"),
        }
    }
}

fn merged_tree(repository: &Repository, base: Oid, head: Oid) -> Result<Oid, NotMerged> {
    let (ours, theirs) = (repository.find_commit(base)?, repository.find_commit(head)?);
    let mut index = repository.merge_commits(&ours, &theirs, None)?;
    if index.has_conflicts() {
        return Err(NotMerged::Conflict);
    }
    Ok(index.write_tree_to(repository)?)
}

/// GitHub itself is the committer of what it merges.
fn committer() -> Result<Signature<'static>, NotMerged> {
    Ok(signature("GitHub <noreply@github.com>")?)
}

fn merge_commit(
    repository: &Repository,
    repo: &HostedRepo,
    pull: &Pull,
    base: Oid,
    head: Oid,
    human: &Signature<'_>,
    words: &Words<'_>,
) -> Result<Oid, NotMerged> {
    let tree = repository.find_tree(merged_tree(repository, base, head)?)?;
    let title = format!("Merge pull request #{} from {}/{}", pull.number, repo.owner, pull.head);
    let message = words.or(title, &pull.title);
    let parents = [repository.find_commit(base)?, repository.find_commit(head)?];
    let parents = [&parents[0], &parents[1]];
    Ok(repository.commit(None, human, &committer()?, &message, &tree, &parents)?)
}

/// The author is who opened the pull request, whoever merges it.
fn squash(repository: &Repository, pull: &Pull, base: Oid, head: Oid, words: &Words<'_>) -> Result<Oid, NotMerged> {
    let author = signature(&format!("{0} <{0}@users.noreply.github.com>", pull.author))?;
    let tree = repository.find_tree(merged_tree(repository, base, head)?)?;
    let messages: Vec<String> = commits(repository, base, head)?
        .into_iter()
        .filter_map(|id| {
            Some(
                String::from_utf8_lossy(repository.find_commit(id).ok()?.message_bytes())
                    .trim_end()
                    .to_owned(),
            )
        })
        .collect();
    // A single commit keeps its own words; several are listed.
    let (title, message) = match messages.as_slice() {
        [only] => {
            let (title, rest) = only.split_once('\n').unwrap_or((only, ""));
            (format!("{title} (#{})", pull.number), rest.trim_start().to_owned())
        }
        several => {
            let list: Vec<String> = several.iter().map(|message| format!("* {message}")).collect();
            (format!("{} (#{})", pull.title, pull.number), list.join("\n\n"))
        }
    };
    let message = words.or(title, &message);
    let parent = repository.find_commit(base)?;
    Ok(repository.commit(None, &author, &committer()?, &message, &tree, &[&parent])?)
}

fn rebase(repository: &Repository, base: Oid, head: Oid, human: &Signature<'_>) -> Result<Oid, NotMerged> {
    let mut onto = repository.find_commit(base)?;
    for id in commits(repository, base, head)? {
        let commit = repository.find_commit(id)?;
        let mut index = repository.cherrypick_commit(&commit, &onto, 0, None)?;
        if index.has_conflicts() {
            return Err(NotMerged::Conflict);
        }
        let tree = repository.find_tree(index.write_tree_to(repository)?)?;
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let fresh = repository.commit(None, &commit.author(), human, &message, &tree, &[&onto])?;
        onto = repository.find_commit(fresh)?;
    }
    Ok(onto.id())
}
