//! A branch that moved, and commits taken back: the cases one by one, and against git's own merge.

use std::time::Duration;

use domain::{ChangeSet, CommitId};
use gitworker::{Inverse, Rebase, Repository, RequestedChange};

use crate::support::*;

const TEN: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

async fn tip(repository: &Repository) -> CommitId {
    repository.refresh(Duration::ZERO).await.expect("a tip").commit
}

fn words(outcome: &Rebase) -> String {
    match outcome {
        Rebase::Untouched => "untouched".into(),
        Rebase::AlreadyThere => "already there".into(),
        Rebase::Merged(change) => format!("merged {}", change.len()),
        Rebase::Conflict { paths } => format!("conflict {paths:?}"),
    }
}

/// What happens, what the agent wishes, what a person pushes meanwhile, and what comes of it.
type Row<'t> = (&'static str, Vec<RequestedChange>, Vec<(&'t str, &'t str)>, &'static str);

#[tokio::test]
async fn every_way_in_which_a_branch_moves() {
    let far = TEN.replace("ten", "TEN");
    let first = TEN.replace("one", "ONE");
    let other_first = TEN.replace("one", "EINS");
    let adjacent = TEN.replace("two", "TWO");
    let rows: Vec<Row<'_>> = vec![
        ("another file", vec![write("f", &first)], vec![("g", "x\n")], "untouched"),
        ("far lines", vec![write("f", &first)], vec![("f", &far)], "merged 1"),
        (
            "far lines and another file",
            vec![write("f", &first), write("h", "new\n")],
            vec![("f", &far)],
            "merged 2",
        ),
        ("the same change", vec![write("f", &first)], vec![("f", &first)], "already there"),
        (
            "half of it",
            vec![write("f", &first), write("h", "new\n")],
            vec![("h", "new\n")],
            "merged 1",
        ),
        (
            "adjacent lines",
            vec![write("f", &first)],
            vec![("f", &adjacent)],
            "conflict [\"f\"]",
        ),
        (
            "the same line",
            vec![write("f", &first)],
            vec![("f", &other_first)],
            "conflict [\"f\"]",
        ),
        (
            "branch deleted, we edit",
            vec![write("f", &first)],
            vec![("f", "")],
            "conflict [\"f\"]",
        ),
        ("branch edited, we delete", vec![delete("f")], vec![("f", &far)], "conflict [\"f\"]"),
        ("both deleted", vec![delete("f")], vec![("f", "")], "already there"),
        (
            "branch renamed, we edit the old name",
            vec![write("f", &first)],
            vec![("f", ""), ("moved", TEN)],
            "conflict [\"f\"]",
        ),
        (
            "both added, alike",
            vec![write("new", "x\n")],
            vec![("new", "x\n")],
            "already there",
        ),
        (
            "both added, otherwise",
            vec![write("new", "x\n")],
            vec![("new", "y\n")],
            "conflict [\"new\"]",
        ),
        (
            "a file where we need a directory",
            vec![write("new/x", "x\n")],
            vec![("new", "y\n")],
            "conflict [\"new/x\"]",
        ),
        (
            "a directory where we need a file",
            vec![write("new", "x\n")],
            vec![("new/x", "y\n")],
            "conflict [\"new\"]",
        ),
        (
            "another letter case appeared",
            vec![write("New", "x\n")],
            vec![("new", "y\n")],
            "conflict [\"New\"]",
        ),
        (
            "binary on both sides",
            vec![write("bin", "\0a")],
            vec![("bin", "\0b")],
            "conflict [\"bin\"]",
        ),
    ];
    for (case, wishes, theirs, expected) in rows {
        let remote = Remote::with(&[("f", TEN), ("g", "g\n"), ("bin", "\0")]);
        let repository = remote.open().await;
        let (base, change) = change(&repository, wishes).await;
        remote.commit(&theirs, "theirs");
        let tip = tip(&repository).await;
        let outcome = repository.rebase(base, tip, &change).await.expect("an outcome");
        assert_eq!(words(&outcome), expected, "{case}");
        let carried = match outcome {
            Rebase::Merged(merged) => merged,
            Rebase::Untouched => change.clone(),
            _ => continue,
        };
        assert_eq!(
            carried.digest(&name(), "main") == change.digest(&name(), "main"),
            expected == "untouched",
            "{case}"
        );
        let built = repository.build(tip, &[spec(&carried, "carried over")]).await.expect("a commit");
        let ours = repository.build(base, &[spec(&change, "ours")]).await.expect("a commit");
        assert_eq!(repository.push_branch("ours", &ours, None).await, gitworker::PushOutcome::Confirmed);
        assert_eq!(repository.push(&built, tip).await, gitworker::PushOutcome::Confirmed);
        assert_eq!(
            tree_of(&remote, "main"),
            git_merge(&remote, &base, &tip, "ours"),
            "{case}: git's own merge makes the same tree"
        );
    }
}

fn tree_of(remote: &Remote, what: &str) -> String {
    git(&remote.path(), &["rev-parse", &format!("{what}^{{tree}}")])
}

fn git_merge(remote: &Remote, base: &CommitId, tip: &CommitId, ours: &str) -> String {
    let base = format!("--merge-base={base}");
    git(
        &remote.path(),
        &[
            "-c",
            "merge.renames=false",
            "merge-tree",
            "--write-tree",
            &base,
            &tip.to_string(),
            ours,
        ],
    )
}

#[tokio::test]
async fn modes_merge_like_contents() {
    let remote = Remote::with(&[("run.sh", TEN)]);
    let repository = remote.open().await;
    let (base, edit) = change(&repository, vec![write("run.sh", &TEN.replace("one", "ONE"))]).await;
    git(&remote.work(), &["update-index", "--chmod=+x", "run.sh"]);
    git(&remote.work(), &["commit", "-q", "-m", "executable"]);
    git(&remote.work(), &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let tip = tip(&repository).await;
    let Ok(Rebase::Merged(merged)) = repository.rebase(base, tip, &edit).await else {
        panic!("it merges")
    };
    let new = merged.iter().next().and_then(|(_, file)| file.new.clone()).expect("a file");
    assert_eq!(
        (new.mode, new.bytes),
        (domain::FileMode::Executable, TEN.replace("one", "ONE").into_bytes())
    );
}

#[tokio::test]
async fn a_commit_is_taken_back_alone() {
    let remote = Remote::with(&[("f", TEN), ("gone", "x\n"), ("same", "s\n")]);
    let repository = remote.open().await;
    let wishes = vec![write("f", &TEN.replace("one", "ONE")), delete("gone"), write("new", "n\n")];
    let (built, _) = deliver(&repository, wishes, "to be taken back").await;
    remote.commit(
        &[("f", &TEN.replace("one", "ONE").replace("ten", "TEN")), ("same", "t\n")],
        "later work",
    );
    let tip = tip(&repository).await;
    let Ok(Inverse::Change(back)) = repository.inverse(built.tip(), tip).await else {
        panic!("it applies")
    };
    let reverted = repository.build(tip, &[spec(&back, "back")]).await.expect("a commit");
    assert_eq!(repository.push(&reverted, tip).await, gitworker::PushOutcome::Confirmed);
    assert_eq!(remote.show("main:f"), TEN.replace("ten", "TEN").trim_end());
    assert_eq!(remote.show("main:gone"), "x");
    assert_eq!(git(&remote.path(), &["ls-tree", "--name-only", "main"]), "f\ngone\nsame");
    assert_eq!(repository.inverse(built.tip(), reverted.tip()).await, Ok(Inverse::NothingLeft));
    // git's own revert makes the same tree.
    let work = remote.work();
    git(&work, &["fetch", "-q", "origin", "main"]);
    git(&work, &["reset", "-q", "--hard", &tip.to_string()]);
    git(&work, &["revert", "--no-edit", &built.tip().to_string()]);
    assert_eq!(git(&work, &["rev-parse", "HEAD^{tree}"]), tree_of(&remote, "main"));
}

#[tokio::test]
async fn a_revert_that_no_longer_applies_names_the_commits_in_between() {
    let remote = Remote::with(&[("f", TEN), ("g", "g\n")]);
    let repository = remote.open().await;
    let (built, _) = deliver(&repository, vec![write("f", &TEN.replace("one", "ONE"))], "first").await;
    remote.commit(&[("g", "other\n")], "elsewhere");
    let second = remote.commit(&[("f", &TEN.replace("one", "UNO"))], "second thoughts");
    let tip = tip(&repository).await;
    let Ok(Inverse::Conflict { paths, between }) = repository.inverse(built.tip(), tip).await else {
        panic!("a conflict")
    };
    assert_eq!(paths, [path("f")]);
    let told: Vec<_> = between
        .iter()
        .map(|touch| (touch.id, touch.author.as_str(), touch.summary.as_str()))
        .collect();
    assert_eq!(told, [(second, "alice", "second thoughts")]);
}

#[tokio::test]
async fn what_no_proposal_may_touch_is_not_taken_back_by_one() {
    let remote = Remote::with(&[("f", TEN)]);
    std::os::unix::fs::symlink("/etc", remote.work().join("link")).expect("a symlink");
    let odd = remote.push_all("a symlink");
    let repository = remote.open().await;
    let tip = tip(&repository).await;
    assert!(matches!(repository.inverse(odd, tip).await, Ok(Inverse::Unsupported { why }) if why.contains("link")));
}

/// Small files of few lines, changed at random on both sides: whenever git merges cleanly, so does the worker, with the same tree;
/// and the other way round.
#[tokio::test]
async fn random_edits_merge_as_git_merges_them() {
    let remote = Remote::with(&[("seed", "x\n")]);
    let mut random = Random(0x5eed);
    let (mut clean, mut conflicts) = (0, 0);
    for round in 0..30 {
        let base_files: Vec<(String, String)> = (0..4).map(|n| (format!("r{round}/d{}/f{n}", n % 2), random.text())).collect();
        let borrowed: Vec<_> = base_files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        remote.commit(&borrowed, "base");
        let repository = remote.open().await;
        let wishes: Vec<_> = base_files
            .iter()
            .filter_map(|(path, text)| random.edit(text).map(|new| wish(path, new)))
            .collect();
        let theirs: Vec<_> = base_files
            .iter()
            .filter_map(|(path, text)| Some((path.clone(), random.edit(text)?.unwrap_or_default())))
            .collect();
        let (base, change) = change(&repository, wishes).await;
        if change.is_empty() {
            continue;
        }
        let theirs: Vec<_> = theirs.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        remote.commit(&theirs, "theirs");
        let tip = tip(&repository).await;
        let ours = repository.build(base, &[spec(&change, "ours")]).await.expect("a commit");
        let branch = format!("ours-{round}");
        repository.push_branch(&branch, &ours, None).await;
        let base_arg = format!("--merge-base={base}");
        let merged = git_output(
            &remote.path(),
            &[
                "-c",
                "merge.renames=false",
                "merge-tree",
                "--write-tree",
                &base_arg,
                &tip.to_string(),
                &branch,
            ],
        );
        let outcome = repository.rebase(base, tip, &change).await.expect("an outcome");
        let carried = match &outcome {
            Rebase::Conflict { .. } => None,
            Rebase::AlreadyThere => Some(ChangeSet::default()),
            Rebase::Untouched => Some(change),
            Rebase::Merged(merged) => Some(merged.clone()),
        };
        assert_eq!(carried.is_some(), merged.status.success(), "round {round}: {outcome:?}");
        let Some(carried) = carried else {
            conflicts += 1;
            continue;
        };
        clean += 1;
        let expected = String::from_utf8_lossy(&merged.stdout).trim().to_owned();
        if carried.is_empty() {
            assert_eq!(tree_of(&remote, "main"), expected, "round {round}");
            continue;
        }
        let built = repository.build(tip, &[spec(&carried, "carried")]).await.expect("a commit");
        repository.push_branch(&format!("carried-{round}"), &built, None).await;
        assert_eq!(tree_of(&remote, &format!("carried-{round}")), expected, "round {round}");
    }
    assert!(
        clean > 5 && conflicts > 3,
        "both kinds are seen: {clean} clean, {conflicts} conflicts"
    );
}

fn wish(at: &str, new: Option<String>) -> RequestedChange {
    match new {
        Some(text) => write(at, &text),
        None => delete(at),
    }
}

/// A tiny generator with a fixed seed: the same rounds every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn text(&mut self) -> String {
        let lines = 3 + self.below(8);
        (0..lines).map(|n| format!("line {n} {}\n", self.below(3))).collect()
    }

    /// Nothing, a deletion (`Some(None)`), or another text.
    fn edit(&mut self, text: &str) -> Option<Option<String>> {
        match self.below(10) {
            0..3 => None,
            3 => Some(None),
            _ => {
                let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
                let at = usize::try_from(self.below(lines.len() as u64)).expect("small");
                match self.below(3) {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, format!("added {}\n", self.below(4))),
                    _ => lines[at] = format!("changed {}\n", self.below(4)),
                }
                Some(Some(lines.concat()))
            }
        }
    }
}
