//! Fingers on buttons: whose, on which, how often.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::{Decision, Outcome, ProposalId};
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, MALLORY, PATIENCE};
use end_to_end::{Lab, LabOptions};
use simulators::telegram::{ANONYMOUS_ADMIN, Chat, ChatKind, Fault, Tap, Tapper, User};

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const TWICE: &str = "replicaCount: 2\nimage:\n  tag: 2.1.0\n";
const STRANGER: i64 = 424_242;
const ROBOT: i64 = 5555;

async fn pending(lab: &Lab) -> Result<ProposalId> {
    lab.propose("Run the blog twice", &[(VALUES, Some(TWICE))]).await
}

/// What a refused tap leaves behind: a toast with the reason, an audit row, and no decision.
async fn refused(lab: &Lab, id: ProposalId, tap: Tap, why: &str) -> Result<()> {
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
async fn confirmed(lab: &Lab, id: ProposalId, message: i64) -> Result<()> {
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
async fn the_card_of_an_older_revision_is_dead() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let old = lab.forged(ALICE, id, "Approve").await?;
    let version = lab.proposal(id).await?.version;
    let revised = end_to_end::lab::files(&[(VALUES, Some("replicaCount: 3\n"))]);
    lab.engine
        .revise(
            &end_to_end::lab::agent_named("ops-bot"),
            id,
            version,
            end_to_end::lab::request("Thrice", revised),
            None,
        )
        .await
        .map_err(|problem| anyhow::anyhow!("{problem}"))?;
    refused(&lab, id, old.clone(), "this card is out of date: revision 2 is current").await?;
    lab.telegram
        .wait_for(PATIENCE, |state| {
            state
                .message(CHAT, old.message_id)
                .filter(|card| card.keyboard.is_empty())
                .map(|_| ())
        })
        .await
        .ok_or_else(|| anyhow::anyhow!("the old card keeps its buttons: {:#?}", lab.texts()))?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    lab.ended(id).await?;
    assert_eq!(lab.repo.read(VALUES).as_deref(), Some("replicaCount: 3\n".as_bytes()));
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
async fn a_card_whose_sending_was_never_confirmed_is_adopted_by_a_tap() -> Result<()> {
    let lab = Lab::start().await?;
    lab.freeze();
    lab.telegram.fail_next("sendMessage", Fault::LoseAnswer, 1);
    let id = pending(&lab).await?;
    let genuine = lab.forged(ALICE, id, "Approve").await?;
    let other = lab
        .propose("Another", &[("kubernetes/applications/web/service.yaml", Some("kind: Service\n"))])
        .await?;
    let others = lab.card(other, "Approve").await?.id;
    confirmed(&lab, other, others).await?;
    let on_anothers = Tap {
        message_id: others,
        ..genuine
    };
    refused(&lab, id, on_anothers, "this button was moved from another message").await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    lab.thaw();
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.card(id, "Revert").await?;
    let cards = lab.telegram.messages(CHAT).iter().filter(|m| m.text.contains(&id.short())).count();
    assert_eq!(cards, 1, "{:#?}", lab.texts());
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_card_after_a_lost_answer_replaces_the_first() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.fail_next("sendMessage", Fault::LoseAnswer, 1);
    let id = pending(&lab).await?;
    let first = lab.card(id, "Approve").await?;
    let second = lab.said(CHAT, first.id, &[&id.short()]).await?;
    confirmed(&lab, id, second.id).await?;
    let seen = lab.telegram.tap_within(ALICE, CHAT, first.id, "✅ Approve", PATIENCE).await;
    assert_eq!(seen.text(), "a newer card of this proposal is below", "{:#?}", lab.texts());
    let seen = lab.telegram.tap_within(ALICE, CHAT, second.id, "✅ Approve", PATIENCE).await;
    assert_eq!(seen.text(), "approved by alice: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

const DROPPED: [(&str, Option<&str>); 1] = [("kubernetes/applications/web/service.yaml", None)];
const ASKED: &str = "Something is deleted. Look again, then tap Yes.";

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_file_takes_a_second_step_of_ones_own() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the service", &DROPPED).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), ASKED);
    let card = lab.card(id, "Back").await?;
    assert!(
        card.text.contains("deletes kubernetes/applications/web/service.yaml") && card.text.contains("Asked of alice until"),
        "{}",
        card.text
    );
    // Bob has been asked nothing yet: his first Yes opens a step of his own.
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), ASKED);
    lab.said(CHAT, 0, &[&id.short(), "Asked of alice, bob until"]).await?;
    let back = lab.forged(ALICE, id, "Back").await?;
    assert_eq!(lab.send(back.clone()).await.text(), "nothing was decided");
    lab.said(CHAT, 0, &[&id.short(), "Asked of bob until"]).await?;
    refused(&lab, id, back, "this is the second step of bob: you have none to go back from").await?;
    let carols = Tap {
        from: Tapper::User(CAROL),
        ..lab.forged(ALICE, id, "Yes, approve").await?
    };
    refused(&lab, id, carols, "you are not among the approvers of this change").await?;
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), "approved by bob: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read("kubernetes/applications/web/service.yaml"), None);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_go_through_their_second_steps_side_by_side() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the database", &[("kubernetes/critical/db.yaml", None)]).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), ASKED);
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), ASKED);
    assert_eq!(
        lab.tap(ALICE, id, "Yes, approve").await?.text(),
        "approved by alice: 1 of 2 from operators"
    );
    lab.said(CHAT, 0, &[&id.short(), "1/2", "Asked of bob until"]).await?;
    assert_eq!(lab.tap(BOB, id, "Yes, approve").await?.text(), "approved by bob: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_second_step_closes_by_itself() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Drop the service", &DROPPED).await?;
    lab.tap(ALICE, id, "Approve").await?;
    let yes = lab.forged(ALICE, id, "Yes, approve").await?;
    lab.advance(Duration::from_secs(121));
    let fallen_back = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let card = state.message(CHAT, yes.message_id)?;
            (card.keyboard_text().contains("Approve") && !card.keyboard_text().contains("Back")).then_some(())
        })
        .await;
    ensure!(fallen_back.is_some(), "the step stays: {:#?}", lab.texts());
    // A Yes that comes too late asks again instead of deciding.
    assert_eq!(lab.send(yes).await.text(), ASKED);
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    // An open step of one person does not keep another from rejecting.
    lab.card(id, "Back").await?;
    assert_eq!(lab.tap(BOB, id, "Reject").await?.text(), "rejected by bob");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Rejected));
    let card = lab.card(id, "too big").await?;
    assert!(!card.keyboard_text().contains("Yes"), "{}", card.keyboard_text());
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
async fn a_superseded_card_names_no_revision_and_leads_to_the_next_card() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let mut cards = vec![lab.card(id, "Approve").await?.id];
    for replicas in [3, 4] {
        let content = end_to_end::lab::files(&[(VALUES, Some(&format!("replicaCount: {replicas}\n")))]);
        let version = lab.proposal(id).await?.version;
        lab.engine
            .revise(
                &end_to_end::lab::agent_named("ops-bot"),
                id,
                version,
                end_to_end::lab::request("More", content),
                None,
            )
            .await
            .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let newest = cards[cards.len() - 1];
        let card = lab.said(CHAT, newest, &[&id.short(), "waiting for approval"]).await?;
        assert!(card.text.contains("earlier approvals do not count"), "{}", card.text);
        cards.push(card.id);
    }
    for pair in cards.windows(2) {
        let link = format!("https://t.me/c/1000000001/{}", pair[1]);
        let linked = lab
            .telegram
            .wait_for(PATIENCE, |state| {
                state.message(CHAT, pair[0]).filter(|card| card.html.contains(&link)).cloned()
            })
            .await;
        let Some(card) = linked else {
            anyhow::bail!("no link to {link}: {:#?}", lab.texts())
        };
        assert!(
            card.text.contains("superseded by a newer revision") && !card.text.contains("revision 2") && card.keyboard.is_empty(),
            "{}",
            card.text
        );
    }
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_second_card_is_being_sent_the_first_says_so_and_works_when_none_came() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.fail_next("sendMessage", Fault::LoseAnswer, 1);
    let id = pending(&lab).await?;
    let first = lab.forged(ALICE, id, "Approve").await?;
    let sent = lab.telegram.calls(Some("sendMessage")).len();
    lab.telegram.fail_next("sendMessage", Fault::Hang(None), 1);
    lab.advance(Duration::from_secs(21));
    lab.telegram
        .wait_for(PATIENCE, |state| (state.calls(Some("sendMessage")).count() > sent).then_some(()))
        .await
        .ok_or_else(|| anyhow::anyhow!("no second attempt"))?;
    let being_sent = "a newer card of this proposal is being sent: use that one, or tap here again in a minute";
    refused(&lab, id, first.clone(), being_sent).await?;
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.send(first).await.text(), "approved by alice: complete");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_that_does_not_fit_comes_as_a_document_and_takes_a_second_step() -> Result<()> {
    let lab = Lab::start().await?;
    let long: String = (0..400).map(|n| format!("key{n}: some value that takes its room\n")).collect();
    let id = lab.propose("Much", &[(VALUES, Some(&long))]).await?;
    let card = lab.card(id, "Approve").await?;
    let document = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state.messages(CHAT).iter().find_map(|message| message.document.clone())
        })
        .await;
    let document = document.ok_or_else(|| anyhow::anyhow!("no document: {:#?}", lab.texts()))?;
    assert!(document.file_name.ends_with(".diff") && String::from_utf8_lossy(&document.bytes).contains("+key399:"));
    assert!(card.text.encode_utf16().count() <= 4096);
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.card(id, "Back").await?;
    lab.tap(ALICE, id, "Yes, approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_second_step_is_forgotten_by_a_restart_and_asked_again() -> Result<()> {
    let mut lab = Lab::start().await?;
    let id = lab
        .propose("Drop the service", &[("kubernetes/applications/web/service.yaml", None)])
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card(id, "Back").await?;
    lab.restart().await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card(id, "Back").await?;
    assert_eq!(lab.tap(ALICE, id, "Yes, approve").await?.text(), "approved by alice: complete");
    lab.ended(id).await?;
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
        "you are not among the approvers of this change"
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

#[tokio::test(flavor = "multi_thread")]
async fn commands_tell_and_do_what_buttons_do() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let id = pending(&lab).await?;
    let short = id.short();
    lab.command(ALICE, CHAT, "/history", &["Nothing was decided yet."]).await?;
    lab.command(ALICE, CHAT, "/pending", &["Waiting for a decision", &short]).await?;
    lab.command(
        ALICE,
        CHAT,
        &format!("/show {short}"),
        &[&short, "Run the blog twice", "replicaCount"],
    )
    .await?;
    lab.command(BOB, CHAT, "/whoami", &["You are bob (id 1002)", "operators", "owned-bot"])
        .await?;
    lab.command(MALLORY, CHAT, "/whoami@countersign_bot", &["Your id is 6666", "not in the policy"])
        .await?;
    lab.command(ALICE, CHAT, "/help", &["/pending", "/cancel ID", "/revert ID"]).await?;
    lab.command(ALICE, CHAT, "/show 000000", &["There is no proposal 000000."]).await?;
    lab.command(ALICE, CHAT, "/cancel", &["Which one?"]).await?;
    lab.command(MALLORY, CHAT, &format!("/cancel {short}"), &["Only approvers can do that"])
        .await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.tap(ALICE, id, "Approve").await?;
    lab.command(BOB, CHAT, &format!("/cancel {short}"), &["cancelled by bob"]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Dismissed));
    lab.command(BOB, CHAT, &format!("/revert {id}"), &["nothing to revert"]).await?;
    lab.command(
        BOB,
        CHAT,
        &format!("/cancel {short}"),
        &["is not cancelled: too late: put aside by bob at "],
    )
    .await?;
    let history = lab.command(BOB, CHAT, "/history", &["Decided", &short]).await?;
    assert!(!history.text.contains(&id.to_string()), "the id that cards show: {}", history.text);
    lab.command(BOB, CHAT, "/pending", &["Nothing waits for a decision."]).await?;
    assert_eq!(lab.repo.log(10).len(), 1, "nothing was committed");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_what_has_ended_tells_who_ended_it() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    lab.tap(BOB, id, "Reject").await?;
    let words = format!("{} is not cancelled: too late: rejected by bob at ", id.short());
    lab.command(ALICE, CHAT, &format!("/cancel {}", id.short()), &[&words]).await?;
    let done = lab.propose("Once more", &[(VALUES, Some(TWICE))]).await?;
    lab.tap(ALICE, done, "Approve").await?;
    lab.ended(done).await?;
    lab.command(
        ALICE,
        CHAT,
        &format!("/cancel {}", done.short()),
        &["too late: synced and healthy at ", "it can be reverted"],
    )
    .await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_id_of_two_proposals_names_both() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let (proposal, short) = (lab.proposal(id).await?, id.short());
    let mut text = id.to_string();
    let at = text.len() - 8;
    text.replace_range(at..=at, if text[at..].starts_with('a') { "b" } else { "a" });
    let twin: ProposalId = text.parse()?;
    let transition = domain::Transition {
        next: domain::Proposal {
            id: twin,
            agent: "owned-bot".parse()?,
            ..proposal.clone()
        },
        effects: Vec::new(),
        summary: "a twin".to_owned(),
        seals: false,
    };
    let contents = lab.engine.store().read().contents(id, 1).await?;
    let contents = contents.ok_or_else(|| anyhow::anyhow!("no contents"))?;
    let audit = store::Audit {
        proposal: Some(twin),
        actor: store::Actor::Service,
        event: "opened".to_owned(),
        summary: String::new(),
        details: serde_json::Value::Null,
        at: proposal.created_at,
    };
    lab.engine
        .store()
        .write(move |tx| Box::pin(async move { tx.insert(&transition, &contents, audit).await }))
        .await?;
    for command in ["show", "cancel", "revert"] {
        let asked = format!("/{command} {}", short.to_lowercase());
        let words = [
            &format!("{} names 2 proposals", short.to_lowercase()),
            &id.to_string(),
            &twin.to_string(),
        ];
        lab.command(ALICE, CHAT, &asked, &words.map(String::as_str)).await?;
    }
    lab.command(ALICE, CHAT, &format!("/show {twin}"), &[&short, "agent owned-bot"])
        .await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_change_is_reverted_by_a_command() -> Result<()> {
    let lab = Lab::start().await?;
    let before = lab.repo.read(VALUES);
    let id = pending(&lab).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &["is prepared: prompted"])
        .await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &[&all[0].id.short()])
        .await?;
    lab.tap(BOB, all[0].id, "Approve").await?;
    lab.ended(all[0].id).await?;
    assert_eq!(lab.repo.read(VALUES), before);
    lab.until(id, "marked as reverted", |p| p.reverted_by.is_some()).await?;
    lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &["reverted it"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_private_people_are_answered_and_a_stranger_learns_only_their_id() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    for person in [ALICE, MALLORY] {
        lab.telegram.add_chat(Chat {
            id: person,
            kind: ChatKind::Private,
            title: "private".into(),
            topics: Vec::new(),
        });
    }
    lab.command(ALICE, ALICE, "/pending", &[&id.short()]).await?;
    for asked in ["/pending", "/help", "/start", "/history", "hello", "/cancel 000000"] {
        lab.telegram.send_text(MALLORY, MALLORY, asked, None);
    }
    lab.telegram.send_text(MALLORY, MALLORY, &format!("/show {id}"), None);
    lab.telegram.send_text(MALLORY, MALLORY, &format!("/cancel {id}"), None);
    lab.command(MALLORY, MALLORY, "/whoami", &["Your id is 6666. You are not in the policy."])
        .await?;
    let answers: Vec<_> = lab
        .telegram
        .messages(MALLORY)
        .into_iter()
        .filter(|m| m.from != Some(MALLORY))
        .collect();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.invariants().await
}
