//! Which runbooks the policy trusts to run by themselves, and where: data that a human commits, by hand or by accepting an offer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Policy, Route, TTL_SECONDS_MANUAL, Waiting};
use crate::ledger::{Environment, LedgerKey};
use crate::{GroupName, RepoPath, RepositoryName, RunbookName, TargetClass, Tier, Timestamp, UserId};

/// The kind of target of paths whose rules name none.
const CLASS_DEFAULT: &str = "default";
/// The kind of target of a change across several of them: what holds for each says nothing about both at once.
const CLASS_MIXED: &str = "mixed";

/// A `[[grants]]` entry: this runbook, exactly as it is now, may run by itself in this environment until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose record it stands on; its hash voids it when the runbook's file is edited.
    pub key: LedgerKey,
    /// When it ends by itself.
    pub until: Timestamp,
    /// The record that was shown when a human accepted an offer; absent when somebody wrote the entry without one.
    pub evidence: Option<String>,
    /// Line of the policy file.
    pub line: usize,
}

/// What the trust ledger says about one run of a runbook, for a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The tier that it gets at most.
    pub tier: Tier,
    /// Why, such as "prompted since 2026-03-01: a run failed".
    pub why: String,
    /// Why it must not run at all at the moment; a human ends that.
    pub held: Option<String>,
}

impl Trust {
    /// Nothing keeps the run from the tier that its rule names.
    pub fn standard(why: impl Into<String>) -> Self {
        Self {
            tier: Tier::Standard,
            why: why.into(),
            held: None,
        }
    }
}

impl Policy {
    /// The route of a promotion that the service proposes: the policy is changed, so nobody but those who are named for it may agree.
    pub(super) fn promotion(&self) -> Route {
        let why = "the service offers a promotion: its record is the evidence";
        let Some(requirement) = &self.promotions else {
            return self.manual(None, format!("{why}, and a human commits to the policy"));
        };
        Route {
            tier: Tier::Prompted,
            rule: None,
            why: why.to_owned(),
            requirements: vec![requirement.clone()],
            ttl_seconds: TTL_SECONDS_MANUAL,
            policy: self.hash(),
            second_factors: BTreeSet::new(),
            waiting: Waiting::default(),
        }
    }

    /// All grants of this policy, in the order of its file or files. What a repository's own file grants is told by
    /// [`Policy::for_repository`].
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The grant of one record, whether or not its time is over.
    pub fn grant(&self, key: &LedgerKey) -> Option<&Grant> {
        let policy = self.for_repository(&key.environment.repository);
        policy.grants.iter().find(|grant| grant.key == *key)
    }

    /// Where a change of these paths takes place: the repository, and the class that the rules of the paths name. Paths of several classes
    /// make a class of their own.
    pub fn environment<'a>(&self, repository: &RepositoryName, paths: impl IntoIterator<Item = &'a RepoPath>) -> Environment {
        let class = |path| self.rule_for(repository, path).and_then(|rule| rule.class.clone());
        let classes: BTreeSet<Option<TargetClass>> = paths.into_iter().map(class).collect();
        let named = match classes.len() {
            0 | 1 => classes.into_iter().next().flatten(),
            _ => Some(class_named(CLASS_MIXED)),
        };
        Environment {
            repository: repository.clone(),
            class: named.unwrap_or_else(|| class_named(CLASS_DEFAULT)),
        }
    }

    /// The groups that may lift what stops a runbook, or take its tier away: the approvers of the rules that name it, and where none does, all.
    pub fn runbook_groups(&self, runbook: &RunbookName) -> BTreeSet<&GroupName> {
        let policies = std::iter::once(self).chain(self.repositories.values().map(AsRef::as_ref));
        let rules = policies
            .flat_map(|policy| &policy.rules)
            .filter(|rule| rule.runbooks.contains(runbook));
        let approvers = rules.filter_map(|rule| rule.approvers.as_ref());
        let named: BTreeSet<&GroupName> = approvers
            .flat_map(|approvers| approvers.groups().into_iter().filter_map(|group| self.known(group)))
            .collect();
        if named.is_empty() { self.groups.keys().collect() } else { named }
    }

    /// Whether a person is in one of the [`Policy::runbook_groups`], or stands in for a member at the moment.
    pub fn may_judge(&self, runbook: &RunbookName, user: UserId, now: Timestamp) -> bool {
        let groups = self.runbook_groups(runbook);
        groups.into_iter().any(|group| self.in_group(group, user, now))
    }
}

/// The class that grants and rules mean when they name none.
pub(super) fn class_default() -> TargetClass {
    class_named(CLASS_DEFAULT)
}

fn class_named(text: &'static str) -> TargetClass {
    // Both names are made of letters: a test says that they are valid.
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Facts;

    const TEXT: &str = r#"
version = 1
[people.alice]
telegram_id = 1
[people.bob]
telegram_id = 2
[groups]
operators = ["alice"]
others = ["bob"]
[[rules]]
name = "production"
paths = ["prod/**"]
tier = "standard"
runbook = ["scale", "restart"]
approvers = "operators"
class = "production"
[[rules]]
name = "rest"
paths = ["**"]
tier = "prompted"
approvers = "others"
[[grants]]
runbook = "scale"
repository = "homelab"
class = "production"
hash = "0909090909090909090909090909090909090909090909090909090909090909"
until = 2026-12-31
evidence = "20 of 20, at least 86 %"
"#;

    fn policy(text: &str) -> Policy {
        Policy::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn class_of(paths: &[&str]) -> String {
        let paths: Vec<RepoPath> = paths.iter().map(|path| path.parse().expect("a path")).collect();
        policy(TEXT).environment(&"homelab".parse().expect("a name"), &paths).to_string()
    }

    #[test]
    fn the_rules_say_the_class() {
        assert_eq!(class_of(&["prod/a.yaml"]), "homelab/production");
        assert_eq!(class_of(&["prod/a.yaml", "prod/b.yaml"]), "homelab/production");
        assert_eq!(class_of(&["test/a.yaml"]), "homelab/default");
        assert_eq!(class_of(&["prod/a.yaml", "test/a.yaml"]), "homelab/mixed");
        assert_eq!(class_default().as_str(), "default");
    }

    #[test]
    fn a_grant_is_of_one_record() {
        let policy = policy(TEXT);
        let grant = &policy.grants()[0];
        assert_eq!(
            grant.until,
            "2027-01-01T00:00:00Z".parse::<Timestamp>().expect("a time"),
            "to the end of that day"
        );
        assert_eq!(policy.grant(&grant.key), Some(grant));
        let other = LedgerKey {
            hash: crate::Sha256Hash([8; 32]),
            ..grant.key.clone()
        };
        assert_eq!(policy.grant(&other), None, "an edited runbook");
    }

    #[test]
    fn judging_a_runbook_is_for_the_approvers_of_its_rules() {
        let policy = policy(TEXT);
        let name = |text: &str| text.parse::<RunbookName>().expect("a name");
        let may = |runbook: &str, user: i64| policy.may_judge(&name(runbook), UserId(user), Timestamp::UNIX_EPOCH);
        assert!(may("scale", 1) && !may("scale", 2));
        assert!(may("unnamed", 2), "no rule names it: every group");
        assert!(!may("unnamed", 3));
    }

    #[test]
    fn the_route_follows_the_trust() {
        let policy = policy(TEXT);
        let run = |path: &str, trust: Option<(Tier, &str)>| {
            let facts = Facts {
                paths: vec![path.parse().expect("a path")],
                runbook: Some("scale".parse().expect("a name")),
                trust: trust.map(|(tier, why)| Trust {
                    tier,
                    why: why.to_owned(),
                    held: None,
                }),
                ..Facts::default()
            };
            let route = policy.route(&"homelab".parse().expect("a name"), &facts);
            format!("{} · {}", route.tier, route.why)
        };
        let failed = "prompted since 2026-03-01: a run failed";
        for (path, trust, expected) in [
            (
                "prod/a",
                Some((Tier::Standard, "standard until 2027-01-01")),
                "standard · rule \"production\" trusts runbook scale: standard until 2027-01-01",
            ),
            (
                "prod/a",
                Some((Tier::Prompted, failed)),
                "prompted · rule \"production\" names runbook scale, but it is prompted since 2026-03-01: a run failed",
            ),
            (
                "prod/a",
                None,
                "prompted · rule \"production\" names runbook scale, but nothing is known of its trust",
            ),
            (
                "prod/a",
                Some((Tier::Manual, "manual: failed twice lately")),
                "manual · runbook scale is manual: failed twice lately: a human commits",
            ),
            (
                "test/a",
                Some((Tier::Manual, "manual: failed twice lately")),
                "manual · runbook scale is manual: failed twice lately: a human commits",
            ),
            (
                "test/a",
                Some((Tier::Standard, "standard until 2027-01-01")),
                "prompted · rule \"rest\"",
            ),
        ] {
            assert_eq!(run(path, trust), expected, "{path}");
        }
    }

    #[test]
    fn a_wrong_grant_is_told_with_its_line() {
        for (entry, expected) in [
            (
                "runbook = \"scale\"\nrepository = \"homelab\"\nhash = \"09\"\nuntil = 2026-12-31",
                "hash \"09\" is no SHA-256",
            ),
            (
                "runbook = \"scale\"\nrepository = \"home lab\"\nhash = \"HASH\"\nuntil = 2026-12-31",
                "repository name",
            ),
            (
                "runbook = \"scale\"\nrepository = \"homelab\"\nhash = \"HASH\"\nuntil = \"some day\"",
                "neither a date nor a time",
            ),
            (
                "runbook = \"scale\"\nrepository = \"homelab\"\nhash = \"HASH\"",
                "missing field `until`",
            ),
            (
                "runbook = \"scale\"\nrepository = \"homelab\"\nclass = \"production\"\nhash = \"HASH\"\nuntil = 2027-12-31",
                "stands there twice",
            ),
        ] {
            let hash = "09".repeat(32);
            let problems = Policy::parse(&format!("{TEXT}[[grants]]\n{}\n", entry.replace("HASH", &hash))).expect_err(expected);
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.message.contains(expected) && problem.line > 26),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_promotion_asks_those_who_are_named_for_it_or_a_human_commits() {
        let facts = Facts {
            paths: vec!["prod/policy.toml".parse().expect("a path")],
            promotion: Some(policy(TEXT).grants()[0].key.clone()),
            ..Facts::default()
        };
        let route = |text: &str| {
            let route = policy(text).route(&"homelab".parse().expect("a name"), &facts);
            format!("{} · {}", route.tier, route.needs())
        };
        assert_eq!(route(TEXT), "manual · ");
        assert_eq!(
            route(&format!("{TEXT}[promotions]\napprovers = \"others\"\n")),
            "prompted · 1 of others"
        );
        let own = policy(TEXT);
        let theirs = own.with_repository_rules("version = 1\n[promotions]\napprovers = \"operators\"\n");
        assert!(theirs.is_err_and(|problems| problems[0].message.contains("who decides about promotions")));
    }

    #[test]
    fn a_repositorys_file_may_grant() {
        let own = policy(&TEXT[..TEXT.find("[[grants]]").expect("there")]);
        let joined = own.with_repository_rules(&format!("version = 1\n{}", &TEXT[TEXT.find("[[grants]]").expect("there")..]));
        assert_eq!(joined.map(|policy| policy.grants().len()), Ok(1));
    }
}
