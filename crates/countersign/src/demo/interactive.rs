//! The demo for a person: a few proposals, at least one per tier, and a page to decide on.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::agent::Agent;
use super::refused;
use super::seed;
use super::world::World;

use crate::out::say;

pub(super) async fn run(bind: SocketAddr) -> Result<()> {
    let world = World::start(Duration::from_millis(900)).await?;
    let page = match world.page(bind).await {
        Ok(page) => page,
        // Somebody else has the port; any other will do.
        Err(error) => {
            say!("The page cannot be at {bind} ({error}); it takes a free port.\n");
            world.page(([127, 0, 0, 1], 0).into()).await?
        }
    };
    say!("Countersign demo. Nothing leaves this machine.\n");
    say!("  Open      {}", page.url());
    say!("  API       http://{}/docs", world.service.api_addr());
    say!("  Agent     Authorization: Bearer {}", world.token);
    say!("  Remote    {}\n", world.repo.path.display());
    let agent = Agent::new(world.service.api_addr(), &world.token)?;
    let manual = propose_all(&agent).await?;
    let refused = refused::password(&agent).await?;
    say!(
        "An agent sent a password in a manifest. It was refused and kept nowhere: {}.\n",
        refused.place
    );
    say!(
        "An agent ran one runbook and proposed four changes. Approve or reject on the page; watch the commit, the push and the sync on the card."
    );
    say!("The cache's settings take a code, too: above the chat the page shows what the chosen person's authenticator app would show.");
    say!("The Terraform change waits for a human's commit. To be that human:\n");
    say!("  git clone -q {} homelab-demo && cd homelab-demo", world.repo.path.display());
    say!("  sed -i 's/= 3/= 4/' {}", seed::NODES);
    say!("  git commit -qam 'A fourth worker' -m 'Proposal-Id: {manual}' && git push -q\n");
    say!("Ctrl-C ends the demo and removes everything.");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    say!();
    world.service.stop().await;
    Ok(())
}

/// One proposal per tier, one that deletes something, and one whose approval takes a code; the card to decide on comes last, so that it is what a person sees first.
/// Returns the manual one's id.
async fn propose_all(agent: &Agent) -> Result<String> {
    let standard = agent
        .run("scale", "The queue is growing.", json!({ "app": "shop", "replicas": 3 }))
        .await?;
    agent.wait_for_commit(standard["id"].as_str().unwrap_or_default()).await?;
    let manual = agent
        .propose(
            "A fourth worker",
            "Memory requests are at 92 % of what three workers have.",
            &[(seed::NODES, Some(seed::NODES_AFTER))],
        )
        .await?;
    agent
        .propose(
            "Drop the cache's disruption budget",
            "With one replica it blocks every node drain.",
            &[(seed::CACHE, None)],
        )
        .await?;
    agent
        .propose(
            "More memory for the cache",
            "It evicts too early.",
            &[(seed::CACHE_SETTINGS, Some(seed::CACHE_SETTINGS_AFTER))],
        )
        .await?;
    agent
        .propose(
            "Update the blog to 2.2.0 and run two of it",
            "2.2.0 fixes the memory leak of 2.1; p95 latency has been above 900 ms for 20 minutes.",
            &[(seed::BLOG, Some(seed::BLOG_AFTER))],
        )
        .await?;
    Ok(manual["id"].as_str().unwrap_or_default().to_owned())
}
