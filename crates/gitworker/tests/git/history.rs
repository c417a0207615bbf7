//! Ancestry, where a delivery went, what became of a change that a human commits, and what is told about a commit.

use std::time::Duration;

use domain::{ChangeSet, CommitId};
use gitworker::{Ancestry, Known, Located, Manual, Repository, Standing};

use crate::support::*;

const SEED: &[(&str, &str)] = &[("main.tf", "size = 1\n"), ("other.tf", "x = 1\n")];

fn unknown() -> CommitId {
    "da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("an id")
}

#[tokio::test]
async fn ancestry_and_what_is_known_of_a_commit() {
    let remote = Remote::with(SEED);
    let first = remote.head();
    let second = remote.commit(&[("main.tf", "size = 2\n")], "second");
    let repository = remote.open().await;
    for (ancestor, descendant, answer) in [
        (first, second, Ancestry::Yes),
        (second, first, Ancestry::No),
        (first, first, Ancestry::Yes),
        (unknown(), second, Ancestry::Unknown),
        (first, unknown(), Ancestry::Unknown),
        (unknown(), unknown(), Ancestry::Unknown),
    ] {
        for _ in 0..2 {
            assert_eq!(repository.is_ancestor(ancestor, descendant).await, Ok(answer));
        }
    }
    assert_eq!(repository.known_commit(first).await, Ok(Known::OnBranch));
    assert_eq!(repository.known_commit(unknown()).await, Ok(Known::Unknown));
    // The mirror holds one branch; of others the remote tells the tips.
    git(&remote.path(), &["update-ref", "refs/heads/feature/x", &first.to_string()]);
    assert_eq!(repository.other_branch_at(first).await, Ok(Some("feature/x".to_owned())));
    assert_eq!(repository.other_branch_at(second).await, Ok(None), "our own is none of the others");
    // The branch is moved back by force: what it had is still known, and no longer on it.
    git(&remote.path(), &["update-ref", "refs/heads/main", &first.to_string()]);
    repository.refresh(Duration::ZERO).await.expect("a tip");
    assert_eq!(repository.known_commit(second).await, Ok(Known::OffBranch));
}

#[tokio::test]
async fn many_commits_are_answered_about_at_once_as_each_alone() {
    let remote = Remote::with(SEED);
    let mut asked = vec![unknown(), remote.head()];
    asked.extend((0..6).map(|size| remote.commit(&[("main.tf", &format!("size = {size}\n"))], "one more")));
    let fork = remote.head();
    // Two lines from there on; the mirror has seen both.
    let lost = remote.commit(&[("other.tf", "x = 2\n")], "given up");
    let repository = remote.open().await;
    git(&remote.path(), &["update-ref", "refs/heads/main", &fork.to_string()]);
    let ahead = remote.commit(&[("other.tf", "x = 3\n")], "instead");
    repository.refresh(Duration::ZERO).await.expect("a tip");
    asked.extend([lost, ahead, ahead]);
    for descendant in asked.clone() {
        let mut alone = Vec::new();
        for commit in &asked {
            alone.push(repository.is_ancestor(*commit, descendant).await.expect("an answer"));
        }
        assert_eq!(repository.contained(asked.clone(), descendant).await, Ok(alone), "{descendant}");
    }
    assert_eq!(repository.contained(Vec::new(), ahead).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_delivery_is_found_by_id_then_by_trailer() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n")]).await;
    let built = repository
        .build(base, &[spec(&change, "size\n\nProposal-Id: prp_1")])
        .await
        .expect("a commit");
    let ours = built.tip();
    assert_eq!(repository.locate(&[ours], "prp_1").await, Ok(Located::NotLanded { tip: base }));
    repository.push(&built, base).await;
    assert_eq!(repository.locate(&[unknown(), ours], "prp_1").await, Ok(Located::Landed(ours)));
    remote.commit(&[("other.tf", "x = 2\n")], "on top");
    assert_eq!(repository.locate(&[ours], "prp_1").await, Ok(Located::Landed(ours)));
    // Somebody rebases the branch by hand and keeps the message.
    git(&remote.path(), &["update-ref", "refs/heads/main", &base.to_string()]);
    let rewritten = remote.commit(&[("main.tf", "size = 2\n")], "size, rewritten\n\nProposal-Id: prp_1");
    assert_eq!(repository.locate(&[ours], "prp_1").await, Ok(Located::LandedAs(rewritten)));
    assert!(matches!(repository.locate(&[ours], "prp_2").await, Ok(Located::NotLanded { .. })));
}

/// The kind, and who committed.
async fn landed(repository: &Repository, since: CommitId, change: &ChangeSet) -> (&'static str, Option<CommitId>) {
    repository.refresh(Duration::ZERO).await.expect("a tip");
    match repository.landed(since, change, "prp_1").await.expect("an answer") {
        Manual::NotYet => ("not yet", None),
        Manual::AsProposed(commit) => ("as proposed", Some(commit.id)),
        Manual::WithEdits(commit) => ("with edits", Some(commit.id)),
        Manual::Undone { brought, .. } => ("undone", Some(brought.id)),
        Manual::Diverged(commit) => ("diverged", Some(commit.id)),
    }
}

#[tokio::test]
async fn a_change_that_a_human_commits_is_recognised() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n"), write("new.tf", "n = 1\n")]).await;
    assert_eq!(landed(&repository, base, &change).await, ("not yet", None));
    remote.commit(&[("other.tf", "x = 2\n")], "elsewhere");
    assert_eq!(landed(&repository, base, &change).await, ("not yet", None));
    remote.commit(&[("new.tf", "n = 1\n")], "half of it");
    assert_eq!(landed(&repository, base, &change).await, ("not yet", None));
    let second_half = remote.commit(&[("main.tf", "size = 2\n")], "the other half");
    assert_eq!(landed(&repository, base, &change).await, ("as proposed", Some(second_half)));
    remote.commit(&[("main.tf", "size = 3\n")], "and on it goes");
    assert_eq!(
        landed(&repository, base, &change).await,
        ("with edits", Some(second_half)),
        "what counts is what the branch holds now"
    );
}

#[tokio::test]
async fn what_was_committed_and_taken_back_has_not_landed() {
    for message in ["size", "size\n\nProposal-Id: prp_1"] {
        let remote = Remote::with(SEED);
        let repository = remote.open().await;
        let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n")]).await;
        let brought = remote.commit(&[("main.tf", "size = 2\n")], message);
        git(&remote.work(), &["revert", "--no-edit", "HEAD"]);
        git(&remote.work(), &["push", "-q", "origin", "HEAD:refs/heads/main"]);
        assert_eq!(landed(&repository, base, &change).await, ("undone", Some(brought)), "{message}");
        let anew = remote.commit(&[("main.tf", "size = 2\n")], "after all");
        assert_eq!(landed(&repository, base, &change).await, ("as proposed", Some(anew)));
    }
}

#[tokio::test]
async fn a_trailer_on_a_commit_elsewhere_brings_nothing() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n")]).await;
    remote.commit(&[("other.tf", "x = 2\n")], "notes\n\nProposal-Id: prp_1");
    assert_eq!(landed(&repository, base, &change).await, ("not yet", None));
    let brought = remote.commit(&[("main.tf", "size = 2\n")], "size");
    assert_eq!(landed(&repository, base, &change).await, ("as proposed", Some(brought)));
}

#[tokio::test]
async fn edits_and_other_changes_are_told_apart_by_the_trailer() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n")]).await;
    let other = remote.commit(&[("main.tf", "size = 9\n")], "something else");
    assert_eq!(landed(&repository, base, &change).await, ("diverged", Some(other)));
    let edited = remote.commit(&[("main.tf", "size = 4\n")], "size, but four\n\nProposal-Id: prp_1");
    assert_eq!(landed(&repository, base, &change).await, ("with edits", Some(edited)));
}

#[tokio::test]
async fn a_merged_pull_request_counts_as_its_merge() {
    for (content, kind) in [("size = 2\n", "as proposed"), ("size = 5\n", "with edits")] {
        let remote = Remote::with(SEED);
        let repository = remote.open().await;
        let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n")]).await;
        let work = remote.work();
        git(&work, &["checkout", "-q", "-b", "pull"]);
        std::fs::write(work.join("main.tf"), content).expect("a file");
        git(&work, &["commit", "-qam", "size\n\nProposal-Id: prp_1"]);
        git(&work, &["checkout", "-q", "-"]);
        git(&work, &["merge", "-q", "--no-ff", "-m", "Merge pull request", "pull"]);
        git(&work, &["push", "-q", "origin", "HEAD:refs/heads/main"]);
        assert_eq!(landed(&repository, base, &change).await, (kind, Some(remote.head())));
    }
}

#[tokio::test]
async fn a_change_is_compared_with_one_commit() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n"), delete("other.tf")]).await;
    assert_eq!(repository.standing(base, &change).await, Ok(Standing::AsBefore));
    let half = remote.commit(&[("main.tf", "size = 2\n")], "half");
    let whole = remote.commit(&[("other.tf", "")], "whole");
    repository.refresh(Duration::ZERO).await.expect("a tip");
    assert_eq!(
        repository.standing(half, &change).await,
        Ok(Standing::Otherwise {
            paths: vec![path("other.tf")]
        })
    );
    assert_eq!(repository.standing(whole, &change).await, Ok(Standing::AsProposed));
}

#[tokio::test]
async fn a_commit_is_described_and_its_change_has_the_digest_of_the_proposal() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let (base, change) = change(&repository, vec![write("main.tf", "size = 2\n"), delete("other.tf")]).await;
    let message = "size: 2\n\nBecause.\n\nProposal-Id: prp_1\nApproved-by: alice";
    let built = repository.build(base, &[spec(&change, message)]).await.expect("a commit");
    repository.push(&built, base).await;
    let info = repository.describe_commit(built.tip()).await.expect("facts");
    assert_eq!(
        (info.parents, info.author.name.as_str(), info.committer.email.as_str()),
        (vec![base], "countersign", "countersign@example.com")
    );
    assert_eq!(
        info.trailers,
        [
            ("Proposal-Id".to_owned(), "prp_1".to_owned()),
            ("Approved-by".to_owned(), "alice".to_owned())
        ]
    );
    assert_eq!(
        (info.paths, info.paths_cut),
        (vec!["main.tf".to_owned(), "other.tf".to_owned()], false)
    );
    assert_eq!(
        info.change.map(|change| change.digest(&name(), "main")),
        Some(change.digest(&name(), "main"))
    );
    let seed = repository.describe_commit(base).await.expect("facts");
    assert_eq!(
        (seed.parents.len(), seed.paths.len()),
        (0, 2),
        "the first commit is measured against nothing"
    );
}

#[tokio::test]
async fn commits_that_touched_a_path_are_listed_newest_first() {
    let remote = Remote::with(SEED);
    let base = remote.head();
    let one = remote.commit(&[("main.tf", "size = 2\n")], "one");
    remote.commit(&[("other.tf", "x = 2\n")], "elsewhere");
    let two = remote.commit(&[("main.tf", "")], "two");
    let repository = remote.open().await;
    let tip = remote.head();
    let ids = |touches: Vec<gitworker::Touch>| touches.into_iter().map(|touch| touch.id).collect::<Vec<_>>();
    let all = repository.last_touching(base, tip, &[path("main.tf")], 10).await.expect("commits");
    assert_eq!(ids(all), [two, one]);
    let newest = repository.last_touching(base, tip, &[path("main.tf")], 1).await.expect("commits");
    assert_eq!(ids(newest), [two]);
}

/// What came to the branch since `from`: the subjects with the paths, and whether a merge brought the commit.
async fn came(repository: &Repository, from: CommitId) -> Vec<(String, Vec<String>, bool)> {
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let came = repository.commits_since(vec![from], tip, 5_000).await.expect("commits");
    assert_eq!((came.reached, came.left), (vec![tip], 0));
    let came = came.commits.into_iter();
    let mut came: Vec<_> = came.map(|new| (new.summary, new.paths, new.brought_by != new.id)).collect();
    came.sort();
    came
}

#[tokio::test]
async fn a_merge_brings_its_commits_and_has_only_what_differs_from_every_parent() {
    let owned = |path: &str| vec![path.to_owned()];
    for (how, own) in [("no-ff", false), ("ours", false), ("edited", true)] {
        let remote = Remote::with(SEED);
        let repository = remote.open().await;
        let base = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
        let work = remote.work();
        git(&work, &["checkout", "-q", "-b", "side"]);
        std::fs::write(work.join("side.tf"), "s = 1\n").expect("a file");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "on the side"]);
        git(&work, &["checkout", "-q", "main"]);
        remote.commit(&[("other.tf", "o = 1\n")], "on main");
        match how {
            "ours" => git(&work, &["merge", "-q", "-s", "ours", "-m", "merged", "side"]),
            _ => git(&work, &["merge", "-q", "--no-ff", "-m", "merged", "side"]),
        };
        if own {
            std::fs::write(work.join("slipped.tf"), "x = 1\n").expect("a file");
            git(&work, &["add", "-A"]);
            git(&work, &["commit", "-q", "--amend", "--no-edit"]);
        }
        git(&work, &["push", "-q", "origin", "main"]);
        let mut expected = vec![
            ("on main".to_owned(), owned("other.tf"), false),
            ("on the side".to_owned(), owned("side.tf"), true),
        ];
        if own {
            expected.insert(0, ("merged".to_owned(), owned("slipped.tf"), false));
        }
        assert_eq!(came(&repository, base).await, expected, "{how}");
    }
}

/// However small the steps are, every commit is looked at once, whatever the history is like, and by whom it was brought stays the same.
#[tokio::test]
async fn a_long_distance_is_walked_in_steps_that_pass_nothing_over() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let base = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let work = remote.work();
    let write = |name: &str| {
        std::fs::write(work.join(name), "x\n").expect("a file");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", name]);
    };
    for round in ["a", "b"] {
        git(&work, &["checkout", "-q", "-b", round]);
        write(&format!("{round}-side-1"));
        write(&format!("{round}-side-2"));
        git(&work, &["checkout", "-q", "main"]);
        write(&format!("{round}-main-1"));
        write(&format!("{round}-main-2"));
        git(&work, &["merge", "-q", "--no-ff", "-m", "merged", round]);
    }
    git(&work, &["push", "-q", "origin", "main"]);
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let whole = repository.commits_since(vec![base], tip, 5_000).await.expect("commits").commits;
    assert_eq!(whole.len(), 8, "{whole:?}");
    assert_eq!(whole.iter().filter(|commit| commit.brought_by != commit.id).count(), 4, "{whole:?}");
    for most in 1..=10 {
        let (mut from, mut found, mut left) = (vec![base], Vec::new(), 10);
        while from != [tip] {
            let step = repository.commits_since(from, tip, most).await.expect("commits");
            assert!(step.commits.len() <= most && step.left == left.max(most) - most, "{step:?}");
            (from, left) = (step.reached, step.left);
            found.extend(step.commits);
        }
        found.sort_by_key(|commit| commit.id);
        let mut whole = whole.clone();
        whole.sort_by_key(|commit| commit.id);
        assert_eq!(found, whole, "in steps of {most}");
    }
}

/// What a merge took from one side is none of its own, however much that is; of what is, the answer says that there is more than it lists.
#[tokio::test]
async fn a_commit_of_too_many_paths_says_so() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let base = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let work = remote.work();
    let write = |folder: &str, files: usize| {
        std::fs::create_dir_all(work.join(folder)).expect("a folder");
        for number in 0..files {
            std::fs::write(work.join(folder).join(format!("{number:04}")), "x\n").expect("a file");
        }
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", folder]);
    };
    git(&work, &["checkout", "-q", "-b", "side"]);
    write("exactly", 1000);
    write("more", 1001);
    git(&work, &["checkout", "-q", "main"]);
    write("beside", 1);
    git(&work, &["merge", "-q", "--no-ff", "--no-commit", "side"]);
    std::fs::write(work.join("zz-slipped"), "x\n").expect("a file");
    std::fs::remove_file(work.join("more/0000")).expect("a file less");
    write("merged", 0);
    git(&work, &["push", "-q", "origin", "main"]);
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let came = repository.commits_since(vec![base], tip, 5_000).await.expect("commits").commits;
    let mut told: Vec<_> = came
        .iter()
        .map(|new| (new.summary.as_str(), new.paths.len(), new.paths_cut))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("beside", 1, false),
            ("exactly", 1000, false),
            ("merged", 1, false),
            ("more", 1000, true)
        ]
    );
    assert!(
        came.iter().any(|new| new.paths == ["zz-slipped"]),
        "one side has no more/0000: {told:?}"
    );
}

#[tokio::test]
async fn a_fast_forward_brings_each_commit_by_itself() {
    let remote = Remote::with(SEED);
    let repository = remote.open().await;
    let base = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let work = remote.work();
    git(&work, &["checkout", "-q", "-b", "side"]);
    for name in ["one", "two"] {
        std::fs::write(work.join(name), "x\n").expect("a file");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", name]);
    }
    git(&work, &["checkout", "-q", "main"]);
    git(&work, &["merge", "-q", "--ff-only", "side"]);
    git(&work, &["push", "-q", "origin", "main"]);
    let expected = ["one", "two"].map(|name| (name.to_owned(), vec![name.to_owned()], false));
    assert_eq!(came(&repository, base).await, expected);
}
