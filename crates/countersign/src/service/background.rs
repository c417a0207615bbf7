//! What runs beside the workers: secrets that rotate, retention, how Telegram's updates come in, metrics.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use domain::Sha256Hash;
use engine::{ArgocdSetup, Engine, RepositorySetup, TelegramSetup};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use crate::secrets::Secret;
use crate::settings::{Settings, WebhookSettings};

/// Retention looks for what it may remove this often; first after a quiet start.
const RETENTION_EVERY: Duration = Duration::from_secs(24 * 3600);
const RETENTION_FIRST: Duration = Duration::from_secs(300);
/// Histograms are compacted this often even when nobody reads them.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Pauses between attempts to set how updates come in.
const MODE_FIRST: Duration = Duration::from_secs(2);
const MODE_LONGEST: Duration = Duration::from_secs(60);

/// Runs a server to its end and logs why it ended early.
pub(super) async fn reported<E: Display>(what: &str, serving: impl Future<Output = Result<(), E>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "{what} has ended");
    }
}

/// Waits, unless the service stops first.
async fn pause(time: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// Keeps histograms small.
pub(super) async fn metrics_upkeep(handle: PrometheusHandle, cancel: CancellationToken) {
    while pause(UPKEEP_EVERY, &cancel).await {
        handle.run_upkeep();
    }
}

/// Removes contents that are past their retention, once a day.
pub(super) async fn retention(engine: Engine, days: u32, cancel: CancellationToken) {
    let mut wait = RETENTION_FIRST;
    while pause(wait, &cancel).await {
        wait = RETENTION_EVERY;
        let now = engine.now();
        match engine.store().prune(now - chrono::Duration::days(i64::from(days)), now).await {
            Ok(pruned) => tracing::info!(
                contents = pruned.contents,
                answers = pruned.answers,
                updates = pruned.updates,
                "retention"
            ),
            Err(error) => tracing::error!(%error, "retention could not remove what is past its time; it is tried again tomorrow"),
        }
    }
}

/// Tells Telegram how updates shall come in: pushed to our address, or fetched by us.
pub(super) async fn receiving_mode(client: telegram::Client, webhook: Option<WebhookSettings>, cancel: CancellationToken) {
    let mut wait = MODE_FIRST;
    loop {
        match set_mode(&client, webhook.as_ref()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the way of Telegram's updates is not set yet; trying again"),
        }
        if !pause(wait, &cancel).await {
            return;
        }
        wait = (wait * 2).min(MODE_LONGEST);
    }
}

async fn set_mode(client: &telegram::Client, webhook: Option<&WebhookSettings>) -> anyhow::Result<()> {
    match webhook {
        Some(webhook) => {
            client.set_webhook(&webhook.url, &webhook.secret.read()?).await?;
            tracing::info!(
                host = webhook.url.host_str().unwrap_or_default(),
                "Telegram pushes its updates to us"
            );
        }
        None if client.webhook_url().await?.is_empty() => {}
        None => {
            client.delete_webhook().await?;
            tracing::info!("an old webhook was removed, so that updates can be fetched");
        }
    }
    Ok(())
}

/// Who is told when a secret file has another content.
enum Holder {
    Telegram(telegram::Client),
    Argocd(argocd::client::Client),
    Github(github::GitHub),
    /// Cannot be exchanged while the service runs.
    Restart,
}

/// The secret files that clients hold a copy of. The git worker reads its own at each use.
#[derive(Default)]
pub(super) struct Secrets(Vec<Watched>);

struct Watched {
    secret: Secret,
    holder: Holder,
    /// Of the content last seen; never the content itself.
    seen: Option<Sha256Hash>,
    /// The last problem, told once.
    told: Option<String>,
}

impl Secrets {
    /// All secret files of the settings, with who holds them.
    pub(super) fn add_all(
        &mut self,
        settings: &Settings,
        telegram: Option<&TelegramSetup>,
        argocd: &[ArgocdSetup],
        repositories: &[RepositorySetup],
    ) {
        if let (Some(secret), Some(setup)) = (&settings.telegram, telegram) {
            self.add(&secret.token, Holder::Telegram(setup.queue.client().clone()));
            if let Some(webhook) = &secret.webhook {
                self.add(&webhook.secret, Holder::Restart);
            }
        }
        for (secret, setup) in settings.argocd.iter().zip(argocd) {
            self.add(&secret.token, Holder::Argocd(setup.client.clone()));
        }
        for (secret, setup) in settings.repositories.iter().zip(repositories) {
            if let (Some(secret), Some(client)) = (&secret.github, &setup.github) {
                self.add(&secret.token, Holder::Github(client.clone()));
            }
        }
    }

    fn add(&mut self, secret: &Secret, holder: Holder) {
        if secret.path().is_some() {
            let seen = secret.read().ok().map(|secret| fingerprint(&secret));
            self.0.push(Watched {
                secret: secret.clone(),
                holder,
                seen,
                told: None,
            });
        }
    }

    /// Looks at the files again and again. Their content is compared, not their times: a mounted secret is swapped as a whole folder.
    pub(super) async fn watch(mut self, every: Duration, cancel: CancellationToken) {
        if self.0.is_empty() {
            return;
        }
        while pause(every, &cancel).await {
            self.0.iter_mut().for_each(Watched::look);
        }
    }
}

impl Watched {
    fn look(&mut self) {
        let key = self.secret.key();
        let done = self.secret.read().map_err(|error| error.to_string()).and_then(|secret| {
            let now = fingerprint(&secret);
            if self.seen == Some(now) {
                return Ok(());
            }
            hand_over(&self.holder, secret, key)?;
            self.seen = Some(now);
            Ok(())
        });
        match done {
            Ok(()) => self.told = None,
            Err(problem) if self.told.as_ref() == Some(&problem) => {}
            Err(problem) => {
                tracing::error!(key, "the secret on disk cannot be used, the old one stays in use: {problem}");
                self.told = Some(problem);
            }
        }
    }
}

fn hand_over(holder: &Holder, secret: SecretString, key: &str) -> Result<(), String> {
    match holder {
        Holder::Telegram(client) => client.replace_token(secret).map_err(|error| error.to_string())?,
        Holder::Argocd(client) => client.set_token(secret),
        Holder::Github(client) => client.set_token(secret).map_err(|error| error.to_string())?,
        Holder::Restart => {
            tracing::warn!(key, "the secret has changed; restart the service to use it");
            return Ok(());
        }
    }
    tracing::info!(key, "the secret has changed and is in use");
    Ok(())
}

fn fingerprint(secret: &SecretString) -> Sha256Hash {
    Sha256Hash::of(secret.expose_secret().as_bytes())
}
