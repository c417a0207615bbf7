//! Whose approvals are asked where there is a choice, as an agent reads it.

use domain::Policy;
use engine::Book;
use serde_json::{Value, json};

use super::fixture::{Api, JSON, TOKEN, api};

/// The shipped policy, in which one of platform may approve instead of two operators.
async fn choosing() -> Api {
    let api = api().await;
    let text = include_str!("../../../../config/policy.toml").replacen(
        "tier = \"prompted\"\napprovers = \"operators\"",
        "tier = \"prompted\"\napprovers = { any = [{ group = \"operators\", count = 2 }, \"platform\"] }",
        1,
    );
    api.engine
        .put_in_force(Book::new(Policy::parse(&text).expect("a policy"), Vec::new()));
    api
}

async fn sent(api: &Api, line: &str) -> Value {
    let change = json!({"path": "kubernetes/applications/web/values.yaml", "content": "replicas: 2\n"});
    let body = json!({"repository": "homelab", "title": "Two", "reason": "needed", "changes": [change]});
    let seen = api.send(&format!("{line}\n{TOKEN}\n{JSON}"), body.to_string()).await;
    assert!(seen.status < 300, "{}", seen.text);
    seen.json()
}

#[tokio::test]
async fn an_agent_reads_all_ways_to_an_approval_and_all_who_may_give_it() {
    let api = choosing().await;
    let places = json!([{
        "group": "platform (or 2 of operators)",
        "quorum": 1,
        "approved_by": [],
        "people": ["bob", "carol", "dave", "alice"],
        "instead": [[{"group": "operators", "quorum": 2, "approved_by": [], "people": ["alice", "bob", "carol"]}]],
    }]);
    let route = sent(&api, "POST /v1/proposals:evaluate").await;
    assert_eq!(route["approvers"], places);
    let proposed = sent(&api, "POST /v1/proposals\nidempotency-key: k1").await;
    let told = &proposed["progress"];
    assert_eq!(told["needs"], "2 of operators or 1 of platform");
    assert_eq!(told["required"], json!([]), "nothing is asked whatever is chosen");
    assert_eq!(
        told["all"],
        json!([{"any": [[{"group": "operators", "quorum": 2}], [{"group": "platform", "quorum": 1}]]}])
    );
    assert_eq!(told["nearest"], places);
    let id = proposed["id"].as_str().expect("an id");
    let read = api.send(&format!("GET /v1/proposals/{id}\n{TOKEN}"), "").await;
    assert_eq!(read.json()["progress"], *told);
    // It belongs to what is told beside the version: the tag changes with it.
    let tag = read.header("etag").to_owned();
    assert!(tag.starts_with("\"v1."), "{tag}");
    let listed = api.send(&format!("GET /v1/proposals\n{TOKEN}"), "").await.json();
    assert_eq!(listed["proposals"][0]["progress"]["nearest"], Value::Null);
}

#[tokio::test]
async fn without_a_choice_there_is_one_way_and_nothing_to_be_nearest() {
    let api = api().await;
    let proposed = sent(&api, "POST /v1/proposals\nidempotency-key: k1").await;
    let told = &proposed["progress"];
    assert_eq!(told["all"], json!([{"any": [[{"group": "operators", "quorum": 1}]]}]));
    assert_eq!(
        (&told["required"], &told["nearest"]),
        (&json!([{"group": "operators", "quorum": 1}]), &Value::Null)
    );
}
