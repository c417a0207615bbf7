//! A long history: proposals that were delivered long ago, written through the store itself.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use domain::{
    ChangeSet, Decision, Delivery, Facts, FileChange, FileMode, NewFile, ObjectId, Origin, Outcome, Proposal, RepoPath, Revision,
    RevisionAuthor, Route, Sha256Hash, Tier, Timestamp, Transition,
};
use store::{Actor, Audit, Store, StoreError, StoreOptions};

/// Proposals per durable commit.
const TOGETHER: u64 = 500;
/// Distance of two proposals in seconds.
const APART: i64 = 60;

/// Stores so many delivered proposals, each with revision, contents and audit row.
pub(crate) async fn fill(database: &Path, count: u64) -> Result<()> {
    let store = Store::open(database, StoreOptions::default()).await?;
    // The newest is a day old, the contents' retention does not begin to work on the others.
    let newest = chrono::Utc::now() - chrono::Duration::days(1);
    let mut number = 0;
    while number < count {
        let some = (number..count.min(number + TOGETHER))
            .map(|one| made(one, count, newest))
            .collect::<Result<Vec<_>>>()?;
        number += TOGETHER;
        store
            .write(move |tx| {
                Box::pin(async move {
                    for (transition, contents, audit) in some {
                        tx.insert(&transition, &contents, audit).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
    }
    store.close().await;
    Ok(())
}

fn made(number: u64, count: u64, newest: Timestamp) -> Result<(Transition, ChangeSet, Audit)> {
    let age = i64::try_from(count - number)?;
    let at = newest - chrono::Duration::seconds(age * APART);
    let path: RepoPath = format!("kubernetes/applications/app-{}/values.yaml", number % 500).parse()?;
    let contents = contents(path.clone(), number);
    let repository = "homelab".parse()?;
    let revision = Revision {
        number: 1,
        author: RevisionAuthor::Agent,
        base: ObjectId::from_bytes([1; 20]),
        digest: contents.digest(&repository, "main"),
        facts: Facts {
            paths: vec![path],
            ..Facts::default()
        },
        route: Route {
            tier: Tier::Prompted,
            rule: Some("everything".to_owned()),
            why: "rule everything matches".to_owned(),
            requirements: Vec::new(),
            ttl_seconds: 14_400,
            policy: Sha256Hash::of(b"policy"),
            second_factors: Default::default(),
            waiting: domain::Waiting::default(),
        },
        created_at: at,
        replay: Vec::new(),
    };
    let next = proposal(number, at, revision)?;
    let audit = Audit {
        proposal: Some(next.id),
        actor: Actor::Agent(next.agent.clone()),
        event: "proposed".to_owned(),
        summary: "prompted: rule everything matches".to_owned(),
        details: serde_json::json!({ "base": next.revision.base }),
        at,
    };
    let transition = Transition {
        next,
        effects: Vec::new(),
        summary: audit.summary.clone(),
        seals: false,
    };
    Ok((transition, contents, audit))
}

fn contents(path: RepoPath, number: u64) -> ChangeSet {
    let new = NewFile {
        mode: FileMode::Regular,
        bytes: format!("# values of one application\nreplicaCount: {number}\n")
            .repeat(8)
            .into_bytes(),
    };
    ChangeSet::new(BTreeMap::from([(path, FileChange { old: None, new: Some(new) })]))
}

fn proposal(number: u64, at: Timestamp, revision: Revision) -> Result<Proposal> {
    let mut commit = [0; 20];
    commit.get_mut(..8).context("eight bytes")?.copy_from_slice(&number.to_be_bytes());
    let milliseconds = u128::try_from(at.timestamp_millis())?;
    // A UUIDv7: the time in front, then version and variant, then what makes it unique.
    let id = (milliseconds << 80) | (7 << 76) | (2 << 62) | u128::from(number);
    Ok(Proposal {
        id: format!("prp_{id:032x}").parse()?,
        version: 5,
        repository: "homelab".parse()?,
        branch: "main".to_owned(),
        agent: format!("agent-{}", number % 8).parse()?,
        requested_by: None,
        correlation: None,
        origin: Origin::Change,
        title: format!("Change number {number}"),
        reason: "The graph has been above its line for twenty minutes.".to_owned(),
        created_at: at,
        expires_at: at + chrono::Duration::hours(4),
        revision,
        reviews: Vec::new(),
        decision: Decision::Approved,
        decided_at: Some(at),
        audit_head: None,
        ended_by: None,
        hold_until: None,
        delivery: Delivery::Ended,
        attempts: Vec::new(),
        commit: Some(ObjectId::from_bytes(commit)),
        pushed_at: Some(at),
        committed_by: None,
        landed: None,
        pull: None,
        applications: Vec::new(),
        outcome: Some(Outcome::Synced),
        ended_at: Some(at),
        note: None,
        reverted_by: None,
        by_hand: None,
        recovered_at: None,
    })
}
