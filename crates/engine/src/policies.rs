//! Keeps the policies in force that managed repositories carry themselves, with the runbooks beside them (`shelves.rs`): read at the tip of the branch whenever it moved, remembered across
//! restarts, told when they are not valid, and replayed over past decisions when somebody wants to change them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use domain::{ChangeSet, CommitId, Effect, RepositoryName, RunbookName, Timestamp};
use gitworker::{Entry, GitError};
use serde_json::json;
use store::{Actor, Audit, RepositoryPolicy, StoreError, Tx};

use crate::book::{AtTip, Book, REPOSITORY_POLICY_BYTES_MAX, Theirs};
use crate::shelves::Known;
use crate::workers::addressed;
use crate::{Engine, FileProblem, RepositorySetup};

/// Problems that one message names; the others are counted.
const PROBLEMS_TOLD: usize = 3;

/// What is known of the repositories' policies beside the book.
#[derive(Default)]
pub(crate) struct Following {
    /// The tip that was looked at last.
    seen: Mutex<BTreeMap<RepositoryName, CommitId>>,
    /// What the database holds.
    stored: Mutex<BTreeMap<RepositoryName, RepositoryPolicy>>,
    /// What people know of the repositories' runbooks.
    shelves: Mutex<BTreeMap<RepositoryName, Known>>,
    /// One look at a time: an older tip never takes the place of a newer one.
    looking: tokio::sync::Mutex<()>,
    /// One proposed policy is read at a time: reading a hostile one keeps a processor busy for a while.
    reading: tokio::sync::Mutex<()>,
    /// Held while one book takes the place of another.
    changing: Mutex<()>,
}

impl Following {
    fn seen(&self, repository: &RepositoryName) -> Option<CommitId> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(repository).copied()
    }

    fn saw(&self, repository: &RepositoryName, tip: CommitId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(repository.clone(), tip);
    }

    fn stored(&self, repository: &RepositoryName) -> RepositoryPolicy {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.get(repository).cloned().unwrap_or_default()
    }

    fn keep(&self, repository: &RepositoryName, policy: RepositoryPolicy) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.insert(repository.clone(), policy);
    }

    pub(crate) fn told_shelf(&self, repository: &RepositoryName) -> Known {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.get(repository).cloned().unwrap_or_default()
    }

    pub(crate) fn tell_shelf(&self, repository: &RepositoryName, known: Known) {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.insert(repository.clone(), known);
    }
}

impl Engine {
    /// Puts a book in force that is made of the one that is.
    pub(crate) fn exchange(&self, change: impl FnOnce(Book) -> Book) {
        let _one = self.0.following.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = change(Book::clone(&self.book()));
        self.0.book.store(std::sync::Arc::new(next));
    }

    /// At the start: what was valid last, and then what the mirror holds, so that nothing is judged by another policy before the remote answers.
    pub(crate) async fn recall_policies(&self) -> Result<(), StoreError> {
        for setup in self.repositories().filter(|setup| setup.carries_rules()) {
            self.recall_runbooks(setup).await?;
            if let Some(stored) = self.store().read().repository_policy(&setup.name).await? {
                let valid = stored.valid.clone().map(|(text, commit)| (text.into(), commit));
                self.0.following.keep(&setup.name, stored);
                self.exchange(|book| book.recalling(&setup.name, valid));
            }
            if let Err(error) = self.follow_policy(setup).await {
                tracing::warn!(repository = %setup.name, %error, "the repository's policy cannot be read yet; the last valid one routes");
            }
        }
        Ok(())
    }

    /// Notes the newest tip that is known, and puts the policy in force that stands there, with the runbooks beside it: not on a rewritten branch
    /// that nobody has looked at. Costs nothing while the tip stays, and no parsing while the files do.
    ///
    /// # Errors
    /// When the mirror cannot be read: nothing has changed then, and nothing may be sent on that tip.
    pub(crate) async fn follow_policy(&self, setup: &RepositorySetup) -> Result<(), GitError> {
        if self.is_rewritten(setup).await {
            return Ok(());
        }
        if !setup.carries_rules() || newest(setup).await? == self.0.following.seen(&setup.name) {
            return Ok(());
        }
        let _one = self.0.following.looking.lock().await;
        // Another look may have come first; the newest tip of now is what counts.
        let Some(tip) = newest(setup).await?.filter(|tip| Some(*tip) != self.0.following.seen(&setup.name)) else {
            return Ok(());
        };
        let (found, shelf) = (self.at(setup, tip).await?, self.shelf_at(setup, tip).await?);
        let other = |theirs: &Theirs| found.as_ref().is_some_and(|found| theirs.at_tip != *found);
        let found = found.clone().filter(|_| self.book().theirs(&setup.name).is_some_and(other));
        if found.is_some() || shelf.is_some() {
            let name = &setup.name;
            // As one: a rule may name a runbook that came with it.
            let change = |mut book: Book| {
                if let Some(shelf) = &shelf {
                    book = book.shelving(name, shelf.clone());
                }
                match &found {
                    Some(found) => book.holding(name, found.clone(), tip),
                    None => book,
                }
            };
            let next = change(Book::clone(&self.book()));
            // Stored before it is in force: after a crash it is known as the last valid one.
            let kept = match self.tell_policy(setup, &next).await {
                Ok(()) => self.tell_runbooks(setup, &next).await,
                Err(error) => Err(error),
            };
            self.crash("policy:stored");
            self.exchange(change);
            if let Err(error) = kept {
                // In force all the same; the next look stores and tells it.
                tracing::error!(repository = %name, %error, "what is known of the repository's policy could not be stored");
                return Ok(());
            }
        }
        self.0.following.saw(&setup.name, tip);
        Ok(())
    }

    /// The repositories whose own policy is not valid as it stands on the branch.
    pub(crate) fn invalid_policies(&self) -> Vec<RepositoryName> {
        let book = self.book();
        let troubled = |name: &&RepositoryName| book.theirs(name).is_some_and(|theirs| !theirs.trouble.is_empty());
        self.repositories().map(|setup| &setup.name).filter(troubled).cloned().collect()
    }

    /// What stands at the policy's path in a commit. `None`: the commit is not in the mirror.
    async fn at(&self, setup: &RepositorySetup, tip: CommitId) -> Result<Option<AtTip>, GitError> {
        let Some(path) = &setup.policy else { return Ok(None) };
        let entry = setup.git.read(tip, std::slice::from_ref(path)).await?.remove(path);
        Ok(Some(match entry {
            None | Some(Entry::Absent) => AtTip::Missing,
            Some(Entry::Other { mode }) => AtTip::Unusable(format!("it is not a regular file (mode {mode:o})")),
            Some(Entry::File { size, .. }) if size > REPOSITORY_POLICY_BYTES_MAX as u64 => {
                AtTip::Unusable(format!("it has {size} bytes, more than {REPOSITORY_POLICY_BYTES_MAX}"))
            }
            Some(Entry::File { bytes, .. }) => match String::from_utf8(bytes) {
                Ok(text) => AtTip::Text(text.into()),
                Err(_) => AtTip::Unusable("it is not UTF-8 text".to_owned()),
            },
        }))
    }

    /// Tells what became of the repositories' policies after the service's own files changed: a rule may name a group that is gone.
    pub(crate) async fn tell_policies(&self) {
        for setup in self.repositories().filter(|setup| setup.carries_rules()) {
            let _one = self.0.following.looking.lock().await;
            let told = match self.tell_policy(setup, &self.book()).await {
                Ok(()) => self.tell_runbooks(setup, &self.book()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::error!(repository = %setup.name, %error, "what is known of the repository's policy could not be stored");
            }
        }
    }

    /// Stores what is valid in a book and whether people know of its trouble, with the message that is owed when that changed.
    async fn tell_policy(&self, setup: &RepositorySetup, book: &Book) -> Result<(), StoreError> {
        let Some(theirs) = book.theirs(&setup.name) else { return Ok(()) };
        let stored = self.0.following.stored(&setup.name);
        let next = RepositoryPolicy {
            valid: theirs.valid.as_ref().map(|(text, commit)| (text.to_string(), *commit)),
            told: theirs.trouble_id(),
        };
        let valid = if theirs.trouble.is_empty() { 1.0 } else { 0.0 };
        metrics::gauge!("countersign_repository_policy_valid", "repository" => setup.name.to_string()).set(valid);
        if next == stored {
            return Ok(());
        }
        let hash = book.policy.for_repository(&setup.name).hash();
        let at = theirs
            .commit
            .map(|commit| format!(" at commit {}", commit.short()))
            .unwrap_or_default();
        let (event, bell, text) = match (next.told, stored.told) {
            (Some(now), before) if before != Some(now) => ("policy_invalid", Bell::Alarm, self::trouble(theirs, &at)),
            (None, Some(_)) => (
                "policy_valid",
                Bell::News,
                format!(
                    "the policy {}{at} is valid again and in force (policy {})",
                    theirs.path,
                    hash.short()
                ),
            ),
            (_, _) => (
                "policy_changed",
                Bell::None,
                format!("the policy {}{at} is in force (policy {})", theirs.path, hash.short()),
            ),
        };
        let (name, now, put) = (setup.name.clone(), self.now(), next.clone());
        match event {
            "policy_invalid" => tracing::error!(repository = %name, "{text}"),
            _ => tracing::info!(repository = %name, "{text}"),
        }
        let details = json!({ "repository": name, "path": theirs.path, "commit": theirs.commit, "policy": hash });
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.put_repository_policy(&name, &put, now).await?;
                    tell_rules(tx, &name, (event, &text), details, bell, now).await
                })
            })
            .await?;
        self.0.following.keep(&setup.name, next);
        self.0.wake.notify_waiters();
        Ok(())
    }

    /// What a change of the repository's own policy would have meant for its last decisions, in sentences. Empty for any other change.
    ///
    /// # Errors
    /// Everything that is wrong with the proposed text, or with proposed runbooks.
    pub(crate) async fn foresee(&self, setup: &RepositorySetup, change: &ChangeSet) -> Result<Vec<String>, Vec<FileProblem>> {
        let wrong = self.wrong_runbooks(setup, change);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let Some((path, file)) = setup.policy.as_ref().and_then(|path| Some((path, change.get(path)?))) else {
            return Ok(Vec::new());
        };
        let Some(new) = &file.new else {
            return Ok(vec![
                "without this file there is an alarm, the last valid policy goes on routing, and nothing is standard".to_owned(),
            ]);
        };
        let text = String::from_utf8(new.bytes.clone()).map_err(|_| {
            vec![FileProblem {
                file: path.to_string(),
                line: 0,
                message: "it is not UTF-8 text".to_owned(),
                remedy: "send a policy as docs/policy.md describes it".to_owned(),
            }]
        })?;
        let (book, name, file) = (self.book(), setup.name.clone(), path.to_string());
        let read = {
            let _one = self.0.following.reading.lock().await;
            let (engine, book, name) = (self.clone(), book.clone(), name.clone());
            let change = change.clone();
            tokio::task::spawn_blocking(move || {
                let known = |runbook: &RunbookName| match engine.repository(&name) {
                    Some(setup) => engine.may_name_after(setup, &change, runbook),
                    None => book.may_name(&name, runbook),
                };
                book.with_text_beside(&name, &file, &text, known)
            })
            .await
        };
        let new = read.unwrap_or_else(|_| {
            Err(vec![FileProblem {
                file: path.to_string(),
                line: 0,
                message: "it could not be read".to_owned(),
                remedy: "use fewer and simpler rules".to_owned(),
            }])
        })?;
        let limit = self.limits().replayed;
        let decided = match self.store().read().decided_facts(&name, limit.saturating_add(1)).await {
            Ok(decided) => decided,
            Err(error) => {
                tracing::error!(repository = %name, %error, "the past decisions cannot be read");
                return Ok(vec!["the past decisions cannot be read at the moment: no replay".to_owned()]);
            }
        };
        let said = tokio::task::spawn_blocking(move || book.replay(&new, &name, decided, limit)).await;
        Ok(said.unwrap_or_default())
    }

    /// The same for a change that nobody can be asked to correct: what is wrong is one of the sentences.
    pub(crate) async fn foreseen(&self, setup: &RepositorySetup, change: &ChangeSet) -> Vec<String> {
        let wrong = |problem: &FileProblem| format!("what is proposed is not valid: {}", said(problem));
        match self.foresee(setup, change).await {
            Ok(said) => said,
            Err(problems) => problems.iter().take(PROBLEMS_TOLD).map(wrong).collect(),
        }
    }
}

/// A problem in one line.
pub(crate) fn said(problem: &FileProblem) -> String {
    let place = match problem.line {
        0 => problem.file.clone(),
        line => format!("{}:{line}", problem.file),
    };
    format!("{place}: {} (remedy: {})", problem.message, problem.remedy)
}

/// The newest tip that is known, without asking the remote.
async fn newest(setup: &RepositorySetup) -> Result<Option<CommitId>, GitError> {
    match setup.git.cached_tip() {
        Some(tip) => Ok(Some(tip.commit)),
        None => setup.git.mirror_tip().await,
    }
}

/// How people hear of what is in force.
pub(crate) enum Bell {
    /// Something is wrong.
    Alarm,
    /// It is well again.
    News,
    /// Only the audit log does.
    None,
}

/// Records what became of the rules that a repository carries itself; with an alarm where people must hear of it.
pub(crate) async fn tell_rules(
    tx: &mut Tx,
    repository: &RepositoryName,
    (event, text): (&str, &str),
    details: serde_json::Value,
    bell: Bell,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.audit(Audit {
        proposal: None,
        actor: Actor::Service,
        event: event.to_owned(),
        summary: format!("{repository}: {text}"),
        details,
        at: now,
    })
    .await?;
    let effect = match bell {
        Bell::Alarm => Effect::Alarm {
            text: addressed(repository, text),
        },
        Bell::News => Effect::Tell {
            text: addressed(repository, &format!("✅ {repository}: {text}")),
        },
        Bell::None => return Ok(()),
    };
    tx.schedule(None, &effect, now).await?;
    Ok(())
}

/// The first problems in words, and how many more there are.
pub(crate) fn some_of(problems: &[FileProblem]) -> String {
    let shown: Vec<String> = problems.iter().take(PROBLEMS_TOLD).map(said).collect();
    let more = match problems.len().saturating_sub(PROBLEMS_TOLD) {
        0 => String::new(),
        more => format!("; and {}", domain::counted(more, "more problem", "more problems")),
    };
    format!("{}{more}", shown.join("; "))
}

/// The message about a policy that is not valid.
fn trouble(theirs: &Theirs, at: &str) -> String {
    let meanwhile = match theirs.valid {
        Some((_, commit)) if !theirs.holds => format!(
            "The last valid one, of commit {}, does not fit the service's own policy any more, so a human commits every change",
            commit.short()
        ),
        Some((_, commit)) => format!(
            "The last valid one, of commit {}, goes on routing, and nothing is standard",
            commit.short()
        ),
        None => "No earlier one is known, so a human commits every change".to_owned(),
    };
    format!(
        "the policy {}{at} is not valid: {}. {meanwhile} until it is mended",
        theirs.path,
        some_of(&theirs.trouble)
    )
}
