//! Which buttons stand where, and in which colour.

use domain::ChangeKind;

use super::RenderOptions;
use super::rich::web_address;
use crate::card::{Button, Card, Press, Style};
use crate::codec::{Action, encode};
use crate::text::{cut_units, one_line, units};

/// Longest text a copy button may carry.
pub(super) const COPY_MAX: usize = 256;
/// Longest label: more is cut by the apps themselves.
const LABEL_MAX: usize = 36;

/// The rows. While a second step is open its two answers stand in Approve's place; everything else stays, so that nobody else's hands are
/// tied by it.
pub(super) fn keyboard(card: &Card, options: &RenderOptions, complete: bool) -> Vec<Vec<Button>> {
    let mut rows: Vec<Vec<Button>> = Vec::new();
    if let Some(step) = &card.confirm {
        rows.push(press(Action::Confirm, &confirm_label(card, step.action), options));
        rows.push(press(Action::Back, "Back", options));
    }
    rows.extend(decision_rows(card, options, complete));
    let chips = card
        .chips
        .iter()
        .zip(0u8..)
        .filter(|_| allowed_chips(card))
        .flat_map(|(chip, i)| press(Action::Chip(i), &one_line(chip), options));
    rows.extend(pairs(chips.collect()));
    let secondary = [
        Action::FullDiff,
        Action::Cancel,
        Action::SendAnyway,
        Action::Retry,
        Action::Revert,
        Action::Demote,
        Action::Dismiss,
    ];
    rows.extend(pairs(
        secondary
            .into_iter()
            .filter(|a| card.buttons.contains(a) && card.confirm.as_ref().is_none_or(|step| step.action != *a))
            .flat_map(|a| press(a, label(a), options))
            .collect(),
    ));
    for action in &card.buttons {
        if let Action::Sync(index) = action
            && let Some(application) = card.applications.get(usize::from(*index))
        {
            rows.push(press(*action, &format!("🔄 Sync {}", one_line(&application.name)), options));
        }
    }
    rows.push(local_buttons(card));
    rows.retain(|row| !row.is_empty());
    rows
}

/// Approve and Reject: side by side for an ordinary change, below each other where a slip of the finger is worse.
fn decision_rows(card: &Card, options: &RenderOptions, complete: bool) -> Vec<Vec<Button>> {
    let both: Vec<Button> = [Action::Approve, Action::Reject]
        .into_iter()
        .filter(|action| card.buttons.contains(action) && card.confirm.as_ref().is_none_or(|step| step.action != *action))
        .flat_map(|action| press(action, label(action), options))
        .collect();
    let grave = !complete || card.files.iter().any(|file| file.kind == ChangeKind::Deleted);
    if grave {
        both.into_iter().map(|button| vec![button]).collect()
    } else {
        vec![both]
    }
}

fn allowed_chips(card: &Card) -> bool {
    card.decision == domain::Decision::Rejected
}

/// Buttons that work inside the app, without us.
fn local_buttons(card: &Card) -> Vec<Button> {
    let mut row = Vec::new();
    if let Some(url) = card.pull_request_url.as_deref().and_then(web_address) {
        row.push(Button {
            label: "Open pull request".into(),
            press: Press::Url(url),
            style: Style::Plain,
        });
    }
    if card.buttons.contains(&Action::CopySha)
        && let Some(commit) = &card.commit
    {
        row.push(Button {
            label: "Copy commit id".into(),
            press: Press::Copy(commit.id.to_string()),
            style: Style::Plain,
        });
    }
    let commands = card.commands.join("\n");
    if card.buttons.contains(&Action::CopyCommands) && !commands.is_empty() && units(&commands) <= COPY_MAX {
        row.push(Button {
            label: "Copy commands".into(),
            press: Press::Copy(commands),
            style: Style::Plain,
        });
    }
    row
}

/// One button, or none without a nonce.
pub(super) fn press(action: Action, label: &str, options: &RenderOptions) -> Vec<Button> {
    let style = match action {
        Action::Approve => Style::Success,
        Action::Reject | Action::Confirm => Style::Danger,
        _ => Style::Plain,
    };
    let button = |nonce| Button {
        label: cut_units(label, LABEL_MAX),
        press: Press::Data(encode(action, &nonce)),
        style,
    };
    options.nonce.map(button).into_iter().collect()
}

fn pairs(buttons: Vec<Button>) -> Vec<Vec<Button>> {
    buttons.chunks(2).map(<[Button]>::to_vec).collect()
}

const fn label(action: Action) -> &'static str {
    match action {
        Action::Approve => "✅ Approve",
        Action::Reject => "❌ Reject",
        Action::FullDiff => "📄 Full diff",
        Action::Cancel => "🛑 Cancel",
        Action::SendAnyway => "❄️ Send anyway",
        Action::Retry => "🔁 Retry push",
        Action::Revert => "↩️ Revert",
        Action::Demote => "⬇️ Demote",
        Action::DiffOf(_) => "Diff",
        Action::RevertOf(_) => "Revert",
        Action::DemoteOf(_) => "Demote",
        Action::Resume => "▶️ Resume",
        Action::Unlock => "▶️ Unlock",
        Action::Sync(_) => "🔄 Sync",
        Action::Confirm => "Yes",
        Action::Back => "Back",
        Action::Chip(_) => "Reason",
        Action::Dismiss => "Put aside",
        Action::CopySha => "Copy commit id",
        Action::CopyCommands => "Copy commands",
    }
}

fn confirm_label(card: &Card, action: Action) -> String {
    let name = card.id.map(|id| id.short()).unwrap_or_default();
    let verb = match action {
        Action::Approve => "approve",
        Action::Reject => "reject",
        Action::Cancel => "cancel",
        Action::SendAnyway => "send anyway",
        Action::Retry => "retry",
        Action::Revert => "revert",
        Action::Demote => "demote",
        Action::Sync(_) => "sync",
        Action::Dismiss => "put aside",
        Action::FullDiff
        | Action::Confirm
        | Action::Back
        | Action::Chip(_)
        | Action::CopySha
        | Action::CopyCommands
        | Action::DiffOf(_)
        | Action::RevertOf(_)
        | Action::DemoteOf(_)
        | Action::Resume
        | Action::Unlock => "confirm",
    };
    format!("‼️ Yes, {verb} {name}").trim_end().to_owned()
}
