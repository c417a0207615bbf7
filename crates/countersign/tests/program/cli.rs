//! Commands, their output and their exit codes.

use crate::world::{Said, World, run};

fn here(arguments: &[&str]) -> Said {
    run(&std::env::temp_dir(), arguments)
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn check_finds_the_shipped_files_in_order_from_anywhere() {
    let said = here(&["check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let out = lines(&said.out);
    assert_eq!(out[0], "ok configuration: 1 repository (homelab), 1 Argo CD instance");
    assert!(
        out[1].starts_with("ok policy config/policy.toml: 4 rules, 4 people, hash "),
        "{}",
        out[1]
    );
    assert!(out.iter().any(|line| line.starts_with("ok runbook scale: hash ")), "{out:?}");
}

#[test]
fn the_command_line_says_what_is_wrong_with_it() {
    for (arguments, code, expected) in [
        (&["serve"][..], 2, "--config <FILE>"),
        (
            &["check", "--online"],
            2,
            "error: --online needs a configuration\n  remedy: name it with --config FILE\n",
        ),
        (
            &["check", "--config", "missing.toml"],
            1,
            "problem: --config (command line): missing.toml cannot be read: No such file or directory (os error 2)\n  remedy: check the path and its permissions\n",
        ),
        (
            &["serve", "--config", "missing.toml"],
            2,
            "error: --config (command line): missing.toml cannot be read",
        ),
        (&["explain"], 2, "<PATHS>..."),
        (&["explain", "../x"], 2, "it has a . or .. part"),
        (
            &["explain", "a", "--runbook", "other"],
            2,
            "error: there is no runbook other\n  remedy: use one of: restart, scale, set-image-tag\n",
        ),
        (
            &["explain", "a", "--runbook", "scale"],
            2,
            "error: runbook scale may not touch a\n  remedy: it may touch kubernetes/applications/*/deployment.yaml; leave --runbook out for a free-form change\n",
        ),
        (
            &["explain", "a", "--repository", "other"],
            2,
            "error: there is no repository other\n  remedy: use one of: homelab\n",
        ),
        (&["agent", "add", "a b", "--config", "x"], 2, "agent name \"a b\" is not valid"),
        (
            &["agent", "add", "a", "--expires", "90x", "--config", "x"],
            2,
            "write a number and m, h or d, such as 12h or 90d",
        ),
        (&["digest", "missing.json"], 2, "error: missing.json: cannot be read"),
    ] {
        let said = here(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
        assert_eq!(said.out, "", "{arguments:?}");
    }
    assert_eq!(here(&["version"]).out, format!("countersign {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn explain_tells_tier_rule_why_and_approvers() {
    for (arguments, expected) in [
        (
            &["kubernetes/applications/demo/service.yaml"][..],
            "tier: prompted\nrule: workloads (config/policy.toml:45)\nwhy: rule \"workloads\"\napprovers: 1 of operators (alice, bob, carol); not for an agent that they own\nwaits: 4 h\n",
        ),
        (
            &["kubernetes/platform/dns/values.yaml"],
            "tier: prompted\nrule: platform (config/policy.toml:53)\nwhy: rule \"platform\"\napprovers: 2 of platform (bob, carol, dave); not for an agent that they own\nwaits: 12 h\n",
        ),
        (
            &["infrastructure/talos/worker.yaml"],
            "tier: manual\nrule: infrastructure (config/policy.toml:62)\nwhy: rule \"infrastructure\" says that a human commits\napprovers: none, a human commits\n",
        ),
        (
            &["kubernetes/applications/demo/deployment.yaml", "--runbook", "scale"],
            "tier: standard\nrule: proven runbooks (config/policy.toml:37)\nwhy: rule \"proven runbooks\" trusts runbook scale\napprovers: none, people are told afterwards\n",
        ),
        (
            &["kubernetes/applications/demo/deployment.yaml", "--runbook", "set-image-tag"],
            "tier: prompted\nrule: proven runbooks (config/policy.toml:37)\nwhy: rule \"proven runbooks\" trusts only its own runbook; other changes are asked\n",
        ),
        (
            &["kubernetes/platform/countersign/statefulset.yaml"],
            "tier: manual\nrule: none\nwhy: kubernetes/platform/countersign/statefulset.yaml is reserved: ",
        ),
        (
            &["elsewhere.txt"],
            "tier: manual\nrule: none\nwhy: no rule matches elsewhere.txt, so a human commits it\n",
        ),
        (
            &["kubernetes/applications/demo/service.yaml", "--delete"],
            "second step: yes, a file is deleted\n",
        ),
        (
            &["kubernetes/applications/a/b.yaml", "infrastructure/terraform/main.tf"],
            "path: kubernetes/applications/a/b.yaml -> prompted (rule \"workloads\")\npath: infrastructure/terraform/main.tf -> manual (rule \"infrastructure\" says that a human commits)\n",
        ),
    ] {
        let said = here(&[&["explain"], arguments].concat());
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.out.contains(expected), "{arguments:?}:\n{}", said.out);
    }
}

#[test]
fn a_policy_is_refused_with_file_line_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("policy.toml"),
        "version = 1\n[[rules]]\nname = \"a\"\npaths = [\"**\"]\ntier = \"prompted\"\napprovers = \"nobody\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("config.toml"), "").unwrap();
    let said = run(folder.path(), &["check", "--config", "config.toml"]);
    let file = folder.path().join("policy.toml");
    assert_eq!(said.code, Some(1));
    assert_eq!(
        said.err,
        format!(
            "problem: {}:6: rule \"a\" asks group nobody, which does not exist\n  remedy: add it under [groups], or use one of: \n",
            file.display()
        )
    );
    let said = run(folder.path(), &["serve", "--config", "config.toml"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err
            .contains("policy.toml:6: rule \"a\" asks group nobody, which does not exist"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn agents_are_added_rotated_and_revoked_and_only_hashes_are_kept() {
    let world = World::start().await;
    let added = world
        .run(&[
            "agent",
            "add",
            "ops-agent",
            "--repository",
            "homelab",
            "--path",
            "kubernetes/**",
            "--runbook",
            "scale",
            "--expires",
            "90d",
        ])
        .await;
    assert_eq!(added.code, Some(0), "{added:?}");
    let first = added.out.trim();
    let digits = first.strip_prefix("cs_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
    assert!(added.err.starts_with("token of agent ops-agent (expires "), "{}", added.err);

    let again = world.run(&["agent", "add", "ops-agent"]).await;
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""));
    assert_eq!(
        again.err,
        "error: there is an agent ops-agent already\n  remedy: choose another name, or replace its token with `countersign agent rotate`\n"
    );
    for (arguments, expected) in [
        (["--repository", "other"], "there is no repository other"),
        (["--runbook", "other"], "there is no runbook other"),
        (["--path", "a["], "path pattern \"a[\""),
    ] {
        let said = world.run(&[&["agent", "add", "x"], &arguments[..]].concat()).await;
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains(expected), "{}", said.err);
    }

    let rotated = world.run(&["agent", "rotate", "ops-agent"]).await;
    let second = rotated.out.trim();
    assert!(
        rotated.err.contains("does not expire") && second.starts_with("cs_") && second != first,
        "{rotated:?}"
    );
    let store = store::Store::open(&world.path("countersign.db"), store::StoreOptions::default())
        .await
        .unwrap();
    let by = async |token: &str| store.read().agent_by_token(domain::Sha256Hash::of(token.as_bytes())).await.unwrap();
    assert!(by(first).await.is_none(), "the old token is dead");
    let agent = by(second).await.unwrap();
    assert_eq!((agent.name.as_str(), agent.revoked_at), ("ops-agent", None));
    assert_eq!(agent.scopes.paths, ["kubernetes/**"], "scopes outlive a rotation");

    let revoked = world.run(&["agent", "revoke", "ops-agent"]).await;
    assert!(revoked.out.contains("\"state\":\"revoked\""), "{revoked:?}");
    assert!(by(second).await.unwrap().revoked_at.is_some());
    store.close().await;
    let missing = world.run(&["agent", "revoke", "nobody"]).await;
    assert_eq!(
        missing.err,
        "error: agent nobody does not exist\n  remedy: `countersign agent list` shows all agents\n"
    );

    let list = world.run(&["agent", "list"]).await;
    assert!(
        list.out.starts_with("{") && lines(&list.out).len() == 1 && !list.out.contains("cs_"),
        "{}",
        list.out
    );
    let audit = world.run(&["audit", "show"]).await;
    let events: Vec<_> = ["agent_added", "agent_rotated", "agent_revoked"]
        .iter()
        .filter(|event| audit.out.contains(*event))
        .collect();
    assert_eq!((events.len(), lines(&audit.out).len()), (3, 3), "{}", audit.out);
    assert!(world.run(&["audit", "verify"]).await.out.starts_with("ok 3 rows, head "));
    for secret in [first, second] {
        for file in ["countersign.db", "countersign.db-wal"] {
            let bytes = std::fs::read(world.path(file)).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
        }
        assert!(!audit.out.contains(secret));
    }
}

#[tokio::test]
async fn a_backup_is_restored_by_copying_it_back() {
    let world = World::start().await;
    let none = world.run(&["backup", "never.db"]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.err.contains("there is no database"), "{}", none.err);
    world.run(&["agent", "add", "kept"]).await;
    let backup = world.run(&["backup", "backup.db"]).await;
    assert_eq!((backup.code, backup.out.as_str()), (Some(0), "backup.db\n"), "{backup:?}");
    let twice = world.run(&["backup", "backup.db"]).await;
    assert!(twice.err.contains("it exists already; name a new file"), "{}", twice.err);

    world.run(&["agent", "add", "later"]).await;
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.path(&format!("countersign.db{ending}")));
    }
    std::fs::copy(world.path("backup.db"), world.path("countersign.db")).unwrap();
    let list = world.run(&["agent", "list"]).await;
    assert!(list.out.contains("\"kept\"") && !list.out.contains("\"later\""), "{}", list.out);
    assert!(world.run(&["audit", "verify"]).await.out.starts_with("ok 1 row, head "));
}

#[tokio::test]
async fn a_changed_audit_row_is_named() {
    let world = World::start().await;
    world.run(&["agent", "add", "one"]).await;
    world.run(&["agent", "add", "two"]).await;
    let file = world.path("countersign.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let place = bytes
        .windows(13)
        .position(|window| window == b"agent two was")
        .expect("the row's text");
    bytes[place + 6..place + 9].copy_from_slice(b"six");
    std::fs::write(&file, bytes).unwrap();
    let said = world.run(&["audit", "verify"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(1), "broken at row 2\n"), "{said:?}");
    assert!(said.err.contains("error: audit row 2: "), "{}", said.err);
}

#[tokio::test]
async fn check_online_asks_everybody_and_names_what_is_wrong() {
    let world = World::start().await;
    let good = world.run(&["check", "--online"]).await;
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""), "{good:?}");
    for expected in [
        "ok telegram token: @countersign_bot (7000000001)\n",
        "ok telegram updates: long polling\n",
        "ok telegram chat -1001000000001: Operations (supergroup)\n",
        "ok git homelab: may push to main (now at ",
        "ok argocd main may get applications of *: yes\n",
    ] {
        assert!(good.out.contains(expected), "{expected}:\n{}", good.out);
    }
    world.write("telegram-token", "7000000001:wrong");
    world.write("git-password", "wrong");
    world.write("argocd-token", "a.wrong.token");
    let bad = world.run(&["check", "--online"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    for expected in [
        "problem: telegram token: Telegram does not know this bot token",
        "problem: git homelab: ",
        "problem: argocd main: Argo CD does not accept the token",
    ] {
        assert!(bad.err.contains(expected), "{expected}:\n{}", bad.err);
    }
}
