//! Policy, runbooks and guard rails in force, exchanged as one when their files change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use changes::Runbook;
use changes::guard::Guards;
use domain::{CommitId, Facts, Policy, RepoPath, RepositoryName, RunbookName, UserId};

mod shelf;
mod theirs;

pub use shelf::{REPOSITORY_RUNBOOK_BYTES_MAX, REPOSITORY_RUNBOOKS_MAX};
pub(crate) use shelf::{SUFFIX as RUNBOOK_SUFFIX, Shelf, parsed as parsed_runbook};
pub(crate) use theirs::{AtTip, Theirs};
pub use theirs::{PolicyHome, REPOSITORY_POLICY_BYTES_MAX};

mod guard;

pub use guard::GuardFiles;

/// Most rules that a replay asks, of both policies and over all decisions: some seconds of work at worst.
const REPLAY_STEPS_MAX: usize = 2_000_000;

/// How many past decisions are compared under so many rules.
fn compared_at_most(rules: usize) -> usize {
    (REPLAY_STEPS_MAX / rules.max(1)).max(1)
}

/// The policy, the runbooks and the guard rails that are in force together.
#[derive(Debug, Clone)]
pub struct Book {
    /// The policy: the service's own, with those of repositories that carry one themselves; whoever took their own rights away is in no group
    /// of it.
    pub policy: Arc<Policy>,
    /// The service's own runbooks by name. Repositories may have more: [`Book::runbook`].
    pub runbooks: Arc<BTreeMap<RunbookName, Arc<Runbook>>>,
    own: Arc<Policy>,
    theirs: BTreeMap<RepositoryName, Theirs>,
    shelves: BTreeMap<RepositoryName, Shelf>,
    loaded: guard::Loaded,
    source: Option<Source>,
    /// The policy with everybody's rights, and who has none at the moment.
    whole: Arc<Policy>,
    locked: BTreeSet<UserId>,
    /// The repositories without an Argo CD: how a run ended there, nobody can see.
    unwatched: Arc<BTreeSet<RepositoryName>>,
}

#[derive(Debug, Clone)]
struct Source {
    policy: PathBuf,
    runbooks: Option<PathBuf>,
    guard: GuardFiles,
    readers: BTreeSet<RepositoryName>,
}

/// Something wrong in a policy or runbook file, or in one of the guard rails' files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub file: String,
    /// Line from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl FileProblem {
    fn of(file: &str, problem: domain::Problem) -> Self {
        Self {
            file: file.to_owned(),
            line: problem.line,
            message: problem.message,
            remedy: problem.remedy,
        }
    }
}

impl std::fmt::Display for FileProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}\n  remedy: {}", self.file, self.message, self.remedy)
        } else {
            write!(f, "{}:{}: {}\n  remedy: {}", self.file, self.line, self.message, self.remedy)
        }
    }
}

impl Book {
    /// A book without files behind it, with the built-in guard rails.
    pub fn new(policy: Policy, runbooks: Vec<Runbook>) -> Self {
        let runbooks = runbooks
            .into_iter()
            .map(|runbook| (runbook.name().clone(), Arc::new(runbook)))
            .collect();
        let policy = Arc::new(policy);
        Self {
            whole: policy.clone(),
            policy: policy.clone(),
            runbooks: Arc::new(runbooks),
            own: policy,
            theirs: BTreeMap::new(),
            shelves: BTreeMap::new(),
            loaded: guard::Loaded::built_in(),
            source: None,
            locked: BTreeSet::new(),
            unwatched: Arc::default(),
        }
    }

    /// Where the rules for a repository stand; `None` for a book that comes from no file.
    pub fn home(&self, repository: &RepositoryName) -> Option<PolicyHome> {
        let local = || self.source.as_ref().map(|source| PolicyHome::Local(source.policy.clone()));
        let theirs = self
            .theirs
            .get(repository)
            .map(|theirs| PolicyHome::Repository(theirs.path.clone()));
        theirs.or_else(local)
    }

    /// A runbook as a repository's changes may name it: the service's own, or one that the repository carries itself.
    pub fn runbook(&self, repository: &RepositoryName, name: &RunbookName) -> Option<&Arc<Runbook>> {
        let theirs = || self.shelves.get(repository)?.runbook(name);
        self.runbooks.get(name).or_else(theirs)
    }

    /// The runbooks that only one repository has, by repository and name.
    pub fn repository_runbooks(&self) -> impl Iterator<Item = (&RepositoryName, &Arc<Runbook>)> {
        let shelves = self.shelves.iter();
        shelves
            .flat_map(|(repository, shelf)| shelf.runbooks().map(move |runbook| (repository, runbook)))
            .filter(|(_, runbook)| !self.runbooks.contains_key(runbook.name()))
    }

    /// The names of all runbooks, whosever they are.
    pub fn runbook_names(&self) -> BTreeSet<&RunbookName> {
        let theirs = self.repository_runbooks().map(|(_, runbook)| runbook.name());
        self.runbooks.keys().chain(theirs).collect()
    }

    /// What is wrong with the runbooks that a repository carries itself.
    pub fn runbook_problems(&self, repository: &RepositoryName) -> Vec<FileProblem> {
        let shelf = self.shelves.get(repository);
        shelf.map(|shelf| shelf.trouble(&self.runbooks)).unwrap_or_default()
    }

    /// Whether a rule for a repository may name this runbook.
    pub(crate) fn may_name(&self, repository: &RepositoryName, name: &RunbookName) -> bool {
        self.runbooks.contains_key(name) || self.shelves.get(repository).is_some_and(|shelf| shelf.may_hold(name))
    }

    /// Whether some repository may have runs of this runbook: it is there, valid or not, or nobody knows yet what is.
    pub(crate) fn may_run(&self, name: &RunbookName) -> bool {
        self.runbooks.contains_key(name) || self.shelves.values().any(|shelf| shelf.may_hold(name))
    }

    /// The policy that would be in force for a repository with this text as its own file; `file` names it in problems.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn with_text(&self, repository: &RepositoryName, file: &str, text: &str) -> Result<Policy, Vec<FileProblem>> {
        self.with_text_beside(repository, file, text, |name| self.may_name(repository, name))
    }

    /// The same, where the runbooks that its rules may name are others than those in force.
    pub(crate) fn with_text_beside(
        &self,
        repository: &RepositoryName,
        file: &str,
        text: &str,
        known: impl Fn(&RunbookName) -> bool,
    ) -> Result<Policy, Vec<FileProblem>> {
        let policy = theirs::joined(&self.own, known, file, text)?;
        Ok(Policy::clone(&self.own).with_repository(repository.clone(), policy))
    }

    /// What another policy would have meant for past decisions of a repository, in sentences. What holds back the present one only for the moment
    /// is left out. At most `limit` decisions are looked at: whoever reads one more lets the answer say that there are older ones.
    pub fn replay(&self, new: &Policy, repository: &RepositoryName, decided: Vec<Facts>, limit: u32) -> Vec<String> {
        if decided.is_empty() {
            return vec!["there are no past decisions to compare with".to_owned()];
        }
        let old = self.whole.for_repository(repository).clone().capped(None);
        // Bounded by the work, not by the clock: the same policies always compare the same decisions.
        let rules = old.rules().len() + new.for_repository(repository).rules().len();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (all, most) = (decided.len().min(limit), compared_at_most(rules));
        let over = match all > most {
            true => format!("looked at {most} of {all} decisions, for the policies have many rules: of the last {most}"),
            false => format!("of the last {}", domain::counted(all, "decision", "decisions")),
        };
        let older = if decided.len() > limit {
            " (older ones are not looked at)"
        } else {
            ""
        };
        let over = format!("{over}{older}");
        let decided = decided.into_iter().take(all.min(most));
        let current = |name: &RunbookName| {
            let runbook = self.runbook(repository, name).filter(|_| self.watches(repository))?;
            Some(runbook.content_hash())
        };
        let shifts = domain::replay(&old, new, current, decided.map(|facts| (repository.clone(), facts)));
        if shifts.is_empty() {
            return vec![format!("{over}, none would have gone another way")];
        }
        std::iter::once(format!("{over}:"))
            .chain(shifts.into_iter().map(|shift| shift.words))
            .collect()
    }

    /// The book as a service has it in force that last found this text in a repository, at a commit of its branch.
    #[must_use]
    pub fn with_repository_policy(self, repository: &RepositoryName, path: RepoPath, valid: Option<(String, CommitId)>) -> Self {
        self.homed([(repository.clone(), path)])
            .recalling(repository, valid.map(|(text, commit)| (text.into(), commit)))
    }

    /// The same book, with files of their own for some repositories, which nobody has read yet.
    pub(crate) fn homed(mut self, homes: impl IntoIterator<Item = (RepositoryName, RepoPath)>) -> Self {
        let homes = homes.into_iter().map(|(name, path)| (name, Theirs::new(path)));
        self.theirs = homes.collect();
        self.joined()
    }

    /// The same book, with folders of runbooks of their own for some repositories, which nobody has read yet.
    #[must_use]
    pub fn shelved(mut self, folders: impl IntoIterator<Item = (RepositoryName, RepoPath)>) -> Self {
        let folders = folders.into_iter().map(|(name, path)| (name, Shelf::new(path)));
        self.shelves = folders.collect();
        self.joined()
    }

    /// The same book, with what stands in a repository's folder of runbooks.
    pub(crate) fn shelving(mut self, repository: &RepositoryName, shelf: Shelf) -> Self {
        self.shelves.insert(repository.clone(), shelf);
        self.joined()
    }

    /// The book as a service has it in force that found these files, by name, in a repository's folder of runbooks.
    #[must_use]
    pub fn with_repository_runbooks(self, repository: &RepositoryName, path: RepoPath, files: BTreeMap<String, Vec<u8>>) -> Self {
        let none = CommitId::from_bytes([0; 20]);
        let files = files.into_iter().map(|(name, bytes)| {
            // Whatever names the content: nothing was read before.
            let file = match bytes.len() {
                ..=REPOSITORY_RUNBOOK_BYTES_MAX => gitworker::FolderFile::File { blob: none, bytes },
                size => gitworker::FolderFile::TooLarge(size as u64),
            };
            (name, file)
        });
        let files: BTreeMap<_, _> = files.collect();
        let folder = match files.len() {
            ..=REPOSITORY_RUNBOOKS_MAX => gitworker::Folder::Files { tree: none, files },
            many => gitworker::Folder::TooMany(many),
        };
        match Shelf::new(path).holding(folder, none) {
            Some(shelf) => self.shelving(repository, shelf),
            None => self,
        }
    }

    /// The runbooks that a repository carries itself, where the service reads them.
    pub(crate) fn shelf(&self, repository: &RepositoryName) -> Option<&Shelf> {
        self.shelves.get(repository)
    }

    /// The same book, with what was valid last for a repository.
    pub(crate) fn recalling(mut self, repository: &RepositoryName, valid: Option<(Arc<str>, CommitId)>) -> Self {
        if let Some(theirs) = self.theirs.get_mut(repository) {
            theirs.valid = valid;
        }
        self.joined()
    }

    /// The same book, with what stands at the tip of a repository's branch.
    pub(crate) fn holding(mut self, repository: &RepositoryName, at_tip: AtTip, commit: CommitId) -> Self {
        if let Some(theirs) = self.theirs.get_mut(repository) {
            (theirs.at_tip, theirs.commit) = (at_tip, Some(commit));
        }
        self.joined()
    }

    /// The same book, with what another one knows of the repositories.
    pub(crate) fn with_theirs_of(mut self, other: &Self) -> Self {
        self.theirs = other.theirs.clone();
        self.unwatched = other.unwatched.clone();
        self.shelves = other.shelves.clone();
        self.joined()
    }

    /// The same book, with the repositories that no Argo CD watches.
    pub(crate) fn unwatched(mut self, names: impl IntoIterator<Item = RepositoryName>) -> Self {
        self.unwatched = Arc::new(names.into_iter().collect());
        self
    }

    /// Whether an Argo CD can tell how a change of a repository ended.
    pub(crate) fn watches(&self, repository: &RepositoryName) -> bool {
        !self.unwatched.contains(repository)
    }

    /// What is known of a repository's own policy, where it carries one.
    pub(crate) fn theirs(&self, repository: &RepositoryName) -> Option<&Theirs> {
        self.theirs.get(repository)
    }

    /// Whether the service's own policy, the runbooks and the guard rails are the same as in another book.
    pub(crate) fn same_files(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.guards(), other.guards())
            && self.own.hash() == other.own.hash()
            && self.runbooks.len() == other.runbooks.len()
            && self
                .runbooks
                .iter()
                .zip(other.runbooks.iter())
                .all(|(a, b)| a.0 == b.0 && a.1.content_hash() == b.1.content_hash())
    }

    fn joined(mut self) -> Self {
        let mut policy = Policy::clone(&self.own);
        let (own, shelves) = (&self.runbooks, &self.shelves);
        for (name, theirs) in &mut self.theirs {
            let shelf = shelves.get(name);
            let known = |runbook: &RunbookName| own.contains_key(runbook) || shelf.is_some_and(|shelf| shelf.may_hold(runbook));
            let judged = theirs.judge(&self.own, known);
            policy = policy.with_repository(name.clone(), judged);
        }
        for (name, shelf) in shelves {
            let reserved = shelf.reserving(policy.for_repository(name).clone());
            policy = policy.with_repository(name.clone(), reserved);
        }
        self.whole = Arc::new(policy);
        self.policy = if self.locked.is_empty() {
            self.whole.clone()
        } else {
            Arc::new(self.whole.without(&self.locked))
        };
        self
    }

    /// The guard rails in force.
    pub fn guards(&self) -> &Arc<Guards> {
        &self.loaded.guards
    }

    /// The same book while these people have no rights, and only these.
    pub(crate) fn locking(mut self, locked: BTreeSet<UserId>) -> Self {
        self.policy = self.under(&locked);
        self.locked = locked;
        self
    }

    /// Whether exactly these people have no rights in it.
    pub(crate) fn locks(&self, locked: &BTreeSet<UserId>) -> bool {
        self.locked == *locked
    }

    /// The policy while these people have no rights: what a transaction that has just read who they are decides under.
    pub(crate) fn under(&self, locked: &BTreeSet<UserId>) -> Arc<Policy> {
        if self.locks(locked) {
            self.policy.clone()
        } else if locked.is_empty() {
            self.whole.clone()
        } else {
            Arc::new(self.whole.without(locked))
        }
    }

    /// The policy with everybody's rights, as its file says it.
    pub(crate) fn whole(&self) -> Arc<Policy> {
        self.whole.clone()
    }

    /// Loads and checks a policy file and a folder of `*.toml` runbooks, with the built-in guard rails.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(policy: &Path, runbooks: Option<&Path>) -> Result<Self, Vec<FileProblem>> {
        Self::load_guarded(policy, runbooks, &GuardFiles::default())
    }

    /// The same, with what an operator adds to the guard rails.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load_guarded(policy: &Path, runbooks: Option<&Path>, guard: &GuardFiles) -> Result<Self, Vec<FileProblem>> {
        Self::load_for(policy, runbooks, guard, &BTreeSet::new())
    }

    /// The same, for a service that reads the runbooks which these repositories carry themselves: a rule may name one of those.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load_for(
        policy: &Path,
        runbooks: Option<&Path>,
        guard: &GuardFiles,
        readers: &BTreeSet<RepositoryName>,
    ) -> Result<Self, Vec<FileProblem>> {
        let source = Source {
            policy: policy.to_owned(),
            runbooks: runbooks.map(Path::to_owned),
            guard: guard.clone(),
            readers: readers.clone(),
        };
        Self::read(source, None)
    }

    fn read(source: Source, known: Option<&guard::Loaded>) -> Result<Self, Vec<FileProblem>> {
        let (policy, runbooks) = (source.policy.as_path(), source.runbooks.as_deref());
        let mut problems = Vec::new();
        let parsed = read(policy).and_then(|text| {
            Policy::parse(&text).map_err(|found| {
                let file = policy.display().to_string();
                found.into_iter().map(|problem| FileProblem::of(&file, problem)).collect()
            })
        });
        let parsed = parsed.map_err(|found| problems.extend::<Vec<_>>(found)).ok();
        let books = runbooks.map_or_else(|| Ok(Vec::new()), load_runbooks);
        let books = books.map_err(|found| problems.extend(found)).ok();
        if let (Some(policy_parsed), Some(books)) = (&parsed, &books) {
            let known = |name: &RunbookName| books.iter().any(|runbook| runbook.name() == name);
            let elsewhere = |rule: &domain::Rule| match &rule.repository {
                Some(repository) => source.readers.contains(repository),
                None => !source.readers.is_empty(),
            };
            problems.extend(unknown_runbooks(&policy.display().to_string(), policy_parsed, known, elsewhere));
        }
        let loaded = guard::Loaded::read(&source.guard, known)
            .map_err(|found| problems.extend(found))
            .ok();
        match (parsed, books, loaded) {
            (Some(parsed), Some(books), Some(loaded)) if problems.is_empty() => {
                let mut book = Self::new(parsed, books);
                book.source = Some(source);
                book.loaded = loaded;
                Ok(book)
            }
            _ => Err(problems),
        }
    }

    /// Loads the same files again.
    ///
    /// # Errors
    /// Every problem of every file; the book in force stays.
    pub fn reload(&self) -> Result<Self, Vec<FileProblem>> {
        match &self.source {
            None => Ok(self.clone()),
            Some(source) => Self::read(source.clone(), Some(&self.loaded)),
        }
    }
}

fn read(path: &Path) -> Result<String, Vec<FileProblem>> {
    std::fs::read_to_string(path).map_err(|error| {
        vec![FileProblem {
            file: path.display().to_string(),
            line: 0,
            message: format!("cannot be read: {error}"),
            remedy: "check the path and its permissions".to_owned(),
        }]
    })
}

fn load_runbooks(folder: &Path) -> Result<Vec<Runbook>, Vec<FileProblem>> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        vec![FileProblem {
            file: folder.display().to_string(),
            line: 0,
            message: format!("the runbook folder cannot be read: {error}"),
            remedy: "create it, or leave the setting out".to_owned(),
        }]
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let mut problems = Vec::new();
    let mut runbooks: Vec<Runbook> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let parsed = read(&file).and_then(|text| {
            Runbook::parse(&text, &name).map_err(|found| {
                found
                    .into_iter()
                    .map(|p| FileProblem {
                        file: name.clone(),
                        line: p.line,
                        message: p.message,
                        remedy: p.remedy,
                    })
                    .collect()
            })
        });
        match parsed {
            Ok(runbook) if runbooks.iter().any(|known| known.name() == runbook.name()) => problems.push(FileProblem {
                file: name,
                line: 1,
                message: format!("a second runbook is named {}", runbook.name()),
                remedy: "give each runbook a name of its own".to_owned(),
            }),
            Ok(runbook) => runbooks.push(runbook),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(runbooks) } else { Err(problems) }
}

/// The rules that name a runbook that is nowhere; what is only `elsewhere` is not looked for.
fn unknown_runbooks(
    file: &str,
    policy: &Policy,
    known: impl Fn(&RunbookName) -> bool,
    elsewhere: impl Fn(&domain::Rule) -> bool,
) -> Vec<FileProblem> {
    let mut problems = Vec::new();
    for rule in policy.rules().iter().filter(|rule| !elsewhere(rule)) {
        for name in &rule.runbooks {
            if !known(name) {
                problems.push(FileProblem {
                    file: file.to_owned(),
                    line: rule.line,
                    message: format!("rule {:?} trusts runbook {name}, which does not exist", rule.name),
                    remedy: "add its file to the runbook folder, or correct the name".to_owned(),
                });
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::compared_at_most;

    #[test]
    fn a_replay_compares_fewer_decisions_under_more_rules() {
        assert_eq!([0, 1, 40, 10_000].map(compared_at_most), [2_000_000, 2_000_000, 50_000, 200]);
        assert_eq!(compared_at_most(usize::MAX), 1);
    }
}
