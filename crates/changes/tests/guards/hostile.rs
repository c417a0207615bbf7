//! Whatever the bytes are, there is an answer, and it never holds a secret.

use std::collections::BTreeMap;

use changes::guard::{Effect, GuardOptions, Guards};
use domain::{ChangeSet, FileChange, FileMode, NewFile, Tier};
use proptest::prelude::*;

use crate::slow_inputs::{SLOW_RULES, Slow, slow_inputs};
use crate::{guards, inspect, never_shown, path, short};

/// Without optimisation a twentieth: expressions run a hundred times slower there.
const BYTES: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

/// New manifests for which the budget is enough, a little below what the documentation says.
const KILOBYTES: usize = 180;

/// What the changes of this file are held against: built-in rules and an operator's slow ones.
fn slow_rules() -> Guards {
    Guards::new(&GuardOptions {
        secret_rules: Some(("rules.toml".to_owned(), SLOW_RULES.to_owned())),
        ..GuardOptions::default()
    })
    .expect("the slow rules")
}

#[test]
fn hostile_input_is_always_answered() {
    let guards = slow_rules();
    for Slow { name, path, text } in slow_inputs(BYTES) {
        for at in [path, "a.yaml", "charts/x/templates/a.yaml", "a.tf"] {
            let report = inspect(&guards, at, None, Some(text.as_bytes()));
            assert_eq!(report.checks.len(), 6, "{name} as {at}");
        }
    }
}

/// Files that differ by their names.
fn files(count: usize, text: &str) -> ChangeSet {
    let file = |nth: usize| {
        let new = NewFile {
            mode: FileMode::Regular,
            bytes: text.as_bytes().to_vec(),
        };
        (path(&format!("apps/{nth:04}.yaml")), FileChange { old: None, new: Some(new) })
    };
    ChangeSet::new((0..count).map(file).collect())
}

#[test]
fn what_is_beyond_the_budget_of_a_change_is_held_for_a_human_and_named() {
    let guards = guards();
    let text = "- {a: [1, 2, 3], b: \"\\x41\"}\n".repeat(1_000);
    let report = guards.inspect(&files(100, &text), &BTreeMap::new());
    let told: Vec<_> = report.findings.iter().filter(|finding| finding.rule == "guard.budget").collect();
    assert_eq!(told.len(), 20, "{report:?}");
    assert!(told.iter().all(|finding| finding.effect == Effect::Raise(Tier::Manual)), "{told:?}");
    assert!(
        told[0]
            .message
            .starts_with("too much to check, so it is held for a human: not looked through for "),
        "{told:?}"
    );
    assert!(told[19].message.ends_with(" more files)"), "{told:?}");
    assert_eq!(report.tier(), Some(Tier::Manual));
    assert_eq!(
        report,
        guards.inspect(&files(100, &text), &BTreeMap::new()),
        "the same answer each time"
    );
    let few = guards.inspect(&files(2, &text), &BTreeMap::new());
    assert!(few.findings.iter().all(|finding| finding.rule != "guard.budget"), "{few:?}");
}

#[test]
fn large_ordinary_changes_are_looked_at_to_their_end() {
    let one = |name: usize| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{name}\n  namespace: team\nspec:\n  replicas: 2\n  selector:\n    \
             matchLabels:\n      app: app-{name}\n  template:\n    metadata:\n      labels:\n        app: app-{name}\n    spec:\n      containers:\n        \
             - name: app\n          image: registry.example.com/app:1.2.{name}\n          args: [\"--level=info\", \"--listen=0.0.0.0:8080\"]\n          \
             resources:\n            requests:\n              cpu: 100m\n              memory: 128Mi\n            limits:\n              memory: 256Mi\n"
        )
    };
    let text: String = (0..KILOBYTES * 1_000 / 12 / one(0).len()).map(one).collect();
    let report = guards().inspect(&files(12, &text), &BTreeMap::new());
    assert_eq!(report.tier(), None, "{:?}", short(&report));
}

#[test]
fn a_secret_in_a_small_file_is_found_beside_a_large_hostile_one() {
    let hostile = "password: x1y2z3 {{ [ ".repeat(60_000);
    let mut all: BTreeMap<_, _> = files(1, &hostile).iter().map(|(path, file)| (path.clone(), file.clone())).collect();
    let small = files(1, "kind: Secret\napiVersion: v1\nstringData: {a: hunter2}\n");
    let (_, file) = small.iter().next().expect("a file");
    all.insert(path("zz/small.yaml"), file.clone());
    let report = guards().inspect(&ChangeSet::new(all), &BTreeMap::new());
    assert!(short(&report).contains(&"structure.secret:3:refuse".to_owned()), "{report:?}");
}

#[test]
fn what_was_not_looked_at_cannot_be_configured_away() {
    let id = || "guard.budget".to_owned();
    let off = GuardOptions {
        off: BTreeMap::from([(id(), "busy".to_owned())]),
        ..GuardOptions::default()
    };
    let weak = GuardOptions {
        effects: BTreeMap::from([(id(), Effect::Remark)]),
        ..GuardOptions::default()
    };
    for options in [off, weak] {
        let problems = Guards::new(&options).map(|_| ()).expect_err("it stays as it is");
        assert_eq!(
            problems[0].message,
            "\"guard.budget\" cannot be changed: what was not looked at always asks people"
        );
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
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), name in 0usize..7) {
        let at = ["a.yaml", "b.json", "c.tf", "templates/d.yaml", "e.env", "f.sh", "Dockerfile"][name];
        let old = String::from_utf8_lossy(&bytes[..bytes.len() / 2]).into_owned();
        inspect(&guards_once(), at, Some(&old), Some(&bytes));
    }

    #[test]
    fn random_yaml_never_panics(text in "([a-z]{1,3}: |- |\\{|\\}|\\[|\\]|&a |\\*a|\n|  |\"|'|\\||>|\\{\\{|password|kind: Secret\n|data:\n|---\n|#|!!str ){0,60}") {
        inspect(&guards_once(), "a.yaml", None, Some(text.as_bytes()));
    }

    #[test]
    fn random_scripts_never_panic(text in "([a-z]{1,3}|=| |\"|'|`|\\$\\(|\\$\\{|\\}|\\)|\\\\|\n|;|\u{e9}|ENV |export |password=|-e ){0,60}", name in 0usize..2) {
        inspect(&guards_once(), ["a.sh", "Dockerfile"][name], None, Some(text.as_bytes()));
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
