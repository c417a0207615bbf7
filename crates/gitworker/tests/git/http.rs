//! Over HTTP: few requests, log-in, and every way in which a server or a network lets one down.

use std::time::{Duration, Instant};

use gitworker::{Credentials, Deadlines, GitError, Located, PushOutcome, Repository, SecretSource};
use simulators::git::{Fault, GitEndpoint};

use crate::support::*;

const SEED: &[(&str, &str)] = &[("README.md", "hello\n"), ("apps/a.yaml", "a: 1\n")];
const SECRET: &str = "canary-5ecret";

fn login(password: &str) -> Credentials {
    Credentials::Basic {
        username: "bot".into(),
        password: SecretSource::Value(password.into()),
    }
}

#[tokio::test]
async fn a_push_is_one_request_and_reading_back_another() {
    let remote = Remote::with(SEED);
    let server = remote.serve(Some(("bot", SECRET))).await;
    let mut options = remote.options_over(&server);
    options.credentials = login(SECRET);
    let repository = Repository::open(options).await.expect("a repository");
    let (_, first) = deliver(&repository, vec![write("README.md", "one\n")], "one").await;
    assert_eq!(first, PushOutcome::Confirmed);
    let (base, change) = change(&repository, vec![write("README.md", "two\n")]).await;
    let built = repository.build(base, &[spec(&change, "two")]).await.expect("a commit");
    server.reset_requests();
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
    let asked: Vec<_> = server
        .requests()
        .into_iter()
        .map(|request| (request.endpoint, request.status))
        .collect();
    assert_eq!(asked, [(GitEndpoint::ReceivePack, Some(200)), (GitEndpoint::UploadPack, Some(200))]);
    assert_eq!(remote.head(), built.tip());
    remote.fsck();
}

#[tokio::test]
async fn nobody_waits_for_the_hooks_that_run_after_a_push() {
    let remote = Remote::with(SEED);
    let (go, done) = (remote.dir.path().join("go"), remote.dir.path().join("done"));
    let script = format!(
        "echo deploying >&2; until [ -e '{}' ]; do sleep 0.05; done; echo deployed >&2; touch '{}'",
        go.display(),
        done.display()
    );
    let server = remote.serve(Some(("bot", SECRET))).await;
    let mut options = remote.options_over(&server);
    options.credentials = login(SECRET);
    // Longer than the test waits.
    options.deadlines.push = Duration::from_secs(600);
    let repository = Repository::open(options).await.expect("a repository");
    remote.hook("post-receive", &script);
    let (base, change) = change(&repository, vec![write("README.md", "one\n")]).await;
    let built = repository.build(base, &[spec(&change, "one")]).await.expect("a commit");
    let pushed = tokio::time::timeout(Duration::from_secs(120), repository.push(&built, base)).await;
    assert_eq!(pushed, Ok(PushOutcome::Confirmed), "while the hook still waits");
    assert!(!done.exists());
    assert_eq!(remote.head(), built.tip());
    // The hook is not cut off: the rest of the answer is read aside.
    std::fs::write(&go, "").expect("a file");
    tokio::time::timeout(Duration::from_secs(120), async {
        while !done.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the hook ended by itself");
    let (_, next) = deliver(&repository, vec![write("README.md", "two\n")], "two").await;
    assert_eq!(next, PushOutcome::Confirmed);
}

#[tokio::test]
async fn what_others_pushed_is_fetched_with_the_log_in() {
    let remote = Remote::with(SEED);
    let server = remote.serve(Some(("bot", SECRET))).await;
    let mut options = remote.options_over(&server);
    let file = remote.dir.path().join("token");
    std::fs::write(&file, format!("{SECRET}\n")).expect("a file");
    options.credentials = Credentials::Basic {
        username: "bot".into(),
        password: SecretSource::file(file.clone()),
    };
    let repository = Repository::open(options).await.expect("a repository");
    let theirs = remote.commit(&[("README.md", "theirs\n")], "theirs");
    assert_eq!(repository.refresh(Duration::ZERO).await.map(|tip| tip.commit), Ok(theirs));
    server.reset_requests();
    repository.refresh(Duration::from_secs(600)).await.expect("a tip");
    assert_eq!(server.requests(), [], "a young tip asks nobody");
    repository.refresh(Duration::ZERO).await.expect("a tip");
    assert_eq!(server.requests().len(), 1, "an unmoved branch costs one question and no fetch");
    // The secret file is read at each use: a rotated one that is wrong is noticed at once.
    std::fs::write(&file, "stale\n").expect("a file");
    assert!(matches!(repository.refresh(Duration::ZERO).await, Err(GitError::Denied { .. })));
}

#[tokio::test]
async fn the_secret_of_a_file_that_vanished_or_was_emptied_stays_in_use() {
    let remote = Remote::with(SEED);
    let server = remote.serve(Some(("bot", SECRET))).await;
    let file = remote.dir.path().join("token");
    let mut options = remote.options_over(&server);
    options.credentials = Credentials::Basic {
        username: "bot".into(),
        password: SecretSource::file(file.clone()),
    };
    // Never read: there is nothing to go on with, and the file is what is named.
    let error = Repository::open(options.clone()).await.expect_err("no secret").to_string();
    assert!(
        error.starts_with(&format!("the secret file {} cannot be read: ", file.display())),
        "{error}"
    );
    std::fs::write(&file, format!("{SECRET}\n")).expect("a file");
    let repository = Repository::open(options).await.expect("a repository");
    std::fs::remove_file(&file).expect("removed");
    let theirs = remote.commit(&[("README.md", "theirs\n")], "theirs");
    assert_eq!(repository.refresh(Duration::ZERO).await.map(|tip| tip.commit), Ok(theirs));
    std::fs::write(&file, "\n").expect("a file");
    assert_eq!(repository.refresh(Duration::ZERO).await.map(|tip| tip.commit), Ok(theirs));
    let (_, outcome) = deliver(&repository, vec![write("README.md", "ours\n")], "ours").await;
    assert_eq!(outcome, PushOutcome::Confirmed);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_question() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    repository.refresh(Duration::ZERO).await.expect("a tip");
    server.reset_requests();
    let callers = (0..20).map(|_| repository.refresh(Duration::ZERO));
    for tip in futures_util::future::join_all(callers).await {
        assert_eq!(tip.map(|tip| tip.commit), Ok(remote.head()));
    }
    assert!(server.requests().len() <= 2, "{} questions", server.requests().len());
}

#[tokio::test]
async fn wrong_log_in_and_read_only_rights_are_told_apart_without_the_secret() {
    let remote = Remote::with(SEED);
    let server = remote.serve(Some(("bot", "right"))).await;
    let mut options = remote.options_over(&server);
    options.credentials = login(SECRET);
    let debug = format!("{options:?}");
    let error = Repository::open(options.clone()).await.expect_err("a wrong password");
    assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
    assert!(!format!("{error}{error:?}{debug}").contains(SECRET));
    options.credentials = login("right");
    let repository = Repository::open(options).await.expect("a repository");
    assert_eq!(repository.can_push().await, Ok(()));
    server.set_read_only(true);
    assert!(matches!(repository.can_push().await, Err(GitError::Denied { .. })));
    let before = remote.head();
    let (_, outcome) = deliver(&repository, vec![write("README.md", "x\n")], "x").await;
    let PushOutcome::Refused { message } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("403"), "{message}");
    assert_eq!(remote.head(), before);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading_the_branch() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    for fault in [Fault::LoseAnswer, Fault::Truncate] {
        let (base, change) = change(&repository, vec![write("README.md", &format!("{fault:?}\n"))]).await;
        let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
        server.fail_next_at(GitEndpoint::ReceivePack, fault, 1);
        assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed, "{fault:?}");
        assert_eq!(remote.head(), built.tip());
    }
    assert_eq!(git(&remote.path(), &["rev-list", "--count", "main"]), "3");
}

#[tokio::test]
async fn when_the_branch_cannot_be_read_back_either_nobody_pretends_to_know() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository
        .build(base, &[spec(&change, "x\n\nProposal-Id: prp_1")])
        .await
        .expect("a commit");
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::LoseAnswer, 1);
    server.fail_next_at(GitEndpoint::UploadPack, Fault::Status(500), 1);
    let outcome = repository.push(&built, base).await;
    assert!(matches!(outcome, PushOutcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(repository.locate(&[built.tip()], "prp_1").await, Ok(Located::Landed(built.tip())));
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
    assert_eq!(git(&remote.path(), &["rev-list", "--count", "main"]), "2");
}

#[tokio::test]
async fn a_command_that_never_arrived_is_unknown_and_may_be_sent_again() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::Status(502), 1);
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::Unknown { why } if why.contains("502")),
        "{outcome:?}"
    );
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::Status(404), 1);
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::Refused { message } if message.contains("404")),
        "{outcome:?}"
    );
    assert_eq!(remote.head(), base);
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
}

#[tokio::test]
async fn a_silent_server_meets_the_deadline() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let mut options = remote.options_over(&server);
    Repository::open(options.clone()).await.expect("a mirror");
    let short = Duration::from_millis(300);
    options.deadlines.request = short;
    let impatient = Repository::open(options.clone()).await.expect("nothing is asked at start");
    server.fail_next_at(GitEndpoint::FetchRefs, Fault::Hang, 1);
    assert!(matches!(impatient.tip().await, Err(GitError::Deadline { .. })));
    server.fail_next_at(GitEndpoint::PushRefs, Fault::Hang, 1);
    assert!(matches!(impatient.can_push().await, Err(GitError::Deadline { .. })));
    options.deadlines = Deadlines {
        push: short,
        fetch: short,
        ..Deadlines::default()
    };
    let repository = Repository::open(options).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
    server.fail_next_at(GitEndpoint::PushRefs, Fault::Hang, 1);
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::NotSent { why } if why.contains("has not answered")),
        "silent before it was told anything: {outcome:?}"
    );
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::Hang, 1);
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::Unknown { why } if why.contains("took longer")),
        "{outcome:?}"
    );
    // `git fetch` hangs as well: it and its helper are killed.
    remote.commit(&[("README.md", "theirs\n")], "theirs");
    server.fail_next_at(GitEndpoint::FetchRefs, Fault::Hang, 1);
    assert!(matches!(repository.refresh(Duration::ZERO).await, Err(GitError::Deadline { .. })));
}

/// Whether a process is running whose command line holds this text.
fn runs(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[tokio::test]
async fn what_git_started_ends_with_the_deadline() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let mut options = remote.options_over(&server);
    options.deadlines.fetch = Duration::from_millis(500);
    let repository = Repository::open(options).await.expect("a repository");
    repository.tip().await.expect("a tip");
    remote.commit(&[("README.md", "theirs\n")], "theirs");
    server.fail_next_at(GitEndpoint::FetchRefs, Fault::Hang, 1);
    let error = repository.refresh(Duration::ZERO).await.expect_err("a silent server");
    assert!(matches!(error, GitError::Deadline { .. }), "{error}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while runs(&server.url("remote")) {
        assert!(Instant::now() < deadline, "git's helper is still waiting for the server");
        tokio::task::yield_now().await;
    }
}

/// Answers every request by pointing elsewhere.
async fn redirector(to: String) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: {to}/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_log_in_elsewhere() {
    let remote = Remote::with(SEED);
    let elsewhere = remote.serve(None).await;
    let address = redirector(elsewhere.url("remote")).await;
    let mut options = remote.options_at(&format!("http://{address}/remote.git"));
    options.credentials = login(SECRET);
    let error = Repository::open(options).await.expect_err("a redirect").to_string();
    assert!(error.contains("redirects are not followed") && !error.contains(SECRET), "{error}");
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn answers_that_are_not_git_are_said_to_be_so() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let missing = Repository::open(remote.options_at(&server.url("nothing")))
        .await
        .expect_err("no such repository");
    assert!(matches!(&missing, GitError::Protocol { .. }), "{missing:?}");
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    drop(server);
    assert!(matches!(repository.tip().await, Err(GitError::Unreachable { .. })));
    assert_eq!(repository.health().await, Ok(()), "the mirror does not need the network");
}

#[tokio::test]
async fn a_sha256_remote_is_refused_in_words() {
    let remote = Remote::with(SEED);
    git(remote.dir.path(), &["init", "-q", "--bare", "--object-format=sha256", "new.git"]);
    let server = remote.serve(None).await;
    for url in [server.url("new"), remote.dir.path().join("new.git").display().to_string()] {
        let error = Repository::open(remote.options_at(&url)).await.expect_err("SHA-256");
        assert!(matches!(error, GitError::Sha256Remote { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_was_turned_away_or_never_sent_is_no_doubt_even_while_nobody_answers() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let repository = Repository::open(remote.options_over(&server)).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::Status(401), 1);
    server.fail_next_at(GitEndpoint::UploadPack, Fault::Status(401), 10);
    server.fail_next_at(GitEndpoint::FetchRefs, Fault::Status(401), 10);
    let outcome = repository.push(&built, base).await;
    assert!(
        matches!(&outcome, PushOutcome::Refused { message } if message.contains("401")),
        "{outcome:?}"
    );
    // Nobody listens there any more, and what was connected is noticed to be gone.
    drop(server);
    assert!(repository.tip().await.is_err());
    let outcome = repository.push(&built, base).await;
    assert!(matches!(outcome, PushOutcome::NotSent { .. }), "{outcome:?}");
    // Nor after a start, when a push asks first what the server speaks.
    let options = repository.options().clone();
    drop(repository);
    let repository = Repository::open(options).await.expect("a mirror");
    let outcome = repository.push(&built, base).await;
    assert!(matches!(outcome, PushOutcome::NotSent { .. }), "{outcome:?}");
}

/// git does not say how far a push came: what cannot even be asked is not pushed to, so that nobody has to wonder; a failure after that is doubtful.
#[tokio::test]
async fn a_push_by_git_to_a_remote_that_nobody_reaches_was_not_sent() {
    let remote = Remote::with(SEED);
    let server = remote.serve(None).await;
    let mut options = remote.options_over(&server);
    options.push_with_git_cli = true;
    let repository = Repository::open(options).await.expect("a repository");
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
    // The remote answers questions and breaks off in the push.
    server.fail_next_at(GitEndpoint::ReceivePack, Fault::Status(500), 10);
    server.fail_next_at(GitEndpoint::PushRefs, Fault::Status(500), 10);
    let outcome = repository.push(&built, base).await;
    assert!(
        !matches!(outcome, PushOutcome::NotSent { .. } | PushOutcome::Confirmed),
        "{outcome:?}"
    );
    // Nobody listens there any more.
    drop(server);
    let outcome = repository.push(&built, base).await;
    assert!(matches!(outcome, PushOutcome::NotSent { .. }), "{outcome:?}");
    assert_eq!(remote.head(), base);
}
