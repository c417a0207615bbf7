//! Layering, and a table of bad configurations with the exact words of each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::*;

/// The least that a useful file says.
const GOOD: &str = r#"
[telegram]
token = "123456:canary-telegram"
[[repositories]]
name = "homelab"
url = "https://git.example.com/team/homelab.git"
branch = "main"
approvals = [{ chat = -1001 }]
argocd = "main"
[repositories.credentials]
username = "bot"
password = "canary-git"
[[argocd]]
name = "main"
url = "https://argocd.example.com"
token = "canary-argocd"
"#;

fn layers(file: &str, environment: &[(&str, &str)]) -> Layers {
    Layers {
        file: Some(ConfigFile {
            shown: "c.toml".into(),
            folder: PathBuf::from("/etc/countersign"),
            text: file.to_owned(),
        }),
        environment: environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
    }
}

fn good(environment: &[(&str, &str)]) -> Settings {
    Settings::from_layers(&layers(GOOD, environment)).expect("valid settings")
}

/// What a person sees for a bad configuration.
fn told(file: &str, environment: &[(&str, &str)]) -> String {
    match Settings::from_layers(&layers(file, environment)) {
        Ok(_) => "accepted".to_owned(),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn the_environment_stands_over_the_file_and_the_file_over_the_defaults() {
    let settings = good(&[
        ("COUNTERSIGN__SERVER__BIND", "192.0.2.1:80"),
        ("COUNTERSIGN__TELEGRAM__HOLD_SECONDS", "7"),
        ("COUNTERSIGN__REPOSITORIES__HOMELAB__DEFAULT_BRANCH", "false"),
        ("COUNTERSIGN__REPOSITORIES__0__URL_ALIASES", "a, b"),
        ("COUNTERSIGN__ARGOCD__MAIN__SYNC", "on_request"),
        ("COUNTERSIGN_API_SPECS", "not ours"),
        ("SERVER__BIND", "not ours"),
    ]);
    assert_eq!(settings.server.bind.to_string(), "192.0.2.1:80");
    assert_eq!(settings.server.metrics_bind.to_string(), "127.0.0.1:9464", "the default");
    assert_eq!(settings.telegram.map(|telegram| telegram.hold_seconds), Some(7));
    assert!(!settings.repositories[0].default_branch);
    assert_eq!(settings.repositories[0].url_aliases, ["a", "b"]);
    assert!(settings.argocd[0].sync_on_request);
    assert_eq!(settings.database, Path::new("/etc/countersign/countersign.db"), "beside the file");
    assert_eq!(
        settings.repositories[0].git.mirror,
        Path::new("/etc/countersign/mirrors/homelab.git")
    );
}

#[test]
fn a_number_as_a_secret_stays_as_it_was_written() {
    let environment = [("COUNTERSIGN__REPOSITORIES__HOMELAB__CREDENTIALS__PASSWORD", "007")];
    let settings = good(&environment);
    let gitworker::Credentials::Basic {
        password: gitworker::SecretSource::Value(password),
        ..
    } = &settings.repositories[0].git.credentials
    else {
        panic!("not a password");
    };
    assert_eq!(secrecy::ExposeSecret::expose_secret(password), "007");
}

#[test]
fn nothing_is_configured_by_the_defaults_alone() {
    let settings = Settings::from_layers(&Layers::default()).expect("valid defaults");
    assert!(settings.telegram.is_none() && settings.repositories.is_empty() && settings.argocd.is_empty());
}

#[test]
fn no_secret_of_any_layer_is_shown() {
    let settings = good(&[("COUNTERSIGN__ARGOCD__MAIN__TOKEN", "canary-environment")]);
    let shown = format!("{settings:?} {:?}", layers(GOOD, &[]).file);
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let file = GOOD.replace(
        "token = \"123456:canary-telegram\"",
        "tokn = \"canary\"\nhold_seconds = \"canary\"\ntime_zone = \"Mars/Olympus\"\nmode = \"pull\"\napi_url = \"ftp://x\"\n[telegram.webhook]\nurl = 7",
    );
    let told = told(&file, &[("COUNTERSIGN__SERVER__BNID", "x"), ("COUNTERSIGN__LIMITS__ATTEMPTS", "0")]);
    let mut keys: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once(" (").map(|(key, _)| key))
        .filter(|key| !key.starts_with(' '))
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "limits.attempts",
            "server.bnid",
            "telegram.api_url",
            "telegram.hold_seconds",
            "telegram.mode",
            "telegram.time_zone",
            "telegram.token",
            "telegram.tokn",
            "telegram.webhook.url",
        ],
        "{told}"
    );
    assert!(!told.contains("canary"), "{told}");
}

/// (what is changed in the good file, environment, what a person sees)
#[test]
fn bad_configurations_and_their_exact_answers() {
    let replaced = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    let added = |text: &str| format!("{text}\n{GOOD}");
    type Case<'a> = (String, &'a [(&'a str, &'a str)], &'a str);
    let cases: Vec<Case<'_>> = vec![
        (
            added("[server]\nbnid = 1"),
            &[],
            "server.bnid (file c.toml): there is no such key\n  remedy: use one of bind, metrics_bind, tls; or take it out",
        ),
        (
            added("[sever]\nbind = 1"),
            &[],
            "sever (file c.toml): there is no such key\n  remedy: use one of server, database, policy, guard, telegram, limits, log, git, repositories, argocd; or take it out",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__SERVER__BNID", "x")],
            "server.bnid (environment): there is no such key\n  remedy: use one of bind, metrics_bind, tls; or take it out",
        ),
        (
            replaced("name = \"homelab\"", "name = \"homelab\"\nbranhc = \"x\""),
            &[],
            "repositories[0].branhc (file c.toml): there is no such key\n  remedy: use one of name, url, branch, default_branch, credentials, approvals, notifications, argocd, url_aliases, commit_url, policy, runbooks, github, machine_identities, guarded_paths, alarm_unexplained, push_with_git_cli, extra_ca_file, mirror; or take it out",
        ),
        (
            replaced("branch = \"main\"\n", ""),
            &[],
            "repositories[0].branch (file c.toml): it is missing\n  remedy: add it; config/example.toml shows every key",
        ),
        (
            replaced("token = \"123456:canary-telegram\"", "hold_seconds = \"canary\"\ntoken = \"1:a\""),
            &[],
            "telegram.hold_seconds (file c.toml): a text stands where a whole number is expected\n  remedy: correct the value",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__TELEGRAM__HOLD_SECONDS", "canary")],
            "telegram.hold_seconds (environment): a text stands where a whole number is expected\n  remedy: correct the value",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__TELEGRAM", "canary")],
            "telegram (environment): a text stands where a table is expected\n  remedy: correct the value",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__LIMITS__ATTEMPTS", "-1")],
            "limits.attempts (environment): a value out of range stands where a whole number is expected\n  remedy: correct the value",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__LIMITS__ATTEMPTS", "0")],
            "limits.attempts (environment): 0 would stop everything\n  remedy: write 1 or more, or take the key out for the default",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__REPOSITORIES__OTHER__BRANCH", "x")],
            "COUNTERSIGN__REPOSITORIES__OTHER__BRANCH (environment): no entry of [[repositories]] has the name \"other\"\n  remedy: use one of homelab",
        ),
        (
            added("x = 'canary"),
            &[],
            "c.toml:1 (file c.toml): it is not TOML: invalid literal string, expected `'`\n  remedy: correct this line",
        ),
        (
            replaced("token = \"123456:canary-telegram\"", "hold_seconds = 31\ntoken = \"1:a\""),
            &[],
            "telegram.hold_seconds (file c.toml): 31 s is more than 30 s\n  remedy: write 0 (no hold) to 30",
        ),
        (
            replaced(
                "token = \"123456:canary-telegram\"",
                "time_zone = \"Mars/Olympus\"\ntoken = \"1:a\"",
            ),
            &[],
            "telegram.time_zone (file c.toml): \"Mars/Olympus\" is not a time zone\n  remedy: write a name such as \"UTC\" or \"Europe/Vienna\"",
        ),
        (
            replaced("token = \"123456:canary-telegram\"", "mode = \"pull\"\ntoken = \"1:a\""),
            &[],
            "telegram.mode (file c.toml): another word stands where one of poll, webhook is expected\n  remedy: correct the value",
        ),
        (
            replaced("token = \"123456:canary-telegram\"", "mode = \"webhook\"\ntoken = \"1:a\""),
            &[],
            "telegram.webhook (file c.toml): it is missing, but telegram.mode is \"webhook\"\n  remedy: add url and secret_file under [telegram.webhook]",
        ),
        (
            replaced(
                "token = \"123456:canary-telegram\"",
                "mode = \"webhook\"\ntoken = \"1:a\"\nwebhook = { url = \"http://countersign.example.com/telegram/webhook\", secret = \"s\" }",
            ),
            &[],
            "telegram.webhook.url (file c.toml): Telegram calls https addresses on port 443, 80, 88 or 8443 only\n  remedy: let the ingress take it on one of these",
        ),
        (
            replaced(
                "token = \"123456:canary-telegram\"",
                "mode = \"webhook\"\ntoken = \"1:a\"\nwebhook = { url = \"https://countersign.example.com:8081/telegram/webhook\", secret = \"s\" }",
            ),
            &[],
            "telegram.webhook.url (file c.toml): Telegram calls https addresses on port 443, 80, 88 or 8443 only\n  remedy: let the ingress take it on one of these",
        ),
        (
            replaced("token = \"123456:canary-telegram\"", "hold_seconds = 1"),
            &[],
            "telegram.token (file c.toml): it is missing\n  remedy: add telegram.token, or telegram.token_file with the path of a file that holds it",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__TELEGRAM__TOKEN_FILE", "/run/t")],
            "telegram.token_file (environment): telegram.token (file c.toml) is given too: it is not clear which one counts\n  remedy: keep the value or the file, not both",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__TELEGRAM__TOKEN", " ")],
            "telegram.token (environment): it is empty\n  remedy: write the secret, or take the key out",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__SERVER__METRICS_BIND", "127.0.0.1:8080")],
            "server.metrics_bind (environment): it is the address of server.bind\n  remedy: give the metrics a port of their own",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__SERVER__BIND", "localhost")],
            "server.bind (environment): \"localhost\" is not an address and a port\n  remedy: write for example \"127.0.0.1:8080\" or \"[::]:8080\"",
        ),
        (
            replaced("argocd = \"main\"", "argocd = \"mian\""),
            &[],
            "repositories[0].argocd (file c.toml): there is no Argo CD instance named \"mian\"\n  remedy: use one of main, or add [[argocd]] with that name",
        ),
        (
            replaced("chat = -1001", "chat = 0"),
            &[],
            "repositories[0].approvals[0].chat (file c.toml): 0 is no chat\n  remedy: write the chat's numeric id; /whoami in the chat tells it",
        ),
        (
            replaced("chat = -1001", "chat = -1001, topic = 1"),
            &[],
            "repositories[0].approvals[0].topic (file c.toml): 1 is the General topic, which Telegram addresses by no topic at all\n  remedy: take the key out",
        ),
        (
            replaced("approvals = [{ chat = -1001 }]\n", ""),
            &[],
            "repositories[0].approvals (file c.toml): no chat is named, so that nobody could be asked\n  remedy: add approvals = [{ chat = … }]; /whoami tells a chat's id",
        ),
        (
            replaced("https://git.example.com", "https://bot:canary@git.example.com"),
            &[],
            "repositories[0].url (file c.toml): the repository's url must not hold a password: configure credentials apart from it; use https://host/path, ssh://git@host/path, git@host:path or an absolute path\n  remedy: put user names, passwords and tokens under credentials",
        ),
        (
            replaced("https://argocd.example.com", "https://bot:canary@argocd.example.com"),
            &[],
            "argocd[0].url (file c.toml): it must not hold a user or a password\n  remedy: configure the secret by its own key",
        ),
        (
            replaced("https://git.example.com/team/homelab.git", "git@git.example.com:team/homelab.git"),
            &[],
            "repositories[0].credentials (file c.toml): a password or token is given, but the url is an ssh one\n  remedy: use ssh_key_file and known_hosts_file",
        ),
        (
            replaced("username = \"bot\"", "username = \"bot\"\ntoken = \"canary\""),
            &[],
            "repositories[0].credentials (file c.toml): more than one kind of credentials is given\n  remedy: keep username and password, or token, or ssh_key_file and known_hosts_file",
        ),
        (
            replaced("branch = \"main\"", "branch = \"refs/heads/main\""),
            &[],
            "repositories[0].branch (file c.toml): \"refs/heads/main\" is not a branch\n  remedy: write its short name, such as \"main\"",
        ),
        (
            replaced("branch = \"main\"", "branch = \"main\"\npolicy = \"**/policy.toml\""),
            &[],
            "repositories[0].policy (file c.toml): \"**/policy.toml\" holds characters of a path pattern\n  remedy: write a plain path relative to the repository's root, such as \".countersign/policy.toml\"",
        ),
        (
            replaced("branch = \"main\"", "branch = \"main\"\ncommit_url = \"https://x.example.com\""),
            &[],
            "repositories[0].commit_url (file c.toml): it is not an address with {commit} in it\n  remedy: write for example https://git.example.com/team/homelab/commit/{commit}",
        ),
        (
            format!(
                "{GOOD}\n[[repositories]]\nname = \"other\"\nurl = \"/srv/o.git\"\nbranch = \"main\"\napprovals = [{{ chat = 5 }}]\nmirror = \"mirrors/homelab.git/x\""
            ),
            &[],
            "repositories[1].mirror (file c.toml): /etc/countersign/mirrors/homelab.git/x overlaps the mirror of homelab, /etc/countersign/mirrors/homelab.git\n  remedy: give each repository a mirror folder of its own",
        ),
        (
            format!(
                "{GOOD}\n[[repositories]]\nname = \"other\"\nurl = \"https://git.example.com/team/homelab.git\"\nbranch = \"main\"\napprovals = [{{ chat = 5 }}]"
            ),
            &[],
            "repositories[1].url (file c.toml): homelab has the same url and branch: two owners of one branch\n  remedy: configure each branch once",
        ),
        (
            format!("{GOOD}\n[[argocd]]\nname = \"main\"\nurl = \"https://b.example.com\"\ntoken = \"x\""),
            &[],
            "argocd[1].name (file c.toml): \"main\" is the name of argocd[0] already\n  remedy: give each instance a name of its own",
        ),
        (
            format!("{GOOD}\n[guard]\nsecrets = \"x\""),
            &[],
            "guard.secrets (file c.toml): there is no such key\n  remedy: use one of secret_rules, custom_resources, kubernetes, policies, policy_packages, policy_milliseconds, rules; or take it out",
        ),
        (
            format!("{GOOD}\n[guard]\npolicy_milliseconds = 0"),
            &[],
            "guard.policy_milliseconds (file c.toml): 0 is not a time that policies can have\n  remedy: write 1 to 10000",
        ),
        (
            format!("{GOOD}\n[guard.kubernetes]\nversion = \"banana\"\ndefinitions = \"k8s.json\""),
            &[],
            "guard.kubernetes.version (file c.toml): \"banana\" is no version of Kubernetes\n  remedy: write that of the definitions, such as \"1.35\"",
        ),
        (
            format!("{GOOD}\n[guard]\npolicy_packages = [\"team\"]"),
            &[],
            "guard.policy_packages (file c.toml): packages are named, but no folder of policies\n  remedy: add guard.policies, or take the packages out",
        ),
        (
            format!("{GOOD}\n[[guard.rules]]\nid = \"kind.rbac\"\neffect = \"allow\""),
            &[],
            "guard.rules[0].effect (file c.toml): \"allow\" is no effect\n  remedy: write \"refuse\", \"manual\", \"prompted\", \"remark\" or \"off\"",
        ),
        (
            format!("{GOOD}\n[[guard.rules]]\nid = \"kind.rbac\"\neffect = \"off\""),
            &[],
            "guard.rules[0].reason (file c.toml): the rule \"kind.rbac\" is switched off without a reason\n  remedy: say for whoever reads this later why it is off",
        ),
        (
            format!("{GOOD}\n[[guard.rules]]\nid = \"a\"\neffect = \"remark\"\n[[guard.rules]]\nid = \"a\"\neffect = \"manual\""),
            &[],
            "guard.rules[1].id (file c.toml): the rule \"a\" is configured twice\n  remedy: keep one of the two",
        ),
        (
            GOOD.into(),
            &[("COUNTERSIGN__LOG__FILTER", "engine=loud")],
            "log.filter (environment): it is not a filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5\n  remedy: write for example \"info\" or \"info,engine=debug\"",
        ),
    ];
    for (file, environment, expected) in cases {
        let told = told(&file, environment);
        assert_eq!(told, expected);
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named_with_key_and_layer() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("empty"), " \n").expect("an empty file");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = GOOD.replace("token = \"123456:canary-telegram\"", &format!("token_file = {:?}", path("missing")));
    let file = file.replace("password = \"canary-git\"", &format!("password_file = {:?}", path("empty")));
    let settings = Settings::from_layers(&layers(&file, &[])).expect("valid settings");
    let told: Vec<_> = settings.check_files().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!(
                "telegram.token_file (file c.toml): the file {} cannot be read: No such file or directory (os error 2)\n  remedy: check the path, its permissions and the service's user",
                path("missing")
            ),
            format!(
                "repositories[0].credentials.password_file (file c.toml): the file {} is empty\n  remedy: write the secret into it",
                path("empty")
            ),
        ]
    );
}

#[test]
fn an_empty_file_is_told_what_belongs_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    std::fs::write(&path, "\n").unwrap();
    for (key, expected) in [
        ("repositories[0].credentials.known_hosts_file", "ssh-keyscan"),
        ("repositories[0].extra_ca_file", "PEM"),
        ("telegram.token_file", "write the secret into it"),
    ] {
        let file = NamedFile {
            key: key.to_owned(),
            layer: "file c.toml".to_owned(),
            path: path.clone(),
        };
        let told = file.problem().map(|problem| problem.to_string()).unwrap_or_default();
        assert!(told.contains(expected), "{told}");
    }
}
