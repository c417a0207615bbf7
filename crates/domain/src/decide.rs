//! The one transition function. Synchronous, total, no clock, no I/O: deciding is pure, executing makes no choices.

use serde::{Deserialize, Serialize};

use crate::{
    ApplicationState, Attempt, CommitId, Decision, Delivery, Eligibility, Ending, Landed, Origin, Outcome, PersonRef, Policy, Proposal,
    PullRequest, RepoPath, Requirement, Review, ReviewVerdict, Revision, Route, Sha256Hash, Tier, Timestamp,
};

/// Seconds for which a reason may be added to a reject: long enough to type one on a phone, short enough to leave the card clean.
pub const REASON_SECONDS: i64 = 120;
/// The share of the time to decide after which people are reminded once, in percent.
pub const REMINDER_PERCENT: i32 = 75;

/// Something that happened: an HTTP call, a tap, a result of git, an observation of Argo CD, a deadline.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A person approved or rejected what a card showed.
    Review {
        /// Who.
        by: PersonRef,
        /// Yes or no.
        verdict: ReviewVerdict,
        /// The revision of the card.
        revision: u32,
        /// The digest of the card.
        digest: Sha256Hash,
        /// Seconds between the quorum and the push in which people may still cancel.
        hold_seconds: u32,
    },
    /// The person who rejected says why.
    Reason {
        /// Who.
        by: PersonRef,
        /// Their words.
        text: String,
    },
    /// An approver stops it: before a decision, before the push, or when the remote refused.
    Cancel {
        /// Who.
        by: PersonRef,
    },
    /// An approver asks to try a refused push again.
    Retry {
        /// Who.
        by: PersonRef,
    },
    /// The agent takes it back.
    Withdraw {
        /// Why, in the agent's words.
        reason: Option<String>,
    },
    /// The agent sends another version.
    Revise {
        /// The new revision, routed.
        revision: Box<Revision>,
    },
    /// The service merged after a touched file changed on the branch: the new content must be looked at again.
    Reshow {
        /// The new revision, routed.
        revision: Box<Revision>,
    },
    /// A standard run was rendered anew because a file moved.
    Rerender {
        /// The new revision, routed.
        revision: Box<Revision>,
    },
    /// The branch changed the same lines.
    Conflict {
        /// Where.
        paths: Vec<RepoPath>,
    },
    /// The branch already holds all that was proposed.
    AlreadyThere {
        /// The commit where it was seen.
        commit: CommitId,
    },
    /// The time to decide is over.
    Expire,
    /// The policy in force, or the service, forbids it.
    Refuse {
        /// Why.
        why: String,
    },
    /// A commit was built; asks for leave to push it.
    CommitBuilt {
        /// Its id.
        commit: CommitId,
        /// Its parent.
        parent: CommitId,
        /// The digest of what was really built.
        digest: Sha256Hash,
    },
    /// The remote's ref was read back and contains the commit.
    PushConfirmed {
        /// The commit.
        commit: CommitId,
    },
    /// The branch moved first: build again.
    PushMissed,
    /// The remote refused, or the branch is not what it was: a human must look.
    PushRefused {
        /// What the remote said.
        message: String,
    },
    /// Manual tier: the pull request or patch is ready.
    Prepared {
        /// The pull request, where the host has them.
        pull: Option<PullRequest>,
    },
    /// Manual tier: a human's commit brought it.
    Arrived {
        /// The commit.
        commit: CommitId,
        /// As proposed, or with edits.
        landed: Landed,
        /// Who committed, as git says.
        by: String,
        /// Set when the committer is an agent or the service itself.
        alarm: Option<String>,
    },
    /// Manual tier: the touched files changed otherwise.
    Diverged {
        /// The commit.
        commit: CommitId,
        /// Who committed, as git says.
        by: String,
    },
    /// What Argo CD shows now.
    Observed {
        /// All touched applications.
        applications: Vec<ApplicationState>,
    },
    /// The verdict over all touched applications, or that there are none.
    Settled {
        /// The end.
        outcome: Outcome,
        /// All touched applications.
        applications: Vec<ApplicationState>,
        /// A sentence for people.
        note: Option<String>,
    },
    /// A failed end came right later.
    Recovered,
    /// A revert of this change was delivered.
    Reverted {
        /// The revert.
        by: crate::ProposalId,
    },
}

impl Event {
    /// The event's word in the audit log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Review {
                verdict: ReviewVerdict::Approve,
                ..
            } => "approve",
            Self::Review {
                verdict: ReviewVerdict::Reject,
                ..
            } => "reject",
            Self::Reason { .. } => "reason",
            Self::Cancel { .. } => "cancel",
            Self::Retry { .. } => "retry",
            Self::Withdraw { .. } => "withdraw",
            Self::Revise { .. } => "revise",
            Self::Reshow { .. } => "reshow",
            Self::Rerender { .. } => "rerender",
            Self::Conflict { .. } => "conflict",
            Self::AlreadyThere { .. } => "already_there",
            Self::Expire => "expire",
            Self::Refuse { .. } => "refuse",
            Self::CommitBuilt { .. } => "commit_built",
            Self::PushConfirmed { .. } => "push_confirmed",
            Self::PushMissed => "push_missed",
            Self::PushRefused { .. } => "push_refused",
            Self::Prepared { .. } => "prepared",
            Self::Arrived { .. } => "arrived",
            Self::Diverged { .. } => "diverged",
            Self::Observed { .. } => "observed",
            Self::Settled { .. } => "settled",
            Self::Recovered => "recovered",
            Self::Reverted { .. } => "reverted",
        }
    }

    /// The person behind it, if one is.
    pub const fn person(&self) -> Option<&PersonRef> {
        match self {
            Self::Review { by, .. } | Self::Reason { by, .. } | Self::Cancel { by } | Self::Retry { by } => Some(by),
            Self::Withdraw { .. }
            | Self::Revise { .. }
            | Self::Reshow { .. }
            | Self::Rerender { .. }
            | Self::Conflict { .. }
            | Self::AlreadyThere { .. }
            | Self::Expire
            | Self::Refuse { .. }
            | Self::CommitBuilt { .. }
            | Self::PushConfirmed { .. }
            | Self::PushMissed
            | Self::PushRefused { .. }
            | Self::Prepared { .. }
            | Self::Arrived { .. }
            | Self::Diverged { .. }
            | Self::Observed { .. }
            | Self::Settled { .. }
            | Self::Recovered
            | Self::Reverted { .. } => None,
        }
    }
}

/// One side effect owed to the world. Stored with the state that owes it, executed outside any transaction, safe to run twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Post the current revision's card or note.
    SendCard,
    /// Bring every card up to the current row. Carries no text: it renders what is true when it runs.
    EditCards,
    /// Tell people with sound: the current row's failure or expiry.
    Notify,
    /// Remind the approvers once, if still pending.
    Remind,
    /// End it, if still pending.
    Expire,
    /// Let the branch's owner commit and push it.
    Deliver,
    /// Manual tier: open the pull request or write the patch.
    Prepare,
    /// Manual tier: see whether it landed.
    WatchLanding,
    /// Look at Argo CD until the end.
    Observe,
    /// Take the reason chips off the card.
    CloseReason,
    /// Raise an alarm in the chats; the text is the audit row's.
    Alarm {
        /// What happened.
        text: String,
    },
    /// Mark the undone proposal and its cards.
    MarkReverted,
}

impl Effect {
    /// At most one effect of a key waits per proposal: a later one replaces it.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::SendCard => "send_card",
            Self::EditCards => "edit_cards",
            Self::Notify => "notify",
            Self::Remind => "remind",
            Self::Expire => "expire",
            Self::Deliver => "deliver",
            Self::Prepare => "prepare",
            Self::WatchLanding => "watch_landing",
            Self::Observe => "observe",
            Self::CloseReason => "close_reason",
            Self::Alarm { .. } => "alarm",
            Self::MarkReverted => "mark_reverted",
        }
    }
}

/// An effect and when it is due. Timers are effects with a later time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// What to do.
    pub effect: Effect,
    /// When.
    pub due: Timestamp,
}

/// The result of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The proposal afterwards; its version is raised when people or agents can see a difference.
    pub next: Proposal,
    /// What is owed now.
    pub effects: Vec<Scheduled>,
    /// A short sentence for the audit row and the tap's answer.
    pub summary: String,
    /// This is the step that decided: its audit row becomes the proposal's `audit_head`.
    pub seals: bool,
}

/// Why an event changes nothing. For people and agents alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A decision has fallen.
    #[error("already {decision}: nothing to decide any more")]
    NotPending {
        /// The decision.
        decision: Decision,
    },
    /// The push command was sent; it cannot be stopped.
    #[error("too late: the change is {delivery}")]
    TooLate {
        /// Where it is.
        delivery: Delivery,
    },
    /// The card showed something else than what is current.
    #[error("this card is out of date: revision {current} is current")]
    Outdated {
        /// The current revision.
        current: u32,
    },
    /// One person, one vote.
    #[error("you have approved this already")]
    AlreadyVoted,
    /// Not in a group that is asked.
    #[error("you are not among the approvers of this change")]
    NotEligible,
    /// Owns the agent.
    #[error("you own the agent that asks: somebody else must approve")]
    OwnsAgent,
    /// The tier has no such button.
    #[error("a {tier} change is not approved here")]
    WrongTier {
        /// The tier.
        tier: Tier,
    },
    /// The time for it is over.
    #[error("the time to add a reason is over")]
    WindowClosed,
    /// The event makes no sense in this state.
    #[error("{event} does not fit: the proposal is {decision}/{delivery}")]
    Illegal {
        /// The event's word.
        event: &'static str,
        /// The decision.
        decision: Decision,
        /// The delivery.
        delivery: Delivery,
    },
    /// What was built is not what was approved.
    #[error("the built commit has digest {built}, approved was {approved}: stopped")]
    DigestMismatch {
        /// Of the built tree.
        built: Sha256Hash,
        /// Of the approval.
        approved: Sha256Hash,
    },
}

/// Opens a proposal: the effects that a new one owes. `proposal` comes routed, pending, without reviews.
pub fn open(mut proposal: Proposal, now: Timestamp) -> Transition {
    let mut effects = Vec::new();
    let summary = match (&proposal.origin, proposal.tier()) {
        (Origin::Observed(_), _) => {
            proposal.decision = Decision::NotRequired;
            proposal.decided_at = Some(now);
            proposal.delivery = Delivery::Pushed;
            proposal.pushed_at = Some(now);
            at(&mut effects, now, [Effect::SendCard, Effect::Observe]);
            "observed: the agent pushed by itself".to_owned()
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Standard) => {
            proposal.decision = Decision::NotRequired;
            proposal.decided_at = Some(now);
            proposal.delivery = Delivery::Queued;
            at(&mut effects, now, [Effect::Deliver]);
            format!("standard: {}", proposal.revision.route.why)
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Prompted) => {
            at(&mut effects, now, [Effect::SendCard]);
            timers(&proposal, &mut effects);
            format!("prompted: {}", proposal.revision.route.why)
        }
        (Origin::Change | Origin::Runbook(_) | Origin::Revert { .. }, Tier::Manual) => {
            at(&mut effects, now, [Effect::Prepare]);
            timers(&proposal, &mut effects);
            format!("manual: {}", proposal.revision.route.why)
        }
    };
    let seals = proposal.decision == Decision::NotRequired;
    Transition {
        next: proposal,
        effects,
        summary,
        seals,
    }
}

/// What an event does to a proposal under the policy in force.
///
/// # Errors
/// A typed [`Refusal`] when the event does not fit the state or the person; nothing changes then.
pub fn decide(proposal: &Proposal, event: Event, policy: &Policy, now: Timestamp) -> Result<Transition, Refusal> {
    let step = Step { proposal, policy, now };
    match event {
        Event::Review {
            by,
            verdict,
            revision,
            digest,
            hold_seconds,
        } => step.review(by, verdict, revision, digest, hold_seconds),
        Event::Reason { by, text } => step.reason(&by, text),
        Event::Cancel { by } => step.cancel(by),
        Event::Retry { by } => step.retry(&by),
        Event::Withdraw { reason } => step.withdraw(reason),
        Event::Revise { revision } => step.revise(*revision),
        Event::Reshow { revision } => step.reshow(*revision),
        Event::Rerender { revision } => step.rerender(*revision),
        Event::Conflict { paths } => step.conflict(&paths),
        Event::AlreadyThere { commit } => step.already_there(commit),
        Event::Expire => step.expire(),
        Event::Refuse { why } => step.refuse(why),
        Event::CommitBuilt { commit, parent, digest } => step.commit_built(commit, parent, digest),
        Event::PushConfirmed { commit } => step.push_confirmed(commit),
        Event::PushMissed => step.push_missed(),
        Event::PushRefused { message } => step.push_refused(message),
        Event::Prepared { pull } => step.prepared(pull),
        Event::Arrived { commit, landed, by, alarm } => step.arrived(commit, landed, by, alarm),
        Event::Diverged { commit, by } => step.diverged(commit, &by),
        Event::Observed { applications } => step.observed(applications),
        Event::Settled {
            outcome,
            applications,
            note,
        } => step.settled(outcome, applications, note),
        Event::Recovered => step.recovered(),
        Event::Reverted { by } => step.reverted(by),
    }
}

struct Step<'a> {
    proposal: &'a Proposal,
    policy: &'a Policy,
    now: Timestamp,
}

type Decided = Result<Transition, Refusal>;

impl Step<'_> {
    // People.

    fn review(&self, by: PersonRef, verdict: ReviewVerdict, revision: u32, digest: Sha256Hash, hold_seconds: u32) -> Decided {
        self.must_be_pending()?;
        if revision != self.proposal.revision.number || digest != self.proposal.revision.digest {
            return Err(Refusal::Outdated {
                current: self.proposal.revision.number,
            });
        }
        let route = stricter(&self.proposal.revision.route, &self.current_route());
        if route.tier != Tier::Prompted {
            return if self.proposal.tier() == Tier::Prompted {
                Ok(self.rerouted(route))
            } else {
                Err(Refusal::WrongTier {
                    tier: self.proposal.tier(),
                })
            };
        }
        match self.policy.eligibility(&route, self.proposal.asking_agent(), by.id) {
            Eligibility::Eligible => {}
            Eligibility::NotInGroup => return Err(Refusal::NotEligible),
            Eligibility::OwnsAgent => return Err(Refusal::OwnsAgent),
        }
        if self
            .proposal
            .current_reviews()
            .any(|review| review.by.id == by.id && review.verdict == verdict)
        {
            return Err(Refusal::AlreadyVoted);
        }
        let mut next = self.next();
        next.revision.route = route;
        next.reviews.push(Review {
            by: by.clone(),
            verdict,
            revision,
            digest,
            at: self.now,
        });
        match verdict {
            ReviewVerdict::Reject => {
                let until = self.now + chrono::Duration::seconds(REASON_SECONDS);
                let ending = Ending {
                    by: Some(by.clone()),
                    reason: None,
                    reason_until: Some(until),
                };
                let mut step = self.end(
                    next,
                    Decision::Rejected,
                    Outcome::Rejected,
                    Some(ending),
                    format!("rejected by {}", by.name),
                );
                step.effects.push(Scheduled {
                    effect: Effect::CloseReason,
                    due: until,
                });
                Ok(step)
            }
            ReviewVerdict::Approve => Ok(self.count(next, &by, hold_seconds)),
        }
    }

    fn count(&self, mut next: Proposal, by: &PersonRef, hold_seconds: u32) -> Transition {
        let mut effects = Vec::new();
        let complete = self.policy.satisfied(&next.revision.route, next.asking_agent(), &next.approvers());
        let summary = if complete {
            next.decision = Decision::Approved;
            next.decided_at = Some(self.now);
            next.delivery = Delivery::Queued;
            let due = self.now + chrono::Duration::seconds(i64::from(hold_seconds));
            next.hold_until = (hold_seconds > 0).then_some(due);
            effects.push(Scheduled {
                effect: Effect::Deliver,
                due,
            });
            format!("approved by {}: complete", by.name)
        } else {
            format!("approved by {}: {}", by.name, progress(self.policy, &next))
        };
        at(&mut effects, self.now, [Effect::EditCards]);
        Transition {
            next,
            effects,
            summary,
            seals: complete,
        }
    }

    fn reason(&self, by: &PersonRef, text: String) -> Decided {
        let Some(ending) = &self.proposal.ended_by else {
            return Err(self.illegal("reason"));
        };
        if ending.by.as_ref().map(|person| person.id) != Some(by.id) {
            return Err(Refusal::NotEligible);
        }
        if ending.reason_until.is_none_or(|until| until < self.now) {
            return Err(Refusal::WindowClosed);
        }
        let mut next = self.next();
        if let Some(ending) = &mut next.ended_by {
            ending.reason = Some(text);
        }
        Ok(self.to(next, [Effect::EditCards], format!("{} gave a reason", by.name)))
    }

    fn cancel(&self, by: PersonRef) -> Decided {
        if !self.policy.is_approver(by.id) {
            return Err(Refusal::NotEligible);
        }
        let summary = format!("cancelled by {}", by.name);
        let ending = Some(Ending {
            by: Some(by),
            reason: None,
            reason_until: None,
        });
        match self.proposal.delivery {
            Delivery::None | Delivery::AwaitingCommit | Delivery::Queued => {
                self.must_not_be_over()?;
                Ok(self.end(self.next(), Decision::Dismissed, Outcome::Dismissed, ending, summary))
            }
            Delivery::PushBlocked => Ok(self.end(self.next(), self.proposal.decision, Outcome::PushRefused, ending, summary)),
            delivery @ (Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended) => {
                Err(Refusal::TooLate { delivery })
            }
        }
    }

    fn retry(&self, by: &PersonRef) -> Decided {
        if !self.policy.is_approver(by.id) {
            return Err(Refusal::NotEligible);
        }
        if self.proposal.delivery != Delivery::PushBlocked {
            return Err(self.illegal("retry"));
        }
        let mut next = self.next();
        next.delivery = Delivery::Queued;
        next.note = None;
        Ok(self.to(
            next,
            [Effect::Deliver, Effect::EditCards],
            format!("{} asks to push again", by.name),
        ))
    }

    // The agent.

    fn withdraw(&self, reason: Option<String>) -> Decided {
        self.must_not_be_over()?;
        match self.proposal.delivery {
            Delivery::None | Delivery::AwaitingCommit | Delivery::Queued | Delivery::PushBlocked => {
                let ending = Ending {
                    by: None,
                    reason,
                    reason_until: None,
                };
                Ok(self.end(
                    self.next(),
                    Decision::Withdrawn,
                    Outcome::Withdrawn,
                    Some(ending),
                    "withdrawn by the agent".to_owned(),
                ))
            }
            delivery @ (Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended) => {
                Err(Refusal::TooLate { delivery })
            }
        }
    }

    fn revise(&self, revision: Revision) -> Decided {
        self.must_be_pending()?;
        Ok(self.replaced(revision, "the agent sent a new revision"))
    }

    // The branch moved.

    fn reshow(&self, revision: Revision) -> Decided {
        self.must_be_stoppable("reshow")?;
        Ok(self.replaced(revision, "a touched file changed on the branch: merged, to be looked at again"))
    }

    fn rerender(&self, revision: Revision) -> Decided {
        if self.proposal.decision != Decision::NotRequired || self.proposal.delivery != Delivery::Queued {
            return Err(self.illegal("rerender"));
        }
        if revision.route.tier != Tier::Standard {
            return Ok(self.replaced(revision, "rendered anew, and the policy in force asks people"));
        }
        let mut next = self.next();
        next.revision = revision;
        Ok(self.to(next, [Effect::Deliver], "rendered anew: a file moved meanwhile".to_owned()))
    }

    /// A new revision under a pending (or not yet pushed) proposal: reviews void, old buttons dead, a new card.
    fn replaced(&self, revision: Revision, why: &str) -> Transition {
        let mut next = self.next();
        let number = revision.number;
        next.revision = revision;
        next.decision = Decision::Pending;
        next.decided_at = None;
        next.audit_head = None;
        next.hold_until = None;
        next.delivery = Delivery::None;
        next.pull = None;
        next.note = (next.revision.author == crate::RevisionAuthor::Countersign).then(|| why.to_owned());
        // An approval that had fallen already must not expire at once: people get the time of the rule again.
        next.expires_at = next
            .expires_at
            .max(self.now + chrono::Duration::seconds(i64::from(next.revision.route.ttl_seconds)));
        let mut effects = Vec::new();
        let card = if next.tier() == Tier::Manual {
            Effect::Prepare
        } else {
            Effect::SendCard
        };
        at(&mut effects, self.now, [Effect::EditCards, card]);
        timers(&next, &mut effects);
        Transition {
            next,
            effects,
            summary: format!("revision {number}: {why}"),
            seals: false,
        }
    }

    fn conflict(&self, paths: &[RepoPath]) -> Decided {
        self.must_be_stoppable("conflict")?;
        let mut next = self.next();
        let list: Vec<_> = paths.iter().take(5).map(RepoPath::as_str).collect();
        next.note = Some(format!("the branch changed the same lines: {}", list.join(", ")));
        let decision = self.proposal.decision;
        let mut step = self.end(
            next,
            decision,
            Outcome::Conflicted,
            None,
            format!("conflicted: {}", list.join(", ")),
        );
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    fn already_there(&self, commit: CommitId) -> Decided {
        self.must_be_stoppable("already_there")?;
        let mut next = self.next();
        next.note = Some(format!("the branch already holds all of it (seen at {})", commit.short()));
        Ok(self.end(
            next,
            Decision::Dismissed,
            Outcome::Dismissed,
            None,
            "already on the branch".to_owned(),
        ))
    }

    // Deadlines and safeguards.

    fn expire(&self) -> Decided {
        self.must_be_pending()?;
        if self.now < self.proposal.expires_at {
            return Err(self.illegal("expire"));
        }
        let mut step = self.end(
            self.next(),
            Decision::Expired,
            Outcome::Expired,
            None,
            "nobody decided in time".to_owned(),
        );
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    fn refuse(&self, why: String) -> Decided {
        self.must_be_stoppable("refuse")?;
        let mut next = self.next();
        next.note = Some(why.clone());
        let mut step = self.end(next, Decision::Refused, Outcome::Refused, None, format!("refused: {why}"));
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    // Git.

    fn commit_built(&self, commit: CommitId, parent: CommitId, digest: Sha256Hash) -> Decided {
        if self.proposal.delivery != Delivery::Queued {
            return Err(self.illegal("commit_built"));
        }
        if digest != self.proposal.revision.digest {
            return Err(Refusal::DigestMismatch {
                built: digest,
                approved: self.proposal.revision.digest,
            });
        }
        if let Some(stopped) = self.recheck() {
            return Ok(stopped);
        }
        let mut next = self.next();
        next.delivery = Delivery::Committing;
        next.hold_until = None;
        next.attempts.push(Attempt {
            commit,
            parent,
            at: self.now,
        });
        Ok(self.to(next, [Effect::EditCards], format!("commit {} built", commit.short())))
    }

    /// The policy now in force, just before the push: a stricter one stops, a looser one changes nothing.
    fn recheck(&self) -> Option<Transition> {
        let old = &self.proposal.revision.route;
        let route = stricter(old, &self.current_route());
        match self.proposal.decision {
            Decision::NotRequired if route.tier == Tier::Standard => None,
            Decision::Approved
                if route.tier == Tier::Prompted
                    && self
                        .policy
                        .satisfied(&route, self.proposal.asking_agent(), &self.proposal.approvers()) =>
            {
                None
            }
            Decision::NotRequired
            | Decision::Approved
            | Decision::Pending
            | Decision::Rejected
            | Decision::Expired
            | Decision::Withdrawn
            | Decision::Refused
            | Decision::Dismissed => Some(self.rerouted(route)),
        }
    }

    fn push_confirmed(&self, commit: CommitId) -> Decided {
        let sent = self.proposal.attempts.iter().any(|attempt| attempt.commit == commit);
        match self.proposal.delivery {
            Delivery::Committing | Delivery::PushBlocked | Delivery::Queued if sent => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Pushed
            | Delivery::Syncing
            | Delivery::Ended => return Err(self.illegal("push_confirmed")),
        }
        let mut next = self.next();
        next.delivery = Delivery::Pushed;
        next.commit = Some(commit);
        next.pushed_at = Some(self.now);
        next.note = None;
        let mut effects = Vec::new();
        // A standard run has no card yet: its note is posted now, afterwards it is edited.
        let card = if self.proposal.decision == Decision::NotRequired {
            Effect::SendCard
        } else {
            Effect::EditCards
        };
        at(&mut effects, self.now, [card, Effect::Observe]);
        if matches!(next.origin, Origin::Revert { .. }) {
            at(&mut effects, self.now, [Effect::MarkReverted]);
        }
        Ok(Transition {
            next,
            effects,
            summary: format!("{} is on the branch", commit.short()),
            seals: false,
        })
    }

    fn push_missed(&self) -> Decided {
        if self.proposal.delivery != Delivery::Committing {
            return Err(self.illegal("push_missed"));
        }
        let mut next = self.next();
        next.delivery = Delivery::Queued;
        Ok(self.to(next, [Effect::Deliver], "the branch moved first: built again".to_owned()))
    }

    fn push_refused(&self, message: String) -> Decided {
        match self.proposal.delivery {
            Delivery::Committing | Delivery::Queued => {}
            Delivery::None | Delivery::PushBlocked | Delivery::AwaitingCommit | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => {
                return Err(self.illegal("push_refused"));
            }
        }
        let mut next = self.next();
        next.delivery = Delivery::PushBlocked;
        next.note = Some(message.clone());
        let card = if self.proposal.decision == Decision::NotRequired {
            Effect::SendCard
        } else {
            Effect::EditCards
        };
        Ok(self.to(next, [card, Effect::Notify], format!("the push was refused: {message}")))
    }

    // Manual tier.

    fn prepared(&self, pull: Option<PullRequest>) -> Decided {
        self.must_be_pending()?;
        if self.proposal.tier() != Tier::Manual {
            return Err(self.illegal("prepared"));
        }
        let mut next = self.next();
        next.delivery = Delivery::AwaitingCommit;
        next.pull = pull;
        Ok(self.to(
            next,
            [Effect::SendCard, Effect::WatchLanding],
            "prepared for a human to commit".to_owned(),
        ))
    }

    fn arrived(&self, commit: CommitId, landed: Landed, by: String, alarm: Option<String>) -> Decided {
        self.must_be_pending()?;
        if self.proposal.tier() != Tier::Manual {
            return Err(self.illegal("arrived"));
        }
        let mut next = self.next();
        next.decision = Decision::Approved;
        next.decided_at = Some(self.now);
        next.delivery = Delivery::Pushed;
        next.commit = Some(commit);
        next.pushed_at = Some(self.now);
        next.landed = Some(landed);
        next.note.clone_from(&alarm);
        let summary = format!("{} landed {} by {by}", commit.short(), landed.as_str().replace('_', " "));
        next.committed_by = Some(by);
        let mut effects = Vec::new();
        at(&mut effects, self.now, [Effect::EditCards, Effect::Observe]);
        if let Some(text) = alarm {
            at(&mut effects, self.now, [Effect::Alarm { text }]);
        }
        if matches!(next.origin, Origin::Revert { .. }) {
            at(&mut effects, self.now, [Effect::MarkReverted]);
        }
        Ok(Transition {
            next,
            effects,
            summary,
            seals: true,
        })
    }

    fn diverged(&self, commit: CommitId, by: &str) -> Decided {
        self.must_be_pending()?;
        if self.proposal.tier() != Tier::Manual {
            return Err(self.illegal("diverged"));
        }
        let mut next = self.next();
        next.note = Some(format!("{by} changed the same files otherwise in {}", commit.short()));
        next.committed_by = Some(by.to_owned());
        let mut step = self.end(
            next,
            Decision::Dismissed,
            Outcome::Diverged,
            None,
            format!("diverged at {}", commit.short()),
        );
        at(&mut step.effects, self.now, [Effect::Notify]);
        Ok(step)
    }

    // Argo CD.

    fn observed(&self, applications: Vec<ApplicationState>) -> Decided {
        match self.proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Ended => {
                return Err(self.illegal("observed"));
            }
        }
        let visible = self.proposal.delivery != Delivery::Syncing || visibly_differ(&self.proposal.applications, &applications);
        let mut next = if visible { self.next() } else { self.proposal.clone() };
        next.delivery = Delivery::Syncing;
        next.applications = applications;
        let mut effects = Vec::new();
        if visible {
            at(&mut effects, self.now, [Effect::EditCards]);
        }
        let states: Vec<_> = next.applications.iter().map(|app| format!("{} {}", app.name, app.state)).collect();
        Ok(Transition {
            summary: states.join(", "),
            next,
            effects,
            seals: false,
        })
    }

    fn settled(&self, outcome: Outcome, applications: Vec<ApplicationState>, note: Option<String>) -> Decided {
        match self.proposal.delivery {
            Delivery::Pushed | Delivery::Syncing => {}
            Delivery::None
            | Delivery::Queued
            | Delivery::Committing
            | Delivery::PushBlocked
            | Delivery::AwaitingCommit
            | Delivery::Ended => {
                return Err(self.illegal("settled"));
            }
        }
        let mut next = self.next();
        next.applications = applications;
        if note.is_some() {
            next.note = note;
        }
        let mut step = self.end(next, self.proposal.decision, outcome, None, format!("ended: {outcome}"));
        if outcome.is_failure() {
            at(&mut step.effects, self.now, [Effect::Notify]);
        }
        Ok(step)
    }

    fn recovered(&self) -> Decided {
        let failed = self.proposal.outcome.is_some_and(Outcome::is_failure) && self.proposal.commit.is_some();
        if !failed || self.proposal.recovered_at.is_some() {
            return Err(self.illegal("recovered"));
        }
        let mut next = self.next();
        next.recovered_at = Some(self.now);
        Ok(self.to(next, [Effect::EditCards], "recovered".to_owned()))
    }

    fn reverted(&self, by: crate::ProposalId) -> Decided {
        if self.proposal.commit.is_none() || self.proposal.reverted_by.is_some() {
            return Err(self.illegal("reverted"));
        }
        let mut next = self.next();
        next.reverted_by = Some(by);
        Ok(self.to(next, [Effect::EditCards], format!("reverted by {by}")))
    }

    // Shared.

    fn next(&self) -> Proposal {
        let mut next = self.proposal.clone();
        next.version += 1;
        next
    }

    fn to<const N: usize>(&self, next: Proposal, owed: [Effect; N], summary: String) -> Transition {
        let mut effects = Vec::new();
        at(&mut effects, self.now, owed);
        Transition {
            next,
            effects,
            summary,
            seals: false,
        }
    }

    fn end(&self, mut next: Proposal, decision: Decision, outcome: Outcome, ending: Option<Ending>, summary: String) -> Transition {
        if next.decided_at.is_none() {
            next.decided_at = Some(self.now);
        }
        next.decision = decision;
        next.delivery = Delivery::Ended;
        next.outcome = Some(outcome);
        next.ended_at = Some(self.now);
        next.hold_until = None;
        if ending.is_some() {
            next.ended_by = ending;
        }
        self.to(next, [Effect::EditCards], summary)
    }

    fn current_route(&self) -> Route {
        self.policy.route(&self.proposal.repository, &self.proposal.revision.facts)
    }

    /// The policy got stricter: approvals of the looser one void, and the change goes the stricter way.
    fn rerouted(&self, route: Route) -> Transition {
        let mut next = self.next();
        let summary = format!("the policy changed: now {} ({})", route.tier, route.why);
        let (tier, voided) = (route.tier, route.tier != self.proposal.tier());
        next.note = Some(summary.clone());
        next.revision.route = route;
        next.decision = Decision::Pending;
        next.decided_at = None;
        next.audit_head = None;
        next.hold_until = None;
        next.delivery = Delivery::None;
        if voided {
            // The digest stays, so the votes must go: they were given under another rule.
            let number = next.revision.number;
            next.reviews.retain(|review| review.revision != number);
        } else {
            let number = next.revision.number;
            let policy = self.policy;
            next.reviews
                .retain(|review| review.revision != number || policy.is_approver(review.by.id));
        }
        next.expires_at = next
            .expires_at
            .max(self.now + chrono::Duration::seconds(i64::from(next.revision.route.ttl_seconds)));
        let mut effects = Vec::new();
        let card = if tier == Tier::Manual { Effect::Prepare } else { Effect::SendCard };
        at(&mut effects, self.now, [Effect::EditCards, card]);
        timers(&next, &mut effects);
        Transition {
            next,
            effects,
            summary,
            seals: false,
        }
    }

    fn must_be_pending(&self) -> Result<(), Refusal> {
        if self.proposal.decision == Decision::Pending && self.proposal.outcome.is_none() {
            Ok(())
        } else {
            Err(Refusal::NotPending {
                decision: self.proposal.decision,
            })
        }
    }

    fn must_not_be_over(&self) -> Result<(), Refusal> {
        if self.proposal.outcome.is_none() {
            Ok(())
        } else {
            Err(Refusal::NotPending {
                decision: self.proposal.decision,
            })
        }
    }

    /// Nothing was sent to the remote yet.
    fn must_be_stoppable(&self, event: &'static str) -> Result<(), Refusal> {
        self.must_not_be_over()?;
        match self.proposal.delivery {
            Delivery::None | Delivery::Queued | Delivery::AwaitingCommit | Delivery::PushBlocked => Ok(()),
            Delivery::Committing | Delivery::Pushed | Delivery::Syncing | Delivery::Ended => Err(self.illegal(event)),
        }
    }

    const fn illegal(&self, event: &'static str) -> Refusal {
        Refusal::Illegal {
            event,
            decision: self.proposal.decision,
            delivery: self.proposal.delivery,
        }
    }
}

/// "1 of 2 of operators" for every group that is asked.
pub fn progress(policy: &Policy, proposal: &Proposal) -> String {
    let approvers = proposal.approvers();
    let parts: Vec<_> = proposal
        .revision
        .route
        .requirements
        .iter()
        .map(|requirement| {
            let have = policy.counted(requirement, proposal.asking_agent(), &approvers);
            format!("{have} of {} from {}", requirement.quorum, requirement.group)
        })
        .collect();
    parts.join(", ")
}

/// The stricter of the stored and the current route: what was promised to people holds, what the policy adds holds too.
fn stricter(stored: &Route, current: &Route) -> Route {
    if current.policy == stored.policy || current.tier > stored.tier {
        return stored.clone();
    }
    if current.tier < stored.tier {
        return current.clone();
    }
    let mut merged: Vec<Requirement> = stored.requirements.clone();
    for requirement in &current.requirements {
        match merged.iter_mut().find(|known| known.group == requirement.group) {
            Some(known) => {
                known.quorum = known.quorum.max(requirement.quorum);
                known.allow_owner &= requirement.allow_owner;
            }
            None => merged.push(requirement.clone()),
        }
    }
    if merged == stored.requirements {
        return stored.clone();
    }
    Route {
        requirements: merged,
        policy: current.policy,
        why: current.why.clone(),
        ..stored.clone()
    }
}

fn at<const N: usize>(effects: &mut Vec<Scheduled>, due: Timestamp, owed: [Effect; N]) {
    effects.extend(owed.into_iter().map(|effect| Scheduled { effect, due }));
}

fn timers(proposal: &Proposal, effects: &mut Vec<Scheduled>) {
    let waits = proposal.expires_at - proposal.revision.created_at;
    if proposal.tier() == Tier::Prompted {
        effects.push(Scheduled {
            effect: Effect::Remind,
            due: proposal.revision.created_at + waits * REMINDER_PERCENT / 100,
        });
    }
    effects.push(Scheduled {
        effect: Effect::Expire,
        due: proposal.expires_at,
    });
}

fn visibly_differ(before: &[ApplicationState], after: &[ApplicationState]) -> bool {
    before.len() != after.len()
        || before
            .iter()
            .zip(after)
            .any(|(a, b)| (&a.name, &a.state, &a.headline) != (&b.name, &b.state, &b.headline))
}
