//! What came to a branch since the last look: a step of bounded size, from which the next look goes on, so that nothing is passed over.

use std::collections::{HashMap, HashSet};

use domain::CommitId;
use git2::{Commit, Oid, Repository, Sort};

use crate::history::{PROPOSAL_TRAILER, lossy, touch};
use crate::tree;
use crate::{GitError, NewCommit, Since};

/// Paths listed of one commit.
const PATHS_MAX: usize = 1_000;
/// Proposals read from one message.
const NAMED_MAX: usize = 10;

/// [`Repository::commits_since`](crate::Repository::commits_since).
///
/// The whole distance is walked, which is cheap; what each commit changes is read of `most` of them only.
pub(crate) fn commits_since(repo: &Repository, from: &[CommitId], to: CommitId, most: usize) -> Result<Since, GitError> {
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    tree::require(repo, to)?;
    walk.push(tree::oid(to))?;
    for known in from {
        tree::require(repo, *known)?;
        walk.hide(tree::oid(*known))?;
    }
    let mut ids = walk.collect::<Result<Vec<Oid>, _>>()?;
    // Parents first: whatever is reached by a step is all that leads to it.
    ids.reverse();
    let brought_by = brought_by(repo, &ids, tree::oid(to))?;
    let left = ids.len().saturating_sub(most);
    let step = &ids[..ids.len() - left];
    let mut commits = Vec::new();
    for id in step {
        let commit = repo.find_commit(*id)?;
        let (paths, paths_cut) = own_paths(repo, &commit)?;
        if paths.is_empty() {
            continue;
        }
        let touch = touch(&commit)?;
        let message = lossy(commit.message_bytes());
        let named = message
            .lines()
            .filter_map(|line| line.trim().strip_prefix(PROPOSAL_TRAILER)?.strip_prefix(": "));
        commits.push(NewCommit {
            id: touch.id,
            brought_by: tree::commit_id(brought_by.get(id).copied().unwrap_or(*id))?,
            author: touch.author,
            summary: touch.summary,
            time: touch.time,
            paths,
            paths_cut,
            named: named.take(NAMED_MAX).map(str::to_owned).collect(),
        });
    }
    let reached = if left == 0 { vec![to] } else { heads(repo, from, step)? };
    Ok(Since { commits, reached, left })
}

/// For each commit the branch's own commit that brought it: itself, or the merge. `ids` come parents first.
fn brought_by(repo: &Repository, ids: &[Oid], tip: Oid) -> Result<HashMap<Oid, Oid>, GitError> {
    let new: HashSet<Oid> = ids.iter().copied().collect();
    let mut mainline = Vec::new();
    let mut next = Some(tip).filter(|id| new.contains(id));
    while let Some(id) = next {
        mainline.push(id);
        next = repo.find_commit(id)?.parent_ids().next().filter(|parent| new.contains(parent));
    }
    let mut brought = HashMap::new();
    // The oldest first: what two merges contain was brought by the first of them.
    for own in mainline.iter().rev() {
        let mut open = vec![*own];
        while let Some(id) = open.pop() {
            if new.contains(&id) && !brought.contains_key(&id) {
                brought.insert(id, *own);
                open.extend(repo.find_commit(id)?.parent_ids());
            }
        }
    }
    Ok(brought)
}

/// The commits that everything known leads up to: those of a step that none of it builds on, and what was known before and is not part of them.
fn heads(repo: &Repository, from: &[CommitId], step: &[Oid]) -> Result<Vec<CommitId>, GitError> {
    let mut built_on = HashSet::new();
    for id in step {
        built_on.extend(repo.find_commit(*id)?.parent_ids());
    }
    let before = from.iter().map(|known| tree::oid(*known));
    let heads = before.chain(step.iter().copied()).filter(|id| !built_on.contains(id));
    heads.map(tree::commit_id).collect()
}

/// What a commit changes against every one of its parents, and whether there is more of it than is listed: a merge that takes each file from
/// one side changes nothing.
fn own_paths(repo: &Repository, commit: &Commit<'_>) -> Result<(Vec<String>, bool), GitError> {
    let mut parents: Vec<Option<Oid>> = commit.parents().map(|parent| Some(parent.tree_id())).collect();
    if parents.is_empty() {
        parents.push(None);
    }
    let mut paths = tree::own_paths(repo, commit.tree_id(), &parents, PATHS_MAX + 1)?;
    let cut = paths.len() > PATHS_MAX;
    paths.truncate(PATHS_MAX);
    Ok((paths.iter().map(|path| lossy(path)).collect(), cut))
}
