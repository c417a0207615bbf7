//! Notify-only: an agent pushed by itself and reports it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Origin, Outcome, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{CHAT, agent_named};
use engine::{Created, ObservationRequest, Problem};
use serde_json::{Value, json};
use simulators::git::Change;

const DEPLOYMENT: &str = "kubernetes/applications/web/deployment.yaml";

fn scaled(lab: &Lab, replicas: u32) -> Result<String> {
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    Ok(text.replace("replicas: 2", &format!("replicas: {replicas}")))
}

/// The agent's own push.
fn pushed(lab: &Lab, replicas: u32) -> Result<String> {
    let text = scaled(lab, replicas)?;
    Ok(lab
        .repo
        .commit_on_top(&[Change::write(DEPLOYMENT, text)], "Scale web", "Agent <agent@example.com>")?)
}

fn parameters(replicas: u32) -> Value {
    json!({ "app": "web", "replicas": replicas })
}

async fn observe(lab: &Lab, agent: &str, commit: &str, runbook: &str, parameters: Value) -> Result<Created, Problem> {
    let request = ObservationRequest {
        repository: "homelab".to_owned(),
        commit: commit.to_owned(),
        runbook: runbook.to_owned(),
        parameters,
    };
    lab.engine.observe(&agent_named(agent), request, None).await
}

fn id(created: Result<Created, Problem>) -> Result<ProposalId> {
    match created {
        Ok(Created::New(proposal) | Created::Existing(proposal)) => Ok(proposal.id),
        Ok(Created::Replayed(answer)) => Err(anyhow!("{}", answer.body)),
        Err(problem) => Err(anyhow!("{problem}")),
    }
}

/// Refused with this status, and people hear of it with sound.
async fn alarms(lab: &Lab, reported: Result<Created, Problem>, status: u16, why: &str) -> Result<()> {
    let Err(problem) = reported else {
        return Err(anyhow!("it was taken"));
    };
    ensure!(problem.status == status && problem.detail.contains(why), "{problem:?}");
    let alarm = lab.said(CHAT, 0, &["ALARM · homelab", why]).await?;
    ensure!(!alarm.silent, "{alarm:?}");
    ensure!(
        lab.whole_audit()
            .await?
            .iter()
            .any(|(event, said)| event == "alarm" && said.contains(why))
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_what_its_runbook_renders_is_followed_and_people_are_told() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    let first = id(observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await)?;
    let again = id(observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await)?;
    assert_eq!(first, again);
    let proposal = lab.ended(first).await?;
    assert!(matches!(proposal.origin, Origin::Observed(_)));
    assert_eq!(
        (proposal.decision, proposal.outcome),
        (Decision::NotRequired, Some(Outcome::Synced))
    );
    assert_eq!(proposal.commit.map(|commit| commit.to_string()), Some(commit));
    let note = lab.card(first, "Revert").await?;
    assert!(note.silent, "good news does not ring");
    assert_eq!(lab.repo.log(10).len(), 2, "the service added nothing");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_else_than_the_rendered_content_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let text = scaled(&lab, 5)?.replace("1.0.0", "9.9.9");
    let commit = lab
        .repo
        .commit_on_top(&[Change::write(DEPLOYMENT, text)], "More than that", "Agent")?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await,
        422,
        "it is not what the runbook renders",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_more_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let changes = [
        Change::write(DEPLOYMENT, scaled(&lab, 5)?),
        Change::write("kubernetes/applications/web/extra.yaml", "a: 1\n"),
    ];
    let commit = lab.repo.commit_on_top(&changes, "And more", "Agent")?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await,
        422,
        "it is not what the runbook renders",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_commit_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let side = lab.repo.loose_commit(
        &lab.repo.tip().context("a tip")?,
        &[Change::write(DEPLOYMENT, scaled(&lab, 5)?)],
        "Side",
        "Agent",
    )?;
    let tip = lab.repo.commit_on_top(&[Change::write("README.md", "more\n")], "Main", "Olivia")?;
    let merge = merged(&lab, &tip, &side)?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &merge, "scale", parameters(5)).await,
        422,
        "it has 2 parents, not one",
    )
    .await
}

/// A merge commit of two commits with the second one's tree, on the branch.
fn merged(lab: &Lab, first: &str, second: &str) -> Result<String> {
    let repository = git2::Repository::open_bare(&lab.repo.path)?;
    let parents = [repository.find_commit(first.parse()?)?, repository.find_commit(second.parse()?)?];
    let who = git2::Signature::now("Agent", "agent@example.com")?;
    let tree = parents[1].tree()?;
    let id = repository
        .commit(None, &who, &who, "Merge", &tree, &[&parents[0], &parents[1]])?
        .to_string();
    lab.repo.force_push(&id)?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_commit_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    lab.advance(Duration::from_secs(25 * 3600));
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await,
        422,
        "it is older than 24 hours",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_elsewhere_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let tip = lab.repo.tip().context("a tip")?;
    let loose = lab
        .repo
        .loose_commit(&tip, &[Change::write(DEPLOYMENT, scaled(&lab, 5)?)], "Elsewhere", "Agent")?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &loose, "scale", parameters(5)).await,
        422,
        "it is not on branch main",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_another_proposal_explains_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let run = lab.run("scale", parameters(5)).await?;
    let commit = lab.ended(run).await?.commit.context("a commit")?.to_string();
    alarms(
        &lab,
        observe(&lab, "other-bot", &commit, "scale", parameters(5)).await,
        409,
        "belongs to another proposal",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_do_not_render_raise_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    for wrong in [
        json!({ "app": "web", "replicas": 500 }),
        json!({ "app": "../../etc", "replicas": 5 }),
        json!({ "app": "web" }),
    ] {
        alarms(
            &lab,
            observe(&lab, "ops-bot", &commit, "scale", wrong).await,
            422,
            "the runbook does not render",
        )
        .await?;
    }
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(4)).await,
        422,
        "it is not what the runbook renders",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_runbook_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "drain", parameters(5)).await,
        422,
        "no runbook \"drain\"",
    )
    .await
}
