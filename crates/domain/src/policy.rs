//! The policy: which paths may change at which tier, and who must say yes. Deterministic, ours, never the agent's.
//!
//! Ordered rules; for every touched path the first rule that matches it applies; the strictest tier over all paths wins;
//! a path that no rule matches is `manual`.

use std::collections::{BTreeMap, BTreeSet};

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::{AgentName, GroupName, Proposal, RepoPath, RepositoryName, RunbookName, Sha256Hash, Tier, UserId};

mod parse;

pub use parse::Problem;

/// Seconds a pending proposal may wait when its rule does not say.
pub const TTL_SECONDS_DEFAULT: u32 = 4 * 3600;
/// The same for a change that a human commits.
pub const TTL_SECONDS_MANUAL: u32 = 7 * 24 * 3600;

/// A valid policy, with the hash of the text it came from.
#[derive(Debug, Clone)]
pub struct Policy {
    people: BTreeMap<UserId, Person>,
    groups: BTreeMap<GroupName, BTreeSet<UserId>>,
    rules: Vec<Rule>,
    reserved: Vec<PathGlob>,
    files_per_card: usize,
    hash: Sha256Hash,
}

/// Somebody who may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// What cards, commits and agents see.
    pub name: String,
    /// The numeric Telegram id: what a tap is checked against.
    pub id: UserId,
    /// The agents this person runs. Nobody approves for an agent that they own unless the rule says so.
    pub owns: BTreeSet<AgentName>,
}

/// A path pattern; `*` does not cross `/`, `**` does.
#[derive(Debug, Clone)]
pub struct PathGlob {
    text: String,
    matcher: GlobMatcher,
}

impl PathGlob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it: its syntax, or that no path could ever match it.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some(why) = matches_nothing(text) {
            return Err(format!("path pattern {text:?} can match nothing: {why}"));
        }
        let glob = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(false)
            .build();
        glob.map(|glob: Glob| Self {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
        })
        .map_err(|error| format!("path pattern {text:?}: {}", error.kind()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it covers a path.
    pub fn matches(&self, path: &RepoPath) -> bool {
        self.matcher.is_match(path.as_str())
    }
}

/// Why a pattern covers no repository path, whatever files there are.
fn matches_nothing(text: &str) -> Option<&'static str> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if text.is_empty() {
        Some("it is empty")
    } else if text.starts_with('/') {
        Some("patterns are relative to the repository's root, without a leading slash")
    } else if text.ends_with('/') {
        Some("it names a directory; write ** behind the slash for everything below it")
    } else if text.contains('\\') {
        Some("the parts of a path are divided by /")
    } else if text.split('/').any(bad) {
        Some("paths have no empty, . or .. part")
    } else if text.chars().any(|c| c.is_control() || c == ':') || text.trim() != text {
        Some("paths have no colon, no control character, and no space at either end")
    } else {
        None
    }
}

/// One rule of the policy.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique name, shown on cards and to agents.
    pub name: String,
    /// The repository it is for; all when absent.
    pub repository: Option<RepositoryName>,
    /// What it covers.
    pub paths: Vec<PathGlob>,
    /// The tier it gives.
    pub tier: Tier,
    /// Who approves at the prompted tier (for `standard`: whom a free-form change under this rule asks).
    pub approvers: Option<GroupName>,
    /// How many of them.
    pub quorum: u32,
    /// Seconds a proposal may wait for its decision.
    pub ttl_seconds: u32,
    /// For `standard`: the only runbooks it is for.
    pub runbooks: BTreeSet<RunbookName>,
    /// Whether people may approve for agents that they own.
    pub allow_owner: bool,
    /// How many people must confirm a revert; one tap of an eligible person when absent.
    pub revert_quorum: Option<u32>,
    /// Line of the policy file.
    pub line: usize,
}

/// What the policy looks at: facts computed by the service, never claims of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// All touched paths.
    pub paths: Vec<RepoPath>,
    /// The runbook that rendered the change, when its rendering stayed inside the runbook's allowed paths.
    pub runbook: Option<RunbookName>,
    /// Some new content is not text.
    pub binary: bool,
    /// Some new content holds characters that hide or reorder text ([`crate::Hidden::Deceptive`]).
    pub deceptive: bool,
    /// Some new content holds control characters ([`crate::Hidden::Control`]). Absent in what older versions stored.
    #[serde(default)]
    pub control: bool,
    /// Some file is deleted.
    pub deletes: bool,
    /// The change is the inverse of a delivered one.
    pub revert: bool,
    /// A stricter tier that the agent asked for.
    pub requested: Option<Tier>,
}

/// A group that must agree, and how many of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The group of people.
    pub group: GroupName,
    /// How many of them must approve.
    pub quorum: u32,
    /// Whether owners of the agent count.
    pub allow_owner: bool,
}

impl Requirement {
    /// Whoever satisfies this one satisfies the other.
    fn covers(&self, other: &Self) -> bool {
        self.group == other.group && self.quorum >= other.quorum && (!self.allow_owner || other.allow_owner)
    }
}

/// What the policy decided for one revision, and the rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The tier in force.
    pub tier: Tier,
    /// The rule that decided; `None` when no rule matched or a safeguard decided.
    pub rule: Option<String>,
    /// One sentence why, for cards and agents.
    pub why: String,
    /// Whose approvals are needed; empty for manual and standard.
    pub requirements: Vec<Requirement>,
    /// Seconds the proposal may wait for its decision.
    pub ttl_seconds: u32,
    /// The policy that decided.
    pub policy: Sha256Hash,
}

/// Whether a person may review under a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// Their review counts.
    Eligible,
    /// Not in any group that the route asks.
    NotInGroup,
    /// They own the agent, and the rule does not allow that.
    OwnsAgent,
}

impl Policy {
    /// Parses and checks a policy file; every problem names its line and what to do.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::parse(text)
    }

    /// SHA-256 of the file's bytes: named by cards, audit and commits.
    pub const fn hash(&self) -> Sha256Hash {
        self.hash
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Somebody by numeric id.
    pub fn person(&self, id: UserId) -> Option<&Person> {
        self.people.get(&id)
    }

    /// Everybody.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// The display names of a group's members.
    pub fn members(&self, group: &GroupName) -> Vec<&str> {
        self.groups
            .get(group)
            .into_iter()
            .flatten()
            .filter_map(|id| self.people.get(id))
            .map(|person| person.name.as_str())
            .collect()
    }

    /// The groups that somebody is in.
    pub fn groups_of(&self, id: UserId) -> Vec<&GroupName> {
        self.groups
            .iter()
            .filter(|(_, members)| members.contains(&id))
            .map(|(name, _)| name)
            .collect()
    }

    /// The first rule that covers a path.
    pub fn rule_for(&self, repository: &RepositoryName, path: &RepoPath) -> Option<&Rule> {
        self.rules
            .iter()
            .filter(|rule| rule.repository.as_ref().is_none_or(|only| only == repository))
            .find(|rule| rule.paths.iter().any(|glob| glob.matches(path)))
    }

    /// Whether a path is always manual: policy, runbooks, Countersign's own deployment.
    pub fn is_reserved(&self, path: &RepoPath) -> bool {
        self.reserved.iter().any(|glob| glob.matches(path))
    }

    /// Routes a change.
    pub fn route(&self, repository: &RepositoryName, facts: &Facts) -> Route {
        if let Some(why) = self.safeguard(facts) {
            return self.manual(None, why);
        }
        let mut strictest: Option<(Tier, &Rule)> = None;
        let mut requirements = BTreeSet::new();
        let mut ttl_seconds = u32::MAX;
        for path in &facts.paths {
            let Some(rule) = self.rule_for(repository, path) else {
                return self.manual(None, format!("no rule matches {path}, so a human commits it"));
            };
            let tier = effective_tier(rule, facts);
            if strictest.is_none_or(|(seen, _)| tier < seen) {
                strictest = Some((tier, rule));
            }
            if tier == Tier::Prompted
                && let Some(group) = &rule.approvers
            {
                let quorum = if facts.revert {
                    rule.revert_quorum.unwrap_or(1)
                } else {
                    rule.quorum
                };
                requirements.insert(Requirement {
                    group: group.clone(),
                    quorum,
                    allow_owner: rule.allow_owner,
                });
            }
            ttl_seconds = ttl_seconds.min(rule.ttl_seconds);
        }
        let Some((tier, rule)) = strictest else {
            return self.manual(None, "the change touches no path".to_owned());
        };
        let tier_asked = facts.requested.map_or(tier, |asked| asked.min(tier));
        match tier_asked {
            Tier::Manual if tier == Tier::Manual => self.manual(Some(rule), format!("rule {:?} says that a human commits", rule.name)),
            Tier::Manual => self.manual(Some(rule), "the agent asked that a human commits".to_owned()),
            Tier::Prompted => self.prompted(rule, facts, repository, requirements, ttl_seconds, tier),
            Tier::Standard => Route {
                tier: Tier::Standard,
                rule: Some(rule.name.clone()),
                why: format!(
                    "rule {:?} trusts runbook {}",
                    rule.name,
                    facts.runbook.as_ref().map_or("", RunbookName::as_str)
                ),
                requirements: Vec::new(),
                ttl_seconds,
                policy: self.hash,
            },
        }
    }

    fn prompted(
        &self,
        rule: &Rule,
        facts: &Facts,
        repository: &RepositoryName,
        mut requirements: BTreeSet<Requirement>,
        ttl_seconds: u32,
        by_rules: Tier,
    ) -> Route {
        if requirements.is_empty() {
            // A standard rule that was made stricter (by the agent): its approvers decide.
            for path in &facts.paths {
                if let Some(rule) = self.rule_for(repository, path)
                    && let Some(group) = &rule.approvers
                {
                    requirements.insert(Requirement {
                        group: group.clone(),
                        quorum: rule.quorum,
                        allow_owner: rule.allow_owner,
                    });
                }
            }
        }
        if requirements.is_empty() {
            return self.manual(Some(rule), format!("rule {:?} names no approvers", rule.name));
        }
        // "1 of operators and 2 of operators" is 2 of operators.
        let all = requirements.clone();
        requirements.retain(|asked| !all.iter().any(|other| other != asked && other.covers(asked)));
        let why = if by_rules == Tier::Standard {
            "the agent asked for people's approval".to_owned()
        } else if rule.tier == Tier::Standard && facts.revert {
            format!("rule {:?}: a revert is confirmed by a person", rule.name)
        } else if rule.tier == Tier::Standard {
            format!("rule {:?} trusts only its own runbook; other changes are asked", rule.name)
        } else {
            format!("rule {:?}", rule.name)
        };
        Route {
            tier: Tier::Prompted,
            rule: Some(rule.name.clone()),
            why,
            requirements: requirements.into_iter().collect(),
            ttl_seconds,
            policy: self.hash,
        }
    }

    fn manual(&self, rule: Option<&Rule>, why: String) -> Route {
        Route {
            tier: Tier::Manual,
            rule: rule.map(|rule| rule.name.clone()),
            why,
            requirements: Vec::new(),
            ttl_seconds: rule.map_or(TTL_SECONDS_MANUAL, |rule| rule.ttl_seconds),
            policy: self.hash,
        }
    }

    fn safeguard(&self, facts: &Facts) -> Option<String> {
        if let Some(path) = facts.paths.iter().find(|path| self.is_reserved(path)) {
            return Some(format!(
                "{path} is reserved: policy, runbooks and Countersign itself are always committed by a human"
            ));
        }
        if facts.paths.len() > self.files_per_card {
            return Some(format!(
                "{} files are more than a card can show ({})",
                facts.paths.len(),
                self.files_per_card
            ));
        }
        if facts.binary {
            return Some("binary content cannot be reviewed on a card".to_owned());
        }
        if facts.deceptive {
            return Some("the content holds characters that hide or reorder text (bidirectional, zero-width or blank)".to_owned());
        }
        if facts.control {
            return Some("the content holds control characters, or a carriage return that ends no line".to_owned());
        }
        None
    }

    /// Whether a person may review under a route. `agent` is whoever asked for the change; `None` when a person did.
    pub fn eligibility(&self, route: &Route, agent: Option<&AgentName>, user: UserId) -> Eligibility {
        let mut verdict = Eligibility::NotInGroup;
        for requirement in &route.requirements {
            if self.groups.get(&requirement.group).is_some_and(|members| members.contains(&user)) {
                if requirement.allow_owner || !self.owns(user, agent) {
                    return Eligibility::Eligible;
                }
                verdict = Eligibility::OwnsAgent;
            }
        }
        verdict
    }

    /// The groups whose members may stop, retry, sync or revert a proposal: those its route asks, as promised and as this policy would ask
    /// today. A route that asks nobody (manual, standard) leaves it to the approvers named by the rules of its paths, and where these
    /// name none, to every group.
    pub fn handlers(&self, proposal: &Proposal) -> BTreeSet<&GroupName> {
        let (repository, facts) = (&proposal.repository, &proposal.revision.facts);
        let today = self.route(repository, facts);
        let asked = proposal.revision.route.requirements.iter().chain(&today.requirements);
        let asked: BTreeSet<&GroupName> = asked.filter_map(|one| self.known(&one.group)).collect();
        if !asked.is_empty() {
            return asked;
        }
        let rules = facts.paths.iter().filter_map(|path| self.rule_for(repository, path));
        let named: BTreeSet<&GroupName> = rules.filter_map(|rule| self.known(rule.approvers.as_ref()?)).collect();
        if named.is_empty() { self.groups.keys().collect() } else { named }
    }

    /// Whether a person is in one of the [`Policy::handlers`]. Owning the agent does not matter: stopping is always the safe side, and
    /// nothing else here counts as an approval.
    pub fn may_handle(&self, proposal: &Proposal, user: UserId) -> bool {
        let in_group = |group: &GroupName| self.groups.get(group).is_some_and(|members| members.contains(&user));
        self.handlers(proposal).into_iter().any(in_group)
    }

    fn known(&self, group: &GroupName) -> Option<&GroupName> {
        self.groups.get_key_value(group).map(|(name, _)| name)
    }

    fn owns(&self, user: UserId, agent: Option<&AgentName>) -> bool {
        agent.is_some_and(|agent| self.people.get(&user).is_some_and(|person| person.owns.contains(agent)))
    }

    /// How many of `approvers` count for a requirement under this policy; each person once.
    pub fn counted(&self, requirement: &Requirement, agent: Option<&AgentName>, approvers: &[UserId]) -> u32 {
        let members = self.groups.get(&requirement.group);
        let counts =
            |user: &UserId| members.is_some_and(|members| members.contains(user)) && (requirement.allow_owner || !self.owns(*user, agent));
        let people: BTreeSet<UserId> = approvers.iter().copied().filter(counts).collect();
        u32::try_from(people.len()).unwrap_or(u32::MAX)
    }

    /// Whether these people complete the quorum of every requirement.
    pub fn satisfied(&self, route: &Route, agent: Option<&AgentName>, approvers: &[UserId]) -> bool {
        !route.requirements.is_empty()
            && route
                .requirements
                .iter()
                .all(|requirement| self.counted(requirement, agent, approvers) >= requirement.quorum)
    }
}

/// Only a call of the runbook that the rule names is standard; anything else under such a rule is prompted.
fn effective_tier(rule: &Rule, facts: &Facts) -> Tier {
    match rule.tier {
        Tier::Manual => Tier::Manual,
        Tier::Prompted => Tier::Prompted,
        Tier::Standard => {
            let named = facts.runbook.as_ref().is_some_and(|runbook| rule.runbooks.contains(runbook));
            if named && !facts.revert { Tier::Standard } else { Tier::Prompted }
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
