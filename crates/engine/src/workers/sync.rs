//! Watching Argo CD for every commit in flight: one stream and one relist per instance, whatever the number of changes.
//!
//! What must survive a restart (what was seen of which application) is stored with the proposal's row; the rest is rebuilt when the effect is
//! claimed again. The effect stays leased while its commit is in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use argocd::client::Trouble;
use argocd::model::{AppRef, Application};
use argocd::repo::Target;
use argocd::touched::{Class, Touched};
use argocd::verdict::{Baseline, Change, Combined, Contains, Ending, Judgement, Tracking, Verdict, Want, combine, judge, moved_by};
use argocd::watch::{Blocked, Changed, Interest, State};
use domain::{ApplicationState, CommitId, Delivery, Event, Outcome, Proposal, ProposalId, RepoPath, Timestamp};
use gitworker::Ancestry;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::effects::Held;
use crate::{ArgocdSetup, Engine, RepositorySetup};

/// How long applications that only may be concerned get to move before the change counts as not theirs.
const MAYBE_SECONDS: i64 = 45;
/// How long a failed end may still come right.
const RECOVERY_SECONDS: i64 = 3600;
/// Pause before something that could not be stored is looked at again.
const UNSTORED_SECONDS: i64 = 15;
/// Longest time between two looks at a commit in flight, whatever the events say.
const LOOK_SECONDS: i64 = 60;
/// Rounds of looking up ancestry in one evaluation: each round can only ask about revisions the last one brought up.
const ROUNDS: usize = 4;
/// Known answers kept before the memory is emptied: answers are facts for ever, this only bounds the memory.
const ANSWERS_MAX: usize = 50_000;

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
    wake: Timestamp,
    interest: Option<Interest>,
    /// Ended badly; watched a while longer.
    failed: bool,
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

/// Answers about ancestry: facts, so they never change.
#[derive(Default)]
struct Answers(HashMap<(String, String), bool>);

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
            for id in dirty {
                let Some(mut flight) = flights.remove(&id) else { continue };
                if self.look_at(&mut flight, &mut answers).await {
                    flights.insert(id, flight);
                } else if let Err(error) = self.finish(flight.held.effect_id).await {
                    tracing::error!(proposal = %id, %error, "the end of a watch could not be recorded; it is looked at again");
                }
            }
            metrics::gauge!("countersign_in_flight").set(flights.len() as f64);
        }
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
        let flight = proposal.and_then(|proposal| self.flight(held, proposal));
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

    fn flight(&self, held: Held, proposal: Proposal) -> Option<Flight> {
        let now = self.now();
        let failed = proposal.outcome.is_some_and(Outcome::is_failure);
        let recent = proposal.ended_at.is_some_and(|at| (now - at).num_seconds() < RECOVERY_SECONDS);
        match proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
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
            follows,
            wake: now,
            interest: None,
            failed: failed && proposal.delivery == Delivery::Ended,
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
                // It may have appeared, or come to track these files, since the others were found.
                Changed::App(key) => {
                    let touches = here && state.application(key).is_some_and(|app| !certain(flight, [app]).is_empty());
                    flight.rediscover |= touches;
                    touches
                }
            };
            if here && concerned {
                dirty.insert(*id);
            }
        }
    }

    /// One look at one commit. False when there is nothing more to watch.
    async fn look_at(&self, flight: &mut Flight, answers: &mut Answers) -> bool {
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

    fn discover(&self, flight: &mut Flight, setup: &RepositorySetup, instance: &ArgocdSetup, state: &State) {
        let before = self
            .0
            .baselines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&flight.proposal.id);
        let mut found = found(flight, state.applications());
        let certain = found.iter().any(|touched| touched.class == Class::Touched);
        // Those that may be concerned count only while nobody certainly is.
        found.retain(|touched| touched.class == if certain { Class::Touched } else { Class::Maybe });
        flight.follows = found
            .into_iter()
            .map(|touched| {
                let known = before.as_ref().and_then(|before| before.application(&touched.app.key()));
                followed(touched, known.map(Baseline::of))
            })
            .collect();
        flight.discovered = true;
        for follow in &flight.follows {
            instance.watch.refresh(&follow.app, flight.pushed_at);
        }
        tracing::debug!(proposal = %flight.proposal.id, repository = %setup.name, applications = flight.follows.len(), "applications found");
    }

    /// Applications that appeared, or came to track these files, since the first were found: they are followed too. What they were like before
    /// the push is unknown, and nothing is asked for their sake: Argo CD has just compared them by itself.
    fn discover_more(&self, flight: &mut Flight, state: &State) {
        flight.rediscover = false;
        let new: Vec<Touched> = certain(flight, state.applications())
            .into_iter()
            .filter(|touched| !flight.follows.iter().any(|follow| follow.app.key() == touched.app.key()))
            .collect();
        if new.is_empty() {
            return;
        }
        tracing::debug!(proposal = %flight.proposal.id, applications = new.len(), "more applications found");
        flight.follows.extend(new.into_iter().map(|touched| followed(touched, None)));
        // Taken anew below, with the new ones.
        flight.interest = None;
    }

    async fn judge_all(&self, flight: &mut Flight, setup: &RepositorySetup, instance: &ArgocdSetup, answers: &mut Answers) -> bool {
        let now = self.now();
        let state = instance.watch.snapshot();
        if flight.rediscover && state.complete && !flight.failed {
            self.discover_more(flight, &state);
        }
        if flight.interest.is_none() {
            flight.interest = Some(instance.watch.interest(flight.follows.iter().map(|follow| follow.app.key())));
        }
        let change = |follow: &Follow| Change {
            commit: flight.commit.to_string(),
            pushed_at: flight.pushed_at,
            target: flight.target.clone(),
            baseline: follow.memory.baseline.clone(),
            deletes_app: false,
            deadline: Some(flight.pushed_at + chrono_of(instance.deadline)),
            accept_suspended: false,
            patience: instance.patience.clone(),
        };
        let mut wake = flight.wake;
        let mut fetch = false;
        for index in 0..flight.follows.len() {
            let follow = flight.follows[index].clone();
            let change = change(&follow);
            let mut judgement = None;
            for _ in 0..ROUNDS {
                let (judged, asked) = judge_once(&follow, &state, &change, answers, now);
                let learned = self.look_up(setup, flight.commit, asked, answers).await;
                judgement = Some(judged);
                if !learned {
                    break;
                }
            }
            let Some(Judgement { tracking, verdict, wants }) = judgement else {
                continue;
            };
            if let Some(app) = state.application(&follow.app.key())
                && follow.memory.class == Class::Maybe
                && moved_by(app, &change, &|revision, commit| answers.known(revision, commit))
            {
                flight.follows[index].memory.class = Class::Touched;
            }
            flight.follows[index].memory.tracking = tracking;
            flight.follows[index].verdict = verdict;
            for want in &wants {
                match want {
                    Want::WakeAt(at) => wake = wake.min(*at),
                    Want::FetchCommits { .. } => fetch = true,
                    Want::Refresh { .. } | Want::Details { .. } | Want::SyncWindows { .. } => {}
                }
            }
            instance.watch.fulfil(&follow.app, &wants);
        }
        if fetch && setup.git.refresh(Duration::from_secs(1)).await.is_ok() {
            wake = wake.min(now + chrono::Duration::seconds(2));
        }
        flight.wake = wake.max(now + chrono::Duration::milliseconds(100));
        self.conclude(flight, now).await
    }

    async fn conclude(&self, flight: &mut Flight, now: Timestamp) -> bool {
        let maybes = flight.follows.iter().all(|follow| follow.memory.class == Class::Maybe);
        if maybes && !flight.failed {
            let until = flight.pushed_at + chrono::Duration::seconds(MAYBE_SECONDS);
            if now >= until {
                let names: Vec<_> = flight.follows.iter().map(|follow| follow.app.name.clone()).collect();
                flight.follows.clear();
                let note = format!("no application tracks these files for sure ({} did not move)", names.join(", "));
                return self.settle(flight, Outcome::Pushed, Some(note)).await;
            }
            flight.wake = flight.wake.min(until);
            return true;
        }
        let counted: Vec<Verdict> = flight
            .follows
            .iter()
            .filter(|follow| follow.memory.class == Class::Touched)
            .map(|follow| follow.verdict.clone())
            .collect();
        let Some(Combined { speaks, ending }) = combine(&counted) else {
            return false;
        };
        match ending {
            None => self.tell(flight).await,
            Some(ending) => {
                let outcome = outcome_of(ending);
                if flight.failed {
                    return self.maybe_recovered(flight, outcome, now).await;
                }
                let note = (ending != Ending::Synced).then(|| counted[speaks].headline());
                self.settle(flight, outcome, note).await
            }
        }
    }

    /// Writes down what people can see; nothing when nothing changed.
    async fn tell(&self, flight: &mut Flight) -> bool {
        if flight.failed {
            return true;
        }
        let applications = states(&flight.follows);
        if flight.proposal.delivery == Delivery::Syncing && !worth_storing(&flight.proposal.applications, &applications) {
            return true;
        }
        self.observed(flight, applications, None).await
    }

    async fn observed(&self, flight: &mut Flight, applications: Vec<ApplicationState>, trouble: Option<String>) -> bool {
        match self.happen(flight.proposal.id, Event::Observed { applications, trouble }).await {
            Ok(Some(proposal)) => {
                flight.proposal = proposal;
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(proposal = %flight.proposal.id, %error, "what Argo CD shows could not be stored; looked at again");
                flight.wake = self.now() + chrono::Duration::seconds(UNSTORED_SECONDS);
                true
            }
        }
    }

    async fn settle(&self, flight: &mut Flight, outcome: Outcome, note: Option<String>) -> bool {
        let applications = states(&flight.follows);
        metrics::counter!("countersign_outcomes_total", "outcome" => outcome.as_str()).increment(1);
        match self
            .happen(
                flight.proposal.id,
                Event::Settled {
                    outcome,
                    applications,
                    note,
                },
            )
            .await
        {
            Ok(Some(proposal)) => {
                flight.proposal = proposal;
                flight.failed = outcome.is_failure() && !flight.follows.is_empty();
                flight.failed
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(proposal = %flight.proposal.id, %error, "an outcome could not be stored; looked at again");
                flight.wake = self.now() + chrono::Duration::seconds(UNSTORED_SECONDS);
                true
            }
        }
    }

    /// After a failed end: did it come right?
    async fn maybe_recovered(&self, flight: &mut Flight, outcome: Outcome, now: Timestamp) -> bool {
        if outcome == Outcome::Synced {
            if let Err(error) = self.happen(flight.proposal.id, Event::Recovered).await {
                tracing::error!(proposal = %flight.proposal.id, %error, "a recovery could not be stored; looked at again");
                return true;
            }
            return false;
        }
        flight
            .proposal
            .ended_at
            .is_none_or(|at| (now - at).num_seconds() < RECOVERY_SECONDS)
    }

    /// Answers questions about ancestry from the mirror. True when something new was learned.
    async fn look_up(&self, setup: &RepositorySetup, commit: CommitId, asked: Vec<String>, answers: &mut Answers) -> bool {
        let mut learned = false;
        for revision in asked {
            let Ok(id) = revision.parse::<CommitId>() else { continue };
            match setup.git.is_ancestor(commit, id).await {
                Ok(Ancestry::Yes) => learned |= answers.learn(revision, commit, true),
                Ok(Ancestry::No) => learned |= answers.learn(revision, commit, false),
                Ok(Ancestry::Unknown) => {}
                Err(error) => tracing::warn!(repository = %setup.name, %error, "ancestry could not be looked up"),
            }
        }
        learned
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

impl Answers {
    fn known(&self, revision: &str, commit: &str) -> Contains {
        match self.0.get(&(revision.to_owned(), commit.to_owned())) {
            Some(true) => Contains::Yes,
            Some(false) => Contains::No,
            None => Contains::Unknown,
        }
    }

    fn learn(&mut self, revision: String, commit: CommitId, contains: bool) -> bool {
        if self.0.len() >= ANSWERS_MAX {
            self.0.clear();
        }
        self.0.insert((revision, commit.to_string()), contains).is_none()
    }
}

/// Judges with what is known, and tells which revisions were asked about in vain.
fn judge_once(follow: &Follow, state: &State, change: &Change, answers: &Answers, now: Timestamp) -> (Judgement, Vec<String>) {
    let asked = std::cell::RefCell::new(Vec::new());
    let ancestry = |revision: &str, commit: &str| {
        let known = answers.known(revision, commit);
        if known == Contains::Unknown && commit == change.commit {
            asked.borrow_mut().push(revision.to_owned());
        }
        known
    };
    let judgement = judge(&follow.memory.tracking, &state.evidence(&follow.app.key()), change, &ancestry, now);
    (judgement, asked.into_inner())
}

/// The applications that a change certainly touches.
pub(crate) fn touched<'a>(setup: &RepositorySetup, state: &State, paths: impl Iterator<Item = &'a RepoPath>) -> Vec<AppRef> {
    let paths: Vec<String> = paths.map(ToString::to_string).collect();
    argocd::touched::touched(state.applications(), &target(setup), &paths)
        .into_iter()
        .filter(|touched| touched.class == Class::Touched)
        .map(|touched| touched.app)
        .collect()
}

fn found<'a>(flight: &Flight, applications: impl IntoIterator<Item = &'a Application>) -> Vec<Touched> {
    let paths: Vec<String> = flight.proposal.revision.facts.paths.iter().map(ToString::to_string).collect();
    argocd::touched::touched(applications, &flight.target, &paths)
}

/// Those that a commit certainly touches.
fn certain<'a>(flight: &Flight, applications: impl IntoIterator<Item = &'a Application>) -> Vec<Touched> {
    let mut found = found(flight, applications);
    found.retain(|touched| touched.class == Class::Touched);
    found
}

fn followed(touched: Touched, baseline: Option<Baseline>) -> Follow {
    Follow {
        app: touched.app,
        memory: Memory {
            tracking: Tracking::default(),
            baseline,
            class: touched.class,
        },
        verdict: Verdict::NotSeenYet {
            compared: None,
            refreshes: 0,
        },
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

fn states(follows: &[Follow]) -> Vec<ApplicationState> {
    follows
        .iter()
        .map(|follow| ApplicationState {
            name: follow.app.name.clone(),
            namespace: follow.app.namespace.clone(),
            project: follow.app.project.clone(),
            state: word(&follow.verdict).to_owned(),
            headline: follow.verdict.headline(),
            tracking: serde_json::to_value(&follow.memory).unwrap_or_default(),
        })
        .collect()
}

/// What people see, or what must not be forgotten: that the commit arrived.
fn worth_storing(before: &[ApplicationState], after: &[ApplicationState]) -> bool {
    let latched = |app: &ApplicationState| !app.tracking["tracking"]["latch"].is_null();
    before.len() != after.len()
        || before
            .iter()
            .zip(after)
            .any(|(a, b)| a.state != b.state || a.headline != b.headline || latched(a) != latched(b))
}

fn chrono_of(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::minutes(15))
}

const fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Synced => Outcome::Synced,
        Ending::NotTracked => Outcome::Pushed,
        Ending::TimedOut => Outcome::TimedOut,
        Ending::Degraded => Outcome::Degraded,
        Ending::RolledBack => Outcome::RolledBack,
        Ending::Gone | Ending::SyncFailed => Outcome::SyncFailed,
    }
}

/// The application's state in one word for API and card.
const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unobserved { .. } => "unknown",
        Verdict::CheckingAbsence | Verdict::AwaitingDeletion { .. } | Verdict::NotSeenYet { .. } | Verdict::Hydrating => "waiting",
        Verdict::Syncing { .. } | Verdict::AboutToSync { .. } => "syncing",
        Verdict::WaitingOlderOperation { .. } => "waiting",
        Verdict::ComparisonFailing { .. } => "waiting",
        Verdict::BlockedByWindow { .. } | Verdict::BlockedWouldWipe { .. } => "blocked",
        Verdict::Stalled { .. } => "needs_sync",
        Verdict::AwaitingManualSync { .. } => "needs_sync",
        Verdict::QueuedByApplicationSet { .. } => "waiting",
        Verdict::Settling { .. } => "settling",
        Verdict::Synced { .. } => "synced",
        Verdict::Degraded { .. } => "degraded",
        Verdict::SyncFailed { .. } => "sync_failed",
        Verdict::RolledBack { .. } => "rolled_back",
        Verdict::Gone { .. } => "gone",
        Verdict::NotTracked { .. } => "not_tracked",
        Verdict::TimedOut { .. } => "timed_out",
    }
}

/// Kept small on purpose: an `Arc` per flight, shared by a whole batch.
pub(crate) type Baselines = HashMap<ProposalId, Arc<State>>;
