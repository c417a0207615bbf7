//! The lock file that makes one process the only `serve` on a database. The kernel gives it back when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Held for as long as `serve` runs.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

pub(crate) fn take(database: &Path) -> Result<ServeLock, StoreError> {
    let path = PathBuf::from(format!("{}.lock", database.display()));
    let failed = |error: std::io::Error| StoreError::Open {
        path: path.clone(),
        why: format!("the lock file cannot be used: {error}; give the service a directory that it may write"),
    };
    // Not truncated on opening: the name of the present holder must survive an attempt that fails.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder may be about to write its number: then it is unknown, no more.
            let _ = file.read_to_string(&mut pid);
            let holder = match pid.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(StoreError::Locked { path, holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(ServeLock { _file: file })
}
