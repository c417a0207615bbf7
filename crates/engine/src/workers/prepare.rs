//! Manual tier, first half: the service prepares, a human commits.

use domain::{Delivery, Event, Proposal, ProposalId, PullRequest};
use gitworker::{PushOutcome, Rebase};
use std::time::Duration;

use super::effects::Ran;
use crate::Engine;

/// When something stopped is looked at again, should the end of the stop have gone unnoticed.
const STOPPED: chrono::Duration = chrono::Duration::seconds(15);

impl Engine {
    /// Opens the pull request where the host has them; otherwise the note itself carries patch and commands.
    pub(super) async fn prepare(&self, id: ProposalId) -> Ran {
        let proposal = match self.store().read().proposal(id).await {
            Ok(Some(proposal)) => proposal,
            Ok(None) => return Ran::Done,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        if proposal.is_over() || proposal.delivery != Delivery::None {
            return Ran::Done;
        }
        let Some(setup) = self.repository(&proposal.repository) else {
            return Ran::Failed(format!("repository {} is no longer configured", proposal.repository));
        };
        let Some(github) = &setup.github else {
            return self.prepared(&proposal, None).await;
        };
        if !self.stops_over(&proposal).is_empty() {
            // Nobody shall find a pull request to merge, and yet people hear of the change: its note asks them to wait. The end of the stop comes
            // back here at once.
            return match self.send_cards(id).await {
                Ran::Done => Ran::Again(self.now() + STOPPED),
                other => other,
            };
        }
        let contents = match self.store().read().contents(id, proposal.revision.number).await {
            Ok(Some(contents)) => contents,
            Ok(None) => return Ran::Done,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let tip = match setup.git.refresh(Duration::ZERO).await {
            Ok(tip) => tip.commit,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let parent = match setup.git.rebase(proposal.revision.base, tip, &contents).await {
            Ok(Rebase::Untouched) => tip,
            // The pull request shows both sides; the human resolves. It is built where the agent saw it.
            Ok(Rebase::Merged(_) | Rebase::Conflict { .. }) => proposal.revision.base,
            Ok(Rebase::AlreadyThere) => return self.prepared(&proposal, None).await,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let built = match setup.git.build(parent, &[self.spec(&proposal, contents)]).await {
            Ok(built) => built,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let branch = proposal.head_branch();
        match setup.git.push_branch(&branch, &built, None).await {
            PushOutcome::Confirmed => {}
            // There already, from an earlier try: the pull request is looked up by its head.
            PushOutcome::Moved { tip: Some(_) } => {}
            PushOutcome::Moved { tip: None } => return Ran::Failed(format!("branch {branch} could not be made")),
            PushOutcome::Refused { message } => return Ran::Failed(format!("branch {branch} was refused: {message}")),
            PushOutcome::NotSent { why } | PushOutcome::Unknown { why } => return Ran::Failed(why),
        }
        self.crash("prepare:branch");
        let checked = match self.checked(&proposal).await {
            Ok(checked) => checked,
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let body = super::landing::pull_body(&proposal, checked.as_ref());
        let new = github::NewPull {
            head: branch.clone(),
            base: setup.branch().to_owned(),
            title: domain::revealed(&proposal.title),
            body,
        };
        match github.open_pull(&new).await {
            Ok(pull) => {
                self.crash("prepare:pull");
                for earlier in 1..proposal.revision.number {
                    let why = format!("A later revision took its place: #{}.", pull.number);
                    if let Err(error) = self.close_pull_of(github, &proposal.head_branch_of(earlier), &why).await {
                        return Ran::Failed(error.to_string());
                    }
                }
                self.prepared(
                    &proposal,
                    Some(PullRequest {
                        number: pull.number,
                        url: pull.html_url,
                        branch,
                        closed: false,
                    }),
                )
                .await
            }
            Err(error) => Ran::Failed(error.to_string()),
        }
    }

    /// Closes the pull request of a branch, if it is open, and says below it why.
    pub(super) async fn close_pull_of(&self, github: &github::GitHub, branch: &str, why: &str) -> Result<(), github::Error> {
        match github.find_pull(branch).await? {
            Some(pull) if matches!(pull.state, github::PullState::Open) => {
                // First the words: a lost answer may say them twice, the other way round they could be lost.
                github.comment(pull.number, &format!("Closed by Countersign. {why}")).await?;
                github.close_pull(pull.number).await.map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A newer revision meanwhile owes a preparation of its own.
    async fn prepared(&self, proposal: &Proposal, pull: Option<PullRequest>) -> Ran {
        match self.happen_to(proposal, Event::Prepared { pull }).await {
            Ok(_) => Ran::Done,
            Err(error) => Ran::Failed(error.to_string()),
        }
    }
}
