//! What people order and look up from a shell: `stop`, `stops`, `resume`, `unlock`, `approvers`, `unexplained`.

use serde_json::{Value, json};
use store::{Store, StoreOptions};

use crate::world::{CHAT, Said, World};

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
    let policy = include_str!("../../../../config/policy.toml");
    world.write(
        "policy.toml",
        &policy.replace("name = \"workloads\"\n", "name = \"workloads\"\nrepository = \"homelap\"\n"),
    );
    let said = world.run(&["check"]).await;
    let slip = "rule \"workloads\" is for repository homelap, which is not configured\n  remedy: correct the name; configured is homelab";
    assert!(said.code == Some(0) && said.out.contains(slip), "{said:?}");
    world.write("policy.toml", policy);
    world.configure("argocd = ", "");
    let said = world.run(&["check"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in [
        "rule \"proven runbooks\" lets restart, scale run by themselves, but repository homelab has no Argo CD that tells how a run ends",
        "lets nothing run by itself: repository homelab has no Argo CD that tells how a run ends, so its runs ask people",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(!said.out.contains("runs by itself because"), "one thing of one grant: {}", said.out);
    let said = world
        .run(&["explain", "kubernetes/applications/demo/deployment.yaml", "--runbook", "scale"])
        .await;
    assert!(
        said.out.contains("tier: prompted") && said.out.contains("repository homelab has no Argo CD that tells how a run ends"),
        "{said:?}"
    );
}

/// One thing of one grant, and only what is so.
#[tokio::test]
async fn check_tells_of_each_grant_what_matters_most() {
    let world = World::start().await;
    let scale = include_str!("../../../../config/runbooks/scale.toml");
    let policy = include_str!("../../../../config/policy.toml");
    let line = policy.lines().position(|line| line == "[[grants]]").unwrap() + 1;
    let told = async || {
        let said = world.run(&["check"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let place = format!("policy.toml:{line}: ");
        let of_it: Vec<String> = said.out.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect();
        assert_eq!(of_it.len(), 1, "{}", said.out);
        let (_, rest) = said.out.split_once(&place).unwrap();
        rest.lines().take(2).collect::<Vec<_>>().join("; ")
    };
    assert!(told().await.contains("runs by itself because somebody wrote so"));
    world.write("runbooks/scale.toml", &format!("{scale}\n"));
    let said = told().await;
    assert!(
        said.contains("the grant of runbook scale in homelab/default is void: its file was edited since") && said.contains("write hash = "),
        "{said}"
    );
    world.write("runbooks/scale.toml", scale);
    let renamed = policy.replacen("runbook = \"scale\"", "runbook = \"scaled\"", 1);
    world.write("policy.toml", &renamed);
    let said = told().await;
    assert!(
        said.contains("the grant of runbook scaled in homelab/default is void: there is no such runbook file")
            && said.contains("remedy: correct the name"),
        "{said}"
    );
    // What a repository carries itself cannot be seen from here.
    world.configure("approvals", &format!("runbooks = true\napprovals = [{{ chat = {CHAT} }}]"));
    assert!(told().await.contains("runs by itself because"));
    world.write("policy.toml", policy);
    world.configure("argocd = ", "");
    assert!(
        told()
            .await
            .contains("lets nothing run by itself: repository homelab has no Argo CD")
    );

    // Rules of the service's own file do not rule a repository that carries some.
    let own = "lets restart, scale run by themselves, but repository homelab has no Argo CD";
    assert!(world.run(&["check"]).await.out.contains(own));
    world.configure(
        "approvals",
        &format!("policy = \".countersign/policy.toml\"\napprovals = [{{ chat = {CHAT} }}]"),
    );
    let said = world.run(&["check"]).await;
    assert!(said.code == Some(0) && !said.out.contains(own), "{said:?}");
}

/// A name at the shell is not enough where repositories carry runbooks themselves, and nobody is left to guess that.
#[tokio::test]
async fn runbooks_that_a_repository_carries_are_said_not_to_be_seen() {
    let world = World::start().await;
    let said = world.run(&["runbook", "list"]).await;
    assert!(said.code == Some(0) && said.err.is_empty(), "{said:?}");
    world.configure("approvals", &format!("runbooks = true\napprovals = [{{ chat = {CHAT} }}]"));
    let said = world.run(&["runbook", "list"]).await;
    let note = "note: repository homelab carries runbooks of its own, which stand on its branch and are not seen from here: add --folder CHECKOUT\n";
    assert_eq!((said.code, said.err.as_str()), (Some(0), note), "{said:?}");
    let said = crate::world::run(world.folder.path(), &["runbook", "render", "rescale", "{}"]);
    refused(
        &said,
        2,
        "there is no file rescale here, and runbooks are not looked up by their names",
    );
    assert!(
        said.err.contains(".countersign/runbooks/rescale.toml in the checkout"),
        "{}",
        said.err
    );
}
