//! One file per command.

pub(crate) mod agent;
pub(crate) mod approvers;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod digest;
pub(crate) mod effects;
pub(crate) mod explain;
mod online;
pub(crate) mod policy;
pub(crate) mod runbook;
pub(crate) mod stops;
pub(crate) mod totp;
pub(crate) mod unexplained;

use std::path::Path;

use store::{Store, StoreOptions};

use crate::cli::Failure;
use crate::out::complain;

/// Opens the database beside a service that may be running. Only `serve` and `agent add` make one: a wrong path would look like an empty service.
async fn open(path: &Path) -> Result<Store, Failure> {
    if !path.exists() {
        return Err(Failure::Failed(
            format!("there is no database {}", path.display()),
            "correct database.path; or start `countersign serve`, or add a first agent with `countersign agent add`: these make one"
                .to_owned(),
        ));
    }
    Ok(Store::open(path, StoreOptions { readers: 1 }).await?)
}

/// Opens the database, or makes it and says so: a mistyped path must not go unnoticed.
async fn open_or_create(path: &Path) -> Result<Store, Failure> {
    let new = !path.exists();
    let store = Store::open(path, StoreOptions { readers: 1 }).await?;
    if new {
        complain!("note: there was no database {}; a new one was made", path.display());
    }
    Ok(store)
}
