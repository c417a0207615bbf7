//! What the branch's history says: ancestry, who touched what, whether a delivery landed. Every walk is bounded.

use std::collections::{BTreeMap, HashSet};

use chrono::DateTime;
use domain::{ChangeSet, CommitId, FileMode, RepoPath, Timestamp};
use git2::{Commit, ObjectType, Oid, Repository, Signature, Sort};

use crate::mirror::branch_tip;
use crate::tree::{self, Found, Paths};
use crate::{Ancestry, CommitInfo, GitError, Located, Manual, Person, Standing, Touch};

/// No walk looks at more commits than this.
pub(crate) const WALK_MAX: usize = 5_000;
/// Paths listed of one commit.
const PATHS_MAX: usize = 1_000;
/// A commit larger than this is described without its contents.
const CHANGE_FILES_MAX: usize = 200;
/// Likewise, in bytes.
const CHANGE_BYTES_MAX: usize = 16 << 20;
/// The trailer that names a proposal.
pub(crate) const PROPOSAL_TRAILER: &str = "Proposal-Id";

/// [`Repository::is_ancestor`](crate::Repository::is_ancestor).
pub(crate) fn is_ancestor(repo: &Repository, ancestor: CommitId, descendant: CommitId) -> Result<Ancestry, GitError> {
    if tree::commit(repo, ancestor)?.is_none() || tree::commit(repo, descendant)?.is_none() {
        return Ok(Ancestry::Unknown);
    }
    let reachable = ancestor == descendant || repo.graph_descendant_of(tree::oid(descendant), tree::oid(ancestor))?;
    Ok(if reachable { Ancestry::Yes } else { Ancestry::No })
}

/// [`Repository::contained`](crate::Repository::contained).
///
/// One walk over what the commits have and `descendant` has not: its cost is the distance between them, however many commits are asked about.
pub(crate) fn contained(repo: &Repository, commits: &[CommitId], descendant: CommitId) -> Result<Vec<Ancestry>, GitError> {
    if tree::commit(repo, descendant)?.is_none() {
        return Ok(vec![Ancestry::Unknown; commits.len()]);
    }
    let mut walk = repo.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.hide(tree::oid(descendant))?;
    let mut present = HashSet::new();
    for commit in commits {
        if tree::commit(repo, *commit)?.is_some() && present.insert(*commit) {
            walk.push(tree::oid(*commit))?;
        }
    }
    let outside = walk.collect::<Result<Vec<Oid>, _>>()?;
    // Parents first: what stands above it cannot be part of it.
    let mut above = HashSet::from([tree::oid(descendant)]);
    for id in outside.iter().rev() {
        if repo.find_commit(*id)?.parent_ids().any(|parent| above.contains(&parent)) {
            above.insert(*id);
        }
    }
    let outside: HashSet<Oid> = outside.into_iter().collect();
    let answer = |commit: &CommitId| {
        let id = tree::oid(*commit);
        match (present.contains(commit), outside.contains(&id)) {
            (false, _) => Ok(Ancestry::Unknown),
            (true, false) => Ok(Ancestry::Yes),
            (true, true) if above.contains(&id) && *commit != descendant => Ok(Ancestry::No),
            // On another line of history, or with clocks that misled the walk.
            (true, true) => is_ancestor(repo, *commit, descendant),
        }
    };
    commits.iter().map(answer).collect()
}

/// [`Repository::last_touching`](crate::Repository::last_touching).
pub(crate) fn last_touching(
    repo: &Repository,
    from: CommitId,
    to: CommitId,
    paths: &[RepoPath],
    cap: usize,
) -> Result<Vec<Touch>, GitError> {
    let mut touches = Vec::new();
    for id in between(repo, from, to)? {
        if touches.len() >= cap {
            break;
        }
        let commit = repo.find_commit(id?)?;
        if touches_any(repo, &commit, paths)? {
            touches.push(touch(&commit)?);
        }
    }
    Ok(touches)
}

/// Whether a commit differs from every one of its parents in any of the paths: a merge that takes one side whole touched nothing.
fn touches_any(repo: &Repository, commit: &Commit<'_>, paths: &[RepoPath]) -> Result<bool, GitError> {
    let here = Paths::of(repo, commit);
    let differs = |other: Option<Oid>| -> Result<bool, GitError> {
        if other == Some(commit.tree_id()) {
            return Ok(false);
        }
        let there = Paths::new(repo, other);
        for path in paths {
            if here.at(path)? != there.at(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if commit.parent_count() == 0 {
        return differs(None);
    }
    for parent in commit.parents() {
        if !differs(Some(parent.tree_id()))? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn touch(commit: &Commit<'_>) -> Result<Touch, GitError> {
    Ok(Touch {
        id: tree::commit_id(commit.id())?,
        author: lossy(commit.author().name_bytes()),
        summary: lossy(commit.message_bytes()).lines().next().unwrap_or_default().to_owned(),
        time: time(commit.time()),
    })
}

/// The commits that are reachable from `to` and not from `from`, newest first. Both must be in the mirror.
pub(crate) fn between<'r>(
    repo: &'r Repository,
    from: CommitId,
    to: CommitId,
) -> Result<impl Iterator<Item = Result<Oid, git2::Error>> + 'r, GitError> {
    tree::require(repo, from)?;
    tree::require(repo, to)?;
    let mut walk = repo.revwalk()?;
    walk.push(tree::oid(to))?;
    walk.hide(tree::oid(from))?;
    Ok(walk.take(WALK_MAX))
}

/// [`Repository::locate`](crate::Repository::locate).
pub(crate) fn locate(repo: &Repository, tip: CommitId, candidates: &[CommitId], proposal: &str) -> Result<Located, GitError> {
    for candidate in candidates {
        if is_ancestor(repo, *candidate, tip)? == Ancestry::Yes {
            return Ok(Located::Landed(*candidate));
        }
    }
    let mut walk = repo.revwalk()?;
    walk.push(tree::oid(tip))?;
    for id in walk.take(WALK_MAX) {
        let commit = repo.find_commit(id?)?;
        if names_proposal(&commit, proposal) {
            return Ok(Located::LandedAs(tree::commit_id(commit.id())?));
        }
    }
    Ok(Located::NotLanded { tip })
}

/// Anywhere in the message: a squash keeps the line, but not always in the last paragraph.
fn names_proposal(commit: &Commit<'_>, proposal: &str) -> bool {
    let wanted = format!("{PROPOSAL_TRAILER}: {proposal}");
    lossy(commit.message_bytes()).lines().any(|line| line.trim() == wanted)
}

/// [`Repository::standing`](crate::Repository::standing).
pub(crate) fn standing(repo: &Repository, id: CommitId, change: &ChangeSet) -> Result<Standing, GitError> {
    let wanted = Wanted::new(change)?;
    let sides = wanted.sides(repo, &tree::require(repo, id)?)?;
    if sides.values().all(|side| side.new) {
        return Ok(Standing::AsProposed);
    }
    if sides.values().all(|side| side.old) {
        return Ok(Standing::AsBefore);
    }
    let paths = sides
        .into_iter()
        .filter(|(_, side)| !side.new)
        .map(|(path, _)| path.clone())
        .collect();
    Ok(Standing::Otherwise { paths })
}

/// What a change wants at each path, and what was there before, as blobs and modes.
struct Wanted<'c>(BTreeMap<&'c RepoPath, Sides>);

/// The old and the new side of one path.
struct Sides {
    old: Option<(FileMode, Oid)>,
    new: Option<(FileMode, Oid)>,
}

/// How one path of a tree compares with a change.
struct Side {
    old: bool,
    new: bool,
}

impl<'c> Wanted<'c> {
    fn new(change: &'c ChangeSet) -> Result<Self, GitError> {
        let mut wanted = BTreeMap::new();
        for (path, file) in change.iter() {
            let new = file
                .new
                .as_ref()
                .map(|new| Ok::<_, GitError>((new.mode, Oid::hash_object(ObjectType::Blob, &new.bytes)?)));
            let old = file.old.map(|old| (old.mode, tree::oid(old.blob)));
            wanted.insert(
                path,
                Sides {
                    old,
                    new: new.transpose()?,
                },
            );
        }
        Ok(Self(wanted))
    }

    fn sides(&self, repo: &Repository, commit: &Commit<'_>) -> Result<BTreeMap<&'c RepoPath, Side>, GitError> {
        let tree = Paths::of(repo, commit);
        self.0
            .iter()
            .map(|(path, wanted)| {
                let here = tree.at(path)?;
                let is = |version: Option<(FileMode, Oid)>| match (here, version) {
                    (None, None) => true,
                    (Some(found), Some((mode, blob))) => {
                        found
                            == Found {
                                mode: mode.bits(),
                                id: blob,
                            }
                    }
                    _ => false,
                };
                Ok((
                    *path,
                    Side {
                        old: is(wanted.old),
                        new: is(wanted.new),
                    },
                ))
            })
            .collect()
    }
}

/// [`Repository::landed`](crate::Repository::landed).
pub(crate) fn landed(repo: &Repository, reference: &str, since: CommitId, change: &ChangeSet, proposal: &str) -> Result<Manual, GitError> {
    tree::require(repo, since)?;
    let Some(tip) = branch_tip(repo, reference)? else {
        return Ok(Manual::NotYet);
    };
    let mainline = mainline(repo, since, tip)?;
    let wanted = Wanted::new(change)?;
    let paths: Vec<RepoPath> = change.paths().cloned().collect();
    let tell = |id: Oid| describe(repo, tree::commit_id(id)?).map(Box::new);
    let head = repo.find_commit(tree::oid(tip))?;
    let sides = wanted.sides(repo, &head)?;
    let touching = touching(repo, &mainline, &paths)?;
    // What counts is what the branch holds now: nobody deploys a commit that another one has undone.
    let newest = touching.first().copied().unwrap_or(head.id());
    if sides.values().all(|side| side.new) {
        return Ok(Manual::AsProposed(tell(newest)?));
    }
    let brought = match named_since(repo, since, tip, proposal, &paths)? {
        Some(named) => Some(brought_by(repo, &mainline, named)?),
        None => brought_whole(repo, &wanted, &touching)?,
    };
    if let Some(brought) = brought {
        return Ok(if sides.values().all(|side| side.old) {
            Manual::Undone {
                brought: tell(brought)?,
                undone: tell(newest)?,
            }
        } else {
            Manual::WithEdits(tell(brought)?)
        });
    }
    let astray: Vec<RepoPath> = sides
        .into_iter()
        .filter(|(_, side)| !side.old && !side.new)
        .map(|(path, _)| path.clone())
        .collect();
    if astray.is_empty() {
        return Ok(Manual::NotYet);
    }
    for id in &touching {
        if first_parent_differs(repo, &repo.find_commit(*id)?, &astray)? {
            return Ok(Manual::Diverged(tell(*id)?));
        }
    }
    Ok(Manual::Diverged(tell(head.id())?))
}

/// Those of the branch's own commits that change any of the paths, in the same order.
fn touching(repo: &Repository, mainline: &[Oid], paths: &[RepoPath]) -> Result<Vec<Oid>, GitError> {
    let mut found = Vec::new();
    for id in mainline {
        if first_parent_differs(repo, &repo.find_commit(*id)?, paths)? {
            found.push(*id);
        }
    }
    Ok(found)
}

/// The first commit, of these from the newest to the oldest, at which the branch held all of a change.
fn brought_whole(repo: &Repository, wanted: &Wanted<'_>, touching: &[Oid]) -> Result<Option<Oid>, GitError> {
    for id in touching.iter().rev() {
        if wanted.sides(repo, &repo.find_commit(*id)?)?.values().all(|side| side.new) {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}

/// The branch's own commits after `since`, newest first: merges count once, as the merge.
fn mainline(repo: &Repository, since: CommitId, tip: CommitId) -> Result<Vec<Oid>, GitError> {
    let mut walk = repo.revwalk()?;
    walk.simplify_first_parent()?;
    walk.push(tree::oid(tip))?;
    walk.hide(tree::oid(since))?;
    Ok(walk.take(WALK_MAX).collect::<Result<_, _>>()?)
}

fn first_parent_differs(repo: &Repository, commit: &Commit<'_>, paths: &[RepoPath]) -> Result<bool, GitError> {
    let there = Paths::new(repo, commit.parents().next().map(|parent| parent.tree_id()));
    let here = Paths::of(repo, commit);
    for path in paths {
        if here.at(path)? != there.at(path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The newest commit with the proposal's trailer that touches any of its paths: the trailer alone, on a commit elsewhere, brings nothing.
fn named_since(repo: &Repository, since: CommitId, tip: CommitId, proposal: &str, paths: &[RepoPath]) -> Result<Option<Oid>, GitError> {
    let mut walk = repo.revwalk()?;
    walk.push(tree::oid(tip))?;
    walk.hide(tree::oid(since))?;
    for id in walk.take(WALK_MAX) {
        let commit = repo.find_commit(id?)?;
        if names_proposal(&commit, proposal) && first_parent_differs(repo, &commit, paths)? {
            return Ok(Some(commit.id()));
        }
    }
    Ok(None)
}

/// The commit of the branch that brought another one in: itself, or the merge.
fn brought_by(repo: &Repository, mainline: &[Oid], commit: Oid) -> Result<Oid, GitError> {
    for id in mainline.iter().rev() {
        if *id == commit || repo.graph_descendant_of(*id, commit)? {
            return Ok(*id);
        }
    }
    Ok(commit)
}

/// [`Repository::describe_commit`](crate::Repository::describe_commit).
pub(crate) fn describe(repo: &Repository, id: CommitId) -> Result<CommitInfo, GitError> {
    let commit = tree::require(repo, id)?;
    let parent = commit.parents().next().map(|parent| parent.tree_id());
    let mut differences = tree::differences(repo, parent, Some(commit.tree_id()), PATHS_MAX + 1)?;
    let paths_cut = differences.len() > PATHS_MAX;
    differences.truncate(PATHS_MAX);
    let message = lossy(commit.message_bytes());
    Ok(CommitInfo {
        id,
        parents: commit.parent_ids().map(tree::commit_id).collect::<Result<_, _>>()?,
        author: person(&commit.author()),
        committer: person(&commit.committer()),
        trailers: trailers(&message),
        message,
        paths: differences.iter().map(|difference| lossy(&difference.path)).collect(),
        paths_cut,
        change: if small(repo, &differences)? {
            tree::as_change(repo, &differences)?.ok()
        } else {
            None
        },
    })
}

fn small(repo: &Repository, differences: &[tree::Difference]) -> Result<bool, GitError> {
    if differences.len() > CHANGE_FILES_MAX {
        return Ok(false);
    }
    let odb = repo.odb()?;
    let mut bytes = 0;
    for file in differences
        .iter()
        .filter_map(|difference| difference.new)
        .filter(|new| new.file().is_some())
    {
        bytes += odb.read_header(file.id)?.0;
    }
    Ok(bytes <= CHANGE_BYTES_MAX)
}

/// `Key: value` lines of the last paragraph.
fn trailers(message: &str) -> Vec<(String, String)> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    last.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| key(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn person(signature: &Signature<'_>) -> Person {
    Person {
        name: lossy(signature.name_bytes()),
        email: lossy(signature.email_bytes()),
        time: time(signature.when()),
    }
}

/// A time that chrono cannot hold is shown as the epoch: it is somebody else's text and decides nothing.
pub(crate) fn time(time: git2::Time) -> Timestamp {
    DateTime::from_timestamp(time.seconds(), 0).unwrap_or_default()
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
