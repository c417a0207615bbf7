//! Reading the policy's TOML: unknown keys refused, every problem with its line and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{PathGlob, Person, Policy, Rule, TTL_SECONDS_DEFAULT, TTL_SECONDS_MANUAL};
use crate::{AgentName, GroupName, RepositoryName, RunbookName, Sha256Hash, Tier, UserId};

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
    rules: Vec<Spanned<FileRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePerson {
    telegram_id: Spanned<i64>,
    #[serde(default)]
    owns: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: Spanned<String>,
    repository: Option<Spanned<String>>,
    paths: Spanned<Vec<Spanned<String>>>,
    tier: Spanned<String>,
    approvers: Option<Spanned<String>>,
    quorum: Option<Spanned<u32>>,
    ttl: Option<Spanned<String>>,
    runbook: Option<Spanned<OneOrMany>>,
    #[serde(default)]
    allow_owner: bool,
    revert_quorum: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

struct Checker<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let upto = span.start.min(self.text.len());
        self.text.as_bytes()[..upto].iter().filter(|byte| **byte == b'\n').count() + 1
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
}

pub(super) fn parse(text: &str) -> Result<Policy, Vec<Problem>> {
    let mut checker = Checker {
        text,
        problems: Vec::new(),
    };
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            checker.add(
                &span,
                error.message().trim().to_owned(),
                "see docs: every key of the policy is listed there, others are refused",
            );
            return Err(checker.problems);
        }
    };
    if *file.version.get_ref() != 1 {
        checker.add(
            &file.version.span(),
            format!("version {} is not known", file.version.get_ref()),
            "write version = 1",
        );
    }
    let (people, by_name) = read_people(&mut checker, file.people);
    let groups = read_groups(&mut checker, file.groups, &by_name);
    let reserved = file.reserved.iter().filter_map(|glob| read_glob(&mut checker, glob)).collect();
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
    let mut names = BTreeSet::new();
    let rules = file
        .rules
        .into_iter()
        .filter_map(|rule| {
            let span = rule.span();
            let rule = read_rule(&mut checker, rule.into_inner(), &span, &groups)?;
            if !names.insert(rule.name.clone()) {
                checker.add(
                    &span,
                    format!("rule {:?} stands there twice", rule.name),
                    "give each rule a name of its own",
                );
            }
            Some(rule)
        })
        .collect();
    if checker.problems.is_empty() {
        Ok(Policy {
            people,
            groups,
            rules,
            reserved,
            files_per_card,
            hash: Sha256Hash::of(text.as_bytes()),
        })
    } else {
        checker.problems.sort_by_key(|problem| problem.line);
        Err(checker.problems)
    }
}

type People = (BTreeMap<UserId, Person>, BTreeMap<String, UserId>);

fn read_people(checker: &mut Checker<'_>, people: BTreeMap<String, Spanned<FilePerson>>) -> People {
    let mut by_id = BTreeMap::<UserId, Person>::new();
    let mut by_name = BTreeMap::new();
    for (name, entry) in people {
        let person = entry.into_inner();
        let span = person.telegram_id.span();
        let id = UserId(person.telegram_id.into_inner());
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
        }
        let owns = person
            .owns
            .iter()
            .filter_map(|agent| checker.name::<AgentName>(agent.get_ref(), &agent.span()))
            .collect();
        by_name.insert(name.clone(), id);
        by_id.insert(id, Person { name, id, owns });
    }
    (by_id, by_name)
}

fn read_groups(
    checker: &mut Checker<'_>,
    groups: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    people: &BTreeMap<String, UserId>,
) -> BTreeMap<GroupName, BTreeSet<UserId>> {
    let mut read = BTreeMap::new();
    for (name, members) in groups {
        let span = members.span();
        let Some(group) = checker.name::<GroupName>(&name, &span) else {
            continue;
        };
        let mut ids = BTreeSet::new();
        for member in members.get_ref() {
            match people.get(member.get_ref()) {
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
        read.insert(group, ids);
    }
    read
}

fn read_glob(checker: &mut Checker<'_>, glob: &Spanned<String>) -> Option<PathGlob> {
    PathGlob::new(glob.get_ref())
        .map_err(|message| checker.add(&glob.span(), message, "correct the pattern, such as \"kubernetes/**\""))
        .ok()
}

fn read_rule(
    checker: &mut Checker<'_>,
    rule: FileRule,
    span: &Range<usize>,
    groups: &BTreeMap<GroupName, BTreeSet<UserId>>,
) -> Option<Rule> {
    let name = rule.name.get_ref().clone();
    let tier = rule
        .tier
        .get_ref()
        .parse::<Tier>()
        .map_err(|error| checker.add(&rule.tier.span(), error.to_string(), "write manual, prompted or standard"))
        .ok();
    if rule.paths.get_ref().is_empty() {
        checker.add(
            &rule.paths.span(),
            format!("rule {name:?} has no paths"),
            "name at least one path pattern",
        );
    }
    let paths = rule.paths.get_ref().iter().filter_map(|glob| read_glob(checker, glob)).collect();
    let repository = rule
        .repository
        .and_then(|text| checker.name::<RepositoryName>(text.get_ref(), &text.span()));
    let quorum = rule.quorum.as_ref().map_or(1, |quorum| *quorum.get_ref());
    let approvers = rule
        .approvers
        .as_ref()
        .and_then(|text| checker.name::<GroupName>(text.get_ref(), &text.span()));
    check_approvers(
        checker,
        &name,
        &rule.approvers,
        approvers.as_ref(),
        &rule.quorum,
        &rule.revert_quorum,
        groups,
    );
    let runbook_span = rule.runbook.as_ref().map(Spanned::span);
    let runbooks = match rule.runbook.map(Spanned::into_inner) {
        None => BTreeSet::new(),
        Some(OneOrMany::One(one)) => std::iter::once(one)
            .filter_map(|text| checker.name::<RunbookName>(&text, &runbook_span.clone()?))
            .collect(),
        Some(OneOrMany::Many(many)) => many
            .into_iter()
            .filter_map(|text| checker.name::<RunbookName>(&text, &runbook_span.clone()?))
            .collect(),
    };
    match tier {
        Some(Tier::Standard) if runbooks.is_empty() => checker.add(
            &rule.tier.span(),
            format!("rule {name:?} is standard but names no runbook"),
            "add runbook = \"NAME\": only a runbook call can be standard",
        ),
        Some(Tier::Prompted | Tier::Standard) if approvers.is_none() && rule.approvers.is_none() => checker.add(
            span,
            format!("rule {name:?} names no approvers"),
            "add approvers = \"GROUP\": free-form changes and reverts under a standard rule are asked too",
        ),
        Some(Tier::Manual | Tier::Prompted) if !runbooks.is_empty() => checker.add(
            &rule.tier.span(),
            format!("rule {name:?} names a runbook but is not standard"),
            "write tier = \"standard\", or take the runbook out",
        ),
        Some(Tier::Manual | Tier::Prompted | Tier::Standard) | None => {}
    }
    let ttl_seconds = match &rule.ttl {
        // A human needs time to commit by hand.
        None if tier == Some(Tier::Manual) => TTL_SECONDS_MANUAL,
        None => TTL_SECONDS_DEFAULT,
        Some(text) => seconds(text.get_ref()).unwrap_or_else(|| {
            checker.add(
                &text.span(),
                format!("ttl {:?} is not a duration", text.get_ref()),
                "write for example \"30m\", \"4h\" or \"7d\"; at least 1m, at most 30d",
            );
            TTL_SECONDS_DEFAULT
        }),
    };
    let line = checker.line(span);
    Some(Rule {
        name,
        repository,
        paths,
        tier: tier?,
        approvers,
        quorum,
        ttl_seconds,
        runbooks,
        allow_owner: rule.allow_owner,
        revert_quorum: rule.revert_quorum.map(Spanned::into_inner),
        line,
    })
}

fn check_approvers(
    checker: &mut Checker<'_>,
    rule: &str,
    written: &Option<Spanned<String>>,
    group: Option<&GroupName>,
    quorum: &Option<Spanned<u32>>,
    revert_quorum: &Option<Spanned<u32>>,
    groups: &BTreeMap<GroupName, BTreeSet<UserId>>,
) {
    let (Some(written), Some(group)) = (written, group) else { return };
    let Some(members) = groups.get(group) else {
        let known: Vec<_> = groups.keys().map(GroupName::as_str).collect();
        checker.add(
            &written.span(),
            format!("rule {rule:?} asks group {group}, which does not exist"),
            format!("add it under [groups], or use one of: {}", known.join(", ")),
        );
        return;
    };
    for quorum in [quorum, revert_quorum].into_iter().flatten() {
        let number = *quorum.get_ref();
        if number == 0 {
            checker.add(
                &quorum.span(),
                format!("rule {rule:?} has a quorum of 0"),
                "silence never approves: at least 1",
            );
        } else if number as usize > members.len() {
            checker.add(
                &quorum.span(),
                format!("rule {rule:?} needs {number} of group {group}, which has {}", members.len()),
                "lower the quorum or add people to the group",
            );
        }
    }
}

fn seconds(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u32>().ok()?.checked_mul(factor)?;
    (60..=30 * 86_400).contains(&seconds).then_some(seconds)
}
