//! What holds for every sequence of observations, likely or not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{Story, app, at, operation, sha};
use super::{Ending, Stage, Verdict};

/// One observation: what is shown, and whether a refresh was answered just before.
#[derive(Debug, Clone)]
struct Glance {
    document: Value,
    refreshed: bool,
    pause: i64,
}

/// An application in any state whose revisions are among `letters`.
fn glance(letters: &'static [&'static str]) -> impl Strategy<Value = Glance> {
    let letter = prop::sample::select(letters);
    let phase = prop::sample::select(&["Running", "Terminating", "Succeeded", "Failed", "Error", "Odd"][..]);
    let sync = prop::sample::select(&["Synced", "OutOfSync", "Unknown", ""][..]);
    let health = prop::sample::select(&["Healthy", "Progressing", "Degraded", "Missing", "Suspended", "Unknown", ""][..]);
    let condition = prop::sample::select(&["", "ComparisonError", "SyncError", "OrphanedResourceWarning"][..]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (
        letter.clone(),
        letter.clone(),
        letter,
        phase,
        sync,
        health,
        condition,
        flags,
        -20..400i64,
        1..60i64,
    )
        .prop_map(
            |(compared, applied, deployed, phase, sync, health, condition, flags, when, pause)| {
                let (finished, partial, automated, refreshed) = flags;
                let mut state = operation(phase, applied, when, finished.then_some(when + 5));
                if partial {
                    state["operation"]["sync"]["resources"] = json!([{"kind": "X"}]);
                }
                let revision = if compared == "m" { "main".to_owned() } else { sha(compared) };
                let document = app(&[
                    ("/status/sync", json!({"status": sync, "revision": revision})),
                    ("/status/operationState", state),
                    ("/status/health", json!({"status": health, "lastTransitionTime": at(when)})),
                    ("/status/reconciledAt", at(when + 5).into()),
                    ("/status/conditions", json!([{"type": condition, "message": "because"}])),
                    (
                        "/status/history",
                        json!([{"id": 1, "revision": sha(deployed), "deployedAt": at(when - 1)}]),
                    ),
                    ("/spec/syncPolicy/automated", if automated { json!({}) } else { Value::Null }),
                ]);
                Glance {
                    document,
                    refreshed,
                    pause,
                }
            },
        )
}

fn run(glances: &[Glance], mut each: impl FnMut(&Story, &Verdict)) {
    let mut story = Story::new();
    let mut second = 0;
    for glance in glances {
        second += glance.pause;
        if glance.refreshed {
            story.refreshed(second);
        }
        let verdict = story.see(second, &glance.document);
        each(&story, &verdict);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is older than the push, unresolved or unknown to the mirror can neither make a change succeed nor blame
    /// an application's failure to apply on it.
    #[test]
    fn nothing_from_before_the_push_counts(glances in prop::collection::vec(glance(&["a", "b", "m", "9"]), 1..25)) {
        run(&glances, |story, verdict| {
            assert!(story.tracking.latch.is_none());
            match verdict.ending() {
                None | Some(Ending::TimedOut) => {}
                Some(Ending::SyncFailed) => assert!(matches!(verdict, Verdict::SyncFailed { stage: Stage::Compare, .. })),
                Some(other) => panic!("{other}: {}", verdict.headline()),
            }
        });
    }

    /// The latch is never given back; after it nothing counts as waiting for the sync; a success is the last word, a
    /// failure can only become a success.
    #[test]
    fn nothing_goes_backwards(glances in prop::collection::vec(glance(&["a", "b", "c", "d", "e", "m", "9"]), 1..40)) {
        let mut latched = None;
        let mut last: Option<Verdict> = None;
        run(&glances, |story, verdict| {
            if let Some(before) = &latched {
                assert_eq!(story.tracking.latch.as_ref(), Some(before));
                let settled = matches!(verdict, Verdict::Settling { .. }) || verdict.is_final();
                assert!(settled, "{}", verdict.headline());
            }
            latched = story.tracking.latch.clone();
            match &last {
                Some(before) if before.ending() == Some(Ending::Synced) => assert_eq!(verdict, before),
                Some(before) if before.is_final() => {
                    assert!(verdict == before || verdict.ending() == Some(Ending::Synced), "{}", verdict.headline());
                }
                _ => {}
            }
            last = Some(verdict.clone());
        });
    }

    /// A success is never said without proof: the latch names a revision that contains the commit.
    #[test]
    fn a_success_has_a_proof(glances in prop::collection::vec(glance(&["a", "c", "d", "m"]), 1..40)) {
        run(&glances, |story, verdict| {
            if let Verdict::Synced { revision, .. } = verdict {
                let latch = story.tracking.latch.as_ref().expect("a success is latched");
                assert_eq!(&latch.revision, revision);
                assert!(revision.as_bytes()[0] >= b'c');
            }
        });
    }

    /// While a verdict waits, something will bring it on: a wish, or a time to wake up.
    #[test]
    fn who_waits_knows_what_for(glances in prop::collection::vec(glance(&["a", "b", "c", "d", "m", "9"]), 1..20)) {
        run(&glances, |story, verdict| {
            let settled = story.tracking.settled.is_some();
            assert!(settled || verdict.is_final() || !story.wants.is_empty(), "{}", verdict.headline());
        });
    }
}
