//! Messages with buttons that are no proposal's card: what tells of a stop or a lock, and digests of runs that asked nobody.

use domain::{RESUME_PEOPLE, counted};

use super::keyboard::{COPY_MAX, press};
use super::notice::entry;
use super::rich::Rich;
use super::words::clock;
use super::{RenderOptions, rendered};
use crate::card::{Button, Card, OrderPost, Press, Rendered, Style};
use crate::codec::Action;
use crate::text::{TEXT_UNITS_MAX, cut_units, one_line, units, visible};

/// Runs in one digest: as many as a phone shows without much scrolling, a row of buttons each. Telegram takes 100 buttons.
pub const DIGEST_RUNS_MAX: usize = 10;
/// Longest words around the lines of an offer.
const WORDS_MAX: usize = 1000;
/// Longest first line of a stop: a reason may be long.
const WHAT_MAX: usize = 500;

/// Runs that asked nobody, told together: numbered, each with a row of the buttons that its own note would have. `later` more follow in
/// messages of their own. Answers also how many of `cards` stand there.
pub fn digest(cards: &[Card], later: usize, options: &RenderOptions) -> (Rendered, usize) {
    let mut heading = counted(cards.len(), "run that asked nobody", "runs that asked nobody");
    if later > 0 {
        heading.push_str(&format!(" · {later} more below"));
    }
    let mut page = Rich::new().bold(&heading);
    let mut keyboard = Vec::new();
    for (index, card) in (0u8..).zip(cards.iter().take(DIGEST_RUNS_MAX)) {
        let number = usize::from(index) + 1;
        let entry = Rich::new().text(&format!("{number}. ")).join(entry(card, options));
        if page.units() + entry.units() + 60 > TEXT_UNITS_MAX {
            break;
        }
        page = page.line(entry);
        keyboard.push(run_row(card, index, options));
    }
    let shown = keyboard.len();
    if shown < cards.len() {
        let missing = cards.len() - shown;
        page = page.line(Rich::new().text(&format!("… and {missing} more: /history, then /show ID")));
    }
    keyboard.retain(|row| !row.is_empty());
    (rendered(page, keyboard, false), shown)
}

fn run_row(card: &Card, index: u8, options: &RenderOptions) -> Vec<Button> {
    let number = usize::from(index) + 1;
    let pairs = [
        (Action::FullDiff, Action::DiffOf(index), "Diff"),
        (Action::Revert, Action::RevertOf(index), "Revert"),
        (Action::Demote, Action::DemoteOf(index), "Demote"),
    ];
    let allowed = pairs.into_iter().filter(|(on_note, ..)| card.buttons.contains(on_note));
    allowed
        .flat_map(|(_, action, label)| press(action, &format!("{number} {label}"), options))
        .collect()
}

/// Lines to paste somewhere: what they are for, the lines themselves exactly as they are, ready to be copied, and what else can be done.
pub fn offer(text: &str, lines: &str, after: &str) -> Rendered {
    let words = |text: &str| cut_units(&visible(text), WORDS_MAX);
    let page = Rich::new()
        .text(&words(text))
        .text("\n\n")
        .pre(lines.trim_end(), None)
        .text("\n\n")
        .text(&words(after));
    let copy = Button {
        label: "📋 Copy the lines".into(),
        press: Press::Copy(lines.trim_end().to_owned()),
        style: Style::Plain,
    };
    let fits = units(lines.trim_end()) <= COPY_MAX;
    rendered(page, if fits { vec![vec![copy]] } else { Vec::new() }, false)
}

/// A stop or a lock: the button ends it, and says how many want that.
pub fn order(post: &OrderPost, options: &RenderOptions) -> Rendered {
    let what = cut_units(&one_line(&visible(&post.what)), WHAT_MAX);
    let names: Vec<String> = post.wished.iter().map(|name| cut_units(&one_line(name), 60)).collect();
    if let Some(at) = post.over {
        let at = clock(at, options.now, options.time_zone);
        let by = if names.is_empty() {
            String::new()
        } else {
            format!(", by {}", names.join(" and "))
        };
        let page = Rich::new()
            .text("▶️ ")
            .bold(&format!("Over since {at}{by}"))
            .line(Rich::new().foreign(&what, false));
        return rendered(page, Vec::new(), false);
    }
    let (mark, verb) = match post.ends {
        Action::Unlock => ("🔒", "Unlock"),
        _ => ("⛔", "Resume"),
    };
    let count = format!("{} of {RESUME_PEOPLE}", names.len());
    let (asks, label) = if names.is_empty() {
        let people = if post.ends == Action::Unlock { "Two others" } else { "Two people" };
        let here = format!("{people} end it: {verb}, or {}.", post.command);
        (post.helped.clone().unwrap_or(here), format!("▶️ {verb}"))
    } else {
        let asks = format!(
            "{count} to end it: {}. One more within the hour: {verb}, or {}.",
            names.join(", "),
            post.command
        );
        (asks, format!("▶️ {verb} ({count})"))
    };
    let page = Rich::new()
        .text(mark)
        .text(" ")
        .foreign(&what, true)
        .line(Rich::new().text(&post.means))
        .line(Rich::new().text(&asks));
    let row = press(post.ends, &label, options);
    rendered(page, if row.is_empty() { Vec::new() } else { vec![row] }, false)
}
