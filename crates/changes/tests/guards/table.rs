//! Small changes, good and bad: each names the rule, the line and what it means, and no output ever holds the value.

use std::collections::BTreeMap;

use changes::guard::{Effect, GuardOptions, Guards};
use domain::{ChangeSet, FileChange, FileMode, NewFile};

use crate::cases::{Case, cases};
use crate::{guards, inspect, never_shown, path, short};

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

#[test]
fn a_rule_that_is_switched_off_finds_nothing_and_others_still_do() {
    let mut options = GuardOptions::default();
    options
        .off
        .insert("structure.secret".to_owned(), "an old habit of this team".to_owned());
    let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
    let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: web}}\nstringData:\n  note: {token}\n  password: hunter2\n");
    let guards = Guards::new(&options).expect("guards");
    let report = inspect(&guards, "apps/secret.yaml", None, Some(text.as_bytes()));
    assert!(
        !short(&report).iter().any(|found| found.starts_with("structure.secret")),
        "{report:?}"
    );
    assert!(short(&report).contains(&"secret.github-token:5:refuse".to_owned()), "{report:?}");
    options.off.insert("structure.nothing".to_owned(), "why not".to_owned());
    assert!(Guards::new(&options).is_err(), "there is no such rule");
}

#[test]
fn what_is_told_only_refuses_nothing_and_is_read_again_from_its_json() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {password: hunter2}\n";
    let report = inspect(&guards(), "apps/secret.yaml", None, Some(text.as_bytes()));
    assert!(report.refusals().count() > 0 && report.secrets() > 0);
    let told = report.clone().told_only();
    assert_eq!((told.refusals().count(), told.tier()), (0, None));
    assert_eq!(told.checks, report.checks, "what was found was found");
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<changes::guard::Report>(&json).expect("read again"), report);
}

#[test]
fn hidden_and_binary_content_is_found_once() {
    let guards = guards();
    let report = inspect(&guards, "a.txt", None, Some("a\u{202e}b\n".as_bytes()));
    assert_eq!(short(&report), ["text.deceptive:1:manual"]);
    let report = inspect(&guards, "a.bin", None, Some(b"a\0b"));
    assert_eq!(short(&report), ["text.binary:0:manual"]);
    let report = inspect(&guards, "a.txt", Some("a\u{202e}b\n"), Some("a\u{202e}b\nc\n".as_bytes()));
    assert_eq!(short(&report), ["text.deceptive:1:remark"], "it stands there already");
    let long = format!("{}\n", "x ".repeat(300));
    assert_eq!(
        short(&inspect(&guards, "a.txt", None, Some(long.as_bytes()))),
        ["text.long-line:1:remark"]
    );
}

#[test]
fn a_patch_file_is_of_the_kind_that_its_kustomization_names() {
    let patch = "- op: add\n  path: /data/user\n  value: hunter2\n";
    let kustomization = |kind: &str| format!("patches:\n- path: ./p.yaml\n  target: {{kind: {kind}}}\n");
    for (kind, found) in [("Secret", true), ("ConfigMap", false)] {
        let file = |text: &str| FileChange {
            old: None,
            new: Some(NewFile {
                mode: FileMode::Regular,
                bytes: text.as_bytes().to_vec(),
            }),
        };
        let all = [
            (path("base/p.yaml"), file(patch)),
            (path("base/kustomization.yaml"), file(&kustomization(kind))),
        ];
        let report = guards().inspect(&ChangeSet::new(all.into()), &BTreeMap::new());
        assert_eq!(
            short(&report).contains(&"structure.secret:3:refuse".to_owned()),
            found,
            "{report:?}"
        );
    }
}
