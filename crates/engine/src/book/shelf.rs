//! The runbooks that managed repositories carry themselves, as data: what stands in their folder, what of it can be run, and what is wrong.
//! Reading the folder from git and telling people is in `shelves.rs`.
//!
//! A file that is not valid is no runbook: nothing else of that name is run in its place, for what people see on the branch is what runs. A
//! runbook of the service's own goes before one of the same name, so that nobody who commits to a repository changes what a known name does.

use std::collections::BTreeMap;
use std::sync::Arc;

use changes::Runbook;
use domain::{BlobId, CommitId, ObjectId, PathGlob, Policy, RepoPath, RunbookName, Sha256Hash};
use gitworker::{Folder, FolderFile};

use super::FileProblem;

/// Most runbooks that a repository may carry: with more of them none is read.
pub const REPOSITORY_RUNBOOKS_MAX: usize = 100;
/// Longest runbook of a repository, in bytes.
pub const REPOSITORY_RUNBOOK_BYTES_MAX: usize = 64 * 1024;
/// How the files of runbooks are called.
pub(crate) const SUFFIX: &str = ".toml";

/// The runbooks of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// The folder.
    pub path: RepoPath,
    /// The commit of the tip at which this content was found first.
    pub commit: Option<CommitId>,
    /// Names the folder's content, when there is one.
    pub tree: Option<ObjectId>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// Nobody has looked yet.
    Unread,
    /// Nothing of it can be read: why.
    Unusable(String),
    /// By file name.
    Files(BTreeMap<String, Volume>),
}

/// One file.
#[derive(Debug, Clone)]
struct Volume {
    /// `None` for one that was not even read.
    blob: Option<BlobId>,
    read: Result<Arc<Runbook>, Vec<FileProblem>>,
}

impl Shelf {
    pub(super) const fn new(path: RepoPath) -> Self {
        Self {
            path,
            commit: None,
            tree: None,
            content: Content::Unread,
        }
    }

    /// The shelf with what was found in the folder; files that are the same are not parsed again. `None` when nothing changed.
    pub(crate) fn holding(&self, folder: Folder, commit: CommitId) -> Option<Self> {
        let (tree, content) = match folder {
            Folder::Same => return None,
            Folder::Absent => (None, Content::Files(BTreeMap::new())),
            Folder::Other(mode) => (None, Content::Unusable(format!("it is not a folder (mode {mode:o})"))),
            Folder::TooMany(count) => (
                None,
                Content::Unusable(format!("it has {count} runbooks, more than {REPOSITORY_RUNBOOKS_MAX}")),
            ),
            Folder::Files { tree, files } => {
                let files = files.into_iter().map(|(name, file)| {
                    let volume = self.volume(&name, file);
                    (name, volume)
                });
                (Some(tree), Content::Files(files.collect()))
            }
        };
        let same = self.tree == tree
            && match (&self.content, &content) {
                (Content::Unusable(known), Content::Unusable(found)) => known == found,
                (Content::Files(known), Content::Files(found)) => known.is_empty() && found.is_empty(),
                _ => false,
            };
        (!same).then(|| Self {
            path: self.path.clone(),
            commit: Some(commit),
            tree,
            content,
        })
    }

    fn volume(&self, name: &str, file: FolderFile) -> Volume {
        let place = self.place(name);
        let whole = |message: String, remedy: &str| Volume {
            blob: None,
            read: Err(vec![FileProblem {
                file: place.clone(),
                line: 0,
                message,
                remedy: remedy.to_owned(),
            }]),
        };
        match file {
            FolderFile::TooLarge(size) => whole(
                format!("it has {size} bytes, more than {REPOSITORY_RUNBOOK_BYTES_MAX}"),
                "make two runbooks of it",
            ),
            FolderFile::Other(mode) => whole(
                format!("it is not a regular file (mode {mode:o})"),
                "put the runbook itself there, as docs/runbooks.md describes it",
            ),
            FolderFile::File { blob, bytes } => {
                let known = match &self.content {
                    Content::Files(files) => files.get(name).filter(|volume| volume.blob == Some(blob)),
                    Content::Unread | Content::Unusable(_) => None,
                };
                known.cloned().unwrap_or_else(|| Volume {
                    blob: Some(blob),
                    read: parsed(&place, &bytes).map(Arc::new),
                })
            }
        }
    }

    fn place(&self, file: &str) -> String {
        format!("{}/{file}", self.path)
    }

    /// A runbook that can be run.
    pub(super) fn runbook(&self, name: &RunbookName) -> Option<&Arc<Runbook>> {
        match &self.content {
            Content::Files(files) => files.get(&format!("{name}{SUFFIX}"))?.read.as_ref().ok(),
            Content::Unread | Content::Unusable(_) => None,
        }
    }

    /// Every runbook that can be run.
    pub(super) fn runbooks(&self) -> impl Iterator<Item = &Arc<Runbook>> {
        let files = match &self.content {
            Content::Files(files) => Some(files),
            Content::Unread | Content::Unusable(_) => None,
        };
        files.into_iter().flatten().filter_map(|(_, volume)| volume.read.as_ref().ok())
    }

    /// Whether a rule may name this runbook: its file is there, valid or not. While nobody knows what is there, every name may be.
    pub(super) fn may_hold(&self, name: &RunbookName) -> bool {
        match &self.content {
            Content::Files(files) => files.contains_key(&format!("{name}{SUFFIX}")),
            Content::Unread | Content::Unusable(_) => true,
        }
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self, own: &BTreeMap<RunbookName, Arc<Runbook>>) -> Vec<FileProblem> {
        match &self.content {
            Content::Unread => Vec::new(),
            Content::Unusable(why) => vec![FileProblem {
                file: self.path.to_string(),
                line: 0,
                message: why.clone(),
                remedy: "put runbooks there, one file each, as docs/runbooks.md describes it".to_owned(),
            }],
            Content::Files(files) => files
                .iter()
                .flat_map(|(name, volume)| match &volume.read {
                    Err(problems) => problems.clone(),
                    Ok(runbook) if own.contains_key(runbook.name()) => vec![FileProblem {
                        file: self.place(name),
                        line: 1,
                        message: format!(
                            "the service has a runbook {} of its own, which is the one that runs",
                            runbook.name()
                        ),
                        remedy: "give this one another name".to_owned(),
                    }],
                    Ok(_) => Vec::new(),
                })
                .collect(),
        }
    }

    /// Names what is wrong, so that the same trouble is told once; `None` while there is none.
    pub(crate) fn trouble_id(&self, trouble: &[FileProblem]) -> Option<Sha256Hash> {
        let named: String = trouble.iter().map(|problem| format!("{problem}\0")).collect();
        (!trouble.is_empty()).then(|| Sha256Hash::of(named.as_bytes()))
    }

    /// Changes of the folder are always manual.
    pub(super) fn reserving(&self, policy: Policy) -> Policy {
        // The configuration takes only paths that are patterns of themselves.
        let globs = [self.path.to_string(), format!("{}/**", self.path)];
        policy.reserving(globs.iter().filter_map(|glob| PathGlob::new(glob).ok()))
    }
}

/// One file as a runbook.
pub(crate) fn parsed(place: &str, bytes: &[u8]) -> Result<Runbook, Vec<FileProblem>> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        vec![FileProblem {
            file: place.to_owned(),
            line: 0,
            message: "it is not UTF-8 text".to_owned(),
            remedy: "write it as docs/runbooks.md describes it".to_owned(),
        }]
    })?;
    Runbook::parse(text, place).map_err(|problems| {
        let told = problems.into_iter().map(|problem| FileProblem {
            file: problem.file,
            line: problem.line,
            message: problem.message,
            remedy: problem.remedy,
        });
        told.collect()
    })
}
