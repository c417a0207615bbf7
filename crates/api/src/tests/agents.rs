//! What an agent can do, step by step.

use serde_json::json;

use super::fixture::{JSON, TOKEN, api, api_with, change, limits};
use crate::ApiLimits;

#[tokio::test]
async fn a_proposal_is_created_found_again_and_replayed() {
    let api = api().await;
    let new = api.propose("\"k1\"", 5).await;
    let address = format!("/v1/proposals/{}", new.id());
    assert_eq!(
        (
            new.status,
            new.header("location"),
            new.header("etag"),
            new.header("idempotent-replayed")
        ),
        (201, &*address, "\"v1\"", "")
    );
    assert_eq!(
        (&new.json()["tier"], &new.json()["rule"], &new.json()["decision"]),
        (&json!("prompted"), &json!("workloads"), &json!("pending"))
    );

    let again = api.propose("k1", 5).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed"), &again.text),
        (201, "true", &new.text)
    );
    assert_eq!((again.header("location"), again.header("etag")), (&*address, "\"v1\""));
    assert_eq!(api.propose("k1", 6).await.problem(), "422 idempotency_key_reused");

    let same_content = api.propose("k2", 5).await;
    assert_eq!(
        (same_content.status, same_content.header("countersign-existing"), same_content.id()),
        (200, "true", new.id())
    );

    // Another agent's key is another key, and another agent's proposal is not there.
    let bob = TOKEN.replace("alice", "bob");
    let other = api
        .send(&format!("POST /v1/proposals\n{bob}\n{JSON}\nidempotency-key: k1"), change(5))
        .await;
    assert_eq!(other.status, 201);
    let foreign = api.send(&format!("GET {address}\n{bob}"), "").await;
    let absent = api.get("/v1/proposals/prp_000000000000000000000000000000ff", "").await;
    assert_eq!(
        (foreign.problem(), &foreign.json()["detail"]),
        ("404 not_found".to_owned(), &absent.json()["detail"])
    );
}

#[tokio::test]
async fn a_hundred_at_once_with_one_key_make_one_proposal() {
    let api = api().await;
    let seen = futures_util::future::join_all((0..100).map(|_| api.propose("k", 5))).await;
    let mut answers: Vec<u16> = seen.iter().map(|seen| seen.status).collect();
    answers.dedup();
    assert!(seen.iter().all(|seen| matches!(seen.status, 201 | 409)), "{answers:?}");
    let busy = seen.iter().find(|seen| seen.status == 409).expect("somebody came second");
    assert_eq!(
        (busy.problem().as_str(), busy.header("retry-after")),
        ("409 idempotency_key_in_flight", "1")
    );
    assert_eq!(api.get("/v1/proposals", "").await.json()["proposals"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn reading_is_conditional_and_may_wait() {
    let api = api().await;
    let path = format!("/v1/proposals/{}", api.propose("k", 5).await.id());
    for (query, headers, status, applied) in [
        ("", "", 200, ""),
        ("", "if-none-match: \"v1\"", 304, ""),
        ("", "if-none-match: W/\"v0\", W/\"v1\"", 304, ""),
        ("", "if-none-match: *", 304, ""),
        ("", "if-none-match: \"v2\"", 200, ""),
        ("?wait=0", "", 200, "wait=0"),
        ("?wait=0&until=outcome", "if-none-match: \"v1\"", 304, "wait=0"),
        // A version that the caller has not seen is news at the end of a wait, also while what it waits for has not happened.
        ("?wait=0&until=decision", "if-none-match: \"v0\"", 200, "wait=0"),
        ("", "prefer: wait=0\nif-none-match: \"v9\"", 200, "wait=0"),
    ] {
        let seen = api.get(&format!("{path}{query}"), headers).await;
        assert_eq!(
            (seen.status, seen.header("etag"), seen.header("preference-applied")),
            (status, "\"v1\"", applied),
            "{query} {headers}"
        );
        assert_eq!(seen.text.is_empty(), status == 304);
    }
}

#[tokio::test]
async fn the_wait_has_a_ceiling() {
    let api = api_with(ApiLimits {
        wait_seconds: 1,
        ..limits()
    })
    .await;
    let path = format!("/v1/proposals/{}?wait=100000", api.propose("k", 5).await.id());
    let seen = api.get(&path, "if-none-match: \"v1\"").await;
    assert_eq!((seen.status, seen.header("preference-applied")), (304, "wait=1"));
    assert_eq!(api.get(&path, "").await.status, 200);
    assert_eq!(ApiLimits::default().wait_seconds, 60);
}

#[tokio::test]
async fn revising_needs_the_version_that_was_seen() {
    let api = api().await;
    let id = api.propose("k", 5).await.id();
    let revise = async |headers: &str| {
        let line = format!("POST /v1/proposals/{id}/revisions\n{TOKEN}\n{JSON}\nidempotency-key: r\n{headers}");
        api.send(&line, change(6).replace("\"repository\":\"homelab\",", "")).await
    };
    assert_eq!(revise("").await.problem(), "428 if_match_required");
    let unread = api
        .send(
            &format!("POST /v1/proposals/{id}/revisions\n{TOKEN}\n{JSON}\nidempotency-key: r"),
            "{",
        )
        .await;
    assert_eq!(unread.problem(), "428 if_match_required", "before the body is judged");
    assert_eq!(revise("if-match: v1").await.problem(), "400 invalid_header");
    for stale in ["\"v9\"", "W/\"v1\"", "\"other\""] {
        let seen = revise(&format!("if-match: {stale}")).await;
        assert_eq!(
            (seen.problem().as_str(), seen.header("etag")),
            ("412 version_changed", "\"v1\""),
            "{stale}"
        );
    }
    let seen = revise("if-match: \"v1\"").await;
    assert_eq!(
        (seen.status, seen.header("etag"), &seen.json()["revision"]),
        (201, "\"v2\"", &json!(2)),
        "{}",
        seen.text
    );
    let again = revise("if-match: \"v1\"").await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed"), &again.text),
        (201, "true", &seen.text)
    );
    let line = format!("POST /v1/proposals/{id}/revisions\n{TOKEN}\n{JSON}\nidempotency-key: any\nif-match: *");
    let seen = api.send(&line, change(8).replace("\"repository\":\"homelab\",", "")).await;
    assert_eq!((seen.status, &seen.json()["revision"]), (201, &json!(3)), "{}", seen.text);
}

#[tokio::test]
async fn pages_diffs_scopes_and_dry_runs() {
    let api = api().await;
    let id = api.propose("k1", 5).await.id();
    let newest = api.propose("k2", 6).await.id();
    let page = api.get("/v1/proposals?decision=pending&open=true&limit=1", "").await;
    assert_eq!(
        (page.status, &page.json()["proposals"][0]["id"]),
        (200, &json!(newest)),
        "{}",
        page.text
    );
    let next = page
        .header("link")
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""))
        .unwrap();
    assert!(
        next.starts_with("/v1/proposals?decision=pending&open=true&limit=1&cursor="),
        "{next}"
    );
    let last = api.get(next, "").await;
    assert_eq!(
        (&last.json()["proposals"][0]["id"], &last.json()["next_cursor"], last.header("link")),
        (&json!(id), &json!(null), "")
    );

    let diff = api.get(&format!("/v1/proposals/{id}/diff"), "accept: text/plain").await;
    assert_eq!((diff.status, diff.header("content-type")), (200, "text/x-diff; charset=utf-8"));
    assert!(diff.text.contains("-replicas: 1\n+replicas: 5\n"), "{}", diff.text);

    let me = api.get("/v1/me", "").await.json();
    assert_eq!(
        (&me["agent"], &me["quotas"]["open"]),
        (&json!("alice-bot"), &json!({"limit": 50, "used": 2, "left": 48}))
    );
    assert_eq!(api.get("/v1/runbooks", "").await.json()["runbooks"][0]["name"], "restart");

    let dry = api.send(&format!("POST /v1/proposals:evaluate\n{TOKEN}\n{JSON}"), change(7)).await;
    assert_eq!(
        (dry.status, &dry.json()["tier"], &dry.json()["applications"]),
        (200, &json!("prompted"), &json!("unknown")),
        "{}",
        dry.text
    );
    assert_eq!(dry.json()["approvers"][0]["people"], json!(["alice", "bob", "carol"]));
    // A hash may hold the digits by chance.
    let mut words = dry.text.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(|word| word == "1001"), "numeric ids stay inside: {}", dry.text);
    assert_eq!(
        api.get("/v1/proposals", "").await.json()["proposals"].as_array().unwrap().len(),
        2,
        "a dry run stores nothing"
    );

    let withdrawn = api
        .send(
            &format!("POST /v1/proposals/{id}/withdraw\n{TOKEN}\n{JSON}"),
            r#"{"reason":"no longer needed"}"#,
        )
        .await;
    assert_eq!(
        (withdrawn.status, &withdrawn.json()["outcome"]),
        (200, &json!("withdrawn")),
        "{}",
        withdrawn.text
    );
    let again = api.send(&format!("POST /v1/proposals/{id}/withdraw\n{TOKEN}"), "").await;
    assert_eq!(again.status, 409, "{}", again.text);
}
