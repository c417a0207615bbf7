//! The policy that a repository carries itself: it is in force as it stands on the branch, and nothing becomes looser while it is not valid.

use anyhow::{Result, anyhow, ensure};
use domain::{Delivery, Outcome, Policy, Proposal, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, BOB, CHAT, LabOptions, POLICY, agent_named, files, request};
use engine::{Book, PolicyHome};
use serde_json::json;
use simulators::git::Change;

const PLACE: &str = ".countersign/policy.toml";
const VALUES: &str = "kubernetes/applications/blog/values.yaml";

/// Two operators for everything below `kubernetes`, and the runbook by itself.
const STRICT: &str = r#"version = 1

[[rules]]
name = "scaling here"
paths = ["kubernetes/applications/*/deployment.yaml"]
tier = "standard"
runbook = "scale"
approvers = "operators"

[[rules]]
name = "everything here"
paths = ["kubernetes/**"]
tier = "prompted"
approvers = "operators"
quorum = 2
"#;

async fn lab() -> Result<Lab> {
    Lab::with(options()).await
}

fn options() -> LabOptions {
    LabOptions {
        repository_policy: Some(PLACE.to_owned()),
        ..LabOptions::default()
    }
}

/// A human commits a policy.
fn commit(lab: &Lab, text: &str) -> Result<String> {
    Ok(lab
        .repo
        .commit_on_top(&[Change::write(PLACE, text)], "Another policy", "olivia <olivia@example.com>")?)
}

/// The change that everybody proposes here, with one more blog each time.
async fn blogs(lab: &Lab, count: usize) -> Result<Proposal> {
    let text = format!("replicaCount: {count}\ntheme:\n  colour: blue\n");
    let id = lab.propose("More blogs", &[(VALUES, Some(&text))]).await?;
    lab.proposal(id).await
}

/// Runs the runbook once more.
async fn scaled(lab: &Lab, replicas: usize) -> Result<Proposal> {
    let id = lab.run("scale", json!({ "app": "web", "replicas": replicas })).await?;
    lab.proposal(id).await
}

fn alarms(lab: &Lab, word: &str) -> usize {
    lab.texts()
        .iter()
        .filter(|text| text.contains("ALARM") && text.contains(word))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_on_the_branch_is_in_force_as_soon_as_a_human_commits_it() -> Result<()> {
    let lab = lab().await?;
    let before = blogs(&lab, 2).await?;
    assert_eq!(
        before.revision.route.rule.as_deref(),
        Some("workloads"),
        "the service's own rules, while there is none"
    );
    assert_eq!(
        before.revision.route.policy,
        Policy::parse(POLICY).map_err(|p| anyhow!("{p:?}"))?.hash()
    );
    let home = lab.engine.book().home(&"homelab".parse()?);
    assert_eq!(home, Some(PolicyHome::Repository(PLACE.parse()?)));

    commit(&lab, STRICT)?;
    let after = blogs(&lab, 3).await?;
    let route = &after.revision.route;
    assert_eq!((route.rule.as_deref(), route.tier), (Some("everything here"), Tier::Prompted));
    assert_ne!(route.policy, before.revision.route.policy, "the hash is that of both files");
    let card = lab.card(after.id, "Approve").await?;
    assert!(
        card.text.contains("0/2") && card.text.contains(&route.policy.short()),
        "{}",
        card.text
    );

    // A pending proposal meets the stricter policy at the next tap, as with any change of the policy.
    lab.tap(ALICE, before.id, "Approve").await?;
    lab.tap(BOB, before.id, "Approve").await?;
    let ended = lab.ended(before.id).await?;
    assert_eq!(ended.outcome, Some(Outcome::Synced));
    assert_eq!(ended.reviews.len(), 2, "two were needed: {ended:#?}");

    // Without a change nobody parses or stores anything, and people hear nothing.
    let rows = lab.whole_audit().await?;
    let changed = rows.iter().filter(|(event, _)| event == "policy_changed").count();
    assert_eq!((changed, alarms(&lab, PLACE)), (1, 0), "{rows:#?}");
    lab.invariants().await
}

/// The service's own file lost a group that the repository's policy asks: what was valid last is no help then, and the alarm says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_the_service_s_own_file_left_behind_leaves_changes_to_humans() -> Result<()> {
    let lab = lab().await?;
    commit(&lab, STRICT)?;
    assert_eq!(blogs(&lab, 2).await?.tier(), Tier::Prompted);
    let own = Policy::parse(&POLICY.replace("operators", "team")).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbook = changes::Runbook::parse(end_to_end::lab::RUNBOOK, "scale.toml").map_err(|problems| anyhow!("{problems:?}"))?;
    lab.engine.put_in_force(Book::new(own, vec![runbook]));
    let left = blogs(&lab, 3).await?;
    assert_eq!(left.tier(), Tier::Manual);
    let told = lab.said(CHAT, 0, &["ALARM", PLACE, "is not valid"]).await?;
    ensure!(
        told.text
            .contains("does not fit the service's own policy any more, so a human commits every change until it is mended"),
        "{}",
        told.text
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_policy_is_an_alarm_and_nothing_is_standard_until_it_is_mended() -> Result<()> {
    let mut lab = lab().await?;
    commit(&lab, STRICT)?;
    let run = scaled(&lab, 3).await?;
    assert_eq!(
        (run.tier(), run.revision.route.rule.as_deref()),
        (Tier::Standard, Some("scaling here"))
    );
    lab.ended(run.id).await?;

    commit(
        &lab,
        &STRICT.replace("approvers = \"operators\"\nquorum", "approvers = \"nobody\"\nquorum"),
    )?;
    // Noticed although nobody asks anything of the service.
    let told = lab.said(CHAT, 0, &["ALARM", PLACE, "is not valid"]).await?;
    for word in [
        ".countersign/policy.toml:14",
        "nobody",
        "remedy",
        "nothing is standard",
        "goes on routing",
    ] {
        assert!(told.text.contains(word), "{word}: {}", told.text);
    }
    let run = scaled(&lab, 4).await?;
    let route = &run.revision.route;
    assert_eq!(
        (run.tier(), route.rule.as_deref()),
        (Tier::Prompted, Some("scaling here")),
        "the last valid one routes"
    );
    assert!(route.why.contains("is not valid"), "{}", route.why);
    let health = lab.engine.health().await;
    assert_eq!(health.invalid_policies.len(), 1);

    // The same after a restart, whatever else is committed: the last valid one is remembered, and the trouble is told once.
    lab.repo.commit_on_top(
        &[Change::write("README.md", "moved\n")],
        "Another file",
        "olivia <olivia@example.com>",
    )?;
    lab.restart().await?;
    let again = blogs(&lab, 2).await?;
    assert_eq!(again.revision.route.rule.as_deref(), Some("everything here"));
    assert_eq!(again.revision.route.policy, route.policy, "the hash names what is really in force");
    assert_eq!(alarms(&lab, "is not valid"), 1, "{:#?}", lab.texts());

    commit(&lab, STRICT)?;
    lab.said(CHAT, 0, &["✅ homelab: the policy", "is valid again"]).await?;
    let third = scaled(&lab, 5).await?;
    assert_eq!(third.tier(), Tier::Standard);
    lab.ended(third.id).await?;
    assert_eq!((alarms(&lab, "is not valid"), alarms(&lab, "is valid again")), (1, 0));
    assert!(lab.engine.health().await.invalid_policies.is_empty());
    lab.invariants().await
}

/// What was decided to be standard and is not sent yet becomes prompted, too: the policy is looked at once more before the push.
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_run_that_waits_is_asked_once_the_policy_is_invalid() -> Result<()> {
    let freeze = "\n[[freezes]]\nname = \"holidays\"\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n";
    let lab = Lab::with(LabOptions {
        policy: format!("{POLICY}{freeze}"),
        ..options()
    })
    .await?;
    commit(&lab, STRICT)?;
    let run = scaled(&lab, 3).await?;
    assert_eq!((run.tier(), run.delivery), (Tier::Standard, Delivery::Queued));
    commit(&lab, "version = 2\n")?;
    lab.said(CHAT, 0, &["ALARM", "is not valid"]).await?;
    let own = Policy::parse(POLICY).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbooks = lab.engine.book().runbooks.values().map(|runbook| (**runbook).clone()).collect();
    lab.engine.put_in_force(Book::new(own, runbooks));
    let asked = lab.until(run.id, "asked", |run| run.tier() == Tier::Prompted).await?;
    assert!(asked.commit.is_none());
    lab.tap(ALICE, run.id, "Approve").await?;
    assert_eq!(lab.ended(run.id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_service_s_own_is_refused_in_a_repository() -> Result<()> {
    let lab = lab().await?;
    for (text, key) in [
        ("[people.mallory]\ntelegram_id = 6666\n", "people"),
        ("[groups]\noperators = [\"mallory\"]\n", "groups"),
        ("[agents.ops-bot]\nowner = \"carol\"\n", "agents"),
        ("reserved = []\n", "reserved"),
        ("[[floors]]\npaths = [\"**\"]\ntier = \"standard\"\n", "floors"),
        ("files_per_card = 100000\n", "files_per_card"),
        (
            "[[delegations]]\nfrom = \"alice\"\nto = \"carol\"\nuntil = 2099-01-01\n",
            "delegations",
        ),
    ] {
        commit(&lab, &format!("version = 1\n{text}"))?;
        let problem = format!("{PLACE}:2: {key}: a repository's policy cannot define");
        lab.said(
            CHAT,
            0,
            &[
                "ALARM",
                &problem,
                "move it to the service's own policy file",
                "a human commits every change",
            ],
        )
        .await?;
    }
    let change = blogs(&lab, 2).await?;
    assert_eq!(
        change.tier(),
        Tier::Manual,
        "there never was a valid one: {:?}",
        change.revision.route
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_deleted_goes_on_routing_with_an_alarm() -> Result<()> {
    let lab = lab().await?;
    commit(&lab, STRICT)?;
    assert_eq!(blogs(&lab, 2).await?.revision.route.rule.as_deref(), Some("everything here"));
    lab.repo
        .commit_on_top(&[Change::delete(PLACE)], "No policy", "olivia <olivia@example.com>")?;
    lab.said(CHAT, 0, &["ALARM", "it is no longer on the branch", "git revert"]).await?;
    let change = blogs(&lab, 3).await?;
    assert_eq!(change.revision.route.rule.as_deref(), Some("everything here"));
    assert_eq!(scaled(&lab, 3).await?.tier(), Tier::Prompted);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policy_is_manual_and_shows_what_it_would_have_meant() -> Result<()> {
    let lab = Lab::with(LabOptions { github: true, ..options() }).await?;
    commit(&lab, STRICT)?;
    for count in 2..4 {
        let change = blogs(&lab, count).await?;
        lab.tap(ALICE, change.id, "Reject").await?;
        lab.ended(change.id).await?;
    }
    let agent = agent_named("ops-bot");
    let wrong = STRICT.replace("\"operators\"\nquorum = 2", "\"operators\"\nquorum = 3");
    let refused = lab.engine.evaluate(&agent, request("Three", files(&[(PLACE, Some(&wrong))]))).await;
    let refused = refused.err().ok_or_else(|| anyhow!("an invalid policy was taken"))?;
    assert_eq!((refused.status, refused.code), (422, "policy_invalid"));
    assert!(
        refused.detail.contains(".countersign/policy.toml:") && refused.detail.contains("remedy"),
        "{refused:?}"
    );

    let looser = STRICT.replace("quorum = 2", "quorum = 1");
    let seen = lab.engine.evaluate(&agent, request("One", files(&[(PLACE, Some(&looser))]))).await;
    let seen = seen.map_err(|problem| anyhow!("{problem:?}"))?;
    assert_eq!(
        seen.replay,
        [
            "of the last 2 decisions:",
            "2 past changes would have asked 1 of operators instead of 2 of operators"
        ]
    );

    let id = lab.propose("One operator is enough", &[(PLACE, Some(&looser))]).await?;
    let change = lab
        .until(id, "prepared", |change| change.delivery == Delivery::AwaitingCommit)
        .await?;
    assert_eq!(change.tier(), Tier::Manual);
    assert!(change.revision.route.why.contains("is reserved"), "{}", change.revision.route.why);
    let card = lab.card(id, "Open pull request").await?;
    assert!(
        card.text.contains("2 past changes would have asked 1 of operators"),
        "{}",
        card.text
    );
    let pulls = lab.github.pulls("example/homelab");
    let body = pulls[0]["body"].as_str().unwrap_or_default();
    assert!(
        body.contains("- 2 past changes would have asked 1 of operators instead of 2 of operators"),
        "{body}"
    );
    lab.invariants().await
}

/// A replay says of how many decisions it speaks, and that there are more.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_leaves_decisions_out_says_so() -> Result<()> {
    let mut cut = options();
    cut.limits.replayed = 2;
    let lab = Lab::with(cut).await?;
    commit(&lab, STRICT)?;
    let looser = STRICT.replace("quorum = 2", "quorum = 1");
    let agent = agent_named("ops-bot");
    for (decision, expected) in [
        (1, "of the last 1 decision:"),
        (2, "of the last 2 decisions:"),
        (3, "of the last 2 decisions (older ones are not looked at):"),
    ] {
        let change = blogs(&lab, decision + 1).await?;
        lab.tap(ALICE, change.id, "Reject").await?;
        lab.ended(change.id).await?;
        let seen = lab.engine.evaluate(&agent, request("One", files(&[(PLACE, Some(&looser))]))).await;
        let seen = seen.map_err(|problem| anyhow!("{problem:?}"))?;
        assert_eq!(seen.replay.first().map(String::as_str), Some(expected), "{:?}", seen.replay);
        assert!(seen.replay[1].starts_with(&decision.min(2).to_string()), "{:?}", seen.replay);
    }
    lab.invariants().await
}

/// The people of a repository's rules are the service's: when a group goes, the rules that ask it are no policy any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_goes_takes_the_repository_s_policy_with_it() -> Result<()> {
    let lab = lab().await?;
    commit(&lab, &STRICT.replace("\"operators\"\nquorum = 2", "\"network\""))?;
    assert_eq!(blogs(&lab, 2).await?.revision.route.rule.as_deref(), Some("everything here"));
    let own = POLICY.replace("network = [\"carol\"]\n", "");
    let own = Policy::parse(&own).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbooks = lab.engine.book().runbooks.values().map(|runbook| (**runbook).clone()).collect();
    lab.engine.put_in_force(Book::new(own, runbooks));
    let change = blogs(&lab, 3).await?;
    assert_eq!(change.tier(), Tier::Manual, "{:?}", change.revision.route);
    lab.said(CHAT, 0, &["ALARM", "asks group network, which does not exist"]).await?;
    lab.invariants().await
}

/// While nobody can read the branch, the last valid policy is known from the database.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_valid_policy_is_known_without_remote_and_mirror() -> Result<()> {
    let mut lab = lab().await?;
    commit(&lab, STRICT)?;
    blogs(&lab, 2).await?;
    commit(&lab, "version = 2\n")?;
    lab.said(CHAT, 0, &["ALARM", "is not valid"]).await?;
    lab.halt().await;
    std::fs::remove_dir_all(lab.folder().join("mirror"))?;
    lab.restart().await?;
    let change = blogs(&lab, 3).await?;
    ensure!(
        change.revision.route.rule.as_deref() == Some("everything here"),
        "{:?}",
        change.revision.route
    );
    ensure!(alarms(&lab, "is not valid") == 1, "{:#?}", lab.texts());
    lab.invariants().await
}
