//! The one shape of a "no" towards agents: RFC 9457, with a stable code and what to do next.

use std::borrow::Cow;
use std::fmt;

use changes::guard::{Effect, Finding};
use domain::RepoPath;

/// Why a call was refused; kept small, as it travels in every `Result`. The HTTP face renders it as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A stable word for programs, such as `stale_base`.
    pub code: &'static str,
    /// What is wrong, for people. It may repeat what the caller sent.
    pub detail: String,
    /// Whether the audit log may keep the detail: it is known to hold no value of a request or a file.
    pub recordable: bool,
    /// JSON pointer into the request body.
    pub pointer: Option<Box<str>>,
    /// Whether the same call can succeed later.
    pub retryable: bool,
    /// What to do next.
    pub hint: Box<str>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
    /// The current `ETag` version, with 412.
    pub version: Option<u64>,
    /// What the guard rails refuse, with `guard_refused`. Never a value that was found.
    pub findings: Box<[Found]>,
}

impl Problem {
    /// A refusal that will stay one until the request changes. A fixed detail may be recorded; one that was put together may hold
    /// values, so it needs [`Problem::recordable`].
    pub fn new(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>, hint: impl Into<String>) -> Self {
        debug_assert!(
            crate::CODES.iter().any(|(_, codes)| codes.contains(&code)),
            "{code} is not among CODES, and so not in the docs"
        );
        let detail = detail.into();
        let recordable = matches!(detail, Cow::Borrowed(_));
        Self {
            status,
            code,
            detail: detail.into_owned(),
            recordable,
            pointer: None,
            retryable: false,
            hint: hint.into().into(),
            retry_after: None,
            version: None,
            findings: Box::default(),
        }
    }

    /// Where in the body.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into().into());
        self
    }

    /// The detail holds nothing but paths, names, ids and numbers: the audit log, which forgets nothing, may keep it.
    #[must_use]
    pub const fn recordable(mut self) -> Self {
        self.recordable = true;
        self
    }

    /// What the audit log says of it: the code, the place in the body as far as its words are ours or a runbook's, and the detail as far as it
    /// may be kept. A key that the caller made up may be a secret that went astray.
    #[must_use]
    pub(crate) fn recorded(&self, is_parameter: impl Fn(&str) -> bool) -> String {
        let mut text = self.code.to_owned();
        if let Some(pointer) = self.pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
            text.push_str(" at ");
            text.push_str(&known_part(pointer, is_parameter));
        }
        if self.recordable {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The same call may succeed after some seconds.
    #[must_use]
    pub const fn retry(mut self, seconds: u32) -> Self {
        self.retryable = true;
        self.retry_after = Some(seconds);
        self
    }

    /// Our side failed; details are in the log, not in the answer.
    pub fn internal(what: &str) -> Self {
        Self::new(
            500,
            "internal",
            format!("the service could not {what}"),
            "try again; the operator finds the cause in the log",
        )
        .retry(5)
    }

    /// Not there, or not yours.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            404,
            "not_found",
            format!("there is no such {what}, or it belongs to another agent"),
            "check the id",
        )
        .recordable()
    }
}

/// What bodies are made of.
const FIELDS: [&str; 18] = [
    "base",
    "changes",
    "commit",
    "content",
    "correlation_id",
    "delete",
    "diff",
    "encoding",
    "executable",
    "name",
    "parameters",
    "path",
    "reason",
    "repository",
    "runbook",
    "tier",
    "title",
    "ttl_seconds",
];

/// A pointer up to the first part that the caller made up.
fn known_part(pointer: &str, is_parameter: impl Fn(&str) -> bool) -> String {
    let mut known = String::new();
    for part in pointer.split('/').skip(1) {
        let index = part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
        if !index && !FIELDS.contains(&part) && !is_parameter(part) {
            known.push_str("/…");
            break;
        }
        known.push('/');
        known.push_str(part);
    }
    known
}

/// What a guard rail found in a request. Never the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rule's stable id.
    pub rule: String,
    /// Where.
    pub place: Place,
    /// What it means for the change.
    pub effect: Effect,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file that the request changes.
    File {
        /// Its path.
        path: RepoPath,
        /// Counted from 1; `None` when it is about the whole file.
        line: Option<usize>,
    },
    /// In the request's own words: a JSON pointer into its body.
    Words(String),
}

impl Found {
    /// Rule and place, such as `structure.secret in apps/web/secret.yaml:5`, or `secret.github-token in /title`.
    pub(crate) fn at(&self) -> String {
        match &self.place {
            Place::File { path, line: Some(line) } => format!("{} in {path}:{line}", self.rule),
            Place::File { path, line: None } => format!("{} in {path}", self.rule),
            Place::Words(pointer) => format!("{} in {pointer}", self.rule),
        }
    }
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        let Finding {
            rule,
            path,
            line,
            effect,
            message,
            hint,
        } = finding;
        Self {
            rule,
            place: Place::File { path, line },
            effect,
            message,
            hint,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        tracing::error!(%error, "the database refused");
        Self::internal("use its database")
    }
}
