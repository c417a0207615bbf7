//! The command line. Standard output is for machines and for what was asked; errors go to standard error, each with a remedy.
//!
//! Exit codes: 0 done; 1 problems were found, or it failed; 2 the command line or the configuration is wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use store::StoreError;

use crate::commands::{agent, approvers, audit, backup, check, digest, effects, explain, policy, runbook, stops, totp, unexplained};
use crate::out::{complain, say};
use crate::settings::{Problem, Settings};

/// An agent signs a change; a human countersigns it; git carries it; Argo CD proves it.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(WithConfig),
    /// Check configuration, policy and runbooks; the shipped ones when none is named
    Check(check::Arguments),
    /// Say which tier and rule paths get, and who approves
    Explain(explain::Arguments),
    /// A policy before it is in force
    #[command(subcommand)]
    Policy(policy::Command),
    /// Runbooks: check their files, list them with their hashes, render one on files of yours
    #[command(subcommand)]
    Runbook(runbook::Command),
    /// Agents and their tokens
    #[command(subcommand)]
    Agent(agent::Command),
    /// Generators of codes: the second factor of approvers on marked paths
    #[command(subcommand)]
    Totp(totp::Command),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// What the service gave up and a human may have it try again
    #[command(subcommand)]
    Effects(effects::Command),
    /// Stop sending at once: everything, or one agent, path, runbook or tier
    Stop(stops::Halt),
    /// List what is stopped, and who is locked, as JSON lines
    Stops(WithConfig),
    /// Ask for the end of a stop: one of the two people it takes
    Resume(stops::Resume),
    /// Ask that somebody who locked themselves gets their rights back: one of the two people it takes
    Unlock(stops::Unlock),
    /// How each approver decides, as JSON lines: for operators only
    Approvers(WithConfig),
    /// List commits on guarded paths that no proposal explains, as JSON lines
    Unexplained(WithConfig),
    /// Write a consistent copy of the database, also while the service runs
    Backup(backup::Arguments),
    /// Recompute the digest of a change
    Digest(digest::Arguments),
    /// The whole product on this machine, with no account and no network
    #[cfg(feature = "demo")]
    Demo(crate::demo::Arguments),
    /// Print the version
    Version,
}

/// `--config FILE`
#[derive(Debug, Args)]
pub(crate) struct WithConfig {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
}

impl WithConfig {
    /// The settings it names.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Settings::load(Some(&self.config)).map_err(Failure::Settings)
    }
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    Settings(Vec<Problem>),
    /// Policy or runbooks are wrong: each problem carries its remedy.
    Files(Vec<String>),
    /// The arguments, or an input file, are wrong: what, and the remedy.
    Usage(String, String),
    /// Problems were found and told.
    Found,
    /// It did not work: what, and the remedy.
    Failed(String, String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let remedy = match &error {
            StoreError::Corrupt { .. } => {
                "keep the damaged file, copy the latest backup to its place while the service is stopped, then run `countersign audit verify`"
            }
            StoreError::Newer { .. } => "use the program that wrote it, or the backup from before the upgrade",
            StoreError::Open { .. } => "check database.path, and whether file and folder are writable",
            StoreError::Backup { .. } => "name a new file in a folder that is writable and has room",
            StoreError::DiskFull { .. } => "free space on the disk that database.path lies on",
            StoreError::Busy { .. } => "try again in a moment",
            StoreError::Locked { .. } => "stop the other `serve` first",
            StoreError::Undecodable { .. } => "use the version of the program that wrote it, or restore a backup",
            StoreError::Duplicate(_)
            | StoreError::Conflict { .. }
            | StoreError::Missing { .. }
            | StoreError::Constraint { .. }
            | StoreError::Database { .. }
            | StoreError::NotCommitted { .. }
            | StoreError::Panicked { .. }
            | StoreError::TooSlow { .. }
            | StoreError::Closed => "nothing was changed: try again, and look into the service's log when it stays so",
        };
        Self::Failed(error.to_string(), remedy.to_owned())
    }
}

/// Problems with policy and runbooks.
impl From<Vec<engine::FileProblem>> for Failure {
    fn from(problems: Vec<engine::FileProblem>) -> Self {
        Self::Files(problems.iter().map(ToString::to_string).collect())
    }
}

impl Failure {
    fn tell(self) -> ExitCode {
        match self {
            Self::Settings(problems) => {
                for problem in problems {
                    complain!("error: {problem}");
                }
                ExitCode::from(2)
            }
            Self::Files(problems) => {
                for problem in problems {
                    complain!("error: {problem}");
                }
                ExitCode::from(2)
            }
            Self::Usage(what, remedy) => {
                complain!("error: {what}\n  remedy: {remedy}");
                ExitCode::from(2)
            }
            Self::Found => ExitCode::from(1),
            Self::Failed(what, remedy) => {
                complain!("error: {what}\n  remedy: {remedy}");
                ExitCode::from(1)
            }
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // One TLS implementation for every client; an error only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::Failed(
                format!("the runtime cannot be started: {error}"),
                "check the limits on threads".to_owned(),
            )
            .tell();
        }
    };
    let done = runtime.block_on(run(cli.command));
    // A blocking step that hangs (a name look-up) must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(with) => serve(with.settings()?).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Explain(arguments) => explain::run(&arguments).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Runbook(command) => runbook::run(&command),
        Command::Agent(command) => agent::run(command).await,
        Command::Totp(command) => totp::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Effects(command) => effects::run(command).await,
        Command::Stop(arguments) => stops::stop(arguments).await,
        Command::Stops(with) => stops::list(with).await,
        Command::Resume(arguments) => stops::resume(arguments).await,
        Command::Unlock(arguments) => stops::unlock(arguments).await,
        Command::Approvers(with) => approvers::run(with).await,
        Command::Unexplained(with) => unexplained::run(with).await,
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Digest(arguments) => digest::run(&arguments),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => crate::demo::run(arguments).await,
        Command::Version => {
            say!("countersign {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

/// What is wrong with files is found before anything is opened: it is the configuration's fault, not the world's.
async fn serve(settings: Settings) -> Result<(), Failure> {
    let unreadable = settings.check_files();
    if !unreadable.is_empty() {
        return Err(Failure::Settings(unreadable));
    }
    settings.book()?;
    let served = crate::serve(settings, crate::Hooks::default()).await;
    served.map_err(|error| Failure::Failed(format!("{error:#}"), "correct the cause named above and start again".to_owned()))
}
