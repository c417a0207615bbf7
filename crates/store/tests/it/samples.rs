//! Every migration is replayed over the data that real stores held before it: `tests/data/NNNN_name.sql` belongs to `migrations/NNNN_name.sql`
//! and is loaded right after it, so that all later migrations, and this program, must read what earlier programs wrote.

use std::path::{Path, PathBuf};

use domain::ledger::{Environment, LedgerKey, Shadow, TrialResult};
use domain::{Origin, Outcome, Sha256Hash};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use store::{AuditReport, CardState, ListFilter, Store, StoreOptions};

use crate::support::{at, commit, connect, homelab, id};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A database that went through every migration, each followed by its sample data.
async fn replayed(path: &Path) {
    let migrator = Migrator::new(here("../../migrations")).await.expect("migrations");
    let mut connection = connect(path).await;
    sqlx::raw_sql("pragma journal_mode = wal; pragma foreign_keys = on")
        .execute(&mut connection)
        .await
        .expect("pragmas");
    for migration in migrator.iter() {
        migrator.run_to(migration.version, &mut connection).await.expect("migrates");
        let name = format!(
            "tests/data/{:04}_{}.sql",
            migration.version,
            migration.description.replace(' ', "_")
        );
        let data =
            std::fs::read_to_string(here(&name)).unwrap_or_else(|error| panic!("every migration ships with sample data: {name}: {error}"));
        sqlx::raw_sql(sqlx::AssertSqlSafe(data))
            .execute(&mut connection)
            .await
            .expect(&name);
    }
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn what_earlier_versions_stored_is_read_and_worked_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.db");
    replayed(&path).await;
    let store = Store::open(&path, StoreOptions::default()).await.expect("opens");
    store.check().await.expect("sound");
    assert!(matches!(store.verify_audit().await, Ok(AuditReport::Intact { rows: 12.., .. })));
    let reader = store.read();

    let (all, _) = reader
        .list(&ListFilter::default(), None, 100)
        .await
        .expect("every document is read");
    let origins: Vec<_> = all
        .iter()
        .rev()
        .map(|proposal| (proposal.title.as_str(), &proposal.origin))
        .collect();
    assert!(
        matches!(
            origins.as_slice(),
            [
                ("change 1", Origin::Change),
                ("change 2", Origin::Runbook(_)),
                ("change 3", Origin::Observed(_)),
                ("change 4", Origin::Revert { .. }),
                ("change 5", Origin::Change),
                ("change 6", Origin::Change),
            ]
        ),
        "{origins:?}"
    );
    assert_eq!(all[5].reviews.len(), 1);
    assert_eq!(
        all[1].ended_by.as_ref().and_then(|ending| ending.reason.as_deref()),
        Some("too many")
    );
    assert_eq!((all[0].outcome, all[0].recovered_at), (Some(Outcome::Degraded), Some(at(99))));

    let contents = reader.contents(id(1), 2).await.expect("reads").expect("contents");
    assert_eq!(
        contents.digest(&homelab(), "main"),
        all[5].revision.digest,
        "byte for byte, binary content too"
    );
    let checks = reader.checks(id(1), 2).await.expect("reads").expect("checks");
    assert!(checks.contains("rego.warn"), "{checks}");
    assert_eq!(reader.checks(id(1), 1).await, Ok(None), "an older version stored it");
    assert_eq!(reader.revisions(id(1)).await.expect("reads").len(), 2);
    assert_eq!(reader.observed(&homelab(), commit(9)).await, Ok(Some(id(3))));

    let states: Vec<_> = reader.cards(id(1)).await.expect("reads").iter().map(|card| card.state).collect();
    assert_eq!(states, [CardState::Superseded, CardState::Sending]);
    assert!(reader.agent_by_token(Sha256Hash::of(b"sample")).await.expect("reads").is_some());
    assert_eq!(reader.meta("telegram_offset").await, Ok(Some("8".to_owned())));
    assert_eq!(reader.parked().await.expect("reads").len(), 1);

    let key = LedgerKey {
        runbook: "scale".parse().expect("a name"),
        hash: Sha256Hash([9; 32]),
        environment: Environment {
            repository: homelab(),
            class: "production".parse().expect("a name"),
        },
    };
    let record = reader.ledger_record(&key, at(0)).await.expect("every row of the ledger is read");
    let results: Vec<_> = record.trials.iter().map(|trial| trial.result).collect();
    assert_eq!(results, [TrialResult::Succeeded, TrialResult::Open, TrialResult::Reverted]);
    assert_eq!((record.demotions.len(), record.holds.len(), record.grants.len()), (2, 1, 2));
    let policy = reader.repository_policy(&homelab()).await.expect("reads").expect("a policy");
    assert_eq!(policy.valid, Some(("version = 1".to_owned(), commit(9))));
    let facts = reader.decided_facts(&homelab(), 2).await.expect("every stored proposal has facts");
    assert_eq!(facts.len(), 2);
    assert!(reader.open_offer(&key).await.expect("reads").is_some());
    let shadow = Shadow {
        runs: 1,
        alone: 1,
        agreed: 0,
    };
    assert_eq!(reader.shadow(&key).await, Ok(shadow));

    let ordered = reader.ordered().await.expect("every stop, lock and override is read");
    let stops: Vec<_> = ordered.stops.iter().map(|stop| (stop.id, stop.why(), stop.votes.len())).collect();
    assert_eq!(stops, [(2, "bob stopped path kubernetes/**".to_owned(), 1)]);
    let locks: Vec<_> = ordered
        .locks
        .iter()
        .map(|lock| (lock.id, lock.person.name.as_str(), lock.votes.len()))
        .collect();
    assert_eq!(locks, [(2, "alice", 1)]);
    assert_eq!(reader.overrides(id(1)).await.expect("reads")[0].freeze, "weekend");
    let posts = reader.posts_of(store::Told::Stop(1)).await.expect("reads");
    assert_eq!(posts.iter().map(|post| post.message).collect::<Vec<_>>(), [Some(77)]);
    let (stop, ended) = reader.order(domain::OrderId::Stop(1)).await.expect("reads").expect("known");
    assert_eq!((stop.votes().len(), ended.is_some()), (2, true));
    let digests = reader.digests_with(id(2)).await.expect("reads");
    assert_eq!(digests.len(), 1);
    assert_eq!((digests[0].thread, &digests[0].runs), (Some(5), &vec![id(2)]));
    let same = reader.post_by_nonce(&digests[0].nonce).await.expect("reads");
    assert_eq!(same.as_ref(), digests.first());
    let (orders, locked) = reader.orders(id(1)).await.expect("reads");
    assert_eq!((orders.stops.len(), orders.overridden.len(), locked.len()), (1, 1, 1));

    let generators = reader.generators().await.expect("every generator is read");
    let generators: Vec<_> = generators
        .iter()
        .map(|one| (one.person.name.as_str(), one.last_step, one.wrong))
        .collect();
    assert_eq!(generators, [("alice", 60_000_001, 1), ("bob", 0, 0)]);

    let keys = [
        "send_card",
        "edit_cards",
        "notify",
        "remind",
        "expire",
        "deliver",
        "prepare",
        "watch_landing",
        "observe",
        "close_reason",
        "alarm",
        "mark_reverted",
    ];
    let mut handed_out = Vec::new();
    let far = at(1_000_000);
    loop {
        let claimed = store
            .write(move |tx: &mut store::Tx| {
                Box::pin(async move {
                    let claimed = tx.claim(far, far + chrono::Duration::hours(1), 100, &keys).await?;
                    for effect in &claimed {
                        tx.finish(effect.effect_id).await?;
                    }
                    Ok::<_, store::StoreError>(claimed)
                })
            })
            .await
            .expect("claims");
        if claimed.is_empty() {
            break;
        }
        handed_out.extend(claimed.iter().map(|effect| effect.effect.key()));
    }
    handed_out.sort_unstable();
    handed_out.dedup();
    // The one that is parked is a notification.
    let mut expected: Vec<_> = keys.into_iter().filter(|key| *key != "notify").collect();
    expected.sort_unstable();
    assert_eq!(handed_out, expected, "every stored effect is understood");
    assert_eq!(reader.parked().await.expect("reads").len(), 1, "none was found unreadable");
}
