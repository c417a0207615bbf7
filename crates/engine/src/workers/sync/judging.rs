//! Judging the applications of one commit by what is known of them, and what follows for the commit as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argocd::touched::Class;
use argocd::verdict::{Change, Combined, Contains, Ending, Judgement, Verdict, Want, combine, judge, moved_by};
use argocd::watch::State;
use domain::{CommitId, Outcome, RepositoryName, Timestamp};
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
pub(super) struct Answers {
    learned: Mutex<Learned>,
    /// Who asks git; the others wait, because the answer may be theirs too.
    asking: tokio::sync::Mutex<()>,
    /// The commits in flight of each repository: a revision is asked about for all of them at once.
    flying: HashMap<RepositoryName, Vec<CommitId>>,
}

#[derive(Default)]
struct Learned {
    /// By revision and commit: whether the revision contains the commit.
    contains: HashMap<String, HashMap<String, bool>>,
    /// How many answers these are.
    count: usize,
    /// Revisions that were not in the mirror in this round of looks.
    missing: HashSet<(RepositoryName, String)>,
}

impl Engine {
    pub(super) async fn judge_all(&self, flight: &mut Flight, setup: &RepositorySetup, instance: &ArgocdSetup, answers: &Answers) -> bool {
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
                // To Argo CD a rewritten branch looks like a rollback; git knows better.
                if ending == Ending::RolledBack
                    && let Some(setup) = self.repository(&flight.proposal.repository)
                    && setup.git.refresh(Duration::ZERO).await.is_ok()
                    && let Some(note) = self.lost_words(setup, flight.commit).await
                {
                    return self.settle(flight, Outcome::Lost, Some(note)).await;
                }
                let mut note = (ending != Ending::Synced).then(|| counted[speaks].headline());
                // What was seen last is no cause while nothing can be seen.
                if ending == Ending::TimedOut
                    && let (Some(said), Some(trouble)) = (&note, self.argocd_trouble(&flight.proposal))
                {
                    note = Some(format!("Argo CD cannot be asked: {trouble}. {said}"));
                }
                self.settle(flight, outcome, note).await
            }
        }
    }

    /// Answers questions about ancestry from the mirror. True when something new was learned.
    async fn look_up(&self, setup: &RepositorySetup, commit: CommitId, asked: Vec<String>, answers: &Answers) -> bool {
        let mut learned = false;
        for revision in asked {
            let Ok(id) = revision.parse::<CommitId>() else { continue };
            let _alone = answers.asking.lock().await;
            let wanted = answers.unanswered(&setup.name, &revision, commit);
            if wanted.is_empty() {
                learned |= answers.known(&revision, &commit.to_string()) != Contains::Unknown;
                continue;
            }
            match setup.git.contained(wanted.clone(), id).await {
                Ok(found) => learned |= answers.learn(&setup.name, &revision, wanted.into_iter().zip(found)),
                Err(error) => tracing::warn!(repository = %setup.name, %error, "ancestry could not be looked up"),
            }
        }
        learned
    }
}

impl Answers {
    /// A new round of looks begins, while these commits are in flight.
    pub(super) fn begin<'a>(&mut self, flying: impl Iterator<Item = (&'a RepositoryName, CommitId)>) {
        self.flying.clear();
        for (repository, commit) in flying {
            match self.flying.get_mut(repository) {
                Some(commits) => commits.push(commit),
                None => drop(self.flying.insert(repository.clone(), vec![commit])),
            }
        }
        self.learned().missing.clear();
    }

    fn known(&self, revision: &str, commit: &str) -> Contains {
        match self.learned().contains.get(revision).and_then(|commits| commits.get(commit)) {
            Some(true) => Contains::Yes,
            Some(false) => Contains::No,
            None => Contains::Unknown,
        }
    }

    /// Of which commits it is to be asked whether a revision contains them, when it is not known of this one: of all in flight. A walk for each
    /// would cost their number times their distance. None, when it is known, or was asked in vain in this round.
    fn unanswered(&self, repository: &RepositoryName, revision: &str, commit: CommitId) -> Vec<CommitId> {
        let learned = self.learned();
        let known = learned.contains.get(revision);
        let is_known = |commit: &CommitId| known.is_some_and(|known| known.contains_key(&commit.to_string()));
        if is_known(&commit) || learned.missing.contains(&(repository.clone(), revision.to_owned())) {
            return Vec::new();
        }
        let others = self.flying.get(repository).into_iter().flatten().copied();
        let others = others.filter(|other| *other != commit && !is_known(other));
        std::iter::once(commit).chain(others).collect()
    }

    /// True when something new was learned.
    fn learn(&self, repository: &RepositoryName, revision: &str, found: impl Iterator<Item = (CommitId, Ancestry)>) -> bool {
        let mut learned = self.learned();
        if learned.count >= ANSWERS_MAX {
            *learned = Learned::default();
        }
        let answers = found.filter_map(|(commit, ancestry)| match ancestry {
            Ancestry::Yes => Some((commit.to_string(), true)),
            Ancestry::No => Some((commit.to_string(), false)),
            Ancestry::Unknown => None,
        });
        let answers: Vec<_> = answers.collect();
        if answers.is_empty() {
            learned.missing.insert((repository.clone(), revision.to_owned()));
            return false;
        }
        learned.count += answers.len();
        learned.contains.entry(revision.to_owned()).or_default().extend(answers);
        true
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(number: u8) -> CommitId {
        CommitId::from_bytes([number; 20])
    }

    #[test]
    fn a_revision_is_asked_about_once_for_all_commits_in_flight() {
        let (home, other) = (
            "home".parse::<RepositoryName>().expect("a name"),
            "other".parse::<RepositoryName>().expect("a name"),
        );
        let mut answers = Answers::default();
        answers.begin([(&home, commit(1)), (&home, commit(2)), (&other, commit(3)), (&home, commit(4))].into_iter());
        let wanted = answers.unanswered(&home, "r1", commit(2));
        assert_eq!(wanted, [commit(2), commit(1), commit(4)], "of the same repository");
        let found = [Ancestry::Yes, Ancestry::No, Ancestry::Unknown];
        assert!(answers.learn(&home, "r1", wanted.into_iter().zip(found)));
        assert_eq!(answers.known("r1", &commit(2).to_string()), Contains::Yes);
        assert_eq!(answers.known("r1", &commit(1).to_string()), Contains::No);
        assert!(answers.unanswered(&home, "r1", commit(1)).is_empty(), "nobody asks again");
        assert_eq!(
            answers.unanswered(&home, "r1", commit(4)),
            [commit(4)],
            "what is not known yet is asked alone"
        );
        // A revision that is not there is asked about once in a round.
        assert!(!answers.learn(&home, "r2", [(commit(1), Ancestry::Unknown)].into_iter()));
        assert!(answers.unanswered(&home, "r2", commit(4)).is_empty());
        assert_eq!(
            answers.unanswered(&other, "r2", commit(3)),
            [commit(3)],
            "another mirror may have it"
        );
        answers.begin([(&home, commit(4))].into_iter());
        assert_eq!(answers.unanswered(&home, "r2", commit(4)), [commit(4)]);
    }
}
