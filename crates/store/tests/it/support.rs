//! Values and stores for the tests, each in one line.

use std::collections::BTreeMap;

use domain::{
    AgentName, ChangeSet, CommitId, Decision, Delivery, Effect, Facts, FileChange, FileMode, NewFile, ObjectId, Origin, Outcome, Proposal,
    ProposalId, RepositoryName, Revision, RevisionAuthor, Route, RunbookCall, Scheduled, Sha256Hash, Tier, Timestamp, Transition,
};
use store::{Actor, Audit, BoxFuture, Store, StoreError, StoreOptions, Tx};
use tempfile::TempDir;

/// A store in a directory of its own, gone with the value.
pub struct Fixture {
    pub store: Store,
    pub dir: TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = open(&dir).await;
        Self { store, dir }
    }

    /// Closes and opens the same file.
    pub async fn reopened(self) -> Self {
        self.store.close().await;
        let store = open(&self.dir).await;
        Self { store, dir: self.dir }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("store.db")
    }

    /// One write that must succeed.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    ) -> T {
        self.store.write(work).await.expect("a write")
    }

    /// Stores a new proposal.
    pub async fn insert(&self, proposal: Proposal) -> Proposal {
        let contents = change_set("a: 1\n");
        self.write(move |tx| Box::pin(async move { tx.insert(&opened(proposal), &contents, audit("propose")).await }))
            .await
    }

    /// Changes a proposal as an event would.
    pub async fn change(&self, id: ProposalId, change: impl FnOnce(&mut Proposal) + Send + 'static) -> Proposal {
        self.write(move |tx| {
            Box::pin(async move {
                let mut next = tx.proposal(id).await?.expect("the proposal");
                next.version += 1;
                change(&mut next);
                tx.apply(&opened(next), audit("change")).await
            })
        })
        .await
    }

    /// Runs SQL beside the store, as an intruder or an operator would.
    pub async fn sql(&self, sql: &'static str) {
        sql_on(&self.path(), sql).await;
    }
}

async fn open(dir: &TempDir) -> Store {
    Store::open(&dir.path().join("store.db"), StoreOptions::default())
        .await
        .expect("opens")
}

pub async fn sql_on(path: &std::path::Path, sql: &'static str) {
    use sqlx::Connection as _;
    let mut connection = connect(path).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
    connection.close().await.expect("closes");
}

pub async fn connect(path: &std::path::Path) -> sqlx::SqliteConnection {
    use sqlx::ConnectOptions as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.foreign_keys(false).connect().await.expect("connects")
}

/// Seconds after a fixed moment.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

pub fn id(n: u64) -> ProposalId {
    ProposalId::new(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

pub fn agent(name: &str) -> AgentName {
    name.parse().expect("an agent name")
}

pub fn homelab() -> RepositoryName {
    "homelab".parse().expect("a repository name")
}

pub fn commit(n: u8) -> CommitId {
    ObjectId::from_bytes([n; 20])
}

pub fn change_set(text: &str) -> ChangeSet {
    let path = "kubernetes/applications/web/values.yaml".parse().expect("a path");
    let new = NewFile {
        mode: FileMode::Regular,
        bytes: text.as_bytes().to_vec(),
    };
    ChangeSet::new(BTreeMap::from([(path, FileChange { old: None, new: Some(new) })]))
}

/// A pending prompted proposal, number `n`, made `n` seconds after the fixed moment.
pub fn proposal(n: u64) -> Proposal {
    let created_at = at(i64::try_from(n).expect("small"));
    let digest = Sha256Hash::of(&n.to_be_bytes());
    Proposal {
        id: id(n),
        version: 1,
        repository: homelab(),
        branch: "main".to_owned(),
        agent: agent("ops-bot"),
        requested_by: None,
        correlation: None,
        origin: Origin::Change,
        title: format!("change {n}"),
        reason: "because".to_owned(),
        created_at,
        expires_at: created_at + chrono::Duration::hours(4),
        revision: Revision {
            number: 1,
            author: RevisionAuthor::Agent,
            base: commit(1),
            digest,
            facts: Facts::default(),
            route: Route {
                tier: Tier::Prompted,
                rule: None,
                why: "a rule".to_owned(),
                requirements: Vec::new(),
                ttl_seconds: 60,
                policy: Sha256Hash([7; 32]),
                second_factors: Default::default(),
                waiting: domain::Waiting::default(),
            },
            created_at,
            replay: Vec::new(),
        },
        reviews: Vec::new(),
        decision: Decision::Pending,
        decided_at: None,
        audit_head: None,
        ended_by: None,
        hold_until: None,
        delivery: Delivery::None,
        attempts: Vec::new(),
        commit: None,
        pushed_at: None,
        committed_by: None,
        landed: None,
        pull: None,
        applications: Vec::new(),
        outcome: None,
        ended_at: None,
        note: None,
        reverted_by: None,
        by_hand: None,
        recovered_at: None,
    }
}

/// A commit that an agent reported.
pub fn observed(n: u64, commit: CommitId) -> Proposal {
    let call = RunbookCall {
        runbook: "scale".parse().expect("a runbook name"),
        hash: Sha256Hash([9; 32]),
        parameters: serde_json::json!({ "replicas": 3 }),
    };
    Proposal {
        origin: Origin::Observed(call),
        commit: Some(commit),
        ..proposal(n)
    }
}

/// A transition without effects.
pub fn opened(next: Proposal) -> Transition {
    Transition {
        next,
        effects: Vec::new(),
        summary: "changed".to_owned(),
        seals: false,
    }
}

pub fn owing(next: Proposal, effects: &[(Effect, i64)]) -> Transition {
    let effects = effects.iter().map(|(effect, due)| Scheduled {
        effect: effect.clone(),
        due: at(*due),
    });
    Transition {
        effects: effects.collect(),
        ..opened(next)
    }
}

pub fn end(proposal: &mut Proposal, outcome: Outcome, ended_at: Timestamp) {
    proposal.delivery = Delivery::Ended;
    proposal.outcome = Some(outcome);
    proposal.ended_at = Some(ended_at);
}

pub fn audit(event: &str) -> Audit {
    Audit {
        proposal: None,
        actor: Actor::Service,
        event: event.to_owned(),
        summary: "a sentence".to_owned(),
        details: serde_json::json!({ "b": 1, "a": [null, "ä"] }),
        at: at(0),
    }
}

/// Polls until a condition holds; the deadline is far beyond what a loaded machine needs.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
