//! What is valid in a policy and yet probably not meant: told by `check`, stops nothing.

use std::collections::BTreeSet;

use super::approvers::{Escalation, Requirement};
use super::freezes::Kind;
use super::{Grant, Policy, Problem};
use crate::{AgentName, RunbookName, SecondFactor, Tier, Timestamp, UserId};

impl Policy {
    /// What the file says in vain, in the order of its lines: delegations and windows that are over, help that is called too late, rules that
    /// an agent can never pass, groups that are one and the same, agents owned twice, runbooks that nobody trusts. Of its grants see
    /// [`Policy::grant_warning`]. Lines are those of the service's own file.
    pub fn warnings(&self, now: Timestamp) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let mut add = |line: usize, message: String, remedy: &str| {
            warnings.push(Problem {
                line,
                message,
                remedy: remedy.to_owned(),
            });
        };
        let name = |id| self.people.get(id).map_or("", |person| person.name.as_str());
        for delegation in self.delegations.iter().filter(|delegation| delegation.until <= now) {
            add(
                delegation.line,
                format!(
                    "the delegation of {} to {} ended on {} and is ignored",
                    name(&delegation.from),
                    name(&delegation.to),
                    delegation.until.format("%Y-%m-%d %H:%M UTC")
                ),
                "remove it, or set a later until",
            );
        }
        for (line, rule, runbook) in self.ungranted() {
            add(
                line,
                format!("rule {rule:?} names runbook {runbook}, which no [[grants]] entry trusts: its runs ask people"),
                "nothing to do until its record is offered; or write a grant with the hash of `countersign runbook list`",
            );
        }
        for (agent, line, why) in self.shut_out(now) {
            add(line, why, &format!("add people who do not own {agent}, or lower the quorum"));
        }
        let groups: Vec<_> = self.groups.iter().collect();
        for (number, (one, members)) in groups.iter().enumerate() {
            let same = groups[..number].iter().find(|(_, others)| others == members);
            if let Some((other, _)) = same.filter(|_| members.len() > 1) {
                add(
                    1,
                    format!("groups {other} and {one} have the same people"),
                    "one group is enough, unless they will differ",
                );
            }
        }
        warnings.extend(self.repeated.iter().cloned());
        warnings.extend(self.in_vain(now, false));
        warnings.sort_by_key(|warning| warning.line);
        warnings
    }

    /// What is to be said of a grant in force by itself: that it is over, or was given without a record.
    pub fn grant_warning(grant: &Grant, now: Timestamp) -> Option<Problem> {
        let what = format!("runbook {} in {}", grant.key.runbook, grant.key.environment);
        let (message, remedy) = if grant.until <= now {
            (
                format!(
                    "the grant of {what} ended on {}: its runs ask people",
                    grant.until.format("%Y-%m-%d")
                ),
                "remove it; a new one is offered when the record shows enough",
            )
        } else if grant.evidence.is_none() {
            (
                format!("{what} runs by itself because somebody wrote so, not by its record"),
                "nothing to do where that is meant; otherwise remove the entry and wait for the offer",
            )
        } else {
            return None;
        };
        Some(Problem {
            line: grant.line,
            message,
            remedy: remedy.to_owned(),
        })
    }

    /// The same of what a repository's own file says about times. Lines are those of that file.
    pub fn repository_warnings(&self, now: Timestamp) -> Vec<Problem> {
        let mut warnings = self.in_vain(now, true);
        warnings.sort_by_key(|warning| warning.line);
        warnings
    }

    /// Rules of one of the two files that never apply, windows that are over or leave no gap, and help that the rules call too late.
    fn in_vain(&self, now: Timestamp, of_repository: bool) -> Vec<Problem> {
        let mut warnings = Vec::new();
        let mut add = |line: usize, message: String, remedy: &str| {
            warnings.push(Problem {
                line,
                message,
                remedy: remedy.to_owned(),
            });
        };
        let own = self.windows.iter().filter(|window| window.of_repository == of_repository);
        for window in own.filter(|window| !window.is_to_come(now)) {
            let over = format!("freeze {:?} is over and does not come again", window.name);
            match window.kind {
                Kind::Deny => add(window.line, over, "remove it, or correct its rrule"),
                Kind::Allow => add(
                    window.line,
                    format!("{over}: as its kind is allow, what no other allow window covers is frozen for ever"),
                    "remove it to have changes sent again, or correct its start or rrule",
                ),
            }
        }
        let denying = self
            .windows
            .iter()
            .filter(|window| window.of_repository == of_repository && window.kind == Kind::Deny);
        for (window, last) in denying.filter_map(|window| Some((window, window.without_a_gap(now)?))) {
            let passed = window.override_group.as_ref();
            let passed = passed.map_or_else(String::new, |group| format!(" unless {group} lets it pass"));
            add(
                window.line,
                format!(
                    "freeze {:?} leaves no gap between its times, at least until {last}: what it covers is not sent{passed}",
                    window.name
                ),
                "shorten its duration, or correct its rrule; where nothing may ever change, make the paths manual instead",
            );
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let before = &self.rules[..number];
            if let Some(other) = before.iter().find(|other| other.hides(rule)) {
                add(
                    rule.line,
                    format!(
                        "rule {:?} never applies: rule {:?} above it matches all of its paths",
                        rule.name, other.name
                    ),
                    "put it above the other one: the first rule that matches a path applies",
                );
            }
        }
        if of_repository && self.rules.is_empty() {
            add(
                1,
                "no rules: every change of this repository is left to a human's commit".to_owned(),
                "add [[rules]]; nothing to do where that is meant",
            );
        }
        for (rule, approvers) in self.rules.iter().filter_map(|rule| Some((rule, rule.approvers.as_ref()?))) {
            let late = |escalation: &&Escalation| escalation.after_seconds >= rule.ttl_seconds;
            if let Some(escalation) = approvers.escalation.as_ref().filter(late) {
                add(
                    rule.line,
                    format!(
                        "rule {:?} escalates to {} after {}, when its time ({}) is over: they are never asked",
                        rule.name,
                        escalation.to,
                        crate::span(u64::from(escalation.after_seconds)),
                        crate::span(u64::from(rule.ttl_seconds)),
                    ),
                    "escalate earlier, or lengthen ttl",
                );
            }
        }
        warnings
    }

    /// Runbooks that a rule would let run by themselves, and that nobody trusts.
    fn ungranted(&self) -> impl Iterator<Item = (usize, &str, &RunbookName)> {
        let named = self
            .rules
            .iter()
            .flat_map(|rule| rule.runbooks.iter().map(move |runbook| (rule, runbook)));
        let trusted = |runbook: &RunbookName| self.grants.iter().any(|grant| grant.key.runbook == *runbook);
        named
            .filter(move |(_, runbook)| !trusted(runbook))
            .map(|(rule, runbook)| (rule.line, rule.name.as_str(), runbook))
    }

    /// Rules whose approvers are too few for an agent, because its owners do not count or because it is untrusted.
    fn shut_out(&self, now: Timestamp) -> Vec<(AgentName, usize, String)> {
        let mut agents: Vec<&AgentName> = self
            .people
            .values()
            .flat_map(|person| &person.owns)
            .chain(self.agents.keys())
            .collect();
        agents.sort();
        agents.dedup();
        let mut found = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.tier != Tier::Manual) {
            let Some(approvers) = &rule.approvers else { continue };
            let mut asked = BTreeSet::from([approvers.clone()]);
            let mut second = "";
            if rule.second_factor == Some(SecondFactor::Person) {
                // The file's reader has looked whether the groups have so many.
                second = ", and a second person";
                let _ = self.ask_for(approvers.people_min().saturating_add(1), &mut asked);
            }
            for agent in &agents {
                if !asked.iter().all(|asked| self.can_be_complete(asked, Some(agent), now)) {
                    let why = format!(
                        "rule {:?} can never be passed by agent {agent}: {approvers}{second}, without its owners",
                        rule.name
                    );
                    found.push(((*agent).clone(), rule.line, why));
                } else if let Some(line) = self.lacks_one_more(agent, approvers) {
                    let why = format!(
                        "agent {agent} is untrusted, and rule {:?} has nobody for the one approval more: its changes are manual",
                        rule.name
                    );
                    found.push(((*agent).clone(), line, why));
                }
            }
        }
        found
    }

    /// Whether something here, or in a repository's own file, takes codes.
    pub fn asks_codes(&self) -> bool {
        let code = Some(SecondFactor::Totp);
        self.rules.iter().any(|rule| rule.second_factor == code)
            || self.classes.iter().any(|class| class.second_factor == code)
            || self.floors.iter().any(|floor| floor.second_factor == code)
            || self.repositories.values().any(|theirs| theirs.asks_codes())
    }

    /// Rules of the service's own file that take more codes than their approvers have generators: nobody could complete an approval there.
    pub fn lacks_generators(&self, enrolled: &BTreeSet<UserId>, now: Timestamp) -> Vec<Problem> {
        let code = Some(SecondFactor::Totp);
        let raised =
            self.classes.iter().any(|class| class.second_factor == code) || self.floors.iter().any(|floor| floor.second_factor == code);
        let without: BTreeSet<UserId> = self.people.keys().copied().filter(|id| !enrolled.contains(id)).collect();
        let equipped = self.without(&without);
        let remedy = "enrol its approvers: `countersign totp enroll NAME`".to_owned();
        let mut found = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.second_factor == code) {
            if let Some(approvers) = rule.approvers.as_ref().filter(|asked| !equipped.can_be_complete(asked, None, now)) {
                found.push(Problem {
                    line: rule.line,
                    message: format!(
                        "rule {:?} takes a code from {approvers}, and too few of them have a generator: nothing can be approved",
                        rule.name
                    ),
                    remedy: remedy.clone(),
                });
            }
        }
        if raised && enrolled.is_empty() {
            found.push(Problem {
                line: 1,
                message: "a class or floor takes codes, and nobody has a generator: nothing can be approved there".to_owned(),
                remedy,
            });
        }
        found
    }

    /// The line of an untrusted agent whose extra approval nobody could give.
    fn lacks_one_more(&self, agent: &AgentName, approvers: &Requirement) -> Option<usize> {
        let known = self.agents.get(agent).filter(|known| known.untrusted)?;
        let mut asked = std::iter::once(approvers.clone()).collect();
        self.ask_for(approvers.people_min().saturating_add(1), &mut asked)
            .is_err()
            .then_some(known.line)
    }
}
