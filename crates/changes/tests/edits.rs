//! Edits as a person would review them: what the file was, what was asked, what the file is. The cases are in `edits.cases`.

use changes::yaml::{Edit, Limits, Scalar, Selector, apply};

/// One case of the file.
struct Case<'t> {
    title: &'t str,
    request: &'t str,
    before: &'t str,
    after: Result<&'t str, &'t str>,
}

/// A case is a `### title` line, a request line, then the file after `<<<`, and what it becomes after `===`; or, after `!!!`, a part of
/// the error. In files, `⏎` is a carriage return, `→` a tab, and a trailing `∅` says that the file ends without a line end.
fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("\n### ")
        .skip(1)
        .map(|case| {
            let (head, rest) = case.split_once("\n<<<\n").unwrap_or_else(|| panic!("no <<< in {case}"));
            let (title, request) = head.split_once('\n').unwrap_or_else(|| panic!("no request in {case}"));
            let (before, after) = match (rest.split_once("===\n"), rest.split_once("!!! ")) {
                (Some((before, after)), None) => (before, Ok(after)),
                (None, Some((before, error))) => (before, Err(error.trim())),
                _ => panic!("neither === nor !!! in {title}"),
            };
            Case {
                title,
                request,
                before,
                after,
            }
        })
        .collect()
}

fn unfold(text: &str) -> String {
    let text = text.trim_end_matches('\n').to_owned() + if text.is_empty() { "" } else { "\n" };
    text.replace('⏎', "\r").replace('→', "\t").replace("∅\n", "")
}

/// `set Deployment/web spec.replicas 3`: operation, document (`-` for none), path, JSON value.
fn request(line: &str) -> (Selector, Edit) {
    let mut words = line.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_else(|| panic!("too few words in {line}"));
    let (operation, document, path) = (next(), next(), next());
    let (kind, name) = document
        .split_once('/')
        .map_or((None, None), |(kind, name)| (Some(kind), Some(name)));
    let selector = Selector {
        kind: kind.map(str::to_owned),
        name: name.map(str::to_owned),
        namespace: None,
    };
    let path = path.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut value = || {
        let value: serde_json::Value = serde_json::from_str(next()).unwrap_or_else(|error| panic!("{line}: {error}"));
        Scalar::try_from(&value).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let edit = match operation {
        "set" => Edit::Set { path, value: value() },
        "put" => Edit::Put { path, value: value() },
        "insert" => Edit::Insert { path, value: value() },
        "append" => Edit::Append { path, value: value() },
        "remove" => Edit::Remove { path },
        "tag" => Edit::SetImageTag {
            path,
            tag: next().to_owned(),
        },
        other => panic!("unknown operation {other}"),
    };
    (selector, edit)
}

#[test]
fn every_case_comes_out_as_written() {
    let cases = cases(include_str!("edits.cases"));
    assert!(cases.len() >= 60, "only {} cases were read", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (selector, edit) = request(case.request);
        let result = apply(&unfold(case.before), &selector, &edit, &Limits::default());
        let expected = case.after.map(unfold);
        let good = match (&result, &expected) {
            (Ok(text), Ok(expected)) => text == expected,
            (Err(error), Err(part)) => error.to_string().contains(part),
            _ => false,
        };
        if !good {
            let shown = result.map_or_else(|error| format!("error: {error}"), |text| format!("{text:?}"));
            wrong.push(format!(
                "{}\n  {}\n  gave     {shown}\n  expected {expected:?}",
                case.title, case.request
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
