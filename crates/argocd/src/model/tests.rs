//! No document is too strange, and no error quotes one.

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Any JSON, a few levels deep, over the words that Applications use.
fn any_json() -> impl Strategy<Value = Value> {
    let words = &["", "Synced", "Running", "main", "argocd", "2026-01-01T00:00:00Z", "2026-13-01"][..];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ];
    let keys = &[
        "metadata",
        "name",
        "spec",
        "source",
        "sources",
        "status",
        "sync",
        "status",
        "revision",
        "revisions",
        "health",
        "history",
        "operationState",
        "phase",
        "syncResult",
        "resources",
        "conditions",
        "type",
        "startedAt",
        "operation",
        "repoURL",
    ][..];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(keys), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    /// Wrong types anywhere are an error or an application, never a panic, and an error quotes nothing.
    #[test]
    fn no_json_is_too_strange(spec in any_json(), status in any_json(), whole in any_json()) {
        let _ = Application::parse(whole, View::Full);
        let document = json!({"metadata": {"name": "canary"}, "spec": spec, "status": status});
        if let Err(error) = Application::parse(document, View::Full) {
            prop_assert!(!error.to_string().contains("canary"));
        }
    }
}

#[test]
fn absent_null_and_empty_read_alike() {
    let parse = |status: Value| Application::parse(json!({"metadata": {"name": "web"}, "status": status}), View::Full);
    let nothing = parse(Value::Null).expect("an application");
    for status in [
        json!({}),
        json!({"sync": null}),
        json!({"sync": {"status": "", "revision": ""}, "history": null, "reconciledAt": "soon"}),
    ] {
        assert_eq!(parse(status).expect("an application"), nothing);
    }
}

#[test]
fn a_value_of_the_wrong_type_is_not_quoted() {
    let document = json!({"metadata": {"name": "web"}, "spec": {"source": "token=canary"}});
    let error = Application::parse(document, View::Full)
        .expect_err("a source is an object")
        .to_string();
    assert!(error.contains("wrong type") && !error.contains("canary"), "{error}");
    assert!(Application::parse(json!({"metadata": {}}), View::Full).is_err());
}

#[test]
fn only_full_lower_case_hex_is_a_commit() {
    let full = "0123456789abcdef0123456789abcdef01234567";
    assert!(is_commit_id(full));
    for text in ["", "main", &full[1..], &full.to_uppercase(), &format!("{full}0")] {
        assert!(!is_commit_id(text), "{text}");
    }
}
