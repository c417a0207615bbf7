//! Cases that were once wrong, and questions that a hostile reader asks; each with the sentence that must hold.

use std::rc::Rc;

use super::world::*;
use crate::{
    Decision, Delivery, Event, Origin, Outcome, Policy, Proposal, Refusal, ReviewVerdict, SecondFactor, Tier, Timestamp, Transition,
    decide, open,
};

/// A prompted change that two of alice, carol (and bob, who owns the agent) must approve.
struct Story {
    proposal: Proposal,
    policy: Rc<Policy>,
    now: Timestamp,
    last: Option<Transition>,
}

fn story(origin: Origin, tier: Tier) -> Story {
    let policy = Sketch::of(tier).policy();
    Story {
        proposal: open(fresh(origin, &policy), start()).next,
        policy,
        now: later(60),
        last: None,
    }
}

fn prompted() -> Story {
    story(Origin::Change, Tier::Prompted)
}

fn manual() -> Story {
    story(Origin::Change, Tier::Manual)
}

fn standard() -> Story {
    story(Origin::Runbook(call()), Tier::Standard)
}

impl Story {
    fn then(mut self, event: impl FnOnce(&Proposal) -> Event) -> Self {
        let name = event(&self.proposal);
        let step = decide(&self.proposal, name.clone(), &self.policy, self.now).unwrap_or_else(|refusal| panic!("{name:?}: {refusal}"));
        self.proposal = step.next.clone();
        self.last = Some(step);
        self
    }

    fn refused(self, event: impl FnOnce(&Proposal) -> Event) -> Refusal {
        decide(&self.proposal, event(&self.proposal), &self.policy, self.now).expect_err("a refusal")
    }

    fn under(mut self, sketch: Sketch) -> Self {
        self.policy = sketch.policy();
        self
    }

    fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    fn state(&self) -> (Decision, Delivery) {
        (self.proposal.decision, self.proposal.delivery)
    }

    /// What the last step owes, with the seconds until it is due.
    fn owes(&self) -> Vec<(&'static str, i64)> {
        let step = self.last.as_ref().expect("a step");
        step.effects
            .iter()
            .map(|owed| (owed.effect.key(), (owed.due - self.now).num_seconds()))
            .collect()
    }
}

fn yes(who: &'static str) -> impl FnOnce(&Proposal) -> Event {
    move |proposal| review(who, ReviewVerdict::Approve, proposal, 0)
}

fn no(who: &'static str) -> impl FnOnce(&Proposal) -> Event {
    move |proposal| review(who, ReviewVerdict::Reject, proposal, 0)
}

fn build(n: u8) -> impl FnOnce(&Proposal) -> Event {
    move |proposal| built(proposal, n)
}

fn approved() -> Story {
    prompted().then(yes("alice")).then(yes("carol"))
}

fn revise(tier: Tier, skip: u32) -> impl FnOnce(&Proposal) -> Event {
    move |proposal| {
        let next = revision(
            proposal.revision.number + skip,
            &Origin::Runbook(call()),
            &Sketch::of(tier).policy(),
            None,
            later(60),
        );
        revised(proposal, Box::new(next))
    }
}

#[test]
fn an_expiry_timer_that_rings_before_the_extended_time_is_set_again() {
    let story = prompted().at(later(3000)).then(revise(Tier::Prompted, 1));
    assert_eq!(
        story.proposal.expires_at,
        later(6600),
        "a new revision has the time of the rule again"
    );
    // The store keeps the earlier of two equal timers: it rings at the old time.
    let story = story.at(later(3600)).then(|_| Event::Expire);
    assert_eq!(story.state(), (Decision::Pending, Delivery::None));
    assert_eq!(story.owes(), [("expire", 3000)]);
    let version = story.proposal.version;
    let story = story.at(later(6600)).then(|_| Event::Expire);
    assert_eq!(
        (story.proposal.outcome, story.proposal.version),
        (Some(Outcome::Expired), version + 1)
    );
}

#[test]
fn an_approval_after_the_deadline_does_not_count_even_when_the_timer_is_late() {
    let refusal = prompted().then(yes("alice")).at(later(3600)).refused(yes("carol"));
    assert_eq!(refusal.to_string(), "already expired: nothing to decide any more");
    let story = prompted().at(later(3600)).then(no("carol"));
    assert_eq!(story.proposal.decision, Decision::Rejected, "a no is never too late while it waits");
}

#[test]
fn a_no_counts_although_the_policy_became_manual_under_the_card() {
    let story = prompted().under(Sketch::of(Tier::Manual)).then(no("carol"));
    assert_eq!(story.proposal.outcome, Some(Outcome::Rejected));
}

#[test]
fn a_no_of_somebody_whom_only_the_new_policy_asks_counts() {
    let platform = Sketch {
        asks: "platform",
        ..Sketch::of(Tier::Prompted)
    };
    assert_eq!(prompted().refused(no("dave")), Refusal::NotEligible);
    assert_eq!(prompted().under(platform).then(no("dave")).proposal.decision, Decision::Rejected);
}

#[test]
fn the_owner_neither_approves_nor_rejects_but_may_cancel() {
    assert_eq!(prompted().refused(yes("bob")), Refusal::OwnsAgent);
    assert_eq!(prompted().refused(no("bob")), Refusal::OwnsAgent);
    let story = prompted().then(|_| Event::Cancel { by: person("bob") });
    assert_eq!(
        story.proposal.outcome,
        Some(Outcome::Dismissed),
        "a member of the group that is asked may stop it"
    );
}

#[test]
fn only_the_groups_of_a_route_cancel_and_retry() {
    let dave = || person("dave");
    let blocked = |story: Story| {
        story.then(build(1)).then(|_| Event::PushRefused {
            message: "read-only".to_owned(),
        })
    };
    // The rule of a standard change names operators, too.
    for story in [approved, standard] {
        assert_eq!(blocked(story()).refused(|_| Event::Cancel { by: dave() }), Refusal::NotEligible);
        assert_eq!(blocked(story()).refused(|_| Event::Retry { by: dave() }), Refusal::NotEligible);
    }
    let platform = Sketch {
        asks: "platform",
        ..Sketch::of(Tier::Prompted)
    };
    let story = prompted().under(platform).then(|_| Event::Cancel { by: dave() });
    assert_eq!(story.proposal.outcome, Some(Outcome::Dismissed), "asked by the policy in force");
}

#[test]
fn votes_of_people_who_are_no_longer_asked_go_and_can_be_given_again() {
    let without_carol = Sketch {
        operators: vec!["alice", "bob"],
        platform: vec!["carol", "dave"],
        allow_owner: true,
        ..Sketch::of(Tier::Prompted)
    };
    let story = approved().under(without_carol).then(build(1));
    assert_eq!(story.state(), (Decision::Pending, Delivery::None));
    assert_eq!(story.proposal.approvers(), [person("alice").id], "carol is in another group only");
    let story = story.under(Sketch::of(Tier::Prompted)).then(yes("carol"));
    assert_eq!(story.state(), (Decision::Approved, Delivery::Queued));
}

#[test]
fn a_second_tap_completes_a_quorum_that_an_edit_of_the_policy_made_complete() {
    let platform = Sketch {
        operators: vec!["alice"],
        ..Sketch::of(Tier::Prompted)
    };
    let story = prompted().then(yes("carol")).under(platform).then(yes("alice"));
    assert_eq!(
        story.state(),
        (Decision::Pending, Delivery::None),
        "carol was no operator when alice tapped"
    );
    let story = story.under(Sketch::of(Tier::Prompted)).then(yes("alice"));
    assert_eq!(story.state(), (Decision::Approved, Delivery::Queued));
    assert_eq!(story.proposal.approvers().len(), 2, "nobody is counted twice");
    assert_eq!(prompted().then(yes("alice")).refused(yes("alice")), Refusal::AlreadyVoted);
}

fn marked(factor: SecondFactor) -> Sketch {
    Sketch {
        factors: vec![factor],
        ..Sketch::of(Tier::Prompted)
    }
}

fn coded(who: &'static str) -> impl FnOnce(&Proposal) -> Event {
    move |proposal| with_code(who, proposal)
}

#[test]
fn where_codes_are_taken_a_tap_alone_is_no_approval() {
    let asked = || prompted().under(marked(SecondFactor::Totp));
    assert_eq!(asked().refused(yes("alice")), Refusal::NeedsCode);
    assert_eq!(
        asked().refused(yes("bob")),
        Refusal::OwnsAgent,
        "who is not asked is not asked for a code"
    );
    assert_eq!(asked().refused(yes("mallory")), Refusal::NotEligible);
    assert_eq!(
        asked().then(no("alice")).proposal.decision,
        Decision::Rejected,
        "stopping takes no code"
    );
    let story = asked().then(coded("alice"));
    assert_eq!(
        story.last.as_ref().map(|step| step.summary.as_str()),
        Some("approved by alice with a code: 1 of 2 from operators")
    );
    assert_eq!(story.proposal.approvers(), [person("alice").id]);
    let story = story.then(coded("carol"));
    assert_eq!(story.state(), (Decision::Approved, Delivery::Queued));
    assert!(story.proposal.reviews.iter().all(|review| review.verified));
    assert_eq!(asked().then(coded("alice")).refused(yes("alice")), Refusal::AlreadyVoted);
}

#[test]
fn an_approval_without_a_code_is_not_pushed_once_the_policy_takes_codes() {
    let story = approved().under(marked(SecondFactor::Totp)).then(build(1));
    assert_eq!(story.state(), (Decision::Pending, Delivery::None), "asked again");
    assert_eq!(story.proposal.approvers(), []);
    // Each of them confirms what they said; nobody counts twice.
    let story = story.then(coded("alice")).then(coded("carol"));
    assert_eq!(story.state(), (Decision::Approved, Delivery::Queued));
    assert_eq!(story.proposal.reviews.len(), 2);
    // What was promised stays: a policy that takes no codes any more changes nothing.
    let promised = prompted()
        .under(marked(SecondFactor::Totp))
        .then(coded("alice"))
        .under(Sketch::of(Tier::Prompted));
    assert_eq!(promised.refused(yes("carol")), Refusal::NeedsCode);
}

#[test]
fn a_second_person_is_one_more_than_the_quorum_and_never_the_same() {
    let owner = Sketch {
        allow_owner: true,
        ..marked(SecondFactor::Person)
    };
    let story = prompted().under(owner.clone()).then(yes("alice")).then(yes("carol"));
    assert_eq!(story.state(), (Decision::Pending, Delivery::None));
    assert_eq!(story.then(yes("bob")).state(), (Decision::Approved, Delivery::Queued));
    let story = approved().under(owner).then(build(1));
    assert_eq!(story.state(), (Decision::Pending, Delivery::None), "also just before the push");
    // bob owns the agent: the group has nobody for the third place but him, and the card says who is missing.
    let story = prompted().under(marked(SecondFactor::Person)).then(yes("alice")).then(yes("carol"));
    assert_eq!(story.refused(yes("bob")), Refusal::OwnsAgent);
}

#[test]
fn a_run_or_a_revert_over_marked_paths_takes_the_second_factor_too() {
    let standard = |factor| Sketch {
        tier: Tier::Standard,
        ..marked(factor)
    };
    let opened = |origin: Origin, sketch: Sketch| open(fresh(origin, &sketch.policy()), start()).next;
    for origin in [
        Origin::Runbook(call()),
        Origin::Revert {
            of: other(),
            commit: commit(5),
        },
    ] {
        let coded = opened(origin.clone(), standard(SecondFactor::Totp));
        assert_eq!(
            (coded.tier(), coded.revision.route.asks_code()),
            (Tier::Prompted, true),
            "{origin:?}"
        );
        let second = opened(origin.clone(), standard(SecondFactor::Person));
        let people = second.revision.route.requirements.iter().map(crate::Requirement::people_min).max();
        let usual = if matches!(origin, Origin::Revert { .. }) { 1 } else { 2 };
        assert_eq!(people, Some(usual + 1), "{origin:?}");
    }
}

#[test]
fn a_looser_policy_changes_nothing() {
    let looser = Sketch {
        quorum: 1,
        ..Sketch::of(Tier::Prompted)
    };
    let story = prompted().under(looser).then(yes("alice"));
    assert_eq!(story.state(), (Decision::Pending, Delivery::None), "two were promised");
    let story = story.then(yes("carol")).under(Sketch::of(Tier::Standard)).then(build(1));
    assert_eq!(story.state(), (Decision::Approved, Delivery::Committing));
}

#[test]
fn a_stricter_tier_voids_all_votes_of_the_same_content() {
    let story = approved().under(Sketch::of(Tier::Manual)).then(build(1));
    assert_eq!((story.proposal.tier(), story.proposal.reviews.len()), (Tier::Manual, 0));
    assert_eq!(story.owes(), [("edit_cards", 0), ("prepare", 0), ("expire", 3600)]);
    let story = standard().under(Sketch::of(Tier::Prompted)).then(build(1));
    assert_eq!(
        (story.proposal.tier(), story.proposal.decision),
        (Tier::Prompted, Decision::Pending)
    );
}

#[test]
fn a_change_that_comes_back_late_reminds_nobody_at_once() {
    let story = approved().at(later(100_000)).under(Sketch {
        quorum: 3,
        allow_owner: true,
        ..Sketch::of(Tier::Prompted)
    });
    let story = story.then(|_| Event::PushRefused {
        message: "read-only".to_owned(),
    });
    let story = story.then(|_| Event::Retry { by: person("alice") }).then(build(1));
    assert_eq!(
        story.owes(),
        [("edit_cards", 0), ("send_card", 0), ("remind", 2700), ("expire", 3600)]
    );
}

#[test]
fn a_revision_never_goes_past_people_nor_back_to_an_older_number() {
    let story = prompted().under(Sketch::of(Tier::Standard)).then(revise(Tier::Standard, 1));
    assert_eq!(
        (story.proposal.tier(), story.state()),
        (Tier::Prompted, (Decision::Pending, Delivery::None))
    );
    assert_eq!(
        story.then(yes("alice")).state(),
        (Decision::Pending, Delivery::None),
        "the standard rule's approvers are asked"
    );
    for skip in [0, 2] {
        assert_eq!(prompted().refused(revise(Tier::Prompted, skip)), Refusal::Outdated { current: 1 });
    }
}

#[test]
fn the_same_content_in_a_new_revision_needs_new_votes() {
    let story = prompted().then(yes("alice")).then(|proposal| {
        let mut next = proposal.revision.clone();
        next.number += 1;
        Event::Revise {
            revision: Box::new(next),
            title: "Scale web to 6".to_owned(),
            reason: "latency again".to_owned(),
            correlation: None,
        }
    });
    assert_eq!(
        (&*story.proposal.title, &*story.proposal.reason),
        ("Scale web to 6", "latency again"),
        "new content comes with its own words"
    );
    assert_eq!(story.proposal.approvers(), []);
    assert_eq!(story.proposal.reviews.len(), 1, "the old vote stays in the book");
}

#[test]
fn a_look_at_the_branch_counts_only_for_what_is_prepared() {
    let prepared = manual().then(|_| Event::Prepared { pull: None });
    let again = prepared.then(revise(Tier::Manual, 1));
    assert!(
        matches!(again.refused(|_| arrived(8)), Refusal::Illegal { .. }),
        "revision 2 was never compared"
    );
    let story = manual().then(|_| Event::Prepared { pull: None }).then(|_| arrived(8));
    assert_eq!(
        (story.state(), story.last.expect("a step").seals),
        ((Decision::Approved, Delivery::Pushed), true)
    );
    let twice = manual()
        .then(|_| Event::Prepared { pull: None })
        .refused(|_| Event::Prepared { pull: Some(pull()) });
    assert!(matches!(twice, Refusal::Illegal { .. }));
}

#[test]
fn nothing_is_committed_before_the_time_to_cancel_is_over() {
    let story = prompted()
        .then(yes("alice"))
        .then(|proposal| review("carol", ReviewVerdict::Approve, proposal, 30));
    let story = story.then(build(1));
    assert_eq!(
        (story.state(), story.owes()),
        ((Decision::Approved, Delivery::Queued), vec![("deliver", 15)]),
        "looked at again, like everything that waits"
    );
    let story = story.at(later(90)).then(build(1));
    assert_eq!((story.proposal.delivery, story.proposal.hold_until), (Delivery::Committing, None));
}

#[test]
fn a_note_says_something_about_the_present_state_only() {
    let blocked = || {
        approved().then(build(1)).then(|_| Event::PushRefused {
            message: "a hook said no".to_owned(),
        })
    };
    let note = |story: Story| story.proposal.note;
    assert_eq!(note(blocked()).as_deref(), Some("a hook said no"));
    assert_eq!(note(blocked().then(|_| Event::Withdraw { reason: None })), None);
    assert_eq!(note(blocked().then(|_| Event::Retry { by: person("alice") })), None);
    let given_up = blocked().then(|_| Event::Cancel { by: person("alice") });
    assert_eq!(
        note(given_up).as_deref(),
        Some("a hook said no"),
        "why it ended as refused by the remote"
    );
    let merged = || {
        let next = |proposal: &Proposal| {
            revision(
                proposal.revision.number + 1,
                &Origin::Change,
                &Sketch::of(Tier::Prompted).policy(),
                None,
                later(60),
            )
        };
        approved().then(|proposal| Event::Reshow {
            revision: Box::new(next(proposal)),
        })
    };
    assert!(note(merged()).is_some_and(|note| note.contains("merged, to be looked at again")));
    assert_eq!(note(merged().then(yes("alice")).then(yes("carol"))), None, "they looked");
    for end in [
        no("alice")(&merged().proposal),
        Event::Withdraw { reason: None },
        Event::Cancel { by: person("alice") },
    ] {
        assert_eq!(note(merged().then(|_| end)), None);
    }
}

#[test]
fn the_answer_says_what_the_person_did() {
    let told = |story: Story| story.then(|_| Event::Cancel { by: person("alice") }).last.expect("a step").summary;
    assert_eq!(told(approved()), "cancelled by alice");
    assert_eq!(told(manual().then(|_| Event::Prepared { pull: None })), "put aside by alice");
}

#[test]
fn a_commit_that_only_names_the_proposal_is_looked_at_by_a_human() {
    let story = approved().then(build(1)).then(|_| Event::PushConfirmed { commit: commit(9) });
    assert_eq!((story.proposal.delivery, story.proposal.commit), (Delivery::PushBlocked, None));
    assert_eq!(story.owes(), [("edit_cards", 0), ("notify", 0)]);
    // Its own commit is still welcome.
    assert_eq!(
        story.then(|_| Event::PushConfirmed { commit: commit(1) }).proposal.delivery,
        Delivery::Pushed
    );
}

#[test]
fn already_there_by_our_own_commit_is_a_push_whose_answer_was_lost() {
    let revert = Origin::Revert {
        of: other(),
        commit: commit(5),
    };
    let sent = story(revert.clone(), Tier::Prompted)
        .then(yes("alice"))
        .then(build(1))
        .then(|_| Event::PushMissed);
    let story_there = sent.then(|_| Event::AlreadyThere { commit: commit(1) });
    assert_eq!(
        (story_there.proposal.delivery, story_there.proposal.commit),
        (Delivery::Pushed, Some(commit(1)))
    );
    assert!(story_there.owes().contains(&("mark_reverted", 0)));
    // By somebody else's commit: nothing was reverted by us, and nothing says so.
    let story = story(revert, Tier::Prompted)
        .then(yes("alice"))
        .then(|_| Event::AlreadyThere { commit: commit(1) });
    assert_eq!(
        (story.proposal.outcome, story.owes()),
        (Some(Outcome::Dismissed), vec![("edit_cards", 0)])
    );
}

#[test]
fn a_refused_standard_push_has_its_note_edited_after_the_retry() {
    let story = standard().then(build(1)).then(|_| Event::PushRefused {
        message: "read-only".to_owned(),
    });
    assert_eq!(story.owes(), [("send_card", 0), ("notify", 0)]);
    let story = story.then(|_| Event::Retry { by: person("alice") }).then(build(2));
    let story = story.then(|_| Event::PushConfirmed { commit: commit(2) });
    assert_eq!(story.owes(), [("send_card", 0), ("edit_cards", 0), ("observe", 0)]);
    assert_eq!(story.proposal.note, None);
}

#[test]
fn an_argocd_that_cannot_be_asked_is_said_once_and_until_it_can() {
    let observed = |trouble: Option<&str>| Event::Observed {
        applications: Vec::new(),
        trouble: trouble.map(str::to_owned),
    };
    let prepared = manual().then(|_| Event::Prepared { pull: None });
    let story = prepared.then(|_| Event::Arrived {
        commit: commit(3),
        landed: crate::Landed::AsProposed,
        by: "ci".to_owned(),
        alarm: Some("committed by a machine".to_owned()),
    });
    let note = |story: &Story| story.proposal.note.clone();
    let alarm = note(&story).unwrap_or_default();
    let story = story.then(|_| observed(Some("no answer")));
    assert_eq!(note(&story), Some(format!("{alarm}; Argo CD cannot be asked: no answer")));
    assert!(story.owes().contains(&("edit_cards", 0)));
    let story = story.then(|_| observed(Some("no answer")));
    assert!(!story.owes().contains(&("edit_cards", 0)), "said already");
    let story = story.then(|_| observed(Some("a right is missing")));
    assert_eq!(note(&story), Some(format!("{alarm}; Argo CD cannot be asked: a right is missing")));
    let story = story.then(|_| observed(None));
    assert_eq!(note(&story), Some(alarm));
    assert!(story.owes().contains(&("edit_cards", 0)));
}

#[test]
fn a_pull_request_that_is_closed_is_told_once_and_until_it_is_open_again() {
    let prepared = manual().then(|_| Event::Prepared { pull: Some(pull()) });
    let closed = prepared.then(|_| Event::PullSeen { closed: true });
    let note = |story: &Story| story.proposal.note.clone().unwrap_or_default();
    assert!(
        note(&closed).starts_with("pull request #1 was closed without a merge: reopen it"),
        "{}",
        note(&closed)
    );
    assert!(closed.owes().contains(&("notify", 0)) && closed.owes().contains(&("edit_cards", 0)));
    assert_eq!(
        closed.proposal.delivery,
        Delivery::AwaitingCommit,
        "it can still be committed by hand"
    );
    let open = closed.then(|_| Event::PullSeen { closed: false });
    assert_eq!(open.proposal.note, None);
}

#[test]
fn a_conflict_under_a_pending_proposal_is_no_open_decision() {
    let story = prompted().then(|_| Event::Conflict { paths: Vec::new() });
    assert_eq!(
        (story.proposal.decision, story.proposal.outcome),
        (Decision::Refused, Some(Outcome::Conflicted))
    );
    let story = approved().then(|_| Event::Conflict { paths: Vec::new() });
    assert_eq!(story.proposal.decision, Decision::Approved, "people did approve it");
}

#[test]
fn a_verdict_is_a_verdict_of_the_cluster() {
    let pushed = || approved().then(build(1)).then(|_| Event::PushConfirmed { commit: commit(1) });
    for outcome in Outcome::ALL {
        let result = decide(
            &pushed().proposal,
            settled(*outcome),
            &Sketch::of(Tier::Prompted).policy(),
            later(70),
        );
        let cluster = matches!(
            outcome,
            Outcome::Synced
                | Outcome::Pushed
                | Outcome::Degraded
                | Outcome::SyncFailed
                | Outcome::TimedOut
                | Outcome::RolledBack
                | Outcome::Lost
        );
        assert_eq!(result.is_ok(), cluster, "{outcome}");
    }
    let again = pushed().then(|_| settled(Outcome::Degraded)).refused(|_| settled(Outcome::Synced));
    assert!(matches!(again, Refusal::Illegal { .. }), "the outcome is set once");
}

#[test]
fn an_agent_neither_rewrites_nor_stops_a_revert_that_a_person_asked_for() {
    let revert = Origin::Revert {
        of: other(),
        commit: commit(5),
    };
    let mut asked = story(revert.clone(), Tier::Prompted);
    asked.proposal.requested_by = Some(person("bob"));
    assert_eq!(asked.refused(|_| Event::Withdraw { reason: None }), Refusal::AskedByPerson);
    let mut asked = story(revert.clone(), Tier::Prompted);
    asked.proposal.requested_by = Some(person("bob"));
    // Otherwise bob, who owns the agent, could approve what it wrote.
    assert_eq!(asked.refused(revise(Tier::Prompted, 1)), Refusal::AskedByPerson);
    let own = story(revert, Tier::Prompted).refused(revise(Tier::Prompted, 1));
    assert!(matches!(own, Refusal::Illegal { .. }), "other content is no revert");
    let mut asked = prompted();
    asked.proposal.requested_by = Some(person("bob"));
    assert_eq!(
        asked.then(yes("bob")).proposal.approvers(),
        [person("bob").id],
        "a person's own wish may be confirmed by them"
    );
}

#[test]
fn content_from_the_agent_does_not_pass_for_a_runbook_s() {
    let story = story(Origin::Runbook(call()), Tier::Prompted).then(revise(Tier::Prompted, 1));
    assert_eq!(story.proposal.origin, Origin::Change);
}

/// What a rule that reminds and escalates owes when people are asked.
#[test]
fn people_are_reminded_and_a_second_group_is_called_from_when_they_were_asked() {
    let text = |rest: &str| {
        format!(
            "version = 1\n[people.alice]\ntelegram_id = 1\n[people.dave]\ntelegram_id = 4\n[groups]\noperators = [\"alice\"]\nplatform = [\"dave\"]\n\
             [[rules]]\nname = \"apps\"\npaths = [\"apps/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\nttl = \"1h\"\n{rest}"
        )
    };
    let policy = |rest: &str| Rc::new(Policy::parse(&text(rest)).unwrap_or_else(|problems| panic!("{problems:?}")));
    let owed = |rest: &str| {
        let step = open(fresh(Origin::Change, &policy(rest)), start());
        let due = |scheduled: &crate::Scheduled| (scheduled.effect.key(), (scheduled.due - start()).num_seconds());
        step.effects.iter().map(due).collect::<Vec<_>>()
    };
    assert_eq!(owed(""), [("send_card", 0), ("remind", 2700), ("expire", 3600)]);
    assert_eq!(owed("reminder = 0.5"), [("send_card", 0), ("remind", 1800), ("expire", 3600)]);
    let escalating = "reminder = \"10m\"\nescalate = { to = \"platform\", after = \"30m\" }";
    assert_eq!(
        owed(escalating),
        [("send_card", 0), ("remind", 600), ("escalate", 1800), ("expire", 3600)]
    );
    let too_late = "escalate = { to = \"platform\", after = \"2h\" }";
    assert_eq!(owed(too_late), [("send_card", 0), ("remind", 2700), ("expire", 3600)]);

    let policy = policy(escalating);
    let story = || Story {
        proposal: open(fresh(Origin::Change, &policy), start()).next,
        policy: policy.clone(),
        now: later(60),
        last: None,
    };
    let approve = |proposal: &Proposal| review("dave", ReviewVerdict::Approve, proposal, 0);
    assert_eq!(story().refused(approve), Refusal::NotEligible);
    assert_eq!(story().at(later(1799)).refused(approve), Refusal::NotEligible);
    assert_eq!(story().at(later(1800)).then(approve).proposal.decision, Decision::Approved);
    // New content: people are asked anew, and so is the second group.
    let revised = story().at(later(1000)).then(|proposal| Event::Revise {
        revision: Box::new(revision(2, &proposal.origin, &policy, None, later(1000))),
        title: proposal.title.clone(),
        reason: proposal.reason.clone(),
        correlation: None,
    });
    assert_eq!(revised.at(later(2000)).refused(approve), Refusal::NotEligible);
}

/// An agent that was trusted when it asked, and is not when its change is about to be sent.
#[test]
fn an_agent_that_lost_trust_meanwhile_needs_one_more() {
    let text = |rest: &str| {
        format!(
            "version = 1\n[people.alice]\ntelegram_id = 1\n[people.carol]\ntelegram_id = 3\n[groups]\noperators = [\"alice\", \"carol\"]\n\
             [[rules]]\nname = \"apps\"\npaths = [\"apps/**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n{rest}"
        )
    };
    let policy = |rest: &str| Rc::new(Policy::parse(&text(rest)).unwrap_or_else(|problems| panic!("{problems:?}")));
    let trusting = policy("");
    let mut story = Story {
        proposal: open(fresh(Origin::Change, &trusting), start()).next,
        policy: trusting,
        now: later(60),
        last: None,
    };
    story = story.then(|proposal| review("alice", ReviewVerdict::Approve, proposal, 0));
    assert_eq!(story.proposal.decision, Decision::Approved);
    story.policy = policy("[agents.bot]\nuntrusted = true\n");
    story = story.then(build(1));
    assert_eq!(
        (story.proposal.decision, story.proposal.commit),
        (Decision::Pending, None),
        "asked again before the push"
    );
    story = story.then(|proposal| review("carol", ReviewVerdict::Approve, proposal, 0));
    assert_eq!(story.proposal.decision, Decision::Approved, "alice's approval still counts");
}
