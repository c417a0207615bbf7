//! Group commit, isolation of jobs, what is told after commits.

use std::time::Duration;

use domain::{Decision, Effect, Outcome};
use store::{Changed, Duplicate, Store, StoreError, StoreOptions, Tx};

use crate::support::{Fixture, at, audit, change_set, commit, end, id, observed, opened, owing, proposal};

/// Holds the writer inside a job until the receiver is told to go on: what is sent meanwhile waits.
fn blocker(store: &Store) -> (tokio::task::JoinHandle<Result<(), StoreError>>, tokio::sync::oneshot::Sender<()>) {
    let (go, gate) = tokio::sync::oneshot::channel::<()>();
    let store = store.clone();
    let task = tokio::spawn(async move {
        store
            .write(move |_: &mut Tx| {
                Box::pin(async move {
                    gate.await.ok();
                    Ok(())
                })
            })
            .await
    });
    (task, go)
}

/// The order of arrival is the order of the polls below: each future is polled once, which sends its job.
async fn in_one_batch<T>(store: &Store, jobs: Vec<impl Future<Output = T>>) -> Vec<T> {
    let (blocked, go) = blocker(store);
    tokio::task::yield_now().await;
    let mut jobs: Vec<_> = jobs.into_iter().map(Box::pin).collect();
    for job in &mut jobs {
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(job.as_mut().poll(context).is_pending())).await,
            "answered before the commit"
        );
    }
    go.send(()).expect("the writer waits");
    // It shares their transaction, and the end of it.
    let _ = blocked.await.expect("the blocker");
    let mut answers = Vec::new();
    for job in jobs {
        answers.push(job.await);
    }
    answers
}

fn insert(store: &Store, n: u64) -> impl Future<Output = Result<(), StoreError>> {
    store.write(move |tx: &mut Tx| {
        Box::pin(async move {
            tx.insert(&opened(proposal(n)), &change_set("x"), audit("propose")).await?;
            Ok(())
        })
    })
}

#[tokio::test]
async fn what_waits_shares_one_commit() {
    let it = Fixture::new().await;
    let before = it.store.commits();
    let answers = in_one_batch(&it.store, (0..50).map(|n| insert(&it.store, n)).collect()).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(it.store.commits() - before, 1, "fifty proposals, one durable commit");
    let it = it.reopened().await;
    assert_eq!(it.store.read().count_open(&proposal(0).agent).await, Ok(50));
}

#[tokio::test]
async fn many_clients_need_few_commits() {
    let it = Fixture::new().await;
    let clients = (0..32u64).map(|client| {
        let store = it.store.clone();
        tokio::spawn(async move {
            for turn in 0..10 {
                insert(&store, client * 100 + turn).await.expect("stored");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("a client");
    }
    let commits = it.store.commits();
    assert!(commits <= 320 / 4, "{commits} commits for 320 proposals");
}

#[tokio::test]
async fn a_lone_write_is_committed_at_once_and_an_empty_one_not_at_all() {
    let it = Fixture::new().await;
    insert(&it.store, 1).await.expect("stored");
    assert_eq!(it.store.commits(), 1);
    it.write(|_| Box::pin(async { Ok(()) })).await;
    it.write(|tx| Box::pin(async { tx.claim(at(0), at(60), 9, &["deliver"]).await }))
        .await;
    assert_eq!(it.store.commits(), 1, "nothing to sync");
}

#[derive(Debug, PartialEq)]
enum Refused {
    ByRule,
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[tokio::test]
async fn a_failing_or_panicking_job_is_undone_alone() {
    let it = Fixture::new().await;
    let job = |n: u64| {
        it.store.write(move |tx: &mut Tx| {
            Box::pin(async move {
                tx.insert(&owing(proposal(n), &[(Effect::SendCard, 0)]), &change_set("x"), audit("propose"))
                    .await?;
                match n {
                    2 => Err(Refused::ByRule),
                    3 => panic!("a bug in job {n}"),
                    _ => Ok(n),
                }
            })
        })
    };
    let answers = in_one_batch(&it.store, (1..=5).map(job).collect()).await;
    let panicked = StoreError::Panicked {
        message: "a bug in job 3".to_owned(),
    };
    assert_eq!(answers, [Ok(1), Err(Refused::ByRule), Err(Refused::Store(panicked)), Ok(4), Ok(5)]);
    assert_eq!(it.store.commits(), 1, "still one transaction");
    for (n, stored) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(it.store.read().proposal(id(n)).await.expect("reads").is_some(), stored, "{n}");
        assert_eq!(
            it.store.read().effects_waiting(id(n)).await.expect("reads").len(),
            usize::from(stored)
        );
    }
    assert_eq!(
        it.store
            .verify_audit()
            .await
            .map(|report| format!("{report:?}").contains("rows: 3")),
        Ok(true)
    );
}

#[tokio::test]
async fn a_job_that_panics_before_its_future_harms_nobody() {
    let it = Fixture::new().await;
    let answer: Result<(), StoreError> = it.store.write(|_: &mut Tx| panic!("at once")).await;
    assert!(matches!(answer, Err(StoreError::Panicked { message }) if message == "at once"));
    insert(&it.store, 1).await.expect("the writer lives");
}

#[tokio::test]
async fn a_failed_transaction_is_told_to_everybody_and_the_next_one_works() {
    let it = Fixture::new().await;
    // A statement that fails while committing: the log's end cannot be moved.
    it.sql("create trigger stop before update on audit_head begin select raise(rollback, 'no'); end")
        .await;
    let answers = in_one_batch(&it.store, (1..=3).map(|n| insert(&it.store, n)).collect()).await;
    for answer in answers {
        let error = answer.expect_err("not stored").to_string();
        assert!(error.starts_with("nothing was stored: the transaction failed"), "{error}");
    }
    assert_eq!(it.store.commits(), 0);
    assert_eq!(it.store.read().count_open(&proposal(1).agent).await, Ok(0));
    it.sql("drop trigger stop").await;
    insert(&it.store, 1).await.expect("a new connection");
    assert_eq!(it.store.read().count_open(&proposal(1).agent).await, Ok(1));
}

#[tokio::test]
async fn an_ignored_error_of_the_database_does_not_write_outside_of_the_transaction() {
    let it = Fixture::new().await;
    it.sql("create trigger stop before insert on meta when new.key = 'bad' begin select raise(rollback, 'no'); end")
        .await;
    let answer: Result<(), StoreError> = it
        .store
        .write(|tx: &mut Tx| {
            Box::pin(async {
                tx.set_meta("first", "1").await?;
                // A job that swallows the error and goes on.
                let _ = tx.set_meta("bad", "1").await;
                let _ = tx.set_meta("second", "1").await;
                Ok(())
            })
        })
        .await;
    answer.expect_err("not stored");
    for key in ["first", "second"] {
        assert_eq!(it.store.read().meta(key).await, Ok(None), "{key}");
    }
}

#[tokio::test]
async fn a_conflict_is_told_and_stores_nothing() {
    let it = Fixture::new().await;
    let stale = it.insert(proposal(1)).await;
    it.change(id(1), |next| next.title = "first".to_owned()).await;
    let mut late = stale;
    late.version += 1;
    let answer = it
        .store
        .write(move |tx: &mut Tx| Box::pin(async move { tx.apply(&opened(late), audit("late")).await }))
        .await;
    assert_eq!(answer, Err(StoreError::Conflict { id: id(1), expected: 1 }));
    let stored = it.store.read().proposal(id(1)).await.expect("reads").expect("is there");
    assert_eq!((stored.version, stored.title.as_str()), (2, "first"));
    assert_eq!(it.store.read().audit_of(id(1)).await.expect("reads").len(), 2);
}

#[tokio::test]
async fn a_change_nobody_can_see_keeps_the_version() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.write(|tx| {
        Box::pin(async {
            let mut next = tx.proposal(id(1)).await?.expect("is there");
            next.note = Some("tracked".to_owned());
            tx.apply(&opened(next), audit("observed")).await
        })
    })
    .await;
    let stored = it.store.read().proposal(id(1)).await.expect("reads").expect("is there");
    assert_eq!((stored.version, stored.note.as_deref()), (1, Some("tracked")));
}

#[tokio::test]
async fn the_row_that_decides_is_frozen_in_the_proposal() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    let decided = it
        .write(|tx| {
            Box::pin(async {
                let mut next = tx.proposal(id(1)).await?.expect("is there");
                next.version += 1;
                next.decision = Decision::Approved;
                let mut transition = opened(next);
                transition.seals = true;
                tx.apply(&transition, audit("approve")).await
            })
        })
        .await;
    let rows = it.store.read().audit_of(id(1)).await.expect("reads");
    assert_eq!(decided.audit_head, rows.last().map(|row| row.hash.to_string()));
    assert_eq!(it.store.read().proposal(id(1)).await, Ok(Some(decided)));
}

#[tokio::test]
async fn duplicates_are_typed() {
    let it = Fixture::new().await;
    it.insert(observed(1, commit(5))).await;
    for (again, what) in [
        (observed(2, commit(5)), Duplicate::Observed),
        (observed(1, commit(6)), Duplicate::Proposal),
    ] {
        let answer = it
            .store
            .write(move |tx: &mut Tx| Box::pin(async move { tx.insert(&opened(again), &change_set("x"), audit("observe")).await }))
            .await;
        assert_eq!(answer, Err(StoreError::Duplicate(what)));
    }
    it.insert(proposal(3)).await;
}

#[tokio::test]
async fn an_outcome_is_final_whatever_a_caller_tries() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.change(id(1), |next| end(next, Outcome::Synced, at(9))).await;
    let again = it
        .store
        .write(|tx: &mut Tx| {
            Box::pin(async {
                let mut next = tx.proposal(id(1)).await?.expect("is there");
                next.version += 1;
                end(&mut next, Outcome::Degraded, at(10));
                tx.apply(&opened(next), audit("bug")).await
            })
        })
        .await;
    assert!(matches!(again, Err(StoreError::Constraint { why }) if why.contains("never changed")));
}

#[tokio::test]
async fn subscribers_hear_of_commits_and_the_bell_of_effects() {
    let it = Fixture::new().await;
    let (mut changes, mut bell) = (it.store.changes(), it.store.due());
    it.write(|tx| {
        Box::pin(async {
            tx.insert(&owing(proposal(1), &[(Effect::SendCard, 0)]), &change_set("x"), audit("propose"))
                .await
        })
    })
    .await;
    it.change(id(1), |next| next.title = "new".to_owned()).await;
    for version in [1, 2] {
        assert_eq!(changes.recv().await, Ok(Changed::Proposal { id: id(1), version }));
    }
    tokio::time::timeout(Duration::from_secs(60), bell.rung()).await.expect("it rang");
}

#[tokio::test]
async fn another_process_is_noticed() {
    let it = Fixture::new().await;
    let mut changes = it.store.changes();
    let mut bell = it.store.due();
    // Written again until noticed: the first look only learns where things stand.
    let other = Store::open(&it.path(), StoreOptions { readers: 1 }).await.expect("opens beside");
    crate::support::eventually("the other process's write is told", async || {
        other
            .write(|tx: &mut Tx| Box::pin(async { tx.schedule(None, &Effect::Alarm { text: "hello".to_owned() }, at(0)).await }))
            .await
            .expect("writes beside");
        changes.try_recv() == Ok(Changed::Unknown)
    })
    .await;
    tokio::time::timeout(Duration::from_secs(60), bell.rung()).await.expect("it rang");
}

#[tokio::test]
async fn two_processes_write_one_chain() {
    let it = Fixture::new().await;
    let other = Store::open(&it.path(), StoreOptions { readers: 1 }).await.expect("opens beside");
    for _ in 0..5 {
        for store in [&it.store, &other] {
            store
                .write(|tx: &mut Tx| Box::pin(async { tx.audit(audit("note")).await }))
                .await
                .expect("writes");
        }
    }
    assert!(matches!(
        it.store.verify_audit().await,
        Ok(store::AuditReport::Intact { rows: 10, .. })
    ));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let it = Fixture::new().await;
    it.store.close().await;
    assert_eq!(insert(&it.store, 1).await, Err(StoreError::Closed));
    assert_eq!(it.store.read().proposal(id(1)).await, Err(StoreError::Closed));
}
