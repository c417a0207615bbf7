//! Keeping every repository usable: the first clone of a remote that was away, and a branch that did not exist, are tried again in the
//! background. Until then people read the reason in `/readyz`, and agents in their answers.

use domain::RepositoryName;
use tokio_util::sync::CancellationToken;

use super::effects::backoff;
use crate::{Engine, RepositorySetup};

/// How often the mirror on disk is looked into: `/readyz` must not stay red over a cache that can be made anew.
const MIRROR_LOOK: std::time::Duration = std::time::Duration::from_secs(10);

impl Engine {
    /// Looks at the repository once at the start, and again, with growing pauses, while it cannot be used.
    pub(super) async fn keep_usable(self, name: RepositoryName, cancel: CancellationToken) {
        let Some(setup) = self.repository(&name) else { return };
        let mut attempts = 0_u32;
        loop {
            let looked = tokio::select! {
                () = cancel.cancelled() => return,
                looked = look(self.limits().tip_age, setup) => looked,
            };
            match looked {
                Ok(()) => {
                    if let Err(error) = self.follow_policy(setup).await {
                        tracing::warn!(repository = %name, %error, "the repository's policy cannot be read; looked at again");
                    }
                    if attempts > 0 {
                        tracing::info!(repository = %name, "the repository can be used");
                    }
                    attempts = 0;
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = setup.git.troubled() => {}
                        () = keep_whole(setup) => {}
                    }
                }
                Err(error) => {
                    attempts = attempts.saturating_add(1);
                    let pause = backoff(attempts).min(chrono::Duration::minutes(1));
                    tracing::warn!(repository = %name, %error, "the repository cannot be used; looked at again in {} s", pause.num_seconds());
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = tokio::time::sleep(pause.to_std().unwrap_or_default()) => {}
                    }
                }
            }
        }
    }
}

/// Mends the mirror on disk for as long as the repository can be used.
async fn keep_whole(setup: &RepositorySetup) {
    loop {
        tokio::time::sleep(MIRROR_LOOK).await;
        if let Err(error) = setup.git.repair().await {
            tracing::warn!(repository = %setup.name, %error, "the damaged mirror could not be cloned anew; tried again");
        }
    }
}

async fn look(tip_age: std::time::Duration, setup: &RepositorySetup) -> Result<(), gitworker::GitError> {
    setup.git.open_mirror().await?;
    setup.git.refresh(tip_age).await.map(drop)
}
