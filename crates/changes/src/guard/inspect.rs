//! One change through all guard rails: each file once, and then the checks in words.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};

use domain::{ChangeSet, FileChange, RepoPath, is_text};

use super::checks::{Counts, checks, plural};
use super::encoded::{self, Pieces};
use super::kubernetes::{SchemaError, Verdict};
use super::lines::{Added, LineIndex};
use super::manifests::{self, Documents, Manifest};
use super::rego::{Outcome, Run, Weight};
use super::rules::SECRET_PREFIX;
use super::secrets::{self, Memory};
use super::sink::{Sink, effect_of};
use super::structure::hint::Owner;
use super::template::{self, Neutral, is_template};
use super::tree::{self, Kind, Node, Style, Tree, Unreadable};
use super::work::{Cost, Shares, Work};
use super::{Finding, Guards, Report, files, look, patches, rules, structure};

/// Decoded and unescaped texts larger than this are not searched again.
const SECOND_LOOK_MAX: usize = 4 << 20;

/// Files that are named one by one when there was too much to check.
const UNLOOKED_TOLD: usize = 20;
/// Work per value that is held against a schema.
const VALIDATED: usize = 400;
const LOOK_AT_RENDERED: &str = "look at what it renders to";

/// Whatever concerns one file.
struct File<'a> {
    path: &'a RepoPath,
    old: Option<&'a str>,
    text: &'a str,
}

pub(super) fn run(guards: &Guards, changes: &ChangeSet, old: &BTreeMap<RepoPath, Vec<u8>>) -> Report {
    let mut findings = Vec::new();
    let mut counts = Counts::default();
    let mut policies = guards.policies.as_ref().map(super::rego::Policies::start);
    let patches = patches::named(changes, old);
    let mut shares = Shares::of(changes.len());
    let mut memory = Memory::default();
    let mut unlooked = Vec::new();
    for (path, change, before) in small_ones_first(changes, old) {
        counts.files += 1;
        let work = shares.next();
        let mut one = One {
            guards,
            work: &work,
            memory: &mut memory,
            patches: &patches,
            policies: &mut policies,
            counts: &mut counts,
        };
        findings.extend(one.file(path, change, before));
        shares.back(&work);
        let missed = work.missed();
        if !missed.is_empty() {
            unlooked.push((path, missed));
        }
    }
    findings.extend(too_much(unlooked));
    if let (Some(policies), Some(first), false) = (&guards.policies, changes.paths().next(), guards.off.contains_key("rego.error")) {
        for problem in &policies.broken {
            findings.push(Finding {
                rule: "rego.error".to_owned(),
                path: first.clone(),
                line: None,
                effect: effect_of(&guards.effects, "rego.error"),
                message: format!("the policy {problem}"),
                hint: "an operator corrects the policy; until then no change passes it".to_owned(),
            });
        }
    }
    findings.sort_by(|a, b| (a.effect.severity(), &a.path, a.line, &a.rule).cmp(&(b.effect.severity(), &b.path, b.line, &b.rule)));
    let checks = checks(guards, &findings, &counts);
    Report { findings, checks }
}

/// The files with their old texts, small ones first: what they leave of their shares is for the larger ones.
fn small_ones_first<'c>(
    changes: &'c ChangeSet,
    old: &'c BTreeMap<RepoPath, Vec<u8>>,
) -> impl Iterator<Item = (&'c RepoPath, &'c FileChange, Option<&'c str>)> {
    let mut files: Vec<_> = changes
        .iter()
        .map(|(path, change)| {
            let before = old.get(path).filter(|_| change.old.is_some());
            let size = before.map_or(0, Vec::len) + change.new.as_ref().map_or(0, |new| new.bytes.len());
            (size, path, change, before.and_then(|bytes| std::str::from_utf8(bytes).ok()))
        })
        .collect();
    // Stable, so files of one size keep the order of their paths.
    files.sort_by_key(|(size, ..)| *size);
    files.into_iter().map(|(_, path, change, before)| (path, change, before))
}

/// What was not looked at: a finding for each file, and the last one says of how many more.
fn too_much(unlooked: Vec<(&RepoPath, String)>) -> impl Iterator<Item = Finding> {
    let beyond = unlooked.len().saturating_sub(UNLOOKED_TOLD);
    unlooked
        .into_iter()
        .take(UNLOOKED_TOLD)
        .enumerate()
        .map(move |(nth, (path, missed))| {
            let more = match beyond {
                1.. if nth + 1 == UNLOOKED_TOLD => format!(" (and {})", plural(beyond, "more file")),
                _ => String::new(),
            };
            Finding {
                rule: rules::BUDGET.to_owned(),
                path: path.clone(),
                line: None,
                effect: rules::default_effect(rules::BUDGET),
                message: format!("too much to check, so it is held for a human: not looked through for {missed}{more}"),
                hint: "split the change into smaller ones, or look through the file by hand".to_owned(),
            }
        })
}

/// What looking at one file needs.
struct One<'a> {
    guards: &'a Guards,
    work: &'a Work,
    memory: &'a mut Memory,
    patches: &'a BTreeMap<String, bool>,
    policies: &'a mut Option<Run>,
    counts: &'a mut Counts,
}

impl One<'_> {
    fn file(&mut self, path: &RepoPath, change: &FileChange, before: Option<&str>) -> Vec<Finding> {
        let (guards, work) = (self.guards, self.work);
        let bytes = change.new.as_ref().map_or(&[][..], |new| &new.bytes);
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_text(bytes));
        let cost = Cost::of(bytes);
        // YAML ends lines at lone carriage returns, too, so lines cannot be compared by number: all count as new.
        let comparable = text.filter(|text| !has_lone_return(text)).and(before);
        let comparable = comparable.filter(|old| work.spend(Cost::of(old.as_bytes()).compared() + cost.compared()));
        let added = Added::new(comparable, text.unwrap_or_default());
        let mut sink = Sink::new(path, &added, &guards.effects, &guards.off, work);
        files::inspect(path, change.new.is_some(), &mut sink);
        if work.spend_on("hidden text", cost.looked_at()) {
            look::inspect(path, text, &added, &mut sink);
            if change.new.is_some() {
                look::facts(path, bytes, &mut sink);
            }
        }
        self.secrets_in(path, bytes, &mut sink);
        if let Some(text) = text.filter(|_| change.new.is_some()) {
            self.counts.texts += 1;
            if work.spend_on(secrets::MISSED, cost.decoded()) {
                let pieces = encoded::decoded(text);
                self.secrets_in_pieces(path, &pieces, &mut sink);
                structures_in_pieces(path, &pieces, &mut sink);
            }
            let file = File { path, old: before, text };
            self.by_format(&file, &mut sink);
        } else if let Some(before) = before.filter(|_| change.new.is_none() && is_yaml(path)) {
            removed(path, before, &mut sink);
        }
        let mut findings = sink.finish();
        // A policy's words, or a name that somebody chose, could be a secret themselves.
        for finding in &mut findings {
            let found = guards.secrets.search("", finding.message.as_bytes(), self.memory, work);
            if !found.hits.is_empty() || !work.spend(0) {
                finding.message = "(not shown: the words of this finding may hold a secret)".to_owned();
            }
        }
        findings
    }

    fn secrets_in(&mut self, path: &RepoPath, bytes: &[u8], sink: &mut Sink<'_>) {
        let guards = self.guards;
        let found = guards.secrets.search(path.as_str(), bytes, self.memory, self.work);
        let index = LazyCell::new(|| LineIndex::new(bytes));
        for hit in &found.hits {
            let lines = (index.line(hit.start), index.line(hit.end.saturating_sub(1).max(hit.start)));
            report_secret(guards, path, hit.pattern, &bytes[hit.start..hit.end], lines, "", sink);
        }
        self.not_to_the_end(&found.broken, sink);
    }

    fn not_to_the_end(&self, broken: &[usize], sink: &mut Sink<'_>) {
        for pattern in broken {
            let message = format!(
                "the secret pattern {} could not be used on this file to its end",
                structure::quoted(self.guards.secrets.id(*pattern))
            );
            sink.put(
                "guard.broken-rule",
                None,
                message,
                "an operator makes the expression smaller, or the file is split",
            );
        }
    }

    fn secrets_in_pieces(&mut self, path: &RepoPath, pieces: &Pieces, sink: &mut Sink<'_>) {
        if pieces.text.is_empty() {
            return;
        }
        if pieces.text.len() > SECOND_LOOK_MAX {
            return self.work.miss(secrets::MISSED);
        }
        let guards = self.guards;
        let found = guards.secrets.search(path.as_str(), &pieces.text, self.memory, self.work);
        for hit in found.hits {
            let lines = pieces.lines(hit.start);
            let value = &pieces.text[hit.start..hit.end];
            report_secret(guards, path, hit.pattern, value, lines, " behind an encoding", sink);
        }
        self.not_to_the_end(&found.broken, sink);
    }

    fn by_format(&mut self, file: &File<'_>, sink: &mut Sink<'_>) {
        let name = file.path.file_name().to_lowercase();
        let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
        let owner = Owner::of_path(file.path.as_str());
        let template = is_template(file.path, file.text);
        if template {
            structure::lines::template(file.text, &owner, sink);
        }
        if is_yaml(file.path) {
            self.counts.yaml += 1;
            return self.yaml(file, template, sink);
        }
        structure::under_any_name(file.text, file.path.as_str(), template, sink);
        if ends(&[".tf", ".tfvars", ".hcl", ".tofu"]) {
            structure::lines::terraform(file.text, sink);
        } else if structure::scripts::is_dockerfile(&name) {
            structure::scripts::dockerfile(file.text, &owner, sink);
        } else if structure::scripts::is_shell(&name, file.text) {
            structure::scripts::shell(file.text, &owner, sink);
        } else if ends(&[".env"]) || name.starts_with(".env") || name.contains(".env.") {
            structure::lines::assignments(file.text, 0, "structure.env", &owner, sink);
        } else if ends(&[".properties", ".ini", ".cfg", ".conf", ".toml"]) {
            structure::lines::assignments(file.text, 0, "structure.values", &owner, sink);
        }
    }

    fn yaml(&mut self, file: &File<'_>, template: bool, sink: &mut Sink<'_>) {
        let neutral = if template { Neutral::of(file.text, self.work) } else { None };
        let tree = match template::read(file.text, neutral.as_ref(), self.work) {
            Ok(tree) => tree,
            Err(why) => return unreadable(file, template, why, sink),
        };
        if template {
            let message = "a template: what stands in it was looked at, what it renders to was not";
            sink.put("yaml.template", None, message, LOOK_AT_RENDERED);
        } else {
            for line in &tree.duplicates {
                sink.put_unless_standing(
                    "yaml.duplicate-key",
                    (*line, *line),
                    "this key stands in its mapping already",
                    "remove one of the two",
                );
            }
        }
        self.secrets_in_pieces(file.path, &unescaped(file.text, &tree), sink);
        let patches_secret = self.patches.get(file.path.as_str()) == Some(&true);
        structure::inspect(&tree, file.path.as_str(), patches_secret, sink);
        let old_neutral = file
            .old
            .filter(|old| is_template(file.path, old))
            .and_then(|old| Neutral::of(old, self.work));
        let old_tree = file.old.and_then(|old| template::read(old, old_neutral.as_ref(), self.work).ok());
        let before = old_tree
            .as_ref()
            .map(|tree| manifests::documents(tree, self.work))
            .unwrap_or_default();
        let mut now = manifests::documents(&tree, self.work);
        for line in &now.over_budget {
            sink.put(
                "yaml.budget",
                Some(*line),
                "its aliases expand to too much to be looked through",
                "write the values out",
            );
        }
        manifests::sensitive(file.path, &before.manifests, &now.manifests, sink);
        // What an action writes is not known; a document without one is what it is, whatever stands around it.
        if let Some(neutral) = &neutral {
            now.only(|document| !neutral.acts_within(document.line, document.end_line), &tree);
        }
        self.validate(file, &tree, &now, &before, sink);
        self.ask_policies(&now, sink);
    }

    fn validate(&mut self, file: &File<'_>, tree: &Tree, now: &Documents<'_>, before: &Documents<'_>, sink: &mut Sink<'_>) {
        let guards = self.guards;
        let patch = patches::is_patch(file.path, self.patches);
        let standing: HashMap<_, _> = before.manifests.iter().rev().map(|old| (old.identity(), old)).collect();
        for manifest in &now.manifests {
            // Read by tools, never sent to the API.
            if ["kustomize.config.k8s.io/", "client.config.k8s.io/"]
                .iter()
                .any(|group| manifest.api_version.starts_with(group))
                || is_kubeconfig(manifest)
            {
                continue;
            }
            if !self
                .work
                .spend_on("what the Kubernetes API would not accept", manifest.size() * VALIDATED)
            {
                return;
            }
            let verdict = guards.schemas.validate(manifest);
            if !matches!(verdict, Verdict::Unknown) {
                self.counts.validated += 1;
                if !patch && manifest.is_nameless() {
                    let message = format!("{} has no metadata.name", structure::quoted(&manifest.kind));
                    sink.put(
                        "manifest.nameless",
                        Some(manifest.node.line),
                        message,
                        "name it; applying it fails without",
                    );
                }
            }
            let errors = match verdict {
                Verdict::Fits => continue,
                Verdict::Unknown => {
                    self.counts.unknown_kinds += 1;
                    let message = format!(
                        "{} of {} was not validated: its schema is not known",
                        structure::quoted(&manifest.kind),
                        structure::quoted(&manifest.api_version)
                    );
                    sink.remark(
                        "manifest.unknown-kind",
                        Some(manifest.node.line),
                        message,
                        "an operator can hand in its CustomResourceDefinition",
                    );
                    continue;
                }
                Verdict::Errors(errors) => errors,
            };
            let old = standing.get(&manifest.identity());
            let old = old.filter(|old| {
                self.work
                    .spend_on("what the Kubernetes API would not accept", old.size() * VALIDATED)
            });
            let standing = old.map(|old| errors_of(guards, old)).unwrap_or_default();
            for error in errors {
                let line = Some(tree.line_at(manifest.node, &error.pointer));
                let message = format!("{}: {}", structure::quoted(&manifest.kind), error.message);
                let hint = format!("correct the field; checked against Kubernetes {}", guards.schemas.version());
                if standing.contains(&error) {
                    sink.remark(
                        "manifest.schema",
                        line,
                        format!("{message}; it stands in the repository already"),
                        hint,
                    );
                } else if error.missing && patch {
                    sink.put(
                        "manifest.incomplete",
                        line,
                        message,
                        "right for a patch, wrong for a whole manifest",
                    );
                } else {
                    sink.put("manifest.schema", line, message, hint);
                }
            }
        }
    }

    fn ask_policies(&mut self, now: &Documents<'_>, sink: &mut Sink<'_>) {
        let Some(run) = self.policies else { return };
        for (line, value) in &now.values {
            self.counts.documents += 1;
            for outcome in run.evaluate(value) {
                match outcome {
                    Outcome::Said {
                        weight: Weight::Deny,
                        rule,
                        message,
                    } => {
                        sink.put(
                            "rego.deny",
                            Some(*line),
                            format!("{rule}: {message}"),
                            "change the manifest, or ask who keeps the policy",
                        );
                    }
                    Outcome::Said {
                        weight: Weight::Warn,
                        rule,
                        message,
                    } => {
                        sink.put(
                            "rego.warn",
                            Some(*line),
                            format!("{rule}: {message}"),
                            "a person decides whether it matters here",
                        );
                    }
                    Outcome::Failed(why) => {
                        sink.put(
                            "rego.error",
                            Some(*line),
                            format!("a policy gave no answer: {why}"),
                            "an operator corrects the policy; until then people decide",
                        );
                    }
                }
            }
        }
    }
}

/// Whole files behind an encoding: an env file, a Secret, a kubeconfig.
fn structures_in_pieces(path: &RepoPath, pieces: &Pieces, sink: &mut Sink<'_>) {
    // Beyond it the rest is told as missed already.
    if pieces.text.len() > SECOND_LOOK_MAX {
        return;
    }
    for (piece, lines) in pieces.each() {
        let Ok(text) = std::str::from_utf8(piece) else { continue };
        sink.behind(Some(lines));
        structure::decoded(text, path.as_str(), sink);
        sink.behind(None);
    }
}

fn removed(path: &RepoPath, before: &str, sink: &mut Sink<'_>) {
    let neutral = if is_template(path, before) {
        Neutral::of(before, sink.work)
    } else {
        None
    };
    match template::read(before, neutral.as_ref(), sink.work) {
        Ok(tree) => manifests::sensitive(path, &manifests::documents(&tree, sink.work).manifests, &[], sink),
        Err(_) => manifests::sensitive_lines(Some(before), "", sink),
    }
}

fn report_secret(guards: &Guards, path: &RepoPath, pattern: usize, value: &[u8], lines: (usize, usize), how: &str, sink: &mut Sink<'_>) {
    if let Ok(value) = std::str::from_utf8(value) {
        value.lines().for_each(|line| sink.hide(line));
    }
    let rule = format!("{SECRET_PREFIX}{}", guards.secrets.id(pattern));
    let message = format!("{}{how}", guards.secrets.about(pattern));
    sink.put_unless_standing(&rule, lines, message, Owner::of_path(path.as_str()).infisical(None));
}

/// A text that is no YAML, or too costly. Its lines are looked at all the same, so that breaking a file hides nothing.
fn unreadable(file: &File<'_>, template: bool, why: Unreadable, sink: &mut Sink<'_>) {
    if !template {
        structure::lines::template(file.text, &Owner::of_path(file.path.as_str()), sink);
    }
    match why {
        // The change's own budget is told for the whole file.
        Unreadable::Budget { why: tree::TOO_MUCH, .. } => {}
        Unreadable::Budget { line, why } => sink.put("yaml.budget", Some(line), format!("not looked through: {why}"), "split it"),
        Unreadable::Syntax { .. } if template => {
            manifests::sensitive_lines(file.old, file.text, sink);
            sink.put(
                "yaml.template",
                None,
                "a template that is no YAML before it is rendered: only its lines were looked at",
                LOOK_AT_RENDERED,
            );
        }
        Unreadable::Syntax { line, column, why } => {
            let why: String = why.chars().filter(|c| !c.is_control()).take(120).collect();
            let message = format!("line {line}, column {column}: not valid YAML: {why}");
            let hint = "correct it; the sync of everything beside it would fail";
            let json = file.path.file_name().to_lowercase().ends_with(".json");
            let manifest = !json || (file.text.contains("\"apiVersion\"") && file.text.contains("\"kind\""));
            let stood = file
                .old
                .is_some_and(|old| matches!(tree::parse(old, sink.work), Err(Unreadable::Syntax { .. })));
            if manifest && !stood {
                sink.put("yaml.invalid", Some(line), message, hint);
            } else {
                sink.remark("yaml.invalid", Some(line), message, hint);
            }
        }
    }
}

fn errors_of(guards: &Guards, manifest: &Manifest<'_>) -> Vec<SchemaError> {
    match guards.schemas.validate(manifest) {
        Verdict::Errors(errors) => errors,
        Verdict::Fits | Verdict::Unknown => Vec::new(),
    }
}

fn is_kubeconfig(manifest: &Manifest<'_>) -> bool {
    manifest.kind == "Config" && manifest.api_version == "v1"
}

fn is_yaml(path: &RepoPath) -> bool {
    let name = path.file_name().to_lowercase();
    let named = [".yaml", ".yml", ".json", ".kubeconfig", ".tfstate"]
        .iter()
        .any(|end| name.ends_with(end));
    named
        || matches!(
            name.as_str(),
            "kubeconfig" | "talosconfig" | "kustomization" | ".dockerconfigjson" | ".sops"
        )
}

/// Scalars whose text differs from how they are written: escapes, and several lines folded into one.
fn unescaped(text: &str, tree: &Tree) -> Pieces {
    let mut pieces = Pieces::default();
    let escapes = text.contains('\\');
    let mut open: Vec<&Node> = tree.documents.iter().collect();
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Scalar { text, style, .. } => {
                let folded = node.end_line > node.line && *style != Style::Block;
                if folded || (escapes && *style == Style::Double) {
                    pieces.add(text.as_bytes(), node.line, node.end_line);
                }
            }
            Kind::Sequence(items) => open.extend(items),
            Kind::Mapping(entries) => open.extend(entries.iter().flat_map(|(key, value)| [key, value])),
            Kind::Alias(_) => {}
        }
    }
    pieces
}

fn has_lone_return(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
}
