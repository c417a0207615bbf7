//! Digests and what tells of stops and locks, as people see them.

use domain::{Outcome, Tier};

use super::super::{DIGEST_RUNS_MAX, digest, order};
use super::{at, delivered, id, markup, options};
use crate::card::{Card, CardKind, OrderPost, Press, Rendered};
use crate::codec::{Action, decode};

fn run(last: u128, buttons: &[Action]) -> Card {
    Card {
        kind: CardKind::StandardNote,
        id: Some(id(last)),
        tier: Tier::Standard,
        outcome: Some(Outcome::Synced),
        runbook: Some("scale (app=web)".into()),
        buttons: buttons.to_vec(),
        ..delivered(domain::Delivery::Ended)
    }
}

const ALL: [Action; 4] = [Action::FullDiff, Action::Revert, Action::Demote, Action::CopySha];

/// The message, and below it a line per row of buttons with what each carries.
fn shown(message: &Rendered) -> String {
    markup::check(message).expect("good markup");
    let rows = message.keyboard.iter().map(|row| {
        let buttons = row.iter().map(|button| match &button.press {
            Press::Data(data) => format!("[{} = {:?}]", button.label, decode(data).expect("ours").0),
            other => format!("[{} = {other:?}]", button.label),
        });
        buttons.collect::<Vec<_>>().join(" ")
    });
    let lines: Vec<_> = std::iter::once(message.html.clone()).chain(rows).collect();
    lines.join("\n")
}

#[test]
fn a_digest_has_a_row_of_buttons_for_each_run() {
    let reverted = Card {
        reverted_by: Some(id(0xcd)),
        ..run(0xad, &[])
    };
    let cards = [run(0xab, &ALL), run(0xac, &[Action::FullDiff]), reverted, run(0xae, &ALL)];
    let (message, fits) = digest(&cards, 2, &options());
    assert_eq!(fits, 4);
    insta::assert_snapshot!("digest", shown(&message));
}

#[test]
fn a_digest_stays_within_what_a_message_takes() {
    let mut long = run(0xab, &ALL);
    if let Some(explained) = &mut long.explained {
        explained.verb = "\u{1F980}".repeat(4000);
    }
    let (message, fits) = digest(&vec![long; 40], 0, &options());
    assert!((1..=DIGEST_RUNS_MAX).contains(&fits), "{fits}");
    markup::check(&message).expect("good markup");
    assert!(
        message.html.contains(&format!("… and {} more: /history, then /show ID", 40 - fits)),
        "{}",
        message.html
    );
    assert_eq!(message.keyboard.len(), fits);
    assert!(message.keyboard.iter().flatten().count() <= 100);
}

#[test]
fn a_stop_and_a_lock_say_who_wants_them_to_end() {
    let stop = OrderPost {
        what: "carol stopped path kubernetes/**: <look> /cancel".into(),
        means: "Nothing that it covers is sent; approvals are kept.".into(),
        ends: Action::Resume,
        command: "/resume 3".into(),
        helped: None,
        wished: Vec::new(),
        over: None,
    };
    let lock = OrderPost {
        what: "alice gave up all rights".into(),
        means: "What they approve does not count, nor what they approved and is not sent yet.".into(),
        ends: Action::Unlock,
        command: "/unlock alice".into(),
        ..stop.clone()
    };
    let wished = |post: &OrderPost, names: &[&str]| OrderPost {
        wished: names.iter().map(|name| (*name).to_owned()).collect(),
        ..post.clone()
    };
    let over = |post: &OrderPost| OrderPost {
        over: Some(at("2026-11-22T12:50:00Z")),
        ..post.clone()
    };
    let both = ["alice", "bob"];
    let posts = [
        stop.clone(),
        wished(&stop, &["alice"]),
        over(&wished(&stop, &both)),
        lock.clone(),
        wished(&lock, &["bob"]),
        over(&wished(&lock, &["bob", "the operator"])),
    ];
    let messages: Vec<_> = posts.iter().map(|post| shown(&order(post, &options()))).collect();
    insta::assert_snapshot!("orders", messages.join("\n\n"));
}
