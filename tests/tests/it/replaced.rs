//! Cards that take another one's place: of a later revision, or after an answer that never came.

use std::time::Duration;

use anyhow::Result;
use domain::Outcome;
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, PATIENCE};
use simulators::telegram::{Fault, Tap};

use super::taps::{VALUES, confirmed, pending, refused};

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

/// A revert is what takes one commit back and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_revert_cannot_be_revised() -> Result<()> {
    let lab = Lab::start().await?;
    let values = "kubernetes/applications/blog/values.yaml";
    let id = lab.propose("Two blogs", &[(values, Some("replicaCount: 2\n"))]).await?;
    lab.tap(end_to_end::lab::ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    let agent = end_to_end::lab::agent_named("ops-bot");
    let Ok(engine::Created::New(revert)) = lab.engine.revert(&agent, id, None, None).await else {
        anyhow::bail!("no revert");
    };
    lab.card(revert.id, "Approve").await?;
    let deadline = tokio::time::Instant::now() + end_to_end::lab::PATIENCE;
    let problem = loop {
        let version = lab.proposal(revert.id).await?.version;
        let content = end_to_end::lab::files(&[(values, Some("replicaCount: 3\n"))]);
        let revised = lab
            .engine
            .revise(&agent, revert.id, version, end_to_end::lab::request("Three", content), None);
        match revised.await {
            // The service wrote down something of it meanwhile.
            Err(problem) if problem.status == 412 && tokio::time::Instant::now() < deadline => {}
            Err(problem) => break problem,
            Ok(_) => anyhow::bail!("it was revised"),
        }
    };
    assert_eq!((problem.status, problem.code), (409, "not_pending"));
    assert!(problem.detail.contains("a revert cannot be revised"), "{problem:?}");
    assert!(problem.hint.contains("withdraw it"), "{problem:?}");
    lab.invariants().await
}
