//! `cargo bench --bench figures [-- NAME…]`: the numbers that Countersign promises, measured against what they are promised relative to.
//!
//! A harness of its own, because every figure is a ratio or a bound over whole programs (a git server, a database, a running service):
//! both sides of a ratio are measured in turn within one run, so that a machine that slows down slows both. Nothing here is a gate;
//! each comparison prints one line and the reader judges:
//!
//! ```text
//! figure NAME value=0.72 goal=<=0.8 min=0.66 max=0.91 runs=15
//! ```
//!
//! Ratios are medians over pairs, times that stand alone are minima, sizes are maxima. A goal made of two parts prints measured ÷ allowed.
//! Standard error has the absolute numbers behind the ratios. What cannot be measured says why: `figure NAME skipped: …`. Arguments choose the figures whose name contains one of them.

mod approval;
mod batch;
mod cluster;
mod guards;
mod hosting;
mod instant_remote;
mod intake;
mod lab;
mod own_share;
mod process;
mod raw_sqlite;
mod report;
#[path = "../../../changes/tests/slow_inputs/mod.rs"]
mod slow_inputs;
mod timing;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let report = Report::from_arguments();
    // More threads than cores: a crash point that holds one back must not hold back the simulators.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(measure(&report));
            // Whatever still runs belongs to worlds that are gone.
            runtime.shutdown_background();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Memory first, while the process is small; then the quick ones.
async fn measure(report: &Report) {
    report.attempt(&own_share::NAMES, own_share::run(report)).await;
    report.attempt(&process::NAMES, process::run(report)).await;
    report.attempt(&guards::NAMES, guards::run(report)).await;
    report.attempt(&intake::NAMES, intake::run(report)).await;
    report.attempt(&batch::NAMES, batch::run(report)).await;
    report.attempt(&approval::NAMES, approval::run(report)).await;
    report.attempt(&cluster::NAMES, cluster::run(report)).await;
}
