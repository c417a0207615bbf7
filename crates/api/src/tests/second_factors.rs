//! What an approval takes beside a tap, as an agent reads it.

use domain::Policy;
use engine::Book;
use serde_json::{Value, json};

use super::fixture::{Api, JSON, TOKEN, api};

const VALUES: &str = "kubernetes/applications/web/values.yaml";

/// The shipped policy, with approvals of applications that take this, in force.
async fn marked(factors: &[&str]) -> Api {
    let api = api().await;
    let shipped = include_str!("../../../../config/policy.toml");
    let floors = factors
        .iter()
        .map(|factor| format!("\n[[floors]]\npaths = [\"kubernetes/applications/**\"]\nsecond_factor = \"{factor}\"\n"));
    let text = format!("{shipped}{}", floors.collect::<String>());
    api.engine
        .put_in_force(Book::new(Policy::parse(&text).expect("a policy"), Vec::new()));
    api
}

async fn progress(api: &Api, line: &str) -> Value {
    let change = json!({"path": VALUES, "content": "replicas: 2\n"});
    let body = json!({"repository": "homelab", "title": "Two", "reason": "needed", "changes": [change]});
    let seen = api.send(&format!("{line}\n{TOKEN}\n{JSON}"), body.to_string()).await;
    assert!(seen.status < 300, "{}", seen.text);
    seen.json()
}

#[tokio::test]
async fn an_agent_reads_which_second_factors_an_approval_takes() {
    for (factors, needs) in [
        (&[][..], "1 of operators"),
        (&["totp"], "1 of operators, each with a code"),
        (&["person"], "2 of operators"),
        (&["totp", "person"], "2 of operators, each with a code"),
    ] {
        let api = marked(factors).await;
        let route = progress(&api, "POST /v1/proposals:evaluate").await;
        assert_eq!(route["second_factors"], json!(factors), "{route}");
        let proposed = progress(&api, "POST /v1/proposals\nidempotency-key: k1").await;
        let told = &proposed["progress"];
        assert_eq!(
            (&told["second_factors"], &told["needs"]),
            (&json!(factors), &json!(needs)),
            "{proposed}"
        );
        let id = proposed["id"].as_str().expect("an id");
        let read = api.send(&format!("GET /v1/proposals/{id}\n{TOKEN}"), "").await.json();
        assert_eq!(read["progress"], *told);
    }
}
