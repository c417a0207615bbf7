//! How commits fare: compared, synced, healthy, or not, as scripted.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{AppRow, ApplicationSpec, Automated, Behaviour, SourceSpec, http},
    LONG, URL, deployment, lab, lab_with,
};
use crate::git::Change;

#[tokio::test]
async fn a_commit_is_compared_synced_and_healthy() {
    let lab = lab().await;
    let mut events = lab.stream("?name=web").await;
    assert_eq!(events.event().await["result"]["type"], "ADDED");
    let commit = lab.scale_web(2);
    let refreshed = lab.refresh("web").await;
    // Compared with the new commit, and the operation is already written.
    assert_eq!(refreshed["status"]["sync"]["revision"], json!(commit));
    assert_eq!(refreshed["status"]["sync"]["status"], "OutOfSync");
    assert_eq!(refreshed["operation"]["sync"]["revision"], json!(commit));
    lab.settles("Synced", "Healthy", "Succeeded").await;
    let app = lab.get("/api/v1/applications/web?project=default").await;
    assert_eq!(app["status"]["operationState"]["syncResult"]["revision"], json!(commit));
    assert_eq!(app["status"]["history"][1]["revision"], json!(commit));
    assert_eq!(app["status"]["summary"]["images"], json!(["web:1"]));
    assert!(app.get("operation").is_none());
    // The stream told the whole way, with rising versions and whole seconds.
    let (mut seen, mut versions) = (Vec::new(), Vec::new());
    while seen.last().is_none_or(|last| last != "Synced/Healthy/Succeeded") || seen.len() < 4 {
        let event = events.event().await;
        let row = AppRow::of(&event["result"]["application"]);
        versions.push(http::resource_version(&event["result"]["application"]));
        let state = format!("{}/{}/{}", row.sync, row.health, row.phase);
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    assert!(
        versions.is_sorted() && seen.iter().any(|state| state == "OutOfSync/Healthy/Running"),
        "{seen:?}"
    );
    assert!(seen.iter().any(|state| state == "Synced/Progressing/Succeeded"), "{seen:?}");
    assert!(!app["status"]["reconciledAt"].as_str().unwrap().contains('.'));
    lab.violations();
}

#[tokio::test]
async fn only_files_below_the_path_count() {
    let lab = lab().await;
    let commit = lab.scale_web(3);
    let app = lab.refresh("api").await;
    assert_eq!(
        (&app["status"]["sync"]["revision"], &app["status"]["sync"]["status"]),
        (&json!(commit), &json!("Synced"))
    );
    assert!(app.get("operation").is_none());
    let comment = format!("# note\n{}", deployment("api", 1));
    lab.repo
        .commit_on_top(&[Change::write("apps/api/deployment.yaml", comment)], "Comment", "alice")
        .unwrap();
    assert_eq!(
        lab.refresh("api").await["status"]["sync"]["status"],
        "Synced",
        "a comment changes no manifest"
    );
}

#[tokio::test]
async fn behaviours_end_as_named() {
    for (behaviour, end) in [
        (Behaviour::StaleHealthy, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::NoDiff, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::Degraded, ("Synced", "Degraded", "Succeeded")),
        (Behaviour::Progressing, ("Synced", "Progressing", "Succeeded")),
        (Behaviour::Suspended, ("Synced", "Suspended", "Succeeded")),
        (Behaviour::SyncFails, ("OutOfSync", "Healthy", "Failed")),
        (Behaviour::SyncErrors, ("OutOfSync", "Healthy", "Error")),
        (Behaviour::Retry { failures: 2 }, ("Synced", "Healthy", "Succeeded")),
        (Behaviour::ComparisonError, ("Unknown", "Healthy", "Succeeded")),
        (Behaviour::Hang, ("OutOfSync", "Healthy", "Running")),
        (Behaviour::NeverSyncs, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::BlockedByWindow, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::AutoSyncOff, ("OutOfSync", "Healthy", "Succeeded")),
        (Behaviour::Drifts, ("OutOfSync", "Healthy", "Succeeded")),
    ] {
        let lab = lab().await;
        lab.sim.set_behaviour("web", behaviour);
        let commit = lab.scale_web(2);
        lab.refresh("web").await;
        let app = lab.settles(end.0, end.1, end.2).await;
        let (state, revision) = (&app["status"]["operationState"], json!(commit));
        match behaviour {
            Behaviour::NoDiff | Behaviour::NeverSyncs | Behaviour::BlockedByWindow | Behaviour::AutoSyncOff => {
                assert_ne!(state["syncResult"]["revision"], revision, "{behaviour:?}: no operation ran");
                assert_eq!(app["status"]["sync"]["revision"], revision, "{behaviour:?}");
            }
            Behaviour::ComparisonError => {
                assert_eq!(app["status"]["sync"]["revision"], "main");
                assert_eq!(app["status"]["conditions"][0]["type"], "ComparisonError");
            }
            Behaviour::SyncErrors => {
                assert!(state.get("syncResult").is_none());
                assert_eq!(state["operation"]["sync"]["revision"], revision);
            }
            Behaviour::SyncFails => {
                assert_eq!(state["syncResult"]["resources"][0]["status"], "SyncFailed");
                lab.sim
                    .wait_for(LONG, |rows| rows[1].message.contains("Failed last sync attempt"))
                    .await
                    .unwrap();
            }
            Behaviour::Retry { failures } => assert_eq!(state["retryCount"], json!(failures)),
            _ => assert_eq!(state["syncResult"]["revision"], revision, "{behaviour:?}"),
        }
        let path = "/api/v1/applications/web?project=default";
        assert_eq!(lab.get(path).await["metadata"]["name"], "web", "{behaviour:?}");
        lab.violations();
    }
}

#[tokio::test]
async fn a_retry_is_running_and_yet_has_a_finishing_time() {
    let lab = lab_with(|options| options.step = Duration::from_millis(100)).await;
    lab.sim.set_behaviour("web", Behaviour::Retry { failures: 1 });
    lab.scale_web(2);
    let mut events = lab.stream("?name=web&fields=result.application.status.operationState").await;
    lab.refresh("web").await;
    loop {
        let state = events.event().await["result"]["application"]["status"]["operationState"].clone();
        if state["retryCount"] == 1 && state.get("finishedAt").is_some() {
            assert_eq!(state["phase"], "Running");
            assert!(state["message"].as_str().unwrap().contains("Retrying attempt #1"), "{state}");
            return;
        }
    }
}

#[tokio::test]
async fn health_is_stale_at_first_where_scripted() {
    let lab = lab_with(|options| options.step = Duration::from_millis(100)).await;
    lab.sim.set_behaviour("web", Behaviour::StaleHealthy);
    let mut events = lab.stream("?name=web").await;
    lab.scale_web(2);
    lab.refresh("web").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let row = AppRow::of(&events.event().await["result"]["application"]);
        if (row.sync.as_str(), row.phase.as_str()) == ("Synced", "Succeeded")
            && row.revision == lab.repo.tip().unwrap()
            && seen.last() != Some(&row.health)
        {
            seen.push(row.health);
        }
    }
    assert_eq!(seen, ["Healthy", "Progressing", "Healthy"]);
}

#[tokio::test]
async fn removed_files_are_pruned_or_skipped() {
    for (behaviour, status, sync) in [
        (Behaviour::Succeed, "Pruned", "Synced"),
        (Behaviour::PruneSkipped, "PruneSkipped", "OutOfSync"),
    ] {
        let lab = lab().await;
        lab.sim.set_behaviour("web", behaviour);
        let changes = [
            Change::delete("apps/web/service.yaml"),
            Change::write("apps/web/deployment.yaml", deployment("web", 2)),
        ];
        let commit = lab.repo.commit_on_top(&changes, "Drop the service", "alice").unwrap();
        lab.refresh("web").await;
        lab.sim
            .wait_for(LONG, |rows| {
                rows[1].sync == sync && rows[1].health == "Healthy" && rows[1].phase == "Succeeded"
            })
            .await
            .unwrap();
        let app = lab.settles(sync, "Healthy", "Succeeded").await;
        let result = &app["status"]["operationState"]["syncResult"];
        assert_eq!(result["revision"], json!(commit));
        let service = result["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["kind"] == "Service")
            .unwrap();
        assert_eq!(service["status"], status);
        let leftover = app["status"]["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["requiresPruning"] == true);
        assert_eq!(leftover, sync == "OutOfSync");
        lab.violations();
    }
}

#[tokio::test]
async fn a_lost_refresh_answers_with_what_was_known_before() {
    let lab = lab().await;
    let before = lab.repo.tip().unwrap();
    lab.sim.lose_refreshes("web", 1);
    let commit = lab.scale_web(2);
    let first = lab.refresh("web").await;
    assert_eq!(first["status"]["sync"]["revision"], json!(before));
    assert!(first["metadata"]["annotations"].get("argocd.argoproj.io/refresh").is_none());
    assert_eq!(lab.refresh("web").await["status"]["sync"]["revision"], json!(commit));
}

#[tokio::test]
async fn git_is_polled_without_being_asked() {
    let lab = lab_with(|options| options.poll_interval = Duration::from_millis(50)).await;
    let commit = lab.scale_web(2);
    lab.sim
        .wait_for(LONG, |rows| rows[1].revision == commit && rows[1].sync == "Synced")
        .await
        .unwrap();
    assert!(lab.sim.requests().is_empty());
}

#[tokio::test]
async fn a_hanging_operation_blocks_newer_commits_until_it_ends() {
    let lab = lab().await;
    let first = lab.scale_web(2);
    lab.sim.set_behaviour_at("web", &first, Behaviour::Hang);
    lab.refresh("web").await;
    lab.settles("OutOfSync", "Healthy", "Running").await;
    let second = lab.scale_web(3);
    let app = lab.refresh("web").await;
    // Compared with the newer commit, while the operation keeps to the older one.
    assert_eq!(
        (&app["status"]["sync"]["revision"], &app["operation"]["sync"]["revision"]),
        (&json!(second), &json!(first))
    );
    lab.sim.set_behaviour_at("web", &first, Behaviour::Succeed);
    let newest = |rows: &[AppRow]| rows[1].sync == "Synced" && rows[1].health == "Healthy";
    lab.sim.wait_for(LONG, newest).await.unwrap();
    let app = lab.sim.app("web");
    assert_eq!(app["status"]["operationState"]["syncResult"]["revision"], json!(second));
    assert_eq!(app["status"]["history"].as_array().unwrap().len(), 3);
    lab.violations();
}

#[tokio::test]
async fn self_heal_rollback_and_deletion() {
    let lab = lab().await;
    lab.sim.edit_spec("api", |spec| {
        spec.automated = Some(Automated {
            self_heal: true,
            ..Automated::default()
        })
    });
    lab.sim.drift_app("api");
    let healed = |rows: &[AppRow]| {
        let partial = lab.sim.app("api")["status"]["operationState"]["operation"]["sync"]["resources"].is_array();
        partial && rows[0].phase == "Succeeded" && rows[0].sync == "Synced"
    };
    lab.sim.wait_for(LONG, healed).await.unwrap();
    let history = lab.sim.app("api")["status"]["history"].as_array().unwrap().len();
    assert_eq!(history, 1, "healing is no deployment");

    let first = lab.repo.tip().unwrap();
    let second = lab.scale_web(2);
    lab.refresh("web").await;
    lab.settles("Synced", "Healthy", "Succeeded").await;
    lab.sim.rollback_app("web").unwrap();
    lab.sim
        .wait_for(LONG, |rows| rows[1].sync == "OutOfSync" && rows[1].phase == "Succeeded")
        .await
        .unwrap();
    let status = lab.sim.app("web")["status"].clone();
    assert_eq!(status["operationState"]["syncResult"]["revision"], json!(first));
    assert_eq!(status["sync"]["revision"], json!(second));

    let mut events = lab.stream("?name=web&fields=result.type").await;
    assert_eq!(events.event().await["result"]["type"], "ADDED");
    lab.sim.delete_app("web");
    while events.event().await["result"]["type"] != "DELETED" {}
    assert_eq!(lab.sim.app("web"), Value::Null);

    lab.violations();
}

#[tokio::test]
async fn a_new_application_and_a_missing_branch() {
    let lab = lab().await;
    lab.sim.add_app(ApplicationSpec::new("late", URL, "apps/api"));
    let created = |rows: &[AppRow]| {
        rows.iter()
            .any(|row| row.name == "late" && row.health == "Healthy" && row.sync == "Synced")
    };
    lab.sim.wait_for(LONG, created).await.unwrap();
    lab.repo.delete_branch().unwrap();
    let app = lab.refresh("late").await;
    assert_eq!(
        (&app["status"]["sync"]["status"], &app["status"]["sync"]["revision"]),
        (&json!("Unknown"), &json!("main"))
    );
    assert!(
        app["status"]["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains("unable to resolve 'main'")
    );
    lab.sim.edit_object("late", |object| {
        object["status"]["sourceHydrator"] = json!({"lastSuccessfulOperation": {"drySHA": "a", "hydratedSHA": "b"}})
    });
    assert_eq!(
        lab.get("/api/v1/applications/late?project=default").await["status"]["sourceHydrator"]["lastSuccessfulOperation"]["drySHA"],
        "a"
    );
    lab.violations();
}

#[tokio::test]
async fn several_sources_have_several_revisions() {
    let lab = lab_with(|options| {
        let values = SourceSpec {
            reference: Some("values".to_owned()),
            ..SourceSpec::folder(URL, "")
        };
        let chart = SourceSpec {
            chart: Some("redis".to_owned()),
            target_revision: "1.2.3".to_owned(),
            repo_url: "https://charts.example.com".to_owned(),
            value_files: vec!["$values/apps/web/deployment.yaml".to_owned()],
            ..SourceSpec::default()
        };
        let spec = ApplicationSpec {
            sources: vec![chart, values],
            ..ApplicationSpec::new("web", URL, "")
        };
        options.applications = vec![ApplicationSpec::new("api", URL, "apps/api"), spec];
    })
    .await;
    let commit = lab.scale_web(2);
    let app = lab.refresh("web").await;
    assert_eq!(app["status"]["sync"]["revisions"], json!(["1.2.3", commit]));
    assert_eq!(app["operation"]["sync"]["revisions"], json!(["1.2.3", commit]));
    let app = lab.settles("Synced", "Healthy", "Succeeded").await;
    assert_eq!(app["status"]["operationState"]["syncResult"]["revisions"], json!(["1.2.3", commit]));
    assert_eq!(app["status"]["sync"]["comparedTo"]["sources"][0]["chart"], "redis");
    lab.violations();
}

#[tokio::test]
async fn automation_never_wipes_an_application_out() {
    let lab = lab().await;
    let changes = [
        Change::delete("apps/web/deployment.yaml"),
        Change::delete("apps/web/service.yaml"),
        Change::write("apps/web/README.md", "nothing here any more\n"),
    ];
    lab.repo.commit_on_top(&changes, "Empty web", "alice").unwrap();
    let app = lab.refresh("web").await;
    assert_eq!(
        (&app["status"]["sync"]["status"], app.get("operation")),
        (&json!("OutOfSync"), None)
    );
    let condition = &app["status"]["conditions"][0];
    assert_eq!(condition["type"], "SyncError");
    assert!(
        condition["message"]
            .as_str()
            .unwrap()
            .contains("auto-sync will wipe out all resources"),
        "{condition}"
    );
    lab.violations();
}

#[tokio::test]
async fn a_sync_window_blocks_one_commit() {
    let lab = lab().await;
    let commit = lab.scale_web(2);
    lab.sim.set_behaviour_at("web", &commit, Behaviour::BlockedByWindow);
    assert_eq!(lab.refresh("web").await["status"]["sync"]["status"], "OutOfSync");
    let windows = lab.get("/api/v1/applications/web/syncwindows?project=default").await;
    assert_eq!(
        (windows.get("canSync"), &windows["activeWindows"][0]["kind"]),
        (None, &json!("deny"))
    );
    let (status, _) = lab.post("/api/v1/applications/web/sync", json!({})).await;
    assert_eq!(status, 403);
    // The window closes: the next look at git syncs.
    lab.sim.set_behaviour_at("web", &commit, Behaviour::Succeed);
    lab.refresh("web").await;
    lab.settles("Synced", "Healthy", "Succeeded").await;
    lab.violations();
}
