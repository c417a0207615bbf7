//! Every row of the table, and every trap behind it, as short stories: what Argo CD shows, second by second, and what is
//! said of it. Commits are letters: `c` is ours, `a` and `b` are older, `d` and `e` newer, `9` is not in the mirror.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::*;
use crate::model::{Application, View};
use crate::repo::Target;
use crate::windows::SyncWindows;

const REPO: &str = "https://git.example.com/org/home";

pub(super) fn sha(letter: &str) -> String {
    letter.repeat(40)
}

/// Noon plus seconds, as Argo CD writes it.
pub(super) fn at(seconds: i64) -> String {
    time(seconds).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

pub(super) fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + seconds, 0).expect("a time")
}

pub(super) fn ancestry(revision: &str, commit: &str) -> Contains {
    match (revision.as_bytes()[0], commit.as_bytes()[0]) {
        (b'9', _) => Contains::Unknown,
        (revision, commit) if revision >= commit => Contains::Yes,
        _ => Contains::No,
    }
}

/// An application that was in sync at `b` before the push at second 0.
fn before() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "argocd", "uid": "u1", "resourceVersion": "7"},
        "spec": {"project": "home", "source": {"repoURL": REPO, "path": "web", "targetRevision": "main"},
                 "syncPolicy": {"automated": {}}},
        "status": {
            "sync": {"status": "Synced", "revision": sha("b")},
            "health": {"status": "Healthy", "lastTransitionTime": at(-900)},
            "operationState": operation("Succeeded", "b", -1000, Some(-990)),
            "history": [{"id": 1, "revision": sha("b"), "deployedAt": at(-990)}],
            "reconciledAt": at(-900),
            "resources": [{"kind": "Deployment", "namespace": "web", "name": "web", "status": "Synced"}],
        }
    })
}

pub(super) fn operation(phase: &str, letter: &str, started: i64, finished: Option<i64>) -> Value {
    json!({
        "phase": phase, "startedAt": at(started), "finishedAt": finished.map(at),
        "operation": {"sync": {"revision": sha(letter)}},
        "syncResult": {"revision": sha(letter)},
    })
}

/// `before()` with some values replaced: `("/status/sync/revision", json)`; a missing parent is made.
pub(super) fn app(changes: &[(&str, Value)]) -> Value {
    let mut document = before();
    for (pointer, value) in changes {
        let mut place = &mut document;
        for part in pointer.trim_start_matches('/').split('/') {
            place = match part.parse::<usize>() {
                Ok(index) if place.is_array() => &mut place[index],
                _ => &mut place[part],
            };
        }
        *place = value.clone();
    }
    document
}

/// Synced and healthy at `letter` by an operation from second 10 to 20.
fn deployed(letter: &str) -> Value {
    app(&[
        ("/status/sync/revision", sha(letter).into()),
        ("/status/operationState", operation("Succeeded", letter, 10, Some(20))),
        ("/status/reconciledAt", at(21).into()),
    ])
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    *document
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer} is in the document")) = value;
    document
}

fn parse(document: &Value) -> Application {
    Application::parse(document.clone(), View::Full).expect("a test application")
}

/// One change on its way.
pub(super) struct Story {
    pub tracking: Tracking,
    pub change: Change,
    pub windows: Option<SyncWindows>,
    pub refresh: Option<RefreshFact>,
    pub wants: Vec<Want>,
    /// The view before, and since when what it showed was seen.
    shown: Option<(Application, Sighted)>,
}

impl Story {
    pub fn new() -> Self {
        let change = Change {
            commit: sha("c"),
            pushed_at: time(0),
            target: Target::new([REPO], "main", true),
            baseline: Some(Baseline::of(&parse(&before()))),
            deletes_app: false,
            deadline: Some(time(1800)),
            accept_suspended: false,
            patience: Patience::default(),
        };
        Self {
            tracking: Tracking::default(),
            change,
            windows: None,
            refresh: None,
            wants: Vec::new(),
            shown: None,
        }
    }

    pub fn without_baseline() -> Self {
        let mut story = Self::new();
        story.change.baseline = None;
        story
    }

    /// Judges what a direct `GET` at `second` shows.
    pub fn see(&mut self, second: i64, document: &Value) -> Verdict {
        let app = parse(document);
        let sighted = match &self.shown {
            Some((before, sighted)) => sighted.again(before, &app, time(second)),
            None => Sighted::first(time(second)),
        };
        self.shown = Some((app.clone(), sighted));
        self.presence(second, Presence::Here(&app))
    }

    pub fn presence(&mut self, second: i64, presence: Presence<'_>) -> Verdict {
        let now = time(second);
        let evidence = Evidence {
            presence,
            sighted: self.shown.as_ref().map(|(_, sighted)| *sighted),
            confirmed_at: Some(now),
            refresh: self.refresh,
            windows: self.windows.as_ref().map(|windows| (windows, now)),
        };
        // What is stored is what goes on: a restart between any two observations changes nothing.
        let stored = serde_json::to_string(&self.tracking).expect("tracking is JSON");
        let tracking = serde_json::from_str(&stored).expect("tracking is read back");
        assert_eq!(self.tracking, tracking);
        let judgement = judge(&tracking, &evidence, &self.change, &ancestry, now);
        self.tracking = judgement.tracking;
        self.wants = judgement.wants;
        judgement.verdict
    }

    fn says(&mut self, second: i64, document: &Value) -> String {
        self.see(second, document).headline()
    }

    /// A refresh asked and answered at `second`.
    pub fn refreshed(&mut self, second: i64) {
        self.refresh = Some(RefreshFact {
            asked_at: time(second),
            answered_at: Some(time(second)),
        });
    }
}

/// The first thing said of a document, 40 s after the push, without a baseline.
fn first(document: &Value) -> String {
    Story::without_baseline().says(40, document)
}

// ---- the rows

#[test]
fn row_1_gone() {
    let mut story = Story::new();
    assert_eq!(
        story.presence(5, Presence::Missing).headline(),
        "The application is no longer listed; checking whether it was deleted"
    );
    assert_eq!(story.wants[0], Want::Details { not_before: time(5) });
    let verdict = story.presence(6, Presence::Gone);
    assert_eq!(
        (verdict.headline().as_str(), verdict.ending()),
        ("The application was deleted", Some(Ending::Gone))
    );

    assert_eq!(
        Story::new().says(5, &app(&[("/metadata/uid", "u2".into())])),
        "The application was deleted and made anew"
    );
    assert_eq!(
        Story::new().says(5, &app(&[("/metadata/deletionTimestamp", at(3).into())])),
        "The application is being deleted"
    );
}

#[test]
fn row_1_gone_as_the_change_asked() {
    let mut story = Story::new();
    story.change.deletes_app = true;
    assert_eq!(story.says(5, &deployed("c")), "Waiting for the application to be deleted");
    assert_eq!(
        story.says(6, &app(&[("/metadata/deletionTimestamp", at(3).into())])),
        "The application is being deleted"
    );
    let verdict = story.presence(9, Presence::Gone);
    assert_eq!(
        (verdict.headline().as_str(), verdict.ending()),
        ("The application is deleted, as asked", Some(Ending::Synced))
    );
}

#[test]
fn row_2_not_tracked() {
    let source = "/spec/source";
    for (value, now) in [
        (
            json!({"repoURL": REPO, "targetRevision": "v1.0.0"}),
            "git.example.com/org/home at v1.0.0",
        ),
        (
            json!({"repoURL": REPO, "targetRevision": "develop"}),
            "git.example.com/org/home at develop",
        ),
        (
            json!({"repoURL": "https://u:secret@git.example.com/org/else"}),
            "git.example.com/org/else at HEAD",
        ),
    ] {
        let expected = format!("The application no longer follows this branch (now: {now})");
        let verdict = Story::new().see(5, &app(&[(source, value)]));
        assert_eq!((verdict.headline(), verdict.ending()), (expected, Some(Ending::NotTracked)));
    }
}

#[test]
fn row_3_syncing() {
    let running = |extra: &[(&str, Value)]| {
        let mut changes = vec![("/status/operationState", operation("Running", "c", 10, None))];
        changes.extend_from_slice(extra);
        first(&app(&changes))
    };
    assert_eq!(running(&[]), "Syncing ccccccc");
    let message = (
        "/status/operationState/message",
        json!("waiting for healthy state of apps/Deployment/web"),
    );
    assert_eq!(
        running(&[message]),
        "Syncing ccccccc: waiting for healthy state of apps/Deployment/web"
    );
    assert_eq!(
        running(&[("/status/operationState/phase", "Terminating".into())]),
        "The sync of ccccccc is being terminated"
    );
    // Asked for and not begun: the operation stands beside the state of the one before, or alone.
    let asked = ("/operation", json!({"sync": {"revision": sha("d")}}));
    assert_eq!(first(&app(std::slice::from_ref(&asked))), "Syncing ddddddd");
    assert_eq!(first(&app(&[asked, ("/status/operationState", Value::Null)])), "Syncing ddddddd");
}

#[test]
fn row_4_an_older_operation_is_in_the_way() {
    let older = app(&[("/status/operationState", operation("Running", "b", -5, None))]);
    let mut story = Story::new();
    assert_eq!(story.says(1, &older), "Waiting for the sync of bbbbbbb to finish");
    assert!(story.wants.contains(&Want::WakeAt(time(302))));
    let verdict = story.see(302, &older);
    assert_eq!(
        verdict.headline(),
        "Blocked: the sync of bbbbbbb is still running and holds back this commit"
    );
    assert!(verdict.wants_terminate());
    assert_eq!(
        story.says(303, &with(older, "/status/operationState/phase", "Terminating".into())),
        "Waiting: the sync of bbbbbbb is being terminated"
    );
    // A name is no revision, and a dry run of our commit applies nothing.
    let unresolved = json!({"phase": "Running", "startedAt": at(1), "operation": {"sync": {"revision": "main"}}});
    assert_eq!(
        first(&app(&[("/status/operationState", unresolved)])),
        "Waiting for another sync to finish"
    );
    let mut dry = operation("Running", "c", 1, None);
    dry["operation"]["sync"]["dryRun"] = true.into();
    assert_eq!(
        first(&app(&[("/status/operationState", dry)])),
        "Waiting for the sync of ccccccc to finish"
    );
}

#[test]
fn row_5_failed_and_recovered() {
    let mut failed = operation("Failed", "c", 10, Some(12));
    failed["message"] = "one or more objects failed to apply".into();
    failed["syncResult"]["resources"] = json!([
        {"kind": "Service", "namespace": "web", "name": "web", "status": "Synced"},
        {"kind": "Deployment", "namespace": "web", "name": "web", "status": "SyncFailed", "message": "field is immutable"},
        {"kind": "Job", "namespace": "web", "name": "migrate", "status": "Synced", "hookPhase": "Failed", "message": "exit 1"},
    ]);
    let failed = app(&[
        ("/status/operationState", failed),
        ("/status/sync/revision", sha("c").into()),
        ("/status/sync/status", "OutOfSync".into()),
    ]);
    let mut story = Story::new();
    let verdict = story.see(13, &failed);
    assert_eq!(
        verdict.headline(),
        "The sync failed at ccccccc: one or more objects failed to apply (Deployment web/web: field is immutable)"
    );
    assert!(matches!(&verdict, Verdict::SyncFailed { resources, .. } if resources.len() == 2));
    let Verdict::SyncFailed {
        stage,
        revision,
        resources,
        ..
    } = verdict.clone()
    else {
        panic!("{verdict:?}")
    };
    let told = Verdict::SyncFailed {
        stage,
        revision,
        resources,
        message: "one or more objects failed to apply, reason: field is immutable".to_owned(),
    };
    let once = "The sync failed at ccccccc: one or more objects failed to apply, reason: field is immutable (Deployment web/web)";
    assert_eq!(told.headline(), once, "what the message says already is not said again");
    assert_eq!(verdict.ending(), Some(Ending::SyncFailed));
    assert_eq!(story.see(14, &failed), verdict, "a failure stays");
    assert_eq!(story.wants, [], "and nobody is asked about it any more");
    assert_eq!(story.see(60, &deployed("d")), verdict, "until a success holds");
    assert_eq!(
        story.says(71, &deployed("d")),
        "Deployed as part of ddddddd and healthy, after a failure"
    );
}

#[test]
fn row_6_applied_then_the_health_gate() {
    let mut story = Story::without_baseline();
    assert_eq!(
        story.says(22, &deployed("c")),
        "Deployed at ccccccc; healthy, making sure that it stays so"
    );
    assert_eq!(story.wants[0], Want::WakeAt(time(32)));
    let verdict = story.see(32, &deployed("c"));
    assert_eq!(verdict.headline(), "Deployed and healthy at ccccccc");
    assert_eq!(verdict.ending(), Some(Ending::Synced));
    assert_eq!(story.see(40, &before()), verdict, "a success stays");
    // As part of a later commit.
    let mut story = Story::without_baseline();
    story.see(22, &deployed("d"));
    assert_eq!(story.says(32, &deployed("d")), "Deployed as part of ddddddd and healthy");
}

#[test]
fn row_6_one_more_observation_must_confirm() {
    let app = parse(&deployed("c"));
    let change = Story::without_baseline().change;
    let glance = |tracking: &Tracking, confirmed: Option<i64>, second| {
        let evidence = Evidence {
            sighted: Some(Sighted::first(time(22))),
            confirmed_at: confirmed.map(time),
            ..Evidence::of(&app)
        };
        judge(tracking, &evidence, &change, &ancestry, time(second))
    };
    let seen = glance(&Tracking::default(), None, 22);
    let held = glance(&seen.tracking, Some(23), 60);
    assert_eq!(
        held.verdict.headline(),
        "Deployed at ccccccc; healthy, making sure that it stays so"
    );
    assert_eq!(held.wants[0], Want::Details { not_before: time(32) });
    assert_eq!(
        glance(&held.tracking, Some(61), 61).verdict.headline(),
        "Deployed and healthy at ccccccc"
    );
}

#[test]
fn a_change_that_is_looked_at_late_waits_for_nothing_that_was_seen_already() {
    let seen_once = Sighted::first(time(22));
    for (shown, confirmed, expected) in [
        (deployed("c"), 32, "Deployed and healthy at ccccccc"),
        (
            with(deployed("c"), "/status/health/status", "Degraded".into()),
            52,
            "Deployed at ccccccc, and degraded",
        ),
    ] {
        let app = parse(&shown);
        let evidence = Evidence {
            sighted: Some(seen_once),
            confirmed_at: Some(time(confirmed)),
            ..Evidence::of(&app)
        };
        let change = Story::without_baseline().change;
        let late = judge(&Tracking::default(), &evidence, &change, &ancestry, time(60));
        assert_eq!((late.verdict.headline().as_str(), late.wants), (expected, vec![]));
    }
}

#[test]
fn what_was_seen_starts_anew_only_where_it_changes() {
    let first = Sighted::first(time(0));
    let again = |from: &Value, to: &Value| {
        let now = first.again(&parse(from), &parse(to), time(9));
        [now.compared, now.operated, now.health].map(|since| since == time(9))
    };
    let here = deployed("c");
    let changed = |pointer: &str, value: Value| again(&here, &with(here.clone(), pointer, value));
    assert_eq!(again(&here, &here), [false; 3]);
    assert_eq!(changed("/metadata/resourceVersion", "8".into()), [false; 3]);
    assert_eq!(changed("/status/sync/revision", sha("d").into()), [true, false, false]);
    assert_eq!(changed("/status/health/status", "Progressing".into()), [false, false, true]);
    assert_eq!(changed("/status/operationState/phase", "Running".into()), [false, true, true]);
    assert_eq!(changed("/status/reconciledAt", at(19).into()), [false, false, true]);
}

#[test]
fn row_6_partial_operations_count_only_in_sync() {
    let mut partial = operation("Succeeded", "c", 10, Some(20));
    partial["operation"]["sync"]["resources"] = json!([{"kind": "Deployment", "name": "web"}]);
    let synced = with(deployed("c"), "/status/operationState", partial);
    assert_eq!(first(&synced), "Deployed at ccccccc; healthy, making sure that it stays so");
    let differs = with(synced, "/status/sync/status", "OutOfSync".into());
    assert_eq!(first(&differs), "Argo CD sees ccccccc and is about to sync");
}

#[test]
fn row_6_out_of_sync_after_success_is_explained() {
    let resource = |name: &str, prune: bool| json!({"kind": "ConfigMap", "namespace": "web", "name": name, "status": "OutOfSync", "requiresPruning": prune});
    let ends = |resources: Value, compared: &str| {
        let mut document = with(deployed("c"), "/status/sync/status", "OutOfSync".into());
        document["status"]["sync"]["revision"] = sha(compared).into();
        document["status"]["resources"] = resources;
        let mut story = Story::without_baseline();
        story.see(22, &document);
        story.says(32, &document)
    };
    assert_eq!(
        ends(json!([resource("old", true)]), "c"),
        "Deployed and healthy at ccccccc; needs prune: ConfigMap web/old"
    );
    assert_eq!(
        ends(json!([resource("x", false)]), "c"),
        "Deployed and healthy at ccccccc; differs from git after the sync: ConfigMap web/x"
    );
    assert_eq!(
        ends(json!([resource("x", false)]), "d"),
        "Deployed and healthy at ccccccc; the later ddddddd is still to be synced"
    );
}

#[test]
fn row_7_cannot_compare_counts_twice_in_answers_to_our_refreshes() {
    let broken = app(&[
        ("/status/sync", json!({"status": "Unknown", "revision": "main"})),
        (
            "/status/conditions",
            json!([{"type": "ComparisonError", "message": "helm template failed"}]),
        ),
    ]);
    let mut story = Story::new();
    assert_eq!(
        story.says(1, &broken),
        "Argo CD reports that it cannot compare: helm template failed"
    );
    assert_eq!(story.wants[0], Want::Refresh { not_before: time(0) });
    story.refreshed(2);
    story.see(3, &broken);
    assert_eq!(story.wants[0], Want::WakeAt(time(12)));
    assert!(!story.see(11, &broken).is_final(), "seen for long, but in one answer only");
    story.see(12, &broken);
    assert_eq!(story.wants[0], Want::Refresh { not_before: time(12) });
    story.refreshed(12);
    let verdict = story.see(13, &broken);
    assert_eq!(
        verdict.headline(),
        "Argo CD cannot render or compare the application: helm template failed"
    );
    assert_eq!(verdict.ending(), Some(Ending::SyncFailed));

    // An application that never had an operation.
    let mut story = Story::new();
    let new = with(broken.clone(), "/status/operationState", Value::Null);
    assert_eq!(story.says(1, &new), "Argo CD reports that it cannot compare: helm template failed");
    // An error that went away in between starts anew.
    let mut story = Story::new();
    story.refreshed(2);
    story.see(3, &broken);
    story.see(4, &before());
    story.refreshed(13);
    assert!(!story.see(14, &broken).is_final());
    // A refresh from before the push counts for nothing.
    let mut story = Story::new();
    story.refreshed(-20);
    story.see(3, &broken);
    story.refreshed(-1);
    assert!(!story.see(15, &broken).is_final());
}

#[test]
fn row_7_trouble_that_passes_is_never_a_failure() {
    let broken = app(&[
        ("/status/sync/status", "Unknown".into()),
        (
            "/status/conditions",
            json!([{"type": "ComparisonError", "message": "rpc error: code = Unavailable desc = connection refused"}]),
        ),
    ]);
    let mut story = Story::new();
    for second in [2, 30, 90] {
        story.refreshed(second);
        assert!(!story.see(second + 1, &broken).is_final());
    }
    assert_eq!(story.see(1800, &broken).ending(), Some(Ending::TimedOut));
}

#[test]
fn row_8_nothing_to_apply() {
    let moved = app(&[("/status/sync/revision", sha("c").into()), ("/status/reconciledAt", at(5).into())]);
    let verdict = Story::new().see(6, &moved);
    assert_eq!(verdict.headline(), "In sync at ccccccc; nothing had to be applied");
    assert_eq!(verdict.ending(), Some(Ending::Synced), "health unchanged: at once");
    assert_eq!(
        Story::new().says(6, &with(moved.clone(), "/status/sync/revision", sha("e").into())),
        "In sync as part of eeeeeee; nothing had to be applied"
    );
    let mut story = Story::without_baseline();
    assert!(!story.see(6, &moved).is_final(), "no baseline: health must hold");
    assert!(story.see(16, &moved).is_final());
}

#[test]
fn row_9_a_failed_attempt_is_not_tried_again() {
    let failed = |letter: &str| {
        let message = format!("Failed last sync attempt to [{}]: immutable", sha(letter));
        app(&[
            ("/status/sync", json!({"status": "OutOfSync", "revision": sha("c")})),
            ("/status/conditions", json!([{"type": "SyncError", "message": message}])),
        ])
    };
    let verdict = Story::new().see(6, &failed("c"));
    assert!(
        verdict
            .headline()
            .starts_with("The sync failed at ccccccc: Failed last sync attempt to [ccc")
    );
    // One that names an older commit is left over from before the push.
    assert_eq!(Story::new().says(6, &failed("b")), "Argo CD sees ccccccc and is about to sync");
}

fn out_of_sync(more: &[(&str, Value)]) -> Value {
    let mut changes = vec![("/status/sync", json!({"status": "OutOfSync", "revision": sha("c")}))];
    changes.extend_from_slice(more);
    app(&changes)
}

#[test]
fn row_10_why_an_automated_sync_does_not_start() {
    let deny = json!({"activeWindows": [{"kind": "deny", "schedule": "0 9 * * *", "duration": "8h"}], "canSync": false});
    let surplus = json!([{"kind": "ConfigMap", "name": "x", "status": "OutOfSync", "requiresPruning": true}]);
    let mixed = json!([{"kind": "ConfigMap", "name": "x", "status": "OutOfSync", "requiresPruning": true}, {"kind": "ConfigMap", "name": "y", "status": "Synced"}]);
    let plain = json!([{"kind": "ConfigMap", "name": "x", "status": "OutOfSync"}]);
    let says = |resources: &Value, policy: Value, windows: Value| {
        let document = out_of_sync(&[("/status/resources", resources.clone()), ("/spec/syncPolicy/automated", policy)]);
        let mut story = Story::new();
        story.windows = Some(serde_json::from_value(windows).expect("windows"));
        assert_eq!(story.says(5, &document), "Argo CD sees ccccccc and is about to sync");
        assert!(story.wants.contains(&Want::WakeAt(time(35))));
        story.see(35, &document);
        story.see(46, &document)
    };
    assert_eq!(
        says(&plain, json!({}), deny).headline(),
        "Held back by a sync window (deny window 0 9 * * * for 8h)"
    );
    assert_eq!(
        says(&mixed, json!({}), json!({})).headline(),
        "In sync at ccccccc; nothing had to be applied; needs prune: ConfigMap x"
    );
    assert_eq!(
        says(&surplus, json!({"prune": true}), json!({})).headline(),
        "Not synced: it would delete all 1 resources, and automated sync may not leave an application empty"
    );
    let stalled = says(&plain, json!({}), json!({}));
    assert_eq!(
        stalled.headline(),
        "Out of sync at ccccccc, and Argo CD does not start the sync by itself"
    );
    assert!(stalled.wants_manual_sync());
    assert_eq!(says(&surplus, json!({"prune": true, "allowEmpty": true}), json!({})), stalled);
}

#[test]
fn row_10_asks_for_what_it_needs() {
    let mut document = out_of_sync(&[]);
    document["status"].as_object_mut().expect("status").remove("resources");
    let mut story = Story::new();
    story.see(5, &document);
    assert_eq!(story.says(35, &document), "Argo CD sees ccccccc and is about to sync");
    assert!(matches!(story.wants[0], Want::Details { .. }));
    assert_eq!(story.says(36, &out_of_sync(&[])), "Argo CD sees ccccccc and is about to sync");
    assert_eq!(story.wants[0], Want::SyncWindows { not_before: time(35) });
    assert_eq!(
        story.says(70, &out_of_sync(&[])),
        "Out of sync at ccccccc, and Argo CD does not start the sync by itself",
        "no answer about windows is not waited for without end"
    );
}

#[test]
fn row_11_a_person_must_sync() {
    for automated in [Value::Null, json!({"enabled": false})] {
        let verdict = Story::new().see(6, &out_of_sync(&[("/spec/syncPolicy/automated", automated)]));
        assert_eq!(
            verdict.headline(),
            "Waiting for a manual sync: automated sync is off, ccccccc is ready"
        );
        assert!(verdict.wants_manual_sync() && !verdict.is_final());
    }
    let queued = out_of_sync(&[
        ("/spec/syncPolicy/automated", Value::Null),
        ("/metadata/ownerReferences", json!([{"kind": "ApplicationSet", "name": "all"}])),
    ]);
    // Only generated by it: nobody but a person starts the sync.
    assert!(Story::new().see(6, &queued).wants_manual_sync());
    let mut rolling = queued;
    rolling["status"]["operationState"]["operation"]["initiatedBy"] = json!({"username": "applicationset-controller", "automated": true});
    let verdict = Story::new().see(6, &rolling);
    assert_eq!(verdict.headline(), "Waiting for its turn in the ApplicationSet all");
    assert!(!verdict.wants_manual_sync());
}

#[test]
fn row_12_rolled_back() {
    let back = out_of_sync(&[
        ("/spec/syncPolicy/automated", Value::Null),
        ("/status/operationState", operation("Succeeded", "a", 60, Some(65))),
        (
            "/status/history",
            json!([{"id": 2, "revision": sha("c"), "deployedAt": at(20)}, {"id": 3, "revision": sha("a"), "deployedAt": at(65)}]),
        ),
        ("/status/reconciledAt", at(66).into()),
    ]);
    let verdict = Story::new().see(70, &back);
    assert_eq!(
        (verdict.headline().as_str(), verdict.ending()),
        ("It was deployed, then rolled back to aaaaaaa", Some(Ending::RolledBack))
    );
    // Also while health settles, and without a history.
    let mut story = Story::without_baseline();
    story.see(22, &deployed("c"));
    assert_eq!(
        story.says(70, &with(back, "/status/history", json!([]))),
        "It was deployed, then rolled back to aaaaaaa"
    );
}

#[test]
fn row_13_not_seen_yet_asks_again_with_growing_pauses() {
    let mut story = Story::new();
    assert_eq!(story.says(1, &before()), "Argo CD has not seen the commit yet (it is at bbbbbbb)");
    assert_eq!(story.wants[0], Want::Refresh { not_before: time(0) });
    let mut asked = Vec::new();
    let mut second = 1;
    while asked.len() < 7 {
        match story.wants.clone().first() {
            Some(Want::Refresh { .. }) => {
                asked.push(second);
                story.refreshed(second);
            }
            Some(Want::WakeAt(when)) => second = (*when - time(0)).num_seconds(),
            other => panic!("neither a refresh nor a wake-up: {other:?}"),
        }
        story.see(second, &before());
    }
    assert_eq!(asked, [1, 6, 21, 51, 111, 231, 351]);
    assert_eq!(
        story.says(400, &before()),
        "Argo CD has not seen the commit yet (it is at bbbbbbb, refresh requested 7 times)"
    );
    // An unanswered refresh is given half a minute.
    let mut story = Story::new();
    story.refresh = Some(RefreshFact {
        asked_at: time(1),
        answered_at: None,
    });
    story.see(7, &before());
    assert_eq!(story.wants[0], Want::WakeAt(time(31)));
}

#[test]
fn row_14_a_time_out_is_not_a_failure() {
    let mut story = Story::new();
    let verdict = story.see(1800, &before());
    assert_eq!(
        verdict.headline(),
        "Not known in time. Last seen: Argo CD has not seen the commit yet (it is at bbbbbbb)"
    );
    assert_eq!(verdict.ending(), Some(Ending::TimedOut));
    assert!(
        Story::new()
            .presence(1800, Presence::Unreachable("503"))
            .headline()
            .ends_with("Argo CD cannot be asked: 503")
    );
    // What comes later still counts, and is no recovery from a failure.
    story.see(2000, &deployed("c"));
    assert_eq!(story.says(2010, &deployed("c")), "Deployed and healthy at ccccccc");
}

// ---- the health gate

#[test]
fn health_must_be_looked_at_after_the_sync() {
    let stale = with(deployed("c"), "/status/reconciledAt", at(19).into());
    let mut story = Story::without_baseline();
    assert_eq!(story.says(22, &stale), "Deployed at ccccccc; checking its health");
    assert_eq!(story.wants[0], Want::Refresh { not_before: time(22) });
    assert_eq!(
        story.says(23, &with(stale, "/status/reconciledAt", at(20).into())),
        "Deployed at ccccccc; healthy, making sure that it stays so"
    );
}

#[test]
fn stale_health_does_not_pass() {
    let health = |status: &str| with(deployed("c"), "/status/health/status", status.into());
    let mut story = Story::without_baseline();
    story.see(22, &health("Healthy"));
    assert_eq!(story.says(26, &health("Progressing")), "Deployed at ccccccc; progressing");
    assert!(!story.see(33, &health("Healthy")).is_final(), "the ten seconds begin anew");
    assert!(story.see(43, &health("Healthy")).is_final());
}

#[test]
fn every_health_has_its_way() {
    let ends = |status: Value, accept: bool| {
        let document = with(deployed("c"), "/status/health/status", status);
        let mut story = Story::new();
        story.change.accept_suspended = accept;
        story.see(22, &document);
        story.says(52, &document)
    };
    assert_eq!(ends("Progressing".into(), false), "Deployed at ccccccc; progressing");
    assert_eq!(ends("Missing".into(), false), "Deployed at ccccccc; its resources are missing");
    assert_eq!(ends("Suspended".into(), false), "Deployed at ccccccc; suspended");
    assert_eq!(ends("Suspended".into(), true), "Deployed at ccccccc; paused (suspended)");
    assert_eq!(ends("Unknown".into(), false), "Deployed at ccccccc; its health is unknown");
    assert_eq!(ends("Brilliant".into(), false), "Deployed at ccccccc; its health is unknown");
    assert_eq!(ends("Degraded".into(), false), "Deployed at ccccccc, and degraded");
}

#[test]
fn degraded_must_hold_and_names_the_later_revision() {
    let mut sick = with(deployed("c"), "/status/health/status", "Degraded".into());
    sick["status"]["health"]["message"] = "web: CrashLoopBackOff".into();
    let mut story = Story::new();
    assert_eq!(
        story.says(22, &sick),
        "Deployed at ccccccc; degraded, waiting whether it recovers: web: CrashLoopBackOff"
    );
    assert_eq!(story.wants[0], Want::WakeAt(time(52)));
    let verdict = story.see(52, &sick);
    assert_eq!(
        (verdict.headline().as_str(), verdict.ending()),
        ("Deployed at ccccccc, and degraded: web: CrashLoopBackOff", Some(Ending::Degraded))
    );
    story.see(100, &deployed("c"));
    assert_eq!(story.says(110, &deployed("c")), "Deployed and healthy at ccccccc, after a failure");

    let mut story = Story::new();
    story.see(22, &deployed("c"));
    let later = with(sick, "/status/operationState", operation("Succeeded", "d", 24, Some(25)));
    let later = with(later, "/status/reconciledAt", at(26).into());
    story.see(27, &later);
    assert_eq!(
        story.says(57, &later),
        "Deployed at ccccccc; degraded after ddddddd: web: CrashLoopBackOff"
    );
}

#[test]
fn already_degraded_is_not_blamed_on_the_change() {
    let sick = |document: Value| {
        with(
            document,
            "/status/health",
            json!({"status": "Degraded", "lastTransitionTime": at(-900), "message": "no disk"}),
        )
    };
    let mut story = Story::new();
    story.change.baseline = Some(Baseline::of(&parse(&sick(before()))));
    assert_eq!(
        story.says(22, &sick(deployed("c"))),
        "Deployed at ccccccc; it was degraded before: no disk"
    );
    // Degraded anew after the sync is.
    let mut story = Story::new();
    story.change.baseline = Some(Baseline::of(&parse(&sick(before()))));
    let anew = with(sick(deployed("c")), "/status/health/lastTransitionTime", at(21).into());
    story.see(22, &anew);
    assert_eq!(story.see(52, &anew).ending(), Some(Ending::Degraded));
}

#[test]
fn the_latch_holds_against_later_commits() {
    let mut story = Story::without_baseline();
    story.see(22, &deployed("c"));
    let busy = with(deployed("c"), "/status/operationState", operation("Running", "d", 24, None));
    assert_eq!(
        story.says(25, &busy),
        "Deployed at ccccccc; healthy, making sure that it stays so: another sync is running"
    );
    let failed = with(deployed("c"), "/status/operationState", operation("Failed", "d", 24, Some(25)));
    let failed = with(failed, "/status/reconciledAt", at(26).into());
    story.see(27, &failed);
    assert_eq!(
        story.says(37, &failed),
        "Deployed and healthy at ccccccc",
        "a later commit's failure is not ours"
    );
}

// ---- traps that no row shows by itself

#[test]
fn trap_1_and_13_the_compared_revision_alone_deploys_nothing() {
    assert_eq!(first(&out_of_sync(&[])), "Argo CD sees ccccccc and is about to sync");
}

#[test]
fn trap_6_between_retries_the_operation_is_running_though_it_has_an_end() {
    let mut retry = operation("Running", "c", 10, Some(12));
    retry["retryCount"] = 2.into();
    retry["message"] = "one or more objects failed to apply. Retrying attempt #3 at 3:04PM.".into();
    assert_eq!(
        first(&app(&[("/status/operationState", retry)])),
        "Syncing ccccccc, retry 2: one or more objects failed to apply. Retrying attempt #3 at 3:04PM."
    );
    let mut older = operation("Running", "b", -9, Some(-8));
    older["retryCount"] = 1.into();
    assert!(Story::new().see(1, &app(&[("/status/operationState", older)])).wants_terminate());
}

#[test]
fn trap_8_an_early_error_has_no_result_and_no_revision() {
    let error = json!({"phase": "Error", "message": "failed to render", "startedAt": at(5), "finishedAt": at(6),
                       "operation": {"sync": {"revision": sha("c")}}});
    let broken = |state: &Value| {
        app(&[
            ("/status/operationState", state.clone()),
            ("/status/sync", json!({"status": "OutOfSync", "revision": "main"})),
        ])
    };
    assert_eq!(
        first(&broken(&error)),
        "Argo CD cannot render or compare the application at ccccccc: failed to render"
    );
    let mut empty = error.clone();
    empty["syncResult"] = json!({"revision": ""});
    assert_eq!(
        first(&broken(&empty)),
        "Argo CD cannot render or compare the application at ccccccc: failed to render"
    );
    let mut older = error;
    older["operation"]["sync"]["revision"] = sha("b").into();
    assert_eq!(first(&broken(&older)), "Argo CD has not seen the commit yet");
}

#[test]
fn trap_12_a_lost_refresh_is_asked_again() {
    let mut story = Story::new();
    story.see(1, &before());
    story.refreshed(1);
    assert_eq!(
        story.says(2, &before()),
        "Argo CD has not seen the commit yet (it is at bbbbbbb, refresh requested)"
    );
    story.see(6, &before());
    assert_eq!(story.wants[0], Want::Refresh { not_before: time(6) });
}

#[test]
fn trap_17_a_hydrated_application_is_followed_through_the_dry_commit() {
    let hydrated = |dry: &str, wet: &str, current: Value, sync: &str| {
        let mut document = with(deployed(sync), "/status/history", json!([]));
        document["spec"] = json!({"project": "home", "sourceHydrator": {
            "drySource": {"repoURL": REPO, "targetRevision": "main", "path": "web"}, "syncSource": {"targetBranch": "env/prod"}}});
        document["status"]["sourceHydrator"] = json!({
            "lastSuccessfulOperation": {"drySHA": sha(dry), "hydratedSHA": sha(wet)}, "currentOperation": current});
        document
    };
    let says = |document: &Value| first(document);
    assert_eq!(
        says(&hydrated("b", "1", Value::Null, "1")),
        "Argo CD has not seen the commit yet (it is at bbbbbbb)"
    );
    assert_eq!(
        says(&hydrated("b", "1", json!({"phase": "Hydrating", "drySHA": sha("c")}), "1")),
        "Argo CD is rendering the commit to the hydrated branch"
    );
    assert_eq!(
        says(&hydrated(
            "b",
            "1",
            json!({"phase": "Failed", "drySHA": sha("c"), "message": "bad template"}),
            "1"
        )),
        "Rendering the hydrated branch failed at ccccccc: bad template"
    );
    assert_eq!(
        says(&hydrated("c", "9", Value::Null, "1")),
        "Argo CD has not seen the commit yet (it is at 1111111)"
    );
    assert_eq!(
        says(&hydrated("c", "9", Value::Null, "9")),
        "Deployed at 9999999; healthy, making sure that it stays so"
    );
    // The next dry commit is hydrated and not yet synced, and the mirror does not know the hydrated branch.
    let mut story = Story::without_baseline();
    story.see(22, &hydrated("c", "9", Value::Null, "9"));
    let mut pending = with(hydrated("d", "8", Value::Null, "9"), "/status/sync/revision", sha("8").into());
    pending["status"]["sync"]["status"] = "OutOfSync".into();
    assert!(story.says(23, &pending).starts_with("Deployed at 9999999"), "not rolled back");
    // A dry commit that changes nothing keeps the hydrated commit: its old operation proves nothing, good or bad.
    let same = hydrated("c", "1", Value::Null, "1");
    let same = with(same, "/status/operationState", operation("Failed", "1", -1000, Some(-990)));
    assert_eq!(Story::new().says(5, &same), "In sync at 1111111; nothing had to be applied");
}

#[test]
fn several_sources_must_all_contain_the_commit() {
    let sources = json!([{"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.2.3"},
                         {"repoURL": REPO, "targetRevision": "main", "ref": "values"},
                         {"repoURL": REPO, "targetRevision": "main", "path": "extra"}]);
    let says = |second: &str, third: &str| {
        let mut document = app(&[("/spec/sources", sources.clone())]);
        document["status"]["sync"] = json!({"status": "Synced", "revisions": ["1.2.3", sha(second), sha(third)]});
        document["status"]["operationState"] = Value::Null;
        Story::new().says(5, &document)
    };
    assert_eq!(says("c", "d"), "Deployed at ccccccc; healthy, making sure that it stays so");
    assert_eq!(says("d", "b"), "Argo CD has not seen the commit yet (it is at ddddddd)");
    assert_eq!(says("", "c"), "Argo CD has not seen the commit yet (it is at ccccccc)");
}

#[test]
fn revisions_are_read_beside_the_sources_they_were_made_of() {
    // The spec got a source in front; the comparison is still of the old list.
    let mut document = app(&[(
        "/spec/sources",
        json!([{"repoURL": "https://charts.example.com", "chart": "x"}, {"repoURL": REPO, "targetRevision": "main"}]),
    )]);
    document["status"]["sync"] =
        json!({"status": "Synced", "revision": sha("c"), "comparedTo": {"source": {"repoURL": REPO, "targetRevision": "main"}}});
    assert!(Story::new().see(5, &document).is_final());
}

#[test]
fn an_unknown_revision_is_fetched_and_never_believed() {
    let unknown = deployed("9");
    let mut story = Story::new();
    assert_eq!(story.says(22, &unknown), "Argo CD has not seen the commit yet (it is at 9999999)");
    assert!(story.wants.contains(&Want::FetchCommits { revisions: vec![sha("9")] }));
    story.see(23, &unknown);
    assert!(
        !story.wants.iter().any(|want| matches!(want, Want::FetchCommits { .. })),
        "not at every glance"
    );
    story.see(38, &unknown);
    assert!(story.wants.contains(&Want::FetchCommits { revisions: vec![sha("9")] }));
}

#[test]
fn a_list_view_is_never_judged_by() {
    let app = Application::parse(deployed("c"), View::List).expect("an application");
    let mut story = Story::new();
    assert_eq!(
        story.presence(22, Presence::Here(&app)).headline(),
        "Argo CD has not seen the commit yet"
    );
    assert!(story.wants.contains(&Want::Details { not_before: time(0) }));
    let mut story = Story::without_baseline();
    story.see(22, &deployed("c"));
    let told = story.presence(23, Presence::Here(&app)).headline();
    assert_eq!(told, "Deployed at ccccccc; checking its health", "the latch holds");
}

#[test]
fn an_application_without_status_is_simply_not_there_yet() {
    for status in [
        Value::Null,
        json!({}),
        json!({"sync": {"status": ""}, "health": {}, "resources": null}),
    ] {
        assert_eq!(first(&app(&[("/status", status)])), "Argo CD has not seen the commit yet");
    }
}

#[test]
fn maybe_applications_are_watched_only_when_they_move() {
    let change = Story::new().change;
    let moved = |document: &Value| moved_by(&parse(document), &change, &ancestry);
    assert!(!moved(&before()));
    assert!(
        !moved(&app(&[("/status/sync/revision", sha("c").into())])),
        "compared, and no difference"
    );
    assert!(moved(&out_of_sync(&[])));
    assert!(moved(&deployed("c")));
    assert!(!moved(&out_of_sync(&[("/status/sync/revision", sha("b").into())])));
}

#[test]
fn combined_the_worst_wins_when_all_are_final() {
    let synced = Story::new().see(6, &app(&[("/status/sync/revision", sha("c").into())]));
    let waiting = Story::new().see(1, &before());
    let manual = Story::new().see(6, &out_of_sync(&[("/spec/syncPolicy", Value::Null)]));
    let gone = Verdict::Gone {
        reason: GoneReason::Deleted,
    };
    let late = Verdict::TimedOut {
        waiting: Box::new(waiting.clone()),
    };
    let combined = |verdicts: &[&Verdict]| {
        let verdicts: Vec<Verdict> = verdicts.iter().map(|verdict| (*verdict).clone()).collect();
        combine(&verdicts).map(|combined| (combined.speaks, combined.ending))
    };
    assert_eq!(combined(&[]), None);
    assert_eq!(combined(&[&synced]), Some((0, Some(Ending::Synced))));
    assert_eq!(combined(&[&synced, &waiting]), Some((1, None)));
    assert_eq!(combined(&[&waiting, &manual]), Some((1, None)));
    assert_eq!(
        combined(&[&waiting, &gone, &synced]),
        Some((1, None)),
        "a failure is told, but not final while others wait"
    );
    assert_eq!(combined(&[&late, &gone, &synced]), Some((1, Some(Ending::Gone))));
    assert_eq!(combined(&[&synced, &late]), Some((1, Some(Ending::TimedOut))));
}

#[test]
fn our_own_operations_are_recognised() {
    let mut document = deployed("c");
    assert_eq!(operation_proposal(&parse(&document)), None);
    document["status"]["operationState"]["operation"]["info"] =
        json!([{"name": "x", "value": "y"}, {"name": OPERATION_INFO, "value": "prp_1"}]);
    assert_eq!(operation_proposal(&parse(&document)), Some("prp_1"));
}

#[test]
fn nothing_takes_long_words_over() {
    let message = "word ".repeat(500);
    let text = Verdict::ComparisonFailing { message }.headline();
    assert!(text.chars().count() < 400 && text.ends_with('…'));
}
