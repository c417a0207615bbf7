//! The operator's checklist, answered for changes of every kind.

use changes::summary::{Approval, Holds, Question, checklist};
use domain::Tier;

use crate::cases::{File, change};

const ASKED: Question<'static> = Question {
    branch: "main",
    approval: Approval {
        tier: Tier::Prompted,
        approvers: "1 of operators",
    },
    secrets_found: Some(0),
    argocd: true,
};

fn answers(files: &[File<'_, str>], question: &Question<'_>) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(path, old, new)| (*path, old.map(str::as_bytes), new.map(str::as_bytes)))
        .collect();
    let (changes, old) = change(&files);
    let line = |fact: changes::summary::Fact| {
        let holds = match fact.holds {
            Holds::Yes => "yes",
            Holds::No => "NO",
            Holds::Unknown => "?",
        };
        format!("{:<13} {holds:<3} {}\n", fact.name, fact.words)
    };
    checklist(&changes, &old, question).into_iter().map(line).collect()
}

#[test]
fn a_manifest_for_argo_cd() {
    insta::assert_snapshot!(answers(&[("kubernetes/apps/web/deployment.yaml", Some("a: 1"), Some("a: 2"))], &ASKED), @r"
    in_code       yes defined in code: manifests, values or Terraform
    in_git        yes committed and pushed to main after approval
    right_tool    yes applied by Argo CD
    no_way_around yes no command that changes the cluster or machines without git
    no_secret     yes no secret found in the contents
    approval      yes needs 1 of operators
    ");
}

#[test]
fn without_argo_cd_nobody_says_that_it_applies_anything() {
    let question = Question { argocd: false, ..ASKED };
    let manifest = ("kubernetes/apps/web/deployment.yaml", Some("a: 1"), Some("a: 2"));
    for (files, expected) in [
        (
            vec![manifest],
            "right_tool    ?   manifests, and no Argo CD is configured here: what applies them is not known\n",
        ),
        (
            vec![manifest, ("somewhere/else.bin", None, Some("x"))],
            "right_tool    ?   manifests, and no Argo CD is configured here: what applies them is not known; for some paths no tool is known\n",
        ),
        (
            vec![manifest, ("infrastructure/terraform/main.tf", None, Some("a = 1"))],
            "right_tool    NO  needs whatever applies manifests and Terraform: better one change per tool\n",
        ),
        (
            vec![("infrastructure/terraform/main.tf", None, Some("a = 1"))],
            "right_tool    yes applied by Terraform\n",
        ),
        (vec![("README.md", None, Some("a"))], "right_tool    yes only text for people\n"),
    ] {
        let told = answers(&files, &question);
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("applied by Argo CD"), "{told}");
    }
}

#[test]
fn terraform_is_committed_by_a_human() {
    let question = Question {
        approval: Approval {
            tier: Tier::Manual,
            approvers: "",
        },
        secrets_found: None,
        ..ASKED
    };
    let files = [(
        "infrastructure/terraform/talos-cluster/talos-config.tf",
        Some("a = 1"),
        Some("a = 2"),
    )];
    insta::assert_snapshot!(answers(&files, &question), @r"
    in_code       yes defined in code: manifests, values or Terraform
    in_git        ?   a human commits it to main; the service watches it land
    right_tool    yes applied by Terraform and talosctl
    no_way_around yes no command that changes the cluster or machines without git
    no_secret     ?   the contents were not searched for secrets
    approval      yes whoever commits it
    ");
}

#[test]
fn two_tools_a_secret_and_a_way_around_git() {
    let question = Question {
        secrets_found: Some(2),
        ..ASKED
    };
    let files = [
        ("infrastructure/terraform/main.tf", None, Some("a = 1")),
        (
            "kubernetes/apps/web/job.yaml",
            Some("kubectl get pods"),
            Some("kubectl get pods && kubectl apply -f x"),
        ),
        ("kubernetes/apps/web/README.md", None, Some("never kubectl delete")),
    ];
    insta::assert_snapshot!(answers(&files, &question), @r"
    in_code       yes defined in code: manifests, values or Terraform
    in_git        yes committed and pushed to main after approval
    right_tool    NO  needs Argo CD and Terraform: better one change per tool
    no_way_around NO  kubernetes/apps/web/job.yaml now says `kubectl apply`
    no_secret     NO  2 secrets in the contents; secrets belong in Infisical
    approval      yes needs 1 of operators
    ");
}

#[test]
fn what_nobody_knows_is_unknown() {
    let standard = Question {
        approval: Approval {
            tier: Tier::Standard,
            approvers: "",
        },
        ..ASKED
    };
    insta::assert_snapshot!(answers(&[("misc/thing.cfg", None, Some("a"))], &standard), @r"
    in_code       ?   nothing is known to apply thing.cfg
    in_git        yes committed and pushed to main at once
    right_tool    ?   no tool is known for these paths
    no_way_around yes no command that changes the cluster or machines without git
    no_secret     yes no secret found in the contents
    approval      yes a proven runbook: people are told afterwards
    ");
    insta::assert_snapshot!(answers(&[("kubernetes/a/main.tf", None, Some("a = 1")), ("kubernetes/a/x.yaml", None, Some("\0"))], &ASKED), @r"
    in_code       NO  not text: x.yaml
    in_git        yes committed and pushed to main after approval
    right_tool    NO  kubernetes/a/main.tf lies where Argo CD looks, and is not for it
    no_way_around yes no command that changes the cluster or machines without git
    no_secret     yes no secret found in the contents
    approval      yes needs 1 of operators
    ");
}
