//! Scheduled failures: which call goes wrong next, and how.

use super::model::Fault;

/// The plan, in the order it was made.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Planned>,
    /// Rises with every release of hanging calls.
    pub(super) releases: u64,
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
        self.releases += 1;
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
