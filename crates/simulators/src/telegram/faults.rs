//! Scheduled failures: which call goes wrong next, and how.

use std::collections::BTreeMap;

use super::model::Fault;

/// The plan, in the order it was made.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Planned>,
    /// Rises with every release of hanging calls.
    pub(super) releases: u64,
    limits: BTreeMap<String, Limit>,
}

/// At most so many sends and edits in a chat per period.
#[derive(Debug)]
struct Limit {
    calls: usize,
    period_ms: i64,
    recent: Vec<i64>,
}

#[derive(Debug)]
struct Planned {
    method: String,
    chat: Option<i64>,
    fault: Fault,
    left: usize,
}

impl Faults {
    pub(super) fn plan(&mut self, method: &str, chat: Option<i64>, fault: Fault, times: usize) {
        self.planned.push(Planned {
            method: method.to_owned(),
            chat,
            fault,
            left: times,
        });
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
        self.limits.clear();
        self.releases += 1;
    }

    pub(super) fn limit(&mut self, chat: i64, calls: usize, period_ms: i64) {
        self.limits.insert(
            chat.to_string(),
            Limit {
                calls,
                period_ms,
                recent: Vec::new(),
            },
        );
    }

    /// Seconds to wait when a chat's limit is reached; counts the call otherwise.
    pub(super) fn over_limit(&mut self, method: &str, chat: &str, now_ms: i64) -> Option<u32> {
        if !method.starts_with("send") && !method.starts_with("edit") {
            return None;
        }
        let limit = self.limits.get_mut(chat)?;
        limit.recent.retain(|at| now_ms - at < limit.period_ms);
        if limit.recent.len() < limit.calls {
            limit.recent.push(now_ms);
            return None;
        }
        let oldest = limit.recent.first().copied().unwrap_or(now_ms);
        let wait_s = (oldest + limit.period_ms - now_ms) / 1000 + 1;
        Some(u32::try_from(wait_s).unwrap_or(1))
    }

    /// The fault for this call, used up by one.
    pub(super) fn take(&mut self, method: &str, chat: &str) -> Option<Fault> {
        let fits = |planned: &Planned| {
            (planned.method == "*" || planned.method.eq_ignore_ascii_case(method))
                && planned.chat.is_none_or(|id| id.to_string() == chat)
                && planned.left > 0
        };
        let planned = self.planned.iter_mut().find(|planned| fits(planned))?;
        planned.left -= 1;
        let fault = planned.fault.clone();
        self.planned.retain(|planned| planned.left > 0);
        Some(fault)
    }
}
