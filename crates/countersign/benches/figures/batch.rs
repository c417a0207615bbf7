//! Fifty approvals that wait for one branch: fifty commits in one push, against fifty pushes of one commit each by the same client.

use anyhow::Result;
use gitworker::{CommitSpec, Repository};

use crate::hosting::{Hosting, Size, change, commit, deliver};
use crate::report::{Goal, Report, Speaks};
use crate::timing::{PAIRS, ms, timed};

const BATCH: &str = "batch_of_50_over_50_single_pushes_1k_http";

/// The figures of this file.
pub(crate) const NAMES: [&str; 1] = [BATCH];

const APPROVALS: usize = 50;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let hosting = Hosting::start().await?;
    // Of the small repository, so that all pairs fit: the bigger one gains more (a push costs the server more there).
    let batched = hosting.seeded("batched", Size::Small)?;
    let single = hosting.copied(&batched, "single")?;
    let (batched, single) = (
        hosting.open(&batched, "batched-mirror").await?,
        hosting.open(&single, "single-mirror").await?,
    );
    for worker in [&batched, &single] {
        deliver(worker, &changes(worker, 1, "warm").await?).await?;
    }
    let mut ratios = Vec::new();
    for run in 0..PAIRS {
        let waiting = changes(&batched, APPROVALS, &format!("run {run}")).await?;
        let ((), together) = timed(deliver(&batched, &waiting)).await?;
        let waiting = changes(&single, APPROVALS, &format!("run {run}")).await?;
        let ((), apart) = timed(one_by_one(&single, &waiting)).await?;
        report.note(BATCH, &format!("{:.0} ms together, {:.0} ms apart", ms(together), ms(apart)));
        ratios.push(together.as_secs_f64() / apart.as_secs_f64());
    }
    report.tell(BATCH, Goal::AtMost(0.1), Speaks::Median, &ratios);
    Ok(())
}

/// Commits of different files, so that all of them stand whatever their order.
async fn changes(worker: &Repository, count: usize, value: &str) -> Result<Vec<CommitSpec>> {
    let mut commits = Vec::with_capacity(count);
    for part in 0..count {
        commits.push(commit(change(worker, part, value).await?, &format!("Change {part}"))?);
    }
    Ok(commits)
}

async fn one_by_one(worker: &Repository, commits: &[CommitSpec]) -> Result<()> {
    for one in commits {
        deliver(worker, std::slice::from_ref(one)).await?;
    }
    Ok(())
}
