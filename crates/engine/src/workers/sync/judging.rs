//! Judging the applications of one commit by what is known of them, and what follows for the commit as a whole.

use std::collections::HashMap;
use std::time::Duration;

use argocd::touched::Class;
use argocd::verdict::{Change, Combined, Contains, Ending, Judgement, Verdict, Want, combine, judge, moved_by};
use argocd::watch::State;
use domain::{CommitId, Outcome, Timestamp};
use gitworker::Ancestry;

use super::telling::outcome_of;
use super::{Flight, Follow, chrono_of};
use crate::{ArgocdSetup, Engine, RepositorySetup};

/// How long applications that only may be concerned get to move before the change counts as not theirs.
const MAYBE_SECONDS: i64 = 45;
/// Rounds of looking up ancestry in one evaluation: each round can only ask about revisions the last one brought up.
const ROUNDS: usize = 4;
/// Known answers kept before the memory is emptied: answers are facts for ever, this only bounds the memory.
const ANSWERS_MAX: usize = 50_000;

/// Answers about ancestry: facts, so they never change.
#[derive(Default)]
pub(super) struct Answers(HashMap<(String, String), bool>);

impl Engine {
    pub(super) async fn judge_all(
        &self,
        flight: &mut Flight,
        setup: &RepositorySetup,
        instance: &ArgocdSetup,
        answers: &mut Answers,
    ) -> bool {
        let now = self.now();
        let state = instance.watch.snapshot();
        if flight.rediscover && state.complete && !flight.failed && flight.stable_until.is_none() {
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
            // After a good end nothing can come too late any more.
            deadline: flight
                .stable_until
                .is_none()
                .then(|| flight.pushed_at + chrono_of(instance.deadline)),
            accept_suspended: false,
            patience: instance.patience.clone(),
        };
        let mut wake = flight.wake;
        let mut fetch = false;
        for index in 0..flight.follows.len() {
            let mut follow = flight.follows[index].clone();
            if flight.stable_until.is_some() {
                // A good end is final for the change, not for its runbook: it is judged anew.
                follow.memory.tracking.settled = None;
            }
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
        if let Some(until) = flight.stable_until {
            return self.stays(flight, until, now).await;
        }
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
