//! The simulator is asked over HTTP; branches come and go in the bare repository behind it.

use reqwest::{Client, Method, Response};
use tempfile::TempDir;

use super::*;
use crate::git::{BareRepo, Change};

const NAME: &str = "team/gitops";

struct Lab {
    _folder: TempDir,
    repo: BareRepo,
    sim: GitHubSim,
}

async fn lab() -> Lab {
    let folder = TempDir::new().unwrap();
    let repo = BareRepo::create(folder.path().join("gitops.git")).unwrap();
    let base = repo.seed(&[("main.tf", "a\nb\nc\n", false), ("other.tf", "x\n", false)]).unwrap();
    for branch in ["countersign/one", "countersign/two"] {
        let change = Change::write("main.tf", format!("a\n{branch}\nc\n"));
        let commit = repo
            .loose_commit(&base, &[change], "Change main\n\nProposal-Id: prp_1\n", "bot")
            .unwrap();
        repo.on(branch).force_push(&commit).unwrap();
    }
    let sim = GitHubSim::start(GitHubOptions {
        users: vec![
            User::new("bot", "bot-token"),
            User::new("alice", "alice-token"),
            User::reader("guest", "guest-token"),
        ],
        repositories: vec![HostedRepo::new("team", "gitops", &repo)],
        ..GitHubOptions::default()
    })
    .await
    .unwrap();
    Lab {
        _folder: folder,
        repo,
        sim,
    }
}

impl Lab {
    async fn send(&self, method: Method, path: &str, token: &str, body: Value, tag: Option<&str>) -> Response {
        let client = Client::builder()
            .user_agent("tests")
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        let mut request = client.request(method, format!("{}{path}", self.sim.url()));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let answer = self.send(method, path, token, body, None).await;
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn open(&self, head: &str) -> (u16, Value) {
        let body = json!({"title": "Change main", "head": head, "base": "main", "body": "by the book"});
        self.call(Method::POST, "/repos/team/gitops/pulls", "bot-token", body).await
    }

    fn violations(&self) {
        assert_eq!(self.sim.spec_violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_pull_request_lives_and_is_merged_in_three_ways() {
    for (method, parents, author, trailer) in [
        (MergeMethod::Merge, 2, "alice", false),
        (MergeMethod::Squash, 1, "bot", true),
        (MergeMethod::Rebase, 1, "bot", true),
    ] {
        let lab = lab().await;
        let (status, pull) = lab.open("countersign/one").await;
        assert_eq!(
            (status, &pull["number"], &pull["state"], &pull["mergeable"]),
            (201, &json!(1), &json!("open"), &json!(true))
        );
        assert_eq!(
            (&pull["additions"], &pull["changed_files"], &pull["user"]["login"]),
            (&json!(1), &json!(1), &json!("bot"))
        );
        lab.repo
            .commit_on_top(&[Change::write("other.tf", "y\n")], "Meanwhile", "carol")
            .unwrap();
        let commit = lab.sim.merge(NAME, 1, method, "alice").unwrap();
        assert_eq!(lab.repo.tip(), Some(commit.clone()));
        let tip = &lab.repo.log(1)[0];
        assert_eq!(
            (tip.parents.len(), tip.author.starts_with(author)),
            (parents, true),
            "{method:?} {tip:?}"
        );
        assert_eq!(tip.message.contains("Proposal-Id: prp_1"), trailer, "{method:?}");
        assert_eq!(lab.repo.read("main.tf").unwrap(), b"a\ncountersign/one\nc\n");
        assert_eq!(lab.repo.read("other.tf").unwrap(), b"y\n");
        let (_, pull) = lab.call(Method::GET, "/repos/team/gitops/pulls/1", "bot-token", Value::Null).await;
        assert_eq!(
            (&pull["state"], &pull["merged"], &pull["merged_by"]["login"]),
            (&json!("closed"), &json!(true), &json!("alice"))
        );
        assert_eq!(pull["merge_commit_sha"], json!(commit));
        lab.violations();
    }
}

#[tokio::test]
async fn lists_are_filtered_by_head_and_state() {
    let lab = lab().await;
    lab.open("countersign/one").await;
    lab.open("countersign/two").await;
    lab.sim.close(NAME, 1, "alice").unwrap();
    for (query, expected) in [
        ("", vec![2]),
        ("?state=all", vec![2, 1]),
        ("?state=all&per_page=1&page=2", vec![1]),
        ("?state=all&head=team:countersign/one", vec![1]),
        ("?head=team:countersign/one", vec![]),
        ("?state=all&head=other:countersign/one", vec![]),
        ("?state=all&head=countersign/one", vec![2, 1]),
    ] {
        let (_, pulls) = lab
            .call(Method::GET, &format!("/repos/team/gitops/pulls{query}"), "bot-token", Value::Null)
            .await;
        let numbers: Vec<u64> = pulls
            .as_array()
            .unwrap()
            .iter()
            .map(|pull| pull["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, expected, "{query}");
    }
    lab.violations();
}

#[tokio::test]
async fn refusals_have_githubs_shapes() {
    let lab = lab().await;
    lab.open("countersign/one").await;
    lab.repo.on("same").force_push(&lab.repo.tip().unwrap()).unwrap();
    let pulls = "/repos/team/gitops/pulls";
    let new = |head: &str, base: &str| json!({"title": "t", "head": head, "base": base});
    let long = json!({"title": "t", "head": "countersign/two", "base": "main", "body": "x".repeat(65_537)});
    for (method, path, token, body, status, words) in [
        (Method::GET, "/user", "", Value::Null, 401, "Requires authentication"),
        (Method::GET, "/user", "wrong", Value::Null, 401, "Bad credentials"),
        (Method::GET, "/repos/team/none", "bot-token", Value::Null, 404, "Not Found"),
        (
            Method::GET,
            "/repos/team/gitops/pulls/9",
            "bot-token",
            Value::Null,
            404,
            "Not Found",
        ),
        (
            Method::GET,
            "/repos/team/gitops/branches/none",
            "bot-token",
            Value::Null,
            404,
            "Branch not found",
        ),
        (
            Method::POST,
            pulls,
            "guest-token",
            new("countersign/two", "main"),
            403,
            "Resource not accessible by personal access token",
        ),
        (
            Method::POST,
            pulls,
            "bot-token",
            new("countersign/one", "main"),
            422,
            "A pull request already exists for team:countersign/one.",
        ),
        (Method::POST, pulls, "bot-token", new("none", "main"), 422, "\"field\":\"head\""),
        (
            Method::POST,
            pulls,
            "bot-token",
            new("countersign/two", "none"),
            422,
            "\"field\":\"base\"",
        ),
        (
            Method::POST,
            pulls,
            "bot-token",
            new("same", "main"),
            422,
            "No commits between main and same",
        ),
        (
            Method::POST,
            pulls,
            "bot-token",
            long,
            422,
            "body is too long (maximum is 65536 characters)",
        ),
        (
            Method::PUT,
            "/repos/team/gitops/pulls/1/merge",
            "alice-token",
            json!({"sha": "0"}),
            409,
            "Head branch was modified",
        ),
    ] {
        let (got, answer) = lab.call(method, path, token, body).await;
        assert!(got == status && answer.to_string().contains(words), "{path}: {got} {answer}");
        assert_eq!(answer["status"], json!(status.to_string()));
    }
    lab.violations();
}

#[tokio::test]
async fn an_unchanged_pull_request_costs_nothing() {
    let lab = lab().await;
    lab.open("countersign/one").await;
    let path = "/repos/team/gitops/pulls/1";
    let get = |tag: Option<String>| {
        let lab = &lab;
        async move { lab.send(Method::GET, path, "bot-token", Value::Null, tag.as_deref()).await }
    };
    let first = get(None).await;
    let (tag, left) = (
        first.headers()["etag"].to_str().unwrap().to_owned(),
        first.headers()["x-ratelimit-remaining"].clone(),
    );
    let second = get(Some(tag.clone())).await;
    assert_eq!((second.status().as_u16(), &second.headers()["x-ratelimit-remaining"]), (304, &left));
    lab.sim.comment(NAME, 1, "alice", "why?").unwrap();
    assert_eq!(get(Some(tag)).await.status(), 200);
    lab.violations();
}

#[tokio::test]
async fn conflicts_pushes_by_hand_and_deleted_heads() {
    let lab = lab().await;
    lab.open("countersign/one").await;
    lab.open("countersign/two").await;
    lab.sim.merge(NAME, 1, MergeMethod::Squash, "alice").unwrap();
    let conflict = lab.sim.merge(NAME, 2, MergeMethod::Merge, "alice").unwrap_err();
    assert_eq!(conflict.to_string(), "405: Pull Request is not mergeable");
    assert_eq!(
        (&lab.sim.pull(NAME, 2)["mergeable"], &lab.sim.pull(NAME, 2)["mergeable_state"]),
        (&json!(false), &json!("dirty"))
    );
    lab.repo.on("countersign/two").delete_branch().unwrap();
    assert_eq!(
        (&lab.sim.pull(NAME, 2)["state"], &lab.sim.pull(NAME, 2)["merged"]),
        (&json!("closed"), &json!(false))
    );

    let tip = lab.repo.tip().unwrap();
    let commit = lab
        .repo
        .loose_commit(&tip, &[Change::write("other.tf", "z\n")], "By hand", "bot")
        .unwrap();
    lab.repo.on("countersign/three").force_push(&commit).unwrap();
    lab.open("countersign/three").await;
    lab.repo.force_push(&commit).unwrap();
    let pull = lab.sim.pull(NAME, 3);
    assert_eq!((&pull["merged"], &pull["merge_commit_sha"]), (&json!(true), &json!(commit)));
    assert_eq!(lab.sim.pulls(NAME).len(), 3);
}

#[tokio::test]
async fn limits_and_faults_come_when_planned() {
    let lab = lab().await;
    let wait = Duration::from_secs(30);
    for (limit, status, header) in [
        (Limit::Primary { reset_in: wait }, 403, "x-ratelimit-reset"),
        (Limit::Secondary { retry_after: wait }, 403, "retry-after"),
        (Limit::TooMany { retry_after: wait }, 429, "retry-after"),
    ] {
        lab.sim.limit_next(Endpoint::User, limit, 1);
        let refused = lab.send(Method::GET, "/user", "bot-token", Value::Null, None).await;
        assert!(refused.status() == status && refused.headers().contains_key(header), "{limit:?}");
    }
    let (status, user) = lab.call(Method::GET, "/user", "bot-token", Value::Null).await;
    assert_eq!((status, &user["login"]), (200, &json!("bot")));
    lab.sim.fail_next(Endpoint::CreatePull, Fault::ReadOnly, 1);
    assert_eq!(lab.open("countersign/one").await.0, 403);
    lab.sim.fail_next(Endpoint::CreatePull, Fault::LoseAnswer, 1);
    let body = json!({"title": "t", "head": "countersign/one", "base": "main"});
    let client = Client::builder().user_agent("tests").build().unwrap();
    let lost = client
        .post(format!("{}/repos/team/gitops/pulls", lab.sim.url()))
        .bearer_auth("bot-token")
        .json(&body)
        .send()
        .await;
    assert!(lost.is_err());
    assert_eq!(lab.sim.pulls(NAME).len(), 1, "opened all the same");
    assert!(!format!("{:?} {:?}", lab.sim, lab.sim.host.options).contains("token\""));
    lab.violations();
}

#[tokio::test]
async fn the_other_reads() {
    let lab = lab().await;
    lab.open("countersign/one").await;
    let repo = "/repos/team/gitops";
    let (_, repository) = lab.call(Method::GET, repo, "bot-token", Value::Null).await;
    assert_eq!(repository["default_branch"], "main");
    let (_, branch) = lab
        .call(Method::GET, &format!("{repo}/branches/countersign/one"), "bot-token", Value::Null)
        .await;
    assert_eq!(branch["commit"]["sha"], json!(lab.repo.on("countersign/one").tip()));
    let comment = json!({"body": "hello"});
    let (status, comment) = lab
        .call(Method::POST, &format!("{repo}/issues/1/comments"), "bot-token", comment)
        .await;
    assert_eq!((status, &comment["body"]), (201, &json!("hello")));
    let (_, comments) = lab
        .call(Method::GET, &format!("{repo}/issues/1/comments"), "bot-token", Value::Null)
        .await;
    assert_eq!(comments.as_array().unwrap().len(), 1);
    assert_eq!(
        lab.call(Method::GET, &format!("{repo}/pulls/1/merge"), "bot-token", Value::Null)
            .await
            .0,
        404
    );
    let change = json!({"body": "new words", "state": "closed"});
    let (_, pull) = lab.call(Method::PATCH, &format!("{repo}/pulls/1"), "bot-token", change).await;
    assert_eq!((&pull["body"], &pull["state"]), (&json!("new words"), &json!("closed")));
    assert_eq!(lab.call(Method::GET, "/rate_limit", "bot-token", Value::Null).await.0, 200);
    lab.violations();
}
