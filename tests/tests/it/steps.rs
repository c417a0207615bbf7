//! The second step before something grave.

use std::time::Duration;

use anyhow::{Result, ensure};
use domain::{Decision, Outcome};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, PATIENCE};
use simulators::telegram::{Tap, Tapper};

use super::taps::{VALUES, refused};

const DROPPED: [(&str, Option<&str>); 1] = [("kubernetes/applications/web/service.yaml", None)];
const ASKED: &str = "Something is deleted. Look again, then tap Yes.";

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_file_takes_a_second_step_of_ones_own() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the service", &DROPPED).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), ASKED);
    let card = lab.card(id, "Back").await?;
    assert!(
        card.text.contains("deletes kubernetes/applications/web/service.yaml") && card.text.contains("Asked of alice until"),
        "{}",
        card.text
    );
    // Bob has been asked nothing yet: his first Yes opens a step of his own.
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), ASKED);
    lab.said(CHAT, 0, &[&id.short(), "Asked of alice, bob until"]).await?;
    let back = lab.forged(ALICE, id, "Back").await?;
    assert_eq!(lab.send(back.clone()).await.text(), "nothing was decided");
    lab.said(CHAT, 0, &[&id.short(), "Asked of bob until"]).await?;
    refused(&lab, id, back, "this is the second step of bob: you have none to go back from").await?;
    let carols = Tap {
        from: Tapper::User(CAROL),
        ..lab.forged(ALICE, id, "Yes, approve").await?
    };
    refused(&lab, id, carols, "you are not among the approvers of this change").await?;
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), "approved by bob: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read("kubernetes/applications/web/service.yaml"), None);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_go_through_their_second_steps_side_by_side() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the database", &[("kubernetes/critical/db.yaml", None)]).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), ASKED);
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), ASKED);
    assert_eq!(
        lab.tap(ALICE, id, "Yes, approve").await?.text(),
        "approved by alice: 1 of 2 from operators"
    );
    lab.said(CHAT, 0, &[&id.short(), "1/2", "Asked of bob until"]).await?;
    // Whoever has voted is not asked to look again.
    assert_eq!(lab.tap(ALICE, id, "Yes, approve").await?.text(), "you have approved this already");
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), "approved by bob: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_second_step_closes_by_itself() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the service", &DROPPED).await?;
    lab.tap(ALICE, id, "Approve").await?;
    let yes = lab.forged(ALICE, id, "Yes, approve").await?;
    lab.advance(Duration::from_secs(121));
    let fallen_back = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let card = state.message(CHAT, yes.message_id)?;
            (card.keyboard_text().contains("Approve") && !card.keyboard_text().contains("Back")).then_some(())
        })
        .await;
    ensure!(fallen_back.is_some(), "the step stays: {:#?}", lab.texts());
    // A Yes that comes too late asks again instead of deciding.
    assert_eq!(lab.send(yes).await.text(), ASKED);
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    // An open step of one person does not keep another from rejecting.
    lab.card(id, "Back").await?;
    assert_eq!(lab.tap(BOB, id, "Reject").await?.text(), "rejected by bob");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Rejected));
    let card = lab.card(id, "too big").await?;
    assert!(!card.keyboard_text().contains("Yes"), "{}", card.keyboard_text());
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_that_does_not_fit_comes_as_a_document_and_takes_a_second_step() -> Result<()> {
    let lab = Lab::start().await?;
    let long: String = (0..400).map(|n| format!("key{n}: some value that takes its room\n")).collect();
    let id = lab.propose("Much", &[(VALUES, Some(&long))]).await?;
    let card = lab.card(id, "Approve").await?;
    let document = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state.messages(CHAT).iter().find_map(|message| message.document.clone())
        })
        .await;
    let document = document.ok_or_else(|| anyhow::anyhow!("no document: {:#?}", lab.texts()))?;
    assert!(document.file_name.ends_with(".diff") && String::from_utf8_lossy(&document.bytes).contains("+key399:"));
    assert!(card.text.encode_utf16().count() <= 4096);
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.card(id, "Back").await?;
    lab.tap(ALICE, id, "Yes, approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_second_step_is_forgotten_by_a_restart_and_asked_again() -> Result<()> {
    let mut lab = Lab::start().await?;
    let id = lab
        .propose("Drop the service", &[("kubernetes/applications/web/service.yaml", None)])
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card(id, "Back").await?;
    lab.restart().await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card(id, "Back").await?;
    assert_eq!(lab.tap(ALICE, id, "Yes, approve").await?.text(), "approved by alice: complete");
    lab.ended(id).await?;
    lab.invariants().await
}
