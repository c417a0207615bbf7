//! Updates in: what reaches the handler, in which order, and what is acknowledged.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use simulators::telegram::{Fault, State, Tap};
use telegram::{Inbound, PollOptions, poll};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::*;

/// A poller under test.
struct Poller {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Poller {
    fn start<H, F>(client: &Client, handler: H) -> Self
    where
        H: Fn(Inbound) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let options = PollOptions {
            backoff_max: Duration::from_millis(200),
            retry_first: Duration::from_millis(20),
            timeout: Duration::from_secs(1),
            ..PollOptions::default()
        };
        let (client, cancel) = (client.clone(), stop.clone());
        Self {
            stop,
            task: tokio::spawn(async move { poll(&client, options, cancel, handler).await }),
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("it stops")
            .expect("no panic");
    }
}

/// The words of an update.
fn said(inbound: &Inbound) -> String {
    match inbound {
        Inbound::Tap(tap) => format!("{} taps {}", tap.from.name, tap.data),
        Inbound::Command(command) => {
            format!(
                "{} commands {} {:?}",
                command.from.as_ref().map_or("nobody", |from| &from.name),
                command.name,
                command.args
            )
        }
        Inbound::Text(text) => format!("{} writes {}", text.from.as_ref().map_or("nobody", |from| &from.name), text.text),
        Inbound::Membership(change) => format!("{} is {}", change.who.name, change.status),
        Inbound::Migrated { from, to, .. } => format!("{from} becomes {to}"),
        Inbound::Ignored { why, .. } => format!("ignored: {why}"),
    }
}

/// What a handler saw, in order.
type Notes = Arc<Mutex<Vec<String>>>;

/// A handler that notes everything; `fail` says which words make it fail.
fn noting(fail: impl Fn(&str) -> bool + Send + Sync + 'static) -> (Notes, impl Fn(Inbound) -> std::future::Ready<Result<(), String>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let handler = move |inbound: Inbound| {
        let words = said(&inbound);
        let result = if fail(&words) { Err("no".to_owned()) } else { Ok(()) };
        notes.lock().expect("no panic").push(words);
        std::future::ready(result)
    };
    (seen, handler)
}

async fn until(sim: &TelegramSim, what: &str, look: impl Fn(&State) -> bool) {
    sim.wait_for(DEADLINE, |state| look(state).then_some(()))
        .await
        .unwrap_or_else(|| panic!("never: {what}"));
}

async fn acknowledged(sim: &TelegramSim) {
    let done = async {
        while !sim.waiting_updates().is_empty() {
            sim.changes().changed().await.expect("running");
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("everything is acknowledged");
}

#[tokio::test]
async fn everything_reaches_the_handler_once_and_is_acknowledged() {
    let (sim, client) = telegram().await;
    let (seen, handler) = noting(|_| false);
    sim.push_update(json!({ "poll": { "id": "1" } }));
    sim.push_update(json!({ "message": { "message_id": "not a number" } }));
    sim.send_text(ALICE, GROUP, "/pending@countersign_bot now please", None);
    sim.send_text(ALICE, ALICE, "hello", None);
    sim.send_anonymously(GROUP, "/cancel 1", None);
    sim.queue_tap(Tap::new(BOB, GROUP, 4, "v1:x"));
    let poller = Poller::start(&client, handler);
    acknowledged(&sim).await;
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort();
    assert_eq!(
        seen,
        [
            "alice commands pending [\"now\", \"please\"]",
            "alice writes hello",
            "bob taps v1:x",
            "nobody commands cancel [\"1\"]"
        ]
    );
    let call = sim.calls(Some("getUpdates")).remove(0);
    assert!(call.param("allowed_updates").contains("callback_query"), "asked for explicitly");
    poller.stop().await;
}

#[tokio::test]
async fn a_failed_update_is_kept_and_tried_again_while_others_flow() {
    let (sim, client) = telegram().await;
    let healed = Arc::new(AtomicUsize::new(0));
    let gate = Arc::clone(&healed);
    let (seen, handler) = noting(move |words| words == "alice writes one" && gate.load(Ordering::SeqCst) == 0);
    let first = sim.send_text(ALICE, ALICE, "one", None);
    sim.send_text(ALICE, ALICE, "two", None);
    sim.send_text(BOB, BOB, "three", None);
    let poller = Poller::start(&client, handler);
    let bob_heard = async {
        while !seen.lock().expect("no panic").iter().any(|words| words == "bob writes three") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, bob_heard)
        .await
        .expect("bob does not wait for alice");
    let later = sim.send_text(BOB, BOB, "four", None);
    let bob_again = async {
        while !seen.lock().expect("no panic").iter().any(|words| words == "bob writes four") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, bob_again)
        .await
        .expect("new updates flow past the failed one");
    assert_eq!(
        sim.waiting_updates().len(),
        4,
        "nothing behind the failed one is acknowledged ({first}, {later})"
    );
    healed.store(1, Ordering::SeqCst);
    acknowledged(&sim).await;
    let alice: Vec<String> = seen
        .lock()
        .expect("no panic")
        .iter()
        .filter(|words| words.starts_with("alice"))
        .cloned()
        .collect();
    assert_eq!(
        alice.last().map(String::as_str),
        Some("alice writes two"),
        "her updates stay in order"
    );
    assert_eq!(alice.iter().filter(|words| *words == "alice writes two").count(), 1);
    poller.stop().await;
}

#[tokio::test]
async fn a_hanging_or_panicking_handler_holds_back_its_own_person_only() {
    let (sim, client) = telegram().await;
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&release);
    let tries = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(Mutex::new(Vec::new()));
    let (counter, finished) = (Arc::clone(&tries), Arc::clone(&done));
    let handler = move |inbound: Inbound| {
        let (gate, counter, finished) = (Arc::clone(&gate), Arc::clone(&counter), Arc::clone(&finished));
        async move {
            let words = said(&inbound);
            match words.as_str() {
                "alice writes hang" => gate.notified().await,
                "bob writes panic" if counter.fetch_add(1, Ordering::SeqCst) < 2 => panic!("a bug in a handler"),
                _ => {}
            }
            finished.lock().expect("no panic").push(words);
            Ok(())
        }
    };
    sim.send_text(ALICE, ALICE, "hang", None);
    sim.send_text(BOB, BOB, "panic", None);
    let poller = Poller::start(&client, handler);
    let bob = async {
        while done.lock().expect("no panic").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, bob).await.expect("bob's update was tried again");
    assert_eq!(*done.lock().expect("no panic"), ["bob writes panic"]);
    release.notify_one();
    acknowledged(&sim).await;
    assert_eq!(done.lock().expect("no panic").len(), 2);
    poller.stop().await;
}

#[tokio::test]
async fn a_stop_leaves_unfinished_updates_with_telegram() {
    let (sim, client) = telegram().await;
    let (seen, handler) = noting(|words| words == "bob writes never");
    sim.send_text(ALICE, ALICE, "fine", None);
    sim.send_text(BOB, BOB, "never", None);
    let poller = Poller::start(&client, handler);
    let both = async {
        while seen.lock().expect("no panic").len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, both).await.expect("both were tried");
    poller.stop().await;
    assert_eq!(
        sim.waiting_updates().len(),
        1,
        "the finished one is acknowledged, the failed one is not"
    );
    let (seen, handler) = noting(|_| false);
    let poller = Poller::start(&client, handler);
    acknowledged(&sim).await;
    assert_eq!(*seen.lock().expect("no panic"), ["bob writes never"]);
    poller.stop().await;
}

#[tokio::test]
async fn errors_of_the_server_and_a_second_poller_do_not_end_polling() {
    let (sim, client) = telegram().await;
    let (seen, handler) = noting(|_| false);
    sim.fail_next("getMe", Fault::Refuse, 1);
    for fault in [
        Fault::Status(502),
        Fault::Garbage,
        Fault::LoseAnswer,
        Fault::TooManyRequests { retry_after: 1 },
    ] {
        sim.fail_next("getUpdates", fault, 1);
    }
    let conflict = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    sim.fail_next(
        "getUpdates",
        Fault::Error {
            code: 409,
            description: conflict.into(),
        },
        1,
    );
    let poller = Poller::start(&client, handler);
    until(&sim, "polling again", |state| state.calls(Some("getUpdates")).count() >= 6).await;
    sim.send_text(ALICE, ALICE, "still there?", None);
    acknowledged(&sim).await;
    assert_eq!(*seen.lock().expect("no panic"), ["alice writes still there?"]);
    poller.stop().await;
}

#[tokio::test]
async fn one_poisoned_update_cannot_fill_the_window_for_ever() {
    let (sim, client) = telegram().await;
    let (seen, handler) = noting(|words| words == "alice writes poison");
    sim.send_text(ALICE, ALICE, "poison", None);
    for n in 0..150 {
        sim.send_text(BOB, BOB, &n.to_string(), None);
    }
    let stop = CancellationToken::new();
    let options = PollOptions {
        retry_first: Duration::from_millis(1),
        ..PollOptions::default()
    };
    let task = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { poll(&client, options, stop, handler).await }
    });
    acknowledged(&sim).await;
    let seen = seen.lock().expect("no panic").clone();
    let bob: Vec<&String> = seen.iter().filter(|words| words.starts_with("bob")).collect();
    assert_eq!((bob.len(), bob[149].as_str()), (150, "bob writes 149"));
    assert!(
        seen.iter().filter(|words| words.starts_with("alice")).count() >= 10,
        "it was tried many times before"
    );
    stop.cancel();
    task.await.expect("no panic");
}
