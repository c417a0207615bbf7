//! Terraform files, read lightly: blocks by address, attributes by name, values as written. No expression is evaluated. What a plan would
//! say is not known here; a resource block that goes is taken for one that is destroyed, unless a `moved` or `removed` block says otherwise.

mod read;

use std::collections::{BTreeMap, BTreeSet};

use domain::RepoPath;

use super::quantity;
use super::report::{Report, Scope};
use super::rules::{
    COMMAND, ENVIRONMENT, FIELD, IDENTITY_CHANGED, PROTECTION_REMOVED, Rule, SECRET_LITERAL, TERRAFORM_ADDED, TERRAFORM_BACKEND,
    TERRAFORM_CHANGED, TERRAFORM_DATA_REMOVED, TERRAFORM_REMOVED, UNREADABLE, VOLUME_SHRUNK,
};
use super::value::Budget;
use super::words::{HIDDEN, count, looks_secret, names_secret, word};
use read::Block;

/// Work per byte that is read and explained.
const BYTE: usize = 40;
/// Attributes of one block that are listed.
const ATTRIBUTES_MAX: usize = 8;

/// The Terraform files of a change, by directory: a block may move between files of one directory.
#[derive(Default)]
pub(super) struct Files {
    directories: BTreeMap<String, Directory>,
    unread: Vec<RepoPath>,
}

#[derive(Default)]
struct Directory {
    old: BTreeMap<String, (RepoPath, Block)>,
    new: BTreeMap<String, (RepoPath, Block)>,
}

impl Files {
    /// Takes both sides of a file; a side that is not there is empty.
    pub fn add(&mut self, path: &RepoPath, old: &str, new: &str, budget: &mut Budget) {
        let may = budget.spend((old.len() + new.len()) * BYTE);
        let blocks = may.then(|| read::blocks(old).zip(read::blocks(new))).flatten();
        let Some((old, new)) = blocks else {
            self.unread.push(path.clone());
            return;
        };
        let directory = self.directories.entry(path.parent().unwrap_or_default().to_owned()).or_default();
        let is_values = !matches!(path.file_name().rsplit_once('.'), Some((_, "tf" | "tofu")));
        let address = |block: &Block| {
            if is_values {
                format!("{} {}", path.file_name(), block.address)
            } else {
                block.address.clone()
            }
        };
        directory
            .old
            .extend(old.into_iter().map(|block| (address(&block), (path.clone(), block))));
        directory
            .new
            .extend(new.into_iter().map(|block| (address(&block), (path.clone(), block))));
    }

    /// Explains what changed.
    pub fn explain(self, report: &mut Report) {
        for path in &self.unread {
            let short = super::files::short(path);
            report
                .scope(path, short.clone(), short, false)
                .say(&UNREADABLE, "could not be read as Terraform");
        }
        for directory in self.directories.into_values() {
            explain(directory, report);
        }
    }
}

fn explain(mut directory: Directory, report: &mut Report) {
    let moves = moves(&directory.new);
    let forgotten = forgotten(&directory.new);
    let addresses: BTreeSet<String> = directory.old.keys().chain(directory.new.keys()).cloned().collect();
    let mut moved_to = BTreeSet::new();
    for address in &addresses {
        if directory.new.contains_key(address) || !directory.old.contains_key(address) {
            continue;
        }
        let target = moves
            .get(address)
            .filter(|to| !directory.old.contains_key(*to) && directory.new.contains_key(*to));
        let Some((path, old)) = directory.old.remove(address) else {
            continue;
        };
        report.block();
        match target.and_then(|to| directory.new.get(to).map(|new| (to, new))) {
            Some((to, (new_path, new))) => {
                moved_to.insert(to.clone());
                let mut scope = scope_of(report, new_path, to);
                scope.say(&FIELD, format!("renamed from {}", word(address)));
                scope.report.mark(&path);
                changed(&mut scope, &old, new);
            }
            None => removed(report, &path, address, &old, forgotten.contains(address)),
        }
    }
    for (address, (path, new)) in &directory.new {
        match directory.old.get(address) {
            Some((_, old)) if old == new => {}
            Some((_, old)) => {
                report.block();
                changed(&mut scope_of(report, path, address), old, new);
            }
            // These speak of other blocks, which is where they are said.
            None if moved_to.contains(address) || matches!(new.kind.as_str(), "moved" | "removed" | "import") => report.mark(path),
            None => added(report, path, address, new),
        }
    }
}

fn scope_of<'r>(report: &'r mut Report, path: &RepoPath, address: &str) -> Scope<'r> {
    let name = if address == "terraform" { "settings" } else { address.trim() };
    report.scope(
        path,
        format!("Terraform {}", plain(name)),
        plain(name.rsplit('.').next().unwrap_or(name)),
        false,
    )
}

/// An address; the blank in `prod.tfvars values` is ours.
fn plain(address: &str) -> String {
    address
        .split(' ')
        .filter(|part| !part.is_empty())
        .map(word)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `moved { from = … to = … }`
fn moves(new: &BTreeMap<String, (RepoPath, Block)>) -> BTreeMap<String, String> {
    let ends = |block: &Block| Some((block.attributes.get("from")?.clone(), block.attributes.get("to")?.clone()));
    new.values()
        .filter(|(_, block)| block.kind == "moved")
        .filter_map(|(_, block)| ends(block))
        .collect()
}

/// `removed { from = … lifecycle { destroy = false } }`
fn forgotten(new: &BTreeMap<String, (RepoPath, Block)>) -> BTreeSet<String> {
    let keeps =
        |block: &&Block| block.kind == "removed" && block.attributes.get("lifecycle.destroy").is_some_and(|destroy| destroy == "false");
    new.values()
        .map(|(_, block)| block)
        .filter(keeps)
        .filter_map(|block| block.attributes.get("from").cloned())
        .collect()
}

fn removed(report: &mut Report, path: &RepoPath, address: &str, block: &Block, forgotten: bool) {
    let mut scope = scope_of(report, path, address);
    let verb = format!("remove {}", scope.label);
    let (rule, text): (&'static Rule, &str) = match block.kind.as_str() {
        _ if forgotten => (&TERRAFORM_CHANGED, "is forgotten by Terraform and lives on"),
        "resource" if holds_data(block) => (&TERRAFORM_DATA_REMOVED, "removed: destroyed at the next apply"),
        "resource" | "module" => (&TERRAFORM_REMOVED, "removed: destroyed at the next apply"),
        "provider" | "terraform" => (&TERRAFORM_BACKEND, "removed"),
        _ => (&FIELD, "removed"),
    };
    scope.say_as(rule, text, verb);
}

/// Machines, disks, clusters, databases: what cannot simply be made again.
fn holds_data(block: &Block) -> bool {
    const PARTS: [&str; 14] = [
        "vm", "virtual", "disk", "volume", "storage", "database", "db", "bucket", "instance", "cluster", "machine", "server", "zone",
        "dataset",
    ];
    block
        .labels
        .first()
        .is_some_and(|kind| kind.split('_').any(|part| PARTS.contains(&part)))
}

fn added(report: &mut Report, path: &RepoPath, address: &str, block: &Block) {
    report.block();
    let mut scope = scope_of(report, path, address);
    let verb = format!("add {}", scope.label);
    let rule = match block.kind.as_str() {
        "resource" | "module" => &TERRAFORM_ADDED,
        "provider" | "terraform" => &TERRAFORM_BACKEND,
        "data" => &TERRAFORM_CHANGED,
        _ => &FIELD,
    };
    let values = if block.kind == "values" {
        format!(" with {}", count(block.attributes.len(), "value"))
    } else {
        String::new()
    };
    scope.say_as(rule, format!("added{values}"), verb);
    for (name, value) in &block.attributes {
        warn(&mut scope, name, None, value);
    }
}

/// What is worth a line even in a new block; whether it was.
fn warn(scope: &mut Scope<'_>, name: &str, old: Option<&str>, new: &str) -> bool {
    let key = name.rsplit('.').next().unwrap_or(name);
    if is_literal_secret(key, new) && old != Some(new) {
        scope.say(&SECRET_LITERAL, format!("{} is a literal value {HIDDEN}", word(name)));
    } else if name.contains("provisioner") && new == read::BLOCK {
        // Its attributes say it.
    } else if name.contains("provisioner") {
        scope.say(&COMMAND, format!("{} changes what runs on apply", word(name)));
    } else {
        return false;
    }
    true
}

fn is_literal_secret(key: &str, value: &str) -> bool {
    let text = super::value::Value::Scalar {
        text: value.trim_matches('"').to_owned(),
        typed: false,
    };
    value.starts_with('"') && super::fields::is_secret_literal(key, &text)
}

fn changed(scope: &mut Scope<'_>, old: &Block, new: &Block) {
    let names: BTreeSet<&String> = old.attributes.keys().chain(new.attributes.keys()).collect();
    let mut listed = 0;
    let mut unlisted = 0;
    for name in names {
        let (from, to) = (old.attributes.get(name), new.attributes.get(name));
        if from == to {
            continue;
        }
        if let Some(to) = to
            && warn(scope, name, from.map(String::as_str), to)
        {
            continue;
        }
        let rule = rule_of(new, name, from.map(String::as_str), to.map(String::as_str));
        if rule == &TERRAFORM_CHANGED || rule == &ENVIRONMENT {
            listed += 1;
        }
        if listed > ATTRIBUTES_MAX {
            unlisted += 1;
            continue;
        }
        let what = if name.is_empty() {
            String::new()
        } else {
            format!("{} ", word(name))
        };
        let (from, to) = (show(name, from), show(name, to));
        scope.say(
            rule,
            if from == to {
                format!("{what}changes")
            } else {
                format!("{what}{from} → {to}")
            },
        );
    }
    if unlisted > 0 {
        scope.say(&TERRAFORM_CHANGED, format!("and {}", count(unlisted, "more attribute")));
    }
}

fn rule_of(block: &Block, name: &str, from: Option<&str>, to: Option<&str>) -> &'static Rule {
    let key = name.rsplit('.').next().unwrap_or(name);
    let shrinks = || {
        let amount = |text: &str| quantity::parse(text.trim_matches('"'));
        from.and_then(amount).zip(to.and_then(amount)).is_some_and(|(from, to)| to < from)
    };
    match key {
        "prevent_destroy" if from == Some("true") => &PROTECTION_REMOVED,
        "count" if to == Some("0") => &TERRAFORM_REMOVED,
        "count" | "for_each" => &IDENTITY_CHANGED,
        "size" | "disk_size" | "volume_size" | "size_gb" if shrinks() => &VOLUME_SHRUNK,
        "source" if block.kind == "module" => &TERRAFORM_BACKEND,
        _ if block.kind == "provider" || name.starts_with("backend.") || name.starts_with("cloud.") => &TERRAFORM_BACKEND,
        _ if matches!(block.kind.as_str(), "output" | "locals" | "variable") => &ENVIRONMENT,
        _ => &TERRAFORM_CHANGED,
    }
}

fn show(name: &str, value: Option<&String>) -> String {
    match value {
        None => "none".to_owned(),
        Some(text) if names_secret(name) || looks_secret(text) => HIDDEN.to_owned(),
        Some(text) if text.contains('\n') => format!("({})", count(text.lines().count(), "line")),
        Some(text) => word(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)),
    }
}
