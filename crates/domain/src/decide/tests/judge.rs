//! The invariants, asked of every step of a history. The judge shares no rule with the code that it judges.

use super::history::History;
use super::world::*;
use crate::{
    Decision, Delivery, Effect, Event, Origin, Outcome, Proposal, Requirement, ReviewVerdict, SecondFactor, Sha256Hash, Tier, Transition,
};

impl History {
    /// The judge's own count of votes, kept from the events alone.
    pub fn remember(&mut self, before: &Proposal, event: &Event, next: &Proposal) {
        if let Event::Review {
            by,
            verdict: ReviewVerdict::Approve,
            digest,
            verified,
            ..
        } = event
        {
            self.yes.insert((by.id, *digest));
            if *verified {
                self.codes.insert((by.id, *digest));
            }
        }
        if next.revision.number != before.revision.number || next.tier() != before.tier() {
            self.yes.clear();
            self.codes.clear();
        }
    }

    pub fn judge(&mut self, before: &Proposal, event: &Event, transition: &Transition) -> Result<(), String> {
        let next = &transition.next;
        let decided = |proposal: &Proposal| matches!(proposal.decision, Decision::Approved | Decision::NotRequired);
        let newly = |delivery| next.delivery == delivery && before.delivery != delivery;
        let holds = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };

        // Who may decide.
        if decided(next) && !decided(before) {
            let by_people = matches!(
                event,
                Event::Review {
                    verdict: ReviewVerdict::Approve,
                    ..
                }
            );
            let landed = matches!(event, Event::Arrived { .. }) && before.tier() == Tier::Manual;
            holds(by_people || landed, "something else than an approval or a human's commit decided")?;
            holds(by_people || next.decision == Decision::Approved, "nobody was asked")?;
            if by_people {
                self.enough(next, next.revision.digest)?;
                holds(self.now < before.expires_at, "approved after the deadline")?;
            }
        }
        if matches!(event, Event::Revise { .. }) {
            holds(next.origin == Origin::Change, "the agent's content passes for something else")?;
        }
        if matches!(event, Event::Withdraw { .. } | Event::Revise { .. }) {
            holds(!decided(next) && next.delivery != Delivery::Queued, "an agent's event decided")?;
        }
        if matches!(
            event,
            Event::Review {
                verdict: ReviewVerdict::Reject,
                ..
            }
        ) {
            holds(next.outcome == Some(Outcome::Rejected), "a reject did not end it")?;
        }
        holds(
            transition.seals == (decided(next) && !decided(before)),
            "seals must mark exactly the step that decides",
        )?;

        // What may be committed.
        if newly(Delivery::Committing) {
            let Event::CommitBuilt { commit, digest, .. } = event else {
                return Err("a commit out of nothing".to_owned());
            };
            holds(!self.stopped, "committed after a stop")?;
            holds(*digest == before.revision.digest, "the built content is not the one that was shown")?;
            holds(before.hold_until.is_none_or(|until| until <= self.now), "committed while held")?;
            holds(
                next.attempts.last().map(|attempt| attempt.commit) == Some(*commit),
                "the commit's id is not stored before its push",
            )?;
            match before.decision {
                Decision::Approved => self.enough(before, *digest)?,
                Decision::NotRequired => holds(self.trusted(before), "standard without a rule that trusts it")?,
                undecided => return Err(format!("committed while {undecided}")),
            }
        }
        if newly(Delivery::Pushed) {
            let sent = before.attempts.iter().any(|attempt| Some(attempt.commit) == next.commit);
            let landed = before.tier() == Tier::Manual && before.delivery == Delivery::AwaitingCommit;
            holds(sent || landed, "pushed, but not by us and not prepared for a human")?;
            holds(!self.stopped, "pushed after a stop")?;
        }
        let votes_are_known = next.approvals().all(|review| self.yes.contains(&(review.by.id, review.digest)));
        holds(votes_are_known, "a void review counts")?;

        // What stays.
        if matches!(
            next.decision,
            Decision::Rejected | Decision::Expired | Decision::Withdrawn | Decision::Refused | Decision::Dismissed
        ) {
            self.stopped = true;
            holds(next.delivery == Delivery::Ended, "stopped, but not ended")?;
        } else {
            holds(!self.stopped, "a stop was taken back")?;
        }
        let end = next.outcome.zip(next.ended_at);
        holds(self.ended.is_none() || self.ended == end, "an end was changed")?;
        self.ended = end;
        holds(
            (next.delivery == Delivery::Ended) == next.outcome.is_some(),
            "ended without outcome, or the reverse",
        )?;
        holds(next.attempts.starts_with(&before.attempts), "an attempt was forgotten")?;
        holds(next.revision.number >= before.revision.number, "an older revision came back")?;
        holds(next.expires_at >= before.expires_at, "people's time got shorter")?;
        let seen = |proposal: &Proposal| {
            let mut copy = proposal.clone();
            copy.version = 0;
            copy
        };
        let raised = u64::from(seen(before) != seen(next));
        holds(
            next.version == before.version + raised,
            "the version does not tell whether something changed",
        )
    }

    /// Enough people, asked by what was promised and by what is in force now, said yes to this content.
    pub fn enough(&self, proposal: &Proposal, digest: Sha256Hash) -> Result<(), String> {
        let route = &proposal.revision.route;
        let mut asked: Vec<_> = route
            .requirements
            .iter()
            .flat_map(Requirement::asked)
            .map(|asked| (asked.group.as_str(), asked.quorum as usize, asked.allow_owner))
            .collect();
        if self.sketch.tier == Tier::Manual || proposal.tier() != Tier::Prompted || asked.is_empty() {
            return Err("nobody's approval can be enough here".to_owned());
        }
        if !self.trusted(proposal) {
            let more = usize::from(self.sketch.factors.contains(&SecondFactor::Person));
            let quorum = more + if proposal.revision.facts.revert { 1 } else { self.quorum() };
            asked.push((self.sketch.asks, quorum, self.sketch.allow_owner));
        }
        let takes_codes = route.second_factors.contains(&SecondFactor::Totp) || self.sketch.factors.contains(&SecondFactor::Totp);
        let said = if takes_codes { &self.codes } else { &self.yes };
        for (group, quorum, allow_owner) in asked {
            let members = if group == "operators" {
                &self.sketch.operators
            } else {
                &self.sketch.platform
            };
            let count = members
                .iter()
                .filter(|name| (allow_owner || **name != "bob") && said.contains(&(person(name).id, digest)))
                .count();
            if count < quorum {
                return Err(format!("{count} of {quorum} of {group} is not enough"));
            }
        }
        Ok(())
    }

    pub fn quorum(&self) -> usize {
        let members = if self.sketch.asks == "operators" {
            &self.sketch.operators
        } else {
            &self.sketch.platform
        };
        self.sketch.quorum.clamp(1, members.len())
    }

    /// The policy in force lets this content go without asking.
    pub fn trusted(&self, proposal: &Proposal) -> bool {
        let facts = &proposal.revision.facts;
        let asked_for_less = matches!(facts.requested, Some(Tier::Manual | Tier::Prompted));
        self.sketch.tier == Tier::Standard && self.sketch.factors.is_empty() && facts.runbook.is_some() && !facts.revert && !asked_for_less
    }

    /// Every state that is not the end has something owed that can move it, or a button that people see.
    pub fn nothing_waits_for_nobody(&self) -> Result<(), String> {
        let owed = |effect: Effect| self.outbox.contains_key(&effect);
        let moves = match self.proposal.delivery {
            Delivery::None => self.proposal.decision == Decision::Pending && self.proposal.tier() != Tier::Standard && owed(Effect::Expire),
            Delivery::AwaitingCommit => owed(Effect::Expire) && owed(Effect::WatchLanding),
            Delivery::Queued | Delivery::Committing => owed(Effect::Deliver),
            Delivery::Pushed | Delivery::Syncing => owed(Effect::Observe),
            Delivery::PushBlocked | Delivery::Ended => true,
        };
        if moves {
            Ok(())
        } else {
            Err(format!(
                "{} {}/{} waits for nobody; owed: {:?}",
                self.proposal.tier(),
                self.proposal.decision,
                self.proposal.delivery,
                self.outbox
            ))
        }
    }
}
