//! The remote is driven with the git command line, as any user's tool would.

use std::{path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use super::*;

struct Host {
    folder: TempDir,
    remote: GitRemote,
    repo: BareRepo,
}

async fn host(credentials: Option<(&str, &str)>) -> Host {
    let folder = TempDir::new().unwrap();
    let remote = GitRemote::start(GitOptions {
        root: folder.path().join("remotes"),
        bind: "127.0.0.1:0".parse().unwrap(),
        credentials: credentials.map(|(user, password)| (user.to_owned(), password.to_owned())),
    })
    .await
    .unwrap();
    let repo = remote.create("team/gitops").unwrap();
    repo.seed(&[("apps/web.yaml", "replicas: 1\n", false), ("run.sh", "#!/bin/sh\n", true)])
        .unwrap();
    Host { folder, remote, repo }
}

/// Runs git; the answer is (succeeded, stderr).
async fn git(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=alice",
            "-c",
            "user.email=alice@example.com",
            "-c",
            "credential.helper=",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(60), output).await.expect("git ends").unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Host {
    /// A clone with one commit that is ready to be pushed.
    async fn clone_with_commit(&self) -> std::path::PathBuf {
        let clone = self.folder.path().join("clone");
        let (done, said) = git(self.folder.path(), &["clone", "-q", &self.repo.url, "clone"]).await;
        assert!(done, "{said}");
        std::fs::write(clone.join("apps/web.yaml"), "replicas: 2\n").unwrap();
        assert!(git(&clone, &["commit", "-qam", "Scale"]).await.0);
        self.remote.reset_requests();
        clone
    }
}

#[tokio::test]
async fn a_push_arrives_and_is_counted() {
    let host = host(None).await;
    let clone = host.clone_with_commit().await;
    let (done, said) = git(&clone, &["push", "-q"]).await;
    assert!(done, "{said}");
    assert_eq!(host.repo.read("apps/web.yaml").unwrap(), b"replicas: 2\n");
    assert_eq!(host.repo.log(1)[0].author, "alice <alice@example.com>");
    assert_eq!(host.repo.tree_entry("run.sh").unwrap().mode, 0o100_755);
    assert_eq!(
        (
            host.remote.count(GitEndpoint::PushRefs),
            host.remote.count(GitEndpoint::ReceivePack)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn hooks_refuse_and_their_words_reach_the_pusher() {
    let host = host(None).await;
    let clone = host.clone_with_commit().await;
    let tip = host.repo.tip();
    host.repo
        .install_hook("pre-receive", "#!/bin/sh\necho 'no deploys on fridays' >&2\nexit 1\n")
        .unwrap();
    let (done, said) = git(&clone, &["push"]).await;
    assert!(!done && said.contains("no deploys on fridays"), "{said}");
    assert_eq!(host.repo.tip(), tip);
}

#[tokio::test]
async fn basic_authentication_is_demanded() {
    let host = host(Some(("bot", "s3cret"))).await;
    let (done, _) = git(host.folder.path(), &["ls-remote", &host.repo.url]).await;
    assert!(!done);
    let answer = reqwest::get(format!("{}/info/refs?service=git-upload-pack", host.repo.url))
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"git\"");
    let with_password = host.repo.url.replace("http://", "http://bot:s3cret@");
    let (done, said) = git(host.folder.path(), &["ls-remote", &with_password]).await;
    assert!(done, "{said}");
    assert!(!format!("{:?}", host.remote).contains("s3cret"));
}

#[tokio::test]
async fn a_lost_answer_leaves_the_push_done() {
    let host = host(None).await;
    let clone = host.clone_with_commit().await;
    host.remote.fail_next(Fault::LoseAnswer);
    let (done, _) = git(&clone, &["push"]).await;
    assert!(!done, "the pusher must not hear of its success");
    assert_eq!(host.repo.read("apps/web.yaml").unwrap(), b"replicas: 2\n");
    let (done, said) = git(&clone, &["push"]).await;
    assert!(done && said.contains("up-to-date"), "{said}");
}

#[tokio::test]
async fn faults_fail_a_push_once() {
    for (fault, landed) in [(Fault::Status(503), false), (Fault::ReadOnly, false)] {
        let host = host(None).await;
        let clone = host.clone_with_commit().await;
        host.remote.fail_next(fault);
        assert!(!git(&clone, &["push"]).await.0, "{fault:?}");
        assert_eq!(host.repo.read("apps/web.yaml").unwrap() == b"replicas: 2\n", landed, "{fault:?}");
        assert!(git(&clone, &["push"]).await.0, "{fault:?} happens once");
    }
    let host = host(None).await;
    host.remote.fail_next(Fault::Truncate);
    let (done, _) = git(host.folder.path(), &["ls-remote", &host.repo.url]).await;
    assert!(!done, "half a list of refs is no list");
    host.remote.fail_next(Fault::Truncate);
    let half = reqwest::get(format!("{}/info/refs?service=git-upload-pack", host.repo.url))
        .await
        .unwrap();
    assert_eq!(half.status(), 200, "it begins like a good answer");
    assert!(half.bytes().await.is_err());
}

#[tokio::test]
async fn a_hanging_remote_never_answers() {
    let host = host(None).await;
    host.remote.fail_next(Fault::Hang);
    let address = format!("{}/info/refs?service=git-upload-pack", host.repo.url);
    let client = reqwest::Client::builder().timeout(Duration::from_millis(300)).build().unwrap();
    assert!(client.get(&address).send().await.unwrap_err().is_timeout());
    assert_eq!(host.remote.count(GitEndpoint::FetchRefs), 1);
    assert!(reqwest::get(&address).await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_read_only_remote_refuses_pushes_and_serves_fetches() {
    let host = host(None).await;
    let clone = host.clone_with_commit().await;
    host.remote.set_read_only(true);
    let (done, said) = git(&clone, &["push"]).await;
    assert!(!done && said.contains("403"), "{said}");
    assert!(git(&clone, &["fetch"]).await.0);
}

#[test]
fn a_foreign_pusher_needs_no_server() {
    let folder = TempDir::new().unwrap();
    let repo = BareRepo::create(folder.path().join("plain.git")).unwrap();
    assert_eq!(repo.tip(), None);
    let first = repo.seed(&[("a/one.yaml", "1\n", false), ("a/two.yaml", "2\n", false)]).unwrap();
    let changes = [
        Change::write("a/one.yaml", "one\n"),
        Change::delete("a/two.yaml"),
        Change::executable("b.sh", "#!\n"),
    ];
    let second = repo.commit_on_top(&changes, "Rework\n\nProposal-Id: prp_1\n", "bob").unwrap();
    assert_eq!(repo.tip(), Some(second.clone()));
    assert_eq!(repo.log(1)[0].parents, std::slice::from_ref(&first));
    assert_eq!(
        (repo.read("a/two.yaml"), repo.read_at(&first, "a/two.yaml")),
        (None, Some(b"2\n".to_vec()))
    );
    assert!(repo.contains(&second, &first) && !repo.contains(&first, &second));
    assert!(repo.diff(&second).unwrap().contains("-1\n+one\n"));
    repo.on("feature").force_push(&first).unwrap();
    assert_eq!(repo.branches(), ["feature", "main"]);
    repo.force_push(&first).unwrap();
    assert_eq!(repo.tip(), Some(first));
    repo.delete_branch().unwrap();
    assert_eq!((repo.tip(), repo.log(5).len()), (None, 0));
}
