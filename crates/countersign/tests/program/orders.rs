//! What people order and look up from a shell: `stop`, `stops`, `resume`, `unlock`, `approvers`, `unexplained`.

use serde_json::{Value, json};
use store::{Store, StoreOptions};

use crate::world::{Said, World};

async fn opened(world: &World) -> Store {
    Store::open(&world.path("countersign.db"), StoreOptions::default()).await.unwrap()
}

/// The JSON lines of a run that went well.
fn told(said: &Said) -> Vec<Value> {
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused(said: &Said, code: i32, words: &str) {
    assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
    assert!(said.err.contains(words) && said.err.contains("remedy: "), "{words}: {}", said.err);
}

#[tokio::test]
async fn a_stop_is_ordered_listed_and_ended_by_more_than_a_shell() {
    let world = World::start().await;
    world.run(&["agent", "add", "ops-agent"]).await;
    assert_eq!(told(&world.run(&["stops"]).await), Vec::<Value>::new());
    refused(&world.run(&["resume"]).await, 1, "no such stop stands");
    refused(&world.run(&["stop", "tier", "sideways"]).await, 2, "nothing is stopped: ");
    refused(&world.run(&["stop", "evrything"]).await, 2, "nothing is stopped: ");
    refused(
        &world.run(&["stop", "agent", "nobody"]).await,
        2,
        "there is no agent nobody; there are: ops-agent",
    );
    refused(&world.run(&["stop", "path", "/abs"]).await, 2, "without a slash at the beginning");

    let first = told(&world.run(&["stop", "all", "because", "the", "cluster", "burns"]).await).remove(0);
    assert_eq!(
        (&first["scope"], &first["by"], &first["reason"]),
        (&json!("all"), &json!("the operator"), &json!("the cluster burns"))
    );
    let again = told(&world.run(&["stop"]).await).remove(0);
    assert_eq!(again["stop"], first["stop"], "one of that scope is enough");
    let number = first["stop"].to_string();
    // The operator is one person, however often they ask.
    for arguments in [&["resume"][..], &["resume", &number]] {
        let asked = told(&world.run(arguments).await).remove(0);
        assert_eq!((&asked["over"], &asked["people_missing"]), (&json!(false), &json!(1)), "{asked}");
    }
    refused(&world.run(&["resume", "999"]).await, 1, "no such stop stands");
    let said = world.run(&["resume", "first"]).await;
    assert!(said.code == Some(2) && said.err.contains("invalid value 'first'"), "{said:?}");

    told(&world.run(&["stop", "agent", "ops-agent"]).await);
    refused(&world.run(&["resume"]).await, 2, "more than one stop stands");
    let stands = told(&world.run(&["stops"]).await);
    assert_eq!(stands.len(), 2, "{stands:?}");
    assert_eq!(stands[0]["resume_asked_by"][0]["by"], "the operator");
    let audit = world.run(&["audit", "show"]).await.out;
    assert_eq!(audit.matches("\"event\":\"stop\"").count(), 2, "{audit}");
    let verified = world.run(&["audit", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn who_is_locked_needs_somebody_besides_the_operator() {
    let world = World::start().await;
    world.run(&["agent", "add", "ops-agent"]).await;
    refused(&world.run(&["unlock", "alice"]).await, 1, "no such lock stands");
    let said = world.run(&["unlock"]).await;
    assert!(said.code == Some(2) && said.err.contains("<NAME>"), "{said:?}");
    let policy = domain::Policy::parse(include_str!("../../../../config/policy.toml")).unwrap();
    let alice = policy.people().find(|person| person.name == "alice").unwrap();
    let alice = domain::PersonRef {
        id: alice.id,
        name: alice.name.clone(),
    };
    let store = opened(&world).await;
    assert!(
        engine::orders::lock(&store, alice, policy.into(), chrono::Utc::now())
            .await
            .unwrap()
    );
    store.close().await;
    let stands = told(&world.run(&["stops"]).await).remove(0);
    assert_eq!(stands["locked"], "alice");
    for _ in 0..2 {
        let asked = told(&world.run(&["unlock", "ALICE"]).await).remove(0);
        assert_eq!(
            (&asked["locked"], &asked["over"], &asked["people_missing"]),
            (&json!("alice"), &json!(false), &json!(1)),
            "{asked}"
        );
    }
    refused(&world.run(&["unlock", "bob"]).await, 1, "no such lock stands");
}

#[tokio::test]
async fn approvers_and_unexplained_commits_are_listed_as_json_lines() {
    let world = World::start().await;
    world.run(&["agent", "add", "ops-agent"]).await;
    let people = told(&world.run(&["approvers"]).await);
    let names: Vec<_> = people.iter().map(|person| person["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for person in &people {
        assert_eq!(
            (&person["decisions"], &person["median_seconds"]),
            (&json!(0), &Value::Null),
            "{person}"
        );
    }
    assert_eq!(told(&world.run(&["unexplained"]).await), Vec::<Value>::new());
    let store = opened(&world).await;
    let commit: domain::CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let at: domain::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let found = move |commit, paths_cut| store::Unexplained {
        row: 0,
        commit,
        brought_by: commit,
        author: "Somebody".to_owned(),
        subject: "By hand".to_owned(),
        paths: vec!["kubernetes/applications/web/values.yaml".to_owned()],
        paths_cut,
        named: Vec::new(),
        committed_at: at,
        found_at: at,
    };
    // More than are read at once: nothing is left out, and where the service has not looked, it says so.
    let homelab: domain::RepositoryName = "homelab".parse().unwrap();
    let put: Result<(), store::StoreError> = store
        .write(move |tx| {
            Box::pin(async move {
                for number in 0..1_200 {
                    let commit = format!("{number:040x}").parse().unwrap();
                    tx.put_unexplained(&homelab, &found(commit, number == 7)).await?;
                }
                tx.put_unexplained(&homelab, &found(commit, false)).await?;
                tx.set_unlooked(&homelab, 34).await
            })
        })
        .await;
    put.unwrap();
    store.close().await;
    let listed = told(&world.run(&["unexplained"]).await);
    assert_eq!(listed.len(), 1_202);
    assert_eq!(
        (&listed[0]["commit"], &listed[0]["subject"]),
        (&json!(commit.to_string()), &json!("By hand"))
    );
    let cut: Vec<_> = listed.iter().filter(|line| line.get("paths_cut").is_some()).collect();
    assert!(cut.len() == 1 && cut[0]["commit"] == format!("{:040x}", 7), "{cut:?}");
    assert_eq!(listed[1_201], json!({ "repository": "homelab", "commits_not_looked_at": 34 }));
    for command in ["approvers", "unexplained", "stops"] {
        let said = world.run(&[command, "more"]).await;
        assert!(said.code == Some(2) && said.err.contains("unexpected argument 'more'"), "{said:?}");
        world.configure("[server]", "[server]\nbund = \"x\"");
        let said = world.run(&[command]).await;
        assert!(said.code == Some(2) && said.err.contains("bund"), "{said:?}");
        world.configure("bund", "");
    }
}

/// A standard rule where no Argo CD tells how a run ends is told before the first run.
#[tokio::test]
async fn check_warns_of_trust_that_can_never_be_kept() {
    let world = World::start().await;
    let said = world.run(&["check"]).await;
    assert!(said.code == Some(0) && !said.out.contains("has no Argo CD"), "{said:?}");
    world.configure("argocd = ", "");
    let said = world.run(&["check"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "rule \"proven runbooks\" lets restart, scale run by themselves, but repository homelab has no Argo CD that tells how a run ends",
        "the grant lets runbook scale run by itself, but repository homelab has no Argo CD",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
}
