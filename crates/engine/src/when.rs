//! When a chat wants to hear of what went well without anybody: at once, once a day, and not at night.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone as _};
use chrono_tz::Tz;
use domain::Timestamp;

use crate::Engine;

/// When notes of standard runs go to a chat. What fails, and whatever asks for somebody, always goes at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// Once a day at this time, as one message; each at once when absent.
    pub digest: Option<NaiveTime>,
    /// Not between these times; the second may be on the next morning.
    pub quiet: Option<(NaiveTime, NaiveTime)>,
}

impl When {
    /// When a note of now may be told, as local times of a time zone; `None`: at once.
    pub fn later(&self, now: Timestamp, zone: Tz) -> Option<Timestamp> {
        let told = match self.digest {
            Some(at) => next(now, at, zone)?,
            None => now,
        };
        let told = match self.quiet {
            Some((from, to)) if within(told.with_timezone(&zone).time(), from, to) => next(told, to, zone)?,
            Some(_) | None => told,
        };
        (told > now).then_some(told)
    }

    /// When a digest is told whose time lies in the quiet hours: at their end. `None` where it is told at its own time.
    pub fn digest_waits(&self) -> Option<NaiveTime> {
        let (digest, (from, to)) = (self.digest?, self.quiet?);
        within(digest, from, to).then_some(to)
    }
}

/// Days from now beyond which a moment is told with its year.
const FAR_DAYS: i64 = 300;

impl Engine {
    /// The time zone of the people who read the chats.
    pub(crate) fn zone(&self) -> Tz {
        self.telegram().map_or(Tz::UTC, |telegram| telegram.zone)
    }

    /// A moment in words for people: "23 Nov 14:02 CET", and with its year where that is not plain.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        // Without its year a day far off reads as one of this winter.
        let far = (at - self.now()).num_days().abs() > FAR_DAYS;
        let format = if far { "%-d %b %Y %H:%M %Z" } else { "%-d %b %H:%M %Z" };
        at.with_timezone(&self.zone()).format(format).to_string()
    }

    /// A time of day for people: "14:02:07 CET".
    pub(crate) fn time_of_day(&self, at: Timestamp) -> String {
        at.with_timezone(&self.zone()).format("%H:%M:%S %Z").to_string()
    }
}

fn within(time: NaiveTime, from: NaiveTime, to: NaiveTime) -> bool {
    if from <= to {
        from <= time && time < to
    } else {
        time >= from || time < to
    }
}

/// The next moment after `now` at which the clock shows this time. Where clocks are turned forward over it, the hour after.
fn next(now: Timestamp, time: NaiveTime, zone: Tz) -> Option<Timestamp> {
    let today = now.with_timezone(&zone).date_naive();
    let at = |date: NaiveDate| -> Option<Timestamp> {
        let local = date.and_time(time);
        let found: Option<DateTime<Tz>> = zone.from_local_datetime(&local).earliest();
        let found = found.or_else(|| zone.from_local_datetime(&(local + chrono::Duration::hours(1))).earliest());
        found.map(|found| found.to_utc())
    };
    let days = (0..3).filter_map(|days| at(today.checked_add_days(Days::new(days))?));
    days.into_iter().find(|found| *found > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn time(text: &str) -> NaiveTime {
        text.parse().expect("a time of day")
    }

    #[test]
    fn at_once_as_a_digest_and_not_at_night() {
        let zone = Tz::Europe__Berlin;
        let digest = When {
            digest: Some(time("18:00:00")),
            quiet: None,
        };
        let night = When {
            digest: None,
            quiet: Some((time("22:00:00"), time("07:00:00"))),
        };
        let both = When {
            digest: Some(time("23:00:00")),
            ..night
        };
        for (when, now, expected) in [
            (When::default(), "2026-01-10T12:00:00Z", None),
            (digest, "2026-01-10T12:00:00Z", Some("2026-01-10T17:00:00Z")),
            (digest, "2026-01-10T17:00:00Z", Some("2026-01-11T17:00:00Z")),
            (night, "2026-01-10T12:00:00Z", None),
            (night, "2026-01-10T21:30:00Z", Some("2026-01-11T06:00:00Z")),
            (night, "2026-01-11T05:59:00Z", Some("2026-01-11T06:00:00Z")),
            (night, "2026-01-11T06:00:00Z", None),
            (both, "2026-01-10T12:00:00Z", Some("2026-01-11T06:00:00Z")),
        ] {
            assert_eq!(when.later(at(now), zone), expected.map(at), "{now}");
        }
        // Told by `check`: the digest's time is not the one that was written.
        assert_eq!(both.digest_waits(), Some(time("07:00:00")));
        assert_eq!((digest.digest_waits(), night.digest_waits()), (None, None));
        let evening = When {
            digest: Some(time("18:00:00")),
            ..night
        };
        assert_eq!(evening.digest_waits(), None);
        // Clocks go forward at 2 on that night: there is no half past two.
        let gap = When {
            digest: Some(time("02:30:00")),
            quiet: None,
        };
        assert_eq!(gap.later(at("2026-03-28T23:00:00Z"), zone), Some(at("2026-03-29T01:30:00Z")));
    }
}
