//! A past for a runbook: trials need days, and no test has them.

use anyhow::{Context as _, Result};
use domain::ledger::{Target, Trial, TrialResult};
use domain::{Decision, Delivery, Effect, Outcome, ProposalId, Transition};
use store::{Actor, Audit, StoreError};

use crate::Lab;

/// Gives the runbook of a run so many successful runs before it, one a day, taking turns on three targets and with 3 to 5 replicas. Each is a
/// proposal of its own that says in its title that it is made up. Then the record is looked at, as after every run.
///
/// # Errors
/// When the run has no trial yet, or the database refuses.
pub async fn seed(lab: &Lab, like: ProposalId, runs: u32) -> Result<()> {
    let read = lab.engine.store().read();
    let model = lab.proposal(like).await?;
    let trial = read.trial(like).await?.context("the run has no trial")?;
    let contents = read.contents(like, model.revision.number).await?.context("no contents")?;
    for number in 0..runs {
        let started_at = trial.started_at - chrono::Duration::days(i64::from(runs - number) + 1);
        let mut past = model.clone();
        past.id = ProposalId::new(uuid::Uuid::from_u128(u128::from(number) + 1));
        past.title = format!("Made up for a test: past run {number}");
        past.created_at = started_at;
        past.commit = None;
        past.delivery = Delivery::Ended;
        past.decision = Decision::Dismissed;
        past.outcome = Some(Outcome::Dismissed);
        past.ended_at = Some(started_at);
        past.version = 1;
        let target = format!("kubernetes/applications/{}/deployment.yaml", ["a", "b", "c"][number as usize % 3]);
        let run = Trial {
            proposal: past.id,
            target: Target::of([target.parse()?]),
            parameters: serde_json::json!({ "app": "web", "replicas": 3 + number % 3 }),
            started_at,
            closes_at: started_at + chrono::Duration::hours(24),
            result: TrialResult::Succeeded,
            settled_at: Some(started_at),
            reverted_at: None,
            ..trial.clone()
        };
        let transition = Transition {
            next: past,
            effects: Vec::new(),
            summary: "made up".to_owned(),
            seals: false,
        };
        let audit = Audit {
            proposal: None,
            actor: Actor::Service,
            event: "seeded".to_owned(),
            summary: "a past run, made up for a test".to_owned(),
            details: serde_json::json!({}),
            at: started_at,
        };
        let (contents, last) = (contents.clone(), number + 1 == runs);
        lab.engine
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.insert(&transition, &contents, audit).await?;
                    tx.put_trial(&run).await?;
                    if last {
                        tx.schedule(Some(run.proposal), &Effect::WeighTrust, run.closes_at).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
    }
    Ok(())
}
