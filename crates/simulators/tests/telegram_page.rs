//! The demo page over HTTP: what the browser gets, and what a click does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use simulators::page::{ApplicationRow, CodeRow, Page, PageOptions};
use simulators::telegram::{Chat, ChatKind, TapOutcome, TelegramOptions, TelegramSim, User};

const GROUP: i64 = -1001;
const ALICE: i64 = 501;
const LONG: Duration = Duration::from_secs(60);

struct Demo {
    sim: TelegramSim,
    page: Page,
    http: reqwest::Client,
    remote: tempfile::TempDir,
    rows: Arc<Mutex<Vec<ApplicationRow>>>,
}

impl Demo {
    async fn start() -> Self {
        let sim = TelegramSim::start(TelegramOptions::default()).await.expect("a free port");
        sim.add_chat(Chat {
            id: GROUP,
            kind: ChatKind::Supergroup,
            title: "Ops".to_owned(),
            topics: vec![],
        });
        sim.add_user(User {
            id: ALICE,
            name: "<alice>".to_owned(),
            username: None,
            is_bot: false,
        });
        let remote = tempfile::tempdir().expect("a folder");
        git2::Repository::init_bare(remote.path()).expect("a repository");
        let rows = Arc::new(Mutex::new(Vec::new()));
        let shown = rows.clone();
        let page = Page::start(PageOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            telegram: sim.clone(),
            git_remote: remote.path().to_owned(),
            branch: "main".to_owned(),
            applications: Arc::new(move || shown.lock().expect("rows").clone()),
            codes: Arc::new(|| {
                vec![CodeRow {
                    user: ALICE,
                    code: "042042".to_owned(),
                }]
            }),
            users: vec![ALICE],
            headline: "demo".to_owned(),
        });
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self {
            sim,
            page: page.await.expect("a free port"),
            http,
            remote,
            rows,
        }
    }

    async fn bot(&self, method: &str, body: Value) -> Value {
        let address = format!("{}/bot{}/{method}", self.sim.url(), TelegramOptions::default().token);
        self.http
            .post(address)
            .json(&body)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.page.url())).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self
            .http
            .post(format!("{}{path}", self.page.url()))
            .json(&body)
            .send()
            .await
            .expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Reads the stream until one panel satisfies the wish.
    async fn panel(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            let mut stream = self.http.get(format!("{}events", self.page.url())).send().await.expect("a stream");
            let mut text = String::new();
            loop {
                let chunk = stream.chunk().await.expect("a chunk").expect("the stream goes on");
                text.push_str(&String::from_utf8_lossy(&chunk));
                let datas = text
                    .split("\n\n")
                    .filter_map(|event| event.strip_prefix(&format!("event: {name}\ndata: ")));
                if let Some(found) = datas.filter_map(|data| serde_json::from_str(data).ok()).find(|data| wanted(data)) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LONG, reading).await.expect("the panel shows it in time")
    }
}

#[tokio::test]
async fn a_click_reaches_the_bot_and_the_toast_comes_back() {
    let demo = Demo::start().await;
    let keyboard =
        json!({ "inline_keyboard": [[{ "text": "Approve", "callback_data": "a" }, { "text": "Copy", "copy_text": { "text": "abc" } }]] });
    let sent = demo
        .bot(
            "sendMessage",
            json!({ "chat_id": GROUP, "text": "<b>card</b>", "parse_mode": "HTML", "reply_markup": keyboard }),
        )
        .await;
    let shown = demo.panel("chat", |chat| chat["chats"][0]["messages"][0]["text"] == "card").await;
    assert_eq!(shown["chats"][0]["messages"][0]["entities"][0]["type"], "bold");
    assert_eq!(shown["people"][0]["name"], "<alice>");
    let press =
        |column: usize| json!({ "user": ALICE, "chat": GROUP, "message": sent["result"]["message_id"], "row": 0, "column": column });
    let answer = async {
        let updates = demo.bot("getUpdates", json!({ "timeout": 30 })).await;
        let id = &updates["result"][0]["callback_query"]["id"];
        demo.bot(
            "answerCallbackQuery",
            json!({ "callback_query_id": id, "text": "Approved", "show_alert": true }),
        )
        .await
    };
    let (clicked, _) = tokio::join!(demo.post("tap", press(0)), answer);
    assert_eq!(clicked, (200, json!({ "text": "Approved", "alert": true, "url": null })));
    assert_eq!(demo.post("tap", press(1)).await, (200, json!({ "copied": "abc" })));
    assert_eq!(demo.post("tap", press(7)).await, (200, json!({ "text": "This button is gone." })));
    assert_eq!(demo.sim.tap(ALICE, GROUP, 1, "Copy").await, TapOutcome::Copied("abc".to_owned()));
}

#[tokio::test]
async fn what_a_person_types_is_sent_as_that_person() {
    let demo = Demo::start().await;
    let say = |user: i64, text: &str| json!({ "user": user, "chat": GROUP, "text": text, "reply_to": null });
    assert_eq!(demo.post("say", say(ALICE, "/pending")).await, (200, json!({ "message": 1 })));
    assert_eq!(demo.sim.messages(GROUP)[0].from, Some(ALICE));
    assert_eq!(demo.post("say", say(999, "/pending")).await.0, 400);
    assert_eq!(demo.post("say", say(ALICE, " ")).await.0, 400);
}

#[tokio::test]
async fn the_log_shows_trailers_apart_and_the_diff_on_demand() {
    let demo = Demo::start().await;
    let id = commit(demo.remote.path(), "a: 1\n", "Seed");
    let tip = commit(
        demo.remote.path(),
        "a: 2\n",
        "Set a to 2\n\nWhy: <script>\n\nProposal-Id: prp_1\nApproved-by: alice\n",
    );
    let log = demo
        .panel("log", |log| log["commits"].as_array().is_some_and(|commits| commits.len() == 2))
        .await;
    let newest = &log["commits"][0];
    assert_eq!(
        (newest["subject"].as_str(), newest["body"].as_str()),
        (Some("Set a to 2"), Some("Why: <script>"))
    );
    assert_eq!(newest["trailers"], json!([["Proposal-Id", "prp_1"], ["Approved-by", "alice"]]));
    let (status, diff) = demo.get(&format!("commit/{tip}")).await;
    assert!(status == 200 && diff.contains("-a: 1\n+a: 2\n"), "{diff}");
    assert!(demo.get(&format!("commit/{id}")).await.1.contains("+a: 1"));
    assert_eq!(demo.get("commit/nonsense").await.0, 404);
}

#[tokio::test]
async fn applications_appear_when_they_change() {
    let demo = Demo::start().await;
    demo.panel("applications", |rows| rows == &json!([])).await;
    let text = |text: &str| text.to_owned();
    let row = ApplicationRow {
        name: text("web"),
        sync: text("Synced"),
        health: text("Healthy"),
        revision: text("a1b2c3d"),
        operation: String::new(),
    };
    demo.rows.lock().expect("rows").push(row);
    demo.panel("applications", |rows| rows[0]["health"] == "Healthy").await;
    demo.panel("codes", |rows| rows == &json!([{ "user": ALICE, "code": "042042" }]))
        .await;
}

#[tokio::test]
async fn the_page_needs_nothing_from_outside_and_answers_only_this_machine() {
    let demo = Demo::start().await;
    for (path, must) in [
        ("", "<title>Countersign demo</title>"),
        ("style.css", ".bubble"),
        ("script.js", "EventSource"),
    ] {
        let (status, text) = demo.get(path).await;
        assert!(status == 200 && text.contains(must), "{path}");
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !foreign.contains("http://") && !foreign.contains("innerHTML"),
            "{path} loads nothing and parses no mark-up"
        );
    }
    let answer = demo.http.get(demo.page.url()).send().await.expect("an answer");
    assert!(
        answer.headers()["content-security-policy"]
            .to_str()
            .expect("text")
            .starts_with("default-src 'none'; script-src 'self'")
    );
    let rebound = demo
        .http
        .get(demo.page.url())
        .header("host", "evil.example")
        .send()
        .await
        .expect("an answer");
    assert_eq!(rebound.status().as_u16(), 403);
}

fn commit(folder: &Path, content: &str, message: &str) -> String {
    let repository = git2::Repository::open(folder).expect("a repository");
    let author = git2::Signature::now("countersign", "countersign@192.0.2.10").expect("a signature");
    let mut builder = repository.treebuilder(None).expect("a tree");
    let blob = repository.blob(content.as_bytes()).expect("a blob");
    builder.insert("a.yaml", blob, 0o100_644).expect("an entry");
    let tree = repository.find_tree(builder.write().expect("a tree")).expect("a tree");
    let parent = repository
        .refname_to_id("refs/heads/main")
        .ok()
        .and_then(|id| repository.find_commit(id).ok());
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    repository
        .commit(Some("refs/heads/main"), &author, &author, message, &tree, &parents)
        .expect("a commit")
        .to_string()
}
