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

/// The remedy for an unknown name: those there are, or what to do where there are none.
fn one_of<'a>(known: impl IntoIterator<Item = &'a str>, none: &str) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match known.as_slice() {
        [] => none.to_owned(),
        known => format!("use one of: {}", known.join(", ")),
    }
}

/// The same for repositories.
fn repositories<'a>(known: impl IntoIterator<Item = &'a domain::RepositoryName>) -> String {
    one_of(
        known.into_iter().map(domain::RepositoryName::as_str),
        "no repository is configured: add [[repositories]]",
    )
}

/// The same for the service's own runbooks.
fn runbooks(book: &engine::Book) -> String {
    let none = "the service has no runbooks of its own: name a folder with some as policy.runbooks";
    one_of(book.runbooks.keys().map(domain::RunbookName::as_str), none)
}

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
