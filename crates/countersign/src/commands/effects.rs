//! `countersign effects list|retry`: what the service gave up ("parked"), and a human's word to try it again. Works beside a running service.

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use store::{Actor, Audit, Owed, Store, StoreError, Tx};

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

/// The subcommands of `effects`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List parked effects as JSON lines, oldest first
    List(WithConfig),
    /// Have parked effects tried again; a running service takes them within seconds
    Retry(Retry),
}

/// Arguments of `effects retry`.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The ids that `effects list` shows
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID", value_parser = id)]
    ids: Vec<i64>,
    /// Every parked effect
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    with: WithConfig,
}

fn id(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| "an effect's id is a number: `countersign effects list` shows those that are parked".to_owned())
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let (with, retry) = match &command {
        Command::List(with) => (with, None),
        Command::Retry(retry) => (&retry.with, Some(retry)),
    };
    let store = open(&with.settings()?.database).await?;
    let done = listed_or_retried(&store, retry).await;
    store.close().await;
    done?.iter().for_each(|effect| say!("{effect}"));
    Ok(())
}

/// The effects that are parked, or those that no longer are.
async fn listed_or_retried(store: &Store, retry: Option<&Retry>) -> Result<Vec<Value>, Failure> {
    let parked = store.read().parked().await?;
    let Some(retry) = retry else {
        return Ok(parked.iter().map(described).collect());
    };
    let mut chosen = Vec::new();
    for id in &retry.ids {
        match parked.iter().find(|effect| effect.effect_id == *id) {
            Some(effect) => chosen.push(effect.clone()),
            None => return Err(missing(*id)),
        }
    }
    let chosen = if retry.all { parked } else { chosen };
    let told = chosen.iter().map(described).collect();
    unpark(store, chosen).await?;
    Ok(told)
}

/// All of them or none.
async fn unpark(store: &Store, effects: Vec<Owed>) -> Result<(), Failure> {
    let now = Utc::now();
    let done: Result<(), StoreError> = store
        .write(move |tx: &mut Tx| {
            Box::pin(async move {
                for effect in effects {
                    tx.unpark(effect.effect_id, now).await?;
                    tx.audit(Audit {
                        proposal: effect.proposal,
                        actor: Actor::Service,
                        event: "effect_retried".to_owned(),
                        summary: format!(
                            "effect {} ({}) is tried again, as asked on the command line",
                            effect.effect_id, effect.key
                        ),
                        details: json!({ "effect_id": effect.effect_id, "key": effect.key, "error": effect.error }),
                        at: now,
                    })
                    .await?;
                }
                Ok(())
            })
        })
        .await;
    Ok(done?)
}

fn missing(id: i64) -> Failure {
    Failure::Failed(
        format!("no effect {id} is parked"),
        "`countersign effects list` shows all that are".to_owned(),
    )
}

fn described(effect: &Owed) -> Value {
    json!({
        "id": effect.effect_id, "effect": effect.key, "proposal": effect.proposal, "attempts": effect.attempts,
        "due": effect.due, "error": effect.error,
    })
}
