//! The client: base URL, repository, token and deadline in, pull requests out.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use octocrab::{Octocrab, service::middleware::retry::RetryConfig};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Error, NewPull, Polled, Pull, PullState,
    error::sorted,
    wire::{Comment, Create, List, Update, WirePull, WireUser},
};

/// Longest title that GitHub takes, in characters.
pub const TITLE_CHARS_MAX: usize = 256;

/// Longest body that GitHub takes, in characters.
pub const BODY_CHARS_MAX: usize = 65_536;

/// The version of the API that this crate was written against.
const API_VERSION: &str = "2022-11-28";

/// The right that changing a pull request needs, in the words of fine-grained tokens.
const WRITE: &str = "pull_requests=write";

/// The right that reading a pull request needs.
const READ: &str = "pull_requests=read";

/// How to reach one repository.
#[derive(Clone)]
pub struct GitHubOptions {
    /// `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise server.
    pub base_url: String,
    /// Login of the owner.
    pub owner: String,
    /// Name of the repository, without the owner.
    pub repo: String,
    /// Personal access token or installation token with the right `pull_requests=write` on this repository.
    pub token: SecretString,
    /// Deadline of one call as a whole.
    pub timeout: Duration,
}

/// Options that cannot work; the message names the option and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOptions(String);

/// One repository on GitHub.
#[derive(Clone)]
pub struct GitHub {
    /// Exchanged as a whole with the token.
    octocrab: Arc<RwLock<Octocrab>>,
    /// The token in use: blotted out of what servers say.
    token: Arc<RwLock<SecretString>>,
    base_url: String,
    owner: String,
    repo: String,
    timeout: Duration,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub")
            .field("base_url", &self.base_url)
            .field("owner", &self.owner)
            .field("repo", &self.repo)
            .finish_non_exhaustive()
    }
}

impl GitHub {
    /// Builds the client; connects to nothing. Must be called within a tokio runtime.
    pub fn new(options: GitHubOptions) -> Result<GitHub, InvalidOptions> {
        let GitHubOptions {
            base_url,
            owner,
            repo,
            token,
            timeout,
        } = options;
        for (option, value) in [("owner", &owner), ("repo", &repo)] {
            let plain = value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
            if value.is_empty() || !plain || value.starts_with('.') {
                return Err(InvalidOptions(format!(
                    "{option} {value:?} is no GitHub name; give owner and repository separately, without URL"
                )));
            }
        }
        let plain = url::Url::parse(&base_url).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.password().is_none()
        });
        if plain.is_none() {
            // The URL is not quoted: whatever is wrong with it may be a password in it.
            let message = "base_url must be an http(s) URL without user and password, for example https://api.github.com";
            return Err(InvalidOptions(message.to_owned()));
        }
        Ok(GitHub {
            octocrab: Arc::new(RwLock::new(connected(&base_url, token.clone(), timeout)?)),
            token: Arc::new(RwLock::new(token)),
            base_url,
            owner,
            repo,
            timeout,
        })
    }

    /// Replaces the token, in all clones: calls from now on use it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When no client can be built with it; the old token stays in use.
    pub fn set_token(&self, token: SecretString) -> Result<(), InvalidOptions> {
        let fresh = connected(&self.base_url, token.clone(), self.timeout)?;
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        *self.octocrab.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn octocrab(&self) -> Octocrab {
        self.octocrab.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Login that the token belongs to.
    pub async fn whoami(&self) -> Result<String, Error> {
        let octocrab = self.octocrab();
        let call = octocrab.get::<WireUser, _, ()>("/user", None);
        Ok(self.sorted(call, "the token's user", "to read its own user").await?.login)
    }

    /// The pull request of a head branch of this repository, in whatever state: the open one, else the newest.
    pub async fn find_pull(&self, head_branch: &str) -> Result<Option<Pull>, Error> {
        let head = format!("{}:{head_branch}", self.owner);
        let query = List {
            head: &head,
            state: "all",
            per_page: 100,
        };
        let found: Vec<WirePull> = self
            .sorted(self.octocrab().get(self.pulls(), Some(&query)), &self.repository(), READ)
            .await?;
        // A filter that GitHub does not understand is ignored by it, so everything is looked at again here.
        let ours = found.into_iter().filter(|pull| self.is_head(pull, head_branch));
        let newest_open_first = ours.max_by_key(|pull| (pull.state == "open", pull.number));
        match newest_open_first.map(Pull::from) {
            // Lists do not say who merged.
            Some(pull) if matches!(pull.state, PullState::Merged { .. }) => self.get(pull.number).await.map(Some),
            other => Ok(other),
        }
    }

    /// Opens a pull request, unless the head branch has one already: then that one is the answer, in whatever state,
    /// so that neither a lost answer nor a human's close is followed by a second one.
    pub async fn open_pull(&self, new: &NewPull) -> Result<Pull, Error> {
        if let Some(pull) = self.find_pull(&new.head).await? {
            return Ok(pull);
        }
        let body = Create {
            title: &new.title,
            head: &new.head,
            base: &new.base,
            body: &new.body,
            maintainer_can_modify: false,
        };
        let octocrab = self.octocrab();
        let created = octocrab.post::<_, WirePull>(self.pulls(), Some(&body));
        match self.sorted(created, &self.repository(), WRITE).await {
            Ok(pull) => Ok(pull.into()),
            // Refused, perhaps because a lost request had arrived after all: the list decides, not the words.
            Err(Error::Rejected { status: 422, message }) => match self.find_pull(&new.head).await? {
                Some(pull) => Ok(pull),
                None if message.contains("already exists") => Err(Error::Unavailable {
                    detail: format!("{message}, but it is not in the list yet"),
                }),
                None => Err(Error::Rejected { status: 422, message }),
            },
            Err(error) => Err(error),
        }
    }

    /// The pull request now, or the word that nothing has changed since `etag`.
    pub async fn poll_pull(&self, number: u64, etag: Option<&str>) -> Result<Polled, Error> {
        let what = self.pull_request(number);
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let call = async {
            let response = self.octocrab()._get_with_headers(self.pull_path(number), Some(headers)).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            let response = octocrab::map_github_error(response).await?;
            let etag = response
                .headers()
                .get(header::ETAG)
                .and_then(|etag| Some(etag.to_str().ok()?.to_owned()));
            Ok(Some((self.octocrab().body_to_string(response).await?, etag)))
        };
        let Some((text, etag)) = self.sorted(call, &what, READ).await? else {
            return Ok(Polled::NotModified);
        };
        let pull: WirePull = serde_json::from_str(&text).map_err(|error| Error::Unavailable {
            detail: format!("the answer about {what} cannot be read: {error}"),
        })?;
        Ok(Polled::Changed { pull: pull.into(), etag })
    }

    /// Replaces the body.
    pub async fn update_body(&self, number: u64, body: &str) -> Result<Pull, Error> {
        self.update(
            number,
            &Update {
                body: Some(body),
                ..Update::default()
            },
        )
        .await
    }

    /// Closes without merging. One that has ended already stays as it is, and is the answer.
    pub async fn close_pull(&self, number: u64) -> Result<Pull, Error> {
        self.update(
            number,
            &Update {
                state: Some("closed"),
                ..Update::default()
            },
        )
        .await
    }

    /// Writes a comment, in Markdown, below a pull request.
    pub async fn comment(&self, number: u64, body: &str) -> Result<(), Error> {
        let octocrab = self.octocrab();
        let path = format!("/repos/{}/{}/issues/{number}/comments", self.owner, self.repo);
        let comment = Comment { body };
        let call = octocrab.post::<_, serde_json::Value>(path, Some(&comment));
        self.sorted(call, &self.pull_request(number), WRITE).await.map(drop)
    }

    async fn get(&self, number: u64) -> Result<Pull, Error> {
        let octocrab = self.octocrab();
        let call = octocrab.get::<WirePull, _, ()>(self.pull_path(number), None);
        Ok(self.sorted(call, &self.pull_request(number), READ).await?.into())
    }

    async fn update(&self, number: u64, change: &Update<'_>) -> Result<Pull, Error> {
        let octocrab = self.octocrab();
        let call = octocrab.patch::<WirePull, _, _>(self.pull_path(number), Some(change));
        Ok(self.sorted(call, &self.pull_request(number), WRITE).await?.into())
    }

    /// One call within the deadline, its errors sorted.
    async fn sorted<T>(&self, call: impl Future<Output = octocrab::Result<T>>, what: &str, right: &str) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            // Some gateways put the request, headers and all, into what they answer.
            Ok(answer) => answer.map_err(|error| {
                let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
                sorted(error, what, right).without(token.expose_secret())
            }),
            Err(_) => Err(Error::Unavailable {
                detail: format!("no answer within {:?}", self.timeout),
            }),
        }
    }

    /// Whether the head is this branch of this repository, not of a fork that uses the same name.
    fn is_head(&self, pull: &WirePull, branch: &str) -> bool {
        let ours = format!("{}/{}", self.owner, self.repo);
        let same = pull
            .head
            .repo
            .as_ref()
            .is_none_or(|repo| repo.full_name.eq_ignore_ascii_case(&ours));
        same && pull.head.branch == branch
    }

    fn pulls(&self) -> String {
        format!("/repos/{}/{}/pulls", self.owner, self.repo)
    }

    fn pull_path(&self, number: u64) -> String {
        format!("{}/{number}", self.pulls())
    }

    fn repository(&self) -> String {
        format!("repository {}/{}", self.owner, self.repo)
    }

    fn pull_request(&self, number: u64) -> String {
        format!("pull request #{number} of {}/{}", self.owner, self.repo)
    }
}

fn connected(base_url: &str, token: SecretString, timeout: Duration) -> Result<Octocrab, InvalidOptions> {
    Octocrab::builder()
        .base_uri(base_url)
        .map_err(|_| InvalidOptions("base_url is no URL".to_owned()))?
        .personal_token(token)
        // The outbox retries, with its own patience; a blind retry here would hide what happened.
        .add_retry_config(RetryConfig::None)
        .add_header(HeaderName::from_static("x-github-api-version"), API_VERSION.to_owned())
        .set_connect_timeout(Some(timeout))
        .set_read_timeout(Some(timeout))
        .set_write_timeout(Some(timeout))
        .build()
        .map_err(|error| InvalidOptions(format!("the GitHub client cannot be built: {error}")))
}
