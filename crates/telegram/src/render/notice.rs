//! Short messages beside the cards: the ones that ring, lists, and plain answers.

use domain::{Decision, ProposalId, RepositoryName, Timestamp};

use super::rich::Rich;
use super::words::{clock, ended_by, remaining, state};
use super::{RenderOptions, files, rendered, sections};
use crate::card::{ApplicationLine, Card, Progress, Rendered};
use crate::text::{TEXT_UNITS_MAX, cut_units, one_line, visible};

/// Longest text of an alarm.
const ALARM_MAX: usize = 1500;

/// Names of those who are called.
const NAMES_MAX: usize = 300;

/// A short message of its own beside a card. It replies to the card, and it is the one that makes a phone ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The end is a failure, or a human is needed (push blocked): rings.
    Failure,
    /// Pushed, and an application comes no further before a person syncs it: rings.
    NeedsSync,
    /// Still pending, expires soon: rings once.
    Reminder,
    /// Still pending, and others may decide from now on: rings.
    Escalated,
    /// It waits on, but not as before: rings.
    Waits,
    /// Nobody decided in time: rings once.
    Expired,
    /// A failed end healed later: silent.
    Recovered,
}

impl Notice {
    /// Whether phones should ring.
    pub const fn rings(self) -> bool {
        match self {
            Self::Failure | Self::NeedsSync | Self::Waits | Self::Reminder | Self::Escalated | Self::Expired => true,
            Self::Recovered => false,
        }
    }
}

/// Renders a notice about a card: two or three lines, no buttons.
pub fn notice(notice: Notice, card: &Card, options: &RenderOptions) -> Rendered {
    let page = match notice {
        Notice::Failure => failure(card),
        Notice::NeedsSync => {
            let page = subject("🔄", card, "pushed; somebody must sync it");
            with_applications(page, card, |app| app.state == Progress::Working)
        }
        Notice::Waits => subject("⚠️", card, "still waits for somebody").line(sections::note(card)),
        Notice::Recovered => subject("✅", card, "recovered: synced and healthy after all"),
        Notice::Expired => subject("⌛", card, "expired: nobody decided in time, nothing was changed"),
        Notice::Reminder => reminder("still waiting for approval", card, options),
        Notice::Escalated => reminder("nobody has decided: others may, too", card, options).line(may_approve(card)),
    };
    rendered(page, Vec::new(), false)
}

/// `7K2M01 · change web/deployment.yaml · words`
fn subject(mark: &str, card: &Card, words: &str) -> Rich {
    let id = card.id.map(|id| id.short()).unwrap_or_default();
    Rich::new()
        .text(mark)
        .text(" ")
        .code(&id)
        .text(" · ")
        .join(files::what(card))
        .text(" · ")
        .bold(words)
}

fn failure(card: &Card) -> Rich {
    let (mark, words) = state(card);
    let page = subject(mark, card, &words).line(sections::note(card));
    with_applications(page, card, |app| matches!(app.state, Progress::Bad | Progress::Unknown))
}

/// The first few applications that are meant.
fn with_applications(page: Rich, card: &Card, meant: impl Fn(&ApplicationLine) -> bool) -> Rich {
    let lines = card.applications.iter().filter(|app| meant(app)).take(5);
    lines.fold(page, |page, app| page.line(sections::application(card, app)))
}

/// Who is called.
fn may_approve(card: &Card) -> Rich {
    let mut names: Vec<&str> = Vec::new();
    for name in card.requirements.iter().flat_map(|need| &need.eligible) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    match names.is_empty() {
        true => Rich::new(),
        false => Rich::new().text(&format!("May approve: {}", cut_units(&one_line(&names.join(", ")), NAMES_MAX))),
    }
}

fn reminder(words: &str, card: &Card, options: &RenderOptions) -> Rich {
    let page = subject("⏰", card, words);
    let missing: Vec<String> = card
        .requirements
        .iter()
        .filter_map(|need| {
            let missing = usize::try_from(need.quorum).unwrap_or(usize::MAX).saturating_sub(need.have.len());
            (missing > 0).then(|| format!("{missing} more of {}", cut_units(&one_line(&need.group), sections::GROUP_MAX)))
        })
        .take(5)
        .collect();
    let mut line = card.expires_at.map_or_else(String::new, |at| {
        let left = remaining(at, options.now);
        let left = if left.is_empty() { left } else { format!(" ({left})") };
        format!("Expires {}{left}", clock(at, options.now, options.time_zone))
    });
    if !missing.is_empty() {
        line.push_str(&format!(" · needs {}", missing.join(", ")));
    }
    page.line(Rich::new().text(&line))
}

/// `/pending` and `/history`: two lines per card, as many as fit. Each is named as its card names it.
pub fn list(heading: &str, cards: &[Card], options: &RenderOptions) -> Rendered {
    let mut page = Rich::new().bold(&cut_units(&one_line(heading), 200));
    for (shown, card) in cards.iter().enumerate() {
        let entry = entry(card, options);
        if page.units() + entry.units() + 40 > TEXT_UNITS_MAX {
            return rendered(
                page.line(Rich::new().text(&format!("… and {} more", cards.len() - shown))),
                Vec::new(),
                false,
            );
        }
        page = page.line(entry);
    }
    rendered(page, Vec::new(), false)
}

/// A proposal in two lines.
pub(super) fn entry(card: &Card, options: &RenderOptions) -> Rich {
    let mut second = Rich::new();
    if let Some(id) = card.id {
        second = second.code(&id.short()).text(" · ");
    }
    second = second.text(&format!(
        "{} · {} · {}",
        card.repository,
        clock(card.created_at, options.now, options.time_zone),
        sections::asking(card)
    ));
    if let Some(at) = card
        .expires_at
        .filter(|_| card.decision == Decision::Pending && card.outcome.is_none())
    {
        second = second.text(&format!(" · expires {}", clock(at, options.now, options.time_zone)));
    }
    if let Some(id) = card.reverted_by {
        second = second.text(" · reverted by ").code(&id.short());
    }
    sections::verdict(card, options).line(second)
}

/// What became of a proposal, in a few words for the answer to a tap or a command: `rejected by bob at 14:02: wrong time`. `at` is when
/// it came to that.
pub fn fate(card: &Card, at: Option<Timestamp>, options: &RenderOptions) -> String {
    let (_, mut words) = state(card);
    if let Some(by) = ended_by(card) {
        words.push_str(&format!(" by {}", cut_units(&one_line(&by.who), 60)));
    }
    if let Some(at) = at {
        words.push_str(&format!(" at {}", clock(at, options.now, options.time_zone)));
    }
    let reason = card.decided.as_ref().and_then(|by| by.reason.as_deref()).or(card.note.as_deref());
    if let Some(reason) = reason.map(one_line).filter(|reason| !reason.is_empty()) {
        words.push_str(&format!(": {}", cut_units(&reason, 90)));
    }
    words
}

/// Something that nobody approved, or that does not fit. Two or three lines, no buttons; it rings.
pub fn alarm(repository: Option<&RepositoryName>, id: Option<ProposalId>, text: &str) -> Rendered {
    let mut page = Rich::new().text("🚨 ").bold("ALARM");
    if let Some(repository) = repository {
        page = page.text(" · ").text(repository.as_str());
    }
    if let Some(id) = id {
        page = page.text(" · ").code(&id.short());
    }
    page = page.line(Rich::new().foreign(&cut_units(&visible(text), ALARM_MAX), false));
    if let Some(id) = id {
        page = page.line(Rich::new().text(&format!("/show {}", id.short())));
    }
    rendered(page, Vec::new(), false)
}

/// Plain words, such as the answer to a command. No markup in, none out.
pub fn message(text: &str) -> Rendered {
    rendered(Rich::new().text(&cut_units(&visible(text), TEXT_UNITS_MAX)), Vec::new(), false)
}
