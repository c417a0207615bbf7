//! Log lines: text for people or JSON for machines, on standard error. Standard output belongs to what a command was asked for.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::settings::{LogFormat, LogSettings};

/// Anything that log lines can be written to.
pub trait LogWriter: for<'w> MakeWriter<'w> + Send + Sync + 'static {}

impl<W: for<'w> MakeWriter<'w> + Send + Sync + 'static> LogWriter for W {}

/// Crates below ours that write whole requests, with their addresses and headers, at their finest levels. The Bot API has its token in the
/// address: whatever the filter says, they stay at warnings.
const TALKATIVE: [&str; 8] = ["h2", "hyper", "hyper_util", "octocrab", "reqwest", "rustls", "sqlx", "tower_http"];

/// A subscriber that writes lines in the configured format. A filter that cannot be parsed reads as `info`; settings refuse one.
pub fn subscriber(settings: &LogSettings, writer: impl LogWriter) -> Box<dyn Subscriber + Send + Sync> {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = |filter: EnvFilter, name: &&str| match format!("{name}=warn").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let filter = TALKATIVE.iter().fold(filter, quiet);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.format {
        LogFormat::Text => Box::new(lines.with_ansi(false).finish()),
        LogFormat::Json => Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        ),
    }
}
