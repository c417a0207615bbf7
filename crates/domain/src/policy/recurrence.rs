//! Recurrence rules of RFC 5545 by the day: on which dates something happens again.
//!
//! What freeze windows need: `FREQ` DAILY, WEEKLY, MONTHLY or YEARLY with `INTERVAL`, `COUNT`, `UNTIL`, `BYMONTH`, `BYMONTHDAY`, `BYDAY`,
//! `BYSETPOS` and `WKST`. A question about some days costs what those days cost, however long ago the series began.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, Utc, Weekday};

/// Most occurrences that COUNT may name.
const COUNT_MAX: u32 = 10_000;
/// Seven days, each alone or as one of the 53 from either end of a year.
const DAYS_NAMED_MAX: usize = 7 * (1 + 2 * 53);
/// How far after its start a first occurrence and the end of COUNT are looked for: no rule costs more than the days of these years.
pub(super) const HORIZON_YEARS: u32 = 50;

/// A parsed recurrence rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recurrence {
    every: Every,
    interval: u32,
    count: Option<u32>,
    /// The date of the last occurrence that COUNT allows.
    last: Option<NaiveDate>,
    until: Option<Until>,
    months: Vec<u32>,
    month_days: Vec<i32>,
    days: Vec<(Option<i32>, Weekday)>,
    positions: Vec<i32>,
    week_start: Weekday,
}

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Every {
    Day,
    Week,
    Month,
    Year,
}

/// The end of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The last date.
    Date(NaiveDate),
    /// The last moment in the series' own time zone.
    Local(NaiveDateTime),
    /// The last moment.
    Utc(DateTime<Utc>),
}

impl Recurrence {
    /// Reads a rule such as `FREQ=WEEKLY;BYDAY=FR`.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rule = Self {
            every: Every::Day,
            interval: 1,
            count: None,
            last: None,
            until: None,
            months: Vec::new(),
            month_days: Vec::new(),
            days: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Mon,
        };
        let mut seen: Vec<String> = Vec::new();
        for part in text.trim().trim_start_matches("RRULE:").split(';') {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=VALUE"))?;
            let key = key.trim().to_ascii_uppercase();
            if seen.contains(&key) {
                return Err(format!("{key} stands there twice"));
            }
            rule.set(&key, &value.trim().to_ascii_uppercase())?;
            seen.push(key);
        }
        if !seen.iter().any(|key| key == "FREQ") {
            return Err("it has no FREQ".to_owned());
        }
        rule.check()?;
        Ok(rule)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("{key}={value}: {what}");
        match key {
            "FREQ" => {
                self.every = match value {
                    "DAILY" => Every::Day,
                    "WEEKLY" => Every::Week,
                    "MONTHLY" => Every::Month,
                    "YEARLY" => Every::Year,
                    _ => return Err(wrong("only DAILY, WEEKLY, MONTHLY and YEARLY are known")),
                };
            }
            "INTERVAL" => self.interval = within(value, 1, 1000).ok_or_else(|| wrong("a number from 1 to 1000 is meant"))?,
            "COUNT" => self.count = Some(within(value, 1, COUNT_MAX).ok_or_else(|| wrong("a number from 1 to 10000 is meant"))?),
            "UNTIL" => self.until = Some(until(value).ok_or_else(|| wrong("write 20261231 or 20261231T180000Z"))?),
            "BYMONTH" => {
                self.months =
                    list(value, 12, |one| within(one, 1, 12)).map_err(|many| wrong(many.as_deref().unwrap_or("months are 1 to 12")))?
            }
            "BYMONTHDAY" => {
                let usual = "days are 1 to 31, or -1 to -31 from the end";
                self.month_days = list(value, 62, |one| signed(one, 31)).map_err(|many| wrong(many.as_deref().unwrap_or(usual)))?;
            }
            "BYDAY" => {
                let usual = "days are MO TU WE TH FR SA SU, with 1 or -1 before for the first or last";
                self.days = list(value, DAYS_NAMED_MAX, day).map_err(|many| wrong(many.as_deref().unwrap_or(usual)))?;
            }
            "BYSETPOS" => {
                let usual = "positions are 1 to 366, or negative from the end";
                self.positions = list(value, 732, |one| signed(one, 366)).map_err(|many| wrong(many.as_deref().unwrap_or(usual)))?;
            }
            "WKST" => {
                self.week_start = match day(value) {
                    Some((None, day)) => day,
                    _ => return Err(wrong("one of MO TU WE TH FR SA SU is meant")),
                };
            }
            _ => return Err(format!("{key} is not known here")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let ordinals = self.days.iter().any(|(ordinal, _)| ordinal.is_some());
        match self.every {
            Every::Day | Every::Week if ordinals => Err("BYDAY with a number needs FREQ=MONTHLY or YEARLY".to_owned()),
            Every::Week if !self.month_days.is_empty() => Err("BYMONTHDAY makes no sense with FREQ=WEEKLY".to_owned()),
            _ if self.count.is_some() && self.until.is_some() => Err("COUNT and UNTIL exclude each other".to_owned()),
            _ if !self.positions.is_empty() && self.months.is_empty() && self.month_days.is_empty() && self.days.is_empty() => {
                Err("BYSETPOS needs another BY part to choose from".to_owned())
            }
            Every::Day | Every::Week | Every::Month | Every::Year => Ok(()),
        }
    }

    /// Where the series ends, when it says so.
    pub(super) const fn until(&self) -> Option<Until> {
        self.until
    }

    /// The dates of a series that began on `start`, within `from` and `to`. `UNTIL` is the caller's to compare, for it needs the time.
    pub(super) fn dates(&self, start: NaiveDate, from: NaiveDate, to: NaiveDate) -> Vec<NaiveDate> {
        self.unbounded(start, from.max(start), self.last.map_or(to, |last| to.min(last)))
    }

    /// The first date on or after `start`; `None` when there is none within the horizon.
    pub(super) fn first(&self, start: NaiveDate) -> Option<NaiveDate> {
        self.occurrences(start).next()
    }

    /// The same rule for a series that begins on `start`: where COUNT ends it is found once.
    ///
    /// # Errors
    /// COUNT ends the series after the horizon.
    pub(super) fn starting(mut self, start: NaiveDate) -> Result<Self, String> {
        let Some(count) = self.count else { return Ok(self) };
        let (mut left, mut last) = (count, None);
        for date in self.occurrences(start).take(count as usize) {
            left -= 1;
            last = Some(date);
        }
        // A rule without any occurrence is refused as that.
        if left > 0 && last.is_some() {
            return Err(format!(
                "COUNT={count} is not reached within {HORIZON_YEARS} years: lower it, or write UNTIL"
            ));
        }
        self.last = last;
        Ok(self)
    }

    /// The dates from `start` to the horizon, in order.
    fn occurrences(&self, start: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        let end = start.checked_add_months(Months::new(12 * HORIZON_YEARS)).unwrap_or(NaiveDate::MAX);
        let numbers = (self.number(start)..=self.number(end)).step_by(self.interval as usize);
        let dates = numbers.flat_map(move |number| self.period(start, number));
        dates.filter(move |date| start <= *date && *date <= end)
    }

    fn unbounded(&self, start: NaiveDate, from: NaiveDate, to: NaiveDate) -> Vec<NaiveDate> {
        let (begin, interval) = (self.number(start), i64::from(self.interval));
        let passed = (self.number(from) - begin).max(0) / interval;
        let mut number = begin + passed * interval;
        let mut dates = Vec::new();
        while from <= to && number <= self.number(to) {
            let set = self.period(start, number);
            dates.extend(set.into_iter().filter(|date| from <= *date && *date <= to));
            number += interval;
        }
        dates
    }

    /// Which day, week, month or year a date is in, counted from a fixed one.
    fn number(&self, date: NaiveDate) -> i64 {
        let day = i64::from(date.num_days_from_ce());
        match self.every {
            Every::Day => day,
            // 0001-01-01 was a Monday, and is day 1.
            Every::Week => (day - 1 - i64::from(self.week_start.num_days_from_monday())).div_euclid(7),
            Every::Month => i64::from(date.year()) * 12 + i64::from(date.month0()),
            Every::Year => i64::from(date.year()),
        }
    }

    /// All dates of one period, in order.
    fn period(&self, start: NaiveDate, number: i64) -> Vec<NaiveDate> {
        let Some((first, after)) = self.bounds(number) else {
            return Vec::new();
        };
        let all = first.iter_days().take_while(|date| *date < after);
        let set: Vec<NaiveDate> = all.filter(|date| self.holds(*date, start)).collect();
        if self.positions.is_empty() {
            return set;
        }
        let place = |position: &i32| match usize::try_from(position.unsigned_abs()) {
            Ok(from_end) if *position < 0 => set.len().checked_sub(from_end),
            Ok(from_start) => from_start.checked_sub(1),
            Err(_) => None,
        };
        let mut chosen: Vec<NaiveDate> = self
            .positions
            .iter()
            .filter_map(place)
            .filter_map(|place| set.get(place).copied())
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// The first day of a period, and the first day after it; `None` outside of the calendar.
    fn bounds(&self, number: i64) -> Option<(NaiveDate, NaiveDate)> {
        let from_ce = |day: i64| NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?);
        let first = match self.every {
            Every::Day => from_ce(number)?,
            Every::Week => from_ce(number * 7 + 1 + i64::from(self.week_start.num_days_from_monday()))?,
            Every::Month => {
                let month = u32::try_from(number.rem_euclid(12)).ok()?;
                NaiveDate::from_ymd_opt(i32::try_from(number.div_euclid(12)).ok()?, month + 1, 1)?
            }
            Every::Year => NaiveDate::from_ymd_opt(i32::try_from(number).ok()?, 1, 1)?,
        };
        let after = match self.every {
            Every::Day => first.checked_add_days(Days::new(1))?,
            Every::Week => first.checked_add_days(Days::new(7))?,
            Every::Month => first.checked_add_months(Months::new(1))?,
            Every::Year => first.checked_add_months(Months::new(12))?,
        };
        Some((first, after))
    }

    /// Whether the rule names a date; what it leaves open comes from the start.
    fn holds(&self, date: NaiveDate, start: NaiveDate) -> bool {
        // The cheap questions first: most days are none of the rule's.
        if !self.months.is_empty() && !self.months.contains(&date.month()) {
            return false;
        }
        if !self.month_days.is_empty() && !self.month_days.iter().any(|day| is_month_day(date, *day)) {
            return false;
        }
        if !self.days.is_empty() {
            return self.days.iter().any(|(ordinal, day)| self.is_day(date, *ordinal, *day));
        }
        !self.month_days.is_empty()
            || match self.every {
                Every::Day => true,
                Every::Week => date.weekday() == start.weekday(),
                Every::Month => date.day() == start.day(),
                Every::Year => date.day() == start.day() && (!self.months.is_empty() || date.month() == start.month()),
            }
    }

    fn is_day(&self, date: NaiveDate, ordinal: Option<i32>, day: Weekday) -> bool {
        let Some(ordinal) = ordinal else { return date.weekday() == day };
        // Of the year only when the rule names no month.
        let of_year = self.every == Every::Year && self.months.is_empty();
        let (passed, all) = if of_year {
            (date.ordinal0(), if date.leap_year() { 366 } else { 365 })
        } else {
            (date.day0(), days_in_month(date))
        };
        let nth = if ordinal > 0 { passed / 7 + 1 } else { (all - 1 - passed) / 7 + 1 };
        date.weekday() == day && nth == ordinal.unsigned_abs()
    }
}

fn is_month_day(date: NaiveDate, day: i32) -> bool {
    if day > 0 {
        date.day() == day.unsigned_abs()
    } else {
        days_in_month(date) + 1 == date.day() + day.unsigned_abs()
    }
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

fn within(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

fn signed(text: &str, most: i32) -> Option<i32> {
    text.parse()
        .ok()
        .filter(|number: &i32| *number != 0 && (-most..=most).contains(number))
}

/// A list without what stands there twice; the error says when it has more than `most` entries, and nothing when one of them cannot be read.
fn list<T: PartialEq>(text: &str, most: usize, one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Option<String>> {
    if text.split(',').nth(most).is_some() {
        return Err(Some(format!("there are only {most} different ones")));
    }
    let mut read = Vec::new();
    for part in text.split(',') {
        let entry = one(part.trim()).ok_or(None)?;
        if !read.contains(&entry) {
            read.push(entry);
        }
    }
    Ok(read)
}

/// `FR`, `1MO`, `-1SU`.
fn day(text: &str) -> Option<(Option<i32>, Weekday)> {
    let (number, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let day = match name {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    };
    match number {
        "" => Some((None, day)),
        number => Some((Some(signed(number, 53)?), day)),
    }
}

/// `20261231`, `20261231T180000` or `20261231T180000Z`.
fn until(text: &str) -> Option<Until> {
    if let Some(utc) = text.strip_suffix('Z') {
        let moment = NaiveDateTime::parse_from_str(utc, "%Y%m%dT%H%M%S").ok()?;
        return Some(Until::Utc(moment.and_utc()));
    }
    if text.contains('T') {
        return NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok().map(Until::Local);
    }
    NaiveDate::parse_from_str(text, "%Y%m%d").ok().map(Until::Date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn all(rule: &str, start: &str, to: &str) -> String {
        let read = Recurrence::parse(rule).and_then(|read| read.starting(date(start)));
        let rule = read.unwrap_or_else(|why| panic!("{rule}: {why}"));
        let dates = rule.dates(date(start), date(start), date(to));
        dates.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (rule, start, to, expected) in [
            ("FREQ=DAILY;COUNT=3", "1997-09-02", "1998-01-01", "1997-09-02 1997-09-03 1997-09-04"),
            (
                "FREQ=DAILY;INTERVAL=10;COUNT=3",
                "1997-09-02",
                "1998-01-01",
                "1997-09-02 1997-09-12 1997-09-22",
            ),
            (
                "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
                "1997-09-02",
                "1997-10-01",
                "1997-09-02 1997-09-16 1997-09-30",
            ),
            (
                "FREQ=WEEKLY;COUNT=4;WKST=SU;BYDAY=TU,TH",
                "1997-09-02",
                "1998-01-01",
                "1997-09-02 1997-09-04 1997-09-09 1997-09-11",
            ),
            (
                "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
                "1997-08-05",
                "1998-01-01",
                "1997-08-05 1997-08-10 1997-08-19 1997-08-24",
            ),
            (
                "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
                "1997-08-05",
                "1998-01-01",
                "1997-08-05 1997-08-17 1997-08-19 1997-08-31",
            ),
            (
                "FREQ=MONTHLY;COUNT=3;BYDAY=1FR",
                "1997-09-05",
                "1998-01-01",
                "1997-09-05 1997-10-03 1997-11-07",
            ),
            (
                "FREQ=MONTHLY;INTERVAL=2;COUNT=4;BYDAY=1SU,-1SU",
                "1997-09-07",
                "1998-06-01",
                "1997-09-07 1997-09-28 1997-11-02 1997-11-30",
            ),
            (
                "FREQ=MONTHLY;COUNT=3;BYDAY=-2MO",
                "1997-09-22",
                "1998-01-01",
                "1997-09-22 1997-10-20 1997-11-17",
            ),
            (
                "FREQ=MONTHLY;BYMONTHDAY=-3;COUNT=3",
                "1997-09-28",
                "1998-01-01",
                "1997-09-28 1997-10-29 1997-11-28",
            ),
            (
                "FREQ=MONTHLY;COUNT=4;BYMONTHDAY=1,-1",
                "1997-09-30",
                "1998-01-01",
                "1997-09-30 1997-10-01 1997-10-31 1997-11-01",
            ),
            (
                "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
                "1998-02-13",
                "1998-12-01",
                "1998-02-13 1998-03-13 1998-11-13",
            ),
            (
                "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
                "1997-09-04",
                "1998-01-01",
                "1997-09-04 1997-10-07 1997-11-06",
            ),
            (
                "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2;COUNT=3",
                "1997-09-29",
                "1998-01-01",
                "1997-09-29 1997-10-30 1997-11-27",
            ),
            (
                "FREQ=MONTHLY;COUNT=3",
                "2026-01-31",
                "2027-01-01",
                "2026-01-31 2026-03-31 2026-05-31",
            ),
            (
                "FREQ=YEARLY;COUNT=4;BYMONTH=6,7",
                "1997-06-10",
                "2000-01-01",
                "1997-06-10 1997-07-10 1998-06-10 1998-07-10",
            ),
            (
                "FREQ=YEARLY;BYDAY=20MO;COUNT=3",
                "1997-05-19",
                "2000-01-01",
                "1997-05-19 1998-05-18 1999-05-17",
            ),
            (
                "FREQ=YEARLY;BYMONTH=3;BYDAY=TH;COUNT=3",
                "1997-03-13",
                "2000-01-01",
                "1997-03-13 1997-03-20 1997-03-27",
            ),
            (
                "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
                "1996-11-05",
                "2005-01-01",
                "1996-11-05 2000-11-07 2004-11-02",
            ),
            ("FREQ=YEARLY", "2024-02-29", "2033-01-01", "2024-02-29 2028-02-29 2032-02-29"),
        ] {
            assert_eq!(all(rule, start, to), expected, "{rule}");
        }
    }

    #[test]
    fn a_long_past_start_costs_nothing_and_changes_nothing() {
        let rule = Recurrence::parse("FREQ=WEEKLY;INTERVAL=3;BYDAY=SA").expect("a rule");
        let (start, from, to) = (date("1970-01-03"), date("2026-01-01"), date("2026-02-28"));
        let near = rule.dates(start, from, to);
        let all: Vec<_> = rule.dates(start, start, to).into_iter().filter(|date| *date >= from).collect();
        assert_eq!(near, all);
        assert!(!near.is_empty());
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (rule, expected) in [
            ("", "\"\" is not NAME=VALUE"),
            ("INTERVAL=2", "it has no FREQ"),
            ("FREQ=HOURLY", "FREQ=HOURLY: only DAILY"),
            ("FREQ=DAILY;FREQ=DAILY", "FREQ stands there twice"),
            ("FREQ=DAILY;BYHOUR=9", "BYHOUR is not known here"),
            ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0: a number"),
            ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "COUNT and UNTIL exclude"),
            ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL=TOMORROW: write"),
            ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY with a number"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY makes no sense"),
            ("FREQ=MONTHLY;BYDAY=Mü", "BYDAY="),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0: days are"),
            ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs"),
        ] {
            let why = Recurrence::parse(rule).expect_err(rule);
            assert!(why.starts_with(expected), "{rule}: {why}");
        }
    }

    #[test]
    fn lists_hold_each_entry_once_and_have_an_end() {
        let twice = Recurrence::parse("FREQ=WEEKLY;BYDAY=FR,FR,SA").expect("a rule");
        assert_eq!(twice, Recurrence::parse("FREQ=WEEKLY;BYDAY=FR,SA").expect("a rule"));
        for (key, entry, most) in [
            ("BYMONTH", "1", 12),
            ("BYMONTHDAY", "1", 62),
            ("BYDAY", "MO", 749),
            ("BYSETPOS", "1", 732),
        ] {
            let list = |length| format!("FREQ=YEARLY;{key}={}", vec![entry; length].join(","));
            let why = Recurrence::parse(&list(most + 1)).expect_err(key);
            assert!(why.ends_with(&format!("there are only {most} different ones")), "{why}");
            let within = Recurrence::parse(&list(most));
            assert!(
                within.as_ref().err().is_none_or(|why| why.starts_with("BYSETPOS needs")),
                "{within:?}"
            );
        }
    }

    #[test]
    fn nothing_is_looked_for_beyond_the_horizon() {
        let start = date("2026-01-01");
        let never = Recurrence::parse("FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=30;COUNT=5").expect("a rule");
        assert_eq!(never.clone().starting(start).expect("no error of COUNT").first(start), None);
        let late = Recurrence::parse("FREQ=YEARLY;COUNT=52").expect("a rule");
        let why = late.starting(start).expect_err("too late");
        assert_eq!(why, "COUNT=52 is not reached within 50 years: lower it, or write UNTIL");
        let just = Recurrence::parse("FREQ=YEARLY;COUNT=51")
            .and_then(|rule| rule.starting(start))
            .expect("a rule");
        assert_eq!(
            just.dates(start, date("2075-01-01"), date("2090-01-01")),
            [date("2075-01-01"), date("2076-01-01")]
        );
    }

    #[test]
    fn a_day_that_never_comes() {
        let never = Recurrence::parse("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30").expect("a rule");
        assert_eq!(never.first(date("2026-01-01")), None);
        let leap = Recurrence::parse("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29").expect("a rule");
        assert_eq!(leap.first(date("2026-01-01")), Some(date("2028-02-29")));
    }
}
