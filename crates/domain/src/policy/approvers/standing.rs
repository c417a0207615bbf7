//! How far the approvals of a route are, for those who look: the way that is nearest to being complete, and what would do instead.

use super::{Asked, Asking, Filled};
use crate::policy::{Policy, Route};
use crate::{AgentName, GroupName, Timestamp, UserId};

/// How far the approvals of a route are, under the policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Nobody is missing.
    pub complete: bool,
    /// Each group that is asked, in the way that is nearest to being complete.
    pub places: Vec<Place>,
    /// Who is missing, in words such as "1 of sre, and 1 of owners or 2 of leads"; empty when complete.
    pub missing: String,
}

/// One group that is asked, who fills its places, and what would do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The group, with what may be approved instead and how far that is: "owners", "owners (or 2 of leads)", "owners (or 3 of leads: 1/3)".
    pub label: String,
    /// The group.
    pub group: GroupName,
    /// How many are asked.
    pub quorum: u32,
    /// Who fills them, in the order of their approvals.
    pub have: Vec<UserId>,
    /// Whose approval would count as well: here first, then in what may be approved instead.
    pub eligible: Vec<UserId>,
    /// What may be approved instead of this and of the other groups of its way; told once for each choice, with the first of them.
    pub instead: Vec<Vec<Seat>>,
}

/// One group of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The group, with others that count as well.
    pub label: String,
    /// How many are asked.
    pub quorum: u32,
    /// Who fills them, in the order of their approvals.
    pub have: Vec<UserId>,
    /// Whose approval would count as well.
    pub eligible: Vec<UserId>,
}

impl Policy {
    /// How far it is, for cards and agents.
    pub fn standing(&self, route: &Route, agent: Option<&AgentName>, approvers: &[UserId], now: Timestamp) -> Standing {
        let mut places = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for requirement in &route.requirements {
            let asking = Asking {
                agent,
                helping: requirement.helping(route.waiting.asked_at, now),
                spoken: approvers,
                now,
            };
            let look = Look {
                policy: self,
                best: self.best(requirement, &asking, approvers),
                asking,
                approvers,
            };
            places.extend(look.places());
            let missing = look.words();
            if !missing.is_empty() && !words.contains(&missing) {
                words.push(missing);
            }
        }
        Standing {
            complete: !route.requirements.is_empty() && words.is_empty(),
            places,
            missing: words.join(", and "),
        }
    }
}

/// One requirement, looked at from the way that is nearest.
struct Look<'a> {
    policy: &'a Policy,
    best: Filled<'a>,
    asking: Asking<'a>,
    approvers: &'a [UserId],
}

impl Look<'_> {
    fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        let mut told = None;
        for (number, asked, have) in &self.best.places {
            let seat = self.seat(asked, have);
            let mut place = Place {
                label: seat.label,
                group: asked.group.clone(),
                quorum: seat.quorum,
                have: seat.have,
                eligible: seat.eligible,
                instead: Vec::new(),
            };
            if told.replace(*number) != Some(*number) {
                place.instead = self.instead(*number);
            }
            if !place.instead.is_empty() {
                let ways: Vec<String> = place.instead.iter().map(|way| said(way)).collect();
                place.label = format!("{} (or {})", place.label, ways.join(", or "));
                for user in place.instead.iter().flatten().flat_map(|seat| &seat.eligible) {
                    if !place.eligible.contains(user) {
                        place.eligible.push(*user);
                    }
                }
            }
            places.push(place);
        }
        places
    }

    /// The other ways of a part, in their order.
    fn instead(&self, number: usize) -> Vec<Vec<Seat>> {
        let ways = (0..self.best.requirement.all[number].any.len()).filter(|way| *way != self.best.choice[number]);
        let seats = |filled: Filled<'_>| {
            let of_part = filled.places.iter().filter(|(part, _, _)| *part == number);
            of_part.map(|(_, asked, have)| self.seat(asked, have)).collect()
        };
        ways.map(|way| seats(self.taking(number, way))).collect()
    }

    fn seat(&self, asked: &Asked, have: &[UserId]) -> Seat {
        let label = match self.asking.helping {
            Some(group) if !asked.groups().any(|known| known == group) => format!("{} or {group}", asked.label()),
            Some(_) | None => asked.label(),
        };
        let counts = |user: &UserId| !self.approvers.contains(user) && self.policy.counts(asked, &self.asking, *user);
        Seat {
            label,
            quorum: asked.quorum,
            have: have.to_vec(),
            eligible: self.policy.people.keys().copied().filter(counts).collect(),
        }
    }

    /// The same choice with another way of one part.
    fn taking(&self, number: usize, way: usize) -> Filled<'_> {
        let mut choice = self.best.choice.clone();
        choice[number] = way;
        self.policy.fill(self.best.requirement, choice, &self.asking, self.approvers)
    }

    /// What is missing of each part, in all its ways.
    fn words(&self) -> String {
        let lacking = |filled: &Filled<'_>, number: usize| {
            let of_part = filled.places.iter().filter(|(part, _, _)| *part == number);
            let lacks = of_part.filter_map(|(_, asked, have)| {
                let missing = (asked.quorum as usize).saturating_sub(have.len());
                (missing > 0).then(|| format!("{missing} of {}", asked.label()))
            });
            lacks.collect::<Vec<_>>().join(" and ")
        };
        let mut parts = Vec::new();
        for (number, part) in self.best.requirement.all.iter().enumerate() {
            if lacking(&self.best, number).is_empty() {
                continue;
            }
            let mut ways: Vec<String> = Vec::new();
            for way in 0..part.any.len() {
                let lacks = lacking(&self.taking(number, way), number);
                if !lacks.is_empty() && !ways.contains(&lacks) {
                    ways.push(lacks);
                }
            }
            parts.push(ways.join(" or "));
        }
        let words = parts.join(", and ");
        match self.asking.helping {
            Some(group) if !words.is_empty() => format!("{words} (by now {group} may help)"),
            Some(_) | None => words,
        }
    }
}

/// "1 of sre and 2 of leads", with how far those are that somebody has approved: "3 of leads: 1/3".
fn said(way: &[Seat]) -> String {
    let seat = |seat: &Seat| {
        let so_far = match seat.have.len() {
            0 => String::new(),
            have => format!(": {have}/{}", seat.quorum),
        };
        format!("{} of {}{so_far}", seat.quorum, seat.label)
    };
    way.iter().map(seat).collect::<Vec<_>>().join(" and ")
}
