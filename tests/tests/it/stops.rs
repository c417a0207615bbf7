//! Stops, freezes that are overridden, and people who lock themselves: what waits, who may end it, and that it goes on then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::{Decision, Delivery, Outcome, Policy, Proposal, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, LabOptions, MALLORY, PATIENCE, POLICY};
use engine::orders::{self, Ended, Orderer};
use engine::{Book, CrashPoints};
use serde_json::json;
use store::Store;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const SERVICE: &str = "kubernetes/applications/web/service.yaml";
const DATABASE: &str = "kubernetes/critical/db.yaml";

async fn blog(lab: &Lab) -> Result<ProposalId> {
    lab.propose("Two blogs", &[(VALUES, Some("replicaCount: 2\n"))]).await
}

async fn service(lab: &Lab, agent: &str) -> Result<ProposalId> {
    lab.propose_as(
        agent,
        "Label the service",
        &[(SERVICE, Some("kind: Service\nmetadata:\n  name: web\n  labels: {}\n"))],
    )
    .await
}

fn delivered(proposal: &Proposal) -> bool {
    proposal.is_delivered()
}

/// The owner of the branch has looked at it and put it off.
async fn put_off(lab: &Lab, id: ProposalId) -> Result<()> {
    lab.card_saying(id, "waits: ").await?;
    let proposal = lab.proposal(id).await?;
    anyhow::ensure!(proposal.delivery == Delivery::Queued, "{proposal:#?}");
    Ok(())
}

async fn resumed(lab: &Lab, number: u64) -> Result<()> {
    let command = format!("/resume {number}");
    lab.command(ALICE, CHAT, &command, &["1 more must write"]).await?;
    lab.command(BOB, CHAT, &command, &["is over"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scope_holds_what_it_covers_and_nothing_else() -> Result<()> {
    let lab = Lab::start().await?;
    for name in ["ops-bot", "other-bot"] {
        added(&lab, name).await?;
    }
    // (what is stopped, whether the blog's change is held, and the run of the scaling)
    let scopes = [
        ("path kubernetes/applications/blog/** too many blogs", true, false),
        ("agent ops-bot", true, true),
        ("agent other-bot", false, false),
        ("runbook scale because it went wrong twice", false, true),
        ("tier standard", false, true),
        ("tier prompted", true, false),
    ];
    let (mut number, mut replicas) = (0, 2);
    for (scope, held, run_held) in scopes {
        number += 1;
        replicas += 1;
        lab.command(ALICE, CHAT, &format!("/stop {scope}"), &[&format!("Stop {number} stands")])
            .await?;
        let change = lab
            .propose("More blogs", &[(VALUES, Some(&format!("replicaCount: {replicas}\n")))])
            .await?;
        let run = lab.run("scale", json!({ "app": "web", "replicas": replicas })).await?;
        lab.tap(BOB, change, "Approve").await?;
        for (id, held) in [(change, held), (run, run_held)] {
            if held {
                lab.until(id, "queued", |p| p.delivery == Delivery::Queued).await?;
            } else {
                lab.until(id, "delivered", delivered).await?;
            }
        }
        if held {
            put_off(&lab, change).await?;
        }
        resumed(&lab, number).await?;
        for id in [change, run] {
            assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced), "{scope}");
        }
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_during_a_stop_is_kept_and_goes_when_two_people_resume() -> Result<()> {
    let lab = Lab::start().await?;
    let id = blog(&lab).await?;
    lab.card(id, "Approve").await?;
    lab.command(CAROL, CHAT, "/stop because the disk is full", &["Stop 1 stands: all"])
        .await?;
    lab.said(CHAT, 0, &["⛔ carol stopped all: the disk is full"]).await?;
    lab.card_saying(id, "what is approved waits").await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    put_off(&lab, id).await?;
    lab.command(BOB, CHAT, "/pending", &["1 stop stands", &id.short()]).await?;
    lab.command(BOB, CHAT, "/stop", &["Stopped already"]).await?;
    lab.command(ALICE, CHAT, "/stop the disk", &["Nothing is stopped", "/stop path GLOB WHY"])
        .await?;
    // One person is not two, whoever they are; nor is a wish of long ago one of now.
    lab.command(ALICE, CHAT, "/resume", &["1 more must write /resume 1"]).await?;
    lab.command(ALICE, CHAT, "/resume 1", &["1 more must write /resume 1"]).await?;
    lab.command(CAROL, CHAT, "/resume 1", &["Only members of a group that approves"])
        .await?;
    lab.command(ALICE, CHAT, "/resume 9", &["No such stop stands", "carol stopped all"])
        .await?;
    lab.advance(Duration::from_secs(3700));
    lab.command(BOB, CHAT, "/resume 1", &["1 more must write /resume 1"]).await?;
    assert_eq!(lab.proposal(id).await?.delivery, Delivery::Queued);
    lab.command(ALICE, CHAT, "/resume 1", &["Stop 1 (all) is over"]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.said(CHAT, 0, &["stop 1 (all) is over: alice was the second"]).await?;
    lab.command(BOB, CHAT, "/stops", &["Nothing is stopped"]).await?;
    lab.invariants().await
}

/// An agent as the operator made it.
async fn added(lab: &Lab, name: &str) -> Result<()> {
    let (name, token) = (name.parse()?, domain::Sha256Hash::of(name.as_bytes()));
    lab.engine
        .store()
        .write(move |tx| {
            Box::pin(async move {
                tx.put_agent(&name, token, &store::Scopes::default(), None, chrono::Utc::now())
                    .await
            })
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_would_cover_nothing_by_a_slip_is_refused_with_the_names_there_are() -> Result<()> {
    let lab = Lab::start().await?;
    for name in ["ops-bot", "old-bot"] {
        added(&lab, name).await?;
    }
    let old = "old-bot".parse()?;
    lab.engine
        .store()
        .write(move |tx| Box::pin(async move { tx.revoke_agent(&old, chrono::Utc::now()).await }))
        .await?;
    for (slip, said) in [
        ("runbook nope", ["there is no runbook nope", "scale"]),
        ("agent nobody", ["there is no agent nobody", "old-bot, ops-bot"]),
        ("path /abs", ["path \"/abs\" is not valid", "without a slash at the beginning"]),
    ] {
        let said = [&["Nothing is stopped"][..], &said[..]].concat();
        lab.command(ALICE, CHAT, &format!("/stop {slip}"), &said).await?;
    }
    lab.command(ALICE, CHAT, "/stops", &["Nothing is stopped"]).await?;
    // What was revoked may have left something that waits, and a path may get its first file.
    for (number, scope) in [(1, "agent old-bot"), (2, "path no/such/**"), (3, "runbook scale")] {
        lab.command(ALICE, CHAT, &format!("/stop {scope}"), &[&format!("Stop {number} stands")])
            .await?;
    }
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_stops_nothing_and_is_written_down() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.send_text(MALLORY, CHAT, "/stop", None);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let audit = loop {
        let audit = lab.whole_audit().await?;
        if audit.iter().any(|(event, _)| event == "refused_stop") {
            break audit;
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{audit:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    lab.command(ALICE, CHAT, "/stops", &["Nothing is stopped"]).await?;
    assert!(!audit.iter().any(|(event, _)| event == "stop"), "{audit:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_people_can_still_cancel_leaves_one_out_and_lets_the_others_go() -> Result<()> {
    let mut lab = Lab::with(LabOptions {
        hold_seconds: 600,
        ..LabOptions::default()
    })
    .await?;
    let (held, free) = (blog(&lab).await?, service(&lab, "other-bot").await?);
    for id in [held, free] {
        lab.tap(ALICE, id, "Approve").await?;
    }
    lab.command(BOB, CHAT, "/stop agent ops-bot", &["Stop 1 stands"]).await?;
    lab.advance(Duration::from_secs(700));
    assert_eq!(lab.ended(free).await?.outcome, Some(Outcome::Synced));
    put_off(&lab, held).await?;
    // It survives a restart, and who was the first to ask is not forgotten.
    lab.command(ALICE, CHAT, "/resume", &["1 more"]).await?;
    lab.restart().await?;
    lab.command(BOB, CHAT, "/stops", &["bob stopped agent ops-bot", "asked for by alice"])
        .await?;
    assert_eq!(lab.proposal(held).await?.delivery, Delivery::Queued);
    lab.command(BOB, CHAT, "/resume", &["is over"]).await?;
    assert_eq!(lab.ended(held).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

/// Runs `lab` with a stop that is committed at a named place on the way of one delivery, as another process would.
async fn stopped_at(place: &'static str) -> Result<()> {
    let (database, done) = (Arc::new(OnceLock::<Store>::new()), Arc::new(AtomicBool::new(false)));
    let (seen, armed) = (database.clone(), done.clone());
    let crash = CrashPoints::new(move |passed| {
        let Some(store) = seen.get().filter(|_| passed == place) else {
            return;
        };
        if armed.swap(true, Ordering::SeqCst) {
            return;
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let request = "path kubernetes/applications/blog/**".parse().expect("a stop");
                orders::stop(store, Orderer::operator(), request, chrono::Utc::now())
                    .await
                    .expect("stops");
            });
        });
    });
    let lab = Lab::with(LabOptions {
        crash,
        ..LabOptions::default()
    })
    .await?;
    let beside = Store::open(&lab.addresses().database(), store::StoreOptions { readers: 1 }).await?;
    database.set(beside).ok().context("set once")?;
    let before = lab.repo.log(50).len();
    let id = blog(&lab).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &["⛔ the operator stopped path"]).await?;
    put_off(&lab, id).await?;
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(lab.repo.log(50).len(), before, "{place}: it was sent");
    lab.invariants().await?;
    // Of the two who resume, the operator at a shell is one at most.
    let resume = || {
        orders::resume(
            lab.engine.store(),
            Orderer::operator(),
            None,
            lab.engine.book().policy.clone(),
            lab.engine.now(),
        )
    };
    assert!(matches!(resume().await?, Ended::Missing(_, 1)));
    assert!(matches!(resume().await?, Ended::Missing(_, 1)));
    lab.command(ALICE, CHAT, "/resume", &["is over"]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_the_build_and_the_leave_wins() -> Result<()> {
    stopped_at("deliver:built").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_between_the_leave_and_the_push_wins() -> Result<()> {
    stopped_at("deliver:stored").await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_stopped_no_pull_request_is_opened_and_agents_are_told() -> Result<()> {
    let lab = Lab::with(LabOptions {
        github: true,
        ..LabOptions::default()
    })
    .await?;
    lab.command(ALICE, CHAT, "/stop tier manual", &["Stop 1 stands"]).await?;
    let agent = end_to_end::lab::agent_named("ops-bot");
    assert_eq!(lab.engine.me(&agent).await?.stops.len(), 1);
    let id = lab
        .propose(
            "A fourth node",
            &[("infrastructure/terraform/main.tf", Some("variable \"nodes\" {\n  default = 4\n}\n"))],
        )
        .await?;
    let note = lab.engine.told_note(&lab.engine.proposal(&agent, id).await?).unwrap_or_default();
    assert!(note.contains("alice stopped tier manual"), "{note}");
    // People hear of it all the same, once.
    let card = lab.card_saying(id, "please commit nothing before its end").await?;
    assert!(!card.keyboard_text().contains("Put aside"), "{}", card.keyboard_text());
    assert_eq!(lab.proposal(id).await?.delivery, Delivery::None);
    resumed(&lab, 1).await?;
    let proposal = lab.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
    assert!(proposal.pull.is_some(), "{proposal:#?}");
    let prepared = lab.card(id, "Put aside").await?;
    assert_eq!(prepared.id, card.id, "the same note, with its link");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_github_a_note_comes_during_a_stop_and_asks_to_wait() -> Result<()> {
    let lab = Lab::start().await?;
    lab.command(ALICE, CHAT, "/stop tier manual", &["Stop 1 stands"]).await?;
    let main = "variable \"nodes\" {\n  default = 4\n}\n";
    let id = lab
        .propose("A fourth node", &[("infrastructure/terraform/main.tf", Some(main))])
        .await?;
    let card = lab.card(id, "Put aside").await?;
    assert!(card.text.contains("please commit nothing before its end"), "{}", card.text);
    // Whoever commits it in spite of that is seen at once.
    let change = simulators::git::Change::write("infrastructure/terraform/main.tf", main);
    let message = format!("A fourth node\n\nProposal-Id: {id}");
    lab.repo.commit_on_top(&[change], &message, "olivia <olivia@example.com>")?;
    lab.advance(Duration::from_secs(60));
    lab.until(id, "landed", |p| p.landed.is_some()).await?;
    lab.invariants().await
}

const FREEZE: &str =
    "\n[[freezes]]\nname = \"always\"\nstart = 2020-01-01\nduration = \"1d\"\nrrule = \"FREQ=DAILY\"\noverride = \"network\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_overridden_by_its_group_for_one_change_and_by_nobody_else() -> Result<()> {
    let lab = Lab::with(LabOptions {
        policy: format!("{POLICY}{FREEZE}"),
        ..LabOptions::default()
    })
    .await?;
    let (id, other) = (blog(&lab).await?, service(&lab, "ops-bot").await?);
    for id in [id, other] {
        lab.tap(ALICE, id, "Approve").await?;
        put_off(&lab, id).await?;
    }
    let refused = lab.tap(ALICE, id, "Send anyway").await?;
    assert!(
        refused.text().contains("only network may let it pass the freeze \"always\""),
        "{refused:?}"
    );
    lab.command(ALICE, CHAT, &format!("/override {}", id.short()), &["only network may let it pass"])
        .await?;
    let asked = lab.tap(CAROL, id, "Send anyway").await?;
    assert!(asked.text().contains("pass the freeze \"always\" for this one change"), "{asked:?}");
    // Whoever else taps Yes is asked, and refused.
    let refused = lab.tap(ALICE, id, "Yes, send anyway").await?;
    assert!(refused.text().contains("only network"), "{refused:?}");
    assert_eq!(lab.proposal(id).await?.delivery, Delivery::Queued);
    let passed = lab.tap(CAROL, id, "Yes, send anyway").await?;
    assert_eq!(passed.text(), "it may pass the freeze \"always\"");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.card_saying(id, "carol let it pass the freeze \"always\"").await?;
    assert_eq!(lab.proposal(other).await?.delivery, Delivery::Queued, "the other still waits");
    let audit = lab.audit(id).await?;
    assert!(audit.iter().any(|(event, _)| event == "override"), "{audit:#?}");
    // A stop cannot be overridden.
    lab.command(BOB, CHAT, "/stop", &["Stop 1 stands"]).await?;
    lab.command(CAROL, CHAT, &format!("/override {}", other.short()), &["it may pass the freeze"])
        .await?;
    lab.card_saying(other, "bob stopped all").await?;
    assert_eq!(lab.proposal(other).await?.delivery, Delivery::Queued);
    resumed(&lab, 1).await?;
    assert_eq!(lab.ended(other).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_locks_themselves_takes_their_approvals_away_and_two_others_restore_them() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 600,
        ..LabOptions::default()
    })
    .await?;
    let (one, two) = (
        blog(&lab).await?,
        lab.propose(
            "A bigger database",
            &[(DATABASE, Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))],
        )
        .await?,
    );
    lab.tap(ALICE, one, "Approve").await?;
    lab.tap(ALICE, two, "Approve").await?;
    lab.until(one, "approved", |p| p.decision == Decision::Approved).await?;
    lab.command(ALICE, CHAT, "/lockme bob", &["Nobody is locked"]).await?;
    // Carol approves nothing: bob is the only other one.
    let how = "/unlock alice by bob, and `countersign unlock alice` at the server, end it.";
    lab.command(ALICE, CHAT, "/lockme", &["You are locked", how]).await?;
    for id in [one, two] {
        let proposal = lab.until(id, "asked again", |p| p.decision == Decision::Pending).await?;
        assert_eq!(proposal.approvals().count(), 0, "{proposal:#?}");
    }
    lab.command(ALICE, CHAT, "/whoami", &["You locked yourself"]).await?;
    // Neither word of theirs counts: whoever holds a lost phone ends nobody's work.
    for button in ["Approve", "Reject"] {
        let refused = lab.tap(ALICE, one, button).await?;
        assert!(
            refused.text().starts_with("you locked yourself on ") && refused.text().contains("/unlock alice"),
            "{refused:?}"
        );
        assert_eq!(lab.proposal(one).await?.decision, Decision::Pending);
    }
    lab.command(ALICE, CHAT, &format!("/cancel {}", one.short()), &["you locked yourself"])
        .await?;
    lab.command(ALICE, CHAT, "/demote scale", &["you locked yourself"]).await?;
    lab.command(ALICE, CHAT, "/unlock alice", &["Only others"]).await?;
    lab.command(CAROL, CHAT, "/unlock alice", &["Only others"]).await?;
    // They can still stop.
    lab.command(ALICE, CHAT, "/stop path nothing/**", &["Stop 1 stands"]).await?;
    lab.command(BOB, CHAT, "/unlock alice", &["1 more must write /unlock alice"])
        .await?;
    let engine = &lab.engine;
    let ended = orders::unlock(
        engine.store(),
        Orderer::operator(),
        None,
        engine.book().policy.clone(),
        engine.now(),
    )
    .await?;
    assert!(matches!(ended, Ended::Over(_)), "{ended:?}");
    lab.said(CHAT, 0, &["the lock of alice is over"]).await?;
    lab.command(BOB, CHAT, "/lockme", &["You are locked"]).await?;
    assert_eq!(lab.proposal(one).await?.approvals().count(), 0, "what was taken back stays so");
    let complete = lab.tap(ALICE, one, "Approve").await?;
    assert!(complete.text().contains("complete"), "{complete:?}");
    lab.advance(Duration::from_secs(700));
    assert_eq!(lab.ended(one).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

/// Who is at the server is not made to wait for a second person where there is none.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_left_the_shell_alone_gives_rights_back() -> Result<()> {
    let lab = Lab::start().await?;
    let engine = &lab.engine;
    let unlock = async |name: &str| {
        let (policy, now) = (engine.book().policy.clone(), engine.now());
        orders::unlock(engine.store(), Orderer::operator(), Some(name.to_owned()), policy, now).await
    };
    lab.command(ALICE, CHAT, "/lockme", &["/unlock alice by bob, and"]).await?;
    let ended = unlock("alice").await?;
    assert!(matches!(ended, Ended::Missing(_, 1)), "bob could: {ended:?}");
    lab.command(BOB, CHAT, "/lockme", &["Nobody in the chat may end it", "`countersign unlock bob`"])
        .await?;
    let ended = unlock("bob").await?;
    assert!(matches!(ended, Ended::Over(_)), "{ended:?}");
    lab.said(CHAT, 0, &["the lock of bob is over", "there is nobody else who may"])
        .await?;
    // Now there is somebody again.
    lab.command(BOB, CHAT, "/unlock alice", &["is over"]).await?;
    lab.command(ALICE, CHAT, "/whoami", &["Groups: operators"]).await?;
    lab.invariants().await
}

/// Nobody who reads a chat should have to add hours: the chats' time zone is the one of every time there.
#[tokio::test(flavor = "multi_thread")]
async fn times_are_those_of_the_people_who_read_them() -> Result<()> {
    let begin = (chrono::Utc::now() - chrono::Duration::hours(1)).format("%Y-%m-%dT%H:%M:%S");
    let lab = Lab::with(LabOptions {
        policy: format!("{POLICY}\n[[freezes]]\nname = \"release\"\nstart = {begin}\nduration = \"20h\"\n"),
        zone: chrono_tz::Tz::Asia__Tokyo,
        ..LabOptions::default()
    })
    .await?;
    let id = blog(&lab).await?;
    // Whoever decides knows beforehand that it will not go at once.
    let card = lab.card_saying(id, "is frozen by \"release\" until").await?;
    assert!(card.text.contains(": what is approved waits for it"), "{}", card.text);
    let note = lab.engine.told_note(&lab.proposal(id).await?).unwrap_or_default();
    assert!(note.starts_with("will wait: ") && note.contains("is frozen by"), "{note}");
    lab.tap(ALICE, id, "Approve").await?;
    put_off(&lab, id).await?;
    let card = lab.card_saying(id, "is frozen by").await?;
    assert!(card.text.contains(" Asia/Tokyo") && !card.text.contains("UTC"), "{}", card.text);
    let note = lab.engine.told_note(&lab.proposal(id).await?);
    assert!(
        note.is_some_and(|note| note.contains(" UTC")),
        "agents are told the freeze's own time"
    );
    lab.command(ALICE, CHAT, "/stop all", &["Stop 1 stands"]).await?;
    lab.command(BOB, CHAT, "/lockme", &["You are locked"]).await?;
    for (command, words) in [
        ("/stops", "Stop 1 since "),
        ("/stops", "bob is locked since "),
        ("/whoami", "You locked yourself on "),
    ] {
        let said = lab.command(BOB, CHAT, command, &[words, " JST"]).await?;
        assert!(!said.text.contains("UTC"), "{}", said.text);
    }
    lab.command(ALICE, CHAT, &format!("/cancel {}", id.short()), &["cancelled by alice"])
        .await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_freeze_held_goes_when_the_policy_no_longer_says_so() -> Result<()> {
    let lab = Lab::with(LabOptions {
        policy: format!("{POLICY}{FREEZE}"),
        ..LabOptions::default()
    })
    .await?;
    let id = blog(&lab).await?;
    lab.tap(ALICE, id, "Approve").await?;
    put_off(&lab, id).await?;
    let policy = Policy::parse(POLICY).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    lab.engine.put_in_force(Book::new(policy, Vec::new()));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}
