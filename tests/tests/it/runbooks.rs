//! The runbooks that a repository carries itself.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Delivery, Outcome, Policy, ProposalId, Sha256Hash, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, LabOptions, PATIENCE, POLICY, RUNBOOK, agent_named, files, request};
use engine::{Book, Content, Created, ObservationRequest, Problem};
use serde_json::json;
use simulators::git::Change;

const FOLDER: &str = "ops/books";
const PLACE: &str = "ops/books/resize.toml";
const DEPLOYMENT: &str = "kubernetes/applications/web/deployment.yaml";

/// The repository's own runbook, with more at its end.
fn resize(more: &str) -> String {
    let text = RUNBOOK.replacen("name = \"scale\"", "name = \"resize\"", 1);
    format!("{text}\n[verify]\nstable_for = \"0s\"\n{more}")
}

/// The service's policy, which trusts that runbook with this content.
fn policy(granted: &str) -> String {
    let rules = POLICY.split("[[grants]]").next().unwrap_or_default();
    let hash = Sha256Hash::of(granted.as_bytes());
    format!(
        "{}[[grants]]\nrunbook = \"resize\"\nrepository = \"homelab\"\nhash = \"{hash}\"\nuntil = 2099-12-31\n",
        rules.replace("runbook = \"scale\"", "runbook = \"resize\"")
    )
}

async fn lab(policy: String) -> Result<Lab> {
    let lab = Lab::with(LabOptions {
        policy,
        repository_runbooks: Some(FOLDER.to_owned()),
        annex: true,
        ..LabOptions::default()
    })
    .await?;
    commit(&lab, &[Change::write(PLACE, resize(""))])?;
    Ok(lab)
}

fn commit(lab: &Lab, changes: &[Change]) -> Result<String> {
    Ok(lab.repo.commit_on_top(changes, "By hand", "olivia <olivia@example.com>")?)
}

/// The runbook of the service's own folder, with more at its end.
fn edit_own(lab: &Lab, policy: &str, more: &str) -> Result<()> {
    let runbook = changes::Runbook::parse(&format!("{RUNBOOK}\n{more}"), "scale.toml").map_err(|problems| anyhow!("{problems:?}"))?;
    let own = Policy::parse(policy).map_err(|problems| anyhow!("{problems:?}"))?;
    lab.engine.put_in_force(Book::new(own, vec![runbook]));
    Ok(())
}

async fn resized(lab: &Lab, replicas: u32) -> Result<ProposalId> {
    lab.run("resize", json!({ "app": "web", "replicas": replicas })).await
}

async fn observed(lab: &Lab, commit: String) -> Result<Created, Problem> {
    let reported = ObservationRequest {
        repository: "homelab".to_owned(),
        commit,
        runbook: "resize".to_owned(),
        parameters: json!({ "app": "web", "replicas": 5 }),
    };
    lab.engine.observe(&agent_named("ops-bot"), reported, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_s_runbook_runs_there_is_listed_and_loses_its_grant_with_an_edit() -> Result<()> {
    let lab = lab(policy(&resize(""))).await?;
    let run = lab.ended(resized(&lab, 5).await?).await?;
    assert_eq!(
        (run.tier(), run.outcome),
        (Tier::Standard, Some(Outcome::Synced)),
        "{}",
        run.revision.route.why
    );
    let agent = agent_named("ops-bot");
    let listed = lab.engine.runbooks(&agent).await.map_err(|problem| anyhow!("{problem}"))?;
    let told: Vec<_> = listed
        .iter()
        .map(|one| {
            let repository = one.repository.as_ref().map(ToString::to_string);
            (one.description.name.to_string(), repository, one.standings.len())
        })
        .collect();
    assert_eq!(
        told,
        [("resize".to_owned(), Some("homelab".to_owned()), 1), ("scale".to_owned(), None, 2)]
    );
    lab.command(ALICE, CHAT, "/runbooks", &["resize in homelab/default: standard until"])
        .await?;
    // It is a runbook of that repository alone.
    let mut elsewhere = request(
        "",
        Content::Runbook {
            name: "resize".to_owned(),
            parameters: json!({ "app": "web", "replicas": 3 }),
        },
    );
    elsewhere.repository = "annex".to_owned();
    let refused = lab.engine.propose(&agent, elsewhere, None).await.expect_err("not there");
    assert_eq!((refused.status, refused.code), (422, "unknown_runbook"));

    commit(&lab, &[Change::write(PLACE, resize("# edited\n"))])?;
    let next = resized(&lab, 6).await?;
    let next = lab.proposal(next).await?;
    assert_eq!(next.tier(), Tier::Prompted, "an edited runbook starts at zero");
    assert!(next.revision.route.why.contains("not promoted yet"), "{}", next.revision.route.why);
    lab.invariants().await
}

/// What waits to be sent when its runbook's file changes is not sent as the run that was trusted.
#[tokio::test(flavor = "multi_thread")]
async fn a_runbook_file_edited_between_render_and_commit_is_not_pushed_as_standard() -> Result<()> {
    let open = policy(&resize(""));
    let freeze = "\n[[freezes]]\nname = \"holidays\"\nstart = 2020-01-01T00:00:00\nduration = \"366d\"\nrrule = \"FREQ=YEARLY\"\n";
    let lab = lab(format!("{open}{freeze}")).await?;
    let queued = resized(&lab, 6).await?;
    let run = lab.until(queued, "queued", |run| run.delivery == Delivery::Queued).await?;
    assert_eq!(run.tier(), Tier::Standard);
    let edited = commit(&lab, &[Change::write(PLACE, resize("# edited\n"))])?;
    let own = Policy::parse(&open).map_err(|problems| anyhow!("{problems:?}"))?;
    let runbooks = lab.engine.book().runbooks.values().map(|runbook| (**runbook).clone()).collect();
    lab.engine.put_in_force(Book::new(own, runbooks));
    let asked = lab.until(queued, "asked", |run| run.decision == Decision::Pending).await?;
    assert_eq!(asked.tier(), Tier::Prompted);
    assert!(asked.revision.route.why.contains("was edited"), "{}", asked.revision.route.why);
    assert_eq!(lab.repo.tip(), Some(edited), "nothing was pushed");
    lab.invariants().await
}

/// People approve what they see: an edit of the runbook's file changes nothing of that, and the card says so for as long as it is true.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_says_that_its_runbook_was_edited_and_what_it_shows_is_what_is_committed() -> Result<()> {
    // Nothing is granted, so people are asked.
    let lab = lab(policy(&resize("# other\n"))).await?;
    let will = "runbook resize was changed after this was rendered: what you see is what will be committed";
    let was = "runbook resize was changed after this was rendered: what people approved is what was committed";
    let other = resize("").replace("set = \"{replicas}\"", "set = 1");
    let note = async |id| Ok::<_, anyhow::Error>(lab.engine.told_note(&lab.proposal(id).await?).unwrap_or_default());

    let id = resized(&lab, 6).await?;
    assert_eq!(lab.proposal(id).await?.tier(), Tier::Prompted);
    lab.card(id, "Approve").await?;
    assert_eq!(note(id).await?, "");
    commit(&lab, &[Change::write(PLACE, &other)])?;
    lab.card_saying(id, will).await?;
    assert_eq!(note(id).await?, will, "agents read it, too");
    // Put back as it was, there is nothing to say any more.
    commit(&lab, &[Change::write(PLACE, resize(""))])?;
    let silent = |text: &str| text.contains(&id.short()) && !text.contains("was changed");
    let quiet = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state.messages(CHAT).iter().any(|message| silent(&message.text)).then_some(())
        })
        .await;
    quiet.with_context(|| format!("it goes on saying so: {:#?}", lab.texts()))?;
    commit(&lab, &[Change::delete(PLACE)])?;
    lab.card_saying(
        id,
        "runbook resize was taken away, or is not valid any more, after this was rendered",
    )
    .await?;
    commit(&lab, &[Change::write(PLACE, &other)])?;
    lab.card_saying(id, will).await?;
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    assert!(text.contains("replicas: 6"), "as shown, not as it would be rendered now: {text}");
    lab.card_saying(id, was).await?;
    lab.invariants().await
}

/// The same for what is approved already and waits to be sent, and for the service's own folder.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_run_whose_runbook_is_edited_before_the_push_says_so() -> Result<()> {
    let policy = POLICY.split("[[grants]]").next().unwrap_or_default();
    let lab = Lab::with(LabOptions {
        policy: policy.to_owned(),
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let id = lab.run("scale", json!({ "app": "web", "replicas": 6 })).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.until(id, "held", |run| run.delivery == Delivery::Queued).await?;
    edit_own(&lab, policy, "# edited\n")?;
    lab.card_saying(
        id,
        "runbook scale was changed after this was rendered: what you see is what will be committed",
    )
    .await?;
    lab.advance(Duration::from_secs(60));
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.card_saying(
        id,
        "runbook scale was changed after this was rendered: what people approved is what was committed",
    )
    .await?;
    // Rendered by the runbook in force: nothing to say, and nothing after a later edit of it.
    let next = lab.run("scale", json!({ "app": "web", "replicas": 7 })).await?;
    lab.tap(ALICE, next, "Approve").await?;
    lab.until(next, "held", |run| run.delivery == Delivery::Queued).await?;
    lab.advance(Duration::from_secs(60));
    assert_eq!(lab.ended(next).await?.outcome, Some(Outcome::Synced));
    edit_own(&lab, policy, "# edited again\n")?;
    let shown = lab.engine.told_note(&lab.proposal(next).await?);
    assert_eq!(shown, None);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_runbook_is_told_once_and_not_run_and_the_folder_is_always_manual() -> Result<()> {
    let mut lab = lab(policy(&resize(""))).await?;
    let broken = resize("").replace("allowed_paths", "allowed_path");
    let scale = RUNBOOK.replace("maximum = 20", "maximum = 200");
    let more = [Change::write(PLACE, &broken), Change::write("ops/books/scale.toml", &scale)];
    commit(&lab, &more)?;
    let told = lab.said(CHAT, 0, &["ALARM · homelab", "ops/books/resize.toml:", "remedy"]).await?;
    assert!(
        told.text
            .contains("the service has a runbook scale of its own, which is the one that runs"),
        "{}",
        told.text
    );
    let refused = resized(&lab, 5).await.expect_err("not valid").to_string();
    assert!(refused.starts_with("unknown_runbook"), "{refused}");
    let big = lab
        .run("scale", json!({ "app": "web", "replicas": 100 }))
        .await
        .expect_err("the service's own")
        .to_string();
    assert!(big.starts_with("runbook_refused"), "{big}");
    assert_eq!(lab.engine.health().await.invalid_runbooks.len(), 1);
    lab.restart().await?;
    commit(&lab, &[Change::write(PLACE, resize("")), Change::delete("ops/books/scale.toml")])?;
    lab.said(CHAT, told.id, &["✅ homelab: the runbooks", "are valid again: resize"])
        .await?;
    let alarms = lab.texts().iter().filter(|text| text.contains("not every runbook")).count();
    assert_eq!(alarms, 1, "{:#?}", lab.texts());

    // No rule of the policy names the folder, and it is manual all the same; what would not be valid is refused.
    let agent = agent_named("ops-bot");
    let change = |text: &str| request("Another runbook", files(&[(PLACE, Some(text))]));
    let seen = lab.engine.evaluate(&agent, change(&resize("# more\n"))).await;
    let seen = seen.map_err(|problem| anyhow!("{problem}"))?;
    assert_eq!(seen.route.tier, Tier::Manual);
    assert!(seen.route.why.contains("is reserved"), "{}", seen.route.why);
    let refused = lab.engine.evaluate(&agent, change(&broken)).await.err().context("taken")?;
    assert_eq!((refused.status, refused.code), (422, "runbook_invalid"));
    assert!(refused.detail.contains("ops/books/resize.toml:"), "{refused:?}");
    lab.invariants().await
}

/// Two runs of one file are the ordinary case of a runbook on its way up: neither loses its runbook, nor conflicts.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_people_decide_about_is_rendered_anew_when_its_file_moves() -> Result<()> {
    let rules = POLICY.split("[[grants]]").next().unwrap_or_default();
    let lab = Lab::with(LabOptions {
        policy: rules.to_owned(),
        hold_seconds: 60,
        ..LabOptions::default()
    })
    .await?;
    let run = async |replicas: u32| lab.run("scale", json!({ "app": "web", "replicas": replicas })).await;
    let edited = |from: &str, to: &str| -> Result<()> {
        let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
        ensure!(text.contains(from), "{text}");
        commit(&lab, &[Change::write(DEPLOYMENT, text.replace(from, to))])?;
        Ok(())
    };
    let anew = async |id: ProposalId, number: u32| -> Result<()> {
        let next = lab.until(id, "rendered anew", |p| p.revision.number == number).await?;
        assert_eq!((next.decision, next.approvals().count()), (Decision::Pending, 0));
        let why = "names runbook scale, but it is prompted";
        ensure!(next.revision.route.why.contains(why), "{}", next.revision.route.why);
        let card = lab.card_saying(id, "rendered anew by countersign").await?;
        ensure!(
            card.text.contains("runbook scale (app=web") && card.text.contains(why),
            "{}",
            card.text
        );
        Ok(())
    };
    // The same line, which could not be merged; first while people decide, then behind an approval that is held.
    let (five, three) = (run(5).await?, run(3).await?);
    lab.card(five, "Approve").await?;
    lab.tap(ALICE, three, "Approve").await?;
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.ended(three).await?.outcome, Some(Outcome::Synced));
    anew(five, 2).await?;
    lab.tap(ALICE, five, "Approve").await?;
    lab.until(five, "held", |p| p.delivery == Delivery::Queued).await?;
    edited("replicas: 3", "replicas: 4")?;
    lab.advance(Duration::from_secs(61));
    anew(five, 3).await?;
    lab.tap(ALICE, five, "Approve").await?;
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.ended(five).await?.outcome, Some(Outcome::Synced));
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    ensure!(text.contains("replicas: 5"), "{text}");
    // Somebody did it by hand.
    let six = run(6).await?;
    lab.card(six, "Approve").await?;
    edited("replicas: 5", "replicas: 6")?;
    lab.tap(ALICE, six, "Approve").await?;
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.ended(six).await?.outcome, Some(Outcome::Dismissed));
    // Nothing renders by a runbook that was edited since: what was shown is merged as any change is, or conflicts.
    let seven = run(7).await?;
    lab.card(seven, "Approve").await?;
    edit_own(&lab, rules, "# edited\n")?;
    edited("replicas: 6", "replicas: 8")?;
    lab.tap(ALICE, seven, "Approve").await?;
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.ended(seven).await?.outcome, Some(Outcome::Conflicted));
    lab.invariants().await
}

/// What an agent pushed is compared with the runbook as it stood before its commit, whatever it became since.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_judged_by_the_runbook_as_it_stood_then() -> Result<()> {
    let lab = lab(policy(&resize(""))).await?;
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let run = lab.repo.commit_on_top(
        &[Change::write(DEPLOYMENT, text.replace("replicas: 2", "replicas: 5"))],
        "Scale web",
        "Agent <agent@example.com>",
    )?;
    commit(
        &lab,
        &[Change::write(PLACE, resize("# edited\n").replace("spec.replicas", "spec.other"))],
    )?;
    let created = observed(&lab, run).await.map_err(|problem| anyhow!("{problem}"))?;
    let Created::New(proposal) = created else {
        return Err(anyhow!("{created:?}"));
    };
    assert_eq!(proposal.tier(), Tier::Standard);
    assert_eq!(lab.ended(proposal.id).await?.outcome, Some(Outcome::Synced));

    // The other way round: there was no such runbook yet.
    commit(&lab, &[Change::delete(PLACE)])?;
    let early = lab.repo.commit_on_top(
        &[Change::write(DEPLOYMENT, text.replace("replicas: 2", "replicas: 6"))],
        "Scale web",
        "Agent <agent@example.com>",
    )?;
    commit(&lab, &[Change::write(PLACE, resize(""))])?;
    let refused = observed(&lab, early).await.err().context("taken")?;
    assert_eq!((refused.status, refused.code), (422, "observation_refused"));
    ensure!(refused.detail.contains("there was no ops/books/resize.toml at"), "{refused:?}");
    lab.invariants().await
}
