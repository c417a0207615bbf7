//! Audit rows for what this face refuses by itself: wrong tokens, unreadable bodies. Written at a bounded rate per caller, since each
//! row is a durable write and the caller may be anybody; what was left out is counted in the next row.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use domain::AgentName;

/// Rows per caller at once.
const BURST: f64 = 20.0;
/// Rows per caller and second in the long run.
const PER_SECOND: f64 = 0.5;

/// Decides which refusals get a row of their own. All callers without a valid token share one allowance.
#[derive(Debug, Default)]
pub struct RefusedLog(Mutex<HashMap<Option<AgentName>, Allowance>>);

#[derive(Debug)]
struct Allowance {
    rows: f64,
    at: Instant,
    left_out: u64,
}

impl RefusedLog {
    /// The text of the row to write now, or nothing when the caller has used up its allowance.
    pub fn row(&self, agent: Option<&AgentName>, detail: &str, now: Instant) -> Option<String> {
        // The counters are valid whatever happened to the thread that held them.
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = callers.entry(agent.cloned()).or_insert(Allowance {
            rows: BURST,
            at: now,
            left_out: 0,
        });
        let earned = now.saturating_duration_since(allowance.at).as_secs_f64() * PER_SECOND;
        allowance.rows = (allowance.rows + earned).min(BURST);
        allowance.at = now;
        if allowance.rows < 1.0 {
            allowance.left_out += 1;
            return None;
        }
        allowance.rows -= 1.0;
        let left_out = std::mem::take(&mut allowance.left_out);
        Some(match left_out {
            0 => detail.to_owned(),
            count => format!("{detail} (and {count} more before it that have no row)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_counted_and_does_not_silence_others() {
        let log = RefusedLog::default();
        let start = Instant::now();
        let rows = (0..100).filter(|_| log.row(None, "bad token", start).is_some()).count();
        assert_eq!(rows, 20);
        assert_eq!(
            log.row(Some(&"alice-bot".parse().unwrap()), "bad body", start).as_deref(),
            Some("bad body")
        );
        let later = log.row(None, "bad token", start + Duration::from_secs(2));
        assert_eq!(later.as_deref(), Some("bad token (and 80 more before it that have no row)"));
        assert_eq!(log.row(None, "bad token", start + Duration::from_secs(2)), None);
    }
}
