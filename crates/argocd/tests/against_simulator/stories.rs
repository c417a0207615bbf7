//! What becomes of a commit, as it is told to people.

use argocd::client::{Error, SyncOrder};
use argocd::touched::{Class, touched};
use argocd::verdict::{Ending, Tracking, Verdict, operation_proposal};
use simulators::argocd::{Automated, Behaviour};
use simulators::git::Change as Edit;

use crate::lab::{Lab, app, key, target};

#[tokio::test]
async fn a_commit_is_followed_to_the_end() {
    let lab = Lab::new().await;
    let change = lab.push("web", 2).await;
    let told = lab.follow_until("web", &change, &mut Tracking::default(), Verdict::is_final).await;
    let short = &change.commit[..7];
    assert!(told[0].starts_with("Argo CD has not seen the commit yet"), "{told:#?}");
    assert_eq!(told.last(), Some(&format!("Deployed and healthy at {short}")), "{told:#?}");
    lab.assert_faithful();
}

#[tokio::test]
async fn every_behaviour_has_its_end() {
    for (behaviour, expected) in [
        (Behaviour::StaleHealthy, "Deployed and healthy at COMMIT"),
        (Behaviour::NoDiff, "In sync at COMMIT; nothing had to be applied"),
        (Behaviour::Degraded, "Deployed at COMMIT, and degraded"),
        (Behaviour::SyncFails, "The sync failed at COMMIT"),
        (Behaviour::SyncErrors, "Argo CD cannot render or compare the application at COMMIT"),
        (Behaviour::ComparisonError, "Argo CD cannot render or compare the application: "),
        (
            Behaviour::Drifts,
            "Deployed and healthy at COMMIT; differs from git after the sync: ",
        ),
    ] {
        let lab = Lab::new().await;
        lab.sim.set_behaviour("web", behaviour);
        let change = lab.push("web", 2).await;
        let told = lab.follow("web", &change).await;
        let expected = expected.replace("COMMIT", &change.commit[..7]);
        assert!(told.starts_with(&expected), "{behaviour:?}: {told}");
        lab.assert_faithful();
    }
}

#[tokio::test]
async fn what_waits_says_why() {
    for (behaviour, expected) in [
        (Behaviour::Progressing, "Deployed at COMMIT; progressing"),
        (Behaviour::Suspended, "Deployed at COMMIT; suspended"),
        (Behaviour::Hang, "Syncing COMMIT"),
        (
            Behaviour::NeverSyncs,
            "Out of sync at COMMIT, and Argo CD does not start the sync by itself",
        ),
        (Behaviour::BlockedByWindow, "Held back by a sync window (deny window"),
        (
            Behaviour::AutoSyncOff,
            "Waiting for a manual sync: automated sync is off, COMMIT is ready",
        ),
    ] {
        let lab = Lab::new().await;
        lab.sim.set_behaviour("web", behaviour);
        let change = lab.push("web", 2).await;
        let expected = expected.replace("COMMIT", &change.commit[..7]);
        let reached = |verdict: &Verdict| verdict.headline().starts_with(&expected) || verdict.is_final();
        let told = lab.follow_until("web", &change, &mut Tracking::default(), reached).await;
        assert!(
            told.last().is_some_and(|last| last.starts_with(&expected)),
            "{behaviour:?}: {told:#?}"
        );
        lab.assert_faithful();
    }
}

#[tokio::test]
async fn an_application_that_moves_to_another_project_is_still_found() {
    let lab = Lab::new().await;
    lab.sim.set_behaviour("web", Behaviour::StaleHealthy);
    let change = lab.push("web", 2).await;
    lab.sim.edit_spec("web", |spec| spec.project = "other".to_owned());
    // The caller still asks with the project of before.
    assert_eq!(
        lab.follow("web", &change).await,
        format!("Deployed and healthy at {}", &change.commit[..7])
    );
}

#[tokio::test]
async fn retries_are_not_failures() {
    let lab = Lab::new().await;
    lab.sim.set_behaviour("web", Behaviour::Retry { failures: 2 });
    let change = lab.push("web", 2).await;
    assert_eq!(
        lab.follow("web", &change).await,
        format!("Deployed and healthy at {}", &change.commit[..7])
    );
}

#[tokio::test]
async fn lost_refreshes_are_asked_again() {
    let lab = Lab::new().await;
    lab.sim.lose_refreshes("web", 2);
    let change = lab.push("web", 2).await;
    assert!(lab.follow("web", &change).await.starts_with("Deployed and healthy"));
    assert!(lab.sim.count(simulators::argocd::Endpoint::Refresh) >= 3);
}

#[tokio::test]
async fn a_later_commit_carries_an_earlier_one() {
    let lab = Lab::new().await;
    let first = lab.push("web", 2).await;
    let later = lab.scale("web", 3);
    assert_eq!(
        lab.follow("web", &first).await,
        format!("Deployed as part of {} and healthy", &later[..7])
    );
}

#[tokio::test]
async fn a_failure_that_the_next_commit_mends_is_recovered() {
    let lab = Lab::new().await;
    lab.sim.set_behaviour("web", Behaviour::SyncFails);
    let change = lab.push("web", 2).await;
    let mut tracking = Tracking::default();
    lab.follow_until("web", &change, &mut tracking, Verdict::is_final).await;
    lab.sim.set_behaviour("web", Behaviour::Succeed);
    let later = lab.scale("web", 3);
    lab.watch.refresh(&app("web"), crate::lab::now());
    let synced = |verdict: &Verdict| verdict.ending() == Some(Ending::Synced);
    let told = lab.follow_until("web", &change, &mut tracking, synced).await;
    assert_eq!(
        told.last(),
        Some(&format!("Deployed as part of {} and healthy, after a failure", &later[..7]))
    );
}

#[tokio::test]
async fn a_removed_file_without_pruning_needs_prune() {
    let lab = Lab::new().await;
    let extra = Edit::write("apps/web/service.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n");
    lab.repo.commit_on_top(&[extra], "Add a service", "alice").expect("a commit");
    lab.sim.set_behaviour("web", Behaviour::PruneSkipped);
    let with_service = lab.push("web", 2).await;
    lab.follow("web", &with_service).await;
    let before = lab.change("web", "");
    let gone = lab
        .repo
        .commit_on_top(&[Edit::delete("apps/web/service.yaml")], "Remove it", "alice")
        .expect("a commit");
    let change = argocd::verdict::Change {
        commit: gone.clone(),
        pushed_at: crate::lab::now(),
        ..before
    };
    let told = lab.follow("web", &change).await;
    assert!(told.contains("; needs prune: Service"), "{told}");
}

#[tokio::test]
async fn a_rollback_is_told() {
    let lab = Lab::new().await;
    lab.sim.set_behaviour("web", Behaviour::Progressing);
    let change = lab.push("web", 2).await;
    let mut tracking = Tracking::default();
    lab.follow_until("web", &change, &mut tracking, |verdict| matches!(verdict, Verdict::Settling { .. }))
        .await;
    lab.sim.rollback_app("web").expect("a rollback");
    let told = lab.follow_until("web", &change, &mut tracking, Verdict::is_final).await;
    assert!(
        told.last()
            .is_some_and(|last| last.starts_with("It was deployed, then rolled back to ")),
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_deleted_application_is_gone_or_done() {
    for (deletes_app, expected) in [
        (false, "The application was deleted"),
        (true, "The application is deleted, as asked"),
    ] {
        let lab = Lab::new().await;
        lab.sim.set_behaviour("web", Behaviour::Progressing);
        let change = argocd::verdict::Change {
            deletes_app,
            ..lab.push("web", 2).await
        };
        let mut tracking = Tracking::default();
        lab.follow_until("web", &change, &mut tracking, |verdict| {
            matches!(verdict, Verdict::Settling { .. } | Verdict::AwaitingDeletion { .. })
        })
        .await;
        lab.sim.delete_app("web");
        let told = lab.follow_until("web", &change, &mut tracking, Verdict::is_final).await;
        assert_eq!(told.last().map(String::as_str), Some(expected), "{told:#?}");
    }
}

#[tokio::test]
async fn an_application_that_turns_away_is_not_tracked() {
    let lab = Lab::new().await;
    lab.sim.set_behaviour("web", Behaviour::NeverSyncs);
    let change = lab.push("web", 2).await;
    lab.sim
        .edit_spec("web", |spec| spec.sources[0].target_revision = "v1.0.0".to_owned());
    assert_eq!(
        lab.follow("web", &change).await,
        "The application no longer follows this branch (now: git.example.com/team/gitops at v1.0.0)"
    );
}

#[tokio::test]
async fn a_person_syncs_and_the_operation_is_recognised() {
    for behaviour in [Behaviour::AutoSyncOff, Behaviour::NeverSyncs] {
        let lab = Lab::new().await;
        lab.sim.set_behaviour("web", behaviour);
        let change = lab.push("web", 2).await;
        let mut tracking = Tracking::default();
        lab.follow_until("web", &change, &mut tracking, Verdict::wants_manual_sync).await;
        let state = lab.watch.snapshot();
        let waiting = state.application(&key("web")).expect("it is known");
        let verdict = Verdict::AwaitingManualSync {
            revision: change.commit.clone(),
        };
        let order = SyncOrder::prepare(waiting, &verdict, &target(), &change.commit, "prp_1").expect("it waits");
        let started = lab.watch.client().sync(&order).await.expect("the sync is taken");
        assert_eq!(operation_proposal(&started), Some("prp_1"));
        let told = lab.follow_until("web", &change, &mut tracking, Verdict::is_final).await;
        assert_eq!(
            told.last(),
            Some(&format!("Deployed and healthy at {}", &change.commit[..7])),
            "{behaviour:?}"
        );
        let done = lab.watch.client().get(&app("web")).await.expect("it answers");
        assert_eq!(operation_proposal(&done), Some("prp_1"), "still known as ours afterwards");
        lab.assert_faithful();
    }
}

#[tokio::test]
async fn refusals_of_a_sync_are_told_apart() {
    let lab = Lab::new().await;
    let change = lab.push("web", 2).await;
    let sync = async |adjust: &dyn Fn()| {
        let waiting = lab.watch.client().get(&app("web")).await.expect("it answers");
        let verdict = Verdict::Stalled {
            revision: change.commit.clone(),
        };
        let order = SyncOrder::prepare(&waiting, &verdict, &target(), &change.commit, "prp_1").expect("it is free");
        adjust();
        lab.watch.client().sync(&order).await.expect_err("it is refused")
    };
    lab.sim.set_behaviour("web", Behaviour::BlockedByWindow);
    assert!(matches!(sync(&|| {}).await, Error::WindowClosed { .. }));
    lab.sim.set_behaviour("web", Behaviour::AutoSyncOff);
    let automated_again = || lab.sim.edit_spec("web", |spec| spec.automated = Some(Automated::default()));
    assert!(matches!(sync(&automated_again).await, Error::AutoSyncMismatch { .. }));
}

#[tokio::test]
async fn only_what_the_files_reach_is_touched() {
    let lab = Lab::new().await;
    let state = lab.watch.fresh(std::time::Duration::ZERO).await.expect("Argo CD answers");
    let found = touched(state.applications(), &target(), &["apps/web/deployment.yaml".to_owned()]);
    let names: Vec<_> = found
        .iter()
        .filter(|found| found.class == Class::Touched)
        .map(|found| found.app.name.as_str())
        .collect();
    assert_eq!(names, ["web"]);
    assert!(
        touched(
            state.applications(),
            &argocd::repo::Target::new(["https://else.example/x"], "main", true),
            &["apps/web/x".to_owned()]
        )
        .is_empty()
    );
}
