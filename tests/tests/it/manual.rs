//! Manual changes: the service prepares, a human commits, the service recognises what came.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Delivery, Landed, Outcome, Proposal, ProposalId, Tier};
use end_to_end::Lab;
use end_to_end::lab::{BOB, CHAT, LabOptions, MALLORY, PATIENCE, agent_named, files, request};
use engine::{Content, FileEdit, FileRequest};
use simulators::git::Change;
use simulators::github::{Endpoint, Fault, MergeMethod};
use simulators::telegram::ButtonAction;

const MAIN: &str = "infrastructure/terraform/main.tf";
const FOUR: &str = "variable \"nodes\" {\n  default = 4\n}\n";
const HOMELAB: &str = "example/homelab";

async fn on_github() -> Result<Lab> {
    Lab::with(LabOptions {
        github: true,
        ..LabOptions::default()
    })
    .await
}

async fn prepared(lab: &Lab) -> Result<Proposal> {
    let id = lab.propose("A fourth node", &[(MAIN, Some(FOUR))]).await?;
    lab.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await
}

fn number(proposal: &Proposal) -> Result<u64> {
    Ok(proposal.pull.as_ref().context("no pull request")?.number)
}

async fn landed(lab: &Lab, id: ProposalId, how: Landed) -> Result<Proposal> {
    let proposal = lab.ended(id).await?;
    ensure!(
        (proposal.landed, proposal.outcome, proposal.decision) == (Some(how), Some(Outcome::Pushed), Decision::Approved),
        "{proposal:#?}"
    );
    Ok(proposal)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pull_request_is_opened_and_a_human_merges_it_in_any_way() -> Result<()> {
    for method in [MergeMethod::Merge, MergeMethod::Squash, MergeMethod::Rebase] {
        let lab = on_github().await?;
        let proposal = prepared(&lab).await?;
        let pulls = lab.github.pulls(HOMELAB);
        assert_eq!(pulls.len(), 1);
        let body = pulls[0]["body"].as_str().unwrap_or_default();
        assert!(
            body.contains(&proposal.revision.digest.to_string()) && body.contains(&proposal.id.to_string()),
            "{body}"
        );
        assert_eq!(pulls[0]["head"]["ref"], format!("countersign/{}", proposal.id));
        let card = lab.card(proposal.id, "Open pull request").await?;
        assert!(!card.keyboard_text().contains("Approve"), "{}", card.keyboard_text());
        lab.github.merge(HOMELAB, number(&proposal)?, method, "olivia")?;
        let proposal = landed(&lab, proposal.id, Landed::AsProposed).await?;
        assert_eq!(proposal.committed_by.as_deref(), Some("olivia"), "{method:?}");
        assert!(!lab.texts().iter().any(|text| text.contains("ALARM")), "{:#?}", lab.texts());
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_or_a_stumbling_github_makes_no_second_pull_request() -> Result<()> {
    let lab = on_github().await?;
    lab.github.fail_next(Endpoint::CreatePull, Fault::LoseAnswer, 1);
    lab.github.fail_next(Endpoint::ListPulls, Fault::Status(502), 1);
    let proposal = prepared(&lab).await?;
    assert_eq!(lab.github.pulls(HOMELAB).len(), 1);
    lab.github.fail_next(Endpoint::GetPull, Fault::Status(500), 2);
    lab.github.merge(HOMELAB, number(&proposal)?, MergeMethod::Merge, "olivia")?;
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_a_human_edits_before_the_merge_landed_with_edits() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    lab.repo.on(&format!("countersign/{}", proposal.id)).commit_on_top(
        &[Change::write(MAIN, "variable \"nodes\" {\n  default = 5\n}\n")],
        "Five is better",
        "Olivia",
    )?;
    lab.github.merge(HOMELAB, number(&proposal)?, MergeMethod::Merge, "olivia")?;
    landed(&lab, proposal.id, Landed::WithEdits).await?;
    lab.said(CHAT, 0, &[&proposal.id.short(), "with edits"]).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_reaches_the_pull_request() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    let five = "variable \"nodes\" {\n  default = 5\n}\n";
    lab.engine
        .revise(
            &agent_named("ops-bot"),
            proposal.id,
            proposal.version,
            request("Five nodes", files(&[(MAIN, Some(five))])),
            None,
        )
        .await
        .map_err(|problem| anyhow!("{problem}"))?;
    let proposal = lab
        .until(proposal.id, "prepared again", |p| {
            p.revision.number == 2 && p.delivery == Delivery::AwaitingCommit
        })
        .await?;
    let open: Vec<_> = lab
        .github
        .pulls(HOMELAB)
        .into_iter()
        .filter(|pull| pull["state"] == "open")
        .collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    lab.github.merge(HOMELAB, number(&proposal)?, MergeMethod::Merge, "olivia")?;
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    assert_eq!(lab.repo.read(MAIN).as_deref(), Some(five.as_bytes()));
    lab.invariants().await
}

/// Does by hand what the note says: takes its patch, runs its commands.
async fn committed_by_hand(lab: &Lab, id: ProposalId) -> Result<()> {
    let card = lab.card(id, "Copy commands").await?;
    let commands = card
        .buttons()
        .find_map(|button| match &button.action {
            ButtonAction::CopyText(text) if button.text == "Copy commands" => Some(text.clone()),
            _ => None,
        })
        .context("no commands")?;
    let name = format!("{}.patch", id.short());
    let patch = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let mut documents = state.messages(CHAT).iter().filter_map(|message| message.document.clone());
            documents.find(|document| document.file_name == name)
        })
        .await
        .with_context(|| format!("no patch: {:#?}", lab.texts()))?;
    let work = lab.folder().join("work");
    let shell = |script: String, at: &std::path::Path| -> Result<()> {
        let done = std::process::Command::new("sh")
            .args(["-ec", &script])
            .current_dir(at)
            .env("GIT_AUTHOR_NAME", "Olivia")
            .env("GIT_AUTHOR_EMAIL", "olivia@example.com")
            .env("GIT_COMMITTER_NAME", "Olivia")
            .env("GIT_COMMITTER_EMAIL", "olivia@example.com")
            .output()?;
        ensure!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    };
    shell(
        format!("git clone -q '{}' '{}'", lab.repo.path.display(), work.display()),
        &lab.folder(),
    )?;
    std::fs::write(work.join(&patch.file_name), &patch.bytes)?;
    shell(commands, &work)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_github_the_patch_and_its_commands_really_work() -> Result<()> {
    let lab = Lab::start().await?;
    let proposal = prepared(&lab).await?;
    committed_by_hand(&lab, proposal.id).await?;
    let proposal = landed(&lab, proposal.id, Landed::AsProposed).await?;
    assert_eq!(proposal.committed_by.as_deref(), Some("Olivia"));
    assert_eq!(lab.repo.read(MAIN).as_deref(), Some(FOUR.as_bytes()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_with_contents_that_are_no_text_lands_as_proposed() -> Result<()> {
    let lab = Lab::start().await?;
    let (old, new) = (b"\0\x01old picture\xff".repeat(40), b"\0\x02new picture\xfe".repeat(50));
    lab.repo.commit_on_top(
        &[
            Change::write("logo.png", &old),
            Change::write("gone.png", &old),
            Change::write("windows.txt", "a\r\nb\r\n"),
        ],
        "Pictures",
        "Olivia",
    )?;
    let write = |path: &str, bytes: &[u8], executable| FileRequest {
        path: path.to_owned(),
        edit: FileEdit::Write {
            bytes: bytes.to_vec(),
            executable,
        },
    };
    let files = vec![
        write(MAIN, FOUR.as_bytes(), None),
        write("logo.png", &new, None),
        write("added.png", &new, Some(true)),
        write("windows.txt", b"a\r\nc", None),
        write("empty", b"", None),
        FileRequest {
            path: "gone.png".to_owned(),
            edit: FileEdit::Delete,
        },
    ];
    let id = lab.request("ops-bot", request("Pictures", Content::Files(files))).await?;
    committed_by_hand(&lab, id).await?;
    landed(&lab, id, Landed::AsProposed).await?;
    assert_eq!(lab.repo.read("logo.png").as_deref(), Some(&new[..]));
    assert_eq!(lab.repo.read("added.png").as_deref(), Some(&new[..]));
    assert_eq!(lab.repo.read("gone.png"), None);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_text_is_manual_when_it_is_deleted_too() -> Result<()> {
    let lab = Lab::start().await?;
    let picture = "kubernetes/applications/blog/logo.png";
    lab.repo
        .commit_on_top(&[Change::write(picture, b"\0\x01\xff")], "A picture", "Olivia")?;
    for wish in [None, Some("text now\n")] {
        let id = lab.propose("No picture", &[(picture, wish)]).await?;
        let route = lab.proposal(id).await?.revision.route;
        assert_eq!(
            (route.tier, route.why.as_str()),
            (Tier::Manual, "binary content cannot be reviewed on a card")
        );
    }
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_its_name_with_other_content_landed_with_edits() -> Result<()> {
    let lab = Lab::start().await?;
    let proposal = prepared(&lab).await?;
    lab.repo.commit_on_top(
        &[Change::write(MAIN, "variable \"nodes\" {\n  default = 5\n}\n")],
        &format!("Five\n\nProposal-Id: {}\n", proposal.id),
        "Olivia",
    )?;
    landed(&lab, proposal.id, Landed::WithEdits).await?;
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_change_of_the_same_file_diverged_and_people_are_told() -> Result<()> {
    let lab = Lab::start().await?;
    let proposal = prepared(&lab).await?;
    lab.repo
        .commit_on_top(&[Change::write(MAIN, "variable \"nodes\" {\n  default = 9\n}\n")], "Nine", "Olivia")?;
    assert_eq!(lab.ended(proposal.id).await?.outcome, Some(Outcome::Diverged));
    let notice = lab.said(CHAT, 0, &["Why:", "Olivia changed the same files otherwise"]).await?;
    assert!(!notice.silent);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_commits_a_manual_change_raises_an_alarm() -> Result<()> {
    for machine in ["Agent <agent@example.com>", "Countersign <countersign@example.com>"] {
        let lab = Lab::start().await?;
        let proposal = prepared(&lab).await?;
        lab.repo.commit_on_top(
            &[Change::write(MAIN, FOUR)],
            &format!("Four\n\nProposal-Id: {}\n", proposal.id),
            machine,
        )?;
        landed(&lab, proposal.id, Landed::AsProposed).await?;
        let alarm = lab
            .said(CHAT, 0, &["ALARM · homelab", "made by a machine's identity", &proposal.id.short()])
            .await?;
        assert!(!alarm.silent);
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_or_matched_by_no_rule_is_manual_whatever_else_it_touches() -> Result<()> {
    let lab = Lab::start().await?;
    for path in [".countersign/policy.toml", "README.md", "notes/new.md"] {
        let both = [
            ("kubernetes/applications/blog/values.yaml", Some("replicaCount: 9\n")),
            (path, Some("x: 1\n")),
        ];
        let id = lab.propose("Both", &both).await?;
        assert_eq!(lab.proposal(id).await?.tier(), Tier::Manual, "{path}");
        let card = lab.card(id, "Put aside").await?;
        assert!(!card.keyboard_text().contains("Approve"), "{path}");
        // What decides about agents is told first, and as grave as it is.
        let decides = path.starts_with(".countersign/");
        assert_eq!(card.text.contains("HIGH risk"), decides, "{path}: {}", card.text);
        assert_eq!(card.text.contains("decides what agents may do"), decides, "{path}: {}", card.text);
    }
    assert_eq!(lab.repo.log(10).len(), 1);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_change_is_put_aside_by_an_approver_only() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    let mallory = lab.tap(MALLORY, proposal.id, "Put aside").await?;
    assert_eq!(mallory.text(), "you are not among the people of this policy; /whoami tells your id");
    assert_eq!(lab.tap(BOB, proposal.id, "Put aside").await?.text(), "put aside by bob");
    lab.said(CHAT, 0, &[&proposal.id.short(), "put aside by bob at"]).await?;
    let proposal = lab.ended(proposal.id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Dismissed));
    lab.invariants().await
}

/// The state of a pull request at GitHub, as soon as it is this one.
async fn pull_is(lab: &Lab, number: u64, state: &str) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while lab.github.pull(HOMELAB, number)["state"] != state {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "never {state}: {:#?}",
            lab.github.pull(HOMELAB, number)
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_nobody_needs_any_more_is_closed_and_says_why() -> Result<()> {
    let nine = "variable \"nodes\" {\n  default = 9\n}\n";
    for (text, outcome, why) in [
        (nine, Outcome::Diverged, "Olivia changed the same files otherwise"),
        (FOUR, Outcome::Pushed, "The change reached main with commit"),
    ] {
        let lab = on_github().await?;
        let proposal = prepared(&lab).await?;
        lab.repo.commit_on_top(&[Change::write(MAIN, text)], "By hand", "Olivia")?;
        assert_eq!(lab.ended(proposal.id).await?.outcome, Some(outcome));
        pull_is(&lab, number(&proposal)?, "closed").await?;
        let comments = lab.github.comments(HOMELAB, number(&proposal)?);
        ensure!(
            matches!(comments.as_slice(), [only] if only.starts_with("Closed by Countersign. ") && only.contains(why)),
            "{comments:#?}"
        );
        ensure!(lab.github.spec_violations().is_empty(), "{:#?}", lab.github.spec_violations());
        lab.invariants().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_somebody_closes_is_told_and_can_be_opened_again() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    let number = number(&proposal)?;
    lab.card(proposal.id, "Put aside").await?;
    lab.github.close(HOMELAB, number, "olivia")?;
    let closed = lab
        .until(proposal.id, "told that it is closed", |p| {
            p.pull.as_ref().is_some_and(|pull| pull.closed)
        })
        .await?;
    let words = "was closed without a merge: reopen it";
    ensure!(closed.note.as_deref().is_some_and(|note| note.contains(words)), "{closed:#?}");
    let notice = lab.said(CHAT, 0, &["still waits for somebody", words]).await?;
    assert!(!notice.silent);
    lab.card(proposal.id, "Copy commands").await?;
    lab.github.reopen(HOMELAB, number, "olivia")?;
    let open = lab
        .until(proposal.id, "open again", |p| p.pull.as_ref().is_some_and(|pull| !pull.closed))
        .await?;
    assert_eq!(open.note, None);
    lab.github.merge(HOMELAB, number, MergeMethod::Squash, "olivia")?;
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    let told = lab.texts().iter().filter(|text| text.contains("still waits for somebody")).count();
    assert_eq!(told, 1, "{:#?}", lab.texts());
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_leaves_the_commit_by_hand() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    lab.github.close(HOMELAB, number(&proposal)?, "olivia")?;
    lab.until(proposal.id, "told that it is closed", |p| p.note.is_some()).await?;
    lab.repo.commit_on_top(&[Change::write(MAIN, FOUR)], "By hand", "Olivia")?;
    let proposal = landed(&lab, proposal.id, Landed::AsProposed).await?;
    assert_eq!(proposal.committed_by.as_deref(), Some("Olivia"));
    assert!(!proposal.note.unwrap_or_default().contains("closed"));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_and_taken_back_at_once_waits_on_and_says_so() -> Result<()> {
    let lab = Lab::start().await?;
    let proposal = prepared(&lab).await?;
    lab.card(proposal.id, "Put aside").await?;
    let before = lab.repo.read(MAIN).context("no file")?;
    // Pushed together: the branch moves once, past both.
    let tip = lab.repo.tip().context("no tip")?;
    let trailer = format!("Four\n\nProposal-Id: {}\n", proposal.id);
    let brought = lab.repo.loose_commit(&tip, &[Change::write(MAIN, FOUR)], &trailer, "Olivia")?;
    let undone = lab.repo.loose_commit(&brought, &[Change::write(MAIN, before)], "Not now", "Dave")?;
    lab.repo.force_push(&undone)?;
    let words = format!("Olivia committed it with {}, and with {} by Dave", &brought[..7], &undone[..7]);
    let waiting = lab
        .until(proposal.id, "told that it was taken back", |p| {
            p.note.as_deref().is_some_and(|note| note.starts_with(&words))
        })
        .await?;
    assert_eq!(waiting.delivery, Delivery::AwaitingCommit);
    lab.said(CHAT, 0, &["still waits for somebody", "the files are as before again"])
        .await?;
    lab.repo.commit_on_top(&[Change::write(MAIN, FOUR)], "Now", "Olivia")?;
    let proposal = landed(&lab, proposal.id, Landed::AsProposed).await?;
    assert!(!proposal.note.unwrap_or_default().contains("as before"));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_elsewhere_with_the_trailer_does_not_end_a_manual_change() -> Result<()> {
    let lab = Lab::start().await?;
    let proposal = prepared(&lab).await?;
    lab.repo.commit_on_top(
        &[Change::write("notes.md", "x\n")],
        &format!("Notes\n\nProposal-Id: {}\n", proposal.id),
        "Olivia",
    )?;
    // A second change that lands afterwards shows that the branch was looked at since.
    let other = lab.propose("Readme", &[("README.md", Some("x\n"))]).await?;
    lab.until(other, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
    lab.repo.commit_on_top(&[Change::write("README.md", "x\n")], "Readme", "Olivia")?;
    landed(&lab, other, Landed::AsProposed).await?;
    let proposal = lab.proposal(proposal.id).await?;
    assert_eq!((proposal.delivery, proposal.outcome), (Delivery::AwaitingCommit, None));
    lab.repo.commit_on_top(&[Change::write(MAIN, FOUR)], "Four", "Olivia")?;
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    lab.invariants().await
}

/// A limit that any failure reaches: what watches is not given up for it, nor for how often it has looked.
#[tokio::test(flavor = "multi_thread")]
async fn the_watch_of_a_manual_change_outlives_a_remote_that_is_away() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.attempts = 1;
    let lab = Lab::with(options).await?;
    let proposal = prepared(&lab).await?;
    let away = lab.repo.path.with_extension("away");
    std::fs::rename(&lab.repo.path, &away)?;
    let failed = async || -> Result<bool> {
        let owed = lab.engine.store().read().effects_waiting(proposal.id).await?;
        Ok(owed.iter().any(|one| one.key == "watch_landing" && one.error.is_some()))
    };
    while !failed().await? {
        lab.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::rename(&away, &lab.repo.path)?;
    lab.repo.commit_on_top(&[Change::write(MAIN, FOUR)], "A fourth node", "Olivia")?;
    lab.advance(Duration::from_secs(600));
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    assert!(!lab.texts().iter().any(|text| text.contains("ALARM")), "{:#?}", lab.texts());
    lab.invariants().await
}

/// The branch says what has landed, also while GitHub says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_lands_while_github_is_silent_is_seen() -> Result<()> {
    let lab = on_github().await?;
    let proposal = prepared(&lab).await?;
    lab.github.fail_next(Endpoint::GetPull, Fault::Status(503), 10_000);
    lab.repo.commit_on_top(&[Change::write(MAIN, FOUR)], "A fourth node", "Olivia")?;
    landed(&lab, proposal.id, Landed::AsProposed).await?;
    lab.github.clear_faults();
    lab.invariants().await
}
