//! The scenes in which people hold the service back: a stop that two people end, and a freeze that its group lets one change pass.

use anyhow::{Context as _, Result, ensure};
use simulators::telegram::{Message, TapOutcome};

use super::super::seed;
use super::super::world::{BOB, CAROL, CHAT};
use super::{PATIENCE, Teller, headlines, short};

impl Teller {
    pub(super) async fn stopped(&self) -> Result<()> {
        self.command(CAROL, "/stop because the storage is being moved", "Stop 1 stands")
            .await?;
        self.say("carol", "writes /stop: nothing is sent any more, and every chat hears of it");
        let document = self
            .agent
            .propose(
                "The blog again, at 2.2.0",
                "The cause is mended.",
                &[(seed::BLOG, Some(seed::BLOG_AFTER))],
            )
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        let toast = self.tap(BOB, &id, "Approve").await?;
        self.say("bob", &format!("approves {}: «{}»; it waits", short(&id), toast.text()));
        self.saying(&id, "waits: carol stopped all").await?;
        let waiting = self.agent.get(&id).await?;
        ensure!(
            waiting["delivery"] == "queued",
            "a stopped change is {}: {waiting}",
            waiting["delivery"]
        );
        self.say("agent", &format!("hears: {}", waiting["note"].as_str().unwrap_or("nothing")));
        let toast = self.press(CAROL, "⛔ carol stopped all", "Resume").await?;
        self.say("carol", &format!("taps Resume below the stop: «{toast}»"));
        let toast = self.press(BOB, "⛔ carol stopped all", "Resume (1 of 2)").await?;
        self.say("bob", &format!("taps it, too: «{toast}»"));
        let end = self.expect_end(&id, "synced").await?;
        self.say("argo cd", &format!("it went at once: {}", headlines(&end)));
        Ok(())
    }

    pub(super) async fn frozen(&self) -> Result<()> {
        let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  namespace: shop\nspec:\n  ports:\n    - port: 8080\n";
        let document = self
            .agent
            .propose(
                "The shop listens on 8080",
                "The proxy expects it there.",
                &[(seed::SHOP_SERVICE, Some(text))],
            )
            .await?;
        let id = self.expect_tier(&document, "prompted")?;
        self.approve(BOB, &id).await?;
        let card = self.saying(&id, "is frozen by \"sale\"").await?;
        let why = card.text.lines().find(|line| line.contains("waits: ")).unwrap_or_default();
        self.say("service", &format!("holds {} back; {}", short(&id), why.trim()));
        let toast = self.tap(CAROL, &id, "Send anyway").await?;
        self.say("carol", &format!("taps Send anyway: «{}»", toast.text()));
        let toast = self.tap(CAROL, &id, "Yes, send anyway").await?;
        self.say("carol", &format!("confirms: «{}»", toast.text()));
        let end = self.expect_end(&id, "synced").await?;
        self.saying(&id, "carol let it pass the freeze \"sale\"").await?;
        self.say("argo cd", &format!("the card tells who let it pass: {}", headlines(&end)));
        Ok(())
    }

    /// Approves, with the second step where the change asks for one.
    async fn approve(&self, person: i64, id: &str) -> Result<()> {
        let toast = self.tap(person, id, "Approve").await?;
        if self.agent.get(id).await?["decision"] == "pending" {
            self.say("bob", &format!("taps Approve: «{}»", toast.text()));
            self.tap(person, id, "Yes, approve").await?;
        }
        Ok(())
    }

    /// Somebody writes a command; waits for the answer.
    pub(super) async fn command(&self, person: i64, text: &str, answer: &str) -> Result<()> {
        let written = self.world.telegram.send_text(person, CHAT, text, None);
        let found = self
            .world
            .telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter();
                messages
                    .any(|message| message.id > written && message.text.contains(answer))
                    .then_some(())
            })
            .await;
        found.with_context(|| format!("{text} was not answered with {answer:?}"))
    }

    /// Presses a button of the message that says something, as soon as it has that button.
    async fn press(&self, person: i64, words: &str, button: &str) -> Result<String> {
        let telegram = &self.world.telegram;
        let found = telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter().rev();
                messages
                    .find(|message| message.text.contains(words) && message.keyboard_text().contains(button))
                    .cloned()
            })
            .await;
        let message = found.with_context(|| format!("no message {words:?} with a button {button}"))?;
        let label = message.buttons().map(|each| each.text.clone()).find(|text| text.contains(button));
        let label = label.context("the button is gone")?;
        let outcome = telegram.tap_within(person, CHAT, message.id, &label, PATIENCE).await;
        ensure!(
            matches!(outcome, TapOutcome::Answered { .. }),
            "a tap on {label} was not answered: {outcome:?}"
        );
        Ok(outcome.text().to_owned())
    }

    pub(super) async fn saying(&self, id: &str, words: &str) -> Result<Message> {
        let name = short(id);
        let found = self
            .world
            .telegram
            .wait_for(PATIENCE, |state| {
                let mut messages = state.messages(CHAT).iter().rev();
                messages
                    .find(|message| message.text.contains(&name) && message.text.contains(words))
                    .cloned()
            })
            .await;
        found.with_context(|| format!("no card of {name} says {words:?}"))
    }
}
