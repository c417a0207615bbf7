//! `countersign policy replay FILE`: how the last decisions would have been routed under another policy, before anybody commits it. Reads the
//! database beside a service that may be running, and changes nothing.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::{Policy, RepositoryName};
use engine::Book;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;
use crate::settings::{RepositorySettings, Settings};

/// The subcommands of `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say how the last decisions would have gone under another policy
    Replay(Replay),
}

/// Arguments of `policy replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The new text of the repository's own policy; of the service's policy file where the repository carries none
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The repository; the first one of the configuration when left out
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    #[command(flatten)]
    with: WithConfig,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let Command::Replay(replay) = command;
    let settings = replay.with.settings()?;
    let repository = chosen(&settings, replay.repository.as_ref())?;
    let text = text_of(&replay.file)?;
    let book = settings.rules()?;
    let file = replay.file.display().to_string();
    let new = match &repository.policy {
        Some(_) => book.with_text(&repository.name, &file, &text)?,
        None => Policy::parse(&text).map_err(|problems| {
            let told = |p: domain::Problem| format!("{file}:{}: {}\n  remedy: {}", p.line, p.message, p.remedy);
            Failure::Files(problems.into_iter().map(told).collect())
        })?,
    };
    let store = open(&settings.database).await?;
    let read = store.read();
    let stored = read.repository_policy(&repository.name).await;
    let limit = settings.limits.replayed_decisions;
    let decided = read.decided_facts(&repository.name, limit.saturating_add(1)).await;
    store.close().await;
    let book = in_force(book, repository, stored?.and_then(|known| known.valid));
    for line in book.replay(&new, &repository.name, decided?, limit) {
        say!("{line}");
    }
    Ok(())
}

/// The book as the service has it in force, as far as the database tells.
pub(crate) fn in_force(book: Book, repository: &RepositorySettings, valid: Option<(String, domain::CommitId)>) -> Book {
    match &repository.policy {
        Some(path) => book.with_repository_policy(&repository.name, path.clone(), valid),
        None => book,
    }
}

/// A repository by name, or the first one.
pub(crate) fn chosen<'a>(settings: &'a Settings, name: Option<&RepositoryName>) -> Result<&'a RepositorySettings, Failure> {
    let found = match name {
        Some(name) => settings.repositories.iter().find(|repository| repository.name == *name),
        None => settings.repositories.first(),
    };
    found.ok_or_else(|| match name {
        Some(name) => Failure::Usage(
            format!("there is no repository {name}"),
            super::repositories(settings.repositories.iter().map(|repository| &repository.name)),
        ),
        None => Failure::Usage("no repository is configured".to_owned(), "add [[repositories]]".to_owned()),
    })
}

/// The text of a file that the command line names.
pub(crate) fn text_of(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::Usage(
            format!("{} cannot be read: {error}", file.display()),
            match error.kind() {
                std::io::ErrorKind::InvalidData => "save it as UTF-8".to_owned(),
                _ => "check the path and its permissions".to_owned(),
            },
        )
    })
}
