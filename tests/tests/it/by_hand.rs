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
    for event in ["run_taken_back", "runbook_held", "runbook_demoted"] {
        ensure!(rows.iter().filter(|(name, _)| name == event).count() == 1, "{event}: {rows:#?}");
    }
    lab.command(ALICE, CHAT, "/lift scale", &["1 hold of runbook scale lifted"]).await?;
    let next = lab.run("scale", json!({ "app": "web", "replicas": 4 })).await?;
    ensure!(lab.proposal(next).await?.tier() == Tier::Prompted);
    lab.invariants().await
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
