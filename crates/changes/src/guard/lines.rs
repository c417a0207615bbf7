//! Lines of a text: where a byte stands, and which lines the change adds.

use std::collections::HashMap;

/// Finds the line of a byte offset.
pub(super) struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub fn new(text: &[u8]) -> Self {
        let behind = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(behind).collect(),
        }
    }

    /// Counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

/// Which lines of the new content the old one lacks. `None`: all of them.
pub(super) struct Added(Option<Vec<bool>>);

impl Added {
    /// Without old content every line is new. A line counts as standing only as often as the old content has it, wherever it stood.
    pub fn new(old: Option<&str>, new: &str) -> Self {
        let Some(old) = old else {
            return Self(None);
        };
        let mut left: HashMap<&str, usize> = HashMap::new();
        for line in old.split('\n') {
            *left.entry(trim(line)).or_default() += 1;
        }
        let is_new = |line: &str| match left.get_mut(trim(line)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            Some(_) | None => true,
        };
        Self(Some(new.split('\n').map(is_new).collect()))
    }

    /// Whether one of the lines, counted from 1, is new.
    pub fn any(&self, first: usize, last: usize) -> bool {
        let Some(lines) = &self.0 else { return true };
        (first..=last.max(first)).any(|line| lines.get(line.saturating_sub(1)).copied().unwrap_or(true))
    }
}

fn trim(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}
