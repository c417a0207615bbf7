//! SQLite alone: a file with the same schema, the same promises, the same rows, and nothing else.
//!
//! The rows are those that the service has just stored, read back before the clock starts. Of the effects owed only those are left that the
//! workers have not finished meanwhile, so this side writes a little less than the service did: the comparison errs against us.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

/// A proposal that a client was told to be safe.
pub(crate) struct Acknowledged {
    /// Its id.
    pub id: String,
    /// Who made it.
    pub agent: String,
    /// The idempotency key of the call.
    pub key: String,
}

/// Everything that one intake writes.
pub(crate) struct Rows {
    proposal: ProposalRow,
    revision: (i64, String),
    contents: String,
    audit: AuditRow,
    /// A JSON list of key, effect, due.
    owed: String,
    answer: AnswerRow,
    key: String,
}

/// id, version, agent, repository, branch, origin, decision, delivery, created_at, expires_at, digest, base, document.
type ProposalRow = (
    String,
    i64,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    String,
    String,
    String,
);
/// seq, at, actor, actor_id, actor_name, event, summary, details, hash.
type AuditRow = (i64, i64, String, String, String, String, String, String, String);
/// body_hash, status, body, etag, location, at.
type AnswerRow = (String, i64, String, Option<String>, Option<String>, i64);

const INSERT: &str = "
insert into proposals (id, version, agent, repository, branch, origin, decision, delivery, created_at, expires_at, digest, base, document)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
insert into revisions (proposal, number, document) values (?, ?, ?);
insert into contents (proposal, number, body) values (?, ?, ?);
insert into audit (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
insert into outbox (proposal, key, effect, due) select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?);
insert into answers (agent, key, body_hash, status, body, etag, location, at) values (?, ?, ?, ?, ?, ?, ?, ?)";

/// Two connections: one to the service's file to read, one to a file of our own to write.
pub(crate) struct RawSqlite {
    service: SqliteConnection,
    own: SqliteConnection,
}

impl RawSqlite {
    /// A new file beside the service's, on the same disk.
    pub(crate) async fn beside(service: &Path) -> Result<Self> {
        let file: PathBuf = service.with_file_name("raw.db");
        // The store makes the schema and goes.
        store::Store::open(&file, store::StoreOptions::default()).await?.close().await;
        let own = options(&file).journal_mode(SqliteJournalMode::Wal).connect().await?;
        let service = options(service).read_only(true).connect().await?;
        Ok(Self { service, own })
    }

    /// What the service stored for these.
    pub(crate) async fn rows_of(&mut self, acknowledged: &[Acknowledged]) -> Result<Vec<Rows>> {
        let mut rows = Vec::with_capacity(acknowledged.len());
        for one in acknowledged {
            rows.push(self.rows(one).await.with_context(|| format!("the rows of {}", one.id))?);
        }
        Ok(rows)
    }

    async fn rows(&mut self, of: &Acknowledged) -> Result<Rows> {
        let from = &mut self.service;
        let proposal =
            "select id, version, agent, repository, branch, origin, decision, delivery, created_at, expires_at, digest, base, document
                        from proposals where id = ?";
        let audit =
            "select seq, at, actor, actor_id, actor_name, event, summary, details, hash from audit where proposal = ? order by seq limit 1";
        let owed = "select json_group_array(json_array(key, effect, due)) from outbox where proposal = ?";
        let answer = "select body_hash, status, body, etag, location, at from answers where agent = ? and key = ?";
        Ok(Rows {
            proposal: sqlx::query_as(proposal).bind(&of.id).fetch_one(&mut *from).await?,
            revision: sqlx::query_as("select number, document from revisions where proposal = ?")
                .bind(&of.id)
                .fetch_one(&mut *from)
                .await?,
            contents: sqlx::query_scalar("select body from contents where proposal = ?")
                .bind(&of.id)
                .fetch_one(&mut *from)
                .await?,
            audit: sqlx::query_as(audit).bind(&of.id).fetch_one(&mut *from).await?,
            owed: sqlx::query_scalar(owed).bind(&of.id).fetch_one(&mut *from).await?,
            answer: sqlx::query_as(answer).bind(&of.agent).bind(&of.key).fetch_one(&mut *from).await?,
            key: of.key.clone(),
        })
    }

    /// Writes the rows, so many proposals a durable commit.
    pub(crate) async fn insert(&mut self, rows: &[Rows], batch: usize) -> Result<()> {
        for together in rows.chunks(batch) {
            sqlx::query("begin immediate").execute(&mut self.own).await?;
            for one in together {
                one.insert(&mut self.own).await?;
            }
            let last = together.last().context("an empty batch")?;
            let head = sqlx::query("update audit_head set rows = ?, hash = ?; commit")
                .bind(last.audit.0)
                .bind(&last.audit.8);
            head.execute(&mut self.own).await?;
        }
        Ok(())
    }

    /// Ends both.
    pub(crate) async fn close(self) -> Result<()> {
        self.service.close().await?;
        Ok(self.own.close().await?)
    }
}

impl Rows {
    /// One round trip to the database's thread, as in the store.
    async fn insert(&self, into: &mut SqliteConnection) -> Result<()> {
        let (proposal, audit, answer) = (&self.proposal, &self.audit, &self.answer);
        let id = &proposal.0;
        sqlx::query(INSERT)
            .bind(id)
            .bind(proposal.1)
            .bind(&proposal.2)
            .bind(&proposal.3)
            .bind(&proposal.4)
            .bind(&proposal.5)
            .bind(&proposal.6)
            .bind(&proposal.7)
            .bind(proposal.8)
            .bind(proposal.9)
            .bind(&proposal.10)
            .bind(&proposal.11)
            .bind(&proposal.12)
            .bind(id)
            .bind(self.revision.0)
            .bind(&self.revision.1)
            .bind(id)
            .bind(self.revision.0)
            .bind(&self.contents)
            .bind(audit.0)
            .bind(id)
            .bind(audit.1)
            .bind(&audit.2)
            .bind(&audit.3)
            .bind(&audit.4)
            .bind(&audit.5)
            .bind(&audit.6)
            .bind(&audit.7)
            .bind(&audit.8)
            .bind(id)
            .bind(&self.owed)
            .bind(&proposal.2)
            .bind(&self.key)
            .bind(&answer.0)
            .bind(answer.1)
            .bind(&answer.2)
            .bind(&answer.3)
            .bind(&answer.4)
            .bind(answer.5)
            .execute(into)
            .await?;
        Ok(())
    }
}

/// The promises that the store's own connections keep.
fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(256)
        .disable_statement_logging()
}
