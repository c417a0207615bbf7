//! Smart HTTP: pre-emptive log-in, no redirects, bounded answers, total deadlines.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use domain::CommitId;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;

use super::{garbled, pushed, within};
use crate::protocol::{self, Advert, Garbled, Report, Update};
use crate::{GitError, RepositoryOptions};

/// What the server speaks, learnt from its first answer.
const UNKNOWN: u8 = 0;
const VERSION_0: u8 = 1;
const VERSION_2: u8 = 2;

const IDLE: Duration = Duration::from_secs(45);

pub(crate) struct Http {
    options: RepositoryOptions,
    client: Client,
    base: String,
    version: AtomicU8,
    /// Whether the server's advertisement for pushes was seen: once is enough to refuse SHA-256.
    push_advert_seen: AtomicBool,
}

impl Http {
    pub(crate) fn new(options: &RepositoryOptions, url: &url::Url) -> Result<Self, GitError> {
        // Hosts tell git from browsers by the agent's beginning.
        let mut builder = Client::builder()
            .user_agent(concat!("git/2.0 (countersign ", env!("CARGO_PKG_VERSION"), ")"))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.deadlines.connect)
            // Shorter than hosts keep an idle connection: a push must not meet one that is just being closed.
            .pool_idle_timeout(IDLE);
        if let Some(path) = &options.extra_ca {
            let unusable = |problem: String| GitError::Config(format!("the certificate file {} {problem}", path.display()));
            let pem = std::fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(format!("is not PEM: {error}")))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder
            .build()
            .map_err(|error| GitError::Config(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(Self {
            options: options.clone(),
            client,
            base: url.as_str().trim_end_matches('/').to_owned(),
            version: AtomicU8::new(UNKNOWN),
            push_advert_seen: AtomicBool::new(false),
        })
    }

    /// One request once the server is known to speak protocol 2, else one or two.
    pub(crate) async fn tip(&self, reference: &str) -> Result<Option<CommitId>, GitError> {
        within(&self.options, "asking for the tip", self.options.deadlines.request, async {
            if self.version.load(Ordering::Relaxed) != VERSION_2 {
                let advert = self.advert("git-upload-pack", reference).await?;
                self.version
                    .store(if advert.version2 { VERSION_2 } else { VERSION_0 }, Ordering::Relaxed);
                if !advert.version2 {
                    return Ok(advert.reference);
                }
            }
            let request = self
                .post("git-upload-pack")
                .header("Git-Protocol", "version=2")
                .body(protocol::ls_refs(reference));
            let body = self.fetch(request, protocol::REPORT_MAX).await?;
            protocol::read_ls_refs(&mut &body[..], reference)
                .await
                .map_err(|what| self.garbled(what))
        })
        .await
    }

    /// One request: the old id is known, so no advertisement is needed first (but once per process).
    pub(crate) async fn send(&self, update: &Update) -> Result<Report, GitError> {
        pushed(&self.options, async |begin| {
            if !self.push_advert_seen.load(Ordering::Relaxed) {
                self.advert("git-receive-pack", &update.reference).await?;
            }
            begin.now();
            let mut body = update.command();
            body.extend_from_slice(&update.pack);
            let response = self.answer(self.post("git-receive-pack").body(body)).await?;
            self.report(response, &update.reference).await
        })
        .await
    }

    /// The report on a push. Once it says in full that the ref was moved, nobody waits for what the server still does: its hooks may take
    /// their time, and the ref is read back in any case. The rest is read aside, so that the hooks can finish and the connection stays usable.
    async fn report(&self, mut response: Response, reference: &str) -> Result<Report, GitError> {
        let mut answer = Vec::new();
        while self.more(&mut response, &mut answer, protocol::REPORT_MAX).await? {
            let Some(report) = protocol::read_accepted(&answer, reference).await else {
                continue;
            };
            let deadline = self.options.deadlines.push;
            tokio::spawn(tokio::time::timeout(deadline, async move {
                while let Ok(Some(_)) = response.chunk().await {}
            }));
            return Ok(report);
        }
        protocol::read_report(&mut &answer[..], reference)
            .await
            .map_err(|what| self.garbled(what))
    }

    pub(crate) async fn can_push(&self) -> Result<(), GitError> {
        let ask = self.advert("git-receive-pack", "");
        within(&self.options, "asking for the right to push", self.options.deadlines.request, ask)
            .await
            .map(drop)
    }

    async fn advert(&self, service: &str, reference: &str) -> Result<Advert, GitError> {
        let mut request = self.client.get(format!("{}/info/refs?service={service}", self.base));
        if service == "git-upload-pack" {
            request = request.header("Git-Protocol", "version=2");
        }
        let body = self.fetch(request, protocol::ADVERT_MAX).await?;
        let advert = protocol::read_advert(&mut &body[..], reference)
            .await
            .map_err(|what| self.garbled(what))?;
        if service == "git-receive-pack" {
            self.push_advert_seen.store(true, Ordering::Relaxed);
        }
        Ok(advert)
    }

    fn post(&self, service: &str) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        for (name, kind) in [(CONTENT_TYPE, "request"), (ACCEPT, "result")] {
            if let Ok(value) = HeaderValue::from_str(&format!("application/x-{service}-{kind}")) {
                headers.insert(name, value);
            }
        }
        self.client.post(format!("{}/{service}", self.base)).headers(headers)
    }

    /// Sends a request with the credentials and reads an answer of at most `limit` bytes.
    async fn fetch(&self, request: RequestBuilder, limit: u64) -> Result<Vec<u8>, GitError> {
        let (mut response, mut body) = (self.answer(request).await?, Vec::new());
        while self.more(&mut response, &mut body, limit).await? {}
        Ok(body)
    }

    /// Sends a request with the credentials; the answer, if it is one.
    async fn answer(&self, request: RequestBuilder) -> Result<Response, GitError> {
        let request = match self.options.credentials.authorization()? {
            None => request,
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose_secret())
                    .map_err(|_| GitError::Config("the git credentials hold a character that no HTTP header can carry".to_owned()))?;
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.check(response.status(), response.url().path().ends_with("/git-receive-pack"))?;
        Ok(response)
    }

    /// Reads on in an answer of at most `limit` bytes; false at its end.
    async fn more(&self, response: &mut Response, body: &mut Vec<u8>, limit: u64) -> Result<bool, GitError> {
        let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? else {
            return Ok(false);
        };
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(GitError::Protocol {
                remote: self.remote(),
                detail: format!("it is longer than {limit} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
        Ok(true)
    }

    /// A push that the server turned away (4xx) was not executed: that is a refusal, not a doubt.
    fn check(&self, status: StatusCode, pushing: bool) -> Result<(), GitError> {
        let remote = self.remote();
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(GitError::Denied {
                remote,
                detail: format!("HTTP {status}"),
            }),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(GitError::Unreachable {
                remote,
                detail: format!("HTTP {status}"),
            }),
            status if pushing && status.is_client_error() => Err(GitError::Denied {
                remote,
                detail: format!("HTTP {status}"),
            }),
            status if status.is_server_error() => Err(GitError::Unreachable {
                remote,
                detail: format!("HTTP {status}"),
            }),
            status if status.is_redirection() => Err(GitError::Protocol {
                remote,
                detail: format!("HTTP {status}: redirects are not followed, configure the final URL"),
            }),
            status => Err(GitError::Protocol {
                remote,
                detail: format!("HTTP {status}"),
            }),
        }
    }

    /// The innermost cause, without the URL that reqwest would add.
    fn unreachable(&self, error: &reqwest::Error) -> GitError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let (remote, detail) = (self.remote(), plain(cause.to_string()));
        let pushing = error.url().is_some_and(|url| url.path().ends_with("/git-receive-pack"));
        if pushing && error.is_connect() {
            return GitError::NotSent { remote, detail };
        }
        GitError::Unreachable { remote, detail }
    }

    fn garbled(&self, what: Garbled) -> GitError {
        garbled(&self.options, what)
    }

    fn remote(&self) -> String {
        self.options.url.to_string()
    }
}

/// What rustls tells only in its own terms, in words that lead to the cure.
fn plain(said: String) -> String {
    if said.contains("CaUsedAsEndEntity") {
        "its certificate is an authority's own and cannot stand for a server: give the server one with basicConstraints CA:FALSE".to_owned()
    } else if said.contains("UnknownIssuer") {
        "its certificate is of an authority that is not known (extra_ca_file names one of your own)".to_owned()
    } else if said.contains("certificate") {
        format!("{said} (extra_ca_file names an authority of your own)")
    } else {
        said
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(plain(unknown.to_string()).starts_with("its certificate is of an authority that is not known"));
        let own = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))".to_owned();
        assert!(plain(own).contains("CA:FALSE"));
        assert_eq!(plain("connection refused".to_owned()), "connection refused");
    }
}
