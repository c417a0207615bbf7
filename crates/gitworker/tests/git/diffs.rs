//! Diffs in: applied exactly or refused with the line. Diffs out: what git itself would show, and what it applies.

use std::time::Duration;

use gitworker::{DiffError, Edit, Manual, Repository, RequestedChange};

use crate::support::*;

const TEN: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";

async fn repository() -> (Remote, Repository, domain::CommitId) {
    let remote = Remote::with(&[
        ("f", TEN),
        ("short", "a\n"),
        ("crlf", "a\r\nb\r\n"),
        ("open", "a\nb"),
        ("dir/a b", "x\n"),
        ("emptied", "e\n"),
    ]);
    let repository = remote.open().await;
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    (remote, repository, tip)
}

fn shown(changes: &[RequestedChange]) -> Vec<String> {
    let show = |change: &RequestedChange| match &change.edit {
        Edit::Delete => format!("-{}", change.path),
        Edit::Write { bytes, exec } => format!(
            "{}={:?}{}",
            change.path,
            String::from_utf8_lossy(bytes),
            if *exec == Some(true) { " x" } else { "" }
        ),
    };
    changes.iter().map(show).collect()
}

#[tokio::test]
async fn exact_diffs_become_full_contents() {
    let (_remote, repository, tip) = repository().await;
    for (case, diff, expected) in [
        (
            "exact",
            "diff --git a/short b/short\nindex 7898192..6178079 100644\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n",
            vec!["short=\"b\\n\""],
        ),
        (
            "no git line",
            "--- a/short\n+++ b/short\n@@ -1,1 +1,2 @@\n a\n+b\n",
            vec!["short=\"a\\nb\\n\""],
        ),
        ("no prefixes", "--- short\n+++ short\n@@ -1 +1 @@\n-a\n+b\n", vec!["short=\"b\\n\""]),
        (
            "times after a tab",
            "--- short\t2026-01-01\n+++ short\t2026-01-02\n@@ -1 +1 @@\n-a\n+b\n",
            vec!["short=\"b\\n\""],
        ),
        (
            "new file",
            "--- /dev/null\n+++ b/new/x\n@@ -0,0 +1,2 @@\n+one\n+two\n",
            vec!["new/x=\"one\\ntwo\\n\""],
        ),
        (
            "new executable",
            "diff --git a/run b/run\nnew file mode 100755\n--- /dev/null\n+++ b/run\n@@ -0,0 +1 @@\n+x\n",
            vec!["run=\"x\\n\" x"],
        ),
        (
            "new empty file",
            "diff --git a/nil b/nil\nnew file mode 100644\nindex 0000000..e69de29\n",
            vec!["nil=\"\""],
        ),
        (
            "delete",
            "diff --git a/short b/short\ndeleted file mode 100644\n--- a/short\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
            vec!["-short"],
        ),
        (
            "pure rename",
            "diff --git a/short b/long\nsimilarity index 100%\nrename from short\nrename to long\n",
            vec!["long=\"a\\n\"", "-short"],
        ),
        (
            "rename and edit",
            "diff --git a/short b/long\nrename from short\nrename to long\n--- a/short\n+++ b/long\n@@ -1 +1 @@\n-a\n+b\n",
            vec!["long=\"b\\n\"", "-short"],
        ),
        (
            "copy",
            "diff --git a/short b/long\nsimilarity index 100%\ncopy from short\ncopy to long\n",
            vec!["long=\"a\\n\""],
        ),
        (
            "no final newline before",
            "--- a/open\n+++ b/open\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n",
            vec!["open=\"a\\nc\\n\""],
        ),
        (
            "no final newline after",
            "--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n",
            vec!["short=\"b\""],
        ),
        (
            "CRLF kept",
            "--- a/crlf\n+++ b/crlf\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n",
            vec!["crlf=\"a\\r\\nc\\r\\n\""],
        ),
        (
            "a name with a blank",
            "diff --git a/dir/a b b/dir/a b\n--- a/dir/a b\t\n+++ b/dir/a b\t\n@@ -1 +1 @@\n-x\n+y\n",
            vec!["dir/a b=\"y\\n\""],
        ),
        (
            "a quoted name",
            "--- /dev/null\n+++ \"b/\\303\\274\"\n@@ -0,0 +1 @@\n+x\n",
            vec!["ü=\"x\\n\""],
        ),
        (
            "two hunks",
            "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n@@ -9,2 +9,3 @@\n nine\n+nine and a half\n ten\n",
            vec!["f=\"ONE\\ntwo\\nthree\\nfour\\nfive\\nsix\\nseven\\neight\\nnine\\nnine and a half\\nten\\n\""],
        ),
        (
            "two files and blank lines",
            "--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n\n",
            vec!["short=\"b\\n\"", "n=\"n\\n\""],
        ),
        (
            "removed lines that look like headers",
            "--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+++ x\n+-- y\n",
            vec!["n=\"++ x\\n-- y\\n\""],
        ),
    ] {
        let changes = repository
            .apply_diff(tip, diff)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(shown(&changes), expected, "{case}");
        let change = repository
            .resolve(tip, changes)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(!change.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn everything_else_is_refused_with_its_line() {
    let (_remote, repository, tip) = repository().await;
    for (case, diff, line, words) in [
        ("empty", "", 1, "no change"),
        (
            "a fence around it",
            "```diff\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n```\n",
            1,
            "text outside the patch",
        ),
        (
            "a remark before",
            "Here you are:\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n",
            1,
            "text outside the patch",
        ),
        (
            "a remark after",
            "--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\nDone.\n",
            6,
            "text outside the patch",
        ),
        (
            "off by ten",
            "--- a/f\n+++ b/f\n@@ -12,1 +12,1 @@\n-one\n+ONE\n",
            3,
            "after the end",
        ),
        (
            "off by one",
            "--- a/f\n+++ b/f\n@@ -2,1 +2,1 @@\n-one\n+ONE\n",
            4,
            "line 1 of hunk 1 does not match line 2 of the base at ",
        ),
        (
            "a wrong context line",
            "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-one\n+ONE\n zwei\n",
            6,
            "line 3 of hunk 1 does not match line 2 of the base at ",
        ),
        (
            "LF against CRLF",
            "--- a/crlf\n+++ b/crlf\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n",
            4,
            "line endings included",
        ),
        (
            "too few lines",
            "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-one\n+ONE\n",
            3,
            "announces 3 old",
        ),
        (
            "too many lines",
            "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-one\n+ONE\n two\n",
            6,
            "goes on after",
        ),
        (
            "a new file over an existing one",
            "--- /dev/null\n+++ b/short\n@@ -0,0 +1 @@\n+x\n",
            1,
            "exists in the base already",
        ),
        (
            "an edit of nothing",
            "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n",
            1,
            "does not exist in the base",
        ),
        (
            "a mode change from another mode",
            "diff --git a/short b/short\nold mode 100755\nnew mode 100644\n",
            1,
            "its old mode is not that of the base, 100644",
        ),
        (
            "half a mode change",
            "diff --git a/short b/short\nnew mode 100755\n",
            1,
            "an old mode and a new mode line belong together",
        ),
        (
            "a mode change of a deleted file",
            "diff --git a/short b/short\nold mode 100644\nnew mode 100755\n--- a/short\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
            1,
            "contradict",
        ),
        (
            "a mode change to a symlink",
            "diff --git a/short b/short\nold mode 100644\nnew mode 120000\n",
            3,
            "only regular files",
        ),
        (
            "a new symlink",
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
            2,
            "only regular files",
        ),
        (
            "a new submodule",
            "diff --git a/m b/m\nnew file mode 160000\n",
            2,
            "only regular files",
        ),
        (
            "an index line with a link's mode",
            "diff --git a/short b/short\nindex 1234567..7654321 120000\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n",
            2,
            "only regular files",
        ),
        (
            "binary",
            "diff --git a/b b/b\nnew file mode 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n",
            3,
            "binary content",
        ),
        (
            "binary files differ",
            "diff --git a/short b/short\nBinary files a/short and b/short differ\n",
            2,
            "binary content",
        ),
        (
            "the same file twice",
            "--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-b\n+c\n",
            6,
            "already changes this file",
        ),
        (
            "an undeclared rename",
            "--- a/short\n+++ b/long\n@@ -1 +1 @@\n-a\n+b\n",
            1,
            "name different files",
        ),
        (
            "a rename over a file",
            "diff --git a/short b/f\nrename from short\nrename to f\n",
            1,
            "exists in the base already",
        ),
        (
            "a rename that contradicts itself",
            "diff --git a/short b/x\nrename from short\nrename to x\n--- a/short\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
            1,
            "contradict",
        ),
        (
            "a git line for another file",
            "diff --git a/f b/f\n--- a/short\n+++ b/short\n@@ -1 +1 @@\n-a\n+b\n",
            1,
            "names another file",
        ),
        (
            "deleted in part",
            "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
            1,
            "does not remove all",
        ),
        (
            "deleted without its lines",
            "diff --git a/f b/f\ndeleted file mode 100644\n",
            1,
            "does not remove all",
        ),
        (
            "new and deleted at once",
            "diff --git a/n b/n\ndeleted file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n",
            1,
            "contradicts",
        ),
        (
            "nothing on both sides",
            "--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+x\n",
            1,
            "both sides",
        ),
        (
            "git's own directory",
            "--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+x\n",
            1,
            "git uses for itself",
        ),
        ("outside", "--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", 1, ".. part"),
        ("a header without hunks", "--- a/short\n+++ b/short\n", 1, "no hunk"),
        (
            "hunks in the wrong order",
            "--- a/f\n+++ b/f\n@@ -9 +9 @@\n-nine\n+NINE\n@@ -1 +1 @@\n-one\n+ONE\n",
            6,
            "overlaps",
        ),
        ("no +++ line", "--- a/short\n@@ -1 +1 @@\n-a\n+b\n", 2, "+++ line must follow"),
        (
            "a broken hunk header",
            "--- a/short\n+++ b/short\n@@ @@\n-a\n+b\n",
            3,
            "a hunk starts with",
        ),
        (
            "a line in the middle without ending",
            "--- a/short\n+++ b/short\n@@ -1 +1,2 @@\n-a\n+b\n\\ No newline at end of file\n+c\n",
            1,
            "no line ending",
        ),
    ] {
        let result = repository.apply_diff(tip, diff).await;
        let (Err(DiffError::Refused { line: found, problem, .. }) | Err(DiffError::Path { line: found, problem })) = &result else {
            panic!("{case}: {result:?}")
        };
        assert!(problem.contains(words), "{case}: {problem}");
        assert_eq!(*found, line, "{case}: {problem}");
    }
}

#[tokio::test]
async fn a_diff_reads_as_git_shows_it_and_git_applies_it() {
    let (remote, repository, tip) = repository().await;
    let wishes = vec![
        write("f", &TEN.replace("five", "FIVE")),
        write("new/x", "one\ntwo"),
        delete("short"),
        write("emptied", ""),
        RequestedChange {
            path: path("open"),
            edit: Edit::Write {
                bytes: b"a\nb".to_vec(),
                exec: Some(true),
            },
        },
        RequestedChange {
            path: path("dir/a b"),
            edit: Edit::Write {
                bytes: b"y\n".to_vec(),
                exec: Some(true),
            },
        },
    ];
    let change = repository.resolve(tip, wishes).await.expect("a change");
    let diff = repository.unified_diff(&change).await.expect("a diff");
    let built = repository.build(tip, &[spec(&change, "x")]).await.expect("a commit");
    repository.push(&built, tip).await;
    let expected = git_output(&remote.path(), &["diff", "--no-renames", "--abbrev=7", &tip.to_string(), "main"]).stdout;
    assert_eq!(diff.text, String::from_utf8_lossy(&expected));
    assert_eq!((diff.added(), diff.removed()), (1 + 1 + 2, 1 + 1 + 1 + 1));
    // And back in: the same change, modes included.
    std::fs::write(remote.dir.path().join("patch"), &diff.text).expect("a file");
    git(&remote.work(), &["apply", "--index", "../patch"]);
    assert_eq!(
        git(&remote.work(), &["write-tree"]),
        git(&remote.path(), &["rev-parse", "main^{tree}"])
    );
    let again = repository.apply_diff(tip, &diff.text).await.expect("our own diff");
    assert_eq!(repository.resolve(tip, again).await, Ok(change));
}

#[tokio::test]
async fn mail_patches_carry_everything_a_human_needs_to_commit() {
    let (remote, repository, tip) = repository().await;
    let change = repository
        .resolve(tip, vec![write("blob", "\0\u{1}"), write("short", "b\n")])
        .await
        .expect("a change");
    let built = repository
        .build(tip, &[spec(&change, "two files\n\nProposal-Id: prp_1")])
        .await
        .expect("a commit");
    let patch = repository.format_patch(&built).await.expect("a patch");
    std::fs::write(remote.dir.path().join("patch"), patch).expect("a file");
    git(&remote.work(), &["am", "-q", "../patch"]);
    git(&remote.work(), &["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.refresh(Duration::ZERO).await.expect("a tip");
    let landed = repository.landed(tip, &change, "prp_1").await.expect("an answer");
    let Manual::AsProposed(commit) = landed else { panic!("{landed:?}") };
    assert_eq!((commit.committer.name.as_str(), commit.trailers.len()), ("alice", 1));
}

#[tokio::test]
async fn binary_contents_are_named_by_size_and_hash() {
    let (_remote, repository, tip) = repository().await;
    let change = repository.resolve(tip, vec![write("blob", "\0\u{1}")]).await.expect("a change");
    let diff = repository.unified_diff(&change).await.expect("a diff");
    assert!(
        diff.text
            .contains("Binary file blob: nothing -> 2 bytes, SHA-256 b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2"),
        "{}",
        diff.text
    );
    assert!(diff.files[0].binary);
}

/// Byte strings that no text holds, of every length around the lines of a binary patch.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut bytes: Vec<u8> = (0..length).map(next).collect();
    bytes.extend_from_slice(&[0, 0xff]);
    bytes
}

#[tokio::test]
async fn a_patch_carries_every_content_whole_and_git_applies_it() {
    let large = noise(5_000);
    let (latin, edited) = (b"caf\xe9\n".to_vec(), [&large[..2_500], b"edited", &large[2_500..]].concat());
    let remote = Remote::with(&[("f", TEN)]);
    let seeds: [(&str, &[u8]); 9] = [
        ("crlf", b"a\r\nb\r\n"),
        ("open", b"a\nb"),
        ("emptied", b"e\n"),
        ("empty", b""),
        ("logo", &large),
        ("gone", &noise(60)),
        ("tool", &noise(10)),
        ("was text", b"text\n"),
        ("was binary", &noise(200)),
    ];
    for (name, bytes) in seeds {
        std::fs::write(remote.work().join(name), bytes).expect("a file");
    }
    remote.push_all("seeds");
    let repository = remote.open().await;
    let tip = repository.refresh(Duration::ZERO).await.expect("a tip").commit;
    let bytes = |name: &str, bytes: Vec<u8>, exec: Option<bool>| RequestedChange {
        path: path(name),
        edit: Edit::Write { bytes, exec },
    };
    let wishes = vec![
        write("f", &TEN.replace("five", "FIVE")),
        write("crlf", "a\r\nB\r\n"),
        write("new/crlf", "a\r\n"),
        write("open", "a\nc"),
        write("emptied", ""),
        delete("empty"),
        write("new/empty", ""),
        bytes("logo", edited, None),
        delete("gone"),
        bytes("tool", noise(10), Some(true)),
        bytes("new/tool", noise(52), Some(true)),
        bytes("new/zero", vec![0], None),
        bytes("new/latin", latin, None),
        bytes("was text", noise(27), None),
        write("was binary", "text now\n"),
    ];
    let change = repository.resolve(tip, wishes).await.expect("a change");
    let patch = repository.patch(&change).await.expect("a patch");
    let built = repository.build(tip, &[spec(&change, "x")]).await.expect("a commit");
    repository.push(&built, tip).await;
    std::fs::write(remote.dir.path().join("patch"), &patch).expect("a file");
    git(&remote.work(), &["apply", "--index", "../patch"]);
    assert_eq!(
        git(&remote.work(), &["write-tree"]),
        git(&remote.path(), &["rev-parse", "main^{tree}"]),
        "{patch}"
    );
    git(&remote.work(), &["apply", "--index", "--reverse", "../patch"]);
    assert_eq!(
        git(&remote.work(), &["write-tree"]),
        git(&remote.work(), &["rev-parse", "HEAD^{tree}"]),
        "and back again"
    );
}
