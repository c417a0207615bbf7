//! `countersign demo`: the whole product on one machine, with no account and no network.
//!
//! A git remote seeded with a small homelab, simulators of Telegram and Argo CD, and the real service between them: every byte goes over
//! real HTTP and real git. `--auto` presses the buttons by itself, tells the story line by line, and fails when any end is not what it must be.

mod agent;
mod apps;
mod interactive;
mod past;
mod refused;
mod seed;
mod story;
mod trust;
mod world;

use std::net::SocketAddr;

use clap::Args;

use crate::cli::Failure;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Press the buttons by itself, print the story, and fail unless every end is what it must be
    #[arg(long)]
    auto: bool,
    /// Where the page listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    page: SocketAddr,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let told = if arguments.auto {
        story::run().await
    } else {
        interactive::run(arguments.page).await
    };
    told.map_err(|error| {
        Failure::Failed(
            format!("the demo failed: {error:#}"),
            "run it again with RUST_LOG=debug to see more".to_owned(),
        )
    })
}
