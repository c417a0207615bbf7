//! Buttons on messages that are no proposal's card: digests of runs that asked nobody, and what tells of a stop or a lock.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{Decision, Outcome, ProposalId, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, LabOptions, MALLORY, PATIENCE, POLICY};
use engine::orders::{self, Orderer};
use serde_json::json;
use simulators::telegram::{ButtonAction, Fault, Message, Tap};

/// Somebody presses a button of a message; what they see.
async fn press(lab: &Lab, user: i64, message: &Message, button: &str) -> Result<String> {
    let message = &lab.telegram.message(CHAT, message.id).context("no message")?;
    let label = message.buttons().map(|b| b.text.clone()).find(|text| text.contains(button));
    let label = label.with_context(|| format!("no {button}: {message:#?}"))?;
    Ok(lab
        .telegram
        .tap_within(user, CHAT, message.id, &label, PATIENCE)
        .await
        .text()
        .to_owned())
}

/// A message as soon as it was edited to this.
async fn becomes(lab: &Lab, message: &Message, wished: impl Fn(&Message) -> bool) -> Result<Message> {
    let found = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let mut messages = state.messages(CHAT).iter();
            messages.find(|now| now.id == message.id && wished(now)).cloned()
        })
        .await;
    found.with_context(|| format!("never: {:#?}", lab.telegram.message(CHAT, message.id)))
}

/// A lab whose chat hears of runs together, and so many runs that ended well.
async fn told_later(count: u32) -> Result<(Lab, Vec<ProposalId>, Message)> {
    let evening = (chrono::Utc::now() + chrono::Duration::hours(3)).time();
    let lab = Lab::with(LabOptions {
        when: engine::When {
            digest: Some(evening),
            quiet: None,
        },
        ..LabOptions::default()
    })
    .await?;
    let mut runs = Vec::new();
    for replicas in 3..3 + count {
        let run = lab.run("scale", json!({ "app": "web", "replicas": replicas })).await?;
        ensure!(lab.ended(run).await?.tier() == Tier::Standard);
        runs.push(run);
    }
    lab.advance(Duration::from_secs(3 * 3600 + 60));
    let digest = lab.said(CHAT, 0, &["asked nobody"]).await?;
    Ok((lab, runs, digest))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_of_a_digest_can_be_looked_at_reverted_and_demoted() -> Result<()> {
    let (lab, runs, digest) = told_later(2).await?;
    ensure!(digest.text.starts_with("2 runs that asked nobody"), "{}", digest.text);
    let labels: Vec<Vec<&str>> = digest
        .keyboard
        .iter()
        .map(|row| row.iter().map(|button| button.text.as_str()).collect())
        .collect();
    assert_eq!(labels, [["1 Diff", "1 Revert", "1 Demote"], ["2 Diff", "2 Revert", "2 Demote"]]);

    // A stranger, and somebody of the policy without the right, change nothing.
    assert_eq!(
        press(&lab, MALLORY, &digest, "2 Revert").await?,
        "you are not among the people of this policy; /whoami tells your id"
    );
    assert_eq!(
        press(&lab, CAROL, &digest, "2 Revert").await?,
        "you are not among the approvers of this change"
    );
    assert_eq!(
        press(&lab, CAROL, &digest, "2 Demote").await?,
        "you are not among the approvers of this change"
    );
    let refused = lab.whole_audit().await?;
    assert_eq!(
        refused.iter().filter(|(event, _)| event == "refused_tap").count(),
        3,
        "{refused:#?}"
    );

    assert_eq!(press(&lab, BOB, &digest, "2 Diff").await?, "the diff is below the digest");
    let document = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let mut messages = state.messages(CHAT).iter();
            messages.find(|message| message.document.is_some()).cloned()
        })
        .await
        .context("no diff")?;
    let diff = document.document.context("a document")?.bytes;
    ensure!(String::from_utf8_lossy(&diff).contains("+  replicas: 4"), "the second run's");

    let said = press(&lab, ALICE, &digest, "1 Demote").await?;
    ensure!(said.contains("asks people from now on: alice took standard away"), "{said}");
    let run = lab.run("scale", json!({ "app": "web", "replicas": 9 })).await?;
    assert_eq!(lab.proposal(run).await?.tier(), Tier::Prompted);
    lab.tap(ALICE, run, "Reject").await?;
    lab.ended(run).await?;

    // A revert has a card of its own, where people decide.
    let said = press(&lab, ALICE, &digest, "2 Revert").await?;
    ensure!(said.contains("is prepared: see its card"), "{said}");
    let again = press(&lab, BOB, &digest, "2 Revert").await?;
    ensure!(again.contains("waits already"), "{again}");
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all
        .iter()
        .find(|proposal| matches!(proposal.origin, domain::Origin::Revert { of, .. } if of == runs[1]))
        .context("no revert")?
        .id;
    lab.tap(BOB, revert, "Approve").await?;
    assert_eq!(lab.ended(revert).await?.outcome, Some(Outcome::Synced));
    // The digest says so, and a button of the old one answers as a card's would.
    let words = format!("reverted by {}", revert.short());
    let edited = becomes(&lab, &digest, |now| now.text.contains(&words)).await?;
    ensure!(
        edited.text.starts_with("2 runs that asked nobody") && !edited.keyboard_text().contains("2 Revert"),
        "{edited:#?}"
    );
    let old = digest.buttons().find(|button| button.text == "2 Revert").context("was there")?;
    let ButtonAction::Callback(data) = &old.action else {
        anyhow::bail!("{old:?}");
    };
    let late = lab.send(Tap::new(ALICE, CHAT, digest.id, data)).await;
    ensure!(late.text().contains("reverted"), "{late:?}");

    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_a_digest_names_none_of_its_runs() -> Result<()> {
    let (lab, runs, digest) = told_later(1).await?;
    let written = lab.telegram.send_text(ALICE, CHAT, "/revert", Some(digest.id));
    lab.said(CHAT, written, &["Which one?"]).await?;
    // Whatever a modified app sends: another run than there are, a button moved elsewhere, the verb of another message.
    let button = digest.buttons().next().context("no button")?;
    let ButtonAction::Callback(data) = &button.action else {
        anyhow::bail!("{button:?}");
    };
    for (message, bent, refusal) in [
        (digest.id, data.replace("diff0", "diff7"), "this digest tells of no such run"),
        (digest.id, data.replace("diff0", "approve"), "this button is of another message"),
        (digest.id, data.replace("diff0", "resume"), "this button is of another message"),
        (written, data.clone(), "this button was moved from another message"),
    ] {
        let seen = lab.send(Tap::new(ALICE, CHAT, message, &bent)).await;
        assert_eq!(seen.text(), refusal, "{bent}");
    }
    assert_eq!(lab.proposal(runs[0]).await?.reverted_by, None);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_end_a_stop_with_its_button() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose(
            "Two blogs",
            &[("kubernetes/applications/blog/values.yaml", Some("replicaCount: 2\n"))],
        )
        .await?;
    lab.command(CAROL, CHAT, "/stop because the disk is full", &["Stop 1 stands: all"])
        .await?;
    let told = lab.said(CHAT, 0, &["⛔ carol stopped all: the disk is full"]).await?;
    ensure!(!told.silent && told.keyboard_text().contains("Resume"), "{told:#?}");
    lab.tap(ALICE, id, "Approve").await?;

    assert_eq!(
        press(&lab, MALLORY, &told, "Resume").await?,
        "you are not among the people of this policy; /whoami tells your id"
    );
    let refused = press(&lab, CAROL, &told, "Resume").await?;
    ensure!(refused.starts_with("Only members of a group"), "{refused}");
    for _ in 0..2 {
        let noted = press(&lab, ALICE, &told, "Resume").await?;
        ensure!(noted.contains("1 more must write /resume 1 or tap the button"), "{noted}");
        becomes(&lab, &told, |now| now.keyboard_text().contains("Resume (1 of 2)")).await?;
    }
    let now = lab.telegram.message(CHAT, told.id).context("told")?;
    ensure!(now.text.contains("1 of 2 to end it: alice"), "{}", now.text);
    // A wish of an hour ago is none of now, and the message says so.
    lab.advance(Duration::from_secs(3700));
    becomes(&lab, &told, |now| !now.keyboard_text().contains("1 of 2")).await?;
    press(&lab, BOB, &told, "Resume").await?;
    // A command and the button are the same wish.
    lab.command(BOB, CHAT, "/resume 1", &["1 more must write"]).await?;
    let over = press(&lab, ALICE, &told, "Resume").await?;
    ensure!(over.starts_with("Stop 1 (all) is over"), "{over}");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    let ended = becomes(&lab, &told, |now| now.text.contains("Over since")).await?;
    ensure!(ended.text.contains("by bob and alice") && ended.keyboard.is_empty(), "{ended:#?}");
    lab.said(CHAT, told.id, &["stop 1 (all) is over: alice was the second"]).await?;

    // The button of the old message is dead: it ends no later stop.
    lab.command(CAROL, CHAT, "/stop", &["Stop 2 stands"]).await?;
    let ButtonAction::Callback(data) = &told.buttons().next().context("a button")?.action else {
        anyhow::bail!("{told:?}");
    };
    let late = lab.send(Tap::new(BOB, CHAT, told.id, data)).await;
    assert_eq!(late.text(), "That is over already.");
    assert_eq!(lab.engine.store().read().standing_stops().await?.len(), 1);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_others_give_somebody_their_rights_back_with_the_button() -> Result<()> {
    // Carol approves, too: there must be two besides alice.
    let lab = Lab::with(LabOptions {
        policy: POLICY.replacen("[\"alice\", \"bob\"]", "[\"alice\", \"bob\", \"carol\"]", 1),
        hold_seconds: 600,
        ..LabOptions::default()
    })
    .await?;
    let id = lab
        .propose(
            "Two blogs",
            &[("kubernetes/applications/blog/values.yaml", Some("replicaCount: 2\n"))],
        )
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.command(ALICE, CHAT, "/lockme", &["You are locked"]).await?;
    lab.until(id, "asked again", |p| p.decision == Decision::Pending).await?;
    let told = lab.said(CHAT, 0, &["🔒 alice gave up all rights"]).await?;
    let own = press(&lab, ALICE, &told, "Unlock").await?;
    ensure!(own.starts_with("Only others"), "{own}");
    let one = press(&lab, BOB, &told, "Unlock").await?;
    ensure!(one.contains("1 more"), "{one}");
    becomes(&lab, &told, |now| now.keyboard_text().contains("Unlock (1 of 2)")).await?;
    let two = press(&lab, CAROL, &told, "Unlock").await?;
    ensure!(two.starts_with("alice has all rights again"), "{two}");
    let ended = becomes(&lab, &told, |now| now.keyboard.is_empty()).await?;
    ensure!(ended.text.contains("by bob and carol"), "{}", ended.text);
    let complete = lab.tap(ALICE, id, "Approve").await?;
    ensure!(complete.text().contains("complete"), "{complete:?}");
    lab.invariants().await
}

/// The hour of a wish ends while the edit that shows it is under way: the message is edited once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_ends_while_it_is_being_shown_is_taken_back() -> Result<()> {
    let lab = Lab::start().await?;
    lab.command(CAROL, CHAT, "/stop because the disk is full", &["Stop 1 stands: all"])
        .await?;
    let told = lab.said(CHAT, 0, &["⛔ carol stopped all: the disk is full"]).await?;
    let edits = lab.telegram.calls(Some("editMessageText")).len();
    lab.telegram.fail_next_in(CHAT, "editMessageText", Fault::Hang(None), 1);
    press(&lab, ALICE, &told, "Resume").await?;
    lab.telegram
        .wait_for(PATIENCE, |state| {
            (state.calls(Some("editMessageText")).count() > edits).then_some(())
        })
        .await
        .context("no edit")?;
    lab.advance(Duration::from_secs(3700));
    lab.telegram.release();
    // The edit that hung may have been given up, and then nothing is left to be edited: a further one is asked for in any case.
    lab.telegram
        .wait_for(PATIENCE, |state| {
            (state.calls(Some("editMessageText")).count() > edits + 1).then_some(())
        })
        .await
        .context("nobody looked again")?;
    becomes(&lab, &told, |now| !now.keyboard_text().contains("1 of 2")).await?;
    lab.invariants().await
}

/// Telegram took the message and its answer was lost: a tap tells which message it is, and it is edited from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_tap_on_what_was_sent_without_an_answer_counts() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.fail_next_in(CHAT, "sendMessage", Fault::LoseAnswer, 1);
    let request = "because the disk is full".parse()?;
    orders::stop(lab.engine.store(), Orderer::operator(), request, lab.engine.now()).await?;
    let told = lab.said(CHAT, 0, &["⛔ the operator stopped all: the disk is full"]).await?;
    let noted = press(&lab, ALICE, &told, "Resume").await?;
    ensure!(noted.contains("1 more"), "{noted}");
    becomes(&lab, &told, |now| now.keyboard_text().contains("Resume (1 of 2)")).await?;
    press(&lab, BOB, &told, "Resume (1 of 2)").await?;
    becomes(&lab, &told, |now| now.text.contains("Over since")).await?;
    let copies = lab.telegram.messages(CHAT);
    assert_eq!(
        copies
            .iter()
            .filter(|message| message.text.contains("the operator stopped all"))
            .count(),
        1
    );
    lab.invariants().await
}
