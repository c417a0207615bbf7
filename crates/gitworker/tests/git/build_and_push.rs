//! From wishes to a commit on the remote: exactness, batches, races, refusals.

use std::time::Duration;

use domain::{FileMode, NewFile};
use gitworker::{BuildError, Edit, Entry, GitError, PushOutcome, RequestedChange};

use crate::support::*;

const SEED: &[(&str, &str)] = &[
    ("README.md", "hello\n"),
    ("apps/a/deployment.yaml", "image: a:1\n"),
    ("apps/a/service.yaml", "port: 80\n"),
    ("apps/b/deployment.yaml", "image: b:1\n"),
];

#[tokio::test]
async fn a_change_arrives_exactly_and_nothing_else_does() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let wishes = vec![
        write("apps/a/deployment.yaml", "image: a:2\n"),
        write("apps/new/deep/er/x.yaml", "x: 1\n"),
        delete("apps/b/deployment.yaml"),
        RequestedChange {
            path: path("run.sh"),
            edit: Edit::Write {
                bytes: b"#!/bin/sh\n".to_vec(),
                exec: Some(true),
            },
        },
    ];
    let (base, change) = change(&repository, wishes).await;
    let built = repository
        .build(base, &[spec(&change, "apps: a to 2\n\nProposal-Id: prp_1")])
        .await
        .expect("a commit");
    assert_eq!(
        built.commits[0].digest,
        change.digest(&name(), "main"),
        "what was built is what was shown"
    );
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
    assert_eq!(remote.head(), built.tip());
    remote.fsck();
    let log = git(&remote.path(), &["log", "-1", "--format=%an <%ae>|%cn|%at|%ct|%P|%B", "main"]);
    assert_eq!(
        log.trim_end(),
        format!("countersign <countersign@example.com>|countersign|1800000000|1800000000|{base}|apps: a to 2\n\nProposal-Id: prp_1")
    );
    let raw = git(
        &remote.path(),
        &["diff-tree", "-r", "--no-renames", "--no-commit-id", "--abbrev=1", "main"],
    );
    let touched: Vec<String> = raw
        .lines()
        .map(|line| [&line[1..14], line.split(' ').next_back().unwrap_or_default()].join(" "))
        .collect();
    assert_eq!(touched.len(), 4, "{raw}");
    assert!(raw.contains(":000000 100755") && raw.contains("run.sh"), "{raw}");
    assert!(
        raw.contains(":100644 000000") && raw.contains("D\tapps/b/deployment.yaml"),
        "the emptied directory went with its file: {raw}"
    );
    assert_eq!(remote.show("main:apps/a/deployment.yaml"), "image: a:2");
    assert_eq!(remote.show("main:apps/a/service.yaml"), "port: 80");
}

#[tokio::test]
async fn the_same_inputs_give_the_same_ids_even_from_a_new_mirror() {
    let remote = Remote::with(SEED);
    let first = remote.open().await;
    let (base, change) = change(&first, vec![write("README.md", "bye\n")]).await;
    let specs = [spec(&change, "one")];
    let built = first.build(base, &specs).await.expect("a commit");
    drop(first);
    std::fs::remove_dir_all(remote.mirror()).expect("a mirror to delete");
    let second = remote.open().await;
    assert_eq!(second.build(base, &specs).await, Ok(built));
}

#[tokio::test]
async fn fifty_approvals_are_fifty_commits_and_one_push() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let wishes: Vec<_> = (0..50)
        .map(|n| write(&format!("apps/app-{n}/values.yaml"), &format!("n: {n}\n")))
        .collect();
    let (base, _) = change(&repository, vec![]).await;
    let mut specs = Vec::new();
    for (n, wish) in wishes.into_iter().enumerate() {
        let change = repository.resolve(base, vec![wish]).await.expect("a change");
        specs.push(spec(&change, &format!("app {n}")));
    }
    let built = repository.build(base, &specs).await.expect("commits");
    assert_eq!(repository.push(&built, base).await, PushOutcome::Confirmed);
    assert_eq!(git(&remote.path(), &["rev-list", "--count", &format!("{base}..main")]), "50");
    let ids: Vec<String> = built.commits.iter().map(|commit| commit.id.to_string()).collect();
    let log = git(&remote.path(), &["rev-list", "--reverse", &format!("{base}..main")]);
    assert_eq!(log.lines().collect::<Vec<_>>(), ids);
    remote.fsck();
    assert_eq!(
        repository.cached_tip().map(|tip| tip.commit),
        Some(built.tip()),
        "the mirror followed without fetching"
    );
    let again = repository.refresh(Duration::ZERO).await.expect("a tip");
    assert_eq!(again.commit, built.tip());
}

#[tokio::test]
async fn a_foreign_push_in_between_is_seen_by_id_and_never_overwritten() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("README.md", "ours\n")]).await;
    let built = repository.build(base, &[spec(&change, "ours")]).await.expect("a commit");
    let theirs = remote.commit(&[("apps/b/deployment.yaml", "image: b:2\n")], "theirs");
    assert_eq!(repository.push(&built, base).await, PushOutcome::Moved { tip: Some(theirs) });
    assert_eq!(remote.head(), theirs);
    let outcome = repository.push(&built, theirs).await;
    assert_eq!(outcome, PushOutcome::Moved { tip: Some(theirs) }, "an old base would undo theirs");
    assert_eq!(remote.head(), theirs);
    let on_top = repository
        .build(theirs, &[spec(&change, "ours")])
        .await
        .expect("a commit on the new tip");
    assert_eq!(repository.push(&on_top, theirs).await, PushOutcome::Confirmed);
    assert_eq!(
        repository.push(&on_top, theirs).await,
        PushOutcome::Confirmed,
        "pushing again is boring"
    );
    remote.commit(&[("apps/a/service.yaml", "port: 81\n")], "on top of ours");
    assert_eq!(
        repository.push(&on_top, theirs).await,
        PushOutcome::Confirmed,
        "ours is below the tip"
    );
    remote.fsck();
}

#[tokio::test]
async fn eight_workers_lose_no_update() {
    let remote = Remote::with(SEED);
    let mut tasks = Vec::new();
    for n in 0..8 {
        let mut options = remote.options();
        options.mirror = remote.dir.path().join(format!("mirror-{n}.git"));
        tasks.push(tokio::spawn(async move {
            let repository = gitworker::Repository::open(options).await.expect("a repository");
            for _ in 0..100 {
                let (built, outcome) = deliver(&repository, vec![write(&format!("apps/w{n}.yaml"), "x\n")], "w").await;
                match outcome {
                    PushOutcome::Confirmed => return built.tip(),
                    PushOutcome::Moved { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            panic!("never landed");
        }));
    }
    for task in tasks {
        let id = task.await.expect("a worker").to_string();
        git(&remote.path(), &["merge-base", "--is-ancestor", &id, "main"]);
    }
    assert_eq!(git(&remote.path(), &["rev-list", "--count", "main"]), "9");
    remote.fsck();
}

#[tokio::test]
async fn a_hook_says_no_in_its_own_words() {
    for (hook, cli) in [("pre-receive", false), ("pre-receive", true), ("update", false), ("update", true)] {
        let remote = Remote::with(SEED);
        remote.hook(hook, "printf '\\033[31mno deploys on Friday\\033[0m\\n' >&2; exit 1");
        let mut options = remote.options();
        options.push_with_git_cli = cli;
        let repository = gitworker::Repository::open(options).await.expect("a repository");
        let (_, outcome) = deliver(&repository, vec![write("README.md", "x\n")], "x").await;
        let PushOutcome::Refused { message } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            message.contains("no deploys on Friday") && !message.contains('\u{1b}'),
            "{message:?}"
        );
    }
}

#[tokio::test]
async fn the_git_fallback_is_the_same_compare_and_swap() {
    let remote = Remote::with(SEED);
    let mut options = remote.options();
    options.push_with_git_cli = true;
    let repository = gitworker::Repository::open(options).await.expect("a repository");
    let (_, outcome) = deliver(&repository, vec![write("README.md", "x\n")], "x").await;
    assert_eq!(outcome, PushOutcome::Confirmed);
    let (base, change) = change(&repository, vec![write("README.md", "y\n")]).await;
    let built = repository.build(base, &[spec(&change, "y")]).await.expect("a commit");
    // The branch was moved back: an ordinary push would be a fast-forward from there and bring back what was taken away.
    git(&remote.path(), &["update-ref", "refs/heads/main", "main~1"]);
    let back = remote.head();
    assert_eq!(repository.push(&built, base).await, PushOutcome::Moved { tip: Some(back) });
    assert_eq!(remote.head(), back);
}

#[tokio::test]
async fn a_force_pushed_or_deleted_branch_is_reported_not_repaired() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
    let other = git(
        &remote.path(),
        &[
            "-c",
            "user.name=b",
            "-c",
            "user.email=b@example.com",
            "commit-tree",
            "-m",
            "rewritten",
            "main^{tree}",
        ],
    );
    git(&remote.path(), &["update-ref", "refs/heads/main", &other]);
    assert_eq!(repository.push(&built, base).await, PushOutcome::Moved { tip: other.parse().ok() });
    git(&remote.path(), &["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(repository.push(&built, base).await, PushOutcome::Moved { tip: None });
    assert_eq!(repository.tip().await, Ok(None));
    assert!(matches!(
        repository.refresh(Duration::ZERO).await,
        Err(GitError::BranchMissing { .. })
    ));
}

#[tokio::test]
async fn stale_and_empty_changes_are_not_built() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
    let moved = remote.commit(&[("README.md", "theirs\n")], "theirs");
    repository.refresh(Duration::ZERO).await.expect("a tip");
    let stale = repository.build(moved, &[spec(&change, "x")]).await;
    assert_eq!(
        stale,
        Err(BuildError::Stale {
            index: 0,
            path: path("README.md")
        })
    );
    let twice = repository.build(base, &[spec(&change, "x"), spec(&change, "again")]).await;
    assert_eq!(
        twice,
        Err(BuildError::Stale {
            index: 1,
            path: path("README.md")
        })
    );
    let nothing = repository
        .resolve(base, vec![write("README.md", "hello\n")])
        .await
        .expect("no refusal");
    assert!(nothing.is_empty());
    assert_eq!(
        repository.build(base, &[spec(&nothing, "x")]).await,
        Err(BuildError::Empty { index: 0 })
    );
}

#[tokio::test]
async fn side_branches_are_created_once_moved_by_compare_and_swap_and_deleted() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, one) = change(&repository, vec![write("README.md", "one\n")]).await;
    let one = repository.build(base, &[spec(&one, "one")]).await.expect("a commit");
    let two = repository.resolve(base, vec![write("README.md", "two\n")]).await.expect("a change");
    let two = repository.build(base, &[spec(&two, "two")]).await.expect("a commit");
    let branch = "countersign/prp_1";
    assert_eq!(repository.push_branch(branch, &one, None).await, PushOutcome::Confirmed);
    assert_eq!(
        repository.push_branch(branch, &one, None).await,
        PushOutcome::Confirmed,
        "again is boring"
    );
    assert_eq!(
        repository.push_branch(branch, &two, None).await,
        PushOutcome::Moved { tip: Some(one.tip()) }
    );
    assert_eq!(repository.push_branch(branch, &two, Some(one.tip())).await, PushOutcome::Confirmed);
    assert_eq!(
        repository.delete_branch(branch, one.tip()).await,
        PushOutcome::Moved { tip: Some(two.tip()) }
    );
    assert_eq!(repository.delete_branch(branch, two.tip()).await, PushOutcome::Confirmed);
    assert_eq!(repository.delete_branch(branch, two.tip()).await, PushOutcome::Confirmed);
    assert!(matches!(
        repository.push_branch("main", &one, None).await,
        PushOutcome::Refused { .. }
    ));
    assert!(matches!(
        repository.push_branch("../x", &one, None).await,
        PushOutcome::Refused { .. }
    ));
    assert_eq!(remote.head(), base);
}

#[tokio::test]
async fn what_stands_at_a_path_is_told_apart() {
    let remote = Remote::with(SEED);
    std::os::unix::fs::symlink("/etc/passwd", remote.work().join("link")).expect("a symlink");
    std::fs::write(remote.work().join("run.sh"), "#!/bin/sh\n").expect("a file");
    git(&remote.work(), &["add", "-A"]);
    git(&remote.work(), &["update-index", "--chmod=+x", "run.sh"]);
    git(
        &remote.work(),
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            "160000,da39a3ee5e6b4b0d3255bfef95601890afd80709,module",
        ],
    );
    git(&remote.work(), &["commit", "-q", "-m", "odd things"]);
    git(&remote.work(), &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let repository = remote.open().await;
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let paths: Vec<_> = [
        "README.md",
        "run.sh",
        "link",
        "module",
        "apps",
        "none",
        "README.md/below",
        "link/below",
    ]
    .map(path)
    .into();
    let read = repository.read(tip, &paths).await.expect("entries");
    let shown: Vec<String> = paths.iter().map(|path| format!("{:?}", read[path])).collect();
    assert!(
        shown[0].starts_with("File(Regular") && shown[0].ends_with("6 bytes)"),
        "{}",
        shown[0]
    );
    assert!(shown[1].starts_with("File(Executable"), "{}", shown[1]);
    assert_eq!(
        shown[2..],
        ["Other(120000)", "Other(160000)", "Other(040000)", "Absent", "Absent", "Absent"]
    );
    assert!(matches!(&read[&paths[0]], Entry::File { bytes, .. } if bytes == b"hello\n"));
    let kept = repository
        .resolve(tip, vec![write("run.sh", "#!/bin/bash\n")])
        .await
        .expect("a change");
    let new = kept.iter().next().and_then(|(_, file)| file.new.clone());
    assert_eq!(
        new,
        Some(NewFile {
            mode: FileMode::Executable,
            bytes: b"#!/bin/bash\n".to_vec()
        }),
        "the mode is kept"
    );
}
