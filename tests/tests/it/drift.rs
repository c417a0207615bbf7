//! Drift from the one way in: commits that nothing explains.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{CommitId, Outcome};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, LabOptions, PATIENCE};
use simulators::git::Change;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const MAIN: &str = "infrastructure/terraform/main.tf";

/// The service has looked at the branch up to its tip.
async fn looked(lab: &Lab) -> Result<()> {
    let tip = lab.repo.tip().context("a tip")?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while lab.engine.store().read().meta("explained_to:homelab").await?.as_ref() != Some(&tip) {
        ensure!(tokio::time::Instant::now() < deadline, "the new commits are never looked at");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn watching(alarm_unexplained: bool) -> Result<Lab> {
    let lab = Lab::with(LabOptions {
        alarm_unexplained,
        ..LabOptions::default()
    })
    .await?;
    if alarm_unexplained {
        looked(&lab).await?;
    }
    Ok(lab)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nothing_explains_is_listed_and_rings_once() -> Result<()> {
    let mut lab = watching(true).await?;
    let ours = lab.propose("Twice", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, ours, "Approve").await?;
    assert_eq!(lab.ended(ours).await?.outcome, Some(Outcome::Synced));
    let foreign = lab
        .repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 9\n")], "By hand", "Olivia")?;
    let elsewhere = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "words\n")], "Words", "Olivia")?;
    looked(&lab).await?;
    let short = &foreign[..7];
    let list = lab
        .command(ALICE, CHAT, "/unexplained", &[short, "Olivia", "By hand", VALUES])
        .await?;
    let delivered = lab.proposal(ours).await?.commit.context("a commit")?;
    assert!(!list.text.contains(&elsewhere[..7]), "not guarded: {}", list.text);
    assert!(!list.text.contains(&delivered.short()), "ours: {}", list.text);
    lab.advance(Duration::from_secs(601));
    let alarm = lab
        .said(CHAT, list.id, &["ALARM", short, "no proposal explains it", "By hand"])
        .await?;
    assert!(!alarm.silent);
    // Once per commit, also after a restart.
    lab.restart().await?;
    let again = lab
        .repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 8\n")], "Again", "Olivia")?;
    looked(&lab).await?;
    lab.advance(Duration::from_secs(601));
    lab.said(CHAT, alarm.id, &["ALARM", &again[..7]]).await?;
    let rung = |short: &str| {
        let messages = lab.telegram.messages(CHAT);
        messages
            .iter()
            .filter(|message| message.text.contains("ALARM") && message.text.contains(short))
            .count()
    };
    assert_eq!((rung(short), rung(&again[..7])), (1, 1));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_were_asked_to_commit_is_explained() -> Result<()> {
    let lab = watching(true).await?;
    let by_hand = lab
        .propose("Four nodes", &[(MAIN, Some("variable \"nodes\" {\n  default = 4\n}\n"))])
        .await?;
    lab.until(by_hand, "prepared", |p| p.delivery == domain::Delivery::AwaitingCommit)
        .await?;
    lab.repo.commit_on_top(
        &[Change::write(MAIN, "variable \"nodes\" {\n  default = 4\n}\n")],
        "Four nodes",
        "Olivia",
    )?;
    let landed = lab.until(by_hand, "landed", |p| p.commit.is_some()).await?;
    looked(&lab).await?;
    lab.advance(Duration::from_secs(601));
    let answer = lab
        .command(ALICE, CHAT, "/unexplained", &["Every new commit on a guarded path is explained"])
        .await?;
    assert!(landed.commit.is_some_and(|commit: CommitId| !answer.text.contains(&commit.short())));
    assert!(
        lab.texts().iter().all(|text| !text.contains("no proposal explains")),
        "{:#?}",
        lab.texts()
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_alarm_the_list_is_found_when_it_is_asked_for() -> Result<()> {
    let lab = watching(false).await?;
    // The first look only remembers where the branch is: what was there before has nothing to explain.
    lab.command(ALICE, CHAT, "/unexplained", &["Every new commit on a guarded path is explained"])
        .await?;
    let foreign = lab
        .repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 9\n")], "By hand", "Olivia")?;
    // A name does not explain what the proposal did not ask for.
    let asked = lab.propose("Nodes", &[(MAIN, Some("variable \"nodes\" {}\n"))]).await?;
    let named = format!("Sneaked in\n\nProposal-Id: {asked}\n");
    let sneaked = lab
        .repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 8\n")], &named, "Olivia")?;
    lab.command(ALICE, CHAT, "/unexplained", &[&foreign[..7], &sneaked[..7]]).await?;
    lab.advance(Duration::from_secs(601));
    lab.command(ALICE, CHAT, "/unexplained", &[&foreign[..7], &sneaked[..7]]).await?;
    assert!(lab.texts().iter().all(|text| !text.contains("ALARM")), "{:#?}", lab.texts());
    lab.invariants().await
}
