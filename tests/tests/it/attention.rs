//! People's attention: how often agents may ask, and how people look before they approve.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use domain::{Decision, Outcome, ProposalId};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, LabOptions, PATIENCE, agent_named, files, request};
use simulators::telegram::{Chat, ChatKind};

const VALUES: &str = "kubernetes/applications/blog/values.yaml";

/// One more change of one file.
async fn ask(lab: &Lab, agent: &str, replicas: u32) -> Result<Result<(), engine::Problem>> {
    let text = format!("replicaCount: {replicas}\n");
    let request = request("Scale", files(&[(VALUES, Some(&text))]));
    Ok(lab.engine.propose(&agent_named(agent), request, None).await.map(|_| ()))
}

#[tokio::test(flavor = "multi_thread")]
async fn above_its_cards_an_agent_is_refused_and_people_read_one_message() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.hourly_cards_per_agent = 2;
    let lab = Lab::with(options).await?;
    for replicas in [10, 11] {
        ask(&lab, "ops-bot", replicas).await?.map_err(|problem| anyhow!("{problem}"))?;
    }
    for replicas in 12..15 {
        let Err(problem) = ask(&lab, "ops-bot", replicas).await? else {
            return Err(anyhow!("a third card was taken"));
        };
        assert_eq!((problem.status, problem.code), (429, "too_many_cards"));
        assert!(
            problem.retry_after.is_some_and(|seconds| (3500..=3601).contains(&seconds)),
            "{problem:?}"
        );
    }
    // The same request again is no new card; another agent has cards of its own.
    ask(&lab, "ops-bot", 10).await?.map_err(|problem| anyhow!("{problem}"))?;
    ask(&lab, "other-bot", 20).await?.map_err(|problem| anyhow!("{problem}"))?;
    lab.advance(Duration::from_secs(15));
    let told = lab
        .said(CHAT, 0, &["ops-bot wanted to ask 3 more times in the last hour; refused until "])
        .await?;
    let _ = ask(&lab, "ops-bot", 15).await?;
    lab.advance(Duration::from_secs(15));
    let edited = lab.said(CHAT, 0, &["ops-bot wanted to ask 4 more times in the last hour"]).await?;
    assert_eq!(edited.id, told.id, "one message, edited");
    let messages = lab.telegram.messages(CHAT);
    assert_eq!(messages.iter().filter(|message| message.text.contains("wanted to ask")).count(), 1);
    let audit = lab.whole_audit().await?;
    assert_eq!(audit.iter().filter(|(event, _)| event == "refused_card").count(), 4);
    assert_eq!(
        audit.iter().filter(|(event, _)| event == "proposed").count(),
        3,
        "what was refused is stored nowhere"
    );
    // An hour later it may ask again.
    lab.advance(Duration::from_secs(3600));
    ask(&lab, "ops-bot", 16).await?.map_err(|problem| anyhow!("{problem}"))?;
    lab.invariants().await
}

/// A revision rings like a new card. One too many is stored nowhere, and what people were asked before can be decided still.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_above_the_cards_is_refused_and_the_old_one_stands() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.hourly_cards_per_agent = 2;
    let lab = Lab::with(options).await?;
    let agent = agent_named("ops-bot");
    let asking = |replicas: u32| {
        let text = format!("replicaCount: {replicas}\n");
        request("Scale", files(&[(VALUES, Some(&text))]))
    };
    let id = lab.request("ops-bot", asking(10)).await?;
    let first = lab.proposal(id).await?;
    let revised = lab.engine.revise(&agent, id, first.version, asking(11), None).await;
    ensure!(revised.is_ok(), "{revised:?}");
    lab.card(id, "Approve").await?;
    let standing = lab.proposal(id).await?;
    for _ in 0..2 {
        let Err(problem) = lab.engine.revise(&agent, id, standing.version, asking(12), None).await else {
            return Err(anyhow!("a third card was taken"));
        };
        assert_eq!((problem.status, problem.code), (429, "too_many_cards"));
        assert!(
            problem.retry_after.is_some_and(|seconds| (3500..=3601).contains(&seconds)),
            "{problem:?}"
        );
    }
    let read = lab.engine.store().read();
    assert_eq!(lab.proposal(id).await?, standing, "the old revision stands");
    assert_eq!(read.revisions(id).await?.len(), 2);
    assert_eq!(read.contents(id, 3).await?, None, "nothing of it is stored");
    // What people look at already is no further card.
    let same = lab.engine.revise(&agent, id, standing.version, asking(11), None).await;
    ensure!(matches!(same, Ok(engine::Created::Existing(_))), "{same:?}");
    lab.advance(Duration::from_secs(15));
    lab.said(CHAT, 0, &["ops-bot wanted to ask 2 more times in the last hour; refused until "])
        .await?;
    let messages = lab.telegram.messages(CHAT);
    assert_eq!(messages.iter().filter(|message| message.text.contains("wanted to ask")).count(), 1);
    let audit = lab.whole_audit().await?;
    let count = |name: &str| audit.iter().filter(|(event, _)| event == name).count();
    assert_eq!((count("refused_card"), count("revise")), (2, 1));
    // An hour later it may revise again, and people decide on that.
    lab.advance(Duration::from_secs(3600));
    let revised = lab.engine.revise(&agent, id, standing.version, asking(12), None).await;
    ensure!(revised.is_ok(), "{revised:?}");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let shown = |card: &store::Card| card.revision == 3 && card.state == store::CardState::Shown;
    while !read.cards(id).await?.iter().any(shown) {
        ensure!(tokio::time::Instant::now() < deadline, "no card of the third revision");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read(VALUES).as_deref(), Some("replicaCount: 12\n".as_bytes()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_has_a_quota_of_all_agents() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.hourly_cards_per_chat = 2;
    let lab = Lab::with(options).await?;
    for (agent, replicas) in [("ops-bot", 10), ("other-bot", 11)] {
        ask(&lab, agent, replicas).await?.map_err(|problem| anyhow!("{problem}"))?;
    }
    ensure!(
        ask(&lab, "third-bot", 12)
            .await?
            .is_err_and(|problem| problem.code == "too_many_cards")
    );
    // What asks nobody is no card: a runbook's standard run goes on.
    let run = lab.run("scale", serde_json::json!({ "app": "web", "replicas": 3 })).await;
    ensure!(run.is_ok(), "{run:?}");
    lab.invariants().await
}

/// Asks, and answers what a tap of ALICE on Approve says.
async fn tapped(lab: &Lab, replicas: u32) -> Result<(domain::ProposalId, String)> {
    let text = format!("replicaCount: {replicas}\ntheme:\n  colour: blue\n");
    let id = lab.propose("Scale", &[(VALUES, Some(&text))]).await?;
    let toast = lab.tap(ALICE, id, "Approve").await?.text().to_owned();
    Ok((id, toast))
}

/// Until the service knows when its card was shown: from then on people can have looked.
async fn noted(lab: &Lab, id: ProposalId) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while lab
        .engine
        .store()
        .read()
        .cards(id)
        .await?
        .iter()
        .all(|card| card.shown_at.is_none())
    {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "no card of {} was noted as shown",
            id.short()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_quicker_than_anybody_reads_is_asked_again() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.hasty_tap = Duration::from_secs(600);
    let lab = Lab::with(options).await?;
    let (id, toast) = tapped(&lab, 2).await?;
    assert_eq!(toast, "That was quicker than reading. Look again, then tap Yes.");
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    // Nor does the Yes count that comes under a finger on its way.
    assert_eq!(
        lab.tap(ALICE, id, "Yes, approve").await?.text(),
        "Read the question first, then tap Yes."
    );
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.advance(Duration::from_secs(601));
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_always_approves_at_once_is_shown_the_diff_first_and_told_in_private() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.steady_tap = Duration::from_secs(600);
    let lab = Lab::with(options).await?;
    lab.telegram.add_chat(Chat {
        id: ALICE,
        kind: ChatKind::Private,
        title: "Alice".into(),
        topics: Vec::new(),
    });
    for replicas in 2..7 {
        let (id, toast) = tapped(&lab, replicas).await?;
        assert_eq!(toast, "approved by alice: complete");
        lab.ended(id).await?;
    }
    for replicas in 7..9 {
        let (id, toast) = tapped(&lab, replicas).await?;
        assert_eq!(
            toast,
            "Your last approvals were quicker than reading: the diff is below the card. Open it, then tap Yes."
        );
        assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
        // The question says what it is asked for: everything stands on the card.
        let card = lab.card(id, "Yes, approve").await?;
        assert!(
            card.text.contains("1 file, approved quicker than reading: open the diff first") && !card.text.contains("not everything fits"),
            "{}",
            card.text
        );
        lab.tap(ALICE, id, "Yes, approve").await?;
        lab.ended(id).await?;
    }
    let documents = || {
        lab.telegram
            .messages(CHAT)
            .iter()
            .filter(|message| message.document.is_some())
            .count()
    };
    assert!(documents() >= 1, "{:#?}", lab.texts());
    lab.said(ALICE, 0, &["That is quicker than reading"]).await?;
    let private = lab.telegram.messages(ALICE);
    assert_eq!(
        private
            .iter()
            .filter(|message| message.text.contains("quicker than reading"))
            .count(),
        1,
        "once a day"
    );
    // Who takes their time approves with one tap.
    let id = lab.propose("Scale", &[(VALUES, Some("replicaCount: 1\n"))]).await?;
    lab.card(id, "Approve").await?;
    noted(&lab, id).await?;
    lab.advance(Duration::from_secs(601));
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "approved by alice: complete");
    // How she decides is told to her, in private only.
    let own = lab
        .command(ALICE, ALICE, "/whoami", &["Last 90 days: 8 decisions, 100 % approved"])
        .await?;
    let open = lab.command(ALICE, CHAT, "/whoami", &["You are alice"]).await?;
    assert!(
        own.text.contains("Only you and the operators see this") && !open.text.contains("90 days"),
        "{}",
        open.text
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_question_of_a_high_risk_repeats_the_worst_line_and_the_digest() -> Result<()> {
    let lab = Lab::start().await?;
    let open = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: all\n  namespace: web\nspec:\n  podSelector: {}\n  policyTypes: [Ingress]\n  ingress:\n    - {}\n";
    let id = lab
        .propose("Open", &[("kubernetes/applications/web/open.yaml", Some(open))])
        .await?;
    let toast = lab.tap(ALICE, id, "Approve").await?.text().to_owned();
    let digest = lab.proposal(id).await?.revision.digest.short();
    assert!(
        toast.starts_with("High risk: ") && toast.contains(&format!("digest {digest}")),
        "{toast}"
    );
    assert!(toast.chars().count() <= 200, "{toast}");
    let card = lab.card(id, "Back").await?;
    assert!(card.text.contains("Are you sure?") && card.text.contains(&digest), "{}", card.text);
    lab.tap(ALICE, id, "Yes, approve").await?;
    lab.ended(id).await?;
    lab.invariants().await
}
