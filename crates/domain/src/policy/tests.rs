use super::*;
use crate::Timestamp;

const POLICY: &str = r#"
version = 1
reserved = ["config/policy.toml", "runbooks/**"]

[people.alice]
telegram_id = 1001
[people.bob]
telegram_id = 1002
owns = ["ops-bot"]
[people.carol]
telegram_id = 1003

[groups]
operators = ["alice", "bob", "carol"]
network = ["carol"]

[[rules]]
name = "scaling"
paths = ["kubernetes/applications/*/replicas.yaml"]
tier = "standard"
runbook = "scale"
approvers = "operators"

[[rules]]
name = "network"
paths = ["kubernetes/network/**"]
tier = "prompted"
approvers = "network"
ttl = "30m"

[[rules]]
name = "workloads"
paths = ["kubernetes/**"]
tier = "prompted"
approvers = "operators"
quorum = 2
revert_quorum = 1

[[rules]]
name = "terraform"
paths = ["infrastructure/terraform/**"]
tier = "manual"
"#;

fn facts(paths: &[&str]) -> Facts {
    Facts {
        paths: paths.iter().map(|p| p.parse().expect("path")).collect(),
        trust: Some(Trust::standard("standard until 2027-01-01")),
        ..Facts::default()
    }
}

fn homelab() -> RepositoryName {
    "homelab".parse().expect("name")
}

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}

fn routed(facts: &Facts) -> String {
    let route = Policy::parse(POLICY).expect("policy").route(&homelab(), facts);
    let who: Vec<_> = route.requirements.iter().map(ToString::to_string).collect();
    format!("{} · {} · {}", route.tier, route.why, who.join(" + "))
}

#[test]
fn routes() {
    let scale: RunbookName = "scale".parse().expect("name");
    let other: RunbookName = "other".parse().expect("name");
    let replicas = facts(&["kubernetes/applications/web/replicas.yaml"]);
    let table = [
        (
            facts(&["kubernetes/applications/web/deployment.yaml"]),
            "prompted · rule \"workloads\" · 2 of operators",
        ),
        (
            facts(&["kubernetes/network/a.yaml", "kubernetes/x.yaml"]),
            "prompted · rule \"network\" · 1 of network + 2 of operators",
        ),
        (
            facts(&["infrastructure/terraform/main.tf"]),
            "manual · rule \"terraform\" says that a human commits · ",
        ),
        (
            facts(&["kubernetes/x.yaml", "infrastructure/terraform/main.tf"]),
            "manual · rule \"terraform\" says that a human commits · ",
        ),
        (
            facts(&["docs/x.md"]),
            "manual · no rule matches docs/x.md, so a human commits it · ",
        ),
        (
            facts(&["runbooks/a.toml"]),
            "manual · runbooks/a.toml is reserved: policy, runbooks and Countersign itself are always committed by a human · ",
        ),
        (
            Facts {
                runbook: Some(scale.clone()),
                ..replicas.clone()
            },
            "standard · rule \"scaling\" trusts runbook scale: standard until 2027-01-01 · ",
        ),
        (
            Facts {
                runbook: Some(other),
                ..replicas.clone()
            },
            "prompted · rule \"scaling\" trusts only its own runbook; other changes are asked · 1 of operators",
        ),
        (
            replicas.clone(),
            "prompted · rule \"scaling\" trusts only its own runbook; other changes are asked · 1 of operators",
        ),
        (
            Facts {
                runbook: Some(scale.clone()),
                requested: Some(Tier::Prompted),
                ..replicas.clone()
            },
            "prompted · the agent asked for people's approval · 1 of operators",
        ),
        (
            Facts {
                runbook: Some(scale.clone()),
                requested: Some(Tier::Manual),
                ..replicas.clone()
            },
            "manual · the agent asked that a human commits · ",
        ),
        (
            Facts {
                requested: Some(Tier::Standard),
                ..facts(&["kubernetes/x.yaml"])
            },
            "prompted · rule \"workloads\"; the agent asked for standard, which is looser and not taken · 2 of operators",
        ),
        (
            Facts {
                revert: true,
                ..facts(&["kubernetes/x.yaml"])
            },
            "prompted · rule \"workloads\" · 1 of operators",
        ),
        (
            Facts {
                revert: true,
                runbook: Some(scale),
                ..replicas
            },
            "prompted · rule \"scaling\": a revert is confirmed by a person · 1 of operators",
        ),
        (
            Facts {
                binary: true,
                ..facts(&["kubernetes/x.png"])
            },
            "manual · binary content cannot be reviewed on a card · ",
        ),
        (
            Facts {
                deceptive: true,
                ..facts(&["kubernetes/x.yaml"])
            },
            "manual · the content holds characters that hide or reorder text (bidirectional, zero-width or blank) · ",
        ),
        (
            Facts {
                control: true,
                ..facts(&["kubernetes/x.yaml"])
            },
            "manual · the content holds control characters, or a carriage return that ends no line · ",
        ),
        (facts(&[]), "manual · the change touches no path · "),
    ];
    for (facts, expected) in table {
        assert_eq!(routed(&facts), expected);
    }
    let many: Vec<String> = (0..41).map(|n| format!("kubernetes/{n}.yaml")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(routed(&facts_of(&many)), "manual · 41 files are more than a card can show (40) · ");
}

fn facts_of(paths: &[&str]) -> Facts {
    facts(paths)
}

#[test]
fn who_may_review() {
    let policy = Policy::parse(POLICY).expect("policy");
    let route = policy.route(&homelab(), &facts(&["kubernetes/x.yaml"]));
    let bot: AgentName = "ops-bot".parse().expect("name");
    let other: AgentName = "other-bot".parse().expect("name");
    assert_eq!(policy.eligibility(&route, Some(&bot), UserId(1001), now()), Eligibility::Eligible);
    assert_eq!(policy.eligibility(&route, Some(&bot), UserId(1002), now()), Eligibility::OwnsAgent);
    assert_eq!(policy.eligibility(&route, Some(&other), UserId(1002), now()), Eligibility::Eligible);
    assert_eq!(policy.eligibility(&route, Some(&bot), UserId(9), now()), Eligibility::NotInGroup);
    assert!(
        !policy.satisfied(&route, Some(&bot), &[UserId(1001), UserId(1002)], now()),
        "the owner does not count"
    );
    assert!(policy.satisfied(&route, Some(&bot), &[UserId(1001), UserId(1003)], now()));
}

#[test]
fn problems_name_line_and_remedy() {
    for (text, expected) in [
        ("", "line 1: missing field `version`"),
        ("version = 2", "line 1: version 2 is not known (write version = 1)"),
        ("version = 1\nrule = 3", "line 2: unknown field `rule`"),
        (
            "version = 1\n[groups]\nops = [\"nobody\"]",
            "line 3: group ops names \"nobody\", who is not among the people (add [people.nobody] with a telegram_id, or take the name out)",
        ),
        ("version = 1\n[groups]\nops = []", "line 3: group ops is empty"),
        (
            "version = 1\n[people.a]\ntelegram_id = 5\n[people.b]\ntelegram_id = 5",
            "line 5: b and a have the same Telegram id",
        ),
        (
            "version = 1\n[people.a]\ntelegram_id = 1087968824",
            "line 3: a: 1087968824 is shared by every anonymous admin",
        ),
        ("version = 1\n[people.a]\ntelegram_id = -5", "line 3: a: -5 is not a person's id"),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"sre\"",
            "line 6: rule \"r\" asks group sre, which does not exist",
        ),
        (
            "version = 1\n[people.a]\ntelegram_id = 5\n[groups]\nsre = [\"a\"]\n[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"sre\"\nquorum = 2",
            "line 11: rule \"r\" needs 2 of group sre, which has 1 (lower the quorum or add people to the group)",
        ),
        (
            "version = 1\n[people.a]\ntelegram_id = 5\n[groups]\nsre = [\"a\"]\n[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"standard\"\napprovers = \"sre\"",
            "line 9: rule \"r\" is standard but names no runbook",
        ),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"auto\"",
            "line 5: tier \"auto\" is not valid",
        ),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"/a/**\"]\ntier = \"manual\"",
            "line 4: path pattern \"/a/**\" can match nothing: patterns are relative to the repository's root, without a leading slash",
        ),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"a/{\"]\ntier = \"manual\"",
            "line 4: path pattern \"a/{\"",
        ),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"a\"]\ntier = \"manual\"\nttl = \"soon\"",
            "line 6: ttl \"soon\" is not a duration",
        ),
        (
            "version = 1\n[[rules]]\nname = \"r\"\npaths = [\"a\"]\ntier = \"manual\"\n[[rules]]\nname = \"r\"\npaths = [\"b\"]\ntier = \"manual\"",
            "line 6: rule \"r\" stands there twice",
        ),
    ] {
        let problems = Policy::parse(text).expect_err(text);
        assert!(
            problems[0].to_string().starts_with(expected),
            "{text}\n gave {}\n not {expected}",
            problems[0]
        );
    }
}

#[test]
fn a_pattern_that_can_match_no_path_is_refused() {
    for text in [
        "", "/a", "a/", "a/**/", "a//b", "./a", "a/./b", "../a", "a/..", "a\\b", "C:/a", "a\n", " a", "a ",
    ] {
        let why = crate::PathGlob::new(text).expect_err(text);
        assert!(why.contains("can match nothing: "), "{why}");
    }
    for text in ["a", "**", "*.tf", "a/**/b", "{a,b}/**", ".github/**", "a/[!.]*", "a b/c..d"] {
        crate::PathGlob::new(text).unwrap_or_else(|why| panic!("{why}"));
    }
}
