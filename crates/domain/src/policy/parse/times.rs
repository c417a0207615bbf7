//! Reading what depends on the calendar: delegations and freeze windows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::Checker;
use crate::policy::delegations::Delegation;
use crate::policy::freezes::{Kind, Span, Window};
use crate::policy::recurrence::{HORIZON_YEARS, Recurrence};
use crate::{GroupName, Timestamp, UserId};

/// Longest freeze in days.
const FREEZE_DAYS_MAX: u32 = 366;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDelegation {
    from: Spanned<String>,
    to: Spanned<String>,
    groups: Option<Spanned<Vec<Spanned<String>>>>,
    until: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFreeze {
    name: Spanned<String>,
    kind: Option<Spanned<String>>,
    repository: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) paths: Vec<Spanned<String>>,
    start: Spanned<Value>,
    duration: Spanned<String>,
    timezone: Option<Spanned<String>>,
    rrule: Option<Spanned<String>>,
    #[serde(rename = "override")]
    override_group: Option<Spanned<String>>,
}

/// Reads the delegations. Groups are read already.
pub(super) fn delegations(
    checker: &mut Checker<'_>,
    written: Vec<Spanned<FileDelegation>>,
    people: &BTreeMap<String, UserId>,
) -> Vec<Delegation> {
    let mut read: Vec<Delegation> = Vec::new();
    for entry in written {
        let span = entry.span();
        let Some(delegation) = delegation(checker, &span, &entry.into_inner(), people) else {
            continue;
        };
        let meets = |one: &Delegation, other: &Delegation| match (&one.groups, &other.groups) {
            (Some(one), Some(other)) => !one.is_disjoint(other),
            (Some(_) | None, Some(_) | None) => true,
        };
        if read.iter().any(|other| other.from == delegation.from && meets(other, &delegation)) {
            checker.add(
                &span,
                "a second delegation of the same person in the same group",
                "one person's place goes to one other: name different groups, or remove one",
            );
        }
        if read
            .iter()
            .any(|other| other.from == delegation.to && other.to == delegation.from && meets(other, &delegation))
        {
            checker.add(
                &span,
                "these two people stand in for each other",
                "a delegation back and forth gives nobody a place: remove one",
            );
        }
        let mut circle = vec![delegation.from, delegation.to];
        while let Some(next) = read
            .iter()
            .find(|other| circle.last() == Some(&other.from) && meets(other, &delegation))
            && circle.len() <= read.len() + 1
        {
            circle.push(next.to);
            if next.to == delegation.from {
                break;
            }
        }
        if circle.len() > 3 && circle.last() == Some(&delegation.from) {
            let name = |id: &UserId| people.iter().find(|(_, known)| *known == id).map_or("", |(name, _)| name.as_str());
            let names: Vec<&str> = circle.iter().map(name).collect();
            checker.add(
                &span,
                format!("these delegations go round in a circle: {}", names.join(" to ")),
                "whoever is away cannot stand in for somebody else: remove one",
            );
        }
        read.push(delegation);
    }
    read
}

fn delegation(
    checker: &mut Checker<'_>,
    span: &Range<usize>,
    written: &FileDelegation,
    people: &BTreeMap<String, UserId>,
) -> Option<Delegation> {
    let mut person = |name: &Spanned<String>| {
        let known = people.get(name.get_ref()).copied();
        if known.is_none() {
            let message = format!("a delegation names {:?}, who is not among the people", name.get_ref());
            checker.add(&name.span(), message, "add the person, or correct the name");
        }
        known
    };
    let (from, to) = (person(&written.from), person(&written.to));
    let until = until(checker, &written.until);
    let (from, to) = (from?, to?);
    if from == to {
        checker.add(
            &written.to.span(),
            format!("{} delegates to themselves", written.from.get_ref()),
            "name somebody else",
        );
    }
    let of_from = |checker: &Checker<'_>, group: &GroupName| checker.groups.get(group).is_some_and(|members| members.contains(&from));
    let groups = match &written.groups {
        None => {
            if !checker.groups.keys().any(|group| of_from(checker, group)) {
                checker.add(
                    span,
                    format!("{} is in no group: there is nothing to delegate", written.from.get_ref()),
                    "remove the delegation",
                );
            }
            None
        }
        Some(names) => {
            let mut groups = BTreeSet::new();
            for name in names.get_ref() {
                let Some(group) = checker.group(name.get_ref(), &name.span(), "a delegation") else {
                    continue;
                };
                if !of_from(checker, &group) {
                    checker.add(
                        &name.span(),
                        format!("{} is not in group {group}: there is nothing to delegate", written.from.get_ref()),
                        "take the group out",
                    );
                }
                groups.insert(group);
            }
            if names.get_ref().is_empty() {
                checker.add(
                    &names.span(),
                    "a delegation of no group",
                    "name groups, or leave the key out for all of them",
                );
            }
            Some(groups)
        }
    };
    Some(Delegation {
        from,
        to,
        groups,
        until: until?,
        line: checker.line(span),
    })
}

/// A date means its end in UTC; a time needs its offset.
pub(super) fn until(checker: &mut Checker<'_>, value: &Spanned<Value>) -> Option<Timestamp> {
    let text = words(value.get_ref());
    let whole_day = |date: NaiveDate| Some(date.checked_add_days(Days::new(1))?.and_time(chrono::NaiveTime::MIN).and_utc());
    let read = match text.parse::<DateTime<Utc>>() {
        Ok(moment) => Some(moment),
        Err(_) => text.parse::<NaiveDate>().ok().and_then(whole_day),
    };
    if read.is_none() {
        checker.add(
            &value.span(),
            format!("until {text} is neither a date nor a time with its offset"),
            "write 2026-12-24 (to the end of that day, UTC) or 2026-12-24T18:00:00+01:00",
        );
    }
    read
}

/// Reads the freeze windows; `taken` are names that may not be used again.
pub(super) fn windows(checker: &mut Checker<'_>, written: Vec<Spanned<FileFreeze>>, taken: &BTreeSet<String>) -> Vec<Window> {
    let mut names = taken.clone();
    let mut windows = Vec::new();
    for entry in written {
        let span = entry.span();
        let freeze = entry.into_inner();
        checker.unique(&mut names, freeze.name.get_ref(), &span, "freeze");
        windows.extend(window(checker, &span, freeze));
    }
    windows
}

fn window(checker: &mut Checker<'_>, span: &Range<usize>, written: FileFreeze) -> Option<Window> {
    let name = written.name.get_ref().clone();
    let who = format!("freeze {name:?}");
    let kind = match written.kind.as_ref().map(|kind| (kind.get_ref().as_str(), kind.span())) {
        None | Some(("deny", _)) => Kind::Deny,
        Some(("allow", _)) => Kind::Allow,
        Some((other, span)) => {
            checker.add(&span, format!("{who} is of kind {other:?}"), "write deny (the usual) or allow");
            Kind::Deny
        }
    };
    let start = start(checker, &who, &written.start);
    let duration = span_of(written.duration.get_ref());
    if duration.is_none() {
        checker.add(
            &written.duration.span(),
            format!("{who} lasts {:?}", written.duration.get_ref()),
            "write for example \"90m\", \"62h\" or \"3d\"; at least 1m, at most 366d",
        );
    }
    let zone = match &written.timezone {
        None => Some(chrono_tz::UTC),
        Some(text) => {
            let zone = text.get_ref().parse::<chrono_tz::Tz>().ok();
            if zone.is_none() {
                let message = format!("{who}: {:?} is not a time zone", text.get_ref());
                checker.add(&text.span(), message, "write a name of the IANA list, such as \"Europe/Berlin\"");
            }
            zone
        }
    };
    let recurrence = match &written.rrule {
        None => None,
        Some(text) => match Recurrence::parse(text.get_ref()).and_then(|rule| match start {
            Some(start) => rule.starting(start.date()),
            None => Ok(rule),
        }) {
            Ok(rule) => Some(rule),
            Err(why) => {
                let remedy = "write for example \"FREQ=WEEKLY;BYDAY=FR\"; docs list the parts that are known";
                checker.add(&text.span(), format!("{who}: rrule: {why}"), remedy);
                return None;
            }
        },
    };
    let group = written.override_group.as_ref();
    let override_group = group.and_then(|group| checker.group(group.get_ref(), &group.span(), &who));
    let window = Window {
        name,
        kind,
        repository: checker.repository(written.repository.as_ref()),
        paths: written.paths.iter().filter_map(|glob| checker.glob(glob)).collect(),
        start: start?,
        duration: duration?,
        zone: zone?,
        recurrence,
        override_group,
        of_repository: checker.of_repository,
        line: checker.line(span),
    };
    occurs(checker, &who, &window, &written.start.span());
    Some(window)
}

/// A window comes at least once, and its start is the first time: RFC 5545 leaves open what else it would mean.
fn occurs(checker: &mut Checker<'_>, who: &str, window: &Window, span: &Range<usize>) {
    match window.first() {
        None => checker.add(
            span,
            format!("{who} never occurs within {HORIZON_YEARS} years of its start"),
            "correct rrule, or its UNTIL, or start",
        ),
        Some(first) if first != window.start => checker.add(
            span,
            format!("{who} does not occur at its start"),
            format!("its rrule first occurs later: write start = {}", first.format("%Y-%m-%dT%H:%M:%S")),
        ),
        Some(_) => {}
    }
}

/// A local time: which moment it is, the time zone says.
fn start(checker: &mut Checker<'_>, who: &str, value: &Spanned<Value>) -> Option<NaiveDateTime> {
    let text = words(value.get_ref());
    let with_seconds = text.parse::<NaiveDateTime>();
    let read = with_seconds.or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M"));
    let read = read.or_else(|_| text.parse::<NaiveDate>().map(|date| date.and_time(chrono::NaiveTime::MIN)));
    if read.is_err() {
        checker.add(
            &value.span(),
            format!("{who} starts at {text}, which is no local time"),
            "write 2026-12-24T18:00:00 without an offset, and its timezone",
        );
    }
    read.ok()
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Days are days of the calendar, everything else is exact.
fn span_of(text: &str) -> Option<Span> {
    let seconds = super::seconds(text).filter(|seconds| (60..=FREEZE_DAYS_MAX * 86_400).contains(seconds))?;
    Some(match text.ends_with('d') {
        true => Span {
            days: seconds / 86_400,
            seconds: 0,
        },
        false => Span { days: 0, seconds },
    })
}
