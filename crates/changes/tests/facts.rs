//! What a card says about a change set.

use std::collections::BTreeMap;

use changes::{LineCounts, RemarkKind, count_lines, inspect};
use domain::{ChangeSet, FileChange, FileMode, NewFile};

fn remarks(bytes: &[u8]) -> Vec<(Option<usize>, RemarkKind, String)> {
    let new = NewFile {
        mode: FileMode::Regular,
        bytes: bytes.to_vec(),
    };
    let change = FileChange { old: None, new: Some(new) };
    let changes = ChangeSet::new(BTreeMap::from([("a/b.yaml".parse().expect("a path"), change)]));
    inspect(&changes)
        .into_iter()
        .map(|remark| {
            assert_eq!(remark.path.as_str(), "a/b.yaml");
            (remark.line, remark.kind, remark.message)
        })
        .collect()
}

#[test]
fn odd_content_is_named_with_its_line() {
    let long = format!("a: 1\nb: {}\n", "é".repeat(500));
    for (bytes, line, kind, message) in [
        (&b"a\0b"[..], None, RemarkKind::Binary, "not text: 3 bytes, SHA-256 "),
        (b"\xff\xfe", None, RemarkKind::Binary, "not text: 2 bytes"),
        (
            "ok\nx: a\u{202e}b\u{200b}\n".as_bytes(),
            Some(2),
            RemarkKind::Deceptive,
            "characters that hide or reorder text: U+202E, U+200B",
        ),
        (
            b"a\r\nb\x1b[31m\x07\r\n",
            Some(2),
            RemarkKind::Control,
            "control characters: U+001B, U+0007",
        ),
        (b"a\rb\n", Some(1), RemarkKind::Control, "control characters: U+000D"),
        (b"a\r", Some(1), RemarkKind::Control, "control characters: U+000D"),
        (
            "a: \u{2800}5\u{fe0f}\u{3164}\u{e0041}\n".as_bytes(),
            Some(1),
            RemarkKind::Deceptive,
            "characters that hide or reorder text: U+2800, U+FE0F, U+3164, U+E0041",
        ),
        (
            "a: b\u{a0}c\u{1680}\n".as_bytes(),
            Some(1),
            RemarkKind::Blank,
            "blanks that are no plain space: U+00A0, U+1680",
        ),
        (long.as_bytes(), Some(2), RemarkKind::LongLine, "503 characters on one line"),
    ] {
        let found = remarks(bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (line, kind));
        assert!(found[0].2.starts_with(message), "{found:?}");
    }
    for good in ["", "a: 1\n\tb: 2\r\n", "ünï: 🚀 ❤\u{fe0f}\n"] {
        assert_eq!(remarks(good.as_bytes()), [], "{good}");
    }
}

#[test]
fn many_remarks_of_one_kind_end_in_a_count() {
    let found = remarks("\u{200b}\n".repeat(25).as_bytes());
    assert_eq!(found.len(), 10);
    assert_eq!(found[9].2, "characters that hide or reorder text: U+200B (and 15 more lines)");
}

#[test]
fn lines_are_counted_as_a_diff_shows_them() {
    let big = |word: &str| (0..10_000).map(|n| format!("{word}{n}\n")).collect::<String>();
    for (old, new, added, removed) in [
        ("", "", 0, 0),
        ("", "a\nb\n", 2, 0),
        ("a\nb\n", "", 0, 2),
        ("a\nb\nc\n", "a\nx\nc\n", 1, 1),
        ("a\nb\nc\nd\n", "b\nc\nd\ne\n", 1, 1),
        ("a", "a\n", 1, 1),
        (&big("x"), &format!("{}y\n", big("x")), 1, 0),
        (&big("x"), &big("y"), 10_000, 10_000),
    ] {
        assert_eq!(count_lines(old.as_bytes(), new.as_bytes()), LineCounts { added, removed });
    }
}
