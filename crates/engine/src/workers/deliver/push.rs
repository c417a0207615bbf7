//! From what is ready to the branch: commits are built and stored, leave is asked, one push is sent, and what became of it is recorded.

use std::time::Duration;

use domain::{CommitId, Delivery, Event, Tier};
use gitworker::{BuildError, Built, CommitSpec, PushOutcome};

use super::{Memory, Ready};
use crate::act::{Act, Acted};
use crate::continuity::Ground;
use crate::workers::effects::Held;
use crate::{Engine, RepositorySetup};

impl Engine {
    /// One push of all that is ready. Answers those that others were quicker than: they are queued again.
    pub(super) async fn commit_and_push(&self, setup: &RepositorySetup, ready: Vec<Ready>, memory: &mut Memory) -> Vec<Held> {
        let waiting: Vec<_> = ready.iter().map(|one| one.proposal.id).collect();
        let tip = match self.awaited_ground(setup, false, &waiting).await {
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
