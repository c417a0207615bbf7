//! The process dies at every place where it matters, and starts again on the same file.
//!
//! A [`Keeper`] runs the service in a process of its own that ends itself at a named place, as a power cut would, and starts it again without
//! that place. Whatever people and agents do meanwhile is what they would do: ask again, tap again. Every proposal must reach its end, and
//! every promise must hold.

mod trust;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use domain::{Decision, Delivery, Landed, Outcome, Proposal, ProposalId, Tier};
use end_to_end::lab::{ALICE, BOB, CHAT, PATIENCE};
use end_to_end::{Lab, LabOptions};
use serde_json::{Value, json};
use simulators::argocd::Behaviour;
use simulators::git::Change;
use simulators::github::MergeMethod;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const MAIN: &str = "infrastructure/terraform/main.tf";

/// The service's process.
struct Running {
    child: Child,
    said: Receiver<String>,
}

/// Keeps the service running beside a lab, whatever kills it.
struct Keeper {
    lab: Lab,
    running: Option<Running>,
    deaths: usize,
    rounds: u32,
    /// Where it dies after the next starts.
    ahead: Vec<String>,
    /// Whether it is started without an Argo CD.
    blind: bool,
}

impl Keeper {
    async fn new() -> Result<Self> {
        let mut lab = Lab::with(LabOptions {
            github: true,
            ..LabOptions::default()
        })
        .await?;
        lab.leave().await?;
        Ok(Self {
            lab,
            running: None,
            deaths: 0,
            rounds: 0,
            ahead: Vec::new(),
            blind: false,
        })
    }

    fn start(&mut self, point: &str, nth: u32) -> Result<()> {
        self.kill();
        let world = self.lab.addresses();
        let mut child = Command::new(env!("CARGO_BIN_EXE_crashing"))
            .arg(&world.folder)
            .args([&world.git, &world.telegram])
            .args([if self.blind { "-" } else { &world.argocd }, &world.argocd_token])
            .args([world.github.as_deref().unwrap_or("-"), point, &nth.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.running = Some(Running { child, said });
        Ok(())
    }

    /// Ends the process as `kill -9` does.
    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may be dead already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Starts the service again if it died, then with the next deadly place, or with none.
    fn tend(&mut self) -> Result<()> {
        let dead = match &mut self.running {
            Some(running) => running.child.try_wait()?.is_some(),
            None => true,
        };
        if dead {
            self.deaths += 1;
            self.running = None;
            let point = self.ahead.pop().unwrap_or_else(|| "-".to_owned());
            self.start(&point, 1)?;
        }
        Ok(())
    }

    /// An agent proposes, with one key, until it hears that it was taken.
    async fn propose(&mut self, proposal: &Value) -> Result<ProposalId> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.tend()?;
            let Some(running) = &mut self.running else { continue };
            let asked = running
                .child
                .stdin
                .as_mut()
                .is_some_and(|pipe| writeln!(pipe, "{proposal}").is_ok());
            let heard = Instant::now() + Duration::from_secs(20);
            while asked && Instant::now() < heard {
                match running.said.try_recv() {
                    Ok(line) if line == "ready" => {}
                    Ok(line) => match line.parse() {
                        Ok(id) => return Ok(id),
                        Err(_) => break,
                    },
                    Err(std::sync::mpsc::TryRecvError::Empty) => tokio::time::sleep(Duration::from_millis(10)).await,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => break,
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{proposal} was never taken")
    }

    /// A proposal whose title no other has.
    async fn asks(&mut self, fields: Value) -> Result<ProposalId> {
        self.rounds += 1;
        let mut proposal = fields;
        proposal["key"] = json!(format!("key-{}", self.rounds));
        proposal["title"] = json!(format!("Change {}", self.rounds));
        self.propose(&proposal).await
    }

    async fn asks_for_the_blog(&mut self) -> Result<ProposalId> {
        let text = format!("replicaCount: {}\n", self.rounds + 10);
        self.asks(json!({ "path": VALUES, "text": text })).await
    }

    /// Waits for a state; the service is started again whenever it dies.
    async fn until(&mut self, id: ProposalId, what: &str, wished: impl Fn(&Proposal) -> bool) -> Result<Proposal> {
        self.doing(id, what, wished, |_| {}).await
    }

    /// The same, while somebody does something again and again.
    async fn doing(&mut self, id: ProposalId, what: &str, wished: impl Fn(&Proposal) -> bool, act: impl Fn(&Lab)) -> Result<Proposal> {
        let deadline = Instant::now() + PATIENCE;
        let mut acted: Option<Instant> = None;
        loop {
            self.tend()?;
            let proposal = self.lab.proposal(id).await?;
            if wished(&proposal) {
                return Ok(proposal);
            }
            if Instant::now() > deadline {
                let owed = self.lab.engine.store().read().effects_waiting(id).await?;
                bail!("never {what}: {proposal:#?}\nowed: {owed:#?}\n{:#?}", self.lab.texts());
            }
            if acted.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                act(&self.lab);
                acted = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Somebody taps the newest card until it had its effect.
    async fn tap(&mut self, user: i64, id: ProposalId, button: &'static str, wished: impl Fn(&Proposal) -> bool) -> Result<Proposal> {
        let deadline = Instant::now() + PATIENCE;
        while press(&self.lab, user, id, button).is_none() {
            self.tend()?;
            ensure!(Instant::now() < deadline, "no card with {button}: {:#?}", self.lab.texts());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.doing(id, button, wished, move |lab| {
            press(lab, user, id, button);
        })
        .await
    }

    /// A message that holds these words comes.
    async fn hears(&mut self, words: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.tend()?;
            let here = self
                .lab
                .telegram
                .messages(CHAT)
                .into_iter()
                .any(|m| words.iter().all(|word| m.text.contains(word)));
            if here {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "nobody said {words:?}: {:#?}", self.lab.texts());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The service's clock jumps, and it notices.
    async fn skip(&mut self, seconds: i64) -> Result<()> {
        let file = self.lab.folder().join("clock");
        let ahead: i64 = std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let draft = self.lab.folder().join("clock.draft");
        std::fs::write(&draft, (ahead + seconds).to_string())?;
        std::fs::rename(draft, file)?;
        // Whoever writes to the database from outside makes the service look at its timers.
        let store = self.lab.engine.store();
        store
            .write(|tx| Box::pin(async move { tx.set_meta("clock", "moved").await }))
            .await?;
        Ok(())
    }

    // What is done while the service dies.

    /// Proposed, approved, pushed, synced; the card tells the end.
    async fn prompted(&mut self) -> Result<ProposalId> {
        let id = self.asks_for_the_blog().await?;
        self.tap(ALICE, id, "Approve", |p| p.decision == Decision::Approved).await?;
        let proposal = self.until(id, "ended", |p| p.outcome.is_some()).await?;
        ensure!(proposal.outcome == Some(Outcome::Synced), "{proposal:#?}");
        self.hears(&[&id.short(), "Commit", "blog: "]).await?;
        Ok(id)
    }

    async fn standard(&mut self) -> Result<()> {
        let replicas = self.rounds % 18 + 3;
        let id = self
            .asks(json!({ "runbook": "scale", "parameters": { "app": "web", "replicas": replicas } }))
            .await?;
        self.until(id, "ended", |p| p.outcome == Some(Outcome::Synced)).await?;
        self.hears(&[&id.short(), "Commit"]).await
    }

    async fn failing(&mut self) -> Result<()> {
        self.lab.argocd.set_behaviour("blog", Behaviour::SyncFails);
        let id = self.asks_for_the_blog().await?;
        self.tap(ALICE, id, "Approve", |p| p.decision == Decision::Approved).await?;
        self.until(id, "ended", |p| p.outcome == Some(Outcome::SyncFailed)).await?;
        self.hears(&[&id.short(), "Why:"]).await?;
        self.lab.argocd.set_behaviour("blog", Behaviour::Succeed);
        Ok(())
    }

    async fn manual(&mut self) -> Result<()> {
        let text = format!("variable \"nodes\" {{\n  default = {}\n}}\n", self.rounds + 10);
        let id = self.asks(json!({ "path": MAIN, "text": text })).await?;
        let proposal = self.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
        let pulls = self.lab.github.pulls("example/homelab");
        let own = pulls
            .iter()
            .filter(|pull| pull["body"].to_string().contains(&id.to_string()))
            .count();
        ensure!(own == 1, "{own} pull requests");
        let number = proposal.pull.context("no pull request")?.number;
        self.lab.github.merge("example/homelab", number, MergeMethod::Merge, "olivia")?;
        let proposal = self.until(id, "landed", |p| p.outcome.is_some()).await?;
        ensure!(proposal.landed == Some(Landed::AsProposed), "{proposal:#?}");
        Ok(())
    }

    async fn alarming(&mut self) -> Result<()> {
        let text = format!("variable \"nodes\" {{\n  default = {}\n}}\n", self.rounds + 10);
        let id = self.asks(json!({ "path": MAIN, "text": text })).await?;
        self.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
        let message = format!("By a machine\n\nProposal-Id: {id}\n");
        self.lab
            .repo
            .commit_on_top(&[Change::write(MAIN, text)], &message, "Agent <agent@example.com>")?;
        self.until(id, "landed", |p| p.outcome.is_some()).await?;
        self.hears(&["ALARM", &id.short()]).await
    }

    async fn reverted(&mut self) -> Result<()> {
        let id = self.prompted().await?;
        self.tap(BOB, id, "Revert", |_| true).await?;
        let revert = self.revert_of(id).await?;
        self.tap(BOB, revert, "Approve", |p| p.decision == Decision::Approved).await?;
        self.until(revert, "ended", |p| p.outcome == Some(Outcome::Synced)).await?;
        self.until(id, "marked", |p| p.reverted_by == Some(revert)).await?;
        Ok(())
    }

    async fn revert_of(&mut self, id: ProposalId) -> Result<ProposalId> {
        let deadline = Instant::now() + PATIENCE;
        let mut acted = Instant::now();
        loop {
            self.tend()?;
            let (all, _) = self
                .lab
                .engine
                .store()
                .read()
                .list(&store::ListFilter::default(), None, 100)
                .await?;
            let found = all
                .iter()
                .find(|p| matches!(p.origin, domain::Origin::Revert { of, .. } if of == id));
            if let Some(revert) = found {
                return Ok(revert.id);
            }
            ensure!(Instant::now() < deadline, "no revert: {:#?}", self.lab.texts());
            if acted.elapsed() > Duration::from_secs(2) {
                press(&self.lab, BOB, id, "Revert");
                acted = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn rejected(&mut self) -> Result<()> {
        let id = self.asks_for_the_blog().await?;
        self.tap(BOB, id, "Reject", |p| p.outcome == Some(Outcome::Rejected)).await?;
        let deadline = Instant::now() + PATIENCE;
        self.skip(121).await?;
        // The chips go, on every card of it.
        while buttons(&self.lab, id).iter().any(|text| text.contains("too big")) || self.owes(id, "close_reason").await? {
            self.tend()?;
            ensure!(Instant::now() < deadline, "the chips stay: {:#?}", self.lab.texts());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn expired(&mut self) -> Result<()> {
        let id = self.asks_for_the_blog().await?;
        self.hears(&[&id.short(), "waiting for approval"]).await?;
        self.skip(3 * 3600 + 60).await?;
        self.hears(&[&id.short(), "still waiting for approval"]).await?;
        self.skip(3600 + 60).await?;
        self.until(id, "expired", |p| p.outcome == Some(Outcome::Expired)).await?;
        self.hears(&[&id.short(), "expired: nobody decided in time"]).await
    }

    async fn owes(&self, id: ProposalId, key: &str) -> Result<bool> {
        Ok(self
            .lab
            .engine
            .store()
            .read()
            .effects_waiting(id)
            .await?
            .iter()
            .any(|owed| owed.key == key))
    }

    /// Dies at this place (or at several: `first then second`) during what is done, and everything holds.
    async fn dies(&mut self, points: &str, nth: u32, what: What) -> Result<()> {
        self.ahead = points.split(" then ").map(str::to_owned).collect();
        self.ahead.reverse();
        let deaths = self.deaths + self.ahead.len();
        let point = self.ahead.pop().context("no place")?;
        self.start(&point, nth)?;
        let done = match what {
            What::Prompted => self.prompted().await.map(|_| ()),
            What::Standard => self.standard().await,
            What::Failing => self.failing().await,
            What::Manual => self.manual().await,
            What::Alarming => self.alarming().await,
            What::Reverted => self.reverted().await,
            What::Rejected => self.rejected().await,
            What::Expired => self.expired().await,
        };
        done.map_err(|error| anyhow!("after dying at {points}: {error}"))?;
        // The place may be the very last one that is passed.
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.deaths < deaths {
            ensure!(
                Instant::now() < deadline,
                "{points} was never passed {nth} times: the test is blind"
            );
            self.tend()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.lab
            .invariants()
            .await
            .map_err(|error| anyhow!("after dying at {points}: {error}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is done while the service dies.
#[derive(Clone, Copy)]
enum What {
    Prompted,
    Standard,
    Failing,
    Manual,
    Alarming,
    Reverted,
    Rejected,
    Expired,
}

fn buttons(lab: &Lab, id: ProposalId) -> Vec<String> {
    let short = id.short();
    let messages = lab.telegram.messages(CHAT);
    messages
        .iter()
        .filter(|m| m.text.contains(&short))
        .map(|m| m.keyboard_text())
        .collect()
}

/// Presses a button of the newest card that has it.
fn press(lab: &Lab, user: i64, id: ProposalId, button: &str) -> Option<()> {
    let short = id.short();
    let messages = lab.telegram.messages(CHAT);
    let card = messages
        .iter()
        .rev()
        .find(|m| !m.deleted && m.text.contains(&short) && m.keyboard_text().contains(button))?;
    let label = card.buttons().find(|b| b.text.contains(button))?.text.clone();
    lab.telegram.queue_press(user, CHAT, card.id, &label).ok().map(|_| ())
}

async fn die_at(places: &[(&str, u32, What)]) -> Result<()> {
    let mut keeper = Keeper::new().await?;
    for (point, nth, what) in places {
        keeper.dies(point, *nth, *what).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_proposal_and_its_card() -> Result<()> {
    use What::Prompted;
    die_at(&[
        ("intake:before", 1, Prompted),
        ("intake:after", 1, Prompted),
        ("effect:send_card:before", 1, Prompted),
        ("card:stored", 1, Prompted),
        ("card:sent", 1, Prompted),
        ("effect:send_card:executed", 1, Prompted),
        ("effect:send_card:recorded", 1, Prompted),
        ("tap:recorded", 1, Prompted),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn between_an_approval_and_its_commit() -> Result<()> {
    use What::{Prompted, Standard};
    die_at(&[
        ("effect:deliver:before", 1, Prompted),
        ("effect:deliver:executed", 1, Prompted),
        ("deliver:built", 1, Prompted),
        ("deliver:stored", 1, Prompted),
        ("deliver:pushed", 1, Prompted),
        ("deliver:stored", 1, Standard),
        ("deliver:pushed", 1, Standard),
        ("card:sent", 1, Standard),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn again_while_it_recovers() -> Result<()> {
    use What::{Manual, Prompted};
    die_at(&[
        ("intake:after then effect:send_card:before", 1, Prompted),
        ("card:stored then card:stored then card:sent", 1, Prompted),
        ("tap:recorded then deliver:built then deliver:stored", 1, Prompted),
        ("deliver:stored then effect:deliver:executed then deliver:pushed", 1, Prompted),
        (
            "deliver:pushed then effect:deliver:before then effect:observe:executed",
            1,
            Prompted,
        ),
        ("prepare:branch then prepare:pull then prepare:branch", 1, Manual),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn between_a_commit_and_its_end() -> Result<()> {
    use What::{Failing, Prompted};
    die_at(&[
        ("effect:edit_cards:before", 1, Prompted),
        ("effect:edit_cards:executed", 2, Prompted),
        ("effect:edit_cards:recorded", 3, Prompted),
        ("effect:observe:before", 1, Prompted),
        ("effect:observe:executed", 1, Prompted),
        ("effect:notify:before", 1, Failing),
        ("effect:notify:executed", 1, Failing),
        ("effect:notify:recorded", 1, Failing),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_human_is_asked_to_commit() -> Result<()> {
    use What::{Alarming, Manual};
    die_at(&[
        ("effect:prepare:before", 1, Manual),
        ("prepare:branch", 1, Manual),
        ("prepare:pull", 1, Manual),
        ("effect:prepare:executed", 1, Manual),
        ("effect:prepare:recorded", 1, Manual),
        ("effect:watch_landing:before", 1, Manual),
        ("effect:watch_landing:executed", 1, Manual),
        ("effect:watch_landing:recorded", 1, Manual),
        ("effect:alarm:before", 1, Alarming),
        ("effect:alarm:executed", 1, Alarming),
        ("effect:alarm:recorded", 1, Alarming),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_something_is_taken_back() -> Result<()> {
    use What::{Rejected, Reverted};
    die_at(&[
        ("effect:mark_reverted:before", 1, Reverted),
        ("effect:mark_reverted:executed", 1, Reverted),
        ("effect:mark_reverted:recorded", 1, Reverted),
        ("effect:close_reason:before", 1, Rejected),
        ("effect:close_reason:executed", 1, Rejected),
        ("effect:close_reason:recorded", 1, Rejected),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_time_passes() -> Result<()> {
    use What::Expired;
    die_at(&[
        ("effect:remind:before", 1, Expired),
        ("effect:remind:executed", 1, Expired),
        ("effect:remind:recorded", 1, Expired),
        ("effect:expire:before", 1, Expired),
        ("effect:expire:executed", 1, Expired),
        ("effect:expire:recorded", 1, Expired),
    ])
    .await
}

/// A policy that was stored as valid, or as told, is so after the death before it was in force.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_repository_s_policy_changes() -> Result<()> {
    let mut keeper = Keeper::new().await?;
    let place = ".countersign/policy.toml";
    std::fs::write(keeper.lab.folder().join("repository-policy"), place)?;
    let rule =
        "[[rules]]\nname = \"here\"\npaths = [\"kubernetes/**\"]\ntier = \"standard\"\nrunbook = \"scale\"\napprovers = \"operators\"\n";
    let by = "olivia <olivia@example.com>";
    let valid = Change::write(place, format!("version = 1\n{rule}"));
    keeper.lab.repo.commit_on_top(&[valid], "A policy", by)?;
    keeper.start("policy:stored", 1)?;
    let run = keeper
        .asks(json!({ "runbook": "scale", "parameters": { "app": "web", "replicas": 3 } }))
        .await?;
    let run = keeper.until(run, "ended", |run| run.outcome.is_some()).await?;
    assert_eq!((run.tier(), run.revision.route.rule.as_deref()), (Tier::Standard, Some("here")));
    assert_eq!(keeper.deaths, 1, "the test is blind");

    let broken = Change::write(place, "version = 1\n[people.mallory]\ntelegram_id = 6666\n");
    keeper.lab.repo.commit_on_top(&[broken], "No policy", by)?;
    keeper.start("policy:stored", 1)?;
    let change = keeper
        .asks(json!({ "runbook": "scale", "parameters": { "app": "web", "replicas": 4 } }))
        .await?;
    let change = keeper.until(change, "asked", |_| true).await?;
    assert_eq!(
        (change.tier(), change.revision.route.rule.as_deref()),
        (Tier::Prompted, Some("here"))
    );
    assert_eq!(keeper.deaths, 2, "the test is blind");
    keeper.hears(&["ALARM", "cannot define people"]).await?;
    keeper.kill();
    keeper.lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_stopped() -> Result<()> {
    let mut keeper = Keeper::new().await?;
    let id = keeper.asks_for_the_blog().await?;
    keeper.lab.command(ALICE, CHAT, "/stop", &["Stop 1 stands"]).await?;
    keeper.tap(BOB, id, "Approve", |p| p.decision == Decision::Approved).await?;
    keeper.lab.card_saying(id, "waits: alice stopped all").await?;
    keeper.kill();
    keeper.until(id, "queued still", |p| p.delivery == Delivery::Queued).await?;
    keeper.lab.command(ALICE, CHAT, "/resume", &["1 more must write"]).await?;
    keeper.kill();
    keeper.tend()?;
    keeper
        .lab
        .command(BOB, CHAT, "/stops", &["alice stopped all", "asked for by alice"])
        .await?;
    assert_eq!(keeper.lab.proposal(id).await?.delivery, Delivery::Queued);
    keeper.lab.command(BOB, CHAT, "/resume", &["is over"]).await?;
    keeper.until(id, "ended", |p| p.outcome == Some(Outcome::Synced)).await?;
    keeper.lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() -> Result<()> {
    let mut keeper = Keeper::new().await?;
    keeper.start("-", 0)?;
    // The moments differ from round to round and are the same in every run.
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    for round in 0..6 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let text = format!("replicaCount: {}\n", round + 10);
        let id = keeper.asks(json!({ "path": VALUES, "text": text })).await?;
        let moment = Instant::now() + Duration::from_millis((seed >> 33) % 900);
        keeper
            .doing(
                id,
                "approved",
                |p| p.decision == Decision::Approved || Instant::now() > moment,
                move |lab| {
                    press(lab, ALICE, id, "Approve");
                },
            )
            .await?;
        tokio::time::sleep(moment.saturating_duration_since(Instant::now())).await;
        keeper.kill();
        keeper
            .doing(
                id,
                "approved",
                |p| p.decision == Decision::Approved,
                move |lab| {
                    press(lab, ALICE, id, "Approve");
                },
            )
            .await?;
        keeper.until(id, "ended", |p| p.outcome == Some(Outcome::Synced)).await?;
        keeper.lab.invariants().await?;
    }
    ensure!(keeper.deaths >= 6, "nothing was killed");
    Ok(())
}

/// Further controls: a step that nobody owes, a card that stopped telling, and a decision that no person made.
#[tokio::test(flavor = "multi_thread")]
async fn the_checks_see_what_is_forgotten_and_what_is_forged() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Shown", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    let store = lab.engine.store();
    let deadline = Instant::now() + PATIENCE;
    while store.read().effects_waiting(id).await?.iter().any(|owed| owed.key == "edit_cards") {
        ensure!(Instant::now() < deadline, "the card was never brought up to date");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.invariants().await?;
    let card = store.read().cards(id).await?.pop().context("a card")?;
    let stale = store::NewCard {
        proposal: id,
        revision: card.revision,
        digest: card.digest,
        chat: card.chat,
        thread: None,
        nonce: "a".repeat(22),
        attempt: card.attempt + 1,
        kind: card.kind,
        shown_version: 1,
        sent_at: card.sent_at,
    };
    let write = store.write(move |tx| {
        Box::pin(async move {
            let stale = tx.put_card(&stale).await?;
            tx.confirm_card(stale.id, 999_999, None).await?;
            Ok::<_, store::StoreError>(stale.id)
        })
    });
    let stale = write.await?;
    ensure!(broken(&lab).await.starts_with("I6"), "a card that stopped telling passed");
    store
        .write(move |tx| Box::pin(async move { tx.set_shown(stale, u64::MAX >> 1).await }))
        .await?;
    lab.invariants().await?;

    let forged = store::Audit {
        proposal: Some(id),
        actor: store::Actor::Agent("ops-agent".parse().map_err(|error| anyhow!("{error}"))?),
        event: "approve".to_owned(),
        summary: "approved".to_owned(),
        details: json!({}),
        at: chrono::Utc::now(),
    };
    let before = lab.propose("Forgotten", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    lab.card(before, "Approve").await?;
    for owed in store.read().effects_waiting(before).await? {
        store
            .write(move |tx| Box::pin(async move { tx.finish(owed.effect_id).await }))
            .await?;
    }
    ensure!(broken(&lab).await.starts_with("I5"), "a forgotten proposal passed");
    lab.tap(BOB, before, "Reject").await?;
    lab.ended(before).await?;
    lab.invariants().await?;
    store
        .write(move |tx| Box::pin(async move { tx.audit(forged).await.map(drop) }))
        .await?;
    ensure!(broken(&lab).await.starts_with("I9"), "an agent's approval passed");
    Ok(())
}

async fn broken(lab: &Lab) -> String {
    lab.invariants().await.err().map(|error| error.to_string()).unwrap_or_default()
}

/// The controls: the checks see what they are there for.
#[tokio::test(flavor = "multi_thread")]
async fn the_checks_are_not_blind() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    lab.invariants().await?;
    let twice = format!("Twice again\n\nProposal-Id: {id}\n");
    let doubled = lab.repo.commit_on_top(&[Change::write("README.md", "x\n")], &twice, "Olivia")?;
    let seen = lab.invariants().await.err().map(|error| error.to_string());
    ensure!(
        seen.as_deref().is_some_and(|error| error.starts_with("I2")),
        "a doubled commit passed: {seen:?}"
    );
    let parent = lab.repo.log(1)[0].parents[0].clone();
    lab.repo.force_push(&parent)?;
    lab.invariants().await?;
    lab.repo.force_push(&lab.repo.log(1)[0].parents[0])?;
    let seen = lab.invariants().await.err().map(|error| error.to_string());
    ensure!(
        seen.as_deref().is_some_and(|error| error.starts_with("I2")),
        "a vanished commit passed: {seen:?}"
    );
    ensure!(!end_to_end::invariants::still_there(&lab.repo, &doubled));
    let rejected = lab.propose("Thrice", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    lab.tap(BOB, rejected, "Reject").await?;
    lab.ended(rejected).await?;
    lab.repo.force_push(&parent)?;
    let against = format!("Thrice\n\nProposal-Id: {rejected}\n");
    lab.repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 3\n")], &against, "Olivia")?;
    let seen = lab.invariants().await.err().map(|error| error.to_string());
    ensure!(
        seen.as_deref().is_some_and(|error| error.starts_with("I3")),
        "a rejected commit passed: {seen:?}"
    );
    Ok(())
}
