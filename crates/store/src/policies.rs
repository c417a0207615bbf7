//! The policies that managed repositories carry themselves: the last valid text of each, what people were told about the present one, and
//! the past decisions that a new text is replayed over.

use domain::{CommitId, Facts, RepositoryName, Sha256Hash, Timestamp};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, sql};

/// What is known of one repository's own policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryPolicy {
    /// The last text that was valid, and the commit at which it was found.
    pub valid: Option<(String, CommitId)>,
    /// Names the trouble with the present text that people were told of; `None` while there is none.
    pub told: Option<Sha256Hash>,
}

impl Tx {
    /// Replaces what is known of a repository's policy.
    pub async fn put_repository_policy(
        &mut self,
        repository: &RepositoryName,
        policy: &RepositoryPolicy,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (body, commit) = policy
            .valid
            .as_ref()
            .map(|(body, commit)| (body.as_str(), commit.to_string()))
            .unzip();
        self.execute(
            sqlx::query(
                "insert into repository_policies (repository, body, commit_id, at, told) values (?, ?, ?, ?, ?)
                 on conflict do update set body = excluded.body, commit_id = excluded.commit_id, at = excluded.at, told = excluded.told",
            )
            .bind(repository.as_str())
            .bind(body)
            .bind(commit)
            .bind(sql::micros(now))
            .bind(policy.told.map(|told| told.to_string())),
        )
        .await?;
        Ok(())
    }
}

pub(crate) async fn repository_policy(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
) -> Result<Option<RepositoryPolicy>, StoreError> {
    type Columns = (Option<String>, Option<String>, Option<String>);
    let found: Option<Columns> = sqlx::query_as("select body, commit_id, told from repository_policies where repository = ?")
        .bind(repository.as_str())
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    let read = |(body, commit, told): Columns| {
        let valid = match body.zip(commit) {
            Some((body, commit)) => {
                let id = commit.parse().map_err(|error| sql::undecodable("commit id", &commit, error))?;
                Some((body, id))
            }
            None => None,
        };
        let told = told.as_deref().map(sql::hash).transpose()?;
        Ok(RepositoryPolicy { valid, told })
    };
    found.map(read).transpose()
}

pub(crate) const DECIDED: &str = "select id, document -> '$.revision.facts' from proposals
 where repository = ? and decided_at is not null order by decided_at desc limit ?";

pub(crate) async fn decided_facts(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    limit: u32,
) -> Result<Vec<Facts>, StoreError> {
    let found: Vec<(String, String)> = sqlx::query_as(DECIDED)
        .bind(repository.as_str())
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    found.iter().map(|(id, json)| sql::decode("facts", id, json)).collect()
}
