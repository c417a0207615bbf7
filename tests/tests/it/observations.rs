//! Notify-only: an agent pushed by itself and reports it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Origin, Outcome, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{CHAT, LabOptions, agent_named};
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
    // The same number, written another way.
    let floating = json!({ "app": "web", "replicas": 5.0 });
    assert_eq!(first, id(observe(&lab, "ops-bot", &commit, "scale", floating).await)?);
    // Another explanation of the same commit is none, and says which one there is.
    for (runbook, parameters, says) in [
        ("scale", parameters(6), "as a run of scale with other parameters"),
        ("restart", parameters(5), "as a run of scale"),
    ] {
        let Err(problem) = observe(&lab, "ops-bot", &commit, runbook, parameters).await else {
            return Err(anyhow!("it was taken"));
        };
        assert_eq!((problem.status, problem.code), (409, "already_explained"));
        let detail = format!("is explained already by your proposal {first}, {says}");
        assert!(problem.detail.ends_with(&detail), "{}", problem.detail);
    }
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

/// A person changed the file, an agent pushed its run on top and reported it before anybody looked at the branch.
#[tokio::test(flavor = "multi_thread")]
async fn the_commit_below_a_reported_run_is_no_revert_of_it() -> Result<()> {
    let lab = Lab::start().await?;
    let [seven, five] = [scaled(&lab, 7)?, scaled(&lab, 5)?].map(|text| [Change::write(DEPLOYMENT, text)]);
    let person = "Dave <dave@example.com>";
    // The branch was looked at up to here.
    let first = lab.run("scale", parameters(3)).await?;
    lab.ended(first).await?;
    lab.advance(Duration::from_secs(60));
    lab.repo.commit_on_top(&seven, "Seven", person)?;
    let run = lab.repo.commit_on_top(&five, "Scale web", "Agent <agent@example.com>")?;
    let reported = id(observe(&lab, "ops-bot", &run, "scale", parameters(5)).await)?;
    assert_eq!(lab.ended(reported).await?.outcome, Some(Outcome::Synced));
    // The look that comes with the window's polls, and what it leads to.
    lab.advance(Duration::from_secs(60));
    let next = lab.run("scale", parameters(6)).await?;
    assert_eq!(lab.ended(next).await?.tier(), domain::Tier::Standard);
    assert_eq!(lab.proposal(reported).await?.by_hand, None);
    ensure!(!lab.whole_audit().await?.iter().any(|(event, _)| event == "alarm"), "no alarm");
    // The same content after it is one.
    lab.repo.commit_on_top(&five, "Back to five", person)?;
    lab.advance(Duration::from_secs(60));
    lab.until(next, "taken back", |proposal| proposal.by_hand.is_some()).await?;
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
async fn a_commit_of_the_future_raises_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    let repository = git2::Repository::open_bare(&lab.repo.path)?;
    let now = repository.find_commit(commit.parse()?)?;
    let later = git2::Time::new(now.committer().when().seconds() + 3600, 0);
    let who = git2::Signature::new("Agent", "agent@example.com", &later)?;
    let commit = repository
        .commit(None, &who, &who, "Scale web", &now.tree()?, &[&now.parent(0)?])?
        .to_string();
    lab.repo.force_push(&commit)?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await,
        422,
        "minutes in the future",
    )
    .await
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

/// Refused with this answer, and nobody hears of it.
async fn quietly(lab: &Lab, reported: Result<Created, Problem>, status: u16, code: &str, pointer: &str) -> Result<()> {
    let Err(problem) = reported else {
        return Err(anyhow!("it was taken"));
    };
    ensure!(
        (problem.status, problem.code, problem.pointer.as_deref()) == (status, code, Some(pointer)),
        "{problem:?}"
    );
    ensure!(!lab.whole_audit().await?.iter().any(|(event, _)| event == "alarm"));
    ensure!(lab.engine.me(&agent_named("ops-bot")).await?.hour.0 <= 1, "it costs nothing");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_another_run_raise_an_alarm() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    alarms(
        &lab,
        observe(&lab, "ops-bot", &commit, "scale", parameters(4)).await,
        422,
        "it is not what the runbook renders",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_the_request_says_nothing_about_the_branch() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    let ask = async |runbook: &str, parameters| observe(&lab, "ops-bot", &commit, runbook, parameters).await;
    for (wrong, pointer) in [
        (json!({ "app": "web", "replicas": 500 }), "/parameters/replicas"),
        (json!({ "app": "../../etc", "replicas": 5 }), "/parameters/app"),
        (json!({ "app": "web" }), "/parameters"),
    ] {
        quietly(&lab, ask("scale", wrong).await, 422, "runbook_refused", pointer).await?;
    }
    quietly(&lab, ask("drain", parameters(5)).await, 422, "unknown_runbook", "/runbook").await?;
    let request = |repository: &str, commit: &str| ObservationRequest {
        repository: repository.to_owned(),
        commit: commit.to_owned(),
        runbook: "scale".to_owned(),
        parameters: parameters(5),
    };
    let agent = agent_named("ops-bot");
    let elsewhere = lab.engine.observe(&agent, request("https://192.0.2.1/x", &commit), None).await;
    quietly(&lab, elsewhere, 422, "unknown_repository", "/repository").await?;
    let short = lab.engine.observe(&agent, request("homelab", &commit[..8]), None).await;
    quietly(&lab, short, 422, "invalid_commit", "/commit").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_needs_the_scopes_that_a_call_needs() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    let request = || ObservationRequest {
        repository: "homelab".to_owned(),
        commit: commit.clone(),
        runbook: "scale".to_owned(),
        parameters: parameters(5),
    };
    let mut agent = agent_named("ops-bot");
    agent.paths = vec!["kubernetes/applications/blog/**".to_owned()];
    let refused = lab.engine.observe(&agent, request(), None).await;
    quietly(&lab, refused, 403, "path_out_of_scope", "/parameters").await?;
    agent.paths = vec!["kubernetes/**".to_owned()];
    agent.runbooks = vec!["restart".parse()?];
    let refused = lab.engine.observe(&agent, request(), None).await;
    quietly(&lab, refused, 422, "unknown_runbook", "/runbook").await?;
    agent.runbooks = vec!["scale".parse()?];
    id(lab.engine.observe(&agent, request(), None).await)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reports_what_the_service_pushed_for_it_is_told_so() -> Result<()> {
    let lab = Lab::start().await?;
    let run = lab.run("scale", parameters(5)).await?;
    let commit = lab.ended(run).await?.commit.context("a commit")?.to_string();
    let reported = observe(&lab, "ops-bot", &commit, "scale", parameters(5)).await;
    quietly(&lab, reported, 409, "already_explained", "/commit").await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_reports_count_and_ring_a_few_times_only() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.hourly_per_agent = 12;
    let lab = Lab::with(options).await?;
    let commits: Vec<String> = (3..9).map(|replicas| pushed_on(&lab, replicas)).collect::<Result<_>>()?;
    // Each commit twice, none of them what it is said to be; then more than the hour allows.
    for commit in commits.iter().flat_map(|commit| [commit, commit]) {
        let problem = observe(&lab, "ops-bot", commit, "scale", parameters(19))
            .await
            .err()
            .context("refused")?;
        ensure!(problem.code == "observation_refused", "{problem:?}");
    }
    for _ in 0..20 {
        let problem = observe(&lab, "ops-bot", &commits[0], "scale", parameters(19))
            .await
            .err()
            .context("refused")?;
        ensure!(
            (problem.status, problem.code, problem.retry_after.is_some()) == (429, "too_many_proposals", true),
            "{problem:?}"
        );
    }
    let called = lab.run("scale", parameters(7)).await;
    ensure!(called.is_err_and(|error| error.to_string().contains("too_many_proposals")));
    let me = lab.engine.me(&agent_named("ops-bot")).await?;
    assert_eq!(me.hour, (12, 12));
    // Another agent's alarm comes last, so that all earlier ones have been sent when it is there.
    let other = observe(&lab, "other-bot", &commits[0], "scale", parameters(19)).await;
    alarms(&lab, other, 422, "other-bot reported").await?;
    let audit = lab.whole_audit().await?;
    let count = |event: &str| audit.iter().filter(|(name, _)| name == event).count();
    assert_eq!((count("alarm"), count("observation_refused")), (4, 9), "every report has its row");
    let rung: Vec<_> = lab
        .telegram
        .messages(CHAT)
        .into_iter()
        .filter(|message| message.text.contains("ALARM"))
        .collect();
    assert_eq!(rung.len(), 4, "three for one agent, one for the other");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_reports_that_race_one_makes_a_document() -> Result<()> {
    let lab = Lab::start().await?;
    let commit = pushed(&lab, 5)?;
    let one = || observe(&lab, "ops-bot", &commit, "scale", parameters(5));
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    let ids = [a, b, c, d]
        .into_iter()
        .map(id)
        .collect::<Result<std::collections::BTreeSet<_>>>()?;
    assert_eq!(ids.len(), 1);
    lab.invariants().await
}

/// As [`pushed`], whatever the branch holds now.
fn pushed_on(lab: &Lab, replicas: u32) -> Result<String> {
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let lines = text.lines().map(|line| match line.trim_start().starts_with("replicas:") {
        true => format!("  replicas: {replicas}\n"),
        false => format!("{line}\n"),
    });
    Ok(lab.repo.commit_on_top(
        &[Change::write(DEPLOYMENT, lines.collect::<String>())],
        "Scale web",
        "Agent <agent@example.com>",
    )?)
}
