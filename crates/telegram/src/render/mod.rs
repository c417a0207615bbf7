//! Cards as Telegram HTML. Pure: facts in, one message out.
//!
//! From top to bottom: the verdict line (tier, what, state) and where, which is all a lock screen shows; progress; what the service itself
//! noticed; the paths; our facts in a folded quote; then, clearly below and in a quote of its own, what the agent claims; then the diff.
//! Foreign words never stand outside a quote or a code block, so that they cannot imitate a line of ours.

mod document;
mod files;
mod keyboard;
mod notice;
mod picture;
mod post;
mod rich;
mod sections;
#[cfg(test)]
mod tests;
mod words;

use chrono_tz::Tz;
use domain::Timestamp;

use crate::card::{Card, CardKind, Rendered};
use crate::codec::Nonce;
use crate::text::{TEXT_UNITS_MAX, cut_units, units, visible};
use rich::Rich;

pub use document::full_diff;
pub use notice::{Notice, alarm, fate, list, message, notice};
pub use picture::{PictureError, Square, picture};
pub use post::{DIGEST_RUNS_MAX, digest, offer, order};

/// What rendering needs besides the card.
#[derive(Debug, Clone, Copy)]
pub struct RenderOptions {
    /// Times are shown in this zone.
    pub time_zone: Tz,
    /// For "in 45 min".
    pub now: Timestamp,
    /// What this message's buttons carry; without one only links and copy buttons are drawn.
    pub nonce: Option<Nonce>,
}

/// Longest diff on a card people decide on, in UTF-16 units.
const DIFF_MAX: usize = 2500;
/// Longest diff on a note that needs no decision.
const NOTE_DIFF_MAX: usize = 600;
/// Longest beginning of a diff whose whole is in the document.
const EXCERPT_MAX: usize = 1200;
/// Longest list of paths on a card.
const LISTING_MAX: usize = 1500;
/// The same on a note that only tells.
const NOTE_LISTING_MAX: usize = 600;
/// Longest claim of the agent.
const CLAIM_MAX: usize = 700;
/// Kept free for the sentences between the parts.
const SLACK: usize = 160;

/// Renders a card for the state it is in. The same card, options and time always give the same bytes.
pub fn render(card: &Card, options: &RenderOptions) -> Rendered {
    let head = sections::head(card, options);
    if card.superseded.is_some() {
        return finish(head, card, options, false);
    }
    if sections::is_brief(card) {
        let (listing, _) = files::listing(&card.files, NOTE_LISTING_MAX);
        let facts = sections::facts(card, options, sections::details(card, options).line(listing));
        return finish(head.line(facts).line(sections::claim(card, CLAIM_MAX)), card, options, false);
    }
    let head = head.line(sections::details(card, options));
    let facts = sections::facts(card, options, Rich::new());
    let commands = sections::commands(card);
    let left = TEXT_UNITS_MAX.saturating_sub(head.units() + facts.units() + commands.units() + SLACK);
    let claim = sections::claim(card, (left / 3).min(CLAIM_MAX));
    let left = left.saturating_sub(claim.units());
    let (listing, all_paths) = files::listing(&card.files, left.min(LISTING_MAX));
    let left = left.saturating_sub(listing.units());
    let (diff, whole_diff) = diff_part(card, left);
    let complete = all_paths && whole_diff;

    let page = head.line(listing).line(commands).line(facts).line(claim).line(diff);
    let mut rendered = finish(page, card, options, complete);
    let wanted = match card.kind {
        CardKind::Approval => !complete,
        // Without a pull request the patch is what a human applies.
        CardKind::ManualNote => !complete || card.pull_request_url.is_none(),
        CardKind::StandardNote | CardKind::ObservedNote => false,
    };
    rendered.document = (wanted && !card.diff.is_empty()).then(|| full_diff(card));
    rendered
}

/// The diff, or its first hunks and where the rest is. The flag says whether everything stands there.
fn diff_part(card: &Card, left: usize) -> (Rich, bool) {
    let diff = files::readable(&card.diff);
    let max = match card.kind {
        CardKind::Approval | CardKind::ManualNote => DIFF_MAX,
        CardKind::StandardNote | CardKind::ObservedNote => NOTE_DIFF_MAX,
    };
    if units(&diff) <= max.min(left) {
        return (Rich::new().pre(&diff, Some("diff")), true);
    }
    let rest = match card.kind {
        CardKind::Approval => "in the document below",
        CardKind::ManualNote if card.pull_request_url.is_some() => "in the pull request",
        CardKind::ManualNote => "in the patch below",
        CardKind::StandardNote | CardKind::ObservedNote => "behind the button Full diff",
    };
    let shown = files::whole_hunks(&diff, EXCERPT_MAX.min(left));
    let sentence = if shown.is_empty() {
        format!("The diff is {rest}.")
    } else {
        format!("Only the beginning of the diff; the whole is {rest}.")
    };
    (Rich::new().text(&sentence).line(Rich::new().pre(shown, Some("diff"))), false)
}

fn finish(page: Rich, card: &Card, options: &RenderOptions, complete: bool) -> Rendered {
    debug_assert!(page.units() <= TEXT_UNITS_MAX, "a card of {} units", page.units());
    let keyboard = keyboard::keyboard(card, options, complete);
    rendered(page, keyboard, complete)
}

fn rendered(page: Rich, keyboard: Vec<Vec<crate::Button>>, complete: bool) -> Rendered {
    let (html, plain) = page.into_parts();
    Rendered {
        html,
        plain: cut_units(&plain, TEXT_UNITS_MAX),
        keyboard,
        document: None,
        complete,
    }
}

/// Foreign text of several lines: unseen characters visible, no runs of empty lines.
fn paragraph(text: &str) -> String {
    let mut out = String::new();
    let mut empty = 0;
    for line in visible(&text.trim().replace("\r\n", "\n")).lines() {
        empty = if line.trim().is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out.trim_end().to_owned()
}
