//! Our own accept loop. `axum::serve` sets no timers and no caps: a client that sends nothing would hold its socket for ever.
//!
//! Every connection is watched from outside: while no request is under way it has a deadline, whatever it sends meanwhile (nothing, half
//! a header, HTTP/2 pings). hyper's own timers see only what its state machine has reached; its detection of HTTP/2, for one, has none.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::tls::{Certificates, TlsError, TlsFiles};

mod activity;
mod unreadable;

use activity::{Activity, Connections};
use unreadable::Worded;

/// Largest head of an HTTP/1 request and largest header list of an HTTP/2 one, in bytes: a token, a key, a few preferences.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Connections at once. Beyond it the one that has been idle longest makes room.
    pub connections: usize,
    /// How long a new connection may take until its first request's head is complete, TLS included.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request under way, or without taking its answer.
    pub idle_timeout: Duration,
    /// How long requests under way may take after the stop signal.
    pub drain_timeout: Duration,
    /// Certificate files; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// How often the certificate files are looked at, at most.
    pub tls_check: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(4),
            tls: None,
            tls_check: Duration::from_secs(10),
        }
    }
}

/// In every request's extensions: tells long waits that the service is being stopped.
#[derive(Debug, Clone)]
pub struct Draining(CancellationToken);

impl Draining {
    /// Ends when the service is being stopped.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}

/// Serves until cancelled; then lets requests under way end within the drain time and drops what is left.
///
/// # Errors
/// When the certificate files cannot be used at the start.
pub async fn serve(listener: TcpListener, router: Router, options: ServerOptions, cancel: CancellationToken) -> Result<(), TlsError> {
    let certificates = options
        .tls
        .clone()
        .map(|files| Certificates::load(files, options.tls_check))
        .transpose()?
        .map(Arc::new);
    let slots = Arc::new(Semaphore::new(options.connections));
    let connections = Connections::default();
    let abandon = CancellationToken::new();
    let tracker = TaskTracker::new();
    while let Some((stream, _)) = accept(&listener, &cancel).await {
        let permit = match Arc::clone(&slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                connections.evict_longest_idle();
                let acquired = tokio::select! {
                    () = cancel.cancelled() => break,
                    acquired = Arc::clone(&slots).acquire_owned() => acquired,
                };
                // The semaphore is ours and never closed; if it were, serving would be over.
                let Ok(permit) = acquired else { break };
                permit
            }
        };
        let one = Arc::new(Connection {
            router: router.clone(),
            options: options.clone(),
            activity: connections.register(),
            cancel: cancel.clone(),
        });
        let certificates = certificates.clone();
        let abandon = abandon.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = one.run(stream, certificates) => {}
                () = abandon.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(options.drain_timeout, tracker.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time and were dropped");
        abandon.cancel();
        tracker.wait().await;
    }
    Ok(())
}

/// Serves `GET /metrics` with the text that `render` makes, until cancelled.
///
/// # Errors
/// None at present; the type is that of [`serve`].
pub async fn serve_metrics(
    listener: TcpListener,
    render: impl Fn() -> String + Clone + Send + Sync + 'static,
    cancel: CancellationToken,
) -> Result<(), TlsError> {
    let text = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render()) };
    let router = Router::new().route("/metrics", axum::routing::get(text));
    let options = ServerOptions {
        connections: 32,
        ..ServerOptions::default()
    };
    serve(listener, router, options, cancel).await
}

/// The next connection; nothing once cancelled. Running out of file descriptors is waited out: connections end by themselves.
async fn accept(listener: &TcpListener, cancel: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted: io::Result<_> = tokio::select! {
            biased;
            () = cancel.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections at the moment");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// One connection and how it is treated.
struct Connection {
    router: Router,
    options: ServerOptions,
    activity: Activity,
    cancel: CancellationToken,
}

impl Connection {
    async fn run(self: Arc<Self>, stream: TcpStream, certificates: Option<Arc<Certificates>>) {
        // Answers are small and complete: waiting to fill a packet only costs time. A socket that refuses the option is dead anyway.
        let _ = stream.set_nodelay(true);
        let watch = self.activity.watch();
        let idle = watch.idle(self.options.header_timeout, self.options.idle_timeout);
        let serving = async {
            match certificates {
                None => Arc::clone(&self).http(stream).await,
                Some(certificates) => match certificates.acceptor().accept(stream).await {
                    Ok(stream) => Arc::clone(&self).http(stream).await,
                    Err(error) => tracing::debug!(%error, "no TLS with this client"),
                },
            }
        };
        tokio::select! {
            () = serving => {}
            () = idle => tracing::debug!("a silent connection was closed"),
        }
    }

    async fn http(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let one = Arc::clone(&self);
        let service = service_fn(move |request| Arc::clone(&one).answer(request));
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(Worded::new(stream, self.activity.watch())), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let _under_way = self.activity.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Draining(self.cancel.clone()));
        self.router.clone().oneshot(request).await
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // The first head has its own deadline (see `run`). Here it counts from the answer before, so a shorter one would end a kept connection.
            .header_read_timeout(self.options.idle_timeout.max(self.options.header_timeout))
            .max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(self.options.header_timeout);
        builder
    }
}

#[cfg(test)]
mod tests;
