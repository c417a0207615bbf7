//! diff
use domain::*; use git2::Repository; use crate::*;
pub(crate) fn unified(_:&Repository,_:&ChangeSet)->Result<UnifiedDiff,GitError>{Err(GitError::Internal("unfinished".into()))}
/// d
pub fn plain_diff<'a>(_change: &ChangeSet, _old: impl Fn(&RepoPath) -> Option<&'a [u8]>) -> UnifiedDiff { UnifiedDiff{text:String::new(),files:vec![]} }
