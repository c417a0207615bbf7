//! The policies that managed repositories carry themselves, as data: what stands on their branch, what was valid last, and what follows for
//! the policy in force. Reading them from git and telling people is in `policies.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use changes::Runbook;
use domain::{CommitId, PathGlob, Policy, RepoPath, RunbookName, Sha256Hash, Tier};

use super::{FileProblem, unknown_runbooks};

/// Longest policy of a repository, in bytes: a thousand rules fit several times, and reading it costs a bounded amount of work.
pub const REPOSITORY_POLICY_BYTES_MAX: usize = 256 * 1024;

/// Where the rules for a repository stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyHome {
    /// In the service's own policy file.
    Local(PathBuf),
    /// In a file of the repository itself, read at the tip of its branch.
    Repository(RepoPath),
}

/// What stands at the policy's path in the newest tip that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AtTip {
    /// Nobody has looked yet.
    Unread,
    /// Nothing.
    Missing,
    /// Something that can be no policy: why.
    Unusable(String),
    /// A text, valid or not.
    Text(Arc<str>),
}

/// The policy of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Theirs {
    pub path: RepoPath,
    pub at_tip: AtTip,
    /// The commit of that tip at which this was found first.
    pub commit: Option<CommitId>,
    /// The last text that was valid, and where it was found.
    pub valid: Option<(Arc<str>, CommitId)>,
    /// What is wrong with what stands at the tip; empty when it is in force.
    pub trouble: Vec<FileProblem>,
}

impl Theirs {
    pub(super) const fn new(path: RepoPath) -> Self {
        Self {
            path,
            at_tip: AtTip::Unread,
            commit: None,
            valid: None,
            trouble: Vec::new(),
        }
    }

    /// The policy that follows, given the service's own. Notes what is wrong, and what is valid from now on.
    pub(super) fn judge(&mut self, own: &Policy, runbooks: &BTreeMap<RunbookName, Arc<Runbook>>) -> Policy {
        let file = self.path.as_str();
        let whole = |message: &str, remedy: &str| {
            vec![FileProblem {
                file: file.to_owned(),
                line: 0,
                message: message.to_owned(),
                remedy: remedy.to_owned(),
            }]
        };
        let trouble = match &self.at_tip {
            AtTip::Text(text) => match joined(own, runbooks, file, text) {
                Ok(policy) => {
                    self.trouble.clear();
                    if let Some(commit) = self.commit.filter(|_| self.valid.as_ref().is_none_or(|(known, _)| known != text)) {
                        self.valid = Some((text.clone(), commit));
                    }
                    return reserving(policy, &self.path);
                }
                Err(problems) => problems,
            },
            AtTip::Unusable(why) => whole(why, "put a policy there, as docs/policy.md describes it"),
            AtTip::Missing if self.valid.is_some() => whole(
                "it is no longer on the branch",
                "put it back with `git revert`, or take `policy` out of the repository's configuration and start the service again",
            ),
            // There never was one: until it comes, the service's own rules are meant.
            AtTip::Missing | AtTip::Unread => Vec::new(),
        };
        self.trouble = trouble;
        let last = self.valid.as_ref().and_then(|(text, _)| joined(own, runbooks, file, text).ok());
        let policy = match (last, self.trouble.is_empty()) {
            (Some(last), true) => last,
            (Some(last), false) => last.capped(Some((
                Tier::Prompted,
                format!("the policy at the tip ({file}) is not valid, so nothing is standard"),
            ))),
            (None, true) => own.clone(),
            (None, false) => own.clone().capped(Some((
                Tier::Manual,
                format!("the policy at the tip ({file}) is not valid, and no earlier one is known that would be"),
            ))),
        };
        reserving(policy, &self.path)
    }

    /// Names what is wrong, so that the same trouble is told once; `None` while there is none.
    pub(crate) fn trouble_id(&self) -> Option<Sha256Hash> {
        if self.trouble.is_empty() {
            return None;
        }
        let mut named: String = self.trouble.iter().map(|problem| format!("{problem}\0")).collect();
        if let AtTip::Text(text) = &self.at_tip {
            named.push_str(text);
        }
        Some(Sha256Hash::of(named.as_bytes()))
    }
}

/// The service's policy with the rules of a repository's file, whose runbooks must exist.
pub(super) fn joined(
    own: &Policy,
    runbooks: &BTreeMap<RunbookName, Arc<Runbook>>,
    file: &str,
    text: &str,
) -> Result<Policy, Vec<FileProblem>> {
    if text.len() > REPOSITORY_POLICY_BYTES_MAX {
        return Err(vec![FileProblem {
            file: file.to_owned(),
            line: 0,
            message: format!("it has {} bytes, more than {REPOSITORY_POLICY_BYTES_MAX}", text.len()),
            remedy: "use fewer rules with wider patterns".to_owned(),
        }]);
    }
    let policy = own.with_repository_rules(text).map_err(|problems| {
        problems
            .into_iter()
            .map(|problem| FileProblem::of(file, problem))
            .collect::<Vec<_>>()
    })?;
    let unknown = unknown_runbooks(file, &policy, |name| runbooks.contains_key(name));
    if unknown.is_empty() { Ok(policy) } else { Err(unknown) }
}

/// The place of the policy is always manual.
fn reserving(policy: Policy, path: &RepoPath) -> Policy {
    // The configuration takes only paths that are patterns of themselves.
    policy.reserving(PathGlob::new(path.as_str()).ok())
}
