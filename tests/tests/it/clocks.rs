//! Clocks that jump: forward by a day, back by an hour. Nothing ends twice, no approval is lost, and what is closed by a date stays as long as the date says.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{Decision, Delivery, Outcome, ProposalId, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CHAT, LabOptions, PATIENCE, POLICY};
use serde_json::json;

use super::taps::{TWICE, VALUES, pending};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often something stands in the audit log of a proposal.
async fn times(lab: &Lab, id: ProposalId, event: &str) -> Result<usize> {
    Ok(lab.audit(id).await?.iter().filter(|(name, _)| name == event).count())
}

/// The service has looked at its timers since a jump: another proposal went all the way.
async fn looked(lab: &Lab, path: &str) -> Result<()> {
    let id = lab.propose("A sign of life", &[(path, Some("a: 1\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_change_outlives_a_jump_back_and_expires_once() -> Result<()> {
    // The clock was wrong, and is set right.
    let lab = Lab::start().await?;
    lab.advance(HOUR);
    let first = pending(&lab).await?;
    lab.card(first, "Approve").await?;
    lab.rewind(HOUR);
    looked(&lab, "kubernetes/other/one.yaml").await?;
    assert_eq!(lab.proposal(first).await?.decision, Decision::Pending);
    assert_eq!(times(&lab, first, "expire").await?, 0);
    lab.tap(ALICE, first, "Approve").await?;
    assert_eq!(
        lab.ended(first).await?.outcome,
        Some(Outcome::Synced),
        "approved on a clock that was set back"
    );

    let second = lab.propose("Later", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    let old = lab.forged(ALICE, second, "Approve").await?;
    lab.advance(DAY);
    assert_eq!(lab.ended(second).await?.outcome, Some(Outcome::Expired));
    lab.rewind(DAY);
    lab.send(old).await;
    looked(&lab, "kubernetes/other/two.yaml").await?;
    lab.advance(DAY);
    looked(&lab, "kubernetes/other/three.yaml").await?;
    assert_eq!(times(&lab, second, "expire").await?, 1, "{:#?}", lab.audit(second).await?);
    assert_eq!(lab.proposal(second).await?.decision, Decision::Expired);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_held_back_is_kept_and_sent_once() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 600,
        ..LabOptions::default()
    })
    .await?;
    lab.advance(HOUR);
    let id = pending(&lab).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.until(id, "held", |p| p.hold_until.is_some()).await?;
    lab.rewind(HOUR);
    // Still held, still approved: it can be seen, and stopped.
    lab.command(BOB, CHAT, &format!("/show {}", id.short()), &["Held back"]).await?;
    let held = lab.proposal(id).await?;
    assert_eq!(
        (held.delivery, held.decision, held.approvals().count()),
        (Delivery::Queued, Decision::Approved, 1)
    );
    lab.advance(HOUR + DAY);
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.rewind(DAY);
    let other = lab
        .propose("A sign of life", &[("kubernetes/other/one.yaml", Some("a: 1\n"))])
        .await?;
    lab.card(other, "Approve").await?;
    assert_eq!(lab.repo.log(10).len(), 2, "the seed, and the change once");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_lasts_as_long_as_its_date_says() -> Result<()> {
    // Began three hours ago, ends in two.
    let start = (chrono::Utc::now() - chrono::Duration::hours(3)).format("%Y-%m-%dT%H:%M:%S");
    let policy = format!("{POLICY}\n[[freezes]]\nname = \"works\"\nstart = {start}\nduration = \"5h\"\ntimezone = \"UTC\"\n");
    let lab = Lab::with(LabOptions {
        policy,
        ..LabOptions::default()
    })
    .await?;
    let id = lab.propose("Run the blog twice", &[(VALUES, Some(TWICE))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &[&id.short(), "waits:", "works"]).await?;
    lab.rewind(HOUR);
    lab.command(BOB, CHAT, &format!("/show {}", id.short()), &["waits:", "works"])
        .await?;
    lab.advance(HOUR + HOUR);
    lab.command(BOB, CHAT, &format!("/show {}", id.short()), &["waits:", "works"])
        .await?;
    let waiting = lab.proposal(id).await?;
    assert_eq!((waiting.delivery, waiting.approvals().count()), (Delivery::Queued, 1));
    assert_eq!(lab.repo.log(10).len(), 1, "nothing was pushed");
    lab.advance(DAY);
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.log(10).len(), 2);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_the_ledger_closes_by_its_date_and_nothing_is_taken_away_by_a_wrong_clock() -> Result<()> {
    let lab = Lab::start().await?;
    let run = lab.run("scale", json!({ "app": "web", "replicas": 5 })).await?;
    assert_eq!(lab.ended(run).await?.tier(), Tier::Standard);
    let counts = async || {
        let standing = lab.engine.standings(&"scale".parse()?).await?.pop().context("no record")?;
        ensure!(
            standing.standing.due.is_none() && standing.standing.tier == Tier::Standard,
            "{standing:?}"
        );
        Ok::<_, anyhow::Error>((standing.standing.counts.open, standing.standing.counts.succeeded))
    };
    let stable = tokio::time::Instant::now() + PATIENCE;
    lab.advance(2 * HOUR);
    while lab
        .engine
        .store()
        .read()
        .trial(run)
        .await?
        .is_none_or(|trial| trial.settled_at.is_none())
    {
        ensure!(tokio::time::Instant::now() < stable, "the run is never judged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(counts().await?, (1, 0), "within its window");
    lab.rewind(HOUR);
    assert_eq!(counts().await?, (1, 0), "set back within it");
    lab.advance(22 * HOUR);
    assert_eq!(counts().await?, (1, 0), "an hour before it closes");
    lab.advance(2 * HOUR);
    assert_eq!(counts().await?, (0, 1), "closed");
    lab.rewind(2 * HOUR);
    assert_eq!(counts().await?, (1, 0), "and not, while the clock says so");
    lab.advance(DAY);
    assert_eq!(counts().await?, (0, 1));
    assert!(
        !lab.texts().iter().any(|text| text.contains("is prompted from now on")),
        "{:#?}",
        lab.texts()
    );
    lab.invariants().await
}
