//! People's attention: how often agents may ask, and how people look before they approve.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use end_to_end::Lab;
use end_to_end::lab::{CHAT, LabOptions, agent_named, files, request};

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
