//! Policy, runbooks and guard rails in force, exchanged as one when their files change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use changes::Runbook;
use changes::guard::Guards;
use domain::{Policy, RunbookName};

mod guard;

pub use guard::GuardFiles;

/// The policy, the runbooks and the guard rails that are in force together.
#[derive(Debug, Clone)]
pub struct Book {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The runbooks by name.
    pub runbooks: Arc<BTreeMap<RunbookName, Arc<Runbook>>>,
    loaded: guard::Loaded,
    source: Option<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    policy: PathBuf,
    runbooks: Option<PathBuf>,
    guard: GuardFiles,
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
        Self {
            policy: Arc::new(policy),
            runbooks: Arc::new(runbooks),
            loaded: guard::Loaded::built_in(),
            source: None,
        }
    }

    /// The guard rails in force.
    pub fn guards(&self) -> &Arc<Guards> {
        &self.loaded.guards
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
        Self::read(policy, runbooks, guard, None)
    }

    fn read(policy: &Path, runbooks: Option<&Path>, guard: &GuardFiles, known: Option<&guard::Loaded>) -> Result<Self, Vec<FileProblem>> {
        let mut problems = Vec::new();
        let parsed = read(policy).and_then(|text| {
            Policy::parse(&text).map_err(|found| {
                found
                    .into_iter()
                    .map(|p| FileProblem {
                        file: policy.display().to_string(),
                        line: p.line,
                        message: p.message,
                        remedy: p.remedy,
                    })
                    .collect()
            })
        });
        let parsed = parsed.map_err(|found| problems.extend::<Vec<_>>(found)).ok();
        let books = runbooks.map_or_else(|| Ok(Vec::new()), load_runbooks);
        let books = books.map_err(|found| problems.extend(found)).ok();
        if let (Some(policy_parsed), Some(books)) = (&parsed, &books) {
            problems.extend(unknown_runbooks(policy, policy_parsed, books));
        }
        let loaded = guard::Loaded::read(guard, known).map_err(|found| problems.extend(found)).ok();
        match (parsed, books, loaded) {
            (Some(parsed), Some(books), Some(loaded)) if problems.is_empty() => {
                let mut book = Self::new(parsed, books);
                book.source = Some(Source {
                    policy: policy.to_owned(),
                    runbooks: runbooks.map(Path::to_owned),
                    guard: guard.clone(),
                });
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
            Some(source) => Self::read(&source.policy, source.runbooks.as_deref(), &source.guard, Some(&self.loaded)),
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

fn unknown_runbooks(file: &Path, policy: &Policy, runbooks: &[Runbook]) -> Vec<FileProblem> {
    let mut problems = Vec::new();
    for rule in policy.rules() {
        for name in &rule.runbooks {
            if !runbooks.iter().any(|runbook| runbook.name() == name) {
                problems.push(FileProblem {
                    file: file.display().to_string(),
                    line: rule.line,
                    message: format!("rule {:?} trusts runbook {name}, which does not exist", rule.name),
                    remedy: "add its file to the runbook folder, or correct the name".to_owned(),
                });
            }
        }
    }
    problems
}
