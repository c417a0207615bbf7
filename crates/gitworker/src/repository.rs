//! The one door to git: every operation on one repository and branch, as async functions that hold no lock of the caller's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{ChangeSet, CommitId, RepoPath};

use crate::error::MirrorFault;
use crate::mirror::Mirror;
use crate::transport::Transport;
use crate::usable::Trouble;
use crate::{
    Ancestry, BuildError, Built, CommitInfo, CommitSpec, DiffError, Entry, GitError, Inverse, Known, Located, Manual, PushOutcome, Rebase,
    RepositoryOptions, RequestedChange, ResolveError, Since, Standing, Tip, Touch, UnifiedDiff,
};

/// Answers about ancestry that are kept: they never change.
const ANCESTRY_KEPT: usize = 4096;

/// One repository and branch. Cloning it is cheap; all clones share the mirror, the connection and what is cached.
#[derive(Clone)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: RepositoryOptions,
    pub(crate) transport: Transport,
    pub(crate) mirror: Mirror,
    /// Why it cannot be used yet.
    pub(crate) trouble: Trouble,
    /// Held while the mirror's files are changed by `git` or swapped.
    pub(crate) upkeep: tokio::sync::Mutex<()>,
    /// Held while the remote is asked for its tip on behalf of a refresh.
    pub(crate) asking: tokio::sync::Mutex<()>,
    pub(crate) tip: Mutex<Option<(Instant, Tip)>>,
    /// Why the remote did not answer when it was asked last.
    away: Mutex<Option<GitError>>,
    ancestry: Mutex<HashMap<(CommitId, CommitId), bool>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Repository({} {} {:?})",
            self.inner.options.name, self.inner.options.url, self.inner.options.branch
        )
    }
}

impl Repository {
    /// Opens the mirror. When it is missing, damaged or belongs to another remote, it is cloned beside and swapped in.
    /// With a usable mirror nothing is asked of the network, so a remote that is away does not stop the start.
    ///
    /// # Errors
    /// [`GitError::Config`] for unusable options; what cloning says when a clone was needed.
    pub async fn open(options: RepositoryOptions) -> Result<Self, GitError> {
        let repository = Self::prepare(options).await?;
        repository.open_mirror().await?;
        Ok(repository)
    }

    pub(crate) fn of(options: RepositoryOptions, transport: Transport) -> Self {
        let trouble = Trouble::new(GitError::Cloning {
            remote: options.url.to_string(),
        });
        let mirror = Mirror::new(&options);
        let inner = Inner {
            options,
            transport,
            mirror,
            trouble,
            upkeep: tokio::sync::Mutex::new(()),
            asking: tokio::sync::Mutex::new(()),
            tip: Mutex::new(None),
            away: Mutex::new(None),
            ancestry: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the repository was opened with.
    pub fn options(&self) -> &RepositoryOptions {
        &self.inner.options
    }

    /// Asks the remote where the branch is, now. `None`: there is no such branch. One small request; the mirror is not touched.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub async fn tip(&self) -> Result<Option<CommitId>, GitError> {
        let answer = self.inner.transport.tip(&self.inner.options.reference()).await;
        *self.inner.away.lock().unwrap_or_else(PoisonError::into_inner) = answer.as_ref().err().cloned();
        answer
    }

    /// Why the remote could not be asked for its branch when that was tried last. `None`: it answered, or nobody has asked yet.
    pub fn away(&self) -> Option<GitError> {
        self.inner.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A branch of the remote, other than ours, whose tip this commit is: the mirror holds one branch only, so that it knows no other's commits.
    /// One request; commits below such a tip are not found.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub async fn other_branch_at(&self, commit: CommitId) -> Result<Option<String>, GitError> {
        let options = &self.inner.options;
        let (control, mirror, deadline) = (self.inner.transport.control(), self.inner.mirror.path(), options.deadlines.request);
        let listed = crate::cli::git(options, control, mirror, "ls-remote", deadline, &["ls-remote", "--heads", "origin"]).await?;
        let tips = String::from_utf8_lossy(&listed);
        let found = tips.lines().find_map(|line| {
            let (id, reference) = line.split_once('\t')?;
            let branch = reference.strip_prefix("refs/heads/")?;
            (id.parse() == Ok(commit) && branch != options.branch).then(|| branch.to_owned())
        });
        Ok(found)
    }

    /// The tip last seen, without asking anybody. `None` before the first [`refresh`](Self::refresh).
    pub fn cached_tip(&self) -> Option<Tip> {
        self.inner.tip.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, tip)| tip)
    }

    /// Where the mirror's own branch is: what was fetched last, perhaps by an earlier process. Asks nothing of the network.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub async fn mirror_tip(&self) -> Result<Option<CommitId>, GitError> {
        let reference = self.inner.options.reference();
        self.run(move |repo| crate::mirror::branch_tip(repo, &reference)).await
    }

    /// The branch's tip, at most `max_age` old, with its commit in the mirror. Asks the remote only when what is known is older,
    /// and fetches only when the commit is not in the mirror yet.
    ///
    /// # Errors
    /// [`GitError::BranchMissing`] when the branch is gone; otherwise what asking or fetching said.
    pub async fn refresh(&self, max_age: Duration) -> Result<Tip, GitError> {
        self.refresh_mirror(max_age).await
    }

    /// Whether `ancestor` is reachable from `descendant`. Answers are remembered.
    ///
    /// # Errors
    /// When the mirror cannot be read, even after it was cloned again.
    pub async fn is_ancestor(&self, ancestor: CommitId, descendant: CommitId) -> Result<Ancestry, GitError> {
        if ancestor == descendant {
            let known = self
                .run(move |repo| Ok::<_, GitError>(crate::tree::commit(repo, ancestor)?.is_some()))
                .await?;
            return Ok(if known { Ancestry::Yes } else { Ancestry::Unknown });
        }
        if let Some(known) = self.ancestry().get(&(ancestor, descendant)) {
            return Ok(if *known { Ancestry::Yes } else { Ancestry::No });
        }
        let answer = self
            .run(move |repo| crate::history::is_ancestor(repo, ancestor, descendant))
            .await?;
        if answer != Ancestry::Unknown {
            let mut kept = self.ancestry();
            if kept.len() >= ANCESTRY_KEPT {
                kept.clear();
            }
            kept.insert((ancestor, descendant), answer == Ancestry::Yes);
        }
        Ok(answer)
    }

    /// Which of these commits are reachable from `descendant`, in their order: one walk for all of them.
    ///
    /// # Errors
    /// As [`is_ancestor`](Self::is_ancestor).
    pub async fn contained(&self, commits: Vec<CommitId>, descendant: CommitId) -> Result<Vec<Ancestry>, GitError> {
        self.run(move |repo| crate::history::contained(repo, &commits, descendant)).await
    }

    /// What the mirror knows of a commit, measured against the mirror's own branch: refresh first where that matters.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub async fn known_commit(&self, commit: CommitId) -> Result<Known, GitError> {
        let reference = self.inner.options.reference();
        let (known, tip) = self
            .run(move |repo| {
                Ok::<_, GitError>((
                    crate::tree::commit(repo, commit)?.is_some(),
                    crate::mirror::branch_tip(repo, &reference)?,
                ))
            })
            .await?;
        match tip {
            _ if !known => Ok(Known::Unknown),
            Some(tip) if self.is_ancestor(commit, tip).await? == Ancestry::Yes => Ok(Known::OnBranch),
            _ => Ok(Known::OffBranch),
        }
    }

    /// What stands at these paths in a commit's tree.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn read(&self, commit: CommitId, paths: &[RepoPath]) -> Result<BTreeMap<RepoPath, Entry>, GitError> {
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        let paths = paths.to_vec();
        self.run(move |repo| crate::tree::read(repo, commit, &paths)).await
    }

    /// The commits in `from..to` that changed any of these paths against all their parents, newest first, at most `cap`.
    /// At most 5,000 commits are looked at.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn last_touching(&self, from: CommitId, to: CommitId, paths: &[RepoPath], cap: usize) -> Result<Vec<Touch>, GitError> {
        let paths = paths.to_vec();
        self.run(move |repo| crate::history::last_touching(repo, from, to, &paths, cap))
            .await
    }

    /// The commits that are reachable from `to` and from none of `from` and change something of their own, parents first. At most `most` are
    /// looked at; the answer says how many are left, and from where to go on.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`], such as after the branch was rewritten.
    pub async fn commits_since(&self, from: Vec<CommitId>, to: CommitId, most: usize) -> Result<Since, GitError> {
        self.run(move |repo| crate::since::commits_since(repo, &from, to, most.max(1)))
            .await
    }

    /// Resolves wishes against a base to full contents with their old sides. What would change nothing is dropped, so the result may be empty.
    ///
    /// # Errors
    /// [`ResolveError::Refused`] lists every change that breaks a rule: a parent that is no directory, a target that is a symlink, submodule
    /// or directory, a delete of what is not there, names that differ by letter case only, a path named twice, a file below a file.
    pub async fn resolve(&self, base: CommitId, request: Vec<RequestedChange>) -> Result<ChangeSet, ResolveError> {
        self.run(move |repo| crate::resolve::resolve(repo, base, &request)).await
    }

    /// Applies a unified diff exactly, without offsets or fuzz, and returns the full contents it stands for. A missing `diff --git` line is fine.
    ///
    /// # Errors
    /// [`DiffError::Refused`] with the diff's line for whatever does not fit.
    pub async fn apply_diff(&self, base: CommitId, diff: &str) -> Result<Vec<RequestedChange>, DiffError> {
        let files = crate::patch::parse(diff)?;
        self.run(move |repo| crate::patch::apply(repo, base, &files)).await
    }

    /// Carries a change from its base over to a tip: per path, without looking for renames.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`] for the tip.
    pub async fn rebase(&self, base: CommitId, tip: CommitId, change: &ChangeSet) -> Result<Rebase, GitError> {
        let change = change.clone();
        self.run(move |repo| crate::merge::rebase(repo, base, tip, &change)).await
    }

    /// The change against `tip` that takes `commit` back (measured against its first parent).
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn inverse(&self, commit: CommitId, tip: CommitId) -> Result<Inverse, GitError> {
        self.run(move |repo| crate::merge::inverse(repo, commit, tip)).await
    }

    /// Builds the commits in memory, one on the other. Nothing is written to the mirror and nothing is sent; the same inputs give the same ids.
    ///
    /// # Errors
    /// [`BuildError::Stale`] when a change was made against something else than what stands in its parent.
    pub async fn build(&self, parent: CommitId, commits: &[CommitSpec]) -> Result<Built, BuildError> {
        let commits = commits.to_vec();
        let inner = self.inner.clone();
        self.run_on(true, move |repo| crate::build::build(repo, &inner.options, parent, &commits))
            .await
    }

    /// Moves the branch from `expected_tip` to the built commits, if it is still there: one compare-and-swap. Never forces anything.
    /// Commits that do not stand on `expected_tip` are not sent: the answer is [`PushOutcome::Moved`] with that tip.
    pub async fn push(&self, built: &Built, expected_tip: CommitId) -> PushOutcome {
        crate::push::to_branch(self, built, expected_tip).await
    }

    /// Creates the branch `name` (without `refs/heads/`) at the built commits, or moves it there from `expected`.
    pub async fn push_branch(&self, name: &str, built: &Built, expected: Option<CommitId>) -> PushOutcome {
        crate::push::to_side_branch(self, name, expected, Some(built)).await
    }

    /// Deletes the branch `name` if it is still at `expected`. Confirmed also when it is already gone.
    pub async fn delete_branch(&self, name: &str, expected: CommitId) -> PushOutcome {
        crate::push::to_side_branch(self, name, Some(expected), None).await
    }

    /// Finds out whether a delivery is on the branch: refreshes, looks for each candidate id, then for a commit with the line
    /// `Proposal-Id: <proposal>` among the newest 5,000.
    ///
    /// # Errors
    /// When the remote cannot be asked: then nothing is known.
    pub async fn locate(&self, candidates: &[CommitId], proposal: &str) -> Result<Located, GitError> {
        let tip = self.refresh(Duration::ZERO).await?.commit;
        let (candidates, proposal) = (candidates.to_vec(), proposal.to_owned());
        self.run(move |repo| crate::history::locate(repo, tip, &candidates, &proposal))
            .await
    }

    /// What became of a change that a human commits, judged on the mirror's branch after `since`: refresh first.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`] when `since` is not in the mirror.
    pub async fn landed(&self, since: CommitId, change: &ChangeSet, proposal: &str) -> Result<Manual, GitError> {
        let reference = self.inner.options.reference();
        let (change, proposal) = (change.clone(), proposal.to_owned());
        self.run(move |repo| crate::history::landed(repo, &reference, since, &change, &proposal))
            .await
    }

    /// How a change compares with the tree of one commit, such as the merge of a pull request.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn standing(&self, commit: CommitId, change: &ChangeSet) -> Result<Standing, GitError> {
        let change = change.clone();
        self.run(move |repo| crate::history::standing(repo, commit, &change)).await
    }

    /// A commit's facts.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`].
    pub async fn describe_commit(&self, commit: CommitId) -> Result<CommitInfo, GitError> {
        self.run(move |repo| crate::history::describe(repo, commit)).await
    }

    /// The whole change as a unified diff with git headers. The old contents come from the mirror; one that is gone is said in its place.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub async fn unified_diff(&self, change: &ChangeSet) -> Result<UnifiedDiff, GitError> {
        let change = change.clone();
        self.run(move |repo| crate::diff::unified(repo, &change)).await
    }

    /// The whole change as `git apply` takes it: as [`unified_diff`](Self::unified_diff), but contents that are no text stand in it as git's
    /// binary patches.
    ///
    /// # Errors
    /// When the mirror cannot be read, or an old content is no longer in it.
    pub async fn patch(&self, change: &ChangeSet) -> Result<String, GitError> {
        let change = change.clone();
        self.run(move |repo| crate::diff::patch(repo, &change)).await
    }

    /// The built commits as mail patches that `git am` takes: binary contents included, messages with their trailers kept.
    ///
    /// # Errors
    /// When git cannot write them.
    pub async fn format_patch(&self, built: &Built) -> Result<String, GitError> {
        crate::diff::format_patch(self, built).await
    }

    /// Whether the repository can be used: there is no [`trouble`](Self::trouble), the mirror opens, and the tip's commit and root tree are
    /// there. Asks nothing of the network.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn health(&self) -> Result<(), GitError> {
        if let Some(why) = self.trouble() {
            return Err(why);
        }
        let inner = self.inner.clone();
        blocking(move || inner.mirror.check()).await
    }

    /// Looks into the mirror on disk and clones it anew when it is damaged: also a mirror that nobody uses must not stay so.
    ///
    /// # Errors
    /// When it could not be cloned; damage that comes back at once is not chased.
    pub async fn repair(&self) -> Result<(), GitError> {
        self.has_mirror()?;
        let generation = self.inner.mirror.generation();
        let inner = self.inner.clone();
        match blocking(move || inner.mirror.check()).await {
            Ok(()) => Ok(()),
            Err(error) => self.heal(generation, error.to_string()).await,
        }
    }

    /// Whether the credentials may push, as far as a remote tells before a push.
    ///
    /// # Errors
    /// [`GitError::Denied`] when they may not.
    pub async fn can_push(&self) -> Result<(), GitError> {
        self.inner.transport.can_push().await
    }

    fn ancestry(&self) -> std::sync::MutexGuard<'_, HashMap<(CommitId, CommitId), bool>> {
        self.inner.ancestry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step on a pooled handle of the mirror.
    pub(crate) async fn run<T, E>(&self, step: impl Fn(&git2::Repository) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: MirrorFault,
    {
        self.run_on(false, step).await
    }

    /// Runs a step in a blocking thread; when the mirror is at fault, it is cloned again and the step is run once more.
    /// `private` gives the step a handle of its own that is dropped afterwards.
    pub(crate) async fn run_on<T, E>(
        &self,
        private: bool,
        step: impl Fn(&git2::Repository) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: MirrorFault,
    {
        self.has_mirror()?;
        let step = Arc::new(step);
        let attempt = || {
            let (inner, step) = (self.inner.clone(), step.clone());
            blocking(move || inner.mirror.with(private, &*step))
        };
        let generation = self.inner.mirror.generation();
        let mut done = attempt().await;
        let fault = done
            .as_mut()
            .err()
            .and_then(|error| error.mirror_fault().map(|(_, detail)| detail.to_owned()));
        match fault {
            None => done,
            Some(detail) => {
                self.heal(generation, detail).await?;
                attempt().await
            }
        }
    }
}

/// Runs a closure where blocking is allowed.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<GitError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(GitError::Internal(error.to_string()).into()),
    }
}
