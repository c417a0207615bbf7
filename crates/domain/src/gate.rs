//! Whether a delivery may be sent to the remote now: the last question before a commit is built, and what a waiting card says.

use std::collections::BTreeSet;
use std::fmt;

use chrono_tz::Tz;

use crate::policy::Freeze;
use crate::{Policy, Proposal, Stop, Subject, Timestamp};

/// Why a delivery waits. Its approvals are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// People stopped it.
    Stopped {
        /// The stop's number: what `/resume` names.
        stop: u64,
        /// One sentence.
        why: String,
    },
    /// The policy allows nothing at this time.
    Frozen(Freeze),
    /// People were promised this time to think again.
    Promised {
        /// Until when.
        until: Timestamp,
    },
}

impl Hold {
    /// When to look again by oneself; `None`: only people can end it, or no end is in sight.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Stopped { .. } => None,
            Self::Frozen(freeze) => freeze.until,
            Self::Promised { until } => Some(*until),
        }
    }
}

/// For agents: "waits: …".
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped { stop, why } => write!(f, "waits: {why} (/resume {stop}, by two people)"),
            Self::Frozen(freeze) => write!(f, "waits: {}", freeze.why()),
            Self::Promised { until } => promised(f, &until.format("%H:%M:%S UTC")),
        }
    }
}

/// A hold for people who live in a time zone.
struct Local<'a>(&'a Hold, Tz);

impl fmt::Display for Local<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(hold, zone) = self;
        match hold {
            Hold::Stopped { .. } => hold.fmt(f),
            Hold::Frozen(freeze) => write!(f, "waits: {}", freeze.why_in(*zone)),
            Hold::Promised { until } => promised(f, &until.with_timezone(zone).format("%H:%M:%S")),
        }
    }
}

fn promised(f: &mut fmt::Formatter<'_>, until: &dyn fmt::Display) -> fmt::Result {
    write!(f, "held back until {until}, so that people can still cancel")
}

/// What people ordered about sending, as the transaction that decides reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Orders {
    /// The stops that stand.
    pub stops: Vec<Stop>,
    /// The freezes that this proposal was let pass.
    pub overridden: BTreeSet<String>,
}

/// Longest time until a held delivery is looked at again: a policy that no longer freezes it is noticed by then.
const LOOK_SECONDS: i64 = 15;

/// All reasons in one line, for agents.
pub fn said(holds: &[Hold]) -> String {
    holds.iter().map(Hold::to_string).collect::<Vec<_>>().join("; ")
}

/// All reasons in one line, for people who live in a time zone.
pub fn said_in(holds: &[Hold], zone: Tz) -> String {
    let local = holds.iter().map(|hold| Local(hold, zone).to_string());
    local.collect::<Vec<_>>().join("; ")
}

/// When a held delivery is looked at again: at the end of what holds it longest, and several times a minute
/// before, as policy and stops may change.
pub fn look_again(holds: &[Hold], now: Timestamp) -> Timestamp {
    let soon = now + chrono::Duration::seconds(LOOK_SECONDS);
    let ends: Option<Vec<Timestamp>> = holds.iter().map(Hold::until).collect();
    let end = ends.and_then(|ends| ends.into_iter().max());
    end.map_or(soon, |end| end.clamp(now, soon))
}

/// Whether a proposal's commit may be sent now; otherwise everything that holds it back: stops, freezes, and the time people were promised to
/// think again. `overridden` are the names of freezes that a member of their group let this proposal pass ([`Policy::may_override`]); a stop
/// cannot be passed.
///
/// # Errors
/// What it waits for.
pub fn may_send(
    policy: &Policy,
    stops: &[Stop],
    proposal: &Proposal,
    overridden: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(), Vec<Hold>> {
    let subject = Subject::from(proposal);
    let stopped = stops.iter().filter(|stop| stop.covers(&subject)).map(|stop| Hold::Stopped {
        stop: stop.id,
        why: stop.why(),
    });
    let frozen = policy.freezes(&proposal.repository, &proposal.revision.facts.paths, now);
    let frozen = frozen
        .into_iter()
        .filter(|freeze| !overridden.contains(&freeze.name))
        .map(Hold::Frozen);
    let promised = proposal.hold_until.filter(|until| *until > now);
    let promised = promised.map(|until| Hold::Promised { until });
    let holds: Vec<Hold> = stopped.chain(frozen).chain(promised).collect();
    if holds.is_empty() { Ok(()) } else { Err(holds) }
}

#[cfg(test)]
mod tests;
