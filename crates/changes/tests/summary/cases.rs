//! The golden cases: every file of `cases/` against the summary next to it.

use std::collections::BTreeMap;
use std::path::Path;

use changes::summary::{Summary, summarize};
use domain::{BlobId, ChangeSet, FileChange, FileMode, FileVersion, NewFile, RepoPath, Risk};

/// A change and the old contents.
pub type Change = (ChangeSet, BTreeMap<RepoPath, Vec<u8>>);

/// A file's path, old and new content.
pub type File<'a, T> = (&'a str, Option<&'a T>, Option<&'a T>);

/// A change of regular files.
pub fn change(files: &[File<'_, [u8]>]) -> Change {
    let mut changes = BTreeMap::new();
    let mut olds = BTreeMap::new();
    for (path, old, new) in files {
        let path: RepoPath = path.parse().expect("a path");
        let file = FileChange {
            old: old.map(|_| FileVersion {
                mode: FileMode::Regular,
                blob: BlobId::from_bytes([0; 20]),
            }),
            new: new.map(|bytes| NewFile {
                mode: FileMode::Regular,
                bytes: bytes.to_vec(),
            }),
        };
        olds.extend(old.map(|bytes| (path.clone(), bytes.to_vec())));
        changes.insert(path, file);
    }
    (ChangeSet::new(changes), olds)
}

/// Summarises files given as text.
pub fn of(files: &[File<'_, str>]) -> Summary {
    let files: Vec<_> = files
        .iter()
        .map(|(path, old, new)| (*path, old.map(str::as_bytes), new.map(str::as_bytes)))
        .collect();
    let (changes, old) = change(&files);
    summarize(&changes, &old, None)
}

struct Case {
    files: Vec<(String, Option<String>, Option<String>)>,
    applications: Option<Vec<String>>,
}

fn parse(text: &str) -> Case {
    let mut case = Case {
        files: Vec::new(),
        applications: None,
    };
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("=== applications ") {
            case.applications = Some(names.split(", ").map(str::to_owned).collect());
        } else if let Some(path) = line.strip_prefix("=== + ") {
            case.files.push((path.to_owned(), None, Some(String::new())));
        } else if let Some(path) = line.strip_prefix("=== - ") {
            case.files.push((path.to_owned(), Some(String::new()), None));
        } else if let Some(path) = line.strip_prefix("=== ") {
            case.files.push((path.to_owned(), Some(String::new()), Some(String::new())));
        } else if let Some((_, old, new)) = case.files.last_mut() {
            let (mark, rest) = match (&old, &new) {
                (Some(_), Some(_)) => line.split_at(line.len().min(1)),
                _ => ("", line),
            };
            assert!(
                matches!(mark, "" | " " | "+" | "-"),
                "a line of a changed file begins with a blank, + or -: {line:?}"
            );
            if mark != "+"
                && let Some(old) = old
            {
                old.push_str(rest);
                old.push('\n');
            }
            if mark != "-"
                && let Some(new) = new
            {
                new.push_str(rest);
                new.push('\n');
            }
        }
    }
    case
}

fn render(summary: &Summary) -> String {
    let mut text = format!("{:?} · {}\n", summary.risk, summary.verb).to_uppercase_first_word();
    for line in &summary.lines {
        text.push_str(&format!(
            "{:8} {}\n         [{}] {}\n",
            format!("{:?}", line.severity).to_lowercase(),
            line.text,
            line.rule,
            line.path.as_str()
        ));
    }
    if summary.more > 0 {
        text.push_str(&format!("and {} more\n", summary.more));
    }
    let namespaces: Vec<&str> = summary.namespaces.iter().map(String::as_str).collect();
    let applications = summary
        .applications
        .as_ref()
        .map_or_else(|| "unknown".to_owned(), |names| names.join(", "));
    text.push_str(&format!(
        "reach: applications {applications}; namespaces {}\n",
        namespaces.join(", ")
    ));
    text
}

trait FirstWord {
    fn to_uppercase_first_word(self) -> String;
}

impl FirstWord for String {
    fn to_uppercase_first_word(self) -> String {
        self.split_once(' ')
            .map_or_else(|| self.clone(), |(first, rest)| format!("{} {rest}", first.to_uppercase()))
    }
}

#[test]
fn every_case_is_summarised_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/summary/cases");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the cases")
        .filter_map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .ok()?
                .strip_suffix(".txt")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 40, "only {} cases", names.len());
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in names {
            let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).expect("a case");
            let case = parse(&text);
            let files: Vec<_> = case
                .files
                .iter()
                .map(|(path, old, new)| (path.as_str(), old.as_deref().map(str::as_bytes), new.as_deref().map(str::as_bytes)))
                .collect();
            let (changes, old) = change(&files);
            let summary = summarize(&changes, &old, case.applications.as_deref());
            check_shape(&summary);
            assert_eq!(
                summary,
                summarize(&changes, &old, case.applications.as_deref()),
                "{name}: same input, same output"
            );
            insta::assert_snapshot!(name, render(&summary));
        }
    });
}

/// What holds for every summary.
pub fn check_shape(summary: &Summary) {
    assert!(summary.lines.is_sorted_by_key(|line| line.severity), "worst first: {summary:#?}");
    let worst = summary.lines.first().map_or(Risk::Low, |line| line.severity.risk());
    assert_eq!(summary.risk, worst, "{summary:#?}");
    for text in summary
        .lines
        .iter()
        .map(|line| &line.text)
        .chain([&summary.verb])
        .chain(&summary.namespaces)
    {
        assert!(!text.chars().any(|c| c.is_control() || domain::is_deceptive(c)), "{text:?}");
        assert!(text.chars().count() <= changes::summary::LINE_TEXT_CHARS_MAX + 1, "{text:?}");
    }
    let stored = serde_json::to_string(summary).expect("stores");
    assert_eq!(&serde_json::from_str::<Summary>(&stored).expect("reads"), summary);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let path: RepoPath = "kubernetes/web/values.yaml".parse().expect("a path");
    let (changes, _) = change(&[("kubernetes/web/values.yaml", Some(b"replicas: 3\n"), Some(b"replicas: 0\n"))]);
    let summary = summarize(&changes, &BTreeMap::new(), None);
    assert_eq!(summary.lines[0].rule, "old-unknown");
    assert_eq!((summary.lines[0].path.clone(), summary.risk), (path, Risk::Medium));

    let summary = of_bytes("kubernetes/web/logo.yaml", b"a: 1\n", b"\xff\xfe");
    assert_eq!(summary.lines[0].text, "web/logo.yaml: not text, 5 bytes → 2 bytes");
}

fn of_bytes(path: &str, old: &[u8], new: &[u8]) -> Summary {
    let (changes, old) = change(&[(path, Some(old), Some(new))]);
    summarize(&changes, &old, None)
}

#[test]
fn a_file_that_becomes_executable_is_said() {
    let path: RepoPath = "scripts/run".parse().expect("a path");
    let blob = BlobId::from_bytes([0; 20]);
    let file = FileChange {
        old: Some(FileVersion {
            mode: FileMode::Regular,
            blob,
        }),
        new: Some(NewFile {
            mode: FileMode::Executable,
            bytes: b"true\n".to_vec(),
        }),
    };
    let old = BTreeMap::from([(path.clone(), b"true\n".to_vec())]);
    let summary = summarize(&ChangeSet::new(BTreeMap::from([(path, file)])), &old, None);
    let lines: Vec<&str> = summary.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["scripts/run: can be executed"]);
}

#[test]
fn nothing_changes_nothing() {
    let summary = summarize(&ChangeSet::default(), &BTreeMap::new(), None);
    assert_eq!(
        (summary.verb.as_str(), summary.risk, summary.lines.len()),
        ("change nothing", Risk::Low, 0)
    );
}
