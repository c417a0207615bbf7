//! The lock file that makes one process the only `serve` on a database. The kernel gives it back when the process ends, however it ends.

use std::fs::File;
use std::path::Path;

use crate::StoreError;

/// Held for as long as `serve` runs.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

pub(crate) fn take(path: &Path) -> Result<ServeLock, StoreError> {
    let _ = path;
    todo!()
}
