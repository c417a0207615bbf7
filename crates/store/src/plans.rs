//! Hot questions never walk through history: SQLite itself says how it would answer each, on full tables and without `ANALYZE`.

use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::{agents, answers, audit, cards, effects, open, proposals};

/// Tables that grow with history or load, and the aliases that statements use for them.
const BIG: [&str; 16] = [
    "proposals",
    "revisions",
    "contents",
    "audit",
    "outbox",
    "cards",
    "answers",
    "updates",
    "waiting",
    "running",
    "earlier",
    "ended",
    "mine",
    "other",
    "agents",
    "meta",
];
/// Indexes that hold only what is under way: walking these costs no history.
const UNDER_WAY: [&str; 3] = ["proposals_open_newest", "proposals_open_by_delivery", "outbox_running"];
/// Read in their order up to a limit, so only as far as a page reaches.
const PAGES: [&str; 2] = ["proposals_newest", "outbox_next"];

/// Thousands of ended proposals with audit rows and cards, a few open ones, and effects in every state.
const FILL: &str = "
with recursive n (n) as (select 1 union all select n + 1 from n where n < 3000)
insert into proposals select printf('prp_%032x', n), 1, 'agent-' || (n % 5), 'homelab', 'main', 'change', 'pending', iif(n > 2990, 'queued', 'ended'),
    iif(n > 2990, null, 'synced'), n, n, n, iif(n > 2990, null, n), printf('%064x', n), printf('%040x', n), printf('%040x', n), '{}' from n;
insert into audit select rowid, id, rowid, 'service', '', '', 'propose', '', '{}', '' from proposals;
insert into contents select id, 1, '{}' from proposals;
insert into revisions select id, 1, '{}' from proposals;
insert into cards (proposal, revision, digest, chat, message, nonce, attempt, kind, state, shown_version, sent_at)
    select id, 1, digest, -100, rowid, id, 1, 'note', 'shown', 1, rowid from proposals;
insert into outbox (proposal, key, effect, due) select id, 'expire', '{}', created_at from proposals;
insert into outbox (proposal, key, effect, due, leased_until) select id, 'deliver', '{}', 1, 2 from proposals where outcome is null;
insert into outbox (proposal, key, effect, due, parked) select id, 'remind', '{}', 1, 1 from proposals;
insert into answers select agent, id, '', 201, '', null, null, created_at from proposals;";

async fn filled() -> (tempfile::TempDir, SqliteConnection) {
    let dir = tempfile::tempdir().expect("a directory");
    let opened = open::open(&dir.path().join("store.db"), 1).await.expect("opens");
    let mut connection = opened.writer;
    sqlx::raw_sql(FILL).execute(&mut connection).await.expect("fills");
    (dir, connection)
}

async fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("explain query plan {statement}"));
    let rows = sqlx::query(explain).fetch_all(connection).await.expect(statement);
    rows.iter().map(|row| row.get("detail")).collect()
}

/// The step of a plan that would walk through a big table, if there is one.
fn walk(plan: &[String]) -> Option<&String> {
    plan.iter().find(|step| {
        let mut words = step.split(' ');
        let scans = words.next() == Some("SCAN") && words.next().is_some_and(|table| BIG.contains(&table));
        let index = step.rsplit(' ').next().unwrap_or_default();
        scans && !UNDER_WAY.contains(&index) && !PAGES.contains(&index)
    })
}

#[tokio::test]
async fn hot_questions_never_walk_through_history() {
    let (_dir, mut connection) = filled().await;
    let others = [answers::IDEMPOTENT, agents::BY_TOKEN, audit::OF_PROPOSAL];
    for statement in proposals::HOT.iter().chain(&cards::HOT).chain(&effects::HOT).chain(&others) {
        let plan = plan(&mut connection, statement).await;
        assert_eq!(walk(&plan), None, "{statement}\n{plan:#?}");
        assert!(!plan.is_empty(), "{statement}");
    }
    connection.close().await.expect("closes");
}

/// The test above must be able to fail.
#[tokio::test]
async fn a_walk_through_history_is_recognised() {
    let (_dir, mut connection) = filled().await;
    for statement in [
        "select id from proposals where version = 7",
        "select count(*) from cards",
        "select * from outbox waiting where error is not null",
    ] {
        let plan = plan(&mut connection, statement).await;
        assert!(walk(&plan).is_some(), "{statement}\n{plan:#?}");
    }
    connection.close().await.expect("closes");
}
