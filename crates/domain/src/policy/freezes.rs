//! Freeze windows: when nothing may be sent. Deny beats allow; where a path has allow windows, the time outside of them is frozen.
//!
//! A window begins at a time of day in its time zone. Where clocks are turned forward and that time does not exist, the offset before the
//! jump counts; where it comes twice, the first one (RFC 5545, section 3.3.5). Days of a duration are days of the calendar, hours are hours.

use chrono::{Days, Duration, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::PathGlob;
use super::recurrence::{Recurrence, Until};
use crate::{GroupName, RepoPath, RepositoryName, Timestamp};

/// How far ahead the next begin of a window is looked for, in days: what comes later than that does not come again.
const AHEAD_DAYS: u64 = 3660;

/// Occurrences in a row of which somebody is warned.
const FOLLOWING_MIN: usize = 60;

mod holding;

pub use holding::{Ahead, Freeze};

/// Whether a window forbids or allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is sent within it.
    Deny,
    /// Something is sent only within it.
    Allow,
}

/// A duration in days of the calendar and exact seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) days: u32,
    pub(super) seconds: u32,
}

/// A freeze window as the file says it.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// Unique name, shown on cards.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The repository it is for; all when absent.
    pub(super) repository: Option<RepositoryName>,
    /// What it covers; everything when empty.
    pub(super) paths: Vec<PathGlob>,
    /// Its first begin, in its time zone.
    pub(super) start: NaiveDateTime,
    pub(super) duration: Span,
    pub(super) zone: Tz,
    /// When it comes again; never when absent.
    pub(super) recurrence: Option<Recurrence>,
    pub(super) override_group: Option<GroupName>,
    /// Comes from a repository's own file: its allow windows do not widen those of the service's file.
    pub(super) of_repository: bool,
    /// Line of its file.
    pub(super) line: usize,
}

impl Window {
    fn covers(&self, path: &RepoPath) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(path))
    }

    /// When the occurrence that holds now ends; the latest of several.
    fn active(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.with_timezone(&self.zone).date_naive();
        let back = Days::new(u64::from(self.duration.days) + u64::from(self.duration.seconds) / 86_400 + 2);
        let from = today.checked_sub_days(back)?;
        let to = today.checked_add_days(Days::new(1))?;
        let holds = |begin: NaiveDateTime| {
            let end = self.end(begin);
            (self.instant(begin) <= now && now < end).then_some(end)
        };
        self.begins(from, to).into_iter().filter_map(holds).max()
    }

    /// When it begins next, after now.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.with_timezone(&self.zone).date_naive();
        let last = today.checked_add_days(Days::new(AHEAD_DAYS))?;
        let mut from = today.checked_sub_days(Days::new(1))?.max(self.start.date());
        while from <= last {
            let to = from.checked_add_days(Days::new(366))?;
            let begins = self.begins(from, to).into_iter().map(|begin| self.instant(begin));
            if let Some(next) = begins.filter(|begin| *begin > now).min() {
                return Some(next);
            }
            from = to;
        }
        None
    }

    /// When its occurrences follow each other without a gap for longer than anybody would wait: the day up to which that was looked at.
    pub(super) fn without_a_gap(&self, now: Timestamp) -> Option<NaiveDate> {
        let mut end = self.active(now).or_else(|| self.active(self.next(now)?))?;
        for _ in 0..FOLLOWING_MIN {
            end = self.active(end)?;
        }
        Some(end.with_timezone(&self.zone).date_naive())
    }

    /// Whether it holds now or later.
    pub(super) fn is_to_come(&self, now: Timestamp) -> bool {
        self.active(now).is_some() || self.next(now).is_some()
    }

    /// The first time it holds, if it ever does.
    pub(super) fn first(&self) -> Option<NaiveDateTime> {
        let date = match &self.recurrence {
            None => self.start.date(),
            Some(recurrence) => recurrence.first(self.start.date())?,
        };
        let first = date.and_time(self.start.time());
        self.is_before_end(first).then_some(first)
    }

    /// The begins on some days, in local time.
    fn begins(&self, from: NaiveDate, to: NaiveDate) -> Vec<NaiveDateTime> {
        let dates = match &self.recurrence {
            None => vec![self.start.date()],
            Some(recurrence) => recurrence.dates(self.start.date(), from, to),
        };
        let begins = dates
            .into_iter()
            .filter(|date| from <= *date && *date <= to)
            .map(|date| date.and_time(self.start.time()));
        begins.filter(|begin| self.is_before_end(*begin)).collect()
    }

    fn is_before_end(&self, begin: NaiveDateTime) -> bool {
        match self.recurrence.as_ref().and_then(Recurrence::until) {
            None => true,
            Some(Until::Date(last)) => begin.date() <= last,
            Some(Until::Local(last)) => begin <= last,
            Some(Until::Utc(last)) => self.instant(begin) <= last,
        }
    }

    fn end(&self, begin: NaiveDateTime) -> Timestamp {
        let days = begin.checked_add_days(Days::new(u64::from(self.duration.days)));
        self.instant(days.unwrap_or(begin)) + Duration::seconds(i64::from(self.duration.seconds))
    }

    fn instant(&self, local: NaiveDateTime) -> Timestamp {
        instant(self.zone, local)
    }
}

/// A time of day as a moment: the first of two, and with the offset before the jump where there is none.
fn instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.with_timezone(&Utc),
        LocalResult::None => {
            // Whole days have been left out by some zones.
            let before = (1..=30).find_map(|hours| zone.from_local_datetime(&(local - Duration::hours(hours))).latest());
            let offset = before.map_or(0, |moment| moment.offset().fix().local_minus_utc());
            (local - Duration::seconds(i64::from(offset))).and_utc()
        }
    }
}

#[cfg(test)]
mod tests;
