//! A past for one runbook of the demo: a record needs days, and a demonstration has none. Every run says in its title that it is made up.

use anyhow::{Context as _, Result, anyhow};
use domain::ledger::{Environment, LedgerKey, Source, Target, Trial, TrialResult};
use domain::{
    ChangeSet, Decision, Delivery, Effect, Facts, ObjectId, Origin, Outcome, Policy, Proposal, ProposalId, Revision, RevisionAuthor,
    RunbookCall, Sha256Hash, Tier, Timestamp, Transition,
};
use serde_json::json;
use store::{Actor, Audit, Store, StoreError};

/// Runs of it: as many as an offer needs.
pub(super) const RUNS: u32 = 14;

/// One run a day on three targets, all of them well; and a look at the record as soon as the service runs.
pub(super) async fn write(store: &Store, policy: &Policy, runbook: &str, hash: Sha256Hash, now: Timestamp) -> Result<()> {
    for number in 0..RUNS {
        let (proposal, trial) = run(policy, runbook, hash, number, now)?;
        let last = number + 1 == RUNS;
        let transition = Transition {
            next: proposal,
            effects: Vec::new(),
            summary: "made up for the demonstration".to_owned(),
            seals: false,
        };
        let audit = Audit {
            proposal: None,
            actor: Actor::Service,
            event: "seeded".to_owned(),
            summary: "a past run, made up for the demonstration".to_owned(),
            details: json!({}),
            at: now,
        };
        store
            .write(move |tx| {
                Box::pin(async move {
                    let stored = tx.insert(&transition, &ChangeSet::default(), audit).await?;
                    tx.put_trial(&trial).await?;
                    if last {
                        tx.schedule(Some(stored.id), &Effect::WeighTrust, now).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
    }
    Ok(())
}

fn run(policy: &Policy, runbook: &str, hash: Sha256Hash, number: u32, now: Timestamp) -> Result<(Proposal, Trial)> {
    let at = now - chrono::Duration::days(i64::from(RUNS - number) + 1);
    let id: ProposalId = format!("prp_{:032x}", u128::from(number) + 1)
        .parse()
        .map_err(|error| anyhow!("{error}"))?;
    let app = ["shop", "cache", "search"].get(number as usize % 3).copied().unwrap_or("shop");
    let path: domain::RepoPath = format!("kubernetes/applications/{app}/deployment.yaml").parse().context("a path")?;
    let call = RunbookCall {
        runbook: runbook.parse()?,
        hash,
        parameters: json!({ "app": app, "restarted_at": at.format("%Y-%m-%dT%H:%M:%SZ").to_string() }),
    };
    let repository: domain::RepositoryName = "homelab".parse()?;
    let facts = Facts {
        paths: vec![path.clone()],
        runbook: Some(call.runbook.clone()),
        ..Facts::default()
    };
    let trial = Trial {
        proposal: id,
        key: LedgerKey {
            runbook: call.runbook.clone(),
            hash,
            environment: Environment {
                repository: repository.clone(),
                class: "default".parse()?,
            },
        },
        target: Target::of([path]),
        tier: Tier::Prompted,
        source: Source::Proposed,
        parameters: call.parameters.clone(),
        started_at: at,
        closes_at: at + chrono::Duration::hours(24),
        result: TrialResult::Succeeded,
        settled_at: Some(at),
        reverted_at: None,
    };
    let revision = Revision {
        number: 1,
        author: RevisionAuthor::Agent,
        base: ObjectId::from_bytes([0; 20]),
        digest: Sha256Hash::of(id.to_string().as_bytes()),
        route: policy.route(&repository, &facts),
        facts,
        replay: Vec::new(),
        created_at: at,
    };
    let proposal = Proposal {
        id,
        version: 1,
        repository,
        branch: "main".to_owned(),
        agent: "demo-agent".parse()?,
        requested_by: None,
        correlation: None,
        origin: Origin::Runbook(call),
        title: format!("Made up: {runbook} {app}"),
        reason: String::new(),
        created_at: at,
        expires_at: at,
        revision,
        reviews: Vec::new(),
        decision: Decision::Dismissed,
        decided_at: Some(at),
        audit_head: None,
        ended_by: None,
        hold_until: None,
        delivery: Delivery::Ended,
        attempts: Vec::new(),
        commit: None,
        pushed_at: None,
        committed_by: None,
        landed: None,
        pull: None,
        applications: Vec::new(),
        outcome: Some(Outcome::Dismissed),
        ended_at: Some(at),
        note: Some("made up for the demonstration".to_owned()),
        reverted_by: None,
        by_hand: None,
        recovered_at: None,
    };
    Ok((proposal, trial))
}
