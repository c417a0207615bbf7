//! Hot questions never walk through history: SQLite itself says how it would answer each, on full tables and without `ANALYZE`.

use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::{
    agents, answers, asked, audit, cards, decisions, effects, generators, ledger, open, overlaps, policies, posts, proposals, stops,
    unexplained,
};

macro_rules! hot {
    ($($module:ident :: $name:ident),* $(,)?) => { &[$((stringify!($name), $module::$name)),*] };
}

/// What is asked for every call, tap or effect.
const HOT: &[(&str, &str)] = hot![
    proposals::BY_ID,
    proposals::CONTENTS,
    proposals::CHECKS,
    proposals::REVISIONS,
    proposals::LIST,
    proposals::LIST_OPEN,
    proposals::LIST_AGENT,
    proposals::LIST_AGENT_OPEN,
    proposals::PENDING_BY_DIGEST,
    proposals::OBSERVED,
    proposals::BY_COMMIT,
    proposals::BY_SHORT,
    proposals::PENDING_BY_SHORT,
    proposals::DELIVERABLE,
    proposals::IN_DELIVERY,
    proposals::COUNT_OPEN,
    proposals::COUNT_BLOCKED,
    proposals::COUNT_CREATED_SINCE,
    proposals::STANDING,
    overlaps::OVERLAPS,
    asked::ASKED_BY_AGENT,
    asked::ASKED_IN_CHAT,
    asked::COUNT_ASKED,
    unexplained::UNEXPLAINED,
    unexplained::UNSETTLED,
    decisions::DECIDED,
    cards::COUNT_SINCE,
    cards::BY_PROPOSAL,
    cards::BY_NONCE,
    cards::BY_MESSAGE,
    cards::OPEN,
    effects::CLAIM,
    effects::CLAIM_OWN,
    effects::NEXT_DUE,
    effects::LIKE_WAITS,
    effects::MERGE,
    effects::PUT_OFF,
    effects::WAITING,
    answers::IDEMPOTENT,
    agents::BY_TOKEN,
    audit::OF_PROPOSAL,
    ledger::TRIAL,
    ledger::TRIALS,
    ledger::OPEN_TRIALS,
    ledger::STANDARD_RUNS,
    ledger::KEYS,
    ledger::HOLDS,
    ledger::DEMOTIONS,
    ledger::GRANTS,
    ledger::DIGEST,
    ledger::OFFER,
    ledger::OFFER_STANDS,
    ledger::IN_WINDOW,
    ledger::RUNS_SINCE,
    ledger::DECLINED,
    ledger::SHADOW,
    policies::DECIDED,
    generators::GENERATOR,
    posts::POST_BY_NONCE,
    posts::POSTS_OF,
    posts::DIGESTS_WITH,
    posts::POSTED_RUNS,
    stops::STOP,
    stops::LOCK,
    stops::STOPS,
    stops::LOCKS,
    stops::OVERRIDES,
    stops::OPEN_OVERRIDES,
    stops::ORDERS,
];

/// Tables that grow with history or load, and the aliases that statements use for them.
const BIG: [&str; 32] = [
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
    "trials",
    "grants",
    "demotions",
    "holds",
    "shadows",
    "standard_runs",
    "digests",
    "stops",
    "overrides",
    "locks",
    "open_paths",
    "asked",
    "unexplained",
    "decisions",
    "posts",
    "posted_runs",
];
/// Indexes that hold only what is under way: walking these costs no history.
const UNDER_WAY: [&str; 6] = [
    "proposals_open_newest",
    "proposals_open_by_delivery",
    "outbox_running",
    "trials_open",
    "stops_standing",
    "locks_standing",
];
/// Read in their order up to a limit, so only as far as a page reaches.
const PAGES: [&str; 2] = ["proposals_newest", "outbox_next"];

/// Thousands of ended proposals with audit rows and cards, a few open ones, and effects in every state.
const FILL: &str = "
with recursive n (n) as (select 1 union all select n + 1 from n where n < 3000)
insert into proposals select printf('prp_%032x', n), 1, 'agent-' || (n % 5), 'homelab', 'main', 'change', 'pending', iif(n > 2990, 'queued', 'ended'),
    iif(n > 2990, null, 'synced'), n, n, n, iif(n > 2990, null, n), printf('%064x', n), printf('%040x', n), printf('%040x', n), '{}' from n;
insert into audit select rowid, id, rowid, 'service', '', '', 'propose', '', '{}', '' from proposals;
insert into contents select id, 1, '{}', null from proposals;
insert into revisions select id, 1, '{}' from proposals;
insert into open_paths select repository, branch, 'apps/' || (rowid % 50), id from proposals;
insert into unexplained (repository, commit_id, brought_by, author, subject, paths, named, committed_at, found_at, settled)
    select repository, id, id, '', '', '[]', '[]', 1, created_at, outcome is not null from proposals;
insert into decisions select id, rowid % 5, rowid, 1, 1 from proposals;
insert into asked select agent, -100, rowid from proposals;
insert into cards (proposal, revision, digest, chat, message, nonce, attempt, kind, state, shown_version, sent_at)
    select id, 1, digest, -100, rowid, id, 1, 'note', 'shown', 1, rowid from proposals;
insert into outbox (proposal, key, effect, due) select id, 'expire', '{}', created_at from proposals;
insert into outbox (proposal, key, effect, due, leased_until) select id, 'deliver', '{}', 1, 2 from proposals where outcome is null;
insert into outbox (proposal, key, effect, due, parked) select id, 'remind', '{}', 1, 1 from proposals;
insert into answers select agent, id, '', 201, '', null, null, created_at from proposals;
insert into trials (proposal, runbook, hash, repository, class, target, tier, parameters, started_at, closes_at, result)
    select id, 'scale', digest, repository, 'production', '[]', 'prompted', '{}', created_at, created_at, iif(outcome is null, 'open', 'succeeded') from proposals;
insert into standard_runs select id, 'scale', repository, '[]', created_at from proposals;
insert into digests select -100, 0, id, created_at from proposals;
insert into posts (told, chat, nonce, sent_at) select iif(rowid % 2, null, '{\"stop\":' || rowid || '}'), -100, id, rowid from proposals;
insert into posted_runs select id, 0, nonce from posts where told is null;
insert into shadows select id, digest, repository, 'production', 1 from proposals;
insert into grants (runbook, hash, repository, class, offered_at, granted_at, expires_at)
    select 'scale', digest, repository, 'production', created_at, created_at, created_at from proposals;
insert into demotions (runbook, hash, repository, class, at, tier, cause)
    select 'scale', digest, repository, 'production', created_at, 'manual', 'human' from proposals;
insert into holds (runbook, repository, path, since, lifted_at) select 'scale', repository, id, created_at, iif(outcome is null, null, 1) from proposals;
insert into stops (scope, by_id, by_name, at, reason, ended_at) select '{}', 1, '', created_at, '', iif(outcome is null, null, 1) from proposals;
insert into overrides select id, 'weekend', 1, '', created_at from proposals;
insert into locks (person, name, at, restored_at) select rowid, '', created_at, iif(outcome is null, null, 1) from proposals;";

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
    let mut table = String::new();
    for (name, statement) in HOT {
        let plan = plan(&mut connection, statement).await;
        assert_eq!(walk(&plan), None, "{name}\n{plan:#?}");
        for step in plan.iter().filter(|step| step.contains(" USING ") && !step.contains("TEMP B-TREE")) {
            table += &format!("{name}: {step}\n");
        }
    }
    // A search may read much as well, when its index holds history and too few of its columns are given: every plan is looked at by people.
    insta::assert_snapshot!(table, @"
    BY_ID: SEARCH proposals USING INDEX sqlite_autoindex_proposals_1 (id=?)
    CONTENTS: SEARCH contents USING INDEX sqlite_autoindex_contents_1 (proposal=? AND number=?)
    CHECKS: SEARCH contents USING INDEX sqlite_autoindex_contents_1 (proposal=? AND number=?)
    REVISIONS: SEARCH revisions USING PRIMARY KEY (proposal=?)
    LIST: SEARCH proposals USING INDEX proposals_newest (created_at>? AND (created_at,id)<(?,?))
    LIST_OPEN: SEARCH proposals USING INDEX proposals_open_newest (created_at>? AND (created_at,id)<(?,?))
    LIST_AGENT: SEARCH proposals USING INDEX proposals_by_agent (agent=? AND created_at>? AND (created_at,id)<(?,?))
    LIST_AGENT_OPEN: SEARCH proposals USING INDEX proposals_open_by_agent (agent=?)
    PENDING_BY_DIGEST: SEARCH proposals USING INDEX proposals_open_by_agent (agent=? AND digest=? AND base=?)
    OBSERVED: SEARCH proposals USING INDEX proposals_observed (repository=? AND commit_id=?)
    BY_COMMIT: SEARCH proposals USING INDEX proposals_by_commit (repository=? AND commit_id=?)
    BY_SHORT: SEARCH proposals USING INDEX proposals_by_short (<expr>=?)
    PENDING_BY_SHORT: SEARCH proposals USING INDEX proposals_by_short (<expr>=?)
    DELIVERABLE: SEARCH proposals USING INDEX proposals_open_by_delivery (delivery=? AND repository=? AND branch=?)
    IN_DELIVERY: SEARCH proposals USING INDEX proposals_open_by_delivery (delivery=?)
    COUNT_OPEN: SEARCH proposals USING INDEX proposals_open_by_agent (agent=?)
    COUNT_BLOCKED: SEARCH proposals USING INDEX proposals_open_by_delivery (delivery=?)
    COUNT_CREATED_SINCE: SEARCH proposals USING COVERING INDEX proposals_by_agent (agent=? AND created_at>?)
    COUNT_CREATED_SINCE: SEARCH meta USING PRIMARY KEY (key=?)
    STANDING: SEARCH proposals USING INDEX proposals_open_by_agent (agent=?)
    STANDING: SEARCH proposals USING COVERING INDEX proposals_by_agent (agent=? AND created_at>?)
    STANDING: SEARCH meta USING PRIMARY KEY (key=?)
    STANDING: SEARCH proposals USING INDEX proposals_open_by_agent (agent=? AND digest=? AND base=?)
    OVERLAPS: SEARCH mine USING COVERING INDEX open_paths_by_proposal (proposal=?)
    OVERLAPS: SEARCH other USING PRIMARY KEY (repository=? AND branch=? AND path=?)
    OVERLAPS: SEARCH proposals USING INDEX sqlite_autoindex_proposals_1 (id=?)
    ASKED_BY_AGENT: SEARCH asked USING COVERING INDEX asked_by_agent (agent=? AND at>?)
    ASKED_IN_CHAT: SEARCH asked USING COVERING INDEX asked_by_chat (chat=? AND at>?)
    COUNT_ASKED: SEARCH asked USING COVERING INDEX asked_by_agent (agent=? AND at>?)
    COUNT_ASKED: SEARCH asked USING COVERING INDEX asked_by_chat (chat=? AND at>?)
    UNEXPLAINED: SEARCH unexplained USING INDEX unexplained_newest (repository=? AND id<?)
    UNSETTLED: SEARCH unexplained USING INDEX unexplained_unsettled (repository=? AND found_at<?)
    DECIDED: SEARCH decisions USING INDEX decisions_by_person (person=? AND at>?)
    COUNT_SINCE: SEARCH cards USING COVERING INDEX cards_by_chat (chat=? AND sent_at>?)
    BY_PROPOSAL: SEARCH cards USING INDEX cards_by_proposal (proposal=?)
    BY_NONCE: SEARCH cards USING INDEX sqlite_autoindex_cards_1 (nonce=?)
    BY_MESSAGE: SEARCH cards USING INDEX cards_by_message (chat=? AND message=?)
    OPEN: SCAN proposals USING INDEX proposals_open_newest
    OPEN: SEARCH cards USING INDEX cards_by_proposal (proposal=?)
    CLAIM: SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)
    CLAIM: SEARCH waiting USING INDEX outbox_due (key=? AND due<?)
    CLAIM: SEARCH running USING INDEX outbox_running (<expr>=? AND key=? AND leased_until>?)
    CLAIM: SEARCH earlier USING INDEX outbox_waiting (<expr>=? AND key=?)
    CLAIM: SCAN ended USING INDEX outbox_running
    CLAIM_OWN: SEARCH outbox USING INDEX outbox_waiting (<expr>=? AND key=? AND effect=?)
    CLAIM_OWN: SEARCH running USING INDEX outbox_running (<expr>=? AND key=? AND leased_until>?)
    NEXT_DUE: SCAN waiting USING INDEX outbox_next
    NEXT_DUE: SEARCH running USING INDEX outbox_running (<expr>=? AND key=? AND leased_until>?)
    NEXT_DUE: SEARCH outbox USING COVERING INDEX outbox_running
    LIKE_WAITS: SEARCH mine USING INTEGER PRIMARY KEY (rowid=?)
    LIKE_WAITS: SEARCH other USING INDEX outbox_waiting (<expr>=? AND key=?)
    MERGE: SEARCH outbox USING INDEX outbox_waiting (<expr>=? AND key=? AND effect=?)
    MERGE: SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)
    PUT_OFF: SEARCH outbox USING INDEX outbox_waiting (<expr>=? AND key=? AND effect=?)
    PUT_OFF: SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)
    WAITING: SEARCH outbox USING INDEX outbox_waiting (<expr>=?)
    WAITING: SEARCH outbox USING INDEX outbox_running (<expr>=?)
    WAITING: SEARCH outbox USING INDEX outbox_parked (<expr>=?)
    IDEMPOTENT: SEARCH answers USING INDEX sqlite_autoindex_answers_1 (agent=? AND key=?)
    BY_TOKEN: SEARCH agents USING INDEX agents_by_token (token_prefix=?)
    OF_PROPOSAL: SEARCH audit USING INDEX audit_by_proposal (proposal=?)
    TRIAL: SEARCH trials USING INDEX sqlite_autoindex_trials_1 (proposal=?)
    TRIALS: SEARCH trials USING INDEX trials_by_record (hash=? AND repository=? AND class=? AND started_at>?)
    TRIALS: SEARCH trials USING INDEX trials_wrong (hash=? AND repository=? AND class=? AND started_at>?)
    OPEN_TRIALS: SCAN trials USING INDEX trials_open
    STANDARD_RUNS: SEARCH standard_runs USING INDEX standard_runs_by_runbook (runbook=? AND repository=? AND at>?)
    STANDARD_RUNS: SEARCH proposals USING INDEX sqlite_autoindex_proposals_1 (id=?)
    KEYS: SEARCH trials USING INDEX trials_by_runbook (runbook=? AND repository=? AND started_at>?)
    HOLDS: SEARCH holds USING INDEX holds_standing (runbook=? AND repository=?)
    DEMOTIONS: SEARCH demotions USING INDEX demotions_by_record (hash=? AND repository=? AND class=?)
    GRANTS: SEARCH grants USING INDEX grants_by_record (hash=? AND repository=? AND class=?)
    DIGEST: SEARCH digests USING COVERING INDEX sqlite_autoindex_digests_1 (chat=? AND thread=?)
    OFFER: SEARCH grants USING INDEX grants_open (hash=? AND repository=? AND class=?)
    OFFER_STANDS: SEARCH grants USING INTEGER PRIMARY KEY (rowid=?)
    IN_WINDOW: SEARCH trials USING INDEX trials_in_window (repository=? AND closes_at>?)
    IN_WINDOW: SEARCH proposals USING INDEX sqlite_autoindex_proposals_1 (id=?)
    RUNS_SINCE: SEARCH proposals USING INDEX proposals_decided (repository=? AND decided_at>?)
    DECLINED: SEARCH grants USING INDEX grants_by_record (hash=? AND repository=? AND class=?)
    SHADOW: SEARCH shadows USING INDEX shadows_by_record (hash=? AND repository=? AND class=?)
    SHADOW: SEARCH proposals USING INDEX sqlite_autoindex_proposals_1 (id=?)
    DECIDED: SEARCH proposals USING INDEX proposals_decided (repository=? AND decided_at>?)
    GENERATOR: SEARCH generators USING INTEGER PRIMARY KEY (rowid=?)
    POST_BY_NONCE: SEARCH posts USING INDEX sqlite_autoindex_posts_1 (nonce=?)
    POSTS_OF: SEARCH posts USING INDEX posts_by_told (told=?)
    DIGESTS_WITH: SEARCH posted_runs USING COVERING INDEX posted_runs_by_proposal (proposal=?)
    DIGESTS_WITH: SEARCH posts USING INTEGER PRIMARY KEY (rowid=?)
    POSTED_RUNS: SEARCH posted_runs USING PRIMARY KEY (post=?)
    STOP: SEARCH stops USING INTEGER PRIMARY KEY (rowid=?)
    LOCK: SEARCH locks USING INTEGER PRIMARY KEY (rowid=?)
    STOPS: SCAN stops USING INDEX stops_standing
    LOCKS: SCAN locks USING INDEX locks_standing
    OVERRIDES: SEARCH overrides USING PRIMARY KEY (proposal=?)
    OPEN_OVERRIDES: SCAN proposals USING INDEX proposals_open_newest
    OPEN_OVERRIDES: SEARCH overrides USING PRIMARY KEY (proposal=?)
    ORDERS: SCAN stops USING INDEX stops_standing
    ORDERS: SCAN locks USING INDEX locks_standing
    ORDERS: SEARCH overrides USING PRIMARY KEY (proposal=?)
    ");
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
