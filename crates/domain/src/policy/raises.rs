//! What makes a route stricter than its rules: risk classes, floors, findings of checks, and agents that are not trusted. Never looser.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, PathGlob, Policy, Requirement};
use crate::policy::approvers::Asked;
use crate::{GroupName, RepositoryName, Risk, SecondFactor, Tier, UserId};

/// Changes of a kind that need more care than their rules say.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// Unique name, shown on cards.
    pub(super) name: String,
    /// The repository it is for; all when absent.
    pub(super) repository: Option<RepositoryName>,
    /// Touches one of these; any path when empty.
    pub(super) paths: Vec<PathGlob>,
    /// At least this risk.
    pub(super) risk: Option<Risk>,
    /// Changes an object of one of these kinds; any when empty.
    pub(super) kinds: BTreeSet<String>,
    /// Deletes files, or not; both when absent.
    pub(super) deletes: Option<bool>,
    /// The tier it gets at most.
    pub(super) tier: Tier,
    /// How many people must approve at least.
    pub(super) quorum: u32,
    /// What an approval takes beside a tap.
    pub(super) second_factor: Option<SecondFactor>,
}

/// The loosest way that paths may ever go, whatever the rules say.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    /// The repository it is for; all when absent.
    pub(super) repository: Option<RepositoryName>,
    /// What it covers.
    pub(super) paths: Vec<PathGlob>,
    /// The tier it gives at most.
    pub(super) tier: Tier,
    /// How many people must approve at least.
    pub(super) quorum: u32,
    /// What an approval takes beside a tap.
    pub(super) second_factor: Option<SecondFactor>,
}

/// How much stricter a change is than its rules, and why.
#[derive(Debug, Default)]
pub(super) struct Raised {
    /// The tier it gets at most.
    pub(super) tier: Option<(Tier, String)>,
    /// How many people must approve at least.
    pub(super) quorum: Option<(u32, String)>,
    /// One person more than otherwise must approve: why.
    pub(super) one_more: Option<String>,
    /// What approvals take beside a tap: who asks for it.
    pub(super) second_factors: BTreeMap<SecondFactor, String>,
}

impl Raised {
    fn add(&mut self, tier: Tier, quorum: u32, why: &str) {
        if tier < Tier::Standard && self.tier.as_ref().is_none_or(|(known, _)| tier < *known) {
            self.tier = Some((tier, why.to_owned()));
        }
        if quorum > 0 && self.quorum.as_ref().is_none_or(|(known, _)| quorum > *known) {
            self.quorum = Some((quorum, why.to_owned()));
        }
    }

    fn mark(&mut self, factor: Option<SecondFactor>, why: &str) {
        if let Some(factor) = factor {
            self.second_factors.entry(factor).or_insert_with(|| why.to_owned());
        }
    }
}

impl Class {
    /// Whether it asks what a change does inside its files.
    pub(super) fn looks_inside(&self) -> bool {
        self.risk.is_some() || !self.kinds.is_empty()
    }

    fn matches(&self, repository: &RepositoryName, facts: &Facts) -> bool {
        let paths = |globs: &[PathGlob]| facts.paths.iter().any(|path| globs.iter().any(|glob| glob.matches(path)));
        self.repository.as_ref().is_none_or(|only| only == repository)
            && (self.paths.is_empty() || paths(&self.paths))
            && self.risk.is_none_or(|least| facts.risk.is_some_and(|risk| risk >= least))
            && (self.kinds.is_empty() || facts.kinds.iter().any(|kind| self.kinds.contains(kind)))
            && self.deletes.is_none_or(|deletes| deletes == facts.deletes)
    }
}

impl Policy {
    /// What makes this change stricter than its rules.
    pub(super) fn raised(&self, repository: &RepositoryName, facts: &Facts) -> Raised {
        let mut raised = Raised::default();
        if let Some((tier, why)) = &self.capped {
            raised.add(*tier, 0, why);
        }
        for class in self.classes.iter().filter(|class| class.matches(repository, facts)) {
            let why = format!("class {:?}", class.name);
            raised.add(class.tier, class.quorum, &why);
            raised.mark(class.second_factor, &why);
        }
        for floor in &self.floors {
            if floor.repository.as_ref().is_some_and(|only| only != repository) {
                continue;
            }
            let covers = |glob: &&PathGlob| facts.paths.iter().any(|path| glob.matches(path));
            if let Some(glob) = floor.paths.iter().find(covers) {
                let why = format!("the floor for {}", glob.as_str());
                raised.add(floor.tier, floor.quorum, &why);
                raised.mark(floor.second_factor, &why);
            }
        }
        for raise in &facts.raised {
            raised.add(raise.tier, 0, &format!("{}: {}", raise.rule, raise.why));
        }
        if let Some(agent) = facts
            .agent
            .as_ref()
            .filter(|agent| self.agents.get(*agent).is_some_and(|known| known.untrusted))
        {
            let why = format!("untrusted agent {agent}");
            raised.add(Tier::Prompted, 0, &why);
            raised.one_more = Some(why);
        }
        raised
    }

    /// The fewest people who could complete all of these: one person may serve several that share members, and never two that share none.
    pub(super) fn people_together(&self, requirements: &BTreeSet<Requirement>) -> u32 {
        let mut apart: Vec<(BTreeSet<UserId>, u32)> = Vec::new();
        for requirement in requirements {
            let groups = requirement.groups().into_iter().filter_map(|group| self.groups.get(group));
            let mut members: BTreeSet<UserId> = groups.flatten().copied().collect();
            let mut people = requirement.people_min();
            apart.retain(|(others, theirs)| {
                let shared = !others.is_disjoint(&members);
                if shared {
                    members.extend(others);
                    people = people.max(*theirs);
                }
                !shared
            });
            apart.push((members, people));
        }
        apart.iter().map(|(_, people)| *people).fold(0, u32::saturating_add)
    }

    /// Makes sure that at least so many people approve, of the groups that are asked anyway.
    ///
    /// # Errors
    /// The groups have fewer people than that: their number.
    pub(super) fn ask_for(&self, people: u32, requirements: &mut BTreeSet<Requirement>) -> Result<(), usize> {
        if requirements.iter().any(|requirement| requirement.people_min() >= people) {
            return Ok(());
        }
        let groups: BTreeSet<GroupName> = requirements.iter().flat_map(Requirement::groups).cloned().collect();
        let members: BTreeSet<_> = groups.iter().filter_map(|group| self.groups.get(group)).flatten().collect();
        if members.len() < people as usize {
            return Err(members.len());
        }
        let mut escalations = requirements.iter().map(|requirement| requirement.escalation.clone());
        let first = escalations.next().flatten();
        let escalation = first.filter(|first| escalations.all(|other| other.as_ref() == Some(first)));
        let mut groups = groups.into_iter();
        let Some(group) = groups.next() else { return Err(0) };
        let mut requirement = Requirement::of(Asked {
            group,
            or: groups.collect(),
            quorum: people,
            allow_owner: requirements.iter().flat_map(Requirement::asked).all(|asked| asked.allow_owner),
        });
        requirement.escalation = escalation;
        requirements.insert(requirement);
        Ok(())
    }
}
