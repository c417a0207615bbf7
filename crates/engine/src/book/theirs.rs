//! The policies that managed repositories carry themselves, as data: what stands on their branch, what was valid last, and what follows for
//! the policy in force. Reading them from git and telling people is in `policies.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use domain::{CommitId, PathGlob, Policy, RepoPath, RunbookName, Sha256Hash, Tier};

use super::{FileProblem, unknown_runbooks};

/// Longest policy of a repository, in bytes: a thousand rules fit, and an agent cannot make the service compile patterns for long.
pub const REPOSITORY_POLICY_BYTES_MAX: usize = 128 * 1024;

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
    /// Whether the last valid one still is: the service's own policy may have lost a group that it asks.
    pub holds: bool,
}

impl Theirs {
    pub(super) const fn new(path: RepoPath) -> Self {
        Self {
            path,
            at_tip: AtTip::Unread,
            commit: None,
            valid: None,
            trouble: Vec::new(),
            holds: false,
        }
    }

    /// The policy that follows, given the service's own. Notes what is wrong, and what is valid from now on.
    pub(super) fn judge(&mut self, own: &Policy, known: impl Fn(&RunbookName) -> bool) -> Policy {
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
            AtTip::Text(text) => match joined(own, known, file, text) {
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
        // Without its runbooks a rule still says who is asked: only what is to come into force must name nothing that is gone.
        let last = self.valid.as_ref().and_then(|(text, _)| joined(own, |_| true, file, text).ok());
        self.holds = last.is_some();
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
pub(super) fn joined(own: &Policy, known: impl Fn(&RunbookName) -> bool, file: &str, text: &str) -> Result<Policy, Vec<FileProblem>> {
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
    let unknown = unknown_runbooks(file, &policy, known, |_| false);
    if unknown.is_empty() { Ok(policy) } else { Err(unknown) }
}

/// The place of the policy is always manual.
fn reserving(policy: Policy, path: &RepoPath) -> Policy {
    // The configuration takes only paths that are patterns of themselves.
    policy.reserving(PathGlob::new(path.as_str()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Book;

    const OWN: &str = "version = 1\n[people.alice]\ntelegram_id = 1\n[people.bob]\ntelegram_id = 2\n[groups]\noperators = [\"alice\", \"bob\"]\n\
                       [[rules]]\nname = \"own\"\npaths = [\"**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n";
    const RULE: &str = "version = 1\n[[rules]]\nname = \"theirs\"\npaths = [\"**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n";

    fn homelab() -> domain::RepositoryName {
        "homelab".parse().expect("a name")
    }

    fn book() -> Book {
        let own = Policy::parse(OWN).expect("a policy");
        Book::new(own, Vec::new()).homed([(homelab(), "policy.toml".parse().expect("a path"))])
    }

    fn at(number: u8) -> CommitId {
        CommitId::from_bytes([number; 20])
    }

    fn text(text: &str) -> AtTip {
        AtTip::Text(text.into())
    }

    /// Tier, rule and whether something is wrong, for a change of this path.
    fn told(book: &Book, path: &str) -> String {
        let facts = domain::Facts {
            paths: vec![path.parse().expect("a path")],
            ..Default::default()
        };
        let route = book.policy.route(&homelab(), &facts);
        let trouble = book.theirs(&homelab()).map_or(0, |theirs| theirs.trouble.len());
        format!("{} {} {trouble}", route.tier, route.rule.as_deref().unwrap_or("-"))
    }

    #[test]
    fn what_stands_at_the_tip_and_what_was_valid_last_give_the_policy() {
        let broken = || text("version = 2\n");
        let unusable = || AtTip::Unusable("it is not a regular file (mode 120000)".to_owned());
        assert_eq!(told(&book(), "x"), "prompted own 0", "nobody has looked yet");
        assert_eq!(told(&book(), "policy.toml"), "manual - 0", "reserved from the beginning");
        assert_eq!(told(&book().holding(&homelab(), AtTip::Missing, at(1)), "x"), "prompted own 0");
        for bad in [broken(), unusable()] {
            assert_eq!(
                told(&book().holding(&homelab(), bad, at(1)), "x"),
                "manual own 1",
                "there was no valid one"
            );
        }
        let valid = book().holding(&homelab(), text(RULE), at(1));
        assert_eq!(told(&valid, "x"), "prompted theirs 0");
        assert_eq!(told(&valid, "policy.toml"), "manual - 0");
        for bad in [broken(), unusable(), AtTip::Missing] {
            let after = valid.clone().holding(&homelab(), bad, at(2));
            assert_eq!(told(&after, "x"), "prompted theirs 1");
            assert_eq!(
                after
                    .theirs(&homelab())
                    .and_then(|theirs| theirs.valid.clone())
                    .map(|valid| valid.1),
                Some(at(1))
            );
            assert_eq!(
                after.policy.for_repository(&homelab()).hash(),
                valid.policy.for_repository(&homelab()).hash()
            );
            assert_eq!(told(&after.holding(&homelab(), text(RULE), at(3)), "x"), "prompted theirs 0");
        }
        let recalled = book().recalling(&homelab(), Some((RULE.into(), at(1))));
        assert_eq!(told(&recalled, "x"), "prompted theirs 0");
        assert_eq!(told(&recalled.holding(&homelab(), broken(), at(2)), "x"), "prompted theirs 1");
    }

    #[test]
    fn every_mistake_has_its_line_and_remedy() {
        let rule = |more: &str| format!("version = 1\n[[rules]]\nname = \"r\"\npaths = [\"**\"]\ntier = \"prompted\"\n{more}\n");
        let huge = format!("version = 1\n#{}", "x".repeat(REPOSITORY_POLICY_BYTES_MAX));
        for (text, line, words) in [
            (rule("approvers = \"nobody\""), 6, "asks group nobody, which does not exist"),
            (
                rule("approvers = \"operators\"\nquorum = 3"),
                7,
                "needs 3 of group operators, which has 2",
            ),
            (rule("approvers = { all = [] }"), 6, ""),
            (
                rule("approvers = { all = [{ group = \"operators\", count = 2 }, \"operators\"] }"),
                6,
                "share too many people",
            ),
            (
                rule("approvers = \"operators\"").replace("prompted\"", "standard\"\nrunbook = \"gone\""),
                2,
                "trusts runbook gone",
            ),
            (
                format!("{RULE}[[delegations]]\nfrom = \"alice\"\nto = \"bob\"\nuntil = 2020-01-01\n"),
                7,
                "delegations: a repository's policy cannot define",
            ),
            (
                format!("[groups]\na = [\"b\"]\nb = [\"a\"]\n{RULE}"),
                1,
                "groups: a repository's policy cannot define",
            ),
            (format!("{RULE}allow_owner = true\n"), 7, "owners approve for their own agents"),
            ("version = 1\n[[rules]\n".to_owned(), 2, ""),
            (huge, 0, "more than"),
        ] {
            let found = book().with_text(&homelab(), "policy.toml", &text);
            let found = found.err().unwrap_or_else(|| panic!("taken: {text}"));
            let told = found
                .iter()
                .find(|problem| problem.message.contains(words) && !problem.remedy.is_empty());
            let told = told.map(|problem| (problem.file.as_str(), problem.line));
            assert_eq!(told, Some(("policy.toml", line)), "{found:?}");
        }
    }
}
