//! What people see, as snapshots; and what hostile words can never do, as properties.

use chrono::{DateTime, Duration};
use domain::{ChangeKind, Decision, Delivery, Landed, Outcome, ProposalId, Risk, Sha256Hash, Tier, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::card::*;
use crate::codec::{Action, Nonce};
use crate::text::units;

mod markup;
mod posts;

const DIFF: &str = "diff --git a/kubernetes/applications/ollama/deployment.yaml b/kubernetes/applications/ollama/deployment.yaml\n--- a/kubernetes/applications/ollama/deployment.yaml\n+++ b/kubernetes/applications/ollama/deployment.yaml\n@@ -5,7 +5,7 @@ spec:\n   replicas: 1\n-  image: ollama:0.12.1 # <pinned> & checked\n+  image: ollama:0.12.9 # <pinned> & checked\n";

fn at(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn options() -> RenderOptions {
    RenderOptions {
        time_zone: chrono_tz::Europe::Vienna,
        now: at("2026-11-22T13:00:00Z"),
        nonce: Some(Nonce::from_bytes([7; 16])),
    }
}

fn id(last: u128) -> ProposalId {
    ProposalId::new(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + last))
}

fn file(path: &str, kind: ChangeKind, added: u32, removed: u32) -> FileLine {
    FileLine {
        path: path.parse().expect("a path"),
        kind,
        added,
        removed,
        exec: None,
        binary: None,
    }
}

/// A pending prompted proposal with one file.
fn pending() -> Card {
    Card {
        rule: "kubernetes/applications/**".into(),
        why: "every path is a Kubernetes workload".into(),
        title: "Update ollama".into(),
        reason: "CVE-2026-1234 is fixed in 0.12.9.\nSee https://example.com/advisory".into(),
        branch: "main".into(),
        base: Some("3f2a9c1e5d7b8a6c4e2f1a0b9c8d7e6f5a4b3c2d".parse().expect("an id")),
        files: vec![file("kubernetes/applications/ollama/deployment.yaml", ChangeKind::Modified, 1, 1)],
        explained: Some(Explained {
            verb: "Deployment ollama: image to ollama:0.12.9".into(),
            risk: Risk::Medium,
            lines: vec![
                (Risk::Medium, "Deployment ollama: image ollama:0.12.1 → ollama:0.12.9".into()),
                (Risk::Low, "Deployment ollama: label tier added".into()),
            ],
            more: 0,
            reach: "application ollama · namespace ai".into(),
        }),
        diff: DIFF.into(),
        digest: Some(Sha256Hash([0xab; 32])),
        policy: "5ce1f0a2".into(),
        requirements: vec![Requirement {
            group: "operators".into(),
            quorum: 1,
            have: vec![],
            eligible: vec!["alice".into(), "bob".into()],
        }],
        expires_at: Some(at("2026-11-22T13:45:00Z")),
        buttons: vec![Action::Approve, Action::Reject, Action::FullDiff],
        ..Card::new(
            CardKind::Approval,
            Some(id(0xab)),
            Tier::Prompted,
            "ops-bot".parse().expect("a name"),
            "homelab".parse().expect("a name"),
            at("2026-11-22T12:45:00Z"),
        )
    }
}

fn decided(who: &str, reason: Option<&str>) -> Option<Decided> {
    Some(Decided {
        who: who.into(),
        at: at("2026-11-22T12:50:00Z"),
        reason: reason.map(str::to_owned),
    })
}

fn approved(delivery: Delivery) -> Card {
    let mut card = pending();
    card.requirements[0].have = vec![("alice".into(), at("2026-11-22T12:50:00Z"))];
    card.buttons = vec![];
    Card {
        decision: Decision::Approved,
        delivery,
        decided: decided("alice", None),
        ..card
    }
}

fn delivered(delivery: Delivery) -> Card {
    Card {
        commit: Some(CommitLine {
            id: "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334".parse().expect("an id"),
            url: Some("https://git.example.com/homelab/commit/a1b2c3d".into()),
            author: None,
        }),
        applications: vec![app("ollama", "OutOfSync · Progressing", Progress::Working)],
        ..approved(delivery)
    }
}

fn by_hand(restored: bool, put_back: Option<domain::CommitId>) -> Card {
    Card {
        by_hand: Some(domain::ByHand {
            commit: domain::CommitId::from_bytes([0x77; 20]),
            author: "olivia".into(),
            restored,
            put_back,
        }),
        ..ended(Outcome::Synced, "Synced · Healthy", Progress::Good)
    }
}

fn ended(outcome: Outcome, headline: &str, state: Progress) -> Card {
    Card {
        outcome: Some(outcome),
        applications: vec![app("ollama", headline, state)],
        ..delivered(Delivery::Ended)
    }
}

fn app(name: &str, headline: &str, state: Progress) -> ApplicationLine {
    ApplicationLine {
        name: name.into(),
        headline: headline.into(),
        state,
    }
}

fn manual() -> Card {
    Card {
        kind: CardKind::ManualNote,
        tier: Tier::Manual,
        rule: "terraform".into(),
        why: "rule \"terraform\" says that a human commits".into(),
        delivery: Delivery::AwaitingCommit,
        requirements: vec![],
        files: vec![file("infrastructure/terraform/dns/main.tf", ChangeKind::Modified, 1, 1)],
        diff: DIFF.replace(
            "kubernetes/applications/ollama/deployment.yaml",
            "infrastructure/terraform/dns/main.tf",
        ),
        remarks: vec![],
        expires_at: None,
        commands: vec![
            "git apply 0000AB.patch".into(),
            "git commit -am 'dns' --trailer 'Proposal-Id: prp_…'".into(),
        ],
        buttons: vec![Action::CopyCommands, Action::Dismiss],
        ..pending()
    }
}

fn standard() -> Card {
    Card {
        kind: CardKind::StandardNote,
        tier: Tier::Standard,
        rule: "restarts".into(),
        why: "rule \"restarts\" trusts runbook restart-app".into(),
        runbook: Some("restart-app (app=ollama)".into()),
        decision: Decision::NotRequired,
        decided: None,
        requirements: vec![],
        expires_at: None,
        buttons: vec![Action::FullDiff, Action::Revert],
        ..ended(Outcome::Synced, "Synced · Healthy", Progress::Good)
    }
}

/// Every card of the table below, by the name of its snapshot.
/// What the checks say of a change.
fn checked() -> Card {
    let check = |name: &str, mark| CheckLine::new(name, mark);
    let mut card = pending();
    card.checks = vec![
        check("in code", CheckMark::Good),
        check("right tool", CheckMark::Unknown),
        check("through git", CheckMark::Good),
        check("files", CheckMark::Good),
        check("secrets", CheckMark::Good),
        check("text", CheckMark::Good),
        check("YAML", CheckMark::Good),
        check("schemas 1.37", CheckMark::Good),
        check("Rego 4", CheckMark::Bad),
    ];
    card.remarks = vec![
        "data.main.warn: ollama has no limits (ollama/deployment.yaml:1, rego.warn)".into(),
        "\"Thing\" of \"example.com/v1\" was not validated: its schema is not known (ollama/thing.yaml:1, manifest.unknown-kind)".into(),
    ];
    card.checklist = vec![
        "defined in code: manifests, values or Terraform".into(),
        "committed and pushed to main after approval".into(),
        "applied by Argo CD; for some paths no tool is known".into(),
        "no command that changes the cluster or machines without git".into(),
        "no secret found in the contents".into(),
        "needs 1 of operators".into(),
    ];
    card
}

fn gallery() -> Vec<(&'static str, Card)> {
    let mut quorum = pending();
    quorum.requirements = vec![
        Requirement {
            group: "sre".into(),
            quorum: 2,
            have: vec![("alice".into(), at("2026-11-22T12:50:00Z"))],
            eligible: vec!["bob".into()],
        },
        Requirement {
            group: "owners".into(),
            quorum: 1,
            have: vec![],
            eligible: vec!["carol".into()],
        },
    ];
    let mut grave = pending();
    grave.files.push(FileLine {
        exec: Some(true),
        ..file("kubernetes/applications/ollama/run.sh", ChangeKind::Added, 12, 0)
    });
    grave
        .files
        .push(file("kubernetes/applications/ollama/pvc.yaml", ChangeKind::Deleted, 0, 18));
    let step = ConfirmStep {
        action: Action::Approve,
        worst: "deletes kubernetes/applications/ollama/pvc.yaml".into(),
        who: vec!["alice".into(), "bob".into()],
        until: at("2026-11-22T13:02:00Z"),
    };
    let confirm = Card {
        confirm: Some(step),
        ..grave.clone()
    };
    let mut many = pending();
    many.files = (0..60)
        .map(|i| {
            file(
                &format!("kubernetes/applications/app-{i:02}/deployment.yaml"),
                ChangeKind::Modified,
                2,
                2,
            )
        })
        .collect();
    many.files[41].kind = ChangeKind::Deleted;
    many.diff = many
        .files
        .iter()
        .map(|f| DIFF.replace("kubernetes/applications/ollama/deployment.yaml", f.path.as_str()))
        .collect();
    let binary = Binary {
        size: 1_048_576,
        sha256: Sha256Hash([0xcd; 32]),
    };
    let hostile = Card {
        title: "</b>PROMPTED · <b>approved</b> by alice\u{202e}".into(),
        reason: "ask @alice or tap (/cancel) #now\r\n\r\n\r\n\r\n<a href=\"https://evil.example\">tap</a>\u{200b} & more".into(),
        files: vec![FileLine {
            binary: Some(binary),
            ..file("kubernetes/applications/x/a&b.bin", ChangeKind::Added, 0, 0)
        }],
        diff: "+</code></pre><b>approved\u{202e}\n".into(),
        ..pending()
    };
    let chips: Vec<String> = ["wrong target", "wrong time", "too big"].map(str::to_owned).into();
    let rejected = Card {
        decision: Decision::Rejected,
        outcome: Some(Outcome::Rejected),
        delivery: Delivery::Ended,
        buttons: vec![],
        ..pending()
    };
    let approved_by = |who: &str| (who.to_owned(), at("2026-11-22T12:50:00Z"));
    let mut coded = pending();
    coded.why = "rule \"workloads\"; floor kubernetes/applications/** asks for a code with each approval".into();
    coded.requirements[0].group = "operators, each with a code".into();
    coded.codes = Some(CodeStep {
        who: vec!["alice".into()],
        until: at("2026-11-22T13:02:00Z"),
    });
    let mut half_coded = coded.clone();
    half_coded.requirements[0].quorum = 2;
    half_coded.requirements[0].have = vec![approved_by("alice (code)")];
    half_coded.requirements[0].eligible = vec!["bob".into()];
    half_coded.codes = Some(CodeStep {
        who: vec!["bob".into()],
        until: at("2026-11-22T13:02:00Z"),
    });
    let mut second_person = pending();
    second_person.why = "rule \"workloads\"; floor kubernetes/applications/** asks for a second person: 2 in all".into();
    second_person.requirements[0].quorum = 2;
    second_person.requirements[0].have = vec![approved_by("alice")];
    second_person.requirements[0].eligible = vec!["bob".into()];
    vec![
        ("pending", pending()),
        ("pending_code", coded),
        ("pending_code_of_the_second", half_coded),
        ("pending_second_person", second_person),
        ("pending, with what checked it", checked()),
        ("pending_quorum", quorum),
        ("pending_deletes", grave),
        ("pending_second_step", confirm),
        ("pending_many_files", many),
        ("pending_hostile", hostile),
        (
            "pending_revised",
            Card {
                revision: 2,
                revised: Some("merged by countersign".into()),
                note: Some("a touched file changed on the branch: merged, to be looked at again".into()),
                ..pending()
            },
        ),
        (
            "superseded",
            Card {
                superseded: Some(Superseded {
                    url: Some("https://t.me/c/1/22".into()),
                }),
                buttons: vec![],
                ..pending()
            },
        ),
        (
            "rejected_open",
            Card {
                decided: decided("bob", None),
                chips,
                ..rejected.clone()
            },
        ),
        (
            "rejected_reason",
            Card {
                decided: decided("bob", Some("wrong time")),
                ..rejected.clone()
            },
        ),
        (
            "expired",
            Card {
                decision: Decision::Expired,
                outcome: Some(Outcome::Expired),
                ..rejected.clone()
            },
        ),
        (
            "withdrawn",
            Card {
                decision: Decision::Withdrawn,
                outcome: Some(Outcome::Withdrawn),
                decided: decided("ops-bot", None),
                ..rejected.clone()
            },
        ),
        (
            "refused",
            Card {
                decision: Decision::Refused,
                outcome: Some(Outcome::Refused),
                note: Some("the policy in force says manual".into()),
                ..rejected
            },
        ),
        (
            "held",
            Card {
                hold_until: Some(at("2026-11-22T13:00:20Z")),
                buttons: vec![Action::Cancel],
                ..approved(Delivery::Queued)
            },
        ),
        (
            "queued",
            Card {
                buttons: vec![Action::Cancel],
                ..approved(Delivery::Queued)
            },
        ),
        (
            "frozen",
            Card {
                note: Some("waits: kubernetes/** is frozen by \"new year\" until 2027-01-02 00:00 UTC".into()),
                buttons: vec![Action::Cancel],
                ..approved(Delivery::Queued)
            },
        ),
        (
            "cancelled",
            Card {
                decision: Decision::Dismissed,
                outcome: Some(Outcome::Dismissed),
                decided: decided("bob", None),
                ..approved(Delivery::Ended)
            },
        ),
        (
            "already_there",
            Card {
                decision: Decision::Dismissed,
                outcome: Some(Outcome::Dismissed),
                decided: None,
                note: Some("the branch already holds all of it (seen at 9f8e7d6)".into()),
                ..approved(Delivery::Ended)
            },
        ),
        ("committing", approved(Delivery::Committing)),
        (
            "push_blocked",
            Card {
                note: Some("the remote refused the commit: pre-receive hook declined".into()),
                buttons: vec![Action::Retry, Action::Cancel],
                ..approved(Delivery::PushBlocked)
            },
        ),
        (
            "given_up",
            Card {
                note: Some("the remote refused the commit: pre-receive hook declined".into()),
                outcome: Some(Outcome::PushRefused),
                decided: decided("bob", None),
                ..approved(Delivery::Ended)
            },
        ),
        (
            "pushed_untracked",
            Card {
                outcome: Some(Outcome::Pushed),
                applications: vec![],
                untracked: Some("no application tracks these files".into()),
                note: Some("no application tracks these files".into()),
                buttons: vec![Action::Revert, Action::CopySha],
                ..delivered(Delivery::Ended)
            },
        ),
        (
            "syncing_waits_for_sync",
            Card {
                buttons: vec![Action::Sync(0)],
                ..delivered(Delivery::Syncing)
            },
        ),
        (
            "synced",
            Card {
                buttons: vec![Action::Revert],
                ..ended(Outcome::Synced, "Synced · Healthy", Progress::Good)
            },
        ),
        (
            "degraded",
            ended(Outcome::Degraded, "Synced · Degraded: CrashLoopBackOff", Progress::Bad),
        ),
        (
            "recovered",
            Card {
                recovered_at: Some(at("2026-11-22T12:59:00Z")),
                ..ended(Outcome::Degraded, "Synced · Healthy", Progress::Good)
            },
        ),
        ("timed_out", ended(Outcome::TimedOut, "no answer", Progress::Unknown)),
        (
            "conflicted",
            Card {
                note: Some("the branch changed the same lines: kubernetes/applications/ollama/deployment.yaml".into()),
                outcome: Some(Outcome::Conflicted),
                ..approved(Delivery::Ended)
            },
        ),
        (
            "reverted",
            Card {
                reverted_by: Some(id(0xcd)),
                ..ended(Outcome::Synced, "Synced · Healthy", Progress::Good)
            },
        ),
        ("reverted_by_hand", by_hand(true, None)),
        ("reverted_by_words", by_hand(false, None)),
        ("put_back_by_hand", by_hand(true, Some(domain::CommitId::from_bytes([0x78; 20])))),
        (
            "revert_pending",
            Card {
                revert_of: Some(id(0xcd)),
                requested_by: Some("alice".into()),
                reason: String::new(),
                ..pending()
            },
        ),
        ("manual_patch", manual()),
        (
            "manual_pull_request",
            Card {
                pull_request_url: Some("https://git.example.com/homelab/pull/7".into()),
                commands: vec![],
                ..manual()
            },
        ),
        (
            "manual_landed",
            Card {
                landed: Some(Landed::WithEdits),
                outcome: Some(Outcome::Synced),
                delivery: Delivery::Ended,
                commit: Some(CommitLine {
                    author: Some("Alice".into()),
                    ..delivered(Delivery::Ended).commit.expect("a commit")
                }),
                buttons: vec![],
                ..manual()
            },
        ),
        (
            "manual_put_aside",
            Card {
                decision: Decision::Dismissed,
                outcome: Some(Outcome::Dismissed),
                delivery: Delivery::Ended,
                decided: decided("bob", None),
                buttons: vec![],
                ..manual()
            },
        ),
        (
            "manual_diverged",
            Card {
                outcome: Some(Outcome::Diverged),
                delivery: Delivery::Ended,
                buttons: vec![],
                ..manual()
            },
        ),
        ("standard", standard()),
        (
            "standard_failed",
            Card {
                outcome: Some(Outcome::SyncFailed),
                note: Some("manifest is invalid".into()),
                ..standard()
            },
        ),
        (
            "observed",
            Card {
                kind: CardKind::ObservedNote,
                ..standard()
            },
        ),
    ]
}

/// A message as a person would take notes of it.
fn shown(message: &Rendered) -> String {
    let mut text = format!("{}\n---\n", message.html);
    for row in &message.keyboard {
        let labels: Vec<String> = row
            .iter()
            .map(|button| {
                let press = match &button.press {
                    Press::Data(data) => data.rsplit_once(':').map_or(data.as_str(), |(verb, _)| verb).to_owned(),
                    Press::Url(url) => url.clone(),
                    Press::Copy(text) => format!("copy {text:?}"),
                };
                format!("[{} | {press}]", button.label)
            })
            .collect();
        text.push_str(&format!("{}\n", labels.join(" ")));
    }
    if let Some(document) = &message.document {
        text.push_str(&format!("document {}: {}\n", document.file_name, document.caption));
    }
    text + if message.complete { "complete" } else { "not complete" }
}

#[test]
fn cards() {
    for (name, card) in gallery() {
        let message = render(&card, &options());
        markup::check(&message).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        insta::assert_snapshot!(name, shown(&message));
    }
}

#[test]
fn notices_and_lists() {
    let failed = Card {
        note: Some("hook says <no>".into()),
        ..ended(Outcome::Degraded, "Degraded: CrashLoopBackOff", Progress::Bad)
    };
    let conflicted = gallery()
        .into_iter()
        .find(|(name, _)| *name == "conflicted")
        .expect("in the gallery")
        .1;
    let messages = [
        notice(Notice::Failure, &failed, &options()),
        notice(Notice::Failure, &conflicted, &options()),
        notice(
            Notice::NeedsSync,
            &Card {
                applications: vec![ApplicationLine {
                    headline: "Waiting for a manual sync: automated sync is off, a1b2c3d is ready".into(),
                    ..delivered(Delivery::Syncing).applications[0].clone()
                }],
                ..delivered(Delivery::Syncing)
            },
            &options(),
        ),
        notice(Notice::Reminder, &pending(), &options()),
        notice(
            Notice::Waits,
            &Card {
                note: Some("pull request #7 was closed without a merge".into()),
                ..manual()
            },
            &options(),
        ),
        notice(Notice::Expired, &pending(), &options()),
        notice(Notice::Recovered, &failed, &options()),
        alarm(Some(&pending().repository), Some(id(0xab)), "tap /cancel or @alice <now>"),
        alarm(
            Some(&pending().repository),
            None,
            "ops-bot reported commit a1b2c3d, but it changes other lines",
        ),
        list("Pending", &[pending(), manual()], &options()),
        message("I know you as <alice> & co.\u{202e}"),
    ];
    for one in &messages {
        markup::check(one).expect("good markup");
    }
    insta::assert_snapshot!("notices", messages.iter().map(|m| m.html.as_str()).collect::<Vec<_>>().join("\n\n"));
    let long = list("History", &vec![pending(); 500], &options());
    markup::check(&long).expect("fits");
    assert!(long.html.contains("more"), "says that some are missing");
}

/// What names the rule, the digest, or the reason says it once on a card.
#[test]
fn no_card_says_a_thing_twice() {
    for (name, card) in gallery() {
        let plain = render(&card, &options()).plain;
        let digest = card.digest.map(|digest| digest.short()).unwrap_or_default();
        let said = |what: &str| plain.matches(what).count();
        assert!(said(&digest) <= 1, "{name}: the digest\n{plain}");
        assert!(said("the branch changed the same lines") <= 1, "{name}: the conflict\n{plain}");
        assert!(said("merged") <= 2, "{name}: the merge\n{plain}");
        for rule in ["terraform\" says", "Rule terraform\n", "restarts\" trusts", "Rule restarts\n"] {
            assert_eq!(said(rule), 0, "{name}: the rule\n{plain}");
        }
    }
}

#[test]
fn a_reason_stands_once_on_a_card() {
    let (_, untracked) = gallery()
        .into_iter()
        .find(|(name, _)| *name == "pushed_untracked")
        .expect("in the gallery");
    let plain = render(&untracked, &options()).plain;
    assert_eq!(plain.matches("no application tracks these files").count(), 1, "{plain}");
    let other = Card {
        note: Some("no application tracks these files for sure (blog did not move)".into()),
        untracked: None,
        ..untracked
    };
    let plain = render(&other, &options()).plain;
    assert!(plain.contains("Note: no application") && !plain.contains("Why:"), "{plain}");
    let degraded = Card {
        note: Some("Degraded: CrashLoopBackOff".into()),
        ..ended(Outcome::Degraded, "Degraded: CrashLoopBackOff", Progress::Bad)
    };
    for message in [render(&degraded, &options()), notice(Notice::Failure, &degraded, &options())] {
        assert_eq!(message.plain.matches("CrashLoopBackOff").count(), 1, "{}", message.plain);
    }
}

#[test]
fn a_rule_is_named_once() {
    let card = Card {
        rule: "workloads".into(),
        why: "rule \"workloads\"".into(),
        ..pending()
    };
    assert_eq!(render(&card, &options()).plain.matches("workloads").count(), 1);
}

#[test]
fn what_became_of_it_is_told_in_a_few_words() {
    let (_, rejected) = gallery()
        .into_iter()
        .find(|(name, _)| *name == "rejected_reason")
        .expect("in the gallery");
    let now = Some(at("2026-11-22T12:50:00Z"));
    assert_eq!(fate(&rejected, now, &options()), "rejected by bob at 13:50: wrong time");
    let synced = ended(Outcome::Synced, "Synced · Healthy", Progress::Good);
    assert_eq!(fate(&synced, now, &options()), "synced and healthy at 13:50");
    let yesterday = Some(at("2026-11-20T12:50:00Z"));
    let withdrawn = Card {
        outcome: Some(Outcome::Withdrawn),
        decided: decided("ops-bot", None),
        ..pending()
    };
    assert_eq!(fate(&withdrawn, yesterday, &options()), "withdrawn by ops-bot at 20 Nov 13:50");
}

#[test]
fn while_a_second_step_is_open_the_others_can_still_reject_and_read() {
    let (_, open) = gallery()
        .into_iter()
        .find(|(name, _)| *name == "pending_second_step")
        .expect("in the gallery");
    let labels: Vec<_> = render(&open, &options())
        .keyboard
        .into_iter()
        .flatten()
        .map(|button| button.label)
        .collect();
    assert_eq!(labels, ["‼️ Yes, approve 0000AB", "Back", "❌ Reject", "📄 Full diff"]);
}

#[test]
fn the_document_holds_every_path_first_and_the_diff_untouched() {
    let (_, many) = gallery()
        .into_iter()
        .find(|(name, _)| *name == "pending_many_files")
        .expect("in the gallery");
    let document = full_diff(&many);
    let text = String::from_utf8(document.bytes).expect("text");
    let (head, diff) = text.split_at(text.find("diff --git").expect("a diff"));
    assert!(many.files.iter().all(|file| head.contains(file.path.as_str())));
    assert_eq!(diff, many.diff);
    assert_eq!(document.file_name, "0000AB.diff");
}

#[test]
fn only_whole_cards_are_complete() {
    let complete = |card: &Card| render(card, &options()).complete;
    assert!(complete(&pending()));
    let long = Card {
        diff: format!("{DIFF}{}", "+line\n".repeat(600)),
        ..pending()
    };
    assert!(!complete(&long));
    assert!(render(&long, &options()).document.is_some(), "the whole diff comes as a document");
    let huge = Card {
        diff: format!("{DIFF}@@ -9 +9 @@\n{}", "+é\n".repeat(20_000)),
        ..pending()
    };
    let message = render(&huge, &options());
    assert!(
        !message.complete && message.html.contains("Only the beginning") && !message.html.contains('é'),
        "whole hunks only"
    );
    let mut many = pending();
    many.files = (0..200).map(|i| file(&format!("a/{i}"), ChangeKind::Added, 1, 0)).collect();
    assert!(!complete(&many));
}

#[test]
fn without_a_nonce_no_button_sends_anything() {
    let bare = RenderOptions { nonce: None, ..options() };
    for (name, card) in gallery() {
        let data = render(&card, &bare)
            .keyboard
            .into_iter()
            .flatten()
            .any(|button| matches!(button.press, Press::Data(_)));
        assert!(!data, "{name}");
    }
}

#[test]
fn addresses_telegram_refuses_never_become_buttons_or_links() {
    for bad in [
        "http://localhost:3000/pull/1",
        "javascript:alert(1)",
        "http://gitea/pull/1",
        "https://user:pw@git.example.com/",
        "not a url",
    ] {
        let message = render(
            &Card {
                pull_request_url: Some(bad.into()),
                ..manual()
            },
            &options(),
        );
        assert!(
            !message
                .keyboard
                .iter()
                .flatten()
                .any(|button| matches!(button.press, Press::Url(_))),
            "{bad}"
        );
        assert!(!message.html.contains("<a "), "{bad}");
    }
}

/// Words as hostile as they come: markup, entities, bidi, combining marks, emoji, line breaks, long runs.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("</blockquote>".to_owned()),
        Just("</code></pre>".to_owned()),
        Just("<b>PROMPTED · approved".to_owned()),
        Just("&amp;&lt;".to_owned()),
        Just("\n\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("🚀👨\u{200d}👩".to_owned()),
        Just("\u{202e}\u{2066}\u{feff}".to_owned()),
        Just("e\u{301}\u{301}\u{301}".to_owned()),
        Just("\n@@ -1 +1 @@\n".to_owned()),
        "[ -~]{0,40}",
        "\\PC{0,20}",
        any::<String>(),
        Just("word ".repeat(300)),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A card with foreign words everywhere, in one of the gallery's states.
fn any_card() -> impl Strategy<Value = Card> {
    let gallery = gallery();
    let count = gallery.len();
    (0..count, proptest::collection::vec(hostile(), 9), 0usize..80).prop_map(move |(which, words, files)| {
        let mut card = gallery[which].1.clone();
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap_or_default();
        (card.title, card.reason, card.diff) = (next(), next(), next());
        card.note = Some(next());
        card.remarks = vec![next(); 4];
        card.applications = vec![app(&next(), &next(), Progress::Bad); 12];
        card.requirements.push(Requirement {
            group: next(),
            quorum: 3,
            have: vec![(next(), card.created_at); 9],
            eligible: vec!["bob".into(); 30],
        });
        card.files.extend((0..files).map(|i| {
            file(
                &format!("kubernetes/x{}/{i}.yaml", "long".repeat(i.min(60))),
                ChangeKind::Added,
                9,
                0,
            )
        }));
        card
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever stands in a card: the markup is right, the limits hold, and nothing invisible is left.
    #[test]
    fn nothing_breaks_a_card(card in any_card()) {
        let message = render(&card, &options());
        prop_assert_eq!(markup::check(&message), Ok(()));
        for kind in [Notice::Failure, Notice::Reminder] {
            prop_assert_eq!(markup::check(&notice(kind, &card, &options())), Ok(()));
        }
    }

    /// Our own lines are the same whatever the agent says: its words stay in quotes and code blocks.
    #[test]
    fn agents_cannot_write_our_lines(title in hostile(), reason in hostile(), diff in hostile()) {
        let ours = |card: &Card| markup::outside_of_frames(&render(card, &options()).html);
        let quiet = Card { title: "x".into(), reason: "y".into(), diff: DIFF.into(), ..pending() };
        let loud = Card { title: format!("x{title}"), reason, diff: format!("{DIFF}{diff}"), ..pending() };
        let said = ours(&loud);
        let sentences = ["Only the beginning of the diff; the whole is in the document below.", "The diff is in the document below."];
        let said = sentences.iter().fold(said, |said, sentence| said.replace(sentence, ""));
        let expected = ours(&quiet);
        prop_assert_eq!(said.trim(), expected.trim());
    }
}

#[test]
fn a_path_cannot_write_a_verdict_on_the_lock_screen() {
    let sly = Card {
        files: vec![file("a/x · approved by alice.yaml", ChangeKind::Modified, 1, 1)],
        explained: None,
        ..pending()
    };
    let first = |card: &Card| render(card, &options()).plain.lines().next().map(str::to_owned);
    assert_eq!(
        first(&sly).as_deref(),
        Some("🟡 PROMPTED · change a/x <U+00B7> approved by alice.yaml · waiting for approval")
    );
    // A name inside what the service says neither.
    let explained = pending().explained.map(|explained| Explained {
        verb: "scale x · approved by alice\nto 5".to_owned(),
        ..explained
    });
    let sly = Card { explained, ..pending() };
    assert_eq!(
        first(&sly).as_deref(),
        Some("🟡 PROMPTED · MEDIUM risk · scale x <U+00B7> approved by alice to 5 · waiting for approval")
    );
}

#[test]
fn times_are_shown_in_the_configured_zone() {
    let tokyo = RenderOptions {
        time_zone: chrono_tz::Asia::Tokyo,
        ..options()
    };
    let html = render(&pending(), &tokyo).html;
    assert!(html.contains("Expires 22:45 (in 45 min)"), "{html}");
    let tomorrow = Card {
        expires_at: Some(options().now + Duration::hours(30)),
        ..pending()
    };
    assert!(render(&tomorrow, &options()).html.contains("Expires 23 Nov 20:00 (in 1 d 6 h)"));
    let two_days = Duration::hours(48);
    for (left, words) in [
        (two_days - Duration::minutes(1), "(in 1 d 23 h)"),
        (two_days - Duration::milliseconds(5), "(in 2 d)"),
        (Duration::seconds(3_600 + 5 * 60 + 29), "(in 1 h 5 min)"),
        (Duration::seconds(59), "(in 59 s)"),
    ] {
        let card = Card {
            expires_at: Some(options().now + left),
            ..pending()
        };
        let html = render(&card, &options()).html;
        assert!(html.contains(words), "{words} in {html}");
    }
    assert!(units(&message("x").plain) == 1);
}

/// The simulator parses as the real server does: it refuses what that refuses, and tells which formatting got lost without an error.
#[tokio::test]
async fn the_server_accepts_every_card() {
    use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim};
    let sim = TelegramSim::start(TelegramOptions::default()).await.expect("a free port");
    sim.add_chat(Chat {
        id: -5,
        kind: ChatKind::Group,
        title: "operators".into(),
        topics: vec![],
    });
    let client = crate::Client::new(crate::ClientOptions {
        token: TelegramOptions::default().token.into(),
        api_url: sim.url().parse().expect("an address"),
        timeout: std::time::Duration::from_secs(60),
        upload_timeout: std::time::Duration::from_secs(60),
    });
    let fast = crate::Limits {
        per_chat_minute: 10_000,
        per_chat_second: 10_000,
        burst: 10_000,
        ..crate::Limits::default()
    };
    let queue = crate::Queue::new(client.expect("a client"), fast);
    for (name, card) in gallery() {
        let message = render(&card, &options());
        let sent = queue.send(crate::ChatId(-5), None, message.clone(), false, None).await.expect(name);
        assert_eq!(sent.document_error, None, "{name}");
        let shown = sim.message(-5, sent.message_id.0).expect(name);
        assert_eq!(shown.html, message.html, "{name}: not sent as plain text");
        assert_eq!(shown.lost_formatting, Vec::<String>::new(), "{name}");
    }
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}
