//! The program itself, as an operator runs it: `countersign serve` in a process of its own. Its memory at rest, and its start over a long history.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, RepoBinding};
use simulators::telegram::TelegramSim;
use tokio::process::{Child, Command};

use crate::hosting::{Hosting, Size};
use crate::lab::{self, Connections};
use crate::report::{Goal, Report, Speaks};
use crate::timing::{PAIRS, PATIENCE, ms, rss_anon, until};

mod history;

const IDLE: &str = "serve_idle_rss_anon_mib";
const GUARDS: &str = "start_over_start_without_guards";
const START: &str = "start_with_100k_proposals_over_allowed";

/// The figures of this file.
pub(crate) const NAMES: [&str; 3] = [IDLE, GUARDS, START];

/// Built by Cargo beside this bench, in the same profile.
const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// Starts of which the memory is read.
const IDLE_STARTS: usize = 3;
/// How long a started service is left alone before its memory is read.
const REST: Duration = Duration::from_secs(5);
/// Stored proposals of the long history.
const PROPOSALS: u64 = 100_000;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let world = World::start().await?;
    let empty = world.folder("empty")?;
    // The first start clones the mirror; no later one does.
    world.serve(&empty).await?.stop().await?;
    if report.wants(IDLE) {
        let mut sizes = Vec::new();
        for _ in 0..IDLE_STARTS {
            let serving = world.serve(&empty).await?;
            tokio::time::sleep(REST).await;
            sizes.push(rss_anon(&serving.id()?)?);
            serving.stop().await?;
        }
        report.tell(IDLE, Goal::AtMost(40.0), Speaks::Most, &sizes);
    }
    if report.wants(GUARDS) {
        let mut runs = Vec::new();
        for _ in 0..PAIRS {
            let start = ms(world.start_of(&empty).await?);
            let began = Instant::now();
            let guards = changes::guard::Guards::new(&changes::guard::GuardOptions::default());
            let build = ms(began.elapsed());
            ensure!(guards.is_ok(), "the built-in guard rails cannot be built");
            report.note(GUARDS, &format!("{start:.0} ms in all, {build:.1} ms of it for the guard rails"));
            runs.push(start / (start - build));
        }
        report.tell(GUARDS, Goal::AtMost(1.05), Speaks::Median, &runs);
    }
    if report.wants(START) {
        let full = world.folder("full")?;
        history::fill(&full.join("countersign.db"), PROPOSALS).await?;
        world.serve(&full).await?.stop().await?;
        let mut runs = Vec::new();
        for _ in 0..PAIRS {
            let quick = world.start_of(&empty).await?;
            let long = world.start_of(&full).await?;
            report.note(START, &format!("{:.0} ms with the history, {:.0} ms empty", ms(long), ms(quick)));
            runs.push(ms(long) / (1.2 * ms(quick) + 200.0));
        }
        report.tell(START, Goal::AtMost(1.0), Speaks::Median, &runs);
    }
    Ok(())
}

/// What the program is connected to.
struct World {
    hosting: Hosting,
    git: String,
    telegram: TelegramSim,
    argocd: ArgocdSim,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Result<Self> {
        let hosting = Hosting::start().await?;
        let repo = hosting.seeded("homelab", Size::Small)?;
        let argocd = ArgocdSim::start(ArgocdOptions {
            repositories: vec![RepoBinding {
                url: repo.url.clone(),
                path: repo.path.clone(),
            }],
            applications: (0..10)
                .map(|team| ApplicationSpec::new(&format!("team-{team}"), &repo.url, &format!("team-{team:02}")))
                .collect(),
            ..ArgocdOptions::default()
        })
        .await?;
        Ok(Self {
            hosting,
            git: repo.url,
            telegram: lab::chat().await?,
            argocd,
            http: reqwest::Client::new(),
        })
    }

    /// A folder for database and mirror.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.hosting.place(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    async fn start_of(&self, folder: &Path) -> Result<Duration> {
        let serving = self.serve(folder).await?;
        let took = serving.ready_after;
        serving.stop().await?;
        Ok(took)
    }

    /// Starts the program and waits until it calls itself ready.
    async fn serve(&self, folder: &Path) -> Result<Serving> {
        let (api, metrics) = (free_port()?, free_port()?);
        let to = Connections {
            git: &self.git,
            telegram: Some(&self.telegram),
            argocd: Some((self.argocd.url(), self.argocd.token())),
            ports: (api, metrics),
        };
        lab::configure(folder, &to)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let began = Instant::now();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(folder.join("countersign.toml"))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{PROGRAM} cannot be run"))?;
        let url = format!("http://127.0.0.1:{api}/readyz");
        until("the program's start", async || {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                anyhow::bail!("the program ended with {status}: {log}");
            }
            // Refused while nobody listens yet.
            let ready = self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
            Ok(ready.then_some(()))
        })
        .await?;
        Ok(Serving {
            child,
            ready_after: began.elapsed(),
        })
    }
}

/// A running program.
struct Serving {
    child: Child,
    ready_after: Duration,
}

impl Serving {
    fn id(&self) -> Result<String> {
        Ok(self.child.id().context("the program has ended")?.to_string())
    }

    /// In order, as a service manager does it.
    async fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.id()?]).status().await?;
        ensure!(told.success(), "the program could not be told to stop");
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("the program did not stop")??;
        Ok(())
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
