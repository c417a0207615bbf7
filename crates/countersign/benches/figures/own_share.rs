//! What one commit and push costs in our own process: its time, whether that time depends on the repository's size, and its memory.
//!
//! The time is taken against a remote that answers at once, so that everything in it is ours: building the commit, the digest of the built
//! tree, the pack, taking it into the mirror, and also our two requests over the loopback.

use anyhow::Result;

use crate::hosting::{Hosting, Size, change, commit, deliver, git};
use crate::instant_remote::InstantRemote;
use crate::report::{Goal, Report, Speaks};
use crate::timing::{PAIRS, ms, rss_anon, timed};

const MEMORY: &str = "memory_growth_of_commit_and_push_100k_mib";
const SHARE: &str = "own_share_of_commit_and_push_100k_ms";
const GROWTH: &str = "own_share_100k_over_1k";

/// The figures of this file.
pub(crate) const NAMES: [&str; 3] = [MEMORY, SHARE, GROWTH];

/// Deliveries before anything is measured: connections, handles and allocators reach their size.
const WARM_UP: usize = 5;

pub(crate) async fn run(report: &Report) -> Result<()> {
    let hosting = Hosting::start().await?;
    let big = hosting.seeded("big", Size::Big)?;
    if report.wants(MEMORY) {
        let growths = memory(&hosting, &big).await?;
        report.tell(MEMORY, Goal::AtMost(3.0), Speaks::Most, &growths);
    }
    if !(report.wants(SHARE) || report.wants(GROWTH)) {
        return Ok(());
    }
    let small = hosting.seeded("small", Size::Small)?;
    let (big, small) = (
        Ours::beside(&hosting, &big, "big-instant").await?,
        Ours::beside(&hosting, &small, "small-instant").await?,
    );
    let (mut shares, mut ratios) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + 2 * PAIRS {
        let (little, much) = (small.delivery(run).await?, big.delivery(run).await?);
        if run >= WARM_UP {
            shares.push(much);
            ratios.push(much / little);
        }
    }
    report.tell(SHARE, Goal::AtMost(10.0), Speaks::Least, &shares);
    report.tell(GROWTH, Goal::AtMost(1.3), Speaks::Median, &ratios);
    Ok(())
}

/// How much this process grows by one commit and push to a real server, run after run.
async fn memory(hosting: &Hosting, big: &simulators::git::BareRepo) -> Result<Vec<f64>> {
    let worker = hosting.open(big, "memory-mirror").await?;
    let mut growths = Vec::new();
    for run in 0..WARM_UP + PAIRS {
        let commits = [commit(change(&worker, run, &format!("memory {run}")).await?, "Change one value")?];
        let before = rss_anon("self")?;
        deliver(&worker, &commits).await?;
        if run >= WARM_UP {
            growths.push(rss_anon("self")? - before);
        }
    }
    Ok(growths)
}

/// Our worker with a mirror of a real repository and a remote that costs nothing.
struct Ours {
    worker: gitworker::Repository,
    _remote: InstantRemote,
}

impl Ours {
    async fn beside(hosting: &Hosting, repo: &simulators::git::BareRepo, mirror: &str) -> Result<Self> {
        // Cloned from the real server, then pointed at the other, as when a remote moves to a new address.
        let cloned = hosting.open(repo, mirror).await?;
        let tip = cloned.refresh(std::time::Duration::ZERO).await?.commit;
        drop(cloned);
        let remote = InstantRemote::start(&tip.to_string()).await?;
        git(&hosting.place(mirror), &["config", "remote.origin.url", remote.url()])?;
        let worker = gitworker::Repository::open(hosting.options(remote.url(), mirror)?).await?;
        Ok(Self { worker, _remote: remote })
    }

    /// Milliseconds of one commit and push; what the intake has done before is not in it.
    async fn delivery(&self, run: usize) -> Result<f64> {
        let commits = [commit(
            change(&self.worker, run, &format!("share {run}")).await?,
            "Change one value",
        )?];
        let ((), took) = timed(deliver(&self.worker, &commits)).await?;
        Ok(ms(took))
    }
}
