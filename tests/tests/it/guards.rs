//! Guard rails from intake to the end, over real git: files of an operator's folder, reverts, runs, reports and re-shown changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{Decision, Delivery, Outcome, Tier};
use end_to_end::Lab;
use end_to_end::lab::{ALICE, CHAT, POLICY, agent_named, files, request};
use engine::{Book, Evaluation, GuardFiles, ObservationRequest, Problem};
use serde_json::json;
use simulators::git::Change;

const VALUES: &str = "kubernetes/applications/blog/values.yaml";
const DEPLOYMENT: &str = "kubernetes/applications/web/deployment.yaml";
/// Not a word of any rule or message.
const VALUE: &str = "quite-some-9182-passphrase";

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  namespace: web\ndata:\n  colour: blue\n";

/// A folder with the lab's policy, its runbook and whatever is written to it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.write("policy.toml", POLICY)?;
        files.write("runbooks/scale.toml", include_str!("../../../config/runbooks/scale.toml"))?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(std::fs::write(path, text)?)
    }

    fn book(&self, guard: &GuardFiles) -> Result<Book, Vec<String>> {
        Book::load_guarded(&self.path("policy.toml"), Some(&self.path("runbooks")), guard).map_err(|problems| {
            problems
                .iter()
                .map(|problem| problem.to_string().replace(&shown(self.0.path()), ""))
                .collect()
        })
    }

    fn in_force(&self, lab: &Lab, guard: &GuardFiles) -> Result<()> {
        let book = self.book(guard).map_err(|problems| anyhow!("{problems:?}"))?;
        lab.engine.put_in_force(book);
        Ok(())
    }

    fn rego(&self, policies: &[(&str, &str)]) -> Result<GuardFiles> {
        for (name, text) in policies {
            self.write(&format!("rego/{name}"), text)?;
        }
        Ok(GuardFiles {
            policies: Some(self.path("rego")),
            // Far beyond what any of them needs, so that a busy machine changes no answer.
            policy_limit: Duration::from_secs(60),
            ..GuardFiles::default()
        })
    }
}

fn shown(folder: &Path) -> String {
    format!("{}/", folder.display())
}

async fn evaluate(lab: &Lab, path: &str, text: &str) -> Result<Evaluation> {
    let asked = request("A change", files(&[(path, Some(text))]));
    lab.engine
        .evaluate(&agent_named("ops-bot"), asked)
        .await
        .map_err(|problem| anyhow!("{problem}"))
}

fn found(evaluation: &Evaluation) -> Vec<String> {
    let one = |finding: &changes::guard::Finding| format!("{} {}", finding.rule, finding.effect);
    evaluation.checked.findings.iter().map(one).collect()
}

async fn refused(lab: &Lab, path: &str, text: &str) -> Result<Problem> {
    let asked = request("A change", files(&[(path, Some(text))]));
    match lab.engine.propose(&agent_named("ops-bot"), asked, None).await {
        Ok(_) => Err(anyhow!("{path} was taken")),
        Err(problem) => Ok(problem),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_a_folder_deny_and_warn() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let deny = "package main\n\nimport rego.v1\n\ndeny contains msg if {\n  input.kind == \"ConfigMap\"\n  input.data.colour == \"red\"\n  msg := \"nothing is red here\"\n}\n\nviolation contains {\"msg\": \"no green either\"} if input.data.colour == \"green\"\n";
    let warn = "package main\n\nwarn[msg] {\n  input.kind == \"ConfigMap\"\n  msg := \"a ConfigMap is not read again by itself\"\n}\n";
    let test = "package main\n\nthis is no policy\n";
    let guard = files.rego(&[("deny.rego", deny), ("team/warn.rego", warn), ("deny_test.rego", test)])?;
    files.in_force(&lab, &guard)?;
    let at = "kubernetes/applications/web/settings.yaml";
    for colour in ["red", "green"] {
        let problem = refused(&lab, at, &CONFIG_MAP.replace("blue", colour)).await?;
        ensure!(
            problem.code == "guard_refused" && problem.findings[0].rule == "rego.deny",
            "{problem:?}"
        );
    }
    let id = lab.propose("Blue", &[(at, Some(CONFIG_MAP))]).await?;
    let card = lab.card(id, "Approve").await?;
    ensure!(
        card.text.contains("Rego 2 ✓") && card.text.contains("schemas 1.37 ✓"),
        "{}",
        card.text
    );
    ensure!(card.text.contains("a ConfigMap is not read again by itself"), "{}", card.text);
    lab.tap(ALICE, id, "Approve").await?;
    assert_eq!(lab.ended(id).await?.outcome, Some(Outcome::Synced));
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_loops_or_answers_nonsense_brings_people_in() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let at = "kubernetes/applications/web/settings.yaml";
    let endless = "package main\n\nimport rego.v1\n\ndeny contains \"x\" if {\n  some a in numbers.range(1, 100000)\n  some b in numbers.range(1, 100000)\n  a * b == -1\n}\n";
    let guard = GuardFiles {
        policy_limit: Duration::from_millis(200),
        ..files.rego(&[("a.rego", endless)])?
    };
    files.in_force(&lab, &guard)?;
    let evaluation = evaluate(&lab, at, CONFIG_MAP).await?;
    assert_eq!(
        (evaluation.route.tier, found(&evaluation)),
        (Tier::Manual, vec!["rego.error manual".to_owned()])
    );
    ensure!(evaluation.route.why.contains("rego.error"), "{}", evaluation.route.why);
    let guard = files.rego(&[("a.rego", "package main\n\nimport rego.v1\n\ndeny := 3\n")])?;
    files.in_force(&lab, &guard)?;
    let evaluation = evaluate(&lab, at, CONFIG_MAP).await?;
    assert_eq!(
        (evaluation.route.tier, found(&evaluation)),
        (Tier::Manual, vec!["rego.error manual".to_owned()])
    );
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_and_leave_the_old_ones_in_force() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let guard = files.rego(&[(
        "a.rego",
        "package main\n\nimport rego.v1\n\ndeny contains \"never\" if input.kind == \"ConfigMap\"\n",
    )])?;
    files.in_force(&lab, &guard)?;
    let at = "kubernetes/applications/web/settings.yaml";
    ensure!(
        !lab.engine.reload_book().map_err(|problems| anyhow!("{problems:?}"))?,
        "nothing changed"
    );
    files.write("rego/a.rego", "package main\n\ndeny[msg] {\n  input.kind ==\n}\n")?;
    let problems = lab.engine.follow_files().await.err().context("a broken policy was taken")?;
    ensure!(
        problems[0].file.ends_with("rego/a.rego") && problems[0].line > 1 && !problems[0].remedy.is_empty(),
        "{problems:?}"
    );
    assert_eq!(
        found(&evaluate(&lab, at, CONFIG_MAP).await?),
        ["rego.deny refuse"],
        "the old one is in force"
    );
    // People hear of it once, however often it is looked at; whoever watches the service sees it, too.
    let alarm = lab
        .said(CHAT, 0, &["ALARM", "rego/a.rego", "What was in force stays in force"])
        .await?;
    ensure!(!alarm.silent && lab.engine.health().await.broken_files, "{alarm:?}");
    ensure!(lab.engine.follow_files().await.is_err(), "still broken");
    files.write(
        "rego/a.rego",
        "package main\n\nimport rego.v1\n\nwarn contains \"look\" if input.kind == \"ConfigMap\"\n",
    )?;
    // The service looks by itself from time to time, too: whoever comes first.
    lab.engine.follow_files().await.map_err(|problems| anyhow!("{problems:?}"))?;
    assert_eq!(found(&evaluate(&lab, at, CONFIG_MAP).await?), ["rego.warn remark"]);
    lab.said(CHAT, 0, &["service's own files", "valid again"]).await?;
    ensure!(!lab.engine.health().await.broken_files, "mended");
    let audit = lab.whole_audit().await?;
    let told = |event: &str| audit.iter().filter(|(found, _)| found == event).count();
    assert_eq!((told("files_invalid"), told("files_valid")), (1, 1), "{audit:#?}");
    lab.invariants().await
}

#[test]
fn every_problem_of_the_guard_rails_files_has_file_line_and_remedy() -> Result<()> {
    let files = Files::new()?;
    files.write("secrets.toml", "[[rules]]\nid = \"a\"\nregex = '''('''\n")?;
    files.write("crds/broken.yaml", "a: [\n")?;
    files.write("empty/readme.md", "nothing")?;
    files.write("definitions.json", "{}\n")?;
    files.write(
        "rego/a.rego",
        "package main\n\nimport rego.v1\n\ndeny contains \"x\" if {\n  rand.intn(\"a\", 2) == 1\n}\n",
    )?;
    let folder = |name: &str| Some(files.path(name));
    let some = GuardFiles::default;
    let mut effects = some();
    effects.effects.insert("kind.pod".to_owned(), changes::guard::Effect::Refuse);
    let table = [
        (
            GuardFiles {
                secret_rules: folder("secrets.toml"),
                ..some()
            },
            "secrets.toml:3: ",
        ),
        (
            GuardFiles {
                secret_rules: folder("missing.toml"),
                ..some()
            },
            "missing.toml: cannot be read",
        ),
        (
            GuardFiles {
                custom_resources: folder("crds"),
                ..some()
            },
            "crds/broken.yaml:",
        ),
        (
            GuardFiles {
                custom_resources: folder("empty"),
                ..some()
            },
            "empty: a CustomResourceDefinition or JSON schema is not in it",
        ),
        (
            GuardFiles {
                policies: folder("nowhere"),
                ..some()
            },
            "nowhere: the folder cannot be read",
        ),
        (
            GuardFiles {
                policies: folder("empty"),
                ..some()
            },
            "empty: a policy (*.rego) is not in it",
        ),
        (
            GuardFiles {
                policies: folder("rego"),
                ..some()
            },
            "rego/a.rego:6: rand. is not available",
        ),
        (
            GuardFiles {
                kubernetes: Some(("1.30".to_owned(), files.path("definitions.json"))),
                ..some()
            },
            "definitions.json:1: no `$defs`",
        ),
        (effects, "guard rules: there is no rule \"kind.pod\""),
    ];
    for (guard, expected) in table {
        let problems = files.book(&guard).err().context("it was taken")?;
        ensure!(
            problems.len() == 1 && problems[0].starts_with(expected) && problems[0].contains("\n  remedy: "),
            "{expected}\n{problems:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_validated_by_the_schemas_of_a_folder() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let at = "kubernetes/applications/web/backup.yaml";
    let backup = |keep: &str| format!("apiVersion: backups.example.com/v1\nkind: Backup\nmetadata:\n  name: web\nspec:\n  keep: {keep}\n");
    let evaluation = evaluate(&lab, at, &backup("seven")).await?;
    assert_eq!(
        (evaluation.route.tier, found(&evaluation)),
        (Tier::Prompted, vec!["manifest.unknown-kind remark".to_owned()])
    );
    files.write(
        "crds/backup.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: backups.backups.example.com\nspec:\n  group: backups.example.com\n  names: {kind: Backup, plural: backups}\n  scope: Namespaced\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            properties:\n              keep: {type: integer}\n",
    )?;
    let guard = GuardFiles {
        custom_resources: Some(files.path("crds")),
        ..GuardFiles::default()
    };
    files.in_force(&lab, &guard)?;
    assert_eq!(found(&evaluate(&lab, at, &backup("seven")).await?), ["manifest.schema refuse"]);
    assert!(found(&evaluate(&lab, at, &backup("7")).await?).is_empty());
    lab.invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_tier_is_configurable_and_says_why() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let at = "kubernetes/applications/web/namespace.yaml";
    let text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n";
    let id = lab.propose("A namespace", &[(at, Some(text))]).await?;
    let proposal = lab.until(id, "prepared", |p| p.delivery == Delivery::AwaitingCommit).await?;
    assert_eq!(
        proposal.revision.route.why,
        "kind.namespace: Namespace \"web\" is added: a human commits"
    );
    let card = lab.card(id, "Put aside").await?;
    ensure!(
        card.text.matches("Namespace \"web\" is added").count() == 1,
        "said once: {}",
        card.text
    );
    ensure!(
        card.text.contains("manual: Namespace") && card.text.contains("files ✗"),
        "{}",
        card.text
    );
    for (effect, tier) in [("prompted", Tier::Prompted), ("remark", Tier::Prompted)] {
        let mut guard = GuardFiles::default();
        guard
            .effects
            .insert("kind.namespace".to_owned(), effect.parse().map_err(|why: String| anyhow!(why))?);
        files.in_force(&lab, &guard)?;
        assert_eq!(evaluate(&lab, at, text).await?.route.tier, tier, "{effect}");
    }
    let mut guard = GuardFiles::default();
    guard
        .off
        .insert("kind.namespace".to_owned(), "namespaces are ordinary here".to_owned());
    files.in_force(&lab, &guard)?;
    assert!(found(&evaluate(&lab, at, text).await?).is_empty());
    lab.invariants().await
}

/// What the restored content held already is told and never holds a revert up.
#[tokio::test(flavor = "multi_thread")]
async fn a_revert_is_never_refused_for_what_was_there_before() -> Result<()> {
    let lab = Lab::start().await?;
    let with_secret = format!("replicaCount: 1\ndatabase:\n  password: {VALUE}\n");
    lab.repo.commit_on_top(
        &[Change::write(VALUES, with_secret.clone())],
        "An old sin",
        "Olivia <olivia@example.com>",
    )?;
    let id = lab.propose("Clean", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    lab.tap(ALICE, id, "Approve").await?;
    lab.ended(id).await?;
    lab.tap(ALICE, id, "Revert").await?;
    let (all, _) = lab.engine.store().read().list(&store::ListFilter::default(), None, 10).await?;
    let revert = all[0].id;
    let proposal = lab.proposal(revert).await?;
    assert_eq!(proposal.tier(), Tier::Prompted);
    let checked = lab.engine.checked(&proposal).await?.context("checks")?;
    ensure!(checked.refusals().count() == 0, "{checked:?}");
    ensure!(
        checked.findings.iter().any(|finding| finding.rule == "structure.values"),
        "{:?}",
        checked.findings
    );
    let card = lab.card(revert, "Approve").await?;
    ensure!(
        card.text.contains("secrets ✗") && card.text.contains("structure.values"),
        "{}",
        card.text
    );
    lab.tap(ALICE, revert, "Approve").await?;
    assert_eq!(lab.ended(revert).await?.outcome, Some(Outcome::Synced));
    assert_eq!(lab.repo.read(VALUES), Some(with_secret.into_bytes()));
    lab.invariants().await
}

/// A finding that raises takes a run its autonomy; one that refuses takes it at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_run_is_asked_or_refused_as_a_finding_says() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let policy = |rule: &str| format!("package main\n\nimport rego.v1\n\n{rule} contains \"many\" if input.spec.replicas > 3\n");
    let mut guard = files.rego(&[("a.rego", &policy("warn"))])?;
    guard
        .effects
        .insert("rego.warn".to_owned(), "prompted".parse().map_err(|why: String| anyhow!(why))?);
    files.in_force(&lab, &guard)?;
    let small = lab.run("scale", json!({ "app": "web", "replicas": 3 })).await?;
    assert_eq!(lab.ended(small).await?.decision, Decision::NotRequired);
    let large = lab.run("scale", json!({ "app": "web", "replicas": 5 })).await?;
    let route = lab.proposal(large).await?.revision.route;
    assert_eq!(
        (route.tier, route.why.as_str()),
        (Tier::Prompted, "rego.warn: data.main.warn: many: people are asked")
    );
    lab.tap(ALICE, large, "Approve").await?;
    assert_eq!(lab.ended(large).await?.outcome, Some(Outcome::Synced));
    let guard = files.rego(&[("a.rego", &policy("deny"))])?;
    files.in_force(&lab, &guard)?;
    let refused = lab
        .run("scale", json!({ "app": "web", "replicas": 6 }))
        .await
        .err()
        .context("it was taken")?;
    ensure!(refused.to_string().contains("guard_refused"), "{refused}");
    lab.invariants().await
}

/// What an agent pushed by itself is on the branch already: people hear of what it holds, in words without the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_reported_commit_with_a_secret_rings_and_never_shows_it() -> Result<()> {
    let lab = Lab::start().await?;
    // The runbook renders around what stands there, and the base already lacks nothing: the parent has no secret, the commit brings one.
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let (files, policy) = (
        Files::new()?,
        "package main\n\nimport rego.v1\n\ndeny contains \"no five\" if input.spec.replicas == 5\n",
    );
    files.in_force(&lab, &files.rego(&[("a.rego", policy)])?)?;
    let five = text.replace("replicas: 2", "replicas: 5");
    let commit = lab
        .repo
        .commit_on_top(&[Change::write(DEPLOYMENT, five)], "Scale web", "Agent <agent@example.com>")?;
    let report = ObservationRequest {
        repository: "homelab".to_owned(),
        commit,
        runbook: "scale".to_owned(),
        parameters: json!({ "app": "web", "replicas": 5 }),
    };
    let problem = lab
        .engine
        .observe(&agent_named("ops-bot"), report, None)
        .await
        .err()
        .context("it was taken")?;
    ensure!(
        problem.code == "observation_refused" && problem.findings[0].rule == "rego.deny",
        "{problem:?}"
    );
    lab.said(CHAT, 0, &["ALARM · homelab", "the guard rails refuse", "rego.deny"])
        .await?;
    lab.invariants().await
}

/// A parameter that stands in no file may stand in the title, which goes to chats.
#[tokio::test(flavor = "multi_thread")]
async fn a_reported_run_whose_parameters_bring_a_secret_into_its_title_rings_and_never_shows_it() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let shipped = include_str!("../../../config/runbooks/scale.toml");
    let noted = shipped
        .replace("{replicas} replicas\"", "{replicas} replicas: {note}\"")
        .replace("[[edits]]", "[parameters.properties.note]\ntype = \"string\"\n\n[[edits]]");
    let hash = |text: &str| domain::Sha256Hash::of(text.as_bytes()).to_string();
    files.write("runbooks/scale.toml", &noted)?;
    files.write("policy.toml", &POLICY.replace(&hash(shipped), &hash(&noted)))?;
    files.in_force(&lab, &GuardFiles::default())?;
    let text = String::from_utf8(lab.repo.read(DEPLOYMENT).context("no deployment")?)?;
    let observe = async |replicas: u32, note: &str| -> Result<_> {
        let text = text.replace("replicas: 2", &format!("replicas: {replicas}"));
        let commit = lab
            .repo
            .commit_on_top(&[Change::write(DEPLOYMENT, text)], "Scale web", "Agent <agent@example.com>")?;
        let report = ObservationRequest {
            repository: "homelab".to_owned(),
            commit,
            runbook: "scale".to_owned(),
            parameters: json!({ "app": "web", "replicas": replicas, "note": note }),
        };
        Ok(lab.engine.observe(&agent_named("ops-bot"), report, None).await)
    };
    if let Err(problem) = observe(4, "for the weekend").await? {
        return Err(anyhow!("{problem:?}"));
    }
    let token = format!("ghp_{}", "a8F3k9Lq2Zx7Vb4Nm1Rt6Yp0Ws5Hd3Jc8Ge2");
    let problem = observe(5, &token).await?.err().context("it was taken")?;
    ensure!(problem.code == "observation_refused", "{problem:?}");
    ensure!(
        problem.findings[0].place == engine::Place::Words("/parameters".to_owned()),
        "{problem:?}"
    );
    ensure!(!format!("{problem:?}").contains(&token));
    let alarm = lab.said(CHAT, 0, &["ALARM · homelab", "the guard rails refuse", "secret."]).await?;
    ensure!(!alarm.text.contains(&token), "{}", alarm.text);
    ensure!(!format!("{:?}", lab.whole_audit().await?).contains(&token));
    lab.invariants().await
}

/// The service merges by itself: what comes of it is looked at like anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_merged_revision_is_checked_anew_and_refused_when_it_must_be() -> Result<()> {
    let (lab, files) = (Lab::start().await?, Files::new()?);
    let base = "one: 1\n# a\n# b\n# c\n# d\n# e\n# f\ntwo: 1\n";
    lab.repo
        .commit_on_top(&[Change::write(VALUES, base)], "Values", "Olivia <olivia@example.com>")?;
    let policy = "package main\n\nimport rego.v1\n\ndeny contains \"not both\" if {\n  input.one == 2\n  input.two == 2\n}\n";
    files.in_force(&lab, &files.rego(&[("a.rego", policy)])?)?;
    let id = lab.propose("One", &[(VALUES, Some(&base.replace("one: 1", "one: 2")))]).await?;
    lab.card(id, "Approve").await?;
    lab.repo.commit_on_top(
        &[Change::write(VALUES, base.replace("two: 1", "two: 2"))],
        "Two",
        "Olivia <olivia@example.com>",
    )?;
    let ended = lab.ended(id).await?;
    assert_eq!((ended.decision, ended.outcome), (Decision::Refused, Some(Outcome::Refused)));
    ensure!(
        ended
            .note
            .as_deref()
            .is_some_and(|note| note.contains("rego.deny") && note.contains("not both")),
        "{:?}",
        ended.note
    );
    lab.invariants().await
}

/// A revision stored by a version without checks: card and document are filled when they are needed, and kept from then on.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_stored_is_checked_when_it_is_needed() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.propose("Two blogs", &[(VALUES, Some("replicaCount: 2\n"))]).await?;
    let mut older = lab.proposal(id).await?;
    let contents = lab.engine.store().read().contents(id, 1).await?.context("contents")?;
    older.id = "prp_01900000000070008000000000000042".parse()?;
    let at = older.created_at;
    let (stored, transition) = (older.clone(), domain::open(older, at));
    let audit = store::Audit {
        proposal: None,
        actor: store::Actor::Service,
        event: "proposed".to_owned(),
        summary: "as an older version stored it".to_owned(),
        details: json!({}),
        at,
    };
    lab.engine
        .store()
        .write(move |tx| Box::pin(async move { tx.insert(&transition, &contents, audit).await }))
        .await?;
    assert_eq!(lab.engine.store().read().checks(stored.id, 1).await?, None);
    let checked = lab.engine.checked(&stored).await?.context("checks")?;
    assert_eq!(checked.summary.verb, "scale blog to 2");
    ensure!(lab.engine.store().read().checks(stored.id, 1).await?.is_some(), "it is kept");
    assert_eq!(lab.engine.checked(&stored).await?.context("checks")?, checked);
    lab.invariants().await
}
