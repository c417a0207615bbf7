//! Approvals that take more than a tap: a code of one's own generator, or a second person.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::code::{CodeKey, Generator, Seed};
use domain::{Decision, Delivery, Outcome, PersonRef, Policy, ProposalId, UserId};
use end_to_end::lab::{ALICE, BOB, CHAT, PATIENCE, POLICY};
use end_to_end::service::CODE_KEY;
use end_to_end::{Lab, LabOptions};
use engine::Book;
use simulators::telegram::{Chat, ChatKind};

use super::taps::{TWICE, VALUES, pending};

const OTHER: &str = "kubernetes/applications/web/service.yaml";
const ASKED: &str = "Now send the code of your generator, within 2 minutes";
const NOT_ENROLLED: &str =
    "This takes a code, and you have no code generator enrolled: ask an operator to run countersign totp enroll alice.";

/// The lab's policy, with approvals in `kubernetes/applications` that take a second factor.
fn marked(factor: &str) -> LabOptions {
    LabOptions {
        policy: format!("{POLICY}\n[[floors]]\npaths = [\"kubernetes/applications/**\"]\nsecond_factor = \"{factor}\"\n"),
        ..LabOptions::default()
    }
}

/// What the command line does, and the secret that a person's app has then.
async fn enrolled(lab: &Lab, user: i64, name: &str) -> Result<Seed> {
    let person = PersonRef {
        id: UserId(user),
        name: name.to_owned(),
    };
    let key = CodeKey::new(CODE_KEY)?;
    let generator = Generator::new(person, &key, [user as u8; 20], lab.engine.now());
    let seed = generator.seed(&key);
    let store = lab.engine.store();
    store
        .write(move |tx| Box::pin(async move { tx.put_generator(&generator).await }))
        .await?;
    Ok(seed)
}

/// The code that an app shows so many seconds from now.
fn code(lab: &Lab, seed: &Seed, seconds: i64) -> String {
    seed.code_at(lab.engine.now() + chrono::Duration::seconds(seconds))
}

/// Six digits that no app of this person shows for a while.
fn wrong(lab: &Lab, seed: &Seed) -> Result<String> {
    let shown: Vec<String> = (-60..60).map(|step| code(lab, seed, step * 30)).collect();
    let mut candidates = (0..200).map(|number| format!("{number:06}"));
    candidates.find(|one| !shown.contains(one)).context("a code that is wrong")
}

/// Somebody writes a code in the chat and reads the answer that holds these words.
async fn send(lab: &Lab, user: i64, code: &str, words: &str) -> Result<()> {
    lab.command(user, CHAT, &format!("/code {code}"), &[words]).await.map(drop)
}

async fn asked(lab: &Lab, user: i64, id: ProposalId) -> Result<()> {
    let seen = lab.tap(user, id, "Approve").await?;
    ensure!(seen.text().starts_with(ASKED), "{seen:?}");
    Ok(())
}

async fn still_pending(lab: &Lab, id: ProposalId) -> Result<()> {
    let proposal = lab.proposal(id).await?;
    ensure!(
        proposal.decision == Decision::Pending && proposal.reviews.is_empty(),
        "{:?}",
        proposal.reviews
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_asks_for_a_code_and_the_code_completes_that_approval() -> Result<()> {
    let lab = Lab::with(marked("totp")).await?;
    let id = pending(&lab).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), NOT_ENROLLED);
    let seed = enrolled(&lab, ALICE, "alice").await?;
    lab.card_saying(id, "Needs 1 of operators, each with a code: 0/1").await?;
    asked(&lab, ALICE, id).await?;
    let digest = lab.proposal(id).await?.revision.digest.short();
    lab.said(
        CHAT,
        0,
        &[&id.short(), &digest, "for a code of alice: /code 123456, or a reply to this card"],
    )
    .await?;
    send(&lab, ALICE, "12345", "Write /code and the six digits").await?;
    send(&lab, ALICE, &wrong(&lab, &seed)?, "That code is wrong: 4 tries are left").await?;
    send(&lab, ALICE, &code(&lab, &seed, -150), "The time of that code is over").await?;
    still_pending(&lab, id).await?;
    let right = code(&lab, &seed, 0);
    send(&lab, ALICE, &right, "approved by alice with a code: complete").await?;
    let ended = lab.ended(id).await?;
    assert_eq!(ended.outcome, Some(Outcome::Synced));
    assert!(ended.reviews.iter().all(|review| review.verified), "{:?}", ended.reviews);
    lab.card_saying(id, "alice (code)").await?;
    let rows = lab.engine.store().read().audit_after(0, 1000).await?;
    assert!(!format!("{rows:?}").contains(&right), "the audit log holds a code");
    let events: Vec<_> = lab.audit(id).await?.into_iter().map(|(event, _)| event).collect();
    for event in ["code_asked", "refused_code", "approve"] {
        assert!(events.iter().any(|known| known == event), "{event}: {events:?}");
    }
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_codes_lock_a_generator_for_a_while() -> Result<()> {
    let mut lab = Lab::with(marked("totp")).await?;
    let seed = enrolled(&lab, ALICE, "alice").await?;
    let id = pending(&lab).await?;
    asked(&lab, ALICE, id).await?;
    let wrong = wrong(&lab, &seed)?;
    for words in [
        "4 tries are left",
        "3 tries are left",
        "2 tries are left",
        "1 try is left",
        "Too many wrong codes",
    ] {
        send(&lab, ALICE, &wrong, words).await?;
    }
    send(&lab, ALICE, &code(&lab, &seed, 0), "Too many wrong codes").await?;
    // A restart forgets nothing of it.
    lab.restart().await?;
    let told = lab.tap(ALICE, id, "Approve").await?;
    assert!(told.text().starts_with("Too many wrong codes"), "{told:?}");
    still_pending(&lab, id).await?;
    lab.advance(Duration::from_secs(31 * 60));
    asked(&lab, ALICE, id).await?;
    send(&lab, ALICE, &code(&lab, &seed, 0), "approved by alice with a code: complete").await?;
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_counts_once_and_for_one_approval() -> Result<()> {
    let lab = Lab::with(marked("totp")).await?;
    let seed = enrolled(&lab, ALICE, "alice").await?;
    let (one, other) = (
        pending(&lab).await?,
        lab.propose("Name it", &[(OTHER, Some("kind: Service\nmetadata:\n  name: www\n"))])
            .await?,
    );
    asked(&lab, ALICE, one).await?;
    asked(&lab, ALICE, other).await?;
    // Which one is meant? Nobody guesses, and whoever reads along cannot use that code for the other one.
    let first = code(&lab, &seed, 0);
    send(
        &lab,
        ALICE,
        &first,
        "Several of your approvals wait for a code, and that one is used up",
    )
    .await?;
    send(&lab, ALICE, &first, "That code, or a later one, was used already").await?;
    still_pending(&lab, one).await?;
    lab.advance(Duration::from_secs(30));
    let second = code(&lab, &seed, 0);
    let card = lab.card(one, "Approve").await?;
    let written = lab
        .telegram
        .send_text(ALICE, CHAT, &format!("{} {}", &second[..3], &second[3..]), Some(card.id));
    lab.said(CHAT, written, &[&one.short(), "approved by alice with a code: complete"])
        .await?;
    still_pending(&lab, other).await?;
    send(&lab, ALICE, &second, "was used already").await?;
    lab.advance(Duration::from_secs(30));
    send(
        &lab,
        ALICE,
        &format!("{} {}", code(&lab, &seed, 0), other.short()),
        "approved by alice with a code: complete",
    )
    .await?;
    lab.ended(one).await?;
    lab.ended(other).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_s_code_counts_for_somebody_else() -> Result<()> {
    let lab = Lab::with(marked("totp")).await?;
    let (alices, bobs) = (enrolled(&lab, ALICE, "alice").await?, enrolled(&lab, BOB, "bob").await?);
    let id = pending(&lab).await?;
    asked(&lab, BOB, id).await?;
    send(&lab, BOB, &code(&lab, &alices, 0), "That code is wrong").await?;
    send(
        &lab,
        ALICE,
        &code(&lab, &alices, 0),
        "Nothing of yours waits for a code here, and that one is used up",
    )
    .await?;
    still_pending(&lab, id).await?;
    // Whoever gives up their rights in between has none.
    lab.command(BOB, CHAT, "/lockme", &["bob"]).await?;
    send(
        &lab,
        BOB,
        &code(&lab, &bobs, 0),
        "two others give you your rights back: /unlock bob",
    )
    .await?;
    still_pending(&lab, id).await?;
    // Stopping takes no code.
    lab.tap(ALICE, id, "Reject").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Rejected));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_tap_asks_again() -> Result<()> {
    let mut lab = Lab::with(marked("totp")).await?;
    let seed = enrolled(&lab, ALICE, "alice").await?;
    let id = pending(&lab).await?;
    asked(&lab, ALICE, id).await?;
    lab.restart().await?;
    send(&lab, ALICE, &code(&lab, &seed, 0), "Nothing of yours waits for a code here").await?;
    still_pending(&lab, id).await?;
    asked(&lab, ALICE, id).await?;
    // Too late is too late.
    lab.advance(Duration::from_secs(121));
    send(&lab, ALICE, &code(&lab, &seed, 0), "Nothing of yours waits for a code here").await?;
    asked(&lab, ALICE, id).await?;
    lab.advance(Duration::from_secs(30));
    send(&lab, ALICE, &code(&lab, &seed, 0), "approved by alice with a code: complete").await?;
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_in_private_is_taken_away_after_it_counted() -> Result<()> {
    let lab = Lab::with(marked("totp")).await?;
    lab.telegram.add_chat(Chat {
        id: ALICE,
        kind: ChatKind::Private,
        title: "Alice".to_owned(),
        topics: Vec::new(),
    });
    let seed = enrolled(&lab, ALICE, "alice").await?;
    let id = pending(&lab).await?;
    asked(&lab, ALICE, id).await?;
    let written = lab
        .telegram
        .send_text(ALICE, ALICE, &format!("/code {}", code(&lab, &seed, 0)), None);
    lab.said(ALICE, written, &["approved by alice with a code: complete"]).await?;
    let gone = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state.message(ALICE, written).filter(|message| message.deleted).map(drop)
        })
        .await;
    assert!(gone.is_some(), "the message with the code stays");
    lab.ended(id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_approved() -> Result<()> {
    let lab = Lab::with(LabOptions {
        codes: false,
        ..marked("totp")
    })
    .await?;
    enrolled(&lab, ALICE, "alice").await?;
    let id = pending(&lab).await?;
    let told = "No codes can be checked: ask an operator to look at policy.code_key_file.";
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), told);
    send(&lab, ALICE, "123456", told).await?;
    still_pending(&lab, id).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_without_a_code_is_not_pushed_once_codes_are_asked() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let seed = enrolled(&lab, ALICE, "alice").await?;
    let id = lab.propose("Run the blog twice", &[(VALUES, Some(TWICE))]).await?;
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    let policy = Policy::parse(&marked("totp").policy).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    lab.engine.put_in_force(Book::new(policy, Vec::new()));
    lab.advance(Duration::from_secs(31));
    let back = lab
        .until(id, "asked again", |proposal| proposal.decision == Decision::Pending)
        .await?;
    assert_eq!((back.delivery, back.approvers()), (Delivery::None, Vec::new()));
    asked(&lab, ALICE, id).await?;
    send(&lab, ALICE, &code(&lab, &seed, 0), "approved by alice with a code: complete").await?;
    lab.advance(Duration::from_secs(31));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_person_is_another_one() -> Result<()> {
    let lab = Lab::with(marked("person")).await?;
    let id = pending(&lab).await?;
    assert_eq!(
        lab.tap(ALICE, id, "Approve").await?.text(),
        "approved by alice: 1 of 2 from operators"
    );
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "you have approved this already");
    lab.card_saying(id, "asks for a second person: 2 in all").await?;
    assert_eq!(lab.tap(BOB, id, "Approve").await?.text(), "approved by bob: complete");
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}
