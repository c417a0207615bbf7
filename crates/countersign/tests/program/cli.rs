//! Commands, their output and their exit codes.

use crate::world::{CHAT, Said, World, run};

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
            "tier: standard\nrule: proven runbooks (config/policy.toml:37)\nwhy: rule \"proven runbooks\" trusts runbook scale: standard until 2100-01-01, as long as its record allows it\napprovers: none, people are told afterwards\n",
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

/// Whoever writes a window sees what it means, on the day when clocks are turned as well.
#[test]
fn explain_tells_what_is_frozen_and_which_windows_come_next() {
    let folder = tempfile::tempdir().unwrap();
    let policy = r#"version = 1
[people.alice]
telegram_id = 1
[groups]
sre = ["alice"]
[[rules]]
name = "a"
paths = ["a/**", "b/**"]
tier = "prompted"
approvers = "sre"
[[freezes]]
name = "weekend"
paths = ["a/**"]
start = 2026-01-02T18:00:00
duration = "62h"
timezone = "Europe/Berlin"
rrule = "FREQ=WEEKLY;BYDAY=FR"
override = "sre"
[[freezes]]
name = "office hours"
kind = "allow"
paths = ["b/**"]
start = 2026-01-01T09:00:00
duration = "8h"
timezone = "Europe/Berlin"
rrule = "FREQ=DAILY;UNTIL=20270401"
"#;
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let explained = |path: &str, at: &str| {
        let said = run(folder.path(), &["explain", path, "--policy", "policy.toml", "--at", at]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        let told = said
            .out
            .lines()
            .filter(|line| line.contains("freeze") || line.contains("frozen") || line.contains("window"));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    let weekend = |from: &str, to: &str| format!("next freeze: \"weekend\" from Fri {from} 18:00 Europe/Berlin to Mon {to} Europe/Berlin");
    assert_eq!(
        explained("a/x", "2027-03-25T12:00:00Z"),
        [weekend("2027-03-26", "2027-03-29 09:00")],
        "an hour is left out"
    );
    assert_eq!(
        explained("a/x", "2027-03-27T12:00:00+01:00"),
        [
            "frozen: a/x is frozen by \"weekend\" until 2027-03-29 09:00 Europe/Berlin; sre may let it pass".to_owned(),
            weekend("2027-04-02", "2027-04-05 08:00")
        ]
    );
    assert_eq!(
        explained("b/x", "2027-03-31T20:00:00Z"),
        [
            "frozen: b/x may change only within \"office hours\" until 2027-04-01 09:00 Europe/Berlin",
            "next allow window: \"office hours\" from Thu 2027-04-01 09:00 Europe/Berlin to Thu 2027-04-01 17:00 Europe/Berlin"
        ]
    );
    let over = explained("b/x", "2027-04-02T20:00:00Z");
    assert!(
        over.len() == 1 && over[0].ends_with("which is over and does not come again: frozen for ever"),
        "{over:?}"
    );
    let said = run(folder.path(), &["explain", "a/x", "--policy", "policy.toml", "--at", "tomorrow"]);
    assert!(
        said.code == Some(2) && said.err.contains("write it with its offset, such as"),
        "{said:?}"
    );
    // The clock shows half past two twice that night.
    let once = policy.replace("rrule = \"FREQ=WEEKLY;BYDAY=FR\"\n", "");
    let night = once.replace(
        "start = 2026-01-02T18:00:00\nduration = \"62h\"",
        "start = 2026-10-25T02:30:00\nduration = \"1h\"",
    );
    std::fs::write(folder.path().join("policy.toml"), night).unwrap();
    assert_eq!(
        explained("a/x", "2026-10-24T12:00:00Z"),
        ["next freeze: \"weekend\" from Sun 2026-10-25 02:30 +02:00 Europe/Berlin to Sun 2026-10-25 02:30 +01:00 Europe/Berlin"]
    );
    std::fs::write(folder.path().join("policy.toml"), [0x76, 0xff]).unwrap();
    let said = run(folder.path(), &["explain", "a/x", "--policy", "policy.toml"]);
    assert!(said.code == Some(2) && said.err.contains("save it as UTF-8"), "{said:?}");
}

#[test]
fn check_tells_what_would_not_come_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "policy.toml",
        "version = 1\n\n[[freezes]]\nname = \"move\"\nkind = \"allow\"\nstart = 2020-01-01\nduration = \"1d\"\n",
    );
    write(
        "config.toml",
        "[telegram]\ntoken_file = \"token\"\n\n[[repositories]]\nname = \"homelab\"\nurl = \"/tmp/homelab.git\"\nbranch = \"main\"\n\
         approvals = [{ chat = -1001000000001 }]\nnotifications = [{ chat = -1001000000001, digest = \"23:00\", quiet = \"22:00-07:00\" }]\n",
    );
    write("token", "1000:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n");
    let said = run(folder.path(), &["check", "--config", "config.toml"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    for expected in [
        "warning: repository homelab, notifications[0]: its digest's time lies in its quiet hours, so the digest comes at their end, 07:00\n  remedy: \
         write digest = \"07:00\"",
        "policy.toml:3: freeze \"move\" is over and does not come again: as its kind is allow, what no other allow window covers is frozen for ever\n  \
         remedy: remove it",
    ] {
        assert!(said.out.contains(expected), "{expected}\n{}", said.out);
    }
}

#[test]
fn check_names_what_is_wrong_with_the_guard_rails_files_and_what_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("policy.toml", "version = 1\n");
    write(
        "rego/a.rego",
        "package main\n\nimport rego.v1\n\ndeny contains \"x\" if input.a == 1\n",
    );
    write("secrets.toml", "[extend]\nuseDefault = true\n");
    write(
        "config.toml",
        "[guard]\nsecret_rules = \"secrets.toml\"\npolicies = \"rego\"\n[[guard.rules]]\nid = \"text.long-line\"\neffect = \"off\"\nreason = \"dashboards are one line\"\n",
    );
    let said = run(folder.path(), &["check", "--config", "config.toml"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let nothing =
        "ok configuration: no repository, 0 Argo CD instances\nwarning: no repository is configured, so that nothing can be proposed\n";
    assert!(said.out.starts_with(nothing), "{}", said.out);
    assert!(
        said.out
            .contains("ok guard rails: 74 secret patterns, Kubernetes 1.37, 1 Rego policy\n"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("note: the rule text.long-line is switched off: dashboards are one line\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("secrets.toml:1: `extend` has no effect"), "{}", said.out);

    write("rego/a.rego", "package main\n\ndeny[msg] {\n  input.kind ==\n}\n");
    write("secrets.toml", "[[rules]]\nid = \"a\"\nregex = '''('''\n");
    for command in ["check", "serve"] {
        let said = run(folder.path(), &[command, "--config", "config.toml"]);
        assert_eq!(said.code, Some(if command == "check" { 1 } else { 2 }), "{said:?}");
        assert!(
            said.err.contains("secrets.toml:3: ") && said.err.contains("remedy: "),
            "{}",
            said.err
        );
    }
    write("secrets.toml", "");
    let said = run(folder.path(), &["check", "--config", "config.toml"]);
    assert!(said.err.contains("rego/a.rego:"), "{}", said.err);
}

#[test]
fn check_tells_a_signing_key_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("policy.toml", "version = 1\n"),
        ("key", "no key\n"),
        ("config.toml", "[git]\nsigning_key_file = \"key\"\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let said = run(folder.path(), &["check", "--config", "config.toml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("git.signing_key_file: ")
            && said.err.contains("cannot be read as an OpenSSH key")
            && said.err.contains("remedy: "),
        "{}",
        said.err
    );
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
            "problem: {}:6: rule \"a\" asks group nobody, which does not exist\n  remedy: add it under [groups]: there is no group yet\n",
            file.display()
        )
    );
    let said = run(folder.path(), &["serve", "--config", "config.toml"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    let line = format!(
        "{}:6: rule \"a\" asks group nobody, which does not exist\n  remedy: add it under [groups]: there is no group yet\n",
        file.display()
    );
    assert_eq!(said.err, format!("error: {line}"), "one remedy for one problem");
    let named = file.display().to_string();
    for arguments in [["--config", "config.toml"], ["--policy", &named]] {
        let said = run(folder.path(), &[&["explain", "a"][..], &arguments].concat());
        assert_eq!((said.code, said.err), (Some(2), format!("error: {line}")), "{arguments:?}");
    }
}

/// What a repository's CI asks, and an operator before an edit.
#[tokio::test]
async fn a_repository_s_own_policy_is_checked_explained_and_replayed() {
    let world = World::start().await;
    world.configure(
        "approvals",
        &format!("policy = \".countersign/policy.toml\"\napprovals = [{{ chat = {CHAT} }}]"),
    );
    let rule = "version = 1\n[[rules]]\nname = \"here\"\npaths = [\"kubernetes/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n";
    world.write("good.toml", rule);
    world.write("bad.toml", &format!("{rule}[people.mallory]\ntelegram_id = 6666\n"));
    let (good, bad) = (
        world.path("good.toml").display().to_string(),
        world.path("bad.toml").display().to_string(),
    );
    let said = world.run(&["check", "--repository-policy", &good]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out
            .contains(&format!("ok policy of repository homelab, {good}: 1 rule, hash ")),
        "{said:?}"
    );
    let said = world.run(&["check", "--repository-policy", &bad]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let line = format!("problem: {bad}:7: people: a repository's policy cannot define people and their ids\n  remedy: move it");
    assert!(said.err.contains(&line), "{said:?}");
    let said = world.run(&["check", "--repository-policy", &good, "--repository", "other"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");

    // In a checkout, the runbooks beside it count: the names that its rules may use, and whether they are valid.
    world.configure(
        "approvals",
        &format!("runbooks = \".countersign/runbooks\"\napprovals = [{{ chat = {CHAT} }}]"),
    );
    let standard = rule.replace("\"prompted\"\n", "\"standard\"\nrunbook = [\"rescale\"]\n");
    world.write("checkout/.countersign/policy.toml", &standard);
    let carried = world.path("checkout/.countersign/policy.toml").display().to_string();
    let said = world.run(&["check", "--repository-policy", &carried]).await;
    assert!(
        said.code == Some(1) && said.err.contains("trusts runbook rescale, which does not exist"),
        "{said:?}"
    );
    let runbook = include_str!("../../../../config/runbooks/scale.toml").replace("name = \"scale\"", "name = \"rescale\"");
    world.write("checkout/.countersign/runbooks/rescale.toml", &runbook);
    let said = world.run(&["check", "--repository-policy", &carried]).await;
    assert!(
        said.code == Some(0) && said.out.contains("ok policy of repository homelab"),
        "{said:?}"
    );
    world.write("checkout/.countersign/runbooks/rescale.toml", &format!("{runbook}\nsurprise = 1\n"));
    let said = world.run(&["check", "--repository-policy", &carried]).await;
    assert!(
        said.code == Some(1) && said.err.contains(".countersign/runbooks/rescale.toml:"),
        "{said:?}"
    );

    let said = world.run(&["explain", "kubernetes/x", "--repository-policy", &good]).await;
    assert!(
        said.out.contains(&format!("rule: here ({good}:2)")) && said.code == Some(0),
        "{said:?}"
    );
    let said = world.run(&["explain", ".countersign/policy.toml"]).await;
    assert!(
        said.out.contains("is reserved") && said.err.contains("no .countersign/policy.toml"),
        "{said:?}"
    );

    let said = world.run(&["policy", "replay", &good]).await;
    assert!(said.code == Some(1) && said.err.contains("there is no database"), "{said:?}");
    world.run(&["agent", "add", "ops-agent"]).await;
    let said = world.run(&["policy", "replay", &good]).await;
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "there are no past decisions to compare with\n"),
        "{said:?}"
    );
    let said = world.run(&["policy", "replay", &bad]).await;
    assert!(said.code == Some(2) && said.err.contains(&format!("{bad}:7: people")), "{said:?}");
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
    let note = format!(
        "note: there was no database {}; a new one was made\n",
        world.path("countersign.db").display()
    );
    assert!(
        added.err.starts_with(&format!("{note}token of agent ops-agent (expires ")),
        "{}",
        added.err
    );

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
        (
            ["--path", "/kubernetes/**"],
            "without a leading slash\n  remedy: write it as policy rules do",
        ),
        (["--path", "../x"], "paths have no empty, . or .. part"),
        (["--path", "kubernetes/"], "write ** behind the slash"),
        (["--path", ""], "it is empty"),
    ] {
        let said = world.run(&[&["agent", "add", "x"], &arguments[..]].concat()).await;
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains(expected), "{}", said.err);
    }

    let rotated = world.run(&["agent", "rotate", "ops-agent"]).await;
    let second = rotated.out.trim();
    assert!(
        rotated.err.contains("(expires ") && second.starts_with("cs_") && second != first,
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

    assert!(
        agent.expires_at.unwrap() > chrono::Utc::now() + chrono::Duration::days(80),
        "and so does the end that was set"
    );

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
async fn a_revoked_agent_gets_no_new_token_but_may_be_added_again() {
    let world = World::start().await;
    assert_eq!(world.run(&["agent", "add", "ops-agent"]).await.code, Some(0));
    assert_eq!(world.run(&["agent", "revoke", "ops-agent"]).await.code, Some(0));
    let refused = world.run(&["agent", "rotate", "ops-agent", "--expires", "90d"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    assert!(
        refused.err.starts_with("error: agent ops-agent was revoked 2")
            && refused.err.contains("a revoked agent gets no new token\n  remedy: ")
            && refused.err.contains("`countersign agent add ops-agent …`"),
        "{}",
        refused.err
    );
    let again = world.run(&["agent", "add", "ops-agent", "--path", "kubernetes/**"]).await;
    assert!(again.code == Some(0) && again.out.starts_with("cs_"), "{again:?}");
    let list = world.run(&["agent", "list"]).await;
    assert!(
        list.out.contains("\"state\":\"active\"") && list.out.contains("kubernetes/**") && lines(&list.out).len() == 1,
        "{}",
        list.out
    );
    let audit = world.run(&["audit", "show"]).await;
    assert_eq!(lines(&audit.out).len(), 3, "a refused rotation is none: {}", audit.out);
    assert!(
        lines(&audit.out)[2].to_string().contains("was added again on the command line"),
        "{}",
        audit.out
    );
}

#[tokio::test]
async fn rotating_keeps_the_end_that_was_set_unless_told_otherwise() {
    let world = World::start().await;
    assert_eq!(world.run(&["agent", "add", "ops-agent", "--expires", "90d"]).await.code, Some(0));
    let never = world.run(&["agent", "rotate", "ops-agent", "--expires", "never"]).await;
    assert!(never.err.contains("does not expire"), "{never:?}");
    let name: domain::AgentName = "ops-agent".parse().unwrap();
    let past = chrono::Utc::now() - chrono::Duration::hours(1);
    let store = store::Store::open(&world.path("countersign.db"), store::StoreOptions::default())
        .await
        .unwrap();
    let hash = domain::Sha256Hash::of(b"another");
    store
        .write(move |tx: &mut store::Tx| Box::pin(async move { tx.rotate_agent(&name, hash, Some(past)).await }))
        .await
        .unwrap();
    store.close().await;
    let over = world.run(&["agent", "rotate", "ops-agent"]).await;
    assert_eq!((over.code, over.out.as_str()), (Some(1), ""));
    assert!(
        over.err
            .contains("a new token would have the same end\n  remedy: say how long the new one is valid: --expires 90d"),
        "{}",
        over.err
    );
    assert_eq!(world.run(&["agent", "rotate", "ops-agent", "--expires", "1d"]).await.code, Some(0));
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
    // Who refuses the bot itself refuses no chat.
    world.telegram.fail_next("getMe", simulators::telegram::Fault::Status(403), 1);
    let refused = world.run(&["check", "--online"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .err
            .contains("problem: telegram token: Telegram, or what stands before it, refuses the bot itself (")
            && !refused.err.contains("chat"),
        "{}",
        refused.err
    );
    world.write("telegram-token", "7000000001:wrong");
    world.write("git-password", "wrong");
    world.write("argocd-token", "a.wrong.token");
    let bad = world.run(&["check", "--online"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    for expected in [
        "problem: telegram token: Telegram does not know this bot token",
        "problem: git homelab: ",
        "problem: argocd main: Argo CD does not accept the token",
        "  remedy: make a token of the role in deploy/argocd/project-role.yaml",
    ] {
        assert!(bad.err.contains(expected), "{expected}:\n{}", bad.err);
    }
}

#[tokio::test]
async fn what_helps_with_argocd_follows_from_what_is_wrong_with_it() {
    let world = World::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut old = world.argocd.url();
    for (url, cause, remedy) in [
        (format!("http://{nobody}"), "refused", "start Argo CD, or correct host and port"),
        (
            world.argocd.url().replace("http:", "https:"),
            "is not available",
            "name the authority of its certificate in `ca_file`, or correct scheme and port",
        ),
        (
            format!("{}/elsewhere", world.argocd.url()),
            "",
            "correct `url`: it must lead to Argo CD's own server",
        ),
    ] {
        world.configure(&format!("url = \"{old}"), &format!("url = \"{url}\""));
        let said = world.run(&["check", "--online"]).await;
        let (_, problem) = said.err.split_once("problem: argocd main: ").expect("a problem");
        assert!(
            problem.contains(cause) && problem.contains(&format!("remedy: {remedy}")) && !problem.contains("make a token"),
            "{problem}"
        );
        old = url;
    }
}

#[tokio::test]
async fn check_tells_what_is_wrong_with_every_secret_at_once() {
    let world = World::start().await;
    world.configure(
        "token_file = \"telegram-token\"",
        "token_file = \"telegram-token\"\nmode = \"webhook\"\nwebhook = { url = \"https://countersign.example.com/telegram/webhook\", secret = \"no spaces\" }",
    );
    world.write("telegram-token", "no token");
    std::fs::remove_file(world.path("git-password")).unwrap();
    let said = world.run(&["check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for expected in [
        "problem: telegram.token_file: the Telegram bot token must look like",
        "problem: telegram.webhook.secret: it is not 1 to 256 of",
        "problem: repositories[0].credentials.password_file (file ",
    ] {
        assert!(said.err.contains(expected), "{expected}:\n{}", said.err);
    }
    assert_eq!(said.err.matches("problem: ").count(), 3, "{}", said.err);
}

#[tokio::test]
async fn commands_that_read_or_administer_make_no_database() {
    let world = World::start().await;
    for arguments in [
        &["agent", "list"][..],
        &["agent", "rotate", "a"],
        &["agent", "revoke", "a"],
        &["audit", "verify"],
        &["audit", "show"],
        &["backup", "copy.db"],
        &["effects", "list"],
        &["effects", "retry", "--all"],
        &["stop"],
        &["stops"],
        &["resume"],
        &["unlock", "alice"],
        &["approvers"],
        &["unexplained"],
        &["explain", "a"],
        &["check"],
    ] {
        let said = world.run(arguments).await;
        assert!(!world.path("countersign.db").exists(), "{arguments:?}: {said:?}");
        if !matches!(arguments[0], "explain" | "check") {
            assert_eq!(said.code, Some(1), "{arguments:?}: {said:?}");
            assert!(
                said.err.contains("there is no database") && said.err.contains("remedy: correct database.path; or start"),
                "{said:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_damaged_database_is_told_with_a_remedy() {
    let world = World::start().await;
    world.run(&["agent", "add", "one"]).await;
    let mut bytes = std::fs::read(world.path("countersign.db")).unwrap();
    bytes[100..].fill(0x5a);
    std::fs::write(world.path("countersign.db"), bytes).unwrap();
    let said = world.run(&["agent", "list"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("remedy: keep the damaged file, copy the latest backup"),
        "{}",
        said.err
    );
}

/// A pipe whose reader is gone before the first line is written.
#[tokio::test]
async fn a_reader_that_hangs_up_ends_a_command_quietly() {
    let world = World::start().await;
    world.run(&["agent", "add", "one"]).await;
    for arguments in [
        &["agent", "list"][..],
        &["audit", "show"],
        &["audit", "verify"],
        &["explain", "a"],
        &["check"],
        &["version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = crate::world::program(world.folder.path());
        command.args(arguments);
        if arguments != ["version"] {
            command.arg("--config").arg(world.config());
        }
        let said = tokio::task::spawn_blocking(move || command.stdout(writer).output().unwrap())
            .await
            .unwrap();
        assert_eq!(
            (said.status.code(), String::from_utf8(said.stderr).unwrap()),
            (Some(141), String::new()),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn parked_effects_are_listed_and_tried_again_with_an_audit_row() {
    let world = World::start().await;
    world.run(&["agent", "add", "one"]).await;
    let store = store::Store::open(&world.path("countersign.db"), store::StoreOptions::default())
        .await
        .unwrap();
    let now: domain::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    for text in ["first", "second"] {
        let effect = domain::Effect::Alarm { text: text.to_owned() };
        let parked: Result<(), store::StoreError> = store
            .write(move |tx| {
                Box::pin(async move {
                    tx.schedule(None, &effect, now).await?;
                    for claimed in tx.claim(now, now, 1, &["alarm"]).await? {
                        tx.park(claimed.effect_id, "the chat is gone").await?;
                    }
                    Ok(())
                })
            })
            .await;
        parked.unwrap();
    }
    let list = world.run(&["effects", "list"]).await;
    let listed: Vec<serde_json::Value> = lines(&list.out)
        .into_iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 2, "{list:?}");
    assert_eq!(
        (&listed[0]["effect"], &listed[0]["error"]),
        (&"alarm".into(), &"the chat is gone".into())
    );

    let nope = world.run(&["effects", "retry", "nope"]).await;
    assert!(
        nope.code == Some(2) && nope.err.contains("an effect's id is a number: `countersign effects list` shows"),
        "{nope:?}"
    );
    let unknown = world.run(&["effects", "retry", "999"]).await;
    assert_eq!(
        (unknown.code, unknown.err.as_str()),
        (
            Some(1),
            "error: no effect 999 is parked\n  remedy: `countersign effects list` shows all that are\n"
        )
    );
    assert_eq!(
        world.run(&["effects", "retry"]).await.code,
        Some(2),
        "what is to be tried must be said"
    );
    let one = listed[1]["id"].to_string();
    let retried = world.run(&["effects", "retry", &one]).await;
    assert_eq!((retried.code, lines(&retried.out).len()), (Some(0), 1), "{retried:?}");
    assert_eq!(store.read().parked().await.unwrap().len(), 1);
    assert!(store.read().next_due().await.unwrap().is_some(), "a worker has something to do");
    world.run(&["effects", "retry", "--all"]).await;
    assert_eq!(world.run(&["effects", "list"]).await.out, "");
    let audit = world.run(&["audit", "show"]).await.out;
    assert_eq!(audit.matches("\"effect_retried\"").count(), 2, "{audit}");
    assert!(audit.contains("(alarm) is tried again, as asked on the command line"), "{audit}");
    store.close().await;
}

#[tokio::test]
async fn check_online_asks_github() {
    let world = World::start().await;
    let github = simulators::github::GitHubSim::start(simulators::github::GitHubOptions {
        users: vec![simulators::github::User::new("countersign", "canary-github")],
        repositories: vec![simulators::github::HostedRepo::new("team", "homelab", &world.repo)],
        ..simulators::github::GitHubOptions::default()
    })
    .await
    .unwrap();
    world.write("github-token", "canary-github");
    world.configure(
        "credentials = ",
        &format!(
            "credentials = {{ username = \"bot\", password_file = \"git-password\" }}\ngithub = {{ api_url = \"{}\", owner = \"team\", repo = \"homelab\", token_file = \"github-token\" }}",
            github.url()
        ),
    );
    let good = world.run(&["check", "--online"]).await;
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""), "{good:?}");
    assert!(
        good.out.contains("ok github homelab: team/homelab as countersign\n"),
        "{}",
        good.out
    );
    world.write("github-token", "canary-wrong");
    let bad = world.run(&["check", "--online"]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(
        bad.err.contains("problem: github homelab: GitHub does not accept the token (401)") && !bad.err.contains("canary"),
        "{}",
        bad.err
    );
    assert_eq!(github.spec_violations(), Vec::<String>::new());
}
