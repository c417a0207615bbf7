//! The chain: whatever is changed, removed, swapped or cut off is named by its row.

use proptest::prelude::*;
use store::{Actor, AuditReport};

use crate::support::{Fixture, agent, audit, id, proposal, sql_on};

async fn five_rows() -> Fixture {
    let it = Fixture::new().await;
    for n in 1..=5 {
        it.insert(proposal(n)).await;
    }
    // An intruder with the file in hand is not stopped by triggers.
    it.sql("drop trigger audit_is_append_only_update; drop trigger audit_is_append_only_delete")
        .await;
    it
}

#[tokio::test]
async fn an_untouched_chain_is_intact_after_a_restart() {
    let it = Fixture::new().await;
    assert!(matches!(it.store.verify_audit().await, Ok(AuditReport::Intact { rows: 0, .. })));
    for n in 1..=3 {
        it.insert(proposal(n)).await;
    }
    let before = it.store.verify_audit().await.expect("verifies");
    assert!(matches!(before, AuditReport::Intact { rows: 3, .. }));
    let it = it.reopened().await;
    assert_eq!(it.store.verify_audit().await, Ok(before));
}

#[tokio::test]
async fn tampering_is_named_by_its_row() {
    for (what, sql, bad) in [
        (
            "a changed sentence",
            "update audit set summary = 'nothing happened' where seq = 2",
            2,
        ),
        ("a changed actor", "update audit set actor_name = 'mallory' where seq = 5", 5),
        ("a changed time", "update audit set at = at + 1 where seq = 1", 1),
        (
            "a moved field border",
            "update audit set event = event || 'x', summary = substr(summary, 2) where seq = 3",
            3,
        ),
        (
            "a changed hash",
            "update audit set hash = replace(hash, substr(hash, 1, 1), 'f') || '' where seq = 4 and hash not like 'f%'",
            4,
        ),
        ("a removed row", "delete from audit where seq = 3", 3),
        ("a removed first row", "delete from audit where seq = 1", 1),
        (
            "a closed gap",
            "delete from audit where seq = 3; update audit set seq = 3 where seq = 4; update audit set seq = 4 where seq = 5",
            3,
        ),
        (
            "two swapped rows",
            "update audit set seq = 99 where seq = 2; update audit set seq = 2 where seq = 4; update audit set seq = 4 where seq = 99",
            2,
        ),
        ("a cut tail", "delete from audit where seq > 3", 4),
        ("an emptied log", "delete from audit", 1),
        (
            "a forged row",
            "insert into audit select 6, proposal, at, actor, actor_id, actor_name, event, summary, details, hash from audit where seq = 5",
            6,
        ),
    ] {
        let it = five_rows().await;
        if what == "a changed hash" {
            // Whatever its first digit was, it is another one afterwards.
            sql_on(
                &it.path(),
                "update audit set hash = '00' || substr(hash, 3) where seq = 4 and hash like 'f%'",
            )
            .await;
        }
        it.sql(sql).await;
        let report = it.store.verify_audit().await.expect("verifies");
        assert!(
            matches!(report, AuditReport::Broken { row: Some(row), .. } if row == bad),
            "{what}: {report:?}"
        );
    }
}

#[tokio::test]
async fn a_cut_tail_is_seen_even_when_the_stored_end_was_forged() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.write(|tx| {
        Box::pin(async {
            let mut next = tx.proposal(id(1)).await?.expect("is there");
            next.version += 1;
            let mut transition = crate::support::opened(next);
            transition.seals = true;
            tx.apply(&transition, audit("approve")).await
        })
    })
    .await;
    it.sql(
        "drop trigger audit_is_append_only_delete; delete from audit where seq = 2;
         update audit_head set rows = 1, hash = (select hash from audit where seq = 1)",
    )
    .await;
    let report = it.store.verify_audit().await.expect("verifies");
    assert!(
        matches!(&report, AuditReport::Broken { row: None, why } if why.contains("a proposal was decided by")),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_approval_without_a_row_and_a_proposal_that_is_gone_are_seen() {
    for (what, sql, why) in [
        (
            "a forged approval",
            "update proposals set decision = 'approved', document = json_set(document, '$.decision', 'approved')",
            "no row of the log says by whom",
        ),
        (
            "one forged in its document alone",
            "update proposals set document = json_set(document, '$.decision', 'approved')",
            "no row of the log says by whom",
        ),
        (
            "a proposal taken out",
            "pragma foreign_keys = off; drop trigger if exists proposals_stay; delete from outbox; delete from contents;
             delete from revisions; delete from proposals",
            "which is not in the database",
        ),
    ] {
        let it = Fixture::new().await;
        it.insert(proposal(1)).await;
        it.sql(sql).await;
        let report = it.store.verify_audit().await.expect("verifies");
        assert!(
            matches!(&report, AuditReport::Broken { row: None, why: said } if said.contains(why)),
            "{what}: {report:?}"
        );
    }
}

#[tokio::test]
async fn the_schema_itself_refuses_to_change_the_log() {
    use sqlx::Executor as _;
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    let mut connection = crate::support::connect(&it.path()).await;
    for sql in ["update audit set summary = 'x'", "delete from audit", "delete from proposals"] {
        let error = connection.execute(sql).await.expect_err(sql).to_string();
        assert!(error.contains("append-only") || error.contains("never deleted"), "{error}");
    }
}

#[tokio::test]
async fn rows_come_back_as_they_were_said() {
    let it = Fixture::new().await;
    let actors = [
        Actor::Service,
        Actor::Agent(agent("ops-bot")),
        Actor::Person(domain::PersonRef {
            id: domain::UserId(1001),
            name: "alice".to_owned(),
        }),
        Actor::Stranger {
            id: -5,
            name: "\u{202e}mallory".to_owned(),
        },
    ];
    for actor in actors.clone() {
        it.write(move |tx| {
            Box::pin(async move {
                let entry = store::Audit { actor, ..audit("tap") };
                tx.audit(entry).await
            })
        })
        .await;
    }
    let rows = it.store.read().audit_after(0, 10).await.expect("reads");
    assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (row, actor) in rows.into_iter().zip(actors) {
        assert_eq!(row.entry, store::Audit { actor, ..audit("tap") });
    }
    assert_eq!(it.store.read().audit_after(3, 10).await.map(|rows| rows.len()), Ok(1));
}

/// The definition, computed here a second time from the documentation alone.
#[tokio::test]
async fn the_hash_is_what_the_documentation_says() {
    let it = Fixture::new().await;
    let hash = it.write(|tx| Box::pin(async { tx.audit(audit("note")).await })).await;
    let mut bytes = b"countersign-audit-v1\0".to_vec();
    bytes.extend([0; 32]);
    bytes.extend(1u64.to_be_bytes());
    bytes.extend(audit("note").at.timestamp_micros().to_be_bytes());
    let details = audit("note").details.to_string();
    for field in ["", "service", "", "", "note", "a sentence", &details] {
        bytes.extend(u32::try_from(field.len()).expect("small").to_be_bytes());
        bytes.extend(field.as_bytes());
    }
    assert_eq!(hash, domain::Sha256Hash::of(&bytes));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever mixture of kept, failing and panicking jobs in whatever batches: the chain verifies and counts the kept rows.
    #[test]
    fn the_chain_holds_under_any_mixture_of_jobs(jobs in proptest::collection::vec((0u8..4, "\\PC{0,12}", 0u8..3), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let it = Fixture::new().await;
            it.insert(proposal(1)).await;
            let expected = 1 + jobs.iter().map(|(kind, _, extra)| if *kind < 2 { 1 + u64::from(*extra) } else { 0 }).sum::<u64>();
            let tasks: Vec<_> = jobs.into_iter().map(|(kind, text, extra)| tokio::spawn(mixed(it.store.clone(), kind, text, extra))).collect();
            for task in tasks {
                task.await.expect("a task");
            }
            let report = it.store.verify_audit().await.expect("verifies");
            assert!(matches!(report, AuditReport::Intact { rows, .. } if rows == expected), "{report:?}, expected {expected} rows");
        });
    }
}

/// Kinds 0 and 1 are kept, 2 fails, 3 panics: after having written a transition and further rows.
async fn mixed(store: store::Store, kind: u8, text: String, extra: u8) {
    let answer: Result<(), store::StoreError> = store
        .write(move |tx: &mut store::Tx| {
            Box::pin(async move {
                let mut next = tx.proposal(id(1)).await?.expect("is there");
                next.version += 1;
                let mut entry = audit("change");
                entry.summary = text;
                tx.apply(&crate::support::opened(next), entry).await?;
                for _ in 0..extra {
                    tx.audit(audit("more")).await?;
                }
                match kind {
                    0 | 1 => Ok(()),
                    2 => Err(store::StoreError::Closed),
                    _ => panic!("a bug"),
                }
            })
        })
        .await;
    assert_eq!(answer.is_ok(), kind < 2);
}
