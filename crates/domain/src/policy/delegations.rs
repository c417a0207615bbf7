//! Somebody stands in for somebody else until a date.

use std::collections::BTreeSet;

use super::Policy;
use crate::{GroupName, Timestamp, UserId};

/// Somebody stands in for somebody else, in some of their groups, until a date.
#[derive(Debug, Clone)]
pub(super) struct Delegation {
    /// Whose place it is.
    pub(super) from: UserId,
    /// Who may take it, while the other has not spoken.
    pub(super) to: UserId,
    /// In which groups; in all of them when absent.
    pub(super) groups: Option<BTreeSet<GroupName>>,
    /// From then on it is ignored.
    pub(super) until: Timestamp,
    /// Line of the policy file.
    pub(super) line: usize,
}

impl Delegation {
    /// Whether it is in force and meant for a group.
    pub(super) fn covers(&self, group: &GroupName, now: Timestamp) -> bool {
        now < self.until && self.groups.as_ref().is_none_or(|groups| groups.contains(group))
    }
}

impl Policy {
    /// Whether somebody is in a group, or stands in for a member until a date.
    pub fn in_group(&self, group: &GroupName, user: UserId, now: Timestamp) -> bool {
        let member = |user: UserId| self.groups.get(group).is_some_and(|members| members.contains(&user));
        member(user)
            || self
                .delegations
                .iter()
                .any(|delegation| delegation.to == user && delegation.covers(group, now) && member(delegation.from))
    }

    /// The groups in which somebody stands in for a member at the moment, with that member's display name and the end.
    pub fn stands_in(&self, user: UserId, now: Timestamp) -> Vec<(&GroupName, &str, Timestamp)> {
        let mut found = Vec::new();
        for delegation in self.delegations.iter().filter(|delegation| delegation.to == user) {
            for (group, members) in &self.groups {
                if delegation.covers(group, now)
                    && members.contains(&delegation.from)
                    && let Some(from) = self.people.get(&delegation.from)
                {
                    found.push((group, from.name.as_str(), delegation.until));
                }
            }
        }
        found
    }
}
