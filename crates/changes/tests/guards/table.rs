//! Small changes, good and bad: each names the rule, the line and what it means, and no output ever holds the value.

use changes::guard::{Effect, GuardOptions, Guards};

use crate::cases::{Case, cases};
use crate::{guards, inspect, never_shown, short};

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
        let found = short(&report);
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
