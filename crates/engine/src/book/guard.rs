//! The operator's files for the guard rails: secret patterns, schemas, policies. Read together, and exchanged together with the book.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use changes::guard::{Effect, GuardOptions, Guards, Problem, REGO_LIMIT};
use domain::Sha256Hash;

use super::FileProblem;

/// Folders within folders that are looked at.
const DEPTH_MAX: usize = 4;
/// Files of one folder; a folder with more is not the one that was meant.
const FILES_MAX: usize = 2_000;

/// Where the guard rails find what an operator adds, and what is configured about them. The default adds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardFiles {
    /// Secret patterns in the TOML format of gitleaks.
    pub secret_rules: Option<PathBuf>,
    /// A folder of CustomResourceDefinitions, or of JSON schemas named `GROUP/KIND_VERSION.json`.
    pub custom_resources: Option<PathBuf>,
    /// Another Kubernetes version than the bundled one: its name, and its `_definitions.json`.
    pub kubernetes: Option<(String, PathBuf)>,
    /// A folder of Rego policies; `*_test.rego` are left out.
    pub policies: Option<PathBuf>,
    /// Packages that are asked beside `main`.
    pub policy_packages: Vec<String>,
    /// What all policies together may take for one change.
    pub policy_limit: Duration,
    /// Effects by rule id, in place of the defaults.
    pub effects: BTreeMap<String, Effect>,
    /// Rules that are switched off, each with the reason.
    pub off: BTreeMap<String, String>,
}

impl Default for GuardFiles {
    fn default() -> Self {
        Self {
            secret_rules: None,
            custom_resources: None,
            kubernetes: None,
            policies: None,
            policy_packages: Vec::new(),
            policy_limit: REGO_LIMIT,
            effects: BTreeMap::new(),
            off: BTreeMap::new(),
        }
    }
}

/// Guard rails, and of which files they were made.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub guards: Arc<Guards>,
    of: Sha256Hash,
}

impl Loaded {
    /// The built-in guard rails, one for the whole process: what they compile when it is first needed serves everybody.
    pub fn built_in() -> Self {
        static BUILT_IN: LazyLock<Arc<Guards>> = LazyLock::new(|| {
            // Rules that are part of the program, and read by its tests.
            Arc::new(Guards::new(&GuardOptions::default()).unwrap_or_else(|problems| panic!("the built-in guard rails: {problems:?}")))
        });
        Self {
            guards: BUILT_IN.clone(),
            of: Sha256Hash([0; 32]),
        }
    }

    /// Reads the files. Where nothing differs from `known`, that one is kept with all that it has compiled.
    ///
    /// # Errors
    /// Every problem of every file, policies that cannot be used included.
    pub fn read(files: &GuardFiles, known: Option<&Self>) -> Result<Self, Vec<FileProblem>> {
        if *files == GuardFiles::default() {
            return Ok(Self::built_in());
        }
        let options = files.read()?;
        let of = fingerprint(&options);
        if let Some(known) = known.filter(|known| known.of == of) {
            return Ok(known.clone());
        }
        let shown = |problems: &[Problem]| problems.iter().map(|problem| files.shown(problem)).collect::<Vec<_>>();
        let guards = Guards::new(&options).map_err(|problems| shown(&problems))?;
        let broken = shown(guards.broken_policies());
        if !broken.is_empty() {
            return Err(broken);
        }
        Ok(Self {
            guards: Arc::new(guards),
            of,
        })
    }
}

impl GuardFiles {
    fn read(&self) -> Result<GuardOptions, Vec<FileProblem>> {
        let mut problems = Vec::new();
        let mut one = |path: &PathBuf, name: &str| match super::read(path) {
            Ok(text) => Some((name.to_owned(), text)),
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        let secret_rules = self.secret_rules.as_ref().and_then(|path| one(path, &path.display().to_string()));
        let kubernetes = self.kubernetes.as_ref().and_then(|(version, path)| one(path, version));
        let mut folder = |path: &Option<PathBuf>, ends: &[&str], what: &str| match path {
            None => Vec::new(),
            Some(path) => texts(path, ends, what).unwrap_or_else(|found| {
                problems.extend(found);
                Vec::new()
            }),
        };
        let custom_resources = folder(
            &self.custom_resources,
            &["yaml", "yml", "json"],
            "a CustomResourceDefinition or JSON schema",
        );
        let mut policies = folder(&self.policies, &["rego"], "a policy (*.rego)");
        policies.retain(|(name, _)| !name.ends_with("_test.rego"));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(GuardOptions {
            secret_rules,
            effects: self.effects.clone(),
            off: self.off.clone(),
            kubernetes,
            custom_resources,
            policies,
            policy_packages: self.policy_packages.clone(),
            policy_limit: self.policy_limit,
        })
    }

    /// A problem with the place that an operator knows: files of a folder are named within it, and definitions by their version.
    fn shown(&self, problem: &Problem) -> FileProblem {
        let name = problem.file.as_str();
        let definitions = self
            .kubernetes
            .iter()
            .find(|(version, _)| version == name)
            .map(|(_, path)| path.clone());
        let folders = [&self.custom_resources, &self.policies].into_iter().flatten();
        let within = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
        FileProblem {
            file: definitions
                .or(within)
                .map_or_else(|| name.to_owned(), |path| path.display().to_string()),
            line: problem.line,
            message: problem.message.clone(),
            remedy: problem.remedy.clone(),
        }
    }
}

/// Files of a folder and the folders in it, by their path within it and in its order.
fn texts(folder: &Path, ends: &[&str], what: &str) -> Result<Vec<(String, String)>, Vec<FileProblem>> {
    let problem = |message: String, remedy: &str| {
        vec![FileProblem {
            file: folder.display().to_string(),
            line: 0,
            message,
            remedy: remedy.to_owned(),
        }]
    };
    let mut paths = Vec::new();
    collect(folder, ends, DEPTH_MAX, &mut paths)
        .map_err(|error| problem(format!("the folder cannot be read: {error}"), "create it, or leave the setting out"))?;
    if paths.is_empty() {
        return Err(problem(format!("{what} is not in it"), "put one into it, or leave the setting out"));
    }
    if paths.len() > FILES_MAX {
        return Err(problem(
            format!("it holds {} files, more than {FILES_MAX}", paths.len()),
            "name the folder that is meant",
        ));
    }
    paths.sort();
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        match super::read(&path) {
            Ok(text) => texts.push((name, text)),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

/// Hidden entries are left out: a mounted ConfigMap keeps its older copies in them.
fn collect(folder: &Path, ends: &[&str], depth: usize, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || paths.len() > FILES_MAX {
            continue;
        }
        if path.is_dir() {
            if depth > 1 {
                collect(&path, ends, depth - 1, paths)?;
            }
        } else if path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)) {
            paths.push(path);
        }
    }
    Ok(())
}

fn fingerprint(options: &GuardOptions) -> Sha256Hash {
    let mut text = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n",
        options.effects, options.off, options.policy_packages, options.policy_limit
    );
    let named = [&options.secret_rules, &options.kubernetes].into_iter().flatten();
    for (name, content) in named.chain(&options.custom_resources).chain(&options.policies) {
        text.push_str(&format!("{name:?} {}\n", Sha256Hash::of(content.as_bytes())));
    }
    Sha256Hash::of(text.as_bytes())
}
