//! The client against a GitHub that keeps state over a real repository, and against one-answer servers for the errors.

use std::time::Duration;

use github::{Error, GitHub, GitHubOptions, NewPull, Polled, Pull, PullState};
use simulators::{
    git::{BareRepo, Change},
    github::{Endpoint, Fault, GitHubOptions as SimOptions, GitHubSim, HostedRepo, Limit, MergeMethod, User},
};
use tempfile::TempDir;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

const NAME: &str = "team/gitops";
const BRANCH: &str = "countersign/prp_1";

struct Lab {
    _folder: TempDir,
    repo: BareRepo,
    sim: GitHubSim,
    github: GitHub,
}

async fn lab() -> Lab {
    lab_as("bot-token", "").await
}

async fn lab_as(token: &str, root_path: &str) -> Lab {
    let folder = TempDir::new().unwrap();
    let repo = BareRepo::create(folder.path().join("gitops.git")).unwrap();
    let base = repo.seed(&[("main.tf", "a\n", false)]).unwrap();
    let commit = repo
        .loose_commit(&base, &[Change::write("main.tf", "b\n")], "Change main", "bot")
        .unwrap();
    repo.on(BRANCH).force_push(&commit).unwrap();
    let sim = GitHubSim::start(SimOptions {
        users: vec![User::new("bot", "bot-token"), User::reader("guest", "guest-token")],
        repositories: vec![HostedRepo::new("team", "gitops", &repo)],
        root_path: root_path.to_owned(),
        ..SimOptions::default()
    })
    .await
    .unwrap();
    let github = client(&sim.url(), token, Duration::from_secs(60));
    Lab {
        _folder: folder,
        repo,
        sim,
        github,
    }
}

fn client(base_url: &str, token: &str, timeout: Duration) -> GitHub {
    // Whoever comes second finds the provider installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    GitHub::new(options(base_url, "team", "gitops", token, timeout)).unwrap()
}

fn options(base_url: &str, owner: &str, repo: &str, token: &str, timeout: Duration) -> GitHubOptions {
    GitHubOptions {
        base_url: base_url.into(),
        owner: owner.into(),
        repo: repo.into(),
        token: token.to_owned().into(),
        timeout,
    }
}

fn new_pull() -> NewPull {
    NewPull {
        head: BRANCH.into(),
        base: "main".into(),
        title: "Change main".into(),
        body: "Proposal-Id: prp_1".into(),
    }
}

impl Lab {
    async fn polled(&self, etag: Option<&str>) -> (Pull, Option<String>) {
        match self.github.poll_pull(1, etag).await.unwrap() {
            Polled::Changed { pull, etag } => (pull, etag),
            Polled::NotModified => panic!("something has changed"),
        }
    }

    fn violations(&self) {
        assert_eq!(self.sim.spec_violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn opened_watched_and_merged_by_a_human() {
    for prefix in ["", "/api/v3"] {
        let lab = lab_as("bot-token", prefix).await;
        assert_eq!(lab.github.whoami().await.unwrap(), "bot");
        assert_eq!(lab.github.find_pull(BRANCH).await.unwrap(), None);
        let pull = lab.github.open_pull(&new_pull()).await.unwrap();
        assert_eq!(
            (pull.number, &pull.state, &*pull.html_url),
            (1, &PullState::Open, "https://github.com/team/gitops/pull/1")
        );
        assert_eq!(Some(pull.head_sha.clone()), lab.repo.on(BRANCH).tip());
        let (_, etag) = lab.polled(None).await;
        assert_eq!(lab.github.poll_pull(1, etag.as_deref()).await.unwrap(), Polled::NotModified);
        assert_eq!(lab.github.update_body(1, "new words").await.unwrap(), pull);
        assert_eq!(lab.sim.pull(NAME, 1)["body"], "new words");
        let commit = lab.sim.merge(NAME, 1, MergeMethod::Squash, "alice").unwrap();
        let (merged, _) = lab.polled(etag.as_deref()).await;
        let PullState::Merged {
            merge_commit, merged_by, ..
        } = &merged.state
        else {
            panic!("{merged:?}")
        };
        assert_eq!((merge_commit.as_deref(), merged_by.as_deref()), (Some(&*commit), Some("alice")));
        assert_eq!(lab.github.find_pull(BRANCH).await.unwrap(), Some(merged.clone()));
        assert_eq!(lab.github.close_pull(1).await.unwrap(), merged, "too late to close");
        assert_eq!(lab.sim.count(Endpoint::Merge), 0, "the client never merges");
        lab.violations();
    }
}

#[tokio::test]
async fn never_a_second_pull_request() {
    // A lost answer, then the same effect again.
    let lab = lab().await;
    lab.sim.fail_next(Endpoint::CreatePull, Fault::LoseAnswer, 1);
    let lost = lab.github.open_pull(&new_pull()).await.unwrap_err();
    assert!(matches!(lost, Error::Unavailable { .. }) && lost.is_retryable(), "{lost:?}");
    assert_eq!(lab.github.open_pull(&new_pull()).await.unwrap().number, 1);
    // Closed by a human: it stays closed, and stays the answer.
    lab.sim.close(NAME, 1, "alice").unwrap();
    assert_eq!(lab.github.open_pull(&new_pull()).await.unwrap().state, PullState::Closed);
    assert_eq!((lab.sim.pulls(NAME).len(), lab.sim.count(Endpoint::CreatePull)), (1, 1));
    // Other people's pull requests from other branches are not ours.
    lab.repo.on("feature").force_push(&lab.repo.on(BRANCH).tip().unwrap()).unwrap();
    let other = lab
        .github
        .open_pull(&NewPull {
            head: "feature".into(),
            ..new_pull()
        })
        .await
        .unwrap();
    assert_eq!((other.number, lab.github.find_pull(BRANCH).await.unwrap().unwrap().number), (2, 1));
    lab.violations();
}

#[tokio::test]
async fn already_exists_is_looked_up_again() {
    // The list lags: empty at first, then it has the pull request that the server speaks of.
    let server = MockServer::start().await;
    let pull = serde_json::json!({
        "number": 7, "html_url": "https://github.com/team/gitops/pull/7", "state": "open", "merge_commit_sha": "trial",
        "head": {"ref": BRANCH, "sha": "abc", "repo": {"full_name": "Team/GitOps"}},
    });
    let fork = serde_json::json!({
        "number": 9, "html_url": "", "state": "open", "head": {"ref": BRANCH, "sha": "evil", "repo": {"full_name": "evil/gitops"}},
    });
    let exists = serde_json::json!({
        "message": "Validation Failed", "errors": [{"message": "A pull request already exists for team:countersign/prp_1."}],
    });
    let list = |items: serde_json::Value| ResponseTemplate::new(200).set_body_json(items);
    Mock::given(method("GET"))
        .respond_with(list(serde_json::json!([fork])))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(list(serde_json::json!([fork, pull])))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(list(serde_json::json!([])))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(422).set_body_json(exists))
        .mount(&server)
        .await;
    let github = client(&server.uri(), "bot-token", Duration::from_secs(60));
    let found = github.open_pull(&new_pull()).await.unwrap();
    assert_eq!((found.number, found.state), (7, PullState::Open));
    let still_lagging = github.open_pull(&new_pull()).await.unwrap_err();
    assert!(still_lagging.is_retryable(), "{still_lagging:?}");
}

#[tokio::test]
async fn what_the_state_of_the_world_refuses() {
    let lab = lab().await;
    let missing = lab
        .github
        .open_pull(&NewPull {
            head: "none".into(),
            ..new_pull()
        })
        .await
        .unwrap_err();
    assert_eq!(
        missing.to_string(),
        "GitHub rejects the request (422): Validation Failed: head is invalid"
    );
    let long = lab
        .github
        .open_pull(&NewPull {
            body: "x".repeat(github::BODY_CHARS_MAX + 1),
            ..new_pull()
        })
        .await
        .unwrap_err();
    assert!(
        long.to_string().contains("body is too long (maximum is 65536 characters)"),
        "{long}"
    );
    let unknown = lab.github.poll_pull(5, None).await.unwrap_err();
    assert_eq!(
        unknown,
        Error::NotFound {
            what: "pull request #5 of team/gitops".into()
        }
    );
    let guest = client(&lab.sim.url(), "guest-token", Duration::from_secs(60));
    let forbidden = guest.open_pull(&new_pull()).await.unwrap_err();
    assert!(
        matches!(&forbidden, Error::Forbidden { right, .. } if right == "the right pull_requests=write"),
        "{forbidden:?}"
    );
    let stranger = client(&lab.sim.url(), "canary-token", Duration::from_secs(60));
    let unauthorized = stranger.whoami().await.unwrap_err();
    assert!(matches!(unauthorized, Error::Unauthorized { .. }));
    assert!(!format!("{stranger:?} {unauthorized:?} {unauthorized}").contains("canary"));
    lab.sim.limit_next(
        Endpoint::GetPull,
        Limit::Primary {
            reset_in: Duration::from_secs(600),
        },
        1,
    );
    assert!(matches!(lab.github.poll_pull(1, None).await, Err(Error::RateLimited { .. })));
    lab.violations();
}

#[tokio::test]
async fn every_bad_answer_has_its_error() {
    type Headers = &'static [(&'static str, &'static str)];
    let date: (&str, &str) = ("date", "Sun, 22 Nov 2026 12:00:00 GMT");
    let json = r#"{"message":"words"}"#;
    let cases: [(u16, Headers, &str, &str); 15] = [
        (
            401,
            &[],
            json,
            "GitHub does not accept the token (401): words; create a new one and replace it in the configuration",
        ),
        (
            403,
            &[],
            json,
            "GitHub refuses the call (403): words; the token needs the right pull_requests=read",
        ),
        (
            403,
            &[("x-accepted-oauth-scopes", "repo")],
            json,
            "GitHub refuses the call (403): words; the token needs the right repo",
        ),
        (
            403,
            &[("x-github-sso", "required")],
            json,
            "GitHub refuses the call (403): words; the token needs to be authorised for the organisation's single sign-on",
        ),
        (
            403,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795348800")],
            json,
            "GitHub refuses further requests until 2026-11-22 12:00:00 UTC: rate limit",
        ),
        (
            403,
            &[("retry-after", "30")],
            json,
            "GitHub refuses further requests until 2026-11-22 12:00:30 UTC: rate limit",
        ),
        (
            403,
            &[],
            r#"{"message":"You have exceeded a secondary rate limit."}"#,
            "GitHub refuses further requests until 2026-11-22 12:01:00 UTC: rate limit",
        ),
        (
            429,
            &[],
            json,
            "GitHub refuses further requests until 2026-11-22 12:01:00 UTC: rate limit",
        ),
        (
            404,
            &[],
            json,
            "GitHub does not know pull request #1 of team/gitops (404); check owner, name and number, and that the token may see the repository",
        ),
        (410, &[], json, "GitHub rejects the request (410): words"),
        (
            422,
            &[],
            r#"{"message":"no","errors":["plain"]}"#,
            "GitHub rejects the request (422): no: plain",
        ),
        (
            500,
            &[],
            "<html>",
            "GitHub cannot be reached or failed by itself: status 500: <html>; it will be tried again",
        ),
        (
            503,
            &[],
            "",
            "GitHub cannot be reached or failed by itself: status 503: Service Unavailable; it will be tried again",
        ),
        (
            200,
            &[],
            "<html>",
            "GitHub cannot be reached or failed by itself: the answer about pull request #1 of team/gitops cannot be read",
        ),
        (
            200,
            &[],
            r#"{"number":1}"#,
            "GitHub cannot be reached or failed by itself: the answer about pull request #1 of team/gitops cannot be read",
        ),
    ];
    for (status, headers, body, expected) in cases {
        let server = MockServer::start().await;
        let mut answer = ResponseTemplate::new(status).set_body_string(body).insert_header(date.0, date.1);
        for (name, value) in headers {
            answer = answer.insert_header(*name, *value);
        }
        Mock::given(method("GET")).respond_with(answer).expect(1).mount(&server).await;
        let error = client(&server.uri(), "bot-token", Duration::from_secs(60))
            .poll_pull(1, None)
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with(expected), "{status}: {error}");
        let retryable = status == 429 || status >= 500 || status == 200 || expected.contains("rate limit");
        assert_eq!(error.is_retryable(), retryable, "{error}");
    }
}

#[tokio::test]
async fn a_silent_or_broken_server_is_unavailable_in_time() {
    let lab = lab().await;
    lab.github.open_pull(&new_pull()).await.unwrap();
    lab.sim.fail_next(Endpoint::GetPull, Fault::Hang, 1);
    let hasty = client(&lab.sim.url(), "bot-token", Duration::from_millis(300));
    assert!(matches!(hasty.poll_pull(1, None).await, Err(Error::Unavailable { .. })));
    for fault in [Fault::Truncate, Fault::LoseAnswer, Fault::Status(502)] {
        lab.sim.fail_next(Endpoint::GetPull, fault, 1);
        let error = lab.github.poll_pull(1, None).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{fault:?}: {error:?}");
    }
    let nobody = client("http://127.0.0.1:1", "bot-token", Duration::from_secs(60));
    assert!(matches!(nobody.whoami().await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let good = "https://api.github.com";
    for (base_url, owner, repo, words) in [
        ("api.github.com", "team", "gitops", "base_url must be"),
        ("ftp://api.github.com", "team", "gitops", "base_url must be"),
        ("https://bot:canary@ghe.example.com/api/v3", "team", "gitops", "base_url must be"),
        (good, "team/gitops", "gitops", "owner \"team/gitops\" is no GitHub name"),
        (good, "team", "", "repo \"\" is no GitHub name"),
        (good, "team", "..", "repo \"..\" is no GitHub name"),
    ] {
        let error = GitHub::new(options(base_url, owner, repo, "canary", Duration::from_secs(1))).unwrap_err();
        assert!(
            error.to_string().starts_with(words) && !error.to_string().contains("canary"),
            "{error}"
        );
    }
    assert!(GitHub::new(options(good, "team", "gitops", "t", Duration::from_secs(1))).is_ok());
}

#[tokio::test]
async fn a_replaced_token_is_used_by_every_clone() {
    let lab = lab_as("canary-token", "").await;
    let clone = lab.github.clone();
    assert!(clone.whoami().await.is_err(), "the control: GitHub does not know the old one");
    lab.github.set_token("guest-token".to_owned().into()).unwrap();
    assert_eq!(clone.whoami().await.unwrap(), "guest");
    assert!(!format!("{clone:?}").contains("guest-token"));
}

#[tokio::test]
async fn a_gateway_that_quotes_the_request_does_not_make_us_tell_the_token() {
    let server = MockServer::start().await;
    let token = "ghp_canarycanarycanary";
    let github = client(&server.uri(), token, Duration::from_secs(20));
    for status in [400, 401, 403, 422, 500] {
        let answer = ResponseTemplate::new(status).set_body_json(serde_json::json!({
            "message": format!("refused: Authorization: Bearer {token}"),
            "errors": [{ "message": format!("header {token}") }],
        }));
        let mock = Mock::given(method("GET")).respond_with(answer).mount_as_scoped(&server).await;
        let error = github.find_pull(BRANCH).await.expect_err("refused");
        let said = format!("{error} {error:?}");
        assert!(said.contains("***") && !said.contains("canary"), "{status}: {said}");
        drop(mock);
    }
    let fresh = "ghp_freshcanaryfreshcanary";
    github.set_token(fresh.to_owned().into()).unwrap();
    let answer = ResponseTemplate::new(403).set_body_json(serde_json::json!({ "message": format!("Bearer {fresh}") }));
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    let said = format!("{:?}", github.find_pull(BRANCH).await);
    assert!(!said.contains("canary"), "{said}");
}
