//! A token of some paths: what it sends is compared with its paths before anything is read, whatever the base and whether it is new or a revision.

use anyhow::{Result, anyhow, ensure};
use domain::CommitId;
use end_to_end::Lab;
use end_to_end::lab::{LabOptions, agent_named, files, request};
use engine::{Agent, Content, FileEdit, FileRequest, Problem, ProposalRequest};
use simulators::git::Change;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const OTHER: &str = "kubernetes/applications/web/deployment.yaml";

fn narrow() -> Agent {
    Agent {
        paths: vec!["kubernetes/applications/blog/**".to_owned()],
        ..agent_named("narrow-bot")
    }
}

fn on(base: &str, content: Content) -> ProposalRequest {
    ProposalRequest {
        base: base.to_owned(),
        ..request("Another version", content)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_on_an_older_base_learns_nothing_of_other_files() -> Result<()> {
    let lab = Lab::with(LabOptions {
        argocd: false,
        ..LabOptions::default()
    })
    .await?;
    let agent = narrow();
    let three = files(&[(VALUES, Some("replicaCount: 3\n"))]);
    let created = lab.engine.propose(&agent, request("Three", three), None).await;
    let engine::Created::New(first) = created.map_err(|problem| anyhow!("{problem}"))? else {
        return Err(anyhow!("not a new one"));
    };
    let older: CommitId = first.revision.base;
    // Elsewhere the branch moves on: a base before that is fine for its own files.
    let moved = [Change::write(OTHER, "moved: true\n"), Change::write("docs/new.md", "new\n")];
    lab.repo.commit_on_top(&moved, "Moved", "Olivia")?;
    let revise = async |base: &str, content: Content| {
        let current = lab.proposal(first.id).await?;
        Ok::<_, anyhow::Error>(lab.engine.revise(&agent, first.id, current.version, on(base, content), None).await)
    };
    let refused = async |base: &str, content: Content, path: &str| {
        let problem: Problem = match revise(base, content).await? {
            Ok(_) => return Err(anyhow!("{path} on {base} was taken")),
            Err(problem) => problem,
        };
        // The same words whether the file is there, was there, or moved since.
        ensure!(
            (problem.status, problem.code, &*problem.detail)
                == (403, "path_out_of_scope", &*format!("{path} is outside this token's paths")),
            "{problem:?}"
        );
        Ok(())
    };
    let older = older.to_string();
    for base in ["head", &older] {
        for path in [OTHER, "docs/new.md", "no/such/file"] {
            let executable = FileRequest {
                path: path.to_owned(),
                edit: FileEdit::SetExecutable(true),
            };
            for content in [
                files(&[(path, Some("x\n"))]),
                files(&[(VALUES, Some("replicaCount: 4\n")), (path, None)]),
                Content::Files(vec![executable]),
                Content::Diff(format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-guess\n+x\n")),
                Content::Diff(format!("diff --git a/{path} b/{VALUES}\ncopy from {path}\ncopy to {VALUES}\n")),
            ] {
                refused(base, content, path).await?;
            }
        }
    }
    assert_eq!(lab.proposal(first.id).await?.revision.number, 1);
    let four = revise(&older, files(&[(VALUES, Some("replicaCount: 4\n"))])).await?;
    ensure!(four.is_ok(), "{four:?}");
    let second = lab.proposal(first.id).await?.revision;
    assert_eq!((second.number, second.base.to_string()), (2, older.clone()));
    // Where its own file moved, it hears of that one alone.
    let moved = [Change::write(OTHER, "moved: twice\n"), Change::write(VALUES, "replicaCount: 9\n")];
    lab.repo.commit_on_top(&moved, "Moved again", "Olivia")?;
    let five = on(&older, files(&[(VALUES, Some("replicaCount: 5\n"))]));
    match lab.engine.propose(&agent, five, None).await {
        Err(problem) => assert_eq!(
            (problem.code, &*problem.detail),
            ("stale_base", &*format!("changed on the branch since the base: {VALUES}"))
        ),
        Ok(taken) => return Err(anyhow!("{taken:?}")),
    }
    lab.invariants().await
}
