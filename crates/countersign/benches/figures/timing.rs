//! Clocks and memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Pairs behind every ratio.
pub(crate) const PAIRS: usize = 15;

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Does something and says how long it took.
pub(crate) async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let began = Instant::now();
    let done = work.await?;
    Ok((done, began.elapsed()))
}

/// Anonymous resident memory of a process in MiB: its heap and stacks without the program's own pages.
pub(crate) fn rss_anon(process: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("memory is read from /proc, which is not there")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .context("no RssAnon in /proc")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// A time that is far beyond what anything here takes: a figure that hangs is skipped instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is there, looking every few milliseconds.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "{what} did not happen within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
