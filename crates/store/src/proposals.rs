//! Proposals, their revisions and contents.
//!
//! A proposal is stored as one JSON document; the columns beside it repeat what is searched for, and are written from the same value.

use domain::{AgentName, ChangeSet, CommitId, Decision, Origin, Proposal, ProposalId, RepositoryName, Sha256Hash, Timestamp, Transition};
use domain::{Delivery, Effect, Revision};
use sqlx::SqliteConnection;

use crate::model::{Audit, Changed, Cursor, ListFilter, Standing, StoredAnswer};
use crate::reports::refused_since;
use crate::{StoreError, Tx, answers, effects, overlaps, sql};

/// The longest page of a list.
const PAGE_MAX: u32 = 1000;

/// The answer that belongs to a new proposal.
pub struct NewAnswer<'a> {
    /// Whose call it answers.
    pub agent: &'a AgentName,
    /// Its idempotency key.
    pub key: &'a str,
    /// Makes the answer from the proposal as stored.
    pub render: &'a (dyn Fn(&Proposal) -> StoredAnswer + Send + Sync),
    /// When.
    pub at: Timestamp,
}

macro_rules! insert {
    ($more:literal) => {
        concat!(
            "insert into proposals (id, version, agent, repository, branch, origin, decision, delivery, outcome, created_at, decided_at,
                                    expires_at, ended_at, digest, base, commit_id, document)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
             insert into revisions (proposal, number, document) values (?, ?, ?);
             insert into contents (proposal, number, body, checks) values (?, ?, ?, ?);
             insert into open_paths (repository, branch, path, proposal) select ?, ?, value, ? from json_each(?);
             insert into audit (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
             insert into outbox (proposal, key, effect, due) select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?) where true
             on conflict do update set due = min(due, excluded.due), attempts = 0, error = null",
            $more
        )
    };
}

const INSERT: &str = insert!("");
const INSERT_ANSWERED: &str =
    insert!("; insert into answers (agent, key, body_hash, status, body, etag, location, at) values (?, ?, ?, ?, ?, ?, ?, ?)");

macro_rules! apply {
    ($more:literal) => {
        concat!(
            "update proposals set version = ?, decision = ?, delivery = ?, outcome = ?, decided_at = ?, expires_at = ?, ended_at = ?,
                                  digest = ?, base = ?, commit_id = ?, document = ?
             where id = ? and version = ? returning version;
             insert into audit (seq, proposal, at, actor, actor_id, actor_name, event, summary, details, hash)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
             insert into revisions (proposal, number, document) values (?, ?, ?)
             on conflict do update set document = excluded.document where document <> excluded.document;
             insert into outbox (proposal, key, effect, due) select ?, value ->> 0, value ->> 1, value ->> 2 from json_each(?) where true
             on conflict do update set due = min(due, excluded.due), attempts = 0, error = null",
            $more
        )
    };
}

const APPLY: &str = apply!("");
/// What shares a file with one that lands or ends is shown anew: its card names the others.
const APPLY_LEAVING: &str = apply!(
    ";
     insert into outbox (proposal, key, effect, due)
     select distinct other.proposal, 'edit_cards', ?, ? from open_paths mine indexed by open_paths_by_proposal
     cross join open_paths other on other.repository = mine.repository and other.branch = mine.branch and other.path = mine.path
     where mine.proposal = ? and other.proposal <> mine.proposal
     on conflict do update set due = min(due, excluded.due), attempts = 0, error = null;
     delete from open_paths where proposal = ?"
);

impl Tx {
    /// Stores a new proposal with its contents, its audit row and its effects. When the transition seals, the audit row's hash becomes `audit_head`.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] with [`crate::Duplicate::Observed`] when this commit was observed before; nothing is stored then.
    pub async fn insert(&mut self, transition: &Transition, contents: &ChangeSet, audit: Audit) -> Result<Proposal, StoreError> {
        self.insert_answered(transition, contents, None, audit, None).await
    }

    /// [`Tx::insert`], with what the checks said (JSON that the store only keeps), and the answer to the call that made the proposal, for its
    /// replay.
    ///
    /// # Errors
    /// Also [`StoreError::Duplicate`] with [`crate::Duplicate::IdempotencyKey`] when the agent used the key before; nothing is stored then.
    pub async fn insert_answered(
        &mut self,
        transition: &Transition,
        contents: &ChangeSet,
        checks: Option<&str>,
        mut audit: Audit,
        answer: Option<NewAnswer<'_>>,
    ) -> Result<Proposal, StoreError> {
        let mut next = transition.next.clone();
        audit.proposal = Some(next.id);
        let linked = self.link(audit)?;
        let head = linked.head;
        if transition.seals {
            next.audit_head = Some(head.hash.to_string());
        }
        let id = next.id.to_string();
        // One round trip to the database for everything: the thread behind the connection is woken once per proposal.
        let query = sqlx::query(if answer.is_some() { INSERT_ANSWERED } else { INSERT })
            .bind(&id)
            .bind(sql::big(next.version))
            .bind(next.agent.as_str())
            .bind(next.repository.as_str())
            .bind(&next.branch)
            .bind(origin(&next.origin))
            .bind(next.decision.as_str())
            .bind(next.delivery.as_str())
            .bind(next.outcome.map(domain::Outcome::as_str))
            .bind(sql::micros(next.created_at))
            .bind(next.decided_at.map(sql::micros))
            .bind(sql::micros(next.expires_at))
            .bind(next.ended_at.map(sql::micros))
            .bind(next.revision.digest.to_string())
            .bind(next.revision.base.to_string())
            .bind(next.commit.map(|commit| commit.to_string()))
            .bind(sql::encode("proposal", &next)?)
            .bind(&id)
            .bind(next.revision.number)
            .bind(sql::encode("revision", &next.revision)?)
            .bind(&id)
            .bind(next.revision.number)
            .bind(sql::encode("contents", contents)?)
            .bind(checks)
            .bind(next.repository.as_str())
            .bind(&next.branch)
            .bind(&id)
            .bind(if overlaps::is_ahead(&next) {
                overlaps::paths(contents)?
            } else {
                "[]".to_owned()
            });
        let mut query = linked.bind(query).bind(&id).bind(effects::rows(&transition.effects)?);
        let told = answer.map(|answer| (answer.agent, answer.key, (answer.render)(&next), answer.at));
        if let Some((agent, key, stored, at)) = &told {
            query = answers::bind(query, agent, key, stored, *at);
        }
        self.execute(query).await?;
        self.head = head;
        self.stored(&next, !transition.effects.is_empty());
        Ok(next)
    }

    /// Stores what an event did to a proposal: audit row, state, effects. When the transition seals, the audit row's hash becomes `audit_head`.
    /// Answers the proposal as stored.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the stored version is not the one that this job has read (or, unread, not `next.version - 1`).
    pub async fn apply(&mut self, transition: &Transition, mut audit: Audit) -> Result<Proposal, StoreError> {
        let mut next = transition.next.clone();
        audit.proposal = Some(next.id);
        let at = audit.at;
        let linked = self.link(audit)?;
        let head = linked.head;
        if transition.seals {
            next.audit_head = Some(head.hash.to_string());
        }
        let expected = self.versions.get(&next.id).copied().unwrap_or(next.version.saturating_sub(1));
        let id = next.id.to_string();
        // One round trip here, too. When the first statement finds another version the others are undone with the job.
        let leaves = !overlaps::is_ahead(&next);
        let query = sqlx::query(if leaves { APPLY_LEAVING } else { APPLY })
            .bind(sql::big(next.version))
            .bind(next.decision.as_str())
            .bind(next.delivery.as_str())
            .bind(next.outcome.map(domain::Outcome::as_str))
            .bind(next.decided_at.map(sql::micros))
            .bind(sql::micros(next.expires_at))
            .bind(next.ended_at.map(sql::micros))
            .bind(next.revision.digest.to_string())
            .bind(next.revision.base.to_string())
            .bind(next.commit.map(|commit| commit.to_string()))
            .bind(sql::encode("proposal", &next)?)
            .bind(&id)
            .bind(sql::big(expected));
        let mut query = linked
            .bind(query)
            .bind(&id)
            .bind(next.revision.number)
            .bind(sql::encode("revision", &next.revision)?)
            .bind(&id)
            .bind(effects::rows(&transition.effects)?);
        if leaves {
            query = query
                .bind(sql::encode("effect", &Effect::EditCards)?)
                .bind(sql::micros(at))
                .bind(&id)
                .bind(&id);
        }
        if self.returned(query).await?.is_empty() {
            let conflict = StoreError::Conflict { id: next.id, expected };
            // Whatever the job answers: what the other statements wrote must not stay.
            self.failed = Some(conflict.clone());
            return Err(conflict);
        }
        self.head = head;
        self.stored(&next, leaves || !transition.effects.is_empty());
        Ok(next)
    }

    fn stored(&mut self, next: &Proposal, owes: bool) {
        self.versions.insert(next.id, next.version);
        self.changed.push(Changed::Proposal {
            id: next.id,
            version: next.version,
        });
        self.rings |= owes;
    }

    /// Stores the contents of a further revision; before or after the `apply` that makes it current.
    /// `checks` is what the checks said of it.
    pub async fn insert_contents(
        &mut self,
        id: ProposalId,
        revision: u32,
        contents: &ChangeSet,
        checks: Option<&str>,
    ) -> Result<(), StoreError> {
        let id = id.to_string();
        let query = sqlx::query(
            "insert into contents (proposal, number, body, checks) values (?, ?, ?, ?);
             delete from open_paths where proposal = ?;
             insert into open_paths (repository, branch, path, proposal)
             select proposals.repository, proposals.branch, touched.value, proposals.id from proposals, json_each(?) as touched
             where proposals.id = ? and proposals.outcome is null",
        );
        self.execute(
            query
                .bind(&id)
                .bind(revision)
                .bind(sql::encode("contents", contents)?)
                .bind(checks)
                .bind(&id)
                .bind(overlaps::paths(contents)?)
                .bind(&id),
        )
        .await?;
        Ok(())
    }

    /// Keeps what the checks say of a revision that an older version stored; does nothing when it is known, or when retention was quicker.
    pub async fn put_checks(&mut self, id: ProposalId, revision: u32, checks: &str) -> Result<(), StoreError> {
        let query = sqlx::query("update contents set checks = ? where proposal = ? and number = ? and checks is null");
        self.execute(query.bind(checks).bind(id.to_string()).bind(revision)).await?;
        Ok(())
    }
}

const fn origin(origin: &Origin) -> &'static str {
    match origin {
        Origin::Change => "change",
        Origin::Runbook(_) => "runbook",
        Origin::Observed(_) => "observed",
        Origin::Revert { .. } => "revert",
    }
}

pub(crate) const BY_ID: &str = "select document from proposals where id = ?";

pub(crate) async fn proposal(connection: &mut SqliteConnection, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
    let document: Option<String> = sqlx::query_scalar(BY_ID)
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    document.map(|json| sql::decode("proposal", &id.to_string(), &json)).transpose()
}

pub(crate) const CONTENTS: &str = "select body from contents where proposal = ? and number = ?";

pub(crate) async fn contents(connection: &mut SqliteConnection, id: ProposalId, revision: u32) -> Result<Option<ChangeSet>, StoreError> {
    let body: Option<String> = sqlx::query_scalar(CONTENTS)
        .bind(id.to_string())
        .bind(revision)
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    body.map(|json| sql::decode("contents of", &id.to_string(), &json)).transpose()
}

pub(crate) const CHECKS: &str = "select checks from contents where proposal = ? and number = ?";

pub(crate) async fn checks(connection: &mut SqliteConnection, id: ProposalId, revision: u32) -> Result<Option<String>, StoreError> {
    let found: Option<Option<String>> = sqlx::query_scalar(CHECKS)
        .bind(id.to_string())
        .bind(revision)
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    Ok(found.flatten())
}

pub(crate) const REVISIONS: &str = "select document from revisions where proposal = ? order by number";

pub(crate) async fn revisions(connection: &mut SqliteConnection, id: ProposalId) -> Result<Vec<Revision>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(REVISIONS)
        .bind(id.to_string())
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    rows.iter().map(|json| sql::decode("revision of", &id.to_string(), json)).collect()
}

macro_rules! list {
    ($index:literal, $narrow:literal) => {
        concat!(
            "select document, created_at, id from proposals indexed by ",
            $index,
            " where ",
            $narrow,
            "(?2 is null or repository = ?2) and (?3 is null or decision = ?3) and (?4 is null or delivery = ?4)
             and (?5 is null or outcome = ?5) and created_at >= ?6 and (created_at, id) < (?7, ?8)
             order by created_at desc, id desc limit ?9"
        )
    };
}

pub(crate) const LIST: &str = list!("proposals_newest", "(?1 is null) and ");
pub(crate) const LIST_OPEN: &str = list!("proposals_open_newest", "(?1 is null) and outcome is null and ");
pub(crate) const LIST_AGENT: &str = list!("proposals_by_agent", "agent = ?1 and ");
pub(crate) const LIST_AGENT_OPEN: &str = list!("proposals_open_by_agent", "agent = ?1 and outcome is null and ");

pub(crate) async fn list(
    connection: &mut SqliteConnection,
    filter: &ListFilter,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<(Vec<Proposal>, Option<Cursor>), StoreError> {
    let statement = match (filter.agent.is_some(), filter.open_only) {
        (false, false) => LIST,
        (false, true) => LIST_OPEN,
        (true, false) => LIST_AGENT,
        (true, true) => LIST_AGENT_OPEN,
    };
    let limit = limit.clamp(1, PAGE_MAX);
    let rows: Vec<(String, i64, String)> = sqlx::query_as(statement)
        .bind(filter.agent.as_ref().map(AgentName::as_str))
        .bind(filter.repository.as_ref().map(RepositoryName::as_str))
        .bind(filter.decision.map(Decision::as_str))
        .bind(filter.delivery.map(Delivery::as_str))
        .bind(filter.outcome.map(domain::Outcome::as_str))
        .bind(filter.since.map_or(i64::MIN, sql::micros))
        .bind(cursor.map_or(i64::MAX, |cursor| cursor.created_at))
        .bind(cursor.map_or_else(String::new, |cursor| cursor.id.to_string()))
        // One more than asked for tells whether there is a next page.
        .bind(limit + 1)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = match rows.get(wanted.saturating_sub(1)) {
        Some((_, created_at, id)) if rows.len() > wanted => Some(Cursor {
            created_at: *created_at,
            id: sql::id(id)?,
        }),
        _ => None,
    };
    let page = rows.iter().take(wanted).map(|(json, _, id)| sql::decode("proposal", id, json));
    Ok((page.collect::<Result<_, _>>()?, next))
}

pub(crate) const PENDING_BY_DIGEST: &str = "select id from proposals indexed by proposals_open_by_agent
 where outcome is null and agent = ? and digest = ? and base = ?
 and decision = 'pending' order by created_at limit 1";

pub(crate) async fn pending_by_digest(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    digest: Sha256Hash,
    base: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    let found: Option<String> = sqlx::query_scalar(PENDING_BY_DIGEST)
        .bind(agent.as_str())
        .bind(digest.to_string())
        .bind(base.to_string())
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    found.as_deref().map(sql::id).transpose()
}

pub(crate) const OBSERVED: &str = "select id from proposals where repository = ? and commit_id = ? and origin = 'observed'";

pub(crate) async fn observed(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    commit: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    of_commit(connection, OBSERVED, repository, commit).await
}

pub(crate) const BY_COMMIT: &str = "select id from proposals where repository = ? and commit_id = ? order by created_at limit 1";

pub(crate) async fn by_commit(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    commit: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    of_commit(connection, BY_COMMIT, repository, commit).await
}

async fn of_commit(
    connection: &mut SqliteConnection,
    statement: &'static str,
    repository: &RepositoryName,
    commit: CommitId,
) -> Result<Option<ProposalId>, StoreError> {
    let found: Option<String> = sqlx::query_scalar(statement)
        .bind(repository.as_str())
        .bind(commit.to_string())
        .fetch_optional(connection)
        .await
        .map_err(sql::failed)?;
    found.as_deref().map(sql::id).transpose()
}

pub(crate) const BY_SHORT: &str = "select id from proposals where substr(id, -6) = ? order by created_at desc limit 20";
pub(crate) const PENDING_BY_SHORT: &str =
    "select id from proposals where substr(id, -6) = ? and outcome is null order by created_at desc limit 20";

pub(crate) async fn pending_prefix(connection: &mut SqliteConnection, text: &str) -> Result<Vec<ProposalId>, StoreError> {
    spoken(connection, PENDING_BY_SHORT, text).await
}

pub(crate) async fn by_short(connection: &mut SqliteConnection, text: &str) -> Result<Vec<ProposalId>, StoreError> {
    spoken(connection, BY_SHORT, text).await
}

/// What people say is the end of an id in either case; what they paste is a whole one.
async fn spoken(connection: &mut SqliteConnection, statement: &'static str, text: &str) -> Result<Vec<ProposalId>, StoreError> {
    let text = text.trim().to_lowercase();
    let whole = text.parse::<ProposalId>().ok();
    let Some((start, _)) = text.char_indices().rev().nth(5) else {
        return Ok(Vec::new());
    };
    if whole.is_none() && start > 0 {
        return Ok(Vec::new());
    }
    let found: Vec<String> = sqlx::query_scalar(statement)
        .bind(&text[start..])
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    let ids = found.iter().map(|id| sql::id(id)).collect::<Result<Vec<_>, _>>()?;
    Ok(ids.into_iter().filter(|id| whole.is_none_or(|whole| whole == *id)).collect())
}

pub(crate) const DELIVERABLE: &str = "select id from proposals where outcome is null and delivery in ('queued', 'committing')
 and repository = ? and branch = ? order by decided_at, id";

pub(crate) async fn deliverable(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    branch: &str,
) -> Result<Vec<ProposalId>, StoreError> {
    let found: Vec<String> = sqlx::query_scalar(DELIVERABLE)
        .bind(repository.as_str())
        .bind(branch)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    found.iter().map(|id| sql::id(id)).collect()
}

pub(crate) const IN_DELIVERY: &str = "select id, document from proposals where outcome is null
 and delivery in (select value from json_each(?)) order by created_at, id";

pub(crate) async fn in_delivery(connection: &mut SqliteConnection, states: &[Delivery]) -> Result<Vec<Proposal>, StoreError> {
    let found: Vec<(String, String)> = sqlx::query_as(IN_DELIVERY)
        .bind(sql::encode("delivery states", &states)?)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    found.iter().map(|(id, json)| sql::decode("proposal", id, json)).collect()
}

pub(crate) const COUNT_BLOCKED: &str =
    "select count(*) from proposals indexed by proposals_open_by_delivery where outcome is null and delivery = 'push_blocked'";

pub(crate) async fn count_blocked(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let found = sqlx::query_scalar(COUNT_BLOCKED).fetch_one(connection).await;
    found.map(sql::count).map_err(sql::failed)
}

pub(crate) const COUNT_OPEN: &str = "select count(*) from proposals indexed by proposals_open_by_agent where outcome is null and agent = ?";

pub(crate) async fn count_open(connection: &mut SqliteConnection, agent: &AgentName) -> Result<u64, StoreError> {
    let found = sqlx::query_scalar(COUNT_OPEN).bind(agent.as_str()).fetch_one(connection).await;
    found.map(sql::count).map_err(sql::failed)
}

pub(crate) const COUNT_CREATED_SINCE: &str = concat!(
    "select (select count(*) from proposals where agent = ?1 and created_at >= ?2) + ",
    refused_since!()
);

pub(crate) async fn count_created_since(connection: &mut SqliteConnection, agent: &AgentName, since: Timestamp) -> Result<u64, StoreError> {
    let found = sqlx::query_scalar(COUNT_CREATED_SINCE)
        .bind(agent.as_str())
        .bind(sql::micros(since))
        .fetch_one(connection)
        .await;
    found.map(sql::count).map_err(sql::failed)
}

pub(crate) const STANDING: &str = concat!(
    "select (select count(*) from proposals indexed by proposals_open_by_agent where outcome is null and agent = ?1),
       (select count(*) from proposals where agent = ?1 and created_at >= ?2) + ",
    refused_since!(),
    ", (select id from proposals indexed by proposals_open_by_agent
        where outcome is null and agent = ?1 and digest = ?3 and base = ?4 and decision = 'pending' order by created_at limit 1)"
);

pub(crate) async fn standing(
    connection: &mut SqliteConnection,
    agent: &AgentName,
    since: Timestamp,
    digest: Sha256Hash,
    base: CommitId,
) -> Result<Standing, StoreError> {
    let (open, created, pending): (i64, i64, Option<String>) = sqlx::query_as(STANDING)
        .bind(agent.as_str())
        .bind(sql::micros(since))
        .bind(digest.to_string())
        .bind(base.to_string())
        .fetch_one(connection)
        .await
        .map_err(sql::failed)?;
    Ok(Standing {
        open: sql::count(open),
        created: sql::count(created),
        pending: pending.as_deref().map(sql::id).transpose()?,
    })
}
