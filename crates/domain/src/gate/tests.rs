use super::*;
use crate::decide::tests::world::{Sketch, fresh, start};
use crate::{Origin, PersonRef, Tier, UserId};

fn stop(id: u64, scope: &str) -> Stop {
    Stop {
        id,
        scope: scope.parse().expect("a scope"),
        by: PersonRef {
            id: UserId(1),
            name: "alice".to_owned(),
        },
        at: start(),
        reason: String::new(),
        votes: Vec::new(),
    }
}

#[test]
fn stops_and_freezes_hold_a_delivery_back() {
    let proposal = fresh(Origin::Change, &Sketch::of(Tier::Prompted).policy());
    let policy = Policy::parse(
        "version = 1\n[[freezes]]\nname = \"new year\"\nstart = 2026-01-01\nduration = \"1d\"\n[[freezes]]\nname = \"noon\"\nstart = 2026-01-01T12:00:00\nduration = \"1h\"\n",
    )
    .expect("a policy");
    let open = Policy::parse("version = 1\n").expect("a policy");
    let asked = |policy: &Policy, stops: &[Stop], passed: &[&str]| {
        let passed = passed.iter().map(|name| (*name).to_owned()).collect();
        match may_send(policy, stops, &proposal, &passed, start()) {
            Ok(()) => Vec::new(),
            Err(holds) => holds.iter().map(ToString::to_string).collect(),
        }
    };
    assert!(asked(&open, &[], &[]).is_empty());
    assert!(asked(&open, &[stop(1, "agent other")], &[]).is_empty());
    assert_eq!(
        asked(&open, &[stop(1, "tier standard"), stop(2, "path apps/**")], &[]),
        ["waits: alice stopped path apps/** (/resume 2, by two people)"]
    );
    assert_eq!(
        asked(&policy, &[stop(3, "all")], &["noon"]),
        [
            "waits: alice stopped all (/resume 3, by two people)",
            "waits: apps/web.yaml is frozen by \"new year\" until 2026-01-02 00:00 UTC",
        ]
    );
    assert!(asked(&policy, &[], &["noon", "new year"]).is_empty(), "each was let pass");
    let held = Proposal {
        hold_until: Some(start() + chrono::Duration::seconds(20)),
        ..proposal.clone()
    };
    let holds = may_send(&open, &[], &held, &BTreeSet::new(), start()).expect_err("held back");
    assert_eq!(said(&holds), "held back until 12:00:20 UTC, so that people can still cancel");
    let seconds = |at: i64| (look_again(&holds, start() + chrono::Duration::seconds(at)) - start()).num_seconds();
    assert_eq!((seconds(0), seconds(10)), (15, 20), "at its end, and before");
    assert_eq!(
        may_send(&open, &[], &held, &BTreeSet::new(), start() + chrono::Duration::seconds(20)),
        Ok(())
    );
    let later = may_send(&policy, &[], &proposal, &BTreeSet::new(), start() + chrono::Duration::days(1));
    assert_eq!(later, Ok(()), "it is over");
}
