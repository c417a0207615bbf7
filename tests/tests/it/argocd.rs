//! What becomes of a commit in the cluster, as people and agents are told.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Delivery, Outcome, Proposal, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, LabOptions, MALLORY, PATIENCE, files, request};
use engine::ProposalRequest;
use simulators::argocd::{ApplicationSpec, Behaviour, Endpoint, Fault};
use simulators::telegram::{Tap, Tapper};

const VALUES: &str = "kubernetes/applications/blog/values.yaml";

async fn approved(lab: &Lab, replicas: u32) -> Result<ProposalId> {
    let text = format!("replicaCount: {replicas}\ntheme:\n  colour: blue\n");
    let id = lab.propose("Scale the blog", &[(VALUES, Some(&text))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    Ok(id)
}

/// An application whose state, as the API shows it, is this word.
async fn shows(lab: &Lab, id: ProposalId, word: &str) -> Result<Proposal> {
    lab.until(id, word, |p| p.applications.iter().any(|app| app.state == word)).await
}

/// How many messages made phones ring after this one.
fn rings(lab: &Lab, after: i64) -> usize {
    lab.telegram
        .messages(CHAT)
        .iter()
        .filter(|m| m.id > after && m.from == Some(lab.telegram.bot().id) && !m.silent)
        .count()
}

/// A failed end: told once with sound, and the card says what is wrong.
async fn fails(lab: &Lab, behaviour: Behaviour, outcome: Outcome, words: &[&str]) -> Result<ProposalId> {
    lab.argocd.set_behaviour("blog", behaviour);
    let id = approved(lab, 2).await?;
    let card = lab.card(id, "Revert").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(outcome));
    let notice = lab.said(CHAT, card.id, words).await?;
    ensure!(!notice.silent && notice.reply_to == Some(card.id), "{notice:#?}");
    ensure!(rings(lab, card.id) == 1, "rang more than once: {:#?}", lab.texts());
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_degraded_application_is_a_failure_and_a_later_recovery_is_noted() -> Result<()> {
    let lab = Lab::start().await?;
    let id = fails(
        &lab,
        Behaviour::Degraded,
        Outcome::Degraded,
        &["blog", "degraded: Deployment exceeded"],
    )
    .await?;
    lab.argocd.set_behaviour("blog", Behaviour::Succeed);
    lab.argocd.set_health("blog", "Healthy", "");
    let proposal = lab.until(id, "recovered", |p| p.recovered_at.is_some()).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Degraded), "an outcome never changes");
    let card = lab.said(CHAT, 0, &["· recovered", &id.short(), "digest"]).await?;
    assert!(
        card.text.contains("At first: ") && !card.text.contains("🔴"),
        "what is over stands as such: {}",
        card.text
    );
    let told = lab
        .said(CHAT, card.id, &["recovered: synced and healthy after all", &id.short()])
        .await?;
    assert!(told.silent && told.reply_to == Some(card.id), "{told:#?}");
    assert_eq!(rings(&lab, card.id), 1, "the failure alone rang");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_appears_after_the_push_is_followed_too() -> Result<()> {
    let lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", Behaviour::Progressing);
    let id = approved(&lab, 2).await?;
    shows(&lab, id, "settling").await?;
    lab.argocd.add_app(ApplicationSpec::new(
        "mirror",
        &lab.git.url("homelab"),
        "kubernetes/applications/blog",
    ));
    let both = lab.until(id, "followed in both", |p| p.applications.len() == 2).await?;
    assert!(both.applications.iter().any(|app| app.name == "mirror"), "{both:#?}");
    lab.argocd.set_behaviour("blog", Behaviour::Succeed);
    lab.argocd.set_health("blog", "Healthy", "");
    let proposal = lab.ended(id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Synced), "{:#?}", proposal.applications);
    assert!(
        proposal.applications.iter().all(|app| app.state == "synced"),
        "{:#?}",
        proposal.applications
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_told_with_the_clusters_words() -> Result<()> {
    let lab = Lab::start().await?;
    fails(&lab, Behaviour::SyncFails, Outcome::SyncFailed, &["blog", "Why:"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_healthy_times_out_and_is_not_called_a_failed_sync() -> Result<()> {
    let lab = Lab::with(LabOptions {
        argocd_deadline: Duration::from_secs(4),
        ..LabOptions::default()
    })
    .await?;
    fails(&lab, Behaviour::Progressing, Outcome::TimedOut, &["blog"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_rolled_back_by_somebody_is_seen() -> Result<()> {
    let lab = Lab::start().await?;
    let first = approved(&lab, 2).await?;
    lab.ended(first).await?;
    lab.argocd.set_behaviour("blog", Behaviour::Progressing);
    let id = approved(&lab, 3).await?;
    let commit = lab
        .until(id, "pushed", |p| p.commit.is_some())
        .await?
        .commit
        .context("a commit")?
        .to_string();
    lab.argocd
        .wait_for(PATIENCE, |apps| {
            apps.iter()
                .any(|app| app.name == "blog" && app.revision == commit && app.phase == "Succeeded")
        })
        .await
        .map_err(|why| anyhow!(why))?;
    lab.until(id, "seen as deployed", |p| {
        p.applications.iter().any(|app| app.headline.starts_with("Deployed at"))
    })
    .await?;
    lab.argocd.rollback_app("blog")?;
    let proposal = lab.ended(id).await?;
    assert_eq!(
        proposal.outcome,
        Some(Outcome::RolledBack),
        "{:#?} {:#}",
        proposal.applications,
        lab.argocd.app("blog")
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_argocd_the_end_is_pushed_and_the_card_says_why() -> Result<()> {
    let lab = Lab::with(LabOptions {
        argocd: false,
        ..LabOptions::default()
    })
    .await?;
    let id = approved(&lab, 2).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Pushed));
    lab.said(CHAT, 0, &[&id.short(), "no Argo CD is configured"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_application_tracks_end_as_pushed() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Elsewhere", &[("kubernetes/other/notes.yaml", Some("a: 1\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    let proposal = lab.ended(id).await?;
    assert_eq!((proposal.outcome, proposal.applications.len()), (Some(Outcome::Pushed), 0));
    lab.said(CHAT, 0, &[&id.short(), "no application tracks these files"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_may_ask_for_a_sync_there_is_no_button_and_none_works() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", Behaviour::AutoSyncOff);
    let id = approved(&lab, 2).await?;
    shows(&lab, id, "needs_sync").await?;
    let old = lab.forged(ALICE, id, "Sync blog").await?;
    lab.reconfigure(|options| options.sync_on_request = false);
    lab.restart().await?;
    lab.telegram
        .wait_for(PATIENCE, |state| {
            let card = state.message(CHAT, old.message_id)?;
            (!card.keyboard_text().contains("Sync")).then_some(())
        })
        .await
        .with_context(|| format!("the button stays: {:#?}", lab.texts()))?;
    assert_eq!(lab.send(old).await.text(), "syncing from here is not allowed");
    assert_eq!(lab.argocd.count(Endpoint::Sync), 0);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_automatic_sync_off_an_approver_syncs_from_the_card() -> Result<()> {
    let lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", Behaviour::AutoSyncOff);
    let id = approved(&lab, 2).await?;
    shows(&lab, id, "needs_sync").await?;
    let sync = lab.forged(ALICE, id, "Sync blog").await?;
    let powerless = Tap {
        from: Tapper::User(MALLORY),
        ..sync.clone()
    };
    assert_eq!(
        lab.send(powerless).await.text(),
        "you are not among the people of this policy; /whoami tells your id"
    );
    let of_another_group = Tap {
        from: Tapper::User(CAROL),
        ..sync
    };
    assert_eq!(
        lab.send(of_another_group).await.text(),
        "you are not among the approvers of this change"
    );
    assert_eq!(lab.argocd.count(Endpoint::Sync), 0);
    // People are called once: without them it comes no further.
    let called = lab.said(CHAT, 0, &[&id.short(), "pushed; somebody must sync it"]).await?;
    assert!(
        !called.silent && called.text.contains("blog: Waiting for a manual sync"),
        "{called:#?}"
    );

    // What is stopped goes nowhere, by this way neither.
    lab.command(CAROL, CHAT, "/stop", &["Stop 1 stands: all"]).await?;
    let stopped = lab.tap(BOB, id, "Sync blog").await?;
    assert!(
        stopped.text().starts_with("nothing is synced from here while stop 1 stands"),
        "{stopped:?}"
    );
    assert_eq!(lab.argocd.count(Endpoint::Sync), 0);
    lab.command(ALICE, CHAT, "/resume", &["1 more"]).await?;
    lab.command(BOB, CHAT, "/resume", &["is over"]).await?;

    // What is to be done about a refusal stands below the card, too.
    lab.argocd.fail_next(Endpoint::Sync, Fault::Status(403), 1);
    let refused = lab.tap(BOB, id, "Sync blog").await?;
    assert!(refused.text().starts_with("bob asked to sync blog: "), "{refused:?}");
    let below = lab.said(CHAT, 0, &["bob asked to sync blog: "]).await?;
    assert!(below.text.starts_with(refused.text()) && below.reply_to.is_some(), "{below:#?}");

    let commit = lab.proposal(id).await?.commit.context("a commit")?;
    let asked = format!("bob asked Argo CD to sync blog at {}", commit.short());
    assert_eq!(lab.tap(BOB, id, "Sync blog").await?.text(), asked);
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    let operation = lab.argocd.app("blog")["status"]["operationState"]["operation"].to_string();
    assert!(operation.contains(&id.to_string()), "{operation}");
    assert!(
        lab.audit(id)
            .await?
            .iter()
            .any(|(event, said)| event == "sync_requested" && said.starts_with("bob"))
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_applications_trouble_is_not_this_changes_trouble() -> Result<()> {
    let lab = Lab::start().await?;
    lab.argocd.set_health("web", "Degraded", "not our business");
    let id = approved(&lab, 2).await?;
    let proposal = lab.ended(id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Synced));
    assert_eq!(
        proposal.applications.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(),
        ["blog"]
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argocd_that_stumbles_is_asked_again() -> Result<()> {
    let lab = Lab::start().await?;
    lab.argocd.fail_next(Endpoint::List, Fault::Status(429), 1);
    lab.argocd.fail_next(Endpoint::Refresh, Fault::Status(500), 2);
    lab.argocd.fail_next(Endpoint::Stream, Fault::Status(502), 3);
    lab.argocd.drop_streams();
    lab.argocd.lose_refreshes("blog", 1);
    let id = approved(&lab, 2).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argocd_that_cannot_be_reached_at_all_ends_in_a_time_out_never_in_silence() -> Result<()> {
    let lab = Lab::with(LabOptions {
        argocd_deadline: Duration::from_secs(3),
        ..LabOptions::default()
    })
    .await?;
    for endpoint in [Endpoint::List, Endpoint::Stream, Endpoint::Get, Endpoint::Refresh] {
        lab.argocd.fail_next(endpoint, Fault::Status(503), 100_000);
    }
    lab.argocd.drop_streams();
    let id = approved(&lab, 2).await?;
    let ended = lab.ended(id).await?;
    assert_eq!(ended.outcome, Some(Outcome::TimedOut));
    let note = ended.note.unwrap_or_default();
    assert!(note.contains("Argo CD c"), "the cause, not what was seen last: {note}");
    lab.said(CHAT, 0, &["Why:"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_list_is_told_at_once_and_got_over() -> Result<()> {
    for (status, said) in [
        (401, "the token is not accepted"),
        (403, "the token's role lacks the right `applications, get`"),
        (500, "it does not answer"),
    ] {
        let lab = Lab::start().await?;
        // The stream comes and goes without a word, so that only a list can tell.
        lab.argocd.fail_next(Endpoint::Stream, Fault::Hang, 100_000);
        lab.argocd.fail_next(Endpoint::List, Fault::Status(status), 100_000);
        lab.argocd.drop_streams();
        let id = approved(&lab, 2).await?;
        let told = lab
            .until(id, "told", |p| {
                p.note.as_ref().is_some_and(|note| note.starts_with("Argo CD cannot be asked: "))
            })
            .await?;
        assert_eq!((told.delivery, told.outcome), (Delivery::Syncing, None));
        lab.said(CHAT, 0, &[&id.short(), "Argo CD cannot be asked"]).await?;
        let health = lab.engine.health().await;
        assert_eq!(health.argocd[0].problem.as_deref(), Some(said));
        lab.argocd.clear_faults();
        let ended = lab.ended(id).await?;
        assert_eq!((ended.outcome, ended.note), (Some(Outcome::Synced), None));
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_repository_follows_its_own_argocd() -> Result<()> {
    let lab = Lab::with(LabOptions {
        annex: true,
        ..LabOptions::default()
    })
    .await?;
    let (_, theirs) = lab.annex.as_ref().context("the second instance")?;
    theirs.set_behaviour("blog", Behaviour::SyncFails);
    let here = approved(&lab, 2).await?;
    let there = lab
        .request(
            "ops-bot",
            ProposalRequest {
                repository: "annex".to_owned(),
                ..request("Scale the other blog", files(&[(VALUES, Some("replicaCount: 3\n"))]))
            },
        )
        .await?;
    lab.tap(ALICE, there, "Approve").await?;
    let outcomes = (lab.ended(here).await?.outcome, lab.ended(there).await?.outcome);
    assert_eq!(outcomes, (Some(Outcome::Synced), Some(Outcome::SyncFailed)));
    // One that does not answer at all holds nobody else up.
    for endpoint in [Endpoint::List, Endpoint::Stream, Endpoint::Get, Endpoint::Refresh] {
        theirs.fail_next(endpoint, Fault::Hang, 100_000);
    }
    theirs.drop_streams();
    let stuck = lab
        .request(
            "ops-bot",
            ProposalRequest {
                repository: "annex".to_owned(),
                ..request("Scale it again", files(&[(VALUES, Some("replicaCount: 4\n"))]))
            },
        )
        .await?;
    lab.tap(ALICE, stuck, "Approve").await?;
    lab.until(stuck, "pushed", |p| p.commit.is_some()).await?;
    let next = approved(&lab, 5).await?;
    assert_eq!(lab.ended(next).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.proposal(stuck).await?.outcome, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_sync_goes_on() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", Behaviour::Hang);
    let id = approved(&lab, 2).await?;
    shows(&lab, id, "syncing").await?;
    lab.restart().await?;
    assert_eq!(lab.proposal(id).await?.delivery, Delivery::Syncing);
    lab.argocd.set_behaviour("blog", Behaviour::Succeed);
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.log(10).len(), 2);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_ended_while_the_service_was_away_is_found() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", Behaviour::Hang);
    let id = approved(&lab, 2).await?;
    let commit = lab
        .until(id, "pushed", |p| p.commit.is_some())
        .await?
        .commit
        .context("a commit")?
        .to_string();
    lab.halt().await;
    lab.argocd.set_behaviour("blog", Behaviour::Succeed);
    lab.argocd
        .wait_for(PATIENCE, |apps| {
            apps.iter()
                .any(|app| app.name == "blog" && app.revision == commit && app.health == "Healthy")
        })
        .await
        .map_err(|why| anyhow!(why))?;
    lab.restart().await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}
