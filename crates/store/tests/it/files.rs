//! The file itself: promises of every connection, refusals at the start, lock, backup, retention.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use domain::{Outcome, Sha256Hash};
use store::{AuditReport, Pruned, Store, StoreError, StoreOptions, StoredAnswer};

use crate::support::{Fixture, agent, at, change_set, end, id, proposal, sql_on};

async fn refusal(path: &std::path::Path) -> StoreError {
    Store::open(path, StoreOptions::default()).await.expect_err("must be refused")
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.store.close().await;
    it.sql("insert into _sqlx_migrations values (9999, 'later', current_timestamp, 1, x'00', 1)")
        .await;
    let error = refusal(&it.path()).await;
    assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
    assert!(error.to_string().contains("start the newer program"), "{error}");
    it.sql("delete from _sqlx_migrations where version = 9999").await;
    let store = Store::open(&it.path(), StoreOptions::default()).await.expect("untouched");
    assert!(store.read().proposal(id(1)).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let it = Fixture::new().await;
    it.store.close().await;
    it.sql("update _sqlx_migrations set checksum = x'00'").await;
    let error = refusal(&it.path()).await.to_string();
    assert!(error.contains("schema cannot be brought up to date"), "{error}");
}

#[tokio::test]
async fn strange_files_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "this is not a database, however long it may be ".repeat(100)).expect("writes");
    assert!(matches!(refusal(&garbage).await, StoreError::Corrupt { .. }));
    let other = dir.path().join("other.db");
    sql_on(&other, "create table contacts (name text)").await;
    assert!(refusal(&other).await.to_string().contains("another program"));
    let nowhere = dir.path().join("missing/store.db");
    assert!(refusal(&nowhere).await.to_string().contains("its directory must exist"));
}

#[tokio::test]
async fn a_damaged_page_is_refused() {
    let it = Fixture::new().await;
    for n in 0..50 {
        it.insert(proposal(n)).await;
    }
    it.store.close().await;
    let mut file = std::fs::File::options().read(true).write(true).open(it.path()).expect("opens");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("reads");
    // The b-tree page that holds this proposal's document.
    let place = bytes.windows(9).position(|window| window == b"change 25").expect("the document");
    file.seek(SeekFrom::Start((place / 4096 * 4096) as u64)).expect("seeks");
    file.write_all(&[0xff; 64]).expect("damages");
    drop(file);
    let error = refusal(&it.path()).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("restore the latest backup"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.store.backup(&it.dir.path().join("copy.db")).await.expect("a backup");
    for name in ["store.db", "store.db-wal", "copy.db"] {
        let mode = std::fs::metadata(it.dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_serve_is_refused_and_told_who_holds_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.db");
    let held = Store::lock(&path).expect("free");
    let error = Store::lock(&path).expect_err("held").to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(held);
    Store::lock(&path).expect("free again");
}

#[tokio::test]
async fn a_backup_taken_while_writing_restores_to_a_working_store() {
    let it = Fixture::new().await;
    for n in 1..=20 {
        it.insert(proposal(n)).await;
    }
    let copy = it.dir.path().join("copy.db");
    let writing = {
        let store = it.store.clone();
        tokio::spawn(async move {
            for n in 21..=60 {
                store
                    .write(move |tx: &mut store::Tx| {
                        Box::pin(async move {
                            let transition = crate::support::opened(proposal(n));
                            tx.insert(&transition, &change_set("x"), crate::support::audit("propose")).await
                        })
                    })
                    .await
                    .expect("writes go on");
            }
        })
    };
    it.store.backup(&copy).await.expect("a backup");
    writing.await.expect("the writer");
    assert!(!it.dir.path().join("copy.db.partial").exists());

    let restored = Store::open(&copy, StoreOptions::default()).await.expect("opens");
    assert!(restored.read().proposal(id(20)).await.expect("reads").is_some());
    assert_eq!(restored.read().contents(id(20), 1).await, Ok(Some(change_set("a: 1\n"))));
    assert!(matches!(restored.verify_audit().await, Ok(AuditReport::Intact { rows: 20.., .. })));
    restored.check().await.expect("sound");
    restored.check_writable().await.expect("writable");

    let error = it.store.backup(&copy).await.expect_err("never over a file").to_string();
    assert!(error.contains("exists already"), "{error}");
    let nowhere = it.dir.path().join("missing/copy.db");
    assert!(matches!(it.store.backup(&nowhere).await, Err(StoreError::Backup { .. })));
}

#[tokio::test]
async fn retention_removes_contents_and_never_digests_audit_or_outcomes() {
    let it = Fixture::new().await;
    let day = 24 * 3600;
    for (n, ended) in [(1, Some(10)), (2, Some(5 * day)), (3, None)] {
        it.insert(proposal(n)).await;
        if let Some(ended) = ended {
            it.change(id(n), move |next| end(next, Outcome::Synced, at(ended))).await;
        }
    }
    it.write(move |tx| {
        Box::pin(async move {
            let answer = StoredAnswer {
                body_hash: Sha256Hash([1; 32]),
                status: 201,
                body: String::new(),
                etag: None,
                location: None,
            };
            tx.put_answer(&agent("ops-bot"), "old", &answer, at(8 * day)).await?;
            tx.put_answer(&agent("ops-bot"), "new", &answer, at(9 * day + 1)).await?;
            for n in 0..450 {
                tx.consume_update(n, at(8 * day)).await?;
            }
            tx.consume_update(1000, at(10 * day)).await
        })
    })
    .await;
    let before = it.store.verify_audit().await;
    let pruned = it.store.prune(at(day), at(10 * day)).await;
    assert_eq!(
        pruned,
        Ok(Pruned {
            contents: 1,
            answers: 1,
            updates: 450
        })
    );
    let reader = it.store.read();
    for (n, kept) in [(1, false), (2, true), (3, true)] {
        assert_eq!(reader.contents(id(n), 1).await.expect("reads").is_some(), kept, "{n}");
        assert_eq!(reader.revisions(id(n)).await.expect("reads").len(), 1);
    }
    let ended = reader.proposal(id(1)).await.expect("reads").expect("stays");
    assert_eq!(
        (ended.outcome, ended.revision.digest),
        (Some(Outcome::Synced), proposal(1).revision.digest)
    );
    assert_eq!(it.store.verify_audit().await, before);
    assert!(reader.idempotent(&agent("ops-bot"), "new").await.expect("reads").is_some());
    assert!(reader.idempotent(&agent("ops-bot"), "old").await.expect("reads").is_none());
    assert_eq!(it.store.prune(at(day), at(10 * day)).await, Ok(Pruned::default()));
}

#[tokio::test]
async fn an_empty_directory_becomes_a_store_that_is_ready() {
    let it = Fixture::new().await;
    it.store.check_writable().await.expect("writable");
    it.store.check_writable().await.expect("and again");
    assert_eq!(it.store.commits(), 2, "each probe is a durable commit");
    it.store.check().await.expect("sound");
}
