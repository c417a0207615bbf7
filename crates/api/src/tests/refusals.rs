//! A table of bad requests with the exact answer of each, and the rows they leave.

use std::time::Duration;

use super::fixture::{Api, JSON, SECRET, TOKEN, api, api_with, change, limits};
use crate::ApiLimits;

const ID: &str = "prp_00000000000000000000000000000001";

#[tokio::test]
async fn bad_requests_and_their_exact_answers() {
    let api = api().await;
    let create = format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k");
    let good = change(5);
    let body = |rest: &str| format!(r#"{{"repository":"homelab","title":"t","reason":"r",{rest}}}"#).into_bytes();
    let file = |path: &str| body(&format!(r#""changes":[{{"path":{path:?},"content":"x"}}]"#));
    let diff = |hunk: &str| {
        let text = format!("--- a/kubernetes/applications/web/values.yaml\n+++ b/kubernetes/applications/web/values.yaml\n{hunk}");
        format!("\"diff\":{}", serde_json::Value::from(text))
    };
    let new_file = |mode: &str, path: &str| {
        let text = format!("diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n");
        format!("\"diff\":{}", serde_json::Value::from(text))
    };
    let wide = format!("[{}0]", "0,".repeat(300));
    let table: Vec<(String, Vec<u8>, &str)> = [
        // Who is it?
        ("GET /v1/me".to_owned(), Vec::new(), "401 unauthenticated"),
        ("GET /v1/me\nauthorization: Bearer".into(), Vec::new(), "401 unauthenticated"),
        ("GET /v1/me\nauthorization: Basic YTpi".into(), Vec::new(), "401 unauthenticated"),
        (format!("GET /v1/me\n{TOKEN}\n{TOKEN}"), Vec::new(), "401 unauthenticated"),
        ("GET /v1/me?access_token=alice-token".into(), Vec::new(), "401 unauthenticated"),
        (
            "GET /v1/me\nauthorization: Bearer nothing".into(),
            Vec::new(),
            "401 unauthenticated",
        ),
        (
            "GET /v1/me\nauthorization: Bearer alice-tokem".into(),
            Vec::new(),
            "401 unauthenticated",
        ),
        (
            "GET /v1/me\nauthorization: Bearer expired-token".into(),
            Vec::new(),
            "401 unauthenticated",
        ),
        (
            "GET /v1/me\nauthorization: Bearer revoked-token".into(),
            Vec::new(),
            "401 unauthenticated",
        ),
        ("POST /v1/proposals".into(), b"{".to_vec(), "401 unauthenticated"),
        (
            "POST /v1/proposals\ncontent-length: 2147483648".into(),
            Vec::new(),
            "401 unauthenticated",
        ),
        ("DELETE /v1/proposals".into(), Vec::new(), "401 unauthenticated"),
        (format!("GET /v1/proposals/{ID}"), Vec::new(), "401 unauthenticated"),
        // Where to?
        ("GET /".into(), Vec::new(), "404 not_found"),
        ("GET /v2/proposals".into(), Vec::new(), "404 not_found"),
        (format!("GET /v1/nothing\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("GET /v1/proposals/\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("GET /v1/proposals/prp_1\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("GET /v1/proposals/{ID}\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("GET /v1/proposals/%FF\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("GET /v1/proposals/..%2F..%2Fetc\n{TOKEN}"), Vec::new(), "404 not_found"),
        (format!("DELETE /v1/proposals\n{TOKEN}"), Vec::new(), "405 method_not_allowed"),
        (format!("PATCH /v1/proposals/{ID}\n{TOKEN}"), Vec::new(), "405 method_not_allowed"),
        (format!("POST /v1/proposals/{ID}/approve\n{TOKEN}"), Vec::new(), "404 not_found"),
        ("POST /healthz".into(), Vec::new(), "405 method_not_allowed"),
        // In which form?
        (format!("GET /v1/me\n{TOKEN}\naccept: text/html"), Vec::new(), "406 not_acceptable"),
        (format!("GET /v1/proposals?page=2\n{TOKEN}"), Vec::new(), "400 invalid_query"),
        (
            format!("GET /v1/proposals?decision=maybe\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (format!("GET /v1/proposals?limit=0\n{TOKEN}"), Vec::new(), "400 invalid_query"),
        (format!("GET /v1/proposals?limit=101\n{TOKEN}"), Vec::new(), "400 invalid_query"),
        (
            format!("GET /v1/proposals?limit=1&limit=2\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (format!("GET /v1/proposals?cursor=x\n{TOKEN}"), Vec::new(), "422 invalid_cursor"),
        (
            format!("GET /v1/proposals/{ID}?wait=soon\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (format!("GET /v1/proposals/{ID}?wait=-1\n{TOKEN}"), Vec::new(), "400 invalid_query"),
        (
            format!("GET /v1/proposals?limit=99999999999\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (format!("GET /v1/proposals?open=perhaps\n{TOKEN}"), Vec::new(), "400 invalid_query"),
        (
            format!("GET /v1/proposals?repository=a%2Fb%20c\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (
            format!("GET /v1/proposals/{ID}?until=christmas\n{TOKEN}"),
            Vec::new(),
            "400 invalid_query",
        ),
        (
            format!("GET /v1/proposals/{ID}\n{TOKEN}\nif-none-match: v1"),
            Vec::new(),
            "400 invalid_header",
        ),
        (
            format!("POST /v1/proposals\n{TOKEN}\nidempotency-key: k"),
            good.clone().into(),
            "415 unsupported_media_type",
        ),
        (
            format!("POST /v1/proposals\n{TOKEN}\ncontent-type: text/plain\nidempotency-key: k"),
            good.clone().into(),
            "415 unsupported_media_type",
        ),
        (
            format!("{create}\ncontent-encoding: gzip"),
            b"\x1f\x8b".to_vec(),
            "415 unsupported_encoding",
        ),
        (format!("{create}\ncontent-length: 2001"), b"{".to_vec(), "413 body_too_large"),
        (create.clone(), vec![b' '; 2001], "413 body_too_large"),
        (create.clone(), wide.into(), "413 too_many_values"),
        (create.clone(), Vec::new(), "400 malformed_json"),
        (create.clone(), b"{\"title\":".to_vec(), "400 malformed_json"),
        (create.clone(), b"{} x".to_vec(), "400 malformed_json"),
        (create.clone(), b"\xEF\xBB\xBF{}".to_vec(), "400 malformed_json"),
        (create.clone(), b"{\"title\":\"\xFF\"}".to_vec(), "400 malformed_json"),
        (create.clone(), br#"{"title":"\ud800"}"#.to_vec(), "400 malformed_json"),
        (create.clone(), br#"{"ttl_seconds":1e999999}"#.to_vec(), "400 malformed_json"),
        (create.clone(), vec![b'['; 1999], "400 malformed_json"),
        (create.clone(), br#"{"title":"a","title":"b"}"#.to_vec(), "400 duplicate_key"),
        (
            create.clone(),
            body(r#""runbook":{"name":"scale","parameters":{"app":"a","app":"b"}}"#),
            "400 duplicate_key",
        ),
        // With what?
        (create.clone(), b"{}".to_vec(), "422 invalid_request"),
        (create.clone(), b"null".to_vec(), "422 invalid_request"),
        (create.clone(), body(r#""diff":"x","approved":true"#), "422 invalid_request"),
        (create.clone(), body(r#""diff":"x","tier":"none""#), "422 invalid_request"),
        (create.clone(), body(r#""diff":7"#), "422 invalid_request"),
        (create.clone(), body(r#""base":"head""#), "422 invalid_request"),
        (create.clone(), body(r#""diff":"x","ttl_seconds":1"#), "422 invalid_ttl"),
        (create.clone(), body(r#""diff":"x","base":"v1.0""#), "422 invalid_base"),
        (
            create.clone(),
            body(r#""diff":"x","base":"3F2A9C1D5E6B7A8090A1B2C3D4E5F60718293A4B""#),
            "422 invalid_base",
        ),
        (
            create.clone(),
            body(r#""diff":"x","base":"3f2a9c1d5e6b7a8090a1b2c3d4e5f60718293a4b""#),
            "422 unknown_base",
        ),
        (create.clone(), body(r#""diff":"no diff at all""#), "422 diff_does_not_apply"),
        (
            create.clone(),
            body(&diff("@@ -1 +1 @@\n-replicas: 2\n+replicas: 5\n")),
            "422 diff_does_not_apply",
        ),
        (
            create.clone(),
            body(&diff("@@ -9 +9 @@\n-replicas: 1\n+replicas: 5\n")),
            "422 diff_does_not_apply",
        ),
        // Modes: a link, a submodule, and a mode where none belongs.
        (
            create.clone(),
            body(&new_file("120000", "kubernetes/link")),
            "422 diff_does_not_apply",
        ),
        (
            create.clone(),
            body(&new_file("160000", "kubernetes/module")),
            "422 diff_does_not_apply",
        ),
        (
            create.clone(),
            body(r#""changes":[{"path":"a","content":"x","mode":"120000"}]"#),
            "422 invalid_request",
        ),
        (
            create.clone(),
            file("kubernetes/applications/web/values.yaml/x"),
            "422 change_refused",
        ),
        (create.clone(), file("Kubernetes/x"), "422 change_refused"),
        (create.clone(), file(".gitmodules"), "422 invalid_path"),
        (create.clone(), body(r#""runbook":{"name":"none"}"#), "422 unknown_runbook"),
        (
            create.clone(),
            body(r#""changes":[{"path":"kubernetes/applications/web/values.yaml","content":"replicas: 1\n"}]"#),
            "422 no_change",
        ),
        (
            create.clone(),
            br#"{"repository":"https://192.0.2.1/x.git","title":"t","reason":"r","diff":"x"}"#.to_vec(),
            "422 unknown_repository",
        ),
        (create.clone(), file("../../etc/passwd"), "422 invalid_path"),
        (create.clone(), file("/etc/x"), "422 invalid_path"),
        (create.clone(), file("a\\..\\b"), "422 invalid_path"),
        (create.clone(), file(".GIT/hooks/x"), "422 invalid_path"),
        (create.clone(), file("a/git~1/x"), "422 invalid_path"),
        (create.clone(), file("a//b"), "422 invalid_path"),
        (create.clone(), file("a\r"), "422 invalid_path"),
        (
            create.clone(),
            body("\"changes\":[{\"path\":\"a\u{202e}b\",\"content\":\"x\"}]"),
            "422 invalid_path",
        ),
        (
            format!("POST /v1/proposals\n{TOKEN}\n{JSON}"),
            good.clone().into(),
            "400 idempotency_key_required",
        ),
        (
            format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: a b"),
            good.clone().into(),
            "400 idempotency_key_invalid",
        ),
        (
            format!("POST /v1/observations\n{TOKEN}\n{JSON}"),
            br#"{"repository":"homelab","commit":"c","runbook":"scale"}"#.to_vec(),
            "400 idempotency_key_required",
        ),
        (
            format!("POST /v1/observations\n{TOKEN}\n{JSON}\nidempotency-key: k"),
            br#"{"repository":"homelab","commit":"c","runbook":"scale"}"#.to_vec(),
            "422 invalid_commit",
        ),
        (
            format!("POST /v1/observations\n{TOKEN}\n{JSON}\nidempotency-key: k"),
            br#"{"repository":"homelab","commit":"3f2a9c1d5e6b7a8090a1b2c3d4e5f60718293a4b","runbook":"none"}"#.to_vec(),
            "422 unknown_runbook",
        ),
        (
            format!("POST /v1/observations\n{TOKEN}\n{JSON}\nidempotency-key: k"),
            br#"{"repository":"homelab","commit":"3f2a9c1d5e6b7a8090a1b2c3d4e5f60718293a4b","runbook":"restart",
                "parameters":{"app":"web","restarted_at":"2026-02-30T12:00:00Z"}}"#
                .to_vec(),
            "422 runbook_refused",
        ),
        (
            format!("POST /v1/proposals/{ID}/revisions\n{TOKEN}\n{JSON}"),
            b"{".to_vec(),
            "428 if_match_required",
        ),
        (
            format!("POST /v1/proposals/{ID}/revert\n{TOKEN}"),
            Vec::new(),
            "400 idempotency_key_required",
        ),
        (
            format!("POST /v1/proposals/{ID}/revert\n{TOKEN}\nidempotency-key: k"),
            Vec::new(),
            "404 not_found",
        ),
        (
            format!("POST /v1/proposals/{ID}/withdraw\n{TOKEN}\n{JSON}"),
            br#"{"why":"x"}"#.to_vec(),
            "422 invalid_request",
        ),
        (
            format!("POST /v1/proposals/{ID}/withdraw\n{TOKEN}"),
            b"{}".to_vec(),
            "415 unsupported_media_type",
        ),
    ]
    .into();
    let mut answers = String::new();
    let tip = api.send(&format!("POST /v1/proposals:evaluate\n{TOKEN}\n{JSON}"), change(5)).await;
    let tip = tip.json()["base"].as_str().unwrap()[..7].to_owned();
    for (line, body, expected) in &table {
        let seen = api.send(line, body.clone()).await;
        assert_eq!(
            &seen.problem(),
            expected,
            "{line}\n{}\n{}",
            String::from_utf8_lossy(&body[..body.len().min(200)]),
            seen.text
        );
        assert!(!seen.text.contains("alice-token"), "{}", seen.text);
        let document = seen.json();
        let word = |name: &str| document[name].as_str().unwrap_or("-").to_owned();
        let asked: String = String::from_utf8_lossy(body).trim().chars().take(160).collect();
        answers += &format!(
            "{} {asked:?}\n  {} {} · at {} · {} · {}\n",
            line.replace(TOKEN, "(token)").replace('\n', ", "),
            seen.status,
            word("code"),
            word("pointer"),
            word("detail").replace(&tip, "(tip)"),
            word("hint")
        );
    }
    // The exact words: no type of ours, and a pointer wherever a place in the body is meant.
    insta::assert_snapshot!(answers);
    assert!(
        api.get("/v1/proposals", "").await.json()["proposals"]
            .as_array()
            .unwrap()
            .is_empty(),
        "nothing was stored"
    );
}

#[tokio::test]
async fn the_headers_of_refusals() {
    let api = api().await;
    let seen = api.send("GET /v1/me", "").await;
    assert_eq!(
        (seen.header("www-authenticate"), seen.header("cache-control")),
        ("Bearer realm=\"countersign\"", "no-store")
    );
    assert_eq!(seen.header("x-content-type-options"), "nosniff");
    assert_eq!(api.send(&format!("DELETE /v1/me\n{TOKEN}"), "").await.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn refused_attempts_leave_audit_rows_without_tokens() {
    let api = api().await;
    api.send("POST /v1/proposals\nauthorization: Bearer wrong-token", "{}").await;
    api.send(&format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k"), "{")
        .await;
    api.send(
        &format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k"),
        change(5).replace("kubernetes/", "../"),
    )
    .await;
    // Reading and trying leave no rows.
    api.send(&format!("GET /v1/proposals?page=2\n{TOKEN}"), "").await;
    api.send(&format!("POST /v1/proposals:evaluate\n{TOKEN}\n{JSON}"), "{").await;
    insta::assert_snapshot!(api.audit().await.join("\n"), @r#"
    refused_token by -: POST /v1/proposals: the bearer token is not valid
    refused_request by alice-bot: POST /v1/proposals: malformed_json: EOF while parsing an object at line 1 column 1
    refused_request by alice-bot: POST /v1/proposals: invalid_path at /changes/0/path: path "../applications/web/values.yaml" is refused: it has a . or .. part
    "#);
}

#[tokio::test]
async fn a_token_of_some_paths_learns_nothing_of_other_files() {
    let api = api().await;
    let values = "kubernetes/applications/web/values.yaml";
    let absent = "kubernetes/applications/web/absent.yaml";
    let body = |content: serde_json::Value| {
        let mut body = serde_json::json!({"repository": "homelab", "title": "t", "reason": "r"});
        body.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        body.to_string()
    };
    let ask = async |line: &str, body: String| {
        let seen = api.send(&format!("{line}\nauthorization: Bearer narrow-token\n{JSON}"), body).await;
        assert_eq!(seen.problem(), "403 path_out_of_scope", "{}", seen.text);
        assert!(!seen.text.contains("replicas"), "{}", seen.text);
        let document = seen.json();
        (document["detail"].as_str().unwrap().to_owned(), document["hint"].clone())
    };
    for path in [values, absent] {
        let wrong = format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-guess\n+x\n");
        let created = format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n");
        let copied = format!("diff --git a/{path} b/docs/x\ncopy from {path}\ncopy to docs/x\n");
        let renamed = format!("diff --git a/{path} b/docs/x\nrename from {path}\nrename to docs/x\n");
        for content in [
            serde_json::json!({"diff": wrong}),
            serde_json::json!({"diff": created}),
            serde_json::json!({"diff": copied}),
            serde_json::json!({"diff": renamed}),
            serde_json::json!({"changes": [{"path": path, "executable": true}]}),
            serde_json::json!({"changes": [{"path": path, "content": "replicas: 1\n"}]}),
            serde_json::json!({"changes": [{"path": path, "delete": true}]}),
        ] {
            for line in ["POST /v1/proposals:evaluate", "POST /v1/proposals\nidempotency-key: k"] {
                let (detail, _) = ask(line, body(content.clone())).await;
                assert_eq!(detail, format!("{path} is outside this token's paths"));
            }
        }
    }
    // As it is, and as it is not: the same answer.
    let run = |replicas: u32| serde_json::json!({"name": "scale", "parameters": {"app": "web", "replicas": replicas}});
    let render = |replicas: u32| serde_json::json!({"repository": "homelab", "parameters": run(replicas)["parameters"]}).to_string();
    let mut answers = Vec::new();
    for replicas in [1, 5] {
        answers.push(ask("POST /v1/proposals:evaluate", body(serde_json::json!({"runbook": run(replicas)}))).await);
        answers.push(ask("POST /v1/runbooks/scale/render", render(replicas)).await);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_file_outside_of_the_tokens_paths_is_not_named_by_its_twin() {
    let api = api().await;
    let refused = async |token: &str, path: &str| {
        let file = serde_json::json!([{"path": path, "content": "x\n"}]);
        let body = serde_json::json!({"repository": "homelab", "title": "t", "reason": "r", "changes": file}).to_string();
        let line = format!("POST /v1/proposals\nauthorization: Bearer {token}\n{JSON}\nidempotency-key: k");
        let seen = api.send(&line, body).await;
        assert_eq!(seen.problem(), "422 change_refused", "{}", seen.text);
        seen.json()["detail"].as_str().unwrap().to_owned()
    };
    // That token covers docs/**, and the branch has Docs.
    let twin = refused("narrow-token", "docs/x").await;
    assert!(
        twin.contains("a name that this token does not cover") && !twin.contains("Docs"),
        "{twin}"
    );
    assert!(
        refused("alice-token", "docs/x")
            .await
            .contains("differs only by letter case from \"Docs\"")
    );
}

#[tokio::test]
async fn audit_rows_of_refused_requests_hold_no_values() {
    let api = api().await;
    let post = async |body: serde_json::Value| {
        let mut whole = serde_json::json!({"repository": "homelab", "title": "t", "reason": "r"});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let seen = api
            .send(
                &format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k"),
                whole.to_string(),
            )
            .await;
        assert_eq!(seen.status, 422, "{}", seen.text);
        seen
    };
    let path = "kubernetes/applications/web/values.yaml";
    let diff = format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-canary-line\n+x\n");
    let misfit = post(serde_json::json!({"diff": diff})).await;
    assert!(
        !misfit.text.contains("replicas: 1") && !misfit.text.contains("canary"),
        "{}",
        misfit.text
    );
    post(serde_json::json!({"runbook": {"name": "scale", "parameters": {"app": "web", "replicas": "canary-parameter"}}})).await;
    post(serde_json::json!({"changes": "canary-value"})).await;
    post(serde_json::json!({"runbook": {"name": "canary-name", "parameters": {}}})).await;
    post(serde_json::json!({"canary-key": 1})).await;
    post(serde_json::json!({"changes": [{"path": path, "content": "x", "canary-key": 1}]})).await;
    post(serde_json::json!({"runbook": {"name": "scale", "parameters": {"canary-key": 1}}})).await;
    let rows = api.audit().await.join("\n");
    assert_eq!(rows.lines().count(), 7, "{rows}");
    for place in [
        "invalid_request at /…",
        "invalid_request at /changes/0/…",
        "runbook_refused at /runbook/parameters",
    ] {
        assert!(rows.contains(place), "{place}: {rows}");
    }
    assert!(!rows.contains("canary") && !rows.contains("replicas: 1"), "{rows}");
    assert!(
        rows.contains("diff_does_not_apply at /diff: diff line 4 (kubernetes/applications/web/values.yaml): line 1 of hunk 1"),
        "{rows}"
    );
    assert!(rows.contains("runbook_refused at /runbook/parameters/replicas"), "{rows}");
}

#[tokio::test]
async fn a_correlation_id_is_looked_at_for_secrets() {
    let api = api().await;
    let token = format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hL3nR6");
    let body = change(5).replacen('{', &format!("{{\"correlation_id\":\"{token}\","), 1);
    let seen = api
        .send(&format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k"), body)
        .await;
    assert_eq!(
        (seen.problem().as_str(), &seen.json()["pointer"]),
        ("422 guard_refused", &"/correlation_id".into()),
        "{}",
        seen.text
    );
    assert!(!seen.text.contains(&token) && !api.audit().await.join("\n").contains(&token));
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_counted_and_not_written_one_by_one() {
    let api = api().await;
    for _ in 0..100 {
        api.send("GET /v1/me\nauthorization: Bearer wrong-token", "").await;
    }
    let rows = api.audit().await.len();
    assert!((20..60).contains(&rows), "{rows}");
}

#[tokio::test]
async fn the_webhook_opens_to_its_secret_only() {
    let api = api().await;
    let post = async |headers: &str, body: &str| api.send(&format!("POST /telegram/webhook\n{headers}"), body.to_owned()).await;
    let good = format!("x-telegram-bot-api-secret-token: {SECRET}");
    let unread = "x".repeat(1_000);
    for headers in ["", "x-telegram-bot-api-secret-token: wrong", &format!("{good}\n{good}"), TOKEN] {
        assert_eq!(post(headers, &unread).await.problem(), "403 forbidden", "{headers}");
    }
    assert_eq!(post(&good, "{}").await.status, 200);
    assert_eq!(post(&good, &unread).await.problem(), "413 body_too_large");
}

/// The router on a real socket, since only there a body arrives bit by bit.
async fn on_a_socket(api: &Api) -> (std::net::SocketAddr, tokio_util::sync::DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = tokio_util::sync::CancellationToken::new();
    tokio::spawn(crate::serve(
        listener,
        api.router.clone(),
        crate::ServerOptions::default(),
        cancel.clone(),
    ));
    (address, cancel.drop_guard())
}

/// Sends the bytes and returns the whole answer up to the end of the connection.
async fn raw(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // The service may answer and close before everything was sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    let _ = ended.expect("the service ends the connection");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn bodies_on_the_wire_are_bounded_and_unread_without_a_token() {
    let patient = api().await;
    let hasty = api_with(ApiLimits {
        body_timeout: Duration::from_millis(300),
        ..limits()
    })
    .await;
    let head = |headers: &str| format!("POST /v1/proposals HTTP/1.1\r\nhost: a\r\n{JSON}\r\nidempotency-key: k\r\n{headers}\r\n\r\n");
    for (api, request, expected) in [
        (&patient, head("content-length: 2147483648"), "401 Unauthorized"),
        (
            &patient,
            head("content-length: 2147483648\r\nexpect: 100-continue"),
            "401 Unauthorized",
        ),
        (
            &patient,
            head("transfer-encoding: chunked") + &"1\r\nx\r\n".repeat(100),
            "401 Unauthorized",
        ),
        (
            &patient,
            head(&format!("{TOKEN}\r\ncontent-length: 2147483648")),
            "413 Payload Too Large",
        ),
        (
            &patient,
            head(&format!("{TOKEN}\r\ntransfer-encoding: chunked")) + &"1\r\nx\r\n".repeat(2_001),
            "413 Payload Too Large",
        ),
        (
            &hasty,
            head(&format!("{TOKEN}\r\ncontent-length: 100")) + "{",
            "408 Request Timeout",
        ),
        (
            &hasty,
            head(&format!("{TOKEN}\r\ntransfer-encoding: chunked")) + "1\r\n{\r\n",
            "408 Request Timeout",
        ),
    ] {
        let (address, _guard) = on_a_socket(api).await;
        let answer = raw(address, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{request}\n{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn a_rendering_is_refused_at_places_of_its_own_body() {
    let api = api().await;
    for (name, parameters, expected, place) in [
        (
            "scale",
            serde_json::json!({"app": "web", "replicas": "many"}),
            "422 runbook_refused",
            Some("/parameters/replicas"),
        ),
        (
            "scale",
            serde_json::json!({"app": "web", "replicas": 1}),
            "422 runbook_refused",
            Some("/parameters/app"),
        ),
        ("nobodys", serde_json::json!({}), "422 unknown_runbook", None),
    ] {
        let body = serde_json::json!({"repository": "homelab", "parameters": parameters}).to_string();
        let seen = api.send(&format!("POST /v1/runbooks/{name}/render\n{TOKEN}\n{JSON}"), body).await;
        assert_eq!(seen.problem(), expected, "{}", seen.text);
        assert_eq!(seen.json()["pointer"].as_str(), place, "{}", seen.text);
    }
}

/// As many clients do it: first all of the body, then the answer. More of it than any buffer on the way takes.
#[tokio::test]
async fn whoever_writes_a_body_that_is_too_large_to_its_end_reads_the_refusal() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const LIMIT: usize = 8 * 1024 * 1024;
    let api = api_with(ApiLimits {
        body_bytes: LIMIT,
        ..limits()
    })
    .await;
    let (address, _running) = on_a_socket(&api).await;
    let body = vec![b' '; 3 * LIMIT];
    let chunk = vec![b' '; LIMIT / 2];
    let mut chunked = Vec::new();
    for _ in 0..6 {
        chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunked.extend(&chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    for (length, body) in [
        (format!("content-length: {}", body.len()), &body),
        ("transfer-encoding: chunked".to_owned(), &chunked),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/proposals HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{TOKEN}\r\n{JSON}\r\nidempotency-key: k\r\n{length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.expect("the service takes the whole body");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, not a reset");
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    }
}
