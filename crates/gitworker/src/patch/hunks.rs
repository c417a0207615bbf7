//! Hunks fitted to a content: every context and removed line must stand exactly where the hunk says.

use super::{FilePatch, Hunk, Kind, refused};
use crate::DiffError;

/// Longest piece of a line that an error shows, in characters.
const SHOWN_MAX: usize = 80;

/// The content after all hunks of a file.
pub(super) fn apply(file: &FilePatch, old: &[u8]) -> Result<Vec<u8>, DiffError> {
    let lines: Vec<&[u8]> = old.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out: Vec<&[u8]> = Vec::with_capacity(lines.len());
    let mut next = 0;
    for hunk in &file.hunks {
        // A hunk without old lines names the line after which it inserts.
        let start = if hunk.old_count == 0 {
            hunk.old_start
        } else {
            hunk.old_start.saturating_sub(1)
        };
        if start < next || start > lines.len() {
            let problem = if start < next {
                "overlaps the one before it"
            } else {
                "starts after the end of the file"
            };
            return Err(fault(file, hunk.line, format!("the hunk {problem} ({} lines)", lines.len())));
        }
        out.extend_from_slice(&lines[next..start]);
        next = apply_hunk(file, hunk, &lines, start, &mut out)?;
    }
    out.extend_from_slice(&lines[next..]);
    if let Some(at) = out.iter().rev().skip(1).position(|line| !line.ends_with(b"\n")) {
        let line = out.len() - 1 - at;
        return Err(fault(
            file,
            file.line,
            format!("line {line} of the result has no line ending but is not the last one"),
        ));
    }
    Ok(out.concat())
}

/// Returns the old line after the hunk.
fn apply_hunk<'a>(file: &FilePatch, hunk: &'a Hunk, old: &[&'a [u8]], start: usize, out: &mut Vec<&'a [u8]>) -> Result<usize, DiffError> {
    let mut at = start;
    for (offset, line) in hunk.lines.iter().enumerate() {
        let text = line.text.as_bytes();
        if line.kind != Kind::Added {
            let found = old.get(at).copied();
            if found != Some(text) {
                return Err(fault(file, hunk.line + 1 + offset, mismatch(at, text, found)));
            }
            at += 1;
        }
        if line.kind != Kind::Removed {
            out.push(text);
        }
    }
    Ok(at)
}

fn mismatch(at: usize, expected: &[u8], found: Option<&[u8]>) -> String {
    let show = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        format!("{:?}", text.chars().take(SHOWN_MAX).collect::<String>())
    };
    let found = found.map_or_else(|| "the file ends there".to_owned(), |found| format!("it is {}", show(found)));
    format!(
        "line {} of the base should be {}, but {found}; make the diff against the base commit",
        at + 1,
        show(expected)
    )
}

fn fault(file: &FilePatch, line: usize, problem: String) -> DiffError {
    refused(line, Some(file.action.source()), problem)
}
