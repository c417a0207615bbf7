//! The running service: every room opened in order, started, and stopped again in less than five seconds.

mod background;
mod connect;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use engine::{Clock, CrashPoints, Engine, EngineOptions, Running};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use store::{ServeLock, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Settings;

pub(crate) use connect::{argocd_client, check_tls, github_client, telegram_client};

/// How long workers may finish what is under way after the stop signal.
const WORKERS_STOP: Duration = Duration::from_millis(3500);
/// How long the last commit and closing the file may take.
const STORE_STOP: Duration = Duration::from_secs(1);

/// What tests put in place of the world.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Where `now` comes from.
    pub clock: Clock,
    /// Where the process may be ended.
    pub crash: CrashPoints,
    /// How long health must hold before it is believed; only tests and demonstrations are in a hurry.
    pub patience: argocd::verdict::Patience,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            crash: CrashPoints::default(),
            patience: argocd::verdict::Patience::default(),
        }
    }
}

/// A running service. Dropping it stops nothing in order: call [`Service::stop`].
pub struct Service {
    engine: Engine,
    running: Running,
    tasks: TaskTracker,
    cancel: CancellationToken,
    api: SocketAddr,
    metrics: SocketAddr,
    store: Store,
    _lock: ServeLock,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("api", &self.api)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Opens everything and starts.
    ///
    /// A first clone is waited for up to `limits.start_seconds`; callers who come meanwhile wait in line. Git remotes, Telegram, Argo CD and GitHub may be away: they are tried again in
    /// the background, and `/readyz` tells.
    ///
    /// # Errors
    /// What cannot be used, and what to do: another `serve` on the database, an invalid policy, an unreadable secret, an address in use.
    pub async fn start(settings: Settings, hooks: Hooks) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics_text = recorder().context("the metrics recorder cannot be installed")?;
        if let Some(problem) = settings.check_files().first() {
            anyhow::bail!("{problem}");
        }
        // First what only one can have: a second start on the same database or port ends here, before anything is written, asked or cloned.
        let lock = folder_of(&settings.database).and_then(|()| Ok(Store::lock(&settings.database)?))?;
        let api = listen("server.bind", settings.server.bind).await?;
        let metrics = listen("server.metrics_bind", settings.server.metrics_bind).await?;
        let (api_addr, metrics_addr) = (api.local_addr()?, metrics.local_addr()?);
        if let Some(tls) = &settings.server.tls {
            check_tls(tls).await?;
        }
        let store = Store::open(&settings.database, StoreOptions::default()).await?;
        let book = load_book(&settings)?;
        let cancel = CancellationToken::new();
        let telegram = match &settings.telegram {
            Some(telegram) => Some(connect::telegram(telegram, &settings.limits).await?),
            None => None,
        };
        let opened = join_all(settings.repositories.iter().map(|one| connect::repository(one, &settings.limits))).await;
        let repositories = opened.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let argocd = settings
            .argocd
            .iter()
            .map(|one| connect::argocd(one, &hooks.patience, &cancel))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut watched = background::Secrets::default();
        watched.add_all(&settings, telegram.as_ref(), &argocd, &repositories);
        if settings.policy.code_key.is_none() && book.policy.asks_codes() {
            tracing::error!(
                "the policy takes codes and there is no key behind them, so nothing can be approved there: write a file with `openssl rand -hex 32`, and name it as policy.code_key_file"
            );
        }
        let client = telegram.as_ref().map(|telegram| telegram.queue.client().clone());
        let engine = Engine::new(EngineOptions {
            store: store.clone(),
            repositories,
            telegram,
            argocd,
            book,
            limits: settings.limits.engine(),
            codes: settings.policy.code_source(),
            clock: hooks.clock,
            crash: hooks.crash,
        });
        let webhook = settings.telegram.as_ref().and_then(|telegram| telegram.webhook.clone());
        let running = engine.start(webhook.is_none(), cancel.clone()).await?;

        let tasks = TaskTracker::new();
        let options = api::ServerOptions {
            connections: settings.limits.connections,
            header_timeout: Duration::from_secs(settings.limits.header_seconds),
            idle_timeout: Duration::from_secs(settings.limits.idle_seconds),
            drain_timeout: Duration::from_secs(settings.limits.drain_seconds),
            tls: settings.server.tls.clone(),
            ..api::ServerOptions::default()
        };
        tasks.spawn(background::reported(
            "the HTTP server",
            api::serve(api, api::router(engine.clone(), settings.limits.api()), options, cancel.clone()),
        ));
        let render = metrics_text.clone();
        tasks.spawn(background::reported(
            "the metrics server",
            api::serve_metrics(metrics, move || render.render(), cancel.clone()),
        ));
        tasks.spawn(background::metrics_upkeep(metrics_text, cancel.clone()));
        tasks.spawn(background::retention(engine.clone(), settings.limits.contents_days, cancel.clone()));
        tasks.spawn(watched.watch(Duration::from_secs(settings.limits.secrets_seconds), cancel.clone()));
        if let Some(client) = client {
            tasks.spawn(background::receiving_mode(client, webhook, cancel.clone()));
        }
        tracing::info!(api = %api_addr, metrics = %metrics_addr, "countersign is running");
        Ok(Self {
            engine,
            running,
            tasks,
            cancel,
            api: api_addr,
            metrics: metrics_addr,
            store,
            _lock: lock,
        })
    }

    /// Where agents call.
    pub const fn api_addr(&self) -> SocketAddr {
        self.api
    }

    /// Where Prometheus reads.
    pub const fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// The use cases.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes nothing new, lets what is under way finish, and closes the database. Less than five seconds; what is cut off is owed
    /// in the database and goes on at the next start.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        let tasks = tokio::time::timeout(WORKERS_STOP, self.tasks.wait());
        let (ended, ()) = tokio::join!(tasks, self.running.stop(WORKERS_STOP));
        if ended.is_err() {
            tracing::warn!("some connections were cut off");
        }
        if tokio::time::timeout(STORE_STOP, self.store.close()).await.is_err() {
            tracing::warn!("the database was not closed in time; nothing that was acknowledged is lost");
        }
        tracing::info!("countersign has stopped");
    }
}

fn load_book(settings: &Settings) -> anyhow::Result<engine::Book> {
    settings.book().map_err(|problems| {
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        anyhow::anyhow!("the policy or a runbook is not valid:\n{text}")
    })
}

fn folder_of(path: &std::path::Path) -> anyhow::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        None => Ok(()),
        Some(parent) => std::fs::create_dir_all(parent)
            .with_context(|| format!("the folder {} cannot be made; make it, or correct database.path", parent.display())),
    }
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: cannot listen on {address}; is another program there, or the port a privileged one?"))
}

/// The process's metrics. There is one recorder a process, so that a second service in it (a test's) shares it.
fn recorder() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = metrics_exporter_prometheus::PrometheusBuilder::new()
        .set_buckets(&[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
        ])?
        .install_recorder()?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}
