//! The demo page with sample cards and a bot of thirty lines, to work on its looks: `cargo run -p simulators --example chat_page [PORT]`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use simulators::page::{ApplicationRow, Page, PageOptions};
use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim, User};

const OPS: i64 = -1_001_000_000_001;
const ALICE: i64 = 1001;

const CARD: &str = "🟠 <b>PROMPTED · scale web to 5 replicas</b>\nprod / shop · 2 files · <b>+4 −2</b> · agent <b>ops-bot</b>\n\n\
<b>What changes</b>\n! Deployment <code>web</code>: replicas 3 → 5\n· HPA <code>web</code>: maxReplicas 4 → 8\n\
<blockquote expandable><b>Checks</b> paths ok · policy ok · drift none\n<b>Applications</b> shop-web (Synced, Healthy)\n<b>Rule</b> applications → prompted, 1 of @sre\n<b>Digest</b> <code>7c2f 91ab 04de</code>\n<b>The agent says</b> p95 latency is 900 ms for 20 minutes &lt;b&gt;and rising&lt;/b&gt;</blockquote>\n\
<pre><code class=\"language-diff\">--- kubernetes/applications/shop/web.yaml\n+++ kubernetes/applications/shop/web.yaml\n@@ -6,7 +6,7 @@ spec:\n   selector:\n     matchLabels: {app: web}\n-  replicas: 3\n+  replicas: 5\n   template:</code></pre>\n\
Needs 1 approval · expires 14:30 · <a href=\"https://192.0.2.10/proposals/7K2M\">7K2M</a>";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8088);
    let sim = TelegramSim::start(TelegramOptions::default()).await?;
    for (id, name) in [(ALICE, "alice"), (1002, "bob"), (1003, "mallory")] {
        sim.add_user(User {
            id,
            name: name.to_owned(),
            username: Some(name.to_owned()),
            is_bot: false,
        });
    }
    sim.add_chat(Chat {
        id: OPS,
        kind: ChatKind::Supergroup,
        title: "Homelab approvals".to_owned(),
        topics: vec![],
    });
    sim.add_chat(Chat {
        id: OPS - 1,
        kind: ChatKind::Supergroup,
        title: "Notifications".to_owned(),
        topics: vec![],
    });
    sim.add_chat(Chat {
        id: ALICE,
        kind: ChatKind::Private,
        title: "alice".to_owned(),
        topics: vec![],
    });
    let folder = tempfile::tempdir()?;
    seed_repository(folder.path())?;
    let bot = Bot {
        base: format!("{}/bot{}", sim.url(), TelegramOptions::default().token),
        http: reqwest::Client::builder().no_proxy().build()?,
    };
    seed_chat(&sim, &bot).await?;
    let page = Page::start(PageOptions {
        bind: SocketAddr::from(([127, 0, 0, 1], port)),
        telegram: sim.clone(),
        git_remote: folder.path().to_owned(),
        branch: "main".to_owned(),
        applications: Arc::new(applications),
        codes: Arc::new(Vec::new),
        users: vec![ALICE, 1002, 1003],
        headline: "An agent proposes, a human approves, git carries it".to_owned(),
    })
    .await?;
    println!("{}", page.url());
    bot.run().await
}

struct Bot {
    base: String,
    http: reqwest::Client,
}

impl Bot {
    async fn call(&self, method: &str, body: Value) -> Result<Value, reqwest::Error> {
        self.http
            .post(format!("{}/{method}", self.base))
            .json(&body)
            .send()
            .await?
            .json()
            .await
    }

    async fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut offset = 0;
        loop {
            let updates = self.call("getUpdates", json!({ "offset": offset, "timeout": 10 })).await?;
            for update in updates["result"].as_array().into_iter().flatten() {
                offset = update["update_id"].as_i64().unwrap_or(0) + 1;
                let query = &update["callback_query"];
                if query.is_null() {
                    continue;
                }
                let alert = query["data"] == "diff";
                let text = format!(
                    "{} pressed {}",
                    query["from"]["first_name"].as_str().unwrap_or(""),
                    query["data"].as_str().unwrap_or("")
                );
                self.call(
                    "answerCallbackQuery",
                    json!({ "callback_query_id": query["id"], "text": text, "show_alert": alert }),
                )
                .await?;
                let edit = json!({
                    "chat_id": query["message"]["chat"]["id"],
                    "message_id": query["message"]["message_id"],
                    "parse_mode": "HTML",
                    "text": "🟢 <b>APPROVED by alice 14:02 · scale web to 5 replicas</b>\nCommitted <code>a1b2c3d</code> → synced → healthy",
                    "reply_markup": { "inline_keyboard": [[{ "text": "Revert", "callback_data": "revert" }]] },
                });
                if !alert {
                    self.call("editMessageText", edit).await?;
                }
            }
        }
    }
}

async fn seed_chat(sim: &TelegramSim, bot: &Bot) -> Result<(), Box<dyn std::error::Error>> {
    bot.call(
        "setMyCommands",
        json!({ "commands": [
        { "command": "pending", "description": "What waits for a decision" },
        { "command": "show", "description": "One proposal in full" },
        { "command": "whoami", "description": "Your numeric id and roles" },
    ] }),
    )
    .await?;
    let done = "🟢 <b>DELIVERED · raise memory of postgres to 2Gi</b>\nCommitted <code>3f2a9c1</code> → synced → healthy in 41 s";
    let undo = json!({ "inline_keyboard": [[{ "text": "Revert", "callback_data": "revert" }, { "text": "Copy commit", "copy_text": { "text": "3f2a9c1" } }]] });
    bot.call(
        "sendMessage",
        json!({ "chat_id": OPS, "text": done, "parse_mode": "HTML", "reply_markup": undo }),
    )
    .await?;
    sim.send_text(ALICE, OPS, "/pending", None);
    let keyboard = json!({ "inline_keyboard": [
        [{ "text": "Approve", "callback_data": "approve", "style": "success" }, { "text": "Reject", "callback_data": "reject", "style": "danger" }],
        [{ "text": "Full diff", "callback_data": "diff" }, { "text": "Argo CD", "url": "https://192.0.2.10/applications" }],
    ] });
    let card = json!({ "chat_id": OPS, "text": CARD, "parse_mode": "HTML", "reply_markup": keyboard });
    let sent = bot.call("sendMessage", card).await?;
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n{OPS}\r\n--b\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nThe full change\r\n\
         --b\r\nContent-Disposition: form-data; name=\"reply_parameters\"\r\n\r\n{{\"message_id\":{}}}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"document\"; filename=\"scale-web-to-5.diff\"\r\n\r\n--- a/web.yaml\n+++ b/web.yaml\n@@ -1 +1 @@\n-replicas: 3\n+replicas: 5\n\r\n--b--\r\n",
        sent["result"]["message_id"]
    );
    let upload = bot
        .http
        .post(format!("{}/sendDocument", bot.base))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    upload.send().await?.error_for_status()?;
    let note = "⚪ <b>STANDARD · restart worker</b>\nDone by runbook <i>restart</i>, 46 of 47 ok";
    bot.call("sendMessage", json!({ "chat_id": OPS - 1, "text": note, "parse_mode": "HTML" }))
        .await?;
    Ok(())
}

fn applications() -> Vec<ApplicationRow> {
    let row = |name: &str, sync: &str, health: &str, operation: &str| ApplicationRow {
        name: name.to_owned(),
        sync: sync.to_owned(),
        health: health.to_owned(),
        revision: "a1b2c3d".to_owned(),
        operation: operation.to_owned(),
    };
    vec![
        row(
            "shop-web",
            "Synced",
            "Progressing",
            "Syncing: waiting for healthy state of apps/Deployment/web",
        ),
        row("postgres", "Synced", "Healthy", "successfully synced (all tasks run)"),
        row("monitoring", "OutOfSync", "Healthy", ""),
        row("media", "Synced", "Degraded", "Deployment \"media\" exceeded its progress deadline"),
    ]
}

fn seed_repository(folder: &Path) -> Result<(), git2::Error> {
    let repository = git2::Repository::init_bare(folder)?;
    let author = git2::Signature::now("countersign", "countersign@192.0.2.10")?;
    let mut parent: Option<git2::Oid> = None;
    for (replicas, message) in [
        (2, "Seed the homelab repository".to_owned()),
        (3, "Scale web to 3 replicas\n\nThe agent's reason: more visitors at night.\n\nProposal-Id: prp_018f\nProposed-by: ops-bot\nApproved-by: alice\nTier: prompted\nDigest: 7c2f91ab04de\n".to_owned()),
    ] {
        let blob = repository.blob(format!("kind: Deployment\nname: web\nreplicas: {replicas}\n").as_bytes())?;
        let mut tree = repository.treebuilder(None)?;
        tree.insert("web.yaml", blob, 0o100_644)?;
        let tree = repository.find_tree(tree.write()?)?;
        let parents = parent.map(|id| repository.find_commit(id)).transpose()?;
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        parent = Some(repository.commit(Some("refs/heads/main"), &author, &author, &message, &tree, &parents)?);
    }
    Ok(())
}
