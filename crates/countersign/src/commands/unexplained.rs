//! `countersign unexplained`: commits on guarded paths that no proposal and no report explains, as the service found them. All of them; where
//! there may be more than it found, it says so.

use serde_json::json;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

/// Commits read at once.
const PAGE: u32 = 500;

pub(crate) async fn run(with: WithConfig) -> Result<(), Failure> {
    let settings = with.settings()?;
    let store = open(&settings.database).await?;
    for repository in settings.repositories.iter().map(|repository| &repository.name) {
        let mut before = None;
        loop {
            let page = store.read().unexplained(repository, before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.row);
            for found in page {
                // A report may have come since.
                if store.read().by_commit(repository, found.commit).await?.is_some() {
                    continue;
                }
                let mut line = json!({
                    "repository": repository,
                    "commit": found.commit,
                    "author": found.author,
                    "subject": found.subject,
                    "paths": found.paths,
                    "committed_at": found.committed_at,
                    "found_at": found.found_at,
                });
                if found.paths_cut {
                    line["paths_cut"] = json!(true);
                }
                say!("{line}");
            }
        }
        let left = store.read().unlooked(repository).await?;
        if left > 0 {
            say!("{}", json!({ "repository": repository, "commits_not_looked_at": left }));
        }
    }
    store.close().await;
    Ok(())
}
