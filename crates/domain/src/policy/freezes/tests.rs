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
        freeze.why(),
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
        // Its end is at night, and the day's allowed time begins later.
        ("prod/db/x", "2026-06-02T10:00:00Z", "release 06-08T07:00Z"),
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

#[test]
fn windows_without_a_gap_are_one_until_its_end() {
    let daily = |name: &str, start: &str, hours: u32, more: &str| {
        format!("[[freezes]]\nname = \"{name}\"\nstart = {start}\nduration = \"{hours}h\"\nrrule = \"FREQ=DAILY{more}\"\n")
    };
    let why = |policy: &Policy, now: &str| {
        let freezes = policy.freezes(&homelab(), &paths(&["prod/web"]), at(now));
        freezes.iter().map(crate::Freeze::why).collect::<Vec<_>>()
    };
    // Until midnight would be true of the occurrence, and of nothing that people care about.
    let always = policy(&daily("always", "2026-01-01T00:00:00", 24, ""));
    assert_eq!(frozen(&always, "a/x", "2026-05-29T10:00:00Z"), "always ?");
    assert_eq!(
        why(&always, "2026-05-29T10:00:00Z"),
        ["prod/web is frozen by \"always\", with no end within 30 days"]
    );
    let week = policy(&daily("week", "2026-06-01T00:00:00", 24, ";COUNT=7"));
    assert_eq!(frozen(&week, "a/x", "2026-06-02T10:00:00Z"), "week 06-08T00:00Z");
    // Another window that takes over.
    let relay = policy(&format!(
        "{}{}",
        daily("night", "2026-06-01T18:00:00", 12, ";COUNT=1"),
        daily("day", "2026-06-02T06:00:00", 5, ";COUNT=1")
    ));
    assert_eq!(
        why(&relay, "2026-06-01T20:00:00Z"),
        ["prod/web is frozen by \"night\" until 2026-06-02 11:00 UTC"]
    );
    // What is let pass is one window: the shorter of two keeps its own end.
    let both = policy(&format!(
        "{}{}",
        daily("short", "2026-06-01T00:00:00", 6, ";COUNT=1"),
        daily("long", "2026-06-01T00:00:00", 12, ";COUNT=1")
    ));
    assert_eq!(
        why(&both, "2026-06-01T01:00:00Z"),
        [
            "prod/web is frozen by \"short\" until 2026-06-01 06:00 UTC",
            "prod/web is frozen by \"long\" until 2026-06-01 12:00 UTC"
        ]
    );
    // The next allowed time is no gap while a window forbids it: Friday evening, and a Monday off.
    let off = policy(&format!("{OFFICE}{}", daily("day off", "2026-06-01T00:00:00", 24, ";COUNT=1")));
    assert_eq!(
        why(&off, "2026-05-29T18:00:00Z"),
        ["prod/web may change only within \"office hours\" until 2026-06-02 09:00 Europe/Berlin"]
    );
    let seen = off.freezes(&homelab(), &paths(&["prod/web"]), at("2026-05-29T18:00:00Z"));
    let there = seen[0].why_in(chrono_tz::Asia::Tokyo);
    assert!(there.ends_with("until 2026-06-02 16:00 Asia/Tokyo"), "{there}");
}

#[test]
fn an_allow_window_that_is_over_freezes_for_ever_and_says_so() {
    let once = "[[freezes]]\nname = \"migration\"\nkind = \"allow\"\npaths = [\"prod/**\"]\nstart = 2026-06-01T00:00:00\nduration = \"2d\"\noverride = \"sre\"\n";
    let policy = policy(&format!("{once}{}", OFFICE.replace("prod/**", "prod/web")));
    let why = |path: &str, now: &str| policy.frozen(&homelab(), &paths(&[path]), at(now)).map(|freeze| freeze.why());
    assert_eq!(why("prod/db", "2026-06-02T10:00:00Z"), None);
    assert_eq!(
        why("prod/db", "2026-06-03T10:00:00Z").as_deref(),
        Some("prod/db may change only within \"migration\", which is over and does not come again: frozen for ever; sre may let it pass")
    );
    // Where another comes again, that one is named.
    assert_eq!(why("prod/web", "2026-06-03T10:00:00Z"), None);
    assert_eq!(
        why("prod/web", "2026-06-03T20:00:00Z").as_deref(),
        Some("prod/web may change only within \"office hours\" until 2026-06-04 09:00 Europe/Berlin")
    );
    let warnings = policy.warnings(at("2026-06-03T10:00:00Z"));
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "line 6: freeze \"migration\" is over and does not come again: as its kind is allow, what no other allow window covers is frozen for \
             ever (remove it to have changes sent again, or correct its start or rrule)"
        ]
    );
    assert!(policy.warnings(at("2026-06-02T10:00:00Z")).is_empty());
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

#[test]
fn a_window_without_a_gap_is_warned_of() {
    let daily = |duration: &str, more: &str| {
        let text = format!(
            "[[freezes]]\nname = \"n\"\nstart = 2026-01-01T00:00:00\nduration = \"{duration}\"\ntimezone = \"Europe/Berlin\"\nrrule = \"FREQ=DAILY\"\n{more}"
        );
        let warnings = policy(&text).warnings(at("2026-03-01T00:00:00Z"));
        warnings.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    let never = "freeze \"n\" leaves no gap between its times, at least until 2026-05-01: what it covers is not sent";
    assert_eq!(daily("1d", ""), [never]);
    assert_eq!(daily("26h", "override = \"sre\"\n"), [format!("{never} unless sre lets it pass")]);
    assert!(daily("23h", "").is_empty());
    assert!(daily("1d", "kind = \"allow\"\n").is_empty());
}
