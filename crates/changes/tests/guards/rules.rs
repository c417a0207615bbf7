//! The operator's secret patterns, and the list of rules in the documentation.

use changes::guard::{GuardOptions, Guards, RULES, SECRET_PREFIX};

use crate::{guards, inspect, never_shown, short};

fn with(rules: &str) -> Result<Guards, Vec<String>> {
    let options = GuardOptions {
        secret_rules: Some(("rules.toml".to_owned(), rules.to_owned())),
        ..GuardOptions::default()
    };
    Guards::new(&options).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn an_operator_adds_patterns_in_the_format_that_exists() {
    let rules = r#"
title = "ours"
[extend]
useDefault = true

[[rules]]
id = "acme-token"
description = "ACME token"
regex = '''\b(acme_([a-z0-9]{10}))\b'''
secretGroup = 1
entropy = 2.0
keywords = ["ACME_"]
tags = ["ours"]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''# not real$''']
[[rules.allowlists]]
condition = "AND"
paths = ['''^docs/''']
stopwords = ["sample"]

[[rules]]
id = "acme-file"
path = '''(?i)\.acme$'''
"#;
    let guards = with(rules).expect("rules");
    let remarks: Vec<_> = guards.remarks().iter().map(ToString::to_string).collect();
    assert_eq!(
        remarks,
        ["rules.toml:3: `extend` has no effect: the built-in rules always apply; remove it, or ignore this remark"]
    );
    let found = |at: &str, text: &str| short(&inspect(&guards, at, None, Some(text.as_bytes())));
    assert_eq!(found("a.txt", "x\nacme_ab12cd34ef\n"), ["secret.acme-token:2:refuse"]);
    assert!(found("a.txt", "acme_aaaaaaaaaa\n").is_empty(), "too little entropy");
    assert!(found("a.txt", "acme_ab12cd34ef # not real\n").is_empty(), "its line is allowed");
    assert!(
        found("docs/a.txt", "acme_sample1234\n").is_empty(),
        "path and word are allowed together"
    );
    assert_eq!(
        found("a.txt", "acme_sample1234\n"),
        ["secret.acme-token:1:refuse"],
        "the word alone is not"
    );
    assert_eq!(found("x/y.ACME", "anything"), ["secret.acme-file:1:refuse"]);
}

#[test]
fn a_pattern_with_a_known_id_replaces_the_built_in_one() {
    let guards = with("[[rules]]\nid = \"github-token\"\nregex = '''nothing-like-it'''\n").expect("rules");
    let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
    assert!(inspect(&guards, "a.txt", None, Some(token.as_bytes())).findings.is_empty());
}

#[test]
fn every_problem_of_a_rule_file_is_told_with_its_line() {
    let rules = "[[rules]]\nid = \"a\"\nregex = '''('''\n\n[[rules]]\nid = \"b c\"\nregex = '''x(?=y)'''\n\n[[rules]]\nid = \"c\"\nkeywords = \"x\"\n\n[[rules]]\nid = \"d\"\nregex = '''x'''\nsecretGroup = 1\nentropy = \"high\"\n";
    let problems = with(rules).map(|_| ()).expect_err("problems");
    let lines: Vec<&str> = problems
        .iter()
        .map(|problem| problem.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        lines,
        [
            "rules.toml:3",
            "rules.toml:5",
            "rules.toml:7",
            "rules.toml:11",
            "rules.toml:13",
            "rules.toml:17"
        ],
        "{problems:#?}"
    );
    assert!(problems.iter().all(|problem| problem.contains("; ")), "{problems:#?}");
    let problems = with("[[rules]\n").map(|_| ()).expect_err("no TOML");
    assert!(problems[0].starts_with("rules.toml:1: not valid TOML"), "{problems:#?}");
}

#[test]
fn a_pattern_too_large_to_compile_raises_and_does_not_pass() {
    let guards = with("[[rules]]\nid = \"huge\"\nregex = '''(?:[a-z]{1000}){1000}{100}'''\nkeywords = [\"needle\"]\n").expect("it parses");
    assert_eq!(
        short(&inspect(&guards, "a.txt", None, Some(b"needle\n"))),
        ["guard.broken-rule:0:manual"]
    );
    assert!(
        inspect(&guards, "a.txt", None, Some(b"other\n")).findings.is_empty(),
        "its keyword is nowhere"
    );
}

#[test]
fn every_built_in_pattern_compiles_and_has_a_keyword_or_a_reason() {
    let guards = guards();
    // A text with every keyword makes every pattern run.
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guard/secrets/builtin.toml")).expect("the rules");
    let report = inspect(&guards, "a.toml", None, Some(text.as_bytes()));
    let broken: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.rule == "guard.broken-rule")
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
    let rules = text.matches("[[rules]]").count();
    assert!(rules >= 50);
    assert_eq!(
        text.matches("\nkeywords = [").count(),
        rules - 1,
        "all but the Telegram token, which begins with digits"
    );
}

#[test]
fn the_documentation_lists_exactly_the_rules_of_the_code() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guard-rails.md")).expect("docs/guard-rails.md");
    let guards = guards();
    let mut expected: Vec<String> = RULES
        .iter()
        .map(|rule| format!("| `{}` | {} | {} |", rule.id, rule.effect, rule.about))
        .collect();
    expected.extend(
        guards
            .secret_patterns()
            .map(|(id, about)| format!("| `{SECRET_PREFIX}{id}` | {about} |")),
    );
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.contains('.')).collect();
    let missing: Vec<_> = expected.iter().filter(|row| !rows.contains(&row.as_str())).collect();
    let extra: Vec<_> = rows.iter().filter(|row| !expected.iter().any(|line| line == *row)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing in the page:\n{missing:#?}\nnot in the code:\n{extra:#?}"
    );
}

#[test]
fn a_value_that_a_message_would_quote_is_hidden() {
    // A schema error names the unexpected field, which here is the value of another one.
    let guards = guards();
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {a: hunter2}\nhunter2: x\n";
    let report = inspect(&guards, "a.yaml", None, Some(text.as_bytes()));
    never_shown(&report, "hunter2", "a field");
}
