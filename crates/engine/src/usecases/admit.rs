//! What the guard rails do not let in. Nothing of a refused change is kept but an audit row: who asked, which rules spoke, and where. It
//! counts against the agent's hour, so that nobody can fill the log by asking again and again.

use changes::guard::Finding;
use domain::RepositoryName;
use serde_json::json;
use store::{Actor, Audit};

use super::propose::check_hour;
use crate::intake::Resolved;
use crate::{Agent, Content, Engine, Problem};

/// Findings that an audit row names.
const TOLD_MAX: usize = 20;

impl Engine {
    /// Lets a resolved change in, or says what refuses it.
    ///
    /// # Errors
    /// 422 `guard_refused` with the findings.
    pub(super) async fn admit(
        &self,
        agent: &Agent,
        resolved: &Resolved,
        content: &Content,
        correlation: Option<&str>,
    ) -> Result<(), Problem> {
        self.admit_words(agent, resolved, correlation).await?;
        let findings: Vec<Finding> = resolved.checked.refusals().cloned().collect();
        let Some(first) = findings.first() else { return Ok(()) };
        let pointer = pointer(content, first);
        let (summary, details) = told(&resolved.repository, &findings);
        self.note_refused(agent, summary, details).await?;
        Err(refusal(findings).at(pointer))
    }

    /// Title and reason go to the chats and into the commit; the caller's own reference is kept beside them.
    async fn admit_words(&self, agent: &Agent, resolved: &Resolved, correlation: Option<&str>) -> Result<(), Problem> {
        let guards = self.book().guards().clone();
        let words = [
            ("title", resolved.title.as_str()),
            ("reason", resolved.reason.as_str()),
            ("correlation_id", correlation.unwrap_or_default()),
        ];
        for (name, text) in words {
            let Some(rule) = guards.secret_in(text) else { continue };
            let summary = format!("the guard rails refused a change: {rule} in its {name}");
            let details = json!({ "repository": resolved.repository, "rule": rule, "in": name });
            self.note_refused(agent, summary, details).await?;
            let detail = format!("the {name} holds what looks like a secret ({rule})");
            let hint = "leave it out: title and reason are shown to people and stand in the commit, and the correlation id is kept; a real value that was sent here is no secret any more: replace it";
            return Err(Problem::new(422, "guard_refused", detail, hint).at(format!("/{name}")));
        }
        Ok(())
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
fn told(repository: &RepositoryName, findings: &[Finding]) -> (String, serde_json::Value) {
    let named = findings.iter().take(TOLD_MAX);
    let one = |finding: &Finding| json!({ "rule": finding.rule, "path": finding.path, "line": finding.line });
    let details = json!({ "repository": repository, "findings": named.clone().map(one).collect::<Vec<_>>() });
    let places: Vec<_> = named.map(place).collect();
    (format!("the guard rails refused a change: {}", places.join(", ")), details)
}

/// The answer for the agent: what it sends next time instead.
pub(super) fn refusal(findings: Vec<Finding>) -> Problem {
    let detail = match findings.as_slice() {
        [] => "the guard rails refuse this change".to_owned(),
        [only] => format!("the guard rails refuse this change: {}: {}", place(only), only.message),
        [first, rest @ ..] => format!(
            "the guard rails refuse this change: {}: {}; and {}",
            place(first),
            first.message,
            domain::counted(rest.len(), "further finding", "further findings")
        ),
    };
    let hint = findings.first().map_or_else(String::new, |first| first.hint.clone());
    let mut problem = Problem::new(422, "guard_refused", detail, hint);
    problem.findings = findings.into();
    problem
}

/// Rule and place, such as `structure.secret in apps/web/secret.yaml:5`.
pub(crate) fn place(finding: &Finding) -> String {
    let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
    format!("{} in {}{line}", finding.rule, finding.path)
}

/// Where in the body the file stands that was found.
fn pointer(content: &Content, finding: &Finding) -> String {
    match content {
        Content::Files(files) => match files.iter().position(|file| file.path == finding.path.as_str()) {
            Some(index) => format!("/changes/{index}/content"),
            None => "/changes".to_owned(),
        },
        Content::Diff(_) => "/diff".to_owned(),
        Content::Runbook { .. } => "/runbook".to_owned(),
    }
}
