//! The scene in which a tap is not enough: the policy marks a path, and whoever approves there sends a code of their own app, too.

use anyhow::{Context as _, Result, ensure};

use super::super::seed;
use super::super::world::{BOB, CAROL};
use super::{Teller, headlines, short};

impl Teller {
    pub(super) async fn coded(&self) -> Result<()> {
        let change = [(seed::CACHE_SETTINGS, Some(seed::CACHE_SETTINGS_AFTER))];
        let document = self
            .agent
            .propose("More memory for the cache", "It evicts too early.", &change)
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        ensure!(
            document["progress"]["second_factors"] == serde_json::json!(["totp"]),
            "the agent is not told of the code: {document}"
        );
        self.say("agent", &format!("proposes {}: approvals there take a code", short(&id)));
        let toast = self.tap(BOB, &id, "Approve").await?;
        ensure!(self.agent.get(&id).await?["decision"] == "pending", "a tap alone approved");
        self.say("bob", &format!("taps Approve: «{}»", toast.text()));
        let apps = &self.world.apps;
        let wrong = apps.wrong_code(BOB).context("no wrong code")?;
        self.command(BOB, &format!("/code {wrong}"), "That code is wrong: 4 tries are left")
            .await?;
        let carols = apps.code(CAROL).context("no code of carol")?;
        self.command(CAROL, &format!("/code {carols}"), "Nothing of yours waits for a code here")
            .await?;
        self.say("bob", "sends a wrong code, and carol one of hers: neither approves anything");
        ensure!(self.agent.get(&id).await?["decision"] == "pending", "a wrong code approved");
        let code = apps.code(BOB).context("no code of bob")?;
        self.command(BOB, &format!("/code {code}"), "approved by bob with a code: complete")
            .await?;
        self.say("bob", "sends the code of his app: «approved by bob with a code: complete»");
        self.command(BOB, &format!("/code {code}"), "was used already").await?;
        let end = self.expect_end(&id, "synced").await?;
        self.saying(&id, "bob (code)").await?;
        self.say("argo cd", &format!("the card says «bob (code)»: {}", headlines(&end)));
        Ok(())
    }
}
