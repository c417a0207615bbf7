//! Runs that people take back with git alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use domain::ledger::TrialResult;
use domain::{ProposalId, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, LabOptions, PATIENCE, POLICY, RUNBOOK};
use serde_json::json;
use simulators::git::Change;

const DEPLOYMENT: &str = "kubernetes/applications/web/deployment.yaml";

/// A run counts as soon as it is healthy: no test waits five minutes.
async fn lab() -> Result<Lab> {
    let runbook = format!("{RUNBOOK}\n[verify]\nstable_for = \"0s\"\n");
    let old = domain::Sha256Hash::of(RUNBOOK.as_bytes()).to_string();
    let new = domain::Sha256Hash::of(runbook.as_bytes()).to_string();
    Lab::with(LabOptions {
        policy: POLICY.replace(&old, &new),
        runbook,
        ..LabOptions::default()
    })
    .await
}

async fn scaled(lab: &Lab, replicas: u32) -> Result<ProposalId> {
    let id = lab.run("scale", json!({ "app": "web", "replicas": replicas })).await?;
    let run = lab.ended(id).await?;
    ensure!(run.tier() == Tier::Standard, "{}", run.revision.route.why);
    Ok(id)
}

async fn reverted(lab: &Lab, id: ProposalId) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let trial = lab.engine.store().read().trial(id).await?.context("no trial")?;
        if trial.result == TrialResult::Reverted {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "never reverted: {trial:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A person's `git`, in a clone.
fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let person = [
        "-c",
        "user.name=olivia",
        "-c",
        "user.email=olivia@example.com",
        "-c",
        "commit.gpgsign=false",
    ];
    let done = Command::new("git")
        .current_dir(folder)
        .args(person)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn git_revert_of_a_run_takes_its_trust_away_and_holds_it() -> Result<()> {
    let lab = lab().await?;
    let run = scaled(&lab, 5).await?;
    let commit = lab.proposal(run).await?.commit.context("no commit")?;
    let clone = tempfile::tempdir()?;
    git(
        clone.path(),
        &["clone", "-q", "--branch", "main", &lab.repo.path.to_string_lossy(), "."],
    )?;
    git(clone.path(), &["revert", "--no-edit", &commit.to_string()])?;
    git(clone.path(), &["push", "-q", "origin", "HEAD:main"])?;

    reverted(&lab, run).await?;
    let told = lab
        .said(
            CHAT,
            0,
            &["ALARM · homelab", "by olivia takes run", "of runbook scale back", "/lift scale"],
        )
        .await?;
    ensure!(!told.silent);
    lab.said(
        CHAT,
        0,
        &["Runbook scale in homelab/default is prompted from now on", "was reverted"],
    )
    .await?;
    let refused = lab
        .run("scale", json!({ "app": "web", "replicas": 4 }))
        .await
        .expect_err("on hold")
        .to_string();
    ensure!(refused.starts_with("runbook_held: scale is on hold"), "{refused}");
    let rows = lab.audit(run).await?;
    for event in ["taken_back", "runbook_held", "runbook_demoted"] {
        ensure!(rows.iter().filter(|(name, _)| name == event).count() == 1, "{event}: {rows:#?}");
    }
    lab.command(ALICE, CHAT, "/lift scale", &["1 hold of runbook scale lifted"]).await?;
    let next = lab.run("scale", json!({ "app": "web", "replicas": 4 })).await?;
    ensure!(lab.proposal(next).await?.tier() == Tier::Prompted);
    lab.invariants().await
}

/// The card and the document say who took it back and that it can no longer be reverted; and that it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_back_by_hand_says_so_and_so_when_that_is_taken_back() -> Result<()> {
    let lab = lab().await?;
    let run = scaled(&lab, 5).await?;
    lab.card(run, "Revert").await?;
    let delivered = lab.proposal(run).await?;
    let clone = tempfile::tempdir()?;
    git(
        clone.path(),
        &["clone", "-q", "--branch", "main", &lab.repo.path.to_string_lossy(), "."],
    )?;
    let commit = delivered.commit.context("no commit")?;
    git(clone.path(), &["revert", "--no-edit", &commit.to_string()])?;
    git(clone.path(), &["push", "-q", "origin", "HEAD:main"])?;
    let taken = lab
        .until(run, "taken back", |run| run.by_hand.as_ref().is_some_and(domain::ByHand::stands))
        .await?;
    let back = taken.by_hand.clone().context("taken back")?;
    ensure!(back.commit.to_string() == lab.repo.tip().context("no tip")? && back.author == "olivia");
    ensure!(taken.version > delivered.version && taken.outcome == delivered.outcome);
    let line = format!("Reverted by hand in commit {} by olivia", back.commit.short());
    let card = lab.card_saying(run, &line).await?;
    ensure!(!card.keyboard_text().contains("Revert"), "{}", card.keyboard_text());
    let agent = end_to_end::lab::agent_named("ops-bot");
    let refused = lab.engine.revert(&agent, run, None, None).await.err();
    ensure!(
        refused.as_ref().is_some_and(|problem| problem.code == "already_reverted"),
        "{refused:?}"
    );
    lab.said(CHAT, 0, &["ALARM · homelab", "takes run"]).await?;

    // An unrelated commit of a person changes nothing; the revert of the revert does.
    lab.repo
        .commit_on_top(&[Change::write("README.md", "moved\n")], "Words", "olivia <olivia@example.com>")?;
    git(clone.path(), &["pull", "-q", "--rebase", "origin", "main"])?;
    git(clone.path(), &["revert", "--no-edit", &back.commit.to_string()])?;
    git(clone.path(), &["push", "-q", "origin", "HEAD:main"])?;
    let again = lab
        .until(run, "put back", |run| {
            run.by_hand.as_ref().is_some_and(|back| back.put_back.is_some())
        })
        .await?;
    let later = again.by_hand.clone().and_then(|back| back.put_back).context("put back")?;
    ensure!(later.to_string() == lab.repo.tip().context("no tip")? && again.version > taken.version);
    let line = format!("{line}, on the branch again since {}", later.short());
    let card = lab.card_saying(run, &line).await?;
    ensure!(card.keyboard_text().contains("Revert"), "{}", card.keyboard_text());
    // What took trust away gives none back.
    let refused = lab.run("scale", json!({ "app": "web", "replicas": 4 })).await.expect_err("on hold");
    ensure!(refused.to_string().starts_with("runbook_held"), "{refused}");

    // And once more.
    git(clone.path(), &["revert", "--no-edit", &later.to_string()])?;
    git(clone.path(), &["push", "-q", "origin", "HEAD:main"])?;
    let once_more = lab
        .until(run, "taken back again", |run| {
            run.by_hand.as_ref().is_some_and(domain::ByHand::stands)
        })
        .await?;
    ensure!(
        once_more
            .by_hand
            .is_some_and(|last| last.commit.to_string() == lab.repo.tip().unwrap_or_default())
    );
    let rows = lab.audit(run).await?;
    let count = |event: &str| rows.iter().filter(|(name, _)| name == event).count();
    ensure!(
        (
            count("taken_back"),
            count("put_back"),
            count("runbook_held"),
            count("runbook_demoted")
        ) == (2, 1, 1, 1),
        "{rows:#?}"
    );
    lab.invariants().await
}

/// What is no run has no record, but its card tells the same; words that the files do not bear out change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_taken_back_by_hand_says_so() -> Result<()> {
    let lab = lab().await?;
    let id = lab
        .propose(
            "Two more",
            &[("kubernetes/applications/blog/values.yaml", Some("replicaCount: 2\n"))],
        )
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    let commit = lab.ended(id).await?.commit.context("no commit")?;
    let words = format!("Revert\n\nThis reverts commit {commit}.");
    lab.repo
        .commit_on_top(&[Change::write("README.md", "moved\n")], &words, "olivia <olivia@example.com>")?;
    let clone = tempfile::tempdir()?;
    git(
        clone.path(),
        &["clone", "-q", "--branch", "main", &lab.repo.path.to_string_lossy(), "."],
    )?;
    git(clone.path(), &["revert", "--no-edit", &commit.to_string()])?;
    git(clone.path(), &["push", "-q", "origin", "HEAD:main"])?;
    // A run makes the service look at the branch.
    let run = scaled(&lab, 5).await;
    let taken = lab.until(id, "taken back", |change| change.by_hand.is_some()).await?;
    let back = taken.by_hand.context("taken back")?;
    ensure!(back.restored && back.put_back.is_none(), "{back:?} {run:?}");
    let rows = lab.audit(id).await?;
    ensure!(rows.iter().filter(|(event, _)| event == "taken_back").count() == 1, "{rows:#?}");
    ensure!(!rows.iter().any(|(event, _)| event == "runbook_held"));
    lab.card_saying(id, "Reverted by hand in commit").await?;
    lab.invariants().await
}

/// Where no Argo CD shows how a run ends there is no trial, and a hold all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_by_hand_holds_a_runbook_that_nobody_watches() -> Result<()> {
    for words in [false, true] {
        let lab = Lab::with(LabOptions {
            argocd: false,
            ..LabOptions::default()
        })
        .await?;
        let before = lab.repo.read(DEPLOYMENT).context("no deployment")?;
        let run = lab.run("scale", json!({ "app": "web", "replicas": 5 })).await?;
        lab.tap(ALICE, run, "Approve").await?;
        let commit = lab.ended(run).await?.commit.context("no commit")?;
        ensure!(lab.engine.store().read().trial(run).await?.is_none());
        let (change, message) = if words {
            (Change::write("README.md", "moved\n"), format!("This reverts commit {commit}."))
        } else {
            (Change::write(DEPLOYMENT, before), "Oops".to_owned())
        };
        lab.repo.commit_on_top(&[change], &message, "olivia <olivia@example.com>")?;
        let back = lab.until(run, "taken back", |run| run.by_hand.is_some()).await?;
        ensure!(back.by_hand.is_some_and(|back| back.restored != words));
        let line = if words {
            "by olivia says that it reverts this"
        } else {
            "Reverted by hand in commit"
        };
        let card = lab.card_saying(run, line).await?;
        ensure!(card.keyboard_text().contains("Revert") == words, "{}", card.keyboard_text());
        lab.said(CHAT, 0, &["ALARM · homelab", "by olivia takes run", "/lift scale"])
            .await?;
        let refused = lab.run("scale", json!({ "app": "web", "replicas": 4 })).await.expect_err("on hold");
        ensure!(refused.to_string().starts_with("runbook_held: scale is on hold"), "{refused}");
        let rows = lab.audit(run).await?;
        ensure!(rows.iter().filter(|(event, _)| event == "runbook_held").count() == 1, "{rows:#?}");
        lab.command(ALICE, CHAT, "/lift scale", &["1 hold of runbook scale lifted"]).await?;
        lab.run("scale", json!({ "app": "web", "replicas": 4 })).await?;
        lab.invariants().await?;
    }
    Ok(())
}

/// Whatever the message says: the files are as they were.
#[tokio::test(flavor = "multi_thread")]
async fn putting_the_files_back_is_a_revert_and_so_are_words_alone() -> Result<()> {
    let mut lab = lab().await?;
    let before = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let run = scaled(&lab, 5).await?;
    // While nobody looks.
    lab.halt().await;
    lab.repo
        .commit_on_top(&[Change::write(DEPLOYMENT, before)], "Oops", "olivia <olivia@example.com>")?;
    lab.restart().await?;
    reverted(&lab, run).await?;
    lab.said(CHAT, 0, &["its files are as before it"]).await?;
    lab.command(ALICE, CHAT, "/lift scale", &["1 hold of runbook scale lifted"]).await?;

    let next = lab.run("scale", json!({ "app": "web", "replicas": 4 })).await?;
    lab.tap(ALICE, next, "Approve").await?;
    let next = lab.ended(next).await?;
    let commit = next.commit.context("no commit")?;
    let words = format!("Revert\n\nThis reverts commit {commit}.");
    lab.repo
        .commit_on_top(&[Change::write("README.md", "moved\n")], &words, "olivia <olivia@example.com>")?;
    reverted(&lab, next.id).await?;
    lab.said(CHAT, 0, &["the message says so"]).await?;
    lab.invariants().await
}

/// A run that puts back what an earlier one changed is a decision of its own, whoever pushed it; an agent's push is one as soon as it is reported.
#[tokio::test(flavor = "multi_thread")]
async fn another_run_is_no_revert() -> Result<()> {
    let lab = lab().await?;
    let before = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let first = scaled(&lab, 5).await?;
    let second = scaled(&lab, 2).await?;
    let third = scaled(&lab, 6).await?;
    let pushed = lab
        .repo
        .commit_on_top(&[Change::write(DEPLOYMENT, before)], "Scale web", "Agent <agent@example.com>")?;
    let reported = engine::ObservationRequest {
        repository: "homelab".to_owned(),
        commit: pushed,
        runbook: "scale".to_owned(),
        parameters: json!({ "app": "web", "replicas": 2 }),
    };
    let agent = end_to_end::lab::agent_named("ops-bot");
    lab.engine
        .observe(&agent, reported, None)
        .await
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    // A person's commit afterwards is looked at with all that came before it.
    let marker = scaled(&lab, 7).await?;
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    lab.repo.commit_on_top(
        &[Change::write(DEPLOYMENT, text.replace("replicas: 7", "replicas: 2"))],
        "Back",
        "olivia <olivia@example.com>",
    )?;
    reverted(&lab, marker).await?;
    for run in [first, second] {
        let trial = lab.engine.store().read().trial(run).await?.context("no trial")?;
        ensure!(trial.result == TrialResult::Succeeded, "{trial:#?}");
    }
    ensure!(lab.proposal(third).await?.reverted_by.is_none());
    lab.invariants().await
}
