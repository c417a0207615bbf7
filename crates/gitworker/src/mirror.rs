//! The bare mirror: a disposable cache of the remote's branch. It is created, checked, fetched into, and cloned anew beside when it is
//! damaged; libgit2 handles on it are pooled.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::CommitId;

use crate::error::MirrorFault;
use crate::repository::{Repository, blocking};
use crate::{GitError, RepositoryOptions, Tip, tree};

/// Idle libgit2 handles that are kept. Each holds open packs and a small object cache.
const IDLE_HANDLES: usize = 4;
/// A damaged mirror is cloned again at most this often, so that a remote which serves damaged objects is not cloned in a loop.
const HEAL_EVERY: Duration = Duration::from_secs(30);
/// Above this many packs the small ones are joined: every lookup of a missing object asks each pack.
const PACKS_MAX: usize = 50;
/// How often a branch is asked and fetched again when it moved back in between.
const FETCH_ROUNDS: usize = 3;

pub(crate) struct Mirror {
    path: PathBuf,
    url: String,
    reference: String,
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct Handles {
    generation: u64,
    healed: Option<Instant>,
    idle: Vec<git2::Repository>,
}

impl Mirror {
    pub(crate) fn new(options: &RepositoryOptions) -> Self {
        Self {
            path: options.mirror.clone(),
            url: options.url.to_string(),
            reference: options.reference(),
            handles: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Rises whenever the mirror was replaced.
    pub(crate) fn generation(&self) -> u64 {
        self.handles().generation
    }

    /// Runs a step on a handle. A step that finds the mirror at fault is run once more on a fresh handle:
    /// packs may have been joined meanwhile, which an old handle cannot always follow.
    pub(crate) fn with<T, E: MirrorFault>(&self, private: bool, step: &dyn Fn(&git2::Repository) -> Result<T, E>) -> Result<T, E> {
        let (generation, pooled) = {
            let mut handles = self.handles();
            (handles.generation, if private { None } else { handles.idle.pop() })
        };
        let mut handle = match pooled {
            Some(handle) => handle,
            None => self.open()?,
        };
        let mut done = step(&handle);
        if done.as_mut().err().and_then(MirrorFault::mirror_fault).is_some() {
            handle = self.open()?;
            done = step(&handle);
        }
        match done.as_mut().err().and_then(MirrorFault::mirror_fault) {
            Some((path, _)) => path.clone_from(&self.path),
            None if private => {}
            None => self.put_back(generation, handle),
        }
        done
    }

    fn put_back(&self, generation: u64, handle: git2::Repository) {
        let mut handles = self.handles();
        if handles.generation == generation && handles.idle.len() < IDLE_HANDLES {
            handles.idle.push(handle);
        }
    }

    fn open(&self) -> Result<git2::Repository, GitError> {
        git2::Repository::open_bare(&self.path).map_err(|error| self.fault(error.message()))
    }

    fn fault(&self, detail: &str) -> GitError {
        GitError::Mirror {
            path: self.path.clone(),
            detail: detail.to_owned(),
        }
    }

    /// Whether the mirror can be used: it is bare, belongs to this remote, and the branch's commit and root tree can be read.
    pub(crate) fn check(&self) -> Result<(), GitError> {
        self.with(true, &|repo| {
            let url = repo.config()?.get_string("remote.origin.url").unwrap_or_default();
            if !repo.is_bare() || url != self.url {
                return Err(self.fault("it is not a bare mirror of the configured remote"));
            }
            if let Some(tip) = branch_tip(repo, &self.reference)? {
                repo.find_commit(tree::oid(tip))?.tree()?;
            }
            Ok(())
        })
    }

    /// Makes an empty mirror at `path`.
    fn create(&self, path: &Path) -> Result<(), GitError> {
        let mut init = git2::RepositoryInitOptions::new();
        init.bare(true).mkpath(true).external_template(false).initial_head(&self.reference);
        let repo = git2::Repository::init_opts(path, &init)?;
        let mut config = repo.config()?;
        config.set_str("remote.origin.url", &self.url)?;
        config.set_bool("core.protectNTFS", true)?;
        config.set_bool("core.protectHFS", true)?;
        config.set_i32("gc.auto", 0)?;
        config.set_bool("maintenance.auto", false)?;
        Ok(())
    }

    /// Drops what a killed `git` left locked. The mirror has one owner, so a lock found while nobody works on it is nobody's.
    fn drop_stale_locks(&self) {
        for name in [
            "HEAD.lock",
            "config.lock",
            "packed-refs.lock",
            "shallow.lock",
            &format!("{}.lock", self.reference),
        ] {
            let lock = self.path.join(name);
            if std::fs::remove_file(&lock).is_ok() {
                tracing::info!(lock = %lock.display(), "removed a stale lock of the mirror");
            }
        }
    }

    /// Swaps a fresh clone in. The old mirror is set aside first, so a crash in between leaves no mirror, which the next start clones.
    fn swap_in(&self, fresh: &Path) -> std::io::Result<()> {
        let old = sibling(&self.path, "old");
        remove(&old)?;
        if std::fs::symlink_metadata(&self.path).is_ok() {
            std::fs::rename(&self.path, &old)?;
        }
        std::fs::rename(fresh, &self.path)?;
        let mut handles = self.handles();
        handles.generation += 1;
        handles.idle.clear();
        drop(handles);
        remove(&old)
    }

    pub(crate) fn contains(&self, commit: CommitId) -> Result<bool, GitError> {
        self.with(false, &|repo| Ok(tree::commit(repo, commit)?.is_some()))
    }

    /// Moves the mirror's own branch.
    pub(crate) fn set_branch(&self, commit: CommitId) -> Result<(), GitError> {
        self.with(false, &|repo| {
            if branch_tip(repo, &self.reference)? != Some(commit) {
                repo.reference(&self.reference, tree::oid(commit), true, "countersign")?;
            }
            Ok(())
        })
    }

    /// Stores a pack's objects.
    pub(crate) fn absorb(&self, pack: &[u8]) -> Result<(), GitError> {
        use std::io::Write as _;
        self.with(false, &|repo| {
            let odb = repo.odb()?;
            let mut writer = odb.packwriter()?;
            writer.write_all(pack).map_err(|error| self.fault(&error.to_string()))?;
            writer.commit()?;
            Ok(())
        })
    }

    /// How many packs there are.
    fn packs(&self) -> usize {
        std::fs::read_dir(self.path.join("objects/pack"))
            .map(|entries| {
                entries
                    .flatten()
                    .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "pack"))
                    .count()
            })
            .unwrap_or(0)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the mirror's own branch is. A branch that points at nothing readable is a fault of the mirror.
pub(crate) fn branch_tip(repo: &git2::Repository, reference: &str) -> Result<Option<CommitId>, GitError> {
    match repo.refname_to_id(reference) {
        Ok(id) => Ok(Some(tree::commit_id(id)?)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    path.with_file_name(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    let gone = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    gone.or_else(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })
}

impl Repository {
    /// Makes sure that there is a mirror: the one on disk, or a fresh clone when it is missing, damaged or another remote's. Asks nothing of the
    /// network when there is one. May be called again and again; calls at once share the work.
    ///
    /// # Errors
    /// Why there is no mirror; until a later call succeeds, this is what stands in the way ([`Repository::trouble`]).
    pub async fn open_mirror(&self) -> Result<(), GitError> {
        let _upkeep = self.inner.upkeep.lock().await;
        if self.has_mirror().is_ok() {
            return Ok(());
        }
        let inner = self.inner.clone();
        let checked = blocking(move || {
            inner.mirror.drop_stale_locks();
            inner.mirror.check()
        });
        let opened = match checked.await {
            Ok(()) => self.settle().await,
            Err(error) => {
                let name = &self.inner.options.name;
                if self.inner.mirror.path.exists() {
                    tracing::warn!(repository = %name, %error, "the mirror on disk cannot be used; cloning a fresh one");
                } else {
                    tracing::info!(repository = %name, "cloning the mirror: the first start takes a moment");
                }
                match self.clone_beside().await {
                    Ok(()) => self.settle().await,
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(why) = &opened {
            self.inner.trouble.set(Some(why.clone()));
        }
        opened
    }

    /// Clones the mirror again, unless somebody did since `generation`.
    pub(crate) async fn heal(&self, generation: u64, why: String) -> Result<(), GitError> {
        let _upkeep = self.inner.upkeep.lock().await;
        {
            let mut handles = self.inner.mirror.handles();
            if handles.generation != generation {
                return Ok(());
            }
            if handles.healed.is_some_and(|last| last.elapsed() < HEAL_EVERY) {
                return Err(self
                    .inner
                    .mirror
                    .fault(&format!("{why} (cloned anew less than {} s ago)", HEAL_EVERY.as_secs())));
            }
            handles.healed = Some(Instant::now());
        }
        tracing::warn!(repository = %self.inner.options.name, why, "the mirror is damaged: cloning it anew");
        self.clone_beside().await
    }

    /// A fresh mirror beside the old one, fetched and swapped in. The caller holds `upkeep`.
    async fn clone_beside(&self) -> Result<(), GitError> {
        let inner = self.inner.clone();
        let fresh = sibling(inner.mirror.path(), "new");
        let target = fresh.clone();
        blocking(move || {
            remove(&target).map_err(|error| inner.mirror.fault(&error.to_string()))?;
            inner.mirror.create(&target).map_err(|error| inner.mirror.fault(&error.to_string()))
        })
        .await?;
        // An empty remote, or one without the branch yet, is no fault of the mirror: `refresh` tells.
        if self.tip().await?.is_some() {
            self.fetch_into(&fresh, "clone", self.inner.options.deadlines.clone).await?;
        }
        // What was seen before may have been moved away by force: then the new mirror does not hold it.
        *self.inner.tip.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let inner = self.inner.clone();
        blocking(move || inner.mirror.swap_in(&fresh).map_err(|error| inner.mirror.fault(&error.to_string()))).await
    }

    async fn fetch_into(&self, mirror: &Path, step: &'static str, deadline: Duration) -> Result<(), GitError> {
        let options = &self.inner.options;
        let refspec = format!("+{0}:{0}", options.reference());
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "origin",
            &refspec,
        ];
        crate::cli::git(options, self.inner.transport.control(), mirror, step, deadline, &args)
            .await
            .map(drop)
    }

    /// The tip, if the remote was asked at this moment or later.
    fn tip_since(&self, moment: Option<Instant>) -> Option<Tip> {
        let known = *self.inner.tip.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .filter(|(asked, _)| moment.is_none_or(|moment| *asked >= moment))
            .map(|(_, tip)| tip)
    }

    pub(crate) async fn refresh_mirror(&self, max_age: Duration) -> Result<Tip, GitError> {
        self.has_mirror()?;
        let called = Instant::now();
        if let Some(tip) = self.tip_since(called.checked_sub(max_age)) {
            return Ok(tip);
        }
        // Those who wait here share the answer to a question that was asked after they called.
        let _asking = self.inner.asking.lock().await;
        if let Some(tip) = self.tip_since(Some(called)) {
            return Ok(tip);
        }
        let options = &self.inner.options;
        for _ in 0..FETCH_ROUNDS {
            let asked = Instant::now();
            let at = chrono::Utc::now();
            let Some(commit) = self.tip().await? else {
                return Err(self.branch_missing());
            };
            let known = self
                .run(move |repo| Ok::<_, GitError>(tree::commit(repo, commit)?.is_some()))
                .await?;
            let there = if known { Some(commit) } else { self.fetch(commit).await? };
            if let Some(commit) = there {
                self.remember_tip(asked, Tip { commit, at }).await;
                return Ok(Tip { commit, at });
            }
        }
        let detail = "the branch moves faster than it can be fetched".to_owned();
        Err(GitError::Unreachable {
            remote: options.url.to_string(),
            detail,
        })
    }

    /// Fetches, and answers where the branch was at that moment: perhaps further than `commit`, on a busy branch. `None` when `commit` is not
    /// in the mirror afterwards: the branch was moved back meanwhile.
    /// A fetch that fails twice while the remote answers is repeated on a fresh clone:
    /// a damaged pack stops `git fetch` as well.
    async fn fetch(&self, commit: CommitId) -> Result<Option<CommitId>, GitError> {
        let generation = self.inner.mirror.generation();
        let contains = || {
            let inner = self.inner.clone();
            blocking(move || inner.mirror.contains(commit))
        };
        let fetched = {
            let _upkeep = self.inner.upkeep.lock().await;
            if contains().await? {
                return Ok(Some(commit));
            }
            let fetch = || self.fetch_into(self.inner.mirror.path(), "fetch", self.inner.options.deadlines.fetch);
            match fetch().await {
                Err(GitError::Command { .. }) => {
                    self.inner.mirror.drop_stale_locks();
                    fetch().await
                }
                done => done,
            }
        };
        match fetched {
            Ok(()) => self.join_packs().await?,
            Err(GitError::Command { detail, .. }) => self.heal(generation, detail).await?,
            Err(other) => return Err(other),
        }
        if !contains().await? {
            return Ok(None);
        }
        let reference = self.inner.options.reference();
        let fetched = self.run(move |repo| branch_tip(repo, &reference)).await?;
        Ok(Some(fetched.unwrap_or(commit)))
    }

    /// Records where the branch is, in the mirror and then in memory. Failing costs nothing but a later fetch.
    pub(crate) async fn remember_tip(&self, asked: Instant, tip: Tip) {
        let inner = self.inner.clone();
        if let Err(error) = blocking(move || inner.mirror.set_branch(tip.commit)).await {
            tracing::warn!(%error, "the mirror's branch could not be moved");
            return;
        }
        self.inner.trouble.set(None);
        let mut known = self.inner.tip.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|(earlier, _)| earlier <= asked) {
            *known = Some((asked, tip));
        }
    }

    /// Joins small packs when there are many. Every push leaves one.
    pub(crate) async fn join_packs(&self) -> Result<(), GitError> {
        let inner = self.inner.clone();
        if blocking(move || Ok::<_, GitError>(inner.mirror.packs())).await? <= PACKS_MAX {
            return Ok(());
        }
        let _upkeep = self.inner.upkeep.lock().await;
        let options = &self.inner.options;
        let args = ["repack", "--geometric=2", "-d", "--quiet"];
        if let Err(error) = crate::cli::git(options, None, self.inner.mirror.path(), "repack", options.deadlines.fetch, &args).await {
            tracing::warn!(%error, "the mirror's packs could not be joined");
        }
        Ok(())
    }
}
