use crate::{Policy, Timestamp, UserId};

/// Lines 1 to 12.
const HEAD: &str = r#"version = 1
[people]
alice = { telegram_id = 1, owns = ["bot"] }
bob = { telegram_id = 2 }
carol = { telegram_id = 3 }
[groups]
sre = ["alice", "bob"]
owners = ["alice", "bob"]
leads = ["carol"]
[agents.wild]
owner = "carol"
untrusted = true
"#;

const RULE: &str = "[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\n";

fn refused(text: &str, expected: &str, found: Result<Policy, Vec<crate::Problem>>) {
    let problems = found.err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|told| told.starts_with(expected)),
        "{text}\n gave {told:#?}\n not {expected}"
    );
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()), "{problems:?}");
}

#[test]
fn approvers_that_cannot_be() {
    for (approvers, expected) in [
        (
            "{ group = \"sre\", count = 3 }",
            "line 17: rule \"r\" needs 3 of group sre, which has 2 (lower the count",
        ),
        (
            "{ all = [{ group = \"sre\", count = 2 }, \"owners\"] }",
            "line 17: rule \"r\" needs 2 of sre and 1 of owners at once, and these groups share too many people",
        ),
        (
            "{ any = [\"leads\", { all = [{ group = \"sre\", count = 2 }, \"owners\"] }] }",
            "line 17: rule \"r\" needs 2 of sre and 1 of owners at once",
        ),
        (
            "{ all = [\"sre\", \"sre\"] }",
            "line 17: the approvers of rule \"r\" name group sre twice in one all (name it once",
        ),
        (
            "{ any = [\"sre\", { group = \"sre\", count = 2 }] }",
            "line 17: the approvers of rule \"r\" name group sre twice in one any",
        ),
        ("{ all = [] }", "line 17: the approvers of rule \"r\" have an empty all"),
        (
            "{ all = [\"security\"] }",
            "line 17: rule \"r\" asks group security, which does not exist (add it under [groups], or use one of: leads",
        ),
        (
            "{ group = \"sre\", count = 0 }",
            "line 17: the approvers of rule \"r\" ask a number of sre that is no number from 1",
        ),
        (
            "{ group = \"sre\", count = -1 }",
            "line 17: the approvers of rule \"r\" ask a number",
        ),
        ("{ group = 5 }", "line 17: the approvers of rule \"r\" name a group that is no text"),
        (
            "{ some = [\"sre\"] }",
            "line 17: the approvers of rule \"r\" have a part with the keys some",
        ),
        (
            "{ all = [\"sre\"], any = [\"leads\"] }",
            "line 17: the approvers of rule \"r\" have a part with the keys all, any",
        ),
        ("[\"sre\"]", "line 17: the approvers of rule \"r\" are neither a group nor a table"),
        (
            "{ all = [{ any = [{ all = [{ any = [{ all = [\"sre\"] }] }] }] }] }",
            "line 17: the approvers of rule \"r\" are nested more than 4 deep",
        ),
        (
            "{ all = [\"sre\"] }\nquorum = 2",
            "line 18: rule \"r\" has a quorum beside approvers with counts",
        ),
        (
            "\"sre\"\nescalate = { to = \"sre\", after = \"30m\" }",
            "line 18: rule \"r\" escalates to group sre, which is asked from the beginning",
        ),
        (
            "\"sre\"\nescalate = { to = \"boss\", after = \"30m\" }",
            "line 18: the escalation of rule \"r\" asks group boss",
        ),
        (
            "\"sre\"\nescalate = { to = \"leads\", after = \"soon\" }",
            "line 18: after \"soon\" is not a duration",
        ),
        (
            "\"sre\"\nreminder = 1.5",
            "line 18: the reminder 1.5 is neither a share nor a duration",
        ),
        ("\"sre\"\nreminder = \"5h\"", "line 18: rule \"r\" reminds after its time is over"),
    ] {
        let text = format!("{HEAD}{RULE}approvers = {approvers}\n");
        refused(&text, expected, Policy::parse(&text));
    }
    let choice = |n: usize| format!("{{ any = [\"sre\", \"leads\", {{ group = \"owners\", count = {n} }}] }}");
    let many = format!("{{ all = [{}] }}", vec![choice(1); 6].join(", "));
    let text = format!("{HEAD}{RULE}approvers = {many}\n");
    refused(
        &text,
        "line 17: the approvers of rule \"r\" can be completed in more than 256 ways",
        Policy::parse(&text),
    );
}

#[test]
fn groups_people_agents_and_delegations_that_cannot_be() {
    let until = "until = 2027-01-01";
    for (rest, expected) in [
        (
            "[agents.other]\nowner = \"mallory\"",
            "line 14: agent other is owned by \"mallory\", who is not among the people",
        ),
        ("[agents.other]\nowners = \"carol\"", "line 14: unknown field `owners`"),
        (
            &format!("[[delegations]]\nfrom = \"mallory\"\nto = \"bob\"\n{until}"),
            "line 14: a delegation names \"mallory\", who is not among the people",
        ),
        (
            &format!("[[delegations]]\nfrom = \"bob\"\nto = \"bob\"\n{until}"),
            "line 15: bob delegates to themselves",
        ),
        (
            &format!("[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\ngroups = [\"leads\"]\n{until}"),
            "line 16: bob is not in group leads: there is nothing to delegate",
        ),
        (
            &format!("[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\ngroups = [\"boss\"]\n{until}"),
            "line 16: a delegation asks group boss, which does not exist",
        ),
        (
            &format!("[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\ngroups = []\n{until}"),
            "line 16: a delegation of no group",
        ),
        (
            "[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\nuntil = \"next week\"",
            "line 16: until next week is neither a date nor a time with its offset",
        ),
        (
            "[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\nuntil = 2027-01-01T10:00:00",
            "line 16: until 2027-01-01T10:00:00 is neither",
        ),
        (
            &format!(
                "[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\n{until}\n[[delegations]]\nfrom = \"bob\"\nto = \"alice\"\ngroups = [\"sre\"]\n{until}"
            ),
            "line 17: a second delegation of the same person in the same group",
        ),
        (
            &format!("[[delegations]]\nfrom = \"bob\"\nto = \"alice\"\n{until}\n[[delegations]]\nfrom = \"alice\"\nto = \"bob\"\n{until}"),
            "line 17: these two people stand in for each other",
        ),
        (
            &format!(
                "[[delegations]]\nfrom = \"bob\"\nto = \"alice\"\n{until}\n[[delegations]]\nfrom = \"alice\"\nto = \"carol\"\n{until}\n[[delegations]]\nfrom = \"carol\"\nto = \"bob\"\n{until}"
            ),
            "line 21: these delegations go round in a circle: carol to bob to alice to carol",
        ),
    ] {
        let text = format!("{HEAD}{rest}\n");
        refused(&text, expected, Policy::parse(&text));
    }
    let circle = "version = 1\n[people.a]\ntelegram_id = 1\n[groups]\none = [\"two\"]\ntwo = [\"one\"]\n";
    refused(
        circle,
        "line 5: group one names group \"two\" (groups hold people only",
        Policy::parse(circle),
    );
}

#[test]
fn classes_floors_and_freezes_that_cannot_be() {
    let freeze = |rest: &str| format!("[[freezes]]\nname = \"f\"\n{rest}");
    for (rest, expected) in [
        (
            "[[classes]]\nname = \"c\"\ntier = \"manual\"".to_owned(),
            "line 13: class \"c\" says of no change that it belongs to it",
        ),
        (
            "[[classes]]\nname = \"c\"\npaths = [\"a\"]".to_owned(),
            "line 13: class \"c\" raises nothing",
        ),
        (
            "[[classes]]\nname = \"c\"\nrisk = \"huge\"\ntier = \"manual\"".to_owned(),
            "line 15: risk \"huge\" is not valid",
        ),
        (
            "[[classes]]\nname = \"c\"\nrisk = \"high\"\ntier = \"standard\"".to_owned(),
            "line 16: class \"c\" raises to standard",
        ),
        (
            "[[classes]]\nname = \"c\"\nkinds = [\"\"]\nquorum = 2".to_owned(),
            "line 15: class \"c\" names an empty kind",
        ),
        ("[[floors]]\npaths = []\nquorum = 2".to_owned(), "line 14: a floor has no paths"),
        (
            "[[floors]]\npaths = [\"a\"]\nquorum = 9".to_owned(),
            "line 15: a floor asks for 9 people, and the policy names 3",
        ),
        (
            "[[floors]]\npaths = [\"a\"]\nquorum = 0".to_owned(),
            "line 15: a floor has a quorum of 0",
        ),
        (
            freeze("start = 2026-01-02T18:00:00\nduration = \"0h\""),
            "line 16: freeze \"f\" lasts \"0h\"",
        ),
        (
            freeze("start = 2026-01-02T18:00:00\nduration = \"400d\""),
            "line 16: freeze \"f\" lasts \"400d\"",
        ),
        (
            freeze("start = 2026-01-02T18:00:00Z\nduration = \"1h\""),
            "line 15: freeze \"f\" starts at 2026-01-02T18:00:00Z, which is no local time",
        ),
        (
            freeze("start = \"2026-02-30T10:00\"\nduration = \"1h\""),
            "line 15: freeze \"f\" starts at 2026-02-30T10:00",
        ),
        (
            freeze("kind = \"maybe\"\nstart = 2026-01-02\nduration = \"1h\""),
            "line 15: freeze \"f\" is of kind \"maybe\"",
        ),
        (
            freeze("timezone = \"Berlin\"\nstart = 2026-01-02\nduration = \"1h\""),
            "line 15: freeze \"f\": \"Berlin\" is not a time zone",
        ),
        (
            freeze("override = \"boss\"\nstart = 2026-01-02\nduration = \"1h\""),
            "line 15: freeze \"f\" asks group boss",
        ),
        (
            freeze("rrule = \"FREQ=OFTEN\"\nstart = 2026-01-02\nduration = \"1h\""),
            "line 15: freeze \"f\": rrule: FREQ=OFTEN",
        ),
        (
            freeze("start = 2026-01-02\nduration = \"1h\"\nrrule = \"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\""),
            "line 15: freeze \"f\" never occurs",
        ),
        (
            freeze("start = 2026-01-02\nduration = \"1h\"\nrrule = \"FREQ=DAILY;UNTIL=20251231\""),
            "line 15: freeze \"f\" never occurs",
        ),
        (
            freeze("start = 2026-01-01T18:00:00\nduration = \"1h\"\nrrule = \"FREQ=WEEKLY;BYDAY=FR\""),
            "line 15: freeze \"f\" does not occur at its start (its rrule first occurs later: write start = 2026-01-02T18:00:00)",
        ),
        (
            format!("{0}\n{0}", freeze("start = 2026-01-02\nduration = \"1h\"")),
            "line 17: freeze \"f\" stands there twice",
        ),
    ] {
        let text = format!("{HEAD}{rest}\n");
        refused(&text, expected, Policy::parse(&text));
    }
}

#[test]
fn a_repository_s_file_defines_no_people() {
    let own = Policy::parse(HEAD).expect("a policy");
    for (rest, expected) in [
        (
            "[people.mallory]\ntelegram_id = 9",
            "line 2: people: a repository's policy cannot define people and their ids (move it to the service's own",
        ),
        (
            "[groups]\nsre = [\"mallory\"]",
            "line 2: groups: a repository's policy cannot define groups",
        ),
        (
            "[agents.bot]\nowner = \"bob\"",
            "line 2: agents: a repository's policy cannot define agents and whose they are",
        ),
        (
            "reserved = []",
            "line 2: reserved: a repository's policy cannot define reserved paths",
        ),
        (
            "files_per_card = 1000",
            "line 2: files_per_card: a repository's policy cannot define files_per_card",
        ),
        (
            "[[floors]]\npaths = [\"a\"]\nquorum = 1",
            "line 2: floors: a repository's policy cannot define floors",
        ),
        (
            "[[delegations]]\nfrom = \"bob\"",
            "line 2: delegations: a repository's policy cannot define delegations",
        ),
        ("rulez = 1", "line 2: unknown field `rulez`"),
        (
            "[[rules]]\nname = \"r\"\npaths = [\"a\"]\ntier = \"prompted\"\napprovers = \"mine\"",
            "line 6: rule \"r\" asks group mine, which does not exist (groups are defined in the service's own policy file",
        ),
        (
            "[[rules]]\nname = \"r\"\npaths = [\"a\"]\ntier = \"prompted\"\napprovers = \"sre\"\nallow_owner = true",
            "line 7: rule \"r\" lets owners approve for their own agents, which a repository's policy cannot",
        ),
    ] {
        let text = format!("version = 1\n{rest}\n");
        refused(&text, expected, own.with_repository_rules(&text));
    }
    refused(
        "version = 1\n[[rules]",
        "line 2: ",
        own.with_repository_rules("version = 1\n[[rules]"),
    );
}

#[test]
fn second_factors_that_cannot_be() {
    let rule = |tier: &str, rest: &str| format!("[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"{tier}\"\n{rest}");
    for (rest, expected) in [
        (
            rule("prompted", "approvers = \"sre\"\nsecond_factor = \"sms\""),
            "line 18: second factor \"sms\" is not valid",
        ),
        (
            rule("manual", "second_factor = \"totp\""),
            "line 17: rule \"r\" has a second factor and is manual: nobody approves what a human commits",
        ),
        (
            rule("standard", "runbook = \"scale\"\napprovers = \"sre\"\nsecond_factor = \"totp\""),
            "line 19: rule \"r\" has a second factor and is standard: nothing could run by itself",
        ),
        (
            rule("prompted", "approvers = \"leads\"\nsecond_factor = \"person\""),
            "line 18: rule \"r\" asks for a second person beside 1 of leads, which has 1 in all (add people, lower the quorum",
        ),
        (
            rule("prompted", "approvers = \"sre\"\nrevert_quorum = 2\nsecond_factor = \"person\""),
            "line 19: rule \"r\" asks for a second person beside 2 of sre, which has 2 in all",
        ),
        (
            rule(
                "prompted",
                "approvers = { all = [\"sre\", \"owners\"] }\nsecond_factor = \"person\"",
            ),
            "line 18: rule \"r\" asks for a second person beside 2 of owners, sre, which has 2 in all",
        ),
        (
            "[[floors]]\npaths = [\"a/**\"]\nsecond_factor = \"otp\"".to_owned(),
            "line 15: second factor \"otp\" is not valid",
        ),
        (
            "[[classes]]\nname = \"c\"\npaths = [\"a/**\"]\ntier = \"manual\"\nsecond_factor = \"totp\"".to_owned(),
            "line 17: class \"c\" has a second factor and is manual",
        ),
    ] {
        let text = format!("{HEAD}{rest}\n");
        refused(&text, expected, Policy::parse(&text));
    }
    let alone = "version = 1\n[people]\nalice = { telegram_id = 1 }\n[[floors]]\npaths = [\"a/**\"]\nsecond_factor = \"person\"\n";
    refused(
        alone,
        "line 6: a floor asks for a second person, and the policy names 1",
        Policy::parse(alone),
    );
    let own = Policy::parse(HEAD).unwrap_or_else(|problems| panic!("{problems:?}"));
    let theirs = format!("version = 1\n{RULE}approvers = \"leads\"\nsecond_factor = \"person\"\n");
    refused(
        &theirs,
        "line 7: rule \"r\" asks for a second person beside 1 of leads",
        own.with_repository_rules(&theirs),
    );
}

#[test]
fn codes_that_nobody_can_give_are_told() {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
    let text = format!(
        "{HEAD}{RULE}approvers = \"sre\"\nquorum = 2\nsecond_factor = \"totp\"\n[[floors]]\npaths = [\"b\"]\nsecond_factor = \"totp\"\n"
    );
    let policy = Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let told = |enrolled: &[i64]| -> Vec<_> {
        let enrolled = enrolled.iter().map(|id| UserId(*id)).collect();
        policy.lacks_generators(&enrolled, now).iter().map(ToString::to_string).collect()
    };
    let rule = "line 13: rule \"r\" takes a code from 2 of sre, and too few of them have a generator: nothing can be approved (enrol its approvers: `countersign totp enroll NAME`)";
    let floor = "line 1: a class or floor takes codes, and nobody has a generator: nothing can be approved there (enrol its approvers: `countersign totp enroll NAME`)";
    assert_eq!(told(&[]), [rule, floor]);
    assert_eq!(told(&[1, 3]), [rule]);
    assert!(told(&[1, 2]).is_empty() && policy.asks_codes());
    assert!(!Policy::parse(HEAD).expect("a policy").asks_codes());
}

#[test]
fn a_second_person_that_an_agent_s_owners_cannot_be_is_told() {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
    let text = format!("{HEAD}{RULE}approvers = \"sre\"\nsecond_factor = \"person\"\n");
    let policy = Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let told: Vec<_> = policy.warnings(now).iter().map(ToString::to_string).collect();
    let expected = "line 13: rule \"r\" can never be passed by agent bot: 1 of sre, and a second person, without its owners (add people who do not own bot, or lower the quorum)";
    assert!(told.iter().any(|told| told == expected), "{told:#?}");
}

#[test]
fn a_name_that_no_card_can_show_is_refused() {
    let named = |name: &str| format!("{HEAD}{}approvers = \"sre\"\n", RULE.replace("\"r\"", &format!("\"{name}\"")));
    for (name, shown) in [
        ("w\\u202E<b>", "rule \"w<U+202E><b>\" has a name"),
        ("a\\nb", "rule \"a<U+000A>b\" has a name"),
    ] {
        let text = named(name);
        refused(&text, &format!("line 13: {shown} that no card can show"), Policy::parse(&text));
    }
    let text = named(&"n".repeat(101));
    refused(&text, "line 13: rule \"nnn", Policy::parse(&text));
    assert!(Policy::parse(&named(&"n".repeat(100))).is_ok());
}

#[test]
fn patterns_that_would_cost_too_much_are_refused() {
    let rule = |patterns: String| format!("{HEAD}{}approvers = \"sre\"\n", RULE.replace("\"a/**\"", &patterns));
    for long in ["?".repeat(200_000), "*a".repeat(100_000)] {
        let text = rule(format!("{long:?}"));
        refused(&text, "line 15: path pattern \"", Policy::parse(&text));
        assert!(crate::PathGlob::new(&long).is_err_and(|why| why.contains("200000 bytes, and 1024 are the most") && why.len() < 200));
    }
    let path: crate::RepoPath = "a/b".parse().expect("a path");
    for most in [
        "?".repeat(1024),
        "*a".repeat(512),
        format!("{{{}}}", "?,".repeat(511)),
        "**/".repeat(341) + "x",
    ] {
        assert!(!crate::PathGlob::new(&most).expect(&most).matches(&path), "{most}");
    }
    let nameless = |count: usize| {
        let patterns: Vec<String> = (0..count).map(|number| format!("\"**/*{number}.tf\"")).collect();
        rule(patterns.join(", "))
    };
    assert!(Policy::parse(&nameless(500)).is_ok());
    let text = nameless(501);
    refused(
        &text,
        "line 1: 501 path patterns name no directory and no file in full, and 500 are the most",
        Policy::parse(&text),
    );
}

#[test]
fn a_rule_that_never_applies_is_told() {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
    let told = |above: &str, below: &str| {
        let rule = |name: &str, paths: &str| format!("[[rules]]\nname = \"{name}\"\n{paths}\ntier = \"prompted\"\napprovers = \"sre\"\n");
        let text = format!("{HEAD}{}{}", rule("above", above), rule("below", below));
        let policy = Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
        policy
            .warnings(now)
            .iter()
            .any(|warning| warning.message == "rule \"below\" never applies: rule \"above\" above it matches all of its paths")
    };
    for (above, below, expected) in [
        ("paths = [\"k/**\"]", "paths = [\"k/platform/**\"]", true),
        ("paths = [\"**\"]", "paths = [\"*.tf\", \"k/a\"]", true),
        ("paths = [\"a/b\", \"k/*\"]", "paths = [\"k/*\"]", true),
        ("paths = [\"k/**\"]", "paths = [\"k/a\", \"l/a\"]", false),
        ("paths = [\"k/*\"]", "paths = [\"k/a/b\"]", false),
        ("paths = [\"k/**\"]", "paths = [\"kk/a\"]", false),
        ("paths = [\"k/**\"]\nrepository = \"one\"", "paths = [\"k/a\"]", false),
        ("paths = [\"k/**\"]", "paths = [\"k/a\"]\nrepository = \"one\"", true),
    ] {
        assert_eq!(told(above, below), expected, "{above} over {below}");
    }
}

#[test]
fn what_is_valid_and_yet_not_meant_is_told() {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
    let text = format!(
        "{HEAD}[[delegations]]\nfrom = \"bob\"\nto = \"carol\"\nuntil = 2026-05-01\n{RULE}approvers = \"sre\"\nquorum = 2\n\
         [[rules]]\nname = \"l\"\npaths = [\"b/**\"]\ntier = \"prompted\"\napprovers = {{ all = [\"leads\", \"sre\"] }}\n"
    );
    let policy = Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let told: Vec<_> = policy.warnings(now).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 1: groups owners and sre have the same people (one group is enough, unless they will differ)",
            "line 10: agent wild is untrusted, and rule \"r\" has nobody for the one approval more: its changes are manual (add people who do not own wild, or lower the quorum)",
            "line 13: the delegation of bob to carol ended on 2026-05-02 00:00 UTC and is ignored (remove it, or set a later until)",
            "line 17: rule \"r\" can never be passed by agent bot: 2 of sre, without its owners (add people who do not own bot, or lower the quorum)",
            "line 23: rule \"l\" can never be passed by agent wild: 1 of leads, and 1 of sre, without its owners (add people who do not own wild, or lower the quorum)",
        ]
    );
}

/// The head of the page's examples, then each of its blocks: what it shows must be what is read.
#[test]
fn the_examples_of_the_documentation() {
    let page = include_str!("../../../../../docs/policy.md");
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let head = blocks
        .iter()
        .find(|block| block.starts_with("version = 1\n"))
        .expect("a whole example");
    let people = head.split("[[rules]]").next().expect("a head");
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in &blocks {
        let read = if block.starts_with("version = 1\n") {
            Policy::parse(block)
        } else if block.starts_with("# .countersign/policy.toml") {
            Policy::parse(head).and_then(|own| own.with_repository_rules(block))
        } else {
            Policy::parse(&format!("{people}{block}"))
        };
        if let Err(problems) = read {
            panic!("{problems:#?}\n{block}");
        }
    }
}

#[test]
fn one_slip_is_told_once_with_what_helps() {
    let told = |text: &str| -> Vec<String> {
        let problems = Policy::parse(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
        problems.iter().map(ToString::to_string).collect()
    };
    // Both are in one group, which is not too small and names nobody twice.
    let twins = HEAD.replace("telegram_id = 2", "telegram_id = 1") + RULE + "approvers = \"sre\"\nquorum = 2\n";
    assert_eq!(
        told(&twins),
        ["line 4: bob and alice have the same Telegram id (one person, one entry: remove one of them)"]
    );
    let quoted = HEAD.replace("telegram_id = 2", "telegram_id = \"2\"");
    assert_eq!(
        told(&quoted),
        ["line 4: \"2\", expected a number: what stands in quotes is a text (write the number without quotes)"]
    );
    let nobody = format!("version = 1\n{RULE}approvers = \"sre\"\n");
    assert_eq!(
        told(&nobody),
        ["line 6: rule \"r\" asks group sre, which does not exist (add it under [groups]: there is no group yet)"]
    );
}

#[test]
fn an_agent_that_somebody_owns_twice_is_told() {
    let text = HEAD.replace("owns = [\"bot\"]", "owns = [\"bot\", \"bot\"]");
    let policy = Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let told: Vec<_> = policy.warnings(Timestamp::MIN_UTC).iter().map(ToString::to_string).collect();
    let expected = "line 3: alice owns agent bot twice (name each agent once; if another one was meant, that one is not owned yet)";
    assert!(told.iter().any(|told| told == expected), "{told:#?}");
}
