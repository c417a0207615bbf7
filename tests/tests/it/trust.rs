//! The trust ledger from the outside: runs become evidence, evidence takes tiers away, people give them back.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::ledger::{Trial, TrialResult};
use domain::{Decision, Delivery, Outcome, Policy, Proposal, ProposalId, Sha256Hash, Tier};
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, LabOptions, PATIENCE, POLICY, RUNBOOK, agent_named};
use end_to_end::{Lab, record};
use engine::{Book, Content, Created, ObservationRequest};
use serde_json::json;
use simulators::argocd::Behaviour;
use simulators::git::Change;

const DEPLOYMENT: &str = "kubernetes/applications/web/deployment.yaml";

/// The shipped runbook, with more at its end.
fn runbook(more: &str) -> String {
    format!("{RUNBOOK}\n{more}\n")
}

/// A run counts as soon as it is healthy: no test waits five minutes.
const AT_ONCE: &str = "[verify]\nstable_for = \"0s\"";

/// The lab's policy with a grant of this runbook, or without any.
fn policy(granted: Option<(&str, &str)>) -> String {
    let rules = POLICY.split("[[grants]]").next().unwrap_or_default();
    let grant = granted.map(|(runbook, until)| {
        let hash = Sha256Hash::of(runbook.as_bytes());
        format!("[[grants]]\nrunbook = \"scale\"\nrepository = \"homelab\"\nhash = \"{hash}\"\nuntil = {until}\n")
    });
    format!("{rules}{}", grant.unwrap_or_default())
}

/// A lab whose policy grants its runbook, which has this at its end.
async fn granted(more: &str) -> Result<Lab> {
    let runbook = runbook(more);
    Lab::with(LabOptions {
        policy: policy(Some((&runbook, "2099-12-31"))),
        runbook,
        ..LabOptions::default()
    })
    .await
}

async fn scaled(lab: &Lab, replicas: u32) -> Result<ProposalId> {
    lab.run("scale", json!({ "app": "web", "replicas": replicas })).await
}

/// The trial of a run as soon as it is as wished.
async fn tried(lab: &Lab, id: ProposalId, what: &str, wished: impl Fn(&Trial) -> bool) -> Result<Trial> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let trial = lab.engine.store().read().trial(id).await?;
        match trial {
            Some(trial) if wished(&trial) => return Ok(trial),
            trial => ensure!(tokio::time::Instant::now() < deadline, "never {what}: {trial:#?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A proposal that waits for people, with the sentence why.
async fn asked(lab: &Lab, id: ProposalId, why: &str) -> Result<Proposal> {
    let proposal = lab.proposal(id).await?;
    ensure!(
        proposal.tier() == Tier::Prompted && proposal.revision.route.why.contains(why),
        "{}: {}",
        proposal.tier(),
        proposal.revision.route.why
    );
    Ok(proposal)
}

#[test]
fn the_hashes_that_the_shipped_policies_grant_are_those_of_the_shipped_runbooks() {
    let shipped = [
        ("scale", RUNBOOK),
        ("restart", include_str!("../../../config/runbooks/restart.toml")),
    ];
    for policy in [POLICY, include_str!("../../../config/policy.toml")] {
        let policy = Policy::parse(policy).expect("a policy");
        assert!(!policy.grants().is_empty());
        for grant in policy.grants() {
            let (_, text) = shipped
                .iter()
                .find(|(name, _)| *name == grant.key.runbook.as_str())
                .expect("shipped");
            assert_eq!(
                grant.key.hash,
                Sha256Hash::of(text.as_bytes()),
                "{}: write the new hash",
                grant.key.runbook
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_takes_standard_away_at_once_and_a_second_one_makes_it_manual() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    let good = scaled(&lab, 5).await?;
    assert_eq!(lab.ended(good).await?.tier(), Tier::Standard);
    let trial = tried(&lab, good, "successful", |trial| trial.result == TrialResult::Succeeded).await?;
    assert_eq!((trial.tier, trial.target.to_string().as_str()), (Tier::Standard, DEPLOYMENT));
    assert_eq!(trial.closes_at - trial.started_at, chrono::Duration::hours(24));

    lab.argocd.set_behaviour("web", Behaviour::SyncFails);
    let bad = scaled(&lab, 6).await?;
    assert_eq!(lab.ended(bad).await?.outcome, Some(Outcome::SyncFailed));
    let trial = tried(&lab, bad, "failed", |trial| trial.result == TrialResult::SyncFailed).await?;
    assert!(trial.settled_at.is_some());
    let told = lab
        .said(
            CHAT,
            0,
            &["ALARM", "Runbook scale in homelab/default is prompted from now on", &bad.short()],
        )
        .await?;
    assert!(!told.silent, "a demotion rings");
    ensure!(lab.audit(bad).await?.iter().any(|(event, _)| event == "runbook_demoted"));

    lab.argocd.set_behaviour("web", Behaviour::Succeed);
    let next = scaled(&lab, 5).await?;
    asked(&lab, next, "names runbook scale, but it is prompted since").await?;
    let card = lab.card(next, "Approve").await?;
    assert!(card.text.contains("a run failed"), "{}", card.text);
    lab.tap(ALICE, next, "Reject").await?;
    lab.ended(next).await?;

    // A second failure counts from another day on: on one day it would repeat the first.
    lab.advance(Duration::from_secs(26 * 3600));
    lab.argocd.set_behaviour("web", Behaviour::SyncFails);
    let worse = scaled(&lab, 7).await?;
    lab.tap(ALICE, worse, "Approve").await?;
    assert_eq!(lab.ended(worse).await?.outcome, Some(Outcome::SyncFailed));
    lab.said(CHAT, told.id, &["is manual from now on", "/lift scale"]).await?;
    lab.argocd.set_behaviour("web", Behaviour::Succeed);
    let manual = scaled(&lab, 4).await?;
    let route = lab.proposal(manual).await?.revision.route;
    assert_eq!(route.tier, Tier::Manual, "{}", route.why);

    lab.command(CAROL, CHAT, "/lift scale", &["Only approvers of scale can do that: operators"])
        .await?;
    lab.command(BOB, CHAT, "/lift scale", &["may ask people again"]).await?;
    let after = scaled(&lab, 3).await?;
    asked(&lab, after, "prompted since").await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_holds_the_runbook_on_its_paths_until_a_human_lifts_it() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    let run = scaled(&lab, 5).await?;
    lab.ended(run).await?;
    lab.tap(ALICE, run, "Revert").await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all[0].id;
    lab.tap(BOB, revert, "Approve").await?;
    assert_eq!(
        lab.ended(revert).await?.outcome,
        Some(Outcome::Synced),
        "a revert is no run: nothing holds it"
    );
    tried(&lab, run, "reverted", |trial| trial.result == TrialResult::Reverted).await?;
    lab.said(
        CHAT,
        0,
        &[
            "Runbook scale",
            "was reverted",
            "it is on hold on the files of that run until /lift scale",
        ],
    )
    .await?;

    let refused = scaled(&lab, 4).await.expect_err("on hold").to_string();
    assert!(
        refused.starts_with("runbook_held: scale is on hold for kubernetes/applications/web/deployment.yaml"),
        "{refused}"
    );
    let shown = lab.command(ALICE, CHAT, "/runbooks", &["⛔ scale in homelab/default"]).await?;
    lab.command(ALICE, CHAT, "/lift scale", &["1 hold of runbook scale lifted"]).await?;
    let next = scaled(&lab, 4).await?;
    asked(&lab, next, "a run was reverted").await?;
    lab.command(ALICE, CHAT, "/lift scale", &["Nothing stops runbook scale"]).await?;
    ensure!(shown.id > 0);
    lab.invariants().await
}

/// Whoever wants a run undone must not lose the race against the next one, which nobody asked them about.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_revert_waits_for_people_runs_on_its_files_ask_them() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    let run = scaled(&lab, 5).await?;
    assert_eq!(lab.ended(run).await?.tier(), Tier::Standard);
    lab.tap(ALICE, run, "Revert").await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all[0].id;
    let next = scaled(&lab, 4).await?;
    asked(&lab, next, &format!("revert {} of the same files waits for people", revert.short())).await?;
    assert_eq!(lab.proposal(revert).await?.outcome, None);
    lab.tap(BOB, revert, "Reject").await?;
    lab.ended(revert).await?;
    lab.tap(BOB, next, "Reject").await?;
    lab.ended(next).await?;
    let then = scaled(&lab, 3).await?;
    assert_eq!(lab.ended(then).await?.tier(), Tier::Standard, "nobody wants it undone any more");
    lab.invariants().await
}

/// Without an Argo CD nothing is ever verified: that is said before the first run, and nothing is held against the runbook.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_see_how_a_run_ends_people_are_asked_from_the_start() -> Result<()> {
    const WHY: &str = "repository homelab has no Argo CD that tells how a run ends";
    let runbook = runbook(AT_ONCE);
    let mut lab = Lab::with(LabOptions {
        policy: policy(Some((&runbook, "2099-12-31"))),
        runbook,
        argocd: false,
        ..LabOptions::default()
    })
    .await?;
    let mut last = None;
    // Three: if they counted, the second would make the runbook manual.
    for replicas in [5, 6, 7] {
        let run = scaled(&lab, replicas).await?;
        asked(&lab, run, WHY).await?;
        lab.tap(ALICE, run, "Approve").await?;
        assert_eq!(lab.ended(run).await?.outcome, Some(Outcome::Pushed));
        assert_eq!(lab.engine.store().read().trial(run).await?, None);
        last = Some(run);
    }
    lab.command(ALICE, CHAT, "/trust scale", &["prompted", WHY]).await?;
    // What an agent pushes by itself rings with the same reason.
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?.replace("replicas: 7", "replicas: 8");
    let commit = lab
        .repo
        .commit_on_top(&[Change::write(DEPLOYMENT, text)], "Scale web", "Agent <agent@example.com>")?;
    let report = ObservationRequest {
        repository: "homelab".to_owned(),
        commit,
        runbook: "scale".to_owned(),
        parameters: json!({ "app": "web", "replicas": 8 }),
    };
    let problem = lab.engine.observe(&agent_named("ops-bot"), report, None).await.err();
    ensure!(problem.as_ref().is_some_and(|problem| problem.detail.contains(WHY)), "{problem:?}");
    // A revert stops the runbook there, as anywhere.
    let (agent, run) = (agent_named("ops-bot"), last.context("no run")?);
    let back = [Change::write(
        DEPLOYMENT,
        String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?.replace("replicas: 8", "replicas: 7"),
    )];
    lab.repo.commit_on_top(&back, "Back to seven", "Agent <agent@example.com>")?;
    let Ok(Created::New(revert)) = lab.engine.revert(&agent, run, None, None).await else {
        return Err(anyhow!("no revert"));
    };
    lab.tap(ALICE, revert.id, "Approve").await?;
    lab.until(run, "reverted", |run| run.reverted_by.is_some()).await?;
    let held = lab.run("scale", json!({ "app": "web", "replicas": 9 })).await;
    ensure!(held.as_ref().is_err_and(|error| error.to_string().contains("on hold")), "{held:?}");
    lab.command(ALICE, CHAT, "/lift scale", &["lifted"]).await?;
    // With an Argo CD the grant counts.
    lab.reconfigure(|options| options.argocd = true);
    lab.restart().await?;
    let run = scaled(&lab, 9).await?;
    let ended = lab.ended(run).await?;
    assert_eq!((ended.tier(), ended.outcome), (Tier::Standard, Some(Outcome::Synced)));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_the_end_counts_as_a_failure() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    // An Argo CD is there, but none of its applications tracks the files any more.
    lab.argocd.delete_app("web");
    let run = scaled(&lab, 5).await?;
    assert_eq!(lab.ended(run).await?.outcome, Some(Outcome::Pushed));
    tried(&lab, run, "unknown", |trial| trial.result == TrialResult::Unknown).await?;
    let next = scaled(&lab, 6).await?;
    asked(&lab, next, "nobody can say how a run ended").await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_must_stay_healthy_and_a_restart_forgets_nothing() -> Result<()> {
    let mut lab = granted("[verify]\nstable_for = \"3s\"").await?;
    let run = scaled(&lab, 5).await?;
    lab.ended(run).await?;
    lab.restart().await?;
    let trial = tried(&lab, run, "stable", |trial| trial.result != TrialResult::Open).await?;
    assert_eq!(trial.result, TrialResult::Succeeded);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_stay_healthy_is_a_failure() -> Result<()> {
    let lab = granted("[verify]\nstable_for = \"1h\"").await?;
    let run = scaled(&lab, 6).await?;
    lab.ended(run).await?;
    let open = lab.engine.store().read().trial(run).await?.context("no trial")?;
    assert_eq!(open.result, TrialResult::Open, "synced, and still watched");
    lab.argocd.set_health("web", "Degraded", "crash loop");
    let trial = tried(&lab, run, "settled", |trial| trial.result != TrialResult::Open).await?;
    assert_eq!(trial.result, TrialResult::Unstable);
    assert_eq!(lab.proposal(run).await?.outcome, Some(Outcome::Synced), "an outcome never changes");
    let next = scaled(&lab, 7).await?;
    asked(&lab, next, "a run failed").await?;
    lab.invariants().await
}

/// The window of a run whose stability nobody saw closes by its timer, and a clock that jumps back opens nothing for good.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_trial_ends_as_unknown_when_its_window_closes() -> Result<()> {
    let mut lab = granted("[verify]\nstable_for = \"20h\"").await?;
    let run = scaled(&lab, 5).await?;
    lab.ended(run).await?;
    // Nobody can look for a day.
    lab.reconfigure(|options| options.argocd = false);
    lab.restart().await?;
    lab.advance(Duration::from_secs(31 * 3600));
    let trial = tried(&lab, run, "closed", |trial| trial.result != TrialResult::Open).await?;
    assert_eq!((trial.result, trial.settled_at), (TrialResult::Unknown, Some(trial.closes_at)));
    lab.said(
        CHAT,
        0,
        &["Runbook scale in homelab/default is prompted from now on", "ended unknown"],
    )
    .await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_voids_a_grant() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let other = format!("{runbook}# edited\n");
    for (policy, why) in [
        (policy(None), "not promoted yet"),
        (policy(Some((&runbook, "2026-01-01"))), "its promotion ended on 2026-01-02"),
        (policy(Some((&other, "2099-12-31"))), "not promoted yet"),
        (
            policy(Some((&runbook, "2099-12-31"))).replace("hash =", "class = \"test\"\nhash ="),
            "not promoted yet",
        ),
    ] {
        let lab = Lab::with(LabOptions {
            policy,
            runbook: runbook.clone(),
            ..LabOptions::default()
        })
        .await?;
        let run = scaled(&lab, 5).await?;
        asked(&lab, run, why).await?;
        lab.tap(ALICE, run, "Approve").await?;
        assert_eq!(lab.ended(run).await?.outcome, Some(Outcome::Synced));
        tried(&lab, run, "successful", |trial| {
            trial.result == TrialResult::Succeeded && trial.tier == Tier::Prompted
        })
        .await?;
        lab.invariants().await?;
    }
    Ok(())
}

/// Frozen: what is approved, or needs no approval, waits in the queue.
fn frozen(policy: &str) -> String {
    format!("{policy}\n[[freezes]]\nname = \"holidays\"\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n")
}

fn book(policy: &str, runbook: &str) -> Result<Book> {
    let policy = Policy::parse(policy).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbook = changes::Runbook::parse(runbook, "scale.toml").map_err(|problems| anyhow!("{problems:?}"))?;
    Ok(Book::new(policy, vec![runbook]))
}

/// Asked again just before the push: what its runbook was trusted with at intake is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_does_not_go_out_by_itself_after_its_runbook_was_demoted() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let open = policy(Some((&runbook, "2099-12-31")));
    let lab = granted(AT_ONCE).await?;
    let first = scaled(&lab, 5).await?;
    lab.ended(first).await?;
    lab.engine.put_in_force(book(&frozen(&open), &runbook)?);
    let queued = scaled(&lab, 6).await?;
    lab.until(queued, "queued", |p| p.delivery == Delivery::Queued).await?;
    let toast = lab.tap(BOB, first, "Demote").await?;
    assert!(toast.text().contains("asks people from now on"), "{toast:?}");
    assert_eq!(
        lab.tap(CAROL, first, "Demote").await?.text(),
        "you are not among the approvers of this change"
    );
    lab.engine.put_in_force(book(&open, &runbook)?);
    let proposal = lab.until(queued, "asked", |p| p.decision == Decision::Pending).await?;
    assert_eq!(proposal.tier(), Tier::Prompted);
    assert!(
        proposal.revision.route.why.contains("a human took `standard` away"),
        "{}",
        proposal.revision.route.why
    );
    assert_eq!(lab.repo.log(10).len(), 2, "only the first went out");
    lab.tap(ALICE, queued, "Approve").await?;
    assert_eq!(lab.ended(queued).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runbook_edited_between_rendering_and_commit_is_no_longer_trusted() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let open = policy(Some((&runbook, "2099-12-31")));
    let lab = granted(AT_ONCE).await?;
    lab.engine.put_in_force(book(&frozen(&open), &runbook)?);
    let queued = scaled(&lab, 6).await?;
    lab.until(queued, "queued", |p| p.delivery == Delivery::Queued).await?;
    lab.engine.put_in_force(book(&open, &format!("{runbook}# edited\n"))?);
    let proposal = lab.until(queued, "asked", |p| p.decision == Decision::Pending).await?;
    assert!(
        proposal.revision.route.why.contains("was edited"),
        "{}",
        proposal.revision.route.why
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_outside_of_what_was_tried_asks_people_for_that_run_alone() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    let first = scaled(&lab, 5).await?;
    lab.ended(first).await?;
    record::seed(&lab, first, 15).await?;
    let outside = scaled(&lab, 12).await?;
    asked(&lab, outside, "replicas = 12 is outside of what was tried (3 to 5)").await?;
    let within = scaled(&lab, 4).await?;
    assert_eq!(lab.ended(within).await?.tier(), Tier::Standard);

    // Today's runs are open: fifteen past ones are counted.
    let words = ["15 of 15, at least 82 %", "standard until 2100-01-01"];
    let shown = lab.command(ALICE, CHAT, "/trust scale", &words).await?;
    assert!(
        shown
            .document
            .is_some_and(|document| document.photo && document.bytes.starts_with(b"\x89PNG"))
    );
    lab.command(ALICE, CHAT, "/trust what", &["There is no runbook what. There are: scale."])
        .await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_answer_when_there_is_room_again() -> Result<()> {
    let lab = granted("[limits]\nper_hour = 1").await?;
    lab.ended(scaled(&lab, 5).await?).await?;
    let request = end_to_end::lab::request(
        "",
        Content::Runbook {
            name: "scale".to_owned(),
            parameters: json!({ "app": "web", "replicas": 6 }),
        },
    );
    let problem = lab
        .engine
        .propose(&agent_named("ops-bot"), request.clone(), None)
        .await
        .expect_err("one an hour");
    assert_eq!((problem.status, problem.code), (429, "runbook_limit"));
    assert!(problem.retry_after.is_some_and(|wait| wait > 3000 && wait <= 3601), "{problem:?}");
    // People may be asked at any time.
    let asked = engine::ProposalRequest {
        tier: Some(Tier::Prompted),
        ..request
    };
    lab.request("ops-bot", asked).await?;
    lab.advance(Duration::from_secs(3700));
    lab.ended(scaled(&lab, 7).await?).await?;
    lab.invariants().await
}

/// Reported late, a success counts for nothing; whoever may wait reports only what went well.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_counts_only_against_the_runbook() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    for (replicas, late) in [(5, false), (6, true)] {
        let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
        let before = if replicas == 5 { 2 } else { 5 };
        let text = text.replace(&format!("replicas: {before}"), &format!("replicas: {replicas}"));
        let commit = lab
            .repo
            .commit_on_top(&[Change::write(DEPLOYMENT, text)], "Scale web", "Agent <agent@example.com>")?;
        if late {
            lab.advance(Duration::from_secs(15 * 60));
        }
        let request = ObservationRequest {
            repository: "homelab".to_owned(),
            commit,
            runbook: "scale".to_owned(),
            parameters: json!({ "app": "web", "replicas": replicas }),
        };
        let created = lab
            .engine
            .observe(&agent_named("ops-bot"), request, None)
            .await
            .map_err(|problem| anyhow!("{problem}"))?;
        let engine::Created::New(proposal) = created else {
            anyhow::bail!("{created:?}")
        };
        lab.ended(proposal.id).await?;
        tried(&lab, proposal.id, "successful", |trial| trial.result == TrialResult::Succeeded).await?;
    }
    lab.advance(Duration::from_secs(25 * 3600));
    let standings = lab.engine.standings(&"scale".parse()?).await?;
    let counts = standings[0].standing.counts;
    assert_eq!((counts.succeeded, counts.late, standings[0].standing.tier), (1, 1, Tier::Standard));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_say_what_the_runbook_would_have_done() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let lab = Lab::with(LabOptions {
        policy: policy(None),
        runbook,
        ..LabOptions::default()
    })
    .await?;
    let first = scaled(&lab, 5).await?;
    lab.tap(ALICE, first, "Approve").await?;
    lab.ended(first).await?;
    record::seed(&lab, first, 3).await?;
    for (replicas, button) in [(4, "Approve"), (3, "Reject")] {
        let run = scaled(&lab, replicas).await?;
        lab.tap(BOB, run, button).await?;
        lab.ended(run).await?;
    }
    let next = scaled(&lab, 5).await?;
    let card = lab.card(next, "Approve").await?;
    assert!(
        card.text.contains("would have run by itself: 2 of 3 times; humans agreed 1 of 2"),
        "{}",
        card.text
    );
    lab.invariants().await
}

/// The record of a run's runbook was looked at since.
async fn weighed(lab: &Lab, id: ProposalId) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let owed = async || {
        let owed = lab.engine.store().read().effects_waiting(id).await?;
        Ok::<_, anyhow::Error>(owed.iter().any(|owed| owed.key == "weigh_trust"))
    };
    while owed().await? {
        ensure!(tokio::time::Instant::now() < deadline, "the record was never weighed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A record that shows enough, on a runbook that nobody granted anything.
async fn proven(options: LabOptions) -> Result<Lab> {
    let lab = Lab::with(LabOptions {
        runbook: runbook(AT_ONCE),
        ..options
    })
    .await?;
    let first = scaled(&lab, 5).await?;
    lab.tap(ALICE, first, "Approve").await?;
    lab.ended(first).await?;
    record::seed(&lab, first, 14).await?;
    Ok(lab)
}

/// Where the policy is a file of the service, an offer shows the lines that accept it.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_shows_the_lines_that_accept_it_and_what_was_earned_is_lost_at_the_first_failure() -> Result<()> {
    let lab = proven(LabOptions {
        policy: policy(None),
        ..LabOptions::default()
    })
    .await?;
    let told = lab
        .said(
            CHAT,
            0,
            &["Runbook scale may run by itself in homelab/default: 14 of 14, at least 81 %"],
        )
        .await?;
    assert!(!told.silent, "an offer rings");
    let before = asked(&lab, scaled(&lab, 4).await?, "not promoted yet").await?.id;
    lab.tap(ALICE, before, "Reject").await?;
    let lines = told
        .text
        .split("\n\n")
        .find(|part| part.contains("[[grants]]"))
        .context("no lines")?
        .to_owned();
    // Ready to be copied, by a tap on it or on its button, exactly as it is pasted.
    let block = told.html.split_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    assert_eq!(
        block.map(|(block, _)| block),
        Some(lines.replace('"', "&quot;").as_str()),
        "{}",
        told.html
    );
    let copy = told.buttons().next().map(|button| button.action.clone());
    assert_eq!(copy, Some(simulators::telegram::ButtonAction::CopyText(lines.clone())));
    let accepted = format!("{}\n{lines}\n", policy(None));
    lab.engine.put_in_force(book(&accepted, &runbook(AT_ONCE))?);
    let run = scaled(&lab, 3).await?;
    assert_eq!(lab.ended(run).await?.tier(), Tier::Standard);
    // The offer does not stand for ever.
    let edited = lab
        .said(
            CHAT,
            told.id - 1,
            &["✅ Accepted: runbook scale runs by itself in homelab/default to the end of"],
        )
        .await?;
    assert!(edited.id == told.id && edited.keyboard.is_empty(), "{edited:#?}");
    let day = lines.lines().find_map(|line| line.strip_prefix("until = ")).context("no day")?;
    assert!(edited.text.contains(day), "{day}: {}", edited.text);
    lab.command(ALICE, CHAT, "/notnow scale", &["No promotion of runbook scale is offered"])
        .await?;
    asked(&lab, scaled(&lab, 9).await?, "outside of what was tried").await?;
    ensure!(
        lab.whole_audit().await?.iter().any(|(event, _)| event == "promotion_offered"),
        "the offer is audited"
    );
    lab.argocd.set_behaviour("web", Behaviour::Degraded);
    let bad = scaled(&lab, 5).await?;
    assert_eq!(lab.ended(bad).await?.outcome, Some(Outcome::Degraded));
    lab.said(CHAT, told.id, &["is prompted from now on"]).await?;
    asked(&lab, scaled(&lab, 4).await?, "a run failed").await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_turned_down_or_taken_back() -> Result<()> {
    let lab = proven(LabOptions {
        policy: policy(None),
        ..LabOptions::default()
    })
    .await?;
    let told = lab.said(CHAT, 0, &["Runbook scale may run by itself"]).await?;
    lab.command(CAROL, CHAT, "/notnow scale", &["Only approvers of scale"]).await?;
    // There is nothing to take away, and that is no answer to the offer.
    lab.command(
        ALICE,
        CHAT,
        "/demote scale",
        &["asks people already: there is no standard to take away; /notnow scale"],
    )
    .await?;
    ensure!(!lab.whole_audit().await?.iter().any(|(event, _)| event == "runbook_demoted"));
    lab.command(ALICE, CHAT, "/trust scale", &["A promotion is offered."]).await?;
    lab.command(ALICE, CHAT, "/notnow scale", &["goes on asking people"]).await?;
    let edited = lab
        .said(CHAT, told.id - 1, &["No longer offered: runbook scale", "alice turned it down"])
        .await?;
    assert_eq!(edited.id, told.id);
    lab.command(ALICE, CHAT, "/notnow scale", &["No promotion of runbook scale is offered"])
        .await?;

    let lab = proven(LabOptions {
        policy: policy(None),
        ..LabOptions::default()
    })
    .await?;
    lab.said(CHAT, 0, &["Runbook scale may run by itself"]).await?;
    lab.argocd.set_behaviour("web", Behaviour::SyncFails);
    let bad = scaled(&lab, 4).await?;
    lab.tap(ALICE, bad, "Approve").await?;
    lab.ended(bad).await?;
    tried(&lab, bad, "failed", |trial| trial.result == TrialResult::SyncFailed).await?;
    ensure!(lab.whole_audit().await?.iter().any(|(event, _)| event == "promotion_void"));
    lab.said(
        CHAT,
        0,
        &[
            "No longer offered: runbook scale",
            "Taken back: the record of runbook scale no longer shows enough",
        ],
    )
    .await?;
    lab.command(ALICE, CHAT, "/notnow scale", &["No promotion of runbook scale is offered"])
        .await?;
    lab.invariants().await
}

/// What went well is told together at the chat's time; what failed at once.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_standard_runs_wait_for_the_digest_and_failures_do_not() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let evening = (chrono::Utc::now() + chrono::Duration::hours(3)).time();
    let lab = Lab::with(LabOptions {
        policy: policy(Some((&runbook, "2099-12-31"))),
        runbook,
        when: engine::When {
            digest: Some(evening),
            quiet: None,
        },
        ..LabOptions::default()
    })
    .await?;
    let good = scaled(&lab, 5).await?;
    lab.ended(good).await?;
    lab.argocd.set_behaviour("web", Behaviour::SyncFails);
    let bad = scaled(&lab, 6).await?;
    lab.ended(bad).await?;
    let notice = lab.said(CHAT, 0, &[&bad.short()]).await?;
    assert!(!notice.silent);
    ensure!(!lab.texts().iter().any(|text| text.contains(&good.short())), "{:#?}", lab.texts());
    lab.advance(Duration::from_secs(3 * 3600 + 60));
    let digest = lab
        .said(CHAT, notice.id, &["2 runs that asked nobody", &good.short(), &bad.short()])
        .await?;
    assert!(digest.silent);
    lab.invariants().await
}

/// At night only what went wrong rings; the rest is told when the night is over.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_standard_runs_wait_for_the_morning_and_failures_do_not() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let now = chrono::Utc::now().time();
    let night = (now - chrono::Duration::hours(1), now + chrono::Duration::hours(3));
    let lab = Lab::with(LabOptions {
        policy: policy(Some((&runbook, "2099-12-31"))),
        runbook,
        when: engine::When {
            digest: None,
            quiet: Some(night),
        },
        ..LabOptions::default()
    })
    .await?;
    let good = scaled(&lab, 5).await?;
    lab.ended(good).await?;
    lab.argocd.set_behaviour("web", Behaviour::SyncFails);
    let bad = scaled(&lab, 6).await?;
    lab.ended(bad).await?;
    let notice = lab.said(CHAT, 0, &[&bad.short()]).await?;
    assert!(!notice.silent, "what failed rings at night");
    ensure!(!lab.texts().iter().any(|text| text.contains(&good.short())), "{:#?}", lab.texts());
    lab.advance(Duration::from_secs(3 * 3600 + 60));
    lab.said(CHAT, notice.id, &[&good.short()]).await?;
    lab.invariants().await
}

/// Runs on one target within a day are one piece of evidence.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_on_one_target_within_a_day_count_once() -> Result<()> {
    let lab = granted(AT_ONCE).await?;
    for (round, replicas) in [[5, 6, 7], [4, 3, 5]].into_iter().enumerate() {
        for replicas in replicas {
            let run = scaled(&lab, replicas).await?;
            lab.ended(run).await?;
            tried(&lab, run, "successful", |trial| trial.result == TrialResult::Succeeded).await?;
        }
        lab.advance(Duration::from_secs(26 * 3600));
        let standings = lab.engine.standings(&"scale".parse()?).await?;
        let counts = standings[0].standing.counts;
        assert_eq!((counts.succeeded, counts.repeats, counts.targets), (round + 1, 2 * (round + 1), 1));
    }
    let legend = "Picture: a square for each run, oldest first";
    lab.command(ALICE, CHAT, "/trust scale", &["2 of 2, at least", legend, "its mark 80 %"])
        .await?;
    lab.invariants().await
}

/// No grant lifts a runbook above its own ceiling, and no record is offered what it must not have.
#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_of_a_runbook_bounds_its_trust() -> Result<()> {
    let low = runbook(AT_ONCE).replace("ceiling = \"standard\"", "ceiling = \"prompted\"");
    let lab = Lab::with(LabOptions {
        policy: policy(Some((&low, "2099-12-31"))),
        runbook: low.clone(),
        ..LabOptions::default()
    })
    .await?;
    let run = scaled(&lab, 5).await?;
    asked(&lab, run, "its file allows no more").await?;
    lab.tap(ALICE, run, "Approve").await?;
    lab.ended(run).await?;
    lab.engine.put_in_force(book(&policy(None), &low)?);
    record::seed(&lab, run, 20).await?;
    weighed(&lab, ProposalId::new(uuid::Uuid::from_u128(20))).await?;
    let standings = lab.engine.standings(&"scale".parse()?).await?;
    assert_eq!(standings[0].standing.counts.succeeded, 20);
    ensure!(!lab.whole_audit().await?.iter().any(|(event, _)| event == "promotion_offered"));
    lab.invariants().await
}

/// An offer is made when nothing is missing any more, and not one run before.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_waits_for_the_last_condition() -> Result<()> {
    let lab = Lab::with(LabOptions {
        policy: policy(None),
        runbook: runbook(AT_ONCE),
        ..LabOptions::default()
    })
    .await?;
    let first = scaled(&lab, 5).await?;
    lab.tap(ALICE, first, "Approve").await?;
    lab.ended(first).await?;
    // Thirteen without a failure reach the bound; what is missing is one more run.
    record::seed(&lab, first, 13).await?;
    let last = ProposalId::new(uuid::Uuid::from_u128(13));
    weighed(&lab, last).await?;
    lab.command(ALICE, CHAT, "/trust scale", &["13 of 13", "1 more trial (13 of 14)"])
        .await?;
    ensure!(!lab.whole_audit().await?.iter().any(|(event, _)| event == "promotion_offered"));
    // The run that the others were made after counts as soon as its window has closed.
    lab.advance(Duration::from_secs(25 * 3600));
    let told = lab
        .said(
            CHAT,
            0,
            &["Runbook scale may run by itself in homelab/default: 14 of 14, at least 81 %"],
        )
        .await?;
    assert!(told.text.contains("[[grants]]"), "{}", told.text);
    lab.invariants().await
}

/// A repository that carries its own policy, and the offer of a promotion there: a card.
async fn offered_by_card() -> Result<(Lab, String, ProposalId)> {
    let own = policy(None);
    let theirs = format!(
        "version = 1\n\n# who may do what\n[[rules]]{}",
        own.split_once("[[rules]]").context("no rules")?.1
    );
    let lab = Lab::with(LabOptions {
        policy: format!("{own}\n[promotions]\napprovers = \"operators\"\nquorum = 2\n"),
        repository_policy: Some(HOME.to_owned()),
        runbook: runbook(AT_ONCE),
        ..LabOptions::default()
    })
    .await?;
    lab.repo
        .commit_on_top(&[Change::write(HOME, theirs.clone())], "Our policy", "Alice <alice@example.com>")?;
    let first = scaled(&lab, 5).await?;
    lab.tap(ALICE, first, "Approve").await?;
    lab.ended(first).await?;
    record::seed(&lab, first, 14).await?;

    let card = lab
        .said(
            CHAT,
            0,
            &["Let runbook scale run by itself in homelab/default", "14 of 14, at least 81 %"],
        )
        .await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let offer = all
        .iter()
        .find(|proposal| proposal.revision.facts.promotion.is_some())
        .context("no offer")?
        .id;
    assert!(card.text.contains(&offer.short()), "{}", card.text);
    Ok((lab, theirs, offer))
}

const HOME: &str = ".countersign/policy.toml";

/// Where the repository carries its own policy, the offer is a card: approving it commits the grant, and the runbook runs by itself from then on.
#[tokio::test(flavor = "multi_thread")]
async fn approving_an_offer_commits_the_grant_to_the_repositorys_policy() -> Result<()> {
    let (lab, theirs, offer) = offered_by_card().await?;
    let before = asked(&lab, scaled(&lab, 4).await?, "not promoted yet").await?.id;
    assert_eq!(
        lab.tap(CAROL, offer, "Approve").await?.text(),
        "you are not among the approvers of this change"
    );
    lab.tap(ALICE, offer, "Approve").await?;
    lab.tap(BOB, offer, "Approve").await?;
    assert_eq!(lab.ended(offer).await?.outcome, Some(Outcome::Pushed));
    let written = String::from_utf8(lab.repo.read(HOME).context("no policy")?)?;
    let grant = written.strip_prefix(&theirs).context("the rest stays byte for byte")?;
    assert!(grant.contains("[[grants]]\nrunbook = \"scale\""), "{grant}");
    let last = (lab.engine.now() + chrono::Duration::days(90)).date_naive();
    ensure!(
        [last, last.pred_opt().context("a day")?]
            .iter()
            .any(|day| grant.contains(&format!("until = {day}"))),
        "{grant}"
    );

    let run = scaled(&lab, 3).await?;
    let run = lab.ended(run).await?;
    assert_eq!(run.tier(), Tier::Standard, "{}", run.revision.route.why);
    // Whom people were asked about before is rendered anew, and stays theirs to decide.
    lab.until(before, "rendered anew", |p| p.revision.number == 2).await?;
    asked(&lab, before, "people were asked when it came in").await?;
    lab.tap(ALICE, before, "Reject").await?;
    // What was earned holds for what was tried.
    let outside = scaled(&lab, 9).await?;
    asked(&lab, outside, "outside of what was tried").await?;
    lab.tap(ALICE, outside, "Reject").await?;
    lab.ended(outside).await?;
    // For that run alone.
    let run = scaled(&lab, 4).await?;
    assert_eq!(lab.ended(run).await?.tier(), Tier::Standard);
    // What was given by a card is taken away by a command, once.
    lab.command(ALICE, CHAT, "/demote scale", &["alice took standard away"]).await?;
    lab.command(
        BOB,
        CHAT,
        "/demote scale",
        &["asks people already: there is no standard to take away"],
    )
    .await?;
    asked(&lab, scaled(&lab, 5).await?, "a human took `standard` away").await?;
    lab.invariants().await
}

/// Who turned an offer down by a command has answered its card, too: nobody approves it later.
#[tokio::test(flavor = "multi_thread")]
async fn turning_an_offer_down_ends_its_card() -> Result<()> {
    let (lab, theirs, offer) = offered_by_card().await?;
    lab.command(ALICE, CHAT, "/demote scale", &["asks people already"]).await?;
    assert_eq!(lab.proposal(offer).await?.decision, Decision::Pending, "no answer to the offer");
    lab.command(ALICE, CHAT, "/notnow scale", &["goes on asking people"]).await?;
    assert_eq!(lab.ended(offer).await?.outcome, Some(Outcome::Refused));
    lab.card_saying(offer, "alice turned it down").await?;
    assert_eq!(lab.repo.read(HOME).as_deref(), Some(theirs.as_bytes()));
    asked(&lab, scaled(&lab, 4).await?, "not promoted yet").await?;
    lab.invariants().await
}

/// The policy is a file of the service: the offered lines, put where the offer says, promote at the next look at the file.
#[tokio::test(flavor = "multi_thread")]
async fn lines_pasted_into_the_policys_file_promote_in_place_of_an_earlier_grant() -> Result<()> {
    let runbook = runbook(AT_ONCE);
    let lab = Lab::with(LabOptions {
        policy: policy(None),
        runbook: runbook.clone(),
        ..LabOptions::default()
    })
    .await?;
    let house = lab.folder().join("house");
    let (file, runbooks) = (house.join("policy.toml"), house.join("runbooks"));
    std::fs::create_dir_all(&runbooks)?;
    std::fs::write(runbooks.join("scale.toml"), &runbook)?;
    std::fs::write(&file, policy(Some((&runbook, "2020-12-31"))))?;
    lab.engine
        .put_in_force(Book::load(&file, Some(&runbooks)).map_err(|problems| anyhow!("{problems:?}"))?);
    let first = scaled(&lab, 5).await?;
    lab.tap(ALICE, first, "Approve").await?;
    lab.ended(first).await?;
    record::seed(&lab, first, 14).await?;

    let place = format!("put this in place of its [[grants]] entry in {}:", file.display());
    let told = lab.said(CHAT, 0, &["Runbook scale may run by itself", &place]).await?;
    let lines = told
        .text
        .split("\n\n")
        .find(|part| part.starts_with("[[grants]]"))
        .context("no lines")?;
    // Beside the earlier entry they would say two things of one record.
    let twice = format!("{}\n{lines}\n", std::fs::read_to_string(&file)?);
    ensure!(Policy::parse(&twice).is_err_and(|problems| format!("{problems:?}").contains("stands there twice")));
    std::fs::write(&file, format!("{}\n{lines}\n", policy(None)))?;
    let edited = lab.said(CHAT, told.id - 1, &["✅ Accepted: runbook scale runs by itself"]).await?;
    assert_eq!(edited.id, told.id);
    let run = scaled(&lab, 3).await?;
    assert_eq!(lab.ended(run).await?.tier(), Tier::Standard);
    lab.invariants().await
}
