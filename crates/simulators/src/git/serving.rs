//! The small HTTP server under every simulator here, and the faults it can commit.
//!
//! Connections are served by hyper directly, because a simulator must be able to do what a framework prevents: carry a
//! request out and then cut the connection without a single byte of answer, as a crashing proxy does.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tower::ServiceExt;

/// One thing that goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is carried out; this HTTP status is the answer.
    Status(u16),
    /// Nothing is carried out and no answer ever comes; the connection stays open.
    Hang,
    /// The request is really carried out; then the connection is cut before the first byte of the answer.
    LoseAnswer,
    /// The request is really carried out; the answer breaks off in the middle of its body.
    Truncate,
    /// Refused for want of the right to write, as a host does for a read-only credential or an archived repository.
    ReadOnly,
}

/// A running server; dropping it cuts every connection and frees the port.
#[derive(Debug)]
pub(crate) struct Serving {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Serving {
    /// Serves `router` until dropped, on a listener that is already bound: answers may contain the server's address.
    pub(crate) fn start(listener: TcpListener, router: Router) -> io::Result<Serving> {
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, router));
        Ok(Serving { address, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The connections live in a JoinSet inside the task, so they end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(stream, router.clone())); }
                // Out of file descriptors, for example: others must get a chance to close theirs.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    // Small answers must leave at once; a failure to say so costs speed only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            match response.extensions().get::<CutConnection>() {
                Some(CutConnection) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok::<Response, io::Error>(response),
            }
        }
    });
    // An error here is the peer going away or a fault that was asked for; neither is worth a word.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Marks a response that must never be sent: the connection is cut instead.
#[derive(Clone, Copy)]
struct CutConnection;

/// Carries `run` out the way `fault` says. `refuse` turns a status into the server's own kind of error body.
pub(crate) async fn with_fault(
    fault: Option<Fault>,
    refuse: impl FnOnce(u16) -> Response,
    run: impl Future<Output = Response>,
) -> Response {
    match fault {
        None => run.await,
        Some(Fault::Status(status)) => refuse(status),
        Some(Fault::ReadOnly) => refuse(403),
        Some(Fault::Hang) => match std::future::pending::<Infallible>().await {},
        Some(Fault::LoseAnswer) => {
            // Reading the answer to its end is what makes sure that the work behind it is done.
            let _ = run.await.into_body().collect().await;
            let mut cut = Response::new(Body::empty());
            cut.extensions_mut().insert(CutConnection);
            cut
        }
        Some(Fault::Truncate) => truncated(run.await).await,
    }
}

/// The same answer with the second half of its body missing and the connection cut there.
async fn truncated(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let whole = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Response::from_parts(parts, Body::empty()),
    };
    let half = whole.slice(..whole.len() / 2);
    let pieces = [Ok(half), Err(io::Error::from(io::ErrorKind::UnexpectedEof))];
    Response::from_parts(parts, Body::from_stream(flushed_before_breaking(stream::iter(pieces))))
}

/// The same pieces, with a pause before an error: without one, hyper drops what it has not written yet, and the peer
/// would never see the pieces before the break.
pub(crate) fn flushed_before_breaking(pieces: impl Stream<Item = io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    pieces.then(|piece| async {
        if piece.is_err() {
            tokio::task::yield_now().await;
        }
        piece
    })
}

/// Faults waiting for their request, and how often each endpoint was called.
#[derive(Debug)]
pub(crate) struct Ledger<E> {
    inner: Mutex<LedgerInner<E>>,
}

#[derive(Debug)]
struct LedgerInner<E> {
    faults: Vec<Planned<E>>,
    counts: BTreeMap<E, usize>,
}

#[derive(Debug)]
struct Planned<E> {
    endpoints: Vec<E>,
    fault: Fault,
    times: usize,
}

impl<E: Copy + Ord> Ledger<E> {
    pub(crate) fn new() -> Ledger<E> {
        let inner = LedgerInner {
            faults: Vec::new(),
            counts: BTreeMap::new(),
        };
        Ledger { inner: Mutex::new(inner) }
    }

    /// Plans `fault` for the next `times` requests to any of `endpoints`.
    pub(crate) fn plan(&self, endpoints: &[E], fault: Fault, times: usize) {
        if times > 0 {
            let endpoints = endpoints.to_vec();
            self.lock().faults.push(Planned { endpoints, fault, times });
        }
    }

    /// Counts a request and takes the first fault planned for it.
    pub(crate) fn arrive(&self, endpoint: E) -> Option<Fault> {
        let mut inner = self.lock();
        *inner.counts.entry(endpoint).or_default() += 1;
        let index = inner.faults.iter().position(|planned| planned.endpoints.contains(&endpoint))?;
        let planned = &mut inner.faults[index];
        let fault = planned.fault;
        planned.times -= 1;
        if planned.times == 0 {
            inner.faults.remove(index);
        }
        Some(fault)
    }

    pub(crate) fn counts(&self) -> BTreeMap<E, usize> {
        self.lock().counts.clone()
    }

    pub(crate) fn reset_counts(&self) {
        self.lock().counts.clear();
    }

    pub(crate) fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    fn lock(&self) -> MutexGuard<'_, LedgerInner<E>> {
        // The data are plain counters: a panic elsewhere cannot leave them half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
