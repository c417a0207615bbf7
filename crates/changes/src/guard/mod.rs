//! Guard rails: what GitOps forbids, found in a change before anybody is asked to approve it.
//!
//! [`Guards`] is built once from the built-in rules and what an operator adds, and then asked about each change
//! ([`Guards::inspect`]). Every finding names a rule, a path and a line; none ever holds the value that was found. Rules are listed in
//! `docs/guard-rails.md`. Expressions and schemas are compiled when they are first needed, so building costs milliseconds.
//!
//! What stood in the base already is remarked and not refused: whoever touches a file is not made to mend its past.

mod alike;
mod checks;
mod encoded;
mod files;
mod inspect;
mod kubernetes;
mod lines;
mod look;
mod manifests;
mod patches;
mod rego;
mod report;
mod rules;
mod secrets;
mod sink;
mod structure;
mod template;
mod tree;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{ChangeSet, RepoPath};

pub use kubernetes::BUNDLED_VERSION;
pub use report::{Check, CheckResult, Effect, Finding, Report};
pub use rules::{RULES, Rule, SECRET_PREFIX};
pub use secrets::Problem;
pub(crate) use structure::is_literal_secret;

/// What all policies may take for one change, unless configured otherwise.
pub const REGO_LIMIT: Duration = Duration::from_millis(500);

/// A file that the caller has read: its name for messages, and its text.
pub type NamedText = (String, String);

/// What the guard rails are built from. The default is the built-in rules alone.
#[derive(Debug, Clone)]
pub struct GuardOptions {
    /// An operator's secret patterns in the TOML format of gitleaks; one with a built-in id replaces that pattern.
    pub secret_rules: Option<NamedText>,
    /// Effects by rule id, in place of the defaults.
    pub effects: BTreeMap<String, Effect>,
    /// Rules that are switched off, each with the reason. They find nothing at all: what else finds a place still tells it.
    pub off: BTreeMap<String, String>,
    /// JSON schemas of another Kubernetes version: its name, such as `1.35`, and the text of its `_definitions.json`.
    pub kubernetes: Option<NamedText>,
    /// Schemas of custom resources: CustomResourceDefinitions, or JSON schemas named `GROUP/KIND_VERSION.json`.
    pub custom_resources: Vec<NamedText>,
    /// Rego policies.
    pub policies: Vec<NamedText>,
    /// Packages that are asked beside `main`.
    pub policy_packages: Vec<String>,
    /// What all policies together may take for one change.
    pub policy_limit: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            secret_rules: None,
            effects: BTreeMap::new(),
            off: BTreeMap::new(),
            kubernetes: None,
            custom_resources: Vec::new(),
            policies: Vec::new(),
            policy_packages: Vec::new(),
            policy_limit: REGO_LIMIT,
        }
    }
}

/// The guard rails, ready to be asked from any thread.
pub struct Guards {
    secrets: secrets::Engine,
    schemas: kubernetes::Schemas,
    policies: Option<rego::Policies>,
    effects: BTreeMap<String, Effect>,
    off: BTreeMap<String, String>,
    remarks: Vec<Problem>,
}

impl std::fmt::Debug for Guards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Guards(Kubernetes {}, {} secret patterns)",
            self.schemas.version(),
            self.secrets.ids().count()
        )
    }
}

impl Guards {
    /// Builds them; nothing is compiled yet.
    ///
    /// # Errors
    /// Every problem of the operator's rule file, effects and schemas. Broken Rego policies are no error: see [`Guards::remarks`].
    pub fn new(options: &GuardOptions) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let secret_rules = options.secret_rules.as_ref().map(|(file, text)| (file.as_str(), text.as_str()));
        let secrets = secrets::Engine::new(secret_rules).map_err(|found| problems.extend(found)).ok();
        let definitions = options.kubernetes.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let schemas = kubernetes::Schemas::new(definitions, &options.custom_resources);
        let schemas = schemas.map_err(|found| problems.extend(found)).ok();
        if let Some((secrets, _)) = &secrets {
            problems.extend(unknown_rules(options, secrets));
        }
        let (Some((secrets, mut remarks)), Some(schemas), true) = (secrets, schemas, problems.is_empty()) else {
            return Err(problems);
        };
        let policies = rego::Policies::new(&options.policies, &options.policy_packages, options.policy_limit);
        remarks.extend(
            policies
                .iter()
                .flat_map(|policies| policies.broken.iter().chain(&policies.remarks).cloned()),
        );
        Ok(Self {
            secrets,
            schemas,
            policies,
            effects: options.effects.clone(),
            off: options.off.clone(),
            remarks,
        })
    }

    /// What the operator should know although it is no error: keys of the rule file without effect, policies whose package is not asked,
    /// and policies that cannot be used. While there is one of the last kind every change gets the finding `rego.error`.
    pub fn remarks(&self) -> &[Problem] {
        &self.remarks
    }

    /// Policies that cannot be used, among the remarks.
    pub fn broken_policies(&self) -> &[Problem] {
        self.policies.as_ref().map_or(&[], |policies| policies.broken.as_slice())
    }

    /// Ids and descriptions of the secret patterns, without [`SECRET_PREFIX`].
    pub fn secret_patterns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.secrets.ids()
    }

    /// The rules that are switched off, with the reasons.
    pub fn off(&self) -> &BTreeMap<String, String> {
        &self.off
    }

    /// How many policy files there are.
    pub fn policies(&self) -> usize {
        self.policies.as_ref().map_or(0, rego::Policies::count)
    }

    /// The Kubernetes version whose schemas count.
    pub fn kubernetes(&self) -> &str {
        self.schemas.version()
    }

    /// The rule that a text breaks by its form, if it holds a secret: for words that are no file.
    pub fn secret_in(&self, text: &str) -> Option<String> {
        let hit = self.search(text).hits.into_iter().next()?;
        Some(format!("{SECRET_PREFIX}{}", self.secrets.id(hit.pattern))).filter(|rule| !self.off.contains_key(rule))
    }

    fn search(&self, text: &str) -> secrets::Hits {
        self.secrets
            .search("", text.as_bytes(), &mut secrets::Memory::default(), &work::Work::alone())
    }

    /// Looks at a change. `old` holds the contents in the base by path; where one is missing, every line counts as new.
    pub fn inspect(&self, changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> Report {
        inspect::run(self, changes, old)
    }
}

fn unknown_rules(options: &GuardOptions, secrets: &secrets::Engine) -> Vec<Problem> {
    let known = |id: &str| match id.strip_prefix(SECRET_PREFIX) {
        Some(pattern) => secrets.ids().any(|(id, _)| id == pattern),
        None => RULES.iter().any(|rule| rule.id == id),
    };
    let ids = || options.effects.keys().chain(options.off.keys());
    let problem = |message: String, remedy: &str| Problem {
        file: "guard rules".to_owned(),
        line: 0,
        message,
        remedy: remedy.to_owned(),
    };
    let unknown = ids().filter(|id| !known(id));
    let fixed = ids().filter(|id| *id == rules::BUDGET);
    unknown
        .map(|id| problem(format!("there is no rule {id:?}"), "use an id of docs/guard-rails.md"))
        .chain(fixed.map(|id| {
            problem(
                format!("{id:?} cannot be changed: what was not looked at always asks people"),
                "remove it",
            )
        }))
        .collect()
}
