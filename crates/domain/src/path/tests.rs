use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization as _;

use super::*;

#[test]
fn ordinary_paths_pass() {
    for good in [
        "README.md",
        "kubernetes/applications/ollama/deployment.yaml",
        "a/.helmignore",
        ".gitignore",
        "ünï/cödé.yaml",
        "common.yaml",
        "a b/c.txt",
    ] {
        assert!(good.parse::<RepoPath>().is_ok(), "{good}");
    }
}

#[test]
fn hostile_paths_are_refused_with_the_rule_they_broke() {
    for (bad, rule) in [
        ("", "empty"),
        ("/etc/passwd", "relative"),
        ("a/", "relative"),
        ("../../etc/passwd", ".. part"),
        ("a/../../b", ".. part"),
        ("a/./b", ".. part"),
        ("a//b", "empty part"),
        ("C:\\x", "contains one of"),
        ("a\\..\\b", "contains one of"),
        (".git/config", "git uses"),
        (".GIT/hooks/x", "git uses"),
        ("sub/.git/x", "git uses"),
        ("git~1/x", "git uses"),
        ("GITMOD~1", "git uses"),
        (".git::$INDEX_ALLOCATION", "contains one of"),
        (".g\u{200c}it/x", "zero-width"),
        (".gitmodules", "how git reads"),
        ("x/.gitattributes", "how git reads"),
        ("a\nb", "control"),
        ("a\r", "control"),
        ("a\u{202e}b", "zero-width"),
        ("a\u{2800}b", "hidden"),
        ("a\u{a0}b", "a blank that is not the plain space"),
        ("a\u{1680}b", "a blank that is not the plain space"),
        ("cafe\u{301}.yaml", "normal form"),
        ("a.", "dot"),
        ("a /b", "dot"),
        ("-rf", "dash"),
        ("aux.txt", "device"),
        ("x/COM1", "device"),
    ] {
        let refusal = bad.parse::<RepoPath>().expect_err(bad);
        assert!(refusal.rule.contains(rule), "{bad:?}: {}", refusal.rule);
        let said = refusal.to_string();
        assert!(
            said.chars().all(|c| !c.is_control() && !is_deceptive(c) && !is_blank(c)),
            "{said:?}"
        );
    }
    let said = "a\u{2800}\u{a0}b".parse::<RepoPath>().expect_err("hidden").to_string();
    assert!(said.starts_with("path \"a<U+2800><U+00A0>b\" is refused: "), "{said}");
    assert!("a/".repeat(40).trim_end_matches('/').parse::<RepoPath>().is_err());
    assert!("x".repeat(300).parse::<RepoPath>().is_err());
    assert!(["abcdefghi"; 200].join("/").parse::<RepoPath>().is_err());
}

/// Section by section what libgit2 or a file system would let through.
#[test]
fn names_that_only_other_systems_understand_are_refused() {
    for bad in [
        "git~2",
        "GIT~1/config",
        "gi7eba~1",
        "GITMOD~4",
        ".git ",
        ".git.",
        ".git...",
        ".git/x",
        "a/.Git/x",
        ".mailmap",
        "sub/.GitModules",
        "con",
        "Con.txt",
        "con .txt",
        "NUL.tar.gz",
        "lpt9",
        "com0.yaml",
        "com¹",
        "CONIN$",
        "a:b",
        "a*",
        "a?b",
        "a|b",
        "a<b",
        "a>b",
        "a\"b",
        "trail.",
        "trail ",
        " lead",
        "-rf",
        "a/-x",
        "tab\tb",
        "esc\u{1b}",
        "del\u{7f}",
        "c1\u{85}",
        "line\u{2028}b",
        "tag\u{e0041}",
        "filler\u{3164}",
        "star\u{fe0f}",
        ".",
        "..",
        "a/..",
        "./a",
        "a//b",
        "/",
        "//",
        "\u{feff}a",
        "soft\u{ad}hyphen",
    ] {
        assert!(bad.parse::<RepoPath>().is_err(), "{bad:?}");
    }
    for good in [
        "git~",
        "git~x",
        "gitmod~",
        "com.yaml",
        "com10",
        "console",
        "auxiliary.tf",
        "a.git",
        ".gitkeep",
        ".github/x",
        "..a",
        "a..b",
        "日本/語.yaml",
    ] {
        assert!(good.parse::<RepoPath>().is_ok(), "{good:?}");
    }
}

#[test]
fn lengths_are_counted_in_bytes_and_parts() {
    let deep = |n: usize| vec!["a"; n].join("/");
    for (path, fits) in [
        ("x".repeat(255), true),
        ("x".repeat(256), false),
        ("é".repeat(127), true),
        ("é".repeat(128), false),
        (deep(32), true),
        (deep(33), false),
        (
            ["y".repeat(204), "y".repeat(204), "y".repeat(204), "y".repeat(204), "y".repeat(204)].join("/"),
            true,
        ),
        (
            ["y".repeat(204), "y".repeat(204), "y".repeat(204), "y".repeat(204), "y".repeat(205)].join("/"),
            false,
        ),
    ] {
        assert_eq!(
            path.parse::<RepoPath>().is_ok(),
            fits,
            "{} bytes, {} parts",
            path.len(),
            path.split('/').count()
        );
    }
}

/// Pieces of which hostile paths are made, and ordinary ones.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9._-]{1,4}",
        3 => Just("/".to_owned()),
        1 => prop::sample::select(vec![
            ".", "..", ".git", "git~1", "\\", ":", "~", " ", "-", "\u{301}", "é", "\n", "\0", "\u{200b}", "\u{202e}", "\u{ad}", "con", "*", "\u{fe0f}", "K",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

fn any_case(word: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), word.len()).prop_map(move |upper| {
        let letters = word.chars().zip(upper);
        letters.map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_accepted_path_is_harmless(text in texts()) {
        let Ok(path) = text.parse::<RepoPath>() else { return Ok(()) };
        prop_assert_eq!(path.as_str(), text.as_str(), "nothing is rewritten");
        prop_assert!(text.len() <= 1024 && !text.starts_with('/') && !text.ends_with('/') && !text.contains('\\'));
        prop_assert!(text.chars().all(|c| u32::from(c) >= 0x20 && !(0x7f..=0x9f).contains(&u32::from(c))));
        prop_assert_eq!(text.nfc().collect::<String>(), text.clone());
        prop_assert!(path.parts().count() <= 32);
        for part in path.parts() {
            prop_assert!(!part.is_empty() && part != "." && part != ".." && part.len() <= 255);
            prop_assert!(!part.eq_ignore_ascii_case(".git") && !part.eq_ignore_ascii_case("git~1"), "{}", part);
            prop_assert!(!part.starts_with('-') && !part.ends_with('.') && !part.ends_with(' '));
        }
        // The parts give the path back, and a stored path is read again.
        prop_assert_eq!(path.parts().collect::<Vec<_>>().join("/"), text.clone());
        prop_assert_eq!(path.parent().map_or(path.file_name().to_owned(), |dir| format!("{dir}/{}", path.file_name())), text);
        let stored = serde_json::to_string(&path).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<RepoPath>(&stored).expect("a path"), path);
    }

    #[test]
    fn git_s_own_names_are_refused_in_any_case_and_place(
        name in prop_oneof![any_case(".git"), any_case("git~1"), any_case(".gitmodules"), any_case(".gitattributes"), any_case(".mailmap"), any_case("gitmod~3")],
        dirs in prop::collection::vec("[a-z]{1,3}", 0..3),
        rest in prop::collection::vec("[a-z]{1,3}", 0..3),
    ) {
        let path = [dirs, vec![name], rest].concat().join("/");
        prop_assert!(path.parse::<RepoPath>().is_err(), "{}", path);
    }

    #[test]
    fn of_two_spellings_of_one_name_at_most_the_composed_one_passes(base in "[a-z]{0,3}[aeiou]\u{301}[a-z]{0,3}") {
        let composed: String = base.nfc().collect();
        prop_assert!(base.parse::<RepoPath>().is_err());
        prop_assert!(composed.starts_with("con") || composed.parse::<RepoPath>().is_ok(), "{}", composed);
    }
}
