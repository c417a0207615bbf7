//! The guard rails over small changes, good and bad: each names the rule, the line and what it means, and no output ever holds the value.

mod guard_cases;

use std::collections::BTreeMap;

use changes::guard::{Effect, GuardOptions, Guards, Report};
use domain::{ChangeSet, FileChange, FileMode, FileVersion, NewFile, RepoPath};
use guard_cases::{Case, cases};

fn path(text: &str) -> RepoPath {
    text.parse().expect("a path")
}

/// A change of one file.
fn change(at: &str, old: Option<&str>, new: Option<&[u8]>) -> (ChangeSet, BTreeMap<RepoPath, Vec<u8>>) {
    let mode = FileMode::Regular;
    let blob = "286c5f5776916d7d7d5849988ca9d83e722cf9c2".parse().expect("a blob id");
    let file = FileChange {
        old: old.map(|_| FileVersion { mode, blob }),
        new: new.map(|bytes| NewFile {
            mode,
            bytes: bytes.to_vec(),
        }),
    };
    let contents = old.map(|old| (path(at), old.as_bytes().to_vec())).into_iter().collect();
    (ChangeSet::new(BTreeMap::from([(path(at), file)])), contents)
}

fn inspect(guards: &Guards, at: &str, old: Option<&str>, new: Option<&[u8]>) -> Report {
    let (changes, contents) = change(at, old, new);
    guards.inspect(&changes, &contents)
}

fn guards() -> Guards {
    Guards::new(&GuardOptions::default()).expect("the built-in rules")
}

fn never_shown(report: &Report, value: &str, name: &str) {
    let outputs = [format!("{report:?}"), serde_json::to_string(report).expect("JSON")];
    for output in outputs {
        assert!(!output.contains(value), "{name}: the value is shown in {output}");
    }
}

#[test]
fn every_case_is_judged_as_it_should_be() {
    let guards = guards();
    let all = cases();
    assert!(all.len() >= 60, "{}", all.len());
    let mut wrong = Vec::new();
    for Case {
        name,
        at,
        old,
        new,
        expect,
        secret,
    } in &all
    {
        let report = inspect(&guards, at, old.as_deref(), new.as_deref().map(str::as_bytes));
        let found: Vec<String> = report
            .findings
            .iter()
            .map(|finding| format!("{}:{}:{}", finding.rule, finding.line.unwrap_or(0), finding.effect))
            .collect();
        if found != *expect {
            let words: Vec<_> = report.findings.iter().map(|finding| &finding.message).collect();
            wrong.push(format!("{name}\n  expected {expect:?}\n  found    {found:?}\n  {words:?}"));
        }
        assert!(
            report
                .findings
                .iter()
                .all(|finding| finding.path.as_str() == *at && !finding.hint.is_empty()),
            "{name}"
        );
        if let Some(secret) = secret {
            never_shown(&report, secret, name);
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_effect_can_be_configured_and_an_unknown_rule_is_an_error() {
    let mut options = GuardOptions::default();
    options.effects.insert("kind.namespace".to_owned(), Effect::Remark);
    let text = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: web}\n";
    let report = inspect(&Guards::new(&options).expect("guards"), "apps/ns.yaml", None, Some(text));
    assert_eq!(report.findings[0].effect, Effect::Remark);
    assert_eq!(report.tier(), None);
    options.effects.insert("kind.namespaces".to_owned(), Effect::Refuse);
    let problems = Guards::new(&options).map(|_| ()).expect_err("no such rule");
    assert!(
        problems[0].to_string().contains("there is no rule \"kind.namespaces\""),
        "{problems:?}"
    );
}
