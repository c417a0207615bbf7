use proptest::prelude::*;

use super::*;
use crate::{Facts, Policy, RepositoryName, Tier};

/// alice to frank are 1 to 6; bob owns `bot`.
const HEAD: &str = r#"
version = 1
[people]
alice = { telegram_id = 1 }
bob = { telegram_id = 2, owns = ["bot"] }
carol = { telegram_id = 3 }
dave = { telegram_id = 4 }
erin = { telegram_id = 5 }
frank = { telegram_id = 6 }
[groups]
sre = ["alice", "bob"]
owners = ["alice", "carol"]
leads = ["dave", "erin"]
directors = ["frank"]
"#;

fn policy(rest: &str) -> Policy {
    let text = format!("{HEAD}{rest}");
    Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn asking(approvers: &str) -> Policy {
    policy(&format!(
        "[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = {approvers}\n"
    ))
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn now() -> Timestamp {
    at("2026-06-01T12:00:00Z")
}

fn homelab() -> RepositoryName {
    "homelab".parse().expect("a name")
}

fn facts() -> Facts {
    Facts {
        paths: vec!["a/x.yaml".parse().expect("a path")],
        ..Facts::default()
    }
}

fn users(ids: &[i64]) -> Vec<UserId> {
    ids.iter().copied().map(UserId).collect()
}

fn missing(policy: &Policy, ids: &[i64]) -> String {
    policy
        .standing(&policy.route(&homelab(), &facts()), None, &users(ids), now())
        .missing
}

const BOTH: &str =
    r#"{ all = [{ group = "sre", count = 1 }, { any = [{ group = "owners", count = 1 }, { group = "leads", count = 2 }] }] }"#;

#[test]
fn all_of_and_any_of_with_one_place_for_each_person() {
    let policy = asking(BOTH);
    for (ids, expected) in [
        (&[][..], "1 of sre, and 1 of owners or 2 of leads"),
        // alice is in both groups and fills one place only.
        (&[1], "1 of owners or 2 of leads"),
        (&[2], "1 of owners or 2 of leads"),
        (&[4], "1 of sre, and 1 of owners or 1 of leads"),
        // carol can only be an owner, so alice is the sre, in whatever order they come.
        (&[1, 3], ""),
        (&[3, 1], ""),
        (&[1, 2], ""),
        (&[2, 4], "1 of owners or 1 of leads"),
        (&[2, 4, 5], ""),
        (&[4, 5], "1 of sre"),
        (&[6], "1 of sre, and 1 of owners or 2 of leads"),
    ] {
        assert_eq!(missing(&policy, ids), expected, "{ids:?}");
        let route = policy.route(&homelab(), &facts());
        assert_eq!(policy.satisfied(&route, None, &users(ids), now()), expected.is_empty(), "{ids:?}");
    }
}

/// "1/2 leads (or 1 of owners) by [4], may: [5]" for each place.
fn told(policy: &Policy, agent: Option<&AgentName>, ids: &[i64]) -> Vec<String> {
    let route = policy.route(&homelab(), &facts());
    let ids_of = |users: &[UserId]| users.iter().map(|user| user.0).collect::<Vec<_>>();
    let standing = policy.standing(&route, agent, &users(ids), now());
    let place = |place: &Place| {
        format!(
            "{}/{} {} by {:?}, may: {:?}",
            place.have.len(),
            place.quorum,
            place.label,
            ids_of(&place.have),
            ids_of(&place.eligible)
        )
    };
    standing.places.iter().map(place).collect()
}

#[test]
fn the_card_s_places() {
    let policy = asking(BOTH);
    let route = policy.route(&homelab(), &facts());
    assert_eq!(route.needs(), "1 of sre, and 1 of owners or 2 of leads");
    let bot = "bot".parse().expect("a name");
    // bob owns the agent, so he is nowhere. Whoever may approve in either way is named.
    assert_eq!(
        told(&policy, Some(&bot), &[]),
        ["0/1 sre by [], may: [1]", "0/1 owners (or 2 of leads) by [], may: [1, 3, 4, 5]",]
    );
    // One owner and one more lead are equally near: the way that somebody has approved is shown.
    assert_eq!(
        told(&policy, Some(&bot), &[4]),
        ["0/1 sre by [], may: [1]", "1/2 leads (or 1 of owners) by [4], may: [5, 1, 3]",]
    );
    assert!(!policy.standing(&route, Some(&bot), &users(&[4]), now()).complete);
}

#[test]
fn what_was_approved_of_the_farther_way_is_told_too() {
    let policy = asking(r#"{ any = ["directors", { group = "leads", count = 2 }, { all = ["sre", "owners"] }] }"#);
    assert_eq!(
        told(&policy, None, &[]),
        ["0/1 directors (or 2 of leads, or 1 of sre and 1 of owners) by [], may: [6, 4, 5, 1, 2, 3]"]
    );
    // Equally near: a lead and an owner. The earlier of the two is shown, the other one counted.
    assert_eq!(
        told(&policy, None, &[3, 4]),
        ["1/2 leads (or 1 of directors, or 1 of sre and 1 of owners: 1/1) by [4], may: [5, 6, 1, 2]"]
    );
    let far = asking(r#"{ any = ["directors", { group = "leads", count = 2 }] }"#);
    let route = far.route(&homelab(), &facts());
    let standing = far.standing(&route, None, &users(&[4]), now());
    assert_eq!(standing.missing, "1 of directors or 1 of leads");
    let instead: Vec<_> = standing.places[0]
        .instead
        .iter()
        .flatten()
        .map(|seat| (seat.label.as_str(), seat.have.len()))
        .collect();
    assert_eq!(instead, [("directors", 0)]);
    // Of a way of several groups the choice is told once, with the first of them.
    let several = asking(r#"{ any = [{ all = ["sre", "leads"] }, { group = "owners", count = 2 }] }"#);
    assert_eq!(
        told(&several, None, &[4]),
        ["0/1 sre (or 2 of owners) by [], may: [1, 2, 3]", "1/1 leads by [4], may: [5]"]
    );
}

#[test]
fn two_rules_are_looked_at_each_by_itself() {
    let policy = policy(
        "[[rules]]\nname = \"a\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"sre\"\n\
         [[rules]]\nname = \"b\"\npaths = [\"b/**\"]\ntier = \"prompted\"\napprovers = \"owners\"\n",
    );
    let facts = Facts {
        paths: vec!["a/x".parse().expect("a path"), "b/x".parse().expect("a path")],
        ..Facts::default()
    };
    let route = policy.route(&homelab(), &facts);
    assert_eq!(route.needs(), "1 of owners, and 1 of sre");
    assert!(
        policy.satisfied(&route, None, &users(&[1]), now()),
        "alice may approve for both paths"
    );
    assert!(!policy.satisfied(&route, None, &users(&[2]), now()));
}

#[test]
fn routes_of_older_versions_are_read_and_plain_ones_written_as_then() {
    let old = r#"{"tier":"prompted","rule":"workloads","why":"a rule","requirements":[{"group":"operators","quorum":2,"allow_owner":false}],"ttl_seconds":60,"policy":"0707070707070707070707070707070707070707070707070707070707070707"}"#;
    let route: Route = serde_json::from_str(old).expect("an old route");
    assert_eq!(route.needs(), "2 of operators");
    assert_eq!(route.requirements[0].single().map(|asked| asked.quorum), Some(2));
    let written = serde_json::to_value(&route).expect("JSON");
    assert_eq!(
        written["requirements"],
        serde_json::from_str::<serde_json::Value>(old).expect("JSON")["requirements"]
    );
    let facts = r#"{"paths":["a/x"],"runbook":null,"binary":false,"deceptive":false,"deletes":false,"revert":false,"requested":null}"#;
    assert_eq!(serde_json::from_str::<Facts>(facts).expect("old facts").raised, []);
}

#[test]
fn every_requirement_survives_being_stored() {
    for approvers in [
        "\"sre\"",
        BOTH,
        r#"{ any = [{ all = ["sre", "leads"] }, "directors"] }"#,
        "\"sre\"\nescalate = { to = \"leads\", after = \"30m\" }",
    ] {
        let route = asking(approvers).route(&homelab(), &facts());
        let stored = serde_json::to_string(&route).expect("JSON");
        assert_eq!(serde_json::from_str::<Route>(&stored).expect("a route"), route, "{stored}");
    }
}

#[test]
fn somebody_stands_in_until_a_date() {
    let policy = asking("\"directors\"\n[[delegations]]\nfrom = \"frank\"\nto = \"dave\"\nuntil = 2026-06-30");
    let route = policy.route(&homelab(), &facts());
    let may = |user, now| policy.eligibility(&route, None, UserId(user), now) == Eligibility::Eligible;
    assert!(may(4, now()) && may(6, now()) && !may(5, now()));
    assert!(may(4, at("2026-06-30T23:59:59Z")), "to the end of the day");
    assert!(!may(4, at("2026-07-01T00:00:00Z")), "expired: ignored");
    assert!(policy.satisfied(&route, None, &users(&[4]), now()));
    assert!(!policy.satisfied(&route, None, &users(&[4]), at("2026-08-01T00:00:00Z")));
}

#[test]
fn a_delegation_is_no_second_vote_and_no_way_around_ownership() {
    let rule = "[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = \"sre\"\nquorum = 2\n";
    let policy = policy(&format!(
        "{rule}[[delegations]]\nfrom = \"bob\"\nto = \"dave\"\ngroups = [\"sre\"]\nuntil = \"2027-01-01T00:00:00Z\"\n"
    ));
    let route = policy.route(&homelab(), &facts());
    let bot: AgentName = "bot".parse().expect("a name");
    let satisfied = |agent, ids: &[i64]| policy.satisfied(&route, agent, &users(ids), now());
    assert!(satisfied(None, &[1, 4]), "dave speaks for bob");
    assert!(!satisfied(None, &[2, 4]), "bob has spoken himself: his place is taken");
    assert!(satisfied(None, &[1, 2, 4]));
    assert!(!satisfied(Some(&bot), &[1, 4]), "bob owns the agent, so nobody speaks for him");
    assert_eq!(policy.eligibility(&route, Some(&bot), UserId(4), now()), Eligibility::OwnsAgent);
    assert_eq!(policy.stands_in(UserId(4), now()).len(), 1);
    assert!(policy.in_group(&"sre".parse().expect("a name"), UserId(4), now()));
}

#[test]
fn who_stands_in_may_stop_and_revert_as_long_as_the_delegation_runs() {
    let policy = asking("\"directors\"\n[[delegations]]\nfrom = \"frank\"\nto = \"dave\"\nuntil = 2026-06-30");
    let mut proposal = crate::decide::tests::world::fresh(crate::Origin::Change, &policy);
    proposal.revision.facts = facts();
    proposal.revision.route = policy.route(&homelab(), &facts());
    for (who, user, when, may) in [
        ("a member", 6, "2026-06-01T12:00:00Z", true),
        ("a member, after the delegation", 6, "2026-08-01T00:00:00Z", true),
        ("who stands in", 4, "2026-06-01T12:00:00Z", true),
        ("who stands in, at the last moment", 4, "2026-06-30T23:59:59Z", true),
        ("who stood in", 4, "2026-07-01T00:00:00Z", false),
        ("somebody of another group", 5, "2026-06-01T12:00:00Z", false),
        ("a stranger", 99, "2026-06-01T12:00:00Z", false),
    ] {
        assert_eq!(policy.may_handle(&proposal, UserId(user), at(when)), may, "{who}");
    }
}

#[test]
fn a_second_group_helps_after_a_while() {
    let policy = asking("\"sre\"\nescalate = { to = \"leads\", after = \"30m\" }");
    let mut route = policy.route(&homelab(), &facts());
    assert_eq!(route.escalates_at(), None, "nobody is asked yet");
    assert_eq!(policy.eligibility(&route, None, UserId(4), now()), Eligibility::NotInGroup);
    route.waiting.asked_at = Some(now());
    let due = at("2026-06-01T12:30:00Z");
    assert_eq!(route.escalates_at(), Some(due));
    assert_eq!(policy.eligibility(&route, None, UserId(4), now()), Eligibility::NotInGroup);
    assert_eq!(policy.eligibility(&route, None, UserId(4), due), Eligibility::Eligible);
    assert!(policy.satisfied(&route, None, &users(&[4]), due));
    let standing = policy.standing(&route, None, &[], due);
    assert_eq!(standing.places[0].label, "sre or leads");
    assert_eq!(standing.missing, "1 of sre (by now leads may help)");
}

#[test]
fn help_that_comes_after_the_end_is_told() {
    let warned = |ttl: &str| {
        let rule = format!("\"sre\"\nttl = \"{ttl}\"\nescalate = {{ to = \"leads\", after = \"90m\" }}");
        let warnings = asking(&rule).warnings(now());
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(warned("91m").is_empty());
    assert_eq!(
        warned("90m"),
        [
            "line 15: rule \"r\" escalates to leads after 1 h 30 min, when its time (1 h 30 min) is over: they are never asked (escalate earlier, or \
             lengthen ttl)"
        ]
    );
}

#[test]
fn what_is_implied_is_not_said_twice_and_nothing_is_lost() {
    let requirement = |approvers: &str| asking(approvers).route(&homelab(), &facts()).requirements[0].clone();
    let (one, both) = (requirement("\"sre\""), requirement(BOTH));
    assert!(both.covers(&one) && !one.covers(&both));
    let swapped = requirement(r#"{ all = [{ any = [{ group = "leads", count = 2 }, "owners"] }, "sre"] }"#);
    assert!(both.covers(&swapped) && swapped.covers(&both));
    assert!(!both.covers(&requirement(r#"{ all = ["sre", "owners"] }"#)), "leads are no owners");
    assert!(requirement(r#"{ all = ["sre", "owners"] }"#).covers(&both));
    let helped = requirement("\"sre\"\nescalate = { to = \"leads\", after = \"30m\" }");
    assert!(one.covers(&helped) && !helped.covers(&one), "leads may approve the other one");
    // Two paths whose rules mean the same in other words: one of the two stays.
    let text = format!(
        "[[rules]]\nname = \"a\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = {BOTH}\n[[rules]]\nname = \"b\"\npaths = [\"b/**\"]\n\
         tier = \"prompted\"\napprovers = {}\n",
        r#"{ all = [{ any = [{ group = "leads", count = 2 }, "owners"] }, "sre"] }"#
    );
    let facts = Facts {
        paths: vec!["a/x".parse().expect("a path"), "b/x".parse().expect("a path")],
        ..Facts::default()
    };
    assert_eq!(policy(&text).route(&homelab(), &facts).requirements.len(), 1);
}

/// A tree of approvers as text, and as a judge by brute force.
#[derive(Debug, Clone)]
enum Tree {
    Group(&'static str, u32),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn text(&self) -> String {
        let list = |trees: &[Tree]| trees.iter().map(Tree::text).collect::<Vec<_>>().join(", ");
        match self {
            Self::Group(group, count) => format!("{{ group = \"{group}\", count = {count} }}"),
            Self::All(trees) => format!("{{ all = [{}] }}", list(trees)),
            Self::Any(trees) => format!("{{ any = [{}] }}", list(trees)),
        }
    }

    /// Every bag of places that would do.
    fn bags(&self) -> Vec<Vec<&'static str>> {
        match self {
            Self::Group(group, count) => vec![vec![*group; *count as usize]],
            Self::Any(trees) => trees.iter().flat_map(Self::bags).collect(),
            Self::All(trees) => trees.iter().fold(vec![Vec::new()], |bags, tree| {
                let more = tree.bags();
                bags.iter()
                    .flat_map(|bag| more.iter().map(|other| [bag.as_slice(), other].concat()))
                    .collect()
            }),
        }
    }
}

fn members(group: &str) -> &'static [i64] {
    match group {
        "sre" => &[1, 2],
        "owners" => &[1, 3],
        "leads" => &[4, 5],
        _ => &[6],
    }
}

/// Tries everybody in every place.
fn fills(places: &[&str], people: &[i64]) -> bool {
    let Some((place, rest)) = places.split_first() else { return true };
    people.iter().enumerate().any(|(number, person)| {
        let mut others = people.to_vec();
        others.remove(number);
        members(place).contains(person) && fills(rest, &others)
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf =
        (prop::sample::select(vec!["sre", "owners", "leads", "directors"]), 1..3u32).prop_map(|(group, count)| Tree::Group(group, count));
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Tree::All),
            prop::collection::vec(inner, 1..3).prop_map(Tree::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn satisfied_is_what_trying_everything_finds(tree in tree(), people in prop::collection::btree_set(1..7i64, 0..6)) {
        let text = format!("{HEAD}[[rules]]\nname = \"r\"\npaths = [\"a/**\"]\ntier = \"prompted\"\napprovers = {}\n", tree.text());
        let possible = tree.bags().iter().all(|bag| fills(bag, &[1, 2, 3, 4, 5, 6]));
        let policy = match Policy::parse(&text) {
            // Also refused: a group twice in one list.
            Err(problems) => {
                prop_assert!(!possible || problems.iter().all(|problem| problem.message.contains("twice")), "{problems:?}\n{text}");
                return Ok(());
            }
            Ok(policy) => policy,
        };
        prop_assert!(possible, "a way that nobody can complete was accepted: {text}");
        let people: Vec<i64> = people.into_iter().collect();
        let route = policy.route(&homelab(), &facts());
        prop_assert_eq!(route.tier, Tier::Prompted);
        let expected = tree.bags().iter().any(|bag| fills(bag, &people));
        prop_assert_eq!(policy.satisfied(&route, None, &users(&people), now()), expected, "{} by {:?}", tree.text(), people);
        let standing = policy.standing(&route, None, &users(&people), now());
        prop_assert_eq!(standing.complete, expected);
        prop_assert_eq!(standing.missing.is_empty(), expected, "{}", standing.missing);
    }
}
