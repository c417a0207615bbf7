//! Why a change is as grave as its summary says.

use std::collections::BTreeMap;

use changes::{summarize, summarize_with};
use domain::{ChangeSet, FileChange, FileMode, NewFile, RepoPath, Risk};

#[test]
fn a_change_of_the_policy_is_of_high_risk_and_says_why() {
    let path: RepoPath = "config/policy.toml".parse().expect("a path");
    let new = NewFile {
        mode: FileMode::Regular,
        bytes: b"version = 1\n".to_vec(),
    };
    let file = FileChange { old: None, new: Some(new) };
    let change = ChangeSet::new(BTreeMap::from([(path.clone(), file)]));
    assert_eq!(summarize(&change, &BTreeMap::new(), None).risk, Risk::Low);
    let summary = summarize_with(&change, &BTreeMap::new(), None, |asked| *asked == path);
    assert_eq!((summary.risk, summary.verb.as_str()), (Risk::High, "change config/policy.toml"));
    assert_eq!(summary.lines[0].text, "config/policy.toml: decides what agents may do");
    assert_eq!(summary.reasons[0].rule, "reserved");
}

#[test]
fn the_name_of_a_secrets_key_is_no_secret() {
    for (line, literal) in [
        ("passwordSecretKey: password", false),
        ("existingSecretPasswordKey: postgres-password", false),
        ("clientSecretKey: client-secret", false),
        ("accessTokenTTL: 24h", false),
        ("adminPassword: ENC[AES256_GCM,data:p673w==,iv:YY=,tag:UQ==,type:str]", false),
        ("passwordFile: /run/secrets/db", false),
        ("adminPassword: hunter2", true),
        ("apiKey: 91d2c0ffee", true),
        ("clientSecret: s3cr3t-Of-Mine", true),
    ] {
        let path: RepoPath = "kubernetes/applications/web/values.yaml".parse().expect("a path");
        let side = |text: String| {
            let bytes = text.into_bytes();
            Some(NewFile {
                mode: FileMode::Regular,
                bytes,
            })
        };
        let file = FileChange {
            old: None,
            new: side(format!("replicaCount: 1\n{line}\n")),
        };
        let summary = summarize(&ChangeSet::new(BTreeMap::from([(path, file)])), &BTreeMap::new(), None);
        let said = summary.reasons.iter().any(|reason| reason.rule == "secret-literal");
        assert_eq!(said, literal, "{line}: {:?}", summary.reasons);
    }
}
