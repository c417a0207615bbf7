//! `demo --auto`: the story, told with times. Every end is checked; the first that is wrong fails the run.

mod codes;
mod orders;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use simulators::git::Change;
use simulators::telegram::{Message, TapOutcome};

use super::agent::Agent;
use super::refused;
use super::seed;
use super::world::{BOB, CAROL, CHAT, STRANGER, World};

use crate::out::say;

/// Longest wait for one step of the story.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Teller {
    began: Instant,
    pub(super) world: World,
    pub(super) agent: Agent,
}

pub(super) async fn run() -> Result<()> {
    let began = Instant::now();
    let world = World::start(Duration::from_millis(60)).await?;
    let agent = Agent::new(world.service.api_addr(), &world.token)?;
    let teller = Teller { began, world, agent };
    teller.say("service", "started: a git remote, a chat, a cluster, and the service between them");
    let blog = teller.prompted().await?;
    teller.standard().await?;
    teller.manual().await?;
    teller.rejected().await?;
    teller.deleted().await?;
    teller.reverted(&blog).await?;
    teller.refused().await?;
    teller.stopped().await?;
    teller.frozen().await?;
    teller.coded().await?;
    teller.offered().await?;
    teller.demoted().await?;
    teller.log()?;
    teller.say("done", "every end is what it must be");
    teller.world.service.stop().await;
    Ok(())
}

impl Teller {
    pub(super) fn say(&self, who: &str, what: &str) {
        say!("{:>7.2} s  {who:<9} {what}", self.began.elapsed().as_secs_f64());
    }

    async fn prompted(&self) -> Result<String> {
        let document = self
            .agent
            .propose(
                "Update the blog to 2.2.0 and run two of it",
                "2.2.0 fixes the memory leak of 2.1.",
                &[(seed::BLOG, Some(seed::BLOG_AFTER))],
            )
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        self.say(
            "agent",
            &format!(
                "proposes {}: update the blog (prompted: {})",
                short(&id),
                document["why"].as_str().unwrap_or_default()
            ),
        );
        let stranger = self.tap(STRANGER, &id, "Approve").await?;
        self.say("stranger", &format!("taps Approve: «{}»", stranger.text()));
        ensure!(self.agent.get(&id).await?["decision"] == "pending", "a stranger's tap decided");
        let toast = self.tap(BOB, &id, "Approve").await?;
        self.say("bob", &format!("taps Approve: «{}»", toast.text()));
        let end = self.expect_end(&id, "synced").await?;
        self.say("argo cd", &format!("{} is synced and healthy: {}", commit(&end), headlines(&end)));
        self.card(&id, "Revert").await?;
        Ok(id)
    }

    async fn standard(&self) -> Result<()> {
        let document = self
            .agent
            .run("scale", "The queue is growing.", json!({ "app": "shop", "replicas": 3 }))
            .await?;
        let id = self.expect_tier(&document, "standard")?;
        self.say(
            "agent",
            &format!(
                "calls runbook scale as {} (standard: {})",
                short(&id),
                document["why"].as_str().unwrap_or_default()
            ),
        );
        let end = self.expect_end(&id, "synced").await?;
        self.say(
            "service",
            &format!("committed {} without a tap; people were told, with a Revert button", commit(&end)),
        );
        self.card(&id, "Revert").await?;
        Ok(())
    }

    async fn manual(&self) -> Result<()> {
        let document = self
            .agent
            .propose("A fourth worker", "Memory is at 92 %.", &[(seed::NODES, Some(seed::NODES_AFTER))])
            .await?;
        let id = self.expect_tier(&document, "manual")?;
        self.say(
            "agent",
            &format!(
                "proposes {}: a fourth worker (manual: {})",
                short(&id),
                document["why"].as_str().unwrap_or_default()
            ),
        );
        let card = self.card(&id, "Put aside").await?;
        ensure!(!card.keyboard_text().contains("Approve"), "a manual note has an Approve button");
        let message = format!("A fourth worker\n\nProposal-Id: {id}\n");
        let landed = self
            .world
            .repo
            .commit_on_top(&[Change::write(seed::NODES, seed::NODES_AFTER)], &message, "Carol")?;
        self.say("carol", &format!("commits it by hand as {}", &landed[..7]));
        let end = self.expect_end(&id, "pushed").await?;
        ensure!(end["landed"] == "as_proposed", "the manual change did not land as proposed: {end}");
        self.say("service", "saw it land exactly as proposed; no application tracks Terraform files");
        Ok(())
    }

    async fn rejected(&self) -> Result<()> {
        let document = self
            .agent
            .propose("Forty blogs", "More is better.", &[(seed::BLOG, Some("replicaCount: 40\n"))])
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        self.say("agent", &format!("proposes {}: forty blogs", short(&id)));
        let toast = self.tap(CAROL, &id, "Reject").await?;
        self.say("carol", &format!("taps Reject: «{}»", toast.text()));
        self.tap(CAROL, &id, "too big").await?;
        let end = self.expect_end(&id, "rejected").await?;
        let end = self
            .poll(&end, |end| !end["reason_given"].is_null() || end.to_string().contains("too big"))
            .await?;
        ensure!(end.to_string().contains("too big"), "the reason did not reach the agent: {end}");
        self.say("agent", "hears: rejected, because «too big»");
        Ok(())
    }

    async fn deleted(&self) -> Result<()> {
        let document = self
            .agent
            .propose(
                "Drop the cache's disruption budget",
                "It blocks every node drain.",
                &[(seed::CACHE, None)],
            )
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        self.say("agent", &format!("proposes {}: delete a file", short(&id)));
        let toast = self.tap(BOB, &id, "Approve").await?;
        ensure!(
            self.agent.get(&id).await?["decision"] == "pending",
            "a deletion was approved by one tap"
        );
        self.say("bob", &format!("taps Approve: «{}»", toast.text()));
        let toast = self.tap(BOB, &id, "Yes, approve").await?;
        self.say("bob", &format!("confirms: «{}»", toast.text()));
        let end = self.expect_end(&id, "synced").await?;
        self.say("argo cd", &format!("{} is synced: {}", commit(&end), headlines(&end)));
        Ok(())
    }

    async fn reverted(&self, blog: &str) -> Result<()> {
        let toast = self.tap(CAROL, blog, "Revert").await?;
        self.say("carol", &format!("taps Revert on the blog: «{}»", toast.text()));
        let deadline = Instant::now() + PATIENCE;
        let revert = loop {
            let all = self.agent.list().await?;
            match all
                .iter()
                .find(|one| one["title"].as_str().is_some_and(|title| title.starts_with("Revert: ")))
            {
                Some(found) => break found["id"].as_str().context("a proposal without id")?.to_owned(),
                None if Instant::now() > deadline => bail!("no revert was proposed"),
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let toast = self.tap(CAROL, &revert, "Approve").await?;
        self.say("carol", &format!("approves revert {}: «{}»", short(&revert), toast.text()));
        let end = self.expect_end(&revert, "synced").await?;
        let now = self.world.repo.read(seed::BLOG).unwrap_or_default();
        ensure!(now == seed::BLOG_BEFORE.as_bytes(), "the revert did not bring the old content back");
        self.say("argo cd", &format!("{} is synced and healthy: the blog is as it was", commit(&end)));
        Ok(())
    }

    async fn refused(&self) -> Result<()> {
        let before = self.agent.list().await?.len();
        let refused = refused::password(&self.agent).await?;
        self.say(
            "agent",
            &format!("sends a password in a manifest and is refused: {}", refused.place),
        );
        self.say("agent", &format!("is told: {}", refused.hint));
        ensure!(self.agent.list().await?.len() == before, "something of a refused change was kept");
        let document = refused::reference(&self.agent).await?;
        let id = self.expect_tier(&document, "prompted")?;
        self.say("agent", &format!("proposes {}: a reference to the password instead", short(&id)));
        let card = self.card(&id, "Approve").await?;
        ensure!(
            card.text.contains("secrets ✓"),
            "the card does not say what checked it: {}",
            card.text
        );
        let toast = self.tap(BOB, &id, "Approve").await?;
        self.say("bob", &format!("sees «secrets ✓» and taps Approve: «{}»", toast.text()));
        let end = self.expect_end(&id, "synced").await?;
        self.say("argo cd", &format!("{} is synced: {}", commit(&end), headlines(&end)));
        Ok(())
    }

    fn log(&self) -> Result<()> {
        let log = self.world.repo.log(20);
        say!("\n           git log of the remote:");
        for entry in &log {
            let trailers: Vec<_> = entry
                .message
                .lines()
                .filter(|line| line.starts_with("Approved-by: ") || line.starts_with("Tier: "))
                .collect();
            say!(
                "           {} {:<44} {}",
                &entry.id[..7],
                entry.message.lines().next().unwrap_or_default(),
                trailers.join(", ")
            );
        }
        say!();
        ensure!(log.len() == 12, "the branch has {} commits instead of 12", log.len());
        Ok(())
    }

    pub(super) fn expect_tier(&self, document: &Value, tier: &str) -> Result<String> {
        ensure!(
            document["tier"] == tier,
            "routed as {} instead of {tier}: {document}",
            document["tier"]
        );
        Ok(document["id"].as_str().context("a proposal without id")?.to_owned())
    }

    pub(super) async fn expect_end(&self, id: &str, outcome: &str) -> Result<Value> {
        let end = self.agent.wait(id, "outcome").await?;
        ensure!(end["outcome"] == outcome, "ended as {} instead of {outcome}: {end}", end["outcome"]);
        Ok(end)
    }

    async fn poll(&self, document: &Value, wished: impl Fn(&Value) -> bool) -> Result<Value> {
        let id = document["id"].as_str().context("a document without id")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.agent.get(id).await?;
            if wished(&now) || Instant::now() > deadline {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn card(&self, id: &str, button: &str) -> Result<Message> {
        let name = short(id);
        let found = self
            .world
            .telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter().rev();
                messages
                    .find(|message| message.text.contains(&name) && message.keyboard_text().contains(button))
                    .cloned()
            })
            .await;
        found.with_context(|| format!("no card of {name} with a button {button}"))
    }

    pub(super) async fn tap(&self, person: i64, id: &str, button: &str) -> Result<TapOutcome> {
        let card = self.card(id, button).await?;
        let label = card
            .buttons()
            .map(|b| b.text.clone())
            .find(|text| text.contains(button))
            .context("the button is gone")?;
        let outcome = self.world.telegram.tap_within(person, CHAT, card.id, &label, PATIENCE).await;
        ensure!(
            matches!(outcome, TapOutcome::Answered { .. }),
            "a tap on {label} was not answered: {outcome:?}"
        );
        Ok(outcome)
    }
}

/// What people call a proposal: the last six digits.
pub(super) fn short(id: &str) -> String {
    id[id.len().saturating_sub(6)..].to_uppercase()
}

fn commit(document: &Value) -> String {
    let commit = document["commit"]
        .as_str()
        .or_else(|| document["commit"]["id"].as_str())
        .unwrap_or("?");
    commit.chars().take(7).collect()
}

fn headlines(document: &Value) -> String {
    let apps = document["applications"].as_array().cloned().unwrap_or_default();
    let lines: Vec<_> = apps
        .iter()
        .map(|app| {
            format!(
                "{}: {}",
                app["name"].as_str().unwrap_or("?"),
                app["headline"].as_str().unwrap_or("?")
            )
        })
        .collect();
    lines.join("; ")
}
