//! Which revision did Argo CD compare with, apply, or note in its history, and does it contain the commit?
//!
//! Every answer is by ancestry. An application may have several sources; the ones that follow our branch are found in the
//! sources recorded **beside the revisions** (the spec may have changed since), and all of them must contain the commit.

use chrono::{DateTime, Utc};

use crate::model::{Application, HistoryEntry, Phase, Source, is_commit_id, listed};
use crate::repo::Target;

/// Whether a revision contains a commit, as far as our mirror knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contains {
    /// It is the commit or a descendant of it.
    Yes,
    /// It is not.
    No,
    /// The mirror has no such object: fetch, then ask again.
    Unknown,
}

/// "Does this revision contain this commit?": first argument the revision, second the commit, both 40 lower-case hex digits.
pub type Ancestry<'a> = dyn Fn(&str, &str) -> Contains + 'a;

/// What is asked about: a commit on a branch.
pub(super) struct Question<'a> {
    pub target: &'a Target,
    pub commit: &'a str,
    pub ancestry: &'a Ancestry<'a>,
    /// A hydrated application has one source only, the hydrated branch, so that no source needs to be looked for.
    pub any_source: bool,
}

/// The answer for one set of revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub contains: Contains,
    /// The first full commit id of a source that follows our branch.
    pub revision: Option<String>,
    /// Full commit ids that the mirror does not know.
    pub unknown: Vec<String>,
}

impl Found {
    fn nothing() -> Self {
        Self {
            contains: Contains::No,
            revision: None,
            unknown: Vec::new(),
        }
    }

    pub fn yes(&self) -> bool {
        self.contains == Contains::Yes
    }

    pub fn short(&self) -> String {
        self.revision.clone().unwrap_or_default()
    }
}

impl Question<'_> {
    /// Does `revision` contain the commit? Anything but a full commit id does not.
    fn one(&self, revision: &str) -> Contains {
        if !is_commit_id(revision) {
            Contains::No
        } else if revision == self.commit {
            Contains::Yes
        } else {
            (self.ancestry)(revision, self.commit)
        }
    }

    /// Whether `revision` is known to contain the commit.
    pub fn contains(&self, revision: &str) -> bool {
        self.one(revision) == Contains::Yes
    }

    fn all(&self, sources: &[&Source], revision: Option<&str>, revisions: &[String]) -> Found {
        let at = |position: usize| match revisions.is_empty() {
            true => revision.filter(|_| position == 0),
            false => revisions.get(position).map(String::as_str),
        };
        let hydrated = Source::default();
        let sources = if self.any_source { &[&hydrated][..] } else { sources };
        let mut found = Found {
            contains: Contains::Yes,
            ..Found::nothing()
        };
        let mut asked = false;
        for (position, source) in sources.iter().enumerate() {
            if !self.any_source && !self.target.tracks(source) {
                continue;
            }
            asked = true;
            let revision = at(position).unwrap_or("");
            let answer = self.one(revision);
            if is_commit_id(revision) {
                found.revision.get_or_insert_with(|| revision.to_owned());
            }
            match answer {
                Contains::Yes => {}
                Contains::No => found.contains = Contains::No,
                Contains::Unknown => {
                    found.unknown.push(revision.to_owned());
                    if found.contains == Contains::Yes {
                        found.contains = Contains::Unknown;
                    }
                }
            }
        }
        if asked { found } else { Found::nothing() }
    }

    /// The revision last compared with.
    pub fn compared(&self, app: &Application) -> Found {
        let sync = &app.status.sync;
        let sources = or_spec(listed(sync.compared_to.source.as_ref(), &sync.compared_to.sources), app);
        self.all(&sources, sync.revision.as_deref(), &sync.revisions)
    }

    /// One entry of the history.
    pub fn deployed(&self, app: &Application, entry: &HistoryEntry) -> Found {
        let sources = or_spec(listed(entry.source.as_ref(), &entry.sources), app);
        self.all(&sources, entry.revision.as_deref(), &entry.revisions)
    }

    /// The revision of the current or last operation: what it applied, else what it was asked to apply.
    pub fn operated(&self, app: &Application) -> Option<Operated> {
        let state = app.status.operation_state.as_ref();
        let in_flight = app.operating();
        let asked = match (&app.operation, state) {
            // Asked for and not begun: the state, if any, is still that of the operation before.
            (Some(asked), None) => asked,
            (Some(asked), Some(state)) if is_complete(state.phase) => asked,
            (_, Some(state)) => &state.operation,
            (None, None) => return None,
        };
        let begun = state.filter(|state| !(in_flight && is_complete(state.phase)));
        let result = begun.and_then(|state| state.sync_result.as_ref());
        let applied = result.map(|result| {
            let sources = or_spec(listed(result.source.as_ref(), &result.sources), app);
            self.all(&sources, result.revision.as_deref(), &result.revisions)
        });
        let found = applied.filter(|found| found.revision.is_some()).unwrap_or_else(|| {
            let sync = &asked.sync;
            let sources = or_spec(listed(sync.source.as_ref(), &sync.sources), app);
            self.all(&sources, sync.revision.as_deref(), &sync.revisions)
        });
        Some(Operated {
            found,
            in_flight,
            phase: begun.map(|state| state.phase),
            message: begun.and_then(|state| state.message.clone()).unwrap_or_default(),
            retries: begun.map_or(0, |state| state.retry_count),
            started_at: begun.and_then(|state| state.started_at),
            dry_run: asked.sync.dry_run,
            partial: !asked.sync.resources.is_empty(),
        })
    }
}

/// The current or last operation, seen through a [`Question`].
pub(super) struct Operated {
    pub found: Found,
    /// Asked for or running.
    pub in_flight: bool,
    /// `None` when it is asked for and has not begun.
    pub phase: Option<Phase>,
    pub message: String,
    pub retries: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub dry_run: bool,
    pub partial: bool,
}

impl Operated {
    pub fn failed(&self) -> bool {
        !self.in_flight && matches!(self.phase, Some(Phase::Failed | Phase::Error))
    }

    pub fn succeeded(&self) -> bool {
        !self.in_flight && self.phase == Some(Phase::Succeeded)
    }
}

fn is_complete(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Failed | Phase::Error)
}

fn or_spec<'a>(recorded: Vec<&'a Source>, app: &'a Application) -> Vec<&'a Source> {
    if recorded.is_empty() { app.spec.all_sources() } else { recorded }
}
