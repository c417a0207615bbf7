//! Whatever the file and the value are, the answer is either exactly right or an error, and never a panic.

use changes::yaml::{Edit, EditErrorKind, Limits, Path, Scalar, Selector, apply, get};
use proptest::prelude::*;

fn path(text: &str) -> Path {
    text.parse().expect(text)
}

fn set(text: &str, place: &str, value: Scalar) -> Result<String, EditErrorKind> {
    let edit = Edit::Set { path: path(place), value };
    apply(text, &Selector::default(), &edit, &Limits::default()).map_err(|error| error.kind)
}

fn read(text: &str, place: &str) -> Option<Scalar> {
    get(text, &Selector::default(), &path(place), &Limits::default()).expect(place)
}

/// Files with a gap where the value stands, in every style and surrounding.
const AROUND: [(&str, &str, &str, &str); 8] = [
    ("# c\na:\n  v: ", "old", "  # c\n  w: 1\n\n# end", "a.v"),
    ("a:\n  v: ", "'old'", "  # c\r\n  w: 1\r\n", "a.v"),
    ("a:\n  v: ", "\"old\"", " # c\n", "a.v"),
    ("a: {v: ", "old", ", w: [1]} # c\n", "a.v"),
    ("{\"a\": {\"v\": ", "\"old\"", ", \"w\": 1}}", "a.v"),
    ("a:\n- é\n- ", "3", "\t# c\n- x\n", "a[1]"),
    ("a: [x, ", "true", ", z]\n---\n# only a comment\n", "a[1]"),
    ("a:\n- n: x\n  v: ", "&unused old", "\nb: 1", "a[n=x].v"),
];

fn round_trips(value: &Scalar) -> Result<(), TestCaseError> {
    for (before, old, after, place) in AROUND {
        let result =
            set(&format!("{before}{old}{after}"), place, value.clone()).map_err(|kind| TestCaseError::fail(format!("{kind:?}")))?;
        prop_assert!(result.starts_with(before) && result.ends_with(after), "{result:?}");
        prop_assert!(!result[before.len()..result.len() - after.len()].contains('\n'), "{result:?}");
        prop_assert_eq!(read(&result, place), Some(value.clone()), "{:?}", result);
    }
    Ok(())
}

#[test]
fn notorious_strings_stay_strings() {
    for text in [
        "",
        " ",
        "~",
        "null",
        "Null",
        "true",
        "yes",
        "NO",
        "on",
        "off",
        "y",
        "n",
        "1",
        "-1",
        "+1",
        "0x10",
        "0o7",
        "017",
        "1_000",
        "1.0",
        "1e3",
        ".5",
        ".inf",
        "-.INF",
        ".nan",
        "12:30:45",
        "190:20",
        "2026-01-31",
        "2026-01-31T00:00:00Z",
        "<<",
        "=",
        "---",
        "...",
        "--- a",
        "-",
        "- a",
        "?",
        "? a",
        ":",
        "a:",
        "a: b",
        "a :b",
        "#",
        "a #b",
        "a#b",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "@a",
        "`a`",
        "%YAML 1.1",
        "{",
        "}",
        "{a: b}",
        "[",
        "]",
        "[a]",
        ",",
        "a, b",
        "'",
        "''",
        "\"",
        "\\",
        "\\n",
        "a\nb",
        "a\r\nb",
        "a\tb",
        "\t",
        " a",
        "a ",
        "a  b",
        "1\nkind: Secret",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{202e}abc",
        "\u{0}",
        "\u{7f}",
        "😀",
        "é",
        "\u{e0001}",
        "\u{fffe}",
        "0b1",
        "08",
        "1.2.3",
        "1:2",
        "12e03",
        "deadbeef",
        "1e4567",
        "NaN",
        "Infinity",
        "x".repeat(5000).as_str(),
        "a: # b",
        "${HOME}",
        "{{ .Values.x }}",
        "key=value",
        "e -",
    ] {
        round_trips(&Scalar::Text(text.to_owned())).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

/// Pieces of which YAML is made, in any order.
const PIECES: [&str; 38] = [
    "a", "b", "a: ", "b: ", ": ", ":", "- ", "-", "\n", "\n", "\n  ", "\n    ", " ", "# c", " # c", "'", "\"", "'x'", "\"y\"", "{", "}",
    "[", "]", ", ", "&x ", "*x", "|", ">-\n", "1", "null", "\t", "\r\n", "---\n", "...", "é", "<<: ", "? ", "!t ",
];

fn yaml_like() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40).prop_map(|pieces| pieces.concat())
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let paths = prop::sample::select(&["a", "b", "a.b", "a[0]", "a.b[1]", "b.a", "[0]", "[1].a", "a[a=1].b", "b.a.b"][..]);
    (paths, 0..6, "[a-c#: \n'\"]{0,4}").prop_map(|(place, which, text)| {
        let (path, value) = (path(place), Scalar::Text(text));
        match which {
            0 => Edit::Set { path, value },
            1 => Edit::Put { path, value },
            2 => Edit::Insert { path, value },
            3 => Edit::Append { path, value },
            4 => Edit::Remove { path },
            _ => Edit::SetImageTag { path, tag: "t".to_owned() },
        }
    })
}

/// What `before` lost: what is left of it without the common beginning and end.
fn lost<'t>(before: &'t str, after: &str) -> &'t str {
    let start: usize = before
        .chars()
        .zip(after.chars())
        .take_while(|(x, y)| x == y)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let rest = (&before[start..], &after[start..]);
    let end: usize = rest
        .0
        .chars()
        .rev()
        .zip(rest.1.chars().rev())
        .take_while(|(x, y)| x == y)
        .map(|(c, _)| c.len_utf8())
        .sum();
    &rest.0[..rest.0.len() - end]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)))]

    #[test]
    fn any_string_comes_back(text in any::<String>()) {
        round_trips(&Scalar::Text(text))?;
    }

    #[test]
    fn any_awkward_string_comes_back(text in "[0-9xobeE.+_:TZ\\- ynNoYESulf#'\"\\\\{}\\[\\],&*!|>%@\n\r\t\u{85}\u{2028}\u{feff}é]{0,12}") {
        round_trips(&Scalar::Text(text))?;
    }

    #[test]
    fn any_number_comes_back(whole in any::<i64>(), float in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
        round_trips(&Scalar::Integer(whole))?;
        round_trips(&Scalar::Float(float))?;
    }

    #[test]
    fn any_text_gets_an_answer_and_keeps_its_comments(text in yaml_like(), edit in any_edit()) {
        let Ok(after) = apply(&text, &Selector::default(), &edit, &Limits::default()) else { return Ok(()) };
        let old = get(&text, &Selector::default(), edit.path(), &Limits::default());
        let was_commented = matches!(&old, Ok(Some(Scalar::Text(old))) if old.contains('#'));
        let removes = matches!(edit, Edit::Remove { .. });
        prop_assert!(removes || was_commented || !lost(&text, &after).contains("# c"), "{:?}\n{:?}\n{:?}", text, edit, after);
        let value = match &edit {
            Edit::Set { value, .. } | Edit::Put { value, .. } | Edit::Insert { value, .. } => Some(value),
            Edit::Append { .. } | Edit::Remove { .. } | Edit::SetImageTag { .. } => None,
        };
        if let Some(value) = value {
            let now = get(&after, &Selector::default(), edit.path(), &Limits::default()).ok().flatten();
            prop_assert_eq!(now.as_ref(), Some(value), "{:?}\n{:?}", text, after);
        }
    }
}

#[test]
fn hostile_files_get_an_answer() {
    let bomb = (1..30).fold("v: 1\na0: &a0 [x, x]\n".to_owned(), |text, n| {
        let m = n - 1;
        format!("{text}a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}]\n")
    });
    let repeated = |piece: &str, count: usize| format!("v: 1\nx: {}", piece.repeat(count));
    let lines = |line: &str, count: usize| {
        format!(
            "v: 1\n{}",
            (0..count).map(|n| line.replace('N', &n.to_string())).collect::<String>()
        )
    };
    for (what, text, expected) in [
        ("alias bomb", bomb, None),
        ("flow nesting", repeated("[", 100_000), Some(EditErrorKind::Syntax)),
        ("mapping nesting", repeated("{a: ", 100_000), Some(EditErrorKind::TooLarge)),
        (
            "dashes",
            format!("v: 1\nx:\n  {}", "- ".repeat(100_000)),
            Some(EditErrorKind::TooLarge),
        ),
        (
            "question marks",
            format!("v: 1\n{}", "? ".repeat(100_000)),
            Some(EditErrorKind::TooLarge),
        ),
        ("anchors", lines("N: &N 1\n", 40_000), Some(EditErrorKind::TooLarge)),
        ("too many bytes", repeated("x", 1 << 20), Some(EditErrorKind::TooLarge)),
        ("one long line", repeated("x y ", 250_000), None),
        ("one long quoted line", format!("v: 1\nx: \"{}\"", "\\x41".repeat(200_000)), None),
        ("many blank lines", format!("v: 1\n{}x: 2", "\n".repeat(1_000_000)), None),
        ("many comments", lines("# N\n", 100_000), None),
        ("many documents", lines("---\n", 200_000), Some(EditErrorKind::TooLarge)),
        ("never closed quote", repeated("\"a ", 300_000), Some(EditErrorKind::TooLarge)),
        ("a few never closed quotes", repeated("\"a ", 30_000), Some(EditErrorKind::Syntax)),
        ("nul", "v: \0".to_owned(), Some(EditErrorKind::Syntax)),
        ("tabs", "v:\n\t- 1".to_owned(), Some(EditErrorKind::Syntax)),
        ("unknown alias", "v: *x".to_owned(), Some(EditErrorKind::Syntax)),
        ("empty", String::new(), Some(EditErrorKind::NoDocument)),
        ("a list", "- 1\n".to_owned(), Some(EditErrorKind::WrongKind)),
        (
            "long key",
            format!("v: 1\n{}: 2\n", "k".repeat(100_000)),
            Some(EditErrorKind::Syntax),
        ),
    ] {
        let result = set(&text, "v", Scalar::Integer(2));
        assert_eq!(result.as_ref().err().copied(), expected, "{what}");
        if let Ok(result) = result {
            assert_eq!(result, text.replacen("v: 1", "v: 2", 1), "{what}");
        }
    }
}
