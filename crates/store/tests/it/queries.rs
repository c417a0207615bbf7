//! Proposals, lists, cards, answers, agents: what is stored is what comes back.

use domain::{Decision, Delivery, Outcome, Sha256Hash};
use store::{CardKind, CardState, Duplicate, ListFilter, NewCard, Scopes, StoreError, StoredAnswer, Tx};

use crate::support::{Fixture, agent, at, change_set, commit, end, homelab, id, observed, proposal};

#[tokio::test]
async fn a_proposal_and_its_contents_come_back_exactly() {
    let it = Fixture::new().await;
    let stored = it.insert(proposal(1)).await;
    let it = it.reopened().await;
    assert_eq!(it.store.read().proposal(id(1)).await, Ok(Some(stored.clone())));
    assert_eq!(it.store.read().contents(id(1), 1).await, Ok(Some(change_set("a: 1\n"))));
    assert_eq!(it.store.read().contents(id(1), 2).await, Ok(None));
    assert_eq!(it.store.read().revisions(id(1)).await, Ok(vec![stored.revision]));
    assert_eq!(it.store.read().proposal(id(2)).await, Ok(None));
}

#[tokio::test]
async fn revisions_keep_their_own_contents_in_either_order() {
    for contents_first in [true, false] {
        let it = Fixture::new().await;
        it.insert(proposal(1)).await;
        it.write(move |tx| {
            Box::pin(async move {
                let mut next = tx.proposal(id(1)).await?.expect("is there");
                next.version += 1;
                next.revision.number = 2;
                next.revision.digest = Sha256Hash([2; 32]);
                let transition = crate::support::opened(next);
                if contents_first {
                    tx.insert_contents(id(1), 2, &change_set("a: 2\n"), Some("{\"checks\":[]}")).await?;
                    tx.apply(&transition, crate::support::audit("revise")).await?;
                } else {
                    tx.apply(&transition, crate::support::audit("revise")).await?;
                    tx.insert_contents(id(1), 2, &change_set("a: 2\n"), Some("{\"checks\":[]}")).await?;
                }
                Ok(())
            })
        })
        .await;
        let reader = it.store.read();
        assert_eq!(reader.contents(id(1), 1).await, Ok(Some(change_set("a: 1\n"))));
        assert_eq!(reader.contents(id(1), 2).await, Ok(Some(change_set("a: 2\n"))));
        assert_eq!(reader.checks(id(1), 2).await, Ok(Some("{\"checks\":[]}".to_owned())));
        let numbers: Vec<_> = reader
            .revisions(id(1))
            .await
            .expect("reads")
            .iter()
            .map(|revision| revision.number)
            .collect();
        assert_eq!(numbers, [1, 2]);
    }
}

#[tokio::test]
async fn checks_that_an_older_version_did_not_keep_are_kept_once() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    for said in ["{\"n\":1}", "{\"n\":2}"] {
        it.write(move |tx| Box::pin(async move { tx.put_checks(id(1), 1, said).await }))
            .await;
    }
    assert_eq!(it.store.read().checks(id(1), 1).await, Ok(Some("{\"n\":1}".to_owned())));
}

#[tokio::test]
async fn a_route_that_changed_is_what_the_revision_shows() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.change(id(1), |next| next.revision.route.why = "the policy changed".to_owned())
        .await;
    let revisions = it.store.read().revisions(id(1)).await.expect("reads");
    assert_eq!(revisions[0].route.why, "the policy changed");
}

async fn numbers(it: &Fixture, filter: ListFilter) -> Vec<String> {
    let (page, _) = it.store.read().list(&filter, None, 100).await.expect("lists");
    page.iter().map(|proposal| proposal.title.clone()).collect()
}

#[tokio::test]
async fn lists_are_narrowed_newest_first() {
    let it = Fixture::new().await;
    for n in 1..=3 {
        it.insert(proposal(n)).await;
    }
    let mut other = proposal(4);
    other.agent = agent("other-bot");
    other.repository = "elsewhere".parse().expect("a name");
    it.insert(other).await;
    it.change(id(1), |next| {
        next.decision = Decision::Approved;
        end(next, Outcome::Synced, at(9));
    })
    .await;
    it.change(id(2), |next| next.delivery = Delivery::Queued).await;
    let ours = || ListFilter {
        agent: Some(agent("ops-bot")),
        ..ListFilter::default()
    };
    let none: [&str; 0] = [];
    assert_eq!(
        numbers(&it, ListFilter::default()).await,
        ["change 4", "change 3", "change 2", "change 1"]
    );
    assert_eq!(numbers(&it, ours()).await, ["change 3", "change 2", "change 1"]);
    assert_eq!(
        numbers(&it, ListFilter { open_only: true, ..ours() }).await,
        ["change 3", "change 2"]
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                open_only: true,
                ..ListFilter::default()
            }
        )
        .await,
        ["change 4", "change 3", "change 2"]
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                delivery: Some(Delivery::Queued),
                ..ours()
            }
        )
        .await,
        ["change 2"]
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                decision: Some(Decision::Approved),
                ..ours()
            }
        )
        .await,
        ["change 1"]
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                outcome: Some(Outcome::Synced),
                ..ListFilter::default()
            }
        )
        .await,
        ["change 1"]
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                outcome: Some(Outcome::Lost),
                ..ListFilter::default()
            }
        )
        .await,
        none
    );
    assert_eq!(
        numbers(
            &it,
            ListFilter {
                repository: Some(homelab()),
                since: Some(at(3)),
                ..ListFilter::default()
            }
        )
        .await,
        ["change 3"]
    );
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_even_at_one_moment() {
    let it = Fixture::new().await;
    for n in 1..=7 {
        let mut same_moment = proposal(n);
        same_moment.created_at = at(0);
        it.insert(same_moment).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = it.store.read().list(&ListFilter::default(), cursor, 3).await.expect("lists");
        seen.extend(page.iter().map(|proposal| proposal.id));
        it.insert(proposal(100 + seen.len() as u64)).await;
        let Some(next) = next else { break };
        // As the API does: the cursor travels as text.
        cursor = Some(next.to_string().parse().expect("a cursor"));
    }
    assert_eq!(seen, (1..=7).rev().map(id).collect::<Vec<_>>());
    assert!("nonsense".parse::<store::Cursor>().is_err());
}

#[tokio::test]
async fn questions_of_the_intake() {
    let it = Fixture::new().await;
    let first = it.insert(proposal(1)).await;
    it.insert(proposal(2)).await;
    let reader = it.store.read();
    let by_digest = |base| reader.pending_by_digest(&first.agent, first.revision.digest, base);
    assert_eq!(by_digest(commit(1)).await, Ok(Some(id(1))));
    assert_eq!(by_digest(commit(2)).await, Ok(None));
    assert_eq!(reader.count_open(&first.agent).await, Ok(2));
    assert_eq!(reader.count_created_since(&first.agent, at(2)).await, Ok(1));
    let standing = reader.standing(&first.agent, at(2), first.revision.digest, commit(1)).await;
    assert_eq!(
        standing,
        Ok(store::Standing {
            open: 2,
            created: 1,
            pending: Some(id(1))
        })
    );
    let reports = store::RefusedReports {
        refused: vec![at(1), at(2), at(3)],
        told: vec![(at(1), commit(7)), (at(3), commit(8))],
        untold: 4,
    };
    let (agent, kept) = (first.agent.clone(), reports.clone());
    it.write(move |tx| Box::pin(async move { tx.put_refused_reports(&agent, &kept).await }))
        .await;
    assert_eq!(reader.refused_reports(&first.agent, at(1)).await, Ok(reports));
    let lately = store::RefusedReports {
        refused: vec![at(2), at(3)],
        told: vec![(at(3), commit(8))],
        untold: 4,
    };
    assert_eq!(reader.refused_reports(&first.agent, at(2)).await, Ok(lately));
    assert_eq!(
        reader.count_created_since(&first.agent, at(2)).await,
        Ok(3),
        "refused reports count as proposals do"
    );
    let standing = reader.standing(&first.agent, at(2), first.revision.digest, commit(1)).await;
    assert_eq!(standing.map(|standing| standing.created), Ok(3));
    it.change(id(1), |next| {
        // A conflict ends a proposal while its decision is still pending.
        end(next, Outcome::Conflicted, at(9));
    })
    .await;
    assert_eq!(by_digest(commit(1)).await, Ok(None));
    assert_eq!(reader.count_open(&first.agent).await, Ok(1));
}

#[tokio::test]
async fn questions_of_the_delivery() {
    let it = Fixture::new().await;
    for (n, decided) in [(1, 30), (2, 10), (3, 20)] {
        it.insert(proposal(n)).await;
        it.change(id(n), move |next| {
            next.decided_at = Some(at(decided));
            next.delivery = if n == 3 { Delivery::Committing } else { Delivery::Queued };
        })
        .await;
    }
    it.insert(proposal(4)).await;
    let reader = it.store.read();
    assert_eq!(
        reader.deliverable(&homelab(), "main").await,
        Ok(vec![id(2), id(3), id(1)]),
        "in the order of the decisions"
    );
    assert_eq!(reader.deliverable(&homelab(), "other").await, Ok(vec![]));
    let waiting = reader.in_delivery(&[Delivery::Queued, Delivery::None]).await.expect("reads");
    assert_eq!(
        waiting.iter().map(|proposal| proposal.id).collect::<Vec<_>>(),
        [id(1), id(2), id(4)]
    );
    it.change(id(2), |next| next.commit = Some(commit(8))).await;
    assert_eq!(reader.by_commit(&homelab(), commit(8)).await, Ok(Some(id(2))));
    assert_eq!(
        reader.observed(&homelab(), commit(8)).await,
        Ok(None),
        "delivered by us, not reported"
    );
    it.insert(observed(5, commit(9))).await;
    assert_eq!(reader.observed(&homelab(), commit(9)).await, Ok(Some(id(5))));
}

#[tokio::test]
async fn people_name_proposals_by_their_last_digits() {
    let it = Fixture::new().await;
    it.insert(proposal(0xab_cdef)).await;
    it.insert(proposal(0x12_3456)).await;
    it.change(id(0x12_3456), |next| end(next, Outcome::Synced, at(1))).await;
    let reader = it.store.read();
    for (text, open, all) in [
        ("ABCDEF", 1, 1),
        (" abcdef ", 1, 1),
        ("123456", 0, 1),
        (&id(0xab_cdef).to_string(), 1, 1),
        ("prp_019000000000700080000000ffabcdef", 0, 0),
        ("cdef", 0, 0),
        ("xabcdef", 0, 0),
        ("äöüabc", 0, 0),
        ("", 0, 0),
    ] {
        assert_eq!(reader.pending_prefix(text).await.expect("reads").len(), open, "{text:?}");
        assert_eq!(reader.by_short(text).await.expect("reads").len(), all, "{text:?}");
    }
}

fn new_card(n: u64, revision: u32, nonce: &str) -> NewCard {
    NewCard {
        proposal: id(n),
        revision,
        digest: Sha256Hash([3; 32]),
        chat: -100,
        thread: Some(7),
        nonce: nonce.to_owned(),
        attempt: 1,
        kind: CardKind::Approval,
        shown_version: 1,
        sent_at: at(5),
    }
}

#[tokio::test]
async fn cards_live_from_sending_to_gone() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    let card = it
        .write(|tx| Box::pin(async { tx.put_card(&new_card(1, 1, "nonce-1")).await }))
        .await;
    assert_eq!((card.state, card.message), (CardState::Sending, None));
    let card_id = card.id;
    it.write(move |tx| {
        Box::pin(async move {
            tx.confirm_card(card_id, 55, None).await?;
            tx.set_shown(card_id, 4).await?;
            tx.set_shown(card_id, 3).await
        })
    })
    .await;
    let reader = it.store.read();
    let shown = reader.card_by_nonce("nonce-1").await.expect("reads").expect("is there");
    assert_eq!((shown.state, shown.message, shown.shown_version), (CardState::Shown, Some(55), 4));
    assert_eq!(reader.cards_by_message(-100, 55).await, Ok(Some(shown.clone())));
    assert_eq!(reader.cards_by_message(-100, 56).await, Ok(None));
    assert_eq!(reader.card_by_nonce("nonce-2").await, Ok(None));
    assert_eq!(
        (
            reader.card_count_since(-100, at(5)).await,
            reader.card_count_since(-100, at(6)).await
        ),
        (Ok(1), Ok(0))
    );
    it.write(|tx| Box::pin(async { tx.migrate_chat(-100, -200).await })).await;
    assert_eq!(
        reader.cards_by_message(-200, 55).await.map(|card| card.map(|card| card.id)),
        Ok(Some(card_id))
    );
    it.write(move |tx| Box::pin(async move { tx.set_card_state(card_id, CardState::Gone).await }))
        .await;
    it.write(move |tx| Box::pin(async move { tx.confirm_card(card_id, 55, Some(56)).await }))
        .await;
    let gone = &reader.cards(id(1)).await.expect("reads")[0];
    assert_eq!(
        (gone.state, gone.document),
        (CardState::Gone, Some(56)),
        "a late confirmation does not bring it back"
    );
}

#[tokio::test]
async fn a_new_revision_supersedes_the_cards_of_the_old_one() {
    let it = Fixture::new().await;
    it.insert(proposal(1)).await;
    it.insert(proposal(2)).await;
    let superseded = it
        .write(|tx| {
            Box::pin(async {
                tx.put_card(&new_card(1, 1, "a")).await?;
                tx.put_card(&new_card(1, 2, "b")).await?;
                tx.put_card(&new_card(2, 1, "c")).await?;
                tx.supersede_cards(id(1), 2).await
            })
        })
        .await;
    assert_eq!(superseded, 1);
    let nonces = async || {
        let open = it.store.read().open_cards().await.expect("reads");
        open.into_iter().map(|card| card.nonce).collect::<Vec<_>>()
    };
    assert_eq!(nonces().await, ["b", "c"]);
    it.change(id(2), |next| end(next, Outcome::Synced, at(1))).await;
    assert_eq!(nonces().await, ["b"]);
}

#[tokio::test]
async fn answers_updates_and_values_outlive_restarts() {
    let it = Fixture::new().await;
    let answer = StoredAnswer {
        body_hash: Sha256Hash([1; 32]),
        status: 201,
        body: "{}".to_owned(),
        etag: Some("\"1\"".to_owned()),
        location: None,
    };
    let put = |answer: StoredAnswer| {
        it.store
            .write(move |tx: &mut Tx| Box::pin(async move { tx.put_answer(&agent("ops-bot"), "key-1", &answer, at(0)).await }))
    };
    assert_eq!(put(answer.clone()).await, Ok(()));
    assert_eq!(put(answer.clone()).await, Err(StoreError::Duplicate(Duplicate::IdempotencyKey)));
    it.write(|tx| Box::pin(async { tx.set_meta("offset", "41").await })).await;
    it.write(|tx| Box::pin(async { tx.set_meta("offset", "42").await })).await;
    let first = it
        .write(|tx| Box::pin(async { Ok([tx.consume_update(7, at(0)).await?, tx.consume_update(7, at(1)).await?]) }))
        .await;
    assert_eq!(first, [true, false]);
    let it = it.reopened().await;
    let reader = it.store.read();
    assert_eq!(reader.idempotent(&agent("ops-bot"), "key-1").await, Ok(Some(answer)));
    assert_eq!(
        reader.idempotent(&agent("other-bot"), "key-1").await,
        Ok(None),
        "keys belong to an agent"
    );
    assert_eq!(reader.meta("offset").await, Ok(Some("42".to_owned())));
    assert!(
        !it.write(|tx| Box::pin(async { tx.consume_update(7, at(2)).await })).await,
        "a replayed update"
    );
}

#[tokio::test]
async fn agents_are_found_by_the_hash_of_their_token() {
    let it = Fixture::new().await;
    let scopes = Scopes {
        repositories: vec![homelab()],
        paths: vec!["kubernetes/**".to_owned()],
        runbooks: vec![],
    };
    let name = agent("ops-bot");
    let (first, second) = (Sha256Hash::of(b"first"), Sha256Hash::of(b"second"));
    let wanted = scopes.clone();
    let added = it
        .write(move |tx| Box::pin(async move { tx.put_agent(&agent("ops-bot"), first, &wanted, Some(at(90)), at(0)).await }))
        .await;
    assert_eq!((&added.name, &added.scopes, added.expires_at), (&name, &scopes, Some(at(90))));
    let reader = it.store.read();
    assert_eq!(reader.agent_by_token(first).await, Ok(Some(added)));
    let mut near = first;
    near.0[31] ^= 1;
    assert_eq!(reader.agent_by_token(near).await, Ok(None), "the same prefix is not enough");

    let again: Result<_, StoreError> = it
        .store
        .write(move |tx: &mut Tx| Box::pin(async move { tx.put_agent(&agent("ops-bot"), second, &Scopes::default(), None, at(0)).await }))
        .await;
    assert_eq!(again, Err(StoreError::Duplicate(Duplicate::Agent)));
    it.write(|tx| Box::pin(async { tx.revoke_agent(&agent("ops-bot"), at(3)).await }))
        .await;
    it.write(|tx| Box::pin(async { tx.revoke_agent(&agent("ops-bot"), at(4)).await }))
        .await;
    assert_eq!(
        reader.agent(&name).await.map(|agent| agent.and_then(|agent| agent.revoked_at)),
        Ok(Some(at(3)))
    );
    it.write(move |tx| Box::pin(async move { tx.rotate_agent(&agent("ops-bot"), second, None).await }))
        .await;
    let rotated = reader.agent_by_token(second).await.expect("reads").expect("is there");
    assert_eq!(rotated.revoked_at, Some(at(3)), "a new token revives nobody");
    it.write(move |tx| Box::pin(async move { tx.put_agent(&agent("ops-bot"), second, &Scopes::default(), None, at(5)).await }))
        .await;
    it.write(|tx| Box::pin(async { tx.touch(&agent("ops-bot"), at(8)).await })).await;
    assert_eq!(reader.agent_by_token(first).await, Ok(None), "the old token is dead");
    let rotated = reader.agent_by_token(second).await.expect("reads").expect("is there");
    assert_eq!((rotated.revoked_at, rotated.last_used_at), (None, Some(at(8))));
    assert_eq!(
        (rotated.created_at, rotated.scopes),
        (at(0), Scopes::default()),
        "added again: the scopes given now"
    );
    assert_eq!(reader.agents().await.map(|all| all.len()), Ok(1));
    let missing: Result<_, StoreError> = it
        .store
        .write(|tx: &mut Tx| Box::pin(async { tx.revoke_agent(&agent("nobody"), at(0)).await }))
        .await;
    assert_eq!(missing.expect_err("missing").to_string(), "agent nobody does not exist");
}
