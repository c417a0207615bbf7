//! patch
use domain::*; use git2::Repository; use crate::*;
pub(crate) struct FilePatch;
pub(crate) fn parse(_:&str)->Result<Vec<FilePatch>,DiffError>{Ok(vec![])}
pub(crate) fn apply(_:&Repository,_:CommitId,_:&[FilePatch])->Result<Vec<RequestedChange>,DiffError>{Err(GitError::Internal("unfinished".into()).into())}
