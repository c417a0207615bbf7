//! Which wishes a tree allows. What needs no tree is tested where `RepoPath` lives.

use std::time::Duration;

use gitworker::{Edit, GitError, Repository, RequestedChange, ResolveError};

use crate::support::*;

/// A repository with a symlink, a submodule and a directory at their names.
async fn odd() -> (Remote, Repository, domain::CommitId) {
    let remote = Remote::with(&[
        ("README.md", "hello\n"),
        ("apps/a.yaml", "a: 1\n"),
        ("Upper/x.yaml", "x: 1\n"),
        ("cafe\u{301}.yaml", "c: 1\n"),
    ]);
    std::os::unix::fs::symlink("/etc", remote.work().join("link")).expect("a symlink");
    git(&remote.work(), &["add", "-A"]);
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
    (remote, repository, tip)
}

#[tokio::test]
async fn wishes_that_a_tree_forbids_are_refused_with_index_and_path() {
    let (_remote, repository, tip) = odd().await;
    for (wishes, refusals) in [
        (vec![write("link", "x")], vec!["change 0: link: it is a symlink in the base"]),
        (
            vec![write("link/passwd", "x")],
            vec!["change 0: link/passwd: its parent \"link\" is a symlink"],
        ),
        (vec![write("module", "x")], vec!["change 0: module: it is a submodule"]),
        (
            vec![write("module/x", "x")],
            vec!["change 0: module/x: its parent \"module\" is a submodule"],
        ),
        (vec![write("apps", "x")], vec!["change 0: apps: it is a directory"]),
        (
            vec![write("README.md/x", "x")],
            vec!["change 0: README.md/x: its parent \"README.md\" is a file"],
        ),
        (
            vec![delete("README.md"), write("README.md/x", "x")],
            vec!["change 1: README.md/x: change 0 names its parent"],
        ),
        (vec![delete("none")], vec!["change 0: none: it does not exist in the base"]),
        (vec![delete("link")], vec!["change 0: link: it is a symlink"]),
        (vec![delete("apps")], vec!["change 0: apps: it is a directory"]),
        (
            vec![write("x", "1"), write("x", "2")],
            vec!["change 1: x: change 0 already names it"],
        ),
        (
            vec![write("new/x", "1"), write("new", "2")],
            vec!["change 0: new/x: change 1 names its parent"],
        ),
        (
            vec![write("readme.md", "x")],
            vec!["change 0: readme.md: it differs only by letter case from \"README.md\""],
        ),
        (
            vec![write("Apps/b.yaml", "x")],
            vec!["change 0: Apps/b.yaml: it differs only by letter case from \"apps\""],
        ),
        (
            vec![write("apps/A.yaml", "x")],
            vec!["change 0: apps/A.yaml: it differs only by letter case from \"apps/a.yaml\""],
        ),
        (vec![write("n/x", "1"), write("N/y", "2")], vec!["letter case"]),
        (
            vec![write("caf\u{e9}.yaml", "x")],
            vec!["the branch has \"cafe\\u{301}.yaml\", the same name with its accents encoded otherwise"],
        ),
        (vec![write("CAF\u{c9}.yaml", "x")], vec!["letter case"]),
        (
            vec![write("ok", "1"), delete("none"), write("link", "x")],
            vec!["change 1: none", "change 2: link"],
        ),
    ] {
        let result = repository.resolve(tip, wishes.clone()).await;
        let Err(ResolveError::Refused(found)) = result else {
            panic!("{wishes:?}: {result:?}")
        };
        assert_eq!(found.len(), refusals.len(), "{wishes:?}: {found:?}");
        for (found, expected) in found.iter().zip(refusals) {
            assert!(found.to_string().contains(expected), "{found} should say {expected}");
        }
    }
}

#[tokio::test]
async fn wishes_that_a_tree_allows_become_changes() {
    let (_remote, repository, tip) = odd().await;
    let exec = |at: &str, content: &str, exec| RequestedChange {
        path: path(at),
        edit: Edit::Write {
            bytes: content.into(),
            exec: Some(exec),
        },
    };
    for (wishes, touched) in [
        (vec![], 0),
        (vec![write("README.md", "hello\n")], 0),
        (vec![exec("README.md", "hello\n", true)], 1),
        (vec![exec("README.md", "hello\n", false)], 0),
        (vec![delete("README.md"), write("readme.md", "hello\n")], 2),
        (vec![write("Upper/y.yaml", "x"), write("apps/deep/er.yaml", "")], 2),
        (vec![delete("Upper/x.yaml")], 1),
        (vec![write("ünï/cödé.yaml", "x")], 1),
        (vec![write("a-b", "1"), write("a/c", "2"), write("a.d", "3")], 3),
    ] {
        let change = repository
            .resolve(tip, wishes.clone())
            .await
            .unwrap_or_else(|error| panic!("{wishes:?}: {error}"));
        assert_eq!(change.len(), touched, "{wishes:?}");
        if !change.is_empty() {
            let built = repository.build(tip, &[spec(&change, "x")]).await.expect("a commit");
            assert_eq!(built.commits[0].digest, change.digest(&name(), "main"), "{wishes:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_base_is_said_to_be_one() {
    let (_remote, repository, _) = odd().await;
    let unknown = "da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("an id");
    let result = repository.resolve(unknown, vec![write("x", "x")]).await;
    assert_eq!(result, Err(ResolveError::Git(GitError::UnknownCommit(unknown))));
}
