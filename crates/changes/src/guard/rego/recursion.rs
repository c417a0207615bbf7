//! Functions that call themselves: Rego forbids them, the evaluator follows them until its stack is gone, and no time limit is in time.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Module, Rule, RuleHead};

use super::without_words;

/// Full names of functions and the functions they call.
type Calls = BTreeMap<String, BTreeSet<String>>;

/// A function that leads back to itself.
pub(super) fn find<'m>(modules: impl Iterator<Item = &'m Module> + Clone) -> Option<String> {
    let mut calls = Calls::new();
    for module in modules.clone() {
        for (name, _) in functions(module) {
            calls.entry(name).or_default();
        }
    }
    for module in modules {
        let names = imported(module);
        for (name, text) in functions(module) {
            // The first one is the head itself.
            let called = called_in(&text).into_iter().skip(1).map(|call| full_name(&call, module, &names));
            let known: Vec<String> = called.filter(|call| calls.contains_key(call)).collect();
            calls.entry(name).or_default().extend(known);
        }
    }
    calls.keys().find(|name| reaches_itself(name, &calls)).cloned()
}

fn reaches_itself(name: &str, calls: &Calls) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = calls.get(name).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if next == name {
            return true;
        }
        if seen.insert(next) {
            open.extend(calls.get(next).into_iter().flatten());
        }
    }
    false
}

/// The package's full name, such as `data.main`.
pub(super) fn package(module: &Module) -> String {
    format!("data.{}", module.package.refr.span().text())
}

/// Functions with their whole text.
fn functions(module: &Module) -> Vec<(String, String)> {
    let package = package(module);
    let rules = module.policy.iter().filter_map(|rule| match rule.as_ref() {
        Rule::Spec {
            span,
            head: RuleHead::Func { refr, .. },
            ..
        } => Some((refr.span().text(), span.text())),
        Rule::Spec { .. } | Rule::Default { .. } => None,
    });
    rules
        .map(|(name, text)| (format!("{package}.{}", head(name)), text.to_owned()))
        .collect()
}

/// A rule's name without its arguments and keys.
pub(super) fn head(text: &str) -> &str {
    text.split(['(', '[', '{', ' ', '\n']).next().unwrap_or(text).trim()
}

/// What imports call things here, and what they are.
fn imported(module: &Module) -> BTreeMap<String, String> {
    let names = module.imports.iter().map(|import| {
        let path = import.refr.span().text().to_owned();
        let last = path.rsplit('.').next().unwrap_or_default().to_owned();
        (import.r#as.as_ref().map_or(last, |alias| alias.text().to_owned()), path)
    });
    names.collect()
}

fn full_name(call: &str, module: &Module, imported: &BTreeMap<String, String>) -> String {
    let (first, rest) = call.split_once('.').map_or((call, ""), |(first, rest)| (first, rest));
    match imported.get(first) {
        _ if first == "data" => call.to_owned(),
        Some(path) if rest.is_empty() => path.clone(),
        Some(path) => format!("{path}.{rest}"),
        None => format!("{}.{call}", package(module)),
    }
}

/// Every name in front of a parenthesis; brackets with a text, as in `data["lib"].f(`, count as dots.
fn called_in(text: &str) -> Vec<String> {
    let plain = text.replace("[\"", ".").replace("\"]", "");
    let code = without_words(&plain);
    let mut calls = Vec::new();
    for (at, _) in code.match_indices('(') {
        let before = code[..at].trim_end();
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map_or(0, |at| at + 1);
        // The character in front may take several bytes.
        let name = before.get(start..).unwrap_or_default().trim_matches('.');
        if !name.is_empty() {
            calls.push(name.to_owned());
        }
    }
    calls
}
