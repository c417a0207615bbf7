//! Live updates: one task reads chats, log and applications, every open page gets what changed by server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{PageOptions, chat, git_log};

/// How often repository and applications are looked at, and the longest a change in the chats waits.
const PERIOD: Duration = Duration::from_millis(500);
/// Changes that come closer together than this are shown together.
const TOGETHER: Duration = Duration::from_millis(40);
/// The three panels, in the order of [`Snapshot`].
const PANELS: [&str; 4] = ["chat", "log", "applications", "codes"];

type Snapshot = [Arc<str>; 4];

/// The newest state of all panels.
#[derive(Clone)]
pub(super) struct Live(watch::Receiver<Snapshot>);

/// Starts watching.
pub(super) fn watch(options: Arc<PageOptions>, stop: CancellationToken) -> Live {
    let (sender, receiver) = watch::channel(std::array::from_fn(|_| "null".into()));
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_current(options, sender) => {}
        }
    });
    Live(receiver)
}

async fn keep_current(options: Arc<PageOptions>, sender: watch::Sender<Snapshot>) {
    let mut changes = options.telegram.changes();
    let mut tip = None;
    loop {
        changes.mark_unchanged();
        let chats = chat::snapshot(&options).to_string();
        let applications = json!((options.applications)()).to_string();
        let codes = json!((options.codes)()).to_string();
        let log = read_log(&options, &mut tip).await.map(|log| log.to_string());
        sender.send_if_modified(|snapshot| {
            let fresh = [Some(chats), log, Some(applications), Some(codes)];
            let mut changed = false;
            for (old, new) in snapshot.iter_mut().zip(fresh) {
                if let Some(new) = new.filter(|new| **new != **old) {
                    *old = new.into();
                    changed = true;
                }
            }
            changed
        });
        tokio::time::sleep(TOGETHER).await;
        // Either way it is time to look again: something changed, or the period is over.
        let _changed_or_not = tokio::time::timeout(PERIOD, changes.changed()).await;
    }
}

/// The log if the branch moved since last time.
async fn read_log(options: &Arc<PageOptions>, last: &mut Option<Option<git2::Oid>>) -> Option<Value> {
    let (shared, seen) = (options.clone(), *last);
    let read = tokio::task::spawn_blocking(move || {
        let tip = git_log::tip(&shared.git_remote, &shared.branch);
        if seen == Some(tip) {
            return None;
        }
        let log = tip.map_or(Ok(Vec::new()), |tip| git_log::log(&shared.git_remote, tip));
        log.ok().map(|log| (tip, json!({ "branch": shared.branch, "commits": log })))
    });
    let (tip, log) = read.await.ok().flatten()?;
    *last = Some(tip);
    Some(log)
}

impl Live {
    /// One browser's stream: all panels first, then each panel when it changes.
    pub(super) fn stream(&self) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let mut receiver = self.0.clone();
        receiver.mark_changed();
        let shown: [Option<Arc<str>>; 4] = [const { None }; 4];
        let events = stream::unfold(
            (receiver, shown, VecDeque::new()),
            |(mut receiver, mut shown, mut waiting)| async move {
                loop {
                    if let Some(event) = waiting.pop_front() {
                        return Some((Ok(event), (receiver, shown, waiting)));
                    }
                    receiver.changed().await.ok()?;
                    let snapshot = receiver.borrow_and_update().clone();
                    for ((panel, new), old) in PANELS.iter().zip(snapshot).zip(&mut shown) {
                        if old.as_deref() != Some(&*new) {
                            waiting.push_back(Event::default().event(*panel).data(&*new));
                            *old = Some(new);
                        }
                    }
                }
            },
        );
        Sse::new(events).keep_alive(KeepAlive::default())
    }
}
