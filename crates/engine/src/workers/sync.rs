//! Watching Argo CD for every commit in flight: one stream and one relist per instance, whatever the number of changes.
//!
//! What must survive a restart (what was seen of which application) is stored with the proposal's row; the rest is rebuilt when the effect is
//! claimed again. The effect stays leased while its commit is in flight.

mod discovery;
mod judging;
mod staying;
mod telling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use argocd::client::Trouble;
use argocd::model::AppRef;
use argocd::repo::Target;
use argocd::touched::Class;
use argocd::verdict::{Baseline, Tracking, Verdict};
use argocd::watch::{Blocked, Changed, Interest, State};
use domain::{ApplicationState, CommitId, Delivery, Outcome, Proposal, ProposalId, Timestamp};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::discovery::appeared;
use self::judging::Answers;
use super::effects::Held;
use crate::trust::stability;
use crate::{ArgocdSetup, Engine, RepositorySetup};

pub(crate) use self::discovery::touched;

/// How long a failed end may still come right.
const RECOVERY_SECONDS: i64 = 3600;
/// Longest time between two looks at a commit in flight, whatever the events say.
const LOOK_SECONDS: i64 = 60;
/// Commits looked at side by side: what they come to is then stored in few durable commits.
const LOOKS_AT_ONCE: usize = 64;

/// One commit in flight.
struct Flight {
    held: Held,
    proposal: Proposal,
    commit: CommitId,
    pushed_at: Timestamp,
    target: Target,
    follows: Vec<Follow>,
    discovered: bool,
    /// There may be more applications than those that were found.
    rediscover: bool,
    /// [`State::origins`] when it was last asked which applications are concerned.
    origins: u64,
    wake: Timestamp,
    interest: Option<Interest>,
    /// Ended badly; watched a while longer.
    failed: bool,
    /// A run that ended well must stay so until then, or it was no success of its runbook.
    stable_until: Option<Timestamp>,
    /// Why Argo CD could not be asked, as it was told last.
    trouble: Option<Trouble>,
}

/// One application that a commit is followed in.
#[derive(Clone)]
struct Follow {
    app: AppRef,
    memory: Memory,
    verdict: Verdict,
}

/// What is stored with the proposal.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Memory {
    tracking: Tracking,
    baseline: Option<Baseline>,
    class: Class,
}

impl Engine {
    pub(super) async fn observe_all(self, mut inbox: mpsc::UnboundedReceiver<Held>, cancel: CancellationToken) {
        let (told, mut changes) = mpsc::unbounded_channel();
        for instance in self.0.argocd.values() {
            tokio::spawn(forward(instance.name.clone(), instance.watch.clone(), told.clone(), cancel.clone()));
        }
        let mut flights: BTreeMap<ProposalId, Flight> = BTreeMap::new();
        let mut answers = Answers::default();
        loop {
            let now = self.now();
            let next = flights.values().map(|flight| flight.wake).min();
            let wait = next.map_or(Duration::from_secs(3600), |wake| (wake - now).to_std().unwrap_or(Duration::ZERO));
            let mut dirty: BTreeSet<ProposalId> = BTreeSet::new();
            tokio::select! {
                () = cancel.cancelled() => return,
                held = inbox.recv() => {
                    let Some(held) = held else { return };
                    self.register(held, &mut flights, &mut dirty).await;
                    while let Ok(held) = inbox.try_recv() {
                        self.register(held, &mut flights, &mut dirty).await;
                    }
                }
                change = changes.recv() => {
                    let Some(change) = change else { return };
                    self.mark(&change, &mut flights, &mut dirty);
                    while let Ok(change) = changes.try_recv() {
                        self.mark(&change, &mut flights, &mut dirty);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
            let now = self.now();
            dirty.extend(flights.iter().filter(|(_, flight)| flight.wake <= now).map(|(id, _)| *id));
            answers.begin(flights.values().map(|flight| (&flight.proposal.repository, flight.commit)));
            let looked: Vec<Flight> = dirty.iter().filter_map(|id| flights.remove(id)).collect();
            let looks = looked.into_iter().map(|flight| self.followed_up(flight, &answers));
            let mut looks = futures_util::stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
            while let Some(kept) = looks.next().await {
                flights.extend(kept.map(|flight| (flight.proposal.id, flight)));
            }
            metrics::gauge!("countersign_in_flight").set(flights.len() as f64);
        }
    }

    /// One look at one commit; the flight, while there is more to watch.
    async fn followed_up(&self, mut flight: Flight, answers: &Answers) -> Option<Flight> {
        if self.look_at(&mut flight, answers).await {
            return Some(flight);
        }
        if let Err(error) = self.finish(flight.held.effect_id).await {
            tracing::error!(proposal = %flight.proposal.id, %error, "the end of a watch could not be recorded; it is looked at again");
        }
        None
    }

    async fn register(&self, held: Held, flights: &mut BTreeMap<ProposalId, Flight>, dirty: &mut BTreeSet<ProposalId>) {
        dirty.insert(held.proposal);
        if let Some(known) = flights.get_mut(&held.proposal) {
            known.held = held;
            return;
        }
        let proposal = match self.store().read().proposal(held.proposal).await {
            Ok(proposal) => proposal,
            Err(error) => {
                tracing::error!(proposal = %held.proposal, %error, "a proposal cannot be read; its lease will end");
                return;
            }
        };
        let flight = match proposal {
            Some(proposal) => {
                let tried = self.is_tried(held.proposal).await;
                self.flight(held, proposal, tried)
            }
            None => None,
        };
        match flight {
            Some(flight) => {
                flights.insert(held.proposal, flight);
            }
            None => {
                dirty.remove(&held.proposal);
                if let Err(error) = self.finish(held.effect_id).await {
                    tracing::error!(proposal = %held.proposal, %error, "a watch could not be ended; its lease will");
                }
            }
        }
    }

    /// `tried`: it is a run whose success is not settled.
    fn flight(&self, held: Held, proposal: Proposal, tried: bool) -> Option<Flight> {
        let now = self.now();
        let failed = proposal.outcome.is_some_and(Outcome::is_failure);
        let recent = proposal.ended_at.is_some_and(|at| (now - at).num_seconds() < RECOVERY_SECONDS);
        let stable_until = stability(&self.book(), &proposal).filter(|_| tried);
        match proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
            Delivery::Ended if stable_until.is_some() => {}
            Delivery::Ended if failed && recent && proposal.recovered_at.is_none() => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Ended => {
                return None;
            }
        }
        let commit = proposal.commit?;
        let setup = self.repository(&proposal.repository)?;
        let follows: Vec<Follow> = proposal.applications.iter().filter_map(follow_of).collect();
        Some(Flight {
            held,
            commit,
            pushed_at: proposal.pushed_at.unwrap_or(now),
            target: target(setup),
            discovered: !follows.is_empty(),
            rediscover: !follows.is_empty(),
            origins: 0,
            follows,
            wake: now,
            interest: None,
            failed: failed && proposal.delivery == Delivery::Ended,
            stable_until,
            trouble: None,
            proposal,
        })
    }

    fn mark(&self, (instance, changed): &(String, Changed), flights: &mut BTreeMap<ProposalId, Flight>, dirty: &mut BTreeSet<ProposalId>) {
        let Some(state) = self.0.argocd.get(instance).map(|instance| instance.watch.snapshot()) else {
            return;
        };
        for (id, flight) in flights {
            let here = self
                .repository(&flight.proposal.repository)
                .is_some_and(|setup| setup.argocd.as_ref() == Some(instance));
            let concerned = match changed {
                Changed::All => {
                    flight.rediscover = true;
                    true
                }
                Changed::App(_) if !flight.discovered => true,
                Changed::App(key) if flight.follows.iter().any(|follow| follow.app.key() == *key) => true,
                // Another one may have appeared, or come to track these files, since they were found.
                Changed::App(_) => {
                    let more = here && appeared(flight, &state);
                    flight.rediscover |= more;
                    more
                }
            };
            if here && concerned {
                dirty.insert(*id);
            }
        }
    }

    /// False when there is nothing more to watch.
    async fn look_at(&self, flight: &mut Flight, answers: &Answers) -> bool {
        let now = self.now();
        flight.wake = now + chrono::Duration::seconds(LOOK_SECONDS);
        let Some(setup) = self.repository(&flight.proposal.repository) else {
            return false;
        };
        let Some(instance) = self.instance_of(setup) else {
            return self
                .settle(
                    flight,
                    Outcome::Pushed,
                    Some("no Argo CD is configured for this repository".to_owned()),
                )
                .await;
        };
        if !flight.discovered {
            // Not waited for: a list that hangs must not hold up the commits of other instances.
            match instance.watch.fresh_soon(Duration::from_secs(5)) {
                Ok(Some(state)) => {
                    self.discover(flight, setup, instance, &state);
                    if flight.follows.is_empty() {
                        let shown = if state.apps.is_empty() {
                            format!(": {}", Trouble::Empty)
                        } else {
                            String::new()
                        };
                        let note = format!("no application tracks these files{shown}");
                        return self.settle(flight, Outcome::Pushed, Some(note)).await;
                    }
                }
                Ok(None) => return self.undiscovered(flight, instance, None).await,
                Err(blocked) => return self.undiscovered(flight, instance, Some(blocked)).await,
            }
        }
        self.judge_all(flight, setup, instance, answers).await
    }

    /// Which applications are concerned cannot be said yet. `blocked` says why, if it is worth telling.
    async fn undiscovered(&self, flight: &mut Flight, instance: &ArgocdSetup, blocked: Option<Blocked>) -> bool {
        let now = self.now();
        let deadline = flight.pushed_at + chrono_of(instance.deadline);
        flight.wake = flight.wake.min(deadline);
        if now >= deadline {
            let why = blocked.map_or_else(|| "it has not answered in time".to_owned(), |blocked| blocked.error.to_string());
            let note = format!("Argo CD could not be asked: {why}");
            return self.settle(flight, Outcome::TimedOut, Some(note)).await;
        }
        let Some(Blocked { error, retry_in }) = blocked else { return true };
        flight.wake = flight.wake.min(now + chrono_of(retry_in) + chrono::Duration::milliseconds(10));
        // One word per kind of trouble: the same trouble in other words is no news.
        if flight.trouble == error.trouble() {
            return true;
        }
        flight.trouble = error.trouble();
        self.observed(flight, Vec::new(), Some(error.to_string())).await
    }

    /// A person asks for a sync of one touched application.
    pub(crate) async fn request_sync(&self, instance: &ArgocdSetup, app: &ApplicationState, id: ProposalId) -> Result<(), String> {
        let Ok(Some(proposal)) = self.store().read().proposal(id).await else {
            return Err("the proposal cannot be read".to_owned());
        };
        let (Some(commit), Some(setup)) = (proposal.commit, self.repository(&proposal.repository)) else {
            return Err("it is not on the branch yet".to_owned());
        };
        let app = AppRef {
            namespace: app.namespace.clone(),
            name: app.name.clone(),
            project: app.project.clone(),
        };
        let fresh = instance.client.get(&app).await.map_err(|error| error.to_string())?;
        let verdict = Verdict::AwaitingManualSync {
            revision: commit.to_string(),
        };
        let order = argocd::client::SyncOrder::prepare(&fresh, &verdict, &target(setup), &commit.to_string(), &id.to_string());
        let order = order.map_err(|error| error.to_string())?;
        instance.client.sync(&order).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Remembers what the applications were like just before a push.
    pub(super) fn keep_baseline(&self, setup: &RepositorySetup, proposals: impl Iterator<Item = ProposalId>) {
        let Some(instance) = self.instance_of(setup) else { return };
        let state = instance.watch.snapshot();
        if !state.complete {
            return;
        }
        let mut baselines = self.0.baselines.lock().unwrap_or_else(PoisonError::into_inner);
        for id in proposals {
            baselines.insert(id, state.clone());
        }
    }
}

fn target(setup: &RepositorySetup) -> Target {
    let url = setup.git.options().url.to_string();
    Target::new(
        std::iter::once(url.as_str()).chain(setup.url_aliases.iter().map(String::as_str)),
        setup.branch(),
        setup.default_branch,
    )
}

async fn forward(name: String, watch: argocd::watch::Watch, told: mpsc::UnboundedSender<(String, Changed)>, cancel: CancellationToken) {
    let mut changes = watch.subscribe();
    loop {
        let change = tokio::select! {
            () = cancel.cancelled() => return,
            change = changes.next() => change,
        };
        let Some(change) = change else { return };
        if told.send((name.clone(), change)).is_err() {
            return;
        }
    }
}

fn follow_of(app: &ApplicationState) -> Option<Follow> {
    let memory = serde_json::from_value(app.tracking.clone()).ok()?;
    let app = AppRef {
        namespace: app.namespace.clone(),
        name: app.name.clone(),
        project: app.project.clone(),
    };
    Some(Follow {
        app,
        memory,
        verdict: Verdict::NotSeenYet {
            compared: None,
            refreshes: 0,
        },
    })
}

fn chrono_of(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::minutes(15))
}

/// Kept small on purpose: an `Arc` per flight, shared by a whole batch.
pub(crate) type Baselines = HashMap<ProposalId, Arc<State>>;
