//! A commit that no runbook explains: people are told, yet one agent cannot make their phones ring without end. A refused report counts
//! against the agent's hour as a proposal does; a commit is told about once, and an agent's reports are told about a few times an hour.
//! What is left out is counted in the next message, and every report keeps its audit row.

use domain::{AgentName, CommitId, Effect, Timestamp};
use serde_json::json;
use store::{Actor, Audit, RefusedReports};

use super::propose::check_hour;
use crate::workers::addressed;
use crate::{Agent, Engine, Problem, RepositorySetup};

/// Messages about one agent's refused reports in an hour: enough to be heard, too few to wear people out.
const MESSAGES_PER_HOUR: usize = 3;

impl Engine {
    /// Stores that a report was refused, and owes the alarm unless people have heard enough of it; the answer for the agent.
    pub(super) async fn unexplained(
        &self,
        setup: &RepositorySetup,
        agent: &Agent,
        commit: CommitId,
        runbook: &str,
        why: String,
        (status, code): (u16, &'static str),
    ) -> Problem {
        let runbook: String = runbook.chars().take(80).collect();
        let text = format!("{} reported commit {} as a run of {runbook}, but {why}", agent.name, commit.short());
        match self.refused_report(setup, &agent.name, commit, text.clone()).await {
            Ok(()) => Problem::new(
                status,
                code,
                text,
                "people have been told; push only what a runbook renders, and only where it is standard: propose a run and look at its tier",
            )
            .at("/commit"),
            Err(problem) => problem,
        }
    }

    async fn refused_report(&self, setup: &RepositorySetup, agent: &AgentName, commit: CommitId, text: String) -> Result<(), Problem> {
        let (now, limit) = (self.now(), self.limits().hourly_per_agent);
        let (repository, agent) = (setup.name.clone(), agent.clone());
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let hour_ago = now - chrono::Duration::hours(1);
                    check_hour(tx.count_created_since(&agent, hour_ago).await?, limit)?;
                    let mut reports = tx.refused_reports(&agent, hour_ago).await?;
                    let said = note(&mut reports, commit, now);
                    tx.put_refused_reports(&agent, &reports).await?;
                    tracing::error!(%repository, told = said.is_some(), "{text}");
                    tx.audit(Audit {
                        proposal: None,
                        actor: Actor::Agent(agent),
                        event: if said.is_some() { "alarm" } else { "observation_refused" }.to_owned(),
                        summary: text.clone(),
                        details: json!({ "repository": repository, "commit": commit }),
                        at: now,
                    })
                    .await?;
                    if let Some(more) = said {
                        let text = addressed(&repository, &format!("{text}{more}"));
                        tx.schedule(None, &Effect::Alarm { text }, now).await?;
                    }
                    Ok::<_, Problem>(())
                })
            })
            .await
    }
}

/// Counts one more refused report. What the message about it says at its end; `None` when there is none.
fn note(reports: &mut RefusedReports, commit: CommitId, now: Timestamp) -> Option<String> {
    reports.refused.push(now);
    if reports.told.len() >= MESSAGES_PER_HOUR || reports.told.iter().any(|&(_, told)| told == commit) {
        reports.untold += 1;
        return None;
    }
    reports.told.push((now, commit));
    let before = match std::mem::take(&mut reports.untold) {
        0 => String::new(),
        1 => ". One more of its reports was refused since the last message".to_owned(),
        more => format!(". {more} more of its reports were refused since the last message"),
    };
    let last = reports.told.len() == MESSAGES_PER_HOUR;
    let after = ". Further ones are only counted for up to an hour: they are in the audit log";
    Some(before + if last { after } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_about_once_and_an_agent_three_times() {
        let now = Timestamp::UNIX_EPOCH;
        let commit = |n: usize| format!("{n:040x}").parse::<CommitId>().unwrap();
        let mut reports = RefusedReports::default();
        let mut say = |n| note(&mut reports, commit(n), now);
        assert_eq!(say(1).as_deref(), Some(""));
        assert_eq!((say(1), say(1)), (None, None));
        assert_eq!(
            say(2).as_deref(),
            Some(". 2 more of its reports were refused since the last message")
        );
        assert_eq!(
            say(3).as_deref(),
            Some(". Further ones are only counted for up to an hour: they are in the audit log")
        );
        assert!((4..40).all(|n| say(n).is_none()));
        assert_eq!((reports.refused.len(), reports.told.len(), reports.untold), (41, 3, 36));
        // Read again an hour later, only the count is left.
        (reports.refused, reports.told) = (Vec::new(), Vec::new());
        assert_eq!(
            note(&mut reports, commit(5), now).as_deref(),
            Some(". 36 more of its reports were refused since the last message")
        );
    }
}
