//! The crate against the Telegram simulator: what arrives on the phone, and what reaches the handler, whatever the network does.

mod delivery;
mod receiving;
mod refusals;

use std::time::Duration;

use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim, User};
use telegram::{ChatId, Client, ClientOptions, Limits, Queue, Rendered};

/// Long enough for a slow, busy machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(60);
/// A group.
const GROUP: i64 = -100_200;
/// Another one.
const OTHER: i64 = -100_300;
/// Two people, with a private chat each.
const ALICE: i64 = 501;
const BOB: i64 = 502;

/// A simulator with two groups and two people, and a client for it.
async fn telegram() -> (TelegramSim, Client) {
    let sim = TelegramSim::start(TelegramOptions::default()).await.expect("a free port");
    let chat = |id, kind, title: &str, topics: &[i64]| Chat {
        id,
        kind,
        title: title.into(),
        topics: topics.to_vec(),
    };
    sim.add_chat(chat(GROUP, ChatKind::Supergroup, "operators", &[7]));
    sim.add_chat(chat(OTHER, ChatKind::Supergroup, "others", &[]));
    for (id, name) in [(ALICE, "alice"), (BOB, "bob")] {
        sim.add_user(User {
            id,
            name: name.into(),
            username: None,
            is_bot: false,
        });
        sim.add_chat(chat(id, ChatKind::Private, name, &[]));
    }
    let client = client(&sim.url());
    (sim, client)
}

/// A client with the simulator's token.
fn client(url: &str) -> Client {
    let options = ClientOptions {
        token: TelegramOptions::default().token.into(),
        api_url: url.parse().expect("an address"),
        timeout: Duration::from_secs(20),
        upload_timeout: DEADLINE,
    };
    Client::new(options).expect("a client")
}

/// A queue without limits of its own.
fn queue(client: &Client) -> Queue {
    let fast = Limits {
        per_chat_minute: 10_000,
        per_chat_second: 10_000,
        burst: 10_000,
        overall_second: 10_000,
        ..Limits::default()
    };
    Queue::new(client.clone(), fast)
}

fn group() -> ChatId {
    ChatId(GROUP)
}

fn words(text: &str) -> Rendered {
    telegram::message(text)
}
