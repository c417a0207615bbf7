//! What looking costs: a dry run with all checks, the policy over many rules, the secret patterns over much text, and input made to be slow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use changes::guard::{GuardOptions, Guards};
use countersign::Hooks;
use domain::{ChangeSet, Facts, FileChange, FileMode, NewFile, Policy, RepoPath};
use engine::{Book, GuardFiles};
use serde_json::json;

use crate::hosting::{Hosting, Size};
use crate::lab::{Connections, Lab};
use crate::report::{Goal, Report, Speaks, median};
use crate::slow_inputs::{SLOW_RULES, Slow, slow_inputs};
use crate::timing::{PAIRS, ms, timed};

const EVALUATE: &str = "evaluate_20_files_all_checks_p50_ms";
const POLICY: &str = "policy_1000_rules_100_paths_ms";
const SECRETS: &str = "secrets_in_1_mb_of_manifests_ms";
const HOSTILE: &str = "hostile_input_slowest_ms";

/// The figures of this file.
pub(crate) const NAMES: [&str; 4] = [EVALUATE, POLICY, SECRETS, HOSTILE];

/// Dry runs of one median.
const CALLS: usize = 20;

pub(crate) async fn run(report: &Report) -> Result<()> {
    if report.wants(POLICY) {
        report.tell(POLICY, Goal::AtMost(2.0), Speaks::Median, &policy()?);
    }
    if report.wants(SECRETS) {
        report.tell(SECRETS, Goal::AtMost(50.0), Speaks::Median, &secrets(report)?);
    }
    if report.wants(HOSTILE) {
        report.tell(HOSTILE, Goal::AtMost(100.0), Speaks::Most, &hostile(report)?);
    }
    if report.wants(EVALUATE) {
        evaluate(report).await?;
    }
    Ok(())
}

/// A dry run of 20 Deployments over HTTP, by a service whose policies and patterns are warm.
async fn evaluate(report: &Report) -> Result<()> {
    let hosting = Hosting::start().await?;
    let repo = hosting.seeded("homelab", Size::Small)?;
    let to = Connections {
        git: &repo.url,
        telegram: None,
        argocd: None,
        ports: (0, 0),
    };
    let lab = Lab::start(&to, 1, Hooks::default()).await?;
    lab.service.engine().put_in_force(with_policies(&lab)?);
    let mut runs = Vec::new();
    for round in 0..=PAIRS {
        let mut times = Vec::new();
        for call in 0..CALLS {
            let files: Vec<_> = (0..20)
                .map(|nth| json!({ "path": format!("team-00/app-{nth}/deployment.yaml"), "content": deployment(nth, call) }))
                .collect();
            let body = json!({ "repository": "homelab", "base": "head", "title": "Twenty", "reason": "a dry run", "changes": files });
            let (status, took) = timed(lab.agents[0].evaluate(&body)).await?;
            ensure!(status == 200, "a dry run was answered with {status}");
            times.push(ms(took));
        }
        // The first round compiles what is compiled once.
        if round > 0 {
            runs.push(median(&times));
        }
    }
    report.tell(EVALUATE, Goal::AtMost(15.0), Speaks::Median, &runs);
    lab.service.stop().await;
    Ok(())
}

/// The lab's book with Rego policies of the usual kind.
fn with_policies(lab: &Lab) -> Result<Book> {
    let database = lab.database();
    let folder = database.parent().context("a database without folder")?;
    let policies = folder.join("rego");
    std::fs::create_dir_all(&policies)?;
    let policy = "package main\n\nimport rego.v1\n\ndeny contains msg if {\n  input.kind == \"Deployment\"\n  some container in input.spec.template.spec.containers\n  \
                  endswith(container.image, \":latest\")\n  msg := sprintf(\"%s uses latest\", [container.name])\n}\n\nwarn contains msg if {\n  \
                  input.kind == \"Deployment\"\n  not input.metadata.labels.app\n  msg := \"no label app\"\n}\n";
    std::fs::write(policies.join("images.rego"), policy)?;
    let guard = GuardFiles {
        policies: Some(policies),
        ..GuardFiles::default()
    };
    let told = |problems: Vec<engine::FileProblem>| anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    Book::load_guarded(&folder.join("policy.toml"), Some(&folder.join("runbooks")), &guard).map_err(told)
}

fn deployment(app: usize, replicas: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{app}\n  namespace: team\n  labels:\n    app: app-{app}\nspec:\n  replicas: {replicas}\n  \
         selector:\n    matchLabels:\n      app: app-{app}\n  template:\n    metadata:\n      labels:\n        app: app-{app}\n    spec:\n      containers:\n        - name: app\n          \
         image: registry.example.com/app:1.{replicas}\n          env:\n            - name: LOG_LEVEL\n              value: info\n            - name: DATABASE_PASSWORD\n              \
         valueFrom:\n                secretKeyRef:\n                  name: app\n                  key: password\n          resources:\n            requests:\n              cpu: 100m\n              \
         memory: 128Mi\n            limits:\n              memory: 256Mi\n"
    )
}

/// 100 paths through 1,000 rules, the matching ones last.
fn policy() -> Result<Vec<f64>> {
    let mut text = "version = 1\n[people.alice]\ntelegram_id = 1\n[groups]\noperators = [\"alice\"]\n".to_owned();
    for rule in 0..1_000 {
        let _ = writeln!(
            text,
            "[[rules]]\nname = \"rule {rule}\"\npaths = [\"team-{rule}/**/values.yaml\", \"*/team-{rule}/*.yaml\"]\ntier = \"prompted\"\napprovers = \"operators\""
        );
    }
    text.push_str("[[rules]]\nname = \"rest\"\npaths = [\"**\"]\ntier = \"prompted\"\napprovers = \"operators\"\n");
    // A hundred files would be more than a card shows, which is decided before any rule is asked.
    let text = text.replacen("version = 1\n", "version = 1\nfiles_per_card = 200\n", 1);
    let policy = Policy::parse(&text).map_err(|problems| anyhow!("{problems:?}"))?;
    let paths: Result<Vec<RepoPath>, _> = (0..100)
        .map(|nth| format!("apps/team-{}/deep/{nth}/file.yaml", nth * 10).parse())
        .collect();
    let facts = Facts {
        paths: paths?,
        ..Facts::default()
    };
    let repository = "homelab".parse()?;
    let mut runs = Vec::new();
    for _ in 0..PAIRS {
        let began = Instant::now();
        let route = policy.route(&repository, std::hint::black_box(&facts));
        runs.push(ms(began.elapsed()));
        ensure!(route.rule.as_deref() == Some("rest"), "routed by {:?}", route.rule);
    }
    Ok(runs)
}

/// A megabyte of Deployments with ten keywords in it.
fn secrets(report: &Report) -> Result<Vec<f64>> {
    let guards = Guards::new(&GuardOptions::default()).map_err(|problems| anyhow!("{problems:?}"))?;
    let plain = deployment(0, 1)
        .replace("DATABASE_PASSWORD", "DATABASE_NAME")
        .replace("secretKeyRef", "configMapKeyRef");
    let mut text = plain.replace("key: password", "key: name").repeat(1_000_000 / plain.len() + 1);
    for _ in 0..10 {
        text.push_str("# the password is kept elsewhere\n");
    }
    let mut runs = Vec::new();
    for round in 0..=PAIRS {
        let began = Instant::now();
        let found = guards.secret_in(std::hint::black_box(&text));
        // The first round compiles the patterns that are asked.
        if round > 0 {
            runs.push(ms(began.elapsed()));
        }
        ensure!(found.is_none(), "ordinary manifests are taken for {found:?}");
    }
    report.note(SECRETS, &format!("{} bytes", text.len()));
    Ok(runs)
}

/// Inputs made to be slow, each as the file that costs most, and one change of a thousand such files; the slowest of each round.
fn hostile(report: &Report) -> Result<Vec<f64>> {
    let guards = Guards::new(&GuardOptions {
        secret_rules: Some(("rules.toml".to_owned(), SLOW_RULES.to_owned())),
        ..GuardOptions::default()
    });
    let guards = guards.map_err(|problems| anyhow!("{problems:?}"))?;
    let mut inputs = Vec::new();
    for Slow { name, path, text } in slow_inputs(1_000_000) {
        inputs.push((name, ChangeSet::new(BTreeMap::from([added(path, &text)?]))));
    }
    let piece = "- {password: [x1y2z3, \"\\x41\"]}\n".repeat(250);
    let thousand: Result<_> = (0..1_000).map(|nth| added(&format!("apps/{nth}/values.yaml"), &piece)).collect();
    inputs.push(("a thousand files", ChangeSet::new(thousand?)));
    let mut runs = Vec::new();
    for round in 0..=5 {
        let (mut slowest, mut which) = (0.0, "");
        for (name, changes) in &inputs {
            let began = Instant::now();
            let answer = guards.inspect(changes, &BTreeMap::new());
            changes::summarize(changes, &BTreeMap::new(), None);
            let took = ms(began.elapsed());
            ensure!(!answer.checks.is_empty(), "{name} has no answer");
            if took > slowest {
                (slowest, which) = (took, *name);
            }
        }
        if round > 0 {
            report.note(HOSTILE, &format!("{slowest:.1} ms: {which}"));
            runs.push(slowest);
        }
    }
    Ok(runs)
}

fn added(path: &str, text: &str) -> Result<(RepoPath, FileChange)> {
    let new = NewFile {
        mode: FileMode::Regular,
        bytes: text.as_bytes().to_vec(),
    };
    Ok((path.parse()?, FileChange { old: None, new: Some(new) }))
}
