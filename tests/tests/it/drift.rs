//! Drift from the one way in: commits that nothing explains.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{CommitId, Outcome};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, LabOptions, PATIENCE};
use engine::Limits;
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

/// What is left out is said, with where it is found; and nothing is passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_says_so_and_goes_on() -> Result<()> {
    let ordinary = LabOptions::default();
    let lab = Lab::with(LabOptions {
        limits: Limits {
            // Nobody looks but whoever asks.
            landing_poll: Duration::from_secs(3600),
            commits_per_look: 3,
            unexplained_listed: 2,
            ..ordinary.limits
        },
        ..ordinary
    })
    .await?;
    let explained = "Every new commit on a guarded path is explained";
    let first = lab.command(ALICE, CHAT, "/unexplained", &[explained]).await?;
    let mut commits = Vec::new();
    for replicas in 10..15 {
        let change = Change::write(VALUES, format!("replicaCount: {replicas}\n"));
        commits.push(lab.repo.commit_on_top(&[change], &format!("By hand {replicas}"), "Olivia")?);
    }
    let rest = "homelab: 2 newer commits are not looked at yet; the service goes on, ask again.";
    let older = "homelab: older ones are left out; `countersign unexplained` lists all.";
    let asked = lab.telegram.send_text(ALICE, CHAT, "/unexplained", None);
    let list = lab
        .said(CHAT, asked.max(first.id), &[&commits[2][..7], &commits[1][..7], rest, older])
        .await?;
    assert!(!list.text.contains(&commits[0][..7]), "{}", list.text);
    let list = lab
        .command(ALICE, CHAT, "/unexplained", &[&commits[4][..7], &commits[3][..7], older])
        .await?;
    assert!(!list.text.contains("not looked at"), "{}", list.text);
    let stored = lab.engine.store().read().unexplained(&"homelab".parse()?, None, 100).await?;
    let stored: Vec<String> = stored.iter().rev().map(|found| found.commit.to_string()).collect();
    assert_eq!(stored, commits, "each once, in the branch's order");

    // Foreign words are long, and what is said below the list is part of the message all the same.
    let words = "\u{1f680}".repeat(500);
    for replicas in 20..22 {
        let folders = [1, 2, 3].map(|part| format!("kubernetes/{}/{part}.yaml", "d".repeat(200)));
        let changes = folders.map(|path| Change::write(&path, format!("replicaCount: {replicas}\n")));
        lab.repo.commit_on_top(&changes, &words, &words)?;
    }
    lab.repo
        .commit_on_top(&[Change::write(MAIN, "variable \"nodes\" {}\n")], "Last", "Olivia")?;
    let list = lab.command(ALICE, CHAT, "/unexplained", &["Last", older]).await?;
    assert!(list.text.trim_end().ends_with(older), "{}", list.text);
    lab.invariants().await
}

/// Of more paths than are looked at nobody knows whether one is guarded: such a commit is listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_too_many_paths_is_unexplained() -> Result<()> {
    let lab = watching(false).await?;
    lab.command(ALICE, CHAT, "/unexplained", &["Every new commit on a guarded path is explained"])
        .await?;
    let paths: Vec<String> = (0..1_001).map(|number| format!("a-folder/{number:04}")).collect();
    let some = |count: usize| paths.iter().take(count).map(|path| Change::write(path, "x\n")).collect::<Vec<_>>();
    let few = lab.repo.commit_on_top(&some(1_000), "Not guarded", "Olivia")?;
    let gone: Vec<Change> = paths.iter().take(1_000).map(|path| Change::delete(path)).collect();
    let gone = lab.repo.commit_on_top(&gone, "Gone", "Olivia")?;
    let many = lab.repo.commit_on_top(&some(1_001), "Nobody knows", "Olivia")?;
    let stat = format!("more paths than are looked at (git show --stat {} names all)", &many[..7]);
    let list = lab.command(ALICE, CHAT, "/unexplained", &[&stat]).await?;
    assert!(!list.text.contains(&few[..7]) && !list.text.contains(&gone[..7]), "{}", list.text);
    lab.invariants().await
}
