//! `countersign audit verify|show`: the hash chain checked, and rows as JSON lines.

use clap::{Args, Subcommand};
use domain::ProposalId;
use serde_json::json;
use store::{Actor, AuditReport, AuditRow, Store};

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

/// Rows read at a time.
const PAGE: u32 = 500;

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Recompute the chain; name the first row that is not what was written
    Verify(WithConfig),
    /// Print rows as JSON lines: all, or those about one proposal
    Show(Show),
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// prp_…
    proposal: Option<ProposalId>,
    #[command(flatten)]
    with: WithConfig,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let (with, proposal) = match command {
        Command::Verify(with) => {
            let store = open(&with.settings()?.database).await?;
            let done = verify(&store).await;
            store.close().await;
            return done;
        }
        Command::Show(Show { proposal, with }) => (with, proposal),
    };
    let store = open(&with.settings()?.database).await?;
    let done = show(&store, proposal).await;
    store.close().await;
    done
}

async fn verify(store: &Store) -> Result<(), Failure> {
    match store.verify_audit().await? {
        AuditReport::Intact { rows, head } => {
            let rows = domain::counted(usize::try_from(rows).unwrap_or(usize::MAX), "row", "rows");
            say!("ok {rows}, head {head}");
            Ok(())
        }
        AuditReport::Broken { row, why } => {
            let what = match row {
                Some(row) => {
                    say!("broken at row {row}");
                    format!("audit row {row}: {why}")
                }
                None => {
                    say!("broken: the rows are whole, and the proposals do not agree with them");
                    format!("the audit log and the proposals do not agree: {why}")
                }
            };
            Err(Failure::Failed(
                what,
                "keep the file as evidence, compare it with a backup and with the Audit-Head lines in git, and restore the backup"
                    .to_owned(),
            ))
        }
    }
}

async fn show(store: &Store, proposal: Option<ProposalId>) -> Result<(), Failure> {
    let read = store.read();
    if let Some(proposal) = proposal {
        let rows = read.audit_of(proposal).await?;
        if rows.is_empty() {
            return Err(Failure::Failed(
                format!("there is no audit row about {proposal}"),
                "check the id".to_owned(),
            ));
        }
        rows.iter().for_each(print);
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows = read.audit_after(after, PAGE).await?;
        rows.iter().for_each(print);
        match rows.last() {
            Some(last) => after = last.row,
            None => return Ok(()),
        }
    }
}

fn print(row: &AuditRow) {
    let (kind, name) = match &row.entry.actor {
        Actor::Agent(name) => ("agent", name.to_string()),
        Actor::Person(person) => ("person", person.name.clone()),
        Actor::Service => ("service", String::new()),
        Actor::Stranger { id, name } => ("stranger", format!("{name} ({id})")),
    };
    say!(
        "{}",
        json!({
            "row": row.row, "at": row.entry.at, "proposal": row.entry.proposal, "actor": kind, "name": name, "event": row.entry.event,
            "summary": row.entry.summary, "details": row.entry.details, "hash": row.hash,
        })
    );
}
