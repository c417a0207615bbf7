//! The watch itself: what it asks, what it survives, and what it admits.

use std::time::Duration;

use argocd::client::Trouble;
use argocd::model::View;
use argocd::verdict::{Presence, Tracking, Verdict};
use argocd::watch::{Changed, Watch, WatchOptions};
use secrecy::SecretString;
use simulators::argocd::{ApplicationSpec, Behaviour, Endpoint};
use simulators::git::Fault;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::lab::{LONG, Lab, URL, app, client, counted, deployment, key, now, quick};

#[tokio::test]
async fn nobody_waiting_is_one_stream_and_no_polling() {
    let lab = Lab::new().await;
    lab.until("the stream brings its snapshot", |state| state.apps.len() == 2).await;
    // Three list intervals of keep-alives later.
    let mut seen = Vec::new();
    let patient = timeout(LONG, async {
        while seen.len() < 15 {
            let last = lab.watch.snapshot().last_seen;
            if seen.last() != Some(&last) {
                seen.push(last);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    patient.await.expect("fifteen keep-alives");
    assert_eq!(
        counted(&lab.sim).into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
        [("Stream".to_owned(), 1)]
    );
}

#[tokio::test]
async fn a_fresh_view_costs_one_list_however_many_want_it() {
    let lab = Lab::new().await;
    let wanted = (0..50).map(|_| lab.watch.fresh(Duration::from_secs(60)));
    for state in futures_util::future::join_all(wanted).await {
        assert_eq!(state.expect("Argo CD answers").apps.len(), 2);
    }
    assert_eq!(lab.sim.count(Endpoint::List), 1);
}

/// Requests that so many changes in so many applications cost from the push to the last outcome.
async fn cost(changes: usize, apps: usize) -> usize {
    let names: Vec<String> = (0..apps).map(|number| format!("app{number}")).collect();
    let lab = Lab::with(
        |options| {
            options.applications = names
                .iter()
                .map(|name| ApplicationSpec::new(name, URL, &format!("apps/{name}")))
                .collect()
        },
        |_| {},
    )
    .await;
    let edits: Vec<_> = names
        .iter()
        .map(|name| simulators::git::Change::write(&format!("apps/{name}/deployment.yaml"), deployment(name, 5)))
        .collect();
    lab.watch.fresh(Duration::ZERO).await.expect("Argo CD answers");
    let mut before: Vec<_> = names.iter().map(|name| lab.change(name, "")).collect();
    // Refreshes that are asked again because a busy machine is slow are not what is counted here.
    before
        .iter_mut()
        .for_each(|change| change.patience.refresh_pauses_ms = vec![60_000]);
    let commit = lab.repo.commit_on_top(&edits, "Scale all", "alice").expect("a commit");
    lab.sim.reset_counts();
    let pushed_at = now();
    let followed = (0..changes).map(|number| {
        let index = number % apps;
        let change = argocd::verdict::Change {
            commit: commit.clone(),
            pushed_at,
            ..before[index].clone()
        };
        let (lab, name) = (&lab, &names[index]);
        async move { lab.follow(name, &change).await }
    });
    for told in futures_util::future::join_all(followed).await {
        assert!(told.starts_with("Deployed and healthy"), "{told}");
    }
    let requests = counted(&lab.sim);
    // Lists follow the clock, not the changes; on a slow machine there are more of them.
    requests
        .iter()
        .filter(|(endpoint, _)| *endpoint != "List" && *endpoint != "Stream")
        .map(|(_, count)| count)
        .sum()
}

#[tokio::test]
async fn requests_follow_the_applications_and_not_the_changes() {
    let (few, many) = (cost(3, 3).await, cost(150, 3).await);
    println!("{few} requests for 3 changes, {many} for 150");
    // Whether two looks fall together depends on timing; fifty times the changes must not cost twice the requests.
    assert!(many <= few * 2, "{few} requests for 3 changes, {many} for 150");
}

#[tokio::test]
async fn a_change_that_is_looked_at_after_the_others_costs_nothing() {
    let lab = Lab::with(|_| {}, |options| options.relist_every = Duration::from_secs(3600)).await;
    let change = lab.push("web", 2).await;
    lab.follow("web", &change).await;
    lab.sim.reset_counts();
    let late = lab.follow("web", &change).await;
    assert_eq!(late, format!("Deployed and healthy at {}", &change.commit[..7]));
    assert_eq!(counted(&lab.sim).values().sum::<usize>(), 0, "{:?}", counted(&lab.sim));
}

#[tokio::test]
async fn broken_doubled_and_ended_streams_are_survived() {
    let lab = Lab::new().await;
    lab.sim.set_duplicate_events(true);
    lab.sim.set_behaviour("web", Behaviour::Hang);
    let change = lab.push("web", 2).await;
    let mut tracking = Tracking::default();
    let syncing = |verdict: &Verdict| matches!(verdict, Verdict::Syncing { .. });
    lab.follow_until("web", &change, &mut tracking, syncing).await;
    lab.sim.drop_streams();
    lab.sim.set_behaviour("web", Behaviour::Succeed);
    lab.sim.end_streams();
    let told = lab.follow_until("web", &change, &mut tracking, Verdict::is_final).await;
    assert_eq!(told.last(), Some(&format!("Deployed and healthy at {}", &change.commit[..7])));
}

#[tokio::test]
async fn without_a_stream_lists_and_direct_looks_carry_on() {
    let lab = Lab::with(|_| {}, |options| options.backoff_max = Duration::from_millis(100)).await;
    let change = lab.push("web", 2).await;
    lab.sim.fail_next(Endpoint::Stream, Fault::Status(503), 10_000);
    lab.sim.drop_streams();
    assert_eq!(
        lab.follow("web", &change).await,
        format!("Deployed and healthy at {}", &change.commit[..7])
    );
}

#[tokio::test]
async fn a_hanging_refresh_holds_nothing_up() {
    let lab = Lab::with(|options| options.poll_interval = Duration::from_millis(200), |_| {}).await;
    lab.sim.fail_next(Endpoint::Refresh, Fault::Hang, 1000);
    let change = lab.push("web", 2).await;
    assert_eq!(
        lab.follow("web", &change).await,
        format!("Deployed and healthy at {}", &change.commit[..7])
    );
}

#[tokio::test]
async fn an_error_within_the_stream_is_shown_and_got_over() {
    let lab = Lab::new().await;
    lab.until("it is connected", |state| state.reachable && state.apps.len() == 2).await;
    lab.sim.fail_next(Endpoint::Stream, Fault::Status(503), 3);
    lab.sim.fail_streams(500);
    lab.until("it is back", |state| state.reachable && state.error.is_none()).await;
}

#[tokio::test]
async fn a_refused_token_is_not_tried_again_until_it_is_replaced() {
    let lab = Lab::new().await;
    lab.sim.reset_counts();
    let wrong = client(&lab.sim, "wrong.canary.token");
    let cancel = CancellationToken::new();
    let options = WatchOptions {
        backoff_min: Duration::from_secs(3600),
        ..quick()
    };
    let watch = Watch::start(wrong.clone(), options, cancel.clone());
    let mut changes = watch.subscribe();
    let refused = timeout(LONG, async {
        while watch.snapshot().error.is_none() {
            assert_eq!(changes.next().await, Some(Changed::All));
        }
    });
    refused.await.expect("the refusal is seen");
    let error = watch.snapshot().error.clone().expect("an error");
    assert!(
        error.starts_with("Argo CD does not accept the token") && !error.contains("canary"),
        "{error}"
    );
    assert!(matches!(watch.snapshot().evidence(&key("web")).presence, Presence::Unreachable(_)));
    // Interest, however often said, does not make it ask again and again.
    for _ in 0..100 {
        drop(watch.interest([key("web")]));
        tokio::task::yield_now().await;
    }
    let _ = watch.fresh(Duration::ZERO).await.expect_err("refused");
    let _ = watch.fresh(Duration::ZERO).await.expect_err("refused");
    assert!(
        lab.sim.count(Endpoint::Stream) + lab.sim.count(Endpoint::List) <= 3,
        "{:?}",
        lab.sim.requests()
    );
    wrong.set_token(SecretString::from(lab.sim.token()));
    let back = timeout(LONG, async {
        while watch.snapshot().apps.len() != 2 {
            assert!(changes.next().await.is_some());
        }
    });
    back.await.expect("the new token is taken at once");
    cancel.cancel();
}

#[tokio::test]
async fn a_token_refused_within_the_stream_is_shown_and_the_stream_left_alone() {
    let lab = Lab::with(|_| {}, |options| options.backoff_min = Duration::from_secs(3600)).await;
    lab.until("it is connected", |state| state.reachable && state.apps.len() == 2).await;
    lab.sim.reset_counts();
    lab.sim.fail_streams(401);
    lab.until("it says so", |state| {
        !state.reachable && state.error.as_ref().is_some_and(|error| error.contains("token"))
    })
    .await;
    assert_eq!(lab.sim.count(Endpoint::Stream), 0);
}

#[tokio::test]
async fn a_refused_list_says_which_kind_of_trouble_it_is_and_is_asked_again_with_growing_pauses() {
    for (status, expected) in [
        (401, Trouble::Token),
        (403, Trouble::Right("applications, get")),
        (500, Trouble::Away),
    ] {
        let lab = Lab::with(
            |options| options.keepalive = Duration::from_secs(3600),
            |options| options.idle_pause = Duration::from_secs(3600),
        )
        .await;
        lab.until("it is connected", |state| state.apps.len() == 2).await;
        lab.sim.drop_streams();
        lab.sim.fail_next(Endpoint::Stream, Fault::Status(503), 10_000);
        lab.sim.fail_next(Endpoint::List, Fault::Status(status), 3);
        let mut changes = lab.watch.subscribe();
        let mut told = Vec::new();
        let listed = timeout(LONG, async {
            loop {
                let pause = match lab.watch.fresh_soon(LONG) {
                    Ok(Some(state)) => return state,
                    Ok(None) => LONG,
                    Err(blocked) => {
                        let unlisted = lab.watch.snapshot().unlisted;
                        assert_eq!((blocked.error.trouble(), unlisted), (Some(expected), Some(expected)));
                        told.push(blocked.retry_in);
                        blocked.retry_in
                    }
                };
                tokio::select! {
                    _ = changes.next() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        let state = listed.await.expect("it is listed in the end");
        assert_eq!((state.apps.len(), state.unlisted), (2, None));
        assert!(
            !told.is_empty() && told.iter().all(|pause| *pause <= Duration::from_millis(80)),
            "{told:?}"
        );
        assert_eq!(lab.sim.count(Endpoint::List), 4, "three refusals and the answer");
    }
}

#[tokio::test]
async fn a_token_that_sees_nothing_is_told_from_a_cluster_that_is_fine() {
    let lab = Lab::with(|options| options.rights.projects = Some(vec!["other".to_owned()]), |_| {}).await;
    let state = lab.watch.fresh(Duration::ZERO).await.expect("Argo CD answers");
    assert_eq!((state.apps.len(), state.present_trouble()), (0, Some(Trouble::Empty)));
}

#[tokio::test]
async fn what_the_stream_missed_the_list_finds() {
    let lab = Lab::with(|_| {}, |options| options.idle_pause = Duration::from_secs(3600)).await;
    lab.until("it is connected", |state| state.apps.len() == 2).await;
    lab.sim.fail_next(Endpoint::Stream, Fault::Status(503), 10_000);
    lab.sim.drop_streams();
    lab.sim.add_app(ApplicationSpec::new("late", URL, "apps/late"));
    lab.sim.delete_app("api");
    let _interest = lab.watch.interest([key("web")]);
    lab.until("the list shows what happened", |state| {
        state.apps.contains_key(&key("late")) && !state.apps.contains_key(&key("api"))
    })
    .await;
    let state = lab.watch.snapshot();
    assert_eq!(state.apps[&key("late")].app.view, View::List);
    assert!(state.apps[&key("web")].is_detailed(), "what is known in detail stays so");
}

#[tokio::test]
async fn an_application_that_leaves_the_list_is_asked_for_before_it_is_called_gone() {
    let lab = Lab::new().await;
    lab.watch.fresh(Duration::ZERO).await.expect("Argo CD answers");
    // Never heard of, and not there.
    lab.watch
        .fulfil(&app("ghost"), &[argocd::verdict::Want::Details { not_before: now() }]);
    lab.until("404 with its project means gone", |state| state.gone.contains(&key("ghost")))
        .await;
    assert!(matches!(lab.watch.snapshot().evidence(&key("ghost")).presence, Presence::Gone));
    assert!(matches!(lab.watch.snapshot().evidence(&key("unheard")).presence, Presence::Missing));
}

#[tokio::test]
async fn lists_that_lag_behind_undo_nothing() {
    let lab = Lab::with(
        |options| options.list_lag = Duration::from_millis(300),
        |options| options.relist_every = Duration::from_millis(50),
    )
    .await;
    let change = lab.push("web", 2).await;
    let told = lab.follow_until("web", &change, &mut Tracking::default(), Verdict::is_final).await;
    assert_eq!(
        told.last(),
        Some(&format!("Deployed and healthy at {}", &change.commit[..7])),
        "{told:#?}"
    );
    let settled = told.iter().position(|line| line.starts_with("Deployed at"));
    assert!(
        settled.is_none_or(|at| told[at..].iter().all(|line| line.starts_with("Deployed"))),
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_cancelled_watch_ends() {
    let lab = Lab::new().await;
    let cancel = CancellationToken::new();
    let watch = Watch::start(client(&lab.sim, lab.sim.token()), quick(), cancel.clone());
    let mut changes = watch.subscribe();
    cancel.cancel();
    drop(watch);
    let ended = timeout(LONG, async { while changes.next().await.is_some() {} });
    ended.await.expect("the last sender goes with the tasks");
}
