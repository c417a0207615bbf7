//! What people type, and who is answered.

use std::time::Duration;

use anyhow::Result;
use domain::{Decision, Outcome, ProposalId};
use end_to_end::lab::{ALICE, BOB, CHAT, MALLORY, PATIENCE};
use end_to_end::{Lab, LabOptions};
use simulators::telegram::{Chat, ChatKind};

use super::taps::{TWICE, VALUES, pending};

#[tokio::test(flavor = "multi_thread")]
async fn commands_tell_and_do_what_buttons_do() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let id = pending(&lab).await?;
    let short = id.short();
    lab.command(ALICE, CHAT, "/history", &["Nothing is under way, and nothing has ended yet."])
        .await?;
    lab.command(ALICE, CHAT, "/pending", &["Waiting for somebody", &short]).await?;
    lab.command(
        ALICE,
        CHAT,
        &format!("/show {short}"),
        &[&short, "Run the blog twice", "replicaCount"],
    )
    .await?;
    lab.command(BOB, CHAT, "/whoami", &["You are bob (id 1002)", "operators", "owned-bot"])
        .await?;
    lab.command(ALICE, CHAT, "/help", &["/pending", "/cancel ID", "/revert ID"]).await?;
    lab.command(ALICE, CHAT, "/show 000000", &["There is no proposal 000000."]).await?;
    lab.command(ALICE, CHAT, "/cancel", &["Which one?"]).await?;
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.tap(ALICE, id, "Approve").await?;
    lab.command(BOB, CHAT, &format!("/cancel {short}"), &["cancelled by bob"]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Dismissed));
    lab.command(BOB, CHAT, &format!("/revert {id}"), &["nothing to revert"]).await?;
    lab.command(
        BOB,
        CHAT,
        &format!("/cancel {short}"),
        &["is not cancelled: too late: cancelled by bob at "],
    )
    .await?;
    let history = lab.command(BOB, CHAT, "/history", &["Under way or ended", &short]).await?;
    assert!(!history.text.contains(&id.to_string()), "the id that cards show: {}", history.text);
    lab.command(BOB, CHAT, "/pending", &["Nothing waits for anybody."]).await?;
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
    lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &["is prepared: see its card."])
        .await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all[0].id;
    lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &[&revert.short()])
        .await?;
    let card = lab.card(revert, "Approve").await?.text;
    assert!(
        card.contains("asked by bob") && card.contains("Takes back what ops-bot called:"),
        "{card}"
    );
    for false_word in ["claims", "agent ops-bot", "takes back", &id.to_string()] {
        assert!(!card.contains(false_word), "{false_word}: {card}");
    }
    lab.tap(BOB, revert, "Approve").await?;
    lab.ended(revert).await?;
    assert_eq!(lab.repo.read(VALUES), before);
    lab.until(id, "marked as reverted", |p| p.reverted_by.is_some()).await?;
    let told = format!("{} reverted it", revert.short());
    let answer = lab.command(BOB, CHAT, &format!("/revert {}", id.short()), &[&told]).await?;
    assert!(!answer.text.contains("prp_"), "the id that cards show: {}", answer.text);
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

/// What the bot wrote in a chat, after a message.
fn answers(lab: &Lab, chat: i64, after: i64) -> Vec<String> {
    let own = |m: &simulators::telegram::Message| m.id > after && ![ALICE, BOB, MALLORY].contains(&m.from.unwrap_or_default());
    let messages = lab.telegram.messages(chat).into_iter();
    messages.filter(own).map(|message| message.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_group_a_stranger_learns_only_their_id() -> Result<()> {
    let lab = Lab::start().await?;
    let id = pending(&lab).await?;
    let last = lab.card(id, "Approve").await?.id;
    for asked in ["/pending", "/help", "/history", "/nonsense", "/nonsense@countersign_bot"] {
        lab.telegram.send_text(MALLORY, CHAT, asked, None);
    }
    lab.command(MALLORY, CHAT, "/whoami", &["Your id is 6666. You are not in the policy."])
        .await?;
    lab.telegram.send_text(MALLORY, CHAT, "/whoami", None);
    for asked in ["show", "revert", "cancel"] {
        lab.telegram.send_text(MALLORY, CHAT, &format!("/{asked} {}", id.short()), None);
    }
    // Whatever one person writes is dealt with in order: the last of it leaves a row.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let tried = loop {
        let mut rows = lab.whole_audit().await?;
        rows.retain(|(event, _)| event.starts_with("refused_"));
        if rows.len() >= 2 || tokio::time::Instant::now() > deadline {
            break rows;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let refused = |event: &str| (event.to_owned(), "not among the people of this policy".to_owned());
    assert_eq!(tried, [refused("refused_revert"), refused("refused_cancel")]);
    lab.command(ALICE, CHAT, "/whoami", &["You are alice"]).await?;
    let said = answers(&lab, CHAT, last);
    assert_eq!(said.len(), 2, "one to the stranger, one to alice: {said:#?}");
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_command_leads_to_the_help_where_it_is_meant_for_this_bot() -> Result<()> {
    let lab = Lab::start().await?;
    lab.telegram.add_chat(Chat {
        id: ALICE,
        kind: ChatKind::Private,
        title: "private".into(),
        topics: Vec::new(),
    });
    let hint = "That is no command here. /help lists them.";
    lab.telegram.send_text(ALICE, CHAT, "/nonsense", None);
    lab.telegram.send_text(ALICE, CHAT, "/nonsense@other_bot", None);
    lab.command(ALICE, CHAT, "/nonsense@countersign_bot", &[hint]).await?;
    lab.command(ALICE, CHAT, "/whoami", &["You are alice"]).await?;
    assert_eq!(answers(&lab, CHAT, 0).len(), 2, "{:#?}", lab.texts());
    lab.command(ALICE, ALICE, "/nonsense", &[hint]).await?;
    assert_eq!(answers(&lab, ALICE, 0).len(), 1);
    lab.invariants().await
}

/// What somebody writes in private is theirs: it counts as in the group, the group hears of what concerns it, and the answer stays private.
#[tokio::test(flavor = "multi_thread")]
async fn orders_in_private_count_as_in_the_group() -> Result<()> {
    let lab = Lab::start().await?;
    for person in [ALICE, BOB] {
        lab.telegram.add_chat(Chat {
            id: person,
            kind: ChatKind::Private,
            title: "private".into(),
            topics: Vec::new(),
        });
    }
    let id = pending(&lab).await?;
    let short = id.short();
    let shown = lab
        .command(ALICE, ALICE, &format!("/show {short}"), &[&short, "replicaCount"])
        .await?;
    assert!(shown.keyboard.is_empty(), "what is shown in private decides nothing: {shown:#?}");
    lab.command(ALICE, ALICE, "/stop path kubernetes/**", &["Stop 1 stands"]).await?;
    lab.said(CHAT, 0, &["alice stopped path kubernetes/**"]).await?;
    lab.command(BOB, BOB, "/stops", &["Stop 1 since"]).await?;
    lab.command(BOB, BOB, "/resume 1", &["1 more must write /resume 1"]).await?;
    lab.command(ALICE, ALICE, "/resume", &["Stop 1 (path kubernetes/**) is over"])
        .await?;
    lab.command(ALICE, ALICE, "/override", &["Which one?"]).await?;
    lab.command(ALICE, ALICE, &format!("/override {short}"), &["it is not waiting to be sent"])
        .await?;
    lab.command(ALICE, ALICE, "/runbooks", &["scale in homelab"]).await?;
    lab.command(ALICE, ALICE, "/trust scale", &["scale"]).await?;
    lab.command(ALICE, ALICE, "/notnow scale", &["No promotion of runbook scale is offered"])
        .await?;
    lab.command(ALICE, ALICE, "/lift scale", &["Nothing stops runbook scale"]).await?;
    lab.command(ALICE, ALICE, "/unexplained", &["Every new commit"]).await?;
    lab.command(ALICE, ALICE, &format!("/revert {short}"), &["nothing to revert"])
        .await?;
    lab.command(BOB, BOB, &format!("/cancel {short}"), &["cancelled by bob"]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Dismissed));
    lab.card_saying(id, "cancelled by bob").await?;
    let group = answers(&lab, CHAT, 0);
    assert!(!group.iter().any(|text| text.contains("Which one?")), "{group:#?}");
    lab.invariants().await
}
