//! Conftest-style policies, and what becomes of those that do not behave.

use std::time::Duration;

use changes::guard::{GuardOptions, Guards, Report};

use crate::{inspect, short};

const MANIFEST: &[u8] =
    b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {x: '1'}\n";

fn options(policies: &[&str]) -> GuardOptions {
    let named = |(nth, text): (usize, &&str)| (format!("policy/{nth}.rego"), (*text).to_owned());
    GuardOptions {
        policies: policies.iter().enumerate().map(named).collect(),
        // Far beyond what any of them needs, so that a busy machine changes no answer.
        policy_limit: Duration::from_secs(60),
        ..GuardOptions::default()
    }
}

fn guards(policies: &[&str]) -> Guards {
    Guards::new(&options(policies)).expect("guards")
}

fn ask(policies: &[&str]) -> Report {
    inspect(&guards(policies), "a.yaml", None, Some(MANIFEST))
}

#[test]
fn deny_warn_and_violation_speak_in_both_dialects() {
    let old = "package main\n\ndeny[msg] {\n  input.kind == \"ConfigMap\"\n  input.metadata.name == \"b\"\n  msg := sprintf(\"no %v here\", [input.metadata.name])\n}\n\nwarn_size[msg] { input.data.x; msg = \"has data\" }\n";
    let report = ask(&[old]);
    assert_eq!(short(&report), ["rego.deny:5:refuse", "rego.warn:5:remark"], "{report:?}");
    assert_eq!(report.findings[0].message, "data.main.deny: no b here");
    let new = "package main\n\nimport rego.v1\nimport data.lib\n\nviolation contains {\"msg\": \"it is a\"} if lib.is_a\n";
    let library = "package lib\n\nimport rego.v1\n\nis_a if input.metadata.name == \"a\"\n";
    assert_eq!(short(&ask(&[new, library])), ["rego.deny:1:refuse"]);
}

#[test]
fn other_packages_are_asked_when_named() {
    let policy = "package team.rules\n\nimport rego.v1\n\ndeny contains \"always\" if true\n";
    let mut options = GuardOptions {
        policies: vec![("p.rego".to_owned(), policy.to_owned())],
        ..options(&[])
    };
    let report = inspect(&Guards::new(&options).expect("guards"), "a.yaml", None, Some(MANIFEST));
    assert_eq!(short(&report), ["rego.error:0:manual"], "nothing to ask is no consent");
    options.policy_packages.push("team.rules".to_owned());
    let report = inspect(&Guards::new(&options).expect("guards"), "a.yaml", None, Some(MANIFEST));
    assert_eq!(short(&report), ["rego.deny:1:refuse", "rego.deny:5:refuse"]);
}

#[test]
fn a_policy_that_loops_is_stopped_and_raises() {
    let policy = "package main\n\nimport rego.v1\n\ndeny contains \"x\" if {\n  some a in numbers.range(1, 100000)\n  some b in numbers.range(1, 100000)\n  a * b == -1\n}\n";
    let options = GuardOptions {
        policy_limit: Duration::from_millis(200),
        ..options(&[policy])
    };
    let report = inspect(&Guards::new(&options).expect("guards"), "a.yaml", None, Some(MANIFEST));
    assert_eq!(short(&report), ["rego.error:1:manual"], "{report:?}");
    assert!(report.findings[0].message.contains("limit of 200 ms"), "{report:?}");
}

#[test]
fn a_policy_that_is_none_raises_every_change_and_says_where() {
    let guards = guards(&["package main\n\ndeny[msg] {\n  input.kind ==\n}\n"]);
    assert_eq!(guards.remarks().len(), 1);
    assert!(
        guards.remarks()[0].to_string().starts_with("policy/0.rego:"),
        "{:?}",
        guards.remarks()
    );
    let report = inspect(&guards, "a.txt", None, Some(b"x"));
    assert_eq!(short(&report), ["rego.error:0:manual"]);
}

#[test]
fn nonsense_and_recursion_are_errors_not_consent() {
    for policy in [
        "package main\n\nimport rego.v1\n\ndeny := 3\n",
        "package main\n\nimport rego.v1\n\ndeny contains 3 if true\n",
        "package main\n\nimport rego.v1\n\ndeny contains {\"text\": \"x\"} if true\n",
        "package main\n\nimport rego.v1\n\ndeny contains x if { x := f(1) }\n\nf(n) := m if { m := f(n + 1) }\n",
        "package main\n\nimport rego.v1\n\ndeny contains x if { x := f(1) }\n\nf(n) := data[\"main\"].g(n)\n\ng(n) := m if { m := data.main.f(n + 1) }\n",
        "package main\n\nimport rego.v1\n\ndeny contains x if { x := a }\n\na := b\n\nb := a\n",
        "package main\n\nimport rego.v1\n\ndeny := true\n\ndeny := false\n",
    ] {
        let report = ask(&[policy]);
        assert!(
            report.findings.iter().any(|finding| finding.rule == "rego.error"),
            "{policy}\n{report:?}"
        );
        assert!(report.tier().is_some(), "{policy}");
    }
}

#[test]
fn network_and_randomness_are_refused_with_their_line() {
    let policy = "package main\n\nimport rego.v1\n\n# http.send in words is fine, \"rand.intn\" too\ndeny contains \"x\" if {\n  rand.intn(\"seed\", 10) > 4\n}\n";
    let guards = guards(&[policy]);
    let remarks: Vec<_> = guards.remarks().iter().map(ToString::to_string).collect();
    assert_eq!(
        remarks,
        ["policy/0.rego:7: rand. is not available; a policy decides from its input alone: no network, no randomness"]
    );
}

#[test]
fn a_secret_in_a_policys_words_is_not_shown() {
    let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
    let policy = "package main\n\nimport rego.v1\n\ndeny contains msg if { msg := sprintf(\"bad: %v\", [input.a]) }\n";
    let report = inspect(&guards(&[policy]), "a.yaml", None, Some(format!("a: {token}\n").as_bytes()));
    assert!(!format!("{report:?}").contains(&token), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.rule == "rego.deny"));
}

#[test]
fn a_function_may_be_called_like_one_elsewhere() {
    let policy =
        "package main\n\nimport rego.v1\nimport data.lib\n\nname(x) := lib.name(x)\n\ndeny contains msg if { msg := name(input) }\n";
    let library = "package lib\n\nimport rego.v1\n\nname(x) := sprintf(\"%v\", [x.metadata.name])\n";
    let report = ask(&[policy, library]);
    assert_eq!(short(&report), ["rego.deny:1:refuse", "rego.deny:5:refuse"], "{report:?}");
}

/// Functions that make much out of little, alone and driven by what is proposed: each is an error that names its bound, and raises.
#[test]
fn what_costs_more_than_it_looks_is_an_error_that_names_its_bound() {
    let calls = [
        ("count(numbers.range(1, 1000000000)) > 0", "numbers.range: too many elements"),
        (
            "count(numbers.range(1, to_number(input.data.x))) > 0",
            "numbers.range: too many elements",
        ),
        (
            "count(numbers.range(0 - 4611686018427387904, 4611686018427387904)) > 0",
            "numbers.range: too many elements",
        ),
        (
            "count(numbers.range(1, 100000000000000000000000)) > 0",
            "numbers.range: from or to a number beyond 64 bits",
        ),
        (
            "count(numbers.range_step(1, 1000000000, 2)) > 0",
            "numbers.range_step: too many elements",
        ),
        ("bits.lsh(1, 4000000000) > 0", "bits.lsh: shifted by too many bits"),
        ("to_number(\"1e999999999\") > 0", "to_number: too large an exponent"),
        ("units.parse(\"1e999999999\") > 0", "units.parse: too large an exponent"),
        (
            "units.parse_bytes(\"1e99999999999999999999\") > 0",
            "units.parse_bytes: too large an exponent",
        ),
        ("sprintf(\"%4000000000d\", [1]) != \"\"", "sprintf: too many digits in a width"),
        (
            "sprintf(\"%s%s%s%s%s%s%s%s\", [input.data.long, input.data.long, input.data.long, input.data.long, input.data.long, input.data.long, input.data.long, input.data.long]) != \"\"",
            "sprintf: too long a text",
        ),
        (
            "count(replace(input.data.long, \"x\", input.data.long)) > 0",
            "replace: too long a text",
        ),
        (
            "count(strings.replace_n({\"x\": input.data.long}, input.data.long)) > 0",
            "strings.replace_n: too long a text",
        ),
        (
            "count(regex.replace(input.data.long, \"x\", \"$0$0$0$0\")) > 0",
            "regex.replace: too long a text",
        ),
        ("count(concat(input.data.long, numbers_as_texts)) > 0", "concat: too long a text"),
        (
            "count(array.concat(numbers.range(1, 90000), numbers.range(1, 90000))) > 0",
            "array.concat: too many elements",
        ),
        ("indexof(input.data.long, input.data.long) >= 0", "indexof: too many steps"),
        ("trim(input.data.long, input.data.long) == \"\"", "trim: too many steps"),
        (
            "strings.any_prefix_match(numbers_as_texts, numbers_as_texts)",
            "strings.any_prefix_match: too many steps",
        ),
    ];
    let mut policy =
        "package main\n\nimport rego.v1\n\nnumbers_as_texts := [format_int(n, 10) | some n in numbers.range(1, 3000)]\n".to_owned();
    for (nth, (call, _)) in calls.iter().enumerate() {
        policy.push_str(&format!("\ndeny_{nth} contains \"x\" if {call}\n"));
    }
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{x: '1000000000', long: '{}'}}\n",
        "x".repeat(600_000)
    );
    let report = inspect(&guards(&[&policy]), "a.yaml", None, Some(text.as_bytes()));
    for (nth, (call, bound)) in calls.iter().enumerate() {
        let rule = format!("data.main.deny_{nth}: ");
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.message.contains(&rule)).collect();
        assert_eq!(found.len(), 1, "{call}: {:?}", report.findings);
        assert_eq!(
            (found[0].rule.as_str(), found[0].effect.as_str()),
            ("rego.error", "manual"),
            "{call}"
        );
        assert!(found[0].message.contains(bound), "{call}: {}", found[0].message);
    }
}

#[test]
fn within_their_bounds_these_functions_are_those_of_rego() {
    let calls = [
        "numbers.range(3, 1) == [3, 2, 1]",
        "numbers.range_step(0, 10, 5) == [0, 5, 10]",
        "array.concat([1], [2]) == [1, 2]",
        "bits.lsh(1, 4) == 16",
        "to_number(\"1e3\") == 1000",
        "units.parse(\"1k\") == 1000",
        "units.parse_bytes(\"1Ki\") == 1024",
        "concat(\", \", {\"b\", \"a\"}) == \"a, b\"",
        "replace(\"a-b\", \"-\", \"_\") == \"a_b\"",
        "strings.replace_n({\"a\": \"b\", \"c\": \"d\"}, \"ac\") == \"bd\"",
        "regex.replace(\"abc\", \"b\", \"[$0]\") == \"a[b]c\"",
        "sprintf(\"%s has %03d of %.2f\", [\"a\", 7, 1.5]) == \"a has 007 of 1.50\"",
        "indexof(\"abc\", \"c\") == 2",
        "indexof_n(\"abab\", \"b\") == [1, 3]",
        "strings.count(\"abab\", \"ab\") == 2",
        "trim(\"--a-\", \"-\") == \"a\"",
        "strings.any_prefix_match([\"abc\"], [\"x\", \"ab\"])",
    ];
    let mut policy = "package main\n\nimport rego.v1\n".to_owned();
    for call in calls {
        policy.push_str(&format!("\ndeny contains {call:?} if {call}\n"));
    }
    let manifest = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let report = inspect(&guards(&[&policy]), "a.yaml", None, Some(manifest));
    for call in calls {
        let said = format!("data.main.deny: {call}");
        assert!(
            report.findings.iter().any(|finding| finding.message == said),
            "{call}: {:?}",
            report.findings
        );
    }
    // Its last argument may take the answer.
    let old = "package main\n\ndeny[msg] { sprintf(\"no %s\", [input.kind], msg) }\n";
    assert_eq!(short(&ask(&[old])), ["rego.deny:1:refuse", "rego.deny:5:refuse"]);
    let wrong = "package main\n\nimport rego.v1\n\ndeny contains \"x\" if concat(1, 2) == \"\"\n";
    assert_eq!(short(&ask(&[wrong])), ["rego.error:1:manual", "rego.error:5:manual"]);
}

#[test]
fn a_policy_that_is_never_asked_is_told_with_its_line() {
    let spoken = "package main\n\nimport rego.v1\n\ndeny contains \"x\" if input.kind == \"Secret\"\n";
    let typo = "# Names.\npackage mian\n\nimport rego.v1\n\ndeny_names contains \"x\" if true\n";
    let library = "package lib\n\nimport rego.v1\n\nis_a if true\n";
    let mut options = options(&[spoken, typo, library]);
    options.policy_packages.push("team".to_owned());
    let guards = Guards::new(&options).expect("guards");
    let told: Vec<String> = guards
        .remarks()
        .iter()
        .map(|remark| format!("{}:{} {}; {}", remark.file, remark.line, remark.message, remark.remedy))
        .collect();
    assert_eq!(
        told,
        [
            "policy/1.rego:2 its package \"mian\" is not asked, so that its rule deny_names never speaks; name the package in guard.policy_packages, or write `package main`",
            "guard.policy_packages:0 no policy is of package \"team\"; the packages are lib, main, mian",
        ]
    );
    assert!(guards.broken_policies().is_empty(), "the others are asked");
}
