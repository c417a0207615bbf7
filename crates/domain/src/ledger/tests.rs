//! The rules of the ledger, one table each, and what holds for every history.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Landed, Outcome, ProposalId, Sha256Hash, Tier, Timestamp};

const CONSTANTS: fn() -> TrustConstants = TrustConstants::default;

/// Hours after a fixed midnight.
pub(super) fn at(hours: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_057_600, 0).expect("a time") + chrono::Duration::hours(hours)
}

fn days(days: i64) -> Timestamp {
    at(days * 24)
}

pub(super) fn key() -> LedgerKey {
    LedgerKey {
        runbook: "scale".parse().expect("a name"),
        hash: Sha256Hash([9; 32]),
        environment: Environment {
            repository: "homelab".parse().expect("a name"),
            class: "production".parse().expect("a name"),
        },
    }
}

pub(super) fn target(name: &str) -> Target {
    Target::of([format!("apps/{name}.yaml").parse().expect("a path")])
}

/// A run that succeeded ten minutes after it began.
pub(super) fn good(number: u64, on: &str, started_at: Timestamp) -> Trial {
    Trial {
        proposal: ProposalId::new(uuid::Uuid::from_u128(u128::from(number))),
        key: key(),
        target: target(on),
        tier: Tier::Prompted,
        source: Source::Proposed,
        parameters: json!({ "app": on, "replicas": 3 }),
        started_at,
        closes_at: Trial::closes_at(
            started_at,
            chrono::Duration::minutes(10),
            chrono::Duration::minutes(5),
            &CONSTANTS(),
        ),
        result: TrialResult::Succeeded,
        settled_at: Some(started_at + chrono::Duration::minutes(10)),
        reverted_at: None,
    }
}

pub(super) fn with(result: TrialResult, trial: Trial) -> Trial {
    Trial { result, ..trial }
}

/// One good run a day, taking turns on three targets, from day 0.
fn daily(runs: i64) -> Vec<Trial> {
    let run = |day: i64| good(day.unsigned_abs(), ["a", "b", "c"][(day % 3).unsigned_abs() as usize], days(day));
    (0..runs).map(run).collect()
}

pub(super) fn schema() -> Value {
    json!({ "type": "object", "properties": {
        "app": { "type": "string" },
        "replicas": { "type": "integer" },
        "mode": { "enum": ["soft", "hard"] },
        "force": { "type": "boolean" },
    }})
}

/// A record to look at, in one line.
#[derive(Debug, Clone)]
struct World {
    ceiling: Tier,
    trials: Vec<Trial>,
    grant: Option<Grant>,
    demotions: Vec<Demotion>,
    holds: Vec<Hold>,
    declined_at: Option<Timestamp>,
}

impl World {
    fn new(trials: Vec<Trial>) -> Self {
        Self {
            ceiling: Tier::Standard,
            trials,
            grant: None,
            demotions: vec![],
            holds: vec![],
            declined_at: None,
        }
    }

    fn granted(mut self, offered_at: Timestamp) -> Self {
        self.grant = Some(Grant {
            offered_at,
            granted_at: offered_at + chrono::Duration::hours(1),
            expires_at: offered_at + CONSTANTS().grant,
            given: false,
        });
        self
    }

    fn at(&self, now: Timestamp) -> Standing {
        let schema = schema();
        let record = Record {
            ceiling: self.ceiling,
            schema: &schema,
            trials: &self.trials,
            grant: self.grant.as_ref(),
            demotions: &self.demotions,
            holds: &self.holds,
            declined_at: self.declined_at,
        };
        standing(&record, now, &CONSTANTS())
    }

    /// Writes down what is due, as the service does.
    fn written(mut self, now: Timestamp) -> Self {
        while let Some(due) = self.at(now).due {
            self.demotions.push(demotion(due.at, due.to));
        }
        self
    }
}

fn demotion(at: Timestamp, to: Tier) -> Demotion {
    Demotion {
        at,
        to,
        cause: DemotionCause::Failure,
        proposal: None,
        by: None,
        lifted_at: None,
    }
}

#[test]
fn a_proven_runbook_is_offered_a_promotion_and_takes_none() {
    let world = World::new(daily(14));
    let standing = world.at(days(15));
    assert_eq!(standing.words, "14 of 14, at least 81 %");
    assert_eq!((standing.tier, standing.missing.len()), (Tier::Prompted, 0));
    assert_eq!(standing.why, "prompted: not promoted yet");
    let offer = standing.offer.expect("an offer");
    assert_eq!(offer.evidence, "14 of 14, at least 81 %, on 14 days and 3 targets");
    assert_eq!(offer.expires_at - days(15), chrono::Duration::days(90));

    let promoted = world.granted(days(15));
    assert_eq!(
        promoted.at(days(15)).why,
        "prompted: its promotion begins on 2027-01-31",
        "not before it landed"
    );
    let standing = promoted.at(days(16));
    assert_eq!(
        (standing.tier, standing.why.as_str()),
        (Tier::Standard, "standard until 2027-05-01")
    );
    assert_eq!((standing.offer, standing.missing, standing.due), (None, vec![], None));
    let over = promoted.at(days(15 + 90));
    assert_eq!(
        (over.tier, over.why.as_str()),
        (Tier::Prompted, "prompted: its promotion ended on 2027-05-01")
    );
    assert!(over.offer.is_some(), "the record still holds, so it is offered again");
    assert_eq!(over.due, None, "time is no demotion");
}

#[test]
fn an_offer_says_what_it_lacks() {
    let lacking = |world: &World, now: Timestamp| {
        let standing = world.at(now);
        assert_eq!(standing.offer.is_none(), !standing.missing.is_empty());
        standing.missing.join("; ")
    };
    assert_eq!(
        lacking(&World::new(vec![]), days(0)),
        "14 more trials (0 of 14); 5 more days with a trial (0 of 5); 2 more targets (0 of 2); a record that shows at least 80 % (now 5 %)"
    );
    assert_eq!(
        lacking(&World::new(daily(13)), days(20)),
        "1 more trial (13 of 14)",
        "thirteen already reach the bound"
    );
    let one_target: Vec<Trial> = (0..20).map(|day| good(day, "a", days(day as i64))).collect();
    assert_eq!(lacking(&World::new(one_target), days(30)), "1 more target (1 of 2)");
    let four_days: Vec<Trial> = (0..20).map(|n| good(n, &format!("t{n}"), days(n as i64 / 5))).collect();
    assert_eq!(lacking(&World::new(four_days), days(30)), "1 more day with a trial (4 of 5)");
    let mut one_failed = daily(25);
    one_failed[17].result = TrialResult::Degraded;
    assert_eq!(
        lacking(&World::new(one_failed.clone()), days(30)),
        "3 more trials without a failure (none of the last 10 may fail)"
    );
    one_failed[17].result = TrialResult::Succeeded;
    one_failed[8].result = TrialResult::Degraded;
    assert_eq!(lacking(&World::new(one_failed.clone()), days(30)), "");
    one_failed.truncate(20);
    assert_eq!(
        lacking(&World::new(one_failed), days(30)),
        "a record that shows at least 80 % (now 79 %)"
    );

    let ready = World::new(daily(14));
    let cases: [(World, &str); 4] = [
        (
            World {
                ceiling: Tier::Prompted,
                ..ready.clone()
            },
            "a higher ceiling in its file (now prompted)",
        ),
        (
            World {
                holds: good(0, "a", days(1)).revert(days(2)),
                ..ready.clone()
            },
            "a human who lifts the hold on apps/a.yaml",
        ),
        (
            World {
                demotions: vec![demotion(days(-9), Tier::Manual)],
                ..ready.clone()
            },
            "a human who lifts `manual`",
        ),
        (
            World {
                declined_at: Some(days(10)),
                ..ready
            },
            "time: an offer was turned down, the next one is made from 2027-02-25",
        ),
    ];
    for (world, expected) in cases {
        assert!(lacking(&world, days(15)).starts_with(expected), "{}", lacking(&world, days(15)));
    }
}

#[test]
fn what_is_a_trial() {
    use Outcome as O;
    use TrialResult as R;
    for (outcome, expected) in [
        (O::Synced, Some(R::Succeeded)),
        (O::Pushed, Some(R::Unknown)),
        (O::Degraded, Some(R::Degraded)),
        (O::SyncFailed, Some(R::SyncFailed)),
        (O::TimedOut, Some(R::Unknown)),
        (O::RolledBack, Some(R::RolledBack)),
        (O::Lost, Some(R::Lost)),
        (O::Conflicted, None),
        (O::PushRefused, None),
        (O::Diverged, None),
        (O::Rejected, None),
        (O::Expired, None),
        (O::Withdrawn, None),
        (O::Refused, None),
        (O::Dismissed, None),
    ] {
        assert_eq!(TrialResult::of(outcome, None), expected, "{outcome}");
        assert_eq!(TrialResult::of(outcome, Some(Landed::AsProposed)), expected, "{outcome}");
        assert_eq!(
            TrialResult::of(outcome, Some(Landed::WithEdits)),
            None,
            "{outcome}: not what was rendered"
        );
    }
}

#[test]
fn a_success_counts_when_its_window_has_closed_a_failure_at_once() {
    let open = with(TrialResult::Open, good(1, "a", at(0)));
    assert_eq!(open.closes_at, at(24));
    for (trial, hour, expected) in [
        (open.clone(), 23, TrialResult::Open),
        (open.clone(), 24, TrialResult::Unknown),
        (good(1, "a", at(0)), 23, TrialResult::Open),
        (good(1, "a", at(0)), 24, TrialResult::Succeeded),
        (with(TrialResult::Degraded, open.clone()), 1, TrialResult::Degraded),
    ] {
        assert_eq!(trial.result_at(at(hour)), expected, "{:?} at hour {hour}", trial.result);
    }
    // A clock that jumps back opens windows again: nothing is credited early.
    assert_eq!(World::new(daily(14)).at(days(3)).counts.trials(), 3);
    let long = Trial::closes_at(at(0), chrono::Duration::hours(20), chrono::Duration::hours(10), &CONSTANTS());
    assert_eq!(long, at(30), "a long verification keeps the window open");

    let mut trial = open;
    assert!(trial.settle(TrialResult::Succeeded, at(1)));
    assert!(!trial.settle(TrialResult::Succeeded, at(2)), "once");
    let mut late = trial.clone();
    assert!(trial.settle(TrialResult::Unstable, at(2)), "a success may still turn");
    assert!(!trial.settle(TrialResult::Succeeded, at(3)), "a failure never does");
    assert_eq!((trial.result, trial.settled_at), (TrialResult::Unstable, Some(at(2))));
    assert!(!late.settle(TrialResult::Reverted, at(25)), "the window has closed");
    let holds = late.revert(at(25));
    assert_eq!((late.result, late.reverted_at), (TrialResult::Succeeded, Some(at(25))));
    assert_eq!(holds.len(), 1);
}

#[test]
fn of_repeats_on_one_target_within_a_day_the_worst_counts() {
    use TrialResult as R;
    let runs = |results: &[(&str, i64, TrialResult)]| -> Vec<Trial> {
        let numbered = results.iter().zip(0..);
        numbered
            .map(|((on, hour, result), n)| with(*result, good(n, on, at(*hour))))
            .collect()
    };
    for (results, good, bad, unknown, repeats) in [
        (
            vec![("a", 0, R::Succeeded), ("a", 1, R::Succeeded), ("a", 23, R::Succeeded)],
            1,
            0,
            0,
            2,
        ),
        (vec![("a", 0, R::Succeeded), ("a", 24, R::Succeeded)], 2, 0, 0, 0),
        // The day begins with the first run of the group, not with each.
        (
            vec![("a", 0, R::Succeeded), ("a", 20, R::Succeeded), ("a", 40, R::Succeeded)],
            2,
            0,
            0,
            1,
        ),
        (
            vec![("a", 0, R::Succeeded), ("a", 1, R::Degraded), ("a", 2, R::Succeeded)],
            0,
            1,
            0,
            2,
        ),
        (vec![("a", 0, R::Unknown), ("a", 1, R::Degraded)], 0, 1, 0, 1),
        (vec![("a", 0, R::Unknown), ("a", 1, R::Succeeded)], 0, 1, 1, 1),
        (vec![("a", 0, R::SyncFailed), ("a", 1, R::SyncFailed)], 0, 1, 0, 1),
        (vec![("a", 0, R::Succeeded), ("b", 1, R::Succeeded)], 2, 0, 0, 0),
    ] {
        let mut trials = runs(&results);
        for _ in 0..2 {
            let counts = World::new(trials.clone()).at(days(9)).counts;
            let found = (counts.succeeded, counts.failed, counts.unknown, counts.repeats);
            assert_eq!(found, (good, bad, unknown, repeats), "{results:?}");
            trials.reverse();
        }
    }
}

#[test]
fn observed_runs_count_for_the_runbook_only_when_verified_and_reported_soon() {
    let observed = |took_minutes: i64, verified: bool, result| Trial {
        source: Source::Observed {
            committed_at: at(0),
            reported_at: at(0) + chrono::Duration::minutes(took_minutes),
            verified,
        },
        ..with(result, good(1, "a", at(0)))
    };
    use TrialResult::{Degraded, Succeeded};
    for (trial, expected) in [
        (observed(0, true, Succeeded), (1, 0, 0)),
        (observed(10, true, Succeeded), (1, 0, 0)),
        (observed(11, true, Succeeded), (0, 0, 1)),
        (observed(-1, true, Succeeded), (1, 0, 0)),
        (observed(-2, true, Succeeded), (0, 0, 1)),
        (observed(0, false, Succeeded), (0, 0, 0)),
        (observed(0, true, Degraded), (0, 1, 0)),
        (observed(600, true, Degraded), (0, 1, 0)),
        (observed(0, false, Degraded), (0, 0, 0)),
    ] {
        let world = World::new(vec![trial.clone()]);
        let counts = world.at(days(2)).counts;
        assert_eq!((counts.succeeded, counts.failed, counts.late), expected, "{trial:?}");
        let mut promoted = World::new(daily(14)).granted(days(-1));
        promoted.trials.push(trial.clone());
        let demoted = promoted.at(days(15)).tier != Tier::Standard;
        assert_eq!(demoted, expected.1 > 0, "{trial:?}");
    }
}

#[test]
fn the_record_is_the_last_fifty_of_the_last_half_year() {
    let mut trials = daily(120);
    for trial in &mut trials[..60] {
        trial.result = TrialResult::Degraded;
    }
    let world = World::new(trials);
    let counts = world.at(days(121)).counts;
    assert_eq!((counts.succeeded, counts.failed), (50, 0));
    let counts = world.at(days(119 + 170)).counts;
    assert_eq!((counts.succeeded, counts.failed), (11, 0), "old runs are forgotten, good ones too");
}

#[test]
fn whatever_goes_wrong_takes_the_tier_away_at_once() {
    let promoted = World::new(daily(14)).granted(days(15));
    assert_eq!(promoted.at(days(17)).tier, Tier::Standard);
    let run = || Trial {
        tier: Tier::Standard,
        ..good(99, "b", days(16))
    };
    let bad = TrialResult::ALL.iter().filter(|result| result.is_failure());
    for result in bad {
        let mut world = promoted.clone();
        world.trials.push(with(*result, run()));
        let standing = world.at(at(16 * 24 + 1));
        assert_eq!(standing.tier, Tier::Prompted, "{result}");
        let due = standing.due.expect("to be written down");
        assert_eq!((due.to, due.proposal), (Tier::Prompted, run().proposal), "{result}");
        let written = world.written(at(16 * 24 + 1));
        assert_eq!(
            (written.demotions.len(), written.at(days(17)).tier),
            (1, Tier::Prompted),
            "{result}"
        );
    }
    // An answer that does not come.
    let mut silent = promoted.clone();
    silent.trials.push(Trial {
        settled_at: None,
        ..with(TrialResult::Open, run())
    });
    assert_eq!(silent.at(at(17 * 24 - 1)).tier, Tier::Standard);
    let standing = silent.at(days(17));
    assert_eq!(standing.tier, Tier::Prompted);
    assert_eq!(standing.why, "prompted since 2027-02-02: nobody can say how a run ended");
    // A revert long after the window, of a run from before the promotion.
    let mut reverted = promoted.clone();
    reverted.trials[0].revert(days(30));
    let standing = reverted.at(days(30));
    assert_eq!((standing.tier, standing.counts.failed), (Tier::Prompted, 0));
    assert_eq!(standing.due.map(|due| due.cause), Some(DemotionCause::Revert));
    // A human's word.
    let mut told = promoted.clone();
    told.demotions.push(demotion(days(20), Tier::Prompted));
    assert_eq!((told.at(days(20)).tier, told.at(days(20)).due), (Tier::Prompted, None));
    // What fails between the offer and its landing.
    let mut between = promoted;
    let fails_at = days(15) + chrono::Duration::minutes(30);
    between.trials.push(Trial {
        settled_at: Some(fails_at),
        ..with(TrialResult::Degraded, good(98, "c", days(15)))
    });
    assert_eq!(between.at(days(17)).tier, Tier::Prompted, "the human saw another record");
}

#[test]
fn the_way_back_needs_fresh_trials() {
    let mut world = World::new(daily(40)).granted(days(20));
    world.trials[30].result = TrialResult::Degraded;
    let world = world.written(days(31));
    assert_eq!(world.demotions.len(), 1);
    let standing = world.at(days(41));
    assert_eq!(
        standing.missing,
        [
            "5 more trials (9 of 14 since its demotion)",
            "1 more trials without a failure (none of the last 10 may fail)"
        ]
    );
    let mut later = world;
    later
        .trials
        .extend((40..45).map(|day| good(day, ["a", "b"][day as usize % 2], days(day as i64))));
    assert!(later.at(days(46)).offer.is_some());
    assert_eq!(later.at(days(46)).tier, Tier::Prompted, "offered, not taken");
    assert_eq!(later.granted(days(46)).at(days(47)).tier, Tier::Standard);
}

#[test]
fn a_second_failure_among_ten_means_manual_until_a_human_lifts_it() {
    let mut world = World::new(daily(30));
    world.trials[10].result = TrialResult::Degraded;
    assert_eq!(world.at(days(12)).tier, Tier::Prompted);
    world.trials[21].result = TrialResult::Degraded;
    assert_eq!(world.clone().at(days(31)).tier, Tier::Prompted, "eleven runs apart");
    world.trials[20].result = TrialResult::Unknown;
    let standing = world.at(days(25));
    assert_eq!(standing.tier, Tier::Manual);
    assert_eq!(
        standing.due.map(|due| (due.to, due.cause)),
        Some((Tier::Manual, DemotionCause::SecondFailure))
    );
    let mut world = world.written(days(25));
    assert_eq!(world.at(days(300)).tier, Tier::Manual, "time does not lift it");
    world.demotions[0].lifted_at = Some(days(26));
    assert_eq!((world.at(days(26)).tier, world.at(days(26)).due), (Tier::Prompted, None));
    world.trials[26].result = TrialResult::SyncFailed;
    assert_eq!(world.at(days(27)).tier, Tier::Manual, "and again");
}

#[test]
fn the_ceiling_bounds_everything() {
    for (ceiling, tier, why) in [
        (Tier::Manual, Tier::Manual, "manual: its file allows no more"),
        (Tier::Prompted, Tier::Prompted, "prompted: its file allows no more"),
        (Tier::Standard, Tier::Standard, "standard until 2027-05-01"),
    ] {
        let mut world = World::new(daily(14)).granted(days(15));
        world.ceiling = ceiling;
        let standing = world.at(days(16));
        assert_eq!((standing.tier, standing.why.as_str()), (tier, why));
        assert_eq!(standing.standard_until.is_some(), ceiling == Tier::Standard);
    }
}

#[test]
fn one_run_is_ruled_by_its_parameters_and_paths() {
    let mut world = World::new(daily(14)).granted(days(15));
    for (trial, replicas) in world.trials.iter_mut().zip(2_u64..) {
        trial.parameters = json!({ "app": "a", "replicas": replicas.min(5), "mode": "soft", "force": false });
    }
    let call = |more: Value| {
        let mut call = json!({ "app": "new", "replicas": 3, "mode": "soft", "force": false });
        for (name, value) in more.as_object().expect("an object") {
            call[name] = value.clone();
        }
        call
    };
    let standing = world.at(days(16));
    for (parameters, expected) in [
        (call(json!({})), None),
        (call(json!({ "replicas": 5 })), None),
        (
            call(json!({ "replicas": 6 })),
            Some("replicas = 6 is outside of what was tried (2 to 5)"),
        ),
        (
            call(json!({ "replicas": 1.5 })),
            Some("replicas = 1.5 is outside of what was tried (2 to 5)"),
        ),
        (
            call(json!({ "replicas": u64::MAX })),
            Some("replicas = 18446744073709551615 is outside of what was tried (2 to 5)"),
        ),
        (call(json!({ "replicas": "3" })), None),
        (call(json!({ "mode": "hard" })), Some("this value of mode was never tried")),
        (call(json!({ "force": true })), Some("this value of force was never tried")),
        (call(json!({ "app": 3 })), Some("app = 3: no number was tried")),
        (call(json!({ "extra": 1 })), Some("extra is given, which was never tried")),
        (json!({ "app": "a" }), Some("force is left out, which was never tried")),
    ] {
        let ruling = standing.rule(&parameters, &target("a"));
        let expected = match expected {
            Some(why) => Ruling::Runs {
                tier: Tier::Prompted,
                why: format!("prompted for this run: {why}"),
                alone: false,
            },
            None => Ruling::Runs {
                tier: Tier::Standard,
                why: "standard until 2027-05-01".to_owned(),
                alone: true,
            },
        };
        assert_eq!(ruling, expected, "{parameters}");
    }
    world.holds = good(1, "b", days(3)).revert(days(4));
    let standing = world.at(days(16));
    let ruling = standing.rule(&call(json!({})), &target("b"));
    assert!(
        matches!(&ruling, Ruling::Held { why, .. } if why == "scale is on hold for apps/b.yaml since 2027-01-20: a run on it was reverted; a human must lift the hold first"),
        "{ruling:?}"
    );
    assert!(
        matches!(standing.rule(&call(json!({})), &target("a")), Ruling::Runs { .. }),
        "another path"
    );
}

#[test]
fn before_its_promotion_a_runbook_says_what_it_would_have_done() {
    let alone = |standing: &Standing, replicas: u64| {
        let ruling = standing.rule(&json!({ "app": "a", "replicas": replicas }), &target("a"));
        matches!(
            ruling,
            Ruling::Runs {
                tier: Tier::Prompted,
                alone: true,
                ..
            }
        )
    };
    let standing = World::new(daily(3)).at(days(5));
    assert!(alone(&standing, 3) && !alone(&standing, 9));
    assert!(!alone(&World::new(vec![]).at(days(5)), 3), "nothing tried, nothing it would dare");
    let capped = World {
        ceiling: Tier::Prompted,
        ..World::new(daily(3))
    };
    assert!(!alone(&capped.at(days(5)), 3));
    for (runs, alone, agreed, words) in [
        (0, 0, 0, None),
        (4, 0, 0, Some("would have run by itself: 0 of 4 times")),
        (15, 12, 11, Some("would have run by itself: 12 of 15 times; humans agreed 11 of 12")),
    ] {
        assert_eq!(Shadow { runs, alone, agreed }.words().as_deref(), words);
    }
}

#[test]
fn the_picture_shows_what_counts() {
    let mut trials = daily(4);
    trials[1].result = TrialResult::Unknown;
    trials[2].result = TrialResult::Lost;
    assert_eq!(
        squares(&trials, days(4), &CONSTANTS()),
        [Square::Good, Square::Unknown, Square::Bad, Square::Good]
    );
    assert_eq!(squares(&trials, days(3), &CONSTANTS()).len(), 3, "the fourth is open");
}

fn any_trial() -> impl Strategy<Value = Trial> {
    let results = prop::sample::select(TrialResult::ALL);
    let likely = prop_oneof![5 => Just(TrialResult::Succeeded), 1 => results];
    let sources = prop_oneof![
        4 => Just(Source::Proposed),
        1 => (-20_i64..20, any::<bool>()).prop_map(|(minutes, verified)| Source::Observed {
            committed_at: at(0),
            reported_at: at(0) + chrono::Duration::minutes(minutes),
            verified,
        }),
    ];
    let on = prop::sample::select(vec!["a", "b", "c"]);
    (
        any::<u64>(),
        on,
        0..2000_i64,
        likely,
        sources,
        0..9_u64,
        prop::option::weighted(0.05, 0..100_i64),
    )
        .prop_map(|(number, on, hour, result, source, replicas, reverted)| Trial {
            source,
            parameters: json!({ "replicas": replicas }),
            reverted_at: reverted.map(|later| at(hour + later)),
            ..with(result, good(number, on, at(hour)))
        })
}

fn any_world() -> impl Strategy<Value = World> {
    let demotions = prop::collection::vec((0..2000_i64, any::<bool>(), any::<bool>()), 0..2);
    let grants = prop::option::of(0..2000_i64);
    (
        prop::collection::vec(any_trial(), 0..60),
        demotions,
        grants,
        prop::sample::select(Tier::ALL),
    )
        .prop_map(|(trials, demotions, grant, ceiling)| {
            let mut world = World::new(trials);
            world.ceiling = ceiling;
            if let Some(hour) = grant {
                world = world.granted(at(hour));
            }
            world.demotions = demotions
                .into_iter()
                .map(|(hour, manual, lifted)| Demotion {
                    lifted_at: lifted.then(|| at(hour + 1)),
                    ..demotion(at(hour), if manual { Tier::Manual } else { Tier::Prompted })
                })
                .collect();
            world
        })
}

proptest! {
    #[test]
    fn the_order_in_which_trials_are_given_does_not_matter(world in any_world(), hour in 0..3000_i64) {
        let mut shuffled = world.clone();
        shuffled.trials.reverse();
        prop_assert_eq!(world.at(at(hour)), shuffled.at(at(hour)));
    }

    /// Promotion is offered, never taken: without a live, untouched grant nothing is standard.
    #[test]
    fn standard_needs_a_grant_and_nothing_wrong_since(world in any_world(), hour in 0..3000_i64) {
        let now = at(hour);
        let standing = world.at(now);
        prop_assert!(standing.tier <= world.ceiling);
        if standing.tier == Tier::Standard {
            let grant = world.grant.expect("a grant");
            prop_assert!(grant.granted_at <= now && now < grant.expires_at);
            prop_assert!(world.demotions.iter().all(|demotion| demotion.at < grant.offered_at));
            prop_assert!(standing.offer.is_none() && standing.missing.is_empty());
            let unverified = |trial: &Trial| matches!(trial.source, Source::Observed { verified: false, .. });
            for trial in world.trials.iter().filter(|trial| !unverified(trial)) {
                prop_assert!(trial.failed_at(now).is_none_or(|at| at < grant.offered_at));
                prop_assert!(trial.reverted_at.is_none_or(|at| at < grant.offered_at));
            }
        }
    }

    /// An offer means that every rule holds, counted here once more by plain means.
    #[test]
    fn an_offer_keeps_every_rule(world in any_world(), hour in 0..3000_i64) {
        let standing = world.at(at(hour));
        if standing.offer.is_some() {
            let counts = standing.counts;
            prop_assert!(standing.bound >= 0.80 && counts.trials() >= 14 && counts.days >= 5 && counts.targets >= 2);
            prop_assert!(counts.clean >= 10 && world.ceiling == Tier::Standard && standing.tier == Tier::Prompted);
        } else {
            prop_assert!(standing.tier == Tier::Standard || !standing.missing.is_empty());
        }
    }

    /// One more failure never helps: it neither raises the tier nor brings an offer.
    #[test]
    fn a_failure_never_helps(world in any_world(), hour in 0..2000_i64, trial in any_trial()) {
        let now = at(hour);
        let before = world.at(now);
        let mut after = world;
        // Newer than all others: an older one may push a still older failure out of the last fifty.
        after.trials.push(Trial { source: Source::Proposed, ..with(TrialResult::Degraded, Trial { started_at: now, settled_at: Some(now), ..trial }) });
        let after = after.at(now);
        prop_assert!(after.tier <= before.tier);
        prop_assert!(after.offer.is_none());
        prop_assert!(after.tier < Tier::Standard || before.due.is_none());
    }

    /// Writing down what is due settles it and changes no tier.
    #[test]
    fn what_is_due_is_in_force_already(world in any_world(), hour in 0..3000_i64) {
        let now = at(hour);
        let before = world.at(now);
        let written = world.clone().written(now);
        prop_assert!(written.demotions.len() <= world.demotions.len() + 2);
        prop_assert_eq!(written.at(now).tier, before.tier);
        prop_assert!(before.due.is_none_or(|due| due.to >= before.tier));
    }
}
