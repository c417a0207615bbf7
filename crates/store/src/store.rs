//! The handle that everybody holds: hand work to the writer, read, wait for changes.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::SqlitePool;
use tokio::sync::{broadcast, mpsc, watch};

use crate::model::Changed;
use crate::writer::{Message, Outlets, Writer, job};
use crate::{Reader, ServeLock, StoreError, Tx, lock, open};

/// A future on the heap: what a job returns. The same type as `futures_util::future::BoxFuture`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Jobs that may wait for the writer before [`Store::write`] itself waits: memory stays bounded when the disk is slow.
const QUEUE: usize = 1024;
/// Changes a slow subscriber may fall behind before it is told to read again.
const CHANGES: usize = 4096;

/// How to open a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Connections of the read-only pool; at least one.
    pub readers: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { readers: 4 }
    }
}

/// The database: one writer, a pool of readers. Clones share both.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) path: PathBuf,
    pub(crate) readers: SqlitePool,
    jobs: mpsc::Sender<Message>,
    changes: broadcast::Sender<Changed>,
    due: watch::Receiver<u64>,
    commits: Arc<AtomicU64>,
    /// What the check beside the start found.
    pub(crate) damage: Arc<OnceLock<String>>,
}

/// Rings after every commit that made an effect due, or may have.
#[derive(Debug, Clone)]
pub struct DueBell(watch::Receiver<u64>);

impl DueBell {
    /// Waits for the next ring since this bell was made or last heard; a ring while nobody listens is not lost. Never returns once the store
    /// is closed.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    /// Opens or creates the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for a database of a newer program, [`StoreError::Corrupt`] for a damaged one, [`StoreError::Open`] when
    /// it is not ours, cannot be read or written, or this binary carries a SQLite older than 3.51.3.
    pub async fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let opened = open::open(path, options.readers.max(1)).await?;
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let (changes, _) = broadcast::channel(CHANGES);
        let (bell, due) = watch::channel(0);
        let commits = Arc::new(AtomicU64::new(0));
        let outlets = Outlets {
            changes: changes.clone(),
            bell,
            commits: Arc::clone(&commits),
        };
        tokio::spawn(Writer::new(path.to_owned(), opened.writer, outlets).run(inbox));
        let store = Self {
            path: path.to_owned(),
            readers: opened.readers,
            jobs,
            changes,
            due,
            commits,
            damage: Arc::default(),
        };
        if !opened.checked {
            tokio::spawn(look_for_damage(store.readers.clone(), Arc::clone(&store.damage)));
        }
        Ok(store)
    }

    /// Takes the lock that makes this process the only `serve` on the database; dropping it, or the end of the process, gives it back.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names the process that holds it.
    pub fn lock(path: &Path) -> Result<ServeLock, StoreError> {
        lock::take(path)
    }

    /// Runs a job in the writer's transaction and answers after the commit that made it durable.
    ///
    /// Whatever waits shares one transaction (group commit). A job that returns `Err` or panics is undone alone. A job must do nothing
    /// but read and write through its [`Tx`]: it holds up everybody.
    ///
    /// # Errors
    /// The job's own error, or a [`StoreError`] when nothing of it was stored.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (job, answer) = job(work);
        self.jobs.send(Message::Job(job)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Reads outside of the writer.
    pub fn read(&self) -> Reader {
        Reader {
            pool: self.readers.clone(),
        }
    }

    /// What changes from now on, after each commit. A receiver that lags must treat that as [`Changed::Unknown`].
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// A bell that rings when workers should look for due effects.
    pub fn due(&self) -> DueBell {
        let mut rings = self.due.clone();
        rings.mark_unchanged();
        DueBell(rings)
    }

    /// How many durable commits the writer has made since the store was opened.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Finishes what waits, then closes every connection. Later calls answer [`StoreError::Closed`].
    pub async fn close(&self) {
        // Readers first: the connection that closes last empties the write-ahead log, and readers may not.
        self.readers.close().await;
        let (done, closed) = tokio::sync::oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            // An error means that the writer has ended already: closed all the same.
            let _ = closed.await;
        }
    }
}

/// A large file is read for damage beside the service: a start must not depend on history.
async fn look_for_damage(readers: SqlitePool, damage: Arc<OnceLock<String>>) {
    let found = match readers.acquire().await {
        Ok(mut connection) => open::whole(&mut connection).await,
        // Closed before the check began.
        Err(_) => return,
    };
    match found {
        Err(StoreError::Corrupt { why }) => {
            tracing::error!(why, "the database file is damaged: stop the service and restore the latest backup");
            // The first finding stays.
            let _ = damage.set(why);
        }
        Err(error) => tracing::warn!(%error, "the database could not be read for damage"),
        Ok(()) => tracing::debug!("the database file is sound"),
    }
}
