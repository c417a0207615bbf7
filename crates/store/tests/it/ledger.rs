//! The trust ledger on file: what was written comes back, and judges as it did in memory.

use domain::ledger::{
    Demotion, DemotionCause, Environment, LedgerKey, Ruling, Shadow, Source, Target, Trial, TrialResult, TrustConstants, standing,
};
use domain::{Decision, PersonRef, Sha256Hash, Tier, Timestamp, UserId};
use serde_json::json;
use store::{Duplicate, LedgerRecord, StoreError, Tx};

use crate::support::{Fixture, at, homelab, id, proposal};

fn key() -> LedgerKey {
    LedgerKey {
        runbook: "scale".parse().expect("a name"),
        hash: Sha256Hash([9; 32]),
        environment: Environment {
            repository: homelab(),
            class: "production".parse().expect("a name"),
        },
    }
}

fn days(days: i64) -> Timestamp {
    at(days * 86_400)
}

fn trial(n: u64, on: &str, started_at: Timestamp) -> Trial {
    Trial {
        proposal: id(n),
        key: key(),
        target: Target::of([format!("apps/{on}.yaml").parse().expect("a path")]),
        tier: Tier::Prompted,
        source: Source::Proposed,
        parameters: json!({ "app": on, "replicas": 3 }),
        started_at,
        closes_at: started_at + chrono::Duration::hours(24),
        result: TrialResult::Open,
        settled_at: None,
        reverted_at: None,
    }
}

async fn put(it: &Fixture, trial: &Trial) {
    let trial = trial.clone();
    it.write(move |tx| Box::pin(async move { tx.put_trial(&trial).await })).await;
}

async fn record(it: &Fixture) -> LedgerRecord {
    it.store.read().ledger_record(&key(), at(0)).await.expect("reads")
}

#[tokio::test]
async fn a_trial_is_kept_with_its_result_and_a_failure_is_final() {
    let it = Fixture::new().await;
    let mut stored = Vec::new();
    for n in 1..=3 {
        it.insert(proposal(n)).await;
        stored.push(trial(n, if n == 3 { "db" } else { "web" }, at(n as i64)));
    }
    stored[1].source = Source::Observed {
        committed_at: at(1),
        reported_at: at(2),
        verified: true,
    };
    for trial in &stored {
        put(&it, trial).await;
    }
    let reader = it.store.read();
    assert_eq!(reader.open_trials().await, Ok(stored.clone()));
    assert!(stored[0].settle(TrialResult::Succeeded, at(60)));
    assert_eq!(stored[0].revert(at(90)).len(), 1);
    put(&it, &stored[0]).await;
    assert_eq!(reader.trial(id(1)).await, Ok(Some(stored[0].clone())));
    assert_eq!(reader.trial(id(9)).await, Ok(None));
    assert_eq!(record(&it).await.trials, stored);
    assert_eq!(reader.ledger_record(&key(), at(2)).await.map(|record| record.trials.len()), Ok(2));
    assert_eq!(reader.open_trials().await.map(|open| open.len()), Ok(2));
    assert_eq!(reader.ledger_keys(&key().runbook, &homelab(), at(0)).await, Ok(vec![key()]));

    let forged = Trial {
        result: TrialResult::Succeeded,
        ..stored[0].clone()
    };
    let refused: Result<(), StoreError> = it
        .store
        .write(move |tx: &mut Tx| Box::pin(async move { tx.put_trial(&forged).await }))
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Constraint { why }) if why.contains("final")),
        "{refused:?}"
    );
    let other = LedgerKey {
        hash: Sha256Hash([8; 32]),
        ..key()
    };
    assert_eq!(
        reader.ledger_record(&other, at(0)).await.map(|record| record.trials.len()),
        Ok(0),
        "an edited runbook starts at zero"
    );
}

#[tokio::test]
async fn a_record_is_bounded_and_forgets_no_failure() {
    let it = Fixture::new().await;
    for n in 1..=260 {
        it.insert(proposal(n)).await;
        let mut run = trial(n, "web", at(n as i64));
        let result = if n == 3 { TrialResult::Degraded } else { TrialResult::Succeeded };
        assert!(run.settle(result, at(n as i64 + 1)));
        if n == 5 {
            run.reverted_at = Some(at(900));
        }
        put(&it, &run).await;
    }
    let trials = record(&it).await.trials;
    let started: Vec<_> = trials.iter().map(|trial| trial.started_at).collect();
    assert_eq!(trials.len(), 202);
    assert_eq!(
        started[..3],
        [at(3), at(5), at(61)],
        "what went wrong, then the newest, oldest first"
    );
}

#[tokio::test]
async fn offers_are_made_once_and_answered_once() {
    let it = Fixture::new().await;
    let offer = async |at: Timestamp| -> Result<(), StoreError> {
        it.store
            .write(move |tx: &mut Tx| {
                Box::pin(async move { tx.put_offer(&key(), None, at, at + chrono::Duration::days(90)).await.map(drop) })
            })
            .await
    };
    assert_eq!(offer(days(1)).await, Ok(()));
    assert_eq!(offer(days(2)).await, Err(StoreError::Duplicate(Duplicate::Other)), "one is open");
    let reader = it.store.read();
    let open = reader.open_offer(&key()).await.expect("reads").expect("is open");
    assert_eq!((open.offered_at, open.expires_at), (days(1), days(91)));
    assert_eq!(record(&it).await.grants, [], "an offer is no promotion");
    assert!(it.write(|tx| Box::pin(async { tx.decline_offer(&key(), days(3)).await })).await);
    assert_eq!(record(&it).await.declined_at, Some(days(3)));
    assert_eq!(offer(days(40)).await, Ok(()));
    // The policy holds what was offered: the offer is taken. What it holds beside it was given by hand. Each is noted once.
    let sight = async |until: i64, now: i64| {
        it.write(move |tx| Box::pin(async move { tx.sight_grant(&key(), days(until), days(now)).await }))
            .await
    };
    assert!(sight(130, 41).await);
    assert!(!sight(130, 42).await);
    assert!(sight(200, 43).await);
    assert!(!sight(200, 44).await);
    let grants = record(&it).await.grants;
    let noted: Vec<_> = grants
        .iter()
        .map(|grant| (grant.offered_at, grant.granted_at, grant.expires_at, grant.given))
        .collect();
    assert_eq!(
        noted,
        [(days(40), days(41), days(130), false), (days(43), days(43), days(200), true)]
    );
    assert_eq!(reader.open_offer(&key()).await, Ok(None));
}

#[tokio::test]
async fn holds_and_demotions_stand_until_they_are_lifted() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    let mut run = trial(1, "web", at(0));
    let holds = run.revert(at(5));
    let again = holds.clone();
    let put = it
        .write(move |tx| Box::pin(async move { Ok([tx.put_hold(&again[0]).await?, tx.put_hold(&again[0]).await?]) }))
        .await;
    assert_eq!(put, [true, false], "one hold per path");
    assert_eq!(it.store.read().holds(&key().runbook, &homelab()).await, Ok(holds.clone()));
    let manual = Demotion {
        at: at(6),
        to: Tier::Manual,
        cause: DemotionCause::Human,
        proposal: Some(id(1)),
        by: Some(PersonRef {
            id: UserId(1001),
            name: "alice".to_owned(),
        }),
        lifted_at: None,
    };
    let stored = manual.clone();
    it.write(move |tx| Box::pin(async move { tx.put_demotion(&key(), &stored).await }))
        .await;
    let found = record(&it).await;
    assert_eq!((found.holds, found.demotions), (holds.clone(), vec![manual]));
    let lifted = it
        .write(|tx| {
            Box::pin(async {
                let holds = tx.lift_holds(&key().runbook, &homelab(), UserId(1001), at(8)).await?;
                Ok([
                    holds,
                    tx.lift_demotions(&key(), UserId(1001), at(8)).await?,
                    tx.lift_demotions(&key(), UserId(1001), at(9)).await?,
                ])
            })
        })
        .await;
    assert_eq!(lifted, [1, 1, 0]);
    let found = record(&it).await;
    assert_eq!((found.holds.len(), found.demotions[0].lifted_at), (0, Some(at(8))));
    let again = holds[0].clone();
    assert!(
        it.write(move |tx| Box::pin(async move { tx.put_hold(&again).await })).await,
        "the next revert holds anew"
    );
}

#[tokio::test]
async fn what_is_read_back_judges_as_it_did_in_memory() {
    let it = Fixture::new().await;
    let mut trials = Vec::new();
    for n in 0..14_u64 {
        it.insert(proposal(n)).await;
        let mut run = trial(n, ["web", "db"][n as usize % 2], days(n as i64));
        assert!(run.settle(TrialResult::Succeeded, days(n as i64) + chrono::Duration::minutes(4)));
        put(&it, &run).await;
        trials.push(run);
    }
    let (schema, now, constants) = (json!({}), days(15), TrustConstants::default());
    let judged = standing(&record(&it).await.with(Tier::Standard, &schema, None), now, &constants);
    let memory = LedgerRecord {
        trials,
        ..LedgerRecord::default()
    };
    assert_eq!(judged, standing(&memory.with(Tier::Standard, &schema, None), now, &constants));
    assert!(judged.offer.is_some());
    let target = Target::of(["apps/web.yaml".parse().expect("a path")]);
    assert!(matches!(
        judged.rule(&json!({ "app": "web", "replicas": 3 }), &target),
        Ruling::Runs { tier: Tier::Prompted, .. }
    ));
}

#[tokio::test]
async fn runs_that_asked_nobody_are_counted_from_their_call() {
    let it = Fixture::new().await;
    for (n, on) in [(1, "web"), (2, "db"), (3, "web")] {
        it.insert(proposal(n)).await;
        let run = trial(n, on, at(n as i64));
        it.write(move |tx| {
            Box::pin(async move {
                tx.put_standard_run(run.proposal, &run.key.runbook, &homelab(), &run.target, run.started_at)
                    .await
            })
        })
        .await;
    }
    it.change(id(3), |next| next.outcome = Some(domain::Outcome::Synced)).await;
    let target = trial(1, "web", at(0)).target;
    let runs = it
        .store
        .read()
        .standard_runs(&key().runbook, &homelab(), &target, at(2))
        .await
        .expect("reads");
    let seen: Vec<_> = runs.iter().map(|run| (run.at, run.same_target, run.under_way)).collect();
    assert_eq!(seen, [(at(2), false, true), (at(3), true, false)]);
}

#[tokio::test]
async fn a_digest_keeps_each_note_once_until_it_is_told() {
    let it = Fixture::new().await;
    for n in 1..=2 {
        it.insert(proposal(n)).await;
        for _ in 0..2 {
            it.write(move |tx| Box::pin(async move { tx.put_digest(-7, 0, id(n), at(1)).await }))
                .await;
        }
    }
    let read = it.store.read();
    assert_eq!(read.digest(-7, 0).await, Ok(vec![id(1), id(2)]));
    assert_eq!(read.digest(-7, 3).await, Ok(vec![]), "another topic");
    it.write(|tx| Box::pin(async { tx.clear_digest(-7, 0, id(1)).await })).await;
    assert_eq!(read.digest(-7, 0).await, Ok(vec![id(2)]));
}

#[tokio::test]
async fn a_shadow_counts_what_people_decided() {
    let it = Fixture::new().await;
    for (n, alone, decision) in [
        (1, true, Decision::Approved),
        (2, true, Decision::Rejected),
        (3, false, Decision::Approved),
        (4, true, Decision::Pending),
        (5, true, Decision::Expired),
    ] {
        it.insert(proposal(n)).await;
        it.change(id(n), move |next| next.decision = decision).await;
        it.write(move |tx| Box::pin(async move { tx.put_shadow(&key(), id(n), alone).await }))
            .await;
    }
    let shadow = it.store.read().shadow(&key()).await;
    assert_eq!(
        shadow,
        Ok(Shadow {
            runs: 3,
            alone: 2,
            agreed: 1
        })
    );
}
