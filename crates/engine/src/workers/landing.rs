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
        if proposal.is_over() || proposal.commit.is_some() {
            return self.leave_pull(setup, &proposal).await;
        }
        if proposal.delivery != Delivery::AwaitingCommit {
            return Ran::Done;
        }
        // The branch decides what has landed: it is looked at whether or not GitHub answers.
        let (seen, silent) = match self.poll_pull(setup, &proposal, false).await {
            Ok(seen) => (seen, None),
            Err(why) => (None, Some(why)),
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
        let wait = if proposal.pull.is_some() {
            self.limits().pull_poll
        } else {
            self.limits().landing_poll
        };
        let event = match self.found_landed(setup, &proposal, found, seen, silent.is_some()).await {
            Ok(event) => event,
            Err(why) => return Ran::Failed(why),
        };
        if let (None, Some(why)) = (&event, silent) {
            return Ran::Failed(why);
        }
        let Some(event) = event else {
            return Ran::Again(self.now() + landing_wait(wait));
        };
        let waits_on = matches!(event, Event::PullSeen { .. } | Event::Undone { .. });
        match self.happen_to(&proposal, event).await {
            // A pull request that was not merged is closed at the next look: GitHub has that long to notice a merge.
            Ok(Some(_)) if waits_on || proposal.pull.is_some() => Ran::Again(self.now() + landing_wait(wait)),
            Ok(Some(_)) => Ran::Done,
            // Another revision meanwhile, or an end: looked at again at once. What is known already comes at the usual pace.
            Ok(None) if waits_on => Ran::Again(self.now() + landing_wait(wait)),
            Ok(None) => Ran::Again(self.now() + chrono::Duration::seconds(1)),
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    /// What branch and pull request together say; `None` when nothing is new. `silent`: GitHub does not answer, so who merged stays unknown.
    async fn found_landed(
        &self,
        setup: &RepositorySetup,
        proposal: &Proposal,
        found: Manual,
        seen: Option<PullState>,
        silent: bool,
    ) -> Result<Option<Event>, String> {
        let here = matches!(found, Manual::AsProposed(_) | Manual::WithEdits(_));
        let seen = match seen {
            // Merged between the two looks: who merged is asked for once more.
            Some(PullState::Open | PullState::Closed) | None if here && !silent => self.poll_pull(setup, proposal, true).await?,
            seen => seen,
        };
        let closed = match seen {
            Some(PullState::Open) => Some(false),
            Some(PullState::Closed) => Some(true),
            Some(PullState::Merged { .. }) | None => None,
        };
        let merge = match seen {
            Some(PullState::Merged {
                merge_commit, merged_by, ..
            }) => merge_commit
                .and_then(|id| id.parse::<domain::CommitId>().ok())
                .map(|id| (id, merged_by)),
            _ => None,
        };
        let arrived = |info: &CommitInfo, landed| {
            let merged_by = merge.as_ref().filter(|(id, _)| *id == info.id).and_then(|(_, by)| by.clone());
            Some(self.arrived(setup, info, landed, merged_by))
        };
        Ok(match (found, &merge) {
            (Manual::AsProposed(info), _) => arrived(&info, Landed::AsProposed),
            (Manual::WithEdits(info), _) => arrived(&info, Landed::WithEdits),
            (Manual::Undone { brought, undone }, _) => {
                let name = |info: &CommitInfo| match &merge {
                    Some((id, Some(by))) if *id == info.id => by.clone(),
                    Some(_) | None => info.author.name.clone(),
                };
                let event = Event::Undone {
                    commit: brought.id,
                    by: name(&brought),
                    undone: undone.id,
                    undone_by: name(&undone),
                };
                closed_anew(proposal, closed).or(Some(event))
            }
            // Our pull request was merged, so what differs is an edit, not another way.
            (Manual::Diverged(_) | Manual::NotYet, Some((merge, _))) => {
                let info = setup.git.describe_commit(*merge).await.map_err(|error| error.to_string())?;
                arrived(&info, Landed::WithEdits)
            }
            (Manual::Diverged(info), None) => Some(Event::Diverged {
                commit: info.id,
                by: info.author.name.clone(),
            }),
            (Manual::NotYet, None) => closed_anew(proposal, closed),
        })
    }

    /// Closes the pull request of what is over, or came another way: nobody shall merge it by mistake.
    async fn leave_pull(&self, setup: &RepositorySetup, proposal: &Proposal) -> Ran {
        let (Some(github), Some(pull)) = (&setup.github, &proposal.pull) else {
            return Ran::Done;
        };
        match self.close_pull_of(github, &pull.branch, &left_because(proposal)).await {
            Ok(()) => Ran::Done,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    fn arrived(&self, setup: &RepositorySetup, info: &CommitInfo, landed: Landed, merged_by: Option<String>) -> Event {
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
            // A host that squashes or merges commits in its own name; it knows who pressed the button.
            by: merged_by.unwrap_or_else(|| by.name.clone()),
            alarm,
        }
    }

    /// Where our pull request stands; `None` when there is none, or nothing is new. Nothing new costs GitHub nothing: the `ETag` is kept,
    /// and left out when the answer must come `whole`.
    async fn poll_pull(&self, setup: &RepositorySetup, proposal: &Proposal, whole: bool) -> Result<Option<PullState>, String> {
        let (Some(github), Some(pull)) = (&setup.github, &proposal.pull) else {
            return Ok(None);
        };
        let key = format!("pull_etag:{}", proposal.id);
        let stored = self.store().read().meta(&key).await.map_err(|error| error.to_string())?;
        let known = pull.closed;
        match github
            .poll_pull(pull.number, stored.as_deref().filter(|etag| !whole && !etag.is_empty()))
            .await
            .map_err(|error| error.to_string())?
        {
            Polled::NotModified => Ok(None),
            Polled::Changed { pull, etag } => {
                // Only while it is as the proposal has it: what was seen must be seen again until its event is stored. An older one is
                // forgotten then: closed and opened within a second, a pull request is what it was.
                let as_known = match pull.state {
                    PullState::Open => !known,
                    PullState::Closed => known,
                    PullState::Merged { .. } => false,
                };
                let keep = etag.filter(|_: &String| as_known).unwrap_or_default();
                if stored.as_deref().unwrap_or_default() != keep {
                    self.store()
                        .write(move |tx| Box::pin(async move { tx.set_meta(&key, &keep).await }))
                        .await
                        .map_err(|error| error.to_string())?;
                }
                Ok(Some(pull.state))
            }
        }
    }
}

/// The pull request was closed, or is open again, and nobody was told yet.
fn closed_anew(proposal: &Proposal, closed: Option<bool>) -> Option<Event> {
    let known = proposal.pull.as_ref()?.closed;
    closed.filter(|closed| *closed != known).map(|closed| Event::PullSeen { closed })
}

/// Why a pull request is closed without a merge, for whoever finds it so.
fn left_because(proposal: &Proposal) -> String {
    let why = match (proposal.commit, proposal.outcome) {
        (Some(commit), _) => format!(
            "The change reached {} with commit {commit}, without this pull request.",
            proposal.branch
        ),
        (None, Some(outcome)) => format!("Its proposal has ended: {outcome}."),
        (None, None) => "Its proposal has ended.".to_owned(),
    };
    let who = proposal.ended_by.as_ref().and_then(|ending| ending.reason.clone());
    let said: Vec<String> = proposal.note.iter().cloned().chain(who).collect();
    match said.is_empty() {
        true => why,
        false => format!("{why}\n\n{}", fenced(&said.join("\n"))),
    }
}

fn landing_wait(wait: Duration) -> chrono::Duration {
    chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::seconds(20))
}

/// The pull request's text: our facts first, the agent's words fenced below them.
pub(super) fn pull_body(proposal: &Proposal, checked: Option<&Checked>) -> String {
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
         Files:\n{}\n{replay}\n{}{says}:\n{}\n\nProposal-Id: {}\n",
        proposal.id,
        proposal.agent,
        proposal.tier(),
        proposal.revision.route.why,
        proposal.revision.digest,
        proposal.revision.route.policy,
        files.join("\n"),
        checked.map(checks_in_words).unwrap_or_default(),
        fenced(&proposal.reason),
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
            crate::Found::from(finding.clone()).at(),
            finding.effect,
            finding.message
        ));
    }
    format!("Checked by Countersign:\n{}\n\n", fenced(&lines.join("\n")))
}

/// Foreign words in a block that they cannot end, with what they hide made visible.
fn fenced(text: &str) -> String {
    let text = &domain::revealed(text);
    let fence = "~".repeat(longest_run(text, '~').max(3) + 1);
    format!("{fence}text\n{text}\n{fence}")
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
