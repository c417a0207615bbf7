//! `countersign backup FILE`: a consistent copy beside a running service. Restoring is copying it back while the service is stopped.

use std::path::PathBuf;

use clap::Args;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The new file; it must not exist yet
    file: PathBuf,
    #[command(flatten)]
    with: WithConfig,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.with.settings()?;
    let store = open(&settings.database).await?;
    let done = store.backup(&arguments.file).await;
    store.close().await;
    done?;
    say!("{}", arguments.file.display());
    Ok(())
}
