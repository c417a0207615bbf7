use crate::{Policy, RepoPath, RepositoryName, Timestamp};

const HEAD: &str = "version = 1\n[people.alice]\ntelegram_id = 1\n[groups]\nsre = [\"alice\"]\n";

fn policy(rest: &str) -> Policy {
    let text = format!("{HEAD}{rest}");
    Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn homelab() -> RepositoryName {
    "homelab".parse().expect("a name")
}

fn paths(paths: &[&str]) -> Vec<RepoPath> {
    paths.iter().map(|path| path.parse().expect("a path")).collect()
}

/// "name until", or "-" when nothing holds.
fn frozen(policy: &Policy, path: &str, now: &str) -> String {
    policy.frozen(&homelab(), &paths(&[path]), at(now)).map_or_else(
        || "-".to_owned(),
        |freeze| {
            format!(
                "{} {}",
                freeze.name,
                freeze
                    .until
                    .map_or("?".to_owned(), |until| until.format("%m-%dT%H:%MZ").to_string())
            )
        },
    )
}

const WEEKEND: &str = r#"
[[freezes]]
name = "weekend"
start = 2026-01-02T18:00:00
duration = "62h"
timezone = "Europe/Berlin"
rrule = "FREQ=WEEKLY;BYDAY=FR"
override = "sre"
"#;

#[test]
fn a_window_that_comes_again() {
    let policy = policy(WEEKEND);
    for (now, expected) in [
        ("2026-01-02T16:59:59Z", "-"),
        ("2026-01-02T17:00:00Z", "weekend 01-05T07:00Z"),
        ("2026-01-05T06:59:59Z", "weekend 01-05T07:00Z"),
        ("2026-01-05T07:00:00Z", "-"),
        ("2026-06-06T12:00:00Z", "weekend 06-08T06:00Z"),
        ("2025-12-27T12:00:00Z", "-"),
    ] {
        assert_eq!(frozen(&policy, "a/x", now), expected, "{now}");
    }
    let freeze = policy
        .frozen(&homelab(), &paths(&["a/x"]), at("2026-01-03T12:00:00Z"))
        .expect("frozen");
    assert_eq!(
        freeze.why,
        "a/x is frozen by \"weekend\" until 2026-01-05 08:00 Europe/Berlin; sre may let it pass"
    );
    assert!(policy.may_override(&freeze, crate::UserId(1), at("2026-01-03T12:00:00Z")));
    assert!(!policy.may_override(&freeze, crate::UserId(2), at("2026-01-03T12:00:00Z")));
}

fn nightly(start: &str, duration: &str) -> Policy {
    policy(&format!(
        "[[freezes]]\nname = \"night\"\nstart = {start}\nduration = \"{duration}\"\ntimezone = \"Europe/Berlin\"\nrrule = \"FREQ=DAILY\"\n"
    ))
}

#[test]
fn clocks_turned_forward() {
    // 2026-03-29: 02:00 becomes 03:00 (01:00Z).
    let inside = nightly("2026-03-01T02:30:00", "1h");
    for (now, expected) in [
        ("2026-03-28T01:30:00Z", "night 03-28T02:30Z"),
        // 02:30 does not exist: the offset before the jump makes it 01:30Z, which is 03:30 on the clock.
        ("2026-03-29T01:29:59Z", "-"),
        ("2026-03-29T01:30:00Z", "night 03-29T02:30Z"),
        ("2026-03-29T02:30:00Z", "-"),
        ("2026-03-30T00:30:00Z", "night 03-30T01:30Z"),
    ] {
        assert_eq!(frozen(&inside, "a/x", now), expected, "{now}");
    }
    // Hours are hours: six of them from 22:00 end at 05:00 on the clock.
    assert_eq!(
        frozen(&nightly("2026-03-01T22:00:00", "6h"), "a/x", "2026-03-29T02:30:00Z"),
        "night 03-29T03:00Z"
    );
    // A day is a day of the calendar: it ends at the same time on the clock, after 23 hours.
    let once = policy("[[freezes]]\nname = \"day\"\nstart = 2026-03-28T12:00:00\nduration = \"1d\"\ntimezone = \"Europe/Berlin\"\n");
    assert_eq!(frozen(&once, "a/x", "2026-03-29T09:59:59Z"), "day 03-29T10:00Z");
    assert_eq!(frozen(&once, "a/x", "2026-03-29T10:00:00Z"), "-");
}

#[test]
fn clocks_turned_back() {
    // 2026-10-25: 03:00 becomes 02:00 (01:00Z). 02:30 comes twice: the first one counts.
    let inside = nightly("2026-10-01T02:30:00", "1h");
    for (now, expected) in [
        ("2026-10-25T00:29:59Z", "-"),
        ("2026-10-25T00:30:00Z", "night 10-25T01:30Z"),
        ("2026-10-25T01:29:59Z", "night 10-25T01:30Z"),
        ("2026-10-25T01:30:00Z", "-"),
        ("2026-10-26T01:30:00Z", "night 10-26T02:30Z"),
    ] {
        assert_eq!(frozen(&inside, "a/x", now), expected, "{now}");
    }
    assert_eq!(
        frozen(&nightly("2026-10-01T22:00:00", "6h"), "a/x", "2026-10-25T01:30:00Z"),
        "night 10-25T02:00Z"
    );
    let once = policy("[[freezes]]\nname = \"day\"\nstart = 2026-10-24T12:00:00\nduration = \"1d\"\ntimezone = \"Europe/Berlin\"\n");
    assert_eq!(frozen(&once, "a/x", "2026-10-25T10:59:59Z"), "day 10-25T11:00Z");
}

#[test]
fn a_midnight_and_a_day_that_do_not_exist() {
    // Beirut turns its clocks forward at midnight; Samoa left out 2011-12-30.
    let beirut = policy("[[freezes]]\nname = \"n\"\nstart = 2026-03-29T00:00:00\nduration = \"2h\"\ntimezone = \"Asia/Beirut\"\n");
    assert_eq!(frozen(&beirut, "a/x", "2026-03-28T22:00:00Z"), "n 03-29T00:00Z");
    let samoa = policy("[[freezes]]\nname = \"n\"\nstart = 2011-12-30T12:00:00\nduration = \"1h\"\ntimezone = \"Pacific/Apia\"\n");
    assert_eq!(frozen(&samoa, "a/x", "2011-12-30T22:30:00Z"), "n 12-30T23:00Z");
}

const OFFICE: &str = r#"
[[freezes]]
name = "office hours"
kind = "allow"
paths = ["prod/**"]
start = 2026-01-01T09:00:00
duration = "8h"
timezone = "Europe/Berlin"
rrule = "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR"
"#;

#[test]
fn outside_of_all_allowed_times_is_frozen_and_deny_beats_allow() {
    let policy = policy(&format!(
        "{OFFICE}[[freezes]]\nname = \"release\"\npaths = [\"prod/db/**\"]\nstart = 2026-06-01T00:00:00\nduration = \"7d\"\n"
    ));
    for (path, now, expected) in [
        ("prod/web", "2026-05-29T10:00:00Z", "-"),
        // Friday evening: until Monday morning.
        ("prod/web", "2026-05-29T15:00:00Z", "office hours 06-01T07:00Z"),
        ("test/web", "2026-05-29T15:00:00Z", "-"),
        ("prod/db/x", "2026-06-02T10:00:00Z", "release 06-08T00:00Z"),
        ("prod/web", "2026-06-02T10:00:00Z", "-"),
    ] {
        assert_eq!(frozen(&policy, path, now), expected, "{path} {now}");
    }
    let two = policy.freezes(&homelab(), &paths(&["prod/db/x"]), at("2026-06-02T20:00:00Z"));
    assert_eq!(two.len(), 2, "to pass, both must be overridden: {two:?}");
    let other = "other".parse().expect("a name");
    let only = policy_of("other");
    assert!(only.frozen(&other, &paths(&["a/x"]), at("2026-01-03T12:00:00Z")).is_some());
    assert!(only.frozen(&homelab(), &paths(&["a/x"]), at("2026-01-03T12:00:00Z")).is_none());
}

fn policy_of(repository: &str) -> Policy {
    policy(&format!("{WEEKEND}repository = \"{repository}\"\n"))
}

#[test]
fn a_repository_s_allowed_times_do_not_widen_those_of_the_service() {
    let own = policy(OFFICE);
    let wider = own
        .with_repository_rules(
            "version = 1\n[[freezes]]\nname = \"always\"\nkind = \"allow\"\nstart = 2026-01-01T00:00:00\nduration = \"24h\"\nrrule = \"FREQ=DAILY\"\n",
        )
        .expect("a repository's policy");
    assert_eq!(frozen(&wider, "prod/web", "2026-05-29T15:00:00Z"), "office hours 06-01T07:00Z");
    assert_eq!(frozen(&wider, "prod/web", "2026-05-29T10:00:00Z"), "-");
}

#[test]
fn the_end_of_a_series() {
    let policy = policy(
        "[[freezes]]\nname = \"n\"\nstart = 2026-01-01T10:00:00\nduration = \"1h\"\nrrule = \"FREQ=DAILY;UNTIL=20260103T100000Z\"\n\
         [[freezes]]\nname = \"m\"\nstart = 2026-02-01T10:00:00\nduration = \"1h\"\nrrule = \"FREQ=DAILY;COUNT=2\"\n",
    );
    for (now, expected) in [
        ("2026-01-03T10:30:00Z", "n 01-03T11:00Z"),
        ("2026-01-04T10:30:00Z", "-"),
        ("2026-02-02T10:30:00Z", "m 02-02T11:00Z"),
        ("2026-02-03T10:30:00Z", "-"),
    ] {
        assert_eq!(frozen(&policy, "a/x", now), expected, "{now}");
    }
    let warnings: Vec<_> = policy
        .warnings(at("2026-03-01T00:00:00Z"))
        .into_iter()
        .map(|warning| warning.message)
        .collect();
    assert_eq!(
        warnings,
        [
            "freeze \"n\" is over and does not come again",
            "freeze \"m\" is over and does not come again"
        ]
    );
}
