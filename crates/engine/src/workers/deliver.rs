//! One owner per branch: approvals become commits, one push for all that wait.
//!
//! The ids of the commits are stored before the push. After any crash or lost answer the truth is found on the remote, by ids alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use domain::{
    ChangeSet, CommitId, Delivery, Event, Origin, Proposal, ProposalId, RepoPath, RepositoryName, Revision, RevisionAuthor, Tier,
};
use gitworker::{BuildError, Built, CommitSpec, GitError, Located, PushOutcome, Rebase};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::effects::{Held, backoff};
use crate::act::{Act, Acted};
use crate::checked::{Checked, Manner};
use crate::continuity::Ground;
use crate::intake::render;
use crate::{Engine, RepositorySetup};

/// Proposals remembered as having to go alone; beyond that the memory starts afresh, which costs a detour.
const ALONE_MAX: usize = 1000;
/// Pushes that may lose the race against others in one round, before the outbox and its pauses take over. Each turn asks, builds and pushes at
/// once: on a busy branch only the quick win.
const LOST_RACES_MAX: u32 = 5;
/// No further turn begins after this time: one round holds up whatever else waits for the branch.
const RACES_TIME: Duration = Duration::from_secs(30);

/// A change that is ready to be committed.
struct Ready {
    held: Held,
    proposal: Proposal,
    change: ChangeSet,
}

/// What a look at one delivery came to.
enum Looked {
    /// It can be committed now.
    Ready(Box<Ready>),
    /// Its files are taken in this batch.
    PutOff,
    /// Nothing is left to do.
    Over,
}

/// What the owner remembers between two rounds. Losing it costs nothing but a detour.
#[derive(Default)]
struct Memory {
    /// A batch with one of these was refused: they go one by one, so that only the guilty one is blocked.
    alone: BTreeSet<ProposalId>,
    /// How often each was postponed.
    failures: BTreeMap<ProposalId, u32>,
    /// What waits for its turn behind a change of the same files, oldest first. Leased, and not in the database again between
    /// two rounds: with many runs on one file that would be a transaction each for every push.
    backlog: VecDeque<Held>,
    /// The files of what was put off once. A hint that spares reading it again only to put it off again; it never admits anything.
    files: BTreeMap<ProposalId, Vec<RepoPath>>,
    /// What the cards of each say that it waits for.
    waits: BTreeMap<ProposalId, String>,
}

impl Memory {
    /// Takes in what was claimed; a lease that ran out is claimed twice.
    fn take_in(&mut self, held: Held) {
        let same = |known: &&mut Held| known.proposal == held.proposal && known.effect_id == held.effect_id;
        if self.backlog.iter_mut().find(same).is_none() {
            self.backlog.push_back(held);
        }
    }
}

impl Engine {
    pub(super) async fn own_branch(self, name: RepositoryName, mut inbox: mpsc::UnboundedReceiver<Held>, cancel: CancellationToken) {
        let Some(setup) = self.repository(&name) else { return };
        let mut memory = Memory::default();
        let mut last = super::branch::LastLook::default();
        let mut tick = tokio::time::interval(self.limits().landing_poll);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                _ = tick.tick() => {
                    self.look_at_branch(setup, &mut last).await;
                    continue;
                }
                first = inbox.recv() => first,
                () = std::future::ready(()), if !memory.backlog.is_empty() => None,
            };
            if first.is_none() && memory.backlog.is_empty() {
                return;
            }
            first.into_iter().for_each(|held| memory.take_in(held));
            while let Ok(next) = inbox.try_recv() {
                memory.take_in(next);
            }
            memory.backlog.make_contiguous().sort_by_key(|held| held.proposal);
            self.round(setup, &mut memory).await;
        }
    }

    /// One round: recover what was under way, then build and push what waits; and at once again what others were quicker than.
    async fn round(&self, setup: &RepositorySetup, memory: &mut Memory) {
        let begin = tokio::time::Instant::now();
        let mut waiting = std::mem::take(&mut memory.backlog);
        for turn in 1.. {
            let ready = self.gather(setup, waiting, memory).await;
            if ready.is_empty() {
                return;
            }
            let again = self.commit_and_push(setup, ready, memory).await;
            if again.is_empty() {
                return;
            }
            if turn > LOST_RACES_MAX || begin.elapsed() > RACES_TIME {
                // Queued again, each with another delivery that is owed.
                for held in again {
                    self.done(held, memory).await;
                }
                return;
            }
            waiting = again.into();
        }
    }

    /// What of all that waits can go into one push, in the order of the decisions. The rest goes to the backlog.
    async fn gather(&self, setup: &RepositorySetup, waiting: VecDeque<Held>, memory: &mut Memory) -> Vec<Ready> {
        let mut ready: Vec<Ready> = Vec::new();
        let mut touched: BTreeSet<RepoPath> = BTreeSet::new();
        for held in waiting {
            let taken = |files: &Vec<RepoPath>| files.iter().any(|path| touched.contains(path));
            if ready.len() >= self.limits().batch || memory.files.get(&held.proposal).is_some_and(taken) {
                memory.take_in(held);
                continue;
            }
            match self.prepare_one(setup, held, &touched, memory).await {
                Ok(Looked::Ready(one)) => {
                    if let Err(holds) = self.may_send(&one.proposal) {
                        self.hold_back(held, &holds, memory).await;
                        continue;
                    }
                    if let Some(hold) = self.holding(&one.proposal).await {
                        let now = self.now();
                        let wait = (domain::look_again(&[], now) - now).to_std().unwrap_or_default();
                        self.later(held, wait, Some(format!("waits: {hold}"))).await;
                        continue;
                    }
                    // Two approvals that touch one path never share a batch: the second would be built on what the first becomes.
                    let clash = one.change.paths().any(|path| touched.contains(path));
                    let alone =
                        !ready.is_empty() && (memory.alone.contains(&held.proposal) || memory.alone.contains(&ready[0].proposal.id));
                    if clash || alone {
                        memory.take_in(held);
                        continue;
                    }
                    touched.extend(one.change.paths().cloned());
                    memory.files.remove(&held.proposal);
                    ready.push(*one);
                }
                Ok(Looked::PutOff) => memory.take_in(held),
                Ok(Looked::Over) => self.done(held, memory).await,
                Err(why) => self.failed(held, memory, why).await,
            }
        }
        ready.sort_by_key(|one| (one.proposal.decided_at, one.proposal.id));
        ready
    }

    /// Waits for what holds a delivery back; its cards say so as soon as that changes.
    async fn hold_back(&self, held: Held, holds: &[domain::Hold], memory: &mut Memory) {
        let (now, why) = (self.now(), domain::said(holds));
        if memory.waits.get(&held.proposal) != Some(&why) {
            match self.owe_edit(held.proposal).await {
                Ok(()) => _ = memory.waits.insert(held.proposal, why.clone()),
                Err(error) => tracing::error!(proposal = %held.proposal, %error, "the cards do not tell what it waits for"),
            }
        }
        let wait = (domain::look_again(holds, now) - now).to_std().unwrap_or_default();
        self.later(held, wait, Some(why)).await;
    }

    /// Looks at one held delivery. Two approvals that touch one path never share a batch: the second would be built on what the first becomes,
    /// so that one whose files are `taken` is put off before any work is done for it.
    async fn prepare_one(
        &self,
        setup: &RepositorySetup,
        held: Held,
        taken: &BTreeSet<RepoPath>,
        memory: &mut Memory,
    ) -> Result<Looked, String> {
        let id = held.proposal;
        let Some(mut proposal) = self.store().read().proposal(id).await.map_err(text)? else {
            return Ok(Looked::Over);
        };
        if proposal.delivery == Delivery::Committing {
            match self.recover(setup, &proposal).await? {
                Some(queued) => proposal = queued,
                None => return Ok(Looked::Over),
            }
        }
        if proposal.delivery != Delivery::Queued {
            return Ok(Looked::Over);
        }
        let Some(change) = self.store().read().contents(id, proposal.revision.number).await.map_err(text)? else {
            let why = "the contents are no longer stored".to_owned();
            self.happen(id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(Looked::Over);
        };
        if change.paths().any(|path| taken.contains(path)) {
            memory.files.insert(id, change.paths().cloned().collect());
            return Ok(Looked::PutOff);
        }
        // No question to the remote on the hot path: the push itself compares the tip.
        let failed_before = memory.failures.get(&id).is_some_and(|failures| *failures > 0);
        let tip = match self.ground(setup, failed_before).await? {
            Ground::At(tip) => tip,
            Ground::Blocked(message) => {
                self.happen(id, Event::PushRefused { message }).await.map_err(text)?;
                return Ok(Looked::Over);
            }
        };
        match setup.git.rebase(proposal.revision.base, tip, &change).await.map_err(text)? {
            Rebase::Untouched => Ok(Looked::Ready(Box::new(Ready { held, proposal, change }))),
            Rebase::AlreadyThere if matches!(proposal.origin, Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }) => {
                let event = match self.own_commit(setup, &proposal).await? {
                    Some(commit) => Event::PushConfirmed { commit },
                    None => Event::AlreadyThere { commit: tip },
                };
                self.happen(id, event).await.map_err(text)?;
                Ok(Looked::Over)
            }
            Rebase::AlreadyThere => Ok(Looked::Over),
            Rebase::Conflict { .. } | Rebase::Merged(_) if proposal.tier() == Tier::Standard => {
                let rendered = self.rerender(setup, held, &proposal, tip).await?;
                Ok(rendered.map_or(Looked::Over, |ready| Looked::Ready(Box::new(ready))))
            }
            Rebase::Conflict { paths } => {
                self.happen(id, Event::Conflict { paths }).await.map_err(text)?;
                Ok(Looked::Over)
            }
            Rebase::Merged(merged) => {
                self.reshow(setup, &proposal, merged, tip).await?;
                Ok(Looked::Over)
            }
        }
    }

    /// The commit of an earlier attempt that is on the branch after all: a refused push that came through, a branch that was put back.
    async fn own_commit(&self, setup: &RepositorySetup, proposal: &Proposal) -> Result<Option<CommitId>, String> {
        if proposal.attempts.is_empty() {
            return Ok(None);
        }
        let candidates: Vec<CommitId> = proposal.attempts.iter().map(|attempt| attempt.commit).collect();
        match setup.git.locate(&candidates, &proposal.id.to_string()).await.map_err(text)? {
            Located::Landed(commit) => Ok(Some(commit)),
            Located::LandedAs(_) | Located::NotLanded { .. } => Ok(None),
        }
    }

    /// A push was under way when we last heard. `Some`: queued again, build anew.
    async fn recover(&self, setup: &RepositorySetup, proposal: &Proposal) -> Result<Option<Proposal>, String> {
        let candidates: Vec<CommitId> = proposal.attempts.iter().map(|attempt| attempt.commit).collect();
        let located = match setup.git.locate(&candidates, &proposal.id.to_string()).await {
            Err(error @ GitError::BranchMissing { .. }) => {
                self.happen(
                    proposal.id,
                    Event::PushRefused {
                        message: error.to_string(),
                    },
                )
                .await
                .map_err(text)?;
                return Ok(None);
            }
            located => located.map_err(text)?,
        };
        match located {
            Located::Landed(commit) => {
                self.happen(proposal.id, Event::PushConfirmed { commit }).await.map_err(text)?;
                Ok(None)
            }
            // Only what we built ourselves has the digest that people approved.
            Located::LandedAs(commit) => {
                let message = format!(
                    "commit {} carries this proposal's id but was not made by this service; look before you retry",
                    commit.short()
                );
                self.happen(proposal.id, Event::PushRefused { message }).await.map_err(text)?;
                Ok(None)
            }
            Located::NotLanded { .. } => {
                if let Ground::Blocked(message) = self.ground(setup, false).await? {
                    self.happen(proposal.id, Event::PushRefused { message }).await.map_err(text)?;
                    return Ok(None);
                }
                self.happen(proposal.id, Event::PushMissed).await.map_err(text)
            }
        }
    }

    /// A touched file changed and merged: people look again.
    pub(super) async fn reshow(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        merged: ChangeSet,
        tip: CommitId,
    ) -> Result<(), String> {
        let (revision, checked) = self.next_revision(setup, proposal, &merged, tip, None).await?;
        if let Some(why) = refused(&checked, "merged with the branch") {
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(());
        }
        let act = Act {
            contents: Some(merged),
            checked: Some(checked),
            details: serde_json::json!({ "tip": tip, "digest": revision.digest }),
            ..Act::service(
                proposal.id,
                Event::Reshow {
                    revision: Box::new(revision),
                },
            )
        };
        match self.act(act).await.map_err(text)? {
            Acted::Done(_, summary) => tracing::info!(proposal = %proposal.id, "{summary}"),
            Acted::Refused(_) | Acted::Stale(_) | Acted::Missing => {}
        }
        Ok(())
    }

    /// A standard run whose file moved is rendered anew, never merged.
    async fn rerender(&self, setup: &RepositorySetup, held: Held, proposal: &Proposal, tip: CommitId) -> Result<Option<Ready>, String> {
        let Origin::Runbook(call) = &proposal.origin else { return Ok(None) };
        // Nothing is rendered by what the repository has replaced meanwhile.
        self.follow_policy(setup).await.map_err(text)?;
        let runbook = self.book().runbook(&setup.name, &call.runbook).cloned();
        let Some(runbook) = runbook.filter(|runbook| runbook.content_hash() == call.hash) else {
            let why = format!("runbook {} was edited since the call", call.runbook);
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(None);
        };
        let requested = match render(setup, &runbook, &call.parameters, tip).await {
            Ok((requested, _)) => requested,
            Err(problem) if problem.retryable => return Err(problem.detail),
            Err(problem) => {
                self.happen(proposal.id, Event::Refuse { why: problem.detail })
                    .await
                    .map_err(text)?;
                return Ok(None);
            }
        };
        let change = setup.git.resolve(tip, requested).await.map_err(text)?;
        if change.is_empty() {
            self.happen(proposal.id, Event::AlreadyThere { commit: tip }).await.map_err(text)?;
            return Ok(None);
        }
        let runbook = proposal.revision.facts.runbook.clone();
        let (revision, checked) = self.next_revision(setup, proposal, &change, tip, runbook).await?;
        if let Some(why) = refused(&checked, "rendered anew") {
            self.happen(proposal.id, Event::Refuse { why }).await.map_err(text)?;
            return Ok(None);
        }
        let act = Act {
            contents: Some(change.clone()),
            checked: Some(checked),
            ..Act::service(
                proposal.id,
                Event::Rerender {
                    revision: Box::new(revision),
                },
            )
        };
        match self.act(act).await.map_err(text)? {
            Acted::Done(next, _) if next.delivery == Delivery::Queued => Ok(Some(Ready {
                held,
                proposal: *next,
                change,
            })),
            Acted::Done(..) | Acted::Refused(_) | Acted::Stale(_) | Acted::Missing => Ok(None),
        }
    }

    pub(super) async fn next_revision(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        change: &ChangeSet,
        base: CommitId,
        runbook: Option<domain::RunbookName>,
    ) -> Result<(Revision, Checked), String> {
        let old = &proposal.revision.facts;
        let manner = if old.revert { Manner::Told } else { Manner::Strict };
        let looked = self.look(setup, base, change, manner).await;
        let (mut facts, mut checked) = looked.map_err(|problem| problem.detail)?;
        if let (Some(_), Origin::Runbook(call)) = (&runbook, &proposal.origin) {
            // What is on hold is asked about again before the push; without an answer people are asked.
            facts.trust = self.trusted(&setup.name, call, &facts.paths).await.ok().map(|asked| asked.trust);
        }
        facts.runbook = runbook;
        facts.promotion.clone_from(&old.promotion);
        facts.requested = old.requested;
        facts.agent = proposal.asking_agent().cloned();
        facts.revert = old.revert;
        let route = self.book().policy.route(&setup.name, &facts);
        checked.routed(setup.branch(), &route);
        let revision = Revision {
            number: proposal.revision.number + 1,
            author: RevisionAuthor::Countersign,
            base,
            digest: change.digest(&setup.name, setup.branch()),
            route,
            facts,
            created_at: self.now(),
            replay: self.foreseen(setup, change).await,
        };
        Ok((revision, checked))
    }

    /// One push of all that is ready. Answers those that others were quicker than: they are queued again.
    async fn commit_and_push(&self, setup: &RepositorySetup, ready: Vec<Ready>, memory: &mut Memory) -> Vec<Held> {
        let tip = match self.ground(setup, false).await {
            Ok(Ground::At(tip)) => tip,
            Ok(Ground::Blocked(message)) => {
                self.all_refused(ready, memory, message).await;
                return Vec::new();
            }
            Err(why) => {
                self.all_failed(ready, memory, why).await;
                return Vec::new();
            }
        };
        // What is sent on this tip is judged by the policy that stands there.
        if let Err(error) = self.follow_policy(setup).await {
            self.all_failed(ready, memory, error.to_string()).await;
            return Vec::new();
        }
        // A run that was taken back on this branch demotes its runbook before another one of it goes out by itself.
        if ready.iter().any(|one| one.proposal.tier() == Tier::Standard)
            && let Err(why) = self.look_for_reverts(setup, None).await
        {
            self.all_failed(ready, memory, why).await;
            return Vec::new();
        }
        let specs: Vec<CommitSpec> = ready.iter().map(|one| self.spec(&one.proposal, one.change.clone())).collect();
        let built = match setup.git.build(tip, &specs).await {
            Ok(built) => built,
            Err(BuildError::Stale { index, .. }) => {
                // The tip moved between the look and the build: the next round sees it.
                let guilty = ready.get(index).map(|one| one.proposal.id);
                tracing::info!(?guilty, "a touched file moved under a batch; looked at again");
                match setup.git.refresh(Duration::ZERO).await {
                    Ok(_) => self.all_later(ready, Duration::from_millis(200)).await,
                    Err(error) => self.all_failed(ready, memory, error.to_string()).await,
                }
                return Vec::new();
            }
            Err(error) => {
                self.all_failed(ready, memory, error.to_string()).await;
                return Vec::new();
            }
        };
        self.crash("deliver:built");
        let Some(ready) = self.ask_leave(&built, ready, memory).await else {
            return Vec::new();
        };
        self.crash("deliver:stored");
        let Some(ready) = self.last_look(ready, memory).await else {
            return Vec::new();
        };
        self.keep_baseline(setup, ready.iter().map(|one| one.proposal.id));
        let outcome = self.push(setup, &built, tip, &ready, memory).await;
        self.crash("deliver:pushed");
        self.settle_push(setup, &built, ready, outcome, memory).await
    }

    /// One push. When the remote takes its time, whoever looks at the cards learns since when, and until when it is waited for.
    async fn push(&self, setup: &RepositorySetup, built: &Built, tip: CommitId, ready: &[Ready], memory: &mut Memory) -> PushOutcome {
        let (since, begin) = (self.now(), tokio::time::Instant::now());
        let mut push = std::pin::pin!(setup.git.push(built, tip));
        tokio::select! {
            biased;
            outcome = &mut push => return outcome,
            () = tokio::time::sleep(self.limits().slow_push) => {}
        }
        let until = since + chrono::Duration::from_std(setup.git.options().deadlines.push).unwrap_or_default();
        let slow = format!(
            "the remote has not answered the push since {}; if it has not by {}, the service stops waiting and looks at the branch",
            self.time_of_day(since),
            self.time_of_day(until)
        );
        tracing::warn!(repository = %setup.name, commits = ready.len(), "a push takes long: {slow}");
        for one in ready {
            self.tell_delay(one.proposal.id, &slow).await;
            // What took this long is no hiccup: should it fail, that is told at once.
            *memory.failures.entry(one.proposal.id).or_default() += 1;
        }
        let outcome = push.await;
        tracing::info!(repository = %setup.name, seconds = begin.elapsed().as_secs(), "the push has ended");
        outcome
    }

    /// Stores every commit's id before the push. `None`: one of them may not be pushed any more, so the whole chain is built anew.
    async fn ask_leave(&self, built: &Built, ready: Vec<Ready>, memory: &mut Memory) -> Option<Vec<Ready>> {
        let acts = ready.iter().zip(&built.commits).map(|(one, commit)| {
            self.act(Act {
                details: serde_json::json!({ "commit": commit.id, "parent": commit.parent, "digest": commit.digest }),
                ..Act::service(
                    one.proposal.id,
                    Event::CommitBuilt {
                        commit: commit.id,
                        parent: commit.parent,
                        digest: commit.digest,
                        // Read where it is decided.
                        orders: domain::Orders::default(),
                    },
                )
            })
        });
        let acted = futures_util::future::join_all(acts).await;
        let allowed =
            |acted: &Result<Acted, store::StoreError>| matches!(acted, Ok(Acted::Done(next, _)) if next.delivery == Delivery::Committing);
        if acted.iter().all(allowed) {
            return Some(ready);
        }
        for (one, acted) in ready.into_iter().zip(acted) {
            match acted {
                Ok(Acted::Done(next, _)) if next.delivery == Delivery::Committing => {
                    if let Err(error) = self.happen(one.proposal.id, Event::PushMissed).await {
                        tracing::error!(proposal = %one.proposal.id, %error, "could not be queued again; its lease will end");
                    }
                    self.done(one.held, memory).await;
                }
                Ok(Acted::Refused(refusal @ domain::Refusal::DigestMismatch { .. })) => {
                    tracing::error!(proposal = %one.proposal.id, %refusal, "what was built is not what was approved");
                    let _ = self
                        .happen(
                            one.proposal.id,
                            Event::PushRefused {
                                message: refusal.to_string(),
                            },
                        )
                        .await;
                    self.done(one.held, memory).await;
                }
                Ok(Acted::Done(..) | Acted::Refused(_) | Acted::Stale(_) | Acted::Missing) => self.done(one.held, memory).await,
                Err(error) => self.failed(one.held, memory, error.to_string()).await,
            }
        }
        None
    }

    /// The last thing before a push: a stop that came since leave was given still stops it. `None`: the whole chain is built anew, without it.
    async fn last_look(&self, ready: Vec<Ready>, memory: &mut Memory) -> Option<Vec<Ready>> {
        let stops = match self.store().read().standing_stops().await {
            Ok(stops) => stops,
            Err(error) => {
                self.all_failed(ready, memory, error.to_string()).await;
                return None;
            }
        };
        let stopped = |one: &Ready| stops.iter().any(|stop| stop.covers(&domain::Subject::from(&one.proposal)));
        if !ready.iter().any(stopped) {
            return Some(ready);
        }
        for held in self.missed(ready, memory).await {
            self.done(held, memory).await;
        }
        None
    }

    /// Records what became of a push. Answers those that others were quicker than.
    async fn settle_push(
        &self,
        setup: &RepositorySetup,
        built: &Built,
        ready: Vec<Ready>,
        outcome: PushOutcome,
        memory: &mut Memory,
    ) -> Vec<Held> {
        metrics::counter!("countersign_pushes_total", "outcome" => word(&outcome)).increment(1);
        tracing::debug!(repository = %setup.name, commits = ready.len(), parent = %built.parent.short(), ?outcome, "pushed");
        match outcome {
            PushOutcome::Confirmed => {
                let events = ready
                    .iter()
                    .zip(&built.commits)
                    .map(|(one, commit)| self.happen(one.proposal.id, Event::PushConfirmed { commit: commit.id }));
                let (stored, followed) =
                    futures_util::future::join(futures_util::future::join_all(events), self.follow_policy(setup)).await;
                if let Err(error) = followed {
                    tracing::warn!(repository = %setup.name, %error, "the repository's policy could not be looked at after a push");
                }
                for (one, stored) in ready.into_iter().zip(stored) {
                    match stored {
                        Ok(_) => self.done(one.held, memory).await,
                        Err(error) => self.failed(one.held, memory, error.to_string()).await,
                    }
                }
            }
            PushOutcome::Moved { .. } => match self.ground(setup, true).await {
                Ok(Ground::At(_)) => return self.missed(ready, memory).await,
                Ok(Ground::Blocked(message)) => self.all_refused(ready, memory, message).await,
                Err(why) => self.all_failed(ready, memory, why).await,
            },
            PushOutcome::Refused { message } if ready.len() > 1 => {
                tracing::warn!(repository = %setup.name, %message, "a batch was refused; sent again one by one");
                memory.alone.extend(ready.iter().map(|one| one.proposal.id));
                for held in self.missed(ready, memory).await {
                    self.done(held, memory).await;
                }
            }
            PushOutcome::Refused { message } => self.all_refused(ready, memory, message).await,
            // Until it can be reached somebody may still change their mind.
            PushOutcome::NotSent { why } => {
                for held in self.missed(ready, memory).await {
                    self.failed(held, memory, why.clone()).await;
                }
            }
            // The state stays `committing`; the next look decides by ids what became of it.
            PushOutcome::Unknown { why } => self.all_failed(ready, memory, why).await,
        }
        Vec::new()
    }

    async fn all_refused(&self, ready: Vec<Ready>, memory: &mut Memory, message: String) {
        for one in ready {
            memory.alone.remove(&one.proposal.id);
            match self.happen(one.proposal.id, Event::PushRefused { message: message.clone() }).await {
                Ok(_) => self.done(one.held, memory).await,
                Err(error) => self.failed(one.held, memory, error.to_string()).await,
            }
        }
    }

    /// Back into the queue, through the state machine: `push_missed` owes another delivery, so those answered may be built at once or be done.
    async fn missed(&self, ready: Vec<Ready>, memory: &mut Memory) -> Vec<Held> {
        let events = ready.iter().map(|one| self.happen(one.proposal.id, Event::PushMissed));
        let stored = futures_util::future::join_all(events).await;
        let mut queued = Vec::new();
        for (one, stored) in ready.into_iter().zip(stored) {
            match stored {
                Ok(_) => queued.push(one.held),
                Err(error) => self.failed(one.held, memory, error.to_string()).await,
            }
        }
        queued
    }

    async fn done(&self, held: Held, memory: &mut Memory) {
        memory.failures.remove(&held.proposal);
        self.delays(held.proposal, None);
        memory.files.remove(&held.proposal);
        memory.waits.remove(&held.proposal);
        if memory.alone.len() > ALONE_MAX {
            memory.alone.clear();
        }
        if let Err(error) = self.finish(held.effect_id).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery's end could not be recorded; it is looked at again");
        }
    }

    async fn failed(&self, held: Held, memory: &mut Memory, why: String) {
        let failures = memory.failures.entry(held.proposal).or_default();
        *failures += 1;
        let wait = backoff(*failures).min(chrono::Duration::minutes(1));
        tracing::warn!(proposal = %held.proposal, %why, "a delivery is tried again in {} s", wait.num_seconds());
        // A hiccup is nobody's business; what lasts is.
        if *failures > 1 {
            self.tell_delay(held.proposal, &format!("tried again soon: {why}")).await;
        }
        // A missed push owes another delivery at once: that one would fail as well.
        if let Err(error) = self.hold_off(held.effect_id, self.now() + wait, why).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery could not be postponed; its lease will end");
        }
    }

    /// Lets cards and documents say why a delivery is not done yet.
    async fn tell_delay(&self, id: ProposalId, why: &str) {
        if self.delays(id, Some(why))
            && let Err(error) = self.owe_edit(id).await
        {
            tracing::error!(proposal = %id, %error, "the cards do not tell why the delivery is not done yet");
        }
    }

    /// Keeps the reason why a delivery is not done yet, for those who look at it. Whether it is news.
    fn delays(&self, id: ProposalId, why: Option<&str>) -> bool {
        let mut delayed = self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            None => delayed.remove(&id).is_some(),
            Some(why) => delayed.insert(id, why.to_owned()).as_deref() != Some(why),
        }
    }

    /// How many deliveries are not done yet for a reason that is told: tried again, or with a remote that does not answer.
    pub(crate) fn delayed_count(&self) -> usize {
        self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Why a delivery that is under way is not done yet, as of its last try.
    pub(crate) fn delayed(&self, id: ProposalId) -> Option<String> {
        let delayed = self.0.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        delayed.get(&id).cloned()
    }

    async fn all_failed(&self, ready: Vec<Ready>, memory: &mut Memory, why: String) {
        for one in ready {
            self.failed(one.held, memory, why.clone()).await;
        }
    }

    async fn all_later(&self, ready: Vec<Ready>, wait: Duration) {
        for one in ready {
            self.later(one.held, wait, None).await;
        }
    }

    async fn later(&self, held: Held, wait: Duration, why: Option<String>) {
        let due = self.now() + chrono::Duration::from_std(wait).unwrap_or_default();
        if let Err(error) = self.postpone(held.effect_id, due, why).await {
            tracing::error!(proposal = %held.proposal, %error, "a delivery could not be postponed; its lease will end");
        }
    }

    /// The commit: the agent's words first, our trailers last.
    pub(super) fn spec(&self, proposal: &Proposal, change: ChangeSet) -> CommitSpec {
        let time = proposal.decided_at.unwrap_or(proposal.created_at);
        CommitSpec {
            change,
            message: message(proposal),
            time,
        }
    }
}

/// `git log` alone can rebuild who decided what. The agent's reason is quoted line by line, so that it cannot pass for a trailer.
pub(super) fn message(proposal: &Proposal) -> String {
    let visible = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() || domain::is_deceptive(c) { ' ' } else { c })
            .collect()
    };
    let mut message = format!("{}\n", visible(&proposal.title));
    if !proposal.reason.is_empty() {
        message.push('\n');
        for line in proposal.reason.lines() {
            message.push_str(format!("> {}", visible(line)).trim_end());
            message.push('\n');
        }
    }
    message.push('\n');
    let mut trailer = |key: &str, value: &str| message.push_str(&format!("{key}: {value}\n"));
    trailer("Proposal-Id", &proposal.id.to_string());
    match &proposal.requested_by {
        Some(person) => trailer("Proposed-by", &visible(&person.name)),
        None => trailer("Proposed-by", proposal.agent.as_str()),
    }
    for review in proposal.approvals() {
        trailer("Approved-by", &visible(&review.by.name));
    }
    if let Origin::Runbook(call) = &proposal.origin {
        trailer("Runbook", &format!("{}@{}", call.runbook, call.hash.short()));
    }
    if let Origin::Revert { of, commit } = &proposal.origin {
        trailer("Reverts", &format!("{of} {commit}"));
    }
    trailer("Tier", proposal.tier().as_str());
    trailer("Digest", &proposal.revision.digest.to_string());
    trailer("Policy", &proposal.revision.route.policy.to_string());
    if let Some(head) = &proposal.audit_head {
        trailer("Audit-Head", head);
    }
    message
}

/// Why content that the service made by itself must not go on, if the guard rails refuse it.
fn refused(checked: &Checked, how: &str) -> Option<String> {
    let first = checked.refusals().next()?;
    Some(format!(
        "{how}, the guard rails refuse it: {}: {}",
        crate::usecases::place(first),
        first.message
    ))
}

const fn word(outcome: &PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Confirmed => "confirmed",
        PushOutcome::Moved { .. } => "moved",
        PushOutcome::Refused { .. } => "refused",
        PushOutcome::NotSent { .. } => "not_sent",
        PushOutcome::Unknown { .. } => "unknown",
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
