//! From settings to clients: each opened once, with errors that name the key.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine::{ArgocdSetup, RepositorySetup, TelegramSetup};
use tokio_util::sync::CancellationToken;

use crate::settings::{ArgocdSettings, GithubSettings, Limits, RepositorySettings, TelegramSettings};

/// One ordinary call to Telegram.
const TELEGRAM_CALL: Duration = Duration::from_secs(15);
/// Sending a document.
const TELEGRAM_UPLOAD: Duration = Duration::from_secs(60);
/// One call to GitHub.
const GITHUB_CALL: Duration = Duration::from_secs(20);
/// Pause between two attempts during the start.
const AGAIN: Duration = Duration::from_secs(2);

/// A client for the bot. Nothing is sent.
pub(crate) fn telegram_client(settings: &TelegramSettings) -> anyhow::Result<telegram::Client> {
    let options = telegram::ClientOptions {
        token: settings.token.read()?,
        api_url: settings.api_url.clone(),
        timeout: TELEGRAM_CALL,
        upload_timeout: TELEGRAM_UPLOAD,
    };
    telegram::Client::new(options).with_context(|| settings.token.key().to_owned())
}

/// A client for an Argo CD instance. Nothing is sent.
pub(crate) fn argocd_client(settings: &ArgocdSettings) -> anyhow::Result<argocd::client::Client> {
    let mut options = argocd::client::ClientOptions::new(settings.url.clone(), settings.token.read()?);
    options.insecure_skip_verify = settings.insecure_skip_verify;
    if let Some(path) = &settings.ca_file {
        options.extra_ca = Some(std::fs::read(path).with_context(|| format!("ca_file {} cannot be read", path.display()))?);
    }
    Ok(argocd::client::Client::new(options)?)
}

/// A client for one GitHub repository. Nothing is sent.
pub(crate) fn github_client(settings: &GithubSettings) -> anyhow::Result<github::GitHub> {
    Ok(github::GitHub::new(github::GitHubOptions {
        base_url: settings.api_url.clone(),
        owner: settings.owner.clone(),
        repo: settings.repo.clone(),
        token: settings.token.read()?,
        timeout: GITHUB_CALL,
    })?)
}

/// Loads the certificate files once, the way the server will: serving that is over before it begins.
pub(crate) async fn check_tls(tls: &api::TlsFiles) -> anyhow::Result<()> {
    let over = CancellationToken::new();
    over.cancel();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let options = api::ServerOptions {
        tls: Some(tls.clone()),
        ..api::ServerOptions::default()
    };
    api::serve(listener, axum::Router::new(), options, over).await.context("server.tls")
}

/// Telegram for the engine. In webhook mode the bot's name is needed to tell its commands apart, so that the start waits for it.
pub(super) async fn telegram(settings: &TelegramSettings, limits: &Limits) -> anyhow::Result<TelegramSetup> {
    let client = telegram_client(settings)?;
    let webhook = match &settings.webhook {
        None => None,
        Some(webhook) => {
            let name = bot_name(&client, Duration::from_secs(limits.start_seconds)).await?;
            let hook = telegram::Webhook::new(webhook.secret.read()?, name);
            Some(hook.with_context(|| format!("{} is not 1 to 256 of A-Z a-z 0-9 _ -", webhook.secret.key()))?)
        }
    };
    Ok(TelegramSetup {
        queue: telegram::Queue::new(client, limits.telegram()),
        zone: settings.time_zone,
        webhook,
        hold_seconds: settings.hold_seconds,
    })
}

async fn bot_name(client: &telegram::Client, patience: Duration) -> anyhow::Result<String> {
    let begin = Instant::now();
    loop {
        match client.get_me().await {
            Ok(bot) => return Ok(bot.username),
            Err(error @ telegram::SendError::Unauthorized) => return Err(error).context("telegram.token"),
            Err(error) if begin.elapsed() >= patience => {
                return Err(error).context("webhook mode needs the bot's name from Telegram, which does not answer");
            }
            Err(error) => {
                tracing::warn!(%error, "Telegram does not tell the bot's name yet");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// A repository for the engine. With a usable mirror nothing is asked of the network; otherwise the start waits for the first clone while it
/// goes on well, up to `limits.start_seconds`. What is not usable then is made usable by the engine, and told until it is.
pub(super) async fn repository(settings: &RepositorySettings, limits: &Limits) -> anyhow::Result<RepositorySetup> {
    let git = gitworker::Repository::prepare(settings.git.clone()).await;
    let git = git.with_context(|| format!("repository {}", settings.name))?;
    let opener = git.clone();
    // A task of its own: a clone that takes longer than the start is patient goes on.
    let opening = tokio::spawn(async move { opener.open_mirror().await });
    match tokio::time::timeout(Duration::from_secs(limits.start_seconds), opening).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(repository = %settings.name, %error, "not usable yet; the service starts without it"),
        Ok(Err(error)) => tracing::error!(repository = %settings.name, %error, "the mirror could not be opened; it is tried again"),
        Err(_) => tracing::warn!(repository = %settings.name, "the first clone takes long; the service starts, the clone goes on"),
    }
    let github = settings.github.as_ref().map(github_client).transpose();
    let mut machine_identities = settings.machine_identities.clone();
    machine_identities.push(settings.git.author.email.clone());
    Ok(RepositorySetup {
        name: settings.name.clone(),
        git,
        approvals: settings.approvals.clone(),
        notifications: settings.notifications.clone(),
        default_branch: settings.default_branch,
        argocd: settings.argocd.clone(),
        url_aliases: settings.url_aliases.clone(),
        github: github.with_context(|| format!("github of repository {}", settings.name))?,
        commit_url: settings.commit_url.clone(),
        policy: settings.policy.clone(),
        runbooks: settings.runbooks.clone(),
        machine_identities,
        guarded_paths: settings.guarded_paths.clone(),
        alarm_unexplained: settings.alarm_unexplained,
    })
}

/// Argo CD for the engine. The watch connects in the background.
pub(super) fn argocd(
    settings: &ArgocdSettings,
    patience: &argocd::verdict::Patience,
    cancel: &CancellationToken,
) -> anyhow::Result<ArgocdSetup> {
    let client = argocd_client(settings).with_context(|| format!("argocd {:?}", settings.name))?;
    let options = argocd::watch::WatchOptions {
        projects: settings.projects.clone(),
        relist_every: settings.relist_every,
        ..argocd::watch::WatchOptions::default()
    };
    Ok(ArgocdSetup {
        name: settings.name.clone(),
        watch: argocd::watch::Watch::start(client.clone(), options, cancel.clone()),
        client,
        sync_on_request: settings.sync_on_request,
        deadline: settings.deadline,
        patience: patience.clone(),
    })
}
