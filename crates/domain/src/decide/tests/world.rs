//! The small world of the tests: two policies' worth of people, and proposals in any state.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use chrono::TimeDelta;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    ApplicationState, CommitId, Decision, Delivery, Event, Facts, Landed, ObjectId, Orders, Origin, Outcome, PersonRef, Policy, Proposal,
    ProposalId, PullRequest, ReviewVerdict, Revision, RevisionAuthor, RunbookCall, SecondFactor, Sha256Hash, Tier, Timestamp, Trust,
    UserId,
};

pub const PEOPLE: [(&str, i64); 4] = [("alice", 1), ("bob", 2), ("carol", 3), ("dave", 4)];
pub const STRANGER: (&str, i64) = ("mallory", 9);
/// What every proposal of the tests touches.
pub const PATH: &str = "apps/web.yaml";

/// A policy in short: who is an operator and in the second group, the tier of the one rule, its quorum, and whether the owner counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    pub operators: Vec<&'static str>,
    pub platform: Vec<&'static str>,
    /// The group that the rule asks.
    pub asks: &'static str,
    pub tier: Tier,
    pub quorum: usize,
    pub allow_owner: bool,
    /// Second factors of all its paths.
    pub factors: Vec<SecondFactor>,
}

impl Sketch {
    pub fn of(tier: Tier) -> Self {
        Self {
            operators: vec!["alice", "bob", "carol"],
            platform: vec!["dave"],
            asks: "operators",
            tier,
            quorum: 2,
            allow_owner: false,
            factors: Vec::new(),
        }
    }

    /// bob owns the agent. Each policy is parsed once per test.
    pub fn policy(&self) -> Rc<Policy> {
        thread_local! {
            static PARSED: RefCell<BTreeMap<String, Rc<Policy>>> = const { RefCell::new(BTreeMap::new()) };
        }
        PARSED.with_borrow_mut(|parsed| parsed.entry(format!("{self:?}")).or_insert_with(|| Rc::new(self.parsed())).clone())
    }

    fn parsed(&self) -> Policy {
        let list = |names: &[&str]| format!("{names:?}");
        let members = if self.asks == "operators" {
            &self.operators
        } else {
            &self.platform
        };
        let people: Vec<_> = PEOPLE
            .iter()
            .map(|(name, id)| {
                let owns = if *name == "bob" { "owns = [\"bot\"]\n" } else { "" };
                format!("[people.{name}]\ntelegram_id = {id}\n{owns}")
            })
            .collect();
        let runbook = if self.tier == Tier::Standard {
            "runbook = \"restart\"\n"
        } else {
            ""
        };
        let text = format!(
            "version = 1\n{}\n[groups]\noperators = {}\nplatform = {}\n[[rules]]\nname = \"apps\"\npaths = [\"apps/**\"]\ntier = \"{}\"\n{runbook}\
             approvers = \"{}\"\nquorum = {}\nttl = \"1h\"\nallow_owner = {}\n",
            people.join(""),
            list(&self.operators),
            list(&self.platform),
            self.tier,
            self.asks,
            self.quorum.clamp(1, members.len()),
            self.allow_owner,
        );
        let marked =
            |factor: &SecondFactor| format!("[[classes]]\nname = \"{factor}\"\npaths = [\"apps/**\"]\nsecond_factor = \"{factor}\"\n");
        let text = text + &self.factors.iter().map(marked).collect::<String>();
        Policy::parse(&text).unwrap_or_else(|problems| panic!("{problems:?} in\n{text}"))
    }
}

pub fn start() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

pub fn later(seconds: i64) -> Timestamp {
    start() + TimeDelta::seconds(seconds)
}

pub fn person(name: &str) -> PersonRef {
    let known = PEOPLE
        .iter()
        .chain([&STRANGER])
        .find(|(known, _)| *known == name)
        .expect("a known name");
    PersonRef {
        id: UserId(known.1),
        name: name.to_owned(),
    }
}

pub fn commit(n: u8) -> CommitId {
    ObjectId::from_bytes([n; 20])
}

pub fn digest(n: u32) -> Sha256Hash {
    Sha256Hash::of(&n.to_be_bytes())
}

pub fn other() -> ProposalId {
    ProposalId::new(Uuid::from_u128(2))
}

pub fn call() -> RunbookCall {
    RunbookCall {
        runbook: "restart".parse().expect("a name"),
        hash: Sha256Hash::of(b"restart"),
        parameters: Value::Null,
    }
}

/// The revision of a number, with content of its own, routed by the policy.
pub fn revision(number: u32, origin: &Origin, policy: &Policy, requested: Option<Tier>, now: Timestamp) -> Revision {
    let facts = Facts {
        paths: vec![PATH.parse().expect("a path")],
        runbook: match origin {
            Origin::Runbook(call) => Some(call.runbook.clone()),
            Origin::Change | Origin::Observed(_) | Origin::Revert { .. } => None,
        },
        revert: matches!(origin, Origin::Revert { .. }),
        requested,
        trust: Some(Trust::standard("standard")),
        ..Facts::default()
    };
    Revision {
        number,
        author: if number == 1 {
            RevisionAuthor::Agent
        } else {
            RevisionAuthor::Countersign
        },
        base: commit(0),
        digest: digest(number),
        route: policy.route(&"homelab".parse().expect("a name"), &facts),
        facts,
        created_at: now,
        replay: Vec::new(),
    }
}

/// A new proposal, as it is given to `open`.
pub fn fresh(origin: Origin, policy: &Policy) -> Proposal {
    let revision = revision(1, &origin, policy, None, start());
    let commit = match &origin {
        Origin::Observed(_) => Some(commit(7)),
        Origin::Change | Origin::Runbook(_) | Origin::Revert { .. } => None,
    };
    Proposal {
        id: ProposalId::new(Uuid::from_u128(1)),
        version: 1,
        repository: "homelab".parse().expect("a name"),
        branch: "main".to_owned(),
        agent: "bot".parse().expect("a name"),
        requested_by: None,
        correlation: None,
        origin,
        title: "A change".to_owned(),
        reason: String::new(),
        created_at: start(),
        expires_at: start() + TimeDelta::seconds(i64::from(revision.route.ttl_seconds)),
        revision,
        reviews: Vec::new(),
        decision: Decision::Pending,
        decided_at: None,
        audit_head: None,
        ended_by: None,
        hold_until: None,
        delivery: Delivery::None,
        attempts: Vec::new(),
        commit,
        pushed_at: None,
        committed_by: None,
        landed: None,
        pull: None,
        applications: Vec::new(),
        outcome: None,
        ended_at: None,
        note: None,
        reverted_by: None,
        by_hand: None,
        recovered_at: None,
    }
}

pub fn application(state: &str) -> ApplicationState {
    ApplicationState {
        name: "web".to_owned(),
        namespace: "argocd".to_owned(),
        project: "default".to_owned(),
        state: state.to_owned(),
        headline: state.to_owned(),
        tracking: Value::Null,
    }
}

pub fn pull() -> PullRequest {
    PullRequest {
        closed: false,
        number: 1,
        url: "https://example.com/1".to_owned(),
        branch: "countersign/x".to_owned(),
    }
}

/// A revision in the words of the one before.
pub fn revised(proposal: &Proposal, revision: Box<Revision>) -> Event {
    Event::Revise {
        revision,
        title: proposal.title.clone(),
        reason: proposal.reason.clone(),
        correlation: None,
    }
}

pub fn review(name: &str, verdict: ReviewVerdict, proposal: &Proposal, hold_seconds: u32) -> Event {
    Event::Review {
        by: person(name),
        verdict,
        revision: proposal.revision.number,
        digest: proposal.revision.digest,
        hold_seconds,
        verified: false,
    }
}

/// An approval that was confirmed with a code.
pub fn with_code(name: &str, proposal: &Proposal) -> Event {
    let mut event = review(name, ReviewVerdict::Approve, proposal, 0);
    if let Event::Review { verified, .. } = &mut event {
        *verified = true;
    }
    event
}

pub fn built(proposal: &Proposal, n: u8) -> Event {
    Event::CommitBuilt {
        commit: commit(n),
        parent: commit(0),
        digest: proposal.revision.digest,
        orders: Orders::default(),
    }
}

pub fn arrived(n: u8) -> Event {
    Event::Arrived {
        commit: commit(n),
        landed: Landed::AsProposed,
        by: "dave".to_owned(),
        alarm: None,
    }
}

pub fn settled(outcome: Outcome) -> Event {
    Event::Settled {
        outcome,
        applications: vec![application(outcome.as_str())],
        note: None,
    }
}
