//! One owner per branch: approvals become commits, one push for all that wait.
//!
//! The ids of the commits are stored before the push. After any crash or lost answer the truth is found on the remote, by ids alone.

mod ends;
mod message;
mod push;
mod renew;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use domain::{ChangeSet, CommitId, Delivery, Event, Origin, Proposal, ProposalId, RepoPath, RepositoryName, Tier};
use gitworker::{GitError, Located, Rebase};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::effects::Held;
use crate::continuity::Ground;
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

    /// Where the branch stands. When the remote takes its time to say so, whoever looks at the cards learns it.
    async fn awaited_ground(&self, setup: &RepositorySetup, fresh: bool, waiting: &[ProposalId]) -> Result<Ground, String> {
        let since = self.now();
        let mut asked = std::pin::pin!(self.ground(setup, fresh));
        tokio::select! {
            biased;
            ground = &mut asked => return ground,
            () = tokio::time::sleep(self.limits().slow_push) => {}
        }
        let word = format!(
            "the remote has not answered since {}; nothing was sent yet, and it is asked until it answers",
            self.time_of_day(since)
        );
        tracing::warn!(repository = %setup.name, deliveries = waiting.len(), "{word}");
        for id in waiting {
            self.tell_delay(*id, &word).await;
        }
        asked.await
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
        let tip = match self.awaited_ground(setup, failed_before, &[id]).await? {
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
            Rebase::Conflict { paths } => self.over(setup, &proposal, Err(paths), tip).await,
            Rebase::Merged(merged) => self.over(setup, &proposal, Ok(merged), tip).await,
        }
    }

    /// It is not sent as it is: shown anew, or ended.
    async fn over(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        merged: Result<ChangeSet, Vec<RepoPath>>,
        tip: CommitId,
    ) -> Result<Looked, String> {
        if let Some(event) = self.moved(setup, proposal, merged, tip).await? {
            self.happen(proposal.id, event).await.map_err(text)?;
        }
        Ok(Looked::Over)
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
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
