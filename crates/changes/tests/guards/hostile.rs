//! Whatever the bytes are, there is an answer, and it never holds a secret.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::{guards, inspect, never_shown, short};

/// Without optimisation a twentieth: expressions run a hundred times slower there.
const fn many(count: usize) -> usize {
    if cfg!(debug_assertions) { count / 20 } else { count }
}

/// Inputs that cost readers dearly, by name.
fn hostile() -> Vec<(&'static str, String)> {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let refs = vec![format!("*a{}", n - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{n}: &a{n} [{refs}]");
    }
    let anchors: String = (0..200).map(|n| format!("&a{n} [")).collect();
    vec![
        ("aliases that explode", bomb),
        ("deep flow lists", "[".repeat(many(500_000))),
        ("deep flow mappings", "{a: ".repeat(many(200_000))),
        ("deep block lists", "- ".repeat(many(300_000))),
        ("deep keys", "? ".repeat(many(300_000))),
        ("deep JSON", format!("{}1{}", "[".repeat(many(100_000)), "]".repeat(many(100_000)))),
        ("nested anchors", anchors),
        ("many small values", "- 1\n".repeat(many(300_000))),
        ("many keys", (0..many(100_000)).map(|n| format!("k{n}: 1\n")).collect()),
        ("one endless plain scalar", "a ".repeat(many(700_000))),
        ("one endless quoted scalar", format!("\"{}", "\\n".repeat(many(700_000)))),
        ("one endless line of keywords", "password token secret ".repeat(many(60_000))),
        ("assignments without end", "password=".repeat(many(150_000))),
        ("entropy everywhere", "token: aaaaaaaaaaaa1\n".repeat(many(70_000))),
        ("addresses without end", "https://a:".repeat(many(130_000))),
        ("begin without end", "-----BEGIN PRIVATE KEY-----".repeat(many(50_000))),
        ("base64 without end", "QUJD".repeat(many(350_000))),
        ("base64 lines", format!("{}\n", "QUJD".repeat(16)).repeat(many(20_000))),
        ("tokens without end", "eyJabcdefghijk.".repeat(many(90_000))),
        ("templates without end", "a: {{ {{ {{\n".repeat(many(100_000))),
        ("documents without end", "---\n".repeat(many(350_000))),
        ("tags without end", "!a ".repeat(many(400_000))),
        ("comments", "# x\n".repeat(many(350_000))),
        ("tabs", "\t".repeat(1_400_000)),
        ("merge keys", "a: &a {<<: *a}\n".repeat(many(20_000))),
        ("carriage returns", "a: 1\r".repeat(many(250_000))),
        ("anchored lists in a row", "- &a [*a]\n".repeat(many(100_000))),
        (
            "a list within itself",
            "apiVersion: v1\nkind: List\nitems: &x\n- {apiVersion: v1, kind: List, items: *x}\n".to_owned(),
        ),
        (
            "a template within itself",
            "apiVersion: v1\nkind: SealedSecret\nspec: &x\n  template: &y {a: *x, b: *y}\n".to_owned(),
        ),
        ("numbers", format!("a: {}", "9".repeat(1_000_000))),
    ]
}

#[test]
fn hostile_input_is_always_answered() {
    let guards = guards();
    for (name, text) in hostile() {
        for at in ["a.yaml", "a.json", "charts/x/templates/a.yaml", "a.tf", "a.txt"] {
            let start = std::time::Instant::now();
            let report = inspect(&guards, at, None, Some(text.as_bytes()));
            // Printed for people: a busy machine makes no promise about time.
            println!("{name} as {at}: {:?}, {} findings", start.elapsed(), report.findings.len());
            assert_eq!(report.checks.len(), 6, "{name}");
        }
    }
}

#[test]
fn beyond_a_budget_the_tier_is_raised_and_lines_are_still_read() {
    let text = format!(
        "kind: Secret\nstringData:\n  password: hunter2\nx: {}{}\n",
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    let report = inspect(&guards(), "a.yaml", None, Some(text.as_bytes()));
    assert_eq!(
        short(&report),
        ["structure.secret:3:refuse", "yaml.budget:4:manual", "text.long-line:4:remark"],
        "{report:?}"
    );
    never_shown(&report, "hunter2", "deep");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), name in 0usize..5) {
        let at = ["a.yaml", "b.json", "c.tf", "templates/d.yaml", "e.env"][name];
        let old = String::from_utf8_lossy(&bytes[..bytes.len() / 2]).into_owned();
        inspect(&guards_once(), at, Some(&old), Some(&bytes));
    }

    #[test]
    fn random_yaml_never_panics(text in "([a-z]{1,3}: |- |\\{|\\}|\\[|\\]|&a |\\*a|\n|  |\"|'|\\||>|\\{\\{|password|kind: Secret\n|data:\n|---\n|#|!!str ){0,60}") {
        inspect(&guards_once(), "a.yaml", None, Some(text.as_bytes()));
    }

    #[test]
    fn a_secret_is_found_and_never_shown(secret in "[a-zA-Z0-9]{36}", before in "[a-z \n]{0,80}", after in "[a-z \n:\"']{0,80}", name in 0usize..4) {
        let at = ["a.yaml", "a.txt", "a.tf", "templates/a.yaml"][name];
        let token = format!("ghp_{secret}");
        let text = format!("{before}\nkey: {token}\n{after}");
        let report = inspect(&guards_once(), at, None, Some(text.as_bytes()));
        let random = secret.bytes().collect::<std::collections::HashSet<_>>().len() > 12;
        prop_assert!(!random || report.refusals().count() > 0, "{text:?} {report:?}");
        let debug = format!("{report:?}");
        prop_assert!(!debug.contains(&token));
        prop_assert!(!serde_json::to_string(&report).expect("JSON").contains(&token));
    }

    #[test]
    fn a_password_is_found_and_never_shown(secret in "[a-zA-Z0-9!@%^()_+=,.?-]{6,20}", key in "(db|app|)(password|_passwd|-password)", quote in 0usize..3) {
        prop_assume!(!["true", "false", "null"].contains(&secret.as_str()) && !secret.chars().all(|c| "xX.-".contains(c)) && !secret.contains("----"));
        let quoted = match quote { 0 => format!("'{secret}'"), 1 => format!("\"{secret}\""), _ => format!("|\n  {secret}") };
        let report = inspect(&guards_once(), "values.yaml", None, Some(format!("{key}: {quoted}\n").as_bytes()));
        prop_assert!(report.refusals().count() > 0, "{secret} {report:?}");
        let debug = format!("{report:?}");
        prop_assert!(!debug.contains(&secret), "{}", debug);
    }
}

/// One for all cases: patterns are compiled once.
fn guards_once() -> std::sync::Arc<changes::guard::Guards> {
    static GUARDS: std::sync::OnceLock<std::sync::Arc<changes::guard::Guards>> = std::sync::OnceLock::new();
    GUARDS.get_or_init(|| std::sync::Arc::new(guards())).clone()
}
