//! GitHub's REST API for pull requests over real bare repositories, for tests and for the demo.
//!
//! Branches, heads and merges are git's own: pushing moves a pull request, merging makes real commits by the human who
//! merges, and pushing a head to its base by hand counts as merging. Answers are complete enough for strict clients;
//! where `COUNTERSIGN_API_SPECS` names a folder with `github-openapi-trimmed.json` they are checked against it
//! ([`GitHubSim::spec_violations`]).

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod calls;
mod documents;
mod http;
mod merge;
mod pulls;

#[cfg(test)]
mod tests;

pub use crate::git::Fault;
pub use merge::MergeMethod;
pub use pulls::HostedRepo;

use crate::{
    argocd::openapi::{ApiSpec, Strictness},
    git::serving::{Ledger, Serving},
};
use documents::Bases;
use http::{Call, Reply};
use pulls::Shelf;

/// Requests per hour that GitHub grants a token.
const HOURLY: u64 = 5000;

/// Somebody with a token.
#[derive(Clone)]
pub struct User {
    /// Login.
    pub login: String,
    /// Bearer token.
    pub token: String,
    /// May open, change and merge pull requests; otherwise only read.
    pub write: bool,
}

impl User {
    /// A user who may write.
    pub fn new(login: &str, token: &str) -> User {
        User {
            login: login.to_owned(),
            token: token.to_owned(),
            write: true,
        }
    }

    /// A user who may only read.
    pub fn reader(login: &str, token: &str) -> User {
        User {
            write: false,
            ..User::new(login, token)
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("login", &self.login)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}

/// How to start a [`GitHubSim`].
#[derive(Clone, Debug)]
pub struct GitHubOptions {
    /// Address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// Who has a token.
    pub users: Vec<User>,
    /// What is hosted.
    pub repositories: Vec<HostedRepo>,
    /// Prefix of every path, `/api/v3` for an Enterprise server.
    pub root_path: String,
    /// Where links for people begin.
    pub html_base: String,
    /// Deletes the head branch after a merge, as many repositories are set up.
    pub delete_branch_on_merge: bool,
}

impl Default for GitHubOptions {
    fn default() -> GitHubOptions {
        GitHubOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            users: Vec::new(),
            repositories: Vec::new(),
            root_path: String::new(),
            html_base: "https://github.com".to_owned(),
            delete_branch_on_merge: false,
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `GET /user`
    User,
    /// `GET /rate_limit`
    RateLimit,
    /// `GET /repos/{owner}/{repo}`
    Repository,
    /// `GET …/branches/{branch}`
    Branch,
    /// `GET …/pulls`
    ListPulls,
    /// `POST …/pulls`
    CreatePull,
    /// `GET …/pulls/{number}`
    GetPull,
    /// `PATCH …/pulls/{number}`
    UpdatePull,
    /// `PUT …/pulls/{number}/merge`
    Merge,
    /// `GET …/pulls/{number}/merge`
    IsMerged,
    /// `POST …/issues/{number}/comments`
    CreateComment,
    /// `GET …/issues/{number}/comments`
    ListComments,
    /// Anything else.
    Other,
}

/// A refusal for too many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// 403 with nothing remaining and the time of the reset.
    Primary {
        /// From now to the reset.
        reset_in: Duration,
    },
    /// 403 with `Retry-After`: too much at once.
    Secondary {
        /// How long to wait.
        retry_after: Duration,
    },
    /// 429 with `Retry-After`.
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
}

/// A running GitHub; dropping it stops the server and leaves the repositories as they are.
pub struct GitHubSim {
    serving: Serving,
    host: Arc<Host>,
}

impl fmt::Debug for GitHubSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubSim").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl GitHubSim {
    /// Binds and serves. Fails when the address is taken.
    pub async fn start(options: GitHubOptions) -> io::Result<GitHubSim> {
        let listener = TcpListener::bind(options.bind).await?;
        let api_base = format!("http://{}{}", listener.local_addr()?, options.root_path.trim_end_matches('/'));
        let shelves = options.repositories.iter().cloned().map(Shelf::new).collect();
        let host = Arc::new(Host {
            options,
            api_base,
            api: ApiSpec::from_environment("github-openapi-trimmed.json", Strictness::AsDescribed),
            ledger: Ledger::new(),
            limits: Mutex::new(Vec::new()),
            used: Mutex::new(0),
            shelves: Mutex::new(shelves),
        });
        let router = Router::new().fallback(http::answer).with_state(Arc::clone(&host));
        let serving = Serving::start(listener, router)?;
        Ok(GitHubSim { serving, host })
    }

    /// Base URL of the API, root path included, without a trailing slash.
    pub fn url(&self) -> String {
        format!(
            "http://{}{}",
            self.serving.address(),
            self.host.options.root_path.trim_end_matches('/')
        )
    }

    /// One pull request as the API shows it; `null` when there is none.
    pub fn pull(&self, full_name: &str, number: u64) -> Value {
        self.on_shelf(full_name, |shelf| match calls::get(&self.host, shelf, number) {
            Reply { status: 200, body, .. } => body,
            _ => Value::Null,
        })
        .unwrap_or_default()
    }

    /// All pull requests of a repository, oldest first, as the API shows them.
    pub fn pulls(&self, full_name: &str) -> Vec<Value> {
        let numbers = self.on_shelf(full_name, |shelf| shelf.pulls.keys().copied().collect::<Vec<u64>>());
        numbers
            .unwrap_or_default()
            .into_iter()
            .map(|number| self.pull(full_name, number))
            .collect()
    }

    /// A human merges: returns the commit that the base branch names afterwards. The error is GitHub's own.
    pub fn merge(&self, full_name: &str, number: u64, method: MergeMethod, login: &str) -> io::Result<String> {
        let word = match method {
            MergeMethod::Merge => "merge",
            MergeMethod::Squash => "squash",
            MergeMethod::Rebase => "rebase",
        };
        let reply = self.act(full_name, login, json!({"merge_method": word}), |host, shelf, call| {
            calls::merge(host, shelf, number, call)
        })?;
        Ok(reply["sha"].as_str().unwrap_or_default().to_owned())
    }

    /// A human closes without merging.
    pub fn close(&self, full_name: &str, number: u64, login: &str) -> io::Result<()> {
        self.act(full_name, login, json!({"state": "closed"}), |host, shelf, call| {
            calls::update(host, shelf, number, call)
        })?;
        Ok(())
    }

    /// A human opens what was closed again.
    pub fn reopen(&self, full_name: &str, number: u64, login: &str) -> io::Result<()> {
        self.act(full_name, login, json!({"state": "open"}), |host, shelf, call| {
            calls::update(host, shelf, number, call)
        })?;
        Ok(())
    }

    /// The comments below a pull request, oldest first.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<String> {
        let texts = |shelf: &mut Shelf| {
            Some(
                shelf
                    .pulls
                    .get(&number)?
                    .comments
                    .iter()
                    .map(|comment| comment.body.clone())
                    .collect(),
            )
        };
        self.on_shelf(full_name, texts).flatten().unwrap_or_default()
    }

    /// A human comments.
    pub fn comment(&self, full_name: &str, number: u64, login: &str, body: &str) -> io::Result<()> {
        self.act(full_name, login, json!({"body": body}), |host, shelf, call| {
            calls::create_comment(host, shelf, number, call)
        })?;
        Ok(())
    }

    /// How often each endpoint was called.
    pub fn requests(&self) -> BTreeMap<Endpoint, usize> {
        self.host.ledger.counts()
    }

    /// How often one endpoint was called.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.requests().get(&endpoint).copied().unwrap_or(0)
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        self.host.ledger.reset_counts();
    }

    /// The next `times` requests to an endpoint commit the fault.
    pub fn fail_next(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.host.ledger.plan(&[endpoint], fault, times);
    }

    /// The next `times` requests to an endpoint are refused as too many.
    pub fn limit_next(&self, endpoint: Endpoint, limit: Limit, times: usize) {
        let mut limits = locked(&self.host.limits);
        limits.extend(std::iter::repeat_n((endpoint, limit), times));
    }

    /// Forgets every planned fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.host.ledger.clear_faults();
        locked(&self.host.limits).clear();
    }

    /// What was found against the published description; empty when there is none to check against.
    pub fn spec_violations(&self) -> Vec<String> {
        self.host.api.as_ref().map(ApiSpec::violations).unwrap_or_default()
    }

    fn on_shelf<R>(&self, full_name: &str, look: impl FnOnce(&mut Shelf) -> R) -> Option<R> {
        let mut shelves = self.host.shelves();
        let shelf = shelves
            .iter_mut()
            .find(|shelf| shelf.repo.full_name().eq_ignore_ascii_case(full_name))?;
        shelf.follow_git();
        Some(look(shelf))
    }

    /// Does what a call would do, as somebody who needs no token.
    fn act(
        &self,
        full_name: &str,
        login: &str,
        body: Value,
        action: impl FnOnce(&Host, &mut Shelf, &Call<'_>) -> Reply,
    ) -> io::Result<Value> {
        let user = User::new(login, "");
        let call = Call {
            user: &user,
            query: BTreeMap::new(),
            body,
        };
        let reply = self.on_shelf(full_name, |shelf| action(&self.host, shelf, &call));
        let reply = reply.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no repository {full_name}")))?;
        match reply.status {
            200..=299 => Ok(reply.body),
            status => Err(io::Error::other(format!(
                "{status}: {}",
                reply.body["message"].as_str().unwrap_or_default()
            ))),
        }
    }
}

/// Everything shared between requests.
pub(crate) struct Host {
    options: GitHubOptions,
    api_base: String,
    api: Option<ApiSpec>,
    ledger: Ledger<Endpoint>,
    limits: Mutex<Vec<(Endpoint, Limit)>>,
    used: Mutex<u64>,
    shelves: Mutex<Vec<Shelf>>,
}

impl Host {
    pub(crate) fn bases(&self) -> Bases {
        Bases {
            html: self.options.html_base.trim_end_matches('/').to_owned(),
            api: self.api_base.clone(),
        }
    }

    pub(crate) fn shelves(&self) -> MutexGuard<'_, Vec<Shelf>> {
        locked(&self.shelves)
    }

    /// Takes the refusal that is planned for this endpoint.
    pub(crate) fn limit(&self, endpoint: Endpoint) -> Option<Reply> {
        let mut limits = locked(&self.limits);
        let index = limits.iter().position(|(planned, _)| *planned == endpoint)?;
        let (_, limit) = limits.remove(index);
        let reset = match limit {
            Limit::Primary { reset_in } => epoch_seconds() + reset_in.as_secs(),
            Limit::Secondary { .. } | Limit::TooMany { .. } => 0,
        };
        Some(limit.reply(reset))
    }

    /// Limit, remaining, and the second of the reset.
    pub(crate) fn quota(&self) -> (u64, u64, u64) {
        let used = *locked(&self.used);
        (HOURLY, HOURLY.saturating_sub(used), epoch_seconds() + 3600)
    }

    /// The headers of every answer; an answer that costs something is counted first.
    pub(crate) fn limit_headers(&self, costs: bool) -> [(&'static str, String); 5] {
        if costs {
            *locked(&self.used) += 1;
        }
        let (limit, remaining, reset) = self.quota();
        [
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-used", (limit - remaining).to_string()),
            ("x-ratelimit-reset", reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ]
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn epoch_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
