//! What a request may say, and what is made of it: contents, executable bits, a runbook's own words, requests that change nothing.

use serde_json::{Value, json};

use super::fixture::{Api, JSON, Seen, TOKEN, api, change};
use engine::Book;

const VALUES: &str = "kubernetes/applications/web/values.yaml";

async fn ask(api: &Api, address: &str, key: &str, body: &Value) -> Seen {
    let line = format!("POST {address}\n{TOKEN}\n{JSON}\nidempotency-key: {key}");
    api.send(&line, body.to_string()).await
}

fn files(files: &Value) -> Value {
    json!({"repository": "homelab", "title": "t", "reason": "r", "changes": files})
}

#[tokio::test]
async fn hidden_characters_in_a_content_make_it_manual_and_are_called_by_their_kind() {
    let api = api().await;
    for (text, tier, why) in [
        ("replicas: 5\n", "prompted", "rule \"workloads\""),
        ("replicas: 5 # 🚀 ❤\u{fe0f}\r\n", "prompted", "rule \"workloads\""),
        ("replicas: 5\u{fe0f}\n", "manual", "hide or reorder text"),
        ("replicas: 5\u{e0100}\n", "manual", "hide or reorder text"),
        ("a: b\u{2800}\n", "manual", "hide or reorder text"),
        ("a: \u{3164}\u{ffa0}\u{115f}\u{1160}\n", "manual", "hide or reorder text"),
        ("a: \u{e0041}\n", "manual", "hide or reorder text"),
        ("a: b\u{202e}c\n", "manual", "hide or reorder text"),
        ("a: \u{1b}[31m\n", "manual", "control characters"),
        ("a: b\u{85}c\n", "manual", "control characters"),
        ("a: b\rc: d\n", "manual", "a carriage return that ends no line"),
        ("a: b\r", "manual", "a carriage return that ends no line"),
    ] {
        let seen = ask(
            &api,
            "/v1/proposals:evaluate",
            "k",
            &files(&json!([{"path": VALUES, "content": text}])),
        )
        .await;
        let document = seen.json();
        assert_eq!((seen.status, &document["tier"]), (200, &json!(tier)), "{text:?} {}", seen.text);
        assert!(document["why"].as_str().unwrap().contains(why), "{text:?} {}", seen.text);
        let found = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["effect"] == "manual");
        assert_eq!(found.count(), usize::from(tier == "manual"), "{text:?} {}", seen.text);
    }
    let blank = files(&json!([{"path": VALUES, "content": "replicas: 5 #\u{a0}five\n"}]));
    let seen = ask(&api, "/v1/proposals:evaluate", "k", &blank).await.json();
    assert_eq!(
        (&seen["tier"], &seen["findings"][0]["effect"]),
        (&json!("prompted"), &json!("remark"))
    );
    assert_eq!(seen["findings"][0]["message"], "blanks that are no plain space: U+00A0");
}

#[tokio::test]
async fn a_looser_tier_is_not_taken_and_said_so() {
    let api = api().await;
    let mut body = files(&json!([{"path": VALUES, "content": "replicas: 5\n"}]));
    body["tier"] = json!("standard");
    let seen = ask(&api, "/v1/proposals", "k", &body).await.json();
    assert_eq!(seen["tier"], "prompted");
    let why = seen["why"].as_str().unwrap();
    assert!(
        why.ends_with("; the agent asked for standard, which is looser and not taken"),
        "{why}"
    );
}

#[tokio::test]
async fn binary_content_is_manual_and_named_by_size_and_hash() {
    let api = api().await;
    let file = json!([{"path": "kubernetes/logo.png", "content": "AP8=", "encoding": "base64"}]);
    let seen = ask(&api, "/v1/proposals:evaluate", "k", &files(&file)).await.json();
    assert_eq!(
        (&seen["tier"], &seen["why"]),
        (&json!("manual"), &json!("binary content cannot be reviewed on a card"))
    );
    let message = seen["findings"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("not text: 2 bytes, SHA-256 "), "{message}");
}

#[tokio::test]
async fn an_executable_bit_alone_needs_a_file_that_exists() {
    let api = api().await;
    let bit = |path: &str, executable: bool| files(&json!([{"path": path, "executable": executable}]));
    let dry = ask(&api, "/v1/proposals:evaluate", "k", &bit(VALUES, true)).await;
    assert_eq!(
        dry.json()["files"],
        json!([{"path": VALUES, "kind": "modified", "added": 0, "removed": 0, "executable": true}]),
        "{}",
        dry.text
    );
    let new = ask(&api, "/v1/proposals", "k", &bit(VALUES, true)).await;
    assert_eq!(new.status, 201, "{}", new.text);
    let diff = api.get(&format!("/v1/proposals/{}/diff", new.id()), "").await.text;
    assert!(
        diff.contains("old mode 100644\nnew mode 100755\n") && !diff.contains("@@"),
        "{diff}"
    );

    let same = ask(&api, "/v1/proposals", "k2", &bit(VALUES, false)).await;
    assert_eq!(
        (same.problem().as_str(), &same.json()["pointer"]),
        ("422 no_change", &json!("/changes"))
    );
    let absent = ask(&api, "/v1/proposals", "k3", &bit("kubernetes/none.sh", true)).await;
    assert_eq!(
        (absent.problem().as_str(), &absent.json()["pointer"]),
        ("422 change_refused", &json!("/changes/0"))
    );
    assert_eq!(absent.json()["hint"], "send its content too");

    let delete = files(&json!([{"path": VALUES, "delete": true}]));
    let gone = ask(&api, "/v1/proposals:evaluate", "k", &delete).await.json();
    assert_eq!(gone["files"][0]["executable"], json!(null));
}

/// The shipped policy with one runbook that has words of its own.
fn with_own_words(api: &Api) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    // The rules that trust the shipped runbooks are left out: those are not here.
    let policy = std::fs::read_to_string(config.join("policy.toml")).unwrap();
    let policy = policy
        .split("[[grants]]")
        .next()
        .unwrap_or_default()
        .replace("tier = \"standard\"", "tier = \"prompted\"");
    let policy: String = policy
        .lines()
        .filter(|line| !line.starts_with("runbook"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    std::fs::create_dir(folder.path().join("runbooks")).unwrap();
    let runbook = r#"
        name = "size"
        description = "Sets the number of replicas."
        title = "Size web to {replicas}"
        reason = "asked for {replicas} replicas"
        allowed_paths = ["kubernetes/applications/web/values.yaml"]
        [parameters]
        required = ["replicas"]
        [parameters.properties.replicas]
        type = "integer"
        [[edits]]
        file = "kubernetes/applications/web/values.yaml"
        path = "replicas"
        set = "{replicas}"
    "#;
    std::fs::write(folder.path().join("runbooks/size.toml"), runbook).unwrap();
    let book = Book::load(&folder.path().join("policy.toml"), Some(&folder.path().join("runbooks")));
    api.engine.put_in_force(book.unwrap());
    folder
}

#[tokio::test]
async fn a_runbook_speaks_for_a_caller_who_says_nothing() {
    let api = api().await;
    let _folder = with_own_words(&api);
    let call = |replicas: u32, words: Value| {
        let mut body = json!({"repository": "homelab", "runbook": {"name": "size", "parameters": {"replicas": replicas}}});
        body.as_object_mut().unwrap().extend(words.as_object().unwrap().clone());
        body
    };
    for (replicas, words, title, reason) in [
        (5, json!({}), "Size web to 5", "asked for 5 replicas"),
        (6, json!({"title": " ", "reason": ""}), "Size web to 6", "asked for 6 replicas"),
        (7, json!({"title": "Mine", "reason": "latency"}), "Mine", "latency"),
    ] {
        let seen = ask(&api, "/v1/proposals", &format!("k{replicas}"), &call(replicas, words)).await;
        assert_eq!(
            (seen.status, &seen.json()["title"], &seen.json()["reason"]),
            (201, &json!(title), &json!(reason)),
            "{}",
            seen.text
        );
    }
    let same = ask(&api, "/v1/proposals", "k", &call(1, json!({}))).await;
    assert_eq!(
        (same.problem().as_str(), &same.json()["pointer"]),
        ("422 no_change", &json!("/runbook"))
    );
    assert!(
        same.json()["detail"].as_str().unwrap().starts_with("the run changes nothing"),
        "{}",
        same.text
    );
}

#[tokio::test]
async fn asking_for_what_is_there_already_says_so() {
    let api = api().await;
    let new = api.propose("k1", 5).await;
    let address = format!("/v1/proposals/{}", new.id());
    let other_words = change(5).replace("latency", "another reason");
    let line = format!("POST /v1/proposals\n{TOKEN}\n{JSON}\nidempotency-key: k2");
    for replayed in ["", "true"] {
        let again = api.send(&line, other_words.clone()).await;
        assert_eq!(
            (
                again.status,
                again.header("countersign-existing"),
                again.header("idempotent-replayed")
            ),
            (200, "true", replayed)
        );
        assert_eq!((again.header("location"), again.id()), (&*address, new.id()));
        assert_eq!(again.json()["reason"], "latency", "the words of the second request are not taken");
    }

    let revise = async |key: &str, replicas: u32| {
        let line = format!("POST {address}/revisions\n{TOKEN}\n{JSON}\nidempotency-key: {key}\nif-match: \"v1\"");
        api.send(&line, change(replicas).replace("\"repository\":\"homelab\",", "")).await
    };
    for replayed in ["", "true"] {
        let same = revise("r1", 5).await;
        assert_eq!(
            (same.status, same.header("countersign-existing"), same.header("idempotent-replayed")),
            (200, "true", replayed),
            "{}",
            same.text
        );
        assert_eq!((same.header("etag"), &same.json()["revision"]), ("\"v1\"", &json!(1)));
    }
    let owed = api.engine.store().read().effects_waiting(new.id().parse().unwrap()).await.unwrap();
    assert_eq!(owed.iter().filter(|effect| effect.key == "send_card").count(), 1, "{owed:?}");
    assert_eq!(revise("r2", 6).await.status, 201);
}

#[tokio::test]
async fn a_revision_comes_with_its_own_words() {
    let api = api().await;
    let id = api.propose("k", 5).await.id();
    let file = json!([{"path": VALUES, "content": "replicas: 5\n"}]);
    for (n, words, title, reason, correlation) in [
        (1, json!({"title": "Scale", "reason": "memory"}), "Scale", "memory", json!(null)),
        (
            2,
            json!({"reason": "both", "correlation_id": "job-2"}),
            "Scale",
            "both",
            json!("job-2"),
        ),
        (3, json!({"reason": ""}), "Scale", "", json!("job-2")),
    ] {
        let mut body = json!({"changes": file});
        body.as_object_mut().unwrap().extend(words.as_object().unwrap().clone());
        let line = format!("POST /v1/proposals/{id}/revisions\n{TOKEN}\n{JSON}\nidempotency-key: r{n}\nif-match: \"v{n}\"");
        let seen = api.send(&line, body.to_string()).await;
        let document = seen.json();
        assert_eq!(
            (seen.status, &document["title"], &document["reason"], &document["correlation_id"]),
            (201, &json!(title), &json!(reason), &correlation),
            "{}",
            seen.text
        );
    }
}

#[tokio::test]
async fn acts_on_what_has_ended_name_the_state() {
    let api = api().await;
    let id = api.propose("k", 5).await.id();
    let act = async |what: &str, headers: &str, body: &str| {
        let seen = api
            .send(
                &format!("POST /v1/proposals/{id}/{what}\n{TOKEN}\n{JSON}\n{headers}"),
                body.to_owned(),
            )
            .await;
        (seen.status, seen.text)
    };
    assert_eq!(act("withdraw", "", "{}").await.0, 200);
    let revision = change(6).replace("\"repository\":\"homelab\",", "");
    for (what, headers, body, code, state) in [
        ("withdraw", "", "{}", "not_pending", "ended already: withdrawn"),
        (
            "revisions",
            "idempotency-key: r\nif-match: \"v2\"",
            &*revision,
            "not_pending",
            "ended already: withdrawn",
        ),
        ("revert", "idempotency-key: r", "{}", "not_delivered", "(ended: withdrawn)"),
    ] {
        let (status, text) = act(what, headers, body).await;
        assert_eq!(status, 409, "{what} {text}");
        assert!(
            text.contains(&format!("\"code\":\"{code}\"")) && text.contains(state),
            "{what} {text}"
        );
    }
}
