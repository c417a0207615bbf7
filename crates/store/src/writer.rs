//! The one writer. Whatever waits shares one transaction and one sync to disk (group commit); each job has a savepoint of its own.
//!
//! It never waits for more work: a lone job is committed at once, and while one batch is being written the next one gathers by itself.
//! Nobody is answered before the commit. When the commit fails, everybody in it hears so.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use domain::ProposalId;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::store::BoxFuture;
use crate::tx::Head;
use crate::{Changed, StoreError, Tx, open, sql};

/// Jobs per transaction: bounds how long the first one waits for its answer.
const BATCH: usize = 256;
/// How long a job may hold the writer. Jobs only read and write the database: far more than a slow disk needs.
const JOB: Duration = Duration::from_secs(30);
/// How often to look whether another process has written.
const LOOK: Duration = Duration::from_secs(1);

/// What the writer is asked.
pub(crate) enum Message {
    /// Run this.
    Job(Box<dyn Job>),
    /// Finish, close, tell.
    Close(oneshot::Sender<()>),
}

/// A job with its types hidden.
pub(crate) trait Job: Send {
    fn run<'t>(self: Box<Self>, tx: &'t mut Tx) -> BoxFuture<'t, Ran>;
    /// Answers without having run.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// A job that has run: whether its writes stay, and whom to tell once that is durable.
pub(crate) struct Ran {
    keep: bool,
    answer: Answer,
}

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Where the writer makes itself heard.
pub(crate) struct Outlets {
    pub changes: broadcast::Sender<Changed>,
    pub bell: watch::Sender<u64>,
    pub commits: Arc<AtomicU64>,
}

/// Packs a job, and the promise of its answer.
pub(crate) fn job<T, E, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    (Box::new(Typed { work, tell }), told)
}

struct Typed<F, T, E> {
    work: F,
    tell: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Typed<F, T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    fn run<'t>(self: Box<Self>, tx: &'t mut Tx) -> BoxFuture<'t, Ran> {
        Box::pin(async move {
            let Self { work, tell } = *self;
            let result = guarded(work, tx).await;
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // Whoever asked may have gone away; the work is done all the same.
                let _ = tell.send(match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(error.into())),
                });
            });
            Ran { keep, answer }
        })
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.tell.send(Err(error.into()));
    }
}

/// Runs the work; a panic or a stall becomes its error.
async fn guarded<T, E, F>(work: F, tx: &mut Tx) -> Result<T, E>
where
    E: From<StoreError>,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>>,
{
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(StoreError::Panicked { message }.into())
    };
    // Unwind safety: what the work has touched is its transaction, and that is rolled back.
    let mut future = match catch_unwind(AssertUnwindSafe(|| work(tx))) {
        Ok(future) => future,
        Err(panic) => return panicked(panic),
    };
    let caught = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    match tokio::time::timeout(JOB, caught).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => panicked(panic),
        Err(_) => Err(StoreError::TooSlow { seconds: JOB.as_secs() }.into()),
    }
}

/// The writer's task.
pub(crate) struct Writer {
    path: PathBuf,
    /// `None` after a failed transaction, until a new connection is made.
    tx: Option<Tx>,
    outlets: Outlets,
    /// SQLite's count of other connections' commits as this connection sees it.
    seen: Option<i64>,
}

/// What one transaction gathered.
#[derive(Default)]
struct Batch {
    answers: Vec<(Answer, Result<(), StoreError>)>,
    closing: Option<oneshot::Sender<()>>,
}

impl Writer {
    pub fn new(path: PathBuf, connection: SqliteConnection, outlets: Outlets) -> Self {
        Self {
            path,
            tx: Some(Tx::new(connection)),
            outlets,
            seen: None,
        }
    }

    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closing = loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Job(first)) => if let Some(done) = self.transaction(first, &mut inbox).await {
                        break Some(done);
                    },
                    Some(Message::Close(done)) => break Some(done),
                    None => break None,
                },
                _ = look.tick() => self.look().await,
            }
        };
        if let Some(tx) = self.tx.take()
            && let Err(error) = tx.connection.close().await
        {
            tracing::warn!(%error, "closing the database");
        }
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// One transaction with whatever waits; answers everybody in it.
    async fn transaction(&mut self, first: Box<dyn Job>, inbox: &mut mpsc::Receiver<Message>) -> Option<oneshot::Sender<()>> {
        let mut tx = match self.begun().await {
            Ok(tx) => tx,
            Err(error) => {
                first.refuse(error);
                return None;
            }
        };
        let start = tx.head;
        let mut batch = Batch::default();
        let result = match batch.gather(first, &mut tx, inbox).await {
            Ok(kept) => end(&mut tx, kept, start).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(durable) => {
                self.tell(&mut tx, durable);
                self.tx = Some(tx);
                batch.answer(&Ok(()));
            }
            Err(error) => {
                tracing::error!(%error, jobs = batch.answers.len(), "a transaction failed: nothing of it was stored");
                discard(tx).await;
                batch.answer(&Err(StoreError::NotCommitted { why: error.to_string() }));
            }
        }
        batch.closing
    }

    /// A transaction with its first savepoint, and the end of the audit log as it is now: other processes write too.
    async fn begun(&mut self) -> Result<Tx, StoreError> {
        let mut tx = match self.tx.take() {
            Some(tx) => tx,
            None => {
                self.seen = None;
                Tx::new(open::connect(&self.path).await?)
            }
        };
        let begun = sqlx::query_as("begin immediate; savepoint job; select rows, hash from audit_head")
            .fetch_one(&mut tx.connection)
            .await
            .map_err(sql::failed)
            .and_then(|(rows, hash): (i64, String)| {
                Ok(Head {
                    rows: sql::count(rows),
                    hash: sql::hash(&hash)?,
                })
            });
        match begun {
            Ok(head) => {
                tx.restart(head);
                Ok(tx)
            }
            Err(error) => {
                discard(tx).await;
                Err(error)
            }
        }
    }

    /// After a commit: subscribers, workers, the count.
    fn tell(&self, tx: &mut Tx, durable: bool) {
        if durable {
            self.outlets.commits.fetch_add(1, Ordering::Relaxed);
        }
        let mut told: Vec<ProposalId> = Vec::new();
        // The newest version of each only; nobody listening is fine.
        for changed in tx.changed.drain(..).rev() {
            if let Changed::Proposal { id, .. } = changed {
                if told.contains(&id) {
                    continue;
                }
                told.push(id);
            }
            let _ = self.outlets.changes.send(changed);
        }
        if tx.rings {
            self.outlets.bell.send_modify(|rings| *rings += 1);
        }
    }

    /// Whether another process has written: then everybody looks again.
    async fn look(&mut self) {
        let Some(tx) = &mut self.tx else { return };
        let version = sqlx::query_scalar("pragma data_version").fetch_one(&mut tx.connection).await;
        match version {
            Ok(version) => {
                if self.seen.replace(version).is_some_and(|seen| seen != version) {
                    let _ = self.outlets.changes.send(Changed::Unknown);
                    self.outlets.bell.send_modify(|rings| *rings += 1);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot see whether another process has written"),
        }
    }
}

impl Batch {
    /// Runs jobs while there are any; answers whether anything is to be kept. An error means that the transaction is gone.
    async fn gather(&mut self, first: Box<dyn Job>, tx: &mut Tx, inbox: &mut mpsc::Receiver<Message>) -> Result<bool, StoreError> {
        let mut kept = false;
        let mut next = Some(first);
        while let Some(job) = next {
            let mark = tx.mark();
            let ran = job.run(tx).await;
            let failed = tx.failed.take();
            let keep = ran.keep && failed.is_none();
            self.answers.push((ran.answer, failed.map_or(Ok(()), Err)));
            if let Some(error) = &tx.broken {
                return Err(error.clone());
            }
            kept |= keep;
            if !keep {
                tx.back_to(mark);
                statement(tx, "rollback to job").await?;
            }
            next = if self.answers.len() < BATCH { self.waiting(inbox) } else { None };
            if next.is_some() && keep {
                statement(tx, "release job; savepoint job").await?;
            }
        }
        Ok(kept)
    }

    fn waiting(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Option<Box<dyn Job>> {
        match inbox.try_recv() {
            Ok(Message::Job(job)) => Some(job),
            Ok(Message::Close(done)) => {
                self.closing = Some(done);
                None
            }
            Err(_) => None,
        }
    }

    fn answer(&mut self, committed: &Result<(), StoreError>) {
        for (answer, own) in self.answers.drain(..) {
            answer(own.and_then(|()| committed.clone()));
        }
    }
}

/// Ends the transaction; answers whether that was a durable commit.
async fn end(tx: &mut Tx, kept: bool, start: Head) -> Result<bool, StoreError> {
    if !kept || !tx.wrote {
        statement(tx, "rollback").await?;
        return Ok(false);
    }
    if tx.head == start {
        statement(tx, "commit").await?;
    } else {
        sqlx::query("update audit_head set rows = ?, hash = ?; commit")
            .bind(sql::big(tx.head.rows))
            .bind(tx.head.hash.to_string())
            .execute(&mut tx.connection)
            .await
            .map_err(sql::failed)?;
    }
    Ok(true)
}

async fn statement(tx: &mut Tx, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(&mut tx.connection).await.map_err(sql::failed)?;
    Ok(())
}

/// After a failure SQLite may or may not be inside a transaction: a new connection is the one state we are sure of.
async fn discard(tx: Tx) {
    let mut connection = tx.connection;
    // Fails when there is no transaction any more, which is what we want.
    let _ = sqlx::query("rollback").execute(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "closing a failed connection");
    }
}

#[cfg(test)]
mod tests {
    use crate::{BoxFuture, Store, StoreError, StoreOptions, Tx};

    /// The limit belongs to the writer's connection and goes with it: as if space had been freed.
    fn fill(tx: &mut Tx) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let limit = sqlx::query("pragma max_page_count = 1").execute(&mut tx.connection).await;
            limit.map_err(crate::sql::failed)?;
            tx.set_meta("small", "1").await?;
            // The caller goes on although the disk is full: nothing of that may stay either.
            let full = tx.set_meta("large", &"x".repeat(1 << 20)).await;
            assert!(matches!(full, Err(StoreError::DiskFull { .. })), "{full:?}");
            let after = tx.set_meta("after", "1").await;
            assert!(matches!(after, Err(StoreError::DiskFull { .. })), "{after:?}");
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_the_store_works_again_without_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("store.db"), StoreOptions::default())
            .await
            .expect("opens");
        let answer = store.write(fill).await.expect_err("not stored").to_string();
        assert!(answer.contains("the disk is full"), "{answer}");
        for key in ["small", "large", "after"] {
            assert_eq!(store.read().meta(key).await, Ok(None), "{key}");
        }
        store.check_writable().await.expect("works again");
    }
}
