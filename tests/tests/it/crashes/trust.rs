//! The process dies while a record is weighed, while a promotion is offered, and while an accepted one is committed: evidence counts once, what
//! is taken away is told once and in force, an offer is made once, and its acceptance is one commit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::ledger::{Demotion, Trial, TrialResult};
use domain::{Decision, Effect, Outcome, Proposal, ProposalId, Tier};
use end_to_end::lab::{ALICE, CHAT, PATIENCE, POLICY};
use end_to_end::record;
use serde_json::json;
use simulators::git::Change;
use store::{Actor, Audit, ListFilter};

use super::Keeper;

/// Where the repository keeps its policy.
const HOME: &str = ".countersign/policy.toml";
/// The places that are passed while a record is weighed, as it dies at them.
const WEIGHING: [&[&str]; 3] = [
    &["effect:weigh_trust:before"],
    &["weigh:settled", "effect:weigh_trust:executed"],
    &["effect:weigh_trust:executed", "weigh:settled", "effect:weigh_trust:recorded"],
];
/// Longer than every window: 24 h, and what a run may take.
const A_DAY_AND_MORE: i64 = 31 * 3600;
/// So many good runs are enough for an offer.
const ENOUGH: u32 = 14;

/// The lab's policy without any grant.
fn without_grants() -> &'static str {
    POLICY.split("[[grants]]").next().unwrap_or_default()
}

impl Keeper {
    /// A service under this policy; with `home` the repository carries its rules itself.
    async fn under(policy: &str, home: bool) -> Result<Self> {
        let keeper = Self::new().await?;
        std::fs::write(keeper.lab.folder().join("policy"), policy)?;
        if home {
            std::fs::write(keeper.lab.folder().join("repository-policy"), HOME)?;
            let rules = policy.split_once("[[rules]]").context("no rules")?.1;
            let rules = rules.split("[promotions]").next().unwrap_or_default();
            let theirs = format!("version = 1\n\n[[rules]]{rules}");
            let by = "olivia <olivia@example.com>";
            keeper.lab.repo.commit_on_top(&[Change::write(HOME, theirs)], "Our policy", by)?;
        }
        Ok(keeper)
    }

    async fn scaled(&mut self, replicas: u32) -> Result<ProposalId> {
        self.asks(json!({ "runbook": "scale", "parameters": { "app": "web", "replicas": replicas } }))
            .await
    }

    /// A runbook that asks people, with one run of its own and a record that shows enough; the service is dead.
    async fn proven(policy: &str, home: bool) -> Result<(Self, ProposalId)> {
        let mut keeper = Self::under(policy, home).await?;
        keeper.start("-", 0)?;
        let run = keeper.scaled(5).await?;
        keeper.tap(ALICE, run, "Approve", |p| p.decision == Decision::Approved).await?;
        keeper.until(run, "ended", |p| p.outcome.is_some()).await?;
        keeper.kill();
        record::seed(&keeper.lab, run, ENOUGH).await?;
        Ok((keeper, run))
    }

    /// Starts the service with these deadly places before it, one after the other, and tends it until it passed them all and no record
    /// waits to be weighed at this moment.
    async fn weighs(&mut self, points: &[&str]) -> Result<()> {
        self.ahead = points.iter().rev().map(|point| (*point).to_owned()).collect();
        let deaths = self.deaths + points.len();
        let first = self.ahead.pop().context("no place")?;
        self.start(&first, 1)?;
        let deadline = Instant::now() + PATIENCE;
        while self.deaths < deaths || self.weighing().await? {
            ensure!(Instant::now() < deadline, "{points:?} were not all passed: {:#?}", self.lab.texts());
            self.tend()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether a record is due to be weighed: what waits for its window does not count.
    async fn weighing(&self) -> Result<bool> {
        let file = self.lab.folder().join("clock");
        let ahead: i64 = std::fs::read_to_string(file).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let now = chrono::Utc::now() + chrono::Duration::seconds(ahead);
        for proposal in self.all().await? {
            let owed = self.lab.engine.store().read().effects_waiting(proposal.id).await?;
            if owed.iter().any(|owed| owed.key == "weigh_trust" && owed.due <= now) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn all(&self) -> Result<Vec<Proposal>> {
        let (all, _) = self.lab.engine.store().read().list(&ListFilter::default(), None, 100).await?;
        Ok(all)
    }

    async fn trial(&self, id: ProposalId) -> Result<Trial> {
        self.lab.engine.store().read().trial(id).await?.context("no trial")
    }

    /// This stands in the audit log exactly once.
    async fn once(&self, event: &str) -> Result<()> {
        let rows = self.lab.whole_audit().await?;
        let count = rows.iter().filter(|(name, _)| name == event).count();
        ensure!(count == 1, "{event} {count} times");
        Ok(())
    }

    /// Every demotion in the record of a run's runbook.
    async fn demotions(&self, run: ProposalId) -> Result<Vec<Demotion>> {
        let trial = self.trial(run).await?;
        let since = trial.started_at - chrono::Duration::days(30);
        Ok(self.lab.engine.store().read().ledger_record(&trial.key, since).await?.demotions)
    }

    /// The one proposal that offers a promotion.
    async fn offer(&self) -> Result<ProposalId> {
        let all = self.all().await?;
        let offers: Vec<_> = all.iter().filter(|p| p.revision.facts.promotion.is_some()).collect();
        ensure!(offers.len() == 1, "{} offers", offers.len());
        Ok(offers[0].id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_trial_closes_and_takes_trust_away() -> Result<()> {
    for points in WEIGHING {
        let point = points.join(" then ");
        let mut keeper = Keeper::under(POLICY, false).await?;
        keeper.start("-", 0)?;
        let run = keeper.scaled(5).await?;
        let ended = keeper.until(run, "ended", |p| p.outcome.is_some()).await?;
        ensure!(ended.tier() == Tier::Standard, "{}", ended.revision.route.why);
        keeper.kill();
        ensure!(keeper.trial(run).await?.result == TrialResult::Open, "synced, and still watched");

        // Nobody sees whether it stays healthy, and its window closes.
        keeper.blind = true;
        keeper.skip(A_DAY_AND_MORE).await?;
        keeper.weighs(points).await.with_context(|| point.clone())?;
        let trial = keeper.trial(run).await?;
        ensure!(
            trial.result == TrialResult::Unknown && trial.settled_at == Some(trial.closes_at),
            "{point}: {trial:#?}"
        );
        for event in ["trial_settled", "runbook_demoted"] {
            keeper.once(event).await.with_context(|| point.clone())?;
        }
        ensure!(keeper.demotions(run).await?.len() == 1, "{point}");
        let words = ["is prompted from now on", "ended unknown"];
        keeper.hears(&words).await?;
        if points == WEIGHING[0] {
            // Dead before anything was written: nobody can have heard it before.
            let heard = keeper.lab.telegram.messages(CHAT);
            let heard = heard.iter().filter(|m| words.iter().all(|word| m.text.contains(word))).count();
            ensure!(heard == 1, "told {heard} times");
        }

        keeper.kill();
        keeper.blind = false;
        let next = keeper.scaled(6).await?;
        let next = keeper.lab.proposal(next).await?;
        ensure!(next.tier() == Tier::Prompted, "{point}: {}", next.revision.route.why);
        keeper.kill();
        keeper.lab.invariants().await.with_context(|| point.clone())?;

        // The control: a second telling does not pass.
        if points == WEIGHING[0] {
            forge(&keeper, "runbook_demoted").await?;
            ensure!(keeper.once("runbook_demoted").await.is_err(), "a second telling passed");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_promotion_is_offered_and_accepted() -> Result<()> {
    let policy = format!("{}\n[promotions]\napprovers = \"operators\"\n", without_grants());
    for points in [["weigh:settled", "offer:stored"], ["offer:stored", "effect:weigh_trust:executed"]] {
        let point = points.join(" then ");
        let (mut keeper, run) = Keeper::proven(&policy, true).await?;
        keeper.weighs(&points).await.with_context(|| point.clone())?;
        let offer = keeper.offer().await.with_context(|| point.clone())?;
        keeper.once("promotion_offered").await.with_context(|| point.clone())?;
        let key = keeper.trial(run).await?.key;
        let open = keeper.lab.engine.store().read().open_offer(&key).await?;
        ensure!(
            open.is_some_and(|open| open.proposal == Some(offer)),
            "{point}: the record does not know its offer"
        );

        // Accepted: dead at every step from the tap to the rules in force.
        let steps = ["tap:recorded", "deliver:stored", "deliver:pushed", "policy:stored"];
        keeper.ahead = steps[1..].iter().rev().map(|step| (*step).to_owned()).collect();
        let deaths = keeper.deaths + steps.len();
        keeper.start(steps[0], 1)?;
        keeper.tap(ALICE, offer, "Approve", |p| p.decision == Decision::Approved).await?;
        let ended = keeper.until(offer, "committed", |p| p.outcome.is_some()).await?;
        ensure!(ended.outcome == Some(Outcome::Pushed), "{ended:#?}");
        let deadline = Instant::now() + PATIENCE;
        while keeper.deaths < deaths {
            ensure!(Instant::now() < deadline, "{steps:?} were not all passed: the test is blind");
            keeper.tend()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let next = keeper.scaled(4).await?;
        let next = keeper.until(next, "ended", |p| p.outcome.is_some()).await?;
        ensure!(next.tier() == Tier::Standard, "{point}: {}", next.revision.route.why);
        let written = String::from_utf8(keeper.lab.repo.read(HOME).context("no policy")?)?;
        ensure!(written.matches("[[grants]]").count() == 1, "{point}: {written}");
        keeper.once("promotion_offered").await?;
        ensure!(keeper.offer().await? == offer, "{point}");
        keeper.kill();
        // One commit names the offer, and no more: I2.
        keeper.lab.invariants().await.with_context(|| point.clone())?;
        let naming = |keeper: &Keeper| {
            let line = format!("Proposal-Id: {offer}");
            keeper
                .lab
                .repo
                .log(100)
                .iter()
                .filter(|commit| commit.message.contains(&line))
                .count()
        };
        ensure!(naming(&keeper) == 1, "{point}: {} commits", naming(&keeper));
    }
    Ok(())
}

/// Where the policy is a file of the service, people are shown the lines to add: once.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_lines_of_a_promotion_are_shown() -> Result<()> {
    let (mut keeper, run) = Keeper::proven(without_grants(), false).await?;
    keeper
        .weighs(&["effect:weigh_trust:before", "offer:stored", "effect:weigh_trust:executed"])
        .await?;
    keeper.hears(&["Runbook scale may run by itself in homelab/default"]).await?;
    keeper.once("promotion_offered").await?;
    let key = keeper.trial(run).await?.key;
    ensure!(keeper.lab.engine.store().read().open_offer(&key).await?.is_some());
    keeper.kill();

    // Weighed again, the record offers nothing while the offer stands.
    let last = ProposalId::new(uuid::Uuid::from_u128(u128::from(ENOUGH)));
    let store = keeper.lab.engine.store();
    store
        .write(move |tx| Box::pin(async move { tx.schedule(Some(last), &Effect::WeighTrust, chrono::Utc::now()).await }))
        .await?;
    keeper.weighs(&["effect:weigh_trust:recorded"]).await?;
    keeper.once("promotion_offered").await?;
    keeper.kill();
    keeper.lab.invariants().await?;

    // The controls: a second offer does not pass, and the database takes none.
    forge(&keeper, "promotion_offered").await?;
    ensure!(keeper.once("promotion_offered").await.is_err(), "a second offer passed");
    let (now, store) = (chrono::Utc::now(), keeper.lab.engine.store());
    let again = store
        .write(move |tx| Box::pin(async move { tx.put_offer(&key, None, now, now).await }))
        .await;
    ensure!(again.is_err(), "two offers stand");
    Ok(())
}

/// What a service would write that does something a second time.
async fn forge(keeper: &Keeper, event: &str) -> Result<()> {
    let audit = Audit {
        proposal: None,
        actor: Actor::Service,
        event: event.to_owned(),
        summary: "a second time".to_owned(),
        details: json!({}),
        at: chrono::Utc::now(),
    };
    let store = keeper.lab.engine.store();
    store
        .write(move |tx| Box::pin(async move { tx.audit(audit).await.map(drop) }))
        .await?;
    Ok(())
}
