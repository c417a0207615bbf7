//! What holds for every policy, not only for those in the tables.

use proptest::prelude::*;

use super::*;

/// A rule in short: pattern, tier, group, quorum, whether the owner counts.
type Line = (&'static str, Tier, &'static str, u32, bool);

fn line() -> impl Strategy<Value = Line> {
    let patterns = vec!["a/**", "a/*", "a/b/*.yaml", "**/x.yaml", "b/**", "a/b/**", "**"];
    (
        prop::sample::select(patterns),
        prop::sample::select(Tier::ALL),
        prop::sample::select(vec!["ops", "net"]),
        1..3u32,
        any::<bool>(),
    )
}

fn policy(lines: &[Line]) -> Policy {
    let mut text = String::from(
        "version = 1\nfiles_per_card = 100\nreserved = [\"a/b/policy.toml\"]\n[people.alice]\ntelegram_id = 1\nowns = [\"bot\"]\n\
         [people.bob]\ntelegram_id = 2\n[people.carol]\ntelegram_id = 3\n[groups]\nops = [\"alice\", \"bob\", \"carol\"]\nnet = [\"alice\", \"bob\"]\n",
    );
    for (number, (pattern, tier, group, quorum, owner)) in lines.iter().enumerate() {
        let runbook = if *tier == Tier::Standard { "runbook = \"restart\"\n" } else { "" };
        text.push_str(&format!(
            "[[rules]]\nname = \"r{number}\"\npaths = [\"{pattern}\"]\ntier = \"{tier}\"\napprovers = \"{group}\"\nquorum = {quorum}\n\
             allow_owner = {owner}\nttl = \"{}m\"\n{runbook}",
            number + 1,
        ));
    }
    Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn path() -> impl Strategy<Value = RepoPath> {
    let paths = vec![
        "a/x.yaml",
        "a/y.yaml",
        "a/b/x.yaml",
        "a/b/c/z.yaml",
        "a/b/policy.toml",
        "b/x.yaml",
        "c/x.yaml",
        "c/d.yaml",
        "top",
    ];
    prop::sample::select(paths).prop_map(|path| path.parse().expect("a path"))
}

fn facts() -> impl Strategy<Value = Facts> {
    (
        prop::collection::btree_set(path(), 1..5),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(paths, runbook, revert, binary)| Facts {
            paths: paths.into_iter().collect(),
            runbook: runbook.then(|| "restart".parse().expect("a name")),
            binary,
            revert,
            trust: Some(Trust::standard("standard")),
            ..Facts::default()
        })
}

fn homelab() -> RepositoryName {
    "homelab".parse().expect("a name")
}

fn people() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec((1..5i64).prop_map(UserId), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_rule_below_never_changes_what_matched_above(lines in prop::collection::vec(line(), 1..6), below in line(), facts in facts()) {
        let (short, long) = (policy(&lines), policy(&[lines, vec![below]].concat()));
        let name = |policy: &Policy, path| policy.rule_for(&homelab(), path).map(|rule| rule.name.clone());
        let mut all_matched = true;
        for path in &facts.paths {
            match name(&short, path) {
                Some(rule) => prop_assert_eq!(Some(rule), name(&long, path)),
                None => all_matched = false,
            }
        }
        if all_matched {
            let (mut one, other) = (short.route(&homelab(), &facts), long.route(&homelab(), &facts));
            prop_assert_ne!(one.policy, other.policy, "another text is another policy");
            one.policy = other.policy;
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn the_strictest_path_wins_and_everybody_who_is_asked_stays_asked(lines in prop::collection::vec(line(), 0..6), facts in facts()) {
        let policy = policy(&lines);
        let all = policy.route(&homelab(), &facts);
        let single: Vec<_> = facts.paths.iter().map(|path| {
            policy.route(&homelab(), &Facts { paths: vec![path.clone()], ..facts.clone() })
        }).collect();
        prop_assert_eq!(Some(all.tier), single.iter().map(|route| route.tier).min());
        if all.tier == Tier::Prompted {
            for asked in single.iter().filter(|route| route.tier == Tier::Prompted).flat_map(|route| &route.requirements) {
                prop_assert!(all.requirements.iter().any(|other| other.covers(asked)), "{:?} is lost in {:?}", asked, all.requirements);
            }
            for asked in &all.requirements {
                prop_assert!(single.iter().any(|route| route.requirements.contains(asked)), "{:?} comes from nowhere", asked);
                prop_assert!(!all.requirements.iter().any(|other| other != asked && other.covers(asked)), "said twice");
            }
        } else {
            prop_assert!(all.requirements.is_empty());
        }
        if all.tier != Tier::Manual {
            prop_assert_eq!(Some(all.ttl_seconds), single.iter().map(|route| route.ttl_seconds).min());
        }
    }

    #[test]
    fn a_stricter_wish_never_loosens(lines in prop::collection::vec(line(), 0..6), facts in facts(), wish in prop::sample::select(Tier::ALL)) {
        let policy = policy(&lines);
        let without = policy.route(&homelab(), &facts);
        let with = policy.route(&homelab(), &Facts { requested: Some(wish), ..facts });
        prop_assert_eq!(with.tier, without.tier.min(wish));
        if with.tier == without.tier {
            prop_assert_eq!(&with.requirements, &without.requirements);
        }
        prop_assert_eq!(with.requirements.is_empty(), with.tier != Tier::Prompted);
    }

    #[test]
    fn only_a_runbook_s_own_call_is_standard_and_never_a_revert(lines in prop::collection::vec(line(), 0..6), facts in facts()) {
        let route = policy(&lines).route(&homelab(), &facts);
        if route.tier == Tier::Standard {
            prop_assert!(facts.runbook.is_some() && !facts.revert && !facts.binary);
            prop_assert!(!facts.paths.iter().any(|path| path.as_str().ends_with("policy.toml")), "reserved");
        }
    }

    #[test]
    fn more_people_never_make_it_less_and_nobody_counts_twice(
        lines in prop::collection::vec(line(), 1..6), facts in facts(), some in people(), more in people(), owned in any::<bool>(),
    ) {
        let policy = policy(&lines);
        let route = policy.route(&homelab(), &facts);
        let agent: AgentName = if owned { "bot" } else { "other" }.parse().expect("a name");
        let now = "2026-06-01T12:00:00Z".parse().expect("a time");
        let satisfied = |people: &[UserId]| policy.satisfied(&route, Some(&agent), people, now);
        let twice = [some.clone(), some.clone()].concat();
        prop_assert_eq!(satisfied(&twice), satisfied(&some));
        let together = [some.clone(), more].concat();
        prop_assert!(!satisfied(&some) || satisfied(&together));
        prop_assert!(!satisfied(&[]), "silence never approves");
        let eligible: Vec<_> = together.iter().copied().filter(|user| policy.eligibility(&route, Some(&agent), *user, now) == Eligibility::Eligible).collect();
        prop_assert_eq!(satisfied(&eligible), satisfied(&together), "whoever is not eligible does not count");
    }
}

#[test]
fn a_thousand_rules_and_a_hundred_paths() {
    let mut lines: Vec<Line> = vec![("b/**", Tier::Manual, "ops", 1, false); 999];
    lines.push(("a/**", Tier::Prompted, "ops", 2, false));
    let policy = policy(&lines);
    let facts = Facts {
        paths: (0..100).map(|n| format!("a/{n}.yaml").parse().expect("a path")).collect(),
        ..Facts::default()
    };
    let route = policy.route(&homelab(), &facts);
    assert_eq!((route.tier, route.rule.as_deref()), (Tier::Prompted, Some("r999")));
}
