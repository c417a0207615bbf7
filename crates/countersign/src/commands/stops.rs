//! `countersign stop|stops|resume|unlock`: what people order in the chat, from a shell of the service's host. Works beside a running service.
//!
//! Whoever is at the shell counts as one person, "the operator": stopping takes one, and of the two who end a stop or give rights back the
//! operator is one at most. So a single operator with an account in the policy is never stuck, and no shell alone undoes a stop.

use chrono::Utc;
use clap::Args;
use domain::{Lock, Order, Stop, StopRequest};
use engine::orders::{self, Ended, Orderer, Stopped};
use serde_json::{Value, json};
use store::Store;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;
use crate::settings::Settings;

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Halt {
    /// all, agent NAME, path GLOB, runbook NAME or tier TIER, then why; everything when left out
    #[arg(value_name = "WHAT")]
    words: Vec<String>,
    #[command(flatten)]
    with: WithConfig,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The stop's number; may be left out while one stands
    number: Option<u64>,
    #[command(flatten)]
    with: WithConfig,
}

/// Arguments of `unlock`.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// The display name of who locked themselves
    name: String,
    #[command(flatten)]
    with: WithConfig,
}

/// Stops at once; prints the stop as JSON.
pub(crate) async fn stop(arguments: Halt) -> Result<(), Failure> {
    let request: StopRequest = arguments.words.join(" ").parse().map_err(|error: domain::InvalidId| {
        Failure::Usage(
            format!("nothing is stopped: {error}"),
            "write `countersign stop` alone to stop everything".to_owned(),
        )
    })?;
    let settings = arguments.with.settings()?;
    let store = open(&settings.database).await?;
    // Files that cannot be read must not keep anybody from stopping: then every runbook's name is taken.
    let done = match orders::unknown(&store, settings.rules().ok().as_ref(), &request.scope).await {
        Ok(None) => orders::stop(&store, Orderer::operator(), request, Utc::now()).await.map(Ok),
        Ok(Some(why)) => Ok(Err(why)),
        Err(error) => Err(error),
    };
    store.close().await;
    let done = done?.map_err(|why| {
        Failure::Usage(
            format!("nothing is stopped: {why}"),
            "correct the name, or write `countersign stop` alone to stop everything".to_owned(),
        )
    });
    let (Stopped::New(stop) | Stopped::Standing(stop)) = done?;
    say!("{}", described(&stop));
    Ok(())
}

/// Prints what stands as JSON lines.
pub(crate) async fn list(with: WithConfig) -> Result<(), Failure> {
    let store = open(&with.settings()?.database).await?;
    let ordered = store.read().ordered().await;
    store.close().await;
    let ordered = ordered?;
    ordered.stops.iter().for_each(|stop| say!("{}", described(stop)));
    ordered.locks.iter().for_each(|lock| say!("{}", locked(lock)));
    Ok(())
}

/// The operator's one wish that a stop ends.
pub(crate) async fn resume(arguments: Resume) -> Result<(), Failure> {
    let (store, policy) = beside(arguments.with.settings()?).await?;
    let done = orders::resume(&store, Orderer::operator(), arguments.number, policy, Utc::now()).await;
    store.close().await;
    told(done?, "stop")
}

/// The operator's one wish that somebody gets their rights back.
pub(crate) async fn unlock(arguments: Unlock) -> Result<(), Failure> {
    let (store, policy) = beside(arguments.with.settings()?).await?;
    let done = orders::unlock(&store, Orderer::operator(), Some(arguments.name), policy, Utc::now()).await;
    store.close().await;
    told(done?, "lock")
}

/// The database, and the policy that says whose wishes count.
async fn beside(settings: Settings) -> Result<(Store, std::sync::Arc<domain::Policy>), Failure> {
    let book = settings.rules()?;
    Ok((open(&settings.database).await?, book.policy))
}

fn told(ended: Ended, what: &str) -> Result<(), Failure> {
    let (one, missing) = match ended {
        Ended::Over(one) => (one, 0),
        Ended::Missing(one, missing) => (one, missing),
        Ended::Which(_) => {
            return Err(Failure::Usage(
                format!("more than one {what} stands"),
                "name the one: `countersign stops` lists them".to_owned(),
            ));
        }
        Ended::Nothing | Ended::NotEntitled => {
            return Err(Failure::Failed(
                format!("no such {what} stands"),
                "`countersign stops` lists what does".to_owned(),
            ));
        }
    };
    let mut line = match &one {
        Order::Stop(stop) => described(stop),
        Order::Lock(lock) => locked(lock),
    };
    line["over"] = json!(missing == 0);
    line["people_missing"] = json!(missing);
    say!("{line}");
    Ok(())
}

fn described(stop: &Stop) -> Value {
    let votes: Vec<_> = stop.votes.iter().map(|vote| json!({ "by": vote.by.name, "at": vote.at })).collect();
    json!({
        "stop": stop.id, "scope": stop.scope.to_string(), "by": stop.by.name, "since": stop.at, "reason": stop.reason,
        "resume_asked_by": votes,
    })
}

fn locked(lock: &Lock) -> Value {
    let votes: Vec<_> = lock.votes.iter().map(|vote| json!({ "by": vote.by.name, "at": vote.at })).collect();
    json!({ "locked": lock.person.name, "since": lock.at, "unlock_asked_by": votes })
}
