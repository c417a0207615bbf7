//! Reading rules in the TOML format of gitleaks: `[[rules]]` with id, regex, keywords, entropy, path, secretGroup and allowlists.
//!
//! Files written for that program load as they are. What this engine has no use for (titles, tags, `[extend]`) is remarked, never an
//! error; what would silently change the meaning of a rule (a broken expression, a wrong type) is a problem with its line.

use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::expression::Lazy;

/// Length of an expression; the longest useful ones are far below.
const REGEX_CHARS_MAX: usize = 8_192;
/// Rules in one file.
const RULES_MAX: usize = 2_000;

/// Something wrong in what the guard rails were built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the caller named it.
    pub file: String,
    /// Counted from 1; 0 when it is about no line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            line,
            message,
            remedy,
        } = self;
        write!(f, "{file}:{line}: {message}; {remedy}")
    }
}

/// What an allowlist's expressions are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Secret,
    Match,
    Line,
}

/// What does not count although a rule matches.
pub(super) struct Allowlist {
    pub regexes: Vec<Lazy>,
    pub target: Target,
    pub paths: Vec<Lazy>,
    /// Lower case.
    pub stopwords: Vec<String>,
    /// All kinds of criteria must hold, not one of them.
    pub all: bool,
}

/// One secret pattern.
pub(super) struct Pattern {
    pub id: String,
    pub about: String,
    pub regex: Option<Lazy>,
    pub path: Option<Lazy>,
    /// Lower case.
    pub keywords: Vec<String>,
    /// Bits per character that a secret has at least.
    pub entropy: f64,
    pub group: Option<usize>,
    pub allow: Vec<Allowlist>,
}

/// A read file.
pub(super) struct RuleFile {
    pub patterns: Vec<Pattern>,
    /// Allowlists for all patterns.
    pub allow: Vec<Allowlist>,
    /// What the file says that has no effect here.
    pub remarks: Vec<Problem>,
}

/// Reads a file; all its problems at once. The expressions of a `proven` one are those of the program, which its tests compile: starting does
/// not wait for them to be looked at again.
pub(super) fn read(file: &str, text: &str, proven: bool) -> Result<RuleFile, Vec<Problem>> {
    let mut reader = Reader {
        file,
        text,
        proven,
        problems: Vec::new(),
        remarks: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            reader.problem(
                &at,
                format!("not valid TOML: {}", error.message().trim()),
                "correct the file's syntax",
            );
            return Err(reader.problems);
        }
    };
    let mut out = RuleFile {
        patterns: Vec::new(),
        allow: Vec::new(),
        remarks: Vec::new(),
    };
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "title" | "description" | "version" | "minVersion" => {}
            "rules" => out.patterns = reader.rules(value),
            "allowlist" | "allowlists" => out.allow.extend(reader.allowlists(value)),
            "extend" => reader.remark(&key.span(), "`extend` has no effect: the built-in rules always apply".to_owned()),
            other => reader.remark(&key.span(), format!("the key {other:?} is not known here and has no effect")),
        }
    }
    if out.patterns.is_empty() && reader.problems.is_empty() && out.allow.is_empty() {
        reader.remark(&(0..0), "the file holds no [[rules]]".to_owned());
    }
    if !reader.problems.is_empty() {
        reader.problems.sort_by_key(|problem| problem.line);
        return Err(reader.problems);
    }
    reader.remarks.sort_by_key(|remark| remark.line);
    out.remarks = reader.remarks;
    Ok(out)
}

type Value<'t> = Spanned<DeValue<'t>>;

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    proven: bool,
    problems: Vec<Problem>,
    remarks: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, at: &Range<usize>) -> usize {
        self.text.as_bytes().iter().take(at.start).filter(|byte| **byte == b'\n').count() + 1
    }

    fn problem(&mut self, at: &Range<usize>, message: String, remedy: &str) {
        let line = self.line(at);
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            message,
            remedy: remedy.to_owned(),
        });
    }

    fn remark(&mut self, at: &Range<usize>, message: String) {
        let line = self.line(at);
        let remedy = "remove it, or ignore this remark".to_owned();
        self.remarks.push(Problem {
            file: self.file.to_owned(),
            line,
            message,
            remedy,
        });
    }

    fn rules(&mut self, value: &Value<'_>) -> Vec<Pattern> {
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(&value.span(), "`rules` is no list of tables".to_owned(), "write [[rules]]");
            return Vec::new();
        };
        if items.len() > RULES_MAX {
            self.problem(&value.span(), format!("more than {RULES_MAX} rules"), "keep those that you need");
            return Vec::new();
        }
        let mut patterns: Vec<Pattern> = Vec::new();
        for item in items.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                self.problem(&item.span(), "a rule is no table".to_owned(), "write [[rules]]");
                continue;
            };
            let Some(pattern) = self.rule(table, &item.span()) else { continue };
            if patterns.iter().any(|other| other.id == pattern.id) {
                self.problem(
                    &item.span(),
                    format!("the rule id {:?} stands twice", pattern.id),
                    "give each rule its own id",
                );
            }
            patterns.push(pattern);
        }
        patterns
    }

    fn rule(&mut self, table: &DeTable<'_>, at: &Range<usize>) -> Option<Pattern> {
        let mut pattern = Pattern {
            id: String::new(),
            about: String::new(),
            regex: None,
            path: None,
            keywords: Vec::new(),
            entropy: 0.0,
            group: None,
            allow: Vec::new(),
        };
        let before = self.problems.len();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "id" => pattern.id = self.string(key.get_ref(), value)?,
                "description" => pattern.about = self.string(key.get_ref(), value)?,
                "regex" => pattern.regex = self.expression(key.get_ref(), value),
                "path" => pattern.path = self.expression(key.get_ref(), value),
                "keywords" => pattern.keywords = self.strings(key.get_ref(), value).iter().map(|word| word.to_lowercase()).collect(),
                "entropy" => pattern.entropy = self.number(key.get_ref(), value).unwrap_or_default(),
                "secretGroup" => pattern.group = self.number(key.get_ref(), value).map(|group| group.max(0.0) as usize),
                "allowlist" | "allowlists" => pattern.allow.extend(self.allowlists(value)),
                "tags" | "skipReport" | "title" => {}
                other => self.remark(&key.span(), format!("the rule key {other:?} is not known here and has no effect")),
            }
        }
        pattern.keywords.retain(|word| !word.is_empty());
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if pattern.id.is_empty() || pattern.id.len() > 100 || !pattern.id.chars().all(plain) {
            self.problem(
                at,
                "a rule needs an id of 1 to 100 of A-Z a-z 0-9 . _ -".to_owned(),
                "add or correct `id = \"…\"`",
            );
        } else if pattern.regex.is_none() && pattern.path.is_none() && self.problems.len() == before {
            self.problem(
                at,
                format!("the rule {:?} has neither regex nor path", pattern.id),
                "add one of them",
            );
        }
        if let (Some(group), Some(regex), false) = (pattern.group, &pattern.regex, self.proven) {
            let groups = regex_syntax::parse(regex.source()).map_or(0, |hir| hir.properties().explicit_captures_len());
            if group > groups {
                self.problem(
                    at,
                    format!("the rule {:?} names secretGroup {group}, and its regex has {groups}", pattern.id),
                    "correct secretGroup",
                );
            }
        }
        Some(pattern)
    }

    fn allowlists(&mut self, value: &Value<'_>) -> Vec<Allowlist> {
        match value.get_ref() {
            DeValue::Table(table) => self.allowlist(table).into_iter().collect(),
            DeValue::Array(items) => self.many_allowlists(items),
            _ => {
                self.problem(
                    &value.span(),
                    "an allowlist is no table".to_owned(),
                    "write [allowlist] or [[allowlists]]",
                );
                Vec::new()
            }
        }
    }

    fn many_allowlists(&mut self, items: &DeArray<'_>) -> Vec<Allowlist> {
        let mut all = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => all.extend(self.allowlist(table)),
                _ => self.problem(&item.span(), "an allowlist is no table".to_owned(), "write [[allowlists]]"),
            }
        }
        all
    }

    fn allowlist(&mut self, table: &DeTable<'_>) -> Option<Allowlist> {
        let mut list = Allowlist {
            regexes: Vec::new(),
            target: Target::Secret,
            paths: Vec::new(),
            stopwords: Vec::new(),
            all: false,
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "description" => {}
                "regexes" => list.regexes = self.expressions(name, value),
                "paths" => list.paths = self.expressions(name, value),
                "stopwords" => list.stopwords = self.strings(name, value).iter().map(|word| word.to_lowercase()).collect(),
                "regexTarget" => match self.string(name, value)?.as_str() {
                    "secret" => list.target = Target::Secret,
                    "match" => list.target = Target::Match,
                    "line" => list.target = Target::Line,
                    other => self.problem(
                        &value.span(),
                        format!("regexTarget {other:?} is not known"),
                        "use secret, match or line",
                    ),
                },
                "condition" => match self.string(name, value)?.to_uppercase().as_str() {
                    "AND" | "&&" => list.all = true,
                    "OR" | "||" => list.all = false,
                    other => self.problem(&value.span(), format!("condition {other:?} is not known"), "use AND or OR"),
                },
                // A list for rules that are named elsewhere would widen to all of them if this were overlooked.
                "targetRules" => {
                    self.remark(&key.span(), "an allowlist with targetRules has no effect here".to_owned());
                    return None;
                }
                "commits" => self.remark(
                    &key.span(),
                    "`commits` has no effect: contents are inspected, not history".to_owned(),
                ),
                other => self.remark(
                    &key.span(),
                    format!("the allowlist key {other:?} is not known here and has no effect"),
                ),
            }
        }
        list.stopwords.retain(|word| !word.is_empty());
        let empty = list.regexes.is_empty() && list.paths.is_empty() && list.stopwords.is_empty();
        (!empty).then_some(list)
    }

    fn string(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.as_ref().to_owned());
        }
        self.problem(&value.span(), format!("`{key}` is no text"), "put it in quotes");
        None
    }

    fn strings(&mut self, key: &str, value: &Value<'_>) -> Vec<String> {
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(&value.span(), format!("`{key}` is no list of texts"), "write [\"…\", \"…\"]");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.string(key, item)).collect()
    }

    fn number(&mut self, key: &str, value: &Value<'_>) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &f64| number.is_finite() && *number >= 0.0 && *number <= 1_000.0);
        if number.is_none() {
            self.problem(
                &value.span(),
                format!("`{key}` is no number from 0 to 1,000"),
                "write a plain number",
            );
        }
        number
    }

    fn expressions(&mut self, key: &str, value: &Value<'_>) -> Vec<Lazy> {
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(&value.span(), format!("`{key}` is no list of texts"), "write ['''…''', '''…''']");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.expression(key, item)).collect()
    }

    fn expression(&mut self, key: &str, value: &Value<'_>) -> Option<Lazy> {
        let source = self.string(key, value)?;
        if source.len() > REGEX_CHARS_MAX {
            self.problem(
                &value.span(),
                format!("`{key}` is longer than {REGEX_CHARS_MAX} characters"),
                "split the rule",
            );
            return None;
        }
        // Parsing finds every mistake but size, at a thousandth of what compiling costs.
        if !self.proven
            && let Err(error) = regex_syntax::Parser::new().parse(&source)
        {
            let what = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                _ => "it cannot be read".to_owned(),
            };
            self.problem(
                &value.span(),
                format!("`{key}` is no regular expression: {what}"),
                "correct it; look-around and back references do not exist",
            );
            return None;
        }
        Some(Lazy::new(source))
    }
}
