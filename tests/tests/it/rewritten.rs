//! A branch that was force-pushed: nothing is built on it before a human has looked, whoever saw it first, and everybody hears of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::{Decision, Delivery, Outcome, Proposal, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CHAT, LabOptions};
use simulators::git::Change;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const SOME: [(&str, Option<&str>); 1] = [(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))];

async fn blocked(lab: &Lab, id: ProposalId) -> Result<Proposal> {
    lab.until(id, "blocked", |p| p.delivery == Delivery::PushBlocked).await
}

/// A commit on the branch that the service has seen, and the tip before it.
async fn seen(lab: &Lab) -> Result<(String, String)> {
    let before = lab.repo.tip().context("a tip")?;
    let commit = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "soon gone\n")], "Soon gone", "Olivia")?;
    let probe = lab
        .propose("Probe", &[("kubernetes/applications/blog/probe.yaml", Some("probe: true\n"))])
        .await?;
    lab.tap(BOB, probe, "Reject").await?;
    lab.ended(probe).await?;
    Ok((before, commit))
}

/// Another history takes the branch's place, in which a change of [`VALUES`] would conflict.
fn conflicting_history(lab: &Lab, before: &str) -> Result<()> {
    lab.repo.force_push(before)?;
    let other = Change::write(VALUES, "replicaCount: 77\ntheme:\n  colour: red\n");
    lab.repo.commit_on_top(&[other], "Another history", "Mallory")?;
    Ok(())
}

/// Takes the branch as it is: asked twice, since that is for every change.
async fn take(lab: &Lab, user: i64, id: ProposalId) -> Result<()> {
    let asked = lab.tap(user, id, "Retry").await?;
    assert!(
        asked.text().contains("for every change") && asked.text().contains("tap Yes"),
        "{asked:?}"
    );
    lab.tap(user, id, "Yes, retry").await?;
    Ok(())
}

async fn alarmed(lab: &Lab) -> Result<()> {
    let alarm = lab.said(CHAT, 0, &["was force-pushed", "Nothing is sent to it"]).await?;
    assert!(!alarm.silent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_was_seen_while_people_thought_blocks_the_approval() -> Result<()> {
    let lab = Lab::start().await?;
    let (before, lost) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.repo.force_push(&before)?;
    alarmed(&lab).await?;
    lab.card_saying(id, "was force-pushed").await?;
    let told = lab.engine.told_note(&lab.proposal(id).await?).unwrap_or_default();
    assert!(told.contains("was force-pushed"), "agents read it, too: {told}");
    lab.tap(ALICE, id, "Approve").await?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert!(note.contains(&lost[..7]) && note.contains("Retry push takes it as it is"), "{note}");
    assert_eq!(lab.repo.tip().as_deref(), Some(before.as_str()), "nothing was pushed");
    lab.tap(BOB, id, "Retry").await?;
    lab.card_saying(id, "Are you sure?").await?;
    // Another's step is not one's own, and Back takes nothing.
    assert!(lab.tap(ALICE, id, "Yes, retry").await?.text().contains("for every change"));
    lab.tap(ALICE, id, "Back").await?;
    assert_eq!(lab.proposal(id).await?.delivery, Delivery::PushBlocked);
    lab.tap(BOB, id, "Yes, retry").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.said(CHAT, 0, &["bob took branch main as it is at", &before[..7]]).await?;
    let audit = lab.whole_audit().await?;
    assert_eq!(audit.iter().filter(|(event, _)| event == "branch_taken").count(), 1, "{audit:#?}");
    // Taken by a human: the next one needs nobody's leave.
    let next = lab.propose("Thrice", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    lab.tap(ALICE, next, "Approve").await?;
    assert_eq!(lab.ended(next).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_during_the_hold_is_remembered_over_a_restart() -> Result<()> {
    let mut lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let (before, _) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.until(id, "held", |p| p.delivery == Delivery::Queued).await?;
    lab.repo.force_push(&before)?;
    alarmed(&lab).await?;
    lab.restart().await?;
    lab.advance(Duration::from_secs(60));
    blocked(&lab, id).await?;
    assert_eq!(lab.repo.tip().as_deref(), Some(before.as_str()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_while_the_service_was_away_blocks_too() -> Result<()> {
    let mut lab = Lab::start().await?;
    let (before, _) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.halt().await;
    lab.repo.force_push(&before)?;
    let ahead = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "other\n")], "Another history", "Mallory")?;
    lab.restart().await?;
    lab.tap(ALICE, id, "Approve").await?;
    blocked(&lab, id).await?;
    assert_eq!(lab.repo.tip().as_deref(), Some(ahead.as_str()));
    // Dropping the change takes nothing: the next one is blocked as well.
    lab.tap(BOB, id, "Cancel").await?;
    let next = lab.propose("Thrice", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    lab.tap(ALICE, next, "Approve").await?;
    blocked(&lab, next).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_put_back_goes_on_by_itself_and_costs_no_proposal() -> Result<()> {
    let lab = Lab::start().await?;
    let (before, lost) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    conflicting_history(&lab, &before)?;
    alarmed(&lab).await?;
    lab.repo.force_push(&lost)?;
    lab.said(CHAT, 0, &["again: what waits for it goes on"]).await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_looks_at_the_branch_as_it_is_now() -> Result<()> {
    let lab = Lab::start().await?;
    let (before, lost) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    conflicting_history(&lab, &before)?;
    lab.tap(ALICE, id, "Approve").await?;
    blocked(&lab, id).await?;
    lab.repo.force_push(&lost)?;
    // The card says that it is over, and what is left to do is one tap.
    lab.card_saying(id, "force-pushed and put back").await?;
    let told = lab.engine.told_note(&lab.proposal(id).await?).unwrap_or_default();
    assert!(told.contains("it contains") && !told.contains("no longer"), "{told}");
    lab.tap(BOB, id, "Retry").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_takes_only_what_people_were_told() -> Result<()> {
    let lab = Lab::start().await?;
    let (before, _) = seen(&lab).await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.repo.force_push(&before)?;
    lab.repo
        .commit_on_top(&[Change::write("README.md", "one\n")], "One history", "Olivia")?;
    lab.tap(ALICE, id, "Approve").await?;
    blocked(&lab, id).await?;
    // Rewritten once more before anybody looked.
    lab.repo.force_push(&before)?;
    let other = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "two\n")], "Another history", "Olivia")?;
    take(&lab, BOB, id).await?;
    let again = lab
        .until(id, "blocked again", |p| {
            p.delivery == Delivery::PushBlocked && p.note.as_deref().is_some_and(|note| note.contains(&other[..7]))
        })
        .await?;
    assert_eq!(lab.repo.tip().as_deref(), Some(other.as_str()), "{:?}", again.note);
    take(&lab, BOB, id).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

/// What one card said of a rewrite is not said any longer once another one came, whoever takes it and on whichever card.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_card_keeps_pace_with_the_branch() -> Result<()> {
    let lab = Lab::start().await?;
    let (before, lost) = seen(&lab).await?;
    let first = lab.propose("Twice", &SOME).await?;
    lab.card(first, "Approve").await?;
    conflicting_history(&lab, &before)?;
    lab.tap(ALICE, first, "Approve").await?;
    blocked(&lab, first).await?;
    lab.repo.force_push(&lost)?;
    lab.card_saying(first, "force-pushed and put back").await?;
    // Another rewrite, which the next change is blocked by and on whose card it is taken.
    lab.repo.force_push(&before)?;
    let other = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "other\n")], "Another history", "Olivia")?;
    let again = format!("was force-pushed once more, and is at {}", &other[..7]);
    lab.card_saying(first, &again).await?;
    let second = lab
        .propose("Elsewhere", &[("kubernetes/applications/blog/more.yaml", Some("more: true\n"))])
        .await?;
    lab.tap(ALICE, second, "Approve").await?;
    blocked(&lab, second).await?;
    take(&lab, BOB, second).await?;
    assert_eq!(lab.ended(second).await?.outcome, Some(Outcome::Synced));
    let card = lab.card_saying(first, "and that is settled since").await?;
    assert!(
        !card.text.contains("put back") && !card.text.contains("no longer contains"),
        "{}",
        card.text
    );
    let told = lab.engine.told_note(&lab.proposal(first).await?).unwrap_or_default();
    assert!(told.contains("settled since"), "{told}");
    // What is left to do is what it says: one tap.
    lab.tap(BOB, first, "Retry").await?;
    assert_eq!(lab.ended(first).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_changes_that_a_rewrite_took_away_are_named() -> Result<()> {
    let lab = Lab::with(LabOptions {
        argocd: false,
        ..LabOptions::default()
    })
    .await?;
    let before = lab.repo.tip().context("a tip")?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Pushed));
    // Nothing is under way, and still somebody looks.
    lab.repo.force_push(&before)?;
    lab.said(CHAT, 0, &["Delivered changes are gone with that", "Twice", &id.short()])
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_stays_away_is_named_on_the_card_and_by_readiness() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    let away = lab.repo.path.with_extension("away");
    std::fs::rename(&lab.repo.path, &away)?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card_saying(id, "tried again soon").await?;
    let health = lab.engine.health().await;
    assert_eq!(health.repository_troubles.len(), 1, "{health:?}");
    assert!(health.repositories.iter().all(|(_, usable)| usable.is_ok()), "{health:?}");
    std::fs::rename(&away, &lab.repo.path)?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.engine.health().await.repository_troubles, Vec::new());
    lab.invariants().await
}
