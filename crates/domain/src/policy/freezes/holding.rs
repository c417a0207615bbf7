//! What holds a change back now, and until when: windows that follow each other without a gap are told as one.

use chrono::TimeZone;
use chrono_tz::Tz;

use super::{Kind, Window};
use crate::policy::Policy;
use crate::{GroupName, RepoPath, RepositoryName, Timestamp, UserId, counted};

/// How far ahead windows that follow each other are joined, in days.
const JOINED_DAYS: i64 = 30;
/// Most windows in a row that are joined: no answer costs more.
const JOINED_MAX: usize = 100;

/// Why nothing may be sent at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// The window's name.
    pub name: String,
    /// When to look again: its end, or the begin of the next allowed time. `None`: no end in sight.
    pub until: Option<Timestamp>,
    /// Whose members may let a change pass.
    pub override_group: Option<GroupName>,
    /// What is frozen by what.
    what: String,
    /// How it goes on.
    end: End,
    /// Its own time zone.
    zone: Tz,
}

/// How a freeze goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Then it may be sent.
    At(Timestamp),
    /// No gap within so many days.
    NotWithin(i64),
    /// It is an allow window that is over.
    Never,
}

impl Freeze {
    /// One sentence for agents: times are those of the window's own time zone.
    pub fn why(&self) -> String {
        self.why_in(self.zone)
    }

    /// The same with times of another zone.
    pub fn why_in(&self, zone: Tz) -> String {
        let when = match self.end {
            End::At(until) => format!(" until {}", local(until, zone, "%Y-%m-%d %H:%M")),
            End::NotWithin(days) => format!(
                ", with no end within {}",
                counted(usize::try_from(days).unwrap_or(0), "day", "days")
            ),
            End::Never => ", which is over and does not come again: frozen for ever".to_owned(),
        };
        let pass = self.override_group.as_ref();
        let pass = pass.map_or_else(String::new, |group| format!("; {group} may let it pass"));
        format!("{}{when}{pass}", self.what)
    }
}

/// When a window that covers some path comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The window's name.
    pub name: String,
    /// Whether something is sent only within it, and not: nothing within it.
    pub allows: bool,
    /// Its next begin.
    pub begin: Timestamp,
    /// When that occurrence ends.
    pub end: Timestamp,
    /// Its own time zone.
    pub zone: Tz,
}

impl Ahead {
    /// From when to when, with the days of the week, in its own time zone.
    pub fn when(&self) -> String {
        let day = "%a %Y-%m-%d %H:%M";
        format!("from {} to {}", local(self.begin, self.zone, day), local(self.end, self.zone, day))
    }
}

/// A time of a zone. Where the clock shows it twice, the offset says which one is meant.
fn local(time: Timestamp, zone: Tz, format: &str) -> String {
    let there = time.with_timezone(&zone);
    let twice = zone.from_local_datetime(&there.naive_local()).single().is_none();
    let offset = if twice { there.format(" %:z").to_string() } else { String::new() };
    format!("{}{offset} {zone}", there.format(format))
}

/// A window that holds some path back.
struct Held<'a> {
    window: &'a Window,
    path: &'a RepoPath,
    /// When this window lets it go; never when absent.
    end: Option<Timestamp>,
}

impl Policy {
    /// The freeze that lasts longest of those that hold a change of these paths back; `None` when it may be sent.
    pub fn frozen(&self, repository: &RepositoryName, paths: &[RepoPath], now: Timestamp) -> Option<Freeze> {
        let all = self.freezes(repository, paths, now);
        // No end in sight lasts longest.
        all.into_iter().max_by_key(|freeze| (freeze.until.is_none(), freeze.until))
    }

    /// Every freeze that holds a change of these paths back now: to let it pass, each must be overridden. The one that lasts longest tells when
    /// there is a gap, whatever other windows follow it until then.
    pub fn freezes(&self, repository: &RepositoryName, paths: &[RepoPath], now: Timestamp) -> Vec<Freeze> {
        if let Some(theirs) = self.repositories.get(repository) {
            return theirs.freezes(repository, paths, now);
        }
        let meant = |window: &&Window| window.repository.as_ref().is_none_or(|only| only == repository);
        let windows: Vec<&Window> = self.windows.iter().filter(meant).collect();
        let held = held(&windows, paths, now);
        let last = held.iter().filter_map(|held| held.end).max();
        let mut freezes: Vec<Freeze> = held.iter().map(Held::told).collect();
        let (Some(last), true) = (last, held.iter().all(|held| held.end.is_some())) else {
            return freezes;
        };
        let end = joined(&windows, paths, last, now);
        for freeze in freezes.iter_mut().filter(|freeze| freeze.end == End::At(last)) {
            freeze.end = end;
            freeze.until = match end {
                End::At(until) => Some(until),
                End::NotWithin(_) | End::Never => None,
            };
        }
        freezes
    }

    /// When each window that covers one of these paths begins next, soonest first. One that does not come again is left out.
    pub fn freezes_ahead(&self, repository: &RepositoryName, paths: &[RepoPath], now: Timestamp) -> Vec<Ahead> {
        if let Some(theirs) = self.repositories.get(repository) {
            return theirs.freezes_ahead(repository, paths, now);
        }
        let covering = self.windows.iter().filter(|window| {
            window.repository.as_ref().is_none_or(|only| only == repository) && paths.iter().any(|path| window.covers(path))
        });
        let mut ahead: Vec<Ahead> = covering
            .filter_map(|window| {
                let begin = window.next(now)?;
                Some(Ahead {
                    name: window.name.clone(),
                    allows: window.kind == Kind::Allow,
                    begin,
                    end: window.active(begin)?,
                    zone: window.zone,
                })
            })
            .collect();
        ahead.sort_by_key(|ahead| ahead.begin);
        ahead
    }

    /// Whether somebody may let a change pass through a freeze.
    pub fn may_override(&self, freeze: &Freeze, user: UserId, now: Timestamp) -> bool {
        freeze.override_group.as_ref().is_some_and(|group| self.in_group(group, user, now))
    }
}

impl Held<'_> {
    fn told(&self) -> Freeze {
        let Self { window, path, end } = self;
        Freeze {
            name: window.name.clone(),
            until: *end,
            override_group: window.override_group.clone(),
            what: match window.kind {
                Kind::Deny => format!("{path} is frozen by {:?}", window.name),
                Kind::Allow => format!("{path} may change only within {:?}", window.name),
            },
            end: end.map_or(End::Never, End::At),
            zone: window.zone,
        }
    }
}

/// The first moment from `end` on at which nothing holds.
fn joined(windows: &[&Window], paths: &[RepoPath], end: Timestamp, now: Timestamp) -> End {
    let mut end = end;
    for _ in 0..JOINED_MAX {
        let next = held(windows, paths, end);
        if next.is_empty() {
            return End::At(end);
        }
        let ends: Option<Vec<Timestamp>> = next.iter().map(|held| held.end).collect();
        let Some(last) = ends.and_then(|ends| ends.into_iter().max()) else {
            break;
        };
        end = last;
        if (end - now).num_days() >= JOINED_DAYS {
            break;
        }
    }
    if held(windows, paths, end).is_empty() {
        return End::At(end);
    }
    End::NotWithin((end - now).num_days())
}

/// Every window that holds one of these paths at a moment, once each.
fn held<'a>(windows: &[&'a Window], paths: &'a [RepoPath], at: Timestamp) -> Vec<Held<'a>> {
    let mut found = Vec::new();
    for window in windows.iter().filter(|window| window.kind == Kind::Deny) {
        if let (Some(path), Some(end)) = (paths.iter().find(|path| window.covers(path)), window.active(at)) {
            found.push(Held {
                window,
                path,
                end: Some(end),
            });
        }
    }
    for of_repository in [false, true] {
        let own = windows
            .iter()
            .filter(|window| window.of_repository == of_repository && window.kind == Kind::Allow);
        // Looked up once for all paths: of a window that is over it takes the longest.
        let own: Vec<(&Window, bool, Option<Timestamp>)> = own
            .map(|window| match window.active(at) {
                Some(_) => (*window, true, None),
                None => (*window, false, window.next(at)),
            })
            .collect();
        for path in paths {
            let allowing: Vec<_> = own.iter().filter(|(window, _, _)| window.covers(path)).collect();
            if allowing.iter().any(|(_, active, _)| *active) {
                continue;
            }
            // One that is over is named only where no other comes again.
            let to_come = allowing.iter().find(|(_, _, next)| next.is_some());
            let Some((window, _, _)) = to_come.or(allowing.first()) else {
                continue;
            };
            let end = allowing.iter().filter_map(|(_, _, next)| *next).min();
            if !found.iter().any(|known| known.window.name == window.name) {
                found.push(Held { window, path, end });
            }
        }
    }
    found
}
