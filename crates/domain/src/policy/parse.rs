//! Reading the policy's TOML: unknown keys refused, every problem with its line and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::{Agent, PathGlob, Person, Policy, Rule, RuleIndex};
use crate::{AgentName, GroupName, RepositoryName, SecondFactor, Sha256Hash, UserId};

mod approvers;
mod bounds;
mod grants;
mod raises;
mod rules;
mod times;

/// Seconds that a duration of the file may be: a minute to thirty days.
const SECONDS: std::ops::RangeInclusive<u32> = 60..=30 * 86_400;

/// Something wrong in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} ({})", self.line, self.message, self.remedy)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u32>,
    #[serde(default)]
    reserved: Vec<Spanned<String>>,
    #[serde(default)]
    files_per_card: Option<Spanned<usize>>,
    #[serde(default)]
    people: BTreeMap<String, Spanned<FilePerson>>,
    #[serde(default)]
    groups: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    agents: BTreeMap<String, Spanned<FileAgent>>,
    #[serde(default)]
    delegations: Vec<Spanned<times::FileDelegation>>,
    #[serde(default)]
    floors: Vec<Spanned<raises::FileFloor>>,
    #[serde(default)]
    reminders: Option<Spanned<rules::FileReminders>>,
    #[serde(default)]
    rules: Vec<Spanned<rules::FileRule>>,
    #[serde(default)]
    classes: Vec<Spanned<raises::FileClass>>,
    #[serde(default)]
    freezes: Vec<Spanned<times::FileFreeze>>,
    #[serde(default)]
    grants: Vec<Spanned<grants::FileGrant>>,
    promotions: Option<grants::FilePromotions>,
}

/// What a repository's own file may refer to and never define, with what to do instead.
const OF_THE_SERVICE: [(&str, &str); 8] = [
    ("people", "people and their ids"),
    ("groups", "groups"),
    ("agents", "agents and whose they are"),
    ("delegations", "delegations"),
    ("reserved", "reserved paths"),
    ("floors", "floors"),
    ("files_per_card", "files_per_card"),
    ("promotions", "who decides about promotions"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePerson {
    telegram_id: Spanned<i64>,
    #[serde(default)]
    owns: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAgent {
    owner: Option<Spanned<String>>,
    #[serde(default)]
    untrusted: bool,
}

/// What the parts of a file refer to, and where problems go.
struct Checker<'a> {
    text: &'a str,
    /// Where its lines end.
    newlines: Vec<usize>,
    /// Path patterns read so far.
    patterns: usize,
    groups: BTreeMap<GroupName, BTreeSet<UserId>>,
    /// The file is a repository's own.
    of_repository: bool,
    problems: Vec<Problem>,
    /// What is said twice, and does no harm.
    repeated: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            newlines: text.match_indices('\n').map(|(at, _)| at).collect(),
            patterns: 0,
            groups: BTreeMap::new(),
            of_repository: false,
            problems: Vec::new(),
            repeated: Vec::new(),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.newlines.partition_point(|newline| *newline < span.start) + 1
    }

    fn add(&mut self, span: &Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        let line = self.line(span);
        self.problems.push(Problem {
            line,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    fn name<T: std::str::FromStr<Err = crate::InvalidId>>(&mut self, text: &str, span: &Range<usize>) -> Option<T> {
        text.parse()
            .map_err(|error: crate::InvalidId| self.add(span, error.to_string(), "rename it"))
            .ok()
    }

    fn repository(&mut self, text: Option<&Spanned<String>>) -> Option<RepositoryName> {
        text.and_then(|text| self.name(text.get_ref(), &text.span()))
    }

    /// A group that exists.
    fn group(&mut self, text: &str, span: &Range<usize>, who: &str) -> Option<GroupName> {
        let group = self.name::<GroupName>(text, span)?;
        if self.groups.contains_key(&group) {
            return Some(group);
        }
        let known: Vec<_> = self.groups.keys().map(GroupName::as_str).collect();
        let remedy = match (self.of_repository, known.is_empty()) {
            (true, true) => "groups are defined in the service's own policy file; it has none yet".to_owned(),
            (true, false) => format!("groups are defined in the service's own policy file; it has: {}", known.join(", ")),
            (false, true) => "add it under [groups]: there is no group yet".to_owned(),
            (false, false) => format!("add it under [groups], or use one of: {}", known.join(", ")),
        };
        self.add(span, format!("{who} asks group {group}, which does not exist"), remedy);
        None
    }

    fn glob(&mut self, glob: &Spanned<String>) -> Option<PathGlob> {
        self.patterns += 1;
        if self.patterns > bounds::PATTERNS_MAX {
            // Told once: nothing beyond is compiled.
            if self.patterns == bounds::PATTERNS_MAX + 1 {
                let message = format!("the file has more than {} path patterns", bounds::PATTERNS_MAX);
                self.add(&glob.span(), message, "write patterns that cover more, such as \"kubernetes/**\"");
            }
            return None;
        }
        PathGlob::new(glob.get_ref())
            .map_err(|message| self.add(&glob.span(), message, "correct the pattern, such as \"kubernetes/**\""))
            .ok()
    }

    fn second_factor(&mut self, text: &Spanned<String>) -> Option<SecondFactor> {
        let read = text.get_ref().parse::<SecondFactor>();
        let remedy = "write \"totp\" (a code of each approver's own generator) or \"person\" (one eligible person more)";
        read.map_err(|error| self.add(&text.span(), error.to_string(), remedy)).ok()
    }

    /// A duration in seconds; `what` names the key.
    fn seconds(&mut self, text: &Spanned<String>, what: &str) -> Option<u32> {
        let read = seconds(text.get_ref()).filter(|seconds| SECONDS.contains(seconds));
        if read.is_none() {
            self.add(
                &text.span(),
                format!("{what} {:?} is not a duration", text.get_ref()),
                "write for example \"30m\", \"4h\" or \"7d\"; at least 1m, at most 30d",
            );
        }
        read
    }

    /// A name that cards show: short, visible, and of one thing only.
    fn unique(&mut self, known: &mut BTreeSet<String>, name: &str, span: &Range<usize>, what: &str) {
        if name.chars().count() > bounds::NAME_CHARACTERS_MAX || name.chars().any(|c| c.is_control() || crate::is_deceptive(c)) {
            self.add(
                span,
                format!("{what} {} has a name that no card can show", crate::quoted(name)),
                format!(
                    "write at most {} characters, without line breaks and hidden ones",
                    bounds::NAME_CHARACTERS_MAX
                ),
            );
        }
        if !known.insert(name.to_owned()) {
            self.add(
                span,
                format!("{what} {name:?} stands there twice"),
                format!("give each {what} a name of its own"),
            );
        }
    }

    fn read(&mut self) -> Option<File> {
        match toml::from_str::<File>(self.text) {
            Ok(file) => {
                if *file.version.get_ref() != 1 {
                    let message = format!("version {} is not known", file.version.get_ref());
                    self.add(&file.version.span(), message, "write version = 1");
                }
                bounds::counts(self, &file).then_some(file)
            }
            Err(error) => {
                let (message, remedy) = refused(error.message().trim());
                self.add(&error.span().unwrap_or(0..0), message, remedy);
                None
            }
        }
    }

    /// Compiles the rules, or says why that cannot be.
    fn index(&mut self, rules: &[Rule]) -> Option<RuleIndex> {
        let nameless = RuleIndex::nameless(rules);
        if nameless > bounds::NAMELESS_MAX {
            let message = format!(
                "{nameless} path patterns name no directory and no file in full, and {} are the most",
                bounds::NAMELESS_MAX
            );
            self.add(&(0..0), message, "begin them with a directory, such as \"kubernetes/**/*.yaml\"");
            return None;
        }
        RuleIndex::new(rules)
            .map_err(|error| {
                self.add(
                    &(0..0),
                    format!("the path patterns of all rules together: {error}"),
                    "use fewer or shorter patterns",
                )
            })
            .ok()
    }

    fn done<T>(mut self, whole: Option<T>) -> Result<T, Vec<Problem>> {
        match whole {
            Some(whole) if self.problems.is_empty() => Ok(whole),
            Some(_) | None => {
                self.problems.sort_by_key(|problem| problem.line);
                Err(self.problems)
            }
        }
    }
}

/// What TOML's reader says, in the words of the file, and what to do about it.
fn refused(message: &str) -> (String, &'static str) {
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        return (message.to_owned(), "use one of those that are listed; docs/policy.md explains them");
    }
    for number in ["i64", "u32", "usize"] {
        if let Some(text) = message
            .strip_suffix(number)
            .and_then(|rest| rest.strip_prefix("invalid type: string "))
        {
            return (
                format!("{text}a number: what stands in quotes is a text"),
                "write the number without quotes",
            );
        }
    }
    (message.to_owned(), "correct this line; docs/policy.md shows how it is written")
}

pub(super) fn parse(text: &str) -> Result<Policy, Vec<Problem>> {
    let mut checker = Checker::new(text);
    let policy = bounds::size(&mut checker)
        .then(|| checker.read())
        .flatten()
        .and_then(|file| own(&mut checker, file));
    checker.done(policy)
}

fn own(checker: &mut Checker<'_>, file: File) -> Option<Policy> {
    let (mut people, by_name) = read_people(checker, file.people);
    let agents = read_agents(checker, file.agents, &by_name, &mut people);
    read_groups(checker, file.groups, &by_name);
    let delegations = times::delegations(checker, file.delegations, &by_name);
    let reserved = file.reserved.iter().filter_map(|glob| checker.glob(glob)).collect();
    let files_per_card = match &file.files_per_card {
        Some(limit) if *limit.get_ref() == 0 => {
            checker.add(
                &limit.span(),
                "files_per_card is 0",
                "every change would be manual; leave the key out for 40",
            );
            0
        }
        Some(limit) => *limit.get_ref(),
        None => 40,
    };
    let floors = raises::floors(checker, file.floors, people.len());
    let rules = rules::rules(checker, file.reminders, file.rules);
    let classes = raises::classes(checker, file.classes, people.len());
    let windows = times::windows(checker, file.freezes, &BTreeSet::new());
    let promotions = file.promotions.as_ref().and_then(|written| grants::promotions(checker, written));
    let grants = grants::grants(checker, file.grants);
    Some(Policy {
        index: checker.index(&rules)?,
        groups: checker.groups.clone(),
        people,
        agents,
        delegations,
        rules,
        classes,
        floors,
        windows,
        grants,
        promotions,
        reserved,
        files_per_card,
        hash: Sha256Hash::of(checker.text.as_bytes()),
        repositories: BTreeMap::new(),
        capped: None,
        repeated: std::mem::take(&mut checker.repeated),
    })
}

pub(super) fn with_repository_rules(own: &Policy, text: &str) -> Result<Policy, Vec<Problem>> {
    let mut checker = Checker::new(text);
    checker.groups.clone_from(&own.groups);
    checker.of_repository = true;
    let policy = only_rules(&mut checker)
        .and_then(|()| checker.read())
        .and_then(|file| joined(&mut checker, own, file));
    checker.done(policy)
}

/// A repository's file defines none of what is the service's.
fn only_rules(checker: &mut Checker<'_>) -> Option<()> {
    if !bounds::size(checker) {
        return None;
    }
    // What is not even TOML is told by the next step.
    let keys: BTreeMap<String, Spanned<Value>> = toml::from_str(checker.text).unwrap_or_default();
    let before = checker.problems.len();
    for (key, what) in OF_THE_SERVICE {
        if let Some(value) = keys.get(key) {
            checker.add(
                &value.span(),
                format!("{key}: a repository's policy cannot define {what}"),
                "move it to the service's own policy file; here are only version, rules, classes, freezes, reminders and grants",
            );
        }
    }
    (checker.problems.len() == before).then_some(())
}

fn joined(checker: &mut Checker<'_>, own: &Policy, file: File) -> Option<Policy> {
    let people = own.people.len();
    let rules = rules::rules(checker, file.reminders, file.rules);
    let mut classes = own.classes.clone();
    classes.extend(raises::classes(checker, file.classes, people));
    let mut windows = own.windows.clone();
    // One name is one thing to override.
    let taken = own.windows.iter().map(|window| window.name.clone()).collect();
    windows.extend(times::windows(checker, file.freezes, &taken));
    let mut grants = own.grants.clone();
    grants.extend(grants::grants(checker, file.grants));
    let hashes = [
        b"countersign-policy-v1\0".as_slice(),
        &own.hash.0,
        &Sha256Hash::of(checker.text.as_bytes()).0,
    ];
    Some(Policy {
        index: checker.index(&rules)?,
        rules,
        classes,
        windows,
        grants,
        hash: Sha256Hash::of(&hashes.concat()),
        repositories: BTreeMap::new(),
        capped: None,
        ..own.clone()
    })
}

type People = (BTreeMap<UserId, Person>, BTreeMap<String, UserId>);

fn read_people(checker: &mut Checker<'_>, people: BTreeMap<String, Spanned<FilePerson>>) -> People {
    let mut by_id = BTreeMap::<UserId, Person>::new();
    let mut by_name = BTreeMap::new();
    for (name, entry) in people {
        let person = entry.into_inner();
        let span = person.telegram_id.span();
        let mut id = UserId(person.telegram_id.into_inner());
        if id.0 <= 0 {
            checker.add(
                &span,
                format!("{name}: {} is not a person's id", id.0),
                "people have positive ids; /whoami tells yours",
            );
        }
        if matches!(id.0, 1_087_968_824 | 136_817_688 | 777_000) {
            checker.add(
                &span,
                format!("{name}: {} is shared by every anonymous admin or channel", id.0),
                "use the person's own id; /whoami tells it",
            );
        }
        if let Some(other) = by_id.get(&id) {
            checker.add(
                &span,
                format!("{name} and {} have the same Telegram id", other.name),
                "one person, one entry: remove one of them",
            );
            // Only so that the groups with both are not told to be too small: the file is refused.
            id = UserId(i64::MIN.saturating_add(i64::try_from(by_id.len()).unwrap_or_default()));
        }
        let mut owns = BTreeSet::new();
        for written in &person.owns {
            let span = written.span();
            let Some(agent) = checker.name::<AgentName>(written.get_ref(), &span) else {
                continue;
            };
            if !owns.insert(agent) {
                checker.repeated.push(Problem {
                    line: checker.line(&span),
                    message: format!("{name} owns agent {} twice", written.get_ref()),
                    remedy: "name each agent once; if another one was meant, that one is not owned yet".to_owned(),
                });
            }
        }
        by_name.insert(name.clone(), id);
        by_id.insert(id, Person { name, id, owns });
    }
    (by_id, by_name)
}

fn read_agents(
    checker: &mut Checker<'_>,
    agents: BTreeMap<String, Spanned<FileAgent>>,
    by_name: &BTreeMap<String, UserId>,
    people: &mut BTreeMap<UserId, Person>,
) -> BTreeMap<AgentName, Agent> {
    let mut read = BTreeMap::new();
    for (name, entry) in agents {
        let span = entry.span();
        let Some(agent) = checker.name::<AgentName>(&name, &span) else {
            continue;
        };
        let entry = entry.into_inner();
        if let Some(owner) = &entry.owner {
            match by_name.get(owner.get_ref()).and_then(|id| people.get_mut(id)) {
                Some(person) => {
                    person.owns.insert(agent.clone());
                }
                None => checker.add(
                    &owner.span(),
                    format!("agent {name} is owned by {:?}, who is not among the people", owner.get_ref()),
                    format!("add [people.{}] with a telegram_id, or correct the name", owner.get_ref()),
                ),
            }
        }
        let line = checker.line(&span);
        let untrusted = entry.untrusted;
        read.insert(agent, Agent { untrusted, line });
    }
    read
}

fn read_groups(checker: &mut Checker<'_>, groups: BTreeMap<String, Spanned<Vec<Spanned<String>>>>, people: &BTreeMap<String, UserId>) {
    let names: BTreeSet<String> = groups.keys().cloned().collect();
    for (name, members) in groups {
        let span = members.span();
        let Some(group) = checker.name::<GroupName>(&name, &span) else {
            continue;
        };
        let mut ids = BTreeSet::new();
        for member in members.get_ref() {
            match people.get(member.get_ref()) {
                None if names.contains(member.get_ref()) => checker.add(
                    &member.span(),
                    format!("group {name} names group {:?}", member.get_ref()),
                    "groups hold people only: name its people, or join the groups with any in a rule's approvers",
                ),
                None => checker.add(
                    &member.span(),
                    format!("group {name} names {:?}, who is not among the people", member.get_ref()),
                    format!("add [people.{}] with a telegram_id, or take the name out", member.get_ref()),
                ),
                Some(id) if !ids.insert(*id) => {
                    checker.add(
                        &member.span(),
                        format!("group {name} names {:?} twice", member.get_ref()),
                        "name each person once",
                    );
                }
                Some(_) => {}
            }
        }
        if members.get_ref().is_empty() {
            checker.add(
                &span,
                format!("group {name} is empty"),
                "name at least one person, or remove the group",
            );
        }
        checker.groups.insert(group, ids);
    }
}

/// A number and `s`, `m`, `h` or `d`.
fn seconds(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
