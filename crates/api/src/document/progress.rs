//! Whose approvals a change needs, and how far they are.

use domain::{Asked, Proposal, Requirement, SecondFactor};
use engine::Approvers;
use serde::Serialize;
use utoipa::ToSchema;

/// How far the decision is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProgressDocument {
    /// Display names of those whose approval of the current content counts.
    pub approved_by: Vec<String>,
    /// Who is asked, in words such as `1 of sre, and 1 of owners or 2 of leads`; empty for manual and standard.
    pub needs: String,
    /// What approvals take beside a tap: `totp`, a code of each approver's own generator; `person`, one eligible person more than otherwise
    /// (`needs` counts them).
    #[schema(value_type = Vec<String>)]
    pub second_factors: Vec<SecondFactor>,
    /// The groups of which all must agree whatever is chosen; empty for manual and standard. `all` tells the choices, too.
    pub required: Vec<QuorumDocument>,
    /// What `needs` says, taken apart: every entry must be complete, by any of its ways. Empty for manual and standard.
    pub all: Vec<ChoiceDocument>,
    /// While it is pending and there is a choice: the groups of the way that is nearest to being complete, with the others in their `instead`.
    /// Null without a choice, once it is decided, and in lists.
    pub nearest: Option<Vec<RequirementDocument>>,
}

/// One part of what is needed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChoiceDocument {
    /// The ways; one of them must be complete, and a way is complete when all of its groups are. One way: there is no choice.
    pub any: Vec<Vec<QuorumDocument>>,
}

/// A group that must agree, and how many of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuorumDocument {
    /// The group of people.
    pub group: String,
    /// How many of them must approve.
    pub quorum: u32,
}

/// A group that is asked, with people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RequirementDocument {
    /// The group of people; where there is a choice, with what may be approved instead.
    pub group: String,
    /// How many of them must approve.
    pub quorum: u32,
    /// The display names of those whose approval counts here.
    pub approved_by: Vec<String>,
    /// The display names of those whose approval would count, here or in what may be approved instead.
    pub people: Vec<String>,
    /// What may be approved instead of this and the other groups of its way: ways, each complete when all of its groups are.
    pub instead: Vec<Vec<SeatDocument>>,
}

/// A group of a way that is not the nearest.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeatDocument {
    /// The group of people.
    pub group: String,
    /// How many of them must approve.
    pub quorum: u32,
    /// The display names of those whose approval counts here.
    pub approved_by: Vec<String>,
    /// The display names of those whose approval would count.
    pub people: Vec<String>,
}

impl From<&Asked> for QuorumDocument {
    fn from(asked: &Asked) -> Self {
        Self {
            group: asked.label(),
            quorum: asked.quorum,
        }
    }
}

/// Without `nearest`: it takes the policy in force.
impl From<&Proposal> for ProgressDocument {
    fn from(proposal: &Proposal) -> Self {
        let route = &proposal.revision.route;
        let parts = route.requirements.iter().flat_map(|requirement| &requirement.all);
        Self {
            needs: route.needs(),
            second_factors: route.second_factors.iter().copied().collect(),
            approved_by: proposal.approvals().map(|review| review.by.name.clone()).collect(),
            required: route
                .requirements
                .iter()
                .flat_map(Requirement::always)
                .map(QuorumDocument::from)
                .collect(),
            all: parts
                .map(|part| ChoiceDocument {
                    any: part.any.iter().map(|way| way.iter().map(QuorumDocument::from).collect()).collect(),
                })
                .collect(),
            nearest: None,
        }
    }
}

impl From<Approvers> for RequirementDocument {
    fn from(approvers: Approvers) -> Self {
        let way = |way: Vec<Approvers>| way.into_iter().map(SeatDocument::from).collect();
        Self {
            group: approvers.group,
            quorum: approvers.quorum,
            approved_by: approvers.approved_by,
            people: approvers.people,
            instead: approvers.instead.into_iter().map(way).collect(),
        }
    }
}

impl From<Approvers> for SeatDocument {
    fn from(approvers: Approvers) -> Self {
        Self {
            group: approvers.group,
            quorum: approvers.quorum,
            approved_by: approvers.approved_by,
            people: approvers.people,
        }
    }
}
