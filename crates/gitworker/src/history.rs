//! history
use domain::*; use git2::Repository; use crate::*;
type R<T>=Result<T,GitError>;
fn e<T>()->R<T>{Err(GitError::Internal("unfinished".into()))}
pub(crate) fn is_ancestor(_:&Repository,_:CommitId,_:CommitId)->R<Ancestry>{e()}
pub(crate) fn last_touching(_:&Repository,_:CommitId,_:CommitId,_:&[RepoPath],_:usize)->R<Vec<Touch>>{e()}
pub(crate) fn locate(_:&Repository,_:CommitId,_:&[CommitId],_:&str)->R<Located>{e()}
pub(crate) fn landed(_:&Repository,_:&str,_:CommitId,_:&ChangeSet,_:&str)->R<Manual>{e()}
pub(crate) fn standing(_:&Repository,_:CommitId,_:&ChangeSet)->R<Standing>{e()}
pub(crate) fn describe(_:&Repository,_:CommitId)->R<CommitInfo>{e()}
