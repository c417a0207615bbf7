//! Cards as Telegram HTML. Pure: facts in, one message out.

use chrono_tz::Tz;
use domain::Timestamp;

use crate::card::{Card, Document, Rendered};
use crate::codec::Nonce;

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
    /// A newer revision replaced what an approver already approved: rings.
    Revised,
}

/// Renders a card for the state it is in.
pub fn render(card: &Card, options: &RenderOptions) -> Rendered {
    let _ = (card, options);
    Rendered::default()
}

/// Renders a notice about a card.
pub fn notice(notice: Notice, card: &Card, options: &RenderOptions) -> Rendered {
    let _ = (notice, card, options);
    Rendered::default()
}

/// The whole list of paths and the whole diff as a file.
pub fn full_diff(card: &Card) -> Document {
    let _ = card;
    Document {
        file_name: String::new(),
        bytes: Vec::new(),
        caption: String::new(),
    }
}

/// `/pending` and `/history`: one line per card, as many as fit.
pub fn list(heading: &str, cards: &[Card], options: &RenderOptions) -> Rendered {
    let _ = (heading, cards, options);
    Rendered::default()
}

/// Plain words, such as the answer to a command. No markup in, none out.
pub fn message(text: &str) -> Rendered {
    let _ = text;
    Rendered::default()
}
