//! Commits that nothing explains.

use domain::{CommitId, RepositoryName, Timestamp};
use sqlx::SqliteConnection;

use crate::{StoreError, Tx, sql};

/// A commit on guarded paths that no proposal and no observation explains so far. All texts are foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained {
    /// Its row; 0 before it is stored.
    pub row: i64,
    /// The commit.
    pub commit: CommitId,
    /// The commit of the branch that brought it: itself, or a merge.
    pub brought_by: CommitId,
    /// Its author's name.
    pub author: String,
    /// Its first line.
    pub subject: String,
    /// The guarded paths it changes, as far as they were looked at.
    pub paths: Vec<String>,
    /// It changes more paths than were looked at.
    pub paths_cut: bool,
    /// The proposals it names.
    pub named: Vec<String>,
    /// When it was committed, as it says.
    pub committed_at: Timestamp,
    /// When it was found.
    pub found_at: Timestamp,
}

type Columns = (i64, String, String, String, String, String, String, i64, i64, bool);

impl Tx {
    /// Stores a commit; nothing when it is known.
    pub async fn put_unexplained(&mut self, repository: &RepositoryName, found: &Unexplained) -> Result<(), StoreError> {
        self.execute(
            sqlx::query(
                "insert into unexplained (repository, commit_id, brought_by, author, subject, paths, named, committed_at, found_at, paths_cut)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            )
            .bind(repository.as_str())
            .bind(found.commit.to_string())
            .bind(found.brought_by.to_string())
            .bind(&found.author)
            .bind(&found.subject)
            .bind(sql::encode("paths", &found.paths)?)
            .bind(sql::encode("names", &found.named)?)
            .bind(sql::micros(found.committed_at))
            .bind(sql::micros(found.found_at))
            .bind(found.paths_cut),
        )
        .await?;
        Ok(())
    }

    /// Its time to be explained is over: false when that was known.
    pub async fn settle_unexplained(&mut self, row: i64) -> Result<bool, StoreError> {
        let settled = sqlx::query("update unexplained set settled = 1 where id = ? and settled = 0").bind(row);
        Ok(self.execute(settled).await? > 0)
    }

    /// How many commits of the branch wait for the next look.
    pub async fn set_unlooked(&mut self, repository: &RepositoryName, commits: usize) -> Result<(), StoreError> {
        self.set_meta(&unlooked_key(repository), &commits.to_string()).await
    }

    /// Something explains it after all.
    pub async fn drop_unexplained(&mut self, row: i64) -> Result<(), StoreError> {
        self.execute(sqlx::query("delete from unexplained where id = ?").bind(row)).await?;
        Ok(())
    }
}

/// Under which key of `meta` it is stored how many commits of a branch wait for the next look.
fn unlooked_key(repository: &RepositoryName) -> String {
    format!("unlooked:{repository}")
}

pub(crate) async fn unlooked(connection: &mut SqliteConnection, repository: &RepositoryName) -> Result<u64, StoreError> {
    let stored = crate::answers::meta(connection, &unlooked_key(repository)).await?;
    Ok(stored.and_then(|count| count.parse().ok()).unwrap_or(0))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, commit_id, brought_by, author, subject, paths, named, committed_at, found_at, paths_cut from unexplained ",
            $rest
        )
    };
}

pub(crate) const UNEXPLAINED: &str = select!("indexed by unexplained_newest where repository = ? and id < ? order by id desc limit ?");

pub(crate) async fn unexplained(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Unexplained>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(UNEXPLAINED)
        .bind(repository.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(decode).collect()
}

pub(crate) const UNSETTLED: &str =
    select!("indexed by unexplained_unsettled where settled = 0 and repository = ? and found_at <= ? order by found_at, id limit 100");

pub(crate) async fn unsettled(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    found_before: Timestamp,
) -> Result<Vec<Unexplained>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(UNSETTLED)
        .bind(repository.as_str())
        .bind(sql::micros(found_before))
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.into_iter().map(decode).collect()
}

fn decode(
    (row, commit, brought_by, author, subject, paths, named, committed_at, found_at, paths_cut): Columns,
) -> Result<Unexplained, StoreError> {
    let id = |text: &str| text.parse().map_err(|error| sql::undecodable("unexplained commit", text, error));
    Ok(Unexplained {
        row,
        commit: id(&commit)?,
        brought_by: id(&brought_by)?,
        author,
        subject,
        paths: sql::decode("paths of", &commit, &paths)?,
        paths_cut,
        named: sql::decode("names of", &commit, &named)?,
        committed_at: sql::time(committed_at)?,
        found_at: sql::time(found_at)?,
    })
}
