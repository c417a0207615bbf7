//! A smart-HTTP git remote over real bare repositories, for tests and for the demo.
//!
//! Git itself serves the protocol (through `git http-backend`), so hooks, ref locks and refusals are the real
//! ones. Around it stand what a git host adds: basic authentication, a log of requests, and the ways a network fails.
//! [`BareRepo`] is also usable alone, as a remote by file path.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

mod cgi;
pub(crate) mod repo;
pub(crate) mod serving;

#[cfg(test)]
mod tests;

pub use repo::{BareRepo, Change, CommitInfo, DEFAULT_BRANCH, TreeEntry};
pub use serving::Fault;

use serving::{Ledger, Serving, with_fault};

/// Largest request body in bytes: a push of a whole seeded repository fits, a runaway client does not.
const BODY_LIMIT: usize = 512 * 1024 * 1024;

/// How to start a [`GitRemote`].
#[derive(Clone)]
pub struct GitOptions {
    /// Folder that holds (or will hold) the bare repositories.
    pub root: PathBuf,
    /// Address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// User and password that every request must carry as basic authentication; `None` admits everybody.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for GitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        f.debug_struct("GitOptions")
            .field("root", &self.root)
            .field("bind", &self.bind)
            .field("user", &user)
            .finish()
    }
}

/// What a request to the remote is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GitEndpoint {
    /// `GET info/refs?service=git-upload-pack`: the first step of a fetch or `ls-remote`.
    FetchRefs,
    /// `POST git-upload-pack`: the negotiation and the pack of a fetch.
    UploadPack,
    /// `GET info/refs?service=git-receive-pack`: the first step of a push.
    PushRefs,
    /// `POST git-receive-pack`: the push itself.
    ReceivePack,
    /// Anything else, for example the files of the dumb protocol.
    Other,
}

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRequest {
    /// What it was for.
    pub endpoint: GitEndpoint,
    /// HTTP method.
    pub method: String,
    /// Path and query, as requested.
    pub target: String,
    /// User named by basic authentication, if any.
    pub user: Option<String>,
    /// Status of the answer; `None` when a fault kept the answer back.
    pub status: Option<u16>,
}

/// A running git server; dropping it stops it and leaves the repositories on disk.
#[derive(Debug)]
pub struct GitRemote {
    serving: Serving,
    inner: Arc<Inner>,
}

struct Inner {
    options: GitOptions,
    ledger: Ledger<GitEndpoint>,
    log: Mutex<Vec<GitRequest>>,
    read_only: AtomicBool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("options", &self.options).finish_non_exhaustive()
    }
}

impl GitRemote {
    /// Binds and serves. Fails when the address is taken or the folder cannot be made.
    pub async fn start(options: GitOptions) -> io::Result<GitRemote> {
        std::fs::create_dir_all(&options.root)?;
        let listener = TcpListener::bind(options.bind).await?;
        let inner = Arc::new(Inner {
            options,
            ledger: Ledger::new(),
            log: Mutex::new(Vec::new()),
            read_only: AtomicBool::new(false),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let serving = Serving::start(listener, router)?;
        Ok(GitRemote { serving, inner })
    }

    /// Address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// URL under which a repository of this name is served; it carries no credentials.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{}.git", self.address(), name.trim_end_matches(".git"))
    }

    /// Creates an empty bare repository. The name may hold folders: `team/gitops`.
    pub fn create(&self, name: &str) -> io::Result<BareRepo> {
        let name = name.trim_end_matches(".git");
        let path = self.inner.options.root.join(format!("{name}.git"));
        BareRepo::create_at(path, self.url(name))
    }

    /// The next request that the fault can concern commits it: [`Fault::LoseAnswer`] waits for the push itself,
    /// [`Fault::ReadOnly`] for either step of a push, the others take whatever comes.
    pub fn fail_next(&self, fault: Fault) {
        use GitEndpoint::{FetchRefs, Other, PushRefs, ReceivePack, UploadPack};
        let endpoints: &[GitEndpoint] = match fault {
            Fault::LoseAnswer => &[ReceivePack],
            Fault::ReadOnly => &[PushRefs, ReceivePack],
            Fault::Status(_) | Fault::Hang | Fault::Truncate => &[FetchRefs, UploadPack, PushRefs, ReceivePack, Other],
        };
        self.inner.ledger.plan(endpoints, fault, 1);
    }

    /// The next `times` requests to one endpoint commit the fault.
    pub fn fail_next_at(&self, endpoint: GitEndpoint, fault: Fault, times: usize) {
        self.inner.ledger.plan(&[endpoint], fault, times);
    }

    /// Forgets every planned fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.inner.ledger.clear_faults();
    }

    /// Refuses pushes with 403, as for a read-only credential, until switched off again.
    pub fn set_read_only(&self, read_only: bool) {
        self.inner.read_only.store(read_only, Ordering::SeqCst);
    }

    /// Every request so far, in the order in which they were answered.
    pub fn requests(&self) -> Vec<GitRequest> {
        self.inner.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests of one kind have arrived, whether answered or not.
    pub fn count(&self, endpoint: GitEndpoint) -> usize {
        self.inner.ledger.counts().get(&endpoint).copied().unwrap_or(0)
    }

    /// Forgets the requests so far.
    pub fn reset_requests(&self) {
        self.inner.ledger.reset_counts();
        self.inner.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let endpoint = endpoint(&request);
    let fault = inner.ledger.arrive(endpoint);
    let mut entry = GitRequest {
        endpoint,
        method: request.method().to_string(),
        target: request.uri().to_string(),
        user: basic(request.headers()).map(|(user, _)| user),
        status: None,
    };
    let pushing = matches!(endpoint, GitEndpoint::PushRefs | GitEndpoint::ReceivePack);
    let run = async {
        if !admitted(&inner.options, request.headers()) {
            let challenge = (header::WWW_AUTHENTICATE, "Basic realm=\"git\"");
            return (StatusCode::UNAUTHORIZED, [challenge], "Authentication required\n").into_response();
        }
        if pushing && inner.read_only.load(Ordering::SeqCst) {
            return refusal(403);
        }
        // In a task of its own: a pusher that goes away does not stop a real git host half-way.
        let served = tokio::spawn(serve(Arc::clone(&inner), request));
        served.await.unwrap_or_else(|_| refusal(500))
    };
    let lost = matches!(fault, Some(Fault::LoseAnswer));
    let response = with_fault(fault, refusal, run).await;
    entry.status = (!lost).then(|| response.status().as_u16());
    inner.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    response
}

async fn serve(inner: Arc<Inner>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return refusal(413);
    };
    let user = basic(&parts.headers).map_or_else(|| "anonymous".to_owned(), |(user, _)| user);
    let request = cgi::CgiRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        user,
    };
    match cgi::http_backend(&inner.options.root, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "the git remote could not serve a request; is git installed with http-backend?");
            refusal(500)
        }
    }
}

fn endpoint(request: &Request) -> GitEndpoint {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    match (request.method(), path.rsplit('/').next().unwrap_or_default()) {
        (&Method::GET, "refs") if query.contains("service=git-receive-pack") => GitEndpoint::PushRefs,
        (&Method::GET, "refs") if query.contains("service=git-upload-pack") => GitEndpoint::FetchRefs,
        (&Method::POST, "git-receive-pack") => GitEndpoint::ReceivePack,
        (&Method::POST, "git-upload-pack") => GitEndpoint::UploadPack,
        _ => GitEndpoint::Other,
    }
}

fn admitted(options: &GitOptions, headers: &HeaderMap) -> bool {
    let Some((user, password)) = &options.credentials else {
        return true;
    };
    basic(headers).is_some_and(|(given_user, given_password)| {
        let same = given_user.as_bytes().ct_eq(user.as_bytes()) & given_password.as_bytes().ct_eq(password.as_bytes());
        same.into()
    })
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// An answer of the host itself, before git is asked.
fn refusal(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = match status {
        StatusCode::FORBIDDEN => "Write access to repository not granted.\n".to_owned(),
        other => format!("{other}\n"),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
