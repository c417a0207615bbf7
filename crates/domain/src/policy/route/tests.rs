use std::collections::BTreeSet;

use crate::{Facts, Policy, Raise, RepositoryName, Risk, Route, Tier, Trust, replay};

const HEAD: &str = r#"
version = 1
reserved = ["policy.toml"]
[people]
alice = { telegram_id = 1 }
bob = { telegram_id = 2 }
carol = { telegram_id = 3 }
[groups]
operators = ["alice", "bob"]
owners = ["bob", "carol"]
[agents.wild]
untrusted = true
"#;

const RULES: &str = r#"
[[rules]]
name = "scaling"
paths = ["apps/*/replicas.yaml"]
tier = "standard"
runbook = "scale"
approvers = "operators"
[[rules]]
name = "apps"
paths = ["apps/**"]
tier = "prompted"
approvers = "operators"
[[rules]]
name = "db"
paths = ["db/**"]
tier = "prompted"
approvers = "owners"
"#;

const RAISES: &str = r#"
[[classes]]
name = "storage"
kinds = ["PersistentVolumeClaim"]
tier = "manual"
[[classes]]
name = "dangerous"
risk = "high"
quorum = 2
[[classes]]
name = "careful deletes"
paths = ["db/**"]
deletes = true
quorum = 3
[[floors]]
paths = ["apps/prod/**"]
tier = "prompted"
quorum = 2
"#;

fn policy(rest: &str) -> Policy {
    let text = format!("{HEAD}{rest}");
    Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn homelab() -> RepositoryName {
    "homelab".parse().expect("a name")
}

fn facts(paths: &[&str]) -> Facts {
    Facts {
        paths: paths.iter().map(|path| path.parse().expect("a path")).collect(),
        ..Facts::default()
    }
}

fn scale(paths: &[&str]) -> Facts {
    Facts {
        runbook: Some("scale".parse().expect("a name")),
        trust: Some(Trust::standard("standard until 2027-01-01")),
        ..facts(paths)
    }
}

fn told(route: &Route) -> String {
    format!("{} · {} · {}", route.tier, route.why, route.needs())
}

#[test]
fn what_raises_a_route() {
    let policy = policy(&format!("{RULES}{RAISES}"));
    let app = facts(&["apps/web/x.yaml"]);
    let wild = Some("wild".parse().expect("a name"));
    let raise = |tier| Raise {
        rule: "guard.rbac".to_owned(),
        why: "a role is widened".to_owned(),
        tier,
    };
    for (facts, expected) in [
        (app.clone(), "prompted · rule \"apps\" · 1 of operators"),
        (
            Facts {
                kinds: BTreeSet::from(["PersistentVolumeClaim".to_owned()]),
                ..app.clone()
            },
            "manual · class \"storage\": a human commits · ",
        ),
        (
            Facts {
                risk: Some(Risk::Critical),
                ..app.clone()
            },
            "prompted · rule \"apps\"; 2 people because of class \"dangerous\" · 2 of operators",
        ),
        (
            Facts {
                risk: Some(Risk::Medium),
                ..app.clone()
            },
            "prompted · rule \"apps\" · 1 of operators",
        ),
        // A stricter wish counts, a looser one is told.
        (
            Facts {
                requested: Some(Tier::Manual),
                ..app.clone()
            },
            "manual · the agent asked that a human commits · ",
        ),
        (
            Facts {
                requested: Some(Tier::Standard),
                ..app.clone()
            },
            "prompted · rule \"apps\"; the agent asked for standard, which is looser and not taken · 1 of operators",
        ),
        (
            Facts {
                requested: Some(Tier::Prompted),
                ..facts(&["policy.toml"])
            },
            "manual · policy.toml is reserved: policy, runbooks and Countersign itself are always committed by a human; the agent asked for prompted, which is looser and not taken · ",
        ),
        // A standard run of high risk asks people.
        (
            Facts {
                risk: Some(Risk::High),
                ..scale(&["apps/web/replicas.yaml"])
            },
            "prompted · class \"dangerous\": people are asked; 2 people because of class \"dangerous\" · 2 of operators",
        ),
        (
            scale(&["apps/web/replicas.yaml"]),
            "standard · rule \"scaling\" trusts runbook scale: standard until 2027-01-01 · ",
        ),
        (
            facts(&["apps/prod/x.yaml"]),
            "prompted · rule \"apps\"; 2 people because of the floor for apps/prod/** · 2 of operators",
        ),
        (
            facts(&["apps/prod/x.yaml", "db/x.yaml"]),
            "prompted · rule \"apps\"; 2 people because of the floor for apps/prod/** · 1 of operators, and 2 of operators or owners, and 1 of owners",
        ),
        (
            Facts {
                deletes: true,
                ..facts(&["db/x.yaml"])
            },
            "manual · 3 people must approve because of class \"careful deletes\", and only 2 may: a human commits · ",
        ),
        (
            Facts {
                raised: vec![raise(Tier::Manual)],
                ..app.clone()
            },
            "manual · guard.rbac: a role is widened: a human commits · ",
        ),
        (
            Facts {
                raised: vec![raise(Tier::Prompted)],
                ..scale(&["apps/web/replicas.yaml"])
            },
            "prompted · guard.rbac: a role is widened: people are asked · 1 of operators",
        ),
        // What asks for a looser tier asks for nothing.
        (
            Facts {
                raised: vec![raise(Tier::Standard)],
                ..app.clone()
            },
            "prompted · rule \"apps\" · 1 of operators",
        ),
        (
            Facts {
                agent: wild.clone(),
                ..app.clone()
            },
            "prompted · rule \"apps\"; 2 people because of untrusted agent wild · 2 of operators",
        ),
        (
            Facts {
                agent: wild.clone(),
                ..scale(&["apps/web/replicas.yaml"])
            },
            "prompted · untrusted agent wild: people are asked · 1 of operators",
        ),
        (
            Facts {
                agent: Some("tame".parse().expect("a name")),
                ..app
            },
            "prompted · rule \"apps\" · 1 of operators",
        ),
    ] {
        assert_eq!(told(&policy.route(&homelab(), &facts)), expected);
    }
}

#[test]
fn the_earliest_reminder_counts() {
    let rules = "[reminders]\nafter = 0.5\n[[rules]]\nname = \"a\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\nttl = \"2h\"\n\
                 [[rules]]\nname = \"b\"\npaths = [\"b/**\"]\ntier = \"prompted\"\napprovers = \"owners\"\nttl = \"4h\"\nreminder = \"20m\"\n";
    let policy = policy(rules);
    let reminder = |paths: &[&str]| policy.route(&homelab(), &facts(paths)).waiting.reminder_seconds;
    assert_eq!(reminder(&["a/x"]), Some(3600));
    assert_eq!(reminder(&["b/x"]), Some(1200));
    assert_eq!(reminder(&["a/x", "b/x"]), Some(1200));
}

#[test]
fn a_repository_s_rules_stay_above_the_floor() {
    let own = policy(&format!("{RULES}{RAISES}"));
    let text = "version = 1\n[[rules]]\nname = \"everything\"\npaths = [\"**\"]\ntier = \"standard\"\nrunbook = \"scale\"\napprovers = \"owners\"\n";
    let theirs = own.with_repository_rules(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let route = |facts| told(&theirs.route(&homelab(), &facts));
    assert_eq!(
        route(scale(&["apps/web/x"])),
        "standard · rule \"everything\" trusts runbook scale: standard until 2027-01-01 · "
    );
    assert_eq!(
        route(scale(&["apps/prod/x"])),
        "prompted · the floor for apps/prod/**: people are asked; 2 people because of the floor for apps/prod/** · 2 of owners"
    );
    assert!(route(scale(&["policy.toml"])).starts_with("manual · policy.toml is reserved"));
    assert_eq!(theirs.rules().len(), 1, "the rules of the service's file are for its local form");
    assert_ne!(theirs.hash(), own.hash());
    let other = own.with_repository_rules(&format!("{text}\n")).expect("a policy");
    assert_ne!(theirs.hash(), other.hash(), "both texts count");
    assert_ne!(policy(RULES).with_repository_rules(text).expect("a policy").hash(), theirs.hash());
    let reserved = theirs.reserving([crate::PathGlob::new(".countersign/**").expect("a pattern")]);
    assert!(reserved.is_reserved(&".countersign/policy.toml".parse().expect("a path")));
}

#[test]
fn what_approvals_take_beside_a_tap() {
    let marked = |path: &str, factor: &str| format!("[[floors]]\npaths = [\"{path}\"]\nsecond_factor = \"{factor}\"\n");
    let secrets = "[[rules]]\nname = \"secrets\"\npaths = [\"secrets/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\nsecond_factor = \"totp\"\n";
    let policy = policy(&format!(
        "{secrets}{RULES}{}{}{}",
        marked("apps/web/**", "totp"),
        marked("apps/mail/**", "person"),
        marked("db/**", "person")
    ));
    let wild = Some("wild".parse().expect("a name"));
    for (facts, expected) in [
        (
            facts(&["secrets/x.yaml"]),
            "prompted · rule \"secrets\"; rule \"secrets\" asks for a code with each approval · 1 of operators, each with a code",
        ),
        // What the service would do by itself asks people first.
        (
            scale(&["apps/web/replicas.yaml"]),
            "prompted · the floor for apps/web/**: people are asked; the floor for apps/web/** asks for a code with each approval · \
             1 of operators, each with a code",
        ),
        (
            facts(&["apps/mail/x.yaml"]),
            "prompted · rule \"apps\"; the floor for apps/mail/** asks for a second person: 2 in all · 2 of operators",
        ),
        (
            scale(&["apps/mail/replicas.yaml"]),
            "prompted · the floor for apps/mail/**: people are asked; the floor for apps/mail/** asks for a second person: 2 in all · 2 of operators",
        ),
        // Marked paths of both kinds take both, whatever else the change touches.
        (
            facts(&["apps/mail/x.yaml", "apps/web/x.yaml", "apps/other/x.yaml"]),
            "prompted · rule \"apps\"; the floor for apps/mail/** asks for a second person: 2 in all; the floor for apps/web/** asks for a \
             code with each approval · 2 of operators, each with a code",
        ),
        (
            Facts {
                revert: true,
                ..facts(&["db/x.yaml"])
            },
            "prompted · rule \"db\"; the floor for db/** asks for a second person: 2 in all · 2 of owners",
        ),
        // One person may serve two groups that share somebody; the second person is another one.
        (
            facts(&["apps/x.yaml", "db/x.yaml"]),
            "prompted · rule \"apps\"; the floor for db/** asks for a second person: 2 in all · 1 of operators, and 2 of operators or owners, and 1 of owners",
        ),
        // One more for the agent, one more for the paths: operators are two.
        (
            Facts {
                agent: wild,
                ..facts(&["apps/mail/x.yaml"])
            },
            "manual · the floor for apps/mail/** asks for a second person, 3 in all, and only 2 may approve: a human commits · ",
        ),
    ] {
        assert_eq!(told(&policy.route(&homelab(), &facts)), expected, "{facts:?}");
    }
}

/// Two groups that share nobody take two people anyway: a second person is a third one.
#[test]
fn a_second_person_of_two_groups_apart() {
    let groups = "[[rules]]\nname = \"a\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n\
                  [[rules]]\nname = \"b\"\npaths = [\"b/**\"]\ntier = \"prompted\"\napprovers = \"others\"\n\
                  [[floors]]\npaths = [\"**\"]\nsecond_factor = \"person\"\n";
    let head = HEAD.replace("owners = [\"bob\", \"carol\"]", "others = [\"carol\"]");
    let policy = Policy::parse(&format!("{head}{groups}")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let route = policy.route(&homelab(), &facts(&["a/x", "b/x"]));
    assert_eq!(route.needs(), "1 of operators, and 3 of operators or others, and 1 of others");
}

/// A repository's own rules cannot take away what a floor asks, and a replay tells that codes go.
#[test]
fn a_second_factor_that_a_policy_takes_away_is_told() {
    let marked = policy(&RULES.replace("approvers = \"owners\"", "approvers = \"owners\"\nsecond_factor = \"totp\""));
    let past = [(homelab(), facts(&["db/x.yaml"]))];
    let words: Vec<_> = replay(&marked, &policy(RULES), |_| None, past)
        .into_iter()
        .map(|shift| shift.words)
        .collect();
    assert_eq!(
        words,
        ["1 past change would have asked 1 of owners instead of 1 of owners, each with a code"]
    );
    let floor = policy(&format!("{RULES}[[floors]]\npaths = [\"db/**\"]\nsecond_factor = \"totp\"\n"));
    let theirs = "version = 1\n[[rules]]\nname = \"all\"\npaths = [\"**\"]\ntier = \"prompted\"\napprovers = \"owners\"\n";
    let theirs = floor.with_repository_rules(theirs).expect("a policy");
    assert!(theirs.route(&homelab(), &facts(&["db/x.yaml"])).asks_code());
}

/// What is asked about a repository is answered by its own policy; other repositories keep the service's.
#[test]
fn each_repository_goes_by_its_own_policy() {
    let own = policy(RULES);
    let text = "version = 1\n[[rules]]\nname = \"everything\"\npaths = [\"apps/**\"]\ntier = \"standard\"\nrunbook = \"scale\"\napprovers = \"owners\"\n\
                [[classes]]\nname = \"network\"\nkinds = [\"Ingress\"]\ntier = \"manual\"\n\
                [[freezes]]\nname = \"always\"\npaths = [\"apps/**\"]\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n";
    let theirs = own.with_repository_rules(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let reserved = crate::PathGlob::new("apps/policy.toml").expect("a pattern");
    let both = own.clone().with_repository(homelab(), theirs.clone().reserving([reserved]));
    let elsewhere: crate::RepositoryName = "elsewhere".parse().expect("a name");
    let route = |facts: &crate::Facts| (told(&both.route(&homelab(), facts)), told(&both.route(&elsewhere, facts)));
    let (here, there) = route(&scale(&["apps/web/x"]));
    assert_eq!(
        here,
        "standard · rule \"everything\" trusts runbook scale: standard until 2027-01-01 · "
    );
    assert_eq!(there, told(&own.route(&elsewhere, &scale(&["apps/web/x"]))));
    let (here, there) = route(&facts(&["apps/policy.toml"]));
    assert!(here.starts_with("manual · apps/policy.toml is reserved"), "{here}");
    assert!(there.starts_with("prompted"), "{there}");
    assert_eq!(both.route(&homelab(), &facts(&["apps/x"])).policy, theirs.hash());
    assert_eq!(both.route(&elsewhere, &facts(&["apps/x"])).policy, own.hash());
    let path = ["apps/x".parse().expect("a path")];
    let now = "2026-03-01T12:00:00Z".parse().expect("a time");
    assert!(both.frozen(&homelab(), &path, now).is_some() && both.frozen(&elsewhere, &path, now).is_none());
    assert!(both.looks_inside() && !own.looks_inside());
    assert_eq!(
        both.rule_for(&homelab(), &path[0]).map(|rule| rule.name.as_str()),
        Some("everything")
    );
    assert_eq!(both.hash(), own.hash());
}

/// A cap makes stricter what is looser, says why, and can be taken back.
#[test]
fn a_capped_policy_gives_nothing_looser() {
    let open = policy(RULES);
    let run = scale(&["apps/web/replicas.yaml"]);
    assert_eq!(open.route(&homelab(), &run).tier, crate::Tier::Standard);
    let capped = |tier| open.clone().capped(Some((tier, "the policy at the tip is not valid".to_owned())));
    let asked = capped(crate::Tier::Prompted);
    let said = told(&asked.route(&homelab(), &run));
    assert!(
        said.starts_with("prompted · the policy at the tip is not valid: people are asked"),
        "{said}"
    );
    assert_eq!(
        told(&asked.route(&homelab(), &facts(&["apps/x"]))),
        told(&open.route(&homelab(), &facts(&["apps/x"])))
    );
    let closed = told(&capped(crate::Tier::Manual).route(&homelab(), &facts(&["apps/x"])));
    assert!(
        closed.starts_with("manual · the policy at the tip is not valid: a human commits"),
        "{closed}"
    );
    assert_eq!(asked.capped(None).route(&homelab(), &run).tier, crate::Tier::Standard);
}

#[test]
fn what_a_change_of_the_policy_would_have_meant() {
    let old = policy(RULES);
    let new = policy(
        &RULES
            .replace("paths = [\"apps/*/replicas.yaml\"]", "paths = [\"apps/**/*.yaml\"]")
            .replace(
                "tier = \"prompted\"\napprovers = \"owners\"",
                "tier = \"prompted\"\napprovers = \"owners\"\nquorum = 2",
            ),
    );
    let past = [
        scale(&["apps/web/x.yaml"]),
        scale(&["apps/api/x.yaml"]),
        scale(&["apps/web/replicas.yaml"]),
        facts(&["db/x"]),
        facts(&["apps/x"]),
    ];
    let past = || past.iter().map(|facts| (homelab(), facts.clone()));
    let current = |_: &crate::RunbookName| None;
    let words = |shifts: Vec<crate::Shift>| shifts.into_iter().map(|shift| shift.words).collect::<Vec<_>>();
    assert_eq!(
        words(replay(&old, &new, current, past())),
        [
            "2 past changes would have gone from prompted to standard",
            "1 past change would have asked 2 of owners instead of 1 of owners",
        ]
    );
    assert_eq!(
        words(replay(&new, &old, current, past())),
        [
            "2 past changes would have gone from standard to prompted",
            "1 past change would have asked 1 of owners instead of 2 of owners",
        ]
    );
    assert!(replay(&old, &old, current, past()).is_empty());
}

/// Patterns of every shape: what is measured by the bench is right here.
#[test]
fn among_a_thousand_rules_the_first_one_counts() {
    let shapes = [
        "apps/app-N/**",
        "**/secret-N.yaml",
        "infra/*/x-N.tf",
        "apps/**/values-N.yaml",
        "top-N",
        "apps/*/N/{a,b}.yaml",
    ];
    let rule = |number: usize| {
        let pattern = shapes[number % shapes.len()].replace('N', &number.to_string());
        format!("[[rules]]\nname = \"r{number}\"\npaths = [\"{pattern}\"]\ntier = \"manual\"\n")
    };
    let text: String = (0..1000).map(rule).collect();
    let policy = policy(&text);
    let linear = |path: &crate::RepoPath| policy.rules().iter().find(|rule| rule.paths.iter().any(|glob| glob.matches(path)));
    let mut hits = 0;
    for number in (0..1000).step_by(7) {
        for path in [
            format!("apps/app-{number}/secret-{}.yaml", (number + 1) % 1000),
            format!("infra/a/x-{number}.tf"),
            format!("apps/a/values-{number}.yaml"),
            format!("apps/a/{number}/b.yaml"),
        ] {
            let path = path.parse().expect("a path");
            let (found, expected) = (policy.rule_for(&homelab(), &path), linear(&path));
            assert_eq!(found.map(|rule| &rule.name), expected.map(|rule| &rule.name), "{path}");
            hits += usize::from(found.is_some());
        }
    }
    assert!(hits > 50, "{hits}");
}

proptest::proptest! {
    #[test]
    fn the_index_finds_what_asking_every_rule_finds(
        patterns in proptest::collection::vec("(a|b|ab|\\*|\\*\\*|a\\*|\\{a,b\\}|\\{a/b,b\\}|[ab?]|\\[ab\\]|\\[a/b\\])(/(a|b|ab|\\*|\\*\\*|b\\*|\\?)){0,3}", 1..6),
        paths in proptest::collection::vec("(a|b|ab|ba)(/(a|b|ab|ba)){0,4}", 1..6),
    ) {
        let rule = |(number, pattern): (usize, &String)| {
            format!("[[rules]]\nname = \"r{number}\"\npaths = [\"{pattern}\"]\ntier = \"manual\"\n")
        };
        let policy = policy(&patterns.iter().enumerate().map(rule).collect::<String>());
        for path in paths {
            let path = path.parse().expect("a path");
            let linear = policy.rules().iter().find(|rule| rule.paths.iter().any(|glob| glob.matches(&path)));
            let found = policy.rule_for(&homelab(), &path);
            proptest::prop_assert_eq!(found.map(|rule| &rule.name), linear.map(|rule| &rule.name), "{:?} of {:?}", path, patterns);
        }
    }
}

#[test]
fn what_a_new_grant_would_have_meant() {
    let hash = crate::Sha256Hash::of(b"its file");
    let grant =
        |hash| format!("{RULES}\n[[grants]]\nrunbook = \"scale\"\nrepository = \"homelab\"\nhash = \"{hash}\"\nuntil = 2099-12-31\n");
    let (old, new) = (policy(RULES), policy(&grant(hash)));
    let asked = |tier, held: Option<&str>| Facts {
        trust: Some(Trust {
            tier,
            why: "prompted: not promoted yet".to_owned(),
            held: held.map(str::to_owned),
        }),
        ..scale(&["apps/web/replicas.yaml"])
    };
    let past = [
        asked(Tier::Prompted, None),
        asked(Tier::Prompted, None),
        asked(Tier::Prompted, Some("on hold")),
        asked(Tier::Manual, None),
        scale(&["apps/web/replicas.yaml"]),
        facts(&["apps/x"]),
    ];
    let past = || past.iter().map(|facts| (homelab(), facts.clone()));
    let words = |old, new, hash| {
        let shifts = replay(old, new, |_: &crate::RunbookName| hash, past());
        shifts.into_iter().map(|shift| shift.words).collect::<Vec<_>>()
    };
    assert_eq!(
        words(&old, &new, Some(hash)),
        ["2 past runs would have gone by themselves, without asking anybody"]
    );
    assert_eq!(
        words(&new, &old, Some(hash)),
        ["1 past change would have gone from standard to prompted"]
    );
    // A grant of another file, and one where nobody sees how a run ends, grant nothing.
    for other in [Some(crate::Sha256Hash::of(b"edited")), None] {
        assert!(words(&old, &new, other).is_empty());
    }
}
