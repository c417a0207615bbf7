//! What a state is called on a card, and how times are written.

use chrono_tz::Tz;
use domain::{ChangeKind, Decision, Delivery, Landed, Outcome, Timestamp};

use crate::card::{Card, CardKind, Progress};

/// A mark for the lock screen, and the state in words.
pub(super) fn state(card: &Card) -> (&'static str, String) {
    if card.superseded.is_some() {
        return ("⚪", "superseded by a newer revision".to_owned());
    }
    let (mark, words) = match card.outcome {
        Some(outcome) => ended(outcome, card.recovered_at.is_some()),
        None => under_way(card),
    };
    (mark, words.to_owned())
}

fn ended(outcome: Outcome, recovered: bool) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Synced => ("✅", "synced and healthy"),
        Outcome::Pushed => ("✅", "pushed"),
        _ if recovered => ("✅", "recovered"),
        Outcome::Degraded => ("⚠️", "applied, but unhealthy"),
        Outcome::SyncFailed => ("❌", "sync failed"),
        Outcome::TimedOut => ("❓", "no final answer from Argo CD"),
        Outcome::RolledBack => ("↩️", "rolled back"),
        Outcome::Lost => ("❌", "its commit vanished from the branch"),
        Outcome::Conflicted => ("❌", "conflict: the branch changed the same lines"),
        Outcome::PushRefused => ("❌", "given up: the remote refused it"),
        Outcome::Diverged => ("⚠️", "diverged: the files changed otherwise"),
        Outcome::Rejected => ("⛔", "rejected"),
        Outcome::Expired => ("⌛", "expired: nobody decided in time"),
        Outcome::Withdrawn => ("⚪", "withdrawn by the agent"),
        Outcome::Refused => ("⛔", "refused by the policy"),
        Outcome::Dismissed => ("⚪", "put aside"),
    }
}

fn under_way(card: &Card) -> (&'static str, &'static str) {
    match card.delivery {
        Delivery::Queued if card.hold_until.is_some() => ("⏸", "approved, held back for a moment"),
        Delivery::Queued => (
            "🔵",
            if card.decision == Decision::Approved {
                "approved, on its way"
            } else {
                "on its way"
            },
        ),
        Delivery::Committing => ("🔵", "being pushed"),
        Delivery::PushBlocked => ("⚠️", "push blocked: needs a human"),
        Delivery::AwaitingCommit => ("✍️", "prepared: a human commits it"),
        Delivery::Pushed => ("🔵", "pushed, waiting for Argo CD"),
        Delivery::Syncing => ("🔵", "syncing"),
        Delivery::None | Delivery::Ended => decided(card),
    }
}

fn decided(card: &Card) -> (&'static str, &'static str) {
    match card.decision {
        Decision::Pending if card.kind == CardKind::ManualNote => ("✍️", "being prepared"),
        Decision::Pending => ("🟡", "waiting for approval"),
        Decision::Approved => ("🔵", "approved"),
        Decision::NotRequired => ("🔵", "accepted"),
        Decision::Rejected => ("⛔", "rejected"),
        Decision::Expired => ("⌛", "expired: nobody decided in time"),
        Decision::Withdrawn => ("⚪", "withdrawn by the agent"),
        Decision::Refused => ("⛔", "refused by the policy"),
        Decision::Dismissed => ("⚪", "put aside"),
    }
}

/// Who ended the decision, as a sentence.
pub(super) fn decided_words(decision: Decision) -> &'static str {
    match decision {
        Decision::Pending | Decision::NotRequired => "Noted",
        Decision::Approved => "Approved",
        Decision::Rejected => "Rejected",
        Decision::Expired => "Expired",
        Decision::Withdrawn => "Withdrawn",
        Decision::Refused => "Refused",
        Decision::Dismissed => "Put aside",
    }
}

pub(super) const fn landed(landed: Landed) -> &'static str {
    match landed {
        Landed::AsProposed => "Landed as proposed.",
        Landed::WithEdits => "Landed with edits: what is on the branch is not exactly what was proposed.",
    }
}

pub(super) const fn progress(state: Progress) -> &'static str {
    match state {
        Progress::Waiting => "⚪",
        Progress::Working => "🔵",
        Progress::Good => "🟢",
        Progress::Bad => "🔴",
        Progress::Unknown => "❓",
    }
}

pub(super) const fn change_verb(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "add",
        ChangeKind::Modified => "change",
        ChangeKind::Deleted => "delete",
    }
}

/// `14:02`, or `23 Nov 14:02` on another day than today.
pub(super) fn clock(at: Timestamp, now: Timestamp, zone: Tz) -> String {
    let (at, now) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let same_day = at.date_naive() == now.date_naive();
    at.format(if same_day { "%H:%M" } else { "%-d %b %H:%M" }).to_string()
}

/// `in 45 min`, `in 1 d 23 h`; empty when it has passed.
pub(super) fn remaining(at: Timestamp, now: Timestamp) -> String {
    match u64::try_from((at - now).num_seconds()) {
        // To the nearest minute: "4 h" and not "3 h 59 min" the moment after.
        Ok(seconds) if seconds >= 120 => format!("in {}", domain::span((seconds + 30) / 60 * 60)),
        Ok(seconds) if seconds > 0 => format!("in {}", domain::span(seconds)),
        Ok(_) | Err(_) => String::new(),
    }
}
