//! The codes of refusals: what callers are promised, what the code says, and what the list in between holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine::CODES;

type Codes = BTreeMap<String, BTreeSet<u16>>;

fn is_code(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The codes of one row's cells: statuses, then codes in backticks.
fn row(codes: &mut Codes, statuses: &str, words: &str) {
    let statuses: BTreeSet<u16> = statuses.split(',').filter_map(|status| status.trim().parse().ok()).collect();
    // Names of headers may stand there, too.
    for code in words.split('`').skip(1).step_by(2).filter(|word| is_code(word)) {
        codes.entry(code.to_owned()).or_default().extend(&statuses);
    }
}

/// The rows of the table that stands behind a head.
fn table(text: &str, head: &str) -> Codes {
    let (_, rest) = text.split_once(head).unwrap_or_else(|| panic!("no {head}"));
    let mut codes = Codes::new();
    let rows = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    for line in rows {
        let cells: Vec<&str> = line.split('|').collect();
        row(&mut codes, cells[1], cells[2]);
    }
    codes
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each `NNN, "word"` of a source text.
fn with_status(text: &str) -> impl Iterator<Item = (u16, &str)> {
    text.match_indices('"').filter_map(|(at, _)| {
        let (word, _) = text[at + 1..].split_once('"')?;
        let before = text[..at].trim_end().strip_suffix(',')?;
        let digits = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next()?;
        let status = digits.parse().ok().filter(|status| (100..600).contains(status))?;
        is_code(word).then_some((status, word))
    })
}

#[test]
fn every_code_is_listed_documented_and_used() {
    let mut listed = Codes::new();
    for (status, codes) in CODES {
        for code in *codes {
            listed.entry((*code).to_owned()).or_default().insert(*status);
        }
    }
    for (name, documented) in [
        ("README.md", table(include_str!("../../../../README.md"), "### Error codes")),
        (
            "docs/api.md",
            table(include_str!("../../../../docs/api.md"), "| status | code | what to do |"),
        ),
    ] {
        assert_eq!(
            documented.keys().collect::<Vec<_>>(),
            listed.keys().collect::<Vec<_>>(),
            "{name} and engine::CODES"
        );
        for (code, statuses) in &listed {
            assert!(statuses.is_subset(&documented[code]), "{name}: {code} comes with {statuses:?}");
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("../engine/src"), &mut files);
    let mut all = String::new();
    for file in files
        .iter()
        .filter(|file| !file.ends_with("codes.rs") && !file.to_string_lossy().contains("tests"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (status, word) in with_status(code) {
            let known = listed.get(word).is_some_and(|statuses| statuses.contains(&status));
            assert!(known, "{}: {status} {word} is not among engine::CODES", file.display());
        }
        all.push_str(code);
    }
    for code in listed.keys() {
        assert!(all.contains(&format!("\"{code}\"")), "nothing says {code} any more");
    }
}
