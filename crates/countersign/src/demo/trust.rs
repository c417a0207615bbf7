//! Trust that is earned and lost: a runbook whose record shows enough is offered to run by itself, and one that failed asks again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use simulators::argocd::Behaviour;

use super::past;
use super::story::{PATIENCE, Teller, short};
use super::world::{CAROL, CHAT};

impl Teller {
    /// The offer was made at the start, on a past that is made up; a human accepts it by adding its lines to the policy.
    pub(super) async fn offered(&self) -> Result<()> {
        let offer = self.heard("Runbook restart may run by itself").await?;
        let evidence = offer.lines().next().unwrap_or_default();
        self.say(
            "service",
            &format!("offers a promotion (on a made-up past of {} runs): {evidence}", past::RUNS),
        );
        let before = self.restart("2026-03-01T10:00:00Z").await?;
        ensure!(before["tier"] == "prompted", "an offer alone promoted: {before}");
        let id = before["id"].as_str().context("a proposal without id")?.to_owned();
        self.card(&id, "Approve").await?;
        self.tap(CAROL, &id, "Reject").await?;
        self.say("carol", &format!("rejects {}: not before the policy says so", short(&id)));
        let lines = offer
            .split("\n\n")
            .find(|part| part.contains("[[grants]]"))
            .context("an offer without its lines")?;
        self.world.add_to_policy(lines)?;
        self.say("carol", "accepts: adds the offered lines to the policy");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let standing = self.agent.standing("restart").await?;
            if standing["tier"] == "standard" {
                break;
            }
            ensure!(Instant::now() < deadline, "the accepted promotion is not in force: {standing}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let accepted = self.heard("✅ Accepted: runbook restart").await?;
        self.say(
            "service",
            &format!("the offer says now: {}", accepted.lines().next().unwrap_or_default()),
        );
        let run = self.restart("2026-03-01T11:00:00Z").await?;
        let id = self.expect_tier(&run, "standard")?;
        self.expect_end(&id, "synced").await?;
        self.say(
            "agent",
            &format!(
                "calls runbook restart as {} (standard: {})",
                short(&id),
                run["why"].as_str().unwrap_or_default()
            ),
        );
        Ok(())
    }

    /// One failed run is enough: at once, and told with sound.
    pub(super) async fn demoted(&self) -> Result<()> {
        self.world.argocd.set_behaviour("cache", Behaviour::SyncFails);
        let run = self.scale(2).await?;
        let id = self.expect_tier(&run, "standard")?;
        self.expect_end(&id, "sync_failed").await?;
        self.heard("Runbook scale in homelab/default is prompted from now on").await?;
        self.say(
            "argo cd",
            &format!("{} cannot be synced; the service demotes runbook scale at once", short(&id)),
        );
        self.world.argocd.set_behaviour("cache", Behaviour::Succeed);
        let next = self.scale(3).await?;
        let asked = self.expect_tier(&next, "prompted")?;
        self.say(
            "agent",
            &format!(
                "calls scale again as {} (prompted: {})",
                short(&asked),
                next["why"].as_str().unwrap_or_default()
            ),
        );
        let toast = self.tap(CAROL, &asked, "Reject").await?;
        self.say("carol", &format!("taps Reject: «{}»", toast.text()));
        self.expect_end(&asked, "rejected").await?;
        Ok(())
    }

    async fn restart(&self, at: &str) -> Result<serde_json::Value> {
        let parameters = json!({ "app": "shop", "restarted_at": at });
        self.agent.run("restart", "A setting changed.", parameters).await
    }

    async fn scale(&self, replicas: u32) -> Result<serde_json::Value> {
        let parameters = json!({ "app": "cache", "replicas": replicas });
        self.agent.run("scale", "The cache is hot.", parameters).await
    }

    /// The text of the first message that holds these words.
    async fn heard(&self, words: &str) -> Result<String> {
        let found = self
            .world
            .telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter();
                messages
                    .find(|message| message.text.contains(words))
                    .map(|message| message.text.clone())
            })
            .await;
        found.with_context(|| format!("nobody said {words:?}"))
    }
}
