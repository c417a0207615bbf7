//! The Telegram simulator as a bot meets it: refusals word for word, the long poll, taps, webhooks, faults.

use std::time::Duration;

use serde_json::{Value, json};
use simulators::telegram::{Access, Chat, ChatKind, Fault, Tap, TapOutcome, TelegramOptions, TelegramSim, User};

/// Generous, for slow machines; nothing waits that long when all is well.
const LONG: Duration = Duration::from_secs(60);
const GROUP: i64 = -1001;
const FORUM: i64 = -1002;
const OLD_GROUP: i64 = -77;
const ALICE: i64 = 501;
const BOB: i64 = 502;

/// A bot's side: just HTTP.
#[derive(Clone)]
struct Bot {
    base: String,
    http: reqwest::Client,
}

impl Bot {
    async fn post(&self, method: &str, body: Value) -> Result<(u16, Value), reqwest::Error> {
        let response = self
            .http
            .post(format!("{}/bot{}/{method}", self.base, TelegramOptions::default().token))
            .json(&body)
            .send()
            .await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    /// The result, or the description of the refusal.
    async fn call(&self, method: &str, body: Value) -> Result<Value, String> {
        let (_, answer) = self.post(method, body).await.expect("an answer");
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer["result"].clone()),
            _ => Err(answer["description"].as_str().unwrap_or_default().to_owned()),
        }
    }

    async fn send(&self, chat: i64, text: &str) -> i64 {
        let sent = self
            .call(
                "SendMessage",
                json!({ "chat_id": chat, "text": text, "reply_markup": keyboard("data") }),
            )
            .await;
        sent.expect("sent")["message_id"].as_i64().expect("a number")
    }

    async fn updates(&self, offset: i64) -> Vec<Value> {
        let updates = self
            .call("GetUpdates", json!({ "offset": offset, "timeout": 30 }))
            .await
            .expect("updates");
        updates.as_array().expect("a list").clone()
    }
}

fn keyboard(data: &str) -> Value {
    json!({ "inline_keyboard": [[{ "text": "Approve", "callback_data": data }]] })
}

async fn start() -> (TelegramSim, Bot) {
    let sim = TelegramSim::start(TelegramOptions::default()).await.expect("a free port");
    for (id, kind, topics) in [
        (GROUP, ChatKind::Supergroup, vec![]),
        (FORUM, ChatKind::Supergroup, vec![7, 8]),
        (OLD_GROUP, ChatKind::Group, vec![]),
        (ALICE, ChatKind::Private, vec![]),
    ] {
        sim.add_chat(Chat {
            id,
            kind,
            title: "Ops".to_owned(),
            topics,
        });
    }
    for (id, name) in [(ALICE, "alice"), (BOB, "bob")] {
        sim.add_user(User {
            id,
            name: name.to_owned(),
            username: Some(name.to_owned()),
            is_bot: false,
        });
    }
    let bot = Bot {
        base: sim.url(),
        http: reqwest::Client::builder().no_proxy().build().expect("a client"),
    };
    (sim, bot)
}

#[tokio::test]
async fn a_tap_reaches_the_bot_and_its_answer_reaches_the_person() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "scale web").await;
    let (person, bots) = (sim.clone(), bot.clone());
    let tap = tokio::spawn(async move { person.tap(ALICE, GROUP, card, "Approve").await });
    let update = bots.updates(0).await.remove(0);
    let query = &update["callback_query"];
    assert_eq!((query["from"]["id"].as_i64(), query["data"].as_str()), (Some(ALICE), Some("data")));
    assert_eq!(
        (query["message"]["message_id"].as_i64(), query["message"]["chat"]["id"].as_i64()),
        (Some(card), Some(GROUP))
    );
    assert!(query["chat_instance"].is_string());
    let answer = json!({ "callback_query_id": query["id"], "text": "Approved", "show_alert": true });
    assert_eq!(bots.call("answerCallbackQuery", answer.clone()).await, Ok(json!(true)));
    let wanted = TapOutcome::Answered {
        text: Some("Approved".to_owned()),
        alert: true,
        url: None,
    };
    assert_eq!(tap.await.expect("a tap"), wanted);
    let too_old = "Bad Request: query is too old and response timeout expired or query ID is invalid";
    assert_eq!(bots.call("answerCallbackQuery", answer).await, Err(too_old.to_owned()));
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_edit_replaces_text_and_keyboard_and_an_equal_one_is_refused() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "pending").await;
    let edit = json!({ "chat_id": GROUP, "message_id": card, "text": "<b>done</b>", "parse_mode": "HTML" });
    bot.call("EditMessageText", edit.clone()).await.expect("edited");
    let shown = sim.message(GROUP, card).expect("the card");
    assert_eq!(
        (shown.text.as_str(), shown.html.as_str(), shown.keyboard.len(), shown.edits),
        ("done", "<b>done</b>", 0, 1)
    );
    let refusal = bot.call("EditMessageText", edit).await.expect_err("not modified");
    assert!(
        refusal.starts_with("Bad Request: message is not modified: specified new"),
        "{refusal}"
    );
}

#[tokio::test]
async fn refuses_in_the_servers_own_words() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "card").await;
    sim.close_topic(FORUM, 8);
    sim.delete_message(GROUP, bot.send(GROUP, "gone").await);
    let long = "x".repeat(4097);
    let wide = "\u{1F600}".repeat(2049);
    let table = [
        ("sendMessage", json!({ "chat_id": -5, "text": "x" }), "chat not found"),
        ("sendMessage", json!({ "text": "x" }), "chat_id is empty"),
        ("sendMessage", json!({ "chat_id": GROUP, "text": "" }), "message text is empty"),
        ("sendMessage", json!({ "chat_id": GROUP, "text": " \n" }), "text must be non-empty"),
        ("sendMessage", json!({ "chat_id": GROUP, "text": long }), "message is too long"),
        ("sendMessage", json!({ "chat_id": GROUP, "text": wide }), "message is too long"),
        (
            "editMessageText",
            json!({ "chat_id": GROUP, "message_id": card, "text": long }),
            "MESSAGE_TOO_LONG",
        ),
        (
            "sendMessage",
            json!({ "chat_id": GROUP, "text": "a <x>", "parse_mode": "HTML" }),
            "can't parse entities: Unsupported start tag \"x\" at byte offset 2",
        ),
        (
            "sendMessage",
            json!({ "chat_id": GROUP, "text": "x", "reply_markup": keyboard(&"d".repeat(65)) }),
            "BUTTON_DATA_INVALID",
        ),
        (
            "sendMessage",
            json!({ "chat_id": GROUP, "text": "x", "reply_markup": keyboard("") }),
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (
            "sendMessage",
            json!({ "chat_id": FORUM, "text": "x", "message_thread_id": 1 }),
            "message thread not found",
        ),
        (
            "sendMessage",
            json!({ "chat_id": FORUM, "text": "x", "message_thread_id": 9 }),
            "message thread not found",
        ),
        (
            "sendMessage",
            json!({ "chat_id": FORUM, "text": "x", "message_thread_id": 8 }),
            "TOPIC_CLOSED",
        ),
        (
            "sendMessage",
            json!({ "chat_id": GROUP, "text": "x", "reply_parameters": { "message_id": 99 } }),
            "message to be replied not found",
        ),
        (
            "editMessageText",
            json!({ "chat_id": GROUP, "message_id": 2, "text": "x" }),
            "message to edit not found",
        ),
        (
            "editMessageText",
            json!({ "chat_id": GROUP, "message_id": 99, "text": "x" }),
            "message to edit not found",
        ),
        (
            "editMessageCaption",
            json!({ "chat_id": GROUP, "message_id": card, "caption": "x" }),
            "there is no caption in the message to edit",
        ),
        (
            "deleteMessage",
            json!({ "chat_id": GROUP, "message_id": 99 }),
            "message to delete not found",
        ),
        ("sendDocument", json!({ "chat_id": GROUP }), "there is no document in the request"),
    ];
    for (method, body, wanted) in table {
        assert_eq!(
            bot.call(method, body.clone()).await,
            Err(format!("Bad Request: {wanted}")),
            "{method} {body}"
        );
    }
    assert_eq!(
        bot.call("flyToTheMoon", json!({})).await,
        Err("Not Found: method not found".to_owned())
    );
}

#[tokio::test]
async fn a_dead_chat_says_why() {
    let (sim, bot) = start().await;
    for (chat, access, wanted) in [
        (ALICE, Access::Blocked, "Forbidden: bot was blocked by the user"),
        (ALICE, Access::Deactivated, "Forbidden: user is deactivated"),
        (
            ALICE,
            Access::NeverStarted,
            "Forbidden: bot can't initiate conversation with a user",
        ),
        (OLD_GROUP, Access::Kicked, "Forbidden: bot was kicked from the group chat"),
        (GROUP, Access::Kicked, "Forbidden: bot was kicked from the supergroup chat"),
        (GROUP, Access::NotMember, "Forbidden: bot is not a member of the supergroup chat"),
    ] {
        sim.set_access(chat, access);
        assert_eq!(
            bot.call("sendMessage", json!({ "chat_id": chat, "text": "x" })).await,
            Err(wanted.to_owned())
        );
    }
    sim.migrate(OLD_GROUP, -1009);
    let (status, answer) = bot
        .post("sendMessage", json!({ "chat_id": OLD_GROUP, "text": "x" }))
        .await
        .expect("an answer");
    assert_eq!((status, answer["parameters"]["migrate_to_chat_id"].as_i64()), (400, Some(-1009)));
    let kinds: Vec<Value> = bot.updates(0).await;
    let told = |field: &str| kinds.iter().filter(|update| !update["message"][field].is_null()).count();
    assert_eq!((told("migrate_to_chat_id"), told("migrate_from_chat_id")), (1, 1));
    assert!(
        kinds
            .iter()
            .any(|update| update["my_chat_member"]["new_chat_member"]["status"] == "kicked")
    );
}

#[tokio::test]
async fn updates_stay_until_confirmed_and_taps_expire() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "card").await;
    sim.send_text(ALICE, GROUP, "/pending", None);
    sim.queue_tap(Tap::new(ALICE, GROUP, card, "data"));
    let first = bot.updates(0).await;
    assert_eq!(bot.updates(0).await, first, "nothing was confirmed");
    let ids: Vec<i64> = first.iter().map(|update| update["update_id"].as_i64().expect("a number")).collect();
    assert_eq!(ids, [ids[0], ids[0] + 1]);
    sim.advance(Duration::from_secs(151));
    assert_eq!(bot.updates(0).await.len(), 1, "the tap is gone, the command waits");
    sim.redeliver(ids[1]);
    assert_eq!(bot.updates(ids[1] + 1).await[0]["update_id"], ids[1]);
    assert_eq!(sim.waiting_updates(), Vec::<i64>::new());
    let late = json!({ "callback_query_id": first[1]["callback_query"]["id"] });
    assert!(
        bot.call("answerCallbackQuery", late)
            .await
            .expect_err("too late")
            .contains("query is too old")
    );
}

#[tokio::test]
async fn a_second_poller_and_a_webhook_end_the_first_poll() {
    let (sim, bot) = start().await;
    let poll = |bot: Bot| tokio::spawn(async move { bot.call("getUpdates", json!({ "timeout": 50 })).await });
    let waiting = |sim: &TelegramSim, polls: usize| {
        let sim = sim.clone();
        async move {
            sim.wait_for(LONG, |state| {
                (state.calls(Some("getUpdates")).count() == polls && state.is_polled()).then_some(())
            })
            .await
        }
    };
    let older = poll(bot.clone());
    waiting(&sim, 1).await.expect("a first poll");
    let newer = poll(bot.clone());
    assert!(
        older
            .await
            .expect("an end")
            .expect_err("409")
            .starts_with("Conflict: terminated by other getUpdates request")
    );
    waiting(&sim, 2).await.expect("a second poll");
    bot.call("setWebhook", json!({ "url": "http://127.0.0.1:9/hook" }))
        .await
        .expect("set");
    assert_eq!(
        newer.await.expect("an end"),
        Err("Conflict: terminated by setWebhook request".to_owned())
    );
    let refused = bot.call("getUpdates", json!({})).await.expect_err("409");
    assert!(
        refused.starts_with("Conflict: can't use getUpdates method while webhook is active"),
        "{refused}"
    );
    bot.call("deleteWebhook", json!({})).await.expect("deleted");
    assert_eq!(bot.call("getUpdates", json!({})).await, Ok(json!([])));
}

#[tokio::test]
async fn faults_come_as_planned() {
    let (sim, bot) = start().await;
    sim.fail_next_in(GROUP, "sendMessage", Fault::TooManyRequests { retry_after: 7 }, 1);
    assert!(bot.send(ALICE, "other chats flow").await > 0);
    let (status, answer) = bot
        .post("sendMessage", json!({ "chat_id": GROUP, "text": "x" }))
        .await
        .expect("an answer");
    assert_eq!((status, answer["parameters"]["retry_after"].as_i64()), (429, Some(7)));

    sim.fail_next("sendMessage", Fault::Status(502), 1);
    assert_eq!(
        bot.post("sendMessage", json!({ "chat_id": GROUP, "text": "x" }))
            .await
            .expect("an answer")
            .0,
        502
    );

    sim.fail_next("*", Fault::LoseAnswer, 1);
    assert!(bot.post("sendMessage", json!({ "chat_id": GROUP, "text": "lost" })).await.is_err());
    assert_eq!(
        sim.messages(GROUP).last().map(|message| message.text.clone()).as_deref(),
        Some("lost")
    );

    sim.fail_next("sendMessage", Fault::Refuse, 1);
    assert!(bot.post("sendMessage", json!({ "chat_id": GROUP, "text": "never" })).await.is_err());
    sim.fail_next("sendMessage", Fault::Garbage, 1);
    assert!(bot.post("sendMessage", json!({ "chat_id": GROUP, "text": "never" })).await.is_err());
    assert_eq!(sim.messages(GROUP).len(), 1);

    sim.fail_next("sendMessage", Fault::Hang(None), 1);
    let hanging = tokio::spawn({
        let bot = bot.clone();
        async move { bot.send(GROUP, "late").await }
    });
    sim.wait_for(LONG, |state| {
        state
            .calls(Some("sendMessage"))
            .any(|call| call.param("text") == "late")
            .then_some(())
    })
    .await
    .expect("it arrives");
    assert_eq!(sim.messages(GROUP).len(), 1);
    sim.release();
    assert_eq!(hanging.await.expect("it goes on"), 2);
}

#[tokio::test]
async fn a_document_arrives_byte_for_byte() {
    let (sim, bot) = start().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n-1001\r\n--b\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nfull diff\r\n\
                --b\r\nContent-Disposition: form-data; name=\"document\"\r\n\r\nattach://part1\r\n\
                --b\r\nContent-Disposition: form-data; name=\"part1\"; filename=\"prp.diff\"\r\nContent-Type: text/plain\r\n\r\n+a\n-b\n\r\n--b--\r\n";
    let address = format!("{}/bot{}/SendDocument", bot.base, TelegramOptions::default().token);
    let request = bot
        .http
        .post(address)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    assert!(request.send().await.expect("an answer").status().is_success());
    let shown = sim.messages(GROUP).pop().and_then(|message| message.document).expect("a document");
    assert_eq!(
        (shown.file_name.as_str(), shown.bytes.as_slice(), shown.caption.as_str()),
        ("prp.diff", &b"+a\n-b\n"[..], "full diff")
    );
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

#[tokio::test]
async fn privacy_mode_hides_chatter_and_anonymous_admins_have_no_name() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "why?").await;
    sim.send_text(ALICE, GROUP, "nice weather", None);
    sim.send_text(ALICE, GROUP, "/pending@other_bot", None);
    sim.send_text(ALICE, GROUP, "wrong time", Some(card));
    sim.send_anonymously(GROUP, "/pending", None);
    let updates = bot.updates(0).await;
    let texts: Vec<&str> = updates
        .iter()
        .map(|update| update["message"]["text"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(texts, ["wrong time", "/pending"]);
    assert_eq!(updates[0]["message"]["reply_to_message"]["message_id"], card);
    let anonymous = &updates[1]["message"];
    assert_eq!(
        (anonymous["from"]["id"].as_i64(), anonymous["sender_chat"]["id"].as_i64()),
        (Some(1_087_968_824), Some(GROUP))
    );
}

#[tokio::test]
async fn a_forged_tap_shows_what_the_bot_must_check() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "card").await;
    sim.queue_tap(Tap {
        inline_message_id: Some("AAA".to_owned()),
        ..Tap::new(ALICE, GROUP, card, "data")
    });
    sim.queue_tap(Tap {
        inaccessible: true,
        ..Tap::new(BOB, GROUP, card, "data")
    });
    sim.queue_tap(Tap {
        forwarded: true,
        ..Tap::new(BOB, GROUP, card, "data")
    });
    let queries: Vec<Value> = bot.updates(0).await.iter().map(|update| update["callback_query"].clone()).collect();
    assert_eq!(
        (queries[0]["inline_message_id"].as_str(), queries[0]["message"].is_null()),
        (Some("AAA"), true)
    );
    assert_eq!(queries[1]["message"]["date"], 0);
    assert_ne!(queries[2]["message"]["message_id"], card);
    assert_eq!(
        sim.tap(ALICE, GROUP, card, "Reject").await,
        TapOutcome::Missing("no button \"Reject\"; there are: Approve".to_owned())
    );
}

#[tokio::test]
async fn a_webhook_gets_every_update_with_its_secret_until_it_says_2xx() {
    let (sim, bot) = start().await;
    let (seen, mut received) = tokio::sync::mpsc::unbounded_channel();
    let hook = axum::Router::new().fallback(move |headers: axum::http::HeaderMap, body: String| {
        let seen = seen.clone();
        async move {
            let secret = headers
                .get("x-telegram-bot-api-secret-token")
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let (answer, status) = tokio::sync::oneshot::channel();
            seen.send((secret, body, answer)).expect("the test listens");
            axum::http::StatusCode::from_u16(status.await.expect("a status")).expect("a status")
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, hook).await });
    bot.call(
        "setWebhook",
        json!({ "url": url, "secret_token": "s3cret", "allowed_updates": ["message"] }),
    )
    .await
    .expect("set");
    sim.send_text(ALICE, ALICE, "/whoami", None);
    for status in [500, 200] {
        let (secret, body, answer) = tokio::time::timeout(LONG, received.recv())
            .await
            .expect("in time")
            .expect("a delivery");
        let update: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((secret.as_str(), update["message"]["text"].as_str()), ("s3cret", Some("/whoami")));
        answer.send(status).expect("it waits");
    }
    sim.wait_for(LONG, |state| (state.pending_updates() == 0).then_some(()))
        .await
        .expect("confirmed by 2xx");
    let info = bot.call("getWebhookInfo", json!({})).await.expect("info");
    assert_eq!(
        info["last_error_message"],
        "Wrong response from the webhook: 500 Internal Server Error"
    );
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let (_sim, bot) = start().await;
    for (token, status) in [("1:x", 401), ("nonsense", 404)] {
        let answer = bot
            .http
            .post(format!("{}/bot{token}/getMe", bot.base))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
    }
}

#[tokio::test]
async fn updates_can_come_late_twice_and_out_of_order() {
    let (sim, bot) = start().await;
    sim.hold_updates();
    for text in ["/one", "/two", "/three"] {
        sim.send_text(ALICE, ALICE, text, None);
    }
    let ids = sim.waiting_updates();
    sim.release_updates(&[ids[2], ids[0]]);
    let texts = |updates: &[Value]| -> Vec<String> {
        updates
            .iter()
            .map(|update| update["message"]["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(texts(&bot.updates(0).await), ["/three", "/one", "/two"]);
    sim.send_text(ALICE, ALICE, "/four", None);
    sim.redeliver(ids[0]);
    assert_eq!(texts(&bot.updates(ids[2] + 1).await), ["/four", "/one"]);
    sim.advance(Duration::from_secs(24 * 60 * 60 + 1));
    assert_eq!(
        bot.call("getUpdates", json!({})).await,
        Ok(json!([])),
        "unread updates are dropped after a day"
    );
}

#[tokio::test]
async fn old_messages_can_be_edited_but_not_deleted() {
    let (sim, bot) = start().await;
    let card = bot.send(GROUP, "card").await;
    sim.advance(Duration::from_secs(49 * 60 * 60));
    let message = json!({ "chat_id": GROUP, "message_id": card, "text": "expired" });
    assert_eq!(
        bot.call("deleteMessage", message.clone()).await,
        Err("Bad Request: message can't be deleted for everyone".to_owned())
    );
    assert!(bot.call("editMessageText", message).await.is_ok());
}

#[tokio::test]
async fn an_answer_in_a_forum_stays_in_its_topic() {
    let (_sim, bot) = start().await;
    let card = bot
        .call("sendMessage", json!({ "chat_id": FORUM, "text": "card", "message_thread_id": 7 }))
        .await
        .expect("sent");
    let reply = json!({ "chat_id": FORUM, "text": "failed", "reply_parameters": { "message_id": card["message_id"] } });
    assert_eq!(bot.call("sendMessage", reply).await.expect("sent")["message_thread_id"], 7);
}

#[tokio::test]
async fn a_request_off_the_published_api_is_noticed() {
    if std::env::var_os("COUNTERSIGN_API_SPECS").is_none() {
        println!("COUNTERSIGN_API_SPECS is not set: nothing to check against");
        return;
    }
    let (sim, bot) = start().await;
    let _refused_or_not = bot
        .call(
            "sendMessage",
            json!({ "chat_id": true, "txt": "x", "reply_markup": { "inline_keyboard": [[{}]] } }),
        )
        .await;
    let _refused = bot.call("flyToTheMoon", json!({})).await;
    let found = sim.spec_violations().join("\n");
    for wanted in [
        "sendMessage.chat_id: is no Integer",
        "sendMessage: text is missing",
        "sendMessage: unknown parameter txt",
        "InlineKeyboardButton.text is missing",
        "flyToTheMoon: no such method",
    ] {
        assert!(found.contains(wanted), "{wanted} in:\n{found}");
    }
}

#[tokio::test]
async fn the_last_handle_stops_the_server_and_cuts_its_connections() {
    let (sim, bot) = start().await;
    let poll = tokio::spawn({
        let bot = bot.clone();
        async move { bot.post("getUpdates", json!({ "timeout": 50 })).await.is_err() }
    });
    sim.wait_for(LONG, |state| state.is_polled().then_some(())).await.expect("a poll");
    drop(sim);
    assert!(poll.await.expect("an end"), "the waiting poll is cut");
    assert!(bot.post("getMe", json!({})).await.is_err());
}

#[tokio::test]
async fn a_busy_chat_is_told_to_wait_while_others_flow() {
    let (sim, bot) = start().await;
    sim.limit_rate(GROUP, 2, Duration::from_secs(60));
    let send = |chat: i64| bot.post("sendMessage", json!({ "chat_id": chat, "text": "x" }));
    let mut statuses = Vec::new();
    for chat in [GROUP, GROUP, GROUP, ALICE] {
        statuses.push(send(chat).await.expect("an answer").0);
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    sim.advance(Duration::from_secs(61));
    assert_eq!(send(GROUP).await.expect("an answer").0, 200);
    assert!(!format!("{sim:?}").contains("simulated-token"));
}
