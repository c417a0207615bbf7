//! The files of one directory in a commit's tree, read only when they may have changed: for what a repository carries itself.

use std::collections::BTreeMap;

use domain::{BlobId, CommitId, ObjectId, RepoPath};
use git2::ObjectType;

use crate::tree::{self, Found, Paths};
use crate::{GitError, Repository};

/// What is read of a directory.
#[derive(Debug, Clone)]
pub struct FolderQuery {
    /// The directory.
    pub path: RepoPath,
    /// How the names of its files end; others are passed over, as are directories below it.
    pub suffix: &'static str,
    /// Most such files; with more of them none is read.
    pub files: usize,
    /// Most bytes of one file; a larger one is not read.
    pub bytes: u64,
}

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// There is nothing of that name.
    Absent,
    /// It is the directory that the caller knows already.
    Same,
    /// Something else than a directory, by git's number for the mode.
    Other(u32),
    /// It has more files than were asked for.
    TooMany(usize),
    /// Its files by name.
    Files {
        /// Names the directory's whole content.
        tree: ObjectId,
        /// By name, lossy where it is not UTF-8.
        files: BTreeMap<String, FolderFile>,
    },
}

/// One file of a directory.
#[derive(Clone, PartialEq, Eq)]
pub enum FolderFile {
    /// A regular file.
    File {
        /// Its content's name.
        blob: BlobId,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// A regular file that is larger than was asked for, with its size in bytes.
    TooLarge(u64),
    /// A symlink, submodule or odd mode, by git's number.
    Other(u32),
}

impl std::fmt::Debug for FolderFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { blob, bytes } => write!(f, "File({blob} {} bytes)", bytes.len()),
            Self::TooLarge(size) => write!(f, "TooLarge({size})"),
            Self::Other(mode) => write!(f, "Other({mode:06o})"),
        }
    }
}

impl Repository {
    /// The files of a directory in a commit's tree. `known` names the content that the caller has read: while the directory still is that,
    /// nothing is read.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn folder(&self, commit: CommitId, query: FolderQuery, known: Option<ObjectId>) -> Result<Folder, GitError> {
        self.run(move |repo| read(repo, commit, &query, known)).await
    }
}

fn read(repo: &git2::Repository, commit: CommitId, query: &FolderQuery, known: Option<ObjectId>) -> Result<Folder, GitError> {
    let paths = Paths::of(repo, &tree::require(repo, commit)?);
    let Some(found) = paths.at(&query.path)? else {
        return Ok(Folder::Absent);
    };
    if !found.is_tree() {
        return Ok(Folder::Other(found.mode));
    }
    let id = tree::commit_id(found.id)?;
    if known == Some(id) {
        return Ok(Folder::Same);
    }
    let directory = paths.tree(found.id)?;
    let wanted: Vec<_> = directory
        .iter()
        .filter(|entry| entry.kind() != Some(ObjectType::Tree) && entry.name_bytes().ends_with(query.suffix.as_bytes()))
        .map(|entry| (String::from_utf8_lossy(entry.name_bytes()).into_owned(), tree::found_in(&entry)))
        .collect();
    if wanted.len() > query.files {
        return Ok(Folder::TooMany(wanted.len()));
    }
    let files = wanted.into_iter().map(|(name, found)| Ok((name, file(repo, found, query.bytes)?)));
    Ok(Folder::Files {
        tree: id,
        files: files.collect::<Result<_, GitError>>()?,
    })
}

fn file(repo: &git2::Repository, found: Found, most: u64) -> Result<FolderFile, GitError> {
    let Some(version) = found.file() else {
        return Ok(FolderFile::Other(found.mode));
    };
    let size = repo.odb()?.read_header(found.id)?.0 as u64;
    if size > most {
        return Ok(FolderFile::TooLarge(size));
    }
    Ok(FolderFile::File {
        blob: version.blob,
        bytes: tree::bytes(repo, found.id)?,
    })
}
