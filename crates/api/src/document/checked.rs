//! What the service's own checks say of a change, in the words of the API.

use changes::guard::{Check, Finding};
use changes::summary::{Fact, Line, ObjectRef, RiskReason};
use engine::{Checked, Found, Place};
use serde::Serialize;
use utoipa::ToSchema;

/// Something that a guard rail found. It says where, never what stands there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FindingDocument {
    /// The rule's stable id.
    #[schema(example = "structure.secret")]
    pub rule: String,
    /// The file; null for what was found in the request's own words.
    pub path: Option<String>,
    /// The line, counted from 1; null when it is about the whole file.
    pub line: Option<usize>,
    /// For the request's own words: where they stand in its body, a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/title")]
    pub pointer: Option<String>,
    /// What it means: `refuse`, at least this tier (`manual`, `prompted`), or `remark`.
    #[schema(example = "refuse")]
    pub effect: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// How one check went.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckDocument {
    /// `files`, `secrets`, `text`, `yaml`, `kubernetes` or `rego`.
    #[schema(example = "secrets")]
    pub name: String,
    /// `passed`, `failed` or `skipped`.
    #[schema(value_type = String, example = "passed")]
    pub result: changes::guard::CheckResult,
    /// In a few words.
    pub words: String,
}

/// One answered question of the operator's checklist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FactDocument {
    /// `in_code`, `in_git`, `right_tool`, `no_way_around`, `no_secret` or `approval`.
    #[schema(example = "right_tool")]
    pub name: String,
    /// `yes`, `no` or `unknown`.
    #[schema(value_type = String, example = "yes")]
    pub holds: changes::summary::Holds,
    /// The answer in words.
    pub words: String,
}

/// What a change does, as the service reads it, worst first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SummaryDocument {
    /// In a few words.
    #[schema(example = "scale web to 5")]
    pub verb: String,
    /// `low`, `medium`, `high` or `critical`: that of the worst line.
    #[schema(value_type = String, example = "low")]
    pub risk: domain::Risk,
    /// The rules of weight medium and above that spoke, worst first.
    pub reasons: Vec<ReasonDocument>,
    /// Worst first.
    pub lines: Vec<LineDocument>,
    /// Lines that were left out.
    pub more: usize,
    /// Namespaces that the touched objects name.
    pub namespaces: Vec<String>,
    /// Argo CD applications that it touches; null when Argo CD could not tell.
    pub applications: Option<Vec<String>>,
    /// Kubernetes objects that it touches.
    pub objects: Vec<ObjectDocument>,
}

/// Why the risk is what it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReasonDocument {
    /// The rule's stable id.
    #[schema(example = "scaled-to-zero")]
    pub rule: String,
    /// `critical`, `high` or `medium`.
    #[schema(value_type = String)]
    pub severity: changes::summary::Severity,
    /// What the rule means.
    pub words: String,
    /// How often it spoke.
    pub times: usize,
}

/// One thing that a change does.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LineDocument {
    /// `critical`, `high`, `medium`, `low` or `info`.
    #[schema(value_type = String)]
    pub severity: changes::summary::Severity,
    /// The rule that it comes from.
    pub rule: String,
    /// In words.
    pub text: String,
    /// The file.
    pub path: String,
}

/// A Kubernetes object that a change touches.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ObjectDocument {
    /// Such as `Deployment`.
    pub kind: String,
    /// As written in the manifest.
    pub namespace: Option<String>,
    /// As written in the manifest.
    pub name: String,
    /// `added`, `removed`, `changed` or `moved`.
    #[schema(value_type = String)]
    pub action: changes::summary::Action,
}

/// Everything that the checks say, part by part; what an answer shows of it stands in its own fields.
#[derive(Debug, Clone)]
pub(super) struct CheckedParts {
    pub checks: Vec<CheckDocument>,
    pub findings: Vec<FindingDocument>,
    pub summary: SummaryDocument,
    pub checklist: Vec<FactDocument>,
}

impl From<&Checked> for CheckedParts {
    fn from(checked: &Checked) -> Self {
        let summary = &checked.summary;
        Self {
            checks: checked.checks.iter().map(CheckDocument::from).collect(),
            findings: checked.findings.iter().map(FindingDocument::from).collect(),
            summary: SummaryDocument {
                verb: summary.verb.clone(),
                risk: summary.risk,
                reasons: summary.reasons.iter().map(ReasonDocument::from).collect(),
                lines: summary.lines.iter().map(LineDocument::from).collect(),
                more: summary.more,
                namespaces: summary.namespaces.iter().cloned().collect(),
                applications: summary.applications.clone(),
                objects: summary.objects.iter().map(ObjectDocument::from).collect(),
            },
            checklist: checked.checklist.iter().map(FactDocument::from).collect(),
        }
    }
}

impl From<&Finding> for FindingDocument {
    fn from(finding: &Finding) -> Self {
        Self::from(&Found::from(finding.clone()))
    }
}

impl From<&Found> for FindingDocument {
    fn from(finding: &Found) -> Self {
        let (path, line, pointer) = match &finding.place {
            Place::File { path, line } => (Some(path.to_string()), *line, None),
            Place::Words(pointer) => (None, None, Some(pointer.clone())),
        };
        Self {
            rule: finding.rule.clone(),
            path,
            line,
            pointer,
            effect: finding.effect.to_string(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }
}

impl From<&Check> for CheckDocument {
    fn from(check: &Check) -> Self {
        Self {
            name: check.name.clone(),
            result: check.result,
            words: check.words.clone(),
        }
    }
}

impl From<&Fact> for FactDocument {
    fn from(fact: &Fact) -> Self {
        Self {
            name: fact.name.clone(),
            holds: fact.holds,
            words: fact.words.clone(),
        }
    }
}

impl From<&RiskReason> for ReasonDocument {
    fn from(reason: &RiskReason) -> Self {
        Self {
            rule: reason.rule.clone(),
            severity: reason.severity,
            words: reason.words.clone(),
            times: reason.times,
        }
    }
}

impl From<&Line> for LineDocument {
    fn from(line: &Line) -> Self {
        Self {
            severity: line.severity,
            rule: line.rule.clone(),
            text: line.text.clone(),
            path: line.path.to_string(),
        }
    }
}

impl From<&ObjectRef> for ObjectDocument {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            action: object.action,
        }
    }
}
