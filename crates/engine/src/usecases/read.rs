//! Reading and waiting.

use std::time::Duration;

use chrono::SubsecRound as _;
use domain::{Decision, Delivery, Proposal, ProposalId};
use store::{Cursor, ListFilter};

use crate::{Agent, Approvers, ArgocdHealth, Engine, Health, Listing, Problem, Until};

/// Longest wait of a reading call: below every common proxy's idle limit.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Engine {
    /// One proposal of an agent.
    ///
    /// # Errors
    /// 404 when there is none, or when it belongs to another agent.
    pub async fn proposal(&self, agent: &Agent, id: ProposalId) -> Result<Proposal, Problem> {
        let found = self.store().read().proposal(id).await?;
        found
            .filter(|proposal| proposal.agent == agent.name)
            .ok_or_else(|| Problem::not_found("proposal"))
    }

    /// What an agent reads as the note instead of the stored one: what a change waits for (stops, freezes, a branch or a remote that is not as
    /// it should be) is told, never stored, so the version stays what it is. `None`: the stored note says it all.
    pub fn told_note(&self, proposal: &Proposal) -> Option<String> {
        if proposal.is_over() {
            return None;
        }
        if let Some(instead) = self.after_rewrite(proposal) {
            return Some(instead);
        }
        let held = match proposal.delivery {
            Delivery::Queued => self.may_send(proposal).err().map(|holds| domain::said(&holds)),
            Delivery::None | Delivery::AwaitingCommit => {
                let stops = self.stops_over(proposal).into_iter().map(|stop| stop.why());
                let freezes = self.freezes_ahead_of(proposal).into_iter().map(|freeze| freeze.why());
                let holds: Vec<String> = stops.chain(freezes).collect();
                (!holds.is_empty()).then(|| format!("will wait: {}", holds.join("; ")))
            }
            Delivery::Pushed | Delivery::Syncing => {
                let unsaid = |trouble: &String| !proposal.note.as_ref().is_some_and(|note| note.contains(trouble.as_str()));
                let trouble = self.argocd_trouble(proposal).filter(unsaid);
                trouble.map(|trouble| format!("Argo CD cannot be asked: {trouble}"))
            }
            Delivery::Committing | Delivery::PushBlocked | Delivery::Ended => None,
        };
        let said: Vec<String> = held
            .into_iter()
            .chain(self.edited_words(proposal))
            .chain(self.branch_words(proposal))
            .collect();
        let all = proposal.note.iter().cloned().chain(said.iter().cloned());
        (!said.is_empty()).then(|| all.collect::<Vec<_>>().join("; "))
    }

    /// Why the Argo CD of a proposal's repository cannot be asked now.
    pub(crate) fn argocd_trouble(&self, proposal: &Proposal) -> Option<String> {
        let instance = self.instance_of(self.repository(&proposal.repository)?)?;
        let trouble = instance.watch.snapshot().present_trouble()?;
        (trouble != argocd::client::Trouble::Empty).then(|| trouble.to_string())
    }

    /// One proposal, as soon as it is what the caller waits for, or after the time given (60 s at most).
    ///
    /// # Errors
    /// 404 as for [`Engine::proposal`].
    pub async fn wait(
        &self,
        agent: &Agent,
        id: ProposalId,
        since: Option<u64>,
        until: Until,
        timeout: Duration,
    ) -> Result<Proposal, Problem> {
        let deadline = tokio::time::Instant::now() + timeout.min(WAIT_MAX);
        let seat = self.0.hub.sit(id);
        let mut since = since;
        loop {
            let changed = seat.changed();
            tokio::pin!(changed);
            // Registered before the read, so that no change falls between.
            changed.as_mut().enable();
            let proposal = self.proposal(agent, id).await?;
            let reached = match until {
                Until::Change => *since.get_or_insert(proposal.version) != proposal.version,
                Until::Decision => proposal.decision != Decision::Pending && since.is_none_or(|seen| seen != proposal.version),
                Until::Outcome => proposal.outcome.is_some() && since.is_none_or(|seen| seen != proposal.version),
            };
            if reached || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(proposal);
            }
        }
    }

    /// The other proposals on their way that touch a file of this one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn overlaps(&self, id: ProposalId) -> Result<Vec<ProposalId>, Problem> {
        let others = self.store().read().overlaps(id).await?;
        Ok(others.into_iter().map(|other| other.id).collect())
    }

    /// How far the approvals of a pending proposal are where its approvers have a choice: the way that is nearest, and what would do instead.
    /// `None` without a choice, for the route says it all, and once it is decided.
    pub fn nearest(&self, proposal: &Proposal) -> Option<Vec<Approvers>> {
        if proposal.decision != Decision::Pending {
            return None;
        }
        let policy = self.book().policy.clone();
        let (agent, approvers) = (proposal.asking_agent(), proposal.approvers());
        let standing = policy.standing(&proposal.revision.route, agent, &approvers, self.now());
        let choice = standing.places.iter().any(|place| !place.instead.is_empty());
        choice.then(|| Approvers::named(standing.places, &policy))
    }

    /// An agent's proposals, newest first.
    ///
    /// # Errors
    /// 422 for a cursor that is not one of ours.
    pub async fn list(&self, agent: &Agent, listing: Listing) -> Result<(Vec<Proposal>, Option<String>), Problem> {
        let cursor = match &listing.cursor {
            None => None,
            Some(text) => Some(text.parse::<Cursor>().map_err(|_| {
                Problem::new(
                    422,
                    "invalid_cursor",
                    "the cursor is not one that this service gave",
                    "start again without a cursor",
                )
            })?),
        };
        let filter = ListFilter {
            agent: Some(agent.name.clone()),
            repository: listing.repository,
            decision: listing.decision,
            delivery: listing.delivery,
            outcome: listing.outcome,
            open_only: listing.open,
            since: None,
        };
        let (proposals, next) = self.store().read().list(&filter, cursor, listing.limit.clamp(1, 100)).await?;
        Ok((proposals, next.map(|cursor| cursor.to_string())))
    }

    /// A revision's unified diff; the current one when none is named.
    ///
    /// # Errors
    /// 404 for an unknown proposal or revision, 410 when its contents were pruned.
    pub async fn diff(&self, agent: &Agent, id: ProposalId, revision: Option<u32>) -> Result<String, Problem> {
        let proposal = self.proposal(agent, id).await?;
        let number = revision.unwrap_or(proposal.revision.number);
        if number == 0 || number > proposal.revision.number {
            return Err(Problem::not_found("revision"));
        }
        let contents = self.store().read().contents(id, number).await?;
        let contents = contents.ok_or_else(|| {
            Problem::new(
                410,
                "contents_pruned",
                "the contents are past their retention",
                "the commit is in git; digest and audit remain",
            )
        })?;
        let setup = self
            .repository(&proposal.repository)
            .ok_or_else(|| Problem::not_found("repository"))?;
        let diff = setup
            .git
            .unified_diff(&contents)
            .await
            .map_err(|error| crate::intake::unavailable(setup, &error))?;
        Ok(diff.text)
    }

    /// What readiness looks at.
    pub async fn health(&self) -> Health {
        let database = self.store().check_writable().await.map_err(|error| error.to_string());
        let mut repositories = Vec::new();
        for setup in self.repositories() {
            let health = setup.git.health().await.map_err(|error| {
                tracing::warn!(repository = %setup.name, %error, "not ready: the repository cannot be used");
                crate::intake::why(&error)
            });
            repositories.push((setup.name.clone(), health));
        }
        let repository_troubles = self.repositories().flat_map(|setup| {
            let away = setup.git.away().filter(|_| setup.git.trouble().is_none());
            let away = away.map(|error| crate::intake::why(&error));
            let troubles = away.into_iter().chain(self.rewritten(setup));
            troubles.map(|trouble| (setup.name.clone(), trouble)).collect::<Vec<_>>()
        });
        let repository_troubles = repository_troubles.collect();
        let argocd = self
            .0
            .argocd
            .values()
            .map(|instance| {
                let state = instance.watch.snapshot();
                ArgocdHealth {
                    name: instance.name.clone(),
                    seen: state.last_seen,
                    problem: state.present_trouble().map(|trouble| trouble.to_string()),
                }
            })
            .collect();
        // A database that cannot be read is told above.
        let blocked = self.store().read().count_blocked().await.unwrap_or_default();
        let heard = *self.0.telegram_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let standing = self
            .telegram()
            .map(|telegram| telegram.queue.client().standing())
            .unwrap_or_default();
        let well = standing.well.and_then(|at| chrono::Duration::from_std(at.elapsed()).ok());
        // Whole seconds: the two clocks agree no better.
        let telegram_seen = heard.max(well.map(|ago| self.now() - ago)).map(|seen| seen.trunc_subsecs(0));
        Health {
            database,
            repositories,
            repository_troubles,
            invalid_policies: self.invalid_policies(),
            invalid_runbooks: self.invalid_runbooks(),
            broken_files: self.has_broken_files(),
            blocked_deliveries: usize::try_from(blocked).unwrap_or(usize::MAX),
            delayed_deliveries: self.delayed_count(),
            telegram_seen,
            telegram_problem: standing.trouble.map(|trouble| trouble.to_string()),
            telegram: self.telegram().is_some(),
            argocd,
        }
    }
}
