//! What Argo CD is asked while 1,000 proposals of ten applications are in flight, against 10 proposals of the same ten.
//!
//! Both are pushed in two batches: a gate at the first built batch lets everything else gather behind it. Requests are counted from the last
//! push to the last outcome.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign::Hooks;
use engine::CrashPoints;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use simulators::argocd::{ApplicationSpec, ArgocdOptions, ArgocdSim, Endpoint, RepoBinding};
use simulators::git::{BareRepo, GitEndpoint};
use store::ListFilter;

use crate::hosting::{Hosting, manifest};
use crate::lab::{Connections, Lab};
use crate::report::{Goal, Report, Speaks};
use crate::timing::{PAIRS, until};

const REQUESTS: &str = "argocd_requests_1000_in_flight_over_10";

/// The figures of this file.
pub(crate) const NAMES: [&str; 1] = [REQUESTS];

const APPS: usize = 10;
/// Files of one application: as many proposals can be in flight there without touching one another.
const PARTS: usize = 100;
const AGENTS: usize = 8;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let world = World::start().await?;
    world.requests("warm-up", APPS).await?;
    let mut ratios = Vec::new();
    for run in 0..PAIRS {
        let few = world.requests(&format!("few-{run}"), APPS).await?;
        let many = world.requests(&format!("many-{run}"), APPS * PARTS).await?;
        report.note(REQUESTS, &format!("{few:?} for 10, {many:?} for 1,000"));
        ratios.push(total(&many) as f64 / total(&few).max(1) as f64);
    }
    world.lab.service.stop().await;
    report.tell(REQUESTS, Goal::AtMost(1.1), Speaks::Median, &ratios);
    Ok(())
}

/// How often each endpoint was called.
type Requests = BTreeMap<Endpoint, usize>;

fn total(requests: &Requests) -> usize {
    requests.values().sum()
}

fn app(number: usize) -> String {
    format!("app-{number:02}")
}

fn part(number: usize) -> String {
    format!("part-{number:03}")
}

/// Git host, cluster, service.
struct World {
    hosting: Hosting,
    lab: Lab,
    gate: Arc<Gate>,
}

impl World {
    async fn start() -> Result<Self> {
        let hosting = Hosting::start().await?;
        let repo = hosting.git.create("homelab")?;
        let files = (0..APPS).flat_map(|number| {
            (0..PARTS).map(move |one| {
                let path = format!("kubernetes/applications/{}/{}.yaml", app(number), part(one));
                (path, manifest(&part(one), "none"), false)
            })
        });
        repo.seed(&files.collect::<Vec<_>>())?;
        let argocd = Arc::new(cluster(&repo).await?);
        let gate = Arc::new(Gate {
            argocd: argocd.clone(),
            state: Mutex::default(),
            opened: Condvar::new(),
        });
        let to = Connections {
            git: &repo.url,
            telegram: None,
            argocd: Some((argocd.url(), argocd.token())),
            ports: (0, 0),
        };
        let at_gate = gate.clone();
        let hooks = Hooks {
            crash: CrashPoints::new(move |place| at_gate.pass(place)),
            // Half of the real patience, so that all pairs fit. Not less: a time that is shorter than it takes to look at a thousand changes
            // once would measure this machine's speed.
            patience: argocd::verdict::Patience::hurried(2),
            ..Hooks::default()
        };
        let lab = Lab::start(&to, AGENTS, hooks).await?;
        Ok(Self { hosting, lab, gate })
    }

    async fn propose(&self, value: &str, number: usize) -> Result<String> {
        let agent = self.lab.agents.get(number % AGENTS).context("an agent")?;
        agent
            .bump(&format!("{value}-{number}"), &app(number % APPS), &part(number / APPS), value)
            .await
    }

    /// Requests from the last push to the last outcome of so many proposals, spread over the applications.
    async fn requests(&self, value: &str, count: usize) -> Result<Requests> {
        self.hosting.git.reset_requests();
        self.gate.close();
        // The first alone, until it stands at the gate: the rest is the second batch.
        self.propose(value, 0).await?;
        until("the first batch", async || Ok(self.gate.holds().then_some(()))).await?;
        stream::iter(1..count)
            .map(|number| self.propose(value, number))
            .buffer_unordered(16)
            .try_collect::<Vec<_>>()
            .await?;
        // Once nothing is due and nothing is written any more, all of them wait behind the first.
        let store = self.lab.service.engine().store();
        until("the claim of every delivery", async || {
            let due = store.read().next_due().await?;
            Ok(due.is_none_or(|due| due > self.lab.service.engine().now()).then_some(()))
        })
        .await?;
        self.lab.quiet().await?;
        // From claimed to the branch's owner is a read of each row, which nothing tells of.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.gate.open();
        let open = ListFilter {
            open_only: true,
            ..ListFilter::default()
        };
        until("the last outcome", async || {
            let (left, _) = store.read().list(&open, None, 1).await?;
            Ok(left.is_empty().then_some(()))
        })
        .await?;
        let asked = self.gate.asked();
        let pushes = self.hosting.git.count(GitEndpoint::ReceivePack);
        ensure!(
            pushes == 2,
            "{count} proposals went in {pushes} pushes instead of 2, so that the sides cannot be compared"
        );
        let (newest, _) = store.read().list(&ListFilter::default(), None, 1000).await?;
        let bad = newest
            .iter()
            .take(count)
            .find(|proposal| proposal.outcome != Some(domain::Outcome::Synced));
        ensure!(
            bad.is_none(),
            "a proposal did not end as synced: {:?}",
            bad.map(|proposal| (proposal.outcome, &proposal.note))
        );
        // What was asked for other reasons, late, belongs to nobody.
        self.lab.quiet().await?;
        Ok(asked)
    }
}

async fn cluster(repo: &BareRepo) -> Result<ArgocdSim> {
    let applications =
        (0..APPS).map(|number| ApplicationSpec::new(&app(number), &repo.url, &format!("kubernetes/applications/{}", app(number))));
    Ok(ArgocdSim::start(ArgocdOptions {
        repositories: vec![RepoBinding {
            url: repo.url.clone(),
            path: repo.path.clone(),
        }],
        applications: applications.collect(),
        // Changes are learnt from the service's refresh, not from a poll that happens to come in time.
        poll_interval: Duration::from_secs(180),
        ..ArgocdOptions::default()
    })
    .await?)
}

/// Holds the first built batch back until it is opened, and notes what Argo CD had been asked when the newest push was confirmed.
struct Gate {
    argocd: Arc<ArgocdSim>,
    state: Mutex<Passing>,
    opened: Condvar,
}

#[derive(Default)]
struct Passing {
    closed: bool,
    held: bool,
    at_last_push: Requests,
}

impl Gate {
    fn pass(&self, place: &str) {
        match place {
            "deliver:built" => tokio::task::block_in_place(|| {
                let waiting = self.opened.wait_while(self.lock(), |passing| {
                    passing.held = passing.closed;
                    passing.closed
                });
                drop(waiting.unwrap_or_else(PoisonError::into_inner));
            }),
            "deliver:pushed" => self.lock().at_last_push = self.argocd.requests(),
            _ => {}
        }
    }

    fn close(&self) {
        self.lock().closed = true;
    }

    fn holds(&self) -> bool {
        self.lock().held
    }

    fn open(&self) {
        self.lock().closed = false;
        self.opened.notify_all();
    }

    /// Requests since the newest push.
    fn asked(&self) -> Requests {
        let before = self.lock().at_last_push.clone();
        let since = |(endpoint, count): (Endpoint, usize)| (endpoint, count - before.get(&endpoint).copied().unwrap_or(0));
        self.argocd
            .requests()
            .into_iter()
            .map(since)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Passing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
