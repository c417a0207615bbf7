//! The service in a process of its own, over a lab's world, that ends itself at a named place as a power cut would.
//!
//! Arguments: folder, git URL, Telegram URL, Argo CD URL (or `-` for a service that has none) and token, GitHub URL or `-`, name of the crash point or `-`, and which passing of it is
//! the deadly one. Every line on standard input is a proposal as JSON (`key`, `title`, and `path` with `text`, or `runbook` with `parameters`);
//! the answer is a line with its id once it is stored, or `refused …`. At the end of the input the service stops in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::Sha256Hash;
use end_to_end::LabOptions;
use end_to_end::lab::{agent_named, files, install_once, request};
use end_to_end::service::{Addresses, build};
use engine::{Answer, Clock, Content, CrashPoints, Created, Engine, Idempotency};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<()> {
    install_once();
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &'static str| arguments.next().with_context(|| format!("no {name}"));
    let world = Addresses {
        folder: PathBuf::from(next("folder")?),
        git: next("git URL")?,
        telegram: next("Telegram URL")?,
        argocd: next("Argo CD URL")?,
        argocd_token: next("Argo CD token")?,
        annex: None,
        github: Some(next("GitHub URL")?).filter(|url| url != "-"),
    };
    let (point, nth) = (next("crash point")?, next("passing")?.parse()?);
    let ordinary = LabOptions::default();
    let options = LabOptions {
        crash: deadly(point, nth),
        clock: shifted(world.folder.join("clock")),
        repository_policy: std::fs::read_to_string(world.folder.join("repository-policy")).ok(),
        policy: std::fs::read_to_string(world.folder.join("policy")).unwrap_or_else(|_| ordinary.policy.clone()),
        argocd: world.argocd != "-",
        ..ordinary
    };
    let cancel = CancellationToken::new();
    let engine = build(&world, &options, &cancel).await?;
    let running = engine.start(true, cancel.clone()).await?;
    println!("ready");
    let mut lines = spoken();
    while let Some(line) = lines.recv().await {
        match propose(&engine, &line).await {
            Ok(id) => println!("{id}"),
            Err(error) => println!("refused {error}"),
        }
    }
    running.stop(Duration::from_secs(5)).await;
    engine.store().close().await;
    Ok(())
}

/// The lines of standard input, until its end.
fn spoken() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Ends the process at the `nth` passing of a place: nothing is flushed, nobody is told.
fn deadly(point: String, nth: u32) -> CrashPoints {
    let passed = AtomicU32::new(0);
    CrashPoints::new(move |name| {
        if name == point && passed.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            std::process::abort();
        }
    })
}

/// The system's clock plus the seconds that stand in a file.
fn shifted(file: PathBuf) -> Clock {
    let ahead = |file: &Path| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    Clock::new(move || chrono::Utc::now() + chrono::Duration::seconds(ahead(&file).unwrap_or(0)))
}

async fn propose(engine: &Engine, line: &str) -> Result<String> {
    let asked: serde_json::Value = serde_json::from_str(line)?;
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let content = match asked["runbook"].as_str() {
        Some(name) => Content::Runbook {
            name: name.to_owned(),
            parameters: asked["parameters"].clone(),
        },
        None => files(&[(&text("path"), asked["text"].as_str())]),
    };
    let key = Idempotency {
        key: text("key"),
        fingerprint: Sha256Hash::of(line.as_bytes()),
        render: Arc::new(|proposal, _| Answer {
            status: 201,
            body: proposal.id.to_string(),
            etag: None,
            location: None,
        }),
    };
    match engine
        .propose(&agent_named("ops-bot"), request(&text("title"), content), Some(key))
        .await
    {
        Ok(Created::New(proposal) | Created::Existing(proposal)) => Ok(proposal.id.to_string()),
        Ok(Created::Replayed(answer)) => Ok(answer.body),
        Err(problem) => Err(anyhow::anyhow!("{problem}")),
    }
}
