//! Fingers on buttons: whose, on which, how often.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::{Decision, Outcome, ProposalId};
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, MALLORY, PATIENCE};
use end_to_end::{Lab, LabOptions};
use simulators::telegram::{ANONYMOUS_ADMIN, Chat, ChatKind, Tap, Tapper, User};

/// What most of these tests propose to change.
pub(crate) const VALUES: &str = "kubernetes/applications/blog/values.yaml";
/// Into this.
pub(crate) const TWICE: &str = "replicaCount: 2\ntheme:\n  colour: blue\n";
const STRANGER: i64 = 424_242;
const ROBOT: i64 = 5555;

pub(crate) async fn pending(lab: &Lab) -> Result<ProposalId> {
    lab.propose("Run the blog twice", &[(VALUES, Some(TWICE))]).await
}

/// What a refused tap leaves behind: a toast with the reason, an audit row, and no decision.
pub(crate) async fn refused(lab: &Lab, id: ProposalId, tap: Tap, why: &str) -> Result<()> {
    let before = lab.whole_audit().await?.len();
    let seen = lab.send(tap).await;
    ensure!(seen.text() == why, "{seen:?}");
    let rows = lab.whole_audit().await?;
    let row = &rows[before..];
    ensure!(
        row.len() == 1 && row[0].0.starts_with("refused_") && row[0].1 == why,
        "audited: {row:?}"
    );
    ensure!(lab.proposal(id).await?.decision == Decision::Pending, "a refused tap decided");
    Ok(())
}

/// The service knows that this message is the proposal's card: people see a card a moment earlier.
pub(crate) async fn confirmed(lab: &Lab, id: ProposalId, message: i64) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !lab
        .engine
        .store()
        .read()
        .cards(id)
        .await?
        .iter()
        .any(|card| card.message == Some(message))
    {
        ensure!(tokio::time::Instant::now() < deadline, "the card is never confirmed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_people_of_the_policy_decide_and_only_under_their_own_account() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    lab.telegram.add_user(User {
        id: ROBOT,
        name: "Robot".into(),
        username: None,
        is_bot: true,
    });
    let from = async |who: Tapper| {
        Ok::<_, anyhow::Error>(Tap {
            from: who,
            ..lab.forged(ALICE, id, "Approve").await?
        })
    };
    let unknown = "you are not among the people of this policy; /whoami tells your id";
    let nobody = "only a person can decide, under their own account";
    refused(&lab, id, from(Tapper::User(MALLORY)).await?, unknown).await?;
    refused(&lab, id, from(Tapper::Stranger(STRANGER)).await?, unknown).await?;
    refused(&lab, id, from(Tapper::User(ROBOT)).await?, nobody).await?;
    refused(&lab, id, from(Tapper::User(ANONYMOUS_ADMIN)).await?, nobody).await?;
    refused(
        &lab,
        id,
        from(Tapper::User(CAROL)).await?,
        "you are not among the approvers of this change",
    )
    .await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_works_on_its_own_message_only() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let other = lab
        .propose("Another", &[("kubernetes/applications/web/service.yaml", Some("kind: Service\n"))])
        .await?;
    let elsewhere = -1_001_000_000_099;
    lab.telegram.add_chat(Chat {
        id: elsewhere,
        kind: ChatKind::Supergroup,
        title: "Elsewhere".into(),
        topics: Vec::new(),
    });
    let good = lab.forged(ALICE, id, "Approve").await?;
    let foreign = lab.card(other, "Approve").await?.id;
    confirmed(&lab, id, good.message_id).await?;
    confirmed(&lab, other, foreign).await?;
    let moved = "this button was moved from another message";
    refused(
        &lab,
        id,
        Tap {
            message_id: foreign,
            ..good.clone()
        },
        moved,
    )
    .await?;
    refused(
        &lab,
        id,
        Tap {
            forwarded: true,
            ..good.clone()
        },
        moved,
    )
    .await?;
    refused(
        &lab,
        id,
        Tap {
            chat: elsewhere,
            ..good.clone()
        },
        "this chat is not configured for approvals",
    )
    .await?;
    let inline = Tap {
        inline_message_id: Some("inline-1".into()),
        ..good.clone()
    };
    refused(&lab, id, inline, "this button does not belong to a message of a configured chat").await?;
    let nonce = |data: &str| Tap {
        data: Some(data.to_owned()),
        ..good.clone()
    };
    let forged = format!("v1:approve:{}", "A".repeat(22));
    refused(&lab, id, nonce(&forged), "this button is not known").await?;
    for nonsense in ["", "approve", "v1:approve:", "v9:approve:x", "v1:approve:\u{202e}", "v1:chip99:x"] {
        refused(&lab, id, nonce(nonsense), "this button is not one of ours").await?;
    }
    // The genuine one still works, even where Telegram no longer shows the message's text to the bot.
    let seen = lab
        .send(Tap {
            inaccessible: true,
            ..good
        })
        .await;
    assert_eq!(seen.text(), "approved by alice: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_update_delivered_twice_counts_once() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose(
            "Bigger",
            &[("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))],
        )
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    let update = lab.telegram.last_update_id();
    let rows = lab.audit(id).await?;
    assert!(lab.telegram.redeliver(update));
    // What comes after it in the queue is dealt with after it.
    assert_eq!(
        lab.tap(CAROL, id, "Approve").await?.text(),
        "you are not among the approvers of this change"
    );
    let proposal = lab.proposal(id).await?;
    assert_eq!((proposal.approvals().count(), proposal.decision), (1, Decision::Pending));
    assert_eq!(lab.audit(id).await?.len(), rows.len() + 1, "the second delivery left a row");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn approve_and_reject_in_one_instant_make_one_decision() -> Result<()> {
    let lab = Lab::start().await?;
    for round in 0..4 {
        let id = lab
            .propose("Flip", &[(VALUES, Some(&format!("replicaCount: {}\n", round + 10)))])
            .await?;
        let (yes, no) = (lab.forged(ALICE, id, "Approve").await?, lab.forged(BOB, id, "Reject").await?);
        lab.telegram.hold_updates();
        let taps = if round % 2 == 0 { [yes, no] } else { [no, yes] };
        let queued = taps.map(|tap| lab.telegram.queue_tap(tap));
        lab.telegram.release_updates(&[]);
        let mut toasts = Vec::new();
        for tap in &queued {
            toasts.push(lab.telegram.tap_answer(tap, PATIENCE).await.text().to_owned());
        }
        toasts.sort();
        let (winner, loser, outcome) = if toasts.contains(&"rejected by bob".to_owned()) {
            ("rejected by bob", "already rejected: nothing to decide any more", Outcome::Rejected)
        } else {
            (
                "approved by alice: complete",
                "already approved: nothing to decide any more",
                Outcome::Synced,
            )
        };
        assert_eq!(toasts, [loser, winner]);
        assert_eq!(lab.ended(id).await?.outcome, Some(outcome));
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_taps_at_once_are_all_answered_and_decide_once() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let mut queued = Vec::new();
    for n in 0..20 {
        let button = if n % 5 == 4 { "Reject" } else { "Approve" };
        let person = [ALICE, BOB, CAROL, MALLORY][n % 4];
        queued.push(lab.forged(person, id, button).await?);
    }
    let before = lab.whole_audit().await?.len();
    let queued: Vec<_> = queued.into_iter().map(|tap| lab.telegram.queue_tap(tap)).collect();
    let mut toasts: BTreeMap<String, usize> = BTreeMap::new();
    for tap in &queued {
        let seen = lab.telegram.tap_answer(tap, PATIENCE).await;
        ensure!(!seen.text().is_empty(), "a tap stayed unanswered: {seen:?}");
        *toasts.entry(seen.text().to_owned()).or_default() += 1;
    }
    // Which of them comes first is open; that there is one is not.
    let winners = [
        "approved by alice: complete",
        "approved by bob: complete",
        "rejected by alice",
        "rejected by bob",
    ];
    let decided: usize = winners.iter().filter_map(|toast| toasts.get(*toast)).sum();
    assert_eq!(decided, 1, "{toasts:?}");
    let proposal = lab.ended(id).await?;
    let expected = if toasts.keys().any(|toast| toast.starts_with("rejected by")) {
        Outcome::Rejected
    } else {
        Outcome::Synced
    };
    assert_eq!((proposal.outcome, proposal.current_reviews().count()), (Some(expected), 1));
    let taps = |rows: &[(String, String)]| {
        rows.iter()
            .filter(|(event, _)| event == "approve" || event == "reject" || event.starts_with("refused_"))
            .count()
    };
    assert_eq!(taps(&lab.whole_audit().await?[before..]), 20, "every tap leaves a row");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_groups_that_the_change_asks_stop_and_revert_it() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let id = pending(&lab).await?;
    let short = id.short();
    let carol = async |button: &str| {
        Ok::<_, anyhow::Error>(Tap {
            from: Tapper::User(CAROL),
            ..lab.forged(ALICE, id, button).await?
        })
    };
    lab.tap(ALICE, id, "Approve").await?;
    let (before, not_asked) = (lab.whole_audit().await?.len(), "you are not among the approvers of this change");
    assert_eq!(lab.send(carol("Cancel").await?).await.text(), not_asked);
    lab.command(
        CAROL,
        CHAT,
        &format!("/cancel {short}"),
        &["Only approvers can do that: operators."],
    )
    .await?;
    let rows = |audit: Vec<(String, String)>| audit[before..].to_vec();
    let refused = |event: &str| (event.to_owned(), not_asked.to_owned());
    assert_eq!(
        rows(lab.whole_audit().await?),
        [refused("refused_cancel"), refused("refused_cancel")]
    );
    lab.advance(Duration::from_secs(31));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.send(carol("Revert").await?).await.text(), not_asked);
    lab.command(
        CAROL,
        CHAT,
        &format!("/revert {short}"),
        &["Only approvers can do that: operators. /whoami"],
    )
    .await?;
    let rows = rows(lab.whole_audit().await?);
    for event in ["refused_tap", "refused_revert"] {
        assert!(rows.contains(&refused(event)), "{rows:?}");
    }
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    assert_eq!(all.len(), 1, "no revert was proposed");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_the_card_tells_the_agent_why_within_two_minutes() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    lab.tap(BOB, id, "Reject").await?;
    let card = lab.card(id, "too big").await?;
    lab.telegram.send_text(ALICE, CHAT, "not mine to say", Some(card.id));
    lab.telegram.send_text(BOB, CHAT, "after the release, please", Some(card.id));
    let told = lab
        .until(id, "explained", |p| p.ended_by.as_ref().is_some_and(|end| end.reason.is_some()))
        .await?;
    assert_eq!(
        told.ended_by.and_then(|end| end.reason).as_deref(),
        Some("after the release, please")
    );
    let card = lab.said(CHAT, 0, &["after the release, please", &id.short()]).await?;
    assert!(!card.keyboard_text().contains("too big"), "{}", card.keyboard_text());
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_chips_go_when_their_time_is_over() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    lab.tap(BOB, id, "Reject").await?;
    let chip = lab.forged(BOB, id, "too big").await?;
    assert_eq!(
        lab.send(Tap {
            from: Tapper::User(ALICE),
            ..chip.clone()
        })
        .await
        .text(),
        "bob ended it, so bob is asked for the reason"
    );
    lab.advance(Duration::from_secs(121));
    lab.telegram
        .wait_for(PATIENCE, |state| {
            state
                .message(CHAT, chip.message_id)
                .filter(|card| card.keyboard.is_empty())
                .map(|_| ())
        })
        .await
        .ok_or_else(|| anyhow::anyhow!("the chips stay: {:#?}", lab.texts()))?;
    assert_eq!(lab.send(chip).await.text(), "the time to add a reason is over");
    assert_eq!(lab.proposal(id).await?.ended_by.and_then(|end| end.reason), None);
    lab.invariants().await
}
