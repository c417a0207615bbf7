//! Reading the grants: which runbooks run by themselves.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::Checker;
use super::approvers::{Written, requirement};
use crate::ledger::{Environment, LedgerKey};
use crate::policy::grants::class_default;
use crate::policy::{Grant, Requirement};
use crate::{RunbookName, Sha256Hash, TargetClass};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGrant {
    runbook: Spanned<String>,
    repository: Spanned<String>,
    class: Option<Spanned<String>>,
    hash: Spanned<String>,
    until: Spanned<Value>,
    evidence: Option<String>,
}

/// Who decides about promotions that the service offers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePromotions {
    approvers: Spanned<Value>,
    quorum: Option<Spanned<u32>>,
}

/// Reads who decides about promotions.
pub(super) fn promotions(checker: &mut Checker<'_>, written: &FilePromotions) -> Option<Requirement> {
    let written = Written {
        rule: "promotions",
        approvers: &written.approvers,
        quorum: written.quorum.as_ref(),
        revert_quorum: None,
        allow_owner: true,
        escalation: None,
    };
    requirement(checker, &written)
}

/// Reads the grants.
pub(super) fn grants(checker: &mut Checker<'_>, written: Vec<Spanned<FileGrant>>) -> Vec<Grant> {
    let mut known = BTreeSet::new();
    let mut grants = Vec::new();
    for entry in written {
        let span = entry.span();
        let line = checker.line(&span);
        let Some(grant) = grant(checker, entry.into_inner(), line) else {
            continue;
        };
        if !known.insert(grant.key.clone()) {
            checker.add(
                &span,
                format!(
                    "the grant of runbook {} in {} stands there twice",
                    grant.key.runbook, grant.key.environment
                ),
                "keep one of them",
            );
        }
        grants.push(grant);
    }
    grants
}

fn grant(checker: &mut Checker<'_>, written: FileGrant, line: usize) -> Option<Grant> {
    let runbook = checker.name::<RunbookName>(written.runbook.get_ref(), &written.runbook.span());
    let repository = checker.repository(Some(&written.repository));
    let class = match &written.class {
        None => Some(class_default()),
        Some(class) => checker.name::<TargetClass>(class.get_ref(), &class.span()),
    };
    let hash = written.hash.get_ref().parse::<Sha256Hash>().ok();
    if hash.is_none() {
        checker.add(
            &written.hash.span(),
            format!("hash {:?} is no SHA-256", written.hash.get_ref()),
            "copy the 64 digits that `countersign runbook list` prints",
        );
    }
    let until = super::times::until(checker, &written.until);
    Some(Grant {
        key: LedgerKey {
            runbook: runbook?,
            hash: hash?,
            environment: Environment {
                repository: repository?,
                class: class?,
            },
        },
        until: until?,
        evidence: written.evidence,
        line,
    })
}
