//! What an agent reported about commits and the service refused: such reports count against the agent's quota, and what was told about
//! them must outlive a restart. One small value per agent, cut to what is asked about whenever it is read.

use domain::{AgentName, CommitId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, answers, sql};

/// The refused reports of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedReports {
    /// When each was refused, oldest first.
    pub refused: Vec<Timestamp>,
    /// What people were told about, and when.
    pub told: Vec<(Timestamp, CommitId)>,
    /// Refused since the last message, without one of their own.
    pub untold: u64,
}

/// As stored: times are microseconds, as everywhere.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    refused: Vec<i64>,
    told: Vec<(i64, CommitId)>,
    untold: u64,
}

/// How many were refused at or after `?2`; for use inside a question about agent `?1`.
macro_rules! refused_since {
    () => {
        "(select count(*) from meta, json_each(meta.value, '$.refused') as report where meta.key = 'refused_reports:' || ?1 and report.value >= ?2)"
    };
}
pub(crate) use refused_since;

fn key(agent: &AgentName) -> String {
    format!("refused_reports:{agent}")
}

impl Tx {
    /// Replaces what is kept about an agent's refused reports.
    pub async fn put_refused_reports(&mut self, agent: &AgentName, reports: &RefusedReports) -> Result<(), StoreError> {
        let stored = Stored {
            refused: reports.refused.iter().map(|&at| sql::micros(at)).collect(),
            told: reports.told.iter().map(|&(at, commit)| (sql::micros(at), commit)).collect(),
            untold: reports.untold,
        };
        self.set_meta(&key(agent), &sql::encode("refused reports", &stored)?).await
    }
}

pub(crate) async fn refused_reports(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    since: Timestamp,
) -> Result<RefusedReports, StoreError> {
    let key = key(agent);
    let stored: Stored = match answers::meta(connection, &key).await? {
        Some(json) => sql::decode("refused reports", &key, &json)?,
        None => Stored::default(),
    };
    let since = sql::micros(since);
    Ok(RefusedReports {
        refused: stored
            .refused
            .into_iter()
            .filter(|&at| at >= since)
            .map(sql::time)
            .collect::<Result<_, _>>()?,
        told: stored
            .told
            .into_iter()
            .filter(|&(at, _)| at >= since)
            .map(|(at, commit)| Ok((sql::time(at)?, commit)))
            .collect::<Result<_, StoreError>>()?,
        untold: stored.untold,
    })
}
