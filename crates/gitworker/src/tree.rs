//! Trees read and written along paths: the cost follows the touched directories, never the size of the tree.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use domain::{BlobId, ChangeSet, CommitId, FileChange, FileMode, FileVersion, NewFile, ObjectId, RepoPath};
use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};

use crate::{Entry, GitError};

const TREE: u32 = 0o040_000;

/// What a tree holds under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mode: u32,
    pub(crate) id: Oid,
}

impl Found {
    /// As a regular file; `None` for anything that a proposal may not touch.
    pub(crate) fn file(self) -> Option<FileVersion> {
        Some(FileVersion {
            mode: FileMode::from_bits(self.mode)?,
            blob: blob_id(self.id),
        })
    }

    pub(crate) fn is_tree(self) -> bool {
        self.mode == TREE
    }
}

/// git2's id of an object.
pub(crate) fn oid(id: ObjectId) -> Oid {
    // 20 bytes are always a SHA-1 id; the zero id stands for none in any case.
    Oid::from_bytes(id.as_bytes()).unwrap_or(Oid::ZERO_SHA1)
}

fn blob_id(id: Oid) -> BlobId {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&id.as_bytes()[..20]);
    ObjectId::from_bytes(bytes)
}

/// The domain's id of a commit.
pub(crate) fn commit_id(id: Oid) -> Result<CommitId, GitError> {
    match <[u8; 20]>::try_from(id.as_bytes()) {
        Ok(bytes) => Ok(ObjectId::from_bytes(bytes)),
        Err(_) => Err(GitError::Internal("an object id is not 20 bytes long".to_owned())),
    }
}

/// A commit of the mirror; `None` when it is not there. When even the mirror's own branch cannot be read, the mirror is at fault.
pub(crate) fn commit(repo: &Repository, id: CommitId) -> Result<Option<git2::Commit<'_>>, GitError> {
    match repo.find_commit(oid(id)) {
        Ok(commit) => Ok(Some(commit)),
        Err(error) if error.code() == ErrorCode::NotFound => {
            check_tip(repo)?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Something is missing: is it the mirror's fault?
fn check_tip(repo: &Repository) -> Result<(), GitError> {
    if let Some(tip) = repo.head().ok().and_then(|head| head.target()) {
        repo.find_commit(tip)?;
    }
    Ok(())
}

/// A commit that must be there.
pub(crate) fn require(repo: &Repository, id: CommitId) -> Result<git2::Commit<'_>, GitError> {
    commit(repo, id)?.ok_or(GitError::UnknownCommit(id))
}

/// One tree with the directories below it read once, however many paths are asked for.
pub(crate) struct Paths<'r> {
    repo: &'r Repository,
    root: Option<Oid>,
    read: RefCell<HashMap<Oid, Rc<Tree<'r>>>>,
}

impl<'r> Paths<'r> {
    pub(crate) fn new(repo: &'r Repository, root: Option<Oid>) -> Self {
        Self {
            repo,
            root,
            read: RefCell::default(),
        }
    }

    pub(crate) fn of(repo: &'r Repository, commit: &git2::Commit<'_>) -> Self {
        Self::new(repo, Some(commit.tree_id()))
    }

    pub(crate) fn tree(&self, id: Oid) -> Result<Rc<Tree<'r>>, GitError> {
        if let Some(tree) = self.read.borrow().get(&id) {
            return Ok(tree.clone());
        }
        let tree = Rc::new(self.repo.find_tree(id)?);
        self.read.borrow_mut().insert(id, tree.clone());
        Ok(tree)
    }

    /// What stands at a path, and how far its directories go: the last entry found and how many parts it took.
    pub(crate) fn walk(&self, path: &RepoPath) -> Result<(Option<Found>, usize), GitError> {
        let mut here = self.root.map(|id| Found { mode: TREE, id });
        let mut depth = 0;
        for part in path.parts() {
            let Some(found) = here.filter(|found| found.is_tree()) else { break };
            match entry(&*self.tree(found.id)?, part.as_bytes()) {
                Some(next) => here = Some(next),
                None => break,
            }
            depth += 1;
        }
        Ok((here, depth))
    }

    /// What stands at a path; nothing when one of its directories is missing or is none.
    pub(crate) fn at(&self, path: &RepoPath) -> Result<Option<Found>, GitError> {
        let (found, depth) = self.walk(path)?;
        Ok(found.filter(|_| depth == path.parts().count()))
    }
}

fn entry(tree: &Tree<'_>, name: &[u8]) -> Option<Found> {
    tree.get_name_bytes(name).map(|entry| found_in(&entry))
}

pub(crate) fn found_in(entry: &git2::TreeEntry<'_>) -> Found {
    Found {
        mode: u32::try_from(entry.filemode()).unwrap_or(0),
        id: entry.id(),
    }
}

/// A blob's bytes; `None` when it is not there. When even the mirror's own branch cannot be read, the mirror is at fault.
pub(crate) fn blob(repo: &Repository, id: Oid) -> Result<Option<Vec<u8>>, GitError> {
    match repo.find_blob(id) {
        Ok(blob) => Ok(Some(blob.content().to_vec())),
        Err(error) if error.code() == ErrorCode::NotFound => {
            check_tip(repo)?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The bytes of a blob that a tree names.
pub(crate) fn bytes(repo: &Repository, id: Oid) -> Result<Vec<u8>, GitError> {
    Ok(repo.find_blob(id)?.content().to_vec())
}

/// [`Repository::read`](crate::Repository::read).
pub(crate) fn read(repo: &Repository, id: CommitId, paths: &[RepoPath]) -> Result<BTreeMap<RepoPath, Entry>, GitError> {
    let tree = Paths::of(repo, &require(repo, id)?);
    let entry = |path: &RepoPath| -> Result<Entry, GitError> {
        Ok(match tree.at(path)? {
            None => Entry::Absent,
            Some(found) => match found.file() {
                None => Entry::Other { mode: found.mode },
                Some(version) => {
                    let bytes = bytes(repo, found.id)?;
                    Entry::File {
                        version,
                        size: bytes.len() as u64,
                        bytes,
                    }
                }
            },
        })
    };
    paths.iter().map(|path| Ok((path.clone(), entry(path)?))).collect()
}

/// Writes the tree that results from a change, along the touched directories only. Every object that was written is noted in `written`,
/// in an order where contents come before what names them. `None` when nothing is left.
pub(crate) fn edit(repo: &Repository, base: Oid, change: &ChangeSet, written: &mut Vec<Oid>) -> Result<Option<Oid>, GitError> {
    let files: Vec<(Vec<&str>, &FileChange)> = change.iter().map(|(path, file)| (path.parts().collect(), file)).collect();
    edit_directory(repo, Some(base), &files, 0, written)
}

/// `files` all lie below this directory and are sorted, so that those of one child stand side by side.
fn edit_directory(
    repo: &Repository,
    base: Option<Oid>,
    files: &[(Vec<&str>, &FileChange)],
    depth: usize,
    written: &mut Vec<Oid>,
) -> Result<Option<Oid>, GitError> {
    let base = base.map(|id| repo.find_tree(id)).transpose()?;
    let mut builder = repo.treebuilder(base.as_ref())?;
    // Paths are sorted by bytes, where `a-b` comes between `a` and `a/c`: so the parts of one child are gathered, not sliced.
    let mut children: BTreeMap<&str, Vec<(Vec<&str>, &FileChange)>> = BTreeMap::new();
    for (parts, file) in files {
        if parts.len() > depth + 1 {
            children.entry(parts[depth]).or_default().push((parts.clone(), file));
        } else if let Some(new) = &file.new {
            let blob = repo.blob(&new.bytes)?;
            written.push(blob);
            builder.insert(parts[depth], blob, new.mode.bits() as i32)?;
        } else if builder.get(parts[depth])?.is_some() {
            builder.remove(parts[depth])?;
        }
    }
    for (name, below) in children {
        let old = builder
            .get(name)?
            .filter(|entry| entry.kind() == Some(ObjectType::Tree))
            .map(|entry| entry.id());
        match edit_directory(repo, old, &below, depth + 1, written)? {
            Some(id) => builder.insert(name, id, TREE as i32).map(drop)?,
            None if old.is_some() => builder.remove(name)?,
            None => {}
        }
    }
    if builder.is_empty() && depth > 0 {
        return Ok(None);
    }
    let id = builder.write()?;
    written.push(id);
    Ok(Some(id))
}

/// One path in which two trees differ. The path may be anything that git can store.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) path: Vec<u8>,
    pub(crate) old: Option<Found>,
    pub(crate) new: Option<Found>,
}

/// The files in which two trees differ, in byte order, at most `cap` of them; directories that are equal are not opened.
pub(crate) fn differences(repo: &Repository, old: Option<Oid>, new: Option<Oid>, cap: usize) -> Result<Vec<Difference>, GitError> {
    let mut found = Vec::new();
    compare(repo, old, new, &mut Vec::new(), cap, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn compare(
    repo: &Repository,
    old: Option<Oid>,
    new: Option<Oid>,
    prefix: &mut Vec<u8>,
    cap: usize,
    found: &mut Vec<Difference>,
) -> Result<(), GitError> {
    let (before, after) = (
        old.map(|id| repo.find_tree(id)).transpose()?,
        new.map(|id| repo.find_tree(id)).transpose()?,
    );
    let beside = |tree: &Option<Tree<'_>>, name: &[u8]| tree.as_ref().and_then(|tree| entry(tree, name));
    // Equal entries are passed over without a copy: a directory may be large, and what changed in it is little.
    let mut pairs: Vec<(Vec<u8>, Option<Found>, Option<Found>)> = Vec::new();
    for old in before.iter().flat_map(Tree::iter) {
        let (here, there) = (found_in(&old), beside(&after, old.name_bytes()));
        if there != Some(here) {
            pairs.push((old.name_bytes().to_vec(), Some(here), there));
        }
    }
    for new in after.iter().flat_map(Tree::iter) {
        if beside(&before, new.name_bytes()).is_none() {
            pairs.push((new.name_bytes().to_vec(), None, Some(found_in(&new))));
        }
    }
    for (name, old, new) in pairs {
        if found.len() >= cap {
            return Ok(());
        }
        let length = prefix.len();
        prefix.extend_from_slice(&name);
        let file = |side: Option<Found>| side.filter(|found| !found.is_tree());
        let directory = |side: Option<Found>| side.filter(|found| found.is_tree()).map(|found| found.id);
        if file(old).is_some() || file(new).is_some() {
            found.push(Difference {
                path: prefix.clone(),
                old: file(old),
                new: file(new),
            });
        }
        if directory(old).is_some() || directory(new).is_some() {
            prefix.push(b'/');
            compare(repo, directory(old), directory(new), prefix, cap, found)?;
        }
        prefix.truncate(length);
    }
    Ok(())
}

/// The paths at which a tree differs from every one of `others`, as a merge does from its parents; at most `cap`. Directories that one of the
/// others has as they are cost nothing.
pub(crate) fn own_paths(repo: &Repository, here: Oid, others: &[Option<Oid>], cap: usize) -> Result<Vec<Vec<u8>>, GitError> {
    let mut found = Vec::new();
    if !others.contains(&Some(here)) {
        own_below(repo, Some(here), others, &mut Vec::new(), cap, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn own_below(
    repo: &Repository,
    here: Option<Oid>,
    others: &[Option<Oid>],
    prefix: &mut Vec<u8>,
    cap: usize,
    found: &mut Vec<Vec<u8>>,
) -> Result<(), GitError> {
    let here = here.map(|id| repo.find_tree(id)).transpose()?;
    let read = |id: &Option<Oid>| id.map(|id| repo.find_tree(id)).transpose();
    let others = others.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let theirs = |name: &[u8]| -> Vec<Option<Found>> {
        let at = |tree: &Option<Tree<'_>>| tree.as_ref().and_then(|tree| entry(tree, name));
        others.iter().map(at).collect()
    };
    let mut differing = Vec::new();
    for own in here.iter().flat_map(Tree::iter) {
        let (side, theirs) = (Some(found_in(&own)), theirs(own.name_bytes()));
        if !theirs.contains(&side) {
            differing.push((own.name_bytes().to_vec(), side, theirs));
        }
    }
    // What is gone is gone from all of them, so also from the first.
    for gone in others.first().into_iter().flatten().flat_map(Tree::iter) {
        let name = gone.name_bytes();
        if here.as_ref().is_none_or(|tree| entry(tree, name).is_none()) {
            let theirs = theirs(name);
            if !theirs.contains(&None) {
                differing.push((name.to_vec(), None, theirs));
            }
        }
    }
    for (name, own, theirs) in differing {
        if found.len() >= cap {
            return Ok(());
        }
        let length = prefix.len();
        prefix.extend_from_slice(&name);
        let file = |side: Option<Found>| side.filter(|found| !found.is_tree());
        let directory = |side: Option<Found>| side.filter(|found| found.is_tree()).map(|found| found.id);
        if theirs.iter().all(|side| file(*side) != file(own)) {
            found.push(prefix.clone());
        }
        let below: Vec<Option<Oid>> = theirs.iter().map(|side| directory(*side)).collect();
        if !below.contains(&directory(own)) {
            prefix.push(b'/');
            own_below(repo, directory(own), &below, prefix, cap, found)?;
        }
        prefix.truncate(length);
    }
    Ok(())
}

/// Differences as a change set, with the new contents read. The error is the first path that a proposal could not have touched.
pub(crate) fn as_change(repo: &Repository, differences: &[Difference]) -> Result<Result<ChangeSet, String>, GitError> {
    let mut files = BTreeMap::new();
    for difference in differences {
        let shown = || String::from_utf8_lossy(&difference.path).into_owned();
        let Some(path) = std::str::from_utf8(&difference.path)
            .ok()
            .and_then(|text| text.parse::<RepoPath>().ok())
        else {
            return Ok(Err(shown()));
        };
        let version = |side: Option<Found>| side.map(|found| found.file().ok_or(())).transpose();
        let (Ok(old), Ok(new)) = (version(difference.old), version(difference.new)) else {
            return Ok(Err(shown()));
        };
        let new = new
            .map(|new| {
                Ok::<_, GitError>(NewFile {
                    mode: new.mode,
                    bytes: bytes(repo, oid(new.blob))?,
                })
            })
            .transpose()?;
        files.insert(path, FileChange { old, new });
    }
    Ok(Ok(ChangeSet::new(files)))
}
