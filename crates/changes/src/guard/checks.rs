//! What was checked, in the words of a card: each check with its result.

use super::rules::SECRET_PREFIX;
use super::{Check, CheckResult, Effect, Finding, Guards};

/// What the checks count.
#[derive(Default)]
pub(super) struct Counts {
    pub files: usize,
    pub texts: usize,
    pub yaml: usize,
    pub validated: usize,
    pub unknown_kinds: usize,
    pub documents: usize,
}

/// What each check did, in the order of a card.
pub(super) fn checks(guards: &Guards, findings: &[Finding], counts: &Counts) -> Vec<Check> {
    let check = |name: &str, label: String, prefixes: &[&str], ran: bool, passed: String, skipped: &str| {
        let concerned = |finding: &&Finding| prefixes.iter().any(|prefix| finding.rule.starts_with(prefix));
        let bad = findings
            .iter()
            .filter(concerned)
            .filter(|finding| finding.effect != Effect::Remark)
            .count();
        let remarks = findings.iter().filter(concerned).count() - bad;
        let (result, words) = match (bad, remarks) {
            (0, _) if !ran => (CheckResult::Skipped, skipped.to_owned()),
            (0, 0) => (CheckResult::Passed, passed),
            (0, remarks) => (CheckResult::Passed, format!("{passed}, {}", plural(remarks, "remark"))),
            (bad, _) => (CheckResult::Failed, plural(bad, "finding")),
        };
        Check {
            name: name.to_owned(),
            label,
            result,
            words,
        }
    };
    let unknown = match counts.unknown_kinds {
        0 => String::new(),
        many => format!(", {many} of unknown kinds not validated"),
    };
    let kubernetes = format!(
        "{} valid for Kubernetes {}{unknown}",
        plural(counts.validated, "manifest"),
        guards.schemas.version()
    );
    let schemas = format!("schemas {}", guards.schemas.version());
    let (policies, rego) = match &guards.policies {
        Some(policies) => ("no documents", format!("Rego {}", policies.count())),
        None => ("no policies configured", "Rego".to_owned()),
    };
    vec![
        check(
            "files",
            "files".to_owned(),
            &["file.", "kind.", "infisical."],
            counts.files > 0,
            plural(counts.files, "file"),
            "no files",
        ),
        check(
            "secrets",
            "secrets".to_owned(),
            &[SECRET_PREFIX, "structure.", "guard."],
            counts.files > 0,
            "none found".to_owned(),
            "no files",
        ),
        check(
            "text",
            "text".to_owned(),
            &["text."],
            counts.texts > 0,
            "nothing hidden".to_owned(),
            "no text",
        ),
        check(
            "yaml",
            "YAML".to_owned(),
            &["yaml."],
            counts.yaml > 0,
            plural(counts.yaml, "file"),
            "no YAML or JSON",
        ),
        check(
            "kubernetes",
            schemas,
            &["manifest."],
            counts.validated > 0,
            kubernetes,
            "no manifests of a known kind",
        ),
        check(
            "rego",
            rego,
            &["rego."],
            counts.documents > 0,
            plural(counts.documents, "document"),
            policies,
        ),
    ]
}

pub(super) fn plural(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}
