use proptest::prelude::*;

use super::*;

fn homelab() -> RepositoryName {
    "homelab".parse().expect("a name")
}

fn path(text: &str) -> RepoPath {
    text.parse().expect("a path")
}

fn old(blob: &str, mode: FileMode) -> Option<FileVersion> {
    Some(FileVersion {
        mode,
        blob: blob.parse().expect("a blob id"),
    })
}

fn new(text: &str, mode: FileMode) -> Option<NewFile> {
    Some(NewFile {
        mode,
        bytes: text.as_bytes().to_vec(),
    })
}

const GONE: &str = "286c5f5776916d7d7d5849988ca9d83e722cf9c2";
const WEB: &str = "eb5c26739ea8767a00de3d6e1932c340ce323472";

#[test]
fn the_documented_vector() {
    use FileMode::{Executable, Regular};
    let files = BTreeMap::from([
        (
            path("apps/web.yaml"),
            FileChange {
                old: old(WEB, Regular),
                new: new("replicas: 3\n", Regular),
            },
        ),
        (
            path("apps/run.sh"),
            FileChange {
                old: None,
                new: new("#!/bin/sh\n", Executable),
            },
        ),
        (
            path("apps/gone.yaml"),
            FileChange {
                old: old(GONE, Regular),
                new: None,
            },
        ),
    ]);
    // Made by hand: no helper of the digest has a part in it.
    let bytes = [
        "636f756e7465727369676e2d6469676573742d763100",
        "00000007686f6d656c6162",
        "000000046d61696e",
        "00000003",
        "0000000e617070732f676f6e652e79616d6c000081a400000000",
        "00000014286c5f5776916d7d7d5849988ca9d83e722cf9c2",
        "00000000",
        "0000000b617070732f72756e2e736800000000000081ed",
        "00000000",
        "00000020a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf",
        "0000000d617070732f7765622e79616d6c000081a4000081a4",
        "00000014eb5c26739ea8767a00de3d6e1932c340ce323472",
        "000000209cf3a5f89adc05f90e87b284d40f8e39e1b763d9f9df307327e6f127ed492175",
    ];
    let bytes = hex::decode(bytes.concat()).expect("hexadecimal digits");
    assert_eq!(bytes.len(), 247);
    let digest = ChangeSet::new(files).digest(&homelab(), "main");
    assert_eq!(digest, Sha256Hash::of(&bytes));
    assert_eq!(
        digest.to_string(),
        "86d677861f82f66afa5cacb453ecc54c81abedf308729ddd36f1fb374964e00b"
    );
    assert_eq!(
        ChangeSet::default().digest(&homelab(), "main").to_string(),
        "41b691644495d7024e2c416d2667018e6fac7e3f9dab4bc31df01df3b6d7e81a",
        "of nothing"
    );
}

fn mode() -> impl Strategy<Value = FileMode> {
    prop::sample::select(vec![FileMode::Regular, FileMode::Executable])
}

fn before() -> impl Strategy<Value = FileVersion> {
    (mode(), 0..3u8).prop_map(|(mode, n)| FileVersion {
        mode,
        blob: BlobId::from_bytes([n; 20]),
    })
}

fn after() -> impl Strategy<Value = NewFile> {
    (mode(), prop::collection::vec(0..3u8, 0..4)).prop_map(|(mode, bytes)| NewFile { mode, bytes })
}

fn file() -> impl Strategy<Value = FileChange> {
    prop_oneof![
        after().prop_map(|new| FileChange { old: None, new: Some(new) }),
        before().prop_map(|old| FileChange { old: Some(old), new: None }),
        (before(), after()).prop_map(|(old, new)| FileChange {
            old: Some(old),
            new: Some(new)
        }),
    ]
}

/// Names that would run into each other without their lengths.
fn name() -> impl Strategy<Value = RepoPath> {
    prop::sample::select(vec!["a", "aa", "a/a", "a/aa", "aa/a", "b", "ab"]).prop_map(path)
}

fn files() -> impl Strategy<Value = Vec<(RepoPath, FileChange)>> {
    prop::collection::btree_map(name(), file(), 0..5).prop_map(|map| map.into_iter().collect())
}

fn digest(files: &[(RepoPath, FileChange)]) -> Sha256Hash {
    ChangeSet::new(files.iter().cloned().collect()).digest(&homelab(), "main")
}

proptest! {
    #[test]
    fn the_order_of_the_files_does_not_matter((files, shuffled) in files().prop_flat_map(|files| (Just(files.clone()), Just(files).prop_shuffle()))) {
        prop_assert_eq!(digest(&files), digest(&shuffled));
    }

    #[test]
    fn two_changes_have_one_digest_exactly_when_they_are_one(one in files(), two in files()) {
        prop_assert_eq!(digest(&one) == digest(&two), one == two);
    }

    #[test]
    fn any_single_difference_changes_it(files in files(), at in any::<prop::sample::Index>(), other in file(), renamed in name()) {
        prop_assume!(!files.is_empty());
        let at = at.index(files.len());
        let mut edited = files.clone();
        edited[at].1 = other;
        prop_assert_eq!(digest(&files) == digest(&edited), files == edited);
        let mut moved = files.clone();
        if !files.iter().any(|(path, _)| *path == renamed) {
            moved[at].0 = renamed;
            prop_assert_ne!(digest(&files), digest(&moved));
        }
        let mut less = files.clone();
        less.remove(at);
        prop_assert_ne!(digest(&files), digest(&less));
    }

    #[test]
    fn what_is_stored_comes_back(files in files(), bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut files: BTreeMap<_, _> = files.into_iter().collect();
        files.insert(path("z"), FileChange { old: None, new: Some(NewFile { mode: FileMode::Regular, bytes }) });
        let change = ChangeSet::new(files);
        let text = serde_json::to_string(&change).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<ChangeSet>(&text).expect("the same change"), change);
    }
}

#[test]
fn repository_and_branch_are_part_of_it_and_do_not_run_together() {
    let change = ChangeSet::default();
    let of = |repository: &str, branch: &str| change.digest(&repository.parse().expect("a name"), branch);
    let all = [of("ab", "c"), of("a", "bc"), of("ab", "main"), of("ab", "")];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}
