//! Durable intake over HTTP: how many proposals share a commit, how far that is from SQLite alone, and what a lone proposal waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign::Hooks;
use tokio::task::JoinSet;

use crate::hosting::{Hosting, Size, shared_path};
use crate::lab::{Connections, Lab};
use crate::raw_sqlite::{Acknowledged, RawSqlite};
use crate::report::{Goal, Report, Speaks, median};
use crate::timing::{PAIRS, ms, timed};

const COMMITS: &str = "intake_32_clients_commits_per_proposal";
const RATE: &str = "intake_32_clients_over_raw_sqlite";
const ALONE: &str = "intake_1_client_p50_over_allowed";

/// The figures of this file.
pub(crate) const NAMES: [&str; 3] = [COMMITS, RATE, ALONE];

const CLIENTS: usize = 32;
/// Proposals of each client in one run.
const EACH: usize = 20;
/// Proposals of the lone client in one run.
const LONE: usize = 20;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let hosting = Hosting::start().await?;
    let repo = hosting.seeded("homelab", Size::Small)?;
    let to = Connections {
        git: &repo.url,
        telegram: None,
        argocd: None,
        ports: (0, 0),
    };
    let lab = Arc::new(Lab::start(&to, CLIENTS, Hooks::default()).await?);
    let mut raw = RawSqlite::beside(&lab.database()).await?;
    let numbers = Arc::new(AtomicU64::new(0));
    // Connections, prepared statements and the mirror's handles reach their size.
    round(&lab, &numbers).await?;
    if report.wants(ALONE) {
        let runs = alone(report, &lab, &mut raw, &numbers).await?;
        report.tell(ALONE, Goal::AtMost(1.0), Speaks::Median, &runs);
    }
    if report.wants(COMMITS) || report.wants(RATE) {
        let (commits, rates) = together(report, &lab, &mut raw, &numbers).await?;
        report.tell(COMMITS, Goal::AtMost(0.25), Speaks::Median, &commits);
        report.tell(RATE, Goal::AtLeast(0.4), Speaks::Median, &rates);
    }
    raw.close().await?;
    if let Ok(lab) = Arc::try_unwrap(lab).map_err(drop) {
        lab.service.stop().await;
    }
    Ok(())
}

/// Runs of 32 clients, each followed by raw SQLite with the rows that they made: commits per proposal, and rate over rate.
async fn together(report: &Report, lab: &Arc<Lab>, raw: &mut RawSqlite, numbers: &Arc<AtomicU64>) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut per_proposal, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        lab.quiet().await?;
        let before = lab.commits();
        let (acknowledged, took) = timed(round(lab, numbers)).await?;
        let shared = lab.commits() - before;
        // The workers' commits that the proposals cause afterwards count too.
        lab.quiet().await?;
        let proposals = acknowledged.len() as f64;
        per_proposal.push((lab.commits() - before) as f64 / proposals);
        let batch = (proposals / shared.max(1) as f64).round().max(1.0) as usize;
        let rows = raw.rows_of(&acknowledged).await?;
        let ((), bare) = timed(raw.insert(&rows, batch)).await?;
        let rate = |took: Duration| proposals / took.as_secs_f64();
        report.note(
            RATE,
            &format!("{:.0} proposals/s, {:.0} raw at {batch} a commit", rate(took), rate(bare)),
        );
        rates.push(bare.as_secs_f64() / took.as_secs_f64());
    }
    Ok((per_proposal, rates))
}

/// Every client proposes one after the other; answers what was acknowledged.
async fn round(lab: &Arc<Lab>, numbers: &Arc<AtomicU64>) -> Result<Vec<Acknowledged>> {
    let mut clients = JoinSet::new();
    for client in 0..lab.agents.len() {
        let (lab, numbers) = (lab.clone(), numbers.clone());
        clients.spawn(async move {
            let mut acknowledged = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                acknowledged.push(propose(&lab, client, &numbers).await?);
            }
            anyhow::Ok(acknowledged)
        });
    }
    let mut all = Vec::new();
    while let Some(client) = clients.join_next().await {
        all.extend(client??);
    }
    Ok(all)
}

/// One client and raw single commits in turn: the client's median over what it may be, 1.3 × the raw commit's median + 1 ms.
async fn alone(report: &Report, lab: &Arc<Lab>, raw: &mut RawSqlite, numbers: &Arc<AtomicU64>) -> Result<Vec<f64>> {
    let mut runs = Vec::new();
    for _ in 0..PAIRS {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..LONE {
            lab.quiet().await?;
            let (acknowledged, took) = timed(propose(lab, 0, numbers)).await?;
            ours.push(ms(took));
            lab.quiet().await?;
            let rows = raw.rows_of(&[acknowledged]).await?;
            // As long at rest as before the proposal: both sides find the machine equally cold.
            lab.quiet().await?;
            let ((), took) = timed(raw.insert(&rows, 1)).await?;
            bare.push(ms(took));
        }
        report.note(
            ALONE,
            &format!("p50 of one client {:.2} ms, of a raw commit {:.2} ms", median(&ours), median(&bare)),
        );
        runs.push(median(&ours) / (1.3 * median(&bare) + 1.0));
    }
    Ok(runs)
}

/// One proposal of about 2 KB that nobody made before.
async fn propose(lab: &Lab, client: usize, numbers: &AtomicU64) -> Result<Acknowledged> {
    let number = numbers.fetch_add(1, Ordering::Relaxed);
    let agent = lab.agents.get(client).context("a client without an agent")?;
    let key = format!("intake-{number}");
    let line = format!("  # {:>60}\n", number);
    let content = format!("kind: ConfigMap\ndata:\n  value: \"{number}\"\n{}", line.repeat(30));
    let part = usize::try_from(number).unwrap_or_default();
    let id = agent.propose(&key, &shared_path(part), &content).await?;
    Ok(Acknowledged {
        id,
        agent: agent.name.clone(),
        key,
    })
}
