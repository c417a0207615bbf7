//! The policy: which paths may change at which tier, and who must say yes. Deterministic, ours, never the agent's.
//!
//! Ordered rules; for every touched path the first rule that matches it applies; the strictest tier over all paths wins;
//! a path that no rule matches is `manual`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::{
    AgentName, GroupName, Proposal, RepoPath, RepositoryName, Risk, RunbookName, SecondFactor, Sha256Hash, TargetClass, Tier, Timestamp,
    UserId,
};

mod approvers;
mod delegations;
mod freezes;
mod grants;
mod index;
mod matching;
mod parse;
mod raises;
mod recurrence;
mod replay;
mod route;
mod warnings;

use delegations::Delegation;
use freezes::Window;
use index::RuleIndex;
use raises::{Class, Floor};

pub use approvers::{Asked, Eligibility, Escalation, Part, Place, Requirement, Seat, Standing};
pub use freezes::{Ahead, Freeze};
pub use grants::{Grant, Trust};
pub use parse::Problem;
pub use replay::{Shift, replay};
pub use route::{Route, Waiting};

/// Longest path pattern: whatever is in it, it compiles to little.
const PATTERN_BYTES_MAX: usize = 1024;
/// Seconds a pending proposal may wait when its rule does not say.
pub const TTL_SECONDS_DEFAULT: u32 = 4 * 3600;
/// The same for a change that a human commits.
pub const TTL_SECONDS_MANUAL: u32 = 7 * 24 * 3600;

/// A valid policy, with the hash of the text it came from.
#[derive(Debug, Clone)]
pub struct Policy {
    people: BTreeMap<UserId, Person>,
    groups: BTreeMap<GroupName, BTreeSet<UserId>>,
    agents: BTreeMap<AgentName, Agent>,
    delegations: Vec<Delegation>,
    rules: Vec<Rule>,
    index: RuleIndex,
    classes: Vec<Class>,
    floors: Vec<Floor>,
    windows: Vec<Window>,
    grants: Vec<Grant>,
    /// Who decides about promotions that the service offers; a human commits them when absent.
    promotions: Option<Requirement>,
    reserved: Vec<PathGlob>,
    files_per_card: usize,
    hash: Sha256Hash,
    repositories: BTreeMap<RepositoryName, Arc<Policy>>,
    capped: Option<(Tier, String)>,
    /// What the service's own file says twice, and does no harm.
    repeated: Vec<Problem>,
}

/// What the policy says about one agent, beside whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Agent {
    /// Its changes are never standard, and one person more than usual must approve them.
    untrusted: bool,
    /// Line of the policy file.
    line: usize,
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

/// A path pattern; `*` does not cross `/`, `**` does. Stored as its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathGlob {
    text: String,
    glob: Glob,
    /// Compiled when it is first asked: most patterns of a policy never meet a path that could be theirs.
    matcher: Arc<OnceLock<GlobMatcher>>,
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
        if text.len() > PATTERN_BYTES_MAX {
            let start: String = text.chars().take(20).collect();
            let bytes = text.len();
            return Err(format!(
                "path pattern \"{start}…\" has {bytes} bytes, and {PATTERN_BYTES_MAX} are the most"
            ));
        }
        let glob = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(false)
            .build();
        glob.map(|glob: Glob| Self {
            text: text.to_owned(),
            glob,
            matcher: Arc::default(),
        })
        .map_err(|error| format!("path pattern {text:?}: {}", error.kind()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it covers a path.
    pub fn matches(&self, path: &RepoPath) -> bool {
        self.compiled().is_match(path.as_str())
    }

    /// What is short enough compiles.
    fn compiled(&self) -> &GlobMatcher {
        self.matcher.get_or_init(|| self.glob.compile_matcher())
    }
}

impl PathGlob {
    /// Whether it matches whatever the other one does, as far as their texts show: `a/**` does that for `a/b/*`.
    fn covers(&self, other: &Self) -> bool {
        let literal = |text: &str| !text.contains(['*', '?', '[', '{']);
        match self.text.strip_suffix("**") {
            Some("") => true,
            Some(folder) if folder.ends_with('/') && literal(folder) => other.text.starts_with(folder),
            Some(_) | None => self.text == other.text,
        }
    }
}

impl Rule {
    /// Whether nothing is left for another rule below it.
    fn hides(&self, other: &Self) -> bool {
        let everywhere = self.repository.is_none() || self.repository == other.repository;
        everywhere && other.paths.iter().all(|path| self.paths.iter().any(|own| own.covers(path)))
    }
}

impl PartialEq for PathGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl TryFrom<String> for PathGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<PathGlob> for String {
    fn from(glob: PathGlob) -> Self {
        glob.text
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
    pub approvers: Option<Requirement>,
    /// Seconds a proposal may wait for its decision.
    pub ttl_seconds: u32,
    /// When people are reminded; at the usual share of the time when absent.
    pub reminder: Option<Reminder>,
    /// For `standard`: the runbooks that may run by themselves here, under a grant.
    pub runbooks: BTreeSet<RunbookName>,
    /// The kind of target that its paths are: trust that was earned in one does not hold in another.
    pub class: Option<TargetClass>,
    /// Whether people may approve for agents that they own.
    pub allow_owner: bool,
    /// How many people must confirm a revert; one tap of an eligible person when absent.
    pub revert_quorum: Option<u32>,
    /// What an approval takes beside a tap.
    pub second_factor: Option<SecondFactor>,
    /// Line of the policy file.
    pub line: usize,
}

/// When people are reminded of a change that waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reminder {
    /// After this share of the time to decide, in percent (1 to 99).
    Percent(u8),
    /// After so many seconds.
    Seconds(u32),
}

/// What the policy looks at: facts computed by the service, never claims of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// All touched paths.
    pub paths: Vec<RepoPath>,
    /// The runbook that rendered the change, when its rendering stayed inside the runbook's allowed paths.
    pub runbook: Option<RunbookName>,
    /// Some content is not text, before or after the change.
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
    // Absent in what older versions stored:
    /// The agent that asks; `None` when a person does.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// The kinds of the Kubernetes objects that change, such as `PersistentVolumeClaim`.
    #[serde(default)]
    pub kinds: BTreeSet<String>,
    /// How dangerous the change is, by the service's own rules.
    #[serde(default)]
    pub risk: Option<Risk>,
    /// What the service's own checks found that asks for a stricter tier.
    #[serde(default)]
    pub raised: Vec<Raise>,
    /// What the trust ledger says of this run of a runbook. Without it no run is standard.
    #[serde(default)]
    pub trust: Option<Trust>,
    /// The promotion that the change writes into the policy. Only the service itself makes such a change.
    #[serde(default)]
    pub promotion: Option<crate::ledger::LedgerKey>,
}

/// A finding of a check that asks for a stricter tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// The check's rule, such as `guard.rbac`.
    pub rule: String,
    /// One sentence, for cards and agents.
    pub why: String,
    /// The tier that the change gets at most.
    pub tier: Tier,
}

impl Policy {
    /// Parses and checks the service's own policy file; every problem names its line and what to do.
    ///
    /// # Errors
    /// All problems found, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::parse(text)
    }

    /// Whether some class asks what a change does inside its files: then [`Facts::risk`] and [`Facts::kinds`] must be filled.
    pub fn looks_inside(&self) -> bool {
        self.classes.iter().any(raises::Class::looks_inside) || self.repositories.values().any(|theirs| theirs.looks_inside())
    }

    /// This policy, with another one for the changes of one repository: what [`Policy::with_repository_rules`] made of its own file. Whatever is
    /// asked about that repository is answered by it; people, groups and agents are asked here, and are the same in both.
    #[must_use]
    pub fn with_repository(mut self, repository: RepositoryName, mut policy: Self) -> Self {
        policy.repositories.clear();
        self.repositories.insert(repository, Arc::new(policy));
        self
    }

    /// The policy that the changes of a repository are judged by: its own, or this one.
    pub fn for_repository(&self, repository: &RepositoryName) -> &Self {
        self.repositories.get(repository).map_or(self, |theirs| theirs)
    }

    /// This policy, with nothing looser than a tier: `why` is said on cards and to agents. `None` takes that back.
    #[must_use]
    pub fn capped(mut self, cap: Option<(Tier, String)>) -> Self {
        self.capped = cap;
        self
    }

    /// This policy with the rules of a managed repository's own file in place of its rules. That file may hold rules, classes, freezes and
    /// reminders. It refers to people's groups, and can define neither them nor agents, reserved paths, floors or delegations; what this
    /// policy says of those, and its own classes and freezes, stay in force.
    ///
    /// # Errors
    /// All problems found, in the order of the repository's file.
    pub fn with_repository_rules(&self, text: &str) -> Result<Self, Vec<Problem>> {
        parse::with_repository_rules(self, text)
    }

    /// This policy with further paths that are always manual, such as the place of the repository's own policy file.
    #[must_use]
    pub fn reserving(mut self, paths: impl IntoIterator<Item = PathGlob>) -> Self {
        self.reserved.extend(paths);
        self
    }

    /// SHA-256 of the file's bytes; with a repository's rules, of a fixed word and both files' hashes. Named by cards, audit and commits. Of
    /// the service's own policy it is that of its own file, whatever repositories have: ask [`Policy::for_repository`].
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
        if let Some(theirs) = self.repositories.get(repository) {
            return theirs.rule_for(repository, path);
        }
        let meant = |rule: usize| self.rules[rule].repository.as_ref().is_none_or(|only| only == repository);
        self.index.first(path, meant).map(|rule| &self.rules[rule])
    }

    /// Whether a path is always manual: policy, runbooks, Countersign's own deployment. What only one repository reserves is told by
    /// [`Policy::for_repository`].
    pub fn is_reserved(&self, path: &RepoPath) -> bool {
        self.reserved.iter().any(|glob| glob.matches(path))
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

    /// The groups whose members may stop, retry, sync or revert a proposal: those its route asks, as promised and as this policy would ask
    /// today. A route that asks nobody (manual, standard) leaves it to the approvers named by the rules of its paths, and where these
    /// name none, to every group.
    pub fn handlers(&self, proposal: &Proposal) -> BTreeSet<&GroupName> {
        let (repository, facts) = (&proposal.repository, &proposal.revision.facts);
        let today = self.route(repository, facts);
        let asked = proposal.revision.route.requirements.iter().chain(&today.requirements);
        let helping = |one: &'_ Requirement| one.escalation.as_ref().and_then(|escalation| self.known(&escalation.to));
        let asked: BTreeSet<&GroupName> = asked
            .flat_map(|one| one.groups().into_iter().filter_map(|group| self.known(group)).chain(helping(one)))
            .collect();
        if !asked.is_empty() {
            return asked;
        }
        let rules = facts.paths.iter().filter_map(|path| self.rule_for(repository, path));
        let named: BTreeSet<&GroupName> = rules
            .filter_map(|rule| rule.approvers.as_ref())
            .flat_map(|approvers| approvers.groups().into_iter().filter_map(|group| self.known(group)))
            .collect();
        if named.is_empty() { self.groups.keys().collect() } else { named }
    }

    /// Whether a person is in one of the [`Policy::handlers`], or stands in for a member at the moment. Owning the agent does not matter:
    /// stopping is always the safe side, and nothing else here counts as an approval.
    pub fn may_handle(&self, proposal: &Proposal, user: UserId, now: Timestamp) -> bool {
        self.handlers(proposal).into_iter().any(|group| self.in_group(group, user, now))
    }

    /// Whether a person may ask for a stop to end, or for somebody's rights to come back: a member of a group that some rule asks for approvals
    /// (of any group, where no rule names one). Nobody does that in somebody's place.
    pub fn may_resume(&self, user: UserId) -> bool {
        let asked: BTreeSet<&GroupName> = self
            .rules
            .iter()
            .filter_map(|rule| rule.approvers.as_ref())
            .flat_map(Requirement::groups)
            .collect();
        let mut groups = self.groups.iter().filter(|(name, _)| asked.is_empty() || asked.contains(name));
        groups.any(|(_, members)| members.contains(&user))
    }

    /// This policy as it is while some people have taken their own rights away: they are in no group and stand in for nobody. They keep their
    /// names, and what they own stays theirs.
    #[must_use]
    pub fn without(&self, locked: &BTreeSet<UserId>) -> Self {
        let mut policy = self.clone();
        for members in policy.groups.values_mut() {
            members.retain(|user| !locked.contains(user));
        }
        policy.delegations.retain(|delegation| !locked.contains(&delegation.to));
        for theirs in policy.repositories.values_mut() {
            *theirs = Arc::new(theirs.without(locked));
        }
        policy
    }

    fn known(&self, group: &GroupName) -> Option<&GroupName> {
        self.groups.get_key_value(group).map(|(name, _)| name)
    }

    fn owns(&self, user: UserId, agent: Option<&AgentName>) -> bool {
        agent.is_some_and(|agent| self.people.get(&user).is_some_and(|person| person.owns.contains(agent)))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
