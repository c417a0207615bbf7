//! Conftest-style policies: `deny`, `violation` and `warn` rules over each document, under a time limit, without network or randomness.
//!
//! A policy that cannot be read, runs too long or answers nonsense is never taken for consent: it becomes a finding of its own.

mod bounds;
mod recursion;
mod run;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use regorus::unstable::{Rule, RuleHead};
use regorus::{Engine, Value};

use super::Problem;
pub(super) use run::Run;

/// The package that Conftest reads unless told otherwise.
const PACKAGE: &str = "main";
/// Bytes of one policy file.
const POLICY_BYTES_MAX: usize = 512 << 10;
/// Brackets within brackets: the parser calls itself for each.
const NESTING_MAX: usize = 64;
/// Messages of one rule for one document.
const MESSAGES_MAX: usize = 20;
/// Characters of a message that are shown.
const MESSAGE_CHARS_MAX: usize = 300;
/// What a policy must not call: its answer would depend on more than its input.
const FORBIDDEN: &[&str] = &["rand.", "http.", "net.lookup", "opa.runtime", "uuid.rfc4122"];

/// What a rule's name says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Deny,
    Warn,
}

/// What came out for one document.
pub(super) enum Outcome {
    /// A message of a rule, with the rule's name.
    Said { weight: Weight, rule: String, message: String },
    /// A rule, or all of them, could not be evaluated.
    Failed(String),
}

/// All policies, parsed.
pub(super) struct Policies {
    engine: Engine,
    /// Full path below `data`, in a fixed order.
    rules: Arc<[(String, Weight)]>,
    /// Files that could not be used; while there are any, nothing passes.
    pub broken: Vec<Problem>,
    /// What an operator should know although it is no error.
    pub remarks: Vec<Problem>,
    limit: Duration,
    files: usize,
}

impl Policies {
    /// Reads policy files (name and text). `packages` are looked at beside `main`; all others are libraries.
    pub fn new(files: &[(String, String)], packages: &[String], limit: Duration) -> Option<Self> {
        if files.is_empty() {
            return None;
        }
        let mut engine = Engine::new();
        let bounded = bounds::apply(&mut engine);
        let mut broken: Vec<Problem> = files.iter().filter_map(|(name, text)| add(&mut engine, name, text).err()).collect();
        let mut rules: BTreeSet<(String, Weight)> = BTreeSet::new();
        let mut remarks = Vec::new();
        let mut found = BTreeSet::new();
        for module in engine.get_modules().iter() {
            let package = recursion::package(module);
            let short = package.trim_start_matches("data.");
            found.insert(short.to_owned());
            let named: Vec<_> = module.policy.iter().filter_map(|rule| weighty(rule)).collect();
            if short == PACKAGE || packages.iter().any(|asked| asked == short) {
                rules.extend(named.into_iter().map(|(rule, weight)| (format!("{package}.{rule}"), weight)));
            } else if let Some((rule, _)) = named.first() {
                let place = module.package.refr.span();
                remarks.push(Problem {
                    file: place.source.get_path().clone(),
                    line: usize::try_from(place.line).unwrap_or(1),
                    message: format!("its package {short:?} is not asked, so that its rule {rule} never speaks"),
                    remedy: format!("name the package in guard.policy_packages, or write `package {PACKAGE}`"),
                });
            }
        }
        for package in packages.iter().filter(|package| !found.contains(*package)) {
            remarks.push(Problem {
                file: "guard.policy_packages".to_owned(),
                line: 0,
                message: format!("no policy is of package {package:?}"),
                remedy: format!("the packages are {}", found.iter().cloned().collect::<Vec<_>>().join(", ")),
            });
        }
        if let Some(function) = recursion::find(engine.get_modules().iter().map(AsRef::as_ref)) {
            let message = format!("the function {function} leads back to itself, which Rego forbids");
            let remedy = "walk the input with `walk`, or write the steps out".to_owned();
            let file = files
                .iter()
                .find(|(_, text)| text.contains(function.rsplit('.').next().unwrap_or_default()))
                .unwrap_or(&files[0]);
            broken.push(Problem {
                file: file.0.clone(),
                line: 1,
                message,
                remedy,
            });
            rules.clear();
        }
        if let Err(error) = bounded {
            broken.push(Problem {
                file: files[0].0.clone(),
                line: 1,
                message: format!("the evaluator cannot be bounded: {error}"),
                remedy: "a defect of this program: report it".to_owned(),
            });
        }
        if rules.is_empty() && broken.is_empty() {
            let asked: Vec<&str> = std::iter::once(PACKAGE).chain(packages.iter().map(String::as_str)).collect();
            let message = format!("no deny, violation or warn rule in package {}", asked.join(", "));
            let found: Vec<String> = found.into_iter().collect();
            let remedy = format!(
                "name the policies' package in guard.policy_packages; theirs are {}",
                found.join(", ")
            );
            broken.push(Problem {
                file: files[0].0.clone(),
                line: 1,
                message,
                remedy,
            });
        }
        Some(Self {
            engine,
            rules: rules.into_iter().collect(),
            broken,
            remarks,
            limit,
            files: files.len(),
        })
    }

    /// How many files there are.
    pub const fn count(&self) -> usize {
        self.files
    }

    /// One change's evaluation: all its documents share the time limit.
    pub fn start(&self) -> Run {
        Run::of(self.engine.clone(), Arc::clone(&self.rules), self.limit)
    }
}

/// Adds one file in today's syntax, or else in the one before OPA 1.0.
fn add(engine: &mut Engine, name: &str, text: &str) -> Result<(), Problem> {
    let problem = |line, message: String, remedy: &str| Problem {
        file: name.to_owned(),
        line,
        message,
        remedy: remedy.to_owned(),
    };
    if text.len() > POLICY_BYTES_MAX {
        return Err(problem(0, format!("more than {POLICY_BYTES_MAX} bytes"), "split it"));
    }
    let code = without_words(text);
    if deepest(&code) > NESTING_MAX {
        return Err(problem(
            0,
            format!("brackets nested deeper than {NESTING_MAX}"),
            "write it in steps",
        ));
    }
    for (nth, line) in code.lines().enumerate() {
        let compact: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(what) = FORBIDDEN.iter().find(|what| calls(&compact, what)) {
            let remedy = "a policy decides from its input alone: no network, no randomness";
            return Err(problem(nth + 1, format!("{what} is not available"), remedy));
        }
    }
    let try_add = |engine: &mut Engine, old: bool| {
        engine.set_rego_v0(old);
        let (path, text) = (name.to_owned(), text.to_owned());
        catch_unwind(AssertUnwindSafe(|| engine.add_policy(path, text))).map_or_else(
            |_| Err("the parser failed".to_owned()),
            |added| added.map_err(|error| error.to_string()),
        )
    };
    let first = match try_add(engine, false) {
        Ok(_) => return Ok(()),
        Err(first) => first,
    };
    match try_add(engine, true) {
        Ok(_) => Ok(()),
        Err(_) => Err(problem(
            line_in(&first),
            format!("no Rego: {}", last_line(&first)),
            "correct it; `opa check` tells more",
        )),
    }
}

fn calls(line: &str, what: &str) -> bool {
    line.match_indices(what)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.'))
}

/// Code with blanks in place of strings and comments.
fn without_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside: Option<char> = None;
    let mut skip = false;
    for c in text.chars() {
        if c == '\n' {
            out.push(c);
            inside = inside.filter(|quote| *quote == '`');
            skip = false;
            continue;
        }
        match inside {
            Some('"') if skip => skip = false,
            Some('"') if c == '\\' => skip = true,
            Some(quote) if c == quote => inside = None,
            Some(_) => {}
            None if matches!(c, '"' | '`' | '#') => inside = Some(c),
            None => {
                out.push(c);
                continue;
            }
        }
        out.push(' ');
    }
    out
}

/// How deep brackets stand within brackets.
fn deepest(code: &str) -> usize {
    let mut depth = 0usize;
    let mut most = 0;
    for c in code.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// The rules that Conftest asks for: `deny`, `deny_…`, `violation`, `violation_…`, `warn`, `warn_…`.
fn weighty(rule: &Rule) -> Option<(String, Weight)> {
    let head = match rule {
        Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. },
            ..
        }
        | Rule::Default { refr, .. } => refr.span().text(),
        Rule::Spec {
            head: RuleHead::Func { .. },
            ..
        } => return None,
    };
    let name = recursion::head(head);
    let family = name.split('_').next().unwrap_or(name);
    let weight = match family {
        "deny" | "violation" => Weight::Deny,
        "warn" => Weight::Warn,
        _ => return None,
    };
    Some((name.to_owned(), weight))
}

/// What a rule may answer: nothing, or a set (or list) of texts and of objects with `msg`.
fn read(value: &Value, rule: &str, weight: Weight, outcomes: &mut Vec<Outcome>) {
    if *value == Value::Undefined {
        return;
    }
    let nonsense = || Outcome::Failed(format!("{rule}: its result is no set of messages"));
    let Ok(value) = serde_json::to_value(value) else {
        return outcomes.push(nonsense());
    };
    let items = match value {
        serde_json::Value::Array(items) => items,
        serde_json::Value::String(message) => vec![serde_json::Value::String(message)],
        serde_json::Value::Bool(false) | serde_json::Value::Null => return,
        _ => return outcomes.push(nonsense()),
    };
    let more = items.len().saturating_sub(MESSAGES_MAX);
    for item in items.into_iter().take(MESSAGES_MAX) {
        let message = item.as_str().or_else(|| item.get("msg").and_then(serde_json::Value::as_str));
        outcomes.push(match message {
            Some(message) => Outcome::Said {
                weight,
                rule: rule.to_owned(),
                message: shown(message),
            },
            None => nonsense(),
        });
    }
    if more > 0 {
        outcomes.push(Outcome::Said {
            weight,
            rule: rule.to_owned(),
            message: format!("{more} more messages"),
        });
    }
}

/// A policy's words on one line.
fn shown(message: &str) -> String {
    let plain = |c: char| if c.is_control() || domain::is_deceptive(c) { ' ' } else { c };
    message
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(plain)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The part of an error that says what is wrong; the lines before it quote the source.
fn last_line(error: &str) -> String {
    shown(error.trim().lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("unknown"))
}

fn line_in(error: &str) -> usize {
    // "--> name:3:7"
    let place = error.lines().find_map(|line| line.trim().strip_prefix("-->"));
    let mut parts = place.unwrap_or_default().trim().rsplit(':');
    let _column = parts.next();
    parts.next().and_then(|line| line.trim().parse().ok()).unwrap_or(1)
}
