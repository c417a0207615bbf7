//! Wiring, configuration and the command line: the rooms of the house put together into one program.
//!
//! - [`Settings`]: three layers, read strictly
//! - [`Service`]: everything that `serve` runs, with a stop that takes less than five seconds
//! - [`main`]: the command line

mod cli;
mod commands;
#[cfg(feature = "demo")]
mod demo;
mod logging;
mod out;
mod secrets;
mod serve;
mod service;
mod settings;
mod shipped;

pub use cli::main;
pub use logging::{LogWriter, subscriber};
pub use secrets::{Secret, Unreadable};
pub use serve::serve;
pub use service::{Hooks, Service};
pub use settings::{
    ArgocdSettings, ConfigFile, GithubSettings, Layers, Limits, LogFormat, LogSettings, PolicySettings, Problem, RepositorySettings,
    ServerSettings, Settings, TelegramSettings, WebhookSettings,
};
pub use shipped::Shipped;
