//! What a state is called on a card, and how times are written.

use chrono_tz::Tz;
use domain::{ChangeKind, Decision, Delivery, Landed, Outcome, Tier, Timestamp};

use crate::card::{Card, CardKind, Decided, Progress};

/// A mark for the lock screen, and the state in words.
pub(super) fn state(card: &Card) -> (&'static str, String) {
    if card.superseded.is_some() {
        return ("⚪", "superseded by a newer revision".to_owned());
    }
    let (mark, words) = match card.outcome {
        Some(outcome) => ended(outcome, card),
        None => under_way(card),
    };
    (mark, words.to_owned())
}

fn ended(outcome: Outcome, card: &Card) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Synced => ("✅", "synced and healthy"),
        Outcome::Pushed => ("✅", "pushed"),
        _ if card.recovered_at.is_some() => ("✅", "recovered"),
        Outcome::Degraded => ("⚠️", "applied, but unhealthy"),
        Outcome::SyncFailed => ("❌", "sync failed"),
        Outcome::TimedOut => ("❓", "no final answer from Argo CD"),
        Outcome::RolledBack => ("↩️", "rolled back"),
        Outcome::Lost => ("❌", "its commit vanished from the branch"),
        Outcome::Conflicted => ("❌", "conflict with the branch"),
        Outcome::PushRefused => ("❌", "not pushed: given up"),
        Outcome::Diverged => ("⚠️", "diverged: the files changed otherwise"),
        Outcome::Rejected => ("⛔", "rejected"),
        Outcome::Expired => ("⌛", "expired: nobody decided in time"),
        Outcome::Withdrawn => ("⚪", "withdrawn"),
        Outcome::Refused => ("⛔", "refused by the policy"),
        Outcome::Dismissed => ("⚪", dismissed(card)),
    }
}

/// What was prepared for a human is put aside, what would have been pushed is cancelled; without anybody there was nothing left to do.
fn dismissed(card: &Card) -> &'static str {
    match (card.tier, &card.decided) {
        (_, None) => "nothing left to do",
        (Tier::Manual, Some(_)) => "put aside",
        (Tier::Prompted | Tier::Standard, Some(_)) => "cancelled",
    }
}

fn under_way(card: &Card) -> (&'static str, &'static str) {
    match card.delivery {
        Delivery::Queued => queued(card),
        Delivery::Committing => ("🔵", "being pushed"),
        Delivery::PushBlocked => ("⚠️", "push blocked: needs a human"),
        Delivery::AwaitingCommit => ("✍️", "prepared: a human commits it"),
        Delivery::Pushed => ("🔵", "pushed, waiting for Argo CD"),
        Delivery::Syncing => ("🔵", "syncing"),
        Delivery::None | Delivery::Ended => decided(card),
    }
}

fn queued(card: &Card) -> (&'static str, &'static str) {
    match (card.decision == Decision::Approved, card.note.is_some(), card.hold_until.is_some()) {
        (true, true, _) => ("⏸", "approved, waits"),
        (false, true, _) => ("⏸", "waits"),
        (true, false, true) => ("⏸", "approved, held back for a moment"),
        (true, false, false) => ("🔵", "approved, on its way"),
        (false, false, _) => ("🔵", "on its way"),
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
        Decision::Withdrawn => ("⚪", "withdrawn"),
        Decision::Refused => ("⛔", "refused by the policy"),
        Decision::Dismissed => ("⚪", dismissed(card)),
    }
}

/// Who ended it, where somebody did: they stand behind the state's words.
pub(super) fn ended_by(card: &Card) -> Option<&Decided> {
    let by_somebody = matches!(
        card.outcome,
        Some(Outcome::Rejected | Outcome::Dismissed | Outcome::Withdrawn | Outcome::PushRefused)
    );
    card.decided.as_ref().filter(|_| by_somebody)
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
