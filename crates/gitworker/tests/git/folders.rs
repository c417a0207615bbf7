//! The files of a directory that a repository carries itself, and commits that take earlier ones back.

use std::time::Duration;

use domain::CommitId;
use gitworker::{Folder, FolderFile, FolderQuery, GitError, Repository, Undone};

use crate::support::*;

fn query(files: usize, bytes: u64) -> FolderQuery {
    FolderQuery {
        path: ".ours/books".parse().expect("a path"),
        suffix: ".toml",
        files,
        bytes,
    }
}

#[tokio::test]
async fn a_folder_is_read_when_it_is_another_one_and_within_limits() {
    let remote = Remote::with(&[("README.md", "hello\n")]);
    let repository = remote.open().await;
    let at = async |query: FolderQuery, known| {
        let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
        repository.folder(tip, query, known).await.expect("an answer")
    };
    assert_eq!(at(query(9, 99), None).await, Folder::Absent);
    remote.commit(
        &[
            (".ours/books/a.toml", "a = 1\n"),
            (".ours/books/b.toml", "b = 1234567890\n"),
            (".ours/books/note.md", "passed over\n"),
            (".ours/books/below/c.toml", "passed over\n"),
        ],
        "books",
    );
    std::os::unix::fs::symlink("a.toml", remote.work().join(".ours/books/link.toml")).expect("a link");
    remote.push_all("a link");
    let Folder::Files { tree, files } = at(query(9, 10), None).await else {
        panic!("no files")
    };
    let told: Vec<_> = files
        .iter()
        .map(|(name, file)| match file {
            FolderFile::File { bytes, .. } => format!("{name}: {}", String::from_utf8_lossy(bytes).trim()),
            FolderFile::TooLarge(size) => format!("{name}: {size} bytes"),
            FolderFile::Other(mode) => format!("{name}: {mode:o}"),
        })
        .collect();
    assert_eq!(told, ["a.toml: a = 1", "b.toml: 15 bytes", "link.toml: 120000"]);
    assert_eq!(at(query(2, 10), None).await, Folder::TooMany(3));
    // Other files do not make it another folder; its own do.
    remote.commit(&[("README.md", "hello again\n")], "elsewhere");
    assert_eq!(at(query(9, 10), Some(tree)).await, Folder::Same);
    remote.commit(&[(".ours/books/a.toml", "a = 2\n")], "another book");
    assert!(matches!(at(query(9, 10), Some(tree)).await, Folder::Files { .. }));
    let unknown: CommitId = "da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("an id");
    assert_eq!(
        repository.folder(unknown, query(9, 9), None).await,
        Err(GitError::UnknownCommit(unknown))
    );
    // The folder's name becomes that of a file.
    let folder = remote.work().join(".ours/books");
    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::write(&folder, "a file\n").expect("a file");
    remote.push_all("no folder");
    assert_eq!(at(query(9, 10), Some(tree)).await, Folder::Other(0o100_644));
}

/// What is taken back after `from`, as lines.
async fn taken_back(repository: &Repository, from: CommitId, candidates: &[CommitId]) -> Vec<String> {
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let found = repository.undoings(from, tip, candidates.to_vec()).await.expect("an answer");
    let told = found.into_iter().map(|undoing| match undoing.of {
        Undone::Restored(of) => format!("{} restores {}", undoing.by.short(), of.short()),
        Undone::Named(id) => format!("{} names {}", undoing.by.short(), &id[..7]),
    });
    told.collect()
}

#[tokio::test]
async fn what_takes_a_commit_back_is_recognised_by_files_and_by_words() {
    let remote = Remote::with(&[("a", "1\n"), ("b", "1\n"), ("c", "1\n")]);
    let repository = remote.open().await;
    let run = remote.commit(&[("a", "2\n"), ("b", "2\n"), ("d", "new\n")], "run");
    assert_eq!(taken_back(&repository, run, &[run]).await, [""; 0]);
    // Another change of the same files is no revert, nor is half of one.
    remote.commit(&[("a", "3\n")], "on");
    remote.commit(&[("a", "1\n"), ("c", "2\n")], "half");
    assert_eq!(taken_back(&repository, run, &[run]).await, [""; 0]);
    // The second half makes it whole.
    let whole = remote.commit(&[("b", "1\n"), ("d", "")], "the other half");
    assert_eq!(
        taken_back(&repository, run, &[run]).await,
        [format!("{} restores {}", whole.short(), run.short())]
    );
    // What was so already is nobody's doing.
    remote.commit(&[("c", "3\n")], "elsewhere");
    assert_eq!(taken_back(&repository, whole, &[run]).await, [""; 0]);

    // git's own words, on a branch that was merged.
    let again = remote.commit(&[("a", "2\n")], "run again");
    git(&remote.work(), &["checkout", "-q", "-b", "side"]);
    git(&remote.work(), &["revert", "--no-edit", "HEAD"]);
    let revert: CommitId = git(&remote.work(), &["rev-parse", "HEAD"]).parse().expect("an id");
    git(&remote.work(), &["checkout", "-q", "-"]);
    git(&remote.work(), &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    remote.push_all("empty");
    assert_eq!(
        taken_back(&repository, again, &[again]).await,
        [
            format!("{} restores {}", revert.short(), again.short()),
            format!("{} names {}", revert.short(), &again.to_string()[..7]),
        ]
    );
    // Words alone, about whatever: the caller judges. Commits that are gone are passed over.
    let unknown: CommitId = "da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("an id");
    let tip = remote.head();
    let said = remote.commit(&[("c", "4\n")], &format!("This reverts commit {unknown}."));
    assert_eq!(
        taken_back(&repository, tip, &[unknown]).await,
        [format!("{} names da39a3e", said.short())]
    );
}

#[tokio::test]
async fn what_came_before_a_commit_or_beside_it_takes_nothing_back() {
    let remote = Remote::with(&[("a", "1\n"), ("b", "1\n")]);
    let repository = remote.open().await;
    let start = remote.head();
    // Somebody's change of the same file, and the run on top of it, before anybody looked.
    remote.commit(&[("a", "7\n")], "somebody");
    let run = remote.commit(&[("a", "5\n")], "run");
    assert_eq!(taken_back(&repository, start, &[run]).await, [""; 0]);
    // A branch that began before the run, and has the file as it was then.
    git(&remote.work(), &["checkout", "-q", "-b", "side", &start.to_string()]);
    for content in ["6\n", "7\n"] {
        std::fs::write(remote.work().join("a"), content).expect("written");
        git(&remote.work(), &["commit", "-q", "-am", "beside"]);
    }
    git(&remote.work(), &["checkout", "-q", "-"]);
    git(&remote.work(), &["merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", "side"]);
    remote.push_all("empty");
    assert_eq!(taken_back(&repository, start, &[run]).await, [""; 0]);
    // The same content after it does.
    let back = remote.commit(&[("a", "7\n")], "back");
    assert_eq!(
        taken_back(&repository, start, &[run]).await,
        [format!("{} restores {}", back.short(), run.short())]
    );
}
