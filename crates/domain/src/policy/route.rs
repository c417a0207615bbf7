//! From the facts of a change to its route: tier, rule, and whose approvals it needs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::raises::Raised;
use super::{Asked, Facts, Policy, Reminder, Requirement, Rule, TTL_SECONDS_MANUAL};
use crate::{GroupName, RepositoryName, RunbookName, SecondFactor, Sha256Hash, Tier, Timestamp};

/// What the policy decided for one revision, and the rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The tier in force.
    pub tier: Tier,
    /// The rule that decided; `None` when no rule matched or a safeguard decided.
    pub rule: Option<String>,
    /// One sentence why, for cards and agents.
    pub why: String,
    /// Whose approvals are needed, all of them; empty for manual and standard.
    pub requirements: Vec<Requirement>,
    /// Seconds the proposal may wait for its decision.
    pub ttl_seconds: u32,
    /// The policy that decided.
    pub policy: Sha256Hash,
    /// What approvals take beside a tap. Absent in what older versions stored.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub second_factors: BTreeSet<SecondFactor>,
    /// What happens while people are asked. Absent in what older versions stored.
    #[serde(default)]
    pub waiting: Waiting,
}

/// What happens while people are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// They are reminded after so many seconds; after the usual share of the time when absent.
    pub reminder_seconds: Option<u32>,
    /// Since when they are asked: a second group may help after a while. Set when the change comes to people.
    pub asked_at: Option<Timestamp>,
}

impl Route {
    /// The requirements in words, such as "1 of network, and 2 of operators, each with a code"; empty when nobody is asked.
    pub fn needs(&self) -> String {
        let all: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        let code = if self.asks_code() { ", each with a code" } else { "" };
        format!("{}{code}", all.join(", and "))
    }

    /// Whether only approvals count that are confirmed with a code.
    pub fn asks_code(&self) -> bool {
        self.second_factors.contains(&SecondFactor::Totp)
    }

    /// When a second group may help, the earliest time; `None` when there is none, or people are not asked yet.
    pub fn escalates_at(&self) -> Option<Timestamp> {
        let after = self.requirements.iter().filter_map(|requirement| requirement.escalation.as_ref());
        let after = after.map(|escalation| escalation.after_seconds).min()?;
        Some(self.waiting.asked_at? + chrono::Duration::seconds(i64::from(after)))
    }

    /// The groups that help from some time on.
    pub fn escalates_to(&self) -> Vec<&GroupName> {
        let escalations = self.requirements.iter().filter_map(|requirement| requirement.escalation.as_ref());
        escalations
            .map(|escalation| &escalation.to)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// What the rules alone say.
struct ByRules<'a> {
    tier: Tier,
    /// The one that decided.
    rule: &'a Rule,
    /// All that cover a path, once each.
    rules: Vec<&'a Rule>,
    ttl_seconds: u32,
}

impl Policy {
    /// Routes a change. A wish for a looser tier changes nothing, and `why` says so.
    pub fn route(&self, repository: &RepositoryName, facts: &Facts) -> Route {
        if let Some(theirs) = self.repositories.get(repository) {
            return theirs.route(repository, facts);
        }
        let mut route = self.routed(repository, facts);
        if let Some(asked) = facts.requested.filter(|asked| *asked > route.tier) {
            route
                .why
                .push_str(&format!("; the agent asked for {asked}, which is looser and not taken"));
        }
        route
    }

    fn routed(&self, repository: &RepositoryName, facts: &Facts) -> Route {
        if facts.promotion.is_some() {
            return self.promotion();
        }
        if let Some(why) = self.safeguard(facts) {
            return self.manual(None, why);
        }
        let found = match self.by_rules(repository, facts) {
            Ok(found) => found,
            Err(why) => return self.manual(None, why),
        };
        let raised = self.raised(repository, facts);
        let rule = found.rule;
        let raised_tier = raised.tier.as_ref().map_or(Tier::Standard, |(tier, _)| *tier);
        let asked = facts.requested.unwrap_or(Tier::Standard);
        // A runbook that failed too often is manual wherever it runs.
        let manual_run = facts
            .trust
            .as_ref()
            .filter(|trust| facts.runbook.is_some() && trust.tier == Tier::Manual);
        let trusted = manual_run.map_or(Tier::Standard, |trust| trust.tier);
        match found.tier.min(raised_tier).min(asked).min(trusted) {
            Tier::Manual if found.tier == Tier::Manual => {
                self.manual(Some(rule), format!("rule {:?} says that a human commits", rule.name))
            }
            Tier::Manual if raised_tier == Tier::Manual => {
                let why = raised.tier.map(|(_, why)| why).unwrap_or_default();
                self.manual(Some(rule), format!("{why}: a human commits"))
            }
            Tier::Manual if manual_run.is_some() => {
                let name = facts.runbook.as_ref().map_or("", RunbookName::as_str);
                let why = manual_run.map_or("", |trust| trust.why.as_str());
                self.manual(Some(rule), format!("runbook {name} is {why}: a human commits"))
            }
            Tier::Manual => self.manual(Some(rule), "the agent asked that a human commits".to_owned()),
            Tier::Prompted => self.prompted(&found, facts, &raised),
            Tier::Standard => Route {
                tier: Tier::Standard,
                rule: Some(rule.name.clone()),
                why: format!(
                    "rule {:?} trusts runbook {}: {}",
                    rule.name,
                    facts.runbook.as_ref().map_or("", RunbookName::as_str),
                    facts.trust.as_ref().map_or("standard", |trust| trust.why.as_str())
                ),
                requirements: Vec::new(),
                ttl_seconds: found.ttl_seconds,
                policy: self.hash,
                second_factors: BTreeSet::new(),
                waiting: Waiting::default(),
            },
        }
    }

    /// The first rule of each path; the strictest decides.
    fn by_rules(&self, repository: &RepositoryName, facts: &Facts) -> Result<ByRules<'_>, String> {
        let mut strictest: Option<(Tier, &Rule)> = None;
        let mut rules: Vec<&Rule> = Vec::new();
        for path in &facts.paths {
            let Some(rule) = self.rule_for(repository, path) else {
                return Err(format!("no rule matches {path}, so a human commits it"));
            };
            let tier = effective_tier(rule, facts);
            if strictest.is_none_or(|(seen, _)| tier < seen) {
                strictest = Some((tier, rule));
            }
            if !rules.iter().any(|known| std::ptr::eq(*known, rule)) {
                rules.push(rule);
            }
        }
        let (tier, rule) = strictest.ok_or("the change touches no path")?;
        let ttl_seconds = rules.iter().map(|rule| rule.ttl_seconds).min().unwrap_or(rule.ttl_seconds);
        Ok(ByRules {
            tier,
            rule,
            rules,
            ttl_seconds,
        })
    }

    fn prompted(&self, found: &ByRules<'_>, facts: &Facts, raised: &Raised) -> Route {
        let rule = found.rule;
        // A standard rule asks its approvers only for what it does not trust, unless something made the whole change stricter.
        let asks = |rule: &&&Rule| found.tier == Tier::Standard || effective_tier(rule, facts) == Tier::Prompted;
        let mut requirements: BTreeSet<Requirement> = found.rules.iter().filter(asks).filter_map(|rule| required(rule, facts)).collect();
        if requirements.is_empty() {
            return self.manual(Some(rule), format!("rule {:?} names no approvers", rule.name));
        }
        let raised_tier = raised.tier.as_ref().filter(|(tier, _)| *tier == Tier::Prompted);
        let mut why = if found.tier == Tier::Standard {
            match raised_tier {
                Some((_, why)) => format!("{why}: people are asked"),
                None => "the agent asked for people's approval".to_owned(),
            }
        } else if rule.tier == Tier::Standard && facts.revert {
            format!("rule {:?}: a revert is confirmed by a person", rule.name)
        } else if let Some(runbook) = facts.runbook.as_ref().filter(|runbook| rule.runbooks.contains(*runbook)) {
            let why = facts
                .trust
                .as_ref()
                .map_or("nothing is known of its trust", |trust| trust.why.as_str());
            let is = if facts.trust.is_some() { "it is " } else { "" };
            format!("rule {:?} names runbook {runbook}, but {is}{why}", rule.name)
        } else if rule.tier == Tier::Standard {
            format!("rule {:?} trusts only its own runbook; other changes are asked", rule.name)
        } else {
            format!("rule {:?}", rule.name)
        };
        let fewest = requirements.iter().map(Requirement::people_min).max().unwrap_or(1);
        // A run that would have asked nobody asks people now: that is the one more.
        let one_more = raised.one_more.as_ref().filter(|_| found.tier == Tier::Prompted);
        let one_more = one_more.map(|reason| (fewest.saturating_add(1), reason));
        let more = raised.quorum.as_ref().map(|(people, reason)| (*people, reason));
        for (people, reason) in one_more.into_iter().chain(more) {
            if people <= requirements.iter().map(Requirement::people_min).max().unwrap_or(0) {
                continue;
            }
            if let Err(have) = self.ask_for(people, &mut requirements) {
                let why = format!("{people} people must approve because of {reason}, and only {have} may: a human commits");
                return self.manual(Some(rule), why);
            }
            why.push_str(&format!("; {people} people because of {reason}"));
        }
        let factors = second_factors(&found.rules, raised);
        if let Some(reason) = factors.get(&SecondFactor::Person) {
            let people = self.people_together(&requirements).saturating_add(1);
            if let Err(have) = self.ask_for(people, &mut requirements) {
                let why = format!("{reason} asks for a second person, {people} in all, and only {have} may approve: a human commits");
                return self.manual(Some(rule), why);
            }
            why.push_str(&format!("; {reason} asks for a second person: {people} in all"));
        }
        if let Some(reason) = factors.get(&SecondFactor::Totp) {
            why.push_str(&format!("; {reason} asks for a code with each approval"));
        }
        // "1 of operators and 2 of operators" is 2 of operators.
        let all = requirements.clone();
        let said = |asked: &Requirement, other: &Requirement| other.covers(asked) && (!asked.covers(other) || other < asked);
        requirements.retain(|asked| !all.iter().any(|other| other != asked && said(asked, other)));
        Route {
            tier: Tier::Prompted,
            rule: Some(rule.name.clone()),
            why,
            requirements: requirements.into_iter().collect(),
            ttl_seconds: found.ttl_seconds,
            policy: self.hash,
            second_factors: factors.into_keys().collect(),
            waiting: Waiting {
                reminder_seconds: reminder(&found.rules, found.ttl_seconds),
                asked_at: None,
            },
        }
    }

    pub(super) fn manual(&self, rule: Option<&Rule>, why: String) -> Route {
        Route {
            tier: Tier::Manual,
            rule: rule.map(|rule| rule.name.clone()),
            why,
            requirements: Vec::new(),
            ttl_seconds: rule.map_or(TTL_SECONDS_MANUAL, |rule| rule.ttl_seconds),
            policy: self.hash,
            second_factors: BTreeSet::new(),
            waiting: Waiting::default(),
        }
    }
}

/// What approvals take beside a tap, each with who asks for it.
fn second_factors(rules: &[&Rule], raised: &Raised) -> BTreeMap<SecondFactor, String> {
    let mut factors = raised.second_factors.clone();
    for rule in rules {
        if let Some(factor) = rule.second_factor {
            factors.entry(factor).or_insert_with(|| format!("rule {:?}", rule.name));
        }
    }
    factors
}

/// The earliest reminder of the rules, in seconds.
fn reminder(rules: &[&Rule], ttl_seconds: u32) -> Option<u32> {
    let seconds = rules.iter().filter_map(|rule| rule.reminder).map(|reminder| match reminder {
        Reminder::Percent(percent) => u32::try_from(u64::from(ttl_seconds) * u64::from(percent) / 100).unwrap_or(u32::MAX),
        Reminder::Seconds(seconds) => seconds,
    });
    seconds.min()
}

/// Whom a rule asks for a change.
fn required(rule: &Rule, facts: &Facts) -> Option<Requirement> {
    let approvers = rule.approvers.as_ref()?;
    if !facts.revert {
        return Some(approvers.clone());
    }
    let mut groups = approvers.groups().into_iter().cloned();
    let mut revert = Requirement::of(Asked {
        group: groups.next()?,
        or: groups.collect(),
        quorum: rule.revert_quorum.unwrap_or(1),
        allow_owner: rule.allow_owner,
    });
    revert.escalation.clone_from(&approvers.escalation);
    Some(revert)
}

/// Only a call of a runbook that the rule names, and that is trusted now, is standard; anything else under such a rule is prompted.
fn effective_tier(rule: &Rule, facts: &Facts) -> Tier {
    match rule.tier {
        Tier::Manual => Tier::Manual,
        Tier::Prompted => Tier::Prompted,
        Tier::Standard => {
            let named = facts.runbook.as_ref().is_some_and(|runbook| rule.runbooks.contains(runbook));
            let trusted = facts.trust.as_ref().is_some_and(|trust| trust.tier == Tier::Standard);
            if named && trusted && !facts.revert {
                Tier::Standard
            } else {
                Tier::Prompted
            }
        }
    }
}

#[cfg(test)]
mod tests;
