//! What authors and callers of runbooks see when something is wrong, and what a run yields.

use std::collections::BTreeMap;

use changes::runbook::RenderErrorKind;
use changes::{RenderError, Rendered, Rollback, RunLimits, Runbook, Verification};
use domain::{RepoPath, Tier};
use serde_json::{Value, json};

/// A runbook with these edits; parameters `app`, `n`, `text`, `any` and the optional `maybe` and `tone`.
fn with_edits(edits: &str) -> String {
    format!(
        r#"name = "test"
description = "For tests."
title = "Test {{app}}"
allowed_paths = ["apps/*/*.yaml", "fixed.txt"]

[parameters]
required = ["app"]
[parameters.properties]
app = {{ type = "string" }}
n = {{ type = "integer" }}
text = {{ type = "string" }}
any = {{}}
maybe = {{ type = "string" }}
tone = {{ type = "string", default = "calm" }}

{edits}
"#
    )
}

fn edit(lines: &str) -> String {
    with_edits(&format!("[[edits]]\nfile = \"apps/{{app}}/a.yaml\"\n{lines}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = Runbook::parse(text, "config/runbooks/test.toml")
        .map(drop)
        .expect_err("it is refused");
    problems.iter().map(ToString::to_string).collect()
}

const FILE: &str = "kind: Config\nmetadata:\n  name: web\nspec:\n  n: 1 # n\n  list: [a]\n  image: nginx:1.0\n";

/// Runs a runbook in a repository that has `apps/web/a.yaml`.
fn run(text: &str, parameters: &Value) -> Result<Rendered, RenderError> {
    let runbook = Runbook::parse(text, "test.toml").unwrap_or_else(|problems| panic!("{problems:?}"));
    let needed = runbook.files_needed(parameters)?;
    let content = |path: &RepoPath| (path.as_str() == "apps/web/a.yaml").then(|| FILE.as_bytes().to_vec());
    let files: BTreeMap<_, _> = needed.into_iter().map(|path| (path.clone(), content(&path))).collect();
    let rendered = runbook.render(parameters, &files)?;
    let words = (rendered.title.clone(), rendered.reason.clone().unwrap_or_default());
    assert_eq!(runbook.words(parameters)?, words, "the same words without the files");
    Ok(rendered)
}

/// The text of the one file that a run writes.
fn written(text: &str, parameters: &Value) -> String {
    let rendered = run(text, parameters).unwrap_or_else(|error| panic!("{error}"));
    let bytes = rendered.files.into_values().next().flatten().expect("one file is written");
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn values_keep_their_types() {
    for (lines, expected) in [
        ("path = \"spec.n\"\nset = \"{n}\"", "n: 7 # n"),
        ("path = \"spec.n\"\nset = \"{n} pods\"", "n: 7 pods # n"),
        ("path = \"spec.n\"\nset = \"{text}\"", "n: \"1\\nkind: Secret\" # n"),
        ("path = \"spec.n\"\nset = \"{any}\"", "n: null # n"),
        ("path = \"spec.n\"\nset = \"{{n}}\"", "n: \"{n}\" # n"),
        ("path = \"spec.n\"\nset = \"\"", "n: \"\" # n"),
        ("path = \"spec.n\"\nset = 9", "n: 9 # n"),
        ("path = \"spec.n\"\nset = 0.5", "n: 0.5 # n"),
        ("path = \"spec.n\"\nset = true", "n: true # n"),
        ("path = \"spec.n\"\nset = \"{tone}\"", "n: calm # n"),
        ("path = 'spec[\"{text}\"]'\nput = 1", "  \"1\\nkind: Secret\": 1\n"),
        ("path = \"spec.list\"\nappend = \"{app}\"", "list: [a, web]"),
        ("path = \"spec.image\"\nset_image_tag = \"{n}\"", "image: nginx:7"),
        ("path = \"spec.image\"\nremove = true", "list: [a]\n"),
        (
            "document = { kind = \"Config\", name = \"{app}\" }\npath = \"spec.n\"\nset = 2",
            "n: 2 # n",
        ),
    ] {
        let text = written(&edit(lines), &json!({"app": "web", "n": 7, "text": "1\nkind: Secret", "any": null}));
        assert!(text.contains(expected), "{lines}:\n{text}");
        assert!(text.starts_with("kind: Config\n"), "{lines}:\n{text}");
    }
}

#[test]
fn whole_files_are_written_edited_and_deleted() {
    let text = with_edits(
        "[[edits]]\nfile = \"fixed.txt\"\nwrite = \"a: {app}\\n\"\n[[edits]]\nfile = \"fixed.txt\"\npath = \"b\"\ninsert = \"{app}\"\n\
         [[edits]]\nfile = \"apps/{app}/a.yaml\"\ndelete = true",
    );
    let rendered = run(&text, &json!({"app": "web"})).unwrap_or_else(|error| panic!("{error}"));
    let files: Vec<_> = rendered
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_deref()))
        .collect();
    assert_eq!(files, [("apps/web/a.yaml", None), ("fixed.txt", Some(&b"a: {app}\nb: web\n"[..]))]);
}

#[test]
fn bad_calls_say_which_parameter_and_why() {
    let set = |value: &str| edit(&format!("path = \"spec.n\"\nset = \"{value}\""));
    let titled = || set("x").replace("Test {app}", "Test {text}");
    let (parameters, path, target) = (RenderErrorKind::Parameters, RenderErrorKind::Path, RenderErrorKind::Target);
    for (text, call, kind, pointer, message) in [
        (
            set("{maybe}"),
            json!({"app": "web"}),
            parameters,
            "/maybe",
            "is needed here and was not given",
        ),
        (
            set("{any}"),
            json!({"app": "web", "any": [1]}),
            parameters,
            "/any",
            "a list cannot be written as a single value",
        ),
        (
            set("x{any}"),
            json!({"app": "web", "any": {}}),
            parameters,
            "/any",
            "stands inside a text",
        ),
        (set("x"), json!({"app": "web", "more": 1}), parameters, "", "more"),
        (set("x"), json!({"app": ""}), path, "/app", "is empty"),
        (set("x"), json!({"app": ".."}), path, "/app", "two dots in a row"),
        (set("x"), json!({"app": "."}), path, "/app", "is a dot"),
        (set("x"), json!({"app": "a/b"}), path, "/app", "contains a slash"),
        (set("x"), json!({"app": "a\\b"}), path, "/app", "contains a slash"),
        (set("x"), json!({"app": ".git"}), path, "/app", "git uses"),
        (set("x"), json!({"app": "a\u{202e}b"}), path, "/app", "zero-width"),
        (
            titled(),
            json!({"app": "web", "text": "a\nb"}),
            parameters,
            "/text",
            "the title would contain a control",
        ),
        (
            titled(),
            json!({"app": "web", "text": "x".repeat(250)}),
            parameters,
            "/text",
            "the title would be longer",
        ),
        (
            set("x"),
            json!({"app": "db"}),
            target,
            "/app",
            "the repository has no file apps/db/a.yaml",
        ),
        (
            edit("path = \"spec.{text}\"\nset = 1"),
            json!({"app": "web", "text": "x.y"}),
            target,
            "/text",
            "line 5: `spec` has no key `x.y`",
        ),
        (
            edit("document = { name = \"{text}\" }\npath = \"a\"\nset = 1"),
            json!({"app": "web", "text": "db"}),
            target,
            "/text",
            "no document \"db\"",
        ),
        (
            edit("path = \"spec.image\"\nset_image_tag = \"{text}\""),
            json!({"app": "web", "text": "a b"}),
            parameters,
            "/text",
            "the tag must be",
        ),
    ] {
        let error = run(&text, &call).expect_err(message);
        assert_eq!((error.kind, error.pointer.as_str()), (kind, pointer), "{call}: {error}");
        assert!(error.message.contains(message) && !error.hint.is_empty(), "{call}: {error}");
    }
}

#[test]
fn a_path_outside_the_allowed_ones_is_refused() {
    let text = with_edits("[[edits]]\nfile = \"fixed.{text}\"\npath = \"a\"\nset = 1");
    let error = run(&text, &json!({"app": "web", "text": "yaml"})).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "fixed.yaml is outside the runbook's allowed paths (apps/*/*.yaml, fixed.txt); name something inside them"
    );
    assert_eq!(error.pointer, "/text");
}

/// Values are written as values, so a run makes no YAML invalid by itself: what it meets may be.
#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let text = edit("path = \"spec.n\"\nset = \"{text}\"");
    let call = json!({"app": "web", "text": "a: [\n} b: {{"});
    assert!(written(&text, &call).contains("n: \"a: [\\n} b: {{\" # n"), "a text stays a text");
    let runbook = Runbook::parse(&text, "test.toml").expect("it is valid");
    for broken in ["spec:\n  n: [1\n", "spec: {n: 1\n", "spec:\n  n: 1\n n: 2\n"] {
        let path: RepoPath = "apps/web/a.yaml".parse().expect("a path");
        let files = BTreeMap::from([(path, Some(broken.as_bytes().to_vec()))]);
        let error = runbook.render(&call, &files).expect_err(broken);
        assert_eq!(error.kind, RenderErrorKind::Target, "{broken}");
        assert!(
            error.message.contains("not valid YAML") && error.message.contains("line "),
            "{broken}: {error}"
        );
    }
    // Valid, but what the edit would make of it is not: the result is read again before it counts.
    for (change, odd, line) in [
        ("path = \"spec.n\"\nset = 7", "spec: {n}\n", 1),
        ("path = \"spec.n\"\nremove = true", "spec: {n}\n", 1),
        ("path = \"spec.z\"\nput = 7", "spec:\n  ? n\n  : 1\n  m: 2\n", 2),
    ] {
        let runbook = Runbook::parse(&edit(change), "test.toml").expect("it is valid");
        let path: RepoPath = "apps/web/a.yaml".parse().expect("a path");
        let files = BTreeMap::from([(path, Some(odd.as_bytes().to_vec()))]);
        let error = runbook.render(&call, &files).expect_err(odd);
        let place = format!("apps/web/a.yaml, line {line}: the layout around `spec.");
        assert_eq!(error.kind, RenderErrorKind::Target, "{odd}: {error}");
        assert!(
            error.message.starts_with(&place) && error.hint == "make this change by hand",
            "{odd}: {error}"
        );
    }
    // What is more than an edit may read is still YAML.
    let deep = format!("a: {}{}\\n", "[".repeat(70), "]".repeat(70));
    assert!(
        Runbook::parse(
            &with_edits(&format!("[[edits]]\nfile = \"apps/{{app}}/a.yaml\"\nwrite = \"{deep}\"")),
            "test.toml"
        )
        .is_ok()
    );
    // A text that is a template only becomes YAML later.
    let template = with_edits("[[edits]]\nfile = \"apps/{app}/templates/a.yaml\"\nwrite = \"a: {{{{ .Values.a }}}}\\n\"")
        .replace("apps/*/*.yaml", "apps/*/templates/*.yaml");
    assert!(Runbook::parse(&template, "test.toml").is_ok());
}

/// What the file is called, and so whether it must be YAML, may only be known from the call.
#[test]
fn a_text_that_is_no_yaml_is_not_written_under_a_name_that_says_so() {
    let text = with_edits("[[edits]]\nfile = \"apps/{app}/{text}\"\nwrite = \"a: 1\\nb: [\\n\"").replace("apps/*/*.yaml", "apps/*/*");
    for name in ["b.yaml", "b.yml", "b.json"] {
        let error = run(&text, &json!({"app": "web", "text": name})).expect_err(name);
        assert_eq!((error.kind, error.pointer.as_str()), (RenderErrorKind::Path, "/text"), "{error}");
        let place = format!("apps/web/{name}: line 3 of the text to write: it is not valid YAML");
        assert!(error.message.contains(&place) && !error.hint.is_empty(), "{error}");
    }
    assert_eq!(written(&text, &json!({"app": "web", "text": "b.txt"})), "a: 1\nb: [\n");
}

#[test]
fn a_file_that_was_not_handed_in_is_an_error() {
    let runbook = Runbook::parse(&edit("path = \"a\"\nset = 1"), "test.toml").expect("it is valid");
    let error = runbook.render(&json!({"app": "web"}), &BTreeMap::new()).expect_err("it is refused");
    assert!(error.message.contains("apps/web/a.yaml was not handed in"), "{error}");
    let binary = BTreeMap::from([("apps/web/a.yaml".parse().expect("a path"), Some(vec![0xff, 0xfe]))]);
    let error = runbook.render(&json!({"app": "web"}), &binary).expect_err("it is refused");
    assert!(error.message.contains("not UTF-8"), "{error}");
}

#[test]
fn problems_name_file_line_column_and_remedy() {
    let good = edit("path = \"spec.n\"\nset = 1");
    for (from, to, expected) in [
        (
            "name = \"test\"",
            "name = \"other\"",
            "config/runbooks/test.toml:1:8: the runbook is named \"other\" but its file is named \"test.toml\"",
        ),
        (
            "description = \"For tests.\"",
            "description = \" \"",
            "test.toml:2:15: the description is empty",
        ),
        (
            "title = \"Test {app}\"",
            "title = \"Test {ap}\"",
            "test.toml:3:9: {ap} is not among the properties",
        ),
        (
            "title = \"Test {app}\"",
            "title = \"Test {app\"",
            "test.toml:3:9: a single { stands without its counterpart",
        ),
        ("title = \"Test {app}\"", "titel = \"Test\"", "test.toml:3:1: unknown field `titel`"),
        ("title = \"Test {app}\"\n", "", "missing field `title`"),
        ("[\"apps/*/*.yaml\", \"fixed.txt\"]", "[]", "test.toml:4:17: no path is allowed"),
        ("\"apps/*/*.yaml\"", "\"apps/[*.yaml\"", "test.toml:4:18: path pattern"),
        (
            "required = [\"app\"]",
            "required = \"app\"",
            "test.toml:7:12: the schema is not valid at /required",
        ),
        (
            "app = { type = \"string\" }",
            "app = { type = \"text\" }",
            "the schema is not valid at /properties/app/type",
        ),
        (
            "app = { type = \"string\" }",
            "app = { type = \"string\", pattern = \"(\" }",
            "the schema",
        ),
        (
            "app = { type = \"string\" }",
            "app = { \"$ref\" = \"https://192.0.2.1/x\" }",
            "test.toml:9:7: $ref \"https://192.0.2.1/x\" names a schema elsewhere",
        ),
        (
            "[parameters]\n",
            "[parameters]\ntype = \"array\"\n",
            "the schema's type is \"array\"",
        ),
        (
            "apps/{app}/a.yaml",
            "fixed.yaml",
            "fixed.yaml is outside the runbook's own allowed paths; add it to allowed_paths",
        ),
        (
            "apps/{app}/a.yaml",
            "app/{app}/a.yaml",
            "app/{app}/a.yaml is outside the runbook's own allowed paths, whatever its parameters are; add it to allowed_paths",
        ),
        ("apps/{app}/a.yaml", "../x", "path \"../x\" is refused"),
        ("path = \"spec.n\"", "path = \"spec..n\"", "is not valid at character 6"),
        ("path = \"spec.n\"", "path = \"spec.{m}\"", "{m} is not among the properties"),
        ("path = \"spec.n\"\n", "", "the edit has no path"),
        ("set = 1", "", "the edit says 0 things to do; give exactly one of set"),
        ("set = 1", "set = 1\nput = 2", "the edit says 2 things to do"),
        ("set = 1", "set = [1]", "only single values can be written"),
        ("set = 1", "set = 1\nfoo = 2", "unknown field `foo`"),
        ("set = 1", "remove = false", "false says nothing here"),
        ("set = 1", "write = \"x\"", "write and delete are about the whole file"),
        (
            "path = \"spec.n\"\nset = 1",
            "write = \"a: 1\\nb: [\\n\"",
            "line 3 of the text to write: it is not valid YAML",
        ),
        ("set = 1", "set = \"{nope}\"", "{nope} is not among the properties"),
        ("name = \"test\"", "name = ", "test.toml:1:"),
    ] {
        assert!(good.contains(from), "{from}");
        let found = problems(&good.replace(from, to));
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{to}: expected {expected:?} in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(
        problems(&good.replace("set = 1", "set = \"{x}\"").replace("{app}\"\n", "{y}\"\n")).len(),
        2,
        "all problems at once"
    );
}

#[test]
fn another_byte_is_another_runbook() {
    let text = edit("path = \"a\"\nset = 1");
    let hash = |text: &str| Runbook::parse(text, "test.toml").expect("it is valid").content_hash();
    assert_eq!(hash(&text), hash(&text));
    assert_ne!(hash(&text), hash(&format!("{text}# comment\n")));
}

#[test]
fn a_file_says_how_far_it_may_be_trusted() {
    let plain = Runbook::parse(&edit("path = \"a\"\nset = 1"), "test.toml").expect("it is valid");
    assert_eq!(
        (plain.ceiling(), plain.rollback(), plain.limits()),
        (Tier::Prompted, None, RunLimits::default())
    );
    assert_eq!(plain.verification(), &Verification::default());
    assert_eq!(plain.verified_applications(&json!({"app": "web"})), Ok(None));

    let safe = safety("ceiling = \"standard\"\nrollback = \"revert\"");
    let tables = "[verify]\napplications = [\"{app}\", \"{app}-{tone}\"]\nhealthy_within = \"90s\"\nstable_for = \"1h\"\n\
         [limits]\nper_target_per_day = 4\nper_hour = 10\nconcurrent = 1\n";
    let runbook = Runbook::parse(&format!("{safe}\n{tables}"), "test.toml").unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!((runbook.ceiling(), runbook.rollback()), (Tier::Standard, Some(Rollback::Revert)));
    let verification = runbook.verification();
    assert_eq!((verification.healthy_within_seconds, verification.stable_for_seconds), (90, 3600));
    let limits = runbook.limits();
    assert_eq!(
        (limits.per_target_per_day, limits.per_hour, limits.concurrent),
        (Some(4), Some(10), Some(1))
    );
    assert_eq!(
        runbook.verified_applications(&json!({"app": "web"})),
        Ok(Some(vec!["web".to_owned(), "web-calm".to_owned()])),
        "defaults are filled in"
    );
    assert!(runbook.verified_applications(&json!({})).is_err());
    let partly = format!("{safe}\n[verify]\nstable_for = \"0s\"\n[limits]\nconcurrent = 2\n");
    let runbook = Runbook::parse(&partly, "test.toml").unwrap_or_else(|problems| panic!("{problems:?}"));
    let verification = runbook.verification();
    assert_eq!((verification.healthy_within_seconds, verification.stable_for_seconds), (600, 0));
    assert_eq!((runbook.limits().per_hour, runbook.limits().concurrent), (None, Some(2)));
}

/// A runbook with these keys at its top.
fn safety(keys: &str) -> String {
    edit("path = \"a\"\nset = 1").replace("title =", &format!("{keys}\ntitle ="))
}

#[test]
fn what_it_says_about_trust_is_checked() {
    let good = safety("ceiling = \"standard\"\nrollback = \"revert\"");
    let end = |more: &str| format!("{good}\n{more}");
    for (text, expected) in [
        (
            safety("ceiling = \"standard\""),
            "test.toml:3:11: the ceiling is standard but the file does not say how a run is undone; add rollback = \"revert\"",
        ),
        (safety("ceiling = \"high\""), "test.toml:3:11: tier \"high\" is not valid"),
        (
            safety("rollback = \"undo\""),
            "test.toml:3:12: there is no rollback \"undo\"; write rollback = \"revert\"",
        ),
        (
            end("[verify]\nhealthy_within = \"10\""),
            ":24:18: \"10\" is not a duration from 10s to 24h",
        ),
        (end("[verify]\nhealthy_within = \"9s\""), "\"9s\" is not a duration"),
        (end("[verify]\nhealthy_within = \"25h\""), "\"25h\" is not a duration"),
        (end("[verify]\nstable_for = \"-5m\""), "\"-5m\" is not a duration from 0s to 24h"),
        (end("[verify]\nstable_for = \"+5m\""), "\"+5m\" is not a duration"),
        (end("[verify]\nstable_for = \"5\u{b5}\""), "is not a duration"),
        (end("[verify]\nstable_for = \"99999999999h\""), "is not a duration"),
        (end("[verify]\nstable_for = \"\""), "\"\" is not a duration"),
        (end("[verify]\napplications = []"), "0 applications are named; name 1 to 20"),
        (end("[verify]\napplications = [\" \"]"), "an application's name is empty"),
        (
            end("[verify]\napplications = [\"{nobody}\"]"),
            "{nobody} is not among the properties",
        ),
        (end("[verify]\nwithin = \"1m\""), "unknown field `within`"),
        (
            end("[limits]\nper_hour = 0"),
            ":12: a limit of 0 limits nothing, or everything; write a number from 1 to 1000",
        ),
        (end("[limits]\nconcurrent = -1"), "a limit of -1"),
        (end("[limits]\nper_target_per_day = 1001"), "a limit of 1001"),
        (end("[limits]\nper_day = 1"), "unknown field `per_day`"),
    ] {
        let found = problems(&text).join("\n");
        assert!(found.contains(expected), "{text}: expected {expected:?} in\n{found}");
    }
}
