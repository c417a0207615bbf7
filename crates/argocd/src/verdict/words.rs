//! Verdicts in words: one sentence per row, for a card or an API document.

use std::fmt;

use super::{Arrival, Ending, GoneReason, Note, Stage, Verdict};
use crate::model::Health;

/// How much a waiting verdict deserves attention among several (0 to 8).
pub(super) fn urgency(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::AwaitingManualSync { .. } => 8,
        Verdict::Stalled { .. } => 7,
        Verdict::BlockedWouldWipe { .. } => 6,
        Verdict::WaitingOlderOperation { blocking: true, .. } => 5,
        Verdict::BlockedByWindow { .. } => 4,
        Verdict::ComparisonFailing { .. } => 4,
        Verdict::Unobserved { .. } | Verdict::CheckingAbsence => 3,
        Verdict::Syncing { .. } | Verdict::WaitingOlderOperation { .. } | Verdict::Settling { .. } => 2,
        _ => 1,
    }
}

impl Verdict {
    /// One sentence for people. Text from Argo CD is quoted as it came, cut to a readable length.
    pub fn headline(&self) -> String {
        match self {
            Self::Unobserved { reason } => format!("Argo CD cannot be asked: {}", cut(reason)),
            Self::CheckingAbsence => "The application is no longer listed; checking whether it was deleted".into(),
            Self::AwaitingDeletion { begun: false } => "Waiting for the application to be deleted".into(),
            Self::AwaitingDeletion { begun: true } => "The application is being deleted".into(),
            Self::NotSeenYet { compared, refreshes } => not_seen(compared.as_deref(), *refreshes),
            Self::Hydrating => "Argo CD is rendering the commit to the hydrated branch".into(),
            Self::Syncing {
                terminating: true,
                revision,
                ..
            } => {
                format!("The sync of {} is being terminated", short(revision))
            }
            Self::Syncing {
                revision,
                message,
                retries,
                ..
            } => {
                let attempt = if *retries > 0 {
                    format!(", retry {retries}")
                } else {
                    String::new()
                };
                format!("Syncing {}{attempt}{}", short(revision), reason(message))
            }
            Self::WaitingOlderOperation {
                revision,
                message,
                blocking,
                terminating,
            } => {
                let which = revision
                    .as_deref()
                    .map_or("another sync".to_owned(), |r| format!("the sync of {}", short(r)));
                match (terminating, blocking) {
                    (true, _) => format!("Waiting: {which} is being terminated"),
                    (_, true) => format!("Blocked: {which} is still running and holds back this commit{}", reason(message)),
                    (_, false) => format!("Waiting for {which} to finish"),
                }
            }
            Self::ComparisonFailing { message } => format!("Argo CD reports that it cannot compare{}", reason(message)),
            Self::AboutToSync { revision } => format!("Argo CD sees {} and is about to sync", short(revision)),
            Self::BlockedByWindow { window } => format!("Held back by a sync window ({})", cut(window)),
            Self::BlockedWouldWipe { resources } => {
                format!("Not synced: it would delete all {resources} resources, and automated sync may not leave an application empty")
            }
            Self::Stalled { revision } => {
                format!("Out of sync at {}, and Argo CD does not start the sync by itself", short(revision))
            }
            Self::AwaitingManualSync { revision } => {
                format!("Waiting for a manual sync: automated sync is off, {} is ready", short(revision))
            }
            Self::QueuedByApplicationSet { application_set } => {
                format!("Waiting for its turn in the ApplicationSet {application_set}")
            }
            Self::Settling { revision, health, message } => settling(revision, *health, message),
            Self::Synced {
                revision,
                how,
                part_of_later,
                recovered,
                notes,
            } => synced(revision, *how, *part_of_later, *recovered, notes),
            Self::Degraded {
                revision,
                message,
                after_later: None,
            } => {
                format!("Deployed at {}, and degraded{}", short(revision), reason(message))
            }
            Self::Degraded {
                revision,
                message,
                after_later: Some(later),
            } => {
                format!(
                    "Deployed at {}; degraded after {}{}",
                    short(revision),
                    short(later),
                    reason(message)
                )
            }
            Self::SyncFailed {
                stage,
                revision,
                message,
                resources,
            } => {
                let at = revision
                    .as_deref()
                    .map_or(String::new(), |revision| format!(" at {}", short(revision)));
                let first = resources
                    .first()
                    .map_or(String::new(), |resource| format!(" ({})", cut(unsaid(resource, &cut(message)))));
                format!("{}{at}{}{first}", failed(*stage), reason(message))
            }
            Self::RolledBack { to: Some(to) } => format!("It was deployed, then rolled back to {}", short(to)),
            Self::RolledBack { to: None } => "It was deployed, then rolled back".into(),
            Self::Gone {
                reason: GoneReason::Deleted,
            } => "The application was deleted".into(),
            Self::Gone {
                reason: GoneReason::Deleting,
            } => "The application is being deleted".into(),
            Self::Gone {
                reason: GoneReason::Recreated,
            } => "The application was deleted and made anew".into(),
            Self::NotTracked { now } => format!("The application no longer follows this branch (now: {})", cut(now)),
            Self::TimedOut { waiting } => format!("Not known in time. Last seen: {}", waiting.headline()),
        }
    }
}

fn not_seen(compared: Option<&str>, refreshes: u32) -> String {
    let asked = match refreshes {
        0 => String::new(),
        1 => ", refresh requested".to_owned(),
        times => format!(", refresh requested {times} times"),
    };
    match compared {
        Some(revision) => format!("Argo CD has not seen the commit yet (it is at {}{asked})", short(revision)),
        None => format!("Argo CD has not seen the commit yet{}", asked.replace(", ", "; ")),
    }
}

fn settling(revision: &str, health: Option<Health>, message: &str) -> String {
    let now = match health {
        None => "checking its health",
        Some(Health::Healthy) => "healthy, making sure that it stays so",
        Some(Health::Progressing) => "progressing",
        Some(Health::Suspended) => "suspended",
        Some(Health::Missing) => "its resources are missing",
        Some(Health::Degraded) => "degraded, waiting whether it recovers",
        Some(Health::Unknown) => "its health is unknown",
    };
    format!("Deployed at {}; {now}{}", short(revision), reason(message))
}

fn synced(revision: &str, how: Arrival, later: bool, recovered: bool, notes: &[Note]) -> String {
    let mut text = match (how, later) {
        (Arrival::Deleted, _) => "The application is deleted, as asked".to_owned(),
        (Arrival::Applied, false) => format!("Deployed and healthy at {}", short(revision)),
        (Arrival::Applied, true) => format!("Deployed as part of {} and healthy", short(revision)),
        (Arrival::NothingToApply, false) => format!("In sync at {}; nothing had to be applied", short(revision)),
        (Arrival::NothingToApply, true) => format!("In sync as part of {}; nothing had to be applied", short(revision)),
    };
    let unhealthy = notes.iter().any(|note| matches!(note, Note::AlreadyDegraded { .. } | Note::Paused));
    if unhealthy {
        text = text.replace(" and healthy", "");
    }
    if recovered {
        text.push_str(", after a failure");
    }
    for note in notes {
        text.push_str(&format!("; {note}"));
    }
    text
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsPrune { resources } => write!(f, "needs prune: {}", few(resources)),
            Self::Drift { resources } if resources.is_empty() => f.write_str("differs from git after the sync"),
            Self::Drift { resources } => write!(f, "differs from git after the sync: {}", few(resources)),
            Self::LaterCommitPending { revision } => write!(f, "the later {} is still to be synced", short(revision)),
            Self::AlreadyDegraded { message } => write!(f, "it was degraded before{}", reason(message)),
            Self::Paused => f.write_str("paused (suspended)"),
        }
    }
}

fn failed(stage: Stage) -> &'static str {
    match stage {
        Stage::Hydrate => "Rendering the hydrated branch failed",
        Stage::Compare => "Argo CD cannot render or compare the application",
        Stage::Apply => "The sync failed",
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::NotTracked => "not tracked",
            Self::TimedOut => "timed out",
            Self::Degraded => "degraded",
            Self::RolledBack => "rolled back",
            Self::Gone => "gone",
            Self::SyncFailed => "sync failed",
        })
    }
}

/// First seven digits of a commit.
fn short(revision: &str) -> &str {
    revision.get(..7).unwrap_or(revision)
}

fn few(resources: &[String]) -> String {
    match resources {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        all => all.join(", "),
    }
}

/// A resource's line; only its name when the message says already what became of it.
fn unsaid<'a>(resource: &'a str, message: &str) -> &'a str {
    match resource.split_once(": ") {
        Some((name, why)) if message.contains(why.trim()) => name,
        Some(_) | None => resource,
    }
}

fn reason(message: &str) -> String {
    if message.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", cut(message))
    }
}

/// One line of at most 300 characters.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
