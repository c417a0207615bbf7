//! `countersign unexplained`: commits on guarded paths that no proposal and no report explains, as the service found them.

use serde_json::json;

use super::open;
use crate::cli::{Failure, WithConfig};
use crate::out::say;

/// Commits told of one repository.
const LIST_MAX: u32 = 1000;

pub(crate) async fn run(with: WithConfig) -> Result<(), Failure> {
    let settings = with.settings()?;
    let store = open(&settings.database).await?;
    let mut lines = Vec::new();
    for repository in &settings.repositories {
        for found in store.read().unexplained(&repository.name, LIST_MAX).await? {
            // A report may have come since.
            if store.read().by_commit(&repository.name, found.commit).await?.is_some() {
                continue;
            }
            lines.push(json!({
                "repository": repository.name,
                "commit": found.commit,
                "author": found.author,
                "subject": found.subject,
                "paths": found.paths,
                "committed_at": found.committed_at,
                "found_at": found.found_at,
            }));
        }
    }
    store.close().await;
    lines.iter().for_each(|line| say!("{line}"));
    Ok(())
}
