//! `countersign agent add|list|rotate|revoke`: tokens of 256 random bits, shown once, stored as SHA-256. Works beside a running service.

use chrono::{Duration, Utc};
use clap::{Args, Subcommand};
use domain::{AgentName, RepositoryName, RunbookName, Sha256Hash, Timestamp};
use serde_json::json;
use store::{Actor, Agent, Audit, Duplicate, Scopes, Store, StoreError, Tx};

use super::{open, open_or_create};
use crate::cli::{Failure, WithConfig};
use crate::out::{complain, say};
use crate::settings::Settings;

/// The subcommands of `agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add an agent, or a revoked one again, and print its token, once
    Add(Add),
    /// List agents as JSON lines, without anything secret
    List(WithConfig),
    /// Replace an agent's token; the old one is dead at once
    Rotate(Rotate),
    /// Revoke an agent at once
    Revoke(Revoke),
}

/// Arguments of `agent add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// 1 to 64 of A-Z a-z 0-9 . _ -
    name: AgentName,
    /// A repository it may propose to; may be repeated; all when left out
    #[arg(long = "repository", value_name = "NAME")]
    repositories: Vec<RepositoryName>,
    /// A path pattern it may touch, such as 'kubernetes/**'; may be repeated; every path when left out
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// A runbook it may call; may be repeated; all when left out
    #[arg(long = "runbook", value_name = "NAME")]
    runbooks: Vec<RunbookName>,
    /// How long the token is valid, such as 12h or 90d; without it the token does not expire
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,
    #[command(flatten)]
    with: WithConfig,
}

/// Arguments of `agent rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The agent
    name: AgentName,
    /// How long the new token is valid, such as 12h or 90d, or 'never'; without it the end that was set stays
    #[arg(long, value_name = "TIME", value_parser = new_end)]
    expires: Option<NewEnd>,
    #[command(flatten)]
    with: WithConfig,
}

/// Arguments of `agent revoke`.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The agent
    name: AgentName,
    #[command(flatten)]
    with: WithConfig,
}

/// What `agent rotate --expires` asks for.
#[derive(Debug, Clone, Copy)]
enum NewEnd {
    After(Duration),
    Never,
}

fn new_end(text: &str) -> Result<NewEnd, String> {
    match text {
        "never" => Ok(NewEnd::Never),
        text => lifetime(text).map(NewEnd::After),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and m, h or d, such as 12h or 90d; at most 3650d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let minutes = match unit {
        'm' => Some(number),
        'h' => number.checked_mul(60),
        'd' => number.checked_mul(24 * 60),
        _ => None,
    };
    minutes
        .filter(|minutes| (1..=3650 * 24 * 60).contains(minutes))
        .map(Duration::minutes)
        .ok_or_else(wrong)
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(add) => {
            let settings = add.with.settings()?;
            known(&settings, &add)?;
            let store = open_or_create(&settings.database).await?;
            let done = self::add(&store, add).await;
            store.close().await;
            done
        }
        Command::List(with) => {
            let store = open(&with.settings()?.database).await?;
            let agents = store.read().agents().await;
            store.close().await;
            agents?.iter().for_each(|agent| say!("{}", described(agent, Utc::now())));
            Ok(())
        }
        Command::Rotate(Rotate { name, expires, with }) => {
            let store = open(&with.settings()?.database).await?;
            let done = rotate(&store, name, expires).await;
            store.close().await;
            done
        }
        Command::Revoke(Revoke { name, with }) => {
            let store = open(&with.settings()?.database).await?;
            let done = revoke(&store, name).await;
            store.close().await;
            done
        }
    }
}

/// A scope on something that does not exist would be a token that can do nothing.
fn known(settings: &Settings, add: &Add) -> Result<(), Failure> {
    for name in &add.repositories {
        if !settings.repositories.iter().any(|repository| repository.name == *name) {
            return Err(Failure::Usage(
                format!("there is no repository {name}"),
                super::repositories(settings.repositories.iter().map(|repository| &repository.name)),
            ));
        }
    }
    for pattern in &add.paths {
        domain::PathGlob::new(pattern).map_err(|error| {
            Failure::Usage(
                error,
                "write it as policy rules do, relative to the repository's root, such as 'kubernetes/**'".to_owned(),
            )
        })?;
    }
    if add.runbooks.is_empty() {
        return Ok(());
    }
    // What stands on a branch nobody knows here.
    if settings.repositories.iter().any(|repository| repository.runbooks.is_some()) {
        return Ok(());
    }
    let book = settings.book()?;
    match add.runbooks.iter().find(|name| !book.runbooks.contains_key(name)) {
        None => Ok(()),
        Some(name) => Err(Failure::Usage(format!("there is no runbook {name}"), super::runbooks(&book))),
    }
}

async fn add(store: &Store, add: Add) -> Result<(), Failure> {
    if add.name.as_str() == engine::SERVICE_NAME {
        return Err(Failure::Usage(
            format!("{} is the name in which the service itself proposes", add.name),
            "give the agent another name".to_owned(),
        ));
    }
    let (token, hash) = fresh_token()?;
    let now = Utc::now();
    let scopes = Scopes {
        repositories: add.repositories,
        paths: add.paths,
        runbooks: add.runbooks,
    };
    let (name, expires_at) = (add.name.clone(), add.expires.map(|time| now + time));
    let added = store
        .write(move |tx: &mut Tx| {
            Box::pin(async move {
                let revoked_at = tx.agent(&name).await?.and_then(|before| before.revoked_at);
                let agent = tx.put_agent(&name, hash, &scopes, expires_at, now).await?;
                let (again, since) = match revoked_at {
                    Some(at) => (" again", format!(", revoked since {}", minute(at))),
                    None => ("", String::new()),
                };
                let summary = format!("agent {name}{since} was added{again} on the command line");
                let details = json!({ "agent": name, "scopes": scopes, "expires_at": expires_at, "was_revoked_at": revoked_at });
                tx.audit(row("agent_added", summary, details, now)).await?;
                Ok::<_, StoreError>(agent)
            })
        })
        .await;
    match added {
        Ok(agent) => {
            hand_over(&agent, &token);
            Ok(())
        }
        Err(StoreError::Duplicate(Duplicate::Agent)) => Err(Failure::Failed(
            format!("there is an agent {} already", add.name),
            "choose another name, or replace its token with `countersign agent rotate`".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

async fn rotate(store: &Store, name: AgentName, expires: Option<NewEnd>) -> Result<(), Failure> {
    let (token, hash) = fresh_token()?;
    let now = Utc::now();
    let agent = store
        .write(move |tx: &mut Tx| {
            Box::pin(async move {
                let expires_at = match tx.agent(&name).await? {
                    Some(before) => end_after_rotation(&before, expires, now)?,
                    None => None,
                };
                let agent = tx.rotate_agent(&name, hash, expires_at).await.map_err(missing)?;
                let details = json!({ "agent": name, "expires_at": expires_at });
                tx.audit(row(
                    "agent_rotated",
                    format!("agent {name} got a new token on the command line"),
                    details,
                    now,
                ))
                .await?;
                Ok::<_, Failure>(agent)
            })
        })
        .await?;
    hand_over(&agent, &token);
    Ok(())
}

/// When a new token shall end. A revoked agent gets none: whoever revoked it meant it, and only `agent add` says with which scopes it is back.
fn end_after_rotation(agent: &Agent, asked: Option<NewEnd>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let name = &agent.name;
    if let Some(at) = agent.revoked_at {
        return Err(Failure::Failed(
            format!("agent {name} was revoked {}; a revoked agent gets no new token", minute(at)),
            format!("to let it work again, give it scopes anew with `countersign agent add {name} …`"),
        ));
    }
    match (asked, agent.expires_at) {
        (Some(NewEnd::After(time)), _) => Ok(Some(now + time)),
        (Some(NewEnd::Never), _) => Ok(None),
        (None, Some(end)) if end <= now => Err(Failure::Failed(
            format!("agent {name} expired {}, and a new token would have the same end", minute(end)),
            "say how long the new one is valid: --expires 90d, or --expires never".to_owned(),
        )),
        (None, end) => Ok(end),
    }
}

fn minute(at: Timestamp) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

async fn revoke(store: &Store, name: AgentName) -> Result<(), Failure> {
    let now = Utc::now();
    let open = store.read().count_open(&name).await?;
    let agent = store
        .write(move |tx: &mut Tx| {
            Box::pin(async move {
                let agent = tx.revoke_agent(&name, now).await?;
                let details = json!({ "agent": name });
                tx.audit(row(
                    "agent_revoked",
                    format!("agent {name} was revoked on the command line"),
                    details,
                    now,
                ))
                .await?;
                Ok::<_, StoreError>(agent)
            })
        })
        .await
        .map_err(missing)?;
    say!("{}", described(&agent, now));
    if open > 0 {
        let open = domain::counted(usize::try_from(open).unwrap_or(usize::MAX), "proposal", "proposals");
        eprintln!(
            "note: {open} of {name} on their way stay as they are: people can still approve or reject them; `countersign stop agent {name}` keeps them from being sent",
            name = agent.name
        );
    }
    Ok(())
}

fn missing(error: StoreError) -> Failure {
    match error {
        StoreError::Missing { .. } => Failure::Failed(error.to_string(), "`countersign agent list` shows all agents".to_owned()),
        other => other.into(),
    }
}

fn row(event: &str, summary: String, details: serde_json::Value, at: Timestamp) -> Audit {
    Audit {
        proposal: None,
        actor: Actor::Service,
        event: event.to_owned(),
        summary,
        details,
        at,
    }
}

/// `cs_` and 256 random bits in hexadecimal; the service finds an agent by the SHA-256 of the whole text.
fn fresh_token() -> Result<(String, Sha256Hash), Failure> {
    let mut bits = [0_u8; 32];
    getrandom::fill(&mut bits).map_err(|error| {
        Failure::Failed(
            format!("the operating system gives no random bytes: {error}"),
            "try again".to_owned(),
        )
    })?;
    let token = format!("cs_{}", hex::encode(bits));
    let hash = Sha256Hash::of(token.as_bytes());
    Ok((token, hash))
}

/// The token alone on standard output, so that it can be piped into a secret store; words for people on standard error.
fn hand_over(agent: &Agent, token: &str) {
    let until = agent
        .expires_at
        .map_or_else(|| "does not expire".to_owned(), |end| format!("expires {}", minute(end)));
    complain!("token of agent {} ({until}); it is shown only now:", agent.name);
    say!("{token}");
}

fn described(agent: &Agent, now: Timestamp) -> serde_json::Value {
    let state = match (agent.revoked_at, agent.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        (None, _) => "active",
    };
    json!({
        "name": agent.name, "state": state, "repositories": agent.scopes.repositories, "paths": agent.scopes.paths,
        "runbooks": agent.scopes.runbooks, "created_at": agent.created_at, "expires_at": agent.expires_at,
        "revoked_at": agent.revoked_at, "last_used_at": agent.last_used_at,
    })
}
