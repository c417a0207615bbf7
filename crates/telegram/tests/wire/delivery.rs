//! Messages out: what stands on the phone in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simulators::telegram::{Access, Fault};
use telegram::{Button, ChatId, CommandScope, Document, Limits, MessageId, Press, Queue, Rendered, SendError, Style, ThreadId, probe};

use crate::*;

/// Edits with fixed words.
async fn edit(queue: &Queue, id: MessageId, text: &str) -> Result<(), SendError> {
    let text = text.to_owned();
    queue.edit(group(), id, move || std::future::ready(Some(words(&text)))).await
}

#[tokio::test]
async fn a_card_arrives_with_its_document_and_changes_in_place() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let card = Rendered {
        html: "<b>card</b>".into(),
        plain: "card".into(),
        keyboard: vec![vec![Button {
            label: "Approve".into(),
            press: Press::Data("v1:x".into()),
            style: Style::Success,
        }]],
        document: Some(Document {
            file_name: "x.diff".into(),
            bytes: b"+1\n".to_vec(),
            caption: "the diff".into(),
            picture: false,
        }),
        complete: false,
    };
    let sent = queue.send(group(), Some(ThreadId(7)), card, false, None).await.expect("sent");
    let text = sim.message(GROUP, sent.message_id.0).expect("the card");
    assert_eq!(
        (text.text.as_str(), text.thread, text.silent, text.no_preview),
        ("card", Some(7), true, true)
    );
    assert_eq!(text.button("Approve").and_then(|button| button.style.as_deref()), Some("success"));
    let below = sim
        .message(GROUP, sent.document_message_id.expect("arrived").0)
        .expect("the document");
    assert_eq!(
        (below.reply_to, below.thread, below.text.as_str()),
        (Some(text.id), Some(7), "the diff")
    );
    assert_eq!(below.document.expect("a file").bytes, b"+1\n");

    edit(&queue, sent.message_id, "approved").await.expect("edited");
    edit(&queue, sent.message_id, "approved").await.expect("not modified is success");
    let text = sim.message(GROUP, sent.message_id.0).expect("the card");
    assert_eq!((text.text.as_str(), text.keyboard.len(), text.edits), ("approved", 0, 1));
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_newest_edit_wins_and_one_call_serves_all_that_waited() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let id = queue.send(group(), None, words("0"), true, None).await.expect("sent").message_id;
    sim.fail_next("editMessageText", Fault::Hang(None), 1);
    let first = tokio::spawn({
        let queue = queue.clone();
        async move { edit(&queue, id, "1").await }
    });
    let hanging = |state: &simulators::telegram::State| (state.calls(Some("editMessageText")).count() == 1).then_some(());
    sim.wait_for(DEADLINE, hanging).await.expect("the first edit is under way");
    let pushed: Vec<_> = (2..=9)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move { edit(&queue, id, &n.to_string()).await })
        })
        .collect();
    // All eight have queued up once they were polled; yielding does that on a single-threaded runtime.
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
    sim.release();
    assert_eq!(first.await.expect("no panic"), Ok(()));
    for one in pushed {
        assert_eq!(one.await.expect("no panic"), Ok(()));
    }
    assert_eq!(sim.message(GROUP, id.0).expect("there").text, "9");
    assert_eq!(sim.calls(Some("editMessageText")).len(), 2, "eight waiting edits became one");
}

#[tokio::test]
async fn edits_go_before_new_messages() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let id = queue.send(group(), None, words("card"), true, None).await.expect("sent").message_id;
    sim.fail_next("sendMessage", Fault::Hang(None), 1);
    let send = |text: &'static str| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.send(group(), None, words(text), true, None).await })
    };
    let hanging = send("a");
    sim.wait_for(DEADLINE, |state| (state.calls(Some("sendMessage")).count() == 2).then_some(()))
        .await
        .expect("under way");
    let waiting = send("b");
    tokio::task::yield_now().await;
    let edited = tokio::spawn({
        let queue = queue.clone();
        async move { edit(&queue, id, "new").await }
    });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    sim.release();
    for one in [hanging, waiting] {
        one.await.expect("no panic").expect("sent");
    }
    edited.await.expect("no panic").expect("edited");
    let methods: Vec<String> = sim.calls(None).into_iter().map(|call| call.method).collect();
    assert_eq!(methods, ["sendMessage", "sendMessage", "editMessageText", "sendMessage"]);
}

#[tokio::test]
async fn a_429_in_one_chat_stops_no_other_and_no_answer() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    sim.fail_next_in(GROUP, "sendMessage", Fault::TooManyRequests { retry_after: 3600 }, 1);
    let slow = queue.send(group(), None, words("x"), true, None).await;
    assert_eq!(slow, Err(SendError::RetryAfter(Duration::from_secs(3600))), "too long to sit out");
    let again = queue.send(group(), None, words("x"), true, None).await;
    assert!(
        matches!(again, Err(SendError::RetryAfter(left)) if left > Duration::from_secs(3000)),
        "told at once: {again:?}"
    );
    assert_eq!(sim.calls(Some("sendMessage")).len(), 1, "without asking again");
    queue
        .send(ChatId(OTHER), None, words("x"), true, None)
        .await
        .expect("another chat flows");
    let tap = sim.queue_tap(simulators::telegram::Tap::new(ALICE, GROUP, 1, "v1:x"));
    queue.answer(&tap, "seen", false).await;
    assert_eq!(sim.tap_answer(&tap, DEADLINE).await.text(), "seen");
}

#[tokio::test]
async fn a_short_429_is_sat_out_and_the_newest_content_is_sent() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let id = queue.send(group(), None, words("old"), true, None).await.expect("sent").message_id;
    sim.fail_next("editMessageText", Fault::TooManyRequests { retry_after: 1 }, 1);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let render = move || std::future::ready(Some(words(&format!("asked {} times", counter.fetch_add(1, Ordering::SeqCst) + 1))));
    queue.edit(group(), id, render).await.expect("edited after the wait");
    assert_eq!(sim.message(GROUP, id.0).expect("there").text, "asked 2 times");
    sim.fail_next("sendMessage", Fault::TooManyRequests { retry_after: 1 }, 2);
    queue
        .send(group(), None, words("patient"), true, None)
        .await
        .expect("sent after two waits");
}

#[tokio::test]
async fn our_own_limits_hold_messages_back() {
    let (sim, client) = telegram().await;
    let strict = Limits {
        per_chat_minute: 3,
        per_chat_second: 3,
        burst: 3,
        ..Limits::default()
    };
    let queue = Queue::new(client, strict);
    let fourth = async {
        for n in 0..4 {
            queue.send(group(), None, words(&n.to_string()), true, None).await.expect("sent");
        }
    };
    // The fourth would take 20 s; another chat is not held back meanwhile.
    tokio::select! {
        () = fourth => panic!("four messages passed a limit of three"),
        () = async {
            sim.wait_for(DEADLINE, |state| (state.messages(GROUP).len() == 3).then_some(())).await.expect("three pass");
            queue.send(ChatId(OTHER), None, words("x"), true, None).await.expect("sent");
        } => {}
    }
}

#[tokio::test]
async fn wrong_markup_falls_back_to_plain_words() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let broken = Rendered {
        html: "<x>card".into(),
        plain: "card & more".into(),
        ..Rendered::default()
    };
    let id = queue
        .send(group(), None, broken.clone(), true, None)
        .await
        .expect("sent plainly")
        .message_id;
    assert_eq!(sim.message(GROUP, id.0).expect("there").text, "card & more");
    edit(&queue, id, "other").await.expect("edited");
    queue
        .edit(group(), id, move || std::future::ready(Some(broken.clone())))
        .await
        .expect("edited plainly");
    assert_eq!(sim.message(GROUP, id.0).expect("there").text, "card & more");
}

#[tokio::test]
async fn every_end_of_a_chat_is_told_apart() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let id = queue.send(group(), None, words("card"), true, None).await.expect("sent").message_id;
    sim.delete_message(GROUP, id.0);
    assert!(matches!(edit(&queue, id, "x").await, Err(SendError::Gone { .. })));

    let send = async |chat: i64, thread: Option<i64>| queue.send(ChatId(chat), thread.map(ThreadId), words("x"), true, None).await;
    assert!(matches!(send(GROUP, Some(99)).await, Err(SendError::ThreadGone { .. })));
    sim.close_topic(GROUP, 7);
    assert!(matches!(send(GROUP, Some(7)).await, Err(SendError::ThreadGone { .. })));
    assert!(send(GROUP, Some(1)).await.is_ok(), "General is addressed by leaving the topic out");
    assert!(matches!(send(-1, None).await, Err(SendError::ChatDead { .. })), "unknown chat");
    for access in [Access::Blocked, Access::Deactivated, Access::NeverStarted] {
        sim.set_access(ALICE, access);
        assert!(matches!(send(ALICE, None).await, Err(SendError::ChatDead { .. })), "{access:?}");
    }
    for access in [Access::Kicked, Access::NotMember, Access::NoRights] {
        sim.set_access(OTHER, access);
        assert!(matches!(send(OTHER, None).await, Err(SendError::ChatDead { .. })), "{access:?}");
    }
    sim.migrate(GROUP, -100_999);
    assert_eq!(send(GROUP, None).await, Err(SendError::Migrated(ChatId(-100_999))));
}

#[tokio::test]
async fn a_lost_document_does_not_lose_the_card() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    sim.fail_next(
        "sendDocument",
        Fault::Error {
            code: 400,
            description: "Bad Request: file is too big".into(),
        },
        1,
    );
    let document = Some(Document {
        file_name: "x.diff".into(),
        bytes: b"+1\n".to_vec(),
        caption: "diff".into(),
        picture: false,
    });
    let sent = queue
        .send(group(), None, Rendered { document, ..words("card") }, true, None)
        .await
        .expect("the card is there");
    assert_eq!(sent.document_message_id, None);
    assert!(matches!(sent.document_error, Some(SendError::Other(_))));
    assert_eq!(sim.messages(GROUP).len(), 1);
}

#[tokio::test]
async fn a_panic_while_rendering_harms_only_its_own_edit() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let id = queue.send(group(), None, words("card"), true, None).await.expect("sent").message_id;
    let broken = queue.edit(group(), id, || async { panic!("a bug in a caller") }).await;
    assert!(broken.is_err());
    edit(&queue, id, "fine").await.expect("the lane goes on");
    assert_eq!(
        queue.edit(group(), id, || std::future::ready(None)).await,
        Ok(()),
        "nothing to show is success"
    );
    assert_eq!(sim.message(GROUP, id.0).expect("there").text, "fine");
}

#[tokio::test]
async fn commands_are_set_and_chats_are_probed_without_a_trace() {
    let (sim, client) = telegram().await;
    queue(&client)
        .set_commands(&[("pending", "What waits for you")], CommandScope::Everyone)
        .await
        .expect("set");
    assert_eq!(sim.commands(), [("pending".to_owned(), "What waits for you".to_owned())]);

    let problems =
        async |chat: i64, thread: Option<i64>| probe(&client, ChatId(chat), thread.map(ThreadId)).await.map(|found| found.problems);
    assert_eq!(problems(GROUP, Some(7)).await, Ok(vec![]));
    assert_eq!(problems(ALICE, None).await, Ok(vec![]));
    assert!(problems(GROUP, Some(8)).await.is_ok_and(|found| found[0].contains("topic 8")));
    assert!(problems(OTHER, Some(7)).await.is_ok_and(|found| found[0].contains("no topics")));
    assert!(problems(-5, None).await.is_err());
    sim.set_member(OTHER, sim.bot().id, "left");
    assert!(problems(OTHER, None).await.is_ok_and(|found| found[0].contains("not a member")));
    assert_eq!(sim.messages(GROUP).len(), 0, "nothing was posted");
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_caller_that_gave_up_in_line_is_not_served() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    sim.fail_next("sendMessage", Fault::Hang(None), 1);
    let send = |text: &'static str| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.send(group(), None, words(text), true, None).await })
    };
    let hanging = send("first");
    sim.wait_for(DEADLINE, |state| (state.calls(Some("sendMessage")).count() == 1).then_some(()))
        .await
        .expect("under way");
    let (gone, last) = (send("given up"), send("last"));
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.is_err());
    sim.release();
    hanging.await.expect("no panic").expect("sent");
    last.await.expect("no panic").expect("sent");
    let texts: Vec<String> = sim.messages(GROUP).into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["first", "last"]);
}

#[tokio::test]
async fn a_stream_of_edits_lets_new_messages_through() {
    let (sim, client) = telegram().await;
    let queue = queue(&client);
    let mut cards = Vec::new();
    for n in 0..12 {
        cards.push(
            queue
                .send(group(), None, words(&n.to_string()), true, None)
                .await
                .expect("sent")
                .message_id,
        );
    }
    sim.fail_next("editMessageText", Fault::Hang(None), 1);
    let edits: Vec<_> = cards
        .into_iter()
        .map(|id| {
            let queue = queue.clone();
            tokio::spawn(async move { edit(&queue, id, "edited").await })
        })
        .collect();
    let notice = tokio::spawn({
        let queue = queue.clone();
        async move { queue.send(group(), None, words("notice"), true, None).await }
    });
    sim.wait_for(DEADLINE, |state| (state.calls(Some("editMessageText")).count() == 1).then_some(()))
        .await
        .expect("under way");
    sim.release();
    notice.await.expect("no panic").expect("sent");
    for one in edits {
        one.await.expect("no panic").expect("edited");
    }
    let methods: Vec<String> = sim.calls(None).into_iter().map(|call| call.method).collect();
    assert_eq!(methods.len(), 25);
    let notice = methods.iter().rposition(|method| method == "sendMessage").expect("sent");
    assert!((16..20).contains(&notice), "after a few edits, before the last: {notice}");
}
