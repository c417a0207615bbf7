//! The three tiers from proposal to proof.

use anyhow::{Context, Result, anyhow};
use domain::{Decision, Delivery, Landed, Outcome, Policy, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CAROL, CHAT, LabOptions, MALLORY, POLICY, agent_named};
use engine::{Book, Created};
use serde_json::json;
use simulators::git::Change;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn prompted_an_agent_proposes_a_human_taps_git_carries_argocd_proves() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose("Run the blog twice", &[(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))])
        .await?;
    let toast = lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(toast.text(), "approved by alice: complete", "{toast:?}");
    let proposal = lab.ended(id).await?;
    assert_eq!(
        (proposal.tier(), proposal.decision, proposal.outcome),
        (Tier::Prompted, Decision::Approved, Some(Outcome::Synced))
    );
    let commit = lab.repo.log(1).remove(0);
    assert_eq!(Some(commit.id.parse()?), proposal.commit);
    assert!(
        commit
            .message
            .starts_with("Run the blog twice\n\n> because the graph says so\n\nProposal-Id: "),
        "{}",
        commit.message
    );
    for trailer in [
        "Proposed-by: ops-bot",
        "Approved-by: alice",
        "Tier: prompted",
        "Digest: ",
        "Policy: ",
        "Audit-Head: ",
    ] {
        assert!(commit.message.contains(trailer), "{trailer} is missing in {}", commit.message);
    }
    assert_eq!(
        lab.repo.read(VALUES).as_deref(),
        Some("replicaCount: 2\ntheme:\n  colour: blue\n".as_bytes())
    );
    let card = lab.card(id, "Revert").await?;
    assert!(card.text.contains("blog"), "{}", card.text);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn where_approvers_have_a_choice_everybody_who_may_approve_is_named() -> Result<()> {
    let lab = Lab::with(LabOptions {
        policy: POLICY.replace(
            "approvers = \"operators\"\nquorum = 2\n",
            "approvers = { any = [\"network\", { group = \"operators\", count = 2 }] }\n",
        ),
        ..LabOptions::default()
    })
    .await?;
    let id = lab
        .propose(
            "A bigger database",
            &[("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))],
        )
        .await?;
    lab.card_saying(id, "Needs 1 of network (or 2 of operators): 0/1 · may approve: carol, alice, bob")
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.card_saying(id, "Needs 2 of operators (or 1 of network): 1/2 · alice").await?;
    lab.card_saying(id, "may approve: bob, carol").await?;
    let nearest = lab.engine.nearest(&lab.proposal(id).await?).context("a choice")?;
    let [place] = nearest.as_slice() else {
        return Err(anyhow!("{nearest:?}"));
    };
    assert_eq!(
        (&place.approved_by[..], &place.people[..]),
        (&["alice".to_owned()][..], &["bob".to_owned(), "carol".to_owned()][..])
    );
    assert_eq!(place.instead[0][0].people, ["carol"]);
    lab.tap(CAROL, id, "Approve").await?;
    let ended = lab.ended(id).await?;
    assert_eq!(ended.decision, Decision::Approved);
    assert!(lab.engine.nearest(&ended).is_none(), "decided");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_a_runbook_runs_at_once_and_people_are_told() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.run("scale", json!({ "app": "web", "replicas": 5 })).await?;
    let proposal = lab.ended(id).await?;
    assert_eq!(
        (proposal.tier(), proposal.decision, proposal.outcome),
        (Tier::Standard, Decision::NotRequired, Some(Outcome::Synced))
    );
    let text = String::from_utf8(lab.repo.read("kubernetes/applications/web/deployment.yaml").unwrap_or_default())?;
    assert!(text.contains("  # scaled by agents\n  replicas: 5\n"), "{text}");
    let card = lab.card(id, "Revert").await?.text;
    assert_eq!(card.matches("scaling").count(), 1, "the rule, once: {card}");
    assert!(
        card.contains("Rule scaling trusts runbook scale: standard until 2100-01-01\n"),
        "{card}"
    );
    let (_, claim) = card.split_once("ops-bot claims").unwrap_or_default();
    assert!(claim.contains("because the graph says so"), "the agent's reason: {card}");
    assert!(!claim.contains("Scale web to 5"), "the runbook's words are not the agent's: {card}");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_a_human_commits_as_proposed_and_the_service_follows() -> Result<()> {
    let lab = Lab::start().await?;
    let proposed = "variable \"nodes\" {\n  default = 4\n}\n";
    let id = lab
        .propose("A fourth node", &[("infrastructure/terraform/main.tf", Some(proposed))])
        .await?;
    let proposal = lab.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
    assert_eq!((proposal.tier(), proposal.decision), (Tier::Manual, Decision::Pending));
    let card = lab.card(id, "Put aside").await?;
    assert!(!card.keyboard_text().contains("Approve"), "{}", card.keyboard_text());
    assert_eq!(
        card.text.matches("Rule").count() + card.text.matches("rule ").count(),
        1,
        "{}",
        card.text
    );
    lab.repo.commit_on_top(
        &[Change::write("infrastructure/terraform/main.tf", proposed)],
        &format!("A fourth node\n\nProposal-Id: {id}\n"),
        "Olivia",
    )?;
    let proposal = lab.ended(id).await?;
    assert_eq!(
        (proposal.landed, proposal.outcome),
        (Some(Landed::AsProposed), Some(Outcome::Pushed))
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reject_ends_it_and_the_reason_reaches_the_agent() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose(
            "Scale the database",
            &[("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 9\n"))],
        )
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.tap(BOB, id, "Reject").await?;
    let proposal = lab.ended(id).await?;
    assert_eq!((proposal.decision, proposal.outcome), (Decision::Rejected, Some(Outcome::Rejected)));
    lab.tap(BOB, id, "too big").await?;
    let proposal = lab
        .until(id, "explained", |p| p.ended_by.as_ref().is_some_and(|e| e.reason.is_some()))
        .await?;
    assert_eq!(proposal.ended_by.and_then(|ending| ending.reason).as_deref(), Some("too big"));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_of_two_needs_two_people_of_the_group() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose(
            "Scale the database",
            &[("kubernetes/critical/db.yaml", Some("kind: StatefulSet\nspec:\n  replicas: 2\n"))],
        )
        .await?;
    assert_eq!(
        lab.tap(ALICE, id, "Approve").await?.text(),
        "approved by alice: 1 of 2 from operators"
    );
    assert_eq!(lab.tap(ALICE, id, "Approve").await?.text(), "you have approved this already");
    assert_eq!(
        lab.tap(CAROL, id, "Approve").await?.text(),
        "you are not among the approvers of this change"
    );
    assert_eq!(
        lab.tap(MALLORY, id, "Approve").await?.text(),
        "you are not among the people of this policy; /whoami tells your id"
    );
    assert_eq!(lab.proposal(id).await?.decision, Decision::Pending);
    lab.tap(BOB, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_for_an_agent_that_they_own() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab
        .propose_as("owned-bot", "Two blogs", &[(VALUES, Some("replicaCount: 2\n"))])
        .await?;
    assert_eq!(
        lab.tap(BOB, id, "Approve").await?.text(),
        "you own the agent that asks, or stand in for its owner: somebody else must approve"
    );
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_change_is_reverted_by_one_tap_and_one_confirmation() -> Result<()> {
    let lab = Lab::start().await?;
    let before = lab.repo.read(VALUES);
    let id = lab.propose("Two blogs", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    let toast = lab.tap(ALICE, id, "Revert").await?;
    assert!(
        toast.text().starts_with("revert ") && toast.text().ends_with("is prepared: see its card"),
        "{toast:?}"
    );
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all[0].id;
    lab.tap(ALICE, revert, "Approve").await?;
    assert_eq!(lab.ended(revert).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read(VALUES), before);
    lab.until(id, "marked as reverted", |p| p.reverted_by == Some(revert)).await?;
    lab.invariants().await
}

/// Who undoes a revert brings the change back, and what is there can be undone: by tap, command and API.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_that_was_reverted_lets_the_change_be_reverted_again() -> Result<()> {
    let lab = Lab::start().await?;
    let before = lab.repo.read(VALUES);
    let id = lab.propose("Two blogs", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    let agent = agent_named("ops-bot");
    let asked = async |of| match lab.engine.revert(&agent, of, None, None).await {
        Ok(Created::New(revert)) => Ok(revert.id),
        other => Err(anyhow!("{other:?}")),
    };
    let delivered = async |revert| {
        lab.tap(ALICE, revert, "Approve").await?;
        lab.ended(revert).await
    };
    let newest = async || Ok::<_, anyhow::Error>(lab.engine.store().read().list(&store::ListFilter::default(), None, 1).await?.0[0].id);

    let first = asked(id).await?;
    delivered(first).await?;
    lab.until(id, "reverted", |p| p.reverted_by == Some(first)).await?;
    let refused = lab.engine.revert(&agent, id, None, None).await.err().context("reverted twice")?;
    assert_eq!(refused.code, "already_reverted");

    // The revert of the revert, by tap on the revert's card.
    lab.tap(ALICE, first, "Revert").await?;
    let back = newest().await?;
    delivered(back).await?;
    lab.until(first, "reverted itself", |p| p.reverted_by == Some(back)).await?;
    lab.until(id, "there again", |p| p.reverted_by.is_none()).await?;
    let card = lab.card(id, "Revert").await?;
    assert!(!card.text.contains("Reverted by"), "{}", card.text);
    assert_eq!(lab.repo.read(VALUES), Some(b"replicaCount: 2\n".to_vec()));

    // Its card has the button again.
    lab.tap(ALICE, id, "Revert").await?;
    let second = newest().await?;
    assert!(![id, first, back].contains(&second));
    delivered(second).await?;
    lab.until(id, "reverted again", |p| p.reverted_by == Some(second)).await?;
    assert_eq!(lab.repo.read(VALUES), before);

    // Three deep: the end of the chain decides.
    lab.command(BOB, CHAT, &format!("/revert {}", second.short()), &["is prepared"])
        .await?;
    let third = newest().await?;
    delivered(third).await?;
    lab.until(id, "there once more", |p| p.reverted_by.is_none()).await?;
    let fourth = asked(third).await?;
    delivered(fourth).await?;
    let gone = lab
        .until(id, "undone by the one that holds again", |p| p.reverted_by.is_some())
        .await?;
    assert_eq!(gone.reverted_by, Some(second));
    assert_eq!(lab.repo.read(VALUES), before);
    lab.invariants().await
}

/// A freeze keeps approvals and holds the push back; when the policy no longer freezes, it goes out by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_holds_an_approved_change_back_and_says_so() -> Result<()> {
    let frozen =
        format!("{POLICY}\n[[freezes]]\nname = \"holidays\"\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n");
    let lab = Lab::with(LabOptions {
        policy: frozen,
        ..LabOptions::default()
    })
    .await?;
    let id = lab
        .propose("Run the blog twice", &[(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))])
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    let approved = lab
        .until(id, "approved", |proposal| proposal.decision == Decision::Approved)
        .await?;
    assert_eq!(approved.delivery, Delivery::Queued);
    let card = lab.said(CHAT, 0, &[&id.short(), "approved, waits", "holidays"]).await?;
    assert!(card.text.contains("waits:"), "{}", card.text);
    assert_eq!(lab.repo.log(10).len(), 1, "nothing was pushed");

    let thawed = Policy::parse(POLICY).map_err(|problems| anyhow!("{problems:?}"))?;
    let book = Book::new(thawed, Vec::new());
    lab.engine.put_in_force(book);
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

/// The time to think again ends while a freeze goes on: the card says what it waits for now, not the time that is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_begins_in_the_time_to_cancel_takes_its_place_on_the_card() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let id = lab
        .propose("Run the blog twice", &[(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))])
        .await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.said(CHAT, 0, &[&id.short(), "approved, held back for a moment", "Held back until"])
        .await?;
    let frozen =
        format!("{POLICY}\n[[freezes]]\nname = \"holidays\"\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n");
    let frozen = Policy::parse(&frozen).map_err(|problems| anyhow!("{problems:?}"))?;
    lab.engine.put_in_force(Book::new(frozen, Vec::new()));
    lab.advance(std::time::Duration::from_secs(31));
    let card = lab.said(CHAT, 0, &[&id.short(), "approved, waits", "waits: ", "holidays"]).await?;
    assert!(!card.text.contains("eld back"), "{}", card.text);
    assert_eq!(lab.tap(BOB, id, "Cancel").await?.text(), "cancelled by bob");
    lab.invariants().await
}

/// A class looks inside the files: a high risk takes a second person, whatever the rule of the path says.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_high_risk_asks_two_people() -> Result<()> {
    let policy = format!("{POLICY}\n[[classes]]\nname = \"high risk\"\nrisk = \"high\"\nquorum = 2\n");
    let lab = Lab::with(LabOptions {
        policy,
        ..LabOptions::default()
    })
    .await?;
    let stopped = [(VALUES, Some("replicaCount: 0\ntheme:\n  colour: blue\n"))];
    let id = lab.propose("Stop the blog", &stopped).await?;
    let card = lab.card(id, "Approve").await?;
    assert!(card.text.contains("HIGH risk"), "{}", card.text);
    assert!(card.text.contains("0/2"), "{}", card.text);
    let route = lab.proposal(id).await?.revision.route;
    assert!(route.why.contains("high risk"), "{}", route.why);
    let calm = lab
        .propose("Run the blog twice", &[(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))])
        .await?;
    let card = lab.card(calm, "Approve").await?;
    assert!(card.text.contains("low risk") && card.text.contains("0/1"), "{}", card.text);
    lab.invariants().await
}
