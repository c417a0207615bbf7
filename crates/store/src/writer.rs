//! The one writer: group commit of whatever waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sqlx::SqliteConnection;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::store::BoxFuture;
use crate::{Changed, StoreError, Tx};

pub(crate) enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

pub(crate) trait Job: Send {
    fn run<'t>(self: Box<Self>, tx: &'t mut Tx) -> BoxFuture<'t, Ran>;
}

pub(crate) struct Ran {
    pub keep: bool,
    pub answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

pub(crate) struct Outlets {
    pub changes: broadcast::Sender<Changed>,
    pub bell: watch::Sender<u64>,
    pub commits: Arc<AtomicU64>,
}

pub(crate) fn job<T, E, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    let _ = work;
    todo!()
}

pub(crate) struct Writer;

impl Writer {
    pub fn new(path: PathBuf, connection: SqliteConnection, outlets: Outlets) -> Self {
        let _ = (path, connection, outlets);
        todo!()
    }

    pub async fn run(self, inbox: mpsc::Receiver<Message>) {
        let _ = inbox;
        todo!()
    }
}
