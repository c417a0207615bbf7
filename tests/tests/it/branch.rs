//! The branch under our feet: moved, refused, lost, broken.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Delivery, Outcome, Proposal, ProposalId};
use end_to_end::Lab;
use end_to_end::invariants::still_there;
use end_to_end::lab::{ALICE, BOB, CHAT, LabOptions, PATIENCE, agent_named, files, request};
use simulators::git::{Change, Fault, GitEndpoint};
use simulators::telegram::Tap;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const LONG: &str = "kubernetes/applications/blog/long.yaml";
const SOME: [(&str, Option<&str>); 1] = [(VALUES, Some("replicaCount: 2\ntheme:\n  colour: blue\n"))];

/// Twenty keys; the named ones differ.
fn long(changed: &[(usize, &str)]) -> String {
    let value = |n| changed.iter().find(|(at, _)| *at == n).map_or("same", |(_, value)| value);
    (0..20).map(|n| format!("key{n}: {}\n", value(n))).collect()
}

async fn approved(lab: &Lab, title: &str, files: &[(&str, Option<&str>)]) -> Result<ProposalId> {
    let id = lab.propose(title, files).await?;
    lab.tap(ALICE, id, "Approve").await?;
    Ok(id)
}

async fn blocked(lab: &Lab, id: ProposalId) -> Result<Proposal> {
    lab.until(id, "blocked", |p| p.delivery == Delivery::PushBlocked).await
}

fn own_commits(lab: &Lab, id: ProposalId) -> usize {
    end_to_end::invariants::committed(&lab.repo)
        .iter()
        .filter(|found| **found == id)
        .count()
}

/// Pushes wait at the remote until [`open_gate`].
fn close_gate(lab: &Lab) -> Result<()> {
    let go = lab.folder().join("go");
    let script = format!(
        "#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.05; done\ncat >/dev/null\n",
        go.display()
    );
    Ok(lab.repo.install_hook("pre-receive", &script)?)
}

fn open_gate(lab: &Lab) -> Result<()> {
    Ok(std::fs::write(lab.folder().join("go"), "")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moved_elsewhere_leaves_the_approval_standing() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    let foreign = lab
        .repo
        .commit_on_top(&[Change::write("README.md", "more\n")], "Elsewhere", "Olivia")?;
    lab.tap(ALICE, id, "Approve").await?;
    let proposal = lab.ended(id).await?;
    assert_eq!((proposal.outcome, proposal.revision.number), (Some(Outcome::Synced), 1));
    assert!(still_there(&lab.repo, &foreign));
    assert_eq!(lab.repo.log(1)[0].parents, [foreign]);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_on_another_branch_only_is_said_to_be_there() -> Result<()> {
    let lab = Lab::start().await?;
    let tip = lab.repo.tip().context("a tip")?;
    let theirs = lab
        .repo
        .loose_commit(&tip, &[Change::write("README.md", "more\n")], "Feature", "Olivia")?;
    lab.repo.on("feature/x").force_push(&theirs)?;
    let request = engine::ProposalRequest {
        base: theirs.clone(),
        ..request("Twice", files(&SOME))
    };
    let Err(problem) = lab.engine.propose(&agent_named("ops-bot"), request, None).await else {
        return Err(anyhow!("it was taken"));
    };
    assert_eq!((problem.status, problem.code), (422, "base_not_on_branch"));
    assert_eq!(
        problem.detail,
        format!("commit {} is not on branch main (it is the tip of \"feature/x\")", &theirs[..7])
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touched_file_that_merges_is_shown_again_and_approved_anew() -> Result<()> {
    let lab = Lab::start().await?;
    lab.repo.commit_on_top(&[Change::write(LONG, long(&[]))], "A long file", "Olivia")?;
    let id = lab.propose("Key 2", &[(LONG, Some(&long(&[(2, "ours")])))]).await?;
    let old = lab.forged(ALICE, id, "Approve").await?;
    lab.repo
        .commit_on_top(&[Change::write(LONG, long(&[(17, "theirs")]))], "Key 17", "Olivia")?;
    lab.send(old.clone()).await;
    let again = lab.until(id, "shown again", |p| p.revision.number == 2).await?;
    assert_eq!(
        (again.decision, again.approvals().count(), again.outcome),
        (Decision::Pending, 0, None)
    );
    assert_eq!(again.revision.author, domain::RevisionAuthor::Countersign);
    assert_eq!(
        lab.send(Tap { ..old }).await.text(),
        "this card is out of date: revision 2 is current"
    );
    let card = lab.card(id, "Approve").await?;
    assert!(card.text.contains("merged by countersign"), "{}", card.text);
    assert_eq!(lab.tap(BOB, id, "Approve").await?.text(), "approved by bob: complete");
    lab.ended(id).await?;
    let merged = long(&[(2, "ours"), (17, "theirs")]);
    assert_eq!(lab.repo.read(LONG), Some(merged.into_bytes()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_lines_changed_elsewhere_are_a_conflict_and_people_are_told() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    let tap = lab.forged(ALICE, id, "Approve").await?;
    lab.repo.commit_on_top(
        &[Change::write(VALUES, "replicaCount: 7\ntheme:\n  colour: blue\n")],
        "Seven",
        "Olivia",
    )?;
    lab.send(tap).await;
    let proposal = lab.ended(id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Conflicted));
    let notice = lab.said(CHAT, 0, &["Why:", "the branch changed the same lines", VALUES]).await?;
    assert!(!notice.silent);
    for told in lab.texts() {
        assert!(told.matches("the branch changed the same lines").count() <= 1, "{told}");
    }
    assert_eq!(own_commits(&lab, id), 0);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_committed_already_is_put_aside() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    let tap = lab.forged(ALICE, id, "Approve").await?;
    lab.repo
        .commit_on_top(&[Change::write(VALUES, SOME[0].1.unwrap_or_default())], "The same", "Olivia")?;
    lab.send(tap).await;
    let proposal = lab.ended(id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Dismissed));
    assert!(proposal.note.unwrap_or_default().contains("already holds all of it"));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_queue_for_one_file_are_rendered_once_more_each_and_hold_up_nobody_else() -> Result<()> {
    const RUNS: u32 = 6;
    let lab = Lab::start().await?;
    close_gate(&lab)?;
    let scale = async |replicas: u32| lab.run("scale", serde_json::json!({ "app": "web", "replicas": replicas })).await;
    let first = scale(3).await?;
    lab.until(first, "being pushed", |p| p.delivery == Delivery::Committing).await?;
    let mut queued = Vec::new();
    for replicas in 4..4 + RUNS {
        queued.push(scale(replicas).await?);
    }
    let other = approved(&lab, "Elsewhere", &SOME).await?;
    open_gate(&lab)?;
    lab.ended(first).await?;
    for id in queued {
        let run = lab.ended(id).await?;
        assert_eq!(
            run.revision.number, 2,
            "rendered anew when its turn came, not at each turn of another"
        );
        assert_eq!(own_commits(&lab, id), 1);
    }
    lab.ended(other).await?;
    let log = lab.repo.log(20);
    let place = log
        .iter()
        .position(|commit| commit.message.contains(&other.to_string()))
        .context("a commit")?;
    // Newest first: with the first of those that queued, it left all others of them behind.
    ensure!(place >= (RUNS - 1) as usize, "{place}: {log:#?}");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_hook_blocks_the_push_with_its_own_words_until_a_human_retries() -> Result<()> {
    let lab = Lab::start().await?;
    lab.repo
        .install_hook("pre-receive", "#!/bin/sh\necho 'no pushes on Sunday' >&2\nexit 1\n")?;
    let id = approved(&lab, "Twice", &SOME).await?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert_eq!(
        note,
        "the remote refused the commit: pre-receive hook declined; no pushes on Sunday"
    );
    assert_eq!(lab.engine.health().await.blocked_deliveries, 1, "readiness warns of it");
    let notice = lab.said(CHAT, 0, &["Why:", "no pushes on Sunday"]).await?;
    assert!(!notice.silent);
    for told in lab.texts() {
        assert!(!told.contains("refs/heads"), "the protocol's words: {told}");
    }
    lab.tap(BOB, id, "Retry").await?;
    blocked(&lab, id).await?;
    lab.repo.remove_hook("pre-receive")?;
    lab.tap(BOB, id, "Retry").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(own_commits(&lab, id), 1);
    assert_eq!(lab.engine.health().await.blocked_deliveries, 0);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_hangs_is_told_given_up_at_its_deadline_and_then_read_back() -> Result<()> {
    let mut options = LabOptions::default();
    options.limits.slow_push = Duration::from_millis(100);
    options.git_deadlines.push = Duration::from_secs(3);
    let lab = Lab::with(options).await?;
    close_gate(&lab)?;
    let id = approved(&lab, "Twice", &SOME).await?;
    let card = lab.card_saying(id, "the remote has not answered the push since").await?;
    ensure!(
        card.text.contains("the service stops waiting and looks at the branch"),
        "{}",
        card.text
    );
    ensure!(lab.engine.health().await.delayed_deliveries == 1, "readiness warns of it");
    // The hook goes on: nobody knows yet what becomes of the commit.
    lab.card_saying(id, "took longer than 3 s").await?;
    let waiting = lab.proposal(id).await?;
    ensure!(waiting.outcome.is_none() && own_commits(&lab, id) == 0, "{waiting:#?}");
    let note = lab.engine.told_note(&waiting).unwrap_or_default();
    ensure!(
        note.contains("took longer than 3 s") || note.contains("has not answered the push"),
        "{note}"
    );
    open_gate(&lab)?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(own_commits(&lab, id), 1);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_push_that_a_human_gives_up_is_push_refused() -> Result<()> {
    let lab = Lab::start().await?;
    lab.git.set_read_only(true);
    let id = approved(&lab, "Twice", &SOME).await?;
    blocked(&lab, id).await?;
    lab.tap(BOB, id, "Cancel").await?;
    let proposal = lab.ended(id).await?;
    assert_eq!(
        (proposal.decision, proposal.outcome),
        (Decision::Approved, Some(Outcome::PushRefused))
    );
    lab.said(CHAT, 0, &[&id.short(), "not pushed: given up by bob at"]).await?;
    lab.git.set_read_only(false);
    assert_eq!(own_commits(&lab, id), 0);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_push_was_blocked_is_gone_once_the_agent_took_it_back() -> Result<()> {
    let lab = Lab::start().await?;
    lab.git.set_read_only(true);
    let id = approved(&lab, "Twice", &SOME).await?;
    blocked(&lab, id).await?;
    let card = lab.card(id, "Retry").await?;
    assert!(card.text.contains("Why:"), "{}", card.text);
    lab.engine
        .withdraw(&agent_named("ops-bot"), id, None)
        .await
        .map_err(|problem| anyhow!("{problem}"))?;
    assert_eq!(lab.ended(id).await?.note, None);
    let withdrawn = |message: &simulators::telegram::Message| message.text.contains("withdrawn by ops-bot at");
    let told = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state.message(CHAT, card.id).filter(|message| withdrawn(message)).cloned()
        })
        .await
        .context("the card was not edited")?;
    assert!(!told.text.contains("Why:"), "{}", told.text);
    lab.git.set_read_only(false);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_approvals_that_wait_become_twenty_commits_in_few_pushes() -> Result<()> {
    let lab = Lab::start().await?;
    close_gate(&lab)?;
    let mut ids = Vec::new();
    for n in 0..20 {
        let path = format!("kubernetes/applications/blog/part{n}.yaml");
        ids.push(lab.propose(&format!("Part {n}"), &[(&path, Some("part: true\n"))]).await?);
    }
    let mut taps = Vec::new();
    for id in &ids {
        taps.push(lab.forged(ALICE, *id, "Approve").await?);
    }
    let queued: Vec<_> = taps.into_iter().map(|tap| lab.telegram.queue_tap(tap)).collect();
    for tap in queued {
        assert_eq!(lab.telegram.tap_answer(&tap, PATIENCE).await.text(), "approved by alice: complete");
    }
    open_gate(&lab)?;
    for id in &ids {
        assert_eq!(lab.ended(*id).await?.outcome, Some(Outcome::Synced));
        assert_eq!(own_commits(&lab, *id), 1);
    }
    assert_eq!(lab.repo.log(100).len(), 21);
    let pushes = lab.git.count(GitEndpoint::ReceivePack);
    assert!(pushes <= 5, "{pushes} pushes for 20 approvals");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_guilty_commit_in_a_batch_blocks_only_itself() -> Result<()> {
    let lab = Lab::start().await?;
    let go = lab.folder().join("go");
    lab.repo.install_hook(
        "pre-receive",
        &format!(
            "#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.05; done\nwhile read old new ref; do\n  if git log --name-only --format= $old..$new | grep -q guilty; then echo 'guilty.yaml is frozen' >&2; exit 1; fi\ndone\n",
            go.display()
        ),
    )?;
    let mut ids = Vec::new();
    for name in ["first", "second", "guilty", "fourth", "fifth"] {
        let path = format!("kubernetes/applications/blog/{name}.yaml");
        ids.push(approved(&lab, name, &[(&path, Some("part: true\n"))]).await?);
    }
    open_gate(&lab)?;
    let guilty = ids.remove(2);
    for id in ids {
        assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    }
    let note = blocked(&lab, guilty).await?.note.unwrap_or_default();
    assert!(note.contains("guilty.yaml is frozen"), "{note}");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_that_touch_one_file_are_pushed_one_after_the_other() -> Result<()> {
    let lab = Lab::start().await?;
    lab.repo.commit_on_top(&[Change::write(LONG, long(&[]))], "A long file", "Olivia")?;
    close_gate(&lab)?;
    let early = approved(&lab, "Elsewhere", &SOME).await?;
    let first = approved(&lab, "Key 2", &[(LONG, Some(&long(&[(2, "first")])))]).await?;
    let second = approved(&lab, "Key 17", &[(LONG, Some(&long(&[(17, "second")])))]).await?;
    open_gate(&lab)?;
    lab.ended(early).await?;
    lab.ended(first).await?;
    // The second one was approved as seen before the first landed: it merges, so people look again.
    lab.until(second, "shown again", |p| p.revision.number == 2).await?;
    lab.tap(ALICE, second, "Approve").await?;
    lab.ended(second).await?;
    assert_eq!(lab.repo.read(LONG), Some(long(&[(2, "first"), (17, "second")]).into_bytes()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_commit_that_a_force_push_takes_away_ends_as_lost() -> Result<()> {
    let lab = Lab::start().await?;
    lab.argocd.set_behaviour("blog", simulators::argocd::Behaviour::Progressing);
    let before = lab.repo.tip().context("a tip")?;
    let id = approved(&lab, "Twice", &SOME).await?;
    lab.until(id, "followed", |p| p.delivery == Delivery::Syncing).await?;
    lab.repo.force_push(&before)?;
    let proposal = lab.ended(id).await?;
    assert_eq!(proposal.outcome, Some(Outcome::Lost));
    let note = proposal.note.unwrap_or_default();
    assert!(note.contains("somebody force-pushed it"), "{note}");
    let notice = lab.said(CHAT, 0, &["Why:", "somebody force-pushed it"]).await?;
    assert!(!notice.silent);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_push_still_makes_exactly_one_commit() -> Result<()> {
    let lab = Lab::start().await?;
    for round in 0..5 {
        let fault = if round % 2 == 0 { Fault::LoseAnswer } else { Fault::Truncate };
        lab.git.fail_next_at(GitEndpoint::ReceivePack, fault, 1);
        let id = approved(&lab, "Again", &[(VALUES, Some(&format!("replicaCount: {}\n", round + 10)))]).await?;
        assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
        assert_eq!(own_commits(&lab, id), 1);
    }
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_fails_or_hangs_is_tried_again() -> Result<()> {
    let deadlines = gitworker::Deadlines {
        request: Duration::from_secs(5),
        push: Duration::from_secs(3),
        ..Default::default()
    };
    let lab = Lab::with(LabOptions {
        git_deadlines: deadlines,
        ..LabOptions::default()
    })
    .await?;
    lab.git.fail_next_at(GitEndpoint::PushRefs, Fault::Status(503), 2);
    let id = approved(&lab, "Twice", &SOME).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.git.fail_next_at(GitEndpoint::ReceivePack, Fault::Hang, 1);
    let id = approved(&lab, "Once", &[(VALUES, Some("replicaCount: 1\n"))]).await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(own_commits(&lab, id), 1);
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_is_shown_to_a_human_before_anything_goes_on_it() -> Result<()> {
    let lab = Lab::start().await?;
    let seed = lab.repo.tip().context("a tip")?;
    lab.repo
        .commit_on_top(&[Change::write("README.md", "soon gone\n")], "Soon gone", "Olivia")?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.repo.force_push(&seed)?;
    lab.tap(ALICE, id, "Approve").await?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert!(note.contains("force-pushed"), "{note}");
    lab.said(CHAT, 0, &["Why:", "force-pushed"]).await?;
    assert_eq!(
        lab.repo.tip().as_deref(),
        Some(seed.as_str()),
        "nothing was pushed on the rewritten branch"
    );
    lab.tap(BOB, id, "Retry").await?;
    lab.tap(BOB, id, "Yes, retry").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_branch_is_a_humans_matter_and_heals() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    let tip = lab.repo.tip().context("a tip")?;
    lab.repo.delete_branch()?;
    lab.tap(ALICE, id, "Approve").await?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert!(note.contains("no branch") || note.contains("deleted"), "{note}");
    lab.said(CHAT, 0, &["Why:", "branch"]).await?;
    assert_eq!(lab.repo.tip(), None, "the service does not make the branch anew");
    lab.repo.force_push(&tip)?;
    lab.tap(BOB, id, "Retry").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_pushes_all_the_time_loses_nothing_and_stops_nobody() -> Result<()> {
    let lab = Lab::start().await?;
    let repo = lab.repo.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (told, began) = tokio::sync::oneshot::channel::<()>();
    let pusher = tokio::task::spawn_blocking(move || {
        // At least one before the first delivery, however fast that is.
        let first = repo.commit_on_top(&[Change::write("notes/first.md", "note\n")], "A note", "Olivia");
        let mut pushed: Vec<String> = first.into_iter().collect();
        told.send(()).ok();
        while stopped
            .recv_timeout(Duration::from_millis(300))
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            // A lost race of the pusher's own is a person who pulls and tries again.
            let file = format!("notes/{}.md", pushed.len());
            pushed.extend(repo.commit_on_top(&[Change::write(&file, "note\n")], "A note", "Olivia").ok());
        }
        pushed
    });
    began.await?;
    let mut ids = Vec::new();
    for n in 0..6 {
        let path = format!("kubernetes/applications/blog/part{n}.yaml");
        ids.push(approved(&lab, "Part", &[(&path, Some("part: true\n"))]).await?);
    }
    for id in ids {
        lab.until(id, "pushed", |p| p.commit.is_some()).await?;
    }
    drop(stop);
    let foreign = pusher.await?;
    ensure!(!foreign.is_empty(), "the pusher hardly pushed: {}", foreign.len());
    for commit in &foreign {
        ensure!(still_there(&lab.repo, commit), "{commit} was lost");
    }
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_or_missing_mirror_heals() -> Result<()> {
    let mut lab = Lab::start().await?;
    let mirror = lab.addresses().mirror();
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.halt().await;
    std::fs::remove_dir_all(&mirror)?;
    lab.restart().await?;
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    let id = lab.propose("Once", &[(VALUES, Some("replicaCount: 1\n"))]).await?;
    lab.card(id, "Approve").await?;
    lab.halt().await;
    spoil(&mirror)?;
    lab.restart().await?;
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    assert_eq!(own_commits(&lab, id), 1);
    lab.invariants().await
}

/// Cuts every pack and index of a repository in half and empties its HEAD.
fn spoil(repository: &std::path::Path) -> Result<()> {
    let mut found = 0;
    let mut folders = vec![repository.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "pack" || kind == "idx") {
                let bytes = std::fs::read(&path)?;
                std::fs::remove_file(&path)?;
                std::fs::write(&path, &bytes[..bytes.len() / 2])?;
                found += 1;
            }
        }
    }
    ensure!(found > 0, "no pack to spoil");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_can_be_taken_back_until_its_hold_is_over() -> Result<()> {
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        ..LabOptions::default()
    })
    .await?;
    let cancelled = approved(&lab, "Twice", &SOME).await?;
    lab.tap(BOB, cancelled, "Cancel").await?;
    assert_eq!(lab.ended(cancelled).await?.outcome, Some(Outcome::Dismissed));
    let withdrawn = approved(&lab, "Thrice", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    withdraw(&lab, withdrawn).await?;
    assert_eq!(lab.ended(withdrawn).await?.outcome, Some(Outcome::Withdrawn));
    let kept = approved(&lab, "Four", &[(VALUES, Some("replicaCount: 4\n"))]).await?;
    let proposal = lab.until(kept, "held", |p| p.delivery == Delivery::Queued).await?;
    assert!(proposal.hold_until.is_some());
    lab.advance(Duration::from_secs(31));
    assert_eq!(lab.ended(kept).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.log(10).len(), 2, "only one of the three was pushed");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stops_a_change_whose_push_was_sent() -> Result<()> {
    let lab = Lab::start().await?;
    close_gate(&lab)?;
    let id = approved(&lab, "Twice", &SOME).await?;
    lab.until(id, "being pushed", |p| p.delivery == Delivery::Committing).await?;
    lab.command(
        BOB,
        CHAT,
        &format!("/cancel {}", id.short()),
        &["too late: the change is committing"],
    )
    .await?;
    let refused = withdraw(&lab, id).await.err().context("the withdrawal was accepted")?;
    assert!(refused.to_string().contains("too late"), "{refused}");
    open_gate(&lab)?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

async fn withdraw(lab: &Lab, id: ProposalId) -> Result<()> {
    let withdrawn = lab
        .engine
        .withdraw(&agent_named("ops-bot"), id, Some("no longer needed".into()))
        .await;
    withdrawn.map(|_| ()).map_err(|problem| anyhow!("{problem}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_commit_in_the_name_of_a_proposal_is_not_taken_for_ours() -> Result<()> {
    let deadlines = gitworker::Deadlines {
        push: Duration::from_secs(3),
        ..Default::default()
    };
    let lab = Lab::with(LabOptions {
        git_deadlines: deadlines,
        ..LabOptions::default()
    })
    .await?;
    let id = lab.propose("Twice", &SOME).await?;
    let tap = lab.forged(ALICE, id, "Approve").await?;
    // Neither the push nor the look afterwards gets an answer: what the branch holds must be found out later.
    lab.git.fail_next_at(GitEndpoint::ReceivePack, Fault::Hang, 1);
    lab.send(tap).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while lab.git.count(GitEndpoint::ReceivePack) == 0 {
        ensure!(tokio::time::Instant::now() < deadline, "nothing was pushed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lab.git.fail_next_at(GitEndpoint::UploadPack, Fault::Status(503), 1);
    let trailer = format!("Not ours\n\nProposal-Id: {id}\n");
    lab.repo
        .commit_on_top(&[Change::write(VALUES, "replicaCount: 9999\n")], &trailer, "Mallory")?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert!(note.contains("was not made by this service"), "{note}");
    lab.tap(BOB, id, "Cancel").await?;
    let proposal = lab.ended(id).await?;
    assert_eq!((proposal.outcome, proposal.commit), (Some(Outcome::PushRefused), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_batch_whose_push_hangs_is_pushed_again() -> Result<()> {
    let deadlines = gitworker::Deadlines {
        push: Duration::from_secs(3),
        ..Default::default()
    };
    let lab = Lab::with(LabOptions {
        hold_seconds: 30,
        git_deadlines: deadlines,
        ..LabOptions::default()
    })
    .await?;
    let mut ids = Vec::new();
    for n in 0..4 {
        let path = format!("kubernetes/applications/blog/part{n}.yaml");
        ids.push(approved(&lab, "Part", &[(&path, Some("part: true\n"))]).await?);
    }
    lab.git.fail_next_at(GitEndpoint::ReceivePack, Fault::Hang, 1);
    lab.advance(Duration::from_secs(60));
    for id in &ids {
        assert_eq!(lab.ended(*id).await?.outcome, Some(Outcome::Synced));
        assert_eq!(own_commits(&lab, *id), 1);
    }
    assert!(!lab.texts().iter().any(|text| text.contains("force-pushed")), "{:#?}", lab.texts());
    lab.invariants().await
}

/// Somebody else pushes between our look at the branch and our push, again and again: the same round tries at once, not the outbox later.
#[tokio::test(flavor = "multi_thread")]
async fn lost_races_are_run_again_at_once() -> Result<()> {
    let races = 3;
    let repo: Arc<OnceLock<simulators::git::BareRepo>> = Arc::default();
    let passed: Arc<Mutex<Vec<String>>> = Arc::default();
    let crash = {
        let (repo, passed) = (repo.clone(), passed.clone());
        engine::CrashPoints::new(move |place| {
            let mut passed = passed.lock().expect("no panic");
            passed.push(place.to_owned());
            let lost = passed.iter().filter(|place| *place == "deliver:stored").count();
            if let (Some(repo), "deliver:stored", 1..=3) = (repo.get(), place, lost) {
                let change = Change::write("README.md", format!("{lost}\n"));
                repo.commit_on_top(&[change], "Quicker", "Olivia").expect("a foreign commit");
            }
        })
    };
    let lab = Lab::with(LabOptions {
        crash,
        ..LabOptions::default()
    })
    .await?;
    repo.set(lab.repo.clone()).expect("set once");
    let id = approved(&lab, "Twice", &SOME).await?;
    let proposal = lab.ended(id).await?;
    assert_eq!((proposal.outcome, proposal.attempts.len()), (Some(Outcome::Synced), races + 1));
    assert_eq!(own_commits(&lab, id), 1);
    assert_eq!(
        lab.repo
            .log(9)
            .iter()
            .filter(|commit| commit.message.starts_with("Quicker"))
            .count(),
        races,
        "nobody's commit is lost"
    );
    let passed = passed.lock().expect("no panic").clone();
    let rounds: Vec<_> = passed
        .iter()
        .map(String::as_str)
        .filter(|place| ["effect:deliver:before", "deliver:stored", "deliver:pushed"].contains(place))
        .take(2 + 2 * races)
        .collect();
    let expected: Vec<_> = std::iter::once("effect:deliver:before")
        .chain(["deliver:stored", "deliver:pushed"].repeat(races + 1))
        .take(2 + 2 * races)
        .collect();
    assert_eq!(rounds, expected, "no delivery was claimed between the pushes");
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_is_told_of_the_first_and_shown_again_after_it() -> Result<()> {
    let lab = Lab::start().await?;
    lab.repo.commit_on_top(&[Change::write(LONG, long(&[]))], "A long file", "Olivia")?;
    let first = lab.propose("Key 2", &[(LONG, Some(&long(&[(2, "first")])))]).await?;
    let second = lab
        .propose_as("other-bot", "Key 17", &[(LONG, Some(&long(&[(17, "second")])))])
        .await?;
    let line = format!("Same files as {} (ops-bot): once one of them lands", first.short());
    let card = lab.card(second, "Approve").await?;
    let third = lab.propose("Key 9", &[(LONG, Some(&long(&[(9, "third")])))]).await?;
    let elsewhere = lab.propose("Another file", &SOME).await?;
    assert!(card.text.contains(&line), "{}", card.text);
    let third_card = lab.card(third, "Approve").await?;
    for other in [(first, "ops-bot"), (second, "other-bot")] {
        let named = format!("{} ({})", other.0.short(), other.1);
        assert!(third_card.text.contains(&named), "{}", third_card.text);
    }
    assert!(!lab.card(elsewhere, "Approve").await?.text.contains("Same files"));
    assert_eq!(
        lab.engine.overlaps(third).await.map_err(|problem| anyhow!("{problem}"))?,
        [first, second]
    );

    // One ends: the card of the other is edited. One lands: the other is shown again, merged.
    lab.tap(BOB, third, "Reject").await?;
    lab.tap(ALICE, first, "Approve").await?;
    assert_eq!(lab.ended(first).await?.outcome, Some(Outcome::Synced));
    let again = lab.until(second, "shown again", |p| p.revision.number == 2).await?;
    assert_eq!((again.decision, again.approvals().count()), (Decision::Pending, 0));
    assert!(
        lab.engine
            .overlaps(second)
            .await
            .map_err(|problem| anyhow!("{problem}"))?
            .is_empty()
    );
    let shown = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            let mut cards = state
                .messages(CHAT)
                .iter()
                .filter(|m| m.text.contains(&second.short()) && m.keyboard_text().contains("Approve"));
            cards
                .next_back()
                .filter(|card| card.text.contains("merged by countersign") && !card.text.contains("Same files"))
                .cloned()
        })
        .await;
    ensure!(shown.is_some(), "{:#?}", lab.texts());
    lab.tap(ALICE, second, "Approve").await?;
    assert_eq!(lab.ended(second).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read(LONG), Some(long(&[(2, "first"), (17, "second")]).into_bytes()));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_ends_the_card_of_the_other_no_longer_names_it() -> Result<()> {
    let lab = Lab::start().await?;
    let first = lab.propose("Twice", &SOME).await?;
    let second = lab.propose("Thrice", &[(VALUES, Some("replicaCount: 3\n"))]).await?;
    let card = lab.card(second, "Approve").await?;
    assert!(card.text.contains(&format!("Same files as {}", first.short())), "{}", card.text);
    lab.tap(BOB, first, "Reject").await?;
    let edited = lab
        .telegram
        .wait_for(PATIENCE, |state| {
            state
                .messages(CHAT)
                .iter()
                .find(|m| m.id == card.id && !m.text.contains("Same files"))
                .cloned()
        })
        .await;
    ensure!(edited.is_some(), "{:#?}", lab.texts());
    lab.invariants().await
}

/// Reading works and every push fails without a word about why: the pauses grow all the same, and whoever asks is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_fails_every_push_is_tried_again_with_pauses() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    lab.freeze();
    lab.git.fail_next_at(GitEndpoint::ReceivePack, Fault::Status(500), 1000);
    lab.tap(ALICE, id, "Approve").await?;
    let mut waiting = 0;
    for failures in 1..4 {
        waiting = waits(&lab, id, waiting).await?;
        let audit = lab.whole_audit().await?;
        let missed = audit.iter().filter(|(event, _)| event == "push_missed").count();
        assert_eq!(missed, failures - 1, "one for each time that the clock let it try: {audit:#?}");
        lab.advance(Duration::from_secs(120));
    }
    waits(&lab, id, waiting).await?;
    lab.card_saying(id, "tried again soon").await?;
    let told = lab.engine.told_note(&lab.proposal(id).await?).unwrap_or_default();
    assert!(told.contains("tried again soon") && told.contains("500"), "{told}");
    assert_eq!(lab.engine.health().await.delayed_deliveries, 1);
    Ok(())
}

/// Until the delivery waits for a time to come, as another row than before.
async fn waits(lab: &Lab, id: ProposalId, before: i64) -> Result<i64> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let owed = lab.engine.store().read().effects_waiting(id).await?;
        let mut deliveries = owed.iter().filter(|one| one.key == "deliver" && one.effect_id != before);
        if let Some(waiting) = deliveries.find(|one| one.leased_until.is_none() && one.error.is_some()) {
            return Ok(waiting.effect_id);
        }
        ensure!(tokio::time::Instant::now() < deadline, "the delivery never waits: {owed:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nothing was executed, whatever the question about the branch comes to: a human's matter, and not a doubt that ties everybody's hands.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_refuses_everything_blocks_and_the_approval_can_be_cancelled() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Twice", &SOME).await?;
    lab.card(id, "Approve").await?;
    for endpoint in [
        GitEndpoint::ReceivePack,
        GitEndpoint::PushRefs,
        GitEndpoint::FetchRefs,
        GitEndpoint::UploadPack,
    ] {
        lab.git.fail_next_at(endpoint, Fault::Status(401), 1000);
    }
    lab.tap(ALICE, id, "Approve").await?;
    let note = blocked(&lab, id).await?.note.unwrap_or_default();
    assert!(note.contains("refuses access"), "{note}");
    lab.tap(BOB, id, "Cancel").await?;
    let ended = lab.ended(id).await?;
    assert_eq!((ended.outcome, own_commits(&lab, id)), (Some(Outcome::PushRefused), 0));
    lab.git.clear_faults();
    lab.invariants().await
}
