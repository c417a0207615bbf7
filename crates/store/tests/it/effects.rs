//! Claims, leases, postponement and parking, as tables.

use domain::Effect;
use store::{Claimed, StoreError};

use crate::support::{Fixture, at, id, proposal};

const ALL: [&str; 4] = ["send_card", "edit_cards", "deliver", "alarm"];

impl Fixture {
    async fn owe(&self, n: u64, effect: Effect, due: i64) {
        self.write(move |tx| Box::pin(async move { tx.schedule(Some(id(n)), &effect, at(due)).await }))
            .await;
    }

    async fn claim(&self, now: i64, lease: i64) -> Vec<Claimed> {
        self.write(move |tx| Box::pin(async move { tx.claim(at(now), at(lease), 100, &ALL).await }))
            .await
    }

    /// What a claim hands out, as "proposal key attempt".
    async fn claimed(&self, now: i64, lease: i64) -> Vec<String> {
        let claimed = self.claim(now, lease).await;
        let short = |one: &Claimed| {
            format!(
                "{} {} #{}",
                one.proposal.map_or(String::new(), |id| id.short()),
                one.effect.key(),
                one.attempts
            )
        };
        claimed.iter().map(short).collect()
    }

    async fn finish(&self, effect_id: i64) {
        self.write(move |tx| Box::pin(async move { tx.finish(effect_id).await })).await;
    }

    async fn postpone(&self, effect_id: i64, due: i64) {
        self.write(move |tx| Box::pin(async move { tx.postpone(effect_id, at(due), Some("later")).await }))
            .await;
    }

    async fn next_due(&self) -> Option<i64> {
        let next = self.store.read().next_due().await.expect("reads");
        next.map(|next| (next - at(0)).num_seconds())
    }

    async fn owed(&self, n: u64) -> Vec<(String, i64)> {
        let owed = self.store.read().effects_waiting(id(n)).await.expect("reads");
        owed.into_iter().map(|one| (one.key, (one.due - at(0)).num_seconds())).collect()
    }
}

async fn with_proposals(count: u64) -> Fixture {
    let it = Fixture::new().await;
    for n in 1..=count {
        it.insert(proposal(n)).await;
    }
    it
}

#[tokio::test]
async fn due_effects_are_handed_out_once_in_order_and_by_kind() {
    let it = with_proposals(2).await;
    it.owe(1, Effect::Deliver, 20).await;
    it.owe(2, Effect::SendCard, 10).await;
    it.owe(2, Effect::Expire, 5).await;
    it.owe(1, Effect::EditCards, 90).await;
    assert_eq!(
        it.claimed(9, 60).await,
        Vec::<String>::new(),
        "nothing is due yet, and expiry is another worker's"
    );
    assert_eq!(it.claimed(30, 60).await, ["000002 send_card #1", "000001 deliver #1"]);
    assert_eq!(it.claimed(30, 60).await, Vec::<String>::new(), "leased");
}

#[tokio::test]
async fn a_limit_leaves_the_rest() {
    let it = with_proposals(3).await;
    for n in 1..=3 {
        it.owe(n, Effect::Deliver, 0).await;
    }
    let two = it
        .write(|tx| Box::pin(async { tx.claim(at(1), at(60), 2, &["deliver"]).await }))
        .await;
    assert_eq!(two.len(), 2);
    assert_eq!(it.claimed(1, 60).await, ["000003 deliver #1"]);
}

#[tokio::test]
async fn the_same_effect_waits_once_at_the_earlier_time() {
    let it = with_proposals(1).await;
    for due in [50, 20, 70] {
        it.owe(1, Effect::EditCards, due).await;
    }
    assert_eq!(it.owed(1).await, [("edit_cards".to_owned(), 20)]);
}

#[tokio::test]
async fn alarms_of_different_words_both_wait_and_go_one_after_the_other() {
    let it = with_proposals(1).await;
    for text in ["fire", "water", "fire"] {
        it.owe(1, Effect::Alarm { text: text.to_owned() }, 0).await;
    }
    let first = it.claim(1, 60).await;
    assert_eq!(first.len(), 1);
    it.finish(first[0].effect_id).await;
    let second = it.claim(1, 60).await;
    assert_eq!(second[0].effect, Effect::Alarm { text: "water".to_owned() });
}

#[tokio::test]
async fn one_more_may_wait_beside_a_running_one_and_starts_when_it_ends() {
    let it = with_proposals(1).await;
    it.owe(1, Effect::EditCards, 0).await;
    let running = it.claim(1, 60).await;
    it.owe(1, Effect::EditCards, 2).await;
    it.owe(1, Effect::EditCards, 3).await;
    assert_eq!(it.claimed(10, 70).await, Vec::<String>::new(), "its like is running");
    assert_eq!(it.next_due().await, Some(60), "nothing to do before the lease ends");
    let mut bell = it.store.due();
    it.finish(running[0].effect_id).await;
    tokio::time::timeout(std::time::Duration::from_secs(60), bell.rung())
        .await
        .expect("workers are told");
    assert_eq!(it.claimed(10, 70).await, ["000001 edit_cards #1"]);
}

#[tokio::test]
async fn an_ended_lease_is_claimed_again_before_its_like() {
    let it = with_proposals(1).await;
    it.owe(1, Effect::EditCards, 0).await;
    let lost = it.claim(1, 60).await;
    it.owe(1, Effect::EditCards, 2).await;
    assert_eq!(it.claimed(59, 100).await, Vec::<String>::new(), "the lease lives");
    assert_eq!(
        it.claimed(60, 100).await,
        ["000001 edit_cards #2"],
        "recovery takes the lost one, and only it"
    );
    it.finish(lost[0].effect_id).await;
    it.finish(lost[0].effect_id).await;
    assert_eq!(it.claimed(61, 100).await, ["000001 edit_cards #1"]);
}

#[tokio::test]
async fn postponed_effects_come_back_later() {
    let it = with_proposals(1).await;
    it.owe(1, Effect::Deliver, 0).await;
    let claimed = it.claim(1, 60).await;
    it.postpone(claimed[0].effect_id, 30).await;
    assert_eq!(it.next_due().await, Some(30));
    assert_eq!(it.claimed(29, 90).await, Vec::<String>::new());
    assert_eq!(it.claimed(30, 90).await, ["000001 deliver #2"], "the second attempt");
    assert_eq!(
        it.store.read().effects_waiting(id(1)).await.expect("reads")[0].error.as_deref(),
        Some("later")
    );
}

#[tokio::test]
async fn a_postponed_effect_and_its_like_become_one() {
    for (postponed_to, scheduled, expected) in [(30, 10, 10), (10, 30, 10)] {
        let it = with_proposals(1).await;
        it.owe(1, Effect::Deliver, 0).await;
        let claimed = it.claim(1, 60).await;
        it.owe(1, Effect::Deliver, scheduled).await;
        it.postpone(claimed[0].effect_id, postponed_to).await;
        assert_eq!(it.owed(1).await, [("deliver".to_owned(), expected)]);
    }
}

/// What a failed delivery has scheduled itself must not make it run again at once.
#[tokio::test]
async fn what_failed_waits_with_its_like() {
    for (held_off_to, scheduled, expected) in [(30, 10, 30), (10, 30, 10)] {
        let it = with_proposals(1).await;
        it.owe(1, Effect::Deliver, 0).await;
        let effect_id = it.claim(1, 60).await[0].effect_id;
        it.owe(1, Effect::Deliver, scheduled).await;
        it.write(move |tx| Box::pin(async move { tx.hold_off(effect_id, at(held_off_to), "it failed").await }))
            .await;
        assert_eq!(it.owed(1).await, [("deliver".to_owned(), expected)]);
    }
}

#[tokio::test]
async fn parked_effects_wait_for_a_human() {
    let it = with_proposals(1).await;
    it.owe(1, Effect::Deliver, 0).await;
    let effect_id = it.claim(1, 60).await[0].effect_id;
    it.write(move |tx| Box::pin(async move { tx.park(effect_id, "gave up").await }))
        .await;
    assert_eq!(it.claimed(1000, 2000).await, Vec::<String>::new());
    assert_eq!(it.next_due().await, None);
    let parked = it.store.read().parked().await.expect("reads");
    assert_eq!((parked.len(), parked[0].error.as_deref()), (1, Some("gave up")));
    it.write(move |tx| Box::pin(async move { tx.unpark(effect_id, at(5)).await })).await;
    assert_eq!(it.claimed(5, 60).await, ["000001 deliver #1"]);
    let again: Result<(), StoreError> = it
        .store
        .write(move |tx: &mut store::Tx| Box::pin(async move { tx.unpark(effect_id, at(5)).await }))
        .await;
    assert!(matches!(again, Err(StoreError::Missing { .. })));
}

#[tokio::test]
async fn an_effect_of_another_version_is_parked_and_reported_and_the_others_go_on() {
    let it = with_proposals(2).await;
    it.owe(1, Effect::Deliver, 0).await;
    it.owe(2, Effect::Deliver, 0).await;
    it.sql("update outbox set effect = '{\"effect\":\"from_the_future\"}' where effect_id = 1")
        .await;
    assert_eq!(it.claimed(1, 60).await, ["000002 deliver #1"]);
    assert_eq!(it.store.read().parked().await.expect("reads").len(), 1);
    let alarm = it.claim(1, 60).await;
    assert!(
        matches!(&alarm[0].effect, Effect::Alarm { text } if text.contains("effect 1 (deliver) is parked")),
        "{alarm:?}"
    );
    let rows = it.store.read().audit_of(id(1)).await.expect("reads");
    assert_eq!(rows.last().map(|row| row.entry.event.as_str()), Some("effect_parked"));
}

#[tokio::test]
async fn the_next_due_time_is_the_earliest_of_all() {
    let it = with_proposals(2).await;
    assert_eq!(it.next_due().await, None);
    it.owe(1, Effect::Expire, 500).await;
    it.owe(2, Effect::Deliver, 100).await;
    assert_eq!(it.next_due().await, Some(100));
    it.claim(100, 400).await;
    assert_eq!(it.next_due().await, Some(400), "the end of the lease comes before the expiry");
}

#[tokio::test]
async fn effects_survive_a_restart() {
    let it = with_proposals(1).await;
    it.owe(1, Effect::Deliver, 0).await;
    it.claim(1, 60).await;
    let it = it.reopened().await;
    assert_eq!(it.claimed(61, 90).await, ["000001 deliver #2"]);
}

/// Looking again is no failed attempt: only what failed since then counts.
#[tokio::test]
async fn a_look_that_went_well_begins_the_count_anew() {
    let fixture = Fixture::new().await;
    fixture.insert(proposal(1)).await;
    let again = async |now: i64, error: Option<&'static str>| {
        let claimed = fixture.claim(now, now + 100).await;
        let one = claimed.iter().find(|one| one.effect == Effect::Deliver).expect("due");
        let (effect_id, attempts) = (one.effect_id, one.attempts);
        fixture
            .write(move |tx| Box::pin(async move { tx.postpone(effect_id, at(now + 1), error).await }))
            .await;
        attempts
    };
    fixture.owe(1, Effect::Deliver, 0).await;
    let mut seen = Vec::new();
    for (now, error) in [
        (10, None),
        (20, None),
        (30, Some("away")),
        (40, Some("away")),
        (50, None),
        (60, None),
    ] {
        seen.push(again(now, error).await);
    }
    assert_eq!(seen, [1, 1, 1, 2, 3, 1]);
}
