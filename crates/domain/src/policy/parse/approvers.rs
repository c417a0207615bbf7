//! Reading whose approvals a rule asks: a group's name, or groups with counts joined by `all` and `any`.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::{Spanned, Table, Value};

use super::Checker;
use crate::policy::approvers::{Asked, Escalation, Part, Requirement, WAYS_MAX};
use crate::policy::matching::assign;
use crate::{GroupName, UserId};

/// How deep `all` and `any` may be nested.
const DEPTH_MAX: usize = 4;

/// What a rule says about its approvers.
pub(super) struct Written<'a> {
    pub(super) rule: &'a str,
    pub(super) approvers: &'a Spanned<Value>,
    pub(super) quorum: Option<&'a Spanned<u32>>,
    pub(super) revert_quorum: Option<&'a Spanned<u32>>,
    pub(super) allow_owner: bool,
    pub(super) escalation: Option<Escalation>,
}

/// Groups joined by all-of and any-of, as written.
enum Tree {
    Group(Asked),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

/// Reads and checks the approvers of a rule.
pub(super) fn requirement(checker: &mut Checker<'_>, written: &Written<'_>) -> Option<Requirement> {
    let mut reader = Reader {
        span: written.approvers.span(),
        checker,
        rule: written.rule,
        allow_owner: written.allow_owner,
    };
    let tree = match written.approvers.get_ref() {
        Value::String(group) => Tree::Group(reader.group(group, written.quorum.map_or(1, |quorum| *quorum.get_ref()))?),
        Value::Table(table) => {
            if let Some(quorum) = written.quorum {
                reader.checker.add(
                    &quorum.span(),
                    format!("rule {:?} has a quorum beside approvers with counts", written.rule),
                    "take quorum out: the counts say how many",
                );
            }
            reader.table(table, 1)?
        }
        _ => {
            reader.wrong("are neither a group nor a table");
            return None;
        }
    };
    let Some(mut requirement) = normal(tree) else {
        reader.wrong(&format!("can be completed in more than {WAYS_MAX} ways"));
        return None;
    };
    requirement.escalation.clone_from(&written.escalation);
    reader.quorums(written);
    if written.approvers.get_ref().is_table() {
        reader.enough(&requirement);
    }
    Some(requirement)
}

struct Reader<'a, 'b> {
    checker: &'a mut Checker<'b>,
    rule: &'a str,
    span: Range<usize>,
    allow_owner: bool,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, what: &str) {
        self.checker.add(
            &self.span,
            format!("the approvers of rule {:?} {what}", self.rule),
            "write \"GROUP\", { group = \"GROUP\", count = 1 }, { all = [...] } or { any = [...] }",
        );
    }

    fn group(&mut self, name: &str, quorum: u32) -> Option<Asked> {
        let who = format!("rule {:?}", self.rule);
        let group = self.checker.group(name, &self.span, &who)?;
        Some(Asked {
            group,
            or: Vec::new(),
            quorum,
            allow_owner: self.allow_owner,
        })
    }

    fn table(&mut self, table: &Table, depth: usize) -> Option<Tree> {
        if depth > DEPTH_MAX {
            self.wrong(&format!("are nested more than {DEPTH_MAX} deep"));
            return None;
        }
        let keys: Vec<&str> = table.keys().map(String::as_str).collect();
        match keys.as_slice() {
            ["all"] => Some(Tree::All(self.list(&table["all"], "all", depth)?)),
            ["any"] => Some(Tree::Any(self.list(&table["any"], "any", depth)?)),
            ["group"] | ["count", "group"] | ["group", "count"] => self.leaf(table).map(Tree::Group),
            _ => {
                self.wrong(&format!("have a part with the keys {}", keys.join(", ")));
                None
            }
        }
    }

    fn leaf(&mut self, table: &Table) -> Option<Asked> {
        let Some(group) = table.get("group").and_then(Value::as_str) else {
            self.wrong("name a group that is no text");
            return None;
        };
        let count = match table.get("count") {
            None => Some(1),
            Some(count) => count
                .as_integer()
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| *count > 0),
        };
        let Some(count) = count else {
            self.wrong(&format!("ask a number of {group} that is no number from 1"));
            return None;
        };
        self.group(group, count)
    }

    fn list(&mut self, value: &Value, word: &str, depth: usize) -> Option<Vec<Tree>> {
        let Some(parts) = value.as_array().filter(|parts| !parts.is_empty()) else {
            self.wrong(&format!("have an empty {word}, or one that is no list"));
            return None;
        };
        let mut trees = Vec::new();
        for part in parts {
            trees.push(match part {
                Value::String(group) => Tree::Group(self.group(group, 1)?),
                Value::Table(table) => self.table(table, depth + 1)?,
                _ => {
                    self.wrong("have a part that is neither a group nor a table");
                    return None;
                }
            });
        }
        self.repeated(&trees, word);
        Some(trees)
    }

    /// The same group twice in one list is a slip: two counts that should be one.
    fn repeated(&mut self, trees: &[Tree], word: &str) {
        for (number, tree) in trees.iter().enumerate() {
            let Tree::Group(asked) = tree else { continue };
            let same = |other: &Tree| matches!(other, Tree::Group(known) if known.group == asked.group);
            if trees[..number].iter().any(same) {
                self.checker.add(
                    &self.span,
                    format!(
                        "the approvers of rule {:?} name group {} twice in one {word}",
                        self.rule, asked.group
                    ),
                    "name it once, with the count that is meant",
                );
            }
        }
    }

    /// A plain group's numbers, and that of a revert.
    fn quorums(&mut self, written: &Written<'_>) {
        let members = |checker: &Checker<'_>, name: &str| {
            checker
                .groups
                .iter()
                .find(|(group, _)| group.as_str() == name)
                .map(|(_, all)| all.len())
        };
        for (key, quorum) in [("quorum", written.quorum), ("revert_quorum", written.revert_quorum)] {
            let Some(quorum) = quorum else { continue };
            let number = *quorum.get_ref();
            let name = written.approvers.get_ref().as_str();
            if number == 0 {
                self.checker.add(
                    &quorum.span(),
                    format!("rule {:?} has a {key} of 0", self.rule),
                    "silence never approves: at least 1",
                );
            } else if let Some((name, have)) = name.and_then(|name| Some((name, members(self.checker, name)?)))
                && number as usize > have
            {
                self.checker.add(
                    &quorum.span(),
                    format!("rule {:?} needs {number} of group {name}, which has {have}", self.rule),
                    "lower the quorum or add people to the group",
                );
            }
        }
    }

    /// Each way can be completed by the members of its groups, each of them in one place.
    fn enough(&mut self, requirement: &Requirement) {
        // A group that is too small is told by its name.
        let too_small = |asked: &&Asked| {
            self.checker
                .groups
                .get(&asked.group)
                .is_none_or(|members| members.len() < asked.quorum as usize)
        };
        let lacks: BTreeSet<(GroupName, u32)> = requirement
            .asked()
            .filter(too_small)
            .map(|asked| (asked.group.clone(), asked.quorum))
            .collect();
        for (group, quorum) in &lacks {
            let have = self.checker.groups.get(group).map_or(0, BTreeSet::len);
            self.checker.add(
                &self.span,
                format!("rule {:?} needs {quorum} of group {group}, which has {have}", self.rule),
                "lower the count or add people to the group",
            );
        }
        if !lacks.is_empty() {
            return;
        }
        let short: Vec<Vec<Asked>> = ways(requirement).into_iter().filter(|way| !self.can_fill(way)).collect();
        for way in short {
            let words: Vec<_> = way.iter().map(|asked| format!("{} of {}", asked.quorum, asked.group)).collect();
            self.checker.add(
                &self.span,
                format!(
                    "rule {:?} needs {} at once, and these groups share too many people: one person fills one place",
                    self.rule,
                    words.join(" and ")
                ),
                "lower a count or add people to one of the groups",
            );
        }
    }

    /// Whether all members together can fill these places.
    fn can_fill(&self, way: &[Asked]) -> bool {
        let groups = &self.checker.groups;
        let people: Vec<UserId> = groups.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let capacity: Vec<u32> = way.iter().map(|asked| asked.quorum).collect();
        let filled = assign(&capacity, people.len(), &|kind, person| {
            groups
                .get(&way[kind].group)
                .is_some_and(|members| members.contains(&people[person]))
        });
        filled
            .iter()
            .zip(&capacity)
            .all(|(filled, capacity)| filled.len() == *capacity as usize)
    }
}

/// All ways to complete a requirement, as lists of groups.
fn ways(requirement: &Requirement) -> Vec<Vec<Asked>> {
    let mut ways = vec![Vec::new()];
    for part in &requirement.all {
        ways = ways
            .iter()
            .flat_map(|way: &Vec<Asked>| part.any.iter().map(|more| [way.as_slice(), more].concat()))
            .collect();
    }
    ways
}

/// The tree as all-of over any-of over all-of; `None` when that is too many ways.
fn normal(tree: Tree) -> Option<Requirement> {
    let requirement = Requirement {
        all: parts(tree)?,
        escalation: None,
    };
    (requirement.ways() <= WAYS_MAX).then_some(requirement)
}

fn parts(tree: Tree) -> Option<Vec<Part>> {
    match tree {
        Tree::Group(asked) => Some(vec![Part { any: vec![vec![asked]] }]),
        Tree::All(trees) => Some(trees.into_iter().map(parts).collect::<Option<Vec<_>>>()?.concat()),
        Tree::Any(trees) => {
            let any = trees.into_iter().map(alternatives).collect::<Option<Vec<_>>>()?.concat();
            (any.len() <= WAYS_MAX).then(|| vec![Part { any }])
        }
    }
}

fn alternatives(tree: Tree) -> Option<Vec<Vec<Asked>>> {
    match tree {
        Tree::Group(asked) => Some(vec![vec![asked]]),
        Tree::Any(trees) => Some(trees.into_iter().map(alternatives).collect::<Option<Vec<_>>>()?.concat()),
        Tree::All(trees) => {
            let mut ways = vec![Vec::new()];
            for tree in trees {
                let more = alternatives(tree)?;
                if ways.len().saturating_mul(more.len()) > WAYS_MAX {
                    return None;
                }
                ways = ways
                    .iter()
                    .flat_map(|way: &Vec<Asked>| more.iter().map(|other| [way.as_slice(), other].concat()))
                    .collect();
            }
            Some(ways)
        }
    }
}
