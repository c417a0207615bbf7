//! Short messages beside the cards: the ones that ring, lists, and plain answers.

use domain::Decision;

use super::rich::Rich;
use super::words::{clock, progress, remaining, state};
use super::{RenderOptions, files, rendered, sections};
use crate::card::{Card, Progress, Rendered};
use crate::text::{TEXT_UNITS_MAX, cut_units, one_line, visible};

/// A short message of its own beside a card. It replies to the card, and it is the one that makes a phone ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The end is a failure, or a human is needed (push blocked): rings.
    Failure,
    /// Still pending, expires soon: rings once.
    Reminder,
    /// Nobody decided in time: rings once.
    Expired,
    /// A failed end healed later: silent.
    Recovered,
    /// A newer revision replaced what somebody already approved: rings.
    Revised,
}

impl Notice {
    /// Whether phones should ring.
    pub const fn rings(self) -> bool {
        match self {
            Self::Failure | Self::Reminder | Self::Expired | Self::Revised => true,
            Self::Recovered => false,
        }
    }
}

/// Renders a notice about a card: two or three lines, no buttons.
pub fn notice(notice: Notice, card: &Card, options: &RenderOptions) -> Rendered {
    let page = match notice {
        Notice::Failure => failure(card),
        Notice::Recovered => subject("✅", card, "recovered: synced and healthy after all"),
        Notice::Expired => subject("⌛", card, "expired: nobody decided in time, nothing was changed"),
        Notice::Revised => subject(
            "🟡",
            card,
            &format!("revision {}: the content changed, earlier approvals are void", card.revision),
        ),
        Notice::Reminder => reminder(card, options),
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
    let mut page = subject(mark, card, &words);
    for app in card
        .applications
        .iter()
        .filter(|app| matches!(app.state, Progress::Bad | Progress::Unknown))
        .take(5)
    {
        let headline = cut_units(&one_line(&app.headline), 160);
        page = page.line(
            Rich::new()
                .text(&format!("{} {}: ", progress(app.state), cut_units(&one_line(&app.name), 60)))
                .code(&headline),
        );
    }
    match card.note.as_deref().map(one_line) {
        Some(note) if !note.is_empty() => page.line(Rich::new().text("Why: ").code(&cut_units(&note, 300))),
        _ => page,
    }
}

fn reminder(card: &Card, options: &RenderOptions) -> Rich {
    let page = subject("⏰", card, "still waiting for approval");
    let missing: Vec<String> = card
        .requirements
        .iter()
        .filter_map(|need| {
            let missing = usize::try_from(need.quorum).unwrap_or(usize::MAX).saturating_sub(need.have.len());
            (missing > 0).then(|| format!("{missing} more of {}", cut_units(&one_line(&need.group), 60)))
        })
        .take(5)
        .collect();
    let mut line = card.expires_at.map_or_else(String::new, |at| {
        format!(
            "Expires {} {}",
            clock(at, options.now, options.time_zone),
            remaining(at, options.now)
        )
        .trim_end()
        .to_owned()
    });
    if !missing.is_empty() {
        line.push_str(&format!(" · needs {}", missing.join(", ")));
    }
    page.line(Rich::new().text(&line))
}

/// `/pending` and `/history`: two lines per card, as many as fit.
pub fn list(heading: &str, cards: &[Card], options: &RenderOptions) -> Rendered {
    let mut page = Rich::new().bold(&cut_units(&one_line(heading), 200));
    for (shown, card) in cards.iter().enumerate() {
        let mut second = Rich::new().text(&format!(
            "{} · agent {}",
            clock(card.created_at, options.now, options.time_zone),
            card.agent
        ));
        if let Some(at) = card
            .expires_at
            .filter(|_| card.decision == Decision::Pending && card.outcome.is_none())
        {
            second = second.text(&format!(" · expires {}", clock(at, options.now, options.time_zone)));
        }
        if let Some(id) = card.id {
            second = second.text(" · ").code(&id.to_string());
        }
        let entry = sections::verdict(card).line(second);
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

/// Plain words, such as the answer to a command. No markup in, none out.
pub fn message(text: &str) -> Rendered {
    rendered(Rich::new().text(&cut_units(&visible(text), TEXT_UNITS_MAX)), Vec::new(), false)
}
