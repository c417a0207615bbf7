//! What is known of one Argo CD instance, and how news is merged into it.
//!
//! News comes from three places in no particular order: events, lists and direct answers. Resource versions decide per
//! application, and an older view never replaces a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::client::{Listing, Trouble};
use crate::model::{AppKey, Application, Source, View};
use crate::touched::MANIFEST_PATHS;
use crate::verdict::{Evidence, Presence, RefreshFact, Sighted};
use crate::windows::SyncWindows;

/// Everything known of one Argo CD instance at one moment.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The applications.
    pub apps: BTreeMap<AppKey, Arc<Entry>>,
    /// Applications that Argo CD said are gone.
    pub gone: BTreeSet<AppKey>,
    /// When Argo CD last said anything, by our clock.
    pub last_seen: Option<DateTime<Utc>>,
    /// Whether anything has worked lately.
    pub reachable: bool,
    /// What failed last, for people, until something works again.
    pub error: Option<String>,
    /// What kind of trouble that is.
    pub trouble: Option<Trouble>,
    /// Why the applications cannot be listed, until they can: events may come all the same.
    pub unlisted: Option<Trouble>,
    /// Whether all applications have been listed since the start.
    pub complete: bool,
    /// How often an application appeared or came to be made from something else.
    origins: u64,
}

/// One application and what was asked about it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The newest view of it.
    pub app: Arc<Application>,
    /// When it was last confirmed by a direct answer.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The latest refresh.
    pub refresh: Option<RefreshFact>,
    /// The latest answer about sync windows, and when it was asked.
    pub windows: Option<(Arc<SyncWindows>, DateTime<Utc>)>,
    /// Why a direct question about it is refused.
    pub trouble: Option<String>,
    /// Since when its present state has been seen.
    pub sighted: Sighted,
    /// When this view came, by the monotonic clock.
    updated: Instant,
    /// The count of [`State::origins`] since which it is made from what it is made from now.
    origin: u64,
}

impl State {
    /// The evidence about one application, for [`crate::verdict::judge`].
    pub fn evidence(&self, key: &AppKey) -> Evidence<'_> {
        let entry = self.apps.get(key);
        let trouble = entry.and_then(|entry| entry.trouble.as_deref());
        let down = (!self.reachable).then(|| self.error.as_deref().unwrap_or("not connected yet"));
        let presence = match (down.or(trouble), entry) {
            (Some(reason), _) => Presence::Unreachable(reason),
            (None, Some(entry)) => Presence::Here(&entry.app),
            (None, None) if self.gone.contains(key) => Presence::Gone,
            (None, None) if self.complete => Presence::Missing,
            (None, None) => Presence::Unreachable("the applications are not listed yet"),
        };
        Evidence {
            presence,
            sighted: entry.map(|entry| entry.sighted),
            confirmed_at: entry.and_then(|entry| entry.confirmed_at),
            refresh: entry.and_then(|entry| entry.refresh),
            windows: entry
                .and_then(|entry| entry.windows.as_ref())
                .map(|(windows, at)| (&**windows, *at)),
        }
    }

    /// What an operator should know: what fails, or that nothing is shown.
    pub fn present_trouble(&self) -> Option<Trouble> {
        let empty = self.complete && self.apps.is_empty();
        self.trouble.or(self.unlisted).or(empty.then_some(Trouble::Empty))
    }

    /// The applications themselves, for [`crate::touched::touched`].
    pub fn applications(&self) -> impl Iterator<Item = &Application> {
        self.apps.values().map(|entry| &*entry.app)
    }

    /// One application.
    pub fn application(&self, key: &AppKey) -> Option<&Application> {
        self.apps.get(key).map(|entry| &*entry.app)
    }

    /// Grows whenever the answer of [`crate::touched::touched`] may have changed: an application appeared, or is made from something else.
    pub const fn origins(&self) -> u64 {
        self.origins
    }

    /// The applications that appeared, or came to be made from something else, since [`State::origins`] was `then`.
    pub fn moved_since(&self, then: u64) -> impl Iterator<Item = &Application> {
        let newer = move |entry: &&Arc<Entry>| entry.origin > then;
        // Nearly always nothing is new, and then nobody is looked at.
        let entries = (self.origins > then).then(|| self.apps.values());
        entries.into_iter().flatten().filter(newer).map(|entry| &*entry.app)
    }

    pub(super) fn entry(&mut self, key: &AppKey) -> Option<&mut Entry> {
        self.apps.get_mut(key).map(Arc::make_mut)
    }

    /// Takes over a view with a resource version. `false` when it is not newer than what is known.
    pub(super) fn apply(&mut self, app: Application, now: Instant) -> bool {
        let key = app.key();
        self.gone.remove(&key);
        let next = self.origins + 1;
        let Some(entry) = self.entry(&key) else {
            self.appear(app, now);
            return true;
        };
        entry.trouble = None;
        let same_object = entry.app.metadata.uid == app.metadata.uid || entry.app.metadata.uid.is_none();
        match (entry.app.version(), app.version()) {
            (Some(known), Some(new)) if same_object && new < known => return false,
            // The same version in a richer view is news; the same or a poorer one is a duplicate.
            (Some(known), Some(new)) if same_object && new == known && app.view <= entry.app.view => return false,
            _ => {}
        }
        if entry.show(app, now, next) {
            self.origins = next;
        }
        true
    }

    fn appear(&mut self, app: Application, now: Instant) {
        self.origins += 1;
        self.apps.insert(app.key(), Arc::new(Entry::new(app, now, self.origins)));
    }

    /// An application is gone: deleted by an event, or not found. `false` when that was known.
    pub(super) fn remove(&mut self, key: &AppKey) -> bool {
        self.apps.remove(key);
        self.gone.insert(key.clone())
    }

    /// Merges a list that was asked for at `sent`. Events that came since, and versions that the list did not reach, are
    /// newer than it.
    pub(super) fn merge(&mut self, list: Listing, sent: Instant, now: Instant) -> Merged {
        let mut merged = Merged::default();
        let mut listed = BTreeSet::new();
        for app in list.applications {
            let key = app.key();
            listed.insert(key.clone());
            let Some(entry) = self.entry(&key) else {
                self.gone.remove(&key);
                self.appear(app, now);
                merged.changed.push(key);
                continue;
            };
            if entry.trouble.take().is_some() {
                merged.changed.push(key);
            }
            if entry.is_newer_than(sent, list.version) || same(&entry.app, &app) {
                continue;
            }
            merged.differing.push(app);
        }
        let absent =
            |(key, entry): (&AppKey, &Arc<Entry>)| (!listed.contains(key) && !entry.is_newer_than(sent, list.version)).then(|| key.clone());
        // Items that could not be read are absent from the list without being gone.
        if list.unreadable == 0 {
            merged.absent = self.apps.iter().filter_map(absent).collect();
        }
        self.complete = true;
        merged
    }

    /// Whether news of an application came after `then`.
    pub(super) fn is_newer_than(&self, key: &AppKey, then: Instant) -> bool {
        self.apps.get(key).is_none_or(|entry| entry.updated > then)
    }

    /// Forgets an application that left the list and that nobody waits for.
    pub(super) fn forget(&mut self, key: &AppKey) {
        self.apps.remove(key);
    }

    /// Takes over a differing item of a list; its object keeps the version it had, so that later events still apply.
    pub(super) fn replace_by_listed(&mut self, mut app: Application, now: Instant) {
        let (key, next) = (app.key(), self.origins + 1);
        if let Some(entry) = self.entry(&key) {
            app.metadata.resource_version = entry.app.metadata.resource_version.clone();
            app.metadata.uid = entry.app.metadata.uid.clone();
            if entry.show(app, now, next) {
                self.origins = next;
            }
        }
    }
}

/// What a list changed.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// New applications.
    pub changed: Vec<AppKey>,
    /// Applications that the list no longer shows.
    pub absent: Vec<AppKey>,
    /// Items that differ from what is known though no event said so.
    pub differing: Vec<Application>,
}

impl Entry {
    fn new(app: Application, now: Instant, origin: u64) -> Self {
        Self {
            app: Arc::new(app),
            confirmed_at: None,
            refresh: None,
            windows: None,
            trouble: None,
            sighted: Sighted::first(super::clock()),
            updated: now,
            origin,
        }
    }

    /// Takes over another view of the application. When that is made from something else, it is so since `origin`, and the answer is `true`.
    fn show(&mut self, app: Application, now: Instant, origin: u64) -> bool {
        self.sighted = self.sighted.again(&self.app, &app, super::clock());
        let moved = !crate::touched::same_origin(&self.app, &app);
        if moved {
            self.origin = origin;
        }
        self.app = Arc::new(app);
        self.updated = now;
        moved
    }

    fn is_newer_than(&self, sent: Instant, version: Option<u64>) -> bool {
        self.updated > sent || matches!((self.app.version(), version), (Some(known), Some(list)) if known > list)
    }
}

/// Whether a list item shows nothing that a view does not already have. Only what a list carries is compared.
fn same(known: &Application, listed: &Application) -> bool {
    let state = |app: &Application| {
        app.status
            .operation_state
            .as_ref()
            .map(|state| (state.phase, state.started_at, state.finished_at))
    };
    let paths = |app: &Application| app.metadata.annotations.get(MANIFEST_PATHS).cloned();
    // Before Argo CD 3.5 a list cannot carry the revision; multi-source applications have none.
    let revision = listed.status.sync.revision.is_none() || known.status.sync.revision == listed.status.sync.revision;
    let sources = |app: &Application| -> Vec<Source> { app.spec.all_sources().into_iter().cloned().collect() };
    revision
        && known.status.sync.status == listed.status.sync.status
        && known.status.health.status == listed.status.health.status
        && state(known) == state(listed)
        && known.metadata.deletion_timestamp == listed.metadata.deletion_timestamp
        && known.spec.project == listed.spec.project
        && sources(known) == sources(listed)
        && known.spec.source_hydrator == listed.spec.source_hydrator
        && known.spec.sync_policy == listed.spec.sync_policy
        && paths(known) == paths(listed)
        && known.operation.is_some() == listed.operation.is_some()
}

impl Entry {
    /// Whether this view can be judged by.
    pub fn is_detailed(&self) -> bool {
        self.app.view > View::List
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn app(version: Option<u64>, view: View, sync: &str) -> Application {
        let mut json: Value = json!({"metadata": {"name": "web", "namespace": "argocd"}, "status": {"sync": {"status": sync}}});
        json["metadata"]["resourceVersion"] = version.map(|version| version.to_string()).into();
        Application::parse(json, view).expect("an application")
    }

    fn listing(apps: Vec<Application>, version: u64) -> Listing {
        Listing {
            applications: apps,
            version: Some(version),
            unreadable: 0,
        }
    }

    fn key() -> AppKey {
        AppKey::new("argocd", "web")
    }

    #[test]
    fn versions_decide_and_a_richer_view_of_the_same_version_is_news() {
        let mut state = State::default();
        let now = Instant::now();
        for (version, view, taken) in [
            (10, View::Stream, true),
            (9, View::Full, false),
            (10, View::Stream, false),
            (10, View::Full, true),
            (10, View::Stream, false),
            (100, View::Stream, true),
            (99, View::Stream, false),
        ] {
            assert_eq!(state.apply(app(Some(version), view, "Synced"), now), taken, "{version} {view:?}");
        }
    }

    #[test]
    fn a_list_never_undoes_newer_events() {
        let mut state = State {
            reachable: true,
            ..State::default()
        };
        let sent = Instant::now();
        let now = sent + std::time::Duration::from_secs(1);
        state.apply(app(Some(10), View::Stream, "Synced"), now);
        // Sent before the event came.
        assert!(state.merge(listing(vec![], 50), sent, now).absent.is_empty());
        assert!(
            state
                .merge(listing(vec![app(None, View::List, "OutOfSync")], 50), sent, now)
                .differing
                .is_empty()
        );
        // The server's view did not reach the event.
        let later = now + std::time::Duration::from_secs(1);
        assert!(state.merge(listing(vec![], 9), later, later).absent.is_empty());
        // A newer list.
        assert_eq!(
            state
                .merge(listing(vec![app(None, View::List, "OutOfSync")], 11), later, later)
                .differing
                .len(),
            1
        );
        assert!(
            state
                .merge(listing(vec![app(None, View::List, "Synced")], 11), later, later)
                .differing
                .is_empty()
        );
        let unreadable = Listing {
            unreadable: 1,
            ..listing(vec![], 11)
        };
        assert!(state.merge(unreadable, later, later).absent.is_empty(), "unreadable is not gone");
        assert_eq!(state.merge(listing(vec![], 11), later, later).absent, [key()]);
        state.forget(&key());
        assert!(matches!(state.evidence(&key()).presence, Presence::Missing));
    }

    #[test]
    fn an_application_has_moved_only_when_it_appears_or_is_made_from_something_else() {
        let mut state = State::default();
        let now = Instant::now();
        let mut version = 0;
        let mut seen = 0;
        let mut moved = |state: &mut State, name: &str, path: &str, health: &str, kind: &str| {
            version += 1;
            let json = json!({"metadata": {"name": name, "namespace": "argocd", "resourceVersion": version.to_string()},
                "spec": {"source": {"repoURL": "https://git.example.com/org/home", "path": path}},
                "status": {"health": {"status": health}, "sourceType": kind}});
            assert!(state.apply(Application::parse(json, View::Stream).expect("an application"), now));
            let names: Vec<String> = state.moved_since(seen).map(|app| app.metadata.name.clone()).collect();
            seen = state.origins();
            names
        };
        assert_eq!(moved(&mut state, "web", "web", "Healthy", ""), ["web"]);
        assert!(moved(&mut state, "web", "web", "Progressing", "").is_empty());
        assert_eq!(moved(&mut state, "api", "api", "Healthy", ""), ["api"]);
        assert_eq!(moved(&mut state, "web", "elsewhere", "Healthy", ""), ["web"]);
        assert_eq!(moved(&mut state, "web", "elsewhere", "Healthy", "Directory"), ["web"]);
        assert!(moved(&mut state, "api", "api", "Degraded", "").is_empty());
        state.forget(&AppKey::new("argocd", "api"));
        assert_eq!(moved(&mut state, "api", "api", "Healthy", ""), ["api"], "it was away");
        assert_eq!(state.moved_since(0).count(), 2, "who has seen nothing looks at all");
    }

    #[test]
    fn evidence_tells_gone_missing_and_unreachable_apart() {
        let mut state = State::default();
        assert!(matches!(
            state.evidence(&key()).presence,
            Presence::Unreachable("not connected yet")
        ));
        state.reachable = true;
        assert!(
            matches!(state.evidence(&key()).presence, Presence::Unreachable(_)),
            "nothing was listed yet"
        );
        state.complete = true;
        assert!(matches!(state.evidence(&key()).presence, Presence::Missing));
        assert!(state.remove(&key()) && !state.remove(&key()));
        assert!(matches!(state.evidence(&key()).presence, Presence::Gone));
        state.apply(app(Some(1), View::Full, "Synced"), Instant::now());
        assert!(matches!(state.evidence(&key()).presence, Presence::Here(_)));
        state.entry(&key()).expect("it is there").trouble = Some("403".into());
        assert!(matches!(state.evidence(&key()).presence, Presence::Unreachable("403")));
    }
}
