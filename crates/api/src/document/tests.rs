use super::*;
use domain::{
    ApplicationState, Asked, Ending, Facts, ObjectId, Origin, PersonRef, PullRequest, Requirement, Review, Revision, Route, RunbookCall,
    UserId,
};

/// An id that must never be seen by an agent.
const NUMERIC_ID: i64 = 9_876_543_210;

fn at(minute: u32) -> Timestamp {
    format!("2026-03-01T12:{minute:02}:00Z").parse().unwrap()
}

fn person(name: &str) -> PersonRef {
    PersonRef {
        id: UserId(NUMERIC_ID),
        name: name.to_owned(),
    }
}

fn proposal() -> Proposal {
    let digest = Sha256Hash([0xab; 32]);
    Proposal {
        id: "prp_019000000000700080000000000000ab".parse().unwrap(),
        version: 7,
        repository: "homelab".parse().unwrap(),
        branch: "main".to_owned(),
        agent: "alice-bot".parse().unwrap(),
        requested_by: None,
        correlation: Some("job-1".to_owned()),
        origin: Origin::Change,
        title: "Scale web to 5".to_owned(),
        reason: "latency".to_owned(),
        created_at: at(0),
        expires_at: at(59),
        revision: Revision {
            number: 2,
            author: RevisionAuthor::Agent,
            base: ObjectId::from_bytes([0x11; 20]),
            digest,
            facts: Facts {
                paths: vec!["kubernetes/applications/web/values.yaml".parse().unwrap()],
                ..Facts::default()
            },
            route: Route {
                tier: Tier::Prompted,
                rule: Some("applications".to_owned()),
                why: "rule \"applications\"".to_owned(),
                requirements: vec![Requirement::of(Asked {
                    group: "operators".parse().unwrap(),
                    or: Vec::new(),
                    quorum: 2,
                    allow_owner: false,
                })],
                ttl_seconds: 3540,
                policy: Sha256Hash([0xcd; 32]),
                second_factors: Default::default(),
                waiting: domain::Waiting::default(),
            },
            created_at: at(1),
            replay: Vec::new(),
        },
        reviews: vec![
            Review {
                by: person("bob"),
                verdict: ReviewVerdict::Approve,
                revision: 1,
                digest: Sha256Hash([1; 32]),
                at: at(1),
                verified: false,
            },
            Review {
                by: person("alice"),
                verdict: ReviewVerdict::Approve,
                revision: 2,
                digest,
                at: at(2),
                verified: true,
            },
        ],
        decision: Decision::Pending,
        decided_at: None,
        audit_head: None,
        ended_by: None,
        hold_until: None,
        delivery: Delivery::None,
        attempts: Vec::new(),
        commit: None,
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

fn call() -> RunbookCall {
    RunbookCall {
        runbook: "set-image-tag".parse().unwrap(),
        hash: Sha256Hash([0xef; 32]),
        parameters: serde_json::json!({"tag": "1.2"}),
    }
}

/// Everything that can be there is there.
fn full() -> Proposal {
    Proposal {
        requested_by: Some(person("alice")),
        origin: Origin::Revert {
            of: proposal().id,
            commit: ObjectId::from_bytes([0x22; 20]),
        },
        decision: Decision::Approved,
        decided_at: Some(at(3)),
        ended_by: Some(Ending {
            by: Some(person("bob")),
            reason: Some("wrong time".to_owned()),
            reason_until: Some(at(5)),
        }),
        hold_until: Some(at(3)),
        delivery: Delivery::Ended,
        commit: Some(ObjectId::from_bytes([0x33; 20])),
        pushed_at: Some(at(4)),
        committed_by: Some("alice <alice@example.org>".to_owned()),
        landed: Some(Landed::WithEdits),
        pull: Some(PullRequest {
            closed: false,
            number: 12,
            url: "https://192.0.2.7/pulls/12".to_owned(),
            branch: "countersign/x".to_owned(),
        }),
        applications: vec![ApplicationState {
            name: "web".to_owned(),
            namespace: "argocd".to_owned(),
            project: "default".to_owned(),
            state: "degraded".to_owned(),
            headline: "a pod does not start".to_owned(),
            tracking: serde_json::json!({"internal": NUMERIC_ID}),
        }],
        outcome: Some(Outcome::Degraded),
        ended_at: Some(at(6)),
        note: Some("web is degraded".to_owned()),
        reverted_by: Some(proposal().id),
        by_hand: Some(domain::ByHand {
            commit: CommitId::from_bytes([0x77; 20]),
            author: "olivia".to_owned(),
            restored: true,
            put_back: Some(CommitId::from_bytes([0x78; 20])),
        }),
        recovered_at: Some(at(7)),
        ..proposal()
    }
}

#[test]
fn a_pending_proposal() {
    insta::assert_json_snapshot!(ProposalDocument::from(&proposal()));
}

#[test]
fn an_ended_proposal_with_everything() {
    insta::assert_json_snapshot!(ProposalDocument::from(&full()));
}

#[test]
fn origins_have_one_shape_each() {
    let origins = [Origin::Change, Origin::Runbook(call()), Origin::Observed(call())].map(|origin| OriginDocument::from(&origin));
    insta::assert_snapshot!(serde_json::to_string(&origins).unwrap(), @r#"[{"kind":"change"},{"kind":"runbook","runbook":"set-image-tag","hash":"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef","parameters":{"tag":"1.2"}},{"kind":"observed","runbook":"set-image-tag","hash":"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef","parameters":{"tag":"1.2"}}]"#);
}

#[test]
fn no_numeric_id_ever_leaves() {
    let text = serde_json::to_string(&ProposalDocument::from(&full())).unwrap();
    assert!(!text.contains(&NUMERIC_ID.to_string()), "{text}");
}

#[test]
fn actions_are_linked_while_they_are_possible() {
    let linked = |decision, delivery, outcome| {
        let proposal = Proposal {
            decision,
            delivery,
            outcome,
            ..proposal()
        };
        let links = ProposalDocument::from(&proposal).links;
        (links.revisions.is_some(), links.withdraw.is_some())
    };
    for (decision, delivery, outcome, expected) in [
        (Decision::Pending, Delivery::None, None, (true, true)),
        (Decision::Pending, Delivery::AwaitingCommit, None, (true, true)),
        (Decision::Approved, Delivery::Queued, None, (false, true)),
        (Decision::Approved, Delivery::PushBlocked, None, (false, true)),
        (Decision::Approved, Delivery::Committing, None, (false, false)),
        (Decision::Approved, Delivery::Syncing, None, (false, false)),
        (Decision::Rejected, Delivery::None, Some(Outcome::Rejected), (false, false)),
    ] {
        assert_eq!(linked(decision, delivery, outcome), expected, "{decision} {delivery}");
    }
}

#[test]
fn the_documents_are_as_described() {
    let validator = crate::tests::validator("ProposalDocument");
    let runbook = Proposal {
        origin: Origin::Runbook(call()),
        ..proposal()
    };
    for proposal in [proposal(), full(), runbook] {
        let document = serde_json::to_value(ProposalDocument::from(&proposal)).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let fields = document.as_object().unwrap().keys().collect::<Vec<_>>();
        let described = serde_json::to_value(crate::openapi()).unwrap()["components"]["schemas"]["ProposalDocument"]["properties"].clone();
        assert_eq!(fields, described.as_object().unwrap().keys().collect::<Vec<_>>());
    }
    // A control: a wrong word must fail.
    let mut wrong = serde_json::to_value(ProposalDocument::from(&proposal())).unwrap();
    wrong["decision"] = "maybe".into();
    assert!(!validator.is_valid(&wrong));
}
