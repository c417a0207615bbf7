//! Whose approvals a change needs: groups with counts, joined by all-of and any-of; who counts for them, and what is missing.
//!
//! Within one requirement one person fills one place. Two requirements (of two rules) are looked at each by itself: somebody who may
//! approve for both does so with one tap.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::matching::assign;
use super::{Policy, Route};
use crate::{AgentName, GroupName, Timestamp, UserId};

mod standing;

pub use standing::{Place, Seat, Standing};

/// Ways to complete one requirement that are looked at; a file that means more is refused.
pub(super) const WAYS_MAX: usize = 256;

/// A number of people from a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// The group of people.
    pub group: GroupName,
    /// Further groups whose members count as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub or: Vec<GroupName>,
    /// How many of them must approve.
    pub quorum: u32,
    /// Whether owners of the agent count.
    pub allow_owner: bool,
}

impl Asked {
    /// The groups whose members count.
    pub fn groups(&self) -> impl Iterator<Item = &GroupName> {
        std::iter::once(&self.group).chain(&self.or)
    }

    /// "operators", or "sre or owners".
    pub fn label(&self) -> String {
        let names: Vec<_> = self.groups().map(GroupName::as_str).collect();
        names.join(" or ")
    }

    fn covers(&self, other: &Self) -> bool {
        self.groups().all(|group| other.groups().any(|known| known == group))
            && self.quorum >= other.quorum
            && (!self.allow_owner || other.allow_owner)
    }
}

/// One part of a requirement: one of its ways must be complete, and a way is complete when all of its groups are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "StoredPart", into = "StoredPart")]
pub struct Part {
    /// The ways; at least one, and each asks at least one group.
    pub any: Vec<Vec<Asked>>,
}

/// Whose approvals are needed, as one rule says it: all of its parts, each person in one place only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "StoredRequirement", into = "StoredRequirement")]
pub struct Requirement {
    /// What must be complete, all of it.
    pub all: Vec<Part>,
    /// Who may help when it takes too long.
    pub escalation: Option<Escalation>,
}

/// A second group that is asked when nobody has decided for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Escalation {
    /// Its members may then take any place.
    pub to: GroupName,
    /// Seconds since people were asked.
    pub after_seconds: u32,
}

/// How parts are stored: a single group as the three fields that older versions wrote.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPart {
    One(Asked),
    Any { any: Vec<Vec<Asked>> },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredRequirement {
    One(Asked),
    All {
        all: Vec<Part>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        escalation: Option<Escalation>,
    },
}

impl From<StoredPart> for Part {
    fn from(stored: StoredPart) -> Self {
        match stored {
            StoredPart::One(asked) => Self { any: vec![vec![asked]] },
            StoredPart::Any { any } => Self { any },
        }
    }
}

impl From<Part> for StoredPart {
    fn from(part: Part) -> Self {
        match part.single() {
            Some(asked) => Self::One(asked.clone()),
            None => Self::Any { any: part.any },
        }
    }
}

impl From<StoredRequirement> for Requirement {
    fn from(stored: StoredRequirement) -> Self {
        match stored {
            StoredRequirement::One(asked) => Self::of(asked),
            StoredRequirement::All { all, escalation } => Self { all, escalation },
        }
    }
}

impl From<Requirement> for StoredRequirement {
    fn from(requirement: Requirement) -> Self {
        match requirement.single() {
            Some(asked) if requirement.escalation.is_none() => Self::One(asked.clone()),
            Some(_) | None => Self::All {
                all: requirement.all,
                escalation: requirement.escalation,
            },
        }
    }
}

impl Part {
    fn single(&self) -> Option<&Asked> {
        match self.any.as_slice() {
            [way] if way.len() == 1 => way.first(),
            _ => None,
        }
    }

    /// Whoever completes this one completes the other.
    fn covers(&self, other: &Self) -> bool {
        let enough = |way: &[Asked], least: &[Asked]| least.iter().all(|asked| way.iter().any(|mine| mine.covers(asked)));
        self.any.iter().all(|way| other.any.iter().any(|least| enough(way, least)))
    }
}

impl Requirement {
    /// So many of one group.
    pub fn of(asked: Asked) -> Self {
        Self {
            all: vec![Part { any: vec![vec![asked]] }],
            escalation: None,
        }
    }

    /// The only group it asks, when there is no choice and no second group.
    pub fn single(&self) -> Option<&Asked> {
        match self.all.as_slice() {
            [part] => part.single(),
            _ => None,
        }
    }

    /// Everything it may ask, in order.
    pub fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.all.iter().flat_map(|part| part.any.iter().flatten())
    }

    /// What it asks whatever way is taken.
    pub fn always(&self) -> impl Iterator<Item = &Asked> {
        let ways = self.all.iter().filter(|part| part.any.len() == 1);
        ways.flat_map(|part| part.any.iter().flatten())
    }

    /// Every group it may ask, once, without the one it escalates to.
    pub fn groups(&self) -> BTreeSet<&GroupName> {
        self.asked().flat_map(Asked::groups).collect()
    }

    /// The fewest people who can complete it.
    pub fn people_min(&self) -> u32 {
        let people = |way: &Vec<Asked>| way.iter().map(|asked| asked.quorum).fold(0, u32::saturating_add);
        let fewest = |part: &Part| part.any.iter().map(people).min().unwrap_or(0);
        self.all.iter().map(fewest).fold(0, u32::saturating_add)
    }

    /// In how many ways it can be completed.
    pub(super) fn ways(&self) -> usize {
        self.all.iter().map(|part| part.any.len()).fold(1, usize::saturating_mul)
    }

    /// Whoever satisfies this one satisfies the other. Says no when in doubt.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let patient = self.escalation.is_none() || self.escalation == other.escalation;
        // Part by part: two parts of the other one must not lean on the same part of this one.
        let mut used = vec![false; self.all.len()];
        let mut covered = |least: &Part| {
            let found = (0..self.all.len()).find(|number| !used[*number] && self.all[*number].covers(least));
            if let Some(number) = found {
                used[number] = true;
            }
            found.is_some()
        };
        patient && other.all.iter().all(&mut covered)
    }

    /// The group that helps by now.
    fn helping(&self, asked_at: Option<Timestamp>, now: Timestamp) -> Option<&GroupName> {
        let escalation = self.escalation.as_ref()?;
        let due = asked_at? + chrono::Duration::seconds(i64::from(escalation.after_seconds));
        (due <= now).then_some(&escalation.to)
    }

    /// Every choice of one way per part.
    fn choices(&self) -> Vec<Vec<usize>> {
        let mut choices = vec![Vec::new()];
        for part in &self.all {
            choices = choices
                .into_iter()
                .flat_map(|choice: Vec<usize>| (0..part.any.len()).map(move |way| [choice.as_slice(), &[way]].concat()))
                .take(WAYS_MAX)
                .collect();
        }
        choices
    }
}

/// In words, such as "1 of sre, and 1 of owners or 2 of leads".
impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |asked: &Asked| format!("{} of {}", asked.quorum, asked.label());
        let way = |way: &Vec<Asked>| way.iter().map(words).collect::<Vec<_>>().join(" and ");
        let part = |part: &Part| part.any.iter().map(way).collect::<Vec<_>>().join(" or ");
        f.write_str(&self.all.iter().map(part).collect::<Vec<_>>().join(", and "))
    }
}

/// Whether a person may review under a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// Their review counts.
    Eligible,
    /// Not in any group that the route asks.
    NotInGroup,
    /// They own the agent, and the rule does not allow that; or they stand in for somebody who does.
    OwnsAgent,
}

/// Everything that decides whether somebody counts, beside the group.
struct Asking<'a> {
    agent: Option<&'a AgentName>,
    /// The group that helps by now.
    helping: Option<&'a GroupName>,
    /// Who has approved: a delegate of theirs does not count in their place.
    spoken: &'a [UserId],
    now: Timestamp,
}

impl Policy {
    /// Whether a person may review under a route. `agent` is whoever asked for the change; `None` when a person did.
    pub fn eligibility(&self, route: &Route, agent: Option<&AgentName>, user: UserId, now: Timestamp) -> Eligibility {
        let mut verdict = Eligibility::NotInGroup;
        for requirement in &route.requirements {
            let helping = requirement.helping(route.waiting.asked_at, now);
            let asking = |agent| Asking {
                agent,
                helping,
                spoken: &[],
                now,
            };
            for asked in requirement.asked() {
                if self.counts(asked, &asking(agent), user) {
                    return Eligibility::Eligible;
                }
                if self.counts(asked, &asking(None), user) {
                    verdict = Eligibility::OwnsAgent;
                }
            }
        }
        verdict
    }

    /// Whether these people complete every requirement; each person fills one place of each.
    pub fn satisfied(&self, route: &Route, agent: Option<&AgentName>, approvers: &[UserId], now: Timestamp) -> bool {
        !route.requirements.is_empty()
            && route.requirements.iter().all(|requirement| {
                let asking = Asking {
                    agent,
                    helping: requirement.helping(route.waiting.asked_at, now),
                    spoken: approvers,
                    now,
                };
                self.best(requirement, &asking, approvers).missing() == 0
            })
    }

    /// Whether all members together could complete it, with nobody's ownership or delegation looked at.
    pub(super) fn can_be_complete(&self, requirement: &Requirement, agent: Option<&AgentName>, now: Timestamp) -> bool {
        let everybody: Vec<UserId> = self.people.keys().copied().collect();
        let asking = Asking {
            agent,
            helping: None,
            spoken: &everybody,
            now,
        };
        self.best(requirement, &asking, &everybody).missing() == 0
    }

    /// The choice of ways that lacks the fewest people; of equals the one that more have approved, else the earlier one.
    fn best<'a>(&self, requirement: &'a Requirement, asking: &Asking<'_>, approvers: &[UserId]) -> Filled<'a> {
        let choices = requirement.choices().into_iter();
        let filled = choices.map(|choice| self.fill(requirement, choice, asking, approvers));
        filled
            .min_by_key(|filled| (filled.missing(), Reverse(filled.have())))
            .unwrap_or_else(|| Filled {
                requirement,
                choice: Vec::new(),
                places: Vec::new(),
            })
    }

    fn fill<'a>(&self, requirement: &'a Requirement, choice: Vec<usize>, asking: &Asking<'_>, approvers: &[UserId]) -> Filled<'a> {
        let chosen = requirement.all.iter().zip(&choice).enumerate();
        let asked: Vec<(usize, &Asked)> = chosen
            .flat_map(|(number, (part, way))| part.any[*way].iter().map(move |asked| (number, asked)))
            .collect();
        let mut people: Vec<UserId> = Vec::new();
        for user in approvers {
            if !people.contains(user) {
                people.push(*user);
            }
        }
        let capacity: Vec<u32> = asked.iter().map(|(_, asked)| asked.quorum).collect();
        let taken = assign(&capacity, people.len(), &|kind, person| {
            self.counts(asked[kind].1, asking, people[person])
        });
        let places = asked.into_iter().zip(taken);
        Filled {
            requirement,
            choice,
            places: places
                .map(|((part, asked), taken)| (part, asked, taken.into_iter().map(|person| people[person]).collect()))
                .collect(),
        }
    }

    /// Whether a person's approval counts for a group: as a member, as somebody who stands in for a member who has not spoken, or as a
    /// member of the group that helps by now. Owners of the agent do not count, nor do they through somebody else.
    fn counts(&self, asked: &Asked, asking: &Asking<'_>, user: UserId) -> bool {
        let free = |user: UserId| asked.allow_owner || !self.owns(user, asking.agent);
        let member = |group: &GroupName, user: UserId| self.groups.get(group).is_some_and(|members| members.contains(&user));
        let stands_in = |group: &GroupName| {
            self.delegations.iter().any(|delegation| {
                delegation.to == user
                    && delegation.covers(group, asking.now)
                    && member(group, delegation.from)
                    && !asking.spoken.contains(&delegation.from)
                    && free(delegation.from)
            })
        };
        free(user)
            && asked
                .groups()
                .chain(asking.helping)
                .any(|group| member(group, user) || stands_in(group))
    }
}

/// One choice of ways, and who fills its places.
struct Filled<'a> {
    requirement: &'a Requirement,
    /// The way that was taken of each part.
    choice: Vec<usize>,
    /// The number of the part, what it asks, and who fills it.
    places: Vec<(usize, &'a Asked, Vec<UserId>)>,
}

impl Filled<'_> {
    fn missing(&self) -> usize {
        let missing = |(_, asked, have): &(usize, &Asked, Vec<UserId>)| (asked.quorum as usize).saturating_sub(have.len());
        self.places.iter().map(missing).sum()
    }

    fn have(&self) -> usize {
        self.places.iter().map(|(_, _, have)| have.len()).sum()
    }
}

#[cfg(test)]
mod tests;
