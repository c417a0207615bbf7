//! merge
use domain::*; use git2::Repository; use crate::*;
type R<T>=Result<T,GitError>;
fn e<T>()->R<T>{Err(GitError::Internal("unfinished".into()))}
pub(crate) fn rebase(_:&Repository,_:CommitId,_:CommitId,_:&ChangeSet)->R<Rebase>{e()}
pub(crate) fn inverse(_:&Repository,_:CommitId,_:CommitId)->R<Inverse>{e()}
