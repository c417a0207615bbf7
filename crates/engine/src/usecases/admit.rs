//! What the guard rails do not let in. Nothing of a refused change is kept but an audit row: who asked, which rules spoke, and where. It
//! counts against the agent's hour, so that nobody can fill the log by asking again and again.

use changes::guard::Effect;
use domain::RepositoryName;
use serde_json::json;
use store::{Actor, Audit};

use super::propose::check_hour;
use crate::intake::{Resolved, check_reason};
use crate::{Agent, Content, Engine, Found, Place, Problem, ProposalRequest};

/// Where a runbook's words come from.
const RENDERED: &str = "/runbook/parameters";
/// Findings that an audit row names.
const TOLD_MAX: usize = 20;

impl Engine {
    /// Lets a resolved change in, or says what refuses it.
    ///
    /// # Errors
    /// 422 `guard_refused` with the findings.
    pub(super) async fn admit(&self, agent: &Agent, resolved: &Resolved, request: &ProposalRequest) -> Result<(), Problem> {
        let words = self.found_in_words(resolved, request);
        let files = resolved.checked.refusals().cloned().map(Found::from);
        let findings: Vec<Found> = words.into_iter().chain(files).collect();
        let Some(first) = findings.first() else { return Ok(()) };
        let pointer = pointer(&request.content, first);
        let (summary, details) = told("change", &resolved.repository, &findings);
        self.note_refused(agent, summary, details).await?;
        Err(refusal("change", findings).at(pointer))
    }

    /// Secrets in title and reason, which go to the chats and into the commit, and in the caller's own reference, which is kept beside them.
    pub(super) fn found_in_words(&self, resolved: &Resolved, request: &ProposalRequest) -> Vec<Found> {
        // What the caller did not write, the runbook made of the parameters.
        let place = |own: &'static str, given: &str| match &request.content {
            Content::Runbook { .. } if given.trim().is_empty() => RENDERED,
            _ => own,
        };
        let correlation = request.correlation.as_deref().unwrap_or_default();
        let words = [
            ("title", resolved.title.as_str(), place("/title", &request.title)),
            ("reason", resolved.reason.as_str(), place("/reason", &request.reason)),
            ("correlation_id", correlation, "/correlation_id"),
        ];
        words
            .into_iter()
            .filter_map(|(name, text, pointer)| self.found_in(name, text, pointer))
            .collect()
    }

    /// The reason of a call that changes no files by itself, such as a withdrawal.
    ///
    /// # Errors
    /// 422 `invalid_reason` when it is too long, `guard_refused` when it holds a secret.
    pub(super) async fn admit_reason(
        &self,
        agent: &Agent,
        repository: &RepositoryName,
        reason: Option<&str>,
        characters: usize,
    ) -> Result<(), Problem> {
        check_reason(reason.unwrap_or_default(), characters)?;
        let Some(found) = self.found_in("reason", reason.unwrap_or_default(), "/reason") else {
            return Ok(());
        };
        let findings = vec![found];
        let (summary, details) = told("call", repository, &findings);
        self.note_refused(agent, summary, details).await?;
        Err(refusal("call", findings).at("/reason"))
    }

    /// A secret in words that go to people. `pointer`: the part of the request that they stand in, or were made of.
    pub(super) fn found_in(&self, name: &str, text: &str, pointer: &'static str) -> Option<Found> {
        let rule = self.book().guards().secret_in(text)?;
        let rendered = pointer.ends_with("/parameters");
        let by = if rendered {
            ", which the runbook makes of its parameters,"
        } else {
            ""
        };
        Some(Found {
            rule,
            place: Place::Words(pointer.to_owned()),
            effect: Effect::Refuse,
            message: format!("the {name}{by} holds what looks like a secret"),
            hint: "leave it out: title and reason are shown to people and stand in the commit, and the correlation id is kept; a real value that was sent here is no secret any more: replace it".to_owned(),
        })
    }

    async fn note_refused(&self, agent: &Agent, summary: String, details: serde_json::Value) -> Result<(), Problem> {
        let (now, limit) = (self.now(), self.limits().hourly_per_agent);
        let agent = agent.name.clone();
        tracing::warn!(%agent, "{summary}");
        metrics::counter!("countersign_guard_refusals_total").increment(1);
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let hour_ago = now - chrono::Duration::hours(1);
                    check_hour(tx.count_created_since(&agent, hour_ago).await?, limit)?;
                    let mut reports = tx.refused_reports(&agent, hour_ago).await?;
                    reports.refused.push(now);
                    tx.put_refused_reports(&agent, &reports).await?;
                    tx.audit(Audit {
                        proposal: None,
                        actor: Actor::Agent(agent),
                        event: "guard_refused".to_owned(),
                        summary,
                        details,
                        at: now,
                    })
                    .await?;
                    Ok::<_, Problem>(())
                })
            })
            .await
    }
}

/// What the audit row says: rules and places, never values.
fn told(what: &str, repository: &RepositoryName, findings: &[Found]) -> (String, serde_json::Value) {
    let named = findings.iter().take(TOLD_MAX);
    let one = |found: &Found| match &found.place {
        Place::File { path, line } => json!({ "rule": found.rule, "path": path, "line": line }),
        Place::Words(pointer) => json!({ "rule": found.rule, "pointer": pointer }),
    };
    let details = json!({ "repository": repository, "findings": named.clone().map(one).collect::<Vec<_>>() });
    let places: Vec<_> = named.map(Found::at).collect();
    (format!("the guard rails refused a {what}: {}", places.join(", ")), details)
}

/// The answer for the agent: what it sends next time instead.
fn refusal(what: &str, findings: Vec<Found>) -> Problem {
    let detail = match findings.as_slice() {
        [] => format!("the guard rails refuse this {what}"),
        [only] => format!("the guard rails refuse this {what}: {}: {}", only.at(), only.message),
        [first, rest @ ..] => format!(
            "the guard rails refuse this {what}: {}: {}; and {}",
            first.at(),
            first.message,
            domain::counted(rest.len(), "further finding", "further findings")
        ),
    };
    let hint = findings.first().map_or_else(String::new, |first| first.hint.clone());
    let mut problem = Problem::new(422, "guard_refused", detail, hint);
    problem.findings = findings.into();
    problem
}

/// Where in the body that stands which was found.
fn pointer(content: &Content, found: &Found) -> String {
    let path = match &found.place {
        Place::Words(pointer) => return pointer.clone(),
        Place::File { path, .. } => path,
    };
    match content {
        Content::Files(files) => match files.iter().position(|file| file.path == path.as_str()) {
            Some(index) => format!("/changes/{index}/content"),
            None => "/changes".to_owned(),
        },
        Content::Diff(_) => "/diff".to_owned(),
        Content::Runbook { .. } => "/runbook".to_owned(),
    }
}
