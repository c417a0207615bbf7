//! Log lines: text for people or JSON for machines, on standard error. Standard output belongs to what a command was asked for.

use std::io::{self, Write};

use tracing::Metadata;
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
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(OneLine(writer));
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

/// Keeps one record to one line: whoever reads a log by lines must not lose the second half of a message, such as its remedy.
struct OneLine<W>(W);

/// The writer of one record, which comes as one piece.
struct Line<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line(self.0.make_writer())
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Self::Writer {
        Line(self.0.make_writer_for(metadata))
    }
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let (body, end) = match record.strip_suffix(b"\n") {
            Some(body) => (body, "\n"),
            None => (record, ""),
        };
        if body.contains(&b'\n') {
            let text = String::from_utf8_lossy(body);
            let parts: Vec<_> = text.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
            self.0.write_all(format!("{}{end}", parts.join("; ")).as_bytes())?;
        } else {
            self.0.write_all(record)?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a writer").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_record_is_one_line_in_either_format() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let kept = Kept::default();
            let settings = LogSettings {
                format,
                filter: "info".to_owned(),
            };
            let writer = kept.clone();
            tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()), || {
                tracing::error!(error = %"a\nb", "policy.toml:3: wrong\n  remedy: correct it");
                tracing::info!("plain");
            });
            let text = String::from_utf8(kept.0.lock().expect("a writer").clone()).expect("text");
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(text.lines().all(|line| line.contains("ERROR") || line.contains("plain")), "{text}");
            assert!(text.contains("remedy: correct it"), "{text}");
        }
    }
}
