//! Manual tier, second half: has a human brought it, as proposed or with edits?

use std::time::Duration;

use changes::guard::CheckResult;
use changes::summary::Holds;
use domain::{Delivery, Event, Landed, Proposal, ProposalId};
use github::{Polled, PullState};
use gitworker::{CommitInfo, Manual};

use super::effects::Ran;
use crate::continuity::Ground;
use crate::{Checked, Engine, RepositorySetup};

impl Engine {
    pub(super) async fn watch_landing(&self, id: ProposalId) -> Ran {
        let proposal = match self.store().read().proposal(id).await {
            Ok(Some(proposal)) => proposal,
            Ok(None) => return Ran::Done,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let Some(setup) = self.repository(&proposal.repository) else {
            return Ran::Done;
        };
        if proposal.is_over() {
            // Withdrawn, expired or put aside: nobody shall merge it by mistake.
            return match (&setup.github, &proposal.pull) {
                (Some(github), Some(pull)) if proposal.commit.is_none() => match self.close_pull_of(github, &pull.branch).await {
                    Ok(()) => Ran::Done,
                    Err(error) => Ran::Failed(error.to_string()),
                },
                _ => Ran::Done,
            };
        }
        if proposal.delivery != Delivery::AwaitingCommit {
            return Ran::Done;
        }
        let merged = match self.poll_pull(setup, &proposal).await {
            Ok(merged) => merged,
            Err(why) => return Ran::Failed(why),
        };
        match self.ground(setup, true).await {
            Ok(Ground::At(_)) => {}
            // What a rewritten branch holds says nothing about this change before a human has looked.
            Ok(Ground::Blocked(_)) => return Ran::Again(self.now() + landing_wait(self.limits().landing_poll)),
            Err(why) => return Ran::Failed(why),
        }
        let contents = match self.store().read().contents(id, proposal.revision.number).await {
            Ok(Some(contents)) => contents,
            Ok(None) => return Ran::Done,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let found = match setup.git.landed(proposal.revision.base, &contents, &id.to_string()).await {
            Ok(found) => found,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let event = match (found, merged) {
            (Manual::AsProposed(info), _) => self.arrived(setup, &info, Landed::AsProposed),
            (Manual::WithEdits(info), _) => self.arrived(setup, &info, Landed::WithEdits),
            // Our pull request was merged, so what differs is an edit, not another way.
            (Manual::Diverged(_) | Manual::NotYet, Some(merge)) => match setup.git.describe_commit(merge).await {
                Ok(info) => self.arrived(setup, &info, Landed::WithEdits),
                Err(error) => return Ran::Failed(error.to_string()),
            },
            (Manual::Diverged(info), None) => Event::Diverged {
                commit: info.id,
                by: info.author.name.clone(),
            },
            (Manual::NotYet, None) => {
                let wait = if proposal.pull.is_some() {
                    self.limits().pull_poll
                } else {
                    self.limits().landing_poll
                };
                return Ran::Again(self.now() + landing_wait(wait));
            }
        };
        match self.happen_to(&proposal, event).await {
            Ok(Some(_)) => Ran::Done,
            // Another revision meanwhile, or an end: looked at again at once.
            Ok(None) => Ran::Again(self.now() + chrono::Duration::seconds(1)),
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    fn arrived(&self, setup: &RepositorySetup, info: &CommitInfo, landed: Landed) -> Event {
        let own = &setup.git.options().author.email;
        let machine =
            |email: &str| email.eq_ignore_ascii_case(own) || setup.machine_identities.iter().any(|known| known.eq_ignore_ascii_case(email));
        let alarm = [&info.committer, &info.author]
            .into_iter()
            .find(|person| machine(&person.email))
            .map(|person| {
                format!(
                    "commit {} of a manual change was made by a machine's identity ({})",
                    info.id.short(),
                    person.email
                )
            });
        // A squash by the host keeps our authorship and names the human as committer; then the committer is who did it.
        let alarm = alarm.filter(|_| machine(&info.committer.email));
        let by = if machine(&info.author.email) {
            &info.committer
        } else {
            &info.author
        };
        Event::Arrived {
            commit: info.id,
            landed,
            by: by.name.clone(),
            alarm,
        }
    }

    /// The merge commit of our pull request, once it is merged. Nothing changed costs GitHub nothing: the `ETag` is kept.
    async fn poll_pull(&self, setup: &RepositorySetup, proposal: &Proposal) -> Result<Option<domain::CommitId>, String> {
        let (Some(github), Some(pull)) = (&setup.github, &proposal.pull) else {
            return Ok(None);
        };
        let key = format!("pull_etag:{}", proposal.id);
        let etag = self.store().read().meta(&key).await.map_err(|error| error.to_string())?;
        match github
            .poll_pull(pull.number, etag.as_deref())
            .await
            .map_err(|error| error.to_string())?
        {
            Polled::NotModified => Ok(None),
            Polled::Changed { pull, etag } => {
                // Only while it is open: a merge that was seen must be seen again until its event is stored.
                let open = matches!(pull.state, PullState::Open);
                if let Some(etag) = etag.filter(|_: &String| open) {
                    self.store()
                        .write(move |tx| Box::pin(async move { tx.set_meta(&key, &etag).await }))
                        .await
                        .map_err(|error| error.to_string())?;
                }
                match pull.state {
                    PullState::Merged { merge_commit, .. } => Ok(merge_commit.and_then(|id| id.parse().ok())),
                    PullState::Open | PullState::Closed => Ok(None),
                }
            }
        }
    }
}

fn landing_wait(wait: Duration) -> chrono::Duration {
    chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::seconds(20))
}

/// The pull request's text: our facts first, the agent's words fenced below them.
pub(super) fn pull_body(proposal: &Proposal, checked: Option<&Checked>) -> String {
    let fence = "~".repeat(longest_run(&proposal.reason, '~').max(3) + 1);
    let replay: String = proposal.revision.replay.iter().map(|said| format!("- {said}\n")).collect();
    let replay = match replay.as_str() {
        "" => replay,
        _ => format!("\nWhat this policy would have meant:\n{replay}"),
    };
    let files: Vec<_> = proposal.revision.facts.paths.iter().map(|path| format!("- `{path}`")).collect();
    let (asks, says) = match &proposal.requested_by {
        Some(person) => (
            format!("| Asked by | {} |\n", person.name.replace(['|', '\n'], " ")),
            "Countersign says",
        ),
        None => (String::new(), "The agent says"),
    };
    format!(
        "Prepared by Countersign; a human merges.\n\n\
         | | |\n|---|---|\n| Proposal | `{}` |\n{asks}| Agent | `{}` |\n| Tier | {}: {} |\n| Digest | `{}` |\n| Policy | `{}` |\n\n\
         Files:\n{}\n{replay}\n{}{says}:\n{fence}text\n{}\n{fence}\n\nProposal-Id: {}\n",
        proposal.id,
        proposal.agent,
        proposal.tier(),
        proposal.revision.route.why,
        proposal.revision.digest,
        proposal.revision.route.policy,
        files.join("\n"),
        checked.map(checks_in_words).unwrap_or_default(),
        proposal.reason,
        proposal.id,
    )
}

/// What the service's own checks say. Names in it are foreign: a block that they cannot end shows them as they are.
fn checks_in_words(checked: &Checked) -> String {
    let mut lines: Vec<String> = checked.summary.lines.iter().map(|line| line.text.clone()).collect();
    lines.extend((checked.summary.more > 0).then(|| format!("… and {} more", checked.summary.more)));
    lines.push(String::new());
    for check in checked.checks.iter().filter(|check| check.result != CheckResult::Skipped) {
        let mark = if check.result == CheckResult::Passed { "ok" } else { "LOOK" };
        lines.push(format!("[{mark}] {}: {}", check.label, check.words));
    }
    for fact in &checked.checklist {
        let mark = match fact.holds {
            Holds::Yes => "ok",
            Holds::No => "LOOK",
            Holds::Unknown => "?",
        };
        lines.push(format!("[{mark}] {}", fact.words));
    }
    for finding in &checked.findings {
        lines.push(format!(
            "{} ({}): {}",
            crate::usecases::place(finding),
            finding.effect,
            finding.message
        ));
    }
    let text = lines.join("\n");
    let fence = "~".repeat(longest_run(&text, '~').max(3) + 1);
    format!("Checked by Countersign:\n{fence}text\n{text}\n{fence}\n\n")
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
