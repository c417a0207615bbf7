//! Facts about a change set that a person should see before deciding: what is hidden, odd or not text.

use std::fmt::Write as _;

use domain::{ChangeSet, Hidden, RepoPath, hidden, is_text};
use serde::Serialize;

/// Lines longer than this (in characters) are remarked: what stands at their end is not seen on a card.
pub const LINE_CHARS_MAX: usize = 500;
/// Remarks of one kind for one file; the last one says how many more there are.
pub const REMARKS_PER_KIND: usize = 10;

/// How many lines a change adds and removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LineCounts {
    /// Lines of the new content that the old one lacks.
    pub added: usize,
    /// Lines of the old content that the new one lacks.
    pub removed: usize,
}

/// What a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    /// The new content is not text: its diff cannot be read.
    Binary,
    /// Characters that hide or reorder text ([`Hidden::Deceptive`]): the line is not what it looks like.
    Deceptive,
    /// Control characters other than tab and line ends ([`Hidden::Control`]).
    Control,
    /// Blanks that are no plain space ([`Hidden::Blank`]). They raise nothing.
    Blank,
    /// A line that is too long to be read on a card.
    LongLine,
}

/// Something about a file's new content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The file.
    pub path: RepoPath,
    /// The line, counted from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// What kind of remark.
    pub kind: RemarkKind,
    /// The remark in words; odd characters as code points, never as themselves.
    pub message: String,
}

/// All remarks about a change set, in the order of paths and lines.
pub fn inspect(changes: &ChangeSet) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (path, change) in changes.iter() {
        let Some(new) = &change.new else { continue };
        remarks.extend(inspect_file(path, &new.bytes));
    }
    remarks
}

/// The remarks about one file's new content.
pub(crate) fn inspect_file(path: &RepoPath, bytes: &[u8]) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(bytes) => inspect_text(path, text, &mut remarks),
        _ => remarks.push(Remark {
            path: path.clone(),
            line: None,
            kind: RemarkKind::Binary,
            message: format!("not text: {} bytes, SHA-256 {}", bytes.len(), domain::Sha256Hash::of(bytes)),
        }),
    }
    remarks
}

fn inspect_text(path: &RepoPath, text: &str, remarks: &mut Vec<Remark>) {
    let (mut seen, mut kinds) = ([0usize; 4], [None; 4]);
    let first = remarks.len();
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        for (slot, (kind, message)) in line_remarks(line).into_iter().enumerate() {
            let Some(message) = message else { continue };
            seen[slot] += 1;
            if seen[slot] <= REMARKS_PER_KIND {
                remarks.push(Remark {
                    path: path.clone(),
                    line: Some(nth + 1),
                    kind,
                    message,
                });
            }
            kinds[slot] = Some(kind);
        }
    }
    for (kind, seen) in kinds.into_iter().zip(seen).filter(|(_, seen)| *seen > REMARKS_PER_KIND) {
        if let Some(last) = remarks[first..].iter_mut().rev().find(|remark| Some(remark.kind) == kind) {
            let more = seen - REMARKS_PER_KIND;
            let _ = write!(last.message, " (and {more} more lines)");
        }
    }
}

/// `line` with its end: a carriage return is ordinary only before a line feed.
fn line_remarks(line: &str) -> [(RemarkKind, Option<String>); 4] {
    let found = |odd: Hidden| {
        const SHOWN: usize = 5;
        let all: Vec<String> = hidden(line)
            .filter(|&(_, _, kind)| kind == odd)
            .take(SHOWN + 1)
            .map(|(_, c, _)| format!("U+{:04X}", u32::from(c)))
            .collect();
        let more = if all.len() > SHOWN { ", …" } else { "" };
        (!all.is_empty()).then(|| format!("{}{more}", all[..all.len().min(SHOWN)].join(", ")))
    };
    let deceptive = found(Hidden::Deceptive).map(|which| format!("characters that hide or reorder text: {which}"));
    let control = found(Hidden::Control).map(|which| format!("control characters: {which}"));
    let blank = found(Hidden::Blank).map(|which| format!("blanks that are no plain space: {which}"));
    let length = line.trim_end_matches(['\n', '\r']).chars().count();
    let long = (length > LINE_CHARS_MAX).then(|| format!("{length} characters on one line"));
    [
        (RemarkKind::Deceptive, deceptive),
        (RemarkKind::Control, control),
        (RemarkKind::Blank, blank),
        (RemarkKind::LongLine, long),
    ]
}

/// Differing lines beyond which counting compares no further: a diff of this size is read as a document, and an exact count could take long.
const COMPARED_LINES_MAX: usize = 4_000;

/// Counts added and removed lines as a diff shows them. When the two sides differ over more than 4,000 lines (after their common
/// beginning and end), all of these count as removed and added.
pub fn count_lines(old: &[u8], new: &[u8]) -> LineCounts {
    count_lines_within(old, new, |_| true)
}

/// The same, unless comparing so many pairs of lines may not be done: then all that is between what both begin and end with counts as exchanged.
pub(crate) fn count_lines_within(old: &[u8], new: &[u8], may: impl FnOnce(usize) -> bool) -> LineCounts {
    let (old, new) = (lines(old), lines(new));
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same_start..], &new[same_start..]);
    let same_end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    if old.len() + new.len() > COMPARED_LINES_MAX || !may(old.len() * new.len()) {
        return LineCounts {
            added: new.len(),
            removed: old.len(),
        };
    }
    let mut counts = LineCounts::default();
    for operation in similar::capture_diff_slices(similar::Algorithm::Myers, old, new) {
        let (tag, old, new) = operation.as_tag_tuple();
        if tag != similar::DiffTag::Equal {
            counts.removed += old.len();
            counts.added += new.len();
        }
    }
    counts
}

/// Lines with their ends, so that a missing final newline counts as a difference.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&b| b == b'\n').collect()
}
