//! From a person's tap to the ref confirmed on the remote, in a repository of 100,000 files over HTTP: the whole way through the real service
//! (Telegram's update, the checks, three durable commits, build, push, reading the ref back), against what git alone takes.
//!
//! Each contender has a copy of the repository for itself, so that nobody's branch is moved by the others: the most favourable case for git.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use countersign::Hooks;
use simulators::git::{BareRepo, Change};
use simulators::telegram::TelegramSim;
use tokio::sync::watch;

use crate::hosting::{Hosting, Size, git, manifest, shared_path};
use crate::lab::{self, BOB, CHAT, Connections, Lab};
use crate::report::{Goal, Report, Speaks};
use crate::timing::{PAIRS, PATIENCE, ms};

const OVER_PUSH: &str = "approval_to_ref_100k_http_over_git_push";
const OVER_CLI: &str = "approval_to_ref_100k_http_over_git_cli";

/// The figures of this file.
pub(crate) const NAMES: [&str; 2] = [OVER_PUSH, OVER_CLI];

/// Rounds before anything is measured.
const WARM_UP: usize = 2;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let hosting = Hosting::start().await?;
    let repo = hosting.seeded("ours", Size::Big)?;
    let plain = PlainPush::new(&hosting, hosting.copied(&repo, "plain")?)?;
    let work_tree = match report.wants(OVER_CLI) {
        true => Some(WorkTree::new(&hosting, &hosting.copied(&repo, "cli")?)?),
        false => None,
    };
    let ours = Ours::start(&repo).await?;
    let (mut over_push, mut over_cli) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + PAIRS {
        let value = format!("run {run}");
        // In turn and in reverse: nobody always follows the one who leaves the caches cold.
        let first = if run % 2 == 0 {
            Some(ours.approval(run, &value).await?)
        } else {
            None
        };
        let by_hand = if run % 2 == 1 {
            deliver(work_tree.as_ref(), run, &value)?
        } else {
            None
        };
        ours.lab.quiet().await?;
        let pushed = plain.push(run, &value)?;
        ours.lab.quiet().await?;
        let by_hand = if run % 2 == 0 {
            deliver(work_tree.as_ref(), run, &value)?
        } else {
            by_hand
        };
        let tapped = match first {
            Some(tapped) => tapped,
            None => ours.approval(run, &value).await?,
        };
        let cli = by_hand.map_or_else(String::new, |by_hand| format!(", git CLI {:.0} ms", ms(by_hand)));
        report.note(
            OVER_PUSH,
            &format!(
                "from the tap {:.0} ms{}, git push {:.0} ms{cli}",
                ms(tapped),
                ours.parts(),
                ms(pushed)
            ),
        );
        if run >= WARM_UP {
            over_push.push(tapped.as_secs_f64() / pushed.as_secs_f64());
            over_cli.extend(by_hand.map(|by_hand| tapped.as_secs_f64() / by_hand.as_secs_f64()));
        }
    }
    ours.lab.service.stop().await;
    report.tell(OVER_PUSH, Goal::AtMost(0.8), Speaks::Median, &over_push);
    report.tell(OVER_CLI, Goal::AtMost(0.2), Speaks::Median, &over_cli);
    Ok(())
}

fn deliver(tree: Option<&WorkTree>, run: usize, value: &str) -> Result<Option<Duration>> {
    tree.map(|tree| tree.deliver(run, value)).transpose()
}

/// The service, and the moments at which a push of it was confirmed.
struct Ours {
    lab: Lab,
    telegram: TelegramSim,
    pushes: watch::Receiver<Vec<Instant>>,
    /// When the newest commit was built, and when its id was stored.
    steps: Arc<Mutex<BTreeMap<&'static str, Instant>>>,
    /// When the newest tap was sent.
    tapped: Mutex<Option<Instant>>,
}

/// Places on the way whose times are noted.
const STEPS: [&str; 2] = ["deliver:built", "deliver:stored"];

impl Ours {
    async fn start(repo: &BareRepo) -> Result<Self> {
        let telegram = lab::chat().await?;
        let (confirmed, pushes) = watch::channel(Vec::new());
        // The place that is passed when the remote's ref has been read back.
        let steps: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let passed = steps.clone();
        let crash = engine::CrashPoints::new(move |place| {
            if let Some(step) = STEPS.into_iter().find(|step| *step == place) {
                lock(&passed).insert(step, Instant::now());
            }
            if place == "deliver:pushed" {
                confirmed.send_modify(|pushes: &mut Vec<Instant>| pushes.push(Instant::now()));
            }
        });
        let to = Connections {
            git: &repo.url,
            telegram: Some(&telegram),
            argocd: None,
            ports: (0, 0),
        };
        let lab = Lab::start(&to, 1, Hooks { crash, ..Hooks::default() }).await?;
        Ok(Self {
            lab,
            telegram,
            pushes,
            steps,
            tapped: Mutex::default(),
        })
    }

    /// Time from one tap to its confirmed push.
    async fn approval(&self, run: usize, value: &str) -> Result<Duration> {
        let agent = self.lab.agents.first().context("an agent")?;
        let id = agent
            .propose(&format!("approval-{run}"), &shared_path(run), &manifest("changed", value))
            .await?;
        let (card, label) = self.card(&id).await?;
        self.lab.quiet().await?;
        let mut pushes = self.pushes.clone();
        let before = pushes.borrow().len();
        let began = Instant::now();
        *lock(&self.tapped) = Some(began);
        let pressed = self.telegram.queue_press(BOB, CHAT, card, &label);
        ensure!(pressed.is_ok(), "the button could not be pressed: {pressed:?}");
        let ended = tokio::time::timeout(PATIENCE, pushes.wait_for(|pushes| pushes.len() > before))
            .await
            .context("the approval was never pushed")??
            .last()
            .copied()
            .context("a push")?;
        let outcome = agent.outcome(&id).await?;
        ensure!(outcome == "pushed", "the approved change ended as {outcome}");
        ensure!(self.pushes.borrow().len() == before + 1, "it took more than one push");
        self.lab.quiet().await?;
        Ok(ended.duration_since(began))
    }

    /// Milliseconds from the newest tap to its commit built, and to its id stored; the rest is the push.
    fn parts(&self) -> String {
        let Some(began) = *lock(&self.tapped) else { return String::new() };
        let steps = lock(&self.steps);
        let since = |step: &str| steps.get(step).map_or(f64::NAN, |at| ms(at.saturating_duration_since(began)));
        format!(" (built after {:.0}, stored after {:.0})", since(STEPS[0]), since(STEPS[1]))
    }

    /// The card's message and the text of its button.
    async fn card(&self, id: &str) -> Result<(i64, String)> {
        let name = lab::short(id);
        let found = self.telegram.wait_for(PATIENCE, |state| {
            let card = state.messages(CHAT).iter().rev().find(|message| message.text.contains(&name))?;
            let button = card.buttons().find(|button| button.text.contains("Approve"))?;
            Some((card.id, button.text.clone()))
        });
        found.await.with_context(|| format!("no card of {name} with an Approve button"))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `git push` of a commit that is ready in a bare clone.
struct PlainPush {
    remote: BareRepo,
    clone: BareRepo,
}

impl PlainPush {
    fn new(hosting: &Hosting, remote: BareRepo) -> Result<Self> {
        let path = hosting.place("plain-clone");
        git(
            &hosting.place("."),
            &["clone", "-q", "--bare", &remote.url, &path.display().to_string()],
        )?;
        let clone = BareRepo {
            path,
            url: remote.url.clone(),
            branch: remote.branch.clone(),
        };
        Ok(Self { remote, clone })
    }

    fn push(&self, run: usize, value: &str) -> Result<Duration> {
        let tip = self.remote.tip().context("the remote has no branch")?;
        let change = Change::write(&shared_path(run), manifest("changed", value));
        let ready = self.clone.loose_commit(&tip, &[change], "Change one value", "alice")?;
        let began = Instant::now();
        git(
            &self.clone.path,
            &["push", "-q", &self.remote.url, &format!("{ready}:refs/heads/main")],
        )?;
        let took = began.elapsed();
        ensure!(self.remote.tip() == Some(ready), "git push did not move the branch");
        Ok(took)
    }
}

/// A person's clone that stays: pull, edit, add, commit, push.
struct WorkTree {
    remote: BareRepo,
    path: PathBuf,
}

impl WorkTree {
    fn new(hosting: &Hosting, remote: &BareRepo) -> Result<Self> {
        let path = hosting.place("work-tree");
        git(&hosting.place("."), &["clone", "-q", &remote.url, &path.display().to_string()])?;
        Ok(Self {
            remote: remote.clone(),
            path,
        })
    }

    fn deliver(&self, run: usize, value: &str) -> Result<Duration> {
        let (file, before) = (shared_path(run), self.remote.tip());
        let began = Instant::now();
        git(&self.path, &["pull", "-q", "--ff-only", "origin", "main"])?;
        std::fs::write(self.path.join(&file), manifest("changed", value))?;
        git(&self.path, &["add", &file])?;
        git(&self.path, &["commit", "-q", "-m", "Change one value"])?;
        git(&self.path, &["push", "-q", "origin", "HEAD:refs/heads/main"])?;
        let took = began.elapsed();
        ensure!(self.remote.tip() != before, "git push did not move the branch");
        Ok(took)
    }
}
