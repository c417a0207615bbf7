//! Hunks fitted to a content: every context and removed line must stand exactly where the hunk says.

use domain::CommitId;

use super::{FilePatch, Hunk, Kind, refused};
use crate::DiffError;

/// The content after all hunks of a file. A refusal says where it does not fit, never what stands there: it is kept in logs.
pub(super) fn apply(file: &FilePatch, old: &[u8], base: CommitId) -> Result<Vec<u8>, DiffError> {
    let lines: Vec<&[u8]> = old.split_inclusive(|byte| *byte == b'\n').collect();
    let mut out: Vec<&[u8]> = Vec::with_capacity(lines.len());
    let mut next = 0;
    for (index, hunk) in file.hunks.iter().enumerate() {
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
        next = apply_hunk(hunk, &lines, start, &mut out).map_err(|misfit| {
            let problem = misfit.told(index + 1, base);
            fault(file, hunk.line + misfit.in_hunk, problem)
        })?;
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

/// A line of a hunk that is not what the base holds. Both counted from 1.
struct Misfit {
    in_hunk: usize,
    in_base: usize,
    ended: bool,
}

impl Misfit {
    fn told(&self, hunk: usize, base: CommitId) -> String {
        let Self { in_hunk, in_base, ended } = self;
        let base = base.short();
        let problem = if *ended {
            format!("stands for line {in_base} of the base at {base}, but the file ends before it")
        } else {
            format!("does not match line {in_base} of the base at {base}")
        };
        format!("line {in_hunk} of hunk {hunk} {problem}: make the diff anew against that commit, line endings included")
    }
}

/// Returns the old line after the hunk.
fn apply_hunk<'a>(hunk: &'a Hunk, old: &[&'a [u8]], start: usize, out: &mut Vec<&'a [u8]>) -> Result<usize, Misfit> {
    let mut at = start;
    for (offset, line) in hunk.lines.iter().enumerate() {
        let text = line.text.as_bytes();
        if line.kind != Kind::Added {
            let found = old.get(at).copied();
            if found != Some(text) {
                return Err(Misfit {
                    in_hunk: offset + 1,
                    in_base: at + 1,
                    ended: found.is_none(),
                });
            }
            at += 1;
        }
        if line.kind != Kind::Removed {
            out.push(text);
        }
    }
    Ok(at)
}

fn fault(file: &FilePatch, line: usize, problem: String) -> DiffError {
    refused(line, Some(file.action.source()), problem)
}
