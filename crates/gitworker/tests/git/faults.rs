//! A mirror that is damaged in every way heals by itself; a remote that misbehaves is reported.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gitworker::{Entry, GitError, PushOutcome, Repository};

use crate::support::*;

const SEED: &[(&str, &str)] = &[("README.md", "hello\n"), ("apps/a.yaml", "a: 1\n")];

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found)
        } else {
            found.push(path)
        }
    }
}

/// Every object of the mirror, loose or packed.
fn objects(mirror: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files_below(&mirror.join("objects"), &mut found);
    found
}

/// Git makes its objects read-only.
fn overwrite(path: &Path, content: &[u8]) {
    std::fs::remove_file(path).expect("a file of the mirror");
    std::fs::write(path, content).expect("a damaged file");
}

type Damage = (&'static str, fn(&Path));

const DAMAGES: &[Damage] = &[
    ("deleted", |mirror| std::fs::remove_dir_all(mirror).expect("a mirror")),
    ("a file in its place", |mirror| {
        std::fs::remove_dir_all(mirror).expect("a mirror");
        std::fs::write(mirror, "not a directory").expect("a file");
    }),
    ("objects gone", |mirror| {
        std::fs::remove_dir_all(mirror.join("objects")).expect("objects");
        std::fs::create_dir(mirror.join("objects")).expect("a directory");
    }),
    ("objects truncated", |mirror| {
        objects(mirror).iter().for_each(|path| overwrite(path, b""))
    }),
    ("objects garbled", |mirror| {
        objects(mirror).iter().for_each(|path| overwrite(path, &[0x5a; 200]))
    }),
    ("HEAD truncated", |mirror| overwrite(&mirror.join("HEAD"), b"")),
    ("config garbled", |mirror| overwrite(&mirror.join("config"), b"[[[")),
    ("the ref garbled", |mirror| {
        std::fs::create_dir_all(mirror.join("refs/heads")).expect("a directory");
        std::fs::write(mirror.join("refs/heads/main"), "garbage\n").expect("a ref");
    }),
    ("the ref points nowhere", |mirror| {
        std::fs::create_dir_all(mirror.join("refs/heads")).expect("a directory");
        std::fs::write(mirror.join("refs/heads/main"), "da39a3ee5e6b4b0d3255bfef95601890afd80709\n").expect("a ref");
    }),
    ("a stale lock", |mirror| {
        std::fs::write(mirror.join("refs/heads/main.lock"), "").expect("a lock")
    }),
];

async fn works(repository: &Repository, case: &str) {
    let tip = repository
        .refresh(Duration::ZERO)
        .await
        .unwrap_or_else(|error| panic!("{case}: {error}"))
        .commit;
    let read = repository
        .read(tip, &[path("README.md")])
        .await
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(matches!(&read[&path("README.md")], Entry::File { .. }), "{case}");
    let (_, outcome) = deliver(repository, vec![write("apps/a.yaml", &format!("{case} {tip}\n"))], case).await;
    assert_eq!(outcome, PushOutcome::Confirmed, "{case}");
    assert_eq!(repository.health().await, Ok(()), "{case}");
}

#[tokio::test]
async fn a_mirror_damaged_between_runs_is_cloned_again_at_start() {
    for (case, damage) in DAMAGES {
        let remote = Remote::with(SEED);
        drop(remote.open().await);
        damage(&remote.mirror());
        works(&remote.open().await, case).await;
        remote.fsck();
    }
}

#[tokio::test]
async fn a_mirror_that_nobody_uses_is_repaired() {
    for (case, damage) in DAMAGES {
        let remote = Remote::with(SEED);
        let repository = remote.open().await;
        repository.refresh(Duration::ZERO).await.expect("a tip");
        damage(&remote.mirror());
        assert_eq!(repository.repair().await, Ok(()), "{case}");
        assert_eq!(repository.health().await, Ok(()), "{case}");
        works(&repository, case).await;
    }
}

#[tokio::test]
async fn a_mirror_damaged_while_running_heals_by_itself() {
    for (case, damage) in DAMAGES {
        let remote = Remote::with(SEED);
        let repository = remote.open().await;
        repository.refresh(Duration::ZERO).await.expect("a tip");
        damage(&remote.mirror());
        // Somebody pushes, so that the worker has to fetch as well.
        remote.commit(&[("README.md", "theirs\n")], "theirs");
        works(&repository, case).await;
        remote.fsck();
    }
}

#[tokio::test]
async fn a_mirror_of_another_remote_is_not_used() {
    let (first, second) = (Remote::with(SEED), Remote::with(&[("README.md", "another one\n")]));
    drop(first.open().await);
    let mut options = second.options();
    options.mirror = first.mirror();
    let repository = Repository::open(options).await.expect("a repository");
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    assert_eq!(tip, second.head());
}

#[tokio::test]
async fn a_damaged_mirror_without_a_remote_is_an_error_that_says_so() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    std::fs::remove_dir_all(remote.mirror()).expect("a mirror");
    std::fs::rename(remote.path(), remote.dir.path().join("away.git")).expect("a remote");
    assert!(repository.health().await.is_err());
    let error = repository.read(tip, &[path("README.md")]).await.expect_err("nothing to read from");
    assert!(error.to_string().contains("remote.git"), "{error}");
    assert!(Repository::open(remote.options()).await.is_err());
}

#[tokio::test]
async fn a_start_needs_no_remote_when_the_mirror_is_whole() {
    let remote = Remote::with(SEED);
    let tip = remote.head();
    drop(remote.open().await);
    std::fs::rename(remote.path(), remote.dir.path().join("away.git")).expect("a remote");
    let repository = remote.open().await;
    assert!(repository.read(tip, &[path("README.md")]).await.is_ok());
    assert!(repository.tip().await.is_err());
}

#[tokio::test]
async fn an_empty_remote_opens_and_says_that_the_branch_is_missing() {
    let remote = Remote::with(SEED);
    git(&remote.path(), &["update-ref", "-d", "refs/heads/main"]);
    let repository = remote.open().await;
    assert_eq!(repository.tip().await, Ok(None));
    let error = repository.refresh(Duration::ZERO).await.expect_err("no branch");
    assert!(
        matches!(&error, GitError::BranchMissing { branch, .. } if branch == "main"),
        "{error}"
    );
    let id = remote.push_all("the branch appears");
    assert_eq!(repository.refresh(Duration::ZERO).await.map(|tip| tip.commit), Ok(id));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused_and_told_beforehand() {
    use std::os::unix::fs::PermissionsExt as _;
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    assert_eq!(repository.can_push().await, Ok(()));
    let objects = remote.path().join("objects");
    std::fs::set_permissions(&objects, std::fs::Permissions::from_mode(0o555)).expect("read-only");
    if std::fs::write(objects.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    assert!(matches!(repository.can_push().await, Err(GitError::Denied { .. })));
    let (_, outcome) = deliver(&repository, vec![write("README.md", "x\n")], "x").await;
    assert!(matches!(outcome, PushOutcome::Refused { .. }), "{outcome:?}");
}

#[tokio::test]
async fn many_pushes_do_not_leave_many_packs() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let mut last = None;
    for n in 0..60 {
        let (built, outcome) = deliver(&repository, vec![write("README.md", &format!("{n}\n"))], "x").await;
        assert_eq!(outcome, PushOutcome::Confirmed);
        last = Some(built.tip());
    }
    let packs = || {
        objects(&remote.mirror())
            .iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "pack"))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while packs() > 50 {
        assert!(Instant::now() < deadline, "{} packs", packs());
        tokio::task::yield_now().await;
    }
    assert_eq!(last, Some(remote.head()));
    assert_eq!(repository.health().await, Ok(()));
}

#[tokio::test]
async fn a_push_to_a_folder_that_is_not_there_was_not_sent() {
    for cli in [false, true] {
        let remote = Remote::with(SEED);
        let mut options = remote.options();
        options.push_with_git_cli = cli;
        let repository = gitworker::Repository::open(options).await.expect("a repository");
        let (base, change) = change(&repository, vec![write("README.md", "x\n")]).await;
        let built = repository.build(base, &[spec(&change, "x")]).await.expect("a commit");
        let away = remote.dir.path().join("away.git");
        std::fs::rename(remote.path(), &away).expect("a folder");
        let outcome = repository.push(&built, base).await;
        assert!(matches!(outcome, PushOutcome::NotSent { .. }), "with git: {cli}: {outcome:?}");
        std::fs::rename(&away, remote.path()).expect("a folder");
        assert_eq!(remote.head(), base);
    }
}
