//! Collects what the readers of kinds find, and makes the summary of it: worst first, cut to what a person can read.

use std::collections::{BTreeMap, BTreeSet};

use domain::{RepoPath, Risk};

use super::rules::{self, RULES, Rule, Severity};
use super::value::Budget;
use super::words::{clean, count};
use super::{Action, Line, ObjectRef, RiskReason, Summary};

/// Lines of a summary; a card shows the first few, a document all of them.
pub const LINES_MAX: usize = 60;
/// Characters of a line.
pub const LINE_TEXT_CHARS_MAX: usize = 240;
/// Objects, and namespaces, of a summary.
pub const OBJECTS_MAX: usize = 200;
/// Findings held at a time; more than that are sorted and cut, and counted.
const HELD_MAX: usize = 2_000;

struct Finding {
    rank: usize,
    path: RepoPath,
    text: String,
    /// What the change does, if this is the worst of it.
    verb: String,
}

/// Everything found so far.
#[derive(Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    dropped: usize,
    /// How often each rule spoke, by its place in [`RULES`].
    spoken: BTreeMap<usize, usize>,
    subjects: BTreeSet<String>,
    /// Files about which something was said.
    paths: BTreeSet<RepoPath>,
    objects: Vec<ObjectRef>,
    namespaces: BTreeSet<String>,
    /// Namespaces that the cluster or its delivery depends on, and that more than delivery is changed in.
    system: BTreeSet<String>,
    blocks: usize,
    /// What reading the rest of the change may cost, files within files included.
    pub budget: Budget,
}

/// Where something is said about: a file, and in it an object or a block.
pub(super) struct Scope<'r> {
    pub report: &'r mut Report,
    pub path: RepoPath,
    /// `Deployment web`; already cleaned.
    pub label: String,
    /// `web`; already cleaned.
    pub name: String,
    /// Nothing stood there before: what is ordinary in a new object is not listed.
    pub is_new: bool,
}

impl Scope<'_> {
    /// Says something about the subject. `text` holds foreign words only through [`super::words`].
    pub fn say(&mut self, rule: &'static Rule, text: impl AsRef<str>) {
        let verb = format!("{} {}", if self.is_new { "add" } else { "change" }, self.label);
        self.say_as(rule, text, verb);
    }

    /// The same, with what the change does in a few words, such as `scale web to 5`. Of something new only what is [`Severity::High`] or
    /// worse is said: the rest is not a change of anything.
    pub fn say_as(&mut self, rule: &'static Rule, text: impl AsRef<str>, verb: impl Into<String>) {
        if self.is_new && rule.severity > Severity::High {
            return;
        }
        self.note_as(rule, text, verb);
    }

    /// Says something even of what is new.
    pub fn note_as(&mut self, rule: &'static Rule, text: impl AsRef<str>, verb: impl Into<String>) {
        let text = format!("{}: {}", self.label, text.as_ref());
        self.report.push(rule, &self.path, &self.label, &text, verb.into());
    }
}

impl Report {
    /// A place to speak about.
    pub fn scope(&mut self, path: &RepoPath, label: String, name: String, is_new: bool) -> Scope<'_> {
        Scope {
            report: self,
            path: path.clone(),
            label,
            name,
            is_new,
        }
    }

    /// Names an object that the change touches.
    pub fn object(&mut self, object: ObjectRef) {
        if let Some(namespace) = &object.namespace {
            self.hold_namespace(namespace.clone());
        }
        self.blocks += 1;
        if self.objects.len() < OBJECTS_MAX {
            self.objects.push(object);
        }
    }

    /// Names a namespace in which the change touches something that runs.
    pub fn namespace(&mut self, namespace: &str) {
        let namespace = clean(namespace, 63);
        if is_system(&namespace) {
            self.system.insert(namespace.clone());
        }
        self.hold_namespace(namespace);
    }

    fn hold_namespace(&mut self, namespace: String) {
        // One that is filled in by a template is not known here.
        if self.namespaces.len() < OBJECTS_MAX && !namespace.contains("{{") {
            self.namespaces.insert(namespace);
        }
    }

    /// Counts something that is no object but weighs as one, such as a Terraform block.
    pub const fn block(&mut self) {
        self.blocks += 1;
    }

    /// Whether something was said about a file.
    pub fn knows(&self, path: &RepoPath) -> bool {
        self.paths.contains(path)
    }

    /// Something about this file was said under another path.
    pub fn mark(&mut self, path: &RepoPath) {
        self.paths.insert(path.clone());
    }

    fn push(&mut self, rule: &'static Rule, path: &RepoPath, subject: &str, text: &str, verb: String) {
        let rank = RULES.iter().position(|known| known.id == rule.id).unwrap_or(0);
        *self.spoken.entry(rank).or_default() += 1;
        if !self.paths.contains(path) {
            self.paths.insert(path.clone());
        }
        if self.subjects.len() < HELD_MAX {
            self.subjects.insert(subject.to_owned());
        }
        self.findings.push(Finding {
            rank,
            path: path.clone(),
            text: clean(text, LINE_TEXT_CHARS_MAX),
            verb: clean(&verb, 80),
        });
        if self.findings.len() >= HELD_MAX * 2 {
            self.sort();
            self.dropped += self.findings.len() - HELD_MAX;
            self.findings.truncate(HELD_MAX);
        }
    }

    fn sort(&mut self) {
        self.findings
            .sort_by(|a, b| (a.rank, &a.path, &a.text).cmp(&(b.rank, &b.path, &b.text)));
    }

    /// The summary. `applications`: those that the change touches, `None` when nobody knows.
    pub fn finish(mut self, first: Option<&RepoPath>, applications: Option<&[String]>) -> Summary {
        if let Some(first) = first {
            self.weigh_reach(first, applications);
        }
        self.sort();
        // Two readers may come upon the same fact.
        self.findings
            .dedup_by(|a, b| a.rank == b.rank && a.path == b.path && a.text == b.text);
        let worst = self.spoken.keys().next().and_then(|rank| RULES.get(*rank));
        let about_objects = |finding: &&Finding| !REACH.iter().any(|rule| RULES[finding.rank].id == rule.id);
        let verb = self
            .findings
            .iter()
            .find(about_objects)
            .map_or("change nothing", |finding| finding.verb.as_str());
        let verb = match self.subjects.len() {
            0 | 1 => verb.to_owned(),
            many => format!("{verb} (+{} more)", many - 1),
        };
        let more = self.dropped + self.findings.len().saturating_sub(LINES_MAX);
        Summary {
            verb,
            risk: worst.map_or(Risk::Low, |rule| rule.severity.risk()),
            reasons: reasons(&self.spoken),
            lines: self.findings.into_iter().take(LINES_MAX).map(line).collect(),
            more,
            namespaces: self.namespaces,
            applications: applications.map(|names| names.iter().map(|name| clean(name, 80)).collect()),
            objects: self.objects,
        }
    }

    fn weigh_reach(&mut self, first: &RepoPath, applications: Option<&[String]>) {
        const OBJECTS_MANY: usize = 20;
        const NAMESPACES_MANY: usize = 3;
        const APPLICATIONS_MANY: usize = 3;
        let namespaces = self.namespaces.len();
        let mut said = Vec::new();
        if self.blocks > OBJECTS_MANY {
            said.push((&rules::MANY_OBJECTS, count(self.blocks, "object")));
        }
        if namespaces > NAMESPACES_MANY {
            said.push((&rules::MANY_NAMESPACES, count(namespaces, "namespace")));
        }
        if let Some(names) = applications.filter(|names| names.len() > APPLICATIONS_MANY) {
            said.push((&rules::MANY_APPLICATIONS, count(names.len(), "application")));
        }
        if !self.system.is_empty() {
            said.push((&rules::SYSTEM_NAMESPACE, format!("namespace {}", super::words::list(&self.system))));
        }
        let subjects = std::mem::take(&mut self.subjects);
        for (rule, text) in said {
            self.push(rule, first, "", &format!("The whole change touches {text}"), String::new());
        }
        self.subjects = subjects;
    }
}

/// Rules about the change as a whole: they say how far it reaches, never what it does.
static REACH: [&Rule; 4] = [
    &rules::MANY_OBJECTS,
    &rules::MANY_NAMESPACES,
    &rules::MANY_APPLICATIONS,
    &rules::SYSTEM_NAMESPACE,
];

/// Namespaces that the cluster or its delivery depends on.
fn is_system(namespace: &str) -> bool {
    namespace.starts_with("kube-") || matches!(namespace, "argocd" | "argo-cd" | "flux-system" | "countersign")
}

fn line(finding: Finding) -> Line {
    let rule = RULES[finding.rank];
    Line {
        severity: rule.severity,
        rule: rule.id.to_owned(),
        text: finding.text,
        path: finding.path,
    }
}

fn reasons(spoken: &BTreeMap<usize, usize>) -> Vec<RiskReason> {
    spoken
        .iter()
        .filter_map(|(rank, times)| RULES.get(*rank).map(|rule| (rule, *times)))
        .filter(|(rule, _)| rule.severity <= Severity::Medium)
        .map(|(rule, times)| RiskReason {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            words: rule.words.to_owned(),
            times,
        })
        .collect()
}

impl Action {
    /// `added`, `removed`, …
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Moved => "moved",
        }
    }
}
