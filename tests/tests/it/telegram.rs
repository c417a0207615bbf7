//! Telegram misbehaving, and what people see all the same.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::{Decision, Outcome, ProposalId};
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, PATIENCE, POLICY, agent_named, files, request};
use end_to_end::{Lab, LabOptions};
use engine::Created;
use simulators::telegram::{Chat, ChatKind, Fault, Message, Tap};

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const TWICE: [(&str, Option<&str>); 1] = [(VALUES, Some("replicaCount: 2\n"))];
const CRITICAL: [(&str, Option<&str>); 1] = [("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))];

async fn pending(lab: &Lab) -> Result<ProposalId> {
    lab.propose("Run the blog twice", &TWICE).await
}

fn cards(lab: &Lab, chat: i64, id: ProposalId) -> Vec<Message> {
    let short = id.short();
    let about = |m: &Message| !m.deleted && m.text.contains(&short) && m.text.contains("digest");
    lab.telegram.messages(chat).into_iter().filter(about).collect()
}

/// Approves and sees it through: the service still works.
async fn goes_on(lab: &Lab, id: ProposalId) -> Result<()> {
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.card(id, "Revert").await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_must_slow_down_does_not_hold_up_the_others() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.add_chat(Chat {
        id: ALICE,
        kind: ChatKind::Private,
        title: "Alice".into(),
        topics: Vec::new(),
    });
    lab.telegram
        .fail_next_in(CHAT, "sendMessage", Fault::TooManyRequests { retry_after: 4 }, 1);
    let id = pending(&lab).await?;
    lab.telegram
        .wait_for(PATIENCE, |state| {
            state.calls(Some("sendMessage")).find(|call| call.status == Some(429)).map(|_| ())
        })
        .await
        .context("nothing was refused")?;
    lab.command(ALICE, ALICE, "/whoami", &["You are alice"]).await?;
    assert!(cards(&lab, CHAT, id).is_empty(), "the other chat waited for this one");
    lab.card(id, "Approve").await?;
    assert_eq!(cards(&lab, CHAT, id).len(), 1);
    goes_on(&lab, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_garbage_of_the_server_are_tried_again() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.fail_next("sendMessage", Fault::Status(502), 2);
    lab.telegram.fail_next("getUpdates", Fault::Status(500), 2);
    lab.telegram.fail_next("getUpdates", Fault::Garbage, 1);
    lab.telegram.fail_next("editMessageText", Fault::Status(500), 2);
    let id = pending(&lab).await?;
    lab.card(id, "Approve").await?;
    goes_on(&lab, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sending_that_hangs_for_a_while_is_one_card() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.fail_next("sendMessage", Fault::Hang(Some(Duration::from_secs(2))), 1);
    let id = pending(&lab).await?;
    lab.card(id, "Approve").await?;
    goes_on(&lab, id).await?;
    assert_eq!(cards(&lab, CHAT, id).len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_card_comes_again_while_somebody_must_decide() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Scale the database", &CRITICAL).await?;
    let first = lab.card(id, "Approve").await?;
    let stolen = lab.forged(BOB, id, "Approve").await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &[&id.short(), "1/2"]).await?;
    lab.telegram.delete_message(CHAT, first.id);
    // Anything that changes the card finds out.
    lab.send(stolen).await;
    lab.ended(id).await?;
    let again = lab.propose("Scale the blog", &TWICE).await?;
    let card = lab.card(again, "Approve").await?;
    lab.telegram.delete_message(CHAT, card.id);
    let proposal = lab.proposal(again).await?;
    lab.engine
        .revise(
            &agent_named("ops-bot"),
            again,
            proposal.version,
            request("Scale it", files(&[(VALUES, Some("replicaCount: 3\n"))])),
            None,
        )
        .await
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let fresh = lab.card(again, "Approve").await?;
    assert!(fresh.id > card.id);
    goes_on(&lab, again).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_deleted_in_the_middle_of_a_quorum_is_posted_anew_with_the_progress() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Scale the database", &CRITICAL).await?;
    let tap = lab.forged(ALICE, id, "Approve").await?;
    lab.telegram.delete_message(CHAT, tap.message_id);
    lab.send(tap.clone()).await;
    let fresh = lab.said(CHAT, tap.message_id, &[&id.short(), "1/2"]).await?;
    assert!(fresh.keyboard_text().contains("Approve"), "{}", fresh.keyboard_text());
    assert_eq!(lab.tap(BOB, id, "Approve").await?.text(), "approved by bob: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_was_thrown_out_says_so_in_the_audit_and_comes_back() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.block(CHAT);
    let id = pending(&lab).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !lab.whole_audit().await?.iter().any(|(event, _)| event == "chat_lost") {
        ensure!(tokio::time::Instant::now() < deadline, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.telegram.unblock(CHAT);
    lab.card(id, "Approve").await?;
    goes_on(&lab, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_becomes_a_supergroup_keeps_its_open_card() -> Result<()> {
    let mut lab = Lab::start().await?;
    let upgraded = -1_001_000_000_077;
    let id = pending(&lab).await?;
    lab.card(id, "Approve").await?;
    lab.telegram.migrate(CHAT, upgraded);
    let card = lab.said(upgraded, 0, &[&id.short(), "waiting for approval"]).await?;
    let tap = |card: &Message| -> Result<Tap> {
        let button = card.buttons().find(|b| b.text.contains("Approve")).context("no button")?;
        let simulators::telegram::ButtonAction::Callback(data) = &button.action else {
            anyhow::bail!("sends nothing")
        };
        Ok(Tap::new(ALICE, upgraded, card.id, data))
    };
    assert_eq!(lab.send(tap(&card)?).await.text(), "approved by alice: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.said(upgraded, 0, &[&id.short(), "Commit"]).await?;
    // The configuration still names the old chat; the next card must find the way, also after a restart.
    lab.restart().await?;
    let next = lab.propose("Once", &[(VALUES, Some("replicaCount: 5\n"))]).await?;
    let card = lab.said(upgraded, card.id, &[&next.short(), "waiting for approval"]).await?;
    assert_eq!(lab.send(tap(&card)?).await.text(), "approved by alice: complete");
    lab.ended(next).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_open_cards_are_looked_at_and_work() -> Result<()> {
    let mut lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let card = lab.card(id, "Approve").await?;
    lab.halt().await;
    let edits = lab.telegram.calls(Some("editMessageText")).len();
    lab.restart().await?;
    lab.telegram
        .wait_for(PATIENCE, |state| {
            (state.calls(Some("editMessageText")).count() > edits).then_some(())
        })
        .await
        .context("the card was not looked at")?;
    assert_eq!(cards(&lab, CHAT, id).iter().map(|m| m.id).collect::<Vec<_>>(), [card.id]);
    goes_on(&lab, id).await
}

/// Carol was not asked until now: she hears why she is, and that she is.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_called_for_help_is_named() -> Result<()> {
    let rule = "paths = [\"kubernetes/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n";
    let lab = Lab::with(LabOptions {
        policy: POLICY.replace(rule, &format!("{rule}escalate = {{ to = \"network\", after = \"10m\" }}\n")),
        ..LabOptions::default()
    })
    .await?;
    let id = lab.propose("Two blogs", &TWICE).await?;
    let card = lab.card(id, "Approve").await?;
    assert!(!card.text.contains("carol"), "{}", card.text);
    lab.advance(Duration::from_secs(601));
    let called = lab
        .said(
            CHAT,
            card.id,
            &[&id.short(), "nobody has decided: others may, too", "May approve: alice, bob, carol"],
        )
        .await?;
    assert!(!called.silent);
    lab.card_saying(id, "carol").await?;
    assert_eq!(lab.tap(CAROL, id, "Approve").await?.text(), "approved by carol: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

/// A place is filled for somebody, and the card says for whom; who comes after hears that nothing is left to fill.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_in_for_somebody_is_shown_as_that() -> Result<()> {
    let delegation = "[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\nuntil = 2099-01-01\n";
    let lab = Lab::with(LabOptions {
        policy: format!("{POLICY}\n{delegation}"),
        ..LabOptions::default()
    })
    .await?;
    let critical = [("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))];
    let id = lab.propose("A bigger database", &critical).await?;
    lab.card(id, "Approve").await?;
    assert_eq!(
        lab.tap(CAROL, id, "Approve").await?.text(),
        "approved by carol: 1 of 2 from operators"
    );
    lab.card_saying(id, "carol for bob").await?;
    assert_eq!(
        lab.tap(BOB, id, "Approve").await?.text(),
        "approved by bob: 1 of 2 from operators; it fills no place that was open"
    );
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_reminded_once_and_told_when_it_expires() -> Result<()> {
    let lab = Lab::start().await?;
    let mut asked = request("Soon over", files(&TWICE));
    asked.ttl_seconds = Some(1000);
    let created = lab
        .engine
        .propose(&agent_named("ops-bot"), asked, None)
        .await
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let Created::New(proposal) = created else {
        anyhow::bail!("not new")
    };
    let id = proposal.id;
    let card = lab.card(id, "Approve").await?;
    let late = lab.forged(ALICE, id, "Approve").await?;
    lab.advance(Duration::from_secs(760));
    let reminder = lab.said(CHAT, card.id, &[&id.short(), "still waiting for approval"]).await?;
    assert!(!reminder.silent && reminder.reply_to == Some(card.id), "{reminder:#?}");
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.advance(Duration::from_secs(260));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Expired));
    let told = lab
        .said(CHAT, reminder.id, &[&id.short(), "expired: nobody decided in time"])
        .await?;
    assert!(!told.silent);
    assert_eq!(lab.send(late).await.text(), "already expired: nothing to decide any more");
    let rung = lab
        .telegram
        .messages(CHAT)
        .iter()
        .filter(|m| m.text.contains(&id.short()) && !m.silent)
        .count();
    assert_eq!(rung, 3, "the card, one reminder, one end: {:#?}", lab.texts());
    assert_eq!(lab.repo.log(10).len(), 1);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_shows_who_approved_and_who_may() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Scale the database", &CRITICAL).await?;
    lab.said(CHAT, 0, &[&id.short(), "0/2", "may approve: alice, bob"]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &[&id.short(), "1/2", "alice", "may approve: bob"]).await?;
    lab.tap(BOB, id, "Approve").await?;
    lab.ended(id).await?;
    lab.said(CHAT, 0, &[&id.short(), "Approvals of operators: 2/2"]).await?;
    assert_eq!(cards(&lab, CHAT, id).len(), 1, "edited in place");
    assert!(
        lab.telegram.messages(CHAT).iter().filter(|m| m.id > 1).all(|m| m.silent),
        "good news is silent"
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_goes_to_the_approval_topic_and_what_tells_to_the_notification_chat() -> Result<()> {
    let news = -1_001_000_000_002;
    let lab = Lab::with(LabOptions {
        topic: Some(7),
        notifications: Some((news, Some(9))),
        ..LabOptions::default()
    })
    .await?;
    for (id, title, topic) in [(CHAT, "Operations", 7), (news, "News", 9)] {
        lab.telegram.add_chat(Chat {
            id,
            kind: ChatKind::Supergroup,
            title: title.into(),
            topics: vec![topic],
        });
    }
    let asked = pending(&lab).await?;
    let card = lab.card(asked, "Approve").await?;
    assert_eq!(card.thread, Some(7));
    assert_eq!(lab.tap(ALICE, asked, "Approve").await?.text(), "approved by alice: complete");
    lab.ended(asked).await?;
    let told = lab.run("scale", serde_json::json!({ "app": "web", "replicas": 5 })).await?;
    lab.ended(told).await?;
    let note = lab.said(news, 0, &[&told.short(), "STANDARD"]).await?;
    assert!(note.thread == Some(9) && note.silent, "{note:#?}");
    assert!(cards(&lab, CHAT, told).is_empty(), "a note asks nothing: {:#?}", lab.texts());
    assert!(cards(&lab, news, asked).is_empty(), "a card that asks is no news");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_approved_in_vain_did_not_let_it_expire() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Scale the database", &CRITICAL).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &[&id.short(), "1/2"]).await?;
    lab.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Expired));
    let card = lab
        .said(CHAT, 0, &[&id.short(), "digest", "expired: nobody decided in time"])
        .await?;
    assert!(card.text.contains("alice") && !card.text.contains("by alice"), "{}", card.text);
    lab.invariants().await
}
