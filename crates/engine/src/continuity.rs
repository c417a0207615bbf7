//! Whether a branch still holds what it held: a branch that was rewritten is nobody's to build on before a human has looked.
//!
//! Whoever fetches first learns of it, so it is asked at one place, which remembers the newest tip that everything before led to. That is stored:
//! a restart must not take a rewritten branch for the branch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::{CommitId, Delivery, Effect, PersonRef, Proposal, RepositoryName, Timestamp};
use gitworker::{Ancestry, GitError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Actor, Audit, StoreError, Tx};

use crate::workers::addressed;
use crate::{Engine, RepositorySetup};

/// Lost deliveries that an alarm names.
const NAMED_MAX: usize = 5;
/// Lost commits that are looked up among our deliveries.
const LOOKED_UP_MAX: usize = 500;

/// What is known of every branch.
pub(crate) struct Branches(BTreeMap<RepositoryName, Watched>);

#[derive(Default)]
struct Watched {
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
    known: Mutex<Found>,
}

/// What the last look found.
#[derive(Default, Clone, Copy)]
struct Found {
    /// `None`: not read from the database yet, or to be asked of the remote before it is relied on.
    line: Option<Line>,
    /// How often it was forgotten: a look that began before does not put back what it found.
    forgotten: u64,
}

/// The line of a branch's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// The newest tip that continues all that were seen before, or that a human took as it is.
    accepted: CommitId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewrite: Option<Rewrite>,
    /// The last rewrite that was undone: what it blocked says that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undone: Option<Undone>,
}

/// The branch no longer contains the accepted tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Rewrite {
    /// Where it was when that was seen: what people were told, and what they take when they retry.
    tip: CommitId,
    at: Timestamp,
    /// Somebody has taken the branch as it was then. It is accepted as soon as it is seen not to have been put back.
    #[serde(default)]
    taken: bool,
}

/// A rewrite that is over, because the branch was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Undone {
    /// What the branch did not contain then, and contains again.
    accepted: CommitId,
    /// Where it was.
    tip: CommitId,
}

impl Line {
    /// The rewrite that a retry of this change takes: the one that blocked it, while nobody has taken it.
    fn taken_by_retry_of(&self, blocked: &Proposal) -> Option<Rewrite> {
        let rewrite = self.rewrite.filter(|rewrite| !rewrite.taken)?;
        let words = blocked_words(&blocked.branch, self.accepted, rewrite.tip);
        (blocked.note.as_deref() == Some(words.as_str())).then_some(rewrite)
    }
}

/// What a delivery finds.
pub(crate) enum Ground {
    /// The tip to build on.
    At(CommitId),
    /// Nothing may be built before a human has looked: the sentence for them.
    Blocked(String),
}

impl Branches {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a RepositoryName>) -> Self {
        Self(names.map(|name| (name.clone(), Watched::default())).collect())
    }
}

impl Watched {
    fn now(&self) -> Found {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a look found that began when `before` was known.
    fn keep(&self, line: Line, before: Found) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.forgotten == before.forgotten {
            known.line = Some(line);
        }
    }

    fn forget(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.line = None;
        known.forgotten += 1;
    }
}

impl Engine {
    /// Where the branch is, if it still holds what it held. Costs nothing while the tip is the one of the last look, unless the remote is to be
    /// asked (`fresh`).
    ///
    /// # Errors
    /// When it cannot be known now.
    pub(crate) async fn ground(&self, setup: &RepositorySetup, fresh: bool) -> Result<Ground, String> {
        match self.look_at_line(setup, fresh).await {
            Ok((line, tip)) => Ok(match self.rewritten_words(setup, line) {
                Some(words) => Ground::Blocked(words),
                None => Ground::At(tip),
            }),
            Err(Unknown::Git(error @ GitError::BranchMissing { .. })) => Ok(Ground::Blocked(error.to_string())),
            Err(Unknown::Git(error)) => Err(error.to_string()),
            Err(Unknown::Store(error)) => Err(error.to_string()),
        }
    }

    /// Notes the newest tip that is known, and says whether it is one of a rewritten branch that nobody has looked at. Asks the remote only to be
    /// sure of that. While the remote has not answered since the start, what was stored counts.
    pub(crate) async fn is_rewritten(&self, setup: &RepositorySetup) -> bool {
        if setup.git.cached_tip().is_none() {
            let open = |line: Line| line.rewrite.is_some_and(|rewrite| !rewrite.taken);
            return matches!(self.stored_line(&setup.name, setup.branch()).await, Ok(Some(line)) if open(line));
        }
        match self.ground(setup, false).await {
            Ok(ground) => matches!(ground, Ground::Blocked(_)),
            Err(why) => {
                tracing::warn!(repository = %setup.name, %why, "where the branch is could not be noted; looked at again");
                false
            }
        }
    }

    /// The sentence about a branch that was rewritten and that nobody has taken as it is, as of the last look.
    pub(crate) fn rewritten(&self, setup: &RepositorySetup) -> Option<String> {
        self.rewritten_words(setup, self.0.branches.0.get(&setup.name)?.now().line?)
    }

    /// What to say of the rewrite that blocked a change in place of what was said then, once the branch is not as it was.
    pub(crate) fn after_rewrite(&self, blocked: &Proposal) -> Option<String> {
        let (branch, note) = (&blocked.branch, blocked.note.as_ref()?);
        if blocked.delivery != Delivery::PushBlocked || !note.starts_with(&blocked_beginning(branch)) {
            return None;
        }
        let line = self.0.branches.0.get(&blocked.repository)?.now().line?;
        let now = |rewrite: Rewrite| blocked_words(branch, line.accepted, rewrite.tip);
        match (line.rewrite.filter(|rewrite| !rewrite.taken), line.undone) {
            (Some(rewrite), _) if *note == now(rewrite) => None,
            (Some(rewrite), _) => Some(format!(
                "branch {branch} was force-pushed once more, and is at {}; look before you retry: Retry push asks again",
                rewrite.tip.short()
            )),
            (None, Some(undone)) if *note == blocked_words(branch, undone.accepted, undone.tip) => {
                let accepted = undone.accepted.short();
                Some(format!(
                    "branch {branch} was force-pushed and put back: it contains {accepted} again; Retry push sends this change"
                ))
            }
            // By a Retry push on another card, or with a later rewrite that was put back.
            (None, _) => Some(format!(
                "branch {branch} was force-pushed, and that is settled since; Retry push sends this change to it as it is now"
            )),
        }
    }

    /// What a retry of this change takes with it: the words for whoever is asked whether they mean it. `None` where it is an ordinary retry.
    pub(crate) async fn retry_takes(&self, blocked: &Proposal) -> Result<Option<String>, StoreError> {
        let stored = self.stored_line(&blocked.repository, &blocked.branch).await?;
        let taken = stored.and_then(|line| Some((line.accepted, line.taken_by_retry_of(blocked)?)));
        Ok(taken.map(|(accepted, rewrite)| {
            format!(
                "takes {} as it is at {}, without {}, for every change",
                blocked.branch,
                rewrite.tip.short(),
                accepted.short()
            )
        }))
    }

    /// The next look asks the remote: somebody says that it can be used again.
    pub(crate) fn ask_again_of(&self, name: &RepositoryName) {
        if let Some(watched) = self.0.branches.0.get(name) {
            watched.forget();
        }
    }

    fn rewritten_words(&self, setup: &RepositorySetup, line: Line) -> Option<String> {
        let rewrite = line.rewrite?;
        Some(blocked_words(setup.branch(), line.accepted, rewrite.tip))
    }

    async fn look_at_line(&self, setup: &RepositorySetup, mut fresh: bool) -> Result<(Line, CommitId), Unknown> {
        let watched = self.0.branches.0.get(&setup.name).ok_or_else(|| unconfigured(setup))?;
        if let (false, Some(line), Some(tip)) = (fresh, watched.now().line, setup.git.cached_tip())
            && line.accepted == tip.commit
            && line.rewrite.is_none()
        {
            return Ok((line, tip.commit));
        }
        let _one = watched.looking.lock().await;
        let before = watched.now();
        let old = match before.line {
            Some(line) => Some(line),
            None => {
                fresh = true;
                self.stored_line(&setup.name, setup.branch()).await?
            }
        };
        let mut tip = match setup.git.cached_tip() {
            Some(tip) if !fresh => tip.commit,
            _ => {
                fresh = true;
                setup.git.refresh(Duration::ZERO).await?.commit
            }
        };
        let Some(old) = old else {
            let first = Line {
                accepted: tip,
                rewrite: None,
                undone: None,
            };
            self.keep_line(setup, first, None).await?;
            watched.keep(first, before);
            return Ok((first, tip));
        };
        let mut continues = follows(setup, old.accepted, tip).await?;
        if !continues && !fresh {
            // Answers overtake each other: only one to a question asked now says that the branch lost something.
            tip = setup.git.refresh(Duration::ZERO).await?.commit;
            continues = follows(setup, old.accepted, tip).await?;
        }
        let going_on = Line {
            accepted: tip,
            rewrite: None,
            ..old
        };
        let next = match old.rewrite {
            Some(Rewrite { tip, .. }) if continues => Line {
                undone: Some(Undone {
                    accepted: old.accepted,
                    tip,
                }),
                ..going_on
            },
            None if continues => going_on,
            Some(known) if follows(setup, known.tip, tip).await? => {
                if known.taken {
                    // What this branch does not hold any more was not put back.
                    Line { undone: None, ..going_on }
                } else {
                    old
                }
            }
            Some(_) | None => Line {
                rewrite: Some(Rewrite {
                    tip,
                    at: self.now(),
                    taken: false,
                }),
                ..old
            },
        };
        if next != old {
            let news = self.news(setup, old, next, continues).await?;
            self.keep_line(setup, next, news).await?;
        }
        watched.keep(next, before);
        Ok((next, tip))
    }

    /// What everybody must hear of a line that changed.
    async fn news(&self, setup: &RepositorySetup, old: Line, next: Line, continues: bool) -> Result<Option<News>, Unknown> {
        let branch = setup.branch();
        match (old.rewrite, next.rewrite) {
            (_, Some(rewrite)) => {
                let gone = self.gone(setup, old.accepted, rewrite.tip).await?;
                Ok(Some(News::Rewritten(format!(
                    "branch {branch} was force-pushed: it no longer contains {} and is at {}. {gone}Nothing is sent to it until somebody has looked \
                     and pressed Retry push on a change that this blocks, or until it contains {} again",
                    old.accepted.short(),
                    rewrite.tip.short(),
                    old.accepted.short(),
                ))))
            }
            (Some(_), None) if continues => Ok(Some(News::PutBack(format!(
                "{}: branch {branch} contains {} again: what waits for it goes on; what was blocked meanwhile waits for Retry push",
                setup.name,
                old.accepted.short()
            )))),
            // It goes on as somebody took it, who has told so: what else it blocked says that now.
            (Some(_), None) => Ok(Some(News::GoesOn)),
            (None, None) => Ok(None),
        }
    }

    /// The delivered changes that a rewritten branch lost, in words.
    async fn gone(&self, setup: &RepositorySetup, accepted: CommitId, tip: CommitId) -> Result<String, Unknown> {
        let lost = match setup.git.commits_since(vec![tip], accepted, LOOKED_UP_MAX).await {
            Ok(lost) => lost,
            // A mirror that was made anew does not hold what the branch lost.
            Err(GitError::UnknownCommit { .. }) => return Ok(String::new()),
            Err(error) => return Err(error.into()),
        };
        let mut named = Vec::new();
        for commit in &lost.commits {
            if let Some(id) = self.store().read().by_commit(&setup.name, commit.id).await? {
                named.push(format!("{} ({})", commit.summary.chars().take(60).collect::<String>(), id.short()));
            }
        }
        let unread = match lost.left {
            0 => String::new(),
            left => format!(
                "{left} more commits are gone that were not looked at: git log {}..{}. ",
                tip.short(),
                accepted.short()
            ),
        };
        let more = named.len().saturating_sub(NAMED_MAX);
        if named.is_empty() {
            return Ok(unread);
        }
        named.truncate(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Ok(format!(
            "Delivered changes are gone with that: {}{more}. {unread}",
            named.join(", ")
        ))
    }

    async fn stored_line(&self, repository: &RepositoryName, branch: &str) -> Result<Option<Line>, StoreError> {
        Ok(line_in(self.store().read().meta(&key(repository, branch)).await?))
    }

    /// Stores the line, with what people must hear of it.
    async fn keep_line(&self, setup: &RepositorySetup, line: Line, news: Option<News>) -> Result<(), Unknown> {
        let (key, now, repository) = (key(&setup.name, setup.branch()), self.now(), setup.name.clone());
        let text = serde_json::to_string(&line).map_err(|error| Unknown::Git(GitError::Internal(error.to_string())))?;
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_meta(&key, &text).await?;
                    match news {
                        Some(news) => tell(tx, &repository, line, Actor::Service, news, now).await,
                        None => Ok::<_, StoreError>(()),
                    }
                })
            })
            .await?;
        Ok(())
    }
}

/// A person retries a blocked delivery. If it was blocked because the branch was rewritten, the branch is taken as they were told it is: part of
/// the same transaction, so that what is pushed afterwards rests on a recorded decision that everybody hears of.
pub(crate) async fn retried(tx: &mut Tx, blocked: &Proposal, by: &PersonRef, actor: Actor, now: Timestamp) -> Result<(), StoreError> {
    let (repository, branch) = (&blocked.repository, &blocked.branch);
    let key = key(repository, branch);
    let Some(line) = line_in(tx.meta(&key).await?) else {
        return Ok(());
    };
    let Some(rewrite) = line.taken_by_retry_of(blocked) else {
        return Ok(());
    };
    let taken = Line {
        rewrite: Some(Rewrite { taken: true, ..rewrite }),
        undone: None,
        ..line
    };
    let Ok(text) = serde_json::to_string(&taken) else { return Ok(()) };
    tx.set_meta(&key, &text).await?;
    let news = format!(
        "{repository}: {} took branch {branch} as it is at {}, without {}: every change goes on from there",
        by.name,
        rewrite.tip.short(),
        line.accepted.short()
    );
    tell(tx, repository, taken, actor, News::Taken(news), now).await
}

/// What people must hear of a branch.
enum News {
    Rewritten(String),
    PutBack(String),
    Taken(String),
    GoesOn,
}

/// Records the news and owes its message, and the cards of all that waits for the branch.
async fn tell(tx: &mut Tx, repository: &RepositoryName, line: Line, actor: Actor, news: News, now: Timestamp) -> Result<(), StoreError> {
    for proposal in tx
        .in_delivery(&[Delivery::None, Delivery::Queued, Delivery::AwaitingCommit, Delivery::PushBlocked])
        .await?
    {
        if proposal.repository == *repository {
            tx.schedule(Some(proposal.id), &Effect::EditCards, now).await?;
        }
    }
    let (event, effect, summary) = match news {
        News::GoesOn => return Ok(()),
        News::Rewritten(text) => (
            "alarm",
            Effect::Alarm {
                text: addressed(repository, &text),
            },
            text,
        ),
        News::PutBack(text) => (
            "branch_put_back",
            Effect::Tell {
                text: addressed(repository, &text),
            },
            text,
        ),
        News::Taken(text) => (
            "branch_taken",
            Effect::Tell {
                text: addressed(repository, &text),
            },
            text,
        ),
    };
    tx.audit(Audit {
        proposal: None,
        actor,
        event: event.to_owned(),
        summary,
        details: json!({ "repository": repository, "line": line }),
        at: now,
    })
    .await?;
    tx.schedule(None, &effect, now).await
}

/// How [`blocked_words`] begin.
fn blocked_beginning(branch: &str) -> String {
    format!("branch {branch} was force-pushed: it no longer contains ")
}

fn blocked_words(branch: &str, accepted: CommitId, tip: CommitId) -> String {
    format!(
        "{}{} and is at {}; look before you retry: Retry push takes it as it is, for every change",
        blocked_beginning(branch),
        accepted.short(),
        tip.short()
    )
}

fn key(repository: &RepositoryName, branch: &str) -> String {
    format!("line:{repository}:{branch}")
}

/// A line as it was written down; one that cannot be read is as good as none.
fn line_in(stored: Option<String>) -> Option<Line> {
    serde_json::from_str(&stored?).ok()
}

/// Whether `tip` continues `from`. What the mirror does not hold is on no branch of it.
async fn follows(setup: &RepositorySetup, from: CommitId, tip: CommitId) -> Result<bool, GitError> {
    Ok(setup.git.is_ancestor(from, tip).await? == Ancestry::Yes)
}

fn unconfigured(setup: &RepositorySetup) -> Unknown {
    Unknown::Git(GitError::Internal(format!("repository {} is not configured", setup.name)))
}

/// Why nothing can be said about a branch.
enum Unknown {
    Git(GitError),
    Store(StoreError),
}

impl From<GitError> for Unknown {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl From<StoreError> for Unknown {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
