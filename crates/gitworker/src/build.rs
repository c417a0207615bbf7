//! Commits built in memory: nested tree edits along the touched directories, a pack of exactly the new objects, and a look at what the
//! built trees really change.

use std::sync::Arc;

use domain::{ChangeSet, CommitId};
use git2::{ObjectType, Oid, Repository, Signature, Time};

use crate::tree::{self, Paths};
use crate::{BuildError, Built, BuiltCommit, CommitSpec, GitError, RepositoryOptions};

/// Above the loose and packed backends, so that new objects go to memory.
const MEMPACK_PRIORITY: i32 = 1000;

/// [`Repository::build`](crate::Repository::build). The handle is the caller's alone: its new objects vanish with it.
pub(crate) fn build(repo: &Repository, options: &RepositoryOptions, parent: CommitId, commits: &[CommitSpec]) -> Result<Built, BuildError> {
    if commits.is_empty() {
        return Err(BuildError::Empty { index: 0 });
    }
    let odb = repo.odb()?;
    let _memory = odb.add_new_mempack_backend(MEMPACK_PRIORITY)?;
    let signer = options.signing_key.as_deref().map(signing_key).transpose()?;
    let mut written = Vec::new();
    let mut built: Vec<BuiltCommit> = Vec::with_capacity(commits.len());
    let mut on = parent;
    for (index, spec) in commits.iter().enumerate() {
        let under = tree::require(repo, on)?;
        check_fresh(repo, &under, index, &spec.change)?;
        let Some(root) = tree::edit(repo, under.tree_id(), &spec.change, &mut written)? else {
            return Err(BuildError::Empty { index });
        };
        if root == under.tree_id() {
            return Err(BuildError::Empty { index });
        }
        let digest = digest_of(repo, options, index, under.tree_id(), root, &spec.change)?;
        let id = write_commit(repo, options, signer.as_ref(), index, spec, &under, root)?;
        written.push(id);
        let id = tree::commit_id(id)?;
        built.push(BuiltCommit { id, parent: on, digest });
        on = id;
    }
    let pack = pack(repo, &mut written)?;
    Ok(Built {
        parent,
        commits: built,
        pack,
    })
}

/// The old side of every file must be what stands in the parent: a change is never carried over silently.
fn check_fresh(repo: &Repository, parent: &git2::Commit<'_>, index: usize, change: &ChangeSet) -> Result<(), BuildError> {
    if change.is_empty() {
        return Err(BuildError::Empty { index });
    }
    let paths = Paths::of(repo, parent);
    for (path, file) in change.iter() {
        let (here, depth) = paths.walk(path)?;
        let complete = depth == path.parts().count();
        let blocked = !complete && here.is_some_and(|found| !found.is_tree());
        let stands = here.filter(|_| complete);
        let fresh = match (file.old, stands) {
            (None, None) => !blocked,
            (Some(old), Some(found)) => found.file() == Some(old),
            _ => false,
        };
        if !fresh {
            return Err(BuildError::Stale { index, path: path.clone() });
        }
    }
    Ok(())
}

/// The digest of what the new tree changes against its parent, read back from the trees.
fn digest_of(
    repo: &Repository,
    options: &RepositoryOptions,
    index: usize,
    old: Oid,
    new: Oid,
    change: &ChangeSet,
) -> Result<domain::Sha256Hash, BuildError> {
    let differences = tree::differences(repo, Some(old), Some(new), change.len() + 1)?;
    match tree::as_change(repo, &differences)? {
        Ok(real) => Ok(real.digest(&options.name, &options.branch)),
        Err(path) => Err(BuildError::Unwritable {
            index,
            problem: format!("the built tree touches {path:?}, which no change may"),
        }),
    }
}

fn write_commit(
    repo: &Repository,
    options: &RepositoryOptions,
    signer: Option<&ssh_key::PrivateKey>,
    index: usize,
    spec: &CommitSpec,
    parent: &git2::Commit<'_>,
    root: Oid,
) -> Result<Oid, BuildError> {
    let unwritable = |problem: String| BuildError::Unwritable { index, problem };
    if spec.message.contains('\0') {
        return Err(unwritable("its message holds a NUL character".to_owned()));
    }
    let time = Time::new(spec.time.timestamp(), 0);
    let who = Signature::new(&options.author.name, &options.author.email, &time)
        .map_err(|error| unwritable(format!("the configured author cannot be used: {}", error.message())))?;
    let ending = if spec.message.ends_with('\n') { "" } else { "\n" };
    let buffer = repo.commit_create_buffer(&who, &who, &format!("{}{ending}", spec.message), &repo.find_tree(root)?, &[parent])?;
    let Some(signer) = signer else {
        return Ok(repo.odb()?.write(ObjectType::Commit, &buffer)?);
    };
    let text = std::str::from_utf8(&buffer).map_err(|error| unwritable(error.to_string()))?;
    let signature = signer
        .sign("git", ssh_key::HashAlg::Sha512, &buffer)
        .and_then(|signature| signature.to_pem(ssh_key::LineEnding::LF))
        .map_err(|error| unwritable(format!("it cannot be signed: {error}")))?;
    Ok(repo.commit_signed(text, signature.trim_end(), None)?)
}

/// Whether commits could be signed with the key in a file.
///
/// # Errors
/// [`GitError::Config`] for what is no ed25519 key of OpenSSH without a passphrase.
pub fn check_signing_key(path: &std::path::Path) -> Result<(), GitError> {
    signing_key(path).map(drop)
}

/// Only ed25519: its signatures are deterministic, so that building again gives the same commit id.
pub(crate) fn signing_key(path: &std::path::Path) -> Result<ssh_key::PrivateKey, GitError> {
    let problem = |problem: String| GitError::Config(format!("the signing key {} {problem}", path.display()));
    let key =
        ssh_key::PrivateKey::read_openssh_file(path).map_err(|error| problem(format!("cannot be read as an OpenSSH key: {error}")))?;
    if key.is_encrypted() {
        return Err(problem(
            "is encrypted; use one without a passphrase, readable by this service only".to_owned(),
        ));
    }
    if key.algorithm() != ssh_key::Algorithm::Ed25519 {
        return Err(problem(format!("is of type {}; use ed25519", key.algorithm())));
    }
    Ok(key)
}

/// A pack of exactly these objects. They are all included even when the mirror has some already: the remote may not.
fn pack(repo: &Repository, written: &mut Vec<Oid>) -> Result<Arc<[u8]>, GitError> {
    written.sort_unstable();
    written.dedup();
    let mut builder = repo.packbuilder()?;
    builder.set_threads(1);
    for id in written.iter() {
        builder.insert_object(*id, None)?;
    }
    let mut buffer = git2::Buf::new();
    builder.write_buf(&mut buffer)?;
    Ok(Arc::from(&buffer[..]))
}
