//! One file per command.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod digest;
pub(crate) mod explain;
mod online;

use std::path::Path;

use store::{Store, StoreOptions};

use crate::cli::Failure;

/// Opens the database beside a service that may be running. A command never makes one: a wrong path would look like an empty service.
async fn open(path: &Path) -> Result<Store, Failure> {
    if !path.exists() {
        return Err(Failure::Failed(
            format!("there is no database {}", path.display()),
            "start `countersign serve` once, or correct database.path".to_owned(),
        ));
    }
    Ok(Store::open(path, StoreOptions { readers: 1 }).await?)
}

/// Opens the database, or makes it.
async fn open_or_create(path: &Path) -> Result<Store, Failure> {
    Ok(Store::open(path, StoreOptions { readers: 1 }).await?)
}
