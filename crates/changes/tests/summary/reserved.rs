//! What decides about agents weighs more than its lines do.

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
