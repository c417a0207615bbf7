//! The bodies that agents send, exactly as the OpenAPI description shows them. Unknown fields are refused everywhere.
//!
//! Only the shape is checked here, since only this face knows JSON pointers; what the words mean is for the use cases.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Tier;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::document::words;
use crate::limits::ApiLimits;
use engine::{Content, FileEdit, FileRequest, ObservationRequest, Problem, ProposalRequest};

/// A change that an agent asks for. Exactly one of `changes`, `diff` and `runbook` says what shall change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalBody {
    /// The configured repository's name, never a URL.
    #[schema(example = "homelab")]
    pub repository: String,
    /// The commit that the change was made against (40 hexadecimal digits), or `head` for the branch's tip.
    #[serde(default = "head")]
    #[schema(default = "head", example = "head")]
    pub base: String,
    /// The headline, up to 200 characters. A runbook call without one takes the runbook's own.
    #[serde(default)]
    #[schema(example = "Scale web to 5")]
    pub title: String,
    /// Why, up to 4,000 characters. People see it marked as the agent's words. Required, may be empty; a runbook call without one takes
    /// the runbook's own.
    pub reason: Option<String>,
    /// Full contents, file by file.
    pub changes: Option<Vec<FileBody>>,
    /// One unified diff against `base`; it must apply exactly.
    pub diff: Option<String>,
    /// A call of a runbook, rendered by the service.
    pub runbook: Option<RunbookBody>,
    /// A stricter tier than the policy's; never a looser one.
    #[schema(schema_with = words::tier_or_null)]
    pub tier: Option<Tier>,
    /// The agent's own reference, up to 200 characters.
    pub correlation_id: Option<String>,
    /// Seconds to decide; never longer than the rule's.
    pub ttl_seconds: Option<u32>,
}

/// A new version of a pending proposal. Repository and branch stay what they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevisionBody {
    /// The commit that the change was made against (40 hexadecimal digits), or `head` for the branch's tip.
    #[serde(default = "head")]
    #[schema(default = "head", example = "head")]
    pub base: String,
    /// The headline, up to 200 characters; as before when absent.
    #[serde(default)]
    pub title: String,
    /// Why, up to 4,000 characters. People see it marked as the agent's words. Required, may be empty; a runbook call without one takes
    /// the runbook's own.
    pub reason: Option<String>,
    /// Full contents, file by file.
    pub changes: Option<Vec<FileBody>>,
    /// One unified diff against `base`; it must apply exactly.
    pub diff: Option<String>,
    /// A call of a runbook, rendered by the service.
    pub runbook: Option<RunbookBody>,
    /// A stricter tier than the policy's; never a looser one.
    #[schema(schema_with = words::tier_or_null)]
    pub tier: Option<Tier>,
    /// The agent's own reference, up to 200 characters.
    pub correlation_id: Option<String>,
    /// Seconds to decide; never longer than the rule's.
    pub ttl_seconds: Option<u32>,
}

/// One file: its new full content, its deletion, or its executable bit alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// The path in the repository.
    #[schema(example = "kubernetes/applications/web/values.yaml")]
    pub path: String,
    /// The whole new content. Absent with `executable` for a file that exists: its content stays.
    pub content: Option<String>,
    /// How `content` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// `true` deletes the file; then there is no content.
    #[serde(default)]
    pub delete: bool,
    /// The executable bit; unchanged (off for a new file) when absent.
    pub executable: Option<bool>,
}

/// How a content is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub enum Encoding {
    /// As text.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// In base64 with padding (RFC 4648, section 4).
    #[serde(rename = "base64")]
    Base64,
}

/// A runbook call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunbookBody {
    /// The runbook's name, as listed at `/v1/runbooks`.
    #[schema(example = "set-image-tag")]
    pub name: String,
    /// Its parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// What a runbook is rendered with, to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderBody {
    /// The configured repository's name.
    #[schema(example = "homelab")]
    pub repository: String,
    /// The commit to render against (40 hexadecimal digits), or `head` for the branch's tip.
    #[serde(default = "head")]
    #[schema(default = "head", example = "head")]
    pub base: String,
    /// The runbook's parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

impl RenderBody {
    /// The run that it is about.
    pub fn into_request(self, name: String) -> ProposalRequest {
        ProposalRequest {
            repository: self.repository,
            base: self.base,
            title: String::new(),
            reason: String::new(),
            content: Content::Runbook {
                name,
                parameters: Value::Object(self.parameters),
            },
            tier: None,
            correlation: None,
            ttl_seconds: None,
        }
    }
}

/// A commit that an agent pushed by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObservationBody {
    /// The configured repository's name.
    #[schema(example = "homelab")]
    pub repository: String,
    /// The commit id.
    #[schema(example = "3f2a9c1d5e6b7a8090a1b2c3d4e5f60718293a4b")]
    pub commit: String,
    /// The runbook that it followed.
    pub runbook: String,
    /// The runbook's parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// Why; optional.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// In the agent's words.
    pub reason: Option<String>,
}

impl ProposalBody {
    /// The request for the use case.
    ///
    /// # Errors
    /// 422 or 413 with a JSON pointer where the shape is wrong.
    pub fn into_request(self, limits: &ApiLimits) -> Result<ProposalRequest, Problem> {
        Ok(ProposalRequest {
            repository: self.repository,
            base: self.base,
            title: self.title,
            reason: reason(self.reason, self.runbook.is_some())?,
            content: content(self.changes, self.diff, self.runbook, limits)?,
            tier: self.tier,
            correlation: self.correlation_id,
            ttl_seconds: self.ttl_seconds,
        })
    }
}

impl RevisionBody {
    /// The request for the use case; its empty repository means the proposal's own.
    ///
    /// # Errors
    /// 422 or 413 with a JSON pointer where the shape is wrong.
    pub fn into_request(self, limits: &ApiLimits) -> Result<ProposalRequest, Problem> {
        Ok(ProposalRequest {
            repository: String::new(),
            base: self.base,
            title: self.title,
            reason: reason(self.reason, self.runbook.is_some())?,
            content: content(self.changes, self.diff, self.runbook, limits)?,
            tier: self.tier,
            correlation: self.correlation_id,
            ttl_seconds: self.ttl_seconds,
        })
    }
}

impl From<ObservationBody> for ObservationRequest {
    fn from(body: ObservationBody) -> Self {
        Self {
            repository: body.repository,
            commit: body.commit,
            runbook: body.runbook,
            parameters: Value::Object(body.parameters),
        }
    }
}

fn head() -> String {
    "head".to_owned()
}

fn invalid(pointer: String, detail: impl Into<std::borrow::Cow<'static, str>>, hint: &str) -> Problem {
    Problem::new(422, "invalid_request", detail, hint).at(pointer)
}

/// Only a runbook can speak for its caller.
fn reason(given: Option<String>, runbook: bool) -> Result<String, Problem> {
    match given {
        Some(reason) => Ok(reason),
        None if runbook => Ok(String::new()),
        None => Err(invalid(
            "/reason".to_owned(),
            "missing field `reason`",
            "say why in a sentence; people see it as your words",
        )),
    }
}

fn content(
    changes: Option<Vec<FileBody>>,
    diff: Option<String>,
    runbook: Option<RunbookBody>,
    limits: &ApiLimits,
) -> Result<Content, Problem> {
    match (changes, diff, runbook) {
        (Some(files), None, None) => files_of(files, limits).map(Content::Files),
        (None, Some(diff), None) => Ok(Content::Diff(diff)),
        (None, None, Some(call)) => Ok(Content::Runbook {
            name: call.name,
            parameters: Value::Object(call.parameters),
        }),
        (None, None, None) => Err(invalid(
            String::new(),
            "the body says nothing about what shall change",
            "send one of `changes`, `diff` and `runbook`",
        )),
        _ => Err(invalid(
            String::new(),
            "the body says in more than one way what shall change",
            "send only one of `changes`, `diff` and `runbook`",
        )),
    }
}

fn files_of(files: Vec<FileBody>, limits: &ApiLimits) -> Result<Vec<FileRequest>, Problem> {
    if files.len() > limits.files {
        let detail = format!("the change touches {} files; {} is the limit", files.len(), limits.files);
        return Err(Problem::new(413, "too_many_files", detail, "split the change into smaller proposals").at("/changes"));
    }
    files.into_iter().enumerate().map(|(index, file)| file_of(file, index)).collect()
}

fn file_of(file: FileBody, index: usize) -> Result<FileRequest, Problem> {
    let at = |field: &str| format!("/changes/{index}{field}");
    let edit = match (file.content, file.delete, file.executable) {
        (Some(text), false, executable) => FileEdit::Write {
            bytes: decoded(text, file.encoding, at("/content"))?,
            executable,
        },
        (None, true, None) => FileEdit::Delete,
        (None, false, Some(executable)) => FileEdit::SetExecutable(executable),
        (Some(_), true, _) => {
            return Err(invalid(
                at("/delete"),
                "a deleted file has no content",
                "leave out either `content` or `delete`",
            ));
        }
        (None, true, Some(_)) => {
            return Err(invalid(
                at("/executable"),
                "a deleted file has no executable bit",
                "leave out `executable`",
            ));
        }
        (None, false, None) => {
            return Err(invalid(
                at(""),
                "the file has neither `content` nor `delete` nor `executable`",
                "send the whole new content, `\"delete\": true`, or `executable` alone for a file that exists",
            ));
        }
    };
    Ok(FileRequest { path: file.path, edit })
}

fn decoded(text: String, encoding: Encoding, pointer: String) -> Result<Vec<u8>, Problem> {
    match encoding {
        Encoding::Utf8 => Ok(text.into_bytes()),
        Encoding::Base64 => STANDARD.decode(text).map_err(|error| {
            invalid(
                pointer,
                format!("the content is not base64: {error}"),
                "use the standard alphabet with padding and without line breaks",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> String {
        let limits = ApiLimits {
            files: 2,
            ..ApiLimits::default()
        };
        let read = crate::json::parse(body.as_bytes(), 1_000)
            .and_then(crate::json::typed::<ProposalBody>)
            .and_then(|body| body.into_request(&limits));
        match read {
            Ok(request) => format!("{:?}", request.content),
            Err(problem) => format!(
                "{} {} at {:?}: {}",
                problem.status,
                problem.code,
                problem.pointer.unwrap_or_default(),
                problem.detail
            ),
        }
    }

    fn with(rest: &str) -> String {
        answer(&format!(r#"{{"repository":"homelab","title":"t","reason":"r",{rest}}}"#))
    }

    #[test]
    fn the_three_ways_to_say_what_shall_change() {
        assert_eq!(
            with(r#""changes":[{"path":"a","content":"x"},{"path":"b","content":"AP8=","encoding":"base64","executable":true}]"#),
            r#"Files([FileRequest { path: "a", edit: Write { bytes: [120], executable: None } }, FileRequest { path: "b", edit: Write { bytes: [0, 255], executable: Some(true) } }])"#
        );
        assert_eq!(
            with(r#""changes":[{"path":"a","delete":true}],"diff":null"#),
            r#"Files([FileRequest { path: "a", edit: Delete }])"#
        );
        assert_eq!(
            with(r#""changes":[{"path":"a","executable":true}]"#),
            r#"Files([FileRequest { path: "a", edit: SetExecutable(true) }])"#
        );
        assert_eq!(with(r#""diff":"--- a""#), r#"Diff("--- a")"#);
        assert_eq!(with(r#""runbook":{"name":"n"}"#), r#"Runbook { name: "n", parameters: Object {} }"#);
    }

    #[test]
    fn wrong_shapes_are_named_by_pointer() {
        for (rest, expected) in [
            (
                r#""tier":null"#,
                r#"422 invalid_request at "": the body says nothing about what shall change"#,
            ),
            (
                r#""diff":"","runbook":{"name":"n"}"#,
                r#"422 invalid_request at "": the body says in more than one way what shall change"#,
            ),
            (
                r#""changes":{}"#,
                r#"422 invalid_request at "/changes": invalid type: object, expected an array"#,
            ),
            (
                r#""changes":[{"path":"a"}]"#,
                r#"422 invalid_request at "/changes/0": the file has neither `content` nor `delete` nor `executable`"#,
            ),
            (
                r#""changes":[{"path":"a","content":"","delete":true}]"#,
                r#"422 invalid_request at "/changes/0/delete": a deleted file has no content"#,
            ),
            (
                r#""changes":[{"path":"a","delete":true,"executable":true}]"#,
                r#"422 invalid_request at "/changes/0/executable": a deleted file has no executable bit"#,
            ),
            (
                r#""changes":[{"path":"a","content":"a","encoding":"base64"}]"#,
                r#"422 invalid_request at "/changes/0/content": the content is not base64: Invalid input length: 1"#,
            ),
            (
                r#""changes":[{"path":"a","content":"a","encoding":"utf-16"}]"#,
                r#"422 invalid_request at "/changes/0/encoding": unknown word `utf-16`, expected `utf-8` or `base64`"#,
            ),
            (
                r#""changes":[{"path":7,"content":"a"}]"#,
                r#"422 invalid_request at "/changes/0/path": invalid type: integer `7`, expected a string"#,
            ),
            (
                r#""changes":[{"path":"a","content":"a","mode":"120000"}]"#,
                r#"422 invalid_request at "/changes/0/mode": unknown field `mode`, expected one of `path`, `content`, `encoding`, `delete`, `executable`"#,
            ),
            (
                r#""changes":[{"path":"a","delete":true},{"path":"b","delete":true},{"path":"c","delete":true}]"#,
                r#"413 too_many_files at "/changes": the change touches 3 files; 2 is the limit"#,
            ),
            (
                r#""tier":"yolo""#,
                r#"422 invalid_request at "/tier": unknown word `yolo`, expected one of `manual`, `prompted`, `standard`"#,
            ),
            (
                r#""ttl_seconds":-1"#,
                r#"422 invalid_request at "/ttl_seconds": invalid value: integer `-1`, expected a whole number from 0 to 4294967295"#,
            ),
            (
                r#""ttl_seconds":1e30"#,
                r#"422 invalid_request at "/ttl_seconds": invalid type: number `1e+30`, expected a whole number from 0 to 4294967295"#,
            ),
            (
                r#""approved":true"#,
                r#"422 invalid_request at "/approved": unknown field `approved`, expected one of `repository`, `base`, `title`, `reason`, `changes`, `diff`, `runbook`, `tier`, `correlation_id`, `ttl_seconds`"#,
            ),
            (
                r#""runbook":{"name":"n","parameters":[]}"#,
                r#"422 invalid_request at "/runbook/parameters": invalid type: array, expected an object"#,
            ),
        ] {
            assert_eq!(with(rest), expected, "{rest}");
        }
        for (body, expected) in [
            ("{}", r#"422 invalid_request at "/repository": missing field `repository`"#),
            (
                r#"{"repository":"homelab","diff":""}"#,
                r#"422 invalid_request at "/reason": missing field `reason`"#,
            ),
            (
                r#"{"repository":"homelab","reason":null,"diff":""}"#,
                r#"422 invalid_request at "/reason": missing field `reason`"#,
            ),
            (
                r#"{"repository":"homelab","runbook":{}}"#,
                r#"422 invalid_request at "/runbook/name": missing field `name`"#,
            ),
            (
                r#"{"repository":"homelab","runbook":7}"#,
                r#"422 invalid_request at "/runbook": invalid type: integer `7`, expected an object"#,
            ),
            (
                r#"{"repository":"homelab","changes":[{"content":"x"}]}"#,
                r#"422 invalid_request at "/changes/0/path": missing field `path`"#,
            ),
            (
                r#"{"repository":"homelab","tier":7}"#,
                r#"422 invalid_request at "/tier": invalid type: integer `7`, expected a string"#,
            ),
            ("[]", r#"422 invalid_request at "": the body is not a JSON object"#),
            ("null", r#"422 invalid_request at "": the body is not a JSON object"#),
            (
                r#"{"repository":"homelab","runbook":{"name":"n"}}"#,
                r#"Runbook { name: "n", parameters: Object {} }"#,
            ),
        ] {
            assert_eq!(answer(body), expected, "{body}");
        }
        let long = answer(&format!(r#"{{"repository":"homelab","changes":"{}"}}"#, "x".repeat(100_000)));
        assert!(long.len() < 500 && long.ends_with("…, expected an array"), "{long}");
    }
}
