//! Reading the rules, and what is said once for all of them.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::Checker;
use super::approvers::{Written, requirement};
use crate::policy::approvers::{Escalation, Requirement};
use crate::policy::{Reminder, Rule, TTL_SECONDS_DEFAULT, TTL_SECONDS_MANUAL};
use crate::{RunbookName, SecondFactor, TargetClass, Tier};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRule {
    name: Spanned<String>,
    repository: Option<Spanned<String>>,
    pub(super) paths: Spanned<Vec<Spanned<String>>>,
    tier: Spanned<String>,
    approvers: Option<Spanned<Value>>,
    quorum: Option<Spanned<u32>>,
    ttl: Option<Spanned<String>>,
    reminder: Option<Spanned<Value>>,
    escalate: Option<Spanned<FileEscalation>>,
    runbook: Option<Spanned<OneOrMany>>,
    class: Option<Spanned<String>>,
    allow_owner: Option<Spanned<bool>>,
    revert_quorum: Option<Spanned<u32>>,
    second_factor: Option<Spanned<String>>,
}

/// What rules do that do not say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileReminders {
    after: Option<Spanned<Value>>,
    escalate: Option<Spanned<FileEscalation>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEscalation {
    to: Spanned<String>,
    after: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads the rules in order.
pub(super) fn rules(checker: &mut Checker<'_>, reminders: Option<Spanned<FileReminders>>, rules: Vec<Spanned<FileRule>>) -> Vec<Rule> {
    let (mut usual, mut helper) = (None, None);
    if let Some(reminders) = reminders.map(Spanned::into_inner) {
        usual = reminders.after.as_ref().and_then(|after| reminder(checker, after));
        // Checked once here; each rule reads it again for its own.
        helper = reminders
            .escalate
            .filter(|escalate| escalation(checker, escalate, "reminders").is_some());
    }
    let mut names = BTreeSet::new();
    let read = rules.into_iter().filter_map(|rule| {
        let span = rule.span();
        let rule = read_rule(checker, rule.into_inner(), &span, usual, helper.as_ref())?;
        checker.unique(&mut names, &rule.name, &span, "rule");
        Some(rule)
    });
    read.collect()
}

fn read_rule(
    checker: &mut Checker<'_>,
    rule: FileRule,
    span: &Range<usize>,
    usual: Option<Reminder>,
    helper: Option<&Spanned<FileEscalation>>,
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
    let paths = rule.paths.get_ref().iter().filter_map(|glob| checker.glob(glob)).collect();
    let repository = checker.repository(rule.repository.as_ref());
    let allow_owner = allow_owner(checker, &name, rule.allow_owner.as_ref());
    let escalate = rule.escalate.as_ref().or(helper);
    let escalation = escalate.and_then(|escalate| escalation(checker, escalate, &format!("rule {name:?}")));
    let approvers = rule.approvers.as_ref().and_then(|approvers| {
        let written = Written {
            rule: &name,
            approvers,
            quorum: rule.quorum.as_ref(),
            revert_quorum: rule.revert_quorum.as_ref(),
            allow_owner,
            escalation,
        };
        requirement(checker, &written)
    });
    if let (Some(escalate), Some(approvers)) = (&rule.escalate, &approvers)
        && approvers
            .groups()
            .iter()
            .all(|group| group.as_str() == escalate.get_ref().to.get_ref())
    {
        checker.add(
            &escalate.span(),
            format!(
                "rule {name:?} escalates to group {}, which is asked from the beginning",
                escalate.get_ref().to.get_ref()
            ),
            "name another group, or take escalate out",
        );
    }
    let second_factor = rule.second_factor.as_ref().and_then(|text| checker.second_factor(text));
    if let (Some(factor), Some(text)) = (second_factor, &rule.second_factor) {
        let most = rule.revert_quorum.as_ref().map_or(1, |quorum| *quorum.get_ref());
        fulfilled(
            checker,
            &name,
            &text.span(),
            (factor, tier),
            approvers.as_ref().map(|asked| (asked, most)),
        );
    }
    let runbooks = runbooks(checker, rule.runbook);
    let class = rule
        .class
        .as_ref()
        .and_then(|class| checker.name::<TargetClass>(class.get_ref(), &class.span()));
    match tier {
        Some(Tier::Standard) if runbooks.is_empty() => checker.add(
            &rule.tier.span(),
            format!("rule {name:?} is standard but names no runbook"),
            "add runbook = \"NAME\": only a runbook call can be standard",
        ),
        Some(Tier::Prompted | Tier::Standard) if rule.approvers.is_none() => checker.add(
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
        Some(text) => checker.seconds(text, "ttl").unwrap_or(TTL_SECONDS_DEFAULT),
    };
    let own = rule.reminder.as_ref().and_then(|value| reminder(checker, value));
    if let (Some(Reminder::Seconds(after)), Some(value)) = (own, &rule.reminder)
        && after >= ttl_seconds
    {
        checker.add(
            &value.span(),
            format!("rule {name:?} reminds after its time is over"),
            "remind earlier, or lengthen ttl",
        );
    }
    Some(Rule {
        name,
        repository,
        paths,
        tier: tier?,
        approvers,
        ttl_seconds,
        reminder: own.or(usual),
        runbooks,
        class,
        allow_owner,
        revert_quorum: rule.revert_quorum.map(Spanned::into_inner),
        second_factor,
        line: checker.line(span),
    })
}

/// A second factor that nobody could ever give is a slip. `approvers` come with the number that a revert asks.
fn fulfilled(
    checker: &mut Checker<'_>,
    rule: &str,
    span: &Range<usize>,
    (factor, tier): (SecondFactor, Option<Tier>),
    approvers: Option<(&Requirement, u32)>,
) {
    match tier {
        Some(Tier::Manual) => checker.add(
            span,
            format!("rule {rule:?} has a second factor and is manual: nobody approves what a human commits"),
            "take second_factor out, or write tier = \"prompted\"",
        ),
        Some(Tier::Standard) => checker.add(
            span,
            format!("rule {rule:?} has a second factor and is standard: nothing could run by itself"),
            "write tier = \"prompted\" (runbooks may be called there, too), or take second_factor out",
        ),
        Some(Tier::Prompted) | None => {}
    }
    if let (SecondFactor::Person, Some((approvers, revert))) = (factor, approvers) {
        let groups = approvers.groups();
        let members: BTreeSet<_> = groups.iter().filter_map(|group| checker.groups.get(*group)).flatten().collect();
        let (people, have) = (approvers.people_min().max(revert), members.len());
        if have <= people as usize {
            let names: Vec<_> = groups.iter().map(|group| group.as_str()).collect();
            let groups = names.join(", ");
            checker.add(
                span,
                format!("rule {rule:?} asks for a second person beside {people} of {groups}, which has {have} in all"),
                "add people, lower the quorum, or write second_factor = \"totp\"",
            );
        }
    }
}

fn allow_owner(checker: &mut Checker<'_>, rule: &str, written: Option<&Spanned<bool>>) -> bool {
    match written {
        Some(written) if *written.get_ref() && checker.of_repository => {
            checker.add(
                &written.span(),
                format!("rule {rule:?} lets owners approve for their own agents, which a repository's policy cannot"),
                "take allow_owner out, or keep the rule in the service's own policy file",
            );
            false
        }
        written => written.is_some_and(|written| *written.get_ref()),
    }
}

fn runbooks(checker: &mut Checker<'_>, written: Option<Spanned<OneOrMany>>) -> BTreeSet<RunbookName> {
    let Some(written) = written else { return BTreeSet::new() };
    let span = written.span();
    let names = match written.into_inner() {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    names.iter().filter_map(|text| checker.name::<RunbookName>(text, &span)).collect()
}

/// `0.5` of the time, or `"30m"`.
fn reminder(checker: &mut Checker<'_>, value: &Spanned<Value>) -> Option<Reminder> {
    let read = match value.get_ref() {
        Value::Float(share) if (0.01..=0.99).contains(share) => Some(Reminder::Percent((share * 100.0).round() as u8)),
        Value::String(text) => super::seconds(text)
            .filter(|seconds| super::SECONDS.contains(seconds))
            .map(Reminder::Seconds),
        _ => None,
    };
    if read.is_none() {
        checker.add(
            &value.span(),
            format!("the reminder {} is neither a share nor a duration", value.get_ref()),
            "write a share of the time from 0.01 to 0.99, or a duration such as \"30m\"",
        );
    }
    read
}

fn escalation(checker: &mut Checker<'_>, written: &Spanned<FileEscalation>, who: &str) -> Option<Escalation> {
    let escalate = written.get_ref();
    let to = checker.group(escalate.to.get_ref(), &escalate.to.span(), &format!("the escalation of {who}"));
    let after_seconds = checker.seconds(&escalate.after, "after");
    Some(Escalation {
        to: to?,
        after_seconds: after_seconds?,
    })
}
