//! `countersign serve`: the service in a process of its own, with logs, signals and word to the service manager.

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::service::{Hooks, Service};
use crate::settings::Settings;

/// Runs the service until SIGTERM or SIGINT. SIGHUP reads policy and runbooks anew.
///
/// # Errors
/// See [`Service::start`].
pub async fn serve(settings: Settings, hooks: Hooks) -> anyhow::Result<()> {
    // A process that has a subscriber already (a test's) keeps it.
    let _ = tracing::subscriber::set_global_default(crate::subscriber(&settings.log, std::io::stderr));
    // In place before anything is opened: a signal during the start must end it in order, too.
    let mut signals = Signals::new().context("signals cannot be listened to")?;
    let service = tokio::select! {
        started = Service::start(settings, hooks) => started?,
        () = ended(&mut signals.terminate, &mut signals.interrupt) => return Ok(()),
    };
    tell(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            () = ended(&mut signals.terminate, &mut signals.interrupt) => break,
            _ = signals.hangup.recv() => reload(&service).await,
        }
    }
    tell(&[NotifyState::Stopping]);
    service.stop().await;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn ended(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
}

async fn reload(service: &Service) {
    match service.engine().follow_files().await {
        Ok(true) => tracing::info!(policy = %service.engine().book().policy.hash().short(), "policy and runbooks were read anew"),
        Ok(false) => tracing::info!("policy and runbooks are unchanged"),
        Err(problems) => {
            let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::error!("the policy or a runbook on disk is not valid; the last valid one stays in force: {text}");
        }
    }
}

/// Best effort: without a service manager nobody listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
