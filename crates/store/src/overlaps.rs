//! Which open proposals touch the same files. Nothing ever waits for such a lock: people are told, and whoever comes second is compared
//! with what the first one left.

use domain::{AgentName, ChangeSet, Delivery, Proposal, ProposalId};
use sqlx::SqliteConnection;

use crate::{StoreError, sql};

/// Overlapping proposals named at most: more say nothing that these do not.
const NAMED_MAX: u32 = 20;

/// An open proposal that touches a file of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Which.
    pub id: ProposalId,
    /// Whose.
    pub agent: AgentName,
}

/// Whether its change is still on its way to the branch.
pub(crate) const fn is_ahead(proposal: &Proposal) -> bool {
    proposal.outcome.is_none() && !matches!(proposal.delivery, Delivery::Pushed | Delivery::Syncing | Delivery::Ended)
}

/// The touched paths as JSON, for `json_each`.
pub(crate) fn paths(change: &ChangeSet) -> Result<String, StoreError> {
    sql::encode("paths", &change.paths().map(|path| path.as_str()).collect::<Vec<_>>())
}

// `cross join` keeps the order of the loops: from the few files of one proposal to the open ones that touch them.
pub(crate) const OVERLAPS: &str = "select distinct other.proposal, proposals.agent from open_paths mine indexed by open_paths_by_proposal
 cross join open_paths other on other.repository = mine.repository and other.branch = mine.branch and other.path = mine.path
 cross join proposals on proposals.id = other.proposal
 where mine.proposal = ? and other.proposal <> mine.proposal order by other.proposal limit ?";

pub(crate) async fn overlaps(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Overlap>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(OVERLAPS)
        .bind(proposal.to_string())
        .bind(NAMED_MAX)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.iter()
        .map(|(id, agent)| {
            Ok(Overlap {
                id: sql::id(id)?,
                agent: agent.parse().map_err(|error| sql::undecodable("agent of", id, error))?,
            })
        })
        .collect()
}
